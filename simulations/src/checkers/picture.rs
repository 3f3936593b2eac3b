//! Everything a node holds, read once, and what is known of the world besides.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use muster_protocol::{
    cbor,
    clock::Hlc,
    content::RoomOpened,
    control::ControlState,
    identity::NodeId,
    ids::{LogId, OpId, SpaceId},
    limits,
    network::{ChannelName, Envelope, PeerName, WorkId, WorkRecord},
    operation::{Header, Kind, Operation},
};
use muster_storage::{
    ChannelRow, EventRow, MessagePage, MessageRow, RoomRow, StoreError, ThreadRow, View, WorkspaceRow,
};

use super::villains;
use crate::world::{Machine, Planted, Said, Shared};

/// Sender and id of a message.
pub(super) type Key = (String, String);

/// Where an operation stands in people's order.
pub(super) type Rank = (Hlc, NodeId, u64, u64);

pub(super) fn rank(header: &Header) -> Rank {
    (header.hlc, header.author, header.incarnation, header.seq)
}

pub(super) fn key(envelope: &Envelope) -> Key {
    (envelope.from.as_str().to_owned(), envelope.id.as_str().to_owned())
}

/// What is known of the world, whatever its nodes hold.
pub(super) struct Knowledge<'a> {
    shared: &'a Shared,
    machines: &'a [Arc<Machine>],
    /// What the people meant.
    pub(super) said: BTreeMap<Key, Said>,
    /// By peer.
    pub(super) nodes: BTreeMap<String, usize>,
    /// All ids under which work was opened, or tried.
    works: BTreeSet<String>,
    /// Messages that were read: most operations are held by several nodes.
    read: BTreeMap<OpId, Option<Arc<Envelope>>>,
}

impl<'a> Knowledge<'a> {
    pub(super) fn of(shared: &'a Shared, machines: &'a [Arc<Machine>]) -> Self {
        let said = shared.ledger.said();
        let works = said.values().filter_map(|said| said.request.work_id.clone()).collect();
        let sessions = shared.ledger.sessions().into_iter();
        let nodes = sessions.map(|session| (session.peer, session.node)).collect();
        Self { shared, machines, said, nodes, works, read: BTreeMap::new() }
    }

    /// The nodes that should hold a message.
    pub(super) fn holders(&self, said: &Said) -> BTreeSet<usize> {
        match said.only_for() {
            Some(to) => [Some(said.node), self.nodes.get(to).copied()].into_iter().flatten().collect(),
            None => self.machines.iter().map(|machine| machine.index()).collect(),
        }
    }

    /// The direct rooms that people were shown.
    pub(super) fn resolved(&self) -> BTreeSet<crate::world::Resolved> {
        self.shared.ledger.rooms()
    }

    /// Whether a peer is a villain's.
    pub(super) fn is_villain(&self, peer: &PeerName) -> bool {
        self.shared.den.speaks_as(peer.as_str())
    }

    /// Whether a peer's node ever came back from a copy.
    pub(super) fn came_back(&self, peer: &PeerName) -> bool {
        self.shared.ledger.came_back(peer.as_str())
    }

    /// Whether anything may be taken back: what villains say may.
    pub(super) fn has_villains(&self) -> bool {
        !self.shared.den.ids().is_empty()
    }

    /// Whether a villain gave a message this id.
    pub(super) fn is_of_villains(&self, id: &str) -> bool {
        self.shared.den.gave(id)
    }

    /// Whether a log is a villain's.
    pub(super) fn is_of_villain(&self, log: &LogId) -> bool {
        self.shared.den.is_villain(log.author)
    }

    fn envelope(&mut self, operation: &Operation) -> Option<Arc<Envelope>> {
        let read = || operation.body().and_then(|body| Envelope::parse(body).ok()).map(Arc::new);
        self.read.entry(operation.id()).or_insert_with(read).clone()
    }
}

/// A direct room as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ShownRoom {
    pub(super) row: RoomRow,
    /// In people's order, with the sequences of this node.
    pub(super) messages: Vec<(Key, u64)>,
}

