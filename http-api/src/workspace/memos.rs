//! Finding memos and reading one with its sources (W-88 to W-98).

use axum::{Json, extract::State, response::Response};
use muster_actors::waiting_for_disk;
use muster_protocol::{
    key::Scope,
    limits::POST_CHARS_MAX,
    memo::{Knowledge, SOURCE_EDITED, Wanted},
};
use muster_storage::{MemoKind, MemoQuery, MemoReader, MemoRow, MemoStatus, PostRow, StreamRow, stream_text};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Data, WorkspacePath,
    auth::{Bearer, Caller, Kinds},
    errors::{Always, Failure, NotFound},
    fields::{Fields, Limit},
    ids,
    message::{self, AuthorType},
    moment::Moment,
    search::Answered,
    streams::display_name,
};
use crate::{
    Doors,
    input::{InPath, JsonBody},
};

/// What a memo rests on (W-90).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum MemoType {
    Message,
    Conversation,
}

/// What kind of knowledge.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum KnowledgeType {
    Decision,
    Learning,
    Procedure,
    Context,
    Reference,
}

impl From<Knowledge> for KnowledgeType {
    fn from(knowledge: Knowledge) -> Self {
        match knowledge {
            Knowledge::Decision => Self::Decision,
            Knowledge::Learning => Self::Learning,
            Knowledge::Procedure => Self::Procedure,
            Knowledge::Context => Self::Context,
            Knowledge::Reference => Self::Reference,
        }
    }
}

/// What became of a memo (W-91).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    #[expect(dead_code, reason = "the contract knows drafts; here there are none")]
    Draft,
    Active,
    Archived,
    Superseded,
}

/// A memo.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Memo {
    id: String,
    workspace_id: String,
    memo_type: MemoType,
    #[schema(required)]
    source_message_id: Option<String>,
    #[schema(required)]
    source_conversation_id: Option<String>,
    title: String,
    r#abstract: String,
    key_points: Vec<String>,
    source_message_ids: Vec<String>,
    participant_ids: Vec<String>,
    knowledge_type: KnowledgeType,
    tags: Vec<String>,
    #[schema(required)]
    parent_memo_id: Option<String>,
    #[schema(inline)]
    status: Status,
    #[schema(value_type = i64)]
    version: u64,
    #[schema(required)]
    revision_reason: Option<&'static str>,
    created_at: Moment,
    updated_at: Moment,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    archived_at: Option<Moment>,
}

/// A stream that a memo's messages stand in, or the root of one (W-96).
#[derive(Serialize, ToSchema)]
struct StreamRef {
    id: String,
    r#type: String,
    #[schema(required)]
    name: Option<String>,
}

/// A memo that was found.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MemoSearchResult {
    memo: Memo,
    /// Smaller is closer.
    distance: f64,
    #[schema(required)]
    source_stream: Option<StreamRef>,
    /// Set when the source stream is a thread.
    #[schema(required)]
    root_stream: Option<StreamRef>,
}

/// A message that a memo rests on (W-97).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MemoSourceMessage {
    id: String,
    stream_id: String,
    stream_name: String,
    author_id: String,
    author_type: AuthorType,
    author_name: String,
    content: String,
    created_at: Moment,
}

/// A memo with the messages it came from.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MemoDetail {
    #[serde(flatten)]
    found: MemoSearchResult,
    source_messages: Vec<MemoSourceMessage>,
}

impl Memo {
    fn of(row: MemoRow, caller: &Caller) -> Result<Self, Failure> {
        let (memo_type, message, conversation) = match row.kind {
            MemoKind::Message(id) => (MemoType::Message, Some(ids::message_text(id)), None),
            MemoKind::Conversation(id) => (MemoType::Conversation, None, Some(format!("conv_{id}"))),
        };
        let mut participant_ids = Vec::new();
        for author in &row.authors {
            participant_ids.push(message::author(author, &caller.view, &caller.workspace)?.0);
        }
        Ok(Self {
            id: ids::memo_text(row.id),
            workspace_id: caller.workspace.id.to_string(),
            memo_type,
            source_message_id: message,
            source_conversation_id: conversation,
            title: row.text.title,
            r#abstract: row.text.summary,
            key_points: row.text.key_points,
            source_message_ids: row.sources.into_iter().map(ids::message_text).collect(),
            participant_ids,
            knowledge_type: row.text.knowledge.into(),
            tags: row.text.tags,
            parent_memo_id: row.parent.map(ids::memo_text),
            status: match row.status {
                MemoStatus::Active => Status::Active,
                MemoStatus::Archived => Status::Archived,
                MemoStatus::Superseded => Status::Superseded,
            },
            version: row.version,
            revision_reason: (row.version > 1).then_some(SOURCE_EDITED),
            created_at: Moment(row.created_ms),
            updated_at: Moment(row.updated_ms),
            archived_at: row.archived_ms.map(Moment),
        })
    }
}

impl MemoSearchResult {
    fn of(mut row: MemoRow, caller: &Caller) -> Result<Self, Failure> {
        let stream = |row: Option<StreamRow>| row.map(|row| StreamRef::of(&row, caller)).transpose();
        Ok(Self {
            distance: row.distance,
            source_stream: stream(row.stream.take())?,
            root_stream: stream(row.root.take())?,
            memo: Memo::of(row, caller)?,
        })
    }
}

