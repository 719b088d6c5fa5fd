//! What `why` says, and what it says does not keep a namespace.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use super::world;
use crate::common::handle::Handle;
use crate::common::{Helper, eventually, inode_of, nstool, run, stage, stdout_of, try_eventually};

fn why(target: &str) -> Value {
    parse(run(&["why", "--json", target]))
}

/// Reads an answer. The scans of other tests, which hold every namespace while they look around, are left out.
fn parse(output: Output) -> Value {
    let mut answer: Value = serde_json::from_str(&stdout_of(output)).unwrap();
    let own = env!("CARGO_BIN_EXE_nstool").rsplit('/').next().unwrap();
    let scans = |entry: &Value| {
        // Without a command: it has ended meanwhile.
        let command = entry["command"].as_str();
        entry["kind"] == "descriptor" && command.is_none_or(|command| command.split(' ').next().unwrap().ends_with(own))
    };
    let mut lists = vec![&mut answer["kept_by"]];
    while let Some(list) = lists.pop() {
        let Some(list) = list.as_array_mut() else { continue };
        list.retain(|entry| !scans(entry));
        lists.extend(list.iter_mut().filter_map(|entry| entry.get_mut("kept_by")));
    }
    answer
}

/// Asks until the answer is as expected: other tests' nstool hold every namespace while they look around.
#[track_caller]
fn why_until(target: &str, expected: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = try_eventually(|| {
        last = why(target);
        expected(&last).then(|| last.clone())
    });
    found.unwrap_or_else(|| panic!("it never was as expected: {last}"))
}

fn sleeper(wrapper: &[&str]) -> Helper {
    Helper::shell(wrapper, "echo; exec sleep infinity")
}

/// A process that has a file open, until it is dropped.
struct Keeper(Child);

