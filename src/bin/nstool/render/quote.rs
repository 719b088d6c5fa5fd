//! Words of a command line that can be copied into a shell, whatever bytes they hold.

use std::fmt::Write as _;

/// Returns `word` quoted for a POSIX shell; what cannot be printed is written as `$'\xHH'`, which bash, zsh and ksh know.
pub(crate) fn quote(word: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+:=@%,".contains(byte);
    if !word.is_empty() && word.iter().all(plain) {
        return String::from_utf8_lossy(word).into_owned();
    }
    let printable = nstool::printable(word);
    if printable.as_bytes() == word {
        return format!("'{}'", printable.replace('\'', "'\\''"));
    }
    let mut quoted = String::from("$'");
    for byte in word {
        let _ = match byte {
            b'\'' | b'\\' => write!(quoted, "\\{}", *byte as char),
            b' '..=b'~' => write!(quoted, "{}", *byte as char),
            _ => write!(quoted, "\\x{byte:02x}"),
        };
    }
    quoted + "'"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word_and_harmless() {
        for (word, quoted) in [
            (&b"/run/netns/blue"[..], "/run/netns/blue"),
            (b"", "''"),
            (b"/a b;reboot", "'/a b;reboot'"),
            (b"it's", "'it'\\''s'"),
            (b"~", "'~'"),
            ("/größe".as_bytes(), "'/größe'"),
            (b"/\x1b[2J'\\\xff", "$'/\\x1b[2J\\'\\\\\\xff'"),
        ] {
            assert_eq!(quote(word), quoted);
        }
    }

    #[test]
    fn a_shell_reads_back_the_same_bytes() {
        if !std::path::Path::new("/bin/bash").exists() {
            return;
        }
        for word in [&b"/run/a b"[..], b"it's", b"\x1b[2J\n\\\xfe'x", b"$HOME `x` !!", "größe".as_bytes()] {
            let script = format!("printf %s {}", quote(word));
            let output = std::process::Command::new("/bin/bash").args(["-c", &script]).output().unwrap();
            assert_eq!(output.stdout, word);
        }
    }
}
