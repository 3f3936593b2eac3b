//! The frames of a link: one byte that says which, and canonical CBOR.

use serde::{Serialize, de::DeserializeOwned};
use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::{
    cbor::{self, Bytes, Bytes32, CborError},
    identity::NodeId,
    ids::SpaceId,
    limits,
};

/// The first frame of each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Hello {
    /// The version of this protocol: 1. A side that reads another version closes.
    pub version: u16,
    /// How many bytes of operations the other side may send before it is granted more.
    pub credit: u64,
}

/// How much of a log a node holds durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize_tuple, Deserialize_tuple)]
pub struct Height {
    /// Whose log.
    pub author: NodeId,
    /// Which of the author's logs in the space.
    pub incarnation: u64,
    /// Up to here, gap-free.
    pub seq: u64,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// See [`Hello`].
    Hello(Hello),
    /// The sender's control log of a space has this height. Said first when the sender takes the
    /// receiver for a member; who holds more sends the rest.
    ControlHeight(SpaceId, u64),
    /// Entries of the control log, in order, encoded operations.
    ControlEntries(SpaceId, Vec<Bytes>),
    /// The digest of a space, see [`super::digest`]. Who finds it different sends its heights.
    Digest(SpaceId, Bytes32),
    /// Heights of the sender. `whole` ends a list of all heights; without it they are news.
    /// `credit` is all the credit granted on this link so far.
    Heights {
        /// In which space.
        space: SpaceId,
        /// The heights.
        heights: Vec<Height>,
        /// Whether this is (the last page of) all of them.
        whole: bool,
        /// Bytes granted since the link began.
        credit: u64,
    },
    /// Asks for the log from `seq` on.
    Want(SpaceId, Vec<Height>),
    /// Operations of one space, each log's in order. Counted against credit.
    Ops(SpaceId, Vec<Bytes>),
    /// A proof that a log forks.
    Fork(Bytes),
    /// A presence message, the same as over gossip.
    Presence(Bytes),
}

/// Why bytes are not a frame. Whoever sends such bytes broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No bytes, or an unknown first byte.
    #[error("a frame of an unknown kind")]
    Unknown,
    /// Not of the kind's shape, not canonical, or too large.
    #[error("a malformed frame: {0}")]
    Cbor(#[from] CborError),
    /// More items than the limit of the kind.
    #[error("a frame with too many items")]
    TooMany,
}

impl Frame {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        fn tagged<T: Serialize>(tag: u8, value: &T) -> Vec<u8> {
            let mut bytes = vec![tag];
            ciborium::into_writer(value, &mut bytes)
                .expect("our structures always encode, and memory takes them");
            bytes
        }
        match self {
            Frame::Hello(hello) => tagged(1, hello),
            Frame::ControlHeight(space, height) => tagged(2, &(space, height)),
            Frame::ControlEntries(space, entries) => tagged(3, &(space, entries)),
            Frame::Digest(space, digest) => tagged(4, &(space, digest)),
            Frame::Heights { space, heights, whole, credit } => {
                tagged(5, &(space, heights, u8::from(*whole), credit))
            }
            Frame::Want(space, heights) => tagged(6, &(space, heights)),
            Frame::Ops(space, ops) => tagged(7, &(space, ops)),
            Frame::Fork(proof) => tagged(8, &(proof,)),
            Frame::Presence(message) => tagged(9, &(message,)),
        }
    }

    /// Reads a frame.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        fn read<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
            Ok(cbor::decode(bytes, limits::FRAME_BYTES_MAX)?)
        }
        fn at_most<T>(items: Vec<T>, max: usize) -> Result<Vec<T>, FrameError> {
            if items.len() <= max { Ok(items) } else { Err(FrameError::TooMany) }
        }
        let (tag, rest) = bytes.split_first().ok_or(FrameError::Unknown)?;
        Ok(match tag {
            1 => Frame::Hello(read(rest)?),
            2 => read(rest).map(|(space, height)| Frame::ControlHeight(space, height))?,
            3 => {
                let (space, entries) = read(rest)?;
                Frame::ControlEntries(space, at_most(entries, limits::OPS_PER_FRAME_MAX)?)
            }
            4 => read(rest).map(|(space, digest)| Frame::Digest(space, digest))?,
            5 => {
                let (space, heights, whole, credit): (SpaceId, Vec<Height>, u8, u64) = read(rest)?;
                if whole > 1 {
                    return Err(CborError::Shape.into());
                }
                let heights = at_most(heights, limits::HEIGHTS_PER_FRAME_MAX)?;
                Frame::Heights { space, heights, whole: whole == 1, credit }
            }
            6 => {
                let (space, heights) = read(rest)?;
                Frame::Want(space, at_most(heights, limits::HEIGHTS_PER_FRAME_MAX)?)
            }
            7 => {
                let (space, ops) = read(rest)?;
                Frame::Ops(space, at_most(ops, limits::OPS_PER_FRAME_MAX)?)
            }
            8 => Frame::Fork(read::<(_,)>(rest)?.0),
            9 => Frame::Presence(read::<(_,)>(rest)?.0),
            _ => return Err(FrameError::Unknown),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn samples() -> Vec<Frame> {
        let node = Identity::from_seed([1; 32]).node();
        let space = SpaceId([2; 32]);
        let height = Height { author: node, incarnation: 7, seq: 9 };
        vec![
            Frame::Hello(Hello { version: 1, credit: 1000 }),
            Frame::ControlHeight(space, 5),
            Frame::ControlEntries(space, vec![Bytes(vec![1, 2])]),
            Frame::Digest(space, Bytes32([5; 32])),
            Frame::Heights { space, heights: vec![height], whole: true, credit: 77 },
            Frame::Want(space, vec![height]),
            Frame::Ops(space, vec![Bytes(vec![3]), Bytes(vec![4, 5])]),
            Frame::Fork(Bytes(vec![6])),
            Frame::Presence(Bytes(vec![7])),
        ]
    }

    #[test]
    fn every_frame_reads_back_and_its_bytes_never_change() {
        for frame in samples() {
            assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
        }
        let all: Vec<_> =
            samples().iter().map(|frame| data_encoding::HEXLOWER.encode(&frame.encode())).collect();
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn no_truncated_or_lengthened_frame_is_read() {
        for frame in samples() {
            let bytes = frame.encode();
            for length in 0..bytes.len() {
                assert!(Frame::decode(&bytes[..length]).is_err());
            }
            assert!(Frame::decode(&[bytes, vec![0]].concat()).is_err());
        }
    }

    #[test]
    fn a_frame_with_too_many_items_is_refused() {
        let ops = vec![Bytes(vec![1]); limits::OPS_PER_FRAME_MAX + 1];
        assert_eq!(Frame::decode(&Frame::Ops(SpaceId([0; 32]), ops).encode()), Err(FrameError::TooMany));
    }
}
