//! What `why` says of a process: which namespaces only it keeps, and what ends with it.

use serde_json::{Value, json};

use super::{Keeper, carry_out, sleeper, why, why_until, world};
use crate::common::{Helper, eventually, run, stdout_of};

#[test]
fn the_processes_namespaces_that_only_it_keeps_are_told() {
    crate::need_root!();
    let inner = sleeper(&["unshare", "--user", "--map-root-user", "--net", "--uts"]);
    let keeper = Keeper::of(world::open(format!("/proc/{}/ns/uts", inner.pid())));
    let alone = |answer: &Value| {
        ["net", "uts", "user", "ipc"].map(|kind| {
            let list = answer["namespaces"].as_array().unwrap();
            list.iter().find(|entry| entry["link"] == kind).unwrap()["only_this_process"].as_bool().unwrap()
        })
    };
    // The descriptor keeps uts, and with it the user namespace that owns it.
    why_until(&inner.pid().to_string(), |answer| alone(answer) == [true, false, false, false]);
    let text = stdout_of(run(&["why", &inner.pid().to_string()]));
    assert!(text.contains("others as well"), "{text}");
    drop(keeper);
    why_until(&inner.pid().to_string(), |answer| alone(answer) == [true, true, true, false]);
    let text = stdout_of(run(&["why", &inner.pid().to_string()]));
    assert!(text.contains("the kernel: an initial one"), "{text}");
}

/// Starts a pid namespace with an init and a second process, nothing else of which leads outside. Returns the outer
/// process too, which must stay alive.
fn container() -> (Helper, i32) {
    let script = "mount -t proc proc /proc && mount --bind /proc/bus /proc/bus && echo; sleep infinity & \
                  exec sleep infinity";
    let outer = Helper::shell(&["unshare", "--mount", "--pid", "--fork"], script);
    let children = format!("/proc/{0}/task/{0}/children", outer.pid());
    let init = eventually(|| std::fs::read_to_string(&children).unwrap().split_whitespace().next()?.parse().ok());
    (outer, init)
}

#[test]
fn what_ends_with_an_init_does_not_keep_its_namespaces() {
    crate::need_root!();
    let (_outer, init) = container();
    let of = |answer: &Value, kind: &str| {
        answer["namespaces"].as_array().unwrap().iter().find(|entry| entry["link"] == kind).unwrap().clone()
    };
    // The outer process is in the mount namespace, and has its children born in the pid namespace.
    let answer = why_until(&init.to_string(), |answer| of(answer, "mnt")["ending_with_it"] == 1);
    let (mnt, pid) = (of(&answer, "mnt"), of(&answer, "pid"));
    assert_eq!((&mnt["other_processes"], &mnt["only_this_process"]), (&1.into(), &false.into()), "{answer}");
    assert!(matches!(pid["other_processes"].as_u64(), None | Some(0)), "{answer}");
    assert_eq!(pid["ending_with_it"], 1, "{answer}");
}

#[test]
fn what_is_said_to_release_a_pid_namespace_does() {
    crate::need_root!();
    let (outer, init) = container();
    let answer = why(&format!("/proc/{init}/ns/pid"));
    let kept = answer["kept_by"].as_array().unwrap();
    let entry = kept.iter().find(|entry| entry["kind"] == "process" && entry["pid"] == init).unwrap();
    // It has no handler for SIGTERM, which an init then does not get.
    assert_eq!(entry["release"], format!("kill -KILL {init}"), "{answer}");
    // What lies deeper is unmounted first, with the tool itself.
    let enter = format!("nstool enter {} -- umount ", outer.pid());
    let mounts: Vec<_> = kept.iter().filter(|entry| entry["kind"] == "procfs").map(|entry| &entry["release"]).collect();
    assert_eq!(mounts, [&json!(format!("{enter}/proc/bus")), &json!(format!("{enter}/proc"))], "{answer}");
    mounts.into_iter().chain([&entry["release"]]).for_each(|command| carry_out("sh", command.as_str().unwrap()));
    let state = || std::fs::read_to_string(format!("/proc/{init}/stat")).ok();
    eventually(|| state().is_none_or(|stat| stat.contains(") Z ")).then_some(()));
}

#[test]
fn what_is_out_of_sight_is_not_counted_as_nothing() {
    crate::need_root!();
    let public = crate::common::Public::copy("why-hidden");
    let text = stdout_of(public.run_as_nobody().args(["why", "self"]).output().unwrap());
    // Holders of the uts namespace are hidden with the processes of root.
    let uts = text.lines().find(|line| line.split_whitespace().nth(1) == Some("uts")).unwrap();
    assert!(uts.trim_end().ends_with(" ?"), "{text}");
    let answer: Value =
        serde_json::from_str(&stdout_of(public.run_as_nobody().args(["why", "--json", "self"]).output().unwrap()))
            .unwrap();
    let uts = answer["namespaces"].as_array().unwrap().iter().find(|entry| entry["link"] == "uts").unwrap().clone();
    assert_eq!(uts["other_holders"], Value::Null, "{answer}");
}
