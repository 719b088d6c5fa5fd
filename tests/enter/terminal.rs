//! The pseudo-terminal between, driven through one of the tests' own.

use rustix::pty::ptsname;
use rustix::termios::{LocalModes, OptionalActions, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use super::{child_of, lives, sleeper_in_pid_namespace};
use crate::common::eventually;
use crate::common::terminal::{PUSH, Session, is_stopped};
use crate::{need, need_root};

fn enter(target: &str, options: &[&str], script: &str) -> Session {
    let words = [&[env!("CARGO_BIN_EXE_nstool"), "enter", target], options, &["--", "sh", "-c", script]];
    Session::start(&words.concat())
}

#[test]
fn what_is_typed_arrives_what_is_printed_comes_back_and_the_terminal_is_put_right() {
    need_root!();
    need!("setsid");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let mut session = enter(&pid, &[], "stty size; read line; echo \"got $line\"; exit 3");
    session.wait_for("33 99");
    assert!(session.is_raw());
    session.type_in("hello\r");
    session.wait_for("got hello\r\n");
    assert_eq!(session.child.wait().unwrap().code(), Some(3));
    assert!(!session.is_raw());
}

#[test]
fn all_of_a_long_output_arrives_in_order() {
    need_root!();
    need!("setsid");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let mut session = enter(&pid, &[], "seq 1 20000; echo the end");
    session.wait_for("the end");
    let numbers: Vec<u32> = session.seen.lines().filter_map(|line| line.trim().parse().ok()).collect();
    assert!(numbers.iter().copied().eq(1..=20000), "{} lines", numbers.len());
}

#[test]
fn control_c_interrupts_the_command_and_not_us() {
    need_root!();
    need!("setsid");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let mut session = enter(&pid, &[], "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.05; done");
    session.wait_for("ready");
    session.type_in("\x03");
    session.wait_for("caught");
    assert_eq!(session.child.wait().unwrap().code(), Some(5));
}

/// Enters as a job of a shell, which lets it go on as `orders` say when it stopped.
fn enter_as_job(target: &str, script: &str, orders: &str) -> Session {
    Session::start_job(&[env!("CARGO_BIN_EXE_nstool"), "enter", target, "--", "sh", "-c", script], orders)
}

#[test]
fn control_z_stops_the_command_and_us_and_both_go_on() {
    need_root!();
    need!("setsid", "bash");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let script = "echo ready; sleep 0.2 & wait; echo going; read line; echo on $line; exit 6";
    let mut session = enter_as_job(&pid, script, "fg");
    session.wait_for("ready");
    session.type_in("\x1a");
    // As for any job that a key stopped: 128 and SIGTSTP.
    session.wait_for("was=148");
    let nstool = child_of(session.pid());
    let monitor = child_of(nstool);
    assert!(is_stopped(nstool) && is_stopped(monitor) && is_stopped(child_of(monitor)));
    assert!(!session.is_raw());
    session.type_in("\r");
    session.wait_for("going");
    eventually(|| session.is_raw().then_some(()));
    session.type_in("we go\r");
    session.wait_for("on we go");
    assert_eq!(session.child.wait().unwrap().code(), Some(6));
}

#[test]
fn a_stopped_command_that_goes_on_in_the_background_has_the_terminal_again_when_it_reads_in_the_foreground() {
    need_root!();
    need!("setsid", "bash");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    // It runs when `fg` comes, so that this sends no signal.
    let orders = "bg; echo behind; read line; echo \"shell=$line\"; fg";
    let mut session = enter_as_job(&pid, "echo ready; read line; echo got=$line; exit 8", orders);
    session.wait_for("ready");
    session.type_in("\x1a");
    session.wait_for("was=148");
    session.type_in("\r");
    session.wait_for("behind");
    // What is typed meanwhile is the shell's.
    session.type_in("one\r");
    session.wait_for("shell=one");
    session.type_in("two\r");
    session.wait_for("got=two");
    assert_eq!(session.child.wait().unwrap().code(), Some(8));
    assert!(!session.is_raw());
}

#[test]
fn where_nobody_does_job_control_control_z_is_ignored() {
    need_root!();
    need!("setsid");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    // As below sshd: we lead the session, so that nobody would let us go on.
    let mut session =
        enter(&pid, &[], "echo ready; read line; echo \"got $line\"; read line; echo \"and $line\"; exit 5");
    session.wait_for("ready");
    session.type_in("\x1a");
    session.type_in("one\r");
    session.wait_for("got one");
    session.type_in("\x1atwo\r");
    session.wait_for("and two");
    assert_eq!(session.child.wait().unwrap().code(), Some(5));
}

#[test]
fn who_goes_on_printing_in_the_background_does_not_keep_us_from_stopping() {
    need_root!();
    need!("setsid", "yes");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let mut session = enter(&pid, &[], "set -m; echo ready; yes & kill -STOP $$; kill %1; exit 4");
    session.wait_for("ready");
    // Somebody has to read it all, or we would be held up by the terminal.
    let mut master = session.master.try_clone().unwrap();
    let reader =
        std::thread::spawn(
            move || while std::io::Read::read(&mut master, &mut [0; 4096]).is_ok_and(|count| count > 0) {},
        );
    eventually(|| is_stopped(session.pid()).then_some(()));
    session.signal(rustix::process::Signal::CONT);
    assert_eq!(session.child.wait().unwrap().code(), Some(4));
    session.hang_up();
    reader.join().unwrap();
}

#[test]
fn control_c_interrupts_all_of_the_job_where_the_input_is_a_pipe() {
    need_root!();
    need!("setsid");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let nstool = env!("CARGO_BIN_EXE_nstool");
    // A shell that waits for its child takes the signal only when that has ended.
    let script = "trap 'echo caught; exit 5' INT; sh -c 'echo ready; exec sleep 1000'; echo missed";
    let outer = format!("trap : INT; true | {nstool} enter {pid} -- sh -c \"$0\"; echo over=$?");
    let mut session = Session::start(&["sh", "-c", &outer, script]);
    session.wait_for("ready");
    session.type_in("\x03");
    session.wait_for("over=5");
    assert!(session.seen.contains("caught") && !session.seen.contains("missed"), "{}", session.seen);
}

#[test]
fn on_a_terminal_that_controls_nobody_typed_words_arrive_and_its_end_is_the_commands() {
    need_root!();
    need!("setsid");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    for options in [&[][..], &["-F"]] {
        let words = [&[env!("CARGO_BIN_EXE_nstool"), "enter", &pid], options].concat();
        let script = "echo ready; read line; echo \"got $line\"; exec sleep 1000";
        let mut session = Session::start_uncontrolled(&[&words[..], &["--", "sh", "-c", script]].concat());
        session.wait_for("ready");
        session.type_in("hello\r");
        session.wait_for("got hello");
        let between = child_of(session.pid());
        session.hang_up();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&session.child.wait().unwrap()), Some(1));
        assert!(!lives(between));
    }
}

