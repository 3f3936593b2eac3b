//! Keys of the Workspace door (W-21 to W-27): kept on this node alone, by their hash.

use muster_protocol::{cbor::Bytes32, ids::SpaceId, principal::Principal};
use redb::ReadableTable;
use ulid::Ulid;

use crate::{
    StoreError,
    batch::Batch,
    rows::{self, KeyRecord},
    tables,
};

/// Live keys that one person or bot may have (W-25).
pub const KEYS_PER_PRINCIPAL_MAX: usize = 25;

/// A key to be kept.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The ULID of its record.
    pub id: Ulid,
    /// SHA-256 of the whole key.
    pub sha256: [u8; 32],
    /// The first eight letters behind its prefix.
    pub letters: [u8; 8],
    /// Whom it speaks for.
    pub principal: Principal,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Until when, Unix milliseconds.
    pub expires_ms: Option<u64>,
}

impl KeyRecord {
    pub(crate) fn is_live(&self, now_ms: u64) -> bool {
        !self.revoked && (self.expires_ms == 0 || now_ms < self.expires_ms)
    }
}

impl Batch<'_> {
    /// Keeps a key; false when its principal has as many live ones as it may have.
    pub fn add_key(&mut self, workspace: SpaceId, new: &NewKey) -> Result<bool, StoreError> {
        let (now_ms, principal) = (self.now_ms(), new.principal.to_string());
        let mut live = 0;
        for row in self.keys.iter()? {
            let record: KeyRecord = rows::read(row?.1.value())?;
            live += usize::from(record.principal == principal && record.is_live(now_ms));
        }
        if live >= KEYS_PER_PRINCIPAL_MAX {
            return Ok(false);
        }
        let record = KeyRecord {
            sha256: Bytes32(new.sha256),
            letters: String::from_utf8_lossy(&new.letters).into_owned(),
            workspace,
            principal,
            scopes: new.scopes.clone(),
            created_ms: now_ms,
            expires_ms: new.expires_ms.unwrap_or(0),
            revoked: false,
        };
        self.keys.insert(&new.id.to_bytes(), rows::write(&record).as_slice())?;
        self.key_lookup.insert(&tables::key_lookup_key(new.letters, new.id), ())?;
        Ok(true)
    }

    /// Revokes a key (W-25); false when the workspace has none of that id here.
    pub fn revoke_key(&mut self, workspace: SpaceId, id: Ulid) -> Result<bool, StoreError> {
        let row =
            self.keys.get(&id.to_bytes())?.map(|row| rows::read::<KeyRecord>(row.value())).transpose()?;
        let Some(mut record) = row.filter(|record| record.workspace == workspace) else { return Ok(false) };
        record.revoked = true;
        self.keys.insert(&id.to_bytes(), rows::write(&record).as_slice())?;
        Ok(true)
    }
}
