//! How a message of a session is made: who speaks, whom it is for, the envelope around the request, and the way to
//! the writer.
//!
//! What needs no stored record is decided here: who speaks, who is there, whether the envelope keeps the rules. What
//! rests on stored records (was this id used before? what does the work allow?) is decided inside the transaction.

use std::sync::{Arc, Mutex};

use muster_protocol::{
    content::Room,
    identity::NodeId,
    ids::{SpaceId, WorkspaceId},
    network::{
        self, ChannelName, Container, Envelope, MessageId, Pair, PeerName, Refusal, SurfaceError,
        WorkspaceRef, proof,
    },
    session,
};
use muster_storage::SendOutcome;
use ractor::RpcReplyPort;
use serde_json::{Map, Value};

use crate::{
    context::{Context, lock},
    error::SendError,
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

/// A message that is signed and may be stored.
pub(crate) struct Outgoing {
    envelope: Envelope,
    json: Vec<u8>,
    /// The node of the one peer that gets it; everybody does when there is none.
    only: Option<NodeId>,
}

/// A channel of a workspace, as whoever speaks in it sees it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) context: Arc<Context>,
    pub(crate) space: SpaceId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) name: ChannelName,
}

/// Answers; whoever asked may have stopped waiting, which changes nothing.
pub(crate) fn answer<T: Send + 'static>(reply: RpcReplyPort<T>, result: T) {
    let _ = reply.send(result);
}

impl Place {
    /// Sends a message as a session of this channel; answers once it is durable, or refused.
    pub(crate) fn send(&self, request: SendRequest, reply: RpcReplyPort<Result<Sent, SendError>>) {
        match self.envelope(request) {
            Ok(outgoing) => self.post(outgoing, move |result| answer(reply, result)),
            Err(error) => {
                self.context.counters.rejected(None);
                answer(reply, Err(error));
            }
        }
    }

    /// Hands a message to the writer; `done` hears what became of it.
    pub(crate) fn post(
        &self,
        outgoing: Outgoing,
        done: impl FnOnce(Result<Sent, SendError>) + Send + 'static,
    ) {
        let Outgoing { envelope, json, only } = outgoing;
        let (space, sent, context) = (self.space, envelope.clone(), self.context.clone());
        // `done` goes with the message; when the queue is full it is needed back here.
        let done = Arc::new(Mutex::new(Some(done)));
        let later = done.clone();
        let taken = self.context.store.write(
            self.context.wall_ms(),
            move |batch| batch.send(space, only, &envelope, json),
            move |outcome| {
                let kind = sent.kind;
                let result = sent_result(sent, outcome);
                if result.is_err() {
                    context.counters.rejected(Some(kind));
                }
                if let Some(done) = lock(&later).take() {
                    done(result);
                }
            },
        );
        if let Err(error) = taken
            && let Some(done) = lock(&done).take()
        {
            done(Err(error.into()));
        }
    }

    /// Builds, checks and signs the envelope, in the order of N-79 from the secrets on.
    fn envelope(&self, request: SendRequest) -> Result<Outgoing, SendError> {
        let now_s = (self.context.wall_ms() / 1000) as i64;
        check_secrets(&request)?;
        let sender = self.sender(&request.session_id);
        let placeholder = PeerName::parse("sender").expect("a plain word is a peer name");
        let members = self.members(&request, sender.as_ref().unwrap_or(&placeholder), now_s);
        let envelope = match (Envelope::from_members(members), sender) {
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
        let target = match &envelope.to {
            Some(to) => match self.node_of(to) {
                Some(node) => Some(node),
                None => Some(self.node_of_retry(&envelope, to)?.ok_or(SendError::TargetNotVisible)?),
            },
            None => None,
        };
        if envelope.container.is_none() && envelope.to.as_ref() == Some(&envelope.from) {
            return Err(Refusal::from(SurfaceError::SamePeer).into());
        }
        self.sign(envelope, target)
    }

    /// The node of a peer that is not there now, when what it is sent was sent before: a retry is harmless, and tells
    /// its sender that all is well (N-83).
    fn node_of_retry(&self, envelope: &Envelope, to: &PeerName) -> Result<Option<NodeId>, SendError> {
        if !self.context.store.view()?.was_sent(self.space, &envelope.from, &envelope.id)? {
            return Ok(None);
        }
        let control = self.context.store.control(self.space);
        let mut nodes = control.iter().flat_map(|control| control.everybody().map(|(node, _)| node));
        Ok(nodes.find(|node| session::may_speak_as(*node, to)))
    }

    /// Signs an envelope whose target is a peer of node `target`, and decides who gets it: what stands in a thread
    /// is for everybody, also when it names a peer (N-31, N-96), other directed messages are for that peer alone.
    pub(crate) fn sign(&self, mut envelope: Envelope, target: Option<NodeId>) -> Result<Outgoing, SendError> {
        proof::sign(&mut envelope, self.context.identity.signing_key())?;
        let json = envelope.to_json()?;
        let public = matches!(envelope.container, Some(Container::Thread(_)));
        Ok(Outgoing { envelope, json, only: target.filter(|_| !public) })
    }

    /// The peer of a session that is active in this channel.
    pub(crate) fn sender(&self, session: &str) -> Option<PeerName> {
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

    /// The room of two peers in this channel (N-36).
    pub(crate) fn room(&self, pair: Pair) -> Option<Room> {
        let workspace = WorkspaceRef::parse(&self.workspace.to_string()).ok()?;
        Some(Room { channel: self.name.clone(), id: pair.room(&workspace, &self.name), pair })
    }

    /// The node of a peer that is in this channel now, here or elsewhere (N-81).
    pub(crate) fn node_of(&self, peer: &PeerName) -> Option<NodeId> {
        let local = session::session_of(peer).is_some_and(|id| self.sender(id).as_ref() == Some(peer));
        if local {
            return Some(self.context.identity.node());
        }
        let interval_ms = self.context.settings.network.greet_interval.as_millis() as u64;
        let key = (self.space, self.name.clone(), peer.clone());
        let node = self.context.presence.node_of(&key, self.context.monotonic_ms(), interval_ms)?;
        let control = self.context.store.control(self.space)?;
        control.role(node).is_some().then_some(node)
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
        SendOutcome::Work(refusal) => Err(refusal.into()),
    }
}
