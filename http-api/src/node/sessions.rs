//! Sessions of this node: agents at work in a channel.

use axum::{Json, extract::State, http::StatusCode};
use muster_actors::Phase;
use muster_protocol::network::ChannelName;
use muster_storage::SessionRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    errors::{Always, BadRequest, Conflict, NotFound, Problem},
    workspaces::{WorkspacePath, find},
};
use crate::{
    Doors, Time,
    input::{InPath, JsonBody},
    network::schemas::words::SessionState,
};

#[derive(Serialize, ToSchema)]
pub(super) struct NodeSession {
    id: String,
    agent_name: String,
    provider: String,
    channel: String,
    /// The peer it is in its channel (N-5).
    peer_id: String,
    /// starting, active, stopping or stopped (N-120).
    state: &'static str,
    /// Envelopes in its inbox.
    waiting: u64,
    /// Whether its program works on an envelope.
    busy: bool,
    /// What went wrong with its program, and has not been well since.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    /// How often its program had to be started again after a failure.
    restarts: u64,
    created_at: Time,
    updated_at: Time,
}

#[derive(Serialize, ToSchema)]
pub(super) struct NodeSessions {
    sessions: Vec<NodeSession>,
}

impl NodeSession {
    fn of(row: SessionRow, phase: Option<Phase>) -> Self {
        Self {
            state: SessionState::of(row.state, phase).as_str(),
            id: row.id,
            agent_name: row.agent_name,
            provider: row.provider,
            channel: row.channel.to_string(),
            peer_id: row.peer.to_string(),
            waiting: row.waiting,
            busy: row.busy,
            failure: row.failure.map(|failure| format!("{}: {}", failure.kind, failure.summary)),
            restarts: row.restarts,
            created_at: Time::from_ms(row.created_ms),
            updated_at: Time::from_ms(row.updated_ms),
        }
    }
}

/// Sessions of this node in the workspace
///
/// Those at work, oldest first, then the 100 that stopped last, newest first.
#[utoipa::path(
    get, path = "/node/v1/workspaces/{workspace_id}/sessions", operation_id = "listNetworkSessions", tag = "agents",
    params(WorkspacePath),
    responses((status = 200, description = "Sessions.", body = NodeSessions), NotFound, Always)
)]
pub(super) async fn list(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
) -> Result<Json<NodeSessions>, Problem> {
    let view = doors.node.store().view()?;
    let workspace = find(&view, &path.workspace_id)?;
    let sessions = view.sessions(&workspace)?.into_iter().map(|row| {
        let phase = doors.node.session_phase(workspace.id, &row.id);
        NodeSession::of(row, phase)
    });
    Ok(Json(NodeSessions { sessions: sessions.collect() }))
}

#[derive(Deserialize, ToSchema)]
pub(super) struct StartSession {
    agent_name: String,
    channel: String,
}

/// Start a session of an agent in a channel
#[utoipa::path(
    post, path = "/node/v1/workspaces/{workspace_id}/sessions", operation_id = "startNetworkSession", tag = "agents",
    params(WorkspacePath), request_body = StartSession,
    responses((status = 201, description = "Started.", body = NodeSession), BadRequest, NotFound, Conflict, Always)
)]
pub(super) async fn start(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<(StatusCode, Json<NodeSession>), Problem> {
    let request: StartSession = body.read()?;
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    let channel = ChannelName::parse(&request.channel)
        .map_err(|fault| Problem::invalid(format!("`channel`: {fault}")))?;
    let row = doors.node.start_session(workspace, request.agent_name.trim(), channel).await?;
    let phase = doors.node.session_phase(workspace, &row.id);
    Ok((StatusCode::CREATED, Json(NodeSession::of(row, phase))))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct SessionPath {
    workspace_id: String,
    session_id: String,
}

/// Stop a session; its peer leaves the channel
#[utoipa::path(
    delete, path = "/node/v1/workspaces/{workspace_id}/sessions/{session_id}", operation_id = "stopNetworkSession",
    tag = "agents", params(SessionPath),
    responses((status = 204, description = "Stopped."), NotFound, Always)
)]
pub(super) async fn stop(
    State(doors): State<Doors>,
    InPath(path): InPath<SessionPath>,
) -> Result<StatusCode, Problem> {
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    doors.node.stop_session(workspace, &path.session_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
