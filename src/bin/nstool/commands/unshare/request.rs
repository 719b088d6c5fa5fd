//! From what was typed to what is asked for: options that imply others.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use nstool::create::idmap::MapSpec;
use nstool::create::{Capabilities, Ids, Operation, Request, Root, TargetPath};
use nstool::{Error, ErrorKind, KindSet, NamespaceKind, Result};

use super::Args;
use super::values::DeathSignal;

/// Reads the request.
pub(super) fn of(args: &Args) -> Result<Request> {
    let named = [
        (NamespaceKind::Mnt, &args.mount),
        (NamespaceKind::Uts, &args.uts),
        (NamespaceKind::Ipc, &args.ipc),
        (NamespaceKind::Net, &args.net),
        (NamespaceKind::Pid, &args.pid),
        (NamespaceKind::User, &args.user),
        (NamespaceKind::Cgroup, &args.cgroup_ns),
        (NamespaceKind::Time, &args.time),
    ];
    let mut kinds: KindSet = named.iter().filter(|(_, given)| !given.is_empty()).map(|(kind, _)| *kind).collect();
    // `-u` besides `--uts=FILE` takes nothing away.
    let file = |(kind, given): (NamespaceKind, &Vec<super::OptionalFile>)| {
        Some((kind, given.iter().rev().find_map(|given| given.0.clone())?))
    };
    let persist = named.into_iter().filter_map(file).collect();
    let mut operations = args.operations.0.clone();
    if let Some(place) = &args.mount_proc {
        // Where nothing is built, a missing place would be made on the machine's own filesystem for a slip of the pen.
        let root = args.root.as_deref().or(args.pivot_root.as_deref()).filter(|root| *root != OsStr::new("/"));
        let built = root.is_some() || !operations.is_empty();
        if !built && place.as_bytes().starts_with(b"/") && !std::path::Path::new(place).is_dir() {
            let shown = nstool::printable(place.as_bytes());
            return Err(Error::new(ErrorKind::NotFound, format!("cannot mount proc on {shown}"))
                .because("there is no such directory")
                .with_hint("name one that is there, make it (`mkdir DIR`), or have it made (`--proc DIR`)"));
        }
        operations.push(Operation::Proc { target: TargetPath::new(place.as_bytes())? });
    }
    let binfmt = args.mount_binfmt.as_deref();
    let binfmt = binfmt.or(args.load_interp.is_some().then_some(OsStr::new("/proc/sys/fs/binfmt_misc")));
    if args.mount_proc.is_some() || binfmt.is_some() {
        kinds = kinds.with(NamespaceKind::Mnt);
    }
    let users = ids(args, args.map_user, &args.map_users, || rustix::process::geteuid().as_raw());
    let groups = ids(args, args.map_group, &args.map_groups, || rustix::process::getegid().as_raw());
    if !users.is_empty() || !groups.is_empty() || args.owner.is_some() {
        kinds = kinds.with(NamespaceKind::User);
    }
    if args.init {
        kinds = kinds.with(NamespaceKind::Pid);
    }
    let root = match (&args.pivot_root, &args.root) {
        (Some(dir), _) => Some(Root { dir: c_string(dir)?, pivot: true }),
        (None, Some(dir)) => Some(Root { dir: c_string(dir)?, pivot: false }),
        (None, None) => None,
    };
    Ok(Request {
        kinds,
        persist,
        fork: args.fork || args.kill_child.is_some() || args.forward_signals,
        no_fork: args.no_fork,
        parent_death_signal: args.kill_child.unwrap_or(DeathSignal(Some(libc::SIGKILL))).0,
        init: args.init,
        tell: args.verbose,
        users,
        groups,
        owner: args.owner.map(|owner| (owner.0, owner.1)),
        setgroups: args.setgroups,
        keep_capabilities: args.keep_caps,
        monotonic_seconds: args.monotonic,
        boottime_seconds: args.boottime,
        propagation: args.propagation,
        hostname: args.hostname.clone(),
        domainname: args.domainname.clone(),
        loopback_up: args.lo_up,
        root,
        operations,
        binfmt: binfmt.map(|place| TargetPath::new(place.as_bytes())).transpose()?,
        interpreter: args.load_interp.as_deref().map(c_string).transpose()?,
        directory: args.wd.as_deref().map(c_string).transpose()?,
        user: args.setuid,
        group: args.setgid,
        capabilities: capabilities(args),
        no_new_privileges: args.no_new_privs,
        cgroup: args.join_cgroup.clone(),
        userns_block_fd: args.userns_block_fd,
        sync_fd: args.sync_fd,
        info_fd: args.info_fd,
        json_status_fd: args.json_status_fd,
        command: command(args),
        ..Request::default()
    })
}

fn ids(args: &Args, own_as: Option<u32>, specs: &[MapSpec], own: fn() -> u32) -> Ids {
    let current = args.map_current_user.then(own);
    let root = args.map_root_user.then_some(0);
    let mut specs = specs.to_vec();
    specs.extend(args.map_auto.then_some(MapSpec::Auto));
    specs.extend(args.map_subids.then_some(MapSpec::Subids));
    Ids { own_as: own_as.or(root).or(current), specs }
}

fn capabilities(args: &Args) -> Option<Capabilities> {
    let all = |sets: &[u64]| sets.iter().fold(0, |all, set| all | set);
    let (dropped, added) = (all(&args.cap_drop), all(&args.cap_add));
    (dropped | added != 0).then_some(Capabilities { bounding: !dropped | added, ambient: added })
}

fn command(args: &Args) -> Vec<OsString> {
    if !args.command.is_empty() {
        return args.command.clone();
    }
    let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
    vec![shell.unwrap_or_else(|| "/bin/sh".into())]
}

/// Returns the command's environment.
pub(super) fn environment(args: &Args) -> Vec<(OsString, OsString)> {
    let cleared = args.clear_env || !args.whitelist_env.is_empty();
    std::env::vars_os().filter(|(name, _)| !cleared || args.whitelist_env.contains(name)).collect()
}

fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| Error::new(ErrorKind::Invalid, "a path holds a NUL byte"))
}
