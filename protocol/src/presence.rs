//! Presence: who is in which channel now, and how their node can be reached.
//!
//! A node tells it about its own sessions, signed, over gossip and over its links; both carry the same
//! bytes. It is news, not record: it grants nothing, fades by itself (N-56), and losing all of it costs
//! only time.

use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::{
    cbor::{self, Bytes, Bytes32, Bytes64, CborError},
    identity::{Domain, Identity, NodeId},
    ids::{SpaceId, hash},
    limits,
};

/// A peer that is present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Present {
    /// Its channel.
    pub channel: String,
    /// Its card as JSON ([`crate::network::PeerCard`]).
    pub card: Bytes,
}

/// What a node tells about itself in one space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Presence {
    /// The space.
    pub space: SpaceId,
    /// The node that tells.
    pub node: NodeId,
    /// When, in Unix milliseconds; all parts of one telling have the same.
    pub at_ms: u64,
    /// Which part of it.
    pub part: u16,
    /// The node's name.
    pub name: String,
    /// Where it can be reached: multiaddrs as text.
    pub addresses: Vec<String>,
    /// The digest of what it holds of the space (see [`crate::sync::digest`]).
    pub digest: Bytes32,
    /// Peers that are there.
    pub present: Vec<Present>,
    /// Peers that left: channel and peer (N-54).
    pub gone: Vec<(String, String)>,
}

/// Why bytes are not presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PresenceError {
    /// Not of the shape, or beyond a limit.
    #[error("not a presence message: {0}")]
    Shape(#[from] CborError),
    /// Not signed by the node it names.
    #[error("a presence message that its node did not sign")]
    Signature,
}

impl Presence {
    /// Signs it.
    pub fn sign(&self, identity: &Identity) -> Vec<u8> {
        let bytes = cbor::encode(self);
        let signature = identity.sign(Domain::Presence, &bytes);
        cbor::encode(&(Bytes(bytes), Bytes64(signature)))
    }

    /// Reads and verifies a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, PresenceError> {
        let (inner, signature): (Bytes, Bytes64) = cbor::decode(bytes, limits::GOSSIP_BYTES_MAX)?;
        let presence: Presence = cbor::decode(&inner.0, limits::GOSSIP_BYTES_MAX)?;
        let fits = presence.addresses.len() <= limits::ADDRESSES_PER_NODE_MAX
            && presence.addresses.iter().all(|address| address.len() <= limits::ADDRESS_BYTES_MAX)
            && presence.present.len() <= limits::PRESENCE_PEERS_MAX
            && presence.gone.len() <= limits::PRESENCE_PEERS_MAX
            && presence.name.chars().count() <= limits::NAME_CHARS_MAX;
        if !fits {
            return Err(CborError::TooLarge.into());
        }
        if !presence.node.verify(Domain::Presence, &inner.0, &signature.0) {
            return Err(PresenceError::Signature);
        }
        Ok(presence)
    }
}

/// The gossip topic of a space: known to its members, telling nothing to others.
pub fn topic(space: SpaceId) -> [u8; 32] {
    hash("muster/topic/v1", &[&space.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Presence {
        Presence {
            space: SpaceId([1; 32]),
            node: Identity::from_seed([1; 32]).node(),
            at_ms: 1_700_000_000_000,
            part: 0,
            name: "ada".into(),
            addresses: vec!["/ip4/127.0.0.1/udp/7118/quic-v1".into()],
            digest: Bytes32([2; 32]),
            present: vec![Present { channel: "builders".into(), card: Bytes(b"{}".to_vec()) }],
            gone: vec![("builders".into(), "old.sess-1".into())],
        }
    }

    #[test]
    fn presence_reads_back_and_its_bytes_never_change() {
        let bytes = sample().sign(&Identity::from_seed([1; 32]));
        assert_eq!(Presence::decode(&bytes), Ok(sample()));
        insta::assert_snapshot!(data_encoding::HEXLOWER.encode(&bytes));
    }

    #[test]
    fn nobody_tells_presence_for_another_node() {
        let bytes = sample().sign(&Identity::from_seed([2; 32]));
        assert_eq!(Presence::decode(&bytes), Err(PresenceError::Signature));
    }
}
