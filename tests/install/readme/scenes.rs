//! The scenes in which README.md's commands are run: each a small machine of its own, with mounts, processes and a host
//! name that end with it.

use std::process::{Command as Process, Stdio};

use super::blocks::{Command, Stage};
use crate::common::copy_program;
use crate::install::Scratch;

/// What every scene begins with. `at NUMBER PROGRAM…` starts a process with that number, as the page names it.
const PRELUDE: &str = r#"
set -e
# Another test's kept namespaces are no part of the scene.
findmnt -rn -t nsfs -o TARGET | xargs -r -n 1 umount -l 2>/dev/null || true
for place in /usr/local/sbin /srv /run /home; do mount -t tmpfs tmpfs $place; done
cp -r "$README_SCENE" /run/scene
cp /run/scene/nstool /usr/local/sbin/nstool
chmod -R a+rX /run/scene
mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir /home/user /run/netns
chown 1000:1000 /home/user
echo 'root:x:0:0:root:/root:/bin/sh
user:x:1000:1000::/home/user:/bin/sh
nobody:x:65534:65534::/:/bin/false' > /run/passwd
echo 'user:100000:65536' > /run/subids
mount --bind /run/passwd /etc/passwd
mount --bind /run/subids /etc/subuid
mount --bind /run/subids /etc/subgid
hostname outer
at() {
    # The number is free, and nothing else starts here meanwhile.
    echo $(($1 - 1)) > /proc/sys/kernel/ns_last_pid
    shift
    "$@" < /dev/null > /dev/null 2>&1 &
    last=$!
}
# Waits until a process has become the program, which then holds all that it shall. It starts nothing that would take the
# number of a child that is still to come.
became() {
    local name=
    until read -r name 2>/dev/null < /proc/$1/comm && [ "$name" = "$2" ]; do
        if [ $SECONDS -gt 60 ]; then
            echo "process $1 did not become $2"
            exit 1
        fi
    done
}
cd /srv
"#;

/// The scenes: their names, and what they do before the block is run.
const SCENES: &[(&str, &str)] = &[
    ("an empty machine", ""),
    ("a small machine", SMALL),
    (
        "a machine with a leak",
        "ip netns add blue\nat 4250 bash -c 'exec 9< /run/netns/blue; exec sleep 1001'\nbecame 4250 sleep\nip netns delete blue",
    ),
    ("a machine with a container", CONTAINER),
    ("a machine with a container without a shell", BARE_CONTAINER),
    ("a machine with shared mounts", SHARED),
    ("a machine with a busy mount", BUSY),
    // / and /proc shared, as systemd leaves them; and a program that mounts a /proc of its own on the shared one.
    (
        "a machine whose /proc died",
        "mount --make-shared /proc\nunshare -mpf --propagation unchanged sh -c 'mount -t proc proc /proc'",
    ),
    (
        "a machine with shared /proc",
        "mount --make-shared /proc\nat 4250 unshare -m --propagation unchanged sleep 1001\nbecame 4250 sleep",
    ),
    ("a directory with a script", WITH_SCRIPT),
    ("a machine with a user's sandbox", SANDBOX),
    ("a machine that keeps namespaces", KEEPING),
];

const SMALL: &str = r#"
ip netns add blue
at 4242 ip netns exec blue sleep 1000
became 4242 sleep
at 4243 unshare -Urm --kill-child -pf sleep 600
became 4244 sleep
at 4250 bash -c 'exec 9< /run/netns/blue; exec sleep 1001'
became 4250 sleep
"#;

const CONTAINER: &str = r#"
at 4241 unshare -muipnf --kill-child --mount-proc sh -c 'hostname web; ip link set lo up; exec sleep 1000'
became 4242 sleep
"#;

const BARE_CONTAINER: &str = r#"
mkdir app
cp "$(command -v busybox)" app/sleep
at 4241 unshare -muipnf --kill-child --root=app /sleep 1000
became 4242 sleep
"#;

const SHARED: &str = r#"
mount --make-shared /srv
mount --make-shared /proc
mkdir /srv/in /tmp/data
at 4250 unshare -m --propagation unchanged sh -c 'mount --bind /srv /tmp/data; mount --make-slave /tmp/data; exec sleep 1001'
became 4250 sleep
at 4260 unshare -m sleep 1002
became 4260 sleep
"#;

const BUSY: &str = r#"
mkdir data
mount -t tmpfs data data
at 4242 sh -c 'cd data; exec sleep 1000'
became 4242 sleep
at 4250 unshare -m sleep 1001
became 4250 sleep
"#;

const SANDBOX: &str = r#"
at 29318 setpriv --reuid=1000 --regid=1000 --clear-groups bwrap --dev-bind / / --dev /dev --unshare-net sleep 1000
became 29319 sleep
"#;

const WITH_SCRIPT: &str = r##"
echo "#!/bin/sh
(sh -c 'exit 3' &)
sleep 2" > SCRIPT
chmod +x SCRIPT
"##;

/// A scan of a test beside this one may have a kept namespace open for a moment, so umount is patient here.
const KEEPING: &str = r#"
cat > /usr/local/sbin/umount <<'EOF'
#!/bin/sh
for place in "$@"; do
    until /bin/umount "$place" 2> /run/said; do
        grep -q busy /run/said || { cat /run/said; exit 1; }
    done
done
EOF
chmod +x /usr/local/sbin/umount
"#;

/// Runs commands in a scene; what each printed, to either stream.
pub(super) fn run(stage: &Stage, commands: &[Command]) -> Result<Vec<String>, String> {
    let (_, setup) =
        SCENES.iter().find(|(name, _)| *name == stage.scene).ok_or(format!("there is no scene {:?}", stage.scene))?;
    let scratch = Scratch::new(&format!("readme-{}", commands.as_ptr() as usize));
    copy_program(env!("CARGO_BIN_EXE_nstool"), &scratch.0.join("nstool"));
    let mut script = format!("{PRELUDE}{setup}\nset +e\n");
    for (number, command) in commands.iter().enumerate() {
        let file = scratch.0.join(number.to_string());
        std::fs::write(&file, &command.text).unwrap();
        let user = if command.as_root { "" } else { "cd; setpriv --reuid=1000 --regid=1000 --clear-groups " };
        script += &format!(
            "printf '\\0'; ( text=$(cat /run/scene/{number}); export HOME=/home/user; {user}sh -c \"$text\" ) 2>&1 < /dev/null\n"
        );
    }
    let file = scratch.0.join("script");
    std::fs::write(&file, script).unwrap();
    // Read from its input, the script does not stand in the command line of the scene's first process.
    let output = Process::new("unshare")
        .args(["-mpuf", "--mount-proc", "--kill-child", "bash"])
        .env("README_SCENE", &scratch.0)
        .stdin(Stdio::from(std::fs::File::open(&file).unwrap()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let outputs: Vec<String> = text.split('\0').skip(1).map(str::to_owned).collect();
    if outputs.len() < commands.len() {
        return Err(format!("the scene failed: {text}{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(outputs)
}
