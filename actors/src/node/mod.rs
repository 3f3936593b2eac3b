//! The node as everybody above sees it: one handle, a method for each thing it can be asked.
//!
//! What only reads is answered from a view of the store or a shared table, without asking an actor. What
//! changes something holds a permit, asks at most one actor, and goes on when its caller goes away.

mod attachments;
mod invocations;
mod membership;
mod memos;
mod passing;
mod peers;
mod people;
mod pump;
mod streams;
mod talk;

use std::{
    future::Future,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use muster_protocol::{
    identity::{Identity, NodeId},
    ids::{SpaceId, WorkspaceId},
    network::ChannelName,
};
use muster_search::{Embedder, Index};
use muster_storage::{BackupError, Batch, Store, StoreError, WorkspaceRow};
use ractor::{Actor, ActorRef};
use tokio::sync::{broadcast, watch};

use crate::{
    context::{ActiveSession, Context, lock},
    counters::NetworkCounters,
    error::{StartError, Unavailable},
    ports::{Events, Ports},
    presence::{PresenceEvent, PresenceMessage},
    root::NodeSupervisor,
    search::SearchProgress,
    session::Phase,
    settings::Settings,
    supervisor::CALL,
};

pub use attachments::NewFile;
pub use invocations::{ClaimedWork, Worker};
pub use membership::Invite;
pub use passing::FarBot;
pub use peers::{ConnectionRow, PeerRow, PresenceState};
pub use people::{MintedKey, NewBot, NewUser};
pub use streams::NewStream;
pub use talk::is_agent_name;

/// A running node. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    context: Arc<Context>,
    root: ActorRef<()>,
    started_ms: u64,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// Where.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// That it was read back whole; one that cannot be is an error.
    pub verified: bool,
}

impl Node {
    /// Starts the actors of a node over an open store and its ports. `events` are the mesh's.
    pub async fn start(
        identity: Arc<Identity>,
        store: Store,
        ports: Ports,
        events: Events,
        settings: Settings,
    ) -> Result<Self, StartError> {
        let context = Context::new(identity, store, ports, settings);
        load_sessions(&context)?;
        let (root, _) = Actor::spawn(None, NodeSupervisor, context.clone()).await?;
        ractor::concurrency::spawn(pump::pump(context.clone(), events));
        crate::attachments::share(&context);
        ractor::concurrency::spawn(crate::attachments::keep_reading(&context));
        let started_ms = context.wall_ms();
        Ok(Self { context, root, started_ms })
    }

