//! Tickets with which other nodes may join.

use axum::{Json, extract::State, http::StatusCode};
use muster_protocol::control::Role;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    errors::{Always, BadRequest, NotFound, Problem},
    workspaces::{WorkspacePath, find},
};
use crate::{
    Doors, Time,
    input::{InPath, JsonBody},
};

/// A day: long enough to send a ticket to somebody, short enough to forget about it.
const EXPIRES_IN_SECONDS_DEFAULT: u64 = 86_400;

/// The role a ticket gives; nobody is made owner by one.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum InvitedRole {
    Admin,
    #[default]
    Member,
    Guest,
}

impl From<InvitedRole> for Role {
    fn from(role: InvitedRole) -> Self {
        match role {
            InvitedRole::Admin => Self::Admin,
            InvitedRole::Member => Self::Member,
            InvitedRole::Guest => Self::Guest,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct CreateInvite {
    #[schema(inline, default = "member")]
    role: InvitedRole,
    #[schema(minimum = 1, default = 86_400)]
    expires_in_seconds: u64,
    #[schema(minimum = 1, default = 1)]
    max_uses: u32,
}

impl Default for CreateInvite {
    fn default() -> Self {
        Self { role: InvitedRole::Member, expires_in_seconds: EXPIRES_IN_SECONDS_DEFAULT, max_uses: 1 }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct Invite {
    invite_id: String,
    /// Whoever holds it may use it: a secret.
    ticket: String,
    expires_at: Time,
}

/// A ticket with which another node may join
#[utoipa::path(
    post, path = "/node/v1/workspaces/{workspace_id}/invites", operation_id = "createInvite", tag = "workspaces",
    params(WorkspacePath), request_body(content = Option<CreateInvite>),
    responses((status = 201, description = "Ticket.", body = Invite), BadRequest, NotFound, Always)
)]
pub(super) async fn create(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<(StatusCode, Json<Invite>), Problem> {
    let request: CreateInvite = body.read_optional()?;
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    let role = request.role.into();
    let invite =
        doors.node.create_invite(workspace, role, request.expires_in_seconds, request.max_uses).await?;
    let shown =
        Invite { invite_id: invite.id, ticket: invite.ticket, expires_at: Time::from_ms(invite.expires_ms) };
    Ok((StatusCode::CREATED, Json(shown)))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct InvitePath {
    workspace_id: String,
    invite_id: String,
}

/// Revoke an unused ticket
#[utoipa::path(
    delete, path = "/node/v1/workspaces/{workspace_id}/invites/{invite_id}", operation_id = "revokeInvite",
    tag = "workspaces", params(InvitePath),
    responses((status = 204, description = "Revoked."), NotFound, Always)
)]
pub(super) async fn revoke(
    State(doors): State<Doors>,
    InPath(path): InPath<InvitePath>,
) -> Result<StatusCode, Problem> {
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    doors.node.revoke_invite(workspace, &path.invite_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
