//! The real clock and the real dice, behind the ports of the actors.
//!
//! This file and the mesh are the only places of the node where time is read: everything above is
//! told the time, so that a simulation can tell it another.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use muster_actors::ports::{Clock, Entropy};
use rand::Rng as _;

/// The clock of this machine.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[expect(clippy::disallowed_methods, reason = "this is the port's real implementation")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the port's real implementation")]
    fn wall_ms(&self) -> u64 {
        // A machine whose clock stands before 1970 is told that it is 1970.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }

    fn monotonic_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    #[expect(clippy::disallowed_methods, reason = "this is the port's real implementation")]
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The randomness of this machine: a generator per thread, seeded and reseeded by the system.
#[derive(Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is the port's real implementation")]
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn monotonic_time_passes_while_sleeping() {
        let clock = SystemClock::new();
        let before = clock.monotonic_ms();
        clock.sleep(Duration::from_millis(20)).await;
        assert!(clock.monotonic_ms() >= before + 20);
        assert!(clock.wall_ms() > 1_700_000_000_000, "milliseconds, not seconds");
    }

    #[test]
    fn two_fills_differ() {
        let (mut one, mut two) = ([0; 32], [0; 32]);
        SystemEntropy.fill(&mut one);
        SystemEntropy.fill(&mut two);
        assert_ne!(one, two);
    }
}
