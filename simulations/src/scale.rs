//! The pure core at scale: as many sync machines as a large workspace has links, in virtual time, without actors,
//! stores or sockets, to see what agreeing costs and how that grows.
//!
//! Every node is linked with some others by chance; all of them write. Operations are signed and verified for real, so
//! that the machines do what they do in a node; what a node holds is a height for each author, since nobody here
//! contradicts himself. Digests reach linked nodes every 30 s as presence carries them. One node sleeps until the
//! others agree, and catches up then.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt,
    sync::Arc,
};

use muster_protocol::{
    cbor::{Bytes, Bytes16},
    clock::Hlc,
    control::{ControlState, Entry, Genesis, MemberAdded, Role},
    identity::{Identity, NodeId},
    ids::{LogId, OpId, SpaceId, StreamId, WorkspaceId},
    limits::ANTI_ENTROPY,
    operation::{Draft, Kind, Operation, Place},
    sync::{Height, Held, Input, Machine, Output, Report, View, digest},
};
use rand::RngExt;

use crate::{
    clock::EPOCH_MS,
    dice::{self, Dice},
};

/// How long a commit takes, in milliseconds.
const COMMIT_MS: u64 = 3;
/// How long a link takes to get rid of what it was given, in milliseconds.
const WRITABLE_MS: u64 = 1;
/// Ways between two nodes, in milliseconds; each has its own for good.
const LATENCY_MS: std::ops::RangeInclusive<u64> = 5..=60;
/// For how long people write, in milliseconds.
const TALK_MS: u64 = 60_000;
/// For how long it is looked what an idle workspace costs, in milliseconds.
const IDLE_MS: u64 = 120_000;
/// Nobody waits longer than this for all to agree, in milliseconds.
const PATIENCE_MS: u64 = 600_000;
/// Bytes of a message: an envelope with a short text and its proof.
const BODY_BYTES: usize = 700;
/// The incarnation of all logs.
const INCARNATION: u64 = 1;

/// How large a world is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Nodes, the sleeper included.
    pub nodes: usize,
    /// Messages of all of them.
    pub messages: usize,
    /// Links of a node, about.
    pub degree: usize,
}

/// What agreeing cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// Bytes sent by all nodes until they agreed, by kind of frame.
    pub bytes: BTreeMap<&'static str, u64>,
    /// Operations that reached a node that held them.
    pub repeated: u64,
    /// Operations that reached a node that did not.
    pub received: u64,
    /// Most links that an operation went over to reach somebody first.
    pub hops: u8,
    /// From the last message until all but the sleeper agreed, in milliseconds; `None` when they did not.
    pub agreed_ms: Option<u64>,
    /// Bytes sent by all nodes in a minute in which nothing is said.
    pub idle_bytes: u64,
    /// What the sleeper took to catch up: bytes on its links, and milliseconds; `None` when it did not.
    pub catch_up: Option<(u64, u64)>,
}

struct Op {
    encoded: Vec<u8>,
    id: OpId,
}

/// What all nodes share.
struct Common {
    control: Arc<ControlState>,
    authors: BTreeMap<NodeId, usize>,
    ids: Vec<NodeId>,
    /// By author, in their order.
    logs: RefCell<Vec<Vec<Op>>>,
}

impl Common {
    fn space(&self) -> SpaceId {
        self.control.space()
    }

    fn height(&self, author: usize, seq: u64) -> Height {
        Height { author: self.ids[author], incarnation: INCARNATION, seq }
    }
}

/// What one node holds, as its machines see it.
struct Holding<'a> {
    common: &'a Common,
    heights: &'a BTreeMap<usize, u64>,
    claims: &'a RefCell<BTreeMap<LogId, (NodeId, u64)>>,
}

