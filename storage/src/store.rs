//! Opening a store, and the handle through which everybody else reads and writes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

use muster_protocol::{
    clock::{Hlc, HlcClock},
    control::{ControlError, ControlState},
    fork::ForkProof,
    identity::{Identity, NodeId},
    ids::{LogId, SpaceId, StoreId, StreamId, WorkspaceId},
    mutants::{self, Mutant},
    network::PeerName,
    operation::Operation,
    sync::Height,
};
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend};

use crate::{
    Blobs, StoreError,
    batch::{Batch, LocalPeer, Memory, PrivateSpace},
    error::OpenError,
    migrate,
    published::Published,
    read::View,
    rows::{self, LogRow, PairRow, SessionRecord},
    schema::{self, Place},
    tables,
    writer::{Committer, Listener, NotTaken, Work, Write, Writer, lock},
};

/// Where the bytes are.
pub enum Disk {
    /// A file, made when it is missing.
    File(PathBuf),
    /// Anything else that stores bytes; simulations bring a disk that crashes.
    Backend(Box<dyn StorageBackend>),
    /// The same, with bytes that were brought there from elsewhere: a copy, though not marked as one.
    Copied(Box<dyn StorageBackend>),
}

/// How a store works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes of redb's page cache. Its own default is 1 GiB.
    pub cache_bytes: usize,
    /// Envelopes that may wait for one session (N-97).
    pub inbox_depth: usize,
    /// Write in the caller's thread, one commit each: for simulations, where time stands still meanwhile.
    pub inline: bool,
    /// Random bytes, others at each opening: for the ids that a new store, a restored one, or a log that
    /// follows a closed one takes.
    pub fresh: [u8; 24],
    /// Where blobs are kept.
    pub blobs: PathBuf,
}

/// Acknowledgements not yet written: by peer and log number, up to which operation.
pub(crate) type PendingAcks = BTreeMap<(NodeId, u32), u64>;

/// A node's store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    id: StoreId,
    node: NodeId,
    incarnation: u64,
    db: Arc<Database>,
    published: Arc<Published>,
    writer: Writer,
    listener: Arc<OnceLock<Box<dyn Listener>>>,
    blobs: Blobs,
    /// Logs being pulled, from whom and since when; see [`muster_protocol::sync::View::claim_pull`].
    pulls: Mutex<BTreeMap<LogId, (NodeId, u64)>>,
    /// Acknowledgements not yet written; they ride on the next commit.
    acks: Arc<Mutex<PendingAcks>>,
}

/// With the last handle the writer goes too, so that whoever opens the file next finds it free.
impl Drop for Inner {
    fn drop(&mut self) {
        self.writer.close();
    }
}

impl Store {
    /// Opens or makes a store. It belongs to the node whose key is given.
    pub fn open(disk: Disk, identity: Arc<Identity>, options: &Options) -> Result<Self, OpenError> {
        // redb takes some damage for impossible and panics, as after a disk that lied about a sync.
        let opened = std::panic::AssertUnwindSafe(|| Self::open_whole(disk, identity, options));
        std::panic::catch_unwind(opened).unwrap_or_else(|_| {
            Err(StoreError::Damaged("its file does not hold what was written into it").into())
        })
    }

    fn open_whole(disk: Disk, identity: Arc<Identity>, options: &Options) -> Result<Self, OpenError> {
        let mut builder = redb::Builder::new();
        builder.set_cache_size(options.cache_bytes);
        let with = |backend| builder.create_with_backend(BoxedBackend(backend)).map_err(open_error);
        let (opened, place) = match disk {
            Disk::File(path) => {
                let db = schema::open_file(&builder, &path)?;
                migrate::up(&db, &path, identity.node())?;
                (db, Place::of(&path).map_err(StoreError::File)?)
            }
            Disk::Backend(backend) => (with(backend)?, Place::Unknown),
            Disk::Copied(backend) => (with(backend)?, Place::Elsewhere),
        };
        let life = schema::prepare(&opened, identity.node(), &options.fresh, place)?;
        let db = Arc::new(opened);
        let node = identity.node();
        let mut memory = remember(&db, identity, life.incarnation, options).map_err(OpenError::Store)?;
        migrate::list_all(&db, &mut memory)?;
        let published = Arc::new(Published::default());
        published.set(&memory, memory.journal_next - 1);
        let listener = Arc::new(OnceLock::new());
        let committer = Committer {
            db: db.clone(),
            memory,
            published: published.clone(),
            listener: listener.clone(),
            failed: false,
        };
        let writer = if options.inline {
            Writer::inline(committer)
        } else {
            Writer::thread(committer).map_err(StoreError::File)?
        };
        let blobs = Blobs::open(&options.blobs).map_err(StoreError::File)?;
        Ok(Self {
            inner: Arc::new(Inner {
                id: life.store,
                node,
                incarnation: life.incarnation,
                db,
                published,
                writer,
                listener,
                blobs,
                pulls: Mutex::default(),
                acks: Arc::default(),
            }),
        })
    }

