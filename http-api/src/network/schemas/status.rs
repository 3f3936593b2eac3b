//! State and counters of the runtime (N-123 to N-128).

use muster_actors::{KindCounters, NetworkCounters};
use serde::Serialize;
use utoipa::ToSchema;

use super::words::Kind;

/// Answer of `getNetworkStatus`.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkStatusResponse {
    /// The snapshot.
    pub network: NetworkStatus,
}

/// Whether the network runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum NetworkState {
    #[default]
    Disabled,
    Running,
    Disconnected,
}

/// Where the default channel comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DefaultSource {
    /// From the settings.
    Config,
}

/// Snapshot of the runtime. Switched off, it says only that.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct NetworkStatus {
    /// Whether the network is switched on.
    pub enabled: bool,
    /// Whether it runs.
    pub status: NetworkState,
    /// As the settings name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configured_default_channel: Option<String>,
    /// As it is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_default_channel: Option<String>,
    /// Where it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_default_source: Option<DefaultSource>,
    /// Address the node serves HTTP on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener_host: Option<String>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener_port: Option<u16>,
    /// What is counted; absent when switched off.
    #[serde(flatten)]
    pub counters: Option<Counters>,
    /// Reason of the current outage; absent while connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_disconnect: Option<String>,
    /// Channels that installed bundles announce; there are none (N-128).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared_channels: Option<Vec<DeclaredNetworkChannel>>,
    /// Only kinds with at least one non-zero counter, in alphabetical order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind_metrics: Option<Vec<NetworkKindMetric>>,
}

/// Counters over all workspaces (N-124 to N-127).
#[derive(Debug, Default, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract, explained in N-124 to N-127")]
pub struct Counters {
    pub local_peers: u64,
    pub remote_peers: u64,
    pub channels: u64,
    pub queued_messages: u64,
    pub queued_sessions: u64,
    pub delivery_workers: u64,
    pub messages_sent: u64,
    pub messages_received: u64,
    pub messages_rejected: u64,
    pub messages_delivered: u64,
    pub workflow_tagged_events: u64,
    pub handoff_tagged_events: u64,
    pub open_threads: u64,
    pub open_direct_rooms: u64,
    pub open_work_items: u64,
    pub conversation_messages: u64,
    pub work_transitions: u64,
    pub direct_resolves: u64,
}

/// Channel that an installed bundle announces.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct DeclaredNetworkChannel {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub primary: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_name: Option<String>,
}

/// What was counted for one kind.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct NetworkKindMetric {
    pub kind: Kind,
    pub sent: u64,
    pub received: u64,
    pub rejected: u64,
    pub delivered: u64,
}

impl NetworkStatus {
    /// The network is switched off (N-123).
    pub(crate) fn disabled() -> Self {
        Self::default()
    }

    /// The network is on.
    pub(crate) fn running(counters: NetworkCounters, default_channel: &str) -> Self {
        let mut kinds: Vec<_> = counters.kind_metrics.iter().filter(|kind| !is_silent(kind)).collect();
        kinds.sort_by_key(|kind| kind.kind.as_str());
        Self {
            enabled: true,
            status: NetworkState::Running,
            configured_default_channel: Some(default_channel.to_owned()),
            effective_default_channel: Some(default_channel.to_owned()),
            effective_default_source: Some(DefaultSource::Config),
            kind_metrics: Some(kinds.into_iter().map(NetworkKindMetric::from).collect()),
            counters: Some(counters.into()),
            ..Self::default()
        }
    }
}

fn is_silent(kind: &KindCounters) -> bool {
    [kind.sent, kind.received, kind.rejected, kind.delivered] == [0; 4]
}

impl From<&KindCounters> for NetworkKindMetric {
    fn from(kind: &KindCounters) -> Self {
        Self {
            kind: kind.kind.into(),
            sent: kind.sent,
            received: kind.received,
            rejected: kind.rejected,
            delivered: kind.delivered,
        }
    }
}

impl From<NetworkCounters> for Counters {
    fn from(now: NetworkCounters) -> Self {
        Self {
            local_peers: now.local_peers,
            remote_peers: now.remote_peers,
            channels: now.channels,
            queued_messages: now.queued_messages,
            queued_sessions: now.queued_sessions,
            delivery_workers: now.delivery_workers,
            messages_sent: now.messages_sent,
            messages_received: now.messages_received,
            messages_rejected: now.messages_rejected,
            messages_delivered: now.messages_delivered,
            workflow_tagged_events: now.workflow_tagged_events,
            handoff_tagged_events: now.handoff_tagged_events,
            open_threads: now.open_threads,
            open_direct_rooms: now.open_direct_rooms,
            open_work_items: now.open_work_items,
            conversation_messages: now.conversation_messages,
            work_transitions: now.work_transitions,
            direct_resolves: now.direct_resolves,
        }
    }
}
