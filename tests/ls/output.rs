//! What `ls` prints: columns, trees, filters, formats, and names that mean harm.

use serde_json::{Value, json as value};

use super::{json, row, rows};
use crate::common::{self, Helper, inode_of, stage, stdout_of};
use crate::{need, need_root};

fn table(arguments: &[&str]) -> String {
    stdout_of(common::run(&[&["ls"], arguments].concat()))
}

fn me() -> i32 {
    std::process::id() as i32
}

#[test]
fn the_default_table_has_the_columns_of_lsns() {
    let text = table(&["-t", "uts", "-l"]);
    let header: Vec<_> = text.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["NS", "TYPE", "NPROCS", "PID", "USER", "COMMAND"]);
    assert!(text.lines().skip(1).all(|line| line.contains(" uts ")), "{text}");
    assert!(text.lines().all(|line| line == line.trim_end()), "no trailing blanks");
    let net = table(&["-t", "net", "-l", "-r"]);
    assert!(net.starts_with("NS TYPE NPROCS PID USER NETNSID NSFS COMMAND\n"), "{net}");
}

#[test]
fn columns_are_chosen_added_and_listed() {
    let chosen = table(&["-o", "type,NS", "-p", &me().to_string()]);
    assert!(chosen.starts_with("TYPE "), "{chosen}");
    let added = table(&["-r", "-o", "+PATH", "-p", &me().to_string()]);
    assert!(added.starts_with("NS TYPE NPROCS PID USER COMMAND PATH\n"), "{added}");
    let twice = table(&["-r", "-o", "NS,NS", "-p", &me().to_string()]);
    assert!(twice.starts_with("NS\n"), "{twice}");
    let listed = json(&table(&["-H", "-J"]));
    let names: Vec<_> = listed["columns"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    for name in [
        "NS", "TYPE", "PATH", "NPROCS", "PID", "PPID", "COMMAND", "UID", "USER", "NETNSID", "NSFS", "PNS", "ONS", "ID",
        "HOLDERS", "HELD-BY", "THREADS", "NAME",
    ] {
        assert!(names.contains(&name), "{name}");
        let all = rows(&["--output-all", "-p", &me().to_string()]);
        assert!(all[0].as_object().unwrap().contains_key(&name.to_ascii_lowercase()), "{name}");
    }
    assert!(table(&["-H"]).starts_with("NAME "));
    assert!(table(&["-H", "-r", "-n"]).starts_with("NS integer inode\\x20of"));
}

#[test]
fn the_namespaces_of_one_process_are_its_links() {
    let found = rows(&["-p", &me().to_string(), "-o", "NS,TYPE,PATH,ID"]);
    for row in &found {
        assert_eq!(row["ns"].as_u64(), Some(inode_of(me(), row["type"].as_str().unwrap())));
    }
    assert!(found.len() >= 7);
}

#[test]
fn kinds_can_be_repeated_and_joined_by_commas() {
    for arguments in [&["-t", "uts", "-t", "ipc"][..], &["-t", "uts,ipc"]] {
        let kinds: Vec<_> = rows(arguments).into_iter().map(|row| row["type"].clone()).collect();
        assert!(kinds.contains(&value!("uts")) && kinds.contains(&value!("ipc")));
        assert!(kinds.iter().all(|kind| kind == "uts" || kind == "ipc"));
    }
}

#[test]
fn the_processes_of_a_namespace_are_listed_as_a_tree() {
    need_root!();
    need!("unshare");
    let holder = Helper::shell(&["unshare", "-u"], "sleep 1000 & echo $!; wait");
    let ino = inode_of(holder.pid(), "uts");
    // The shell's child is there at once, and a moment later it is sleep.
    let top = common::eventually(|| {
        let document = json(&table(&["-J", &ino.to_string()]));
        let top = document["namespaces"][0].clone();
        (top["children"][0]["command"] == "sleep 1000").then_some(top)
    });
    assert_eq!(top["pid"], holder.pid());
    assert_eq!(top["children"][0]["pid"].to_string(), holder.said);
    let text = table(&[&format!("ns:{ino}"), "-n"]);
    assert!(text.contains("└─sleep 1000"), "{text}");
    assert!(table(&[&format!("uts:[{ino}]"), "-l", "-r"]).starts_with("PID PPID USER COMMAND\n"));
    let two = table(&["-r", &ino.to_string(), &inode_of(me(), "uts").to_string()]);
    assert!(two.starts_with("NS PID PPID USER COMMAND\n"), "{two}");
}

#[test]
fn trees_follow_processes_owners_and_parents() {
    need_root!();
    need!("unshare");
    let outer = Helper::shell(
        &["unshare", "-Urpf", "--kill-child", "unshare", "-Urpf", "--kill-child"],
        "echo; sleep 1000 & wait",
    );
    let nested = |arguments: &[&str], ino: u64| -> Vec<u64> {
        fn path(rows: &Value, ino: u64) -> Option<Vec<u64>> {
            rows.as_array()?.iter().find_map(|row| {
                let own = row["ns"].as_u64()?;
                if own == ino {
                    Some(vec![own])
                } else {
                    path(&row["children"], ino).map(|below| [vec![own], below].concat())
                }
            })
        }
        path(&json(&table(&[&["-J"], arguments].concat()))["namespaces"], ino).unwrap()
    };
    let child = |pid: i32| -> i32 {
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap().trim().parse().unwrap()
    };
    let middle = child(outer.pid());
    let inner = child(middle);
    let users = [inode_of(me(), "user"), inode_of(outer.pid(), "user"), inode_of(inner, "user")];
    let pids = [inode_of(me(), "pid"), inode_of(middle, "pid"), inode_of(inner, "pid")];
    for tree in [&["-T"][..], &["-T=owner"], &["--tree=parent"], &["--tree=process"], &[]] {
        assert_eq!(nested(tree, users[2]), users, "{tree:?}");
    }
    for tree in [&["-T=parent"][..], &["-T=process"], &[]] {
        assert_eq!(nested(tree, pids[2]), pids, "{tree:?}");
    }
    assert_eq!(nested(&["-T"], pids[2]), [&users[..], &pids[2..]].concat());
    // A namespace that is not shown does not break the tree.
    let shown = format!("NS == {} || NS == {}", users[0], users[2]);
    assert_eq!(nested(&["-T", "-Q", &shown], users[2]), [users[0], users[2]]);
    assert!(table(&["-T", "-Q", &shown]).contains(&format!("└─{}", users[2])));
}

#[test]
fn a_tree_that_was_asked_for_is_drawn_despite_l_and_none_is_in_raw_text() {
    need_root!();
    need!("unshare");
    let outer = Helper::shell(&["unshare", "-Ur"], "echo; sleep 1000 & wait");
    let (mine, theirs) = (inode_of(me(), "user"), inode_of(outer.pid(), "user"));
    let only = format!("NS == {mine} || NS == {theirs}");
    let drawn = table(&["-l", "-T", "-Q", &only]);
    assert!(drawn.contains(&format!("─{theirs}")), "{drawn}");
    assert!(table(&["-T", "-l", "-Q", &only]).contains(&format!("─{theirs}")), "in either order");
    assert!(!table(&["-l", "-Q", &only]).contains('─'));
    let nested = json(&table(&["-l", "-T=parent", "-J", "-Q", &only]));
    assert_eq!(nested["namespaces"][0]["children"][0]["ns"], theirs);
    for words in [&["-r", "-T"][..], &["-T=owner", "-r"], &["-r", "-l", "-T=process"]] {
        let raw = table(&[words, &["-n", "-o", "NS", "-Q", &only]].concat());
        let mut listed: Vec<u64> = raw.lines().map(|line| line.parse().unwrap()).collect();
        listed.sort_unstable();
        let mut both = [mine, theirs];
        both.sort_unstable();
        assert_eq!(listed, both, "{words:?}: one number a line, and nothing drawn");
    }
}

#[test]
fn self_is_the_nstool_that_asks() {
    need_root!();
    need!("unshare");
    for options in [&["-u"][..], &["-pf", "--kill-child"], &["-mpf", "--kill-child", "--mount-proc"]] {
        // Inside a pid namespace, under an outer /proc or one of its own, numbers differ; it is itself all the same.
        let script =
            format!("readlink /proc/self/ns/uts; exec {} ls -p self -r -n -o TYPE,NS", env!("CARGO_BIN_EXE_nstool"));
        let mut command = std::process::Command::new("unshare");
        let text = stdout_of(command.args(options).args(["-u", "sh", "-c", &script]).output().unwrap());
        let (uts, rows) = text.split_once('\n').unwrap();
        let listed = rows.lines().find_map(|line| line.strip_prefix("uts ")).unwrap();
        assert_eq!(uts, format!("uts:[{listed}]"), "{options:?}");
    }
}

#[test]
fn numbers_of_an_outer_proc_are_said_to_be_its_own() {
    need_root!();
    need!("unshare");
    let nstool = env!("CARGO_BIN_EXE_nstool");
    for (verb, options) in [("ls", &["-pf"][..]), ("mounts", &["-mpf"])] {
        let mut command = std::process::Command::new("unshare");
        let output = command.args(options).args(["--kill-child", nstool, verb]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("/proc belongs to another pid namespace, around ours"), "{said}");
        assert!(said.contains("the process ids above are its own"), "{said}");
    }
    assert!(!String::from_utf8_lossy(&common::run(&["ls"]).stderr).contains("pid namespace, around ours"));
}

#[test]
fn a_zombie_is_marked_as_one() {
    need_root!();
    need!("unshare");
    // The shell becomes a sleep, which asks for no child's end; a shell might, so the child waits for that.
    let script = "(until grep -q sleep /proc/1/comm; do sleep 0.02; done) & echo; exec sleep 1000";
    let holder = Helper::shell(&["unshare", "-pf", "--mount-proc", "--kill-child"], script);
    let init = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", holder.pid())).unwrap();
    let pid_namespace = inode_of(init.trim().parse().unwrap(), "pid").to_string();
    let text = common::eventually(|| {
        let text = table(&[&pid_namespace, "-l", "-n"]);
        text.contains("<defunct>").then_some(text)
    });
    assert!(text.lines().any(|line| line.ends_with("sh <defunct>")), "{text}");
    assert!(text.lines().any(|line| line.ends_with("sleep 1000")), "{text}");
}

#[test]
fn filters_select_rows_by_any_column() {
    let own = inode_of(me(), "uts");
    let by_number = rows(&["-Q", &format!("NS == {own}")]);
    assert_eq!(by_number.len(), 1);
    assert_eq!(row(&by_number, own)["type"], "uts");
    assert!(
        rows(&["-Q", "TYPE =~ '^u' && NPROCS >= 1"]).iter().all(|row| row["type"].as_str().unwrap().starts_with('u'))
    );
    assert_eq!(rows(&["-Q", "NPROCS < 0"]), Vec::<Value>::new());
    assert_eq!(table(&["-Q", "NPROCS < 0"]), "");
    assert!(!rows(&["-Q", &format!("PPID >= 0 && NS == {own}")]).is_empty(), "columns that are not shown count too");
}

#[test]
fn a_namespace_without_processes_is_answered_for() {
    need_root!();
    let holder = Helper::start_command(stage(&["descriptor"]));
    let ino = holder.said.split(' ').next().unwrap();
    let own = inode_of(me(), "uts").to_string();
    for arguments in [&["ls", ino][..], &["ls", &own, ino], &["ls", "-t", "uts", ino]] {
        let output = common::run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.contains(&format!("no process is in uts namespace {ino}: `nstool ls -Q 'NS == {ino}'`")),
            "{said}"
        );
        stdout_of(output);
    }
    assert_eq!(rows(&[ino]), Vec::<Value>::new());
}

