//! What the kernel refuses is told with its cause, and with what helps.

use super::*;
use crate::common::{in_initial_pid_namespace, stdout_of};
use crate::{need, need_root};

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
fn a_limit_that_is_reached_is_told_with_its_value() {
    need_root!();
    let script = "echo 1 > /proc/sys/user/max_net_namespaces; \
                  unshare -n sh -c '\"$0\" unshare -n echo ran' \"$0\"; \
                  echo 2 > /proc/sys/user/max_user_namespaces; unshare -U sh -c '\"$0\" unshare -Ur echo ran' \"$0\"";
    let output =
        Command::new("unshare").args(["-Ur", "sh", "-c", script, env!("CARGO_BIN_EXE_nstool")]).output().unwrap();
    assert_told(&output, &["a limit is reached, here (net 1) or in a user namespace above (No space left"]);
    assert!(output.stdout.is_empty());
}

/// Nests so many namespaces with unshare, then runs nstool.
fn nested(depth: u32, options: &str, words: &str) -> Output {
    let scratch = Scratch::new();
    let script = scratch.text("nest");
    let text = format!(
        "if [ $1 -gt 0 ]; then exec unshare {options} sh $0 $(($1 - 1)) \"$2\"; fi; exec \"$2\" unshare {words} echo ran"
    );
    fs::write(&script, text).unwrap();
    Command::new("sh").args([&script, &depth.to_string(), env!("CARGO_BIN_EXE_nstool")]).output().unwrap()
}

#[test]
fn the_depth_of_nesting_is_told() {
    need_root!();
    // Level 33 is the last for user namespaces, 32 for pid namespaces (user_namespaces(7), pid_namespaces(7)).
    assert_eq!(stdout_of(nested(32, "-Ur", "-Ur")), "ran\n");
    assert_told(&nested(33, "-Ur", "-Ur"), &["cannot create namespaces: user", "nested 32 deep"]);
    if in_initial_pid_namespace() {
        assert_eq!(stdout_of(nested(31, "-pf", "-p")), "ran\n");
        assert_told(&nested(32, "-pf", "-p"), &["our pid namespace is nested 32 deep, and no deeper one can be"]);
    } else {
        // How deep we are from the start is not to be seen.
        let deepest = (0..31).rev().find(|depth| nested(*depth, "-pf", "-p").status.success()).unwrap();
        assert_told(&nested(deepest + 1, "-pf", "-p"), &["possible causes", "namespaces are nested 32 deep"]);
    }
}

#[test]
fn our_own_ids_without_a_name_are_to_blame_where_they_are() {
    need_root!();
    let nstool = env!("CARGO_BIN_EXE_nstool");
    for options in ["-U", "-r", "-Ump"] {
        let output = Command::new("unshare").args(["-U", nstool, "unshare", options, "echo", "ran"]).output().unwrap();
        assert_told(&output, &["our own user or group id is not mapped", "uid_map"]);
    }
    // An id that our own namespace lacks cannot be handed on.
    let words = ["-r", nstool, "unshare", "--map-users", "0:5:1", "echo", "ran"];
    assert_told(
        &Command::new("unshare").args(words).output().unwrap(),
        &["cannot write uid_map: 0 5 1", "has no meaning in our own user namespace"],
    );
    let words = ["-r", nstool, "unshare", "-U", "--setgroups", "allow", "echo", "ran"];
    assert_told(&Command::new("unshare").args(words).output().unwrap(), &["setgroups is denied in our own"]);
}

#[test]
fn a_masked_proc_is_named_in_a_container_that_has_one() {
    need_root!();
    need!("bwrap");
    let outer =
        ["--unshare-user", "--unshare-pid", "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc"];
    let mut command = Command::new("bwrap");
    command.args(outer).args(["--", env!("CARGO_BIN_EXE_nstool"), "unshare", "-rpm", "--mount-proc", "echo", "ran"]);
    assert_told(&command.output().unwrap(), &["parts of our own /proc are covered", "--bind /proc"]);
    // What the hint says works there.
    let mut command = Command::new("bwrap");
    command.args(outer).args(["--", env!("CARGO_BIN_EXE_nstool"), "unshare", "-rpm", "--pivot-root", "/"]);
    command.args(["--bind", "/proc", "echo", "ran"]);
    assert_eq!(stdout_of(command.output().unwrap()), "ran\n");
}

#[test]
fn a_chroot_onto_a_mount_point_is_the_cause_where_that_can_be_seen() {
    need_root!();
    need!("setpriv");
    let scratch = Scratch::new();
    let root = scratch.directory("root");
    let chroot = "mount --rbind / \"$1\" && exec chroot \"$1\"";
    let cause = "cause: no user namespace can be created in a chroot (";
    let script = format!("{chroot} \"$0\" unshare -Ur echo ran");
    assert_told(&apart(&script, &[&root]), &[cause]);
    // Without the right to look from the root of the mount namespace, the first process may stand there and be seen.
    let less = format!("{chroot} setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin \"$0\" unshare -Ur echo ran");
    assert_told(&apart(&less, &[&root]), &["possible causes: a chroot, also one onto a mount point"]);
    let first = "unshare -pf --mount-proc sh -c \"$2\" \"$0\" \"$1\"";
    assert_told(&apart(first, &[&root, &less.replace("exec ", "")]), &[cause]);
}

