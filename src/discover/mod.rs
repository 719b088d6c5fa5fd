//! The scan: fills a [`Snapshot`] from every place a namespace can be seen.
//!
//! One file per source, run in the order of `SOURCES`. Some look at one process after the other, and two threads share
//! the processes; the others look at the machine once, afterwards. Each namespace that is met is pinned: a descriptor of
//! it is kept to the scan's end, so that its inode cannot pass to another one meanwhile (`registry`).

mod bind_mounts;
pub(crate) mod cgroups;
mod contents;
mod descriptors;
mod details;
mod facts;
mod fd_tables;
mod filesystems;
mod hierarchy;
mod inside;
mod kernel_users;
mod mount_tables;
mod mount_users;
mod mounted;
mod net_ids;
mod newcomers;
mod open_files;
mod place;
mod processes;
pub(crate) mod reach;
mod registry;
mod scope;
mod seek;
mod sockets;
mod threads;
mod worker;
mod zombie;

pub use kernel_users::KernelUse;
pub use mount_tables::MountTables;
pub use mount_users::Uses;
pub use place::{Located, locate};
pub use reach::root_of_namespace;
pub use scope::{Commands, Scope};

use std::collections::{HashMap, HashSet};
use std::os::fd::RawFd;

use crate::error::Result;
use crate::id::{NamespaceId, Pid};
use crate::kind::{KindSet, NamespaceKind, NamespaceLink};
use crate::model::{Hidden, Holder, MountUse, Namespace, Observed, Process, Snapshot, Subject, Why};
use crate::proc::Proc;
use registry::Registry;
use worker::{Visit, Worker};

/// One place to look.
struct Source {
    /// Whether the scope wants it.
    wanted: fn(&Scope) -> bool,
    look: Look,
}