#[test]
fn user_namespaces_that_only_own_something_are_listed_by_kind_too() {
    need_root!();
    need!("unshare");
    // The user namespace has no process any more; the network namespace it owns has a descriptor.
    let holder = Helper::shell(
        &[],
        "unshare -Un sh -c 'echo; exec sleep 1000' >/dev/null & while ! [ $(stat -Lc %i /proc/$!/ns/net) != $(stat -Lc %i /proc/self/ns/net) ]; do :; done; exec 9</proc/$!/ns/net; kill $!; wait $! 2>/dev/null; echo; exec sleep 1000",
    );
    let net = std::fs::metadata(format!("/proc/{}/fd/9", holder.pid())).unwrap();
    let net = std::os::unix::fs::MetadataExt::ino(&net);
    let all = rows(&["-o", "NS,ONS"]);
    let owner = row(&all, net)["ons"].as_u64().unwrap();
    let held_by = format!("namespace {net} that it owns");
    super::eventually_row(&["-t", "user", "-o", "NS,TYPE,HELD-BY"], owner, &[("held-by", value!(held_by))]);
}

#[test]
fn the_examples_of_the_help_work() {
    let help = stdout_of(common::run(&["ls", "--help"]));
    let examples = help
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nstool ls "))
        .map(|line| line.split("  ").next().unwrap());
    let mut count = 0;
    for example in examples {
        let own = inode_of(me(), "uts").to_string();
        let example = example.replace("4711", &me().to_string()).replace("4026532201", &own);
        let script = format!("{} ls {example}", env!("CARGO_BIN_EXE_nstool"));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{example}: {output:?}");
        count += 1;
    }
    assert!(count >= 5, "{help}");
}

