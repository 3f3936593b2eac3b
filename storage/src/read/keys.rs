//! Finding a key of the Workspace door, and whom it speaks for.

use muster_protocol::{ids::SpaceId, principal::Principal};
use ulid::Ulid;

use super::View;
use crate::{
    StoreError,
    rows::{self, KeyRecord},
    tables,
};

/// A key that is kept here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The ULID of its record.
    pub id: Ulid,
    /// SHA-256 of the whole key.
    pub sha256: [u8; 32],
    /// The workspace it opens.
    pub workspace: SpaceId,
    /// Whom it speaks for.
    pub principal: Principal,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Whether it is neither revoked nor expired.
    pub is_live: bool,
}

impl View {
    /// The keys that begin with these letters behind their prefix; which of them is meant, if any, is for the caller
    /// to compare.
    pub fn keys_beginning(&self, letters: [u8; 8], now_ms: u64) -> Result<Vec<KeyRow>, StoreError> {
        let keys = self.txn.open_table(tables::KEYS)?;
        let from = tables::key_lookup_key(letters, Ulid::nil());
        let to = tables::key_lookup_key(letters, Ulid::from_bytes([0xff; 16]));
        let mut found = Vec::new();
        for entry in self.txn.open_table(tables::KEY_LOOKUP)?.range::<&[u8; 24]>(&from..=&to)? {
            let mut id = [0; 16];
            id.copy_from_slice(&entry?.0.value()[8..]);
            let row = keys.get(&id)?.ok_or(StoreError::Damaged("a key that is pointed at is missing"))?;
            let record: KeyRecord = rows::read(row.value())?;
            let principal = record.principal.parse();
            let principal = principal.map_err(|_| StoreError::Damaged("a key speaks for nobody"))?;
            found.push(KeyRow {
                id: Ulid::from_bytes(id),
                sha256: record.sha256.0,
                workspace: record.workspace,
                principal,
                is_live: record.is_live(now_ms),
                scopes: record.scopes,
            });
        }
        Ok(found)
    }
}
