//! Messages of threads and direct rooms, in people's order, and a channel's timeline in that of arrival.

use muster_protocol::{
    identity::NodeId,
    ids::{SpaceId, StreamId},
    mutants::{self, Mutant},
    network::{ChannelName, DirectId, Envelope, Kind, MessageId, PeerName, ThreadId, WorkId},
    operation::Operation,
};

use super::{UnknownCursor, View, WorkspaceRow, network::some};
use crate::{
    StoreError,
    channels::thread_key,
    messages::sender_key,
    rows::{self, TimelineRow},
    tables::{self, Short},
};

/// A message as this node sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageRow {
    /// What it is called in its conversation, and as a cursor: its id, unless an earlier message there has the same.
    pub name: String,
    /// The message.
    pub envelope: Envelope,
    /// Its place in its stream's timeline on this node: dense, from 1, never changed.
    pub sequence: u64,
    /// Whether a session of this node sent it.
    pub local: bool,
    /// The session of this node that sent it, or the first that received it.
    pub session_id: Option<String>,
    /// The node that signed it.
    pub author: NodeId,
    /// The author's time, Unix milliseconds.
    pub at_ms: u64,
}

/// Which messages of a thread or room to read.
#[derive(Debug, Clone, Default)]
pub struct MessagePage {
    /// The ones nearest in front of this message.
    pub before: Option<String>,
    /// The ones following this message.
    pub after: Option<String>,
    /// Of this kind only.
    pub kind: Option<Kind>,
    /// Of this work only.
    pub work: Option<WorkId>,
    /// At most so many.
    pub limit: usize,
}

impl View {
    /// Messages of a thread in people's order: by time, then author (see `ARCHITECTURE.md` on N-110). An
    /// unknown thread has none.
    pub fn thread_messages(
        &self,
        workspace: &WorkspaceRow,
        channel: &ChannelName,
        id: &ThreadId,
        page: &MessagePage,
    ) -> Result<Result<Vec<MessageRow>, UnknownCursor>, StoreError> {
        let stream = StreamId::channel(workspace.space, channel.as_str());
        self.conversation(workspace, stream, thread_key(stream, id), page)
    }

    /// Messages of a direct room in people's order. An unknown room has none.
    pub fn room_messages(
        &self,
        workspace: &WorkspaceRow,
        channel: &ChannelName,
        id: &DirectId,
        page: &MessagePage,
    ) -> Result<Result<Vec<MessageRow>, UnknownCursor>, StoreError> {
        match self.room_stream(workspace, channel, id)? {
            Some(stream) => self.conversation(workspace, stream, stream.0, page),
            None if page.before.is_some() || page.after.is_some() => Ok(Err(UnknownCursor)),
            None => Ok(Ok(Vec::new())),
        }
    }

    /// One page of a conversation that rests in `stream`. Each filter has an order of its own, so a page
    /// costs what it holds, whatever lies between.
    fn conversation(
        &self,
        workspace: &WorkspaceRow,
        stream: StreamId,
        of: Short,
        page: &MessagePage,
    ) -> Result<Result<Vec<MessageRow>, UnknownCursor>, StoreError> {
        let whole = of;
        let of = tables::filtered(of, page.kind.map(Kind::as_str), page.work.as_ref().map(WorkId::as_str));
        let (mut low, high) = tables::order_range(of).into_inner();
        let order = self.txn.open_table(tables::ORDER)?;
        let mut messages = Vec::new();
        if let Some(before) = &page.before {
            let Some(cursor) = self.place_of(workspace, of, before)? else { return Ok(Err(UnknownCursor)) };
            for entry in order.range::<&[u8; 72]>(&low..&cursor)?.rev().take(page.limit) {
                let (key, sequence) = entry?;
                messages.extend(self.called(workspace, whole, key.value(), stream, sequence.value())?);
            }
            messages.reverse();
            return Ok(Ok(messages));
        }
        if let Some(after) = &page.after {
            let Some(cursor) = self.place_of(workspace, of, after)? else { return Ok(Err(UnknownCursor)) };
            low = cursor;
        }
        let seen = usize::from(page.after.is_some()); // the cursor itself
        for entry in order.range::<&[u8; 72]>(&low..=&high)?.skip(seen).take(page.limit) {
            let (key, sequence) = entry?;
            messages.extend(self.called(workspace, whole, key.value(), stream, sequence.value())?);
        }
        Ok(Ok(messages))
    }

