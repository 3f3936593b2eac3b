//! Keeps exactly one link with every connected friend.
//!
//! Of two nodes the one with the smaller id opens the link, on the best connection there is, and
//! opens no other before the first has ended. The other accepts; a new stream from the opener means
//! that the opener has given the old one up, so the newest stream counts and the old one is ended
//! first. Hence never two links of a pair, whoever dialled whom and however often.
//!
//! The accepting node cannot open, but it may know better that a link is missing: it was restarted
//! and the opener has not noticed, or it has only now made the opener a friend. Then it *knocks*: it
//! opens a stream that carries nothing, and the opener opens a link on that connection.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId, Stream, swarm::ConnectionId};
use muster_actors::ports::{Closing, Connection, Link, Path};
use muster_protocol::{
    identity::NodeId,
    limits::{
        ADDRESS_BYTES_MAX, ADDRESSES_PER_NODE_MAX, LINK_KNOCK, LINK_RENEW_MIN, LINK_RETRY_MAX,
        LINK_RETRY_MIN, LINK_STEADY,
    },
};

use super::{
    address,
    driver::Driver,
    links::{self, Happened},
    now,
    streams::{LinkTask, Outbox, Outcome, Side},
};

/// The number of the next link. Of the process, not of the mesh, as the port has it.
static NEXT_LINK: AtomicU64 = AtomicU64::new(1);

/// A connected node.
pub(super) struct Peer {
    pub(super) node: NodeId,
    /// When it came; a stranger's time runs from here.
    pub(super) since: Instant,
    pub(super) connections: BTreeMap<ConnectionId, Way>,
    /// Where it says that it listens.
    pub(super) told: Vec<Multiaddr>,
    pub(super) round_trip: Option<Duration>,
    slot: Slot,
    /// When its newest link was begun.
    started: Option<Instant>,
    failures: u32,
    /// When to open, or to knock, at the earliest.
    again_at: Instant,
}

/// How a connection reaches its node.
pub(super) struct Way {
    pub(super) relayed: bool,
    /// The address we dialled, or the one they came from.
    pub(super) address: Multiaddr,
    pub(super) dialled: bool,
}

impl Way {
    fn path(&self) -> Path {
        if self.relayed { Path::Relayed } else { Path::Direct }
    }
}

/// The place for a node's one link.
enum Slot {
    Empty,
    /// We asked this connection for a stream.
    Opening(ConnectionId),
    /// A task runs the link, or still shakes hands.
    Running(Running),
}

struct Running {
    number: u64,
    connection: ConnectionId,
    since: Instant,
    outbox: Arc<Outbox>,
    /// The stream that takes its place as soon as it has ended.
    next: Option<(ConnectionId, Stream)>,
}

impl Peer {
    pub(super) fn new(node: NodeId, opener: bool, now: Instant) -> Self {
        Self {
            node,
            since: now,
            connections: BTreeMap::new(),
            told: Vec::new(),
            round_trip: None,
            slot: Slot::Empty,
            started: None,
            failures: 0,
            again_at: if opener { now } else { now + LINK_KNOCK },
        }
    }

    /// Whether nothing of it is left.
    pub(super) fn is_gone(&self) -> bool {
        self.connections.is_empty() && matches!(self.slot, Slot::Empty)
    }

    /// Ends its link, if it has one.
    pub(super) fn cut_link(&mut self) {
        if let Slot::Running(running) = &mut self.slot {
            running.next = None;
            running.outbox.end(Outcome::Cut);
        }
    }

    /// Ends its link after the frames already queued, if it has one.
    pub(super) fn close_link(&self) {
        if let Slot::Running(running) = &self.slot {
            running.outbox.end(Outcome::Closed(Closing::Polite));
        }
    }

    /// The connection for a link: a direct one if there is, and the newest of those. Of a node that was
    /// killed and is back the older ones are dead, which shows only when they have been silent for long.
    pub(super) fn best_connection(&self) -> Option<ConnectionId> {
        self.connections.iter().min_by_key(|(id, way)| (way.relayed, Reverse(**id))).map(|(id, _)| *id)
    }

