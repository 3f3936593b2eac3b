//! Reading a store from end to end, to know before it is put in place whether it can be trusted.
//!
//! Nothing of the file changes: what redb writes while it repairs stays in memory. Every operation is decoded, its
//! signature checked, and every log followed from its first operation to its head. One bit of the file's head says which
//! of the last two commits counts; nothing guards that one, so a store may be read as it was one commit before.

use std::{collections::BTreeMap, fs::File, panic, path::Path};

use muster_protocol::{
    control::{ControlError, ControlState},
    identity::NodeId,
    ids::{LogId, OpId, SpaceId},
    operation::Operation,
};
use redb::{ReadTransaction, ReadableDatabase, ReadableTable};

use crate::{
    StoreError,
    append::op_from_bytes,
    error::OpenError,
    overlay::Overlay,
    rows::{self, LogRow},
    schema::{self, SCHEMA_VERSION},
    tables,
};

/// Bytes of cache while reading.
const VERIFY_CACHE_BYTES: usize = 16 * 1024 * 1024;

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Its schema version.
    pub schema: u32,
    /// The node it belongs to.
    pub node: NodeId,
    /// Whether it is marked as a copy, as backups are.
    pub is_marked: bool,
    /// The file's size in bytes.
    pub bytes: u64,
    /// Its workspaces, by name. Empty for a store of an earlier schema, which is read when it was brought up to date.
    pub workspaces: Vec<FoundWorkspace>,
    /// How much of each log it holds, those of pair spaces included; control logs as the founder's incarnation 0. Empty
    /// for a store of an earlier schema.
    pub heights: BTreeMap<LogId, u64>,
}

/// One workspace of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundWorkspace {
    /// Its public id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Nodes that are members.
    pub members: usize,
    /// Entries of its control log.
    pub entries: u64,
    /// Operations of members, without what two nodes said only to each other.
    pub operations: u64,
}

/// Reads the whole store in a file; of one of an earlier schema, its checksums and its owner.
///
/// # Errors
/// What [`crate::Store::open`] would say, and [`StoreError::Damaged`] where something is not as it was signed.
pub fn verify(path: &Path) -> Result<Findings, OpenError> {
    // redb takes some damage for impossible and panics.
    let read = panic::AssertUnwindSafe(|| read(path));
    panic::catch_unwind(read)
        .unwrap_or_else(|_| Err(damaged("its file does not hold what was written into it")))
}

fn damaged(what: &'static str) -> OpenError {
    StoreError::Damaged(what).into()
}

fn read(path: &Path) -> Result<Findings, OpenError> {
    let file = File::open(path).map_err(StoreError::File)?;
    let bytes = file.metadata().map_err(StoreError::File)?.len();
    if bytes == 0 {
        return Err(damaged("its file is empty"));
    }
    let mut builder = redb::Builder::new();
    builder.set_cache_size(VERIFY_CACHE_BYTES);
    let overlay = Overlay::new(file).map_err(StoreError::File)?;
    // One that was not closed is repaired here, as when a node starts on it. What does not fit after that is damage.
    let mut db = builder.create_with_backend(overlay).map_err(StoreError::from)?;
    if !db.check_integrity().map_err(StoreError::from)? {
        return Err(damaged("its checksums do not fit what it holds"));
    }
    let schema = schema::read_version(&db)?.ok_or_else(|| damaged("it is no store of a node"))?;
    if schema > SCHEMA_VERSION {
        return Err(OpenError::Newer { found: schema, known: SCHEMA_VERSION });
    }
    let (node, is_marked) = schema::owner(&db)?;
    let mut findings =
        Findings { schema, node, is_marked, bytes, workspaces: Vec::new(), heights: BTreeMap::new() };
    if schema == SCHEMA_VERSION {
        let txn = db.begin_read().map_err(StoreError::from)?;
        read_spaces(&txn, &mut findings)?;
    }
    Ok(findings)
}

