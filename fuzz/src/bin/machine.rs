//! The whole protocol of a link, fed whatever a peer may send, over a store that takes what it brings.
//!
//! The first byte says which side of the link this is. Then come pieces. Most of them are frames as they are; the
//! others, see [`step`](muster_fuzz::step), are what arbitrary bytes would never hit upon: what somebody signed, and
//! what this node does meanwhile.
#![no_main]

// The store in memory of the protocol's own tests.
#[allow(dead_code, reason = "a world of theirs needs more of it")]
#[path = "../../../protocol/tests/sync/node.rs"]
mod node;

use libfuzzer_sys::fuzz_target;
use muster_fuzz::{HOME, MEMBER, NOW_MS, STRANGER, WORLD, pieces, place, sign, step};
use muster_protocol::{
    cbor::{Bytes, Bytes32},
    clock::Hlc,
    control::{ControlState, Entry},
    identity::NodeId,
    ids::{LogId, OpId, SpaceId},
    limits,
    operation::{Kind, Operation, Place},
    sync::{Frame, Hello, Input, Machine, Output, View, digest},
};
use node::{Commit, Node};

/// Most outputs of one input: heights in pages, wants, proofs and operations.
const ANSWERS_MAX: usize = 64;
/// Most frames of operations handed out before the machine hears that they were written.
const OPS_FRAMES_MAX: usize = 4;
/// Most pieces of one input.
const PIECES_MAX: usize = 64;

/// One end of a link, and the node that holds it.
struct End {
    machine: Machine,
    node: Node,
    peer: NodeId,
    now_ms: u64,
    /// Frames of operations since the machine heard that they were written.
    ahead: usize,
    /// Bytes of operations sent, and how many the peer granted.
    sent: u64,
    granted: u64,
}

impl End {
    fn new(side: u8) -> Self {
        let (is_poor, side) = (side & step::POOR != 0, (side & !step::POOR) % step::SIDES);
        let is_home = side == step::HOME;
        let mut node = Node::new(if is_home { 1 } else { 2 });
        node.clock_ahead_ms = NOW_MS - node::EPOCH_MS;
        node.begin(&WORLD.entries[0]);
        // Who was just let in knows no more than that.
        if side != step::NEWCOMER {
            node.store(WORLD.space(), true, &WORLD.entries, 0, 0);
            node.store(WORLD.space(), false, &WORLD.log, 0, 0);
        }
        let peer = if is_home { MEMBER.node() } else { HOME.node() };
        let machine = Machine::new(node.id(), peer);
        let mut end = Self { machine, node, peer, now_ms: 0, ahead: 0, sent: 0, granted: 0 };
        end.take(Input::Up);
        let credit = if is_poor { step::POOR_CREDIT_BYTES } else { limits::CREDIT_BYTES };
        end.hear(&Frame::Hello(Hello { version: 1, credit }).encode());
        end
    }

    fn control(&self) -> &ControlState {
        &self.node.spaces[&WORLD.space()].control
    }

    fn space(&self, is_pair: bool) -> SpaceId {
        if is_pair { WORLD.pair.space() } else { WORLD.space() }
    }

    fn hear(&mut self, frame: &[u8]) {
        match Frame::decode(frame) {
            Ok(Frame::Hello(hello)) if self.granted == 0 => self.granted = hello.credit,
            Ok(Frame::Heights { credit, .. }) => self.granted = self.granted.max(credit),
            _ => {}
        }
        self.take(Input::Frame(frame));
    }

