//! What is looked up after a step has failed, so that its real cause can be told.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::thread::CapabilitySet;

use crate::kind::{KindSet, NamespaceKind};
use crate::printable;
use crate::proc::{Proc, mountinfo};
use crate::sys::child::read_within;

/// The circumstances of a failure. What could not be read is taken for harmless, so that nothing is claimed of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Scene {
    /// Whether we hold CAP_SYS_ADMIN.
    pub(super) admin: bool,
    /// The capabilities that we lack though we are root; `None` if we are not, or they cannot be read.
    pub(super) root_lacks: Option<CapabilitySet>,
    /// The inode of our user namespace.
    pub(super) user_namespace: Option<u64>,
    /// Whether a user namespace was to be created, in which the child has all capabilities.
    pub(super) new_user: bool,
    /// Whether none may be created here (`/proc/sys/user/max_user_namespaces` is 0).
    pub(super) no_user_namespaces: bool,
    /// Whether our effective user or group id has no name in our own user namespace.
    pub(super) unmapped: bool,
    /// Whether our root is not the root of our mount namespace; `None` if that cannot be told.
    pub(super) chrooted: Option<bool>,
    /// Whether our root is the kernel's first one (an initramfs).
    pub(super) initial_root: bool,
    /// Whether our pid namespace lies as deep as they can be nested.
    pub(super) deepest_pid: bool,
    /// Whether something covers parts of our /proc.
    pub(super) proc_masked: bool,
    /// What is wrong with our /proc, and what helps.
    pub(super) proc_trouble: Option<(String, String)>,
    /// `/proc/sys/user/max_*_namespaces`, for the kinds that were to be created.
    pub(super) limits: Vec<(NamespaceKind, u64)>,
    /// Whether `kernel.unprivileged_userns_clone` is 0.
    pub(super) userns_clone_off: bool,
    /// Whether `kernel.apparmor_restrict_unprivileged_userns` is 1.
    pub(super) apparmor_restricts: bool,
    /// What the control group that was joined says of processes: its pids.max.
    pub(super) joined_limit: Option<String>,
    /// Whether a seccomp filter is in force.
    pub(super) seccomp: bool,
    /// The kinds this kernel lacks, of those that were to be created.
    pub(super) lacking: Vec<NamespaceKind>,
}

impl Scene {
    /// Looks.
    pub(super) fn gather(kinds: KindSet) -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let number = |path: &str| text(path).trim().parse::<u64>().ok();
        let status = text("/proc/self/status");
        let mounts = std::fs::read("/proc/self/mountinfo").map(|text| mountinfo::parse(&text).mounts);
        let mounts = mounts.unwrap_or_default();
        let root = mounts.iter().rfind(|mount| mount.mount_point == b"/");
        let limit =
            |kind: NamespaceKind| Some((kind, number(&format!("/proc/sys/user/max_{}_namespaces", kind.name()))?));
        let links = std::path::Path::new("/proc/self/ns");
        let lacks = |kind: &NamespaceKind| links.exists() && !links.join(kind.name()).exists();
        let held = rustix::thread::capabilities(None).map(|sets| sets.effective);
        let is_root = rustix::process::geteuid().is_root();
        let new_user = kinds.contains(NamespaceKind::User);
        Self {
            admin: held.is_ok_and(|held| held.contains(CapabilitySet::SYS_ADMIN)),
            root_lacks: held.ok().filter(|_| is_root).map(CapabilitySet::complement),
            user_namespace: std::fs::metadata("/proc/self/ns/user").ok().map(|found| found.ino()),
            new_user,
            no_user_namespaces: number("/proc/sys/user/max_user_namespaces") == Some(0),
            unmapped: !maps("/proc/self/uid_map", rustix::process::geteuid().as_raw())
                || !maps("/proc/self/gid_map", rustix::process::getegid().as_raw()),
            chrooted: match root {
                _ if mounts.is_empty() => None,
                // In a plain directory: mountinfo shows what is below our root alone.
                None => Some(true),
                Some(root) => lies_below(root.id),
            },
            initial_root: root.is_some_and(|mount| matches!(&mount.fs_type[..], b"rootfs" | b"ramfs")),
            // 32 below the first (`MAX_PID_NS_LEVEL`); a /proc of a nearer one shows fewer.
            deepest_pid: status
                .lines()
                .find_map(|line| line.strip_prefix("NSpid:"))
                .is_some_and(|pids| pids.split_ascii_whitespace().count() > 32),
            proc_masked: mounts.iter().any(|mount| {
                mount.mount_point.starts_with(b"/proc/") && !matches!(&mount.fs_type[..], b"binfmt_misc" | b"autofs")
            }),
            proc_trouble: Proc::trouble()
                .map(|trouble| (trouble.to_string(), trouble.hint().unwrap_or_default().to_owned())),
            limits: kinds.iter().filter_map(limit).collect(),
            userns_clone_off: number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0),
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1),
            joined_limit: None,
            seccomp: status.lines().any(|line| line.starts_with("Seccomp:") && line.trim_end().ends_with('2')),
            lacking: kinds.iter().filter(lacks).collect(),
        }
    }
}

