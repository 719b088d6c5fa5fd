//! What the first bytes of a file say it is. Nothing here allocates.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

/// What the first bytes of a file say it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form<'a> {
    /// A script and its interpreter.
    Script(&'a [u8]),
    /// An ELF file for that machine.
    Elf { machine: u16 },
    /// Anything else.
    Other,
}

/// How much of a file is looked at.
pub(super) const HEAD: usize = 4096;

/// The machine we run on, as ELF headers name it; `None` where this table has none.
pub(super) const OWN_MACHINE: Option<u16> = if cfg!(target_arch = "x86_64") {
    Some(62)
} else if cfg!(target_arch = "aarch64") {
    Some(183)
} else {
    None
};

pub(super) fn form(head: &[u8]) -> Form<'_> {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or(line).trim_ascii_start();
        let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t' | 0)).unwrap_or(line.len());
        return Form::Script(&line[..end]);
    }
    match head {
        [0x7f, b'E', b'L', b'F', _, order, ..] if head.len() >= 20 => {
            // Byte 5 is the byte order: 1 little, 2 big.
            let pair = [head[18], head[19]];
            let machine = if *order == 2 { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
            Form::Elf { machine }
        }
        _ => Form::Other,
    }
}

/// Reads the name of the ELF interpreter of a file of our byte order (elf(5): program header PT_INTERP).
pub(super) fn elf_interpreter<'a>(file: &OwnedFd, head: &[u8], name: &'a mut [u8; 256]) -> Option<&'a CStr> {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, bytes: usize| -> Option<u64> {
        let field = head.get(at..at.checked_add(bytes)?)?;
        Some(match bytes {
            2 => u64::from(u16::from_ne_bytes(field.try_into().ok()?)),
            4 => u64::from(u32::from_ne_bytes(field.try_into().ok()?)),
            _ => u64::from_ne_bytes(field.try_into().ok()?),
        })
    };
    // Byte 4 is the class: 2 is 64 bits. Where e_phoff, e_phentsize and e_phnum stand, and in a program header
    // p_offset and p_filesz.
    let wide = head.get(4) == Some(&2);
    let (table, size, count) = if wide {
        (number(32, 8)?, number(54, 2)?, number(56, 2)?)
    } else {
        (number(28, 4)?, number(42, 2)?, number(44, 2)?)
    };
    for index in 0..count {
        let entry = usize::try_from(table.checked_add(index * size)?).ok()?;
        if number(entry, 4)? != PT_INTERP {
            continue;
        }
        let (offset, length) = if wide {
            (number(entry + 8, 8)?, number(entry + 32, 8)?)
        } else {
            (number(entry + 4, 4)?, number(entry + 16, 4)?)
        };
        let length = usize::try_from(length).ok()?.min(name.len());
        let count = rustix::io::pread(file, &mut name[..length], offset).ok()?;
        return CStr::from_bytes_until_nul(&name[..count]).ok();
    }
    None
}
