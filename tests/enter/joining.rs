//! All eight kinds, for real.

use super::{enter, shell_in, sleeper, sleeper_in_pid_namespace};
use crate::common::{Helper, inode_of, run, stdout_of};
use crate::{need, need_root};

/// Prints the links of all own namespaces.
const LINKS: &str = "for kind in cgroup ipc mnt net pid time user uts; do readlink /proc/self/ns/$kind; done";

/// Returns the same of a process, from outside.
fn links_of(pid: i32) -> String {
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
    kinds.map(|kind| format!("{kind}:[{}]", inode_of(pid, kind))).join("\n")
}

#[test]
fn every_kind_that_differs_is_joined_by_default() {
    need_root!();
    need!("unshare");
    let (_helper, target) = sleeper_in_pid_namespace(&["-muinpCUT", "-r", "--mount-proc"]);
    assert_eq!(shell_in(&[&target], LINKS), links_of(target.parse().unwrap()));
}

#[test]
fn each_kind_alone_is_joined_when_it_alone_is_chosen() {
    need_root!();
    need!("unshare");
    for (letter, kind) in [("-m", "mnt"), ("-u", "uts"), ("-i", "ipc"), ("-n", "net"), ("-C", "cgroup"), ("-T", "time")]
    {
        let target = sleeper(&["-muinC", "-T"]);
        let pid = target.pid().to_string();
        let script = "readlink /proc/self/ns/$0";
        let output = enter(&[&pid, letter, "--", "sh", "-c", script, kind]);
        assert_eq!(stdout_of(output).trim(), format!("{kind}:[{}]", inode_of(target.pid(), kind)));
        let other = if kind == "uts" { "net" } else { "uts" };
        let output = enter(&[&pid, letter, "--", "sh", "-c", script, other]);
        assert_eq!(stdout_of(output).trim(), format!("{other}:[{}]", inode_of(std::process::id() as i32, other)));
    }
}

#[test]
fn in_a_pid_namespace_the_command_is_a_new_process_and_without_fork_only_its_children_are() {
    need_root!();
    need!("unshare");
    let (_helper, target) = sleeper_in_pid_namespace(&["-pm", "--mount-proc"]);
    assert_eq!(shell_in(&[&target], "echo $$; exit"), "2");
    assert_eq!(shell_in(&[&target, "-p", "-F"], "sh -c 'echo $PPID'; exit"), "0");
}

#[test]
fn what_is_ours_already_is_skipped_and_the_command_runs() {
    let pid = std::process::id().to_string();
    assert_eq!(stdout_of(enter(&[&pid, "--", "echo", "here"])), "here\n");
    assert_eq!(stdout_of(enter(&["self", "-a", "--", "echo", "here"])), "here\n");
}

#[test]
fn files_names_inodes_and_links_lead_to_the_same_network() {
    need_root!();
    need!("unshare");
    let target = sleeper(&["-n"]);
    let (pid, ino) = (target.pid(), inode_of(target.pid(), "net"));
    let expected = format!("net:[{ino}]");
    let show = ["--", "readlink", "/proc/self/ns/net"];
    let path = format!("/proc/{pid}/ns/net");
    for words in [
        vec![path.clone()],
        vec![format!("ns:{ino}")],
        vec![expected.clone()],
        vec![format!("--net={path}")],
        vec![format!("-n={path}")],
        vec!["-t".to_owned(), pid.to_string(), "-n".to_owned()],
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).chain(show).collect();
        assert_eq!(stdout_of(enter(&words)).trim(), expected, "{words:?}");
    }
}

#[test]
fn a_persistent_namespace_without_processes_is_joined_by_its_inode() {
    need_root!();
    need!("unshare", "mount");
    // A bind mount in a mount namespace of its own, which is all that keeps the network.
    let helper = Helper::shell(
        &["unshare", "-m"],
        "touch $$.tmp 2>/dev/null; f=$(mktemp); unshare --net=$f readlink /proc/self/ns/net; rm -f $$.tmp; exec sleep 1000",
    );
    let ino = helper.said.trim_start_matches("net:[").trim_end_matches(']').to_owned();
    let output = enter(&[&format!("ns:{ino}"), "--", "readlink", "/proc/self/ns/net"]);
    assert_eq!(stdout_of(output).trim(), helper.said);
}

