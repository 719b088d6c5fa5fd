//! Looking from within namespaces that only a process with a single thread can join, user and time, or that take a user
//! namespace to be joined before: a short-lived child does it, which reads a few files or opens one descriptor for us.

use std::ffi::CStr;
use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};

/// How much is read at a time.
const CHUNK: usize = 64 * 1024;

/// Joins `namespaces`, in their order, in a child and returns what it reads there from each file below `directory`; `None`
/// for one that it cannot read to its end.
///
/// # Errors
/// Of fork(2), and of setns(2): EPERM without CAP_SYS_ADMIN in the namespace, EINVAL for the user namespace that we are in.
pub(crate) fn read_within(
    namespaces: &[BorrowedFd<'_>],
    directory: BorrowedFd<'_>,
    files: &[&CStr],
) -> io::Result<Vec<Option<Vec<u8>>>> {
    // Made before the fork, as the child must not allocate.
    let mut buffer = vec![0; CHUNK];
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let mut answer = Vec::new();
    let child = Child::start(|| report(namespaces, directory, files, &mut buffer, writer.as_fd()))?;
    drop(writer);
    let read = std::fs::File::from(reader).read_to_end(&mut answer);
    drop(child);
    read?;
    parse(&answer, files.len())
}

/// Joins `namespaces`, in their order, in a child and returns the descriptor that `open` makes there. It runs in a forked
/// child, so it may neither allocate nor take a lock.
///
/// # Errors
/// As [`read_within`], and of `open`.
pub(crate) fn open_within(
    namespaces: &[BorrowedFd<'_>],
    open: fn() -> rustix::io::Result<OwnedFd>,
) -> io::Result<OwnedFd> {
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let child = Child::start(|| {
        let opened = join(namespaces).and_then(|()| open());
        let errno = opened.as_ref().err().map_or(0, |errno| errno.raw_os_error()).to_ne_bytes();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds = opened.as_ref().map(|fd| [fd.as_fd()]);
        if let Ok(fds) = &fds {
            ancillary.push(SendAncillaryMessage::ScmRights(fds));
        }
        let _ = rustix::net::sendmsg(&theirs, &[io::IoSlice::new(&errno)], &mut ancillary, SendFlags::NOSIGNAL);
    })?;
    drop(theirs);
    let mut errno = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received =
        rustix::net::recvmsg(&ours, &mut [io::IoSliceMut::new(&mut errno)], &mut ancillary, RecvFlags::CMSG_CLOEXEC);
    drop(child);
    received?;
    let fd = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    match (fd, i32::from_ne_bytes(errno)) {
        (Some(fd), _) => Ok(fd),
        // It was killed before it could say anything.
        (None, 0) => Err(io::ErrorKind::UnexpectedEof.into()),
        (None, errno) => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// A forked child of ours; reaped when dropped.
struct Child(libc::pid_t);

impl Child {
    /// Runs `work` in a child. It must neither allocate nor take a lock: other threads of ours may have held them.
    fn start(work: impl FnOnce()) -> io::Result<Self> {
        // SAFETY: the child calls nothing but system calls, through wrappers that neither allocate nor lock, and leaves by
        // _exit(2), so it does not matter in which state other threads of ours left memory and locks.
        let pid = super::check(unsafe { libc::fork() })?;
        if pid == 0 {
            work();
            // SAFETY: ends the child without running anything of ours.
            unsafe { libc::_exit(0) }
        }
        Ok(Self(pid))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let mut status = 0;
        // SAFETY: waits for our own child; the kernel writes one int through the pointer.
        while unsafe { libc::waitpid(self.0, &raw mut status, 0) } < 0
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }
}

fn join(namespaces: &[BorrowedFd<'_>]) -> rustix::io::Result<()> {
    namespaces.iter().try_for_each(|namespace| rustix::thread::move_into_link_name_space(*namespace, None))
}

/// Each part of the answer is a length, or a negated errno, in four bytes, and as many bytes of content. The first is the
/// result of joining; those of a file end with an empty one.
fn report(
    namespaces: &[BorrowedFd<'_>],
    directory: BorrowedFd<'_>,
    files: &[&CStr],
    buffer: &mut [u8],
    pipe: BorrowedFd<'_>,
) {
    let joined = join(namespaces);
    if write_part(pipe, joined.map(|()| &b""[..])).is_err() || joined.is_err() {
        return;
    }
    for file in files {
        if pass_on(directory, file, buffer, pipe).is_err() {
            return;
        }
    }
}

/// Reads one file and writes what it reads. An error is one of writing.
fn pass_on(directory: BorrowedFd<'_>, file: &CStr, buffer: &mut [u8], pipe: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let file = match rustix::fs::openat(directory, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        Err(errno) => return write_part(pipe, Err(errno)),
    };
    loop {
        let read = rustix::io::read(&file, &mut *buffer);
        if read == Err(rustix::io::Errno::INTR) {
            continue;
        }
        write_part(pipe, read.map(|count| &buffer[..count]))?;
        if !matches!(read, Ok(1..)) {
            return Ok(());
        }
    }
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
    let mut part = || -> Option<Result<&[u8], i32>> {
        let (head, after) = rest.split_first_chunk::<4>()?;
        let head = i32::from_ne_bytes(*head);
        let Ok(length) = usize::try_from(head) else {
            rest = after;
            return Some(Err(head.wrapping_neg()));
        };
        let (content, after) = after.split_at_checked(length)?;
        rest = after;
        Some(Ok(content))
    };
    match part() {
        // It was killed before it could say anything.
        None => return Err(io::ErrorKind::UnexpectedEof.into()),
        Some(Err(errno)) => return Err(io::Error::from_raw_os_error(errno)),
        Some(Ok(_)) => {}
    }
    let mut file = || {
        let mut content = Vec::new();
        loop {
            match part()? {
                Ok(b"") => return Some(content),
                Ok(more) => content.extend_from_slice(more),
                Err(_) => return None,
            }
        }
    };
    Ok((0..files).map(|_| file()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proc() -> OwnedFd {
        rustix::fs::open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    #[test]
    fn our_own_user_namespace_cannot_be_joined_and_that_is_said() {
        let own = std::fs::File::open("/proc/self/ns/user").unwrap();
        let error = read_within(&[own.as_fd()], proc().as_fd(), &[c"self/uid_map"]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        let error = open_within(&[own.as_fd()], super::super::netlink::socket).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn files_are_read_within() {
        let files = [c"self/comm", c"no such file", c"thread-self/comm"];
        let read = read_within(&[], proc().as_fd(), &files).unwrap();
        let comm = std::fs::read("/proc/thread-self/comm").unwrap();
        assert_eq!((read[0].as_deref(), &read[1], read[2].as_deref()), (Some(&comm[..]), &None, Some(&comm[..])));
    }

    #[test]
    fn a_file_longer_than_any_buffer_is_read_whole() {
        use std::io::Write as _;
        let name = format!("nstool-child-{}", std::process::id());
        let content: Vec<u8> = (0..5 * CHUNK + 7).map(|place| place as u8).collect();
        std::fs::File::create(std::env::temp_dir().join(&name)).unwrap().write_all(&content).unwrap();
        let directory = std::fs::File::open(std::env::temp_dir()).unwrap();
        let read = read_within(&[], directory.as_fd(), &[&std::ffi::CString::new(name.clone()).unwrap()]).unwrap();
        std::fs::remove_file(std::env::temp_dir().join(name)).unwrap();
        assert!(read[0].as_ref() == Some(&content));
    }

    #[test]
    fn a_descriptor_is_passed_out() {
        let error = open_within(&[], || Err(rustix::io::Errno::NOENT)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        let socket = open_within(&[], super::super::netlink::socket).unwrap();
        let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&socket).unwrap().st_mode);
        assert_eq!(kind, rustix::fs::FileType::Socket);
        assert!(rustix::io::fcntl_getfd(&socket).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_answers_never_panic(answer: Vec<u8>, files in 0usize..5) {
            let _ = parse(&answer, files);
        }
    }
}
