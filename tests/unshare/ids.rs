//! Id maps, owners and credentials, seen from inside.

use super::*;
use crate::common::{Helper, nstool, stdout_of};
use crate::{need, need_root};

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
