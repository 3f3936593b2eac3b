//! Who is told what: only members, and members everything.

use muster_protocol::sync::{Frame, Hello, Input, Machine, Output, View};

use crate::{SOON_MS, world::World};

#[test]
fn a_new_member_is_learned_from_another_member_than_the_home() {
    let (mut world, space) = World::of_members(3);
    world.nodes.push(crate::node::Node::new(4));
    world.add(space, 3);
    world.connect(0, 1);
    world.converge(space, &[0, 1], SOON_MS);
    world.isolate(0);
    world.connect(1, 2);
    world.converge(space, &[1, 2], SOON_MS);
    world.give_genesis(space, 3);
    world.connect(2, 3);
    world.converge(space, &[1, 2, 3], SOON_MS);
    world.write(3, space, b"the home is gone, and yet I am in");
    world.converge(space, &[1, 2, 3], SOON_MS);
}

#[test]
fn a_joiner_whose_home_goes_at_once_is_brought_in_by_another_member() {
    for answer_ms in [0, 10, 500] {
        let (mut world, space) = World::of_members(2);
        world.nodes.push(crate::node::Node::new(3));
        world.connect(0, 1);
        world.connect(1, 2);
        world.run_ms(100);
        world.add(space, 2);
        world.run_ms(answer_ms);
        world.isolate(0);
        world.run_ms(500);
        world.give_genesis(space, 2); // it knows nobody but the home, which is gone
        let known = |world: &World| world.nodes[1].control(space).unwrap().unwrap().height() == 3;
        if known(&world) {
            world.converge(space, &[1, 2], 35_000);
        }
    }
}

#[test]
fn news_of_the_control_log_passes_along_a_chain() {
    let (mut world, space) = World::of_members(3);
    world.nodes.push(crate::node::Node::new(4));
    world.connect(1, 2);
    world.connect(0, 1);
    world.add(space, 3);
    world.converge(space, &[0, 1, 2], SOON_MS);
    world.give_genesis(space, 3);
    world.connect(2, 3);
    world.connect(1, 3);
    world.converge(space, &[0, 1, 2, 3], SOON_MS);
    world.disconnect(1, 2);
    // Now 2 hears of the home only through the newcomer.
    world.nodes.push(crate::node::Node::new(5));
    world.add(space, 4);
    world.write(0, space, b"somebody new");
    world.converge(space, &[0, 1, 2, 3], SOON_MS);
}

#[test]
fn the_log_of_a_member_we_hear_of_before_its_admission_arrives_soon() {
    let (mut world, space) = World::of_members(3);
    world.disconnect(0, 2);
    world.nodes.push(crate::node::Node::new(4));
    world.add(space, 3);
    world.give_genesis(space, 3);
    world.connect(0, 3);
    world.converge(space, &[0, 3], SOON_MS);
    world.write(3, space, b"hello");
    world.converge(space, &[0, 3], SOON_MS);
    world.connect(0, 1); // 1 knows neither the newcomer nor its log
    world.converge(space, &[0, 1, 3], SOON_MS);
}

#[test]
fn a_stranger_is_never_told_the_name_of_a_space() {
    let (mut world, space) = World::of_members(2);
    world.nodes.push(crate::node::Node::new(3));
    world.connect_all();
    world.write_many(0, space, 3);
    world.run_ms(60_000);
    assert_eq!(world.traffic(0, 2).of_space.get(&space), None);
    assert_eq!(world.traffic(1, 2).of_space.get(&space), None);
}

#[test]
fn a_removed_member_gets_nothing_and_nothing_it_writes_is_stored() {
    let (mut world, space) = World::of_members(3);
    world.connect_all();
    world.write(2, space, b"as a member");
    world.converge(space, &[0, 1, 2], SOON_MS);
    world.run_ms(1_000);
    let log = world.nodes[2].log(space);
    world.remove(space, 2);
    world.write(2, space, b"it does not know yet");
    world.converge(space, &[0, 1], SOON_MS);
    let told = [0, 1].map(|node| world.traffic(node, 2).of_space.get(&space).copied());
    world.write_many(0, space, 5);
    world.write_many(2, space, 5);
    world.run_ms(100_000);
    world.connect(1, 2); // also not on a new link
    world.run_ms(100_000);
    assert_eq!([0, 1].map(|node| world.traffic(node, 2).of_space.get(&space).copied()), told);
    for node in [0, 1] {
        assert_eq!(world.nodes[node].stored(&log), 1);
        assert!(world.is_up(node, 2), "a removal is no offence");
    }
}

