//! What building blocks make to mount on goes again when the command does not run, and nothing else does.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use super::old_kernels::{NEWER, without};
use super::outward::unshare_below_shared;
use super::*;
use crate::common::{eventually, stdout_of};
use crate::{need, need_root};

/// Each kind of block, below a place.
const BLOCKS: [&[&str]; 10] = [
    &["--bind", "/usr:@/a/b/c"],
    &["--ro-bind", "/etc/passwd:@/etc/passwd"],
    &["--tmpfs", "@/t"],
    &["--dev", "@/dev"],
    &["--proc", "@/proc"],
    &["--sysfs", "@/sys"],
    &["--dir", "@/d/e/f"],
    &["--symlink", "nowhere:@/l/link"],
    // Beside, upon and below what other blocks have made.
    &[
        "--dir",
        "@/x/1",
        "--tmpfs",
        "@/x",
        "--dir",
        "@/x/2",
        "--ro-bind",
        "/usr:@/x/2/3",
        "--tmpfs",
        "@/x/2/3",
        "--dir",
        "@/y",
    ],
    // In directories that are there, upon one, and a link that reads the same already.
    &[
        "--dir",
        "@/full/new/er",
        "--tmpfs",
        "@/empty",
        "--symlink",
        "text:@/link",
        "--bind",
        "/usr:@/full",
        "--dir",
        "@/full",
    ],
];

/// What lies in a directory: each path with its kind and rights, inode and content.
fn tree(path: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        let found = fs::symlink_metadata(&entry).unwrap();
        let content = match (found.is_file(), found.is_symlink()) {
            (true, _) => fs::read_to_string(&entry).unwrap(),
            (_, true) => fs::read_link(&entry).unwrap().display().to_string(),
            _ => String::new(),
        };
        lines.push(format!("{} {:o} {} {content}", entry.display(), found.mode(), found.ino()));
        if found.is_dir() {
            lines.extend(tree(&entry));
        }
    }
    lines
}

/// Makes a root in which something is there already.
fn furnished(scratch: &Scratch) -> (PathBuf, Vec<String>) {
    let root = PathBuf::from(scratch.directory("root"));
    scratch.directory("root/full");
    scratch.directory("root/empty");
    fs::write(root.join("full/file"), "content").unwrap();
    std::os::unix::fs::symlink("text", root.join("link")).unwrap();
    let before = tree(&root);
    (root, before)
}

/// The words with `@` for the root.
fn at(root: &str, words: &[&str]) -> Vec<String> {
    words.iter().map(|word| word.replace('@', root)).collect()
}

/// How to get there, whether as a new root, and whether a command can be found there.
const WAYS: [(&[&str], bool); 8] = [
    (&["-mn"], false),
    (&["-mnf"], false),
    (&["-pmn", "--init"], false),
    (&["-mn", "--root", "ROOT"], true),
    (&["-pmn", "--root", "ROOT"], true),
    (&["-mn", "--pivot-root", "ROOT"], true),
    (&["-pmn", "--pivot-root", "ROOT"], true),
    (&["-pmnr", "--init", "--pivot-root", "ROOT"], true),
];

/// What fails after the blocks, and the status then.
const FAILURES: [(&[&str], i32); 6] = [
    (&["--bind", "/no/such/source:@/late/place", "true"], 125),
    (&["--hostname", "x", "-u", "-w", "/no/such/directory", "true"], 125),
    (&["--", "/no/such/program"], 127),
    (&["--cap-drop", "all", "--", "/"], 126),
    (&["-S", "5", "-G", "6", "--no-new-privs", "--", "/no/such/program"], 127),
    (&["-S", "5", "-G", "6", "--cap-drop", "all", "--", "/no/such/program"], 127),
];

/// Runs every failure after `blocks` on every way, by `run`, and sees that the tree is as before.
#[track_caller]
fn assert_taken_back(blocks: &[&str], failures: &[(&[&str], i32)], run: impl Fn(&Scratch, &[&str]) -> Output) {
    for (way, is_root) in WAYS {
        for (failure, status) in failures {
            let scratch = Scratch::new();
            let (root, before) = furnished(&scratch);
            let text = root.to_str().unwrap();
            let place = if is_root { "" } else { text };
            let way: Vec<String> = way.iter().map(|word| word.replace("ROOT", text)).collect();
            let words = [way, at(place, blocks), at(place, failure)].concat();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let output = run(&scratch, &words);
            let told = stderr(&output);
            match output.status.code() {
                Some(code) if code == *status => {}
                // A block may be refused itself, such as a procfs without a pid namespace of one's own.
                Some(125) => {}
                // An id that is not mapped.
                Some(2) if told.contains("has no meaning") => {}
                _ => panic!("{words:?}: {told}"),
            }
            assert_eq!(tree(&root), before, "{words:?}: {}", stderr(&output));
            assert_no_mount_below(scratch.path());
        }
    }
}

