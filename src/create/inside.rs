//! Does the steps that are done in the new namespaces. Runs in the child, so nothing here allocates.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets, CpuSet};

use super::filesystem::Operation;
use super::mounts;
use super::place::Site;
use super::plan::{Action, Place};
use super::request::{Capabilities, Propagation};
use super::sources::Sources;
use super::trail::Trail;
use crate::kind::NamespaceKind;
use crate::sys;

/// A step, with what it needs spelled out beforehand.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) place: Place,
    pub(super) action: Action,
    /// What is written to a file of /proc.
    pub(super) text: Vec<u8>,
    /// The mounts below the source of a bind, for kernels that cannot restrict a tree at once.
    pub(super) submounts: Vec<CString>,
}

/// What steps hand on to later ones.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The new root; without one, `/`.
    root: Option<OwnedFd>,
    /// What building blocks take from outside.
    sources: Sources,
    /// What they have made to mount on.
    pub(super) trail: Trail,
}

impl State {
    /// Makes one with all the room that these steps need.
    pub(super) fn for_steps(steps: &[Prepared]) -> Self {
        let places = operations(steps).map(|operation| operation.target().steps().len()).sum();
        let own_mounts = steps.iter().any(|step| match &step.action {
            Action::Create { kinds, .. } => kinds.contains(NamespaceKind::Mnt),
            _ => false,
        });
        Self {
            root: None,
            sources: Sources::with_room_for(operations(steps)),
            trail: Trail::with_room_for(places, own_mounts),
        }
    }

    fn root(&mut self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.parts()?.0.root)
    }

    fn parts(&mut self) -> io::Result<(Site<'_>, &mut Sources)> {
        let root = match self.root.take() {
            Some(root) => root,
            None => rustix::fs::open(c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?,
        };
        let root = OwnedFd::as_fd(self.root.insert(root));
        Ok((Site { root, trail: &mut self.trail }, &mut self.sources))
    }
}

fn operations(steps: &[Prepared]) -> impl Iterator<Item = &Operation> {
    steps.iter().filter_map(|step| match &step.action {
        Action::Operate(operation) => Some(operation),
        _ => None,
    })
}

/// Does one of the steps.
pub(super) fn carry_out(steps: &[Prepared], number: usize, state: &mut State) -> io::Result<()> {
    let prepared = &steps[number];
    match &prepared.action {
        Action::BecomeOwner(uid, gid) => {
            rustix::thread::set_thread_groups(&[])?;
            set_group(*gid)?;
            set_user(*uid)?;
        }
        Action::Create { kinds, .. } => sys::create::unshare(kinds.clone_flags())?,
        Action::CreateLater(kind) => sys::create::unshare(kind.clone_flag())?,
        Action::SetGroupsPolicy(_) => write(c"/proc/self/setgroups", &prepared.text)?,
        Action::WriteMap { kind, .. } => {
            let path = match kind {
                super::idmap::IdKind::User => c"/proc/self/uid_map",
                super::idmap::IdKind::Group => c"/proc/self/gid_map",
            };
            write(path, &prepared.text)?;
        }
        Action::OutrankMounts => outrank_mounts(&prepared.text)?,
        Action::Offset(..) => write(c"/proc/self/timens_offsets", &prepared.text)?,
        Action::JoinCgroup(_) => {
            let (path, number) = split_text(&prepared.text);
            write(path, number)?;
        }
        Action::Propagate(propagation) => propagate(*propagation)?,
        Action::Hostname(name) => rustix::system::sethostname(name.as_encoded_bytes())?,
        Action::Domainname(name) => rustix::system::setdomainname(name.as_encoded_bytes())?,
        Action::LoopbackUp => sys::create::loopback_up()?,
        Action::OpenRoot { dir, bind: true } => state.root = Some(mounts::bind_on_itself(dir)?),
        Action::OpenRoot { dir, bind: false } => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            state.root = Some(rustix::fs::open(dir.as_c_str(), flags, Mode::empty())?);
        }
        Action::Operate(operation) => {
            state.sources.take_all(operations(steps));
            let (mut site, sources) = state.parts()?;
            mounts::carry_out(operation, &mut site, sources, &prepared.submounts)?;
        }
        Action::MountProc(path) => mount_proc(path)?,
        Action::MountBinfmt(place) => mounts::mount_kernel_there(c"binfmt_misc", state.root()?, place)?,
        Action::ChangeRoot { pivot } => mounts::change_root(state.root()?, *pivot)?,
        Action::Register { file, line } => write(file, line.to_bytes())?,
        Action::ChangeDirectory(directory) => rustix::process::chdir(directory.as_c_str())?,
        Action::Bound(capabilities) => bound(*capabilities)?,
        Action::SetGroup { gid, drop_groups } => {
            if *drop_groups {
                rustix::thread::set_thread_groups(&[])?;
            }
            set_group(*gid)?;
        }
        Action::SetUser(uid) => set_user(*uid)?,
        Action::Keep { capabilities } => keep(*capabilities)?,
        Action::NoNewPrivileges => rustix::thread::set_no_new_privs(true)?,
        // Done by others, or by whoever calls us.
        Action::MakeCgroup(_)
        | Action::TellChild(_)
        | Action::AwaitMaps
        | Action::Fork
        | Action::Persist(..)
        | Action::StartInit
        | Action::Exec(_) => {}
    }
    Ok(())
}

