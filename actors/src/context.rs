//! What all actors of one node share: its ports, its store, and the tables of who is where.
//!
//! There is no registry of names (ractor's is one per process, and a simulation has many nodes in one);
//! actors find each other here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::AtomicUsize},
};

use muster_protocol::{
    identity::Identity,
    ids::{SpaceId, WorkspaceId},
    invocation::InvocationId,
    limits,
    network::{ChannelName, DirectId, PeerName},
};
use muster_storage::{Changes, ClaimChange, Listener, Store, StoreError};
use ractor::ActorRef;
use tokio::sync::{Notify, Semaphore, broadcast, watch};

use crate::{
    blobs::Fetcher,
    channel::ChannelMessage,
    counters::Counters,
    direct_room::DirectRoomMessage,
    invocation::InvocationMessage,
    links::LinksMessage,
    peer_link::PeerLinkMessage,
    ports::{Link, Ports},
    presence::{PresenceEvent, PresenceMessage, PresenceTable},
    search::Search,
    session::{Phase, SessionMessage},
    settings::Settings,
    workspaces::{WorkspaceMessage, WorkspacesMessage},
};

/// Frames of one link that wait for its actor. What comes beyond waits in the mesh, and so at the peer.
const FRAMES_WAITING_MAX: usize = 16;

/// A lock whose holder panicked guards a table whose entries are each whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The actor of a link, and room for its frames.
#[derive(Clone)]
pub(crate) struct LinkEntry {
    pub(crate) actor: ActorRef<PeerLinkMessage>,
    pub(crate) room: Arc<Semaphore>,
    /// Bytes that wait for the link to take them.
    pub(crate) waiting: Arc<AtomicUsize>,
}

impl LinkEntry {
    pub(crate) fn new(actor: ActorRef<PeerLinkMessage>, waiting: Arc<AtomicUsize>) -> Self {
        Self { actor, room: Arc::new(Semaphore::new(FRAMES_WAITING_MAX)), waiting }
    }
}

/// An active session of this node.
#[derive(Debug, Clone)]
pub(crate) struct ActiveSession {
    pub(crate) channel: ChannelName,
    pub(crate) peer: PeerName,
    pub(crate) agent: String,
    /// What runs the agent; `none` for nothing.
    pub(crate) provider: String,
}

impl ActiveSession {
    pub(crate) fn has_program(&self) -> bool {
        self.provider != NO_PROVIDER
    }
}

/// The provider of agents without a program behind them (N-122).
pub(crate) const NO_PROVIDER: &str = "none";

/// The actor of a session with a program.
pub(crate) struct SessionEntry {
    pub(crate) actor: ActorRef<SessionMessage>,
    pub(crate) phase: Phase,
    /// Whether it was told of mail and has not looked yet.
    pub(crate) told: bool,
}

impl SessionEntry {
    pub(crate) fn new(actor: ActorRef<SessionMessage>) -> Self {
        Self { actor, phase: Phase::Starting, told: false }
    }
}

/// The actors that exist once; each may be started again.
#[derive(Default)]
pub(crate) struct Fronts {
    pub(crate) links: Option<ActorRef<LinksMessage>>,
    pub(crate) presence: Option<ActorRef<PresenceMessage>>,
    pub(crate) workspaces: Option<ActorRef<WorkspacesMessage>>,
}

/// See the module.
pub(crate) struct Context {
    pub(crate) identity: Arc<Identity>,
    pub(crate) store: Store,
    pub(crate) ports: Ports,
    pub(crate) settings: Settings,
    pub(crate) counters: Counters,
    pub(crate) presence: PresenceTable,
    pub(crate) fronts: Mutex<Fronts>,
    pub(crate) links: Mutex<BTreeMap<Link, LinkEntry>>,
    pub(crate) channels: Mutex<BTreeMap<(SpaceId, ChannelName), ActorRef<ChannelMessage>>>,
    pub(crate) rooms: Mutex<BTreeMap<(SpaceId, DirectId), ActorRef<DirectRoomMessage>>>,
    pub(crate) sessions: Mutex<BTreeMap<(SpaceId, String), ActiveSession>>,
    pub(crate) programs: Mutex<BTreeMap<(SpaceId, String), SessionEntry>>,
    /// Those that are claimed.
    pub(crate) invocations: Mutex<BTreeMap<(SpaceId, InvocationId), ActorRef<InvocationMessage>>>,
    pub(crate) events: watch::Sender<u64>,
    /// Comings and goings of remote peers.
    pub(crate) turns: broadcast::Sender<PresenceEvent>,
    /// Workspaces of which some member said, since this node started, that it holds no more of the control log.
    pub(crate) heard: Mutex<BTreeSet<SpaceId>>,
    /// When this node started, on its monotonic clock.
    pub(crate) started_ms: u64,
    /// Why the node has to stop, once it has to.
    pub(crate) failure: watch::Sender<Option<String>>,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) search: Arc<Search>,
    pub(crate) fetcher: Fetcher,
    /// There may be a file to read, or something to say about one.
    pub(crate) attachments_due: Arc<Notify>,
}

