//! Randomness of a simulated world: all of it from one seed.
//!
//! Every thing that needs dice gets its own, named by a path of words and numbers below the seed. So a
//! new user of dice somewhere does not change what falls everywhere else.

use std::sync::Mutex;

use muster_actors::ports::Entropy;
use rand::{Rng, SeedableRng};
use rand_chacha::{ChaCha8Rng, ChaCha20Rng};
use sha2::{Digest, Sha256};

/// Dice for one purpose.
pub type Dice = ChaCha8Rng;

fn derive(seed: u64, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(seed.to_be_bytes());
    for part in [purpose.as_bytes()].iter().chain(parts) {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    sha.finalize().into()
}

/// The dice of a world for one purpose, told apart further by `parts`.
pub fn dice(seed: u64, purpose: &str, parts: &[&[u8]]) -> Dice {
    Dice::from_seed(derive(seed, purpose, parts))
}

/// Thirty-two secret bytes of a world, for the key of a node.
pub fn secret(seed: u64, purpose: &str, index: usize) -> [u8; 32] {
    derive(seed, purpose, &[&(index as u64).to_be_bytes()])
}

/// The randomness of one process of one node.
pub struct SimEntropy(Mutex<ChaCha20Rng>);

impl SimEntropy {
    /// Randomness for the node `index` in its `boot`-th life: a restarted process must not throw the
    /// same again.
    pub fn new(seed: u64, index: usize, boot: u64) -> Self {
        let parts: [&[u8]; 2] = [&(index as u64).to_be_bytes(), &boot.to_be_bytes()];
        Self(Mutex::new(ChaCha20Rng::from_seed(derive(seed, "entropy", &parts))))
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().expect("filling bytes does not panic").fill_bytes(bytes);
    }
}

/// About exponentially distributed with this mean, in whole numbers, so that all machines agree.
pub fn exponential(dice: &mut Dice, mean: u64) -> u64 {
    // The number of leading zeros halves in likelihood with each step, as an exponential distribution
    // does every ln 2 means; the last bits place the value between two steps.
    let bits = dice.next_u64() | 1 << 10;
    let steps = u64::from(bits.leading_zeros()) * 1024 + (bits & 1023);
    mean * steps / 1024 * 693 / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_waits_have_their_mean_and_a_tail() {
        let mut dice = dice(1, "test", &[]);
        let waits: Vec<u64> = (0..10_000).map(|_| exponential(&mut dice, 1000)).collect();
        let mean = waits.iter().sum::<u64>() / 10_000;
        assert!((900..1200).contains(&mean), "{mean}");
        assert!(waits.iter().any(|wait| *wait > 4000) && waits.iter().any(|wait| *wait < 100));
    }

    #[test]
    fn a_restarted_process_throws_differently() {
        let fill = |boot| {
            let mut bytes = [0; 16];
            SimEntropy::new(1, 0, boot).fill(&mut bytes);
            bytes
        };
        assert_eq!(fill(0), fill(0));
        assert_ne!(fill(0), fill(1));
    }
}
