//! Cuts a filter into tokens.

use super::{Comparison, FilterError, Value, error};

/// The smallest part of a filter.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Or,
    And,
    Not,
    Open,
    Close,
    Compare(Comparison),
    Matches,
    MatchesNot,
    Literal(Value),
    Name(String),
}

/// Returns every token of a text with its place in bytes.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, FilterError> {
    Scanner { text, at: 0 }.all()
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// The operators made of signs; a longer one stands before its prefix.
const SIGNS: [(&str, Token); 14] = [
    ("||", Token::Or),
    ("&&", Token::And),
    ("==", Token::Compare(Comparison::Equal)),
    ("!=", Token::Compare(Comparison::NotEqual)),
    ("<=", Token::Compare(Comparison::LessOrEqual)),
    (">=", Token::Compare(Comparison::GreaterOrEqual)),
    ("=~", Token::Matches),
    ("!~", Token::MatchesNot),
    ("<", Token::Compare(Comparison::Less)),
    (">", Token::Compare(Comparison::Greater)),
    ("!", Token::Not),
    ("(", Token::Open),
    (")", Token::Close),
    ("=", Token::Compare(Comparison::Equal)),
];

/// The operators made of letters, and the flags.
const WORDS: [(&str, Token); 11] = [
    ("OR", Token::Or),
    ("AND", Token::And),
    ("NOT", Token::Not),
    ("EQ", Token::Compare(Comparison::Equal)),
    ("NE", Token::Compare(Comparison::NotEqual)),
    ("LE", Token::Compare(Comparison::LessOrEqual)),
    ("LT", Token::Compare(Comparison::Less)),
    ("GE", Token::Compare(Comparison::GreaterOrEqual)),
    ("GT", Token::Compare(Comparison::Greater)),
    ("TRUE", Token::Literal(Value::Flag(true))),
    ("FALSE", Token::Literal(Value::Flag(false))),
];

impl Scanner<'_> {
    fn all(mut self) -> Result<Vec<(usize, Token)>, FilterError> {
        let mut tokens = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let start = self.at;
            let Some(first) = trimmed.chars().next() else { return Ok(tokens) };
            let token = if let Some((sign, token)) = SIGNS.iter().find(|(sign, _)| trimmed.starts_with(sign)) {
                self.at += sign.len();
                token.clone()
            } else if matches!(first, '"' | '\'') {
                self.text_in(first)?
            } else if first.is_ascii_digit() {
                self.number()?
            } else if first.is_ascii_alphabetic() {
                self.word()
            } else {
                return Err(error(self.text, start, format!("unexpected {first:?}")));
            };
            tokens.push((start, token));
        }
    }

    fn text_in(&mut self, quote: char) -> Result<Token, FilterError> {
        let start = self.at;
        let inner = &self.text[start + 1..];
        let end = inner.find(quote).ok_or_else(|| error(self.text, start, "the text has no closing quote"))?;
        self.at = start + 1 + end + 1;
        Ok(Token::Literal(Value::Text(inner[..end].to_owned())))
    }

    /// Takes characters as long as `belongs` says so.
    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &str {
        let rest = &self.text[self.at..];
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn number(&mut self) -> Result<Token, FilterError> {
        let start = self.at;
        let text = self.take(|c| c.is_ascii_alphanumeric() || c == '.').to_owned();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = text[digits.len()..].strip_suffix("iB").unwrap_or(&text[digits.len()..]);
        let malformed = || error(self.text, start, "malformed number");
        let factor = match unit {
            "" if digits.len() == text.len() => 1,
            // Units count in powers of 1024.
            unit => {
                let power = ["K", "M", "G", "T", "P", "E"].iter().position(|name| *name == unit);
                1i64 << (10 * (power.ok_or_else(malformed)? + 1))
            }
        };
        if let Ok(number) = digits.parse::<i64>() {
            let number = number.checked_mul(factor).ok_or_else(malformed)?;
            return Ok(Token::Literal(Value::Integer(number)));
        }
        let number = digits.parse::<f64>().map_err(|_| malformed())?;
        Ok(Token::Literal(Value::Float(number * factor as f64)))
    }

    fn word(&mut self) -> Token {
        let word = self.take(|c| c.is_ascii_alphanumeric() || "_.%:/-".contains(c));
        let known = WORDS.iter().find(|(name, _)| {
            // Operators are written in capitals; "true" and "false" in either way.
            *name == word || (name.to_ascii_lowercase() == word && matches!(word, "true" | "false"))
        });
        known.map_or_else(|| Token::Name(word.to_owned()), |(_, token)| token.clone())
    }
}
