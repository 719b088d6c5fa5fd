//! How a plan reads.

use std::ffi::{CString, OsStr};
use std::fmt;

use super::plan::{Action, MapWriter, Place, Plan};
use crate::kind::NamespaceKind;
use crate::printable;

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |text: &OsStr| printable(text.as_encoded_bytes()).into_owned();
        let c = |text: &CString| printable(text.to_bytes()).into_owned();
        match self {
            Self::MakeCgroup(path) => write!(f, "make the control group {}", bytes(path.as_os_str())),
            Self::JoinCgroup(path) => write!(f, "join the control group {}", bytes(path.as_os_str())),
            Self::BecomeOwner(uid, gid) => write!(f, "become uid {uid}, gid {gid}, to own the user namespace"),
            Self::Create { kinds, child } => {
                let names = kinds.iter().map(NamespaceKind::name).collect::<Vec<_>>().join(" ");
                match (child, names.as_str()) {
                    (true, "") => f.write_str("start a child"),
                    (true, names) => write!(f, "start a child in new namespaces: {names}"),
                    (false, names) => write!(f, "create namespaces: {names}"),
                }
            }
            Self::TellChild(_) => f.write_str("tell the child's pid and namespaces"),
            Self::AwaitMaps => f.write_str("wait for the id maps that somebody else writes"),
            Self::SetGroupsPolicy(true) => f.write_str("allow setgroups"),
            Self::SetGroupsPolicy(false) => f.write_str("deny setgroups"),
            Self::WriteMap { kind, map, writer } => {
                let lines = map.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                write!(f, "write {}: {lines}", kind.map_file())?;
                match writer {
                    MapWriter::Helper => write!(f, " (with {})", kind.helper()),
                    MapWriter::Own | MapWriter::Outside => Ok(()),
                }
            }
            Self::CreateLater(kind) => write!(f, "create namespaces: {kind}"),
            Self::OutrankMounts => f.write_str("have the mount namespace numbered above ours"),
            Self::Offset(clock, seconds) => write!(f, "set the {} clock off by {seconds} s", clock.name()),
            Self::Propagate(propagation) => write!(f, "make all mounts {propagation}"),
            Self::Hostname(name) => write!(f, "set the host name {}", bytes(name)),
            Self::Domainname(name) => write!(f, "set the domain name {}", bytes(name)),
            Self::LoopbackUp => f.write_str("bring the loopback device up"),
            Self::OpenRoot { dir, bind: true } => write!(f, "bind {} on itself", c(dir)),
            Self::OpenRoot { dir, bind: false } => write!(f, "open the new root {}", c(dir)),
            Self::Operate(operation) => operation.fmt(f),
            Self::MountProc(path) => write!(f, "mount proc on {}", c(path)),
            Self::MountBinfmt(place) => write!(f, "mount binfmt_misc on {place}"),
            Self::ChangeRoot { pivot: true } => f.write_str("pivot to the new root and detach the old one"),
            Self::ChangeRoot { pivot: false } => f.write_str("change the root (chroot)"),
            Self::Register { line, .. } => write!(f, "register the interpreter {}", c(line)),
            Self::ChangeDirectory(directory) => write!(f, "change to the directory {}", c(directory)),
            Self::Fork => f.write_str("go on as a child"),
            Self::Persist(kind, file) => write!(f, "bind the {kind} namespace to {}", bytes(file.as_os_str())),
            Self::StartInit => f.write_str("stay as init, and start the command as its child"),
            Self::Bound(_) => f.write_str("take capabilities out of reach"),
            Self::SetGroup { gid, drop_groups: true } => write!(f, "become gid {gid} without supplementary groups"),
            Self::SetGroup { gid, drop_groups: false } => write!(f, "become gid {gid}"),
            Self::SetUser(uid) => write!(f, "become uid {uid}"),
            Self::Keep { capabilities: None } => f.write_str("keep the capabilities over the exec"),
            Self::Keep { capabilities: Some(_) } => f.write_str("hold the capabilities asked for"),
            Self::NoNewPrivileges => f.write_str("forbid gaining privileges"),
            Self::Exec(command) => {
                f.write_str("exec")?;
                command.iter().try_for_each(|word| write!(f, " {}", bytes(word)))
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut place = Place::Command;
        for (index, step) in self.steps.iter().enumerate() {
            // In one process there is nobody else to name.
            if self.forks && step.place != place {
                place = step.place;
                f.write_str(match place {
                    Place::Outside => "outside:\n",
                    Place::Inside => "in the child:\n",
                    Place::Command => "in the command's process:\n",
                })?;
            }
            writeln!(f, "{:3}  {}", index + 1, step.action)?;
        }
        Ok(())
    }
}
