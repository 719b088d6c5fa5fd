//! What we were started with. The first thing done is to fill the places of closed standard streams, after which nobody
//! can tell; so this looks earlier. In the program alone (feature `cli`): a library runs nothing before
//! the main() of others, so there all counts as open, and no signal as ignored.

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Which of descriptors 0 to 2 were closed.
static CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);

/// Tells whether the program was started without a stdout, so that what is written there is lost.
#[cfg(feature = "cli")]
pub fn stdout_was_closed() -> bool {
    standard_were_closed().any(|fd| fd == libc::STDOUT_FILENO)
}

/// Returns those of descriptors 0 to 2 in whose places /dev/null was put at the beginning, unless something else was put
/// there since.
pub(crate) fn fillers() -> impl Iterator<Item = RawFd> {
    standard_were_closed().filter(|fd| {
        // SAFETY: nobody closes them, and one that is not open would only be refused.
        let fd = unsafe { BorrowedFd::borrow_raw(*fd) };
        rustix::fs::fstat(fd).is_ok_and(|stat| stat.st_rdev == rustix::fs::makedev(1, 3))
    })
}

/// Returns which of descriptors 0 to 2 the program was started without.
fn standard_were_closed() -> impl Iterator<Item = RawFd> {
    (0..).zip(&CLOSED).filter(|(_, closed)| closed.load(Ordering::Relaxed)).map(|(fd, _)| fd)
}

/// Tells whether the program was started with SIGPIPE ignored, which systemd does with its services, say. Later it always
/// is (see [`begin`]).
pub(crate) fn sigpipe_was_ignored() -> bool {
    SIGPIPE_IGNORED.load(Ordering::Relaxed)
}

/// Does what the standard library does at the beginning of a program and ours needs, for one that begins without it: fills
/// the places of closed standard streams, so that no other file gets there, and ignores SIGPIPE, so that writing to a
/// closed pipe is an error and not the end.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub fn begin() {
    use std::os::fd::IntoRawFd;
    for fd in standard_were_closed() {
        // It gets the lowest number that is free.
        if filler().map(IntoRawFd::into_raw_fd) != Ok(fd) {
            std::process::abort();
        }
    }
    super::process::ignore(libc::SIGPIPE);
}

/// Opens /dev/null. In a root that has none, where the standard library would give up: a pipe that nobody writes to, as
/// empty, and as closed to writing; what we execute finds the place closed, as it was.
#[cfg(feature = "cli")]
fn filler() -> rustix::io::Result<std::os::fd::OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::open(c"/dev/null", OFlags::RDWR, Mode::empty())
        .or_else(|_| Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?.0))
}

#[cfg(feature = "cli")]
extern "C" fn look() {
    for (fd, closed) in (0..).zip(&CLOSED) {
        closed.store(!super::process::is_open(fd), Ordering::Relaxed);
    }
    SIGPIPE_IGNORED.store(super::process::is_ignored(libc::SIGPIPE), Ordering::Relaxed);
}

// SAFETY: the section holds functions of just this type, which the C library calls one after the other before main(), on
// the one thread there is; this one needs nothing that main() would set up: it makes system calls and stores flags.
#[cfg(feature = "cli")]
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;
