//! Paths as bytes, compared by whole components.

/// Tells whether `path` is `root` or lies below it.
pub fn is_within(path: &[u8], root: &[u8]) -> bool {
    strip(path, root).is_some()
}

/// Returns what is left of `path` below `root`: empty, or beginning with a slash. `None`: it does not lie there.
pub fn strip<'a>(path: &'a [u8], root: &[u8]) -> Option<&'a [u8]> {
    if root == b"/" {
        return Some(if path == b"/" { b"" } else { path });
    }
    path.strip_prefix(root).filter(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Puts `rest`, as [`strip`] returns it, below `root`.
pub fn join(root: &[u8], rest: &[u8]) -> Vec<u8> {
    match (root, rest) {
        (_, b"") => root.to_vec(),
        (b"/", _) => rest.to_vec(),
        _ => [root, rest].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lie_below_others_by_whole_components() {
        assert_eq!(strip(b"/a/b", b"/a"), Some(&b"/b"[..]));
        assert_eq!(strip(b"/a/b", b"/"), Some(&b"/a/b"[..]));
        assert_eq!(strip(b"/", b"/"), Some(&b""[..]));
        assert_eq!(strip(b"/a", b"/a"), Some(&b""[..]));
        assert_eq!(strip(b"/ab", b"/a"), None);
        assert_eq!(strip(b"/", b"/a"), None);
        assert_eq!(join(b"/", b"/x"), b"/x");
        assert_eq!(join(b"/", b""), b"/");
        assert_eq!(join(b"/a", b"/x"), b"/a/x");
    }
}