#[test]
fn on_a_terminal_commands_are_cut_to_its_width() {
    need_root!();
    need!("script", "unshare");
    let long = "x".repeat(300);
    let holder = Helper::shell(&["unshare", "-u"], &format!("echo; exec sleep 1000 || echo {long}"));
    let _other = Helper::start("unshare", &["-u", "sh", "-c", &format!("echo; sleep 1000; : {long}")]);
    let width = |options: &str, columns: u32| -> usize {
        let command = format!("stty cols {columns}; {} ls -l -n {options}", env!("CARGO_BIN_EXE_nstool"));
        let output = std::process::Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        uncoloured(&text).lines().filter(|line| line.contains(" uts ")).map(|line| line.chars().count()).max().unwrap()
    };
    for columns in [80, 60, 50, 40, 20] {
        assert!(width("-t uts", columns) <= columns as usize, "in {columns} columns no line wraps");
    }
    assert!(width("-t uts", 120) > 80);
    let mounts = format!("stty cols 50; {} mounts -l 2>/dev/null", env!("CARGO_BIN_EXE_nstool"));
    let script = ["-qec", &mounts, "/dev/null"];
    let output = std::process::Command::new("script").args(script).stdin(std::process::Stdio::null()).output().unwrap();
    let text = uncoloured(&String::from_utf8(output.stdout).unwrap());
    assert!(text.lines().all(|line| line.trim_end().chars().count() <= 50), "{text}");
    assert!(width("-t uts -u", 80) > 300);
    drop(holder);
}

