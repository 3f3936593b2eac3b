//! All links: their actors, who may have one, and who is called.
//!
//! Members of our workspaces are *friends*: the mesh gives a link to them and to nobody else. A friend
//! without a link is dialled again and again, ever more slowly, at every address it was known by.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use muster_protocol::{identity::NodeId, limits, presence::topic};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};

use crate::{
    context::{Context, LinkEntry, lock},
    peer_link::PeerLink,
    ports::{Link, Topic},
};

/// What the front of all links is told.
pub(crate) enum LinksMessage {
    /// A link is up; answered when its actor takes frames.
    Up(Link, RpcReplyPort<()>),
    /// A link ended.
    Down(Link),
    /// Some control log grew: who is a friend may have changed.
    MembershipChanged,
    /// A node is at these addresses, it says or the local network shows.
    Heard(NodeId, Vec<String>),
    /// Call whoever is due.
    Dial,
}

/// The actor. Its argument is the node's context.
pub(crate) struct Links;

/// When a friend without a link is dialled next, and how long to wait after that.
#[derive(Debug, Clone, Copy)]
struct Redial {
    at_ms: u64,
    pause: Duration,
}

pub(crate) struct State {
    context: Arc<Context>,
    friends: BTreeMap<NodeId, Option<Redial>>,
    armed_ms: Option<u64>,
}

impl Actor for Links {
    type Msg = LinksMessage;
    type State = State;
    type Arguments = Arc<Context>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        context: Arc<Context>,
    ) -> Result<State, ActorProcessingErr> {
        let mut state = State { context, friends: BTreeMap::new(), armed_ms: None };
        state.review(&myself)?;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            LinksMessage::Up(link, up) => {
                let waiting = Arc::new(AtomicUsize::new(0));
                let arguments = (state.context.clone(), link, Arc::clone(&waiting));
                let (actor, _) = Actor::spawn_linked(None, PeerLink, arguments, myself.get_cell()).await?;
                lock(&state.context.links).insert(link, LinkEntry::new(actor, waiting));
                state.friends.entry(link.node).and_modify(|redial| *redial = None);
                tracing::info!(node = %link.node, "linked");
                // The mesh may have given up waiting; then the link is down again and says so.
                let _ = up.send(());
            }
            LinksMessage::Down(link) => {
                if let Some(entry) = lock(&state.context.links).remove(&link) {
                    entry.actor.stop(None);
                }
                tracing::info!(node = %link.node, "the link is down");
                state.redial_soon(link.node);
                state.dial(&myself)?;
            }
            LinksMessage::MembershipChanged => {
                state.review(&myself)?;
            }
            LinksMessage::Heard(node, addresses) => {
                state.learn(node, addresses)?;
                state.dial(&myself)?;
            }
            LinksMessage::Dial => {
                state.armed_ms = None;
                state.dial(&myself)?;
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        _: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, error) = event {
            // Its link is closed on the way out, and comes up again with an actor of its own.
            tracing::error!(%error, "the actor of a link failed");
        }
        Ok(())
    }
}

impl State {
    /// Says anew who is a friend and which topics are ours.
    fn review(&mut self, myself: &ActorRef<LinksMessage>) -> Result<(), ActorProcessingErr> {
        let me = self.context.identity.node();
        let now_ms = self.context.monotonic_ms();
        let (mut friends, mut topics) = (BTreeMap::new(), Vec::new());
        let view = self.context.store.view()?;
        for space in self.context.store.spaces() {
            let Some(control) = self.context.store.control(space) else { continue };
            topics.push(Topic(topic(space)));
            // Who decides, and who let us in, is a friend also before we know that we were let in.
            let welcomed_by = view.welcomed_by(space)?;
            let members =
                control.members().map(|(node, _, _)| node).chain([control.home()]).chain(welcomed_by);
            for node in members.filter(|node| *node != me) {
                let soon = Some(Redial { at_ms: now_ms, pause: limits::REDIAL_MIN });
                friends.insert(node, self.friends.get(&node).copied().unwrap_or(soon));
            }
        }
        self.friends = friends;
        topics.truncate(limits::GOSSIP_TOPICS_MAX);
        self.context.ports.network.set_topics(topics);
        self.context.ports.network.set_friends(self.friends.keys().copied().collect());
        if myself.cast(LinksMessage::Dial).is_err() {
            tracing::debug!("the front of the links is going down");
        }
        Ok(())
    }

    fn redial_soon(&mut self, node: NodeId) {
        let at_ms = self.context.monotonic_ms() + limits::REDIAL_MIN.as_millis() as u64;
        if let Some(redial) = self.friends.get_mut(&node) {
            *redial = Some(Redial { at_ms, pause: limits::REDIAL_MIN });
        }
    }

    /// Remembers where a friend is, the newest addresses first; news brings its next call forward.
    fn learn(&mut self, node: NodeId, mut addresses: Vec<String>) -> Result<(), ActorProcessingErr> {
        if !self.friends.contains_key(&node) {
            return Ok(());
        }
        let known = self.context.store.view()?.addresses(node)?;
        addresses.retain(|address| address.len() <= limits::ADDRESS_BYTES_MAX);
        if addresses.iter().all(|address| known.contains(address)) {
            return Ok(());
        }
        addresses
            .extend(known.into_iter().filter(|address| !addresses.contains(address)).collect::<Vec<_>>());
        addresses.truncate(limits::ADDRESSES_PER_NODE_MAX);
        if let Some(Some(redial)) = self.friends.get_mut(&node) {
            redial.at_ms = self.context.monotonic_ms();
        }
        let taken = self.context.store.write(
            self.context.wall_ms(),
            move |batch| batch.learn_addresses(node, &addresses),
            |()| {},
        );
        if taken.is_err() {
            tracing::debug!("where a node is was not noted; it will be told again");
        }
        Ok(())
    }

    fn dial(&mut self, myself: &ActorRef<LinksMessage>) -> Result<(), ActorProcessingErr> {
        let linked: Vec<_> = lock(&self.context.links).keys().map(|link| link.node).collect();
        let now_ms = self.context.monotonic_ms();
        let mut next_ms = u64::MAX;
        let mut due = Vec::new();
        for (node, redial) in &mut self.friends {
            if linked.contains(node) {
                *redial = None;
                continue;
            }
            let redial = redial.get_or_insert(Redial { at_ms: now_ms, pause: limits::REDIAL_MIN });
            if redial.at_ms <= now_ms {
                due.push(*node);
                redial.at_ms = now_ms + redial.pause.as_millis() as u64;
                redial.pause = (redial.pause * 2).min(limits::REDIAL_MAX);
            }
            next_ms = next_ms.min(redial.at_ms);
        }
        if !due.is_empty() {
            let view = self.context.store.view()?;
            for node in due {
                self.context.ports.network.dial(node, view.addresses(node)?);
            }
        }
        if next_ms < u64::MAX && self.armed_ms.is_none_or(|armed| next_ms < armed) {
            self.armed_ms = Some(next_ms);
            myself.send_after(Duration::from_millis(next_ms.saturating_sub(now_ms)), || LinksMessage::Dial);
        }
        Ok(())
    }
}
