//! A table whose cells must not all be cut: some are wrapped at words, others stand on lines of their own.

use super::{fold, plain, whole, width_of, words};
use crate::render::columns::{Align, Fit};
use crate::render::listing::cut_to;

/// Between two columns.
const GAP: usize = 2;

/// By how much a cell below its row is indented.
const INDENT: usize = 4;

/// A column is not cut to less than this.
const LEAST: usize = 16;

/// What is known of a column.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub(crate) name: &'static str,
    pub(crate) align: Align,
    pub(crate) fit: Fit,
}

/// The cells, in printing order.
pub(crate) struct Rows<'a> {
    pub(crate) heads: &'a [Head],
    pub(crate) with_headings: bool,
    pub(crate) cells: &'a [Vec<String>],
    /// The column that is drawn as a tree, and the lines before each of its cells.
    pub(crate) tree: Option<(usize, &'a [String])>,
}

/// What was laid out.
pub(crate) struct Laid {
    /// The places and widths of the columns that stand side by side.
    pub(crate) beside: Vec<(usize, usize)>,
    /// The lines, and whether each is one of those columns'.
    pub(crate) lines: Vec<(String, bool)>,
    /// How many of them are the header's.
    pub(crate) headings: usize,
}

/// Which columns stand side by side, how wide.
struct Plan {
    beside: Vec<(usize, usize)>,
    /// Cells that must stay whole and are wider stand below their row.
    longest_whole: usize,
}

/// Lays rows out in `width` columns. Where not all fit side by side, first the longest of what must stay whole, then the
/// last columns move below their rows.
pub(crate) fn lay_out(rows: &Rows<'_>, width: usize) -> Laid {
    let plan = plan(rows, width);
    let mut laid = Laid { beside: plan.beside.clone(), lines: Vec::new(), headings: 0 };
    if rows.with_headings {
        let names: Vec<String> = rows.heads.iter().map(|head| head.name.to_owned()).collect();
        rows.row(&mut laid.lines, &plan, &names, None, width);
        laid.headings = laid.lines.len();
    }
    for (index, cells) in rows.cells.iter().enumerate() {
        rows.row(&mut laid.lines, &plan, cells, Some(index), width);
    }
    laid
}

fn plan(rows: &Rows<'_>, width: usize) -> Plan {
    let all = rows.heads.len();
    let tries = [(all, usize::MAX)].into_iter().chain((1..=all).rev().map(|count| (count, width / 3)));
    let mut last = Plan { beside: Vec::new(), longest_whole: 0 };
    for (count, longest_whole) in tries {
        last = Plan { beside: (0..count).map(|place| (place, 0)).collect(), longest_whole };
        let widths: Vec<_> = (0..count).map(|place| (place, rows.widest(place, &last))).collect();
        last.beside = widths;
        if shrink(rows.heads, &mut last.beside, width) {
            break;
        }
    }
    last
}

/// Narrows what may be, always the widest, until all fit; tells whether they do.
fn shrink(heads: &[Head], beside: &mut [(usize, usize)], width: usize) -> bool {
    let gaps = GAP * beside.len().saturating_sub(1);
    while beside.iter().map(|(_, width)| width).sum::<usize>() + gaps > width {
        let may_be = |(place, width): &&mut (usize, usize)| match heads[*place].fit {
            Fit::Cut => *width > LEAST,
            Fit::Wrap(least) => *width > least,
            Fit::Keep | Fit::Whole => false,
        };
        match beside.iter_mut().filter(may_be).max_by_key(|(_, width)| *width) {
            Some((_, width)) => *width -= 1,
            None => return false,
        }
    }
    true
}