#[test]
fn without_headings_and_raw() {
    let text = table(&["-n", "-l", "-t", "uts"]);
    assert!(!text.contains("NPROCS"), "{text}");
    let raw = table(&["-r", "-t", "uts", "-o", "NS,TYPE,COMMAND"]);
    assert!(raw.lines().all(|line| line.split(' ').count() == 3), "{raw}");
}

#[test]
fn several_mount_points_stand_below_each_other_or_on_one_line() {
    need_root!();
    need!("unshare", "ip", "nsenter");
    let script = "mount -t tmpfs none /run && mkdir /run/netns && ip netns add blue && touch /run/two && \
                  mount --bind /run/netns/blue /run/two && echo && exec sleep 1000";
    let holder = Helper::shell(&["unshare", "-m"], script);
    let inside = |arguments: &[&str]| {
        let mut command = std::process::Command::new("nsenter");
        command.args(["-m", "-t", &holder.pid().to_string(), env!("CARGO_BIN_EXE_nstool"), "ls", "-t", "net"]);
        stdout_of(command.args(arguments).output().unwrap())
    };
    let wrapped = inside(&["-o", "NSFS,NS"]);
    assert!(wrapped.lines().any(|line| line.trim() == "/run/two"), "{wrapped}");
    assert!(inside(&["-W", "-o", "NSFS"]).contains("/run/netns/blue,/run/two"));
    assert!(inside(&["-r", "-o", "NSFS"]).contains("/run/netns/blue,/run/two"));
    // Another test's scan may hold it for a moment as well.
    common::eventually(|| inside(&["-P"]).contains("[held by mount /run/netns/blue]").then_some(()));
}

