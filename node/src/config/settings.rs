//! The settings as the program reads them. Every value was checked when it was read.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use libp2p::Multiaddr;
use serde::{Deserialize, Deserializer, Serialize};

use super::ConfigError;

/// All settings; each is explained in [`super::KEYS`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the table of keys has one text for each")]
pub struct Settings {
    pub node: Node,
    pub http: Http,
    pub mesh: Mesh,
    pub network: Network,
    pub workspace: Workspace,
    pub search: Search,
    pub log: Log,
    pub storage: Storage,
    /// The tables `[providers.NAME]`, which stand in the file alone.
    #[serde(skip)]
    pub providers: BTreeMap<String, Provider>,
}

/// A table `[providers.NAME]`: a program behind the sessions of agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The program and its arguments; no shell reads them.
    pub command: Vec<String>,
    /// Variables of its environment, besides the few it always has.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where it works; where the node was started when absent.
    pub working_dir: Option<PathBuf>,
}

impl Settings {
    /// Refuses to open unencrypted HTTP to other machines, unless the owner asked for it. Called by what
    /// is about to listen.
    pub fn refuse_exposure(&self) -> Result<(), ConfigError> {
        if self.http.listen.ip().is_loopback() || self.http.insecure_expose {
            Ok(())
        } else {
            Err(ConfigError::Exposed(self.http.listen))
        }
    }
}

/// The keys `node.*`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the table of keys has one text for each")]
pub struct Node {
    pub name: String,
}

/// The keys `http.*`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the table of keys has one text for each")]
pub struct Http {
    pub listen: SocketAddr,
    pub allowed_hosts: Vec<String>,
    pub insecure_expose: bool,
}

/// The keys `mesh.*`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the table of keys has one text for each")]
pub struct Mesh {
    #[serde(deserialize_with = "multiaddrs")]
    pub listen: Vec<Multiaddr>,
    pub mdns: bool,
    pub relay: bool,
    pub relay_client: bool,
    pub dcutr: bool,
    pub autonat: bool,
    #[serde(deserialize_with = "multiaddrs")]
    pub relays: Vec<Multiaddr>,
    #[serde(deserialize_with = "multiaddrs")]
    pub external_addresses: Vec<Multiaddr>,
}

/// The keys `network.*`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the table of keys has one text for each")]
pub struct Network {
    pub enabled: bool,
    pub greet_interval_seconds: u32,
    pub queue_depth: usize,
    pub require_token: bool,
    pub default_channel: String,
    pub max_replay_age_seconds: u32,
}

/// The keys `workspace.*`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the table of keys has one text for each")]
pub struct Workspace {
    pub rate_limits: RateLimits,
    pub memo_quiet_seconds: u32,
}

/// Whether the Workspace door bounds how often it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateLimits {
    /// Always.
    On,
    /// Never.
    Off,
    /// Unless only programs of this machine can connect.
    Auto,
}

impl Workspace {
    /// Whether rates are limited when HTTP is served at `address`.
    pub fn limits_rates(&self, address: std::net::IpAddr) -> bool {
        match self.rate_limits {
            RateLimits::On => true,
            RateLimits::Off => false,
            RateLimits::Auto => !address.is_loopback(),
        }
    }
}

/// The keys `search.*`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the table of keys has one text for each")]
pub struct Search {
    pub model_dir: String,
    pub embeddings_url: String,
    pub embeddings_model: String,
    pub embeddings_key_file: String,
}

/// The keys `log.*`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the table of keys has one text for each")]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For eyes.
    Human,
    /// One object per line.
    Json,
    /// Human on a terminal, else JSON.
    Auto,
}

/// The keys `storage.*`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the table of keys has one text for each")]
pub struct Storage {
    pub cache_mib: usize,
}

fn multiaddrs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Multiaddr>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}
