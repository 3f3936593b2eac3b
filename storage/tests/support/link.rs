//! A link between two nodes: a sync machine at each end, frames in between, virtual time.

use std::collections::VecDeque;

use muster_protocol::{
    ids::SpaceId,
    sync::{Height, Input, Machine, Output, Report},
};
use muster_storage::SyncView;

use super::Node;

/// How long two nodes that say nothing to each other are left alone, in virtual milliseconds: longer than
/// any timer of the machine but for anti-entropy.
const QUIET_MS: u64 = 10_000;

struct End<'a> {
    node: &'a Node,
    machine: Machine,
    inbound: VecDeque<Vec<u8>>,
}

/// Lets two nodes tell each other everything, over a new link, until they are quiet.
pub(crate) fn exchange(a: &Node, b: &Node) {
    let (one, other) = (a.identity.node(), b.identity.node());
    let mut ends = [
        End { node: a, machine: Machine::new(one, other), inbound: VecDeque::new() },
        End { node: b, machine: Machine::new(other, one), inbound: VecDeque::new() },
    ];
    let (mut now_ms, mut quiet_since) = (0, 0);
    for me in 0..2 {
        feed(&mut ends, me, now_ms, Input::Up);
    }
    while now_ms < quiet_since + QUIET_MS {
        let Some(me) = (0..2).find(|me| !ends[*me].inbound.is_empty()) else {
            let wake = ends.iter().map(|end| end.machine.wake_at_ms()).min().unwrap();
            now_ms = wake.max(now_ms + 1);
            for me in 0..2 {
                feed(&mut ends, me, now_ms, Input::Tick);
            }
            continue;
        };
        quiet_since = now_ms;
        let frame = ends[me].inbound.pop_front().unwrap();
        feed(&mut ends, me, now_ms, Input::Frame(&frame));
        feed(&mut ends, me, now_ms, Input::Writable);
        assert!(now_ms < 600_000, "two nodes never come to rest");
    }
}

/// Lets all nodes tell each other everything, two at a time, until nothing changes.
pub(crate) fn exchange_all(nodes: &[&Node], space: SpaceId) {
    for _ in 0..nodes.len() + 2 {
        for (index, a) in nodes.iter().enumerate() {
            for b in &nodes[index + 1..] {
                exchange(a, b);
            }
        }
        if nodes.windows(2).all(|pair| pair[0].digest(space) == pair[1].digest(space)) {
            return;
        }
    }
    panic!("the nodes do not come to hold the same");
}

fn feed(ends: &mut [End<'_>; 2], me: usize, now_ms: u64, input: Input<'_>) {
    let outputs = handle(&mut ends[me], now_ms, input);
    perform(ends, me, now_ms, outputs);
}

fn handle(end: &mut End<'_>, now_ms: u64, input: Input<'_>) -> Vec<Output> {
    let view = SyncView::new(&end.node.store).unwrap();
    end.machine.handle(now_ms, input, &view).unwrap()
}

fn perform(ends: &mut [End<'_>; 2], me: usize, now_ms: u64, outputs: Vec<Output>) {
    for output in outputs {
        match output {
            Output::Send(frame) => ends[1 - me].inbound.push_back(frame),
            Output::Store { space, control, ops, bytes } => {
                let mut report = if control {
                    ends[me].node.write(move |batch| batch.append_control(space, ops))
                } else {
                    {
                        let other = ends[1 - me].node.identity.node();
                        ends[me].node.take_from(other, space, ops)
                    }
                };
                report.bytes = bytes;
                stored(ends, me, now_ms, report);
            }
            Output::PeerHeights { space, heights } => {
                let peer = ends[1 - me].node.identity.node();
                ends[me].node.store.note_acks(peer, space, &heights).unwrap();
            }
            Output::Fork(proof) => {
                let (log, seq) = proof.verify().unwrap();
                let space = log.space;
                ends[me].node.write(move |batch| batch.freeze(&proof, &log, seq));
                let heights: Vec<Height> = ends[me].node.heights(space);
                feed(
                    ends,
                    me,
                    now_ms,
                    Input::Committed { space, heights: &heights, control: log.incarnation == 0 },
                );
            }
            Output::Presence(_) | Output::Shared(_) | Output::ControlLevel(_) => {}
            Output::Close(why) => panic!("a link of honest nodes was closed: {why}"),
        }
    }
}

fn is_forked(node: &Node, space: SpaceId) -> bool {
    node.store.control(space).is_some_and(|control| control.forked().is_some())
}

fn stored(ends: &mut [End<'_>; 2], me: usize, now_ms: u64, report: Report) {
    let (space, heights) = (report.space, report.heights.clone());
    let control = report.control_grew || is_forked(ends[me].node, space);
    feed(ends, me, now_ms, Input::Stored(report));
    feed(ends, me, now_ms, Input::Committed { space, heights: &heights, control });
    // What arrived may have been answered by the store itself, here or in the other space of the two.
    let (node, other) = (ends[me].node, ends[1 - me].node.identity.node());
    let workspace = node.store.paired_in(space, other).unwrap_or(space);
    for space in [workspace, node.pair_space(workspace, other)] {
        let heights: Vec<Height> = node.heights(space);
        let own: Vec<_> =
            heights.into_iter().filter(|height| height.author == node.identity.node()).collect();
        feed(ends, me, now_ms, Input::Committed { space, heights: &own, control: false });
    }
}
