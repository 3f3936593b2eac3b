//! How much is sent: once over each link, never more than was granted, and fairly.

use muster_protocol::{
    limits,
    sync::{Frame, Hello, Input, Machine, Output},
};

use crate::{SOON_MS, world::World};

/// How often operations arrived that the receiver had been sent before, over any link.
fn duplicates(world: &World, to: usize) -> usize {
    let mut seen = std::collections::BTreeMap::new();
    for ((_, receiver), traffic) in &world.traffic {
        if *receiver == to {
            for (op, count) in &traffic.ops {
                *seen.entry(*op).or_insert(0) += count;
            }
        }
    }
    seen.values().map(|count| count - 1).sum()
}

#[test]
fn in_a_full_mesh_news_travels_once_along_each_link() {
    let (mut world, space) = World::of_members(4);
    world.connect_all();
    world.run_ms(500);
    for round in 0..20 {
        world.write(round % 4, space, b"news");
        world.run_ms(37);
    }
    world.converge(space, &[0, 1, 2, 3], SOON_MS);
    world.run_ms(60_000);
    for (link, traffic) in &world.traffic {
        assert_eq!(traffic.ops.values().max(), Some(&1), "{link:?}");
        assert_eq!(traffic.ops.len(), 5, "each of the four pushes its own five over {link:?}");
        assert_eq!(traffic.wants, 0, "nobody has to ask: {link:?}");
    }
}

#[test]
fn what_one_lacks_and_four_hold_is_pulled_from_one_of_them() {
    let (mut world, space) = World::of_members(6);
    for a in 0..5 {
        for b in 0..a {
            world.connect(a, b);
        }
    }
    world.write_many(0, space, 1_000);
    world.converge(space, &[0, 1, 2, 3, 4], 10_000);
    world.isolate(0);
    for helper in 1..5 {
        world.connect(5, helper);
    }
    world.converge(space, &[1, 2, 3, 4, 5], 10_000);
    assert_eq!(duplicates(&world, 5), 0);
}

#[test]
fn a_log_is_asked_for_elsewhere_when_the_one_who_was_asked_goes_silent() {
    let (mut world, space) = World::of_members(4);
    for (a, b) in [(0, 1), (0, 2)] {
        world.connect(a, b);
    }
    world.write_many(0, space, 10);
    world.converge(space, &[0, 1, 2], SOON_MS);
    world.isolate(0);
    world.connect(3, 1);
    world.connect(3, 2);
    let asked = |world: &World| world.traffic(3, 1).wants + world.traffic(3, 2).wants;
    assert!(world.run_until(SOON_MS, |world| asked(world) == 1));
    let first = if world.traffic(3, 1).wants == 1 { 1 } else { 2 };
    world.disconnect(3, first); // before it could answer
    world.converge(space, &[1, 2, 3], 5_000);
}

#[test]
fn twenty_thousand_operations_catch_up_in_few_frames() {
    let (mut world, space) = World::of_members(2);
    world.write_many(0, space, 20_000);
    world.connect(0, 1);
    world.converge(space, &[0, 1], 10_000);
    let there = world.traffic(0, 1);
    assert_eq!(there.ops.len(), 20_000);
    assert_eq!(there.ops.values().max(), Some(&1));
    assert!(there.op_frames <= 20_000 / limits::OPS_PER_FRAME_MAX + 8, "{} frames", there.op_frames);
    assert!(world.traffic(1, 0).frames <= there.op_frames + 10, "an acknowledgement each");
}

#[test]
fn large_operations_travel_alone_and_arrive() {
    let (mut world, space) = World::of_members(2);
    let big = vec![7; limits::BODY_BYTES_MAX];
    for _ in 0..8 {
        world.write(0, space, &big);
        world.write(0, space, b"small");
    }
    world.connect(0, 1);
    world.converge(space, &[0, 1], SOON_MS);
}

