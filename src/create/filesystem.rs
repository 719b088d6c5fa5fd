//! The building blocks of a container's root, as asked for: what goes where, in the order given. Pure.

use std::ffi::{CStr, CString};
use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::printable;

/// The devices of a small /dev: the outer one, and the name inside.
pub(super) const DEVICES: [(&CStr, &CStr); 6] = [
    (c"/dev/null", c"null"),
    (c"/dev/zero", c"zero"),
    (c"/dev/full", c"full"),
    (c"/dev/random", c"random"),
    (c"/dev/urandom", c"urandom"),
    (c"/dev/tty", c"tty"),
];

/// A place below the new root, split so that each step down can be opened or made without allocating.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPath {
    /// The path down to each component, relative to the root: `usr`, `usr/lib`.
    prefixes: Vec<CString>,
    /// The components alone: `usr`, `lib`.
    names: Vec<CString>,
}

impl TargetPath {
    /// Makes one of an absolute path; the root itself has no components.
    ///
    /// # Errors
    /// The path is not absolute, goes through `..`, or holds a NUL.
    pub fn new(path: &[u8]) -> Result<Self> {
        let refuse = |why: &str| {
            Error::new(ErrorKind::Invalid, format!("the place {:?} {why}", printable(path)))
                .with_hint("name it from the new root, such as /usr")
        };
        if path.first() != Some(&b'/') {
            return Err(refuse("is not an absolute path"));
        }
        let mut target = Self { prefixes: Vec::new(), names: Vec::new() };
        let mut prefix = Vec::new();
        for name in path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")) {
            if name == b".." {
                return Err(refuse("goes through `..`"));
            }
            if !prefix.is_empty() {
                prefix.push(b'/');
            }
            prefix.extend_from_slice(name);
            target.prefixes.push(c_string(&prefix)?);
            target.names.push(c_string(name)?);
        }
        Ok(target)
    }

    /// Returns the steps down: the path so far and the last component of it.
    pub(super) fn steps(&self) -> impl ExactSizeIterator<Item = (&CStr, &CStr)> {
        self.prefixes.iter().map(CString::as_c_str).zip(self.names.iter().map(CString::as_c_str))
    }

    /// Returns the whole path relative to the root; `.` for the root itself.
    pub(super) fn whole(&self) -> &CStr {
        self.prefixes.last().map_or(c".", CString::as_c_str)
    }

    /// Returns the absolute path of `name` in the directory this leads to.
    pub(super) fn below(&self, name: &str) -> CString {
        let mut path = b"/".to_vec();
        if let Some(prefix) = self.prefixes.last() {
            path.extend_from_slice(prefix.to_bytes());
            path.push(b'/');
        }
        path.extend_from_slice(name.as_bytes());
        // Neither part holds a NUL.
        CString::new(path).unwrap_or_default()
    }

    /// Returns the path that leads to the directory above, and the last component; `None` for the root itself.
    pub(super) fn parent(&self) -> Option<(Self, &CStr)> {
        let count = self.names.len().checked_sub(1)?;
        let parent = Self { prefixes: self.prefixes[..count].to_vec(), names: self.names[..count].to_vec() };
        Some((parent, self.names[count].as_c_str()))
    }
}

impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefixes.last() {
            Some(path) => write!(f, "/{}", printable(path.to_bytes())),
            None => f.write_str("/"),
        }
    }
}

/// One building block.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Binds `source`, as it is outside before anything is covered, with all mounts below it; nosuid and nodev, as bubblewrap does.
    Bind {
        /// What is bound.
        source: CString,
        /// Where to; made if missing.
        target: TargetPath,
        /// Whether it and the mounts below it refuse writing.
        read_only: bool,
    },
    /// Mounts an empty tmpfs, nosuid and nodev.
    Tmpfs {
        /// Where.
        target: TargetPath,
        /// Its options, such as `size=64m`; of one key the last counts.
        options: Vec<(CString, CString)>,
    },
    /// Makes a small /dev: null, zero, full, random, urandom and tty of the outer one, new pts, an empty shm.
    Dev {
        /// Where.
        target: TargetPath,
    },
    /// Mounts a new procfs, nosuid, nodev and noexec.
    Proc {
        /// Where.
        target: TargetPath,
    },
    /// Mounts a sysfs, nosuid, nodev and noexec; it shows the network namespace it is mounted in.
    Sysfs {
        /// Where.
        target: TargetPath,
    },
    /// Makes a symbolic link.
    Symlink {
        /// What it says.
        text: CString,
        /// Where it stands.
        target: TargetPath,
        /// The directory it stands in.
        parent: TargetPath,
        /// Its name there.
        name: CString,
    },
    /// Makes a directory, and those above it, where missing.
    Dir {
        /// Where.
        target: TargetPath,
    },
}

