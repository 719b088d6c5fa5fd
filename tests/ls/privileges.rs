//! `ls` for those who are not root.

use std::process::Command;

use super::{flat, json, row};
use crate::common::{Helper, Public, inode_of, stdout_of};
use crate::{need, need_root};

#[test]
fn an_ordinary_user_sees_what_is_theirs_and_is_told_of_the_rest() {
    need_root!();
    need!("setpriv", "unshare");
    let public = Public::copy("nobody");
    let theirs = Helper::shell(
        &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-Un"],
        "echo; exec sleep 1000",
    );
    let output = public.run_as_nobody().args(["ls", "-J", "-o", "NS,TYPE,NPROCS,PID,USER,ONS"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = json(&stdout_of(output));
    let rows = flat(&document);
    assert_eq!(row(&rows, inode_of(theirs.pid(), "net"))["nprocs"], 1);
    assert_eq!(row(&rows, inode_of(theirs.pid(), "net"))["ons"].as_u64(), Some(inode_of(theirs.pid(), "user")));
    assert!(document["hidden"]["processes"]["not_permitted"].as_u64() >= Some(1), "{}", document["hidden"]);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("note:  hidden: ") && said.contains("run as root"), "{said}");
}

#[test]
fn the_namespaces_of_a_process_we_may_not_read_are_refused_by_name() {
    need_root!();
    need!("setpriv");
    let public = Public::copy("refused");
    let ours = Helper::shell(&[], "echo; exec sleep 1000");
    let output = public.run_as_nobody().args(["ls", "-p", &ours.pid().to_string()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "error: cannot read the namespaces of process {}\ncause: Permission denied (os error 13)\nhint:  run nstool as root",
        ours.pid()
    );
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn inside_a_user_namespace_what_lies_outside_is_unknown_and_not_zero() {
    need_root!();
    need!("unshare");
    let nstool = env!("CARGO_BIN_EXE_nstool");
    let inside = ["-Urpf", "--kill-child", "--mount-proc", nstool, "ls", "-J", "-l", "-o", "NS,TYPE,PID,PNS,ONS,USER"];
    let rows = flat(&json(&stdout_of(Command::new("unshare").args(inside).output().unwrap())));
    let of = |kind: &str| rows.iter().find(|row| row["type"] == kind).unwrap();
    assert_eq!(of("pid")["pid"], 1);
    assert_eq!(of("pid")["pns"], serde_json::Value::Null);
    assert_eq!(of("user")["ons"], serde_json::Value::Null);
    assert_eq!(of("pid")["ons"], of("user")["ns"]);
    assert_eq!(of("net")["ons"], serde_json::Value::Null, "the network namespace belongs to the outside");
    assert_eq!(of("user")["user"], "root");
}

#[test]
fn a_proc_of_another_pid_namespace_is_read_by_its_own_numbers() {
    need_root!();
    need!("unshare");
    // /proc still shows the outer numbers, which pidfd_open(2) would take for inner ones.
    let outer = Helper::shell(&["unshare", "-n"], "echo; exec sleep 1000");
    let nstool = env!("CARGO_BIN_EXE_nstool");
    let listed = || {
        let arguments = ["-pf", "--kill-child", nstool, "ls", "-J", "-l", "-o", "NS,PID,NPROCS,HOLDERS"];
        flat(&json(&stdout_of(Command::new("unshare").args(arguments).output().unwrap())))
    };
    // Our own scan is no holder, under whatever number; another test's is, for a moment.
    let row = crate::common::eventually(|| {
        let row = row(&listed(), inode_of(outer.pid(), "net")).clone();
        row["holders"].is_null().then_some(row)
    });
    assert_eq!((row["pid"].as_i64(), row["nprocs"].as_u64()), (Some(outer.pid().into()), Some(1)));
}

#[test]
fn processes_that_proc_does_not_list_are_spoken_of() {
    need_root!();
    need!("unshare", "setpriv");
    let public = Public::copy("hidepid");
    let script = format!(
        "mount -t proc -o hidepid=2 proc /proc && exec setpriv --reuid=65534 --regid=65534 --clear-groups {} ls -J",
        public.path().display()
    );
    let output = Command::new("unshare").args(["-mpf", "--kill-child", "sh", "-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("processes that /proc does not list (mounted with hidepid)"), "{said}");
    assert_eq!(json(&stdout_of(output))["hidden"]["unlisted_processes"]["not_permitted"], 1);
}

#[test]
fn in_a_chroot_the_mounts_outside_are_spoken_of() {
    need_root!();
    need!("unshare", "chroot");
    let nstool = env!("CARGO_BIN_EXE_nstool");
    // A directory that is no mount point, with what nstool needs bound into it.
    let script = format!(
        "mount -t tmpfs none /mnt && mkdir /mnt/root && cd /mnt/root && for d in bin lib lib64 usr proc; do \
         [ -e /$d ] && mkdir $d && mount --rbind /$d $d; done; cp {nstool} nstool && exec chroot . /nstool ls -J"
    );
    let output = Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("mounts outside our chroot"), "{said}");
    assert_eq!(json(&stdout_of(output))["hidden"]["mount_tables"]["outside"], 1);
}

#[test]
fn without_proc_the_error_says_how_to_get_one() {
    need_root!();
    need!("unshare");
    let script = format!("mount -t tmpfs none /proc && exec {} ls", env!("CARGO_BIN_EXE_nstool"));
    let output = Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text, "error: /proc is no procfs\nhint:  mount one: `mount -t proc proc /proc`\n");
}
