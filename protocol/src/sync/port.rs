//! What a machine reads, hears and says: everything between it and its node.

use std::sync::Arc;

use super::{Height, Held};
use crate::{
    control::ControlState,
    fork::ForkProof,
    identity::NodeId,
    ids::{LogId, SpaceId},
    operation::Operation,
};

/// What the machine reads of its node's store. All of it is durable.
///
/// The machine also asks about spaces the node does not hold: a peer may name any, and a pair space (see
/// [`SpaceId::pair`]) is shared before anything was said in it. Such a space has no heights, no operations, and
/// every log of it the height 0. Pair spaces are the machine's own business: they have no control log, so
/// [`View::spaces`] does not list them and [`View::control`] answers `None` for them, held or not. Group spaces are
/// spaces like those of workspaces, shared with fewer.
pub trait View {
    /// Why reading fails; the caller stops.
    type Error;
    /// Spaces with a control log that this node holds: groups, then workspaces' own. So whoever hears what is held of a
    /// workspace has heard before what is held of its groups.
    fn spaces(&self) -> Result<Vec<SpaceId>, Self::Error>;
    /// The control state of such a space; `None` for a pair space and for what this node does not hold.
    fn control(&self, space: SpaceId) -> Result<Option<Arc<ControlState>>, Self::Error>;
    /// Encoded entries of a control log from height `from` on: at least one if there is one, about
    /// `bytes_max` bytes of them.
    fn control_entries(
        &self,
        space: SpaceId,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, Self::Error>;
    /// Heights of all logs of a space, capped by cut-offs and forks, ordered; empty when it is not held.
    fn held(&self, space: SpaceId) -> Result<Vec<Held>, Self::Error>;
    /// The heights among [`Self::held`].
    fn heights(&self, space: SpaceId) -> Result<Vec<Height>, Self::Error> {
        Ok(self.held(space)?.into_iter().map(|held| held.height).collect())
    }
    /// The capped height of one log; 0 when unknown.
    fn height(&self, log: &LogId) -> Result<u64, Self::Error>;
    /// Encoded operations of a log from `from` on, up to its capped height: at least one if there is
    /// one, else about `bytes_max` bytes and at most `count_max` of them. Empty when the log is not held.
    fn ops(
        &self,
        log: &LogId,
        from: u64,
        bytes_max: usize,
        count_max: usize,
    ) -> Result<Vec<Vec<u8>>, Self::Error>;
    /// Claims a log for pulling from `peer`, so that it is not pulled twice at once: true when it is
    /// free, already claimed for this peer, or was claimed `stale_ms` ago.
    fn claim_pull(&self, log: &LogId, peer: NodeId, now_ms: u64, stale_ms: u64) -> bool;
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The link is up.
    Up,
    /// A frame came.
    Frame(&'a [u8]),
    /// What [`Output::Store`] asked for is durable; or, for its refused parts, decided.
    Stored(Report),
    /// This node's store holds more of some logs of a space, or more of its control log, wherever it came from.
    Committed {
        /// Which space.
        space: SpaceId,
        /// New heights.
        heights: &'a [Height],
        /// Whether the control log grew.
        control: bool,
    },
    /// All frames handed out so far were given to the link.
    Writable,
    /// Gossip told of the peer's digest of a space.
    DigestHeard {
        /// Which space.
        space: SpaceId,
        /// Its digest there.
        digest: [u8; 32],
    },
    /// Time passed. Call when [`Machine::wake_at_ms`](super::Machine::wake_at_ms) says so; calling earlier is harmless.
    Tick,
}

/// What became of operations a peer sent. Those we hold already, or other links brought meanwhile, are
/// no failure: they are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which space.
    pub space: SpaceId,
    /// Bytes of the frame they came in, to be granted again; 0 for the control log.
    pub bytes: u64,
    /// Heights of the logs concerned after the commit.
    pub heights: Vec<Height>,
    /// Whether the control log grew.
    pub control_grew: bool,
    /// Entries up to this height are what we hold, too; 0 when none of them is.
    pub control_same: u64,
    /// Some entry continues another history of the control log than ours, and does not prove yet where they part.
    pub control_elsewhere: bool,
    /// Some cited a control height ahead of ours; never in a pair space, whose height stays what it is.
    pub control_ahead: bool,
    /// Logs of which something was missing, or whose time is ahead: ask again later.
    pub again: Vec<LogId>,
    /// Logs of which something was refused for good; also what continues a frozen log.
    pub refused: Vec<LogId>,
    /// Proofs that concern the peer: of operations that contradict what we hold, and the kept proof of a
    /// frozen log of which it sent more. It is told the lowest of each log.
    pub forks: Vec<ForkProof>,
}

impl Report {
    /// A report in which nothing happened.
    pub fn of(space: SpaceId) -> Self {
        Self {
            space,
            bytes: 0,
            heights: Vec::new(),
            control_grew: false,
            control_same: 0,
            control_elsewhere: false,
            control_ahead: false,
            again: Vec::new(),
            refused: Vec::new(),
            forks: Vec::new(),
        }
    }
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send a frame.
    Send(Vec<u8>),
    /// Store operations of a space and answer with [`Input::Stored`]. Signatures are verified. A space that is no
    /// workspace's is the pair space of this node and the peer in one of theirs, perhaps not held yet: it is
    /// judged by [`ControlState::pair`], and held from its first operation on.
    Store {
        /// Which space.
        space: SpaceId,
        /// Whether they are entries of the control log.
        control: bool,
        /// The operations, in the order they came.
        ops: Vec<Operation>,
        /// For [`Report::bytes`].
        bytes: u64,
    },
    /// The peer told durable heights; those of our own logs are its acknowledgement. It may name logs we do not
    /// have, also in a pair space of which we hold nothing yet.
    PeerHeights {
        /// In which space.
        space: SpaceId,
        /// The heights.
        heights: Vec<Height>,
    },
    /// The peer proved a fork.
    Fork(ForkProof),
    /// The peer told presence.
    Presence(Vec<u8>),
    /// The peer, a member, says that it holds no more of the control log of a workspace than this node, nor of those
    /// of its groups.
    ControlLevel(SpaceId),
    /// From now on this workspace's space is shared with the peer: tell it who is here.
    Shared(SpaceId),
    /// Close the link. Nothing follows.
    Close(Closed),
}

/// Why a link is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// It sent what no honest node sends.
    #[error("the peer broke the protocol: {0}")]
    Violation(&'static str),
    /// It said nothing.
    #[error("the peer did not say hello in time")]
    Silent,
    /// It speaks another version.
    #[error("the peer speaks another version of the protocol")]
    Version,
}
