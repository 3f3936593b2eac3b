//! Who is here: telling it about our sessions, and hearing it about everybody else's (N-54 to N-60).

mod table;
mod whois;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use muster_protocol::{
    cbor::{Bytes, Bytes32},
    identity::NodeId,
    ids::SpaceId,
    limits,
    network::{Capability, CapabilityCatalog, ChannelName, PeerCard, PeerName},
    presence::{Presence as Telling, Present, topic},
    session, sync,
};
use muster_storage::{PresenceChange, StoreError, SyncView};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::{
    context::{Context, lock},
    links::LinksMessage,
    peer_link::PeerLinkMessage,
    ports::{Link, Topic},
};

pub(crate) use table::PresenceTable;
use table::{Heard, PeerKey};
use whois::Answers;

/// A peer of another node came, or is gone: for whoever listens, not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceEvent {
    /// The workspace's space.
    pub space: SpaceId,
    /// The channel it is or was in.
    pub channel: ChannelName,
    /// The peer.
    pub peer: PeerName,
    /// Its node.
    pub node: NodeId,
    /// How it is with it now.
    pub turn: PresenceTurn,
    /// When this node noticed, Unix milliseconds.
    pub at_ms: u64,
}

/// What became of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceTurn {
    /// It is there, and was not before.
    Came,
    /// Its node said that it left (N-54).
    Left,
    /// It was not heard of for two intervals (N-57).
    Expired,
}

/// Bytes of cards in one message, so that with names and addresses it stays below
/// [`limits::GOSSIP_BYTES_MAX`].
const CARDS_BYTES_MAX: usize = 5 * 1024;

/// What the actor is told.
pub(crate) enum PresenceMessage {
    /// A message came, over gossip or a link, undecoded.
    Heard(Vec<u8>),
    /// A greet or whois was stored.
    Said(Box<PresenceChange>),
    /// Tell a peer about a space that is shared from now on.
    Introduce(Link, SpaceId),
    /// These sessions of a space were started.
    Came(SpaceId, Vec<String>),
    /// These peers of ours left.
    Left(SpaceId, Vec<(ChannelName, PeerName)>),
    /// It is time to tell everybody again.
    Announce,
    /// The node stops: say goodbye for all sessions.
    Goodbye(RpcReplyPort<()>),
}

/// The actor. Its argument is the node's context.
pub(crate) struct Presence;

pub(crate) struct State {
    context: Arc<Context>,
    /// Time of our newest telling; each is later than the one before.
    told_ms: u64,
    /// The newest telling of each node and space, and its parts heard so far.
    heard: BTreeMap<(NodeId, SpaceId), (u64, BTreeSet<u16>)>,
    answers: Answers,
}

impl Actor for Presence {
    type Msg = PresenceMessage;
    type State = State;
    type Arguments = Arc<Context>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        context: Arc<Context>,
    ) -> Result<State, ActorProcessingErr> {
        let interval = context.settings.network.greet_interval;
        myself.send_interval(interval, || PresenceMessage::Announce);
        Ok(State { context, told_ms: 0, heard: BTreeMap::new(), answers: Answers::default() })
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PresenceMessage::Heard(bytes) => state.heard(&bytes)?,
            PresenceMessage::Said(change) => state.said(&change)?,
            PresenceMessage::Introduce(link, space) => {
                let tellings = state.tellings(space, None)?;
                if let Some(entry) = state.context.link(link) {
                    for bytes in tellings {
                        if entry.actor.cast(PeerLinkMessage::Presence(bytes)).is_err() {
                            tracing::debug!("a link is gone before it was introduced");
                        }
                    }
                }
            }
            PresenceMessage::Came(space, sessions) => state.announce(space, Some(&sessions))?,
            PresenceMessage::Left(space, gone) => state.part(space, &gone)?,
            PresenceMessage::Announce => {
                for space in state.context.store.spaces() {
                    state.announce(space, None)?;
                }
                state.forget();
            }
            PresenceMessage::Goodbye(done) => {
                for space in state.context.store.spaces() {
                    let gone: Vec<_> = lock(&state.context.sessions)
                        .iter()
                        .filter(|((of, _), _)| *of == space)
                        .map(|(_, session)| (session.channel.clone(), session.peer.clone()))
                        .collect();
                    state.part(space, &gone)?;
                }
                // Whoever waited may have given up; the goodbye is said anyway.
                let _ = done.send(());
            }
        }
        Ok(())
    }
}

impl State {
    /// Tells everybody about our sessions: all, or just these.
    fn announce(&mut self, space: SpaceId, only: Option<&[String]>) -> Result<(), StoreError> {
        for bytes in self.tellings(space, only)? {
            self.spread(space, &bytes);
        }
        Ok(())
    }

