//! Control groups that freeze or limit, and other limits: what they refuse is told.

use std::fs;
use std::process::Command;

use super::errors::refused;
use super::{enter, sleeper, sleeper_in_pid_namespace, stderr_of};
use crate::need_root;

/// A control group that is thawed, emptied and removed with the test.
pub struct Group {
    path: std::path::PathBuf,
    freezer: [&'static str; 3],
}

impl Group {
    /// Makes one below `parent`, and puts a process in it; `freezer` is the file that freezes (or whatever shall be set),
    /// and the words to do and to undo it.
    pub fn around(pid: &str, parent: &std::path::Path, freezer: [&'static str; 3]) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let group = Self { path: parent.join(format!("nstool-test-{}-{count}", std::process::id())), freezer };
        fs::create_dir(&group.path).unwrap();
        fs::write(group.path.join("cgroup.procs"), pid).unwrap();
        fs::write(group.path.join(freezer[0]), freezer[1]).unwrap();
        group
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::write(self.path.join(self.freezer[0]), self.freezer[2]);
        let root = self.path.parent().unwrap().join("cgroup.procs");
        for pid in fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = fs::write(&root, pid);
        }
        crate::common::eventually(|| fs::remove_dir(&self.path).ok().or((!self.path.exists()).then_some(())));
    }
}

#[test]
fn a_paused_container_is_not_joined_but_told() {
    need_root!();
    let freezer = std::path::Path::new("/sys/fs/cgroup/freezer");
    if !freezer.join("tasks").exists() {
        return crate::common::skip("needs the freezer of control groups version 1");
    }
    let target = sleeper(&["-u"]);
    let pid = target.pid().to_string();
    let _group = Group::around(&pid, freezer, ["freezer.state", "FROZEN", "THAWED"]);
    for option in ["-c", "--confined"] {
        refused(&[&pid, option, "--", "true"], 125, &["cannot join the control groups", "it is paused", "THAWED"]);
    }
    // Its namespaces can be joined all the same.
    assert!(enter(&[&pid, "--", "true"]).status.success());
}

#[test]
fn a_frozen_group_of_version_2_is_not_joined_but_told() {
    need_root!();
    let places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    let Some(root) = places.map(std::path::Path::new).into_iter().find(|root| root.join("cgroup.controllers").exists())
    else {
        return crate::common::skip("needs control groups version 2");
    };
    let target = sleeper(&["-u"]);
    let pid = target.pid().to_string();
    let _group = Group::around(&pid, root, ["cgroup.freeze", "1", "0"]);
    refused(&[&pid, "-c", "--", "true"], 125, &["cannot join the control groups", "it is paused", "cgroup.freeze"]);
    assert!(enter(&[&pid, "--", "true"]).status.success());
}

#[test]
fn a_lack_of_descriptors_is_told_as_that_wherever_it_is_met() {
    need_root!();
    let (_helper, pid) = sleeper_in_pid_namespace(&["-pu"]);
    let script = format!("ulimit -n $0; exec {} enter {pid} -- sh -c 'exit 7'", env!("CARGO_BIN_EXE_nstool"));
    for limit in 4..60 {
        let output = Command::new("sh").args(["-c", &script, &limit.to_string()]).output().unwrap();
        if output.status.code() == Some(7) {
            assert!(limit > 10);
            return;
        }
        let said = stderr_of(&output);
        assert_eq!(output.status.code(), Some(125), "{limit}: {said}");
        assert!(said.contains("Too many open files") && said.contains("\nhint:  "), "{limit}: {said}");
    }
    panic!("it never ran");
}

#[test]
fn a_limit_of_processes_is_told_with_what_helps() {
    need_root!();
    let pids = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].map(std::path::Path::new);
    let Some(pids) = pids.into_iter().find(|root| root.join("cgroup.procs").exists()) else {
        return crate::common::skip("needs control groups that limit processes");
    };
    let other = sleeper(&["-u"]);
    let group = Group::around(&other.pid().to_string(), pids, ["pids.max", "2", "max"]);
    // It counts two with the one that becomes nstool, and the guardian would be the third.
    let (_helper, target) = sleeper_in_pid_namespace(&["-p"]);
    let script = format!(
        "echo 0 >{}/cgroup.procs; exec {} enter {target} -- true",
        group.path.display(),
        env!("CARGO_BIN_EXE_nstool")
    );
    let output = Command::new("sh").args(["-c", &script]).stdin(std::process::Stdio::null()).output().unwrap();
    let said = stderr_of(&output);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("cannot supervise the command") && said.contains("pids.max"), "{said}");
}
