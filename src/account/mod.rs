//! The account database: which user or group a number is, and the other way round.
//!
//! A program asks the C library, and so whatever name service the machine is set up with (nsswitch.conf(5)). A
//! statically linked one reads `/etc/passwd` and `/etc/group` alone: the library would load the machine's name service
//! modules, and with them a second C library, of another release on another machine, which ends in a crash.

use std::io;

#[cfg(any(target_feature = "crt-static", test))]
mod files;
#[cfg(target_feature = "crt-static")]
use files as database;
#[cfg(not(target_feature = "crt-static"))]
use service as database;

/// Returns the name of a user; `None` if the database has none for this number, or cannot be read.
pub fn user_name(uid: u32) -> Option<String> {
    database::user_name(uid).ok().flatten()
}

/// Returns the number of a user; `None` if there is no user of this name.
///
/// # Errors
/// The database cannot be read.
pub fn user_id(name: &str) -> io::Result<Option<u32>> {
    database::user_id(name)
}

/// Returns the number of a group; `None` if there is no group of this name.
///
/// # Errors
/// The database cannot be read.
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    database::group_id(name)
}

/// What the C library answers.
#[cfg(not(target_feature = "crt-static"))]
#[expect(clippy::disallowed_methods, reason = "the one place that asks it")]
mod service {
    use std::io;

    use nix::unistd::{Group, Uid, User};

    pub(super) fn user_name(uid: u32) -> io::Result<Option<String>> {
        Ok(User::from_uid(Uid::from_raw(uid))?.map(|user| user.name))
    }

    pub(super) fn user_id(name: &str) -> io::Result<Option<u32>> {
        Ok(User::from_name(name)?.map(|user| user.uid.as_raw()))
    }

    pub(super) fn group_id(name: &str) -> io::Result<Option<u32>> {
        Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
    }
}
