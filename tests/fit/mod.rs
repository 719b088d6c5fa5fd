//! What is printed fits the terminal, and is uncut elsewhere.

use std::io::Read;

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::common::terminal::Session;
use crate::common::{Helper, TemporaryDirectory, run, stdout_of};

/// Runs nstool on a terminal of that width to its end; returns the lines it printed there.
fn on_terminal(columns: u16, arguments: &[&str]) -> Vec<String> {
    let script = "unset COLUMNS; NO_COLOR=1 \"$@\"; echo \"exit status $?\"";
    let words = [&["sh", "-c", script, "sh", env!("CARGO_BIN_EXE_nstool")], arguments].concat();
    let mut session = Session::sized(&words, columns);
    let mut seen = Vec::new();
    let end = b"exit status ";
    while !(seen.ends_with(b"\n") && seen.windows(end.len()).any(|part| part == end)) {
        let mut buffer = [0; 4096];
        let count = session.master.read(&mut buffer).unwrap();
        seen.extend_from_slice(&buffer[..count]);
    }
    let text = String::from_utf8(seen).unwrap().replace("\r\n", "\n");
    let (text, status) = text.rsplit_once("exit status ").unwrap();
    // 101 is a panic's.
    assert!(matches!(status.trim_end(), "0" | "1" | "2"), "{arguments:?} at {columns}: {status}\n{text}");
    text.lines().map(str::to_owned).collect()
}

/// A process in namespaces of its own, with a long name; its network is bound to a long path with blanks in a mount
/// namespace of its own.
struct Scene {
    directory: TemporaryDirectory,
    process: Helper,
}

const PLACE: &str = "a place 容器 with blanks/and-more-below-it";

impl Scene {
    fn new() -> Self {
        let directory = TemporaryDirectory::new();
        let script = format!(
            "set -e; cd '{}'; mount --make-rprivate /; mount -t tmpfs none .; cd \"$PWD\"; mkdir -p '{PLACE}'
             : >'{PLACE}/net'; mount --bind /proc/self/ns/net '{PLACE}/net'; mount --make-shared '{PLACE}/net'
             exec -a 'a \x1b[2J hostile 容器容器 name that is very long: word word word word word word word word word' \
             bash -c 'echo; exec 0<&- 1>&-; sleep infinity & wait'",
            directory.path().display()
        );
        let process = Helper::start("unshare", &["--mount", "--net", "--uts", "bash", "-c", &script]);
        Self { directory, process }
    }

    fn pid(&self) -> String {
        self.process.pid().to_string()
    }

    /// The device number of its temporary filesystem.
    fn device(&self) -> String {
        let inside = format!("/proc/{}/root{}", self.pid(), self.directory.path().display());
        let device = rustix::fs::stat(inside).unwrap().st_dev;
        format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
    }

    fn mount(&self) -> String {
        format!("{}/{PLACE}/net", self.directory.path().display())
    }
}

/// Returns the commands that a `why` in JSON names.
fn releases(answer: &Value, found: &mut Vec<String>) {
    match answer {
        Value::Array(list) => list.iter().for_each(|each| releases(each, found)),
        Value::Object(object) => {
            found.extend(object.get("release").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|each| releases(each, found));
        }
        _ => {}
    }
}

#[test]
fn what_releases_a_namespace_can_be_copied_from_any_terminal() {
    crate::need_root!();
    let scene = Scene::new();
    let net = format!("/proc/{}/ns/net", scene.pid());
    let answer: Value = serde_json::from_str(&stdout_of(run(&["why", "--json", &net]))).unwrap();
    let mut commands = Vec::new();
    releases(&answer["kept_by"], &mut commands);
    let unmount = format!("nstool enter {} -- umount '{}'", scene.pid(), scene.mount());
    assert!(commands.contains(&unmount), "{answer}");
    // Other tests may look at it just now.
    commands.retain(|command| command.contains(&scene.pid()));
    assert_eq!(commands.len(), 2, "{answer}");
    for columns in [200, 80, 60, 40] {
        let lines = on_terminal(columns, &["why", &net]);
        for command in &commands {
            assert!(lines.iter().any(|line| line.contains(command)), "{command:?} at {columns}: {lines:#?}");
        }
        // Where it is wider than its column it has a line of its own.
        let alone = lines.iter().any(|line| line.trim_start() == unmount);
        assert!(columns == 200 || alone, "{columns}: {lines:#?}");
    }
}

