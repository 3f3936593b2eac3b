//! What the index holds of a message and of a memo.

use std::collections::BTreeSet;

use muster_protocol::{
    memo::{Knowledge, MemoText},
    notice,
};
use muster_search::{Document, Item};
use muster_storage::{Author, MemoEntry, StoreError, View, WorkspaceRow};
use ulid::Ulid;

/// A message that is there, and the memo in it.
pub(super) fn of_message(
    view: &View,
    workspace: &WorkspaceRow,
    id: Ulid,
) -> Result<Vec<Document>, StoreError> {
    let Some(post) = view.post(workspace, id)? else { return Ok(Vec::new()) };
    let Some(stream) = view.stream(workspace, post.stream)? else { return Ok(Vec::new()) };
    let author = match post.author {
        Author::Principal(principal) => principal.to_string(),
        Author::Agent { id, .. } => format!("bot_{id}"),
        Author::System => notice::AUTHOR.to_owned(),
    };
    let message = Document {
        item: Item::Message,
        id,
        source: id,
        workspace: workspace.id,
        stream: post.stream,
        root: post.root,
        kind: Some(stream.kind),
        author: Some(author),
        labels: BTreeSet::new(),
        created_ms: post.created_ms,
        text: post.text,
    };
    let entry = view.memo_of_message(workspace, id)?;
    Ok(std::iter::once(message).chain(entry.map(|entry| memo(workspace, entry, id))).collect())
}

/// A memo that was written by hand, if it is there.
pub(super) fn of_written_memo(
    view: &View,
    workspace: &WorkspaceRow,
    id: Ulid,
) -> Result<Vec<Document>, StoreError> {
    Ok(view.memo_entry(workspace, id)?.map(|entry| memo(workspace, entry, id)).into_iter().collect())
}

/// It stands in its root stream: in which thread its messages are may change without a word about the memo, and the store
/// knows.
fn memo(workspace: &WorkspaceRow, entry: MemoEntry, source: Ulid) -> Document {
    let tags = entry.text.tags.iter().map(|tag| tagged(tag));
    let labels = tags.chain([knows(entry.text.knowledge), rests_on(entry.is_on_message)]).collect();
    Document {
        item: Item::Memo,
        id: entry.id,
        source,
        workspace: workspace.id,
        stream: entry.root,
        root: entry.root,
        kind: None,
        author: None,
        labels,
        created_ms: entry.created_ms,
        text: all_of(entry.text),
    }
}

/// The label of a tag, in any case and with or without its mark.
pub(super) fn tagged(tag: &str) -> String {
    format!("tag {}", tag.trim_start_matches('#').to_lowercase())
}

/// The label of a kind of knowledge.
pub(super) fn knows(knowledge: Knowledge) -> String {
    format!("knowledge {}", knowledge.as_str())
}

/// The label of what a memo rests on.
pub(super) fn rests_on(one_message: bool) -> String {
    format!("on {}", if one_message { "message" } else { "conversation" })
}

/// All that a memo says, one part a line.
fn all_of(text: MemoText) -> String {
    let MemoText { title, summary, key_points, tags, .. } = text;
    [vec![title, summary], key_points, tags].concat().join("\n")
}
