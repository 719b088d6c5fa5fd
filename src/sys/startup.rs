//! What we were started with. Before main() the standard library opens /dev/null in the place of closed standard streams,
//! after which nobody can tell; so this looks earlier.

use std::sync::atomic::{AtomicBool, Ordering};

static STDOUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Tells whether the program was started without a stdout, so that what is written there is lost.
pub fn stdout_was_closed() -> bool {
    STDOUT_WAS_CLOSED.load(Ordering::Relaxed)
}

extern "C" fn look() {
    // SAFETY: the call takes two integers, and changes nothing.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    STDOUT_WAS_CLOSED.store(flags < 0, Ordering::Relaxed);
}

// SAFETY: the section holds functions of just this type, which the C library calls one after the other before main(), on
// the one thread there is; this one needs nothing that main() would set up: it makes one system call and stores a flag.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;
