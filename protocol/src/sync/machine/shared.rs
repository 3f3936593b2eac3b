//! What one link knows about one space.

use std::{collections::BTreeMap, sync::Arc};

use super::PULL_RETRY_MS;
use crate::{control::ControlState, identity::NodeId, limits, sync::Height};

/// A log inside a space: author and incarnation.
pub(super) type LogKey = (NodeId, u64);

pub(super) fn key(height: &Height) -> LogKey {
    (height.author, height.incarnation)
}

/// A log of which the peer holds more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pull {
    /// Our height when last looked at.
    pub(super) ours: u64,
    /// When to look again.
    pub(super) at_ms: u64,
    /// How long to wait after the next question.
    pub(super) retry_ms: u64,
}

impl Pull {
    pub(super) fn new(ours: u64, at_ms: u64) -> Self {
        Self { ours, at_ms, retry_ms: PULL_RETRY_MS }
    }
}

/// What is known about a space's control log on this link. It outlives the sharing of the space: the
/// peer may name its height before our control log says that we belong together.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// The peer's height, as far as known; 0 when it did not say.
    pub(super) peer: u64,
    /// How much of ours was sent, and when.
    pub(super) sent: u64,
    pub(super) sent_at_ms: u64,
    /// The height at which the peer was asked for the entries that make us a member.
    pub(super) asked: u64,
    /// Its entries are being compared with ours, because they seem to differ.
    pub(super) comparing: Option<Comparing>,
    /// Before this it is served no page to compare.
    pub(super) serve_at_ms: u64,
    /// Whether it was sent the proof that the log forks.
    pub(super) told_fork: bool,
}

/// How far entries were compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comparing {
    /// Whether it began with the first entry.
    pub(super) all: bool,
    /// The height to compare next.
    pub(super) from: u64,
    /// When to ask for it.
    pub(super) at_ms: u64,
}

/// What is known about one space on this link.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The state of a pair space. Other spaces have a control log, and the view knows their state.
    pub(super) pair: Option<Arc<ControlState>>,
    /// What the peer holds or was sent.
    pub(super) peer: BTreeMap<LogKey, u64>,
    /// What the peer told it holds, the newest of each log: less than [`Self::peer`] after a removal or fork.
    pub(super) said: BTreeMap<LogKey, u64>,
    /// The same since it told all its heights last.
    pub(super) listed: BTreeMap<LogKey, u64>,
    /// Whether the peer told all its heights, so that it is known what it lacks; and we ours.
    pub(super) known: bool,
    pub(super) told: bool,
    pub(super) told_at_ms: u64,
    /// Digests in a row that differed although the peer holds as much of every log as we do.
    pub(super) doubts: u32,
    /// The last log whose newest operation was compared.
    pub(super) doubted: Option<LogKey>,
    /// Whether an equal digest was answered with ours, from which the peer knows what we hold.
    pub(super) echoed: bool,
    /// When all our heights are to be told again.
    pub(super) tell_at_ms: Option<u64>,
    /// Logs being sent: the next operation each.
    pub(super) sending: BTreeMap<LogKey, u64>,
    /// Heights of others' logs that the peer was not told yet, and when it will be.
    pub(super) news: BTreeMap<LogKey, u64>,
    pub(super) news_at_ms: Option<u64>,
    pub(super) pulls: BTreeMap<LogKey, Pull>,
    /// Logs the store refused, and the peer's height then: more of the same is refused as well.
    pub(super) refused: BTreeMap<LogKey, u64>,
    /// Logs that fork, and the lowest place below which was already looked for an earlier fork.
    pub(super) forks: BTreeMap<LogKey, u64>,
}

impl Shared {
    /// Notes what the peer holds. Logs beyond what a space can have are not remembered.
    pub(super) fn note(&mut self, height: &Height) {
        if self.peer.len() < limits::LOGS_PER_SPACE_MAX || self.peer.contains_key(&key(height)) {
            let known = self.peer.entry(key(height)).or_insert(0);
            *known = (*known).max(height.seq);
        }
    }

    /// Notes what the peer tells it holds; `whole` ends a list of all.
    pub(super) fn heard(&mut self, heights: &[Height], whole: bool) {
        for height in heights {
            self.note(height);
            for map in [&mut self.said, &mut self.listed] {
                if map.len() < limits::LOGS_PER_SPACE_MAX || map.contains_key(&key(height)) {
                    map.insert(key(height), height.seq);
                }
            }
        }
        if whole {
            self.said = std::mem::take(&mut self.listed);
        }
    }

    /// Plans to ask for a log. A plan that stands is kept, unless there was progress since it was made.
    pub(super) fn plan_pull(&mut self, log: LogKey, ours: u64, at_ms: u64) {
        let pull = self.pulls.entry(log).or_insert(Pull::new(ours, at_ms));
        if pull.ours != ours {
            *pull = Pull::new(ours, at_ms);
        }
    }

    /// Whether the peer told all it holds, and that is as much of every log as we hold.
    pub(super) fn holds_as_much(&self, ours: &[Height]) -> bool {
        let same = ours.iter().all(|height| self.said.get(&key(height)) == Some(&height.seq));
        self.known && same && self.said.values().filter(|seq| **seq > 0).count() == ours.len()
    }

    pub(super) fn theirs(&self, log: &LogKey) -> u64 {
        self.peer.get(log).copied().unwrap_or(0)
    }

    pub(super) fn wake_at_ms(&self) -> u64 {
        let timers = [self.news_at_ms, self.tell_at_ms].into_iter().flatten();
        timers.chain(self.pulls.values().map(|pull| pull.at_ms)).min().unwrap_or(u64::MAX)
    }
}
