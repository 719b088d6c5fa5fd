//! `/proc/PID/stat` (proc_pid_stat(5)).

use crate::id::Pid;

/// From the kernel's `include/linux/sched.h`; the same since Linux 2.6.
const PF_EXITING: u32 = 4;

/// What nstool uses of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The process id, in the pid namespace of the procfs.
    pub pid: Pid,
    /// The name of the leader thread: up to 15 bytes (63 for kernel threads) of the process's own choice.
    pub comm: Vec<u8>,
    /// The state's letter, such as `S`; `Z` is a zombie.
    pub state: u8,
    /// The parent; 0 at the top of a pid namespace.
    pub parent: Pid,
    /// Whether the kernel is ending it, or has (the flag PF_EXITING).
    pub exiting: bool,
    /// How many threads.
    pub threads: u32,
    /// When it started, in clock ticks after boot: together with the id it names one process for good.
    pub start_ticks: u64,
    /// How it ended, as wait(2) tells; 0 also for whoever has no ptrace rights over it.
    pub wait_status: i32,
}

/// Parses the file; `None` if it is not of that form.
pub(crate) fn parse(text: &[u8]) -> Option<Stat> {
    // The name may hold spaces and parentheses, so it ends at the last ") ".
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let comm = text.get(open + 1..close)?.to_vec();
    let pid = std::str::from_utf8(&text[..open]).ok()?.trim().parse().ok()?;
    let rest = std::str::from_utf8(&text[close + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    // Fields are counted from 1 in the manual page: state is 3, ppid 4, flags 9, num_threads 20, starttime 22.
    let flags: u32 = fields.nth(9 - 5)?.parse().ok()?;
    let exiting = flags & PF_EXITING != 0;
    let threads = fields.nth(20 - 10)?.parse().ok()?;
    let start_ticks = fields.nth(22 - 21)?.parse().ok()?;
    // exit_code, the last one, since Linux 3.5.
    let wait_status = fields.nth(52 - 23).and_then(|status| status.parse().ok()).unwrap_or_default();
    Some(Stat { pid, comm, state, parent, exiting, threads, start_ticks, wait_status })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = b"42 (a) (\n\xff b) S 7 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 3 0 99 0 0";
        let stat = parse(line).unwrap();
        assert_eq!((stat.pid, stat.state, stat.parent, stat.threads, stat.start_ticks), (42, b'S', 7, 3, 99));
        assert_eq!(stat.comm, b"a) (\n\xff b");
        assert!(!stat.exiting);
        let ending = b"42 (a) S 7 42 42 0 -1 4194308 1 0 0 0 0 0 0 0 20 0 3 0 99 0 0";
        assert!(parse(ending).unwrap().exiting);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text: Vec<u8>) {
            let _ = parse(&text);
        }

        #[test]
        fn nearly_right_bytes_never_panic(pid: i32, comm: Vec<u8>, rest in "[ 0-9A-Z()-]{0,80}") {
            let mut text = format!("{pid} (").into_bytes();
            text.extend_from_slice(&comm);
            text.extend_from_slice(b") ");
            text.extend_from_slice(rest.as_bytes());
            let _ = parse(&text);
        }
    }
}
