//! One transaction in the making: the open tables, the rows changed so far, and what to tell afterwards.
//!
//! Many writes share a batch, and most touch the same few rows: the head of the own log, a busy
//! channel, its newest thread. Those rows are kept here and written once, before the commit.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use muster_protocol::{
    clock::HlcClock,
    control::{ControlState, Role},
    identity::{Identity, NodeId},
    ids::{LogId, SpaceId, StreamId, hash},
    network::PeerName,
    sync::Height,
};
use redb::{ReadableTable, Table, WriteTransaction};

use crate::{
    StoreError,
    append::capped,
    changes::Changes,
    rows::{
        self, ChannelRecord, JournalRecord, LogRow, PairRow, RoomRecord, SessionRecord, StreamRecord,
        ThreadRecord,
    },
    schema,
    tables::{self, Short},
};

type Bytes = &'static [u8];

/// A session of this node that is in a channel.
#[derive(Debug, Clone)]
pub(crate) struct LocalPeer {
    pub(crate) session: String,
    pub(crate) peer: PeerName,
}

/// A space for some of a workspace: a pair space of this node (see [`ControlState::pair`]), or a group that it holds
/// or held (see [`ControlState::group`]).
#[derive(Debug, Clone)]
pub(crate) struct PrivateSpace {
    pub(crate) workspace: SpaceId,
    pub(crate) control: Arc<ControlState>,
}

/// What the writer knows without reading: a function of the store's content, made when it is opened.
pub(crate) struct Memory {
    pub(crate) identity: Arc<Identity>,
    /// Under which this store writes, but for the spaces named below.
    pub(crate) incarnation: u64,
    /// Where our first log was closed: the incarnation that followed.
    pub(crate) incarnations: BTreeMap<SpaceId, u64>,
    /// Random bytes of this opening of the store.
    pub(crate) fresh: [u8; 24],
    pub(crate) clock: HlcClock,
    /// Of workspaces.
    pub(crate) controls: BTreeMap<SpaceId, Arc<ControlState>>,
    pub(crate) pairs: BTreeMap<SpaceId, PrivateSpace>,
    pub(crate) groups: BTreeMap<SpaceId, PrivateSpace>,
    pub(crate) space_numbers: BTreeMap<SpaceId, u32>,
    /// The same the other way round.
    pub(crate) spaces: BTreeMap<u32, SpaceId>,
    /// Changes with every change of what is above, so that readers are given it anew.
    pub(crate) revision: u64,
    pub(crate) log_next: u32,
    pub(crate) journal_next: u64,
    /// Local sessions that are not stopped, by channel.
    pub(crate) local_peers: BTreeMap<StreamId, Vec<LocalPeer>>,
    pub(crate) inbox_depth: u64,
    /// Sessions for which something waits that expires, and in which Unix second the first of it does.
    pub(crate) expiries: BTreeMap<(SpaceId, String), i64>,
    /// Nothing expires before this Unix second.
    pub(crate) next_expiry_s: i64,
    pub(crate) now_ms: u64,
    /// Spaces that are unsettled (see [`Batch::settle`]), and which members were heard there.
    pub(crate) unsettled: BTreeMap<SpaceId, BTreeSet<NodeId>>,
    /// Entries of control logs that were warned about: of a kind or shape that this program does not know.
    pub(crate) unreadable: BTreeSet<(SpaceId, u64)>,
}

impl Memory {
    /// A space for some of a workspace.
    pub(crate) fn private(&self, space: SpaceId) -> Option<&PrivateSpace> {
        self.pairs.get(&space).or_else(|| self.groups.get(&space))
    }

    /// The state of a space with a control log, to be changed.
    pub(crate) fn control_mut(&mut self, space: SpaceId) -> Option<&mut Arc<ControlState>> {
        self.revision += 1;
        match self.groups.get_mut(&space) {
            Some(group) => Some(&mut group.control),
            None => self.controls.get_mut(&space),
        }
    }

    pub(crate) fn incarnation(&self, space: SpaceId) -> u64 {
        self.incarnations.get(&space).copied().unwrap_or(self.incarnation)
    }

