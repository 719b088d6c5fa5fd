//! Propagation and the building blocks of a filesystem, seen from inside.

use super::*;
use crate::common::stdout_of;
use crate::{need, need_root};

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
