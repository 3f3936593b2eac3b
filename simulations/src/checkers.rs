//! What must be true of all nodes of a world once they had time to agree, whatever went wrong before.
//!
//! | invariant | in other words |
//! |---|---|
//! | durability | what was acknowledged is on the disk of the node that acknowledged it |
//! | no loss | it is on the disks of all other members too |
//! | no duplicates | everything was stored once, however often it was sent |
//! | convergence | all nodes hold the same logs and show the same threads in the same order |
//! | causality | an answer stands behind what it answers |
//! | authenticity | every operation verifies, and its author made it |
//! | contiguity | logs have no holes, are chains, and their time grows |
//! | dense sequences | a reader that pages meets everything exactly once (see [`crate::world`]) |
//! | inboxes | a session gets what is for it, in order, the newest up to its depth |

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use muster_actors::Node;
use muster_protocol::{
    ids::{LogId, OpId, SpaceId},
    network::{ChannelName, Envelope, PeerName, ThreadId, delivery},
    operation::Operation,
};
use muster_storage::{MessagePage, StoreError, View, WorkspaceRow};

use crate::world::{Machine, Said, Session, Shared, Told};

/// How many complaints one world may make; the rest repeat them.
const COMPLAINTS_MAX: usize = 20;

/// What the nodes still differ in, as far as a glance shows.
pub fn disagreement(shared: &Shared, machines: &[Arc<Machine>]) -> Option<String> {
    let workspace = shared.ledger.workspace()?;
    let mut first: Option<Held> = None;
    let sessions = shared.ledger.sessions().len();
    for machine in machines {
        let index = machine.index();
        let Some(node) = machine.node() else { return Some(format!("node {index} is down")) };
        let others = machines.iter().filter(|other| other.id() != machine.id());
        if let Some(other) = others.into_iter().find(|other| !node.is_online(other.id())) {
            return Some(format!("nodes {index} and {} are not linked", other.index()));
        }
        let peers = node.peers(workspace, None).map_or(0, |peers| peers.len());
        if peers != sessions {
            return Some(format!("node {index} sees {peers} peers of {sessions}"));
        }
        let held = match held(&node) {
            Ok(Some(held)) => held,
            Ok(None) => return Some(format!("node {index} is not in the workspace")),
            Err(error) => return Some(format!("node {index} cannot be read: {error}")),
        };
        match &first {
            None => first = Some(held),
            Some(first) if *first != held => {
                return Some(format!("nodes 0 and {index} hold different things: {first:?}, {held:?}"));
            }
            Some(_) => {}
        }
    }
    None
}

/// How much of each log counts at a node, and the head of the control log.
type Held = (BTreeMap<LogId, u64>, OpId);

fn held(node: &Node) -> Result<Option<Held>, StoreError> {
    let view = node.store().view()?;
    let Some(space) = node.store().spaces().first().copied() else { return Ok(None) };
    let Some(control) = view.control(space) else { return Ok(None) };
    let logs = view.log_heights(space)?.into_iter().filter(|(_, height)| *height > 0).collect();
    Ok(Some((logs, control.head())))
}

/// Everything in the table above, on what is stored now; each complaint is a sentence.
pub fn check(shared: &Shared, machines: &[Arc<Machine>]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut pictures = Vec::new();
    for machine in machines {
        match Picture::take(shared, machine) {
            Ok(Some(picture)) => pictures.push(picture),
            Ok(None) => complaints.push(format!("node {} has no workspace", machine.index())),
            Err(error) => complaints.push(format!("node {} cannot be read: {error}", machine.index())),
        }
    }
    let said = shared.ledger.said();
    for picture in &pictures {
        picture.check_logs(&mut complaints);
        picture.check_messages(&said, &mut complaints);
        picture.check_inboxes(shared, &mut complaints);
    }
    for pair in pictures.windows(2) {
        pair[0].compare(&pair[1], &mut complaints);
    }
    check_authors(machines, &pictures, &mut complaints);
    for picture in &pictures {
        shared.record("picture", &[format!("{:?}", picture.threads).as_bytes()]);
    }
    complaints.truncate(COMPLAINTS_MAX);
    complaints
}

type Key = (String, String);

/// Everything a node holds.
struct Picture {
    index: usize,
    space: SpaceId,
    logs: BTreeMap<LogId, (u64, Vec<Operation>)>,
    control: (u64, OpId),
    /// What is compared between nodes as it is shown: members, channels, threads.
    shown: Vec<String>,
    /// By channel and thread, in people's order.
    threads: BTreeMap<(String, String), Vec<Key>>,
    /// By channel, in the order of this node.
    timelines: BTreeMap<String, Vec<(u64, Option<Envelope>)>>,
    inboxes: BTreeMap<String, Vec<Envelope>>,
    events: Vec<u64>,
}

