//! `nstool enter`, in real namespaces and containers.

mod attacks;
mod containers;
mod errors;
mod joining;
mod limits;
mod old_kernels;
mod options;
mod remarks;
mod states;
mod supervision;
mod terminal;

use std::process::{Command, Output, Stdio};

use crate::common::{Helper, nstool};

/// Runs `nstool enter` with these words to its end, without a terminal.
pub fn enter(words: &[&str]) -> Output {
    nstool().arg("enter").args(words).stdin(Stdio::null()).output().unwrap()
}

/// Returns what was said on stderr.
pub fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a shell script in the target and returns what it printed, trimmed.
#[track_caller]
pub fn shell_in(words: &[&str], script: &str) -> String {
    let output = enter(&[words, &["--", "sh", "-c", script]].concat());
    crate::common::stdout_of(output).trim_end().to_owned()
}

/// Enters without a command, types `script` to the login shell, and returns what it printed.
#[track_caller]
pub fn login_shell(pid: i32, script: &str) -> String {
    let mut command = nstool();
    command.args(["enter", &pid.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), script.as_bytes()).unwrap();
    crate::common::stdout_of(child.wait_with_output().unwrap())
}

/// A process that sleeps in new namespaces made by `unshare` with these options (which do not fork).
pub fn sleeper(options: &[&str]) -> Helper {
    let wrapper = [&["unshare"], options].concat();
    let helper = Helper::shell(&wrapper, "echo ready; exec sleep 1000");
    wait_for_sleep(helper.pid());
    helper
}

/// Waits until the shell that said that it is ready has become `sleep`.
fn wait_for_sleep(pid: i32) {
    let name = format!("/proc/{pid}/comm");
    crate::common::eventually(|| (std::fs::read_to_string(&name).unwrap() == "sleep\n").then_some(()));
}

/// The same behind a fork, as a pid namespace needs: the helper is `unshare`, and the sleeper its child.
pub fn sleeper_in_pid_namespace(options: &[&str]) -> (Helper, String) {
    let wrapper = [&["unshare", "--fork", "--kill-child"], options].concat();
    let helper = Helper::shell(&wrapper, "echo ready; exec sleep 1000");
    let child = child_of(helper.pid());
    wait_for_sleep(child);
    (helper, child.to_string())
}

/// Returns the youngest child of a process: of nstool's the command, which is younger than its guardian.
#[track_caller]
pub fn child_of(pid: i32) -> i32 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().last().expect("no child").parse().unwrap()
}

/// Tells whether a process is there and no zombie.
pub fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// Returns a command that runs nsenter, to show what it lets through.
pub fn nsenter(words: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    command.args(words).stdin(Stdio::null());
    command
}
