//! The options that say who and where to be.

use super::{enter, shell_in, sleeper, stderr_of};
use crate::common::{Helper, stdout_of};
use crate::{need, need_root};

#[test]
fn ids_are_taken_followed_and_preserved() {
    need_root!();
    need!("unshare", "setpriv");
    let ids = "echo $(id -u) $(id -g) $(id -G)";
    let target = sleeper(&["-u", "setpriv", "--reuid=1234", "--regid=2345", "--clear-groups"]);
    let pid = target.pid().to_string();
    assert_eq!(shell_in(&[&pid, "-S", "7"], "id -u"), "7");
    assert_eq!(shell_in(&[&pid, "-S", "7", "-G", "8"], ids), "7 8 8");
    assert_eq!(shell_in(&[&pid, "-S", "follow", "-G", "follow"], ids), "1234 2345 2345");
    assert_eq!(shell_in(&[&pid], "id -u"), "0");
    let rootless = sleeper(&["-U", "--map-user=5", "--map-group=6"]);
    let pid = rootless.pid().to_string();
    // 0 is not mapped there, so the target's own ids are taken.
    assert_eq!(shell_in(&[&pid], "echo $(id -u) $(id -g)"), "5 6");
    assert_eq!(shell_in(&[&pid, "--preserve-credentials"], "echo $(id -u) $(id -g)"), "5 6");
}

#[test]
fn capabilities_of_the_user_namespace_can_be_kept() {
    need_root!();
    need!("unshare");
    let target = sleeper(&["-U", "--map-user=5", "--map-group=6"]);
    let pid = target.pid().to_string();
    let effective = "grep CapEff /proc/self/status | tr -d '\\t'";
    assert_eq!(shell_in(&[&pid, "-U"], effective), "CapEff:0000000000000000");
    assert_ne!(shell_in(&[&pid, "-U", "--keep-caps"], effective), "CapEff:0000000000000000");
    assert_ne!(shell_in(&[&pid, "--keep-caps"], effective), "CapEff:0000000000000000");
}

#[test]
fn root_and_working_directory_can_be_chosen() {
    need_root!();
    need!("unshare");
    let target = sleeper(&["-m"]);
    let pid = target.pid().to_string();
    assert_eq!(shell_in(&[&pid, "-w=/usr"], "pwd -P"), "/usr");
    assert_eq!(shell_in(&[&pid, "-W", "/usr/bin"], "pwd -P"), "/usr/bin");
    assert_eq!(shell_in(&[&pid], "pwd -P"), "/");
    assert_eq!(stdout_of(enter(&["self", "-r=/usr", "--", "/bin/pwd"])), "/\n");
    assert_eq!(shell_in(&[&pid, "-n", "-w"], "pwd -P"), std::env::current_dir().unwrap().display().to_string());
}

#[test]
fn selinux_is_refused_where_it_is_not() {
    if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        return crate::common::skip("SELinux is enabled here");
    }
    let output = enter(&["self", "-Z", "--", "true"]);
    assert!(stderr_of(&output).contains("SELinux is not enabled"), "{}", stderr_of(&output));
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn limits_and_the_oom_score_of_the_target_can_be_shared() {
    need_root!();
    need!("prlimit");
    let target = sleeper(&["-u", "prlimit", "--nofile=50:60", "choom", "-n", "77", "--"]);
    let pid = target.pid().to_string();
    let show = "ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj";
    assert_eq!(shell_in(&[&pid, "--confined"], show), "50\n60\n77");
    assert_ne!(shell_in(&[&pid], show), "50\n60\n77");
}

#[test]
fn a_path_is_glued_to_its_letter_as_nsenter_takes_it() {
    need_root!();
    need!("unshare", "nsenter");
    let target = sleeper(&["-n", "-u"]);
    let (net, uts) = (format!("/proc/{}/ns/net", target.pid()), format!("/proc/{}/ns/uts", target.pid()));
    let show = ["sh", "-c", "readlink /proc/self/ns/net /proc/self/ns/uts; pwd"];
    let words = [format!("-n{net}"), format!("-u{uts}"), "-w/usr".to_owned()];
    let theirs = std::process::Command::new("nsenter").args(&words).args(show).output().unwrap();
    let words: Vec<&str> = words.iter().map(String::as_str).chain(["--"]).chain(show).collect();
    assert_eq!(stdout_of(enter(&words)), stdout_of(theirs));
    // Letters before it stay options of their own; a word of the command stays as it is.
    let pid = target.pid().to_string();
    let output = enter(&[&pid, &format!("-un{net}"), "--", "sh", "-c", "echo $0; readlink /proc/self/ns/uts", "-n/a"]);
    assert_eq!(stdout_of(output), format!("-n/a\nuts:[{}]\n", crate::common::inode_of(target.pid(), "uts")));
}

#[test]
fn an_id_that_is_none_or_of_no_namespace_is_told() {
    for (file, part, status) in
        [("--net=:x", "malformed namespace id x", 2), ("--net=:999999999", "cannot open the namespace with id", 125)]
    {
        let output = enter(&[file, "--", "true"]);
        assert!(stderr_of(&output).contains(part), "{}", stderr_of(&output));
        assert_eq!(output.status.code(), Some(status));
    }
}

