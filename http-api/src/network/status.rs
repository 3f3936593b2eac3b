//! The state and counters of this node's network runtime (N-123 to N-128).

use std::collections::BTreeSet;

use axum::{Json, extract::State};

use super::{
    errors::{Always, Failure},
    schemas::status::{Counters, NetworkState, NetworkStatus, NetworkStatusResponse},
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
pub(super) async fn read(State(doors): State<Doors>) -> Result<Json<NetworkStatusResponse>, Failure> {
    let settings = &doors.node.settings().network;
    if !settings.enabled {
        return Ok(Json(NetworkStatusResponse { network: NetworkStatus::disabled() }));
    }
    let counters = doors.node.counters();
    let mut network = NetworkStatus::running(settings.default_channel.as_str(), standing(&doors)?, &counters);
    if let Some(address) = doors.addresses.first() {
        network.listener_host = Some(address.ip().to_string());
        network.listener_port = Some(address.port());
    }
    if doors.node.mesh_addresses().is_empty() {
        network.status = NetworkState::Disconnected;
        network.last_disconnect = Some("the mesh listens on no address".to_owned());
    }
    Ok(Json(NetworkStatusResponse { network }))
}

/// How things stand now, over all workspaces (N-124, N-126). What is kept of each channel and session
/// is added up; no message is read.
fn standing(doors: &Doors) -> Result<Counters, Failure> {
    let view = doors.node.store().view()?;
    let mut now = Counters { delivery_workers: doors.node.sessions_served(), ..Counters::default() };
    for workspace in view.workspaces()? {
        let peers = doors.node.peers(workspace.id, None)?;
        let local = peers.iter().filter(|peer| peer.local).count() as u64;
        now.local_peers += local;
        now.remote_peers += peers.len() as u64 - local;
        now.channels += peers.iter().map(|peer| &peer.channel).collect::<BTreeSet<_>>().len() as u64;
        for session in view.active_sessions(&workspace)? {
            now.queued_messages += session.waiting;
            now.queued_sessions += u64::from(session.waiting > 0);
        }
        for channel in view.channels(&workspace)? {
            now.open_threads += channel.threads;
            now.open_direct_rooms += channel.rooms;
            now.open_work_items += channel.open_work;
        }
    }
    Ok(now)
}
