//! What every form of `nstool mounts` starts from: the tables, the namespace that is asked about, and how namespaces and
//! mounts are called.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nstool::discover::{self, Located, MountTables};
use nstool::model::{Hidden, MountTable};
use nstool::proc::Proc;
use nstool::propagation::{Forest, MountRef, Place};
use nstool::target::{Resolved, Target};
use nstool::{Error, ErrorKind, NamespaceId, NamespaceKind, NamespaceLink, Pid, Result, printable};
use rustix::fs::{Mode, OFlags};
use serde_json::{Value as Json, json};

use crate::render::{Terminal, advice, fit, hidden, report};

/// The mount tables of the machine, and what is known besides.
pub(super) struct Scene {
    tables: MountTables,
    own: Option<NamespaceId>,
    /// Names of processes, each read once.
    names: RefCell<HashMap<Pid, String>>,
    proc: Proc,
}

/// The namespace that is asked about, pinned.
pub(super) struct Subject {
    /// Its place among the tables.
    pub(super) index: usize,
    /// The root that paths start from; `None`: our own.
    root: Option<OwnedFd>,
    /// Why there is no root to start from, where there is none.
    rootless: Option<std::io::Error>,
    /// How it was called.
    pub(super) name: String,
}

impl Scene {
    pub(super) fn capture() -> Result<Self> {
        let own = own_namespace().ok();
        Ok(Self { tables: MountTables::capture()?, own, names: RefCell::default(), proc: Proc::open()? })
    }

    pub(super) fn tables(&self) -> &[MountTable] {
        &self.tables.tables
    }

    pub(super) fn forest(&self) -> Forest<'_> {
        Forest::new(&self.tables.tables)
    }

    pub(super) fn hidden(&self) -> &Hidden {
        &self.tables.hidden
    }

    pub(super) fn say_hidden(&self, terminal: &Terminal) {
        hidden::say_of(&self.tables.hidden, self.tables.processes, terminal);
        report::whose_numbers(terminal);
    }

    /// Finds the namespace of a target; without one our own.
    pub(super) fn subject(&self, target: Option<&Target>) -> Result<Subject> {
        let (namespace, root, name) = match target.unwrap_or(&Target::Myself) {
            Target::Myself => (own_namespace()?, None, "our own mount namespace".to_owned()),
            target => match target.resolve()? {
                Resolved::Process(process) => {
                    let namespace = process
                        .namespace(NamespaceLink::Own(NamespaceKind::Mnt))
                        .map_err(|error| process.cannot("read the mount namespace", error))?;
                    let root = process.open_file("root", OFlags::PATH);
                    (namespace.id(), Some(root), self.describe_process(process.pid()))
                }
                Resolved::Namespace(namespace) if namespace.kind() == NamespaceKind::Mnt => {
                    let root = discover::root_of_namespace(namespace.as_fd());
                    (namespace.id(), Some(root), format!("mount namespace {}", namespace.id()))
                }
                Resolved::Namespace(namespace) => {
                    let message = format!("{target} is a {} namespace, not a mnt namespace", namespace.kind());
                    return Err(Error::new(ErrorKind::Unsuitable, message)
                        .with_hint("`nstool ls -t mnt` lists the mount namespaces"));
                }
            },
        };
        let index = self.find(namespace).ok_or_else(|| {
            Error::new(ErrorKind::NotPermitted, format!("cannot read the mounts of mount namespace {namespace}"))
                .with_hint("run nstool as root, or as the user whose processes live there")
        })?;
        let (root, rootless) = match root {
            None => (None, None),
            Some(Ok(root)) => (Some(root), None),
            Some(Err(error)) => (None, Some(error)),
        };
        Ok(Subject { index, root, rootless, name })
    }

    pub(super) fn find(&self, id: NamespaceId) -> Option<usize> {
        self.tables().iter().position(|table| table.namespace == id)
    }

    /// Finds where a path leads, as the kernel finds it.
    pub(super) fn locate(&self, subject: &Subject, path: &OsString) -> Result<Located> {
        if let Some(error) = &subject.rootless {
            let cause = std::io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EPERM));
            return Err(Error::system(format!("cannot follow a path in {}", subject.name), cause)
                .with_hint("run nstool as root"));
        }
        discover::locate(subject.root.as_ref().map(AsFd::as_fd), path.as_bytes())
    }

    /// Finds where a path leads, as a place of the forest.
    pub(super) fn place(&self, forest: &Forest<'_>, subject: &Subject, path: &OsString) -> Result<(Place, Located)> {
        let located = self.locate(subject, path)?;
        let shown = printable(&located.path).into_owned();
        let lost = || {
            Error::new(ErrorKind::NotFound, format!("{shown} is on a mount that is not in the namespace's table"))
                .with_hint("it may have been unmounted lazily, or just now")
        };
        let mount = forest.find_mount(subject.index, located.mount_id).ok_or_else(lost)?;
        let place = forest.place_below(mount, &located.path).ok_or_else(lost)?;
        Ok((place, located))
    }

    /// Names a process: number and name.
    pub(super) fn describe_process(&self, pid: Pid) -> String {
        let read = || {
            let mut text = Vec::new();
            let name =
                self.proc.read(pid, "comm", &mut text).ok().map(|()| printable(text.trim_ascii_end()).into_owned());
            name.map_or_else(|| format!("process {pid}"), |name| format!("process {pid} ({name})"))
        };
        self.names.borrow_mut().entry(pid).or_insert_with(read).clone()
    }

    /// Names a namespace, with a process that lives there.
    pub(super) fn describe(&self, index: usize) -> String {
        let table = &self.tables()[index];
        match table.processes.first() {
            _ if self.is_own(index) => format!("mnt {} (ours)", table.namespace),
            Some(pid) => format!("mnt {} of {}", table.namespace, self.describe_process(*pid)),
            None => format!("mnt {} (no process)", table.namespace),
        }
    }

    /// Returns the place of the namespace we are in.
    pub(super) fn own_index(&self) -> Option<usize> {
        self.own.and_then(|own| self.find(own))
    }

    /// Tells whether it is the namespace we are in.
    pub(super) fn is_own(&self, index: usize) -> bool {
        self.own == Some(self.tables()[index].namespace)
    }

    /// The same for JSON.
    pub(super) fn namespace_json(&self, index: usize) -> Json {
        let table = &self.tables()[index];
        json!({ "ns": table.namespace.ino, "pid": table.processes.first() })
    }

    /// Returns how a command is run in a namespace: by a process that lives there, or by the namespace's inode.
    pub(super) fn enter_command(&self, index: usize, command: &str) -> String {
        let table = &self.tables()[index];
        let elsewhere = (!self.is_own(index)).then_some(table.namespace);
        advice::run_in(elsewhere, table.processes.first().copied(), command)
    }

    /// Words how to unmount what is mounted in the namespace at `index`.
    pub(super) fn unmount_command(&self, index: usize, mount_point: &[u8]) -> String {
        let table = &self.tables()[index];
        let elsewhere = (!self.is_own(index)).then_some(table.namespace);
        advice::unmount(elsewhere, table.processes.first().copied(), mount_point)
    }
}

