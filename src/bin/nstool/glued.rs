//! Values glued to the letter of an option that may go without one: `-n/run/netns/blue`, as getopt_long(3) takes them.
//!
//! clap takes `-n=/run/netns/blue` only, since `-mn` shall be two options. What begins with `/`, `.` or `:` is no option
//! letter, so there nothing is in doubt, and the equals sign is put in before clap sees the words. Which letters these
//! are, and which words are options at all, stands in clap's definition; it is asked only if a word looks like that.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::{Arg, Command};

/// Puts an equals sign before each glued value. `command` makes the definition of our command line, if it is needed.
pub(crate) fn spelled_out(words: Vec<OsString>, command: impl FnOnce() -> Command) -> Vec<OsString> {
    if !words.iter().take_while(|word| *word != "--").any(|word| may_be_glued(word.as_bytes())) {
        return words;
    }
    let mut root = command();
    root.build();
    rewritten(&root, words)
}

fn may_be_glued(word: &[u8]) -> bool {
    word.len() > 2 && word[0] == b'-' && word[1] != b'-' && word[2..].iter().any(|byte| begins_value(*byte))
}

fn begins_value(byte: u8) -> bool {
    matches!(byte, b'/' | b'.' | b':')
}

fn rewritten(root: &Command, mut words: Vec<OsString>) -> Vec<OsString> {
    let mut here = root;
    let mut place = 1;
    while place < words.len() {
        let bytes = words[place].as_bytes();
        let value_follows = if bytes == b"--" {
            break;
        } else if let Some(name) = bytes.strip_prefix(b"--") {
            let option = here.get_arguments().find(|option| goes_by(option, name));
            option.is_some_and(takes_next_word)
        } else if bytes.len() > 1 && bytes[0] == b'-' {
            let (equals, value_follows) = cluster(here, &bytes[1..]);
            if let Some(letters) = equals {
                let mut whole = bytes.to_vec();
                whole.insert(1 + letters, b'=');
                words[place] = OsString::from_vec(whole);
            }
            value_follows
        } else {
            match words[place].to_str().and_then(|name| here.find_subcommand(name)) {
                Some(verb) => here = verb,
                // From the command to run on, nothing is ours.
                None if here.get_positionals().any(Arg::is_trailing_var_arg_set) => break,
                None => {}
            }
            false
        };
        place += 1 + usize::from(value_follows);
    }
    words
}

fn goes_by(option: &Arg, name: &[u8]) -> bool {
    let aliases = option.get_all_aliases().unwrap_or_default();
    option.get_long().into_iter().chain(aliases).any(|long| long.as_bytes() == name)
}

/// Tells whether an option's value can stand in the next word.
fn takes_next_word(option: &Arg) -> bool {
    option.get_action().takes_values() && !option.is_require_equals_set()
}

/// Looks at the letters of a word: behind how many an equals sign is missing, and whether the next word is a value.
fn cluster(here: &Command, letters: &[u8]) -> (Option<usize>, bool) {
    for (index, letter) in letters.iter().enumerate() {
        let option = here.get_arguments().find(|option| option.get_short() == Some(char::from(*letter)));
        // An option that is none is clap's to refuse.
        let Some(option) = option else { return (None, false) };
        let next = letters.get(index + 1).copied();
        if takes_next_word(option) {
            return (None, next.is_none());
        }
        let may_have_value = option.get_action().takes_values();
        match next {
            Some(b'=') => return (None, false),
            Some(next) if may_have_value && begins_value(next) => return (Some(index + 1), false),
            _ => {}
        }
    }
    (None, false)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    fn spelled(words: &[&str]) -> Vec<String> {
        let words = ["nstool"].iter().chain(words).map(OsString::from).collect();
        let words = spelled_out(words, Cli::command);
        words.into_iter().skip(1).map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn a_path_glued_to_its_option_gets_its_equals_sign() {
        for (typed, expected) in [
            (&["enter", "-n/run/netns/blue"][..], &["enter", "-n=/run/netns/blue"][..]),
            (&["enter", "7", "-mn/a"], &["enter", "7", "-mn=/a"]),
            (&["enter", "-m./a", "-p../b", "-r/c=d"], &["enter", "-m=./a", "-p=../b", "-r=/c=d"]),
            (&["enter", "-n:4026531833"], &["enter", "-n=:4026531833"]),
            (&["--color", "never", "enter", "-C/a"], &["--color", "never", "enter", "-C=/a"]),
            (&["unshare", "-n/a", "-fu/b"], &["unshare", "-n=/a", "-fu=/b"]),
        ] {
            assert_eq!(spelled(typed), expected);
        }
        for letter in ["m", "u", "i", "n", "p", "C", "U", "T", "r", "w"] {
            assert_eq!(spelled(&["enter", &format!("-{letter}/a")])[1], format!("-{letter}=/a"));
        }
        for letter in ["m", "u", "i", "n", "p", "C", "U", "T"] {
            assert_eq!(spelled(&["unshare", &format!("-{letter}/a")])[1], format!("-{letter}=/a"));
        }
    }

    #[test]
    fn everything_else_stays_as_it_was_typed() {
        for words in [
            &["enter", "-n=/a", "-mn=/a", "-mun", "-t7:8", "-vt7:8"][..],
            // Values of other options, glued and as the next word.
            &["enter", "-W/a", "-S", "-n/a", "--wdns", "-n/a", "--setenv", "-n/a"],
            &["enter", "7", "--", "-n/a"],
            &["enter", "-x/a", "/run/netns/blue", "-", "--net=/a"],
            // From the first word on it is the command's.
            &["unshare", "-n", "grep", "-n/a", "file"],
            &["unshare", "--hostname", "box", "-R", "/a", "grep", "-n/a"],
            &["mounts", "reach", "/a", "-x/a"],
        ] {
            assert_eq!(spelled(words), words);
        }
        assert_eq!(spelled(&["unshare", "--hostname", "box", "-n/a"])[3], "-n=/a");
    }
}
