//! Every option, seen from inside.

use std::fs::{read_link, read_to_string};

use super::*;
use crate::common::{Helper, eventually, inode_of, nstool, stdout_of};
use crate::{need, need_root};

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

/// Runs a shell script in which `$0` is nstool and the words are `$1` and so on.
fn script(text: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", text, env!("CARGO_BIN_EXE_nstool")]).args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn each_kind_is_new_and_the_others_are_not() {
    need_root!();
    let links = KINDS.map(|(_, kind)| format!("/proc/self/ns/{kind}"));
    let links: Vec<&str> = links.iter().map(String::as_str).collect();
    let here = |link: &&str| read_link(link).unwrap().to_str().unwrap().to_owned();
    let ours: Vec<String> = links.iter().map(here).collect();
    for (index, (option, kind)) in KINDS.iter().enumerate() {
        for fork in [&[][..], &["-f"]] {
            let said = said(&[fork, &[*option, "--", "readlink"], &links].concat());
            for (place, (inside, outside)) in said.lines().zip(&ours).enumerate() {
                assert_eq!(inside == outside, place != index, "{kind}: {inside} {outside}");
            }
        }
    }
}

#[test]
fn without_a_child_the_command_takes_nstools_place() {
    need_root!();
    let mut command = nstool();
    command.args(["unshare", "-muin", "sh", "-c", "echo $$; exec sleep 1000"]);
    let helper = Helper::start_command(command);
    assert_eq!(helper.said, helper.pid().to_string());
}

#[test]
fn no_fork_leaves_the_command_outside_and_its_first_child_is_pid_1() {
    need_root!();
    let said = said(&["-pF", "--", "sh", "-c", "echo $$ $(exec sh -c 'echo $$')"]);
    let numbers: Vec<&str> = said.split(' ').collect();
    assert_ne!(numbers[0], "1");
    assert_eq!(numbers[1], "1");
    // Also where something else wants a child: maps that are written from outside, a report.
    for more in [&["--map-users=0:0:9"][..], &["-n", "--info-fd", "1"]] {
        let said = self::said(&[&["-pF"][..], more, &["--", "sh", "-c", "echo $$ $(exec sh -c 'echo $$')"]].concat());
        let line = said.lines().last().unwrap();
        assert!(line.ends_with(" 1") && !line.starts_with("1 "), "{more:?}: {said}");
        assert!(!said.contains("pid-namespace"), "{said}");
    }
}

#[test]
fn the_exit_status_and_the_signal_come_back() {
    for fork in [&["-r"][..], &["-rf"], &["-rpf"], &["-r", "--init"]] {
        let run = |script: &str| unshare(&[fork, &["--", "sh", "-c", script]].concat()).status;
        assert_eq!(run("exit 77").code(), Some(77), "{fork:?}");
        // A PID 1 that kills itself by a signal without handler lives on, but for the one of its init.
        if fork != ["-rpf"] {
            use std::os::unix::process::ExitStatusExt;
            assert_eq!(run("kill -TERM $$; sleep 10").signal(), Some(libc::SIGTERM), "{fork:?}");
        }
    }
}

#[test]
fn only_the_standard_descriptors_are_inherited() {
    for options in [&["-r"][..], &["-rf"], &["-rp", "--init"]] {
        let said = stdout_of(script(
            "exec \"$0\" unshare \"$@\" -- sh -c 'ls /proc/self/fd | tr \"\\n\" \" \"' 5</dev/null 9>/dev/null",
            options,
        ));
        // The fourth is the directory that ls reads.
        assert_eq!(said.trim(), "0 1 2 3", "{options:?}");
    }
}

