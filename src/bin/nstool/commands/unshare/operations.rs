//! The options that build a filesystem: what counts is their order, which clap tells only by indices.

use std::os::unix::ffi::OsStrExt;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Arg, ArgAction, ArgMatches};
use nstool::Result;
use nstool::create::{Operation, TargetPath};

/// The building blocks, in the order given.
#[derive(Clone, Debug, Default)]
pub(super) struct Operations(pub(super) Vec<Operation>);

type Read = fn(&[u8]) -> Result<Operation>;

/// An option: its name, its value's, its help, and what its value means.
const OPTIONS: [(&str, &str, &str, Read); 8] = [
    (
        "bind",
        "SRC:DST",
        "Bind SRC, with all mounts below it, to DST in the new root (nosuid, nodev); DST is made if missing. \
         SRC alone goes to the same place, `\\:` is a colon of a name",
        |value| Operation::bind(value, false),
    ),
    ("ro-bind", "SRC:DST", "The same, read-only", |value| Operation::bind(value, true)),
    ("tmpfs", "DST[:size=...]", "Mount an empty tmpfs, with options of tmpfs(5)", Operation::tmpfs),
    ("dev", "DIR", "Make a small /dev: null, zero, full, random, urandom, tty, pts, shm", |value| {
        Ok(Operation::Dev { target: TargetPath::new(value)? })
    }),
    ("proc", "DIR", "Mount a new procfs", |value| Ok(Operation::Proc { target: TargetPath::new(value)? })),
    ("sysfs", "DIR", "Mount a sysfs, of the new network namespace", |value| {
        Ok(Operation::Sysfs { target: TargetPath::new(value)? })
    }),
    ("symlink", "TEXT:DST", "Make a symbolic link DST that says TEXT", Operation::symlink),
    ("dir", "DIR", "Make a directory", |value| Ok(Operation::Dir { target: TargetPath::new(value)? })),
];

impl clap::Args for Operations {
    fn augment_args(command: clap::Command) -> clap::Command {
        OPTIONS.iter().fold(command, |command, (name, value, help, read)| {
            let option = Arg::new(*name).long(*name).value_name(*value).help(*help).help_heading("Filesystem");
            let parser = OsStringValueParser::new().try_map(|value| read(value.as_bytes()));
            command.arg(option.action(ArgAction::Append).value_parser(parser))
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Operations {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let mut found = Vec::new();
        for (name, ..) in &OPTIONS {
            let indices = matches.indices_of(name).into_iter().flatten();
            let operations = matches.get_many::<Operation>(name).into_iter().flatten();
            found.extend(indices.zip(operations.cloned()));
        }
        found.sort_by_key(|(index, _)| *index);
        Ok(Self(found.into_iter().map(|(_, operation)| operation).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