#[test]
fn names_that_mean_harm_reach_no_terminal() {
    need_root!();
    need!("unshare", "bash");
    let _thread = Helper::start_command(stage_in_own_uts(&["name"]));
    let _arguments =
        Helper::start("unshare", &["-u", "bash", "-c", "echo; exec -a $'\\e]0;owned\\a\\n\\u202e' sleep 1000"]);
    let script = "mount -t tmpfs none /run && mkdir /run/netns && cd /run/netns && f=$(printf 'e\\033[2J\\n\\377') && touch \"$f\" && \
                  unshare \"--net=/run/netns/$f\" true && echo && exec sleep 1000";
    let mounts = Helper::shell(&["unshare", "-m"], script);
    for arguments in
        [&["--output-all"][..], &["-r", "--output-all"], &["-J", "--output-all"], &["-l"], &["--color=always", "-n"]]
    {
        let mut command = std::process::Command::new("nsenter");
        command.args(["-m", "-t", &mounts.pid().to_string(), env!("CARGO_BIN_EXE_nstool"), "ls"]).args(arguments);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let text = text.replace("\x1b[1m", "").replace("\x1b[0m", "");
        let text = if arguments.contains(&"--color=always") { uncoloured(&text) } else { text };
        assert!(text.chars().all(|c| !c.is_control() || c == '\n'), "{arguments:?}: {text:?}");
        assert!(!text.contains('\u{202e}'), "{arguments:?}");
        assert!(
            arguments.contains(&"-J") || text.contains("\\x1b]0;owned") || text.contains("\\x5cx1b]0;owned"),
            "{text}"
        );
    }
    // JSON keeps the real name.
    let listed = rows(&["-o", "COMMAND"]);
    assert!(
        listed.iter().any(|row| row["command"].as_str().is_some_and(|command| command.contains("\x1b]0;owned\x07\n")))
    );
}

fn stage_in_own_uts(arguments: &[&str]) -> std::process::Command {
    let program = stage(arguments);
    let mut command = std::process::Command::new("unshare");
    command.arg("-u").arg(program.get_program()).args(program.get_args());
    command
}

/// Takes out the colours that nstool itself sets.
fn uncoloured(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        out.push_str(before);
        let end = after.find('m').filter(|end| after[..*end].bytes().all(|byte| byte.is_ascii_digit() || byte == b';'));
        rest = end.map_or(after, |end| &after[end + 1..]);
        if end.is_none() {
            out.push('\x1b');
        }
    }
    out + rest
}

#[test]
fn colours_follow_the_option_and_the_environment() {
    let coloured = |command: &mut std::process::Command| stdout_of(command.output().unwrap()).contains('\x1b');
    assert!(!coloured(common::nstool().arg("ls")), "a pipe takes no colours");
    assert!(coloured(common::nstool().args(["ls", "--color", "always"])));
    assert!(!coloured(common::nstool().args(["ls", "--color", "never"])));
    assert!(
        coloured(common::nstool().args(["ls", "--color=always"]).env("NO_COLOR", "1")),
        "the option was typed later"
    );
}

#[test]
fn a_closed_reader_is_no_failure() {
    let script = format!("{} ls --output-all | true; exit ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_nstool"));
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_full_disk_is_a_failure() {
    let script = format!("{} ls >/dev/full", env!("CARGO_BIN_EXE_nstool"));
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write to stdout"));
}

#[test]
fn a_stdout_that_is_closed_is_a_failure() {
    for words in ["ls", "ls -J", "ls -H", "mounts", "--help", "version"] {
        let script = format!("{} {words} >&-", env!("CARGO_BIN_EXE_nstool"));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.ends_with("error: cannot write to stdout\ncause: Bad file descriptor (os error 9)\n"), "{said}");
    }
    // What has nothing to say says nothing wrong, and /dev/null is as good as any other file.
    for words in ["ls -Q 'NPROCS < 0' >&-", "ls >/dev/null", "ls <>/dev/null >&0", "ls 2>&- >/dev/null"] {
        let script = format!("{} {words}", env!("CARGO_BIN_EXE_nstool"));
        assert!(std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success(), "{words}");
    }
}
