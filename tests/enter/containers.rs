//! Containers made by bubblewrap and runc, as root and as an ordinary user, from outside and from inside.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{child_of, enter, shell_in, stderr_of};
use crate::common::{Helper, Public, copy_program, inode_of, stdout_of};
use crate::{need, need_root};

const BWRAP: [&str; 9] = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"];
const AS_NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// Starts bubblewrap below `wrapper` and returns it with the process it runs. `bwrap` forks its init, which forks the
/// command, and dies with the helper.
fn bubble(wrapper: &[&str]) -> (Helper, i32) {
    let helper = Helper::shell(&[wrapper, &BWRAP, &["--die-with-parent"]].concat(), "echo ready; exec sleep 1000");
    let command = child_of(child_of(helper.pid()));
    (helper, command)
}

fn kinds_inside(output: &str, target: i32) {
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
    for (kind, line) in kinds.iter().zip(output.lines()) {
        assert_eq!(line, format!("{kind}:[{}]", inode_of(target, kind)));
    }
    assert_eq!(output.lines().count(), kinds.len());
}

const LINKS: &str = "for kind in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$kind; done";

#[test]
fn a_bubble_of_root_is_entered() {
    need_root!();
    need!("bwrap");
    let (_helper, target) = bubble(&[]);
    kinds_inside(&shell_in(&[&target.to_string()], LINKS), target);
}

#[test]
fn an_ordinary_users_bubble_with_dev_is_entered_by_that_user_and_by_root() {
    need_root!();
    need!("bwrap", "setpriv");
    let (_helper, target) = bubble(&AS_NOBODY);
    let public = Public::copy("bubble");
    let words = ["enter", &target.to_string(), "--", "sh", "-c", LINKS];
    let output = public.run_as_nobody().args(words).stdin(Stdio::null()).output().unwrap();
    kinds_inside(&stdout_of(output), target);
    kinds_inside(&shell_in(&[&target.to_string()], LINKS), target);
    // The mounts are owned by a user namespace without processes, between ours and the target's.
    let plan = stdout_of(enter(&[&target.to_string(), "--dry-run"]));
    assert!(plan.contains("on the way: it owns what follows"), "{plan}");
}

#[test]
fn a_bubble_in_a_bubble_is_entered_from_outside_and_from_the_outer_one() {
    need_root!();
    need!("bwrap", "setpriv");
    let inner = [&["bwrap", "--bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all"][..]].concat();
    let outer = ["bwrap", "--unshare-user", "--unshare-pid", "--bind", "/", "/", "--dev", "/dev", "--proc", "/proc"];
    let public = Public::copy("nested");
    let nstool = public.path();
    // The outer one starts the inner, enters it from beside, and waits.
    let script = format!(
        "{} --die-with-parent sh -c 'readlink /proc/self/ns/mnt; exec sleep 1000' >/tmp/$0 & \
         until [ -s /tmp/$0 ]; do sleep 0.01; done; for pid in $(ls /proc | grep '^[0-9]'); do \
         if [ \"$(readlink /proc/$pid/ns/mnt)\" = \"$(cat /tmp/$0)\" ]; then \
         seen=\"$({} enter $pid -- readlink /proc/self/ns/mnt) $(cat /tmp/$0)\"; rm /tmp/$0; echo $seen; break; fi; done; \
         exec sleep 1000",
        inner.join(" "),
        nstool.display(),
    );
    let name = format!("nstool-test-inner-{}", std::process::id());
    let wrapper = [&AS_NOBODY[..], &outer, &["--die-with-parent", "sh", "-c", &script, &name]].concat();
    let helper = Helper::start(wrapper[0], &wrapper[1..]);
    let (entered, expected) = helper.said.split_once(' ').unwrap_or_default();
    assert!(entered.starts_with("mnt:[") && entered == expected, "{}", helper.said);
}

