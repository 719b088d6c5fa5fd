//! Tells the compiler which commit this is, for `nstool --version`, and links the unwinder into the program.
//!
//! `NSTOOL_COMMIT`, if a packager sets it, wins; then the checkout this stands in; then the note that `cargo package`
//! left in a published crate. Without any of them the version is told without a commit.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=NSTOOL_COMMIT");
    let given = std::env::var("NSTOOL_COMMIT").ok().filter(|commit| !commit.is_empty());
    if let Some(commit) = given.or_else(of_checkout).or_else(of_published_crate) {
        println!("cargo::rustc-env=NSTOOL_COMMIT={commit}");
    }
    link_unwinder();
}

/// Has the program hold the unwinder itself, where gcc offers it as an archive. The standard library asks for `-lgcc_s`,
/// a library that nothing else needs; loading it takes a twentieth of the time in which `nstool enter` starts a command.
/// A linker script of that name, found first, leads to the archive, as gcc's own `-static-libgcc` would if the compiler
/// did not name the library by itself.
fn link_unwinder() {
    let set = |name: &str| std::env::var(name).unwrap_or_default();
    let is_static = set("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    if set("CARGO_CFG_TARGET_OS") != "linux" || set("CARGO_CFG_TARGET_ENV") != "gnu" || is_static {
        return;
    }
    // Of another machine's gcc we do not know what it offers.
    let offered = set("HOST") == set("TARGET") && archive("libgcc_eh.a") && archive("libgcc.a");
    let folder = PathBuf::from(set("OUT_DIR"));
    if offered && std::fs::write(folder.join("libgcc_s.so"), "INPUT(-lgcc_eh -lgcc)\n").is_ok() {
        println!("cargo::rustc-link-arg-bin=nstool=-L{}", folder.display());
    }
}

/// Tells whether gcc has this archive: then it answers with its place, else with the name alone.
fn archive(name: &str) -> bool {
    let output = Command::new("cc").arg(format!("-print-file-name={name}")).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_absolute())
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