#[test]
fn an_end_of_file_typed_while_others_changed_the_modes_is_the_commands() {
    need_root!();
    need!("setsid");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let mut session = enter(&pid, &[], "echo ready; cat; read line </dev/tty; echo \"got $line\"; exit 6");
    session.wait_for("ready");
    eventually(|| session.is_raw().then_some(()));
    // As of `stty sane` from elsewhere.
    let mut modes = tcgetattr(&session.slave).unwrap();
    modes.local_modes |= LocalModes::ICANON;
    tcsetattr(&session.slave, OptionalActions::Now, &modes).unwrap();
    session.type_in("\x04one\r\n");
    session.wait_for("got one");
    assert_eq!(session.child.wait().unwrap().code(), Some(6));
}

#[test]
fn what_is_printed_to_another_terminal_appears_there() {
    need_root!();
    need!("setsid", "sleep");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let mut other = Session::start(&["sleep", "1000"]);
    let place = ptsname(&other.master, Vec::new()).unwrap().into_string().unwrap();
    let nstool = env!("CARGO_BIN_EXE_nstool");
    let outer = format!("{nstool} enter {pid} -- sh -c 'echo first; echo second >&2' >{place}; echo over");
    let mut session = Session::start(&["sh", "-c", &outer]);
    session.wait_for("over");
    other.wait_for("first");
    assert!(session.seen.contains("second") && !session.seen.contains("first"), "{}", session.seen);
}

