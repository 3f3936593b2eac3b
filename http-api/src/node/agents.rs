//! Agents of this node: registered by name, so that channels can start sessions of them.

use axum::{Json, extract::State, http::StatusCode};
use muster_protocol::network::Capability;
use muster_storage::AgentRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    errors::{Always, BadRequest, Conflict, NotFound, Problem},
    workspaces::{WorkspacePath, find},
};
use crate::{
    Doors,
    input::{InPath, JsonBody, given},
};

/// No program stands behind the agent: its inbox waits until somebody attaches (N-122).
const PROVIDER_DEFAULT: &str = "none";

/// What an agent can do (N-66).
#[derive(Serialize, Deserialize, ToSchema)]
struct AgentCapability {
    id: String,
    summary: String,
    outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default)]
    requirements: Vec<String>,
}

impl From<AgentCapability> for Capability {
    fn from(given: AgentCapability) -> Self {
        let AgentCapability { id, summary, outcome, version, requirements } = given;
        Self { id, summary, outcome, version, requirements, ..Self::default() }
    }
}

impl From<Capability> for AgentCapability {
    fn from(known: Capability) -> Self {
        let Capability { id, summary, outcome, version, requirements, .. } = known;
        Self { id, summary, outcome, version, requirements }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct Agent {
    name: String,
    provider: String,
    capabilities: Vec<AgentCapability>,
}

impl From<AgentRow> for Agent {
    fn from(row: AgentRow) -> Self {
        let capabilities = row.capabilities.into_iter().map(AgentCapability::from).collect();
        Self { name: row.name, provider: row.provider, capabilities }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct Agents {
    agents: Vec<Agent>,
}

/// Agents of this node in the workspace
#[utoipa::path(
    get, path = "/node/v1/workspaces/{workspace_id}/agents", operation_id = "listNetworkAgents", tag = "agents",
    params(WorkspacePath),
    responses((status = 200, description = "Agents.", body = Agents), NotFound, Always)
)]
pub(super) async fn list(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
) -> Result<Json<Agents>, Problem> {
    let view = doors.node.store().view()?;
    let workspace = find(&view, &path.workspace_id)?;
    Ok(Json(Agents { agents: view.agents(&workspace)?.into_iter().map(Agent::from).collect() }))
}

#[derive(Deserialize, ToSchema)]
pub(super) struct RegisterAgent {
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    name: String,
    /// `none`: no program behind it; its inbox waits.
    #[serde(default)]
    #[schema(default = "none")]
    provider: Option<String>,
    #[serde(default)]
    capabilities: Vec<AgentCapability>,
}

/// Register an agent by name, so that channels can start sessions of it
#[utoipa::path(
    post, path = "/node/v1/workspaces/{workspace_id}/agents", operation_id = "registerNetworkAgent", tag = "agents",
    params(WorkspacePath), request_body = RegisterAgent,
    responses((status = 201, description = "Registered.", body = Agent), BadRequest, NotFound, Conflict, Always)
)]
pub(super) async fn register(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<(StatusCode, Json<Agent>), Problem> {
    let request: RegisterAgent = body.read()?;
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    let provider = given(request.provider.as_deref()).unwrap_or(PROVIDER_DEFAULT).to_owned();
    let capabilities = request.capabilities.into_iter().map(Capability::from).collect();
    let row = doors.node.register_agent(workspace, request.name, provider, capabilities).await?;
    Ok((StatusCode::CREATED, Json(row.into())))
}
