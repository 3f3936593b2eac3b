//! A world of nodes and links in virtual time: an event queue, and machines at both ends of each link.

use std::collections::{BTreeMap, BTreeSet};

use muster_protocol::{
    control::Role,
    identity::NodeId,
    ids::{LogId, OpId, SpaceId},
    operation::Operation,
    sync::{Closed, Frame, Input, Machine, Output, Report, View},
};

use crate::node::{Commit, Node};

/// How long a commit takes.
const COMMIT_MS: u64 = 3;
/// How long a link takes to get rid of the frames it was given.
const WRITABLE_MS: u64 = 1;
/// More events than this in one millisecond are a machine that keeps itself awake.
const EVENTS_PER_MS_MAX: usize = 20_000;

/// One end of a link that is up.
struct End {
    machine: Machine,
    /// Which life of the link it belongs to: what was on its way in an earlier one is lost.
    life: u64,
    wake_at_ms: u64,
}

enum Event {
    Frame {
        from: usize,
        to: usize,
        life: u64,
        bytes: Vec<u8>,
    },
    Store {
        at: usize,
        from: usize,
        life: u64,
        space: SpaceId,
        control: bool,
        ops: Vec<Operation>,
        bytes: u64,
    },
    Writable {
        at: usize,
        peer: usize,
        life: u64,
    },
    Wake {
        at: usize,
        peer: usize,
        life: u64,
    },
}

/// What went over a link in one direction, over all its lives.
#[derive(Debug, Default, Clone)]
pub(crate) struct Traffic {
    pub(crate) frames: usize,
    pub(crate) op_frames: usize,
    pub(crate) wants: usize,
    pub(crate) heights: usize,
    pub(crate) bytes_of_ops: u64,
    /// How often each operation was sent.
    pub(crate) ops: BTreeMap<OpId, usize>,
    /// Frames that name a space: how many.
    pub(crate) of_space: BTreeMap<SpaceId, usize>,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) now_ms: u64,
    pub(crate) nodes: Vec<Node>,
    ends: BTreeMap<(usize, usize), End>,
    latency_ms: BTreeMap<(usize, usize), u64>,
    queue: BTreeMap<(u64, u64), Event>,
    counter: u64,
    pub(crate) traffic: BTreeMap<(usize, usize), Traffic>,
    pub(crate) closed: Vec<(usize, usize, Closed)>,
    /// What each node was told its peers hold durably: by node, peer and log.
    pub(crate) acks: BTreeMap<(usize, NodeId, LogId), u64>,
    /// Links on which `from` is never told that it may write on.
    pub(crate) clogged: BTreeSet<(usize, usize)>,
}

fn space_of(frame: &Frame) -> Option<SpaceId> {
    match frame {
        Frame::ControlHeight(space, _)
        | Frame::ControlEntries(space, _)
        | Frame::Digest(space, _)
        | Frame::Want(space, _)
        | Frame::Ops(space, _) => Some(*space),
        // An empty one only gives back credit for what the receiver itself sent.
        Frame::Heights { space, heights, whole, .. } => (*whole || !heights.is_empty()).then_some(*space),
        Frame::Hello(_) | Frame::Fork(_) | Frame::Presence(_) => None,
    }
}

impl World {
    /// A world of so many nodes that do not know each other.
    pub(crate) fn of(nodes: usize) -> Self {
        Self { nodes: (1..=nodes).map(|seed| Node::new(seed as u8)).collect(), ..Self::default() }
    }

    /// A world of so many nodes that are all members of a workspace whose home is node 0.
    /// Each holds the control log up to now; no link is up.
    pub(crate) fn of_members(nodes: usize) -> (Self, SpaceId) {
        let mut world = Self::of(nodes);
        let space = world.found(0);
        for node in 1..nodes {
            world.add(space, node);
        }
        for node in 1..nodes {
            world.nodes[node].spaces = world.nodes[0].spaces.clone();
        }
        (world, space)
    }

