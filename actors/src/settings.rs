//! What a node's owner decides before it starts.

use std::time::Duration;

use muster_protocol::network::ChannelName;

/// Settings of the actors.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name under which other nodes' people see this one.
    pub name: String,
    /// Settings of the Network door.
    pub network: NetworkSettings,
}

/// Settings of the Network door (N-136).
#[derive(Debug, Clone)]
pub struct NetworkSettings {
    /// Off: the door answers 503, and the node takes no part in channels.
    pub enabled: bool,
    /// How often presence is told. A peer not heard of for two of them is gone (N-56).
    pub greet_interval: Duration,
    /// Envelopes that may wait for one session (N-97).
    pub queue_depth: usize,
    /// The default channel.
    pub default_channel: ChannelName,
    /// How old an envelope without `expires_at` may be when it is sent (N-15).
    pub max_replay_age: Duration,
    /// Whether the door wants the operator token also on a loopback listener.
    pub require_token: bool,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            greet_interval: Duration::from_secs(30),
            queue_depth: muster_protocol::limits::INBOX_DEPTH_DEFAULT,
            default_channel: ChannelName::parse("default").expect("the default name is in the grammar"),
            max_replay_age: Duration::from_secs(300),
            require_token: false,
        }
    }
}
