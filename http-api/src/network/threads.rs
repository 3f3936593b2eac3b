//! Public conversations of a channel, and their messages (N-105 to N-111).

use axum::{Json, extract::State};
use muster_protocol::network::{Kind, ThreadId, WorkId};
use muster_storage::MessagePage;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    errors::{Always, BadRequest, Failure, InWorkspace},
    names::Names,
    schemas::{
        messages::{NetworkMessage, NetworkMessagesResponse},
        threads::{NetworkThread, NetworkThreadResponse, NetworkThreadsResponse},
        words,
    },
    scope::{self, ChannelPath, Scope},
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
    let threads = rows.into_iter().map(|row| NetworkThread::of(row, &scope.id())).collect();
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
    Ok(Json(NetworkThreadResponse { thread: NetworkThread::of(row, &scope.id()) }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MessagesQuery {
    /// Message id; the page ends right in front of it and holds the messages nearest to it. Not with `after`.
    before: Option<String>,
    /// Message id; the page starts right behind it. Not with `before`.
    after: Option<String>,
    /// Keep only messages of this kind.
    #[param(value_type = Option<words::Kind>)]
    kind: Option<String>,
    /// Keep only messages of this work.
    work_id: Option<String>,
    /// Largest number of items in the page.
    #[param(value_type = Option<i32>, minimum = 1, default = 100)]
    limit: Option<String>,
}

impl MessagesQuery {
    fn page(&self) -> Result<MessagePage, Failure> {
        let text = |text: &Option<String>| given(text.as_deref()).map(str::to_owned);
        let (before, after) = (text(&self.before), text(&self.after));
        if before.is_some() && after.is_some() {
            return Err(Failure::invalid("`before` and `after` do not go together; give one of them"));
        }
        let kind = given(self.kind.as_deref()).map(|word| Kind::from_word(word).ok_or_else(unknown_kind));
        let work = given(self.work_id.as_deref()).map(WorkId::parse);
        Ok(MessagePage {
            before,
            after,
            kind: kind.transpose()?,
            work: work.transpose().map_err(|fault| Failure::invalid(format!("`work_id`: {fault}")))?,
            limit: scope::limit(self.limit.as_deref())?,
        })
    }
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
    let names = Names::of_channel(&doors, &scope, &channel)?;
    let messages = rows.into_iter().map(|row| {
        let name = names.of(&row.envelope.from);
        NetworkMessage::of(row, &scope.id(), name)
    });
    let messages = messages.collect();
    Ok(Json(NetworkMessagesResponse { messages }))
}

fn unknown_thread() -> Failure {
    Failure::not_found("the channel has no such thread")
}

fn unknown_cursor() -> Failure {
    Failure::not_found("nothing in this list has the id the cursor names")
}

fn unknown_kind() -> Failure {
    Failure::invalid("`kind` has to be greet, whois, say, capability, receipt or trace")
}