    /// A message by its place in an order of the conversation `whole`, with what it is called there.
    fn called(
        &self,
        workspace: &WorkspaceRow,
        whole: Short,
        key: &[u8; 72],
        stream: StreamId,
        sequence: u64,
    ) -> Result<Option<MessageRow>, StoreError> {
        let Some((mut row, op)) = self.message_and_op(stream, sequence)? else { return Ok(None) };
        let mut place = *key;
        place[..16].copy_from_slice(&whole);
        row.name = self.name_of(workspace, &place, row.envelope.id.as_str(), &op)?;
        Ok(Some(row))
    }

    /// Whether a session of this node sent a message under this id (N-83).
    pub fn was_sent(&self, workspace: SpaceId, from: &PeerName, id: &MessageId) -> Result<bool, StoreError> {
        let range = tables::copies_range(self.number(workspace)?, id.as_str(), true, sender_key(from));
        let messages = self.txn.open_table(tables::MESSAGES)?;
        Ok(messages.range::<&[u8; 93]>(range.start()..=range.end())?.next().transpose()?.is_some())
    }

    fn timeline_row(&self, stream: StreamId, sequence: u64) -> Result<Option<TimelineRow>, StoreError> {
        let row = self.txn.open_table(tables::TIMELINE)?.get(&tables::timeline_key(stream, sequence))?;
        row.map(|row| rows::read(row.value())).transpose()
    }

    fn message(&self, stream: StreamId, sequence: u64) -> Result<Option<MessageRow>, StoreError> {
        Ok(self.message_and_op(stream, sequence)?.map(|(row, _)| row))
    }

    fn message_and_op(
        &self,
        stream: StreamId,
        sequence: u64,
    ) -> Result<Option<(MessageRow, Operation)>, StoreError> {
        let Some(row) = self.timeline_row(stream, sequence)? else { return Ok(None) };
        if row.void {
            return Ok(None);
        }
        let op = self.op(row.at)?;
        let Some(envelope) = self.envelope_of(&op)? else { return Ok(None) };
        let author = op.header().author;
        let row = MessageRow {
            name: envelope.id.as_str().to_owned(),
            envelope,
            sequence,
            local: author == self.node,
            session_id: some(row.session),
            author,
            at_ms: op.header().hlc.ms(),
        };
        Ok(Some((row, op)))
    }

    /// A channel's timeline as this node stored it, from `after` on: sequence, message or void.
    pub fn timeline(
        &self,
        workspace: &WorkspaceRow,
        channel: &ChannelName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Option<MessageRow>)>, StoreError> {
        let stream = StreamId::channel(workspace.space, channel.as_str());
        if mutants::is(Mutant::RankAsCursor) && after > 0 {
            let mut places = self.timeline(workspace, channel, 0, usize::MAX)?;
            places.sort_by_key(|(_, row)| row.as_ref().map(|row| row.at_ms));
            let numbered = (1..).zip(places.into_iter().map(|(_, row)| row));
            return Ok(numbered.filter(|(number, _)| *number > after).take(limit).collect());
        }
        let (from, to) =
            (tables::timeline_key(stream, after.saturating_add(1)), tables::timeline_key(stream, u64::MAX));
        let mut places = Vec::new();
        for entry in self.txn.open_table(tables::TIMELINE)?.range::<&[u8; 24]>(&from..=&to)?.take(limit) {
            let mut sequence = [0; 8];
            sequence.copy_from_slice(&entry?.0.value()[16..]);
            let sequence = u64::from_be_bytes(sequence);
            places.push((sequence, self.message(stream, sequence)?));
        }
        Ok(places)
    }
}
