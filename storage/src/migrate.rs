//! Bringing the store of an earlier program up to date.
//!
//! A copy is made first, under the store's name and its version (`store.redb.v1`; where that is taken,
//! `store.redb.v1.2`); it is marked as a copy, so who opens it goes on without a fork. Then everything is changed in one
//! transaction: a crash leaves the old store or the new one. What was signed is never touched, only what was made from
//! it.

mod v1;
mod v2;

use std::path::{Path, PathBuf};

use muster_protocol::identity::NodeId;
use redb::Database;

use crate::{
    BackupError, StoreError, backup,
    error::OpenError,
    schema::{self, SCHEMA_VERSION, sync_folder_of},
};

pub(crate) use v2::list_all;

/// Migrates the store in the file `path`, if it is of an earlier version.
pub(crate) fn up(db: &Database, path: &Path, node: NodeId) -> Result<(), OpenError> {
    let Some(found) = schema::read_version(db)?.filter(|found| *found < SCHEMA_VERSION) else {
        return Ok(());
    };
    if schema::is_of_another(db, node)? {
        return Err(OpenError::OtherNode);
    }
    schema::make_tables(db)?; // a copy holds every table, those that the old program did not know as empty ones
    let copy = keep_copy(db, path, found)
        .map_err(|error| OpenError::NotMigrated { found, cause: Box::new(error) })?;
    let txn = db.begin_write().map_err(StoreError::from)?;
    if found < 2 {
        v1::to_v2(&txn)?;
    }
    if found < 3 {
        v2::to_v3(&txn)?;
    }
    schema::set_version(&txn)?;
    txn.commit().map_err(StoreError::from)?;
    tracing::info!(found, now = SCHEMA_VERSION, copy = %copy.display(), "the store was brought up to date");
    Ok(())
}

/// Copies the store to a name that is free, and never touches an earlier copy. One that holds the same is enough, so
/// that a migration that fails at every start does not fill the disk.
fn keep_copy(db: &Database, path: &Path, version: u32) -> Result<PathBuf, BackupError> {
    let name = named(path, &format!("v{version}"));
    let mut copy = name.clone();
    let mut number = 1;
    while copy.try_exists().map_err(BackupError::Write)? {
        if backup::holds_the_same(db, &copy) {
            return Ok(copy);
        }
        number += 1;
        copy = named(&name, &number.to_string());
    }
    let half = named(&name, "new");
    backup::remove_half(&half).map_err(BackupError::Write)?;
    backup::copy(db, &half)?;
    std::fs::rename(&half, &copy).and_then(|()| sync_folder_of(&copy)).map_err(BackupError::Write)?;
    Ok(copy)
}

fn named(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{ending}"));
    name.into()
}
