//! Names of things: fixed bytes inside, prefixed text outside.
//!
//! Most ids are derived from what they name, so that every node comes to the same one without asking
//! (DESIGN §2): a space is the hash of its genesis, a public channel's stream the hash of its space and
//! its name, an operation the hash of its header.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha512};
use ulid::Ulid;

use crate::identity::NodeId;

/// The first 32 bytes of SHA-512 over a domain and the parts, each part preceded by its length.
pub fn hash(domain: &'static str, parts: &[&[u8]]) -> [u8; 32] {
    let mut sha = Sha512::new();
    sha.update(domain.as_bytes());
    sha.update([0]);
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(&sha.finalize()[..32]);
    out
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $length:literal, $bytes:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:.8}…)"), data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                crate::cbor::$bytes(self.0).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::cbor::$bytes::deserialize(deserializer).map(|bytes| Self(bytes.0))
            }
        }
    };
}

byte_id!(
    /// A space. That of a workspace is the hash of its genesis, so nobody can claim one that is not theirs;
    /// that of two of its nodes see [`SpaceId::pair`], that of some of them [`crate::control::GroupBegun`].
    SpaceId, 32, Bytes32
);
byte_id!(
    /// An operation: the hash of its header's bytes.
    OpId, 32, Bytes32
);
byte_id!(
    /// A stream inside a space. 128 bits, so that it is also the ULID under which people see it.
    StreamId, 16, Bytes16
);
byte_id!(
    /// One life of a store. Cursors carry it: after a rebuild an old cursor is refused, not misread.
    StoreId, 16, Bytes16
);

impl SpaceId {
    /// The *pair space* of two nodes in a workspace: what they say only to each other rests there (N-33). Both come
    /// to the same one, in whatever order they are named, and nobody has to announce it. Two sessions of one node
    /// talk in that node's pair space with itself.
    pub fn pair(workspace: SpaceId, one: NodeId, other: NodeId) -> Self {
        let (low, high) = (one.min(other), one.max(other));
        Self(hash("muster/space/pair/v1", &[&workspace.0, low.as_bytes(), high.as_bytes()]))
    }
}

impl OpId {
    /// What the first operation of a log names as its predecessor.
    pub const NONE: OpId = OpId([0; 32]);
}

impl StreamId {
    /// The workspace itself: operations that belong to no conversation.
    pub const SPACE: StreamId = StreamId([0; 16]);

    /// The stream of the public channel `name`.
    pub fn channel(space: SpaceId, name: &str) -> Self {
        Self::derive("muster/stream/channel/v1", space, name)
    }

    /// The stream that hangs from a message of the stream `root` (W-78): that of the thread `id` of a channel, or of a
    /// private stream.
    pub fn thread(root: Self, id: &str) -> Self {
        let whole = hash("muster/stream/thread/v1", &[&root.0, id.as_bytes()]);
        let mut thread = [0; 16];
        thread.copy_from_slice(&whole[..16]);
        Self(thread)
    }

    /// The stream of two people who talk alone, inside the pair space of their homes; one of theirs, whoever opens it.
    pub fn dm(space: SpaceId, one: Ulid, other: Ulid) -> Self {
        let (low, high) = (one.min(other), one.max(other));
        Self::derive("muster/stream/dm/v1", space, &format!("{low}/{high}"))
    }

    /// The one stream of a group space (see [`crate::control::ControlState::group`]).
    pub fn group(space: SpaceId) -> Self {
        Self::derive("muster/stream/group/v1", space, "")
    }

    /// The stream of notices to one person, inside the space that the person's home has to itself (W-75).
    pub fn notices(space: SpaceId, person: Ulid) -> Self {
        Self::derive("muster/stream/notices/v1", space, &person.to_string())
    }

    /// The stream of the direct room `id` inside its own space.
    pub fn direct_room(space: SpaceId, id: &str) -> Self {
        Self::derive("muster/stream/direct/v1", space, id)
    }

    fn derive(domain: &'static str, space: SpaceId, name: &str) -> Self {
        let whole = hash(domain, &[&space.0, name.as_bytes()]);
        let mut id = [0; 16];
        id.copy_from_slice(&whole[..16]);
        Self(id)
    }
}

/// One log: what one life of one node wrote into one space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The space.
    pub space: SpaceId,
    /// The node that writes it.
    pub author: NodeId,
    /// A random number made with the store; a restored or copied store takes a new one, so that it
    /// cannot contradict what it wrote before and forgot.
    pub incarnation: u64,
}

/// The public id of a workspace: `ws_` and a ULID, the same on all nodes and in all doors (N-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkspaceId(pub Ulid);

/// Text that is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not an id of the form {prefix}…; it is the prefix and 26 letters and digits")]
pub struct IdError {
    prefix: &'static str,
}

