//! Every way to hold a namespace that the scan looks for, made for real, and what `ls` says of it.

use serde_json::json;

use super::{eventually_row, row, rows};
use crate::common::{Helper, eventually, inode_of, stage};
use crate::{need, need_root};

const ALL: &[&str] = &["--output-all", "--threads"];

#[test]
fn every_kind_of_a_new_process_is_listed_with_owner_and_parent() {
    need_root!();
    need!("unshare", "setpriv");
    let outer = Helper::shell(
        &["unshare", "-Umuinpf", "--kill-child", "-C", "-T", "--map-root-user"],
        "echo $$; exec sleep 1000",
    );
    let pid = child_of(outer.pid());
    let rows = rows(ALL);
    let user = inode_of(pid, "user");
    for kind in ["mnt", "uts", "ipc", "net", "pid", "user", "cgroup", "time"] {
        let row = row(&rows, inode_of(pid, kind));
        assert_eq!(row["type"], kind);
        assert_eq!(row["user"], "root", "{row}");
        if kind == "user" {
            assert_eq!(row["ons"].as_u64(), Some(inode_of(1.max(std::process::id() as i32), "user")));
            assert_eq!(row["pns"], row["ons"]);
        } else {
            assert_eq!(row["ons"].as_u64(), Some(user), "{kind}");
        }
    }
    let inner_pid = row(&rows, inode_of(pid, "pid"));
    assert_eq!(inner_pid["nprocs"], 1);
    assert_eq!(inner_pid["pid"], pid);
    assert_eq!(inner_pid["pns"].as_u64(), Some(inode_of(std::process::id() as i32, "pid")));
}

/// Returns the only child of a process.
fn child_of(pid: i32) -> i32 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_namespace_held_by_a_descriptor_alone_is_listed_with_it() {
    need_root!();
    let holder = Helper::start_command(stage(&["descriptor"]));
    let (ino, fd) = holder.said.split_once(' ').unwrap();
    let held_by = format!("fd {fd} of {}", holder.pid());
    let expected =
        [("nprocs", json!(0)), ("held-by", json!(held_by)), ("holders", json!("1 fd")), ("pid", json!(null))];
    eventually_row(ALL, ino.parse().unwrap(), &expected);
}

#[test]
fn a_namespace_held_by_a_socket_alone_is_listed_with_it() {
    need_root!();
    let holder = Helper::start_command(stage(&["socket"]));
    let (ino, fd) = holder.said.split_once(' ').unwrap();
    let held_by = format!("socket {fd} of {}", holder.pid());
    let expected =
        [("type", json!("net")), ("nprocs", json!(0)), ("held-by", json!(held_by)), ("holders", json!("1 socket"))];
    eventually_row(ALL, ino.parse().unwrap(), &expected);
}

#[test]
fn a_namespace_that_one_thread_is_in_is_listed_with_threads() {
    need_root!();
    let holder = Helper::start_command(stage(&["thread"]));
    let (ino, tid) = holder.said.split_once(' ').unwrap();
    let held_by = format!("thread {tid} of {}", holder.pid());
    let expected = [("holders", json!("1 thread")), ("threads", json!(1)), ("held-by", json!(held_by))];
    eventually_row(ALL, ino.parse().unwrap(), &expected);
    // Without --threads nothing leads to it, but for the descriptor of another scan that does.
    let ino: u64 = ino.parse().unwrap();
    eventually(|| rows(&[]).iter().all(|row| row["ns"] != ino).then_some(()));
}

#[test]
fn a_namespace_file_that_is_merely_a_path_holds_too() {
    need_root!();
    let holder = Helper::start_command(stage(&["path"]));
    let (ino, fd) = holder.said.split_once(' ').unwrap();
    let held_by = format!("fd {fd} of {}", holder.pid());
    eventually_row(ALL, ino.parse().unwrap(), &[("nprocs", json!(0)), ("held-by", json!(held_by))]);
}

