//! Namespaces kept beyond their processes, and who else has a hand in it.

use std::os::unix::process::ExitStatusExt;

use super::*;
use crate::common::{Helper, eventually, inode_of, nstool, stdout_of};
use crate::{need, need_root};

/// nstool whose keeper stands still, for the time it takes to look, before `call`.
struct Delayed {
    mark: Mark,
    strace: std::process::Child,
}

impl Delayed {
    fn before(call: &str, file: &str) -> Self {
        let mark = Mark::new();
        let mut command = Command::new("strace");
        mark.put_on(&mut command);
        let inject = format!("inject={call}:delay_enter=2000000:when=1");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &inject, env!("CARGO_BIN_EXE_nstool"), "unshare"]);
        command.arg(format!("--uts={file}")).args(["echo", "ran"]);
        let strace = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self { mark, strace }
    }

    fn output(self) -> Output {
        self.strace.wait_with_output().unwrap()
    }
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Kills one between the making of the file and the binding, and sees that nothing is left.
#[track_caller]
fn killed_in_between(victim: &str) -> Output {
    let scratch = Scratch::new();
    let file = scratch.text("kept");
    let delayed = Delayed::before("move_mount", &file);
    eventually(|| Path::new(&file).exists().then_some(()));
    kill(delayed.mark.named(victim).unwrap());
    let mark = Mark(delayed.mark.0.clone());
    let output = delayed.output();
    mark.assert_nobody_carries();
    assert!(!Path::new(&file).exists());
    assert_no_mount_below(scratch.path());
    assert!(output.stdout.is_empty());
    output
}

#[test]
fn nstool_killed_between_the_file_and_the_binding_leaves_neither() {
    need_root!();
    need!("strace");
    assert_eq!(killed_in_between("nstool").status.signal(), Some(libc::SIGKILL));
}

#[test]
fn the_keeper_killed_between_the_file_and_the_binding_leaves_neither() {
    need_root!();
    need!("strace");
    let told = stderr(&killed_in_between("nstool-keep"));
    assert!(told.contains("the process that does so was killed"), "{told}");
}

#[test]
fn a_file_that_appears_meanwhile_is_not_taken() {
    need_root!();
    need!("strace");
    let scratch = Scratch::new();
    let file = scratch.text("kept");
    let delayed = Delayed::before("open_tree", &file);
    eventually(|| delayed.mark.named("nstool-keep"));
    fs::write(&file, "mine").unwrap();
    let output = delayed.output();
    assert!(stderr(&output).contains("kept appeared meanwhile"), "{}", stderr(&output));
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(125), true));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert_no_mount_below(scratch.path());
}

#[test]
fn a_namespace_that_somebody_binds_to_the_same_file_meanwhile_stays_and_is_not_covered() {
    need_root!();
    need!("strace");
    let scratch = Scratch::new();
    let file = scratch.text("kept");
    fs::write(&file, "").unwrap();
    let delayed = Delayed::before("open_tree", &file);
    eventually(|| delayed.mark.named("nstool-keep"));
    stdout_of(Command::new("mount").args(["--bind", "/proc/self/ns/net", &file]).output().unwrap());
    let output = delayed.output();
    assert!(stderr(&output).contains("somebody else binds a namespace"), "{}", stderr(&output));
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(125), true));
    assert_eq!(places_below(scratch.path()).len(), 1);
    release(&file);
}

#[test]
fn a_directory_that_is_renamed_meanwhile_keeps_its_file() {
    need_root!();
    need!("strace");
    let scratch = Scratch::new();
    scratch.directory("here");
    let delayed = Delayed::before("open_tree", &scratch.text("here/kept"));
    eventually(|| delayed.mark.named("nstool-keep"));
    fs::rename(scratch.text("here"), scratch.text("there")).unwrap();
    scratch.directory("here");
    assert_eq!(stdout_of(delayed.output()), "ran\n");
    assert!(!Path::new(&scratch.text("here/kept")).exists());
    release(&scratch.text("there/kept"));
}

#[test]
fn a_relative_file_and_one_that_is_there_are_kept_too() {
    need_root!();
    let scratch = Scratch::new();
    fs::write(scratch.text("there"), "as before").unwrap();
    for name in ["made", "there"] {
        let mut command = nstool();
        command.args(["unshare", &format!("--uts={name}"), "--hostname", name, "true"]).current_dir(scratch.path());
        stdout_of(command.output().unwrap());
        let file = format!("--uts={}", scratch.text(name));
        assert_eq!(stdout_of(nstool().args(["enter", &file, "--", "hostname"]).output().unwrap()).trim(), name);
        release(&scratch.text(name));
    }
    assert_eq!(fs::read_to_string(scratch.text("there")).unwrap(), "as before");
    assert_eq!(fs::metadata(scratch.text("made")).unwrap().len(), 0);
}

