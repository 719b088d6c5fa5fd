//! The calls that a plan's steps come down to, behind a trait, so that their order can be tested without any privilege.
//! Nothing here allocates: most of it runs between fork and execve.

use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::facts::Capabilities;
use super::gather::Pinned;
use super::plan::Step;
use crate::kind::NamespaceKind;
use crate::sys::process;

/// What can be done to this process.
pub(crate) trait Kernel {
    fn join(&mut self, handle: usize, kind: NamespaceKind) -> io::Result<()>;
    fn change_root(&mut self) -> io::Result<()>;
    fn change_root_only(&mut self) -> io::Result<()>;
    fn change_directory(&mut self) -> io::Result<()>;
    fn change_directory_to(&mut self, path: &CStr) -> io::Result<()>;
    fn enter_cgroup(&mut self, handle: usize) -> io::Result<()>;
    fn set_limit(&mut self, resource: u32, soft: Option<u64>, hard: Option<u64>) -> io::Result<()>;
    fn set_oom_score(&mut self, score: &CStr) -> io::Result<()>;
    fn limit_capabilities(&mut self, left: &Capabilities) -> io::Result<()>;
    fn set_label(&mut self, file: &CStr, label: &CStr) -> io::Result<()>;
    fn drop_groups(&mut self) -> io::Result<()>;
    fn set_groups(&mut self, groups: &[Gid]) -> io::Result<()>;
    fn set_gid(&mut self, gid: u32) -> io::Result<()>;
    fn set_uid(&mut self, uid: u32, keep_capabilities: bool) -> io::Result<()>;
    fn keep_capabilities(&mut self) -> io::Result<()>;
    fn no_new_privileges(&mut self) -> io::Result<()>;
}

/// Takes one step; `Fork` and `Execute` are not the kernel's alone, so they do nothing here.
pub(crate) fn perform(step: &Step, kernel: &mut impl Kernel) -> io::Result<()> {
    match step {
        Step::Join { handle, kind, .. } => kernel.join(*handle, *kind),
        Step::ChangeRoot => kernel.change_root(),
        Step::ChangeRootOnly => kernel.change_root_only(),
        Step::ChangeDirectory => kernel.change_directory(),
        Step::ChangeDirectoryTo(path) => kernel.change_directory_to(path),
        Step::EnterCgroup { handle, .. } => kernel.enter_cgroup(*handle),
        Step::SetLimit(resource, soft, hard) => kernel.set_limit(*resource, *soft, *hard),
        Step::SetOomScore(score) => kernel.set_oom_score(score),
        Step::LimitCapabilities(left) => kernel.limit_capabilities(left),
        Step::SetLabel(label) => kernel.set_label(label.file, &label.text),
        Step::DropGroups { if_allowed } => match kernel.drop_groups() {
            Err(error) if *if_allowed && error.raw_os_error() == Some(libc::EPERM) => Ok(()),
            result => result,
        },
        Step::SetGroups(groups) => kernel.set_groups(groups),
        Step::SetGid(gid) => kernel.set_gid(*gid),
        Step::SetUid { uid, keep } => kernel.set_uid(*uid, *keep),
        Step::KeepCapabilities => kernel.keep_capabilities(),
        Step::NoNewPrivileges => kernel.no_new_privileges(),
        Step::Fork | Step::Execute => Ok(()),
    }
}

/// The kernel we run on, and the descriptors a plan works with.
pub(crate) struct Linux<'a>(pub(crate) &'a Pinned);

fn missing() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADF)
}

impl Linux<'_> {
    /// Writes a file below our own /proc/self, whatever is mounted on /proc where we are now.
    fn write_own(&self, name: &CStr, content: &[u8]) -> io::Result<()> {
        let proc = self.0.proc.as_ref().ok_or_else(missing)?;
        let file = rustix::fs::openat(proc, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(&file, content)?;
        Ok(())
    }
}

