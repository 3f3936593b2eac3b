//! Logs that contradict themselves freeze everywhere, and everybody can prove why.

use muster_protocol::{
    cbor::Bytes,
    control::{ControlError, Entry, HomeMoved, Role},
    fork::ForkProof,
    ids::SpaceId,
    operation::Operation,
    sync::View,
};

use crate::{
    node::{Commit, Node},
    world::World,
};

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
    for node in [0, 1] {
        world.nodes[node].freeze(&later);
    }
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

/// A world in which the home, node 0, went back to an earlier state of its disk after `common` decisions: what it decided
/// before that, `left` times, node 1 heard; what it decided after it, `right` times, node 2.
fn two_histories(common: usize, left: usize, right: usize) -> (World, SpaceId) {
    let (mut world, space) = World::of_members(5);
    let bob = world.id(1);
    world.nodes[0].set_role(space, bob, Role::Admin, 500);
    for n in 0..common {
        let role = [Role::Guest, Role::Member][n % 2];
        let about = world.id(4);
        world.nodes[0].set_role(space, about, role, 1_000 + n as u64);
    }
    for node in 1..5 {
        world.nodes[node].spaces = world.nodes[0].spaces.clone();
    }
    let mut before = Node::new(1);
    before.spaces = world.nodes[0].spaces.clone();
    for (node, count) in [(1, left), (2, right)] {
        let mut home = Node::new(1);
        home.spaces = before.spaces.clone();
        for n in 0..count {
            let about = home_of_decision(&world, node);
            let role = [Role::Guest, Role::Member][n % 2];
            home.set_role(space, about, role, 20_000 * node as u64 + n as u64);
        }
        world.nodes[node].spaces = home.spaces.clone();
        world.nodes[0].spaces = home.spaces; // on the later side it went on
    }
    (world, space)
}

/// About whom the home decided on one side.
fn home_of_decision(world: &World, side: usize) -> muster_protocol::identity::NodeId {
    world.id(2 + side)
}

fn is_known(world: &World, space: SpaceId, nodes: &[usize]) -> bool {
    nodes.iter().all(|node| world.nodes[*node].spaces[&space].control.forked().is_some())
}

#[test]
fn a_home_that_contradicts_itself_is_proven_to_everybody_and_decides_nothing_more() {
    for (common, left, right) in [(0, 1, 1), (2, 1, 1), (3, 1, 4), (3, 4, 1), (5, 3, 2), (700, 2, 3)] {
        let (mut world, space) = two_histories(common, left, right);
        for (a, b) in [(1, 2), (1, 3), (2, 4), (3, 4)] {
            world.connect(a, b);
        }
        let found = world.run_until(600_000, |world| is_known(world, space, &[1, 2, 3, 4]));
        assert!(found, "{common}, then {left} and {right}");
        world.connect(0, 4);
        assert!(world.run_until(60_000, |world| is_known(world, space, &[0])), "the home hears of it, too");
        assert!(world.closed.is_empty());
        // Nothing it decides counts, and what members say goes on.
        let height = world.nodes[0].spaces[&space].control.height();
        let about = world.id(4);
        world.nodes[0].set_role(space, about, Role::Guest, 900_000);
        assert_eq!(world.nodes[0].spaces[&space].control.height(), height);
        world.write(1, space, b"still here");
        let log = world.nodes[1].log(space);
        assert!(world.run_until(60_000, |world| world.nodes[2].stored(&log) == 1));
    }
}

#[test]
fn a_former_home_that_forgot_that_it_moved_is_proven_though_another_decided_since() {
    let (mut world, space) = two_histories(2, 0, 1);
    // On node 1's side the home moved to node 1, which decided something itself.
    let mut home = Node::new(1);
    home.spaces = world.nodes[1].spaces.clone();
    let moved = HomeMoved { node: world.id(1), evidence: Bytes::default() };
    home.decide(space, &Entry::HomeMoved(moved), 30_000);
    world.nodes[1].spaces = home.spaces;
    let about = world.id(4);
    for n in 0..3 {
        let role = [Role::Guest, Role::Member][n % 2];
        world.nodes[1].set_role(space, about, role, 40_000 + n as u64);
    }
    // The other side grows to the same height: at the top two different nodes decided.
    for n in 0..3 {
        let role = [Role::Guest, Role::Member][n % 2];
        world.nodes[0].set_role(space, about, role, 50_000 + n as u64);
    }
    world.nodes[2].spaces = world.nodes[0].spaces.clone();
    world.connect(1, 2);
    assert!(world.run_until(600_000, |world| is_known(world, space, &[1, 2])));
    let entry = Operation::decode(&world.nodes[1].control_entries(space, 9, usize::MAX).unwrap()[0]).unwrap();
    let mut control = (*world.nodes[2].spaces[&space].control).clone();
    assert!(matches!(control.apply(&entry), Err(ControlError::Height { .. } | ControlError::NotTheHome)));
}

#[test]
fn nobody_but_the_home_of_that_height_can_end_all_decisions() {
    let (mut world, space) = two_histories(2, 0, 0);
    world.connect(1, 2);
    world.run_ms(5_000);
    let commit = Commit { space, heights: Vec::new(), control: true };
    world.committed(1, &commit);
    world.run_ms(120_000);
    assert!(!is_known(&world, space, &[1]) && !is_known(&world, space, &[2]), "they hold the same");
}