#[test]
fn root_hears_which_capability_it_lacks_and_how_to_get_it() {
    need_root!();
    need!("setpriv");
    let confined = |drop: &str, words: &[&str]| {
        let drop: Vec<String> = drop.split(' ').map(|name| format!("-{name}")).collect();
        let mut command = Command::new("setpriv");
        command.args([format!("--bounding-set={}", drop.join(",")), format!("--inh-caps={}", drop.join(","))]);
        command.args([env!("CARGO_BIN_EXE_nstool"), "unshare"]).args(words).args(["echo", "ran"]);
        command.stdin(Stdio::null()).output().unwrap()
    };
    let scratch = Scratch::new();
    let file = scratch.text("net");
    let keep = format!("--net={file}");
    for (drop, words, lacks, way) in [
        ("sys_admin", &["-n"][..], "CAP_SYS_ADMIN", "--map-root-user (-r)"),
        ("sys_admin", &["-pf"], "CAP_SYS_ADMIN", "--map-root-user (-r)"),
        ("sys_admin", &["-r", &keep], "CAP_SYS_ADMIN", "nstool unshare -Urm"),
        ("sys_chroot", &["-R", "/"], "CAP_SYS_CHROOT", "-r"),
        ("setuid setgid", &["--owner", "7:8"], "CAP_SETGID and CAP_SETUID", "leave --owner away"),
        ("setuid", &["-S", "5"], "CAP_SETUID", "--map-auto"),
        ("setpcap", &["--cap-drop", "kill"], "CAP_SETPCAP", "-r"),
    ] {
        let output = confined(drop, words);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(125), "{words:?}: {told}");
        assert_told(&output, &[&format!("cause: this root lacks {lacks} in its user namespace ("), way, "a container"]);
        assert!(!told.contains("run as root"), "{told}");
    }
    assert!(!Path::new(&file).exists());
    // What it is told to do works.
    assert_eq!(stdout_of(confined("sys_admin", &["-r", "-n"])), "ran\n");
    // Which user namespace: here one whose number is told.
    let inner = [env!("CARGO_BIN_EXE_nstool"), "unshare", "-n", "true"];
    let script = "readlink /proc/self/ns/user; setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin \"$@\"";
    let output = Command::new("unshare").args(["-Ur", "sh", "-c", script, "sh"]).args(inner).output().unwrap();
    let inode = String::from_utf8_lossy(&output.stdout).trim().replace("user:[", "").replace(']', "");
    assert_told(&output, &[&format!("lacks CAP_SYS_ADMIN in its user namespace ({inode})")]);
}

#[test]
fn a_process_that_cannot_be_made_is_told_with_its_cause() {
    need_root!();
    need!("setpriv", "prlimit");
    let nstool = env!("CARGO_BIN_EXE_nstool");
    // The first child of the shell was the pid namespace's init, and has ended.
    let script = "/bin/true; exec \"$0\" unshare -f echo ran";
    let output = Command::new("unshare").args(["-p", "sh", "-c", script, nstool]).output().unwrap();
    assert_told(&output, &["the init of our pid namespace has ended"]);
    let public = common::Public::copy("unshare-limit");
    let path = public.path();
    let mut command = Command::new("prlimit");
    // As somebody who has no other process, for then nstool itself could not be executed.
    command.args(["--nproc=1", "setpriv", "--reuid=64017", "--regid=64017", "--clear-groups"]).arg(path);
    let output = command.args(["unshare", "-rf", "echo", "ran"]).output().unwrap();
    assert_told(&output, &["a limit of processes is reached", "ulimit -u"]);
}

#[test]
fn a_proc_that_is_mounted_read_only_is_named() {
    need!("unshare");
    let script = "mount -o remount,bind,ro /proc && exec \"$0\" unshare -Ur echo ran";
    let nstool = env!("CARGO_BIN_EXE_nstool");
    let output = Command::new("unshare").args(["-Urm", "sh", "-c", script, nstool]).output().unwrap();
    assert_told(&output, &["error: cannot write", "cause: our /proc is mounted read-only (", "bwrap --proc /proc"]);
}

#[test]
fn what_an_ordinary_user_may_not_is_told_with_a_way() {
    need_root!();
    need!("setpriv");
    let scratch = Scratch::new();
    for (words, expected) in [
        (&["--cap-drop", "all"][..], &["dropping capabilities for good needs CAP_SETPCAP", "-r"][..]),
        (&["-S", "5"], &["changing ids needs CAP_SETUID"]),
        (&["-R", "/tmp"], &["chroot needs CAP_SYS_CHROOT"]),
        (&["--owner", "7:8"], &["cannot become uid 7, gid 8", "run as root"]),
        (&["--map-users", "all"], &["newuidmap refused"]),
        (&["-rm", "--bind", "/dev/null:/tmp"], &["a file is where a directory is wanted", "anything else on a file"]),
        (&["-rm", "--bind", "/tmp:/dev/null"], &["a file is where a directory is wanted"]),
        (&["-rm", "--tmpfs", "/tmp:no-such=1"], &["tmpfs does not take an option"]),
        (&["-rm", "--dir", "/no-such-directory"], &["we may not make it"]),
        (&["-rm", "--bind", "/root/x:/tmp"], &["possible causes: we may not look into a directory above /root/x"]),
        (&["-rT", "--boottime", "-99999999999"], &["before boot", "/proc/uptime"]),
        (&["-rT", "--monotonic", "9999999999999"], &["beyond 146 years"]),
        (&["-rm", "-l", ":x:"], &["binfmt_misc did not take the line", ":NAME:TYPE:"]),
    ] {
        if words.contains(&"all") && words.contains(&"--map-users") && !crate::common::is_installed("newuidmap") {
            continue;
        }
        let output = as_nobody(&scratch, &[words, &["echo", "ran"]].concat());
        assert_eq!(output.status.code(), Some(125), "{words:?}: {}", stderr(&output));
        assert_told(&output, expected);
        assert!(output.stdout.is_empty());
    }
}
