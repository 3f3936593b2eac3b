//! Forks: two operations in one place of one log.
//!
//! A node that signs two has contradicted itself, mostly because its folder was copied or restored from a
//! backup. Nobody can say which of the two is right, so everybody who sees both freezes the log at the
//! last operation before them and keeps both headers as proof (research p2p §2.6).

use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::{
    cbor::{self, Bytes, Bytes64, CborError},
    ids::LogId,
    limits,
    operation::Operation,
};

/// A header and its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
struct SignedHeader {
    header: Bytes,
    signature: Bytes64,
}

/// Two signed headers that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct ForkProof {
    first: SignedHeader,
    second: SignedHeader,
}

/// See [`ForkProof::compare`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// It is the same.
    Same,
    /// Their author signed both.
    Fork(ForkProof),
    /// Different nodes were the home when they signed them: the histories parted at a lower height.
    Elsewhere,
}

/// Why something is not a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these two headers do not prove a fork")]
pub struct NotAProof;

impl ForkProof {
    /// The proof that `a` and `b` contradict each other, in an order that does not depend on who saw
    /// which first. `None` when they do not.
    pub fn of(a: &Operation, b: &Operation) -> Option<Self> {
        let same_place = a.header().log() == b.header().log() && a.header().seq == b.header().seq;
        if !same_place || a.id() == b.id() {
            return None;
        }
        let (first, second) = if a.id() < b.id() { (a, b) } else { (b, a) };
        let signed = |op: &Operation| SignedHeader {
            header: Bytes(op.header_bytes().to_vec()),
            signature: Bytes64(*op.signature()),
        };
        Some(Self { first: signed(first), second: signed(second) })
    }

    /// What a verified entry of a control log says about the one that is held at its height.
    pub fn compare(held: &Operation, theirs: &Operation) -> Compared {
        match Self::of(held, theirs) {
            Some(proof) => Compared::Fork(proof),
            None if held.id() == theirs.id() => Compared::Same,
            None => Compared::Elsewhere,
        }
    }

    /// Checks a proof that somebody sent: the log, and the first place that is in doubt.
    pub fn verify(&self) -> Result<(LogId, u64), NotAProof> {
        let read = |signed: &SignedHeader| {
            let op = Operation::from_parts(signed.header.0.clone(), signed.signature.0, None);
            op.ok().filter(|op| op.verify().is_ok()).ok_or(NotAProof)
        };
        let (a, b) = (read(&self.first)?, read(&self.second)?);
        if Self::of(&a, &b).as_ref() == Some(self) {
            Ok((a.header().log(), a.header().seq))
        } else {
            Err(NotAProof)
        }
    }

    /// Canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads [`Self::encode`]; the proof still has to be verified.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, 2 * limits::HEADER_BYTES_MAX + 160)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::Identity,
        ids::{OpId, SpaceId, StreamId},
        operation::{Draft, Kind, tests::place},
    };

    fn op(seed: u8, seq: u64, body: &[u8]) -> Operation {
        let draft = Draft { kind: Kind::ENVELOPE, stream: StreamId::SPACE, body: body.to_vec() };
        Operation::sign(&Identity::from_seed([seed; 32]), place(SpaceId([1; 32]), seq, OpId::NONE), draft)
    }

    #[test]
    fn two_operations_in_one_place_prove_a_fork_to_anybody() {
        let (a, b) = (op(1, 3, b"a"), op(1, 3, b"b"));
        let proof = ForkProof::of(&a, &b).unwrap();
        assert_eq!(Some(&proof), ForkProof::of(&b, &a).as_ref());
        let read = ForkProof::decode(&proof.encode()).unwrap();
        assert_eq!(read.verify(), Ok((a.header().log(), 3)));
    }

    #[test]
    fn different_places_authors_or_equal_operations_prove_nothing() {
        assert_eq!(ForkProof::of(&op(1, 3, b"a"), &op(1, 4, b"b")), None);
        assert_eq!(ForkProof::of(&op(1, 3, b"a"), &op(2, 3, b"b")), None);
        assert_eq!(ForkProof::of(&op(1, 3, b"a"), &op(1, 3, b"a")), None);
    }

    #[test]
    fn a_forged_proof_is_refused() {
        let mut proof = ForkProof::of(&op(1, 3, b"a"), &op(1, 3, b"b")).unwrap();
        proof.second.signature.0[0] ^= 1;
        assert_eq!(proof.verify(), Err(NotAProof));
    }
}
