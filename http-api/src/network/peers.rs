//! Who is visible now (N-54 to N-65).

use axum::{Json, extract::State};
use muster_protocol::network::PeerName;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    errors::{Always, BadRequest, Failure, InWorkspace},
    schemas::peers::{NetworkPeer, NetworkPeerDetail, NetworkPeerResponse, NetworkPeersResponse},
    scope::{self, Scope, WorkspacePath},
};
use crate::{
    Doors,
    input::{InPath, InQuery, given},
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PeersQuery {
    /// Keep only peers of this channel.
    #[param(pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")]
    channel: Option<String>,
}

/// List the peers visible now in a workspace
#[utoipa::path(
    get, path = "/api/workspaces/{workspace_id}/network/peers", operation_id = "listNetworkPeers",
    tag = "network-peers", params(WorkspacePath, PeersQuery),
    responses(
        (status = 200, description = "Visible peers, local ones first; no paging.", body = NetworkPeersResponse),
        BadRequest, InWorkspace, Always
    )
)]
pub(super) async fn list(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
    InQuery(query): InQuery<PeersQuery>,
) -> Result<Json<NetworkPeersResponse>, Failure> {
    scope::running(&doors)?;
    let scope = Scope::open(&doors, &path.workspace_id)?;
    let channel = given(query.channel.as_deref()).map(scope::channel).transpose()?;
    let peers = doors.node.peers(scope.workspace.id, channel.as_ref())?;
    Ok(Json(NetworkPeersResponse {
        peers: peers.into_iter().map(|peer| NetworkPeer::of(peer, &scope.id())).collect(),
    }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct PeerPath {
    /// Workspace that scopes everything in the call: its id or its name (N-2).
    #[param(min_length = 1)]
    workspace_id: String,
    /// Peer to read; it has to be visible in some channel of the workspace.
    #[param(min_length = 1)]
    peer_id: String,
}

/// Read one visible peer with its capability catalog and counters
#[utoipa::path(
    get, path = "/api/workspaces/{workspace_id}/network/peers/{peer_id}", operation_id = "getNetworkPeer",
    tag = "network-peers", params(PeerPath),
    responses((status = 200, description = "The peer.", body = NetworkPeerResponse), BadRequest, InWorkspace, Always)
)]
pub(super) async fn read(
    State(doors): State<Doors>,
    InPath(path): InPath<PeerPath>,
) -> Result<Json<NetworkPeerResponse>, Failure> {
    scope::running(&doors)?;
    let scope = Scope::open(&doors, &path.workspace_id)?;
    let name = given(Some(&path.peer_id)).ok_or_else(|| Failure::invalid("`peer_id` is blank"))?;
    // What is outside the grammar cannot exist (N-62).
    let name = PeerName::parse(name).map_err(|_| not_visible())?;
    let peer = doors.node.peer(scope.workspace.id, &name)?.ok_or_else(not_visible)?;
    Ok(Json(NetworkPeerResponse { peer: NetworkPeerDetail::from(peer) }))
}

fn not_visible() -> Failure {
    Failure::not_found("no peer of that id is visible in the workspace now")
}
