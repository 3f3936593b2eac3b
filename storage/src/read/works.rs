//! Work, as it stands.

use muster_protocol::{
    ids::SpaceId,
    network::{WorkId, WorkRecord},
};

use super::{View, WorkspaceRow};
use crate::{
    StoreError,
    rows::{self, WorkRow},
    tables,
};

/// Which of several comes first: when it was opened, whether between two alone, and in which space.
type WorkRank = (i64, bool, Option<SpaceId>);

impl View {
    /// One piece of work, open or ended. When nodes that could not see each other's opened one each under this
    /// id, the one opened first; of those of one second, the one that all can see.
    pub fn work(&self, workspace: &WorkspaceRow, id: &WorkId) -> Result<Option<WorkRecord>, StoreError> {
        let number = self.number(workspace.space)?;
        let (from, to) =
            (tables::work_key(number, id.as_str(), 0), tables::work_key(number, id.as_str(), u32::MAX));
        let mut found: Option<(WorkRank, WorkRecord)> = None;
        for entry in self.txn.open_table(tables::WORKS)?.range::<&[u8; 24]>(&from..=&to)? {
            let (key, row) = entry?;
            let record = rows::read::<WorkRow>(row.value())?.record()?;
            // Numbers of spaces follow arrival; their ids are the same on all nodes.
            let space = self.state.spaces.get(&tables::work_space(key.value())).copied();
            let rank = (record.opened_at, space != Some(workspace.space), space);
            if found.as_ref().is_none_or(|(first, _)| rank < *first) {
                found = Some((rank, record));
            }
        }
        Ok(found.map(|(_, record)| record))
    }
}
