//! Memos that people write by hand.

use muster_protocol::{ids::WorkspaceId, memo::MemoText};
use muster_storage::NewMemo;
use ulid::Ulid;

use super::Node;
use crate::error::MemoError;

impl Node {
    /// Writes a memo that rests on these messages. `Ok` means durable here, and on its way to all who can read them.
    pub async fn write_memo(
        &self,
        workspace: WorkspaceId,
        text: MemoText,
        sources: Vec<Ulid>,
    ) -> Result<Ulid, MemoError> {
        let space = self.context.space(workspace).ok_or(MemoError::UnknownWorkspace)?;
        let new = NewMemo { text, sources, random: self.context.random() };
        let node = self.clone();
        self.carry_out(async move { Ok(node.write(move |batch| batch.write_memo(space, new)).await??) }).await
    }
}
