//! How old or early a message may be (N-15), and how long its id counts as seen (N-89).

/// Seconds a message may lie in the past or future without an `expires_at` (N-15, N-136).
pub const MAX_REPLAY_AGE_SECONDS: i64 = 300;

/// Latest time an envelope may carry: the last second of the year 9999. \[ours\] What lies beyond cannot be written
/// as RFC 3339, which the HTTP API does with every time.
pub const MAX_SECONDS: i64 = 253_402_300_799;

/// Why a message is not fresh. All are reason `expired`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Staleness {
    /// `ts` lies too far ahead.
    #[error("`ts` lies more than {max} s in the future; set the sender's clock", max = .max)]
    FromTheFuture {
        /// Seconds allowed.
        max: i64,
    },
    /// `expires_at` has come.
    #[error("`expires_at` has passed; send it again with a later one")]
    Expired,
    /// `ts` lies too far back and there is no `expires_at`.
    #[error("`ts` lies more than {max} s in the past; give an `expires_at` to send late", max = .max)]
    TooOld {
        /// Seconds allowed.
        max: i64,
    },
}

/// Judges the times of a message against `now` (all Unix seconds) under N-15.
///
/// # Errors
/// [`Staleness`] when the message must be refused.
pub fn check(ts: i64, expires_at: Option<i64>, now: i64, max_age: i64) -> Result<(), Staleness> {
    if ts.saturating_sub(now) > max_age {
        return Err(Staleness::FromTheFuture { max: max_age });
    }
    match expires_at {
        Some(end) if end <= now => Err(Staleness::Expired),
        Some(_) => Ok(()),
        None if now.saturating_sub(ts) > max_age => Err(Staleness::TooOld { max: max_age }),
        None => Ok(()),
    }
}

/// The second from which an id no longer counts as seen: `ts` + 300 s, or `expires_at` when that is later, and at
/// least one second from now (N-89, \[ours\] where `expires_at` is later: until then the message would be fresh again).
pub fn seen_until(ts: i64, expires_at: Option<i64>, now: i64, max_age: i64) -> i64 {
    let window = ts.saturating_add(max_age);
    let end = expires_at.unwrap_or(window);
    // An earlier end shortens the window: from then on freshness refuses the message anyway.
    end.max(now.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn judge(ts: i64, expires_at: Option<i64>) -> Result<(), Staleness> {
        check(ts, expires_at, NOW, MAX_REPLAY_AGE_SECONDS)
    }

    #[test]
    fn three_hundred_seconds_either_way_are_fresh_n15() {
        assert_eq!(judge(NOW - 300, None), Ok(()));
        assert_eq!(judge(NOW + 300, None), Ok(()));
        assert_eq!(judge(NOW - 301, None), Err(Staleness::TooOld { max: 300 }));
        assert_eq!(judge(NOW + 301, None), Err(Staleness::FromTheFuture { max: 300 }));
    }

    #[test]
    fn expires_at_decides_however_old_the_message_is_n15() {
        assert_eq!(judge(1, Some(NOW + 1)), Ok(()));
        assert_eq!(judge(NOW, Some(NOW)), Err(Staleness::Expired));
        assert_eq!(judge(NOW, Some(-1)), Err(Staleness::Expired));
    }

    #[test]
    fn the_future_is_refused_even_with_expires_at_n15() {
        assert_eq!(judge(NOW + 301, Some(NOW + 1000)), Err(Staleness::FromTheFuture { max: 300 }));
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        assert!(judge(i64::MAX, None).is_err());
        assert!(judge(i64::MIN, None).is_err());
        assert_eq!(seen_until(i64::MAX, None, NOW, 300), i64::MAX);
    }

    #[test]
    fn an_id_counts_as_seen_as_long_as_its_message_could_be_fresh_n89() {
        assert_eq!(seen_until(NOW, None, NOW, 300), NOW + 300);
        assert_eq!(seen_until(NOW, Some(NOW + 10), NOW, 300), NOW + 10);
        assert_eq!(seen_until(NOW, Some(NOW + 9000), NOW, 300), NOW + 9000);
        assert_eq!(seen_until(NOW - 400, None, NOW, 300), NOW + 1);
    }
}
