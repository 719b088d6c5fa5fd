//! What `why` says of a namespace, and what it says does not keep one.

use std::fs::File;
use std::process::Command;

use serde_json::Value;

use super::{Keeper, carry_out, kinds_of, sleeper, why, why_until, world};
use crate::common::handle::Handle;
use crate::common::{Helper, eventually, inode_of, run, stdout_of};

#[test]
fn filesystems_but_procfs_and_files_inside_do_not_keep_a_namespace() {
    crate::need_root!();
    let own = world::open("/proc/self/ns/net");
    if Handle::of(own).is_none() {
        return crate::common::skip("needs file handles of namespaces (Linux 6.18)");
    }
    for (kind, script) in
        [("net", "mount -t sysfs s /mnt"), ("ipc", "mount -t mqueue m /mnt"), ("cgroup", "mount -t cgroup2 c /mnt")]
    {
        // Mounted from within the namespace, and held by a descriptor on the mount.
        let script = format!("{script} && echo && exec sleep infinity");
        let inner = Helper::shell(&["unshare", "--mount", &format!("--{kind}")], &script);
        if inner.said.is_empty() && std::fs::metadata(format!("/proc/{}/root/mnt", inner.pid())).is_err() {
            continue;
        }
        let handle = Handle::of(world::open(format!("/proc/{}/ns/{kind}", inner.pid()))).unwrap();
        let mount = Keeper::of(File::open(format!("/proc/{}/root/mnt", inner.pid())).unwrap());
        drop(inner);
        assert!(handle.wait_until_gone(), "{kind}: kept by its filesystem");
        drop(mount);
    }
    for path in ["root", "root/etc/passwd", "cwd", "exe"] {
        let inner = sleeper(&["unshare", "--mount"]);
        let handle = Handle::of(world::open(format!("/proc/{}/ns/mnt", inner.pid()))).unwrap();
        let file = File::open(format!("/proc/{}/{path}", inner.pid())).unwrap();
        drop(inner);
        assert!(handle.wait_until_gone(), "kept by {path}");
        drop(file);
    }
}

#[test]
fn who_has_files_open_inside_is_said_apart() {
    crate::need_root!();
    let script = "mount -t tmpfs t /mnt && touch /mnt/f && echo && exec sleep infinity";
    let inner = Helper::shell(&["unshare", "--mount"], script);
    let user = Keeper::of(File::open(format!("/proc/{}/root/mnt/f", inner.pid())).unwrap());
    let keeper = Keeper::of(world::open(format!("/proc/{}/ns/mnt", inner.pid())));
    let ino = inode_of(inner.pid(), "mnt");
    drop(inner);
    let answer = why_until(&format!("ns:{ino}"), |answer| kinds_of(&answer["kept_by"]) == ["descriptor"]);
    assert_eq!(answer["kept_by"][0]["pid"], keeper.0.id());
    let uses = answer["open_from_outside"].as_array().unwrap();
    assert!(
        uses.iter().any(|entry| entry["pid"] == user.0.id() && entry["mount_point"] == "/mnt" && entry["fd"] == 0),
        "{answer}"
    );
    let text = stdout_of(run(&["why", &format!("ns:{ino}")]));
    assert!(text.contains(&format!("/mnt: descriptor 0 of process {}", user.0.id())), "{text}");
}

#[test]
fn a_holder_of_a_holder_stands_below_it() {
    crate::need_root!();
    let inner = sleeper(&["unshare", "--user", "--map-root-user", "--net"]);
    let keeper = Keeper::of(world::open(format!("/proc/{}/ns/net", inner.pid())));
    let (user, net) = (inode_of(inner.pid(), "user"), inode_of(inner.pid(), "net"));
    drop(inner);
    let alone = |list: &Value| list.as_array().is_some_and(|list| list.len() == 1);
    let answer = why_until(&format!("ns:{user}"), |answer| {
        kinds_of(&answer["kept_by"]) == ["owned"] && alone(&answer["kept_by"][0]["kept_by"])
    });
    assert_eq!((&answer["kept_by"][0]["ns"], &answer["kept_by"][0]["type"]), (&net.into(), &"net".into()));
    let below = &answer["kept_by"][0]["kept_by"][0];
    assert_eq!((&below["pid"], &below["release"]), (&keeper.0.id().into(), &format!("kill {}", keeper.0.id()).into()));
    let text = stdout_of(run(&["why", &format!("ns:{user}")]));
    assert!(text.contains(&format!("─net namespace {net}, which it owns")), "{text}");
    // Other tests' nstool may stand beside it.
    assert!(text.contains(&format!("─descriptor 0 of process {}", keeper.0.id())), "{text}");
}

