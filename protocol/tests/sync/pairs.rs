//! What two nodes say only to each other: it reaches the other, and nobody else (N-33).

use muster_protocol::{
    cbor::{Bytes, Bytes32},
    control::Role,
    fork::ForkProof,
    ids::{OpId, SpaceId, StreamId},
    limits,
    operation::{Draft, Kind, Operation},
    sync::{Frame, Height, Hello, Input, Machine, Output},
};

use crate::{SOON_MS, world::World};

/// A world in which these nodes and all links but theirs never heard of a space.
#[track_caller]
fn assert_between(world: &World, pair: SpaceId, one: usize, other: usize) {
    for ((from, to), traffic) in &world.traffic {
        if [*from, *to] != [one, other] && [*from, *to] != [other, one] {
            assert_eq!(traffic.of_space.get(&pair), None, "{from} named it to {to}");
        }
    }
    for (number, node) in world.nodes.iter().enumerate() {
        assert_eq!(node.spaces.contains_key(&pair), [one, other].contains(&number), "node {number}");
    }
}

/// How many frames named a space between two nodes so far.
fn said(world: &World, space: SpaceId, one: usize, other: usize) -> usize {
    let links = [world.traffic(one, other), world.traffic(other, one)];
    links.iter().map(|traffic| traffic.of_space.get(&space).copied().unwrap_or(0)).sum()
}

#[test]
fn what_two_say_to_each_other_reaches_the_other_at_once_and_nobody_else_n33() {
    let (mut world, space) = World::of_members(4);
    world.connect_all();
    world.run_ms(1_000);
    let pair = world.tell(1, 2, space, b"only for you");
    assert!(world.converge(pair, &[1, 2], SOON_MS) < 100);
    assert_eq!(world.tell(2, 1, space, b"thank you"), pair);
    assert!(world.converge(pair, &[1, 2], SOON_MS) < 100);
    let other = world.tell(0, 2, space, b"and this is ours");
    world.write(3, space, b"hello everybody");
    world.converge(other, &[0, 2], SOON_MS);
    world.converge(space, &[0, 1, 2, 3], SOON_MS);
    world.run_ms(100_000); // anti-entropy names nothing to others either
    assert_between(&world, pair, 1, 2);
    assert_between(&world, other, 0, 2);
    for link in [(1, 2), (2, 1)] {
        let sent = world.traffic(link.0, link.1).ops;
        assert_eq!(sent.values().max(), Some(&1), "nothing goes over {link:?} twice");
    }
    let log = world.nodes[1].log(pair);
    assert_eq!(world.acks.get(&(1, world.id(2), log)), Some(&1), "its receiver acknowledged it");
}

#[test]
fn what_two_said_while_apart_waits_until_they_meet_and_takes_no_other_way_n33() {
    let (mut world, space) = World::of_members(4);
    let pair = world.tell(1, 2, space, b"are you there?");
    world.tell(2, 1, space, b"nobody hears me");
    for _ in 0..20 {
        world.tell(1, 2, space, &vec![1; 400_000]); // twice the credit
    }
    for (a, b) in [(0, 1), (0, 2), (3, 1), (3, 2)] {
        world.connect(a, b);
    }
    world.run_ms(100_000);
    assert!(!world.agree(pair, &[1, 2]));
    world.connect(1, 2);
    world.converge(pair, &[1, 2], SOON_MS);
    assert_between(&world, pair, 1, 2);
    for round in 0..20 {
        world.connect(1, 2); // and links that break lose nothing
        world.tell(1 + round % 2, 2 - round % 2, space, b"again");
        world.run_ms(3 + round as u64);
    }
    world.converge(pair, &[1, 2], SOON_MS);
    assert!(world.closed.is_empty(), "{:?}", world.closed);
}

