//! What the child tells while it sets things up, and an init while it runs: records of fixed size over a pipe.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use crate::exec::Ending;
use crate::id::Pid;

const RECORD: usize = 12;

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The step of this number failed.
    Failed(usize, i32),
    /// It is done.
    Done(usize),
    /// The child waits for the steps outside.
    Ready,
    /// A process was made whose parent is to be us.
    Made(Pid),
    /// All is set up, the program comes.
    Launched,
    /// The init reaped an orphan.
    Reaped(Pid, Ending),
    /// This signal stopped the command of the init.
    Stopped(i32),
    /// The command of the init ended.
    Ended(Ending),
}

#[derive(Debug)]
pub(super) struct Listener(OwnedFd);

#[derive(Debug)]
pub(super) struct Speaker(OwnedFd);

/// Makes the pipe.
pub(super) fn pipe() -> io::Result<(Listener, Speaker)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    Ok((Listener(reader), Speaker(writer)))
}

impl Speaker {
    /// Tells. If nobody listens, there is nobody to tell.
    pub(super) fn say(&self, word: Word) {
        let _ = self.tell(word);
    }

    /// Tells, for somebody who has to know whether it was told.
    pub(super) fn tell(&self, word: Word) -> rustix::io::Result<()> {
        // Below PIPE_BUF, so it arrives whole.
        rustix::io::write(&self.0, &encode(word)).map(drop)
    }
}

impl AsFd for Speaker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Listener {
    /// Waits for the next word; `None` when nobody can speak any more.
    pub(super) fn hear(&self) -> Option<Word> {
        let mut record = [0; RECORD];
        loop {
            match rustix::io::read(&self.0, &mut record) {
                Err(Errno::INTR) => {}
                Ok(RECORD) => return decode(&record),
                _ => return None,
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn encode(word: Word) -> [u8; RECORD] {
    let ending = |ending| match ending {
        Ending::Exited(status) => i32::from(status),
        Ending::Signaled(signal) => -signal,
    };
    let (what, first, second) = match word {
        Word::Failed(step, errno) => (1, step as i32, errno),
        Word::Done(step) => (2, step as i32, 0),
        Word::Ready => (3, 0, 0),
        Word::Made(pid) => (4, pid, 0),
        Word::Launched => (5, 0, 0),
        Word::Reaped(pid, how) => (6, pid, ending(how)),
        Word::Stopped(signal) => (7, signal, 0),
        Word::Ended(how) => (8, 0, ending(how)),
    };
    let mut record = [0; RECORD];
    for (place, number) in record.chunks_exact_mut(4).zip([what, first, second]) {
        place.copy_from_slice(&number.to_ne_bytes());
    }
    record
}

fn decode(record: &[u8; RECORD]) -> Option<Word> {
    let mut numbers = [0i32; 3];
    for (place, number) in record.chunks_exact(4).zip(&mut numbers) {
        *number = i32::from_ne_bytes([place[0], place[1], place[2], place[3]]);
    }
    let [what, first, second] = numbers;
    let ending = if second < 0 { Ending::Signaled(-second) } else { Ending::Exited(second as u8) };
    Some(match what {
        1 => Word::Failed(first as usize, second),
        2 => Word::Done(first as usize),
        3 => Word::Ready,
        4 => Word::Made(first),
        5 => Word::Launched,
        6 => Word::Reaped(first, ending),
        7 => Word::Stopped(first),
        8 => Word::Ended(ending),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_arrives_as_it_was_said() {
        let (listener, speaker) = pipe().unwrap();
        for word in [
            Word::Failed(7, libc::EPERM),
            Word::Done(3),
            Word::Ready,
            Word::Made(4_000_000),
            Word::Launched,
            Word::Reaped(7, Ending::Exited(255)),
            Word::Reaped(7, Ending::Signaled(9)),
            Word::Stopped(libc::SIGTTIN),
            Word::Ended(Ending::Exited(0)),
        ] {
            speaker.say(word);
            assert_eq!(listener.hear(), Some(word));
        }
        drop(speaker);
        assert_eq!(listener.hear(), None);
    }
}
