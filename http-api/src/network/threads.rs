//! Public conversations of a channel, and their messages (N-105 to N-111).

use axum::{Json, extract::State};
use muster_protocol::network::ThreadId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    errors::{Always, BadRequest, Failure, InWorkspace},
    messages::{self, MessagesQuery},
    schemas::{
        messages::NetworkMessagesResponse,
        threads::{NetworkThread, NetworkThreadResponse, NetworkThreadsResponse},
    },
    scope::{self, ChannelPath, Scope, unknown_cursor},
};
use crate::{
    Doors,
    input::{InPath, InQuery, given},
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ThreadsQuery {
    /// Thread id of the last item already seen; the page starts behind it.
    after: Option<String>,
    /// Largest number of items in the page.
    #[param(value_type = Option<i32>, minimum = 1, default = 100)]
    limit: Option<String>,
}

/// List the public threads of a channel
///
/// Most recently active first; ties go by ascending thread id.
#[utoipa::path(
    get, path = "/api/workspaces/{workspace_id}/network/channels/{channel}/threads",
    operation_id = "listNetworkThreads", tag = "network-threads", params(ChannelPath, ThreadsQuery),
    responses((status = 200, description = "One page of threads.", body = NetworkThreadsResponse), BadRequest, InWorkspace, Always)
)]
pub(super) async fn list(
    State(doors): State<Doors>,
    InPath(path): InPath<ChannelPath>,
    InQuery(query): InQuery<ThreadsQuery>,
) -> Result<Json<NetworkThreadsResponse>, Failure> {
    scope::running(&doors)?;
    let channel = scope::channel(&path.channel)?;
    let scope = Scope::open(&doors, &path.workspace_id)?;
    let limit = scope::limit(query.limit.as_deref())?;
    // What is no thread id is no thread's either (N-106).
    let after = match given(query.after.as_deref()) {
        Some(text) => Some(ThreadId::parse(text).map_err(|_| unknown_cursor())?),
        None => None,
    };
    let rows = scope
        .view
        .threads(&scope.workspace, &channel, after.as_ref(), limit)?
        .map_err(|_| unknown_cursor())?;
    let threads = rows.into_iter().map(|row| NetworkThread::of(row, &scope.id(), doors.node.id())).collect();
    Ok(Json(NetworkThreadsResponse { threads }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ThreadPath {
    /// Workspace that scopes everything in the call: its id or its name (N-2).
    #[param(min_length = 1)]
    workspace_id: String,
    /// Channel inside the workspace.
    #[param(pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")]
    channel: String,
    /// Public thread inside the channel.
    #[param(pattern = "^thread_[a-z0-9][a-z0-9_-]{2,95}$")]
    thread_id: String,
}

/// Read one public thread
#[utoipa::path(
    get, path = "/api/workspaces/{workspace_id}/network/channels/{channel}/threads/{thread_id}",
    operation_id = "getNetworkThread", tag = "network-threads", params(ThreadPath),
    responses((status = 200, description = "The thread.", body = NetworkThreadResponse), BadRequest, InWorkspace, Always)
)]
pub(super) async fn read(
    State(doors): State<Doors>,
    InPath(path): InPath<ThreadPath>,
) -> Result<Json<NetworkThreadResponse>, Failure> {
    scope::running(&doors)?;
    let channel = scope::channel(&path.channel)?;
    let scope = Scope::open(&doors, &path.workspace_id)?;
    let id = scope::thread(&path.thread_id)?;
    let row = scope.view.thread(&scope.workspace, &channel, &id)?.ok_or_else(unknown_thread)?;
    Ok(Json(NetworkThreadResponse { thread: NetworkThread::of(row, &scope.id(), doors.node.id()) }))
}

/// Page through the messages of one public thread
#[utoipa::path(
    get, path = "/api/workspaces/{workspace_id}/network/channels/{channel}/threads/{thread_id}/messages",
    operation_id = "listNetworkThreadMessages", tag = "network-threads", params(ThreadPath, MessagesQuery),
    responses(
        (status = 200, description = "One page, oldest message first.", body = NetworkMessagesResponse),
        BadRequest, InWorkspace, Always
    )
)]
pub(super) async fn messages(
    State(doors): State<Doors>,
    InPath(path): InPath<ThreadPath>,
    InQuery(query): InQuery<MessagesQuery>,
) -> Result<Json<NetworkMessagesResponse>, Failure> {
    scope::running(&doors)?;
    let channel = scope::channel(&path.channel)?;
    let scope = Scope::open(&doors, &path.workspace_id)?;
    let id = scope::thread(&path.thread_id)?;
    let page = query.page()?;
    scope.view.thread(&scope.workspace, &channel, &id)?.ok_or_else(unknown_thread)?;
    let rows =
        scope.view.thread_messages(&scope.workspace, &channel, &id, &page)?.map_err(|_| unknown_cursor())?;
    Ok(Json(messages::response(&doors, &scope, &channel, rows)?))
}

fn unknown_thread() -> Failure {
    Failure::not_found("the channel has no such thread")
}
