//! What the options' values mean.

use std::ffi::OsString;
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
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let numbered = text.parse().ok().filter(|number| (1..=31).contains(number));
        let named = SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        numbered.or(named).map(|signal| Self(Some(signal))).ok_or_else(|| format!("there is no signal {text}"))
    }
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