    /// Who is told about commits. To be set once, before the first write that anybody waits for.
    pub fn listen(&self, listener: Box<dyn Listener>) {
        // A second listener would be a mistake of the program; the first one stays.
        let _ = self.inner.listener.set(listener);
    }

    /// The random id of this store.
    pub fn id(&self) -> StoreId {
        self.inner.id
    }

    /// The node it belongs to.
    pub fn node(&self) -> NodeId {
        self.inner.node
    }

    /// The incarnation under which this node writes its logs. Where such a log was closed, because this node
    /// was removed or its log forked, the log that followed has another.
    pub fn incarnation(&self) -> u64 {
        self.inner.incarnation
    }

    /// Files named by their hash.
    pub fn blobs(&self) -> &Blobs {
        &self.inner.blobs
    }

    /// Asks for a write. `work` runs inside the next transaction; `reply` gets its result once that is
    /// durable. When the store fails, `reply` is dropped unused.
    ///
    /// # Errors
    /// [`NotTaken`]; then neither ran.
    pub fn write<T, W, R>(&self, now_ms: u64, work: W, reply: R) -> Result<(), NotTaken>
    where
        T: Send + 'static,
        W: FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
        R: FnOnce(T) + Send + 'static,
    {
        let acks = self.inner.acks.clone();
        let work: Work = Box::new(move |batch| {
            for ((peer, log), seq) in std::mem::take(&mut *lock(&acks)) {
                batch.acks.insert(&tables::ack_key(peer, log), seq)?;
            }
            let result = work(batch)?;
            Ok(Box::new(move || reply(result)))
        });
        self.inner.writer.submit(Write { now_ms, work })
    }

    /// A consistent view of everything committed so far. Not to be kept across a wait: it pins pages.
    pub fn view(&self) -> Result<View, StoreError> {
        let state = self.inner.published.get();
        Ok(View::new(self.inner.db.begin_read()?, state, self.inner.node, self.inner.acks.clone()))
    }

    /// The control state of a workspace's space, of a pair or a group space, as of the newest commit.
    pub fn control(&self, space: SpaceId) -> Option<Arc<ControlState>> {
        self.inner.published.get().control(space)
    }

    /// The workspace in which a space is the pair space of this node and another; also when nothing was said
    /// in it yet.
    pub fn paired_in(&self, space: SpaceId, other: NodeId) -> Option<SpaceId> {
        let state = self.inner.published.get();
        if state.controls.contains_key(&space) || state.groups.contains_key(&space) {
            return None; // as most are: no need to look at all of them
        }
        let mut workspaces = state.controls.keys();
        workspaces.find(|workspace| SpaceId::pair(**workspace, self.inner.node, other) == space).copied()
    }

    /// How many groups of a workspace have their home here.
    pub fn groups_at_home(&self, workspace: SpaceId) -> usize {
        let state = self.inner.published.get();
        let here = |group: &&PrivateSpace| group.control.home() == self.inner.node;
        state.groups.values().filter(|group| group.workspace == workspace).filter(here).count()
    }

    /// The space of a workspace.
    pub fn space_of(&self, workspace: WorkspaceId) -> Option<SpaceId> {
        self.inner.published.get().workspaces.get(&workspace).copied()
    }

    /// Whether this store is a copy that may lack what was decided since it was made, in a workspace or in a group there.
    pub fn awaits_word(&self, workspace: SpaceId) -> bool {
        let state = self.inner.published.get();
        state.unsettled.keys().any(|space| state.workspace_of(*space) == workspace)
    }

    /// Of a workspace whose home this node is, while its store is a copy that may lack what was decided
    /// since: the members that did not say yet how much they hold of the control log.
    pub fn unsettled(&self, space: SpaceId) -> Option<Vec<NodeId>> {
        let state = self.inner.published.get();
        let control = state.controls.get(&space).filter(|control| control.home() == self.inner.node)?;
        let heard = state.unsettled.get(&space)?;
        let members = control.members().map(|(node, _, _)| node);
        Some(members.filter(|node| *node != self.inner.node && !heard.contains(node)).collect())
    }