#[test]
fn a_hostile_mount_point_is_quoted_for_the_shell() {
    crate::need_root!();
    crate::need!("bash");
    let directory = std::env::temp_dir().join(format!("nstool-why-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let place = format!("{}/it's \u{1b}[2J; reboot", directory.to_str().unwrap());
    File::create(&place).unwrap();
    let script = "mount --make-rprivate / && mount --bind /proc/self/ns/net \"$0\" && echo && exec sleep infinity";
    let inner = Helper::start("unshare", &["--net", "--mount", "sh", "-c", script, &place]);
    let answer = why(&format!("/proc/{}/ns/net", inner.pid()));
    let mount = answer["kept_by"].as_array().unwrap().iter().find(|entry| entry["kind"] == "bind_mount").unwrap();
    assert_eq!((&mount["mount_point"], &mount["ours"]), (&place.as_str().into(), &false.into()));
    let text = stdout_of(run(&["why", &format!("/proc/{}/ns/net", inner.pid())]));
    assert!(!text.contains('\u{1b}'), "{text:?}");
    // What it says is what releases it.
    let command = mount["release"].as_str().unwrap();
    assert!(!command.contains('\u{1b}'), "{command:?}");
    carry_out("bash", command);
    let left = why(&format!("/proc/{}/ns/net", inner.pid()));
    assert!(!kinds_of(&left["kept_by"]).contains(&"bind_mount"), "{left}");
    drop(inner);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_zombie_points_to_its_parent() {
    crate::need_root!();
    // In a user namespace of its own it keeps that until it is reaped.
    let parent = Helper::shell(&[], "unshare --user sleep 0 & echo $!; exec sleep infinity");
    let pid: i32 = parent.said.parse().unwrap();
    eventually(|| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") Z ").then_some(()));
    let answer = why(&format!("/proc/{pid}/ns/user"));
    let zombie = &answer["kept_by"][0];
    assert_eq!((&zombie["kind"], &zombie["pid"]), (&"zombie".into(), &pid.into()), "{answer}");
    assert_eq!(zombie["release"], format!("kill {}", parent.pid()));
}

#[test]
fn an_initial_namespace_is_kept_by_the_kernel() {
    let uts = inode_of(std::process::id() as i32, "uts");
    let answer = why(&format!("ns:{uts}"));
    if answer["namespace"]["initial"] == false {
        return crate::common::skip("needs to run in the initial uts namespace");
    }
    assert_eq!(answer["explained"], true);
    let text = stdout_of(run(&["why", &format!("uts:[{uts}]")]));
    assert!(text.contains("the kernel: it is there as long as the machine runs"), "{text}");
    assert!(!text.contains("kill"), "{text}");
}

#[test]
fn a_number_that_passed_on_to_another_process_is_refused_with_a_hint() {
    let (me, wrong) = (std::process::id(), format!("{}:1", std::process::id()));
    for arguments in [&["why", &wrong][..], &["show", &wrong], &["show", "--can", &wrong, "/proc/self/ns/net"]] {
        let output = run(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        let told = format!("process {me}:1 has ended; its number now belongs to process {me}:");
        assert!(error.contains(&told) && error.contains("hint:"), "{arguments:?}: {error}");
    }
}

#[test]
fn a_name_of_ip_netns_is_found_and_deleted_by_its_own_program() {
    crate::need_root!();
    crate::need!("ip");
    let name = format!("nstool-why-{}", std::process::id());
    // In a mount namespace of its own; the name is below the machine's /run all the same.
    let script = format!("mount -t tmpfs t /run && ip netns add {name} && \"$0\" why --json net:{name}");
    let output =
        Command::new("unshare").args(["--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_nstool")]).output().unwrap();
    let answer: Value = serde_json::from_str(&stdout_of(output)).unwrap();
    assert_eq!(answer["namespace"]["names"][0], name.as_str());
    let releases: Vec<_> = answer["kept_by"].as_array().unwrap().iter().map(|entry| &entry["release"]).collect();
    assert!(releases.contains(&&format!("ip netns delete {name}").into()), "{answer}");
}