impl View for Holding<'_> {
    type Error = Infallible;

    fn spaces(&self) -> Result<Vec<SpaceId>, Infallible> {
        Ok(vec![self.common.space()])
    }

    fn control(&self, space: SpaceId) -> Result<Option<Arc<ControlState>>, Infallible> {
        Ok((space == self.common.space()).then(|| self.common.control.clone()))
    }

    fn control_entries(&self, _: SpaceId, _: u64, _: usize) -> Result<Vec<Vec<u8>>, Infallible> {
        Ok(Vec::new()) // all hold all of it
    }

    fn held(&self, space: SpaceId) -> Result<Vec<Held>, Infallible> {
        if space != self.common.space() {
            return Ok(Vec::new());
        }
        let logs = self.common.logs.borrow();
        let held = |(author, seq): (&usize, &u64)| Held {
            height: self.common.height(*author, *seq),
            head: logs[*author][*seq as usize - 1].id,
        };
        Ok(self.heights.iter().map(held).collect())
    }

    fn height(&self, log: &LogId) -> Result<u64, Infallible> {
        let ours = log.space == self.common.space() && log.incarnation == INCARNATION;
        let author = self.common.authors.get(&log.author).filter(|_| ours);
        Ok(author.and_then(|author| self.heights.get(author)).copied().unwrap_or(0))
    }

    fn ops(
        &self,
        log: &LogId,
        from: u64,
        bytes_max: usize,
        count: usize,
    ) -> Result<Vec<Vec<u8>>, Infallible> {
        let last = self.height(log)?;
        let Some(author) = self.common.authors.get(&log.author) else { return Ok(Vec::new()) };
        let logs = self.common.logs.borrow();
        let (mut ops, mut bytes) = (Vec::new(), 0);
        for seq in from.max(1)..=last {
            let op = &logs[*author][seq as usize - 1].encoded;
            bytes += op.len();
            if ops.len() == count || !ops.is_empty() && bytes > bytes_max {
                break;
            }
            ops.push(op.clone());
        }
        Ok(ops)
    }

    fn claim_pull(&self, log: &LogId, peer: NodeId, now_ms: u64, stale_ms: u64) -> bool {
        let mut claims = self.claims.borrow_mut();
        match claims.get(log) {
            Some((other, since_ms)) if *other != peer && now_ms < since_ms + stale_ms => false,
            _ => {
                claims.insert(*log, (peer, now_ms));
                true
            }
        }
    }
}

enum Event {
    Frame { from: usize, to: usize, bytes: Vec<u8> },
    Stored { at: usize, peer: usize, ops: Vec<Operation>, bytes: u64 },
    Writable { at: usize, peer: usize },
    Wake { at: usize, peer: usize },
    Gossip { at: usize },
    Say { at: usize },
}

struct Node {
    identity: Identity,
    heights: BTreeMap<usize, u64>,
    claims: RefCell<BTreeMap<LogId, (NodeId, u64)>>,
    /// By the other end: the machine, when it is to be woken, and how long the way there is.
    links: BTreeMap<usize, (Machine, u64, u64)>,
}

struct World {
    common: Common,
    nodes: Vec<Node>,
    now_ms: u64,
    agenda: BTreeMap<(u64, u64), Event>,
    counter: u64,
    /// Over how many links an operation came to a node: by author and number, then node.
    hops: BTreeMap<(usize, u64), Vec<u8>>,
    bytes: BTreeMap<&'static str, u64>,
    /// Bytes on links of the sleeper.
    sleeper_bytes: u64,
    repeated: u64,
    received: u64,
    said: u64,
    dice: Dice,
}

/// Plays a world to its end.
pub fn play(seed: u64, size: Size) -> Cost {
    let mut world = World::new(seed, size);
    let sleeper = size.nodes - 1;
    world.link_all(size.degree, sleeper);
    for _ in 0..size.messages {
        let (at, when) = (world.dice.random_range(0..sleeper), world.dice.random_range(0..TALK_MS));
        world.plan(when, Event::Say { at });
    }
    world.run_until(TALK_MS, |_| false);
    let agree = |world: &World| {
        let total: u64 = world.said;
        world.nodes[..sleeper].iter().all(|node| node.heights.values().sum::<u64>() == total)
    };
    let agreed = world.run_until(TALK_MS + PATIENCE_MS, agree);
    let agreed_ms = agreed.then(|| world.now_ms - TALK_MS);
    let bytes = world.bytes.clone();
    let (repeated, received) = (world.repeated, world.received);
    // Last acknowledgements and looks do not count as idle.
    let settled_ms = world.now_ms + ANTI_ENTROPY.as_millis() as u64;
    world.run_until(settled_ms, |_| false);
    let before: u64 = world.bytes.values().sum();
    world.run_until(settled_ms + IDLE_MS, |_| false);
    let idle_bytes = (world.bytes.values().sum::<u64>() - before) * 60_000 / IDLE_MS;
    let woken_ms = world.now_ms;
    world.wake(sleeper, size.degree);
    let caught_up = world.run_until(woken_ms + PATIENCE_MS, |world| {
        world.nodes[sleeper].heights.values().sum::<u64>() == world.said
    });
    let hops = world.hops.values().flat_map(|hops| hops[..sleeper].iter().copied()).max().unwrap_or(0);
    let catch_up = caught_up.then(|| (world.sleeper_bytes, world.now_ms - woken_ms));
    Cost { bytes, repeated, received, hops, agreed_ms, idle_bytes, catch_up }
}

