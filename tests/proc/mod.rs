//! Every verb where `/proc` is not what it has to be: not there, something else, or another pid namespace's.

use std::process::{Command, Output};

use crate::common::*;
use crate::{need, need_root};

/// What needs to look at processes, each as it is typed.
const VERBS: [&str; 13] = [
    "ls",
    "ls -p self",
    "show self",
    "show ns:4026531837",
    "why self",
    "why ns:4026531837",
    "compare self 1",
    "enter 1 -- true",
    "mounts",
    "mounts --check-shared",
    "mounts holders /",
    "mounts reach /",
    "unshare -Ur true",
];

/// Runs a script in a mount namespace of its own; `$N` is nstool.
fn privately(script: &str) -> Output {
    let script = format!("N={}; {script}", env!("CARGO_BIN_EXE_nstool"));
    Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap()
}

/// Checks what every verb says after a script's preparations: this, and that a procfs can be mounted; nothing on stdout.
#[track_caller]
fn each_verb_says(preparation: &str, said: &str, hint: &str) {
    let runs = VERBS.map(|verb| format!("echo '>> {verb}' >&2; $N {verb} </dev/null && echo 'it worked' >&2;"));
    let output = privately(&format!("{preparation}\n{}", runs.concat()));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    let answers: Vec<&str> = text.split(">> ").skip(1).collect();
    assert_eq!(answers.len(), VERBS.len(), "{text}");
    for answer in answers {
        assert!(answer.contains(said) && answer.contains("\nhint:  ") && answer.contains(hint), "{said}: {answer}");
        assert!(answer.contains("\nerror: ") && !answer.contains("it worked"), "{answer}");
    }
}

#[test]
fn something_else_or_nothing_on_proc_is_said_by_every_verb() {
    need_root!();
    need!("unshare", "mount", "umount");
    let hint = "mount one: `mount -t proc proc /proc`";
    each_verb_says("mount -t tmpfs none /proc", "/proc is no procfs", hint);
    each_verb_says("while umount -l /proc 2>/dev/null; do :; done", "/proc is no procfs", hint);
}

/// A pid namespace of its own mounts its procfs where that propagates to us: the story of a /proc that died.
const LEAKED: &str = "mount --make-rprivate /; mount --make-shared /proc; F=$(mktemp); \
    unshare -m --propagation unchanged sh -c \
    'exec unshare -pf --kill-child sh -c \"mount -t proc proc /proc; echo $$ >$0; exec sleep 1000 >/dev/null 2>&1\"' $F & P=$!; \
    trap 'kill -9 $P; rm -f $F' EXIT; while ! [ -s $F ]; do :; done;";

#[test]
fn the_proc_of_another_pid_namespace_is_diagnosed_by_every_verb() {
    need_root!();
    need!("unshare", "mount");
    each_verb_says(LEAKED, "/proc belongs to another pid namespace", "`umount /proc` uncovers our own");
}

#[test]
fn the_proc_of_a_pid_namespace_that_ended_is_diagnosed_by_every_verb_and_the_hint_helps() {
    need_root!();
    need!("unshare", "mount", "umount");
    let dead = format!("{LEAKED} kill -9 $P; while [ -e /proc/1/stat ]; do :; done;");
    let said = "/proc belongs to another pid namespace that has ended, which we are not in";
    each_verb_says(&dead, said, "`umount /proc` uncovers our own");
    let output = privately(&format!("{dead} umount /proc && $N ls -p self"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_interfaces_are_tried_without_proc() {
    need_root!();
    need!("unshare", "mount");
    let output = privately("mount -t tmpfs none /proc; exec $N version -v");
    assert!(String::from_utf8_lossy(&output.stderr).contains("some could not be tried: /proc is no procfs"));
    let without = stdout_of(output);
    // Whatever the kernel has is found as well as with a /proc.
    let with = stdout_of(run(&["version", "-v"]));
    let found = |text: &str| text.lines().filter(|line| line.split("  ").any(|cell| cell.trim() == "yes")).count();
    assert!(found(&without) > 0 && found(&without) + 1 >= found(&with), "{without}\n{with}");
}

#[test]
fn under_an_outer_proc_a_process_is_not_taken_for_another_of_its_number() {
    need_root!();
    need!("unshare");
    // /proc shows the outer numbers; our own mean other processes there.
    for (words, said) in [
        ("show 1", "cannot read the status of process 1"),
        ("why self", "cannot read the namespaces of process"),
        ("unshare -U --map-users 0:0:10 --map-groups 0:0:10 true", "cannot write uid_map: 0 0 10"),
    ] {
        let script = format!("{} {words}; true", env!("CARGO_BIN_EXE_nstool"));
        let output = Command::new("unshare").args(["-mpf", "--kill-child", "sh", "-c", &script]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(said), "{text}");
        assert!(text.contains("cause: /proc belongs to another pid namespace, around ours, where we are process"));
        assert!(text.contains("hint:  mount one: `mount -t proc proc /proc`"), "{text}");
    }
}

#[test]
fn a_process_that_hidepid_hides_is_not_said_to_be_missing() {
    need_root!();
    need!("unshare", "setpriv");
    let public = Public::copy("hidden");
    let nstool = public.path();
    for hidepid in [2, 4] {
        let script = format!(
            "mount -t proc -o hidepid={hidepid} proc /proc; for verb in 'show 1' 'compare 1 self' 'show 77777'; do \
             setpriv --reuid=65534 --regid=65534 --clear-groups {} $verb; done",
            nstool.display()
        );
        let output = Command::new("unshare").args(["-mpf", "--kill-child", "sh", "-c", &script]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        let expected = "error: cannot read the status of process 1\n\
                        cause: /proc is mounted with hidepid, which hides the processes of others\n\
                        hint:  run nstool as root or as its owner (uid 0)\n";
        assert!(text.starts_with(&expected.repeat(2)), "hidepid={hidepid}: {text}");
        assert!(text[2 * expected.len()..].starts_with("error: no process 77777\n"), "{text}");
    }
}
