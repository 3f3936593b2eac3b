//! Finding memos: the index proposes, by words and meaning, and the store decides what the reader may see (W-92 to W-95).

use std::collections::BTreeSet;

use muster_protocol::{
    ids::StreamId,
    limits::{MEMO_SEARCH_LOOKED_AT_MAX, SEARCH_NEIGHBOURS},
    memo::Wanted,
};
use muster_search::{Index, Item, Mode, Query};
use muster_storage::{MemoQuery, MemoReader, MemoRow, StoreError, View, WorkspaceRow};

use super::{
    FeedError,
    documents::{knows, rests_on, tagged},
};

/// Proposals for each memo that is wanted, at first: the index knows all filters but pauses and threads, so most are kept.
const SPARE: usize = 4;
/// How many times as many are asked for when those were too few. Each round looks at everything anew; rounds that grow
/// keep their number small.
const GROWTH: usize = 8;

/// Memos that were found.
#[derive(Debug)]
pub struct FoundMemos {
    /// The nearest first; where nothing is near or far, the latest changed.
    pub memos: Vec<MemoRow>,
    /// What added meaning to the words, if anything did: lexical, static or endpoint.
    pub tier: Option<&'static str>,
    /// Whether all memos were looked at that might belong to the answer: false when a limit was reached before it was full.
    pub is_complete: bool,
}

/// Memos that the reader may see, nearest first. Browsing needs no index, as long as it need not go far back. Where there
/// is no index yet, or it fails, words alone decide, in the memos changed last.
pub(crate) fn find(
    index: Option<&Index>,
    (view, workspace): (&View, &WorkspaceRow),
    reader: &MemoReader,
    query: &MemoQuery,
    typed: &str,
) -> Result<FoundMemos, StoreError> {
    let by_store = |(memos, has_more): (_, bool)| FoundMemos { memos, tier: None, is_complete: !has_more };
    let mode = match &query.wanted {
        Wanted::All => {
            let browsed = view.memos(workspace, reader, query)?;
            if !browsed.1 {
                return Ok(by_store(browsed));
            }
            Mode::Newest
        }
        Wanted::Literal(_) => Mode::Exact,
        Wanted::Words(_) => Mode::Semantic,
    };
    if let Some(index) = index {
        match proposed(index, (view, workspace), reader, query, (mode, typed)) {
            Ok(found) => return Ok(found),
            Err(FeedError::Store(error)) => return Err(error),
            Err(FeedError::Index(error)) => tracing::error!(%error, "memos are searched without the index"),
        }
    }
    Ok(by_store(view.memos(workspace, reader, query)?))
}

/// Asks the index for more until enough of what it proposes is kept, or it has no more, or the limit is reached.
fn proposed(
    index: &Index,
    (view, workspace): (&View, &WorkspaceRow),
    reader: &MemoReader,
    query: &MemoQuery,
    (mode, typed): (Mode, &str),
) -> Result<FoundMemos, FeedError> {
    let mut asked = asked(view, workspace, reader, query)?;
    asked.mode = mode;
    asked.text = match &query.wanted {
        Wanted::Literal(text) => text.clone(),
        Wanted::All | Wanted::Words(_) => typed.to_owned(),
    };
    asked.limit = (query.limit * SPARE).max(SEARCH_NEIGHBOURS);
    loop {
        let answer = index.search(&asked)?;
        let hits = answer.hits.iter().map(|hit| (hit.id, answer.distance(*hit)));
        let memos = view.memos_among(workspace, reader, query, hits)?;
        let is_complete = memos.len() == query.limit || answer.hits.len() < asked.limit;
        if is_complete || asked.limit == MEMO_SEARCH_LOOKED_AT_MAX {
            let tier = answer.tier.map(muster_search::Tier::as_str);
            return Ok(FoundMemos { memos, tier, is_complete });
        }
        asked.limit = (asked.limit * GROWTH).min(MEMO_SEARCH_LOOKED_AT_MAX);
    }
}

/// The filters, as far as the index knows them: all that never changes about a memo.
fn asked(
    view: &View,
    workspace: &WorkspaceRow,
    reader: &MemoReader,
    query: &MemoQuery,
) -> Result<Query, StoreError> {
    let mut roots = view.roots_of(workspace, Some(reader.principal))?;
    roots.insert(StreamId::SPACE);
    if let Some(streams) = &query.streams {
        let mut named = BTreeSet::new();
        for stream in streams {
            named.extend(view.stream(workspace, *stream)?.map(|row| row.root));
        }
        roots.retain(|root| named.contains(root));
    }
    let any = |labels: BTreeSet<String>| (!labels.is_empty()).then_some(labels);
    let labels = [
        any(query.tags.iter().map(|tag| tagged(tag)).collect()),
        any(query.knowledge.iter().map(|knowledge| knows(*knowledge)).collect()),
        any(query.on_message.iter().map(|one_message| rests_on(*one_message)).collect()),
    ];
    Ok(Query {
        item: Item::Memo,
        labels: labels.into_iter().flatten().collect(),
        after_ms: query.after_ms,
        before_ms: query.before_ms,
        ..Query::new(workspace.id, roots, "", Mode::Words)
    })
}
