//! Why a file cannot be executed: execve(2) has one ENOENT for a missing file, a missing `#!` interpreter and a missing
//! ELF interpreter, and one EACCES for half a dozen reasons.
//!
//! The finding runs in the child, after execve failed, among the files it saw; it reads the first bytes of the file and
//! allocates nothing. The wording runs in the parent.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

use rustix::fs::{Access, FileType, Mode, OFlags, ResolveFlags, StatVfsMountFlags};

use super::report::Refusal;
use crate::error::{Error, ErrorKind};
use crate::printable;

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
    /// It is a directory, device or other thing that is no file.
    NoFile,
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
            _ => Self::Unknown,
        }
    }
}

/// What the first bytes of a file say it is.
#[derive(Debug, PartialEq, Eq)]
enum Form<'a> {
    /// A script and its interpreter.
    Script(&'a [u8]),
    /// An ELF file for that machine.
    Elf { machine: u16 },
    /// Anything else.
    Other,
}

const HEAD: usize = 4096;

/// Tells whether there is such a file at all.
pub(super) fn exists(path: &CStr) -> bool {
    rustix::fs::access(path, Access::EXISTS).is_ok()
}

/// Tells whether a file that execve(2) called malformed can be a script without a `#!` line: it is no ELF file.
pub(super) fn may_be_script(path: &CStr) -> bool {
    let mut head = [0; HEAD];
    match read_head(path, &mut head) {
        Some((_, bytes)) => matches!(form(bytes), Form::Other) && !bytes.contains(&0),
        None => false,
    }
}

/// Tells whether a file, or the interpreter of its `#!` line, is reached through a magic link of procfs, such as
/// /proc/self/exe (proc_pid_exe(5)). Before Linux 5.6 that cannot be told.
pub(super) fn leads_through_magic(path: &CStr) -> bool {
    if is_magic(path) {
        return true;
    }
    let mut head = [0; HEAD];
    let mut name = [0; 256];
    let Some((_, bytes)) = read_head(path, &mut head) else { return false };
    match form(bytes) {
        Form::Script(interpreter) => c_path(interpreter, &mut name).is_some_and(is_magic),
        Form::Elf { .. } | Form::Other => false,
    }
}

fn is_magic(path: &CStr) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let open = |resolve| rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve);
    // ELOOP also comes of a circle of links, which leads nowhere either way.
    open(ResolveFlags::NO_MAGICLINKS).is_err_and(|errno| errno == rustix::io::Errno::LOOP)
        && open(ResolveFlags::empty()).is_ok()
}

/// Finds out why `path`, the candidate `index`, was refused with `errno`.
pub(super) fn refusal(path: &CStr, index: usize, errno: i32) -> Refusal {
    let refusal = Refusal::new(index, errno);
    if !exists(path) {
        let cause = if matches!(errno, libc::ENOENT | libc::ENOTDIR) { Cause::Missing } else { Cause::Unknown };
        return refusal.because(cause, b"");
    }
    if let Some(cause) = of_itself(path, errno) {
        return refusal.because(cause, b"");
    }
    let mut head = [0; HEAD];
    let Some((file, bytes)) = read_head(path, &mut head) else { return refusal };
    let mut name = [0; 256];
    match form(bytes) {
        Form::Script(interpreter) => {
            let Some(interpreter) = c_path(interpreter, &mut name) else { return refusal };
            if !exists(interpreter) {
                return refusal.because(Cause::ScriptInterpreter, interpreter.to_bytes());
            }
            // The interpreter is a program with an interpreter of its own.
            let cause = of_itself(interpreter, errno).or_else(|| of_interpreter(interpreter));
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

/// Looks at what the file is and where it lies.
fn of_itself(path: &CStr, errno: i32) -> Option<Cause> {
    if errno != libc::EACCES {
        return None;
    }
    let stat = rustix::fs::stat(path).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Some(Cause::NoFile);
    }
    let mounted = rustix::fs::statvfs(path).ok()?.f_flag;
    if mounted.contains(StatVfsMountFlags::NOEXEC) {
        return Some(Cause::NoExec);
    }
    rustix::fs::access(path, Access::EXEC_OK).is_err().then_some(Cause::Mode)
}

/// Looks whether a script's interpreter, which is there, lacks its loader.
fn of_interpreter(path: &CStr) -> Option<Cause> {
    let mut head = [0; HEAD];
    let mut name = [0; 256];
    let (file, bytes) = read_head(path, &mut head)?;
    match form(bytes) {
        Form::Elf { .. } => elf_interpreter(&file, bytes, &mut name)
            .filter(|loader| !exists(loader))
            .map(|_| Cause::InterpretersInterpreter),
        Form::Script(_) | Form::Other => None,
    }
}

fn read_head<'a>(path: &CStr, head: &'a mut [u8; HEAD]) -> Option<(OwnedFd, &'a [u8])> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let count = rustix::io::pread(&file, &mut head[..], 0).ok()?;
    Some((file, &head[..count]))
}

fn form(head: &[u8]) -> Form<'_> {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or(line).trim_ascii_start();
        let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t' | 0)).unwrap_or(line.len());
        return Form::Script(&line[..end]);
    }
    match head {
        [0x7f, b'E', b'L', b'F', _, order, ..] if head.len() >= 20 => {
            // Byte 5 is the byte order: 1 little, 2 big.
            let pair = [head[18], head[19]];
            let machine = if *order == 2 { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
            Form::Elf { machine }
        }
        _ => Form::Other,
    }
}

