//! A consistent copy of a store that is in use.
//!
//! The copy is made from one read transaction, table by table, into a new file; so it holds exactly one
//! commit's state, and no dead space. It is marked as a copy: whoever opens it gets a new store id and a
//! new incarnation, and so never writes what contradicts the original (research p2p §2.6). It is read
//! back before the backup counts as made.

use std::path::Path;

use redb::{
    Database, Key, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    Value,
};

use crate::{StoreError, schema::COPY_KEY, tables};

/// Bytes of cache while copying: the copy is written once, front to back.
const COPY_CACHE_BYTES: usize = 16 * 1024 * 1024;

/// All tables; `meta`, which carries the mark, comes last.
const TABLES: usize = 20;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something is there already; nothing was changed.
    #[error("{0} exists already; name a new file")]
    Exists(String),
    /// The folder cannot be written, or the disk is full.
    #[error("the backup cannot be written: {0}")]
    Write(std::io::Error),
    /// The copy was written and reads back differently.
    #[error("the backup reads back differently than it was written; the disk may be failing")]
    Unverified,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies into a new file and reads it back. Answers with the file's size in bytes.
pub(crate) fn copy(db: &Database, path: &Path) -> Result<u64, BackupError> {
    // Claims the name; a backup never overwrites anything.
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(path);
    match file {
        Ok(file) => drop(file),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(BackupError::Exists(path.display().to_string()));
        }
        Err(error) => return Err(BackupError::Write(error)),
    }
    let written = write_and_verify(db, path);
    if written.is_err() {
        // Half a backup is worse than none; that it could not be removed changes nothing about that.
        let _ = std::fs::remove_file(path);
    }
    written
}

fn write_and_verify(db: &Database, path: &Path) -> Result<u64, BackupError> {
    let from = db.begin_read().map_err(StoreError::from)?;
    let copied = {
        let copy = redb::Builder::new()
            .set_cache_size(COPY_CACHE_BYTES)
            .create(path)
            .map_err(|error| BackupError::Store(error.into()))?;
        copy_all(&from, &copy)?
    };
    let copy = redb::Builder::new()
        .set_cache_size(COPY_CACHE_BYTES)
        .open(path)
        .map_err(|error| BackupError::Store(error.into()))?;
    let rows = copy.begin_read().map_err(StoreError::from)?;
    if copied != count_all(&rows)? {
        return Err(BackupError::Unverified);
    }
    std::fs::metadata(path).map(|file| file.len()).map_err(BackupError::Write)
}

macro_rules! all_tables {
    ($do:ident, $($argument:expr),*) => {
        [
            $do($($argument,)* tables::SPACES)?,
            $do($($argument,)* tables::CONTROL)?,
            $do($($argument,)* tables::LOGS)?,
            $do($($argument,)* tables::OPS)?,
            $do($($argument,)* tables::FORKS)?,
            $do($($argument,)* tables::ACKS)?,
            $do($($argument,)* tables::CHANNELS)?,
            $do($($argument,)* tables::TIMELINE)?,
            $do($($argument,)* tables::THREADS)?,
            $do($($argument,)* tables::THREAD_ORDER)?,
            $do($($argument,)* tables::THREAD_RECENT)?,
            $do($($argument,)* tables::PARTICIPANTS)?,
            $do($($argument,)* tables::MESSAGES)?,
            $do($($argument,)* tables::AGENTS)?,
            $do($($argument,)* tables::SESSIONS)?,
            $do($($argument,)* tables::SESSION_ORDER)?,
            $do($($argument,)* tables::INBOX)?,
            $do($($argument,)* tables::ADDRESSES)?,
            $do($($argument,)* tables::JOURNAL)?,
            $do($($argument,)* tables::META)?,
        ]
    };
}

fn copy_all(from: &ReadTransaction, copy: &Database) -> Result<[u64; TABLES], StoreError> {
    let to = copy.begin_write()?;
    let counts = all_tables!(copy_table, from, &to);
    to.open_table(tables::META)?.insert(COPY_KEY, [1].as_slice())?;
    to.commit()?;
    Ok(counts)
}

fn copy_table<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &redb::WriteTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<u64, StoreError> {
    let (source, mut target) = (from.open_table(table)?, to.open_table(table)?);
    for entry in source.iter()? {
        let (key, value) = entry?;
        target.insert(key.value(), value.value())?;
    }
    Ok(source.len()?)
}

/// Rows of each table, read one by one, without the mark of the copy.
fn count_all(copy: &ReadTransaction) -> Result<[u64; TABLES], StoreError> {
    let mut counts = all_tables!(count_rows, copy);
    counts[TABLES - 1] -= 1;
    Ok(counts)
}

fn count_rows<K: Key + 'static, V: Value + 'static>(
    copy: &ReadTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<u64, StoreError> {
    let mut rows = 0;
    for entry in copy.open_table(table)?.iter()? {
        entry?;
        rows += 1;
    }
    Ok(rows)
}