/// Everything a node holds.
pub(super) struct Picture {
    pub(super) index: usize,
    /// The workspace's.
    pub(super) space: SpaceId,
    /// This node's pair spaces, by the other node's number.
    pub(super) pairs: BTreeMap<usize, SpaceId>,
    /// Whose pair spaces it holds, though they are those of two others.
    pub(super) foreign: Vec<(usize, usize)>,
    /// How much of each log counts, and all of it.
    pub(super) logs: BTreeMap<LogId, (u64, Vec<Operation>)>,
    pub(super) control: (u64, OpId),
    /// What is compared between nodes as it is shown: members, channels, threads.
    pub(super) shown: Vec<String>,
    /// What is counted by this node for itself.
    pub(super) channels: BTreeMap<String, ChannelRow>,
    /// By channel and thread, in people's order.
    pub(super) threads: BTreeMap<(String, String), Vec<Key>>,
    pub(super) thread_rows: Vec<ThreadRow>,
    /// By channel and room.
    pub(super) rooms: BTreeMap<(String, String), ShownRoom>,
    /// By channel: the ids that a list of its rooms shows, in its order; the same for each peer of this node.
    pub(super) room_lists: BTreeMap<(String, Option<String>), Vec<String>>,
    /// By channel, in the order of this node.
    pub(super) timelines: BTreeMap<String, Vec<(u64, Option<Key>)>>,
    pub(super) works: BTreeMap<String, Option<WorkRecord>>,
    pub(super) inboxes: BTreeMap<String, Vec<Envelope>>,
    pub(super) events: Vec<EventRow>,
    /// By space, in people's order.
    pub(super) stored: BTreeMap<SpaceId, BTreeMap<Rank, Arc<Envelope>>>,
    /// Resolves, by space, in people's order.
    pub(super) openings: BTreeMap<SpaceId, BTreeMap<Rank, RoomOpened>>,
    /// What a node said twice; see [`Self::drop_repeated`].
    pub(super) repeated: BTreeSet<Key>,
}

impl Picture {
    pub(super) fn take(known: &mut Knowledge<'_>, machine: &Machine) -> Result<Option<Self>, StoreError> {
        let Some(node) = machine.node() else { return Ok(None) };
        let view = node.store().view()?;
        let workspace = known.shared.ledger.workspace();
        let reference = workspace.map(|workspace| workspace.to_string()).unwrap_or_default();
        let Some(row) = view.workspace(&reference)? else { return Ok(None) };
        let Some(control) = view.control(row.space) else { return Ok(None) };
        let mut picture = Self {
            index: machine.index(),
            space: row.space,
            pairs: BTreeMap::new(),
            foreign: Vec::new(),
            logs: BTreeMap::new(),
            control: (control.height(), control.head()),
            shown: Vec::new(),
            channels: BTreeMap::new(),
            threads: BTreeMap::new(),
            thread_rows: Vec::new(),
            rooms: BTreeMap::new(),
            room_lists: BTreeMap::new(),
            timelines: BTreeMap::new(),
            works: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            events: view.events(0, usize::MAX)?,
            stored: BTreeMap::new(),
            openings: BTreeMap::new(),
            repeated: BTreeSet::new(),
        };
        picture.take_spaces(known, &view, &control, machine.id())?;
        picture.drop_repeated(known);
        for member in view.members(&row)? {
            picture.shown.push(format!("{} {} {:?}", member.node, member.name, member.role));
        }
        let peers: Vec<_> = view.active_sessions(&row)?.into_iter().map(|session| session.peer).collect();
        for channel in view.channels(&row)? {
            picture.take_channel(&view, &row, channel, &peers)?;
        }
        for session in view.sessions(&row)? {
            let inbox = view.inbox(&row, &session.id, 0)?;
            picture.inboxes.insert(session.id, inbox);
        }
        for id in &known.works {
            if let Ok(work) = WorkId::parse(id) {
                picture.works.insert(id.clone(), view.work(&row, &work)?);
            }
        }
        if picture.index == 0 && known.shared.plan.planted == Some(Planted::WorkByArrival) {
            picture.plant_arrival();
        }
        Ok(Some(picture))
    }

    fn take_spaces(
        &mut self,
        known: &mut Knowledge<'_>,
        view: &View,
        control: &ControlState,
        me: NodeId,
    ) -> Result<(), StoreError> {
        let mut spaces = vec![self.space];
        for (at, one) in known.machines.iter().enumerate() {
            for other in &known.machines[at..] {
                let space = SpaceId::pair(self.space, one.id(), other.id());
                let ours = [one.id(), other.id()].contains(&me);
                if ours {
                    let other = if one.id() == me { other } else { one };
                    self.pairs.insert(other.index(), space);
                    spaces.push(space);
                } else if view.control(space).is_some() || !view.log_heights(space)?.is_empty() {
                    self.foreign.push((one.index(), other.index()));
                    spaces.push(space);
                }
            }
        }
        for (index, villain) in (known.machines.len()..).zip(known.shared.den.ids()) {
            let space = SpaceId::pair(self.space, me, *villain);
            self.pairs.insert(index, space);
            spaces.push(space);
        }
        for space in spaces {
            for (log, counts) in view.log_heights(space)? {
                let operations = view.log_operations(&log)?;
                let villain = known.shared.den.is_villain(log.author);
                for operation in operations.iter().take(counts as usize) {
                    if !villain || villains::has_effect(operation, control, me) {
                        self.take_operation(known, operation);
                    }
                }
                self.logs.insert(log, (counts, operations));
            }
        }
        Ok(())
    }