#[test]
fn nothing_flows_while_one_of_the_two_may_only_read() {
    for guest in [1, 2] {
        let (mut world, space) = World::of_members(3);
        world.connect_all();
        let pair = world.tell(1, 2, space, b"before");
        world.converge(pair, &[1, 2], SOON_MS);
        world.set_role(space, guest, Role::Guest);
        world.converge(space, &[0, 1, 2], SOON_MS);
        world.run_ms(1_000);
        let before = said(&world, pair, 1, 2);
        world.tell(1, 2, space, b"meanwhile");
        world.tell(2, 1, space, b"meanwhile");
        world.run_ms(60_000);
        world.connect(1, 2); // also not on a new link
        world.run_ms(60_000);
        assert_eq!(said(&world, pair, 1, 2), before);
        world.set_role(space, guest, Role::Admin);
        world.converge(pair, &[1, 2], SOON_MS);
        world.tell(2, 1, space, b"and on");
        assert!(world.converge(pair, &[1, 2], SOON_MS) < 100);
        assert!(world.closed.is_empty(), "{:?}", world.closed);
    }
}

#[test]
fn nothing_flows_after_a_removal_and_everything_after_a_return() {
    let (mut world, space) = World::of_members(3);
    world.connect_all();
    let pair = world.tell(1, 2, space, b"before");
    world.tell(2, 1, space, b"before");
    world.converge(pair, &[1, 2], SOON_MS);
    world.remove(space, 2);
    world.converge(space, &[0, 1], SOON_MS);
    world.run_ms(1_000);
    // The removed one was not told, and goes on as if nothing had happened.
    let told = world.traffic(1, 2).of_space.get(&pair).copied();
    world.tell(1, 2, space, b"meanwhile");
    world.tell(2, 1, space, b"meanwhile");
    world.run_ms(60_000);
    world.connect(1, 2);
    world.run_ms(60_000);
    assert_eq!(world.traffic(1, 2).of_space.get(&pair).copied(), told);
    assert_eq!(world.nodes[1].stored(&world.nodes[2].log(pair)), 1);
    assert!(world.is_up(1, 2), "a removal is no offence");
    world.add(space, 2);
    world.converge(pair, &[1, 2], SOON_MS); // the same logs: no removal cuts them
    assert_eq!(world.nodes[1].stored(&world.nodes[2].log(pair)), 2);
}

#[test]
fn what_is_said_around_a_change_of_roles_arrives_in_the_end() {
    for moment_ms in 0..25 {
        let (mut world, space) = World::of_members(3);
        world.connect_all();
        world.run_ms(1_000);
        let pair = world.tell(1, 2, space, b"just before, or just not");
        world.tell(2, 1, space, b"just before, or just not");
        world.run_ms(moment_ms);
        world.set_role(space, 2, Role::Guest);
        world.tell(1, 2, space, b"just after");
        world.run_ms(moment_ms / 2);
        world.set_role(space, 2, Role::Member);
        world.tell(2, 1, space, b"just after");
        world.converge(pair, &[1, 2], 5_000);
        world.tell(1, 2, space, b"later");
        world.tell(2, 1, space, b"later");
        world.converge(pair, &[1, 2], 5_000);
        assert_between(&world, pair, 1, 2);
    }
}

#[test]
fn one_who_learns_late_that_both_may_write_still_gets_everything() {
    let (mut world, space) = World::of_members(2);
    world.nodes.push(crate::node::Node::new(3));
    world.connect_all();
    world.run_ms(100);
    world.add(space, 2);
    world.run_ms(200);
    let pair = world.tell(0, 2, space, b"welcome"); // it does not hold the workspace yet
    world.run_ms(5_000);
    world.give_genesis(space, 2);
    world.converge(pair, &[0, 2], SOON_MS);
    world.tell(2, 0, space, b"thank you");
    assert!(world.converge(pair, &[0, 2], SOON_MS) < 100);
}

/// A link of node 0 with node 1, both members of a workspace, after the hellos. Node 2 is one as well.
struct Link {
    world: World,
    space: SpaceId,
    /// Of the two.
    pair: SpaceId,
    /// Of node 0 with node 2: not the peer's.
    other: SpaceId,
    machine: Machine,
    now_ms: u64,
    /// What node 0 said up to and with its answer to the hello.
    first: Vec<Output>,
}

