//! `nstool enter`: join a target's namespaces and run a command there.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::{OsStringValueParser, TypedValueParser};
use nstool::enter::{Enter, Environment, Id, OutOfMemory, Outcome, Outline, Place, Request};
use nstool::target::Target;
use nstool::{Error, ErrorKind, KindSet, NamespaceKind, Result};
use serde_json::json;

use crate::entry::ExitCode;
use crate::render::{self, Terminal, fit, report};

/// Run a command in the namespaces of a process.
///
/// Without options it joins every kind of namespace in which the target differs from us. Nothing of ours leaks inside:
/// no descriptor above 2, no environment where the mounts are joined, no terminal (the command gets one of its own).
/// Without a command it starts the target's login shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "TARGET is PID, PID:INODE, self, ns:INODE, a path such as /run/netns/blue, or netns:NAME.

Examples:
  nstool enter 4242                      a shell in everything process 4242 is in
  nstool enter 4242 -n -- ss -ltnp       the host's ss in its network
  nstool enter netns:blue -- ip addr     in a named network namespace
  nstool enter 4242 --dry-run            what would be done, in which order, and why
  nstool enter 4242 --confined -- sh     under its limits and control groups too

Exit status: that of the command, 128+N if signal N ended it; 127 if it was not found,
126 if it cannot be executed; 125 if nstool could not join.

With a terminal or a pid namespace, nstool waits for the command, and tells if the out-of-memory
killer ended it. Otherwise it becomes the command, and nobody is left to tell.")]
pub(crate) struct Args {
    /// The process or namespace
    #[arg(value_parser = parse_target)]
    target: Option<Target>,

    /// The same as TARGET
    #[arg(short = 't', long = "target", value_name = "TARGET", conflicts_with = "target", value_parser = parse_target)]
    target_option: Option<Target>,

    #[command(flatten, next_help_heading = "What to join")]
    join: Join,

    #[command(flatten, next_help_heading = "Who and where to be")]
    place: Placement,

    #[command(flatten, next_help_heading = "How to run")]
    run: Running,

    /// The command and its arguments
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
struct Join {
    /// Every kind (what is ours already is skipped)
    #[arg(short = 'a', long)]
    all: bool,

    /// The mounts
    #[arg(short = 'm', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    mount: Option<Option<PathBuf>>,

    /// Host and domain name
    #[arg(short = 'u', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    uts: Option<Option<PathBuf>>,

    /// System V IPC and message queues
    #[arg(short = 'i', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    ipc: Option<Option<PathBuf>>,

    /// The network
    #[arg(short = 'n', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    net: Option<Option<PathBuf>>,

    /// Process ids; the command is a new process then
    #[arg(short = 'p', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pid: Option<Option<PathBuf>>,

    /// The control group root
    #[arg(short = 'C', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    cgroup: Option<Option<PathBuf>>,

    /// User and group ids, capabilities
    #[arg(short = 'U', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    user: Option<Option<PathBuf>>,

    /// Clock offsets
    #[arg(short = 'T', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    time: Option<Option<PathBuf>>,

    /// The network of the target's socket with this descriptor
    #[arg(short = 'N', long, value_name = "FD", conflicts_with = "net")]
    net_socket: Option<i32>,

    /// The parent of the user namespace instead of it
    #[arg(long)]
    user_parent: bool,

    /// The control groups, version 1 and 2
    #[arg(short = 'c', long)]
    join_cgroup: bool,

    /// The SELinux context of the target
    #[arg(short = 'Z', long)]
    follow_context: bool,

    /// Its restrictions: control groups, resource limits, oom_score_adj, capability bounding set (of a root process, what it
    /// holds of it), no_new_privs, label; and its user and groups, if not chosen by -S, -G or --preserve-credentials
    #[arg(long)]
    confined: bool,
}

#[derive(Debug, clap::Args)]
struct Placement {
    /// The user id, or `follow` for the target's
    #[arg(short = 'S', long, value_name = "UID", value_parser = parse_id)]
    setuid: Option<Id>,

    /// The group id, or `follow` for the target's; drops supplementary groups
    #[arg(short = 'G', long, value_name = "GID", value_parser = parse_id)]
    setgid: Option<Id>,

    /// Leave user and group ids as they are
    #[arg(long)]
    preserve_credentials: bool,