fn sign(identity: &Identity, place: Place, kind: Kind, body: Vec<u8>) -> Operation {
    Operation::sign(identity, place, Draft { kind, stream: StreamId::SPACE, body })
}

impl World {
    fn new(seed: u64, size: Size) -> Self {
        let identities: Vec<_> =
            (0..size.nodes).map(|index| Identity::from_seed(dice::secret(seed, "scale", index))).collect();
        let ids: Vec<_> = identities.iter().map(Identity::node).collect();
        let genesis = Genesis {
            workspace: WorkspaceId::new(EPOCH_MS, [1; 10]),
            name: "a large workspace".to_owned(),
            founder: ids[0],
            founder_name: "node 0".to_owned(),
            created_ms: EPOCH_MS,
            parent: Vec::new(),
        };
        let space = genesis.space();
        let place = |seq: u64, prev| Place {
            space,
            incarnation: 0,
            seq,
            prev,
            hlc: Hlc::from_ms(EPOCH_MS + seq),
            control_height: seq - 1,
        };
        let (kind, body) = Entry::Genesis(genesis).encode();
        let first = sign(&identities[0], place(1, OpId::NONE), kind, body);
        let mut control = ControlState::begin(&first).expect("a genesis begins its space");
        for (index, node) in ids.iter().enumerate().skip(1) {
            let added = MemberAdded {
                node: *node,
                name: format!("node {index}"),
                role: Role::Member.code(),
                invite: Bytes16([0; 16]),
                evidence: Bytes::default(),
            };
            let (kind, body) = Entry::MemberAdded(added).encode();
            let next = place(control.height() + 1, control.head());
            control.apply(&sign(&identities[0], next, kind, body)).expect("the home lets everybody in");
        }
        let authors = ids.iter().enumerate().map(|(index, node)| (*node, index)).collect();
        let logs = RefCell::new((0..size.nodes).map(|_| Vec::new()).collect());
        let node = |identity| Node {
            identity,
            heights: BTreeMap::new(),
            claims: RefCell::default(),
            links: BTreeMap::new(),
        };
        Self {
            common: Common { control: Arc::new(control), authors, ids, logs },
            nodes: identities.into_iter().map(node).collect(),
            now_ms: 0,
            agenda: BTreeMap::new(),
            counter: 0,
            hops: BTreeMap::new(),
            bytes: BTreeMap::new(),
            sleeper_bytes: 0,
            repeated: 0,
            received: 0,
            said: 0,
            dice: dice::dice(seed, "scale", &[]),
        }
    }

    /// A ring, so that all are connected, and chords by chance up to the degree; none to the sleeper.
    fn link_all(&mut self, degree: usize, sleeper: usize) {
        let mut pairs = BTreeSet::new();
        for one in 0..sleeper {
            pairs.insert((one.min((one + 1) % sleeper), one.max((one + 1) % sleeper)));
        }
        while pairs.len() < (sleeper * degree / 2).min(sleeper * (sleeper - 1) / 2) {
            let (a, b) = (self.dice.random_range(0..sleeper), self.dice.random_range(0..sleeper));
            pairs.insert((a.min(b), a.max(b)));
            pairs.remove(&(a, a));
        }
        for (a, b) in pairs.into_iter().filter(|(a, b)| a != b) {
            self.link(a, b);
        }
        for at in 0..sleeper {
            let when = self.dice.random_range(0..ANTI_ENTROPY.as_millis() as u64);
            self.plan(when, Event::Gossip { at });
        }
    }