#[test]
fn signals_are_passed_on() {
    for options in [&["-rf", "--forward-signals"][..], &["-rp", "--init"]] {
        let mut command = nstool();
        command.arg("unshare").args(options);
        command.args(["--", "sh", "-c", "trap 'exit 42' USR1; echo ready; while :; do sleep 0.01; done"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(42), "{options:?}");
    }
}

#[test]
fn the_maps_are_as_asked() {
    need_root!();
    let maps = "tr -s ' ' < /proc/self/uid_map; tr -s ' ' < /proc/self/gid_map; cat /proc/self/setgroups";
    for (options, expected) in [
        (&["-r"][..], " 0 0 1\n 0 0 1\ndeny"),
        (&["-c"], " 0 0 1\n 0 0 1\ndeny"),
        (&["-U", "--setgroups", "deny"], "deny"),
        (&["--map-user", "nobody"], " 65534 0 1\nallow"),
        (&["--map-group", "7"], " 7 0 1\ndeny"),
        (&["--map-group", "daemon"], " 1 0 1\ndeny"),
        (&["--map-users", "0:100000:5", "--map-users=9:9:1"], " 0 100000 5\n 9 9 1\nallow"),
        (&["--map-users", "100000,0,5"], " 0 100000 5\nallow"),
        (&["--map-groups", "0:5:3", "--setgroups", "deny"], " 0 5 3\ndeny"),
        (&["--map-users=all", "--map-groups=all"], " 0 0 4294967295\n 0 0 4294967295\nallow"),
        (&["--owner", "1000:1001", "-r"], " 0 1000 1\n 0 1001 1\ndeny"),
        (
            &["--owner", "1000:1001", "--map-users=1000:1000:1", "--map-groups=all"],
            " 1000 1000 1\n 0 0 4294967295\nallow",
        ),
    ] {
        assert_eq!(said(&[options, &["--", "sh", "-c", maps]].concat()), expected, "{options:?}");
    }
}

#[test]
fn subordinate_ids_are_mapped_as_asked() {
    need_root!();
    need!("newuidmap", "setpriv");
    let scratch = Scratch::new();
    let maps = "tr -s ' ' < /proc/self/uid_map; tr -s ' ' < /proc/self/gid_map; cat /proc/self/setgroups";
    for (options, expected) in [
        (&["--map-auto"][..], " 0 100000 65536\n 0 100000 65536\nallow"),
        (&["-r", "--map-auto"], " 0 65534 1\n 1 100000 65536\n 0 65534 1\n 1 100000 65536\nallow"),
        (
            &["-c", "--map-auto"],
            " 0 100000 65534\n 65534 65534 1\n 65535 165534 2\n 0 100000 65534\n 65534 65534 1\n 65535 165534 2\nallow",
        ),
        (&["--map-subids"], " 100000 100000 65536\n 100000 100000 65536\nallow"),
        (&["--map-users=auto", "--map-groups=subids"], " 0 100000 65536\n 100000 100000 65536\nallow"),
        (&["-r", "--map-users", "1:100005:9"], " 0 65534 1\n 1 100005 9\n 0 65534 1\ndeny"),
    ] {
        let output = as_nobody(&scratch, &[options, &["--", "sh", "-c", maps]].concat());
        assert_eq!(stdout_of(output).trim_end(), expected, "{options:?}");
    }
}

#[test]
fn the_owner_owns_the_user_namespace() {
    need_root!();
    let mut command = nstool();
    command.args(["unshare", "--owner", "1000:1001", "--map-users=all", "--map-groups=all", "-pm", "--init", "--"]);
    command.args(["sh", "-c", "echo $(id -u) $(id -g); sleep 1000"]);
    let helper = Helper::start_command(command);
    assert_eq!(helper.said, "1000 1001");
    let owners = stdout_of(nstool().args(["ls", "--json", "-t", "user"]).output().unwrap());
    assert!(owners.contains("1000"), "{owners}");
}

#[test]
fn credentials_change_as_asked() {
    need_root!();
    let show = ["--", "sh", "-c", "id -u; id -g; id -G"];
    assert_eq!(said(&[&["-S", "nobody", "-G", "7"][..], &show].concat()), "65534\n7\n7");
    assert_eq!(said(&[&["-m", "-S", "5"][..], &show[..3], &["id -u"]].concat()), "5");
    let caps = ["--", "sh", "-c", "grep -E 'Cap|NoNew' /proc/self/status | cut -f2"];
    let sets = |options: &[&str]| -> Vec<u64> {
        said(&[options, &caps].concat()).lines().map(|line| u64::from_str_radix(line, 16).unwrap()).collect()
    };
    let [all, kept] =
        [sets(&["-S", "5"]), sets(&["-U", "--map-users=all", "--map-groups=all", "-S", "5", "--keep-caps"])];
    // Inheritable, permitted, effective, bounding, ambient; no_new_privs.
    assert_eq!((all[1], all[2], all[4], all[5]), (0, 0, 0, 0));
    assert!(kept[1] != 0 && kept[1] == kept[2] && kept[1] == kept[4], "{kept:x?}");
    let raw = 1 << 13;
    let dropped = sets(&["-m", "--cap-drop", "CAP_NET_RAW"]);
    assert_eq!([dropped[1] & raw, dropped[3] & raw], [0, 0]);
    assert_ne!(dropped[3], 0);
    assert_eq!(sets(&["-m", "--cap-drop", "all"])[1..5], [0, 0, 0, 0]);
    let one = sets(&["-m", "--cap-drop", "ALL", "--cap-add", "net_raw", "-S", "5", "--no-new-privs"]);
    assert_eq!(one[1..], [raw, raw, raw, raw, 1]);
}

#[test]
fn names_clocks_and_the_loopback_device_are_set() {
    need_root!();
    assert_eq!(said(&["-u", "--domainname", "yp.example", "--", "cat", "/proc/sys/kernel/domainname"]), "yp.example");
    let offsets = ["-T", "--monotonic", "-5", "--boottime", "300000000", "--", "cat", "/proc/self/timens_offsets"];
    let uptime = ["-T", "--boottime", "300000000", "--", "cut", "-d.", "-f1", "/proc/uptime"];
    for prefix in [&[][..], &["-f"], &["-r"], &["-rp"], &["-p", "--init"]] {
        let said_offsets = said(&[prefix, &offsets].concat());
        let numbers: Vec<&str> = said_offsets.split_whitespace().collect();
        assert_eq!(numbers, ["monotonic", "-5", "0", "boottime", "300000000", "0"], "{prefix:?}");
        assert!(said(&[prefix, &uptime].concat()).parse::<u64>().unwrap() > 300_000_000, "{prefix:?}");
    }
    let flags = |options: &[&str]| {
        let words = [options, &["-n", "--mount-proc", "-p", "--sysfs", "/sys", "--", "cat", "/sys/class/net/lo/flags"]];
        u32::from_str_radix(said(&words.concat()).trim_start_matches("0x"), 16).unwrap()
    };
    assert_eq!([flags(&[]) & 1, flags(&["--lo-up"]) & 1], [0, 1]);
}

#[test]
fn propagation_is_private_before_the_first_mount_unless_told_otherwise() {
    need_root!();
    for (options, expected) in [
        (&["-m"][..], ""),
        (&["-m", "--propagation", "private"], ""),
        (&["-m", "--propagation", "slave"], "master:"),
        (&["-m", "--propagation", "shared"], "shared:"),
        (&["-m", "--propagation", "unchanged"], "shared:"),
    ] {
        let inner = "mount --make-shared --bind \"$1\" \"$1\" && d=$1 && shift && \
                     \"$0\" unshare \"$@\" --tmpfs $d/t -- grep \" $d \" /proc/self/mountinfo | cut -d' ' -f7; \
                     grep -c \"$d/t\" /proc/self/mountinfo";
        let scratch = Scratch::new();
        let path = scratch.path().to_str().unwrap();
        let arguments = [&["-m", "sh", "-c", inner, env!("CARGO_BIN_EXE_nstool"), path][..], options].concat();
        let output = Command::new("unshare").args(arguments).stderr(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let (tag, leaked) = said.trim_end().split_once('\n').unwrap();
        assert!(if expected.is_empty() { tag == "-" } else { tag.starts_with(expected) }, "{options:?}: {tag}");
        // What is mounted comes out only where the mount stayed a peer.
        assert_eq!(leaked != "0", expected == "shared:", "{options:?}");
    }
}

#[test]
fn the_building_blocks_are_laid_in_the_order_given() {
    need_root!();
    let scratch = Scratch::new();
    let root = scratch.directory("root");
    scratch.directory("root/home");
    let data = scratch.directory("data");
    fs::write(format!("{data}/file"), "text\n").unwrap();
    fs::write(scratch.text("one"), "one\n").unwrap();
    let binds = format!("{data}:/deep/er/data");
    let file = format!("{}:/etc/one", scratch.text("one"));
    let mut options = container(&root);
    options.retain(|option| option != "--init");
    let more = [
        "--tmpfs",
        "/deep:size=64k,mode=0700",
        "--bind",
        &binds,
        "--ro-bind",
        &file,
        "--sysfs",
        "/sys",
        "--symlink",
        "deep/er:/short",
        "--dir",
        "/a/b/c",
    ];
    let look = "stat -c %a /deep; df -k /deep | tail -1 | tr -s ' ' | cut -d' ' -f2; cat /short/data/file; cat /etc/one; \
                echo x > /etc/one || echo refused; ls -d /a/b/c; ls /sys/class/net; readlink /dev/fd; \
                echo yes > /dev/shm/x && cat /dev/shm/x; head -c 2 /dev/zero | wc -c; test -c /dev/ptmx && echo ptmx";
    // /etc is bound read-only in the container's options: a tmpfs over it takes the file.
    let words = words(&[], &options, &[&["--tmpfs", "/etc"][..], &more, &["--", "sh", "-c", look]].concat());
    let output = unshare(&words);
    let expected = "700\n64\ntext\none\nrefused\n/a/b/c\nlo\n/proc/self/fd\nyes\n2\nptmx\n";
    assert_eq!(stdout_of(output), expected);
    assert_no_mount_below(scratch.path());
}

#[test]
fn links_in_the_new_root_do_not_lead_a_mount_outside() {
    need_root!();
    let scratch = Scratch::new();
    let root = scratch.directory("root");
    let outside = scratch.directory("outside");
    std::os::unix::fs::symlink(&outside, format!("{root}/escape")).unwrap();
    std::os::unix::fs::symlink("../../../../../..", format!("{root}/up")).unwrap();
    let output = unshare(&["-m", "--pivot-root", &root, "--dir", "/escape/t", "--", "true"]);
    assert_eq!(output.status.code(), Some(125), "{}", stderr(&output));
    assert!(stderr(&output).contains("seen from within the new root"), "{}", stderr(&output));
    scratch.directory("root/home");
    assert_eq!(said(&words(&[], &container(&root), &["--dir", "/up/t", "--", "echo", "ran"])), "ran");
    // As inside: above the root there is the root.
    assert!(Path::new(&format!("{root}/t")).is_dir());
    assert!(!Path::new(&format!("{outside}/t")).exists());
    assert!(!Path::new("/t").exists());
}

#[test]
fn binfmt_misc_is_mounted_and_filled() {
    need_root!();
    // Since Linux 6.7 in a user namespace; older kernels refuse, which is told.
    let line = ":nstool:M::\\x7fNSTOOL::/bin/echo:";
    let output = unshare(&["-rm", "--mount-binfmt", "-l", line, "--", "cat", "/proc/sys/fs/binfmt_misc/nstool"]);
    if !output.status.success() && stderr(&output).contains("No such device") {
        return crate::common::skip("needs binfmt_misc in the kernel");
    }
    let said = stdout_of(output);
    assert!(said.starts_with("enabled\ninterpreter /bin/echo\n"), "{said}");
}

#[test]
fn the_directory_and_the_environment_are_as_asked() {
    need_root!();
    let scratch = Scratch::new();
    let place = scratch.directory("place");
    assert_eq!(said(&["-m", "-w", &place, "--", "pwd"]), place);
    let mut command = nstool();
    command.env("KEPT", "a=b").env("GONE", "x").args(["unshare", "-u", "--whitelist-env", "KEPT,OTHER", "--", "env"]);
    assert_eq!(stdout_of(command.output().unwrap()), "KEPT=a=b\n");
    let mut command = nstool();
    assert_eq!(stdout_of(command.args(["unshare", "-u", "--clear-env", "--", "env"]).output().unwrap()), "");
    let mut command = nstool();
    command.env("SHELL", "/bin/pwd").args(["unshare", "-u"]).current_dir("/");
    assert_eq!(stdout_of(command.output().unwrap()), "/\n");
}

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
fn somebody_else_can_write_the_maps() {
    need_root!();
    let scratch = Scratch::new();
    let (info, block) = (scratch.text("info"), scratch.text("block"));
    stdout_of(Command::new("mkfifo").args([&info, &block]).output().unwrap());
    let text = "\"$0\" unshare -U --info-fd 7 --userns-block-fd 8 -- cat /proc/self/uid_map 7>\"$1\" 8<>\"$2\" & \
                pid=$(grep -o '\"child-pid\": [0-9]*' < \"$1\" | grep -o '[0-9]*$'); \
                echo '5 0 1' > /proc/$pid/uid_map; echo go > \"$2\"; wait $!";
    let said = stdout_of(script(text, &[&info, &block]));
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["5", "0", "1"]);
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
fn sources_are_those_from_before_anything_covered_them() {
    need_root!();
    let scratch = Scratch::new();
    let data = scratch.directory("data");
    fs::write(format!("{data}/file"), "text\n").unwrap();
    let base = scratch.path().to_str().unwrap();
    let bind = format!("{data}:{base}/seen");
    let look = format!("cat {base}/seen/file; ls {base}");
    // Without a new root, the tmpfs covers the directory that is bound.
    let words = ["-m", "--tmpfs", base, "--bind", &bind, "--", "sh", "-c", &look];
    assert_eq!(said(&words), "text\nseen");
    // What is mounted for the container is not in a bind of what is around it.
    let whole = format!("/:{base}/seen");
    let look = format!("ls {base}/seen{base} | tr '\\n' ' '");
    assert_eq!(said(&["-m", "--tmpfs", base, "--bind", &whole, "--", "sh", "-c", &look]), "data");
}

#[test]
fn a_small_dev_in_place_of_the_outer_one_has_its_devices() {
    need_root!();
    for options in
        [&["-m", "--dev", "/dev"][..], &["-m", "--tmpfs", "/dev", "--dev", "/dev"], &["-rm", "--dev", "/dev"]]
    {
        let look = "for d in null zero full random urandom tty; do test -c /dev/$d || echo $d; done; echo x > /dev/null; \
                    stat -c %a /dev/shm; ls /dev | tr '\\n' ' '";
        let seen = said(&[options, &["--", "sh", "-c", look]].concat());
        let entries = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero";
        assert_eq!(seen, format!("1777\n{entries}"), "{options:?}");
    }
}

#[test]
fn more_binds_than_descriptors_are_no_trouble() {
    need_root!();
    need!("prlimit");
    let scratch = Scratch::new();
    let (root, data) = (scratch.directory("root"), scratch.directory("data"));
    let mut binds = Vec::new();
    for number in 0..200 {
        fs::write(format!("{data}/{number}"), "").unwrap();
        binds.extend(["--bind".to_owned(), format!("{data}/{number}:/many/{number}")]);
    }
    let options = container(&root);
    let look = "ls /many | wc -l; grep -c ' /many/' /proc/self/mountinfo";
    let mut command = Command::new("prlimit");
    command.args(["--nofile=64", env!("CARGO_BIN_EXE_nstool"), "unshare"]).args(&options[..options.len() - 5]);
    command.args(["--dev", "/dev"]).args(&binds).args(["--", "sh", "-c", look]);
    assert_eq!(stdout_of(command.stdin(Stdio::null()).output().unwrap()), "200\n200\n");
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
