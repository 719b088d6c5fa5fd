//! What the README promises, word for word.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use super::*;
use crate::common::{Helper, eventually, inode_of, nstool, stdout_of};
use crate::{need, need_root};

/// What another program prints.
fn printed(program: &str, arguments: &[&str]) -> String {
    stdout_of(Command::new(program).args(arguments).output().unwrap()).trim_end().to_owned()
}

#[test]
fn a_host_name_inside_leaves_the_outer_one_alone() {
    need_root!();
    let before = printed("hostname", &[]);
    assert_eq!(said(&["-u", "--hostname", "inner", "--", "hostname"]), "inner");
    assert_eq!(printed("hostname", &[]), before);
    let mut command = nstool();
    command.args(["unshare", "-u", "--hostname", "inner", "--", "sh", "-c", "echo ready; exec sleep 1000"]);
    let helper = Helper::start_command(command);
    let pid = helper.pid().to_string();
    assert_eq!(printed(env!("CARGO_BIN_EXE_nstool"), &["enter", &pid, "-u", "--", "hostname"]), "inner");
}

#[test]
fn the_command_is_pid_1_inside_and_its_outer_pid_is_told() {
    need_root!();
    let output = unshare(&["-pf", "-v", "--", "sh", "-c", "echo $$"]);
    let told = stderr(&output);
    let pid = told.lines().find_map(|line| line.strip_prefix("child: pid ")).unwrap();
    assert!(pid.parse::<i32>().unwrap() > 1, "{told}");
    assert_eq!(stdout_of(output).trim_end(), "1");
}

#[test]
fn ps_shows_only_the_processes_inside_also_where_the_root_is_shared() {
    need_root!();
    need!("ps");
    // `ps u` shows what shares our terminal; here there is none, so the same is asked of all.
    let output = unshare(&["-pm", "--mount-proc", "--", "ps", "u"]);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("USER "), "{}", stderr(&output));
    let alone = ["-pm", "--mount-proc", "--", "ps", "-eo", "pid,args", "--no-headers"];
    assert_eq!(said(&alone).trim(), "1 ps -eo pid,args --no-headers");
    let script = "mount --make-rshared / && cat /proc/self/mountinfo > \"$1/before\" && \
                  \"$0\" unshare -pm --mount-proc -- ps -e --no-headers | wc -l && \
                  cat /proc/self/mountinfo > \"$1/after\" && test -d /proc/$$ && ps -p $$ --no-headers | wc -l";
    let script = format!("{}; {script}", without_foreign_mounts());
    let scratch = Scratch::new();
    let path = scratch.path().to_str().unwrap();
    let arguments = ["-m", "sh", "-c", &script, env!("CARGO_BIN_EXE_nstool"), path];
    assert_eq!(printed("unshare", &arguments), "1\n1");
    let table = |name: &str| fs::read_to_string(scratch.text(name)).unwrap();
    assert_eq!(table("before"), table("after"));
    assert!(table("before").contains(" shared:"));
}

