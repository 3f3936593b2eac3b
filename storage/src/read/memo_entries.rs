//! Memos and an index beside the store: what it keeps of each, and what becomes of those it proposes (W-92 to W-94).
//!
//! An index may be behind, and knows nothing of pauses and of who left a stream. So it proposes, and the store decides.

use muster_protocol::{
    ids::StreamId,
    memo::{MemoText, Wanted},
};
use ulid::Ulid;

use super::{
    MemoQuery, MemoReader, MemoRow, View, WorkspaceRow,
    memos::{Seen, source_of, text_of},
};
use crate::{
    StoreError,
    rows::MemoRecord,
    tables::{self, Subject},
};

/// An active memo, as an index keeps it. Nothing of it changes as long as the memo is active.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoEntry {
    /// Its id.
    pub id: Ulid,
    /// The root stream whose readers may see it; [`StreamId::SPACE`] for everybody.
    pub root: StreamId,
    /// Whether it rests on one message (W-90).
    pub is_on_message: bool,
    /// What it says.
    pub text: MemoText,
    /// When it was made, Unix milliseconds.
    pub created_ms: u64,
}

impl View {
    /// The active memo that a message makes, if it makes one.
    pub fn memo_of_message(
        &self,
        workspace: &WorkspaceRow,
        source: Ulid,
    ) -> Result<Option<MemoEntry>, StoreError> {
        let range = tables::order_range(Subject::Memo(self.number(workspace.space)?, source).key());
        let versions = self.txn.open_table(tables::MEMO_VERSIONS)?;
        let last = versions.range::<&[u8; 72]>(range.start()..=range.end())?.next_back().transpose()?;
        match last {
            Some((_, id)) => self.memo_entry(workspace, Ulid::from_bytes(*id.value())),
            None => Ok(None),
        }
    }

    /// An active memo.
    pub fn memo_entry(&self, workspace: &WorkspaceRow, id: Ulid) -> Result<Option<MemoEntry>, StoreError> {
        let Some(record) = self.active_memo(workspace, id)? else { return Ok(None) };
        let root = match source_of(&record) {
            Some(source) => self.post_record(workspace, source)?.map(|post| post.root),
            None => Some(self.op(record.at)?.header().stream),
        };
        let (Some(root), Some(text)) = (root, text_of(&record)) else { return Ok(None) };
        let is_on_message = self.is_on_message(&record)?;
        Ok(Some(MemoEntry { id, root, is_on_message, text, created_ms: record.hlc.ms() }))
    }

    /// All memos that were written by hand. An index that is made anew asks for them once: before there were events that
    /// tell of them, they were written, too.
    pub fn memos_by_hand(&self, workspace: &WorkspaceRow) -> Result<Vec<Ulid>, StoreError> {
        let (from, to) = tables::memo_order_ends(self.number(workspace.space)?);
        let mut found = Vec::new();
        for entry in self.txn.open_table(tables::MEMO_ORDER)?.range::<&[u8; 28]>(&from..=&to)? {
            let id = tables::ordered_memo(entry?.0.value());
            if self.memo_record(workspace, id)?.is_some_and(|record| source_of(&record).is_none()) {
                found.push(id);
            }
        }
        Ok(found)
    }

    /// Of memos that an index proposes, each with its distance, those that are active, that the reader may see and that
    /// pass the filters, in the same order, up to the query's limit (W-93, W-94). A literal text has to be in them; what
    /// words mean is left to the index.
    pub fn memos_among(
        &self,
        workspace: &WorkspaceRow,
        reader: &MemoReader,
        query: &MemoQuery,
        proposed: impl IntoIterator<Item = (Ulid, f64)>,
    ) -> Result<Vec<MemoRow>, StoreError> {
        let (mut seen, mut found) = (Seen::new(), Vec::new());
        for (id, distance) in proposed {
            if found.len() == query.limit {
                break;
            }
            let Some(record) = self.active_memo(workspace, id)? else { continue };
            if !says(&record, &query.wanted) || !self.is_kept(workspace, reader, query, &record, &mut seen)? {
                continue;
            }
            let row = self.memo_row(workspace, reader, id, record, &mut seen)?;
            found.extend(row.map(|row| MemoRow { distance, ..row }));
        }
        Ok(found)
    }

    fn active_memo(&self, workspace: &WorkspaceRow, id: Ulid) -> Result<Option<MemoRecord>, StoreError> {
        let Some(record) = self.memo_record(workspace, id)? else { return Ok(None) };
        let key = tables::memo_order_key(self.number(workspace.space)?, record.hlc, id);
        let is_active = self.txn.open_table(tables::MEMO_ORDER)?.get(&key)?.is_some();
        Ok(is_active.then_some(record))
    }
}

fn says(record: &MemoRecord, wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Literal(_) => text_of(record).is_some_and(|text| wanted.distance(&text).is_some()),
        Wanted::All | Wanted::Words(_) => true,
    }
}
