//! What a message is called inside its conversation: the cursor of pages.
//!
//! An id belongs to its sender (N-89), so two messages of one conversation may have the same. The earlier one in
//! people's order is called by its id; any other by its id, a tilde, and the beginning of its operation's hash. So a
//! cursor names one message, the same on every node, and nobody can move anybody's cursor by using an id again.

use muster_protocol::{ids::OpId, operation::Operation};

use super::{View, WorkspaceRow};
use crate::{
    StoreError,
    rows::{self, MessageRecord},
    tables::{self, Short},
};

/// Hex digits of the hash: as many as nobody can find by trying.
const HASH_DIGITS: usize = 24;

impl View {
    /// The place of the message of that name in an order, if it is there.
    pub(super) fn place_of(
        &self,
        workspace: &WorkspaceRow,
        of: Short,
        name: &str,
    ) -> Result<Option<[u8; 72]>, StoreError> {
        if let Some((id, hash)) = name.rsplit_once('~').filter(|(_, hash)| hash.len() == HASH_DIGITS) {
            for (key, record) in self.copies(workspace, of, id)? {
                if digits(self.op(record.at)?.id()) == hash {
                    return Ok(Some(key));
                }
            }
        }
        Ok(self.copies(workspace, of, name)?.into_iter().map(|(key, _)| key).min())
    }

    /// What the message of operation `op`, which stands at `key` in the order of its conversation, is called there.
    pub(super) fn name_of(
        &self,
        workspace: &WorkspaceRow,
        key: &[u8; 72],
        id: &str,
        op: &Operation,
    ) -> Result<String, StoreError> {
        let mut of = [0; 16];
        of.copy_from_slice(&key[..16]);
        let called = self.place_of(workspace, of, id)?;
        Ok(if called.as_ref() == Some(key) { id.to_owned() } else { format!("{id}~{}", digits(op.id())) })
    }

    /// The messages with an id that stand in an order.
    fn copies(
        &self,
        workspace: &WorkspaceRow,
        of: Short,
        id: &str,
    ) -> Result<Vec<([u8; 72], MessageRecord)>, StoreError> {
        let range = tables::message_range(self.number(workspace.space)?, id);
        let order = self.txn.open_table(tables::ORDER)?;
        let mut found = Vec::new();
        for entry in self.txn.open_table(tables::MESSAGES)?.range::<&[u8; 93]>(range.start()..=range.end())? {
            let (key, row) = entry?;
            let record: MessageRecord = rows::read(row.value())?;
            let key = tables::order_key(of, &tables::message_rank(key.value()));
            if record.sequence > 0 && order.get(&key)?.is_some() {
                found.push((key, record));
            }
        }
        Ok(found)
    }
}

fn digits(op: OpId) -> String {
    op.to_string().chars().take(HASH_DIGITS).collect()
}
