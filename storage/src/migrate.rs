//! Bringing the store of an earlier program up to date.
//!
//! A copy is made first, under the store's name and its version (`store.redb.v1`); it is marked as a copy, so who opens
//! it goes on without a fork. Then everything is changed in one transaction: a crash leaves the old store or the
//! new one. What was signed is never touched, only what was made from it.

mod v1;

use std::path::{Path, PathBuf};

use muster_protocol::identity::NodeId;
use redb::Database;

use crate::{
    StoreError, backup,
    error::OpenError,
    schema::{self, SCHEMA_VERSION},
};

/// Migrates the store in the file `path`, if it is of an earlier version.
pub(crate) fn up(db: &Database, path: &Path, node: NodeId) -> Result<(), OpenError> {
    let Some(found) = schema::read_version(db)?.filter(|found| *found < SCHEMA_VERSION) else {
        return Ok(());
    };
    if schema::is_of_another(db, node)? {
        return Err(OpenError::OtherNode);
    }
    schema::make_tables(db)?; // a copy holds every table, those that the old program did not know as empty ones
    let copy = copy_name(path, found);
    if copy.try_exists().map_err(StoreError::File)? {
        // An earlier attempt did not come to its end: what it was made from is still as it was.
        std::fs::remove_file(&copy).map_err(StoreError::File)?;
    }
    backup::copy(db, &copy).map_err(|error| OpenError::NotMigrated { found, cause: Box::new(error) })?;
    let txn = db.begin_write().map_err(StoreError::from)?;
    if found < 2 {
        v1::to_v2(&txn)?;
    }
    schema::set_version(&txn)?;
    txn.commit().map_err(StoreError::from)?;
    tracing::info!(found, now = SCHEMA_VERSION, copy = %copy.display(), "the store was brought up to date");
    Ok(())
}

fn copy_name(path: &Path, version: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".v{version}"));
    name.into()
}