impl Link {
    fn new() -> Self {
        let (mut world, space) = World::of_members(3);
        let pair = world.tell(0, 1, space, b"for 1");
        let other = world.tell(0, 2, space, b"for 2");
        let machine = Machine::new(world.id(0), world.id(1));
        let mut link = Self { world, space, pair, other, machine, now_ms: 0, first: Vec::new() };
        link.first = link.input(Input::Up);
        let hello = link.frame(&Frame::Hello(Hello { version: 1, credit: limits::CREDIT_BYTES }));
        link.first.extend(hello);
        link
    }

    fn input(&mut self, input: Input<'_>) -> Vec<Output> {
        self.now_ms += 1;
        self.machine.handle(self.now_ms, input, &self.world.nodes[0]).unwrap()
    }

    fn frame(&mut self, frame: &Frame) -> Vec<Output> {
        self.input(Input::Frame(&frame.encode()))
    }

    /// The first operation of a node's log in a space.
    fn op(&mut self, node: usize, space: SpaceId, control_height: u64) -> Operation {
        let draft = Draft { kind: Kind::ENVELOPE, stream: StreamId::SPACE, body: b"not for you".to_vec() };
        self.world.nodes[node].sign(space, 7, 1, OpId::NONE, control_height, draft, 0)
    }

    /// Ten minutes pass: all frames that are sent.
    fn wait(&mut self) -> Vec<Frame> {
        let end_ms = self.now_ms + 600_000;
        let mut sent = Vec::new();
        while self.machine.wake_at_ms() < end_ms {
            self.now_ms = self.now_ms.max(self.machine.wake_at_ms());
            sent.extend(self.machine.handle(self.now_ms, Input::Tick, &self.world.nodes[0]).unwrap());
        }
        frames(&sent)
    }
}

fn frames(outputs: &[Output]) -> Vec<Frame> {
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Send(bytes) => Some(Frame::decode(bytes).unwrap()),
        _ => None,
    });
    sent.collect()
}

fn frames_about(space: SpaceId, author: muster_protocol::identity::NodeId) -> [Frame; 6] {
    let heights = vec![Height { author, incarnation: 1, seq: 1 }];
    [
        Frame::ControlHeight(space, 9),
        Frame::ControlEntries(space, vec![Bytes(b"no entry".to_vec())]),
        Frame::Digest(space, Bytes32([1; 32])),
        Frame::Heights { space, heights: heights.clone(), whole: true, credit: 0 },
        Frame::Heights { space, heights: heights.clone(), whole: false, credit: 0 },
        Frame::Want(space, heights),
    ]
}

#[test]
fn a_pair_space_has_no_control_log_and_nobody_is_introduced_in_it() {
    let mut link = Link::new();
    let (space, pair) = (link.space, link.pair);
    let shared: Vec<_> = link.first.iter().filter(|output| matches!(output, Output::Shared(_))).collect();
    assert_eq!(shared, [&Output::Shared(space)]);
    let is_control = |frame: &Frame| matches!(frame, Frame::ControlHeight(of, _) | Frame::ControlEntries(of, _) if *of == pair);
    let first = frames(&link.first);
    assert!(first.iter().any(|frame| matches!(frame, Frame::Digest(of, _) if *of == pair)));
    assert!(!first.iter().any(is_control));
    // Nor is one taken: no entry is even looked at.
    let peer = link.world.id(1);
    for frame in &frames_about(pair, peer)[..2] {
        assert_eq!(link.frame(frame), [], "{frame:?}");
    }
    let heights = Frame::Heights { space: pair, heights: Vec::new(), whole: true, credit: 0 };
    let told = frames(&link.frame(&heights));
    assert!(told.iter().any(|frame| matches!(frame, Frame::Ops(of, _) if *of == pair)), "{told:?}");
    assert!(!told.iter().chain(&link.wait()).any(is_control));
}

