//! Reaching a node through a relay, over real sockets.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test: real sockets need real time")]

use std::{net::UdpSocket, time::Duration};

use mesh::{Node, befriend, within};
use muster::mesh::{MeshConfig, MeshError};
use muster_actors::ports::{Event, Path};
use muster_protocol::{identity::Identity, limits::STRANGER_STAY};

mod mesh;

/// An address that is free now. A relay has to know under which address it is reached.
fn free_address() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    format!("/ip4/127.0.0.1/udp/{}/quic-v1", socket.local_addr().expect("it is bound").port())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_through_a_relay_of_strangers_stands_and_carries_frames() {
    let address = free_address();
    let relay = Node::start_with(
        3,
        MeshConfig {
            listen: vec![address.clone()],
            external_addresses: vec![address.clone()],
            relay_server: true,
            ..MeshConfig::default()
        },
    )
    .await;
    let through = format!("{address}/p2p/{}", relay.node);
    // Bob listens nowhere but at the relay; neither is a friend of the relay's.
    let mut bob = Node::start_with(
        2,
        MeshConfig { relays: vec![through], relay_client: true, ..MeshConfig::default() },
    )
    .await;
    let mut ada = Node::start_with(1, MeshConfig { relay_client: true, ..MeshConfig::default() }).await;
    befriend(&ada, &bob);
    bob.wait("a reservation", |event| match event {
        Event::Listening { addresses } => {
            addresses.iter().any(|address| address.ends_with("/p2p-circuit")).then_some(())
        }
        _ => None,
    })
    .await;
    ada.dial(&bob);
    let up =
        |event: &Event| if let Event::LinkUp { link, path } = event { Some((*link, *path)) } else { None };
    let (to_bob, path) = ada.wait("a link", up).await;
    assert_eq!(path, Path::Relayed);
    let (to_ada, path) = bob.wait("a link", up).await;
    assert_eq!(path, Path::Relayed);
    tokio::time::sleep(STRANGER_STAY + Duration::from_secs(2)).await;
    // More than the 128 KiB after which libp2p's own settings cut a circuit.
    for index in 0..20 {
        ada.send(to_bob, vec![index; 100_000]).await;
    }
    for index in 0..20 {
        let (link, bytes) = bob.frame().await;
        assert_eq!((link, bytes.len(), bytes[0]), (to_ada, 100_000, index));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_switched_on_starts_and_ends() {
    let config = MeshConfig {
        listen: vec!["/ip4/127.0.0.1/udp/0/quic-v1".to_owned(), "/ip4/127.0.0.1/tcp/0".to_owned()],
        relay_client: true,
        relay_server: true,
        dcutr: true,
        autonat: true,
        mdns: true,
        ..MeshConfig::default()
    };
    let node = Node::start_with(1, config).await;
    assert_eq!(node.network.listen_addresses().len(), 2);
    within("the end", node.network.shutdown()).await;
    assert!(node.network.listen_addresses().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_without_a_peer_id_is_a_clear_error() {
    let relays = vec!["/ip4/192.0.2.1/udp/1/quic-v1".to_owned()];
    let config = MeshConfig { relays, relay_client: true, ..MeshConfig::default() };
    let error = muster::mesh::start(config, &Identity::from_seed([1; 32])).await.err();
    assert!(matches!(error, Some(MeshError::Address { .. })), "{error:?}");
}
