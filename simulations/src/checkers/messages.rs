//! Logs and messages of a node, and what of them reaches its sessions.

use std::collections::{BTreeMap, BTreeSet};

use muster_protocol::{
    ids::{OpId, SpaceId},
    network::{Envelope, Kind, PeerName, delivery},
};

use super::{
    picture::{Key, Knowledge, Picture, Rank, key},
    villains,
};
use crate::world::{Said, Session, Shared, Told, key_of};

/// A message in the order in which it reached a node.
pub(super) struct Arrival<'a> {
    /// Number of the event that tells of it.
    pub(super) event: u64,
    pub(super) space: SpaceId,
    pub(super) rank: Rank,
    pub(super) envelope: &'a Envelope,
}

impl Picture {
    /// Authenticity and contiguity.
    pub(super) fn check_logs(&self, known: &Knowledge<'_>, complaints: &mut Vec<String>) {
        let index = self.index;
        for (log, (counts, operations)) in &self.logs {
            let mut wrong =
                |what: &str| complaints.push(format!("node {index}, log of {}: {what}", log.author));
            // Of a villain's log more may be stored than counts.
            if *counts != operations.len() as u64 && !known.is_of_villain(log) {
                wrong(&format!("{} operations, of which {counts} count", operations.len()));
            }
            let (mut seq, mut prev, mut hlc, mut height) = (0, OpId::NONE, None, 0);
            for operation in operations {
                let header = operation.header();
                if header.log() != *log {
                    wrong(&format!("operation {} stands in the wrong log", header.seq));
                }
                let grows = Some(header.hlc) > hlc && header.control_height >= height;
                if header.seq != seq + 1 || header.prev != prev || !grows {
                    wrong(&format!("operation {} does not continue the log", header.seq));
                }
                (seq, prev, hlc, height) =
                    (header.seq, operation.id(), Some(header.hlc), header.control_height);
            }
        }
        let numbers = (1..).zip(&self.events);
        if let Some((number, event)) = numbers.into_iter().find(|(number, event)| event.number != *number) {
            complaints.push(format!("node {index}: event {} stands where {number} should", event.number));
        }
    }

    /// Durability, no loss, no duplicates, no side effects, causality.
    pub(super) fn check_messages(&self, known: &Knowledge<'_>, complaints: &mut Vec<String>) {
        let index = self.index;
        let mut wrong = |what: String| complaints.push(format!("node {index}: {what}"));
        let (mut found, mut answers) = (BTreeSet::new(), BTreeSet::new());
        for (space, _, envelope) in self.messages() {
            let key = key(envelope);
            match known.said.get(&key) {
                None if villains::takes_part(envelope, known) => {}
                None if !is_answer(envelope, &known.said) => wrong(format!("nobody said {key:?}")),
                None if !answers.insert((&envelope.from, &envelope.to, &envelope.reply_to))
                    && !known.came_back(&envelope.from) =>
                {
                    wrong(format!("{key:?} answers what was answered before"));
                }
                None => {}
                Some(said) if said.told == Told::Refused => wrong(format!("{key:?} was refused")),
                Some(said) if !is_as_said(envelope, said) => wrong(format!("{key:?} was said otherwise")),
                Some(said) if (space == self.space) != said.only_for().is_none() => {
                    wrong(format!("{key:?} stands in the wrong space"));
                }
                Some(_) => {}
            }
            if !found.insert(key.clone()) {
                wrong(format!("{key:?} is there twice"));
            }
        }
        for (key, said) in known.said.iter().filter(|(_, said)| matches!(said.told, Told::Taken(_))) {
            if known.holders(said).contains(&index) && !found.contains(key) {
                wrong(format!("{key:?} was acknowledged by node {} and is missing", said.node));
            }
        }
        self.check_timelines(known, &mut wrong);
        self.check_order(known, &mut wrong);
    }