/// How a source looks.
enum Look {
    /// At one process.
    Process(fn(&mut Worker<'_>, &mut Visit)),
    /// At the machine, once the processes are known.
    Machine(fn(&mut Scan<'_>)),
}

/// The sources in the order they run.
static SOURCES: [Source; 13] = [
    Source { wanted: |_| true, look: Look::Process(processes::look) },
    Source { wanted: |_| true, look: Look::Process(threads::look) },
    Source { wanted: |scope| scope.descriptors || scope.sockets, look: Look::Process(descriptors::look) },
    Source { wanted: |scope| scope.rare_holders, look: Look::Process(open_files::look) },
    Source { wanted: |scope| scope.bind_mounts, look: Look::Machine(bind_mounts::look) },
    Source { wanted: |scope| scope.bind_mounts, look: Look::Machine(newcomers::look) },
    Source { wanted: |scope| scope.hierarchy, look: Look::Machine(hierarchy::look) },
    Source { wanted: |scope| scope.bind_mounts, look: Look::Machine(seek::look) },
    Source { wanted: |scope| scope.rare_holders, look: Look::Machine(mounted::look) },
    // Again, for what was met since.
    Source { wanted: |scope| scope.hierarchy, look: Look::Machine(hierarchy::look) },
    Source { wanted: |scope| scope.net_ids, look: Look::Machine(net_ids::look) },
    Source { wanted: |scope| scope.commands != Commands::None, look: Look::Machine(details::look) },
    Source { wanted: |scope| scope.bind_mounts, look: Look::Machine(newcomers::drop_ended) },
];

/// A scan under way: what the sources share and fill.
struct Scan<'a> {
    scope: &'a Scope,
    proc: &'a Proc,
    registry: &'a Registry,
    /// The kinds that are read, of which not all need be listed.
    kinds: KindSet,
    /// The descriptors we had before the scan.
    inherited: &'a HashSet<RawFd>,
    processes: Vec<Process>,
    /// By the registry's index.
    holders: Vec<(usize, Holder)>,
    hidden: Hidden,
    open_files: open_files::OpenFiles,
    mount_uses: Vec<MountUse>,
    /// By the registry's index; filled by the hierarchy.
    lineage: HashMap<usize, hierarchy::Lineage>,
    /// By the registry's index.
    net_ids: HashMap<usize, Observed<crate::model::NetId>>,
    /// Namespaces that ended during the scan, by the registry's index.
    ended: HashSet<usize>,
    /// The namespace that was sought is not there, for sure.
    absent: bool,
}

/// What a scan stands on.
struct Ground {
    /// The descriptors we had before the scan.
    inherited: HashSet<RawFd>,
    proc: Proc,
    registry: Registry,
    _limit: registry::RaisedLimit,
}

impl Ground {
    fn prepare() -> Result<Self> {
        let inherited = descriptors::of_ourselves();
        let proc = Proc::open()?;
        let limit = registry::RaisedLimit::raise();
        Ok(Self { registry: Registry::new(inherited.len()), inherited, proc, _limit: limit })
    }
}

impl Snapshot {
    /// Looks at the machine.
    ///
    /// A process that vanishes meanwhile is left out; what cannot be read is counted in [`Snapshot::hidden`]. The soft
    /// limit of open files is raised to the hard one for the duration; where that is too low to pin every namespace,
    /// the rest is listed unpinned. Two threads do the work and are joined before this returns.
    ///
    /// # Errors
    /// There is no usable `/proc`.
    pub fn capture(scope: &Scope) -> Result<Self> {
        let ground = Ground::prepare()?;
        let mut scan = Scan::begin(scope, &ground)?;
        for source in &SOURCES {
            if let Look::Machine(look) = source.look
                && (source.wanted)(scope)
            {
                look(&mut scan);
            }
        }
        Ok(scan.finish())
    }
}

impl<'a> Scan<'a> {
    /// Looks at every process, with the sources that do so.
    fn begin(scope: &'a Scope, ground: &'a Ground) -> Result<Self> {
        let Ground { inherited, proc, registry, .. } = ground;
        let mut gathered = worker::visit_all(scope, proc, registry, &proc.pids()?, inherited);
        if !rustix::process::geteuid().is_root() && proc.hides_processes() {
            gathered.hidden.add(Subject::UnlistedProcesses, Why::NotPermitted);
        }
        Ok(Self {
            scope,
            proc,
            registry,
            kinds: scope.kinds_to_read(),
            inherited,
            processes: gathered.processes,
            holders: gathered.holders,
            hidden: gathered.hidden,
            open_files: gathered.open_files,
            mount_uses: Vec::new(),
            lineage: HashMap::new(),
            net_ids: HashMap::new(),
            ended: HashSet::new(),
            absent: false,
        })
    }

    /// Puts together what the sources found.
    fn finish(mut self) -> Snapshot {
        let mut namespaces: Vec<Namespace> = self
            .registry
            .entries()
            .into_iter()
            .enumerate()
            .map(|(index, entry)| {
                let lineage = self.lineage.remove(&index).unwrap_or(hierarchy::Lineage::not_asked(entry.kind));
                Namespace {
                    kind: entry.kind,
                    id: entry.id,
                    unique_id: entry.unique_id,
                    owner: lineage.owner,
                    parent: lineage.parent,
                    creator: lineage.creator,
                    net_id: (entry.kind == NamespaceKind::Net)
                        .then(|| self.net_ids.remove(&index).unwrap_or(Observed::Hidden(Why::NotAsked))),
                    members: Vec::new(),
                    holders: Vec::new(),
                }
            })
            .collect();
        for (index, holder) in self.holders {
            namespaces[index].holders.push(holder);
        }
        let ended: HashSet<NamespaceId> = self.ended.iter().map(|index| namespaces[*index].id).collect();
        namespaces.sort_unstable_by_key(|namespace| namespace.id);
        fill_members(&mut namespaces, &self.processes);
        for namespace in &mut namespaces {
            namespace.holders.sort_unstable();
            namespace.holders.dedup();
        }
        // What was read only on the way to something else (mount namespaces for their bind mounts) is not listed.
        namespaces.retain(|namespace| self.scope.kinds.contains(namespace.kind) && !ended.contains(&namespace.id));
        let mut suspects = self.open_files.suspects;
        suspects.sort_unstable();
        self.mount_uses.sort_unstable();
        Snapshot {
            namespaces,
            processes: self.processes,
            hidden: self.hidden,
            suspects,
            mount_uses: self.mount_uses,
            absent: self.absent,
        }
    }
}

/// Enters every process into the namespaces its links lead to; `namespaces` ascend by id.
fn fill_members(namespaces: &mut [Namespace], processes: &[Process]) {
    let places: HashMap<NamespaceId, usize> =
        namespaces.iter().enumerate().map(|(place, namespace)| (namespace.id, place)).collect();
    // Neighbours mostly share their namespaces, which spares most look-ups.
    let mut last = [None; NamespaceLink::COUNT];
    for process in processes {
        for link in NamespaceLink::ALL {
            let Observed::Known(id) = process.links[link.index()] else { continue };
            let place = match last[link.index()] {
                Some((same, place)) if same == id => Some(place),
                _ => places.get(&id).copied(),
            };
            last[link.index()] = place.map(|place| (id, place));
            let Some(namespace) = place.and_then(|place| namespaces.get_mut(place)) else { continue };
            match link {
                NamespaceLink::Own(_) => namespace.members.push(process.pid),
                NamespaceLink::ForChildren(kind) => {
                    if process.links[kind as usize] != Observed::Known(id) {
                        namespace.holders.push(Holder::ForChildren { pid: process.pid, tid: None });
                    }
                }
            }
        }
    }
}

/// Returns the lowest-numbered process in each namespace the snapshot under way has seen, by namespace.
fn leads(processes: &[Process]) -> HashMap<NamespaceId, Pid> {
    let mut leads = HashMap::new();
    for (id, pid) in changes(processes, NamespaceKind::COUNT) {
        leads.entry(id).or_insert(pid);
    }
    leads
}

/// Returns where the first `links` links of the processes lead, with the process; but not again where a process's
/// neighbour led to the same, as most do.
fn changes(processes: &[Process], links: usize) -> impl Iterator<Item = (NamespaceId, Pid)> {
    let before = std::iter::once(None).chain(processes.iter().map(Some));
    processes.iter().zip(before).flat_map(move |(process, before)| {
        (0..links).filter_map(move |link| match process.links[link] {
            known if before.is_some_and(|before| before.links[link] == known) => None,
            Observed::Known(id) => Some((id, process.pid)),
            _ => None,
        })
    })
}
