//! The process that guards another: it holds a socket whose other end is its maker's, is told by it whom to guard, and
//! sends that process a signal when the socket closes.
//!
//! A copy of our memory for it would cost more than all it does, so it shares ours (CLONE_VM), as a thread does, but has its
//! own descriptors and outlives us. Two share one errno then. So while its maker lives nothing here may fail within the C
//! library, allocate, take a lock or panic: the calls are rustix's, which go to the kernel themselves, or such as cannot
//! fail.

use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::NonNull;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use super::pidfd;
use super::process::{self, Fork, SignalSet};
use crate::id::Pid;

/// Whose memory a guard has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Ours, if close_range(2) can be called.
    Shared,
    /// A copy: whoever shares memory with another process cannot join a time namespace (EUSERS, see setns(2)).
    Copied,
}

/// What a guard that shares our memory runs on. To be dropped after its end.
#[derive(Debug)]
pub(crate) struct Stack(NonNull<c_void>);

/// Far more than it uses, in whole pages of any size.
const STACK_SIZE: usize = 256 * 1024;
/// One page of any size, below the stack.
const GAP: usize = 64 * 1024;

/// What it is given, at the upper end of its stack.
#[repr(align(16))]
struct Task {
    lifeline: RawFd,
    signal: i32,
}

/// Starts a guard at the other end of `lifeline`. Returns its number, and its stack if it has one of its own.
///
/// # Errors
/// No process or memory left.
pub(crate) fn start(lifeline: OwnedFd, signal: i32, memory: Memory) -> io::Result<(Pid, Option<Stack>)> {
    if memory == Memory::Shared && process::has_close_range() {
        match share(&lifeline, signal) {
            // Our children's time namespace is another than ours (clone(2)).
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            result => return result.map(|(pid, stack)| (pid, Some(stack))),
        }
    }
    match process::fork()? {
        Fork::Child => guard(lifeline.as_raw_fd(), signal),
        Fork::Parent(pid) => Ok((pid, None)),
    }
}

fn share(lifeline: &OwnedFd, signal: i32) -> io::Result<(Pid, Stack)> {
    let stack = Stack::new()?;
    let task = Task { lifeline: lifeline.as_raw_fd(), signal };
    // SAFETY: the place is within the mapping, aligned, and nobody else's.
    let place = unsafe {
        let place = stack.0.as_ptr().byte_add(GAP + STACK_SIZE - size_of::<Task>()).cast::<Task>();
        place.write(task);
        place
    };
    let flags = libc::CLONE_VM | libc::SIGCHLD;
    // SAFETY: the stack grows down from the task, aligned as every ABI wants it, and stays until the guard has ended. What it
    // runs never returns, and touches no memory but that stack: see the module.
    let pid = super::check(unsafe { libc::clone(begin, place.cast(), flags, place.cast()) })?;
    Ok((pid, stack))
}

extern "C" fn begin(task: *mut c_void) -> libc::c_int {
    // SAFETY: `share` put it there, for this process alone.
    let Task { lifeline, signal } = unsafe { task.cast::<Task>().read() };
    guard(lifeline, signal)
}

impl Stack {
    fn new() -> io::Result<Self> {
        let size = GAP + STACK_SIZE;
        // SAFETY: a new mapping, wherever the kernel likes.
        let start =
            unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), size, ProtFlags::empty(), MapFlags::PRIVATE) }?;
        let stack = NonNull::new(start).map(Self).ok_or(io::ErrorKind::OutOfMemory)?;
        let flags = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: the pages are ours, and nobody's yet; an overflow meets those below, which cannot be written.
        unsafe { rustix::mm::mprotect(start.byte_add(GAP), STACK_SIZE, flags) }?;
        Ok(stack)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: nobody runs on it any more, and nothing in it is borrowed.
        let _ = unsafe { rustix::mm::munmap(self.0.as_ptr(), GAP + STACK_SIZE) };
    }
}

/// What the guarding process does.
fn guard(lifeline: RawFd, signal: i32) -> ! {
    // Out of reach of what is sent to our process group or typed at the terminal.
    let _ = rustix::process::setsid();
    SignalSet::all().block_exactly();
    let _ = rustix::thread::set_name(c"nstool-guard");
    process::keep_only(&[lifeline]);
    // SAFETY: it is ours, and stays open until our end.
    let lifeline = unsafe { BorrowedFd::borrow_raw(lifeline) };
    // An end without a word: there was nobody to guard.
    let Some(child) = receive(lifeline) else { process::exit_now(0) };
    loop {
        let mut polled = [PollFd::from_borrowed_fd(lifeline, PollFlags::IN), PollFd::new(&child, PollFlags::IN)];
        let result = poll(&mut polled, None);
        if result == Err(rustix::io::Errno::INTR) {
            continue;
        }
        // A pidfd is readable when the process has ended: nothing is left to guard.
        if !polled[1].revents().contains(PollFlags::IN) {
            // The maker is gone, so it may fail.
            let _ = pidfd::send_signal(child.as_fd(), signal);
        }
        process::exit_now(0);
    }
}

/// Waits for the pidfd of whom to guard.
fn receive(lifeline: BorrowedFd<'_>) -> Option<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0];
    loop {
        let mut place = [io::IoSliceMut::new(&mut word)];
        match rustix::net::recvmsg(lifeline, &mut place, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
            Ok(_) => break,
        }
    }
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    })
}
