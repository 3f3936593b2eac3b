//! Messages: sending them, and what they change in the tables people read from.

use std::ops::RangeInclusive;

use muster_protocol::{
    cbor::{self, Bytes},
    content::ChannelOpened,
    control::{ControlState, Role},
    ids::{SpaceId, StreamId},
    limits,
    network::{ChannelName, Container, Envelope, Kind, ThreadId, delivery},
    operation::{self, Draft, Header, Operation},
};
use redb::ReadableTable;
use serde_json::{Map, Value};

use crate::{
    StoreError,
    batch::Batch,
    changes::MessageChange,
    rows::{self, At, ChannelRecord, JournalRecord, MessageRecord, ThreadRecord, TimelineRow},
    tables::{self, Rank, Short},
};

/// What became of a message that a session of this node sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// Stored; it takes this place in its channel's timeline.
    Stored {
        /// From 1, dense, of this node alone.
        sequence: u64,
    },
    /// The same message was sent before under this id; nothing was changed (N-83).
    Repeated,
    /// Another message was sent before under this id; nothing was changed (N-83).
    Conflict,
    /// This node is not, or no longer, a member that may write.
    NotAllowed,
}

/// The order of N-115.
const KIND_ORDER: [Kind; 6] =
    [Kind::Say, Kind::Receipt, Kind::Capability, Kind::Greet, Kind::Whois, Kind::Trace];

/// The kinds counted in a channel, with their counts, in the order of N-115, those with none left out.
pub(crate) fn kind_counts(record: &ChannelRecord) -> Vec<(Kind, u64)> {
    KIND_ORDER.into_iter().zip(record.kinds).filter(|(_, count)| *count > 0).collect()
}

pub(crate) fn kind_index(kind: Kind) -> usize {
    KIND_ORDER.iter().position(|known| *known == kind).expect("all kinds stand in the order of N-115")
}

/// The inverse of [`kind_index`].
pub(crate) fn kind_at(index: u8) -> Result<Kind, StoreError> {
    let kind = KIND_ORDER.get(usize::from(index)).copied();
    kind.ok_or(StoreError::Damaged("a stored kind is outside its order"))
}

pub(crate) fn thread_key(stream: StreamId, thread: &ThreadId) -> Short {
    tables::short(&stream.0, thread.as_str())
}

fn sender_key(envelope: &Envelope) -> Short {
    tables::short(b"sender", envelope.from.as_str())
}

