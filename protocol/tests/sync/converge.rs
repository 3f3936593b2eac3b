//! Whatever links do, members come to hold the same.

use crate::{SOON_MS, world::World};

#[test]
fn two_nodes_agree_after_meeting() {
    let (mut world, space) = World::of_members(2);
    world.write_many(0, space, 10);
    world.write_many(1, space, 20);
    world.connect(0, 1);
    assert!(world.converge(space, &[0, 1], SOON_MS) < 100);
    assert!(world.closed.is_empty());
}

#[test]
fn what_is_written_while_a_link_begins_arrives_soon() {
    for moment_ms in 0..40 {
        let (mut world, space) = World::of_members(2);
        world.connect(0, 1);
        world.write_many(0, space, 4);
        world.write_many(1, space, 4);
        world.converge(space, &[0, 1], SOON_MS);
        world.connect(0, 1);
        world.run_ms(moment_ms);
        world.write(1, space, b"in between");
        world.converge(space, &[0, 1], SOON_MS);
        for n in 0..3 {
            world.write(n % 2, space, b"and later");
            world.converge(space, &[0, 1], 500);
        }
        for link in [(0, 1), (1, 0)] {
            let sent = world.traffic(link.0, link.1).ops;
            assert_eq!(sent.values().max(), Some(&1), "nothing goes over {link:?} twice, {moment_ms} ms");
        }
    }
}

#[test]
fn a_joiner_is_heard_as_soon_as_it_is_in_whenever_the_answer_comes() {
    for answer_ms in [0, 1, 3, 8, 20, 100, 5_000] {
        let mut world = World::of(2);
        let space = world.found(0);
        world.write(0, space, b"before");
        world.connect(0, 1);
        world.run_ms(50);
        world.add(space, 1);
        world.run_ms(answer_ms);
        world.give_genesis(space, 1);
        world.converge(space, &[0, 1], SOON_MS);
        world.write(1, space, b"hello, I am new");
        assert!(world.converge(space, &[0, 1], SOON_MS) < 100, "after {answer_ms} ms");
    }
}

#[test]
fn an_offline_node_catches_up_from_any_member_when_the_author_is_gone() {
    let (mut world, space) = World::of_members(3);
    world.connect(0, 1);
    world.write_many(0, space, 50);
    world.converge(space, &[0, 1], SOON_MS);
    world.isolate(0);
    world.connect(1, 2);
    world.converge(space, &[1, 2], SOON_MS);
}

#[test]
fn a_chain_without_a_link_between_its_ends_converges() {
    let (mut world, space) = World::of_members(4);
    for node in 1..4 {
        world.connect(node - 1, node);
    }
    world.run_ms(200);
    world.write_many(0, space, 5);
    world.write_many(3, space, 5);
    world.converge(space, &[0, 1, 2, 3], SOON_MS);
    for n in 0..4 {
        world.write(3 * (n % 2), space, b"and again, just after the last was asked for");
        world.converge(space, &[0, 1, 2, 3], SOON_MS);
    }
}

#[test]
fn an_acknowledgement_lost_with_its_link_is_made_up_for() {
    let (mut world, space) = World::of_members(2);
    world.connect(0, 1);
    world.run_ms(100);
    world.write(0, space, b"did you get this?");
    let log = world.nodes[0].log(space);
    assert!(world.run_until(100, |world| world.nodes[1].stored(&log) == 1));
    world.disconnect(0, 1);
    let key = (0, world.id(1), log);
    assert_eq!(world.acks.get(&key), None);
    world.connect(0, 1);
    assert!(world.run_until(SOON_MS, |world| world.acks.get(&key) == Some(&1)));
}

#[test]
fn an_operation_whose_clock_is_ahead_waits_and_arrives_later() {
    let (mut world, space) = World::of_members(3);
    world.connect_all();
    world.run_ms(200);
    world.nodes[1].clock_ahead_ms = 180_000; // a minute more than anybody takes
    world.write(1, space, b"from the future");
    world.nodes[1].clock_ahead_ms = 0;
    world.write(1, space, b"what stands behind it waits too");
    let log = world.nodes[1].log(space);
    world.run_ms(55_000);
    assert_eq!((world.nodes[0].stored(&log), world.nodes[2].stored(&log)), (0, 0));
    let asked: usize = [0, 2].map(|node| world.traffic(node, 1).wants).iter().sum();
    assert!(asked <= 16, "asked {asked} times");
    world.converge(space, &[0, 1, 2], 40_000);
}

#[test]
fn what_cites_a_control_log_ahead_of_ours_waits_for_it() {
    let (mut world, space) = World::of_members(3);
    world.connect_slow(0, 1, 1);
    world.connect_slow(0, 2, 400);
    world.connect_slow(1, 2, 1);
    world.run_ms(2_000);
    let newcomer = world.nodes.len();
    world.nodes.push(crate::node::Node::new(9));
    world.add(space, newcomer);
    world.run_ms(20);
    world.write(1, space, b"1 knows of the newcomer, 2 does not yet");
    world.converge(space, &[0, 1, 2], SOON_MS);
}

#[test]
fn a_link_that_resets_again_and_again_loses_nothing() {
    let (mut world, space) = World::of_members(2);
    for round in 0..50 {
        world.connect(0, 1);
        world.write_many(round % 2, space, 3);
        world.run_ms(7 + round as u64);
    }
    world.converge(space, &[0, 1], SOON_MS);
    assert!(world.closed.is_empty());
}

#[test]
fn a_control_log_of_many_entries_travels_in_pages() {
    let mut world = World::of(2);
    let space = world.found(0);
    for seed in 1..=200u8 {
        let id = crate::node::Node::new(seed.wrapping_add(50)).id();
        for _ in 0..2 {
            let commit = world.nodes[0].add(space, id, 0); // the second one means nothing, and counts
            world.committed(0, &commit);
        }
    }
    world.add(space, 1);
    world.give_genesis(space, 1);
    world.connect(0, 1);
    assert!(world.converge(space, &[0, 1], SOON_MS) < 200);
    assert!(world.closed.is_empty(), "{:?}", world.closed);
}
