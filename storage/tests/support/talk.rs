//! What is said in tests besides a plain `say` to all: to one peer, in rooms, about work, of oneself.

use std::sync::Arc;

use muster_protocol::{
    content::Room,
    identity::{Identity, NodeId},
    ids::{SpaceId, StreamId},
    network::{
        Capability, CapabilityCatalog, ChannelName, Container, DirectId, Envelope, Kind, MessageId, Pair,
        PeerCard, PeerName, ReceiptStatus, ThreadId, WorkId, WorkRecord, WorkState, WorkspaceRef, proof,
    },
    operation::{self, Draft, Operation},
    session::session_id,
};
use muster_storage::{MessagePage, MessageRow, RoomRow, SendOutcome, ThreadRow, UnknownCursor};
use serde_json::{Value, json};

use super::{Node, Session};

/// What a message says.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Said<'a> {
    Say(&'a str),
    Capability,
    Trace(WorkState),
    Receipt(ReceiptStatus),
    Greet,
    Whois,
}

impl Said<'_> {
    fn kind(self) -> Kind {
        match self {
            Said::Say(_) => Kind::Say,
            Said::Capability => Kind::Capability,
            Said::Trace(_) => Kind::Trace,
            Said::Receipt(_) => Kind::Receipt,
            Said::Greet => Kind::Greet,
            Said::Whois => Kind::Whois,
        }
    }

    fn body(self, from: &PeerName) -> Value {
        match self {
            Said::Say(text) => json!({ "text": text }),
            Said::Capability => {
                let document = json!({
                    "id": "review", "summary": "reviews", "outcome": "a review", "digest": "sha256:00",
                });
                let document: Capability = serde_json::from_value(document).unwrap();
                json!({ "capability": document.with_own_digest() })
            }
            Said::Trace(state) => json!({ "state": state, "message": format!("now {state}") }),
            Said::Receipt(ReceiptStatus::Accepted) => json!({ "for_id": "any", "status": "accepted" }),
            Said::Receipt(status) => json!({ "for_id": "any", "status": status, "reason_code": "busy" }),
            Said::Greet => {
                let card = PeerCard::local(from.clone(), None, &CapabilityCatalog::default());
                json!({ "peer_card": card })
            }
            Said::Whois => json!({ "type": "request", "query": "who" }),
        }
    }
}

/// A peer of a node that need not have a store: it says what it is told to, in logs that are made by hand.
#[derive(Clone)]
pub(crate) struct Voice {
    pub(crate) identity: Arc<Identity>,
    pub(crate) session: Session,
}

impl Voice {
    pub(crate) fn new(seed: u8, agent: &str, channel: &str) -> Self {
        let identity = Arc::new(Identity::from_seed([seed; 32]));
        let id = session_id(identity.node(), [seed; 8]);
        let peer = PeerName::of_session(agent, &id).unwrap();
        Self { identity, session: Session { id, peer, channel: channel.to_owned() } }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.identity.node()
    }
}

/// A message in the making.
#[derive(Clone)]
pub(crate) struct Message(pub(crate) Envelope);

impl Message {
    /// A message of a channel that stands nowhere yet, said at `ts` (Unix seconds).
    pub(crate) fn new(workspace: &WorkspaceRef, from: &Session, id: &str, ts: i64, said: Said<'_>) -> Self {
        Self(Envelope {
            id: MessageId::parse(id).unwrap(),
            workspace_id: workspace.clone(),
            kind: said.kind(),
            channel: ChannelName::parse(&from.channel).unwrap(),
            container: None,
            from: from.peer.clone(),
            to: None,
            work_id: None,
            reply_to: None,
            trace_id: None,
            causation_id: None,
            ts,
            expires_at: None,
            body: said.body(&from.peer).as_object().unwrap().clone(),
            proof: None,
            ext: None,
        })
    }

    pub(crate) fn thread(mut self, thread: &str) -> Self {
        self.0.container = Some(Container::Thread(ThreadId::parse(thread).unwrap()));
        self
    }

    /// In the room of sender and `to`.
    pub(crate) fn room(mut self, to: &Session) -> Self {
        let room = room_id(&self.0.workspace_id, &self.0.channel, &self.0.from, &to.peer);
        self.0.container = Some(Container::Direct(room));
        self.to(to)
    }

    pub(crate) fn to(mut self, to: &Session) -> Self {
        self.0.to = Some(to.peer.clone());
        self
    }

    pub(crate) fn work(mut self, work: &str) -> Self {
        self.0.work_id = Some(WorkId::parse(work).unwrap());
        self
    }

    pub(crate) fn expires(mut self, at_s: i64) -> Self {
        self.0.expires_at = Some(at_s);
        self
    }

    pub(crate) fn signed(mut self, by: &Identity) -> Envelope {
        proof::sign(&mut self.0, by.signing_key()).unwrap();
        self.0
    }

    /// The operation it makes in the space it belongs into: with all, or with the node `other`.
    pub(crate) fn draft(self, by: &Identity, space: SpaceId) -> Draft {
        let envelope = self.signed(by);
        let stream = match &envelope.container {
            Some(Container::Direct(room)) => StreamId::direct_room(space, room.as_str()),
            _ => StreamId::channel(space, envelope.channel.as_str()),
        };
        Draft { kind: operation::Kind::ENVELOPE, stream, body: envelope.to_json().unwrap() }
    }
}