    /// Keep the capabilities that the user namespace gives
    #[arg(long)]
    keep_caps: bool,

    /// The root directory: DIR as we see it, or the target's
    #[arg(short = 'r', long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    root: Option<Option<PathBuf>>,

    /// The working directory: DIR as we see it, or the target's
    #[arg(short = 'w', long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    wd: Option<Option<PathBuf>>,

    /// The working directory, as the target sees it
    #[arg(short = 'W', long, value_name = "DIR", conflicts_with = "wd")]
    wdns: Option<PathBuf>,

    /// The environment: the target's (the default with its mounts; without them, less PATH, LD_* and the like, by which it
    /// would choose what our files load), ours (the default without), or a small clean one
    #[arg(short = 'e', long, value_name = "WHICH", num_args = 0..=1, require_equals = true, default_missing_value = "target")]
    env: Option<EnvironmentChoice>,

    /// Set a variable on top; can be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = OsStringValueParser::new().try_map(parse_variable))]
    setenv: Vec<(OsString, OsString)>,
}

#[derive(Debug, clap::Args)]
struct Running {
    /// Do not fork before the command, even with -p
    #[arg(short = 'F', long)]
    no_fork: bool,

    /// Let the command run on by itself, print its process id and return
    #[arg(long, conflicts_with = "no_fork")]
    background: bool,

    /// Pass our terminal through; a program inside can then type into it
    #[arg(long)]
    no_pty: bool,

    /// Keep descriptor FD open for the command; can be repeated
    #[arg(long, value_name = "FD")]
    keep_fd: Vec<i32>,

    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,

    /// As JSON, with --dry-run
    #[arg(short = 'J', long, requires = "dry_run")]
    json: bool,

