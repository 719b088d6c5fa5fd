//! The label that a security module gives a process, and how the next program is given the same (proc_pid_attr(5)).
//!
//! Two modules let a process choose the label of the program that it executes: SELinux by the context alone, AppArmor by
//! `exec PROFILE`. What the target has is read through its pinned directory, before anything is joined; it is written
//! right before the program is executed, to our own thread's file, for the kernel takes it from nobody else and only
//! with the credentials that the file was opened with.

use std::ffi::{CStr, CString};
use std::io;

use crate::error::{Error, ErrorKind, Result};
use crate::proc::Proc;
use crate::target::PinnedProcess;

/// A label to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// What gives it.
    pub(crate) module: &'static str,
    /// The file below /proc that takes it.
    pub(crate) file: &'static CStr,
    /// What is written there.
    pub(crate) text: CString,
}

/// The file of whichever module is the first; before Linux 5.8 the only one.
const EXEC: &CStr = c"thread-self/attr/exec";
const APPARMOR_EXEC: &CStr = c"thread-self/attr/apparmor/exec";

/// What was found out about a process's label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// This one, which can be taken.
    Label(Label),
    /// One of a module that lets nobody choose a program's label.
    Foreign(Vec<u8>),
    /// None: no module that labels, or the process is not confined by it.
    Nothing,
}

/// Finds the label of a process, whose files `read` reads by their names below its directory in procfs.
fn find(read: impl Fn(&str) -> io::Result<Vec<u8>>, selinux: bool) -> Found {
    let (text, file) = match read("attr/apparmor/current") {
        Ok(text) if !selinux => (text, APPARMOR_EXEC),
        _ => (read("attr/current").unwrap_or_default(), EXEC),
    };
    let text = trimmed(&text);
    if text.is_empty() || text == b"unconfined" {
        return Found::Nothing;
    }
    let label = |module, text: &[u8]| CString::new(text).ok().map(|text| Label { module, file, text });
    let label = if selinux {
        label("SELinux", text)
    } else {
        // `profile (mode)`.
        let mode = text.iter().rposition(|byte| *byte == b'(').filter(|_| text.ends_with(b")"));
        mode.and_then(|mode| label("AppArmor", &[b"exec ", text[..mode].trim_ascii_end()].concat()))
    };
    label.map_or_else(|| Found::Foreign(text.to_vec()), Found::Label)
}

fn trimmed(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\0").unwrap_or(text).trim_ascii()
}

/// Tells whether SELinux is enabled: only then the kernel has its filesystem, mounted or not.
fn has_selinux(filesystems: &[u8]) -> bool {
    filesystems.split(|byte| *byte == b'\n').any(|line| line.ends_with(b"\tselinuxfs"))
}

fn is_selinux_enabled(proc: Option<&Proc>) -> bool {
    let mut filesystems = Vec::new();
    proc.is_some_and(|proc| proc.read_at("filesystems", &mut filesystems).is_ok() && has_selinux(&filesystems))
}

/// Finds the label of `process` where it differs from ours.
pub(super) fn of(process: &PinnedProcess, proc: Option<&Proc>) -> Found {
    let selinux = is_selinux_enabled(proc);
    let theirs = find(|name| process.read(name), selinux);
    if theirs == Found::Nothing {
        return theirs;
    }
    let ours = find(
        |name| {
            let mut text = Vec::new();
            let proc = proc.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
            proc.read_at(&format!("thread-self/{name}"), &mut text)?;
            Ok(text)
        },
        selinux,
    );
    if ours == theirs { Found::Nothing } else { theirs }
}

/// Reads the SELinux context of `process`, for `-Z`.
///
/// # Errors
/// SELinux is not enabled, or the context cannot be read.
pub(super) fn selinux_context(process: &PinnedProcess, proc: Option<&Proc>) -> Result<Label> {
    let what = format!("cannot take the SELinux context of process {}", process.pid());
    if !is_selinux_enabled(proc) {
        return Err(Error::new(ErrorKind::Unsupported, what)
            .because("SELinux is not enabled in this kernel: it does not have selinuxfs (/proc/filesystems)")
            .with_hint("leave out -Z; --confined takes the label of whichever security module there is"));
    }
    let text = process.read("attr/current").map_err(|error| process.cannot("read the SELinux context", error))?;
    match find(|_| Ok(text.clone()), true) {
        Found::Label(label) => Ok(label),
        Found::Foreign(_) | Found::Nothing => Err(Error::new(ErrorKind::System, what).because("it has none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds what a process with these files has.
    fn found(files: &[(&str, &[u8])], selinux: bool) -> Found {
        let read = |name: &str| {
            let file = files.iter().find(|(file, _)| *file == name);
            file.map(|(_, text)| text.to_vec()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
        };
        find(read, selinux)
    }

    fn label(module: &'static str, file: &'static CStr, text: &CStr) -> Found {
        Found::Label(Label { module, file, text: text.to_owned() })
    }

    #[test]
    fn a_context_of_selinux_is_written_as_it_is() {
        let context = b"system_u:system_r:container_t:s0:c1,c2\0";
        let expected = label("SELinux", EXEC, c"system_u:system_r:container_t:s0:c1,c2");
        assert_eq!(found(&[("attr/current", context)], true), expected);
        // Even if it ends as a profile of AppArmor does.
        assert_eq!(found(&[("attr/current", b"a (b)\n")], true), label("SELinux", EXEC, c"a (b)"));
    }

    #[test]
    fn a_profile_of_apparmor_is_written_with_a_word_to_the_file_of_its_own() {
        let text = b"docker-default (enforce)\n";
        let expected = label("AppArmor", APPARMOR_EXEC, c"exec docker-default");
        assert_eq!(found(&[("attr/apparmor/current", text), ("attr/current", b"other")], false), expected);
        let before_5_8 = label("AppArmor", EXEC, c"exec docker-default");
        assert_eq!(found(&[("attr/current", text)], false), before_5_8);
        let spaced = label("AppArmor", EXEC, c"exec /opt/a (b) c");
        assert_eq!(found(&[("attr/current", b"/opt/a (b) c (complain)\n")], false), spaced);
    }

    #[test]
    fn without_a_module_that_takes_labels_there_is_none() {
        assert_eq!(found(&[], false), Found::Nothing);
        assert_eq!(found(&[("attr/current", b"unconfined\n")], false), Found::Nothing);
        assert_eq!(found(&[("attr/current", b"\0")], true), Found::Nothing);
        // Smack's.
        assert_eq!(found(&[("attr/current", b"_")], false), Found::Foreign(b"_".to_vec()));
    }

    #[test]
    fn selinux_is_where_its_filesystem_is() {
        assert!(has_selinux(b"nodev\tsysfs\nnodev\tselinuxfs\n\text4\n"));
        assert!(!has_selinux(b"nodev\tsysfs\n\text4\n") && !has_selinux(b""));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_labels_never_panic(text: Vec<u8>, selinux: bool) {
            let _ = find(|_| Ok(text.clone()), selinux);
        }
    }
}
