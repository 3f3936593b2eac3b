//! The loop that owns the swarm.
//!
//! Each turn serves, in this order: wishes and commands of the actors, ended links, answers, events
//! owed, the clock, and last the network: local work goes before work from outside. The network is
//! not starved by it, since all of the former is bounded by what actors do, and takes microseconds.
//! Nothing in here waits for anything but its next turn.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Swarm, gossipsub, identify, mdns,
    metrics::{Metrics, Recorder as _},
    ping, relay, request_response,
    swarm::{SwarmEvent, dial_opts::DialOpts},
};
use muster_actors::ports::{Event, RequestError, Topic};
use muster_protocol::{
    identity::NodeId,
    limits::{
        ADDRESSES_PER_NODE_MAX, BAN, BANS_MAX, GOSSIP_BURST, GOSSIP_PAUSE, LISTEN_TIMEOUT, MEMBERS_MAX,
        MESH_SHUTDOWN_GRACE, MESH_TICK, REQUEST_BYTES_MAX, STRANGER_STAY,
    },
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    MeshError, address,
    allowance::Allowances,
    behaviour::{Behaviour, BehaviourEvent},
    blobs::Blobs,
    feed::Feed,
    gossip,
    handle::{Command, Shared, Wishes},
    keeper::{Peer, Way},
    now, probe_port,
    relays::Relays,
    requests::{self, Answers, Ask, Asks},
    streams::Outcome,
};

/// What a driver is made of.
pub(super) struct Parts {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) metrics: Option<Metrics>,
    pub(super) relays: Relays,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) wishes: watch::Receiver<Wishes>,
}

/// The owner of the swarm.
pub(super) struct Driver {
    pub(super) node: NodeId,
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) shared: Arc<Shared>,
    pub(super) feed: Feed,
    pub(super) peers: BTreeMap<PeerId, Peer>,
    pub(super) links: JoinSet<(PeerId, u64, Outcome)>,
    pub(super) blobs: Blobs,
    metrics: Option<Metrics>,
    relays: Relays,
    /// Whether addresses that lead through relays may be dialled.
    dial_relayed: bool,
    commands: mpsc::Receiver<Command>,
    wishes: watch::Receiver<Wishes>,
    topics: BTreeSet<Topic>,
    asks: Asks,
    answers: Answers,
    /// Who is refused, until when.
    bans: BTreeMap<PeerId, Instant>,
    /// What each friend may still say in gossip.
    gossiped: Allowances<NodeId>,
}

impl Driver {
    pub(super) fn new(parts: Parts, node: NodeId, dial_relayed: bool, shared: Arc<Shared>) -> Self {
        Self {
            node,
            swarm: parts.swarm,
            shared,
            feed: Feed::new(parts.events),
            peers: BTreeMap::new(),
            links: JoinSet::new(),
            blobs: Blobs::default(),
            metrics: parts.metrics,
            relays: parts.relays,
            dial_relayed,
            commands: parts.commands,
            wishes: parts.wishes,
            topics: BTreeSet::new(),
            asks: Asks::default(),
            answers: Answers::default(),
            bans: BTreeMap::new(),
            gossiped: Allowances::new(GOSSIP_BURST, GOSSIP_PAUSE, MEMBERS_MAX),
        }
    }

