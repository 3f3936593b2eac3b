//! Work: recounted from the stored messages, in people's order (N-43 to N-52).

use std::collections::{BTreeMap, BTreeSet};

use muster_protocol::{
    ids::SpaceId,
    network::{
        Container, Envelope, Kind, ReceiptStatus, WorkAct, WorkChange, WorkMessage, WorkRecord, WorkRefusal,
        WorkState, work,
    },
};

use super::{
    messages::Arrival,
    picture::{Picture, Rank},
};
use crate::world::Shared;

/// Works by space and id: nodes that could not see each other's may have opened one each under one id.
type Works = BTreeMap<(SpaceId, String), WorkRecord>;

/// How a work stands after a message, and whether the message was refused.
fn step(before: Option<WorkRecord>, message: &WorkMessage) -> (Option<WorkRecord>, Option<WorkRefusal>) {
    match work::decide(before.as_ref(), message) {
        Ok(WorkChange::Opened(after) | WorkChange::Moved(after)) => (Some(after), None),
        Ok(WorkChange::Unchanged) => (before, None),
        Err(refusal) => (before, Some(refusal)),
    }
}

fn about_work(envelope: &Envelope) -> Option<WorkMessage> {
    WorkMessage::of(envelope).ok().flatten()
}

/// Lets messages decide one after the other.
fn decide<'a>(messages: impl Iterator<Item = (SpaceId, &'a Envelope)>) -> Works {
    let mut works = Works::new();
    for (space, envelope) in messages {
        let Some(message) = about_work(envelope) else { continue };
        let of = (space, message.work_id.as_str().to_owned());
        if let (Some(after), _) = step(works.remove(&of), &message) {
            works.insert(of, after);
        }
    }
    works
}

/// What a node may show for an id: of several works the one opened first; several when they were opened at once.
fn shown<'a>(works: &'a Works, id: &str) -> Vec<&'a WorkRecord> {
    let all = || works.iter().filter(|((_, of), _)| of == id).map(|(_, record)| record);
    let first = all().map(|record| record.opened_at).min();
    all().filter(|record| Some(record.opened_at) == first).collect()
}

impl Picture {
    fn recount_works(&self) -> Works {
        decide(self.messages().map(|(space, _, envelope)| (space, envelope.as_ref())))
    }

    /// Plants a bug: what this node shows is decided in the order in which it heard.
    pub(super) fn plant_arrival(&mut self) {
        let works = decide(self.arrivals().iter().map(|arrival| (arrival.space, arrival.envelope)));
        for (id, record) in &mut self.works {
            *record = shown(&works, id).first().copied().cloned();
        }
    }

