//! What the target is called. The name of a process costs a few system calls and is wanted only where something is told,
//! so it is read then.

use std::fmt;
use std::sync::Arc;

use crate::printable;
use crate::target::PinnedProcess;

/// What the target is called, such as `process 4242 (nginx)`.
#[derive(Clone, Debug)]
pub(crate) enum TargetName {
    Process(Arc<PinnedProcess>),
    Other(String),
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(name) => f.write_str(name),
            Self::Process(process) => {
                write!(f, "process {}", process.pid())?;
                process.name().map_or(Ok(()), |name| write!(f, " ({})", printable(&name)))
            }
        }
    }
}
