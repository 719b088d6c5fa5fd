//! Names from a target, made harmless for a terminal.
//!
//! Process names, paths, host names and mount options are chosen by whoever runs there. A name that holds escape
//! sequences could clear the screen, forge a line or set the terminal's title; one with line breaks could forge a row.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns `name` so that printing it cannot drive a terminal nor break a line: control characters, bytes that are not
/// UTF-8, and characters that reorder or hide text become `\xHH` or `\u{HHHH}`; all else stays.
///
/// A backslash stays as well: names of control groups are full of them (systemd writes `-` as `\x2d` there), and are to be
/// found and copied as they are. So `\x1b` may be an escape or four characters of a name; raw output and JSON tell which.
///
/// ```
/// assert_eq!(nstool::printable(b"nginx"), "nginx");
/// assert_eq!(nstool::printable(b"\x1b[2J"), "\\x1b[2J");
/// ```
pub fn printable(name: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(name)
        && text.chars().all(harmless)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(name.len() + 8);
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            if harmless(c) {
                out.push(c);
            } else {
                escape(c, &mut out);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    Cow::Owned(out)
}

fn escape(c: char, out: &mut String) {
    let code = c as u32;
    let _ = match c {
        '\n' => write!(out, "\\n"),
        '\t' => write!(out, "\\t"),
        _ if code < 0x80 => write!(out, "\\x{code:02x}"),
        _ => write!(out, "\\u{{{code:x}}}"),
    };
}

/// Tells whether a terminal shows `c` as itself and nothing more.
fn harmless(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // C1 controls act like escape sequences on many terminals; the others are the marks and overrides of
    // bidirectional text, zero-width characters, line and paragraph separators, and tags (Unicode 16, category Cf).
    !(c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_lose_their_power_and_others_stay() {
        for (name, shown) in [
            (&b"a b"[..], "a b"),
            ("größe 容器".as_bytes(), "größe 容器"),
            (b"\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
            (b"two\nlines\t", "two\\nlines\\t"),
            (b"\xff\xfe", "\\xff\\xfe"),
            (b"c1 \xc2\x9b2J", "c1 \\u{9b}2J"),
            ("\u{202e}exe.txt".as_bytes(), "\\u{202e}exe.txt"),
            (b"\x7f", "\\x7f"),
            (b"serial\\x2dgetty.slice", "serial\\x2dgetty.slice"),
        ] {
            assert_eq!(printable(name), shown);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_is_harmless_whatever_came(name: Vec<u8>) {
            assert!(printable(&name).chars().all(harmless));
        }
    }
}
