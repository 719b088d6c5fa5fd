//! Options as getopt_long(3) takes them: abbreviated, bundled, with optional values glued to them, and its messages.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

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
    /// What the letter takes.
    letter: Value,
    /// Whether util-linux 2.38.1 lacks it. Then it takes part in no abbreviation that another option is meant by.
    later: bool,
}

pub(super) const fn spec(long: &'static str, short: u8, value: Value) -> Spec {
    Spec { long, short, value, letter: value, later: false }
}

impl Spec {
    /// The same with a letter that takes something else.
    pub(super) const fn letter(mut self, value: Value) -> Self {
        self.letter = value;
        self
    }

    /// The same, as one that came later.
    pub(super) const fn later(mut self) -> Self {
        self.later = true;
        self
    }
}

/// An option and its value.
pub(super) type Given = (&'static str, Option<OsString>);

/// Finds the options one after another, as a loop over getopt_long(3) does: what stands behind a bad one is not looked at.
pub(super) struct Options<'a> {
    specs: &'static [Spec],
    words: std::slice::Iter<'a, OsString>,
    /// The rest of a word of letters.
    letters: &'a [u8],
    /// Whether the first word that is no option ends them.
    in_front: bool,
    others: Vec<OsString>,
}

impl<'a> Options<'a> {
    /// Looks for options anywhere between the words, or with POSIXLY_CORRECT only in front of them.
    pub(super) fn anywhere(specs: &'static [Spec], words: &'a [OsString]) -> Self {
        Self { in_front: std::env::var_os("POSIXLY_CORRECT").is_some(), ..Self::in_front(specs, words) }
    }

    /// Looks for options in front of the other words.
    pub(super) fn in_front(specs: &'static [Spec], words: &'a [OsString]) -> Self {
        Self { specs, words: words.iter(), letters: &[], in_front: true, others: Vec::new() }
    }

    /// Returns the words that are no options; to be called after the last.
    pub(super) fn others(self) -> Vec<OsString> {
        self.others
    }

    fn long(&mut self, word: &[u8]) -> Result<Given, String> {
        let end = word.iter().position(|byte| *byte == b'=').unwrap_or(word.len());
        let name = &word[..end];
        let glued = word.get(end + 1..).map(|value| OsStr::from_bytes(value).to_owned());
        let begun = |later: bool| {
            let begun = self.specs.iter().filter(move |spec| spec.later == later);
            begun.filter(|spec| spec.long.as_bytes().starts_with(name)).collect::<Vec<_>>()
        };
        let mut meant = begun(false);
        if meant.is_empty() {
            meant = begun(true);
        }
        let spec = match (self.specs.iter().find(|spec| spec.long.as_bytes() == name), &meant[..]) {
            (Some(spec), _) => spec,
            (None, []) => return Err(format!("unrecognized option '--{}'", printable(word))),
            (None, [spec]) => *spec,
            (None, several) => {
                let names: Vec<_> = several.iter().map(|spec| format!("'--{}'", spec.long)).collect();
                return Err(format!("option '--{}' is ambiguous; possibilities: {}", printable(word), names.join(" ")));
            }
        };
        let value = match (spec.value, glued) {
            (Value::None, Some(_)) => return Err(format!("option '--{}' doesn't allow an argument", spec.long)),
            (Value::Required, None) => match self.words.next() {
                Some(value) => Some(value.clone()),
                None => return Err(format!("option '--{}' requires an argument", spec.long)),
            },
            (_, glued) => glued,
        };
        Ok((spec.long, value))
    }

    fn letter(&mut self) -> Result<Given, String> {
        let (letter, rest) = (self.letters[0], &self.letters[1..]);
        self.letters = rest;
        let Some(spec) = self.specs.iter().find(|spec| spec.short == letter && letter != 0) else {
            return Err(format!("invalid option -- '{}'", printable(&[letter])));
        };
        if spec.letter == Value::None {
            return Ok((spec.long, None));
        }
        self.letters = &[];
        let glued = (!rest.is_empty()).then(|| OsStr::from_bytes(rest).to_owned());
        if glued.is_some() || spec.letter == Value::Optional {
            return Ok((spec.long, glued));
        }
        match self.words.next() {
            Some(value) => Ok((spec.long, Some(value.clone()))),
            None => Err(format!("option requires an argument -- '{}'", char::from(letter))),
        }
    }
}

impl Iterator for Options<'_> {
    /// An option, or getopt's message on bad usage, without the tool's name.
    type Item = Result<Given, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.letters.is_empty() {
            return Some(self.letter());
        }
        loop {
            let word = self.words.next()?;
            let bytes = word.as_bytes();
            if bytes == b"--" {
                self.others.extend(self.words.by_ref().cloned());
            } else if let Some(name) = bytes.strip_prefix(b"--") {
                return Some(self.long(name));
            } else if bytes.len() > 1 && bytes[0] == b'-' {
                self.letters = &bytes[1..];
                return Some(self.letter());
            } else {
                self.others.push(word.clone());
                if self.in_front {
                    self.others.extend(self.words.by_ref().cloned());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SPECS: [Spec; 6] = [
        spec("nowrap", b'W', Value::None),
        spec("noheadings", b'n', Value::None),
        spec("task", b'p', Value::Required),
        spec("tree", b'T', Value::Optional),
        spec("net", b'N', Value::Optional).letter(Value::None),
        spec("tasks", 0, Value::None).later(),
    ];

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn parsed(mut options: Options<'_>) -> Result<(Vec<Given>, Vec<OsString>), String> {
        let given = options.by_ref().collect::<Result<_, _>>()?;
        Ok((given, options.others()))
    }

    fn some(value: &str) -> Option<OsString> {
        Some(OsString::from(value))
    }

    #[test]
    fn options_are_bundled_glued_abbreviated_and_mixed_with_words() {
        let words = words(&["7", "-nWp", "1", "--tree=x", "--ta=2", "-T", "-p3", "--", "-n"]);
        let options = Options { in_front: false, ..Options::in_front(&SPECS, &words) };
        let expected = [
            ("noheadings", None),
            ("nowrap", None),
            ("task", some("1")),
            ("tree", some("x")),
            ("task", some("2")),
            ("tree", None),
            ("task", some("3")),
        ];
        assert_eq!(parsed(options).unwrap(), (expected.to_vec(), vec!["7".into(), "-n".into()]));
    }

    #[test]
    fn options_in_front_end_at_the_first_other_word() {
        let words = words(&["-NW", "--net=x", "--tasks", "run", "-n", "--", "-x"]);
        let expected = [("net", None), ("nowrap", None), ("net", some("x")), ("tasks", None)];
        let (given, others) = parsed(Options::in_front(&SPECS, &words)).unwrap();
        assert_eq!((&given[..], &others[..]), (&expected[..], &words[3..]));
    }

    #[test]
    fn bad_usage_is_worded_as_getopt_does() {
        for (bad, message) in [
            (&["--foo=1"][..], "unrecognized option '--foo=1'"),
            (&["-x"], "invalid option -- 'x'"),
            (&["-p"], "option requires an argument -- 'p'"),
            (&["--task"], "option '--task' requires an argument"),
            (&["--nowrap=1"], "option '--nowrap' doesn't allow an argument"),
            (&["--no"], "option '--no' is ambiguous; possibilities: '--nowrap' '--noheadings'"),
        ] {
            assert_eq!(parsed(Options::in_front(&SPECS, &words(bad))), Err(message.to_owned()));
        }
    }
}
