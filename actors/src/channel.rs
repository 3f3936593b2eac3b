//! One channel: its sessions, and what they send.
//!
//! The actor decides what needs no stored record (who speaks, who is there, whether the envelope keeps
//! the rules), signs, and hands the reply port to the writer together with the message. It never waits
//! for a commit, so a busy channel is as fast as the disk. What rests on stored records (was this id used
//! before?) is decided inside the transaction.

use std::{sync::Arc, time::Duration};

use muster_protocol::{
    content::ChannelOpened,
    ids::{SpaceId, WorkspaceId},
    limits,
    network::{self, ChannelName, Container, Envelope, Kind, MessageId, PeerName, Refusal, proof},
    session,
};
use muster_storage::{NotStarted, SendOutcome, SessionRow};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use serde_json::{Map, Value};

use crate::{
    context::{ActiveSession, Context, lock},
    error::{CreateChannelError, SendError, StartSessionError, StopSessionError, Unavailable},
    presence::PresenceMessage,
    session::{SessionMessage, StartingSession},
    workspaces::WorkspacesMessage,
};

/// A message to be sent, as the caller gave it.
#[derive(Debug, Clone, Default)]
pub struct SendRequest {
    /// The sending session; it decides the sender.
    pub session_id: String,
    /// The channel.
    pub channel: String,
    /// One of the six kinds.
    pub kind: String,
    /// `thread` or `direct`.
    pub surface: Option<String>,
    /// Thread, when the surface is one.
    pub thread_id: Option<String>,
    /// Room, when the surface is one.
    pub direct_id: Option<String>,
    /// The addressed peer.
    pub to: Option<String>,
    /// The body; an object of the kind's shape.
    pub body: Value,
    /// The work it belongs to.
    pub work_id: Option<String>,
    /// What it answers.
    pub reply_to: Option<String>,
    /// What it is traced under.
    pub trace_id: Option<String>,
    /// What caused it.
    pub causation_id: Option<String>,
    /// Unix seconds.
    pub expires_at: Option<i64>,
    /// The caller's own id, the key for safe retries.
    pub id: Option<String>,
    /// Opaque members.
    pub ext: Option<Map<String, Value>>,
}

/// A message that is stored, now or before.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The message.
    pub envelope: Envelope,
    /// Its place in its channel's timeline on this node; none when it was sent before.
    pub sequence: Option<u64>,
}

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

pub(crate) struct Place {
    pub(crate) context: Arc<Context>,
    pub(crate) space: SpaceId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) name: ChannelName,
}

pub(crate) struct State {
    place: Place,
    active_ms: u64,
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
        let state = State { active_ms: place.context.monotonic_ms(), place };
        state.watch_idle(&myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        if let ChannelMessage::Idle(since_ms) = message {
            if state.active_ms == since_ms {
                state.place.forget(&myself);
                myself.drain()?; // what came in the meantime is still handled
            } else {
                state.watch_idle(&myself);
            }
            return Ok(());
        }
        state.active_ms = state.place.context.monotonic_ms();
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
        state.place.forget(&myself);
        Ok(())
    }
}

impl State {
    fn watch_idle(&self, myself: &ActorRef<ChannelMessage>) {
        let since_ms = self.active_ms;
        let idle_ms = self.place.context.monotonic_ms().saturating_sub(since_ms);
        let wait = limits::IDLE_REST.saturating_sub(Duration::from_millis(idle_ms));
        myself.send_after(wait, move || ChannelMessage::Idle(since_ms));
    }
}

/// Answers; whoever asked may have stopped waiting, which changes nothing.
fn answer<T: Send + 'static>(reply: RpcReplyPort<T>, result: T) {
    let _ = reply.send(result);
}

impl Place {
    fn forget(&self, myself: &ActorRef<ChannelMessage>) {
        let mut channels = lock(&self.context.channels);
        let key = (self.space, self.name.clone());
        if channels.get(&key).is_some_and(|actor| actor.get_id() == myself.get_id()) {
            channels.remove(&key);
        }
    }

    // ---- sending --------------------------------------------------------------------------------

    fn send(&self, request: SendRequest, reply: RpcReplyPort<Result<Sent, SendError>>) {
        let decided = self.envelope(request).and_then(|envelope| {
            let json = envelope.to_json()?;
            Ok((envelope, json))
        });
        let (envelope, json) = match decided {
            Ok(decided) => decided,
            Err(error) => {
                self.context.counters.rejected(None);
                return answer(reply, Err(error));
            }
        };
        let space = self.space;
        let sent = envelope.clone();
        // The reply port goes with the message; when the queue is full it is needed back here.
        let reply = Arc::new(std::sync::Mutex::new(Some(reply)));
        let port = reply.clone();
        let taken = self.context.store.write(
            self.context.wall_ms(),
            move |batch| batch.send(space, &envelope, json),
            move |outcome| {
                if let Some(reply) = lock(&port).take() {
                    answer(reply, sent_result(sent, outcome));
                }
            },
        );
        if let Err(error) = taken
            && let Some(reply) = lock(&reply).take()
        {
            answer(reply, Err(error.into()));
        }
    }

