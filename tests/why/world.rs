//! Namespaces of every kind, held for real in every way there is.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use nix::sched::{CloneFlags, setns, unshare};
use nstool::NamespaceKind;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountPropagationFlags, UnmountFlags};

use crate::common::{Helper, eventually};

/// A way to keep a namespace alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The process it was made for.
    FirstMember,
    /// A process that joined it.
    Member,
    /// A thread of this very test.
    Thread,
    /// A process that joined it for its future children.
    ForChildren,
    /// A descriptor of its file.
    Descriptor,
    /// A descriptor of its file that was opened as a mere path (O_PATH).
    PathDescriptor,
    /// A descriptor of its file in a mount that is attached nowhere.
    DetachedMount,
    /// A descriptor of its file in a table that a thread of this very test shares with no other.
    ThreadDescriptor,
    /// A bind mount of its file.
    BindMount,
    /// A bind mount in a mount namespace without processes, which a descriptor keeps.
    MountElsewhere,
    /// The same, with something else mounted over it.
    MountBuried,
    /// A socket made in it.
    Socket,
    /// A Unix socket made in it, which has no addresses there.
    UnixSocket,
    /// A tun device's descriptor opened in it.
    Tun,
    /// An open file below `/proc/PID/net`; it keeps the process's number too, and with that a pid namespace.
    NetFile,
    /// An open file below `/proc/PID`.
    ProcFile,
    /// A working directory below `/proc/PID`.
    WorkingDirectory,
    /// An open `/proc/PID/mountinfo`.
    MountInfo,
    /// An open `/proc/PID/mounts`, which shows no ids.
    MountsFile,
    /// An open file of a control group.
    CgroupFile,
    /// A thread of this very test that joined it for its children.
    ThreadForChildren,
    /// A mounted procfs.
    Procfs,
    /// A pidfd of a process in it.
    Pidfd,
    /// A process that ended in it and was not reaped.
    Zombie,
    /// A child namespace that a descriptor keeps.
    Child,
    /// A namespace that it owns and a descriptor keeps.
    Owned,
}

/// Returns where control groups are mounted.
pub fn cgroup_mount() -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 ") || line.contains(" - cgroup "))?;
    line.split(' ').nth(4).map(str::to_owned)
}

/// Returns the ways that keep a namespace of this kind.
pub fn ways(kind: NamespaceKind) -> Vec<Way> {
    let mut ways = vec![Way::FirstMember, Way::Descriptor, Way::PathDescriptor, Way::ThreadDescriptor, Way::BindMount];
    if kind != NamespaceKind::Mnt {
        // The file of a mount namespace cannot be mounted in a younger one (mount_namespaces(7)).
        ways.extend([Way::DetachedMount, Way::MountElsewhere, Way::MountBuried]);
    }
    ways.extend_from_slice(match kind {
        NamespaceKind::Pid => &[
            Way::ForChildren,
            Way::ThreadForChildren,
            Way::Procfs,
            Way::Pidfd,
            Way::ProcFile,
            Way::WorkingDirectory,
            Way::NetFile,
            Way::MountsFile,
            Way::Child,
        ][..],
        NamespaceKind::User => &[Way::Member, Way::Zombie, Way::Child, Way::Owned],
        NamespaceKind::Time => &[Way::Member],
        NamespaceKind::Mnt => &[Way::Member, Way::Thread, Way::MountInfo, Way::MountsFile],
        NamespaceKind::Cgroup => &[Way::Member, Way::Thread, Way::CgroupFile],
        NamespaceKind::Net => &[Way::Member, Way::Thread, Way::Socket, Way::UnixSocket, Way::Tun, Way::NetFile],
        _ => &[Way::Member, Way::Thread],
    });
    ways.retain(|way| *way != Way::CgroupFile || cgroup_mount().is_some());
    ways.retain(|way| *way != Way::Tun || Path::new("/dev/net/tun").exists());
    ways
}

/// Something that keeps a namespace, and what it must be listed as.
pub struct Holder {
    pub way: Way,
    process: Option<Child>,
    thread: Option<Waiting>,
    mounted_on: Option<PathBuf>,
    /// What it is mounted on in another mount namespace; removing that unmounts it there.
    place_elsewhere: Option<PathBuf>,
}

struct Waiting {
    tid: i32,
    go_on: mpsc::Sender<()>,
    handle: std::thread::JoinHandle<()>,
}

impl Holder {
    fn process(way: Way, process: Child) -> Self {
        Self { way, process: Some(process), thread: None, mounted_on: None, place_elsewhere: None }
    }

    fn thread(way: Way, thread: Waiting) -> Self {
        Self { way, process: None, thread: Some(thread), mounted_on: None, place_elsewhere: None }
    }

    fn mount(way: Way, place: PathBuf) -> Self {
        Self { way, process: None, thread: None, mounted_on: Some(place), place_elsewhere: None }
    }

