//! What a program inside could do to whoever entered: each shown with nsenter, which lets it through, and with us.

use std::process::{Command, Stdio};

use super::{enter, nsenter, shell_in, sleeper, sleeper_in_pid_namespace, stderr_of};
use crate::common::{Helper, nstool, stdout_of};
use crate::{need, need_root};

#[test]
fn no_descriptor_leaks_in() {
    need_root!();
    need!("nsenter");
    let (_helper, pid) = sleeper_in_pid_namespace(&["-pm", "--mount-proc"]);
    // A descriptor as a careless parent leaves it.
    let list = "exec 9</etc/hostname; exec \"$@\"";
    let through = |program: &str, words: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", list, "sh", program]).args(words).args(["sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"]);
        stdout_of(command.stdin(Stdio::null()).output().unwrap())
    };
    assert!(through("nsenter", &["-t", &pid, "-m", "-p"]).contains('9'));
    // 3 is the directory that ls reads.
    assert_eq!(through(env!("CARGO_BIN_EXE_nstool"), &["enter", &pid, "-m", "-p", "--"]), "0 1 2 3 ");
    assert_eq!(through(env!("CARGO_BIN_EXE_nstool"), &["enter", "self", "--"]), "0 1 2 3 ");
    let kept = through(env!("CARGO_BIN_EXE_nstool"), &["enter", &pid, "-m", "-p", "--keep-fd", "9", "--"]);
    assert_eq!(kept, "0 1 2 3 9 ");
}

#[test]
fn our_environment_does_not_leak_in() {
    need_root!();
    need!("nsenter");
    let target = Helper::shell(
        &["env", "-i", "THEIRS=yes", "PATH=/usr/bin:/bin", "unshare", "-m"],
        "echo ready; exec sleep 1000",
    );
    let pid = target.pid().to_string();
    let show = ["sh", "-c", "echo $SECRET/$THEIRS/$TERM/$EXTRA"];
    let theirs = stdout_of(
        nsenter(&["-t", &pid, "-m"])
            .args(show)
            .env("SECRET", "token")
            .env_remove("TERM")
            .env_remove("EXTRA")
            .output()
            .unwrap(),
    );
    assert_eq!(theirs, "token///\n");
    let ours = |options: &[&str]| {
        let mut command = nstool();
        command.args(["enter", &pid]).args(options).arg("--").args(show);
        let command = command.env("SECRET", "token").env("TERM", "vt100").env_remove("EXTRA").stdin(Stdio::null());
        stdout_of(command.output().unwrap())
    };
    assert_eq!(ours(&[]), "/yes/vt100/\n");
    assert_eq!(ours(&["-e"]), "/yes/vt100/\n");
    assert_eq!(ours(&["--env=keep"]), "token//vt100/\n");
    assert_eq!(ours(&["--env=clean", "--setenv", "EXTRA=a=b"]), "//vt100/a=b\n");
    // Without its mounts the command is one of ours.
    assert_eq!(ours(&["-n"]), "token//vt100/\n");
}

#[test]
fn among_our_files_the_target_chooses_neither_programs_nor_what_they_load() {
    need_root!();
    need!("unshare");
    let directory = crate::common::TemporaryDirectory::new();
    let evil = directory.path().join("evil");
    crate::common::copy_program("/bin/echo", &evil);
    let path = format!("PATH={}:/usr/bin:/bin", directory.path().display());
    let words = ["env", &path, "THEIRS=yes", "LD_LIBRARY_PATH=/nowhere", "BASH_ENV=/nowhere", "unshare", "-u"];
    let target = Helper::shell(&words, "echo ready; exec sleep 1000");
    let pid = target.pid().to_string();
    let output = enter(&[&pid, "-u", "-e", "--", "env"]);
    let said = stderr_of(&output);
    assert!(said.contains("not taken from its environment") && said.contains("LD_LIBRARY_PATH, BASH_ENV"), "{said}");
    let variables = stdout_of(output);
    assert!(variables.lines().any(|line| line == "THEIRS=yes"), "{variables}");
    assert!(!variables.contains("/nowhere") && !variables.lines().any(|line| line == path), "{variables}");
    assert_eq!(enter(&[&pid, "-u", "-e", "--", "evil"]).status.code(), Some(127));
    // Among its own files it is its own affair.
    let boxed =
        Helper::shell(&["env", &path, "LD_LIBRARY_PATH=/nowhere", "unshare", "-m"], "echo ready; exec sleep 1000");
    let variables = stdout_of(enter(&[&boxed.pid().to_string(), "--", "env"]));
    assert!(variables.lines().any(|line| line == path) && variables.contains("=/nowhere"), "{variables}");
}

