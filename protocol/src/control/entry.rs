//! What a home decides: the entries of a control log, and the roles they give.

use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::{
    cbor::{self, Bytes, Bytes16, CborError},
    identity::NodeId,
    ids::{SpaceId, WorkspaceId, hash},
    limits,
    operation::Kind,
};

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads.
    Guest,
    /// Reads and writes.
    Member,
    /// Also invites and removes.
    Admin,
    /// The founder; cannot be removed, and alone moves the home.
    Owner,
}

impl Role {
    /// Its name in all doors.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Guest => "guest",
            Role::Member => "member",
            Role::Admin => "admin",
            Role::Owner => "owner",
        }
    }

    /// Whether it may invite and remove.
    pub fn administers(self) -> bool {
        self >= Role::Admin
    }

    /// Whether it may write into the workspace.
    pub fn writes(self) -> bool {
        self >= Role::Member
    }

    /// Its code in signed bytes.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The role of a code.
    pub fn from_code(code: u8) -> Option<Self> {
        [Role::Guest, Role::Member, Role::Admin, Role::Owner].get(usize::from(code)).copied()
    }
}

impl std::str::FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        [Role::Guest, Role::Member, Role::Admin, Role::Owner]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(UnknownRole)
    }
}

/// Text that names no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a role is one of owner, admin, member, guest")]
pub struct UnknownRole;

/// The first entry: a workspace is founded. Its hash is the space's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Genesis {
    /// The public id.
    pub workspace: WorkspaceId,
    /// Its name.
    pub name: String,
    /// Its founder and home.
    pub founder: NodeId,
    /// The founder's name.
    pub founder_name: String,
    /// When, in Unix milliseconds.
    pub created_ms: u64,
    /// The parent workspace: none or one.
    pub parent: Vec<WorkspaceId>,
}

impl Genesis {
    /// The space it begins.
    pub fn space(&self) -> SpaceId {
        SpaceId(hash("muster/space/v1", &[&cbor::encode(self)]))
    }
}

/// A node is let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct MemberAdded {
    /// Who.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// See [`Role::code`].
    pub role: u8,
    /// The invite it came with.
    pub invite: Bytes16,
    /// The signed request to join, so that anybody can see that the node asked.
    pub evidence: Bytes,
}

/// How much of a log the home had seen: incarnation and seq.
pub type CutOff = (u64, u64);

/// A member's role changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct RoleSet {
    /// Who.
    pub node: NodeId,
    /// See [`Role::code`].
    pub role: u8,
    /// What was written under the old role.
    pub cut_offs: Vec<CutOff>,
    /// The signed request of an admin elsewhere; empty when the home itself decided.
    pub evidence: Bytes,
}

/// A node is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct MemberRemoved {
    /// Who.
    pub node: NodeId,
    /// What it wrote as a member.
    pub cut_offs: Vec<CutOff>,
    /// The signed request of an admin elsewhere; empty when the home itself decided.
    pub evidence: Bytes,
}

/// A ticket may be used from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct InviteCreated {
    /// Its id, a ULID.
    pub invite: Bytes16,
    /// The admin who signs the ticket.
    pub by: NodeId,
    /// The role it gives; see [`Role::code`].
    pub role: u8,
    /// Until when, in Unix milliseconds of the home's clock.
    pub not_after_ms: u64,
    /// How often.
    pub uses_max: u32,
    /// The signed request of an admin elsewhere; empty when the home itself decided.
    pub evidence: Bytes,
}

/// A ticket may no longer be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct InviteRevoked {
    /// Its id.
    pub invite: Bytes16,
    /// The signed request of an admin elsewhere; empty when the home itself decided.
    pub evidence: Bytes,
}

/// From the next height on another node decides. It has to be an admin or the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct HomeMoved {
    /// Who.
    pub node: NodeId,
    /// The owner's signed request; empty when the owner's own node is the home that moves.
    pub evidence: Bytes,
}