impl StreamRef {
    fn of(row: &StreamRow, caller: &Caller) -> Result<Self, Failure> {
        let name = display_name(row, &caller.view, &caller.workspace)?;
        Ok(Self { id: stream_text(row.id), r#type: row.kind.as_str().to_owned(), name: Some(name) })
    }
}

impl MemoSourceMessage {
    fn of(row: PostRow, caller: &Caller) -> Result<Self, Failure> {
        let (author_id, author_type, name) = message::author(&row.author, &caller.view, &caller.workspace)?;
        let stream = caller.view.stream(&caller.workspace, row.stream)?;
        let stream_name =
            stream.map(|stream| display_name(&stream, &caller.view, &caller.workspace)).transpose()?;
        Ok(Self {
            id: ids::message_text(row.id),
            stream_id: stream_text(row.stream),
            stream_name: stream_name.unwrap_or_default(),
            // Who has no card any more is called by their id.
            author_name: name.unwrap_or_else(|| author_id.clone()),
            author_id,
            author_type,
            content: row.text,
            created_at: Moment(row.created_ms),
        })
    }
}

/// Who asks, and from when on memos are shown to them (W-89).
fn reader(doors: &Doors, caller: &Caller) -> MemoReader {
    let quiet_ms = u64::try_from(doors.memo_quiet.as_millis()).unwrap_or(u64::MAX);
    MemoReader { principal: caller.principal(), now_ms: doors.node.now_ms(), quiet_ms }
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read")]
struct MemoSearchRequest {
    #[schema(default = "", nullable = false)]
    query: Option<String>,
    #[schema(nullable = false)]
    exact: Option<bool>,
    #[schema(nullable = false)]
    streams: Option<Vec<String>>,
    #[schema(nullable = false)]
    memo_type: Option<Vec<MemoType>>,
    #[schema(nullable = false)]
    knowledge_type: Option<Vec<KnowledgeType>>,
    /// A memo matches when it carries at least one of these.
    #[schema(nullable = false)]
    tags: Option<Vec<String>>,
    #[schema(format = DateTime, nullable = false)]
    before: Option<String>,
    #[schema(format = DateTime, nullable = false)]
    after: Option<String>,
    #[schema(minimum = 1, maximum = 100, default = 20, nullable = false)]
    limit: Option<i64>,
}

/// Search or browse memos
///
/// An empty query browses, latest change first. A non-empty query ranks by words and meaning; the header `X-Search-Tier`
/// says what knew the meaning: lexical, static or endpoint. `exact`, or a query wrapped in double quotes, asks for a literal
/// match, latest change first. No more than 20 000 memos are judged, the best; where others were left out before the answer
/// was full, the header `X-Search-Complete` says `false`.
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspaceId}/memos/search", operation_id = "searchMemos", tag = "Memos",
    params(WorkspacePath), request_body = MemoSearchRequest,
    responses((status = 200, description = "Matching memos", body = Data<Vec<MemoSearchResult>>), NotFound, Always)
)]
pub(super) async fn search(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<Response, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::MemosRead), Kinds::Both)?;
    let mut fields = Fields::of_optional_body(&body)?;
    let typed = fields.optional_text("query", 0, POST_CHARS_MAX).unwrap_or_default();
    let query = query(&mut fields, &typed);
    fields.done()?;
    let (within, reader) = ((&caller.view, &caller.workspace), reader(&doors, &caller));
    let found = waiting_for_disk(|| doors.node.find_memos(within, &reader, &query, &typed))?;
    let data = found.memos.into_iter().map(|row| MemoSearchResult::of(row, &caller));
    let data: Vec<_> = data.collect::<Result<_, _>>()?;
    Ok(Answered { tier: found.tier, is_complete: found.is_complete }.with(data))
}

fn query(fields: &mut Fields, typed: &str) -> MemoQuery {
    let exact = fields.flag("exact").unwrap_or(false);
    let streams = fields.texts("streams");
    let on_message = |word: &str| match word {
        "message" => Some(true),
        "conversation" => Some(false),
        _ => None,
    };
    MemoQuery {
        wanted: Wanted::read(typed, exact),
        // What is no stream's id is a stream that nobody can reach (W-94).
        streams: (!streams.is_empty()).then(|| streams.iter().filter_map(|text| ids::stream(text)).collect()),
        on_message: fields.words("memoType", on_message),
        knowledge: fields.words("knowledgeType", Knowledge::from_word),
        tags: fields.texts("tags"),
        after_ms: fields.instant("after"),
        before_ms: fields.instant("before"),
        limit: fields.limit(&Limit { max: 100, default: 20 }),
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[serde(rename_all = "camelCase")]
pub(super) struct MemoPath {
    /// Workspace id; must be the one the key was minted in.
    workspace_id: String,
    /// Memo id (`memo_` and a ULID).
    memo_id: String,
}

/// Fetch one memo with the messages it came from
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspaceId}/memos/{memoId}", operation_id = "getMemo", tag = "Memos",
    params(MemoPath),
    responses((status = 200, description = "The memo and its provenance", body = Data<MemoDetail>), NotFound, Always)
)]
pub(super) async fn read(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<MemoPath>,
) -> Result<Json<Data<MemoDetail>>, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::MemosRead), Kinds::Both)?;
    let unknown = || Failure::not_found("Memo");
    let id = ids::memo(&path.memo_id).ok_or_else(unknown)?;
    let found = caller.view.memo(&caller.workspace, &reader(&doors, &caller), id)?;
    let (row, sources) = found.ok_or_else(unknown)?;
    let sources = sources.into_iter().map(|row| MemoSourceMessage::of(row, &caller));
    let source_messages = sources.collect::<Result<_, _>>()?;
    Ok(Json(Data { data: MemoDetail { found: MemoSearchResult::of(row, &caller)?, source_messages } }))
}
