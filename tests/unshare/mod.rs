//! `nstool unshare`.

mod causes;
mod cgroup;
mod command;
mod compare;
mod faults;
mod filesystem;
mod ids;
mod init;
mod keeping;
mod kill;
mod kinds;
mod old_kernels;
mod outside;
mod outward;
mod refusals;
mod stories;
mod telling;
mod terminal;
mod traces;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{self, try_eventually};

/// The letter of each kind's option, and what its links are called.
const KINDS: [(&str, &str); 8] = [
    ("-m", "mnt"),
    ("-u", "uts"),
    ("-i", "ipc"),
    ("-n", "net"),
    ("-p", "pid"),
    ("-U", "user"),
    ("-C", "cgroup"),
    ("-T", "time"),
];

/// A directory of the test's own that everybody may enter; removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("nstool-unshare-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn text(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Makes a directory in it that everybody may write to.
    fn directory(&self, name: &str) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        self.text(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What a failed test has left bound, too.
        for place in places_below(&self.0) {
            let _ = Command::new("umount").args(["--lazy", &place]).stderr(Stdio::null()).status();
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs `nstool unshare` with these words.
fn unshare(words: &[&str]) -> Output {
    common::nstool().arg("unshare").args(words).stdin(Stdio::null()).output().unwrap()
}

/// What the command printed to stdout, which must have ended well.
#[track_caller]
fn said(words: &[&str]) -> String {
    common::stdout_of(unshare(words)).trim_end().to_owned()
}

/// Runs a shell script in which `$0` is nstool and the words are `$1` and so on.
fn script(text: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", text, env!("CARGO_BIN_EXE_nstool")]).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs nstool as an ordinary user with 65536 subordinate ids from 100000, whatever this machine gives out: the files
/// are covered in a mount namespace of the test's own.
fn as_nobody(scratch: &Scratch, words: &[&str]) -> Output {
    as_nobody_with(scratch, &[], words)
}

/// The same with another program; nstool if none.
fn as_nobody_with(scratch: &Scratch, program: &[&str], words: &[&str]) -> Output {
    // Where the suite was built may be closed to others.
    let nstool = scratch.text("nstool");
    if !Path::new(&nstool).exists() {
        fs::copy(env!("CARGO_BIN_EXE_nstool"), &nstool).unwrap();
    }
    let subids = scratch.text("subids");
    fs::write(&subids, "nobody:100000:65536\n").unwrap();
    let script = "mount --bind \"$1\" /etc/subuid && mount --bind \"$1\" /etc/subgid && shift && \
                  exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"";
    let mut command = Command::new("unshare");
    let program = if program.is_empty() { &[nstool.as_str(), "unshare"] } else { program };
    command.args(["-m", "sh", "-c", script, "sh", &subids]).args(program).args(words);
    command.stdin(Stdio::null()).current_dir("/").output().unwrap()
}

/// Runs a shell script in a mount namespace of its own, in which `$0` is nstool and the words are `$1` and so on.
fn apart(script: &str, words: &[&str]) -> Output {
    let script = format!("{}; {script}", without_foreign_mounts());
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, env!("CARGO_BIN_EXE_nstool")]).args(words).stdin(Stdio::null());
    command.output().unwrap()
}

#[track_caller]
fn assert_told(output: &Output, expected: &[&str]) {
    let told = stderr(output);
    for part in expected {
        assert!(told.contains(part), "{part}: {told}");
    }
}

/// The options of a container whose root is a directory.
fn container(root: &str) -> Vec<String> {
    let mut words = vec!["-pmuin".to_owned(), "--pivot-root".to_owned(), root.to_owned()];
    for directory in ["/bin", "/lib", "/lib64", "/usr", "/etc"] {
        // Not every architecture has a /lib64.
        if Path::new(directory).exists() {
            words.extend(["--ro-bind".to_owned(), directory.to_owned()]);
        }
    }
    let home = format!("{root}/home:/home");
    for word in ["--proc", "/proc", "--dev", "/dev", "--bind", &home, "--hostname", "box", "--init"] {
        words.push(word.to_owned());
    }
    words
}

fn words<'a>(first: &[&'a str], middle: &'a [String], last: &[&'a str]) -> Vec<&'a str> {
    first.iter().copied().chain(middle.iter().map(String::as_str)).chain(last.iter().copied()).collect()
}

