//! One channel: its sessions, and what they say to everybody.
//!
//! The actor decides (see [`crate::compose`]), signs, and hands the reply port to the writer together with the
//! message. It never waits for a commit, so a busy channel is as fast as the disk.

use muster_protocol::{
    content::ChannelOpened,
    ids::{SpaceId, WorkspaceId},
    network::{ChannelName, PeerName},
    session,
};
use muster_storage::{NewSession, NotStarted, SessionRow};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::{
    compose::{Place, SendRequest, Sent, answer},
    context::{ActiveSession, Context, lock},
    error::{CreateChannelError, SendError, StartSessionError, StopSessionError, Unavailable},
    presence::PresenceMessage,
    rest::Rest,
};

/// What a channel is told.
pub(crate) enum ChannelMessage {
    /// Send as a session of this channel. The session is known to the workspace.
    Send(Box<SendRequest>, RpcReplyPort<Result<Sent, SendError>>),
    /// Open the channel for everybody and start a session of each agent.
    Create { purpose: String, agents: Vec<String>, reply: RpcReplyPort<Result<(), CreateChannelError>> },
    /// Start a session of an agent.
    Start { agent: String, reply: RpcReplyPort<Result<SessionRow, StartSessionError>> },
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
            ChannelMessage::Create { purpose, agents, reply } => state.place.create(purpose, &agents, reply),
            ChannelMessage::Start { agent, reply } => state.place.start(agent, reply),
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
    fn new_session(&self, agent: &str) -> Result<NewSession, StartSessionError> {
        let id = session::session_id(self.context.identity.node(), self.context.random());
        let peer = PeerName::of_session(agent, &id)?;
        Ok(NewSession { id, agent: agent.to_owned(), channel: self.name.as_str().to_owned(), peer })
    }

    fn create(
        &self,
        purpose: String,
        agents: &[String],
        reply: RpcReplyPort<Result<(), CreateChannelError>>,
    ) {
        let new: Result<Vec<_>, _> = agents.iter().map(|agent| self.new_session(agent)).collect();
        let (Ok(new), Some(first)) = (new, agents.first().cloned()) else {
            // A name that makes no peer id was never registered.
            let unknown = agents.first().cloned().unwrap_or_default();
            return answer(reply, Err(CreateChannelError::UnknownAgent(unknown)));
        };
        let opened = ChannelOpened { name: self.name.as_str().to_owned(), purpose, created_by: first };
        let (space, context, started) = (self.space, self.context.clone(), new.clone());
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
                    joined(&context, space, &started);
                }
                answer(reply, result);
            },
        );
        if let Err(error) = taken {
            tracing::warn!(%error, "a channel was not created");
        }
    }

    fn start(&self, agent: String, reply: RpcReplyPort<Result<SessionRow, StartSessionError>>) {
        let new = match self.new_session(&agent) {
            Ok(new) => new,
            Err(error) => return answer(reply, Err(error)),
        };
        let (space, workspace, context, started) =
            (self.space, self.workspace, self.context.clone(), new.clone());
        let taken = self.context.store.write(
            self.context.wall_ms(),
            move |batch| batch.start_sessions(space, &[new]),
            move |result| {
                let result = match result {
                    Err(NotStarted::NotAllowed) => Err(StartSessionError::NotAllowed),
                    Err(NotStarted::UnknownAgent(agent)) => Err(StartSessionError::UnknownAgent(agent)),
                    Ok(()) => {
                        joined(&context, space, std::slice::from_ref(&started));
                        read_session(&context, workspace, &started.id)
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
        let taken = self.context.store.write(
            self.context.wall_ms(),
            move |batch| batch.stop_session(space, &session, "user_canceled"),
            move |stopped| {
                if let Some(left) = left {
                    context.tell_presence(PresenceMessage::Left(space, vec![(left.channel, left.peer)]));
                }
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

/// Sessions are durable: they may speak, and everybody is told.
fn joined(context: &Context, space: SpaceId, started: &[NewSession]) {
    let mut sessions = lock(&context.sessions);
    for new in started {
        let Ok(channel) = ChannelName::parse(&new.channel) else { continue };
        let active = ActiveSession { channel, peer: new.peer.clone(), agent: new.agent.clone() };
        sessions.insert((space, new.id.clone()), active);
    }
    drop(sessions);
    let ids = started.iter().map(|new| new.id.clone()).collect();
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
