//! What a scan shall look at.

use crate::kind::{KindSet, NamespaceKind};
use crate::target::by_handle::Wanted;

/// What a scan shall look at; the less, the faster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scope {
    /// Which kinds of namespace.
    pub kinds: KindSet,
    /// Threads whose namespaces differ from their process's, and how many threads there are.
    pub threads: bool,
    /// Descriptors of namespaces and of processes.
    pub descriptors: bool,
    /// Network namespaces of sockets.
    pub sockets: bool,
    /// Bind mounts of namespace files, in every mount namespace we may read.
    pub bind_mounts: bool,
    /// What rarely holds a namespace and takes longer to find: mounted procfs, open files whose content is a namespace's,
    /// what single threads hold for their children; also who uses the mounts of namespaces they are not in.
    pub rare_holders: bool,
    /// Owners, parents, and ancestors without processes.
    pub hierarchy: bool,
    /// The numbers our own network namespace gives to others.
    pub net_ids: bool,
    /// Whose parent, uid and command line to read.
    pub commands: Commands,
    /// A namespace to look for by the kernel's ids, should nothing lead to it.
    pub(crate) sought: Option<Wanted>,
}

/// Whose parent, uid and command line to read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Commands {
    /// Nobody's.
    None,
    /// Those of the lowest process of each namespace, and of its ancestors.
    Leads,
    /// Those of every process in the namespaces with these inodes, and of its ancestors.
    MembersOf(Vec<u64>),
    /// Every process's.
    All,
}

impl Scope {
    /// Returns the scope that sees every namespace and everything that holds one, but for single threads and rare
    /// holders.
    pub fn everything() -> Self {
        Self {
            kinds: KindSet::ALL,
            threads: false,
            descriptors: true,
            sockets: true,
            bind_mounts: true,
            rare_holders: false,
            hierarchy: true,
            net_ids: false,
            commands: Commands::Leads,
            sought: None,
        }
    }

    /// Returns the scope that sees everything that holds a namespace.
    pub fn holders() -> Self {
        Self { threads: true, rare_holders: true, commands: Commands::None, ..Self::everything() }
    }

    /// Returns the scope that sees everything that holds the namespace with this inode, of any kind or of one, and of its
    /// relatives; also if nothing leads to it, where the kernel can (since Linux 6.18).
    pub fn holders_of(ino: u64, kind: Option<NamespaceKind>) -> Self {
        let kinds = match kind {
            // A user namespace owns all sorts.
            None | Some(NamespaceKind::User) => KindSet::ALL,
            // Bind mounts live in mount namespaces.
            Some(kind) => KindSet::EMPTY.with(kind).with(NamespaceKind::Mnt),
        };
        Self { kinds, sought: Some(Wanted { ino, kind }), ..Self::holders() }
    }

    /// Returns the scope that sees processes and their namespaces alone.
    pub fn processes() -> Self {
        Self {
            descriptors: false,
            sockets: false,
            bind_mounts: false,
            hierarchy: false,
            commands: Commands::None,
            ..Self::everything()
        }
    }

    /// The kinds that must be read: mount namespaces also where their mount tables are wanted, and every kind for what
    /// user namespaces own.
    pub(super) fn kinds_to_read(&self) -> KindSet {
        if self.hierarchy && self.kinds.contains(NamespaceKind::User) {
            KindSet::ALL
        } else if self.bind_mounts {
            self.kinds.with(NamespaceKind::Mnt)
        } else {
            self.kinds
        }
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self::everything()
    }
}
