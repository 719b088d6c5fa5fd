//! Where mounts propagate: mount tables in, answers out. Nothing here asks the kernel.
//!
//! [`Forest`] joins the tables of all mount namespaces; [`Forest::attach`] predicts what a mount, bind or move does and
//! [`Forest::unmount`] what an unmount takes along. The rules are those of mount_namespaces(7) and the kernel's
//! `Documentation/filesystems/sharedsubtree.rst` and `propagate_umount.txt` (Linux 6.17), checked against the kernel.

mod attach;
mod chain;
mod diff;
mod exchange;
mod forest;
mod groups;
mod layers;
mod lock;
mod path;
mod release;
mod source;
#[cfg(test)]
mod tests;
mod unmount;

pub use attach::{Arrival, Prediction, Refusal, What};
pub use chain::{Break, Reach};
pub use diff::{Change, Connection, Difference, connections, diff};
pub use exchange::{Circle, Direction, Exchange, Party};
pub use forest::{Forest, MountRef, Node, Place};
pub use groups::{GroupId, Groups, Receiver};
pub use layers::{Layer, Role, layers};
pub use lock::Lock;
pub use path::{is_within, join, strip};
pub use release::{By, Release};
pub use unmount::{Departure, Stay, Unmounting};
