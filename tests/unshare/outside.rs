//! Our session and process group may be from outside our pid namespace, where they have no number: that is so for all
//! that `unshare -pf` runs without job control, as in many containers.

use super::*;
use crate::common::eventually;
use crate::common::terminal::Session;
use crate::{need, need_root};

const OUTSIDE: &str = "unshare -pf --mount-proc --kill-child";

#[test]
fn signals_reach_the_command() {
    need_root!();
    need!("unshare");
    let script = "\"$0\" unshare -p --init -- sh -c \
                  'trap \"echo hung up\" HUP; trap \"echo asked; exit 7\" TERM; echo ready; while :; do sleep 0.02; done' & \
                  read word; kill -HUP $!; read word; kill -TERM $!; wait $!; echo $?; grep NSsid /proc/self/status";
    let words: Vec<&str> =
        OUTSIDE.split(' ').skip(1).chain(["sh", "-c", script, env!("CARGO_BIN_EXE_nstool")]).collect();
    let mut command = Command::new("unshare");
    let mut child = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut told, &mut line).unwrap();
        line
    };
    assert_eq!(next(), "ready\n");
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"go\n").unwrap();
    assert_eq!(next(), "hung up\n");
    std::io::Write::write_all(&mut stdin, b"go\n").unwrap();
    assert_eq!([next(), next(), next()], ["asked\n", "7\n", "NSsid:\t0\n"]);
    assert!(child.wait().unwrap().success());
}

#[test]
fn in_the_foreground_what_is_typed_arrives() {
    need_root!();
    need!("setsid", "unshare");
    let script = format!("{OUTSIDE} sh -c '\"$0\" unshare -p -- sh -c \"$1\"' \"$0\" \"$1\"");
    let inner = "stty size; read line; echo \"got $line\"; exit 3";
    let mut session = Session::start(&["sh", "-c", &script, env!("CARGO_BIN_EXE_nstool"), inner]);
    session.wait_for("33 99");
    eventually(|| session.is_raw().then_some(()));
    session.type_in("hello\r");
    session.wait_for("got hello\r\n");
    assert_eq!(session.child.wait().unwrap().code(), Some(3));
    assert!(!session.is_raw());
}

#[test]
fn in_the_background_the_terminal_is_left_alone_until_the_command_reads() {
    need_root!();
    need!("setsid", "unshare");
    let script = format!(
        "set -m; {OUTSIDE} sh -c '\"$0\" unshare -p -- sh -c \"$1\"' \"$0\" \"$1\" & \
         read word; echo \"the shell has $word\"; fg >/dev/null; echo \"ended with $?\""
    );
    let inner = "echo ready; read line; echo \"got $line\"; exit 3";
    let mut session = Session::start(&["sh", "-c", &script, env!("CARGO_BIN_EXE_nstool"), inner]);
    session.wait_for("ready");
    assert!(!session.is_raw());
    session.type_in("one\r");
    session.wait_for("the shell has one");
    eventually(|| session.is_raw().then_some(()));
    session.type_in("two\r");
    session.wait_for("got two");
    session.wait_for("ended with 3");
    assert!(!session.is_raw());
}

#[test]
fn a_stop_is_mirrored_and_what_continues_us_continues_the_command() {
    need_root!();
    need!("unshare");
    let script = "\"$0\" unshare -uf -- sh -c 'kill -STOP $$; exit 5' & \
                  until grep -q '^State:.T' /proc/$!/status; do :; done; kill -CONT $!; wait $!; echo $?";
    let words: Vec<&str> =
        OUTSIDE.split(' ').skip(1).chain(["sh", "-c", script, env!("CARGO_BIN_EXE_nstool")]).collect();
    let output = Command::new("unshare").args(words).stdin(Stdio::null()).output().unwrap();
    assert_eq!(common::stdout_of(output), "5\n");
}
