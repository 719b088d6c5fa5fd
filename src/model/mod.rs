//! Plain data: what was seen, without I/O.

mod contents;
mod facts;
mod hidden;
mod holder;
mod mount;
mod mount_use;
mod namespace;
mod observed;
mod process;
mod snapshot;
mod zombie;

pub use contents::{Contents, Interface, IpcObjects, Listener, MountSummary, Names, NamespaceLimit, UserSettings};
pub use facts::{
    Capabilities, CgroupEntry, CgroupState, ClockOffset, ClockOffsets, Level, Membership, PairFacts, ProcessFacts,
    ThreadNamespace,
};
pub use hidden::{Hidden, Subject};
pub use holder::{Holder, HolderKind, Suspect};
pub use mount::{Device, Mount, MountTable};
pub use mount_use::{MountPlace, MountUse, UsedBy};
pub use namespace::{Namespace, NetId};
pub use observed::{Observed, Why};
pub use process::{Details, Process, Standing};
pub use snapshot::Snapshot;
pub use zombie::Zombie;
