//! What is looked up after a step has failed, so that its real cause can be told.

use rustix::thread::CapabilitySet;

use crate::kind::{KindSet, NamespaceKind};
use crate::proc::{Proc, mountinfo};

/// The circumstances of a failure. What could not be read is taken for harmless, so that nothing is claimed of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Scene {
    /// Whether we hold CAP_SYS_ADMIN.
    pub(super) admin: bool,
    /// Whether our effective user or group id has no name in our own user namespace.
    pub(super) unmapped: bool,
    /// Whether our root is not the root of our mount namespace.
    pub(super) chrooted: bool,
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
        Self {
            admin: rustix::thread::capabilities(None)
                .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN)),
            unmapped: !maps("/proc/self/uid_map", rustix::process::geteuid().as_raw())
                || !maps("/proc/self/gid_map", rustix::process::getegid().as_raw()),
            // A chroot into a plain directory has no line for `/`: mountinfo shows what is below our root alone.
            chrooted: !mounts.is_empty() && root.is_none(),
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
            seccomp: status.lines().any(|line| line.starts_with("Seccomp:") && line.trim_end().ends_with('2')),
            lacking: kinds.iter().filter(lacks).collect(),
        }
    }
}

/// Tells whether the map in the file gives `id` a meaning. The overflow id of unmapped ones may be mapped itself, which
/// then cannot be told.
fn maps(file: &str, id: u32) -> bool {
    let Ok(text) = std::fs::read(file) else { return true };
    super::idmap::parse_map(&text).iter().any(|range| range.maps(id))
}
