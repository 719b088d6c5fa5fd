//! Sets a scene for the tests that no installed program can set, prints a line when it stands, and waits to be killed.
//!
//! usage: stage socket | descriptor | path | thread | leader | zombie | name | fuse DIRECTORY | storm SECONDS |
//!              without [CALL…] -- COMMAND… | refused [CALL…] -- COMMAND… |
//!              shared COMMAND…

#![expect(clippy::unwrap_used, reason = "a scene that cannot be set fails the test")]

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use rustix::fs::{Mode, OFlags};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    match arguments.first().map(String::as_str) {
        Some("socket") => socket(),
        Some("descriptor") => descriptor(),
        Some("path") => path(),
        Some("thread") => in_a_thread(),
        Some("leader") => leader(),
        Some("zombie") => zombie(),
        Some("name") => name(),
        Some("fuse") => fuse(&rest[0]),
        Some("storm") => storm(rest),
        Some("without") => without(rest, libc::ENOSYS),
        Some("refused") => without(rest, libc::EPERM),
        Some("shared") => shared(rest),
        other => panic!("unknown scene {other:?}"),
    }
}

fn ready(line: impl std::fmt::Display) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).unwrap();
}

fn wait() -> ! {
    loop {
        thread::park();
    }
}

fn inode(path: &str) -> u64 {
    std::fs::metadata(path).unwrap().ino()
}

/// A socket is all that is left of a network namespace; prints its inode and the socket's descriptor.
fn socket() {
    let home = File::open("/proc/thread-self/ns/net").unwrap();
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let socket = UnixDatagram::unbound().unwrap();
    let ino = inode("/proc/thread-self/ns/net");
    setns(home, CloneFlags::CLONE_NEWNET).unwrap();
    ready(format_args!("{ino} {}", socket.as_raw_fd()));
    wait();
}

/// A descriptor is all that is left of a UTS namespace; prints its inode and the descriptor.
fn descriptor() {
    let home = File::open("/proc/thread-self/ns/uts").unwrap();
    unshare(CloneFlags::CLONE_NEWUTS).unwrap();
    let kept = File::open("/proc/thread-self/ns/uts").unwrap();
    setns(home, CloneFlags::CLONE_NEWUTS).unwrap();
    ready(format_args!("{} {}", kept.metadata().unwrap().ino(), kept.as_raw_fd()));
    wait();
}

/// A child has ended and nobody waits for it; prints its id.
#[expect(clippy::zombie_processes, reason = "that is the scene")]
fn zombie() {
    let child = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
    let id = Id::Pid(nix::unistd::Pid::from_raw(child.id() as i32));
    waitid(id, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
    ready(child.id());
    wait();
}

/// A descriptor opened with O_PATH is all that is left of a UTS namespace; prints its inode and the descriptor.
fn path() {
    let home = File::open("/proc/thread-self/ns/uts").unwrap();
    unshare(CloneFlags::CLONE_NEWUTS).unwrap();
    let flags = OFlags::PATH;
    let kept = rustix::fs::open("/proc/thread-self/ns/uts", flags, Mode::empty()).unwrap();
    setns(home, CloneFlags::CLONE_NEWUTS).unwrap();
    ready(format_args!("{} {}", rustix::fs::fstat(&kept).unwrap().st_ino, kept.as_raw_fd()));
    wait();
}

/// A thread alone is in a UTS namespace; prints the inode and the thread's id.
fn in_a_thread() {
    thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWUTS).unwrap();
        ready(format_args!("{} {}", inode("/proc/thread-self/ns/uts"), nix::unistd::gettid()));
        wait();
    });
    wait();
}

