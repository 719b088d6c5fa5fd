//! Commands that are proposed to be run, worded once for all verbs.

use nstool::{NamespaceId, Pid};

use super::quote::quote;

/// Words how to run `command` in a mount namespace: through a process that lives there if one is known; `None`: in ours.
pub(crate) fn run_in(mount_namespace: Option<NamespaceId>, process: Option<Pid>, command: &str) -> String {
    match (mount_namespace, process) {
        (None, _) => command.to_owned(),
        (Some(_), Some(pid)) => format!("nstool enter {pid} -- {command}"),
        (Some(id), None) => format!("nstool enter ns:{id} -- {command}"),
    }
}

/// Words how to unmount what is mounted in a mount namespace.
pub(crate) fn unmount(mount_namespace: Option<NamespaceId>, process: Option<Pid>, mount_point: &[u8]) -> String {
    run_in(mount_namespace, process, &format!("umount {}", quote(mount_point)))
}
