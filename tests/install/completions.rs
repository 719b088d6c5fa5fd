//! completions/: the shells themselves complete, each in a terminal, with the processes and namespaces of this moment.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::of_the_repository;
use crate::common::{self, Helper, inode_of, stdout_of};
use crate::{need, need_root};

/// An interactive shell in a terminal of its own.
struct Shell {
    child: Child,
    screen: Arc<Mutex<String>>,
}

/// A network namespace's name.
const NAMED: &str = "teal-network";

/// How each shell starts, and how it takes its completion.
const BASH: (&str, &str) = ("bash --norc --noprofile -i", "source completions/nstool.bash");
const ZSH: (&str, &str) = (
    "zsh -f -i",
    "PS1='$ '; fpath=($PWD/completions $fpath); autoload -U compinit; compinit -D -u; setopt no_list_beep list_rows_first",
);
const FISH: (&str, &str) = ("fish --no-config -i", "source completions/nstool.fish");

impl Shell {
    fn start((program, setup): (&str, &str)) -> Self {
        let programs = Path::new(env!("CARGO_BIN_EXE_nstool")).parent().unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        // As root in a mount namespace of its own, where a name can be given to a network namespace.
        let named = format!("mount -t tmpfs names /run; mkdir /run/netns; touch /run/netns/{NAMED}; exec \"$@\"");
        let inside = ["unshare", "-m", "sh", "-c", &named, "sh", "script"];
        let words = if rustix::process::geteuid().is_root() { &inside[..] } else { &inside[6..] };
        // script(1) gives it a terminal, and ends it when its own input ends.
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .args(["-q", "-f", "-c", &format!("stty cols 200 rows 60; exec {program}"), "/dev/null"])
            .current_dir(of_the_repository("."))
            .env("PATH", path)
            .env("TERM", "xterm")
            .env("HOME", "/nonexistent")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut output, seen) = (child.stdout.take().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                seen.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        let mut shell = Self { child, screen };
        // Typed before the shell reads by itself, a line would be echoed and lost.
        shell.send(&format!("{setup}; echo rea''dy\n"));
        shell.wait_for("ready");
        shell
    }