    /// Of what a node said twice, because it came back from a copy and forgot the first time, the first counts.
    fn drop_repeated(&mut self, known: &Knowledge<'_>) {
        for messages in self.stored.values_mut() {
            let mut first = BTreeSet::new();
            messages.retain(|_, envelope| {
                let counts = first.insert(key(envelope)) || !known.came_back(&envelope.from);
                if !counts {
                    self.repeated.insert(key(envelope));
                }
                counts
            });
        }
    }

    fn take_operation(&mut self, known: &mut Knowledge<'_>, operation: &Operation) {
        let (header, rank) = (operation.header(), rank(operation.header()));
        if header.kind == Kind::DIRECT_ROOM {
            let body = operation.body().unwrap_or_default();
            if let Ok(opened) = cbor::decode(body, limits::BODY_BYTES_MAX) {
                self.openings.entry(header.space).or_default().insert(rank, opened);
            }
        } else if header.kind == Kind::ENVELOPE
            && let Some(envelope) = known.envelope(operation)
        {
            self.stored.entry(header.space).or_default().insert(rank, envelope);
        }
    }

    fn take_channel(
        &mut self,
        view: &View,
        row: &WorkspaceRow,
        channel: ChannelRow,
        peers: &[PeerName],
    ) -> Result<(), StoreError> {
        let name = channel.name.clone();
        // What a node counts in its rooms is no other's business.
        let public =
            ChannelRow { historical_participant_count: 0, rooms: 0, open_work: 0, ..channel.clone() };
        self.shown.push(format!("{public:?}"));
        self.channels.insert(name.as_str().to_owned(), channel);
        let timeline = view.timeline(row, &name, 0, usize::MAX)?.into_iter();
        let timeline = timeline.map(|(sequence, row)| (sequence, row.map(|row| key(&row.envelope))));
        self.timelines.insert(name.as_str().to_owned(), timeline.collect());
        let page = MessagePage { limit: usize::MAX, ..MessagePage::default() };
        for thread in view.threads(row, &name, None, usize::MAX)?.unwrap_or_default() {
            // A session id is this node's own matter.
            self.shown.push(format!("{:?}", ThreadRow { opened_session: None, ..thread.clone() }));
            let messages = view.thread_messages(row, &name, &thread.thread_id, &page)?.unwrap_or_default();
            let order: Vec<_> = messages.iter().map(|row| key(&row.envelope)).collect();
            if order.len() as u64 != thread.message_count {
                self.shown.push(format!("node {}: {} messages, {thread:?}", self.index, order.len()));
            }
            let place = (name.as_str().to_owned(), thread.thread_id.as_str().to_owned());
            self.threads.insert(place, order);
            self.thread_rows.push(thread);
        }
        for peer in [None].into_iter().chain(peers.iter().map(Some)) {
            let rooms = view.rooms(row, &name, peer, None, usize::MAX)?.unwrap_or_default();
            let list = rooms.iter().map(|room| room.direct_id.as_str().to_owned()).collect();
            let of = (name.as_str().to_owned(), peer.map(|peer| peer.as_str().to_owned()));
            self.room_lists.insert(of, list);
            if peer.is_none() {
                rooms.into_iter().try_for_each(|room| self.take_room(view, row, &name, room))?;
            }
        }
        Ok(())
    }

    fn take_room(
        &mut self,
        view: &View,
        row: &WorkspaceRow,
        channel: &ChannelName,
        room: RoomRow,
    ) -> Result<(), StoreError> {
        let page = MessagePage { limit: usize::MAX, ..MessagePage::default() };
        let messages = view.room_messages(row, channel, &room.direct_id, &page)?.unwrap_or_default();
        let place = |row: &MessageRow| (key(&row.envelope), row.sequence);
        let shown = ShownRoom { messages: messages.iter().map(place).collect(), row: room.clone() };
        self.rooms.insert((channel.as_str().to_owned(), room.direct_id.as_str().to_owned()), shown);
        Ok(())
    }

    /// All messages it holds, with their spaces and ranks.
    pub(super) fn messages(&self) -> impl Iterator<Item = (SpaceId, Rank, &Arc<Envelope>)> {
        self.stored.iter().flat_map(|(space, messages)| {
            messages.iter().map(move |(rank, envelope)| (*space, *rank, envelope))
        })
    }
}
