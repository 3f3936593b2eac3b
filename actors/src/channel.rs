//! One channel: its sessions, and what they say to everybody.
//!
//! The actor decides (see [`crate::compose`]), signs, and hands the reply port to the writer together with the
//! message. It never waits for a commit, so a busy channel is as fast as the disk.

use muster_protocol::{
    content::ChannelOpened,
    ids::{SpaceId, WorkspaceId},
    network::ChannelName,
};
use muster_storage::{NotStarted, SessionRow};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::{
    compose::{Place, SendRequest, Sent, answer},
    context::{ActiveSession, Context, lock},
    error::{CreateChannelError, SendError, StartSessionError, StopSessionError, Unavailable},
    presence::PresenceMessage,
    rest::Rest,
    session::{SessionMessage, StartingSession},
    workspaces::{WorkspaceMessage, WorkspacesMessage},
};

/// What a channel is told.
pub(crate) enum ChannelMessage {
    /// Send as a session of this channel. The session is known to the workspace.
    Send(Box<SendRequest>, RpcReplyPort<Result<Sent, SendError>>),
    /// Open the channel for everybody and start these sessions, at least one.
    Create {
        purpose: String,
        sessions: Vec<StartingSession>,
        reply: RpcReplyPort<Result<(), CreateChannelError>>,
    },
    /// Start these sessions; the first is answered with.
    Start { sessions: Vec<StartingSession>, reply: RpcReplyPort<Result<SessionRow, StartSessionError>> },
    /// Stop a session.
    Stop { session: String, reply: RpcReplyPort<Result<(), StopSessionError>> },
    /// Rest, if nothing happened since this moment (monotonic milliseconds).
    Idle(u64),
}

/// The actor.
pub(crate) struct Channel;

pub(crate) struct State {
    place: Place,
    rest: Rest,
}

impl Actor for Channel {
    type Msg = ChannelMessage;
    type State = State;
    type Arguments = Place;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        place: Place,
    ) -> Result<State, ActorProcessingErr> {
        let rest = Rest::begin(&place.context, &myself, ChannelMessage::Idle);
        Ok(State { place, rest })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        if let ChannelMessage::Idle(since_ms) = message {
            if state.rest.is_due(since_ms, &state.place.context, &myself, ChannelMessage::Idle) {
                state.forget(&myself);
                myself.drain()?; // what came in the meantime is still handled
            }
            return Ok(());
        }
        state.rest.disturb(&state.place.context);
        match message {
            ChannelMessage::Send(request, reply) => state.place.send(*request, reply),
            ChannelMessage::Create { purpose, sessions, reply } => {
                state.place.create(purpose, sessions, reply)
            }
            ChannelMessage::Start { sessions, reply } => state.place.start(sessions, reply),
            ChannelMessage::Stop { session, reply } => state.place.stop(session, reply),
            ChannelMessage::Idle(_) => {}
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        myself: ActorRef<Self::Msg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.forget(&myself);
        Ok(())
    }
}

impl State {
    fn forget(&self, myself: &ActorRef<ChannelMessage>) {
        let mut channels = lock(&self.place.context.channels);
        let key = (self.place.space, self.place.name.clone());
        if channels.get(&key).is_some_and(|actor| actor.get_id() == myself.get_id()) {
            channels.remove(&key);
        }
    }
}

impl Place {
    fn create(
        &self,
        purpose: String,
        sessions: Vec<StartingSession>,
        reply: RpcReplyPort<Result<(), CreateChannelError>>,
    ) {
        let new: Vec<_> = sessions.iter().map(|session| session.new.clone()).collect();
        let Some(first) = new.first().map(|session| session.agent.clone()) else {
            return answer(reply, Err(CreateChannelError::NoAgents));
        };
        let opened = ChannelOpened { name: self.name.as_str().to_owned(), purpose, created_by: first };
        let (space, workspace, context) = (self.space, self.workspace, self.context.clone());
        let taken = self.context.store.write(
            self.context.wall_ms(),
            move |batch| {
                let started = batch.start_sessions(space, &new)?;
                if started.is_ok() {
                    batch.open_channel(space, &opened)?;
                }
                Ok(started)
            },
            move |result| {
                let result = result.map_err(|refused| match refused {
                    NotStarted::NotAllowed => CreateChannelError::NotAllowed,
                    NotStarted::UnknownAgent(agent) => CreateChannelError::UnknownAgent(agent),
                });
                if result.is_ok() {
                    joined(&context, space, workspace, sessions);
                }
                answer(reply, result);
            },
        );
        if let Err(error) = taken {
            tracing::warn!(%error, "a channel was not created");
        }
    }

