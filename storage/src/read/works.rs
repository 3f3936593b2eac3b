//! Work, as it stands.

use muster_protocol::network::{WorkId, WorkRecord};

use super::{View, WorkspaceRow};
use crate::{
    StoreError,
    rows::{self, WorkRow},
    tables,
};

impl View {
    /// One piece of work, open or ended. When nodes that could not see each other's opened one each under this
    /// id, the one opened first.
    pub fn work(&self, workspace: &WorkspaceRow, id: &WorkId) -> Result<Option<WorkRecord>, StoreError> {
        let number = self.number(workspace.space)?;
        let (from, to) =
            (tables::work_key(number, id.as_str(), 0), tables::work_key(number, id.as_str(), u32::MAX));
        let mut found: Option<WorkRecord> = None;
        for entry in self.txn.open_table(tables::WORKS)?.range::<&[u8; 24]>(&from..=&to)? {
            let record = rows::read::<WorkRow>(entry?.1.value())?.record()?;
            if found.as_ref().is_none_or(|first| record.opened_at < first.opened_at) {
                found = Some(record);
            }
        }
        Ok(found)
    }
}
