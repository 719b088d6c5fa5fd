//! What is installed beside the program: manual pages and completions.

mod completions;
mod dependencies;
mod differences;
mod lsns;
mod man;
mod readme;
mod tools;
mod version;

use std::path::{Path, PathBuf};

/// Returns a file or folder of the repository.
fn of_the_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Tells whether util-linux's tool is of the release that ours stands in for, without which comparing them means little.
fn is_the_release(tool: &str) -> bool {
    let version = std::process::Command::new(tool).arg("--version").output();
    version.is_ok_and(|output| output.stdout == format!("{tool} from util-linux 2.38.1\n").as_bytes())
}

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nstool-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