    /// The spaces of all workspaces.
    pub fn spaces(&self) -> Vec<SpaceId> {
        self.inner.published.get().controls.keys().copied().collect()
    }

    /// Number of the newest event.
    pub fn last_event(&self) -> u64 {
        self.inner.published.get().last_event
    }

    /// The Unix second before which nothing that waits in an inbox expires.
    pub fn next_expiry_s(&self) -> i64 {
        self.inner.published.get().next_expiry_s
    }

    /// Notes how much of our logs a peer holds durably. Written with the next commit: losing it
    /// costs nothing but asking again.
    pub fn note_acks(&self, peer: NodeId, space: SpaceId, heights: &[Height]) -> Result<(), StoreError> {
        let view = self.view()?;
        let mut acks = lock(&self.inner.acks);
        for height in heights.iter().filter(|height| height.author == self.inner.node) {
            let log = LogId { space, author: height.author, incarnation: height.incarnation };
            if let Some(row) = view.log(&log)? {
                let known = acks.entry((peer, row.number)).or_insert(0);
                *known = (*known).max(height.seq.min(row.seq));
            }
        }
        Ok(())
    }

    pub(crate) fn claim_pull(&self, log: &LogId, peer: NodeId, now_ms: u64, stale_ms: u64) -> bool {
        let mut pulls = lock(&self.inner.pulls);
        match pulls.get(log) {
            Some((other, since_ms)) if *other != peer && now_ms < since_ms + stale_ms => false,
            _ => {
                pulls.insert(*log, (peer, now_ms));
                pulls.retain(|_, (_, since_ms)| now_ms < *since_ms + stale_ms);
                true
            }
        }
    }

    /// Copies the store, consistent, into a new file while it is in use. The copy knows that it is one.
    pub fn backup(&self, path: &Path) -> Result<u64, crate::BackupError> {
        crate::backup::copy(&self.inner.db, path)
    }

    /// Takes no more writes and waits until those taken are durable.
    pub fn close(&self) {
        self.inner.writer.close();
    }
}

pub(crate) fn open_error(error: redb::DatabaseError) -> OpenError {
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => OpenError::InUse,
        other => OpenError::Store(other.into()),
    }
}

#[derive(Debug)]
struct BoxedBackend(Box<dyn StorageBackend>);

impl StorageBackend for BoxedBackend {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
    fn close(&self) -> std::io::Result<()> {
        self.0.close()
    }
}