/// Reads the name of the ELF interpreter of a file of our byte order (elf(5): program header PT_INTERP).
fn elf_interpreter<'a>(file: &OwnedFd, head: &[u8], name: &'a mut [u8; 256]) -> Option<&'a CStr> {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, bytes: usize| -> Option<u64> {
        let field = head.get(at..at.checked_add(bytes)?)?;
        Some(match bytes {
            2 => u64::from(u16::from_ne_bytes(field.try_into().ok()?)),
            4 => u64::from(u32::from_ne_bytes(field.try_into().ok()?)),
            _ => u64::from_ne_bytes(field.try_into().ok()?),
        })
    };
    // Byte 4 is the class: 2 is 64 bits. Where e_phoff, e_phentsize and e_phnum stand, and in a program header
    // p_offset and p_filesz.
    let wide = head.get(4) == Some(&2);
    let (table, size, count) = if wide {
        (number(32, 8)?, number(54, 2)?, number(56, 2)?)
    } else {
        (number(28, 4)?, number(42, 2)?, number(44, 2)?)
    };
    for index in 0..count {
        let entry = usize::try_from(table.checked_add(index * size)?).ok()?;
        if number(entry, 4)? != PT_INTERP {
            continue;
        }
        let (offset, length) = if wide {
            (number(entry + 8, 8)?, number(entry + 32, 8)?)
        } else {
            (number(entry + 4, 4)?, number(entry + 16, 4)?)
        };
        let length = usize::try_from(length).ok()?.min(name.len());
        let count = rustix::io::pread(file, &mut name[..length], offset).ok()?;
        return CStr::from_bytes_until_nul(&name[..count]).ok();
    }
    None
}

fn c_path<'a>(path: &[u8], space: &'a mut [u8; 256]) -> Option<&'a CStr> {
    space.get_mut(..path.len())?.copy_from_slice(path);
    *space.get_mut(path.len())? = 0;
    CStr::from_bytes_until_nul(space).ok()
}

impl Refusal {
    /// Returns the exit status that shells give it: 127 for what was not found, else 126.
    pub fn exit_status(&self) -> u8 {
        if self.errno == libc::ENOENT { 127 } else { 126 }
    }

    /// Words it, of the program called `name` and the files that were tried for it.
    pub fn explain(&self, name: &[u8], candidates: &[CString]) -> Error {
        let path = candidates.get(self.candidate).map(CString::as_bytes).unwrap_or_default();
        let name = printable(name);
        let path = printable(path);
        let other = printable(self.name());
        let file = if self.name().is_empty() { format!("{path}") } else { format!("its interpreter {other}") };
        let message = format!("cannot run {name}");
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
    let directories = candidates.iter().filter_map(|path| {
        let path = path.as_bytes();
        let slash = path.iter().rposition(|byte| *byte == b'/')?;
        Some(printable(&path[..slash]).into_owned())
    });
    directories.collect::<Vec<_>>().join(", ")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Program;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    /// A directory that goes when the test ends.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("nstool-diagnose-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn explain(path: &Path) -> (u8, String) {
        let mut program = Program::new(&[path.into()], &[]).unwrap();
        // ETXTBSY: a process that another test forked meanwhile still has the file open for writing.
        let refusals = std::iter::repeat_with(|| program.execute());
        let refusal = refusals.into_iter().find(|refusal| refusal.errno != libc::ETXTBSY).unwrap();
        let error = refusal.explain(program.name(), program.candidates());
        (refusal.exit_status(), std::error::Error::source(&error).unwrap().to_string())
    }

