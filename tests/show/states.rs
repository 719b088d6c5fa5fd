//! Processes that are ending, stand still, are limited, or have threads elsewhere.

use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};

use super::show;
use crate::common::{Helper, eventually, inode_of, run, stdout_of};

fn state_of(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// Starts a process whose child ends by `script` and is not reaped.
fn zombie(script: &str) -> (Helper, i32) {
    // A shell would reap it; whoever takes its place does not.
    let child = format!("until grep -q sleep /proc/$PPID/comm; do :; done; {script}");
    let parent = Helper::shell(&[], &format!("sh -c '{child}' & echo $!; exec sleep infinity"));
    let zombie: i32 = parent.said.parse().unwrap();
    eventually(|| (state_of(zombie) == Some('Z')).then_some(()));
    (parent, zombie)
}

#[test]
fn a_zombie_has_a_page_that_says_how_it_ended_who_must_reap_it_and_what_it_keeps() {
    let (parent, ended) = zombie("exit 3");
    let me = std::process::id() as i32;
    let page = show(&ended.to_string());
    assert_eq!((&page["pid"], &page["zombie"], &page["state"]), (&json!(ended), &json!(true), &json!("Z")), "{page}");
    assert_eq!((&page["exit_status"], &page["exit_signal"]), (&json!(3), &Value::Null), "{page}");
    assert_eq!((&page["parent"], &page["parent_command"]), (&json!(parent.pid()), &json!("sleep")), "{page}");
    let kept = page["namespaces"].as_array().unwrap().iter();
    let kept: Vec<_> = kept.map(|kept| (kept["type"].as_str().unwrap(), kept["ns"].clone())).collect();
    let of_us = [("pid", json!(inode_of(me, "pid"))), ("user", json!(inode_of(me, "user")))];
    assert_eq!(kept, of_us);
    let text = stdout_of(run(&["show", &ended.to_string()]));
    for part in [
        "with exit status 3".to_owned(),
        format!("process {} (sleep)", parent.pid()),
        format!("`kill -CHLD {}`", parent.pid()),
        format!("`kill {}`", parent.pid()),
        format!("user    {} ", inode_of(me, "user")),
    ] {
        assert!(text.contains(&part), "{part:?}: {text}");
    }
    let (_parent, killed) = zombie("kill -KILL $$");
    let page = show(&killed.to_string());
    assert_eq!((&page["exit_status"], &page["exit_signal"]), (&Value::Null, &json!(9)), "{page}");
}

#[test]
fn a_parent_that_stands_still_is_said_to_be_unable_to_reap() {
    let (parent, ended) = zombie("exit 0");
    rustix::process::kill_process(rustix::process::Pid::from_raw(parent.pid()).unwrap(), rustix::process::Signal::STOP)
        .unwrap();
    eventually(|| (state_of(parent.pid()) == Some('T')).then_some(()));
    let page = show(&ended.to_string());
    assert_eq!(page["parent_stopped"], true, "{page}");
    assert_eq!(page["release"][0], format!("kill -CONT {}", parent.pid()), "{page}");
}

#[test]
fn what_would_end_with_a_parent_that_is_an_init_is_said_before_it_is_killed() {
    crate::need_root!();
    crate::need!("python3");
    let script = "import os, time
os.fork() or os._exit(3)
print('ready', flush=True)
time.sleep(1000)";
    let outer = Helper::start("unshare", &["--pid", "--fork", "python3", "-c", script]);
    let child_of = |pid: i32| {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().next().and_then(|child| child.parse::<i32>().ok())
    };
    let init = child_of(outer.pid()).unwrap();
    let ended = child_of(init).unwrap();
    eventually(|| (state_of(ended) == Some('Z')).then_some(()));
    let page = show(&ended.to_string());
    assert_eq!((&page["parent"], &page["parent_is_init"]), (&json!(init), &json!(true)), "{page}");
    // Python hears SIGINT alone, and the kernel keeps SIGTERM from an init without a handler.
    assert_eq!(page["release"], json!([format!("kill -CHLD {init}"), format!("kill -KILL {init}")]), "{page}");
    let text = stdout_of(run(&["show", &ended.to_string()]));
    assert!(text.contains("the init of its pid namespace: all processes there end with it"), "{text}");
}

#[test]
fn how_a_zombie_ended_is_unknown_without_rights_over_it() {
    crate::need_root!();
    crate::need!("setpriv");
    let (_parent, ended) = zombie("exit 3");
    let public = crate::common::Public::copy("zombie");
    let output = public.run_as_nobody().args(["show", "--json", &ended.to_string()]).output().unwrap();
    let page: Value = serde_json::from_str(&stdout_of(output)).unwrap();
    assert_eq!((&page["exit_status"], &page["namespaces"]), (&Value::Null, &json!([])), "{page}");
}

#[test]
fn what_only_a_zombie_keeps_is_told() {
    crate::need_root!();
    let (parent, ended) = zombie("exec unshare --user sh -c \"exit 7\"");
    let answer: Value = serde_json::from_str(&stdout_of(run(&["why", "--json", &ended.to_string()]))).unwrap();
    assert_eq!((&answer["pid"], &answer["zombie"]), (&json!(ended), &json!(true)), "{answer}");
    let namespaces = answer["namespaces"].as_array().unwrap();
    let kinds: Vec<_> = namespaces.iter().map(|kept| kept["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["pid", "user"], "{answer}");
    assert_eq!(namespaces[1]["only_this_process"], true, "{answer}");
    assert_ne!(namespaces[1]["ns"], inode_of(parent.pid(), "user"), "{answer}");
    let output = run(&["why", &ended.to_string()]);
    let note = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(note.contains(&format!("process {ended} is a zombie")), "{note}");
}

#[test]
fn the_threads_that_outlive_their_leader_are_listed() {
    crate::need!("python3");
    let script = "import ctypes, os, threading, time
threading.Thread(target=lambda: time.sleep(1000)).start()
print(os.getpid(), flush=True)
ctypes.CDLL(None).pthread_exit(None)";
    let process = Helper::start("python3", &["-c", script]);
    let pid = process.pid();
    eventually(|| (state_of(pid) == Some('Z')).then_some(()));
    let page = show(&pid.to_string());
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let tids = tasks.map(|task| task.unwrap().file_name().into_string().unwrap().parse::<i32>().unwrap());
    let others: Vec<i32> = tids.filter(|tid| *tid != pid).collect();
    assert_eq!(page["living_threads"], json!(others), "{page}");
    let text = stdout_of(run(&["show", &pid.to_string()]));
    assert!(text.contains("its leader thread has ended") && text.contains(&format!("thread {}", others[0])), "{text}");
}

#[test]
fn a_zombie_cannot_be_compared_or_entered_and_its_parent_shows_it() {
    let (parent, zombie) = zombie("exit 0");
    let pid_namespace = inode_of(std::process::id() as i32, "pid");
    for verb in ["compare", "enter"] {
        let output = run(&[verb, &zombie.to_string()]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{error}");
        for part in [
            format!("process {zombie} is a zombie: it has ended"),
            format!("its parent, process {}", parent.pid()),
            format!("pid namespace {pid_namespace}"),
            format!("`nstool show {}`", parent.pid()),
        ] {
            assert!(error.contains(&part), "{verb}: {error}");
        }
    }
    assert_eq!(show(&parent.pid().to_string())["zombies"], json!([zombie]));
    let text = stdout_of(run(&["show", &parent.pid().to_string()]));
    assert!(text.contains(&format!("process {zombie}, ended and not reaped")), "{text}");
}

#[test]
fn an_init_that_waits_for_its_processes_to_be_reaped_is_said_to_end() {
    crate::need_root!();
    // Its first child is the init of a pid namespace; the second, which it never reaps, is in there too.
    let script = "sleep infinity & init=$!; sleep infinity & echo $init $!; exec sleep infinity";
    let parent = Helper::shell(&["unshare", "--pid"], script);
    let (init, other) = parent.said.split_once(' ').unwrap();
    let (init, other): (i32, i32) = (init.parse().unwrap(), other.parse().unwrap());
    let namespace = inode_of(init, "pid");
    // As long as it is a shell, it may reap them after all.
    let name = format!("/proc/{}/comm", parent.pid());
    eventually(|| (std::fs::read_to_string(&name).unwrap() == "sleep\n").then_some(()));
    rustix::process::kill_process(rustix::process::Pid::from_raw(init).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    eventually(|| (state_of(other) == Some('Z')).then_some(()));
    eventually(|| std::fs::read_link(format!("/proc/{init}/ns/net")).is_err().then_some(()));
    let page = show(&init.to_string());
    assert_eq!((&page["ending"], &page["namespaces"][4]["ns"]), (&true.into(), &namespace.into()), "{page}");
    let text = stdout_of(run(&["show", &init.to_string()]));
    assert!(text.contains("ending: it waits") && !text.contains("ended meanwhile"), "{text}");
    let text = stdout_of(run(&["show", &format!("ns:{namespace}")]));
    assert!(text.contains(&format!("init           process {init}")), "{text}");
    assert!(text.contains("(zombie: ended and not reaped)"), "{text}");
    let answer: Value = serde_json::from_str(&stdout_of(run(&["why", "-J", &format!("ns:{namespace}")]))).unwrap();
    let kept = |kind: &str| answer["kept_by"].as_array().unwrap().iter().find(|entry| entry["kind"] == kind);
    assert_eq!(kept("ending_init").unwrap()["pid"], init, "{answer}");
    assert_eq!(kept("zombie").unwrap()["release"], format!("kill {}", parent.pid()), "{answer}");
    // What is still known of it is told, and the rest is not taken for an error.
    let text = stdout_of(run(&["why", &init.to_string()]));
    assert!(text.contains(&namespace.to_string()), "{text}");
}

#[test]
fn a_thread_is_called_one_and_its_own_namespaces_are_shown_with_its_process() {
    crate::need_root!();
    std::thread::scope(|scope| {
        let (say, told) = std::sync::mpsc::channel();
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            unshare(CloneFlags::CLONE_NEWUTS).unwrap();
            let link = std::fs::read_link("/proc/thread-self/ns/uts").unwrap();
            say.send((rustix::thread::gettid().as_raw_nonzero().get(), link)).unwrap();
            let _: Result<(), _> = wait.recv();
        });
        let (tid, link) = told.recv().unwrap();
        let me = std::process::id();
        let found = show(&me.to_string())["threads_elsewhere"].clone();
        let entry = found.as_array().unwrap().iter().find(|entry| entry["tid"] == tid).unwrap();
        assert_eq!(format!("uts:[{}]", entry["ns"]), link.to_str().unwrap(), "{found}");
        let answer: Value = serde_json::from_str(&stdout_of(run(&["why", "-J", &me.to_string()]))).unwrap();
        let of_thread = answer["namespaces"].as_array().unwrap().iter().find(|entry| entry["thread"] == tid).unwrap();
        assert_eq!((&of_thread["ns"], &of_thread["link"]), (&entry["ns"], &"uts".into()), "{answer}");
        let text = stdout_of(run(&["show", &tid.to_string()]));
        assert!(text.starts_with(&format!("thread {tid} of process {me}: ")), "{text}");
        drop(go_on);
    });
}

/// A control group for a test, removed when that ends.
struct Group(PathBuf);

impl Group {
    /// Makes one with `file` in it, in a hierarchy of version 1 with this controller or in version 2.
    fn with(controller: &str, file: &str) -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts.lines().find_map(|line| {
            let (place, options) = line.split_once(" - cgroup")?;
            let fits = options.starts_with("2 ") || options.split([',', ' ']).any(|option| option == controller);
            let place = Path::new(place.split(' ').nth(4)?);
            let group = place.join(format!("nstool-show-{controller}-{}", std::process::id()));
            (fits && std::fs::create_dir(&group).is_ok()).then_some(())?;
            let group = Self(group);
            group.0.join(file).exists().then_some(group)
        })
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.0.join(file), text).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Until the processes in it are gone for good.
        eventually(|| std::fs::remove_dir(&self.0).is_ok().then_some(()));
    }
}

#[test]
fn who_is_frozen_and_what_is_limited_is_told() {
    crate::need_root!();
    let Some(pids) = Group::with("pids", "pids.max") else {
        return crate::common::skip("needs control groups with the controller pids");
    };
    let freezer = Group::with("freezer", "freezer.state");
    let Some(freezer) = freezer.or_else(|| Group::with("freezer", "cgroup.freeze")) else {
        return crate::common::skip("needs control groups that freeze");
    };
    let sleeper = Helper::shell(&[], "echo; exec sleep infinity");
    pids.write("pids.max", "7");
    pids.write("cgroup.procs", &sleeper.pid().to_string());
    let text = stdout_of(run(&["show", &sleeper.pid().to_string()]));
    assert!(text.contains("processes and threads: 7, 1 there"), "{text}");
    freezer.write("cgroup.procs", &sleeper.pid().to_string());
    let (file, freeze, thaw) = match freezer.0.join("freezer.state").exists() {
        true => ("freezer.state", "FROZEN", "THAWED"),
        false => ("cgroup.freeze", "1", "0"),
    };
    freezer.write(file, freeze);
    let text = stdout_of(run(&["show", &sleeper.pid().to_string()]));
    freezer.write(file, thaw);
    assert!(text.contains(&format!("(frozen by cgroup {})", freezer.0.display())), "{text}");
    let page = show(&sleeper.pid().to_string());
    assert_eq!(page["frozen_by"], Value::Null, "{page}");
    drop(sleeper);
}
