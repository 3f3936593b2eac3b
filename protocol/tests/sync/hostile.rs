//! What a peer can do that does not play by the rules: at most close its link.

use std::collections::BTreeSet;

use muster_protocol::{
    cbor::Bytes,
    fork::ForkProof,
    ids::{OpId, SpaceId, StreamId},
    limits,
    operation::{Draft, Kind, Operation},
    sync::{Closed, Frame, Height, Hello, Input, Machine, Output},
};

use crate::{SOON_MS, node::Node, world::World};

/// A link of node 0 with node 1, both members of a space, after the hellos.
struct Link {
    world: World,
    space: SpaceId,
    machine: Machine,
    now_ms: u64,
}

impl Link {
    fn new() -> Self {
        let (mut world, space) = World::of_members(3);
        world.write(0, space, b"something to tell");
        let machine = Machine::new(world.id(0), world.id(1));
        let mut link = Self { world, space, machine, now_ms: 0 };
        link.input(Input::Up);
        link.frame(&Frame::Hello(Hello { version: 1, credit: limits::CREDIT_BYTES }));
        link
    }

    fn input(&mut self, input: Input<'_>) -> Vec<Output> {
        self.now_ms += 1;
        self.machine.handle(self.now_ms, input, &self.world.nodes[0]).unwrap()
    }

    fn frame(&mut self, frame: &Frame) -> Vec<Output> {
        self.input(Input::Frame(&frame.encode()))
    }

    /// Lets time pass until `until_ms`; says how many frames were sent.
    fn wait(&mut self, until_ms: u64) -> usize {
        let mut sent = 0;
        while self.machine.wake_at_ms() < until_ms {
            self.now_ms = self.now_ms.max(self.machine.wake_at_ms());
            let out = self.machine.handle(self.now_ms, Input::Tick, &self.world.nodes[0]).unwrap();
            assert!(self.machine.wake_at_ms() > self.now_ms, "a machine that keeps itself awake");
            sent += out.len();
        }
        self.now_ms = until_ms;
        sent
    }

    fn op(&mut self, node: usize) -> Operation {
        self.world.nodes[node].next_op(self.space, b"an operation", 0)
    }

    fn ops(&self, ops: &[&Operation]) -> Frame {
        Frame::Ops(self.space, ops.iter().map(|op| Bytes(op.encode())).collect())
    }
}

/// Closes the link as a violation, asks for nothing to be stored, and is deaf afterwards.
#[track_caller]
fn assert_violation(link: &mut Link, bytes: &[u8]) {
    let out = link.input(Input::Frame(bytes));
    assert!(matches!(out[..], [Output::Close(Closed::Violation(_))]), "{out:?}");
    assert_eq!(link.input(Input::Tick), []);
    assert_eq!(link.frame(&Frame::ControlHeight(link.space, 1)), []);
}

#[test]
fn no_malformed_frame_is_taken() {
    let op = {
        let mut link = Link::new();
        link.op(1)
    };
    let good = |link: &Link| link.ops(&[&op]).encode();
    let no_frames: Vec<Vec<u8>> = vec![
        vec![],
        vec![0],
        vec![10, 0x80],
        vec![255; 40],
        good(&Link::new())[..50].to_vec(),
        [good(&Link::new()), vec![0]].concat(),
        vec![7; limits::FRAME_BYTES_MAX + 10],
        // A control height of 5 in two bytes instead of one.
        {
            let mut bytes = Frame::ControlHeight(SpaceId([1; 32]), 5).encode();
            bytes.pop();
            bytes.extend([0x18, 0x05]);
            bytes
        },
    ];
    for bytes in no_frames {
        assert_violation(&mut Link::new(), &bytes);
    }
}

#[test]
fn no_operation_is_taken_that_no_honest_node_sends() {
    let tampered = |change: &dyn Fn(&mut Link) -> Frame| {
        let mut link = Link::new();
        let frame = change(&mut link);
        assert_violation(&mut link, &frame.encode());
        assert_eq!(link.world.nodes[0].stored(&link.world.nodes[1].log(link.space)), 0);
    };
    // A signature that is not its author's.
    tampered(&|link| {
        let op = link.op(1);
        let other = link.op(2);
        let forged = Operation::from_parts(op.header_bytes().to_vec(), *other.signature(), None).unwrap();
        link.ops(&[&forged])
    });
    // Of another space than the frame's.
    tampered(&|link| {
        let other = link.world.found(1);
        let op = link.world.nodes[1].next_op(other, b"elsewhere", 0);
        link.ops(&[&op])
    });
    // A control entry among operations, and the other way round.
    tampered(&|link| {
        let genesis = link.world.nodes[0].genesis(link.space);
        link.ops(&[&genesis])
    });
    tampered(&|link| {
        let op = link.op(1);
        Frame::ControlEntries(link.space, vec![Bytes(op.encode())])
    });
    // A good one does not help a bad one.
    tampered(&|link| {
        let op = link.op(1);
        Frame::Ops(link.space, vec![Bytes(op.encode()), Bytes(vec![1, 2, 3])])
    });
    // A proof that proves nothing.
    tampered(&|link| {
        let (a, b) = (link.op(1), link.op(1));
        let mut proof = ForkProof::of(&a, &b).unwrap().encode();
        let last = proof.len() - 1;
        proof[last] ^= 1;
        Frame::Fork(Bytes(proof))
    });
    tampered(&|_| Frame::Presence(Bytes(vec![0; limits::GOSSIP_BYTES_MAX + 1])));
}

