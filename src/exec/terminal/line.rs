//! What the outer side and the child between tell each other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

/// One end of the line.
pub(super) struct Line(OwnedFd);

/// What is said on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Nothing so far.
    Nothing,
    /// Outward: the command, in the background, wants the terminal.
    Wish,
    /// Outward: the command was stopped as by a key, and so will be whoever says it.
    Stopped,
    /// Inward: the terminal is yours.
    Foreground,
    /// Inward: it is another job's now.
    Background,
    /// Nobody is at the other end any more.
    End,
}

impl Line {
    /// Makes both ends.
    ///
    /// # Errors
    /// No descriptor left.
    pub(super) fn pair() -> io::Result<(Self, Self)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Of packets, so that each word is heard by itself.
        let (one, other) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Self(one), Self(other)))
    }

    pub(super) fn say(&self, word: Word) {
        let letter: &[u8] = match word {
            Word::Wish => b"?",
            Word::Stopped => b"z",
            Word::Foreground => b"+",
            Word::Background => b"-",
            Word::Nothing | Word::End => return,
        };
        let _ = rustix::net::send(&self.0, letter, SendFlags::NOSIGNAL);
    }

    /// Hears the next word, without waiting for one.
    pub(super) fn hear(&self) -> Word {
        let mut letter = [0];
        match rustix::io::read(&self.0, &mut letter) {
            Ok(1) => match letter[0] {
                b'?' => Word::Wish,
                b'z' => Word::Stopped,
                b'+' => Word::Foreground,
                b'-' => Word::Background,
                _ => Word::Nothing,
            },
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Word::Nothing,
            _ => Word::End,
        }
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_heard_by_itself_and_the_end_last() {
        let (inside, outside) = Line::pair().unwrap();
        assert_eq!(outside.hear(), Word::Nothing);
        let words = [Word::Wish, Word::Stopped, Word::Foreground, Word::Background];
        words.iter().for_each(|word| inside.say(*word));
        drop(inside);
        assert_eq!(words.map(|_| outside.hear()), words);
        assert_eq!(outside.hear(), Word::End);
    }
}