#[test]
fn a_removed_member_gives_back_no_credit_it_did_not_have() {
    // What it sent before it heard of the removal is paid back: other spaces share the link.
    let mut world = World::of(2);
    let spaces = [world.found(0), world.found(0)];
    for space in spaces {
        world.add(space, 1);
        world.give_genesis(space, 1);
    }
    world.connect(0, 1);
    world.run_ms(500);
    world.remove(spaces[0], 1);
    for _ in 0..30 {
        world.write(1, spaces[0], &vec![1; 400_000]); // three times the credit, all in vain
        world.run_ms(20);
    }
    world.write(1, spaces[1], b"and yet");
    world.converge(spaces[1], &[0, 1], SOON_MS);
    assert_eq!(world.nodes[0].stored(&world.nodes[1].log(spaces[0])), 0);
}

#[test]
fn operations_above_a_cut_off_do_not_make_members_differ_for_ever() {
    let (mut world, space) = World::of_members(4);
    world.connect(2, 3);
    world.connect(0, 3);
    world.write_many(3, space, 4);
    world.converge(space, &[0, 2, 3], SOON_MS);
    world.disconnect(0, 3);
    world.write_many(3, space, 3); // only 2 sees these
    let log = world.nodes[3].log(space);
    assert!(world.run_until(SOON_MS, |world| world.nodes[2].stored(&log) == 7));
    world.isolate(3);
    world.remove(space, 3);
    world.connect(0, 1);
    world.connect(0, 2);
    world.connect(1, 2);
    world.converge(space, &[0, 1, 2], SOON_MS);
    assert_eq!(world.nodes[1].stored(&log), 4);
    world.run_ms(35_000);
    let before: usize = world.traffic.values().map(|traffic| traffic.heights).sum();
    world.run_ms(300_000);
    let after: usize = world.traffic.values().map(|traffic| traffic.heights).sum();
    assert_eq!(before, after, "equal digests, nothing to tell");
}

#[test]
fn a_log_the_home_never_saw_stays_out_also_when_its_author_is_let_in_again() {
    let (mut world, space) = World::of_members(3);
    world.connect(1, 2);
    world.run_ms(100);
    world.write_many(2, space, 2); // only 1 sees it
    let log = world.nodes[2].log(space);
    assert!(world.run_until(SOON_MS, |world| world.nodes[1].stored(&log) == 2));
    world.remove(space, 2);
    world.add(space, 2);
    world.connect_all();
    world.converge(space, &[0, 1], SOON_MS);
    world.write(2, space, b"on top of what was cut off");
    world.run_ms(40_000);
    assert!(world.agree(space, &[0, 1]));
    world.nodes[2].incarnation = 77;
    world.write(2, space, b"in a new log");
    let new = world.nodes[2].log(space);
    assert!(world.run_until(SOON_MS, |world| [0, 1].iter().all(|node| world.nodes[*node].stored(&new) == 1)));
}

#[test]
fn what_is_being_stored_while_its_author_is_removed_is_not_acknowledged() {
    for moment_ms in 0..15 {
        let (mut world, space) = World::of_members(3);
        world.connect_all();
        world.run_ms(1_000);
        world.write(2, space, b"just in time, or just not");
        world.run_ms(moment_ms);
        world.remove(space, 2);
        let told = world.traffic(0, 2).of_space.get(&space).copied();
        world.run_ms(2_000);
        assert_eq!(world.traffic(0, 2).of_space.get(&space).copied(), told, "after {moment_ms} ms");
        assert!(world.agree(space, &[0, 1]));
    }
}

#[test]
fn entries_that_were_not_taken_are_sent_again_when_the_peer_still_asks() {
    let (world, space) = World::of_members(3);
    let mut machine = Machine::new(world.id(0), world.id(1));
    let mut entries = |now_ms: u64, input: Input<'_>| {
        let out = machine.handle(now_ms, input, &world.nodes[0]).unwrap();
        let sent = out.iter().filter(|output| {
            matches!(output, Output::Send(bytes) if matches!(Frame::decode(bytes), Ok(Frame::ControlEntries(..))))
        });
        sent.count()
    };
    let hello = Frame::Hello(Hello { version: 1, credit: 0 }).encode();
    let ask = Frame::ControlHeight(space, 1).encode();
    assert_eq!(entries(0, Input::Up), 0);
    assert_eq!(entries(0, Input::Frame(&hello)), 0);
    assert_eq!(entries(1, Input::Frame(&ask)), 1);
    assert_eq!(entries(2, Input::Frame(&ask)), 0, "they are on their way");
    assert_eq!(entries(30_000, Input::Frame(&ask)), 1);
}