#[test]
fn a_change_of_size_is_followed() {
    need_root!();
    need!("setsid");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let mut session = enter(&pid, &[], "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done");
    session.wait_for("ready");
    let size = Winsize { ws_row: 44, ws_col: 111, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&session.master, size).unwrap();
    session.wait_for("44 111");
    assert_eq!(tcgetwinsize(&session.slave).unwrap().ws_col, 111);
}

#[test]
fn a_signal_to_us_reaches_the_command_and_the_terminal_is_put_right() {
    need_root!();
    need!("setsid");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let mut session = enter(&pid, &[], "trap 'echo asked; exit 9' TERM; echo ready; while :; do sleep 0.05; done");
    session.wait_for("ready");
    session.signal(rustix::process::Signal::TERM);
    session.wait_for("asked");
    assert_eq!(session.child.wait().unwrap().code(), Some(9));
    assert!(!session.is_raw());
}

#[test]
fn a_terminal_that_takes_nothing_does_not_keep_us_from_ending() {
    need_root!();
    need!("setsid", "yes");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let session = Session::start(&[env!("CARGO_BIN_EXE_nstool"), "enter", &pid, "--", "yes"]);
    // Nobody reads what it prints, so that it is held up sooner or later.
    let is_held_up = |pid: i32| {
        let wait = std::fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "yes\n")
            && wait != "0"
            && !wait.is_empty()
    };
    let grandchild = || {
        let child = |pid: i32| {
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            children.split_whitespace().last()?.parse().ok()
        };
        child(child(session.pid())?)
    };
    eventually(|| grandchild().filter(|pid| is_held_up(*pid)));
    session.signal(rustix::process::Signal::TERM);
    let mut session = session;
    let status = session.child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
}

#[test]
fn killing_us_kills_the_command_and_puts_the_terminal_right() {
    need_root!();
    need!("setsid");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let mut session = enter(&pid, &[], "trap '' HUP; echo ready; exec sleep 1000");
    session.wait_for("ready");
    let monitor = child_of(session.pid());
    let command = child_of(monitor);
    session.child.kill().unwrap();
    session.child.wait().unwrap();
    eventually(|| (!lives(monitor) && !lives(command)).then_some(()));
    assert!(!session.is_raw());
}

#[test]
fn a_program_inside_cannot_type_into_our_terminal() {
    need_root!();
    need!("setsid", "python3", "nsenter");
    let legacy = std::fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti");
    if legacy.is_ok_and(|text| text.trim() == "0") {
        return crate::common::skip("TIOCSTI is turned off in this kernel");
    }
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let mut session = Session::start(&["nsenter", "-t", &pid, "-p", "sh", "-c", PUSH]);
    session.wait_for("done");
    assert!(session.seen.contains("pushed") && session.left_to_read() > 0, "{}", session.seen);
    drop(session);
    let mut session = enter(&pid, &[], PUSH);
    session.wait_for("done");
    session.child.wait().unwrap();
    assert_eq!(session.left_to_read(), 0, "{}", session.seen);
    // Nor through /dev/tty, with no terminal on descriptors 0 to 2.
    let script = format!("({PUSH}) </dev/tty >/dev/null 2>&1 || true");
    let nstool = env!("CARGO_BIN_EXE_nstool");
    let outer = format!("{nstool} enter {pid} -- sh -c \"$0\" </dev/null >/dev/null 2>&1; echo over");
    let mut session = Session::start(&["sh", "-c", &outer, &script]);
    session.wait_for("over");
    assert_eq!(session.left_to_read(), 0);
    // Nor where we lead the session, and no pid namespace is joined that a child would be born in.
    let target = super::sleeper(&["-u"]);
    let outer = format!("exec {nstool} enter {} -- sh -c \"$0\" </dev/null >/dev/null 2>&1", target.pid());
    let mut session = Session::start(&["sh", "-c", &outer, &script]);
    session.child.wait().unwrap();
    assert_eq!(session.left_to_read(), 0);
}

