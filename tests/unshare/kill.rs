//! Whatever dies, and when: nothing is left.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use super::*;
use crate::common::{eventually, nstool};
use crate::{need, need_root};

/// A generator that gives the same numbers in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

#[test]
fn sigkill_at_500_random_moments_leaves_nothing() {
    need_root!();
    let scratch = Scratch::new();
    scratch.directory("root/home");
    let options = container(&scratch.text("root"));
    let plain: Vec<String> = ["-muf", "--kill-child"].map(str::to_owned).into();
    let groups = cgroup_bases();
    let mark = Mark::new();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut outcomes = [0; 2];
    for round in 0..500 {
        let kept = scratch.text(&format!("kept-{round}"));
        let keep = format!("--uts={kept}");
        let mut command = nstool();
        mark.put_on(&mut command);
        let options = if round % 2 == 0 { &options } else { &plain };
        command.args(["unshare", &keep]).args(options);
        // In a control group that is made for it, of each hierarchy in turn, or in none.
        let group = groups.get(round % 8).map(|base| format!("{base}/nstool-kill-{}", std::process::id()));
        command.args(group.iter().flat_map(|group| ["--join-cgroup", group])).args(["--", "sleep", "1000"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // From before its main() until the command runs.
        std::thread::sleep(Duration::from_micros(numbers.below(25_000)));
        // nstool itself, or one of those it has made.
        let family = mark.carriers();
        let victim = match numbers.below(3) {
            0 if family.len() > 1 => family[numbers.below(family.len() as u64) as usize].0,
            _ => child.id() as i32,
        };
        kill(victim);
        if victim != child.id() as i32 {
            // A guardian may go without harm, and the command runs on: then nstool is killed after all. Not at once, for
            // of two that die in the same moment one cannot take back what the other left (see the keeper), and what is
            // killed is there until the kernel gets to it.
            eventually(|| mark.carriers().iter().all(|(pid, _)| *pid != victim).then_some(()));
            eventually(|| {
                let ended = child.try_wait().unwrap().is_some();
                (ended || mark.carriers().iter().any(|(_, line)| line == "sleep 1000 ")).then_some(())
            });
            // The sweeper's work falls to nstool, which must not be killed after it.
            // Killed itself, it may still be there for a moment.
            let swept = group.is_none() || mark.named("nstool-sweep").is_some_and(|sweeper| sweeper != victim);
            kill(mark.named("sleep").filter(|_| !swept).unwrap_or(child.id() as i32));
        }
        assert!(child.wait().unwrap().signal().is_some() || victim != child.id() as i32);
        mark.assert_nobody_carries();
        if let Some(group) = group {
            assert!(!Path::new(&group).exists(), "{group} is left: {victim} of {family:?} was killed");
        }
        // What is there was made whole: a namespace, bound; nothing in between.
        let whole = Path::new(&kept).exists();
        if whole {
            let status = rustix::fs::statfs(kept.as_str()).unwrap();
            assert_eq!(status.f_type as u64, 0x6e73_6673, "{kept} is an empty file");
            release(&kept);
        }
        outcomes[usize::from(whole)] += 1;
    }
    assert_no_mount_below(scratch.path());
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "the moments cover both sides: {outcomes:?}");
}

#[test]
fn the_child_dies_with_nstool_also_as_another_user() {
    need_root!();
    need!("setpriv");
    for options in [
        &["-f"][..],
        &["-f", "--kill-child"],
        &["-f", "--die-with-parent"],
        &["-f", "--kill-child=KILL", "--setuid", "65534", "--setgid", "65534"],
        &["-pf", "-S", "65534"],
        &["-p", "--init", "-S", "65534"],
    ] {
        for command in [&["sleep", "1000"][..], &["setpriv", "--reuid=1", "--clear-groups", "sleep", "1000"]] {
            if command[0] == "setpriv" && options.contains(&"65534") {
                continue;
            }
            let mark = Mark::new();
            let mut nstool = nstool();
            mark.put_on(&mut nstool);
            let mut child =
                nstool.arg("unshare").args(options).arg("--").args(command).stdin(Stdio::null()).spawn().unwrap();
            eventually(|| mark.carriers().iter().any(|(_, line)| line == "sleep 1000 ").then_some(()));
            kill(child.id() as i32);
            child.wait().unwrap();
            mark.assert_nobody_carries();
        }
    }
}

#[test]
fn the_signal_of_kill_child_is_the_one_asked_for_and_none_lets_the_child_live() {
    need_root!();
    let scratch = Scratch::new();
    let note = scratch.text("note");
    // By number, as not every shell names real-time signals.
    let third = libc::SIGRTMIN() + 3;
    let script =
        format!("trap 'echo usr1 > {note}; exit' USR1 {third}; echo up > {note}; while :; do sleep 0.01; done");
    for (options, survives) in [
        (&["--kill-child=USR1"][..], false),
        (&["--kill-child=none"], true),
        (&["--kill-child=RTMIN+3"], false),
        (&["--kill-child=USR1", "--init"], false),
        (&["--kill-child=SIGRTMIN+3", "--init"], false),
        (&["--kill-child=none", "--init"], true),
    ] {
        let mark = Mark::new();
        let mut command = nstool();
        mark.put_on(&mut command);
        let mut child = command
            .arg("unshare")
            .args(options)
            .args(["--", "sh", "-c", &script])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        eventually(|| fs::read_to_string(&note).ok().filter(|text| text == "up\n"));
        kill(child.id() as i32);
        child.wait().unwrap();
        if survives {
            let left = eventually(|| mark.carriers().into_iter().find(|(_, line)| line.starts_with("sh ")));
            kill(left.0);
        } else {
            eventually(|| fs::read_to_string(&note).ok().filter(|text| text == "usr1\n"));
        }
        mark.assert_nobody_carries();
        fs::remove_file(&note).unwrap();
    }
}

#[test]
fn a_signal_that_can_be_caught_comes_from_the_guardian_alone() {
    need_root!();
    need!("python3");
    let script =
        "import ctypes; signal = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(signal)); print(signal.value)";
    for (options, signal) in [
        (&["--kill-child"][..], libc::SIGKILL),
        (&["--kill-child=TERM"], 0),
        (&["--kill-child=RTMIN+3"], 0),
        (&["--kill-child=none"], 0),
    ] {
        let said = said(&[&["-uf"], options, &["--", "python3", "-c", script]].concat());
        assert_eq!(said, signal.to_string(), "{options:?}");
    }
}
