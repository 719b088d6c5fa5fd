//! What a program inside could do to whoever entered: each shown with nsenter, which lets it through, and with us.

use std::process::{Command, Stdio};

use super::{enter, nsenter, shell_in, sleeper, sleeper_in_pid_namespace};
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
