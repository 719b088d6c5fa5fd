//! `nstool why`.

mod oracle;
mod world;
