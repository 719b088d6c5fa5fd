//! `nstool ls`.

mod bad_input;
mod kernel;
mod oracle;
mod output;
mod privileges;

use serde_json::Value;

use crate::common;

/// Runs `nstool ls -J` with more arguments and returns the rows, flattened.
#[track_caller]
fn rows(arguments: &[&str]) -> Vec<Value> {
    let output = common::run(&[&["ls", "-J", "-l"], arguments].concat());
    flat(&json(&common::stdout_of(output)))
}

#[track_caller]
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Returns the rows of a document, children behind their parents.
fn flat(document: &Value) -> Vec<Value> {
    fn walk(rows: &Value, out: &mut Vec<Value>) {
        for row in rows.as_array().into_iter().flatten() {
            out.push(row.clone());
            walk(&row["children"], out);
        }
    }
    let mut out = Vec::new();
    walk(&document["namespaces"], &mut out);
    out
}

/// Returns the row of the namespace with this inode.
#[track_caller]
fn row(rows: &[Value], ino: u64) -> &Value {
    let row = rows.iter().find(|row| row["ns"].as_u64() == Some(ino));
    row.unwrap_or_else(|| panic!("namespace {ino} is not listed"))
}

/// Lists until the row of this namespace is as expected. A scan holds descriptors of what it lists, and a scan of
/// another test beside this one is, rightly, listed among the holders.
#[track_caller]
fn eventually_row(arguments: &[&str], ino: u64, expected: &[(&str, Value)]) {
    let mut last = Value::Null;
    let is = |row: &Value| expected.iter().all(|(key, value)| row[key] == *value);
    let found = common::try_eventually(|| {
        last = row(&rows(arguments), ino).clone();
        is(&last).then_some(())
    });
    assert!(found.is_some(), "{last} is not {expected:?}");
}
