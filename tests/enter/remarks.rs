//! What is told though nothing failed: what stays outside, and what is another than it seems.

use super::{enter, sleeper, sleeper_in_pid_namespace, stderr_of};
use crate::common::{Helper, TemporaryDirectory, copy_program, inode_of, stdout_of};
use crate::{need, need_root};

#[track_caller]
fn says(words: &[&str], status: i32, parts: &[&str]) {
    let output = enter(words);
    let said = stderr_of(&output);
    assert_eq!(output.status.code(), Some(status), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
}

#[test]
fn a_root_directory_that_is_no_namespace_is_named() {
    need_root!();
    need!("chroot", "busybox");
    let directory = TemporaryDirectory::new();
    copy_program("/bin/busybox", &directory.path().join("busybox"));
    let root = directory.path().to_str().unwrap();
    let target = Helper::start("chroot", &[root, "/busybox", "sh", "-c", "echo ready; exec /busybox sleep 1000"]);
    let pid = target.pid().to_string();
    says(&[&pid, "--", "true"], 0, &[&format!("its root directory is {root}"), "add -r"]);
    let inside = enter(&[&pid, "-r", "--", "/busybox", "pwd"]);
    assert_eq!(stderr_of(&inside), "");
    assert_eq!(stdout_of(inside), "/\n");
}

#[test]
fn a_pid_namespace_alone_leaves_the_view_of_proc_outside() {
    need_root!();
    need!("unshare");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-p"]);
    let namespace = format!("ns:{}", inode_of(pid.parse().unwrap(), "pid"));
    says(&[&namespace, "--", "true"], 0, &["/proc still shows the processes outside", "name a process there"]);
}

#[test]
fn the_kinds_that_are_left_out_are_listed_on_demand() {
    need_root!();
    need!("unshare");
    let target = sleeper(&["-nui"]);
    let pid = target.pid().to_string();
    says(&[&pid, "-n", "-v", "--", "true"], 0, &["not joined: its other namespaces (ipc, uts)"]);
    assert!(!stderr_of(&enter(&[&pid, "-v", "--", "true"])).contains("other namespaces"));
}

#[test]
fn a_dry_run_says_that_nothing_may_be_born_in_a_pid_namespace() {
    need_root!();
    need!("python3");
    let script = "
import ctypes, os, time
ctypes.CDLL(None).unshare(0x20000000)
child = os.fork()
if child == 0: os._exit(0)
os.waitpid(child, 0)
held = os.open('/proc/self/ns/pid_for_children', os.O_RDONLY)
print(os.fstat(held).st_ino, flush=True)
time.sleep(1000)";
    let holder = Helper::start("python3", &["-c", script]);
    let namespace = format!("ns:{}", holder.said);
    let plan = stdout_of(enter(&[&namespace, "--dry-run", "--", "true"]));
    assert!(plan.contains("has no init (PID 1 inside)"), "{plan}");
    let said = [&format!("cannot start a process in pid namespace {}\n", holder.said), "its init", "nstool why ns:"];
    says(&[&namespace, "--", "true"], 125, &said);
}

#[test]
fn restrictions_are_planned_by_their_names() {
    need_root!();
    need!("prlimit", "setpriv");
    let target = sleeper(&["-u", "prlimit", "--nofile=50:60", "setpriv", "--bounding-set", "-net_raw"]);
    let plan = stdout_of(enter(&[&target.pid().to_string(), "--confined", "--dry-run", "--", "true"]));
    assert!(plan.contains("limit open files: 50, at most 60"), "{plan}");
    let bounding = plan.lines().find(|line| line.contains("capabilities bounding set: ")).unwrap();
    assert!(bounding.contains("cap_net_raw") && bounding.contains("all but"), "{bounding}");
}

#[test]
fn words_in_the_wrong_place_are_answered_with_where_they_go() {
    says(&["--net=/x", "true"], 2, &["malformed target", "a command goes after `--`"]);
    says(&["0", "--", "true"], 2, &["malformed target", "a target is PID, PID:INODE"]);
    says(&["-n", "-p", "--", "true"], 2, &["no process is named to take the kinds to join from", "name one first"]);
    says(&["self", "--", ""], 127, &["cannot run a command without a name"]);
}

#[test]
fn the_parent_that_is_our_own_is_not_to_be_joined_by_its_child() {
    need_root!();
    need!("setpriv", "unshare");
    let as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let target = Helper::shell(&[&as_nobody[..], &["unshare", "-Urn"]].concat(), "echo ready; exec sleep 1000");
    let public = crate::common::Public::copy("parent");
    let pid = target.pid().to_string();
    let output = public.run_as_nobody().args(["enter", &pid, "--user-parent", "--", "true"]).output().unwrap();
    let said = stderr_of(&output);
    assert!(said.contains("leave out --user-parent"), "{said}");
    assert_eq!(output.status.code(), Some(125));
}