/// Reads what the writer keeps in memory.
fn remember(
    db: &Database,
    identity: Arc<Identity>,
    incarnation: u64,
    options: &Options,
) -> Result<Memory, StoreError> {
    let txn = db.begin_read()?;
    let mut space_numbers = BTreeMap::new();
    for entry in txn.open_table(tables::SPACES)?.iter()? {
        let (space, number) = entry?;
        space_numbers.insert(SpaceId(*space.value()), number.value());
    }
    let meta = txn.open_table(tables::META)?;
    let control = txn.open_table(tables::CONTROL)?;
    let pair_rows = txn.open_table(tables::PAIRS)?;
    let group_rows = txn.open_table(tables::GROUPS)?;
    let (mut controls, mut paired, mut grouped) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (space, number) in &space_numbers {
        if let Some(row) = pair_rows.get(number)? {
            paired.push((*space, rows::read::<PairRow>(row.value())?));
            continue;
        }
        if let Some(workspace) = group_rows.get(number)? {
            grouped.push((*space, *number, SpaceId(*workspace.value())));
            continue;
        }
        let mut state = read_control(&control, *number, ControlState::begin)?;
        note_fork(&meta, *space, &mut state)?;
        controls.insert(*space, Arc::new(state));
    }
    let mut groups = BTreeMap::new();
    for (space, number, workspace) in grouped {
        let genesis = controls.get(&workspace).map(|control| control.genesis());
        let genesis = genesis.ok_or(StoreError::Damaged("a group without its workspace"))?;
        let mut state = read_control(&control, number, |op| ControlState::group(genesis, op))?;
        note_fork(&meta, space, &mut state)?;
        groups.insert(space, PrivateSpace { workspace, control: Arc::new(state) });
    }
    let mut pairs = BTreeMap::new();
    for (space, PairRow { workspace, other }) in paired {
        let control: Option<&Arc<ControlState>> = controls.get(&workspace);
        let control = control.ok_or(StoreError::Damaged("a pair space without its workspace"))?;
        let control = Arc::new(ControlState::pair(control, identity.node(), other));
        pairs.insert(space, PrivateSpace { workspace, control });
    }
    let (mut log_next, mut newest) = (1, Hlc(0));
    for entry in txn.open_table(tables::LOGS)?.iter()? {
        let row: LogRow = rows::read(entry?.1.value())?;
        log_next = log_next.max(row.number + 1);
        // Of all logs: what is written next may answer anything that is stored, and has to be later.
        if !mutants::is(Mutant::ForgottenClock) {
            newest = newest.max(row.hlc);
        }
    }
    let journal_next = txn.open_table(tables::JOURNAL)?.last()?.map_or(1, |(number, _)| number.value() + 1);
    let mut local_peers: BTreeMap<StreamId, Vec<LocalPeer>> = BTreeMap::new();
    let mut expiring = Vec::new();
    let (order, sessions) = (txn.open_table(tables::SESSION_ORDER)?, txn.open_table(tables::SESSIONS)?);
    for (space, number) in &space_numbers {
        let first = tables::session_order_key(*number, false, 0, &[0; 20]);
        let end = tables::session_order_key(*number, true, u64::MAX, &[0; 20]);
        for entry in order.range::<&[u8; 29]>(&first..&end)? {
            let row = sessions.get(&tables::ordered_session(entry?.0.value()))?;
            let row = row.ok_or(StoreError::Damaged("a session that is pointed at is missing"))?;
            let record: SessionRecord = rows::read(row.value())?;
            let peer = PeerName::parse(&record.peer)
                .map_err(|_| StoreError::Damaged("a stored name is outside its grammar"))?;
            let stream = StreamId::channel(*space, &record.channel);
            local_peers.entry(stream).or_default().push(LocalPeer { session: record.id.clone(), peer });
            if record.expires_s != 0 {
                expiring.push((*space, record));
            }
        }
    }
    let unsettled = schema::unsettled(&meta, space_numbers.keys().copied())?;
    let unsettled = unsettled.into_iter().map(|space| (space, BTreeSet::new())).collect();
    let mut memory = Memory {
        identity,
        incarnation,
        incarnations: schema::incarnations(&meta, space_numbers.keys().copied())?,
        fresh: options.fresh,
        clock: HlcClock::after(newest),
        controls,
        pairs,
        groups,
        spaces: space_numbers.iter().map(|(space, number)| (*number, *space)).collect(),
        space_numbers,
        revision: 1,
        log_next,
        journal_next,
        local_peers,
        inbox_depth: options.inbox_depth as u64,
        expiries: BTreeMap::new(),
        next_expiry_s: i64::MAX,
        now_ms: 0,
        unsettled,
        unreadable: BTreeSet::new(),
    };
    for (space, record) in &expiring {
        memory.expires(*space, record);
    }
    Ok(memory)
}

/// What a control log says, from its entries.
fn read_control(
    entries: &impl ReadableTable<&'static [u8; 12], &'static [u8]>,
    number: u32,
    begin: impl Fn(&Operation) -> Result<ControlState, ControlError>,
) -> Result<ControlState, StoreError> {
    let (from, to) = (tables::control_key(number, 1), tables::control_key(number, u64::MAX));
    let mut state: Option<ControlState> = None;
    for entry in entries.range::<&[u8; 12]>(&from..=&to)? {
        let damaged = StoreError::Damaged("an entry of a control log does not continue it");
        let Ok(op) = Operation::decode(entry?.1.value()) else { return Err(damaged) };
        match &mut state {
            None => state = Some(begin(&op).map_err(|_| damaged)?),
            Some(state) => drop(state.apply(&op).map_err(|_| damaged)?),
        }
    }
    state.ok_or(StoreError::Damaged("a space without its genesis"))
}

/// A control log that was proved to fork stays so.
fn note_fork(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    space: SpaceId,
    state: &mut ControlState,
) -> Result<(), StoreError> {
    if let Some(proof) = meta.get(schema::forked_key(space).as_str())? {
        let proof = ForkProof::decode(proof.value());
        state.fork(proof.map_err(|_| StoreError::Damaged("a proof of a fork cannot be read"))?);
    }
    Ok(())
}
