//! What the oracle rolls its dice with, and what it counts.

/// A small generator of numbers, so that a seed names one topology (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// What was checked.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) topologies: usize,
    pub(crate) mounts: usize,
    pub(crate) moves: usize,
    pub(crate) unmounts: usize,
    pub(crate) clones: usize,
    /// Places in other than the acting mount where something appeared or went.
    pub(crate) elsewhere: usize,
    pub(crate) hidden: usize,
    pub(crate) lifted: usize,
    pub(crate) stayed: usize,
    pub(crate) refused: usize,
    /// Predictions that were incomplete, because a group had no visible member.
    pub(crate) incomplete: usize,
    pub(crate) locks_right: usize,
    pub(crate) locks_open: usize,
    pub(crate) locks_wrong: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.topologies += other.topologies;
        self.mounts += other.mounts;
        self.moves += other.moves;
        self.unmounts += other.unmounts;
        self.clones += other.clones;
        self.elsewhere += other.elsewhere;
        self.hidden += other.hidden;
        self.lifted += other.lifted;
        self.stayed += other.stayed;
        self.refused += other.refused;
        self.incomplete += other.incomplete;
        self.locks_right += other.locks_right;
        self.locks_open += other.locks_open;
        self.locks_wrong += other.locks_wrong;
    }
}
