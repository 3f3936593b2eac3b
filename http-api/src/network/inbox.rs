//! What waits for one local session (N-97 to N-104). A view, not a take: reading changes nothing.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    errors::{Always, BadRequest, Failure, InWorkspace},
    schemas::envelope::{NetworkEnvelope, NetworkInboxResponse},
    scope::{self, Scope, WorkspacePath},
};
use crate::{
    Doors,
    input::{InPath, InQuery, given},
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct InboxQuery {
    /// The local session whose queue is wanted.
    #[param(required = true, nullable = false, min_length = 1)]
    session_id: Option<String>,
    /// The older name of `session_id`, read when that is missing (N-103).
    session: Option<String>,
}

/// Look at the envelopes that wait for one local session
#[utoipa::path(
    get, path = "/api/workspaces/{workspace_id}/network/inbox", operation_id = "listNetworkInbox",
    tag = "network-messages", params(WorkspacePath, InboxQuery),
    responses(
        (status = 200, description = "Waiting envelopes, oldest first; empty when nothing waits.", body = NetworkInboxResponse),
        BadRequest, InWorkspace, Always
    )
)]
pub(super) async fn list(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
    InQuery(query): InQuery<InboxQuery>,
) -> Result<Json<NetworkInboxResponse>, Failure> {
    scope::running(&doors)?;
    let scope = Scope::open(&doors, &path.workspace_id)?;
    let session = given(query.session_id.as_deref()).or_else(|| given(query.session.as_deref()));
    let session = session.ok_or_else(|| Failure::invalid("`session_id` is missing"))?;
    scope.view.session(&scope.workspace, session)?.ok_or_else(Failure::unknown_session)?;
    let now_s = i64::try_from(doors.node.now_ms() / 1000).unwrap_or(i64::MAX);
    let waiting = scope.view.inbox(&scope.workspace, session, now_s)?;
    Ok(Json(NetworkInboxResponse { messages: waiting.into_iter().map(NetworkEnvelope::from).collect() }))
}
