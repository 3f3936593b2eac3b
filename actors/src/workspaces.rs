//! The workspaces of a node, and the channels and direct rooms of each: started when they are needed.
//!
//! `Workspaces` also answers what other nodes ask of this one as a home: to be let in, and what admins
//! elsewhere want decided.

use std::{collections::BTreeMap, sync::Arc};

use muster_protocol::{
    ask::{AdminRefusal, Answer, Question, SignedQuestion},
    content::Room,
    control::Entry,
    identity::NodeId,
    ids::{SpaceId, WorkspaceId},
    invocation::InvocationId,
    limits,
    network::ChannelName,
    ticket::{JoinRefusal, SignedTicket},
};
use muster_storage::{Batch, StoreError};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::oneshot;

use crate::{
    channel::{Channel, ChannelMessage},
    compose::Place,
    context::{Context, lock},
    direct_room::{DirectRoom, DirectRoomMessage},
    invocation::{Invocation, InvocationMessage, Lease},
    session::{Beginning, Session, Settled},
    supervisor::Restarts,
};

/// What the front of all workspaces is told.
pub(crate) enum WorkspacesMessage {
    /// Something for a workspace, whose actor is started if need be.
    Workspace(SpaceId, WorkspaceId, WorkspaceMessage),
    /// It is time to drop what expired in inboxes (N-102).
    Sweep,
    /// Another node asks.
    Question { from: NodeId, bytes: Vec<u8>, answer: oneshot::Sender<Vec<u8>> },
    /// What another node asked, and could not be decided at once.
    Decide { from: NodeId, question: Box<SignedQuestion>, answer: oneshot::Sender<Vec<u8>> },
    /// An answer was given.
    Answered { from: NodeId, answer: Answer },
}

/// The actor. Its argument is the node's context.
pub(crate) struct Workspaces;

/// Failed attempts of one node to join, in the minute that began at `since_ms`.
#[derive(Debug, Clone, Copy)]
struct Failures {
    since_ms: u64,
    count: u32,
}

const MINUTE_MS: u64 = 60_000;

pub(crate) struct State {
    context: Arc<Context>,
    workspaces: BTreeMap<SpaceId, ActorRef<WorkspaceMessage>>,
    restarts: Restarts,
    failures: BTreeMap<NodeId, Failures>,
}

impl Actor for Workspaces {
    type Msg = WorkspacesMessage;
    type State = State;
    type Arguments = Arc<Context>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        context: Arc<Context>,
    ) -> Result<State, ActorProcessingErr> {
        myself.send_interval(context.settings.network.greet_interval, || WorkspacesMessage::Sweep);
        let (workspaces, failures) = (BTreeMap::new(), BTreeMap::new());
        let mut state = State { context, workspaces, restarts: Restarts::default(), failures };
        for space in state.context.store.spaces() {
            state.serve(&myself, space).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WorkspacesMessage::Workspace(space, workspace, message) => {
                let actor = state.workspace(&myself, space, workspace).await?;
                actor.cast(message)?;
            }
            WorkspacesMessage::Sweep => state.sweep(),
            WorkspacesMessage::Question { from, bytes, answer } => {
                state.question(&myself, from, &bytes, answer)
            }
            WorkspacesMessage::Decide { from, question, answer } => {
                state.decide(&myself, from, *question, answer)
            }
            WorkspacesMessage::Answered { from, answer } => state.count(from, &answer),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (SupervisionEvent::ActorFailed(child, _) | SupervisionEvent::ActorTerminated(child, _, _)) =
            &event
        else {
            return Ok(());
        };
        let ended = state.workspaces.iter().find(|(_, actor)| actor.get_id() == child.get_id());
        let ended = ended.map(|(space, _)| *space);
        state.workspaces.retain(|_, actor| actor.get_id() != child.get_id());
        if let SupervisionEvent::ActorFailed(_, error) = event {
            tracing::error!(%error, "the actor of a workspace failed");
            if !state.restarts.allow(state.context.monotonic_ms()) {
                myself.stop(Some("workspaces fail again and again".to_owned()));
                return Ok(());
            }
        }
        match ended {
            Some(space) => state.serve(&myself, space).await,
            None => Ok(()),
        }
    }
}

