//! Mount namespaces to experiment in: one thread that hops between them, and nothing that reaches the machine's mounts.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags};
use nix::sched::{CloneFlags, setns, unshare};
use nstool::discover::MountTables;
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};

const NONE: Option<&str> = None;

/// `STATX_MNT_ID_UNIQUE` (since Linux 6.8).
const MNT_ID_UNIQUE: u32 = 0x4000;

/// Directories that every filesystem of the laboratory holds.
const DIRECTORIES: [&str; 6] = ["a", "b", "a/a", "a/b", "b/a", "b/b"];

/// Some mount namespaces, and the directory all happens below.
pub(crate) struct Lab {
    /// The namespace the thread came from.
    home: OwnedFd,
    pub(crate) namespaces: Vec<OwnedFd>,
    pub(crate) path: PathBuf,
}

fn own_namespace() -> OwnedFd {
    rustix::fs::open("/proc/thread-self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// Takes away what is mounted here but for the system's directories. Mounts of other tests are among it, and the kernel
/// unmounts those everywhere when the directories below them are removed.
fn leave_the_machines_own() {
    let text = std::fs::read("/proc/thread-self/mountinfo").unwrap();
    for mount in nstool::proc::mountinfo::parse(&text).mounts.iter().rev() {
        let path = OsStr::from_bytes(&mount.mount_point);
        let of_system = ["/proc", "/sys", "/dev"].iter().any(|system| Path::new(path).starts_with(system));
        if path != "/" && !of_system {
            // One that went with the mount it stood on, or is gone already.
            let _ = nix::mount::umount2(path, MntFlags::MNT_DETACH);
        }
    }
}

impl Lab {
    /// Opens the laboratory on the calling thread, which must be one of its own: a namespace whose mounts are private,
    /// with a tmpfs at `path`, a directory that exists, shared or not.
    pub(crate) fn open(path: &Path, shared: bool) -> Self {
        unshare(CloneFlags::CLONE_FS).unwrap();
        let home = own_namespace();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        nix::mount::mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).unwrap();
        leave_the_machines_own();
        let lab = Self { home, namespaces: vec![own_namespace()], path: path.to_owned() };
        lab.mount_tmpfs(path).unwrap();
        if shared {
            lab.change(path, MsFlags::MS_SHARED).unwrap();
        }
        lab.leave();
        lab
    }

    /// Moves the thread into one of the namespaces, below `root` if given.
    pub(crate) fn enter(&self, namespace: usize, root: Option<BorrowedFd<'_>>) {
        setns(&self.namespaces[namespace], CloneFlags::CLONE_NEWNS).unwrap();
        if let Some(root) = root {
            rustix::process::fchdir(root).unwrap();
            rustix::process::chroot(".").unwrap();
        }
    }

    /// Moves the thread back to where it came from.
    pub(crate) fn leave(&self) {
        setns(&self.home, CloneFlags::CLONE_NEWNS).unwrap();
    }

    /// Mounts a new filesystem where the thread is, and fills it with directories.
    pub(crate) fn mount_tmpfs(&self, path: &Path) -> nix::Result<()> {
        nix::mount::mount(Some("lab"), path, Some("tmpfs"), MsFlags::empty(), NONE)?;
        for directory in DIRECTORIES {
            // What is mounted on a process's own root is not what "/" leads it to: then they are there already.
            let _ = std::fs::create_dir(path.join(directory));
        }
        Ok(())
    }

    pub(crate) fn bind(&self, source: &Path, path: &Path, recursive: bool) -> nix::Result<()> {
        let flags = if recursive { MsFlags::MS_BIND | MsFlags::MS_REC } else { MsFlags::MS_BIND };
        nix::mount::mount(Some(source), path, NONE, flags, NONE)
    }

    pub(crate) fn move_mount(&self, source: &Path, path: &Path) -> nix::Result<()> {
        nix::mount::mount(Some(source), path, NONE, MsFlags::MS_MOVE, NONE)
    }

    pub(crate) fn change(&self, path: &Path, flags: MsFlags) -> nix::Result<()> {
        nix::mount::mount(NONE, path, NONE, flags, NONE)
    }

    pub(crate) fn unmount(&self, path: &Path, lazy: bool) -> nix::Result<()> {
        let flags = if lazy { MntFlags::MNT_DETACH } else { MntFlags::empty() };
        nix::mount::umount2(path, flags | MntFlags::UMOUNT_NOFOLLOW)
    }

    /// Clones the mount namespace the thread is in.
    pub(crate) fn clone_namespace(&mut self) {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        self.namespaces.push(own_namespace());
    }

    /// Clones the mount namespace the thread is in, for a new user namespace.
    pub(crate) fn clone_namespace_for_user(&mut self) {
        let mut child = Command::new("unshare")
            .args(["--user", "--mount", "--propagation", "unchanged", "sh", "-c", "echo; read end"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        let path = format!("/proc/{}/ns/mnt", child.id());
        self.namespaces.push(
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).expect("the helper is there"),
        );
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    /// Reads the tables of all namespaces. The thread must have left.
    pub(crate) fn tables(&self) -> MountTables {
        let fds: Vec<BorrowedFd<'_>> = self.namespaces.iter().map(AsFd::as_fd).collect();
        MountTables::of(&fds).unwrap()
    }
}

/// Opens a directory where the thread is, without following a link.
pub(crate) fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Returns the unique id of the mount a descriptor was opened on.
pub(crate) fn mount_id(fd: impl AsFd) -> u64 {
    let mask = StatxFlags::from_bits_retain(MNT_ID_UNIQUE);
    rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, mask).unwrap().stx_mnt_id
}

/// Returns the path of what a descriptor was opened on, from the root of its namespace. The thread must have left.
pub(crate) fn path_of(fd: impl AsFd) -> PathBuf {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/thread-self/fd/{}", fd.as_fd().as_raw_fd());
    PathBuf::from(OsStr::from_bytes(rustix::fs::readlink(link, Vec::new()).unwrap().as_bytes()))
}
