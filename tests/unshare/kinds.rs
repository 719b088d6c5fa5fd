//! The namespaces themselves: which are new, and what is set in them.

use std::fs::read_link;

use super::*;
use crate::need_root;

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
