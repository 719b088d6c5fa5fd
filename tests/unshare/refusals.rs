//! What cannot work is refused before anything is made.

use super::*;
use crate::common::stdout_of;
use crate::{need, need_root};

#[test]
fn a_command_line_that_cannot_work_is_bad_usage_with_a_way_out() {
    for (words, message, hint) in [
        (&["--monotonic", "5", "true"][..], "--monotonic needs a new time namespace", "-T"),
        (&["--boottime", "-5", "true"], "--boottime needs a new time namespace", "-T"),
        (&["--hostname", "x", "true"], "--hostname needs a new uts namespace", "-u"),
        (&["-u", "--hostname", "", "true"], "has 0 bytes", "1 to 64"),
        (&["--domainname", "x", "true"], "--domainname needs a new uts namespace", "-u"),
        (&["--lo-up", "true"], "--lo-up needs a new net namespace", "-n"),
        (&["--propagation", "slave", "true"], "--propagation needs a new mnt namespace", "-m"),
        (&["--tmpfs", "/tmp", "true"], "needs a new mnt namespace", "-m"),
        (&["--pivot-root", "/x", "true"], "--pivot-root needs a new mnt namespace", "-m"),
        (&["--keep-caps", "true"], "--keep-caps needs a new user namespace", "-U"),
        (&["--setgroups", "deny", "true"], "--setgroups needs a new user namespace", "-U"),
        (&["-r", "--setgroups", "allow", "true"], "contradicts", "--map-groups"),
        (&["-r", "--map-users", "0:100000:10", "true"], "overlap inside", "1:100000:10"),
        (&["--map-users", "0:5:10", "--map-users", "20:7:1", "true"], "overlap outside", "auto"),
        (&["-ml", ":x:", "true"], "--load-interp needs a new user namespace", "-U"),
        (&["-F", "--net=/x", "true"], "--no-fork needs a new pid namespace", "-p"),
        (&["-F", "--pid=/x", "true"], "cannot be kept", "--no-fork"),
        (&["--net=/x", "--uts=/x", "true"], "named for two namespaces", "its own"),
        (&["-r", "--userns-block-fd", "0", "true"], "only once", "--map-"),
    ] {
        let output = unshare(words);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {told}");
        assert!(told.contains(message), "{words:?}: {told}");
        assert!(told.lines().any(|line| line.starts_with("hint:") && line.contains(hint)), "{words:?}: {told}");
    }
}

