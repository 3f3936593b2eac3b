//! Streams: opening and archiving them, and who takes part.

use axum::{Json, extract::State, http::StatusCode};
use muster_actors::NewStream;
use muster_protocol::{
    ids::{StreamId, exact_ulid},
    principal::Principal,
};
use muster_storage::{StreamRow, stream_text};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    errors::{Always, BadRequest, Conflict, NotFound, Problem},
    people::principal,
    workspaces::{WorkspacePath, find},
};
use crate::{
    Doors,
    input::{InPath, JsonBody},
};

#[derive(Deserialize, ToSchema)]
pub(super) struct CreateStream {
    #[schema(inline)]
    r#type: StreamSort,
    /// Of a channel.
    slug: Option<String>,
    display_name: Option<String>,
    description: Option<String>,
    #[schema(inline, default = "public")]
    visibility: Option<StreamVisibility>,
    /// The message a thread hangs from.
    parent_message_id: Option<String>,
    /// Users and bots.
    member_ids: Option<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum StreamSort {
    Channel,
    Scratchpad,
    Dm,
    Thread,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum StreamVisibility {
    Public,
    Private,
}

/// A stream of a workspace.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeStream {
    id: String,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    slug: Option<String>,
}

impl From<StreamRow> for NodeStream {
    fn from(row: StreamRow) -> Self {
        Self { id: stream_text(row.id), r#type: row.kind.as_str().to_owned(), slug: row.slug }
    }
}

/// Open a channel, scratchpad, dm or thread
#[utoipa::path(
    post, path = "/node/v1/workspaces/{workspace_id}/streams", operation_id = "createStream", tag = "streams",
    params(WorkspacePath), request_body = CreateStream,
    responses((status = 201, description = "Opened.", body = NodeStream), BadRequest, NotFound, Conflict, Always)
)]
pub(super) async fn create(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<(StatusCode, Json<NodeStream>), Problem> {
    let request: CreateStream = body.read()?;
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    let members: Vec<Principal> =
        request.member_ids.unwrap_or_default().iter().map(|id| principal(id)).collect::<Result<_, _>>()?;
    let parent = request.parent_message_id.as_deref().map(|text| {
        text.trim().strip_prefix("msg_").and_then(exact_ulid).ok_or_else(Problem::unknown_message)
    });
    let new = NewStream {
        slug: request.slug,
        name: request.display_name,
        description: request.description,
        parent_message: parent.transpose()?,
        members,
    };
    let is_private = request.visibility == Some(StreamVisibility::Private);
    let row = match request.r#type {
        StreamSort::Channel if !is_private => doors.node.open_channel(workspace, new).await?,
        StreamSort::Thread => doors.node.open_thread(workspace, new).await?,
        StreamSort::Dm => doors.node.open_dm(workspace, new).await?,
        StreamSort::Channel => doors.node.open_private_channel(workspace, new).await?,
        StreamSort::Scratchpad => doors.node.open_scratchpad(workspace, new).await?,
    };
    Ok((StatusCode::CREATED, Json(row.into())))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct StreamPath {
    workspace_id: String,
    stream_id: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct StreamMemberPath {
    workspace_id: String,
    stream_id: String,
    member_id: String,
}

fn stream(text: &str) -> Result<StreamId, Problem> {
    let id = text.trim().strip_prefix("stream_").and_then(exact_ulid);
    id.map(|id| StreamId(id.to_bytes())).ok_or_else(Problem::unknown_stream)
}

/// Archive a stream; it can be read, not written
#[utoipa::path(
    post, path = "/node/v1/workspaces/{workspace_id}/streams/{stream_id}/archive", operation_id = "archiveStream",
    tag = "streams", params(StreamPath), responses((status = 204, description = "Archived."), NotFound, Always)
)]
pub(super) async fn archive(
    State(doors): State<Doors>,
    InPath(path): InPath<StreamPath>,
) -> Result<StatusCode, Problem> {
    set_archived(&doors, &path, true).await
}

/// Open an archived stream again
#[utoipa::path(
    post, path = "/node/v1/workspaces/{workspace_id}/streams/{stream_id}/unarchive", operation_id = "unarchiveStream",
    tag = "streams", params(StreamPath), responses((status = 204, description = "Open."), NotFound, Always)
)]
pub(super) async fn unarchive(
    State(doors): State<Doors>,
    InPath(path): InPath<StreamPath>,
) -> Result<StatusCode, Problem> {
    set_archived(&doors, &path, false).await
}

async fn set_archived(doors: &Doors, path: &StreamPath, archived: bool) -> Result<StatusCode, Problem> {
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    doors.node.archive_stream(workspace, stream(&path.stream_id)?, archived).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
pub(super) struct AddStreamMember {
    member_id: String,
}

/// Let a person or bot take part
#[utoipa::path(
    post, path = "/node/v1/workspaces/{workspace_id}/streams/{stream_id}/members", operation_id = "addStreamMember",
    tag = "streams", params(StreamPath), request_body = AddStreamMember,
    responses((status = 204, description = "Takes part."), BadRequest, NotFound, Always)
)]
pub(super) async fn add_member(
    State(doors): State<Doors>,
    InPath(path): InPath<StreamPath>,
    body: JsonBody,
) -> Result<StatusCode, Problem> {
    let request: AddStreamMember = body.read()?;
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    doors.node.set_part(workspace, stream(&path.stream_id)?, principal(&request.member_id)?, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End a person's or bot's part in a stream
#[utoipa::path(
    delete, path = "/node/v1/workspaces/{workspace_id}/streams/{stream_id}/members/{member_id}",
    operation_id = "removeStreamMember", tag = "streams", params(StreamMemberPath),
    responses((status = 204, description = "Ended."), NotFound, Always)
)]
pub(super) async fn remove_member(
    State(doors): State<Doors>,
    InPath(path): InPath<StreamMemberPath>,
) -> Result<StatusCode, Problem> {
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    doors.node.set_part(workspace, stream(&path.stream_id)?, principal(&path.member_id)?, false).await?;
    Ok(StatusCode::NO_CONTENT)
}
