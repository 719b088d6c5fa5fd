//! Filter expressions over columns, in the language of scols-filter(5) that lsns takes: `NPROCS > 1 && TYPE == "net"`.
//!
//! ```text
//! expr: expr || expr | expr && expr | ! expr | ( expr ) | operand [compare operand]     (also OR, AND, NOT)
//! compare: == != < <= > >= =~ !~                                                        (also EQ NE LT LE GT GE)
//! operand: 42 | 4K | 1.5 | "text" | 'text' | true | false | COLUMN
//! ```
//!
//! A comparison with a cell that is empty or unknown is false, so `PID < 10` does not select what has no process.

mod parser;
mod scanner;

use std::cmp::Ordering;
use std::fmt;

use regex_lite::Regex;

/// The value of a cell, as a filter compares it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Empty or unknown.
    Nothing,
    /// A number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// A text.
    Text(String),
    /// True or false.
    Flag(bool),
}

/// A parsed filter. Columns stand for the indices that the parser's `column` function gave.
#[derive(Clone, Debug)]
pub struct Filter {
    root: Expression,
    columns: Vec<usize>,
    /// Where a column is compared with a text that is no number.
    texts: Vec<AgainstText>,
}

/// A comparison of a column with a text that does not read as a number.
#[derive(Clone, Debug)]
struct AgainstText {
    column: usize,
    text: String,
    /// Its place in the filter, in bytes.
    at: usize,
}

/// A malformed filter: what was wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// What was wrong.
    pub message: String,
    /// The filter.
    pub text: String,
    /// The place in it, in characters from 0.
    pub at: usize,
}

impl fmt::Display for FilterError {
    /// Two lines below the message show the filter, and a caret at the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// How much is shown before and behind the place.
        const AROUND: usize = 40;
        let from = self.at.saturating_sub(AROUND);
        let mut behind = self.text.chars().skip(from);
        let shown: String = behind.by_ref().take(self.at - from + AROUND).collect();
        let before = if from > 0 { "…" } else { "" };
        let after = if behind.next().is_some() { "…" } else { "" };
        let shown = format!("{before}{}{after}", shown.replace(char::is_control, " "));
        let width = self.at - from + before.chars().count() + 1;
        write!(f, "{}\n  {shown}\n  {:>width$}", self.message, "^")
    }
}

/// Shortens a word of a filter for a message.
fn cut(word: &str) -> String {
    const LONGEST: usize = 40;
    match word.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &word[..end]),
        None => word.to_owned(),
    }
}

impl std::error::Error for FilterError {}

#[derive(Clone, Debug)]
enum Expression {
    Or(Box<Self>, Box<Self>),
    And(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Is(Operand),
    Compare(Operand, Comparison, Operand),
    Matches(Operand, Regex),
}

#[derive(Clone, Debug)]
enum Operand {
    Literal(Value),
    Column(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Filter {
    /// Parses a filter; `column` gives the index of a column's name, however it is capitalised.
    ///
    /// # Errors
    /// The text is no filter, names an unknown column, or holds a malformed regular expression.
    pub fn parse(text: &str, column: &dyn Fn(&str) -> Option<usize>) -> Result<Self, FilterError> {
        parser::parse(text, column)
    }

    /// Refuses to compare a column of numbers with what is no number: no row could differ in that. `text` is the filter
    /// as it was given to [`parse`](Self::parse).
    ///
    /// # Errors
    /// It does so; the error names the first place.
    pub fn check_types(&self, text: &str, is_number: &dyn Fn(usize) -> bool) -> Result<(), FilterError> {
        match self.texts.iter().find(|comparison| is_number(comparison.column)) {
            Some(found) => {
                Err(error(text, found.at, format!("{:?} is compared with a number, and is none", cut(&found.text))))
            }
            None => Ok(()),
        }
    }

    /// Returns the indices of the columns that the filter looks at.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Tells whether a row passes; `cell` gives the value of a column.
    pub fn accepts(&self, cell: &dyn Fn(usize) -> Value) -> bool {
        self.root.holds(cell)
    }
}

impl Expression {
    fn holds(&self, cell: &dyn Fn(usize) -> Value) -> bool {
        match self {
            Self::Or(left, right) => left.holds(cell) || right.holds(cell),
            Self::And(left, right) => left.holds(cell) && right.holds(cell),
            Self::Not(inner) => !inner.holds(cell),
            Self::Is(operand) => match operand.value(cell) {
                Value::Nothing => false,
                Value::Integer(number) => number != 0,
                Value::Float(number) => number != 0.0,
                Value::Text(text) => !text.is_empty(),
                Value::Flag(flag) => flag,
            },
            Self::Compare(left, comparison, right) => {
                let order = compare(&left.value(cell), &right.value(cell));
                order.is_some_and(|order| comparison.accepts(order))
            }
            Self::Matches(operand, regex) => text_of(&operand.value(cell)).is_some_and(|text| regex.is_match(&text)),
        }
    }
}

impl Operand {
    fn value(&self, cell: &dyn Fn(usize) -> Value) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Column(index) => cell(*index),
        }
    }
}

impl Comparison {
    fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// Compares as numbers where both sides are numbers or read as such, else as text; `None` where one is nothing.
fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    if let (Value::Integer(left), Value::Integer(right)) = (left, right) {
        return Some(left.cmp(right));
    }
    let either_is_number =
        [left, right].iter().any(|value| matches!(value, Value::Integer(_) | Value::Float(_) | Value::Flag(_)));
    match (number_of(left), number_of(right)) {
        (Some(left), Some(right)) if either_is_number => left.partial_cmp(&right),
        _ => Some(text_of(left)?.cmp(&text_of(right)?)),
    }
}

fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Nothing => None,
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::Text(text) => text.parse().ok(),
        Value::Flag(flag) => Some(f64::from(u8::from(*flag))),
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Nothing => None,
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Text(text) => Some(text.clone()),
        Value::Flag(flag) => Some(flag.to_string()),
    }
}

