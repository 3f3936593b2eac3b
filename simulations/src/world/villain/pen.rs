//! What a villain writes with: a key, a session, and a log in each space.

use std::{collections::BTreeMap, sync::Arc};

use curve25519_dalek::Scalar;
use ed25519_dalek::hazmat::ExpandedSecretKey;
use muster_protocol::{
    clock::Hlc,
    identity::{Identity, NodeId},
    ids::{OpId, SpaceId, StreamId, WorkspaceId},
    network::{ChannelName, Envelope, Pair, PeerName, WorkspaceRef, proof},
    operation::{Draft, Kind, Operation, Place},
    session::session_id,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

/// How the ids of all messages of villains begin.
pub(super) const ID_PREFIX: &str = "msg-mallory-";

/// How it stands in one space.
#[derive(Clone, Copy)]
struct Log {
    incarnation: u64,
    seq: u64,
    prev: OpId,
    hlc: Hlc,
    control_height: u64,
}

/// See the module.
pub(super) struct Pen {
    identity: Arc<Identity>,
    workspace: WorkspaceId,
    pub(super) space: SpaceId,
    pub(super) session: PeerName,
    logs: BTreeMap<SpaceId, Log>,
    written: u64,
}

impl Pen {
    pub(super) fn new(
        identity: &Arc<Identity>,
        workspace: WorkspaceId,
        space: SpaceId,
        secret: [u8; 8],
    ) -> Self {
        let session = PeerName::of_session("mallory", &session_id(identity.node(), secret));
        Self {
            identity: Arc::clone(identity),
            workspace,
            space,
            session: session.expect("the name of a session is one of a peer"),
            logs: BTreeMap::new(),
            written: 0,
        }
    }

    fn log(&mut self, space: SpaceId) -> &mut Log {
        let new = Log { incarnation: 1, seq: 0, prev: OpId::NONE, hlc: Hlc(0), control_height: 1 };
        self.logs.entry(space).or_insert(new)
    }

    /// Begins another log in a space.
    pub(super) fn turn(&mut self, space: SpaceId) {
        let log = self.log(space);
        *log = Log { incarnation: log.incarnation + 1, seq: 0, prev: OpId::NONE, ..*log };
        log.hlc = Hlc(0);
    }

    /// The place behind the newest operation of the log in a space.
    pub(super) fn place(&mut self, space: SpaceId, control_height: u64, now_ms: u64) -> Place {
        let log = self.log(space);
        Place {
            space,
            incarnation: log.incarnation,
            seq: log.seq + 1,
            prev: log.prev,
            hlc: Hlc(log.hlc.0 + 1).max(Hlc::from_ms(now_ms)),
            control_height: control_height.max(log.control_height),
        }
    }

    /// Signs something, and does not go on behind it.
    pub(super) fn sign(&self, place: Place, kind: Kind, stream: StreamId, body: Vec<u8>) -> Operation {
        Operation::sign(&self.identity, place, Draft { kind, stream, body })
    }

    /// The wire form of an operation of its own under a signature whose commitment is the neutral element: the
    /// equation of ed25519 holds, and nobody had to be asked. Strict verification refuses it, as RFC 8032 lets it
    /// ("Taming the many EdDSAs", 2020, has the whole family).
    pub(super) fn sign_loosely(&self, op: &Operation) -> Vec<u8> {
        let key = ExpandedSecretKey::from(self.identity.signing_key().as_bytes());
        let mut commitment = [0; 32];
        commitment[0] = 1;
        let mut sha = Sha512::new();
        sha.update(commitment);
        sha.update(self.identity.node().as_bytes());
        sha.update(b"muster/op/v1\0");
        sha.update(op.header_bytes());
        let challenge = Scalar::from_bytes_mod_order_wide(&sha.finalize().into());
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&commitment);
        signature[32..].copy_from_slice((challenge * key.scalar).as_bytes());
        let loose =
            Operation::from_parts(op.header_bytes().to_vec(), signature, op.body().map(<[u8]>::to_vec));
        loose.expect("only its signature is another").encode()
    }

    /// Goes on behind an operation.
    pub(super) fn follow(&mut self, op: &Operation) {
        let header = op.header();
        *self.log(header.space) = Log {
            incarnation: header.incarnation,
            seq: header.seq,
            prev: op.id(),
            hlc: header.hlc,
            control_height: header.control_height,
        };
    }

    /// The body of a message in a thread.
    pub(super) fn message(
        &mut self,
        from: &PeerName,
        channel: &str,
        thread: &str,
        now_ms: u64,
    ) -> Option<Vec<u8>> {
        self.envelope(from, channel, now_ms, json!({ "surface": "thread", "thread_id": thread }))
    }

    /// An id that nobody else uses.
    fn id(&self) -> String {
        let [a, b, ..] = *self.identity.node().as_bytes();
        format!("{ID_PREFIX}{a}-{b}-{}", self.written)
    }

    fn envelope(&mut self, from: &PeerName, channel: &str, now_ms: u64, container: Value) -> Option<Vec<u8>> {
        self.written += 1;
        let mut members = json!({
            "protocol": "agh-network/v0", "id": self.id(), "kind": "say",
            "workspace_id": self.workspace.to_string(), "channel": channel, "from": from.as_str(),
            "ts": now_ms / 1000, "body": { "text": format!("{} of {}", self.written, self.session.as_str()) },
        });
        members.as_object_mut()?.extend(container.as_object()?.clone());
        let mut envelope = Envelope::from_members(members.as_object()?.clone()).ok()?;
        proof::sign(&mut envelope, self.identity.signing_key()).ok()?;
        envelope.to_json().ok()
    }

    /// The next operation of the workspace's log: a message in a thread.
    pub(super) fn say(&mut self, channel: &str, thread: &str, height: u64, now_ms: u64) -> Option<Operation> {
        let (space, session) = (self.space, self.session.clone());
        let body = self.message(&session, channel, thread, now_ms)?;
        let place = self.place(space, height, now_ms);
        let op = self.sign(place, Kind::ENVELOPE, StreamId::channel(space, channel), body);
        self.follow(&op);
        Some(op)
    }

    /// The next operation of the log it shares with one node: a message to one of its peers.
    pub(super) fn whisper(
        &mut self,
        node: NodeId,
        channel: &str,
        peer: &str,
        now_ms: u64,
    ) -> Option<Operation> {
        let space = SpaceId::pair(self.space, self.identity.node(), node);
        let (from, to) = (self.session.clone(), PeerName::parse(peer).ok()?);
        let workspace = WorkspaceRef::parse(&self.workspace.to_string()).ok()?;
        let room = Pair::of(&from, &to).ok()?.room(&workspace, &ChannelName::parse(channel).ok()?);
        let container = json!({ "surface": "direct", "direct_id": room.as_str(), "to": peer });
        let body = self.envelope(&from, channel, now_ms, container)?;
        let place = self.place(space, 1, now_ms);
        let op = self.sign(place, Kind::ENVELOPE, StreamId::direct_room(space, room.as_str()), body);
        self.follow(&op);
        Some(op)
    }
}
