//! Each step made to fail, and the process that does it killed there, by strace's fault injection; and what is then left:
//! nothing.

use std::os::unix::process::ExitStatusExt;

use super::*;
use crate::common::stdout_of;
use crate::{need, need_root};

/// A call to fail, in its how-manyth use by one process, with which errno; the step that is then to be named; the options
/// that lead there.
type Fault = (&'static str, u32, &'static str, &'static str, &'static [&'static str]);

const CONTAINER: &[&str] = &["-pmuin", "--pivot-root", "ROOT", "--hostname", "box", "--dir", "/made/below"];

/// With a child, and with a namespace to be kept that must not be.
const IN_A_CHILD: &[Fault] = &[
    ("clone3", 1, "EAGAIN", "start a child in new namespaces: ipc mnt net pid uts", CONTAINER),
    ("clone3", 1, "ENOSPC", "start a child in new namespaces", CONTAINER),
    ("unshare", 1, "ENOSPC", "create namespaces: time", &["-rpuT", "--monotonic", "1"]),
    ("unshare", 1, "ENOSPC", "create namespaces: time", &["-puT", "--monotonic", "1"]),
    ("unshare", 1, "EPERM", "create namespaces: cgroup", &["-uC", "--join-cgroup", "GROUP"]),
    ("mkdir", 1, "EAGAIN", "make the control group GROUP", &["-u", "--join-cgroup", "GROUP"]),
    ("setresuid", 1, "EPERM", "become uid 7, gid 8", &["-u", "--owner", "7:8"]),
    ("clone3", 1, "EAGAIN", "start a child in new namespaces: user uts", &["-u", "--owner", "7:8"]),
    ("mount", 1, "EINVAL", "make all mounts private", CONTAINER),
    ("sethostname", 1, "EPERM", "set the host name box", CONTAINER),
    ("setdomainname", 1, "EPERM", "set the domain name yp", &["-uf", "--domainname", "yp"]),
    ("socket", 1, "EAFNOSUPPORT", "bring the loopback device up", &["-un", "--lo-up"]),
    ("ioctl", 1, "EPERM", "bring the loopback device up", &["-upn", "--lo-up"]),
    ("open_tree", 1, "EINVAL", "bind ROOT on itself", CONTAINER),
    ("move_mount", 1, "ENOMEM", "bind ROOT on itself", CONTAINER),
    ("open_tree", 2, "ENOENT", "bind /usr on /usr read-only", &["-pmu", "--pivot-root", "ROOT", "--ro-bind", "/usr"]),
    (
        "mount_setattr",
        1,
        "EPERM",
        "bind /usr on /usr read-only",
        &["-pmu", "--pivot-root", "ROOT", "--ro-bind", "/usr"],
    ),
    ("mkdirat", 1, "EROFS", "bind /usr on /usr read-only", &["-pmu", "--pivot-root", "ROOT", "--ro-bind", "/usr"]),
    ("move_mount", 2, "ENOSPC", "bind /usr on /usr", &["-pmu", "--pivot-root", "ROOT", "--bind", "/usr"]),
    ("openat2", 1, "EACCES", "make the directory /d", &["-pmu", "--pivot-root", "ROOT", "--dir", "/d"]),
    ("symlinkat", 1, "ENOSPC", "make the link /l to x", &["-pmu", "--pivot-root", "ROOT", "--symlink", "x:/l"]),
    ("fsopen", 1, "ENODEV", "mount proc on /proc", &["-pmu", "--pivot-root", "ROOT", "--proc", "/proc"]),
    ("fsconfig", 2, "EPERM", "mount proc on /proc", &["-pmu", "--pivot-root", "ROOT", "--proc", "/proc"]),
    ("fsmount", 1, "EPERM", "mount sysfs on /sys", &["-pmun", "--pivot-root", "ROOT", "--sysfs", "/sys"]),
    ("fsconfig", 3, "EINVAL", "mount tmpfs on /t", &["-pmu", "--pivot-root", "ROOT", "--tmpfs", "/t:size=1m"]),
    ("open_tree", 4, "ENOENT", "make a small /dev at /dev", &["-pmu", "--pivot-root", "ROOT", "--dev", "/dev"]),
    ("symlinkat", 3, "EIO", "make a small /dev at /dev", &["-pmu", "--pivot-root", "ROOT", "--dev", "/dev"]),
    ("fchmodat", 1, "EIO", "make a small /dev at /dev", &["-pmu", "--pivot-root", "ROOT", "--dev", "/dev"]),
    ("fsopen", 1, "ENODEV", "mount binfmt_misc on", &["-rmu", "--mount-binfmt"]),
    ("pivot_root", 1, "EINVAL", "pivot to the new root", CONTAINER),
    ("mount", 2, "EINVAL", "pivot to the new root", CONTAINER),
    ("umount2", 1, "EBUSY", "pivot to the new root", CONTAINER),
    ("chroot", 1, "EPERM", "change the root (chroot)", &["-pmu", "--root", "ROOT"]),
    ("chdir", 1, "EACCES", "change to the directory /", &["-pmu", "-w", "/"]),
    ("setresuid", 1, "EAGAIN", "become uid 5", &["-pu", "-S", "5"]),
    ("setresgid", 1, "EINVAL", "become gid 5", &["-pu", "--init", "-G", "5"]),
    ("setgroups", 1, "EPERM", "become gid 5", &["-pu", "-G", "5"]),
    ("capset", 1, "EPERM", "hold the capabilities asked for", &["-pu", "--cap-drop", "all"]),
    // The keeper's.
    ("open_tree", 1, "EPERM", "bind the uts namespace to KEPT", &["-u"]),
    ("move_mount", 1, "EPERM", "bind the uts namespace to KEPT", &["-u"]),
];

/// In one process, or where keeping would do the call first.
const ALONE: &[Fault] = &[
    ("unshare", 1, "EPERM", "create namespaces: mnt uts", &["-mu"]),
    ("mount", 1, "EACCES", "make all mounts private", &["-m"]),
    ("write", 1, "EPERM", "write uid_map: 0 0 1", &["-r"]),
    ("write", 2, "EPERM", "deny setgroups", &["-r"]),
    ("write", 3, "EPERM", "write gid_map: 0 0 1", &["-r"]),
    ("write", 1, "ERANGE", "set the boottime clock off by 7 s", &["-pT", "--boottime", "7"]),
    ("write", 1, "ERANGE", "set the monotonic clock off by 7 s", &["-T", "--monotonic", "7"]),
    ("sethostname", 1, "EPERM", "set the host name box", &["-u", "--hostname", "box"]),
    ("fsmount", 1, "EPERM", "mount tmpfs on /tmp", &["-m", "--tmpfs", "/tmp"]),
    ("pivot_root", 1, "EINVAL", "pivot to the new root", &["-m", "--pivot-root", "ROOT"]),
    ("setresuid", 1, "EAGAIN", "become uid 5", &["-m", "-S", "5"]),
    ("clone", 1, "EAGAIN", "stay as init, and start the command as its child", &["-p", "--init"]),
    ("clone", 1, "EAGAIN", "make the control group GROUP", &["-u", "--join-cgroup", "GROUP"]),
];

/// Where a test's control group would be; removed at the end, if it is there.
struct MissingGroup(String);

impl MissingGroup {
    fn new(scratch: &Scratch) -> Option<Self> {
        let name = scratch.path().file_name()?.to_str()?;
        cgroup_bases().first().map(|base| Self(format!("{base}/{name}")))
    }
}

impl Drop for MissingGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

struct Outcome {
    status: std::process::ExitStatus,
    told: String,
    ran: bool,
    /// Whether something lies in the new root.
    root_filled: bool,
}

/// Runs nstool with a fault and sees that nothing is left; `None` where there are no control groups.
#[track_caller]
fn run(inject: &str, options: &[&str], keep: bool) -> Option<(Outcome, impl Fn(&str) -> String + use<>)> {
    let scratch = Scratch::new();
    let (root, kept) = (scratch.directory("root"), scratch.text("kept"));
    let group = MissingGroup::new(&scratch);
    if group.is_none() && options.contains(&"GROUP") {
        return None;
    }
    let root_path = root.clone();
    let group_path = group.as_ref().map_or(String::new(), |group| group.0.clone());
    let kept_path = kept.clone();
    let fill = move |text: &str| text.replace("ROOT", &root).replace("GROUP", &group_path).replace("KEPT", &kept_path);
    let mark = Mark::new();
    let mut command = Command::new("timeout");
    mark.put_on(&mut command);
    let inject = format!("inject={inject}");
    // A fault may not leave us waiting either.
    command.args(["60", "strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject]);
    command.args([env!("CARGO_BIN_EXE_nstool"), "unshare"]);
    if keep {
        command.arg(format!("--uts={kept}"));
    }
    command.args(options.iter().map(|option| fill(option))).args(["--", "echo", "ran"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    mark.assert_nobody_carries();
    assert_no_mount_below(scratch.path());
    assert!(!Path::new(&kept).exists(), "{inject} {options:?}");
    if let Some(group) = &group {
        assert!(!Path::new(&group.0).exists(), "{inject} {options:?}");
    }
    assert_ne!(output.status.code(), Some(124), "{inject} {options:?}: it waits forever");
    let outcome = Outcome {
        status: output.status,
        told: stderr(&output),
        ran: !output.stdout.is_empty(),
        root_filled: fs::read_dir(root_path).unwrap().next().is_some(),
    };
    Some((outcome, fill))
}

fn all() -> impl Iterator<Item = (&'static Fault, bool)> {
    IN_A_CHILD.iter().map(|fault| (fault, true)).chain(ALONE.iter().map(|fault| (fault, false)))
}

#[test]
fn a_step_that_fails_is_named_and_leaves_nothing() {
    need_root!();
    need!("strace");
    for ((call, when, errno, step, options), keep) in all() {
        let Some((outcome, fill)) = run(&format!("{call}:error={errno}:when={when}"), options, keep) else { continue };
        let (what, told) = (format!("{call} {when} {errno} {options:?}"), outcome.told);
        assert_eq!(outcome.status.code(), Some(125), "{what}: {told}");
        assert!(!outcome.ran, "{what}: the command ran");
        assert!(told.starts_with(&format!("error: cannot {}", fill(step))), "{what}: {told}");
        assert!(told.contains("\ncause: "), "{what}: {told}");
        assert!(!outcome.root_filled, "{what}");
    }
}

#[test]
fn a_process_killed_in_any_step_leaves_nothing() {
    need_root!();
    need!("strace");
    for ((call, when, _, _, options), keep) in all() {
        let Some((outcome, _)) = run(&format!("{call}:signal=SIGKILL:when={when}"), options, keep) else { continue };
        let what = format!("{call} {when} {options:?}: {}", outcome.told);
        assert!(!outcome.status.success() && !outcome.ran, "{what}");
    }
}

#[test]
fn a_command_that_cannot_run_takes_back_what_was_kept() {
    need_root!();
    let scratch = Scratch::new();
    let (made, there) = (scratch.text("made"), scratch.text("there"));
    fs::write(&there, "").unwrap();
    let output = unshare(&[&format!("--uts={made}"), &format!("--net={there}"), "/no/such/program"]);
    assert_eq!(output.status.code(), Some(127), "{}", stderr(&output));
    assert!(!Path::new(&made).exists());
    // A file that was there before stays, as it was.
    assert_eq!(fs::read(&there).unwrap(), b"");
    assert_no_mount_below(scratch.path());
}

#[test]
fn the_last_of_several_files_failing_takes_back_the_others() {
    need_root!();
    need!("strace");
    let scratch = Scratch::new();
    let files = ["first", "second", "third"].map(|name| scratch.text(name));
    fs::write(&files[1], "").unwrap();
    let mut command = Command::new("strace");
    let inject = "inject=move_mount:error=EPERM:when=3";
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", inject, env!("CARGO_BIN_EXE_nstool"), "unshare"]);
    let options = ["uts", "net", "ipc"].iter().zip(&files).map(|(kind, file)| format!("--{kind}={file}"));
    let output = command.args(options).args(["echo", "ran"]).output().unwrap();
    // In the order of the kinds: uts, ipc, net.
    assert!(stderr(&output).contains(&format!("to {}", files[1])), "{}", stderr(&output));
    assert!(!Path::new(&files[0]).exists() && !Path::new(&files[2]).exists());
    assert!(Path::new(&files[1]).exists());
    assert_no_mount_below(scratch.path());
}

#[test]
fn a_child_that_is_killed_before_its_command_is_told() {
    need_root!();
    need!("strace");
    let inject = "inject=sethostname:signal=SIGKILL:when=1";
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", inject, env!("CARGO_BIN_EXE_nstool")]);
    let output = command.args(["unshare", "-uf", "--hostname", "x", "echo", "ran"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(stderr(&output).contains("signal 9 killed it"), "{}", stderr(&output));
}

#[test]
fn a_helper_that_is_killed_after_making_the_child_does_not_leave_us_waiting() {
    need_root!();
    need!("strace");
    // The first that this helper writes is the number of the child that it has made; nstool's own first, which ends it as
    // well, is that it lost the child.
    let Some((outcome, _)) = run("write:signal=SIGKILL:when=1", &["-U", "--owner", "7:8", "--kill-child=none"], false)
    else {
        return;
    };
    assert!(!outcome.ran && !outcome.status.success(), "{}", outcome.told);
}

#[test]
fn a_child_that_is_killed_while_somebody_else_is_to_write_its_maps_is_told() {
    need_root!();
    let scratch = Scratch::new();
    let (mut nstool, pid, told) = awaiting_maps(&scratch, &Mark::new());
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
    let rest = std::io::read_to_string(told).unwrap();
    assert!(rest.contains("signal 9 killed it"), "{rest}");
    assert_eq!(nstool.wait().unwrap().code(), Some(125));
}

#[test]
fn a_signal_while_we_wait_for_maps_ends_us_and_the_child() {
    need_root!();
    let scratch = Scratch::new();
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let mark = Mark::new();
        let (mut nstool, ..) = awaiting_maps(&scratch, &mark);
        rustix::process::kill_process(rustix::process::Pid::from_child(&nstool), signal).unwrap();
        assert_eq!(nstool.wait().unwrap().signal(), Some(signal.as_raw()));
        mark.assert_nobody_carries();
    }
}

#[test]
fn what_does_not_ask_for_our_end_while_we_wait_for_maps_is_passed_on_later() {
    need_root!();
    use rustix::process::{Pid, Signal, kill_process};
    let scratch = Scratch::new();
    let block = scratch.text("block");
    stdout_of(Command::new("mkfifo").arg(&block).output().unwrap());
    // As nohup(1) and shells in the background start programs.
    let text = "trap '' INT; exec 8<>\"$1\"; exec \"$0\" unshare -Uv --userns-block-fd 8 -- sleep 20";
    let mut command = Command::new("sh");
    command.args(["-c", text, env!("CARGO_BIN_EXE_nstool"), &block]).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut nstool = command.spawn().unwrap();
    let mut told = BufReader::new(nstool.stderr.take().unwrap());
    told.read_line(&mut String::new()).unwrap();
    for signal in [Signal::INT, Signal::USR1] {
        kill_process(Pid::from_child(&nstool), signal).unwrap();
    }
    fs::write(&block, "go").unwrap();
    assert_eq!(nstool.wait().unwrap().signal(), Some(libc::SIGUSR1));
    let rest = std::io::read_to_string(told).unwrap();
    assert!(rest.contains("done: wait for"), "{rest}");
}

#[test]
fn whoever_wants_to_be_told_and_is_gone_is_an_error() {
    need_root!();
    let scratch = Scratch::new();
    let kept = scratch.text("kept");
    let text =
        "trap '' PIPE; { sleep 0.2; \"$0\" unshare --uts=\"$1\" --info-fd 7 echo ran >&2; echo $? >&2; } 7>&1 | true";
    let output = Command::new("sh").args(["-c", text, env!("CARGO_BIN_EXE_nstool"), &kept]).output().unwrap();
    let told = stderr(&output);
    assert!(told.starts_with("error: cannot tell the child's pid and namespaces\n"), "{told}");
    assert!(told.ends_with("125\n") && !told.contains("ran"), "{told}");
    assert!(!Path::new(&kept).exists());
}

#[test]
fn a_helper_that_refuses_is_quoted() {
    need_root!();
    need!("newuidmap", "setpriv");
    let scratch = Scratch::new();
    let output = as_nobody(&scratch, &["--map-users", "0:7:1", "echo", "ran"]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(125));
    assert!(told.contains("newuidmap refused: ") && told.contains("/etc/subuid"), "{told}");
    assert!(output.stdout.is_empty());
    // The same user may do with his own.
    assert_eq!(stdout_of(as_nobody(&scratch, &["-r", "--", "id", "-u"])), "0\n");
}
