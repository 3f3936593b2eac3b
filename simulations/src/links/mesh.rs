//! What a simulated mesh knows and does. Pure: it is told the time, keeps an agenda of what will happen,
//! and fills the inbox of each node; the tasks around it are in the parent module.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use muster_actors::ports::{Closing, Connection, Event, Link, Path, Topic};
use muster_protocol::{
    identity::NodeId,
    limits::{BAN, FRAME_BYTES_MAX, LINK_QUEUE_FRAMES, STRANGER_STAY},
};
use tokio::sync::Notify;

use super::{
    gossip::{Rumor, Seen},
    requests::Exchanges,
    weather::{Paths, Weather},
};

/// How many ways a connection takes to be made: hello, answer, and the first data.
const DIAL_WAYS: u64 = 3;

/// The two ends of a connection, the smaller first.
pub(super) type Ends = [NodeId; 2];

pub(super) fn ends(a: NodeId, b: NodeId) -> Ends {
    if a < b { [a, b] } else { [b, a] }
}

fn side(ends: &Ends, node: NodeId) -> usize {
    usize::from(ends[1] == node)
}

/// One process of one node, as the mesh sees it.
pub(super) struct Host {
    /// Which life of the node this is.
    pub(super) boot: u64,
    pub(super) up: bool,
    pub(super) address: String,
    pub(super) friends: BTreeSet<NodeId>,
    pub(super) topics: BTreeSet<Topic>,
    pub(super) seen: Seen,
    /// Wakes the task that takes events out of the inbox.
    pub(super) wake: Arc<Notify>,
    banned: BTreeMap<NodeId, u64>,
    /// The links this process believes to be up, by the node at the other end.
    told: BTreeMap<NodeId, Told>,
    inbox: VecDeque<Waiting>,
    /// How long its process rests after each event that it takes, in milliseconds.
    pub(super) pace_ms: u64,
}

/// A link as one end knows it.
struct Told {
    number: u64,
    /// Frames sent since the link is gone without this end knowing.
    lost: usize,
}

/// An event on its way into a process.
struct Waiting {
    event: Event,
    /// For a frame: the sender's end of the link, whose queue it still fills.
    sender: Option<(NodeId, u64)>,
}

/// A connection between two nodes, and the link over it, if both are friends.
struct Joint {
    id: u64,
    stream: Option<Stream>,
}

struct Stream {
    /// The link's number at each end.
    numbers: [u64; 2],
    /// What each end sends.
    lanes: [Lane; 2],
}

#[derive(Default)]
struct Lane {
    /// Frames accepted and not yet taken by the other process.
    queued: usize,
    /// Those of them that travel.
    frames: VecDeque<Vec<u8>>,
    /// Those of them that would have arrived, were the way not blocked.
    held: usize,
    last_arrival: u64,
    /// `send` said no; the sender is owed a `LinkWritable`.
    refused: bool,
}

/// A node refused another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ban {
    pub(super) by: NodeId,
    pub(super) of: NodeId,
    pub(super) at_ms: u64,
}

/// What will happen at some time.
pub(super) enum Action {
    Connect { from: NodeId, boot: u64, to: NodeId },
    Open { ends: Ends, id: u64 },
    DropStranger { ends: Ends, id: u64 },
    Starve { ends: Ends, id: u64, from: NodeId, to: NodeId },
    Arrive { ends: Ends, side: usize, number: u64 },
    Down { node: NodeId, peer: NodeId, number: u64 },
    Ask { exchange: u64 },
    Settle { exchange: u64, outcome: super::requests::Outcome },
    Gossip { from: NodeId, to: NodeId, rumor: Arc<Rumor> },
}

/// All nodes and what is between them.
pub(super) struct Mesh {
    pub(super) hosts: BTreeMap<NodeId, Host>,
    pub(super) paths: Paths,
    pub(super) exchanges: Exchanges,
    pub(super) complaints: Vec<String>,
    pub(super) bans: Vec<Ban>,
    /// How long a ban lasts, in milliseconds.
    pub(super) ban_ms: u64,
    /// Who is not expected to keep to the contract of the port.
    pub(super) villains: BTreeSet<NodeId>,
    pub(super) frames: u64,
    joints: BTreeMap<Ends, Joint>,
    agenda: BTreeMap<(u64, u64), Action>,
    counter: u64,
}

