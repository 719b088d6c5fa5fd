//! Carries out the building blocks below the new root. Runs in the child, so nothing here allocates.
//!
//! What is mounted is attached to the very descriptor that its place was opened by (see [`place`](super::place)): no link
//! put there meanwhile can lead a mount elsewhere. Kernels without these calls get mount(2) through `/proc/self/fd`.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
};

use super::filesystem::{DEVICES, Operation, TargetPath};
use super::place::{Missing, Site, errno, open_below};
use super::sources::{Source, Sources};
use super::trail::Made;
use crate::sys::mounts::{OPEN_TREE, set_attributes};

const LINKS: [(&CStr, &CStr); 5] = [
    (c"/proc/self/fd", c"fd"),
    (c"/proc/self/fd/0", c"stdin"),
    (c"/proc/self/fd/1", c"stdout"),
    (c"/proc/self/fd/2", c"stderr"),
    (c"pts/ptmx", c"ptmx"),
];

const KERNEL_FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Carries out one operation, whose sources are the next ones. `submounts` are the mounts below the source of a bind,
/// relative to it; a kernel without mount_setattr(2) needs them.
pub(super) fn carry_out(
    operation: &Operation,
    site: &mut Site<'_>,
    sources: &mut Sources,
    submounts: &[CString],
) -> Result<()> {
    match operation {
        Operation::Bind { source, target, read_only } => {
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            let flags = if *read_only { flags | MountFlags::RDONLY } else { flags };
            bind(sources.next(source)?, site, target, flags, submounts)
        }
        Operation::Tmpfs { target, options } => {
            let options = options.iter().map(|(key, value)| (key.as_c_str(), value.as_c_str()));
            mount_new(c"tmpfs", site, target, MountFlags::NOSUID | MountFlags::NODEV, options).map(drop)
        }
        Operation::Proc { target } => mount_kernel(c"proc", site, target),
        Operation::Sysfs { target } => mount_kernel(c"sysfs", site, target),
        Operation::Dev { target } => make_dev(site, sources, target),
        Operation::Symlink { text, parent, name, .. } => {
            let parent = site.open_or_make(parent, Missing::Directory)?;
            match rustix::fs::symlinkat(text.as_c_str(), &parent, name.as_c_str()) {
                Err(Errno::EXIST) if reads(parent.as_fd(), name, text) => Ok(()),
                result => result.and_then(|()| site.trail.note(parent, name, Made::Link)),
            }
        }
        Operation::Dir { target } => site.open_or_make(target, Missing::Directory).map(drop),
    }
}

/// Mounts a filesystem that has no options, nosuid, nodev and noexec.
fn mount_kernel(fs_type: &CStr, site: &mut Site<'_>, target: &TargetPath) -> Result<()> {
    mount_new(fs_type, site, target, KERNEL_FLAGS, std::iter::empty()).map(drop)
}

/// The same on a place that must be there.
pub(super) fn mount_kernel_there(fs_type: &CStr, root: BorrowedFd<'_>, target: &TargetPath) -> Result<()> {
    let place = open_below(root, target.whole())?;
    mount_at(fs_type, root, target.whole(), place.as_fd(), KERNEL_FLAGS, std::iter::empty()).map(drop)
}

/// Tells whether the link `name` says `text`.
fn reads(directory: BorrowedFd<'_>, name: &CStr, text: &CStr) -> bool {
    let mut buffer = [0; 4096];
    let read = rustix::fs::readlinkat_raw(directory, name, &mut buffer[..]);
    read.is_ok_and(|length| buffer[..length] == *text.to_bytes())
}

