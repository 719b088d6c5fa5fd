//! What we were started with. Before main() the standard library opens /dev/null in the place of closed standard streams,
//! after which nobody can tell; so this looks earlier.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// Which of descriptors 0 to 2 were closed.
static CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);

/// Tells whether the program was started without a stdout, so that what is written there is lost.
pub fn stdout_was_closed() -> bool {
    standard_were_closed().any(|fd| fd == libc::STDOUT_FILENO)
}

/// Returns which of descriptors 0 to 2 the program was started without.
pub(crate) fn standard_were_closed() -> impl Iterator<Item = RawFd> {
    (0..).zip(&CLOSED).filter(|(_, closed)| closed.load(Ordering::Relaxed)).map(|(fd, _)| fd)
}

/// Tells whether the program was started with SIGPIPE ignored, which systemd does with its services, say. Later it always
/// is: the standard library sees to that.
pub(crate) fn sigpipe_was_ignored() -> bool {
    SIGPIPE_IGNORED.load(Ordering::Relaxed)
}

extern "C" fn look() {
    for (fd, closed) in (0..).zip(&CLOSED) {
        closed.store(!super::process::is_open(fd), Ordering::Relaxed);
    }
    SIGPIPE_IGNORED.store(super::process::is_ignored(libc::SIGPIPE), Ordering::Relaxed);
}

// SAFETY: the section holds functions of just this type, which the C library calls one after the other before main(), on
// the one thread there is; this one needs nothing that main() would set up: it makes system calls and stores flags.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;