    fn wake(&mut self, sleeper: usize, degree: usize) {
        for _ in 0..degree {
            let peer = self.dice.random_range(0..sleeper);
            if !self.nodes[sleeper].links.contains_key(&peer) {
                self.link(sleeper, peer);
            }
        }
    }

    fn link(&mut self, a: usize, b: usize) {
        for (at, peer) in [(a, b), (b, a)] {
            let machine = Machine::new(self.common.ids[at], self.common.ids[peer]);
            let latency = self.dice.random_range(LATENCY_MS);
            self.nodes[at].links.insert(peer, (machine, u64::MAX, latency));
        }
        for (at, peer) in [(a, b), (b, a)] {
            self.feed(at, peer, Input::Up);
        }
    }

    fn plan(&mut self, at_ms: u64, event: Event) {
        self.counter += 1;
        self.agenda.insert((at_ms, self.counter), event);
    }

    /// Goes on until then, or until `done` says so, which is asked once a virtual tenth of a second. Whether it did.
    fn run_until(&mut self, end_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        let mut look_ms = self.now_ms;
        while let Some(next) = self.agenda.first_entry().filter(|entry| entry.key().0 <= end_ms) {
            self.now_ms = next.key().0;
            let event = next.remove();
            self.happen(event);
            if self.now_ms >= look_ms {
                look_ms = self.now_ms + 100;
                if done(self) {
                    return true;
                }
            }
        }
        self.now_ms = end_ms;
        done(self)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Frame { from, to, bytes } => self.feed(to, from, Input::Frame(&bytes)),
            Event::Stored { at, peer, ops, bytes } => self.store(at, peer, &ops, bytes),
            Event::Writable { at, peer } => self.feed(at, peer, Input::Writable),
            Event::Wake { at, peer } => {
                let due = self.nodes[at].links.get_mut(&peer).filter(|link| link.1 <= self.now_ms);
                if let Some(link) = due {
                    link.1 = u64::MAX;
                    self.feed(at, peer, Input::Tick);
                }
            }
            Event::Gossip { at } => {
                let node = &self.nodes[at];
                let view = Holding { common: &self.common, heights: &node.heights, claims: &node.claims };
                let Ok(held) = view.held(self.common.space());
                let told = digest(&self.common.control, &held);
                let peers: Vec<_> = node.links.keys().copied().collect();
                let space = self.common.space();
                for peer in peers {
                    self.feed(peer, at, Input::DigestHeard { space, digest: told });
                }
                self.plan(self.now_ms + ANTI_ENTROPY.as_millis() as u64, Event::Gossip { at });
            }
            Event::Say { at } => {
                let seq = self.nodes[at].heights.get(&at).copied().unwrap_or(0) + 1;
                let prev = self.common.logs.borrow()[at].last().map_or(OpId::NONE, |op| op.id);
                let hlc = Hlc(Hlc::from_ms(EPOCH_MS + self.now_ms).0 + seq);
                let control_height = self.common.control.height();
                let place = Place {
                    space: self.common.space(),
                    incarnation: INCARNATION,
                    seq,
                    prev,
                    hlc,
                    control_height,
                };
                let op = sign(&self.nodes[at].identity, place, Kind::ENVELOPE, vec![b'x'; BODY_BYTES]);
                let op = Op { encoded: op.encode(), id: op.id() };
                self.common.logs.borrow_mut()[at].push(op);
                self.hops.insert((at, seq), vec![0; self.nodes.len()]);
                self.said += 1;
                self.nodes[at].heights.insert(at, seq);
                self.tell_links(at, &[self.common.height(at, seq)]);
            }
        }
    }

    fn store(&mut self, at: usize, peer: usize, ops: &[Operation], bytes: u64) {
        let mut report = Report::of(self.common.space());
        report.bytes = bytes;
        let mut touched = BTreeSet::new();
        for op in ops {
            let header = op.header();
            let author = self.common.authors[&header.author];
            let held = self.nodes[at].heights.entry(author).or_insert(0);
            touched.insert(author);
            if header.seq <= *held {
                self.repeated += 1;
            } else if header.seq == *held + 1 {
                *held += 1;
                self.received += 1;
                if let Some(hops) = self.hops.get_mut(&(author, header.seq)) {
                    hops[at] = hops[peer].saturating_add(1);
                }
            } else {
                report.again.push(header.log());
            }
        }
        self.nodes[at].heights.retain(|_, seq| *seq > 0);
        let height = |author: usize| {
            let seq = self.nodes[at].heights.get(&author).copied().unwrap_or(0);
            self.common.height(author, seq)
        };
        let heights: Vec<_> = touched.into_iter().map(height).collect();
        report.heights.clone_from(&heights);
        self.feed(at, peer, Input::Stored(report));
        self.tell_links(at, &heights);
    }

    fn tell_links(&mut self, at: usize, heights: &[Height]) {
        let space = self.common.space();
        let peers: Vec<_> = self.nodes[at].links.keys().copied().collect();
        for peer in peers {
            self.feed(at, peer, Input::Committed { space, heights, control: false });
        }
    }

    /// Feeds the machine of `at` for its link with `peer`, and does what it says.
    fn feed(&mut self, at: usize, peer: usize, input: Input<'_>) {
        let (outputs, writable, wake_ms, latency) = {
            let Node { heights, claims, links, .. } = &mut self.nodes[at];
            let view = Holding { common: &self.common, heights, claims };
            let Some((machine, _, latency)) = links.get_mut(&peer) else { return };
            let Ok(outputs) = machine.handle(self.now_ms, input, &view);
            (outputs, machine.awaits_writable(), machine.wake_at_ms(), *latency)
        };
        let mut handed = false;
        for output in outputs {
            match output {
                Output::Send(bytes) => {
                    handed |= bytes.first() == Some(&7);
                    *self.bytes.entry(kind(&bytes)).or_default() += bytes.len() as u64;
                    let sleeper = self.nodes.len() - 1;
                    if at == sleeper || peer == sleeper {
                        self.sleeper_bytes += bytes.len() as u64;
                    }
                    // Ways are as long for everything, so that frames stay in order.
                    self.plan(self.now_ms + latency, Event::Frame { from: at, to: peer, bytes });
                }
                Output::Store { ops, bytes, .. } => {
                    self.plan(self.now_ms + COMMIT_MS, Event::Stored { at, peer, ops, bytes });
                }
                Output::Close(why) => unreachable!("honest machines do not close: {why}"),
                Output::PeerHeights { .. }
                | Output::Fork(_)
                | Output::Presence(_)
                | Output::ControlLevel(_)
                | Output::Shared(_) => {}
            }
        }
        if handed && writable {
            self.plan(self.now_ms + WRITABLE_MS, Event::Writable { at, peer });
        }
        if let Some(link) = self.nodes[at].links.get_mut(&peer).filter(|link| wake_ms < link.1) {
            link.1 = wake_ms;
            self.plan(wake_ms.max(self.now_ms + 1), Event::Wake { at, peer });
        }
    }
}

