//! So many at once, and then one more every so often: for each of many who ask.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// What everybody may still do.
pub(super) struct Allowances<K> {
    burst: u32,
    pause: Duration,
    /// At most so many are remembered; the one that asked longest ago is forgotten first.
    max: usize,
    /// When each of them will have all of its burst again.
    whole_at: BTreeMap<K, Instant>,
}

impl<K: Ord + Clone> Allowances<K> {
    /// Everybody may do `burst` at once, and one more every `pause`.
    pub(super) fn new(burst: u32, pause: Duration, max: usize) -> Self {
        Self { burst, pause, max, whole_at: BTreeMap::new() }
    }

    /// Whether one more is allowed; if so, it counts.
    pub(super) fn take(&mut self, who: &K, now: Instant) -> bool {
        let known = self.whole_at.get(who).copied();
        let whole_at = known.unwrap_or(now).max(now) + self.pause;
        if whole_at > now + self.pause * self.burst {
            return false;
        }
        if known.is_none() && self.whole_at.len() >= self.max {
            self.forget(now);
        }
        self.whole_at.insert(who.clone(), whole_at);
        true
    }

    fn forget(&mut self, now: Instant) {
        self.whole_at.retain(|_, whole_at| *whole_at > now);
        if self.whole_at.len() >= self.max
            && let Some((first, _)) = self.whole_at.iter().min_by_key(|(_, whole_at)| **whole_at)
        {
            let first = first.clone();
            self.whole_at.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_one_every_pause_and_nobody_pays_for_another() {
        let pause = Duration::from_millis(10);
        let mut allowances = Allowances::new(3, pause, 100);
        let start = super::super::now();
        let taken =
            |allowances: &mut Allowances<&str>, now| (0..10).filter(|_| allowances.take(&"a", now)).count();
        assert_eq!(taken(&mut allowances, start), 3);
        assert!(allowances.take(&"b", start));
        assert_eq!(taken(&mut allowances, start + pause), 1);
        assert_eq!(taken(&mut allowances, start + 100 * pause), 3, "what was not used is not saved up");
    }

    #[test]
    fn no_more_are_remembered_than_allowed() {
        let mut allowances = Allowances::new(3, Duration::from_millis(10), 100);
        let now = super::super::now();
        assert!((0..1000).all(|who| allowances.take(&who, now)));
        assert_eq!(allowances.whole_at.len(), 100);
    }
}
