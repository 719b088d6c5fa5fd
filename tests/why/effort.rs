//! How much `why` looks at for an answer.

use std::process::Command;

use serde_json::Value;

use super::{sleeper, world};
use crate::common::{Helper, inode_of, run, stdout_of};

#[test]
fn a_process_of_many_threads_has_each_table_of_descriptors_looked_at_once() {
    crate::need_root!();
    crate::need!("strace");
    /// Threads of this very test, of which one has a table of its own.
    const THREADS: usize = 200;
    let inner = sleeper(&["unshare", "--net"]);
    let path = format!("/proc/{}/ns/net", inner.pid());
    std::thread::scope(|scope| {
        let (say, told) = std::sync::mpsc::channel();
        let waiting: Vec<_> = (0..THREADS)
            .map(|number| {
                let (go_on, wait) = std::sync::mpsc::channel::<()>();
                let (path, say) = (&path, say.clone());
                scope.spawn(move || {
                    let _own = (number == 7).then(|| {
                        crate::common::handle::keep_descriptors_below(3);
                        world::open(path)
                    });
                    let tid = rustix::thread::gettid().as_raw_nonzero().get();
                    say.send((number, tid)).unwrap();
                    let _: Result<(), _> = wait.recv();
                });
                go_on
            })
            .collect();
        let tids: Vec<(usize, i32)> = (0..THREADS).map(|_| told.recv().unwrap()).collect();
        let own = tids.iter().find(|(number, _)| *number == 7).unwrap().1;
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/stderr", "-e", "trace=openat,kcmp", env!("CARGO_BIN_EXE_nstool")]);
        let output = strace.args(["why", "--json", &path]).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let held: Vec<_> = answer["kept_by"].as_array().unwrap().iter().filter(|entry| entry["tid"] == own).collect();
        assert_eq!(held.len(), 1, "{answer}");
        assert_eq!((&held[0]["kind"], &held[0]["pid"]), (&"descriptor".into(), &std::process::id().into()), "{answer}");
        let trace = String::from_utf8_lossy(&output.stderr);
        let of_ours = |tid: i32| trace.matches(&format!("\"{}/task/{tid}/fd\"", std::process::id())).count();
        assert!(of_ours(own) > 0, "{trace}");
        let shared = tids.iter().filter(|(number, _)| *number != 7);
        assert_eq!(shared.map(|(_, tid)| of_ours(*tid)).sum::<usize>(), 0, "{trace}");
        drop(waiting);
    });
    let text = stdout_of(run(&["why", &path]));
    assert!(!text.contains("of thread"), "{text}");
}

#[test]
fn one_scan_is_all_it_takes() {
    crate::need!("strace");
    let sleepers: Vec<Helper> = (0..30).map(|_| sleeper(&[])).collect();
    let own = format!("ns:{}", inode_of(std::process::id() as i32, "uts"));
    for target in ["/proc/self/ns/net", "/proc/self/ns/user", "self", &own, "ns:4026999999"] {
        let mut strace = Command::new("strace");
        // Only what is traced stops for strace: an id that is nowhere is sought with millions of calls.
        strace.args([
            "-f",
            "--seccomp-bpf",
            "-o",
            "/dev/stderr",
            "-e",
            "trace=pidfd_open",
            env!("CARGO_BIN_EXE_nstool"),
        ]);
        let output = strace.args(["why", "--json", target]).output().unwrap();
        let trace = String::from_utf8_lossy(&output.stderr);
        for sleeper in &sleepers {
            let opened = trace.matches(&format!("pidfd_open({},", sleeper.pid())).count();
            // Once in the scan, and once more for the command line where it is shown.
            assert!((1..=2).contains(&opened), "{target}: {opened} times: {trace}");
        }
    }
}
