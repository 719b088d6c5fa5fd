//! The restrictions of a target beyond its namespaces: what `--confined` copies, and what is said of them without it.

use super::facts::{Capabilities, Confinement};
use super::label::{self, Found};
use super::request::Request;
use crate::error::Result;
use crate::printable;
use crate::proc::Proc;
use crate::proc::status::Status;
use crate::target::PinnedProcess;

/// CAP_SYS_RESOURCE: limits may be raised.
const SYS_RESOURCE: u32 = 24;

/// The lines of `/proc/PID/limits` by the resource they are of (getrlimit(2)).
#[allow(clippy::unnecessary_cast, reason = "the constants' type differs between C libraries")]
const LIMITS: [(&str, u32); 16] = [
    ("Max cpu time", libc::RLIMIT_CPU as u32),
    ("Max file size", libc::RLIMIT_FSIZE as u32),
    ("Max data size", libc::RLIMIT_DATA as u32),
    ("Max stack size", libc::RLIMIT_STACK as u32),
    ("Max core file size", libc::RLIMIT_CORE as u32),
    ("Max resident set", libc::RLIMIT_RSS as u32),
    ("Max processes", libc::RLIMIT_NPROC as u32),
    ("Max open files", libc::RLIMIT_NOFILE as u32),
    ("Max locked memory", libc::RLIMIT_MEMLOCK as u32),
    ("Max address space", libc::RLIMIT_AS as u32),
    ("Max file locks", libc::RLIMIT_LOCKS as u32),
    ("Max pending signals", libc::RLIMIT_SIGPENDING as u32),
    ("Max msgqueue size", libc::RLIMIT_MSGQUEUE as u32),
    ("Max nice priority", libc::RLIMIT_NICE as u32),
    ("Max realtime priority", libc::RLIMIT_RTPRIO as u32),
    ("Max realtime timeout", libc::RLIMIT_RTTIME as u32),
];

/// Returns what a resource is called, such as `open files`.
pub(super) fn resource_name(resource: u32) -> &'static str {
    let known = LIMITS.iter().find(|(_, number)| *number == resource);
    known.map_or("another resource", |(name, _)| name.trim_start_matches("Max "))
}

type Limit = (u32, Option<u64>, Option<u64>);

/// Parses `/proc/PID/limits`.
fn limits(text: &str) -> Vec<Limit> {
    let number = |word: Option<&str>| match word? {
        "unlimited" => Some(None),
        word => word.parse().ok().map(Some),
    };
    let line = |line: &str| {
        let (name, resource) = LIMITS.iter().find(|(name, _)| line.starts_with(name))?;
        let mut words = line[name.len()..].split_ascii_whitespace();
        Some((*resource, number(words.next())?, number(words.next())?))
    };
    text.lines().filter_map(line).collect()
}

/// Lowers a limit to what we may set without CAP_SYS_RESOURCE: nothing above our own hard limit.
fn lowered(limit: Limit, ours: &[Limit]) -> Limit {
    let own = ours.iter().find(|own| own.0 == limit.0).and_then(|own| own.2);
    let lower = |one: Option<u64>| match (one, own) {
        (Some(one), Some(own)) => Some(one.min(own)),
        (one, own) => one.or(own),
    };
    (limit.0, lower(limit.1), lower(limit.2))
}

/// Reads what `request` wants copied.
pub(super) fn read(
    request: &Request,
    process: &PinnedProcess,
    proc: Option<&Proc>,
    status: &Status<'_>,
    capabilities: u64,
    remarks: &mut Vec<String>,
) -> Result<Confinement> {
    let mut confinement = Confinement::default();
    if request.selinux {
        confinement.label = Some(label::selinux_context(process, proc)?);
    }
    if !request.confined {
        return Ok(confinement);
    }
    let may_raise = capabilities & 1 << SYS_RESOURCE != 0;
    let theirs = process.read("limits").map_err(|error| process.cannot("read the limits", error))?;
    let ours = limits(&std::fs::read_to_string("/proc/self/limits").unwrap_or_default());
    confinement.limits = limits(&String::from_utf8_lossy(&theirs))
        .into_iter()
        .map(|limit| if may_raise { limit } else { lowered(limit, &ours) })
        .filter(|limit| !ours.contains(limit))
        .collect();
    confinement.oom_score_adj = oom_score(process, may_raise, remarks);
    confinement.capabilities = sets(status);
    confinement.no_new_privs = status.field("NoNewPrivs") == Some(b"1");
    if confinement.label.is_none() {
        match label::of(process, proc) {
            Found::Label(label) => confinement.label = Some(label),
            Found::Foreign(text) => {
                let text = printable(&text);
                remarks.push(format!("not joined: its security label {text}, which its module lets nobody take"));
            }
            Found::Nothing => {}
        }
    }
    confinement.seccomp = has_seccomp(status);
    if confinement.seccomp {
        remarks.push("not joined: its seccomp filter, which the kernel lets nobody copy".to_owned());
    }
    Ok(confinement)
}