impl Rows<'_> {
    /// The width of a column as it is.
    fn widest(&self, place: usize, plan: &Plan) -> usize {
        let of_row = |cells: &Vec<String>| {
            // What stands alone in its line has all the room there is.
            let aside = self.is_below(cells, place, plan) || place == 0 && self.is_alone(cells, plan);
            (!aside).then(|| cells[place].lines().map(width_of).max().unwrap_or_default())
        };
        let name = if self.with_headings { self.heads[place].name.len() } else { 0 };
        self.cells.iter().filter_map(of_row).max().unwrap_or_default().max(name)
    }

    /// Tells whether a cell stands below its row.
    fn is_below(&self, cells: &[String], place: usize, plan: &Plan) -> bool {
        let Some((_, room)) = plan.beside.get(place) else { return true };
        match self.heads[place].fit {
            Fit::Whole => cells[place].lines().any(|line| width_of(line) > plan.longest_whole),
            // A path in a text; without a room yet it is not known.
            Fit::Wrap(_) if place > 0 && *room > 0 => words(&cells[place]).any(|(_, word)| width_of(word) > *room),
            _ => false,
        }
    }

    /// Tells whether nothing stands beside the first cell of a row.
    fn is_alone(&self, cells: &[String], plan: &Plan) -> bool {
        (1..cells.len()).all(|place| cells[place].is_empty() || self.is_below(cells, place, plan))
    }

    /// Appends the lines of one row; `index` is its number, or `None` for the header.
    fn row(&self, out: &mut Vec<(String, bool)>, plan: &Plan, cells: &[String], index: Option<usize>, width: usize) {
        let guide = |place: usize| match (self.tree, index) {
            (Some((tree, guides)), Some(index)) if tree == place => continued(&guides[index]),
            _ => String::new(),
        };
        let mut columns = Vec::new();
        let is_below = |place: usize| self.is_below(cells, place, plan);
        let alone = self.is_alone(cells, plan) && self.heads[0].fit != Fit::Cut;
        for (place, room) in plan.beside.iter().copied() {
            let text = &cells[place];
            let all = if place == 0 && alone { width } else { room };
            let lines: Vec<String> = if is_below(place) {
                Vec::new()
            } else if self.heads[place].fit == Fit::Cut {
                cut_to(&plain(text), room).lines().map(str::to_owned).collect()
            } else {
                let is_tree = self.tree.is_some_and(|(tree, _)| tree == place);
                let next = if is_tree { format!("{}  ", guide(place)) } else { String::new() };
                folded(text, all, &next).lines().map(str::to_owned).collect()
            };
            columns.push((place, room, lines));
        }
        let height = columns.iter().map(|(_, _, lines)| lines.len()).max().unwrap_or_default();
        for number in 0..height {
            let mut line = String::new();
            for (place, room, lines) in &columns {
                let text = lines.get(number).map_or("", String::as_str);
                let pad = " ".repeat(room.saturating_sub(width_of(text)));
                let is_tree = self.tree.is_some_and(|(tree, _)| tree == *place);
                match self.heads[*place].align {
                    Align::Right if !is_tree => line.extend([&pad, text]),
                    _ => line.extend([text, &pad]),
                }
                line.extend([" "; GAP]);
            }
            out.push((line.trim_end().to_owned(), true));
        }
        let depth = self.tree.map_or(0, |(tree, _)| width_of(&guide(tree)));
        let indent = " ".repeat((INDENT + depth).min(width / 4));
        let below: Vec<usize> =
            (0..cells.len()).filter(|place| is_below(*place) && !cells[*place].is_empty()).collect();
        // What does not explain itself bears its column's name, which the header then need not repeat.
        let named = below.iter().filter(|place| matches!(self.heads[**place].fit, Fit::Keep | Fit::Cut));
        let named = named.map(|place| {
            let text = format!("{} {}", self.heads[*place].name, plain(&cells[*place]));
            whole(&cut_to(&text, width.saturating_sub(width_of(&indent))))
        });
        let named = named.collect::<Vec<_>>().join("  ");
        let explained = below.iter().filter(|place| matches!(self.heads[**place].fit, Fit::Wrap(_) | Fit::Whole));
        let named = (index.is_some() && !named.is_empty()).then_some(&named);
        for text in named.into_iter().chain(explained.map(|place| &cells[*place])) {
            let text = folded(&format!("{indent}{text}"), width, &indent);
            out.extend(text.lines().map(|line| (line.to_owned(), false)));
        }
    }
}

/// Breaks each line of a cell.
fn folded(text: &str, width: usize, next: &str) -> String {
    let mut out = String::new();
    text.lines().for_each(|line| fold(&mut out, line, width, next));
    out
}

/// Returns the last of a tree's lines that lead deeper than `most` columns.
pub(crate) fn shortened(lines: &str, most: usize) -> String {
    match lines.chars().count().checked_sub(most) {
        Some(excess) if excess > 0 => format!("…{}", lines.chars().skip(excess + 1).collect::<String>()),
        _ => lines.to_owned(),
    }
}

