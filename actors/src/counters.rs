//! Counters of the Network door since the node started (N-125 to N-127). Not persisted.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use muster_protocol::{
    ids::SpaceId,
    network::{Kind, PeerName},
    session::session_of,
};
use muster_storage::{Changes, DeliveryChange, MessageChange, Outcome};

/// Counters of one kind of message, or of one peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Sent by this node.
    pub sent: u64,
    /// Received, once for each local session concerned.
    pub received: u64,
    /// Refused, failed, pushed out.
    pub rejected: u64,
    /// Taken up by a session.
    pub delivered: u64,
}

/// All counters, as of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkCounters {
    /// Of all kinds together.
    pub total: Traffic,
    /// By kind.
    pub kinds: BTreeMap<Kind, Traffic>,
    /// Events whose ext names a workflow.
    pub workflow_tagged: u64,
    /// Events whose ext names a handoff.
    pub handoff_tagged: u64,
    /// Messages stored.
    pub conversation_messages: u64,
    /// How often the state of a work was set, also to the same one (N-45).
    pub work_transitions: u64,
    /// Resolves of direct rooms that succeeded.
    pub direct_resolves: u64,
}

#[derive(Default)]
struct State {
    counters: NetworkCounters,
    /// By session, or by name for peers that are none.
    peers: BTreeMap<(SpaceId, String), Traffic>,
}

impl State {
    /// Counts for local peers what their session sends and gets, for remote ones all events of messages from
    /// and to them (N-63).
    fn count_for_peers(&mut self, message: &MessageChange, all: impl Fn(&mut Traffic)) {
        let from = session_or_name(&message.from);
        match message.local {
            true => self.count(message.space, from, |traffic| traffic.sent += 1),
            false => self.count(message.space, from, &all),
        }
        for session in &message.inboxes {
            self.count(message.space, session, |traffic| traffic.received += 1);
        }
        if let Some(to) = message.to.as_ref().map(session_or_name)
            && !message.inboxes.iter().any(|session| session == to)
        {
            self.count(message.space, to, all);
        }
    }

    fn count(&mut self, space: SpaceId, peer: &str, add: impl FnOnce(&mut Traffic)) {
        let key = (space, peer.to_owned());
        if self.peers.len() < PEERS_COUNTED_MAX || self.peers.contains_key(&key) {
            add(self.peers.entry(key).or_default());
        }
    }
}

fn session_or_name(peer: &PeerName) -> &str {
    session_of(peer).unwrap_or(peer.as_str())
}

/// Peers counted at one time; beyond it, newcomers are not counted one by one.
const PEERS_COUNTED_MAX: usize = 20_000;

/// The counters of a running node.
#[derive(Default)]
pub(crate) struct Counters {
    state: Mutex<State>,
}

impl Counters {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a commit stored.
    pub(crate) fn stored(&self, changes: &Changes) {
        changes.messages.iter().for_each(|message| self.message(message));
        changes.deliveries.iter().for_each(|delivery| self.delivery(delivery));
        let mut state = self.state();
        state.counters.work_transitions += changes.work_transitions;
        for rejected in &changes.rejected {
            state.counters.total.rejected += 1;
            if let Some(kind) = rejected.kind {
                state.counters.kinds.entry(kind).or_default().rejected += 1;
            }
            state.count(rejected.space, session_or_name(&rejected.to), |traffic| traffic.rejected += 1);
        }
    }

    /// A direct room was resolved.
    pub(crate) fn resolved(&self) {
        self.state().counters.direct_resolves += 1;
    }

    fn message(&self, message: &MessageChange) {
        let mut state = self.state();
        let received = message.inboxes.len() as u64;
        let sent = u64::from(message.local);
        let add = |traffic: &mut Traffic| {
            traffic.sent += sent;
            traffic.received += received;
        };
        add(&mut state.counters.total);
        add(state.counters.kinds.entry(message.kind).or_default());
        let events = sent + received;
        state.counters.conversation_messages += 1;
        state.counters.workflow_tagged += if message.workflow { events } else { 0 };
        state.counters.handoff_tagged += if message.handoff { events } else { 0 };
        state.count_for_peers(message, add);
    }

    /// An envelope left the inbox of a session: taken up, or not.
    fn delivery(&self, delivery: &DeliveryChange) {
        let mut state = self.state();
        let add = |traffic: &mut Traffic| match delivery.outcome {
            Outcome::Delivered => traffic.delivered += 1,
            Outcome::Overflow | Outcome::Expired => traffic.rejected += 1,
        };
        add(&mut state.counters.total);
        add(state.counters.kinds.entry(delivery.kind).or_default());
        state.counters.workflow_tagged += u64::from(delivery.workflow);
        state.counters.handoff_tagged += u64::from(delivery.handoff);
        state.count(delivery.space, &delivery.session, add);
        if !delivery.local {
            let from = PeerName::parse(&delivery.from).ok();
            let from = from.as_ref().map_or(delivery.from.as_str(), session_or_name);
            state.count(delivery.space, from, add);
        }
    }

    pub(crate) fn rejected(&self, kind: Option<Kind>) {
        let mut state = self.state();
        state.counters.total.rejected += 1;
        if let Some(kind) = kind {
            state.counters.kinds.entry(kind).or_default().rejected += 1;
        }
    }

    pub(crate) fn greets(&self, sent: u64, received: u64) {
        let mut state = self.state();
        for traffic in [true, false] {
            let traffic = match traffic {
                true => &mut state.counters.total,
                false => state.counters.kinds.entry(Kind::Greet).or_default(),
            };
            traffic.sent += sent;
            traffic.received += received;
        }
    }

    pub(crate) fn all(&self) -> NetworkCounters {
        self.state().counters.clone()
    }

    pub(crate) fn peer(&self, space: SpaceId, peer: &PeerName) -> Traffic {
        let key = (space, session_or_name(peer).to_owned());
        self.state().peers.get(&key).copied().unwrap_or_default()
    }
}
