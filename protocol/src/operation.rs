//! An operation: the one thing nodes sign, store and forward.
//!
//! It is a *header*, a signature over the header's exact bytes, and a *body* apart, so that a body can
//! be deleted everywhere without breaking the chain of headers. The header names its space, its place
//! in its author's log, the operation before it, and the hash of its body.
//!
//! ```text
//! header = [version, space, author, incarnation, seq, prev, hlc, control_height, kind, stream, body_len, body_hash]
//! wire   = [header bytes, signature, body bytes]      (the body is empty when it was deleted)
//! id     = first 32 bytes of SHA-512 over the header bytes and their domain
//! ```

use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::{
    cbor::{self, Bytes, Bytes32, Bytes64, CborError},
    clock::Hlc,
    identity::{Domain, Identity, NodeId, Signature},
    ids::{LogId, OpId, SpaceId, StreamId, hash},
    limits,
};

/// The version of the format below.
pub const VERSION: u8 = 1;

/// What an operation is about. Up to [`Kind::CONTROL_LAST`] they belong to the control log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Kind(pub u16);

impl Kind {
    /// A space begins.
    pub const GENESIS: Kind = Kind(1);
    /// A node was let in.
    pub const MEMBER_ADDED: Kind = Kind(2);
    /// A member's role changed.
    pub const ROLE_SET: Kind = Kind(3);
    /// A node was removed.
    pub const MEMBER_REMOVED: Kind = Kind(4);
    /// A ticket may be used.
    pub const INVITE_CREATED: Kind = Kind(5);
    /// A ticket may no longer be used.
    pub const INVITE_REVOKED: Kind = Kind(6);
    /// Another node decides from here on.
    pub const HOME_MOVED: Kind = Kind(7);
    /// A person or a bot takes a name that is unique in the workspace.
    pub const SLUG_TAKEN: Kind = Kind(8);
    /// The space of a private stream begins.
    pub const GROUP_BEGUN: Kind = Kind(9);
    /// The last code of the control log.
    pub const CONTROL_LAST: Kind = Kind(99);
    /// An envelope of the Network door.
    pub const ENVELOPE: Kind = Kind(100);
    /// A channel was opened, or its purpose replaced.
    pub const CHANNEL: Kind = Kind(101);
    /// A direct room was opened before anything was said in it.
    pub const DIRECT_ROOM: Kind = Kind(102);
    /// A message of a person or a bot.
    pub const POST: Kind = Kind(103);
    /// A post has another text.
    pub const POST_EDITED: Kind = Kind(104);
    /// A post is gone.
    pub const POST_DELETED: Kind = Kind(105);
    /// Who a person is.
    pub const PERSON: Kind = Kind(106);
    /// Who a bot is.
    pub const BOT: Kind = Kind(107);
    /// Something about a stream changed.
    pub const STREAM: Kind = Kind(108);
    /// A person or a bot takes part in a stream, or no longer does.
    pub const TAKES_PART: Kind = Kind(109);
    /// What a file contains that posts link to.
    pub const ATTACHMENT_DESCRIBED: Kind = Kind(111);
    /// An invocation of a bot has a new status.
    pub const INVOCATION: Kind = Kind(112);
    /// A memo is written by hand.
    pub const MEMO: Kind = Kind(113);
    /// Something is to be known, and nobody says it.
    pub const NOTICE: Kind = Kind(114);
    /// A group space is shared with a node, or no longer is.
    pub const GROUP_SHARED: Kind = Kind(115);

    /// Whether operations of this kind belong to the control log.
    pub fn is_control(self) -> bool {
        self <= Self::CONTROL_LAST
    }
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Header {
    /// [`VERSION`].
    pub version: u8,
    /// The space it belongs to.
    pub space: SpaceId,
    /// The node that signs it.
    pub author: NodeId,
    /// The author's log. Zero in the control log.
    pub incarnation: u64,
    /// Its place in the log, from 1; in the control log its height.
    pub seq: u64,
    /// The operation before it, or [`OpId::NONE`].
    pub prev: OpId,
    /// When, as its author believed; strictly growing inside a log.
    pub hlc: Hlc,
    /// The height of the control log its author knew; never falling inside a log.
    pub control_height: u64,
    /// What it is about.
    pub kind: Kind,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Bytes of the body, at least 1.
    pub body_len: u32,
    /// Hash of the body.
    pub body_hash: Bytes32,
}

impl Header {
    /// The log it stands in.
    pub fn log(&self) -> LogId {
        LogId { space: self.space, author: self.author, incarnation: self.incarnation }
    }
}

/// A decoded operation with the exact bytes it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    id: OpId,
    header: Header,
    header_bytes: Vec<u8>,
    signature: Signature,
    body: Option<Vec<u8>>,
}

/// Why bytes are not an operation that its named author signed. Whoever sends such bytes broke the
/// protocol: no honest node stores or forwards them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// Not canonical CBOR of the expected shape and size.
    #[error("not an operation: {0}")]
    Cbor(#[from] CborError),
    /// A version this program does not know.
    #[error("an operation of version {0}; this node reads version {VERSION}: update it")]
    Version(u8),
    /// The body is not the one the header names.
    #[error("the body does not match the header")]
    Body,
    /// A sequence number of zero.
    #[error("operations are counted from 1")]
    Sequence,
    /// The author did not sign this header.
    #[error("the signature is not the author's")]
    Signature,
}

/// What the caller of [`Operation::sign`] has to say; the rest follows from the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What it is about.
    pub kind: Kind,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Its body, 1 to [`limits::BODY_BYTES_MAX`] bytes.
    pub body: Vec<u8>,
}