impl State {
    async fn workspace(
        &mut self,
        myself: &ActorRef<WorkspacesMessage>,
        space: SpaceId,
        workspace: WorkspaceId,
    ) -> Result<ActorRef<WorkspaceMessage>, ActorProcessingErr> {
        if let Some(actor) = self.workspaces.get(&space) {
            return Ok(actor.clone());
        }
        // What the one before it looked after ended with it, without a word.
        lock(&self.context.channels).retain(|(of, _), _| *of != space);
        lock(&self.context.programs).retain(|(of, _), _| *of != space);
        lock(&self.context.invocations).retain(|(of, _), _| *of != space);
        let arguments = (self.context.clone(), space, workspace);
        let (actor, _) = Actor::spawn_linked(None, Workspace, arguments, myself.get_cell()).await?;
        self.workspaces.insert(space, actor.clone());
        Ok(actor)
    }

    /// Starts the workspace if sessions with programs are at work there, or bots.
    async fn serve(
        &mut self,
        myself: &ActorRef<WorkspacesMessage>,
        space: SpaceId,
    ) -> Result<(), ActorProcessingErr> {
        let Some(control) = self.context.store.control(space) else { return Ok(()) };
        if !sessions_with_programs(&self.context, space).is_empty()
            || !claims_of(&self.context, space)?.is_empty()
        {
            self.workspace(myself, space, control.genesis().workspace).await?;
        }
        Ok(())
    }

    fn sweep(&self) {
        let now_ms = self.context.wall_ms();
        let is_due = self.context.store.view().and_then(|view| view.is_invocation_due(now_ms));
        let sweep = |batch: &mut Batch<'_>| batch.sweep_invocations(limits::INVOCATIONS_SWEPT_MAX);
        if is_due.unwrap_or(true) && self.context.store.write(now_ms, sweep, |_| {}).is_err() {
            tracing::debug!("invocations were not swept: the writer is busy");
        }
        if self.context.store.next_expiry_s() > i64::try_from(now_ms / 1000).unwrap_or(i64::MAX) {
            return;
        }
        let sweep = |batch: &mut Batch<'_>| batch.sweep_inboxes(limits::INBOX_SWEEP_SESSIONS_MAX);
        if self.context.store.write(now_ms, sweep, |()| {}).is_err() {
            tracing::debug!("inboxes were not swept: the writer is busy");
        }
    }

    /// Takes a question to this node as a home. Dropping `answer` refuses.
    fn question(
        &mut self,
        myself: &ActorRef<WorkspacesMessage>,
        from: NodeId,
        bytes: &[u8],
        answer: oneshot::Sender<Vec<u8>>,
    ) {
        let Ok(question) = SignedQuestion::decode(bytes, from, self.context.identity.node()) else {
            tracing::debug!(%from, "a question that is none");
            return;
        };
        if matches!(question.question, Question::Join(_)) && self.too_often(from) {
            // Whoever asked may be gone; then nobody needs the refusal.
            let _ = answer.send(Answer::NotJoined(JoinRefusal::TooOften).encode());
            return;
        }
        self.decide(myself, from, question, answer);
    }

    /// Has a question decided inside the writer's transaction, once this node need not wait for a member's word.
    fn decide(
        &mut self,
        myself: &ActorRef<WorkspacesMessage>,
        from: NodeId,
        question: SignedQuestion,
        answer: oneshot::Sender<Vec<u8>>,
    ) {
        let space = match &question.question {
            Question::Admin(request) => Some(request.space),
            Question::Work(_) => None, // the bot's home decides, not the workspace's
            Question::Join(request) => {
                SignedTicket::decode(&request.ticket.0).ok().map(|signed| signed.ticket().space)
            }
        };
        if space.is_some_and(|space| self.context.decides_blindly(space)) {
            let again = move || WorkspacesMessage::Decide { from, question: Box::new(question), answer };
            myself.send_after(limits::FIRST_WORD_LOOK, again);
            return;
        }
        if let Question::Admin(request) = &question.question
            && let Ok(entry) = Entry::decode(request.kind, &request.body.0)
            && self.context.moves_out_of_sight(request.space, from, &entry)
        {
            // Whoever asked may be gone; then nobody needs the refusal.
            let _ = answer.send(Answer::NotDecided(AdminRefusal::Away).encode());
            return;
        }
        let (myself, random) = (myself.clone(), self.context.random());
        let taken = self.context.store.write(
            self.context.wall_ms(),
            move |batch| batch.answer(&question, random),
            move |decided| {
                let bytes = decided.encode();
                // Counted first, so that the next attempt finds this one counted.
                if myself.cast(WorkspacesMessage::Answered { from, answer: decided }).is_err() {
                    tracing::debug!("an answer was given while the node stops");
                }
                // The decision is durable; an answer that gets lost is given again when asked again.
                let _ = answer.send(bytes);
            },
        );
        if taken.is_err() {
            tracing::debug!(%from, "a question was not taken: the writer is busy");
        }
    }