#[test]
fn in_a_pipeline_the_terminal_is_left_to_others_until_the_command_reads() {
    need_root!();
    need!("setsid");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let pipeline = |script: &str| {
        let nstool = env!("CARGO_BIN_EXE_nstool");
        Session::start(&["sh", "-c", &format!("{nstool} enter {pid} -- sh -c \"$0\" | cat"), script])
    };
    let mut session = pipeline("echo ready; exec sleep 1000");
    session.wait_for("ready");
    session.type_in("kept\r");
    session.wait_for("kept");
    // What a pager would have: the modes of its own, and every key.
    assert!(!session.is_raw());
    assert_eq!(session.left_to_read(), 5);
    drop(session);
    let mut session = pipeline("echo ready; read word; echo got $word; read word; echo and $word");
    session.wait_for("ready");
    session.type_in("one\r");
    session.wait_for("got one");
    assert!(session.is_raw());
    session.type_in("two\r");
    session.wait_for("and two");
    assert!(session.child.wait().unwrap().success());
    assert!(!session.is_raw());
}

#[test]
fn the_terminal_is_put_right_when_the_command_is_killed() {
    need_root!();
    need!("setsid");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    // By itself, and by whoever kills the child between.
    for monitor in [false, true] {
        let mut session = enter(&pid, &[], "echo ready; exec sleep 1000");
        session.wait_for("ready");
        eventually(|| session.is_raw().then_some(()));
        let between = child_of(session.pid());
        let command = child_of(between);
        let victim = rustix::process::Pid::from_raw(if monitor { between } else { command }).unwrap();
        rustix::process::kill_process(victim, rustix::process::Signal::KILL).unwrap();
        let status = session.child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        assert!(!session.is_raw());
        eventually(|| (!lives(between) && !lives(command)).then_some(()));
    }
}

#[test]
fn killing_all_of_us_kills_a_command_that_changed_its_credentials() {
    need_root!();
    need!("setsid", "setpriv");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let script = "trap '' HUP; exec setpriv --reuid 65534 --clear-groups sh -c 'echo ready; exec sleep 1000'";
    for options in [&[][..], &["-F"]] {
        let mut session = enter(&pid, options, script);
        session.wait_for("ready");
        let between = child_of(session.pid());
        let command = if options.is_empty() { child_of(between) } else { between };
        session.child.kill().unwrap();
        if let Some(between) = rustix::process::Pid::from_raw(between).filter(|_| options.is_empty()) {
            let _ = rustix::process::kill_process(between, rustix::process::Signal::KILL);
        }
        session.child.wait().unwrap();
        eventually(|| (!lives(command)).then_some(()));
    }
}

#[test]
fn no_pty_passes_the_terminal_through() {
    need_root!();
    need!("setsid");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let mut session = enter(&pid, &["--no-pty"], "tty; exit 4");
    let name = ptsname(&session.master, Vec::new()).unwrap().into_string().unwrap();
    session.wait_for(&name);
    assert_eq!(session.child.wait().unwrap().code(), Some(4));
}

#[test]
fn a_failure_before_the_command_is_printed_on_a_terminal_put_right() {
    need_root!();
    need!("setsid");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let mut session = Session::start(&[env!("CARGO_BIN_EXE_nstool"), "enter", &pid, "--", "/etc/passwd"]);
    session.wait_for("no permission to be executed");
    assert_eq!(session.child.wait().unwrap().code(), Some(126));
    assert!(!session.is_raw());
}
