//! What could not be seen, said in one line or as JSON.

use nstool::model::{Hidden, Snapshot, Subject, Why};
use serde_json::{Map, Value as Json, json};

use super::{Terminal, report};

/// Says on stderr what a scan could not see; nothing if it saw all.
pub(crate) fn say(snapshot: &Snapshot, terminal: &Terminal) {
    if let Some(line) = line(snapshot.hidden(), snapshot.processes().len(), rustix::process::geteuid().is_root()) {
        report::note(&line, terminal);
    }
}

/// Words what was hidden of `processes` processes, and what would help.
fn line(hidden: &Hidden, processes: usize, root: bool) -> Option<String> {
    let mut parts = Vec::new();
    for (subject, why, count) in hidden.iter() {
        let part = match subject {
            // How many there are is just what cannot be seen; and an old kernel's answer is the same for everybody.
            Subject::MountNamespaces if why == Why::Unsupported => continue,
            Subject::MountNamespaces => format!("{subject}"),
            Subject::Process => format!("{count} of {processes} {subject}"),
            _ => format!("{count} {subject}"),
        };
        match why {
            Why::NotPermitted => parts.push(part),
            _ => parts.push(format!("{part} ({why})")),
        }
    }
    if parts.is_empty() {
        return None;
    }
    let refused = hidden.iter().any(|(_, why, _)| why == Why::NotPermitted);
    let advice = match (refused, root) {
        (true, false) => ": run as root to see them",
        // ptrace(2): the reader needs every capability that the process has.
        (true, true) => {
            ": permission denied even to root (they hold capabilities that we lack, or belong to another user namespace)"
        }
        (false, _) => "",
    };
    Some(format!("hidden: {}{advice}", parts.join(", ")))
}

/// Returns the `hidden` object of a JSON document: counts by sort and reason, and the number of processes met.
pub(crate) fn json(snapshot: &Snapshot) -> Json {
    let mut object = Map::new();
    for (subject, why, count) in snapshot.hidden().iter() {
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
        let mut hidden = Hidden::default();
        assert_eq!(line(&hidden, 340, false), None);
        for _ in 0..12 {
            hidden.add(Subject::Process, Why::NotPermitted);
        }
        assert_eq!(line(&hidden, 340, false).unwrap(), "hidden: 12 of 340 processes: run as root to see them");
        hidden.add(Subject::MountNamespaces, Why::NotPermitted);
        let both = line(&hidden, 340, false).unwrap();
        assert_eq!(both, "hidden: 12 of 340 processes, mount namespaces without processes: run as root to see them");
        assert!(line(&hidden, 340, true).unwrap().contains("capabilities that we lack"));
    }
}
