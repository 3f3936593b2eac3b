//! Simulated links: the [`Network`] port of many nodes in one process, on paused time, from one seed.
//!
//! What it takes from real links:
//!
//! - A link does not lose, repeat or reorder single frames; it *breaks*, and what travels is lost.
//! - Each direction has its own, diced latency. Making a connection takes three ways.
//! - A frame fills its sender's queue until the other process has taken it. So a slow reader, a slow
//!   way and a slow node are all felt by the sender, as on a stream with flow control.
//! - A way may be blocked in one direction only. What is sent then is held, and goes on when the way
//!   opens soon, or is lost when one end has given up.
//! - A process that is killed closes its links; a machine that loses power falls silent, and the
//!   others notice after a while. Until then they send into nothing.
//! - The two ends of a link give it different numbers, and notice its end at different times.
//! - A node is dialled by address; friends alone do not make a connection.
//!
//! Everything that happens is planned on one agenda and carried out by one task, in the order of time
//! and planning. One more task per process hands it its events.

mod blobs;
mod gossip;
mod mesh;
mod requests;
mod weather;

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use muster_actors::ports::{
    BlobBytes, BlobError, BlobSource, Closing, Connection, Event, Events, Link, Network, RequestError, Topic,
};
use muster_protocol::{
    identity::NodeId,
    limits::{LINK_QUEUE_FRAMES, MESH_EVENTS_MAX, MESH_OWED_MAX},
};
use muster_storage::BlobId;
use tokio::sync::{Notify, mpsc, oneshot};

use self::mesh::Mesh;
pub use self::weather::Weather;
use crate::{clock::Beginning, trace::Trace};

/// How a process ends when nobody asked it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed: its system closes its connections.
    Killed,
    /// The machine falls silent.
    PowerCut,
}

/// All links of a world. Clones are handles on the same mesh.
#[derive(Clone)]
pub struct SimMesh {
    shared: Arc<Shared>,
}

struct Shared {
    mesh: Mutex<Mesh>,
    beginning: Beginning,
    /// Wakes the task that carries out the agenda.
    planned: Notify,
    trace: Trace,
    watcher: OnceLock<Watcher>,
    blobs: blobs::Sources,
}

/// See [`SimMesh::watch`].
pub type Watcher = Box<dyn Fn(NodeId, NodeId, &[u8]) + Send + Sync>;

impl Shared {
    /// Lets something be done to the mesh now. A lock is never held across an await.
    fn with<T>(&self, act: impl FnOnce(&mut Mesh, u64) -> T) -> T {
        let result = act(&mut self.lock(), self.beginning.elapsed_ms());
        self.planned.notify_one();
        result
    }

