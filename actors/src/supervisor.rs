//! How actors are kept alive: a child that fails is started again, and one that keeps failing takes its
//! supervisor down, up to the node itself.
//!
//! State is never handed over: a child rebuilds what it knows from the store (crash-only). ractor's own
//! default is that a supervisor stops when a child dies.

use std::{collections::VecDeque, time::Duration};

use muster_protocol::limits;

/// Counts restarts and says when it is enough.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    at_ms: VecDeque<u64>,
}

impl Restarts {
    /// Whether a child that failed at `now_ms` may be started again: at most
    /// [`limits::RESTARTS_MAX`] times within [`limits::RESTART_WINDOW`].
    pub(crate) fn allow(&mut self, now_ms: u64) -> bool {
        const WINDOW_MS: u64 = limits::RESTART_WINDOW.as_millis() as u64;
        while self.at_ms.front().is_some_and(|at| at + WINDOW_MS <= now_ms) {
            self.at_ms.pop_front();
        }
        self.at_ms.push_back(now_ms);
        self.at_ms.len() <= limits::RESTARTS_MAX
    }
}

/// How long `call` waits.
pub(crate) const CALL: Option<Duration> = Some(limits::CALL_TIMEOUT);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_failure_within_ten_seconds_is_one_too_many() {
        let mut restarts = Restarts::default();
        assert!((0..5).all(|i| restarts.allow(i * 1_000)));
        assert!(!restarts.allow(9_000));
    }

    #[test]
    fn failures_far_apart_never_add_up() {
        let mut restarts = Restarts::default();
        assert!((0..100).all(|i| restarts.allow(i * 11_000)));
    }
}
