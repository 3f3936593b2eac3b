//! The mesh: the [`Network`] port over libp2p.
//!
//! ```text
//! actors ── Network ──> Mesh ── commands, wishes ──> driver ── owns ──> Swarm (QUIC, TCP, relay)
//!    ^                   └── send, close ──> outboxes ──┐      └─ starts ─┐
//!    └──────── Events <── feed ── driver                └─> link tasks <──┘
//!    └──────── Events <── LinkUp, Frame …, LinkDown ────────── link tasks
//! ```
//!
//! One task, the driver, owns libp2p's `Swarm`; it never waits for anybody. Each link has a task of
//! its own, which may wait: for the network when it writes, for the actors when it reads. So frames
//! never pass the driver, and however many come, commands are served.
//!
//! - `behaviour`: which protocols, and their bounds; `admission`: who may be connected, and how
//!   often (`allowance`).
//! - `links` opens link streams, `streams` is what runs on them, `keeper` keeps one per friend.
//! - `blobs`: bytes of files, on streams of their own, so that they hold up no frame.
//! - `requests`: questions and answers; `gossip`: presence and digests; `relays`: where we reserve.
//! - `driver`: the loop; `handle`: what it is told; `feed`: what it tells.

use std::{collections::BTreeSet, io, net::SocketAddr, sync::Arc, time::Instant};

use libp2p::{
    Multiaddr,
    identity::Keypair,
    metrics::{Metrics, Registry},
    multiaddr::Protocol,
};
use muster_actors::ports::{Events, Network};
use muster_protocol::{
    identity::Identity,
    limits::{MESH_COMMANDS_MAX, MESH_EVENTS_MAX},
};
use tokio::sync::{mpsc, watch};

mod address;
mod admission;
mod allowance;
mod behaviour;
mod blobs;
mod driver;
mod feed;
mod gossip;
mod handle;
mod keeper;
mod links;
mod relays;
mod requests;
mod streams;
mod yamux;

pub use blobs::BLOB_PROTOCOL;
pub use links::LINK_PROTOCOL;
pub use requests::ASK_PROTOCOL;
pub use streams::ACCEPTED;

/// What the mesh has to be told before it starts.
#[derive(Default)]
pub struct MeshConfig<'a> {
    /// Multiaddrs to listen on: `/ip4/0.0.0.0/udp/PORT/quic-v1`, `/ip4/0.0.0.0/tcp/PORT`; port 0 takes
    /// any that is free.
    pub listen: Vec<String>,
    /// Multiaddrs under which others reach this node although it cannot see so itself.
    pub external_addresses: Vec<String>,
    /// Multiaddrs of relays, each with its peer id, to be reachable through.
    pub relays: Vec<String>,
    /// Whether to use relays: to reserve at [`relays`](Self::relays), and to dial through others'.
    pub relay_client: bool,
    /// Whether to serve as a relay.
    pub relay_server: bool,
    /// Whether to look for a direct way when a connection is relayed.
    pub dcutr: bool,
    /// Whether to have addresses probed by others, and to probe theirs.
    pub autonat: bool,
    /// Whether to look for nodes on the local network.
    pub mdns: bool,
    /// Where the mesh registers its metrics.
    pub metrics: Option<&'a mut Registry>,
}

/// Why the mesh did not start.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// It cannot listen: the port is taken, or the address is not this machine's.
    #[error("cannot listen on {address}: {reason}; choose another port, or 0 for any")]
    Listen {
        /// The address of the configuration.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// An address of the configuration cannot be used.
    #[error("{address} is not an address for this: {reason}")]
    Address {
        /// The text of the configuration.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// libp2p could not be set up.
    #[error("the network could not be set up: {0}")]
    Setup(String),
}

/// Starts the mesh. Returns when it listens on all addresses, or cannot.
///
/// It runs until `shutdown`, or until the returned network or its events are dropped.
pub async fn start(
    mut config: MeshConfig<'_>,
    identity: &Identity,
) -> Result<(Arc<dyn Network>, Events), MeshError> {
    let listen = addresses(&config.listen)?;
    let external = addresses(&config.external_addresses)?;
    let relays = if config.relay_client { addresses(&config.relays)? } else { Vec::new() };
    let relays = relays::Relays::new(relays)?;

    let mut registry = config.metrics.take();
    let metrics = registry.as_deref_mut().map(Metrics::new);
    let keypair = Keypair::ed25519_from_bytes(identity.seed()).expect("an identity's seed is a key");
    let guarded: BTreeSet<_> = relays.peers().collect();
    let mut swarm = behaviour::swarm(&config, keypair, guarded, registry)
        .map_err(|error| MeshError::Setup(error.to_string()))?;
    for address in external {
        swarm.add_external_address(address);
    }

    let (events, received) = mpsc::channel(MESH_EVENTS_MAX);
    let (commands, commanded) = mpsc::channel(MESH_COMMANDS_MAX);
    let (wishes, wished) = watch::channel(handle::Wishes::default());
    let (ended, end) = watch::channel(false);
    let shared = Arc::new(handle::Shared::default());
    let parts = driver::Parts { swarm, metrics, relays, events, commands: commanded, wishes: wished };
    let mut driver = driver::Driver::new(parts, identity.node(), config.relay_client, shared.clone());
    driver.listen(listen).await?;
    #[expect(clippy::disallowed_methods, reason = "an adapter: the swarm needs a task that owns it")]
    tokio::spawn(async move {
        driver.run().await;
        ended.send_replace(true);
    });
    Ok((Arc::new(handle::Mesh::new(wishes, commands, shared, end)), received))
}

/// Multiaddrs of the configuration.
fn addresses(texts: &[String]) -> Result<Vec<Multiaddr>, MeshError> {
    let parse = |text: &String| {
        let reason = |error: libp2p::multiaddr::Error| error.to_string();
        text.parse().map_err(|error| MeshError::Address { address: text.clone(), reason: reason(error) })
    };
    texts.iter().map(parse).collect()
}

/// Whether a TCP port is free. libp2p shares its listening ports with whoever shares theirs, so a
/// second node on the same port would get half of the connections and nobody an error.
fn probe_port(address: &Multiaddr) -> io::Result<()> {
    let mut parts = address.iter();
    let ip = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) if port != 0 => {
            std::net::TcpListener::bind(SocketAddr::new(ip, port)).map(drop)
        }
        _ => Ok(()),
    }
}

/// The only clock of the mesh. libp2p reads its own; simulations replace the mesh as a whole.
#[expect(clippy::disallowed_methods, reason = "an adapter: its time is the network's")]
fn now() -> Instant {
    Instant::now()
}
