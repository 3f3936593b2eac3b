//! Nodes connected now.

use axum::{Json, extract::State};
use muster_actors::ConnectionRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::errors::Always;
use crate::Doors;

#[derive(Serialize, ToSchema)]
pub(super) struct NodePeers {
    peers: Vec<NodePeer>,
}

#[derive(Serialize, ToSchema)]
struct NodePeer {
    peer_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    addresses: Vec<String>,
    path: ConnectionPath,
    /// Milliseconds of the last measured round trip.
    rtt_ms: Option<f64>,
    /// Ids of the workspaces we share.
    workspaces: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ConnectionPath {
    Direct,
    Relayed,
}

impl From<ConnectionRow> for NodePeer {
    fn from(row: ConnectionRow) -> Self {
        Self {
            peer_id: row.node.to_string(),
            name: row.name,
            addresses: row.addresses,
            path: if row.relayed { ConnectionPath::Relayed } else { ConnectionPath::Direct },
            rtt_ms: row.rtt_ms,
            workspaces: row.workspaces.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Nodes connected now
#[utoipa::path(
    get, path = "/node/v1/peers", operation_id = "listNodePeers", tag = "node",
    responses((status = 200, description = "Peers.", body = NodePeers), Always)
)]
pub(super) async fn list(State(doors): State<Doors>) -> Json<NodePeers> {
    Json(NodePeers { peers: doors.node.connections().into_iter().map(NodePeer::from).collect() })
}
