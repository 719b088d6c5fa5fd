//! What is typed for a map.

use std::str::FromStr;

use super::IdRange;
use crate::error::{Error, ErrorKind, Result};

/// Which ids to map beside one's own, as typed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapSpec {
    /// `INNER:OUTER:COUNT`, or unshare's older `OUTER,INNER,COUNT`.
    Range(IdRange),
    /// `auto`: the first block of subordinate ids, onto the lowest ids inside that are free.
    Auto,
    /// `subids`: all blocks of subordinate ids, each onto itself.
    Subids,
    /// `all`: every id of our own user namespace, onto itself.
    All,
}

impl FromStr for MapSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => return Ok(Self::Auto),
            "subids" => return Ok(Self::Subids),
            "all" => return Ok(Self::All),
            _ => {}
        }
        let malformed = || {
            Error::new(ErrorKind::Invalid, format!("malformed id map {text:?}"))
                .with_hint("a map is INNER:OUTER:COUNT, auto, subids or all")
        };
        let numbers = |separator| -> Result<[u32; 3]> {
            let parse = |field: &str| parse_number(field).ok_or_else(malformed);
            let fields = text.split(separator).map(parse).collect::<Result<Vec<_>>>()?;
            fields.try_into().map_err(|_| malformed())
        };
        let range = if text.contains(',') {
            let [outer, inner, count] = numbers(',')?;
            IdRange { inner, outer, count }
        } else {
            let [inner, outer, count] = numbers(':')?;
            IdRange { inner, outer, count }
        };
        // (uid_t)-1 means "no id" to the system calls, so the last id is 4294967294.
        let end = u64::from(u32::MAX);
        if range.count == 0 || range.inner_end() > end || range.outer_end() > end {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("the id map {text:?} is empty or ends above 4294967294"),
            )
            .with_hint("a map is INNER:OUTER:COUNT with a count above 0"));
        }
        Ok(Self::Range(range))
    }
}

/// Parses an id strictly: decimal digits alone, below 4294967295.
pub fn parse_id(text: &str) -> Option<u32> {
    parse_number(text).filter(|id| *id != u32::MAX)
}

pub(super) fn parse_number(text: &str) -> Option<u32> {
    // str::parse would take a plus sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(inner: u32, outer: u32, count: u32) -> IdRange {
        IdRange { inner, outer, count }
    }

    #[test]
    fn every_form_is_understood() {
        for (text, spec) in [
            ("auto", MapSpec::Auto),
            ("subids", MapSpec::Subids),
            ("all", MapSpec::All),
            ("1:100000:65536", MapSpec::Range(range(1, 100_000, 65_536))),
            ("100000,1,65536", MapSpec::Range(range(1, 100_000, 65_536))),
            ("0:0:4294967295", MapSpec::Range(range(0, 0, u32::MAX))),
        ] {
            assert_eq!(text.parse::<MapSpec>().unwrap(), spec, "{text}");
        }
    }

    #[test]
    fn what_is_no_map_is_refused() {
        for text in ["", "0", "0:0", "0:0:0", "0:0:1:1", "-1:0:1", "a:b:c", "0:0:+1", "1:0:4294967295", "0 0 1", "0:,1"]
        {
            assert_eq!(text.parse::<MapSpec>().unwrap_err().kind(), ErrorKind::Invalid, "{text}");
        }
    }
}
