//! Reading, sending, changing, removing and looking up messages (W-44 to W-51, W-60 to W-73).

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{RawQuery, State},
    http::StatusCode,
};
use muster_protocol::{
    key::Scope,
    limits,
    post::{check_metadata, is_metadata_key},
};
use muster_storage::{NewPost, PostRow, Window};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    Data, WorkspacePath, attachments,
    auth::{Bearer, Kinds},
    errors::{Always, Failure, NotFound},
    fields::{Fields, Limit},
    ids,
    message::Message,
    streams::StreamPath,
};
use crate::{
    Doors,
    input::{InPath, JsonBody},
};

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what is read")]
pub(super) struct WindowQuery {
    /// Only messages with a smaller sequence. At most one of `before` and `after`.
    #[param(pattern = r"^\d+$")]
    before: Option<String>,
    /// Only messages with a larger sequence.
    #[param(pattern = r"^\d+$")]
    after: Option<String>,
    /// How many.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<i32>,
}

/// A window of messages.
#[derive(serde::Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageWindow {
    data: Vec<Message>,
    /// Whether more messages lie further in the direction of travel.
    has_more: bool,
}

/// Read a window of a stream's messages
///
/// Pages by message sequence instead of by opaque cursor. Whatever the direction, a page is always in ascending
/// sequence order. There is no `cursor` field in the answer.
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspaceId}/streams/{streamId}/messages", operation_id = "listMessages",
    tag = "Messages", params(StreamPath, WindowQuery),
    responses((status = 200, description = "A window of messages", body = MessageWindow), NotFound, Always)
)]
pub(super) async fn list(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<StreamPath>,
    query: RawQuery,
) -> Result<Json<MessageWindow>, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::MessagesRead), Kinds::Both)?;
    let mut fields = Fields::of_query(&query);
    let limit = fields.limit(&Limit { max: 100, default: 50 });
    let (before, after) = (sequence(&mut fields, "before"), sequence(&mut fields, "after"));
    fields.done()?;
    let window = match (before, after) {
        (Some(_), Some(_)) => return Err(Failure::invalid_whole("Give `before` or `after`, not both")),
        (Some(before), None) => Window::Before(before),
        (None, Some(after)) => Window::After(after),
        (None, None) => Window::Newest,
    };
    let stream = caller.readable(&path.stream_id)?;
    let (rows, has_more) = caller.view.posts(&caller.workspace, stream.id, window, limit)?;
    let data = rows.into_iter().map(|row| Message::of(row, &caller.view, &caller.workspace));
    Ok(Json(MessageWindow { data: data.collect::<Result<_, _>>()?, has_more }))
}

/// A sequence. One beyond all that there are is taken for the largest (W-45).
fn sequence(fields: &mut Fields, field: &str) -> Option<u64> {
    let text = fields.optional_text(field, 0, usize::MAX)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        fields.fault(field, "must be a whole number");
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read")]
struct SendRequest {
    /// Markdown. Files are attached by linking to `attachment:<id>`.
    #[schema(min_length = 1)]
    content: String,
    /// The sender's own name for this message, used to recognise a retry.
    #[schema(max_length = 128, nullable = false)]
    client_message_id: Option<String>,
    /// At most 20 pairs; the whole map serialises to at most 4096 bytes. Keys that begin with `threa.` are reserved.
    #[schema(nullable = false)]
    metadata: Option<BTreeMap<String, String>>,
}

/// Post a message into a stream
///
/// A bot key posts as its bot; a user key posts as the person who owns it and the message is stamped with `sentVia`.
/// Repeating a `clientMessageId` in the same stream returns the first message again, still with 201.
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspaceId}/streams/{streamId}/messages", operation_id = "sendMessage",
    tag = "Messages", params(StreamPath), request_body = SendRequest,
    responses(
        (status = 201, description = "The stored message (new, or the earlier one when the send was a retry)",
         body = Data<Message>),
        NotFound, Always
    )
)]
pub(super) async fn send(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<StreamPath>,
    body: JsonBody,
) -> Result<(StatusCode, Json<Data<Message>>), Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::MessagesWrite), Kinds::Both)?;
    let mut fields = Fields::of_body(&body)?;
    let text = content(&mut fields, "content");
    let client_id = fields.optional_text("clientMessageId", 0, limits::CLIENT_ID_CHARS_MAX);
    let metadata = metadata(&mut fields);
    fields.done()?;
    caller.acts()?;
    let stream = ids::stream(&path.stream_id).ok_or_else(Failure::no_access)?;
    let attachments = attachments::linked(&doors, &caller, &text)?;
    let new = NewPost {
        stream,
        author: caller.principal(),
        text,
        client_id: client_id.unwrap_or_default(),
        metadata: metadata.into_iter().collect(),
        sent_via: caller.sent_via(),
        attachments,
        random: doors.node.post_entropy(),
    };
    let workspace = caller.workspace.clone();
    drop(caller);
    let row = doors.node.post(workspace.id, new).await?;
    let message = Message::of(row, &doors.node.store().view()?, &workspace)?;
    Ok((StatusCode::CREATED, Json(Data { data: message })))
}

/// The text of a message (W-60).
pub(super) fn content(fields: &mut Fields, field: &str) -> String {
    let text = fields.text(field, 1, limits::POST_CHARS_MAX);
    if text.contains('\0') {
        fields.fault(field, "must not contain NUL");
    }
    text
}

