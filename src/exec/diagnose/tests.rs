use super::*;
use crate::exec::Program;
use std::ffi::CString;
use std::fs;
use std::os::fd::AsFd;
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
    let refusals = std::iter::repeat_with(|| program.execute(None));
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
        ("script", &b"#! /no/such/interp -x\n"[..], 0o755, 127, "interpreter of its #! line is not: /no/such/interp"),
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
    assert!(explain(&directory.0).1.contains("is a directory"));
    assert!(explain(Path::new("/dev/null")).1.contains("is no regular file"));
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
            let refusal = program.execute(None);
            assert_eq!((refusal.cause, refusal.exit_status()), (Cause::MagicLink, 126));
        }
    }
    assert!(!leads_through_magic(c"/bin/sh", None) && !leads_through_magic(c"/no/such/file", None));
}

#[test]
fn a_file_that_is_there_tells_more_than_a_place_without() {
    let directory = Directory::new("path");
    directory.file("tool", b"#!/no/such/interp\n", 0o755);
    let path = format!("/no/such/directory:{}:/", directory.0.display());
    let mut program = Program::new(&["tool".into()], &[("PATH".into(), path.into())]).unwrap();
    let refusal = program.execute(None);
    assert_eq!(refusal.candidate, 1);
    assert_eq!(refusal.cause, Cause::ScriptInterpreter);
    let mut program = Program::new(&["no-such-tool".into()], &[]).unwrap();
    let error = program.execute(None).explain(b"no-such-tool", program.candidates());
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("no directory of PATH") && cause.contains("/usr/bin"), "{cause}");
}

#[test]
fn the_interpreter_of_this_program_is_read() {
    let exe = fs::read_link("/proc/self/exe").unwrap();
    let path = CString::new(exe.as_os_str().as_bytes()).unwrap();
    let mut head = [0; HEAD];
    let (file, bytes) = read_head(&path, &mut head, None).unwrap();
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

#[test]
fn a_directory_that_may_not_be_searched_is_told_by_name() {
    let directory = Directory::new("closed");
    let closed = directory.0.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(closed.join("script"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o644)).unwrap();
    let path = closed.join("script");
    let root = rustix::process::geteuid().is_root();
    // Root may search every directory, so another user tries, in a process of its own.
    let (mut answer, pipe) = std::io::pipe().unwrap();
    let child = crate::exec::Child::fork().unwrap().unwrap_or_else(|| {
        if root {
            let nobody = rustix::process::Uid::from_raw(65534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        let (status, cause) = explain(&path);
        rustix::io::write(&pipe, format!("{status} {cause}").as_bytes()).unwrap();
        crate::sys::process::exit_now(0)
    });
    drop(pipe);
    let said = std::io::read_to_string(&mut answer).unwrap();
    child.wait(rustix::process::WaitOptions::empty()).unwrap();
    let expected = format!("directory {} has no permission to be searched (x)", closed.display());
    assert!(said.starts_with("126 ") && said.ends_with(&expected), "{said}");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn only_regular_files_are_opened() {
    let proc = crate::proc::Proc::open().unwrap();
    let mut head = [0; HEAD];
    for path in [c"/dev/null", c"/proc", c"/no/such/file"] {
        assert!(read_head(path, &mut head, Some(proc.as_fd())).is_none(), "{path:?}");
    }
    assert!(read_head(c"/etc/passwd", &mut head, Some(proc.as_fd())).is_some());
}