    fn start(
        &self,
        sessions: Vec<StartingSession>,
        reply: RpcReplyPort<Result<SessionRow, StartSessionError>>,
    ) {
        let new: Vec<_> = sessions.iter().map(|session| session.new.clone()).collect();
        let first = new.first().map(|session| session.id.clone()).unwrap_or_default();
        let (space, workspace, context) = (self.space, self.workspace, self.context.clone());
        let taken = self.context.store.write(
            self.context.wall_ms(),
            move |batch| batch.start_sessions(space, &new),
            move |result| {
                let result = match result {
                    Err(NotStarted::NotAllowed) => Err(StartSessionError::NotAllowed),
                    Err(NotStarted::UnknownAgent(agent)) => Err(StartSessionError::UnknownAgent(agent)),
                    Ok(()) => {
                        joined(&context, space, workspace, sessions);
                        read_session(&context, workspace, &first)
                    }
                };
                answer(reply, result);
            },
        );
        if let Err(error) = taken {
            tracing::warn!(%error, "a session was not started");
        }
    }

    fn stop(&self, session: String, reply: RpcReplyPort<Result<(), StopSessionError>>) {
        // From this decision on the session speaks no more, although its end is not durable yet.
        let key = (self.space, session.clone());
        let left = lock(&self.context.sessions).remove(&key);
        let (space, context, stays) = (self.space, self.context.clone(), left.clone());
        let stopped_id = session.clone();
        let taken = self.context.store.write(
            self.context.wall_ms(),
            move |batch| batch.stop_session(space, &session, "user_canceled"),
            move |stopped| {
                if let Some(left) = left {
                    context.tell_presence(PresenceMessage::Left(space, vec![(left.channel, left.peer)]));
                }
                context.tell_session(space, &stopped_id, SessionMessage::Stop);
                answer(reply, stopped.map(|_| ()).ok_or(StopSessionError::UnknownSession));
            },
        );
        if let Err(error) = taken {
            tracing::warn!(%error, "a session was not stopped");
            // Nothing was written, and whoever asked is told so: the session goes on.
            stays.map(|stays| lock(&self.context.sessions).insert(key, stays));
        }
    }
}

/// Sessions are durable: they may speak, their programs serve them, and everybody is told.
fn joined(context: &Context, space: SpaceId, workspace: WorkspaceId, started: Vec<StartingSession>) {
    let ids = started.iter().map(|session| session.new.id.clone()).collect();
    for StartingSession { new, provider, program } in started {
        let Ok(channel) = ChannelName::parse(&new.channel) else { continue };
        let active = ActiveSession { channel, peer: new.peer, agent: new.agent, provider };
        let has_program = active.has_program();
        lock(&context.sessions).insert((space, new.id.clone()), active);
        if has_program {
            let serve = WorkspaceMessage::Serve(new.id, program);
            context.tell_workspaces(WorkspacesMessage::Workspace(space, workspace, serve));
        }
    }
    context.tell_presence(PresenceMessage::Came(space, ids));
}

fn read_session(
    context: &Context,
    workspace: WorkspaceId,
    id: &str,
) -> Result<SessionRow, StartSessionError> {
    let view = context.store.view()?;
    let workspace = view.workspace(&workspace.to_string())?.ok_or(StartSessionError::UnknownWorkspace)?;
    let row = view.session(&workspace, id)?;
    row.ok_or(StartSessionError::Unavailable(Unavailable::Storage))
}
