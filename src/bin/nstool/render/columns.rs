//! Columns as data: one row of a table says everything about a column, for every verb that lists something.

use std::borrow::Cow;

use nstool::query::filter::{Filter, Value};
use nstool::{Error, ErrorKind, Result};
use owo_colors::Style;

/// One column of a listing whose rows are `R`.
pub(crate) struct Column<R: 'static> {
    /// The header; in lower case the JSON key.
    pub(crate) name: &'static str,
    pub(crate) align: Align,
    /// The type in JSON, for `--list-columns`.
    pub(crate) json: &'static str,
    /// What it shows, for help.
    pub(crate) help: &'static str,
    /// What becomes of it where the terminal is too narrow.
    pub(crate) fit: Fit,
    /// How a cell is coloured, after its text; the text stands there all the same.
    pub(crate) style: Option<fn(&str) -> Style>,
    pub(crate) cell: fn(&R) -> Cell<'_>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// What becomes of a column where the terminal is too narrow for its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It stays as wide as it is.
    Keep,
    /// It is cut.
    Cut,
    /// It is wrapped at words, to no less than so many columns.
    Wrap(usize),
    /// It stays in one piece, to be copied, and moves below its row if it is long.
    Whole,
}

/// What a column says of a row. Texts are raw: whoever renders makes them printable.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    /// There is nothing to say.
    Empty,
    /// There is something, and we could not see it: `?`.
    Hidden,
    Number(i64),
    /// A text, as raw as it came.
    Text(Cow<'a, [u8]>),
    /// A command to copy, with what is said before and after it; each may be empty.
    Command {
        before: &'static str,
        command: Cow<'a, str>,
        after: &'static str,
    },
    /// Several texts, one below the other.
    List(Vec<Cow<'a, [u8]>>),
    Flag(bool),
}

impl<'a> Cell<'a> {
    pub(crate) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text.as_bytes()))
    }

    pub(crate) fn owned(text: String) -> Self {
        Self::Text(Cow::Owned(text.into_bytes()))
    }

    pub(crate) fn bytes(bytes: &'a [u8]) -> Self {
        Self::Text(Cow::Borrowed(bytes))
    }

    /// Returns a command with what is said of it.
    pub(crate) fn sentence(&self) -> Option<String> {
        let Self::Command { before, command, after } = self else { return None };
        let parts = [before, &**command, after];
        Some(parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "))
    }

    /// Returns the value a filter compares.
    fn value(&self) -> Value {
        match self {
            Self::Empty | Self::Hidden => Value::Nothing,
            Self::Number(number) => Value::Integer(*number),
            Self::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
            Self::Command { .. } => Value::Text(self.sentence().unwrap_or_default()),
            Self::List(texts) => {
                let texts: Vec<_> = texts.iter().map(|text| String::from_utf8_lossy(text)).collect();
                if texts.is_empty() { Value::Nothing } else { Value::Text(texts.join("\n")) }
            }
            Self::Flag(flag) => Value::Flag(*flag),
        }
    }
}

impl<R> Column<R> {
    /// A column aligned to the left, of text.
    pub(crate) const fn left(name: &'static str, help: &'static str, cell: fn(&R) -> Cell<'_>) -> Self {
        Self { name, align: Align::Left, json: "string", help, fit: Fit::Keep, style: None, cell }
    }

    /// A column aligned to the right, of numbers.
    pub(crate) const fn right(name: &'static str, help: &'static str, cell: fn(&R) -> Cell<'_>) -> Self {
        Self { name, align: Align::Right, json: "integer", help, fit: Fit::Keep, style: None, cell }
    }

    /// The same, but it may be cut to the terminal's width.
    pub(crate) const fn cut(mut self) -> Self {
        self.fit = Fit::Cut;
        self
    }

    /// The same, but it may be wrapped at words to this width.
    pub(crate) const fn wrap(mut self, least: usize) -> Self {
        self.fit = Fit::Wrap(least);
        self
    }

    /// The same, but it must stay in one piece.
    pub(crate) const fn whole(mut self) -> Self {
        self.fit = Fit::Whole;
        self
    }

    /// The same with another type in JSON.
    pub(crate) const fn json(mut self, json: &'static str) -> Self {
        self.json = json;
        self
    }

    /// The same with coloured cells.
    pub(crate) const fn style(mut self, style: fn(&str) -> Style) -> Self {
        self.style = Some(style);
        self
    }

    /// Returns the JSON key.
    pub(crate) fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }
}

/// Returns the place of a column by its name, however it is capitalised.
pub(crate) fn find<R>(all: &[Column<R>], name: &str) -> Option<usize> {
    all.iter().position(|column| column.name.eq_ignore_ascii_case(name))
}

/// Chooses columns as `-o` says: a list of names, or with a leading `+` names that join the default ones.
pub(crate) fn choose<R>(all: &[Column<R>], list: Option<&str>, default: &[&str]) -> Result<Vec<usize>> {
    let list = list.unwrap_or("+");
    let (mut chosen, names): (Vec<usize>, _) = match list.strip_prefix('+') {
        Some(more) => (default.iter().filter_map(|name| find(all, name)).collect(), more),
        None => (Vec::new(), list),
    };
    for name in names.split(',').filter(|name| !name.is_empty()) {
        let place = find(all, name).ok_or_else(|| unknown_column(all, name))?;
        // A name that is there already is not repeated.
        if !chosen.contains(&place) {
            chosen.push(place);
        }
    }
    if chosen.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "no column chosen").with_hint(known_columns(all)));
    }
    Ok(chosen)
}

/// Parses a `-Q` filter over these columns.
pub(crate) fn filter<R>(all: &[Column<R>], text: &str) -> Result<Filter> {
    let parsed = Filter::parse(text, &|name| find(all, name)).and_then(|filter| {
        filter.check_types(text, &|index| all[index].json == "integer")?;
        Ok(filter)
    });
    parsed.map_err(|error| {
        Error::new(ErrorKind::Invalid, "malformed filter")
            .because(error)
            .with_hint(format!("write it like 'NPROCS > 1 && TYPE == \"net\"'; {}", known_columns(all)))
    })
}

/// Tells whether the filter lets a row through.
pub(crate) fn passes<R>(all: &[Column<R>], filter: Option<&Filter>, row: &R) -> bool {
    filter.is_none_or(|filter| filter.accepts(&|index| (all[index].cell)(row).value()))
}

fn unknown_column<R>(all: &[Column<R>], name: &str) -> Error {
    // What was typed may be anything, and any size.
    let shown: String = name.chars().take(40).collect();
    Error::new(ErrorKind::Invalid, format!("unknown column {shown:?}")).with_hint(known_columns(all))
}

fn known_columns<R>(all: &[Column<R>]) -> String {
    let names: Vec<_> = all.iter().map(|column| column.name).collect();
    format!("the columns are {}", names.join(", "))
}
