//! Direct rooms: opened by a resolve or by the first message, whichever comes first in people's order (N-38 to N-41).

use muster_protocol::{
    cbor::{self, Bytes},
    content::{Room, RoomOpened},
    control::ControlState,
    identity::NodeId,
    ids::{SpaceId, StreamId},
    network::{ChannelName, DirectId, Envelope, Pair},
    operation::{Draft, Kind, Operation},
};
use redb::ReadableTable;

use crate::{
    StoreError,
    batch::Batch,
    messages::seconds,
    rows::{self, At, ChannelRecord, RoomRecord},
    tables::{self, Rank},
};

/// The parts of a room that its id is made of, and where it rests.
struct Site<'a> {
    id: &'a DirectId,
    channel: &'a ChannelName,
    pair: Pair,
    space: SpaceId,
}

impl Batch<'_> {
    /// Opens the room of two peers, one of this node and one of node `other`, unless it exists (N-39). False when
    /// this node may not write.
    pub fn resolve_room(
        &mut self,
        workspace: SpaceId,
        other: NodeId,
        room: &Room,
    ) -> Result<bool, StoreError> {
        if !self.may_write(workspace) {
            return Ok(false);
        }
        if self.room(&tables::room_key(self.space_number(workspace)?, room.id.as_str()))?.is_some() {
            return Ok(true);
        }
        let space = self.begin_pair(workspace, other)?;
        let Some(control) = space.and_then(|space| self.control_state(space)) else { return Ok(false) };
        let opened = RoomOpened {
            channel: room.channel.as_str().to_owned(),
            direct_id: room.id.as_str().to_owned(),
            peer_a: room.pair.a().as_str().to_owned(),
            peer_b: room.pair.b().as_str().to_owned(),
        };
        let stream = StreamId::direct_room(control.space(), room.id.as_str());
        let draft = Draft { kind: Kind::DIRECT_ROOM, stream, body: cbor::encode(&opened) };
        let (op, at) = self.append_own(&control, draft)?;
        self.apply_room(&control, &op, room, at)?;
        Ok(true)
    }

    /// The effect of a resolve: the room exists, if it did not.
    pub(crate) fn apply_room(
        &mut self,
        control: &ControlState,
        op: &Operation,
        room: &Room,
        at: At,
    ) -> Result<(), StoreError> {
        let (space, rank) = (control.space(), tables::rank(op.header()));
        self.openings.insert(&tables::order_key(op.header().stream.0, &rank), rows::write(&at).as_slice())?;
        let site = Site { id: &room.id, channel: &room.channel, pair: room.pair.clone(), space };
        let opened_s = op.header().hlc.ms() / 1000;
        let opened = self.change_room(&site, |record| record.opened_at(&rank, opened_s))?;
        if !opened {
            return Ok(());
        }
        self.count_rooms(space, &room.channel, |rooms| rooms + 1)?;
        let data = serde_json::json!({
            "direct_id": room.id.as_str(), "channel": room.channel.as_str(),
            "peer_a": room.pair.a().as_str(), "peer_b": room.pair.b().as_str(),
        });
        self.note(space, "room", &data)
    }

    /// Counts a message of a room: its place in the room's timeline, and whether it opened the room.
    pub(crate) fn count_in_room(
        &mut self,
        space: SpaceId,
        id: &DirectId,
        op: &Operation,
        envelope: &Envelope,
    ) -> Result<(u64, bool), StoreError> {
        let (stream, rank) = (op.header().stream, tables::rank(op.header()));
        let site = site(space, id, envelope)?;
        let mut sequence = 0;
        let opened = self.change_room(&site, |record| {
            record.last_sequence += 1;
            sequence = record.last_sequence;
            record.messages += 1;
            record.opened_at(&rank, seconds(envelope));
            if rank[..] > record.last_rank.0[..] {
                record.newest_is(envelope, &rank);
            }
        })?;
        self.enter_order(stream.0, &rank, envelope, sequence)?;
        Ok((sequence, opened))
    }

    /// Takes a message of a room back; true when nothing of the room is left.
    pub(crate) fn uncount_in_room(
        &mut self,
        space: SpaceId,
        id: &DirectId,
        op: &Operation,
        envelope: &Envelope,
    ) -> Result<bool, StoreError> {
        let stream = op.header().stream;
        self.leave_order(stream.0, &tables::rank(op.header()), envelope)?;
        let site = site(space, id, envelope)?;
        self.change_room(&site, |record| record.messages = record.messages.saturating_sub(1))?;
        self.review_room(&site, stream)
    }

    /// Takes a resolve back.
    pub(crate) fn void_room(
        &mut self,
        space: SpaceId,
        op: &Operation,
        room: &Room,
    ) -> Result<(), StoreError> {
        let stream = op.header().stream;
        let key = tables::order_key(stream.0, &tables::rank(op.header()));
        let counted = self.openings.remove(&key)?.is_some();
        let site = Site { id: &room.id, channel: &room.channel, pair: room.pair.clone(), space };
        if counted && self.review_room(&site, stream)? {
            self.count_rooms(space, &room.channel, |rooms| rooms.saturating_sub(1))?;
        }
        Ok(())
    }

    fn count_rooms(
        &mut self,
        space: SpaceId,
        name: &ChannelName,
        count: impl Fn(u64) -> u64,
    ) -> Result<(), StoreError> {
        let workspace = self.workspace_of(space);
        let stream = StreamId::channel(workspace, name.as_str());
        let mut channel =
            self.channel(workspace, stream)?.unwrap_or_else(|| ChannelRecord::new(name.as_str()));
        channel.rooms = count(channel.rooms);
        self.put_channel(workspace, stream, channel)
    }

    /// Changes a room's record and keeps its places in the lists; true when it exists only from now on.
    fn change_room(
        &mut self,
        site: &Site<'_>,
        change: impl FnOnce(&mut RoomRecord),
    ) -> Result<bool, StoreError> {
        let workspace = self.workspace_of(site.space);
        let key = tables::room_key(self.space_number(workspace)?, site.id.as_str());
        let known = self.stored_room(&key)?;
        let mut record = match &known {
            Some(record) => record.clone(),
            None => RoomRecord {
                direct_id: site.id.as_str().to_owned(),
                channel: site.channel.as_str().to_owned(),
                peer_a: site.pair.a().as_str().to_owned(),
                peer_b: site.pair.b().as_str().to_owned(),
                space: self.space_number(site.space)?,
                last_sequence: 0,
                opened_s: 0,
                opened_rank: Bytes(Vec::new()),
                messages: 0,
                open_work: 0,
                last_activity_s: 0,
                last_preview: String::new(),
                last_rank: Bytes(Vec::new()),
            },
        };
        change(&mut record);
        let before = known.filter(RoomRecord::exists);
        let place = |record: &RoomRecord| record.exists().then_some(record.last_activity_s);
        let (was, is) = (before.as_ref().and_then(place), place(&record));
        if was != is {
            let stream = StreamId::channel(workspace, &record.channel);
            let lists = [
                stream.0,
                tables::rooms_of(stream, &record.peer_a),
                tables::rooms_of(stream, &record.peer_b),
            ];
            for of in lists {
                if let Some(was) = was {
                    self.room_recent.remove(tables::recent_key(of, was, &record.direct_id).as_slice())?;
                }
                if let Some(is) = is {
                    self.room_recent
                        .insert(tables::recent_key(of, is, &record.direct_id).as_slice(), &key)?;
                }
            }
        }
        self.put_room(key, record);
        Ok(before.is_none() && is.is_some())
    }

    /// Sets what opened a room and what is newest in it from what is left; true when nothing is.
    fn review_room(&mut self, site: &Site<'_>, stream: StreamId) -> Result<bool, StoreError> {
        let opening = {
            let range = tables::order_range(stream.0);
            let first = self.openings.range::<&[u8; 72]>(range.start()..=range.end())?.next().transpose()?;
            first.map(|(_, at)| rows::read::<At>(at.value())).transpose()?
        };
        let opening = opening.map(|at| self.op(at)).transpose()?;
        let ends = self.ends(stream.0)?;
        let first = ends.map(|(first, _)| self.message_at(stream, first)).transpose()?;
        let last = ends.map(|(_, last)| self.message_at(stream, last)).transpose()?;
        self.change_room(site, |record| {
            record.opened_rank = Bytes(Vec::new());
            (record.last_rank, record.last_activity_s, record.last_preview) = Default::default();
            if let Some(op) = &opening {
                record.opened_at(&tables::rank(op.header()), op.header().hlc.ms() / 1000);
            }
            if let Some((envelope, op)) = &first {
                record.opened_at(&tables::rank(op.header()), seconds(envelope));
            }
            if let Some((envelope, op)) = &last {
                record.newest_is(envelope, &tables::rank(op.header()));
            }
        })?;
        Ok(opening.is_none() && ends.is_none())
    }
}

fn site<'a>(space: SpaceId, id: &'a DirectId, envelope: &'a Envelope) -> Result<Site<'a>, StoreError> {
    let pair = envelope.to.as_ref().and_then(|to| Pair::of(&envelope.from, to).ok());
    let pair = pair.ok_or(StoreError::Damaged("a message of a room is not between two peers"))?;
    Ok(Site { id, channel: &envelope.channel, pair, space })
}

impl RoomRecord {
    /// Notes what opens it, if that comes before what is known to.
    fn opened_at(&mut self, rank: &Rank, at_s: u64) {
        if self.exists() && rank[..] >= self.opened_rank.0[..] {
            return;
        }
        self.opened_rank = Bytes(rank.to_vec());
        self.opened_s = at_s;
        if self.last_rank.0.is_empty() {
            self.last_activity_s = at_s;
        }
    }

    fn newest_is(&mut self, envelope: &Envelope, rank: &Rank) {
        self.last_rank = Bytes(rank.to_vec());
        self.last_activity_s = seconds(envelope);
        self.last_preview = envelope.preview();
    }
}