/// The leader thread ends, another lives on in a UTS namespace that both were in, and holds descriptor and socket of two
/// others; a third thread is in yet another. Prints the inodes: UTS, of the descriptor, of the socket, of the thread.
fn leader() {
    let home = File::open("/proc/thread-self/ns/net").unwrap();
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let (socket, of_socket) = (UnixDatagram::unbound().unwrap(), inode("/proc/thread-self/ns/net"));
    setns(home, CloneFlags::CLONE_NEWNET).unwrap();
    let home = File::open("/proc/thread-self/ns/ipc").unwrap();
    unshare(CloneFlags::CLONE_NEWIPC).unwrap();
    let kept = File::open("/proc/thread-self/ns/ipc").unwrap();
    setns(home, CloneFlags::CLONE_NEWIPC).unwrap();
    unshare(CloneFlags::CLONE_NEWUTS).unwrap();
    let process = std::process::id();
    thread::spawn(move || {
        let (say, hear) = mpsc::channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWUTS).unwrap();
            say.send(inode("/proc/thread-self/ns/uts")).unwrap();
            wait();
        });
        let stray = hear.recv().unwrap();
        let stat = format!("/proc/{process}/stat");
        while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
            thread::sleep(Duration::from_millis(1));
        }
        let own = inode("/proc/thread-self/ns/uts");
        ready(format_args!("{own} {} {of_socket} {stray}", kept.metadata().unwrap().ino()));
        let _kept = (kept, socket);
        wait();
    });
    end_this_thread();
}

