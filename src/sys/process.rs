//! Processes: fork, signals by number, closing descriptors. What runs in a child before it executes its program allocates
//! nothing and takes no lock.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::Signal;

use super::check;
use super::probe::Interface;
use crate::id::Pid;
use crate::kind::NamespaceKind;

pub(crate) static CLOSE_RANGE: Interface = Interface::new("close_range(2)", "5.9", "/proc/self/fd");

/// Which side of a fork we are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The old one, with the number of the new.
    Parent(Pid),
}

/// Forks. ENOMEM: also that the init of the pid namespace we joined is dead (pid_namespaces(7)).
///
/// The callers have one thread, so that the child may use whatever the parent could.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: nstool forks with one thread only (the scan joins its own before it returns), so no lock is left held by
    // a thread that the child lacks.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Ends the process at once, without destructors or exit handlers: what a forked child must do.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: the call takes an integer and does not return.
    unsafe { libc::_exit(status) }
}

/// Returns the signal of a number, also a real-time one; `None` if there is none, or the C library uses it itself.
pub(crate) fn signal(number: i32) -> Option<Signal> {
    // SAFETY: these numbers are signals, and left to programs.
    let real_time = |number| unsafe { Signal::from_raw_unchecked(number) };
    let numbers = libc::SIGRTMIN()..=libc::SIGRTMAX();
    Signal::from_named_raw(number).or_else(|| numbers.contains(&number).then(|| real_time(number)))
}

/// Sends a signal to a process. ESRCH: it is gone.
pub(crate) fn kill(pid: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: the call takes two integers.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Sends a signal with a value, as sigqueue(3) does.
pub(crate) fn queue(pid: Pid, signal: i32, value: usize) -> io::Result<()> {
    let value = libc::sigval { sival_ptr: value as *mut libc::c_void };
    // SAFETY: the value is passed on as it is; nothing is read through it.
    check(unsafe { libc::sigqueue(pid, signal, value) }).map(drop)
}

/// What becomes of descriptors that are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// They are closed at once: for a helper process that uses none of them any more.
    Now,
    /// They close when a program is executed; until then, and if that fails, they are there.
    OnExec,
}

/// Closes every descriptor above 2 but those in `keep`, which is in ascending order. Where close_range(2) is lacking,
/// `proc` (a descriptor of `/proc`) tells which are open; without it, the numbers up to the limit are tried.
pub(crate) fn close_all_but(keep: &[RawFd], closing: Closing, proc: Option<BorrowedFd<'_>>) {
    close_from(3, keep, closing, proc);
}

/// Closes every descriptor but those in `keep`, which is in ascending order: for a helper process, which must hold nobody's
/// pipe open. Fails nowhere, and leaves errno alone, if [`has_close_range`].
pub(crate) fn keep_only(keep: &[RawFd]) {
    close_from(0, keep, Closing::Now, None);
}

fn close_from(lowest: RawFd, keep: &[RawFd], closing: Closing, proc: Option<BorrowedFd<'_>>) {
    let mut first = lowest as libc::c_uint;
    for &kept in keep.iter().filter(|fd| **fd >= lowest) {
        let kept = kept as libc::c_uint;
        if kept > first && !close_range(first, kept - 1, closing) {
            return close_one_by_one(lowest, keep, closing, proc);
        }
        first = first.max(kept + 1);
    }
    if !close_range(first, libc::c_uint::MAX, closing) {
        close_one_by_one(lowest, keep, closing, proc);
    }
}

/// Tells whether close_range(2) can be called. That the kernel has it does not say so: a filter may refuse it (EPERM).
pub(crate) fn has_close_range() -> bool {
    // Nothing is open where this looks.
    close_range(libc::c_uint::MAX, libc::c_uint::MAX, Closing::Now)
}

/// `CLOSE_RANGE_CLOEXEC`, since Linux 5.11.
const CLOSE_RANGE_CLOEXEC: libc::c_uint = 1 << 2;