impl Context {
    pub(crate) fn new(identity: Arc<Identity>, store: Store, ports: Ports, settings: Settings) -> Arc<Self> {
        let context = Arc::new(Self {
            identity,
            events: watch::Sender::new(store.last_event()),
            turns: broadcast::Sender::new(limits::PRESENCE_EVENTS_WAITING),
            failure: watch::Sender::new(None),
            permits: Arc::new(Semaphore::new(limits::PERMITS_MAX)),
            search: Arc::default(),
            fetcher: Fetcher::new(store.clone(), ports.network.clone(), ports.clock.clone()),
            attachments_due: Arc::default(),
            heard: Mutex::default(),
            started_ms: ports.clock.monotonic_ms(),
            store,
            ports,
            settings,
            counters: Counters::default(),
            presence: PresenceTable::default(),
            fronts: Mutex::default(),
            links: Mutex::default(),
            channels: Mutex::default(),
            rooms: Mutex::default(),
            sessions: Mutex::default(),
            programs: Mutex::default(),
            invocations: Mutex::default(),
        });
        context.store.listen(Box::new(Commits(Arc::downgrade(&context))));
        context
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        self.ports.clock.wall_ms()
    }

    pub(crate) fn monotonic_ms(&self) -> u64 {
        self.ports.clock.monotonic_ms()
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.ports.entropy.fill(&mut bytes);
        bytes
    }

    pub(crate) fn space(&self, workspace: WorkspaceId) -> Option<SpaceId> {
        self.store.space_of(workspace)
    }

    pub(crate) fn tell_links(&self, message: LinksMessage) {
        tell(&lock(&self.fronts).links, message);
    }

    pub(crate) fn tell_presence(&self, message: PresenceMessage) {
        tell(&lock(&self.fronts).presence, message);
    }

    pub(crate) fn tell_workspaces(&self, message: WorkspacesMessage) {
        tell(&lock(&self.fronts).workspaces, message);
    }

    pub(crate) fn tell_session(&self, space: SpaceId, id: &str, message: SessionMessage) {
        let actor = lock(&self.programs).get(&(space, id.to_owned())).map(|entry| entry.actor.clone());
        tell(&actor, message);
    }

    /// Tells a session with a program that something waits for it.
    fn mail(&self, space: SpaceId, id: &str) {
        let mut programs = lock(&self.programs);
        if programs.is_empty() {
            return;
        }
        if let Some(entry) = programs.get_mut(&(space, id.to_owned()))
            && !std::mem::replace(&mut entry.told, true)
            && entry.actor.cast(SessionMessage::Mail).is_err()
        {
            tracing::debug!("mail came for a session that is gone");
        }
    }

    /// The claim of an invocation began, was renewed or ended.
    fn claim_changed(&self, change: ClaimChange) {
        let ClaimChange { workspace: space, id, until_ms } = change;
        let actor = lock(&self.invocations).get(&(space, id)).cloned();
        match (actor, until_ms, self.store.control(space)) {
            (Some(actor), until_ms, _) if actor.cast(InvocationMessage::Claimed(until_ms)).is_ok() => {}
            (_, Some(until_ms), Some(control)) => {
                let lease = WorkspaceMessage::Claimed(id, until_ms);
                self.tell_workspaces(WorkspacesMessage::Workspace(space, control.genesis().workspace, lease));
            }
            _ => {}
        }
    }

    /// The actor of a session is gone.
    pub(crate) fn forget_session(&self, space: SpaceId, id: &str, actor: &ActorRef<SessionMessage>) {
        let mut programs = lock(&self.programs);
        let key = (space, id.to_owned());
        if programs.get(&key).is_some_and(|entry| entry.actor.get_id() == actor.get_id()) {
            programs.remove(&key);
        }
    }

    pub(crate) fn link(&self, link: Link) -> Option<LinkEntry> {
        lock(&self.links).get(&link).cloned()
    }

    /// Stops the node: what it said it would keep may no longer be kept.
    pub(crate) fn fail(&self, why: String) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert(why);
            first
        });
    }
}

/// Tells an actor, if it is there. One that is just being started again reads the store anyway.
fn tell<M: ractor::Message>(actor: &Option<ActorRef<M>>, message: M) {
    if let Some(actor) = actor
        && actor.cast(message).is_err()
    {
        tracing::debug!("a message came for an actor that is gone");
    }
}

/// Tells the actors what each commit changed.
struct Commits(Weak<Context>);

impl Listener for Commits {
    fn stored(&self, changes: &Changes) {
        let Some(context) = self.0.upgrade() else { return };
        context.counters.stored(changes);
    }

    fn committed(&self, changes: Changes) {
        let Some(context) = self.0.upgrade() else { return };
        context
            .events
            .send_if_modified(|last| std::mem::replace(last, changes.last_event) != changes.last_event);
        for change in &changes.presence {
            context.tell_presence(PresenceMessage::Said(Box::new(change.clone())));
        }
        if changes.spaces.values().any(|space| space.control) {
            context.tell_links(LinksMessage::MembershipChanged);
        }
        if changes.attachments {
            context.attachments_due.notify_one();
        }
        for change in &changes.claims {
            context.claim_changed(*change);
        }
        for message in &changes.messages {
            message.inboxes.iter().for_each(|session| context.mail(message.space, session));
        }
        if changes.spaces.is_empty() {
            return;
        }
        let changes = Arc::new(changes);
        for entry in lock(&context.links).values() {
            if entry.actor.cast(PeerLinkMessage::Committed(changes.clone())).is_err() {
                tracing::debug!("a commit came for a link that is gone");
            }
        }
    }

    fn failed(&self, error: &StoreError) {
        if let Some(context) = self.0.upgrade() {
            context.fail(error.to_string());
        }
    }
}