    fn too_often(&mut self, from: NodeId) -> bool {
        let now_ms = self.context.monotonic_ms();
        self.failures.retain(|_, failures| now_ms < failures.since_ms + MINUTE_MS);
        let known = self.failures.get(&from).map_or(0, |failures| failures.count);
        known >= limits::JOIN_FAILURES_PER_MINUTE_MAX
    }

    fn count(&mut self, from: NodeId, answer: &Answer) {
        if matches!(answer, Answer::NotJoined(_)) {
            let since_ms = self.context.monotonic_ms();
            // Whoever makes up keys without end must not keep everybody else out.
            if self.failures.len() >= limits::JOIN_STRANGERS_MAX
                && !self.failures.contains_key(&from)
                && let Some(first) = self.failures.iter().min_by_key(|(_, failures)| failures.since_ms)
            {
                let first = *first.0;
                self.failures.remove(&first);
            }
            self.failures.entry(from).or_insert(Failures { since_ms, count: 0 }).count += 1;
        }
    }
}

/// What a workspace is told.
pub(crate) enum WorkspaceMessage {
    /// The actor of a channel, started if need be.
    Channel(ChannelName, RpcReplyPort<ActorRef<ChannelMessage>>),
    /// The actor of a direct room, started if need be.
    DirectRoom(Box<Room>, RpcReplyPort<ActorRef<DirectRoomMessage>>),
    /// A session with a program was started; its program, if that runs already.
    Serve(String, Option<Settled>),
    /// An invocation is claimed until then, in Unix milliseconds.
    Claimed(InvocationId, u64),
}

/// The claims of a workspace that have not ended by themselves.
fn claims_of(context: &Context, space: SpaceId) -> Result<Vec<(InvocationId, u64)>, StoreError> {
    let claims = context.store.view()?.open_claims(context.wall_ms())?;
    let of_space = claims.into_iter().filter(|(of, _, _)| *of == space);
    Ok(of_space.map(|(_, id, until_ms)| (id, until_ms)).collect())
}

fn sessions_with_programs(context: &Context, space: SpaceId) -> Vec<String> {
    let sessions = lock(&context.sessions);
    let of_space = sessions.iter().filter(|((of, _), session)| *of == space && session.has_program());
    of_space.map(|((_, id), _)| id.clone()).collect()
}

/// One workspace: the supervisor of its channels and direct rooms, and of its sessions with programs.
pub(crate) struct Workspace;

pub(crate) struct WorkspaceState {
    context: Arc<Context>,
    space: SpaceId,
    workspace: WorkspaceId,
    restarts: Restarts,
}

