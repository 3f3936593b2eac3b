//! The libp2p protocols a node speaks, and their bounds.
//!
//! Nothing here is of our making but [`admission`](super::admission), [`links`](super::links) and how a
//! connection over TCP closes ([`yamux`](super::yamux)).

use std::{collections::BTreeSet, error::Error};

use libp2p::{
    PeerId, Swarm, SwarmBuilder, allow_block_list, autonat, connection_limits, dcutr, identify,
    identity::Keypair,
    mdns, memory_connection_limits,
    metrics::Registry,
    noise, ping, relay, request_response,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
    tcp,
};
use muster_protocol::limits::{
    CONNECTION_IDLE, CONNECTIONS_IN_MAX, CONNECTIONS_OUT_MAX, CONNECTIONS_PENDING_MAX,
    CONNECTIONS_PER_PEER_MAX, DIAL_TIMEOUT, MEMORY_SHARE_MAX, PING_INTERVAL, PING_TIMEOUT, QUIC_IDLE,
    QUIC_KEEP_ALIVE, QUIC_WINDOW_BYTES, RELAY_CIRCUIT, RELAY_CIRCUIT_BYTES, RELAY_CIRCUITS_MAX,
    RELAY_CIRCUITS_PER_NODE_MAX, RELAY_RESERVATIONS_MAX, STREAMS_PER_CONNECTION_MAX,
};

use super::{MeshConfig, admission::Admission, blobs, gossip, links, requests, yamux};

/// All protocols together. The guards stand first: see [`admission`](super::admission).
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) limits: connection_limits::Behaviour,
    pub(super) memory: memory_connection_limits::Behaviour,
    pub(super) banned: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    pub(super) admission: Admission,
    pub(super) identify: identify::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) links: links::Behaviour,
    pub(super) blobs: links::Behaviour,
    pub(super) asks: request_response::Behaviour<requests::BytesCodec>,
    pub(super) gossip: gossip::Behaviour,
    pub(super) relay_client: relay::client::Behaviour,
    pub(super) relay_server: Toggle<relay::Behaviour>,
    pub(super) dcutr: Toggle<dcutr::Behaviour>,
    pub(super) autonat_client: Toggle<autonat::v2::client::Behaviour>,
    pub(super) autonat_server: Toggle<autonat::v2::server::Behaviour>,
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
}

/// Builds the swarm. It does not listen yet.
pub(super) fn swarm(
    config: &MeshConfig,
    keypair: Keypair,
    relays: BTreeSet<PeerId>,
    registry: Option<&mut Registry>,
) -> Result<Swarm<Behaviour>, Box<dyn Error + Send + Sync>> {
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::new)?
        .with_quic_config(|mut quic| {
            quic.max_stream_data = QUIC_WINDOW_BYTES;
            quic.max_connection_data = QUIC_WINDOW_BYTES;
            quic.max_concurrent_stream_limit = STREAMS_PER_CONNECTION_MAX;
            quic.max_idle_timeout = QUIC_IDLE.as_millis() as u32;
            quic.keep_alive_interval = QUIC_KEEP_ALIVE;
            quic.handshake_timeout = DIAL_TIMEOUT;
            quic
        })
        .with_dns()?
        .with_relay_client(noise::Config::new, yamux::Config::new)?
        .with_behaviour(|keypair, relay| behaviour(config, keypair, relay, relays, registry))
        .map_err(|error| error.to_string())?
        .with_swarm_config(|swarm| {
            swarm.with_idle_connection_timeout(CONNECTION_IDLE).with_smart_dial() // QUIC first
        })
        .with_connection_timeout(DIAL_TIMEOUT)
        .build();
    Ok(swarm)
}

fn behaviour(
    config: &MeshConfig,
    keypair: &Keypair,
    relay_client: relay::client::Behaviour,
    relays: BTreeSet<PeerId>,
    registry: Option<&mut Registry>,
) -> Result<Behaviour, Box<dyn Error + Send + Sync>> {
    let own = keypair.public().to_peer_id();
    let identify = identify::Config::new_with_signed_peer_record("muster/1".to_owned(), keypair)
        .with_agent_version(format!("muster/{}", env!("CARGO_PKG_VERSION")))
        .with_push_listen_addr_updates(true);
    let mdns = match config.mdns {
        true => Some(mdns::tokio::Behaviour::new(mdns::Config::default(), own)?),
        false => None,
    };
    Ok(Behaviour {
        limits: connection_limits::Behaviour::new(connection_limits()),
        memory: memory_connection_limits::Behaviour::with_max_percentage(MEMORY_SHARE_MAX),
        banned: allow_block_list::Behaviour::default(),
        admission: Admission::new(relays),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(
            ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT),
        ),
        links: links::Behaviour::new(links::LINK_PROTOCOL),
        blobs: links::Behaviour::new(blobs::BLOB_PROTOCOL),
        asks: requests::behaviour(),
        gossip: gossip::behaviour(keypair, registry)?,
        relay_client,
        relay_server: config.relay_server.then(|| relay::Behaviour::new(own, relay_limits())).into(),
        dcutr: config.dcutr.then(|| dcutr::Behaviour::new(own)).into(),
        autonat_client: config.autonat.then(autonat::v2::client::Behaviour::default).into(),
        autonat_server: config.autonat.then(autonat::v2::server::Behaviour::default).into(),
        mdns: mdns.into(),
    })
}

fn connection_limits() -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_established_incoming(Some(CONNECTIONS_IN_MAX))
        .with_max_established_outgoing(Some(CONNECTIONS_OUT_MAX))
        .with_max_pending_incoming(Some(CONNECTIONS_PENDING_MAX))
        .with_max_pending_outgoing(Some(CONNECTIONS_PENDING_MAX))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX))
}

fn relay_limits() -> relay::Config {
    relay::Config {
        max_reservations: RELAY_RESERVATIONS_MAX,
        max_circuits: RELAY_CIRCUITS_MAX,
        max_circuits_per_peer: RELAY_CIRCUITS_PER_NODE_MAX,
        max_circuit_duration: RELAY_CIRCUIT,
        max_circuit_bytes: RELAY_CIRCUIT_BYTES,
        ..relay::Config::default() // with its rate limits
    }
}
