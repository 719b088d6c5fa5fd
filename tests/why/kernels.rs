//! What `why` says on older kernels.

use std::process::Output;

use serde_json::Value;

use super::{Keeper, kinds_of, parse, sleeper, why, world};
use crate::common::{Helper, eventually, inode_of, stage, try_eventually};

#[test]
fn older_kernels_explain_as_well() {
    crate::need_root!();
    let script = "mount -t proc proc /proc && echo && exec sleep infinity";
    let outer = Helper::shell(&["unshare", "--net", "--mount", "--pid", "--fork"], script);
    let net = format!("/proc/{}/ns/net", outer.pid());
    let children = format!("/proc/{}/task/{0}/children", outer.pid());
    let init: i32 = eventually(|| std::fs::read_to_string(&children).unwrap().split_whitespace().next()?.parse().ok());
    let pid = format!("/proc/{init}/ns/pid");
    let _descriptor = Keeper::of(world::open(&net));
    let _file = Keeper::of(world::open(format!("/proc/{init}/net/dev")));
    for (kernel, target, expected) in [
        (&["ioctls"][..], &net, &["process", "process", "descriptor", "open_file"][..]),
        (&["statmount", "listmount"], &net, &["process", "process", "descriptor", "open_file"]),
        (&["ioctls", "statmount", "listmount", "pidfd_open"], &net, &["process", "process", "descriptor", "open_file"]),
        (&["ioctls", "statmount", "listmount"], &pid, &["process", "for_children", "procfs", "open_file"]),
    ] {
        let listed = || {
            let mut command = stage(&[&["without"], kernel, &["--", env!("CARGO_BIN_EXE_nstool")]].concat());
            parse(command.args(["why", "--json", target]).output().unwrap())
        };
        let mut last = Value::Null;
        let same = try_eventually(|| {
            last = listed();
            (kinds_of(&last["kept_by"]) == expected).then_some(())
        });
        assert!(same.is_some(), "without {kernel:?}: {last:#}");
    }
}

/// Asks without some system calls.
fn why_without(calls: &[&str], target: &str) -> Output {
    let mut command = stage(&[&["without"], calls, &["--", env!("CARGO_BIN_EXE_nstool")]].concat());
    command.args(["why", "--json", target]).output().unwrap()
}

#[test]
fn what_an_older_kernel_cannot_tell_is_said() {
    crate::need_root!();
    let own = "/proc/self/ns/uts";
    // This test has several threads.
    let answer = parse(why_without(&["kcmp"], own));
    assert!(answer["hidden"]["thread_descriptors"]["unsupported"].as_u64() >= Some(1), "{answer}");
    assert_eq!(why(own)["hidden"]["thread_descriptors"], Value::Null);
    // What only a mount leads to is found without openat2(2), and by nothing else.
    let inner = sleeper(&["unshare", "--net"]);
    let ino = inode_of(inner.pid(), "net");
    let script = format!(
        "mount --make-rprivate / && mount -t tmpfs t /mnt && touch /mnt/n && mount --bind /proc/{}/ns/net /mnt/n && \
         echo && exec sleep infinity",
        inner.pid()
    );
    let _mounts = Helper::shell(&["unshare", "--mount"], &script);
    drop(inner);
    for calls in [&["openat2"][..], &["openat2", "open_by_handle_at"], &["ioctls", "open_by_handle_at"]] {
        let answer = parse(why_without(calls, &format!("ns:{ino}")));
        assert!(kinds_of(&answer["kept_by"]).contains(&"bind_mount"), "without {calls:?}: {answer}");
        assert_eq!(answer["namespace"]["id"].is_u64(), !calls.contains(&"ioctls"), "without {calls:?}: {answer}");
    }
    // Where ids lead nowhere, what may keep it is named instead.
    let output = why_without(&["open_by_handle_at"], "ns:4026999999");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && !error.contains("the kernel knows no"), "{error}");
}
