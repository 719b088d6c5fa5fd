//! `nstool why`.

mod answer;
mod oracle;
mod world;
