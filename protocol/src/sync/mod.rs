//! How two nodes come to hold the same operations.
//!
//! Between two nodes there is one link, an ordered stream of [`Frame`]s. On it each side says hello, names
//! the spaces whose control log says that the other is a member, brings the other's control log up to its
//! own, and then the rest is *heights*: how much of each log a side holds durably. A space is
//! named to a node only when our control log knows it for a member, or when it named the space first
//! and says that its control log is longer: then it is told how long ours is, and nothing else, because
//! it may be a member we have not heard of yet.
//!
//! What two nodes say only to each other is shared with nobody else: while both may write in a workspace, their
//! *pair space* in it (see [`SpaceId::pair`](crate::ids::SpaceId::pair)) is shared on the link between them like
//! any other, only that it has no control log and is never announced, because both derive it.
//!
//! * A node pushes its **own** log to every peer from where that peer says it is. A slow or sleeping
//!   peer costs a cursor, not a queue.
//! * What it holds of **others'** logs it tells ([`Frame::Heights`]) and serves when asked
//!   ([`Frame::Want`]). A node that hears of operations it lacks waits a moment for their author and
//!   then asks whoever holds them. So news travels once along each link, and still arrives when its
//!   author is gone.
//! * Heights are also acknowledgements: they are told after the commit, never before, and each
//!   carries the *credit* for as many bytes as were taken in.
//! * Every [`limits::ANTI_ENTROPY`](crate::limits::ANTI_ENTROPY), and when gossip tells of a different
//!   digest, both compare a digest of all heights and exchange them whole when it differs. Everything
//!   above is only faster.
//! * A log that does not continue ours left it earlier: the peer's version of our newest operations is
//!   fetched, and the fork's proof sent to whoever holds it. Equal heights over different operations show in
//!   the digest, which names each log's newest operation; those are fetched then, and prove the fork. The same holds
//!   for a control log, whose entries are compared page by page; a proof ends all decisions, not what is said.
//!
//! [`Machine`] is the whole protocol of one link as a state machine without I/O.

mod frames;
mod machine;
mod port;

pub use frames::{Frame, FrameError, Height, Hello};
pub use machine::Machine;
pub use port::{Closed, Input, Output, Report, View};

use crate::{
    control::ControlState,
    ids::{OpId, hash},
    mutants::{self, Mutant},
};

/// How much of a log a node holds, and what stands at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// How much.
    pub height: Height,
    /// The newest operation that counts. Of a log that was cut off or is frozen more may be stored: who stored more
    /// of it before holds no more of what counts. Below that, too, the log may have forked.
    pub head: OpId,
}

/// The digest of a space: equal when two nodes hold the same, and know the same control log.
pub fn digest(control: &ControlState, held: &[Held]) -> [u8; 32] {
    let mut bytes = control.height().to_be_bytes().to_vec();
    bytes.extend_from_slice(&control.head().0);
    for Held { height, head } in held.iter().filter(|held| held.height.seq > 0) {
        bytes.extend_from_slice(height.author.as_bytes());
        bytes.extend_from_slice(&height.incarnation.to_be_bytes());
        bytes.extend_from_slice(&height.seq.to_be_bytes());
        if !mutants::is(Mutant::BlindDigest) {
            bytes.extend_from_slice(&head.0);
        }
    }
    hash("muster/digest/v3", &[&bytes])
}
