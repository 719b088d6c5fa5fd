//! The pseudo-terminal between, and signals to a command that is PID 1.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;
use rustix::pty::ptsname;
use rustix::termios::{Winsize, tcsetwinsize};

use super::*;
use crate::common::terminal::{PUSH, Session};
use crate::common::{eventually, nstool};
use crate::{need, need_root};

/// With the command as PID 1, the child of an init, nstool's child, and nstool itself.
const WAYS: [&[&str]; 4] = [&["-pm", "--mount-proc"], &["--init"], &["-uf"], &["-u"]];

fn unshare(options: &[&str], script: &str) -> Session {
    let words = [&[env!("CARGO_BIN_EXE_nstool"), "unshare"], options, &["--", "sh", "-c", script]];
    Session::start(&words.concat())
}

#[test]
fn what_is_typed_arrives_whatever_the_command_is() {
    need_root!();
    need!("setsid");
    for options in WAYS {
        let mut session = unshare(options, "stty size; read line; echo \"got $line\"; exit 3");
        session.wait_for("33 99");
        assert!(session.is_raw());
        session.type_in("hello\r");
        session.wait_for("got hello\r\n");
        assert_eq!(session.child.wait().unwrap().code(), Some(3));
        assert!(!session.is_raw());
    }
}

#[test]
fn a_program_inside_cannot_type_into_our_terminal() {
    need_root!();
    need!("setsid", "python3");
    let legacy = std::fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti");
    if legacy.is_ok_and(|text| text.trim() == "0") {
        return crate::common::skip("TIOCSTI is turned off in this kernel");
    }
    for options in WAYS {
        let through = [options, &["--no-pty"]].concat();
        let mut session = unshare(&through, PUSH);
        session.wait_for("done");
        session.child.wait().unwrap();
        assert!(session.seen.contains("pushed") && session.left_to_read() > 0, "{}", session.seen);
        let mut session = unshare(options, PUSH);
        session.wait_for("done");
        session.child.wait().unwrap();
        assert_eq!(session.left_to_read(), 0, "{}", session.seen);
        // Nor through /dev/tty, with no terminal on descriptors 0 to 2.
        let script = format!("({PUSH}) </dev/tty >/dev/null 2>&1 || true");
        let words = options.join(" ");
        let outer = format!("\"$1\" unshare {words} -- sh -c \"$0\" </dev/null >/dev/null 2>&1; echo over");
        let mut session = Session::start(&["sh", "-c", &outer, &script, env!("CARGO_BIN_EXE_nstool")]);
        session.wait_for("over");
        assert_eq!(session.left_to_read(), 0);
        // Nor where we lead the session.
        let outer = format!("exec \"$1\" unshare {words} -- sh -c \"$0\" </dev/null >/dev/null 2>&1");
        let mut session = Session::start(&["sh", "-c", &outer, &script, env!("CARGO_BIN_EXE_nstool")]);
        session.child.wait().unwrap();
        assert_eq!(session.left_to_read(), 0, "{options:?}");
    }
}

#[test]
fn control_z_stops_us_and_control_c_ends_us_whatever_the_command_is() {
    need_root!();
    need!("setsid", "bash");
    for options in WAYS {
        // A program without handlers: as PID 1 it ignores what is sent from inside its namespace.
        let words = [&[env!("CARGO_BIN_EXE_nstool"), "unshare"], options, &["--", "sh", "-c"]].concat();
        let words = [&words[..], &["echo ready; exec sleep 1000"]].concat();
        let mut session = Session::start_job(&words, "fg");
        session.wait_for("ready");
        session.type_in("\x1a");
        session.wait_for("was=148");
        assert!(!session.is_raw());
        session.type_in("\r");
        eventually(|| session.is_raw().then_some(()));
        session.type_in("\x03");
        // What the shell tells is 128 and the signal.
        assert_eq!(session.child.wait().unwrap().code(), Some(128 + Signal::INT.as_raw()), "{options:?}");
        assert!(!session.is_raw());
        let mark = Mark::new();
        let words = [&["env", &mark.0, env!("CARGO_BIN_EXE_nstool"), "unshare"], options, &["--", "sleep", "1000"]];
        let mut session = Session::start(&words.concat());
        // A shell would have handlers still.
        eventually(|| mark.named("sleep"));
        eventually(|| session.is_raw().then_some(()));
        session.type_in("\x03");
        assert_eq!(session.child.wait().unwrap().signal(), Some(Signal::INT.as_raw()), "{options:?}");
    }
}

