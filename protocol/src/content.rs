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
    network::{ChannelName, Envelope, proof, read_members},
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

/// The meaning of an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A message of the Network door.
    Envelope(Box<Envelope>),
    /// See [`ChannelOpened`].
    Channel(ChannelName, ChannelOpened),
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
    /// Its body breaks the rules of its kind.
    #[error("its body breaks the rules of its kind")]
    Malformed,
    /// It names another workspace or stream than it was signed for.
    #[error("it names another workspace or channel than it was signed for")]
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
    /// Reads an operation that stands in a workspace's space.
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
            Kind::CHANNEL => {
                let opened: ChannelOpened =
                    cbor::decode(body, limits::BODY_BYTES_MAX).map_err(|_| Void::Malformed)?;
                let name = ChannelName::parse(&opened.name).map_err(|_| Void::Malformed)?;
                if opened.purpose.trim().is_empty() || opened.purpose.len() > PURPOSE_BYTES_MAX {
                    return Err(Void::Malformed);
                }
                in_place(op, &name)?;
                Ok(Content::Channel(name, opened))
            }
            _ => Err(Void::UnknownKind),
        }
    }
}

fn read_envelope(op: &Operation, body: &[u8], control: &ControlState) -> Result<Content, Void> {
    let members = read_members(body).map_err(|_| Void::Malformed)?;
    let author =
        ed25519_dalek::VerifyingKey::from_bytes(op.header().author.as_bytes()).map_err(|_| Void::Impostor)?;
    if let proof::Trust::Rejected(_) = proof::classify(&members, Some(&author)) {
        return Err(Void::Malformed);
    }
    let envelope = Envelope::from_members(members).map_err(|_| Void::Malformed)?;
    if envelope.workspace_id.as_str() != control.genesis().workspace.to_string() {
        return Err(Void::Misplaced);
    }
    if !session::may_speak_as(op.header().author, &envelope.from) {
        return Err(Void::Impostor);
    }
    // A workspace's space holds what everybody in a channel may read: presence travels by gossip (N-138),
    // and a direct room has a space of its own (N-33).
    if envelope.container.as_ref().and_then(|container| container.thread_id()).is_none() {
        return Err(Void::Misplaced);
    }
    in_place(op, &envelope.channel)?;
    Ok(Content::Envelope(Box::new(envelope)))
}

fn in_place(op: &Operation, channel: &ChannelName) -> Result<(), Void> {
    let stream = StreamId::channel(op.header().space, channel.as_str());
    if op.header().stream == stream { Ok(()) } else { Err(Void::Misplaced) }
}
