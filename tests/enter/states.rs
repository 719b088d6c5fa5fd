//! Targets that are neither quite alive nor quite gone.

use super::{enter, shell_in, stderr_of};
use crate::common::{Helper, inode_of};
use crate::{need, need_root};

fn python(wrapper: &[&str], script: &str) -> Helper {
    let words = [wrapper, &["python3", "-c", script]].concat();
    Helper::start(words[0], &words[1..])
}

#[track_caller]
fn refused(pid: &str, parts: &[&str]) {
    let output = enter(&[pid, "--", "true"]);
    let said = stderr_of(&output);
    assert_eq!(output.status.code(), Some(125), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
}

#[test]
fn a_zombie_is_called_one_and_its_parent_named() {
    need!("python3");
    let script = "
import os, time
child = os.fork()
if child == 0: os._exit(0)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print(child, flush=True)
time.sleep(1000)";
    let parent = python(&[], script);
    refused(&parent.said, &["is a zombie", &format!("its parent, process {}", parent.pid())]);
}

#[test]
fn a_process_whose_leader_thread_has_ended_is_entered_by_another_thread() {
    need_root!();
    need!("python3", "unshare");
    let script = "
import ctypes, os, threading, time
def live():
    while b'State:\\tZ' not in open('/proc/self/status', 'rb').read(): time.sleep(0.005)
    print('ready', flush=True)
    time.sleep(1000)
threading.Thread(target=live).start()
ctypes.CDLL(None).pthread_exit(None)";
    let target = python(&["env", "MARK=theirs", "unshare", "-m"], script);
    let pid = target.pid().to_string();
    let thread = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let thread = thread.map(|entry| entry.unwrap().file_name()).find(|name| *name != *pid).unwrap();
    let thread: i32 = thread.to_str().unwrap().parse().unwrap();
    let inside = shell_in(&[&pid], "readlink /proc/self/ns/mnt; echo $MARK");
    assert_eq!(inside, format!("mnt:[{}]\ntheirs", inode_of(thread, "mnt")));
}

#[test]
fn an_init_that_waits_for_its_namespace_to_empty_is_said_to_be_ending() {
    need_root!();
    need!("python3");
    // The kernel lets the init go when all others there are gone, and one of them is a zombie of somebody outside.
    let script = "
import ctypes, os, signal, time
ctypes.CDLL(None).unshare(0x20000000)
init = os.fork()
if init == 0: time.sleep(1000)
other = os.fork()
if other == 0: time.sleep(1000)
os.kill(init, signal.SIGKILL)
os.waitid(os.P_PID, other, os.WEXITED | os.WNOWAIT)
print(init, flush=True)
time.sleep(1000)";
    let outside = python(&[], script);
    refused(&outside.said, &["it is ending", "as the init of its pid namespace", "whose parent is outside"]);
}
