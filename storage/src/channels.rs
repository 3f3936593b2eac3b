//! Channels and their threads: opening, and counting what is said in them (N-29, N-105, N-112 to N-119).

use muster_protocol::{
    cbor::{self, Bytes},
    content::{ChannelOpened, Content},
    control::ControlState,
    ids::{SpaceId, StreamId},
    limits,
    network::{ChannelName, Envelope, Kind, ThreadId},
    operation::{self, Draft, Header, Operation},
};
use redb::ReadableTable;

use crate::{
    StoreError,
    batch::Batch,
    messages::seconds,
    rows::{self, At, ChannelRecord, JournalRecord, ThreadRecord},
    tables::{self, Rank, Short},
};

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

/// The orders that a message of a conversation stands in.
pub(crate) fn orders(of: Short, envelope: &Envelope) -> impl Iterator<Item = Short> {
    let (kind, work) = (Some(envelope.kind.as_str()), envelope.work_id.as_ref().map(|work| work.as_str()));
    let of_work =
        work.map(|work| [tables::filtered(of, None, Some(work)), tables::filtered(of, kind, Some(work))]);
    [of, tables::filtered(of, kind, None)].into_iter().chain(of_work.into_iter().flatten())
}

impl Batch<'_> {
    /// Opens a channel, or replaces its purpose, for everybody (N-117, N-119). False when this node may not write.
    pub fn open_channel(&mut self, space: SpaceId, opened: &ChannelOpened) -> Result<bool, StoreError> {
        let Some(control) = self.control_state(space).filter(|_| self.may_write(space)) else {
            return Ok(false);
        };
        let stream = StreamId::channel(space, &opened.name);
        let body = cbor::encode(opened);
        let (op, at) = self.append_own(&control, Draft { kind: operation::Kind::CHANNEL, stream, body })?;
        let content = Content::read(&op, &control);
        self.take_effect(&control, &op, content, at)?;
        Ok(true)
    }

    /// Counts any message of a channel, that of a room, too (N-114).
    pub(crate) fn count_in_channel(
        &mut self,
        channel: &mut ChannelRecord,
        stream: StreamId,
        envelope: &Envelope,
    ) -> Result<(), StoreError> {
        channel.messages += 1;
        for peer in [Some(&envelope.from), envelope.to.as_ref()].into_iter().flatten() {
            channel.participants += u64::from(self.participates(stream.0, peer.as_str())?);
        }
        Ok(())
    }

    /// Counts a public message.
    pub(crate) fn count_in_public(
        &mut self,
        channel: &mut ChannelRecord,
        stream: StreamId,
        op: &Operation,
        envelope: &Envelope,
    ) -> Result<(), StoreError> {
        channel.kinds[kind_index(envelope.kind)] += 1;
        let rank = tables::rank(op.header());
        self.order.insert(&tables::order_key(stream.0, &rank), channel.last_sequence)?;
        if rank[..] > channel.last_rank.0[..] {
            channel.newest_is(envelope, &rank);
        }
        Ok(())
    }

    /// True when the message opened the thread.
    pub(crate) fn count_in_thread(
        &mut self,
        stream: StreamId,
        thread: &ThreadId,
        op: &Operation,
        envelope: &Envelope,
        sequence: u64,
    ) -> Result<bool, StoreError> {
        let key = thread_key(stream, thread);
        let rank = tables::rank(op.header());
        self.enter_order(key, &rank, envelope, sequence)?;
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

    /// Puts a message into the order of its conversation, and into that of each filter that keeps it (N-109).
    pub(crate) fn enter_order(
        &mut self,
        of: Short,
        rank: &Rank,
        envelope: &Envelope,
        sequence: u64,
    ) -> Result<(), StoreError> {
        for of in orders(of, envelope) {
            self.order.insert(&tables::order_key(of, rank), sequence)?;
        }
        Ok(())
    }

    /// The opposite of [`Self::enter_order`].
    pub(crate) fn leave_order(
        &mut self,
        of: Short,
        rank: &Rank,
        envelope: &Envelope,
    ) -> Result<(), StoreError> {
        for of in orders(of, envelope) {
            self.order.remove(&tables::order_key(of, rank))?;
        }
        Ok(())
    }

    pub(crate) fn leave_recent(&mut self, stream: StreamId, record: &ThreadRecord) -> Result<(), StoreError> {
        let key = tables::recent_key(stream.0, record.last_activity_s, &record.thread_id);
        self.thread_recent.remove(key.as_slice())?;
        Ok(())
    }

    pub(crate) fn enter_recent(
        &mut self,
        stream: StreamId,
        thread: Short,
        record: &ThreadRecord,
    ) -> Result<(), StoreError> {
        let key = tables::recent_key(stream.0, record.last_activity_s, &record.thread_id);
        self.thread_recent.insert(key.as_slice(), &thread)?;
        Ok(())
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
        self.know_channel(space, stream, name.as_str(), op.header().hlc.ms())?;
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
