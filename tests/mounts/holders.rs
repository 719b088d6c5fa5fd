//! `nstool mounts holders`: whatever keeps a filesystem in use, and an order in which it can be let go of.

use serde_json::Value as Json;

use super::stage::*;
use crate::common::*;
use crate::{need, need_root};

/// Does what the answer says, step by step, and returns how many commands that took.
#[track_caller]
fn release(document: &Json) -> usize {
    let mut commands = 0;
    for mount in document["mounts"].as_array().unwrap() {
        let (pid, path) = (mount["pid"].to_string(), mount["path"].as_str().unwrap());
        match mount["release"].as_str().unwrap() {
            "unmount" => {
                let words = ["-t", &pid, "-m", "umount", path];
                let output = std::process::Command::new("nsenter").args(words).output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{mount}: {said}");
                commands += 1;
            }
            "propagation" => {
                let table = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
                let is_there = table.lines().any(|line| line.split(' ').nth(4) == Some(path));
                assert!(!is_there, "{mount} is still there");
            }
            other => panic!("{other}: {mount}"),
        }
    }
    commands
}

fn devices_in(helper: &Helper) -> Vec<String> {
    let table = std::fs::read_to_string(format!("/proc/{}/mountinfo", helper.pid())).unwrap();
    table.lines().map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect()
}

#[test]
fn the_order_that_is_given_works_and_needs_no_command_for_what_goes_along() {
    need_root!();
    need!("unshare", "mount", "umount", "nsenter");
    let stage = Stage::with("mount -t tmpfs one $D/a; mkdir $D/a/x; mount -t tmpfs two $D/a/x");
    let peer = stage.copy(&[], "");
    let slave = stage.copy(&[], "mount --make-rslave $D");
    let apart = stage.copy(&[], "mount --make-rprivate $D; mkdir $D/a/y; mount -t tmpfs three $D/a/y");
    let document = json_of(stage.nstool(&["mounts", "holders", &stage.path("/a"), "--json"]), 0);
    let with: Vec<&Json> =
        document["mounts"].as_array().unwrap().iter().filter(|mount| !mount["goes_with"].is_null()).collect();
    // Two in the peer and two in the slave; whoever scans beside us may hold a namespace of another test, not of ours.
    assert_eq!(with.len(), 4, "{document:#}");
    for mount in with {
        assert!([peer.pid(), slave.pid()].contains(&(mount["pid"].as_i64().unwrap() as i32)), "{mount}");
        assert_eq!(mount["goes_with"]["ns"], inode_of(stage.shell.pid(), "mnt"));
        assert_eq!(mount["goes_with"]["path"], mount["path"]);
    }
    let words = text_of(stage.nstool(&["mounts", "holders", &stage.path("/a")]), 0);
    let goes_with = format!("{0} (tmpfs): goes with {0} in mnt ", stage.path("/a"));
    assert!(words.contains(&goes_with), "{words}");
    let device = document["device"].as_str().unwrap().to_owned();
    assert_eq!(release(&document), 5, "two here, and three that are apart");
    for helper in [&stage.shell, &peer, &slave, &apart] {
        assert!(!devices_in(helper).contains(&device));
    }
}

#[test]
fn who_uses_a_filesystem_on_top_is_named_as_well() {
    need_root!();
    need!("unshare", "mount", "nsenter");
    let stage = Stage::with("mount -t tmpfs one $D/a; mkdir $D/a/x; mount -t tmpfs two $D/a/x");
    let pid = stage.shell.pid().to_string();
    let script = format!("cd {}; echo ready; exec sleep 1000", stage.path("/a/x"));
    let user = Helper::shell(&["nsenter", "-t", &pid, "-m"], &script);
    let document = json_of(stage.nstool(&["mounts", "holders", &stage.path("/a"), "--json"]), 0);
    let uses = document["uses"].as_array().unwrap();
    assert_eq!(uses.len(), 1, "{document:#}");
    assert_eq!((&uses[0]["pid"], &uses[0]["how"]), (&user.pid().into(), &"cwd".into()));
    assert_eq!(uses[0]["mountpoint"], stage.path("/a/x").as_str());
    // The kernel agrees that it stands in the way.
    let pid = stage.shell.pid().to_string();
    let umount = || {
        let words = ["-t", &pid, "-m", "umount", &stage.path("/a/x")];
        std::process::Command::new("nsenter").args(words).output().unwrap().status.success()
    };
    assert!(!umount());
    drop(user);
    assert_eq!(release(&document), 2);
}

