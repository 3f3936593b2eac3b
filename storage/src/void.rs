//! Taking back what no longer counts: a removal, a change of role or a fork may come after the operations
//! that it concerns.
//!
//! A node that hears of the removal first never lets those operations count. So taking back leaves
//! everything as if they had never counted, but for the sequences: those stay taken, and are void.

use muster_protocol::{
    content::Content,
    control::ControlState,
    ids::{SpaceId, StreamId},
    network::{self, Container, Envelope, ThreadId, delivery},
    operation::{Kind, Operation},
};
use redb::ReadableTable;

use crate::{
    StoreError,
    batch::{Batch, inbox_of},
    channels::{kind_index, thread_key},
    listing::post_of,
    rows::{self, At, ChannelRecord, InboxRecord, LogRow, MessageRecord, TimelineRow},
    tables::{self, Rank, Short},
};

impl Batch<'_> {
    /// Takes back the effect of operations above what counts of a log.
    pub(crate) fn void_between(
        &mut self,
        control: &ControlState,
        row: &LogRow,
        last_good: u64,
        last_applied: u64,
    ) -> Result<(), StoreError> {
        for seq in last_good.saturating_add(1)..=last_applied.min(row.seq) {
            let at = At { log: row.number, seq };
            let op = self.op(at)?;
            self.void_op(control, &op, at)?;
        }
        Ok(())
    }

    /// Takes back the effect of one operation, if it had any.
    pub(crate) fn void_op(
        &mut self,
        control: &ControlState,
        op: &Operation,
        at: At,
    ) -> Result<(), StoreError> {
        let (space, header) = (control.space(), op.header());
        match header.kind {
            Kind::CHANNEL => return self.void_opening(space, op),
            Kind::DIRECT_ROOM => {
                return match Content::read(op, control) {
                    Content::Room(room) => self.void_room(space, op, &room),
                    _ => Ok(()),
                };
            }
            _ => {}
        }
        if let Some(post) = post_of(op) {
            self.unbind_attachments(op, &post.attachments)?;
        }
        let Some(envelope) = self.envelope_of(op) else { return self.void_said(control, op) };
        self.uncount(space, op, &envelope, at)?;
        self.forget_listed(op)
    }

    /// Takes a message back, and lets what its sender sent again under the same id count in its place.
    pub(crate) fn uncount(
        &mut self,
        space: SpaceId,
        op: &Operation,
        envelope: &Envelope,
        at: At,
    ) -> Result<(), StoreError> {
        let header = op.header();
        let key = self.message_key(space, header, envelope)?;
        let record: Option<MessageRecord> =
            self.messages.get(&key)?.map(|row| rows::read(row.value())).transpose()?;
        let Some(record) = record.filter(|record| record.at == at) else { return Ok(()) };
        self.messages.remove(&key)?;
        if record.sequence == 0 {
            return Ok(());
        }
        self.take_back(space, record)?;
        // What its sender sent again under the same id counts in its place.
        if let Some((next, again)) = self.copy_that_counts(space, header, envelope)? {
            let (envelope, op) = self.envelope_at(again.at)?;
            let (sequence, _) = self.count_message(space, &op, &envelope, again.at)?;
            self.put_message(&next, MessageRecord { sequence, ..again })?;
        }
        Ok(())
    }

    fn void_opening(&mut self, space: SpaceId, op: &Operation) -> Result<(), StoreError> {
        let stream = op.header().stream;
        let key = tables::order_key(stream.0, &tables::rank(op.header()));
        let counted = self.openings.remove(&key)?.is_some();
        match self.channel(space, stream)? {
            Some(channel) if counted => self.describe_channel(space, stream, channel),
            _ => Ok(()),
        }
    }

    /// Takes back all that a counted message changed, but for its record.
    pub(crate) fn take_back(&mut self, space: SpaceId, record: MessageRecord) -> Result<(), StoreError> {
        let MessageRecord { at, stream, sequence, .. } = record;
        let (envelope, op) = self.envelope_at(at)?;
        let rank = tables::rank(op.header());
        self.unstep_work(space, &op, &envelope)?;
        let row = TimelineRow { at, void: true, session: String::new() };
        self.timeline.insert(&tables::timeline_key(stream, sequence), rows::write(&row).as_slice())?;
        let workspace = self.workspace_of(space);
        self.leave_inboxes(workspace, &envelope, at)?;
        let public = StreamId::channel(workspace, envelope.channel.as_str());
        let channel = self.channel(workspace, public)?;
        let mut channel =
            channel.ok_or(StoreError::Damaged("a message counts in a channel that is not there"))?;
        self.uncount_in_channel(&mut channel, public, &envelope)?;
        match &envelope.container {
            Some(Container::Direct(room)) => {
                let gone = self.uncount_in_room(space, room, &op, &envelope)?;
                channel.rooms = channel.rooms.saturating_sub(u64::from(gone));
            }
            None if envelope.to.is_some() => {}
            container => {
                if !envelope.is_directed() && envelope.kind != network::Kind::Greet {
                    self.uncount_in_public(&mut channel, public, &envelope, &rank)?;
                }
                if let Some(Container::Thread(thread)) = container {
                    let gone = self.uncount_in_thread(public, thread, &envelope, &rank)?;
                    channel.threads = channel.threads.saturating_sub(u64::from(gone));
                }
                self.unlist_message(public, &op, &envelope)?;
            }
        }
        self.put_channel(workspace, public, channel)
    }

    fn uncount_in_channel(
        &mut self,
        channel: &mut ChannelRecord,
        stream: StreamId,
        envelope: &Envelope,
    ) -> Result<(), StoreError> {
        channel.messages = channel.messages.saturating_sub(1);
        for peer in [Some(&envelope.from), envelope.to.as_ref()].into_iter().flatten() {
            let gone = self.participates_less(stream.0, peer.as_str())?;
            channel.participants = channel.participants.saturating_sub(u64::from(gone));
        }
        Ok(())
    }

    fn uncount_in_public(
        &mut self,
        channel: &mut ChannelRecord,
        stream: StreamId,
        envelope: &Envelope,
        rank: &Rank,
    ) -> Result<(), StoreError> {
        let count = &mut channel.kinds[kind_index(envelope.kind)];
        *count = count.saturating_sub(1);
        self.order.remove(&tables::order_key(stream.0, rank))?;
        if rank[..] == channel.last_rank.0[..] {
            channel.newest_is_none();
            if let Some((_, last)) = self.ends(stream.0)? {
                let (newest, op) = self.message_at(stream, last)?;
                channel.newest_is(&newest, &tables::rank(op.header()));
            }
        }
        Ok(())
    }

    /// True when the thread has no message left.
    fn uncount_in_thread(
        &mut self,
        stream: StreamId,
        thread: &ThreadId,
        envelope: &Envelope,
        rank: &Rank,
    ) -> Result<bool, StoreError> {
        let key = thread_key(stream, thread);
        self.leave_order(key, rank, envelope)?;
        let record = self.thread(stream, key)?;
        let mut record =
            record.ok_or(StoreError::Damaged("a message counts in a thread that is not there"))?;
        record.messages -= 1;
        let gone = self.participates_less(key, envelope.from.as_str())?;
        record.participants = record.participants.saturating_sub(u64::from(gone));
        self.leave_recent(stream, &record)?;
        let ends = self.ends(key)?;
        if let Some((first, last)) = ends {
            let (root, op) = self.message_at(stream, first)?;
            record.root_is(&root, &tables::rank(op.header()));
            let (newest, op) = self.message_at(stream, last)?;
            record.newest_is(&newest, &tables::rank(op.header()));
            self.enter_recent(stream, key, &record)?;
        }
        self.put_thread(stream, key, record);
        Ok(ends.is_none())
    }

    /// Sequences of the first and the last message of a thread or channel.
    pub(crate) fn ends(&self, of: Short) -> Result<Option<(u64, u64)>, StoreError> {
        let range = tables::order_range(of);
        let mut order = self.order.range::<&[u8; 72]>(range.start()..=range.end())?;
        let first = order.next().transpose()?.map(|(_, sequence)| sequence.value());
        let last = order.next_back().transpose()?.map(|(_, sequence)| sequence.value());
        Ok(first.map(|first| (first, last.unwrap_or(first))))
    }

    pub(crate) fn message_at(
        &self,
        stream: StreamId,
        sequence: u64,
    ) -> Result<(Envelope, Operation), StoreError> {
        let row = self.timeline.get(&tables::timeline_key(stream, sequence))?;
        let row = row.ok_or(StoreError::Damaged("a message is not in its timeline"))?;
        self.envelope_at(rows::read::<TimelineRow>(row.value())?.at)
    }

    fn leave_inboxes(&mut self, workspace: SpaceId, envelope: &Envelope, at: At) -> Result<(), StoreError> {
        let locals = self.local_peers(workspace, &envelope.channel);
        for local in locals.iter().filter(|local| delivery::is_for(envelope, &local.peer)) {
            let Some(mut record) = self.session(workspace, &local.session)? else { continue };
            let Some(key) = self.inbox_entry(&local.session, at)? else { continue };
            self.inbox.remove(&key)?;
            if record.in_hand == Some(tables::inbox_number(&key)) {
                record.in_hand = None;
            } else {
                record.inbox_waiting = record.inbox_waiting.saturating_sub(1);
            }
            self.put_session(workspace, record)?;
        }
        Ok(())
    }

    /// Where an envelope waits for a session. Inboxes are short (N-97).
    fn inbox_entry(&self, session: &str, at: At) -> Result<Option<[u8; 24]>, StoreError> {
        let inbox = inbox_of(session);
        let (from, to) = (tables::inbox_key(inbox, 0), tables::inbox_key(inbox, u64::MAX));
        for entry in self.inbox.range::<&[u8; 24]>(&from..=&to)? {
            let (key, row) = entry?;
            if rows::read::<InboxRecord>(row.value())?.at == at {
                return Ok(Some(*key.value()));
            }
        }
        Ok(None)
    }
}
