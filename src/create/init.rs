//! PID 1: reaps whatever is orphaned to it, passes signals on to the command, and ends as the command ends.

use std::os::fd::{AsFd, AsRawFd, RawFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{DumpableBehavior, WaitOptions};

use super::talk::{Speaker, Word};
use crate::exec::Ending;
use crate::id::Pid;
use crate::sys::process::{self, Closing, SignalSet};

/// What [`hide`] changed.
pub(super) struct Hidden(Option<DumpableBehavior>);

/// Hides us from what runs inside, which may be root there: it shall not trace us, nor come by our file through
/// /proc/1/exe. To be done before the command is forked, which undoes it for itself.
pub(super) fn hide() -> Hidden {
    let before = rustix::process::dumpable_behavior().ok();
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = rustix::thread::set_name(c"nstool-init");
    Hidden(before)
}

impl Hidden {
    /// In the command's process, whose name the program brings.
    pub(super) fn undo(self) {
        if let Some(before) = self.0 {
            let _ = rustix::process::set_dumpable_behavior(before);
        }
    }
}

/// Looks after `command`, our child, until it has ended, then ends; the kernel kills whatever is left in the namespace.
/// All signals are blocked, and we are [hidden](hide).
pub(super) fn run(command: Pid, speaker: &Speaker, tell_reaped: bool, keep: Option<RawFd>) -> ! {
    let mut kept = [speaker.as_fd().as_raw_fd(), keep.unwrap_or(-1)];
    kept.sort_unstable();
    process::close_all_but(&kept, Closing::Now, None);
    let Ok(signals) = SignalSet::all().descriptor() else { process::exit_now(125) };
    loop {
        let mut polled = [PollFd::new(&signals, PollFlags::IN)];
        let _ = poll(&mut polled, None);
        while let Some(received) = process::next_signal(signals.as_fd()) {
            if received.signal == libc::SIGCHLD {
                reap(command, speaker, tell_reaped);
            } else if !received.is_from_terminal() {
                // What that sends has come to the command as well, which is in the same foreground group.
                let _ = process::kill(command, received.signal);
            }
        }
    }
}

/// Reaps all that have ended: several may have come with one SIGCHLD.
fn reap(command: Pid, speaker: &Speaker, tell_reaped: bool) {
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
        let pid = pid.as_raw_nonzero().get();
        if let Some(signal) = status.stopping_signal() {
            if pid == command {
                speaker.say(Word::Stopped(signal));
            }
            continue;
        }
        let ending = match (status.exit_status(), status.terminating_signal()) {
            (Some(status), _) => Ending::Exited(status as u8),
            (None, Some(signal)) => Ending::Signaled(signal),
            (None, None) => continue,
        };
        if pid == command {
            speaker.say(Word::Ended(ending));
            // An init cannot end by a signal of its own.
            process::exit_now(match ending {
                Ending::Exited(status) => i32::from(status),
                Ending::Signaled(signal) => 128 + signal,
            });
        }
        if tell_reaped {
            speaker.say(Word::Reaped(pid, ending));
        }
    }
}
