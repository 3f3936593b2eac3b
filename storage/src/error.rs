//! Why the store fails.

/// The store cannot read or write. The node stops: what was acknowledged is on disk, and what is not on
/// disk must not be acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database or the disk under it failed.
    #[error("the store failed: {0}")]
    Database(#[from] redb::Error),
    /// A file beside the database failed.
    #[error("a file of the store failed: {0}")]
    File(#[from] std::io::Error),
    /// Something in the store contradicts itself.
    #[error("the store is damaged: {0}; restore a backup")]
    Damaged(&'static str),
}

macro_rules! from_redb {
    ($($error:ty),+) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Database(error.into())
            }
        })+
    };
}

from_redb!(
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::DatabaseError
);

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("another process has this store open; stop it first")]
    InUse,
    /// A newer program made it.
    #[error("this store has schema {found}, this program knows {known}; use the newer program")]
    Newer {
        /// The store's schema version.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// An older program made it, and it cannot be copied before it is brought up to date.
    #[error("this store has schema {found} and is copied before it is changed, but: {cause}")]
    NotMigrated {
        /// The store's schema version.
        found: u32,
        /// Why there is no copy.
        cause: Box<crate::BackupError>,
    },
    /// It belongs to another key.
    #[error("this store belongs to another node than the key beside it; put the right node.key back")]
    OtherNode,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}