#[expect(unsafe_code, reason = "no safe function ends the main thread alone")]
fn end_this_thread() {
    // SAFETY: nothing that lives on this thread's stack is used by the other one.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

/// A process whose thread name would clear the screen and is no UTF-8, without arguments to show instead.
fn name() {
    nix::sys::prctl::set_name(c"\x1b[2J\xff\n").unwrap();
    ready("named");
    wait();
}

/// Mounts a FUSE filesystem that answers until a namespace file is mounted on its only file, and then never again;
/// prints the inode of that network namespace. The mount namespace is the caller's to end.
fn fuse(directory: &str) {
    let device = rustix::fs::open("/dev/fuse", OFlags::RDWR, Mode::empty()).unwrap();
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
    let options = std::ffi::CString::new(options).unwrap();
    rustix::mount::mount("none", directory, "fuse", rustix::mount::MountFlags::empty(), &*options).unwrap();
    let stuck = Arc::new(AtomicBool::new(false));
    let answering = Arc::clone(&stuck);
    thread::spawn(move || {
        let mut request = vec![0u8; 1 << 20];
        loop {
            let length = rustix::io::read(&device, &mut request).unwrap();
            if !answering.load(Ordering::SeqCst) {
                answer(&device, &request[..length]);
            }
        }
    });
    let file = format!("{directory}/file");
    let made = Command::new("unshare")
        .args(["-n", "sh", "-c", &format!("mount --bind /proc/self/ns/net {file} && stat -Lc %i /proc/self/ns/net")])
        .output()
        .unwrap();
    assert!(made.status.success());
    stuck.store(true, Ordering::SeqCst);
    ready(String::from_utf8(made.stdout).unwrap().trim());
    wait();
}

/// Answers one request (the kernel's `include/uapi/linux/fuse.h`): a root directory with one file; nothing is cached.
fn answer(device: &impl std::os::fd::AsFd, request: &[u8]) {
    const LOOKUP: u32 = 1;
    const FORGET: u32 = 2;
    const GETATTR: u32 = 3;
    const INIT: u32 = 26;
    let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
    let node = u64::from(word(16));
    let attributes = |node: u64| {
        let mode: u32 = if node == 1 { 0o040_755 } else { 0o100_644 };
        let times = [node, 0, 0, 0, 0, 0].map(u64::to_ne_bytes).concat();
        [times, [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0].map(u32::to_ne_bytes).concat()].concat()
    };
    let (error, body) = match word(4) {
        INIT => (0, [[7u32, 31, 65536, 0, 0, 65536].map(u32::to_ne_bytes).concat(), vec![0; 40]].concat()),
        LOOKUP => (0, [[2u64, 0, 0, 0].map(u64::to_ne_bytes).concat(), vec![0; 8], attributes(2)].concat()),
        GETATTR => (0, [vec![0; 16], attributes(node)].concat()),
        FORGET => return,
        _ => (-libc::ENOSYS, Vec::new()),
    };
    let length = (16 + body.len()) as u32;
    let header = [&length.to_ne_bytes()[..], &error.to_ne_bytes(), &request[8..16]].concat();
    let _ = rustix::io::write(device, &[header, body].concat());
}

/// Processes come and go as fast as they can, for a while at the most.
fn storm(rest: &[String]) {
    let end = Instant::now() + Duration::from_secs(rest[0].parse().unwrap());
    ready("storming");
    while Instant::now() < end {
        let children: Vec<_> = (0..16)
            .map(|_| {
                let mut command = Command::new("unshare");
                command.args(["--uts", "true"]).stdin(Stdio::null()).spawn().unwrap()
            })
            .collect();
        children.into_iter().for_each(|mut child| {
            child.wait().unwrap();
        });
    }
}

/// Runs a command without some system calls, as an older kernel would: named calls answer ENOSYS, and the ioctls of
/// newer kernels on pidfds and namespaces ENOTTY. Or as a stricter container would, which answers EPERM.
fn without(rest: &[String], errno: i32) {
    let end = rest.iter().position(|word| word == "--").unwrap();
    let (calls, command) = (&rest[..end], &rest[end + 1..]);
    if calls.iter().any(|call| call == "ioctls") {
        // PIDFD_GET_*; NS_GET_ID and NS_MNT_GET_*.
        let requests = (0xff01..=0xff0a).chain([0xc040_ff0b, 0x8010_b70a, 0x8010_b70b, 0x8010_b70c, 0x8008_b70d]);
        let rule = |request: u64| {
            let same = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, request).unwrap();
            SeccompRule::new(vec![same]).unwrap()
        };
        install(vec![(libc::SYS_ioctl, requests.map(rule).collect())], libc::ENOTTY);
    }
    let numbers = calls.iter().filter_map(|call| match call.as_str() {
        "pidfd_open" => Some(libc::SYS_pidfd_open),
        "pidfd_getfd" => Some(libc::SYS_pidfd_getfd),
        "openat2" => Some(libc::SYS_openat2),
        "kcmp" => Some(libc::SYS_kcmp),
        "open_by_handle_at" => Some(libc::SYS_open_by_handle_at),
        "close_range" => Some(libc::SYS_close_range),
        "clone3" => Some(libc::SYS_clone3),
        "setns" => Some(libc::SYS_setns),
        "fsopen" => Some(libc::SYS_fsopen),
        "mount_setattr" => Some(libc::SYS_mount_setattr),
        "move_mount" => Some(libc::SYS_move_mount),
        "open_tree" => Some(libc::SYS_open_tree),
        "statmount" => Some(457),
        "listmount" => Some(458),
        _ => None,
    });
    install(numbers.map(|number| (number, Vec::new())).collect(), errno);
    panic!("{}", Command::new(&command[0]).args(&command[1..]).exec());
}

/// Runs a command that shares root and working directory with us (CLONE_FS), and ends with its exit status.
#[expect(unsafe_code, reason = "no safe function clones like this")]
fn shared(command: &[String]) {
    // SAFETY: without CLONE_VM it is a fork, and we have one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_FS | libc::SIGCHLD, 0, 0, 0, 0) };
    assert!(pid >= 0);
    if pid == 0 {
        panic!("{}", Command::new(&command[0]).args(&command[1..]).exec());
    }
    let here = std::env::current_dir().unwrap();
    let status = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid as i32), None).unwrap();
    assert_eq!(std::env::current_dir().unwrap(), here);
    let nix::sys::wait::WaitStatus::Exited(_, code) = status else { panic!("{status:?}") };
    std::process::exit(code);
}

fn install(rules: Vec<(i64, Vec<SeccompRule>)>, errno: i32) {
    if rules.is_empty() {
        return;
    }
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let refuse = SeccompAction::Errno(errno as u32);
    let filter = SeccompFilter::new(rules.into_iter().collect(), SeccompAction::Allow, refuse, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}