#[test]
fn capabilities_and_no_new_privs_of_the_target_are_shared_and_its_filter_is_named() {
    need_root!();
    need!("unshare", "setpriv");
    let stage = crate::common::stage(&[]).get_program().to_str().unwrap().to_owned();
    let target = sleeper(&[
        "-u",
        "setpriv",
        "--bounding-set",
        "-net_raw,-sys_time",
        "--no-new-privs",
        &stage,
        "without",
        "fsopen",
        "--",
    ]);
    let pid = target.pid().to_string();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |text: &str, name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    // What is inheritable would pass by the bounding set, and the target has nothing of that.
    let script = format!("exec {} enter {pid} --confined -- cat /proc/self/status", env!("CARGO_BIN_EXE_nstool"));
    let output = std::process::Command::new("setpriv")
        .args(["--inh-caps", "+net_raw,+chown", "sh", "-c", &script])
        .output()
        .unwrap();
    assert!(stderr_of(&output).contains("not joined: its seccomp filter"), "{}", stderr_of(&output));
    let ours = stdout_of(output);
    for name in ["CapBnd", "NoNewPrivs"] {
        assert_eq!(field(&ours, name), field(&status, name));
    }
    let mask = |name: &str| u64::from_str_radix(field(&ours, name).split_whitespace().nth(1).unwrap(), 16).unwrap();
    assert_eq!((mask("CapInh"), mask("CapPrm") & !mask("CapBnd"), mask("CapEff") & !mask("CapBnd")), (0, 0, 0));
    let rootless = sleeper(&["-U", "--map-user=5", "--map-group=6", "setpriv", "--bounding-set", "-net_raw"]);
    let pid = rootless.pid().to_string();
    // Beyond the bounding set nothing can be kept either.
    let kept = shell_in(&[&pid, "--confined", "--keep-caps"], "grep -e CapBnd -e CapAmb /proc/self/status | cut -f 2");
    let (bounding, ambient) = kept.split_once('\n').unwrap();
    assert_eq!(bounding, ambient);
}

/// Returns the capability sets in the text of /proc/PID/status, by their names.
fn sets(status: &str) -> std::collections::BTreeMap<&str, u64> {
    let lines = status.lines().filter(|line| line.starts_with("Cap")).filter_map(|line| line.split_once(":\t"));
    lines.map(|(name, set)| (name, u64::from_str_radix(set, 16).unwrap())).collect()
}

#[test]
fn confined_as_root_the_command_holds_what_a_root_target_without_root_s_privileges_holds() {
    need_root!();
    need!("unshare", "setpriv");
    // By these bits being root gives nothing for good; nobody else can see them.
    let bits = ["--securebits", "+noroot,+noroot_locked", "--inh-caps", "+chown,+kill", "--ambient-caps", "+chown"];
    let target = sleeper(&[&["-u", "setpriv"][..], &bits].concat());
    let pid = target.pid().to_string();
    let theirs = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let theirs = sets(&theirs);
    assert_ne!(theirs["CapPrm"], theirs["CapBnd"]);
    let ours = shell_in(&[&pid, "--confined"], "cat /proc/self/status");
    let ours = sets(&ours);
    assert_eq!((ours["CapPrm"], ours["CapEff"]), (theirs["CapPrm"], theirs["CapEff"]));
    assert_eq!(ours["CapBnd"], theirs["CapPrm"]);
    let said = stderr_of(&enter(&[&pid, "-v", "--", "true"]));
    assert!(said.contains("the lack of capabilities that root has"), "{said}");
}

#[test]
fn confined_the_command_has_no_ambient_capability_of_ours() {
    need_root!();
    need!("setpriv", "sleep");
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let target = Helper::shell(&nobody, "echo ready; exec sleep 1000");
    let pid = target.pid().to_string();
    let public = crate::common::Public::copy("ambient");
    for (options, expected) in [(&[][..], 1 << 13), (&["--confined"], 0)] {
        let mut command = std::process::Command::new(nobody[0]);
        command.args(&nobody[1..]).args(["--inh-caps=+net_raw", "--ambient-caps=+net_raw"]).arg(public.path());
        command.args(["enter", &pid]).args(options).args(["--", "cat", "/proc/self/status"]);
        let ours = stdout_of(command.output().unwrap());
        let ours = sets(&ours);
        assert_eq!((ours["CapAmb"], ours["CapPrm"], ours["CapEff"]), (expected, expected, expected), "{options:?}");
    }
}

#[test]
fn confined_the_command_is_the_targets_user_unless_another_is_chosen() {
    need_root!();
    need!("unshare", "setpriv");
    let target = sleeper(&["-u", "setpriv", "--reuid=1234", "--regid=2345", "--groups=7,8"]);
    let pid = target.pid().to_string();
    let ids = "echo $(id -u) $(id -g) $(id -G)";
    assert_eq!(shell_in(&[&pid, "--confined"], ids), "1234 2345 2345 7 8");
    assert_eq!(shell_in(&[&pid, "--confined", "-S", "5", "-G", "6"], ids), "5 6 6");
    assert_eq!(shell_in(&[&pid, "--confined", "--preserve-credentials"], "id -u"), "0");
    let rootless = sleeper(&["-U", "--map-user=5", "--map-group=6"]);
    assert_eq!(shell_in(&[&rootless.pid().to_string(), "--confined"], "echo $(id -u) $(id -g)"), "5 6");
}

#[test]
fn capabilities_that_nothing_gives_are_said_not_to_be_kept() {
    let output = enter(&["self", "--keep-caps", "--", "true"]);
    assert!(stderr_of(&output).contains("--keep-caps keeps nothing"), "{}", stderr_of(&output));
}
