//! Direct rooms (N-32 to N-40, N-105).

use muster_storage::RoomRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Time;

/// What `resolveNetworkDirectRoom` asks for. A member left out counts as blank.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ResolveNetworkDirectRoomRequest {
    /// A session of this node that is a peer of the channel.
    #[serde(default)]
    #[schema(required = true, min_length = 1)]
    pub session_id: String,
    /// The other peer.
    #[serde(default)]
    #[schema(required = true, pattern = "^[a-z0-9][a-z0-9._-]{0,127}$")]
    pub peer_id: String,
}

/// Answer of `listNetworkDirectRooms`.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkDirectRoomsResponse {
    /// Most recently active first.
    pub directs: Vec<NetworkDirectRoom>,
}

/// Answer of `getNetworkDirectRoom` and `resolveNetworkDirectRoom`.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkDirectRoomResponse {
    /// The room.
    pub direct: NetworkDirectRoom,
}

/// A conversation of two peers, of which at least one is of this node.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkDirectRoom {
    /// Its workspace.
    pub workspace_id: String,
    /// Its channel.
    pub channel: String,
    /// Its id, derived from workspace, channel and peers.
    pub direct_id: String,
    /// The lexicographically smaller peer id.
    pub peer_a: String,
    /// The larger one.
    pub peer_b: String,
    /// When it was resolved, or its first message said.
    pub opened_at: Time,
    /// Time of the newest message; of a room without one, when it was opened.
    pub last_activity_at: Time,
    /// Messages stored.
    pub message_count: u64,
    /// Work that has not ended (N-52).
    pub open_work_count: u64,
    /// Preview of the newest message.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub last_message_preview: String,
}

impl NetworkDirectRoom {
    /// A stored room of `workspace`.
    pub(crate) fn of(row: RoomRow, workspace: &str) -> Self {
        Self {
            workspace_id: workspace.to_owned(),
            channel: row.channel.to_string(),
            direct_id: row.direct_id.to_string(),
            peer_a: row.peer_a.to_string(),
            peer_b: row.peer_b.to_string(),
            opened_at: Time::from_ms(row.opened_ms),
            last_activity_at: Time::from_ms(row.last_activity_ms),
            message_count: row.message_count,
            open_work_count: row.open_work_count,
            last_message_preview: row.last_message_preview,
        }
    }
}