/// Returns a tree's lines as they go on below a row.
pub(super) fn continued(lines: &str) -> String {
    lines.replace("├─", "│ ").replace("└─", "  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: [Head; 4] = [
        Head { name: "KEPT-BY", align: Align::Left, fit: Fit::Wrap(12) },
        Head { name: "NUMBER", align: Align::Right, fit: Fit::Keep },
        Head { name: "COMMAND", align: Align::Left, fit: Fit::Cut },
        Head { name: "RELEASE", align: Align::Left, fit: Fit::Whole },
    ];

    fn laid_out(rows: &[[&str; 4]], guides: Option<&[&str]>, width: usize) -> Vec<String> {
        let cells: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| cell.to_string()).collect()).collect();
        let guides: Option<Vec<String>> = guides.map(|guides| guides.iter().map(|guide| guide.to_string()).collect());
        let tree = guides.as_ref().map(|guides| (0, &guides[..]));
        let laid = lay_out(&Rows { heads: &HEADS, with_headings: true, cells: &cells, tree }, width);
        laid.lines.into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn what_fits_stands_in_columns() {
        let row = ["process 7", "12", "sleep", "kill 7"];
        assert_eq!(
            laid_out(&[row], None, 40),
            ["KEPT-BY    NUMBER  COMMAND  RELEASE", "process 7      12  sleep    kill 7"]
        );
    }

    #[test]
    fn first_commands_are_cut_and_what_is_long_and_whole_moves_below() {
        let rows = [
            ["process 7", "12", "sleep and some more words that nobody needs", "kill\x1f7"],
            ["bind mount /a", "", "", "umount\x1f/a/path/that/is/long"],
        ];
        assert_eq!(
            laid_out(&rows, None, 50),
            [
                "KEPT-BY    NUMBER  COMMAND                 RELEASE",
                "process 7      12  sleep and some more w…  kill 7",
                "bind mount /a",
                "    umount /a/path/that/is/long",
            ]
        );
    }

    #[test]
    fn the_last_columns_without_room_stand_below_and_what_does_not_explain_itself_has_its_name() {
        let rows = [["process 7 or another", "12", "sleep and more words", "kill\x1f7"]];
        assert_eq!(
            laid_out(&rows, None, 20),
            [
                "KEPT-BY       NUMBER",
                "    RELEASE",
                "process 7 or      12",
                "another",
                "    COMMAND sleep a…",
                "    kill 7",
            ]
        );
    }

    #[test]
    fn a_tree_goes_on_beside_what_is_wrapped() {
        let rows = [["process 7", "", "", ""], ["├─one two three", "1", "x", "y"], ["└─one two three", "2", "x", "y"]];
        assert_eq!(
            laid_out(&rows, Some(&["", "├─", "└─"]), 38),
            [
                "KEPT-BY       NUMBER  COMMAND  RELEASE",
                "process 7",
                "├─one two          1  x        y",
                "│   three",
                "└─one two          2  x        y",
                "    three",
            ]
        );
        assert_eq!(shortened("│ │ │ ├─", 4), "… ├─");
        assert_eq!(shortened("├─", 4), "├─");
    }

    #[test]
    fn a_long_path_in_a_text_beside_others_moves_below_with_it() {
        let heads = [HEADS[1], Head { name: "MEANING", align: Align::Left, fit: Fit::Wrap(12) }];
        let cells = [["1", "mounts pass on /a"], ["2", "mounts pass on /a/long/path/that/is/long"]];
        let cells: Vec<Vec<String>> = cells.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
        let laid = lay_out(&Rows { heads: &heads, with_headings: true, cells: &cells, tree: None }, 30);
        let lines: Vec<_> = laid.lines.iter().map(|(line, _)| line.as_str()).collect();
        assert_eq!(
            lines,
            [
                "NUMBER  MEANING",
                "     1  mounts pass on /a",
                "     2",
                "    mounts pass on",
                "    /a/long/path/that/is/long",
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal_where_each_piece_has_room(
            rows in proptest::collection::vec(
                ["[ab]{1,8}( [a容]{1,4}){0,6}", "[0-9]{0,9}", "[a 容]{0,30}", "[a\x1f]{0,30}"], 0..5,
            ),
            width in 40_usize..90,
        ) {
            let rows: Vec<[&str; 4]> = rows.iter().map(|row| row.each_ref().map(String::as_str)).collect();
            for line in laid_out(&rows, None, width) {
                assert!(width_of(&line) <= width, "{line:?}");
            }
        }

        #[test]
        fn nothing_is_too_strange(
            rows in proptest::collection::vec(["[a 容\x1f]{0,30}", "[0-9]{0,9}", "[a 容]{0,30}", "[a\x1f]{0,40}"], 0..5),
            width in 0_usize..90,
        ) {
            let rows: Vec<[&str; 4]> = rows.iter().map(|row| row.each_ref().map(String::as_str)).collect();
            laid_out(&rows, None, width);
        }
    }
}
