//! A listing: rows under chosen columns, flat or as a tree; shown as a table, raw text or JSON.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use nstool::printable;
use nstool::query::tree::{self, Branch};
use owo_colors::{OwoColorize, Style};
use serde_json::{Map, Value as Json};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Terminal;
use super::columns::{Align, Cell, Column, Fit};
use super::fit::{self, Head, Rows};

/// Rows to show.
pub(crate) struct Listing<'a, R: 'static> {
    /// The columns to show, in order.
    pub(crate) columns: Vec<&'a Column<R>>,
    pub(crate) rows: Vec<R>,
    /// For a tree: each row's parent, and the name of the column that is drawn as one.
    pub(crate) tree: Option<Tree>,
}

/// How rows hang together.
pub(crate) struct Tree {
    pub(crate) parents: Vec<Option<usize>>,
    pub(crate) column: &'static str,
}

/// How a table is laid out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Layout {
    /// Without the header.
    pub(crate) no_headings: bool,
    /// Without cutting to the terminal's width.
    pub(crate) no_truncate: bool,
    /// Several texts of one cell on one line, joined by commas.
    pub(crate) no_wrap: bool,
}

/// Between two columns.
const GAP: usize = 2;

/// A column is not cut to less than this, as long as that is enough.
const LEAST: usize = 16;

/// A column is not cut to less than this.
const BARELY: usize = 8;

