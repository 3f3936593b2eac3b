//! Work between two peers (N-43 to N-53).

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    errors::{Always, BadRequest, Failure, InWorkspace},
    schemas::work::{NetworkWork, NetworkWorkResponse},
    scope::{self, Scope},
};
use crate::{Doors, input::InPath};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct WorkPath {
    /// Workspace that scopes everything in the call: its id or its name (N-2).
    #[param(min_length = 1)]
    workspace_id: String,
    /// Work to read. Unique inside the workspace, not inside a channel (N-44).
    #[param(min_length = 1, max_length = 128, pattern = r"^[^/\\\x00-\x1f\x7f]+$")]
    work_id: String,
}

/// Read the lifecycle record of one piece of work
#[utoipa::path(
    get, path = "/api/workspaces/{workspace_id}/network/work/{work_id}", operation_id = "getNetworkWork",
    tag = "network-work", params(WorkPath),
    responses((status = 200, description = "The work record.", body = NetworkWorkResponse), BadRequest, InWorkspace, Always)
)]
pub(super) async fn read(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkPath>,
) -> Result<Json<NetworkWorkResponse>, Failure> {
    scope::running(&doors)?;
    let id = scope::work(&path.work_id)?;
    let scope = Scope::open(&doors, &path.workspace_id)?;
    let record = scope.view.work(&scope.workspace, &id)?;
    let record = record.ok_or_else(|| Failure::not_found("the workspace has no such work"))?;
    Ok(Json(NetworkWorkResponse { work: NetworkWork::of(record, doors.node.id()) }))
}
