//! The state and counters of this node's network runtime (N-123 to N-128).

use axum::{Json, extract::State};

use super::{
    errors::Always,
    schemas::status::{NetworkState, NetworkStatus, NetworkStatusResponse},
};
use crate::Doors;

/// Read the state and counters of this node's network runtime
///
/// Node-wide, not scoped to a workspace. With the network switched off it answers 200 with
/// `enabled: false`; that is not an error.
#[utoipa::path(
    get, path = "/api/network/status", operation_id = "getNetworkStatus", tag = "network-status",
    responses((status = 200, description = "Snapshot of the runtime.", body = NetworkStatusResponse), Always)
)]
pub(super) async fn read(State(doors): State<Doors>) -> Json<NetworkStatusResponse> {
    let settings = &doors.node.settings().network;
    let network = if settings.enabled {
        let mut network = NetworkStatus::running(doors.node.counters(), settings.default_channel.as_str());
        if let Some(address) = doors.addresses.first() {
            network.listener_host = Some(address.ip().to_string());
            network.listener_port = Some(address.port());
        }
        if doors.node.mesh_addresses().is_empty() {
            network.status = NetworkState::Disconnected;
            network.last_disconnect = Some("the mesh listens on no address".to_owned());
        }
        network
    } else {
        NetworkStatus::disabled()
    };
    Json(NetworkStatusResponse { network })
}
