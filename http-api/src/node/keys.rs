//! Keys of the Workspace door for people and bots whose home is this node.

use axum::{Json, extract::State, http::StatusCode};
use jiff::Timestamp;
use muster_protocol::{ids::exact_ulid, key::Scope, principal::Principal};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    errors::{Always, BadRequest, NotFound, Problem},
    people::principal,
    workspaces::{WorkspacePath, find},
};
use crate::{
    Doors,
    input::{InPath, JsonBody},
};

#[derive(Deserialize, ToSchema)]
pub(super) struct CreateKey {
    /// The person it speaks for. Give this or `bot_id`.
    user_id: Option<String>,
    /// The bot it speaks for.
    bot_id: Option<String>,
    /// What it may do, at least one, such as `messages:read`.
    #[schema(min_items = 1)]
    scopes: Vec<String>,
    /// Until when; for good when absent.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct NodeKey {
    key_id: String,
    /// All of it; it is not shown again.
    key: String,
}

/// Mint a key of the workspace API for one person or one bot; shown once
#[utoipa::path(
    post, path = "/node/v1/workspaces/{workspace_id}/keys", operation_id = "createKey", tag = "keys",
    params(WorkspacePath), request_body = CreateKey,
    responses((status = 201, description = "Minted.", body = NodeKey), BadRequest, NotFound, Always)
)]
pub(super) async fn create(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<(StatusCode, Json<NodeKey>), Problem> {
    let request: CreateKey = body.read()?;
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    let whom = match (&request.user_id, &request.bot_id) {
        (Some(user), None) => principal(user).ok().filter(|whom| !whom.is_bot()),
        (None, Some(bot)) => principal(bot).ok().filter(|whom| whom.is_bot()),
        _ => return Err(Problem::invalid("give `user_id` or `bot_id`, and not both")),
    };
    let whom = whom.ok_or_else(Problem::unknown_principal)?;
    let scopes: Option<Vec<Scope>> = request.scopes.iter().map(|word| Scope::from_word(word)).collect();
    let scopes = scopes.filter(|scopes| !scopes.is_empty()).ok_or_else(Problem::invalid_scope)?;
    let expires_ms = match request.expires_at.as_deref() {
        Some(text) => Some(instant(text)?),
        None => None,
    };
    let minted = doors.node.create_key(workspace, whom, scopes, expires_ms).await?;
    let prefix = prefix(whom);
    Ok((StatusCode::CREATED, Json(NodeKey { key_id: format!("{prefix}_{}", minted.id), key: minted.key })))
}

fn prefix(whom: Principal) -> &'static str {
    if whom.is_bot() { "bak" } else { "uak" }
}

fn instant(text: &str) -> Result<u64, Problem> {
    let at: Timestamp = text
        .trim()
        .parse()
        .map_err(|_| Problem::invalid("`expires_at` has to be a time like 2027-01-31T12:00:00Z"))?;
    Ok(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct KeyPath {
    workspace_id: String,
    key_id: String,
}

/// Revoke; the next request with it is refused
#[utoipa::path(
    delete, path = "/node/v1/workspaces/{workspace_id}/keys/{key_id}", operation_id = "revokeKey", tag = "keys",
    params(KeyPath), responses((status = 204, description = "Revoked."), NotFound, Always)
)]
pub(super) async fn revoke(
    State(doors): State<Doors>,
    InPath(path): InPath<KeyPath>,
) -> Result<StatusCode, Problem> {
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    let id = path.key_id.trim();
    let id = id.strip_prefix("uak_").or_else(|| id.strip_prefix("bak_")).and_then(exact_ulid);
    doors.node.revoke_key(workspace, id.ok_or_else(Problem::unknown_key)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
