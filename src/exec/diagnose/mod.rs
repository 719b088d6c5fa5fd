//! Why a file cannot be executed: execve(2) has one ENOENT for a missing file, a missing `#!` interpreter and a missing
//! ELF interpreter, and one EACCES for half a dozen reasons.
//!
//! The finding runs in the child, after execve failed, among the files it saw; it reads the first bytes of the file and
//! allocates nothing. The wording runs in the parent.
//!
//! These files can be somebody else's: only regular ones are opened, for to open a device or a FIFO can have effects or
//! block. `proc`, a descriptor of our own /proc, makes that certain; without it a file can be exchanged between the look
//! at what it is and the opening.

mod form;
mod wording;

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Access, FileType, Mode, OFlags, ResolveFlags, StatVfsMountFlags};

use self::form::{Form, HEAD, OWN_MACHINE, elf_interpreter, form};
use super::report::Refusal;
use crate::proc::reopen;

/// Why execve(2) refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The errno says it all, or no more could be found out.
    Unknown,
    /// No such file.
    Missing,
    /// The interpreter that the `#!` line names is missing.
    ScriptInterpreter,
    /// The ELF interpreter (the dynamic loader) is missing.
    ElfInterpreter,
    /// The interpreter of the `#!` line is there, but its own is not.
    InterpretersInterpreter,
    /// The file, or its interpreter, is for another machine: the number of its ELF header.
    Architecture(u16),
    /// It lies on a filesystem mounted noexec.
    NoExec,
    /// The file, or its interpreter, lacks the right to execute it.
    Mode,
    /// It is a device or other thing that is no file.
    NoFile,
    /// It is a directory.
    Directory,
    /// A directory on the way to it may not be searched.
    Search,
    /// Neither ELF nor a script.
    Format,
    /// It is reached through a magic link of procfs.
    MagicLink,
}

impl Cause {
    pub(super) fn encode(self) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::Missing => 1,
            Self::ScriptInterpreter => 2,
            Self::ElfInterpreter => 3,
            Self::NoExec => 4,
            Self::Mode => 5,
            Self::NoFile => 6,
            Self::Format => 7,
            Self::InterpretersInterpreter => 9,
            Self::MagicLink => 10,
            Self::Directory => 11,
            Self::Search => 12,
            Self::Architecture(machine) => 8 | u32::from(machine) << 8,
        }
    }

    pub(super) fn decode(number: u32) -> Self {
        match number & 0xff {
            1 => Self::Missing,
            2 => Self::ScriptInterpreter,
            3 => Self::ElfInterpreter,
            4 => Self::NoExec,
            5 => Self::Mode,
            6 => Self::NoFile,
            7 => Self::Format,
            8 => Self::Architecture((number >> 8) as u16),
            9 => Self::InterpretersInterpreter,
            10 => Self::MagicLink,
            11 => Self::Directory,
            12 => Self::Search,
            _ => Self::Unknown,
        }
    }
}

/// Tells whether there is such a file at all.
pub(super) fn exists(path: &CStr) -> bool {
    rustix::fs::access(path, Access::EXISTS).is_ok()
}

/// Tells whether a file that execve(2) called malformed can be a script without a `#!` line: it is no ELF file.
pub(super) fn may_be_script(path: &CStr, proc: Option<BorrowedFd<'_>>) -> bool {
    let mut head = [0; HEAD];
    match read_head(path, &mut head, proc) {
        Some((_, bytes)) => matches!(form(bytes), Form::Other) && !bytes.contains(&0),
        None => false,
    }
}

/// Tells whether a file, or the interpreter of its `#!` line, is reached through a magic link of procfs, such as
/// /proc/self/exe (proc_pid_exe(5)). Before Linux 5.6 that cannot be told.
pub(super) fn leads_through_magic(path: &CStr, proc: Option<BorrowedFd<'_>>) -> bool {
    let found = match without_magic(path) {
        Ok(found) => found,
        Err(errno) => return is_magic(path, errno),
    };
    let mut head = [0; HEAD];
    let mut name = [0; 256];
    let Some((_, bytes)) = read_found(&found, path, &mut head, proc) else { return false };
    match form(bytes) {
        Form::Script(interpreter) => c_path(interpreter, &mut name)
            .is_some_and(|interpreter| without_magic(interpreter).is_err_and(|errno| is_magic(interpreter, errno))),
        Form::Elf { .. } | Form::Other => false,
    }
}

fn without_magic(path: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)
}

/// Tells whether `path`, which could not be opened without magic links, can be with them. ELOOP also comes of a circle of
/// links, which leads nowhere either way.
fn is_magic(path: &CStr, errno: rustix::io::Errno) -> bool {
    errno == rustix::io::Errno::LOOP && rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).is_ok()
}

