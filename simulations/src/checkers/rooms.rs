//! Direct rooms: both nodes of a room show the same one, and nobody else knows of it (N-33, N-39).

use std::{cmp::Reverse, collections::BTreeMap};

use muster_protocol::{
    ids::SpaceId,
    network::{ChannelName, DirectId, Envelope, Pair, PeerName},
};
use muster_storage::RoomRow;

use super::{
    picture::{Key, Knowledge, Picture, ShownRoom, key},
    villains,
};

impl Picture {
    /// A node holds nothing that was said to others alone.
    pub(super) fn check_secrecy(&self, known: &Knowledge<'_>, complaints: &mut Vec<String>) {
        let mut wrong = |what: String| complaints.push(format!("node {}: {what}", self.index));
        for (one, other) in &self.foreign {
            wrong(format!("it holds the pair space of nodes {one} and {other}"));
        }
        for (_, _, envelope) in self.messages() {
            let key = key(envelope);
            let secret = known.said.get(&key).filter(|said| !known.holders(said).contains(&self.index));
            if secret.is_some() {
                wrong(format!("{key:?} was said to others alone"));
            }
        }
        for event in &self.events {
            let (channel, room) = (event.data["channel"].as_str(), event.data["direct_id"].as_str());
            let (Some(channel), Some(room)) = (channel, room) else { continue };
            if villains::tells(event, known) {
                continue; // it may have been taken back
            }
            if !self.rooms.contains_key(&(channel.to_owned(), room.to_owned())) {
                wrong(format!("event {} tells of {room}, which it does not show", event.number));
            }
        }
    }

    /// Rooms are what was resolved and said in them, and are listed so (N-39, N-41, N-105, N-106).
    pub(super) fn check_rooms(&self, known: &Knowledge<'_>, complaints: &mut Vec<String>) {
        let mut wrong = |what: String| complaints.push(format!("node {}: {what}", self.index));
        let recount = self.recount_rooms();
        for (at, room) in &self.rooms {
            let expected = recount.get(at);
            // What work is open in it is counted apart.
            let row = RoomRow { open_work_count: 0, ..room.row.clone() };
            if expected.map(|expected| &expected.row) != Some(&row) {
                wrong(format!("it shows {row:?} for {:?}", expected.map(|expected| &expected.row)));
            }
            let keys: Vec<&Key> = room.messages.iter().map(|(key, _)| key).collect();
            if !expected.is_some_and(|expected| expected.messages.iter().map(|(key, _)| key).eq(keys)) {
                wrong(format!("the messages of {at:?} are not those stored, or out of order"));
            }
            let mut sequences: Vec<u64> = room.messages.iter().map(|(_, sequence)| *sequence).collect();
            sequences.sort_unstable();
            let peers = [&room.row.peer_a, &room.row.peer_b];
            let may_go = peers.iter().any(|peer| known.is_villain(peer) || known.came_back(peer));
            if !may_go && !sequences.iter().copied().eq(1..=room.messages.len() as u64) {
                wrong(format!("the places of {at:?} are not dense: {sequences:?}"));
            }
        }
        for at in recount.keys().filter(|at| !self.rooms.contains_key(*at)) {
            wrong(format!("it does not show the room {at:?}"));
        }
        for room in known.resolved() {
            let here = room.peers.iter().any(|peer| known.nodes.get(peer) == Some(&self.index));
            if here && !self.rooms.contains_key(&(room.channel.clone(), room.room.clone())) {
                wrong(format!("{room:?} was resolved and is not there"));
            }
        }
        for ((channel, peer), list) in &self.room_lists {
            let mut expected: Vec<_> = self.rooms.iter().filter(|((of, _), _)| of == channel).collect();
            if let Some(peer) = peer {
                let has = |row: &RoomRow| [row.peer_a.as_str(), row.peer_b.as_str()].contains(&peer.as_str());
                expected.retain(|(_, room)| has(&room.row));
            }
            expected.sort_by_key(|((_, id), room)| (Reverse(room.row.last_activity_ms), id.clone()));
            if !list.iter().eq(expected.iter().map(|((_, id), _)| id)) {
                wrong(format!("the rooms of {channel} and {peer:?} are listed as {list:?}"));
            }
        }
        for (name, channel) in &self.channels {
            let rooms = self.rooms.keys().filter(|(of, _)| of == name).count() as u64;
            if channel.rooms != rooms {
                wrong(format!("{name} counts {} rooms of {rooms}", channel.rooms));
            }
        }
    }

