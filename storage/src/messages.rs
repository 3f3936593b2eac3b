//! Messages: sending them, and what they change in the tables people read from.

use muster_protocol::{
    cbor::{Bytes16, Bytes32},
    content::ChannelOpened,
    control::{ControlState, Role},
    ids::{SpaceId, StreamId},
    network::{ChannelName, Container, Envelope, Kind, ThreadId, delivery},
    operation::{self, Draft, Operation},
};
use redb::ReadableTable;
use serde_json::{Map, Value};

use crate::{
    StoreError,
    batch::Batch,
    changes::MessageChange,
    rows::{self, At, ChannelRecord, JournalRecord, MessageRecord, ThreadRecord, TimelineRow},
    tables::{self, Short},
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

fn kind_index(kind: Kind) -> usize {
    KIND_ORDER.iter().position(|known| *known == kind).expect("all kinds stand in the order of N-115")
}

pub(crate) fn thread_key(stream: StreamId, thread: &ThreadId) -> Short {
    tables::short(&stream.0, thread.as_str())
}

fn sender_key(peer: &str) -> Bytes16 {
    Bytes16(tables::short(b"sender", peer))
}

pub(crate) fn message_key(space: u32, id: &str) -> [u8; 20] {
    tables::named_key(space, tables::short(b"message", id))
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

    fn sent_before(
        &mut self,
        space: SpaceId,
        envelope: &Envelope,
    ) -> Result<Option<SendOutcome>, StoreError> {
        let number = self.space_number(space)?;
        let taken = self.message_records(number, envelope.id.as_str())?;
        let sender = sender_key(envelope.from.as_str());
        for record in &taken {
            let Some(at) = self.timeline_at(record.stream, record.sequence)? else { continue };
            let stored = self.op(at)?;
            let Some(before) = stored.body().and_then(|body| Envelope::parse(body).ok()) else { continue };
            if record.sender == sender {
                let same = same_message(&before, envelope);
                return Ok(Some(if same { SendOutcome::Repeated } else { SendOutcome::Conflict }));
            }
            if stored.header().author == self.me() {
                return Ok(Some(SendOutcome::Conflict)); // another session of this node
            }
        }
        Ok(None)
    }

    fn message_records(&self, space: u32, id: &str) -> Result<Vec<MessageRecord>, StoreError> {
        let row = self.messages.get(&message_key(space, id))?;
        row.map_or(Ok(Vec::new()), |row| rows::read(row.value()))
    }

    fn timeline_at(&self, stream: StreamId, sequence: u64) -> Result<Option<At>, StoreError> {
        let row = self.timeline.get(&tables::timeline_key(stream, sequence))?;
        row.map(|row| rows::read::<TimelineRow>(row.value()).map(|row| row.at)).transpose()
    }

    /// The effect of a message: its place in the timeline, counters, inboxes, the event.
    pub(crate) fn apply_envelope(
        &mut self,
        control: &ControlState,
        op: &Operation,
        envelope: &Envelope,
        at: At,
    ) -> Result<(), StoreError> {
        let (space, stream) = (control.space(), op.header().stream);
        let number = self.space_number(space)?;
        let mut channel =
            self.channel(space, stream)?.unwrap_or_else(|| ChannelRecord::new(envelope.channel.as_str()));
        channel.last_sequence += 1;
        let sequence = channel.last_sequence;

        let mut taken = self.message_records(number, envelope.id.as_str())?;
        let sender = sender_key(envelope.from.as_str());
        let repeated = taken.iter().any(|record| record.sender == sender);
        let local = op.header().author == self.me();
        let change = if repeated { None } else { Some(self.deliver(space, stream, envelope, local, at)?) };

        let session = match &change {
            Some(_) if local => {
                muster_protocol::session::session_of(&envelope.from).unwrap_or_default().to_owned()
            }
            Some(change) => change.inboxes.first().cloned().unwrap_or_default(),
            None => String::new(),
        };
        let row = TimelineRow { at, void: repeated, session };
        self.timeline.insert(&tables::timeline_key(stream, sequence), rows::write(&row).as_slice())?;
        let Some(change) = change else { return self.put_channel(space, stream, channel) };

        taken.push(MessageRecord { sender, stream, sequence });
        self.messages.insert(&message_key(number, envelope.id.as_str()), rows::write(&taken).as_slice())?;
        self.count_in_channel(&mut channel, stream, op, envelope)?;
        if let Some(Container::Thread(thread)) = &envelope.container {
            let opened = self.count_in_thread(stream, thread, op, envelope, sequence)?;
            channel.threads += u64::from(opened);
        }
        self.put_channel(space, stream, channel)?;
        let at_ms = self.now_ms();
        self.journal(&JournalRecord {
            kind: "message".to_owned(),
            space: number,
            at_ms,
            place: vec![at],
            data: String::new(),
        })?;
        self.changes.messages.push(change);
        Ok(())
    }

    fn count_in_channel(
        &mut self,
        channel: &mut ChannelRecord,
        stream: StreamId,
        op: &Operation,
        envelope: &Envelope,
    ) -> Result<(), StoreError> {
        for peer in [Some(&envelope.from), envelope.to.as_ref()].into_iter().flatten() {
            channel.participants += u64::from(self.participates(stream.0, peer.as_str())?);
        }
        if envelope.is_directed() {
            return Ok(());
        }
        channel.kinds[kind_index(envelope.kind)] += 1;
        if op.header().hlc >= channel.last_hlc {
            channel.last_hlc = op.header().hlc;
            channel.last_activity_s = seconds(envelope);
            channel.last_preview = envelope.preview();
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
        let header = op.header();
        let order = tables::order_key(key, header.hlc, header.author, header.incarnation, header.seq);
        self.thread_order.insert(&order, sequence)?;
        let known = self.thread(stream, key)?;
        let opened = known.is_none();
        let mut record = known.unwrap_or_else(|| ThreadRecord {
            thread_id: thread.as_str().to_owned(),
            root_message_id: String::new(),
            root_hlc: muster_protocol::clock::Hlc(u64::MAX),
            root_author: Bytes32([0xff; 32]),
            title: String::new(),
            opened_by: String::new(),
            opened_s: 0,
            messages: 0,
            participants: 0,
            last_activity_s: 0,
            last_preview: String::new(),
            last_hlc: muster_protocol::clock::Hlc(0),
        });
        let author = Bytes32(*header.author.as_bytes());
        if (header.hlc, author) < (record.root_hlc, record.root_author) {
            (record.root_hlc, record.root_author) = (header.hlc, author);
            record.root_message_id = envelope.id.as_str().to_owned();
            record.title = envelope.preview();
            record.opened_by = envelope.from.as_str().to_owned();
            record.opened_s = seconds(envelope);
        }
        record.messages += 1;
        record.participants += u64::from(self.participates(key, envelope.from.as_str())?);
        if header.hlc >= record.last_hlc {
            record.last_hlc = header.hlc;
            record.last_preview = envelope.preview();
            let active_s = seconds(envelope);
            self.move_recent(stream, key, &record, active_s, opened)?;
            record.last_activity_s = active_s;
        }
        self.put_thread(stream, key, record);
        Ok(opened)
    }

    fn move_recent(
        &mut self,
        stream: StreamId,
        key: Short,
        record: &ThreadRecord,
        active_s: u64,
        opened: bool,
    ) -> Result<(), StoreError> {
        if !opened && record.last_activity_s == active_s {
            return Ok(());
        }
        if !opened {
            let old = tables::recent_key(stream, record.last_activity_s, &record.thread_id);
            self.thread_recent.remove(old.as_slice())?;
        }
        self.thread_recent
            .insert(tables::recent_key(stream, active_s, &record.thread_id).as_slice(), &key)?;
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
            overflows: Vec::new(),
            workflow: tagged("agh.workflow_id"),
            handoff: tagged("agh.handoff_version"),
        };
        for peer in locals.iter().filter(|local| delivery::is_for(envelope, &local.peer)) {
            let expires_s = envelope.expires_at.unwrap_or(0);
            if self.put_in_inbox(space, &peer.session, at, expires_s)? {
                change.overflows.push(peer.session.clone());
            }
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
        opened: ChannelOpened,
    ) -> Result<(), StoreError> {
        let (space, stream) = (control.space(), op.header().stream);
        let mut channel = self.channel(space, stream)?.unwrap_or_else(|| ChannelRecord::new(name.as_str()));
        let header = op.header();
        let author = Bytes32(*header.author.as_bytes());
        if (header.hlc, author) >= (channel.purpose_hlc, channel.purpose_author) {
            (channel.purpose_hlc, channel.purpose_author) = (header.hlc, author);
            channel.purpose = opened.purpose;
        }
        if header.hlc < channel.created_hlc {
            channel.created_hlc = header.hlc;
            channel.created_by = opened.created_by;
            channel.created_ms = header.hlc.ms();
        }
        self.put_channel(space, stream, channel)?;
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

    /// Takes back the effect of a message whose operation no longer counts. Its sequence stays its own.
    pub(crate) fn void_op(
        &mut self,
        control: &ControlState,
        op: &Operation,
        at: At,
    ) -> Result<(), StoreError> {
        let Some(envelope) = op.body().and_then(|body| Envelope::parse(body).ok()) else { return Ok(()) };
        let (space, stream, header) = (control.space(), op.header().stream, op.header());
        let number = self.space_number(space)?;
        let taken = self.message_records(number, envelope.id.as_str())?;
        let mut sequence = None;
        for record in &taken {
            if self.timeline_at(record.stream, record.sequence)? == Some(at) {
                sequence = Some(record.sequence);
            }
        }
        let Some(sequence) = sequence else { return Ok(()) }; // it had no effect
        let row = TimelineRow { at, void: true, session: String::new() };
        self.timeline.insert(&tables::timeline_key(stream, sequence), rows::write(&row).as_slice())?;
        let left: Vec<_> = taken.into_iter().filter(|record| record.sequence != sequence).collect();
        self.messages.insert(&message_key(number, envelope.id.as_str()), rows::write(&left).as_slice())?;
        if let Some(mut channel) = self.channel(space, stream)?
            && !envelope.is_directed()
        {
            let count = &mut channel.kinds[kind_index(envelope.kind)];
            *count = count.saturating_sub(1);
            self.put_channel(space, stream, channel)?;
        }
        if let Some(Container::Thread(thread)) = &envelope.container {
            let key = thread_key(stream, thread);
            let order = tables::order_key(key, header.hlc, header.author, header.incarnation, header.seq);
            self.thread_order.remove(&order)?;
            self.recount_thread(space, stream, key)?;
        }
        Ok(())
    }

    /// Root and newest message of a thread that lost one; a thread without messages is gone.
    fn recount_thread(&mut self, space: SpaceId, stream: StreamId, key: Short) -> Result<(), StoreError> {
        let Some(mut record) = self.thread(stream, key)? else { return Ok(()) };
        record.messages = record.messages.saturating_sub(1);
        let (from, to) = ([&key[..], &[0; 56]].concat(), [&key[..], &[0xff; 56]].concat());
        let (from, to): ([u8; 72], [u8; 72]) = match (from.try_into(), to.try_into()) {
            (Ok(from), Ok(to)) => (from, to),
            _ => return Err(StoreError::Damaged("a thread key has another length than it was made with")),
        };
        let ends = {
            let mut range = self.thread_order.range::<&[u8; 72]>(&from..=&to)?;
            let first = range.next().transpose()?.map(|(_, sequence)| sequence.value());
            let last = range.next_back().transpose()?.map(|(_, sequence)| sequence.value());
            first.map(|first| (first, last.unwrap_or(first)))
        };
        let old = tables::recent_key(stream, record.last_activity_s, &record.thread_id);
        self.thread_recent.remove(old.as_slice())?;
        if let Some((first, last)) = ends {
            let (root, root_op) = self.message_at(stream, first)?;
            record.root_message_id = root.id.as_str().to_owned();
            (record.root_hlc, record.root_author) =
                (root_op.header().hlc, Bytes32(*root_op.header().author.as_bytes()));
            record.title = root.preview();
            record.opened_by = root.from.as_str().to_owned();
            record.opened_s = seconds(&root);
            let (newest, newest_op) = self.message_at(stream, last)?;
            record.last_hlc = newest_op.header().hlc;
            record.last_activity_s = seconds(&newest);
            record.last_preview = newest.preview();
            let recent = tables::recent_key(stream, record.last_activity_s, &record.thread_id);
            self.thread_recent.insert(recent.as_slice(), &key)?;
        } else if let Some(mut channel) = self.channel(space, stream)? {
            channel.threads = channel.threads.saturating_sub(1);
            self.put_channel(space, stream, channel)?;
        }
        self.put_thread(stream, key, record);
        Ok(())
    }

    fn message_at(&self, stream: StreamId, sequence: u64) -> Result<(Envelope, Operation), StoreError> {
        let at = self
            .timeline_at(stream, sequence)?
            .ok_or(StoreError::Damaged("a message is not in its timeline"))?;
        let op = self.op(at)?;
        let envelope = op.body().and_then(|body| Envelope::parse(body).ok());
        Ok((envelope.ok_or(StoreError::Damaged("a message that took effect cannot be read"))?, op))
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
