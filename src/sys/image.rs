//! What execve(2) is given: put together before a fork, for whoever calls it may not allocate.

use std::ffi::{CStr, CString};
use std::io;

/// Strings for execve(2), ending with the null pointer, put together before a fork.
#[derive(Debug)]
struct StringArray {
    strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl StringArray {
    fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect();
        Self { strings, pointers }
    }
}

/// A program's arguments and environment, ready for execve(2) without allocating.
#[derive(Debug)]
pub(crate) struct Image {
    argv: StringArray,
    /// `/bin/sh`, a place for the script, and its arguments.
    shell_argv: StringArray,
    envp: StringArray,
}

impl Image {
    pub(crate) fn new(argv: Vec<CString>, envp: Vec<CString>) -> Self {
        let mut shell_argv = vec![c"/bin/sh".to_owned(), CString::default()];
        shell_argv.extend(argv.iter().skip(1).cloned());
        Self { argv: StringArray::new(argv), shell_argv: StringArray::new(shell_argv), envp: StringArray::new(envp) }
    }

    pub(crate) fn arguments(&self) -> &[CString] {
        &self.argv.strings
    }

    pub(crate) fn environment(&self) -> &[CString] {
        &self.envp.strings
    }

    /// Executes the file at `path`; returns only if that failed.
    pub(crate) fn execute(&self, path: &CStr) -> io::Error {
        // SAFETY: both arrays end with null, and their strings live as long as `self`, or until the call returns.
        unsafe { libc::execve(path.as_ptr(), self.argv.pointers.as_ptr(), self.envp.pointers.as_ptr()) };
        io::Error::last_os_error()
    }

    /// The same, with another name for itself as its first argument.
    pub(crate) fn execute_as(&mut self, name: &CStr, path: &CStr) -> io::Error {
        let before = std::mem::replace(&mut self.argv.pointers[0], name.as_ptr());
        let error = self.execute(path);
        self.argv.pointers[0] = before;
        error
    }

    /// Lets /bin/sh run the script at `path`, as execvp(3) does with a file of unknown form.
    pub(crate) fn execute_by_shell(&mut self, path: &CStr) -> io::Error {
        let place = 1;
        let before = self.shell_argv.pointers[place];
        self.shell_argv.pointers[place] = path.as_ptr();
        // SAFETY: both arrays end with null; their strings live as long as `self`, and `path` until the call returns.
        unsafe { libc::execve(c"/bin/sh".as_ptr(), self.shell_argv.pointers.as_ptr(), self.envp.pointers.as_ptr()) };
        let error = io::Error::last_os_error();
        self.shell_argv.pointers[place] = before;
        error
    }
}
