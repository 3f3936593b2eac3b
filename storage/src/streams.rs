//! Streams of the Workspace door, and who takes part in them (W-32 to W-38, W-75 to W-80).

use muster_protocol::{
    cbor::{self, Bytes},
    content::Content,
    control::ControlState,
    ids::{SpaceId, StreamId},
    limits,
    operation::{Draft, Kind, Operation},
    principal::Principal,
    stream::{StreamChanged, StreamKind, StreamPart, TakesPart},
};

use redb::ReadableTable;

use crate::{
    StoreError,
    batch::Batch,
    rows::{At, StreamRecord},
    tables::{self, Subject},
};

/// Which part of a stream a change is about, as a number for [`Subject::Stream`].
pub(crate) fn part_number(part: &StreamPart) -> u8 {
    match part {
        StreamPart::Opened { .. } => OPENED,
        StreamPart::Name(_) => NAME,
        StreamPart::Description(_) => DESCRIPTION,
        StreamPart::Archived(_) => ARCHIVED,
        StreamPart::ActiveActor(_) => ACTIVE_ACTOR,
    }
}

pub(crate) const OPENED: u8 = 1;
pub(crate) const NAME: u8 = 2;
pub(crate) const DESCRIPTION: u8 = 3;
pub(crate) const ARCHIVED: u8 = 4;
pub(crate) const ACTIVE_ACTOR: u8 = 5;

/// What an operation says about a stream.
pub(crate) fn part_of(op: &Operation) -> Option<StreamPart> {
    StreamChanged::decode(op.body()?).ok().map(|changed| changed.part)
}

/// Whether an operation says that somebody takes part.
pub(crate) fn joined_by(op: &Operation) -> bool {
    let takes_part = op.body().and_then(|body| cbor::decode::<TakesPart>(body, limits::BODY_BYTES_MAX).ok());
    takes_part.is_some_and(|takes_part| takes_part.joined)
}

