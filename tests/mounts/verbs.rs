//! The forms of `nstool mounts`, run in namespaces of the test's own.

use std::process::Output;

use serde_json::Value as Json;

use super::stage::*;
use crate::common::*;
use crate::{need, need_root};

#[test]
fn the_list_has_what_findmnt_has() {
    need_root!();
    need!("unshare", "findmnt");
    let stage = Stage::with("mount --bind $D/a $D/b; mount -t tmpfs over $D/a; mount -t tmpfs again $D/a");
    let ours =
        json_of(stage.nstool(&["mounts", "--json", "-l", "-o", "MOUNTPOINT,FSTYPE,SOURCE,PROPAGATION,OVERMOUNTED"]), 0);
    let pid = stage.shell.pid().to_string();
    let theirs = std::process::Command::new("findmnt")
        .args(["-N", &pid, "-J", "-l", "-o", "TARGET,FSTYPE,SOURCE,PROPAGATION"])
        .output()
        .unwrap();
    let theirs: Json = serde_json::from_slice(&theirs.stdout).unwrap();
    let rows = |document: &Json, key: &str, target: &str| {
        let mut rows: Vec<(String, String, String, String)> = document[key]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                let cell = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
                let propagation = cell("propagation").replace("private,slave", "slave");
                (cell(target), cell("fstype"), cell("source"), propagation)
            })
            .collect();
        rows.sort();
        rows
    };
    assert_eq!(rows(&ours, "mounts", "mountpoint"), rows(&theirs, "filesystems", "target"));
    let overmounted: Vec<bool> = ours["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["mountpoint"] == stage.path("/a").as_str())
        .map(|row| row["overmounted"].as_bool().unwrap())
        .collect();
    assert_eq!(overmounted, [true, false]);
}