    /// Returns a copy of this test program whose ELF interpreter has another name of the same length.
    fn elf_without_loader() -> Vec<u8> {
        let mut bytes = fs::read("/proc/self/exe").unwrap();
        let place = bytes.windows(5).position(|window| window == b"/lib6" || window == b"/lib/").unwrap();
        bytes[place..place + 4].copy_from_slice(b"/nix");
        bytes
    }

    #[test]
    fn each_cause_is_told_by_name() {
        let directory = Directory::new("causes");
        let mut foreign = fs::read("/proc/self/exe").unwrap();
        foreign.truncate(4096);
        foreign[18..20].copy_from_slice(&[0xf7, 0x00]);
        for (name, content, mode, status, part) in [
            (
                "script",
                &b"#! /no/such/interp -x\n"[..],
                0o755,
                127,
                "interpreter of its #! line is not: /no/such/interp",
            ),
            ("loader", &elf_without_loader(), 0o755, 127, "ELF interpreter (loader) is not: /nix"),
            ("foreign", &foreign, 0o755, 126, "for another machine: number 247"),
            ("format", b"\0\0\0\0", 0o755, 126, "neither an ELF file nor a script"),
            ("mode", b"#!/bin/sh\n", 0o644, 126, "no permission to be executed"),
        ] {
            let path = directory.file(name, content, mode);
            let (found_status, cause) = explain(&path);
            assert!(cause.contains(part), "{name}: {cause}");
            assert_eq!(found_status, status, "{name}");
        }
        let nested = directory.file("nested", format!("#!{}/loader\n", directory.0.display()).as_bytes(), 0o755);
        assert!(explain(&nested).1.contains("the latter's loader is not"), "{}", explain(&nested).1);
        assert!(explain(&directory.0).1.contains("is no regular file"));
        assert!(explain(Path::new("/no/such/file")).1.contains("no such file"));
    }

    #[test]
    fn a_way_through_a_magic_link_is_refused_where_files_are_not_trusted() {
        let directory = Directory::new("magic");
        let link = directory.0.join("sh");
        std::os::unix::fs::symlink("/proc/self/exe", &link).unwrap();
        let script = directory.file("script", b"#!/proc/self/exe\n", 0o755);
        for path in [link, script] {
            let mut program = Program::new(&[path.into()], &[]).unwrap().distrusting();
            if rustix::fs::openat2(rustix::fs::CWD, c"/", OFlags::PATH, Mode::empty(), ResolveFlags::empty()).is_ok() {
                let refusal = program.execute();
                assert_eq!((refusal.cause, refusal.exit_status()), (Cause::MagicLink, 126));
            }
        }
        assert!(!leads_through_magic(c"/bin/sh") && !leads_through_magic(c"/no/such/file"));
    }

    #[test]
    fn a_file_that_is_there_tells_more_than_a_place_without() {
        let directory = Directory::new("path");
        directory.file("tool", b"#!/no/such/interp\n", 0o755);
        let path = format!("/no/such/directory:{}:/", directory.0.display());
        let mut program = Program::new(&["tool".into()], &[("PATH".into(), path.into())]).unwrap();
        let refusal = program.execute();
        assert_eq!(refusal.candidate, 1);
        assert_eq!(refusal.cause, Cause::ScriptInterpreter);
        let mut program = Program::new(&["no-such-tool".into()], &[]).unwrap();
        let error = program.execute().explain(b"no-such-tool", program.candidates());
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("no directory of PATH") && cause.contains("/usr/bin"), "{cause}");
    }

    #[test]
    fn the_interpreter_of_this_program_is_read() {
        let exe = fs::read_link("/proc/self/exe").unwrap();
        let path = CString::new(exe.as_os_str().as_bytes()).unwrap();
        let mut head = [0; HEAD];
        let (file, bytes) = read_head(&path, &mut head).unwrap();
        let mut name = [0; 256];
        let interpreter = elf_interpreter(&file, bytes, &mut name).unwrap().to_str().unwrap().to_owned();
        assert!(interpreter.contains("/ld-"), "{interpreter}");
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_heads_never_panic(mut head: Vec<u8>, elf: bool) {
            if elf {
                head.splice(..0, *b"\x7fELF\x02\x01");
            }
            let _ = form(&head);
            let file: OwnedFd = fs::File::open("/dev/null").unwrap().into();
            let _ = elf_interpreter(&file, &head, &mut [0; 256]);
        }
    }
}
