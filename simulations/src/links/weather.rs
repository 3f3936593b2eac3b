//! The weather between nodes: how long things take, and what is broken at the moment.

use std::collections::BTreeMap;

use muster_protocol::identity::NodeId;
use rand::RngExt;
use serde::Deserialize;

use crate::dice::{self, Dice};

/// By how much a clogged direction is slower.
const CLOG_FACTOR: u64 = 100;
/// How much slower than the fastest the slowest direction of a world may be.
const SPREAD_MAX: u64 = 4;

/// The ordinary weather of a world.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weather {
    /// Shortest time a frame travels, in milliseconds; at least 1 counts.
    pub latency_min_ms: u64,
    /// Mean of the exponentially distributed time on top of it; each direction between two nodes has
    /// one to four times as much, for good.
    pub latency_mean_ms: u64,
    /// How many of a hundred gossip messages are lost on each hop.
    pub gossip_loss_percent: u32,
    /// Longest time until a node notices that another has fallen silent, as a keep-alive does.
    pub notice_max_ms: u64,
}

/// One direction between two nodes.
struct Direction {
    dice: Dice,
    mean_ms: u64,
    /// How many faults block it now; partitions may overlap.
    blocked: u32,
    clogged: u32,
}

/// All directions of a world.
pub(super) struct Paths {
    seed: u64,
    weather: Weather,
    directions: BTreeMap<(NodeId, NodeId), Direction>,
}

impl Paths {
    pub(super) fn new(seed: u64, weather: Weather) -> Self {
        Self { seed, weather, directions: BTreeMap::new() }
    }

    fn direction(&mut self, from: NodeId, to: NodeId) -> &mut Direction {
        self.directions.entry((from, to)).or_insert_with(|| {
            let mut dice = dice::dice(self.seed, "path", &[from.as_bytes(), to.as_bytes()]);
            let mean_ms = self.weather.latency_mean_ms * dice.random_range(1..=SPREAD_MAX);
            Direction { dice, mean_ms, blocked: 0, clogged: 0 }
        })
    }

    /// How long the next thing sent this way travels, in milliseconds.
    pub(super) fn latency(&mut self, from: NodeId, to: NodeId) -> u64 {
        let min = self.weather.latency_min_ms.max(1);
        let direction = self.direction(from, to);
        let latency = min + dice::exponential(&mut direction.dice, direction.mean_ms);
        if direction.clogged > 0 { latency * CLOG_FACTOR } else { latency }
    }

    /// How long something takes this way on average, in milliseconds.
    pub(super) fn typical(&mut self, from: NodeId, to: NodeId) -> u64 {
        self.weather.latency_min_ms + self.direction(from, to).mean_ms
    }

    /// How long `from` needs to notice that `to` has fallen silent.
    pub(super) fn notice(&mut self, from: NodeId, to: NodeId) -> u64 {
        let longest = self.weather.notice_max_ms.max(1);
        self.direction(from, to).dice.random_range(1..=longest)
    }

    /// Whether the next gossip message this way is lost.
    pub(super) fn gossip_is_lost(&mut self, from: NodeId, to: NodeId) -> bool {
        let percent = self.weather.gossip_loss_percent;
        self.direction(from, to).dice.random_range(0..100) < percent
    }

    pub(super) fn is_blocked(&mut self, from: NodeId, to: NodeId) -> bool {
        self.direction(from, to).blocked > 0
    }

    pub(super) fn is_open_both_ways(&mut self, a: NodeId, b: NodeId) -> bool {
        !self.is_blocked(a, b) && !self.is_blocked(b, a)
    }

    pub(super) fn block(&mut self, from: NodeId, to: NodeId) {
        self.direction(from, to).blocked += 1;
    }

    /// Takes one block away. Whether the direction is open now.
    pub(super) fn unblock(&mut self, from: NodeId, to: NodeId) -> bool {
        let direction = self.direction(from, to);
        direction.blocked = direction.blocked.saturating_sub(1);
        direction.blocked == 0
    }

    pub(super) fn clog(&mut self, from: NodeId, to: NodeId) {
        self.direction(from, to).clogged += 1;
    }

    pub(super) fn unclog(&mut self, from: NodeId, to: NodeId) {
        let direction = self.direction(from, to);
        direction.clogged = direction.clogged.saturating_sub(1);
    }

    /// Ends all faults and tells which directions were blocked.
    pub(super) fn clear(&mut self) -> Vec<(NodeId, NodeId)> {
        let mut opened = Vec::new();
        for (ends, direction) in &mut self.directions {
            if std::mem::take(&mut direction.blocked) > 0 {
                opened.push(*ends);
            }
            direction.clogged = 0;
        }
        opened
    }
}