#[test]
fn every_block_is_taken_back_when_a_later_step_fails() {
    need_root!();
    let all = BLOCKS.concat();
    let one_by_one = BLOCKS.map(|blocks| (blocks, &FAILURES[1..3]));
    for (blocks, failures) in one_by_one.into_iter().chain([(&all[..], &FAILURES[..])]) {
        assert_taken_back(blocks, failures, |_, words| {
            let output = unshare(words);
            // Not the block itself: nothing is missing to root.
            let failed = ["/no/such/", "/late/place", "cannot run /", "has no meaning"];
            assert!(failed.iter().any(|what| stderr(&output).contains(what)), "{words:?}: {}", stderr(&output));
            output
        });
    }
}

#[test]
fn all_blocks_at_once_are_taken_back_by_an_ordinary_user() {
    need_root!();
    need!("setpriv");
    // Who has no pid namespace of his own gets no procfs, and no further.
    for blocks in [BLOCKS.concat(), [&BLOCKS[..4], &BLOCKS[6..]].concat().concat()] {
        for (maps, failures) in [
            (&["-r"][..], &FAILURES[..4]),
            (&["-r", "--map-auto"], &FAILURES[3..]),
            // Whose own id has no meaning inside cannot be who it was once it is somebody else.
            (&["--map-auto"], &FAILURES[..3]),
        ] {
            assert_taken_back(&blocks, failures, |scratch, words| as_nobody(scratch, &[maps, words].concat()));
        }
    }
}

#[test]
fn all_blocks_at_once_are_taken_back_on_old_kernels() {
    need_root!();
    assert_taken_back(&BLOCKS.concat(), &FAILURES, |_, words| without(&NEWER, words));
}

#[test]
fn after_a_command_that_ran_the_places_stay() {
    need_root!();
    for (way, is_root) in WAYS {
        if is_root {
            continue;
        }
        let scratch = Scratch::new();
        let (root, before) = furnished(&scratch);
        let blocks = at(root.to_str().unwrap(), &BLOCKS.concat());
        // Also after one that failed.
        let output = unshare(&words(way, &blocks, &["--", "sh", "-c", "exit 127"]));
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(127), ""), "{way:?}");
        for place in ["a/b/c", "etc/passwd", "t", "dev", "proc", "sys", "d/e/f", "l", "x", "y", "full/new/er"] {
            assert!(root.join(place).exists(), "{way:?}: {place}");
        }
        assert_eq!(fs::read_link(root.join("l/link")).unwrap(), Path::new("nowhere"));
        let after = tree(&root);
        assert!(before.iter().all(|line| after.contains(line)), "{before:#?} {after:#?}");
        assert_no_mount_below(scratch.path());
    }
}

#[test]
fn taking_back_where_mounts_are_shared_takes_no_other_away() {
    need_root!();
    for propagation in ["unchanged", "shared", "slave", "private"] {
        let scratch = Scratch::new();
        let (root, before) = furnished(&scratch);
        let text = root.to_str().unwrap();
        // All that is mounted outside comes along.
        let blocks = ["--bind", "/:@/all", "--tmpfs", "@/t", "--dir", "@/t/x", "--", "/no/such"];
        let blocks = at(text, &blocks);
        let prepare =
            "mkdir $1/outer && mount -t tmpfs none $1/outer && mkdir $1/outer/a && mount -t tmpfs none $1/outer/a";
        let output =
            unshare_below_shared(&scratch, prepare, &words(&["-m", "--propagation", propagation], &blocks, &[]));
        assert_eq!(output.status.code(), Some(127), "{}", stderr(&output));
        assert_eq!(tree(&root), before, "{propagation}");
    }
}

/// How many ends of pipes a process holds.
fn pipes_of(pid: i32) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("pipe:")).collect()
}

/// nstool that has made its places and waits to tell somebody who does not read: hang up, and it fails.
struct Waiting {
    nstool: Child,
    child: Pid,
    reader: OwnedFd,
}