impl Picture {
    fn take(shared: &Shared, machine: &Machine) -> Result<Option<Self>, StoreError> {
        let Some(node) = machine.node() else { return Ok(None) };
        let view = node.store().view()?;
        let reference = shared.ledger.workspace().map(|workspace| workspace.to_string()).unwrap_or_default();
        let Some(row) = view.workspace(&reference)? else { return Ok(None) };
        let Some(control) = view.control(row.space) else { return Ok(None) };
        let mut logs = BTreeMap::new();
        for (log, counts) in view.log_heights(row.space)? {
            logs.insert(log, (counts, view.log_operations(&log)?));
        }
        let mut picture = Self {
            index: machine.index(),
            space: row.space,
            logs,
            control: (control.height(), control.head()),
            shown: Vec::new(),
            threads: BTreeMap::new(),
            timelines: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            events: view.events(0, usize::MAX)?.iter().map(|event| event.number).collect(),
        };
        for member in view.members(&row)? {
            picture.shown.push(format!("{} {} {:?}", member.node, member.name, member.role));
        }
        for channel in view.channels(&row)? {
            picture.shown.push(format!("{channel:?}"));
            picture.take_channel(&view, &row, &channel.name)?;
        }
        for session in view.sessions(&row)? {
            let inbox = view.inbox(&row, &session.id, 0)?;
            picture.inboxes.insert(session.id, inbox);
        }
        Ok(Some(picture))
    }

    fn take_channel(
        &mut self,
        view: &View,
        row: &WorkspaceRow,
        channel: &ChannelName,
    ) -> Result<(), StoreError> {
        let timeline = view.timeline(row, channel, 0, usize::MAX)?;
        let timeline = timeline.into_iter().map(|(sequence, row)| (sequence, row.map(|row| row.envelope)));
        self.timelines.insert(channel.as_str().to_owned(), timeline.collect());
        let threads = view.threads(row, channel, None, usize::MAX)?.unwrap_or_default();
        for thread in threads {
            // A session id is this node's own matter.
            self.shown
                .push(format!("{:?}", muster_storage::ThreadRow { opened_session: None, ..thread.clone() }));
            let order = self.order(view, row, channel, &thread.thread_id)?;
            if order.len() as u64 != thread.message_count {
                self.shown.push(format!("node {}: {} messages, {:?}", self.index, order.len(), thread));
            }
            self.threads.insert((channel.as_str().to_owned(), thread.thread_id.as_str().to_owned()), order);
        }
        Ok(())
    }

    fn order(
        &self,
        view: &View,
        row: &WorkspaceRow,
        channel: &ChannelName,
        thread: &ThreadId,
    ) -> Result<Vec<Key>, StoreError> {
        let page = MessagePage { limit: usize::MAX, ..MessagePage::default() };
        let messages = view.thread_messages(row, channel, thread, &page)?.unwrap_or_default();
        Ok(messages.into_iter().map(|row| key(&row.envelope)).collect())
    }