    fn send(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    fn text(&self) -> String {
        without_escapes(&self.screen.lock().unwrap())
    }

    /// Waits until the screen has shown this.
    #[track_caller]
    fn wait_for(&self, expected: &str) {
        let found = common::try_eventually(|| self.text().contains(expected).then_some(()));
        assert!(found.is_some(), "{expected:?} does not appear:\n{}", self.text());
    }

    /// Types a line with tabs in it, and waits for what shall then be on the screen; then clears the line.
    #[track_caller]
    fn completes(&mut self, keys: &str, expected: &str) {
        self.screen.lock().unwrap().clear();
        self.send(keys);
        // Keys typed while the last command still ran are taken one by one: a shell may want one more Tab to list.
        let mut polls = 0;
        let shown = common::try_eventually(|| {
            polls += 1;
            if polls % 400 == 0 && keys.ends_with('\t') {
                self.send("\t");
            }
            self.text().contains(expected).then_some(())
        });
        assert!(shown.is_some(), "{expected:?} does not appear:\n{}", self.text());
        // Control-U in all three; fish would first leave its pager.
        self.send("\x15\x15");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Drops what moves the cursor or colours.
fn without_escapes(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\x1b' if letters.next_if_eq(&'[').is_some() => {
                while letters.next().is_some_and(|letter| !('@'..='~').contains(&letter)) {}
            }
            '\x1b' if letters.next_if_eq(&']').is_some() => {
                while letters.next().is_some_and(|letter| letter != '\x07') {}
            }
            '\x1b' => {
                letters.next();
            }
            '\x08' => {
                out.pop();
            }
            letter => out.push(letter),
        }
    }
    out
}

/// Two processes whose ids differ in the last digit alone, and their number without it.
fn two_processes() -> (Helper, i32, String) {
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 4711 & p=\"$p $!\"; done; echo $p; wait";
    common::eventually(|| {
        let sleepers = Helper::shell(&[], script);
        let pids: Vec<i32> = sleepers.said.split(' ').map(|pid| pid.parse().unwrap()).collect();
        let pair = pids.windows(2).find(|pair| pair[0] / 10 == pair[1] / 10)?;
        // A child has its own command line only once it has executed sleep.
        common::eventually(|| {
            let command = std::fs::read(format!("/proc/{}/cmdline", pair[0])).unwrap();
            command.starts_with(b"sleep").then_some(())
        });
        Some((sleepers, pair[0], (pair[0] / 10).to_string()))
    })
}

/// What every shell must do. `list` makes it list what may follow a line; `with_help` words a value beside what it is.
fn complete_everything(shell: (&str, &str), list: fn(&str) -> String, with_help: fn(&str, &str) -> String) {
    let (_sleepers, pid, prefix) = two_processes();
    let network = Helper::shell(&["unshare", "-n"], "echo; exec sleep 1000");
    let inode = inode_of(network.pid(), "net").to_string();
    let mut shell = Shell::start(shell);
    // A verb, and behind it the name of a shell: the line runs.
    shell.completes("nstool completio\tzs\t\n", "#compdef nstool");
    shell.completes("nstool ls --out\t\t", "--output-all");
    shell.completes("nstool ls -p self -o NS,TYP\t\n", "NS  TYPE");
    shell.completes("nstool ls --tree=own\t -l\n", "--tree=owner");
    shell.completes("nstool ls -t cgr\t -p self\n", "cgroup");
    shell.completes(&list(&format!("nstool ls -p {prefix}")), &with_help(&pid.to_string(), "sleep 4711"));
    shell.completes("nstool show netns:teal-n\t", &format!("netns:{NAMED}"));
    // Alone it stands there in full; beside others it is listed.
    shell.completes(&format!("nstool ls {}\t\t", &inode[..inode.len() - 1]), &inode);
}

#[test]
fn bash_completes_what_is_there_now() {
    need_root!();
    need!("bash", "script", "unshare");
    complete_everything(BASH, |line| format!("{line}\t\t"), |value, help| format!("{value}  ({help})"));
}

#[test]
fn zsh_completes_what_is_there_now() {
    need_root!();
    need!("zsh", "script", "unshare");
    complete_everything(ZSH, |line| format!("{line}\t\t"), |value, help| format!("{value}  -- {help}"));
}

#[test]
fn fish_completes_what_is_there_now() {
    need_root!();
    need!("fish", "script", "unshare");
    // Its pager shows some of them at a time; this asks the same completion for all.
    complete_everything(
        FISH,
        |line| format!("complete --do-complete '{line}'\n"),
        |value, help| format!("{value}\t{help}"),
    );
}

#[test]
fn behind_two_dashes_the_other_command_is_completed() {
    need!("bash", "zsh", "fish", "script");
    for shell in [ZSH, FISH] {
        Shell::start(shell).completes("nstool unshare -- nstool completio\t", "-- nstool completions");
    }
}

#[test]
fn the_scripts_are_printed_as_they_are_installed() {
    for (shell, file) in [("bash", "nstool.bash"), ("zsh", "_nstool"), ("fish", "nstool.fish")] {
        let kept = std::fs::read_to_string(of_the_repository("completions").join(file)).unwrap();
        assert_eq!(stdout_of(common::run(&["completions", shell])), kept);
    }
}

#[test]
fn hostile_names_of_processes_reach_no_shell() {
    let evil = Helper::start("sh", &["-c", "echo; sleep 1000; :", "a\tb\u{1b}[2J\nc"]);
    let candidates = stdout_of(common::run(&["complete", "--", "nstool", "ls", "-p", &evil.pid().to_string()]));
    assert!(!candidates.contains('\x1b'), "{candidates:?}");
    assert!(candidates.lines().all(|line| line.matches('\t').count() == 1), "{candidates:?}");
}