#[test]
fn a_link_that_was_closed_while_operations_were_on_their_way_rests() {
    let mut link = Link::new();
    let out = link.frame(&Frame::Heights {
        space: link.space,
        heights: Vec::new(),
        whole: true,
        credit: limits::CREDIT_BYTES,
    });
    assert!(!out.is_empty() && link.machine.awaits_writable(), "it pushes its log");
    assert_violation(&mut link, &[99]);
    assert!(!link.machine.awaits_writable());
    assert_eq!(link.machine.wake_at_ms(), u64::MAX);
}

#[test]
fn more_than_was_granted_is_a_violation() {
    let mut link = Link::new();
    let mut prev = OpId::NONE;
    let mut seq = 0;
    let (space, height) = (link.space, 2);
    let mut op = |link: &mut Link| {
        let draft =
            Draft { kind: Kind::ENVELOPE, stream: StreamId::SPACE, body: vec![1; limits::BODY_BYTES_MAX] };
        seq += 1;
        let op = link.world.nodes[1].sign(space, 2, seq, prev, height, draft, 0);
        prev = op.id();
        op
    };
    for _ in 0..4 {
        let one = op(&mut link);
        let out = link.frame(&link.ops(&[&one]));
        if matches!(out[..], [Output::Close(_)]) {
            return; // what was sent was never acknowledged
        }
        assert!(matches!(out[..], [Output::Store { .. }]), "{out:?}");
    }
    panic!("four times a mebibyte is more than the credit");
}

#[test]
fn hello_comes_first_once_and_soon() {
    let (world, space) = World::of_members(2);
    let node = &world.nodes[0];
    let link = || {
        let mut machine = Machine::new(world.id(0), world.id(1));
        machine.handle(100, Input::Up, node).unwrap();
        machine
    };
    let hello = |version| Frame::Hello(Hello { version, credit: 1 }).encode();
    let mut silent = link();
    let wake_at_ms = silent.wake_at_ms();
    assert_eq!(wake_at_ms, 100 + limits::HELLO_TIMEOUT.as_millis() as u64);
    assert_eq!(silent.handle(wake_at_ms - 1, Input::Tick, node), Ok(vec![]));
    assert_eq!(silent.handle(wake_at_ms, Input::Tick, node), Ok(vec![Output::Close(Closed::Silent)]));

    let mut rude = link();
    let frame = Frame::ControlHeight(space, 1).encode();
    let out = rude.handle(101, Input::Frame(&frame), node).unwrap();
    assert!(matches!(out[..], [Output::Close(Closed::Violation(_))]));

    let mut other = link();
    assert_eq!(other.handle(101, Input::Frame(&hello(2)), node), Ok(vec![Output::Close(Closed::Version)]));

    let mut twice = link();
    twice.handle(101, Input::Frame(&hello(1)), node).unwrap();
    let out = twice.handle(102, Input::Frame(&hello(1)), node).unwrap();
    assert!(matches!(out[..], [Output::Close(Closed::Violation(_))]));
}

#[test]
fn the_largest_numbers_do_no_harm() {
    let mut link = Link::new();
    let (space, max) = (link.space, u64::MAX);
    for author in [0, 1, 2].map(|node| link.world.id(node)) {
        for incarnation in [0, 1, 2, max] {
            let heights = vec![Height { author, incarnation, seq: max }];
            link.frame(&Frame::Heights { space, heights: heights.clone(), whole: true, credit: max });
            link.frame(&Frame::Want(space, heights));
        }
    }
    link.frame(&Frame::ControlHeight(space, max));
    let before = link.now_ms;
    link.wait(before + 60_000);
    let body = vec![1; 10];
    link.world.write(0, space, &body);
    link.input(Input::Writable);
}

#[test]
fn a_peer_that_lies_about_its_heights_costs_a_few_questions() {
    let mut link = Link::new();
    let heights: Vec<_> =
        (0..400).map(|n| Height { author: link.world.id(2), incarnation: n, seq: 1_000_000 }).collect();
    link.frame(&Frame::Heights { space: link.space, heights, whole: true, credit: 0 });
    let sent = link.wait(600_000);
    // A digest of the workspace's and of the pair's space every 30 s, and a question as often.
    assert!(sent < 80, "{sent} frames in ten minutes");
}