fn oom_score(process: &PinnedProcess, may_lower: bool, remarks: &mut Vec<String>) -> Option<i32> {
    let parse = |text: Vec<u8>| String::from_utf8_lossy(&text).trim().parse::<i32>().ok();
    let theirs = process.read("oom_score_adj").ok().and_then(parse)?;
    let ours = std::fs::read("/proc/self/oom_score_adj").ok().and_then(parse)?;
    if theirs < ours && !may_lower {
        remarks
            .push(format!("not joined: its oom_score_adj {theirs}, for we lack CAP_SYS_RESOURCE to go below {ours}"));
        return None;
    }
    (theirs != ours).then_some(theirs)
}

/// Reads its capabilities. Before Linux 4.3 there is no ambient one.
fn sets(status: &Status<'_>) -> Option<Capabilities> {
    Some(Capabilities {
        bounding: status.mask("CapBnd")?,
        permitted: status.mask("CapPrm")?,
        inheritable: status.mask("CapInh")?,
        ambient: status.mask("CapAmb").unwrap_or(u64::MAX),
    })
}

fn has_seccomp(status: &Status<'_>) -> bool {
    status.field("Seccomp").is_some_and(|mode| mode != b"0")
}

/// Says in one line which restrictions of the target a plain join leaves behind.
pub(super) fn left_out(process: &PinnedProcess, proc: Option<&Proc>, status: &Status<'_>) -> Option<String> {
    let mut parts = Vec::new();
    let theirs = process.read("cgroup").unwrap_or_default();
    if theirs != std::fs::read("/proc/self/cgroup").unwrap_or_default() {
        parts.push("its control groups".to_owned());
    }
    match label::of(process, proc) {
        Found::Label(label) => {
            parts.push(format!("its {} label ({})", label.module, printable(label.text.to_bytes())));
        }
        Found::Foreign(text) => parts.push(format!("its security label ({})", printable(&text))),
        Found::Nothing => {}
    }
    let ours = limits(&std::fs::read_to_string("/proc/self/limits").unwrap_or_default());
    if limits(&String::from_utf8_lossy(&process.read("limits").unwrap_or_default())) != ours {
        parts.push("its resource limits".to_owned());
    }
    if status.field("NoNewPrivs") == Some(b"1") {
        parts.push("no_new_privs".to_owned());
    }
    let own = std::fs::read("/proc/self/status").unwrap_or_default();
    if status.mask("CapBnd") != Status::new(&own).mask("CapBnd") {
        parts.push("its capability bounding set".to_owned());
    } else if sets(status).is_some_and(|sets| sets.permitted != sets.bounding)
        && status.uids().is_some_and(|uids| uids[1] == 0)
    {
        parts.push("the lack of capabilities that root has".to_owned());
    }
    if has_seccomp(status) {
        parts.push("its seccomp filter (which cannot be copied)".to_owned());
    }
    (!parts.is_empty()).then(|| format!("not joined: {}; --confined takes what can be copied", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::unnecessary_cast, reason = "the constants' type differs between C libraries")]
    fn limits_are_read_by_name_and_lowered_to_ours() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max cpu time              unlimited            unlimited            seconds   \n\
            Max open files            1024                 4096                 files     \n\
            Max nice priority         0                    0                    \n";
        let parsed = limits(text);
        assert_eq!(parsed.len(), 3);
        assert_eq!(parsed[1], (libc::RLIMIT_NOFILE as u32, Some(1024), Some(4096)));
        let ours = [(libc::RLIMIT_NOFILE as u32, Some(10), Some(2000)), (libc::RLIMIT_CPU as u32, None, None)];
        assert_eq!(lowered(parsed[1], &ours), (libc::RLIMIT_NOFILE as u32, Some(1024), Some(2000)));
        assert_eq!(lowered(parsed[0], &ours), parsed[0]);
    }

    #[test]
    fn our_own_limits_are_all_understood() {
        assert_eq!(limits(&std::fs::read_to_string("/proc/self/limits").unwrap()).len(), LIMITS.len());
    }
}
