//! The clock of a simulated node: tokio's paused time, plus what this machine gets wrong.
//!
//! On a paused runtime time stands still while anything can run and jumps to the next timer when
//! nothing can. So ten minutes of virtual time pass in milliseconds, and in the same steps each time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use muster_actors::ports::Clock;
use tokio::time::Instant;

/// When every world begins: 1 January 2027, in milliseconds since the Unix epoch.
pub const EPOCH_MS: u64 = 1_798_761_600_000;

/// The moment at which a world began; true time is counted from it.
#[derive(Debug, Clone, Copy)]
pub struct Beginning(Instant);

impl Beginning {
    /// Now. Must be called inside the runtime of the world.
    #[expect(clippy::disallowed_methods, reason = "this is the simulated time that the port hands on")]
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// True milliseconds since the world began.
    pub fn elapsed_ms(self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    /// The instant `ms` milliseconds after the beginning.
    pub fn instant(self, ms: u64) -> Instant {
        self.0 + Duration::from_millis(ms)
    }
}

/// The clock of one process. Clones are handles on the same clock.
#[derive(Debug, Clone)]
pub struct SimClock {
    world: Beginning,
    process: Beginning,
    offset_ms: Arc<AtomicI64>,
}

impl SimClock {
    /// The clock of a process that starts now on a machine whose wall clock is wrong by `offset_ms`.
    pub fn new(world: Beginning, offset_ms: i64) -> Self {
        Self { world, process: Beginning::now(), offset_ms: Arc::new(AtomicI64::new(offset_ms)) }
    }

    /// Sets the wall clock forward or back. Monotonic time does not notice.
    pub fn jump(&self, by_ms: i64) {
        self.offset_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// By how much the wall clock is wrong, in milliseconds.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }
}

impl Clock for SimClock {
    fn wall_ms(&self) -> u64 {
        (EPOCH_MS + self.world.elapsed_ms()).saturating_add_signed(self.offset_ms())
    }

    fn monotonic_ms(&self) -> u64 {
        self.process.elapsed_ms()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the port itself, on simulated time")]
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wall_jumps_and_monotonic_time_does_not() {
        let clock = SimClock::new(Beginning::now(), -500);
        clock.sleep(Duration::from_secs(600)).await;
        assert_eq!((clock.wall_ms(), clock.monotonic_ms()), (EPOCH_MS + 599_500, 600_000));
        clock.jump(-3_600_000);
        assert_eq!((clock.wall_ms(), clock.monotonic_ms()), (EPOCH_MS + 599_500 - 3_600_000, 600_000));
    }
}