    /// A channel's timeline shows each of its public messages once, in dense places.
    fn check_timelines(&self, known: &Knowledge<'_>, wrong: &mut impl FnMut(String)) {
        let mut public: BTreeMap<&str, BTreeSet<Key>> = BTreeMap::new();
        for envelope in self.stored.get(&self.space).into_iter().flat_map(BTreeMap::values) {
            public.entry(envelope.channel.as_str()).or_default().insert(key(envelope));
        }
        // What a node forgot and said again may come before what it repeats, which then counts in its place.
        let mut given_up = self.repeated.len();
        for (channel, timeline) in &self.timelines {
            for (place, (sequence, key)) in (1..).zip(timeline) {
                let is_empty = key.is_none() && !known.has_villains();
                if place != *sequence || is_empty && given_up == 0 {
                    wrong(format!("{channel} has sequence {sequence} ({key:?}) at place {place}"));
                }
                given_up = given_up.saturating_sub(usize::from(is_empty));
            }
            let shown: BTreeSet<_> = timeline.iter().filter_map(|(_, key)| key.clone()).collect();
            let public = public.remove(channel.as_str()).unwrap_or_default();
            let places = timeline.iter().filter(|(_, key)| key.is_some()).count();
            if shown.len() != places || shown != public {
                wrong(format!("{channel} shows {} places for {} messages", timeline.len(), public.len()));
            }
        }
        if let Some((channel, messages)) = public.first_key_value() {
            wrong(format!("{channel} has {} messages and is not shown", messages.len()));
        }
    }

    /// Causality, in threads and rooms.
    fn check_order(&self, known: &Knowledge<'_>, wrong: &mut impl FnMut(String)) {
        let mut places = BTreeMap::new();
        let rooms = self.rooms.iter().map(|(at, room)| (at, room.messages.iter().map(|(key, _)| key)));
        let rooms = rooms.flat_map(|(at, order)| order.enumerate().map(move |(place, key)| (at, place, key)));
        let threads = self.threads.iter();
        let threads = threads
            .flat_map(|(at, order)| order.iter().enumerate().map(move |(place, key)| (at, place, key)));
        for (at, place, key) in threads.chain(rooms) {
            if let Some(other) = places.insert(key.clone(), (at, place)) {
                wrong(format!("{key:?} is also at {other:?}"));
            }
        }
        let mut by_id: BTreeMap<&str, Vec<&Key>> = BTreeMap::new();
        for key in places.keys() {
            by_id.entry(key.1.as_str()).or_default().push(key);
        }
        for (key, said) in &known.said {
            let (Some((at, place)), Some(answered)) = (places.get(key), &said.request.reply_to) else {
                continue;
            };
            // An id says nothing of its sender: one of those who used it there stands in front.
            let candidates = by_id.get(answered.as_str()).into_iter().flatten();
            let in_front = candidates
                .filter_map(|key| places.get(*key))
                .any(|(there, before)| there == at && before < place);
            // What a villain said may be gone.
            let gone = !by_id.contains_key(answered.as_str()) && known.is_of_villains(answered);
            if !in_front && !gone {
                wrong(format!("{key:?} stands in front of what it answers"));
            }
        }
    }

