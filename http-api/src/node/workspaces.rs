//! Workspaces this node is a member of.

use axum::{Json, extract::State, http::StatusCode};
use muster_protocol::{control::Role, identity::NodeId};
use muster_storage::{View, WorkspaceRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::errors::{Always, BadRequest, NotFound, Problem};
use crate::{
    Doors, Time,
    input::{InPath, JsonBody, given},
};

/// The workspace of a path.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct WorkspacePath {
    /// Its id, or its name on this node.
    pub(super) workspace_id: String,
}

/// What a node may do in a workspace.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[schema(as = Role)]
#[serde(rename_all = "lowercase")]
pub(super) enum RoleName {
    Owner,
    Admin,
    Member,
    Guest,
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Admin => Self::Admin,
            Role::Member => Self::Member,
            Role::Guest => Self::Guest,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct Workspace {
    /// The one id that all nodes and all doors use: `ws_` and a ULID.
    id: String,
    name: String,
    /// Of this node.
    role: RoleName,
    parent_id: Option<String>,
    /// The node that decides about members, roles and invites.
    home_peer_id: String,
    /// Whether that node contradicted itself, so that nobody decides any more.
    home_forked: bool,
    /// Nodes that are members.
    members: usize,
    created_at: Time,
}

impl Workspace {
    /// `None` when this node is no longer a member.
    fn of_member(row: WorkspaceRow) -> Option<Self> {
        Some(Self {
            id: row.id.to_string(),
            role: row.role?.into(),
            name: row.name,
            parent_id: row.parent.map(|id| id.to_string()),
            home_peer_id: row.home.to_string(),
            home_forked: row.forked,
            members: row.members,
            created_at: Time::from_ms(row.created_ms),
        })
    }
}

impl TryFrom<WorkspaceRow> for Workspace {
    type Error = Problem;

    fn try_from(row: WorkspaceRow) -> Result<Self, Problem> {
        Self::of_member(row).ok_or_else(Problem::unknown_workspace)
    }
}

/// The workspace a reference names, by id or by name.
pub(super) fn find(view: &View, reference: &str) -> Result<WorkspaceRow, Problem> {
    view.workspace(reference.trim())?.ok_or_else(Problem::unknown_workspace)
}

#[derive(Serialize, ToSchema)]
pub(super) struct Workspaces {
    workspaces: Vec<Workspace>,
}

/// Workspaces this node is a member of
#[utoipa::path(
    get, path = "/node/v1/workspaces", operation_id = "listNodeWorkspaces", tag = "workspaces",
    responses((status = 200, description = "Workspaces.", body = Workspaces), Always)
)]
pub(super) async fn list(State(doors): State<Doors>) -> Result<Json<Workspaces>, Problem> {
    let rows = doors.node.store().view()?.workspaces()?;
    Ok(Json(Workspaces { workspaces: rows.into_iter().filter_map(Workspace::of_member).collect() }))
}

#[derive(Deserialize, ToSchema)]
pub(super) struct CreateWorkspace {
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Id or name of the workspace above it in a tree.
    parent_id: Option<String>,
    /// What runs its agents. Kept for those who send it; without meaning yet.
    #[serde(rename = "runtime")]
    #[schema(required = false)]
    _runtime: Option<String>,
}

/// Found a workspace; this node becomes its owner
#[utoipa::path(
    post, path = "/node/v1/workspaces", operation_id = "createNodeWorkspace", tag = "workspaces",
    request_body = CreateWorkspace,
    responses((status = 201, description = "Founded.", body = Workspace), BadRequest, Always)
)]
pub(super) async fn create(
    State(doors): State<Doors>,
    body: JsonBody,
) -> Result<(StatusCode, Json<Workspace>), Problem> {
    let request: CreateWorkspace = body.read()?;
    let parent = match given(request.parent_id.as_deref()) {
        Some(reference) => {
            let parent = doors.node.store().view()?.workspace(reference)?;
            Some(parent.ok_or_else(|| Problem::invalid("`parent_id` names no workspace of this node"))?.id)
        }
        None => None,
    };
    let row = doors.node.create_workspace(request.name, parent).await?;
    Ok((StatusCode::CREATED, Json(row.try_into()?)))
}

/// Say that nobody knows more of who belongs to a workspace than this node, its home, that was restored from a copy
#[utoipa::path(
    post, path = "/node/v1/workspaces/{workspace_id}/settle", operation_id = "settleWorkspace", tag = "workspaces",
    params(WorkspacePath),
    responses(
        (status = 200, description = "It decides again.", body = Workspace), NotFound, Always
    )
)]
pub(super) async fn settle(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
) -> Result<Json<Workspace>, Problem> {
    let row = find(&doors.node.store().view()?, &path.workspace_id)?;
    Ok(Json(doors.node.settle(row.id).await?.try_into()?))
}

#[derive(Deserialize, ToSchema)]
pub(super) struct MoveHome {
    /// An admin's node.
    peer_id: String,
}

/// Move the home: another node decides about members, roles and invites from now on
#[utoipa::path(
    post, path = "/node/v1/workspaces/{workspace_id}/home", operation_id = "moveWorkspaceHome", tag = "workspaces",
    params(WorkspacePath), request_body = MoveHome,
    responses((status = 200, description = "It moved.", body = Workspace), BadRequest, NotFound, Always)
)]
pub(super) async fn move_home(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<Json<Workspace>, Problem> {
    let row = find(&doors.node.store().view()?, &path.workspace_id)?;
    let MoveHome { peer_id } = body.read()?;
    // What is no peer id is no member's either.
    let to: NodeId = peer_id.trim().parse().map_err(|_| Problem::unknown_member())?;
    Ok(Json(doors.node.move_home(row.id, to).await?.try_into()?))
}

/// One workspace
#[utoipa::path(
    get, path = "/node/v1/workspaces/{workspace_id}", operation_id = "getNodeWorkspace", tag = "workspaces",
    params(WorkspacePath),
    responses((status = 200, description = "Workspace.", body = Workspace), NotFound, Always)
)]
pub(super) async fn read(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
) -> Result<Json<Workspace>, Problem> {
    let row = find(&doors.node.store().view()?, &path.workspace_id)?;
    Ok(Json(row.try_into()?))
}
