//! `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).

use crate::model::{Device, Mount};

/// What a mountinfo file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The mounts, in the file's order.
    pub mounts: Vec<Mount>,
    /// How many lines were not of the known form; they are left out.
    pub malformed: usize,
}

/// Parses a whole file. A line that is not of the known form is counted and passed over.
pub fn parse(text: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match parse_line(line) {
            Some(mount) => parsed.mounts.push(mount),
            None => parsed.malformed += 1,
        }
    }
    parsed
}

/// Parses one line, without its line break.
pub fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = device(fields.next()?)?;
    let root = unescape(fields.next()?);
    let mount_point = unescape(fields.next()?);
    let options = unescape(fields.next()?);
    let mut mount = Mount {
        id,
        unique_id: None,
        parent,
        device,
        root,
        mount_point,
        options,
        shared: None,
        master: None,
        propagate_from: None,
        unbindable: false,
        fs_type: Vec::new(),
        source: Vec::new(),
        super_options: Vec::new(),
    };
    // Any number of optional fields, up to a lone hyphen; unknown ones are to be ignored.
    loop {
        let field = fields.next()?;
        let (tag, value) = match field.iter().position(|byte| *byte == b':') {
            Some(colon) => (&field[..colon], &field[colon + 1..]),
            None => (field, &b""[..]),
        };
        match tag {
            b"-" => break,
            b"shared" => mount.shared = Some(number(value)?),
            b"master" => mount.master = Some(number(value)?),
            b"propagate_from" => mount.propagate_from = Some(number(value)?),
            b"unbindable" => mount.unbindable = true,
            _ => {}
        }
    }
    mount.fs_type = unescape(fields.next()?);
    // A filesystem mounted without a source shows an empty field.
    mount.source = unescape(fields.next()?);
    mount.super_options = unescape(fields.next().unwrap_or_default());
    Some(mount)
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn device(field: &[u8]) -> Option<Device> {
    let colon = field.iter().position(|byte| *byte == b':')?;
    Some(Device { major: number(&field[..colon])?, minor: number(&field[colon + 1..])? })
}

/// Undoes the kernel's escapes: a backslash and three octal digits stand for one byte.
pub(crate) fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        if let (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) = (first, tail) {
            out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = after;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_every_field_is_read() {
        let line = b"36 35 98:0 /mnt1 /m\\040n\\134t2 rw,noatime shared:18 master:1 propagate_from:2 new:9 - ext3 /dev/root rw,errors=continue";
        let mount = parse_line(line).unwrap();
        assert_eq!((mount.id, mount.parent), (36, 35));
        assert_eq!(mount.device, Device { major: 98, minor: 0 });
        assert_eq!(mount.mount_point, b"/m n\\t2");
        assert_eq!((mount.shared, mount.master, mount.propagate_from), (Some(18), Some(1), Some(2)));
        assert_eq!((&mount.fs_type[..], &mount.source[..]), (&b"ext3"[..], &b"/dev/root"[..]));
        assert_eq!(mount.super_options, b"rw,errors=continue");
        assert!(!mount.unbindable);
    }

    #[test]
    fn odd_lines_are_read_too() {
        let unbindable = parse_line(b"1 1 0:2 / /\xff\xfe rw unbindable - tmpfs  rw").unwrap();
        assert!(unbindable.unbindable);
        assert_eq!(unbindable.mount_point, b"/\xff\xfe");
        assert_eq!(unbindable.source, b"");
        let deleted = parse_line(b"1 1 0:2 /a//deleted /b rw - tmpfs none rw").unwrap();
        assert_eq!(deleted.root, b"/a//deleted");
    }

    #[test]
    fn a_malformed_line_is_counted_and_the_rest_stays() {
        let parsed = parse(b"nonsense\n1 1 0:2 / / rw - tmpfs none rw\n1 1 0:2 / / rw\n\n");
        assert_eq!((parsed.mounts.len(), parsed.malformed), (1, 2));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text: Vec<u8>) {
            let _ = parse(&text);
        }

        #[test]
        fn nearly_right_bytes_never_panic(text in "[0-9 :/\\\\a-z-]{0,120}") {
            let _ = parse(text.as_bytes());
        }

        #[test]
        fn what_the_kernel_escapes_comes_back(name: Vec<u8>) {
            // The kernel escapes space, tab, line break, backslash and '#'.
            let mut escaped = Vec::new();
            for byte in &name {
                if matches!(byte, b' ' | b'\t' | b'\n' | b'\\' | b'#') {
                    escaped.extend_from_slice(format!("\\{byte:03o}").as_bytes());
                } else {
                    escaped.push(*byte);
                }
            }
            proptest::prop_assert_eq!(unescape(&escaped), name);
        }
    }
}