    /// Tells everybody that peers of ours left.
    fn part(&mut self, space: SpaceId, gone: &[(ChannelName, PeerName)]) -> Result<(), StoreError> {
        if !self.takes_part(space) {
            return Ok(());
        }
        for part in gone.chunks(limits::PRESENCE_PEERS_MAX) {
            let at_ms = self.next_ms();
            let telling = self.telling(space, at_ms, 0, Vec::new(), part)?;
            self.spread(space, &telling);
        }
        Ok(())
    }

    fn takes_part(&self, space: SpaceId) -> bool {
        let control = self.context.store.control(space);
        let member = control.is_some_and(|control| control.role(self.context.identity.node()).is_some());
        member && self.context.settings.network.enabled
    }

    /// The time of a new telling: later than that of the one before.
    fn next_ms(&mut self) -> u64 {
        self.told_ms = self.context.wall_ms().max(self.told_ms + 1);
        self.told_ms
    }

    /// Over gossip to everybody, and over our links: gossip may be lost.
    fn spread(&self, space: SpaceId, bytes: &[u8]) {
        self.context.ports.network.publish(Topic(topic(space)), bytes.to_vec());
        let Some(control) = self.context.store.control(space) else { return };
        for (link, entry) in lock(&self.context.links).iter() {
            if control.role(link.node).is_some()
                && entry.actor.cast(PeerLinkMessage::Presence(bytes.to_vec())).is_err()
            {
                tracing::debug!("presence was not told to a link that is gone");
            }
        }
    }

    /// Our peers of a space, all or just these sessions', in as many messages as they need; at least one,
    /// for addresses and digest.
    fn tellings(&mut self, space: SpaceId, only: Option<&[String]>) -> Result<Vec<Vec<u8>>, StoreError> {
        if !self.takes_part(space) {
            return Ok(Vec::new());
        }
        let now_ms = self.context.wall_ms();
        let mut parts = vec![Vec::new()];
        let mut bytes = 0;
        for (channel, card) in self.cards(space, only)? {
            self.context.presence.greeted(space, &channel, now_ms);
            let card = serde_json::to_vec(&card).unwrap_or_default();
            let full = parts.last().is_some_and(|part| part.len() == limits::PRESENCE_PEERS_MAX);
            if full || bytes + card.len() > CARDS_BYTES_MAX {
                parts.push(Vec::new());
                bytes = 0;
            }
            if card.len() > CARDS_BYTES_MAX {
                tracing::warn!(%channel, "a peer's card is too large to be told; give its agent fewer capabilities");
                continue;
            }
            bytes += card.len();
            if let Some(part) = parts.last_mut() {
                part.push(Present { channel: channel.as_str().to_owned(), card: Bytes(card) });
            }
        }
        let told: usize = parts.iter().map(Vec::len).sum();
        self.context.counters.greets(told as u64, 0);
        let at_ms = self.next_ms();
        let messages = parts.into_iter().enumerate();
        messages.map(|(number, part)| self.telling(space, at_ms, number as u16, part, &[])).collect()
    }

    fn telling(
        &self,
        space: SpaceId,
        at_ms: u64,
        part: u16,
        present: Vec<Present>,
        gone: &[(ChannelName, PeerName)],
    ) -> Result<Vec<u8>, StoreError> {
        let mut addresses = self.context.ports.network.listen_addresses();
        addresses.truncate(limits::ADDRESSES_PER_NODE_MAX);
        let telling = Telling {
            space,
            node: self.context.identity.node(),
            at_ms,
            part,
            name: muster_storage::clean_name(&self.context.settings.name),
            addresses,
            digest: Bytes32(digest(&self.context, space)?),
            present,
            gone: gone
                .iter()
                .map(|(channel, peer)| (channel.as_str().to_owned(), peer.as_str().to_owned()))
                .collect(),
        };
        Ok(telling.sign(&self.context.identity))
    }

    /// The cards of our active sessions in a space, all or just these.
    fn cards(
        &self,
        space: SpaceId,
        only: Option<&[String]>,
    ) -> Result<Vec<(ChannelName, PeerCard)>, StoreError> {
        let sessions: Vec<_> = {
            let sessions = lock(&self.context.sessions);
            match only {
                Some(ids) => {
                    let session = |id: &String| sessions.get(&(space, id.clone())).cloned();
                    ids.iter().filter_map(session).collect()
                }
                None => sessions.iter().filter(|((of, _), _)| *of == space).map(|(_, s)| s.clone()).collect(),
            }
        };
        if sessions.is_empty() {
            return Ok(Vec::new());
        }
        let mut cards = Vec::new();
        for session in sessions {
            let catalog = self.catalog(space, &session.agent)?;
            cards.push((session.channel, PeerCard::local(session.peer, Some(&session.agent), &catalog)));
        }
        Ok(cards)
    }