impl Operation {
    /// Reads `SRC:DST`, or `SRC` alone for the same place inside. In either, `\:` is a colon of a name.
    ///
    /// # Errors
    /// SRC is empty, DST is no absolute path.
    pub fn bind(argument: &[u8], read_only: bool) -> Result<Self> {
        let (source, target) = split_colon(argument);
        if source.is_empty() {
            return Err(malformed("bind", argument, "SRC:DST, or SRC for the same place inside"));
        }
        let target = TargetPath::new(target.as_deref().unwrap_or(&source))?;
        Ok(Self::Bind { source: c_string(&source)?, target, read_only })
    }

    /// Reads `DST` or `DST:OPTION=VALUE,…`, with the options of tmpfs(5).
    ///
    /// # Errors
    /// DST is no absolute path, an option has no value.
    pub fn tmpfs(argument: &[u8]) -> Result<Self> {
        let (target, text) = split_colon(argument);
        // The root of an empty tmpfs would be writable to everybody (1777).
        let mut options = vec![(c"mode".to_owned(), c"0755".to_owned())];
        for option in text.iter().flat_map(|text| text.split(|byte| *byte == b',')) {
            let equals = option.iter().position(|byte| *byte == b'=').filter(|at| *at > 0);
            let equals = equals.ok_or_else(|| malformed("tmpfs", argument, "DST or DST:size=64m,mode=0755"))?;
            options.push((c_string(&option[..equals])?, c_string(&option[equals + 1..])?));
        }
        Ok(Self::Tmpfs { target: TargetPath::new(&target)?, options })
    }

    /// Reads `TEXT:DST`, as `ln -s TEXT DST`.
    ///
    /// # Errors
    /// There is no colon, DST is no absolute path or the root.
    pub fn symlink(argument: &[u8]) -> Result<Self> {
        let form = "TEXT:DST, as in `ln -s TEXT DST`";
        let (text, Some(target)) = split_colon(argument) else {
            return Err(malformed("symbolic link", argument, form));
        };
        let target = TargetPath::new(&target)?;
        match target.parent() {
            Some((parent, name)) if !text.is_empty() => {
                let name = name.to_owned();
                Ok(Self::Symlink { text: c_string(&text)?, target, parent, name })
            }
            _ => Err(malformed("symbolic link", argument, form)),
        }
    }

    /// Returns what it takes from outside.
    pub(super) fn sources(&self) -> impl Iterator<Item = &CStr> {
        let (own, devices): (Option<&CStr>, &[(&CStr, &CStr)]) = match self {
            Self::Bind { source, .. } => (Some(source), &[]),
            Self::Dev { .. } => (None, &DEVICES),
            _ => (None, &[]),
        };
        own.into_iter().chain(devices.iter().map(|(source, _)| *source))
    }

    /// Tells whether it mounts something, which wants a mount namespace of our own.
    pub fn mounts(&self) -> bool {
        !matches!(self, Self::Symlink { .. } | Self::Dir { .. })
    }

