//! Who uses a filesystem or a block device without any process: the kernel itself, for swap, loop devices, and the
//! devices that are made of others.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags};

use crate::model::Device;
use crate::proc::mountinfo;
use crate::sys::loop_device;

/// A use that no process has part in.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KernelUse {
    /// Swap space in this file, or on this device.
    Swap(Vec<u8>),
    /// A loop device, such as `/dev/loop0`, whose content is this file.
    Loop {
        /// The device.
        device: PathBuf,
        /// The file, as whoever set it up called it.
        file: Vec<u8>,
    },
    /// A device made of it, such as `/dev/dm-0`: device mapper (LVM, encryption), or RAID.
    Stacked(PathBuf),
}

impl KernelUse {
    /// Finds the uses of a filesystem, or of a block device, by its number. What cannot be read is left out.
    pub fn of(device: Device) -> Vec<Self> {
        let swaps = std::fs::read("/proc/swaps").unwrap_or_default();
        find(device, Path::new("/sys"), Path::new("/dev"), &swaps, &|path| examine(path).ok())
    }
}

/// What a path leads to.
struct Examined {
    /// The device of its filesystem.
    on: Device,
    /// The device it is, if it is a block device.
    block: Option<Device>,
}

/// Looks without waiting for a file server that is gone.
fn examine(path: &Path) -> io::Result<Examined> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let stat = rustix::fs::statx(rustix::fs::CWD, path, flags, StatxFlags::BASIC_STATS)?;
    let is_block = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::BlockDevice;
    Ok(Examined {
        on: Device { major: stat.stx_dev_major, minor: stat.stx_dev_minor },
        block: is_block.then_some(Device { major: stat.stx_rdev_major, minor: stat.stx_rdev_minor }),
    })
}

fn find(
    device: Device,
    sys: &Path,
    dev: &Path,
    swaps: &[u8],
    examine: &dyn Fn(&Path) -> Option<Examined>,
) -> Vec<KernelUse> {
    let uses = |path: &Path| examine(path).is_some_and(|found| found.block.unwrap_or(found.on) == device);
    let of_swap = swap_places(swaps).filter(|path| uses(Path::new(std::ffi::OsStr::from_bytes(path))));
    let mut found: Vec<KernelUse> = of_swap.map(KernelUse::Swap).collect();
    found.extend(loops(sys, dev).filter_map(|(device_file, file)| {
        // The kernel knows on which filesystem the file is, wherever its path leads from here.
        let told = open_loop(&device_file).and_then(|fd| loop_device::backing_device(fd.as_fd()));
        let is_on = match told {
            Ok(number) => Device { major: rustix::fs::major(number), minor: rustix::fs::minor(number) } == device,
            Err(_) => uses(Path::new(std::ffi::OsStr::from_bytes(&file))),
        };
        is_on.then_some(KernelUse::Loop { device: device_file, file })
    }));
    let holders = std::fs::read_dir(sys.join(format!("dev/block/{device}/holders")));
    let holders = holders.into_iter().flatten().filter_map(Result::ok);
    found.extend(holders.map(|entry| KernelUse::Stacked(dev.join(entry.file_name()))));
    found.sort_unstable();
    found
}

/// Returns the paths of `/proc/swaps`: those of its first column, below a header.
fn swap_places(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let lines = text.split(|byte| *byte == b'\n').skip(1);
    let path = |line: &[u8]| line.split(|byte| matches!(byte, b' ' | b'\t')).next().map(mountinfo::unescape);
    lines.filter_map(path).filter(|path| !path.is_empty())
}

/// Returns the loop devices that have a file, and the file.
fn loops(sys: &Path, dev: &Path) -> impl Iterator<Item = (PathBuf, Vec<u8>)> {
    let devices = std::fs::read_dir(sys.join("block")).into_iter().flatten().filter_map(Result::ok);
    devices.filter(|entry| entry.file_name().as_bytes().starts_with(b"loop")).filter_map(move |entry| {
        let mut file = std::fs::read(entry.path().join("loop/backing_file")).ok()?;
        if file.last() == Some(&b'\n') {
            file.pop();
        }
        Some((dev.join(std::ffi::OsString::from_vec(entry.file_name().into_vec())), file))
    })
}

/// Opens a loop device, if the path is one.
fn open_loop(path: &Path) -> io::Result<OwnedFd> {
    /// `LOOP_MAJOR`.
    const MAJOR: u32 = 7;
    let is_loop = |found: Examined| found.block.is_some_and(|device| device.major == MAJOR);
    if !examine(path).is_ok_and(is_loop) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of /sys and /dev in a directory of its own.
    struct Picture(PathBuf);

    impl Picture {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("nstool-kernel-users-{}", std::process::id()));
            let file = |name: &str, text: &str| {
                let file = path.join(name);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, text).unwrap();
            };
            file("block/loop0/size", "0\n");
            file("block/loop3/loop/backing_file", "/images/a b.img\n");
            file("block/loop4/loop/backing_file", "/elsewhere/c.img\n");
            file("block/sda/size", "7\n");
            file("dev/block/8:1/holders/dm-0", "");
            file("dev/block/8:2/holders/md127", "");
            Self(path)
        }
    }

    impl Drop for Picture {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn swap_loop_and_stacked_devices_are_found_by_where_they_lie() {
        let picture = Picture::new();
        let swaps = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
            /swap\\040file                             file\t\t1024\t\t0\t\t-2\n\
            /dev/sda1                               partition\t1024\t\t0\t\t-3\n\
            /elsewhere/swap                         file\t\t1024\t\t0\t\t-4\n";
        let root = Device { major: 254, minor: 0 };
        let sda1 = Device { major: 8, minor: 1 };
        let examine = |path: &Path| {
            let block = (path == Path::new("/dev/sda1")).then_some(sda1);
            let on = if path.starts_with("/elsewhere") { Device { major: 0, minor: 77 } } else { root };
            Some(Examined { on, block })
        };
        let found = |device| find(device, &picture.0, Path::new("/dev/no/such"), swaps, &examine);
        let of_loop = |name: &str, file: &[u8]| KernelUse::Loop {
            device: Path::new("/dev/no/such").join(name),
            file: file.to_vec(),
        };
        assert_eq!(found(root), [KernelUse::Swap(b"/swap file".to_vec()), of_loop("loop3", b"/images/a b.img")]);
        assert_eq!(
            found(Device { major: 0, minor: 77 }),
            [KernelUse::Swap(b"/elsewhere/swap".to_vec()), of_loop("loop4", b"/elsewhere/c.img")]
        );
        let stacked = KernelUse::Stacked("/dev/no/such/dm-0".into());
        assert_eq!(found(sda1), [KernelUse::Swap(b"/dev/sda1".to_vec()), stacked]);
        assert_eq!(found(Device { major: 9, minor: 9 }), []);
    }

    #[test]
    fn a_machine_without_any_has_none() {
        let none = find(Device { major: 1, minor: 1 }, Path::new("/no"), Path::new("/no"), b"", &|_| None);
        assert_eq!(none, []);
    }
}
