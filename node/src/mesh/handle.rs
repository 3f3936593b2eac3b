//! The side of the mesh that actors see: a handle whose calls return at once.
//!
//! What actors *want to be so* — friends, topics, the end — is a wish: the newest counts and none can
//! be lost. What they *want done* is a command in a bounded queue. Frames go straight to their link.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::BoxFuture;
use libp2p::Stream;
use muster_actors::ports::{
    BlobBytes, BlobError, BlobSource, Closing, Connection, Link, Network, RequestError, Topic,
};
use muster_protocol::{
    identity::NodeId,
    limits::{GOSSIP_TOPICS_MAX, LINK_HANDSHAKE_TIMEOUT, REQUEST_TIMEOUT},
};
use muster_storage::BlobId;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::{
    blobs,
    requests::Reply,
    streams::{Outcome, Registry},
};

/// What actors want to be so.
#[derive(Debug, Default, Clone)]
pub(super) struct Wishes {
    pub(super) friends: BTreeSet<NodeId>,
    pub(super) topics: BTreeSet<Topic>,
    pub(super) stop: bool,
}

/// What actors want done.
#[derive(Debug)]
pub(super) enum Command {
    /// Connect.
    Dial { node: NodeId, addresses: Vec<String> },
    /// Ask.
    Ask { node: NodeId, addresses: Vec<String>, question: Vec<u8>, reply: Reply },
    /// Open a stream for the bytes of a file.
    OpenBlob { node: NodeId, reply: oneshot::Sender<Result<Stream, BlobError>> },
    /// Gossip.
    Publish { topic: Topic, bytes: Vec<u8> },
    /// Refuse a node whose link is gone already.
    Ban { node: NodeId },
}

/// What the driver and the links know and everybody may read.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) registry: Arc<Registry>,
    connections: Mutex<BTreeMap<NodeId, Connection>>,
    listening: Mutex<Vec<String>>,
    blobs: Mutex<Option<Arc<dyn BlobSource>>>,
}

impl Shared {
    /// Notes how a node is connected now, or that it is not.
    pub(super) fn set_connection(&self, node: NodeId, connection: Option<Connection>) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        match connection {
            Some(connection) => connections.insert(node, connection),
            None => connections.remove(&node),
        };
    }

    /// Notes the addresses this node listens on. `false` when they are the same as before.
    pub(super) fn set_listening(&self, addresses: &[String]) -> bool {
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *listening != addresses;
        if changed {
            *listening = addresses.to_vec();
        }
        changed
    }

    /// Where the bytes come from that others ask for.
    pub(super) fn blob_source(&self) -> Option<Arc<dyn BlobSource>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_connected(&self, node: NodeId) -> bool {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&node)
    }
}

/// The [`Network`] of the actors.
pub(super) struct Mesh {
    wishes: watch::Sender<Wishes>,
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    end: watch::Receiver<bool>,
}

impl Mesh {
    pub(super) fn new(
        wishes: watch::Sender<Wishes>,
        commands: mpsc::Sender<Command>,
        shared: Arc<Shared>,
        end: watch::Receiver<bool>,
    ) -> Self {
        Self { wishes, commands, shared, end }
    }

    fn command(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            tracing::debug!("a command to the mesh was dropped: its queue is full, or it has ended");
        }
    }
}

impl Network for Mesh {
    fn send(&self, link: Link, frame: Vec<u8>) -> bool {
        self.shared.registry.outbox(link).is_some_and(|outbox| outbox.push(frame))
    }

    fn close(&self, link: Link, closing: Closing) {
        match self.shared.registry.outbox(link) {
            Some(outbox) => outbox.end(Outcome::Closed(closing)),
            None if closing == Closing::Ban => self.command(Command::Ban { node: link.node }),
            None => {}
        }
    }

    fn request(
        &self,
        node: NodeId,
        addresses: Vec<String>,
        question: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<u8>, RequestError>> {
        let (commands, shared) = (self.commands.clone(), self.shared.clone());
        Box::pin(async move {
            let (reply, replied) = oneshot::channel();
            let asked = async {
                let command = Command::Ask { node, addresses, question, reply };
                commands.send(command).await.map_err(|_| RequestError::Unreachable)?;
                replied.await.unwrap_or(Err(RequestError::Unreachable))
            };
            match timeout(REQUEST_TIMEOUT, asked).await {
                Ok(answer) => answer,
                Err(_) if shared.is_connected(node) => Err(RequestError::Timeout),
                Err(_) => Err(RequestError::Unreachable),
            }
        })
    }

    fn dial(&self, node: NodeId, addresses: Vec<String>) {
        self.command(Command::Dial { node, addresses });
    }

    fn set_friends(&self, friends: Vec<NodeId>) {
        self.wishes.send_modify(|wishes| wishes.friends = friends.into_iter().collect());
    }

    fn set_topics(&self, topics: Vec<Topic>) {
        if topics.len() > GOSSIP_TOPICS_MAX {
            tracing::warn!(
                topics = topics.len(),
                "more gossip topics than a node listens to; the rest goes unheard"
            );
        }
        let topics = topics.into_iter().take(GOSSIP_TOPICS_MAX).collect();
        self.wishes.send_modify(|wishes| wishes.topics = topics);
    }

    fn publish(&self, topic: Topic, bytes: Vec<u8>) {
        self.command(Command::Publish { topic, bytes });
    }

    fn fetch_blob(
        &self,
        node: NodeId,
        blob: BlobId,
        from: u64,
    ) -> BoxFuture<'static, Result<BlobBytes, BlobError>> {
        let commands = self.commands.clone();
        Box::pin(async move {
            let (reply, opened) = oneshot::channel();
            let asked = async {
                let sent = commands.send(Command::OpenBlob { node, reply }).await;
                sent.map_err(|_| BlobError::Unreachable)?;
                opened.await.unwrap_or(Err(BlobError::Unreachable))
            };
            let stream = timeout(LINK_HANDSHAKE_TIMEOUT, asked).await.map_err(|_| BlobError::Lost)??;
            blobs::ask(stream, blob, from).await
        })
    }

    fn serve_blobs(&self, source: Arc<dyn BlobSource>) {
        *self.shared.blobs.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    fn connections(&self) -> Vec<Connection> {
        let connections = self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.values().cloned().collect()
    }

    fn listen_addresses(&self) -> Vec<String> {
        self.shared.listening.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn shutdown(&self) -> BoxFuture<'static, ()> {
        self.wishes.send_modify(|wishes| wishes.stop = true);
        let mut end = self.end.clone();
        Box::pin(async move {
            let _ = end.wait_for(|ended| *ended).await; // an error means that the driver is gone, too
        })
    }
}