    /// Returns where it happens, from the new root.
    pub fn target(&self) -> &TargetPath {
        match self {
            Self::Bind { target, .. }
            | Self::Tmpfs { target, .. }
            | Self::Dev { target }
            | Self::Proc { target }
            | Self::Sysfs { target }
            | Self::Symlink { target, .. }
            | Self::Dir { target } => target,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { source, target, read_only } => {
                let how = if *read_only { " read-only" } else { "" };
                write!(f, "bind {} on {target}{how}", printable(source.to_bytes()))
            }
            Self::Tmpfs { target, options } => {
                write!(f, "mount tmpfs on {target}")?;
                for (index, (key, value)) in options.iter().enumerate() {
                    let separator = if index == 0 { " with " } else { "," };
                    write!(f, "{separator}{}={}", printable(key.to_bytes()), printable(value.to_bytes()))?;
                }
                Ok(())
            }
            Self::Dev { target } => write!(f, "make a small /dev at {target}"),
            Self::Proc { target } => write!(f, "mount proc on {target}"),
            Self::Sysfs { target } => write!(f, "mount sysfs on {target}"),
            Self::Symlink { text, target, .. } => {
                write!(f, "make the link {target} to {}", printable(text.to_bytes()))
            }
            Self::Dir { target } => write!(f, "make the directory {target}"),
        }
    }
}

/// Splits at the first colon without a backslash before it, and takes the backslashes away.
fn split_colon(argument: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut parts = vec![Vec::new()];
    let mut bytes = argument.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let part = parts.len() - 1;
        match (byte, bytes.peek()) {
            (b'\\', Some(&next @ (b':' | b'\\'))) => {
                parts[part].push(next);
                bytes.next();
            }
            (b':', _) if part == 0 => parts.push(Vec::new()),
            _ => parts[part].push(byte),
        }
    }
    let second = (parts.len() > 1).then(|| parts.remove(1));
    (parts.remove(0), second)
}

fn malformed(noun: &str, argument: &[u8], form: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("malformed {noun} {:?}", printable(argument)))
        .with_hint(format!("it takes {form}"))
}

pub(super) fn c_string(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| Error::new(ErrorKind::Invalid, format!("{:?} holds a NUL byte", printable(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(operation: Result<Operation>) -> String {
        operation.unwrap().to_string()
    }

    #[test]
    fn each_form_says_what_it_will_do() {
        for (operation, expected) in [
            (Operation::bind(b"/srv/a:/data", false), "bind /srv/a on /data"),
            (Operation::bind(b"/usr", true), "bind /usr on /usr read-only"),
            (Operation::bind(b"a\\:b:/c\\\\:d", false), "bind a:b on /c\\:d"),
            (Operation::tmpfs(b"/tmp"), "mount tmpfs on /tmp with mode=0755"),
            (Operation::tmpfs(b"/tmp:size=64m,mode=1777"), "mount tmpfs on /tmp with mode=0755,size=64m,mode=1777"),
            (Operation::symlink(b"usr/bin:/bin"), "make the link /bin to usr/bin"),
            (Operation::bind(b"/x\x1b:/", false), "bind /x\\x1b on /"),
        ] {
            assert_eq!(said(operation), expected);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for operation in [
            Operation::bind(b"", false),
            Operation::bind(b":/x", false),
            Operation::bind(b"/x:", false),
            Operation::bind(b"/x:y", false),
            Operation::bind(b"/x:/a/../b", false),
            Operation::tmpfs(b"tmp"),
            Operation::tmpfs(b"/tmp:"),
            Operation::tmpfs(b"/tmp:size"),
            Operation::tmpfs(b"/tmp:=1"),
            Operation::symlink(b"/bin"),
            Operation::symlink(b":/bin"),
            Operation::symlink(b"x:/"),
        ] {
            assert_eq!(operation.unwrap_err().kind(), ErrorKind::Invalid);
        }
    }

    #[test]
    fn a_place_is_split_into_its_steps() {
        let target = TargetPath::new(b"//usr/./lib/").unwrap();
        assert_eq!(target.to_string(), "/usr/lib");
        assert_eq!(target.steps().collect::<Vec<_>>(), [(c"usr", c"usr"), (c"usr/lib", c"lib")]);
        assert_eq!(target.whole(), c"usr/lib");
        let (parent, name) = target.parent().unwrap();
        assert_eq!((parent.to_string().as_str(), name), ("/usr", c"lib"));
        let root = TargetPath::new(b"/").unwrap();
        assert_eq!((root.whole(), root.parent()), (c".", None));
    }
}