    pub(crate) fn found(&mut self, home: usize) -> SpaceId {
        let now_ms = self.now_ms;
        self.counter += 1; // another name, another space
        self.nodes[home].found(&format!("workspace {}", self.counter), now_ms)
    }

    pub(crate) fn id(&self, node: usize) -> NodeId {
        self.nodes[node].id()
    }

    fn at(&mut self, delay_ms: u64, event: Event) {
        self.counter += 1;
        self.queue.insert((self.now_ms + delay_ms, self.counter), event);
    }

    // ---- links ------------------------------------------------------------------------------------

    /// Brings a link up, 5 ms long each way.
    pub(crate) fn connect(&mut self, a: usize, b: usize) {
        self.connect_slow(a, b, 5);
    }

    /// Brings a link of some length up; a link that was up is reset.
    pub(crate) fn connect_slow(&mut self, a: usize, b: usize, latency_ms: u64) {
        self.disconnect(a, b);
        self.counter += 1;
        let life = self.counter;
        for (me, peer) in [(a, b), (b, a)] {
            let machine = Machine::new(self.id(me), self.id(peer));
            self.ends.insert((me, peer), End { machine, life, wake_at_ms: u64::MAX });
            self.latency_ms.insert((me, peer), latency_ms);
        }
        self.input(a, b, Input::Up);
        self.input(b, a, Input::Up);
    }

    pub(crate) fn connect_all(&mut self) {
        for a in 0..self.nodes.len() {
            for b in 0..a {
                self.connect(a, b);
            }
        }
    }

    pub(crate) fn disconnect(&mut self, a: usize, b: usize) {
        self.ends.remove(&(a, b));
        self.ends.remove(&(b, a));
    }

    /// Takes a node off the net.
    pub(crate) fn isolate(&mut self, node: usize) {
        for other in 0..self.nodes.len() {
            self.disconnect(node, other);
        }
    }

    pub(crate) fn is_up(&self, a: usize, b: usize) -> bool {
        self.ends.contains_key(&(a, b))
    }

    pub(crate) fn traffic(&self, from: usize, to: usize) -> Traffic {
        self.traffic.get(&(from, to)).cloned().unwrap_or_default()
    }

    // ---- what nodes do ----------------------------------------------------------------------------

    pub(crate) fn write(&mut self, node: usize, space: SpaceId, body: &[u8]) {
        let commit = self.nodes[node].write(space, body, self.now_ms);
        self.committed(node, &commit);
    }

    pub(crate) fn write_many(&mut self, node: usize, space: SpaceId, count: usize) {
        for n in 0..count {
            self.write(node, space, format!("message {n}").as_bytes());
        }
    }

    /// Node 0 is the home of all workspaces here.
    pub(crate) fn add(&mut self, space: SpaceId, node: usize) {
        let (id, now_ms) = (self.id(node), self.now_ms);
        let commit = self.nodes[0].add(space, id, now_ms);
        self.committed(0, &commit);
    }

    pub(crate) fn remove(&mut self, space: SpaceId, node: usize) {
        let (id, now_ms) = (self.id(node), self.now_ms);
        let commit = self.nodes[0].remove(space, id, now_ms);
        self.committed(0, &commit);
    }

    pub(crate) fn set_role(&mut self, space: SpaceId, node: usize, role: Role) {
        let (id, now_ms) = (self.id(node), self.now_ms);
        let commit = self.nodes[0].set_role(space, id, role, now_ms);
        self.committed(0, &commit);
    }

    /// Writes into the pair space of `node` with another in a workspace; says which that is.
    pub(crate) fn tell(&mut self, node: usize, other: usize, workspace: SpaceId, body: &[u8]) -> SpaceId {
        let other = self.id(other);
        let pair = self.nodes[node].pair(workspace, other);
        self.write(node, pair, body);
        pair
    }

