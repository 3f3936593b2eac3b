//! Sending one message as a local session (N-79 to N-87).

use axum::{Json, extract::State};
use muster_actors::SendRequest;

use super::{
    errors::{Always, BadRequest, Conflict, Failure, InWorkspace, TooLarge},
    schemas::send::{SendNetworkMessageRequest, SendNetworkMessageResponse, SentNetworkMessage},
    scope::{self, Scope, WorkspacePath},
};
use crate::{
    Doors,
    input::{InPath, JsonBody, given},
};

/// Send one message as a local session
///
/// The node builds the envelope around the request. 200 means the message is stored here and handed
/// to delivery; what another peer makes of it, its receipts say.
#[utoipa::path(
    post, path = "/api/workspaces/{workspace_id}/network/send", operation_id = "sendNetworkMessage",
    tag = "network-messages", params(WorkspacePath), request_body = SendNetworkMessageRequest,
    responses(
        (status = 200, description = "Accepted for delivery, or already accepted before under the same id.",
            body = SendNetworkMessageResponse),
        BadRequest, InWorkspace, Conflict, TooLarge, Always
    )
)]
pub(super) async fn send(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<Json<SendNetworkMessageResponse>, Failure> {
    scope::running(&doors)?;
    let (workspace, request) = {
        let scope = Scope::open(&doors, &path.workspace_id)?;
        let request: SendNetworkMessageRequest = body.read()?;
        request.refuse_retired()?;
        scope.same_workspace(request.workspace_id.as_deref().unwrap_or_default())?;
        (scope.workspace.id, request)
    };
    let session =
        given(Some(&request.session_id)).ok_or_else(|| Failure::invalid("`session_id` is missing"))?;
    let session = session.to_owned();
    let sent = doors.node.send(workspace, SendRequest::from(request)).await?;
    Ok(Json(SendNetworkMessageResponse { message: SentNetworkMessage::of(sent.envelope, session) }))
}
