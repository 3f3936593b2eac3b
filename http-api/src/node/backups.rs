//! Copies of the store, made while the node runs.

use std::path::PathBuf;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::errors::{Always, BadRequest, Problem};
use crate::{
    Doors,
    input::{JsonBody, given},
};

#[derive(Deserialize, ToSchema)]
pub(super) struct CreateBackup {
    /// Where the copy goes, on the node's machine: an absolute path.
    path: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Backup {
    path: String,
    bytes: u64,
    /// The copy was opened and read.
    verified: bool,
}

/// Copy the store, consistent, while the node runs
#[utoipa::path(
    post, path = "/node/v1/backups", operation_id = "createBackup", tag = "node", request_body = CreateBackup,
    responses((status = 201, description = "Written and read back.", body = Backup), BadRequest, Always)
)]
pub(super) async fn create(
    State(doors): State<Doors>,
    body: JsonBody,
) -> Result<(StatusCode, Json<Backup>), Problem> {
    let request: CreateBackup = body.read()?;
    let path = given(Some(&request.path)).map(PathBuf::from).filter(|path| path.is_absolute());
    let path =
        path.ok_or_else(|| Problem::invalid("`path` has to be an absolute path on the node's machine"))?;
    let report = doors.node.backup(path).await?;
    let backup =
        Backup { path: report.path.display().to_string(), bytes: report.bytes, verified: report.verified };
    Ok((StatusCode::CREATED, Json(backup)))
}