impl<R> Listing<'_, R> {
    fn branches(&self) -> Vec<Branch> {
        match &self.tree {
            Some(tree) => tree::arrange(&tree.parents),
            None => (0..self.rows.len()).map(|row| Branch { row, depth: 0, lines: String::new() }).collect(),
        }
    }

    /// Returns the rows' cells as texts to print, in printing order.
    fn texts(&self, separator: &str) -> Vec<Vec<String>> {
        let text = |branch: &Branch, column: &&Column<R>| {
            let cell = (column.cell)(&self.rows[branch.row]);
            let mut text = shown(&cell, separator);
            if column.fit == Fit::Whole && !matches!(cell, Cell::Command { .. }) {
                text = fit::whole(&text);
            }
            match &self.tree {
                Some(tree) if tree.column == column.name => format!("{}{text}", branch.lines),
                _ => text,
            }
        };
        self.branches().iter().map(|branch| self.columns.iter().map(|column| text(branch, column)).collect()).collect()
    }

    /// Returns the table; nothing at all for no rows.
    pub(crate) fn table(&self, layout: Layout, terminal: &Terminal) -> String {
        let mut texts = self.texts(if layout.no_wrap { "," } else { "\n" });
        if texts.is_empty() {
            return String::new();
        }
        if let Some(width) = terminal.width.filter(|_| !layout.no_truncate)
            && let Some(table) = self.fitted(&texts, !layout.no_headings, width, terminal)
        {
            return table;
        }
        texts.iter_mut().flatten().for_each(|text| *text = fit::plain(text));
        let headings = (!layout.no_headings).then(|| self.columns.iter().map(|column| column.name.to_owned()));
        texts.splice(0..0, headings.map(Iterator::collect::<Vec<_>>));
        // Only a table with columns that may be cut is one to skim; of others every word counts.
        let limit =
            terminal.width.filter(|_| !layout.no_truncate && self.columns.iter().any(|column| column.fit == Fit::Cut));
        if let Some(width) = limit {
            self.cut(&mut texts, width);
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        for row in texts {
            table.add_row(row);
        }
        for (place, column) in self.columns.iter().enumerate() {
            if let Some(laid_out) = table.column_mut(place) {
                laid_out.set_padding((0, GAP as u16));
                // A tree's lines start at the left.
                let is_tree = self.tree.as_ref().is_some_and(|tree| tree.column == column.name);
                laid_out.set_cell_alignment(match column.align {
                    Align::Right if !is_tree => CellAlignment::Right,
                    _ => CellAlignment::Left,
                });
            }
        }
        let widths = table.column_max_content_widths().into_iter().map(usize::from);
        let widths: Vec<(usize, usize)> = widths.enumerate().collect();
        let mut out = String::new();
        for (line_number, line) in table.lines().enumerate() {
            // What still does not fit ends at the edge: a line that wraps would tear the columns apart.
            let line = line.trim_end();
            let line = limit.map_or_else(|| line.to_owned(), |width| cut_to(line, width));
            let _ = if !terminal.color {
                writeln!(out, "{line}")
            } else if line_number == 0 && !layout.no_headings {
                writeln!(out, "{}", line.bold())
            } else {
                writeln!(out, "{}", self.coloured(&line, &widths))
            };
        }
        out
    }

    /// Returns the table for a terminal on which not all of its columns have room side by side, if some of them must not
    /// just be cut.
    fn fitted(&self, texts: &[Vec<String>], with_headings: bool, width: usize, terminal: &Terminal) -> Option<String> {
        let heads: Vec<Head> = self
            .columns
            .iter()
            .map(|column| Head { name: column.name, align: column.align, fit: column.fit })
            .collect();
        heads.iter().find(|head| matches!(head.fit, Fit::Wrap(_) | Fit::Whole))?;
        let tree = self.tree.as_ref().and_then(|tree| heads.iter().position(|head| head.name == tree.column));
        let mut cells = texts.to_vec();
        let mut guides: Vec<String> = self.branches().into_iter().map(|branch| branch.lines).collect();
        for (cells, guide) in cells.iter_mut().zip(&mut guides).filter(|_| tree.is_some()) {
            let short = fit::shortened(guide, width / 2);
            cells[tree.unwrap_or_default()].replace_range(..guide.len(), &short);
            *guide = short;
        }
        let tree = tree.map(|place| (place, &guides[..]));
        let laid = fit::lay_out(&Rows { heads: &heads, with_headings, cells: &cells, tree }, width);
        let mut out = String::new();
        for (number, (line, in_columns)) in laid.lines.iter().enumerate() {
            let _ = match terminal.color {
                true if number < laid.headings => writeln!(out, "{}", line.bold()),
                true if *in_columns => writeln!(out, "{}", self.coloured(line, &laid.beside)),
                _ => writeln!(out, "{line}"),
            };
        }
        Some(out)
    }

    /// Shortens columns that may be cut, always the widest of them, until the table fits into `width`. Where that would
    /// leave nothing worth reading of any, the first ones are left some room: the table will not fit anyway.
    fn cut(&self, texts: &mut [Vec<String>], width: usize) {
        let widest = |place: usize| texts.iter().map(|row| width_of(&row[place])).max().unwrap_or_default();
        let mut widths: Vec<usize> = (0..self.columns.len()).map(widest).collect();
        let before = widths.clone();
        let gaps = GAP * widths.len().saturating_sub(1);
        let shrink = |widths: &mut [usize], least: usize| {
            while widths.iter().sum::<usize>() + gaps > width {
                let may_be_cut = |place: &usize| self.columns[*place].fit == Fit::Cut && widths[*place] > least;
                match (0..widths.len()).filter(may_be_cut).max_by_key(|place| widths[*place]) {
                    Some(place) => widths[place] -= 1,
                    None => return false,
                }
            }
            true
        };
        if !shrink(&mut widths, LEAST) {
            let mut barely = widths.clone();
            if shrink(&mut barely, BARELY) {
                widths = barely;
            }
        }
        for row in texts {
            for (place, text) in row.iter_mut().enumerate().filter(|(place, _)| widths[*place] < before[*place]) {
                *text = cut_to(text, widths[place]);
            }
        }
    }

    /// Colours the cells of one laid-out line.
    fn coloured(&self, line: &str, widths: &[(usize, usize)]) -> String {
        let mut out = String::with_capacity(line.len() + 16);
        let mut rest = line;
        for (place, width) in widths {
            let column = self.columns[*place];
            let (cell, after) = split_at_width(rest, width + GAP);
            rest = after;
            let name = cell.trim();
            match column.style.map(|style| style(name)).filter(|style| *style != Style::new()) {
                Some(style) if !name.is_empty() => {
                    let start = cell.len() - cell.trim_start().len();
                    let (before, after) = (&cell[..start], &cell[start + name.len()..]);
                    let _ = write!(out, "{before}{}{after}", name.style(style));
                }
                _ => out.push_str(cell),
            }
        }
        out + rest
    }

    /// Returns the rows for scripts: one space between the cells, an empty cell as nothing. Within a cell every byte that
    /// is a blank, a control character, a backslash or no text stands as `\xHH`.
    pub(crate) fn raw(&self, layout: Layout) -> String {
        let mut out = String::new();
        if !layout.no_headings && !self.rows.is_empty() {
            let names: Vec<_> = self.columns.iter().map(|column| column.name).collect();
            let _ = writeln!(out, "{}", names.join(" "));
        }
        for row in &self.rows {
            let cells: Vec<_> = self.columns.iter().map(|column| raw_of(&(column.cell)(row))).collect();
            let _ = writeln!(out, "{}", cells.join(" "));
        }
        out
    }

    /// Returns the rows as JSON objects; in a tree the children stand in their parent's `children`.
    pub(crate) fn json(&self) -> Vec<Json> {
        // From the last to the first, so that a row's children are complete when it is closed.
        let mut open: Vec<(usize, Json)> = Vec::new();
        for branch in self.branches().iter().rev() {
            let mut object = Map::new();
            for column in &self.columns {
                object.insert(column.key(), json_of((column.cell)(&self.rows[branch.row])));
            }
            let mut children = Vec::new();
            while open.last().is_some_and(|(depth, _)| *depth > branch.depth) {
                children.extend(open.pop().map(|(_, child)| child));
            }
            if !children.is_empty() {
                object.insert("children".to_owned(), Json::Array(children));
            }
            open.push((branch.depth, Json::Object(object)));
        }
        open.into_iter().rev().map(|(_, row)| row).collect()
    }
}