    /// Tells whether a holder that nstool listed, as JSON, is this one.
    pub fn is(&self, listed: &serde_json::Value) -> bool {
        if let Some(thread) = &self.thread {
            return listed["tid"] == thread.tid;
        }
        match (&self.process, &self.mounted_on) {
            (Some(process), _) => listed["pid"] == process.id(),
            (_, Some(place)) => listed["ours"] == true && listed["mount_point"] == *place.to_str().unwrap(),
            _ => false,
        }
    }

    /// Does what nstool says releases it: ends the process or thread, or unmounts.
    pub fn release(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.go_on);
            thread.handle.join().unwrap();
        }
        if let Some(place) = self.mounted_on.take() {
            rustix::mount::unmount(&place, UnmountFlags::DETACH).unwrap();
            std::fs::remove_file(&place).or_else(|_| std::fs::remove_dir(&place)).unwrap();
        }
        if let Some(place) = self.place_elsewhere.take() {
            std::fs::remove_file(place).unwrap();
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.release();
    }
}

/// Runs `act` in a thread with a mount namespace of its own, where mounts are made and vanish with it.
pub fn in_private_mounts(act: impl FnOnce() + Send) {
    elsewhere(
        || {
            stay_on_this_cpu();
            unshare(CloneFlags::CLONE_NEWNS)
        },
        || {
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            rustix::mount::mount_change("/", private).unwrap();
            act();
        },
    );
}

/// Keeps this thread, and what it starts, on one CPU. The file of a mount namespace can only be mounted in an older one
/// (EINVAL), and Linux 6.18 judges their age by ids that each CPU takes from a stock of its own.
fn stay_on_this_cpu() {
    let mut one = rustix::thread::CpuSet::new();
    one.set(rustix::thread::sched_getcpu());
    rustix::thread::sched_setaffinity(None, &one).unwrap();
}

