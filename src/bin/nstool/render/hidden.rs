//! What could not be seen, said in one line or as JSON.

use nstool::NamespaceKind;
use nstool::model::{Hidden, Snapshot, Subject, Why};
use serde_json::{Map, Value as Json, json};

use super::{Terminal, report};

/// Says on stderr what a scan could not see; nothing if it saw all.
pub(crate) fn say(snapshot: &Snapshot, terminal: &Terminal) {
    say_of(snapshot.hidden(), snapshot.processes().len(), terminal);
}

/// The same of something else than a snapshot, for which `processes` were looked at.
pub(crate) fn say_of(hidden: &Hidden, processes: usize, terminal: &Terminal) {
    if hidden.is_empty() {
        return;
    }
    let initial = |kind: NamespaceKind| {
        let own = std::fs::metadata(format!("/proc/self/ns/{kind}"));
        own.is_ok_and(|own| std::os::unix::fs::MetadataExt::ino(&own) == kind.facts().initial_inode)
    };
    let admin = || {
        let sets = rustix::thread::capabilities(None);
        sets.is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::SYS_ADMIN))
    };
    let reader = Reader {
        is_root: rustix::process::geteuid().is_root(),
        is_admin: initial(NamespaceKind::User) && admin(),
        in_initial_pid_namespace: initial(NamespaceKind::Pid),
        kernel: procfs::KernelVersion::current().map_or_else(
            |_| "older".to_owned(),
            |version| format!("{}.{}.{}", version.major, version.minor, version.patch),
        ),
    };
    if let Some(line) = line(hidden, processes, &reader) {
        report::note(&line, terminal);
    }
}

/// Who could not see.
struct Reader {
    is_root: bool,
    /// Whether it has CAP_SYS_ADMIN in the initial user namespace.
    is_admin: bool,
    in_initial_pid_namespace: bool,
    kernel: String,
}

/// Words what was hidden of `processes` processes, each with its own reason, and what would help.
fn line(hidden: &Hidden, processes: usize, reader: &Reader) -> Option<String> {
    let mut parts = Vec::new();
    for (subject, why, count) in hidden.iter() {
        let (one, many) = subject.words();
        let words = if count == 1 { one } else { many };
        let part = match subject {
            // How many there are is just what cannot be seen.
            Subject::MountNamespaces | Subject::UnlistedProcesses => many.to_owned(),
            Subject::Process => format!("{count} of {processes} {many}"),
            _ => format!("{count} {words}"),
        };
        let reason = match (subject, why) {
            (Subject::MountNamespaces, Why::Unsupported) => format!("needs Linux 6.12, this is {}", reader.kernel),
            // The kernel's may_see_all_namespaces() wants both.
            (Subject::MountNamespaces, Why::NotPermitted) if reader.is_root => {
                match (reader.is_admin, reader.in_initial_pid_namespace) {
                    (true, false) => "needs the initial pid namespace: run it on the host itself",
                    (true, true) => "refused",
                    (false, true) => "needs CAP_SYS_ADMIN in the initial user namespace",
                    (false, false) => {
                        "needs CAP_SYS_ADMIN in the initial user namespace, and the initial pid namespace"
                    }
                }
                .to_owned()
            }
            (Subject::MountTable, Why::Outside) => "mounts outside our chroot".to_owned(),
            (Subject::UnlistedProcesses, _) => "mounted with hidepid".to_owned(),
            // ptrace(2): the reader needs every capability that the process has, over the process's user namespace.
            (_, Why::NotPermitted) if reader.is_root => {
                "more capabilities than ours, or another user namespace".to_owned()
            }
            (_, Why::NotPermitted) => String::new(),
            (_, why) => why.to_string(),
        };
        parts.push(if reason.is_empty() { part } else { format!("{part} ({reason})") });
    }
    if parts.is_empty() {
        return None;
    }
    let refused = hidden.iter().any(|(_, why, _)| why == Why::NotPermitted);
    let advice = if refused && !reader.is_root { ": run as root to see them" } else { "" };
    Some(format!("hidden: {}{advice}", parts.join(", ")))
}

/// Returns the `hidden` object of a JSON document: counts by sort and reason.
pub(crate) fn json(snapshot: &Snapshot) -> Json {
    json_of(snapshot.hidden())
}

/// The same of something else than a snapshot.
pub(crate) fn json_of(hidden: &Hidden) -> Json {
    let mut object = Map::new();
    for (subject, why, count) in hidden.iter() {
        let reasons = object.entry(subject.key()).or_insert_with(|| json!({}));
        reasons[why.key()] = json!(reasons[why.key()].as_u64().unwrap_or_default() + count);
    }
    Json::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_said_with_what_helps() {
        let reader =
            |is_root| Reader { is_root, is_admin: is_root, in_initial_pid_namespace: true, kernel: "6.1.0".to_owned() };
        let (root, user) = (reader(true), reader(false));
        let mut hidden = Hidden::default();
        assert_eq!(line(&hidden, 340, &user), None);
        for _ in 0..12 {
            hidden.add(Subject::Process, Why::NotPermitted);
        }
        assert_eq!(line(&hidden, 340, &user).unwrap(), "hidden: 12 of 340 processes: run as root to see them");
        assert!(
            line(&hidden, 340, &root)
                .unwrap()
                .ends_with("12 of 340 processes (more capabilities than ours, or another user namespace)")
        );
        hidden.add(Subject::MountNamespaces, Why::Unsupported);
        assert_eq!(
            line(&hidden, 340, &user).unwrap(),
            "hidden: 12 of 340 processes, mount namespaces without processes (needs Linux 6.12, this is 6.1.0): \
             run as root to see them"
        );
    }

    #[test]
    fn what_root_lacks_to_see_every_mount_namespace_is_said() {
        let mut hidden = Hidden::default();
        hidden.add(Subject::MountNamespaces, Why::NotPermitted);
        let said = |is_admin, in_initial_pid_namespace| {
            let reader = Reader { is_root: true, is_admin, in_initial_pid_namespace, kernel: String::new() };
            line(&hidden, 1, &reader).unwrap()
        };
        assert!(said(true, false).ends_with("(needs the initial pid namespace: run it on the host itself)"));
        assert!(said(false, true).ends_with("(needs CAP_SYS_ADMIN in the initial user namespace)"));
        assert!(said(false, false).ends_with("user namespace, and the initial pid namespace)"));
    }
}
