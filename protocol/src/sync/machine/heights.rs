//! What each side holds: digests, heights, news, and what is asked for because of them.

use super::{
    DOUBTS_MAX, HEADS_COMPARED, HEARD_DELAY_MS, HEIGHTS_PAUSE_MS, Machine, PULL_DELAY_MS, PULL_RETRY_MS_MAX,
    PULL_STALE_MS,
    shared::{LogKey, Pull, key},
};
use crate::{
    cbor::Bytes32,
    ids::{LogId, SpaceId},
    limits,
    sync::{Frame, Height, Output, View, digest},
};

impl Machine {
    /// The peer's digest of a space: equal means it holds what we hold; else it is told all our heights.
    pub(super) fn compare<V: View>(
        &mut self,
        now_ms: u64,
        space: SpaceId,
        theirs: [u8; 32],
        view: &V,
    ) -> Result<(), V::Error> {
        let Some(control) = self.control(space, view)? else { return Ok(()) };
        let Some(shared) = self.shared.get_mut(&space) else {
            if control.role(self.me).is_none() {
                self.ask_control(space, &control); // it takes us for a member: its entries say so
            }
            return Ok(());
        };
        let held = view.held(space)?;
        let mut heights: Vec<_> = held.iter().map(|held| held.height).collect();
        if digest(&control, &held) == theirs {
            shared.heard(&heights, true);
            (shared.known, shared.doubts) = (true, 0);
            let echo = !shared.told && !std::mem::replace(&mut shared.echoed, true);
            if echo {
                self.send(&Frame::Digest(space, Bytes32(theirs)));
            }
            // What it acknowledged of our logs may have been lost with an earlier link.
            heights.retain(|height| height.author == self.me);
            self.out.push(Output::PeerHeights { space, heights });
            return Ok(());
        }
        if shared.holds_as_much(&heights) {
            shared.doubts += 1;
        }
        if shared.doubts >= DOUBTS_MAX {
            // It holds as much of every log, and something else: the newest operations tell what.
            shared.doubts = 0;
            let mut heads = heights;
            let next = heads.iter().position(|head| Some(key(head)) > shared.doubted).unwrap_or(0);
            heads.rotate_left(next);
            heads.truncate(HEADS_COMPARED);
            shared.doubted = heads.last().map(key);
            self.send(&Frame::Want(space, heads));
            self.compare_control(now_ms, space, Some(control.height()));
            return Ok(());
        }
        if shared.told && now_ms < shared.told_at_ms + HEIGHTS_PAUSE_MS {
            shared.tell_at_ms = Some(shared.told_at_ms + HEIGHTS_PAUSE_MS);
            return Ok(());
        }
        self.tell_all(now_ms, space, view)
    }

    pub(super) fn tell_all<V: View>(
        &mut self,
        now_ms: u64,
        space: SpaceId,
        view: &V,
    ) -> Result<(), V::Error> {
        let Some(control) = self.control(space, view)? else { return Ok(()) };
        let Some(shared) = self.shared.get_mut(&space) else { return Ok(()) };
        (shared.told, shared.told_at_ms, shared.tell_at_ms) = (true, now_ms, None);
        shared.news.clear();
        let heights = view.heights(space)?;
        let (full, rest) = heights.as_chunks::<{ limits::HEIGHTS_PER_FRAME_MAX }>();
        for page in full {
            self.send_heights(space, page.to_vec(), false);
        }
        self.send_heights(space, rest.to_vec(), true);
        if control.pair_nodes().is_none() {
            self.send(&Frame::ControlHeight(space, control.height()));
        }
        Ok(())
    }

    pub(super) fn send_heights(&mut self, space: SpaceId, heights: Vec<Height>, whole: bool) {
        self.send(&Frame::Heights { space, heights, whole, credit: self.granted });
    }

    pub(super) fn peer_heights<V: View>(
        &mut self,
        now_ms: u64,
        space: SpaceId,
        heights: Vec<Height>,
        whole: bool,
        view: &V,
    ) -> Result<(), V::Error> {
        let Some(shared) = self.shared.get_mut(&space) else { return Ok(()) };
        shared.heard(&heights, whole);
        let logs: Vec<_> = heights.iter().map(key).collect();
        self.plan_pulls(now_ms, space, &logs, view)?;
        let Some(shared) = self.shared.get_mut(&space) else { return Ok(()) };
        let answer = whole && !shared.told;
        if whole {
            shared.known = true;
            // Now it is known what the peer lacks of our own logs.
            for height in view.heights(space)?.iter().filter(|height| height.author == self.me) {
                let next = shared.theirs(&key(height)).saturating_add(1);
                if next <= height.seq {
                    shared.sending.entry(key(height)).or_insert(next);
                }
            }
        }
        self.out.push(Output::PeerHeights { space, heights });
        if answer { self.tell_all(now_ms, space, view) } else { Ok(()) }
    }