fn close_range(first: libc::c_uint, last: libc::c_uint, closing: Closing) -> bool {
    let flags = if closing == Closing::OnExec { CLOSE_RANGE_CLOEXEC } else { 0 };
    let result = CLOSE_RANGE.attempt(|| {
        // SAFETY: the call takes integers; what is closed at once is not used any more (see `Closing::Now`).
        let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
        check(result as libc::c_int)
    });
    matches!(result, Some(Ok(_)))
}

fn close_one_by_one(lowest: RawFd, keep: &[RawFd], closing: Closing, proc: Option<BorrowedFd<'_>>) {
    use rustix::fs::{Mode, OFlags, RawDir};
    let close = |fd: RawFd| {
        if fd < lowest || keep.contains(&fd) {
            return;
        }
        match closing {
            // SAFETY: the caller uses none of them any more (see `Closing::Now`).
            Closing::Now => drop(unsafe { libc::close(fd) }),
            Closing::OnExec => close_on_exec(fd),
        }
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if let Some(Ok(list)) = proc.map(|proc| rustix::fs::openat(proc, c"self/fd", flags, Mode::empty())) {
        let mut space = [std::mem::MaybeUninit::uninit(); 4096];
        let mut entries = RawDir::new(&list, &mut space);
        // procfs lists by number, so closing behind the place that is read loses nothing.
        while let Some(Ok(entry)) = entries.next() {
            match entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
                Some(fd) if fd != list.as_raw_fd() => close(fd),
                _ => {}
            }
        }
        return;
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(65_536);
    (lowest..limit.min(1 << 20) as RawFd).for_each(close);
}

/// Tells whether we have supplementary groups.
pub(crate) fn has_groups() -> bool {
    // SAFETY: with a size of 0 the kernel only counts, and writes nothing.
    unsafe { libc::getgroups(0, std::ptr::null_mut()) != 0 }
}

/// Tells whether a descriptor is open.
pub(crate) fn is_open(fd: RawFd) -> bool {
    // SAFETY: the request takes no argument and changes nothing.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// Moves this thread into the namespace `fd`; EINVAL if it is not of `kind` (setns(2)).
pub(crate) fn set_namespace(fd: BorrowedFd<'_>, kind: NamespaceKind) -> io::Result<()> {
    // SAFETY: the call takes two integers.
    check(unsafe { libc::setns(fd.as_raw_fd(), kind.clone_flag() as libc::c_int) }).map(drop)
}

/// Sets a resource limit of this process; `None` is unlimited.
pub(crate) fn set_limit(resource: u32, soft: Option<u64>, hard: Option<u64>) -> io::Result<()> {
    let limit = libc::rlimit64 {
        rlim_cur: soft.unwrap_or(libc::RLIM64_INFINITY),
        rlim_max: hard.unwrap_or(libc::RLIM64_INFINITY),
    };
    // SAFETY: the kernel reads the structure during the call.
    check(unsafe { libc::setrlimit64(resource as _, &raw const limit) }).map(drop)
}

/// Lets a descriptor close at execve(2); a number that is not open is refused.
pub(crate) fn close_on_exec(fd: RawFd) {
    // SAFETY: the request takes an integer.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
}

/// Lets a descriptor stay open across execve(2).
pub(crate) fn keep_on_exec(fd: RawFd) {
    // SAFETY: the request takes an integer; a number that is not open is refused.
    unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
}

/// Tells whether a signal is ignored.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let mut found = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only writes the present one, into memory that is big enough; zeroed, that is
    // a valid one even if the call fails.
    let found = unsafe {
        libc::sigaction(signal, std::ptr::null(), found.as_mut_ptr());
        found.assume_init()
    };
    found.sa_sigaction == libc::SIG_IGN
}

/// By which others tell us to end.
const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Tells whether somebody asks for our end by this signal, and we were not started to ignore it (nohup(1)).
pub(crate) fn asks_for_our_end(signal: i32) -> bool {
    ENDING.contains(&signal) && !is_ignored(signal)
}

/// Tells whether such a signal, blocked, has come and was not read so far.
pub(crate) fn is_our_end_pending() -> bool {
    ENDING.into_iter().any(|signal| asks_for_our_end(signal) && is_any_pending(&[signal]))
}

/// A set of signals, as the kernel keeps it for a process.
#[derive(Clone, Copy)]
pub(crate) struct SignalSet(libc::sigset_t);

impl SignalSet {
    /// Returns the set of all signals (but the C library's own two).
    pub(crate) fn all() -> Self {
        let mut set = std::mem::MaybeUninit::uninit();
        // SAFETY: sigfillset initialises the whole set.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            Self(set.assume_init())
        }
    }

    /// Makes this the set of blocked signals and returns the one before.
    pub(crate) fn block_exactly(&self) -> Self {
        let mut before = Self::all();
        // SAFETY: both pointers are to sets that live until the call returns; it cannot fail with these arguments.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const self.0, &raw mut before.0) };
        before
    }

    /// Opens a descriptor from which blocked signals of this set are read.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        // SAFETY: the set is read during the call; on success the new descriptor is nobody else's.
        unsafe {
            let fd = check(libc::signalfd(-1, &raw const self.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
            Ok(OwnedFd::from_raw_fd(fd))
        }
    }
}

/// Lets a blocked signal that was read have the effect it would have had otherwise, which may be our end.
pub(crate) fn let_through(signal: i32) {
    let _ = kill(rustix::process::getpid().as_raw_nonzero().get(), signal);
    let_pending_through(signal);
}

/// The same for one that was not read, if it has come.
pub(crate) fn let_pending_through(signal: i32) {
    let mut one = SignalSet::all();
    // SAFETY: the set is initialised, and emptied and filled in place; it lives until the calls return, which cannot fail
    // with these arguments.
    unsafe {
        libc::sigemptyset(&raw mut one.0);
        libc::sigaddset(&raw mut one.0, signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const one.0, std::ptr::null_mut());
        libc::sigprocmask(libc::SIG_BLOCK, &raw const one.0, std::ptr::null_mut());
    }
}

/// Lets all signals through.
pub(crate) fn unblock_all() {
    let mut none = SignalSet::all();
    // SAFETY: the set is initialised, and emptied in place.
    unsafe { libc::sigemptyset(&raw mut none.0) };
    none.block_exactly();
}

/// Tells whether one of these blocked signals has come, and was not read so far.
fn is_any_pending(signals: &[i32]) -> bool {
    let mut set = SignalSet::all();
    // SAFETY: the call writes a set that lives until it returns.
    if unsafe { libc::sigpending(&raw mut set.0) } < 0 {
        return false;
    }
    // SAFETY: the set is initialised, and only read.
    signals.iter().any(|signal| unsafe { libc::sigismember(&raw const set.0, *signal) == 1 })
}

/// A signal that was read from a [descriptor](SignalSet::descriptor).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) signal: i32,
    /// How it was sent: `SI_USER`, `SI_KERNEL`, `SI_QUEUE`, …
    pub(crate) code: i32,
    /// The value of sigqueue(3).
    pub(crate) value: usize,
}