#[test]
fn the_pair_space_of_others_is_to_a_third_node_as_if_it_were_not_there_n33() {
    let mut link = Link::new();
    let node = [0, 1, 2].map(|node| link.world.id(node));
    let foreign = SpaceId::pair(link.space, node[1], node[2]);
    let own = SpaceId::pair(link.space, node[0], node[0]);
    for space in [link.other, foreign, own] {
        for author in node {
            for frame in frames_about(space, author) {
                assert_eq!(link.frame(&frame), [], "{frame:?}");
            }
        }
        // Operations get their credit back, as those of any space that is not shared; the link stays.
        for author in [1, 2] {
            let op = link.op(author, space, 1);
            let out = frames(&link.frame(&Frame::Ops(space, vec![Bytes(op.encode())])));
            assert!(matches!(&out[..], [Frame::Heights { heights, whole: false, .. }] if heights.is_empty()));
        }
        let (a, b) = (link.op(2, space, 1), link.op(2, space, 1));
        let proof = ForkProof::of(&a, &b).unwrap();
        assert_eq!(link.frame(&Frame::Fork(Bytes(proof.encode()))), []);
    }
    let held: Vec<_> = link.world.nodes[0].spaces.keys().copied().collect();
    assert_eq!(held.len(), 3, "the workspace's, and two pairs'");
    assert_eq!(link.world.nodes[0].spaces[&link.other].content().1.len(), 1);
}

#[test]
fn what_may_not_stand_in_our_pair_space_is_refused_for_good_and_not_asked_for_again_n33() {
    // By a third node, which really signed it; and by the peer, citing a height there will never be.
    for (author, control_height) in [(2, 1), (2, 0), (2, 3), (1, 0), (1, 2), (1, u64::MAX)] {
        let mut link = Link::new();
        let (pair, node) = (link.pair, link.world.id(author));
        let op = link.op(author, pair, control_height);
        let log = op.header().log();
        let out = link.frame(&Frame::Ops(pair, vec![Bytes(op.encode())]));
        let [Output::Store { ops, bytes, control: false, .. }] = &out[..] else { panic!("{out:?}") };
        let (report, commit) = link.world.nodes[0].store(pair, false, ops, *bytes, 0);
        assert_eq!((&report.refused[..], &report.again[..]), (&[log][..], &[][..]));
        assert!(!report.control_ahead && commit.heights.is_empty());
        let mut sent = frames(&link.input(Input::Stored(report)));
        // The peer says, and says again, that it holds this.
        let heights = vec![Height { author: node, incarnation: log.incarnation, seq: 1 }];
        for whole in [false, true] {
            let frame = Frame::Heights { space: pair, heights: heights.clone(), whole, credit: 0 };
            sent.extend(frames(&link.frame(&frame)));
        }
        sent.extend(link.wait());
        let asked = sent.iter().filter(|frame| matches!(frame, Frame::Want(..)));
        assert_eq!(asked.count(), 0, "author {author}, height {control_height}");
        assert!(!sent.iter().any(|frame| matches!(frame, Frame::ControlHeight(space, _) if *space == pair)));
        assert_eq!(link.world.nodes[0].stored(&log), 0);
    }
}

#[test]
fn a_log_of_a_third_node_is_not_asked_for_in_our_pair_space_n33() {
    let mut link = Link::new();
    let (pair, third) = (link.pair, link.world.id(2));
    let heights = vec![Height { author: third, incarnation: 7, seq: 100 }];
    link.frame(&Frame::Heights { space: pair, heights, whole: true, credit: 0 });
    assert!(!link.wait().iter().any(|frame| matches!(frame, Frame::Want(..))));
}

#[test]
fn two_lives_of_one_node_do_not_share_what_its_sessions_say_to_each_other() {
    let (mut world, space) = World::of_members(2);
    let own = world.tell(1, 1, space, b"between two sessions of mine");
    let me = world.id(1);
    let mut machine = Machine::new(me, me);
    let hello = Frame::Hello(Hello { version: 1, credit: limits::CREDIT_BYTES }).encode();
    let mut out = machine.handle(0, Input::Up, &world.nodes[1]).unwrap();
    out.extend(machine.handle(1, Input::Frame(&hello), &world.nodes[1]).unwrap());
    assert!(out.contains(&Output::Shared(space)));
    assert!(!frames(&out).iter().any(|frame| matches!(frame, Frame::Digest(of, _) if *of == own)));
    for frame in &frames_about(own, me) {
        assert_eq!(
            machine.handle(2, Input::Frame(&frame.encode()), &world.nodes[1]),
            Ok(vec![]),
            "{frame:?}"
        );
    }
}