    /// Listens on all of these, or says on which it cannot.
    pub(super) async fn listen(&mut self, addresses: Vec<Multiaddr>) -> Result<(), MeshError> {
        let refuse =
            |address: &Multiaddr, reason: String| MeshError::Listen { address: address.to_string(), reason };
        let mut waiting = Vec::new();
        for address in addresses {
            probe_port(&address).map_err(|error| refuse(&address, error.to_string()))?;
            let listener = self.swarm.listen_on(address.clone());
            waiting.push((listener.map_err(|error| refuse(&address, error.to_string()))?, address));
        }
        let all = async {
            while !waiting.is_empty() {
                let event = self.swarm.select_next_some().await;
                match &event {
                    SwarmEvent::NewListenAddr { listener_id, .. } => {
                        waiting.retain(|(listener, _)| listener != listener_id);
                    }
                    SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                        if let Some((_, address)) = waiting.iter().find(|(id, _)| id == listener_id) {
                            return Err(refuse(address, format!("{reason:?}")));
                        }
                    }
                    _ => {}
                }
                self.on_swarm_event(event);
            }
            Ok(())
        };
        match timeout(LISTEN_TIMEOUT, all).await {
            Ok(result) => result,
            Err(_) => {
                let address = waiting.first().map(|(_, address)| address.to_string()).unwrap_or_default();
                Err(MeshError::Listen { address, reason: "the system has no address for it".to_owned() })
            }
        }
    }

    /// Drives the mesh until somebody wishes it to stop, or nobody is left.
    pub(super) async fn run(mut self) {
        let mut tick = interval(MESH_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                changed = self.wishes.changed() => {
                    if changed.is_err() || self.on_wishes() {
                        break;
                    }
                }
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => break,
                },
                Some(ended) = self.links.join_next() => match ended {
                    Ok((peer, number, outcome)) => self.link_ended(peer, number, outcome),
                    Err(error) => {
                        // A bug of ours. The link's place would stay taken: better to start afresh.
                        tracing::error!(%error, "a link's task failed; the mesh ends");
                        break;
                    }
                },
                () = self.blobs.served() => {}
                (channel, answer) = self.answers.next() => {
                    match answer {
                        Some(bytes) if bytes.len() <= REQUEST_BYTES_MAX => {
                            // An error means that who asked is gone.
                            let _ = self.swarm.behaviour_mut().asks.send_response(channel, bytes);
                        }
                        Some(bytes) => tracing::error!(bytes = bytes.len(), "answer too long, not sent"),
                        None => drop(channel), // which refuses
                    }
                }
                listened = self.feed.settle() => {
                    if !listened {
                        break;
                    }
                }
                _ = tick.tick() => self.on_tick(),
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
            }
        }
        self.stop().await;
    }

    /// Lets links send what they have, then closes all connections; all within a bounded time.
    async fn stop(mut self) {
        for peer in self.peers.values() {
            peer.close_link();
        }
        let Self { swarm, links, feed, .. } = &mut self;
        let orderly = async {
            let mut links_open = true;
            while links_open {
                tokio::select! {
                    biased;
                    ended = links.join_next() => links_open = ended.is_some(),
                    _ = swarm.next() => {}
                }
            }
            let peers: Vec<_> = swarm.connected_peers().copied().collect();
            for peer in peers {
                let _ = swarm.disconnect_peer_id(peer); // an error means that it is gone already
            }
            while swarm.connected_peers().next().is_some() {
                swarm.next().await;
            }
        };
        if timeout(MESH_SHUTDOWN_GRACE, orderly).await.is_err() {
            tracing::debug!("the mesh did not end in time and is cut off");
        }
        feed.settle_now();
        for peer in self.peers.values() {
            self.shared.set_connection(peer.node, None);
        }
        self.shared.set_listening(&[]);
        self.links.shutdown().await;
    }

    /// Makes wishes true. Returns whether the wish is to stop.
    fn on_wishes(&mut self) -> bool {
        let wishes = self.wishes.borrow_and_update().clone();
        let friends = wishes.friends.iter().map(NodeId::peer_id).collect();
        let (lost, won) = self.swarm.behaviour_mut().admission.set_friends(friends);
        for peer in lost {
            self.unfriended(peer);
        }
        for peer in won {
            self.befriended(peer);
        }
        gossip::set_topics(&mut self.swarm.behaviour_mut().gossip, &self.topics, &wishes.topics);
        self.topics = wishes.topics;
        wishes.stop
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Dial { node, addresses } => {
                let addresses = self.dialable(&addresses);
                let dial = DialOpts::peer_id(node.peer_id()).addresses(addresses);
                if let Err(error) = self.swarm.dial(dial.extend_addresses_through_behaviour().build()) {
                    tracing::debug!(%node, %error, "not dialled");
                }
            }
            Command::Ask { node, reply, .. } if node == self.node => {
                let _ = reply.send(Err(RequestError::Unreachable)); // nobody asks himself over a network
            }
            Command::Ask { node, addresses, question, reply } => {
                let (peer, addresses) = (node.peer_id(), self.dialable(&addresses));
                let ask = Ask { peer, addresses, question, reply, again: true };
                self.asks.ask(&mut self.swarm.behaviour_mut().asks, ask);
            }
            Command::Publish { topic, bytes } => {
                gossip::publish(&mut self.swarm.behaviour_mut().gossip, topic, bytes);
            }
            Command::OpenBlob { node, reply } => self.open_blob(node, reply),
            Command::Ban { node } => self.ban(node.peer_id()),
        }
    }

    fn dialable(&self, addresses: &[String]) -> Vec<Multiaddr> {
        let mut addresses = address::parse(addresses);
        addresses.retain(|address| self.dial_relayed || !address::is_relayed(address));
        addresses
    }

    /// Closes all connections with a node and refuses new ones for a while.
    pub(super) fn ban(&mut self, peer: PeerId) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.cut_link();
        }
        self.bans.insert(peer, now() + BAN);
        self.swarm.behaviour_mut().banned.block_peer(peer);
        if self.bans.len() > BANS_MAX
            && let Some(first) = self.bans.iter().min_by_key(|(_, until)| **until).map(|(peer, _)| *peer)
        {
            self.pardon(first);
        }
    }

    fn pardon(&mut self, peer: PeerId) {
        self.bans.remove(&peer);
        self.swarm.behaviour_mut().banned.unblock_peer(peer);
    }

    fn on_tick(&mut self) {
        let now = now();
        // A stranger through whom we reach somebody is of use.
        let ways = self.peers.values().flat_map(|peer| peer.connections.values());
        let carriers: BTreeSet<_> =
            ways.filter(|way| way.relayed).filter_map(|way| address::relay_of(&way.address)).collect();
        let overdue = |peer: &Peer| peer.since + STRANGER_STAY <= now;
        let peers: Vec<_> = self.peers.iter().map(|(id, peer)| (*id, overdue(peer))).collect();
        for (peer, overdue) in peers {
            let stranger = self.swarm.behaviour().admission.is_stranger(&peer);
            if overdue && stranger && !carriers.contains(&peer) {
                let _ = self.swarm.disconnect_peer_id(peer); // an error means that it is gone already
            } else {
                self.keep_link(peer);
            }
        }
        let over: Vec<_> =
            self.bans.iter().filter(|(_, until)| **until <= now).map(|(peer, _)| *peer).collect();
        for peer in over {
            self.pardon(peer);
        }
        self.asks.forget_abandoned();
        self.blobs.forget_abandoned();
        self.relays.reserve(&mut self.swarm, now);
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        if let Some(metrics) = &self.metrics {
            metrics.record(&event);
        }
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let way = Way {
                    relayed: endpoint.is_relayed(),
                    address: endpoint.get_remote_address().clone(),
                    dialled: endpoint.is_dialer(),
                };
                self.connected(peer_id, connection_id, way);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                tracing::debug!(peer = %peer_id, ?cause, "connection closed");
                self.disconnected(peer_id, connection_id);
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                tracing::debug!(?peer_id, %error, "dial failed");
            }
            SwarmEvent::IncomingConnectionError { peer_id, error, .. } => {
                tracing::debug!(?peer_id, %error, "incoming connection refused");
            }
            SwarmEvent::NewListenAddr { listener_id, .. } => {
                self.relays.stands(listener_id);
                self.note_listening();
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                tracing::debug!(?reason, "a listener closed");
                self.relays.lost(listener_id, now());
                self.note_listening();
            }
            SwarmEvent::ExpiredListenAddr { .. }
            | SwarmEvent::ExternalAddrConfirmed { .. }
            | SwarmEvent::ExternalAddrExpired { .. } => self.note_listening(),
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Links(event) => self.on_link_stream(event),
            BehaviourEvent::Blobs(event) => self.on_blob_stream(event),
            BehaviourEvent::Asks(event) => self.on_ask(event),
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Ping(event) => self.on_ping(event),
            BehaviourEvent::Identify(event) => {
                self.record(&event);
                if let identify::Event::Received { peer_id, info, .. } = event
                    && let Some(entry) = self.peers.get_mut(&peer_id)
                {
                    entry.told = info.listen_addrs;
                    entry.told.truncate(ADDRESSES_PER_NODE_MAX);
                    self.note_connection(peer_id);
                }
            }
            BehaviourEvent::RelayServer(event) => self.on_relay_server(event),
            BehaviourEvent::Dcutr(event) => self.record(&event),
            BehaviourEvent::Mdns(mdns::Event::Discovered(seen)) => self.on_seen(seen),
            _ => {}
        }
    }

    fn record<E>(&self, event: &E)
    where
        Metrics: libp2p::metrics::Recorder<E>,
    {
        if let Some(metrics) = &self.metrics {
            metrics.record(event);
        }
    }

    fn on_ask(&mut self, event: requests::Event) {
        use request_response::{Event as Asked, Message};
        match event {
            Asked::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                let Ok(from) = NodeId::from_peer_id(&peer) else { return };
                if !self.answers.has_room() {
                    return; // dropping the channel refuses
                }
                let answer = self.answers.wait(channel);
                self.feed.tell(Event::Request { from, question: request, answer });
            }
            Asked::Message { message: Message::Response { request_id, response }, .. } => {
                self.asks.answered(request_id, response);
            }
            Asked::OutboundFailure { request_id, error, .. } => {
                self.asks.failed(&mut self.swarm.behaviour_mut().asks, request_id, &error);
            }
            Asked::InboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "question not answered")
            }
            Asked::ResponseSent { .. } => {}
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        self.record(&event);
        let gossipsub::Event::Message { propagation_source, message_id, message } = event else { return };
        let admission = &self.swarm.behaviour().admission;
        let author = message.source.filter(|author| admission.is_friend(author));
        let author = author.and_then(|author| NodeId::from_peer_id(&author).ok());
        let topic = gossip::topic(message.topic.as_str());
        // Not a fault of who forwarded it: he may know a member whom we do not know yet.
        let mut verdict = gossipsub::MessageAcceptance::Ignore;
        if let (Some(author), Some(topic)) = (author, topic)
            && admission.is_friend(&propagation_source)
            && self.gossiped.take(&author, now())
        {
            verdict = gossipsub::MessageAcceptance::Accept;
            self.feed.tell_now(Event::Gossip { topic, author, bytes: message.data });
        }
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.report_message_validation_result(&message_id, &propagation_source, verdict);
    }

    fn on_ping(&mut self, event: ping::Event) {
        self.record(&event);
        match event.result {
            Ok(round_trip) => {
                if let Some(entry) = self.peers.get_mut(&event.peer) {
                    entry.round_trip = Some(round_trip);
                    self.note_connection(event.peer);
                }
            }
            Err(ping::Failure::Unsupported) => {}
            Err(error) => {
                tracing::debug!(peer = %event.peer, %error, "no answer to a ping: connection closed");
                self.swarm.close_connection(event.connection);
            }
        }
    }

    fn on_relay_server(&mut self, event: relay::Event) {
        self.record(&event);
        let admission = &mut self.swarm.behaviour_mut().admission;
        match event {
            relay::Event::ReservationReqAccepted { src_peer_id, renewed: false } => {
                admission.lodge(src_peer_id);
            }
            relay::Event::ReservationClosed { src_peer_id }
            | relay::Event::ReservationTimedOut { src_peer_id } => {
                admission.leave(&src_peer_id);
            }
            relay::Event::CircuitReqAccepted { src_peer_id, .. } => admission.lodge(src_peer_id),
            relay::Event::CircuitClosed { src_peer_id, .. } => admission.leave(&src_peer_id),
            _ => {}
        }
    }

    fn on_seen(&mut self, seen: Vec<(PeerId, Multiaddr)>) {
        let mut nodes: BTreeMap<PeerId, Vec<String>> = BTreeMap::new();
        for (peer, seen) in seen {
            let addresses = nodes.entry(peer).or_default();
            if addresses.len() < ADDRESSES_PER_NODE_MAX {
                addresses.push(address::text(&seen));
            }
        }
        for (peer, addresses) in nodes {
            if let Ok(node) = NodeId::from_peer_id(&peer) {
                self.feed.tell(Event::Discovered { node, addresses });
            }
        }
    }

    /// Tells the addresses we listen on, if they changed.
    fn note_listening(&mut self) {
        let all = self.swarm.listeners().chain(self.swarm.external_addresses());
        let addresses: BTreeSet<String> = all.map(address::text).collect();
        let addresses: Vec<String> = addresses.into_iter().collect();
        if self.shared.set_listening(&addresses) {
            self.feed.tell(Event::Listening { addresses });
        }
    }
}
