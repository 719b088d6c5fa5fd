//! Tables, raw text and JSON laid out as util-linux's tools lay them out.

use std::fmt::Write as _;

use nstool::query::tree::{self, Branch};
use serde_json::Value as Json;

/// A column: its header, and whether its cells stand at the right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) name: &'static str,
    pub(super) right: bool,
    /// A column whose cells are as wide as its header is made at least this wide; one of narrower cells is not.
    pub(super) room: usize,
}

/// A cell: what it prints, and what it is in JSON.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) lines: Vec<Vec<u8>>,
    pub(super) json: Json,
}

impl Cell {
    pub(super) fn empty() -> Self {
        Self { lines: Vec::new(), json: Json::Null }
    }

    pub(super) fn number(number: u64) -> Self {
        Self { lines: vec![number.to_string().into_bytes()], json: number.into() }
    }

    pub(super) fn text(text: &[u8]) -> Self {
        Self { lines: vec![text.to_vec()], json: String::from_utf8_lossy(text).into() }
    }
}

/// Rows under headers, flat or as a tree in one of the columns.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) headers: Vec<Header>,
    pub(super) rows: Vec<Vec<Cell>>,
    /// Each row's parent, and the column the tree is drawn in.
    pub(super) tree: Option<(Vec<Option<usize>>, &'static str)>,
}

/// How a table is printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) headings: bool,
    /// Several lines of a cell joined by commas.
    pub(super) joined: bool,
    /// Whether the locale takes UTF-8.
    pub(super) utf8: bool,
    /// The width to cut the lines to.
    pub(super) width: Option<usize>,
}

impl Table {
    /// Returns the rows' places with the lines of the tree that lead to them, in printing order.
    fn branches(&self) -> Vec<Branch> {
        match &self.tree {
            Some((parents, _)) => tree::arrange(parents),
            None => (0..self.rows.len()).map(|row| Branch { row, depth: 0, lines: String::new() }).collect(),
        }
    }

    fn lines_of_tree(&self, branch: &Branch, column: usize, utf8: bool) -> String {
        match &self.tree {
            Some((_, name)) if *name == self.headers[column].name && utf8 => branch.lines.clone(),
            Some((_, name)) if *name == self.headers[column].name => {
                branch.lines.replace("├─", "|-").replace("└─", "`-").replace("│ ", "| ")
            }
            _ => String::new(),
        }
    }

    /// Returns the table for people; nothing at all for no rows.
    pub(super) fn text(&self, layout: Layout) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let mut rows: Vec<Vec<Vec<String>>> = Vec::new();
        for branch in self.branches() {
            let cell = |(column, cell): (usize, &Cell)| {
                let mut lines: Vec<String> = cell.lines.iter().map(|line| escaped(line, layout.utf8)).collect();
                if layout.joined && lines.len() > 1 {
                    lines = vec![lines.join(",")];
                }
                let tree = self.lines_of_tree(&branch, column, layout.utf8);
                match lines.first_mut() {
                    Some(first) => first.insert_str(0, &tree),
                    None => lines.push(tree),
                }
                lines
            };
            rows.push(self.rows[branch.row].iter().enumerate().map(cell).collect());
        }
        let width = |column: usize| {
            let cells = rows.iter().flat_map(|row| &row[column]).map(|line| columns_of(line));
            let (cells, header) = (cells.max().unwrap_or_default(), self.headers[column].name.len());
            if cells >= header { cells.max(self.headers[column].room) } else { header }
        };
        let mut widths: Vec<usize> = (0..self.headers.len()).map(width).collect();
        self.cut(&mut widths, layout.width);
        let mut out = String::new();
        if layout.headings {
            let names: Vec<String> = self.headers.iter().map(|header| header.name.to_owned()).collect();
            self.line(&names, &widths, &mut out);
        }
        for row in &rows {
            let height = row.iter().map(Vec::len).max().unwrap_or_default();
            for line in 0..height {
                let cells: Vec<String> = row.iter().map(|cell| cell.get(line).cloned().unwrap_or_default()).collect();
                self.line(&cells, &widths, &mut out);
            }
        }
        out
    }

    fn line(&self, cells: &[String], widths: &[usize], out: &mut String) {
        for (column, cell) in cells.iter().enumerate() {
            let cell = first_columns(cell, widths[column]);
            let blanks = " ".repeat(widths[column].saturating_sub(columns_of(cell)));
            let is_tree = matches!(&self.tree, Some((_, name)) if *name == self.headers[column].name);
            let is_last = column + 1 == cells.len();
            if self.headers[column].right && !is_tree {
                // An empty cell at the end of a line is not filled.
                let blanks = if is_last && cell.is_empty() { "" } else { blanks.as_str() };
                let _ = write!(out, "{blanks}{cell}");
            } else if is_last {
                out.push_str(cell);
            } else {
                let _ = write!(out, "{cell}{blanks}");
            }
            out.push(if is_last { '\n' } else { ' ' });
        }
    }

    /// Takes from the widest column of text what the terminal lacks.
    fn cut(&self, widths: &mut [usize], width: Option<usize>) {
        let Some(width) = width else { return };
        let all = widths.iter().sum::<usize>() + widths.len().saturating_sub(1);
        let text = |column: &usize| ["COMMAND", "NSFS", "PATH"].contains(&self.headers[*column].name);
        if let Some(column) = (0..widths.len()).filter(text).max_by_key(|column| widths[*column]) {
            let least = self.headers[column].name.len();
            widths[column] = widths[column].saturating_sub(all.saturating_sub(width)).max(least);
        }
    }

    /// Returns the rows for scripts: a blank between the cells, `\xHH` for whatever is no printable ASCII.
    pub(super) fn raw(&self, layout: Layout) -> String {
        let mut out = String::new();
        if self.rows.is_empty() {
            return out;
        }
        if layout.headings {
            let names: Vec<_> = self.headers.iter().map(|header| header.name).collect();
            let _ = writeln!(out, "{}", names.join(" "));
        }
        for branch in self.branches() {
            let cell = |(column, cell): (usize, &Cell)| {
                let tree = self.lines_of_tree(&branch, column, layout.utf8).into_bytes();
                raw([tree, cell.lines.join(&b","[..])].concat().as_slice())
            };
            let cells: Vec<_> = self.rows[branch.row].iter().enumerate().map(cell).collect();
            let _ = writeln!(out, "{}", cells.join(" "));
        }
        out
    }

    /// Returns `{"key": [rows]}`.
    pub(super) fn json(&self, key: &str) -> String {
        let mut out = format!("{{\n   \"{key}\": [");
        let branches = self.branches();
        let depth_at = |place: usize| branches.get(place).map_or(0, |branch| branch.depth);
        for (place, branch) in branches.iter().enumerate() {
            let (fields, at) = (indent(3 + 2 * branch.depth), indent(2 + 2 * branch.depth));
            let begins = place == 0 || depth_at(place - 1) < branch.depth;
            out.push_str(&if begins { format!("\n{at}{{") } else { ",{".to_owned() });
            for (column, cell) in self.rows[branch.row].iter().enumerate() {
                let name = self.headers[column].name.to_ascii_lowercase();
                let comma = if column > 0 { "," } else { "" };
                let _ = write!(out, "{comma}\n{fields}\"{name}\": {}", cell.json);
            }
            let next = depth_at(place + 1);
            if next > branch.depth {
                let _ = write!(out, ",\n{fields}\"children\": [");
                continue;
            }
            let _ = write!(out, "\n{at}}}");
            // Whose last child this was is complete too.
            for above in (next..branch.depth).rev() {
                let _ = write!(out, "\n{}]\n{}}}", indent(3 + 2 * above), indent(2 + 2 * above));
            }
        }
        // No rows: an empty line between the brackets.
        out.push_str(if branches.is_empty() { "\n\n   ]\n}\n" } else { "\n   ]\n}\n" });
        out
    }
}

