//! What is said of a program that could not be executed. Runs in the parent, which may allocate.

use std::ffi::{CStr, CString};

use super::super::report::Refusal;
use super::Cause;
use crate::error::{Error, ErrorKind};
use crate::printable;

impl Refusal {
    /// Returns the exit status that shells give it: 127 for what was not found, else 126.
    pub fn exit_status(&self) -> u8 {
        if self.errno == libc::ENOENT { 127 } else { 126 }
    }

    /// Words it, of the program called `name` and the files that were tried for it.
    pub fn explain(&self, name: &[u8], candidates: &[CString]) -> Error {
        self.explain_in(None, name, candidates)
    }

    /// Words it, of a program that was looked for in a new root.
    pub(crate) fn explain_in(&self, root: Option<&CStr>, name: &[u8], candidates: &[CString]) -> Error {
        let path = candidates.get(self.candidate).map(CString::as_bytes).unwrap_or_default();
        let name = printable(name);
        let path = printable(path);
        let other = printable(self.name());
        let file = if self.name().is_empty() { format!("{path}") } else { format!("its interpreter {other}") };
        let message = if name.is_empty() {
            "cannot run a command without a name".to_owned()
        } else {
            format!("cannot run {name}")
        };
        let message = match root {
            Some(root) => format!("{message} in the new root {}", printable(root.to_bytes())),
            None => message,
        };
        let (kind, cause) = match self.cause {
            Cause::Missing if candidates.len() > 1 => {
                (ErrorKind::NotFound, format!("no directory of PATH has it ({})", directories(candidates)))
            }
            Cause::Missing => (ErrorKind::NotFound, "there is no such file".to_owned()),
            Cause::ScriptInterpreter => {
                (ErrorKind::NotFound, format!("{path} is there, but the interpreter of its #! line is not: {other}"))
            }
            Cause::ElfInterpreter => {
                (ErrorKind::NotFound, format!("{path} is there, but its ELF interpreter (loader) is not: {other}"))
            }
            Cause::InterpretersInterpreter => (
                ErrorKind::NotFound,
                format!(
                    "{path} and the interpreter of its #! line, {other}, are there, but the latter's loader is not"
                ),
            ),
            Cause::Architecture(machine) => {
                (ErrorKind::Unsupported, format!("{file} is for another machine: {}", machine_name(machine)))
            }
            Cause::NoExec => (ErrorKind::NotPermitted, format!("{file} lies on a filesystem mounted noexec")),
            Cause::Mode => (ErrorKind::NotPermitted, format!("{file} has no permission to be executed")),
            Cause::Directory => (ErrorKind::NotPermitted, format!("{file} is a directory")),
            Cause::Search => (
                ErrorKind::NotPermitted,
                format!("{path} cannot be reached: directory {other} has no permission to be searched (x)"),
            ),
            Cause::NoFile => (ErrorKind::NotPermitted, format!("{file} is no regular file")),
            Cause::MagicLink => (
                ErrorKind::NotPermitted,
                format!(
                    "{path}, or the interpreter of its #! line, is a link of /proc that can lead to nstool's own file"
                ),
            ),
            Cause::Format => (ErrorKind::Unsupported, format!("{path} is neither an ELF file nor a script")),
            Cause::Unknown => {
                let cause = std::io::Error::from_raw_os_error(self.errno);
                return Error::system(message, std::io::Error::new(cause.kind(), format!("{path}: {cause}")));
            }
        };
        Error::new(kind, message).because(cause)
    }
}

fn directories(candidates: &[CString]) -> String {
    let mut directories = Vec::new();
    for path in candidates.iter().map(|path| path.as_bytes()) {
        // PATH often names one twice.
        if let Some(slash) = path.iter().rposition(|byte| *byte == b'/')
            && !directories.contains(&&path[..slash])
        {
            directories.push(&path[..slash]);
        }
    }
    directories.into_iter().map(printable).collect::<Vec<_>>().join(", ")
}

/// Returns the name of a machine in an ELF header (elf.h).
fn machine_name(machine: u16) -> String {
    let name = match machine {
        2 | 18 | 43 => "SPARC",
        3 => "x86 (32 bits)",
        8 => "MIPS",
        20 => "PowerPC",
        21 => "PowerPC (64 bits)",
        22 => "S/390",
        40 => "ARM (32 bits)",
        62 => "x86-64",
        183 => "ARM (64 bits)",
        243 => "RISC-V",
        258 => "LoongArch",
        other => return format!("number {other}"),
    };
    name.to_owned()
}
