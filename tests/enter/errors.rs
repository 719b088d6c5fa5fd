//! Each way in which joining fails, made for real, and what is said of it.

use std::fs;
use std::process::Command;

use super::{enter, sleeper, sleeper_in_pid_namespace, stderr_of};
use crate::common::{Helper, inode_of};
use crate::{need, need_root};

/// Checks exit status, message and hint of a refusal.
#[track_caller]
pub fn refused(words: &[&str], status: i32, parts: &[&str]) {
    let output = enter(words);
    let said = stderr_of(&output);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(said.starts_with("error: "), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
}

#[test]
fn a_target_that_is_not_there_is_told() {
    refused(&["999999999", "--", "true"], 125, &["no process 999999999", "hint:  it may have ended"]);
    refused(&["ns:1", "--", "true"], 125, &["no namespace 1 found"]);
    refused(&["netns:no-such", "--", "true"], 125, &["no network namespace is named no-such"]);
    refused(&["/etc/passwd", "--", "true"], 125, &["/etc/passwd is no namespace file", "it is a plain file"]);
    refused(&["--", "true"], 2, &["nothing to enter", "name a target"]);
    let own = format!("ns:{}", inode_of(std::process::id() as i32, "net"));
    refused(&[&own, "-m", "--", "true"], 125, &["it is no process"]);
    refused(&["--net=/proc/self/ns/uts", "--", "true"], 125, &["is a uts namespace, not a net namespace"]);
}

#[test]
fn bad_usage_is_2() {
    for words in [
        &["0"][..],
        &["+5"],
        &["self", "-S", "-1"],
        &["self", "-J"],
        &["self", "--setenv", "x"],
        &["self", "-w", "-W", "/"],
    ] {
        assert_eq!(enter(words).status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn a_pid_that_was_reused_is_refused() {
    need_root!();
    need!("unshare", "python3");
    // In a pid namespace of its own a number can be given twice; prints both pidfds' inodes and what nstool says.
    let script = r#"
import os, subprocess, sys
def start(): return subprocess.Popen(["sleep", "1000"])
def inode(pid): return os.fstat(os.pidfd_open(pid)).st_ino
first = start()
name = "%d:%d" % (first.pid, inode(first.pid))
enter = lambda: subprocess.run([sys.argv[1], "enter", name, "--", "echo", "in"], capture_output=True, text=True)
assert enter().stdout == "in\n", enter()
first.kill(); first.wait()
while True:
    open("/proc/sys/kernel/ns_last_pid", "w").write(str(first.pid - 1))
    second = start()
    if second.pid == first.pid: break
    second.kill(); second.wait()
result = enter()
second.kill(); second.wait()
print(result.returncode, result.stderr)
"#;
    let nstool = env!("CARGO_BIN_EXE_nstool");
    let mut command = Command::new("unshare");
    command.args(["-pf", "--mount-proc", "--kill-child", "python3", "-c", script, nstool]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if stderr_of(&output).contains("AssertionError") {
        assert!(stderr_of(&output).contains("Linux 6.9"), "{}", stderr_of(&output));
        return crate::common::skip("needs pidfds with inodes of their own (Linux 6.9)");
    }
    assert!(
        said.starts_with("125 ") && said.contains("its number now belongs to process"),
        "{said}{}",
        stderr_of(&output)
    );
}

#[test]
fn the_host_is_not_below_a_container() {
    need_root!();
    need!("unshare");
    let target = sleeper(&["-n", "-u"]);
    let nstool = env!("CARGO_BIN_EXE_nstool");
    let inside = |wrapper: &[&str], words: &str| {
        let script = format!("exec {nstool} enter {words}");
        let output = Command::new(wrapper[0]).args(&wrapper[1..]).args(["sh", "-c", &script]).output().unwrap();
        assert_eq!(output.status.code(), Some(125));
        stderr_of(&output)
    };
    // Not even its namespaces can be opened from there.
    let said = inside(&["unshare", "-Ur"], &format!("{} -n -- true", target.pid()));
    assert!(said.contains("in an outer user namespace"), "{said}");
    let said = inside(
        &["sh", "-c", "exec 9</proc/self/ns/user; exec unshare -Ur \"$@\"", "sh"],
        "--user=/proc/self/fd/9 -- true",
    );
    assert!(said.contains("not below our own user namespace"), "{said}");
    // EINVAL: pid namespaces are joined downward.
    let said = inside(
        &["sh", "-c", "exec 9</proc/self/ns/pid; exec unshare -pf --mount-proc \"$@\"", "sh"],
        "--pid=/proc/self/fd/9 -- true",
    );
    assert!(said.contains("not below our own pid namespace") && said.contains("downward only"), "{said}");
}

#[test]
fn without_capabilities_the_lacking_one_is_named() {
    need_root!();
    need!("unshare", "setpriv");
    let target = sleeper(&["-m"]);
    let script = format!("exec {} enter {} -- true", env!("CARGO_BIN_EXE_nstool"), target.pid());
    for (drop, lacks) in [("-sys_admin", "CAP_SYS_ADMIN"), ("-sys_chroot", "CAP_SYS_CHROOT")] {
        let output = Command::new("setpriv")
            .args(["--bounding-set", drop, "--inh-caps", drop, "sh", "-c", &script])
            .output()
            .unwrap();
        let said = stderr_of(&output);
        // Without CAP_SYS_ADMIN the mount namespace of another cannot even be opened on some kernels.
        assert!(said.contains(lacks) || said.contains("Operation not permitted"), "{said}");
        assert_eq!(output.status.code(), Some(125));
    }
}

#[test]
fn a_pid_namespace_whose_init_ended_is_told_and_not_taken_for_a_lack_of_memory() {
    need_root!();
    need!("unshare");
    let helper = Helper::shell(
        &["unshare", "-p"],
        "sh -c 'echo ready; read line' <&0; exec 9</proc/self/ns/pid_for_children; exec sleep 1000",
    );
    let pid = helper.pid();
    // The first child was the init, and has ended: the descriptor is all that keeps the namespace.
    let path = format!("/proc/{pid}/fd/9");
    crate::common::eventually(|| fs::metadata(&path).ok());
    refused(
        &[&format!("--pid={path}"), "--", "true"],
        125,
        &["cannot start a process in pid namespace", "its init (PID 1 inside) has ended", "not about memory"],
    );
    // Linux 6.11 tells it before anything is joined; else the fork does.
    let words = [&format!("--pid={path}"), "--dry-run", "--", "true"];
    if crate::common::stage(&["without", "ioctls", "--"]).arg("true").status().unwrap().success() {
        let without = |command: &mut Command| command.args(["enter", words[0], "--", "true"]).output().unwrap();
        let output = without(crate::common::stage(&["without", "ioctls", "--"]).arg(env!("CARGO_BIN_EXE_nstool")));
        assert!(stderr_of(&output).contains("its init (PID 1 inside) has ended"), "{}", stderr_of(&output));
    }
    refused(&words, 125, &["its init (PID 1 inside) has ended"]);
}

/// Runs `enter` with the first call named so failing as it would for some other reason than what preflight looks at.
fn with_failing(call: &str, errno: &str, words: &[&str]) -> std::process::Output {
    let injection = format!("inject={call}:error={errno}:when=1");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &injection, env!("CARGO_BIN_EXE_nstool"), "enter"]);
    command.args(words).stdin(std::process::Stdio::null()).output().unwrap()
}

#[test]
fn each_errno_of_setns_is_worded_with_its_cause() {
    need_root!();
    need!("unshare", "strace");
    let (_helper, target) = sleeper_in_pid_namespace(&["-muinpCUT", "-r", "--mount-proc"]);
    for (letter, errno, kind, part) in [
        (
            "-U",
            "EPERM",
            "user",
            "we lack CAP_SYS_ADMIN in it (EPERM)\nhint:  run nstool as root or as the namespace's owner",
        ),
        ("-U", "EINVAL", "user", "it is the one we are in already (EINVAL)"),
        ("-U", "EUSERS", "user", "Too many users"),
        ("-m", "EPERM", "mnt", "(EPERM)\nhint:  join the user namespace too (-U)"),
        ("-m", "EINVAL", "mnt", "shares its root and working directory with another one (EINVAL)"),
        ("-m", "EBUSY", "mnt", "no root left to stand in (EBUSY)"),
        ("-p", "EPERM", "pid", "CAP_SYS_ADMIN in the user namespace that owns it"),
        ("-p", "EINVAL", "pid", "joined downward only (EINVAL)"),
        ("-n", "EPERM", "net", "CAP_SYS_ADMIN in the user namespace that owns it"),
        ("-n", "ENOMEM", "net", "Cannot allocate memory"),
        ("-u", "EPERM", "uts", "(EPERM)"),
        ("-i", "EPERM", "ipc", "(EPERM)"),
        ("-C", "EPERM", "cgroup", "(EPERM)"),
        ("-T", "EUSERS", "time", "more than one thread (EUSERS)"),
        ("-T", "EPERM", "time", "(EPERM)"),
        ("-n", "EBADF", "net", "Bad file descriptor"),
    ] {
        let output = with_failing("setns", errno, &[&target, letter, "--", "true"]);
        let said = stderr_of(&output);
        let message = format!("error: cannot join {kind} namespace {}", inode_of(target.parse().unwrap(), kind));
        assert!(said.contains(&message) && said.contains(part), "{letter} {errno}: {said}");
        assert_eq!(output.status.code(), Some(125), "{said}");
    }
}

#[test]
fn a_filter_that_forbids_setns_is_named_as_what_it_can_be() {
    need_root!();
    let target = sleeper(&["-n"]);
    let mut command = crate::common::stage(&["refused", "setns", "--", env!("CARGO_BIN_EXE_nstool"), "enter"]);
    let output = command.args([&target.pid().to_string(), "--", "true"]).output().unwrap();
    let said = stderr_of(&output);
    assert!(said.contains("possible causes: the seccomp filter that nstool itself runs under"), "{said}");
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn who_shares_root_and_directory_with_another_process_joins_all_the_same() {
    need_root!();
    need!("unshare", "nsenter");
    let target = sleeper(&["-U", "-r", "-m"]);
    let pid = target.pid().to_string();
    // setns(2): EINVAL.
    let mut theirs = crate::common::stage(&["shared", "nsenter", "-t", &pid, "-U", "-m", "true"]);
    assert!(!theirs.output().unwrap().status.success());
    let mut ours = crate::common::stage(&["shared", env!("CARGO_BIN_EXE_nstool"), "enter", &pid]);
    let output = ours.args(["--", "readlink", "/proc/self/ns/mnt"]).output().unwrap();
    assert_eq!(crate::common::stdout_of(output).trim(), format!("mnt:[{}]", inode_of(target.pid(), "mnt")));
}

#[test]
fn a_process_that_ended_between_finding_and_joining_is_refused_though_its_number_is_anothers() {
    need_root!();
    need!("unshare", "python3", "strace");
    // nstool is stopped behind its first call on the target; then the number changes hands.
    let script = r#"
import os, signal, subprocess, sys, time
def start(): return subprocess.Popen(["sleep", "1000"])
first = start()
trace = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=%s:signal=SIGSTOP:when=%s" % tuple(sys.argv[2].split("/"))]
enter = subprocess.Popen(trace + [sys.argv[1], "enter", str(first.pid), "--", "echo", "in"],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
def found():
    for child in open("/proc/%d/task/%d/children" % (enter.pid, enter.pid)).read().split():
        try:
            links = [os.readlink("/proc/%s/fd/%s" % (child, fd)) for fd in os.listdir("/proc/%s/fd" % child)]
        except OSError: continue
        # It stops before it does anything else.
        if any("pidfd" in link for link in links): return int(child)
end = time.monotonic() + 60
while not found():
    assert time.monotonic() < end
tracee = found()
first.kill(); first.wait()
while True:
    open("/proc/sys/kernel/ns_last_pid", "w").write(str(first.pid - 1))
    second = start()
    if second.pid == first.pid: break
    second.kill(); second.wait()
while enter.poll() is None:
    # Again and again, for it may come before the stop.
    try: os.kill(tracee, signal.SIGCONT)
    except ProcessLookupError: pass
    time.sleep(0.01)
said = enter.stdout.read()
second.kill(); second.wait()
print(enter.returncode, said)
"#;
    let mut command = Command::new("unshare");
    command.args(["-pf", "--mount-proc", "--kill-child", "python3", "-c", script]);
    let output = command.args([env!("CARGO_BIN_EXE_nstool"), "pidfd_open/1"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with("125 ") && said.contains("has ended"), "{said}{}", stderr_of(&output));
}

#[test]
fn a_name_that_is_a_plain_file_is_said_to_be_one() {
    need_root!();
    need!("unshare", "mount");
    let script = format!(
        "mount -t tmpfs none /run && mkdir /run/netns && touch /run/netns/blue && exec {} enter netns:blue -- true",
        env!("CARGO_BIN_EXE_nstool")
    );
    let output = Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    let said = stderr_of(&output);
    assert!(said.contains("/run/netns/blue is no namespace file") && said.contains("it is a plain file"), "{said}");
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn what_shows_another_world_than_the_one_joined_is_said() {
    need_root!();
    let (_helper, pid) = sleeper_in_pid_namespace(&["-pmn", "--mount-proc"]);
    let said = |words: &[&str]| stderr_of(&enter(&[&[&pid[..]], words, &["--", "true"]].concat()));
    assert!(said(&["-p"]).contains("/proc still shows the processes outside"));
    assert!(said(&["-m"]).contains("/proc inside shows a pid namespace in which the command is not"));
    assert!(said(&["-n", "-v"]).contains("/sys still shows the network interfaces outside"));
    for words in [&["-p", "-m"][..], &["-n"], &[]] {
        assert_eq!(said(words), "");
    }
}

#[test]
fn ids_that_are_not_mapped_are_refused_with_the_map() {
    need_root!();
    need!("unshare");
    let target = sleeper(&["-Ur"]);
    let pid = target.pid().to_string();
    refused(&[&pid, "-S", "33", "--", "true"], 125, &["cannot take user id 33", "these are: 0"]);
    refused(&[&pid, "-G", "33", "--", "true"], 125, &["cannot take group id 33", "these are: 0"]);
    // With a file nobody told the map beforehand, so the kernel's EINVAL is worded.
    let file = format!("--user=/proc/{pid}/ns/user");
    refused(
        &[&file, "-S", "33", "--", "true"],
        125,
        &["cannot take user id 33", "it is not mapped", "choose a mapped id with -S"],
    );
}

#[test]
fn where_setgroups_is_denied_the_groups_that_stay_are_named() {
    need_root!();
    need!("unshare", "setpriv");
    let target = sleeper(&["-Ur"]);
    let script = format!("exec {} enter {} -- id -u", env!("CARGO_BIN_EXE_nstool"), target.pid());
    let output = Command::new("setpriv").args(["--groups", "4,27", "sh", "-c", &script]).output().unwrap();
    assert_eq!(
        stderr_of(&output),
        "note:  supplementary groups stay (4, 27): setgroups is denied in that user namespace\n"
    );
    assert_eq!(crate::common::stdout_of(output), "0\n");
}

#[test]
fn files_that_cannot_be_executed_are_told_apart() {
    need_root!();
    need!("unshare", "mount");
    let helper = Helper::shell(
        &["unshare", "-m"],
        "mount -t tmpfs -o noexec none /mnt && cp /bin/true /mnt && echo ready && exec sleep 1000",
    );
    let pid = helper.pid().to_string();
    refused(&[&pid, "--", "/mnt/true"], 126, &["/mnt/true lies on a filesystem mounted noexec"]);
    refused(&[&pid, "--", "/mnt"], 126, &["/mnt is a directory"]);
    refused(&[&pid, "--", "/etc/passwd"], 126, &["/etc/passwd has no permission to be executed"]);
    refused(&[&pid, "--", "/mnt/none"], 127, &["cannot run /mnt/none"]);
    // A file for a machine that this is none of, which the target sees too.
    let directory = crate::common::TemporaryDirectory::new();
    let file = directory.path().join("foreign");
    let machine = [&b"\x7fELF\x02\x01\x01"[..], &[0; 9], &[2, 0, 247, 0], &[0; 100]].concat();
    fs::write(&file, machine).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    refused(&[&pid, "--", file.to_str().unwrap()], 126, &["is for another machine: number 247"]);
    refused(&["self", "--", "no-such-program"], 127, &["cannot run no-such-program", "no directory of PATH has it"]);
    refused(&["self", "--", "./a\x1b[2J"], 127, &["./a\\x1b[2J"]);
}

#[test]
fn a_directory_that_is_not_inside_is_told() {
    need_root!();
    let (_helper, pid) = sleeper_in_pid_namespace(&["-pm", "--mount-proc"]);
    refused(&[&pid, "-W", "/no/such", "--", "true"], 125, &["cannot change to directory /no/such", "-W is looked up"]);
    refused(&[&pid, "-w=/no/such", "--", "true"], 125, &["cannot open directory /no/such"]);
    refused(&[&pid, "--keep-fd", "77", "--", "true"], 125, &["cannot keep descriptor 77: it is not open"]);
}
