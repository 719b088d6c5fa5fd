//! The environment a command gets, and the passwd entry that tells its shell and home: read as data, never through the
//! name service, which would run the target's libraries with our rights.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::files::read_below;
use super::request::{Environment, Request};
use crate::error::Result;
use crate::exec::split_variable;
use crate::printable;
use crate::proc::Proc;
use crate::target::PinnedProcess;

type Variables = Vec<(OsString, OsString)>;

/// The PATH of a clean environment.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A passwd file is no longer than this, or we do not look at the rest.
const PASSWD_LIMIT: usize = 1 << 20;

/// What is used of a passwd entry (passwd(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passwd {
    pub(crate) name: Vec<u8>,
    pub(crate) home: Vec<u8>,
    pub(crate) shell: Vec<u8>,
}

/// Reads the entry of `uid` from `etc/passwd` below `root`; from ours without one.
pub(crate) fn passwd(root: Option<&OwnedFd>, proc: Option<&Proc>, uid: u32) -> Option<Passwd> {
    let text = match root {
        Some(root) => read_below(root, proc, "etc/passwd", PASSWD_LIMIT).ok()?,
        None => std::fs::read("/etc/passwd").ok()?,
    };
    text.split(|byte| *byte == b'\n').find_map(|line| entry(line, uid))
}

fn entry(line: &[u8], uid: u32) -> Option<Passwd> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    let [name, _, id, _, _, home, shell] = fields[..] else { return None };
    let id: u32 = std::str::from_utf8(id).ok()?.parse().ok()?;
    let usable = id == uid && !line.contains(&0);
    usable.then(|| Passwd { name: name.to_vec(), home: home.to_vec(), shell: shell.to_vec() })
}

/// Puts the environment together. `inside` tells that the mount namespace is joined; `passwd` is asked only if the entry
/// is needed.
pub(crate) fn environment<'a>(
    request: &Request,
    process: Option<&PinnedProcess>,
    inside: bool,
    passwd: impl Fn() -> Option<&'a Passwd>,
    remarks: &mut Vec<String>,
) -> Result<Variables> {
    let choice = match request.environment {
        Environment::Unasked if inside && process.is_some() => Environment::Target,
        // A mount namespace without a process to ask: nothing of ours belongs there.
        Environment::Unasked if inside => Environment::Clean,
        Environment::Unasked => Environment::Keep,
        chosen => chosen,
    };
    let mut variables = match (choice, process) {
        (Environment::Target, Some(process)) => match process.environment() {
            Ok(text) if inside || request.literal => with_term(of_target(&text)),
            Ok(text) => with_term(for_our_files(of_target(&text), remarks)),
            Err(error) if request.environment == Environment::Target => {
                return Err(process.cannot("read the environment", error));
            }
            Err(_) => {
                remarks.push("the target's environment cannot be read: a clean one is used".to_owned());
                clean(passwd())
            }
        },
        (Environment::Keep, _) => std::env::vars_os().collect(),
        _ => clean(passwd()),
    };
    for (name, value) in &request.variables {
        set(&mut variables, name, value.clone());
    }
    Ok(variables)
}

/// Splits `/proc/PID/environ`. A process may have overwritten it with anything; what is no variable is left out.
fn of_target(text: &[u8]) -> Variables {
    text.split(|byte| *byte == 0).filter_map(split_variable).collect()
}

/// Takes out what would let the target choose which of our files a program is, or which it loads and reads: it would run
/// what it likes with our rights. Our own PATH stands in for its.
fn for_our_files(mut variables: Variables, remarks: &mut Vec<String>) -> Variables {
    let steering: Vec<_> = variables.iter().filter(|(name, _)| steers(name.as_bytes())).cloned().collect();
    variables.retain(|variable| !steering.contains(variable));
    if let Some(path) = std::env::var_os("PATH") {
        variables.push(("PATH".into(), path));
    }
    let names: Vec<_> = steering.iter().map(|(name, _)| name.as_bytes()).filter(|name| *name != b"PATH").collect();
    if !names.is_empty() {
        let names: Vec<_> = names.into_iter().map(printable).collect();
        remarks.push(format!(
            "not taken from its environment, since they would choose what our own files load: {}",
            names.join(", ")
        ));
    }
    variables
}