impl Scene {
    /// Looks at the control group that was joined too.
    #[must_use]
    pub(super) fn with_group(self, group: Option<&Path>) -> Self {
        let limit = |group: &Path| {
            let text = std::fs::read_to_string(group.join("pids.max")).ok()?;
            // `max` is none: another limit was reached.
            let limit: u64 = text.trim().parse().ok()?;
            Some(format!("pids.max of {} is {limit}", printable(group.as_os_str().as_encoded_bytes())))
        };
        Self { joined_limit: group.and_then(limit), ..self }
    }

    /// Says which of these capabilities root lacks, and where; `None` if we are not root, or lack none of them.
    pub(super) fn root_without(&self, needed: CapabilitySet) -> Option<String> {
        let missing = crate::CapabilitySet((self.root_lacks? & needed).bits());
        if missing.is_empty() {
            return None;
        }
        let names = missing.names().map(|name| name.to_ascii_uppercase()).collect::<Vec<_>>().join(" and ");
        let place = match self.user_namespace {
            Some(inode) if inode == NamespaceKind::User.facts().initial_inode => "the initial one".to_owned(),
            Some(inode) => inode.to_string(),
            None => "its number is unknown".to_owned(),
        };
        Some(format!("this root lacks {names} in its user namespace ({place})"))
    }

    /// Says how such a root gets them, or with `own` does without: by a user namespace, in which it has all.
    pub(super) fn way_for_root(&self, own: &str) -> String {
        let from_outside = "start whatever confines this root, such as a container, with the capability";
        if self.new_user || !self.may_have_user_namespace() {
            from_outside.to_owned()
        } else if self.seccomp {
            format!("{from_outside}; or {own}, if the seccomp filter we run under lets it")
        } else {
            format!("{own}; or {from_outside}")
        }
    }

    fn may_have_user_namespace(&self) -> bool {
        let refused = self.userns_clone_off || self.apparmor_restricts || self.no_user_namespaces || self.unmapped;
        !refused && self.chrooted != Some(true)
    }
}

/// Tells whether the mount that our root is lies elsewhere than at the root of our mount namespace: a table of mounts
/// that is seen from there, or from nearer to it, has another place for it.
fn lies_below(root: u32) -> Option<bool> {
    let place = |text: &[u8]| {
        let mounts = mountinfo::parse(text).mounts;
        mounts.into_iter().find(|mount| mount.id == root).map(|mount| mount.mount_point != b"/")
    };
    // Whoever joins a mount namespace gets its root (setns(2)), also of the one it is in.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let open = |path: &CStr| rustix::fs::open(path, flags, Mode::empty()).ok();
    let (own, proc) = (open(c"/proc/self/ns/mnt")?, open(c"/proc")?);
    let joined = read_within(&[own.as_fd()], proc.as_fd(), &[c"self/mountinfo"]);
    if let Some(text) = joined.ok().and_then(|texts| texts.into_iter().next().flatten()) {
        return place(&text);
    }
    // Without the privilege: the first process is seldom in a chroot of its own, and may be one of our mount namespace.
    let inode = |path: &str| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    let same = inode("/proc/1/ns/mnt").is_some_and(|first| inode("/proc/self/ns/mnt") == Some(first));
    let text = std::fs::read("/proc/1/mountinfo").ok().filter(|_| same)?;
    // That it has the same root proves nothing.
    place(&text).filter(|below| *below)
}

/// Tells whether the map in the file gives `id` a meaning. The overflow id of unmapped ones may be mapped itself, which
/// then cannot be told.
fn maps(file: &str, id: u32) -> bool {
    let Ok(text) = std::fs::read(file) else { return true };
    super::idmap::parse_map(&text).iter().any(|range| range.maps(id))
}
