//! Subordinate ids (subuid(5)).

use super::spec::{parse_id, parse_number};

/// A block of subordinate ids (subuid(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubidBlock {
    /// The first id.
    pub start: u32,
    /// How many.
    pub count: u32,
}

/// Finds a user's blocks in the text of `/etc/subuid` or `/etc/subgid`, in the file's order. Lines name the user or
/// give the uid; what is malformed is passed over, as newuidmap(1) does.
pub fn subid_blocks(text: &[u8], user: Option<&str>, uid: u32) -> Vec<SubidBlock> {
    let uid = uid.to_string();
    let text = String::from_utf8_lossy(text);
    let line = |line: &str| -> Option<SubidBlock> {
        let mut fields = line.trim_end().split(':');
        let owner = fields.next()?;
        if owner != uid && Some(owner) != user {
            return None;
        }
        let (start, count) = (parse_id(fields.next()?)?, parse_number(fields.next()?)?);
        let fits = u64::from(start) + u64::from(count) <= u64::from(u32::MAX);
        (count > 0 && fits && fields.next().is_none()).then_some(SubidBlock { start, count })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_by_name_and_by_uid_in_order() {
        let text = b"# c\nada:100000:65536\nbob:1:1\n1000:300000:10\nada:x:1\nada:5:0\nada:1:1:1\n\xff:1:1\nada:4294967294:2\n";
        let found = subid_blocks(text, Some("ada"), 1000);
        assert_eq!(found, [SubidBlock { start: 100_000, count: 65_536 }, SubidBlock { start: 300_000, count: 10 }]);
        assert_eq!(subid_blocks(text, None, 1), []);
    }
}