    fn lock(&self) -> MutexGuard<'_, Mesh> {
        self.mesh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimMesh {
    /// A mesh without nodes. Must be called inside a paused current-thread runtime; its tasks end with
    /// the runtime.
    #[expect(clippy::disallowed_methods, reason = "the links of a world live as tasks of its runtime")]
    pub fn new(seed: u64, weather: Weather, beginning: Beginning, trace: Trace) -> Self {
        let mesh = Mutex::new(Mesh::new(seed, weather));
        let shared = Arc::new(Shared {
            mesh,
            beginning,
            planned: Notify::new(),
            trace,
            watcher: OnceLock::new(),
            blobs: blobs::Sources::default(),
        });
        tokio::spawn(carry_out(Arc::clone(&shared)));
        Self { shared }
    }

    /// Starts a process of `node` that listens at `address`; an earlier one is killed.
    #[expect(clippy::disallowed_methods, reason = "the links of a world live as tasks of its runtime")]
    pub fn start(&self, node: NodeId, address: &str) -> (SimNetwork, Events) {
        let wake = Arc::new(Notify::new());
        let (sender, events) = mpsc::channel(MESH_EVENTS_MAX);
        let boot = self.shared.with(|mesh, now| mesh.start(now, node, address.to_owned(), Arc::clone(&wake)));
        tokio::spawn(hand_over(Arc::clone(&self.shared), node, boot, wake, sender));
        (SimNetwork { shared: Arc::clone(&self.shared), node, boot, address: address.to_owned() }, events)
    }

    /// Ends the process of `node`. Nothing reaches it any more, and nothing it does has an effect.
    pub fn crash(&self, node: NodeId, crash: Crash) {
        self.shared.with(|mesh, now| {
            if let Some(boot) = mesh.hosts.get(&node).map(|host| host.boot) {
                mesh.stop(now, node, boot, crash == Crash::PowerCut);
            }
        });
    }

    /// Breaks the connection of two nodes, if they have one.
    pub fn reset(&self, a: NodeId, b: NodeId) {
        self.shared.with(|mesh, now| mesh.reset(now, a, b));
    }

    /// Lets nothing arrive from one node at another until [`Self::unblock`] was called as often.
    pub fn block(&self, from: NodeId, to: NodeId) {
        self.shared.with(|mesh, now| mesh.block(now, from, to));
    }

    /// Takes one block away.
    pub fn unblock(&self, from: NodeId, to: NodeId) {
        self.shared.with(|mesh, now| mesh.unblock(now, from, to));
    }

    /// Makes everything from one node to another a hundred times slower until [`Self::unclog`].
    pub fn clog(&self, from: NodeId, to: NodeId) {
        self.shared.with(|mesh, _| mesh.paths.clog(from, to));
    }

    /// Takes one clog away.
    pub fn unclog(&self, from: NodeId, to: NodeId) {
        self.shared.with(|mesh, _| mesh.paths.unclog(from, to));
    }

    /// Ends all blocks and clogs.
    pub fn heal(&self) {
        self.shared.with(|mesh, now| mesh.heal(now));
    }

    /// Lets one node see another on the local network.
    pub fn discover(&self, node: NodeId, other: NodeId) {
        self.shared.with(|mesh, _| {
            let addresses = mesh.hosts.get(&other).map(|host| host.address.clone()).into_iter().collect();
            mesh.push(node, Event::Discovered { node: other, addresses });
        });
    }

    /// Whether two nodes have a link.
    pub fn is_linked(&self, a: NodeId, b: NodeId) -> bool {
        self.shared.lock().is_linked(a, b)
    }

    /// How many frames processes have taken.
    pub fn frames(&self) -> u64 {
        self.shared.lock().frames
    }

    /// Who banned whom, but for bans of villains: violations of every scenario.
    pub fn bans(&self) -> Vec<String> {
        let mesh = self.shared.lock();
        let among_honest = mesh.bans.iter().filter(|ban| !mesh.villains.contains(&ban.of));
        let among_honest = among_honest.filter(|ban| !mesh.villains.contains(&ban.by));
        among_honest.map(|ban| format!("{} banned {} at {} ms", ban.by, ban.of, ban.at_ms)).collect()
    }

    /// How often villains were banned.
    pub fn bans_of_villains(&self) -> usize {
        let mesh = self.shared.lock();
        mesh.bans.iter().filter(|ban| mesh.villains.contains(&ban.of)).count()
    }

    /// From now on a node is not expected to keep to the contract of the port, and may be banned.
    pub fn distrust(&self, node: NodeId) {
        self.shared.with(|mesh, _| mesh.villains.insert(node));
    }

    /// Lets bans last this long, in milliseconds, so that a villain is met more than once.
    pub fn set_ban(&self, ban_ms: u64) {
        self.shared.with(|mesh, _| mesh.ban_ms = ban_ms);
    }

    /// Lets a process rest this long after each event that it takes, in milliseconds; 0 for not at all.
    pub fn set_pace(&self, node: NodeId, pace_ms: u64) {
        self.shared.with(|mesh, _| {
            if let Some(host) = mesh.hosts.get_mut(&node) {
                host.pace_ms = pace_ms;
            }
        });
    }

    /// Looks at every frame that is sent: from whom, to whom, and the frame.
    pub fn watch(&self, watcher: Watcher) {
        if self.shared.watcher.set(watcher).is_err() {
            self.shared.with(|mesh, _| mesh.complaints.push("the mesh is watched twice".to_owned()));
        }
    }

    /// Events that wait for a process, and the most that may.
    pub fn waiting(&self, node: NodeId) -> (usize, usize) {
        let mesh = self.shared.lock();
        let links = mesh.linked(node).len().max(1);
        (mesh.inbox_len(node), 2 * MESH_EVENTS_MAX + MESH_OWED_MAX + links * 2 * LINK_QUEUE_FRAMES)
    }

    /// How processes broke the contract of the port: violations of every scenario.
    pub fn complaints(&self) -> Vec<String> {
        self.shared.lock().complaints.clone()
    }
}

/// Carries out the agenda of the mesh.
#[expect(clippy::disallowed_methods, reason = "the links of a world live as tasks of its runtime")]
async fn carry_out(shared: Arc<Shared>) {
    loop {
        let (next, handed) = {
            let mut mesh = shared.lock();
            mesh.advance(shared.beginning.elapsed_ms());
            (mesh.next_at(), mesh.exchanges.take_handed())
        };
        for (exchange, answer) in handed {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                let answer = answer.await.ok();
                shared.with(|mesh, now| mesh.answered(now, exchange, answer));
            });
        }
        let Some(next) = next else {
            shared.planned.notified().await;
            continue;
        };
        tokio::select! {
            biased;
            () = shared.planned.notified() => {}
            () = tokio::time::sleep_until(shared.beginning.instant(next)) => {}
        }
    }
}