    /// What the answer to a request to join gives a node: the first entry of the control log.
    pub(crate) fn give_genesis(&mut self, space: SpaceId, node: usize) {
        let genesis = self.nodes[0].genesis(space);
        self.nodes[node].begin(&genesis);
        self.committed(node, &Commit { space, heights: Vec::new(), control: true });
    }

    /// Gossip tells `a` what `b` holds.
    pub(crate) fn gossip(&mut self, space: SpaceId, a: usize, b: usize) {
        let control = self.nodes[b].spaces[&space].control.clone();
        let digest = muster_protocol::sync::digest(&control, &self.nodes[b].held(space).unwrap());
        self.input(a, b, Input::DigestHeard { space, digest });
    }

    pub(crate) fn committed(&mut self, node: usize, commit: &Commit) {
        let peers: Vec<_> = self.ends.keys().filter(|(me, _)| *me == node).map(|(_, peer)| *peer).collect();
        for peer in peers {
            let Commit { space, heights, control } = commit;
            self.input(node, peer, Input::Committed { space: *space, heights, control: *control });
        }
    }

    // ---- the machinery ----------------------------------------------------------------------------

    fn input(&mut self, me: usize, peer: usize, input: Input<'_>) {
        let Some(end) = self.ends.get_mut(&(me, peer)) else { return };
        let outputs = end.machine.handle(self.now_ms, input, &self.nodes[me]).unwrap();
        let life = end.life;
        let wake_at_ms = end.machine.wake_at_ms();
        if wake_at_ms < end.wake_at_ms {
            end.wake_at_ms = wake_at_ms;
            self.at(wake_at_ms.saturating_sub(self.now_ms), Event::Wake { at: me, peer, life });
        }
        for output in outputs {
            self.output(me, peer, life, output);
        }
    }

    fn output(&mut self, me: usize, peer: usize, life: u64, output: Output) {
        match output {
            Output::Send(bytes) => {
                let is_ops = self.note_frame(me, peer, &bytes);
                if is_ops && !self.clogged.contains(&(me, peer)) {
                    self.at(WRITABLE_MS, Event::Writable { at: me, peer, life });
                }
                let latency_ms = self.latency_ms[&(me, peer)];
                self.at(latency_ms, Event::Frame { from: me, to: peer, life, bytes });
            }
            Output::Store { space, control, ops, bytes } => {
                self.at(COMMIT_MS, Event::Store { at: me, from: peer, life, space, control, ops, bytes });
            }
            Output::PeerHeights { space, heights } => {
                let peer = self.id(peer);
                for height in heights {
                    let log = LogId { space, author: height.author, incarnation: height.incarnation };
                    let known = self.acks.entry((me, peer, log)).or_insert(0);
                    *known = (*known).max(height.seq);
                }
            }
            Output::Fork(proof) => {
                if let Some(space) = self.nodes[me].freeze(&proof) {
                    self.committed(me, &Commit { space, heights: Vec::new(), control: true });
                }
            }
            Output::Presence(_) | Output::Shared(_) | Output::ControlLevel(_) => {}
            Output::Close(why) => {
                self.closed.push((me, peer, why));
                self.disconnect(me, peer);
            }
        }
    }

    /// Counts a frame; true when it carries operations.
    fn note_frame(&mut self, from: usize, to: usize, bytes: &[u8]) -> bool {
        let traffic = self.traffic.entry((from, to)).or_default();
        let frame = Frame::decode(bytes).expect("machines send what they can read");
        traffic.frames += 1;
        if let Some(space) = space_of(&frame) {
            *traffic.of_space.entry(space).or_default() += 1;
        }
        match &frame {
            Frame::Want(..) => traffic.wants += 1,
            Frame::Heights { .. } => traffic.heights += 1,
            Frame::Ops(_, ops) => {
                traffic.op_frames += 1;
                traffic.bytes_of_ops += bytes.len() as u64;
                for op in ops {
                    *traffic.ops.entry(Operation::decode(&op.0).unwrap().id()).or_default() += 1;
                }
            }
            _ => {}
        }
        matches!(frame, Frame::Ops(..))
    }