    /// What happened goes in, and what it brings about is done.
    fn take(&mut self, input: Input<'_>) {
        let outputs = self.machine.handle(self.now_ms, input, &self.node).expect("a map can be read");
        assert!(outputs.len() <= ANSWERS_MAX, "{} answers to one input", outputs.len());
        for output in outputs {
            match output {
                Output::Send(frame) => self.send(&frame),
                Output::Store { space, control, ops, bytes } => {
                    assert!(ops.iter().all(|op| op.verify().is_ok()), "what is stored was signed");
                    self.node.hold(space, self.peer);
                    let (report, commit) = self.node.store(space, control, &ops, bytes, self.now_ms);
                    self.take(Input::Stored(report));
                    self.committed(&commit);
                }
                Output::Fork(proof) => {
                    if let Some(space) = self.node.freeze(&proof) {
                        self.take(Input::Committed { space, heights: &[], control: true });
                    }
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, frame: &[u8]) {
        let read = Frame::decode(frame).expect("it sends what it would take");
        if matches!(read, Frame::Ops(..)) {
            self.ahead += 1;
            self.sent += frame.len() as u64;
            assert!(self.ahead <= OPS_FRAMES_MAX, "it waits until frames are written");
            assert!(self.sent <= self.granted, "it sends no more than was granted");
        }
    }

    fn committed(&mut self, Commit { space, heights, control }: &Commit) {
        if *control || !heights.is_empty() {
            self.take(Input::Committed { space: *space, heights, control: *control });
        }
    }

    fn step(&mut self, piece: &[u8]) {
        match piece {
            [step::WRITABLE] => {
                self.ahead = 0;
                self.take(Input::Writable);
            }
            [step::LATER, seconds] => self.now_ms += 1000 * u64::from(*seconds),
            [step::DIGEST, how] => self.compare(*how),
            [step::WRITE, is_pair, body @ ..] if !body.is_empty() => {
                let space = self.space(is_pair % 2 == 1);
                self.node.hold(space, self.peer);
                let commit = self.node.write(space, body, self.now_ms);
                self.committed(&commit);
            }
            [step::ENTRY, kind, body @ ..] => self.decide(Kind(u16::from(*kind)), body),
            [step::OPS, knobs @ ..] => self.hear_operation(knobs),
            [step::HEIGHTS, how, more] => self.hear_heights(*how, *more as i8),
            frame => self.hear(frame),
        }
    }

    /// A digest that is equal or differs, of the workspace's or the pair space, by gossip or on the link.
    fn compare(&mut self, how: u8) {
        let space = self.space(how & step::PAIR != 0);
        let control = if how & step::PAIR != 0 { &WORLD.pair } else { self.control() };
        let mut told = digest(control, &self.node.held(space).expect("a map can be read"));
        told[0] ^= how & step::DIFFERENT;
        match how & step::GOSSIP {
            0 => self.hear(&Frame::Digest(space, Bytes32(told)).encode()),
            _ => self.take(Input::DigestHeard { space, digest: told }),
        }
    }

    /// The home decides something: this node, or the peer that then tells it.
    fn decide(&mut self, kind: Kind, body: &[u8]) {
        let Ok(entry) = Entry::decode(kind, body) else { return };
        if self.node.id() == HOME.node() {
            let commit = self.node.decide(WORLD.space(), &entry, self.now_ms);
            self.committed(&commit);
        } else {
            let control = self.control();
            let next = place(control.space(), 0, control.height() + 1, control.head(), control.height());
            let entry = sign(&HOME, next, kind, body.to_vec());
            self.hear(&Frame::ControlEntries(entry.header().space, vec![Bytes(entry.encode())]).encode());
        }
    }

    /// The peer tells that it holds as much of all logs as this node, or so much more.
    fn hear_heights(&mut self, how: u8, more: i8) {
        let space = self.space(how & step::PAIR != 0);
        let mut heights = self.node.heights(space).expect("a map can be read");
        for height in &mut heights {
            height.seq = height.seq.saturating_add_signed(i64::from(more));
        }
        let (whole, credit) = (how & step::DIFFERENT == 0, self.granted);
        self.hear(&Frame::Heights { space, heights, whole, credit }.encode());
    }

    /// The peer sends an operation that somebody signed.
    fn hear_operation(&mut self, knobs: &[u8]) {
        let [author, incarnation, seq, control_height, how, kind, body @ ..] = knobs else { return };
        if body.is_empty() {
            return;
        }
        let author = [&HOME, &MEMBER, &STRANGER][usize::from(author % 3)];
        let (incarnation, seq) = (u64::from(*incarnation), u64::from(*seq).max(1));
        let log = LogId { space: self.space(how & step::PAIR != 0), author: author.node(), incarnation };
        let before =
            self.node.ops(&log, seq.saturating_sub(1).max(1), usize::MAX, 1).expect("a map can be read");
        let before = before.first().filter(|_| seq > 1 && how & step::DIFFERENT == 0);
        let prev = before.map_or(OpId::NONE, |op| Operation::decode(op).expect("it was stored").id());
        let ahead_ms = if how & step::EARLY != 0 { 2 * limits::CLOCK_AHEAD_MS_MAX } else { 0 };
        let hlc = Hlc::from_ms(NOW_MS + seq + ahead_ms);
        let control_height = u64::from(*control_height);
        let place = Place { space: log.space, incarnation, seq, prev, hlc, control_height };
        let op = sign(author, place, Kind(u16::from(*kind)), body.to_vec());
        self.hear(&Frame::Ops(log.space, vec![Bytes(op.encode())]).encode());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((side, bytes)) = bytes.split_first() else { return };
    let mut end = End::new(*side);
    for piece in pieces(bytes).into_iter().take(PIECES_MAX) {
        end.now_ms += 100;
        end.step(piece);
        end.take(Input::Tick);
        assert!(end.machine.wake_at_ms() > end.now_ms, "it comes to rest");
        assert_eq!(end.machine.awaits_writable(), end.ahead > 0 && end.machine.wake_at_ms() < u64::MAX);
    }
});
