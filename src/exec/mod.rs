//! Running a command in what `enter` joined or `unshare` made: everything between "the namespaces are right" and the
//! exit status.
//!
//! - [`Program`]: the command line, environment and places to look, put together before a fork, so that the child
//!   allocates nothing; [`Refusal`] is why none of the places could be executed, found out where it happened.
//! - `report`: the child tells over a close-on-exec pipe which numbered step failed with which errno; an end of file
//!   says that the program runs. The parent, which may allocate, words it.
//! - `Supervisor`: the parent. It forwards signals, mirrors stop and continue, reaps, and knows how the child ended.
//! - `terminal`: a pseudo-terminal for the command, which shall not type into ours; [`own_terminal`] is the whole of it
//!   for a process that goes on inside as if nothing were between.
//! - `Guardian`: sees to it that the child does not outlive us, even if we are killed by SIGKILL.
//!
//! In the order of use: `Supervisor::prepare`, `Guardian::prepare`, `report::pipe`, `gate`, `Child::fork`. Then in the
//! child: drop the `Gatekeeper`, forsake the guardian, its own steps, `die_with_parent` *after* the last change of credentials, `Gate::pass`,
//! `become_program`, and on failure the report and `_exit`. In the parent: drop the writer of the report,
//! `Guardian::guard`, `Gatekeeper::open`, `Supervisor::wait`, and last `Ending::mirror`. The tests of
//! `supervise` are an example of it all.

mod child;
mod diagnose;
mod guardian;
mod program;
pub(crate) mod report;
mod session;
mod supervise;
pub(crate) mod terminal;

pub(crate) use child::{Child, be_told_of_parents_death, become_program, die_with_parent};
pub(crate) use diagnose::lacking;
pub(crate) use guardian::{Gate, Gatekeeper, Guardian, gate};
pub use program::Program;
pub(crate) use program::split_variable;
pub use report::{Failure, Refusal};
pub use session::own_terminal;
pub use supervise::Ending;
pub(crate) use supervise::{Companion, NoCompanion, Supervisor, is_watched, stop_ourselves};
