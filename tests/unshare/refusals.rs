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
        (&["--propagation", "private", "true"], "--propagation needs a new mnt namespace", "-m"),
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
        (&["--net=", "true"], "the file of the net namespace has no name", "--net=FILE"),
        (&["-m=", "-u", "true"], "the file of the mnt namespace has no name", "--mount=FILE"),
        (&["--user", "--user=", "true"], "the file of the user namespace has no name", "--user=FILE"),
        (&["--net=/x", "--uts=/x", "true"], "named for two namespaces", "its own"),
        (&["-r", "--userns-block-fd", "0", "true"], "only once", "--map-"),
        (&["-r", "-S", "5", "true"], "the user id 5 has no meaning", "--map-users 5:OUTER:1"),
        (&["--map-users=3:7:4", "-S", "7", "true"], "the user id 7 has no meaning", "--map-users"),
        (&["-U", "-G", "0", "true"], "the group id 0 has no meaning", "--map-groups"),
        (&["-pm", "--propagation", "shared", "--pivot-root", "/x", "true"], "contradicts", "--root"),
        (&["-u", "--info-fd", "30", "true"], "descriptor 30 is not open", "30>FILE"),
        (&["-u", "--json-status-fd", "31", "true"], "descriptor 31 is not open", "31>FILE"),
        (&["-u", "--sync-fd", "32", "true"], "descriptor 32 is not open", "32>FILE"),
        (&["-U", "--userns-block-fd", "33", "true"], "descriptor 33 is not open", "33>FILE"),
    ] {
        let output = unshare(words);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {told}");
        assert!(told.contains(message), "{words:?}: {told}");
        assert!(told.lines().any(|line| line.starts_with("hint:") && line.contains(hint)), "{words:?}: {told}");
    }
}

#[test]
fn a_malformed_building_block_is_told_by_its_option_and_form() {
    for (option, value, message, hint) in [
        ("--bind <SRC:DST>", "a", "the place \"a\" is not an absolute path", "name it from the new root, such as /usr"),
        ("--bind <SRC:DST>", ":/etc", "malformed bind \":/etc\"", "it takes SRC:DST, or SRC for the same place inside"),
        (
            "--ro-bind <SRC:DST>",
            "a:b",
            "the place \"b\" is not an absolute path",
            "name it from the new root, such as /usr",
        ),
        (
            "--dir <DIR>",
            "/a/../b",
            "the place \"/a/../b\" goes through `..`",
            "name it from the new root, such as /usr",
        ),
        ("--symlink <TEXT:DST>", "x", "malformed symbolic link \"x\"", "it takes TEXT:DST, as in `ln -s TEXT DST`"),
    ] {
        let name = option.split(' ').next().unwrap();
        let output = unshare(&["-m", name, value, "true"]);
        let expected = format!(
            "error: invalid value '{value}' for '{option}': {message}\n\nFor more information, try '--help'.\n\
             hint:  {hint}\n"
        );
        assert_eq!((output.status.code(), stderr(&output)), (Some(2), expected));
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
    let fifo = scratch.text("fifo");
    stdout_of(Command::new("mkfifo").arg(&fifo).output().unwrap());
    for (place, cause) in [
        (&taken, "carries a namespace already"),
        (&directory, "it is a directory"),
        (&link, "symbolic link"),
        (&fifo, "it is no plain file"),
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
fn a_command_that_the_new_root_lacks_is_missed_there() {
    need_root!();
    let scratch = Scratch::new();
    let root = scratch.text("");
    for options in [&["--root", &root][..], &["-m", "--pivot-root", &root], &["-rf", "-R", &root]] {
        for (command, cause) in
            [("ls", "no directory of PATH has it (/a, /usr/bin, .)"), ("/bin/ls", "there is no such file")]
        {
            let mut nstool = common::nstool();
            nstool.env("PATH", "/a:/usr/bin:/a:/usr/bin:.").arg("unshare").args(options).args(["--", command]);
            let output = nstool.output().unwrap();
            let expected = format!("error: cannot run {command} in the new root {root}\ncause: {cause}\nhint: ");
            assert_eq!(output.status.code(), Some(127));
            assert!(stderr(&output).starts_with(&expected), "{}", stderr(&output));
        }
    }
    // Without one, there is nothing to say of it.
    let output = unshare(&["--", "no-such-program"]);
    assert!(!stderr(&output).contains("root"), "{}", stderr(&output));
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

/// Runs a shell script in a mount namespace of its own, in which `$0` is nstool and the words are `$1` and so on.
fn apart(script: &str, words: &[&str]) -> Output {
    let script = format!("{}; {script}", without_foreign_mounts());
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, env!("CARGO_BIN_EXE_nstool")]).args(words).stdin(Stdio::null());
    command.output().unwrap()
}

#[track_caller]
fn assert_told(output: &Output, expected: &[&str]) {
    let told = stderr(output);
    for part in expected {
        assert!(told.contains(part), "{part}: {told}");
    }
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
    assert_eq!(stdout_of(nested(31, "-pf", "-p")), "ran\n");
    assert_told(&nested(32, "-pf", "-p"), &["our pid namespace is nested 32 deep, and no deeper one can be"]);
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
fn a_chroot_onto_a_mount_point_is_a_possible_cause() {
    need_root!();
    let scratch = Scratch::new();
    let root = scratch.directory("root");
    let script = "mount --rbind / \"$1\" && exec chroot \"$1\" \"$0\" unshare -U echo ran";
    assert_told(&apart(script, &[&root]), &["possible causes: a chroot, also one onto a mount point"]);
}

#[test]
fn a_shared_root_is_refused_before_anything_shows_outside() {
    need_root!();
    let scratch = Scratch::new();
    let root = scratch.directory("root");
    let script = "mount --make-rshared / && cat /proc/self/mountinfo > \"$2/before\" && \
                  \"$0\" unshare -pm --propagation unchanged --pivot-root \"$1\" --proc /proc echo ran; \
                  cat /proc/self/mountinfo > \"$2/after\"";
    let output = apart(script, &[&root, scratch.path().to_str().unwrap()]);
    assert_told(&output, &["cannot pivot to", "which is shared and stays so (--propagation unchanged)"]);
    assert!(output.stdout.is_empty());
    let table = |name: &str| fs::read_to_string(scratch.text(name)).unwrap();
    assert_eq!(table("before"), table("after"));
    // Below a new user namespace the copies are slaves, and it works.
    let script = "mount --make-rshared / && exec \"$0\" unshare -rm --propagation unchanged --pivot-root / echo ran";
    assert_eq!(stdout_of(apart(script, &[])), "ran\n");
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

#[test]
fn a_place_for_proc_that_is_not_there_is_no_place_to_make() {
    need_root!();
    let scratch = Scratch::new();
    let place = scratch.text("typo");
    let output = crate::common::run(&["unshare", "-pm", &format!("--mount-proc={place}"), "true"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(stderr(&output).contains("there is no such directory"), "{}", stderr(&output));
    assert!(!Path::new(&place).exists());
}

#[test]
fn a_new_root_that_is_none_is_said_so() {
    need_root!();
    for (option, root, cause) in [
        ("--pivot-root", "/etc/passwd", "no directory"),
        ("--root", "/etc/passwd", "no directory"),
        ("--pivot-root", "/no/such/root", "there is no such directory"),
    ] {
        let output = crate::common::run(&["unshare", "-m", option, root, "true"]);
        assert_eq!(output.status.code(), Some(125));
        assert!(stderr(&output).contains(cause), "{}", stderr(&output));
    }
}