/// Returns a small table whose columns are not known beforehand; the first line is the header. Where it is wider than the
/// terminal, the first column is repeated with as many of the others as fit, and so on.
pub(crate) fn grid(lines: &[Vec<String>], terminal: &Terminal) -> String {
    let count = lines.first().map_or(0, Vec::len);
    let widest = |place: usize| lines.iter().map(|line| line[place].width()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..count).map(widest).collect();
    let mut out = String::new();
    let mut start = 1;
    loop {
        let mut end = start;
        let mut filled = widths.first().copied().unwrap_or_default();
        let limit = terminal.width.unwrap_or(usize::MAX);
        while end < count && (end == start || filled + GAP + widths[end] <= limit) {
            filled += GAP + widths[end];
            end += 1;
        }
        for (number, line) in lines.iter().enumerate() {
            let cells = (0..count).filter(|place| *place == 0 || (start..end).contains(place));
            let padded = cells.map(|place| {
                let text = &line[place];
                format!("{text}{}", " ".repeat(widths[place] - text.width() + GAP))
            });
            let row = padded.collect::<String>();
            let row = row.trim_end();
            let _ =
                if number == 0 && terminal.color { writeln!(out, "{}", row.bold()) } else { writeln!(out, "{row}") };
        }
        if end >= count {
            return out;
        }
        out.push('\n');
        start = end;
    }
}

/// Returns a cell as text that is safe to print.
fn shown(cell: &Cell<'_>, separator: &str) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Hidden => "?".to_owned(),
        Cell::Number(number) => number.to_string(),
        Cell::Text(text) => printable(text).into_owned(),
        Cell::Command { before, command, after } => {
            let command = fit::whole(&printable(command.as_bytes()));
            [before, &*command, after].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
        }
        Cell::List(texts) => texts.iter().map(|text| printable(text)).collect::<Vec<_>>().join(separator),
        Cell::Flag(flag) => flag.to_string(),
    }
}

/// Returns a cell for scripts.
fn raw_of(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Text(text) => escaped(text),
        Cell::List(texts) => texts.iter().map(|text| escaped(text)).collect::<Vec<_>>().join(","),
        Cell::Command { .. } => escaped(cell.sentence().unwrap_or_default().as_bytes()),
        other => shown(other, ","),
    }
}

/// Writes as `\xHH` each byte that would end a cell, start an escape, or drive a terminal.
fn escaped(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            let bytes = &mut [0; 4];
            let text = c.encode_utf8(bytes);
            if matches!(c, ' ' | '\\') || printable(text.as_bytes()) != *text {
                text.bytes().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
            } else {
                out.push(c);
            }
        }
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out
}

fn json_of(cell: Cell<'_>) -> Json {
    let text = |text: &[u8]| Json::String(String::from_utf8_lossy(text).into_owned());
    match cell {
        Cell::Empty | Cell::Hidden => Json::Null,
        Cell::Number(number) => number.into(),
        Cell::Text(bytes) => text(&bytes),
        Cell::Command { .. } => cell.sentence().into(),
        Cell::List(texts) if texts.is_empty() => Json::Null,
        Cell::List(texts) => texts.iter().map(|bytes| text(bytes)).collect(),
        Cell::Flag(flag) => flag.into(),
    }
}

