//! Who this node is and how it fares.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::errors::{Always, Problem};
use crate::{Doors, Time};

/// How search finds things.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SearchTier {
    /// By the words, and what the index knows of them itself.
    Lexical,
    /// Also by a model in a folder.
    Static,
    /// Also by a model at an address.
    Endpoint,
}

/// How far the search index is.
#[derive(Serialize, ToSchema)]
pub(super) struct SearchState {
    /// Events of this node that are in it.
    events: u64,
    /// Events that there are.
    events_total: u64,
}

/// What keeps agents that run here apart from the machine.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Isolation {
    /// Nothing: no agent runs on this node.
    None,
}

#[derive(Serialize, ToSchema)]
pub(super) struct NodeStatus {
    /// libp2p peer id.
    peer_id: String,
    name: String,
    version: &'static str,
    started_at: Time,
    api_addresses: Vec<String>,
    /// Multiaddrs that end in the peer id.
    mesh_addresses: Vec<String>,
    /// Nodes connected now.
    peers: usize,
    /// Workspaces this node is a member of.
    workspaces: usize,
    search_tier: SearchTier,
    search: SearchState,
    isolation: Isolation,
}

/// Who this node is and how it fares
#[utoipa::path(
    get, path = "/node/v1/status", operation_id = "getNodeStatus", tag = "node",
    responses((status = 200, description = "Status.", body = NodeStatus), Always)
)]
pub(super) async fn read(State(doors): State<Doors>) -> Result<Json<NodeStatus>, Problem> {
    let node = &doors.node;
    let workspaces = node.store().view()?.workspaces()?;
    let search = node.search_progress();
    Ok(Json(NodeStatus {
        peer_id: node.id().to_string(),
        name: node.name().to_owned(),
        version: env!("CARGO_PKG_VERSION"),
        started_at: Time::from_ms(node.started_ms()),
        api_addresses: doors.addresses.iter().map(|address| format!("http://{address}")).collect(),
        mesh_addresses: node.mesh_addresses(),
        peers: node.connections().len(),
        workspaces: workspaces.iter().filter(|workspace| workspace.role.is_some()).count(),
        search_tier: match search.tier {
            "static" => SearchTier::Static,
            "endpoint" => SearchTier::Endpoint,
            _ => SearchTier::Lexical,
        },
        search: SearchState { events: search.events, events_total: search.events_total },
        isolation: Isolation::None,
    }))
}
