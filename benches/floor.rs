//! The CPU time of the process source beside that of a C loop that makes the same system calls (floor.c), in turn:
//! `cargo bench --bench floor [-- SLEEPERS]`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark talks, and fails where it cannot run")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nstool::discover::Scope;
use nstool::model::Snapshot;

const ROUNDS: usize = 15;

fn main() {
    let count = std::env::args().skip(1).find(|argument| argument.parse::<u32>().is_ok());
    let (floor, sleepers) = (compiled("floor"), compiled("sleepers"));
    let mut crowd = Command::new(sleepers)
        .arg(count.unwrap_or("1000".into()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(crowd.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let (mut ours, mut theirs, mut processes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let before = cpu_time();
        processes = Snapshot::capture(&Scope::processes()).unwrap().processes().len();
        ours.push(cpu_time() - before);
        let output = Command::new(&floor).output().unwrap().stdout;
        let micros = String::from_utf8(output).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
        theirs.push(Duration::from_micros(micros));
    }
    drop(crowd.stdin.take());
    crowd.wait().unwrap();
    let (ours, theirs) = (median(ours), median(theirs));
    let each = |time: Duration| time.as_secs_f64() * 1e6 / processes as f64;
    println!(
        "{processes} processes, CPU time each: nstool {:.1} us, C {:.1} us, ratio {:.2}",
        each(ours),
        each(theirs),
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
}

/// Compiles one of the C programs beside this file and returns where it is.
fn compiled(name: &str) -> std::path::PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(name).with_extension("c");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let status = Command::new("cc").arg("-O2").arg("-o").arg(&program).arg(source).status().unwrap();
    assert!(status.success());
    program
}

fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros as u64)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
