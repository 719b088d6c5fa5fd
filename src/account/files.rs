//! What the files say (passwd(5), group(5)). Lines that are none are passed over, as the C library does.

use std::io;

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

pub(super) fn user_name(uid: u32) -> io::Result<Option<String>> {
    Ok(entries(&read(USERS)?).find(|entry| entry.id == uid).and_then(|entry| String::from_utf8(entry.name.into()).ok()))
}

pub(super) fn user_id(name: &str) -> io::Result<Option<u32>> {
    Ok(entries(&read(USERS)?).find(|entry| entry.name == name.as_bytes()).map(|entry| entry.id))
}

pub(super) fn group_id(name: &str) -> io::Result<Option<u32>> {
    Ok(entries(&read(GROUPS)?).find(|entry| entry.name == name.as_bytes()).map(|entry| entry.id))
}

/// A container without the file has nobody in it.
fn read(path: &str) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        text => text,
    }
}

/// What both files begin with: name, password, number.
struct Entry<'a> {
    name: &'a [u8],
    id: u32,
}

fn entries(text: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
        let id = std::str::from_utf8(id).ok()?.parse().ok()?;
        // `+` and `-` bring in other databases (nsswitch.conf(5)).
        (!name.is_empty() && !name.starts_with(b"+") && !name.starts_with(b"-")).then_some(Entry { name, id })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_no_entries_are_passed_over() {
        let text =
            b"root:x:0:0:root:/root:/bin/sh\n\n+::::::\n+nis:x:5:5:::\nshort:x\nbad:x:y:1:::\nz\xff:x:7:7:::\nlast:x:8";
        let found: Vec<_> = entries(text).map(|entry| (entry.name.to_vec(), entry.id)).collect();
        assert_eq!(found, [(b"root".to_vec(), 0), (b"z\xff".to_vec(), 7), (b"last".to_vec(), 8)]);
    }

    #[test]
    fn the_files_and_the_c_library_agree_on_root() {
        assert_eq!(user_name(0).unwrap(), super::super::user_name(0));
        assert_eq!(user_id("root").unwrap(), super::super::user_id("root").unwrap());
        assert_eq!(group_id("root").unwrap(), super::super::group_id("root").unwrap());
        assert_eq!(user_id("nobody of this name").unwrap(), super::super::user_id("nobody of this name").unwrap());
    }
}
