//! Creates namespaces and runs a command in them.
mod filesystem;
pub mod idmap;
mod mounts;