#[test]
fn the_working_directory_lies_inside() {
    need_root!();
    need!("unshare", "mount");
    // The target's root is a directory of its own, to which our working directory does not belong.
    let helper = Helper::shell(
        &["unshare", "-m"],
        "mount -t tmpfs none /mnt && cd /mnt && mkdir old bin proc && cp /bin/busybox bin && ln -s busybox bin/sh && \
         ln -s busybox bin/pwd && ln -s busybox bin/ls && ln -s busybox bin/sleep && echo ready && exec chroot /mnt /bin/sleep 1000",
    );
    let pid = helper.pid().to_string();
    crate::common::eventually(|| {
        (std::fs::read_link(format!("/proc/{pid}/root")).unwrap() != std::path::Path::new("/")).then_some(())
    });
    // nsenter lands in the root of the mount namespace, outside the directory that the target is confined to.
    let theirs = stdout_of(nsenter(&["-t", &pid, "-m"]).args(["/bin/ls", "/"]).output().unwrap());
    assert!(theirs.contains("etc"), "{theirs}");
    assert_eq!(shell_in(&[&pid], "pwd; ls /; ls .."), "/\nbin\nold\nproc\nbin\nold\nproc");
    assert_eq!(shell_in(&[&pid, "-W", "/bin"], "pwd"), "/bin");
    assert_eq!(shell_in(&[&pid, "-w"], "pwd"), "/");
}