pub(crate) fn room_id(
    workspace: &WorkspaceRef,
    channel: &ChannelName,
    one: &PeerName,
    other: &PeerName,
) -> DirectId {
    Pair::of(one, other).unwrap().room(workspace, channel)
}

impl Node {
    pub(crate) fn workspace_ref(&self, space: SpaceId) -> WorkspaceRef {
        WorkspaceRef::parse(&self.store.control(space).unwrap().genesis().workspace.to_string()).unwrap()
    }

    pub(crate) fn message(&self, space: SpaceId, from: &Session, id: &str, said: Said<'_>) -> Message {
        let ts = (self.now_ms.get() / 1000) as i64;
        Message::new(&self.workspace_ref(space), from, id, ts, said)
    }

    /// Signs and sends to all.
    pub(crate) fn tell(&self, space: SpaceId, message: Message) -> SendOutcome {
        self.send(space, &message.signed(&self.identity))
    }

    /// Signs and sends to a peer of node `other` alone.
    pub(crate) fn send_to(&self, space: SpaceId, other: NodeId, message: Message) -> SendOutcome {
        let envelope = message.signed(&self.identity);
        let json = envelope.to_json().unwrap();
        self.write(move |batch| batch.send(space, Some(other), &envelope, json))
    }

    /// Opens the room of a peer of this node and one of node `other`; false when this node may not.
    pub(crate) fn resolve(&self, space: SpaceId, other: NodeId, one: &Session, two: &Session) -> bool {
        let channel = ChannelName::parse(&one.channel).unwrap();
        let pair = Pair::of(&one.peer, &two.peer).unwrap();
        let room = Room { id: pair.room(&self.workspace_ref(space), &channel), channel, pair };
        self.write(move |batch| batch.resolve_room(space, other, &room))
    }

    pub(crate) fn pair_space(&self, space: SpaceId, other: NodeId) -> SpaceId {
        SpaceId::pair(space, self.identity.node(), other)
    }

    /// All operations of all logs of a space, log by log.
    pub(crate) fn all_logs(&self, space: SpaceId) -> Vec<Vec<Operation>> {
        let view = self.view();
        let logs = view.log_heights(space).unwrap();
        logs.into_iter().map(|(log, _)| view.log_operations(&log).unwrap()).collect()
    }

    /// Hands over what this node holds of a workspace, and of the pair space of the two.
    pub(crate) fn give(&self, other: &Node, space: SpaceId) {
        let (me, pair) = (self.identity.node(), self.pair_space(space, other.identity.node()));
        for log in self.all_logs(space) {
            other.take(space, log);
        }
        for log in self.all_logs(pair) {
            other.take_from(me, pair, log);
        }
    }

    // ---- reading ----------------------------------------------------------------------------------

    pub(crate) fn work(&self, space: SpaceId, work: &str) -> Option<WorkRecord> {
        self.view().work(&self.workspace(space), &WorkId::parse(work).unwrap()).unwrap()
    }

    pub(crate) fn state(&self, space: SpaceId, work: &str) -> Option<WorkState> {
        self.work(space, work).map(|work| work.state)
    }

    pub(crate) fn rooms(&self, space: SpaceId, channel: &str) -> Vec<RoomRow> {
        let channel = ChannelName::parse(channel).unwrap();
        self.view().rooms(&self.workspace(space), &channel, None, None, 10_000).unwrap().unwrap()
    }

    pub(crate) fn room(&self, space: SpaceId, one: &Session, other: &Session) -> Option<RoomRow> {
        let channel = ChannelName::parse(&one.channel).unwrap();
        let id = room_id(&self.workspace_ref(space), &channel, &one.peer, &other.peer);
        self.view().room(&self.workspace(space), &channel, &id).unwrap()
    }

    pub(crate) fn thread_row(&self, space: SpaceId, channel: &str, thread: &str) -> Option<ThreadRow> {
        let (channel, thread) = (ChannelName::parse(channel).unwrap(), ThreadId::parse(thread).unwrap());
        self.view().thread(&self.workspace(space), &channel, &thread).unwrap()
    }

    pub(crate) fn room_page(
        &self,
        space: SpaceId,
        room: &RoomRow,
        page: &MessagePage,
    ) -> Result<Vec<MessageRow>, UnknownCursor> {
        self.view().room_messages(&self.workspace(space), &room.channel, &room.direct_id, page).unwrap()
    }

    pub(crate) fn in_room(&self, space: SpaceId, room: &RoomRow) -> Vec<MessageRow> {
        let page = MessagePage { limit: 10_000, ..MessagePage::default() };
        self.room_page(space, room, &page).expect("no cursor")
    }

    /// What waits for a session.
    pub(crate) fn waiting(&self, space: SpaceId, session: &Session) -> Vec<Envelope> {
        let now_s = (self.now_ms.get() / 1000) as i64;
        self.view().inbox(&self.workspace(space), &session.id, now_s).unwrap()
    }
}
