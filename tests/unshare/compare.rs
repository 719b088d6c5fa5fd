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

/// Runs both in one mount namespace of the test's own, where no other test mounts meanwhile.
#[track_caller]
fn assert_same_as_unshare(prepare: &str, options: &[&str]) {
    let scratch = Scratch::new();
    let script = format!(
        "{}; set -e; {prepare}; d=$1; look=$2; shift 2; \
         for k in mnt uts ipc net pid user cgroup time; do export NS_$k=$(stat -Lc %i /proc/self/ns/$k); done; \
         \"$0\" unshare \"$@\" -- sh -c \"$look\" > $d/ours; unshare \"$@\" -- sh -c \"$look\" > $d/theirs",
        without_foreign_mounts()
    );
    let mut command = Command::new("unshare");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", "/");
    command.args(["-m", "sh", "-c", &script, env!("CARGO_BIN_EXE_nstool"), scratch.path().to_str().unwrap(), LOOK]);
    stdout_of(command.args(options).stdin(Stdio::null()).output().unwrap());
    let [ours, theirs] = ["ours", "theirs"].map(|name| fs::read_to_string(scratch.text(name)).unwrap());
    assert!(ours.contains("new ") || options.contains(&"5"), "{options:?}: {ours}");
    assert_eq!(ours, theirs, "{options:?}");
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
        &["-T", "--boottime=-5", "--monotonic", "-5"],
        &["-Ur", "--map-user=0"],
        &["-Uc", "-mp", "-f", "--mount-proc"],
        &["-rS", "0"],
        &["-UR", "/"],
        &["-rpf", "--mount-proc=/proc", "-R", "/", "-w", "/usr"],
        &["-rmuinpCTf", "--mount-proc"],
        &["-rm", "--propagation", "unchanged"],
    ] {
        assert_same_as_unshare(":", options);
    }
}

#[test]
fn the_command_sees_what_it_sees_with_unshare_also_where_all_mounts_are_shared() {
    need_root!();
    need!("unshare");
    for options in [
        &["-m"][..],
        &["-m", "--propagation", "private"],
        &["-m", "--propagation", "slave"],
        &["-m", "--propagation", "shared"],
        &["-m", "--propagation", "unchanged"],
        &["-rm", "--propagation", "unchanged"],
        &["-pf", "--mount-proc"],
        &["-rpf", "--mount-proc"],
    ] {
        assert_same_as_unshare("mount --make-rshared /", options);
    }
}

#[test]
fn an_ordinary_user_sees_what_he_sees_with_unshare() {
    need_root!();
    need!("unshare", "setpriv", "newuidmap");
    let scratch = Scratch::new();
    for options in [
        &["-U"][..],
        &["-r"],
        &["-c"],
        &["--map-user=5", "--map-group=6"],
        &["-rmuinpf", "--mount-proc"],
        &["--map-auto"],
        &["-r", "--map-users=100000,1,9", "--map-groups=100000,1,9"],
        &["-r", "--keep-caps"],
        &["-c", "--keep-caps"],
    ] {
        let look = LOOK.replace("$(eval echo \\$NS_$k)", "x");
        let words = [options, &["--", "sh", "-c", &look]].concat();
        let ours = stdout_of(as_nobody(&scratch, &words));
        let theirs = stdout_of(as_nobody_with(&scratch, &["unshare"], &words));
        assert_eq!(ours, theirs, "{options:?}");
    }
}