    /// Notes when the first envelope that waits for a session expires.
    pub(crate) fn expires(&mut self, space: SpaceId, session: &SessionRecord) {
        if session.expires_s == 0 {
            if !self.expiries.is_empty() {
                self.expiries.remove(&(space, session.id.clone()));
            }
        } else {
            self.expiries.insert((space, session.id.clone()), session.expires_s);
            self.next_expiry_s = self.next_expiry_s.min(session.expires_s);
        }
    }
}

/// A transaction in the making.
pub struct Batch<'t> {
    pub(crate) memory: &'t mut Memory,
    pub(crate) changes: Changes,
    pub(crate) meta: Table<'t, &'static str, Bytes>,
    pub(crate) control: Table<'t, &'static [u8; 12], Bytes>,
    pub(crate) spaces: Table<'t, &'static [u8; 32], u32>,
    pub(crate) ops: Table<'t, &'static [u8; 12], Bytes>,
    pub(crate) forks: Table<'t, u32, Bytes>,
    pub(crate) acks: Table<'t, &'static [u8; 36], u64>,
    pub(crate) timeline: Table<'t, &'static [u8; 24], Bytes>,
    pub(crate) openings: Table<'t, &'static [u8; 72], Bytes>,
    pub(crate) order: Table<'t, &'static [u8; 72], u64>,
    pub(crate) thread_recent: Table<'t, Bytes, &'static [u8; 16]>,
    participants: Table<'t, &'static [u8; 32], u64>,
    pub(crate) messages: Table<'t, &'static [u8; 93], Bytes>,
    pub(crate) agents: Table<'t, &'static [u8; 20], Bytes>,
    pub(crate) session_order: Table<'t, &'static [u8; 29], ()>,
    pub(crate) inbox: Table<'t, &'static [u8; 24], Bytes>,
    pub(crate) pairs: Table<'t, u32, Bytes>,
    pub(crate) groups: Table<'t, u32, &'static [u8; 32]>,
    pub(crate) room_recent: Table<'t, Bytes, &'static [u8; 20]>,
    pub(crate) works: Table<'t, &'static [u8; 24], Bytes>,
    pub(crate) work_order: Table<'t, &'static [u8; 72], Bytes>,
    pub(crate) addresses: Table<'t, &'static [u8; 32], Bytes>,
    pub(crate) newest: Table<'t, &'static [u8; 72], Bytes>,
    pub(crate) principals: Table<'t, &'static [u8; 21], ()>,
    pub(crate) stream_order: Table<'t, &'static [u8; 28], ()>,
    pub(crate) members: Table<'t, &'static [u8; 41], ()>,
    pub(crate) parts: Table<'t, &'static [u8; 37], u64>,
    pub(crate) listed: Table<'t, &'static [u8; 24], &'static [u8; 16]>,
    pub(crate) posts: Table<'t, &'static [u8; 20], Bytes>,
    pub(crate) client_ids: Table<'t, &'static [u8; 32], &'static [u8; 20]>,
    pub(crate) metadata: Table<'t, &'static [u8; 76], &'static [u8; 20]>,
    pub(crate) uploads: Table<'t, &'static [u8; 16], Bytes>,
    pub(crate) uploads_open: Table<'t, &'static [u8; 16], ()>,
    pub(crate) bindings: Table<'t, &'static [u8; 76], Bytes>,
    pub(crate) blob_uses: Table<'t, &'static [u8; 52], ()>,
    pub(crate) memos: Table<'t, &'static [u8; 20], Bytes>,
    pub(crate) memo_versions: Table<'t, &'static [u8; 72], &'static [u8; 16]>,
    pub(crate) memo_order: Table<'t, &'static [u8; 28], ()>,
    pub(crate) keys: Table<'t, &'static [u8; 16], Bytes>,
    pub(crate) key_lookup: Table<'t, &'static [u8; 24], ()>,
    pub(crate) runtimes: Table<'t, &'static [u8; 36], Bytes>,
    pub(crate) links: Table<'t, &'static [u8; 36], Bytes>,
    pub(crate) link_streams: Table<'t, &'static [u8; 16], &'static [u8; 36]>,
    pub(crate) invocations: Table<'t, &'static [u8; 20], Bytes>,
    pub(crate) invocation_queue: Table<'t, &'static [u8; 44], ()>,
    pub(crate) invocation_times: Table<'t, &'static [u8; 28], ()>,
    pub(crate) invocation_sources: Table<'t, &'static [u8; 36], ()>,
    pub(crate) steps: Table<'t, &'static [u8; 24], Bytes>,
    journal: Table<'t, u64, Bytes>,
    logs: Cached<'t, 44, LogRow>,
    channels: Cached<'t, 20, ChannelRecord>,
    threads: Cached<'t, 32, ThreadRecord>,
    rooms: Cached<'t, 20, RoomRecord>,
    sessions: Cached<'t, 20, SessionRecord>,
    streams: Cached<'t, 20, StreamRecord>,
}

