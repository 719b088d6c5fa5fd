//! A control group that is made for the command, in each hierarchy that this machine has.

use super::*;
use crate::common::{eventually, nstool, stdout_of};
use crate::need_root;

/// A control group that is not there; removed at the end, if it is.
struct Missing(String);

impl Missing {
    fn in_each() -> Vec<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("nstool-group-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let found: Vec<Self> = cgroup_bases().into_iter().map(|base| Self(format!("{base}/{name}"))).collect();
        if found.is_empty() {
            crate::common::skip("needs a control group that can be made");
        }
        found
    }

    fn path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl Drop for Missing {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[track_caller]
fn assert_goes(group: &Missing) {
    eventually(|| (!group.path().exists()).then_some(()));
}

#[test]
fn a_missing_group_is_made_and_is_gone_when_we_are() {
    need_root!();
    for group in Missing::in_each() {
        let name = group.path().file_name().unwrap().to_str().unwrap();
        for options in [&["-u"][..], &["-f"], &["-p", "--init"], &["-rp"]] {
            // With a group of the command's own in it, and an orphan that dies with the namespace.
            let nests = options.contains(&"--init");
            let script = format!(
                "cat /proc/self/cgroup; {} exit 7",
                if nests { format!("mkdir {}/below; sleep 1000 &", group.0) } else { String::new() }
            );
            let words = [options, &["--join-cgroup", &group.0, "--", "sh", "-c", &script]].concat();
            let output = unshare(&words);
            assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
            assert!(String::from_utf8_lossy(&output.stdout).contains(name), "{options:?}");
            assert!(!group.path().exists(), "{options:?} {}", group.0);
        }
    }
}

#[test]
fn a_made_group_is_the_root_of_a_new_cgroup_namespace() {
    need_root!();
    for group in Missing::in_each() {
        let said = said(&["-C", "--join-cgroup", &group.0, "--", "cat", "/proc/self/cgroup"]);
        assert!(said.contains(":/") && !said.contains("nstool-group"), "{said}");
    }
}

#[test]
fn a_group_stays_as_long_as_its_last_process() {
    need_root!();
    for group in Missing::in_each() {
        let mark = Mark::new();
        let mut command = nstool();
        mark.put_on(&mut command);
        let script = "sleep 1000 > /dev/null 2>&1 & echo $!";
        let output =
            command.args(["unshare", "-f", "--join-cgroup", &group.0, "--", "sh", "-c", script]).output().unwrap();
        assert!(stderr(&output).contains("stays as long as processes are in it (now 1)"), "{}", stderr(&output));
        assert!(group.path().exists());
        let pid = stdout_of(output).trim().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        assert_goes(&group);
        mark.assert_nobody_carries();
    }
}

#[test]
fn whoever_is_killed_the_group_goes() {
    need_root!();
    for group in Missing::in_each() {
        for victim in ["nstool", "nstool-sweep"] {
            let mark = Mark::new();
            let mut command = nstool();
            mark.put_on(&mut command);
            command.args(["unshare", "-pf", "--join-cgroup", &group.0, "--", "sleep", "1000"]);
            let mut child = command.stdin(Stdio::null()).spawn().unwrap();
            let sleeper = eventually(|| mark.named("sleep"));
            let kill = |pid| {
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            };
            kill(mark.named(victim).unwrap());
            if victim != "nstool" {
                // Then it falls to nstool, at the command's end.
                kill(sleeper);
            }
            child.wait().unwrap();
            mark.assert_nobody_carries();
            assert_goes(&group);
        }
    }
}

#[test]
fn a_group_that_is_there_is_joined_and_stays() {
    need_root!();
    // A new group of cpuset takes nobody before it is filled.
    for group in Missing::in_each().iter().filter(|group| !group.0.contains("/cpuset/")) {
        fs::create_dir(group.path()).unwrap();
        assert!(!said(&["-u", "--join-cgroup", &group.0, "--", "cat", "/proc/self/cgroup"]).is_empty());
        assert!(group.path().exists());
        eventually(|| fs::remove_dir(group.path()).ok());
    }
}

#[test]
fn what_is_no_place_for_a_group_is_refused() {
    need_root!();
    let scratch = Scratch::new();
    for (place, told) in [
        (scratch.text("no-group"), "cannot be made"),
        (scratch.directory("directory"), "is no control group"),
        ("/sys/fs/cgroup/no-such/nested".to_owned(), "cannot be made"),
    ] {
        let output = unshare(&["-f", "--join-cgroup", &place, "--", "echo", "ran"]);
        assert_eq!(output.status.code(), Some(125));
        assert!(stderr(&output).contains(told) && output.stdout.is_empty(), "{}", stderr(&output));
    }
    // The plan says what would be made.
    for group in Missing::in_each() {
        let plan = said(&["-u", "--join-cgroup", &group.0, "--dry-run", "true"]);
        assert!(plan.contains(&format!("make the control group {}\n", group.0)), "{plan}");
        assert!(!group.path().exists());
    }
}

#[test]
fn the_child_joins_a_control_group_which_is_its_root() {
    need_root!();
    let candidates = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer", "/sys/fs/cgroup"];
    let base = candidates.into_iter().find(|path| Path::new(path).join("cgroup.procs").exists());
    let Some(base) = base else { return crate::common::skip("needs a control group file system") };
    let group = format!("{base}/nstool-test-{}", std::process::id());
    if fs::create_dir(&group).is_err() {
        return crate::common::skip("needs a control group that can be made");
    }
    for options in [&[][..], &["-f"], &["-p", "--init"]] {
        let said = said(
            &[options, &["-C", "--join-cgroup", &group, "--", "grep", "-E", "nstool|:/$", "/proc/self/cgroup"]]
                .concat(),
        );
        assert!(!said.contains("nstool-test"), "its own root is all it sees: {said}");
        let plain = [options, &["-u", "--join-cgroup", &group, "--", "cat", "/proc/self/cgroup"]].concat();
        assert!(self::said(&plain).contains("nstool-test"));
    }
    // The last member may still be on its way out.
    eventually(|| fs::remove_dir(&group).ok());
}

#[test]
fn a_group_that_takes_no_more_processes_is_told_of() {
    need_root!();
    let group = Missing::in_each().into_iter().find(|group| {
        // Of version 2, the one above must hand the controller down.
        fs::create_dir(&group.0).is_ok() && Path::new(&group.0).join("pids.max").exists()
    });
    let Some(group) = group else { return common::skip("needs a control group that limits processes") };
    fs::write(format!("{}/pids.max", group.0), "0").unwrap();
    let mark = Mark::new();
    let run = |words: &[&str]| {
        let mut command = nstool();
        mark.put_on(&mut command);
        command.arg("unshare").args(words).args(["--", "echo", "ran"]).output().unwrap()
    };
    // The child is moved there, which no limit forbids; as an init it forks there.
    let output = run(&["--init", "--join-cgroup", &group.0]);
    assert_eq!((output.status.code(), &*output.stdout), (Some(125), &b""[..]));
    let limit = format!("cause: a limit of processes is reached (pids.max of {} is 0) (", group.0);
    assert_told(&output, &["error: cannot stay as init", &limit, "hint:  `ulimit -u` and pids.max"]);
    assert_eq!(stdout_of(run(&["-p", "--join-cgroup", &group.0])), "ran\n");
    // From within, where we cannot fork either.
    let script = "echo $$ > \"$1/cgroup.procs\" && exec \"$0\" unshare -p --init echo ran";
    let output = super::script(script, &[&group.0]);
    assert_told(&output, &["cause: a limit of processes is reached (", "pids.max of the control group"]);
    // With room for the child, but not for what guards it, and with room for that, but not for what keeps a namespace.
    let script = "echo \"$2\" > \"$1/pids.max\" && echo $$ > \"$1/cgroup.procs\" && shift 2 &&
                  exec \"$0\" unshare \"$@\" echo ran";
    let scratch = Scratch::new();
    let file = scratch.text("never-kept");
    let keep = format!("--net={file}");
    for (room, words, failed) in [("2", "-p", "start a guardian of the child"), ("3", &keep, "bind the net namespace")]
    {
        let output = super::script(script, &[&group.0, room, words]);
        assert_eq!((output.status.code(), &*output.stdout), (Some(125), &b""[..]));
        assert_told(
            &output,
            &["error: cannot ", failed, "cause: a limit of processes is reached (", "hint:  `ulimit -u`"],
        );
    }
    assert!(!Path::new(&file).exists());
    mark.assert_nobody_carries();
}