impl Batch<'_> {
    /// Says something about a stream whose root is `root`, in its space. False when this node may not write there.
    pub fn change_stream(
        &mut self,
        space: SpaceId,
        root: StreamId,
        changed: &StreamChanged,
    ) -> Result<bool, StoreError> {
        self.say_in(space, Draft { kind: Kind::STREAM, stream: root, body: changed.encode() })
    }

    /// Says that somebody takes part in a stream, or no longer does. False when this node may not write there.
    pub fn take_part(
        &mut self,
        space: SpaceId,
        stream: StreamId,
        takes_part: &TakesPart,
    ) -> Result<bool, StoreError> {
        self.say_in(space, Draft { kind: Kind::TAKES_PART, stream, body: cbor::encode(takes_part) })
    }

    /// Says something in a space, with its effect. False when this node may not.
    pub(crate) fn say_in(&mut self, space: SpaceId, draft: Draft) -> Result<bool, StoreError> {
        let Some(control) = self.writable_space(space)? else { return Ok(false) };
        let (op, at) = self.append_own(&control, draft)?;
        let content = Content::read(&op, &control);
        let is_taken = !matches!(content, Content::Void(_));
        self.take_effect(&control, &op, content, at)?;
        Ok(is_taken)
    }

    /// The effect of a change of a stream.
    pub(crate) fn apply_stream(
        &mut self,
        control: &ControlState,
        op: &Operation,
        changed: &StreamChanged,
        at: At,
    ) -> Result<(), StoreError> {
        let (space, root) = (control.space(), op.header().stream);
        let stream = changed.stream(root);
        self.say_about(Subject::Stream(stream, part_number(&changed.part)), op, at)?;
        let at_ms = op.header().hlc.ms();
        if changed.thread.is_empty() && !changed.channel.is_empty() {
            self.know_channel(space, root, &changed.channel, at_ms)?;
        } else if !changed.thread.is_empty() {
            self.know_thread(space, root, &changed.channel, &changed.thread, at_ms)?;
            self.review_parent(space, root, &changed.thread)?;
        } else {
            let kind = match &changed.part {
                StreamPart::Opened { kind, .. } => Some(*kind),
                _ => None,
            };
            self.know_stream(space, root, kind, root, ("", ""), at_ms)?;
        }
        self.note_stream(space, stream, "changed")
    }

    /// Takes a change of a stream back.
    pub(crate) fn void_stream(&mut self, op: &Operation) -> Result<(), StoreError> {
        let Some(changed) = op.body().and_then(|body| StreamChanged::decode(body).ok()) else {
            return Ok(());
        };
        let stream = changed.stream(op.header().stream);
        self.unsay_about(Subject::Stream(stream, part_number(&changed.part)), op).map(drop)
    }

    /// The effect of somebody's taking part, or no longer.
    pub(crate) fn apply_takes_part(
        &mut self,
        control: &ControlState,
        op: &Operation,
        principal: Principal,
        at: At,
    ) -> Result<(), StoreError> {
        let stream = op.header().stream;
        self.say_about(Subject::Part(stream, principal), op, at)?;
        self.review_part(control.space(), stream, principal)?;
        self.review_group(control.space())
    }

    /// Takes back that somebody takes part, or no longer.
    pub(crate) fn void_takes_part(
        &mut self,
        control: &ControlState,
        op: &Operation,
    ) -> Result<(), StoreError> {
        let body = op.body().and_then(|body| cbor::decode::<TakesPart>(body, limits::BODY_BYTES_MAX).ok());
        let Some(principal) = body.and_then(|body| body.principal.parse().ok()) else { return Ok(()) };
        let stream = op.header().stream;
        match self.unsay_about(Subject::Part(stream, principal), op)? {
            true => {
                self.review_part(control.space(), stream, principal)?;
                self.review_group(control.space())
            }
            false => Ok(()),
        }
    }

    /// Sets who takes part from what counts. Nobody of this node takes part in a group that it no longer holds.
    pub(crate) fn review_part(
        &mut self,
        space: SpaceId,
        stream: StreamId,
        principal: Principal,
    ) -> Result<(), StoreError> {
        let number = self.space_number(self.workspace_of(space))?;
        let key = tables::part_key(number, principal, stream);
        if let Some(before) = self.parts.remove(&key)?.map(|joined| joined.value()) {
            self.members.remove(&tables::member_key(stream, before, principal))?;
        }
        let newest = self.newest_about(Subject::Part(stream, principal), |_| true)?;
        let is_held = !principal.is_of(self.me()) || self.holds(space)?;
        if let Some(op) = newest.filter(joined_by).filter(|_| is_held) {
            let joined_ms = op.header().hlc.ms();
            self.parts.insert(&key, joined_ms)?;
            self.members.insert(&tables::member_key(stream, joined_ms, principal), ())?;
        }
        self.note_stream(space, stream, "members")
    }

    /// Whether somebody takes part in a stream that is no thread.
    pub(crate) fn takes_part(
        &self,
        workspace: SpaceId,
        root: StreamId,
        principal: Principal,
    ) -> Result<bool, StoreError> {
        let key = tables::part_key(self.space_number(workspace)?, principal, root);
        Ok(self.parts.get(&key)?.is_some())
    }

    /// What was last said about a part of a stream.
    pub(crate) fn stream_part(&self, stream: StreamId, part: u8) -> Result<Option<StreamPart>, StoreError> {
        Ok(self.newest_about(Subject::Stream(stream, part), |_| true)?.as_ref().and_then(part_of))
    }

    pub(crate) fn stream_key(&self, space: SpaceId, stream: StreamId) -> Result<[u8; 20], StoreError> {
        Ok(tables::id_key(self.space_number(self.workspace_of(space))?, stream.0))
    }

    /// Makes sure that a public channel stands among the streams.
    pub(crate) fn know_channel(
        &mut self,
        space: SpaceId,
        stream: StreamId,
        name: &str,
        at_ms: u64,
    ) -> Result<(), StoreError> {
        self.know_stream(space, stream, Some(StreamKind::Channel), stream, (name, ""), at_ms)
    }

    /// Makes sure that a thread stands among the streams.
    pub(crate) fn know_thread(
        &mut self,
        space: SpaceId,
        root: StreamId,
        channel: &str,
        thread: &str,
        at_ms: u64,
    ) -> Result<(), StoreError> {
        let (stream, kind) = (StreamId::thread(root, thread), Some(StreamKind::Thread));
        self.know_stream(space, stream, kind, root, (channel, thread), at_ms)
    }

    /// Makes sure that a private stream stands among the streams.
    pub(crate) fn know_private(
        &mut self,
        space: SpaceId,
        stream: StreamId,
        at_ms: u64,
    ) -> Result<(), StoreError> {
        self.know_stream(space, stream, None, stream, ("", ""), at_ms)
    }

    /// Without a kind it is one that nobody has opened yet, as far as is known.
    fn know_stream(
        &mut self,
        space: SpaceId,
        stream: StreamId,
        kind: Option<StreamKind>,
        root: StreamId,
        (channel, thread): (&str, &str),
        at_ms: u64,
    ) -> Result<(), StoreError> {
        let (key, rests_in) = (self.stream_key(space, stream)?, self.space_number(space)?);
        let number = self.space_number(self.workspace_of(space))?;
        let known = self.stream(&key)?;
        let before = known.as_ref().map(|record| record.opened_ms);
        let mut record = known.unwrap_or_else(|| StreamRecord {
            space: rests_in,
            kind: String::new(),
            root,
            channel: channel.to_owned(),
            thread: thread.to_owned(),
            opened_ms: at_ms,
            last_sequence: 0,
            live: 0,
            parent: Bytes(Vec::new()),
            parent_sequence: 0,
        });
        if let Some(kind) = kind {
            kind.as_str().clone_into(&mut record.kind);
        }
        record.opened_ms = record.opened_ms.min(at_ms);
        if before != Some(record.opened_ms) {
            if let Some(before) = before {
                self.stream_order.remove(&tables::stream_order_key(number, before, stream))?;
            }
            self.stream_order.insert(&tables::stream_order_key(number, record.opened_ms, stream), ())?;
        }
        self.put_stream(key, record);
        Ok(())
    }

    pub(crate) fn note_stream(
        &mut self,
        space: SpaceId,
        stream: StreamId,
        what: &str,
    ) -> Result<(), StoreError> {
        let data = serde_json::json!({ "stream_id": stream_text(stream), "change": what });
        self.note(self.workspace_of(space), "stream", &data)
    }
}

/// A stream's id as people see it (W-8).
pub fn stream_text(stream: StreamId) -> String {
    format!("stream_{}", ulid::Ulid::from_bytes(stream.0))
}
