//! The command as a process: whose place it takes, what it inherits, and how it ends.

use super::*;
use crate::common::{Helper, nstool, stdout_of};
use crate::{need, need_root};

#[test]
fn without_a_child_the_command_takes_nstools_place() {
    need_root!();
    let mut command = nstool();
    command.args(["unshare", "-muin", "sh", "-c", "echo $$; exec sleep 1000"]);
    let helper = Helper::start_command(command);
    assert_eq!(helper.said, helper.pid().to_string());
}

#[test]
fn the_exit_status_and_the_signal_come_back() {
    for fork in [&["-r"][..], &["-rf"], &["-rpf"], &["-r", "--init"]] {
        let run = |script: &str| unshare(&[fork, &["--", "sh", "-c", script]].concat()).status;
        assert_eq!(run("exit 77").code(), Some(77), "{fork:?}");
        // A PID 1 that kills itself by a signal without handler lives on, but for the one of its init.
        if fork != ["-rpf"] {
            use std::os::unix::process::ExitStatusExt;
            assert_eq!(run("kill -TERM $$; sleep 10").signal(), Some(libc::SIGTERM), "{fork:?}");
        }
    }
}

#[test]
fn only_the_standard_descriptors_are_inherited() {
    for options in [&["-r"][..], &["-rf"], &["-rp", "--init"]] {
        let said = stdout_of(script(
            "exec \"$0\" unshare \"$@\" -- sh -c 'ls /proc/self/fd | tr \"\\n\" \" \"' 5</dev/null 9>/dev/null",
            options,
        ));
        // The fourth is the directory that ls reads.
        assert_eq!(said.trim(), "0 1 2 3", "{options:?}");
    }
}

#[cfg(target_env = "gnu")]
#[test]
fn closed_standard_streams_do_no_harm_where_there_is_no_dev_null() {
    need!("unshare");
    let script = "mount -t tmpfs tmpfs /dev || exit; exec \"$0\" unshare -u -- \
                  sh -c 'for fd in 0 1 2; do test -e /proc/self/fd/$fd; echo $?; done' <&- 2>&-";
    let output =
        Command::new("unshare").args(["-Urm", "sh", "-c", script, env!("CARGO_BIN_EXE_nstool")]).output().unwrap();
    assert_eq!(stdout_of(output), "1\n0\n1\n");
    let script = "mount -t tmpfs tmpfs /dev || exit; \"$0\" ls -t uts >&- <&-; echo $?";
    let output =
        Command::new("unshare").args(["-Urm", "sh", "-c", script, env!("CARGO_BIN_EXE_nstool")]).output().unwrap();
    assert!(stderr(&output).contains("cannot write to stdout"), "{}", stderr(&output));
    assert_eq!(stdout_of(output), "1\n");
}

#[test]
fn signals_are_passed_on() {
    for options in [&["-rf", "--forward-signals"][..], &["-rp", "--init"]] {
        let mut command = nstool();
        command.arg("unshare").args(options);
        command.args(["--", "sh", "-c", "trap 'exit 42' USR1; echo ready; while :; do sleep 0.01; done"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(42), "{options:?}");
    }
}

#[test]
fn the_directory_and_the_environment_are_as_asked() {
    need_root!();
    let scratch = Scratch::new();
    let place = scratch.directory("place");
    assert_eq!(said(&["-m", "-w", &place, "--", "pwd"]), place);
    let mut command = nstool();
    command.env("KEPT", "a=b").env("GONE", "x").args(["unshare", "-u", "--whitelist-env", "KEPT,OTHER", "--", "env"]);
    assert_eq!(stdout_of(command.output().unwrap()), "KEPT=a=b\n");
    let mut command = nstool();
    assert_eq!(stdout_of(command.args(["unshare", "-u", "--clear-env", "--", "env"]).output().unwrap()), "");
    let mut command = nstool();
    command.env("SHELL", "/bin/pwd").args(["unshare", "-u"]).current_dir("/");
    assert_eq!(stdout_of(command.output().unwrap()), "/\n");
}

#[test]
fn nothing_is_asked_of_the_kernel_that_the_request_does_not_need() {
    need_root!();
    need!("strace");
    for (options, expected) in
        [(&["-m", "-u", "-i", "-n"][..], [0, 0, 0, 0]), (&["-U", "-r"], [1, 1, 0, 0]), (&["-T"], [0, 0, 0, 1])]
    {
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=geteuid,getegid,capget,uname,execve,access,faccessat,faccessat2"]);
        command.args([env!("CARGO_BIN_EXE_nstool"), "unshare"]).args(options).arg("true");
        let output = command.env("PATH", "/no/such/place:/usr/bin:/bin").stdin(Stdio::null()).output().unwrap();
        let told = stderr(&output);
        let calls = ["geteuid(", "getegid(", "capget(", "uname("].map(|call| told.matches(call).count());
        assert_eq!(calls, expected, "{options:?}: {told}");
        // A place in PATH that has no such program is not looked at again when another one has it.
        assert_eq!(told.matches("/no/such/place/true").count(), 1, "{told}");
    }
}
