//! What is told: beforehand, as it happens, and to descriptors.

use std::fs::read_to_string;

use super::*;
use crate::common::stdout_of;
use crate::need_root;

#[test]
fn the_childs_pid_and_namespaces_are_told_as_json() {
    need_root!();
    let scratch = Scratch::new();
    let (info, status) = (scratch.text("info"), scratch.text("status"));
    let text = "exec \"$0\" unshare -pmn --info-fd 7 --json-status-fd 8 -- sh -c 'readlink /proc/self/ns/net; exit 3' 7>\"$1\" 8>\"$2\"";
    let output = script(text, &[&info, &status]);
    assert_eq!(output.status.code(), Some(3));
    let net = String::from_utf8(output.stdout).unwrap();
    let info: serde_json::Value = serde_json::from_str(&read_to_string(info).unwrap()).unwrap();
    assert_eq!(format!("net:[{}]\n", info["net-namespace"]), net);
    let keys: Vec<&str> = info.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["child-pid", "mnt-namespace", "net-namespace", "pid-namespace"]);
    let status = read_to_string(status).unwrap();
    let lines: Vec<serde_json::Value> = status.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], info);
    assert_eq!(lines[1], serde_json::json!({ "exit-code": 3 }));
}

#[test]
fn both_reports_may_go_to_one_descriptor() {
    need_root!();
    let scratch = Scratch::new();
    let file = scratch.text("told");
    let text = "exec \"$0\" unshare -u --info-fd 7 --json-status-fd 7 -- true 7>\"$1\"";
    stdout_of(script(text, &[&file]));
    let told = read_to_string(&file).unwrap();
    assert!(told.ends_with("{ \"exit-code\": 0 }\n") && told.matches("child-pid").count() == 2, "{told}");
}

#[test]
fn the_sync_descriptor_is_open_as_long_as_the_command_runs() {
    need_root!();
    let scratch = Scratch::new();
    let pipe = scratch.text("pipe");
    stdout_of(Command::new("mkfifo").arg(&pipe).output().unwrap());
    for options in [&["-f"][..], &["-p", "--init"]] {
        // The reader sees the end only when nobody holds the other side any more: after the command.
        let text = "p=$1; shift; cat \"$p\" & \"$0\" unshare \"$@\" --sync-fd 7 -- sh -c 'ls /proc/self/fd | wc -l; sleep 0.2; echo end' 7>\"$p\" && wait && echo seen";
        let arguments = [&[pipe.as_str()][..], options].concat();
        assert_eq!(stdout_of(script(text, &arguments)), "4\nend\nseen\n");
    }
}

#[test]
fn a_dry_run_prints_the_plan_and_does_nothing() {
    let scratch = Scratch::new();
    let file = scratch.text("net");
    let output = unshare(&["-pr", "-S", "0", "--init", &format!("--net={file}"), "--dry-run", "--", "echo", "\x1b[2J"]);
    let expected = "outside:\n  1  start a child in new namespaces: net pid user\n\
                    in the child:\n";
    let said = stdout_of(output);
    assert!(said.starts_with(expected), "{said}");
    assert!(said.contains(&format!("bind the net namespace to {file}")));
    assert!(said.ends_with("become uid 0\n  8  exec echo \\x1b[2J\n"), "{said}");
    assert!(!Path::new(&file).exists());
}

#[test]
fn what_is_told_as_it_happens_is_what_the_dry_run_promised() {
    need_root!();
    let scratch = Scratch::new();
    scratch.directory("root/home");
    let container = container(&scratch.text("root"));
    let container: Vec<&str> = container.iter().map(String::as_str).collect();
    for options in [
        &["-mu", "--hostname", "box", "--tmpfs", "/tmp", "-w", "/"][..],
        &["-rm", "--tmpfs", "/tmp", "--dir", "/tmp/a", "--symlink", "a:/tmp/b"],
        &["-rpm", "--mount-proc", "--map-users=5:5:5"],
        &["-T", "--boottime", "5"],
        &["-pT", "--boottime", "5", "--monotonic", "6"],
        &["--owner", "7:8", "-r", "-n", "--lo-up"],
        &container,
    ] {
        let plan = said(&[options, &["--dry-run", "--", "true"]].concat());
        let output = unshare(&[options, &["-v", "--", "true"]].concat());
        let told = stderr(&output);
        assert!(output.status.success(), "{told}");
        // Without the headings, the numbers, the making of the child, which tells its pid, and what its command does: that
        // it goes well shows in its running.
        let inner = plan.split("in the command's process:").next().unwrap();
        let promised = inner.lines().filter_map(|line| line.trim_start().split_once("  ")).map(|(_, step)| step);
        let promised = promised.filter(|step| !step.starts_with("start a child") && !step.starts_with("exec "));
        let promised = promised.filter(|step| !step.starts_with("become uid 7"));
        let done = told.lines().filter_map(|line| line.strip_prefix("done: "));
        assert_eq!(promised.collect::<Vec<_>>(), done.collect::<Vec<_>>(), "{options:?}");
        assert_eq!(told.contains("child: pid "), plan.contains("start a child"), "{told}");
    }
}