/// Returns what the bounding set still has.
fn bounding() -> io::Result<CapabilitySet> {
    let mut set = CapabilitySet::empty();
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::capability_is_in_bounding_set(one) {
            Ok(true) => set |= one,
            Ok(false) => {}
            // The kernel does not know that many.
            Err(rustix::io::Errno::INVAL) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(set)
}

impl Kernel for Linux<'_> {
    fn join(&mut self, handle: usize, kind: NamespaceKind) -> io::Result<()> {
        process::set_namespace(self.0.namespaces.get(handle).ok_or_else(missing)?.as_fd(), kind)
    }

    fn change_root(&mut self) -> io::Result<()> {
        rustix::process::fchdir(self.0.root.as_ref().ok_or_else(missing)?)?;
        Ok(rustix::process::chroot(c".")?)
    }

    fn change_root_only(&mut self) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(c".", flags, Mode::empty())?;
        self.change_root()?;
        Ok(rustix::process::fchdir(&directory)?)
    }

    fn change_directory(&mut self) -> io::Result<()> {
        Ok(rustix::process::fchdir(self.0.directory.as_ref().ok_or_else(missing)?)?)
    }

    fn change_directory_to(&mut self, path: &CStr) -> io::Result<()> {
        // A link of the target's can lead through a magic one of procfs to a descriptor of ours, a directory of the
        // host's from which `..` leads on (CVE-2024-21626).
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = rustix::fs::ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve) {
            Ok(directory) => return Ok(rustix::process::fchdir(directory)?),
            Err(rustix::io::Errno::NOSYS) => {}
            Err(errno) => return Err(errno.into()),
        }
        // Before Linux 5.6: outside of the root directory getcwd(2) tells no absolute path.
        rustix::process::chdir(path)?;
        let inside = rustix::process::getcwd(Vec::new()).is_ok_and(|path| path.as_bytes().starts_with(b"/"));
        if inside { Ok(()) } else { Err(rustix::io::Errno::LOOP.into()) }
    }

    fn enter_cgroup(&mut self, handle: usize) -> io::Result<()> {
        // 0 is the process that writes (cgroups(7)).
        rustix::io::write(self.0.cgroups.get(handle).ok_or_else(missing)?, b"0")?;
        Ok(())
    }

    fn set_limit(&mut self, resource: u32, soft: Option<u64>, hard: Option<u64>) -> io::Result<()> {
        process::set_limit(resource, soft, hard)
    }

    fn set_oom_score(&mut self, score: &CStr) -> io::Result<()> {
        self.write_own(c"self/oom_score_adj", score.to_bytes())
    }

    fn limit_capabilities(&mut self, left: &Capabilities) -> io::Result<()> {
        let last = CapabilitySet::all().bits().ilog2();
        for number in 0..=last {
            let one = CapabilitySet::from_bits_retain(1 << number);
            // EINVAL: the kernel does not know that many, or has no ambient set.
            if left.bounding & 1 << number == 0 && rustix::thread::capability_is_in_bounding_set(one) == Ok(true) {
                rustix::thread::remove_capability_from_bounding_set(one)?;
            }
            if left.ambient & 1 << number == 0 && rustix::thread::capability_is_in_ambient_set(one) == Ok(true) {
                rustix::thread::configure_capability_in_ambient_set(one, false)?;
            }
        }
        // What is inheritable passes by the bounding set (capabilities(7)).
        let mut sets = rustix::thread::capabilities(None)?;
        let inheritable = CapabilitySet::from_bits_retain(left.inheritable & left.bounding);
        if !inheritable.contains(sets.inheritable) {
            sets.inheritable &= inheritable;
            rustix::thread::set_capabilities(None, sets)?;
        }
        Ok(())
    }

    fn set_label(&mut self, file: &CStr, label: &CStr) -> io::Result<()> {
        self.write_own(file, label.to_bytes())
    }

    fn drop_groups(&mut self) -> io::Result<()> {
        match rustix::thread::set_thread_groups(&[]) {
            // It needs no permission to drop none.
            Err(_) if !process::has_groups() => Ok(()),
            result => Ok(result?),
        }
    }

    fn set_groups(&mut self, groups: &[Gid]) -> io::Result<()> {
        Ok(rustix::thread::set_thread_groups(groups)?)
    }

    fn set_gid(&mut self, gid: u32) -> io::Result<()> {
        let gid = Gid::from_raw(gid);
        Ok(rustix::thread::set_thread_res_gid(gid, gid, gid)?)
    }

    fn set_uid(&mut self, uid: u32, keep_capabilities: bool) -> io::Result<()> {
        if keep_capabilities {
            rustix::thread::set_keep_capabilities(true)?;
        }
        let uid = Uid::from_raw(uid);
        Ok(rustix::thread::set_thread_res_uid(uid, uid, uid)?)
    }

    fn keep_capabilities(&mut self) -> io::Result<()> {
        let permitted = rustix::thread::capabilities(None)?.permitted & bounding()?;
        let sets = CapabilitySets { effective: permitted, permitted, inheritable: permitted };
        rustix::thread::set_capabilities(None, sets)?;
        for number in 0..u64::BITS {
            let one = CapabilitySet::from_bits_retain(1 << number);
            if permitted.contains(one) {
                rustix::thread::configure_capability_in_ambient_set(one, true)?;
            }
        }
        Ok(())
    }

    fn no_new_privileges(&mut self) -> io::Result<()> {
        Ok(rustix::thread::set_no_new_privs(true)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::label::Label;
    use super::super::plan::{Order, Step};
    use super::*;
    use crate::id::NamespaceId;

    /// Writes down what it is told to do, and refuses one call.
    #[derive(Default)]
    struct Recorder {
        calls: Vec<String>,
        refuse: Option<&'static str>,
    }

    impl Recorder {
        fn note(&mut self, call: String) -> io::Result<()> {
            let refused = self.refuse.is_some_and(|name| call.starts_with(name));
            self.calls.push(call);
            if refused { Err(io::Error::from_raw_os_error(libc::EPERM)) } else { Ok(()) }
        }
    }

    impl Kernel for Recorder {
        fn join(&mut self, handle: usize, kind: NamespaceKind) -> io::Result<()> {
            self.note(format!("join {kind} {handle}"))
        }
        fn change_root(&mut self) -> io::Result<()> {
            self.note("chroot".to_owned())
        }
        fn change_root_only(&mut self) -> io::Result<()> {
            self.note("chroot only".to_owned())
        }
        fn change_directory(&mut self) -> io::Result<()> {
            self.note("fchdir".to_owned())
        }
        fn change_directory_to(&mut self, path: &CStr) -> io::Result<()> {
            self.note(format!("chdir {path:?}"))
        }
        fn enter_cgroup(&mut self, handle: usize) -> io::Result<()> {
            self.note(format!("cgroup {handle}"))
        }
        fn set_limit(&mut self, resource: u32, _soft: Option<u64>, _hard: Option<u64>) -> io::Result<()> {
            self.note(format!("limit {resource}"))
        }
        fn set_oom_score(&mut self, score: &CStr) -> io::Result<()> {
            self.note(format!("oom {score:?}"))
        }
        fn limit_capabilities(&mut self, left: &Capabilities) -> io::Result<()> {
            self.note(format!("bounding {}", left.bounding))
        }
        fn set_label(&mut self, file: &CStr, label: &CStr) -> io::Result<()> {
            self.note(format!("label {file:?} {label:?}"))
        }
        fn drop_groups(&mut self) -> io::Result<()> {
            self.note("setgroups".to_owned())
        }
        fn set_groups(&mut self, groups: &[Gid]) -> io::Result<()> {
            self.note(format!("setgroups {groups:?}"))
        }
        fn set_gid(&mut self, gid: u32) -> io::Result<()> {
            self.note(format!("gid {gid}"))
        }
        fn set_uid(&mut self, uid: u32, keep_capabilities: bool) -> io::Result<()> {
            self.note(format!("uid {uid} {keep_capabilities}"))
        }
        fn keep_capabilities(&mut self) -> io::Result<()> {
            self.note("ambient".to_owned())
        }
        fn no_new_privileges(&mut self) -> io::Result<()> {
            self.note("nnp".to_owned())
        }
    }

    fn steps() -> Vec<Step> {
        let join = |kind, handle| Step::Join {
            kind,
            id: NamespaceId { ino: 1, dev: 4 },
            handle,
            level: Some(0),
            order: Order::Any,
        };
        vec![
            join(NamespaceKind::User, 0),
            join(NamespaceKind::Net, 3),
            Step::ChangeRoot,
            Step::Fork,
            Step::DropGroups { if_allowed: false },
            Step::SetGid(0),
            Step::SetUid { uid: 0, keep: true },
            Step::KeepCapabilities,
            Step::SetLabel(Label { module: "SELinux", file: c"attr/exec", text: c"a:b".to_owned() }),
            Step::NoNewPrivileges,
            Step::Execute,
        ]
    }

    #[test]
    fn the_calls_come_in_the_order_of_the_steps() {
        let mut kernel = Recorder::default();
        steps().iter().for_each(|step| perform(step, &mut kernel).unwrap());
        let joins = ["join user 0", "join net 3", "chroot"];
        let credentials = ["setgroups", "gid 0", "uid 0 true", "ambient"];
        let last = ["label \"attr/exec\" \"a:b\"", "nnp"];
        assert_eq!(kernel.calls, [&joins[..], &credentials, &last].concat());
    }

    #[test]
    fn nothing_follows_a_refused_call() {
        let mut kernel = Recorder { refuse: Some("join net"), ..Recorder::default() };
        let failed = steps().iter().position(|step| perform(step, &mut kernel).is_err());
        assert_eq!((failed, kernel.calls.len()), (Some(1), 2));
    }
}
