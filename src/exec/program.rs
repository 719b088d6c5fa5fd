//! What to execute, prepared before a fork.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::diagnose;
use super::report::Refusal;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::image::Image;

/// Where programs are looked for if the environment has no PATH.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command line with its environment and the files that may be meant by its first word.
#[derive(Debug)]
pub struct Program {
    name: Vec<u8>,
    candidates: Vec<CString>,
    /// What each candidate is called; empty where all are called as the first argument says.
    login_names: Vec<CString>,
    image: Image,
    /// The errno of each candidate that was tried.
    errnos: Vec<i32>,
    distrust: bool,
    inherits: bool,
}

impl Program {
    /// Prepares `words`, the first of which names the program: a path if it holds a slash, else a name that is looked
    /// for in the PATH of `environment`, when it is executed.
    ///
    /// # Errors
    /// No word at all, or a NUL byte in one.
    pub fn new(words: &[OsString], environment: &[(OsString, OsString)]) -> Result<Self> {
        let name = words.first().ok_or_else(|| Error::new(ErrorKind::Invalid, "no command"))?;
        let candidates = candidates(name, environment)?;
        let argv = words.iter().map(|word| c_string(word.as_bytes())).collect::<Result<_>>()?;
        Ok(Self {
            name: name.as_bytes().to_vec(),
            errnos: vec![0; candidates.len()],
            candidates,
            login_names: Vec::new(),
            image: Image::new(argv, environment_of(environment)?),
            distrust: false,
            inherits: false,
        })
    }

    /// Prepares a login shell: the first of `shells` that can be executed, with a hyphen before its name, by which a
    /// shell knows that it is one.
    ///
    /// # Errors
    /// No shell given, or a NUL byte in a word.
    pub fn login_shell(shells: &[Vec<u8>], environment: &[(OsString, OsString)]) -> Result<Self> {
        let first = shells.first().ok_or_else(|| Error::new(ErrorKind::Invalid, "no shell"))?;
        let login_name = |shell: &[u8]| {
            let base = shell.rsplit(|byte| *byte == b'/').next().unwrap_or(shell);
            c_string(&[b"-", base].concat())
        };
        let login_names = shells.iter().map(|shell| login_name(shell)).collect::<Result<_>>()?;
        let argv = vec![login_name(first)?];
        let candidates: Vec<_> = shells.iter().map(|shell| c_string(shell)).collect::<Result<_>>()?;
        Ok(Self {
            name: first.clone(),
            errnos: vec![0; candidates.len()],
            candidates,
            login_names,
            image: Image::new(argv, environment_of(environment)?),
            distrust: false,
            inherits: false,
        })
    }

    /// Refuses a file, or an interpreter of a `#!` line, that is reached through a magic link of procfs. Where the files
    /// are somebody else's, such a link can lead to /proc/self/exe: to nstool's own file, which would run inside and
    /// could be overwritten from there (CVE-2019-5736). Since Linux 5.6. A file that is exchanged between the look at it
    /// and its execution goes through: only to run from a copy of our own file would prevent that.
    #[must_use]
    pub fn distrusting(mut self) -> Self {
        self.distrust = true;
        self
    }

    /// Leaves open to the program every descriptor that was left open for us, as a shell would. Without this it gets 0 to
    /// 2 and those it is to keep. With the feature `cli`, which sees how we were started, it also finds those of 0 to 2
    /// closed that were, and SIGPIPE ignored if it was.
    #[must_use]
    pub fn inheriting(mut self) -> Self {
        self.inherits = true;
        self
    }

    pub(crate) fn inherits(&self) -> bool {
        self.inherits
    }

    /// Returns what was asked for: a name or a path.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Returns the files that are tried, in this order.
    pub fn candidates(&self) -> &[CString] {
        &self.candidates
    }

    /// Returns the arguments, the first of which is the program's name for itself.
    pub fn arguments(&self) -> &[CString] {
        self.image.arguments()
    }

    /// Returns the environment, as `NAME=value`.
    pub fn environment(&self) -> &[CString] {
        self.image.environment()
    }