    fn pause(&mut self, opener: bool) {
        let pause = LINK_RETRY_MIN.saturating_mul(2u32.saturating_pow(self.failures)).min(LINK_RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        self.again_at = now() + if opener { pause } else { LINK_KNOCK.max(pause) };
    }

    /// What the port tells of it; nothing when it is not connected.
    pub(super) fn connection(&self) -> Option<Connection> {
        let best = self.best_connection()?;
        let dialled = self.connections.values().filter(|way| way.dialled).map(|way| &way.address);
        let mut addresses: Vec<String> = Vec::new();
        for address in dialled.chain(&self.told).map(address::text) {
            if address.len() <= ADDRESS_BYTES_MAX && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses.truncate(ADDRESSES_PER_NODE_MAX);
        let path = self.connections[&best].path();
        Some(Connection { node: self.node, addresses, path, round_trip: self.round_trip })
    }
}

impl Driver {
    /// A connection to a node stands.
    pub(super) fn connected(&mut self, peer: PeerId, connection: ConnectionId, way: Way) {
        let Ok(node) = NodeId::from_peer_id(&peer) else { return }; // admission refused it
        let opener = self.node < node;
        let entry = self.peers.entry(peer).or_insert_with(|| Peer::new(node, opener, now()));
        // A direct way makes relayed ones pointless; a link on one of them moves over.
        let pointless: Vec<_> = match way.relayed {
            true => Vec::new(),
            false => entry.connections.iter().filter(|(_, way)| way.relayed).map(|(id, _)| *id).collect(),
        };
        entry.connections.insert(connection, way);
        if !self.swarm.behaviour().admission.is_friend(&peer) {
            self.swarm.behaviour_mut().gossip.blacklist_peer(&peer);
        }
        for relayed in pointless {
            self.swarm.close_connection(relayed);
        }
        self.note_connection(peer);
        self.keep_link(peer);
    }

    /// A connection is gone.
    pub(super) fn disconnected(&mut self, peer: PeerId, connection: ConnectionId) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let opener = self.node < entry.node;
        entry.connections.remove(&connection);
        self.blobs.disconnected(connection);
        match &mut entry.slot {
            Slot::Opening(on) if *on == connection => {
                entry.slot = Slot::Empty;
                entry.pause(opener);
            }
            Slot::Running(running) if running.connection == connection => running.outbox.end(Outcome::Cut),
            _ => {}
        }
        if entry.connections.is_empty() {
            self.swarm.behaviour_mut().gossip.remove_blacklisted_peer(&peer);
        }
        self.note_connection(peer);
        self.keep_link(peer);
        self.forget_if_gone(peer);
    }

    /// Opens a link with a node that should have one and has none, or knocks for it, when it is time.
    pub(super) fn keep_link(&mut self, peer: PeerId) {
        let now = now();
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let opener = self.node < entry.node;
        let due = matches!(entry.slot, Slot::Empty) && entry.again_at <= now;
        if !due || !self.swarm.behaviour().admission.is_friend(&peer) {
            return;
        }
        let Some(connection) = entry.best_connection() else { return };
        if opener {
            entry.slot = Slot::Opening(connection);
        } else {
            entry.pause(opener);
        }
        self.swarm.behaviour_mut().links.open(peer, connection, 0); // there is never more than one
    }

    /// A node became a friend while connected.
    pub(super) fn befriended(&mut self, peer: PeerId) {
        self.swarm.behaviour_mut().gossip.remove_blacklisted_peer(&peer);
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let opener = self.node < entry.node;
        entry.again_at = if opener { now() } else { now() + LINK_KNOCK };
        entry.failures = 0;
        self.keep_link(peer);
    }

    /// A friend is none any more: it loses its link, and its connection unless it is here as a relay
    /// or a lodger.
    pub(super) fn unfriended(&mut self, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.cut_link();
        self.swarm.behaviour_mut().gossip.blacklist_peer(&peer);
        if self.swarm.behaviour().admission.is_stranger(&peer) {
            let _ = self.swarm.disconnect_peer_id(peer); // an error means that it is gone already
        }
    }

    /// Something happened to a link stream.
    pub(super) fn on_link_stream(&mut self, event: links::Event) {
        let links::Event { peer, connection, what } = event;
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let opener = self.node < entry.node;
        if !self.swarm.behaviour().admission.is_friend(&peer) {
            if matches!(entry.slot, Slot::Opening(_)) {
                entry.slot = Slot::Empty;
            }
            return; // the stream is dropped, which refuses it
        }
        match what {
            Happened::Opened(_, stream) => {
                if matches!(entry.slot, Slot::Opening(on) if on == connection) {
                    self.start_link(peer, connection, stream, Side::Opener);
                } // else it was a knock, or comes too late
            }
            Happened::Failed(_) => {
                if matches!(entry.slot, Slot::Opening(on) if on == connection) {
                    entry.slot = Slot::Empty;
                    entry.pause(opener);
                }
            }
            Happened::Came(_) if opener => self.on_knock(peer, connection),
            // Dropped, which refuses it: it comes sooner than an honest node opens one.
            Happened::Came(_) if entry.started.is_some_and(|at| at.elapsed() < LINK_RENEW_MIN) => {}
            Happened::Came(stream) => match &mut entry.slot {
                Slot::Running(running) => {
                    running.next = Some((connection, stream));
                    running.outbox.end(Outcome::Cut);
                }
                _ => self.start_link(peer, connection, stream, Side::Acceptor),
            },
        }
    }

    /// The other node misses its link.
    fn on_knock(&mut self, peer: PeerId, connection: ConnectionId) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        match &entry.slot {
            Slot::Empty => {
                entry.again_at = now();
                self.keep_link(peer);
            }
            // It has lost the connection this link is on.
            Slot::Running(running) if running.connection != connection => running.outbox.end(Outcome::Cut),
            _ => {} // it comes, or has come just now
        }
    }

