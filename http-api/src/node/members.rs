//! Nodes of a workspace.

use axum::{Json, extract::State, http::StatusCode};
use muster_protocol::{control::Role, identity::NodeId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    errors::{Always, BadRequest, NotFound, Problem},
    workspaces::{RoleName, WorkspacePath, find},
};
use crate::{
    Doors, Time,
    input::{InPath, JsonBody},
};

#[derive(Serialize, ToSchema)]
pub(super) struct Members {
    members: Vec<Member>,
}

#[derive(Serialize, ToSchema)]
struct Member {
    peer_id: String,
    name: String,
    role: RoleName,
    /// Whether it decides about members, roles and invites.
    is_home: bool,
    /// Connected to this node now, or this node itself.
    online: bool,
    joined_at: Time,
    /// Operations of this node that the member has not yet said to hold durably.
    behind: u64,
}

/// Nodes of the workspace
#[utoipa::path(
    get, path = "/node/v1/workspaces/{workspace_id}/members", operation_id = "listMemberNodes", tag = "workspaces",
    params(WorkspacePath),
    responses((status = 200, description = "Members.", body = Members), NotFound, Always)
)]
pub(super) async fn list(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
) -> Result<Json<Members>, Problem> {
    let view = doors.node.store().view()?;
    let workspace = find(&view, &path.workspace_id)?;
    let members = view.members(&workspace)?.into_iter().map(|row| Member {
        peer_id: row.node.to_string(),
        name: row.name,
        role: row.role.into(),
        is_home: row.node == workspace.home,
        online: doors.node.is_online(row.node),
        joined_at: Time::from_ms(row.joined_ms),
        behind: row.behind,
    });
    Ok(Json(Members { members: members.collect() }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct MemberPath {
    workspace_id: String,
    peer_id: String,
}

/// Remove a node; nothing it writes afterwards is accepted by the others
#[utoipa::path(
    delete, path = "/node/v1/workspaces/{workspace_id}/members/{peer_id}", operation_id = "removeMemberNode",
    tag = "workspaces", params(MemberPath),
    responses((status = 204, description = "Removed."), NotFound, Always)
)]
pub(super) async fn remove(
    State(doors): State<Doors>,
    InPath(path): InPath<MemberPath>,
) -> Result<StatusCode, Problem> {
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    // What is no peer id is no member's either.
    let node: NodeId = path.peer_id.parse().map_err(|_| Problem::unknown_member())?;
    doors.node.remove_member(workspace, node).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A role a member may be given; the owner is who founded the workspace.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum GivenRole {
    Admin,
    Member,
    Guest,
}

impl From<GivenRole> for Role {
    fn from(role: GivenRole) -> Self {
        match role {
            GivenRole::Admin => Self::Admin,
            GivenRole::Member => Self::Member,
            GivenRole::Guest => Self::Guest,
        }
    }
}

#[derive(Deserialize, ToSchema)]
pub(super) struct SetRole {
    #[schema(inline)]
    role: GivenRole,
}

/// Set what a node may do
#[utoipa::path(
    patch, path = "/node/v1/workspaces/{workspace_id}/members/{peer_id}", operation_id = "setMemberNodeRole",
    tag = "workspaces", params(MemberPath), request_body = SetRole,
    responses((status = 204, description = "The member has that role."), BadRequest, NotFound, Always)
)]
pub(super) async fn set_role(
    State(doors): State<Doors>,
    InPath(path): InPath<MemberPath>,
    body: JsonBody,
) -> Result<StatusCode, Problem> {
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    // What is no peer id is no member's either.
    let node: NodeId = path.peer_id.parse().map_err(|_| Problem::unknown_member())?;
    let SetRole { role } = body.read()?;
    doors.node.set_role(workspace, node, role.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}
