//! What the options' values mean.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use nstool::create::Propagation;
use nstool::create::idmap::parse_id;
use nstool::{CapabilitySet, account};

/// What clap takes for the file where none is given. Nobody can type it, unlike the empty word of `--net=$FILE` with an
/// empty variable.
pub(super) const NO_FILE: &str = "\0";

/// A namespace's file, or none.
#[derive(Clone, Debug)]
pub(super) struct OptionalFile(pub(super) Option<PathBuf>);

impl From<OsString> for OptionalFile {
    fn from(text: OsString) -> Self {
        Self((text != NO_FILE).then(|| text.into()))
    }
}

/// `UID:GID`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner(pub(crate) u32, pub(crate) u32);

impl FromStr for Owner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (uid, gid) = text.split_once(':').ok_or("it takes UID:GID")?;
        Ok(Self(user(uid)?, group(gid)?))
    }
}

/// A signal by name or number, or `none`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeathSignal(pub(crate) Option<i32>);

impl FromStr for DeathSignal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let numbered = || text.parse().ok().filter(|number| (1..=31).contains(number) || real_time().contains(number));
        let signal = signal(text).or_else(numbered).or_else(|| match &*bare(text) {
            "RTMIN" => Some(*real_time().start()),
            "RTMAX" => Some(*real_time().end()),
            _ => None,
        });
        signal.map(|signal| Self(Some(signal))).ok_or_else(|| format!("there is no signal {text}"))
    }
}

/// A signal by its name as unshare(1) takes it: with or without SIG, a real-time one counted from the first or the last
/// (`RTMIN+3`, which is `RT3`, and `RTMAX-3`).
pub(crate) fn signal(text: &str) -> Option<i32> {
    let name = bare(text);
    if let Some((_, number)) = SIGNALS.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let count = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i32>().ok())?;
    let number = match name.strip_prefix("RTMAX-") {
        Some(digits) => real_time().end().checked_sub(count(digits)?)?,
        None => {
            let digits = name.strip_prefix("RTMIN+").or_else(|| name.strip_prefix("RT"))?;
            real_time().start().checked_add(count(digits)?)?
        }
    };
    real_time().contains(&number).then_some(number)
}

/// Takes `SIG` away, and makes capitals.
fn bare(text: &str) -> String {
    let upper = text.to_ascii_uppercase();
    upper.strip_prefix("SIG").map(str::to_owned).unwrap_or(upper)
}

/// The real-time signals that the C library leaves to programs (signal(7)).
fn real_time() -> RangeInclusive<i32> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

/// The signals of signal(7), but for real-time ones; those with several names have the common one first.
const SIGNALS: [(&str, i32); 34] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
    ("IOT", libc::SIGIOT),
    ("CLD", libc::SIGCHLD),
    ("POLL", libc::SIGPOLL),
];

/// A user by number or name.
pub(crate) fn user(text: &str) -> Result<u32, String> {
    if let Some(id) = parse_id(text) {
        return Ok(id);
    }
    let found = account::user_id(text).map_err(|error| format!("cannot look up the user {text}: {error}"))?;
    found.ok_or_else(|| format!("there is no user {text}"))
}

/// A group by number or name.
pub(crate) fn group(text: &str) -> Result<u32, String> {
    if let Some(id) = parse_id(text) {
        return Ok(id);
    }
    let found = account::group_id(text).map_err(|error| format!("cannot look up the group {text}: {error}"))?;
    found.ok_or_else(|| format!("there is no group {text}"))
}

pub(crate) fn setgroups(text: &str) -> Result<bool, String> {
    match text {
        "allow" => Ok(true),
        "deny" => Ok(false),
        _ => Err("it takes allow or deny".to_owned()),
    }
}

pub(crate) fn propagation(text: &str) -> Result<Propagation, String> {
    let known = [Propagation::Private, Propagation::Slave, Propagation::Shared, Propagation::Unchanged];
    known.into_iter().find(|known| known.name() == text).ok_or("it takes private, slave, shared or unchanged".into())
}

/// A capability by name, with or without CAP_, or ALL.
pub(super) fn capabilities(text: &str) -> Result<u64, String> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(u64::MAX);
    }
    CapabilitySet::named(text).map(|set| set.0).ok_or_else(|| format!("there is no capability {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_time_signals_are_counted_from_both_ends() {
        let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
        for (text, number) in [
            ("RTMIN+0", first),
            ("rtmin+1", first + 1),
            ("SIGRTMIN+03", first + 3),
            ("SigRt3", first + 3),
            ("RTMAX-0", last),
            ("RTMAX-2", last - 2),
            ("SIGKILL", libc::SIGKILL),
        ] {
            assert_eq!(signal(text), Some(number), "{text}");
        }
        let beyond = format!("RTMIN+{}", last - first + 1);
        for text in
            [&*beyond, "RTMIN", "RTMAX", "RTMIN+", "RTMIN-1", "RTMAX+1", "RTMIN++1", "RTMIN+x", "RT-1", "SIG", "", "9"]
        {
            assert_eq!(signal(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_names_a_signal_where_there_is_one() {
        let number = |text: &str| text.parse::<DeathSignal>().ok().and_then(|signal| signal.0);
        for (text, expected) in [
            ("15", Some(15)),
            ("RTMIN", Some(libc::SIGRTMIN())),
            ("sigrtmax", Some(libc::SIGRTMAX())),
            ("64", Some(64)),
            ("none", None),
            ("0", None),
            // Those that the C library uses itself.
            ("32", None),
            ("65", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }
}