    /// Plans to ask for those of `logs` of which the peer holds more than we do and than was refused.
    pub(super) fn plan_pulls<V: View>(
        &mut self,
        now_ms: u64,
        space: SpaceId,
        logs: &[LogKey],
        view: &V,
    ) -> Result<(), V::Error> {
        let Some(control) = self.control(space, view)? else { return Ok(()) };
        let Some(shared) = self.shared.get_mut(&space) else { return Ok(()) };
        for log_key in logs {
            let log = LogId { space, author: log_key.0, incarnation: log_key.1 };
            let theirs = shared.theirs(log_key);
            let refused = shared.refused.get(log_key).is_some_and(|seq| theirs <= *seq);
            let ours = view.height(&log)?;
            if theirs.min(control.cap(&log, control.height())) > ours && !refused {
                // Its author pushes it by itself; from others it is asked for after a moment.
                let delay = if log.author == self.peer { PULL_STALE_MS } else { PULL_DELAY_MS };
                shared.plan_pull(*log_key, ours, now_ms + delay);
            }
        }
        Ok(())
    }

    pub(super) fn committed(&mut self, now_ms: u64, space: SpaceId, heights: &[Height]) {
        let Some(shared) = self.shared.get_mut(&space) else { return };
        for height in heights {
            let theirs = shared.theirs(&key(height));
            if height.seq <= theirs {
                continue;
            }
            if height.author == self.me && shared.known {
                shared.sending.entry(key(height)).or_insert(theirs + 1);
            } else {
                shared.news.insert(key(height), height.seq);
                shared.news_at_ms.get_or_insert(now_ms + HEARD_DELAY_MS);
            }
        }
    }

    pub(super) fn tell_news(&mut self, now_ms: u64, space: SpaceId) {
        let Some(shared) = self.shared.get_mut(&space) else { return };
        if shared.news_at_ms.is_none_or(|at| now_ms < at) {
            return;
        }
        shared.news_at_ms = None;
        let news = std::mem::take(&mut shared.news);
        let heights: Vec<_> = news
            .into_iter()
            .filter(|(log, seq)| *seq > shared.theirs(log))
            .map(|((author, incarnation), seq)| Height { author, incarnation, seq })
            .collect();
        for page in heights.chunks(limits::HEIGHTS_PER_FRAME_MAX) {
            self.send_heights(space, page.to_vec(), false);
        }
    }

    /// Asks the peer for logs it holds more of, unless they are coming already.
    pub(super) fn pull<V: View>(&mut self, now_ms: u64, space: SpaceId, view: &V) -> Result<(), V::Error> {
        let Some(control) = self.control(space, view)? else { return Ok(()) };
        let Some(shared) = self.shared.get_mut(&space) else { return Ok(()) };
        let due: Vec<_> =
            shared.pulls.iter().filter(|(_, pull)| now_ms >= pull.at_ms).map(|(k, p)| (*k, *p)).collect();
        let mut wants = Vec::new();
        for (log_key, mut pull) in due {
            let log = LogId { space, author: log_key.0, incarnation: log_key.1 };
            let ours = view.height(&log)?;
            if ours >= shared.theirs(&log_key).min(control.cap(&log, control.height())) {
                shared.pulls.remove(&log_key);
                continue;
            }
            if ours != pull.ours {
                pull = Pull::new(ours, now_ms + PULL_DELAY_MS); // it is coming
            } else if view.claim_pull(&log, self.peer, now_ms, PULL_STALE_MS) {
                wants.push(Height { author: log.author, incarnation: log.incarnation, seq: ours + 1 });
                pull.at_ms = now_ms + pull.retry_ms;
                pull.retry_ms = (2 * pull.retry_ms).min(PULL_RETRY_MS_MAX);
            } else {
                pull.at_ms = now_ms + PULL_DELAY_MS; // another peer was asked
            }
            shared.pulls.insert(log_key, pull);
        }
        for page in wants.chunks(limits::HEIGHTS_PER_FRAME_MAX) {
            self.send(&Frame::Want(space, page.to_vec()));
        }
        Ok(())
    }
}
