//! The version of the file, and the life of the store in it.

use std::{collections::BTreeMap, path::Path};

use muster_protocol::{
    identity::NodeId,
    ids::{SpaceId, StoreId},
    mutants::{self, Mutant},
};
use redb::{Builder, Database, ReadableDatabase, ReadableTable};

use crate::{StoreError, error::OpenError, overlay::Overlay, store::open_error, tables};

/// The schema this program writes.
pub const SCHEMA_VERSION: u32 = 3;

const VERSION_KEY: &str = "schema_version";
const STORE_KEY: &str = "store_id";
const NODE_KEY: &str = "node";
const INCARNATION_KEY: &str = "incarnation";
/// Set in a copy: whoever opens it takes a new id and a new incarnation.
pub(crate) const COPY_KEY: &str = "copy";
/// Which file the store was in when it was last opened; see [`Place`].
const PLACE_KEY: &str = "place";

/// Where a store's bytes are. A folder copied by hand carries no mark, but its file is another one: so a store
/// found in another place than it was left in counts as a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It cannot be told.
    Unknown,
    /// Somewhere else than before.
    Elsewhere,
    /// In this file: its number and its birth.
    File([u8; 24]),
}

impl Place {
    /// That of a file, on systems that note when a file was made.
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        let file = std::fs::metadata(path)?;
        let since = |made: std::time::SystemTime| made.duration_since(std::time::UNIX_EPOCH).ok();
        let Some(born) = file.created().ok().and_then(since) else { return Ok(Place::Unknown) };
        let mut place = [0; 24];
        place[..8].copy_from_slice(&std::os::unix::fs::MetadataExt::ino(&file).to_be_bytes());
        place[8..].copy_from_slice(&born.as_nanos().to_be_bytes());
        Ok(Place::File(place))
    }

    fn differs_from(self, before: Option<&[u8]>) -> bool {
        match self {
            Place::Unknown => false,
            Place::Elsewhere => true,
            Place::File(place) => before.is_some_and(|before| before != place),
        }
    }
}

/// Where the incarnation is kept that followed a closed log of ours in a space.
const SPACE_INCARNATION: &str = "incarnation/";

pub(crate) fn incarnation_key(space: SpaceId) -> String {
    format!("{SPACE_INCARNATION}{space}")
}

/// Who let this node into a space.
pub(crate) fn welcome_key(space: SpaceId) -> String {
    format!("welcome/{space}")
}

/// The proof that the control log of a space forks.
pub(crate) fn forked_key(space: SpaceId) -> String {
    format!("forked/{space}")
}

/// Set for a space whose control log this store may hold less of than it once did: it is a copy.
pub(crate) fn unsettled_key(space: SpaceId) -> String {
    format!("unsettled/{space}")
}

/// Which of those spaces are unsettled.
pub(crate) fn unsettled(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    spaces: impl Iterator<Item = SpaceId>,
) -> Result<Vec<SpaceId>, StoreError> {
    let mut found = Vec::new();
    for space in spaces {
        if meta.get(unsettled_key(space).as_str())?.is_some() {
            found.push(space);
        }
    }
    Ok(found)
}

/// One life of a store: what makes its cursors and its logs different from those of another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    pub(crate) store: StoreId,
    pub(crate) incarnation: u64,
}

/// The incarnations that followed closed logs, of those spaces.
pub(crate) fn incarnations(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    spaces: impl Iterator<Item = SpaceId>,
) -> Result<BTreeMap<SpaceId, u64>, StoreError> {
    let mut found = BTreeMap::new();
    for space in spaces {
        if let Some(incarnation) = meta.get(incarnation_key(space).as_str())? {
            let incarnation = incarnation.value().try_into();
            let incarnation =
                incarnation.map_err(|_| StoreError::Damaged("an incarnation cannot be read"))?;
            found.insert(space, u64::from_be_bytes(incarnation));
        }
    }
    Ok(found)
}

/// Opens the file, or makes it. One that a newer program made is refused before a byte of it changes.
pub(crate) fn open_file(builder: &Builder, path: &Path) -> Result<Database, OpenError> {
    if !path.try_exists().map_err(StoreError::File)? {
        return create_file(builder, path);
    }
    match builder.open_read_only(path) {
        Ok(db) => check_version(&db)?,
        // It was not closed, and has to be repaired before it can be read.
        Err(redb::DatabaseError::RepairAborted) => {
            let file = std::fs::File::open(path).and_then(Overlay::new).map_err(StoreError::File)?;
            check_version(&builder.create_with_backend(file).map_err(open_error)?)?;
        }
        Err(error) => return Err(open_error(error)),
    }
    builder.open(path).map_err(open_error)
}