    /// Both nodes show the rooms of their peers alike.
    pub(super) fn compare_rooms(&self, other: &Self, complaints: &mut Vec<String>) {
        let (a, b) = (self.index, other.index);
        for (at, mine) in &self.rooms {
            let Some(theirs) = other.rooms.get(at) else { continue };
            let order =
                |room: &ShownRoom| room.messages.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
            if mine.row != theirs.row {
                complaints.push(format!("nodes {a} and {b} show {:?} and {:?}", mine.row, theirs.row));
            }
            if order(mine) != order(theirs) {
                complaints.push(format!("nodes {a} and {b} order {at:?} differently"));
            }
        }
    }

    /// The rooms as the operations of the pair spaces make them, by channel and id.
    fn recount_rooms(&self) -> BTreeMap<(String, String), ShownRoom> {
        let mut rooms = BTreeMap::new();
        for space in self.pairs.values() {
            self.recount_rooms_in(*space, &mut rooms);
        }
        rooms
    }

    fn recount_rooms_in(&self, space: SpaceId, rooms: &mut BTreeMap<(String, String), ShownRoom>) {
        let messages = self.stored.get(&space).into_iter().flatten();
        let said = messages
            .filter_map(|(rank, envelope)| Some((*rank, Opens::Message(room_of(envelope)?, envelope))));
        let resolves = self.openings.get(&space).into_iter().flatten();
        let resolved = resolves.filter_map(|(rank, opened)| {
            let peers = (PeerName::parse(&opened.peer_a).ok()?, PeerName::parse(&opened.peer_b).ok()?);
            let (id, channel) =
                (DirectId::parse(&opened.direct_id).ok()?, ChannelName::parse(&opened.channel).ok()?);
            Some((*rank, Opens::Resolve(empty(id, channel, peers, rank.0.ms() / 1000))))
        });
        let all: BTreeMap<_, _> = said.chain(resolved).collect();
        for opens in all.into_values() {
            let (row, envelope) = match opens {
                Opens::Resolve(row) => (row, None),
                Opens::Message(row, envelope) => (row, Some(envelope)),
            };
            let at = (row.channel.as_str().to_owned(), row.direct_id.as_str().to_owned());
            let room = rooms.entry(at).or_insert_with(|| ShownRoom { row, messages: Vec::new() });
            let Some(envelope) = envelope else { continue };
            room.messages.push((key(envelope), 0));
            room.row.message_count += 1;
            room.row.last_activity_ms = envelope.ts.unsigned_abs() * 1000;
            room.row.last_message_preview = envelope.preview();
        }
    }
}

/// What may open a room, and how it is then.
enum Opens<'a> {
    Resolve(RoomRow),
    Message(RoomRow, &'a Envelope),
}

fn room_of(envelope: &Envelope) -> Option<RoomRow> {
    let id = envelope.container.as_ref()?.direct_id()?.clone();
    let pair = Pair::of(&envelope.from, envelope.to.as_ref()?).ok()?;
    let peers = (pair.a().clone(), pair.b().clone());
    Some(empty(id, envelope.channel.clone(), peers, envelope.ts.unsigned_abs()))
}

fn empty(
    direct_id: DirectId,
    channel: ChannelName,
    (peer_a, peer_b): (PeerName, PeerName),
    opened_s: u64,
) -> RoomRow {
    RoomRow {
        direct_id,
        channel,
        peer_a,
        peer_b,
        opened_ms: opened_s * 1000,
        last_activity_ms: opened_s * 1000,
        message_count: 0,
        open_work_count: 0,
        last_message_preview: String::new(),
    }
}
