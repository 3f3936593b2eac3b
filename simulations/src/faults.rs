//! What goes wrong in a world, and when: a timeline made from the seed before the world begins.

use muster_protocol::identity::NodeId;
use rand::{RngExt, seq::SliceRandom};
use serde::Deserialize;

use crate::{
    dice::{self, Dice},
    links::{Crash, SimMesh},
};

/// How long a slow reader rests after each event at most, in milliseconds: it then takes a few frames a second.
const PACE_MS_MAX: u64 = 250;

/// How often things go wrong. The kinds have weights; a kind without weight never happens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Faults {
    /// Mean time between two faults, in milliseconds.
    pub every_ms: u64,
    /// Mean time that a fault with an end lasts, in milliseconds.
    pub lasting_ms: u64,
    /// A connection breaks.
    #[serde(default)]
    pub reset: u32,
    /// The nodes fall into two groups that do not reach each other.
    #[serde(default)]
    pub partition: u32,
    /// One node does not reach another, but is reached by it.
    #[serde(default)]
    pub one_way: u32,
    /// One direction between two nodes gets a hundred times slower.
    #[serde(default)]
    pub clog: u32,
    /// A process is killed, and comes back.
    #[serde(default)]
    pub kill: u32,
    /// A machine loses power, and comes back.
    #[serde(default)]
    pub power_cut: u32,
    /// A machine's wall clock jumps, forward or back, and is set right again.
    #[serde(default)]
    pub clock_jump: u32,
    /// By how much it jumps at most, in milliseconds.
    #[serde(default)]
    pub clock_jump_max_ms: u64,
    /// A process takes what reaches it only slowly.
    #[serde(default)]
    pub slow: u32,
    /// A machine's folder is copied, and later the machine comes back from that copy.
    #[serde(default)]
    pub copy: u32,
}

impl Faults {
    /// Another mixture of the same: some kinds fall away, others come more often, and all may last longer.
    /// A mixture that is the same in all worlds finds only what that mixture brings about.
    pub fn varied(&self, dice: &mut Dice) -> Self {
        let mut varied = self.clone();
        let weights = [
            &mut varied.reset,
            &mut varied.partition,
            &mut varied.one_way,
            &mut varied.clog,
            &mut varied.kill,
            &mut varied.power_cut,
            &mut varied.clock_jump,
            &mut varied.slow,
            &mut varied.copy,
        ];
        for weight in weights {
            *weight *= dice.random_range(0..=3);
        }
        varied.lasting_ms *= dice.random_range(1..=4);
        if varied.total() == 0 { self.clone() } else { varied }
    }

    fn total(&self) -> u32 {
        self.reset
            + self.partition
            + self.one_way
            + self.clog
            + self.kill
            + self.power_cut
            + self.clock_jump
            + self.slow
            + self.copy
    }
}

/// One thing on the timeline. Nodes are numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strike {
    /// The connection of two nodes breaks.
    Reset(usize, usize),
    /// Nothing goes from the first to the second any more.
    Block(Vec<(usize, usize)>),
    /// The end of one [`Strike::Block`].
    Unblock(Vec<(usize, usize)>),
    /// Everything from the first to the second is slow.
    Clog(usize, usize),
    /// The end of one [`Strike::Clog`].
    Unclog(usize, usize),
    /// A node goes down.
    Crash(usize, Crash),
    /// A node that went down comes back.
    Restart(usize),
    /// A machine's wall clock jumps by so many milliseconds; also back again.
    Jump(usize, i64),
    /// A process rests so many milliseconds after each event; 0 is the end of one such strike.
    Slow(usize, u64),
    /// A machine's folder is copied.
    Copy(usize),
    /// A machine comes back from the copy, if there is one.
    Return(usize),
}

impl Strike {
    /// Whether this is a fault, not the end of one.
    pub fn is_fault(&self) -> bool {
        !matches!(
            self,
            Strike::Unblock(_)
                | Strike::Unclog(..)
                | Strike::Restart(_)
                | Strike::Slow(_, 0)
                | Strike::Return(_)
        )
    }

    /// Lets it happen to the links of nodes. Crashes are left to whoever runs the nodes.
    pub fn apply_to_links(&self, mesh: &SimMesh, nodes: &[NodeId]) {
        let node = |index: usize| nodes[index];
        match self {
            Strike::Reset(a, b) => mesh.reset(node(*a), node(*b)),
            Strike::Block(ways) => ways.iter().for_each(|(a, b)| mesh.block(node(*a), node(*b))),
            Strike::Unblock(ways) => ways.iter().for_each(|(a, b)| mesh.unblock(node(*a), node(*b))),
            Strike::Clog(a, b) => mesh.clog(node(*a), node(*b)),
            Strike::Unclog(a, b) => mesh.unclog(node(*a), node(*b)),
            Strike::Slow(a, pace_ms) => mesh.set_pace(node(*a), *pace_ms),
            Strike::Crash(..)
            | Strike::Restart(_)
            | Strike::Jump(..)
            | Strike::Copy(_)
            | Strike::Return(_) => {}
        }
    }
}

