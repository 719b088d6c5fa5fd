//! What a namespace contains, as entries of its page.

use nstool::model::{
    Contents, Interface, IpcObjects, Listener, MountSummary, NamespaceLimit, NetId, Observed, UserSettings,
};
use serde_json::{Value as Json, json};

use super::process::{clock_lines, clocks_json, map_json, map_lines};
use super::{lossy, seen, seen_json};
use crate::render::page::Page;

/// Adds what the kind of namespace has.
pub(super) fn entries(page: &mut Page, contents: &Contents) {
    match contents {
        Contents::Cgroup { root } => {
            page.line("its root", seen(root, Clone::clone), "root", seen_json(root, |root| lossy(root)));
        }
        Contents::Ipc(objects) => known(page, objects, ipc),
        Contents::Mnt(summary) => known(page, summary, mounts),
        Contents::Net { interfaces, listening, net_id } => {
            let lines = list(interfaces, interface_line);
            page.entry(
                "interfaces",
                lines,
                "interfaces",
                seen_json(interfaces, |all| all.iter().map(interface_json).collect()),
            );
            let lines = list(listening, listener_line);
            page.entry(
                "listening",
                lines,
                "listening",
                seen_json(listening, |all| all.iter().map(listener_json).collect()),
            );
            let words = |id: &NetId| match id {
                NetId::Assigned(id) => id.to_string().into_bytes(),
                NetId::Unassigned => b"none".to_vec(),
            };
            let number = |id: &NetId| match id {
                NetId::Assigned(id) => json!(id),
                NetId::Unassigned => Json::Null,
            };
            page.line("number in our network namespace", seen(net_id, words), "nsid", seen_json(net_id, number));
        }
        Contents::Pid { init } => {
            let words = init.map_or("it has ended, or cannot be seen".to_owned(), |pid| format!("process {pid}"));
            page.line("init", words, "init", json!(init));
        }
        Contents::Time(clocks) => page.entry("clocks", clock_lines(clocks), "clocks", seen_json(clocks, clocks_json)),
        Contents::User(settings) => known(page, settings, user),
        Contents::Uts(names) => known(page, names, |page, names| {
            page.line("host name", names.host.clone(), "hostname", lossy(&names.host));
            page.line("domain name", names.domain.clone(), "domainname", lossy(&names.domain));
        }),
        _ => {}
    }
}

/// Adds the entries, or the reason why they cannot be seen.
fn known<T>(page: &mut Page, observed: &Observed<T>, add: impl FnOnce(&mut Page, &T)) {
    match observed {
        Observed::Known(value) => add(page, value),
        hidden => page.line("contents", seen(hidden, |_| Vec::new()), "contents", Json::Null),
    }
}

/// Words each of a list, one a line.
fn list<T>(observed: &Observed<Vec<T>>, show: impl Fn(&T) -> Vec<u8>) -> Vec<Vec<u8>> {
    match observed {
        Observed::Known(all) if all.is_empty() => vec![b"none".to_vec()],
        Observed::Known(all) => all.iter().map(show).collect(),
        hidden => vec![seen(hidden, |_| Vec::new())],
    }
}

fn interface_line(interface: &Interface) -> Vec<u8> {
    let state = match (interface.up, interface.running) {
        (true, true) => "up",
        (true, false) => "up, no carrier",
        (false, _) => "down",
    };
    let addresses: Vec<_> = interface.addresses.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect();
    let rest = format!(": {state} {}", addresses.join(" "));
    [&interface.name, rest.trim_end().as_bytes()].concat()
}

fn interface_json(interface: &Interface) -> Json {
    let addresses: Vec<_> = interface.addresses.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect();
    json!({ "name": lossy(&interface.name), "up": interface.up, "running": interface.running, "addresses": addresses })
}

fn listener_line(listener: &Listener) -> Vec<u8> {
    let address = std::net::SocketAddr::new(listener.address, listener.port);
    format!("{} {address}", listener.protocol).into_bytes()
}

fn listener_json(listener: &Listener) -> Json {
    json!({ "protocol": listener.protocol, "address": listener.address.to_string(), "port": listener.port })
}

fn mounts(page: &mut Page, summary: &MountSummary) {
    let root = summary.root.iter().map(|(kind, source)| [kind.as_slice(), b" from ", source].concat());
    let root_json = summary.root.as_ref().map(|(kind, source)| json!({ "type": lossy(kind), "source": lossy(source) }));
    page.entry("root", root.collect(), "root", json!(root_json));
    let partial = if summary.partial { " or more, as only a process in a chroot could be asked" } else { "" };
    page.line("mounts", format!("{}{partial}", summary.mounts), "mounts", summary.mounts);
    page.entry("", Vec::new(), "partial", json!(summary.partial));
    let shared = if summary.shared.is_empty() { vec![b"none".to_vec()] } else { summary.shared.clone() };
    page.entry("shared mounts", shared, "shared", summary.shared.iter().map(|path| lossy(path)).collect());
}

fn user(page: &mut Page, settings: &UserSettings) {
    for (label, key, map) in [("uid map", "uid_map", &settings.uid_map), ("gid map", "gid_map", &settings.gid_map)] {
        page.entry(label, map_lines(&Observed::Known(map.clone())), key, map_json(map));
    }
    let words = settings.setgroups.map_or("?", |allowed| if allowed { "allowed" } else { "denied" });
    page.line("setgroups", words, "setgroups", json!(settings.setgroups));
    let line = |limit: &NamespaceLimit| {
        let NamespaceLimit { name, most, seen } = limit;
        format!("{most} {name} namespaces; {seen} seen, of all users").into_bytes()
    };
    let of_each = |number: fn(&NamespaceLimit) -> Json| -> Json {
        settings
            .limits
            .iter()
            .map(|limit| (limit.name.to_owned(), number(limit)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let lines = settings.limits.iter().map(line).collect();
    page.entry("each user may have", lines, "limits", of_each(|limit| json!(limit.most)));
    page.entry("", Vec::new(), "limits_seen", of_each(|limit| json!(limit.seen)));
}

fn ipc(page: &mut Page, objects: &IpcObjects) {
    for (label, key, list) in [
        ("shared memory", "shared_memory", &objects.shared_memory),
        ("semaphores", "semaphores", &objects.semaphores),
        ("message queues", "message_queues", &objects.message_queues),
    ] {
        let one = |(key, id): &(i32, u32)| format!("id {id}, key {key:#010x}").into_bytes();
        let lines = if list.is_empty() { vec![b"none".to_vec()] } else { list.iter().map(one).collect() };
        let ids: Vec<Json> = list.iter().map(|(key, id)| json!({ "key": key, "id": id })).collect();
        page.entry(label, lines, key, json!(ids));
    }
    let queues = objects.posix_queues.as_ref();
    let lines = match queues {
        None => vec![b"? (they could not be listed)".to_vec()],
        Some(queues) if queues.is_empty() => vec![b"none".to_vec()],
        Some(queues) => queues.clone(),
    };
    page.entry(
        "POSIX queues",
        lines,
        "posix_queues",
        json!(queues.map(|all| all.iter().map(|name| lossy(name)).collect::<Vec<_>>())),
    );
}
