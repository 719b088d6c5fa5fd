//! `nstool ls`.
