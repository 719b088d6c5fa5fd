//! Reading a few files from within namespaces that only a process with a single thread can join, user and time, or that
//! take a user namespace to be joined before: a short-lived child does it.

use std::ffi::CStr;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{CWD, Mode, OFlags};

/// Joins `namespaces`, in their order, in a child and returns what it reads there from each file; `None` for one that it
/// cannot read.
///
/// # Errors
/// Of fork(2), and of setns(2): EPERM without CAP_SYS_ADMIN in the namespace, EINVAL for the user namespace that we are in.
pub(crate) fn read_within(namespaces: &[BorrowedFd<'_>], files: &[&CStr]) -> io::Result<Vec<Option<Vec<u8>>>> {
    // Made before the fork, as the child must not allocate; what does not fit is left out.
    let mut buffer = vec![0; 1 << 20];
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: the child calls nothing but system calls, through wrappers that neither allocate nor lock, and leaves by
    // _exit(2), so it does not matter in which state other threads of ours left memory and locks.
    let pid = super::check(unsafe { libc::fork() })?;
    if pid == 0 {
        report(namespaces, files, &mut buffer, writer.as_fd());
        // SAFETY: ends the child without running anything of ours.
        unsafe { libc::_exit(0) }
    }
    drop(writer);
    let mut answer = Vec::new();
    let read = std::fs::File::from(reader).read_to_end(&mut answer);
    let mut status = 0;
    // SAFETY: waits for our own child; the kernel writes one int through the pointer.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
    read?;
    parse(&answer, files.len())
}

/// Each part of the answer is a length, or a negated errno, in four bytes, and as many bytes of content. The first is the
/// result of joining.
fn report(namespaces: &[BorrowedFd<'_>], files: &[&CStr], buffer: &mut [u8], pipe: BorrowedFd<'_>) {
    let mut join = namespaces.iter().map(|namespace| rustix::thread::move_into_link_name_space(*namespace, None));
    let joined = join.find(Result::is_err).unwrap_or(Ok(()));
    if write_part(pipe, joined.map(|()| &b""[..])).is_err() || joined.is_err() {
        return;
    }
    for file in files {
        let content = read_whole(file, buffer).map(|length| &buffer[..length]);
        if write_part(pipe, content).is_err() {
            return;
        }
    }
}

fn read_whole(file: &CStr, buffer: &mut [u8]) -> rustix::io::Result<usize> {
    let file = rustix::fs::openat(CWD, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut length = 0;
    while length < buffer.len() {
        match rustix::io::read(&file, &mut buffer[length..])? {
            0 => break,
            count => length += count,
        }
    }
    Ok(length)
}

fn write_part(pipe: BorrowedFd<'_>, part: rustix::io::Result<&[u8]>) -> rustix::io::Result<()> {
    let (head, mut rest) = match part {
        Ok(content) => (content.len() as i32, content),
        Err(errno) => (-errno.raw_os_error(), &b""[..]),
    };
    rustix::io::write(pipe, &head.to_ne_bytes())?;
    while !rest.is_empty() {
        rest = &rest[rustix::io::write(pipe, rest)?..];
    }
    Ok(())
}

fn parse(answer: &[u8], files: usize) -> io::Result<Vec<Option<Vec<u8>>>> {
    let mut rest = answer;
    let mut part = || -> Option<Result<Vec<u8>, i32>> {
        let (head, after) = rest.split_first_chunk::<4>()?;
        let head = i32::from_ne_bytes(*head);
        let Ok(length) = usize::try_from(head) else {
            rest = after;
            return Some(Err(-head));
        };
        let (content, after) = after.split_at_checked(length)?;
        rest = after;
        Some(Ok(content.to_vec()))
    };
    match part() {
        // It was killed before it could say anything.
        None => Err(io::ErrorKind::UnexpectedEof.into()),
        Some(Err(errno)) => Err(io::Error::from_raw_os_error(errno)),
        Some(Ok(_)) => Ok((0..files).map(|_| part().and_then(Result::ok)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_user_namespace_cannot_be_joined_and_that_is_said() {
        let own = std::fs::File::open("/proc/self/ns/user").unwrap();
        let error = read_within(&[own.as_fd()], &[c"/proc/self/uid_map"]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn files_are_read_within() {
        // Joining our own ipc namespace needs CAP_SYS_ADMIN, and changes nothing.
        let own = std::fs::File::open("/proc/self/ns/ipc").unwrap();
        let Ok(read) = read_within(&[own.as_fd()], &[c"/proc/self/comm", c"/no/such/file"]) else { return };
        assert_eq!(read[0].as_deref(), Some(&std::fs::read("/proc/thread-self/comm").unwrap()[..]));
        assert_eq!(read[1], None);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_answers_never_panic(answer: Vec<u8>, files in 0usize..5) {
            let _ = parse(&answer, files);
        }
    }
}
