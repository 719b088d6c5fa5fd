//! Namespaces that the forms of `nstool mounts` are tried in, and how their answers are read.

use std::process::Output;

use serde_json::Value as Json;

use crate::common::*;

/// A shell in a mount namespace of its own, whose mounts are private but for a shared tmpfs at the directory; what it
/// is told runs there.
pub(crate) struct Stage {
    pub(crate) shell: Helper,
    directory: TemporaryDirectory,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// The same, after a script of more preparations; `$D` is the directory.
    pub(crate) fn with(script: &str) -> Self {
        let directory = TemporaryDirectory::new();
        let path = directory.path().display();
        let script = format!(
            "set -e; D={path}; mount -t tmpfs stage $D; mount --make-shared $D; mkdir $D/a $D/b; {script}\n echo ready; exec sleep 1000"
        );
        let shell = Helper::shell(&["unshare", "--mount"], &script);
        assert_eq!(shell.said, "ready");
        Self { shell, directory }
    }

    pub(crate) fn path(&self, below: &str) -> String {
        format!("{}{below}", self.directory.path().display())
    }

    /// Starts a process in a copy of the namespace, made without touching propagation.
    pub(crate) fn copy(&self, options: &[&str], script: &str) -> Helper {
        let pid = self.shell.pid().to_string();
        let mut words = vec!["nsenter", "-t", &pid, "-m", "unshare", "--mount", "--propagation", "unchanged"];
        words.extend(options);
        let script = format!("set -e; D={}; {script}\n echo ready; exec sleep 1000", self.path(""));
        let helper = Helper::shell(&words, &script);
        assert_eq!(helper.said, "ready");
        helper
    }

    /// Runs a script in the namespace.
    pub(crate) fn run(&self, script: &str) {
        run_in(&self.shell, &format!("D={}; {script}", self.path("")));
    }

    /// Runs nstool in the namespace.
    pub(crate) fn nstool(&self, arguments: &[&str]) -> Output {
        nstool_in(&self.shell, arguments)
    }
}

pub(crate) fn run_in(helper: &Helper, script: &str) {
    let pid = helper.pid().to_string();
    let output = std::process::Command::new("nsenter").args(["-t", &pid, "-m", "sh", "-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn nstool_in(helper: &Helper, arguments: &[&str]) -> Output {
    let pid = helper.pid().to_string();
    let mut command = std::process::Command::new("nsenter");
    command.args(["-t", &pid, "-m", env!("CARGO_BIN_EXE_nstool")]).args(arguments);
    command.output().unwrap()
}

#[track_caller]
pub(crate) fn json_of(output: Output, code: i32) -> Json {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

#[track_caller]
pub(crate) fn text_of(output: Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The rows of a JSON tree, flat.
pub(crate) fn flat(rows: &Json) -> Vec<&Json> {
    let mut found: Vec<&Json> = rows.as_array().unwrap().iter().collect();
    let mut next = 0;
    while next < found.len() {
        if let Some(children) = found[next].get("children") {
            found.extend(children.as_array().unwrap());
        }
        next += 1;
    }
    found
}