fn error(text: &str, at_byte: usize, message: impl Into<String>) -> FilterError {
    let at = text[..at_byte.min(text.len())].chars().count();
    FilterError { message: message.into(), text: text.to_owned(), at }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [&str; 4] = ["NPROCS", "TYPE", "PID", "COMMAND"];

    fn column(name: &str) -> Option<usize> {
        COLUMNS.iter().position(|column| column.eq_ignore_ascii_case(name))
    }

    fn accepts(filter: &str) -> bool {
        let row = [Value::Integer(3), Value::Text("net".into()), Value::Nothing, Value::Text("sleep 100".into())];
        Filter::parse(filter, &column).unwrap().accepts(&|index| row[index].clone())
    }

    #[test]
    fn each_operator_means_what_it_says() {
        for filter in [
            "NPROCS == 3",
            "NPROCS EQ 3",
            "NPROCS != 4",
            "NPROCS NE 4",
            "NPROCS < 4",
            "NPROCS LT 4",
            "NPROCS <= 3",
            "NPROCS LE 3",
            "NPROCS > 2",
            "NPROCS GT 2",
            "NPROCS >= 3",
            "NPROCS GE 3",
            "TYPE == \"net\"",
            "TYPE == 'net'",
            "type =~ \"^n.t$\"",
            "TYPE !~ \"mnt\"",
            "COMMAND =~ 'sleep [0-9]+'",
            "NPROCS",
            "true",
            "!FALSE",
            "NOT false",
            "NPROCS > 1 && TYPE == \"net\"",
            "NPROCS > 9 || TYPE == 'net'",
            "!(NPROCS > 9 AND TYPE == 'net')",
            "NPROCS < 1K",
            "NPROCS < 1KiB",
            "NPROCS > 2.5",
            "'3' == NPROCS",
            "1 == 1 || 1 == 2 && 1 == 3",
            "!PID",
            "NPROCS != 'x'",
        ] {
            assert!(accepts(filter), "{filter}");
            assert!(!accepts(&format!("!({filter})")), "{filter}");
        }
    }

    #[test]
    fn what_is_unknown_compares_with_nothing() {
        for filter in ["PID < 10", "PID >= 0", "PID == 0", "PID =~ '.*'", "PID"] {
            assert!(!accepts(filter), "{filter}");
        }
    }

    #[test]
    fn an_error_shows_its_place() {
        for (filter, at, message) in [
            ("NPROCS >", 8, "expected a column or a value"),
            ("NPROCS > 1 &&", 13, "expected a column or a value"),
            ("größe > 1", 2, "unexpected 'ö'"),
            ("SIZE > 1", 0, "unknown column \"SIZE\""),
            ("(NPROCS > 1", 11, "expected a closing parenthesis"),
            ("NPROCS 1", 7, "expected an operator such as &&"),
            ("TYPE == \"net", 8, "the text has no closing quote"),
            ("TYPE =~ 5", 8, "expected a regular expression in quotes"),
            ("NPROCS > 5X", 9, "malformed number"),
            ("", 0, "expected a column or a value"),
        ] {
            let error = Filter::parse(filter, &column).unwrap_err();
            assert_eq!((error.at, error.message.as_str()), (at, message), "{filter}");
        }
        let long = format!("{}NPROCS > ?{}", "!".repeat(150), " ".repeat(150));
        let shown = Filter::parse(&long, &column).unwrap_err().to_string();
        let expected = format!("unexpected '?'\n  …{}NPROCS > ?{}…\n  {:>42}", "!".repeat(31), " ".repeat(39), "^");
        assert_eq!(shown, expected);
        let shown = Filter::parse(&"!".repeat(100_000), &column).unwrap_err().to_string();
        assert!(shown.starts_with("nested too deeply\n") && shown.len() < 300, "{shown}");
        let shown = Filter::parse(&"A".repeat(100_000), &column).unwrap_err().to_string();
        assert!(shown.starts_with("unknown column \"AAA") && shown.len() < 300, "{shown}");
        let shown = Filter::parse("TYPE > ?", &column).unwrap_err().to_string();
        assert_eq!(shown, "unexpected '?'\n  TYPE > ?\n         ^");
    }

    #[test]
    fn a_number_is_not_compared_with_a_text_that_is_none() {
        let check = |text: &str| Filter::parse(text, &column).unwrap().check_types(text, &|index| index != 1);
        for filter in ["NPROCS > '3'", "TYPE > 'abc'", "NPROCS =~ '^1'", "'abc' == 'abd'", "PID == 7"] {
            assert_eq!(check(filter), Ok(()), "{filter}");
        }
        for (filter, at) in [("NPROCS > 'abc'", 9), ("TYPE == 'x' || \"x\" != PID", 15)] {
            assert_eq!(check(filter).unwrap_err().at, at, "{filter}");
        }
        assert_eq!(
            check("PID < 'abc'").unwrap_err().to_string(),
            "\"abc\" is compared with a number, and is none\n  PID < 'abc'\n        ^"
        );
    }

    #[test]
    fn a_filter_tells_its_columns() {
        assert_eq!(Filter::parse("PID > 1 || command == 'x'", &column).unwrap().columns(), [2, 3]);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = Filter::parse(&text, &column).map_err(|error| error.to_string());
        }

        #[test]
        fn nearly_right_text_never_panics(text in "[A-Z0-9 ()!&|=~<>\"'.-]{0,40}") {
            let _ = Filter::parse(&text, &column).map(|filter| filter.accepts(&|_| Value::Nothing));
        }
    }
}
