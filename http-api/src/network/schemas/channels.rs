//! Channels (N-112 to N-119).

use muster_protocol::network;
use muster_storage::ChannelRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{peers::NetworkPeer, session::Session, words::Kind};
use crate::Time;

/// What `createNetworkChannel` asks for. A member left out counts as blank, and is refused in the
/// order of N-117.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateNetworkChannelRequest {
    /// Its name.
    #[serde(default)]
    #[schema(required = true, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")]
    pub channel: String,
    /// Has to name the workspace of the path.
    #[serde(default)]
    #[schema(required = true)]
    pub workspace_id: String,
    /// Why the channel exists; not blank.
    #[serde(default)]
    #[schema(required = true, min_length = 1)]
    pub purpose: String,
    /// Agents known to the workspace; one session is started for each, in this order.
    #[serde(default)]
    #[schema(required = true, min_items = 1)]
    pub agent_names: Vec<String>,
}

/// Answer of `listNetworkChannels`.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkChannelsResponse {
    /// The channels.
    pub channels: Vec<NetworkChannelSummary>,
}

/// Answer of `getNetworkChannel` and `createNetworkChannel`.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkChannelResponse {
    /// The channel.
    pub channel: NetworkChannelDetail,
}

/// A channel in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkChannelSummary {
    /// Its name.
    pub channel: String,
    /// Its workspace.
    pub workspace_id: String,
    /// Why it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// First agent name of the call that created it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// Peers visible in it now.
    pub peer_count: usize,
    /// Those of this node.
    pub local_peer_count: usize,
    /// Those of other nodes.
    pub remote_peer_count: usize,
    /// Sessions that are not stopped.
    pub session_count: usize,
    /// Public, undirected messages without greets (N-114).
    pub message_count: u64,
    /// Greets since the node started: they are counted, not kept (N-138).
    pub presence_count: u64,
    /// Peers that were ever sender or target.
    pub historical_participant_count: u64,
    /// Time of the newest counted message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_activity_at: Option<Time>,
    /// When a visible peer was last heard of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_presence_at: Option<Time>,
    /// Preview of the newest counted message.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub last_message_preview: String,
}

/// Who is in a channel now.
pub(crate) struct Presence {
    pub(crate) local_peers: usize,
    pub(crate) remote_peers: usize,
    pub(crate) sessions: usize,
    pub(crate) greets: u64,
    /// When a peer of it was last heard of, Unix milliseconds.
    pub(crate) last_ms: Option<u64>,
}

impl NetworkChannelSummary {
    /// What is stored of a channel, and who is in it.
    pub(crate) fn of(row: ChannelRow, workspace: &str, presence: &Presence) -> Self {
        Self {
            channel: row.name.to_string(),
            workspace_id: workspace.to_owned(),
            purpose: row.purpose,
            created_by: row.created_by,
            created_at: row.created_ms.map(Time::from_ms),
            peer_count: presence.local_peers + presence.remote_peers,
            local_peer_count: presence.local_peers,
            remote_peer_count: presence.remote_peers,
            session_count: presence.sessions,
            message_count: row.message_count,
            presence_count: presence.greets,
            historical_participant_count: row.historical_participant_count,
            last_activity_at: row.last_activity_ms.map(Time::from_ms),
            last_presence_at: presence.last_ms.map(Time::from_ms),
            last_message_preview: row.last_message_preview,
        }
    }
}

/// A channel with what is in it.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkChannelDetail {
    /// As in the list.
    #[serde(flatten)]
    pub summary: NetworkChannelSummary,
    /// Mix of the messages counted by `message_count`; kinds without any are left out (N-115).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub kind_counts: Vec<NetworkChannelKindCount>,
    /// Its sessions that are not stopped.
    pub sessions: Vec<Session>,
    /// Peers visible in it now.
    pub peers: Vec<NetworkPeer>,
}

/// How many messages of one kind.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkChannelKindCount {
    /// The kind.
    pub kind: Kind,
    /// How many.
    #[schema(minimum = 1)]
    pub count: u64,
}

impl From<(network::Kind, u64)> for NetworkChannelKindCount {
    fn from((kind, count): (network::Kind, u64)) -> Self {
        Self { kind: kind.into(), count }
    }
}