/// What a frame carries; see [`muster_protocol::sync::Frame`].
fn kind(frame: &[u8]) -> &'static str {
    match frame.first() {
        Some(4) => "digests",
        Some(5) => "heights",
        Some(6) => "wants",
        Some(7) => "operations",
        _ => "other",
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = |name| self.bytes.get(name).copied().unwrap_or(0) / 1024;
        let seconds = |ms: u64| format!("{:.1} s", ms as f64 / 1000.0);
        let agreed = self.agreed_ms.map_or("never".to_owned(), seconds);
        let catch_up = self
            .catch_up
            .map_or("never".to_owned(), |(bytes, ms)| format!("{} KiB, {}", bytes / 1024, seconds(ms)));
        let repeated = 100 * self.repeated / self.received.max(1);
        write!(
            f,
            "{} | {} | {} | {} | {repeated} % | {} | {agreed} | {} KiB | {catch_up}",
            kib("operations"),
            kib("heights"),
            kib("wants"),
            kib("digests"),
            self.hops,
            self.idle_bytes / 1024,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_world_agrees_and_costs_the_same_twice() {
        let size = Size { nodes: 12, messages: 60, degree: 4 };
        let cost = play(1, size);
        assert!(cost.agreed_ms.is_some() && cost.catch_up.is_some(), "{cost:?}");
        // Each of eleven nodes gets what the others said, and the sleeper everything.
        assert_eq!(cost.received, 60 * 10);
        assert!(cost.hops >= 2, "not everybody is linked with everybody");
        assert_eq!(play(1, size), cost);
        assert_ne!(play(2, size), cost);
    }
}