impl Batch<'_> {
    /// Stores a message of a local session, signed as the next operation of our log. Its id decides
    /// whether it was sent before. `json` is the envelope, at most 1 MiB.
    pub fn send(
        &mut self,
        space: SpaceId,
        envelope: &Envelope,
        json: Vec<u8>,
    ) -> Result<SendOutcome, StoreError> {
        let Some(control) = self.control_state(space) else { return Ok(SendOutcome::NotAllowed) };
        if !control.role(self.me()).is_some_and(Role::writes) {
            return Ok(SendOutcome::NotAllowed);
        }
        if let Some(outcome) = self.sent_before(space, envelope)? {
            return Ok(outcome);
        }
        let stream = StreamId::channel(space, envelope.channel.as_str());
        let draft = Draft { kind: operation::Kind::ENVELOPE, stream, body: json };
        let (op, at) = self.append_own(&control, draft)?;
        self.apply_envelope(&control, &op, envelope, at)?;
        let sequence = self.channel(space, stream)?.map_or(0, |channel| channel.last_sequence);
        Ok(SendOutcome::Stored { sequence })
    }

    /// Opens a channel, or replaces its purpose, for everybody (N-117, N-119). False when this node may not write.
    pub fn open_channel(&mut self, space: SpaceId, opened: &ChannelOpened) -> Result<bool, StoreError> {
        let Some(control) = self.control_state(space) else { return Ok(false) };
        if !control.role(self.me()).is_some_and(Role::writes) {
            return Ok(false);
        }
        let stream = StreamId::channel(space, &opened.name);
        let body = muster_protocol::cbor::encode(opened);
        let (op, at) = self.append_own(&control, Draft { kind: operation::Kind::CHANNEL, stream, body })?;
        let content = muster_protocol::content::Content::read(&op, &control);
        self.take_effect(&control, &op, content, at)?;
        Ok(true)
    }

    /// What was sent before under the id of a message that a session of this node wants to send.
    fn sent_before(
        &mut self,
        space: SpaceId,
        envelope: &Envelope,
    ) -> Result<Option<SendOutcome>, StoreError> {
        let (number, id) = (self.space_number(space)?, envelope.id.as_str());
        let own = tables::copies_range(number, id, true, sender_key(envelope));
        if let Some((_, record)) = self.first_message(own)? {
            let same = same_message(&self.envelope_at(record.at)?.0, envelope);
            return Ok(Some(if same { SendOutcome::Repeated } else { SendOutcome::Conflict }));
        }
        // Local ones come first. A stranger's id is no conflict: nobody can burn the ids of others (N-89).
        let any = self.first_message(tables::message_range(number, id))?;
        let other_session = any.is_some_and(|(key, _)| tables::message_is_local(&key));
        Ok(other_session.then_some(SendOutcome::Conflict))
    }

    pub(crate) fn first_message(
        &self,
        range: RangeInclusive<[u8; 93]>,
    ) -> Result<Option<([u8; 93], MessageRecord)>, StoreError> {
        let first = self.messages.range::<&[u8; 93]>(range.start()..=range.end())?.next().transpose()?;
        first.map(|(key, row)| Ok((*key.value(), rows::read(row.value())?))).transpose()
    }

    pub(crate) fn message_key(
        &self,
        space: SpaceId,
        header: &Header,
        envelope: &Envelope,
    ) -> Result<[u8; 93], StoreError> {
        let (number, local) = (self.space_number(space)?, header.author == self.me());
        let rank = tables::rank(header);
        Ok(tables::message_key(number, envelope.id.as_str(), local, sender_key(envelope), &rank))
    }

    /// The copy that counts of all that the sender sent under the id of this one.
    pub(crate) fn copy_that_counts(
        &self,
        space: SpaceId,
        header: &Header,
        envelope: &Envelope,
    ) -> Result<Option<([u8; 93], MessageRecord)>, StoreError> {
        let (number, local) = (self.space_number(space)?, header.author == self.me());
        let range = tables::copies_range(number, envelope.id.as_str(), local, sender_key(envelope));
        self.first_message(range)
    }

    pub(crate) fn put_message(&mut self, key: &[u8; 93], record: MessageRecord) -> Result<(), StoreError> {
        self.messages.insert(key, rows::write(&record).as_slice())?;
        Ok(())
    }

    /// The effect of a message: its place in the timeline, counters, inboxes, the event. A sender's second
    /// message under one id has none (N-83); which one is second is for people's order to say, not for arrival.
    pub(crate) fn apply_envelope(
        &mut self,
        control: &ControlState,
        op: &Operation,
        envelope: &Envelope,
        at: At,
    ) -> Result<(), StoreError> {
        let (space, stream) = (control.space(), op.header().stream);
        let key = self.message_key(space, op.header(), envelope)?;
        match self.copy_that_counts(space, op.header(), envelope)? {
            Some((first, _)) if first < key => {
                return self.put_message(&key, MessageRecord { at, stream, sequence: 0 });
            }
            Some((second, record)) => {
                self.take_back(space, record)?;
                self.put_message(&second, MessageRecord { sequence: 0, ..record })?;
            }
            None => {}
        }
        let sequence = self.count_message(space, op, envelope, at)?;
        self.put_message(&key, MessageRecord { at, stream, sequence })
    }

    /// Lets a message count; answers with its place in the timeline.
    pub(crate) fn count_message(
        &mut self,
        space: SpaceId,
        op: &Operation,
        envelope: &Envelope,
        at: At,
    ) -> Result<u64, StoreError> {
        let stream = op.header().stream;
        let mut channel =
            self.channel(space, stream)?.unwrap_or_else(|| ChannelRecord::new(envelope.channel.as_str()));
        channel.last_sequence += 1;
        let sequence = channel.last_sequence;
        let local = op.header().author == self.me();
        let change = self.deliver(space, stream, envelope, local, at)?;
        let session = if local {
            muster_protocol::session::session_of(&envelope.from).unwrap_or_default().to_owned()
        } else {
            change.inboxes.first().cloned().unwrap_or_default()
        };
        let row = TimelineRow { at, void: false, session };
        self.timeline.insert(&tables::timeline_key(stream, sequence), rows::write(&row).as_slice())?;

        self.count_in_channel(&mut channel, stream, op, envelope)?;
        if let Some(Container::Thread(thread)) = &envelope.container {
            channel.threads += u64::from(self.count_in_thread(stream, thread, op, envelope, sequence)?);
        }
        self.put_channel(space, stream, channel)?;
        let (number, at_ms) = (self.space_number(space)?, self.now_ms());
        self.journal(&JournalRecord {
            kind: "message".to_owned(),
            space: number,
            at_ms,
            place: vec![at],
            data: String::new(),
        })?;
        self.changes.messages.push(change);
        Ok(sequence)
    }

    fn count_in_channel(
        &mut self,
        channel: &mut ChannelRecord,
        stream: StreamId,
        op: &Operation,
        envelope: &Envelope,
    ) -> Result<(), StoreError> {
        channel.messages += 1;
        for peer in [Some(&envelope.from), envelope.to.as_ref()].into_iter().flatten() {
            channel.participants += u64::from(self.participates(stream.0, peer.as_str())?);
        }
        if envelope.is_directed() {
            return Ok(());
        }
        channel.kinds[kind_index(envelope.kind)] += 1;
        let rank = tables::rank(op.header());
        self.order.insert(&tables::order_key(stream.0, &rank), channel.last_sequence)?;
        if rank[..] > channel.last_rank.0[..] {
            channel.newest_is(envelope, &rank);
        }
        Ok(())
    }

    /// True when the message opened the thread.
    fn count_in_thread(
        &mut self,
        stream: StreamId,
        thread: &ThreadId,
        op: &Operation,
        envelope: &Envelope,
        sequence: u64,
    ) -> Result<bool, StoreError> {
        let key = thread_key(stream, thread);
        let rank = tables::rank(op.header());
        self.order.insert(&tables::order_key(key, &rank), sequence)?;
        let known = self.thread(stream, key)?;
        let opened = known.is_none();
        let mut record = known.unwrap_or_else(|| ThreadRecord::new(thread.as_str()));
        if opened || rank[..] < record.root_rank.0[..] {
            record.root_is(envelope, &rank);
        }
        record.messages += 1;
        record.participants += u64::from(self.participates(key, envelope.from.as_str())?);
        if rank[..] > record.last_rank.0[..] {
            if !opened {
                self.leave_recent(stream, &record)?;
            }
            record.newest_is(envelope, &rank);
            self.enter_recent(stream, key, &record)?;
        }
        self.put_thread(stream, key, record);
        Ok(opened)
    }

    pub(crate) fn leave_recent(&mut self, stream: StreamId, record: &ThreadRecord) -> Result<(), StoreError> {
        let key = tables::recent_key(stream, record.last_activity_s, &record.thread_id);
        self.thread_recent.remove(key.as_slice())?;
        Ok(())
    }

    pub(crate) fn enter_recent(
        &mut self,
        stream: StreamId,
        thread: Short,
        record: &ThreadRecord,
    ) -> Result<(), StoreError> {
        let key = tables::recent_key(stream, record.last_activity_s, &record.thread_id);
        self.thread_recent.insert(key.as_slice(), &thread)?;
        Ok(())
    }

    /// Puts a message into the inboxes of the local sessions it is for (N-90, N-97).
    fn deliver(
        &mut self,
        space: SpaceId,
        stream: StreamId,
        envelope: &Envelope,
        local: bool,
        at: At,
    ) -> Result<MessageChange, StoreError> {
        let locals = self.memory.local_peers.get(&stream).cloned().unwrap_or_default();
        let tagged = |name: &str| envelope.ext.as_ref().is_some_and(|ext| ext.contains_key(name));
        let mut change = MessageChange {
            space,
            kind: envelope.kind,
            from: envelope.from.clone(),
            to: envelope.to.clone(),
            local,
            inboxes: Vec::new(),
            workflow: tagged("agh.workflow_id"),
            handoff: tagged("agh.handoff_version"),
        };
        for peer in locals.iter().filter(|local| delivery::is_for(envelope, &local.peer)) {
            self.put_in_inbox(space, &peer.session, at, envelope, local)?;
            change.inboxes.push(peer.session.clone());
        }
        Ok(change)
    }

    /// The effect of a channel's opening: the newest purpose, the oldest creation.
    pub(crate) fn apply_channel(
        &mut self,
        control: &ControlState,
        op: &Operation,
        name: &ChannelName,
        at: At,
    ) -> Result<(), StoreError> {
        let (space, stream) = (control.space(), op.header().stream);
        let key = tables::order_key(stream.0, &tables::rank(op.header()));
        self.openings.insert(&key, rows::write(&at).as_slice())?;
        let channel = self.channel(space, stream)?.unwrap_or_else(|| ChannelRecord::new(name.as_str()));
        self.describe_channel(space, stream, channel)?;
        let (number, at_ms) = (self.space_number(space)?, self.now_ms());
        let data = serde_json::json!({ "channel": name.as_str() }).to_string();
        self.journal(&JournalRecord {
            kind: "channel".to_owned(),
            space: number,
            at_ms,
            place: Vec::new(),
            data,
        })
    }

    /// Purpose and creation of a channel, from the openings that count.
    pub(crate) fn describe_channel(
        &mut self,
        space: SpaceId,
        stream: StreamId,
        mut channel: ChannelRecord,
    ) -> Result<(), StoreError> {
        let ends = {
            let range = tables::order_range(stream.0);
            let mut openings = self.openings.range::<&[u8; 72]>(range.start()..=range.end())?;
            let first =
                openings.next().transpose()?.map(|(_, at)| rows::read::<At>(at.value())).transpose()?;
            let last =
                openings.next_back().transpose()?.map(|(_, at)| rows::read::<At>(at.value())).transpose()?;
            first.map(|first| (first, last.unwrap_or(first)))
        };
        (channel.created_by, channel.created_ms, channel.purpose) = Default::default();
        if let Some((first, last)) = ends {
            let (created, header) = self.opening_at(first)?;
            (channel.created_by, channel.created_ms) = (created.created_by, header.hlc.ms());
            channel.purpose = self.opening_at(last)?.0.purpose;
        }
        self.put_channel(space, stream, channel)
    }

    fn opening_at(&self, at: At) -> Result<(ChannelOpened, Header), StoreError> {
        let op = self.op(at)?;
        let opened = op.body().and_then(|body| cbor::decode(body, limits::BODY_BYTES_MAX).ok());
        let opened = opened.ok_or(StoreError::Damaged("an opening that took effect cannot be read"))?;
        Ok((opened, op.header().clone()))
    }

    pub(crate) fn envelope_at(&self, at: At) -> Result<(Envelope, Operation), StoreError> {
        let op = self.op(at)?;
        let envelope = op.body().and_then(|body| Envelope::parse(body).ok());
        Ok((envelope.ok_or(StoreError::Damaged("a message that took effect cannot be read"))?, op))
    }
}

