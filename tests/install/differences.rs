//! Called as nsenter and unshare: where we do not do as util-linux 2.38.1 does, on purpose.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::common::{self, Helper, Public};
use crate::{need, need_root};

/// Returns our binary called by the name of a tool.
fn tool(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nstool"));
    command.arg0(name);
    command
}

fn output(mut command: Command) -> (String, String, ExitStatus) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status)
}

/// Starts a command that prints a line when it runs, and waits for that; returns what it said.
fn started(mut command: Command) -> (Child, BufReader<std::process::ChildStdout>, String) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    (child, reader, line.trim().to_owned())
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

/// Whoever holds the writing end lives; this returns when nobody does.
fn wait_until_nobody_holds(mut reader: impl Read) {
    reader.read_to_end(&mut Vec::new()).unwrap();
}

fn own_pid() -> String {
    std::process::id().to_string()
}

#[test]
fn a_signal_to_nsenter_reaches_the_command_and_its_end_comes_back() {
    need_root!();
    let mut command = tool("nsenter");
    command.args(["-t", &own_pid(), "-p", "sh", "-c", "echo ready; exec sleep 1000"]);
    let (mut child, reader, _) = started(command);
    signal(&child, Signal::SIGTERM);
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
    wait_until_nobody_holds(reader);
}

#[test]
fn a_command_does_not_outlive_a_killed_nsenter() {
    need_root!();
    let mut command = tool("nsenter");
    command.args(["-t", &own_pid(), "-p", "-S", "65534", "sh", "-c", "echo ready; exec sleep 1000"]);
    let (mut child, reader, _) = started(command);
    signal(&child, Signal::SIGKILL);
    child.wait().unwrap();
    wait_until_nobody_holds(reader);
}

#[test]
fn a_child_to_be_killed_is_killed_after_a_change_of_user_too() {
    need_root!();
    for (with, by) in [("KILL", Signal::SIGKILL), ("TERM", Signal::SIGHUP), ("RTMIN+1", Signal::SIGHUP)] {
        let mut command = tool("unshare");
        command.args([&format!("--kill-child={with}"), "-S", "65534", "sh", "-c", "echo ready; exec sleep 1000"]);
        let (mut child, reader, _) = started(command);
        signal(&child, by);
        assert_eq!(child.wait().unwrap().signal(), Some(by as i32));
        wait_until_nobody_holds(reader);
    }
}

