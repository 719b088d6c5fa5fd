//! statmount(2) and listmount(2): the mount table of any namespace without entering it, since Linux 6.8 (of a foreign
//! namespace since 6.11). Layouts: the kernel's `include/uapi/linux/mount.h`.

use std::io;

use super::probe::Interface;

pub(crate) static STATMOUNT: Interface =
    Interface::new("statmount(2)", "6.8", "/proc/PID/mountinfo of a process that lives there")
        .needing(super::nsfs::MNT_GET_NEXT.name);

const SYS_STATMOUNT: libc::c_long = 457;
const SYS_LISTMOUNT: libc::c_long = 458;

/// The mount id that stands for the root of the namespace in listmount(2).
const LSMT_ROOT: u64 = u64::MAX;

/// Bits of the mask: what statmount(2) shall tell.
pub(crate) const SB_BASIC: u64 = 0x1;
pub(crate) const MNT_BASIC: u64 = 0x2;
pub(crate) const PROPAGATE_FROM: u64 = 0x4;
pub(crate) const MNT_ROOT: u64 = 0x8;
pub(crate) const MNT_POINT: u64 = 0x10;
pub(crate) const FS_TYPE: u64 = 0x20;
pub(crate) const MNT_OPTS: u64 = 0x80;
pub(crate) const FS_SUBTYPE: u64 = 0x100;
pub(crate) const SB_SOURCE: u64 = 0x200;

/// Bits of `mnt_propagation`: the flags of mount(2).
pub(crate) const UNBINDABLE: u64 = 1 << 17;
pub(crate) const SLAVE: u64 = 1 << 19;
pub(crate) const SHARED: u64 = 1 << 20;

/// `struct mnt_id_req`.
#[repr(C)]
struct Request {
    size: u32,
    spare: u32,
    mount_id: u64,
    param: u64,
    namespace_id: u64,
}

impl Request {
    fn new(mount_id: u64, param: u64, namespace_id: u64) -> Self {
        Self { size: size_of::<Self>() as u32, spare: 0, mount_id, param, namespace_id }
    }
}

/// The fixed part of `struct statmount`; the strings follow it, and the fields named after them are offsets there.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Header {
    size: u32,
    mnt_opts: u32,
    pub(crate) mask: u64,
    pub(crate) sb_dev_major: u32,
    pub(crate) sb_dev_minor: u32,
    pub(crate) sb_magic: u64,
    pub(crate) sb_flags: u32,
    fs_type: u32,
    pub(crate) mnt_id: u64,
    pub(crate) mnt_parent_id: u64,
    pub(crate) mnt_id_old: u32,
    pub(crate) mnt_parent_id_old: u32,
    pub(crate) mnt_attr: u64,
    pub(crate) mnt_propagation: u64,
    pub(crate) mnt_peer_group: u64,
    pub(crate) mnt_master: u64,
    pub(crate) propagate_from: u64,
    mnt_root: u32,
    mnt_point: u32,
    mnt_ns_id: u64,
    fs_subtype: u32,
    sb_source: u32,
    reserved: [u64; 48],
}

const _: () = assert!(size_of::<Header>() == 512);

/// A buffer that statmount(2) answers into, used for one mount after the other.
pub(crate) struct Buffer {
    words: Vec<u64>,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { words: vec![0; 1024] }
    }

    fn header(&self) -> &Header {
        // SAFETY: the buffer holds at least 512 bytes, is aligned for u64, and any bit pattern is a valid `Header`.
        unsafe { &*self.words.as_ptr().cast::<Header>() }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the words are initialised, and bytes have no alignment.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast::<u8>(), self.words.len() * 8) }
    }

    /// Asks for what `mask` names of one mount of a namespace. ENOENT: no such mount there, or no right to know.
    pub(crate) fn stat(&mut self, mount_id: u64, namespace_id: u64, mask: u64) -> Option<io::Result<Answer<'_>>> {
        let request = Request::new(mount_id, mask, namespace_id);
        loop {
            let size = self.words.len() * 8;
            let buffer = self.words.as_mut_ptr();
            let result = STATMOUNT.attempt(|| {
                // SAFETY: the kernel reads the request, whose size it is told, and writes at most `size` bytes into
                // the buffer, which is that large.
                let result = unsafe { libc::syscall(SYS_STATMOUNT, &raw const request, buffer, size, 0) };
                super::check(result as libc::c_int)
            })?;
            match result {
                Ok(_) => return Some(Ok(Answer { buffer: self })),
                Err(error) if error.raw_os_error() == Some(libc::EOVERFLOW) && size < 1 << 22 => {
                    self.words.resize(self.words.len() * 2, 0);
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// What statmount(2) told of one mount.
pub(crate) struct Answer<'a> {
    buffer: &'a Buffer,
}

impl<'a> Answer<'a> {
    /// Returns the fixed part; a field is set if its bit is in `mask`.
    pub(crate) fn header(&self) -> &'a Header {
        self.buffer.header()
    }

    /// Returns the string at the offset that `field` picks, if the kernel set the bit; unescaped but for mnt_opts.
    fn string(&self, bit: u64, field: fn(&Header) -> u32) -> Option<&'a [u8]> {
        let header = self.header();
        if header.mask & bit == 0 {
            return None;
        }
        let start = size_of::<Header>() + field(header) as usize;
        let rest = self.buffer.bytes().get(start..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        Some(&rest[..end])
    }

    pub(crate) fn root(&self) -> Option<&'a [u8]> {
        self.string(MNT_ROOT, |header| header.mnt_root)
    }

    pub(crate) fn mount_point(&self) -> Option<&'a [u8]> {
        self.string(MNT_POINT, |header| header.mnt_point)
    }

    pub(crate) fn fs_type(&self) -> Option<&'a [u8]> {
        self.string(FS_TYPE, |header| header.fs_type)
    }

    pub(crate) fn fs_subtype(&self) -> Option<&'a [u8]> {
        self.string(FS_SUBTYPE, |header| header.fs_subtype)
    }

    pub(crate) fn source(&self) -> Option<&'a [u8]> {
        self.string(SB_SOURCE, |header| header.sb_source)
    }

    /// The options of the filesystem, comma separated, with octal escapes.
    pub(crate) fn super_options(&self) -> Option<&'a [u8]> {
        self.string(MNT_OPTS, |header| header.mnt_opts)
    }
}

/// Returns the unique ids of all mounts of a namespace, parents before children. ENOENT: no right to know (wants
/// CAP_SYS_ADMIN over the namespace), or no such namespace. `namespace_id` is the one of NS_MNT_GET_INFO.
pub(crate) fn list(namespace_id: u64) -> Option<io::Result<Vec<u64>>> {
    let mut ids = Vec::new();
    let mut page = vec![0u64; 1024];
    loop {
        // The last id of a full page is where the next one goes on.
        let request = Request::new(LSMT_ROOT, ids.last().copied().unwrap_or(0), namespace_id);
        let result = STATMOUNT.attempt(|| {
            // SAFETY: the kernel reads the request, whose size it is told, and writes at most `page.len()` ids.
            let result = unsafe { libc::syscall(SYS_LISTMOUNT, &raw const request, page.as_mut_ptr(), page.len(), 0) };
            super::check(result as libc::c_int)
        })?;
        match result {
            Ok(count) => {
                ids.extend_from_slice(&page[..count as usize]);
                if (count as usize) < page.len() {
                    return Some(Ok(ids));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}