impl ChannelRecord {
    pub(crate) fn newest_is_none(&mut self) {
        (self.last_rank, self.last_activity_s, self.last_preview) = Default::default();
    }

    pub(crate) fn newest_is(&mut self, envelope: &Envelope, rank: &Rank) {
        self.last_rank = Bytes(rank.to_vec());
        self.last_activity_s = seconds(envelope);
        self.last_preview = envelope.preview();
    }
}

impl ThreadRecord {
    pub(crate) fn root_is(&mut self, envelope: &Envelope, rank: &Rank) {
        self.root_rank = Bytes(rank.to_vec());
        self.root_message_id = envelope.id.as_str().to_owned();
        self.title = envelope.preview();
        self.opened_by = envelope.from.as_str().to_owned();
        self.opened_s = seconds(envelope);
    }

    pub(crate) fn newest_is(&mut self, envelope: &Envelope, rank: &Rank) {
        self.last_rank = Bytes(rank.to_vec());
        self.last_activity_s = seconds(envelope);
        self.last_preview = envelope.preview();
    }
}

pub(crate) fn seconds(envelope: &Envelope) -> u64 {
    u64::try_from(envelope.ts).unwrap_or(0)
}

/// Whether two envelopes with one id are one message sent twice (N-83): all but time and proof.
fn same_message(before: &Envelope, now: &Envelope) -> bool {
    fn content(envelope: &Envelope) -> Map<String, Value> {
        let mut members = envelope.to_members();
        members.remove("ts");
        members.remove("proof");
        members
    }
    content(before) == content(now)
}