#[test]
fn a_lying_peer_keeps_nobody_from_asking_an_honest_one() {
    let (mut world, space) = World::of_members(4);
    world.connect(1, 2);
    world.write_many(2, space, 10);
    world.converge(space, &[1, 2], SOON_MS);
    world.isolate(2);
    // Node 3 tells of the log, and holds nothing of it.
    let mut liar = Machine::new(world.id(0), world.id(3));
    let honest_log = world.nodes[2].log(space);
    let lie = Height { author: honest_log.author, incarnation: honest_log.incarnation, seq: 10 };
    let hello = Frame::Hello(Hello { version: 1, credit: 0 }).encode();
    let lie = Frame::Heights { space, heights: vec![lie], whole: true, credit: 0 }.encode();
    for input in [Input::Up, Input::Frame(&hello), Input::Frame(&lie)] {
        liar.handle(0, input, &world.nodes[0]).unwrap();
    }
    let mut asked = 0;
    // It is asked first; the honest one is met later and has to get its turn.
    while world.now_ms < 15_000 {
        if world.now_ms >= 1_000 && !world.is_up(0, 1) {
            world.connect(0, 1);
        }
        world.run_ms(100);
        if world.now_ms >= liar.wake_at_ms() {
            let out = liar.handle(world.now_ms, Input::Tick, &world.nodes[0]).unwrap();
            let want = |output: &&Output| matches!(output, Output::Send(bytes) if matches!(Frame::decode(bytes), Ok(Frame::Want(..))));
            asked += out.iter().filter(want).count();
        }
    }
    assert!(asked > 0, "the liar was asked");
    assert!(world.agree(space, &[0, 1]));
}

#[test]
fn logs_that_do_not_exist_do_not_fill_memory() {
    let mut link = Link::new();
    let mut incarnation = 0;
    let mut named = BTreeSet::new();
    for _ in 0..40 {
        let heights = (0..limits::HEIGHTS_PER_FRAME_MAX).map(|_| {
            incarnation += 1;
            Height { author: link.world.id(2), incarnation, seq: 1 }
        });
        let frame = Frame::Heights { space: link.space, heights: heights.collect(), whole: false, credit: 0 };
        link.frame(&frame);
    }
    link.now_ms += 1_000;
    for output in link.input(Input::Tick) {
        if let Output::Send(bytes) = output
            && let Ok(Frame::Want(_, heights)) = Frame::decode(&bytes)
        {
            named.extend(heights);
        }
    }
    assert_eq!(named.len(), limits::LOGS_PER_SPACE_MAX);
}

#[test]
fn a_space_we_do_not_share_is_as_if_it_were_not_there() {
    let mut link = Link::new();
    let private = link.world.found(0);
    link.world.write(0, private, b"not for the peer");
    let author = link.world.id(0);
    let log = Height { author, incarnation: 1, seq: 1 };
    for space in [private, SpaceId([9; 32])] {
        for frame in [
            Frame::ControlHeight(space, 1),
            Frame::Digest(space, muster_protocol::cbor::Bytes32([1; 32])),
            Frame::Heights { space, heights: vec![log], whole: true, credit: 0 },
            Frame::Want(space, vec![log]),
        ] {
            assert_eq!(link.frame(&frame), [], "{frame:?}");
        }
    }
}

#[test]
fn entries_nobody_but_the_home_can_have_signed_are_refused_from_others() {
    let mut link = Link::new();
    let (space, height) = (link.space, 3);
    let head = link.world.nodes[0].spaces[&space].control.head();
    let (kind, body) =
        muster_protocol::control::Entry::MemberRemoved(muster_protocol::control::MemberRemoved {
            node: link.world.id(2),
            cut_offs: Vec::new(),
            evidence: Bytes::default(),
        })
        .encode();
    let draft = Draft { kind, stream: StreamId::SPACE, body };
    let coup = link.world.nodes[1].sign(space, 0, height + 1, head, height, draft, 0);
    let out = link.frame(&Frame::ControlEntries(space, vec![Bytes(coup.encode())]));
    let Output::Store { ops, .. } = &out[0] else { panic!("{out:?}") };
    let (report, commit) = link.world.nodes[0].store(space, true, ops, 0, 0);
    assert!(!report.control_grew && !commit.control);
    let member = link.world.id(2);
    assert!(link.world.nodes[0].spaces[&space].control.role(member).is_some());
}

#[test]
fn a_fork_of_a_space_we_do_not_share_is_no_concern_of_the_link() {
    let mut link = Link::new();
    let mut stranger = Node::new(77);
    let space = stranger.found("far away", 0);
    let (a, b) = (stranger.next_op(space, b"a", 0), stranger.next_op(space, b"b", 0));
    let proof = ForkProof::of(&a, &b).unwrap();
    assert_eq!(link.frame(&Frame::Fork(Bytes(proof.encode()))), []);
}
