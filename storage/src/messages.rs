//! Messages: sending them, and what they change in the tables people read from.

use std::ops::RangeInclusive;

use muster_protocol::{
    content,
    control::ControlState,
    identity::NodeId,
    ids::{SpaceId, StreamId},
    mutants::{self, Mutant},
    network::{
        ChannelName, Container, Envelope, Kind, PeerName, Rejection, WorkRefusal, delivery,
        freshness::Staleness,
    },
    operation::{self, Draft, Header, Operation},
    session,
};
use redb::ReadableTable;
use serde_json::{Map, Value};

use crate::{
    StoreError,
    batch::{Batch, LocalPeer},
    changes::{MessageChange, PresenceChange},
    rows::{self, At, ChannelRecord, JournalRecord, MessageRecord, TimelineRow},
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
    /// The rules of work forbid it (N-43 to N-48); nothing was changed.
    Work(WorkRefusal),
}

pub(crate) fn sender_key(from: &PeerName) -> Short {
    tables::short(b"sender", from.as_str())
}

impl Batch<'_> {
    /// Stores a message of a local session, signed as the next operation of our log: in the space of the
    /// workspace, or, when it is only for a peer of node `to`, in the pair space with that node. Its id decides
    /// whether it was sent before. `json` is the envelope, at most 1 MiB.
    pub fn send(
        &mut self,
        workspace: SpaceId,
        to: Option<NodeId>,
        envelope: &Envelope,
        json: Vec<u8>,
    ) -> Result<SendOutcome, StoreError> {
        if !self.may_write(workspace) {
            return Ok(SendOutcome::NotAllowed);
        }
        if let Some(outcome) = self.sent_before(workspace, envelope)? {
            return Ok(outcome);
        }
        let space = to.map_or(workspace, |node| SpaceId::pair(workspace, self.me(), node));
        if let Err(refusal) = self.judge_next(workspace, space, envelope)? {
            return Ok(SendOutcome::Work(refusal));
        }
        if let Some(node) = to {
            self.begin_pair(workspace, node)?;
        }
        let Some(control) = self.control_state(space) else { return Ok(SendOutcome::NotAllowed) };
        let sequence = self.say(&control, envelope, json)?;
        Ok(SendOutcome::Stored { sequence })
    }

    /// Signs and stores a message that nothing speaks against; its place in its stream's timeline.
    pub(crate) fn say(
        &mut self,
        control: &ControlState,
        envelope: &Envelope,
        json: Vec<u8>,
    ) -> Result<u64, StoreError> {
        let stream = stream_of(control.space(), envelope);
        let (op, at) =
            self.append_own(control, Draft { kind: operation::Kind::ENVELOPE, stream, body: json })?;
        self.apply_envelope(control, &op, envelope, at)?;
        let key = self.message_key(control.space(), op.header(), envelope)?;
        let record =
            self.messages.get(&key)?.map(|row| rows::read::<MessageRecord>(row.value())).transpose()?;
        Ok(record.map_or(0, |record| record.sequence))
    }

    /// What was sent before under the id of a message that a session of this node wants to send.
    pub(crate) fn sent_before(
        &mut self,
        workspace: SpaceId,
        envelope: &Envelope,
    ) -> Result<Option<SendOutcome>, StoreError> {
        if mutants::is(Mutant::ForgetfulRetry) {
            return Ok(None);
        }
        let (number, id) = (self.space_number(workspace)?, envelope.id.as_str());
        let own = tables::copies_range(number, id, true, sender_key(&envelope.from));
        if let Some((_, record)) = self.first_message(own)? {
            let same = same_message(&self.envelope_at(record.at)?.0, envelope);
            return Ok(Some(if same { SendOutcome::Repeated } else { SendOutcome::Conflict }));
        }
        // Local ones come first. A stranger's id is no conflict: nobody can burn the ids of others (N-89).
        let any = self.first_message(tables::message_range(number, id))?;
        let other_session = any.is_some_and(|(key, _)| tables::message_is_local(&key));
        Ok(other_session.then_some(SendOutcome::Conflict))
    }

    fn first_message(
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
        let (number, local) = (self.space_number(self.workspace_of(space))?, header.author == self.me());
        let rank = tables::rank(header);
        Ok(tables::message_key(number, envelope.id.as_str(), local, sender_key(&envelope.from), &rank))
    }

    /// The copy that counts of all that the sender sent under the id of this one, in this space. What it sent to one
    /// peer alone says nothing about what it said to all: others cannot know of it.
    pub(crate) fn copy_that_counts(
        &self,
        space: SpaceId,
        header: &Header,
        envelope: &Envelope,
    ) -> Result<Option<([u8; 93], MessageRecord)>, StoreError> {
        let (workspace, space) = (self.space_number(self.workspace_of(space))?, self.space_number(space)?);
        let local = header.author == self.me();
        let range = tables::copies_range(workspace, envelope.id.as_str(), local, sender_key(&envelope.from));
        for entry in self.messages.range::<&[u8; 93]>(range.start()..=range.end())? {
            let (key, row) = entry?;
            let record: MessageRecord = rows::read(row.value())?;
            if record.space == space {
                return Ok(Some((*key.value(), record)));
            }
        }
        Ok(None)
    }

    pub(crate) fn put_message(&mut self, key: &[u8; 93], record: MessageRecord) -> Result<(), StoreError> {
        self.messages.insert(key, rows::write(&record).as_slice())?;
        Ok(())
    }

    /// The effect of a message: its place in the timeline, counters, work, inboxes, the event. A sender's second
    /// message under one id has none (N-83); which one is second is for people's order to say, not for arrival.
    pub(crate) fn apply_envelope(
        &mut self,
        control: &ControlState,
        op: &Operation,
        envelope: &Envelope,
        at: At,
    ) -> Result<(), StoreError> {
        let (space, stream) = (control.space(), op.header().stream);
        let number = self.space_number(space)?;
        let key = self.message_key(space, op.header(), envelope)?;
        match self.copy_that_counts(space, op.header(), envelope)? {
            Some((first, _)) if first < key => {
                self.put_message(&key, MessageRecord { at, space: number, stream, sequence: 0 })?;
                return self.reject(space, op, envelope, &Rejection::Duplicate);
            }
            Some((second, record)) => {
                self.take_back(space, record)?;
                self.put_message(&second, MessageRecord { sequence: 0, ..record })?;
            }
            None => {}
        }
        let (sequence, rejection) = self.count_message(space, op, envelope, at)?;
        self.put_message(&key, MessageRecord { at, space: number, stream, sequence })?;
        match rejection {
            Some(rejection) => self.reject(space, op, envelope, &rejection),
            None => Ok(()),
        }
    }

    /// Lets a message count; answers with its place in the timeline, and with why it was not delivered to the peer
    /// it is for, if it was not.
    pub(crate) fn count_message(
        &mut self,
        space: SpaceId,
        op: &Operation,
        envelope: &Envelope,
        at: At,
    ) -> Result<(u64, Option<Rejection>), StoreError> {
        let workspace = self.workspace_of(space);
        let (stream, public) = (op.header().stream, StreamId::channel(workspace, envelope.channel.as_str()));
        let mut channel =
            self.channel(workspace, public)?.unwrap_or_else(|| ChannelRecord::new(envelope.channel.as_str()));
        self.count_in_channel(&mut channel, public, envelope)?;
        let sequence = match &envelope.container {
            Some(Container::Direct(room)) => {
                let (sequence, opened) = self.count_in_room(space, room, op, envelope)?;
                channel.rooms += u64::from(opened);
                sequence
            }
            None if envelope.to.is_some() => {
                let mut asides = self
                    .channel(space, stream)?
                    .unwrap_or_else(|| ChannelRecord::new(envelope.channel.as_str()));
                asides.last_sequence += 1;
                let sequence = asides.last_sequence;
                self.put_channel(space, stream, asides)?;
                sequence
            }
            container => {
                channel.last_sequence += 1;
                let sequence = channel.last_sequence;
                if !envelope.is_directed() && envelope.kind != Kind::Greet {
                    self.count_in_public(&mut channel, stream, op, envelope)?;
                }
                if let Some(Container::Thread(thread)) = container {
                    let opened = self.count_in_thread(stream, thread, op, envelope, sequence)?;
                    channel.threads += u64::from(opened);
                }
                sequence
            }
        };
        self.put_channel(workspace, public, channel)?;

        let verdict = self.step_work(space, op, envelope, at)?;
        let local = op.header().author == self.me();
        let (change, rejection) = self.deliver(workspace, envelope, local, verdict, at)?;
        let session = if local {
            session::session_of(&envelope.from).unwrap_or_default().to_owned()
        } else {
            change.inboxes.first().cloned().unwrap_or_default()
        };
        let row = TimelineRow { at, void: false, session };
        self.timeline.insert(&tables::timeline_key(stream, sequence), rows::write(&row).as_slice())?;
        if space == workspace {
            self.list_message(stream, op, envelope, at, sequence)?;
        }
        let (number, at_ms) = (self.space_number(space)?, self.now_ms());
        self.journal(&JournalRecord {
            kind: "message".to_owned(),
            space: number,
            at_ms,
            place: vec![at],
            data: String::new(),
        })?;
        if !envelope.kind.is_conversation() {
            let author = op.header().author;
            self.changes.presence.push(PresenceChange { workspace, author, envelope: envelope.clone() });
        }
        self.changes.messages.push(change);
        Ok((sequence, rejection))
    }

    /// Puts a message into the inboxes of the local sessions it is for (N-90, N-97), unless it has expired (N-15)
    /// or the rules of its work refuse it. A receipt answers for one message, not for the work, and is delivered also
    /// when the work has ended.
    fn deliver(
        &mut self,
        workspace: SpaceId,
        envelope: &Envelope,
        local: bool,
        verdict: Result<(), WorkRefusal>,
        at: At,
    ) -> Result<(MessageChange, Option<Rejection>), StoreError> {
        let tagged = |name: &str| envelope.ext.as_ref().is_some_and(|ext| ext.contains_key(name));
        let mut change = MessageChange {
            space: workspace,
            kind: envelope.kind,
            from: envelope.from.clone(),
            to: envelope.to.clone(),
            local,
            inboxes: Vec::new(),
            workflow: tagged("agh.workflow_id"),
            handoff: tagged("agh.handoff_version"),
        };
        let closes = |refusal: &WorkRefusal| {
            matches!(refusal, WorkRefusal::Closed { .. } | WorkRefusal::ContainerMismatch { .. })
        };
        let rejection = match verdict {
            Err(refusal) if !(envelope.kind == Kind::Receipt && closes(&refusal)) => {
                Some(Rejection::Work(refusal))
            }
            _ if envelope.expires_at.is_some_and(|end| end <= self.now_s()) => {
                Some(Rejection::Refused(Staleness::Expired.into()))
            }
            _ => None,
        };
        if rejection.is_some() {
            return Ok((change, rejection));
        }
        for peer in self.local_peers(workspace, &envelope.channel) {
            if !delivery::is_for(envelope, &peer.peer) {
                continue;
            }
            self.put_in_inbox(workspace, &peer.session, at, envelope, local)?;
            change.inboxes.push(peer.session);
        }
        // A session of ours that is not there any more, or never was in this channel.
        let ours = |to: &&PeerName| session::may_speak_as(self.me(), to) && delivery::is_for(envelope, to);
        let missed = change.inboxes.is_empty() && envelope.to.as_ref().is_some_and(|to| ours(&to));
        Ok((change, missed.then_some(Rejection::NotTarget)))
    }

    /// The sessions of this node that are in a channel.
    pub(crate) fn local_peers(&self, workspace: SpaceId, channel: &ChannelName) -> Vec<LocalPeer> {
        let stream = StreamId::channel(workspace, channel.as_str());
        self.memory.local_peers.get(&stream).cloned().unwrap_or_default()
    }

    /// The message of the Network door that an operation is or shows as, as it was first said.
    pub(crate) fn envelope_of(&self, op: &Operation) -> Option<Envelope> {
        let control = self.control_state(op.header().space)?;
        content::envelope_of(op, &control)
    }

    pub(crate) fn envelope_at(&self, at: At) -> Result<(Envelope, Operation), StoreError> {
        let op = self.op(at)?;
        let envelope = self.envelope_of(&op);
        Ok((envelope.ok_or(StoreError::Damaged("a message that took effect cannot be read"))?, op))
    }
}

pub(crate) fn seconds(envelope: &Envelope) -> u64 {
    u64::try_from(envelope.ts).unwrap_or(0)
}

/// The stream of a space in which a message stands.
fn stream_of(space: SpaceId, envelope: &Envelope) -> StreamId {
    match &envelope.container {
        Some(Container::Direct(room)) => StreamId::direct_room(space, room.as_str()),
        _ => StreamId::channel(space, envelope.channel.as_str()),
    }
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
