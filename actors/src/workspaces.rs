//! The workspaces of a node, and the channels and direct rooms of each: started when they are needed.
//!
//! `Workspaces` also answers what other nodes ask of this one as a home: to be let in, and what admins
//! elsewhere want decided.

use std::{collections::BTreeMap, sync::Arc};

use muster_protocol::{
    ask::{Answer, Question, SignedQuestion},
    content::Room,
    identity::NodeId,
    ids::{SpaceId, WorkspaceId},
    limits,
    network::ChannelName,
    ticket::JoinRefusal,
};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::oneshot;

use crate::{
    channel::{Channel, ChannelMessage},
    compose::Place,
    context::{Context, lock},
    direct_room::{DirectRoom, DirectRoomMessage},
    supervisor::Restarts,
};

/// What the front of all workspaces is told.
pub(crate) enum WorkspacesMessage {
    /// Something for a workspace, whose actor is started if need be.
    Workspace(SpaceId, WorkspaceId, WorkspaceMessage),
    /// Another node asks.
    Question { from: NodeId, bytes: Vec<u8>, answer: oneshot::Sender<Vec<u8>> },
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
        _: ActorRef<Self::Msg>,
        context: Arc<Context>,
    ) -> Result<State, ActorProcessingErr> {
        let (workspaces, failures) = (BTreeMap::new(), BTreeMap::new());
        Ok(State { context, workspaces, restarts: Restarts::default(), failures })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WorkspacesMessage::Workspace(space, workspace, message) => {
                let actor = match state.workspaces.get(&space) {
                    Some(actor) => actor.clone(),
                    None => {
                        let arguments = (state.context.clone(), space, workspace);
                        let (actor, _) =
                            Actor::spawn_linked(None, Workspace, arguments, myself.get_cell()).await?;
                        state.workspaces.insert(space, actor.clone());
                        actor
                    }
                };
                actor.cast(message)?;
            }
            WorkspacesMessage::Question { from, bytes, answer } => {
                state.question(&myself, from, &bytes, answer)
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
        state.workspaces.retain(|_, actor| actor.get_id() != child.get_id());
        if let SupervisionEvent::ActorFailed(_, error) = event {
            tracing::error!(%error, "the actor of a workspace failed");
            if !state.restarts.allow(state.context.monotonic_ms()) {
                myself.stop(Some("workspaces fail again and again".to_owned()));
            }
        }
        Ok(())
    }
}

impl State {
    /// Decides as a home, inside the writer's transaction. Dropping `answer` refuses.
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
        let myself = myself.clone();
        let taken = self.context.store.write(
            self.context.wall_ms(),
            move |batch| batch.answer(&question),
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
        known >= limits::JOIN_FAILURES_PER_MINUTE_MAX || self.failures.len() >= limits::JOIN_STRANGERS_MAX
    }

    fn count(&mut self, from: NodeId, answer: &Answer) {
        if matches!(answer, Answer::NotJoined(_)) {
            let since_ms = self.context.monotonic_ms();
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
}

/// One workspace: the supervisor of its channels and direct rooms.
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
        _: ActorRef<Self::Msg>,
        (context, space, workspace): Self::Arguments,
    ) -> Result<WorkspaceState, ActorProcessingErr> {
        Ok(WorkspaceState { context, space, workspace, restarts: Restarts::default() })
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
            tracing::error!(%error, "the actor of a channel or direct room failed");
            lock(&state.context.channels).retain(|_, actor| actor.get_id() != child.get_id());
            lock(&state.context.rooms).retain(|_, actor| actor.get_id() != child.get_id());
            if !state.restarts.allow(state.context.monotonic_ms()) {
                myself.stop(Some("channels or direct rooms fail again and again".to_owned()));
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
}
