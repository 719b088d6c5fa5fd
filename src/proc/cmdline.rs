//! `/proc/PID/cmdline` (proc_pid_cmdline(5)).

/// Returns the command line as one line of text: the arguments joined by spaces, without the NUL bytes behind the last.
/// `None` where it is empty, as it is for zombies and kernel threads.
///
/// A process may overwrite its arguments, so the file holds whatever it likes.
pub(crate) fn join(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|byte| *byte != 0)? + 1;
    Some(text[..end].iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_joined_by_spaces() {
        assert_eq!(join(b"sleep\x00100\0").unwrap(), b"sleep 100");
        assert_eq!(join(b"a\0\0b\0\0\0").unwrap(), b"a  b");
        assert_eq!(join(b"postgres: writer").unwrap(), b"postgres: writer");
        assert_eq!(join(b""), None);
        assert_eq!(join(b"\0\0"), None);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text: Vec<u8>) {
            proptest::prop_assert!(join(&text).is_none_or(|line| !line.contains(&0)));
        }
    }
}