/// A line of shell that takes what other tests have mounted out of a mount namespace of the test's own: it would go when
/// they remove their files.
fn without_foreign_mounts() -> String {
    format!(
        "for m in $(cut -d' ' -f5 /proc/self/mountinfo | grep '^{}/' | tac); do umount -l \"$m\"; done 2> /dev/null",
        std::env::temp_dir().display()
    )
}

/// A control group of each hierarchy in which others can be made: of version 2, of version 1, and of cpuset, which is
/// peculiar.
fn cgroup_bases() -> Vec<String> {
    let candidates = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/cpuset", "/sys/fs/cgroup"];
    let usable = |base: &&str| {
        let probe = format!("{base}/nstool-probe-{}-{:?}", std::process::id(), std::thread::current().id());
        Path::new(base).join("cgroup.procs").exists()
            && fs::create_dir(&probe).is_ok()
            && fs::remove_dir(&probe).is_ok()
    };
    candidates.into_iter().filter(usable).map(str::to_owned).collect()
}

/// Unmounts a kept namespace. Lazily, for it is busy while a scan, of another test say, looks at it.
#[track_caller]
fn release(file: &str) {
    assert!(Command::new("umount").args(["--lazy", file]).status().unwrap().success());
}

/// A mark in the environment, by which every process that descends from a test is found.
struct Mark(String);

impl Mark {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Self(format!("NSTOOL_TEST_MARK={}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    fn put_on(&self, command: &mut Command) {
        let (name, value) = self.0.split_once('=').unwrap();
        command.env(name, value);
    }

    /// The processes that carry it, zombies apart, with their command lines.
    fn carriers(&self) -> Vec<(i32, String)> {
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        let carries = |pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == self.0.as_bytes())
        };
        let line = |pid: i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            (pid, String::from_utf8_lossy(&line).replace('\0', " "))
        };
        pids.filter(carries).map(line).collect()
    }

    /// One of them that has this name.
    fn named(&self, name: &str) -> Option<i32> {
        let comm = |pid: i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        self.carriers().into_iter().map(|(pid, _)| pid).find(|pid| comm(*pid).trim() == name)
    }

    #[track_caller]
    fn assert_nobody_carries(&self) {
        if try_eventually(|| self.carriers().is_empty().then_some(())).is_none() {
            panic!("left behind: {:?}", self.carriers());
        }
    }
}

/// Starts nstool, whose child waits for maps that nobody writes; with the child, and what else nstool will tell.
fn awaiting_maps(scratch: &Scratch, mark: &Mark) -> (Child, i32, BufReader<ChildStderr>) {
    let block = scratch.text("block");
    common::stdout_of(Command::new("mkfifo").arg(&block).output().unwrap());
    let text = "exec 8<>\"$1\"; rm \"$1\"; exec \"$0\" unshare -Uv --userns-block-fd 8 -- true";
    let mut command = Command::new("sh");
    mark.put_on(&mut command);
    command.args(["-c", text, env!("CARGO_BIN_EXE_nstool"), &block]).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut nstool = command.spawn().unwrap();
    let mut line = String::new();
    let mut told = BufReader::new(nstool.stderr.take().unwrap());
    told.read_line(&mut line).unwrap();
    let child = line.trim().strip_prefix("child: pid ").unwrap().parse().unwrap();
    (nstool, child, told)
}

/// The mount points at or below a path.
fn places_below(path: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let places =
        table.lines().filter_map(|line| line.split(' ').nth(4)).filter(|place| Path::new(place).starts_with(path));
    // The last mounted first.
    places.rev().map(str::to_owned).collect()
}

#[track_caller]
fn assert_no_mount_below(path: &Path) {
    assert_eq!(places_below(path), Vec::<String>::new());
}
