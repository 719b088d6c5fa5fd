//! README.md: every command block in it is run, in a scene that makes it real, and prints what stands there.
//!
//! A block says how in a comment before it, which readers of the page do not see:
//!
//! - `<!-- run in SCENE -->`: one of `scenes.rs`, whose processes have the very numbers that stand in the block;
//! - `<!-- run in SCENE, in any order -->` where the order of lines depends on numbers that the kernel gives;
//! - `<!-- run by .ci/packages -->`: the commands stand in that script.
//!
//! `#` runs a command as root, `$` as an ordinary user. A `…` stands for any text of a line, alone for any lines.

mod blocks;
mod scenes;
mod transcript;

use blocks::{Block, Command, Orders, blocks};

use super::of_the_repository;
use crate::{need, need_root};

fn read(path: &str) -> String {
    std::fs::read_to_string(of_the_repository(path)).unwrap()
}

/// What is wrong with a block.
enum Fault<'a> {
    /// It cannot be run.
    Block(String),
    /// A command printed something else.
    Output { command: &'a Command, printed: String, difference: String },
}

#[test]
fn every_command_block_is_run_and_prints_what_stands_there() {
    need_root!();
    need!("unshare", "setpriv", "ip", "ss", "ps", "findmnt", "newuidmap", "busybox", "bwrap");
    let text = read("README.md");
    let all = blocks(&text);
    assert!(all.len() > 20, "{}", all.len());
    // They share nothing, and mostly wait for the kernel.
    let faults: Vec<Fault<'_>> = std::thread::scope(|scope| {
        let runs: Vec<_> = all.iter().map(|block| scope.spawn(move || check(block))).collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    if std::env::var_os("NSTOOL_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(of_the_repository("README.md"), blessed(&text, &faults)).unwrap();
    }
    let words: Vec<String> = faults.iter().map(Fault::words).collect();
    assert!(words.is_empty(), "{}\nNSTOOL_BLESS=1 writes what was printed into the page", words.join("\n"));
}

impl Fault<'_> {
    fn words(&self) -> String {
        match self {
            Self::Block(what) => what.clone(),
            Self::Output { command, difference, .. } => {
                format!("README.md:{}: `{}`\n{difference}", command.place, command.text)
            }
        }
    }
}

/// The page with what was printed in the place of what was not.
fn blessed(text: &str, faults: &[Fault<'_>]) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    for fault in faults.iter().rev() {
        if let Fault::Output { command, printed, .. } = fault {
            lines.splice(command.place..command.place + command.output.len(), transcript::lines(printed));
        }
    }
    lines.join("\n") + "\n"
}

fn check(block: &Block) -> Vec<Fault<'_>> {
    let wrong = |what: String| vec![Fault::Block(format!("README.md:{}: {what}", block.line))];
    match &block.orders {
        None => wrong("the block has no comment that says in which scene it is run".to_owned()),
        Some(Orders::By(script)) => {
            let script = read(script);
            let missing = block.commands.iter().find(|command| !script.contains(&command.text));
            missing.map_or(Vec::new(), |command| wrong(format!("`{}` is not run there", command.text)))
        }
        Some(Orders::In(stage)) => match scenes::run(stage, &block.commands) {
            Err(what) => wrong(what),
            Ok(outputs) => {
                let differences = block.commands.iter().zip(outputs).filter_map(|(command, printed)| {
                    let difference = transcript::compare(&command.output, &printed, stage).err()?;
                    Some(Fault::Output { command, printed, difference })
                });
                differences.collect()
            }
        },
    }
}

#[test]
fn a_block_without_a_scene_is_refused() {
    let all = blocks("text\n\n```console\n$ true\n```\n");
    assert_eq!(all.len(), 1);
    let words: Vec<String> = check(&all[0]).iter().map(Fault::words).collect();
    assert_eq!(words, ["README.md:3: the block has no comment that says in which scene it is run"]);
}

#[test]
fn the_promises_about_creating_stand_there_word_for_word() {
    let text = read("README.md");
    for line in [
        "# nstool unshare -u --hostname inner -- hostname\n",
        " -u -- hostname\n",
        "# nstool unshare -pf -v -- sh -c 'echo $$'\n",
        "# nstool unshare -pm --mount-proc -- ps u\n",
        "# nstool unshare -p --init -v -- ./SCRIPT\n",
        "# nstool unshare --net=/run/box-net --uts=/run/box-uts true\n",
    ] {
        assert!(text.contains(line), "{line}");
    }
}
