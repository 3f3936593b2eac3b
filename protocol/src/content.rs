//! What an operation means: *effect or void*.
//!
//! The log layer stored it already (see [`crate::log`]). Here it is read, from its bytes and the control
//! log alone, so that every node comes to the same meaning. What makes no sense is void: it keeps its
//! place in the log and has no effect.

use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::{
    cbor,
    control::{ControlState, Role},
    ids::StreamId,
    limits,
    mutants::{self, Mutant},
    network::{
        ChannelName, Container, DirectId, Envelope, Pair, PeerName, WorkspaceRef, proof, read_members,
    },
    operation::{Kind, Operation},
    session,
};

/// A channel is opened, or its purpose replaced (N-117, N-119).
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct ChannelOpened {
    /// Its name.
    pub name: String,
    /// Why it exists; not blank, at most [`PURPOSE_BYTES_MAX`] bytes.
    pub purpose: String,
    /// The first agent of the call that made it.
    pub created_by: String,
}

/// Bytes of a channel's purpose.
pub const PURPOSE_BYTES_MAX: usize = 4096;

/// A direct room is opened before anything was said in it (N-38 to N-41).
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct RoomOpened {
    /// The channel both peers are in.
    pub channel: String,
    /// The room of the two in that channel (N-36).
    pub direct_id: String,
    /// The smaller peer (N-35).
    pub peer_a: String,
    /// The larger peer.
    pub peer_b: String,
}

/// A direct room, of which all parts fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its channel.
    pub channel: ChannelName,
    /// Its id.
    pub id: DirectId,
    /// Its two peers.
    pub pair: Pair,
}

/// The meaning of an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A message of the Network door.
    Envelope(Box<Envelope>),
    /// See [`ChannelOpened`].
    Channel(ChannelName, ChannelOpened),
    /// See [`RoomOpened`].
    Room(Box<Room>),
    /// None, for this reason.
    Void(Void),
}

/// Why an operation has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Void {
    /// Its body was deleted.
    #[error("its body was deleted")]
    Deleted,
    /// A kind this program does not know; a newer one wrote it.
    #[error("its kind is unknown here")]
    UnknownKind,
    /// Its envelope is not signed, or not by its author (N-73). It earns no receipt: who sent it is not known.
    #[error("its envelope does not prove who sent it")]
    Unproven,
    /// Its body breaks the rules of its kind. If it is an envelope, and JSON at all, then its author signed it: the
    /// one reason that earns a receipt (N-91).
    #[error("its body breaks the rules of its kind")]
    Malformed,
    /// It names another workspace, channel, room or addressee than the space and stream it was signed for.
    #[error("it does not belong into the space or stream it was signed for")]
    Misplaced,
    /// Its author speaks as somebody else's peer.
    #[error("its author may not speak as the peer it names")]
    Impostor,
    /// Its author's role does not allow it.
    #[error("its author's role does not allow it")]
    NotAllowed,
    /// The author used this message id before.
    #[error("its author used this message id before")]
    Repeated,
}

impl Content {
    /// Reads an operation that stands in the space of `control`: a workspace's own, or a pair space.
    pub fn read(op: &Operation, control: &ControlState) -> Self {
        match Self::try_read(op, control) {
            Ok(content) => content,
            Err(void) => Content::Void(void),
        }
    }

    fn try_read(op: &Operation, control: &ControlState) -> Result<Self, Void> {
        let header = op.header();
        let role = control.role_at(&header.log(), header.seq, header.control_height);
        if !role.is_some_and(Role::writes) {
            return Err(Void::NotAllowed);
        }
        let body = op.body().ok_or(Void::Deleted)?;
        match header.kind {
            Kind::ENVELOPE => read_envelope(op, body, control),
            Kind::CHANNEL => read_channel(op, body, control),
            Kind::DIRECT_ROOM => read_room(op, body, control),
            _ => Err(Void::UnknownKind),
        }
    }
}

fn read_channel(op: &Operation, body: &[u8], control: &ControlState) -> Result<Content, Void> {
    let opened: ChannelOpened = cbor::decode(body, limits::BODY_BYTES_MAX).map_err(|_| Void::Malformed)?;
    let name = ChannelName::parse(&opened.name).map_err(|_| Void::Malformed)?;
    if opened.purpose.trim().is_empty() || opened.purpose.len() > PURPOSE_BYTES_MAX {
        return Err(Void::Malformed);
    }
    if control.pair_nodes().is_some() {
        return Err(Void::Misplaced); // a channel is for everybody
    }
    in_stream(op, channel_stream(op, &name))?;
    Ok(Content::Channel(name, opened))
}