impl Actor for Workspace {
    type Msg = WorkspaceMessage;
    type State = WorkspaceState;
    type Arguments = (Arc<Context>, SpaceId, WorkspaceId);

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (context, space, workspace): Self::Arguments,
    ) -> Result<WorkspaceState, ActorProcessingErr> {
        let state = WorkspaceState { context, space, workspace, restarts: Restarts::default() };
        for session in sessions_with_programs(&state.context, space) {
            state.serve(&myself, session, None).await?;
        }
        for (id, until_ms) in claims_of(&state.context, space)? {
            state.claimed(&myself, id, until_ms).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut WorkspaceState,
    ) -> Result<(), ActorProcessingErr> {
        // Whoever asked may have stopped waiting; the actor is there for the next one.
        match message {
            WorkspaceMessage::Channel(name, reply) => drop(reply.send(state.channel(&myself, name).await?)),
            WorkspaceMessage::DirectRoom(room, reply) => {
                drop(reply.send(state.direct_room(&myself, *room).await?));
            }
            WorkspaceMessage::Serve(session, program) => {
                return state.serve(&myself, session, program).await;
            }
            WorkspaceMessage::Claimed(id, until_ms) => return state.claimed(&myself, id, until_ms).await,
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut WorkspaceState,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(child, error) = event {
            tracing::error!(%error, "the actor of a channel, direct room, session or invocation failed");
            lock(&state.context.channels).retain(|_, actor| actor.get_id() != child.get_id());
            lock(&state.context.rooms).retain(|_, actor| actor.get_id() != child.get_id());
            let session = state.forget_session(child.get_id());
            let claim = state.forget_claim(child.get_id());
            if !state.restarts.allow(state.context.monotonic_ms()) {
                myself.stop(Some("channels, direct rooms or sessions fail again and again".to_owned()));
            } else if let Some(session) = session {
                state.serve(&myself, session, None).await?;
            } else if let Some(id) = claim {
                // It looks at once, and hears how long to wait.
                state.claimed(&myself, id, state.context.wall_ms()).await?;
            }
        }
        Ok(())
    }
}

impl WorkspaceState {
    fn place(&self, name: ChannelName) -> Place {
        Place { context: self.context.clone(), space: self.space, workspace: self.workspace, name }
    }

    async fn channel(
        &self,
        myself: &ActorRef<WorkspaceMessage>,
        name: ChannelName,
    ) -> Result<ActorRef<ChannelMessage>, ActorProcessingErr> {
        let key = (self.space, name.clone());
        if let Some(actor) = lock(&self.context.channels).get(&key) {
            return Ok(actor.clone());
        }
        let (actor, _) = Actor::spawn_linked(None, Channel, self.place(name), myself.get_cell()).await?;
        lock(&self.context.channels).insert(key, actor.clone());
        Ok(actor)
    }

    async fn direct_room(
        &self,
        myself: &ActorRef<WorkspaceMessage>,
        room: Room,
    ) -> Result<ActorRef<DirectRoomMessage>, ActorProcessingErr> {
        let key = (self.space, room.id.clone());
        if let Some(actor) = lock(&self.context.rooms).get(&key) {
            return Ok(actor.clone());
        }
        let arguments = (self.place(room.channel.clone()), room);
        let (actor, _) = Actor::spawn_linked(None, DirectRoom, arguments, myself.get_cell()).await?;
        lock(&self.context.rooms).insert(key, actor.clone());
        Ok(actor)
    }

    /// Starts the actor of a session that is at work, unless it is there.
    async fn serve(
        &self,
        myself: &ActorRef<WorkspaceMessage>,
        id: String,
        program: Option<Settled>,
    ) -> Result<(), ActorProcessingErr> {
        let key = (self.space, id.clone());
        let Some(session) = lock(&self.context.sessions).get(&key).cloned() else { return Ok(()) };
        if lock(&self.context.programs).contains_key(&key) {
            return Ok(()); // it was found at work meanwhile; a second program is let go
        }
        let (context, space, workspace) = (self.context.clone(), self.space, self.workspace);
        let beginning = Beginning { context, space, workspace, id, session, program };
        Actor::spawn_linked(None, Session, beginning, myself.get_cell()).await?;
        Ok(())
    }

    /// Starts the actor of a claimed invocation, or tells it until when to wait.
    async fn claimed(
        &self,
        myself: &ActorRef<WorkspaceMessage>,
        id: InvocationId,
        until_ms: u64,
    ) -> Result<(), ActorProcessingErr> {
        let key = (self.space, id);
        let known = lock(&self.context.invocations).get(&key).cloned();
        if known.is_some_and(|actor| actor.cast(InvocationMessage::Claimed(Some(until_ms))).is_ok()) {
            return Ok(());
        }
        let lease = Lease { context: self.context.clone(), space: self.space, id, until_ms };
        let (actor, _) = Actor::spawn_linked(None, Invocation, lease, myself.get_cell()).await?;
        lock(&self.context.invocations).insert(key, actor);
        Ok(())
    }

    /// Forgets the actor of an invocation that failed; answers with the invocation.
    fn forget_claim(&self, actor: ActorId) -> Option<InvocationId> {
        let mut invocations = lock(&self.context.invocations);
        let (key, _) = invocations.iter().find(|(_, known)| known.get_id() == actor)?;
        let key = *key;
        invocations.remove(&key);
        Some(key.1)
    }

    /// Forgets the actor of a session that failed; answers with the session.
    fn forget_session(&self, actor: ActorId) -> Option<String> {
        let mut programs = lock(&self.context.programs);
        let (key, _) = programs.iter().find(|(_, entry)| entry.actor.get_id() == actor)?;
        let key = key.clone();
        programs.remove(&key);
        Some(key.1)
    }
}
