//! The options that say who and where to be.

use super::{enter, shell_in, sleeper, stderr_of};
use crate::common::stdout_of;
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
