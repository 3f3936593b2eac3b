//! What the tests of the mesh share: nodes on loopback, and patience with a limit.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test binary takes its part of it"
)]

use std::{collections::VecDeque, future::Future, sync::Arc, time::Duration};

use muster::mesh::{self, MeshConfig};
use muster_actors::ports::{Event, Events, Link, Network};
use muster_protocol::identity::{Identity, NodeId};

pub mod shelf;

/// Either transport, on any free port.
pub const TRANSPORTS: [&str; 2] = ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"];

/// No step of a test takes longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A node's mesh, and what it told.
pub struct Node {
    pub node: NodeId,
    pub network: Arc<dyn Network>,
    events: Events,
    /// Events passed over by [`Node::wait`].
    pub passed: VecDeque<Event>,
}

/// Waits, but not for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

impl Node {
    /// The node made from a seed, listening on one transport.
    pub async fn start(seed: u8, transport: &str) -> Self {
        Self::start_with(seed, MeshConfig { listen: vec![transport.to_owned()], ..MeshConfig::default() })
            .await
    }

    /// The node made from a seed, with other settings.
    pub async fn start_with(seed: u8, config: MeshConfig<'_>) -> Self {
        let identity = Identity::from_seed([seed; 32]);
        let (network, events) = mesh::start(config, &identity).await.expect("a free port");
        Self { node: identity.node(), network, events, passed: VecDeque::new() }
    }

    /// The next event.
    pub async fn next(&mut self) -> Event {
        within("an event", self.events.recv()).await.expect("the mesh runs")
    }

    /// An event that has come already.
    pub fn next_now(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// The first event that `pick` takes; others are passed over.
    pub async fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        within(what, async {
            loop {
                let event = self.events.recv().await.expect("the mesh runs");
                if let Some(picked) = pick(&event) {
                    return picked;
                }
                self.passed.push_back(event);
            }
        })
        .await
    }

    /// The next link that comes up.
    pub async fn link_up(&mut self) -> Link {
        self.wait("a link", |event| if let Event::LinkUp { link, .. } = event { Some(*link) } else { None })
            .await
    }

    /// The end of this link.
    pub async fn link_down(&mut self, link: Link) {
        self.wait("the end of a link", |event| {
            matches!(event, Event::LinkDown { link: down } if *down == link).then_some(())
        })
        .await;
    }

    /// The next frame.
    pub async fn frame(&mut self) -> (Link, Vec<u8>) {
        self.wait("a frame", |event| match event {
            Event::Frame { link, bytes } => Some((*link, bytes.clone())),
            _ => None,
        })
        .await
    }

    /// Sends a frame as soon as there is room.
    pub async fn send(&mut self, link: Link, frame: Vec<u8>) {
        while !self.network.send(link, frame.clone()) {
            self.wait("room", |event| {
                matches!(event, Event::LinkWritable { link: on } if *on == link).then_some(())
            })
            .await;
        }
    }

    /// Dials another node.
    pub fn dial(&self, other: &Node) {
        self.network.dial(other.node, other.network.listen_addresses());
    }
}

/// Two nodes that are friends, linked over a transport; the links as each sees them.
pub async fn linked(transport: &str) -> (Node, Node, Link, Link) {
    let (mut ada, mut bob) = (Node::start(1, transport).await, Node::start(2, transport).await);
    befriend(&ada, &bob);
    ada.dial(&bob);
    let (to_bob, to_ada) = (ada.link_up().await, bob.link_up().await);
    assert_eq!((to_bob.node, to_ada.node), (bob.node, ada.node));
    (ada, bob, to_bob, to_ada)
}

/// Makes two nodes friends.
pub fn befriend(one: &Node, other: &Node) {
    one.network.set_friends(vec![other.node]);
    other.network.set_friends(vec![one.node]);
}
