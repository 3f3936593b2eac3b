//! The node as everybody above sees it: one handle, a method for each thing it can be asked.
//!
//! What only reads is answered from a view of the store or a shared table, without asking an actor. What
//! changes something holds a permit, asks at most one actor, and goes on when its caller goes away.

use std::{future::Future, path::PathBuf, sync::Arc};

use muster_protocol::{
    ask::{AdminRefusal, AdminRequest, Answer, JoinRequest, Question, invite_text, parse_invite},
    cbor::{Bytes, Bytes16},
    content::PURPOSE_BYTES_MAX,
    control::{ControlState, Entry, Genesis, InviteCreated, InviteRevoked, MemberRemoved, Role},
    identity::{Identity, NodeId},
    ids::{SpaceId, WorkspaceId, ulid},
    limits,
    network::{Capability, CapabilityCatalog, ChannelName, PeerCard, PeerName},
    operation::Operation,
    ticket::{SignedTicket, Ticket},
};
use muster_storage::{
    AgentRow, BackupError, Batch, SessionRow, SessionState, Store, StoreError, WorkspaceRow, clean_name,
};
use ractor::{Actor, ActorRef, RpcReplyPort, rpc::CallResult};
use tokio::sync::{oneshot, watch};

use crate::{
    channel::{ChannelMessage, SendRequest, Sent},
    context::{ActiveSession, Context, lock},
    counters::{NetworkCounters, Traffic},
    error::{
        CreateChannelError, CreateWorkspaceError, InviteError, JoinError, RegisterAgentError,
        RemoveMemberError, SendError, StartError, StartSessionError, StopSessionError, Unavailable,
    },
    links::LinksMessage,
    peer_link::PeerLinkMessage,
    ports::{Event, Events, Path, Ports, RequestError},
    presence::PresenceMessage,
    root::NodeSupervisor,
    settings::Settings,
    supervisor::CALL,
    workspaces::WorkspacesMessage,
};

/// How long a new member waits for the control log that says so, before it goes on without.
const WELCOME: std::time::Duration = std::time::Duration::from_secs(8);

/// A running node. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    context: Arc<Context>,
    root: ActorRef<()>,
    started_ms: u64,
}

/// A ticket and its invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// `inv_` and a ULID.
    pub id: String,
    /// The text to hand over.
    pub ticket: String,
    /// Until when, Unix milliseconds.
    pub expires_ms: u64,
}

/// A node connected now.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionRow {
    /// Which.
    pub node: NodeId,
    /// Its name, when it is a member of a workspace of ours.
    pub name: Option<String>,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Through a relay.
    pub relayed: bool,
    /// Last round trip in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Workspaces that both are in.
    pub workspaces: Vec<WorkspaceId>,
}

/// How present a peer is (N-57).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceState {
    /// A session of this node.
    Local,
    /// Heard of within one interval.
    Active,
    /// Heard of within two.
    Inactive,
}

