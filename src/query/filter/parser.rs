//! Puts the tokens of a filter together.

use regex_lite::Regex;

use super::scanner::{Token, tokens};
use super::{AgainstText, Expression, Filter, FilterError, Operand, Value, cut, error};

/// Nesting deeper than this is refused, so that no filter can exhaust the stack.
const DEEPEST: usize = 200;

/// Parses a whole filter; `column` finds the columns by name.
pub(super) fn parse(text: &str, column: &dyn Fn(&str) -> Option<usize>) -> Result<Filter, FilterError> {
    let tokens = tokens(text)?;
    let mut parser = Parser { text, tokens, next: 0, depth: 0, column, columns: Vec::new(), texts: Vec::new() };
    let root = parser.either()?;
    match parser.tokens.get(parser.next) {
        None => Ok(Filter { root, columns: parser.columns, texts: parser.texts }),
        Some(_) => Err(parser.error("expected an operator such as &&")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
    column: &'a dyn Fn(&str) -> Option<usize>,
    columns: Vec<usize>,
    texts: Vec<AgainstText>,
}

impl Parser<'_> {
    /// An error at the next token, or behind the last.
    fn error(&self, message: impl Into<String>) -> FilterError {
        error(self.text, self.place(), message)
    }

    /// Where the next token stands.
    fn place(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.trim_end().len(), |(at, _)| *at)
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.tokens.get(self.next).is_some_and(|(_, next)| next == token);
        self.next += usize::from(found);
        found
    }

    fn either(&mut self) -> Result<Expression, FilterError> {
        let mut left = self.both()?;
        while self.take(&Token::Or) {
            left = Expression::Or(Box::new(left), Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Expression, FilterError> {
        let mut left = self.single()?;
        while self.take(&Token::And) {
            left = Expression::And(Box::new(left), Box::new(self.single()?));
        }
        Ok(left)
    }

    fn single(&mut self) -> Result<Expression, FilterError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error("nested too deeply"));
        }
        let expression = if self.take(&Token::Not) {
            Expression::Not(Box::new(self.single()?))
        } else if self.take(&Token::Open) {
            let inner = self.either()?;
            if !self.take(&Token::Close) {
                return Err(self.error("expected a closing parenthesis"));
            }
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn comparison(&mut self) -> Result<Expression, FilterError> {
        let left_at = self.place();
        let left = self.operand()?;
        match self.tokens.get(self.next).map(|(_, token)| token.clone()) {
            Some(Token::Compare(comparison)) => {
                self.next += 1;
                let right_at = self.place();
                let right = self.operand()?;
                for (column, other, at) in [(&left, &right, right_at), (&right, &left, left_at)] {
                    if let (Operand::Column(column), Operand::Literal(Value::Text(text))) = (column, other)
                        && text.parse::<f64>().is_err()
                    {
                        self.texts.push(AgainstText { column: *column, text: text.clone(), at });
                    }
                }
                Ok(Expression::Compare(left, comparison, right))
            }
            Some(token @ (Token::Matches | Token::MatchesNot)) => {
                self.next += 1;
                let regex = self.regex()?;
                let matches = Expression::Matches(left, regex);
                Ok(if token == Token::Matches { matches } else { Expression::Not(Box::new(matches)) })
            }
            _ => Ok(Expression::Is(left)),
        }
    }

    fn regex(&mut self) -> Result<Regex, FilterError> {
        let Some((_, Token::Literal(Value::Text(pattern)))) = self.tokens.get(self.next) else {
            return Err(self.error("expected a regular expression in quotes"));
        };
        let regex = Regex::new(pattern).map_err(|why| self.error(format!("malformed regular expression: {why}")))?;
        self.next += 1;
        Ok(regex)
    }

    fn operand(&mut self) -> Result<Operand, FilterError> {
        match self.tokens.get(self.next) {
            Some((_, Token::Literal(value))) => {
                let value = value.clone();
                self.next += 1;
                Ok(Operand::Literal(value))
            }
            Some((_, Token::Name(name))) => {
                let unknown = || self.error(format!("unknown column {:?}", cut(name)));
                let index = (self.column)(name).ok_or_else(unknown)?;
                self.next += 1;
                self.columns.push(index);
                Ok(Operand::Column(index))
            }
            _ => Err(self.error("expected a column or a value")),
        }
    }
}