/// Runs `act` in another thread, after `prepare` has put that one elsewhere.
fn elsewhere<T: Send>(prepare: impl FnOnce() -> nix::Result<()> + Send, act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            prepare().unwrap();
            act()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn flag(kind: NamespaceKind) -> CloneFlags {
    CloneFlags::from_bits_retain(kind.clone_flag() as i32)
}

fn join(namespace: &OwnedFd, kind: NamespaceKind) -> nix::Result<()> {
    unshare(CloneFlags::CLONE_FS)?;
    setns(namespace, flag(kind))
}

/// Gives this thread a table of descriptors of its own, with 0 to 2 alone in it: a copy of the others would keep what
/// they are about to let go of.
fn own_table() {
    crate::common::handle::keep_descriptors_below(3);
}

fn sleeper() -> Command {
    let mut sleep = Command::new("sleep");
    sleep.arg("infinity").stdin(Stdio::null()).stdout(Stdio::null());
    sleep
}

/// Starts a process that keeps a descriptor and nothing else.
fn keeper(file: impl Into<Stdio>) -> Child {
    sleeper().stdin(file).spawn().unwrap()
}

/// Starts a program that ends up executing sleep, and waits until it does.
fn becoming_sleep(words: &[&str]) -> Child {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args(["sleep", "infinity"]).stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.spawn().unwrap();
    let comm = format!("/proc/{}/comm", child.id());
    eventually(|| (std::fs::read_to_string(&comm).unwrap() == "sleep\n").then_some(()));
    child
}

pub fn open(path: impl AsRef<Path>) -> OwnedFd {
    File::open(path.as_ref()).unwrap_or_else(|error| panic!("{:?}: {error}", path.as_ref())).into()
}

/// Makes a namespace with one process in it.
pub fn make(kind: NamespaceKind) -> Holder {
    let process = match kind {
        NamespaceKind::User => becoming_sleep(&["unshare", "--user", "--map-root-user"]),
        kind => elsewhere(|| unshare(flag(kind)), || sleeper().spawn().unwrap()),
    };
    Holder::process(Way::FirstMember, process)
}

/// Opens the namespace of that kind that the holder's process is in.
pub fn namespace_of(first: &Holder, kind: NamespaceKind) -> OwnedFd {
    open(format!("/proc/{}/ns/{kind}", first.process.as_ref().unwrap().id()))
}

/// Holds the namespace that `first` is in one way more.
pub fn hold(first: &Holder, kind: NamespaceKind, way: Way) -> Holder {
    let pid = first.process.as_ref().unwrap().id();
    let file = format!("/proc/{pid}/ns/{kind}");
    let namespace = open(&file);
    let process = |process| Holder::process(way, process);
    match way {
        Way::FirstMember => unreachable!("that one is made with the namespace"),
        Way::Member => process(match kind {
            // These cannot be joined by a thread.
            NamespaceKind::User | NamespaceKind::Time => becoming_sleep(&["nsenter", &format!("--{kind}={file}")]),
            kind => elsewhere(|| join(&namespace, kind), || sleeper().spawn().unwrap()),
        }),
        Way::Thread | Way::ThreadForChildren => {
            let (say, told) = mpsc::channel();
            let (go_on, wait) = mpsc::channel();
            let handle = std::thread::spawn(move || {
                join(&namespace, kind).unwrap();
                drop(namespace);
                say.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
                let _: Result<(), _> = wait.recv();
            });
            Holder::thread(way, Waiting { tid: told.recv().unwrap(), go_on, handle })
        }
        Way::ThreadDescriptor => {
            drop(namespace);
            let (say, told) = mpsc::channel();
            let (go_on, wait) = mpsc::channel();
            let handle = std::thread::spawn(move || {
                own_table();
                let _namespace = open(file);
                say.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
                let _: Result<(), _> = wait.recv();
            });
            Holder::thread(way, Waiting { tid: told.recv().unwrap(), go_on, handle })
        }
        Way::PathDescriptor => {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            process(keeper(rustix::fs::open(&file, flags, Mode::empty()).unwrap()))
        }
        Way::DetachedMount => {
            use rustix::mount::OpenTreeFlags;
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            process(keeper(rustix::mount::open_tree(rustix::fs::CWD, &file, flags).unwrap()))
        }
        Way::Zombie => {
            let mut ended = becoming_sleep(&["nsenter", &format!("--{kind}={file}")]);
            ended.kill().unwrap();
            let stat = format!("/proc/{}/stat", ended.id());
            eventually(|| std::fs::read_to_string(&stat).unwrap().contains(") Z ").then_some(()));
            process(ended)
        }
        Way::ForChildren => process(becoming_sleep(&["nsenter", "--no-fork", &format!("--pid={file}")])),
        Way::Descriptor => process(keeper(namespace)),
        Way::BindMount => Holder::mount(way, bind(&file)),
        Way::MountElsewhere | Way::MountBuried => {
            let place = mount_point(false);
            let mounts = elsewhere(
                || unshare(CloneFlags::CLONE_NEWNS),
                || {
                    rustix::mount::mount_bind(&file, &place).unwrap();
                    if way == Way::MountBuried {
                        rustix::mount::mount_bind("/dev/null", &place).unwrap();
                    }
                    open("/proc/thread-self/ns/mnt")
                },
            );
            let mut holder = process(keeper(mounts));
            holder.place_elsewhere = Some(place);
            holder
        }
        Way::Socket => {
            let bind = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            process(keeper(OwnedFd::from(elsewhere(|| join(&namespace, kind), bind))))
        }
        Way::UnixSocket => {
            let make = || std::os::unix::net::UnixDatagram::unbound().unwrap();
            process(keeper(OwnedFd::from(elsewhere(|| join(&namespace, kind), make))))
        }
        Way::Tun => {
            let open = || File::options().read(true).write(true).open("/dev/net/tun").unwrap();
            process(keeper(elsewhere(|| join(&namespace, kind), open)))
        }
        Way::NetFile => process(keeper(open(format!("/proc/{pid}/net/dev")))),
        Way::WorkingDirectory => process(sleeper().current_dir(format!("/proc/{pid}/task")).spawn().unwrap()),
        Way::ProcFile => process(keeper(open(format!("/proc/{pid}/status")))),
        Way::MountsFile => process(keeper(open(format!("/proc/{pid}/mounts")))),
        Way::CgroupFile => {
            let open = || open(format!("{}/cgroup.procs", cgroup_mount().unwrap()));
            process(keeper(elsewhere(|| join(&namespace, kind), open)))
        }
        Way::MountInfo => process(keeper(open(format!("/proc/{pid}/mountinfo")))),
        Way::Procfs => {
            let place = mount_point(true);
            let mut mount = Command::new("mount");
            mount.args(["-t", "proc", "proc"]).arg(&place).stdin(Stdio::null());
            let status = elsewhere(|| join(&namespace, kind), || mount.status().unwrap());
            assert!(status.success());
            Holder::mount(way, place)
        }
        Way::Pidfd => {
            let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
            let flags = rustix::process::PidfdFlags::empty();
            process(keeper(rustix::process::pidfd_open(pid, flags).unwrap()))
        }
        Way::Child | Way::Owned => process(keeper(below(&file, kind, way))),
    }
}

/// Makes a child of a namespace, or a network namespace that it owns, and returns its descriptor alone.
fn below(file: &str, kind: NamespaceKind, way: Way) -> OwnedFd {
    let joined = format!("--{kind}={file}");
    let made = match way {
        Way::Owned => NamespaceKind::Net,
        _ => kind,
    };
    let words = ["unshare", "--fork", &format!("--{made}"), "sh", "-c", "echo there; exec sleep infinity"];
    let helper = Helper::start("nsenter", &[&[joined.as_str()], &words[..]].concat());
    // The one at the end of the chain is in the new namespace.
    let mut last = helper.pid();
    while let Some(child) = child_of(last) {
        last = child;
    }
    open(format!("/proc/{last}/ns/{made}"))
}

fn child_of(pid: i32) -> Option<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().next()?.parse().ok()
}

/// Makes a file or directory to mount on; its name is nobody else's.
fn mount_point(directory: bool) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("nstool why {} {}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let place = std::env::temp_dir().join(name);
    let made: io::Result<()> = if directory { std::fs::create_dir(&place) } else { File::create(&place).map(drop) };
    made.unwrap();
    place
}

fn bind(file: &str) -> PathBuf {
    let place = mount_point(false);
    rustix::mount::mount_bind(file, &place).unwrap();
    place
}
