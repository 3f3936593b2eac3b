//! The version of the file, and the life of the store in it.

use std::path::Path;

use muster_protocol::{identity::NodeId, ids::StoreId};
use redb::{Builder, Database, ReadableDatabase, ReadableTable};

use crate::{StoreError, error::OpenError, store::open_error, tables};

/// The schema this program writes.
pub const SCHEMA_VERSION: u32 = 1;

const VERSION_KEY: &str = "schema_version";
const STORE_KEY: &str = "store_id";
const NODE_KEY: &str = "node";
const INCARNATION_KEY: &str = "incarnation";
/// Set in a copy: whoever opens it takes a new id and a new incarnation.
pub(crate) const COPY_KEY: &str = "copy";

/// One life of a store: what makes its cursors and its logs different from those of another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    pub(crate) store: StoreId,
    pub(crate) incarnation: u64,
}

/// Opens the file, and refuses one that a newer program made before anything in it is touched.
pub(crate) fn open_file(builder: &Builder, path: &Path) -> Result<Database, OpenError> {
    builder.create(path).map_err(open_error)
}

/// Checks version and owner, makes the tables, and takes a new life where one is due.
pub(crate) fn prepare(db: &Database, node: NodeId, fresh: &[u8; 24]) -> Result<Life, OpenError> {
    if let Some(found) = read_version(db)?
        && found > SCHEMA_VERSION
    {
        return Err(OpenError::Newer { found, known: SCHEMA_VERSION });
    }
    let life = take_life(db, node, fresh).map_err(OpenError::Store)?;
    life.ok_or(OpenError::OtherNode)
}

fn read_version(db: &Database) -> Result<Option<u32>, StoreError> {
    let txn = db.begin_read()?;
    let meta = match txn.open_table(tables::META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(version) = meta.get(VERSION_KEY)? else { return Ok(None) };
    let bytes =
        version.value().try_into().map_err(|_| StoreError::Damaged("the schema version cannot be read"))?;
    Ok(Some(u32::from_be_bytes(bytes)))
}

/// `None` when the store belongs to another node.
fn take_life(db: &Database, node: NodeId, fresh: &[u8; 24]) -> Result<Option<Life>, StoreError> {
    let mut txn = db.begin_write()?;
    txn.set_quick_repair(true);
    let life = {
        let mut meta = txn.open_table(tables::META)?;
        if let Some(owner) = meta.get(NODE_KEY)?
            && owner.value() != node.as_bytes()
        {
            return Ok(None);
        }
        let is_copy = meta.remove(COPY_KEY)?.is_some();
        let is_new = meta.get(STORE_KEY)?.is_none();
        if is_new || is_copy {
            meta.insert(VERSION_KEY, SCHEMA_VERSION.to_be_bytes().as_slice())?;
            meta.insert(NODE_KEY, node.as_bytes().as_slice())?;
            meta.insert(STORE_KEY, &fresh[..16])?;
            meta.insert(INCARNATION_KEY, &fresh[16..])?;
        }
        let damaged = || StoreError::Damaged("the store's own ids cannot be read");
        let store: [u8; 16] =
            meta.get(STORE_KEY)?.and_then(|id| id.value().try_into().ok()).ok_or_else(damaged)?;
        let incarnation: [u8; 8] =
            meta.get(INCARNATION_KEY)?.and_then(|id| id.value().try_into().ok()).ok_or_else(damaged)?;
        // Zero is the control log's.
        Life { store: StoreId(store), incarnation: u64::from_be_bytes(incarnation).max(1) }
    };
    open_all(&txn)?;
    txn.commit()?;
    Ok(Some(life))
}

/// Makes every table, so that readers find them.
fn open_all(txn: &redb::WriteTransaction) -> Result<(), StoreError> {
    txn.open_table(tables::SPACES)?;
    txn.open_table(tables::CONTROL)?;
    txn.open_table(tables::LOGS)?;
    txn.open_table(tables::OPS)?;
    txn.open_table(tables::FORKS)?;
    txn.open_table(tables::ACKS)?;
    txn.open_table(tables::CHANNELS)?;
    txn.open_table(tables::TIMELINE)?;
    txn.open_table(tables::THREADS)?;
    txn.open_table(tables::THREAD_ORDER)?;
    txn.open_table(tables::THREAD_RECENT)?;
    txn.open_table(tables::PARTICIPANTS)?;
    txn.open_table(tables::MESSAGES)?;
    txn.open_table(tables::AGENTS)?;
    txn.open_table(tables::SESSIONS)?;
    txn.open_table(tables::SESSION_ORDER)?;
    txn.open_table(tables::INBOX)?;
    txn.open_table(tables::ADDRESSES)?;
    txn.open_table(tables::JOURNAL)?;
    Ok(())
}
