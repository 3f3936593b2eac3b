//! Direct rooms: conversations of two peers, at least one of them of this node.

use muster_protocol::{
    ids::StreamId,
    network::{ChannelName, DirectId, PeerName},
};

use super::{UnknownCursor, View, WorkspaceRow, network::damaged_name};
use crate::{
    StoreError,
    rows::{self, RoomRecord},
    tables,
};

/// A direct room (N-105). Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomRow {
    /// Its id.
    pub direct_id: DirectId,
    /// Its channel.
    pub channel: ChannelName,
    /// The lexicographically smaller of its peers.
    pub peer_a: PeerName,
    /// The larger one.
    pub peer_b: PeerName,
    /// When it was resolved, or its first message said.
    pub opened_ms: u64,
    /// Time of its newest message; without one, when it was opened (N-39).
    pub last_activity_ms: u64,
    /// Its messages.
    pub message_count: u64,
    /// Its work that has not ended (N-52).
    pub open_work_count: u64,
    /// The newest message's preview.
    pub last_message_preview: String,
}

impl View {
    /// Rooms of a channel, or of one peer in it: newest activity first, ties by ascending id (N-106).
    pub fn rooms(
        &self,
        workspace: &WorkspaceRow,
        channel: &ChannelName,
        peer: Option<&PeerName>,
        after: Option<&DirectId>,
        limit: usize,
    ) -> Result<Result<Vec<RoomRow>, UnknownCursor>, StoreError> {
        let stream = StreamId::channel(workspace.space, channel.as_str());
        let of = peer.map_or(stream.0, |peer| tables::rooms_of(stream, peer.as_str()));
        let mut from = of.to_vec();
        if let Some(after) = after {
            let record = self.room_record(workspace, after)?.filter(|record| {
                let theirs =
                    peer.is_none_or(|peer| [&record.peer_a, &record.peer_b].contains(&&peer.to_string()));
                record.channel == channel.as_str() && theirs
            });
            let Some(record) = record else { return Ok(Err(UnknownCursor)) };
            from = tables::recent_key(of, record.last_activity_s, &record.direct_id);
            from.push(0); // the key right behind it
        }
        let to = [&of[..], &[0xff; 16]].concat();
        let table = self.txn.open_table(tables::ROOMS)?;
        let mut rooms = Vec::new();
        for entry in
            self.txn.open_table(tables::ROOM_RECENT)?.range(from.as_slice()..to.as_slice())?.take(limit)
        {
            let row = table.get(entry?.1.value())?;
            let row = row.ok_or(StoreError::Damaged("a room that is pointed at is missing"))?;
            rooms.push(room_row(rows::read(row.value())?)?);
        }
        Ok(Ok(rooms))
    }

    /// One room of a channel.
    pub fn room(
        &self,
        workspace: &WorkspaceRow,
        channel: &ChannelName,
        id: &DirectId,
    ) -> Result<Option<RoomRow>, StoreError> {
        let record = self.room_record(workspace, id)?;
        record.filter(|record| record.channel == channel.as_str()).map(room_row).transpose()
    }

    /// The stream in which the messages of a room rest.
    pub(super) fn room_stream(
        &self,
        workspace: &WorkspaceRow,
        channel: &ChannelName,
        id: &DirectId,
    ) -> Result<Option<StreamId>, StoreError> {
        let record = self.room_record(workspace, id)?.filter(|record| record.channel == channel.as_str());
        let Some(record) = record else { return Ok(None) };
        let space = self.state.spaces.get(&record.space).copied();
        let space = space.ok_or(StoreError::Damaged("a room rests in a space that was never begun"))?;
        Ok(Some(StreamId::direct_room(space, id.as_str())))
    }

    fn room_record(&self, workspace: &WorkspaceRow, id: &DirectId) -> Result<Option<RoomRecord>, StoreError> {
        let key = tables::room_key(self.number(workspace.space)?, id.as_str());
        let row = self.txn.open_table(tables::ROOMS)?.get(&key)?;
        let record: Option<RoomRecord> = row.map(|row| rows::read(row.value())).transpose()?;
        Ok(record.filter(RoomRecord::exists))
    }
}

fn room_row(record: RoomRecord) -> Result<RoomRow, StoreError> {
    Ok(RoomRow {
        direct_id: DirectId::parse(&record.direct_id).map_err(damaged_name)?,
        channel: ChannelName::parse(&record.channel).map_err(damaged_name)?,
        peer_a: PeerName::parse(&record.peer_a).map_err(damaged_name)?,
        peer_b: PeerName::parse(&record.peer_b).map_err(damaged_name)?,
        opened_ms: record.opened_s * 1000,
        last_activity_ms: record.last_activity_s * 1000,
        message_count: record.messages,
        open_work_count: record.open_work,
        last_message_preview: record.last_preview,
    })
}