#[test]
fn nothing_inside_can_look_into_us_while_we_join() {
    need_root!();
    need!("strace");
    let target = sleeper(&["-u"]);
    let output = Command::new("strace")
        .args([
            "-f",
            "-e",
            "trace=prctl,setns,execve",
            env!("CARGO_BIN_EXE_nstool"),
            "enter",
            &target.pid().to_string(),
            "--",
            "true",
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let trace = String::from_utf8_lossy(&output.stderr).into_owned();
    let hidden = trace.find("PR_SET_DUMPABLE, SUID_DUMP_DISABLE").expect("not hidden");
    let joined = trace.find("setns(").expect("not joined");
    assert!(hidden < joined, "{trace}");
}

#[test]
fn the_environment_of_a_hostile_target_can_hold_anything() {
    need_root!();
    need!("unshare", "env");
    // No variable, no PATH, an empty name: none of it stops us.
    let target = Helper::start(
        "env",
        &["-i", "=x", "A=1", "unshare", "-m", "/bin/sh", "-c", "echo ready; exec /bin/sleep 1000"],
    );
    let output = enter(&[&target.pid().to_string(), "--", "sh", "-c", "echo $A"]);
    assert_eq!(stdout_of(output), "1\n");
}

#[test]
fn a_shell_that_is_a_link_to_our_own_file_is_not_run() {
    need_root!();
    need!("unshare", "mount");
    // What CVE-2019-5736 did: whoever runs the container's shell runs its own program inside, and loses it.
    let helper = Helper::shell(
        &["unshare", "-m"],
        "mount -t tmpfs none /mnt && ln -s /proc/self/exe /mnt/sh && printf '#!/proc/self/exe\\n' >/mnt/script && \
         chmod +x /mnt/script && echo ready && exec sleep 1000",
    );
    let pid = helper.pid().to_string();
    for command in ["/mnt/sh", "/mnt/script"] {
        let output = enter(&[&pid, "--", command, "--version"]);
        assert_eq!(output.status.code(), Some(126), "{}", super::stderr_of(&output));
        assert!(super::stderr_of(&output).contains("can lead to nstool's own file"));
    }
    // nsenter runs itself (by the script it would do so again and again).
    let theirs = nsenter(&["-t", &pid, "-m", "/mnt/sh", "--version"]).output().unwrap();
    let said = String::from_utf8_lossy(&theirs.stdout).into_owned() + &String::from_utf8_lossy(&theirs.stderr);
    assert!(said.contains("util-linux"), "{said}");
}

/// A target whose root is a small directory of its own with busybox, made ready by `script` in /mnt; its pid namespace is
/// ours, so that its /proc shows us.
fn boxed(script: &str) -> Helper {
    let helper = Helper::shell(
        &["unshare", "-m"],
        &format!(
            "mount -t tmpfs none /mnt && cd /mnt && mkdir bin proc etc && cp /bin/busybox bin && for tool in sh ls cat \
             sleep pwd id; do ln -s busybox bin/$tool; done && {script} && echo ready && exec chroot /mnt /bin/sleep 1000"
        ),
    );
    let root = format!("/proc/{}/root", helper.pid());
    crate::common::eventually(|| (std::fs::read_link(&root).unwrap() != std::path::Path::new("/")).then_some(()));
    helper
}

#[test]
fn a_directory_of_the_target_does_not_lead_to_descriptors_of_ours() {
    need_root!();
    need!("unshare", "mount", "busybox");
    // CVE-2024-21626: a directory of the host's that is open in whoever enters, and `..` from there.
    let target = boxed("mount -t proc none proc && ln -s /proc/self/fd fd && mkdir real && ln -s real link");
    let pid = target.pid().to_string();
    let mut magic = 0;
    for number in 3..30 {
        let output = enter(&[&pid, "-W", &format!("/fd/{number}"), "--", "/bin/pwd"]);
        let said = super::stderr_of(&output);
        assert_eq!(output.status.code(), Some(125), "{number}: {said}");
        magic += i32::from(said.contains("it leads through a link of /proc"));
        // As kernels before 5.6 must be content with.
        let mut old = crate::common::stage(&["without", "openat2", "--", env!("CARGO_BIN_EXE_nstool"), "enter"]);
        let output = old.args([&pid, "-W", &format!("/fd/{number}"), "--", "/bin/pwd"]).output().unwrap();
        // One of them is the target's own root, which is inside.
        let inside = output.stdout == b"/\n" && output.status.success();
        assert!(inside || output.status.code() == Some(125), "{number}: {}", String::from_utf8_lossy(&output.stdout));
    }
    assert!(magic > 0);
    assert_eq!(stdout_of(enter(&[&pid, "-W", "/link", "--", "/bin/pwd", "-P"])), "/real\n");
}

#[test]
fn a_false_proc_inside_is_never_asked() {
    need_root!();
    need!("unshare", "mount", "busybox", "prlimit", "choom");
    // What we would look for there leads elsewhere: to a file that must stay as it is, to another process's directory.
    let target = Helper::shell(
        &["prlimit", "--nofile=50:60", "choom", "-n", "77", "--", "unshare", "-m"],
        "mount -t tmpfs none /mnt && mkdir /mnt/fake && echo untouched >/mnt/file && for name in oom_score_adj comm \
         attr/exec attr/apparmor/exec cgroup; do mkdir -p /mnt/fake/$(dirname $name) && ln -s /mnt/file /mnt/fake/$name; \
         done && mkdir /mnt/fake/fd && ln -s fake /mnt/self && ln -s fake /mnt/thread-self && mkdir /mnt/1 && \
         mount --bind /proc/$$ /mnt/1 && mount --rbind /mnt /proc && echo ready && exec sleep 1000",
    );
    let pid = target.pid().to_string();
    let show = "ulimit -n; cat /mnt/file; cat /proc/self/comm";
    assert_eq!(shell_in(&[&pid, "--confined", "-c"], show), "50\nuntouched\nuntouched");
    let list =
        ["without", "close_range", "openat2", "--", env!("CARGO_BIN_EXE_nstool"), "enter", &pid, "--keep-fd", "9"];
    let words = ["-c", "exec 9</etc/hostname 8</etc/hostname; exec \"$@\"", "sh"];
    let stage = crate::common::stage(&[]).get_program().to_owned();
    let output = Command::new("sh")
        .args(words)
        .arg(stage)
        .args(list)
        // No /proc to list them in: asked one by one.
        .args(["--", "sh", "-c", "for fd in 3 4 5 6 7 8 9; do (: <&$fd) 2>/dev/null && echo $fd; done; true"])
        .output()
        .unwrap();
    assert_eq!(stdout_of(output), "9\n");
}

#[test]
fn another_processs_directory_mounted_over_the_targets_is_not_believed() {
    need_root!();
    need!("unshare", "mount");
    let target = sleeper(&["-u"]);
    let pid = target.pid().to_string();
    let nstool = env!("CARGO_BIN_EXE_nstool");
    let script = format!("mount --bind /proc/$$ /proc/{pid} && exec {nstool} enter {pid} -- true");
    let output = Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    let said = super::stderr_of(&output);
    assert!(said.contains("something is mounted over it"), "{said}");
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn a_hostile_passwd_neither_blocks_nor_leads_outside() {
    need_root!();
    need!("unshare", "mount", "busybox", "mkfifo");
    let shell = "printf 'root:x:0:0::/:/bin/evil\\n'";
    for (passwd, expected) in [
        // What it should be, to see that it is read at all.
        ("printf '#!/bin/sh\\necho evil' >bin/evil && chmod +x bin/evil && printf 'root:x:0:0::/:/bin/evil\\n' >etc/passwd".to_owned(), "evil"),
        ("mkfifo etc/passwd".to_owned(), "-sh"),
        ("mknod etc/passwd c 1 7".to_owned(), "-sh"),
        ("mkdir etc/passwd".to_owned(), "-sh"),
        // A shell that is not inside does not give its name to the one that is.
        ("printf 'root:x:0:0::/:/bin/bash\\n' >etc/passwd".to_owned(), "-sh"),
        // Only the first megabyte is looked at.
        (format!("(busybox yes x | head -c 2000000; echo; {shell}) >etc/passwd"), "-sh"),
        // A link leads within its root.
        (format!("mkdir -p up/etc && {shell} >up/etc/passwd && ln -s ../../../../up/etc/no etc/passwd"), "-sh"),
        ("ln -s /proc/1/root/etc/passwd etc/passwd && mount -t proc none proc".to_owned(), "-sh"),
    ] {
        let target = boxed(&passwd);
        assert_eq!(super::login_shell(target.pid(), "echo $0\n").trim(), expected, "{passwd}");
    }
    // A shell that leads to our own file is not run, nor is another tried in its place.
    let target = boxed("mount -t proc none proc && printf 'root:x:0:0::/:/proc/self/exe\\n' >etc/passwd");
    let output = enter(&[&target.pid().to_string()]);
    assert_eq!(output.status.code(), Some(126));
    assert!(super::stderr_of(&output).contains("can lead to nstool's own file"));
}

#[test]
fn a_device_that_is_called_like_a_shell_is_not_opened() {
    need_root!();
    need!("unshare", "mount", "busybox", "strace");
    let target = boxed("rm bin/sh && mknod bin/sh c 1 7 && printf 'root:x:0:0::/:/bin/sh\\n' >etc/passwd");
    let mut command = Command::new("strace");
    command.args(["-f", "-e", "trace=open,openat,openat2", env!("CARGO_BIN_EXE_nstool"), "enter"]);
    let output = command.arg(target.pid().to_string()).stdin(Stdio::null()).output().unwrap();
    let trace = super::stderr_of(&output);
    assert_eq!(output.status.code(), Some(126), "{trace}");
    let opened = trace.lines().filter(|line| line.contains("/bin/sh\"") && !line.contains("O_PATH"));
    assert_eq!(opened.count(), 0, "{trace}");
    assert!(trace.contains("/bin/sh is no regular file"), "{trace}");
}
