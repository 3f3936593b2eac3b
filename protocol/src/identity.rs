//! One Ed25519 key is a node: the name under which it signs, and its libp2p peer id.
//!
//! ```
//! use muster_protocol::identity::{Identity, NodeId};
//!
//! let ada = Identity::from_seed([7; 32]);
//! let name = ada.node().to_string(); // a libp2p peer id
//! assert_eq!(name.parse::<NodeId>().unwrap(), ada.node());
//! ```
//!
//! Signatures are made over a *domain* and the bytes, because the same key also signs libp2p's
//! handshakes: no signature made for one purpose is valid for another. They are checked with
//! `verify_strict`, which refuses the forgeries that weak keys and malleable encodings allow;
//! libp2p's own `verify` does not.

use std::{fmt, str::FromStr};

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use libp2p_identity::{PeerId, PublicKey, ed25519};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::mutants::{self, Mutant};

/// A signature.
pub type Signature = [u8; 64];

/// What a signature is for. The text is signed in front of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// The header of an operation.
    Operation,
    /// A ticket.
    Ticket,
    /// A request to join, made by the node that wants to.
    Join,
    /// A request of an admin to the home of a workspace.
    Admin,
    /// A presence message.
    Presence,
    /// What a runtime asks, passed on to the home of its bot.
    Work,
}

impl Domain {
    /// The bytes signed in front of the payload: readable, versioned, ended by a zero byte.
    fn prefix(self) -> &'static [u8] {
        match self {
            Domain::Operation => b"muster/op/v1\0",
            Domain::Ticket => b"muster/ticket/v1\0",
            Domain::Join => b"muster/join/v1\0",
            Domain::Admin => b"muster/admin/v1\0",
            Domain::Presence => b"muster/presence/v1\0",
            Domain::Work => b"muster/work/v1\0",
        }
    }

    fn payload(self, bytes: &[u8]) -> Vec<u8> {
        [self.prefix(), bytes].concat()
    }
}

/// The public name of a node: its Ed25519 key, shown as a libp2p peer id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 32]);

/// Why a peer id is not the name of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NodeIdError {
    /// Not base58 of a multihash.
    #[error("this is not a peer id; one looks like 12D3KooW…")]
    Text,
    /// Another kind of key.
    #[error("this peer id does not hold an Ed25519 key, as all nodes' do")]
    Key,
    /// A key for which anybody can forge signatures.
    #[error("this key is weak: anybody could sign for it")]
    Weak,
}

impl NodeId {
    /// Takes the bytes of a public key; refuses what is no key, or a weak one.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, NodeIdError> {
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| NodeIdError::Key)?;
        if key.is_weak() { Err(NodeIdError::Weak) } else { Ok(Self(bytes)) }
    }

    /// The bytes of the public key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The name of a libp2p peer; only Ed25519 peer ids, which contain their key, have one.
    pub fn from_peer_id(peer: &PeerId) -> Result<Self, NodeIdError> {
        let hash = peer.as_ref();
        if hash.code() != 0 {
            return Err(NodeIdError::Key); // a hashed key cannot be read back
        }
        let key = PublicKey::try_decode_protobuf(hash.digest()).map_err(|_| NodeIdError::Key)?;
        let key = key.try_into_ed25519().map_err(|_| NodeIdError::Key)?;
        Self::from_bytes(key.to_bytes())
    }

    /// The libp2p peer id of this node.
    pub fn peer_id(&self) -> PeerId {
        let key =
            ed25519::PublicKey::try_from_bytes(&self.0).expect("a node id is a valid key: checked when made");
        PublicKey::from(key).to_peer_id()
    }

    /// Whether this node signed `bytes` for `domain`. Strict: see the module's text.
    pub fn verify(&self, domain: Domain, bytes: &[u8], signature: &Signature) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.0) else { return false };
        let (payload, signature) = (domain.payload(bytes), ed25519_dalek::Signature::from_bytes(signature));
        if mutants::is(Mutant::LooseVerify) {
            return ed25519_dalek::Verifier::verify(&key, &payload, &signature).is_ok();
        }
        key.verify_strict(&payload, &signature).is_ok()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.peer_id().fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        Self::from_peer_id(&text.trim().parse().map_err(|_| NodeIdError::Text)?)
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom);
        }
        let bytes = crate::cbor::Bytes32::deserialize(deserializer)?;
        Self::from_bytes(bytes.0).map_err(serde::de::Error::custom)
    }
}

/// The secret side of a [`NodeId`]. It is not `Clone`: a node has one, in one place.
pub struct Identity {
    key: SigningKey,
    node: NodeId,
}

impl Identity {
    /// The identity made from 32 secret random bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        let node = NodeId(key.verifying_key().to_bytes());
        Self { key, node }
    }

    /// The secret bytes, for the key file and for libp2p's own key type.
    pub fn seed(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// The key itself, for the signatures of the Network door (N-73).
    pub fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// Its public name.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Signs `bytes` for `domain`.
    pub fn sign(&self, domain: Domain, bytes: &[u8]) -> Signature {
        self.key.sign(&domain.payload(bytes)).to_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_and_a_libp2p_peer_id_are_the_same_thing() {
        let identity = Identity::from_seed([1; 32]);
        let keypair = libp2p_identity::Keypair::ed25519_from_bytes(identity.seed()).unwrap();
        assert_eq!(keypair.public().to_peer_id(), identity.node().peer_id());
        assert_eq!(NodeId::from_peer_id(&keypair.public().to_peer_id()), Ok(identity.node()));
    }

    #[test]
    fn a_signature_for_one_purpose_is_worthless_for_another() {
        let identity = Identity::from_seed([2; 32]);
        let signature = identity.sign(Domain::Operation, b"hello");
        assert!(identity.node().verify(Domain::Operation, b"hello", &signature));
        assert!(!identity.node().verify(Domain::Ticket, b"hello", &signature));
        assert!(!identity.node().verify(Domain::Operation, b"hellO", &signature));
    }

    #[test]
    fn a_weak_key_is_refused() {
        // The identity point: every signature of a certain form is valid under it.
        let mut point = [0; 32];
        point[0] = 1;
        assert_eq!(NodeId::from_bytes(point), Err(NodeIdError::Weak));
    }

    #[test]
    fn a_peer_id_of_another_kind_of_key_is_refused() {
        assert_eq!("nonsense".parse::<NodeId>(), Err(NodeIdError::Text));
        assert_eq!("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".parse::<NodeId>(), Err(NodeIdError::Key));
    }
}