fn read_room(op: &Operation, body: &[u8], control: &ControlState) -> Result<Content, Void> {
    let opened: RoomOpened = cbor::decode(body, limits::BODY_BYTES_MAX).map_err(|_| Void::Malformed)?;
    let channel = ChannelName::parse(&opened.channel).map_err(|_| Void::Malformed)?;
    let peer = |name: &str| PeerName::parse(name).map_err(|_| Void::Malformed);
    let pair = Pair::of(&peer(&opened.peer_a)?, &peer(&opened.peer_b)?).map_err(|_| Void::Malformed)?;
    let id = pair.room(&workspace(control)?, &channel);
    // Names stand in their order and without blanks around them: one room has one body.
    let exact = [channel.as_str(), id.as_str(), pair.a().as_str(), pair.b().as_str()]
        == [&opened.channel, &opened.direct_id, &opened.peer_a, &opened.peer_b];
    if !exact {
        return Err(Void::Malformed);
    }
    match session::may_speak_as(op.header().author, pair.a()) {
        true => between(op, control, pair.a(), pair.b())?,
        false => between(op, control, pair.b(), pair.a())?,
    }
    in_stream(op, StreamId::direct_room(op.header().space, id.as_str()))?;
    Ok(Content::Room(Box::new(Room { channel, id, pair })))
}

fn read_envelope(op: &Operation, body: &[u8], control: &ControlState) -> Result<Content, Void> {
    let members = read_members(body).map_err(|_| Void::Malformed)?;
    let author =
        ed25519_dalek::VerifyingKey::from_bytes(op.header().author.as_bytes()).map_err(|_| Void::Impostor)?;
    match proof::classify(&members, Some(&author)) {
        proof::Trust::Verified(verified) if verified.key == author => {}
        _ => return Err(Void::Unproven),
    }
    let envelope = Envelope::from_members(members).map_err(|_| Void::Malformed)?;
    if envelope.workspace_id != workspace(control)? {
        return Err(Void::Misplaced);
    }
    let stream = if control.pair_nodes().is_some() {
        let to = envelope.to.as_ref().ok_or(Void::Misplaced)?;
        between(op, control, &envelope.from, to)?;
        match &envelope.container {
            // That it is the room of the two was checked with the envelope (N-42).
            Some(Container::Direct(room)) => StreamId::direct_room(op.header().space, room.as_str()),
            Some(Container::Thread(_)) => return Err(Void::Misplaced),
            None => channel_stream(op, &envelope.channel),
        }
    } else {
        if !session::may_speak_as(op.header().author, &envelope.from) && !mutants::is(Mutant::OpenName) {
            return Err(Void::Impostor);
        }
        // A workspace's space holds what everybody in a channel may read; what is for one peer alone
        // stands in a pair space (N-33).
        match &envelope.container {
            Some(Container::Thread(_)) => {}
            None if envelope.to.is_none() => {}
            _ => return Err(Void::Misplaced),
        }
        channel_stream(op, &envelope.channel)
    };
    in_stream(op, stream)?;
    Ok(Content::Envelope(Box::new(envelope)))
}

/// Whether the author of an operation in a pair space may speak as `from`, and the other node as `to`.
fn between(op: &Operation, control: &ControlState, from: &PeerName, to: &PeerName) -> Result<(), Void> {
    let author = op.header().author;
    let partner = control.pair_partner(author).ok_or(Void::Misplaced)?;
    if !session::may_speak_as(author, from) {
        return Err(Void::Impostor);
    }
    if from == to || !session::may_speak_as(partner, to) { Err(Void::Misplaced) } else { Ok(()) }
}

fn workspace(control: &ControlState) -> Result<WorkspaceRef, Void> {
    WorkspaceRef::parse(&control.genesis().workspace.to_string()).map_err(|_| Void::Misplaced)
}

fn channel_stream(op: &Operation, channel: &ChannelName) -> StreamId {
    StreamId::channel(op.header().space, channel.as_str())
}

fn in_stream(op: &Operation, stream: StreamId) -> Result<(), Void> {
    if op.header().stream == stream { Ok(()) } else { Err(Void::Misplaced) }
}

#[cfg(test)]
mod tests;