/// Writes all of `text` to a file in one call, which the files of /proc want.
fn write(path: &CStr, text: &[u8]) -> io::Result<()> {
    let file = rustix::fs::openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    match rustix::io::write(&file, text)? {
        written if written == text.len() => Ok(()),
        _ => Err(Errno::IO.into()),
    }
}

/// Splits a text at its NUL: a path, and what to write there.
fn split_text(text: &[u8]) -> (&CStr, &[u8]) {
    let path = CStr::from_bytes_until_nul(text).unwrap_or_default();
    (path, text.get(path.count_bytes() + 1..).unwrap_or_default())
}

/// A mount namespace can be bound only in one of a lower number, so that none holds itself. Since Linux 6.18 each
/// processor has a stock of numbers, and one with an older stock than that of our namespace gives a lower number to a
/// newer namespace (EINVAL when it is bound). So it is created again on other processors: the one that numbered our
/// namespace is among them.
fn outrank_mounts(outer: &[u8]) -> io::Result<()> {
    // Without such numbers the kernel counts in order.
    let Ok(outer) = outer.try_into().map(u64::from_ne_bytes) else { return Ok(()) };
    let outranks = || -> io::Result<bool> {
        let own = rustix::fs::open(c"/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        sys::nsfs::unique_id(own.as_fd()).map_or(Ok(true), |id| Ok(id? > outer))
    };
    if outranks()? {
        return Ok(());
    }
    let allowed = rustix::thread::sched_getaffinity(None)?;
    for processor in (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)) {
        let mut one = CpuSet::new();
        one.set(processor);
        rustix::thread::sched_setaffinity(None, &one)?;
        sys::create::unshare(NamespaceKind::Mnt.clone_flag())?;
        if outranks()? {
            break;
        }
    }
    Ok(rustix::thread::sched_setaffinity(None, &allowed)?)
}

fn propagate(propagation: Propagation) -> io::Result<()> {
    let flags = match propagation {
        Propagation::Private => MountPropagationFlags::PRIVATE,
        Propagation::Slave => MountPropagationFlags::DOWNSTREAM,
        Propagation::Shared => MountPropagationFlags::SHARED,
        Propagation::Unchanged => return Ok(()),
    };
    Ok(rustix::mount::mount_change(c"/", flags | MountPropagationFlags::REC)?)
}

fn mount_proc(path: &CStr) -> io::Result<()> {
    // Upon a shared mount it would show outside as well.
    match rustix::mount::mount_change(path, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC) {
        // What is no mount point has no propagation of its own.
        Err(Errno::INVAL) | Ok(()) => {}
        Err(errno) => return Err(errno.into()),
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(rustix::mount::mount(c"proc", path, c"proc", flags, None)?)
}

fn set_group(gid: u32) -> io::Result<()> {
    let gid = Gid::from_raw(gid);
    Ok(rustix::thread::set_thread_res_gid(gid, gid, gid)?)
}

fn set_user(uid: u32) -> io::Result<()> {
    let uid = Uid::from_raw(uid);
    // Leaving uid 0 clears the permitted set, from which `keep` takes what is to stay; execve(2) of an ordinary user
    // clears it all the same, but for ambient capabilities.
    rustix::thread::set_keep_capabilities(true)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Drops all other capabilities from the bounding set, which no exec can get them back from.
fn bound(capabilities: Capabilities) -> io::Result<()> {
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if capabilities.bounding & one.bits() != 0 {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(one) {
            // The kernel knows no more of them.
            Err(Errno::INVAL) => break,
            result => result?,
        }
    }
    Ok(())
}

/// Makes what is kept survive the exec: as ambient capabilities, which an ordinary user keeps as well.
fn keep(capabilities: Option<Capabilities>) -> io::Result<()> {
    let held = rustix::thread::capabilities(None)?.permitted;
    let (effective, ambient) = match capabilities {
        Some(wanted) => (
            held & CapabilitySet::from_bits_retain(wanted.bounding),
            held & CapabilitySet::from_bits_retain(wanted.ambient),
        ),
        None => (held, held),
    };
    // Ambient ones must be inheritable; nothing else is, for a program with file capabilities would gain it. What
    // else is permitted ends with the exec (capabilities(7)); if there is none, it helps to take back what was made.
    let sets = CapabilitySets { effective, permitted: held, inheritable: ambient };
    rustix::thread::set_capabilities(None, sets)?;
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if ambient.contains(one) {
            rustix::thread::configure_capability_in_ambient_set(one, true)?;
        }
    }
    Ok(())
}