impl<'t> Batch<'t> {
    pub(crate) fn begin(txn: &'t WriteTransaction, memory: &'t mut Memory) -> Result<Self, StoreError> {
        Ok(Self {
            memory,
            changes: Changes::default(),
            meta: txn.open_table(tables::META)?,
            control: txn.open_table(tables::CONTROL)?,
            spaces: txn.open_table(tables::SPACES)?,
            ops: txn.open_table(tables::OPS)?,
            forks: txn.open_table(tables::FORKS)?,
            acks: txn.open_table(tables::ACKS)?,
            timeline: txn.open_table(tables::TIMELINE)?,
            openings: txn.open_table(tables::OPENINGS)?,
            order: txn.open_table(tables::ORDER)?,
            thread_recent: txn.open_table(tables::THREAD_RECENT)?,
            participants: txn.open_table(tables::PARTICIPANTS)?,
            messages: txn.open_table(tables::MESSAGES)?,
            agents: txn.open_table(tables::AGENTS)?,
            session_order: txn.open_table(tables::SESSION_ORDER)?,
            inbox: txn.open_table(tables::INBOX)?,
            pairs: txn.open_table(tables::PAIRS)?,
            groups: txn.open_table(tables::GROUPS)?,
            room_recent: txn.open_table(tables::ROOM_RECENT)?,
            works: txn.open_table(tables::WORKS)?,
            work_order: txn.open_table(tables::WORK_ORDER)?,
            addresses: txn.open_table(tables::ADDRESSES)?,
            newest: txn.open_table(tables::NEWEST)?,
            principals: txn.open_table(tables::PRINCIPALS)?,
            stream_order: txn.open_table(tables::STREAM_ORDER)?,
            members: txn.open_table(tables::MEMBERS)?,
            parts: txn.open_table(tables::PARTS)?,
            listed: txn.open_table(tables::LISTED)?,
            posts: txn.open_table(tables::POSTS)?,
            client_ids: txn.open_table(tables::CLIENT_IDS)?,
            metadata: txn.open_table(tables::METADATA)?,
            uploads: txn.open_table(tables::UPLOADS)?,
            uploads_open: txn.open_table(tables::UPLOADS_OPEN)?,
            bindings: txn.open_table(tables::BINDINGS)?,
            blob_uses: txn.open_table(tables::BLOB_USES)?,
            memos: txn.open_table(tables::MEMOS)?,
            memo_versions: txn.open_table(tables::MEMO_VERSIONS)?,
            memo_order: txn.open_table(tables::MEMO_ORDER)?,
            keys: txn.open_table(tables::KEYS)?,
            key_lookup: txn.open_table(tables::KEY_LOOKUP)?,
            runtimes: txn.open_table(tables::RUNTIMES)?,
            links: txn.open_table(tables::LINKS)?,
            link_streams: txn.open_table(tables::LINK_STREAMS)?,
            invocations: txn.open_table(tables::INVOCATIONS)?,
            invocation_queue: txn.open_table(tables::INVOCATION_QUEUE)?,
            invocation_times: txn.open_table(tables::INVOCATION_TIMES)?,
            invocation_sources: txn.open_table(tables::INVOCATION_SOURCES)?,
            steps: txn.open_table(tables::STEPS)?,
            journal: txn.open_table(tables::JOURNAL)?,
            logs: Cached::new(txn.open_table(tables::LOGS)?),
            channels: Cached::new(txn.open_table(tables::CHANNELS)?),
            threads: Cached::new(txn.open_table(tables::THREADS)?),
            rooms: Cached::new(txn.open_table(tables::ROOMS)?),
            sessions: Cached::new(txn.open_table(tables::SESSIONS)?),
            streams: Cached::new(txn.open_table(tables::STREAMS)?),
        })
    }