/// Where a new operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The space.
    pub space: SpaceId,
    /// The log of the signer.
    pub incarnation: u64,
    /// Its number there.
    pub seq: u64,
    /// The one before it.
    pub prev: OpId,
    /// Its time.
    pub hlc: Hlc,
    /// The control log's height its author knows.
    pub control_height: u64,
}

type Wire = (Bytes, Bytes64, Bytes);

fn body_hash(body: &[u8]) -> Bytes32 {
    Bytes32(hash("muster/body/v1", &[body]))
}

fn op_id(header_bytes: &[u8]) -> OpId {
    OpId(hash("muster/op-id/v1", &[header_bytes]))
}

impl Operation {
    /// Makes and signs an operation.
    pub fn sign(identity: &Identity, place: Place, draft: Draft) -> Self {
        assert!(
            !draft.body.is_empty() && draft.body.len() <= limits::BODY_BYTES_MAX,
            "bodies are checked against their limit where they are made"
        );
        let header = Header {
            version: VERSION,
            space: place.space,
            author: identity.node(),
            incarnation: place.incarnation,
            seq: place.seq,
            prev: place.prev,
            hlc: place.hlc,
            control_height: place.control_height,
            kind: draft.kind,
            stream: draft.stream,
            body_len: draft.body.len() as u32,
            body_hash: body_hash(&draft.body),
        };
        let header_bytes = cbor::encode(&header);
        let signature = identity.sign(Domain::Operation, &header_bytes);
        Self { id: op_id(&header_bytes), header, header_bytes, signature, body: Some(draft.body) }
    }

    /// Reads an operation and checks all that its bytes alone can tell, but for the signature.
    pub fn decode(bytes: &[u8]) -> Result<Self, OperationError> {
        let wire_max = limits::HEADER_BYTES_MAX + limits::BODY_BYTES_MAX + 80;
        let (header_bytes, signature, body): Wire = cbor::decode(bytes, wire_max)?;
        Self::from_parts(header_bytes.0, signature.0, (!body.0.is_empty()).then_some(body.0))
    }

    /// Puts an operation together from the parts a store keeps apart.
    pub fn from_parts(
        header_bytes: Vec<u8>,
        signature: Signature,
        body: Option<Vec<u8>>,
    ) -> Result<Self, OperationError> {
        let header: Header = cbor::decode(&header_bytes, limits::HEADER_BYTES_MAX)?;
        if header.version != VERSION {
            return Err(OperationError::Version(header.version));
        }
        if header.seq == 0 {
            return Err(OperationError::Sequence);
        }
        if header.body_len == 0 || header.body_len as usize > limits::BODY_BYTES_MAX {
            return Err(OperationError::Body);
        }
        if let Some(body) = &body
            && (body.len() != header.body_len as usize || body_hash(body) != header.body_hash)
        {
            return Err(OperationError::Body);
        }
        Ok(Self { id: op_id(&header_bytes), header, header_bytes, signature, body })
    }

    /// Checks the author's signature; strict (see [`crate::identity`]).
    pub fn verify(&self) -> Result<(), OperationError> {
        if self.header.author.verify(Domain::Operation, &self.header_bytes, &self.signature) {
            Ok(())
        } else {
            Err(OperationError::Signature)
        }
    }

    /// The bytes to send: header, signature and body exactly as they were made.
    pub fn encode(&self) -> Vec<u8> {
        let body = self.body.clone().unwrap_or_default();
        cbor::encode(&(Bytes(self.header_bytes.clone()), Bytes64(self.signature), Bytes(body)))
    }

    /// Its id.
    pub fn id(&self) -> OpId {
        self.id
    }

    /// Its header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The exact bytes that were signed.
    pub fn header_bytes(&self) -> &[u8] {
        &self.header_bytes
    }

    /// The author's signature over [`Self::header_bytes`].
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Its body, unless it was deleted.
    pub fn body(&self) -> Option<&[u8]> {
        self.body.as_deref()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn place(space: SpaceId, seq: u64, prev: OpId) -> Place {
        Place {
            space,
            incarnation: 5,
            seq,
            prev,
            hlc: Hlc::from_ms(1_700_000_000_000 + seq),
            control_height: 1,
        }
    }

    fn sample() -> Operation {
        let identity = Identity::from_seed([3; 32]);
        let draft = Draft { kind: Kind::ENVELOPE, stream: StreamId([4; 16]), body: b"hello".to_vec() };
        Operation::sign(&identity, place(SpaceId([8; 32]), 1, OpId::NONE), draft)
    }

    #[test]
    fn an_operation_survives_the_wire_byte_for_byte() {
        let op = sample();
        let read = Operation::decode(&op.encode()).unwrap();
        assert_eq!(read, op);
        assert_eq!(read.verify(), Ok(()));
        assert_eq!(read.encode(), op.encode());
    }

    #[test]
    fn the_bytes_of_an_operation_never_change() {
        insta::assert_snapshot!(data_encoding::HEXLOWER.encode(&sample().encode()));
        insta::assert_snapshot!(sample().id().to_string());
    }

    #[test]
    fn no_bit_of_an_operation_can_be_flipped() {
        let bytes = sample().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let verdict = Operation::decode(&flipped).and_then(|op| op.verify());
            assert!(verdict.is_err(), "bit {bit} could be flipped");
        }
    }

    #[test]
    fn no_prefix_of_an_operation_is_one() {
        let bytes = sample().encode();
        for length in 0..bytes.len() {
            assert!(Operation::decode(&bytes[..length]).is_err());
        }
    }

    #[test]
    fn an_operation_whose_body_was_deleted_still_verifies() {
        let op = sample();
        let bare = Operation::from_parts(op.header_bytes.clone(), op.signature, None).unwrap();
        let read = Operation::decode(&bare.encode()).unwrap();
        assert_eq!((read.verify(), read.body(), read.id()), (Ok(()), None, op.id()));
    }
}
