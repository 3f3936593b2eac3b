//! Searching messages by words, by literal text and by meaning (W-81 to W-87).

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json,
    extract::State,
    http::{HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use muster_protocol::{ids::StreamId, key::Scope, stream::StreamKind};
use muster_search::{Hit, Item, Mode, Query};
use muster_storage::{PostRow, stream_text};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Data, WorkspacePath,
    auth::{Bearer, Caller, Kinds},
    errors::{Always, Failure, NotFound},
    fields::{Fields, Limit},
    ids,
    message::{self, AuthorType},
    moment::Moment,
    streams::StreamType,
};
use crate::{
    Doors,
    input::{InPath, JsonBody},
};

/// The header that says what knew the meaning of the words (research: tiers).
const TIER: HeaderName = HeaderName::from_static("x-search-tier");
/// The header of an answer that may lack something, as a limit left older things unseen.
const COMPLETE: HeaderName = HeaderName::from_static("x-search-complete");

/// A message that was found.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MessageSearchResult {
    id: String,
    stream_id: String,
    #[schema(pattern = r"^\d+$")]
    sequence: String,
    content: String,
    author_id: String,
    author_type: AuthorType,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    author_display_name: Option<String>,
    #[schema(value_type = i64)]
    reply_count: u64,
    metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    edited_at: Option<Moment>,
    created_at: Moment,
    /// Larger is better. Comparable within one answer only.
    rank: f64,
}

impl MessageSearchResult {
    fn of(row: PostRow, hit: Hit, caller: &Caller) -> Result<Self, Failure> {
        let (author_id, author_type, author_display_name) =
            message::author(&row.author, &caller.view, &caller.workspace)?;
        Ok(Self {
            id: ids::message_text(row.id),
            stream_id: stream_text(row.stream),
            sequence: row.sequence.to_string(),
            content: row.text,
            author_id,
            author_type,
            author_display_name,
            reply_count: row.replies,
            metadata: row.metadata.into_iter().collect(),
            edited_at: row.edited_ms.map(Moment),
            created_at: Moment(row.created_ms),
            rank: hit.rank,
        })
    }
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is read")]
struct SearchRequest {
    #[schema(min_length = 1)]
    query: String,
    /// Mix in similarity by meaning. Ignored when `exact` is true.
    #[schema(default = false, nullable = false)]
    semantic: Option<bool>,
    /// Look for the query as a literal, case-insensitive substring.
    #[schema(default = false, nullable = false)]
    exact: Option<bool>,
    /// Restrict to these streams and to the threads below them.
    #[schema(nullable = false)]
    streams: Option<Vec<String>>,
    /// Author id, of a person or a bot.
    #[schema(nullable = false)]
    from: Option<String>,
    #[schema(nullable = false, inline)]
    r#type: Option<Vec<StreamType>>,
    /// Exclusive upper bound on the creation time.
    #[schema(format = DateTime, nullable = false)]
    before: Option<String>,
    /// Inclusive lower bound on the creation time.
    #[schema(format = DateTime, nullable = false)]
    after: Option<String>,
    #[schema(minimum = 1, maximum = 50, default = 20, nullable = false)]
    limit: Option<i64>,
}

/// Search messages by words, by literal text or by meaning
///
/// The header `X-Search-Tier` says what knew the meaning of the words: lexical, static or endpoint.
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspaceId}/messages/search", operation_id = "searchMessages", tag = "Messages",
    params(WorkspacePath), request_body = SearchRequest,
    responses((status = 200, description = "Matches, best first", body = Data<Vec<MessageSearchResult>>), NotFound, Always)
)]
pub(super) async fn messages(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<Response, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::MessagesSearch), Kinds::Both)?;
    let mut fields = Fields::of_body(&body)?;
    let text = fields.text("query", 1, muster_protocol::limits::POST_CHARS_MAX);
    let (semantic, exact) = (fields.flag("semantic").unwrap_or(false), fields.flag("exact").unwrap_or(false));
    let streams = fields.texts("streams");
    let from = fields.optional_text("from", 0, usize::MAX);
    let kinds = fields.words("type", StreamKind::from_word);
    let (before_ms, after_ms) = (fields.instant("before"), fields.instant("after"));
    let limit = fields.limit(&Limit { max: 50, default: 20 });
    fields.done()?;
    let mode = match (exact, semantic) {
        (true, _) => Mode::Exact,
        (_, true) => Mode::Semantic,
        _ => Mode::Words,
    };
    let query = Query {
        item: Item::Message,
        workspace: caller.workspace.id,
        roots: caller.view.readable_roots(&caller.workspace, Some(caller.principal()))?,
        streams: (!streams.is_empty()).then(|| named(&streams)),
        author: from,
        kinds: (!kinds.is_empty()).then(|| kinds.into_iter().collect()),
        labels: Vec::new(),
        before_ms,
        after_ms,
        limit,
        mode,
        text,
    };
    // An index that is not open yet has nothing in it: what is there grows, and status shows how far it is.
    let Some(index) = doors.node.search_index() else {
        return Ok(Answered::of(None).with(Vec::<MessageSearchResult>::new()));
    };
    // It reads files, and an embedder may be an address.
    #[expect(clippy::disallowed_methods, reason = "searching blocks; no simulation searches")]
    let searched = tokio::task::spawn_blocking(move || index.search(&query)).await;
    let answer = searched
        .map_err(|error| error.to_string())
        .and_then(|answer| answer.map_err(|error| error.to_string()));
    let answer = answer.map_err(|error| {
        tracing::error!(%error, "a search failed");
        Failure::internal()
    })?;
    let mut found = Vec::new();
    for hit in answer.hits {
        // The store may have gone on since the index was committed.
        let Some(row) = caller.view.post(&caller.workspace, hit.id)? else { continue };
        if shows(&caller, &row)? {
            found.push(MessageSearchResult::of(row, hit, &caller)?);
        }
    }
    Ok(Answered::of(answer.tier.map(muster_search::Tier::as_str)).with(found))
}

/// Whether the stream of a message may be read now and is not archived: the index may be behind.
fn shows(caller: &Caller, row: &PostRow) -> Result<bool, Failure> {
    let Some(stream) = caller.view.stream(&caller.workspace, row.stream)? else { return Ok(false) };
    Ok(stream.archived_ms.is_none() && caller.may_read(&stream)?)
}

/// Streams by their ids; what is no id is no stream's (W-85).
fn named(streams: &[String]) -> BTreeSet<StreamId> {
    streams.iter().filter_map(|text| ids::stream(text)).collect()
}

/// What the headers of a search's answer say.
pub(super) struct Answered {
    /// What knew the meaning of the words, if anything did.
    pub(super) tier: Option<&'static str>,
    /// Whether all was looked at that might belong to the answer.
    pub(super) is_complete: bool,
}

impl Answered {
    fn of(tier: Option<&'static str>) -> Self {
        Self { tier, is_complete: true }
    }

    pub(super) fn with<T: Serialize>(self, data: Vec<T>) -> Response {
        let mut response = Json(Data { data }).into_response();
        if let Some(tier) = self.tier {
            response.headers_mut().insert(TIER, HeaderValue::from_static(tier));
        }
        if !self.is_complete {
            response.headers_mut().insert(COMPLETE, HeaderValue::from_static("false"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_may_lack_something_says_so_w106() {
        let said = |is_complete| {
            let response = Answered { tier: None, is_complete }.with(Vec::<u8>::new());
            response.headers().get(COMPLETE).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!((said(true), said(false).as_deref()), (None, Some("false")));
    }
}