#[test]
fn what_is_told_as_json_is_what_bubblewrap_tells() {
    need_root!();
    need!("bwrap");
    let scratch = Scratch::new();
    let told = |words: &[&str], command: &[&str]| {
        let (info, status) = (scratch.text("info"), scratch.text("status"));
        let script = "i=$1; s=$2; shift 2; exec \"$@\" 7>$i 8>$s";
        let mut all = Command::new("sh");
        all.args(["-c", script, "sh", &info, &status]).args(words).args(["--info-fd", "7", "--json-status-fd", "8"]);
        let _ = all.args(command).stdin(Stdio::null()).stderr(Stdio::null()).output().unwrap();
        let text = fs::read_to_string(info).unwrap() + &fs::read_to_string(status).unwrap();
        let numbers = regex_lite::Regex::new(r#"((?:pid|namespace)": )\d+"#).unwrap();
        numbers.replace_all(&text, "${1}N").into_owned()
    };
    let nstool = env!("CARGO_BIN_EXE_nstool");
    for command in [&["true"][..], &["sh", "-c", "exit 7"], &["sh", "-c", "kill -KILL $$"], &["no-such-program"]] {
        for (ours, theirs) in [
            (&["-muinpC", "--init"][..], &["--unshare-all"][..]),
            (&["-mn", "-f"], &["--unshare-net"]),
            (&["-mp", "--init"], &["--unshare-pid"]),
        ] {
            let ours = told(&[&[nstool, "unshare"], ours].concat(), &[&["--"], command].concat());
            let theirs =
                told(&[&["bwrap"], theirs, &["--bind", "/", "/", "--dev-bind", "/dev", "/dev"]].concat(), command);
            assert_eq!(ours, theirs, "{command:?}");
        }
    }
}

#[test]
fn each_building_block_is_bubblewraps() {
    need_root!();
    need!("bwrap");
    let scratch = Scratch::new();
    let (root, data) = (scratch.directory("root"), scratch.directory("data"));
    fs::write(format!("{data}/file"), "").unwrap();
    let basis: Vec<&str> =
        ["/bin", "/lib", "/lib64", "/usr"].into_iter().filter(|place| Path::new(place).exists()).collect();
    let (file, file_at) = (format!("{data}/file"), format!("{data}/file:/a/b/file"));
    let data_at = format!("{data}:/x/y");
    // Without what differs for good: bubblewrap's own read-only parts of /proc, its link /dev/core, and the modes of what
    // is for everybody (shm).
    let look = "cut -d' ' -f4-6,9- /proc/self/mountinfo | grep -v ' /proc/' | sort; \
                find /a /x /dev /t /l /d -maxdepth 2 -printf '%M %p %l\\n' 2>/dev/null | grep -vE '/dev/(core|shm|pts/)' | sort";
    for (ours, theirs) in [
        (&["--bind", &data_at][..], &["--bind", &data, "/x/y"][..]),
        (&["--ro-bind", &data_at], &["--ro-bind", &data, "/x/y"]),
        (&["--ro-bind", &file_at], &["--ro-bind", &file, "/a/b/file"]),
        (&["--tmpfs", "/t"], &["--tmpfs", "/t"]),
        (&["--tmpfs", "/t:size=1m"], &["--size", "1048576", "--tmpfs", "/t"]),
        (&["--tmpfs", "/t:mode=0700"], &["--perms", "0700", "--tmpfs", "/t"]),
        (&["--symlink", "x/y:/l/link"], &["--symlink", "x/y", "/l/link"]),
        (&["--dir", "/d/e/f"], &["--dir", "/d/e/f"]),
        (
            &["--dir", "/x", "--tmpfs", "/x", "--bind", &data_at],
            &["--dir", "/x", "--tmpfs", "/x", "--bind", &data, "/x/y"],
        ),
    ] {
        let fresh = || {
            fs::remove_dir_all(&root).unwrap();
            scratch.directory("root")
        };
        let mut our_words = vec!["-pmuin", "--init", "--pivot-root", &root];
        basis.iter().for_each(|place| our_words.extend(["--ro-bind", place]));
        our_words.extend(["--proc", "/proc"]);
        our_words.extend(ours);
        let mut their_words = vec!["--unshare-all", "--bind", &root, "/"];
        basis.iter().for_each(|place| their_words.extend(["--ro-bind", place, place]));
        their_words.extend(["--proc", "/proc"]);
        their_words.extend(theirs);
        fresh();
        let our_look = told(&[env!("CARGO_BIN_EXE_nstool"), "unshare"], &our_words, &["--", "sh", "-c", look]);
        fresh();
        let their_look = told(&["bwrap"], &their_words, &["sh", "-c", look]);
        // bubblewrap's root itself is nosuid and nodev, being a bind of its own.
        let rootless =
            |text: String| text.lines().filter(|line| !line.contains("/root / ")).collect::<Vec<_>>().join("\n");
        assert_eq!(rootless(our_look), rootless(their_look), "{ours:?}");
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
