//! `nstool unshare`: a command in new namespaces.

mod operations;
mod request;
pub(crate) mod values;

use std::ffi::OsString;
use std::io::Write as _;
use std::os::fd::RawFd;
use std::path::PathBuf;

use nstool::create::idmap::MapSpec;
use nstool::create::{Event, Facts, Plan, Propagation, Stop, apply};
use nstool::exec::{Ending, Program, own_terminal};
use nstool::{Error, ErrorKind, Result, printable};

use self::operations::Operations;
use self::values::{DeathSignal, NO_FILE, OptionalFile, Owner};
use crate::entry::ExitCode;
use crate::render::{Terminal, report};

/// Create namespaces, set them up, and run a command in them.
///
/// Nothing that is mounted inside shows outside, the command starts only when all is ready, and no process, mount, control
/// group or file of a kept namespace is left behind when something fails or is killed. Places that were made to mount on
/// are taken back if the command does not run, unless SIGKILL is the reason, and stay if it does.
///
/// Exit status: the command's own; 128+N if signal N ended it; 127 not found, 126 cannot be executed, 125 failure of
/// nstool's own, 2 bad usage.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub(crate) struct Args {
    /// Create a mount namespace; with FILE, bound there to outlive the command
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = NO_FILE,
          help_heading = "Namespaces")]
    mount: Vec<OptionalFile>,
    /// Create a UTS namespace (host and domain name)
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = NO_FILE,
          help_heading = "Namespaces")]
    uts: Vec<OptionalFile>,
    /// Create an IPC namespace
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = NO_FILE,
          help_heading = "Namespaces")]
    ipc: Vec<OptionalFile>,
    /// Create a network namespace
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = NO_FILE,
          help_heading = "Namespaces")]
    net: Vec<OptionalFile>,
    /// Create a pid namespace; the command is forked into it, as its PID 1 or the child of an --init
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = NO_FILE,
          help_heading = "Namespaces")]
    pid: Vec<OptionalFile>,
    /// Create a user namespace
    #[arg(short = 'U', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = NO_FILE,
          help_heading = "Namespaces")]
    user: Vec<OptionalFile>,
    /// Create a cgroup namespace
    #[arg(short = 'C', long = "cgroup", value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = NO_FILE,
          help_heading = "Namespaces")]
    cgroup_ns: Vec<OptionalFile>,
    /// Create a time namespace
    #[arg(short = 'T', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = NO_FILE,
          help_heading = "Namespaces")]
    time: Vec<OptionalFile>,

    /// Map our user and group id to root's; implies --user
    #[arg(short = 'r', long, help_heading = "Ids")]
    map_root_user: bool,
    /// Map our user and group id to themselves; implies --user
    #[arg(short = 'c', long, conflicts_with = "map_root_user", help_heading = "Ids")]
    map_current_user: bool,
    /// Map our user id to this one, given as number or name; implies --user
    #[arg(long, value_name = "UID", value_parser = values::user, help_heading = "Ids")]
    map_user: Option<u32>,
    /// Map our group id to this one, given as number or name; implies --user
    #[arg(long, value_name = "GID", value_parser = values::group, help_heading = "Ids")]
    map_group: Option<u32>,
    /// Map user ids: INNER:OUTER:COUNT, auto (our first subordinate ones), subids, all; repeatable, implies --user
    #[arg(long, value_name = "MAP", help_heading = "Ids")]
    map_users: Vec<MapSpec>,
    /// Map group ids, as --map-users
    #[arg(long, value_name = "MAP", help_heading = "Ids")]
    map_groups: Vec<MapSpec>,
    /// Map our first subordinate user and group ids (--map-users=auto --map-groups=auto)
    #[arg(long, help_heading = "Ids")]
    map_auto: bool,
    /// Map our subordinate user and group ids to themselves (--map-users=subids --map-groups=subids)
    #[arg(long, help_heading = "Ids")]
    map_subids: bool,
    /// Let these ids own the user namespace; implies --user
    #[arg(long, value_name = "UID:GID", help_heading = "Ids")]
    owner: Option<Owner>,
    /// Allow or deny setgroups(2) in the user namespace
    #[arg(long, value_name = "allow|deny", value_parser = values::setgroups, help_heading = "Ids")]
    setgroups: Option<bool>,
    /// Wait until this descriptor says something or ends: somebody else writes the maps
    #[arg(long, value_name = "FD", help_heading = "Ids")]
    userns_block_fd: Option<RawFd>,

    /// Set the host name; needs --uts
    #[arg(long, value_name = "NAME", help_heading = "Set up")]
    hostname: Option<OsString>,
    /// Set the NIS domain name; needs --uts
    #[arg(long, value_name = "NAME", help_heading = "Set up")]
    domainname: Option<OsString>,
    /// Bring the loopback device up; needs --net
    #[arg(long, help_heading = "Set up")]
    lo_up: bool,
    /// Add this to CLOCK_MONOTONIC; needs --time
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, help_heading = "Set up")]
    monotonic: Option<i64>,
    /// Add this to CLOCK_BOOTTIME; needs --time
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, help_heading = "Set up")]
    boottime: Option<i64>,
    /// Run in the control group of this directory, such as /sys/fs/cgroup/work; one that is missing is made, and removed
    /// when nobody is left in it
    #[arg(long, value_name = "DIR", help_heading = "Set up")]
    join_cgroup: Option<PathBuf>,

    /// Set the propagation of all mounts: private (the default), slave, shared or unchanged; needs --mount
    #[arg(long, value_name = "HOW", value_parser = values::propagation, help_heading = "Filesystem")]
    propagation: Option<Propagation>,
    /// Mount a new procfs, last, on DIR (/proc); implies --mount
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "/proc",
          help_heading = "Filesystem")]
    mount_proc: Option<OsString>,
    /// Mount binfmt_misc on DIR (/proc/sys/fs/binfmt_misc), which must be there; implies --mount
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true,
          default_missing_value = "/proc/sys/fs/binfmt_misc", help_heading = "Filesystem")]
    mount_binfmt: Option<OsString>,
    /// Register this line with the new binfmt_misc; implies --mount-binfmt, needs --user
    #[arg(short = 'l', long, value_name = "LINE", help_heading = "Filesystem")]
    load_interp: Option<OsString>,
    #[command(flatten)]
    operations: Operations,
    /// Make DIR the root with pivot_root: it is bound on itself, and the old root is detached; needs --mount
    #[arg(long, value_name = "DIR", conflicts_with = "root", help_heading = "Filesystem")]
    pivot_root: Option<OsString>,
    /// Make DIR the root with chroot
    #[arg(short = 'R', long, value_name = "DIR", help_heading = "Filesystem")]
    root: Option<OsString>,
    /// Change to DIR, looked up in the new root
    #[arg(short = 'w', long, value_name = "DIR", help_heading = "Filesystem")]
    wd: Option<OsString>,

    /// Run the command as a child (a new pid namespace does so anyway)
    #[arg(short, long, help_heading = "Process")]
    fork: bool,
    /// Stay outside the new pid namespace; the command's first child is its PID 1
    #[arg(short = 'F', long, conflicts_with_all = ["fork", "kill_child", "forward_signals"], help_heading = "Process")]
    no_fork: bool,
    /// Run a PID 1 that reaps orphans, passes signals on and the exit status back; implies --pid
    #[arg(long, conflicts_with = "no_fork", help_heading = "Process")]
    init: bool,
    /// Send the child SIG (KILL), a name or number, also a real-time one, when nstool dies; this is so whenever there is a
    /// child, unless SIG is none
    #[arg(long, alias = "die-with-parent", value_name = "SIG", num_args = 0..=1, require_equals = true,
          default_missing_value = "KILL", help_heading = "Process")]
    kill_child: Option<DeathSignal>,
    /// Pass signals on to the child; this is so whenever there is one
    #[arg(long, help_heading = "Process")]
    forward_signals: bool,
    /// Become this user, given as number or name
    #[arg(short = 'S', long, value_name = "UID", value_parser = values::user, help_heading = "Process")]
    setuid: Option<u32>,
    /// Become this group, given as number or name, and drop all others
    #[arg(short = 'G', long, value_name = "GID", value_parser = values::group, help_heading = "Process")]
    setgid: Option<u32>,
    /// Keep the capabilities of the new user namespace, whoever the command runs as
    #[arg(long, help_heading = "Process")]
    keep_caps: bool,
    /// Take a capability out of reach, or ALL; repeatable
    #[arg(long, value_name = "CAP", value_parser = values::capabilities, help_heading = "Process")]
    cap_drop: Vec<u64>,
    /// Keep a capability, or ALL, after all: an ordinary user holds it too; repeatable
    #[arg(long, value_name = "CAP", value_parser = values::capabilities, help_heading = "Process")]
    cap_add: Vec<u64>,
    /// Forbid gaining privileges, for good
    #[arg(long, help_heading = "Process")]
    no_new_privs: bool,
    /// Pass our terminal through; a program inside can then type into it
    #[arg(long, help_heading = "Process")]
    no_pty: bool,
    /// Start with an empty environment
    #[arg(long, help_heading = "Process")]
    clear_env: bool,
    /// Keep these variables, separated by commas; implies --clear-env
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = "Process")]
    whitelist_env: Vec<OsString>,
    /// Keep this descriptor open as long as the command runs
    #[arg(long, value_name = "FD", help_heading = "Process")]
    sync_fd: Option<RawFd>,
    /// Write the child's pid and namespaces to this descriptor, as JSON
    #[arg(long, value_name = "FD", help_heading = "Process")]
    info_fd: Option<RawFd>,
    /// Write the same, and when the command has ended its exit status, to this descriptor, each as a line of JSON; a command
    /// that could not be executed has none
    #[arg(long, value_name = "FD", help_heading = "Process")]
    json_status_fd: Option<RawFd>,

    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Say each thing as it happens
    #[arg(short, long)]
    verbose: bool,

    /// The command and its arguments; a shell if none
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<ExitCode> {
    let request = match request::of(args) {
        Ok(request) => request,
        Err(error) => return refuse(error, terminal),
    };
    let planned = Facts::gather(&request).and_then(|facts| Plan::new(&request, &facts));
    let plan = match planned {
        Ok(plan) => plan,
        Err(error) => return refuse(error, terminal),
    };
    for warning in &plan.warnings {
        report::note(warning, terminal);
    }
    if args.dry_run {
        crate::render::print(&crate::render::fit::folded(&plan.to_string(), terminal.width, 3))?;
        return Ok(ExitCode::SUCCESS);
    }
    let program = Program::new(&request.command, &request::environment(args))?;
    if !args.no_pty {
        let theirs = [args.userns_block_fd, args.sync_fd, args.info_fd, args.json_status_fd];
        let theirs: Vec<RawFd> = theirs.into_iter().flatten().collect();
        if let Some(ending) = own_terminal(&theirs)? {
            ending.mirror();
        }
    }
    let verbose = args.verbose;
    let mut observer = |event: Event<'_>| match event {
        Event::Spent(file) => {
            let file = printable(file.as_os_str().as_encoded_bytes());
            report::note(
                &format!(
                    "no process can start any more in the pid namespace kept at {file}, for its PID 1 has ended: \
                     release it (`umount {file}`), and keep one by a command that stays (`sleep infinity`)"
                ),
                terminal,
            );
        }
        Event::Populated(path, count) => report::note(
            &format!(
                "the control group {} stays as long as processes are in it (now {count})",
                printable(path.as_os_str().as_encoded_bytes())
            ),
            terminal,
        ),
        event if verbose => tell(&event),
        _ => {}
    };
    match apply(&request, &plan, program, &mut observer) {
        Ok(ending) => ending.mirror(),
        Err(Stop { signal: Some(signal), .. }) => Ending::Signaled(signal).mirror(),
        Err(stop) => {
            report::error(&stop.error, terminal);
            Ok(ExitCode::from(stop.status))
        }
    }
}

/// Refuses what can never work with the status of bad usage.
fn refuse(error: Error, terminal: &Terminal) -> Result<ExitCode> {
    if error.kind() != ErrorKind::Invalid {
        return Err(error);
    }
    report::error(&error, terminal);
    Ok(ExitCode::from(2))
}

fn tell(event: &Event<'_>) {
    let line = match event {
        Event::Child(pid) => format!("child: pid {pid}\n"),
        Event::Done(action) => format!("done: {action}\n"),
        Event::Reaped(pid, Ending::Exited(status)) => format!("init: reaped {pid} (exit {status})\n"),
        Event::Reaped(pid, Ending::Signaled(signal)) => format!("init: reaped {pid} (signal {signal})\n"),
        _ => return,
    };
    // If nobody can read it, there is nobody to tell.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}
