//! How the program begins and ends.
//!
//! Before a Rust main() the standard library finds out the bounds of the stack, for which the C library reads
//! /proc/self/maps, and prepares to tell of an overflow: 25 system calls and a twentieth of a millisecond, where `enter` and
//! `unshare` compete with programs that take 1 to 2 ms in all. So the C library's entry is ours; an overflow is a plain
//! SIGSEGV then. With the GNU C library alone, for elsewhere std::env::args() knows nothing without that beginning.

/// The exit status; std's own cannot be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExitCode(u8);

impl ExitCode {
    pub(crate) const SUCCESS: Self = Self(0);
    pub(crate) const FAILURE: Self = Self(1);
}

impl From<u8> for ExitCode {
    fn from(code: u8) -> Self {
        Self(code)
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.0.into()
    }
}

// The attribute is unsafe since a second function of that name would be taken for this one; main.rs has none then.
#[cfg(all(target_env = "gnu", not(test)))]
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn main(_: std::ffi::c_int, _: *const *const std::ffi::c_char) -> std::ffi::c_int {
    nstool::begin();
    // 101 is what a panic ends every Rust program with; it has been told.
    let code = std::panic::catch_unwind(crate::run).map_or(101, |code| code.0.into());
    // This writes what standard output still holds.
    std::process::exit(code)
}
