//! Nothing that is mounted inside shows outside, nor is anything taken away there.

use super::*;
use crate::common::stdout_of;
use crate::need_root;

/// Runs nstool in a mount namespace of the test's own, all of whose mounts are shared, and sees that they stay as they
/// were: while the command runs, and after it. `prepare` is run before, with the scratch directory as `$1`.
#[track_caller]
pub(super) fn unshare_below_shared(scratch: &Scratch, prepare: &str, words: &[&str]) -> Output {
    let script = format!(
        "{}; mount --make-rshared /; {prepare}; d=$1; shift; cat /proc/self/mountinfo > $d/before; \
         \"$0\" unshare \"$@\"; status=$?; cat /proc/self/mountinfo > $d/after; exit $status",
        without_foreign_mounts()
    );
    let path = scratch.path().to_str().unwrap();
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, env!("CARGO_BIN_EXE_nstool"), path]).args(words).stdin(Stdio::null());
    let output = command.output().unwrap();
    let table = |name: &str| fs::read_to_string(scratch.text(name)).unwrap_or_default();
    assert!(table("before").contains(" shared:"));
    assert_eq!(table("before"), table("after"), "{words:?}");
    output
}

#[test]
fn a_container_leaves_a_shared_root_as_it_was() {
    need_root!();
    let scratch = Scratch::new();
    scratch.directory("root/home");
    let options = container(&scratch.text("root"));
    for propagation in ["private", "slave"] {
        let more = ["--propagation", propagation, "--tmpfs", "/t", "--sysfs", "/sys", "--", "echo", "ran"];
        assert_eq!(stdout_of(unshare_below_shared(&scratch, ":", &words(&[], &options, &more))), "ran\n");
    }
    // With a step that fails after the others.
    let more = ["--tmpfs", "/t:no-such=1", "--", "echo", "ran"];
    let output = unshare_below_shared(&scratch, ":", &words(&[], &options, &more));
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(125), true));
    for plain in [&["-m", "--tmpfs", "/tmp"][..], &["-pm", "--mount-proc"], &["-rm", "--dev", "/dev"]] {
        let output = unshare_below_shared(&scratch, ":", &[plain, &["--", "echo", "ran"]].concat());
        assert_eq!(stdout_of(output), "ran\n");
    }
}

#[test]
fn detaching_a_root_that_is_left_shared_takes_nothing_away_outside() {
    need_root!();
    let scratch = Scratch::new();
    let root = scratch.directory("root");
    // The new root is a private mount, so that the kernel takes it; the old one is shared with the outer namespace.
    let prepare = "mount -t tmpfs none $1/root && mount --make-private $1/root && cp -a /bin /lib* $1/root";
    let words = ["-m", "--propagation", "unchanged", "--pivot-root", &root, "--ro-bind", "/usr", "--", "echo", "ran"];
    assert_eq!(stdout_of(unshare_below_shared(&scratch, prepare, &words)), "ran\n");
}