#[test]
fn unshare_is_deaf_to_term_and_int_unless_it_forwards_them() {
    need_root!();
    let script = "trap 'exit 42' TERM; echo ready; while :; do read -r line || exit 7; done";
    for (forwards, status) in [(true, 42), (false, 7)] {
        let mut command = tool("unshare");
        command.args(forwards.then_some("--forward-signals")).args(["-f", "sh", "-c", script]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Waiting would close it.
        let stdin = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        signal(&child, Signal::SIGTERM);
        if !forwards {
            signal(&child, Signal::SIGINT);
        }
        // At its end the command goes by itself, so only where it is not told to.
        let stdin = stdin.filter(|_| forwards);
        assert_eq!(child.wait().unwrap().code(), Some(status));
        drop(stdin);
    }
}

#[test]
fn unshare_stops_as_it_is_told_though_an_init_does_not_and_goes_on() {
    need_root!();
    for options in ["-f", "-fp"] {
        let mut command = tool("unshare");
        // In a group of its own, which somebody outside looks after: the kernel stops none else.
        command.args([options, "sh", "-c", "echo ready; read -r line; exit 7"]).process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        signal(&child, Signal::SIGTSTP);
        let status = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert!(matches!(status, WaitStatus::Stopped(..)), "{options}: {status:?}");
        signal(&child, Signal::SIGCONT);
        drop(child.stdin.take());
        assert_eq!(child.wait().unwrap().code(), Some(7), "{options}");
    }
}

#[test]
fn a_child_killed_by_sigkill_is_reported_as_such() {
    need_root!();
    let mut command = tool("unshare");
    command.args(["-f", "sh", "-c", "kill -KILL $$"]);
    let (_, said, status) = output(command);
    assert_eq!((said.as_str(), status.signal()), ("", Some(libc::SIGKILL)));
}

#[test]
fn the_process_called_unshare_is_in_the_namespaces_it_makes() {
    need_root!();
    for fork in [None, Some("-f")] {
        let mut command = tool("unshare");
        command.args(fork).args(["-nu", "--map-users=all", "--map-groups=all"]);
        command.args(["sh", "-c", "readlink /proc/self/ns/net; exec sleep 1000"]);
        let child = Helper::start_command(command);
        let outside = std::fs::read_link(format!("/proc/{}/ns/net", child.pid())).unwrap();
        assert_eq!(outside.to_str(), Some(&*child.said));
    }
}

#[test]
fn setgroups_can_be_denied_with_any_map() {
    need_root!();
    for maps in [&["-r"][..], &["--map-users=0:0:10", "--map-groups=0:0:10"]] {
        let mut command = tool("unshare");
        command.args(maps).args(["--setgroups", "deny", "cat", "/proc/self/setgroups"]);
        assert_eq!(output(command).0, "deny\n");
    }
}

#[test]
fn maps_of_newer_releases_add_up() {
    need_root!();
    let mut command = tool("unshare");
    command.args(["--map-users=0:5:1", "--map-users=1:7:2", "--map-groups=all", "cat", "/proc/self/uid_map"]);
    let (map, _, _) = output(command);
    let map: Vec<Vec<&str>> = map.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(map, [["0", "5", "1"], ["1", "7", "2"]]);
}

#[test]
fn an_owner_and_an_interpreter_of_newer_releases_are_understood() {
    need_root!();
    let mut command = tool("unshare");
    let line = ":nstooltest:M::\\x7fnstool::/bin/true:";
    command.args(["--owner=5:60", "--map-users=all", "--map-groups=all", "-l", line, "-pf", "--mount-proc"]);
    command.args(["sh", "-c", "cat /proc/sys/fs/binfmt_misc/nstooltest; readlink /proc/self/ns/user"]);
    let (said, trouble, status) = output(command);
    assert!(status.success(), "{trouble}");
    assert!(said.starts_with("enabled\ninterpreter /bin/true\n"), "{said}");
}

#[test]
fn the_target_and_its_environment_of_newer_releases_are_understood() {
    need_root!();
    let mut sleeper = Command::new("/bin/sh");
    sleeper.args(["-c", "echo ready; exec sleep 1000"]).env_clear().env("INSIDE", "yes");
    let sleeper = Helper::start_command(sleeper);
    let pid = sleeper.pid().to_string();
    let entered = |arguments: &[&str]| {
        let mut command = tool("nsenter");
        command.args(arguments);
        output(command)
    };
    let (environment, trouble, _) = entered(&["-t", &pid, "-e", "/usr/bin/env"]);
    assert!(environment.contains("INSIDE=yes\n") && !environment.contains("PATH="), "{environment}{trouble}");
    assert!(entered(&["-t", &pid, "-S", "follow", "-G", "follow", "id", "-u"]).0 == "0\n");
    assert!(entered(&["-t", &pid, "-c", "-n", "true"]).2.success());
    let (_, trouble, status) = entered(&["-t", &format!("{pid}:1"), "-n", "true"]);
    assert_eq!(status.code(), Some(1), "{trouble}");
    assert!(trouble.starts_with("nsenter: "), "{trouble}");
}

#[test]
fn what_newer_releases_join_and_keep_is_understood() {
    need_root!();
    let entered = |arguments: &[&str]| {
        let mut command = tool("nsenter");
        command.args(arguments);
        let (said, trouble, _) = output(command);
        said.trim_end().to_owned() + &trouble
    };
    let link = |pid: i32, kind: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    let script = "readlink /proc/self/ns/user; exec unshare -Ur sleep 1000";
    let nested = Helper::shell(&["unshare", "-Ur"], script);
    common::eventually(|| (link(nested.pid(), "user").to_str() != Some(&nested.said)).then_some(()));
    let pid = nested.pid().to_string();
    assert_eq!(entered(&["-t", &pid, "-U", "--user-parent", "readlink", "/proc/self/ns/user"]), nested.said);

    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&socket).to_string();
    let net = entered(&["-t", &own_pid(), "-N", &number, "readlink", "/proc/self/ns/net"]);
    assert_eq!(Some(&*net), link(std::process::id() as i32, "net").to_str());

    let mapped = Helper::shell(&["unshare", "--map-user=5", "--map-group=5"], "echo ready; exec sleep 1000");
    let pid = mapped.pid().to_string();
    let capabilities = |option: Option<&str>| {
        let mut words = vec!["-t", &pid, "-U", "-S", "5", "-G", "5"];
        words.extend(option);
        words.extend(["grep", "CapEff", "/proc/self/status"]);
        entered(&words)
    };
    assert_eq!(capabilities(None), "CapEff:\t0000000000000000");
    assert_ne!(capabilities(Some("--keep-caps")), "CapEff:\t0000000000000000");
}

#[test]
fn no_group_is_to_be_dropped_where_there_is_none() {
    need_root!();
    need!("setpriv");
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-Ur"];
    let target = Helper::shell(&nobody, "echo ready; exec sleep 1000");
    let public = Public::copy("nsenter-groups");
    let mut command = public.run_as_nobody();
    command.args(["nsenter", "-t", &target.pid().to_string(), "-U", "id", "-u"]);
    let (said, trouble, _) = output(command);
    assert_eq!(said, "0\n", "{trouble}");
}

#[test]
fn trouble_of_our_own_is_told_with_its_cause() {
    need_root!();
    for (name, options) in [("unshare", "-f".to_owned()), ("nsenter", format!("-t {} -p", own_pid()))] {
        let script = format!("ulimit -n 8; exec -a {name} {} {options} true", env!("CARGO_BIN_EXE_nstool"));
        let mut command = Command::new("bash");
        command.args(["-c", &script]);
        let (_, said, status) = output(command);
        assert!(said.starts_with(&format!("{name}: cannot ")) && said.ends_with(": Too many open files\n"), "{said}");
        assert_eq!(status.code(), Some(1));
    }
}

#[test]
fn versions_and_help_say_whose_they_are() {
    for name in ["nsenter", "unshare"] {
        let asked = |option: &str| {
            let mut command = tool(name);
            command.arg(option);
            output(command).0
        };
        for option in ["--version", "-V"] {
            assert!(asked(option).starts_with(&format!("{name} from nstool ")));
        }
        let usage = format!("\nUsage:\n {name} [options] [<program> [<argument>...]]\n");
        assert!(asked("-h").starts_with(&usage) && asked("--help").ends_with(&format!("see {name}(1).\n")));
    }
    let by_word = common::run(&["nsenter", "--foo"]);
    let said = String::from_utf8_lossy(&by_word.stderr).into_owned();
    assert_eq!(said, "nsenter: unrecognized option '--foo'\nTry 'nsenter --help' for more information.\n");
    assert_eq!(by_word.status.code(), Some(1));
}