/// A person or a bot takes a slug, once and for all: it names nobody else in the workspace afterwards (W-110).
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct SlugTaken {
    /// The node that is home to whom it names; its id has to be of that node.
    pub node: NodeId,
    /// Who, as text.
    pub principal: String,
    /// See [`crate::principal::Slug`].
    pub slug: String,
    /// The signed request of the home of the principal; empty when that is the home of the workspace, too.
    pub evidence: Bytes,
}

/// The first entry of a group space (see [`crate::control::ControlState::group`]). Its hash is the space's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct GroupBegun {
    /// The space of the workspace it belongs to.
    pub workspace: SpaceId,
    /// The node that decides who belongs to it.
    pub home: NodeId,
    /// Random, so that a node begins as many as it likes.
    pub nonce: Bytes16,
}

impl GroupBegun {
    /// The space it begins.
    pub fn space(&self) -> SpaceId {
        SpaceId(hash("muster/group/v1", &[&cbor::encode(self)]))
    }
}

/// The body of an entry of the control log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// See [`Genesis`].
    Genesis(Genesis),
    /// See [`MemberAdded`].
    MemberAdded(MemberAdded),
    /// See [`RoleSet`].
    RoleSet(RoleSet),
    /// See [`MemberRemoved`].
    MemberRemoved(MemberRemoved),
    /// See [`InviteCreated`].
    InviteCreated(InviteCreated),
    /// See [`InviteRevoked`].
    InviteRevoked(InviteRevoked),
    /// See [`HomeMoved`].
    HomeMoved(HomeMoved),
    /// See [`SlugTaken`].
    SlugTaken(SlugTaken),
    /// See [`GroupBegun`].
    GroupBegun(GroupBegun),
}

impl Entry {
    /// Its kind and the bytes of its body.
    pub fn encode(&self) -> (Kind, Vec<u8>) {
        match self {
            Entry::Genesis(body) => (Kind::GENESIS, cbor::encode(body)),
            Entry::MemberAdded(body) => (Kind::MEMBER_ADDED, cbor::encode(body)),
            Entry::RoleSet(body) => (Kind::ROLE_SET, cbor::encode(body)),
            Entry::MemberRemoved(body) => (Kind::MEMBER_REMOVED, cbor::encode(body)),
            Entry::InviteCreated(body) => (Kind::INVITE_CREATED, cbor::encode(body)),
            Entry::InviteRevoked(body) => (Kind::INVITE_REVOKED, cbor::encode(body)),
            Entry::HomeMoved(body) => (Kind::HOME_MOVED, cbor::encode(body)),
            Entry::SlugTaken(body) => (Kind::SLUG_TAKEN, cbor::encode(body)),
            Entry::GroupBegun(body) => (Kind::GROUP_BEGUN, cbor::encode(body)),
        }
    }

    /// Reads the body of an operation.
    pub fn decode(kind: Kind, body: &[u8]) -> Result<Self, CborError> {
        let max = limits::BODY_BYTES_MAX;
        match kind {
            Kind::GENESIS => cbor::decode(body, max).map(Entry::Genesis),
            Kind::MEMBER_ADDED => cbor::decode(body, max).map(Entry::MemberAdded),
            Kind::ROLE_SET => cbor::decode(body, max).map(Entry::RoleSet),
            Kind::MEMBER_REMOVED => cbor::decode(body, max).map(Entry::MemberRemoved),
            Kind::INVITE_CREATED => cbor::decode(body, max).map(Entry::InviteCreated),
            Kind::INVITE_REVOKED => cbor::decode(body, max).map(Entry::InviteRevoked),
            Kind::HOME_MOVED => cbor::decode(body, max).map(Entry::HomeMoved),
            Kind::SLUG_TAKEN => cbor::decode(body, max).map(Entry::SlugTaken),
            Kind::GROUP_BEGUN => cbor::decode(body, max).map(Entry::GroupBegun),
            _ => Err(CborError::Shape),
        }
    }
}