#[test]
fn malformed_values_are_bad_usage() {
    for words in [
        &["--map-users", "0:0", "true"][..],
        &["--map-user", "nobody-of-that-name", "true"],
        &["-m", "--bind", "relative:not-absolute", "true"],
        &["-m", "--tmpfs", "/x:size", "true"],
        &["-m", "--dir", "/a/../b", "true"],
        &["--propagation", "sideways", "true"],
        &["--setgroups", "perhaps", "true"],
        &["--kill-child=NOSUCH", "true"],
        &["--cap-drop", "fly", "true"],
        &["--owner", "1000", "true"],
        &["--no-such-option", "true"],
    ] {
        assert_eq!(unshare(words).status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn a_place_that_cannot_keep_a_namespace_is_refused_before_anything_is_made() {
    need_root!();
    let scratch = Scratch::new();
    let (good, taken) = (scratch.text("good"), scratch.text("taken"));
    stdout_of(unshare(&[&format!("--uts={taken}"), "true"]));
    let directory = scratch.directory("directory");
    let link = scratch.text("link");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    for (place, cause) in [
        (&taken, "carries a namespace already"),
        (&directory, "it is a directory"),
        (&link, "symbolic link"),
        (&scratch.text("missing/file"), "No such file"),
    ] {
        let output = unshare(&[&format!("--net={good}"), &format!("--ipc={place}"), "echo", "ran"]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(125), "{told}");
        assert!(told.contains(cause), "{told}");
        assert!(output.stdout.is_empty());
        assert!(!Path::new(&good).exists());
    }
    release(&taken);
}

#[test]
fn a_mount_namespace_is_not_kept_below_a_shared_mount() {
    need_root!();
    let scratch = Scratch::new();
    let script = "mount --bind \"$1\" \"$1\" && mount --make-shared \"$1\" && \"$0\" unshare --mount=\"$1/mnt\" echo ran; \
                  echo $?; ls \"$1\"; mount --make-private \"$1\" && \"$0\" unshare --mount=\"$1/mnt\" echo ran";
    let path = scratch.path().to_str().unwrap();
    let output =
        Command::new("unshare").args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_nstool"), path]).output().unwrap();
    let told = stderr(&output);
    assert!(told.contains("which is shared") && told.contains("--make-private"), "{told}");
    assert_eq!(stdout_of(output), "125\nran\n");
}

#[test]
fn what_the_kernel_refuses_is_told_with_its_cause() {
    need_root!();
    need!("setpriv");
    let scratch = Scratch::new();
    for (words, cause, hint) in [
        (&["-n", "true"][..], "it needs CAP_SYS_ADMIN", "--map-root-user"),
        (&["-U", "--map-users", "0:0:10", "true"], "newuidmap", ""),
        (&["-rm", "--pivot-root", "/no/such/root", "true"], "No such file", ""),
        (&["-rm", "--bind", "/no/such:/tmp", "true"], "/no/such is not there", "outside"),
        (&["-rm", "--proc", "/proc", "true"], "pid namespace", "--pid"),
        (&["-rm", "--sysfs", "/sys", "true"], "network namespace", "--net"),
        (&["-r", "-S", "5", "true"], "the id 5 has no meaning", "--map-users"),
        (&["-r", "-w", "/no/such/place", "true"], "No such file", ""),
        (&["--net=/tmp/nstool-never-made", "-r", "true"], "CAP_SYS_ADMIN over our mount namespace", "run as root"),
    ] {
        if words.contains(&"--map-users") && !crate::common::is_installed("newuidmap") {
            continue;
        }
        let output = as_nobody(&scratch, words);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(125), "{words:?}: {told}");
        assert!(told.contains(cause) && told.contains(hint), "{words:?}: {told}");
    }
    assert!(!Path::new("/tmp/nstool-never-made").exists());
}

#[test]
fn a_limit_of_zero_is_named() {
    need_root!();
    // Limits are per user namespace: the test sets those of its own.
    let script = "echo 0 > /proc/sys/user/max_net_namespaces; exec \"$0\" unshare -n true";
    let output =
        Command::new("unshare").args(["-Ur", "sh", "-c", script, env!("CARGO_BIN_EXE_nstool")]).output().unwrap();
    let told = stderr(&output);
    assert!(told.contains("max_net_namespaces is 0"), "{told}");
}

#[test]
fn a_chroot_is_named_where_it_is_to_blame() {
    need_root!();
    let scratch = Scratch::new();
    let root = scratch.directory("root");
    let script = "for d in bin lib lib64 usr proc; do [ -d /$d ] && mkdir -p $1/$d && mount --rbind /$d $1/$d; done; \
                  touch $1/nstool && mount --bind \"$0\" $1/nstool && chroot $1 /nstool unshare -U true; \
                  chroot $1 /nstool unshare -m true";
    let arguments = ["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_nstool"), &root];
    let told = stderr(&Command::new("unshare").args(arguments).output().unwrap());
    assert!(told.contains("no user namespace can be created in a chroot"), "{told}");
    assert!(told.contains("/ is no mount point"), "{told}");
}

#[test]
fn a_command_that_cannot_run_has_the_shells_status_and_its_cause() {
    for fork in [&[][..], &["-f"], &["-rp", "--init"]] {
        for (command, status, cause) in
            [("no-such-program", 127, "PATH"), ("/no/such/file", 127, "no such file"), ("/etc", 126, "is a directory")]
        {
            let output = unshare(&[fork, &["--", command]].concat());
            let told = stderr(&output);
            assert_eq!(output.status.code(), Some(status), "{told}");
            assert!(told.contains(cause), "{told}");
        }
    }
}

#[test]
fn shared_parents_are_warned_of() {
    need_root!();
    let script = "mount --make-rshared / && \"$0\" unshare -m --propagation unchanged --dry-run --tmpfs /tmp true";
    let output =
        Command::new("unshare").args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_nstool")]).output().unwrap();
    let told = stderr(&output);
    assert!(told.starts_with("note:") && told.contains("appears outside as well"), "{told}");
}