    /// Keeps a search index of all messages and memos in a folder from now on. `embedder` knows the meaning of texts, if anything
    /// does.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn keep_search(&self, folder: PathBuf, embedder: Option<Arc<dyn Embedder>>) -> std::io::Result<()> {
        self.context.search.start(folder, embedder, self.context.store.clone(), self.subscribe())
    }

    /// The search index, once it is open.
    pub fn search_index(&self) -> Option<Arc<Index>> {
        self.context.search.index()
    }

    /// How far the search index is.
    pub fn search_progress(&self) -> SearchProgress {
        self.context.search.progress(self.context.store.last_event())
    }

    /// Says goodbye, ends all links and actors, and closes the store: what was acknowledged is on disk.
    pub async fn stop(&self) {
        let presence = lock(&self.context.fronts).presence.clone();
        if let Some(presence) = presence {
            // Goodbye is a courtesy; a node that cannot say it is missed soon enough.
            let _ = presence.call(PresenceMessage::Goodbye, CALL).await;
        }
        self.context.ports.network.shutdown().await;
        if self.root.stop_and_wait(None, CALL).await.is_err() {
            tracing::warn!("the actors did not end in time");
        }
        self.context.ports.programs.shutdown().await;
        self.context.search.stop();
        self.context.store.close();
    }

    /// Ends everything at once, as a crash would. For simulations.
    pub fn kill(&self) {
        self.root.kill();
    }

    /// Becomes true when the node has to stop, with the reason.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.context.failure.subscribe()
    }

    // ---- what is known without asking an actor ----------------------------------------------------

    /// Its name in the mesh.
    pub fn id(&self) -> NodeId {
        self.context.identity.node()
    }

    /// Its name for people.
    pub fn name(&self) -> &str {
        &self.context.settings.name
    }

    /// When it was started, Unix milliseconds.
    pub fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// Unix milliseconds now.
    pub fn now_ms(&self) -> u64 {
        self.context.wall_ms()
    }

    /// Milliseconds since some moment before it was started; they never go back.
    pub fn monotonic_ms(&self) -> u64 {
        self.context.monotonic_ms()
    }

    /// Its store, for reading.
    pub fn store(&self) -> &Store {
        &self.context.store
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.context.settings
    }

    /// Returns after this time, by the node's clock.
    pub fn sleep(&self, duration: std::time::Duration) -> futures::future::BoxFuture<'static, ()> {
        self.context.ports.clock.sleep(duration)
    }

    /// The number of the newest stored event, whenever it grows.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.context.events.subscribe()
    }

    /// Comings and goings of remote peers from now on. They are news, not records: nobody keeps them.
    pub fn subscribe_presence(&self) -> broadcast::Receiver<PresenceEvent> {
        self.context.turns.subscribe()
    }

    /// Bytes that wait for the link that takes them most slowly.
    pub fn waiting_bytes(&self) -> usize {
        let links = lock(&self.context.links);
        links.values().map(|link| link.waiting.load(Ordering::Relaxed)).max().unwrap_or_default()
    }

    /// Whether a node has a link with this one, or is it.
    pub fn is_online(&self, node: NodeId) -> bool {
        node == self.id() || lock(&self.context.links).keys().any(|link| link.node == node)
    }

    /// Multiaddrs under which this node is reached, ending in its peer id.
    pub fn mesh_addresses(&self) -> Vec<String> {
        let addresses = self.context.ports.network.listen_addresses();
        addresses.into_iter().map(|address| format!("{address}/p2p/{}", self.id())).collect()
    }

    /// How a session with a program stands; `None` for one without, or one whose program has ended for good.
    pub fn session_phase(&self, workspace: WorkspaceId, session: &str) -> Option<Phase> {
        let space = self.context.space(workspace)?;
        lock(&self.context.programs).get(&(space, session.to_owned())).map(|entry| entry.phase)
    }

    /// Sessions whose program runs (N-124).
    pub fn sessions_served(&self) -> u64 {
        let programs = lock(&self.context.programs);
        programs.values().filter(|entry| entry.phase == Phase::Serving).count() as u64
    }

    /// Counters of the Network door since start.
    pub fn counters(&self) -> NetworkCounters {
        self.context.counters.all()
    }

    /// Greets of a channel since start, and the time of the newest (N-114).
    pub fn greets(&self, workspace: WorkspaceId, channel: &ChannelName) -> (u64, Option<u64>) {
        let greets = self.context.space(workspace).map(|space| self.context.presence.greets(space, channel));
        greets.map_or((0, None), |greets| (greets.count, (greets.count > 0).then_some(greets.last_ms)))
    }

    /// Copies the store into a new file while the node runs, and reads the copy back.
    pub async fn backup(&self, path: PathBuf) -> Result<BackupReport, BackupError> {
        let store = self.context.store.clone();
        #[expect(clippy::disallowed_methods, reason = "copying a file blocks; no simulation makes backups")]
        let copied = tokio::task::spawn_blocking(move || store.backup(&path).map(|bytes| (path, bytes)));
        let (path, bytes) =
            copied.await.map_err(|error| BackupError::Write(std::io::Error::other(error)))??;
        Ok(BackupReport { path, bytes, verified: true })
    }

    // ---- asking actors and the writer -------------------------------------------------------------

    /// See [`Context::carry_out`].
    async fn carry_out<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Unavailable> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.context.carry_out(work).await
    }

    /// Writes through the writer thread and waits for the commit.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.context.write(work).await
    }

    fn workspace_row(&self, space: SpaceId) -> Result<Option<WorkspaceRow>, Unavailable> {
        let Some(control) = self.context.store.control(space) else { return Ok(None) };
        Ok(self.context.store.view()?.workspace(&control.genesis().workspace.to_string())?)
    }
}

/// The sessions that were active when the node went down are active again.
fn load_sessions(context: &Context) -> Result<(), StoreError> {
    let view = context.store.view()?;
    let mut sessions = lock(&context.sessions);
    for workspace in view.workspaces()? {
        for session in view.active_sessions(&workspace)? {
            let active = ActiveSession {
                channel: session.channel,
                peer: session.peer,
                agent: session.agent_name,
                provider: session.provider,
            };
            sessions.insert((workspace.space, session.id), active);
        }
    }
    Ok(())
}