    /// Writes what was kept back; the commit follows.
    pub(crate) fn finish(mut self) -> Result<Changes, StoreError> {
        self.cap_heights()?;
        self.logs.flush()?;
        self.channels.flush()?;
        self.threads.flush()?;
        self.rooms.flush()?;
        self.sessions.flush()?;
        self.streams.flush()?;
        self.changes.last_event = self.memory.journal_next - 1;
        Ok(self.changes)
    }

    /// Of a log that was cut or frozen no more is told than counts.
    fn cap_heights(&mut self) -> Result<(), StoreError> {
        let mut spaces = std::mem::take(&mut self.changes.spaces);
        for (space, change) in &mut spaces {
            let Some(control) = self.control_state(*space) else { continue };
            for height in change.heights.values_mut() {
                let log = LogId { space: *space, author: height.author, incarnation: height.incarnation };
                height.seq = self.log(&log)?.map_or(0, |row| capped(&row, &log, &control));
            }
        }
        self.changes.spaces = spaces;
        Ok(())
    }

    /// Unix milliseconds, as the newest writer of this batch said.
    pub(crate) fn now_ms(&self) -> u64 {
        self.memory.now_ms
    }

    /// The same in whole seconds, as envelopes count.
    pub(crate) fn now_s(&self) -> i64 {
        i64::try_from(self.memory.now_ms / 1000).unwrap_or(i64::MAX)
    }

    /// This node.
    pub fn me(&self) -> NodeId {
        self.memory.identity.node()
    }

    /// The control state of a space, this batch's own entries included.
    pub fn control_state(&self, space: SpaceId) -> Option<Arc<ControlState>> {
        let private = || self.memory.private(space).map(|private| &private.control);
        self.memory.controls.get(&space).or_else(private).cloned()
    }

    /// The space of the workspace that a space belongs to: of a private one its workspace's, else itself.
    pub(crate) fn workspace_of(&self, space: SpaceId) -> SpaceId {
        self.memory.private(space).map_or(space, |private| private.workspace)
    }

    /// Whether this node may write in a workspace now, to all or to one.
    pub(crate) fn may_write(&self, workspace: SpaceId) -> bool {
        let control = self.memory.controls.get(&workspace);
        control.and_then(|control| control.role(self.me())).is_some_and(Role::writes)
    }

    /// The control state of a space in which this node may write now.
    pub(crate) fn writable_space(&self, space: SpaceId) -> Result<Option<Arc<ControlState>>, StoreError> {
        let control = self.control_state(space).filter(|_| self.may_write(self.workspace_of(space)));
        let control = control.filter(|control| control.role(self.me()).is_some_and(Role::writes));
        Ok(if self.holds(space)? { control } else { None })
    }

    /// The pair space of this node and another in a workspace, begun if need be. `None` when this store does
    /// not hold the workspace. Idempotent.
    pub fn begin_pair(&mut self, workspace: SpaceId, other: NodeId) -> Result<Option<SpaceId>, StoreError> {
        let Some(control) = self.memory.controls.get(&workspace) else { return Ok(None) };
        let space = SpaceId::pair(workspace, self.me(), other);
        if self.memory.pairs.contains_key(&space) {
            return Ok(Some(space));
        }
        let control = Arc::new(ControlState::pair(control, self.me(), other));
        let number = self.new_space_number(space)?;
        self.pairs.insert(number, rows::write(&PairRow { workspace, other }).as_slice())?;
        self.memory.pairs.insert(space, PrivateSpace { workspace, control });
        self.memory.revision += 1;
        Ok(Some(space))
    }

    pub(crate) fn new_space_number(&mut self, space: SpaceId) -> Result<u32, StoreError> {
        let number = u32::try_from(self.memory.space_numbers.len() + 1)
            .map_err(|_| StoreError::Damaged("more spaces than can be counted"))?;
        self.spaces.insert(&space.0, number)?;
        self.memory.space_numbers.insert(space, number);
        self.memory.spaces.insert(number, space);
        Ok(number)
    }

