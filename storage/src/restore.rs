//! Putting a backup in the place of a store, whole or not at all.
//!
//! A copy is made under a name that nobody opens, and gets the store's name in one step when it is on disk. So at every
//! moment there is a store in place, the former or the new one. What an attempt that was cut off left is swept away by
//! the next; the backup itself is only ever read.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use redb::Database;

use crate::{
    StoreError,
    backup::{new_private, remove_half},
    schema::{self, sync_folder_of},
    verify,
};

/// Bytes of cache while the copy is marked: one row is written.
const MARK_CACHE_BYTES: usize = 1024 * 1024;

/// Why a backup was not put in place.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is the store itself.
    #[error("{} is the store that is in place; there is nothing to restore", .0.display())]
    IsTheStore(PathBuf),
    /// It stands where the copy of it is made.
    #[error(
        "{} is the file under whose name restoring makes its copy; rename that first: mv '{half}' '{half}.kept'",
        from.display(), half = half.display()
    )]
    InTheWay {
        /// The backup, as it was named.
        from: PathBuf,
        /// Where the copy is made.
        half: PathBuf,
    },
    /// Nothing was changed.
    #[error("the backup could not be put in place, and the store is as it was: {0}")]
    NotDone(StoreError),
    /// It was put in place, and nobody knows whether that is on disk.
    #[error(
        "the backup is in place, but the system could not confirm that this is on disk: {0}; after a power cut the former \
         store may stand there again; look after the disk, then restore once more"
    )]
    Unconfirmed(io::Error),
}

/// Refuses a backup that is the store at `path`, or stands where the copy of it would be made.
pub fn refuse_own(from: &Path, path: &Path) -> Result<(), RestoreError> {
    let half = half_of(path);
    if is_same_file(from, path) {
        return Err(RestoreError::IsTheStore(from.to_owned()));
    }
    if is_same_file(from, &half) {
        return Err(RestoreError::InTheWay { from: from.to_owned(), half });
    }
    Ok(())
}

/// Puts a copy of a verified store at `path`, marked as a copy. What stood there goes on under the name `replaced`, if
/// that is given.
pub fn put_in_place(from: &Path, path: &Path, replaced: Option<&Path>) -> Result<(), RestoreError> {
    refuse_own(from, path)?;
    let half = half_of(path);
    let done = make(from, &half).and_then(|()| Ok(exchange(&half, path, replaced)?));
    if let Err(error) = done {
        // That it could not be removed is no news beside why it is not needed.
        let _ = fs::remove_file(&half);
        return Err(RestoreError::NotDone(error));
    }
    sync_folder_of(path).map_err(RestoreError::Unconfirmed)
}

/// The name of the copy until it is whole.
fn half_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".restoring");
    name.into()
}

/// Whether both names lead to one file, by whatever links.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let file = |path| fs::metadata(path).map(|file| (file.dev(), file.ino()));
    matches!((file(one), file(other)), (Ok(one), Ok(other)) if one == other)
}

/// Makes the copy, and waits until it is on disk.
fn make(from: &Path, half: &Path) -> Result<(), StoreError> {
    let mut source = File::open(from)?;
    remove_half(half)?;
    io::copy(&mut source, &mut new_private(half)?)?;
    {
        let db = Database::builder().set_cache_size(MARK_CACHE_BYTES).open(half)?;
        schema::mark_copy(&db)?;
    }
    // What stands there now is read once more, not what it was copied from.
    if verify(half).is_err() {
        return Err(io::Error::other("the copy reads back differently than the backup").into());
    }
    Ok(File::open(half)?.sync_all()?)
}

/// Gives the copy the store's name, and the former store another.
fn exchange(half: &Path, path: &Path, replaced: Option<&Path>) -> io::Result<()> {
    let Some(replaced) = replaced else { return fs::rename(half, path) };
    // A second name for it, on disk before the first one is taken away: it is never without one.
    fs::hard_link(path, replaced)?;
    let renamed = sync_folder_of(replaced).and_then(|()| fs::rename(half, path));
    if renamed.is_err() {
        let _ = fs::remove_file(replaced); // the former store has its first name still
    }
    renamed
}
