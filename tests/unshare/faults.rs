//! Each step made to fail, by strace's fault injection, and what is then left: nothing.

use super::*;
use crate::common::stdout_of;
use crate::{need, need_root};

/// A call to fail in which process's how-manyth use, with which errno, the step that is to be named, and the options
/// that lead there.
type Fault = (&'static str, u32, &'static str, &'static str, &'static [&'static str]);

const CONTAINER: &[&str] = &["-pmuin", "--pivot-root", "ROOT", "--hostname", "box"];

const FAULTS: &[Fault] = &[
    ("clone3", 1, "EAGAIN", "start a child in new namespaces: ipc mnt net pid uts", CONTAINER),
    ("clone3", 1, "ENOSPC", "start a child in new namespaces", CONTAINER),
    ("unshare", 1, "EPERM", "create namespaces: mnt uts", &["-mu"]),
    ("unshare", 1, "ENOSPC", "create namespaces: time", &["-rpT", "--monotonic", "1"]),
    ("mount", 1, "EINVAL", "make all mounts private", CONTAINER),
    ("mount", 1, "EACCES", "make all mounts private", &["-m"]),
    ("sethostname", 1, "EPERM", "set the host name box", CONTAINER),
    ("setdomainname", 1, "EPERM", "set the domain name yp", &["-uf", "--domainname", "yp"]),
    ("socket", 1, "EAFNOSUPPORT", "bring the loopback device up", &["-nf", "--lo-up"]),
    ("ioctl", 1, "EPERM", "bring the loopback device up", &["-pn", "--lo-up"]),
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
    ("openat2", 1, "EACCES", "make the directory /d", &["-pmu", "--pivot-root", "ROOT", "--dir", "/d"]),
    ("symlinkat", 1, "ENOSPC", "make the link /l to x", &["-pmu", "--pivot-root", "ROOT", "--symlink", "x:/l"]),
    ("fsopen", 1, "ENODEV", "mount proc on /proc", &["-pmu", "--pivot-root", "ROOT", "--proc", "/proc"]),
    ("fsconfig", 2, "EPERM", "mount proc on /proc", &["-pmu", "--pivot-root", "ROOT", "--proc", "/proc"]),
    ("fsmount", 1, "EPERM", "mount sysfs on /sys", &["-pmun", "--pivot-root", "ROOT", "--sysfs", "/sys"]),
    ("fsconfig", 3, "EINVAL", "mount tmpfs on /t", &["-pmu", "--pivot-root", "ROOT", "--tmpfs", "/t:size=1m"]),
    ("symlinkat", 3, "EIO", "make a small /dev at /dev", &["-pmu", "--pivot-root", "ROOT", "--dev", "/dev"]),
    ("fchmodat", 1, "EIO", "make a small /dev at /dev", &["-pmu", "--pivot-root", "ROOT", "--dev", "/dev"]),
    ("pivot_root", 1, "EINVAL", "pivot to the new root", CONTAINER),
    ("umount2", 1, "EBUSY", "pivot to the new root", CONTAINER),
    ("chroot", 1, "EPERM", "change the root (chroot)", &["-pm", "--root", "ROOT"]),
    ("chdir", 1, "EACCES", "change to the directory /", &["-pm", "-w", "/"]),
    ("mount", 1, "EPERM", "bind the uts namespace", &["-uf"]),
    ("setresuid", 1, "EAGAIN", "become uid 5", &["-pm", "-S", "5"]),
    ("setresgid", 1, "EINVAL", "become gid 5", &["-pm", "--init", "-G", "5"]),
    ("setgroups", 1, "EPERM", "become gid 5", &["-pm", "-G", "5"]),
    ("capset", 1, "EPERM", "hold the capabilities asked for", &["-pm", "--cap-drop", "all"]),
];

#[test]
fn a_step_that_fails_is_named_and_leaves_nothing() {
    need_root!();
    need!("strace");
    for (call, when, errno, step, options) in FAULTS {
        let scratch = Scratch::new();
        let root = scratch.directory("root");
        let kept = scratch.text("kept");
        let mark = Mark::new();
        let inject = format!("inject={call}:error={errno}:when={when}");
        let mut command = Command::new("strace");
        mark.put_on(&mut command);
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &inject, env!("CARGO_BIN_EXE_nstool"), "unshare"]);
        let keeps = options.iter().any(|option| option.contains('u') && option.starts_with('-')) && options.len() > 1
            || step.starts_with("bind the uts");
        if keeps {
            command.arg(format!("--uts={kept}"));
        }
        command.args(options.iter().map(|option| option.replace("ROOT", &root))).args(["--", "echo", "ran"]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let told = stderr(&output);
        let step = step.replace("ROOT", &root);
        assert_eq!(output.status.code(), Some(125), "{call} {when} {errno}: {told}");
        assert!(output.stdout.is_empty(), "{call} {when} {errno}: the command ran");
        assert!(told.starts_with(&format!("error: cannot {step}")), "{call} {when} {errno}: {told}");
        assert!(told.contains("\ncause: "), "{told}");
        mark.assert_nobody_carries();
        assert_no_mount_below(scratch.path());
        assert!(!Path::new(&kept).exists(), "{call} {when} {errno}");
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
fn the_second_of_two_files_failing_takes_back_the_first() {
    need_root!();
    need!("strace");
    let scratch = Scratch::new();
    let (first, second) = (scratch.text("first"), scratch.text("second"));
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "inject=mount:error=EPERM:when=2",
        env!("CARGO_BIN_EXE_nstool"),
    ]);
    let output = command
        .args(["unshare", &format!("--uts={first}"), &format!("--net={second}"), "echo", "ran"])
        .output()
        .unwrap();
    assert!(stderr(&output).contains(&format!("to {second}")), "{}", stderr(&output));
    assert!(!Path::new(&first).exists() && !Path::new(&second).exists());
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
