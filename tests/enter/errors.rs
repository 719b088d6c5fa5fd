//! Each way in which joining fails, made for real, and what is said of it.

use std::fs;
use std::process::Command;

use super::{enter, sleeper, sleeper_in_pid_namespace, stderr_of};
use crate::common::{Helper, inode_of};
use crate::{need, need_root};

/// Checks exit status, message and hint of a refusal.
#[track_caller]
fn refused(words: &[&str], status: i32, parts: &[&str]) {
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
fn a_paused_container_is_not_joined_but_told() {
    need_root!();
    let freezer = std::path::Path::new("/sys/fs/cgroup/freezer");
    if !freezer.join("tasks").exists() {
        return crate::common::skip("needs the freezer of control groups version 1");
    }
    struct Group(std::path::PathBuf);
    impl Drop for Group {
        fn drop(&mut self) {
            let _ = fs::write(self.0.join("freezer.state"), "THAWED");
            let root = self.0.parent().unwrap().join("cgroup.procs");
            for pid in fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default().lines() {
                let _ = fs::write(&root, pid);
            }
            crate::common::eventually(|| fs::remove_dir(&self.0).ok().or((!self.0.exists()).then_some(())));
        }
    }
    let target = sleeper(&["-u"]);
    let group = Group(freezer.join(format!("nstool-test-{}", std::process::id())));
    fs::create_dir(&group.0).unwrap();
    fs::write(group.0.join("cgroup.procs"), target.pid().to_string()).unwrap();
    fs::write(group.0.join("freezer.state"), "FROZEN").unwrap();
    let pid = target.pid().to_string();
    refused(&[&pid, "-c", "--", "true"], 125, &["cannot join the control groups", "it is paused", "THAWED"]);
    assert!(enter(&[&pid, "--", "true"]).status.success());
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
    refused(&[&pid, "--", "/etc/passwd"], 126, &["/etc/passwd has no permission to be executed"]);
    refused(&[&pid, "--", "/mnt/none"], 127, &["cannot run /mnt/none"]);
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