/// Binds the tree `dir` onto itself, as pivot_root(2) wants it, and returns the root of what is now there.
pub(super) fn bind_on_itself(dir: &CStr) -> Result<OwnedFd> {
    if let Source::Tree(tree) = Source::take(dir)? {
        let place = rustix::fs::open(dir, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        attach(tree.as_fd(), place.as_fd())?;
        return Ok(tree);
    }
    rustix::mount::mount(dir, dir, c"", MountFlags::BIND | MountFlags::REC, None)?;
    // Opened anew: the path leads onto the new mount now.
    rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn bind(
    source: Source,
    site: &mut Site<'_>,
    target: &TargetPath,
    flags: MountFlags,
    submounts: &[CString],
) -> Result<()> {
    let missing = Missing::for_source(source.as_fd())?;
    let bound = match source {
        Source::Tree(tree) => {
            // Before it is attached, so that it is nowhere to be seen without them.
            let restricted = set_attributes(tree.as_fd(), attributes_of(flags).bits().into());
            let is_restricted = restricted.transpose().map_err(errno)?.is_some();
            let place = site.open_or_make(target, missing)?;
            attach(tree.as_fd(), place.as_fd()).map_err(|errno| match Missing::for_source(place.as_fd()) {
                Ok(there) if there != missing => Errno::NOTDIR,
                _ => errno,
            })?;
            if is_restricted {
                return Ok(());
            }
            tree
        }
        Source::Place(source) => {
            let place = site.open_or_make(target, missing)?;
            let (from, to) = (FdPath::new(source.as_fd()), FdPath::new(place.as_fd()));
            rustix::mount::mount(from.as_c_str(), to.as_c_str(), c"", MountFlags::BIND | MountFlags::REC, None)?;
            open_below(site.root, target.whole())?
        }
    };
    if let Some(result) = set_attributes(bound.as_fd(), attributes_of(flags).bits().into()) {
        return result.map_err(errno);
    }
    restrict(bound.as_fd(), flags)?;
    for submount in submounts {
        match open_below(bound.as_fd(), submount) {
            Ok(below) => restrict(below.as_fd(), flags)?,
            // Hidden below another mount: nobody can reach it to write.
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Adds flags to the mount that `mounted` is the root of.
fn restrict(mounted: BorrowedFd<'_>, flags: MountFlags) -> Result<()> {
    // A remount replaces all flags, and those that came from a more privileged namespace must stay (EPERM); statfs(2)
    // tells them in the bits of mount(2) but for relatime.
    let present = rustix::fs::fstatvfs(mounted)?.f_flag.bits();
    let kept =
        present & u64::from((MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC).bits());
    let atime = match present {
        bits if bits & libc::ST_NOATIME != 0 => MountFlags::NOATIME,
        bits if bits & libc::ST_RELATIME != 0 => MountFlags::RELATIME,
        _ => MountFlags::STRICTATIME,
    };
    let atime = if present & libc::ST_NODIRATIME != 0 { atime | MountFlags::NODIRATIME } else { atime };
    let flags = flags | MountFlags::from_bits_retain(kept as u32) | atime | MountFlags::BIND;
    rustix::mount::mount_remount(FdPath::new(mounted).as_c_str(), flags, c"")
}

/// Mounts a new filesystem and returns its root.
fn mount_new<'a>(
    fs_type: &CStr,
    site: &mut Site<'_>,
    target: &TargetPath,
    flags: MountFlags,
    options: impl Iterator<Item = (&'a CStr, &'a CStr)>,
) -> Result<OwnedFd> {
    let place = site.open_or_make(target, Missing::Directory)?;
    mount_at(fs_type, site.root, target.whole(), place.as_fd(), flags, options)
}

/// The same on a place that is there: `place`, which is `path` below `root`.
fn mount_at<'a>(
    fs_type: &CStr,
    root: BorrowedFd<'_>,
    path: &CStr,
    place: BorrowedFd<'_>,
    flags: MountFlags,
    options: impl Iterator<Item = (&'a CStr, &'a CStr)>,
) -> Result<OwnedFd> {
    if let Some(context) = OPEN_TREE.attempt(|| Ok(rustix::mount::fsopen(fs_type, FsOpenFlags::FSOPEN_CLOEXEC)?)) {
        let context = context.map_err(errno)?;
        // What `mount -t proc proc` would show as the source.
        rustix::mount::fsconfig_set_string(context.as_fd(), c"source", fs_type)?;
        for (key, value) in options {
            rustix::mount::fsconfig_set_string(context.as_fd(), key, value)?;
        }
        rustix::mount::fsconfig_create(context.as_fd())?;
        let mount = rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes_of(flags))?;
        attach(mount.as_fd(), place)?;
        return Ok(mount);
    }
    let mut data = Data::new();
    for (key, value) in options {
        data.push(key, value)?;
    }
    let to = FdPath::new(place);
    rustix::mount::mount(fs_type, to.as_c_str(), fs_type, flags, data.as_c_str())?;
    // The descriptor still means the directory below the mount.
    open_below(root, path)
}

fn make_dev(site: &mut Site<'_>, sources: &mut Sources, target: &TargetPath) -> Result<()> {
    let plain = MountFlags::NOSUID | MountFlags::NOEXEC;
    // Its devices are binds of the outer ones, so that nodev on the tmpfs itself harms none.
    let dev = mount_new(c"tmpfs", site, target, plain | MountFlags::NODEV, [(c"mode", c"0755")].into_iter())?;
    for (path, name) in DEVICES {
        let file = rustix::fs::openat(&dev, name, OFlags::CREATE | OFlags::CLOEXEC, Mode::from_raw_mode(0o666))?;
        match sources.next(path)? {
            Source::Tree(device) => attach(device.as_fd(), file.as_fd())?,
            Source::Place(device) => {
                let (from, to) = (FdPath::new(device.as_fd()), FdPath::new(file.as_fd()));
                rustix::mount::mount(from.as_c_str(), to.as_c_str(), c"", MountFlags::BIND, None)?;
            }
        }
    }
    for (text, name) in LINKS {
        rustix::fs::symlinkat(text, &dev, name)?;
    }
    // The modes as on a machine: everybody may use shm, and pts is for lookup.
    rustix::fs::mkdirat(&dev, c"shm", Mode::from_raw_mode(0o1777))?;
    rustix::fs::chmodat(&dev, c"shm", Mode::from_raw_mode(0o1777), AtFlags::empty())?;
    rustix::fs::mkdirat(&dev, c"pts", Mode::from_raw_mode(0o755))?;
    let pts = open_below(dev.as_fd(), c"pts")?;
    // No gid=5: a namespace that maps one id alone has no group 5 (EINVAL). newinstance is implied since Linux 4.7.
    let options = [(c"ptmxmode", c"0666"), (c"mode", c"0620")].into_iter();
    mount_at(c"devpts", dev.as_fd(), c"pts", pts.as_fd(), plain, options).map(drop)
}

/// Makes the process's root `root`, with the old one detached or left behind.
pub(super) fn change_root(root: BorrowedFd<'_>, pivot: bool) -> Result<()> {
    rustix::process::fchdir(root)?;
    if pivot {
        // Both in one place: the old root ends on top of the new one, and "." still means the old one (pivot_root(2)).
        rustix::process::pivot_root(c".", c".")?;
        // Where mounts were left shared, taking these away would take them away from the outer mount namespace as well.
        let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        rustix::mount::mount_change(c".", flags)?;
        rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    } else {
        rustix::process::chroot(c".")?;
    }
    rustix::process::chdir(c"/")
}

fn attach(tree: BorrowedFd<'_>, place: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, c"", place, c"", flags)
}

fn attributes_of(flags: MountFlags) -> MountAttrFlags {
    [
        (MountFlags::RDONLY, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (MountFlags::NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (MountFlags::NODEV, MountAttrFlags::MOUNT_ATTR_NODEV),
        (MountFlags::NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
    ]
    .into_iter()
    .filter(|(flag, _)| flags.contains(*flag))
    .fold(MountAttrFlags::empty(), |attributes, (_, attribute)| attributes | attribute)
}

/// `/proc/self/fd/N`, on the stack.
pub(super) struct FdPath([u8; 32]);

impl FdPath {
    pub(super) fn new(fd: BorrowedFd<'_>) -> Self {
        Self::of_number(fd.as_raw_fd())
    }

    fn of_number(mut number: i32) -> Self {
        let mut path = [0; 32];
        let prefix = b"/proc/self/fd/";
        path[..prefix.len()].copy_from_slice(prefix);
        let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
        for place in path[prefix.len()..prefix.len() + digits].iter_mut().rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
        }
        Self(path)
    }

    pub(super) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// The options of mount(2), `key=value,…`, on the stack.
struct Data {
    bytes: [u8; 1024],
    length: usize,
}

impl Data {
    fn new() -> Self {
        Self { bytes: [0; 1024], length: 0 }
    }

    fn push(&mut self, key: &CStr, value: &CStr) -> Result<()> {
        let separator: &[u8] = if self.length == 0 { b"" } else { b"," };
        for part in [separator, key.to_bytes(), b"=", value.to_bytes()] {
            let end = self.length + part.len();
            // The last byte stays the NUL.
            let room = self.bytes[..1023].get_mut(self.length..end).ok_or(Errno::NAMETOOLONG)?;
            room.copy_from_slice(part);
            self.length = end;
        }
        Ok(())
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_and_options_are_spelled_without_allocating() {
        for number in [0, 9, 10, 1_234_567] {
            let expected = format!("/proc/self/fd/{number}");
            assert_eq!(FdPath::of_number(number).as_c_str().to_str().unwrap(), expected);
        }
        let mut data = Data::new();
        data.push(c"mode", c"0755").unwrap();
        data.push(c"size", c"1m").unwrap();
        assert_eq!(data.as_c_str(), c"mode=0755,size=1m");
        let long = CString::new([b'x'; 1020]).unwrap();
        assert_eq!(data.push(c"size", &long), Err(Errno::NAMETOOLONG));
    }
}
