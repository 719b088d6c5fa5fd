//! Called as lsns: the same command lines on the same namespaces as Debian's lsns, compared byte for byte.

use std::process::{Command, Stdio};

use super::{Scratch, is_the_release, of_the_repository};
use crate::common;
use crate::{need, need_root};

/// Runs the comparison in the scene of lsns.sh; returns what differed, and how many command lines were compared.
#[track_caller]
fn compare(locale: &str) -> (String, usize) {
    let scratch = Scratch::new(&format!("lsns-{locale}"));
    let ours = scratch.0.join("lsns");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_nstool"), &ours).unwrap();
    let list = std::fs::File::open(of_the_repository("tests/install/lsns.list")).unwrap();
    let output = Command::new("unshare")
        .args(["-pmf", "--mount-proc", "--kill-child", "sh"])
        .arg(of_the_repository("tests/install/lsns.sh"))
        .env("LSNS", &ours)
        .env("LC_ALL", locale)
        .stdin(list)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (differences, count) = text.trim_end().rsplit_once("compared ").expect(&text);
    (differences.to_owned(), count.parse().unwrap())
}

#[test]
fn a_hundred_command_lines_print_and_exit_as_lsns_does() {
    need_root!();
    need!("lsns", "unshare", "ip");
    if !is_the_release("lsns") {
        return common::skip("needs lsns of util-linux 2.38.1");
    }
    let (differences, count) = compare("C.UTF-8");
    assert!(count >= 100, "{count}");
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn without_utf_8_too() {
    need_root!();
    need!("lsns", "unshare", "ip");
    if !is_the_release("lsns") {
        return common::skip("needs lsns of util-linux 2.38.1");
    }
    let (differences, _) = compare("C");
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn the_name_as_first_argument_does_the_same() {
    let version = |arguments: &[&str]| common::stdout_of(common::run(arguments));
    assert!(version(&["lsns", "--version"]).starts_with("lsns from nstool "));
    let error = common::run(&["lsns", "-t", "foo"]);
    assert_eq!(String::from_utf8_lossy(&error.stderr), "lsns: unknown namespace type: foo\n");
    assert_eq!(error.status.code(), Some(1));
    assert!(version(&["lsns", "--help"]).contains("Usage:\n lsns [options] [<namespace>]\n"));
}
