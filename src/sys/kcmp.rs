//! kcmp(2): whether two threads share something.

use std::cmp::Ordering;
use std::io;

use super::probe::Interface;
use crate::id::Pid;

pub(crate) static KCMP: Interface =
    Interface::new("kcmp(2)", "3.5", "descriptors of threads with a table of their own are counted as hidden");

/// `KCMP_FILES` of the kernel's `include/uapi/linux/kcmp.h`.
const KCMP_FILES: libc::c_int = 2;

/// Compares the tables of descriptors of two threads, in an order of the kernel's own that lasts while it runs; `None`
/// where there is no such call. EPERM: no ptrace rights over one of them. ESRCH: one is gone.
pub(crate) fn descriptor_tables(first: Pid, second: Pid) -> Option<io::Result<Ordering>> {
    KCMP.attempt(|| {
        let (none, unused): (libc::c_ulong, libc::c_ulong) = (0, 0);
        // SAFETY: the call takes integers.
        let result = unsafe { libc::syscall(libc::SYS_kcmp, first, second, KCMP_FILES, none, unused) };
        Ok(match super::check(result as libc::c_int)? {
            0 => Ordering::Equal,
            1 => Ordering::Less,
            // 3, different without an order, is not answered by any kernel so far.
            _ => Ordering::Greater,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_their_table_until_one_gives_it_up() {
        let me = std::process::id() as Pid;
        let ask = |other| descriptor_tables(me, other).map(|answer| answer.map(Ordering::is_eq).ok());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let thread = rustix::thread::gettid().as_raw_nonzero().get();
                // A seccomp filter may forbid the call.
                let Some(Some(same)) = ask(thread) else { return };
                assert!(same);
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES).unwrap();
                assert_eq!(ask(thread), Some(Some(false)));
            });
        });
    }
}
