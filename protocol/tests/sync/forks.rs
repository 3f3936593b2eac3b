//! Logs that contradict themselves freeze everywhere, and everybody can prove why.

use muster_protocol::{fork::ForkProof, operation::Operation, sync::View};

use crate::{node::Node, world::World};

/// A world in which node 2's log continues differently at nodes 0 and 1 after `common` operations.
/// `left` and `right` are how many operations each of them has more.
fn forked(common: usize, left: usize, right: usize) -> (World, muster_protocol::ids::SpaceId) {
    let (mut world, space) = World::of_members(4);
    world.connect(0, 2);
    world.connect(1, 2);
    world.write_many(2, space, common);
    world.converge(space, &[0, 1, 2], 5_000);
    world.isolate(2);
    let mut copy = Node::new(3); // the folder of node 2, copied
    copy.spaces = world.nodes[2].spaces.clone();
    for (at, from, count) in [(0, true, left), (1, false, right)] {
        for n in 0..count {
            let author = if from { &mut world.nodes[2] } else { &mut copy };
            let op = author.next_op(space, format!("{n} for {at}").as_bytes(), 10_000 + n as u64);
            author.store(space, false, std::slice::from_ref(&op), 0, 10_000);
            world.store(at, std::slice::from_ref(&op));
        }
    }
    (world, space)
}

#[test]
fn a_fork_freezes_the_log_and_is_proven_to_everybody_who_holds_it() {
    for (common, left, right) in [(3, 1, 2), (3, 2, 1), (0, 1, 3), (5, 3, 9), (1, 400, 700)] {
        let (mut world, space) = forked(common, left, right);
        let log = world.nodes[2].log(space);
        world.connect(0, 1);
        world.connect(0, 3);
        world.connect(1, 3);
        let frozen = |world: &World, node: usize| world.nodes[node].frozen_at(&log);
        let done = world.run_until(120_000, |world| {
            [0, 1].iter().all(|node| frozen(world, *node) == Some(common as u64))
                && world.agree(space, &[0, 1, 3])
        });
        let at = [0, 1, 3].map(|node| frozen(&world, node));
        assert!(done, "{common}+{left}|{right}: frozen at {at:?}");
        assert!(world.closed.is_empty());
        // Also its author hears of it, when it writes on.
        world.connect(2, 1);
        world.write(2, space, b"on and on");
        assert!(world.run_until(120_000, |world| frozen(world, 2) == Some(common as u64)));
        let before: usize = world.traffic.values().map(|traffic| traffic.op_frames).sum();
        world.run_ms(300_000);
        let after: usize = world.traffic.values().map(|traffic| traffic.op_frames).sum();
        assert!(after - before <= 4, "no fork is argued about for ever");
    }
}

#[test]
fn a_fork_at_equal_heights_is_noticed_though_neither_side_grows() {
    for (common, each) in [(0, 1), (4, 1), (2, 5)] {
        let (mut world, space) = forked(common, each, each);
        let log = world.nodes[2].log(space);
        world.connect(0, 1);
        world.connect(0, 3);
        world.connect(1, 3);
        let found = world.run_until(300_000, |world| {
            [0, 1].iter().all(|node| world.nodes[*node].frozen_at(&log) == Some(common as u64))
                && world.agree(space, &[0, 1, 3])
        });
        let at = [0, 1, 3].map(|node| world.nodes[node].frozen_at(&log));
        assert!(found, "{common} and {each} on each side: frozen at {at:?}");
        assert!(world.closed.is_empty());
    }
}

#[test]
fn a_fork_below_a_cut_off_is_noticed() {
    let (mut world, space) = forked(2, 3, 3);
    let log = world.nodes[2].log(space);
    // Node 0 is the home, and what it saw of the log is one side of the fork.
    world.remove(space, 2);
    world.connect(0, 1);
    let found = world.run_until(300_000, |world| {
        [0, 1].iter().all(|node| world.nodes[*node].frozen_at(&log) == Some(2)) && world.agree(space, &[0, 1])
    });
    let at = [0, 1].map(|node| world.nodes[node].frozen_at(&log));
    assert!(found, "frozen at {at:?}");
}

#[test]
fn an_earlier_fork_is_noticed_below_one_that_is_known() {
    // The two sides left each other after two operations. A proof of a later place reaches both of them first.
    let (mut world, space) = forked(2, 5, 5);
    let log = world.nodes[2].log(space);
    let at_six = [0, 1].map(|node: usize| {
        let op = world.nodes[node].ops(&log, 6, usize::MAX, 1).unwrap().remove(0);
        Operation::decode(&op).unwrap()
    });
    let later = ForkProof::of(&at_six[0], &at_six[1]).unwrap();
    [0, 1].iter().for_each(|node: &usize| world.nodes[*node].freeze(&later));
    world.connect(0, 1);
    let found = world.run_until(300_000, |world| {
        [0, 1].iter().all(|node| world.nodes[*node].frozen_at(&log) == Some(2)) && world.agree(space, &[0, 1])
    });
    let at = [0, 1].map(|node| world.nodes[node].frozen_at(&log));
    assert!(found, "frozen at {at:?}");
}

#[test]
fn nodes_that_hold_the_same_do_not_compare_their_newest_operations() {
    let (mut world, space) = World::of_members(3);
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        world.connect(one, other);
    }
    for node in 0..3 {
        world.write_many(node, space, 4);
    }
    world.converge(space, &[0, 1, 2], 60_000);
    let frames = |world: &World| -> usize { world.traffic.values().map(|traffic| traffic.op_frames).sum() };
    let before = frames(&world);
    world.run_ms(600_000);
    assert_eq!(frames(&world), before);
}
