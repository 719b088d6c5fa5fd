//! What the tests share: running nstool, skipping loudly, and processes that end with the test.

pub mod handle;
pub mod terminal;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Returns a command that runs the nstool under test.
pub fn nstool() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nstool"));
    command.env_remove("NO_COLOR").env_remove("COLUMNS");
    command
}

/// Runs nstool with `arguments` to its end.
pub fn run(arguments: &[&str]) -> Output {
    nstool().args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Returns what a program printed to stdout, after checking that it exited with 0.
#[track_caller]
pub fn stdout_of(output: Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}\n{stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Leaves the test, loudly; under NSTOOL_TEST_STRICT=1 it fails instead.
#[expect(clippy::print_stderr, reason = "a skip is loud")]
pub fn skip(why: &str) {
    assert!(std::env::var_os("NSTOOL_TEST_STRICT").is_none_or(|value| value != "1"), "cannot skip: {why}");
    eprintln!("skipped: {why}");
}

/// Returns from the test, loudly, unless it runs as root.
#[macro_export]
macro_rules! need_root {
    () => {
        if !rustix::process::geteuid().is_root() {
            return $crate::common::skip("needs root");
        }
    };
}

/// Returns from the test, loudly, unless these programs are installed.
#[macro_export]
macro_rules! need {
    ($($program:expr),+) => {
        $(if !$crate::common::is_installed($program) {
            return $crate::common::skip(concat!("needs the program ", $program));
        })+
    };
}

/// Tells whether a program is in PATH.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Tells whether we are in the initial pid namespace, whose inode the kernel has fixed (PROC_PID_INIT_INO). Elsewhere it
/// shows no mount namespaces without processes, and not how deep we are.
pub fn in_initial_pid_namespace() -> bool {
    std::fs::read_link("/proc/self/ns/pid").unwrap().as_os_str() == "pid:[4026531836]"
}

/// A process that is killed, with all its group, when the test ends.
pub struct Helper {
    child: Child,
    /// The first line it printed, without the line break.
    pub said: String,
}

impl Helper {
    /// Starts a program in a process group of its own and waits until it has printed a line: by then it has set up what
    /// the test needs.
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments);
        Self::start_command(command)
    }

    /// The same with a command made elsewhere; its stdout is taken for the line.
    pub fn start_command(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        Self { child, said: said.trim_end().to_owned() }
    }

    /// Starts `sh -c SCRIPT` below `wrapper` (such as `unshare -n`); the script prints a line when it is ready.
    pub fn shell(wrapper: &[&str], script: &str) -> Self {
        let words = [wrapper, &["sh", "-c", script]].concat();
        Self::start(words[0], &words[1..])
    }

    /// The id of the process that was started.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies a program that is to be executed. Not by ourselves: a child that another test forks at that moment would
/// still have the file open for writing, and the kernel refuse to execute it (ETXTBSY).
pub fn copy_program(from: &str, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

/// A copy of nstool that everybody may run, wherever the tests were built.
pub struct Public {
    /// Where it lies, as `nstool`.
    pub directory: PathBuf,
}

impl Public {
    /// Makes the copy, in a directory that goes when the test ends.
    pub fn copy(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("nstool-test-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o755)).unwrap();
        copy_program(env!("CARGO_BIN_EXE_nstool"), &directory.join("nstool"));
        Self { directory }
    }

    /// Returns where the copy is.
    pub fn path(&self) -> PathBuf {
        self.directory.join("nstool")
    }

    /// Returns a command that runs the copy as an ordinary user.
    pub fn run_as_nobody(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(self.path());
        command
    }
}

impl Drop for Public {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Returns a command that runs one of the test suite's own scenes (tests/programs/stage.rs).
pub fn stage(arguments: &[&str]) -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let program = BUILT.get_or_init(|| {
        // Cargo builds examples with all tests, but not with a single one.
        let arguments = ["build", "--quiet", "--offline", "--example", "stage"];
        assert!(Command::new(env!("CARGO")).args(arguments).status().unwrap().success());
        // It puts them beside the programs, and tells tests only the programs' place.
        Path::new(env!("CARGO_BIN_EXE_nstool")).with_file_name("examples/stage")
    });
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Asks until there is an answer; fails the test after a generous while.
#[track_caller]
pub fn eventually<T>(ask: impl FnMut() -> Option<T>) -> T {
    try_eventually(ask).expect("it never came true")
}

/// Asks until there is an answer; gives up after a generous while.
pub fn try_eventually<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// Returns the inode of one of a process's namespaces, such as `net`, by asking /proc directly.
pub fn inode_of(pid: i32, link: &str) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(format!("/proc/{pid}/ns/{link}")).unwrap().ino()
}

/// A directory that is removed, with all in it, when the test ends.
pub struct TemporaryDirectory {
    path: std::path::PathBuf,
}

impl TemporaryDirectory {
    /// Makes one.
    pub fn new() -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("nstool-test-{}-{count}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