#[test]
fn where_nobody_does_job_control_control_z_is_ignored() {
    need_root!();
    need!("setsid");
    for options in WAYS {
        let mut session = unshare(options, "echo ready; read line; echo \"got $line\"; exit 5");
        session.wait_for("ready");
        session.type_in("\x1aone\r");
        session.wait_for("got one");
        assert_eq!(session.child.wait().unwrap().code(), Some(5), "{options:?}");
    }
}

#[test]
fn a_job_in_the_background_stops_when_it_wants_to_read_and_goes_on_in_the_foreground() {
    need_root!();
    need!("setsid", "bash");
    for options in WAYS {
        let words = options.join(" ");
        let job = format!(
            "set -m; \"$0\" unshare {words} -- sh -c 'read line; echo \"got $line\"' & wait %1; echo asked; fg; echo over"
        );
        let mut session = Session::start(&["bash", "-c", &job, env!("CARGO_BIN_EXE_nstool")]);
        session.wait_for("asked");
        session.type_in("hello\r");
        session.wait_for("got hello");
        session.wait_for("over");
    }
}

#[test]
fn a_change_of_size_is_followed() {
    need_root!();
    need!("setsid");
    for options in WAYS {
        let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done";
        let mut session = unshare(options, script);
        session.wait_for("ready");
        let size = Winsize { ws_row: 44, ws_col: 111, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&session.master, size).unwrap();
        session.wait_for("44 111");
    }
}

#[test]
fn killing_us_kills_the_command_and_puts_the_terminal_right() {
    need_root!();
    need!("setsid");
    for options in WAYS {
        let mark = Mark::new();
        let words = [&["env", &mark.0, env!("CARGO_BIN_EXE_nstool"), "unshare"], options].concat();
        let words = [&words[..], &["--", "sh", "-c", "trap '' HUP; echo ready; exec sleep 1000"]].concat();
        let mut session = Session::start(&words);
        session.wait_for("ready");
        session.child.kill().unwrap();
        session.child.wait().unwrap();
        mark.assert_nobody_carries();
        eventually(|| (!session.is_raw()).then_some(()));
    }
}

#[test]
fn closing_the_terminal_ends_the_command() {
    need_root!();
    need!("setsid");
    for no_pty in [&[][..], &["--no-pty"]] {
        for options in WAYS {
            let mark = Mark::new();
            let words = [&["env", &mark.0, env!("CARGO_BIN_EXE_nstool"), "unshare"], no_pty, options].concat();
            let words = [&words[..], &["--", "sh", "-c", "echo ready; exec sleep 1000"]].concat();
            let mut session = Session::start(&words);
            session.wait_for("ready");
            session.hang_up();
            session.child.wait().unwrap();
            mark.assert_nobody_carries();
        }
    }
}

#[test]
fn no_pty_passes_the_terminal_through() {
    need_root!();
    need!("setsid");
    let mut session = unshare(&["-u", "--no-pty"], "tty; exit 4");
    let name = ptsname(&session.master, Vec::new()).unwrap().into_string().unwrap();
    session.wait_for(&name);
    assert_eq!(session.child.wait().unwrap().code(), Some(4));
}

#[test]
fn an_error_is_printed_and_its_status_ours() {
    need_root!();
    need!("setsid");
    let mut session = Session::start(&[env!("CARGO_BIN_EXE_nstool"), "unshare", "-u", "--", "/etc/passwd"]);
    session.wait_for("no permission to be executed");
    assert_eq!(session.child.wait().unwrap().code(), Some(126));
    assert!(!session.is_raw());
}

#[test]
fn a_signal_that_would_end_any_command_ends_one_that_is_pid_1() {
    need_root!();
    let start = |script: &str| {
        let mut command = nstool();
        command.args(["unshare", "-p", "--", "sh", "-c", script]);
        let mut nstool = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut told = std::io::BufReader::new(nstool.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut told, &mut line).unwrap();
        (nstool, told)
    };
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1] {
        let mark = Mark::new();
        let mut command = nstool();
        mark.put_on(&mut command);
        let mut nstool = command.args(["unshare", "-p", "--", "sleep", "1000"]).stdin(Stdio::null()).spawn().unwrap();
        // A shell would have handlers still.
        eventually(|| mark.named("sleep"));
        rustix::process::kill_process(rustix::process::Pid::from_child(&nstool), signal).unwrap();
        assert_eq!(nstool.wait().unwrap().signal(), Some(signal.as_raw()));
    }
    // What it catches or ignores is its own business.
    let (mut nstool, told) =
        start("trap '' HUP; trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.02; done");
    for signal in [Signal::HUP, Signal::TERM] {
        rustix::process::kill_process(rustix::process::Pid::from_child(&nstool), signal).unwrap();
    }
    assert_eq!(std::io::read_to_string(told).unwrap(), "caught\n");
    assert_eq!(nstool.wait().unwrap().code(), Some(7));
}
