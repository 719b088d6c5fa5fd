//! The PID 1 of `--init`.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;

use rustix::process::{Pid, Signal, kill_process};

use super::*;
use crate::common::{eventually, nstool, stdout_of};
use crate::need_root;

/// nstool with an init, whose command has said a line.
struct Running {
    nstool: std::process::Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(script: &str) -> Self {
        let mut command = nstool();
        command.args(["unshare", "-p", "--init", "--mount-proc", "--", "sh", "-c", script]);
        let mut nstool = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut running = Self { stdout: BufReader::new(nstool.stdout.take().unwrap()), nstool };
        running.line();
        running
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.nstool), signal).unwrap();
    }
}

#[test]
fn every_signal_that_can_be_caught_reaches_the_command() {
    need_root!();
    let signals = ["HUP", "INT", "QUIT", "USR1", "USR2", "PIPE", "ALRM", "TERM", "WINCH", "URG", "XCPU", "VTALRM"];
    let traps: String = signals.iter().map(|name| format!("trap 'echo {name}' {name}; ")).collect();
    let script = format!("{traps} echo ready; while :; do sleep 0.01; done");
    let mut running = Running::start(&script);
    let numbers = [
        Signal::HUP,
        Signal::INT,
        Signal::QUIT,
        Signal::USR1,
        Signal::USR2,
        Signal::PIPE,
        Signal::ALARM,
        Signal::TERM,
        Signal::WINCH,
        Signal::URG,
        Signal::XCPU,
        Signal::VTALARM,
    ];
    for (name, signal) in signals.into_iter().zip(numbers) {
        running.signal(signal);
        assert_eq!(running.line(), name);
    }
    running.signal(Signal::KILL);
    assert_eq!(running.nstool.wait().unwrap().signal(), Some(libc::SIGKILL));
}

#[test]
fn the_command_ends_by_a_signal_that_it_does_not_catch_though_it_is_in_a_pid_namespace() {
    need_root!();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::USR1] {
        let mut running = Running::start("echo ready; exec sleep 1000");
        running.signal(signal);
        assert_eq!(running.nstool.wait().unwrap().signal(), Some(signal.as_raw()));
    }
}

#[test]
fn a_command_that_stops_stops_us_and_goes_on_with_us() {
    need_root!();
    let mut running = Running::start("echo ready; kill -STOP $$; echo on; exit 6");
    let pid = Pid::from_child(&running.nstool);
    let stopped = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::UNTRACED).unwrap().unwrap().1;
    assert!(stopped.stopped());
    running.signal(Signal::CONT);
    assert_eq!(running.line(), "on");
    assert_eq!(running.nstool.wait().unwrap().code(), Some(6));
}

#[test]
fn many_orphans_are_reaped_and_each_is_told() {
    need_root!();
    // The shell waits until there is nobody but the init and itself, and looks without a process more.
    let script = "i=0; while [ $i -lt 100 ]; do (sh -c 'kill -USR1 $$' & (exit 3) &); i=$((i+1)); done; \
                  until set -- /proc/[0-9]*; [ $# -le 2 ]; do sleep 0.01; done; \
                  grep -l 'State:.Z' /proc/[0-9]*/status | wc -l";
    let output = unshare(&["-p", "--init", "-v", "--mount-proc", "--", "sh", "-c", script]);
    let told = stderr(&output);
    let count =
        |ending: &str| told.lines().filter(|line| line.starts_with("init: reaped ") && line.ends_with(ending)).count();
    assert_eq!((count("(exit 3)"), count(&format!("(signal {})", libc::SIGUSR1))), (100, 100), "{told}");
    assert_eq!(stdout_of(output), "0\n");
}

#[test]
fn what_is_left_when_the_command_ends_ends_too() {
    need_root!();
    let mark = Mark::new();
    let mut command = nstool();
    mark.put_on(&mut command);
    let script = "for i in 1 2 3; do setsid sleep 1000 > /dev/null 2>&1 & done; trap '' TERM; exit 5";
    let output = command.args(["unshare", "-p", "--init", "--", "sh", "-c", script]).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    mark.assert_nobody_carries();
}

#[test]
fn the_init_shows_nothing_of_ours_to_those_inside() {
    need_root!();
    // Its file, memory and descriptors are closed to whoever is root inside; it holds none of our descriptors.
    let script = "cat /proc/1/comm; cat /proc/1/exe > /dev/null 2>&1 || echo closed; readlink /proc/1/fd/* /proc/1/ns/* | wc -l; \
                  readlink /proc/1/root || echo closed";
    let said = said(&["-rp", "--init", "--mount-proc", "--", "sh", "-c", script]);
    assert_eq!(said, "nstool-init\nclosed\n0\nclosed");
}

#[test]
fn standard_input_reaches_the_command() {
    let mut command = nstool();
    command.args(["unshare", "-rp", "--init", "--", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"through\n").unwrap();
    assert_eq!(stdout_of(child.wait_with_output().unwrap()), "through\n");
}

#[test]
fn an_init_that_is_killed_takes_all_with_it_and_is_told() {
    need_root!();
    let mark = Mark::new();
    let mut command = nstool();
    mark.put_on(&mut command);
    command.args(["unshare", "-p", "--init", "--", "sleep", "1000"]).stdin(Stdio::null());
    let mut child = command.spawn().unwrap();
    eventually(|| mark.named("sleep"));
    // It names itself while its child already runs.
    let init = eventually(|| mark.named("nstool-init"));
    kill_process(Pid::from_raw(init).unwrap(), Signal::KILL).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    mark.assert_nobody_carries();
}