#[test]
fn a_process_whose_leader_ended_still_counts_with_all_it_holds() {
    need_root!();
    let holder = Helper::start_command(stage(&["leader"]));
    let inodes: Vec<u64> = holder.said.split(' ').map(|ino| ino.parse().unwrap()).collect();
    let [own, descriptor, socket, stray] = inodes[..] else { panic!("{inodes:?}") };
    // Without --threads: one living thread stands for the process, and the others must not be lost.
    let columns = ["-o", "NS,NPROCS,PID,HOLDERS,COMMAND"];
    let lead = [("nprocs", json!(1)), ("pid", json!(holder.pid()))];
    eventually(|| {
        let rows = rows(&columns);
        let (own, stray) = (row(&rows, own), row(&rows, stray));
        let one = if own["nprocs"] == 1 { (own, stray) } else { (stray, own) };
        let command = one.0["command"].as_str().unwrap_or_default().ends_with("stage leader");
        (lead.iter().all(|(key, value)| one.0[*key] == *value) && command && one.1["holders"] == "1 thread")
            .then_some(())
    });
    eventually_row(&columns, descriptor, &[("nprocs", json!(0)), ("holders", json!("1 fd"))]);
    eventually_row(&columns, socket, &[("nprocs", json!(0)), ("holders", json!("1 socket"))]);
}

#[test]
fn a_filesystem_that_no_longer_answers_does_not_stop_the_listing() {
    need_root!();
    need!("unshare");
    if !std::path::Path::new("/dev/fuse").exists() {
        return crate::common::skip("needs /dev/fuse");
    }
    let directory = std::env::temp_dir();
    let scene = stage(&["fuse", directory.to_str().unwrap()]);
    let mut command = std::process::Command::new("unshare");
    command.arg("-m").arg(scene.get_program()).args(scene.get_args());
    let holder = Helper::start_command(command);
    let ino = holder.said.parse().unwrap();
    let place = format!("mount {}/file in mnt {}", directory.display(), inode_of(holder.pid(), "mnt"));
    eventually_row(ALL, ino, &[("nprocs", json!(0)), ("held-by", json!(place))]);
    // The same of whatever has a file open there, which the rarer holders are looked for at.
    let root = format!("/proc/{}/root{}", holder.pid(), directory.display());
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let open = rustix::fs::open(root, flags, rustix::fs::Mode::empty()).unwrap();
    let mut keeper = std::process::Command::new("sleep").arg("infinity").stdin(open).spawn().unwrap();
    let output = crate::common::run(&["why", "--json", &format!("ns:{ino}")]);
    keeper.kill().unwrap();
    keeper.wait().unwrap();
    assert!(crate::common::stdout_of(output).contains("bind_mount"));
}

#[test]
fn a_zombie_counts_in_its_pid_and_user_namespace() {
    need_root!();
    need!("unshare");
    let scene = stage(&["zombie"]);
    let mut command = std::process::Command::new("unshare");
    command.args(["-pfu", "--kill-child"]).arg(scene.get_program()).args(scene.get_args());
    let outer = Helper::start_command(command);
    let init = child_of(outer.pid());
    let rows = rows(&["-o", "NS,NPROCS"]);
    assert_eq!(row(&rows, inode_of(init, "pid"))["nprocs"], 2);
    // unshare and the init; the zombie has let go of everything else.
    assert_eq!(row(&rows, inode_of(init, "uts"))["nprocs"], 2);
}

#[test]
fn the_namespace_of_future_children_is_held_by_their_parent() {
    need_root!();
    need!("unshare");
    // Without --fork, unshare's command stays outside of the new pid namespace; its first child makes it.
    let holder = Helper::shell(&["unshare", "-p"], "sleep 1000 & echo; wait");
    let rows = rows(ALL);
    let row = row(&rows, inode_of(holder.pid(), "pid_for_children"));
    assert!(row["holders"].as_str().unwrap().contains("1 parent-to-be"), "{row}");
}