fn indent(level: usize) -> String {
    "   ".repeat(level)
}

/// Makes a text printable: control characters and what is no text become `\xHH`, and so does a backslash that would look
/// like the begin of one.
fn escaped(text: &[u8], utf8: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let hex = |bytes: &[u8], out: &mut String| {
        bytes.iter().for_each(|byte| {
            let _ = write!(out, "\\x{byte:02x}");
        });
    };
    for chunk in text.utf8_chunks() {
        let mut letters = chunk.valid().chars().peekable();
        while let Some(letter) = letters.next() {
            let bytes = &mut [0; 4];
            let bytes = letter.encode_utf8(bytes);
            let begins_escape = letter == '\\' && letters.peek() == Some(&'x');
            if begins_escape || letter.is_control() || !utf8 && !letter.is_ascii() {
                hex(bytes.as_bytes(), &mut out);
            } else if nstool::printable(bytes.as_bytes()) == *bytes || letter == '\\' {
                out.push(letter);
            } else {
                hex(bytes.as_bytes(), &mut out);
            }
        }
        hex(chunk.invalid(), &mut out);
    }
    out
}

fn raw(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_graphic() && *byte != b'\\' {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

fn columns_of(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// Returns as much of a text as fits.
fn first_columns(text: &str, width: usize) -> &str {
    let mut filled = 0;
    for (at, letter) in text.char_indices() {
        filled += unicode_width::UnicodeWidthChar::width(letter).unwrap_or_default();
        if filled > width {
            return &text[..at];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(u64, &str)], parents: Option<Vec<Option<usize>>>) -> Table {
        Table {
            headers: vec![
                Header { name: "NS", right: true, room: 0 },
                Header { name: "COMMAND", right: false, room: 0 },
            ],
            rows: rows.iter().map(|(ns, command)| vec![Cell::number(*ns), Cell::text(command.as_bytes())]).collect(),
            tree: parents.map(|parents| (parents, "COMMAND")),
        }
    }

    const LAYOUT: Layout = Layout { headings: true, joined: false, utf8: true, width: None };

    #[test]
    fn a_tree_is_drawn_and_nested() {
        let table = table(&[(1, "a"), (22, "b c"), (3, "d")], Some(vec![None, Some(0), None]));
        assert_eq!(table.text(LAYOUT), "NS COMMAND\n 1 a\n22 └─b c\n 3 d\n");
        assert_eq!(table.text(Layout { utf8: false, ..LAYOUT }), "NS COMMAND\n 1 a\n22 `-b c\n 3 d\n");
        assert_eq!(table.raw(LAYOUT), "NS COMMAND\n1 a\n22 \\xe2\\x94\\x94\\xe2\\x94\\x80b\\x20c\n3 d\n");
        let json = table.json("namespaces");
        let parsed: Json = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed["namespaces"][0]["children"][0]["ns"], 22, "{json}");
        assert_eq!(parsed["namespaces"][1]["ns"], 3, "{json}");
    }

    #[test]
    fn nothing_is_printed_for_no_rows_but_json() {
        let table = table(&[], None);
        assert_eq!((table.text(LAYOUT), table.raw(LAYOUT)), (String::new(), String::new()));
        assert_eq!(table.json("namespaces"), "{\n   \"namespaces\": [\n\n   ]\n}\n");
    }
}
