//! The JSON of this door, one file for each sort of thing, member for member as the contract has it.
//!
//! Members without a value are left out; counters and lists are always there, also when zero.

pub mod channels;
pub mod envelope;
pub mod error;
pub mod messages;
pub mod peers;
pub mod send;
pub mod session;
pub mod status;
pub mod threads;
pub mod words;

/// Members that are opaque to the node: carried along and ignored.
pub type Extensions = serde_json::Map<String, serde_json::Value>;
