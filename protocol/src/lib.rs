//! What Muster signs and sends, and the rules that decide about it.
//!
//! This crate is pure: no sockets, no files, no clock, no randomness. Time comes in as a number,
//! randomness as bytes, and what has to happen comes out as values. So every rule can be tested as a
//! function, a thousand nodes can be played through in a second, and all nodes come to the same
//! verdict about the same bytes.

pub mod ask;
pub mod attachment;
pub mod cbor;
pub mod clock;
pub mod content;
pub mod control;
pub mod fork;
pub mod identity;
pub mod ids;
pub mod invocation;
pub mod key;
pub mod limits;
pub mod log;
pub mod markdown;
pub mod memo;
pub mod mutants;
pub mod network;
pub mod notice;
pub mod operation;
pub mod post;
pub mod presence;
pub mod principal;
pub mod session;
pub mod stream;
pub mod sync;
pub mod ticket;