    /// Executes the first candidate that can be; returns only if none could, with the reason. Allocates nothing. `proc`
    /// is a descriptor of /proc.
    pub(crate) fn execute(&mut self, proc: Option<BorrowedFd<'_>>) -> Refusal {
        let mut tried = 0;
        for (index, path) in self.candidates.iter().enumerate() {
            if self.distrust && diagnose::leads_through_magic(path, proc) {
                return Refusal::new(index, libc::ELOOP).because(diagnose::Cause::MagicLink, b"");
            }
            let mut errno = errno_of(&match self.login_names.get(index) {
                Some(name) => self.image.execute_as(name, path),
                None => self.image.execute(path),
            });
            if errno == libc::ENOEXEC && diagnose::may_be_script(path, proc) {
                errno = errno_of(&self.image.execute_by_shell(path));
            }
            self.errnos[index] = errno;
            tried = index + 1;
            // As execvp(3): only these let it look further.
            let further = [libc::ENOENT, libc::ENOTDIR, libc::EACCES, libc::ESTALE, libc::ENODEV, libc::ETIMEDOUT];
            if !further.contains(&errno) {
                break;
            }
        }
        // A file that is there and cannot be executed tells more than a place where there is none.
        let weight = |(path, errno): (&CString, i32)| match errno {
            libc::ENOENT | libc::ENOTDIR if !diagnose::exists(path) => 0,
            libc::EACCES if !diagnose::exists(path) => 1,
            _ => 2,
        };
        let mut told: Option<(u8, usize)> = None;
        for (index, failed) in self.candidates.iter().zip(self.errnos.iter().copied()).take(tried).enumerate() {
            let weight = weight(failed);
            if told.is_none_or(|(before, _)| weight > before) {
                told = Some((weight, index));
            }
        }
        let index = told.map_or(0, |(_, index)| index);
        let errno = self.errnos.get(index).copied().unwrap_or(libc::ENOENT);
        match self.candidates.get(index) {
            Some(path) => diagnose::refusal(path, index, errno, proc),
            None => Refusal::new(index, errno),
        }
    }
}

fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

fn candidates(name: &OsStr, environment: &[(OsString, OsString)]) -> Result<Vec<CString>> {
    let name = name.as_bytes();
    if name.contains(&b'/') || name.is_empty() {
        return Ok(vec![c_string(name)?]);
    }
    let path = environment.iter().find(|(key, _)| key == "PATH").map_or(DEFAULT_PATH, |(_, value)| value.as_bytes());
    path.split(|byte| *byte == b':')
        .map(|directory| {
            // An empty element means the working directory (execvp(3)).
            let directory = if directory.is_empty() { b"." } else { directory };
            c_string(&[directory, b"/", name].concat())
        })
        .collect()
}

fn environment_of(environment: &[(OsString, OsString)]) -> Result<Vec<CString>> {
    environment.iter().map(|(name, value)| c_string(&[name.as_bytes(), b"=", value.as_bytes()].concat())).collect()
}

fn c_string(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| {
        let shown = crate::printable(bytes).into_owned();
        Error::new(ErrorKind::Invalid, format!("a NUL byte cannot be passed to a program: {shown}"))
    })
}

/// Splits `NAME=value` strings, as `/proc/PID/environ` and the environment of a process hold them.
pub(crate) fn split_variable(entry: &[u8]) -> Option<(OsString, OsString)> {
    // A name may begin with '=' nowhere; what is malformed is left out.
    let equals = entry.iter().position(|byte| *byte == b'=').filter(|equals| *equals > 0)?;
    let (name, value) = (&entry[..equals], &entry[equals + 1..]);
    Some((OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(path: &str) -> Vec<(OsString, OsString)> {
        vec![("PATH".into(), path.into())]
    }

    #[test]
    fn a_name_is_looked_for_in_the_path_of_its_own_environment() {
        let program = Program::new(&["ls".into()], &environment("/a::/b")).unwrap();
        assert_eq!(program.candidates(), [c"/a/ls".to_owned(), c"./ls".to_owned(), c"/b/ls".to_owned()]);
        let program = Program::new(&["./ls".into()], &environment("/a")).unwrap();
        assert_eq!(program.candidates(), [c"./ls".to_owned()]);
        assert_eq!(Program::new(&["ls".into()], &[]).unwrap().candidates().len(), 6);
    }

    #[test]
    fn a_login_shell_is_told_by_its_hyphen() {
        let program = Program::login_shell(&[b"/bin/bash".to_vec(), b"/bin/sh".to_vec()], &[]).unwrap();
        assert_eq!(program.arguments(), [c"-bash".to_owned()]);
        assert_eq!(program.candidates().len(), 2);
    }

    #[test]
    fn variables_are_split_at_the_first_equals_sign() {
        assert_eq!(split_variable(b"A=b=c"), Some(("A".into(), "b=c".into())));
        assert_eq!(split_variable(b"A="), Some(("A".into(), "".into())));
        assert_eq!((split_variable(b"A"), split_variable(b"=A")), (None, None));
    }
}