/// A peer that is visible now.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerRow {
    /// Its name.
    pub peer: PeerName,
    /// Its channel.
    pub channel: ChannelName,
    /// Its session, when it is one of this node.
    pub session_id: Option<String>,
    /// Whether it is.
    pub local: bool,
    /// What people call it (N-60).
    pub display_name: String,
    /// Its card.
    pub card: PeerCard,
    /// Counters of what it sent and got (N-63).
    pub metrics: Traffic,
    /// When it joined, Unix milliseconds; local peers only.
    pub joined_ms: Option<u64>,
    /// When it was last heard of; remote peers only.
    pub last_seen_ms: Option<u64>,
    /// When it will be gone, unless it is heard of again; remote peers only.
    pub expires_ms: Option<u64>,
    /// How present it is.
    pub presence: PresenceState,
    /// Whole seconds since it was heard of; remote peers only.
    pub age_seconds: Option<u64>,
    /// Its capability documents; known of local peers only.
    pub catalog: Option<Vec<Capability>>,
    /// Its node.
    pub node: NodeId,
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
        ractor::concurrency::spawn(pump(context.clone(), events));
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

    /// Nodes connected now.
    pub fn connections(&self) -> Vec<ConnectionRow> {
        let controls: Vec<_> = self
            .context
            .store
            .spaces()
            .into_iter()
            .filter_map(|space| self.context.store.control(space))
            .collect();
        let row = |connection: crate::ports::Connection| {
            let shared: Vec<_> =
                controls.iter().filter(|control| control.role(connection.node).is_some()).collect();
            let member = |control: &&Arc<ControlState>| {
                control
                    .members()
                    .find(|(node, _, _)| *node == connection.node)
                    .map(|(_, member, _)| member.name.clone())
            };
            ConnectionRow {
                node: connection.node,
                name: shared.first().copied().and_then(|control| member(&control)),
                addresses: connection.addresses,
                relayed: connection.path == Path::Relayed,
                rtt_ms: connection.round_trip.map(|rtt| rtt.as_secs_f64() * 1000.0),
                workspaces: shared.iter().map(|control| control.genesis().workspace).collect(),
            }
        };
        self.context.ports.network.connections().into_iter().map(row).collect()
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

    /// Peers visible now, in the order of N-59.
    pub fn peers(
        &self,
        workspace: WorkspaceId,
        channel: Option<&ChannelName>,
    ) -> Result<Vec<PeerRow>, Unavailable> {
        let Some(space) = self.context.space(workspace) else { return Ok(Vec::new()) };
        let mut peers = self.local_peers(workspace, channel)?;
        peers.extend(self.remote_peers(space, channel));
        let recency = |peer: &PeerRow| std::cmp::Reverse(peer.last_seen_ms.or(peer.joined_ms).unwrap_or(0));
        peers.sort_by(|a, b| {
            let order = |peer: &PeerRow| (!peer.local, recency(peer));
            order(a)
                .cmp(&order(b))
                .then_with(|| a.display_name.cmp(&b.display_name))
                .then_with(|| (&a.peer, &a.channel).cmp(&(&b.peer, &b.channel)))
        });
        Ok(peers)
    }

    /// A visible peer by its name; of several channels, in the alphabetically first (N-62).
    pub fn peer(&self, workspace: WorkspaceId, name: &PeerName) -> Result<Option<PeerRow>, Unavailable> {
        let peers = self.peers(workspace, None)?.into_iter().filter(|peer| peer.peer == *name);
        Ok(peers.min_by(|a, b| a.channel.cmp(&b.channel)))
    }

    fn local_peers(
        &self,
        workspace: WorkspaceId,
        channel: Option<&ChannelName>,
    ) -> Result<Vec<PeerRow>, Unavailable> {
        let view = self.context.store.view()?;
        let Some(row) = view.workspace(&workspace.to_string())? else { return Ok(Vec::new()) };
        let active: Vec<_> = {
            let sessions = lock(&self.context.sessions);
            let here = sessions.iter().filter(|((space, _), session)| {
                *space == row.space && channel.is_none_or(|channel| *channel == session.channel)
            });
            here.map(|((_, id), session)| (id.clone(), session.clone())).collect()
        };
        let mut peers = Vec::new();
        for (id, session) in active {
            let stored = view.session(&row, &id)?;
            let capabilities =
                view.agent(&row, &session.agent)?.map(|agent| agent.capabilities).unwrap_or_default();
            let catalog = CapabilityCatalog { capabilities };
            peers.push(PeerRow {
                metrics: self.context.counters.peer(row.space, &session.peer),
                display_name: session.agent.clone(),
                card: PeerCard::local(session.peer.clone(), Some(&session.agent), &catalog),
                peer: session.peer,
                channel: session.channel,
                session_id: Some(id),
                local: true,
                joined_ms: stored.map(|session| session.created_ms),
                last_seen_ms: None,
                expires_ms: None,
                presence: PresenceState::Local,
                age_seconds: None,
                catalog: Some(catalog.capabilities),
                node: self.id(),
            });
        }
        Ok(peers)
    }

    fn remote_peers(&self, space: SpaceId, channel: Option<&ChannelName>) -> Vec<PeerRow> {
        let interval_ms = self.context.settings.network.greet_interval.as_millis() as u64;
        let now_ms = self.context.monotonic_ms();
        let control = self.context.store.control(space);
        let is_member = |node| control.as_ref().is_some_and(|control| control.role(node).is_some());
        let remote = self.context.presence.remote(space, channel, now_ms, interval_ms);
        let visible = remote.into_iter().filter(|(_, peer)| is_member(peer.node));
        visible
            .map(|(channel, peer)| {
                let age_ms = now_ms.saturating_sub(peer.heard_ms);
                let presence =
                    if age_ms <= interval_ms { PresenceState::Active } else { PresenceState::Inactive };
                PeerRow {
                    metrics: self.context.counters.peer(space, &peer.card.peer_id),
                    display_name: peer.card.shown_name().to_owned(),
                    peer: peer.card.peer_id.clone(),
                    channel,
                    session_id: None,
                    local: false,
                    joined_ms: None,
                    last_seen_ms: Some(peer.last_seen_ms),
                    expires_ms: Some(peer.last_seen_ms + 2 * interval_ms),
                    presence,
                    age_seconds: Some(age_ms / 1000),
                    catalog: None,
                    node: peer.node,
                    card: peer.card,
                }
            })
            .collect()
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
        let actor = self.channel(workspace, channel).await?;
        match actor.call(message, CALL).await {
            Ok(CallResult::Success(result)) => result,
            Ok(CallResult::Timeout) => Err(Unavailable::Timeout.into()),
            // The actor or the store went away before it answered.
            Ok(CallResult::SenderError) => Err(Unavailable::Busy.into()),
            Err(_) => Err(Unavailable::Busy.into()),
        }
    }

    /// The actor of a channel: as a rule found in the table, else started.
    async fn channel(
        &self,
        workspace: WorkspaceId,
        name: &ChannelName,
    ) -> Result<ActorRef<ChannelMessage>, Unavailable> {
        let space = self.context.space(workspace).ok_or(Unavailable::Stopping)?;
        if let Some(actor) = lock(&self.context.channels).get(&(space, name.clone())) {
            return Ok(actor.clone());
        }
        let workspaces = lock(&self.context.fronts).workspaces.clone().ok_or(Unavailable::Stopping)?;
        let name = name.clone();
        match workspaces.call(|reply| WorkspacesMessage::Channel(space, workspace, name, reply), CALL).await {
            Ok(CallResult::Success(actor)) => Ok(actor),
            Ok(CallResult::Timeout) => Err(Unavailable::Timeout),
            Ok(CallResult::SenderError) | Err(_) => Err(Unavailable::Stopping),
        }
    }

    fn workspace_row(&self, space: SpaceId) -> Result<Option<WorkspaceRow>, Unavailable> {
        let Some(control) = self.context.store.control(space) else { return Ok(None) };
        Ok(self.context.store.view()?.workspace(&control.genesis().workspace.to_string())?)
    }

    // ---- workspaces and members -------------------------------------------------------------------

    /// Founds a workspace; this node is its owner and home.
    pub async fn create_workspace(
        &self,
        name: String,
        parent: Option<WorkspaceId>,
    ) -> Result<WorkspaceRow, CreateWorkspaceError> {
        let name = name.trim().to_owned();
        if name.is_empty() || name.chars().count() > limits::NAME_CHARS_MAX || name != clean_name(&name) {
            return Err(CreateWorkspaceError::Name);
        }
        if parent.is_some_and(|parent| self.context.space(parent).is_none()) {
            return Err(CreateWorkspaceError::UnknownParent);
        }
        let now_ms = self.context.wall_ms();
        let genesis = Genesis {
            workspace: WorkspaceId::new(now_ms, self.context.random()),
            name,
            founder: self.id(),
            founder_name: clean_name(self.name()),
            created_ms: now_ms,
            parent: parent.into_iter().collect(),
        };
        let node = self.clone();
        self.carry_out(async move {
            let space = node.write(move |batch| batch.found(&genesis)).await?;
            Ok(node.workspace_row(space)?.ok_or(Unavailable::Storage)?)
        })
        .await
    }

    /// Has an admin's wish decided: here when this is the home, else by asking the home.
    async fn administer(
        &self,
        control: &ControlState,
        entry: Entry,
    ) -> Result<Result<u64, AdminRefusal>, Unavailable> {
        let (space, me, home) = (control.space(), self.id(), control.home());
        if home == me {
            return self.write(move |batch| batch.administer(space, me, entry, Vec::new())).await;
        }
        let (kind, body) = entry.encode();
        let request =
            AdminRequest { space, home, node: me, at_ms: self.context.wall_ms(), kind, body: Bytes(body) };
        let question = Question::Admin(request).sign(&self.context.identity);
        let addresses = self.context.store.view()?.addresses(home)?;
        let answer = self.context.ports.network.request(home, addresses, question).await;
        let answer = answer.map_err(|_| Unavailable::HomeUnreachable { home })?;
        match Answer::decode(&answer) {
            Ok(Answer::Decided(height)) => Ok(Ok(height)),
            Ok(Answer::NotDecided(refusal)) => Ok(Err(refusal)),
            _ => Err(Unavailable::HomeUnreachable { home }),
        }
    }

    fn control(&self, workspace: WorkspaceId) -> Option<Arc<ControlState>> {
        self.context.space(workspace).and_then(|space| self.context.store.control(space))
    }

    /// Makes a ticket. Lives `expires_in_seconds`, may be used `uses_max` times.
    pub async fn create_invite(
        &self,
        workspace: WorkspaceId,
        role: Role,
        expires_in_seconds: u64,
        uses_max: u32,
    ) -> Result<Invite, InviteError> {
        let control = self.control(workspace).ok_or(InviteError::UnknownWorkspace)?;
        let own = control.role(self.id());
        if !own.is_some_and(Role::administers) {
            return Err(InviteError::NotAllowed { role: own });
        }
        let fits = (1..=limits::INVITE_SECONDS_MAX).contains(&expires_in_seconds)
            && (1..=limits::INVITE_USES_MAX).contains(&uses_max)
            && role != Role::Owner;
        if !fits {
            return Err(InviteError::Limits);
        }
        let now_ms = self.context.wall_ms();
        let invite = Bytes16(ulid(now_ms, self.context.random()).to_bytes());
        let expires_ms = now_ms + expires_in_seconds * 1000;
        let entry = Entry::InviteCreated(InviteCreated {
            invite,
            by: self.id(),
            role: role.code(),
            not_after_ms: expires_ms,
            uses_max,
            evidence: Bytes::default(),
        });
        let node = self.clone();
        self.carry_out(async move {
            node.administer(&control, entry).await?.map_err(|refusal| invite_error(refusal, own))?;
            let home = control.home();
            let mut addresses = if home == node.id() {
                node.context.ports.network.listen_addresses()
            } else {
                node.context.store.view()?.addresses(home)?
            };
            addresses.truncate(limits::ADDRESSES_PER_NODE_MAX);
            let ticket = Ticket {
                space: control.space(),
                workspace,
                name: control.genesis().name.clone(),
                home,
                addresses,
                invite,
                issuer: node.id(),
                role: role.code(),
                not_after_ms: expires_ms,
                audience: Vec::new(),
            };
            let ticket = ticket.sign(&node.context.identity).to_string();
            Ok(Invite { id: invite_text(&invite), ticket, expires_ms })
        })
        .await
    }

    /// Revokes a ticket.
    pub async fn revoke_invite(&self, workspace: WorkspaceId, invite_id: &str) -> Result<(), InviteError> {
        let control = self.control(workspace).ok_or(InviteError::UnknownWorkspace)?;
        let own = control.role(self.id());
        let invite = parse_invite(invite_id).ok_or(InviteError::UnknownInvite)?;
        if !own.is_some_and(Role::administers) {
            return Err(InviteError::NotAllowed { role: own });
        }
        let entry = Entry::InviteRevoked(InviteRevoked { invite, evidence: Bytes::default() });
        let node = self.clone();
        self.carry_out(async move {
            let decided = node.administer(&control, entry).await?;
            decided.map(|_| ()).map_err(|refusal| invite_error(refusal, own))
        })
        .await
    }

    /// Removes a node from a workspace: nothing it writes afterwards counts.
    pub async fn remove_member(
        &self,
        workspace: WorkspaceId,
        member: NodeId,
    ) -> Result<(), RemoveMemberError> {
        let control = self.control(workspace).ok_or(RemoveMemberError::UnknownWorkspace)?;
        let entry = Entry::MemberRemoved(MemberRemoved {
            node: member,
            cut_offs: Vec::new(),
            evidence: Bytes::default(),
        });
        let node = self.clone();
        self.carry_out(async move {
            match node.administer(&control, entry).await? {
                Ok(_) => Ok(()),
                Err(AdminRefusal::NoSuchThing) => Err(RemoveMemberError::UnknownMember),
                Err(AdminRefusal::Busy) => Err(Unavailable::Busy.into()),
                Err(_) => Err(RemoveMemberError::NotAllowed),
            }
        })
        .await
    }

    /// Joins the workspace a ticket opens. Returns when this node knows that it is a member.
    pub async fn join(&self, ticket: &str) -> Result<WorkspaceRow, JoinError> {
        let signed: SignedTicket = ticket.parse()?;
        let node = self.clone();
        self.carry_out(async move { node.join_with(&signed).await }).await
    }

    async fn join_with(&self, signed: &SignedTicket) -> Result<WorkspaceRow, JoinError> {
        let ticket = signed.ticket().clone();
        let me = self.id();
        let request = JoinRequest {
            ticket: Bytes(signed.encode()),
            home: ticket.home,
            node: me,
            name: clean_name(self.name()),
            at_ms: self.context.wall_ms(),
        };
        let question = Question::Join(request).sign(&self.context.identity);
        if ticket.home != me {
            let network = &self.context.ports.network;
            let answer = network.request(ticket.home, ticket.addresses.clone(), question).await;
            let answer = answer.map_err(|error| match error {
                RequestError::Unreachable | RequestError::Timeout => {
                    JoinError::Unreachable { addresses: ticket.addresses.clone() }
                }
                RequestError::Refused => JoinError::Impostor,
            })?;
            let genesis = match Answer::decode(&answer) {
                Ok(Answer::Joined(genesis)) => genesis,
                Ok(Answer::NotJoined(refusal)) => return Err(refusal.into()),
                _ => return Err(JoinError::Impostor),
            };
            let genesis = Operation::decode(&genesis).map_err(|_| JoinError::Impostor)?;
            let begins = ControlState::begin(&genesis)
                .is_ok_and(|state| state.genesis().workspace == ticket.workspace);
            if genesis.header().space != ticket.space || genesis.verify().is_err() || !begins {
                return Err(JoinError::Impostor);
            }
            let (home, addresses) = (ticket.home, ticket.addresses.clone());
            self.write(move |batch| {
                batch.learn_addresses(home, &addresses)?;
                batch.begin_space(&genesis)
            })
            .await?;
            self.wait_for_membership(ticket.space).await;
        }
        let row = self.workspace_row(ticket.space)?.ok_or(JoinError::Impostor)?;
        // The control log may still be on its way; what the ticket promised holds until it says otherwise.
        let role = row.role.or_else(|| Role::from_code(ticket.role));
        Ok(WorkspaceRow { role, ..row })
    }

    async fn wait_for_membership(&self, space: SpaceId) {
        let mut events = self.context.events.subscribe();
        let me = self.id();
        let known = || self.context.store.control(space).is_some_and(|control| control.role(me).is_some());
        let wait = async {
            while !known() {
                if events.changed().await.is_err() {
                    break;
                }
            }
        };
        let timeout = self.context.ports.clock.sleep(WELCOME);
        futures::future::select(std::pin::pin!(wait), timeout).await;
    }

    // ---- agents, channels, sessions, messages -----------------------------------------------------

    /// Makes an agent known to a workspace on this node.
    pub async fn register_agent(
        &self,
        workspace: WorkspaceId,
        name: String,
        provider: String,
        capabilities: Vec<Capability>,
    ) -> Result<AgentRow, RegisterAgentError> {
        let space = self.context.space(workspace).ok_or(RegisterAgentError::UnknownWorkspace)?;
        if !is_agent_name(&name) {
            return Err(RegisterAgentError::Name);
        }
        if provider != "none" {
            return Err(RegisterAgentError::Provider(provider));
        }
        let mut documents: Vec<Capability> = Vec::new();
        for capability in capabilities {
            let capability = capability.with_own_digest();
            let id = capability.id.clone();
            capability.check().map_err(|cause| RegisterAgentError::Capability {
                id: id.clone(),
                cause: cause.to_string(),
            })?;
            if documents.iter().any(|known| known.id == id) {
                return Err(RegisterAgentError::Capability {
                    id,
                    cause: "it stands twice in the list".to_owned(),
                });
            }
            documents.push(capability);
        }
        let json = serde_json::to_string(&documents).map_err(|_| Unavailable::Storage)?;
        let row = AgentRow { name: name.clone(), provider: provider.clone(), capabilities: documents };
        let node = self.clone();
        self.carry_out(async move {
            let new = node.write(move |batch| batch.register_agent(space, &name, &provider, &json)).await?;
            if new { Ok(row) } else { Err(RegisterAgentError::Exists) }
        })
        .await
    }

    /// Opens a channel, or replaces its purpose, and starts a session of each agent in it (N-117 to N-119).
    pub async fn create_channel(
        &self,
        workspace: WorkspaceId,
        channel: ChannelName,
        purpose: String,
        agents: Vec<String>,
    ) -> Result<(), CreateChannelError> {
        self.context.space(workspace).ok_or(CreateChannelError::UnknownWorkspace)?;
        let purpose = purpose.trim().to_owned();
        if purpose.is_empty() || purpose.len() > PURPOSE_BYTES_MAX {
            return Err(CreateChannelError::Purpose);
        }
        let agents: Vec<_> = agents.into_iter().map(|agent| agent.trim().to_owned()).collect();
        if agents.is_empty() {
            return Err(CreateChannelError::NoAgents);
        }
        if agents.iter().any(String::is_empty) {
            return Err(CreateChannelError::BlankAgent);
        }
        for (at, agent) in agents.iter().enumerate() {
            if agents[..at].contains(agent) {
                return Err(CreateChannelError::RepeatedAgent(agent.clone()));
            }
        }
        if lock(&self.context.sessions).len() + agents.len() > limits::SESSIONS_MAX {
            return Err(CreateChannelError::TooMany);
        }
        let node = self.clone();
        self.carry_out(async move {
            node.ask_channel(workspace, &channel, |reply| ChannelMessage::Create { purpose, agents, reply })
                .await
        })
        .await
    }

    /// Starts a session of an agent in a channel.
    pub async fn start_session(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        channel: ChannelName,
    ) -> Result<SessionRow, StartSessionError> {
        self.context.space(workspace).ok_or(StartSessionError::UnknownWorkspace)?;
        if lock(&self.context.sessions).len() >= limits::SESSIONS_MAX {
            return Err(StartSessionError::TooMany);
        }
        let (node, agent) = (self.clone(), agent.trim().to_owned());
        self.carry_out(async move {
            node.ask_channel(workspace, &channel, |reply| ChannelMessage::Start { agent, reply }).await
        })
        .await
    }

    /// Stops a session. One that is stopped already stays so.
    pub async fn stop_session(&self, workspace: WorkspaceId, id: &str) -> Result<(), StopSessionError> {
        let view = self.context.store.view()?;
        let row = view.workspace(&workspace.to_string())?.ok_or(StopSessionError::UnknownWorkspace)?;
        let session = view.session(&row, id)?.ok_or(StopSessionError::UnknownSession)?;
        drop(view);
        if session.state == SessionState::Stopped {
            return Ok(());
        }
        let (node, id) = (self.clone(), session.id);
        self.carry_out(async move {
            let stop = |reply| ChannelMessage::Stop { session: id, reply };
            node.ask_channel(workspace, &session.channel, stop).await
        })
        .await
    }

    /// Sends a message as a session of this node. `Ok` means durable here, and on its way to all members.
    pub async fn send(&self, workspace: WorkspaceId, request: SendRequest) -> Result<Sent, SendError> {
        if !self.context.settings.network.enabled {
            return Err(SendError::Disabled);
        }
        let space = self.context.space(workspace).ok_or(SendError::UnknownWorkspace)?;
        let session = request.session_id.trim();
        if session.is_empty() {
            return Err(SendError::Missing("session_id"));
        }
        let active = lock(&self.context.sessions).contains_key(&(space, session.to_owned()));
        if !active {
            let view = self.context.store.view()?;
            let row = view.workspace(&workspace.to_string())?.ok_or(SendError::UnknownWorkspace)?;
            view.session(&row, session)?.ok_or(SendError::UnknownSession)?;
        }
        let missing =
            [("channel", request.channel.trim().is_empty()), ("kind", request.kind.trim().is_empty())];
        if let Some((name, _)) = missing.into_iter().find(|(_, missing)| *missing) {
            return Err(SendError::Missing(name));
        }
        let channel = ChannelName::parse(&request.channel)
            .map_err(|cause| muster_protocol::network::Refusal::BadName { member: "channel", cause })?;
        let node = self.clone();
        self.carry_out(async move {
            node.ask_channel(workspace, &channel, |reply| ChannelMessage::Send(Box::new(request), reply))
                .await
        })
        .await
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
}

fn invite_error(refusal: AdminRefusal, role: Option<Role>) -> InviteError {
    match refusal {
        AdminRefusal::Unknown => InviteError::UnknownWorkspace,
        AdminRefusal::NotAllowed => InviteError::NotAllowed { role },
        AdminRefusal::NoSuchThing => InviteError::UnknownInvite,
        AdminRefusal::Limit => InviteError::Limits,
        AdminRefusal::Busy => InviteError::Unavailable(Unavailable::Busy),
    }
}

/// `^[a-z0-9][a-z0-9._-]{0,63}$` (`contracts/node.yaml`).
fn is_agent_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (1..=64).contains(&bytes.len())
        && plain(bytes[0])
        && bytes.iter().all(|byte| plain(*byte) || matches!(byte, b'.' | b'_' | b'-'))
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

/// Hands what happens in the mesh to the actors, in order, and no faster than they take it.
async fn pump(context: Arc<Context>, mut events: Events) {
    while let Some(event) = events.recv().await {
        match event {
            Event::LinkUp { link, .. } => {
                let links = lock(&context.fronts).links.clone();
                let up = match links {
                    Some(links) => links.call(|up| LinksMessage::Up(link, up), CALL).await.is_ok(),
                    None => false,
                };
                if !up {
                    context.ports.network.close(link, crate::ports::Closing::Polite);
                }
            }
            Event::Frame { link, bytes } => {
                let Some(entry) = context.link(link) else { continue };
                let Ok(room) = entry.room.acquire_owned().await else { continue };
                if entry.actor.cast(PeerLinkMessage::Frame(bytes, room)).is_err() {
                    tracing::debug!("a frame came for a link that is gone");
                }
            }
            Event::LinkWritable { link } => {
                if let Some(entry) = context.link(link)
                    && entry.actor.cast(PeerLinkMessage::Writable).is_err()
                {
                    tracing::debug!("a link that is gone could take frames");
                }
            }
            Event::LinkDown { link } => context.tell_links(LinksMessage::Down(link)),
            Event::Request { from, question, answer } => {
                let workspaces = lock(&context.fronts).workspaces.clone();
                let message = WorkspacesMessage::Question { from, bytes: question, answer };
                if let Some(workspaces) = workspaces
                    && workspaces.cast(message).is_err()
                {
                    tracing::debug!("a question came while the node stops");
                }
            }
            Event::Gossip { bytes, .. } => context.tell_presence(PresenceMessage::Heard(bytes)),
            Event::Discovered { node, addresses } => context.tell_links(LinksMessage::Heard(node, addresses)),
            Event::Listening { .. } => context.tell_presence(PresenceMessage::Announce),
        }
    }
}
