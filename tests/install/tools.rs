//! Called as nsenter and unshare: the same command lines on the same namespaces as with Debian's tools, compared by what
//! they print, how they end, and what the program that they run finds.

use std::process::{Command, Stdio};

use super::{Scratch, is_the_release, of_the_repository};
use crate::common;
use crate::{need, need_root};

/// Runs the comparison in the scene of tools.sh; returns what differed, and how many command lines were compared.
#[track_caller]
fn compare(tool: &str) -> (String, usize) {
    let scratch = Scratch::new(tool);
    let list = std::fs::File::open(of_the_repository(&format!("tests/install/{tool}.list"))).unwrap();
    std::fs::copy(of_the_repository("tests/install/seen.sh"), scratch.0.join("seen.sh")).unwrap();
    let output = Command::new("unshare")
        .args(["-pmf", "--mount-proc", "--kill-child", "sh"])
        .arg(of_the_repository("tests/install/tools.sh"))
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("SHELL", "/bin/dash")
        .env("TERM", "dumb")
        .env("ODD NAME", "a\nb")
        .env("TOOL", tool)
        .env("OURS", env!("CARGO_BIN_EXE_nstool"))
        .env("D", &scratch.0)
        .env("SEEN", scratch.0.join("seen.sh"))
        .env("LC_ALL", "C.UTF-8")
        .stdin(list)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (differences, count) = text.trim_end().rsplit_once("compared ").expect(&text);
    (differences.to_owned(), count.parse().unwrap())
}

#[test]
fn a_hundred_command_lines_enter_as_nsenter_does() {
    need_root!();
    need!("nsenter", "unshare", "ip", "setpriv", "newuidmap");
    if !is_the_release("nsenter") {
        return common::skip("needs nsenter of util-linux 2.38.1");
    }
    let (differences, count) = compare("nsenter");
    assert!(count >= 100, "{count}");
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn a_hundred_command_lines_create_as_unshare_does() {
    need_root!();
    need!("unshare", "ip", "setpriv", "newuidmap");
    if !is_the_release("unshare") {
        return common::skip("needs unshare of util-linux 2.38.1");
    }
    let (differences, count) = compare("unshare");
    assert!(count >= 100, "{count}");
    assert!(differences.is_empty(), "{differences}");
}