#[test]
fn a_network_is_found_through_a_socket_of_the_target() {
    need_root!();
    let helper = Helper::start_command(crate::common::stage(&["socket"]));
    let (ino, socket) = helper.said.split_once(' ').unwrap();
    let pid = helper.pid().to_string();
    let output = enter(&[&pid, "-N", socket, "--", "readlink", "/proc/self/ns/net"]);
    assert_eq!(stdout_of(output).trim(), format!("net:[{ino}]"));
    let output = enter(&[&pid, "-N", "0", "--", "true"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(super::stderr_of(&output).contains("is no network socket"));
}

#[test]
fn the_parent_of_a_user_namespace_can_be_joined_instead() {
    need_root!();
    need!("unshare");
    let outer = Helper::shell(&["unshare", "-Ur"], "echo $(readlink /proc/self/ns/user); exec unshare -Ur sleep 1000");
    // The line comes before the inner one is made.
    let own = crate::common::eventually(|| {
        let now = format!("user:[{}]", inode_of(outer.pid(), "user"));
        (now != outer.said).then_some(now)
    });
    let pid = outer.pid().to_string();
    assert_eq!(shell_in(&[&pid, "-U"], "readlink /proc/self/ns/user"), own);
    assert_eq!(shell_in(&[&pid, "-U", "--user-parent"], "readlink /proc/self/ns/user"), outer.said);
}

#[test]
fn a_target_whose_leader_ended_can_be_entered() {
    need_root!();
    let helper = Helper::start_command(crate::common::stage(&["leader"]));
    let pid = helper.pid().to_string();
    let output = enter(&[&pid, "-u", "--", "readlink", "/proc/self/ns/uts"]);
    let own = helper.said.split(' ').next().unwrap();
    assert_eq!(stdout_of(output).trim(), format!("uts:[{own}]"));
}

#[test]
fn closed_descriptors_do_no_harm() {
    need_root!();
    need!("unshare");
    let target = sleeper(&["-n"]);
    let script = format!(
        "exec 0<&-; exec {} enter {} -- readlink /proc/self/ns/net",
        env!("CARGO_BIN_EXE_nstool"),
        target.pid()
    );
    let mut command = std::process::Command::new("sh");
    let output = command.args(["-c", &script]).output().unwrap();
    assert_eq!(stdout_of(output).trim(), format!("net:[{}]", inode_of(target.pid(), "net")));
    let script = script.replace("exec 0<&-;", "exec 0<&- 1>&- 2>&-;").replace("readlink", "test -e");
    let status = std::process::Command::new("sh").args(["-c", &script]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_dry_run_tells_the_order_in_words_and_as_json_and_does_nothing() {
    need_root!();
    need!("unshare");
    let target = sleeper(&["-n", "-U", "-r"]);
    let pid = target.pid().to_string();
    let text = stdout_of(run(&["enter", &pid, "--dry-run", "--", "false"]));
    let (user, net) = (inode_of(target.pid(), "user"), inode_of(target.pid(), "net"));
    assert!(text.starts_with(&format!("plan for process {pid} (sleep)\n  1  join user   {user}")), "{text}");
    assert!(text.contains(&format!("2  join net    {net}  owned by user namespace {user}: after it")), "{text}");
    assert!(text.contains("exec false") && text.contains("skip uts"), "{text}");
    let document: serde_json::Value =
        serde_json::from_str(&stdout_of(run(&["enter", &pid, "--dry-run", "-J", "--", "false"]))).unwrap();
    assert_eq!(document["steps"][0]["ns"].as_u64(), Some(user));
    assert_eq!(document["steps"][1]["type"], "net");
    assert_eq!(document["steps"].as_array().unwrap().last().unwrap()["detail"], "false");
}

#[test]
fn without_a_command_a_login_shell_reads_what_comes() {
    need_root!();
    need!("unshare");
    let target = sleeper(&["-m"]);
    let output = super::login_shell(target.pid(), "echo $0; readlink /proc/self/ns/mnt\n");
    let (name, link) = output.trim_end().split_once('\n').unwrap();
    assert!(name.starts_with('-'), "{name}");
    assert_eq!(link, format!("mnt:[{}]", inode_of(target.pid(), "mnt")));
}