impl WorkspaceId {
    /// A new id from a time in milliseconds and ten random bytes.
    pub fn new(now_ms: u64, random: [u8; 10]) -> Self {
        Self(ulid(now_ms, random))
    }

    /// The ULID in it.
    pub fn ulid(self) -> Ulid {
        self.0
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ws_{}", self.0)
    }
}

impl FromStr for WorkspaceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = IdError { prefix: "ws_" };
        let ulid = text.strip_prefix("ws_").ok_or(error)?;
        Ulid::from_string(ulid).map(Self).map_err(|_| error)
    }
}

impl Serialize for WorkspaceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0.to_bytes())
        }
    }
}

impl<'de> Deserialize<'de> for WorkspaceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom);
        }
        crate::cbor::Bytes16::deserialize(deserializer).map(|bytes| Self(Ulid::from_bytes(bytes.0)))
    }
}

/// A ULID as it is written: 26 letters and digits in upper case. Other ways to write it would be other ids.
pub fn exact_ulid(text: &str) -> Option<Ulid> {
    Ulid::from_string(text).ok().filter(|id| id.to_string() == text)
}

/// A ULID that says which node made it: its last five bytes are a hash of the node and all that stands before. So
/// everybody can tell from an operation alone, in whatever order things arrive, whether its author may use the id.
pub fn owned_ulid(now_ms: u64, node: NodeId, random: [u8; 5]) -> Ulid {
    let mut bytes = ulid(now_ms, [0; 10]).to_bytes();
    bytes[6..11].copy_from_slice(&random);
    let tag = owner_tag(node, &bytes);
    bytes[11..].copy_from_slice(&tag);
    Ulid::from_bytes(bytes)
}

/// Whether `node` made a ULID with [`owned_ulid`].
pub fn is_owned_by(id: Ulid, node: NodeId) -> bool {
    let bytes = id.to_bytes();
    bytes[11..] == owner_tag(node, &bytes)
}

fn owner_tag(node: NodeId, bytes: &[u8; 16]) -> [u8; 5] {
    let whole = hash("muster/id/v1", &[node.as_bytes(), &bytes[..11]]);
    let mut tag = [0; 5];
    tag.copy_from_slice(&whole[..5]);
    tag
}

/// A ULID of a time in milliseconds and ten random bytes.
pub fn ulid(now_ms: u64, random: [u8; 10]) -> Ulid {
    let mut wide = [0; 16];
    wide[6..].copy_from_slice(&random);
    Ulid::from_parts(now_ms, u128::from_be_bytes(wide))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_id_reads_back_from_its_text() {
        let id = WorkspaceId::new(1_700_000_000_000, [9; 10]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().starts_with("ws_01"));
        assert!("ws_nope".parse::<WorkspaceId>().is_err());
    }

    #[test]
    fn a_pair_space_is_the_same_from_both_ends_and_its_id_never_changes_n33() {
        let node = |seed| crate::identity::Identity::from_seed([seed; 32]).node();
        let (workspace, ada, bob) = (SpaceId([7; 32]), node(1), node(2));
        let pair = SpaceId::pair(workspace, ada, bob);
        assert_eq!(pair, SpaceId::pair(workspace, bob, ada));
        let others = [
            SpaceId::pair(SpaceId([8; 32]), ada, bob),
            SpaceId::pair(workspace, ada, node(3)),
            SpaceId::pair(workspace, ada, ada),
            workspace,
        ];
        assert!(!others.contains(&pair));
        insta::assert_snapshot!(format!("{pair}\n{}", SpaceId::pair(workspace, ada, ada)));
    }

    #[test]
    fn an_owned_id_names_its_node_and_no_other() {
        let node = |seed| crate::identity::Identity::from_seed([seed; 32]).node();
        let id = owned_ulid(1_800_000_000_000, node(1), [7; 5]);
        assert!(is_owned_by(id, node(1)));
        assert!(!is_owned_by(id, node(2)));
        assert!(!is_owned_by(ulid(1_800_000_000_000, [7; 10]), node(1)));
        assert_eq!(id.timestamp_ms(), 1_800_000_000_000);
        insta::assert_snapshot!(id.to_string());
    }

    #[test]
    fn the_stream_of_two_is_theirs_whoever_opens_it() {
        let (space, one, other) = (SpaceId([7; 32]), ulid(1, [1; 10]), ulid(2, [2; 10]));
        assert_eq!(StreamId::dm(space, one, other), StreamId::dm(space, other, one));
        assert_ne!(StreamId::dm(space, one, other), StreamId::dm(SpaceId([8; 32]), one, other));
        let channel = StreamId::channel(space, "builders");
        assert_ne!(StreamId::thread(channel, "thread_abc"), StreamId::thread(channel, "thread_abd"));
    }

    #[test]
    fn the_parts_of_a_hash_cannot_be_shifted_into_each_other() {
        assert_ne!(hash("d", &[b"ab", b"c"]), hash("d", &[b"a", b"bc"]));
    }
}