fn own_namespace() -> Result<NamespaceId> {
    let fd = rustix::fs::open("/proc/self/ns/mnt", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .and_then(rustix::fs::fstat)
        .map_err(|errno| Error::system("cannot examine our own mount namespace", errno))?;
    Ok(NamespaceId { ino: fd.st_ino, dev: fd.st_dev })
}

/// Splits what was typed into a target and a path. A word alone with a slash in it is a path, unless it is a
/// namespace's file.
pub(super) fn target_and_path(words: &[OsString]) -> Result<(Option<Target>, Option<OsString>)> {
    let target = |word: &OsString| word.to_string_lossy().parse::<Target>();
    match words {
        [] => Ok((None, None)),
        [word] if word.as_bytes().contains(&b'/') && !is_namespace_file(word) => Ok((None, Some(word.clone()))),
        [word] => Ok((Some(target(word)?), None)),
        [word, path, ..] => Ok((Some(target(word)?), Some(path.clone()))),
    }
}

/// Splits what was typed where a path must be: the last word.
pub(super) fn target_and_required_path(words: &[OsString]) -> Result<(Option<Target>, OsString)> {
    let (path, before) = words.split_last().ok_or_else(|| Error::new(ErrorKind::Invalid, "a path is missing"))?;
    let target = before.first().map(|word| word.to_string_lossy().parse()).transpose()?;
    Ok((target, path.clone()))
}

fn is_namespace_file(word: &OsString) -> bool {
    /// `NSFS_MAGIC` of statfs(2).
    const NSFS_MAGIC: u64 = 0x6e73_6673;
    rustix::fs::statfs(word).is_ok_and(|statfs| statfs.f_type as u64 == NSFS_MAGIC)
}

/// The same for lines that are fitted into the terminal: the path stays in one piece.
pub(super) fn place_of_mount(forest: &Forest<'_>, mount: MountRef) -> String {
    let path = fit::whole(&printable(&forest.mount_point(mount)));
    match forest.mount(mount) {
        Some(told) => format!("{path} ({})", printable(&told.fs_type)),
        None => path,
    }
}

/// Returns a mount's place in words: its path, and what is mounted there.
pub(super) fn describe_mount(forest: &Forest<'_>, mount: MountRef) -> String {
    fit::plain(&place_of_mount(forest, mount))
}

/// Returns bytes as a JSON string; what is no UTF-8 is replaced.
pub(super) fn text(bytes: &[u8]) -> Json {
    Json::String(String::from_utf8_lossy(bytes).into_owned())
}
