//! The options of every verb that lists rows under columns: which columns, and in what form.

use nstool::Result;
use serde_json::{Value as Json, json};

use super::columns::{Cell, Column, choose};
use super::listing::{Layout, Listing};
use super::{Terminal, print, print_json};

/// Which columns to put out, and in what form.
#[derive(Debug, clap::Args)]
pub(crate) struct Output {
    /// Which columns; with a leading + these join the default ones (-H lists them)
    #[arg(short = 'o', long, value_name = "LIST", conflicts_with = "output_all")]
    output: Option<String>,

    /// Every column
    #[arg(long)]
    output_all: bool,

    /// List the columns
    #[arg(short = 'H', long)]
    pub(crate) list_columns: bool,

    /// As JSON
    #[arg(short = 'J', long, conflicts_with = "raw")]
    pub(crate) json: bool,

    /// As raw text for scripts: one space between cells, blanks within as \x20
    #[arg(short = 'r', long)]
    pub(crate) raw: bool,

    /// Without the header line
    #[arg(short = 'n', long, alias = "no-headings")]
    noheadings: bool,

    /// Without cutting to the terminal's width
    #[arg(short = 'u', long, alias = "no-truncate")]
    notruncate: bool,
}

impl Output {
    /// Returns the places of the columns to show.
    pub(crate) fn choose<R>(&self, all: &[Column<R>], default: &[&str]) -> Result<Vec<usize>> {
        if self.output_all {
            return Ok((0..all.len()).collect());
        }
        choose(all, self.output.as_deref(), default)
    }

    /// Tells whether the columns are left to us.
    pub(crate) fn by_default(&self) -> bool {
        self.output.is_none() && !self.output_all
    }

    /// Prints rows; in JSON as `key` of a document, beside what was hidden.
    pub(crate) fn print<R>(
        &self,
        listing: &Listing<'_, R>,
        (key, hidden): (&str, Option<Json>),
        no_wrap: bool,
        terminal: &Terminal,
    ) -> Result<()> {
        let layout = Layout { no_headings: self.noheadings, no_truncate: self.notruncate, no_wrap };
        if self.json {
            let mut document = json!({ key: listing.json() });
            if let Some(hidden) = hidden {
                document["hidden"] = hidden;
            }
            return print_json(&document);
        }
        print(&if self.raw { listing.raw(layout) } else { listing.table(layout, terminal) })
    }

    /// Prints what columns there are.
    pub(crate) fn print_columns<R: 'static>(&self, all: &'static [Column<R>], terminal: &Terminal) -> Result<()> {
        let of_columns = [
            Column::left("NAME", "name of the column", |column: &&'static Column<R>| Cell::text(column.name)),
            Column::left("TYPE", "its type in JSON", |column: &&'static Column<R>| Cell::text(column.json)),
            Column::left("DESCRIPTION", "what it shows", |column: &&'static Column<R>| Cell::text(column.help))
                .wrap(24),
        ];
        let listing = Listing { columns: of_columns.iter().collect(), rows: all.iter().collect(), tree: None };
        self.print(&listing, ("columns", None), false, terminal)
    }
}
