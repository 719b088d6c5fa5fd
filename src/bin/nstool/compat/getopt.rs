//! Options as getopt_long(3) takes them: abbreviated, bundled, with optional values glued to them, and its messages.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nstool::printable;

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    None,
    Required,
    /// Only glued to it: `-Tx`, `--tree=x`.
    Optional,
}

/// One option. Its name stands for it in what was parsed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub(super) long: &'static str,
    /// The letter, or 0 for none.
    pub(super) short: u8,
    pub(super) value: Value,
}

/// What was typed: the options with their values, in order, and the other words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) options: Vec<(&'static str, Option<OsString>)>,
    pub(super) words: Vec<OsString>,
}

/// Parses words; on bad usage returns getopt's message, without the tool's name.
pub(super) fn parse(specs: &'static [Spec], words: &[OsString]) -> Result<Parsed, String> {
    let mut parsed = Parsed { options: Vec::new(), words: Vec::new() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let bytes = word.as_bytes();
        if bytes == b"--" {
            parsed.words.extend(words.cloned());
            break;
        } else if let Some(name) = bytes.strip_prefix(b"--") {
            parsed.options.push(long(specs, name, &mut words)?);
        } else if bytes.len() > 1 && bytes[0] == b'-' {
            short(specs, &bytes[1..], &mut words, &mut parsed.options)?;
        } else {
            parsed.words.push(word.clone());
        }
    }
    Ok(parsed)
}

type Words<'a> = std::slice::Iter<'a, OsString>;

fn long(
    specs: &'static [Spec],
    word: &[u8],
    words: &mut Words<'_>,
) -> Result<(&'static str, Option<OsString>), String> {
    let end = word.iter().position(|byte| *byte == b'=').unwrap_or(word.len());
    let name = &word[..end];
    let shown = printable(name);
    let glued = word.get(end + 1..).map(|value| OsString::from_vec(value.to_vec()));
    let begun: Vec<&Spec> = specs.iter().filter(|spec| spec.long.as_bytes().starts_with(name)).collect();
    let spec = match (specs.iter().find(|spec| spec.long.as_bytes() == name), &begun[..]) {
        (Some(spec), _) => spec,
        (None, []) => return Err(format!("unrecognized option '--{shown}'")),
        (None, [spec]) => *spec,
        (None, several) => {
            let names: Vec<_> = several.iter().map(|spec| format!("'--{}'", spec.long)).collect();
            return Err(format!("option '--{shown}' is ambiguous; possibilities: {}", names.join(" ")));
        }
    };
    let value = match (spec.value, glued) {
        (Value::None, Some(_)) => return Err(format!("option '--{}' doesn't allow an argument", spec.long)),
        (Value::Required, None) => match words.next() {
            Some(value) => Some(value.clone()),
            None => return Err(format!("option '--{}' requires an argument", spec.long)),
        },
        (_, glued) => glued,
    };
    Ok((spec.long, value))
}

fn short(
    specs: &'static [Spec],
    letters: &[u8],
    words: &mut Words<'_>,
    options: &mut Vec<(&'static str, Option<OsString>)>,
) -> Result<(), String> {
    for (place, letter) in letters.iter().enumerate() {
        let Some(spec) = specs.iter().find(|spec| spec.short == *letter && spec.short != 0) else {
            return Err(format!("invalid option -- '{}'", printable(&[*letter])));
        };
        let rest = &letters[place + 1..];
        let glued = (!rest.is_empty()).then(|| OsStr::from_bytes(rest).to_owned());
        match spec.value {
            Value::None => options.push((spec.long, None)),
            Value::Optional => {
                options.push((spec.long, glued));
                return Ok(());
            }
            Value::Required => {
                let value = glued.or_else(|| words.next().cloned());
                if value.is_none() {
                    return Err(format!("option requires an argument -- '{}'", char::from(*letter)));
                }
                options.push((spec.long, value));
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    static SPECS: [Spec; 4] = [
        Spec { long: "nowrap", short: b'W', value: Value::None },
        Spec { long: "noheadings", short: b'n', value: Value::None },
        Spec { long: "task", short: b'p', value: Value::Required },
        Spec { long: "tree", short: b'T', value: Value::Optional },
    ];

    fn parsed(words: &[&str]) -> Result<Parsed, String> {
        parse(&SPECS, &words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_bundled_glued_abbreviated_and_mixed_with_words() {
        let Parsed { options, words } =
            parsed(&["7", "-nWp", "1", "--tree=x", "--ta=2", "-T", "-p3", "--", "-n"]).unwrap();
        let some = |value: &str| Some(OsString::from(value));
        let expected = [
            ("noheadings", None),
            ("nowrap", None),
            ("task", some("1")),
            ("tree", some("x")),
            ("task", some("2")),
            ("tree", None),
            ("task", some("3")),
        ];
        assert_eq!(options, expected);
        assert_eq!(words, ["7", "-n"]);
    }

    #[test]
    fn bad_usage_is_worded_as_getopt_does() {
        for (words, message) in [
            (&["--foo"][..], "unrecognized option '--foo'"),
            (&["-x"], "invalid option -- 'x'"),
            (&["-p"], "option requires an argument -- 'p'"),
            (&["--task"], "option '--task' requires an argument"),
            (&["--nowrap=1"], "option '--nowrap' doesn't allow an argument"),
            (&["--no"], "option '--no' is ambiguous; possibilities: '--nowrap' '--noheadings'"),
        ] {
            assert_eq!(parsed(words), Err(message.to_owned()));
        }
    }
}
