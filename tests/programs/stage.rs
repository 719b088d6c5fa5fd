//! Sets a scene for the tests that no installed program can set, prints a line when it stands, and waits to be killed.
//!
//! usage: stage socket | descriptor | thread | leader | zombie | name | storm SECONDS | without [CALL…] -- COMMAND…

#![expect(clippy::unwrap_used, reason = "a scene that cannot be set fails the test")]

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    match arguments.first().map(String::as_str) {
        Some("socket") => socket(),
        Some("descriptor") => descriptor(),
        Some("thread") => in_a_thread(),
        Some("leader") => leader(),
        Some("zombie") => zombie(),
        Some("name") => name(),
        Some("storm") => storm(rest),
        Some("without") => without(rest),
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

/// A thread alone is in a UTS namespace; prints the inode and the thread's id.
fn in_a_thread() {
    thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWUTS).unwrap();
        ready(format_args!("{} {}", inode("/proc/thread-self/ns/uts"), nix::unistd::gettid()));
        wait();
    });
    wait();
}

/// The leader thread ends, another lives on in a UTS namespace that both were in; prints the inode.
fn leader() {
    unshare(CloneFlags::CLONE_NEWUTS).unwrap();
    let process = std::process::id();
    thread::spawn(move || {
        let stat = format!("/proc/{process}/stat");
        while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
            thread::sleep(Duration::from_millis(1));
        }
        ready(inode("/proc/thread-self/ns/uts"));
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
/// newer kernels on pidfds and namespaces ENOTTY.
fn without(rest: &[String]) {
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
        "clone3" => Some(libc::SYS_clone3),
        "statmount" => Some(457),
        "listmount" => Some(458),
        _ => None,
    });
    install(numbers.map(|number| (number, Vec::new())).collect(), libc::ENOSYS);
    panic!("{}", Command::new(&command[0]).args(&command[1..]).exec());
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
