//! Hybrid logical clock: wall time that never goes back and never lets a peer drag it away.
//!
//! A time is 48 bits of Unix milliseconds and 16 bits of counter. Inside a log times strictly grow;
//! between logs they follow what a node has seen, so an answer is later than what it answers even
//! when machines' clocks differ. (Kulkarni et al., "Logical Physical Clocks", 2014.)

use serde::{Deserialize, Serialize};

use crate::limits;

/// A hybrid logical time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The first time of a millisecond.
    pub fn from_ms(ms: u64) -> Self {
        Self(ms << 16)
    }

    /// Its Unix milliseconds.
    pub fn ms(self) -> u64 {
        self.0 >> 16
    }

    /// The next time: the counter one higher, or the next millisecond when it is used up.
    fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Whether this time is further ahead of `now_ms` than an honest clock could be.
    pub fn is_ahead(self, now_ms: u64) -> bool {
        self.ms() > now_ms.saturating_add(limits::CLOCK_AHEAD_MS_MAX)
    }
}

/// The clock of one node.
#[derive(Debug, Clone, Default)]
pub struct HlcClock {
    last: Hlc,
}

impl HlcClock {
    /// A clock that goes on after `last`, the newest time of all that the node holds, its own or not.
    pub fn after(last: Hlc) -> Self {
        Self { last }
    }

    /// The time of a new operation.
    pub fn tick(&mut self, now_ms: u64) -> Hlc {
        self.last = self.last.next().max(Hlc::from_ms(now_ms));
        self.last
    }

    /// Takes note of a time somebody else wrote. One too far ahead counts as the furthest allowed:
    /// without the bound one peer could drag every clock into the future.
    pub fn observe(&mut self, remote: Hlc, now_ms: u64) {
        let furthest = Hlc::from_ms(now_ms.saturating_add(limits::CLOCK_AHEAD_MS_MAX));
        self.last = self.last.max(remote.min(furthest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_grows_also_when_the_wall_clock_jumps_back() {
        let mut clock = HlcClock::default();
        let first = clock.tick(1_000_000);
        let second = clock.tick(1_000_000);
        let third = clock.tick(5);
        assert!(first < second && second < third);
        assert_eq!(third.ms(), 1_000_000);
    }

    #[test]
    fn what_follows_a_remote_time_is_later_than_it() {
        let mut clock = HlcClock::default();
        clock.observe(Hlc::from_ms(1_000_500), 1_000_000);
        assert!(clock.tick(1_000_000) > Hlc::from_ms(1_000_500));
    }

    #[test]
    fn nobody_drags_the_clock_further_than_the_limit() {
        let mut clock = HlcClock::default();
        clock.observe(Hlc(u64::MAX), 1_000_000);
        assert_eq!(clock.tick(1_000_000).ms(), 1_000_000 + limits::CLOCK_AHEAD_MS_MAX);
    }

    #[test]
    fn a_used_up_counter_moves_to_the_next_millisecond() {
        assert_eq!(Hlc((7 << 16) | 0xffff).next(), Hlc::from_ms(8));
    }
}