    /// What reaches sessions, with the numbers of its events: all but what the rules of work refuse, as they stood
    /// when it arrived. A receipt answers for one message, and is delivered also when the work has ended.
    pub(super) fn delivered<'a>(&self, arrivals: &[Arrival<'a>]) -> Vec<(u64, &'a Envelope)> {
        let mut heard: BTreeMap<(SpaceId, String), BTreeMap<Rank, WorkMessage>> = BTreeMap::new();
        let mut delivered = Vec::new();
        for arrival in arrivals {
            let mut refusal = None;
            if let Some(message) = about_work(arrival.envelope) {
                let order = heard.entry((arrival.space, message.work_id.as_str().to_owned())).or_default();
                let before =
                    order.range(..arrival.rank).fold(None, |before, (_, other)| step(before, other).0);
                refusal = step(before, &message).1;
                order.insert(arrival.rank, message);
            }
            let closes = |refusal: &WorkRefusal| {
                matches!(refusal, WorkRefusal::Closed { .. } | WorkRefusal::ContainerMismatch { .. })
            };
            if refusal.is_none_or(|refusal| arrival.envelope.kind == Kind::Receipt && closes(&refusal)) {
                delivered.push((arrival.event, arrival.envelope));
            }
        }
        delivered
    }

    /// Work stands as the stored messages decide, and is counted so.
    pub(super) fn check_works(&self, shared: &Shared, complaints: &mut Vec<String>) {
        let mut wrong = |what: String| complaints.push(format!("node {}: {what}", self.index));
        let works = self.recount_works();
        for (id, record) in &self.works {
            let expected = shown(&works, id);
            let same = match record {
                Some(record) => expected.contains(&record),
                None => expected.is_empty(),
            };
            if !same {
                wrong(format!("{id} stands as {record:?}, where the messages say {expected:?}"));
            }
        }
        for ((space, id), record) in &works {
            if !self.works.contains_key(id) {
                wrong(format!("nobody wanted {id}"));
            }
            let first = self.first_end(*space, record);
            let end = record.state.is_terminal().then_some(record.state).zip(record.terminal_at);
            if first != end {
                wrong(format!("{id} ended as {end:?}, where the first end is {first:?}"));
            }
        }
        self.check_counts(&works, &mut wrong);
        for ((_, id), record) in &works {
            let state = format!("{id} {}", record.state.as_str());
            shared.record("work", &[&self.index.to_be_bytes(), state.as_bytes()]);
        }
    }

    /// The first message that ends a work, of one of the two who may, where it belongs (N-47). Found without the
    /// rules that decide work, so that those are tested, too.
    fn first_end(&self, space: SpaceId, record: &WorkRecord) -> Option<(WorkState, i64)> {
        let messages = self.stored.get(&space)?.values().filter_map(|envelope| about_work(envelope));
        let mut opened = false;
        for message in messages.filter(|message| message.work_id == record.work_id) {
            opened |= message.act == WorkAct::Talk && message.from == record.opened_by;
            let may = message.from == record.opened_by || message.from == record.target;
            if !opened || !may || message.container != record.container || message.channel != record.channel {
                continue;
            }
            match message.act {
                WorkAct::Trace(state) if state.is_terminal() => return Some((state, message.ts)),
                WorkAct::Receipt(ReceiptStatus::Rejected) => return Some((WorkState::Failed, message.ts)),
                WorkAct::Receipt(ReceiptStatus::Canceled) => return Some((WorkState::Canceled, message.ts)),
                _ => {}
            }
        }
        None
    }

    /// Open work of threads, rooms and channels, and who takes part in a channel (N-52, N-114).
    fn check_counts(&self, works: &Works, wrong: &mut impl FnMut(String)) {
        let open = |channel: &str, container: Option<&str>| {
            let is_open = |record: &&WorkRecord| {
                let here = container.is_none_or(|id| record.container.id() == id);
                !record.state.is_terminal() && record.channel.as_str() == channel && here
            };
            works.values().filter(is_open).count() as u64
        };
        for thread in &self.thread_rows {
            let expected = open(thread.channel.as_str(), Some(thread.thread_id.as_str()));
            if thread.open_work_count != expected {
                wrong(format!("{thread:?} has {expected} open works"));
            }
        }
        for ((channel, id), room) in &self.rooms {
            let expected = open(channel, Some(id));
            if room.row.open_work_count != expected {
                wrong(format!("{:?} has {expected} open works", room.row));
            }
        }
        for (name, channel) in &self.channels {
            let expected = open(name, None);
            if channel.open_work != expected {
                wrong(format!("{name} counts {} open works of {expected}", channel.open_work));
            }
            let here = self.messages().filter(|(_, _, envelope)| envelope.channel.as_str() == name);
            let peers: BTreeSet<_> = here
                .flat_map(|(_, _, envelope)| [Some(&envelope.from), envelope.to.as_ref()])
                .flatten()
                .collect();
            if channel.historical_participant_count != peers.len() as u64 {
                let counts = channel.historical_participant_count;
                wrong(format!("{name} counts {counts} participants of {}", peers.len()));
            }
        }
    }

    /// Two nodes show the same work in what both can see.
    pub(super) fn compare_works(&self, other: &Self, complaints: &mut Vec<String>) {
        let (a, b) = (self.index, other.index);
        let (mine, theirs) = (self.recount_works(), other.recount_works());
        let shared = |record: &WorkRecord| match &record.container {
            Container::Thread(_) => true,
            Container::Direct(room) => {
                other.rooms.contains_key(&(record.channel.as_str().to_owned(), room.as_str().to_owned()))
            }
        };
        for ((space, id), record) in mine.iter().filter(|(_, record)| shared(record)) {
            if theirs.get(&(*space, id.clone())) != Some(record) {
                complaints.push(format!("nodes {a} and {b} decide {id} differently"));
            }
            let alone = |works: &Works| works.keys().filter(|(_, of)| of == id).count() == 1;
            if alone(&mine) && alone(&theirs) && self.works.get(id) != other.works.get(id) {
                complaints.push(format!("nodes {a} and {b} show {id} differently"));
            }
        }
    }
}