#[test]
fn an_init_is_the_parent_of_orphans_and_reaps_them() {
    need_root!();
    // The orphans write down their new parent, then end; the script looks for zombies when they have.
    let script = "for i in 1 2 3; do (sh -c 'while [ $(cut -d\" \" -f4 /proc/self/stat) = 0 ]; do :; done; \
                  sleep 0.05; grep PPid /proc/$$/status; exit '$i &); done; sleep 0.5; \
                  until [ $(ls -d /proc/[0-9]* | wc -l) -le 4 ]; do sleep 0.05; done; \
                  grep -l 'State:.Z' /proc/[0-9]*/status; exit 9";
    let output = unshare(&["-p", "--init", "-v", "--mount-proc", "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(9));
    let parents = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(parents, "PPid:\t1\nPPid:\t1\nPPid:\t1\n", "{}", stderr(&output));
    for status in 1..=3 {
        let reaped = format!("(exit {status})");
        let told = stderr(&output);
        let line = told.lines().find(|line| line.starts_with("init: reaped ") && line.ends_with(&reaped));
        assert!(line.is_some(), "{told}");
    }
}

/// What the container of story 5 must be like, told by a script that runs in it.
const LOOK: &str = "ls /; hostname; touch /home/made && echo home; touch /usr/made 2>/dev/null || echo usr refused; \
                    ps -e --no-headers | wc -l; cat /proc/1/comm; ls /.. ; ls /proc/1/root | wc -l; cut -d' ' -f5 /proc/self/mountinfo";

#[track_caller]
fn assert_contained(output: Output, scratch: &Scratch) {
    let told = stderr(&output);
    let said = stdout_of(output);
    let lines: Vec<&str> = said.lines().collect();
    let entries = ["bin", "dev", "etc", "home", "lib", "lib64", "proc", "usr"];
    let entries: Vec<&str> = entries.into_iter().filter(|entry| Path::new("/").join(entry).exists()).collect();
    let (listed, rest) = lines.split_at(entries.len());
    assert_eq!(listed, entries, "{said}{told}");
    // The init, the shell, ps, wc.
    assert_eq!(rest[..5], ["box", "home", "usr refused", "4", "nstool-init"], "{said}{told}");
    assert!(scratch.path().join("root/home/made").exists());
    let places = &rest[5 + entries.len() + 1..];
    assert_eq!(places.iter().filter(|place| **place == "/").count(), 1, "the old root is gone: {places:?}");
    assert!(places.iter().all(|place| !place.contains("nstool-unshare")), "{places:?}");
    assert_no_mount_below(scratch.path());
}

#[test]
fn a_directory_becomes_a_container() {
    need_root!();
    need!("ps");
    let scratch = Scratch::new();
    scratch.directory("root/home");
    let options = container(&scratch.text("root"));
    assert_contained(unshare(&words(&[], &options, &["--", "sh", "-c", LOOK])), &scratch);
}

#[test]
fn an_ordinary_user_with_subordinate_ids_makes_the_same_container() {
    need_root!();
    need!("ps", "newuidmap", "setpriv");
    let scratch = Scratch::new();
    scratch.directory("root");
    scratch.directory("root/home");
    let options = container(&scratch.text("root"));
    let script = format!("{LOOK}; chown 7:8 /home/made");
    assert_contained(
        as_nobody(&scratch, &words(&["-r", "--map-auto"], &options, &["--", "sh", "-c", &script])),
        &scratch,
    );
    // 0 is nobody's own id, and 1 the first subordinate one.
    let made = fs::metadata(scratch.path().join("root/home/made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (100_006, 100_007));
}

#[test]
fn an_ordinary_user_cannot_kill_out_of_a_chroot_with_all_kinds_new() {
    need_root!();
    need!("setpriv");
    let scratch = Scratch::new();
    let outer = Helper::start("sh", &["-c", "echo ready; exec sleep 1000"]);
    // In the container of a directory, with chroot.
    scratch.directory("root");
    scratch.directory("root/home");
    let mut options = container(&scratch.text("root"));
    options[0] = "-rpmuinCT".to_owned();
    options[1] = "--root".to_owned();
    let look = format!(
        "kill {} 2>&1; ls / | tr '\\n' ' '; hostname; touch /home/made && echo home; touch /usr/made 2>&1; ps -e --no-headers | wc -l",
        outer.pid()
    );
    let said = stdout_of(as_nobody(&scratch, &words(&[], &options, &["--", "sh", "-c", &look])));
    assert!(said.contains("No such process") && said.contains("Read-only file system"), "{said}");
    assert!(said.contains("home lib ") && said.contains("box\nhome\n") && said.ends_with("\n4\n"), "{said}");
    assert!(Path::new(&scratch.text("root/home/made")).exists());
    // And on the machine's own root.
    let kinds = "-pmuinCTr";
    let script = format!("kill {} 2>&1; ls /proc/self/ns | wc -l; id -u", outer.pid());
    let output = as_nobody(&scratch, &[kinds, "--root", "/", "--mount-proc", "--", "sh", "-c", &script]);
    let said = stdout_of(output);
    assert!(said.contains("No such process"), "{said}");
    assert!(said.ends_with("\n0\n"), "{said}");
    assert!(Path::new(&format!("/proc/{}", outer.pid())).exists());
}

#[test]
fn persistent_namespaces_are_joined_later_and_released_with_umount() {
    need_root!();
    let scratch = Scratch::new();
    let (net, uts) = (scratch.text("net"), scratch.text("uts"));
    let options = [format!("--net={net}"), format!("--uts={uts}")];
    let output = unshare(&words(&["--hostname", "kept"], &options, &["true"]));
    stdout_of(output);
    assert_eq!(printed(env!("CARGO_BIN_EXE_nstool"), &["enter", &format!("--uts={uts}"), "--", "hostname"]), "kept");
    let net_inside = format!("--net={net}");
    let joined =
        printed(env!("CARGO_BIN_EXE_nstool"), &["enter", &net_inside, "--", "stat", "-Lc%i", "/proc/self/ns/net"]);
    assert_eq!(joined, fs::metadata(&net).unwrap().ino().to_string());
    let ours = inode_of(std::process::id() as i32, "net");
    let kept = fs::metadata(&net).unwrap().ino();
    assert_ne!(kept, ours);
    let listed = stdout_of(nstool().args(["ls", "--json"]).output().unwrap());
    assert!(listed.contains(&kept.to_string()), "{listed}");
    for file in [&net, &uts] {
        release(file);
    }
    assert_no_mount_below(scratch.path());
    let listed = eventually(|| {
        let listed = stdout_of(nstool().args(["ls", "--json"]).output().unwrap());
        (!listed.contains(&kept.to_string())).then_some(listed)
    });
    assert!(!listed.is_empty());
}