impl Received {
    /// Tells whether a terminal sent it: by a key, a change of size, or a hangup.
    pub(crate) fn is_from_terminal(&self) -> bool {
        let sent = [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGHUP, libc::SIGWINCH];
        self.code == libc::SI_KERNEL && sent.contains(&self.signal)
    }
}

/// Reads the next signal; `None` when there is none.
pub(crate) fn next_signal(descriptor: BorrowedFd<'_>) -> Option<Received> {
    let mut bytes = [0u8; size_of::<libc::signalfd_siginfo>()];
    let count = rustix::io::read(descriptor, &mut bytes).ok()?;
    if count != bytes.len() {
        return None;
    }
    // SAFETY: the kernel filled the whole structure, of which any bit pattern is valid.
    let info: libc::signalfd_siginfo = unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast()) };
    Some(Received { signal: info.ssi_signo as i32, code: info.ssi_code, value: info.ssi_ptr as usize })
}

/// Ignores a signal.
#[cfg(feature = "cli")]
pub(crate) fn ignore(signal: i32) {
    // SAFETY: SIG_IGN installs no handler of ours.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Gives a signal its default effect.
pub(crate) fn default_action(signal: i32) {
    // SAFETY: SIG_DFL installs no handler of ours.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    /// Runs `body` in a forked child and returns its exit status.
    fn in_child(body: impl FnOnce() -> i32) -> i32 {
        match fork().unwrap() {
            Fork::Child => exit_now(body()),
            Fork::Parent(pid) => {
                let pid = rustix::process::Pid::from_raw(pid);
                let (_, status) =
                    rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()).unwrap().unwrap();
                status.exit_status().unwrap()
            }
        }
    }

    #[test]
    fn only_the_chosen_descriptors_stay_open() {
        let files: Vec<OwnedFd> = (0..4).map(|_| std::fs::File::open("/dev/null").unwrap().into()).collect();
        let mut numbers: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
        numbers.sort_unstable();
        let proc = std::fs::File::open("/proc").unwrap();
        let ways: [fn(&[RawFd], BorrowedFd<'_>); 3] = [
            |keep, proc| close_all_but(keep, Closing::Now, Some(proc)),
            |keep, proc| close_one_by_one(3, keep, Closing::Now, Some(proc)),
            |keep, _| close_one_by_one(3, keep, Closing::Now, None),
        ];
        for way in ways {
            let status = in_child(|| {
                way(&[numbers[1], numbers[3]], proc.as_fd());
                let open = numbers.iter().fold(0, |open, fd| open << 1 | i32::from(is_open(*fd)));
                open | i32::from(is_open(proc.as_raw_fd())) << 4 | i32::from(!is_open(1)) << 5
            });
            assert_eq!(status, 0b0101);
        }
    }

    #[test]
    fn a_helper_keeps_nothing_else_also_if_a_standard_stream_was_closed_before() {
        let file: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
        let kept = file.as_raw_fd();
        let ways: [fn(&[RawFd]); 2] = [keep_only, |keep| close_one_by_one(0, keep, Closing::Now, None)];
        for way in ways {
            // Of the kept ones, one is a standard stream.
            let status = in_child(|| {
                // SAFETY: nothing uses it here.
                unsafe { libc::close(0) };
                way(&[2, kept]);
                i32::from((0..1024).any(|fd| is_open(fd) != (fd == 2 || fd == kept)))
            });
            assert_eq!(status, 0);
        }
    }

    #[test]
    fn close_range_is_of_no_use_where_a_filter_refuses_it() {
        use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
        let rules = [(libc::SYS_close_range, Vec::new())].into_iter().collect();
        let refused = SeccompAction::Errno(libc::EPERM as u32);
        let machine = std::env::consts::ARCH.try_into().unwrap();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, machine).unwrap();
        let filter = BpfProgram::try_from(filter).unwrap();
        let status = in_child(|| {
            if !has_close_range() {
                return 0;
            }
            if apply_filter(&filter).is_err() {
                return 1;
            }
            // Asked again, it is not taken for usable because it is there.
            let at_first = has_close_range();
            i32::from(at_first || has_close_range()) << 1
        });
        assert_eq!(status, 0);
    }

    #[test]
    fn a_blocked_signal_is_read_with_its_value() {
        let status = in_child(|| {
            let set = SignalSet::all();
            set.block_exactly();
            let Ok(descriptor) = set.descriptor() else { return 1 };
            let pid = rustix::process::getpid().as_raw_nonzero().get();
            if is_any_pending(&[libc::SIGRTMIN()]) || queue(pid, libc::SIGRTMIN(), 77).is_err() {
                return 2;
            }
            if !is_any_pending(&[libc::SIGTERM, libc::SIGRTMIN()]) {
                return 4;
            }
            match next_signal(descriptor.as_fd()) {
                Some(got) if (got.signal, got.value) == (libc::SIGRTMIN(), 77) && got.code == libc::SI_QUEUE => 0,
                _ => 3,
            }
        });
        assert_eq!(status, 0);
    }
}
