//! Whether a command printed what stands in README.md, but for what differs from run to run.

use super::blocks::Stage;

/// Compares what stands below a command with what it printed.
pub(super) fn compare(expected: &[String], actual: &str, stage: &Stage) -> Result<(), String> {
    let mut wanted: Vec<String> = expected.iter().map(|line| even(line)).collect();
    let mut printed: Vec<String> = lines(actual).map(even).collect();
    if stage.in_any_order {
        wanted.sort();
        printed.sort();
    }
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let printed: Vec<&str> = printed.iter().map(String::as_str).collect();
    if lines_match(&wanted, &printed) {
        return Ok(());
    }
    Err(format!(
        "--- README.md\n{}\n--- printed\n{actual}\n--- as compared\n{}",
        expected.join("\n"),
        printed.join("\n")
    ))
}

/// The lines that a whole machine would print: a scene has a pid namespace of its own, where a scan cannot do all that it
/// does elsewhere.
pub(super) fn lines(printed: &str) -> impl Iterator<Item = &str> {
    const OF_THE_SCENE: &str = "note:  hidden: mount namespaces without processes (needs the initial pid namespace: run it on the host itself)";
    printed.lines().filter(|line| *line != OF_THE_SCENE).map(str::trim_end)
}

/// Puts one sign for what the kernel numbers as it likes (inodes of namespaces, devices, peer groups, times), and takes
/// out how columns are filled and which branch of a tree is the last.
fn even(line: &str) -> String {
    let words: Vec<String> =
        line.split_whitespace().map(|word| word.replace("├─", "└─")).map(|word| sign(&word)).collect();
    let mut line = words.join(" ");
    for before in ["group ", "shared:", "master:", "(0:"] {
        line = without_number_behind(&line, before);
    }
    line
}

/// `4026532178)` becomes `NS)`: the kernel numbers namespaces from 0xF0000000 on, in few of which they are alike.
fn sign(word: &str) -> String {
    let Some(start) = word.find("40265") else { return word.to_owned() };
    let end = word[start..].find(|letter: char| !letter.is_ascii_digit()).map_or(word.len(), |length| start + length);
    if end - start == 10 { format!("{}NS{}", &word[..start], &word[end..]) } else { word.to_owned() }
}

fn without_number_behind(line: &str, before: &str) -> String {
    let mut parts = line.split(before);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|letter: char| letter.is_ascii_digit());
        out.push_str(before);
        out.push_str(if rest.len() < part.len() { "N" } else { "" });
        out.push_str(rest);
    }
    out
}

/// A line `…` stands for any number of lines.
fn lines_match(wanted: &[&str], printed: &[&str]) -> bool {
    match wanted.split_first() {
        None => printed.is_empty(),
        Some((&"…", rest)) => (0..=printed.len()).any(|skipped| lines_match(rest, &printed[skipped..])),
        Some((line, rest)) => {
            printed.split_first().is_some_and(|(first, others)| line_matches(line, first) && lines_match(rest, others))
        }
    }
}

/// In a line, `…` stands for any text.
fn line_matches(wanted: &str, printed: &str) -> bool {
    match wanted.split_once('…') {
        None => wanted == printed,
        Some((before, rest)) => printed.strip_prefix(before).is_some_and(|behind| {
            let ends = behind.char_indices().map(|(place, _)| place).chain([behind.len()]);
            ends.into_iter().any(|place| line_matches(rest, &behind[place..]))
        }),
    }
}

#[test]
fn what_the_kernel_numbers_may_differ_and_nothing_else() {
    let check = |expected: &str, actual: &str| {
        let lines: Vec<String> = expected.lines().map(str::to_owned).collect();
        compare(&lines, actual, &Stage::default()).is_ok()
    };
    assert!(check("NS   4026531833  a", "NS 4026539999 a\n"));
    assert!(check("├─a\n└─b", "└─a\n├─b\n"));
    assert!(check("a … c\n…\nend", "a b b c\n1\n2\nend"));
    assert!(check("group 2 (0:40)", "group 71 (0:9)"));
    assert!(!check("a\n…\nend", "a\n1"));
    assert!(!check("process 4242", "process 4243"));
    assert!(!check("a", "a\nb"));
    assert!(!check("a\nb", "a"));
}
