//! Tells the compiler which commit this is, for `nstool --version`.
//!
//! `NSTOOL_COMMIT`, if a packager sets it, wins; then the checkout this stands in; then the note that `cargo package`
//! left in a published crate. Without any of them the version is told without a commit.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=NSTOOL_COMMIT");
    let given = std::env::var("NSTOOL_COMMIT").ok().filter(|commit| !commit.is_empty());
    if let Some(commit) = given.or_else(of_checkout).or_else(of_published_crate) {
        println!("cargo::rustc-env=NSTOOL_COMMIT={commit}");
    }
}

/// The commit of the checkout whose top is this folder; not that of a checkout this merely lies below.
fn of_checkout() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    // What changes when another commit is checked out or made.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        // A path that is not there would make cargo run this every time.
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn of_published_crate() -> Option<String> {
    let note = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, behind) = note.split_once("\"sha1\": \"")?;
    let commit: String = behind.chars().take_while(char::is_ascii_hexdigit).take(12).collect();
    (commit.len() == 12).then_some(commit)
}

/// What git prints; nothing if there is no git, or if it does not trust the checkout.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
