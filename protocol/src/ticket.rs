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
    /// It was removed after the ticket was made.
    #[error("this node was removed from the workspace; only a ticket made after that lets it in again")]
    Removed,
    /// The home's store is a copy, and it has not heard from all members yet.
    #[error(
        "the home was restored from a copy and lets nobody in before it has heard from every member; try later"
    )]
    Unsettled,
    /// The home contradicted itself, and decides nothing any more.
    #[error("the workspace's home decided two different things at once; nobody joins it any more")]
    Forked,
}

impl JoinRefusal {
    const ALL: [JoinRefusal; 12] = [
        JoinRefusal::Unknown,
        JoinRefusal::Expired,
        JoinRefusal::UsedUp,
        JoinRefusal::Revoked,
        JoinRefusal::NotForYou,
        JoinRefusal::IssuerGone,
        JoinRefusal::Full,
        JoinRefusal::TooOften,
        JoinRefusal::BadRequest,
        JoinRefusal::Removed,
        JoinRefusal::Unsettled,
        JoinRefusal::Forked,
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
    if control.removed_at(joiner).is_some_and(|removed| invite.height < removed) {
        return Err(JoinRefusal::Removed);
    }
    if control.members().count() >= limits::MEMBERS_MAX {
        return Err(JoinRefusal::Full);
    }
    Ok(invite.role)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tests::Home;

    const NOW_MS: u64 = 1_700_000_000_000;
    const INVITE: Bytes16 = Bytes16([6; 16]);

    fn admin() -> Identity {
        Identity::from_seed([2; 32])
    }

    fn joiner() -> NodeId {
        Identity::from_seed([9; 32]).node()
    }

    fn ticket(home: &Home) -> Ticket {
        Ticket {
            space: home.state.space(),
            workspace: home.state.genesis().workspace,
            name: "builders".into(),
            home: home.state.home(),
            addresses: vec!["/ip4/192.0.2.7/udp/4001/quic-v1".into()],
            invite: INVITE,
            issuer: admin().node(),
            role: Role::Member.code(),
            not_after_ms: NOW_MS + 1,
            audience: Vec::new(),
        }
    }

    /// A home with an admin whose invite may be used twice.
    fn home() -> Home {
        let mut home = Home::new();
        home.add(admin().node(), Role::Admin);
        home.invite(INVITE, admin().node(), Role::Member.code(), NOW_MS + 1, 2);
        home
    }

    fn redeem_now(home: &Home, ticket: &Ticket) -> Result<Role, JoinRefusal> {
        redeem(&home.state, ticket, joiner(), NOW_MS)
    }

    #[test]
    fn a_good_ticket_lets_in_under_the_role_of_the_control_log() {
        let home = home();
        let claims_more = Ticket { role: Role::Admin.code(), not_after_ms: u64::MAX, ..ticket(&home) };
        assert_eq!(redeem_now(&home, &claims_more), Ok(Role::Member));
    }

    #[test]
    fn an_invite_the_home_does_not_know_or_of_another_issuer_is_unknown() {
        let home = home();
        let other = Ticket { invite: Bytes16([7; 16]), ..ticket(&home) };
        assert_eq!(redeem_now(&home, &other), Err(JoinRefusal::Unknown));
        let forged = Ticket { issuer: joiner(), ..ticket(&home) };
        assert_eq!(redeem_now(&home, &forged), Err(JoinRefusal::Unknown));
    }

    #[test]
    fn a_ticket_dies_by_time_by_count_and_by_revocation() {
        let mut home = home();
        let ticket = ticket(&home);
        assert_eq!(redeem(&home.state, &ticket, joiner(), NOW_MS + 1), Err(JoinRefusal::Expired));
        home.join(Identity::from_seed([20; 32]).node(), INVITE);
        assert_eq!(redeem_now(&home, &ticket), Ok(Role::Member));
        home.join(Identity::from_seed([21; 32]).node(), INVITE);
        assert_eq!(redeem_now(&home, &ticket), Err(JoinRefusal::UsedUp));
        home.revoke(INVITE);
        assert_eq!(redeem_now(&home, &ticket), Err(JoinRefusal::Revoked));
    }

    #[test]
    fn who_was_removed_needs_a_ticket_made_after_that() {
        let mut home = home();
        home.join(joiner(), INVITE);
        home.remove(joiner(), &[]);
        assert_eq!(redeem_now(&home, &ticket(&home)), Err(JoinRefusal::Removed));
        let again = Bytes16([8; 16]);
        home.invite(again, admin().node(), Role::Guest.code(), NOW_MS + 1, 1);
        assert_eq!(redeem_now(&home, &Ticket { invite: again, ..ticket(&home) }), Ok(Role::Guest));
    }

    #[test]
    fn a_ticket_dies_with_its_makers_right_to_invite() {
        let mut demoted = home();
        demoted.set_role(admin().node(), Role::Member, &[]);
        assert_eq!(redeem_now(&demoted, &ticket(&demoted)), Err(JoinRefusal::IssuerGone));
        let mut removed = home();
        removed.remove(admin().node(), &[]);
        assert_eq!(redeem_now(&removed, &ticket(&removed)), Err(JoinRefusal::IssuerGone));
    }

    #[test]
    fn a_ticket_for_one_node_is_for_no_other() {
        let home = home();
        let mine = Ticket { audience: vec![joiner()], ..ticket(&home) };
        assert_eq!(redeem_now(&home, &mine), Ok(Role::Member));
        let not_mine = Ticket { audience: vec![admin().node()], ..ticket(&home) };
        assert_eq!(redeem_now(&home, &not_mine), Err(JoinRefusal::NotForYou));
    }

    #[test]
    fn a_full_workspace_lets_nobody_in() {
        let mut home = home();
        for n in home.state.members().count()..limits::MEMBERS_MAX {
            let mut seed = [100; 32];
            seed[..8].copy_from_slice(&n.to_be_bytes());
            home.add(Identity::from_seed(seed).node(), Role::Guest);
        }
        assert_eq!(redeem_now(&home, &ticket(&home)), Err(JoinRefusal::Full));
    }

    #[test]
    fn who_is_in_already_may_ask_again_whatever_became_of_the_ticket() {
        let mut home = home();
        home.join(joiner(), INVITE);
        home.revoke(INVITE);
        assert_eq!(redeem(&home.state, &ticket(&home), joiner(), u64::MAX), Ok(Role::Member));
        home.remove(joiner(), &[]);
        assert_eq!(redeem_now(&home, &ticket(&home)), Err(JoinRefusal::Revoked));
    }

    #[test]
    fn the_text_of_a_ticket_never_changes_and_reads_back_in_any_case() {
        let signed = ticket(&home()).sign(&admin());
        let text = signed.to_string();
        insta::assert_snapshot!(text);
        assert_eq!(text.parse(), Ok(signed.clone()));
        assert_eq!(format!(" {}\n", text.to_uppercase()).parse(), Ok(signed.clone()));
        assert_eq!(SignedTicket::decode(&signed.encode()), Ok(signed));
    }

    #[test]
    fn other_text_half_a_ticket_and_a_changed_one_are_told_apart() {
        let text = ticket(&home()).sign(&admin()).to_string();
        assert_eq!("hello".parse::<SignedTicket>(), Err(TicketError::NotATicket));
        assert_eq!(text[..text.len() / 2].parse::<SignedTicket>(), Err(TicketError::Damaged));
        let forged = ticket(&home()).sign(&Identity::from_seed([3; 32])).to_string();
        assert_eq!(forged.parse::<SignedTicket>(), Err(TicketError::Forged));
        let endless = format!("{PREFIX}{}", "a".repeat(10 * limits::TICKET_BYTES_MAX));
        assert_eq!(endless.parse::<SignedTicket>(), Err(TicketError::Damaged));
    }

    #[test]
    fn a_ticket_outside_its_limits_is_damaged() {
        let good = ticket(&home());
        for bad in [
            Ticket { addresses: vec![String::new(); limits::ADDRESSES_PER_NODE_MAX + 1], ..good.clone() },
            Ticket { addresses: vec!["a".repeat(limits::ADDRESS_BYTES_MAX + 1)], ..good.clone() },
            Ticket { audience: vec![joiner(); 2], ..good.clone() },
            Ticket { role: 4, ..good.clone() },
            Ticket { name: "n".repeat(limits::TICKET_BYTES_MAX), ..good.clone() },
        ] {
            assert_eq!(SignedTicket::decode(&bad.sign(&admin()).encode()), Err(TicketError::Damaged));
        }
    }

    #[test]
    fn the_largest_ticket_still_reads() {
        let good = ticket(&home());
        let large = Ticket {
            name: "ü".repeat(limits::NAME_CHARS_MAX),
            addresses: vec!["a".repeat(limits::ADDRESS_BYTES_MAX); limits::ADDRESSES_PER_NODE_MAX],
            audience: vec![joiner()],
            ..good
        };
        let signed = large.sign(&admin());
        assert_eq!(signed.to_string().parse(), Ok(signed));
    }

    #[test]
    fn every_refusal_keeps_its_code() {
        for (code, refusal) in JoinRefusal::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(refusal.code()), code);
            assert_eq!(JoinRefusal::from_code(refusal.code()), refusal);
        }
        assert_eq!(JoinRefusal::from_code(200), JoinRefusal::Unknown);
    }
}