impl Waiting {
    fn start(words: &[&str]) -> Self {
        let (info, tell_info) = std::io::pipe().unwrap();
        let (reader, full) = std::io::pipe().unwrap();
        // Nothing else fits in.
        rustix::io::ioctl_fionbio(&full, true).unwrap();
        while (&full).write(&[0; 4096]).is_ok() {}
        while (&full).write(&[0]).is_ok() {}
        rustix::io::ioctl_fionbio(&full, false).unwrap();
        let script = "exec 7>&1 8>&2 >/dev/null 2>&1; exec \"$0\" unshare --info-fd 7 --json-status-fd 8 \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_nstool")]).args(words).arg("true");
        let nstool = command.stdin(Stdio::null()).stdout(tell_info).stderr(full).spawn().unwrap();
        drop(command);
        // It begins to tell when all places are made.
        let line = BufReader::new(info).lines().nth(1).unwrap().unwrap();
        let child = line.trim().strip_prefix("\"child-pid\": ").unwrap().trim_end_matches(',');
        let child = Pid::from_raw(child.parse().unwrap()).unwrap();
        Self { nstool, child, reader: reader.into() }
    }

    fn fail(self) -> Option<i32> {
        let Self { mut nstool, reader, .. } = self;
        drop(reader);
        nstool.wait().unwrap().code()
    }
}

#[test]
fn what_holds_something_by_then_or_is_somebody_elses_stays() {
    need_root!();
    let scratch = Scratch::new();
    let (root, before) = furnished(&scratch);
    let blocks = ["held/below", "other", "gone", "made"].map(|name| ["--dir".to_owned(), format!("@/{name}")]).concat();
    let files = ["filled", "empty-file"].map(|name| ["--bind".to_owned(), format!("/etc/passwd:@/{name}")]).concat();
    let blocks: Vec<&str> = blocks.iter().chain(&files).map(String::as_str).chain(["--tmpfs", "@/mounted"]).collect();
    let waiting = Waiting::start(&words(&["-m"], &at(root.to_str().unwrap(), &blocks), &[]));
    fs::write(root.join("held/file"), "somebody's").unwrap();
    fs::write(root.join("filled"), "somebody's").unwrap();
    fs::remove_dir(root.join("gone")).unwrap();
    fs::rename(root.join("other"), root.join("renamed")).unwrap();
    fs::create_dir(root.join("other")).unwrap();
    assert_eq!(waiting.fail(), Some(125));
    assert_eq!(fs::read_to_string(root.join("held/file")).unwrap(), "somebody's");
    assert_eq!(fs::read_to_string(root.join("filled")).unwrap(), "somebody's");
    fs::remove_file(root.join("filled")).unwrap();
    fs::remove_file(root.join("held/file")).unwrap();
    for place in ["held", "other", "renamed"] {
        // With nothing else in it.
        fs::remove_dir(root.join(place)).unwrap();
    }
    assert_eq!(tree(&root), before);
}

#[test]
fn a_signal_in_the_middle_takes_back_what_was_made() {
    need_root!();
    need!("strace");
    let blocks = ["--dir", "@/a/b", "--tmpfs", "@/t", "--symlink", "x:@/l", "--dir", "@/c"];
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let scratch = Scratch::new();
        let (root, before) = furnished(&scratch);
        let blocks = at(root.to_str().unwrap(), &blocks);
        // To the process that makes them itself.
        let inject = format!("inject=symlinkat:signal={}:when=1", signal.as_raw());
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &inject, env!("CARGO_BIN_EXE_nstool"), "unshare", "-m"]);
        command.args(&blocks).args(["echo", "ran"]).current_dir(scratch.path());
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.signal(), Some(signal.as_raw()), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
        assert_eq!(tree(&root), before);
        // To the parent of the one that makes them.
        for way in [&["-m"][..], &["-pm"], &["-pm", "--init"], &["-m", "--owner", "7:8", "--map-users=all"]] {
            let Waiting { mut nstool, reader, child } = Waiting::start(&words(way, &blocks, &[]));
            let process = Pid::from_child(&nstool);
            kill_process(child, Signal::STOP).unwrap();
            let pipes = pipes_of(child.as_raw_nonzero().get());
            let shared = || pipes_of(process.as_raw_nonzero().get()).intersection(&pipes).count();
            let before_it_hears = shared();
            kill_process(process, signal).unwrap();
            // It could tell, and hears of the signal where it waits for the child.
            let mut reader = std::fs::File::from(reader);
            rustix::io::ioctl_fionbio(&reader, true).unwrap();
            eventually(|| {
                let _ = std::io::Read::read(&mut reader, &mut [0; 4096]);
                // It closes the one by which the child learns that it is to go on.
                (shared() < before_it_hears).then_some(())
            });
            kill_process(child, Signal::CONT).unwrap();
            assert_eq!(nstool.wait().unwrap().signal(), Some(signal.as_raw()), "{way:?}");
            assert_eq!(tree(&root), before, "{way:?}");
        }
    }
}

