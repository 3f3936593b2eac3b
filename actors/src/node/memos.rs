//! Memos: those that people write by hand, and finding them.

use muster_protocol::{ids::WorkspaceId, memo::MemoText};
use muster_storage::{MemoQuery, MemoReader, NewMemo, StoreError, View, WorkspaceRow};
use ulid::Ulid;

use super::Node;
use crate::{error::MemoError, search, search::FoundMemos};

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

    /// Memos that the reader may see, the nearest to what was typed first (W-92 to W-95). It reads files, and may wait
    /// for an embedder: see [`crate::waiting_for_disk`].
    pub fn find_memos(
        &self,
        (view, workspace): (&View, &WorkspaceRow),
        reader: &MemoReader,
        query: &MemoQuery,
        typed: &str,
    ) -> Result<FoundMemos, StoreError> {
        search::find_memos(self.search_index().as_deref(), (view, workspace), reader, query, typed)
    }
}
