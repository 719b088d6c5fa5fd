//! `nstool show`.

mod states;

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::{Helper, eventually, inode_of, nstool, run, stdout_of};

fn show(target: &str) -> Value {
    serde_json::from_str(&stdout_of(run(&["show", "--json", target]))).unwrap()
}

fn sleeper(wrapper: &[&str]) -> Helper {
    Helper::shell(wrapper, "echo; exec sleep infinity")
}

/// Starts a process that holds a descriptor, and waits for nothing else.
struct Keeper(std::process::Child);

impl Keeper {
    fn of(path: &str) -> Self {
        let file = std::fs::File::open(path).unwrap();
        Self(Command::new("sleep").arg("infinity").stdin(file).stdout(Stdio::null()).spawn().unwrap())
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/0", self.0.id())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_process_is_shown_with_all_that_rules_it() {
    crate::need_root!();
    crate::need!("setpriv");
    let inner = sleeper(&[
        "unshare",
        "--uts",
        "setpriv",
        "--bounding-set",
        "-all",
        "--inh-caps=-all",
        "--no-new-privs",
        "--groups",
        "7,8",
    ]);
    let pid = inner.pid();
    eventually(|| (std::fs::read(format!("/proc/{pid}/comm")).unwrap() == b"sleep\n").then_some(()));
    let page = show(&pid.to_string());
    assert_eq!((&page["pid"], &page["threads"], &page["parent"]), (&pid.into(), &1.into(), &std::process::id().into()));
    assert_eq!(page["command"], "sleep infinity");
    assert_eq!(page["groups"], serde_json::json!([7, 8]));
    assert_eq!((&page["no_new_privs"], &page["uids"][1]), (&true.into(), &0.into()));
    assert_eq!(page["capabilities_bounding"], serde_json::json!([]));
    let namespaces = page["namespaces"].as_array().unwrap();
    for namespace in namespaces {
        let kind = namespace["type"].as_str().unwrap();
        assert_eq!(namespace["ns"], inode_of(pid, kind), "{kind}");
        assert_eq!(namespace["ours"], kind != "uts", "{kind}");
    }
    let limit = page["limits"].as_array().unwrap().iter().find(|limit| limit["name"] == "Max open files").unwrap();
    let told = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    assert!(told.contains(limit["soft"].as_str().unwrap()));
    assert_eq!(page["cwd"], std::env::current_dir().unwrap().to_str().unwrap());
    let text = stdout_of(run(&["show", &pid.to_string()]));
    assert!(text.starts_with(&format!("process {pid}: sleep infinity\n")), "{text}");
    assert!(text.contains("no_new_privs") && text.contains("Max open files"), "{text}");
}

#[test]
fn ids_inside_and_in_every_pid_namespace_are_shown() {
    crate::need_root!();
    let outer = Helper::shell(&["unshare", "--user", "--pid", "--fork"], "echo; exec sleep infinity");
    let path = format!("/proc/{}/task/{0}/children", outer.pid());
    let pid: i32 = eventually(|| std::fs::read_to_string(&path).unwrap().split_whitespace().next()?.parse().ok());
    std::fs::write(format!("/proc/{pid}/uid_map"), "500 0 1\n").unwrap();
    let page = show(&pid.to_string());
    let pids = page["pids"].as_array().unwrap();
    assert_eq!(pids.last().unwrap(), &serde_json::json!({ "ns": inode_of(pid, "pid"), "pid": 1 }));
    assert_eq!(pids[pids.len() - 2]["pid"], pid);
    assert_eq!(page["uid_map"], serde_json::json!([{ "inside": 500, "outside": 0, "count": 1 }]));
    assert_eq!(page["capabilities_over_ours"], serde_json::json!([]));
    let text = stdout_of(run(&["show", &pid.to_string()]));
    assert!(text.contains("effective 0 (inside 500)"), "{text}");
}

#[test]
fn the_unit_or_container_is_read_from_the_cgroup() {
    crate::need_root!();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let unified = mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
    let Some(unified) = unified else { return crate::common::skip("needs a cgroup2 mount") };
    let name = format!("nstool-show-{}.service", std::process::id());
    let group = format!("{unified}/{name}");
    if std::fs::create_dir(&group).is_err() {
        return crate::common::skip("needs a cgroup2 that can be written");
    }
    {
        let inner = Helper::shell(&[], &format!("echo 0 > {group}/cgroup.procs && echo && exec sleep infinity"));
        let page = show(&inner.pid().to_string());
        assert_eq!(page["belongs_to"], serde_json::json!({ "manager": "systemd", "name": name }));
    }
    eventually(|| std::fs::remove_dir(&group).ok());
}

#[test]
fn a_uts_namespace_shows_its_names_however_hostile() {
    crate::need_root!();
    let inner = Helper::shell(
        &["unshare", "--uts"],
        "printf 'in\\033[2Jside' >/proc/sys/kernel/hostname; echo; exec sleep infinity",
    );
    let path = format!("/proc/{}/ns/uts", inner.pid());
    assert_eq!(show(&path)["hostname"], "in\u{1b}[2Jside");
    let text = stdout_of(run(&["show", &path]));
    assert!(text.contains("in\\x1b[2Jside") && !text.contains('\u{1b}'), "{text}");
    // The same without any process in it.
    let keeper = Keeper::of(&path);
    drop(inner);
    let page = show(&keeper.path());
    assert_eq!((&page["hostname"], &page["processes"]), (&"in\u{1b}[2Jside".into(), &serde_json::json!([])));
    let holders = page["holders"].as_array().unwrap();
    assert!(holders.contains(&format!("descriptor 0 of process {}", keeper.0.id()).into()), "{page}");
}

#[test]
fn a_network_namespace_shows_interfaces_addresses_and_listening_sockets() {
    crate::need_root!();
    crate::need!("ip", "nsenter");
    let inner = sleeper(&["unshare", "--net"]);
    let path = format!("/proc/{}/ns/net", inner.pid());
    let page = show(&path);
    assert_eq!(
        page["interfaces"][0],
        serde_json::json!({ "name": "lo", "up": false, "running": false, "addresses": [] })
    );
    assert_eq!(page["listening"], serde_json::json!([]));
    let ip = |arguments: &[&str]| {
        let status = Command::new("nsenter").arg(format!("--net={path}")).arg("ip").args(arguments).status();
        assert!(status.unwrap().success());
    };
    ip(&["link", "set", "lo", "up"]);
    ip(&["address", "add", "192.0.2.7/24", "dev", "lo"]);
    let namespace = std::fs::File::open(&path).unwrap();
    let socket = std::thread::spawn(move || {
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        std::net::TcpListener::bind("192.0.2.7:0").unwrap()
    });
    let socket = socket.join().unwrap();
    let page = show(&path);
    let addresses = page["interfaces"][0]["addresses"].as_array().unwrap();
    assert!(addresses.contains(&"127.0.0.1/8".into()) && addresses.contains(&"192.0.2.7/24".into()), "{page}");
    let port = socket.local_addr().unwrap().port();
    let listener = serde_json::json!({ "protocol": "tcp", "address": "192.0.2.7", "port": port });
    assert_eq!(page["listening"], serde_json::json!([listener]));
}

#[test]
fn a_mount_namespace_shows_how_many_mounts_and_which_are_shared() {
    crate::need_root!();
    let inner = Helper::shell(
        &["unshare", "--mount"],
        "mount --make-rprivate / && mount -t tmpfs t /mnt && mount --make-shared /mnt && echo && exec sleep infinity",
    );
    let path = format!("/proc/{}/ns/mnt", inner.pid());
    let page = show(&path);
    let told = std::fs::read_to_string(format!("/proc/{}/mountinfo", inner.pid())).unwrap();
    assert_eq!((&page["mounts"], &page["shared"]), (&told.lines().count().into(), &serde_json::json!(["/mnt"])));
    let keeper = Keeper::of(&path);
    drop(inner);
    assert_eq!(show(&keeper.path())["shared"], serde_json::json!(["/mnt"]));
}

#[test]
fn an_ipc_namespace_shows_its_objects() {
    crate::need_root!();
    crate::need!("ipcmk");
    let script =
        "ipcmk -M 4096 >/dev/null && ipcmk -Q >/dev/null && ipcmk -S 1 >/dev/null && echo && exec sleep infinity";
    let inner = Helper::shell(&["unshare", "--ipc"], script);
    let page = show(&format!("/proc/{}/ns/ipc", inner.pid()));
    for list in ["shared_memory", "message_queues", "semaphores"] {
        assert_eq!(page[list].as_array().unwrap().len(), 1, "{list}: {page}");
    }
    assert_eq!(page["posix_queues"], serde_json::json!([]));
    let script = "mount -t mqueue m /mnt && touch /mnt/jobs && echo && exec sleep infinity";
    let queues = Helper::shell(&["unshare", "--ipc", "--mount"], script);
    assert_eq!(show(&format!("/proc/{}/ns/ipc", queues.pid()))["posix_queues"], serde_json::json!(["jobs"]));
}

#[test]
fn user_and_time_namespaces_without_processes_are_read_by_a_child_that_joins() {
    crate::need_root!();
    let user = sleeper(&["unshare", "--user"]);
    std::fs::write(format!("/proc/{}/uid_map", user.pid()), "0 100000 65536\n").unwrap();
    let keeper = Keeper::of(&format!("/proc/{}/ns/user", user.pid()));
    let time = sleeper(&["unshare", "--time", "--monotonic", "77", "--fork"]);
    let keeper_of_time = Keeper::of(&format!("/proc/{}/ns/time_for_children", time.pid()));
    drop((user, time));
    let page = show(&keeper.path());
    assert_eq!(page["uid_map"], serde_json::json!([{ "inside": 0, "outside": 100_000, "count": 65536 }]));
    assert_eq!((&page["processes"], &page["creator"]), (&serde_json::json!([]), &0.into()));
    assert!(page["limits"]["net"].is_number(), "{page}");
    let page = show(&keeper_of_time.path());
    assert_eq!(page["clocks"]["monotonic"], serde_json::json!({ "seconds": 77, "nanoseconds": 0 }));
}

#[test]
fn pid_and_cgroup_namespaces_show_their_init_and_root() {
    crate::need_root!();
    let outer = sleeper(&["unshare", "--pid", "--cgroup", "--fork"]);
    let path = format!("/proc/{}/task/{0}/children", outer.pid());
    let init: i32 = eventually(|| std::fs::read_to_string(&path).unwrap().split_whitespace().next()?.parse().ok());
    let page = show(&format!("/proc/{init}/ns/pid"));
    assert_eq!((&page["init"], &page["processes"]), (&init.into(), &serde_json::json!([init])));
    assert_eq!(page["parent"], inode_of(std::process::id() as i32, "pid"));
    let page = show(&format!("/proc/{init}/ns/cgroup"));
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .or(own.lines().next().and_then(|line| line.rsplit(':').next()));
    assert_eq!(page["root"], own.unwrap());
}

#[test]
fn what_a_process_can_do_with_a_namespace_is_what_the_kernel_lets_it_do() {
    crate::need_root!();
    let me = Helper::shell(&[], "echo; exec sleep infinity");
    let below = sleeper(&["unshare", "--user", "--map-root-user", "--net"]);
    let beside = sleeper(&["unshare", "--user", "--map-root-user", "--net"]);
    let join = format!("--user=/proc/{}/ns/user", below.pid());
    let deeper = sleeper(&["nsenter", &join, "unshare", "--user", "--map-root-user", "--net"]);
    for (process, namespace, rule) in [
        (&me, &me, "own"),
        (&me, &below, "creator"),
        // Whoever made `below` is uid 0 in the namespace above it.
        (&me, &deeper, "creator"),
        (&below, &below, "own"),
        (&below, &deeper, "creator"),
        (&below, &me, "above"),
        (&below, &beside, "beside"),
        (&deeper, &below, "above"),
    ] {
        let (pid, file) = (process.pid(), format!("/proc/{}/ns/net", namespace.pid()));
        let output = nstool().args(["show", "--json", "--can", &pid.to_string(), &file]).output().unwrap();
        let answer: Value = serde_json::from_str(&stdout_of(output)).unwrap();
        let may = answer["capabilities"].as_array().unwrap().contains(&"cap_sys_admin".into());
        // setns(2) into a network namespace wants CAP_SYS_ADMIN over it and in one's own user namespace, which all of
        // these have. A descriptor of ours is handed in, as they could not open each other's files.
        let mut joining = Command::new("nsenter");
        if process.pid() != me.pid() {
            joining.arg(format!("--user=/proc/{pid}/ns/user"));
        }
        let file = std::fs::File::open(&file).unwrap();
        joining.args(["nsenter", "--net=/proc/self/fd/0", "true"]).stdin(file).stderr(Stdio::null());
        assert_eq!(joining.status().unwrap().success(), may, "{pid} {rule}: {answer}");
        assert_eq!(answer["rule"], rule, "{answer}");
    }
}

#[test]
fn a_process_is_shown_without_looking_at_others() {
    crate::need!("strace");
    let sleepers: Vec<Helper> = (0..20).map(|_| sleeper(&[])).collect();
    let pid = sleepers[0].pid().to_string();
    for arguments in [&["show", &pid][..], &["show", "--can", &pid, "/proc/self/ns/net"]] {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/stderr", "-e", "trace=pidfd_open,openat,getdents64"]);
        let output = strace.arg(env!("CARGO_BIN_EXE_nstool")).args(arguments).output().unwrap();
        let trace = String::from_utf8(output.stderr).unwrap();
        assert!(trace.matches("pidfd_open(").count() <= 4, "{trace}");
        assert!(!trace.contains("getdents64("), "{trace}");
        for other in &sleepers[1..] {
            assert!(!trace.contains(&format!("\"{}", other.pid())), "{trace}");
        }
    }
}

#[test]
fn bad_input_is_refused_with_a_hint() {
    for (arguments, part) in [
        (&["show", "999999999"][..], "no process 999999999"),
        (&["show", "ns:1"], "no namespace 1 found"),
        (&["show", "ns:4026999999"], "no namespace 4026999999 found"),
        (&["show", "/proc/self/status"], "is no namespace file"),
        (&["show", "/proc"], "is no namespace file"),
        (&["show", "net:no-such-name"], "is named no-such-name"),
        (&["show", "--can", "999999999", "/proc/self/ns/net"], "no process 999999999"),
        (&["show", "--can", "self", "/proc/self/status"], "is no namespace file"),
        (&["show", "--can", "self", "ns:1"], "no namespace 1 found"),
        (&["show", "--can", "/proc/self/ns/net", "/proc/self/ns/net"], "is no process"),
        (&["show", "--can", "self", "self"], "is no namespace"),
        (&["why", "999999999"], "no process 999999999"),
        (&["why", "ns:1"], "no such namespace"),
        (&["why", "ns:4026999999"], "no such namespace"),
        (&["why", "net:[4026999999]"], "no such net namespace"),
        (&["why", "netns:no-such-name"], "is named no-such-name"),
        (&["why", "/proc/self/status"], "is no namespace file"),
    ] {
        let output = run(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.contains(part)), (Some(1), true), "{arguments:?}: {error}");
        assert!(error.contains("hint:") || error.contains("cause:"), "{arguments:?}: {error}");
    }
    for arguments in [&["show"][..], &["show", "--can", "1"], &["show", "x"], &["why"], &["why", "0"]] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn an_ordinary_user_sees_into_namespaces_of_their_own() {
    crate::need_root!();
    crate::need!("setpriv", "hostname");
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let script = "hostname mine && ip link set lo up && mount -t tmpfs t /mnt && mount --make-shared /mnt && \
                  mkdir /mnt/q && mount -t mqueue m /mnt/q && touch /mnt/q/jobs && echo && exec sleep infinity";
    let unshare = ["unshare", "--user", "--map-root-user", "--uts", "--ipc", "--net", "--mount", "--cgroup", "--time"];
    let wrapper = [&nobody[..], &unshare, &["--monotonic", "77"]].concat();
    let inner = Helper::shell(&wrapper, script);
    let listener = {
        let join = ["nsenter", "--preserve-credentials", "--user", "--net", "-t", &inner.pid().to_string()];
        let listen = "import socket, time\ns = socket.socket()\ns.bind(('127.0.0.1', 8080))\ns.listen()\n\
                      print(1, flush=True)\ntime.sleep(1000)";
        let words = [&nobody[..], &join, &["python3", "-c", listen]].concat();
        Helper::start(words[0], &words[1..])
    };
    let ask = |kind: &str| {
        let path = format!("/proc/{}/ns/{kind}", inner.pid());
        let mut command = Command::new(nobody[0]);
        command.args(&nobody[1..]).args([env!("CARGO_BIN_EXE_nstool"), "show", "--json", &path]);
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        if error.contains("setpriv: failed to execute") {
            return None;
        }
        Some(serde_json::from_str::<Value>(&stdout_of(output)).unwrap())
    };
    let Some(uts) = ask("uts") else { return crate::common::skip("nobody cannot reach the program") };
    assert_eq!(uts["hostname"], "mine");
    let ipc = ask("ipc").unwrap();
    assert_eq!((&ipc["shared_memory"], &ipc["posix_queues"]), (&serde_json::json!([]), &serde_json::json!(["jobs"])));
    let user = ask("user").unwrap();
    assert_eq!(user["uid_map"][0]["outside"], 65534);
    assert_eq!((&user["limits_seen"]["net"], &user["limits_seen"]["user"]), (&1.into(), &0.into()), "{user}");
    let net = ask("net").unwrap();
    assert_eq!((&net["interfaces"][0]["name"], &net["interfaces"][0]["up"]), (&"lo".into(), &true.into()), "{net}");
    assert!(net["interfaces"][0]["addresses"].as_array().unwrap().contains(&"127.0.0.1/8".into()), "{net}");
    assert_eq!(net["listening"][0]["port"], 8080, "{net}");
    let told = std::fs::read_to_string(format!("/proc/{}/mountinfo", inner.pid())).unwrap();
    let mnt = ask("mnt").unwrap();
    assert_eq!((&mnt["mounts"], &mnt["partial"]), (&told.lines().count().into(), &false.into()), "{mnt}");
    assert_eq!(mnt["shared"], serde_json::json!(["/mnt", "/mnt/q"]), "{mnt}");
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::"));
    if let Some(own) = own {
        assert_eq!(ask("cgroup").unwrap()["root"], own);
    }
    assert_eq!(ask("time_for_children").unwrap()["clocks"]["monotonic"]["seconds"], 77);
    drop(listener);
}