/// Makes the file under another name first: redb cannot open one that a crash left half-made, so a name
/// that exists has to be a whole database.
fn create_file(builder: &Builder, path: &Path) -> Result<Database, OpenError> {
    let mut half = path.as_os_str().to_owned();
    half.push(".new");
    let half = Path::new(&half);
    let db = match builder.create(half) {
        Err(redb::DatabaseError::DatabaseAlreadyOpen) => return Err(OpenError::InUse),
        Err(_) if half.exists() => {
            std::fs::remove_file(half).map_err(StoreError::File)?;
            builder.create(half).map_err(open_error)?
        }
        made => made.map_err(open_error)?,
    };
    std::fs::rename(half, path).map_err(StoreError::File)?;
    sync_folder_of(path).map_err(StoreError::File)?;
    Ok(db)
}

/// Makes the name of a file durable.
pub(crate) fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Checks version and owner, makes the tables, and takes a new life where one is due.
pub(crate) fn prepare(
    db: &Database,
    node: NodeId,
    fresh: &[u8; 24],
    place: Place,
) -> Result<Life, OpenError> {
    check_version(db)?;
    let life = take_life(db, node, fresh, place).map_err(OpenError::Store)?;
    life.ok_or(OpenError::OtherNode)
}

fn check_version(db: &impl ReadableDatabase) -> Result<(), OpenError> {
    match read_version(db)? {
        Some(found) if found > SCHEMA_VERSION => Err(OpenError::Newer { found, known: SCHEMA_VERSION }),
        _ => Ok(()),
    }
}

pub(crate) fn read_version(db: &impl ReadableDatabase) -> Result<Option<u32>, StoreError> {
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
fn take_life(
    db: &Database,
    node: NodeId,
    fresh: &[u8; 24],
    place: Place,
) -> Result<Option<Life>, StoreError> {
    let mut txn = db.begin_write()?;
    txn.set_quick_repair(true);
    let life = {
        let mut meta = txn.open_table(tables::META)?;
        if let Some(owner) = meta.get(NODE_KEY)?
            && owner.value() != node.as_bytes()
        {
            return Ok(None);
        }
        let is_new = meta.get(STORE_KEY)?.is_none();
        let moved = place.differs_from(meta.get(PLACE_KEY)?.as_ref().map(|before| before.value()));
        let is_copy = meta.remove(COPY_KEY)?.is_some() || (moved && !is_new);
        let lives_anew = is_new || (is_copy && !mutants::is(Mutant::LostIncarnation));
        if is_copy {
            // They are the original's to go on with.
            meta.retain(|key, _| !key.starts_with(SPACE_INCARNATION))?;
            for space in txn.open_table(tables::SPACES)?.iter()? {
                if !mutants::is(Mutant::HastyHome) {
                    meta.insert(unsettled_key(SpaceId(*space?.0.value())).as_str(), [1].as_slice())?;
                }
            }
        }
        if let Place::File(place) = place {
            meta.insert(PLACE_KEY, place.as_slice())?;
        }
        if lives_anew {
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

/// Makes the tables that are missing.
pub(crate) fn make_tables(db: &Database) -> Result<(), StoreError> {
    let mut txn = db.begin_write()?;
    txn.set_quick_repair(true);
    open_all(&txn)?;
    txn.commit()?;
    Ok(())
}

/// Whether a store belongs to another node than this one.
pub(crate) fn is_of_another(db: &impl ReadableDatabase, node: NodeId) -> Result<bool, StoreError> {
    let meta = db.begin_read()?.open_table(tables::META)?;
    Ok(meta.get(NODE_KEY)?.is_some_and(|owner| owner.value() != node.as_bytes()))
}

/// The node a store belongs to, and whether it is marked as a copy.
pub(crate) fn owner(db: &impl ReadableDatabase) -> Result<(NodeId, bool), StoreError> {
    let meta = db.begin_read()?.open_table(tables::META)?;
    let nobody = StoreError::Damaged("it says no node it belongs to");
    let Some(owner) = meta.get(NODE_KEY)? else { return Err(nobody) };
    let Some(node) = owner.value().try_into().ok().and_then(|bytes| NodeId::from_bytes(bytes).ok()) else {
        return Err(nobody);
    };
    Ok((node, meta.get(COPY_KEY)?.is_some()))
}

/// Marks a store as a copy: whoever opens it next begins another life.
pub(crate) fn mark_copy(db: &Database) -> Result<(), StoreError> {
    let mut txn = db.begin_write()?;
    txn.set_quick_repair(true);
    txn.open_table(tables::META)?.insert(COPY_KEY, [1].as_slice())?;
    txn.commit()?;
    Ok(())
}

/// Says that a store is of this program's version.
pub(crate) fn set_version(txn: &redb::WriteTransaction) -> Result<(), StoreError> {
    txn.open_table(tables::META)?.insert(VERSION_KEY, SCHEMA_VERSION.to_be_bytes().as_slice())?;
    Ok(())
}

/// Makes every table, so that readers find them.
fn open_all(txn: &redb::WriteTransaction) -> Result<(), StoreError> {
    fn open<K: redb::Key + 'static, V: redb::Value + 'static>(
        txn: &redb::WriteTransaction,
        table: redb::TableDefinition<'_, K, V>,
    ) -> Result<(), StoreError> {
        txn.open_table(table)?;
        Ok(())
    }
    tables::all_tables!(open, txn);
    Ok(())
}
