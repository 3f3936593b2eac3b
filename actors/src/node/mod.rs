//! The node as everybody above sees it: one handle, a method for each thing it can be asked.
//!
//! What only reads is answered from a view of the store or a shared table, without asking an actor. What
//! changes something holds a permit, asks at most one actor, and goes on when its caller goes away.

mod membership;
mod peers;
mod pump;
mod talk;

use std::{future::Future, path::PathBuf, sync::Arc};

use muster_protocol::{
    content::Room,
    identity::{Identity, NodeId},
    ids::{SpaceId, WorkspaceId},
    network::ChannelName,
};
use muster_storage::{BackupError, Batch, Store, StoreError, WorkspaceRow};
use ractor::{Actor, ActorRef, RpcReplyPort, rpc::CallResult};
use tokio::sync::{broadcast, oneshot, watch};

use crate::{
    channel::ChannelMessage,
    compose::Place,
    context::{ActiveSession, Context, lock},
    counters::NetworkCounters,
    direct_room::DirectRoomMessage,
    error::{StartError, Unavailable},
    ports::{Events, Ports},
    presence::{PresenceEvent, PresenceMessage},
    root::NodeSupervisor,
    settings::Settings,
    supervisor::CALL,
    workspaces::{WorkspaceMessage, WorkspacesMessage},
};

pub use membership::Invite;
pub use peers::{ConnectionRow, PeerRow, PresenceState};

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
        let started_ms = context.wall_ms();
        Ok(Self { context, root, started_ms })
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

    /// Whether a node has a link with this one, or is it.
    pub fn is_online(&self, node: NodeId) -> bool {
        node == self.id() || lock(&self.context.links).keys().any(|link| link.node == node)
    }

    /// Multiaddrs under which this node is reached, ending in its peer id.
    pub fn mesh_addresses(&self) -> Vec<String> {
        let addresses = self.context.ports.network.listen_addresses();
        addresses.into_iter().map(|address| format!("{address}/p2p/{}", self.id())).collect()
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

    /// Runs `work` to its end also when the caller stops waiting (N-87), holding a permit meanwhile.
    async fn carry_out<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Unavailable> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let permit = self.context.permits.clone().try_acquire_owned().map_err(|_| Unavailable::Busy)?;
        let work = ractor::concurrency::spawn(async move {
            let result = work.await;
            drop(permit);
            result
        });
        work.await.map_err(|_| Unavailable::Stopping)?
    }

    /// Writes through the writer thread and waits for the commit.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, durable) = oneshot::channel();
        // Whoever asked may have stopped waiting; it is durable all the same.
        self.context.store.write(self.context.wall_ms(), work, move |result| drop(reply.send(result)))?;
        durable.await.map_err(|_| Unavailable::Storage)
    }

    async fn ask_channel<T, E>(
        &self,
        workspace: WorkspaceId,
        channel: &ChannelName,
        message: impl FnOnce(RpcReplyPort<Result<T, E>>) -> ChannelMessage,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Unavailable> + Send + 'static,
    {
        let space = self.context.space(workspace).ok_or(Unavailable::Stopping)?;
        let known = lock(&self.context.channels).get(&(space, channel.clone())).cloned();
        let actor = match known {
            Some(actor) => actor,
            None => {
                let start = |reply| WorkspaceMessage::Channel(channel.clone(), reply);
                self.started(space, workspace, start).await?
            }
        };
        ask(&actor, message).await
    }

    async fn ask_direct_room<T, E>(
        &self,
        place: &Place,
        room: Room,
        message: impl FnOnce(RpcReplyPort<Result<T, E>>) -> DirectRoomMessage,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Unavailable> + Send + 'static,
    {
        let known = lock(&self.context.rooms).get(&(place.space, room.id.clone())).cloned();
        let actor = match known {
            Some(actor) => actor,
            None => {
                let start = |reply| WorkspaceMessage::DirectRoom(Box::new(room), reply);
                self.started(place.space, place.workspace, start).await?
            }
        };
        ask(&actor, message).await
    }

    /// Has an actor of a workspace started.
    async fn started<A: Send + 'static>(
        &self,
        space: SpaceId,
        workspace: WorkspaceId,
        message: impl FnOnce(RpcReplyPort<A>) -> WorkspaceMessage,
    ) -> Result<A, Unavailable> {
        let workspaces = lock(&self.context.fronts).workspaces.clone().ok_or(Unavailable::Stopping)?;
        let start = |reply| WorkspacesMessage::Workspace(space, workspace, message(reply));
        match workspaces.call(start, CALL).await {
            Ok(CallResult::Success(actor)) => Ok(actor),
            Ok(CallResult::Timeout) => Err(Unavailable::Timeout),
            Ok(CallResult::SenderError) | Err(_) => Err(Unavailable::Stopping),
        }
    }

    fn workspace_row(&self, space: SpaceId) -> Result<Option<WorkspaceRow>, Unavailable> {
        let Some(control) = self.context.store.control(space) else { return Ok(None) };
        Ok(self.context.store.view()?.workspace(&control.genesis().workspace.to_string())?)
    }
}

/// Asks the actor of a channel or room.
async fn ask<M, T, E>(
    actor: &ActorRef<M>,
    message: impl FnOnce(RpcReplyPort<Result<T, E>>) -> M,
) -> Result<T, E>
where
    M: ractor::Message,
    T: Send + 'static,
    E: From<Unavailable> + Send + 'static,
{
    match actor.call(message, CALL).await {
        Ok(CallResult::Success(result)) => result,
        Ok(CallResult::Timeout) => Err(Unavailable::Timeout.into()),
        // The actor or the store went away before it answered.
        Ok(CallResult::SenderError) | Err(_) => Err(Unavailable::Busy.into()),
    }
}

/// The sessions that were active when the node went down are active again.
fn load_sessions(context: &Context) -> Result<(), StoreError> {
    let view = context.store.view()?;
    let mut sessions = lock(&context.sessions);
    for workspace in view.workspaces()? {
        for session in view.active_sessions(&workspace)? {
            let active =
                ActiveSession { channel: session.channel, peer: session.peer, agent: session.agent_name };
            sessions.insert((workspace.space, session.id), active);
        }
    }
    Ok(())
}
