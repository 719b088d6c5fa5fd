//! Kernels without the newer calls, as a seccomp filter makes them.

use super::{sleeper_in_pid_namespace, stderr_of};
use crate::common::{inode_of, stage, stdout_of};
use crate::{need, need_root};

const ALL: [&str; 6] = ["ioctls", "pidfd_open", "pidfd_getfd", "openat2", "close_range", "clone3"];

fn without(calls: &[&str], words: &[&str]) -> std::process::Output {
    let mut command = stage(&["without"]);
    command.args(calls).arg("--").args([env!("CARGO_BIN_EXE_nstool"), "enter"]).args(words);
    command.stdin(std::process::Stdio::null()).output().unwrap()
}

#[test]
fn joining_works_without_any_of_the_newer_calls() {
    need_root!();
    need!("unshare");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-pmnu", "--mount-proc"]);
    let script = "readlink /proc/self/ns/net; ls /proc/self/fd | tr '\\n' ' '";
    let expected = format!("net:[{}]\n0 1 2 3 ", inode_of(pid.parse().unwrap(), "net"));
    // None of them, and each missing alone.
    for calls in [&ALL[..]].into_iter().chain(ALL.chunks(1)) {
        let output = without(calls, &[&pid, "--", "sh", "-c", script]);
        assert_eq!(stdout_of(output), expected, "{calls:?}");
    }
}

#[test]
fn what_only_newer_kernels_can_is_refused_by_name() {
    need_root!();
    let pid = std::process::id().to_string();
    let output = without(&ALL, &[&format!("{pid}:7"), "--", "true"]);
    assert!(stderr_of(&output).contains("Linux 6.9"), "{}", stderr_of(&output));
    let output = without(&ALL, &[&pid, "-N", "0", "--", "true"]);
    assert!(stderr_of(&output).contains("Linux 5.6"), "{}", stderr_of(&output));
}