impl Keeper {
    fn of(file: impl Into<Stdio>) -> Self {
        Self(Command::new("sleep").arg("infinity").stdin(file).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command that nstool proposed in a shell that finds nstool itself.
fn carry_out(shell: &str, command: &str) {
    let own = std::path::Path::new(env!("CARGO_BIN_EXE_nstool")).parent().unwrap();
    let path = format!("{}:{}", own.display(), std::env::var("PATH").unwrap());
    let status = Command::new(shell).args(["-c", command]).env("PATH", path).status().unwrap();
    assert!(status.success(), "{command}");
}

fn kinds_of(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect()
}

#[test]
fn filesystems_but_procfs_and_files_inside_do_not_keep_a_namespace() {
    crate::need_root!();
    let own = world::open("/proc/self/ns/net");
    if Handle::of(own).is_none() {
        return crate::common::skip("needs file handles of namespaces (Linux 6.18)");
    }
    for (kind, script) in
        [("net", "mount -t sysfs s /mnt"), ("ipc", "mount -t mqueue m /mnt"), ("cgroup", "mount -t cgroup2 c /mnt")]
    {
        // Mounted from within the namespace, and held by a descriptor on the mount.
        let script = format!("{script} && echo && exec sleep infinity");
        let inner = Helper::shell(&["unshare", "--mount", &format!("--{kind}")], &script);
        if inner.said.is_empty() && std::fs::metadata(format!("/proc/{}/root/mnt", inner.pid())).is_err() {
            continue;
        }
        let handle = Handle::of(world::open(format!("/proc/{}/ns/{kind}", inner.pid()))).unwrap();
        let mount = Keeper::of(File::open(format!("/proc/{}/root/mnt", inner.pid())).unwrap());
        drop(inner);
        assert!(handle.wait_until_gone(), "{kind}: kept by its filesystem");
        drop(mount);
    }
    for path in ["root", "root/etc/passwd", "cwd", "exe"] {
        let inner = sleeper(&["unshare", "--mount"]);
        let handle = Handle::of(world::open(format!("/proc/{}/ns/mnt", inner.pid()))).unwrap();
        let file = File::open(format!("/proc/{}/{path}", inner.pid())).unwrap();
        drop(inner);
        assert!(handle.wait_until_gone(), "kept by {path}");
        drop(file);
    }
}

#[test]
fn who_has_files_open_inside_is_said_apart() {
    crate::need_root!();
    let script = "mount -t tmpfs t /mnt && touch /mnt/f && echo && exec sleep infinity";
    let inner = Helper::shell(&["unshare", "--mount"], script);
    let user = Keeper::of(File::open(format!("/proc/{}/root/mnt/f", inner.pid())).unwrap());
    let keeper = Keeper::of(world::open(format!("/proc/{}/ns/mnt", inner.pid())));
    let ino = inode_of(inner.pid(), "mnt");
    drop(inner);
    let answer = why_until(&format!("ns:{ino}"), |answer| kinds_of(&answer["kept_by"]) == ["descriptor"]);
    assert_eq!(answer["kept_by"][0]["pid"], keeper.0.id());
    let uses = answer["open_from_outside"].as_array().unwrap();
    assert!(
        uses.iter().any(|entry| entry["pid"] == user.0.id() && entry["mount_point"] == "/mnt" && entry["fd"] == 0),
        "{answer}"
    );
    let text = stdout_of(run(&["why", &format!("ns:{ino}")]));
    assert!(text.contains(&format!("/mnt: descriptor 0 of process {}", user.0.id())), "{text}");
}

#[test]
fn a_holder_of_a_holder_stands_below_it() {
    crate::need_root!();
    let inner = sleeper(&["unshare", "--user", "--map-root-user", "--net"]);
    let keeper = Keeper::of(world::open(format!("/proc/{}/ns/net", inner.pid())));
    let (user, net) = (inode_of(inner.pid(), "user"), inode_of(inner.pid(), "net"));
    drop(inner);
    let alone = |list: &Value| list.as_array().is_some_and(|list| list.len() == 1);
    let answer = why_until(&format!("ns:{user}"), |answer| {
        kinds_of(&answer["kept_by"]) == ["owned"] && alone(&answer["kept_by"][0]["kept_by"])
    });
    assert_eq!((&answer["kept_by"][0]["ns"], &answer["kept_by"][0]["type"]), (&net.into(), &"net".into()));
    let below = &answer["kept_by"][0]["kept_by"][0];
    assert_eq!((&below["pid"], &below["release"]), (&keeper.0.id().into(), &format!("kill {}", keeper.0.id()).into()));
    let text = stdout_of(run(&["why", &format!("ns:{user}")]));
    assert!(text.contains(&format!("─net namespace {net}, which it owns")), "{text}");
    // Other tests' nstool may stand beside it.
    assert!(text.contains(&format!("─descriptor 0 of process {}", keeper.0.id())), "{text}");
}

#[test]
fn a_hostile_mount_point_is_quoted_for_the_shell() {
    crate::need_root!();
    crate::need!("bash");
    let directory = std::env::temp_dir().join(format!("nstool-why-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let place = format!("{}/it's \u{1b}[2J; reboot", directory.to_str().unwrap());
    File::create(&place).unwrap();
    let script = "mount --make-rprivate / && mount --bind /proc/self/ns/net \"$0\" && echo && exec sleep infinity";
    let inner = Helper::start("unshare", &["--net", "--mount", "sh", "-c", script, &place]);
    let answer = why(&format!("/proc/{}/ns/net", inner.pid()));
    let mount = answer["kept_by"].as_array().unwrap().iter().find(|entry| entry["kind"] == "bind_mount").unwrap();
    assert_eq!((&mount["mount_point"], &mount["ours"]), (&place.as_str().into(), &false.into()));
    let text = stdout_of(run(&["why", &format!("/proc/{}/ns/net", inner.pid())]));
    assert!(!text.contains('\u{1b}'), "{text:?}");
    // What it says is what releases it.
    let command = mount["release"].as_str().unwrap();
    assert!(!command.contains('\u{1b}'), "{command:?}");
    carry_out("bash", command);
    let left = why(&format!("/proc/{}/ns/net", inner.pid()));
    assert!(!kinds_of(&left["kept_by"]).contains(&"bind_mount"), "{left}");
    drop(inner);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn the_processes_namespaces_that_only_it_keeps_are_told() {
    crate::need_root!();
    let inner = sleeper(&["unshare", "--user", "--map-root-user", "--net", "--uts"]);
    let keeper = Keeper::of(world::open(format!("/proc/{}/ns/uts", inner.pid())));
    let alone = |answer: &Value| {
        ["net", "uts", "user", "ipc"].map(|kind| {
            let list = answer["namespaces"].as_array().unwrap();
            list.iter().find(|entry| entry["link"] == kind).unwrap()["only_this_process"].as_bool().unwrap()
        })
    };
    // The descriptor keeps uts, and with it the user namespace that owns it.
    why_until(&inner.pid().to_string(), |answer| alone(answer) == [true, false, false, false]);
    let text = stdout_of(run(&["why", &inner.pid().to_string()]));
    assert!(text.contains("others as well"), "{text}");
    drop(keeper);
    why_until(&inner.pid().to_string(), |answer| alone(answer) == [true, true, true, false]);
    let text = stdout_of(run(&["why", &inner.pid().to_string()]));
    assert!(text.contains("the kernel: an initial one"), "{text}");
}

/// Starts a pid namespace with an init and a second process, nothing else of which leads outside. Returns the outer
/// process too, which must stay alive.
fn container() -> (Helper, i32) {
    let script = "mount -t proc proc /proc && mount --bind /proc/bus /proc/bus && echo; sleep infinity & \
                  exec sleep infinity";
    let outer = Helper::shell(&["unshare", "--mount", "--pid", "--fork"], script);
    let children = format!("/proc/{0}/task/{0}/children", outer.pid());
    let init = eventually(|| std::fs::read_to_string(&children).unwrap().split_whitespace().next()?.parse().ok());
    (outer, init)
}

#[test]
fn what_ends_with_an_init_does_not_keep_its_namespaces() {
    crate::need_root!();
    let (_outer, init) = container();
    let of = |answer: &Value, kind: &str| {
        answer["namespaces"].as_array().unwrap().iter().find(|entry| entry["link"] == kind).unwrap().clone()
    };
    // The outer process is in the mount namespace, and has its children born in the pid namespace.
    let answer = why_until(&init.to_string(), |answer| of(answer, "mnt")["ending_with_it"] == 1);
    let (mnt, pid) = (of(&answer, "mnt"), of(&answer, "pid"));
    assert_eq!((&mnt["other_processes"], &mnt["only_this_process"]), (&1.into(), &false.into()), "{answer}");
    assert!(matches!(pid["other_processes"].as_u64(), None | Some(0)), "{answer}");
    assert_eq!(pid["ending_with_it"], 1, "{answer}");
}

#[test]
fn what_is_said_to_release_a_pid_namespace_does() {
    crate::need_root!();
    let (outer, init) = container();
    let answer = why(&format!("/proc/{init}/ns/pid"));
    let kept = answer["kept_by"].as_array().unwrap();
    let entry = kept.iter().find(|entry| entry["kind"] == "process" && entry["pid"] == init).unwrap();
    // It has no handler for SIGTERM, which an init then does not get.
    assert_eq!(entry["release"], format!("kill -KILL {init}"), "{answer}");
    // What lies deeper is unmounted first, with the tool itself.
    let enter = format!("nstool enter {} -- umount ", outer.pid());
    let mounts: Vec<_> = kept.iter().filter(|entry| entry["kind"] == "procfs").map(|entry| &entry["release"]).collect();
    assert_eq!(mounts, [&json!(format!("{enter}/proc/bus")), &json!(format!("{enter}/proc"))], "{answer}");
    mounts.into_iter().chain([&entry["release"]]).for_each(|command| carry_out("sh", command.as_str().unwrap()));
    let state = || std::fs::read_to_string(format!("/proc/{init}/stat")).ok();
    eventually(|| state().is_none_or(|stat| stat.contains(") Z ")).then_some(()));
}

#[test]
fn what_is_out_of_sight_is_not_counted_as_nothing() {
    crate::need_root!();
    let public = crate::common::Public::copy("why-hidden");
    let text = stdout_of(public.run_as_nobody().args(["why", "self"]).output().unwrap());
    // Holders of the uts namespace are hidden with the processes of root.
    let uts = text.lines().find(|line| line.split_whitespace().nth(1) == Some("uts")).unwrap();
    assert!(uts.trim_end().ends_with(" ?"), "{text}");
    let answer: Value =
        serde_json::from_str(&stdout_of(public.run_as_nobody().args(["why", "--json", "self"]).output().unwrap()))
            .unwrap();
    let uts = answer["namespaces"].as_array().unwrap().iter().find(|entry| entry["link"] == "uts").unwrap().clone();
    assert_eq!(uts["other_holders"], Value::Null, "{answer}");
}

#[test]
fn a_zombie_points_to_its_parent() {
    crate::need_root!();
    // In a user namespace of its own it keeps that until it is reaped.
    let parent = Helper::shell(&[], "unshare --user sleep 0 & echo $!; exec sleep infinity");
    let pid: i32 = parent.said.parse().unwrap();
    eventually(|| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") Z ").then_some(()));
    let answer = why(&format!("/proc/{pid}/ns/user"));
    let zombie = &answer["kept_by"][0];
    assert_eq!((&zombie["kind"], &zombie["pid"]), (&"zombie".into(), &pid.into()), "{answer}");
    assert_eq!(zombie["release"], format!("kill {}", parent.pid()));
}

#[test]
fn an_initial_namespace_is_kept_by_the_kernel() {
    let uts = inode_of(std::process::id() as i32, "uts");
    let answer = why(&format!("ns:{uts}"));
    if answer["namespace"]["initial"] == false {
        return crate::common::skip("needs to run in the initial uts namespace");
    }
    assert_eq!(answer["explained"], true);
    let text = stdout_of(run(&["why", &format!("uts:[{uts}]")]));
    assert!(text.contains("the kernel: it is there as long as the machine runs"), "{text}");
    assert!(!text.contains("kill"), "{text}");
}

#[test]
fn what_nstool_itself_has_open_does_not_count() {
    crate::need_root!();
    let inner = sleeper(&["unshare", "--net"]);
    let path = format!("/proc/{}/ns/net", inner.pid());
    why_until(&path, |answer| kinds_of(&answer["kept_by"]) == ["process"]);
    let inherited: OwnedFd = world::open(&path);
    let child = nstool().args(["why", "--json", &path]).stdin(inherited).stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let answer: Value = serde_json::from_str(&stdout_of(child.wait_with_output().unwrap())).unwrap();
    let kept = answer["kept_by"].as_array().unwrap().iter();
    assert_eq!(kept.filter(|entry| entry["pid"] == pid).count(), 0, "{answer}");
}

#[test]
fn what_nothing_leads_to_is_found_and_said_to_be_unexplained() {
    crate::need_root!();
    use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType};
    let inner = sleeper(&["unshare", "--net"]);
    let namespace = world::open(format!("/proc/{}/ns/net", inner.pid()));
    let Some(handle) = Handle::of(&namespace) else {
        return crate::common::skip("needs file handles of namespaces (Linux 6.18)");
    };
    let ino = inode_of(inner.pid(), "net");
    // A descriptor on its way: sent, and not yet received.
    let flags = rustix::net::SocketFlags::CLOEXEC;
    let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let sent = [std::os::fd::AsFd::as_fd(&namespace)];
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&sent)));
    rustix::net::sendmsg(&ours, &[std::io::IoSlice::new(b"x")], &mut ancillary, SendFlags::empty()).unwrap();
    drop((namespace, inner));
    for target in [format!("ns:{ino}"), format!("net:[{ino}]")] {
        // Until no other test's nstool holds it.
        let answer = why_until(&target, |answer| answer["explained"] == false);
        assert_eq!((&answer["namespace"]["ns"], &answer["kept_by"]), (&ino.into(), &json!([])), "{answer}");
        // The socket it is on its way to is named.
        let fd = std::os::fd::AsRawFd::as_raw_fd(&theirs);
        let waiting = |entry: &Value| entry["kind"] == "in_flight" && entry["pid"] == std::process::id();
        let socket = answer["possibly"].as_array().unwrap().iter().find(|entry| waiting(entry));
        assert!(socket.is_some_and(|entry| entry["fd"] == fd && entry["descriptors"] == 1), "{answer}");
        let said = try_eventually(|| {
            let output = run(&["why", &target]);
            String::from_utf8_lossy(&output.stderr).contains("descriptors on their way between processes").then_some(())
        });
        assert!(said.is_some());
        // Other commands find it as well.
        let page: Value = serde_json::from_str(&stdout_of(run(&["show", "--json", &target]))).unwrap();
        assert_eq!((&page["ns"], &page["interfaces"][0]["name"]), (&ino.into(), &"lo".into()), "{page}");
    }
    // Of another kind there is none with that inode.
    let output = run(&["why", &format!("uts:[{ino}]")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(handle.is_alive());
    drop((ours, theirs));
    assert!(handle.wait_until_gone());
}

#[test]
fn what_a_tun_device_keeps_is_listed_and_shown_too() {
    crate::need_root!();
    if !std::path::Path::new("/dev/net/tun").exists() {
        return crate::common::skip("needs /dev/net/tun");
    }
    let mut net = world::make(nstool::NamespaceKind::Net);
    let namespace = world::namespace_of(&net, nstool::NamespaceKind::Net);
    let ino = std::os::unix::fs::MetadataExt::ino(&File::from(namespace.try_clone().unwrap()).metadata().unwrap());
    let tun = world::hold(&net, nstool::NamespaceKind::Net, world::Way::Tun);
    drop(namespace);
    net.release();
    let answer = why_until(&format!("ns:{ino}"), |answer| kinds_of(&answer["kept_by"]) == ["tun"]);
    assert!(tun.is(&answer["kept_by"][0]), "{answer}");
    let listed = stdout_of(run(&["ls", "--json", "-t", "net", "-o", "NS,HOLDERS"]));
    assert!(listed.contains(&format!("{ino}")), "{listed}");
    let page = stdout_of(run(&["show", &format!("ns:{ino}")]));
    assert!(page.contains("tun device, descriptor 0 of process"), "{page}");
}

#[test]
fn what_a_buried_bind_mount_holds_is_known_with_its_owner() {
    crate::need_root!();
    let own = world::open("/proc/self/ns/net");
    if Handle::of(own).is_none() {
        return crate::common::skip("needs file handles of namespaces (Linux 6.18)");
    }
    let inner = sleeper(&["unshare", "--user", "--map-root-user", "--net"]);
    let (user, net) = (inode_of(inner.pid(), "user"), inode_of(inner.pid(), "net"));
    let script = format!(
        "mount --make-rprivate / && mount -t tmpfs t /mnt && touch /mnt/n && mount --bind /proc/{}/ns/net /mnt/n && \
         mount -t tmpfs over /mnt && echo && exec sleep infinity",
        inner.pid()
    );
    let mounts = Helper::shell(&["unshare", "--mount"], &script);
    // Nobody lives where it is mounted.
    let keeper = Keeper::of(world::open(format!("/proc/{}/ns/mnt", mounts.pid())));
    let elsewhere = inode_of(mounts.pid(), "mnt");
    drop((inner, mounts));
    let answer = why_until(&format!("ns:{user}"), |answer| kinds_of(&answer["kept_by"]) == ["owned"]);
    let owned = &answer["kept_by"][0];
    assert_eq!((&owned["ns"], &owned["kept_by"][0]["kind"]), (&net.into(), &"bind_mount".into()), "{answer}");
    let mount = &owned["kept_by"][0];
    assert_eq!((&mount["mount_namespace"], &mount["mount_point"]), (&elsewhere.into(), &"/mnt/n".into()), "{answer}");
    assert_eq!(mount["kept_by"][0]["pid"], keeper.0.id(), "{answer}");
    // A listing knows it too.
    let listed = stdout_of(run(&["ls", "--json", "-o", "NS,ONS", "-Q", &format!("NS == {net}")]));
    assert!(listed.contains(&user.to_string()), "{listed}");
}

#[test]
fn a_process_of_many_threads_has_each_table_of_descriptors_looked_at_once() {
    crate::need_root!();
    crate::need!("strace");
    /// Threads of this very test, of which one has a table of its own.
    const THREADS: usize = 200;
    let inner = sleeper(&["unshare", "--net"]);
    let path = format!("/proc/{}/ns/net", inner.pid());
    std::thread::scope(|scope| {
        let (say, told) = std::sync::mpsc::channel();
        let waiting: Vec<_> = (0..THREADS)
            .map(|number| {
                let (go_on, wait) = std::sync::mpsc::channel::<()>();
                let (path, say) = (&path, say.clone());
                scope.spawn(move || {
                    let _own = (number == 7).then(|| {
                        crate::common::handle::keep_descriptors_below(3);
                        world::open(path)
                    });
                    let tid = rustix::thread::gettid().as_raw_nonzero().get();
                    say.send((number, tid)).unwrap();
                    let _: Result<(), _> = wait.recv();
                });
                go_on
            })
            .collect();
        let tids: Vec<(usize, i32)> = (0..THREADS).map(|_| told.recv().unwrap()).collect();
        let own = tids.iter().find(|(number, _)| *number == 7).unwrap().1;
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/stderr", "-e", "trace=openat,kcmp", env!("CARGO_BIN_EXE_nstool")]);
        let output = strace.args(["why", "--json", &path]).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let held: Vec<_> = answer["kept_by"].as_array().unwrap().iter().filter(|entry| entry["tid"] == own).collect();
        assert_eq!(held.len(), 1, "{answer}");
        assert_eq!((&held[0]["kind"], &held[0]["pid"]), (&"descriptor".into(), &std::process::id().into()), "{answer}");
        let trace = String::from_utf8_lossy(&output.stderr);
        let of_ours = |tid: i32| trace.matches(&format!("\"{}/task/{tid}/fd\"", std::process::id())).count();
        assert!(of_ours(own) > 0, "{trace}");
        let shared = tids.iter().filter(|(number, _)| *number != 7);
        assert_eq!(shared.map(|(_, tid)| of_ours(*tid)).sum::<usize>(), 0, "{trace}");
        drop(waiting);
    });
    let text = stdout_of(run(&["why", &path]));
    assert!(!text.contains("of thread"), "{text}");
}

#[test]
fn one_scan_is_all_it_takes() {
    crate::need!("strace");
    let sleepers: Vec<Helper> = (0..30).map(|_| sleeper(&[])).collect();
    let own = format!("ns:{}", inode_of(std::process::id() as i32, "uts"));
    for target in ["/proc/self/ns/net", "/proc/self/ns/user", "self", &own, "ns:4026999999"] {
        let mut strace = Command::new("strace");
        // Only what is traced stops for strace: an id that is nowhere is sought with millions of calls.
        strace.args([
            "-f",
            "--seccomp-bpf",
            "-o",
            "/dev/stderr",
            "-e",
            "trace=pidfd_open",
            env!("CARGO_BIN_EXE_nstool"),
        ]);
        let output = strace.args(["why", "--json", target]).output().unwrap();
        let trace = String::from_utf8_lossy(&output.stderr);
        for sleeper in &sleepers {
            let opened = trace.matches(&format!("pidfd_open({},", sleeper.pid())).count();
            // Once in the scan, and once more for the command line where it is shown.
            assert!((1..=2).contains(&opened), "{target}: {opened} times: {trace}");
        }
    }
}

#[test]
fn a_number_that_passed_on_to_another_process_is_refused_with_a_hint() {
    let (me, wrong) = (std::process::id(), format!("{}:1", std::process::id()));
    for arguments in [&["why", &wrong][..], &["show", &wrong], &["show", "--can", &wrong, "/proc/self/ns/net"]] {
        let output = run(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        let told = format!("process {me}:1 has ended; its number now belongs to process {me}:");
        assert!(error.contains(&told) && error.contains("hint:"), "{arguments:?}: {error}");
    }
}

#[test]
fn a_name_of_ip_netns_is_found_and_deleted_by_its_own_program() {
    crate::need_root!();
    crate::need!("ip");
    let name = format!("nstool-why-{}", std::process::id());
    // In a mount namespace of its own; the name is below the machine's /run all the same.
    let script = format!("mount -t tmpfs t /run && ip netns add {name} && \"$0\" why --json net:{name}");
    let output =
        Command::new("unshare").args(["--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_nstool")]).output().unwrap();
    let answer: Value = serde_json::from_str(&stdout_of(output)).unwrap();
    assert_eq!(answer["namespace"]["names"][0], name.as_str());
    let releases: Vec<_> = answer["kept_by"].as_array().unwrap().iter().map(|entry| &entry["release"]).collect();
    assert!(releases.contains(&&format!("ip netns delete {name}").into()), "{answer}");
}

#[test]
fn older_kernels_explain_as_well() {
    crate::need_root!();
    let script = "mount -t proc proc /proc && echo && exec sleep infinity";
    let outer = Helper::shell(&["unshare", "--net", "--mount", "--pid", "--fork"], script);
    let net = format!("/proc/{}/ns/net", outer.pid());
    let children = format!("/proc/{}/task/{0}/children", outer.pid());
    let init: i32 = eventually(|| std::fs::read_to_string(&children).unwrap().split_whitespace().next()?.parse().ok());
    let pid = format!("/proc/{init}/ns/pid");
    let _descriptor = Keeper::of(world::open(&net));
    let _file = Keeper::of(world::open(format!("/proc/{init}/net/dev")));
    for (kernel, target, expected) in [
        (&["ioctls"][..], &net, &["process", "process", "descriptor", "open_file"][..]),
        (&["statmount", "listmount"], &net, &["process", "process", "descriptor", "open_file"]),
        (&["ioctls", "statmount", "listmount", "pidfd_open"], &net, &["process", "process", "descriptor", "open_file"]),
        (&["ioctls", "statmount", "listmount"], &pid, &["process", "for_children", "procfs", "open_file"]),
    ] {
        let listed = || {
            let mut command = stage(&[&["without"], kernel, &["--", env!("CARGO_BIN_EXE_nstool")]].concat());
            parse(command.args(["why", "--json", target]).output().unwrap())
        };
        let mut last = Value::Null;
        let same = try_eventually(|| {
            last = listed();
            (kinds_of(&last["kept_by"]) == expected).then_some(())
        });
        assert!(same.is_some(), "without {kernel:?}: {last:#}");
    }
}

/// Asks without some system calls.
fn why_without(calls: &[&str], target: &str) -> Output {
    let mut command = stage(&[&["without"], calls, &["--", env!("CARGO_BIN_EXE_nstool")]].concat());
    command.args(["why", "--json", target]).output().unwrap()
}

#[test]
fn what_an_older_kernel_cannot_tell_is_said() {
    crate::need_root!();
    let own = "/proc/self/ns/uts";
    // This test has several threads.
    let answer = parse(why_without(&["kcmp"], own));
    assert!(answer["hidden"]["thread_descriptors"]["unsupported"].as_u64() >= Some(1), "{answer}");
    assert_eq!(why(own)["hidden"]["thread_descriptors"], Value::Null);
    // What only a mount leads to is found without openat2(2), and by nothing else.
    let inner = sleeper(&["unshare", "--net"]);
    let ino = inode_of(inner.pid(), "net");
    let script = format!(
        "mount --make-rprivate / && mount -t tmpfs t /mnt && touch /mnt/n && mount --bind /proc/{}/ns/net /mnt/n && \
         echo && exec sleep infinity",
        inner.pid()
    );
    let _mounts = Helper::shell(&["unshare", "--mount"], &script);
    drop(inner);
    for calls in [&["openat2"][..], &["openat2", "open_by_handle_at"], &["ioctls", "open_by_handle_at"]] {
        let answer = parse(why_without(calls, &format!("ns:{ino}")));
        assert!(kinds_of(&answer["kept_by"]).contains(&"bind_mount"), "without {calls:?}: {answer}");
        assert_eq!(answer["namespace"]["id"].is_u64(), !calls.contains(&"ioctls"), "without {calls:?}: {answer}");
    }
    // Where ids lead nowhere, what may keep it is named instead.
    let output = why_without(&["open_by_handle_at"], "ns:4026999999");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && !error.contains("the kernel knows no"), "{error}");
}
