//! The processes that use some mounts, and what they use of them.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use nstool::discover::Uses;
use nstool::model::{Device, Hidden, MountPlace, MountUse};
use nstool::propagation::{Forest, MountRef};
use nstool::{Pid, Result, printable};
use serde_json::{Value as Json, json};

use super::scene::{Scene, text};
use crate::render::fit;

/// The processes that use some mounts.
pub(super) struct Users {
    uses: Uses,
}

/// Finds the processes that use these mounts themselves, not other mounts of the same filesystems.
pub(super) fn users_of(forest: &Forest<'_>, mounts: &[MountRef]) -> Result<Users> {
    let mut users = Users::new(forest, mounts, HashSet::new())?;
    users.uses.uses.retain(|each| each.mount.is_some());
    Ok(users)
}

impl Users {
    /// Finds the processes that use these mounts, or the filesystems with these device numbers through any mount.
    pub(super) fn new(forest: &Forest<'_>, mounts: &[MountRef], devices: HashSet<Device>) -> Result<Self> {
        let place = |mount: &MountRef| {
            let namespace = forest.tables()[forest.node(*mount).namespace].namespace;
            let told = forest.mount(*mount)?;
            Some((told.id, MountPlace { namespace, mount_point: told.mount_point.clone() }))
        };
        let mut uses = Uses::capture(&mounts.iter().filter_map(place).collect(), &devices)?;
        // We are gone by the time anybody reads this.
        let me = rustix::process::getpid().as_raw_nonzero().get();
        uses.uses.retain(|each| each.pid != me);
        Ok(Self { uses })
    }

    /// Returns what could not be looked into, and of how many processes.
    pub(super) fn hidden(&self) -> (&Hidden, usize) {
        (&self.uses.hidden, self.uses.processes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.uses.uses.is_empty()
    }

    fn by_process(&self) -> BTreeMap<Pid, Vec<&MountUse>> {
        let mut by_process: BTreeMap<Pid, Vec<&MountUse>> = BTreeMap::new();
        for each in &self.uses.uses {
            by_process.entry(each.pid).or_default().push(each);
        }
        by_process
    }

    /// Words them, a process a line.
    pub(super) fn words(&self, scene: &Scene) -> String {
        /// How many uses of one process are named.
        const NAMED: usize = 5;
        let mut out = String::new();
        for (pid, uses) in self.by_process() {
            let named: Vec<String> = uses
                .iter()
                .take(NAMED)
                .map(|each| format!("{} {}", each.by, fit::whole(&printable(&each.path))))
                .collect();
            let more = uses.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            let _ = writeln!(out, "    {}: {}{more}", scene.describe_process(pid), named.join(", "));
        }
        out
    }

    pub(super) fn json(&self, scene: &Scene) -> Json {
        let of_use = |each: &MountUse| {
            json!({
                "pid": each.pid,
                "process": scene.describe_process(each.pid),
                "how": each.by.to_string(),
                "path": text(&each.path),
                "mountpoint": each.mount.as_ref().map(|mount| text(&mount.mount_point)),
            })
        };
        self.uses.uses.iter().map(of_use).collect()
    }
}
