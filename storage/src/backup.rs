//! A consistent copy of a store that is in use.
//!
//! The copy is made from one read transaction, table by table, into a new file; so it holds exactly one
//! commit's state, and no dead space. It is marked as a copy: whoever opens it gets a new store id and a
//! new incarnation, and so never writes what contradicts the original (research p2p §2.6). It is read
//! back before the backup counts as made.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

use redb::{
    Database, Key, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    Value,
};

use crate::{
    StoreError,
    schema::{COPY_KEY, sync_folder_of},
    tables,
};

/// Bytes of cache while copying: the copy is written once, front to back.
const COPY_CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something is there already; nothing was changed.
    #[error("{0} exists already; name a new file")]
    Exists(String),
    /// The folder cannot be written, or the disk is full.
    #[error("the backup cannot be written: {0}")]
    Write(io::Error),
    /// The copy was written and reads back differently.
    #[error("the backup reads back differently than it was written; the disk may be failing")]
    Unverified,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies into a new file and reads it back. Answers with the file's size in bytes.
pub(crate) fn copy(db: &Database, path: &Path) -> Result<u64, BackupError> {
    claim(path)?;
    let written = write_and_verify(db, path);
    if written.is_err() {
        // Half a backup is worse than none; that it could not be removed changes nothing about that.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// Takes the name; a backup never overwrites anything.
fn claim(path: &Path) -> Result<(), BackupError> {
    match new_private(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(BackupError::Exists(path.display().to_string()))
        }
        Err(error) => Err(BackupError::Write(error)),
    }
}

/// Sweeps away what an attempt that was cut off left, if there was one.
pub(crate) fn remove_half(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A file that was not there before. What is said in workspaces is nobody else's on this machine.
pub(crate) fn new_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn write_and_verify(db: &Database, path: &Path) -> Result<u64, BackupError> {
    let from = db.begin_read().map_err(StoreError::from)?;
    let mut builder = redb::Builder::new();
    builder.set_cache_size(COPY_CACHE_BYTES);
    {
        let copy = builder.create(path).map_err(StoreError::from)?;
        copy_all(&from, &copy)?;
    }
    let copy = builder.open(path).map_err(StoreError::from)?;
    let read = copy.begin_read().map_err(StoreError::from)?;
    if !is_copy_of(&from, &read)? {
        return Err(BackupError::Unverified);
    }
    sync_folder_of(path).map_err(BackupError::Write)?;
    std::fs::metadata(path).map(|file| file.len()).map_err(BackupError::Write)
}

fn copy_all(from: &ReadTransaction, copy: &Database) -> Result<(), StoreError> {
    let to = copy.begin_write()?;
    tables::all_tables!(copy_table, from, &to);
    copy_table(from, &to, tables::META)?;
    to.open_table(tables::META)?.insert(COPY_KEY, [1].as_slice())?;
    to.commit()?;
    Ok(())
}

fn copy_table<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &redb::WriteTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<(), StoreError> {
    let (source, mut target) = (from.open_table(table)?, to.open_table(table)?);
    for entry in source.iter()? {
        let (key, value) = entry?;
        target.insert(key.value(), value.value())?;
    }
    Ok(())
}

/// Whether both hold the same rows, byte by byte.
fn is_same<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    copy: &ReadTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<bool, StoreError> {
    let (from, copy) = (from.open_table(table)?, copy.open_table(table)?);
    if from.len()? != copy.len()? {
        return Ok(false);
    }
    for (ours, theirs) in from.iter()?.zip(copy.iter()?) {
        let ((key, value), (their_key, their_value)) = (ours?, theirs?);
        let same = K::as_bytes(&key.value()).as_ref() == K::as_bytes(&their_key.value()).as_ref()
            && V::as_bytes(&value.value()).as_ref() == V::as_bytes(&their_value.value()).as_ref();
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a store holds the same rows as another one and is marked as a copy.
fn is_copy_of(from: &ReadTransaction, copy: &ReadTransaction) -> Result<bool, StoreError> {
    let same = tables::all_tables!(is_same, from, copy).into_iter().all(|same| same);
    Ok(same && copy.open_table(tables::META)?.get(COPY_KEY)?.is_some())
}

/// Whether the file is a copy of the store as it is now. It is only looked at, whatever it is.
pub(crate) fn holds_the_same(db: &Database, path: &Path) -> bool {
    let look = || -> Result<bool, StoreError> {
        let mut builder = redb::Builder::new();
        builder.set_cache_size(COPY_CACHE_BYTES);
        is_copy_of(&db.begin_read()?, &builder.open_read_only(path)?.begin_read()?)
    };
    // redb takes some damage for impossible and panics.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(look)).is_ok_and(|looked| looked.unwrap_or(false))
}
