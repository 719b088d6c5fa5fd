//! What `why` says of what nothing plain leads to.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Keeper, kinds_of, sleeper, why_until, world};
use crate::common::handle::Handle;
use crate::common::{Helper, inode_of, nstool, run, stdout_of, try_eventually};

#[test]
fn what_nstool_itself_has_open_does_not_count() {
    crate::need_root!();
    let inner = sleeper(&["unshare", "--net"]);
    let path = format!("/proc/{}/ns/net", inner.pid());
    why_until(&path, |answer| kinds_of(&answer["kept_by"]) == ["process"]);
    let inherited: OwnedFd = world::open(&path);
    let child = nstool().args(["why", "--json", &path]).stdin(inherited).stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let answer: Value = serde_json::from_str(&stdout_of(child.wait_with_output().unwrap())).unwrap();
    let kept = answer["kept_by"].as_array().unwrap().iter();
    assert_eq!(kept.filter(|entry| entry["pid"] == pid).count(), 0, "{answer}");
}

#[test]
fn what_nothing_leads_to_is_found_and_said_to_be_unexplained() {
    crate::need_root!();
    use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType};
    let inner = sleeper(&["unshare", "--net"]);
    let namespace = world::open(format!("/proc/{}/ns/net", inner.pid()));
    let Some(handle) = Handle::of(&namespace) else {
        return crate::common::skip("needs file handles of namespaces (Linux 6.18)");
    };
    let ino = inode_of(inner.pid(), "net");
    // A descriptor on its way: sent, and not yet received.
    let flags = rustix::net::SocketFlags::CLOEXEC;
    let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let sent = [std::os::fd::AsFd::as_fd(&namespace)];
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&sent)));
    rustix::net::sendmsg(&ours, &[std::io::IoSlice::new(b"x")], &mut ancillary, SendFlags::empty()).unwrap();
    drop((namespace, inner));
    for target in [format!("ns:{ino}"), format!("net:[{ino}]")] {
        // Until no other test's nstool holds it.
        let answer = why_until(&target, |answer| answer["explained"] == false);
        assert_eq!((&answer["namespace"]["ns"], &answer["kept_by"]), (&ino.into(), &json!([])), "{answer}");
        // The socket it is on its way to is named.
        let fd = std::os::fd::AsRawFd::as_raw_fd(&theirs);
        let waiting = |entry: &Value| entry["kind"] == "in_flight" && entry["pid"] == std::process::id();
        let socket = answer["possibly"].as_array().unwrap().iter().find(|entry| waiting(entry));
        assert!(socket.is_some_and(|entry| entry["fd"] == fd && entry["descriptors"] == 1), "{answer}");
        let said = try_eventually(|| {
            let output = run(&["why", &target]);
            String::from_utf8_lossy(&output.stderr).contains("descriptors on their way between processes").then_some(())
        });
        assert!(said.is_some());
        // Other commands find it as well.
        let page: Value = serde_json::from_str(&stdout_of(run(&["show", "--json", &target]))).unwrap();
        assert_eq!((&page["ns"], &page["interfaces"][0]["name"]), (&ino.into(), &"lo".into()), "{page}");
    }
    // Of another kind there is none with that inode.
    let output = run(&["why", &format!("uts:[{ino}]")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(handle.is_alive());
    drop((ours, theirs));
    assert!(handle.wait_until_gone());
}

#[test]
fn what_a_tun_device_keeps_is_listed_and_shown_too() {
    crate::need_root!();
    if !std::path::Path::new("/dev/net/tun").exists() {
        return crate::common::skip("needs /dev/net/tun");
    }
    let mut net = world::make(nstool::NamespaceKind::Net);
    let namespace = world::namespace_of(&net, nstool::NamespaceKind::Net);
    let ino = std::os::unix::fs::MetadataExt::ino(&File::from(namespace.try_clone().unwrap()).metadata().unwrap());
    let tun = world::hold(&net, nstool::NamespaceKind::Net, world::Way::Tun);
    drop(namespace);
    net.release();
    let answer = why_until(&format!("ns:{ino}"), |answer| kinds_of(&answer["kept_by"]) == ["tun"]);
    assert!(tun.is(&answer["kept_by"][0]), "{answer}");
    let listed = stdout_of(run(&["ls", "--json", "-t", "net", "-o", "NS,HOLDERS"]));
    assert!(listed.contains(&format!("{ino}")), "{listed}");
    let page = stdout_of(run(&["show", &format!("ns:{ino}")]));
    assert!(page.contains("tun device, descriptor 0 of process"), "{page}");
}

#[test]
fn what_a_buried_bind_mount_holds_is_known_with_its_owner() {
    crate::need_root!();
    let own = world::open("/proc/self/ns/net");
    if Handle::of(own).is_none() {
        return crate::common::skip("needs file handles of namespaces (Linux 6.18)");
    }
    let inner = sleeper(&["unshare", "--user", "--map-root-user", "--net"]);
    let (user, net) = (inode_of(inner.pid(), "user"), inode_of(inner.pid(), "net"));
    let script = format!(
        "mount --make-rprivate / && mount -t tmpfs t /mnt && touch /mnt/n && mount --bind /proc/{}/ns/net /mnt/n && \
         mount -t tmpfs over /mnt && echo && exec sleep infinity",
        inner.pid()
    );
    let mounts = Helper::shell(&["unshare", "--mount"], &script);
    // Nobody lives where it is mounted.
    let keeper = Keeper::of(world::open(format!("/proc/{}/ns/mnt", mounts.pid())));
    let elsewhere = inode_of(mounts.pid(), "mnt");
    drop((inner, mounts));
    let answer = why_until(&format!("ns:{user}"), |answer| kinds_of(&answer["kept_by"]) == ["owned"]);
    let owned = &answer["kept_by"][0];
    assert_eq!((&owned["ns"], &owned["kept_by"][0]["kind"]), (&net.into(), &"bind_mount".into()), "{answer}");
    let mount = &owned["kept_by"][0];
    assert_eq!((&mount["mount_namespace"], &mount["mount_point"]), (&elsewhere.into(), &"/mnt/n".into()), "{answer}");
    assert_eq!(mount["kept_by"][0]["pid"], keeper.0.id(), "{answer}");
    // A listing knows it too.
    let listed = stdout_of(run(&["ls", "--json", "-o", "NS,ONS", "-Q", &format!("NS == {net}")]));
    assert!(listed.contains(&user.to_string()), "{listed}");
}
