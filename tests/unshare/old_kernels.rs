//! The same on kernels without the newer calls: they answer ENOSYS here.

use super::*;
use crate::common::{stage, stdout_of};
use crate::{need, need_root};

/// What Linux 4.18 lacks of all that is used.
pub(super) const NEWER: [&str; 8] =
    ["clone3", "openat2", "open_tree", "move_mount", "fsopen", "mount_setattr", "close_range", "pidfd_open"];

pub(super) fn without(calls: &[&str], words: &[&str]) -> Output {
    let arguments = [calls, &["--", env!("CARGO_BIN_EXE_nstool"), "unshare"], words].concat();
    stage(&arguments[..0]).arg("without").args(&arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn the_container_is_the_same_with_every_newer_call_missing() {
    need_root!();
    need!("ps");
    let look = "ls /; hostname; touch /home/made && echo home; touch /usr/made /mnt/below/x /mnt/x 2>/dev/null || echo refused; \
                ps -e --no-headers | wc -l; ls /dev; cat /dev/shm/none 2>/dev/null; df -k /t | tail -1 | tr -s ' ' | cut -d' ' -f2; \
                cut -d' ' -f5-6 /proc/self/mountinfo | sort";
    let told = |calls: &[&str]| {
        let scratch = Scratch::new();
        let root = scratch.directory("root");
        scratch.directory("root/home");
        let source = scratch.directory("source");
        scratch.directory("source/below");
        // A mount below the source, which must become read-only as well.
        let script = "mount -t tmpfs none \"$1/below\" && shift && exec \"$@\"";
        let mut options = container(&root);
        let data = format!("{source}:/mnt");
        options.extend(["--ro-bind", &data, "--tmpfs", "/t:size=64k"].map(str::to_owned));
        let inner = words(&[], &options, &["--", "sh", "-c", look]);
        let staged = stage(&[]);
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, "sh", &source]).arg(staged.get_program()).arg("without").args(calls);
        command.args(["--", env!("CARGO_BIN_EXE_nstool"), "unshare"]).args(inner);
        let output = command.stdin(Stdio::null()).output().unwrap();
        stdout_of(output)
    };
    let newest = told(&[]);
    assert!(newest.contains("\nrefused\n"), "{newest}");
    for line in ["/mnt/below ro,nosuid,nodev,relatime", "/mnt ro,nosuid,nodev,relatime", "/t rw,nosuid,nodev,relatime"]
    {
        assert!(newest.lines().any(|told| told == line), "{line}: {newest}");
    }
    // The calls to mount came together.
    let mounting = ["open_tree", "move_mount", "fsopen"];
    for call in NEWER.iter().filter(|call| !mounting.contains(call)) {
        assert_eq!(told(&[call]), newest, "without {call}");
    }
    assert_eq!(told(&mounting), newest);
    assert_eq!(told(&NEWER), newest);
}

#[test]
fn without_openat2_a_link_in_the_way_is_refused() {
    need_root!();
    let scratch = Scratch::new();
    let root = scratch.directory("root");
    let outside = scratch.directory("outside");
    std::os::unix::fs::symlink(&outside, format!("{root}/link")).unwrap();
    let output = without(&["openat2"], &["-m", "--pivot-root", &root, "--dir", "/link/t", "--", "true"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(stderr(&output).contains("a symbolic link is in the way"), "{}", stderr(&output));
    assert!(!Path::new(&format!("{outside}/t")).exists());
}

#[test]
fn namespaces_are_kept_and_children_guarded_without_the_newer_calls() {
    need_root!();
    let scratch = Scratch::new();
    let kept = scratch.text("kept");
    stdout_of(without(&NEWER, &[&format!("--uts={kept}"), "-pf", "--kill-child", "--", "true"]));
    release(&kept);
    assert_eq!(stdout_of(without(&NEWER, &["-r", "--map-users", "1:1:1", "--", "id", "-u"])), "0\n");
    let said = stdout_of(without(&NEWER, &["-p", "--init", "--", "sh", "-c", "ls /proc/self/fd | wc -l; echo $$"]));
    assert_eq!(said, "4\n2\n");
    for base in cgroup_bases() {
        let group = format!("{base}/nstool-old-{}", std::process::id());
        let words = ["-pf", "--join-cgroup", &group, "--", "cat", "/proc/self/cgroup"];
        assert!(stdout_of(without(&NEWER, &words)).contains("nstool-old-"));
        assert!(!Path::new(&group).exists());
    }
}
