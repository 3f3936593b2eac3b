//! Chance that is the same each time.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What decides who does what when, from a seed.
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(..end)
    }
}