impl Mesh {
    pub(super) fn new(seed: u64, weather: Weather) -> Self {
        Self {
            hosts: BTreeMap::new(),
            paths: Paths::new(seed, weather),
            exchanges: Exchanges::default(),
            complaints: Vec::new(),
            bans: Vec::new(),
            ban_ms: BAN.as_millis() as u64,
            villains: BTreeSet::new(),
            frames: 0,
            joints: BTreeMap::new(),
            agenda: BTreeMap::new(),
            counter: 0,
        }
    }

    // ---- the agenda ----------------------------------------------------------------------------

    /// A number never given before.
    pub(super) fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(super) fn plan(&mut self, at: u64, action: Action) {
        let number = self.number();
        self.agenda.insert((at, number), action);
    }

    /// When something happens next.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.agenda.keys().next().map(|(at, _)| *at)
    }

    /// Lets everything happen that is due.
    pub(super) fn advance(&mut self, now: u64) {
        while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                Action::Connect { from, boot, to } => self.on_connect(now, from, boot, to),
                Action::Open { ends, id } => self.on_open(ends, id),
                Action::DropStranger { ends, id } => self.on_drop_stranger(ends, id),
                Action::Starve { ends, id, from, to } => self.on_starve(now, ends, id, from, to),
                Action::Arrive { ends, side, number } => self.on_arrive(ends, side, number),
                Action::Down { node, peer, number } => self.on_down(node, peer, number),
                Action::Ask { exchange } => self.on_ask(now, exchange),
                Action::Settle { exchange, outcome } => self.exchanges.settle(exchange, outcome),
                Action::Gossip { from, to, rumor } => self.on_gossip(now, from, to, rumor),
            }
        }
    }

    // ---- nodes ---------------------------------------------------------------------------------

    /// A process of a node starts, in place of an earlier one. Returns which life this is.
    pub(super) fn start(&mut self, now: u64, node: NodeId, address: String, wake: Arc<Notify>) -> u64 {
        if let Some(boot) = self.hosts.get(&node).map(|host| host.boot) {
            self.stop(now, node, boot, false);
        }
        let boot = self.number();
        let host = Host {
            boot,
            up: true,
            address: address.clone(),
            friends: BTreeSet::new(),
            topics: BTreeSet::new(),
            seen: Seen::default(),
            wake,
            banned: BTreeMap::new(),
            told: BTreeMap::new(),
            inbox: VecDeque::new(),
            pace_ms: 0,
        };
        self.hosts.insert(node, host);
        self.push(node, Event::Listening { addresses: vec![address] });
        boot
    }

    /// A process ends. When it falls `silent`, others notice only after a while.
    pub(super) fn stop(&mut self, now: u64, node: NodeId, boot: u64, silent: bool) {
        let Some(host) = self.host(node, boot) else { return };
        host.up = false;
        host.inbox.clear();
        host.told.clear();
        host.wake.notify_one();
        let others: Vec<NodeId> = self.neighbours(node);
        for other in others {
            let after = if silent { self.paths.notice(other, node) } else { self.paths.latency(node, other) };
            self.part(now, ends(node, other), |_| after);
        }
    }

    /// The process of a node if it is up and in this life.
    pub(super) fn host(&mut self, node: NodeId, boot: u64) -> Option<&mut Host> {
        self.hosts.get_mut(&node).filter(|host| host.up && host.boot == boot)
    }

    pub(super) fn is_up(&self, node: NodeId) -> bool {
        self.hosts.get(&node).is_some_and(|host| host.up)
    }

    fn lists(&self, node: NodeId, friend: NodeId) -> bool {
        self.hosts.get(&node).is_some_and(|host| host.up && host.friends.contains(&friend))
    }

    /// Nodes with a connection to this one.
    fn neighbours(&self, node: NodeId) -> Vec<NodeId> {
        let pairs = self.joints.keys().filter(|ends| ends.contains(&node));
        pairs.map(|ends| ends[1 - side(ends, node)]).collect()
    }

    /// Nodes with a link to this one.
    pub(super) fn linked(&self, node: NodeId) -> Vec<NodeId> {
        let others = self.neighbours(node);
        others.into_iter().filter(|other| self.joints[&ends(node, *other)].stream.is_some()).collect()
    }

    pub(super) fn connections(&mut self, node: NodeId) -> Vec<Connection> {
        let mut connections = Vec::new();
        for other in self.neighbours(node) {
            let round_trip = self.paths.typical(node, other) + self.paths.typical(other, node);
            connections.push(Connection {
                node: other,
                addresses: self.hosts.get(&other).map(|host| host.address.clone()).into_iter().collect(),
                path: Path::Direct,
                round_trip: Some(std::time::Duration::from_millis(round_trip)),
            });
        }
        connections
    }

    // ---- events into a process -----------------------------------------------------------------

    pub(super) fn push(&mut self, node: NodeId, event: Event) {
        self.enqueue(node, Waiting { event, sender: None });
    }

    fn enqueue(&mut self, node: NodeId, waiting: Waiting) {
        if let Some(host) = self.hosts.get_mut(&node).filter(|host| host.up) {
            host.inbox.push_back(waiting);
            host.wake.notify_one();
        }
    }

    pub(super) fn inbox_len(&self, node: NodeId) -> usize {
        self.hosts.get(&node).map_or(0, |host| host.inbox.len())
    }

    /// The next event for a process; a frame taken leaves room in its sender's queue.
    pub(super) fn take(&mut self, node: NodeId, boot: u64) -> Option<Event> {
        let Waiting { event, sender } = self.host(node, boot)?.inbox.pop_front()?;
        if let Some((sender, number)) = sender {
            self.frames += 1;
            self.make_room(sender, node, number);
        }
        Some(event)
    }

    fn make_room(&mut self, sender: NodeId, receiver: NodeId, number: u64) {
        let ends = ends(sender, receiver);
        let Some((side, stream)) = self.stream(ends, sender, number) else { return };
        let lane = &mut stream.lanes[side];
        lane.queued -= 1;
        if std::mem::take(&mut lane.refused) {
            self.push(sender, Event::LinkWritable { link: Link { node: receiver, number } });
        }
    }

    // ---- connections ---------------------------------------------------------------------------

    pub(super) fn dial(&mut self, now: u64, from: NodeId, boot: u64, to: NodeId, addresses: &[String]) {
        if self.host(from, boot).is_some() && self.is_address(to, addresses) {
            let at = now + self.dial_time(from, to);
            self.plan(at, Action::Connect { from, boot, to });
        }
    }

    pub(super) fn is_address(&self, node: NodeId, addresses: &[String]) -> bool {
        self.hosts.get(&node).is_some_and(|host| addresses.contains(&host.address))
    }

    pub(super) fn dial_time(&mut self, from: NodeId, to: NodeId) -> u64 {
        self.paths.latency(from, to) * DIAL_WAYS
    }

    fn on_connect(&mut self, now: u64, from: NodeId, boot: u64, to: NodeId) {
        if self.host(from, boot).is_some() {
            self.connect(now, from, to);
        }
    }

    /// Connects two nodes, if that is possible now. Whether they are connected after it.
    pub(super) fn connect(&mut self, now: u64, from: NodeId, to: NodeId) -> bool {
        let ends = ends(from, to);
        if self.joints.contains_key(&ends) {
            return true;
        }
        let banned = |a: &NodeId, b: &NodeId| {
            self.hosts.get(a).and_then(|host| host.banned.get(b)).is_some_and(|until| *until > now)
        };
        let banned = banned(&from, &to) || banned(&to, &from);
        if from == to || banned || !self.is_up(from) || !self.is_up(to) {
            return false;
        }
        if !self.paths.is_open_both_ways(from, to) {
            return false;
        }
        let id = self.number();
        self.joints.insert(ends, Joint { id, stream: None });
        let open_at = now + self.paths.latency(to, from);
        self.plan(open_at, Action::Open { ends, id });
        self.plan(now + STRANGER_STAY.as_millis() as u64, Action::DropStranger { ends, id });
        true
    }

    pub(super) fn is_connected(&self, a: NodeId, b: NodeId) -> bool {
        self.joints.contains_key(&ends(a, b))
    }

    /// Whether both ends have been told of the same link.
    pub(super) fn is_linked(&self, a: NodeId, b: NodeId) -> bool {
        self.joints.get(&ends(a, b)).is_some_and(|joint| joint.stream.is_some())
    }

    fn on_open(&mut self, ends: Ends, id: u64) {
        let friends = self.lists(ends[0], ends[1]) && self.lists(ends[1], ends[0]);
        let numbers = [self.number(), self.number()];
        let Some(joint) = self.joints.get_mut(&ends).filter(|joint| joint.id == id) else { return };
        if !friends || joint.stream.is_some() {
            return;
        }
        joint.stream = Some(Stream { numbers, lanes: Default::default() });
        for side in 0..2 {
            let (node, peer) = (ends[side], ends[1 - side]);
            let told = Told { number: numbers[side], lost: 0 };
            let old = self.hosts.get_mut(&node).and_then(|host| host.told.insert(peer, told));
            if let Some(old) = old {
                self.push(node, Event::LinkDown { link: Link { node: peer, number: old.number } });
            }
            let link = Link { node: peer, number: numbers[side] };
            self.push(node, Event::LinkUp { link, path: Path::Direct });
        }
    }

    fn on_drop_stranger(&mut self, ends: Ends, id: u64) {
        if self.joints.get(&ends).is_some_and(|joint| joint.id == id && joint.stream.is_none()) {
            self.joints.remove(&ends);
        }
    }

    pub(super) fn set_friends(&mut self, now: u64, node: NodeId, boot: u64, friends: Vec<NodeId>) {
        let Some(host) = self.host(node, boot) else { return };
        host.friends = friends.into_iter().filter(|friend| *friend != node).collect();
        for other in self.neighbours(node) {
            let ends = ends(node, other);
            let joint = &self.joints[&ends];
            let (id, has_stream) = (joint.id, joint.stream.is_some());
            let after = self.paths.latency(node, other);
            match (self.lists(node, other), has_stream) {
                (true, false) => self.plan(now + after, Action::Open { ends, id }),
                (false, true) => self.part(now, ends, |end| if end == node { 0 } else { after }),
                _ => {}
            }
        }
    }

    /// Ends a connection; each end is told that its link is down some time after `now`.
    pub(super) fn part(&mut self, now: u64, ends: Ends, after: impl Fn(NodeId) -> u64) {
        let Some(stream) = self.joints.remove(&ends).and_then(|joint| joint.stream) else { return };
        for (side, number) in stream.numbers.into_iter().enumerate() {
            let (node, peer) = (ends[side], ends[1 - side]);
            self.plan(now + after(node), Action::Down { node, peer, number });
        }
    }

    fn on_down(&mut self, node: NodeId, peer: NodeId, number: u64) {
        let Some(host) = self.hosts.get_mut(&node) else { return };
        if host.told.get(&peer).is_some_and(|told| told.number == number) {
            host.told.remove(&peer);
            self.push(node, Event::LinkDown { link: Link { node: peer, number } });
        }
    }

    // ---- frames --------------------------------------------------------------------------------

    fn stream(&mut self, ends: Ends, node: NodeId, number: u64) -> Option<(usize, &mut Stream)> {
        let side = side(&ends, node);
        let stream = self.joints.get_mut(&ends)?.stream.as_mut()?;
        (stream.numbers[side] == number).then_some((side, stream))
    }

    pub(super) fn send(&mut self, now: u64, from: NodeId, boot: u64, link: Link, frame: Vec<u8>) -> bool {
        let Some(host) = self.host(from, boot) else { return false };
        if host.told.get(&link.node).is_none_or(|told| told.number != link.number) {
            return false;
        }
        if frame.len() > FRAME_BYTES_MAX && self.villains.contains(&from) {
            self.reset(now, from, link.node); // the reader sees a length that no frame has
            return true;
        }
        if frame.len() > FRAME_BYTES_MAX {
            self.complaints.push(format!("{from} sent a frame of {} bytes", frame.len()));
            return false;
        }
        let ends = ends(from, link.node);
        if !self.is_alive(ends, from, link.number) {
            return self.send_into_nothing(from, link.node);
        }
        let latency = self.paths.latency(from, link.node);
        let Some((side, stream)) = self.stream(ends, from, link.number) else { return false };
        let lane = &mut stream.lanes[side];
        if lane.queued >= LINK_QUEUE_FRAMES {
            lane.refused = true;
            return false;
        }
        lane.queued += 1;
        lane.frames.push_back(frame);
        lane.last_arrival = lane.last_arrival.max(now + latency);
        let at = lane.last_arrival;
        self.plan(at, Action::Arrive { ends, side, number: link.number });
        true
    }

    fn is_alive(&mut self, ends: Ends, node: NodeId, number: u64) -> bool {
        self.stream(ends, node, number).is_some()
    }

    /// The link is gone, but this end does not know yet: its queue takes frames until it is full.
    fn send_into_nothing(&mut self, node: NodeId, peer: NodeId) -> bool {
        let told = self.hosts.get_mut(&node).and_then(|host| host.told.get_mut(&peer));
        told.is_some_and(|told| {
            told.lost += 1;
            told.lost <= LINK_QUEUE_FRAMES
        })
    }

    fn on_arrive(&mut self, ends: Ends, side: usize, number: u64) {
        let (sender, receiver) = (ends[side], ends[1 - side]);
        let blocked = self.paths.is_blocked(sender, receiver);
        let Some((side, stream)) = self.stream(ends, sender, number) else { return };
        let link = Link { node: sender, number: stream.numbers[1 - side] };
        let lane = &mut stream.lanes[side];
        if blocked {
            lane.held += 1;
        } else if let Some(bytes) = lane.frames.pop_front() {
            let event = Event::Frame { link, bytes };
            self.enqueue(receiver, Waiting { event, sender: Some((sender, number)) });
        }
    }

    pub(super) fn close(&mut self, now: u64, node: NodeId, boot: u64, link: Link, closing: Closing) {
        let ban_ms = self.ban_ms;
        let Some(host) = self.host(node, boot) else { return };
        if host.told.get(&link.node).is_none_or(|told| told.number != link.number) {
            return;
        }
        if closing == Closing::Ban {
            host.banned.insert(link.node, now + ban_ms);
            self.bans.push(Ban { by: node, of: link.node, at_ms: now });
        }
        let ends = ends(node, link.node);
        if self.stream(ends, node, link.number).is_some() {
            let after = self.paths.latency(node, link.node);
            self.part(now, ends, |end| if end == node { 0 } else { after });
        } else {
            self.plan(now, Action::Down { node, peer: link.node, number: link.number });
        }
    }

    // ---- faults --------------------------------------------------------------------------------

    /// Breaks a connection at once; what travelled is lost, and both ends notice soon.
    pub(super) fn reset(&mut self, now: u64, a: NodeId, b: NodeId) {
        let ends = ends(a, b);
        let after = [self.paths.latency(a, b), self.paths.latency(b, a)];
        self.part(now, ends, |end| after[usize::from(end == b)]);
    }

    /// Nothing arrives this way any more. A connection that is blocked for long enough breaks.
    pub(super) fn block(&mut self, now: u64, from: NodeId, to: NodeId) {
        self.paths.block(from, to);
        let ends = ends(from, to);
        if let Some(id) = self.joints.get(&ends).map(|joint| joint.id) {
            let at = now + self.paths.notice(to, from);
            self.plan(at, Action::Starve { ends, id, from, to });
        }
    }

    fn on_starve(&mut self, now: u64, ends: Ends, id: u64, from: NodeId, to: NodeId) {
        let same = self.joints.get(&ends).is_some_and(|joint| joint.id == id);
        if same && self.paths.is_blocked(from, to) {
            // The one who hears nothing gives up first; the other notices that nobody answers.
            let after = self.paths.notice(from, to);
            self.part(now, ends, |end| if end == to { 0 } else { after });
        }
    }

    pub(super) fn unblock(&mut self, now: u64, from: NodeId, to: NodeId) {
        if self.paths.unblock(from, to) {
            self.release(now, from, to);
        }
    }

    /// Ends all faults between nodes.
    pub(super) fn heal(&mut self, now: u64) {
        for (from, to) in self.paths.clear() {
            self.release(now, from, to);
        }
    }

    /// Lets held frames go on.
    fn release(&mut self, now: u64, from: NodeId, to: NodeId) {
        let ends = ends(from, to);
        let side = side(&ends, from);
        let at = now + self.paths.latency(from, to);
        let Some(stream) = self.joints.get_mut(&ends).and_then(|joint| joint.stream.as_mut()) else { return };
        let (number, lane) = (stream.numbers[side], &mut stream.lanes[side]);
        lane.last_arrival = lane.last_arrival.max(at);
        let at = lane.last_arrival;
        for _ in 0..std::mem::take(&mut lane.held) {
            self.plan(at, Action::Arrive { ends, side, number });
        }
    }
}
