//! The tables, and how their keys are made.
//!
//! Keys are bytes whose order is the order of reading: big-endian numbers, fixed-width ids. Values are
//! our own bytes (see [`crate::rows`]), so that a type of a dependency never becomes our file format.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name | schema version, store id, incarnation |
//! | `spaces` | space | its number in this store |
//! | `control` | space number, height | encoded entry of the control log |
//! | `logs` | space number, author, incarnation | log number, head, where it is frozen |
//! | `ops` | log number, seq | signature, header, body |
//! | `forks` | log number | proof |
//! | `acks` | peer, log number | how much of it the peer holds durably |
//! | `channels` | space number, stream | a channel and its counters |
//! | `timeline` | stream, sequence | where the operation is, void or not |
//! | `threads` | stream, thread key | a thread and its counters |
//! | `thread_order` | thread key, time, author, incarnation, seq | sequence: people's order |
//! | `thread_recent` | stream, newest first, thread id | thread key |
//! | `participants` | thread key or stream, peer | nothing: who ever spoke or was spoken to |
//! | `messages` | space number, message id | who sent it and where it is |
//! | `agents`, `sessions` | space number, name or id | an agent, a session of this node |
//! | `session_order` | space number, at work or stopped, oldest or newest first | nothing: the order of sessions |
//! | `inbox` | session, arrival | sequence of a waiting message |
//! | `addresses` | node | where it was last reachable |
//! | `journal` | number | what happened, for the event stream |

use muster_protocol::{
    clock::Hlc,
    identity::NodeId,
    ids::{StreamId, hash},
};
use redb::TableDefinition;

type Bytes = &'static [u8];

pub(crate) const META: TableDefinition<&str, Bytes> = TableDefinition::new("meta");
pub(crate) const SPACES: TableDefinition<&[u8; 32], u32> = TableDefinition::new("spaces");
pub(crate) const CONTROL: TableDefinition<&[u8; 12], Bytes> = TableDefinition::new("control");
pub(crate) const LOGS: TableDefinition<&[u8; 44], Bytes> = TableDefinition::new("logs");
pub(crate) const OPS: TableDefinition<&[u8; 12], Bytes> = TableDefinition::new("ops");
pub(crate) const FORKS: TableDefinition<u32, Bytes> = TableDefinition::new("forks");
pub(crate) const ACKS: TableDefinition<&[u8; 36], u64> = TableDefinition::new("acks");
pub(crate) const CHANNELS: TableDefinition<&[u8; 20], Bytes> = TableDefinition::new("channels");
pub(crate) const TIMELINE: TableDefinition<&[u8; 24], Bytes> = TableDefinition::new("timeline");
pub(crate) const THREADS: TableDefinition<&[u8; 32], Bytes> = TableDefinition::new("threads");
pub(crate) const THREAD_ORDER: TableDefinition<&[u8; 72], u64> = TableDefinition::new("thread_order");
pub(crate) const THREAD_RECENT: TableDefinition<Bytes, &[u8; 16]> = TableDefinition::new("thread_recent");
pub(crate) const PARTICIPANTS: TableDefinition<&[u8; 32], ()> = TableDefinition::new("participants");
pub(crate) const MESSAGES: TableDefinition<&[u8; 20], Bytes> = TableDefinition::new("messages");
pub(crate) const AGENTS: TableDefinition<&[u8; 20], Bytes> = TableDefinition::new("agents");
pub(crate) const SESSIONS: TableDefinition<&[u8; 20], Bytes> = TableDefinition::new("sessions");
pub(crate) const SESSION_ORDER: TableDefinition<&[u8; 29], ()> = TableDefinition::new("session_order");
pub(crate) const INBOX: TableDefinition<&[u8; 24], Bytes> = TableDefinition::new("inbox");
pub(crate) const ADDRESSES: TableDefinition<&[u8; 32], Bytes> = TableDefinition::new("addresses");
pub(crate) const JOURNAL: TableDefinition<u64, Bytes> = TableDefinition::new("journal");

/// Sixteen bytes that stand for a text of any length inside a scope.
pub(crate) type Short = [u8; 16];

pub(crate) fn short(scope: &[u8], text: &str) -> Short {
    let whole = hash("muster/key/v1", &[scope, text.as_bytes()]);
    let mut short = [0; 16];
    short.copy_from_slice(&whole[..16]);
    short
}

/// Puts big-endian parts behind each other.
macro_rules! key {
    ($length:literal: $($part:expr),+) => {{
        let mut key = [0u8; $length];
        let mut at = 0;
        $(
            let part = $part;
            let part: &[u8] = part.as_ref();
            key[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        )+
        debug_assert_eq!(at, $length);
        key
    }};
}

pub(crate) fn control_key(space: u32, height: u64) -> [u8; 12] {
    key!(12: space.to_be_bytes(), height.to_be_bytes())
}

pub(crate) fn log_key(space: u32, author: NodeId, incarnation: u64) -> [u8; 44] {
    key!(44: space.to_be_bytes(), author.as_bytes(), incarnation.to_be_bytes())
}

pub(crate) fn op_key(log: u32, seq: u64) -> [u8; 12] {
    key!(12: log.to_be_bytes(), seq.to_be_bytes())
}

pub(crate) fn ack_key(peer: NodeId, log: u32) -> [u8; 36] {
    key!(36: peer.as_bytes(), log.to_be_bytes())
}

/// Key of anything named inside a space: channels, messages, agents, sessions.
pub(crate) fn named_key(space: u32, name: Short) -> [u8; 20] {
    key!(20: space.to_be_bytes(), name)
}

pub(crate) fn timeline_key(stream: StreamId, sequence: u64) -> [u8; 24] {
    key!(24: stream.0, sequence.to_be_bytes())
}

pub(crate) fn pair_key(first: Short, second: Short) -> [u8; 32] {
    key!(32: first, second)
}

pub(crate) fn inbox_key(session: Short, number: u64) -> [u8; 24] {
    key!(24: session, number.to_be_bytes())
}

/// Sessions at work come before those that are stopped: the former oldest first, the latter newest first.
/// `event` tells of the start or the end.
pub(crate) fn session_order_key(space: u32, stopped: bool, event: u64, session: &[u8; 20]) -> [u8; 29] {
    let order = if stopped { u64::MAX - event } else { event };
    key!(29: space.to_be_bytes(), [u8::from(stopped)], order.to_be_bytes(), &session[4..])
}

/// The key of the session that an entry of that order is for.
pub(crate) fn ordered_session(entry: &[u8; 29]) -> [u8; 20] {
    key!(20: &entry[..4], &entry[13..])
}

/// The order in which people read a thread: time, then author, then the author's own order.
pub(crate) fn order_key(thread: Short, hlc: Hlc, author: NodeId, incarnation: u64, seq: u64) -> [u8; 72] {
    key!(72: thread, hlc.0.to_be_bytes(), author.as_bytes(), incarnation.to_be_bytes(), seq.to_be_bytes())
}

/// Newest first, ties by ascending thread id (N-106).
pub(crate) fn recent_key(stream: StreamId, active_s: u64, thread_id: &str) -> Vec<u8> {
    [&stream.0[..], &(u64::MAX - active_s).to_be_bytes(), thread_id.as_bytes()].concat()
}