    /// Authenticity and contiguity.
    fn check_logs(&self, complaints: &mut Vec<String>) {
        let index = self.index;
        for (log, (counts, operations)) in &self.logs {
            let mut wrong =
                |what: &str| complaints.push(format!("node {index}, log of {}: {what}", log.author));
            if *counts != operations.len() as u64 {
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
        if let Some((number, found)) = (1..).zip(&self.events).find(|(number, found)| number != *found) {
            complaints.push(format!("node {index}: event {found} stands where {number} should"));
        }
    }

    /// Durability, no loss, no duplicates, causality.
    fn check_messages(&self, said: &BTreeMap<Key, Said>, complaints: &mut Vec<String>) {
        let index = self.index;
        let mut wrong = |what: String| complaints.push(format!("node {index}: {what}"));
        let mut found = BTreeSet::new();
        for (channel, timeline) in &self.timelines {
            for (place, (sequence, envelope)) in (1..).zip(timeline) {
                if place != *sequence {
                    wrong(format!("{channel} has sequence {sequence} at place {place}"));
                }
                let Some(envelope) = envelope else { continue };
                let key = key(envelope);
                let text = envelope.body.get("text").and_then(|text| text.as_str());
                match said.get(&key) {
                    None => wrong(format!("nobody said {key:?}")),
                    Some(said) if Some(said.text.as_str()) != text || said.channel != *channel => {
                        wrong(format!("{key:?} was said otherwise"));
                    }
                    Some(said) if said.told == Told::Refused => wrong(format!("{key:?} was refused")),
                    Some(_) => {}
                }
                if !found.insert(key.clone()) {
                    wrong(format!("{key:?} is there twice"));
                }
            }
        }
        let mut places = BTreeMap::new();
        for ((channel, thread), order) in &self.threads {
            for (place, key) in order.iter().enumerate() {
                let at = (channel.clone(), thread.clone(), place);
                if let Some(other) = places.insert(key.clone(), at) {
                    wrong(format!("{key:?} is also at {other:?}"));
                }
            }
        }
        let mut by_id: BTreeMap<&str, Vec<&Key>> = BTreeMap::new();
        for key in places.keys() {
            by_id.entry(key.1.as_str()).or_default().push(key);
        }
        for (key, said) in said {
            let place = places.get(key);
            if let (Told::Taken(_), None) = (said.told, place) {
                wrong(format!("{key:?} was acknowledged by node {} and is missing", said.node));
            }
            let (Some((channel, thread, place)), Some(answered)) = (place, &said.reply_to) else { continue };
            // An id says nothing of its sender: one of those who used it in the thread stands in front.
            let candidates = by_id.get(answered.as_str()).into_iter().flatten();
            let in_front = candidates
                .filter_map(|key| places.get(*key))
                .any(|(c, t, before)| (c, t) == (channel, thread) && before < place);
            if !in_front {
                wrong(format!("{key:?} stands in front of what it answers"));
            }
        }
    }

    /// Inboxes: what is for a session, in the order of the node's timeline, the newest up to its depth.
    fn check_inboxes(&self, shared: &Shared, complaints: &mut Vec<String>) {
        for session in shared.ledger.sessions().iter().filter(|session| session.node == self.index) {
            let Some(wrong) = self.inbox_is_wrong(session, shared.plan.inbox_depth) else { continue };
            complaints.push(format!("node {}: the inbox of {} {wrong}", self.index, session.peer));
        }
    }

    fn inbox_is_wrong(&self, session: &Session, depth: usize) -> Option<String> {
        let peer = PeerName::parse(&session.peer).ok()?;
        let Some(inbox) = self.inboxes.get(&session.id) else { return Some("is gone".to_owned()) };
        let empty = Vec::new();
        let timeline = self.timelines.get(&session.channel).unwrap_or(&empty);
        let sent: Vec<_> = timeline
            .iter()
            .filter_map(|(sequence, envelope)| envelope.as_ref().map(|envelope| (*sequence, envelope)))
            .filter(|(_, envelope)| delivery::is_for(envelope, &peer))
            .collect();
        let due = sent.iter().filter(|(sequence, _)| *sequence > session.since).count().min(depth);
        if inbox.len() < due || inbox.len() > depth.min(sent.len()) {
            return Some(format!("holds {} envelopes, of {due} that are due", inbox.len()));
        }
        let newest = sent[sent.len() - inbox.len()..].iter().map(|(_, envelope)| key(envelope));
        (!newest.eq(inbox.iter().map(key))).then(|| "is out of order".to_owned())
    }

    /// Convergence.
    fn compare(&self, other: &Self, complaints: &mut Vec<String>) {
        let (a, b) = (self.index, other.index);
        let heights = |picture: &Self| -> Vec<_> {
            picture.logs.iter().map(|(log, (counts, _))| (*log, *counts)).filter(|(_, n)| *n > 0).collect()
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

/// Nothing stands in anybody's log that its author did not make.
fn check_authors(machines: &[Arc<Machine>], pictures: &[Picture], complaints: &mut Vec<String>) {
    for picture in pictures {
        let index = picture.index;
        for (log, (_, operations)) in &picture.logs {
            let author = machines.iter().find(|machine| machine.id() == log.author);
            let own = author.and_then(|author| pictures.iter().find(|own| own.index == author.index()));
            let made = own.and_then(|own| own.logs.get(log)).map_or(&[][..], |(_, made)| made.as_slice());
            // The very bytes, so that it is enough to verify the author's own.
            if !made.starts_with(operations) {
                complaints.push(format!("node {index} holds what {} did not make", log.author));
            }
            let is_own = own.is_some_and(|own| own.index == index);
            if is_own && operations.iter().any(|operation| operation.verify().is_err()) {
                complaints.push(format!("node {index} holds operations of its own that do not verify"));
            }
        }
    }
}

fn key(envelope: &Envelope) -> Key {
    (envelope.from.as_str().to_owned(), envelope.id.as_str().to_owned())
}
