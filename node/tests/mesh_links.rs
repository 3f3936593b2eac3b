//! Links between friends, over real sockets: one per pair, ordered, whole, and ended when they must.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test: real sockets need real time")]

use std::time::Duration;

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::{Multiaddr, SwarmBuilder, identity::Keypair, noise, swarm::SwarmEvent, tcp, yamux};
use mesh::{Node, TRANSPORTS, befriend, linked, within};
use muster_actors::ports::{Closing, Event, Link, Path};
use muster_protocol::{
    identity::{Identity, NodeId},
    limits::{FRAME_BYTES_MAX, LINK_QUEUE_FRAMES},
};

mod mesh;

/// No link came up or went down within a moment.
async fn links_stay_as_they_are(node: &mut Node) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    while let Some(event) = node.next_now() {
        assert!(!matches!(event, Event::LinkUp { .. } | Event::LinkDown { .. }), "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_friends_get_exactly_one_link() {
    for transport in TRANSPORTS {
        let (mut ada, mut bob, to_bob, to_ada) = linked(transport).await;
        links_stay_as_they_are(&mut ada).await;
        links_stay_as_they_are(&mut bob).await;
        assert!(ada.network.send(to_bob, b"hello".to_vec()));
        assert_eq!(bob.frame().await, (to_ada, b"hello".to_vec()));
        assert!(bob.network.send(to_ada, b"and you".to_vec()));
        assert_eq!(ada.frame().await, (to_bob, b"and you".to_vec()));
        let connections = ada.network.connections();
        assert_eq!(connections.len(), 1);
        assert_eq!((connections[0].node, connections[0].path), (bob.node, Path::Direct));
        assert_eq!(connections[0].addresses, bob.network.listen_addresses());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_dial_each_other_at_once_end_with_one_link() {
    for transport in TRANSPORTS {
        let (mut ada, mut bob) = (Node::start(1, transport).await, Node::start(2, transport).await);
        befriend(&ada, &bob);
        ada.dial(&bob);
        bob.dial(&ada);
        let (to_bob, to_ada) = (ada.link_up().await, bob.link_up().await);
        links_stay_as_they_are(&mut ada).await;
        links_stay_as_they_are(&mut bob).await;
        assert!(ada.network.send(to_bob, vec![1]) && bob.network.send(to_ada, vec![2]));
        assert_eq!(bob.frame().await, (to_ada, vec![1]));
        assert_eq!(ada.frame().await, (to_bob, vec![2]));
    }
}

/// The size of frame `index`: mostly small, some large, a few of the largest size.
fn size(index: u32) -> usize {
    match index {
        _ if index % 2_500 == 7 => FRAME_BYTES_MAX,
        _ if index % 100 == 3 => 4 + (index as usize * 31) % 200_000,
        _ => 4 + (index as usize * 17) % 1_000,
    }
}

fn frame(index: u32) -> Vec<u8> {
    let mut bytes = vec![index as u8; size(index)];
    bytes[..4].copy_from_slice(&index.to_be_bytes());
    bytes
}

/// Sends `count` frames and receives as many, both at once.
async fn exchange(mut node: Node, link: Link, count: u32) -> Node {
    let (mut sent, mut received, mut full) = (0, 0, false);
    loop {
        while sent < count && !full {
            full = !node.network.send(link, frame(sent));
            sent += u32::from(!full);
        }
        if sent == count && received == count {
            break;
        }
        match node.next().await {
            Event::Frame { link: from, bytes } => {
                assert_eq!(from, link);
                assert!(bytes == frame(received), "frame {received} came changed or out of order");
                received += 1;
            }
            Event::LinkWritable { link: on } if on == link => full = false,
            Event::LinkDown { .. } => panic!("the link broke after {sent} sent and {received} received"),
            _ => {}
        }
    }
    node
}

async fn soak(transport: &str) {
    let (ada, bob, to_bob, to_ada) = linked(transport).await;
    let soak = async { tokio::join!(exchange(ada, to_bob, 10_000), exchange(bob, to_ada, 10_000)) };
    tokio::time::timeout(Duration::from_secs(120), soak).await.expect("no deadlock");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_frames_each_way_over_quic_arrive_in_order_and_whole() {
    soak(TRANSPORTS[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_frames_each_way_over_tcp_arrive_in_order_and_whole() {
    soak(TRANSPORTS[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_says_no_and_tells_when_there_is_room() {
    for transport in TRANSPORTS {
        let (mut ada, mut bob, to_bob, _) = linked(transport).await;
        let mut sent = 0;
        // Bob takes no events, so his queue fills, then his stream's window, then ada's queue.
        while within("room", async { ada.network.send(to_bob, vec![sent as u8; 500_000]) }).await {
            sent += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(sent < 10_000, "nothing slows ada down");
        }
        assert!(sent >= LINK_QUEUE_FRAMES);
        for index in 0..sent {
            let (_, bytes) = bob.frame().await;
            assert_eq!(bytes[0], index as u8);
        }
        ada.wait("room", |event| matches!(event, Event::LinkWritable { .. }).then_some(())).await;
        assert!(ada.network.send(to_bob, vec![1]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_friend_who_is_removed_loses_its_link_and_its_connection() {
    for transport in TRANSPORTS {
        let (mut ada, mut bob, to_bob, to_ada) = linked(transport).await;
        ada.network.set_friends(Vec::new());
        ada.link_down(to_bob).await;
        bob.link_down(to_ada).await;
        assert!(!ada.network.send(to_bob, vec![1]), "a link that is down takes nothing");
        within("the end of the connection", async {
            while !ada.network.connections().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_friendship_made_while_connected_gives_a_link() {
    let transport = TRANSPORTS[0];
    for first in [1, 2] {
        // Whether the one who opens links or the other is the last to agree.
        let (mut ada, mut bob) =
            (Node::start(first, transport).await, Node::start(3 - first, transport).await);
        ada.dial(&bob);
        bob.network.set_friends(vec![ada.node]);
        tokio::time::sleep(Duration::from_millis(500)).await;
        ada.network.set_friends(vec![bob.node]);
        ada.link_up().await;
        bob.link_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_politely_closed_link_delivers_what_was_queued_and_comes_back() {
    for transport in TRANSPORTS {
        let (mut ada, mut bob, to_bob, to_ada) = linked(transport).await;
        for index in 0..5 {
            assert!(ada.network.send(to_bob, vec![index; 1000]));
        }
        ada.network.close(to_bob, Closing::Polite);
        assert!(!ada.network.send(to_bob, vec![9]));
        for index in 0..5 {
            assert_eq!(bob.frame().await, (to_ada, vec![index; 1000]));
        }
        bob.link_down(to_ada).await;
        ada.link_down(to_bob).await;
        assert!(ada.link_up().await.number > to_bob.number);
        assert!(bob.link_up().await.number > to_ada.number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_friend_gets_no_link_back() {
    let (mut ada, mut bob, to_bob, to_ada) = linked(TRANSPORTS[0]).await;
    ada.network.close(to_bob, Closing::Ban);
    ada.link_down(to_bob).await;
    bob.link_down(to_ada).await;
    bob.dial(&ada);
    links_stay_as_they_are(&mut ada).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_friend_gets_a_new_link_with_a_higher_number() {
    for transport in TRANSPORTS {
        for stays in [1, 2] {
            let (mut ada, bob) =
                (Node::start(stays, transport).await, Node::start(3 - stays, transport).await);
            befriend(&ada, &bob);
            ada.dial(&bob);
            let before = ada.link_up().await;
            within("the shutdown", bob.network.shutdown()).await;
            within("a second shutdown", bob.network.shutdown()).await;
            ada.link_down(before).await;
            let bob = Node::start(3 - stays, transport).await;
            bob.network.set_friends(vec![ada.node]);
            bob.dial(&ada);
            let after = ada.link_up().await;
            assert_eq!(after.node, before.node);
            assert!(after.number > before.number);
        }
    }
}

/// A peer with the key of `seed` that speaks libp2p and little else: opens a link and writes `bytes`.
async fn raw_friend(seed: u8, node: NodeId, address: Multiaddr, bytes: Vec<u8>) {
    let keypair = Keypair::ed25519_from_bytes([seed; 32]).unwrap();
    let mut swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_quic()
        .with_behaviour(|_| libp2p_stream::Behaviour::new())
        .unwrap()
        .build();
    let mut control = swarm.behaviour().new_control();
    swarm.dial(address.with_p2p(node.peer_id()).unwrap()).unwrap();
    while !matches!(swarm.next().await, Some(SwarmEvent::ConnectionEstablished { .. })) {}
    tokio::spawn(async move { while swarm.next().await.is_some() {} });
    let mut stream = control.open_stream(node.peer_id(), muster::mesh::LINK_PROTOCOL).await.unwrap();
    let mut accepted = [0];
    stream.read_exact(&mut accepted).await.unwrap();
    assert_eq!(accepted, [muster::mesh::ACCEPTED]);
    stream.write_all(&bytes).await.unwrap();
    stream.flush().await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_an_impossible_length_ends_the_link_and_bans() {
    let smaller =
        |one: u8, other: u8| Identity::from_seed([one; 32]).node() < Identity::from_seed([other; 32]).node();
    // The friend must be the one who opens.
    let (friend, own) = if smaller(1, 2) { (1, 2) } else { (2, 1) };
    for transport in TRANSPORTS {
        for length in [0, FRAME_BYTES_MAX as u32 + 1] {
            let mut ada = Node::start(own, transport).await;
            let friend_node = Identity::from_seed([friend; 32]).node();
            ada.network.set_friends(vec![friend_node]);
            let address: Multiaddr = ada.network.listen_addresses()[0].parse().unwrap();
            let mut bytes = vec![0, 0, 0, 1, 42];
            bytes.extend(length.to_be_bytes());
            let raw = tokio::spawn(raw_friend(friend, ada.node, address, bytes));
            let link = ada.link_up().await;
            assert_eq!(ada.frame().await, (link, vec![42]), "what came before it counts");
            ada.link_down(link).await;
            within("the ban", raw).await.unwrap();
            within("the end of the connection", async {
                while !ada.network.connections().is_empty() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
            .await;
        }
    }
}