    /// The capability documents of an agent of this node.
    fn catalog(&self, space: SpaceId, agent: &str) -> Result<CapabilityCatalog, StoreError> {
        let view = self.context.store.view()?;
        let Some(control) = view.control(space) else { return Ok(CapabilityCatalog::default()) };
        let workspace = view.workspace(&control.genesis().workspace.to_string())?;
        let agent = workspace.map(|workspace| view.agent(&workspace, agent)).transpose()?.flatten();
        let capabilities: Vec<Capability> = agent.map(|agent| agent.capabilities).unwrap_or_default();
        Ok(CapabilityCatalog { capabilities })
    }

    /// Takes what another node tells, if it may and if it is news.
    fn heard(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let Ok(telling) = Telling::decode(bytes) else { return Ok(()) };
        let (node, space) = (telling.node, telling.space);
        if node == self.context.identity.node() || !self.is_news(&telling) {
            return Ok(());
        }
        if let Some(link) = lock(&self.context.links).iter().find(|(link, _)| link.node == node)
            && link.1.actor.cast(PeerLinkMessage::DigestHeard(space, telling.digest.0)).is_err()
        {
            tracing::debug!("a digest came for a link that is gone");
        }
        self.context.tell_links(LinksMessage::Heard(node, telling.addresses));
        for present in telling.present {
            let Ok(card) = serde_json::from_slice::<PeerCard>(&present.card.0) else { continue };
            let Ok(channel) = ChannelName::parse(&present.channel) else { continue };
            if session::may_speak_as(node, &card.peer_id) {
                self.context.counters.greets(0, 1);
                self.hear(space, channel, node, card, None);
            }
        }
        for (channel, peer) in telling.gone {
            let (Ok(channel), Ok(peer)) = (ChannelName::parse(&channel), PeerName::parse(&peer)) else {
                continue;
            };
            let key = (space, channel, peer);
            if session::may_speak_as(node, &key.2) && self.context.presence.leave(&key) {
                self.tell_listeners(key, node, PresenceTurn::Left);
            }
        }
        Ok(())
    }

    /// A peer of another node is there (N-56).
    fn hear(
        &self,
        space: SpaceId,
        channel: ChannelName,
        node: NodeId,
        card: PeerCard,
        catalog: Option<CapabilityCatalog>,
    ) {
        let (wall_ms, monotonic_ms) = (self.context.wall_ms(), self.context.monotonic_ms());
        self.context.presence.greeted(space, &channel, wall_ms);
        let key = (space, channel, card.peer_id.clone());
        if self.context.presence.hear(key.clone(), Heard { node, card, catalog, wall_ms, monotonic_ms }) {
            self.tell_listeners(key, node, PresenceTurn::Came);
        }
    }

    fn tell_listeners(&self, (space, channel, peer): PeerKey, node: NodeId, turn: PresenceTurn) {
        let at_ms = self.context.wall_ms();
        // Without listeners nobody is told.
        let _ = self.context.turns.send(PresenceEvent { space, channel, peer, node, turn, at_ms });
    }

    /// Whether a member tells it, about now, and for the first time.
    fn is_news(&mut self, telling: &Telling) -> bool {
        let control = self.context.store.control(telling.space);
        let role = |node| control.as_ref().and_then(|control| control.role(node));
        if role(telling.node).is_none() || role(self.context.identity.node()).is_none() {
            return false;
        }
        if telling.at_ms.abs_diff(self.context.wall_ms()) > limits::PRESENCE_AGE_MS_MAX {
            tracing::debug!(node = %telling.node, "presence from another time; is a clock wrong?");
            return false;
        }
        let (at_ms, parts) = self.heard.entry((telling.node, telling.space)).or_default();
        if telling.at_ms < *at_ms {
            return false;
        }
        if telling.at_ms > *at_ms {
            (*at_ms, *parts) = (telling.at_ms, BTreeSet::new());
        }
        parts.insert(telling.part)
    }

    /// Forgets peers that expired.
    fn forget(&mut self) {
        let interval_ms = self.context.settings.network.greet_interval.as_millis() as u64;
        for (key, node) in self.context.presence.expire(self.context.monotonic_ms(), interval_ms) {
            self.tell_listeners(key, node, PresenceTurn::Expired);
        }
        let store = &self.context.store;
        self.heard.retain(|(node, space), _| {
            store.control(*space).is_some_and(|control| control.role(*node).is_some())
        });
    }
}

/// The digest of what this node holds of a workspace's space; of a space it does not hold, one like no other.
fn digest(context: &Context, space: SpaceId) -> Result<[u8; 32], StoreError> {
    use sync::View as _;
    let view = SyncView::new(&context.store)?;
    let Some(control) = view.control(space)? else { return Ok([0; 32]) };
    Ok(sync::digest(&control, &view.held(space)?))
}