/// Finds out why `path`, the candidate `index`, was refused with `errno`.
pub(super) fn refusal(path: &CStr, index: usize, errno: i32, proc: Option<BorrowedFd<'_>>) -> Refusal {
    let refusal = Refusal::new(index, errno);
    if !exists(path) {
        return match errno {
            libc::ENOENT | libc::ENOTDIR => refusal.because(Cause::Missing, b""),
            libc::EACCES => match closed_directory(path, &mut [0; 256]) {
                Some(directory) => refusal.because(Cause::Search, directory),
                None => refusal,
            },
            _ => refusal,
        };
    }
    if let Some(cause) = of_itself(path, errno) {
        return refusal.because(cause, b"");
    }
    let mut head = [0; HEAD];
    let Some((file, bytes)) = read_head(path, &mut head, proc) else { return refusal };
    let mut name = [0; 256];
    match form(bytes) {
        Form::Script(interpreter) => {
            let Some(interpreter) = c_path(interpreter, &mut name) else { return refusal };
            if !exists(interpreter) {
                return refusal.because(Cause::ScriptInterpreter, interpreter.to_bytes());
            }
            // The interpreter is a program with an interpreter of its own.
            let cause = of_itself(interpreter, errno).or_else(|| of_interpreter(interpreter, proc));
            refusal.because(cause.unwrap_or(Cause::Unknown), interpreter.to_bytes())
        }
        // The kernel looks at the machine before it looks for the interpreter.
        Form::Elf { machine } if errno == libc::ENOEXEC => refusal.because(Cause::Architecture(machine), b""),
        Form::Elf { .. } => match elf_interpreter(&file, bytes, &mut name) {
            Some(interpreter) if !exists(interpreter) => refusal.because(Cause::ElfInterpreter, interpreter.to_bytes()),
            Some(interpreter) => match of_itself(interpreter, errno) {
                Some(cause) => refusal.because(cause, interpreter.to_bytes()),
                None => refusal,
            },
            None => refusal,
        },
        Form::Other if errno == libc::ENOEXEC => refusal.because(Cause::Format, b""),
        Form::Other => refusal,
    }
}

/// Looks at the open file of candidate `index` before anything is done: whether its interpreter is missing, as `exists`
/// tells. May be called where execution is still far off, so it knows only what the kernel refuses for certain.
pub(crate) fn lacking(file: &OwnedFd, index: usize, exists: impl Fn(&CStr) -> bool) -> Option<Refusal> {
    let mut head = [0; HEAD];
    let mut name = [0; 256];
    let count = rustix::io::pread(file, &mut head[..], 0).ok()?;
    let bytes = &head[..count];
    let (cause, interpreter) = match form(bytes) {
        Form::Script(interpreter) => (Cause::ScriptInterpreter, c_path(interpreter, &mut name)?),
        Form::Elf { machine } if Some(machine) == OWN_MACHINE => {
            (Cause::ElfInterpreter, elf_interpreter(file, bytes, &mut name)?)
        }
        Form::Elf { .. } | Form::Other => return None,
    };
    let missing = interpreter.to_bytes().starts_with(b"/") && !exists(interpreter);
    missing.then(|| Refusal::new(index, libc::ENOENT).because(cause, interpreter.to_bytes()))
}

/// Looks at what the file is and where it lies.
fn of_itself(path: &CStr, errno: i32) -> Option<Cause> {
    if errno != libc::EACCES {
        return None;
    }
    let stat = rustix::fs::stat(path).ok()?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Some(Cause::Directory),
        _ => return Some(Cause::NoFile),
    }
    let mounted = rustix::fs::statvfs(path).ok()?.f_flag;
    if mounted.contains(StatVfsMountFlags::NOEXEC) {
        return Some(Cause::NoExec);
    }
    rustix::fs::access(path, Access::EXEC_OK).is_err().then_some(Cause::Mode)
}

/// Looks whether a script's interpreter, which is there, lacks its loader.
fn of_interpreter(path: &CStr, proc: Option<BorrowedFd<'_>>) -> Option<Cause> {
    let mut head = [0; HEAD];
    let mut name = [0; 256];
    let (file, bytes) = read_head(path, &mut head, proc)?;
    match form(bytes) {
        Form::Elf { .. } => elf_interpreter(&file, bytes, &mut name)
            .filter(|loader| !exists(loader))
            .map(|_| Cause::InterpretersInterpreter),
        Form::Script(_) | Form::Other => None,
    }
}

/// Returns the first directory on the way to `path` that we may not search.
fn closed_directory<'a>(path: &CStr, space: &'a mut [u8; 256]) -> Option<&'a [u8]> {
    let bytes = path.to_bytes();
    let ends = bytes.iter().enumerate().filter(|(place, byte)| **byte == b'/' && *place > 0);
    let end = ends.map(|(place, _)| place).find(|end| {
        c_path(&bytes[..*end], space)
            .is_some_and(|directory| rustix::fs::access(directory, Access::EXEC_OK) == Err(rustix::io::Errno::ACCESS))
    })?;
    Some(&space[..end])
}

/// Opens a regular file and reads its beginning.
fn read_head<'a>(path: &CStr, head: &'a mut [u8; HEAD], proc: Option<BorrowedFd<'_>>) -> Option<(OwnedFd, &'a [u8])> {
    let found = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    read_found(&found, path, head, proc)
}

/// The same of what was `found` at `path`.
fn read_found<'a>(
    found: &OwnedFd,
    path: &CStr,
    head: &'a mut [u8; HEAD],
    proc: Option<BorrowedFd<'_>>,
) -> Option<(OwnedFd, &'a [u8])> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if !FileType::from_raw_mode(rustix::fs::fstat(found).ok()?.st_mode).is_file() {
        return None;
    }
    let file = match proc {
        Some(proc) => reopen(proc, found, flags).ok()?,
        None => rustix::fs::open(path, flags, Mode::empty()).ok()?,
    };
    let count = rustix::io::pread(&file, &mut head[..], 0).ok()?;
    Some((file, &head[..count]))
}

fn c_path<'a>(path: &[u8], space: &'a mut [u8; 256]) -> Option<&'a CStr> {
    space.get_mut(..path.len())?.copy_from_slice(path);
    *space.get_mut(path.len())? = 0;
    CStr::from_bytes_until_nul(space).ok()
}

#[cfg(test)]
mod tests;
