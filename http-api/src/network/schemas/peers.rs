//! Peers and what they say about themselves (N-56 to N-71).

use muster_actors::{PeerRow, Traffic};
use muster_protocol::network::{Capability, PeerCard, capability::EXT_BRIEFS};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Extensions, words::PresenceState};
use crate::Time;

/// Answer of `listNetworkPeers`.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkPeersResponse {
    /// Local peers first (N-59).
    pub peers: Vec<NetworkPeer>,
}

/// Answer of `getNetworkPeer`.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkPeerResponse {
    /// The peer.
    pub peer: NetworkPeerDetail,
}

/// A peer in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkPeer {
    /// Its workspace.
    pub workspace_id: String,
    /// Only for peers that are sessions of this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Who.
    pub peer_id: String,
    /// The name to show (N-60).
    pub display_name: String,
    /// Where.
    pub channel: String,
    /// Whether it is a session of this node.
    pub local: bool,
    /// What it says about itself.
    pub peer_card: NetworkPeerCard,
    /// Only for local peers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined_at: Option<Time>,
    /// Only for remote peers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Time>,
    /// Only for remote peers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// How present it is.
    pub presence_state: PresenceState,
    /// Not for local or unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_age_seconds: Option<u64>,
}

impl NetworkPeer {
    /// A visible peer of `workspace`.
    pub(crate) fn of(row: PeerRow, workspace: &str) -> Self {
        Self {
            workspace_id: workspace.to_owned(),
            session_id: row.session_id,
            peer_id: row.peer.to_string(),
            display_name: row.display_name,
            channel: row.channel.to_string(),
            local: row.local,
            peer_card: row.card.into(),
            joined_at: row.joined_ms.map(Time::from_ms),
            last_seen: row.last_seen_ms.map(Time::from_ms),
            expires_at: row.expires_ms.map(Time::from_ms),
            presence_state: row.presence.into(),
            last_seen_age_seconds: row.age_seconds,
        }
    }
}

/// A peer with counters and, when known, its catalog. It has no `workspace_id` (N-62).
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkPeerDetail {
    /// Only for peers that are sessions of this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Who.
    pub peer_id: String,
    /// The name to show (N-60).
    pub display_name: String,
    /// Where: of several channels the alphabetically first.
    pub channel: String,
    /// Whether it is a session of this node.
    pub local: bool,
    /// What it says about itself.
    pub peer_card: NetworkPeerCard,
    /// Always there for local peers; for remote ones only when it is known (N-71).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capability_catalog: Option<NetworkCapabilityCatalog>,
    /// Only for local peers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined_at: Option<Time>,
    /// Only for remote peers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Time>,
    /// Only for remote peers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// How present it is.
    pub presence_state: PresenceState,
    /// Not for local or unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_age_seconds: Option<u64>,
    /// Counted for it (N-63).
    pub metrics: NetworkPeerMetrics,
}

impl From<PeerRow> for NetworkPeerDetail {
    fn from(row: PeerRow) -> Self {
        Self {
            session_id: row.session_id,
            peer_id: row.peer.to_string(),
            display_name: row.display_name,
            channel: row.channel.to_string(),
            local: row.local,
            peer_card: row.card.into(),
            capability_catalog: row.catalog.map(|known| NetworkCapabilityCatalog {
                capabilities: known.into_iter().map(NetworkCapability::from).collect(),
            }),
            joined_at: row.joined_ms.map(Time::from_ms),
            last_seen: row.last_seen_ms.map(Time::from_ms),
            expires_at: row.expires_ms.map(Time::from_ms),
            presence_state: row.presence.into(),
            last_seen_age_seconds: row.age_seconds,
            metrics: row.metrics.into(),
        }
    }
}

/// What a peer claims about itself, with the summaries beside the ids (N-68).
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct NetworkPeerCard {
    pub peer_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    pub profiles_supported: Vec<String>,
    pub capabilities: Vec<NetworkCapabilityBrief>,
    pub artifacts_supported: Vec<String>,
    pub trust_modes_supported: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub ext: Option<Extensions>,
}

impl From<PeerCard> for NetworkPeerCard {
    fn from(mut card: PeerCard) -> Self {
        let briefs = card.briefs().into_iter();
        // The briefs are merged into `capabilities`, so their extension is not shown (N-68).
        let ext = card.ext.take().map(|mut ext| {
            ext.remove(EXT_BRIEFS);
            ext
        });
        Self {
            peer_id: card.peer_id.to_string(),
            display_name: card.display_name,
            profiles_supported: card.profiles_supported,
            capabilities: briefs
                .map(|brief| NetworkCapabilityBrief { id: brief.id, summary: brief.summary })
                .collect(),
            artifacts_supported: card.artifacts_supported,
            trust_modes_supported: card.trust_modes_supported,
            ext: ext.filter(|ext| !ext.is_empty()),
        }
    }
}

/// A capability in short.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkCapabilityBrief {
    /// Its id.
    pub id: String,
    /// Empty when only the id is known.
    pub summary: String,
}

/// All capabilities of a peer.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkCapabilityCatalog {
    /// In catalog order.
    pub capabilities: Vec<NetworkCapability>,
}

/// One capability document (N-66).
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct NetworkCapability {
    pub id: String,
    pub summary: String,
    pub outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `sha256:` and 64 hex digits over the canonical document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    pub context_needed: Vec<String>,
    pub artifacts_expected: Vec<String>,
    pub execution_outline: Vec<String>,
    pub constraints: Vec<String>,
    pub examples: Vec<String>,
    pub requirements: Vec<String>,
}

impl From<Capability> for NetworkCapability {
    fn from(known: Capability) -> Self {
        Self {
            id: known.id,
            summary: known.summary,
            outcome: known.outcome,
            version: known.version,
            digest: known.digest,
            context_needed: known.context_needed,
            artifacts_expected: known.artifacts_expected,
            execution_outline: known.execution_outline,
            constraints: known.constraints,
            examples: known.examples,
            requirements: known.requirements,
        }
    }
}

/// Events counted for a peer (N-63).
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct NetworkPeerMetrics {
    pub sent: u64,
    pub received: u64,
    pub rejected: u64,
    pub delivered: u64,
}

impl From<Traffic> for NetworkPeerMetrics {
    fn from(counted: Traffic) -> Self {
        let Traffic { sent, received, rejected, delivered } = counted;
        Self { sent, received, rejected, delivered }
    }
}
