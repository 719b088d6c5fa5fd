//! A page about one thing: labelled lines in sections for people, one object for programs, from the same entries.

use std::fmt::Write as _;

use nstool::printable;
use owo_colors::OwoColorize;
use serde_json::{Map, Value as Json};
use unicode_width::UnicodeWidthStr;

use super::Terminal;
use super::fit;

/// A page under construction.
pub(crate) struct Page {
    title: String,
    sections: Vec<Section>,
    json: Map<String, Json>,
}

struct Section {
    title: &'static str,
    entries: Vec<(&'static str, Vec<String>)>,
}

impl Page {
    /// Starts a page; the title may hold foreign names.
    pub(crate) fn new(title: &[u8]) -> Self {
        Self { title: printable(title).into_owned(), sections: Vec::new(), json: Map::new() }
    }

    /// Starts a section.
    pub(crate) fn section(&mut self, title: &'static str) {
        self.sections.push(Section { title, entries: Vec::new() });
    }

    /// Adds an entry: a label with its lines, which may hold foreign names, and its key and value in JSON. Without lines
    /// it stands in JSON alone, without a key on the page alone.
    pub(crate) fn entry(&mut self, label: &'static str, lines: Vec<Vec<u8>>, key: &str, json: Json) {
        if !key.is_empty() {
            self.json.insert(key.to_owned(), json);
        }
        if let (Some(section), false) = (self.sections.last_mut(), lines.is_empty()) {
            let lines = lines.iter().map(|line| printable(line).into_owned()).collect();
            section.entries.push((label, lines));
        }
    }

    /// Adds an entry of one line that is a path or a command: it stays in one piece.
    pub(crate) fn path(&mut self, label: &'static str, line: &[u8], key: &str, json: impl Into<Json>) {
        self.entry("", Vec::new(), key, json.into());
        if let Some(section) = self.sections.last_mut() {
            section.entries.push((label, vec![fit::whole(&printable(line))]));
        }
    }

    /// Adds an entry of one line.
    pub(crate) fn line(&mut self, label: &'static str, line: impl Into<Vec<u8>>, key: &str, json: impl Into<Json>) {
        self.entry(label, vec![line.into()], key, json.into());
    }

    /// Returns the page for people.
    pub(crate) fn text(&self, terminal: &Terminal) -> String {
        let entries = self.sections.iter().flat_map(|section| &section.entries);
        let width = entries.map(|(label, _)| label.width()).max().unwrap_or_default();
        let bold = |text: &str| if terminal.color { text.bold().to_string() } else { text.to_owned() };
        let mut out = bold(&self.title);
        out.push('\n');
        let hang = fit::hang();
        for section in self.sections.iter().filter(|section| !section.entries.is_empty()) {
            let _ = write!(out, "\n{}\n", bold(section.title));
            for (label, lines) in &section.entries {
                for (number, line) in lines.iter().enumerate() {
                    let label = if number == 0 { label } else { "" };
                    let _ = writeln!(out, "  {label:width$}  {hang}{line}");
                }
            }
        }
        fit::folded(&out, terminal.width, 2)
    }

    /// Returns the page for programs.
    pub(crate) fn into_json(self) -> Json {
        Json::Object(self.json)
    }
}