    fn event(&mut self, event: Event) {
        let lives =
            |world: &Self, me, peer, life| world.ends.get(&(me, peer)).is_some_and(|end| end.life == life);
        match event {
            Event::Frame { from, to, life, bytes } => {
                if lives(self, to, from, life) {
                    self.input(to, from, Input::Frame(&bytes));
                }
            }
            Event::Store { at, from, life, space, control, ops, bytes } => {
                let (now_ms, peer) = (self.now_ms, self.id(from));
                self.nodes[at].hold(space, peer);
                let (report, commit) = self.nodes[at].store(space, control, &ops, bytes, now_ms);
                if lives(self, at, from, life) {
                    self.input(at, from, Input::Stored(report));
                }
                if commit.control || !commit.heights.is_empty() {
                    self.committed(at, &commit);
                }
            }
            Event::Writable { at, peer, life } => {
                if lives(self, at, peer, life) {
                    self.input(at, peer, Input::Writable);
                }
            }
            Event::Wake { at, peer, life } => {
                if lives(self, at, peer, life) {
                    self.ends.get_mut(&(at, peer)).expect("it lives").wake_at_ms = u64::MAX;
                    self.input(at, peer, Input::Tick);
                }
            }
        }
    }

    /// Lets `span_ms` pass.
    pub(crate) fn run_ms(&mut self, span_ms: u64) {
        self.run_until(span_ms, |_| false);
    }

    /// Lets time pass until something is true; false when it is not after `span_ms`.
    pub(crate) fn run_until(&mut self, span_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        let end_ms = self.now_ms + span_ms;
        let mut events = 0;
        loop {
            let next = self.queue.first_key_value().map(|(key, _)| key.0).filter(|at| *at <= end_ms);
            if next.is_none_or(|at| at > self.now_ms) {
                events = 0;
                if done(self) {
                    return true;
                }
            }
            let Some(next) = next else { break };
            self.now_ms = next;
            events += 1;
            assert!(events < EVENTS_PER_MS_MAX, "the world does not come to rest at {next} ms");
            let (_, event) = self.queue.pop_first().expect("it has a first");
            self.event(event);
        }
        self.now_ms = end_ms;
        false
    }

    /// Whether these nodes hold the same of a space.
    pub(crate) fn agree(&self, space: SpaceId, nodes: &[usize]) -> bool {
        let content = |node: usize| self.nodes[node].spaces.get(&space).map(|space| space.content());
        nodes.iter().all(|node| content(*node).is_some() && content(*node) == content(nodes[0]))
    }

    /// Lets time pass until these nodes hold the same; says how long it took.
    #[track_caller]
    pub(crate) fn converge(&mut self, space: SpaceId, nodes: &[usize], within_ms: u64) -> u64 {
        let begin_ms = self.now_ms;
        let agreed = self.run_until(within_ms, |world| world.agree(space, nodes));
        assert!(agreed, "they differ after {within_ms} ms: {:#?}", self.heights(space, nodes));
        self.now_ms - begin_ms
    }

    fn heights(&self, space: SpaceId, nodes: &[usize]) -> Vec<(u64, Vec<u64>)> {
        let heights = |node: &usize| {
            let held = self.nodes[*node].spaces.get(&space)?;
            let heights = held.content().1.iter().map(|(_, _, ids)| ids.len() as u64).collect();
            Some((held.control.height(), heights))
        };
        nodes.iter().map(|node| heights(node).unwrap_or_default()).collect()
    }

    /// A report and what it changed, as if a peer had sent these operations.
    pub(crate) fn store(&mut self, node: usize, ops: &[Operation]) -> Report {
        let now_ms = self.now_ms;
        let space = ops[0].header().space;
        let (report, commit) = self.nodes[node].store(space, false, ops, 0, now_ms);
        self.committed(node, &commit);
        report
    }
}
