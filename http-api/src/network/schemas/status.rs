//! State and counters of the runtime (N-123 to N-128).

use muster_actors::{NetworkCounters, Traffic};
use muster_protocol::network;
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

    /// The network is on: `now` is how things stand, `since` what was counted since the start.
    pub(crate) fn running(default_channel: &str, now: Counters, since: &NetworkCounters) -> Self {
        let counters = Counters {
            messages_sent: since.total.sent,
            messages_received: since.total.received,
            messages_rejected: since.total.rejected,
            messages_delivered: since.total.delivered,
            workflow_tagged_events: since.workflow_tagged,
            handoff_tagged_events: since.handoff_tagged,
            conversation_messages: since.conversation_messages,
            work_transitions: since.work_transitions,
            direct_resolves: since.direct_resolves,
            ..now
        };
        Self {
            enabled: true,
            status: NetworkState::Running,
            configured_default_channel: Some(default_channel.to_owned()),
            effective_default_channel: Some(default_channel.to_owned()),
            effective_default_source: Some(DefaultSource::Config),
            counters: Some(counters),
            kind_metrics: Some(kind_metrics(since)),
            ..Self::default()
        }
    }
}

fn kind_metrics(since: &NetworkCounters) -> Vec<NetworkKindMetric> {
    let loud = since.kinds.iter().filter(|(_, counted)| **counted != Traffic::default());
    let mut metrics: Vec<_> = loud.collect();
    metrics.sort_by_key(|(kind, _)| kind.as_str());
    let metric = |(kind, counted): (&network::Kind, &Traffic)| NetworkKindMetric {
        kind: (*kind).into(),
        sent: counted.sent,
        received: counted.received,
        rejected: counted.rejected,
        delivered: counted.delivered,
    };
    metrics.into_iter().map(metric).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_without_traffic_are_left_out_and_the_others_are_in_alphabetical_order_n127() {
        let mut since = NetworkCounters::default();
        for kind in network::Kind::ALL {
            since.kinds.insert(
                *kind,
                Traffic { sent: u64::from(*kind != network::Kind::Trace), ..Traffic::default() },
            );
        }
        let kinds: Vec<_> = kind_metrics(&since).into_iter().map(|metric| metric.kind).collect();
        assert_eq!(kinds, [Kind::Capability, Kind::Greet, Kind::Receipt, Kind::Say, Kind::Whois]);
    }

    #[test]
    fn counters_are_sent_also_when_they_are_zero_and_none_when_switched_off_n123() {
        let on = NetworkStatus::running("default", Counters::default(), &NetworkCounters::default());
        let on = serde_json::to_value(on).unwrap();
        assert_eq!((&on["messages_sent"], &on["open_work_items"]), (&0.into(), &0.into()));
        let off = serde_json::to_value(NetworkStatus::disabled()).unwrap();
        assert_eq!(off, serde_json::json!({ "enabled": false, "status": "disabled" }));
    }
}
