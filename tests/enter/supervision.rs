//! The command's fate and ours: exit status, signals, stop and continue, and that neither outlives the other.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Stdio};

use super::{enter, lives, sleeper, sleeper_in_pid_namespace};
use crate::common::{eventually, nstool};
use crate::{need, need_root};

fn signal(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Starts a script in a pid namespace and waits for its first line.
fn start(target: &str, options: &[&str], script: &str) -> (Child, BufReader<ChildStdout>) {
    let mut command = nstool();
    command.args(["enter", target]).args(options).args(["--", "sh", "-c", script]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(!line.is_empty(), "it never started");
    (child, output)
}

#[test]
fn the_exit_status_is_the_commands_forked_or_not() {
    need_root!();
    let (_helper, pid) = sleeper_in_pid_namespace(&["-pu"]);
    for options in [&["-p"][..], &["-u"]] {
        for (script, code, by) in [
            ("exit 0", Some(0), None),
            ("exit 77", Some(77), None),
            ("kill -TERM $$", None, Some(15)),
            ("kill -KILL $$", None, Some(9)),
        ] {
            let status = enter(&[&[&pid[..]], options, &["--", "sh", "-c", script]].concat()).status;
            // With -p and only the pid namespace joined, the shell is no init, so that signals kill it.
            assert_eq!((status.code(), status.signal()), (code, by), "{options:?} {script}");
        }
    }
}

#[test]
fn signals_reach_the_command() {
    need_root!();
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    for (name, number) in [
        ("TERM", rustix::process::Signal::TERM),
        ("HUP", rustix::process::Signal::HUP),
        ("INT", rustix::process::Signal::INT),
        ("USR1", rustix::process::Signal::USR1),
    ] {
        let (mut child, _output) =
            start(&pid, &[], &format!("trap 'exit 42' {name}; echo ready; while :; do sleep 0.05; done"));
        signal(child.id() as i32, number);
        assert_eq!(child.wait().unwrap().code(), Some(42), "{name}");
    }
}

#[test]
fn a_stop_is_mirrored() {
    need_root!();
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let (mut child, _output) = start(&pid, &[], "echo ready; kill -STOP $$; exit 7");
    let id = child.id() as i32;
    eventually(|| std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap().contains(") T ").then_some(()));
    signal(id, rustix::process::Signal::CONT);
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn killing_us_kills_the_command_even_if_it_changed_its_credentials() {
    need_root!();
    need!("setpriv");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-pm", "--mount-proc"]);
    for script in ["echo ready; exec sleep 1000", "echo ready; exec setpriv --reuid 65534 --clear-groups sleep 1000"] {
        let (mut child, mut output) = start(&pid, &[], script);
        child.kill().unwrap();
        child.wait().unwrap();
        // The pipe closes when nobody that we started has it any more.
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
    }
}

#[test]
fn killing_us_at_any_moment_leaves_nothing_behind() {
    need_root!();
    need!("strace");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-pm", "--mount-proc"]);
    let nstool = env!("CARGO_BIN_EXE_nstool");
    let traced = |options: &[&str]| {
        let mut command = std::process::Command::new("strace");
        command.arg("-qq").args(options).args([nstool, "enter", &pid, "--", "sh", "-c", "exec sleep 1000"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        let command = waits_for_command(&mut child);
        command.into_iter().for_each(|command| signal(command, rustix::process::Signal::KILL));
        child.wait().unwrap();
        // The pipe closes when nobody is left.
        output.read_to_string(&mut String::new()).unwrap();
        command.is_none()
    };
    let scratch = std::env::temp_dir().join(format!("nstool-trace-{}", std::process::id()));
    assert!(!traced(&["-o", scratch.to_str().unwrap()]));
    let trace = std::fs::read_to_string(&scratch).unwrap();
    std::fs::remove_file(&scratch).unwrap();
    // Only nstool itself is traced, and killed at each of its calls in turn; strace counts those of each name apart.
    let mut counts = std::collections::BTreeMap::new();
    let calls = trace.lines().filter_map(|line| line.split_once('(').map(|(name, _)| name)).skip(1);
    let moments: Vec<String> = calls
        .map(|name| {
            let count = *counts.entry(name).and_modify(|count| *count += 1).or_insert(1);
            format!("inject={name}:signal=KILL:when={count}")
        })
        .collect();
    let killed = moments.iter().filter(|moment| traced(&["-o", "/dev/null", "-e", moment])).count();
    // What follows the command's end is another test's.
    assert!(moments.len() > 100 && killed * 3 > moments.len() * 2, "{killed} of {}", moments.len());
}

/// Waits until nstool, the child of strace, was killed, or has a command that runs; returns the latter's id.
fn waits_for_command(strace: &mut Child) -> Option<i32> {
    let children = |pid: i32| {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()
    };
    let id = strace.id() as i32;
    eventually(|| {
        if strace.try_wait().unwrap().is_some() {
            return Some(None);
        }
        let grandchildren = children(id).into_iter().flat_map(children);
        let comm = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        grandchildren.into_iter().find(|pid| comm(pid) == "sleep\n").map(Some)
    })
}

#[test]
fn nothing_of_ours_is_among_the_processes_inside() {
    need_root!();
    let (_helper, pid) = sleeper_in_pid_namespace(&["-pm", "--mount-proc"]);
    let (mut child, mut output) =
        start(&pid, &[], "echo ready; for place in /proc/[0-9]*; do tr '\\0' ' ' <$place/cmdline; done");
    let mut inside = String::new();
    output.read_to_string(&mut inside).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(inside.contains("sleep 1000") && !inside.contains("nstool"), "{inside}");
}

#[test]
fn nothing_is_left_behind_after_a_command_ends() {
    need_root!();
    let (helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let (mut child, mut output) = start(&pid, &[], "echo ready; sleep 0.1");
    let own = child.id();
    let children = format!("/proc/{own}/task/{own}/children");
    let born: Vec<i32> =
        std::fs::read_to_string(children).unwrap().split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert!(!born.is_empty());
    assert!(child.wait().unwrap().success());
    output.read_to_string(&mut String::new()).unwrap();
    assert!(!born.into_iter().any(lives));
    drop(helper);
}

#[test]
fn in_the_background_the_command_stays_and_its_number_is_told() {
    need_root!();
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let output = enter(&[&pid, "--background", "--", "sh", "-c", "exec sleep 1000 >/dev/null 2>&1"]);
    let started: i32 = crate::common::stdout_of(output).trim().parse().unwrap();
    assert!(lives(started));
    assert_eq!(crate::common::inode_of(started, "pid"), crate::common::inode_of(pid.parse().unwrap(), "pid"));
    signal(started, rustix::process::Signal::KILL);
    let output = enter(&[&pid, "--background", "--", "/no/such/program"]);
    assert_eq!(output.status.code(), Some(127));
}

#[test]
fn without_a_pid_namespace_we_become_the_command() {
    need_root!();
    let target = sleeper(&["-u"]);
    let (mut child, _output) = start(&target.pid().to_string(), &[], "echo ready; exec sleep 1000");
    let name = std::fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap();
    assert!(name == "sleep\n" || name == "sh\n", "{name}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_out_of_memory_killer_is_named_with_its_control_group() {
    need_root!();
    let version_1 = std::path::Path::new("/sys/fs/cgroup/memory");
    let version_2 = std::path::Path::new("/sys/fs/cgroup");
    let has_2 =
        std::fs::read_to_string(version_2.join("cgroup.subtree_control")).is_ok_and(|text| text.contains("memory"));
    let (parent, limit) = match (version_1.join("tasks").exists(), has_2) {
        (true, _) => (version_1, ["memory.limit_in_bytes", "16M", "-1"]),
        (false, true) => (version_2, ["memory.max", "16M", "max"]),
        _ => return crate::common::skip("needs control groups that limit memory"),
    };
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let _group = super::limits::Group::around(&pid, parent, limit);
    let greedy = ["--", "sh", "-c", "x=a; while :; do x=$x$x; done"];
    for option in ["-c", "--confined"] {
        let output = enter(&[&[&pid[..], option][..], &greedy].concat());
        let said = super::stderr_of(&output);
        assert_eq!(output.status.signal(), Some(9), "{said}");
        assert!(
            said.contains(
                "ended by SIGKILL while the out-of-memory killer took a process of control group /sys/fs/cgroup/"
            ),
            "{said}"
        );
        assert!(said.contains("(limit 16777216 bytes)"), "{said}");
    }
    // Who else kills is not blamed on it.
    let output = enter(&[&pid, "-c", "--", "sh", "-c", "kill -KILL $$"]);
    assert_eq!((output.status.signal(), super::stderr_of(&output).as_str()), (Some(9), ""));
}