/// The width of the widest line of a cell.
fn width_of(text: &str) -> usize {
    text.lines().map(UnicodeWidthStr::width).max().unwrap_or_default()
}

/// Cuts each line to `width` columns; a cut line ends in an ellipsis.
pub(super) fn cut_to(text: &str, width: usize) -> String {
    let cut_line = |line: &str| {
        if line.width() <= width {
            line.to_owned()
        } else {
            format!("{}…", split_at_width(line, width.saturating_sub(1)).0)
        }
    };
    text.lines().map(cut_line).collect::<Vec<_>>().join("\n")
}

/// Splits where at most `width` columns are filled.
fn split_at_width(text: &str, width: usize) -> (&str, &str) {
    let mut filled = 0;
    for (at, c) in text.char_indices() {
        filled += c.width().unwrap_or_default();
        if filled > width {
            return text.split_at(at);
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (i64, &'static str);

    static COLUMNS: [Column<Row>; 2] = [
        Column::right("ID", "number", |row: &Row| Cell::Number(row.0)),
        Column::left("COMMAND", "text", |row: &Row| Cell::text(row.1)).cut(),
    ];

    fn listing(rows: Vec<Row>, parents: Option<Vec<Option<usize>>>) -> Listing<'static, Row> {
        let tree = parents.map(|parents| Tree { parents, column: "COMMAND" });
        Listing { columns: COLUMNS.iter().collect(), rows, tree }
    }

    fn plain(width: Option<usize>) -> Terminal {
        Terminal { color: false, color_talk: false, width }
    }

    #[test]
    fn a_table_is_aligned_and_has_no_trailing_spaces() {
        let table = listing(vec![(7, "init"), (1234, "sleep")], None).table(Layout::default(), &plain(None));
        assert_eq!(table, "  ID  COMMAND\n   7  init\n1234  sleep\n");
        assert_eq!(listing(vec![], None).table(Layout::default(), &plain(None)), "");
    }

    #[test]
    fn a_command_is_cut_to_the_terminal() {
        let listing = listing(vec![(7, "a command that is 容器 long")], None);
        let cut = |width| listing.table(Layout::default(), &plain(Some(width)));
        assert_eq!(cut(24), "ID  COMMAND\n 7  a command that is …\n");
        assert_eq!(cut(80), cut(31));
        assert_eq!(cut(12), "ID  COMMAND\n 7  a comma…\n");
        assert_eq!(cut(10), "ID  COMMA…\n 7  a com…\n", "what is too narrow for a column ends at the edge");
        let uncut = Layout { no_truncate: true, ..Layout::default() };
        assert!(listing.table(uncut, &plain(Some(24))).contains("容器 long"));
    }

    #[test]
    fn hostile_names_cannot_drive_the_terminal_nor_forge_a_row() {
        let listing = listing(vec![(7, "\x1b[2J\n8  forged")], None);
        assert_eq!(listing.table(Layout::default(), &plain(None)), "ID  COMMAND\n 7  \\x1b[2J\\n8  forged\n");
        assert_eq!(listing.raw(Layout::default()), "ID COMMAND\n7 \\x1b[2J\\x0a8\\x20\\x20forged\n");
    }

    #[test]
    fn a_tree_is_drawn_in_its_column_and_nested_in_json() {
        let listing = listing(vec![(1, "a"), (2, "b"), (3, "c")], Some(vec![None, Some(0), None]));
        assert_eq!(listing.table(Layout::default(), &plain(None)), "ID  COMMAND\n 1  a\n 2  └─b\n 3  c\n");
        let json = Json::Array(listing.json()).to_string();
        assert_eq!(json, r#"[{"id":1,"command":"a","children":[{"id":2,"command":"b"}]},{"id":3,"command":"c"}]"#);
    }

    #[test]
    fn colour_repeats_what_the_text_says() {
        let coloured = Terminal { color: true, color_talk: false, width: None };
        let table = listing(vec![(7, "init")], None).table(Layout::default(), &coloured);
        assert!(table.starts_with("\x1b[1mID  COMMAND\x1b[0m\n"), "{table:?}");
    }
}