#[test]
fn one_long_catch_up_does_not_starve_the_other_spaces_news() {
    let mut world = World::of(2);
    let spaces = [world.found(0), world.found(0)];
    for space in spaces {
        world.add(space, 1);
        world.give_genesis(space, 1);
    }
    world.connect(0, 1);
    world.run_ms(200);
    world.disconnect(0, 1);
    world.write_many(0, spaces[0], 20_000);
    world.connect(0, 1);
    world.run_ms(20);
    world.write(0, spaces[1], b"live");
    let log = world.nodes[0].log(spaces[1]);
    assert!(world.run_until(60, |world| world.nodes[1].stored(&log) == 1));
    assert!(world.nodes[1].stored(&world.nodes[0].log(spaces[0])) < 20_000, "the catch-up is not over");
    world.converge(spaces[0], &[0, 1], 10_000);
}

/// A link of node 0 of `world`, whose peer said hello and told that it holds nothing.
fn link_to_an_empty_peer(world: &World, credit: u64) -> (Machine, Vec<Output>) {
    let space = *world.nodes[0].spaces.keys().next().unwrap();
    let (mut machine, node) = (Machine::new(world.id(0), world.id(1)), &world.nodes[0]);
    let mut out = machine.handle(0, Input::Up, node).unwrap();
    let hello = Frame::Hello(Hello { version: 1, credit });
    let nothing = Frame::Heights { space, heights: Vec::new(), whole: true, credit: 0 };
    for frame in [hello, nothing] {
        out.extend(machine.handle(1, Input::Frame(&frame.encode()), node).unwrap());
    }
    (machine, out)
}

/// The sizes of the operation frames among outputs.
fn op_frames(out: &[Output]) -> Vec<usize> {
    let frame = |output: &Output| match output {
        Output::Send(bytes) if matches!(Frame::decode(bytes), Ok(Frame::Ops(..))) => Some(bytes.len()),
        _ => None,
    };
    out.iter().filter_map(frame).collect()
}

#[test]
fn a_slow_reader_gets_at_most_four_frames_of_operations() {
    let (mut world, space) = World::of_members(2);
    world.write_many(0, space, 5_000);
    let (mut machine, out) = link_to_an_empty_peer(&world, limits::CREDIT_BYTES);
    assert_eq!(op_frames(&out).len(), 4);
    for now_ms in [10, 1_000, 60_000] {
        let out = machine.handle(now_ms, Input::Tick, &world.nodes[0]).unwrap();
        assert!(op_frames(&out).is_empty());
    }
    let out = machine.handle(60_001, Input::Writable, &world.nodes[0]).unwrap();
    assert_eq!(op_frames(&out).len(), 4);
}

#[test]
fn credit_is_never_exceeded() {
    let (mut world, space) = World::of_members(2);
    for n in 0..400 {
        world.write(0, space, &vec![1; 1 + (n * 7_919) % 60_000]);
    }
    for credit in [0, 100, 10_000, 70_000, 1_000_000, limits::CREDIT_BYTES] {
        let (mut machine, out) = link_to_an_empty_peer(&world, credit);
        let mut sent: usize = op_frames(&out).iter().sum();
        for n in 0..200 {
            let out = machine.handle(2 + n, Input::Writable, &world.nodes[0]).unwrap();
            sent += op_frames(&out).iter().sum::<usize>();
        }
        assert!(sent as u64 <= credit, "{sent} of {credit}");
        assert!(credit < 1_000_000 || sent > 900_000, "only {sent} of {credit}");
    }
}

#[test]
fn granted_credit_lets_the_rest_through() {
    let (mut world, space) = World::of_members(2);
    for _ in 0..20 {
        world.write(0, space, &vec![1; 500_000]); // more than twice the credit
    }
    world.connect(0, 1);
    world.converge(space, &[0, 1], SOON_MS);
    assert!(world.traffic(0, 1).bytes_of_ops > 2 * limits::CREDIT_BYTES);
}