#[test]
fn a_mapped_file_has_one_name_whatever_that_holds() {
    need_root!();
    need!("unshare", "mount", "nsenter");
    let stage = Stage::with("mount -t tmpfs one $D/a; mkdir \"$D/a/n\nl\"; cp /bin/sleep \"$D/a/n\nl/p\"");
    let pid = stage.shell.pid().to_string();
    let program = stage.path("/a/n\nl/p");
    let user = Helper::shell(&["nsenter", "-t", &pid, "-m"], &format!("echo ready; exec '{program}' 1000"));
    eventually(|| std::fs::read_link(format!("/proc/{}/exe", user.pid())).ok()?.ends_with("p").then_some(()));
    let document = json_of(stage.nstool(&["mounts", "holders", &stage.path("/a"), "--json"]), 0);
    let uses: Vec<(&str, &str)> = document["uses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| (each["how"].as_str().unwrap(), each["path"].as_str().unwrap()))
        .collect();
    assert_eq!(uses, [("exe", program.as_str()), ("mapping", program.as_str())]);
}

#[test]
fn an_overlay_with_a_layer_there_keeps_it() {
    need_root!();
    need!("unshare", "mount", "umount");
    let stage = Stage::with(
        "mount -t tmpfs one $D/a; mkdir $D/a/lo $D/a/up $D/a/wk $D/ov $D/other; \
         mount -t overlay over -o lowerdir=$D/a/lo,upperdir=$D/a/up,workdir=$D/a/wk $D/ov",
    );
    let found = |path: &str| {
        let document = json_of(stage.nstool(&["mounts", "holders", path, "--json"]), 0);
        let of_overlay =
            document["mounts"].as_array().unwrap().iter().find(|mount| mount["fstype"] == "overlay").cloned();
        (document, of_overlay)
    };
    let (document, overlay) = found(&stage.path("/a"));
    let overlay = overlay.unwrap();
    assert_eq!((&overlay["path"], &overlay["release"]), (&stage.path("/ov").into(), &"unmount".into()));
    assert_eq!(overlay["layer"], serde_json::json!({ "role": "lower", "path": stage.path("/a/lo") }));
    assert_eq!(overlay["of_this_filesystem"], false);
    let words = text_of(stage.nstool(&["mounts", "holders", &stage.path("/a")]), 0);
    assert!(words.contains(&format!("  (its lower directory {} lies there)", stage.path("/a/lo"))), "{words}");
    // It has no part in the filesystem around; but it stands on that, so it is listed there as what stands on it.
    let (around, overlay) = found(&stage.path("/other"));
    assert_eq!(overlay.unwrap()["layer"], Json::Null, "{around:#}");
    // Where nothing is mounted any more the overlay still keeps it, as mount(8) would not tell.
    stage.run("umount $D/a");
    let device = document["device"].as_str().unwrap();
    let output = stage.nstool(&["mounts", "holders", device, "--json"]);
    assert_eq!(output.status.code(), Some(1), "its layers' paths lead nowhere now, and nothing else tells");
    stage.run("umount $D/ov");
}

#[test]
fn a_loop_device_keeps_the_filesystem_of_its_file() {
    need_root!();
    need!("unshare", "mount", "losetup", "truncate", "nsenter");
    let stage = Stage::with("mount -t tmpfs one $D/a; truncate -s 1M $D/a/image");
    let pid = stage.shell.pid().to_string();
    let image = stage.path("/a/image");
    let words = ["-t", &pid, "-m", "losetup", "--find", "--show", &image];
    let output = std::process::Command::new("nsenter").args(words).output().unwrap();
    if !output.status.success() {
        return skip("no loop device can be had here");
    }
    /// Lets go of the loop device when the test ends.
    struct Attached(String);
    impl Drop for Attached {
        fn drop(&mut self) {
            let _ = std::process::Command::new("losetup").args(["--detach", &self.0]).status();
        }
    }
    let attached = Attached(String::from_utf8(output.stdout).unwrap().trim().to_owned());
    let document = json_of(stage.nstool(&["mounts", "holders", &stage.path("/a"), "--json"]), 0);
    let expected = serde_json::json!([{ "kind": "loop", "path": image, "device": attached.0 }]);
    assert_eq!(document["kernel_uses"], expected);
    // Seen from outside, where the file's path leads nowhere, it is the same: the kernel tells the device.
    let device = document["device"].as_str().unwrap();
    assert_eq!(json_of(run(&["mounts", "holders", device, "--json"]), 0)["kernel_uses"], expected);
    let words = text_of(stage.nstool(&["mounts", "holders", &stage.path("/a")]), 0);
    assert!(words.contains(&format!("{} of {image}: losetup --detach {}", "a loop device", attached.0)), "{words}");
    drop(attached);
    stage.run("umount $D/a");
}

#[test]
fn what_is_hidden_is_said_once_and_no_count_pretends_to_be_whole() {
    need_root!();
    need!("setpriv");
    let public = Public::copy("holders");
    let output = public.run_as_nobody().args(["mounts", "holders", "/proc"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let words = text_of(output, 0);
    assert_eq!(said.matches("hidden:").count(), 1, "{said}");
    assert!(said.contains("run as root"), "{said}");
    let counts: Vec<&str> = words.lines().filter(|line| line.trim_start().starts_with("mnt ")).collect();
    assert!(!counts.is_empty() && counts.iter().all(|line| line.contains(": at least ")), "{words}");
}

#[test]
fn a_device_that_nothing_uses_is_said_to_be_unused() {
    let output = run(&["mounts", "holders", "250:250"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("error: 250:250 is not mounted in any mount namespace that can be seen"), "{said}");
}

#[test]
fn a_namespace_that_is_looked_at_by_its_bind_mount_can_be_unmounted() {
    need_root!();
    need!("unshare");
    let helper = Helper::shell(&["unshare", "--uts"], "echo ready; exec sleep 1000");
    let file = format!("/proc/{}/ns/uts", helper.pid());
    if handle::Handle::of(std::fs::File::open(&file).unwrap()).is_none() {
        return skip("this kernel has no handles of namespaces");
    }
    let directory = TemporaryDirectory::new();
    let place = directory.path().join("uts");
    std::fs::write(&place, "").unwrap();
    // On a thread of its own, in a mount namespace of its own.
    std::thread::scope(|scope| {
        let look = || {
            use nix::mount::{MntFlags, MsFlags, mount, umount2};
            const NONE: Option<&str> = None;
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).unwrap();
            mount(Some(file.as_str()), &place, NONE, MsFlags::MS_BIND, NONE).unwrap();
            let held = nstool::target::open_path(&place).unwrap();
            assert_eq!(held.id().ino, inode_of(helper.pid(), "uts"));
            // Another test's scan may look at the same moment.
            eventually(|| umount2(&place, MntFlags::empty()).ok());
            assert_eq!(held.kind(), nstool::NamespaceKind::Uts);
        };
        scope.spawn(look).join().unwrap();
    });
}