/// All that goes wrong among `nodes` nodes within `duration_ms`, by time. Every fault with an end has
/// ended by then.
pub fn timeline(dice: &mut Dice, faults: &Faults, nodes: usize, duration_ms: u64) -> Vec<(u64, Strike)> {
    let mut strikes = Vec::new();
    let (mut down_until, mut jumped_until) = (vec![0; nodes], vec![0; nodes]);
    let mut now = 0;
    loop {
        now += 1 + dice::exponential(dice, faults.every_ms);
        let end = (now + 1 + dice::exponential(dice, faults.lasting_ms)).min(duration_ms);
        if now >= duration_ms {
            break;
        }
        let Some(kind) = choose(dice, faults) else { break };
        let (a, b) = two(dice, nodes);
        match kind {
            Kind::Reset => strikes.push((now, Strike::Reset(a, b))),
            Kind::Partition => {
                let ways = partition(dice, nodes);
                strikes.extend([(now, Strike::Block(ways.clone())), (end, Strike::Unblock(ways))]);
            }
            Kind::OneWay => {
                let way = vec![(a, b)];
                strikes.extend([(now, Strike::Block(way.clone())), (end, Strike::Unblock(way))]);
            }
            Kind::Clog => strikes.extend([(now, Strike::Clog(a, b)), (end, Strike::Unclog(a, b))]),
            Kind::Crash(crash) if down_until[a] < now => {
                down_until[a] = end;
                strikes.extend([(now, Strike::Crash(a, crash)), (end, Strike::Restart(a))]);
            }
            Kind::Crash(_) => {} // it is down already
            Kind::Copy => strikes.extend([(now, Strike::Copy(a)), (end, Strike::Return(a))]),
            Kind::Jump if jumped_until[a] < now => {
                jumped_until[a] = end;
                let by = dice.random_range(0..=faults.clock_jump_max_ms) as i64;
                let by = if dice.random_ratio(1, 2) { by } else { -by };
                strikes.extend([(now, Strike::Jump(a, by)), (end, Strike::Jump(a, -by))]);
            }
            Kind::Jump => {} // two jumps would add up to more than is waited for in the end
            Kind::Slow => {
                let pace_ms = dice.random_range(1..PACE_MS_MAX);
                strikes.extend([(now, Strike::Slow(a, pace_ms)), (end, Strike::Slow(a, 0))]);
            }
        }
    }
    strikes.sort_by_key(|(at, _)| *at);
    strikes
}

#[derive(Clone, Copy)]
enum Kind {
    Reset,
    Partition,
    OneWay,
    Clog,
    Crash(Crash),
    Jump,
    Slow,
    Copy,
}

fn choose(dice: &mut Dice, faults: &Faults) -> Option<Kind> {
    let weights = [
        (faults.reset, Kind::Reset),
        (faults.partition, Kind::Partition),
        (faults.one_way, Kind::OneWay),
        (faults.clog, Kind::Clog),
        (faults.kill, Kind::Crash(Crash::Killed)),
        (faults.power_cut, Kind::Crash(Crash::PowerCut)),
        (faults.clock_jump, Kind::Jump),
        (faults.slow, Kind::Slow),
        (faults.copy, Kind::Copy),
    ];
    let total = faults.total();
    let mut left = if total == 0 { return None } else { dice.random_range(0..total) };
    for (weight, kind) in weights {
        if left < weight {
            return Some(kind);
        }
        left -= weight;
    }
    None
}

/// Two different nodes.
fn two(dice: &mut Dice, nodes: usize) -> (usize, usize) {
    let a = dice.random_range(0..nodes);
    let b = dice.random_range(0..nodes - 1);
    (a, if b >= a { b + 1 } else { b })
}

/// All ways between two groups, neither of which is empty.
fn partition(dice: &mut Dice, nodes: usize) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..nodes).collect();
    order.shuffle(dice);
    let (left, right) = order.split_at(dice.random_range(1..nodes));
    left.iter().flat_map(|a| right.iter().flat_map(|b| [(*a, *b), (*b, *a)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_with_an_end_has_ended_in_time() {
        let faults = Faults {
            every_ms: 50,
            lasting_ms: 1000,
            reset: 1,
            partition: 1,
            one_way: 1,
            clog: 1,
            kill: 1,
            power_cut: 1,
            clock_jump: 1,
            clock_jump_max_ms: 60_000,
            slow: 1,
            copy: 1,
        };
        let strikes = timeline(&mut dice::dice(1, "faults", &[]), &faults, 5, 20_000);
        let count = |wanted: fn(&Strike) -> bool| strikes.iter().filter(|(_, s)| wanted(s)).count();
        assert!(strikes.len() > 200 && strikes.is_sorted_by_key(|(at, _)| *at));
        assert!(strikes.iter().all(|(at, _)| *at <= 20_000));
        assert_eq!(count(|s| matches!(s, Strike::Block(_))), count(|s| matches!(s, Strike::Unblock(_))));
        let jumped: i64 =
            strikes.iter().map(|(_, s)| if let Strike::Jump(_, by) = s { *by } else { 0 }).sum();
        assert_eq!(jumped, 0);
        // Partitions 50035: three jumps of one machine added up to more than is waited for in the end.
        let mut ahead = [0; 5];
        for (at, strike) in &strikes {
            if let Strike::Jump(machine, by) = strike {
                ahead[*machine] += by;
                assert!(
                    ahead[*machine].abs() <= 60_000,
                    "machine {machine} is {} off at {at}",
                    ahead[*machine]
                );
            }
        }
        assert_eq!(count(|s| matches!(s, Strike::Slow(_, 0))), count(|s| matches!(s, Strike::Slow(_, 1..))));
        assert_eq!(count(|s| matches!(s, Strike::Copy(_))), count(|s| matches!(s, Strike::Return(_))));
        assert_eq!(count(|s| matches!(s, Strike::Clog(..))), count(|s| matches!(s, Strike::Unclog(..))));
        assert_eq!(count(|s| matches!(s, Strike::Crash(..))), count(|s| matches!(s, Strike::Restart(_))));
    }
}