    /// Tell also what is not joined
    #[arg(short = 'v', long)]
    verbose: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EnvironmentChoice {
    Target,
    Keep,
    Clean,
}

fn parse_target(text: &str) -> Result<Target> {
    text.parse().map_err(|error: Error| match error.hint().map(|forms| format!("{forms}; a command goes after `--`")) {
        Some(hint) => error.with_hint(hint),
        None => error,
    })
}

fn parse_id(text: &str) -> Result<Id> {
    if text == "follow" {
        return Ok(Id::Follow);
    }
    // The last number is -1 to the kernel: "leave it as it is".
    let id = text.parse().ok().filter(|id| *id != u32::MAX && text.bytes().all(|byte| byte.is_ascii_digit()));
    id.map(Id::Number).ok_or_else(|| Error::new(ErrorKind::Invalid, "an id is a number, or `follow`"))
}

fn parse_variable(text: OsString) -> Result<(OsString, OsString)> {
    let bytes = text.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(equals) if equals > 0 => {
            let part = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
            Ok((part(&bytes[..equals]), part(&bytes[equals + 1..])))
        }
        _ => Err(Error::new(ErrorKind::Invalid, "a variable is NAME=VALUE")),
    }
}

fn place(option: Option<Option<PathBuf>>) -> Place {
    match option {
        None => Place::Unasked,
        Some(None) => Place::OfTarget,
        Some(Some(path)) => Place::Path(path),
    }
}

impl Args {
    fn request(&self) -> Request {
        let Join { mount, uts, ipc, net, pid, cgroup, user, time, .. } = &self.join;
        let options = [
            (NamespaceKind::Mnt, mount),
            (NamespaceKind::Uts, uts),
            (NamespaceKind::Ipc, ipc),
            (NamespaceKind::Net, net),
            (NamespaceKind::Pid, pid),
            (NamespaceKind::Cgroup, cgroup),
            (NamespaceKind::User, user),
            (NamespaceKind::Time, time),
        ];
        let bare = options.iter().filter(|(_, option)| matches!(option, Some(None)));
        let files = options.iter().filter_map(|(kind, option)| Some((*kind, option.as_ref()?.clone()?)));
        Request {
            target: self.target.clone().or_else(|| self.target_option.clone()),
            kinds: bare.map(|(kind, _)| *kind).collect::<KindSet>(),
            files: files.collect(),
            all: self.join.all,
            socket: self.join.net_socket,
            user_parent: self.join.user_parent,
            cgroup: self.join.join_cgroup,
            selinux: self.join.follow_context,
            confined: self.join.confined,
            uid: self.place.setuid,
            gid: self.place.setgid,
            preserve_credentials: self.place.preserve_credentials,
            keep_capabilities: self.place.keep_caps,
            root: place(self.place.root.clone()),
            directory: place(self.place.wd.clone()),
            inner_directory: self.place.wdns.clone(),
            environment: match self.place.env {
                None => Environment::Unasked,
                Some(EnvironmentChoice::Target) => Environment::Target,
                Some(EnvironmentChoice::Keep) => Environment::Keep,
                Some(EnvironmentChoice::Clean) => Environment::Clean,
            },
            variables: self.place.setenv.clone(),
            no_fork: self.run.no_fork,
            background: self.run.background,
            no_pty: self.run.no_pty,
            keep_descriptors: self.run.keep_fd.clone(),
            command: self.command.clone(),
            verbose: self.run.verbose,
            literal: false,
        }
    }
}

pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<ExitCode> {
    let enter = Enter::prepare(args.request())?;
    if args.run.dry_run {
        let outline = enter.plan();
        let remarks = enter.remarks();
        render::print(&if args.run.json {
            as_json(&outline, remarks)
        } else {
            in_words(&outline, remarks, terminal.width)
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    for remark in enter.remarks() {
        report::note(remark, terminal);
    }
    match enter.run()? {
        Outcome::Ended(ending) => ending.mirror(),
        Outcome::OutOfMemory(ending, OutOfMemory { cgroup, limit_bytes, .. }) => {
            let limit =
                limit_bytes.map_or_else(|| "no limit of its own".to_owned(), |bytes| format!("limit {bytes} bytes"));
            // Of several that died in it at the time, nothing tells which one it was.
            let message = format!(
                "ended by SIGKILL while the out-of-memory killer took a process of control group {cgroup} ({limit})"
            );
            report::note(&message, terminal);
            ending.mirror()
        }
        Outcome::Started(pid) => {
            render::print(&format!("{pid}\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        Outcome::NotExecuted { status, error } => {
            report::error(&error, terminal);
            Ok(ExitCode::from(status))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn in_words(outline: &Outline, remarks: &[String], width: Option<usize>) -> String {
    let mut text = format!("plan for {}\n", outline.target);
    for (number, step) in outline.steps.iter().enumerate() {
        let number = number + 1;
        let _ = match step.namespace {
            Some((kind, id)) => {
                let (action, id, reason) = (step.action, id.to_string(), &step.reason);
                let line = if reason.is_empty() { id } else { format!("{id:<11} {}{reason}", fit::hang()) };
                writeln!(text, "{number:>3}  {action} {kind:<6} {line}")
            }
            None => {
                let line = format!("{number:>3}  {} {}{}", step.action, fit::hang(), step.detail);
                writeln!(text, "{}", line.trim_end_matches([' ', fit::hang()]))
            }
        };
    }
    for (kind, id) in &outline.skipped {
        let _ = writeln!(text, "     skip {kind:<6} {:<11} already there", id.to_string());
    }
    if outline.pty {
        text.push_str("     with a pseudo-terminal of its own\n");
    }
    for remark in outline.obstacle.iter().chain(remarks) {
        let _ = writeln!(text, "     note: {remark}");
    }
    fit::folded(&text, width, 2)
}

fn as_json(outline: &Outline, remarks: &[String]) -> String {
    let or_null = |text: &str| if text.is_empty() { json!(null) } else { json!(text) };
    let steps: Vec<_> = outline
        .steps
        .iter()
        .map(|step| {
            json!({
                "action": step.action,
                "type": step.namespace.map(|(kind, _)| kind.name()),
                "ns": step.namespace.map(|(_, id)| id.ino),
                "detail": or_null(&step.detail),
                "reason": or_null(&step.reason),
            })
        })
        .collect();
    let skipped: Vec<_> = outline.skipped.iter().map(|(kind, id)| json!({"type": kind.name(), "ns": id.ino})).collect();
    let plan = json!({
        "target": outline.target,
        "steps": steps,
        "skipped": skipped,
        "pty": outline.pty,
        "obstacle": outline.obstacle,
        "remarks": remarks,
    });
    format!("{plan:#}\n")
}
