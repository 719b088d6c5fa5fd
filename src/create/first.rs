//! A command that is PID 1: the kernel drops what it has no handler for, even what would end or stop any other process
//! (pid_namespaces(7)). From outside, SIGKILL and SIGSTOP do act on it; so it gets what its signal would have done.

use crate::exec::Ending;
use crate::id::Pid;
use crate::proc::Proc;
use crate::sys::process;

/// The command, our child.
pub(super) struct First {
    pid: Pid,
    /// What it was killed for.
    ended_by: Option<i32>,
    /// What it was stopped for.
    stopped_by: Option<i32>,
}

/// What a signal does to a process that does not care for it (signal(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    End,
    Stop,
    Nothing,
}

impl First {
    pub(super) fn new(pid: Pid) -> Self {
        Self { pid, ended_by: None, stopped_by: None }
    }

    /// Lets it suffer the default effect of a signal; `false` if it is one to pass on.
    pub(super) fn suffer(&mut self, signal: i32) -> bool {
        let effect = effect(signal);
        if effect == Effect::Nothing || !is_left_to_default(self.pid, signal) {
            return false;
        }
        if effect == Effect::End {
            self.ended_by = self.ended_by.or(Some(signal));
            let _ = process::kill(self.pid, libc::SIGKILL);
        } else if crate::exec::is_watched() {
            self.stopped_by = Some(signal);
            let _ = process::kill(self.pid, libc::SIGSTOP);
        }
        true
    }

    /// Tells for which signal it was stopped by this one.
    pub(super) fn stopped_for(&mut self, signal: i32) -> Option<i32> {
        self.stopped_by.take().filter(|_| signal == libc::SIGSTOP)
    }

    /// How it ended, if that was our doing.
    pub(super) fn ended_by(&self) -> Option<Ending> {
        self.ended_by.map(Ending::Signaled)
    }
}

fn effect(signal: i32) -> Effect {
    match signal {
        libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => Effect::Stop,
        libc::SIGCHLD | libc::SIGCONT | libc::SIGURG | libc::SIGWINCH => Effect::Nothing,
        // No more than these is sent by anybody who wants an end; what a fault sends, our own would be.
        1..=31 => Effect::End,
        _ if signal >= libc::SIGRTMIN() => Effect::End,
        _ => Effect::Nothing,
    }
}

/// Tells whether a process neither catches, ignores nor blocks a signal. Of one that cannot be read this is not said.
fn is_left_to_default(pid: Pid, signal: i32) -> bool {
    // Below a /proc of another pid namespace the number is somebody else.
    if Proc::trouble().is_some() {
        return false;
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    ["SigBlk:", "SigIgn:", "SigCgt:"].into_iter().all(|name| {
        let set = status.lines().find_map(|line| line.strip_prefix(name));
        let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        set.is_some_and(|set| set & 1 << (signal - 1) == 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_their_default_effects() {
        for (signal, what) in [
            (libc::SIGTERM, Effect::End),
            (libc::SIGRTMAX(), Effect::End),
            (libc::SIGTTIN, Effect::Stop),
            (libc::SIGWINCH, Effect::Nothing),
        ] {
            assert_eq!(effect(signal), what, "{signal}");
        }
    }

    #[test]
    fn what_is_ignored_is_not_left_to_default() {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        // As Rust programs do at their start.
        assert!(!is_left_to_default(own, libc::SIGPIPE));
        assert!(is_left_to_default(own, libc::SIGUSR2));
        assert!(!is_left_to_default(0, libc::SIGUSR2));
    }
}