    /// The number of a space that exists in this store.
    pub(crate) fn space_number(&self, space: SpaceId) -> Result<u32, StoreError> {
        let number = self.memory.space_numbers.get(&space).copied();
        number.ok_or(StoreError::Damaged("a space that is used was never begun"))
    }

    /// The space of a number.
    pub(crate) fn space_numbered(&self, number: u32) -> Option<SpaceId> {
        self.memory.spaces.get(&number).copied()
    }

    /// Begins another log of our own in a space, after the one of `closed`. It is random, because a twin of
    /// this store, which is how most logs come to fork, does the same.
    pub(crate) fn take_incarnation(&mut self, space: SpaceId, closed: u64) -> Result<u64, StoreError> {
        let whole = hash("muster/incarnation/v1", &[&self.memory.fresh, &space.0, &closed.to_be_bytes()]);
        let [a, b, c, d, e, f, g, h, ..] = whole;
        let incarnation = u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1);
        self.meta.insert(schema::incarnation_key(space).as_str(), &incarnation.to_be_bytes()[..])?;
        self.memory.incarnations.insert(space, incarnation);
        Ok(incarnation)
    }

    pub(crate) fn log(&mut self, log: &LogId) -> Result<Option<LogRow>, StoreError> {
        let key = tables::log_key(self.space_number(log.space)?, log.author, log.incarnation);
        self.logs.get(&key)
    }

    /// The log's row, or a new one with a number of its own.
    pub(crate) fn log_or_new(&mut self, log: &LogId) -> Result<LogRow, StoreError> {
        if let Some(row) = self.log(log)? {
            return Ok(row);
        }
        let number = self.memory.log_next;
        self.memory.log_next += 1;
        Ok(LogRow::new(number))
    }

    pub(crate) fn put_log(&mut self, log: &LogId, row: LogRow) -> Result<(), StoreError> {
        let key = tables::log_key(self.space_number(log.space)?, log.author, log.incarnation);
        self.logs.put(key, row);
        let height = Height { author: log.author, incarnation: log.incarnation, seq: row.seq };
        self.changes.space(log.space).heights.insert((log.author, log.incarnation), height);
        Ok(())
    }

    /// All logs of an author in a space: incarnation and row.
    pub(crate) fn logs_of(
        &mut self,
        space: SpaceId,
        author: NodeId,
    ) -> Result<Vec<(u64, LogRow)>, StoreError> {
        let number = self.space_number(space)?;
        let (from, to) = (tables::log_key(number, author, 0), tables::log_key(number, author, u64::MAX));
        let rows = self.logs.range(&from, &to)?;
        Ok(rows
            .into_iter()
            .map(|(key, row)| {
                let mut incarnation = [0; 8];
                incarnation.copy_from_slice(&key[36..]);
                (u64::from_be_bytes(incarnation), row)
            })
            .collect())
    }

    pub(crate) fn channel(
        &mut self,
        space: SpaceId,
        stream: StreamId,
    ) -> Result<Option<ChannelRecord>, StoreError> {
        let key = tables::named_key(self.space_number(space)?, stream.0);
        self.channels.get(&key)
    }

    pub(crate) fn put_channel(
        &mut self,
        space: SpaceId,
        stream: StreamId,
        record: ChannelRecord,
    ) -> Result<(), StoreError> {
        let key = tables::named_key(self.space_number(space)?, stream.0);
        self.channels.put(key, record);
        Ok(())
    }

    pub(crate) fn thread(
        &mut self,
        stream: StreamId,
        thread: Short,
    ) -> Result<Option<ThreadRecord>, StoreError> {
        let record = self.threads.get(&tables::pair_key(stream.0, thread))?;
        Ok(record.filter(|record| record.messages > 0))
    }

    pub(crate) fn put_thread(&mut self, stream: StreamId, thread: Short, record: ThreadRecord) {
        self.threads.put(tables::pair_key(stream.0, thread), record);
    }

    /// A room that exists: somebody resolved it, or spoke in it.
    pub(crate) fn room(&mut self, key: &[u8; 20]) -> Result<Option<RoomRecord>, StoreError> {
        Ok(self.stored_room(key)?.filter(RoomRecord::exists))
    }

    /// A room, also one of which nothing counts any more.
    pub(crate) fn stored_room(&mut self, key: &[u8; 20]) -> Result<Option<RoomRecord>, StoreError> {
        self.rooms.get(key)
    }

    pub(crate) fn put_room(&mut self, key: [u8; 20], record: RoomRecord) {
        self.rooms.put(key, record);
    }

    pub(crate) fn session(&mut self, space: SpaceId, id: &str) -> Result<Option<SessionRecord>, StoreError> {
        let key = session_key(self.space_number(space)?, id);
        self.sessions.get(&key)
    }

    pub(crate) fn put_session(&mut self, space: SpaceId, record: SessionRecord) -> Result<(), StoreError> {
        let key = session_key(self.space_number(space)?, &record.id);
        self.sessions.put(key, record);
        Ok(())
    }

    /// A stream of the Workspace door, by its key there.
    pub(crate) fn stream(&self, key: &[u8; 20]) -> Result<Option<StreamRecord>, StoreError> {
        self.streams.get(key)
    }

    pub(crate) fn put_stream(&mut self, key: [u8; 20], record: StreamRecord) {
        self.streams.put(key, record);
    }

    /// Notes that something happened; listeners of the event stream see it after the commit.
    pub(crate) fn journal(&mut self, record: &JournalRecord) -> Result<(), StoreError> {
        let number = self.memory.journal_next;
        self.memory.journal_next += 1;
        self.journal.insert(number, rows::write(record).as_slice())?;
        Ok(())
    }

    /// Counts a message of a participant of a thread or channel; true when it is its first.
    pub(crate) fn participates(&mut self, of: Short, peer: &str) -> Result<bool, StoreError> {
        let key = tables::pair_key(of, tables::short(b"peer", peer));
        let before = self.participants.get(&key)?.map_or(0, |messages| messages.value());
        self.participants.insert(&key, before + 1)?;
        Ok(before == 0)
    }

    /// Takes a message of a participant back; true when it was its last.
    pub(crate) fn participates_less(&mut self, of: Short, peer: &str) -> Result<bool, StoreError> {
        let key = tables::pair_key(of, tables::short(b"peer", peer));
        let before = self.participants.get(&key)?.map_or(0, |messages| messages.value());
        if before > 1 {
            self.participants.insert(&key, before - 1)?;
        } else {
            self.participants.remove(&key)?;
        }
        Ok(before == 1)
    }
}

