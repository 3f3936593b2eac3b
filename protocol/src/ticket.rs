//! Tickets: the text with which a node may join a workspace.
//!
//! A ticket says where the home of the workspace is and is signed by the admin who made it. Whoever
//! holds it may use it, unless it names its holder. The home counts uses; a ticket dies by time, by
//! count, by revocation, or with its maker's right to invite.
//!
//! The text is `muster1` and the base32 of `[ticket bytes, signature]`: one case, no punctuation, so it
//! survives a chat window and makes a small QR code.

use data_encoding::BASE32_NOPAD;
use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::{
    cbor::{self, Bytes, Bytes16, Bytes64},
    control::{ControlState, Role},
    identity::{Domain, Identity, NodeId},
    ids::{SpaceId, WorkspaceId},
    limits,
};

const PREFIX: &str = "muster1";

/// What a ticket says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Ticket {
    /// The workspace's space.
    pub space: SpaceId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its name, to show before joining.
    pub name: String,
    /// The node that lets in.
    pub home: NodeId,
    /// Where the home can be reached: multiaddrs as text, at most [`limits::ADDRESSES_PER_NODE_MAX`].
    pub addresses: Vec<String>,
    /// Which invite of the control log this is.
    pub invite: Bytes16,
    /// The admin who signs.
    pub issuer: NodeId,
    /// See [`Role::code`]. For showing; what counts stands in the control log.
    pub role: u8,
    /// Unix milliseconds. For showing; what counts stands in the control log.
    pub not_after_ms: u64,
    /// The only node that may use it, or none.
    pub audience: Vec<NodeId>,
}

/// A ticket with the signature it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTicket {
    ticket: Ticket,
    bytes: Vec<u8>,
    signature: [u8; 64],
}

/// Why text is not a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Another kind of text.
    #[error("this is not a ticket; one begins with muster1 and is made with `muster invite`")]
    NotATicket,
    /// Cut off or changed on the way.
    #[error("this ticket is damaged; copy it again, whole")]
    Damaged,
    /// Not signed by the node it names as its maker.
    #[error("this ticket was altered: its signature is not its maker's")]
    Forged,
}

impl Ticket {
    /// Signs it. The signer is the issuer.
    pub fn sign(self, identity: &Identity) -> SignedTicket {
        let bytes = cbor::encode(&self);
        let signature = identity.sign(Domain::Ticket, &bytes);
        SignedTicket { ticket: self, bytes, signature }
    }
}

impl SignedTicket {
    /// What it says.
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// The canonical bytes with signature, as sent to the home.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(&(Bytes(self.bytes.clone()), Bytes64(self.signature)))
    }

    /// Reads [`Self::encode`] and checks the signature.
    pub fn decode(bytes: &[u8]) -> Result<Self, TicketError> {
        let (bytes, signature): (Bytes, Bytes64) =
            cbor::decode(bytes, limits::TICKET_BYTES_MAX).map_err(|_| TicketError::Damaged)?;
        let ticket: Ticket =
            cbor::decode(&bytes.0, limits::TICKET_BYTES_MAX).map_err(|_| TicketError::Damaged)?;
        let addresses_fit = ticket.addresses.len() <= limits::ADDRESSES_PER_NODE_MAX
            && ticket.addresses.iter().all(|address| address.len() <= limits::ADDRESS_BYTES_MAX);
        if !addresses_fit || ticket.audience.len() > 1 || Role::from_code(ticket.role).is_none() {
            return Err(TicketError::Damaged);
        }
        if !ticket.issuer.verify(Domain::Ticket, &bytes.0, &signature.0) {
            return Err(TicketError::Forged);
        }
        Ok(Self { ticket, bytes: bytes.0, signature: signature.0 })
    }
}

impl std::fmt::Display for SignedTicket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}{}", BASE32_NOPAD.encode(&self.encode()).to_lowercase())
    }
}

impl std::str::FromStr for SignedTicket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        let code = lower.strip_prefix(PREFIX).ok_or(TicketError::NotATicket)?;
        if code.len() > limits::TICKET_BYTES_MAX * 2 {
            return Err(TicketError::Damaged);
        }
        let bytes =
            BASE32_NOPAD.decode(code.to_ascii_uppercase().as_bytes()).map_err(|_| TicketError::Damaged)?;
        Self::decode(&bytes)
    }
}

/// Why the home lets nobody in with a ticket. `code` is what travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefusal {
    /// The home knows no such invite, or no such workspace.
    #[error("the workspace knows no such ticket; ask for a new one")]
    Unknown,
    /// Its time is over.
    #[error("the ticket has expired; ask for a new one")]
    Expired,
    /// Used as often as allowed.
    #[error("the ticket has been used up; ask for a new one")]
    UsedUp,
    /// Taken back.
    #[error("the ticket was revoked; ask for a new one")]
    Revoked,
    /// Made for another node.
    #[error("the ticket was made for another node")]
    NotForYou,
    /// Whoever made it may no longer invite.
    #[error("whoever made the ticket may no longer invite; ask another admin for one")]
    IssuerGone,
    /// Too many members.
    #[error("the workspace is full")]
    Full,
    /// Too many failed attempts.
    #[error("too many failed attempts; wait a minute")]
    TooOften,
    /// The request was not signed by the node that sent it.
    #[error("the request to join was not signed by the node that sent it")]
    BadRequest,
}

impl JoinRefusal {
    const ALL: [JoinRefusal; 9] = [
        JoinRefusal::Unknown,
        JoinRefusal::Expired,
        JoinRefusal::UsedUp,
        JoinRefusal::Revoked,
        JoinRefusal::NotForYou,
        JoinRefusal::IssuerGone,
        JoinRefusal::Full,
        JoinRefusal::TooOften,
        JoinRefusal::BadRequest,
    ];

    /// Its code on the wire.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The refusal of a code; an unknown one, from a newer node, counts as [`JoinRefusal::Unknown`].
    pub fn from_code(code: u8) -> Self {
        Self::ALL.get(usize::from(code)).copied().unwrap_or(JoinRefusal::Unknown)
    }
}

/// Decides at the home whether `joiner` may come in with this ticket now. Who is a member already may,
/// whatever became of the ticket since: the answer to their first request may have been lost.
pub fn redeem(
    control: &ControlState,
    ticket: &Ticket,
    joiner: NodeId,
    now_ms: u64,
) -> Result<Role, JoinRefusal> {
    if let Some(role) = control.role(joiner) {
        return Ok(role);
    }
    let invite = control.invite(&ticket.invite.0).filter(|invite| invite.by == ticket.issuer);
    let invite = invite.ok_or(JoinRefusal::Unknown)?;
    if invite.revoked {
        return Err(JoinRefusal::Revoked);
    }
    if invite.not_after_ms <= now_ms {
        return Err(JoinRefusal::Expired);
    }
    if invite.uses >= invite.uses_max {
        return Err(JoinRefusal::UsedUp);
    }
    if !control.role(invite.by).is_some_and(Role::administers) {
        return Err(JoinRefusal::IssuerGone);
    }
    if ticket.audience.first().is_some_and(|only| *only != joiner) {
        return Err(JoinRefusal::NotForYou);
    }
    if control.members().count() >= limits::MEMBERS_MAX {
        return Err(JoinRefusal::Full);
    }
    Ok(invite.role)
}