#[test]
fn a_signal_that_is_ignored_or_asks_for_no_end_ends_nothing() {
    need_root!();
    need!("strace");
    for (ignored, signal) in [("TERM", Signal::TERM), ("HUP", Signal::HUP), ("PIPE", Signal::WINCH)] {
        let scratch = Scratch::new();
        let (root, _) = furnished(&scratch);
        let script = format!("trap '' {ignored}; exec \"$@\"");
        let inject = format!("inject=symlinkat:signal={}:when=1", signal.as_raw());
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &inject, "sh", "-c", &script, "sh"]);
        command.args([env!("CARGO_BIN_EXE_nstool"), "unshare", "-m"]);
        command.args(at(root.to_str().unwrap(), &["--dir", "@/a", "--symlink", "x:@/l", "--dir", "@/c"]));
        // Neither are the command's signals blocked.
        command.args(["--", "grep", "SigBlk", "/proc/self/status"]);
        assert_eq!(stdout_of(command.stdin(Stdio::null()).output().unwrap()), "SigBlk:\t0000000000000000\n");
        assert!(root.join("c").is_dir());
    }
}

#[test]
fn a_child_that_is_stuck_is_killed_by_the_second_signal() {
    need_root!();
    let scratch = Scratch::new();
    let mark = Mark::new();
    let (mut nstool, child, _told) = awaiting_maps(&scratch, &mark);
    kill_process(Pid::from_raw(child).unwrap(), Signal::STOP).unwrap();
    let pid = nstool.id();
    let pending = || {
        fs::read_to_string(format!("/proc/{pid}/status")).unwrap().lines().any(|line| {
            line.strip_prefix("ShdPnd:\t").is_some_and(|set| u64::from_str_radix(set, 16).unwrap() & 1 << 14 != 0)
        })
    };
    for _ in 0..2 {
        assert!(nstool.try_wait().unwrap().is_none());
        kill_process(Pid::from_child(&nstool), Signal::TERM).unwrap();
        eventually(|| (nstool.try_wait().unwrap().is_some() || !pending()).then_some(()));
    }
    assert_eq!(nstool.wait().unwrap().signal(), Some(libc::SIGTERM));
    mark.assert_nobody_carries();
}

#[test]
fn a_step_outside_that_fails_has_the_child_take_back() {
    need_root!();
    need!("strace");
    let scratch = Scratch::new();
    let (root, before) = furnished(&scratch);
    let kept = scratch.text("kept");
    let keep = format!("--uts={kept}");
    // The keeper's, which has one process for itself.
    let inject = "inject=flock:error=EAGAIN:when=1";
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", inject, env!("CARGO_BIN_EXE_nstool"), "unshare", "-m", &keep]);
    let output = command.args(at(root.to_str().unwrap(), &BLOCKS.concat())).arg("true").output().unwrap();
    assert!(stderr(&output).contains("bind the uts namespace"), "{}", stderr(&output));
    assert_eq!(tree(&root), before);
}

#[test]
fn many_directories_that_cannot_stay_open_are_told_and_go() {
    need_root!();
    need!("prlimit");
    let scratch = Scratch::new();
    let (root, before) = furnished(&scratch);
    let dirs: Vec<String> = (0..100).flat_map(|number| ["--dir".to_owned(), format!("/{number}/x")]).collect();
    let mut command = Command::new("prlimit");
    command.args(["--nofile=64", env!("CARGO_BIN_EXE_nstool"), "unshare", "-m", "--root", root.to_str().unwrap()]);
    let output = command.args(&dirs).arg("true").output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(stderr(&output).contains("ulimit -n"), "{}", stderr(&output));
    assert_eq!(tree(&root), before);
}

#[test]
fn binfmt_misc_is_mounted_on_what_is_there_alone() {
    need_root!();
    let scratch = Scratch::new();
    let place = scratch.text("typo");
    let option = format!("--mount-binfmt={place}");
    let output = unshare(&["-rm", &option, "true"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(stderr(&output).contains("there is no such directory"), "{}", stderr(&output));
    for option in [option, format!("--mount-proc={place}")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nstool"));
        let output = command.arg0("unshare").args(["-rm", &option, "true"]).output().unwrap();
        assert!(!output.status.success() && stderr(&output).starts_with("unshare: "), "{}", stderr(&output));
    }
    assert!(!Path::new(&place).exists());
}