#[test]
fn a_type_a_path_and_a_filter_select() {
    need_root!();
    need!("unshare");
    let stage = Stage::with("mount -t tmpfs one $D/a; mount -t tmpfs two $D/b; mount --make-private $D/b");
    let listed = |arguments: &[&str]| {
        let arguments: Vec<&str> = ["mounts", "--json", "-l"].iter().chain(arguments).copied().collect();
        let document = json_of(stage.nstool(&arguments), 0);
        let rows = document["mounts"].as_array().unwrap().clone();
        rows.iter().map(|row| row["source"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let by_type = listed(&["-t", "tmpfs"]);
    assert!(["stage", "one", "two"].iter().all(|source| by_type.iter().any(|listed| listed == source)));
    assert!(!by_type.iter().any(|source| source == "proc"), "{by_type:?}");
    assert_eq!(listed(&[&stage.path("/a")]), ["one"]);
    assert_eq!(listed(&["self", &stage.path("/b/../a")]), ["one"]);
    assert_eq!(listed(&["-Q", "SOURCE == \"two\" && PROPAGATION == \"private\""]), ["two"]);
    let pid = stage.shell.pid().to_string();
    let from_outside = json_of(run(&["mounts", "--json", &pid, &stage.path("/a")]), 0);
    assert_eq!(from_outside["mounts"][0]["source"], "one");
}

#[test]
fn bad_input_is_named_with_a_hint() {
    need_root!();
    need!("unshare");
    let stage = Stage::new();
    let pid = stage.shell.pid().to_string();
    for (arguments, code, part) in [
        (&["mounts", "/no/such/path"][..], 1, "does not exist"),
        (&["mounts", "999999999"], 1, "no process 999999999"),
        (&["mounts", "/proc/self/ns/net"], 1, "not a mnt namespace"),
        (&["mounts", "-o", "NOSUCH"], 2, "unknown column"),
        (&["mounts", "--check-shared", "999999999"], 2, "no process 999999999"),
        (&["mounts", "diff", "self", "999999999"], 2, "no process 999999999"),
        (&["mounts", "reach", "--to", "999999999", "/"], 2, "no process 999999999"),
        (&["mounts", "reach", "--umount", &stage.path("/a")], 1, "is not a mount point"),
        (&["mounts", "reach", &pid, &stage.path("/none")], 1, "does not exist"),
        (&["mounts", "reach", &stage.path("/a"), "--bind", "/etc/passwd"], 1, "cannot bind a file on a directory"),
        (&["mounts", "holders", "4000:1"], 1, "is not mounted"),
        (&["mounts", "--check-shared", "--all", "1"], 2, "takes no target"),
    ] {
        let output = stage.nstool(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(part), "{arguments:?}: {stderr}");
    }
}

#[test]
fn hostile_names_never_reach_the_terminal_raw() {
    need_root!();
    need!("unshare");
    let stage = Stage::with("N=$(printf 'x\\033[2J\\n\\377y'); mkdir \"$D/$N\"; mount -t tmpfs \"$N\" \"$D/$N\"");
    let copy = stage.copy(&[], "");
    let pid = copy.pid().to_string();
    for arguments in [
        &["mounts"][..],
        &["mounts", "-l", "-r"],
        &["mounts", "--json"],
        &["mounts", "--check-shared"],
        &["mounts", "--check-shared", &pid],
        &["mounts", "--check-shared", "--all"],
        &["mounts", "peers"],
        &["mounts", "holders", &stage.path("")],
        &["mounts", "reach", "--umount", "--lazy", &stage.path("")],
    ] {
        let output = stage.nstool(arguments);
        let all = [output.stdout, output.stderr].concat();
        assert!(!all.contains(&0x1b) && std::str::from_utf8(&all).is_ok(), "{arguments:?}");
    }
    stage.run("umount \"$D\"/x*");
}

#[test]
fn what_is_shared_is_found_with_direction_and_party() {
    need_root!();
    need!("unshare");
    let stage = Stage::new();
    // Nobody has a part in it yet, but a clone would.
    let alone = json_of(stage.nstool(&["mounts", "--check-shared", "--json"]), 1);
    assert_eq!(alone["findings"].as_array().unwrap().len(), 1);
    assert_eq!(alone["findings"][0]["mountpoint"], stage.path("").as_str());
    assert_eq!(alone["findings"][0]["direction"], "none_yet");
    let peer = stage.copy(&[], "");
    let slave = stage.copy(&[], "mount --make-slave $D");
    let apart = stage.copy(&[], "mount --make-private $D");
    let direction = |pid: i32, code: i32| {
        let found = json_of(run(&["mounts", "--check-shared", "--json", &pid.to_string()]), code);
        found["findings"].as_array().unwrap().first().map(|finding| finding["direction"].as_str().unwrap().to_owned())
    };
    assert_eq!(direction(peer.pid(), 1).as_deref(), Some("both"));
    assert_eq!(direction(slave.pid(), 1).as_deref(), Some("receives"));
    assert_eq!(direction(apart.pid(), 0), None);
    // Ending it would not do: whoever scans at this moment keeps its namespace for a while.
    run_in(&peer, &format!("mount --make-private {}", stage.path("")));
    assert_eq!(direction(stage.shell.pid(), 1).as_deref(), Some("sends"));
    let found = json_of(stage.nstool(&["mounts", "--check-shared", "--json"]), 1);
    let with = &found["findings"][0]["with"][0];
    assert_eq!(with["pid"], slave.pid());
    assert_eq!(with["ns"], inode_of(slave.pid(), "mnt"));
    let all = json_of(run(&["mounts", "--check-shared", "--all", "--json"]), 1);
    let ns = inode_of(slave.pid(), "mnt");
    let groups = all["groups"].as_array().unwrap();
    assert!(groups.iter().any(|group| group["receivers"].as_array().unwrap().iter().any(|place| place["ns"] == ns)));
}

#[test]
fn the_shared_proc_is_warned_of_predicted_and_cured() {
    need_root!();
    need!("unshare", "mount");
    // A shared / and /proc, as most machines have them.
    let stage = Stage::with("mount --make-rshared /");
    let warned = text_of(stage.nstool(&["mounts", "--check-shared"]), 1);
    assert!(warned.contains("/proc (proc)") && warned.contains("when that pid namespace ends, /proc there is dead"));
    assert!(warned.contains("mount --make-rprivate /"), "{warned}");
    // The child that is about to mount its /proc.
    let child = stage.copy(&["--pid", "--fork"], "true");
    let pid = child.pid().to_string();
    let reach = json_of(run(&["mounts", "reach", &pid, "/proc", "--json"]), 0);
    let outer = inode_of(stage.shell.pid(), "mnt");
    let names_outer = |reach: &Json| {
        let arrivals = reach["arrivals"].as_array().unwrap();
        arrivals
            .iter()
            .any(|arrival| arrival["ns"] == outer && arrival["path"] == "/proc" && arrival["visible"] == true)
    };
    assert!(names_outer(&reach), "{reach}");
    assert_eq!(run(&["mounts", "reach", &pid, "/proc", "--to", &stage.shell.pid().to_string()]).status.code(), Some(0));
    // It is so: the outer /proc is another one afterwards, and dies with the pid namespace.
    let before = mounts_at_proc(&stage.shell);
    let bad = stage.copy(&["--pid", "--fork"], "mount -t proc proc /proc");
    assert_eq!(mounts_at_proc(&stage.shell), before + 1);
    drop(bad);
    run_in(&stage.shell, "umount /proc");
    // With the advice followed nothing leaks.
    let good = stage.copy(&["--pid", "--fork"], "mount --make-rprivate /; mount -t proc proc /proc");
    assert_eq!(mounts_at_proc(&stage.shell), before);
    assert_eq!(run(&["mounts", "--check-shared", &good.pid().to_string()]).status.code(), Some(0));
    let reach = json_of(run(&["mounts", "reach", &good.pid().to_string(), "/proc", "--json"]), 0);
    assert!(!names_outer(&reach), "{reach}");
}

fn mounts_at_proc(helper: &Helper) -> usize {
    let table = std::fs::read_to_string(format!("/proc/{}/mountinfo", helper.pid())).unwrap();
    table.lines().filter(|line| line.split(' ').nth(4) == Some("/proc")).count()
}

#[test]
fn identical_namespaces_do_not_differ_and_each_change_shows_as_itself() {
    need_root!();
    need!("unshare", "mount");
    let stage = Stage::with("mount -t tmpfs -o size=1m one $D/a; mount --make-private $D/a; mount --bind $D/a $D/b");
    let pid = stage.shell.pid().to_string();
    let same = stage.copy(&[], "");
    let document = json_of(run(&["mounts", "diff", "--json", &pid, &same.pid().to_string()]), 0);
    assert!(document["differences"].as_array().unwrap().is_empty());
    assert_eq!(document["connected"][0]["direction"], "both");
    assert_eq!(text_of(run(&["mounts", "diff", &pid, &same.pid().to_string()]), 0), "");
    for (script, kind, path, change) in [
        ("mount --make-private $D; mkdir -p $D/c; mount -t tmpfs new $D/c", "only_in_b", "/c", None),
        ("umount $D/b", "only_in_a", "/b", None),
        ("mount --make-shared $D/a", "changed", "/a", Some("propagation")),
        ("mount --make-unbindable $D/a", "changed", "/a", Some("propagation")),
        ("mount -o remount,bind,nosuid $D/a", "changed", "/a", Some("options")),
        ("mount --make-private $D; mkdir -p $D/c; mount --move $D/b $D/c", "moved", "/b", None),
        ("mount --make-private $D; mkdir -p $D/c; mount --bind $D/b $D/c; umount $D/b", "moved", "/b", None),
        ("umount $D/b; mount --bind /etc $D/b", "changed", "/b", Some("root")),
    ] {
        // In the copies nothing may reach the others, and what they get on the way must not count.
        let other = stage.copy(&[], "mount --make-private $D");
        let reference = stage.copy(&[], "mount --make-private $D");
        run_in(&other, &format!("D={}; {script}", stage.path("")));
        let document =
            json_of(run(&["mounts", "diff", "--json", &reference.pid().to_string(), &other.pid().to_string()]), 1);
        let differences = document["differences"].as_array().unwrap();
        assert_eq!(differences.len(), 1, "{script}: {differences:#?}");
        let found = &differences[0];
        let side = if kind == "only_in_b" { "b" } else { "a" };
        assert_eq!((&found["kind"], &found[side]["mountpoint"]), (&kind.into(), &stage.path(path).into()), "{script}");
        if let Some(change) = change {
            assert!(found["changes"].get(change).is_some(), "{script}: {found}");
        }
    }
    // Numbers of devices and mounts make no difference: the same made anew.
    let one = Stage::new();
    let again = one.copy(&[], "mount --make-private $D; umount -l $D; mount -t tmpfs stage $D; mount --make-shared $D");
    assert_eq!(run(&["mounts", "diff", &one.shell.pid().to_string(), &again.pid().to_string()]).status.code(), Some(0));
}

#[test]
fn peers_are_a_tree_of_who_sends_to_whom() {
    need_root!();
    need!("unshare", "mount");
    let stage = Stage::new();
    let relay = stage.copy(&[], "mount --make-slave $D; mount --make-shared $D");
    let pid = relay.pid().to_string();
    let words = ["nsenter", "-t", &pid, "-m", "unshare", "--mount", "--propagation", "slave"];
    let last = Helper::shell(&words, "echo ready; exec sleep 1000");
    let document = json_of(stage.nstool(&["mounts", "peers", &stage.path(""), "--json"]), 0);
    let top = &document["groups"][0];
    assert_eq!(top["peers"][0]["ns"], inode_of(stage.shell.pid(), "mnt"));
    let below = &top["below"][0];
    assert_eq!(below["peers"][0]["ns"], inode_of(relay.pid(), "mnt"));
    assert_eq!(below["slaves"][0]["ns"], inode_of(last.pid(), "mnt"));
    // Seen from the last the same group stands at the top.
    let from_last = json_of(run(&["mounts", "peers", &last.pid().to_string(), &stage.path(""), "--json"]), 0);
    assert_eq!(from_last["groups"], document["groups"]);
    let drawn = text_of(stage.nstool(&["mounts", "peers"]), 0);
    assert!(drawn.contains("├─peer") && drawn.contains("└─receives as group"), "{drawn}");
}

#[test]
fn a_broken_chain_is_named_by_its_link() {
    need_root!();
    need!("unshare", "mount");
    let stage = Stage::with("mount -t tmpfs inner $D/b; mount --make-private $D/b");
    let pid = stage.shell.pid().to_string();
    let ask = |from: &str, path: &str, to: i32, code: i32| {
        let document = json_of(run(&["mounts", "reach", from, path, "--to", &to.to_string(), "--json"]), code);
        document["broken"].as_str().map(str::to_owned)
    };
    let peer = stage.copy(&[], "");
    let apart = stage.copy(&[], "mount --make-private $D");
    let slave = stage.copy(&[], "mount --make-slave $D");
    let stranger = stage.copy(&["--user", "--map-root-user"], "");
    let elsewhere = stage.copy(&[], "mount --make-slave $D; mount --bind $D/a /mnt; umount -l $D");
    let root = stage.path("");
    assert_eq!(ask(&pid, &stage.path("/a"), peer.pid(), 0), None);
    assert_eq!(ask(&pid, &stage.path("/a"), apart.pid(), 1).as_deref(), Some("private_copy"));
    assert_eq!(ask(&pid, &stage.path("/b"), peer.pid(), 1).as_deref(), Some("private"));
    assert_eq!(ask(&slave.pid().to_string(), &root, stage.shell.pid(), 1).as_deref(), Some("wrong_way"));
    assert_eq!(ask(&stranger.pid().to_string(), &root, stage.shell.pid(), 1).as_deref(), Some("other_owner"));
    assert_eq!(ask(&pid, &stage.path("/b/.."), elsewhere.pid(), 1).as_deref(), Some("other_subtree"));
    let words = text_of(run(&["mounts", "reach", &pid, &stage.path("/a"), "--to", &apart.pid().to_string()]), 1);
    assert!(words.starts_with("no: ") && words.contains("private copy") && words.contains("\nmend: "), "{words}");
}

#[test]
fn an_unmount_is_foretold_with_what_goes_stays_and_is_busy() {
    need_root!();
    need!("unshare", "mount");
    let stage = Stage::with("mount -t tmpfs one $D/a");
    let peer = stage.copy(&[], "");
    let holding = stage.copy(&[], "mount --make-private $D/a; mkdir $D/a/x; mount -t tmpfs on-top $D/a/x");
    let document = json_of(stage.nstool(&["mounts", "reach", "--umount", &stage.path("/a"), "--json"]), 0);
    let namespaces =
        |key: &str| document[key].as_array().unwrap().iter().map(|row| row["ns"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(namespaces("goes"), [inode_of(stage.shell.pid(), "mnt"), inode_of(peer.pid(), "mnt")]);
    assert_eq!(namespaces("stays"), [inode_of(holding.pid(), "mnt")]);
    assert_eq!(document["stays"][0]["why"], "holds_mounts");
    assert!(document["busy"].as_array().unwrap().is_empty());
    // Somebody goes there.
    let script = format!("cd {}; echo ready; exec sleep 1000", stage.path("/a"));
    let pid = peer.pid().to_string();
    let user = Helper::shell(&["nsenter", "-t", &pid, "-m"], &script);
    let document = json_of(stage.nstool(&["mounts", "reach", "--umount", &stage.path("/a"), "--json"]), 0);
    assert_eq!(document["busy"][0]["pid"], user.pid());
    assert_eq!(document["busy"][0]["how"], "cwd");
    drop(user);
    stage.run("umount $D/a");
    assert!(!std::fs::read_to_string(format!("/proc/{}/mountinfo", peer.pid())).unwrap().contains(&stage.path("/a ")));
    assert!(
        std::fs::read_to_string(format!("/proc/{}/mountinfo", holding.pid())).unwrap().contains(&stage.path("/a "))
    );
}

#[test]
fn holders_names_every_mount_and_every_user() {
    need_root!();
    need!("unshare", "mount");
    let stage = Stage::with(
        "mount -t tmpfs one $D/a; mount --make-private $D/a; mkdir $D/a/x; mount -t tmpfs two $D/a/x; cp /bin/sleep $D/a/program",
    );
    let copy = stage.copy(&[], "umount $D/a/x");
    let pid = copy.pid().to_string();
    let script = format!("exec 7</dev/null 8<{0}/program; cd {0}; echo ready; exec ./program 1000", stage.path("/a"));
    let user = Helper::shell(&["nsenter", "-t", &pid, "-m"], &script);
    // The program is executed after the line is out.
    eventually(|| {
        let exe = std::fs::read_link(format!("/proc/{}/exe", user.pid())).ok()?;
        exe.ends_with("program").then_some(())
    });
    let document = json_of(stage.nstool(&["mounts", "holders", &stage.path("/a/program"), "--json"]), 0);
    let uses: Vec<&str> = document["uses"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|each| each["pid"] == user.pid())
        .map(|each| each["how"].as_str().unwrap())
        .collect();
    assert_eq!(uses, ["cwd", "exe", "fd 8", "mapping"]);
    let mounts = document["mounts"].as_array().unwrap();
    let here = inode_of(stage.shell.pid(), "mnt");
    let of_here: Vec<&str> =
        mounts.iter().filter(|row| row["ns"] == here).map(|row| row["path"].as_str().unwrap()).collect();
    assert_eq!(of_here, [stage.path("/a/x"), stage.path("/a")], "what stands on it goes first");
    assert!(mounts.iter().any(|row| row["ns"] == inode_of(copy.pid(), "mnt")));
    let device = document["device"].as_str().unwrap();
    let by_number = json_of(stage.nstool(&["mounts", "holders", device, "--json"]), 0);
    assert_eq!(by_number["mounts"].as_array().unwrap().len(), mounts.len());
}

#[test]
fn a_namespace_without_processes_counts_like_any_other() {
    need_root!();
    need!("unshare", "mount");
    let stage = Stage::new();
    let copy = stage.copy(&[], "");
    let kept = std::fs::File::open(format!("/proc/{}/ns/mnt", copy.pid())).unwrap();
    let ns = inode_of(copy.pid(), "mnt");
    drop(copy);
    let path = stage.path("/a");
    if !in_initial_pid_namespace() {
        let output = run(&["mounts", "reach", &stage.shell.pid().to_string(), &path]);
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("hidden: mount namespaces without processes"),
            "{output:?}"
        );
        return;
    }
    let arrives = || {
        let reach = json_of(run(&["mounts", "reach", &stage.shell.pid().to_string(), &path, "--json"]), 0);
        let arrivals = reach["arrivals"].as_array().unwrap().clone();
        arrivals.into_iter().find(|arrival| arrival["ns"] == ns)
    };
    let arrival = eventually(|| arrives().filter(|arrival| arrival["pid"].is_null()));
    assert_eq!(arrival["visible"], true);
    // And a path in it can be followed.
    let listed = json_of(run(&["mounts", &format!("ns:{ns}"), &stage.path(""), "--json"]), 0);
    assert_eq!(listed["mounts"][0]["source"], "stage");
    drop(kept);
}

#[test]
fn older_kernels_tell_the_same() {
    need_root!();
    need!("unshare", "mount");
    let stage = Stage::with("mount -t tmpfs one $D/a; mount --make-unbindable $D/a; ln -s a $D/link");
    let copy = stage.copy(&[], "mount --make-slave $D");
    let (pid, other) = (stage.shell.pid().to_string(), copy.pid().to_string());
    let link = stage.path("/link");
    for arguments in [
        &["mounts", "--json", "-l", &pid][..],
        &["mounts", "--json", &pid, &link],
        &["mounts", "--check-shared", "--json", &other],
        &["mounts", "reach", "--json", &pid, &link],
        &["mounts", "diff", "--json", &pid, &other],
    ] {
        let new = run(arguments);
        let gone = ["without", "ioctls", "pidfd_open", "statmount", "listmount", "openat2", "--"];
        let old =
            crate::common::stage(&[&gone[..], &[env!("CARGO_BIN_EXE_nstool")], arguments].concat()).output().unwrap();
        assert_eq!(old.status.code(), new.status.code(), "{}", String::from_utf8_lossy(&old.stderr));
        let document = |output: Output| {
            let mut document: Json = serde_json::from_slice(&output.stdout).unwrap();
            // An older kernel cannot tell of namespaces without processes, and says so.
            document.as_object_mut().unwrap().remove("hidden");
            document
        };
        assert_eq!(document(old), document(new), "{arguments:?}");
    }
}

#[test]
fn an_ordinary_user_sees_the_own_mounts_and_is_told_of_the_rest() {
    need_root!();
    need!("setpriv");
    let nobody = |arguments: &[&str]| {
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_nstool")]);
        command.args(arguments).output().unwrap()
    };
    let probe = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_nstool"), "--version"])
        .output()
        .unwrap();
    if !probe.status.success() {
        return skip("nobody cannot execute the program under test");
    }
    let output = nobody(&["mounts", "--json"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = json_of(output, 0);
    let rows = flat(&document["mounts"]);
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(rows.len() + 3 >= table.lines().count(), "{} rows", rows.len());
    assert!(document["hidden"]["processes"].is_object() && stderr.contains("run as root"), "{document} {stderr}");
}