/// Metadata that is sent along (W-63).
pub(super) fn metadata(fields: &mut Fields) -> BTreeMap<String, String> {
    let metadata = fields.pairs("metadata").unwrap_or_default();
    if let Err(fault) = check_metadata(&metadata) {
        fields.fault("metadata", fault.to_string());
    }
    metadata
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessagePath {
    /// Workspace id; must be the one the key was minted in.
    workspace_id: String,
    /// Message id (`msg_` and a ULID).
    message_id: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is read")]
struct UpdateRequest {
    #[schema(min_length = 1)]
    content: String,
}

/// Replace the text of one's own message
#[utoipa::path(
    patch, path = "/api/v1/workspaces/{workspaceId}/messages/{messageId}", operation_id = "updateMessage",
    tag = "Messages", params(MessagePath), request_body = UpdateRequest,
    responses((status = 200, description = "The message after the edit", body = Data<Message>), NotFound, Always)
)]
pub(super) async fn update(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<MessagePath>,
    body: JsonBody,
) -> Result<Json<Data<Message>>, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::MessagesWrite), Kinds::Both)?;
    let mut fields = Fields::of_body(&body)?;
    let text = content(&mut fields, "content");
    fields.done()?;
    caller.acts()?;
    let id = ids::message(&path.message_id).ok_or_else(|| Failure::not_found("Message"))?;
    let attachments = attachments::linked(&doors, &caller, &text)?;
    let (author, workspace) = (caller.principal(), caller.workspace.clone());
    drop(caller);
    let row = doors.node.edit_post(workspace.id, id, author, text, attachments).await?;
    Ok(Json(Data { data: Message::of(row, &doors.node.store().view()?, &workspace)? }))
}

/// Remove one's own message
#[utoipa::path(
    delete, path = "/api/v1/workspaces/{workspaceId}/messages/{messageId}", operation_id = "deleteMessage",
    tag = "Messages", params(MessagePath),
    responses((status = 204, description = "Removed; no body"), NotFound, Always)
)]
pub(super) async fn delete(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<MessagePath>,
) -> Result<StatusCode, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::MessagesWrite), Kinds::Both)?;
    caller.acts()?;
    let id = ids::message(&path.message_id).ok_or_else(|| Failure::not_found("Message"))?;
    let (author, workspace) = (caller.principal(), caller.workspace.id);
    drop(caller);
    doors.node.delete_post(workspace, id, author).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read")]
struct FindRequest {
    /// At least one pair. Reserved keys may be asked for.
    metadata: BTreeMap<String, String>,
    /// Narrow to one stream. A stream the key cannot read yields an empty list.
    #[schema(min_length = 1, nullable = false)]
    stream_id: Option<String>,
    #[schema(minimum = 1, maximum = 100, default = 20, nullable = false)]
    limit: Option<i64>,
}

/// Find messages that carry all of the given metadata pairs
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspaceId}/messages/find-by-metadata", operation_id = "findMessagesByMetadata",
    tag = "Messages", params(WorkspacePath), request_body = FindRequest,
    responses((status = 200, description = "Matching messages, newest first", body = Data<Vec<Message>>), NotFound, Always)
)]
pub(super) async fn find_by_metadata(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<Json<Data<Vec<Message>>>, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::MessagesRead), Kinds::Both)?;
    let mut fields = Fields::of_body(&body)?;
    let pairs = wanted_pairs(&mut fields);
    let stream = fields.optional_text("streamId", 1, usize::MAX);
    let limit = fields.limit(&Limit { max: 100, default: 20 });
    fields.done()?;
    let stream = match stream.map(|text| caller.readable(&text)) {
        None => None,
        Some(Ok(row)) => Some(row.id),
        Some(Err(_)) => return Ok(Json(Data { data: Vec::new() })), // nothing of it may be known (W-65)
    };
    let (view, workspace, reader) = (&caller.view, &caller.workspace, caller.principal());
    let fits = |row: &PostRow| {
        if stream.is_some_and(|stream| stream != row.stream) {
            return Ok(false);
        }
        match view.stream(workspace, row.stream)? {
            Some(stream) => view.may_read(workspace, &stream, reader),
            None => Ok(false),
        }
    };
    let rows = view.posts_with(workspace, &pairs, fits, limit)?;
    let data = rows.into_iter().map(|row| Message::of(row, view, workspace)).collect::<Result<_, _>>()?;
    Ok(Json(Data { data }))
}

fn wanted_pairs(fields: &mut Fields) -> Vec<(String, String)> {
    let missing = fields.given("metadata").is_none();
    let pairs = fields.pairs("metadata").unwrap_or_default();
    let too_long = |value: &String| value.chars().count() > limits::METADATA_VALUE_CHARS_MAX;
    if missing {
        fields.fault("metadata", "is required");
    } else if pairs.is_empty() || pairs.len() > limits::METADATA_PAIRS_MAX {
        fields.fault("metadata", format!("must have 1 to {} pairs", limits::METADATA_PAIRS_MAX));
    } else if !pairs.keys().all(|key| is_metadata_key(key)) || pairs.values().any(too_long) {
        fields.fault("metadata", "has a key or a value that no message can have");
    }
    pairs.into_iter().collect()
}
