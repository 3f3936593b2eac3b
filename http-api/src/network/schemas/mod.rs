//! The JSON of this door, one file for each sort of thing, member for member as the contract has it.
//!
//! Members without a value are left out; counters and lists are always there, also when zero.

pub mod channels;
pub mod directs;
pub mod envelope;
pub mod error;
pub mod messages;
pub mod peers;
pub mod send;
pub mod session;
pub mod status;
pub mod threads;
pub mod words;
pub mod work;

use muster_protocol::{
    identity::NodeId,
    network::PeerName,
    session::{may_speak_as, session_of},
};

/// Members that are opaque to the node: carried along and ignored.
pub type Extensions = serde_json::Map<String, serde_json::Value>;

/// The session a peer belongs to, when it is one of node `here`.
pub(crate) fn session_here(here: NodeId, peer: &PeerName) -> Option<String> {
    may_speak_as(here, peer).then(|| session_of(peer).map(str::to_owned)).flatten()
}