#[test]
fn bind_mounts_are_found_in_every_mount_namespace() {
    need_root!();
    need!("unshare", "ip");
    let script = "mount -t tmpfs none /run && mkdir /run/netns && ip netns add blue && \
                  mkdir /run/two && touch /run/two/x && mount --bind /run/netns/blue /run/two/x && echo && exec sleep 1000";
    let holder = Helper::shell(&["unshare", "-m"], script);
    let mnt = inode_of(holder.pid(), "mnt");
    let place = format!("mount /run/netns/blue in mnt {mnt}");
    let columns = ["-P", "-o", "NS,TYPE,NPROCS,HOLDERS,HELD-BY,NSFS,NAME,PID,COMMAND"];
    let found = eventually(|| {
        let found = rows(&columns).into_iter().find(|row| row["held-by"] == place.as_str());
        found.filter(|row| row["holders"] == "2 mounts")
    });
    assert_eq!((found["type"].as_str(), found["nprocs"].as_u64()), (Some("net"), Some(0)));
    assert_eq!(found["nsfs"], json!(null), "these paths mean nothing in our own mount namespace");
    // From inside, the same mounts are our own, and every one of them is told.
    let inside = inside(holder.pid(), &["ls", "-J", "-l", "-t", "net", "-o", "NS,NSFS,NAME"]);
    let found = row(&inside, found["ns"].as_u64().unwrap()).clone();
    assert_eq!(found["nsfs"], json!(["/run/netns/blue", "/run/two/x"]));
    assert_eq!(found["name"], json!(["blue"]));
}

/// Runs nstool in the mount namespace of a process and returns the rows.
fn inside(pid: i32, arguments: &[&str]) -> Vec<serde_json::Value> {
    let mut command = std::process::Command::new("nsenter");
    command.args(["-m", "-t", &pid.to_string(), env!("CARGO_BIN_EXE_nstool")]).args(arguments);
    super::flat(&super::json(&crate::common::stdout_of(command.output().unwrap())))
}

#[test]
fn a_mount_namespace_without_processes_is_searched_too() {
    need_root!();
    need!("unshare", "ip", "nsenter");
    // A mount namespace kept by a descriptor alone, with a bind mount of a network namespace in it.
    let script = "unshare -m sh -c 'mount -t tmpfs none /run && mkdir /run/netns && ip netns add lonely && echo && exec sleep 1000' >/tmp/$$.fifo & \
                  read line </tmp/$$.fifo; exec 9</proc/$!/ns/mnt; kill $!; wait $! 2>/dev/null; rm /tmp/$$.fifo; echo; exec sleep 1000";
    let script = format!("mkfifo /tmp/$$.fifo; {script}");
    let holder = Helper::shell(&[], &script);
    let mnt = std::fs::metadata(format!("/proc/{}/fd/9", holder.pid())).unwrap();
    let mnt = std::os::unix::fs::MetadataExt::ino(&mnt);
    eventually_row(ALL, mnt, &[("nprocs", json!(0))]);
    let place = format!("mount /run/netns/lonely in mnt {mnt}");
    eventually(|| rows(ALL).iter().any(|row| row["held-by"] == place.as_str()).then_some(()));
}

#[test]
fn a_user_namespace_without_processes_is_found_as_an_ancestor() {
    need_root!();
    need!("unshare");
    let holder = Helper::shell(&["unshare", "-Ur", "unshare", "-U"], "echo; exec sleep 1000");
    let inner = inode_of(holder.pid(), "user");
    let middle = row(&rows(ALL), inner)["pns"].as_u64().unwrap();
    let own = inode_of(std::process::id() as i32, "user");
    let expected = [("nprocs", json!(0)), ("held-by", json!(format!("its child {inner}"))), ("pns", json!(own))];
    eventually_row(ALL, middle, &expected);
}

#[test]
fn a_pidfd_holds_the_pid_namespace_of_its_process() {
    need_root!();
    need!("unshare");
    let outer = Helper::shell(&["unshare", "-pf", "--kill-child"], "echo; exec sleep 1000");
    let init = child_of(outer.pid());
    let pid = rustix::process::Pid::from_raw(init).unwrap();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    eventually(|| {
        let rows = rows(ALL);
        row(&rows, inode_of(init, "pid"))["holders"].as_str()?.ends_with("1 pidfd").then_some(())
    });
    drop(pidfd);
}
