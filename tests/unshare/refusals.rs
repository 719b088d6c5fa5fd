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
fn a_command_that_is_no_child_contradicts_what_makes_it_one_by_the_option_that_was_typed() {
    for (option, shown) in [
        ("--fork", "--fork"),
        ("--kill-child", "--kill-child[=<SIG>]"),
        ("--forward-signals", "--forward-signals"),
        ("--init", "--init"),
    ] {
        let output = unshare(&["-pF", option, "true"]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("--no-fork") && told.contains(&format!("'{shown}'")), "{told}");
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
    assert!(!stderr(&output).contains("new root"), "{}", stderr(&output));
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
fn a_place_for_proc_that_is_not_there_is_no_place_to_make() {
    need_root!();
    let scratch = Scratch::new();
    let place = scratch.text("typo");
    for root in [&[][..], &["--root", "/"], &["--pivot-root", "/"]] {
        let option = format!("--mount-proc={place}");
        let output = crate::common::run(&[&["unshare", "-pm"], root, &[&option, "true"]].concat());
        assert_eq!(output.status.code(), Some(125));
        assert_told(&output, &["there is no such directory", "have it made"]);
    }
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

#[test]
fn a_capability_that_the_command_would_not_have_is_refused_by_name() {
    need_root!();
    need!("setpriv");
    let setpriv = |confined: &[&str], words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(confined).args([env!("CARGO_BIN_EXE_nstool"), "unshare"]).args(words);
        command.args(["--", "sh", "-c", "grep CapEff /proc/self/status | cut -f2"]).stdin(Stdio::null());
        command.output().unwrap()
    };
    let confined = &["--bounding-set=-kill", "--inh-caps=-kill"][..];
    for words in
        [&["-n", "--cap-add", "kill"][..], &["--cap-drop", "all", "--cap-add", "CAP_KILL", "--cap-add", "chown"]]
    {
        let output = setpriv(confined, words);
        assert_eq!(output.status.code(), Some(125), "{}", stderr(&output));
        assert_told(
            &output,
            &["cannot have cap_kill\n", "CapPrm", "hint:  start nstool with it; or add --map-root-user"],
        );
        assert!(output.stdout.is_empty());
    }
    let has = |output: Output| u64::from_str_radix(common::stdout_of(output).trim(), 16).unwrap() & 1 << 5 != 0;
    // As the hint says; and what is asked for with ALL is what there is.
    assert!(has(setpriv(confined, &["-r", "--cap-add", "kill"])));
    assert!(!has(setpriv(confined, &["--cap-add", "all"])));
    assert!(has(setpriv(&[], &["--cap-add", "kill"])));
}