    /// Builds, checks and signs the envelope, in the order of N-79 from the secrets on.
    fn envelope(&self, request: SendRequest) -> Result<Envelope, SendError> {
        let now_s = (self.context.wall_ms() / 1000) as i64;
        check_secrets(&request)?;
        let sender = self.sender(&request.session_id);
        let placeholder = PeerName::parse("sender").expect("a plain word is a peer name");
        let members = self.members(&request, sender.as_ref().unwrap_or(&placeholder), now_s);
        let mut envelope = match (Envelope::from_members(members), sender) {
            (Err(refusal), None) if !comes_before_the_session(&refusal) => {
                return Err(SendError::NotInChannel);
            }
            (envelope, None) => {
                return Err(envelope.map_or_else(SendError::from, |_| SendError::NotInChannel));
            }
            (envelope, Some(_)) => envelope?,
        };
        let max_age_s = self.context.settings.network.max_replay_age.as_secs() as i64;
        envelope.check_fresh(now_s, max_age_s)?;
        if envelope.kind != Kind::Say || !matches!(envelope.container, Some(Container::Thread(_))) {
            return Err(SendError::NotCarried);
        }
        if let Some(to) = &envelope.to
            && !self.is_visible(to)
        {
            return Err(SendError::TargetNotVisible);
        }
        proof::sign(&mut envelope, self.context.identity.signing_key())?;
        Ok(envelope)
    }

    /// The peer of a session that is active in this channel.
    fn sender(&self, session: &str) -> Option<PeerName> {
        let sessions = lock(&self.context.sessions);
        let session = sessions.get(&(self.space, session.trim().to_owned()))?;
        (session.channel == self.name).then(|| session.peer.clone())
    }

    /// The envelope's JSON members around the request (N-80).
    fn members(&self, request: &SendRequest, from: &PeerName, now_s: i64) -> Map<String, Value> {
        let id = match request.id.as_deref().map(str::trim) {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => MessageId::from_entropy(self.context.random()).as_str().to_owned(),
        };
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| {
            members.insert(name.to_owned(), value);
        };
        put("protocol", network::PROTOCOL.into());
        put("id", id.into());
        put("workspace_id", self.workspace.to_string().into());
        put("kind", request.kind.trim().into());
        put("channel", self.name.as_str().into());
        put("from", from.as_str().into());
        put("ts", now_s.into());
        put("body", request.body.clone());
        let texts = [
            ("surface", &request.surface),
            ("thread_id", &request.thread_id),
            ("direct_id", &request.direct_id),
            ("to", &request.to),
            ("work_id", &request.work_id),
            ("reply_to", &request.reply_to),
            ("trace_id", &request.trace_id),
            ("causation_id", &request.causation_id),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                put(name, text.clone().into());
            }
        }
        if let Some(expires_at) = request.expires_at {
            put("expires_at", expires_at.into());
        }
        if let Some(ext) = &request.ext {
            put("ext", Value::Object(ext.clone()));
        }
        members
    }

    /// Whether a peer is in this channel now, here or elsewhere (N-81).
    fn is_visible(&self, peer: &PeerName) -> bool {
        let local = session::session_of(peer).is_some_and(|id| self.sender(id).as_ref() == Some(peer));
        if local {
            return true;
        }
        let interval_ms = self.context.settings.network.greet_interval.as_millis() as u64;
        let key = (self.space, self.name.clone(), peer.clone());
        self.context.presence.is_visible(&key, self.context.monotonic_ms(), interval_ms)
    }

    // ---- sessions -------------------------------------------------------------------------------

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

/// Secrets in what the caller chose freely (N-13).
fn check_secrets(request: &SendRequest) -> Result<(), SendError> {
    let parts = [("body", request.body.as_object()), ("ext", request.ext.as_ref())];
    for (part, members) in parts {
        if let Some(members) = members {
            network::secrets::check_members(part, members).map_err(Refusal::from)?;
        }
    }
    Ok(())
}

/// Whether N-79 puts a refusal before the question who speaks: what is missing, kind, surface, container, work.
fn comes_before_the_session(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Missing { .. }
        | Refusal::RetiredMember { .. }
        | Refusal::RetiredKind { .. }
        | Refusal::UnknownKind
        | Refusal::Surface(_) => true,
        Refusal::WrongType { member, .. } => *member == "body",
        Refusal::BadName { member, .. } => matches!(*member, "thread_id" | "direct_id" | "work_id"),
        _ => false,
    }
}

fn sent_result(envelope: Envelope, outcome: SendOutcome) -> Result<Sent, SendError> {
    match outcome {
        SendOutcome::Stored { sequence } => Ok(Sent { envelope, sequence: Some(sequence) }),
        SendOutcome::Repeated => Ok(Sent { envelope, sequence: None }),
        SendOutcome::Conflict => Err(SendError::IdConflict),
        SendOutcome::NotAllowed => Err(SendError::NotAMember),
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
            context.tell_workspaces(WorkspacesMessage::Serve(space, workspace, new.id, program));
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