/// Tells whether a variable names files for the dynamic loader, the C library (ld.so(8): those that it ignores in
/// secure-execution mode) or a shell to load, or places to look for programs.
fn steers(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 19] = [
        b"PATH",
        b"GCONV_PATH",
        b"GETCONF_DIR",
        b"GLIBC_TUNABLES",
        b"HOSTALIASES",
        b"LOCALDOMAIN",
        b"LOCPATH",
        b"MALLOC_TRACE",
        b"NIS_PATH",
        b"NLSPATH",
        b"RESOLV_HOST_CONF",
        b"RES_OPTIONS",
        b"TMPDIR",
        b"TZDIR",
        b"ENV",
        b"BASH_ENV",
        b"BASHOPTS",
        b"SHELLOPTS",
        b"PS4",
    ];
    name.starts_with(b"LD_") || name.starts_with(b"BASH_FUNC_") || NAMES.contains(&name)
}

fn with_term(mut variables: Variables) -> Variables {
    match std::env::var_os("TERM") {
        Some(term) => set(&mut variables, "TERM".as_ref(), term),
        None => variables.retain(|(name, _)| name != "TERM"),
    }
    variables
}

fn clean(passwd: Option<&Passwd>) -> Variables {
    let mut variables: Variables = vec![("PATH".into(), USUAL_PATH.into())];
    if let Some(Passwd { name, home, shell }) = passwd {
        let entries = [("HOME", home), ("USER", name), ("LOGNAME", name), ("SHELL", shell)];
        let filled = entries.into_iter().filter(|(_, value)| !value.is_empty());
        variables.extend(filled.map(|(name, value)| (name.into(), OsString::from_vec(value.clone()))));
    }
    with_term(variables)
}

fn set(variables: &mut Variables, name: &std::ffi::OsStr, value: OsString) {
    variables.retain(|(existing, _)| existing.as_bytes() != name.as_bytes());
    variables.push((name.to_owned(), value));
}

/// Returns the shells to try: among the target's files the one of the passwd entry; among ours first $SHELL.
pub(crate) fn shells(passwd: Option<&Passwd>, inside: bool) -> Vec<Vec<u8>> {
    let own = std::env::var_os("SHELL").filter(|_| !inside).map(OsStringExt::into_vec);
    let of_user = passwd.map(|passwd| passwd.shell.clone());
    let mut shells: Vec<Vec<u8>> = own.into_iter().chain(of_user).chain([b"/bin/sh".to_vec()]).collect();
    shells.retain(|shell| shell.starts_with(b"/"));
    shells.dedup();
    shells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_by_uid_and_odd_lines_are_passed_over() {
        let line = b"app:x:1000:1000:An app,,:/home/app:/bin/zsh";
        let found = entry(line, 1000).unwrap();
        assert_eq!(
            (&found.name[..], &found.home[..], &found.shell[..]),
            (&b"app"[..], &b"/home/app"[..], &b"/bin/zsh"[..])
        );
        assert_eq!(entry(line, 0), None);
        for odd in [&b""[..], b"+::::::", b"root:x:0:0", b"a:b:-1:0:::", b"r\0t:x:0:0::/:/bin/sh"] {
            assert_eq!(entry(odd, 0), None);
        }
    }

    #[test]
    fn the_targets_environment_is_taken_as_it_is_but_for_what_is_no_variable() {
        let variables = of_target(b"A=1\0nonsense\0B=x=y\0\0=z\0");
        assert_eq!(variables, [("A".into(), "1".into()), ("B".into(), "x=y".into())]);
    }

    #[test]
    fn among_our_files_the_target_does_not_choose_what_a_program_is_and_loads() {
        let text = b"A=1\0PATH=/tmp\0LD_PRELOAD=/tmp/a.so\0BASH_FUNC_ls%%=() { :; }\0LD=2\0GLIBC_TUNABLES=x\0";
        let mut remarks = Vec::new();
        let mut variables = for_our_files(of_target(text), &mut remarks);
        variables.retain(|(name, value)| name != "PATH" || *value != std::env::var_os("PATH").unwrap());
        assert_eq!(variables, [("A".into(), "1".into()), ("LD".into(), "2".into())]);
        assert!(remarks[0].ends_with(": LD_PRELOAD, BASH_FUNC_ls%%, GLIBC_TUNABLES"), "{remarks:?}");
    }

    #[test]
    fn a_shell_is_a_path_and_bin_sh_comes_last() {
        let passwd = Passwd { name: b"a".to_vec(), home: b"/".to_vec(), shell: b"/bin/zsh".to_vec() };
        assert_eq!(shells(Some(&passwd), true), [b"/bin/zsh".to_vec(), b"/bin/sh".to_vec()]);
        let nologin = Passwd { shell: Vec::new(), ..passwd };
        assert_eq!(shells(Some(&nologin), true), [b"/bin/sh".to_vec()]);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text: Vec<u8>, uid: u32) {
            let _ = (of_target(&text), entry(&text, uid));
        }
    }
}
