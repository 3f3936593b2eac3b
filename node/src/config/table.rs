//! The table of settings.

use super::kind::Kind::{self, *};

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// Its dotted name, as in the file.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    default: Preset,
    /// What it does, for `muster config show` and the documentation.
    pub help: &'static str,
}

/// The value of a key that nobody set, written as in the environment.
#[derive(Debug)]
enum Preset {
    Is(&'static str),
    /// What this machine is called, or "node".
    MachineName,
}

impl Key {
    /// The environment variable: `network.queue_depth` is `MUSTER_NETWORK_QUEUE_DEPTH`.
    pub fn variable(&self) -> String {
        format!("MUSTER_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// Its default, written as in the environment.
    pub(super) fn default_text(&self) -> String {
        match self.default {
            Preset::Is(text) => text.to_owned(),
            Preset::MachineName => machine_name().unwrap_or_else(|| "node".to_owned()),
        }
    }
}

/// The host name. Linux shows it as a file, most other systems keep it in one.
fn machine_name() -> Option<String> {
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let names = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    names.map(|name| name.trim().to_owned()).find(|name| Kind::Text.from_text(name).is_ok())
}

const fn key(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Key {
    Key { name, kind, default: Preset::Is(default), help }
}

/// A day: the longest time a setting in seconds takes, so that no clock arithmetic can overflow.
const DAY_SECONDS: i64 = 86_400;

/// All settings, sorted by section.
pub const KEYS: &[Key] = &[
    Key {
        name: "node.name",
        kind: Text,
        default: Preset::MachineName,
        help: "What this node calls itself towards other nodes. The default is the host name.",
    },
    key("http.listen", Socket, "127.0.0.1:7117", "Where the HTTP doors listen. Port 0 takes any free one."),
    key(
        "http.allowed_hosts",
        Hosts,
        "",
        "Host names accepted in the Host header, besides loopback: a guard against DNS rebinding.",
    ),
    key(
        "http.insecure_expose",
        Bool,
        "false",
        "Allow http.listen beyond loopback although HTTP is not encrypted here.",
    ),
    // IPv4 alone: listening on /ip6/:: fails where the machine has no IPv6, and a default has to start
    // everywhere.
    key(
        "mesh.listen",
        Multiaddrs,
        "/ip4/0.0.0.0/udp/7118/quic-v1,/ip4/0.0.0.0/tcp/7118",
        "Where other nodes reach this one. With IPv6, add /ip6/::/udp/7118/quic-v1 and /ip6/::/tcp/7118.",
    ),
    key("mesh.mdns", Bool, "true", "Find nodes of the same local network, and be found there."),
    key("mesh.relay", Bool, "false", "Carry traffic between nodes that cannot reach each other."),
    key("mesh.relay_client", Bool, "true", "Be reachable through the relays of mesh.relays."),
    key("mesh.dcutr", Bool, "true", "Turn a relayed connection into a direct one where both NATs allow it."),
    // Off: it asks other nodes to dial this one back, which tells them more than they need and is of no use
    // to a node that dials out, knows its addresses, or is reached through a relay.
    key(
        "mesh.autonat",
        Bool,
        "false",
        "Ask connected nodes to dial back, to learn which addresses work from outside.",
    ),
    key("mesh.relays", Peers, "", "Relays this node can be reached through, each ending in its peer id."),
    key("mesh.external_addresses", Multiaddrs, "", "Addresses under which a router forwards to this node."),
    key("network.enabled", Bool, "true", "Serve the Network door."),
    key(
        "network.greet_interval_seconds",
        Number(1, DAY_SECONDS),
        "30",
        "How often a peer greets its channel; silent for twice as long, it counts as gone.",
    ),
    key(
        "network.queue_depth",
        Number(1, 100_000),
        "100",
        "Envelopes that wait for one session; beyond, the oldest goes.",
    ),
    key(
        "network.require_token",
        Bool,
        "false",
        "Ask for the operator token at the Network door, on loopback too.",
    ),
    key("network.default_channel", Channel, "default", "The channel of sessions that name none."),
    key(
        "network.max_replay_age_seconds",
        Number(1, DAY_SECONDS),
        "300",
        "How old a greeting or question may be when it arrives and still count.",
    ),
    key(
        "workspace.rate_limits",
        Choice(&["on", "off", "auto"]),
        "auto",
        "Bound how often keys and addresses use the Workspace door; auto is off on loopback.",
    ),
    key(
        "workspace.memo_quiet_seconds",
        Number(0, DAY_SECONDS),
        "30",
        "How long a conversation has to be quiet before its memos are shown.",
    ),
    key(
        "search.model_dir",
        Optional,
        "",
        "A folder with a static embedding model, for searching by meaning (a build with `--features static-model`).",
    ),
    key(
        "search.embeddings_url",
        Optional,
        "",
        "An address that serves POST …/embeddings, such as http://127.0.0.1:11434/v1, for searching by meaning.",
    ),
    key("search.embeddings_model", Optional, "", "The model to ask for at search.embeddings_url."),
    key(
        "search.embeddings_key_file",
        Optional,
        "",
        "A file that holds the key for search.embeddings_url, if it wants one.",
    ),
    key("log.level", LogFilter, "info", "What to log: a level, or a filter such as info,muster=debug."),
    key(
        "log.format",
        Choice(&["human", "json", "auto"]),
        "auto",
        "How to log; auto is human on a terminal, else json.",
    ),
    key("storage.cache_mib", Number(1, 1_048_576), "64", "Memory for the store's cache, in MiB."),
];
