//! The trace of a world: a hash over everything that happened in it, in order.
//!
//! Two runs with the same trace were the same history. When two runs of one seed differ, something
//! below depends on more than the seed, and no failing seed can be trusted to fail again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

/// A running SHA-256. Clones are handles on the same trace.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<Sha256>>);

impl Trace {
    /// An empty trace.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds something that happened at `now_ms`: a word for what, and the bytes that tell it apart.
    pub fn record(&self, now_ms: u64, what: &str, parts: &[&[u8]]) {
        let mut sha = self.lock();
        sha.update(now_ms.to_be_bytes());
        for part in [what.as_bytes()].iter().chain(parts) {
            sha.update((part.len() as u64).to_be_bytes());
            sha.update(part);
        }
    }

    /// The hash of all recorded so far, in hexadecimal.
    pub fn digest(&self) -> String {
        self.lock().clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Sha256> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