#[test]
fn of_several_that_mean_the_same_file_one_gets_it() {
    need_root!();
    let scratch = Scratch::new();
    for round in 0..20 {
        let file = scratch.text(&format!("kept-{round}"));
        if round % 2 == 0 {
            fs::write(&file, "").unwrap();
        }
        let start = |_| {
            let mut command = nstool();
            command.args(["unshare", &format!("--uts={file}"), "true"]).stdin(Stdio::null()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let all: Vec<_> = (0..12).map(start).collect();
        let outputs: Vec<Output> = all.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        assert_eq!(outputs.iter().filter(|output| output.status.success()).count(), 1, "{outputs:?}");
        for output in outputs.iter().filter(|output| !output.status.success()) {
            let told = stderr(output);
            let causes = ["carries a namespace already", "appeared meanwhile", "somebody else binds"];
            assert!(causes.iter().any(|cause| told.contains(cause)), "{told}");
        }
        assert_eq!(places_below(Path::new(&file)).len(), 1);
        release(&file);
    }
}

#[test]
fn kept_pid_and_time_namespaces_are_those_of_the_child() {
    need_root!();
    let scratch = Scratch::new();
    let files: Vec<String> = KINDS.iter().map(|(_, kind)| scratch.text(kind)).collect();
    let _mount = PrivateMount::new(&scratch);
    let long = ["mount", "uts", "ipc", "net", "pid", "user", "cgroup", "time"];
    let options: Vec<String> = long.iter().zip(&files).map(|(long, file)| format!("--{long}={file}")).collect();
    let links: Vec<String> = KINDS.iter().map(|(_, kind)| format!("/proc/self/ns/{kind}")).collect();
    let mut command = nstool();
    command.args(["unshare", "--map-users=all", "--map-groups=all"]).args(&options).args(["--init", "--mount-proc"]);
    command.args(["--", "sh", "-c", "stat -Lc %i \"$@\" | tr '\\n' ' '; echo; exec sleep 1000", "sh"]).args(&links);
    let helper = Helper::start_command(command);
    let inside: Vec<u64> = helper.said.split_whitespace().map(|inode| inode.parse().unwrap()).collect();
    let kept: Vec<u64> =
        files.iter().map(|file| std::os::unix::fs::MetadataExt::ino(&fs::metadata(file).unwrap())).collect();
    assert_eq!(inside, kept);
    assert_ne!(kept[4], inode_of(std::process::id() as i32, "pid"));
}

#[test]
fn a_pid_namespace_that_is_kept_without_its_init_is_told_of() {
    need_root!();
    let scratch = Scratch::new();
    for (number, options) in [&[][..], &["--init"], &["--fork", "--uts"]].into_iter().enumerate() {
        let file = scratch.text(&number.to_string());
        let keep = format!("--pid={file}");
        let output = unshare(&[&[keep.as_str()][..], options, &["sh", "-c", "echo ran; exit 3"]].concat());
        assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stdout)), (Some(3), "ran\n"));
        let told = stderr(&output);
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(
            told.starts_with("note:  no process can start") && told.contains(&format!("`umount {file}`")),
            "{told}"
        );
        // As it says.
        let mut enter = nstool();
        let output = enter.args(["enter", &format!("--pid={file}"), "--", "true"]).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{}", stderr(&output));
        release(&file);
    }
    // Of other kinds, and where the file was taken back, there is nothing to say.
    let kept = scratch.text("uts");
    assert_eq!(stderr(&unshare(&["-p", &format!("--uts={kept}"), "true"])), "");
    release(&kept);
    // What somebody has released meanwhile needs no releasing.
    let released = scratch.text("released");
    let umount = format!("umount --lazy {released}");
    assert_eq!(stderr(&unshare(&[&format!("--pid={released}"), "sh", "-c", &umount])), "");
    let file = scratch.text("pid");
    let output = unshare(&[&format!("--pid={file}"), "--", "/no/such/program"]);
    assert!(!stderr(&output).contains("note:") && !Path::new(&file).exists(), "{}", stderr(&output));
    // util-linux's unshare says nothing.
    fs::write(&file, "").unwrap();
    let mut command = nstool();
    std::os::unix::process::CommandExt::arg0(&mut command, "unshare");
    let output = command.args(["-f", &format!("--pid={file}"), "true"]).output().unwrap();
    assert_eq!((output.status.code(), &*stderr(&output)), (Some(0), ""));
    release(&file);
}

/// The scratch directory as a mount of its own, so that a mount namespace can be kept there wherever the suite runs;
/// unmounted, with all below it, at the end.
struct PrivateMount<'a>(&'a Scratch);

impl<'a> PrivateMount<'a> {
    fn new(scratch: &'a Scratch) -> Self {
        let path = scratch.path().to_str().unwrap();
        stdout_of(Command::new("mount").args(["--bind", path, path]).output().unwrap());
        stdout_of(Command::new("mount").args(["--make-private", path]).output().unwrap());
        Self(scratch)
    }
}

impl Drop for PrivateMount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--recursive").arg("--lazy").arg(self.0.path()).status();
    }
}
