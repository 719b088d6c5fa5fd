//! `nstool compare`.

use std::process::Command;

use serde_json::Value;

use crate::common::{Helper, eventually, inode_of, nstool, run, stdout_of};

/// A shell that says its own process id, then waits.
const SAY_PID: &str = "echo $$; exec sleep infinity";

fn compare(arguments: &[&str]) -> (Value, i32) {
    let output = nstool().args(["compare", "--json"]).args(arguments).output().unwrap();
    let code = output.status.code().unwrap();
    assert!(code < 2, "{}", String::from_utf8_lossy(&output.stderr));
    (serde_json::from_slice(&output.stdout).unwrap(), code)
}

fn row<'a>(answer: &'a Value, kind: &str) -> &'a Value {
    answer["kinds"].as_array().unwrap().iter().find(|row| row["type"] == kind).unwrap()
}

fn meaning(answer: &Value, kind: &str) -> String {
    let clauses = row(answer, kind)["meaning"].as_array().unwrap();
    clauses.iter().map(|clause| clause.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Waits until the program below `unshare --fork` runs, and returns its process id.
fn child_of(parent: &Helper) -> i32 {
    eventually(|| {
        let pid = parent.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().next()?.parse().ok()
    })
}

#[test]
fn a_process_and_its_like_share_everything() {
    let sleeper = Helper::shell(&[], "echo; exec sleep infinity");
    let (pid, me) = (sleeper.pid().to_string(), std::process::id().to_string());
    let (answer, code) = compare(&[&me, &pid]);
    assert_eq!((code, &answer["same"]), (0, &Value::Bool(true)));
    for row in answer["kinds"].as_array().unwrap() {
        assert_eq!(row["relation"], "same");
        assert_eq!(row["a"], inode_of(sleeper.pid(), row["type"].as_str().unwrap()));
    }
    let (alone, code) = compare(&[&pid]);
    assert_eq!(code, 0, "one target is compared with us: {alone}");
}

#[test]
fn each_sees_the_other_by_the_number_that_it_has_there() {
    crate::need_root!();
    let outer = Helper::start("unshare", &["--pid", "--fork", "sh", "-c", SAY_PID]);
    let inside = child_of(&outer);
    let file = format!("--pid=/proc/{inside}/ns/pid");
    let deeper = Helper::start("nsenter", &[&file, "unshare", "--pid", "--fork", "sh", "-c", SAY_PID]);
    // nsenter, then unshare, then the shell.
    let unsharing = child_of(&deeper);
    let deep = eventually(|| {
        let children = std::fs::read_to_string(format!("/proc/{unsharing}/task/{unsharing}/children")).unwrap();
        children.split_whitespace().next()?.parse::<i32>().ok()
    });
    let me = std::process::id();

    let (answer, code) = compare(&[&me.to_string(), &deep.to_string(), "-t", "pid"]);
    assert_eq!((code, &row(&answer, "pid")["relation"]), (1, &"ancestor".into()));
    assert_eq!(meaning(&answer, "pid"), format!("{me} sees {deep} as PID {deep}\n{deep} does not see {me}"));

    let (answer, _) = compare(&[&deep.to_string(), &inside.to_string(), "-t", "pid"]);
    assert_eq!(row(&answer, "pid")["relation"], "child");
    // The kernel's own word on the number in the middle.
    let status = std::fs::read_to_string(format!("/proc/{deep}/status")).unwrap();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
    let middle = numbers.split_whitespace().nth(1).unwrap();
    assert!(meaning(&answer, "pid").contains(&format!("{inside} sees {deep} as PID {middle}")), "{answer}");

    let beside = Helper::start("unshare", &["--pid", "--fork", "sh", "-c", SAY_PID]);
    let (answer, _) = compare(&[&inside.to_string(), &child_of(&beside).to_string(), "-t", "pid"]);
    assert_eq!(row(&answer, "pid")["relation"], "siblings");
}

#[test]
fn ids_and_capabilities_follow_the_maps() {
    crate::need_root!();
    let inner = Helper::shell(&["unshare", "--user", "--net"], "echo; exec sleep infinity");
    let pid = inner.pid();
    std::fs::write(format!("/proc/{pid}/uid_map"), "0 100000 10\n5000 7 1\n").unwrap();
    std::fs::write(format!("/proc/{pid}/gid_map"), "0 100000 1\n").unwrap();
    let me = std::process::id();
    let (answer, _) = compare(&[&pid.to_string(), &me.to_string()]);
    assert_eq!(row(&answer, "user")["relation"], "child");
    let text = meaning(&answer, "user");
    assert!(text.contains(&format!("11 of {pid}'s uids have a name in {me}, 0 is 100000 there")), "{text}");
    assert!(text.contains(&format!("{pid} has no capability over {me}")), "{text}");
    assert!(text.contains(&format!("{me} has capabilities over {pid} (created it): all")), "{text}");
    assert!(meaning(&answer, "net").contains("below the owner of"), "{answer}");
}

#[test]
fn clocks_differ_by_what_was_set() {
    crate::need_root!();
    let set = ["unshare", "--time", "--monotonic", "86400", "--boottime", "5", "--fork"];
    let ahead = Helper::shell(&set, "echo; exec sleep infinity");
    let (answer, _) = compare(&[&std::process::id().to_string(), &child_of(&ahead).to_string(), "-t", "time"]);
    let text = meaning(&answer, "time");
    assert!(text.contains("CLOCK_MONOTONIC is 86400 s ahead in"), "{text}");
    assert!(text.contains("CLOCK_BOOTTIME is 5 s ahead in"), "{text}");
}

#[test]
fn mounts_pass_as_the_propagation_was_set() {
    crate::need_root!();
    let directory = tempfile("compare-mounts");
    let place = directory.to_str().unwrap();
    // A shared mount of our own, in a mount namespace of its own; below it one that was copied in each way.
    let script = format!(
        "mount --make-rprivate / && mount -t tmpfs t '{place}' && mount --make-shared '{place}' && echo && exec sleep infinity"
    );
    let outer = Helper::shell(&["unshare", "--mount"], &script);
    let file = format!("--mount=/proc/{}/ns/mnt", outer.pid());
    for (propagation, expected) in [
        ("shared", "both ways on"),
        ("slave", "mounts pass from OUTER to INNER only on"),
        ("private", "a mount made in one never appears in the other"),
    ] {
        let flag = format!("--make-{propagation}");
        let script = format!("mount {flag} '{place}' && echo && exec sleep infinity");
        let copy = ["nsenter", &file, "unshare", "--mount", "--propagation", "unchanged"];
        let inner = Helper::shell(&copy, &script);
        let (answer, _) = compare(&[&outer.pid().to_string(), &inner.pid().to_string(), "-t", "mnt"]);
        let expected = expected.replace("OUTER", &outer.pid().to_string()).replace("INNER", &inner.pid().to_string());
        let text = meaning(&answer, "mnt");
        assert!(text.contains(&expected), "{propagation}: {text}");
        assert_eq!(text.contains(place), propagation != "private", "{text}");
        // The kernel agrees: a mount made in the outer one is there, or is not.
        let made = format!("{place}/{propagation}");
        let mount = ["mkdir", "-p", &made];
        assert!(Command::new("nsenter").arg(&file).args(mount).status().unwrap().success());
        let mount = ["mount", "-t", "tmpfs", "t", &made];
        assert!(Command::new("nsenter").arg(&file).args(mount).status().unwrap().success());
        let there = std::fs::read_to_string(format!("/proc/{}/mountinfo", inner.pid())).unwrap();
        assert_eq!(there.contains(&format!(" {made} ")), propagation != "private");
        assert!(Command::new("nsenter").arg(&file).args(["umount", &made]).status().unwrap().success());
    }
    std::fs::remove_dir(directory).unwrap();
}

#[test]
fn cgroups_are_told_as_the_other_sees_them() {
    crate::need_root!();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let unified = mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
    let Some(unified) = unified else { return crate::common::skip("needs a cgroup2 mount") };
    let group = format!("{unified}/nstool-compare-{}", std::process::id());
    if std::fs::create_dir(&group).is_err() {
        return crate::common::skip("needs a cgroup2 that can be written");
    }
    {
        let script =
            format!("echo 0 > {group}/cgroup.procs && exec unshare --cgroup sh -c 'echo; exec sleep infinity'");
        let inner = Helper::shell(&[], &script);
        let me = std::process::id();
        let (answer, _) = compare(&[&me.to_string(), &inner.pid().to_string(), "-t", "cgroup"]);
        let text = meaning(&answer, "cgroup");
        let own = std::fs::read_to_string(format!("/proc/{}/cgroup", inner.pid())).unwrap();
        let seen = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
        assert!(text.contains(&format!("{me} sees the cgroup of {} as {seen}", inner.pid())), "{text}");
        assert!(text.contains(&format!("{} sees the cgroup of {me} as /..", inner.pid())), "{text}");
    }
    eventually(|| std::fs::remove_dir(&group).ok());
}

#[test]
fn more_than_two_make_a_matrix() {
    crate::need_root!();
    let apart = Helper::shell(&["unshare", "--uts"], "echo; exec sleep infinity");
    let like = Helper::shell(&[], "echo; exec sleep infinity");
    let pids = [apart.pid().to_string(), like.pid().to_string(), std::process::id().to_string()];
    let output = run(&["compare", &pids[0], &pids[1], &pids[2]]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let words = |kind: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with(kind)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(words("TYPE")[1..], pids);
    assert_eq!(words("uts"), ["uts", "A", "B", "B"]);
    assert_eq!(words("net"), ["net", "A", "A", "A"]);
    let (answer, _) = compare(&[&pids[0], &pids[1], &pids[2]]);
    assert_eq!(row(&answer, "uts")["ns"][0], inode_of(apart.pid(), "uts"));
    assert_eq!((&row(&answer, "uts")["same"], &row(&answer, "ipc")["same"]), (&false.into(), &true.into()));
}

#[test]
fn a_namespace_stands_for_a_process_where_its_kind_is_compared() {
    crate::need_root!();
    let apart = Helper::shell(&["unshare", "--net"], "echo; exec sleep infinity");
    let file = format!("/proc/{}/ns/net", apart.pid());
    let (answer, code) = compare(&[&file, &apart.pid().to_string()]);
    assert_eq!((code, answer["kinds"].as_array().unwrap().len()), (0, 1));
    let (answer, code) = compare(&[&file, "self"]);
    assert_eq!((code, &row(&answer, "net")["same"]), (1, &false.into()));
}

#[test]
fn two_mount_namespaces_are_compared_by_their_files() {
    crate::need_root!();
    let place = tempfile("compare-files");
    let script = format!(
        "mount --make-rprivate / && mount -t tmpfs t '{0}' && mount --make-shared '{0}' && echo && exec sleep infinity",
        place.to_str().unwrap()
    );
    let outer = Helper::shell(&["unshare", "--mount"], &script);
    let file = format!("/proc/{}/ns/mnt", outer.pid());
    let join = format!("--mount={file}");
    let copy = ["nsenter", &join, "unshare", "--mount", "--propagation", "unchanged"];
    let inner = Helper::shell(&copy, "echo; exec sleep infinity");
    let other = format!("/proc/{}/ns/mnt", inner.pid());
    for (first, second) in [(&file, &other), (&file, &inner.pid().to_string())] {
        let (answer, code) = compare(&[first, second]);
        assert_eq!(code, 1);
        let text = meaning(&answer, "mnt");
        assert!(text.contains("both ways on") && text.contains(place.to_str().unwrap()), "{text}");
    }
    std::fs::remove_dir(place).unwrap();
}

#[test]
fn an_ordinary_user_compares_with_a_sandbox_of_their_own() {
    crate::need_root!();
    crate::need!("setpriv");
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let unshare = ["unshare", "--user", "--map-root-user", "--mount", "--cgroup"];
    let inner = Helper::shell(&[&nobody[..], &unshare].concat(), "echo; exec sleep infinity");
    let public = crate::common::Public::copy("compare");
    let output = public.run_as_nobody().args(["compare", "--json", &inner.pid().to_string()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = meaning(&answer, "cgroup");
    assert!(text.contains(&format!("{} sees the cgroup of self as /", inner.pid())), "{text}");
    assert!(!meaning(&answer, "mnt").contains("cannot be read"), "{answer}");
    assert!(meaning(&answer, "user").contains("self has capabilities over"), "{answer}");
}

#[test]
fn without_statmount_the_mounts_are_those_that_the_processes_see() {
    crate::need_root!();
    let place = tempfile("compare-older");
    let place = place.to_str().unwrap();
    let script = format!(
        "mount --make-rprivate / && mount -t tmpfs t '{place}' && mount --make-shared '{place}' && echo && exec sleep infinity"
    );
    let outer = Helper::shell(&["unshare", "--mount"], &script);
    let join = format!("--mount=/proc/{}/ns/mnt", outer.pid());
    let copy = ["nsenter", &join, "unshare", "--mount", "--propagation", "unchanged"];
    let inner = Helper::shell(&copy, "echo; exec sleep infinity");
    let program = env!("CARGO_BIN_EXE_nstool");
    let words = ["without", "statmount", "listmount", "--", program, "compare", "--json", "-t", "mnt"];
    let output =
        crate::common::stage(&words).args([outer.pid().to_string(), inner.pid().to_string()]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(meaning(&answer, "mnt").contains("both ways on"), "{answer}");
    std::fs::remove_dir(place).unwrap();
}

#[test]
fn trouble_is_said_and_exits_with_2() {
    let mut ended = Command::new("true").spawn().unwrap();
    let gone = ended.id().to_string();
    ended.wait().unwrap();
    let refuse = |arguments: &[&str], parts: &[&str]| {
        let output = nstool().arg("compare").args(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        parts.iter().for_each(|part| assert!(error.contains(part), "{error}"));
    };
    refuse(&[&gone, "self"], &["no process", "hint:"]);
    refuse(&["/proc/self/ns/net", "/proc/self/ns/uts"], &["nothing to compare", "hint:"]);
    refuse(&["/proc/self/status"], &["is no namespace file"]);
    refuse(&["self:1"], &["malformed target"]);
    refuse(&[&format!("{}:1", std::process::id())], &["has ended"]);
    refuse(&["self", "-t", "nat"], &["unknown kind"]);
    refuse(&[&gone], &["no process", "hint:"]);
    refuse(&["self", "ns:1"], &["no namespace 1 found", "hint:"]);
    refuse(&["self", "net:no-such-name"], &["is named no-such-name", "hint:"]);
    refuse(&["/no/such/file"], &["cannot open /no/such/file"]);
    let place = tempfile("compare-no-namespace");
    refuse(&[place.to_str().unwrap()], &["is no namespace file", "hint:"]);
    std::fs::remove_dir(place).unwrap();
    refuse(&[], &["required"]);
}

#[test]
fn a_zombie_has_let_go_of_its_namespaces() {
    let zombie = Helper::start("sh", &["-c", "sleep 0 & echo $!; exec sleep infinity"]);
    let pid: i32 = zombie.said.parse().unwrap();
    eventually(|| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") Z ").then_some(()));
    let output = run(&["compare", "self", &pid.to_string()]);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stderr).contains("has ended"));
}

#[test]
fn what_an_ordinary_user_may_not_read_is_trouble() {
    crate::need_root!();
    crate::need!("setpriv");
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", env!("CARGO_BIN_EXE_nstool")])
        .args(["compare", &std::process::id().to_string()])
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    if error.contains("Permission denied") && error.contains("setpriv: failed to execute") {
        return crate::common::skip("nobody cannot reach the program");
    }
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("run nstool as root"), "{error}");
}

#[test]
fn two_processes_are_compared_without_looking_at_others() {
    crate::need!("strace");
    let pid = std::process::id().to_string();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=pidfd_open,getdents64"]);
    strace.args([env!("CARGO_BIN_EXE_nstool"), "compare", &pid, "self"]);
    let output = strace.output().unwrap();
    let trace = String::from_utf8(output.stderr).unwrap();
    // Those two, and nstool itself where it asks whom it may compare with.
    assert!(trace.matches("pidfd_open(").count() <= 4, "{trace}");
    assert!(!trace.contains("getdents64("), "it lists nothing: {trace}");
}

fn tempfile(name: &str) -> std::path::PathBuf {
    let directory = std::env::temp_dir().join(format!("nstool-{name}-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    directory
}

#[test]
fn the_table_says_in_words_what_the_json_says() {
    crate::need_root!();
    let apart = Helper::shell(&["unshare", "--net"], "echo; exec sleep infinity");
    let output = run(&["compare", "self", &apart.pid().to_string(), "-t", "net,uts"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("TYPE  RELATION"), "{text}");
    assert!(text.contains("different") && text.contains("localhost of one is not that of the other"), "{text}");
    assert!(text.contains("the same host and domain name"), "{text}");
    let same = run(&["compare", "self", &apart.pid().to_string(), "-t", "uts"]);
    stdout_of(same);
}

#[test]
fn one_that_is_only_chrooted_is_told_by_its_root() {
    crate::need_root!();
    let script = "mount --make-rprivate / && mount --rbind / /mnt && chroot /mnt sleep infinity & echo $!; \
                  exec sleep infinity";
    let outer = Helper::shell(&["unshare", "--mount"], script);
    // The shell waits for no one; what it started becomes the program in the end.
    let root = format!("/proc/{}/root", outer.said);
    let children = format!("/proc/{0}/task/{0}/children", outer.said);
    let inner = eventually(|| {
        let child = std::fs::read_to_string(&children).ok()?.split_whitespace().next().map(str::to_owned);
        let inside =
            |pid: &str| std::fs::read_link(format!("/proc/{pid}/root")).is_ok_and(|root| root.ends_with("mnt"));
        if std::fs::read_link(&root).is_ok_and(|root| root.ends_with("mnt")) {
            return Some(outer.said.clone());
        }
        child.filter(|pid| inside(pid))
    });
    let output = run(&["compare", &inner, &outer.pid().to_string()]);
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = format!("from different roots: {inner} from /mnt, {} from /", outer.pid());
    assert!(text.contains(&expected), "{text}");
}
