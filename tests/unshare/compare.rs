//! Beside unshare and bubblewrap, where they do the same: what the command sees must be the same.

use super::*;
use crate::common::stdout_of;
use crate::{need, need_root};

/// What a process can tell of itself, as far as it does not change from run to run: no pids, namespace or mount numbers,
/// counters, and two signals that the C library ignores in what it spawns one way and not in what it spawns another; nor the descriptors, which the other tools let through, nor what other tests mount meanwhile.
const LOOK: &str = "grep -vE '^(FDSize|Pid|Tgid|Ngid|NStgid|NSpid|NSpgid|NSsid|PPid|Vm|Rss|Huge|Cpus|Mems|THP|untag|volun|nonvolun|Sig[QP]|Sh[dP]|Speculation|x86|SpeculationI)' /proc/self/status | \
    sed -E 's/^(SigIgn:.)0000000[01][08]/\\1/'; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; \
    cut -d' ' -f3- /proc/self/mountinfo | grep -v /nstool-unshare- | sed -E 's/(shared|master):[0-9]+/\\1/; s/^[0-9]+:[0-9]+ /dev /'; \
    pwd; hostname; for k in mnt uts ipc net pid user cgroup time; do \
    [ $(stat -Lc %i /proc/self/ns/$k) = $(eval echo \\$NS_$k) ] && echo same $k || echo new $k; done; env | sort | grep -v ^_=";

fn told(program: &[&str], options: &[&str], command: &[&str]) -> String {
    let mut words = Command::new(program[0]);
    words.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", "/");
    words.args(&program[1..]).args(options).args(command).stdin(Stdio::null());
    for kind in ["mnt", "uts", "ipc", "net", "pid", "user", "cgroup", "time"] {
        words.env(format!("NS_{kind}"), crate::common::inode_of(std::process::id() as i32, kind).to_string());
    }
    stdout_of(words.output().unwrap())
}

#[test]
fn the_command_sees_what_it_sees_with_unshare() {
    need_root!();
    need!("unshare");
    for options in [
        &["-m"][..],
        &["-u"],
        &["-i"],
        &["-n"],
        &["-C"],
        &["-T"],
        &["-U"],
        &["-muin"],
        &["-Ur"],
        &["-Urmuin"],
        &["-pf"],
        &["-pf", "--mount-proc"],
        &["-pf", "--kill-child"],
        &["-m", "--propagation", "slave"],
        &["-m", "--propagation", "shared"],
        &["-m", "--propagation", "unchanged"],
        &["-c"],
        &["--map-user=5", "--map-group=6"],
        &["--setgroups", "deny", "-U"],
        &["-U", "--keep-caps"],
        &["-Ur", "--keep-caps"],
        &["-S", "5", "-G", "6"],
        &["-m", "-w", "/etc"],
        &["-m", "-R", "/", "-w", "/usr"],
        &["-Tf", "--boottime", "1000", "--monotonic", "500"],
    ] {
        let command = ["--", "sh", "-c", LOOK];
        let ours = told(&[env!("CARGO_BIN_EXE_nstool"), "unshare"], options, &command);
        let theirs = told(&["unshare"], options, &command);
        assert_eq!(ours, theirs, "{options:?}");
    }
}

#[test]
fn the_container_is_bubblewraps() {
    need_root!();
    need!("bwrap");
    let scratch = Scratch::new();
    let root = scratch.directory("root");
    let home = scratch.directory("root/home");
    let options = container(&root);
    let ours = words(&[], &options, &[]);
    let binds = ["/bin", "/lib", "/lib64", "/usr", "/etc"].into_iter().filter(|place| Path::new(place).exists());
    let binds: Vec<&str> = binds.flat_map(|place| ["--ro-bind", place, place]).collect();
    let theirs = [
        &[
            "--unshare-pid",
            "--unshare-uts",
            "--unshare-ipc",
            "--unshare-net",
            "--hostname",
            "box",
            "--bind",
            &root,
            "/",
        ][..],
        &binds,
        &["--proc", "/proc", "--dev", "/dev", "--bind", &home, "/home"],
    ]
    .concat();
    // Place and root of each mount, and the flags of the binds. What bubblewrap adds of its own apart: it makes parts of
    // /proc read-only, which a process with all capabilities can undo, and has a link /dev/core.
    let look = "cut -d' ' -f4,5 /proc/self/mountinfo | sort; ls /; ls /dev; hostname; cat /proc/self/uid_map; \
                set -- /proc/[0-9]*; echo $#; readlink /proc/self/root; cat /proc/sys/kernel/hostname; \
                cut -d' ' -f5,6 /proc/self/mountinfo | grep -E '^/(bin|lib|lib64|usr|etc|home) '";
    let clean = |text: String| {
        text.lines().filter(|line| !line.contains("core") && !line.contains(" /proc/")).collect::<Vec<_>>().join("\n")
    };
    let ours = clean(told(&[env!("CARGO_BIN_EXE_nstool"), "unshare"], &ours, &["--", "sh", "-c", look]));
    let theirs = clean(told(&["bwrap"], &theirs, &["sh", "-c", look]));
    assert_eq!(ours, theirs);
}
