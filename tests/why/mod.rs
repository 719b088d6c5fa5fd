//! `nstool why`.

mod answer;
mod effort;
mod kernels;
mod oracle;
mod process;
mod unseen;
mod world;

use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::common::{Helper, run, stdout_of, try_eventually};

fn why(target: &str) -> Value {
    parse(run(&["why", "--json", target]))
}

/// Reads an answer. The scans of other tests, which hold every namespace while they look around, are left out.
fn parse(output: Output) -> Value {
    let mut answer: Value = serde_json::from_str(&stdout_of(output)).unwrap();
    let own = env!("CARGO_BIN_EXE_nstool").rsplit('/').next().unwrap();
    let scans = |entry: &Value| {
        // Without a command: it has ended meanwhile.
        let command = entry["command"].as_str();
        entry["kind"] == "descriptor" && command.is_none_or(|command| command.split(' ').next().unwrap().ends_with(own))
    };
    let mut lists = vec![&mut answer["kept_by"]];
    while let Some(list) = lists.pop() {
        let Some(list) = list.as_array_mut() else { continue };
        list.retain(|entry| !scans(entry));
        lists.extend(list.iter_mut().filter_map(|entry| entry.get_mut("kept_by")));
    }
    answer
}

/// Asks until the answer is as expected: other tests' nstool hold every namespace while they look around.
#[track_caller]
fn why_until(target: &str, expected: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = try_eventually(|| {
        last = why(target);
        expected(&last).then(|| last.clone())
    });
    found.unwrap_or_else(|| panic!("it never was as expected: {last}"))
}

fn sleeper(wrapper: &[&str]) -> Helper {
    Helper::shell(wrapper, "echo; exec sleep infinity")
}

/// A process that has a file open, until it is dropped.
struct Keeper(Child);

impl Keeper {
    fn of(file: impl Into<Stdio>) -> Self {
        Self(Command::new("sleep").arg("infinity").stdin(file).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command that nstool proposed in a shell that finds nstool itself.
fn carry_out(shell: &str, command: &str) {
    let own = std::path::Path::new(env!("CARGO_BIN_EXE_nstool")).parent().unwrap();
    let path = format!("{}:{}", own.display(), std::env::var("PATH").unwrap());
    let status = Command::new(shell).args(["-c", command]).env("PATH", path).status().unwrap();
    assert!(status.success(), "{command}");
}

fn kinds_of(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect()
}
