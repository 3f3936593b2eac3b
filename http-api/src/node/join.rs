//! Joining the workspace a ticket opens.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    errors::{Always, BadRequest, Problem, Unreachable},
    workspaces::Workspace,
};
use crate::{Doors, input::JsonBody};

#[derive(Deserialize, ToSchema)]
pub(super) struct JoinWorkspace {
    ticket: String,
}

/// Join the workspace a ticket opens
#[utoipa::path(
    post, path = "/node/v1/join", operation_id = "joinWorkspace", tag = "workspaces", request_body = JoinWorkspace,
    responses(
        (status = 200, description = "Joined; the workspace's history is being fetched.", body = Workspace),
        BadRequest, Unreachable, Always
    )
)]
pub(super) async fn join(State(doors): State<Doors>, body: JsonBody) -> Result<Json<Workspace>, Problem> {
    let request: JoinWorkspace = body.read()?;
    let row = doors.node.join(request.ticket.trim()).await?;
    Ok(Json(row.try_into()?))
}
