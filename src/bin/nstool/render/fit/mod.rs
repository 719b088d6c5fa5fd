//! Fitting into a terminal: lines are broken between words, and what one must be able to copy is never broken.
//!
//! A command or a path stays in one piece. Where the rest of its line has no room it begins the next one; where a whole
//! line has none it is printed all the same, for what the terminal itself breaks is copied as one.

mod table;

use unicode_width::UnicodeWidthChar;

pub(super) use self::table::{Head, Rows, lay_out, shortened};

/// Stands for a blank at which no line is broken. printable() lets no control character through, so no name can hold one.
const BOUND: char = '\x1f';

/// Stands where what follows a break is to begin, below what begins here.
const HANG: char = '\x1e';

/// What follows a break begins at the mark only where so much room is left.
const ROOM: usize = 24;

/// Marks a command or a path, already printable, as one piece.
pub(crate) fn whole(text: &str) -> String {
    text.replace(' ', "\x1f")
}

/// Marks where what follows a break is to begin.
pub(crate) fn hang() -> char {
    HANG
}

/// Takes the marks out.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|c| *c != HANG).map(|c| if c == BOUND { ' ' } else { c }).collect()
}

/// Breaks lines that are longer than a terminal is wide. What follows is indented as the line itself and by `indent` more
/// columns, or begins at the mark of [`hang`]. Without a width it only takes the marks out.
pub(crate) fn folded(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width else { return plain(text) };
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let own = line.len() - line.trim_start_matches(' ').len();
        let marked = line.split_once(HANG).map(|(before, _)| width_of(before));
        let begin = marked.filter(|begin| begin + ROOM <= width).unwrap_or((own + indent).min(width / 4));
        fold(&mut out, line, width, &" ".repeat(begin));
    }
    out
}

/// Appends a line of a tree, `lines` of which lead to it, broken likewise.
pub(crate) fn below(out: &mut String, lines: &str, line: &str, width: Option<usize>) {
    let lines = table::shortened(lines, width.map_or(usize::MAX, |width| width / 2));
    let next = format!("{}  ", table::continued(&lines));
    fold(out, &format!("{lines}{line}"), width.unwrap_or(usize::MAX), &next);
}

/// Appends `line`, broken to `width`; each further line begins with `next`.
pub(super) fn fold(out: &mut String, line: &str, width: usize, next: &str) {
    let mut filled = 0;
    let mut at_start = true;
    // After a piece that got a line of its own, nothing else joins it there.
    let mut full = false;
    for (blanks, word) in words(line) {
        let long = width_of(word);
        if !at_start && (full || filled + blanks + long > width) {
            out.push('\n');
            let begin = next.trim_end_matches(' ');
            let pad = room_before(long, width_of(next) - width_of(begin), width.saturating_sub(width_of(begin)));
            out.push_str(begin);
            out.extend(std::iter::repeat_n(' ', pad));
            filled = width_of(begin) + pad;
            full = word.contains(BOUND);
        } else {
            let blanks = if at_start { room_before(long, blanks, width) } else { blanks };
            out.extend(std::iter::repeat_n(' ', blanks));
            filled += blanks;
        }
        out.push_str(&plain(word));
        filled += long;
        at_start = false;
    }
    out.push('\n');
}

/// A piece that fits into a line is not pushed over its edge by what only indents it.
fn room_before(long: usize, indent: usize, width: usize) -> usize {
    width.checked_sub(long).map_or(indent, |room| room.min(indent))
}

/// Splits a line into words with the blanks before each. What stands between backticks is one word.
fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let word = rest.trim_start_matches(' ');
        let blanks = rest.len() - word.len();
        let mut end = word.len();
        let mut quoted = false;
        for (at, c) in word.char_indices() {
            match c {
                '`' => quoted = !quoted && word[at + 1..].contains('`'),
                ' ' if !quoted => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        let (word, after) = word.split_at(end);
        rest = after;
        (!word.is_empty()).then_some((blanks, word))
    })
}

/// Counts the columns that a text fills, without the marks and our own colours.
pub(super) fn width_of(text: &str) -> usize {
    let mut width = 0;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            // printable() lets no escape through: this one sets a colour.
            '\x1b' => drop(chars.find(|c| *c == 'm')),
            BOUND => width += 1,
            _ => width += c.width().unwrap_or_default(),
        }
    }
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words_and_lose_nothing() {
        let text = "  1  join one two three\nshort\n";
        assert_eq!(folded(text, None, 2), text);
        assert_eq!(folded(text, Some(16), 2), "  1  join one\n    two three\nshort\n");
        assert_eq!(folded("ä ö ü ä\n", Some(5), 1), "ä ö ü\n ä\n");
        assert_eq!(folded("容器 容器 容器\n", Some(9), 1), "容器 容器\n  容器\n".replace("  ", " "));
        assert_eq!(folded("\n\n", Some(9), 1), "\n\n");
    }

    #[test]
    fn what_is_to_be_copied_is_never_broken() {
        let text = format!("cure: {}  (for each)\n", whole("umount '/a b'"));
        assert_eq!(folded(&text, None, 2), "cure: umount '/a b'  (for each)\n");
        assert_eq!(folded(&text, Some(16), 2), "cure:\n  umount '/a b'\n  (for each)\n");
        assert_eq!(folded(&text, Some(14), 2), "cure:\n umount '/a b'\n  (for each)\n");
        assert_eq!(folded(&text, Some(5), 2), "cure:\n umount '/a b'\n (for\neach)\n");
        assert_eq!(folded("run `nstool ls -l` as root", Some(16), 2), "run\n  `nstool ls -l`\n  as root\n");
        assert_eq!(folded("it's ` one two three", Some(12), 2), "it's ` one\n  two three\n");
    }

    #[test]
    fn what_follows_begins_below_the_mark_where_there_is_room() {
        let text = format!("  1  join  {HANG}one two three four five six seven\n");
        assert_eq!(folded(&text, Some(35), 2), "  1  join  one two three four five\n           six seven\n");
        assert_eq!(folded(&text, Some(30), 2), "  1  join  one two three four\n    five six seven\n");
    }

    #[test]
    fn colours_take_no_room() {
        assert_eq!(folded("\x1b[1mone two\x1b[0m", Some(7), 2), "\x1b[1mone two\x1b[0m\n");
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal_but_for_what_is_one_piece(text in "[a 容]{0,60}", width in 1_usize..40) {
            for line in folded(&text, Some(width), 4).lines() {
                assert!(width_of(line) <= width || !line.trim_start().contains(' '), "{line:?}");
            }
        }

        #[test]
        fn no_text_and_no_width_is_too_strange(text: String, width in 0_usize..300) {
            folded(&text, Some(width), 7);
        }
    }
}
