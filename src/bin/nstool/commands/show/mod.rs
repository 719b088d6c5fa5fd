//! `nstool show`: one process or namespace in full.

mod can;
mod contents;
mod namespace;
mod process;
mod zombie;

use nstool::model::{Level, Observed, Zombie};
use nstool::target::{Resolved, Target};
use nstool::{NamespaceId, NamespaceKind, Result};
use serde_json::Value as Json;

use crate::entry::ExitCode;
use crate::render::{self, Terminal, hidden};

/// Show a process or a namespace in full.
///
/// A process: its namespaces and who owns them, its ids in every pid namespace, its credentials and capabilities, what
/// confines it. A zombie: how it ended, who must reap it, and what it still keeps. A namespace: what it belongs to, who is
/// in it, what else keeps it, and what it contains. Nothing is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nstool show 4711                      a process
  nstool show net:blue                  a namespace, with its interfaces and listening sockets
  nstool show --can 4711 net:blue       what process 4711 may do with it, and by which rule

Exit status: 0, or 1 if the target does not exist or cannot be read.")]
pub(crate) struct Args {
    /// PID, PID:INODE, self, ns:INODE, a path of a namespace file, or net:NAME
    #[arg(value_name = "TARGET", required_unless_present = "can", conflicts_with = "can")]
    target: Option<Target>,

    /// Show which capabilities process PID has over namespace NS, and by which rule
    #[arg(long, num_args = 2, value_names = ["PID", "NS"])]
    can: Option<Vec<Target>>,

    /// As JSON
    #[arg(short = 'J', long)]
    json: bool,
}

pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<ExitCode> {
    let mut unseen = None;
    let page = match (&args.target, args.can.as_deref()) {
        (_, Some([process, namespace])) => can::page(process, namespace)?,
        (Some(target), _) => match target.resolve() {
            Ok(Resolved::Process(process)) => process::page(&process)?,
            Ok(Resolved::Namespace(found)) => {
                let (page, snapshot) = namespace::page(&found)?;
                unseen = Some(snapshot);
                page
            }
            Err(error) => match target.resolve_zombie() {
                Some(zombie) => zombie::page(&Zombie::read(&zombie)?, zombie.pidfd_inode()),
                None => return Err(error),
            },
        },
        // Clap lets nothing else through.
        _ => return Ok(ExitCode::FAILURE),
    };
    if args.json {
        render::print_json(&page.into_json())?;
    } else {
        render::print(&page.text(terminal))?;
    }
    if let Some(snapshot) = unseen {
        hidden::say(&snapshot, terminal);
    }
    Ok(ExitCode::SUCCESS)
}

/// Words which namespace it is: `the machine's initial one, ours`.
fn remark(kind: NamespaceKind, id: NamespaceId) -> String {
    let initial = (id.ino == kind.facts().initial_inode).then_some("the machine's initial one");
    let ours = is_ours(kind, id).then_some("ours");
    initial.into_iter().chain(ours).collect::<Vec<_>>().join(", ")
}

fn is_ours(kind: NamespaceKind, id: NamespaceId) -> bool {
    let own = std::fs::metadata(format!("/proc/self/ns/{kind}"));
    own.is_ok_and(|own| std::os::unix::fs::MetadataExt::ino(&own) == id.ino)
}

/// Words a chain of owners from the nearest up; of a long one the ends.
fn chain(levels: &[Level]) -> String {
    let words: Vec<_> = levels.iter().map(|level| level.id.to_string()).collect();
    match &words[..] {
        [first, second, middle @ .., last] if middle.len() > 2 => {
            format!("{first}, below {second}, {} levels below {last}", middle.len() + 1)
        }
        words => words.join(", below "),
    }
}

/// Words something that may be out of sight.
fn seen<T>(observed: &Observed<T>, show: impl FnOnce(&T) -> Vec<u8>) -> Vec<u8> {
    match observed {
        Observed::Known(value) => show(value),
        Observed::Hidden(why) => format!("? ({why})").into_bytes(),
        Observed::Gone => b"? (it ended meanwhile)".to_vec(),
    }
}

/// The same for JSON, where what is out of sight is null.
fn seen_json<T>(observed: &Observed<T>, show: impl FnOnce(&T) -> Json) -> Json {
    match observed {
        Observed::Known(value) => show(value),
        _ => Json::Null,
    }
}

fn lossy(bytes: &[u8]) -> Json {
    Json::String(String::from_utf8_lossy(bytes).into_owned())
}
