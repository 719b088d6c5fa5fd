//! `nstool version` and `nstool --version`.

use serde_json::Value;

use crate::common::{self, stage, stdout_of};

#[test]
fn the_version_is_told_with_its_features() {
    let version = stdout_of(common::run(&["--version"]));
    assert!(version.starts_with(concat!("nstool ", env!("CARGO_PKG_VERSION"), " (")), "{version}");
    assert!(version.ends_with("+cli)\n"), "{version}");
    assert_eq!(stdout_of(common::run(&["version"])), version);
}

#[test]
fn every_interface_is_listed_with_what_is_used_instead() {
    let document: Value = serde_json::from_str(&stdout_of(common::run(&["version", "-v", "-J"]))).unwrap();
    let interfaces = document["interfaces"].as_array().unwrap();
    assert_eq!(interfaces.len(), nstool::interfaces().count());
    for interface in interfaces {
        let found = interface["found"].as_str().unwrap();
        assert!(["yes", "no"].contains(&found) || found.starts_with("not tried: it needs "), "{interface}");
        assert!(!interface["instead"].as_str().unwrap().is_empty(), "{interface}");
    }
}

#[test]
fn what_creating_and_entering_use_is_tried_too() {
    for (call, name) in [
        ("clone3", "clone3(2)"),
        ("open_tree", "open_tree(2), move_mount(2), fsopen(2)"),
        ("mount_setattr", "mount_setattr(2)"),
        ("openat2", "openat2(2)"),
        ("close_range", "close_range(2)"),
    ] {
        let found = |without: &[&str]| {
            let mut command = stage(&[without, &["--", env!("CARGO_BIN_EXE_nstool"), "version", "-v", "-J"]].concat());
            let document: Value = serde_json::from_str(&stdout_of(command.output().unwrap())).unwrap();
            let interfaces = document["interfaces"].as_array().unwrap();
            let interface = interfaces.iter().find(|one| one["interface"] == name).expect(name);
            interface["found"].as_str().unwrap().to_owned()
        };
        assert_eq!(found(&["without", call]), "no", "{name}");
        assert!(!found(&["without"]).starts_with("not tried"), "{name}");
    }
}

#[test]
fn what_an_older_kernel_lacks_is_told() {
    let mut command = stage(&["without", "pidfd_open", "--", env!("CARGO_BIN_EXE_nstool"), "version", "-v"]);
    let text = stdout_of(command.output().unwrap());
    let line = text.lines().find(|line| line.starts_with("pidfd_open(2)")).unwrap();
    assert!(line.split_whitespace().any(|word| word == "no"), "{text}");
    assert!(line.ends_with("/proc/PID"), "{text}");
    // What a missing one keeps from being tried says so; what there is another way to is tried.
    let found = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(found("PIDFD_GET_INFO").contains("not tried: it needs pidfd_open(2)"), "{text}");
    for name in ["kcmp(2)", "nsfs file handles", "NS_GET_ID"] {
        assert!(!found(name).contains("not tried"), "{text}");
    }
}

#[test]
fn help_and_version_that_cannot_be_written_are_a_failure() {
    for words in ["--help", "--version", "ls --help", "help mounts", "mounts holders -h"] {
        let script = format!("{} {words} >/dev/full", env!("CARGO_BIN_EXE_nstool"));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, "error: cannot write to stdout\ncause: No space left on device (os error 28)\n", "{words}");
        // A reader that went away is none.
        let script = format!("{} {words} | true; exit ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_nstool"));
        assert!(std::process::Command::new("bash").args(["-c", &script]).status().unwrap().success(), "{words}");
    }
}

#[test]
fn every_verb_says_what_it_does_in_the_list_of_verbs() {
    let help = stdout_of(common::run(&["--help"]));
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for line in verbs {
        assert!(line.split_whitespace().count() > 3, "{line:?} says nothing");
    }
}

#[test]
fn the_commit_is_the_checkouts() {
    if !super::of_the_repository(".git").exists() {
        return common::skip("needs a checkout");
    }
    let mut git = std::process::Command::new("git");
    let commit = git.args(["rev-parse", "--short=12", "HEAD"]).current_dir(super::of_the_repository(".")).output();
    // Not installed, or the checkout is another user's: then the build could not know it either.
    let Some(commit) = commit.ok().filter(|output| output.status.success()) else {
        return common::skip("needs a git that trusts the checkout");
    };
    let version = stdout_of(common::run(&["--version"]));
    let commit = String::from_utf8(commit.stdout).unwrap();
    assert_eq!(version, format!("nstool {} ({}, +cli)\n", env!("CARGO_PKG_VERSION"), commit.trim()));
}