#[test]
fn another_user_is_refused_with_the_owner_named() {
    need_root!();
    need!("bwrap", "setpriv");
    let (_helper, target) = bubble(&[]);
    let public = Public::copy("stranger");
    let output = public.run_as_nobody().args(["enter", &target.to_string(), "--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    let said = stderr_of(&output);
    assert!(said.contains("cannot open the") && said.contains("run nstool as root"), "{said}");
}

#[test]
fn an_ordinary_users_own_rootless_container_is_entered_as_root_inside() {
    need_root!();
    need!("unshare", "setpriv");
    let wrapper = [&AS_NOBODY[..], &["unshare", "-Urnmu", "--propagation", "unchanged"]].concat();
    let helper = Helper::shell(&wrapper, "echo ready; exec sleep 1000");
    let public = Public::copy("rootless");
    let words = ["enter", &helper.pid().to_string(), "--", "sh", "-c", "id -u; readlink /proc/self/ns/net"];
    let output = public.run_as_nobody().args(words).stdin(Stdio::null()).output().unwrap();
    assert_eq!(stdout_of(output).trim(), format!("0\nnet:[{}]", inode_of(helper.pid(), "net")));
}

#[test]
fn an_ordinary_user_can_share_the_restrictions_of_their_own_container() {
    need_root!();
    need!("unshare", "setpriv", "choom");
    let wrapper = [&AS_NOBODY[..], &["choom", "-n", "99", "--", "unshare", "-Urnu"]].concat();
    let helper = Helper::shell(&wrapper, "echo ready; exec sleep 1000");
    let public = Public::copy("confined");
    let words = ["enter", &helper.pid().to_string(), "--confined", "--", "cat", "/proc/self/oom_score_adj"];
    let output = public.run_as_nobody().args(words).stdin(Stdio::null()).output().unwrap();
    assert_eq!(stdout_of(output), "99\n");
}

#[test]
fn inside_a_container_another_one_below_is_entered_and_the_host_is_not() {
    need_root!();
    need!("unshare");
    let script = format!(
        "unshare -n sh -c 'echo ready; exec sleep 1000' & \
         until nsenter -t $! -n true; do :; done; {0} enter $! -- readlink /proc/self/ns/net; \
         {0} enter {1} -n -- true 2>&1; echo $?; kill $!",
        env!("CARGO_BIN_EXE_nstool"),
        std::process::id(),
    );
    let output = Command::new("unshare").args(["-Ur", "-n", "sh", "-c", &script]).output().unwrap();
    let said = stdout_of(output);
    assert!(said.contains("net:[") && said.contains("in an outer user namespace"), "{said}");
    assert!(said.trim_end().ends_with("125"), "{said}");
}

/// A container of runc from a root with busybox; gone with the test.
struct Runc {
    directory: PathBuf,
    name: String,
}

impl Runc {
    fn start(name: &str) -> Self {
        let name = format!("nstool-test-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(&name);
        let bin = directory.join("rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        copy_program("/bin/busybox", &bin.join("busybox"));
        for tool in ["sh", "sleep", "id", "cat", "readlink", "grep"] {
            std::os::unix::fs::symlink("busybox", bin.join(tool)).unwrap();
        }
        let runc = Self { directory, name };
        assert!(Command::new("runc").arg("spec").current_dir(&runc.directory).status().unwrap().success());
        let path = runc.directory.join("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config["process"]["terminal"] = false.into();
        config["process"]["args"] = serde_json::json!(["sleep", "1000"]);
        // Raising limits takes a capability that the tests may lack.
        config["process"]["rlimits"] = serde_json::json!([]);
        fs::write(&path, config.to_string()).unwrap();
        let mut command = Command::new("runc");
        command.args(["run", "-d", "--pid-file", "pid", &runc.name]).current_dir(&runc.directory);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success());
        runc
    }

    fn pid(&self) -> String {
        fs::read_to_string(self.directory.join("pid")).unwrap()
    }
}

impl Drop for Runc {
    fn drop(&mut self) {
        let quiet = |words: &[&str]| Command::new("runc").args(words).stderr(Stdio::null()).status();
        let _ = quiet(&["delete", "--force", &self.name]);
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn a_container_of_runc_is_entered_and_its_restrictions_can_be_shared() {
    need_root!();
    need!("runc", "busybox");
    let container = Runc::start("enter");
    let pid = container.pid();
    assert_eq!(
        shell_in(&[&pid], "readlink /proc/self/ns/mnt"),
        format!("mnt:[{}]", inode_of(pid.parse().unwrap(), "mnt"))
    );
    let field = |name: &str, words: &[&str]| shell_in(words, &format!("grep {name} /proc/self/status"));
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for name in ["CapBnd", "NoNewPrivs"] {
        let theirs = status.lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(field(name, &[&pid, "--confined"]), theirs);
        assert_ne!(field(name, &[&pid]), theirs);
    }
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(shell_in(&[&pid, "--confined"], "cat /proc/self/cgroup"), groups.trim_end());
    assert_eq!(shell_in(&[&pid, "-c"], "cat /proc/self/cgroup"), groups.trim_end());
    assert_ne!(shell_in(&[&pid], "cat /proc/self/cgroup"), groups.trim_end());
    let output = enter(&[&pid, "-v", "--", "id"]);
    assert!(stderr_of(&output).contains("not joined: its control groups"), "{}", stderr_of(&output));
}

#[test]
fn what_a_container_lacks_is_told_by_name() {
    need_root!();
    need!("runc", "busybox");
    let container = Runc::start("lacks");
    let bin = container.directory.join("rootfs/bin");
    copy_program("/bin/true", &bin.join("dynamic"));
    fs::write(bin.join("script"), "#!/usr/bin/python9\n").unwrap();
    fs::set_permissions(bin.join("script"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let pid = container.pid();
    for (command, status, part) in [
        ("bash", 127, "has no such file"),
        ("dynamic", 127, "its ELF interpreter (loader) is not: /lib"),
        ("script", 127, "the interpreter of its #! line is not: /usr/bin/python9"),
        ("/bin", 126, "/bin is a directory"),
    ] {
        let output = enter(&[&pid, "--", command]);
        assert!(stderr_of(&output).contains(part), "{}", stderr_of(&output));
        assert_eq!(output.status.code(), Some(status), "{command}");
        // What can be seen from here is told without joining anything.
        if status == 127 {
            let plan = stdout_of(enter(&[&pid, "--dry-run", "--", command]));
            assert!(plan.contains("note: cannot run"), "{plan}");
            let json = stdout_of(enter(&[&pid, "--dry-run", "-J", "--", command]));
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert!(json["obstacle"].as_str().unwrap().contains(command), "{json}");
        }
    }
    // The host's tools in its network.
    assert!(enter(&[&pid, "-n", "-u", "-i", "--", "env", "true"]).status.success());
}