pub(crate) fn session_key(space: u32, id: &str) -> [u8; 20] {
    tables::named_key(space, tables::short(b"session", id))
}

/// The key of a session's inbox.
pub(crate) fn inbox_of(id: &str) -> Short {
    tables::short(b"inbox", id)
}

/// A table whose changed rows are written once per batch.
struct Cached<'t, const N: usize, R> {
    table: Table<'t, &'static [u8; N], Bytes>,
    rows: BTreeMap<[u8; N], R>,
}

impl<'t, const N: usize, R> Cached<'t, N, R>
where
    R: Clone + serde::Serialize + serde::de::DeserializeOwned,
{
    fn new(table: Table<'t, &'static [u8; N], Bytes>) -> Self {
        Self { table, rows: BTreeMap::new() }
    }

    fn get(&self, key: &[u8; N]) -> Result<Option<R>, StoreError> {
        if let Some(row) = self.rows.get(key) {
            return Ok(Some(row.clone()));
        }
        self.table.get(key)?.map(|row| rows::read(row.value())).transpose()
    }

    fn put(&mut self, key: [u8; N], row: R) {
        self.rows.insert(key, row);
    }

    fn range(&self, from: &[u8; N], to: &[u8; N]) -> Result<BTreeMap<[u8; N], R>, StoreError> {
        let mut found = BTreeMap::new();
        for entry in self.table.range::<&[u8; N]>(from..=to)? {
            let (key, row) = entry?;
            found.insert(*key.value(), rows::read(row.value())?);
        }
        found.extend(self.rows.range(*from..=*to).map(|(key, row)| (*key, row.clone())));
        Ok(found)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        for (key, row) in std::mem::take(&mut self.rows) {
            self.table.insert(&key, rows::write(&row).as_slice())?;
        }
        Ok(())
    }
}