/// Hands a process its events, as fast as it takes them.
async fn hand_over(
    shared: Arc<Shared>,
    node: NodeId,
    boot: u64,
    wake: Arc<Notify>,
    events: mpsc::Sender<Event>,
) {
    while let Ok(room) = events.reserve().await {
        let event = loop {
            if let Some(event) = shared.with(|mesh, _| mesh.take(node, boot)) {
                break event;
            }
            if shared.lock().host(node, boot).is_none() {
                return;
            }
            wake.notified().await;
        };
        record(&shared, node, &event);
        room.send(event);
        let pace_ms = shared.lock().hosts.get(&node).map_or(0, |host| host.pace_ms);
        if pace_ms > 0 {
            rest(pace_ms).await;
        }
    }
    // Nobody listens any more: the process is gone.
    shared.with(|mesh, now| mesh.stop(now, node, boot, false));
}

/// A slow reader rests; the links of a world live on simulated time.
#[expect(clippy::disallowed_methods, reason = "the links of a world live on its paused clock")]
async fn rest(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

fn record(shared: &Shared, node: NodeId, event: &Event) {
    let (what, link, bytes): (_, Option<&Link>, &[u8]) = match event {
        Event::LinkUp { link, .. } => ("link up", Some(link), &[]),
        Event::Frame { link, bytes } => ("frame", Some(link), bytes),
        Event::LinkWritable { link } => ("link writable", Some(link), &[]),
        Event::LinkDown { link } => ("link down", Some(link), &[]),
        Event::Request { question, .. } => ("request", None, question),
        Event::Gossip { bytes, .. } => ("gossip", None, bytes),
        Event::Discovered { node, .. } => ("discovered", None, node.as_bytes()),
        Event::Listening { .. } => ("listening", None, &[]),
    };
    let number = link.map_or(0, |link| link.number).to_be_bytes();
    shared.trace.record(shared.beginning.elapsed_ms(), what, &[node.as_bytes(), &number, bytes]);
}

/// The network port of one process of one node. After its end it does nothing.
#[derive(Clone)]
pub struct SimNetwork {
    shared: Arc<Shared>,
    node: NodeId,
    boot: u64,
    address: String,
}

impl SimNetwork {
    /// Does something if this process still lives.
    fn with<T>(&self, act: impl FnOnce(&mut Mesh, u64) -> T) -> Option<T> {
        self.shared.with(|mesh, now| mesh.host(self.node, self.boot).is_some().then(|| act(mesh, now)))
    }
}

impl Network for SimNetwork {
    fn send(&self, link: Link, frame: Vec<u8>) -> bool {
        let Some(watch) = self.shared.watcher.get() else {
            return self.with(|mesh, now| mesh.send(now, self.node, self.boot, link, frame)).unwrap_or(false);
        };
        // What a link does not take is not told to anybody, however often it is tried.
        let taken = self.with(|mesh, now| mesh.send(now, self.node, self.boot, link, frame.clone()));
        if taken == Some(true) {
            watch(self.node, link.node, &frame);
        }
        taken.unwrap_or(false)
    }

    fn close(&self, link: Link, closing: Closing) {
        self.with(|mesh, now| mesh.close(now, self.node, self.boot, link, closing));
    }

    fn request(
        &self,
        node: NodeId,
        addresses: Vec<String>,
        question: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<u8>, RequestError>> {
        let network = self.clone();
        Box::pin(async move {
            let outcome: Option<oneshot::Receiver<_>> =
                network.with(|mesh, now| mesh.request(now, network.node, node, &addresses, question));
            match outcome {
                Some(outcome) => outcome.await.unwrap_or(Err(RequestError::Timeout)),
                None => Err(RequestError::Unreachable),
            }
        })
    }

    fn dial(&self, node: NodeId, addresses: Vec<String>) {
        self.with(|mesh, now| mesh.dial(now, self.node, self.boot, node, &addresses));
    }

    fn set_friends(&self, friends: Vec<NodeId>) {
        self.with(|mesh, now| mesh.set_friends(now, self.node, self.boot, friends));
    }

    fn set_topics(&self, topics: Vec<Topic>) {
        self.with(|mesh, _| mesh.set_topics(self.node, self.boot, topics));
    }

    fn publish(&self, topic: Topic, bytes: Vec<u8>) {
        self.with(|mesh, now| mesh.publish(now, self.node, self.boot, topic, bytes));
    }

    fn fetch_blob(
        &self,
        node: NodeId,
        blob: BlobId,
        from: u64,
    ) -> BoxFuture<'static, Result<BlobBytes, BlobError>> {
        Box::pin(blobs::fetch(self.clone(), node, blob, from))
    }

    fn serve_blobs(&self, source: Arc<dyn BlobSource>) {
        self.shared.blobs.set(self.node, self.boot, source);
    }

    fn connections(&self) -> Vec<Connection> {
        self.with(|mesh, _| mesh.connections(self.node)).unwrap_or_default()
    }

    fn listen_addresses(&self) -> Vec<String> {
        vec![self.address.clone()]
    }

    fn shutdown(&self) -> BoxFuture<'static, ()> {
        let network = self.clone();
        Box::pin(async move {
            network.with(|mesh, now| mesh.stop(now, network.node, network.boot, false));
        })
    }
}

#[cfg(test)]
mod tests;