    /// All messages in the order in which they reached this node.
    pub(super) fn arrivals(&self) -> Vec<Arrival<'_>> {
        let stored: BTreeMap<Key, _> =
            self.messages().map(|(space, rank, envelope)| (key(envelope), (space, rank, envelope))).collect();
        let mut told = BTreeSet::new();
        let counts = |event: &&muster_storage::EventRow| {
            let key = key_of(event);
            event.kind == "message" && (!self.repeated.contains(&key) || told.insert(key))
        };
        let messages = self.events.iter().filter(counts);
        let arrival = |event: &muster_storage::EventRow| {
            let (space, rank, envelope) = stored.get(&key_of(event)).copied()?;
            Some(Arrival { event: event.number, space, rank, envelope })
        };
        messages.filter_map(arrival).collect()
    }

    /// Inboxes: what is for a session, in the order of arrival, the newest up to its depth.
    pub(super) fn check_inboxes(&self, shared: &Shared, complaints: &mut Vec<String>) {
        let arrivals = self.arrivals();
        if arrivals.len() != self.messages().count() {
            let (told, held) = (arrivals.len(), self.messages().count());
            complaints.push(format!("node {}: events tell of {told} messages of {held}", self.index));
        }
        let delivered = self.delivered(&arrivals);
        let taken_back = villains::taken_back(self, shared);
        for session in shared.ledger.sessions().iter().filter(|session| session.node == self.index) {
            let wrong = self.inbox_is_wrong(session, &delivered, shared.plan.inbox_depth, taken_back);
            let Some(wrong) = wrong else { continue };
            complaints.push(format!("node {}: the inbox of {} {wrong}", self.index, session.peer));
        }
    }

    fn inbox_is_wrong(
        &self,
        session: &Session,
        delivered: &[(u64, &Envelope)],
        depth: usize,
        taken_back: usize,
    ) -> Option<String> {
        let peer = PeerName::parse(&session.peer).ok()?;
        let Some(inbox) = self.inboxes.get(&session.id) else { return Some("is gone".to_owned()) };
        let is_for = |envelope: &Envelope| {
            envelope.channel.as_str() == session.channel && delivery::is_for(envelope, &peer)
        };
        let sent: Vec<_> = delivered.iter().filter(|(_, envelope)| is_for(envelope)).collect();
        let due = sent.iter().filter(|(event, _)| *event > session.since).count().min(depth);
        // What was taken back had pushed others out.
        let due = due.saturating_sub(taken_back);
        if inbox.len() < due || inbox.len() > depth.min(sent.len()) {
            return Some(format!("holds {} envelopes, of {due} that are due", inbox.len()));
        }
        let newest = sent[sent.len() - inbox.len()..].iter().map(|(_, envelope)| key(envelope));
        (!newest.eq(inbox.iter().map(key))).then(|| "is out of order".to_owned())
    }

    /// Convergence.
    pub(super) fn compare(&self, other: &Self, complaints: &mut Vec<String>) {
        let (a, b) = (self.index, other.index);
        let common = [Some(&self.space), self.pairs.get(&b)];
        let heights = |picture: &Self| -> Vec<_> {
            let logs = picture.logs.iter().map(|(log, (counts, _))| (*log, *counts));
            logs.filter(|(log, n)| *n > 0 && common.contains(&Some(&log.space))).collect()
        };
        if (self.space, self.control) != (other.space, other.control) {
            complaints.push(format!("nodes {a} and {b} hold different control logs"));
        }
        if heights(self) != heights(other) {
            complaints.push(format!("nodes {a} and {b} hold different logs"));
        }
        for (mine, theirs) in self.shown.iter().zip(&other.shown).filter(|(mine, theirs)| mine != theirs) {
            complaints.push(format!("nodes {a} and {b} show {mine} and {theirs}"));
        }
        for (thread, order) in &self.threads {
            if other.threads.get(thread) != Some(order) {
                complaints.push(format!("nodes {a} and {b} order {thread:?} differently"));
            }
        }
        if (self.shown.len(), self.threads.len()) != (other.shown.len(), other.threads.len()) {
            complaints.push(format!("nodes {a} and {b} show different numbers of things"));
        }
    }
}

/// Whether a message is what somebody wanted sent under its id.
fn is_as_said(envelope: &Envelope, said: &Said) -> bool {
    let request = &said.request;
    let container = envelope.container.as_ref();
    let meant = [
        Some(request.channel.as_str()),
        Some(request.kind.as_str()),
        request.to.as_deref(),
        request.thread_id.as_deref(),
        request.direct_id.as_deref(),
        request.work_id.as_deref(),
        request.reply_to.as_deref(),
    ];
    let found = [
        Some(envelope.channel.as_str()),
        Some(envelope.kind.as_str()),
        envelope.to.as_ref().map(|to| to.as_str()),
        container.and_then(|container| container.thread_id()).map(|id| id.as_str()),
        container.and_then(|container| container.direct_id()).map(|id| id.as_str()),
        envelope.work_id.as_ref().map(|id| id.as_str()),
        envelope.reply_to.as_ref().map(|id| id.as_str()),
    ];
    meant == found && request.body.as_object() == Some(&envelope.body)
}

/// Whether a node may have said something of itself: the answer of a peer to a whois that asks it (N-70), or the
/// receipt for a refused message to it (N-91).
fn is_answer(envelope: &Envelope, said: &BTreeMap<Key, Said>) -> bool {
    let (Some(to), Some(answered)) = (&envelope.to, &envelope.reply_to) else { return false };
    let Some(said) = said.get(&(to.as_str().to_owned(), answered.as_str().to_owned())) else { return false };
    let addressed = said.request.to.as_deref();
    match envelope.kind {
        Kind::Whois => {
            said.request.kind == "whois" && addressed.is_none_or(|peer| peer == envelope.from.as_str())
        }
        Kind::Receipt => said.request.work_id.is_some() && addressed == Some(envelope.from.as_str()),
        _ => false,
    }
}