#[test]
fn no_line_is_wider_than_the_terminal_unless_it_is_to_be_copied_whole() {
    crate::need_root!();
    let scene = Scene::new();
    let (pid, place) = (scene.pid(), scene.directory.path().display().to_string());
    let net = format!("/proc/{pid}/ns/net");
    let whole = [scene.mount(), format!("nstool enter {pid} -- ")];
    let questions: [&[&str]; 17] = [
        &["why", &net],
        &["why", &pid],
        &["why", &format!("/proc/{pid}/ns/uts")],
        &["show", &pid],
        &["show", &net],
        &["show", "--can", &pid, &net],
        &["compare", &pid],
        &["compare", &pid, "1", "self", "2", &pid, "self", "self", "self"],
        &["mounts", &pid],
        &["mounts", "peers", &pid],
        &["mounts", "reach", &pid, &place],
        &["mounts", "reach", &pid, &place, "--to", "self"],
        &["mounts", "holders", &scene.device()],
        &["mounts", "diff", "self", &pid],
        &["mounts", "--check-shared", &pid],
        &["enter", &pid, "--dry-run", "--confined", "--", "echo", "a command of many words that goes on and on and on"],
        &["unshare", "--dry-run", "-Urmpfu", "--mount-proc", "--hostname", "a-long-name-for-a-host", "echo", "a b c"],
    ];
    for question in questions.into_iter().chain([&["version", "-v"][..], &["ls", "-H"], &["ls", &pid], &["nonsense"]]) {
        for columns in [80, 60] {
            for line in on_terminal(columns, question) {
                let is_whole = whole.iter().any(|part| line.contains(part)) || !line.trim().contains(' ');
                let width = line.width();
                // Clap words its own complaints.
                let fits = width <= columns.into() || is_whole || question == ["nonsense"];
                assert!(fits, "{question:?} at {columns}: {width}: {line:?}");
            }
        }
        // Where nothing has room it ends all the same.
        for columns in [40, 7, 1] {
            on_terminal(columns, question);
        }
    }
}

#[test]
fn a_page_and_a_plan_lose_no_word_and_are_unbroken_in_a_pipe() {
    crate::need_root!();
    let scene = Scene::new();
    let pid = scene.pid();
    let sorts: [&[&str]; 3] = [
        &["show", &pid],
        &["enter", &pid, "--no-pty", "--dry-run", "--", "echo", "some words"],
        &["unshare", "--dry-run", "-rmpf", "--mount-proc", "echo", "some words"],
    ];
    for question in sorts {
        // A colour, a mark or a broken word would be seen; what is counted, and whether it runs just now, can change.
        let changes = |word: &str| {
            word.contains(|c: char| c.is_ascii_digit()) || ["R", "S", "(running)", "(sleeping)"].contains(&word)
        };
        let words = |text: &str| -> Vec<String> {
            let words = text.split_whitespace().filter(|word| !changes(word));
            words.map(str::to_owned).collect()
        };
        let piped = stdout_of(run(question));
        assert!(!piped.contains(|c: char| c.is_control() && c != '\n'), "{piped:?}");
        for columns in [80, 60, 40, 10] {
            assert_eq!(words(&on_terminal(columns, question).join("\n")), words(&piped), "{question:?} at {columns}");
        }
    }
    let piped = stdout_of(run(&["show", &pid]));
    let title = piped.lines().next().unwrap();
    assert!(title.starts_with(&format!("process {pid}: a \\x1b[2J hostile 容器")), "{title}");
    assert!(title.contains("word word word word word word word word word"), "{title}");
}