fn read_spaces(txn: &ReadTransaction, findings: &mut Findings) -> Result<(), StoreError> {
    let mut spaces = BTreeMap::new();
    for entry in txn.open_table(tables::SPACES)?.iter()? {
        let (space, number) = entry?;
        spaces.insert(number.value(), SpaceId(*space.value()));
    }
    let mut operations = BTreeMap::new();
    for entry in txn.open_table(tables::LOGS)?.iter()? {
        let (key, row) = entry?;
        let (log, row) = (log_of(key.value(), &spaces)?, rows::read::<LogRow>(row.value())?);
        follow(txn, &log, &row)?;
        *operations.entry(log.space).or_insert(0) += row.seq;
        findings.heights.insert(log, row.seq);
    }
    let (pairs, groups) = (txn.open_table(tables::PAIRS)?, txn.open_table(tables::GROUPS)?);
    let mut begun = BTreeMap::new();
    for (number, space) in &spaces {
        if pairs.get(number)?.is_some() || groups.get(number)?.is_some() {
            continue;
        }
        let control = read_control(txn, *number, ControlState::begin)?;
        note_entries(*space, &control, findings);
        findings.workspaces.push(FoundWorkspace {
            id: control.genesis().workspace.to_string(),
            name: control.genesis().name.clone(),
            members: control.members().count(),
            entries: control.height(),
            operations: operations.get(space).copied().unwrap_or_default(),
        });
        begun.insert(*space, control.genesis().clone());
    }
    for entry in groups.iter()? {
        let (number, workspace) = entry?;
        let orphan = StoreError::Damaged("a group without its workspace");
        let genesis = begun.get(&SpaceId(*workspace.value())).ok_or(orphan)?;
        let control = read_control(txn, number.value(), |op| ControlState::group(genesis, op))?;
        note_entries(control.space(), &control, findings);
    }
    findings.workspaces.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(())
}

fn note_entries(space: SpaceId, control: &ControlState, findings: &mut Findings) {
    let entries = LogId { space, author: control.genesis().founder, incarnation: 0 };
    findings.heights.insert(entries, control.height());
}

fn log_of(key: &[u8; 44], spaces: &BTreeMap<u32, SpaceId>) -> Result<LogId, StoreError> {
    let broken = || StoreError::Damaged("a log stands in no space");
    let (number, rest) = key.split_first_chunk::<4>().ok_or_else(broken)?;
    let (author, rest) = rest.split_first_chunk::<32>().ok_or_else(broken)?;
    let space = spaces.get(&u32::from_be_bytes(*number)).copied().ok_or_else(broken)?;
    let incarnation = rest.first_chunk::<8>().copied().map(u64::from_be_bytes).ok_or_else(broken)?;
    let author = NodeId::from_bytes(*author).map_err(|_| StoreError::Damaged("a log has no author"))?;
    Ok(LogId { space, author, incarnation })
}

/// Follows a log from its beginning to its head.
fn follow(txn: &ReadTransaction, log: &LogId, row: &LogRow) -> Result<(), StoreError> {
    let ops = txn.open_table(tables::OPS)?;
    let mut prev = OpId::NONE;
    for seq in 1..=row.seq {
        let bytes = ops.get(&tables::op_key(row.number, seq))?;
        let bytes = bytes.ok_or(StoreError::Damaged("a log has a hole"))?;
        let op = op_from_bytes(bytes.value())?;
        let header = op.header();
        if header.log() != *log || header.seq != seq || header.prev != prev {
            return Err(StoreError::Damaged("an operation does not continue its log"));
        }
        op.verify().map_err(|_| StoreError::Damaged("an operation is not as its author signed it"))?;
        prev = op.id();
    }
    if prev == row.id { Ok(()) } else { Err(StoreError::Damaged("a log ends elsewhere than its head says")) }
}

fn read_control(
    txn: &ReadTransaction,
    number: u32,
    begin: impl Fn(&Operation) -> Result<ControlState, ControlError>,
) -> Result<ControlState, StoreError> {
    let broken = StoreError::Damaged("an entry of a control log does not continue it");
    let control = txn.open_table(tables::CONTROL)?;
    let (from, to) = (tables::control_key(number, 1), tables::control_key(number, u64::MAX));
    let mut state: Option<ControlState> = None;
    for entry in control.range::<&[u8; 12]>(&from..=&to)? {
        let Ok(op) = Operation::decode(entry?.1.value()) else { return Err(broken) };
        op.verify()
            .map_err(|_| StoreError::Damaged("an entry of a control log is not as the home signed it"))?;
        let continues = match &mut state {
            None => begin(&op).map(|begun| state = Some(begun)),
            Some(state) => state.apply(&op).map(drop),
        };
        if continues.is_err() {
            return Err(broken);
        }
    }
    state.ok_or(StoreError::Damaged("a space without its genesis"))
}
