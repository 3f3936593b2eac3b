//! Strangers, questions, gossip and listening, over real sockets.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test: real sockets need real time")]

use std::time::{Duration, Instant};

use mesh::{Node, TRANSPORTS, linked, within};
use muster::mesh::{MeshConfig, MeshError};
use muster_actors::ports::{Event, RequestError, Topic};
use muster_protocol::{
    identity::Identity,
    limits::{GOSSIP_BYTES_MAX, REQUEST_BYTES_MAX, REQUEST_TIMEOUT, STRANGER_STAY},
};

mod mesh;

/// Answers the next question with `answer`, or refuses.
async fn answer_one(node: &mut Node, answer: Option<Vec<u8>>) -> Vec<u8> {
    loop {
        if let Event::Request { question, answer: sender, .. } = node.next().await {
            if let Some(answer) = answer {
                sender.send(answer).expect("the asker waits");
            }
            return question;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_no_link_but_may_ask() {
    for transport in TRANSPORTS {
        let (mut ada, mut bob) = (Node::start(1, transport).await, Node::start(2, transport).await);
        // Bob takes ada for a friend, she does not take him for one.
        bob.network.set_friends(vec![ada.node]);
        let question = vec![7; REQUEST_BYTES_MAX];
        let asked = bob.network.request(ada.node, ada.network.listen_addresses(), question.clone());
        let (heard, answer) =
            within("an answer", async { tokio::join!(answer_one(&mut ada, Some(vec![8; 9])), asked) }).await;
        assert_eq!(heard, question);
        assert_eq!(answer, Ok(vec![8; 9]));
        tokio::time::sleep(Duration::from_secs(1)).await;
        for node in [&mut ada, &mut bob] {
            while let Some(event) = node.next_now() {
                assert!(!matches!(event, Event::LinkUp { .. }), "{event:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_sent_away_after_a_while() {
    let (ada, bob) = (Node::start(1, TRANSPORTS[0]).await, Node::start(2, TRANSPORTS[0]).await);
    bob.network.set_friends(vec![ada.node]);
    bob.dial(&ada);
    let connected = async |wanted: usize| {
        while ada.network.connections().len() != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within("the connection", connected(1)).await;
    let since = Instant::now();
    within("its end", connected(0)).await;
    assert!(since.elapsed() > STRANGER_STAY / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_whose_answer_is_dropped_is_refused() {
    for transport in TRANSPORTS {
        let (mut ada, bob) = (Node::start(1, transport).await, Node::start(2, transport).await);
        let asked = bob.network.request(ada.node, ada.network.listen_addresses(), vec![1]);
        let (_, answer) =
            within("an answer", async { tokio::join!(answer_one(&mut ada, None), asked) }).await;
        assert_eq!(answer, Err(RequestError::Refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_be_reached_is_called_unreachable_in_time() {
    let ada = Node::start(1, TRANSPORTS[0]).await;
    let nobody = Identity::from_seed([9; 32]).node();
    // Nothing listens on the first two; the third leads nowhere.
    let addresses = ["/ip4/127.0.0.1/tcp/9", "/ip4/127.0.0.1/udp/9/quic-v1", "/ip4/192.0.2.1/tcp/9"];
    let addresses = addresses.map(str::to_owned).to_vec();
    let since = Instant::now();
    for addresses in [addresses, vec!["nonsense".to_owned()], Vec::new()] {
        let answer = within("an answer", ada.network.request(nobody, addresses, vec![1])).await;
        assert_eq!(answer, Err(RequestError::Unreachable));
    }
    assert!(since.elapsed() < REQUEST_TIMEOUT + Duration::from_secs(2));
    let answer = ada.network.request(ada.node, ada.network.listen_addresses(), vec![1]).await;
    assert_eq!(answer, Err(RequestError::Unreachable), "nobody reaches himself over the network");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_several_addresses_that_works_is_taken() {
    let (mut ada, bob) = (Node::start(1, TRANSPORTS[1]).await, Node::start(2, TRANSPORTS[0]).await);
    let mut addresses = vec!["/ip4/127.0.0.1/udp/9/quic-v1".to_owned(), "/ip4/127.0.0.1/tcp/9".to_owned()];
    addresses.extend(ada.network.listen_addresses());
    let asked = bob.network.request(ada.node, addresses, vec![1]);
    let (_, answer) =
        within("an answer", async { tokio::join!(answer_one(&mut ada, Some(vec![2])), asked) }).await;
    assert_eq!(answer, Ok(vec![2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn gossip_reaches_a_friend() {
    for transport in TRANSPORTS {
        let (ada, mut bob, ..) = linked(transport).await;
        let topic = Topic([5; 32]);
        ada.network.set_topics(vec![topic]);
        bob.network.set_topics(vec![topic, Topic([6; 32])]);
        let bytes = vec![3; GOSSIP_BYTES_MAX];
        let speaks = async {
            let mut round = 0;
            loop {
                // It is best effort: until the two have heard of each other's topics nothing arrives.
                let mut said = bytes.clone();
                said[0] = round;
                round += 1;
                ada.network.publish(topic, said);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let hears = bob.wait("gossip", |event| match event {
            Event::Gossip { topic, author, bytes } => Some((*topic, *author, bytes.len())),
            _ => None,
        });
        let heard = tokio::select! { heard = hears => heard, () = speaks => unreachable!() };
        assert_eq!(heard, (topic, ada.node, GOSSIP_BYTES_MAX));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_gossip_is_not_heard() {
    let (mut ada, bob) = (Node::start(1, TRANSPORTS[0]).await, Node::start(2, TRANSPORTS[0]).await);
    let topic = Topic([5; 32]);
    ada.network.set_topics(vec![topic]);
    bob.network.set_topics(vec![topic]);
    bob.network.set_friends(vec![ada.node]);
    bob.dial(&ada);
    for round in 0..20 {
        bob.network.publish(topic, vec![round; 100]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    while let Some(event) = ada.next_now() {
        assert!(!matches!(event, Event::Gossip { .. }), "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_a_clear_error() {
    for transport in TRANSPORTS {
        let ada = Node::start(1, transport).await;
        let taken = ada.network.listen_addresses()[0].clone();
        let config = MeshConfig { listen: vec![taken.clone()], ..MeshConfig::default() };
        match muster::mesh::start(config, &Identity::from_seed([2; 32])).await {
            Err(MeshError::Listen { address, .. }) => assert_eq!(address, taken),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("two nodes on one port"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_interface_is_told_when_listening_on_all() {
    let node = Node::start(1, "/ip4/0.0.0.0/tcp/0").await;
    within("loopback", async {
        while !node
            .network
            .listen_addresses()
            .iter()
            .any(|address| address.starts_with("/ip4/127.0.0.1/tcp/"))
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(node.network.listen_addresses().iter().all(|address| !address.contains("0.0.0.0")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_of_the_mesh_are_in_the_registry() {
    let mut registry = prometheus_client::registry::Registry::default();
    let config = MeshConfig {
        listen: vec![TRANSPORTS[0].to_owned()],
        metrics: Some(&mut registry),
        ..MeshConfig::default()
    };
    let (network, _events) = muster::mesh::start(config, &Identity::from_seed([1; 32])).await.unwrap();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("libp2p_swarm_"), "{text}");
    assert!(text.contains("gossipsub_"), "{text}");
    within("the end", network.shutdown()).await;
}
