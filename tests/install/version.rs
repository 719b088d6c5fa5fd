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
        assert!(["yes", "no", "not tried"].contains(&interface["found"].as_str().unwrap()), "{interface}");
        assert!(!interface["instead"].as_str().unwrap().is_empty(), "{interface}");
    }
}

#[test]
fn what_an_older_kernel_lacks_is_told() {
    let mut command = stage(&["without", "pidfd_open", "--", env!("CARGO_BIN_EXE_nstool"), "version", "-v"]);
    let text = stdout_of(command.output().unwrap());
    let line = text.lines().find(|line| line.starts_with("pidfd_open(2)")).unwrap();
    assert!(line.split_whitespace().any(|word| word == "no"), "{text}");
    assert!(line.ends_with("/proc/PID"), "{text}");
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
