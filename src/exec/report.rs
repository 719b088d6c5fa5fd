//! How a child that fails before its program runs tells the parent: a record of fixed size over a pipe.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pipe::PipeFlags;

use super::diagnose::Cause;

/// The longest interpreter name that is passed on; a longer one is cut.
const NAME_MAX: usize = 200;
const RECORD: usize = 20 + NAME_MAX;

/// Which step failed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The number of the step, as its owner counts them.
    pub step: u32,
    /// The errno.
    pub errno: i32,
    /// Why the program could not be executed, if that was the step.
    pub refusal: Option<Refusal>,
}

/// Why a program could not be executed, found out where it was tried: in the child, among the target's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which of the program's candidates is meant.
    pub candidate: usize,
    /// The errno of execve(2).
    pub errno: i32,
    /// The cause, where it could be told.
    pub(crate) cause: Cause,
    name: [u8; NAME_MAX],
    name_length: usize,
}

impl Refusal {
    /// Makes one without a cause beyond the errno.
    pub(crate) fn new(candidate: usize, errno: i32) -> Self {
        Self { candidate, errno, cause: Cause::Unknown, name: [0; NAME_MAX], name_length: 0 }
    }

    /// Adds the cause, with the name of the file that is to blame, if another than the candidate.
    pub(crate) fn because(mut self, cause: Cause, name: &[u8]) -> Self {
        let length = name.len().min(NAME_MAX);
        self.name[..length].copy_from_slice(&name[..length]);
        self.name_length = length;
        self.cause = cause;
        self
    }

    /// Returns the name of the interpreter that is to blame; empty if the candidate itself is.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name[..self.name_length]
    }
}

/// The parent's end.
#[derive(Debug)]
pub(crate) struct Reader(OwnedFd);

/// The child's end; it closes when the program is executed.
#[derive(Debug)]
pub(crate) struct Writer(OwnedFd);

/// Makes the pipe.
///
/// # Errors
/// No descriptor left.
pub(crate) fn pipe() -> io::Result<(Reader, Writer)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    Ok((Reader(reader), Writer(writer)))
}

impl Writer {
    /// Sends a failure. If nobody reads, nobody can be told.
    pub(crate) fn send(&self, failure: &Failure) {
        // Below PIPE_BUF, so it arrives whole.
        let _ = rustix::io::write(&self.0, &encode(failure));
    }
}

impl AsFd for Writer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Reader {
    /// Waits for the outcome: `None` when the program runs, or the child ended without a word.
    pub(crate) fn receive(&self) -> Option<Failure> {
        let mut record = [0; RECORD];
        loop {
            match rustix::io::read(&self.0, &mut record) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(RECORD) => return Some(decode(&record)),
                _ => return None,
            }
        }
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn encode(failure: &Failure) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let refusal = failure.refusal.unwrap_or(Refusal::new(0, 0));
    let numbers = [
        failure.step,
        failure.errno as u32,
        u32::from(failure.refusal.is_some()) << 31 | refusal.candidate as u32,
        refusal.cause.encode(),
        refusal.name_length as u32,
    ];
    for (place, number) in record.chunks_exact_mut(4).zip(numbers) {
        place.copy_from_slice(&number.to_ne_bytes());
    }
    record[20..].copy_from_slice(&refusal.name);
    record
}

fn decode(record: &[u8; RECORD]) -> Failure {
    let mut numbers = [0u32; 5];
    for (place, number) in record.chunks_exact(4).zip(&mut numbers) {
        *number = u32::from_ne_bytes([place[0], place[1], place[2], place[3]]);
    }
    let [step, errno, candidate, cause, length] = numbers;
    let errno = errno as i32;
    let refusal = (candidate >> 31 == 1).then(|| {
        let name = &record[20..20 + (length as usize).min(NAME_MAX)];
        Refusal::new((candidate & 0xffff) as usize, errno).because(Cause::decode(cause), name)
    });
    Failure { step, errno, refusal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_arrives_as_it_was_sent() {
        for refusal in [
            None,
            Some(Refusal::new(3, libc::ENOENT)),
            Some(Refusal::new(1, libc::ENOENT).because(Cause::ScriptInterpreter, b"/opt/\xff")),
            Some(Refusal::new(0, libc::ENOEXEC).because(Cause::Architecture(183), b"")),
        ] {
            let errno = refusal.map_or(libc::EPERM, |refusal| refusal.errno);
            let sent = Failure { step: 7, errno, refusal };
            let (reader, writer) = pipe().unwrap();
            writer.send(&sent);
            assert_eq!(reader.receive(), Some(sent));
        }
    }

    #[test]
    fn an_end_of_file_says_that_the_program_runs() {
        let (reader, writer) = pipe().unwrap();
        drop(writer);
        assert_eq!(reader.receive(), None);
    }
}