    fn start_link(&mut self, peer: PeerId, connection: ConnectionId, stream: Stream, side: Side) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let Some(way) = entry.connections.get(&connection) else { return };
        let number = NEXT_LINK.fetch_add(1, Ordering::Relaxed);
        let outbox = Arc::new(Outbox::default());
        let task = LinkTask {
            link: Link { node: entry.node, number },
            path: way.path(),
            side,
            outbox: outbox.clone(),
            registry: self.shared.registry.clone(),
            events: self.feed.events(),
        };
        entry.started = Some(now());
        entry.slot = Slot::Running(Running { number, connection, since: now(), outbox, next: None });
        self.links.spawn(async move { (peer, number, task.run(stream).await) });
    }

    /// A link's task is over.
    pub(super) fn link_ended(&mut self, peer: PeerId, number: u64, outcome: Outcome) {
        tracing::debug!(%peer, number, ?outcome, "link ended");
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let opener = self.node < entry.node;
        let Slot::Running(running) = &mut entry.slot else { return };
        if running.number != number {
            return;
        }
        let next = running.next.take();
        if running.since.elapsed() >= LINK_STEADY {
            entry.failures = 0;
        }
        entry.slot = Slot::Empty;
        entry.pause(opener);
        match outcome {
            Outcome::Violation => {
                tracing::warn!(%peer, "a frame of an impossible length: banned");
                self.ban(peer);
            }
            Outcome::Closed(Closing::Ban) => self.ban(peer),
            _ => {
                if let Some((connection, stream)) = next
                    && self.swarm.behaviour().admission.is_friend(&peer)
                {
                    self.start_link(peer, connection, stream, Side::Acceptor);
                }
            }
        }
        self.forget_if_gone(peer);
    }

    fn forget_if_gone(&mut self, peer: PeerId) {
        if self.peers.get(&peer).is_some_and(Peer::is_gone) {
            self.peers.remove(&peer);
        }
    }

    /// Tells everybody how a node is connected now.
    pub(super) fn note_connection(&self, peer: PeerId) {
        if let Some(entry) = self.peers.get(&peer) {
            self.shared.set_connection(entry.node, entry.connection());
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_protocol::identity::Identity;

    use super::*;

    #[test]
    fn a_link_goes_over_the_newest_direct_connection() {
        let mut peer = Peer::new(Identity::from_seed([1; 32]).node(), true, now());
        let mut connect = |number, relayed| {
            let way = Way { relayed, address: Multiaddr::empty(), dialled: true };
            peer.connections.insert(ConnectionId::new_unchecked(number), way);
            peer.best_connection()
        };
        assert_eq!(connect(1, true), Some(ConnectionId::new_unchecked(1)));
        assert_eq!(connect(2, false), Some(ConnectionId::new_unchecked(2)));
        assert_eq!(connect(3, false), Some(ConnectionId::new_unchecked(3)), "the node was restarted");
        assert_eq!(connect(4, true), Some(ConnectionId::new_unchecked(3)));
    }
}
