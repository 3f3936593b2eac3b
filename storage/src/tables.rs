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
//! | `openings` | stream, rank | where the operation is that opened the channel |
//! | `order` | thread key or stream, maybe with a filter; rank | sequence: messages of a thread, of a room, public ones of a channel, in people's order |
//! | `thread_recent` | stream, newest first, thread id | thread key |
//! | `participants` | thread key or stream, peer | in how many messages it spoke or was spoken to |
//! | `messages` | workspace's number, message id, local or not, sender, rank | where the message is |
//! | `agents`, `sessions` | space number, name or id | an agent, a session of this node |
//! | `session_order` | space number, at work or stopped, oldest or newest first | nothing: the order of sessions |
//! | `inbox` | session, arrival | sequence of a waiting message |
//! | `pairs` | space number | of a pair space: its workspace's space and the other node |
//! | `groups` | space number | of a group space: its workspace's space |
//! | `rooms` | workspace's number, direct id | a direct room and its counters |
//! | `room_recent` | channel's stream, or channel and peer; newest first, direct id | the room's key |
//! | `works` | workspace's number, work id, space number | work as it stands |
//! | `work_order` | work, all or which messages about it; rank | where the message is, or how the work stood after it |
//! | `addresses` | node | where it was last reachable |
//! | `journal` | number | what happened, for the event stream |
//! | `newest` | subject; rank | where an operation is that says something about the subject: of all of them the last counts |
//! | `principals` | space number, person or bot, id | nothing: who has a card |
//! | `streams` | space number, stream | a stream of the Workspace door |
//! | `stream_order` | space number, time of opening, stream | nothing: the order of streams |
//! | `members` | stream, time of joining, principal | nothing: who takes part |
//! | `parts` | space number, principal, stream | when the principal joined |
//! | `listed` | stream, sequence | the stream whose timeline the sequence is of |
//! | `posts` | space number, id | a message by its id in the Workspace door |
//! | `client_ids` | stream, the sender's name for a message | the message's key in `posts` |
//! | `metadata` | space number, pair, newest first | the message's key in `posts` |
//! | `uploads` | id | a file that was uploaded at this node |
//! | `uploads_open` | id | nothing: files that no message links to yet, are not read, or about which something is to be said |
//! | `bindings` | space number, attachment, rank | where the operation is that links to an attachment, and the message |
//! | `blob_uses` | SHA-256, space number, attachment | nothing: attachments with these bytes |
//! | `memos` | space number, id | a memo |
//! | `memo_versions` | message; rank | the memo that each of its texts makes, in the order in which they were given |
//! | `memo_order` | space number, newest change first, id | nothing: memos that are found |
//! | `keys` | id | a key of the Workspace door |
//! | `key_lookup` | the key's first letters, id | nothing |
//! | `runtimes` | space number, bot, instance | a runtime of a bot of this node |
//! | `links` | space number, bot, kind, instance and session | a session and its scratchpad |
//! | `link_streams` | stream | the key in `links` of the session that answers there |
//! | `invocations` | space number, id | an invocation of a bot of this node |
//! | `invocation_queue` | space number, bot, time, id | nothing: what waits, the oldest first |
//! | `invocation_times` | time, space number, id | nothing: when an invocation has to be looked at |
//! | `invocation_sources` | space number, message's id, invocation's id | nothing: what a message summoned |
//! | `steps` | space number, invocation's id, number | a step of its trace |
//!
//! In the tables of the Workspace door the space number is the workspace's, also of what rests in a private space.
//!
//! A *rank* is an operation's place in people's order: time, author, incarnation, seq.

use std::ops::RangeInclusive;

use muster_protocol::{
    clock::Hlc,
    identity::NodeId,
    ids::{StreamId, hash},
    operation::Header,
    principal::Principal,
};
use redb::TableDefinition;
use ulid::Ulid;

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
pub(crate) const OPENINGS: TableDefinition<&[u8; 72], Bytes> = TableDefinition::new("openings");
pub(crate) const ORDER: TableDefinition<&[u8; 72], u64> = TableDefinition::new("order");
pub(crate) const THREAD_RECENT: TableDefinition<Bytes, &[u8; 16]> = TableDefinition::new("thread_recent");
pub(crate) const PARTICIPANTS: TableDefinition<&[u8; 32], u64> = TableDefinition::new("participants");
pub(crate) const MESSAGES: TableDefinition<&[u8; 93], Bytes> = TableDefinition::new("messages");
pub(crate) const AGENTS: TableDefinition<&[u8; 20], Bytes> = TableDefinition::new("agents");
pub(crate) const SESSIONS: TableDefinition<&[u8; 20], Bytes> = TableDefinition::new("sessions");
pub(crate) const SESSION_ORDER: TableDefinition<&[u8; 29], ()> = TableDefinition::new("session_order");
pub(crate) const INBOX: TableDefinition<&[u8; 24], Bytes> = TableDefinition::new("inbox");
pub(crate) const PAIRS: TableDefinition<u32, Bytes> = TableDefinition::new("pairs");
pub(crate) const GROUPS: TableDefinition<u32, &[u8; 32]> = TableDefinition::new("groups");
pub(crate) const ROOMS: TableDefinition<&[u8; 20], Bytes> = TableDefinition::new("rooms");
pub(crate) const ROOM_RECENT: TableDefinition<Bytes, &[u8; 20]> = TableDefinition::new("room_recent");
pub(crate) const WORKS: TableDefinition<&[u8; 24], Bytes> = TableDefinition::new("works");
pub(crate) const WORK_ORDER: TableDefinition<&[u8; 72], Bytes> = TableDefinition::new("work_order");
pub(crate) const ADDRESSES: TableDefinition<&[u8; 32], Bytes> = TableDefinition::new("addresses");
pub(crate) const JOURNAL: TableDefinition<u64, Bytes> = TableDefinition::new("journal");

pub(crate) const NEWEST: TableDefinition<&[u8; 72], Bytes> = TableDefinition::new("newest");
pub(crate) const PRINCIPALS: TableDefinition<&[u8; 21], ()> = TableDefinition::new("principals");
pub(crate) const STREAMS: TableDefinition<&[u8; 20], Bytes> = TableDefinition::new("streams");
pub(crate) const STREAM_ORDER: TableDefinition<&[u8; 28], ()> = TableDefinition::new("stream_order");
pub(crate) const MEMBERS: TableDefinition<&[u8; 41], ()> = TableDefinition::new("members");
pub(crate) const PARTS: TableDefinition<&[u8; 37], u64> = TableDefinition::new("parts");
pub(crate) const LISTED: TableDefinition<&[u8; 24], &[u8; 16]> = TableDefinition::new("listed");
pub(crate) const POSTS: TableDefinition<&[u8; 20], Bytes> = TableDefinition::new("posts");
pub(crate) const CLIENT_IDS: TableDefinition<&[u8; 32], &[u8; 20]> = TableDefinition::new("client_ids");
pub(crate) const METADATA: TableDefinition<&[u8; 76], &[u8; 20]> = TableDefinition::new("metadata");
pub(crate) const UPLOADS: TableDefinition<&[u8; 16], Bytes> = TableDefinition::new("uploads");
pub(crate) const UPLOADS_OPEN: TableDefinition<&[u8; 16], ()> = TableDefinition::new("uploads_open");
pub(crate) const BINDINGS: TableDefinition<&[u8; 76], Bytes> = TableDefinition::new("bindings");
pub(crate) const BLOB_USES: TableDefinition<&[u8; 52], ()> = TableDefinition::new("blob_uses");
pub(crate) const MEMOS: TableDefinition<&[u8; 20], Bytes> = TableDefinition::new("memos");
pub(crate) const MEMO_VERSIONS: TableDefinition<&[u8; 72], &[u8; 16]> = TableDefinition::new("memo_versions");
pub(crate) const MEMO_ORDER: TableDefinition<&[u8; 28], ()> = TableDefinition::new("memo_order");
pub(crate) const KEYS: TableDefinition<&[u8; 16], Bytes> = TableDefinition::new("keys");
pub(crate) const KEY_LOOKUP: TableDefinition<&[u8; 24], ()> = TableDefinition::new("key_lookup");
pub(crate) const RUNTIMES: TableDefinition<&[u8; 36], Bytes> = TableDefinition::new("runtimes");
pub(crate) const LINKS: TableDefinition<&[u8; 36], Bytes> = TableDefinition::new("links");
pub(crate) const LINK_STREAMS: TableDefinition<&[u8; 16], &[u8; 36]> = TableDefinition::new("link_streams");
pub(crate) const INVOCATIONS: TableDefinition<&[u8; 20], Bytes> = TableDefinition::new("invocations");
pub(crate) const INVOCATION_QUEUE: TableDefinition<&[u8; 44], ()> = TableDefinition::new("invocation_queue");
pub(crate) const INVOCATION_TIMES: TableDefinition<&[u8; 28], ()> = TableDefinition::new("invocation_times");
pub(crate) const INVOCATION_SOURCES: TableDefinition<&[u8; 36], ()> =
    TableDefinition::new("invocation_sources");
pub(crate) const STEPS: TableDefinition<&[u8; 24], Bytes> = TableDefinition::new("steps");

/// Does something with every table but `meta`, which comes first or last as the caller needs.
macro_rules! all_tables {
    ($do:ident, $($argument:expr),*) => {
        [
            $do($($argument,)* $crate::tables::SPACES)?,
            $do($($argument,)* $crate::tables::CONTROL)?,
            $do($($argument,)* $crate::tables::LOGS)?,
            $do($($argument,)* $crate::tables::OPS)?,
            $do($($argument,)* $crate::tables::FORKS)?,
            $do($($argument,)* $crate::tables::ACKS)?,
            $do($($argument,)* $crate::tables::CHANNELS)?,
            $do($($argument,)* $crate::tables::TIMELINE)?,
            $do($($argument,)* $crate::tables::THREADS)?,
            $do($($argument,)* $crate::tables::OPENINGS)?,
            $do($($argument,)* $crate::tables::ORDER)?,
            $do($($argument,)* $crate::tables::THREAD_RECENT)?,
            $do($($argument,)* $crate::tables::PARTICIPANTS)?,
            $do($($argument,)* $crate::tables::MESSAGES)?,
            $do($($argument,)* $crate::tables::AGENTS)?,
            $do($($argument,)* $crate::tables::SESSIONS)?,
            $do($($argument,)* $crate::tables::SESSION_ORDER)?,
            $do($($argument,)* $crate::tables::INBOX)?,
            $do($($argument,)* $crate::tables::PAIRS)?,
            $do($($argument,)* $crate::tables::GROUPS)?,
            $do($($argument,)* $crate::tables::ROOMS)?,
            $do($($argument,)* $crate::tables::ROOM_RECENT)?,
            $do($($argument,)* $crate::tables::WORKS)?,
            $do($($argument,)* $crate::tables::WORK_ORDER)?,
            $do($($argument,)* $crate::tables::ADDRESSES)?,
            $do($($argument,)* $crate::tables::JOURNAL)?,
            $do($($argument,)* $crate::tables::NEWEST)?,
            $do($($argument,)* $crate::tables::PRINCIPALS)?,
            $do($($argument,)* $crate::tables::STREAMS)?,
            $do($($argument,)* $crate::tables::STREAM_ORDER)?,
            $do($($argument,)* $crate::tables::MEMBERS)?,
            $do($($argument,)* $crate::tables::PARTS)?,
            $do($($argument,)* $crate::tables::LISTED)?,
            $do($($argument,)* $crate::tables::POSTS)?,
            $do($($argument,)* $crate::tables::CLIENT_IDS)?,
            $do($($argument,)* $crate::tables::METADATA)?,
            $do($($argument,)* $crate::tables::UPLOADS)?,
            $do($($argument,)* $crate::tables::UPLOADS_OPEN)?,
            $do($($argument,)* $crate::tables::BINDINGS)?,
            $do($($argument,)* $crate::tables::BLOB_USES)?,
            $do($($argument,)* $crate::tables::MEMOS)?,
            $do($($argument,)* $crate::tables::MEMO_VERSIONS)?,
            $do($($argument,)* $crate::tables::MEMO_ORDER)?,
            $do($($argument,)* $crate::tables::KEYS)?,
            $do($($argument,)* $crate::tables::KEY_LOOKUP)?,
            $do($($argument,)* $crate::tables::RUNTIMES)?,
            $do($($argument,)* $crate::tables::LINKS)?,
            $do($($argument,)* $crate::tables::LINK_STREAMS)?,
            $do($($argument,)* $crate::tables::INVOCATIONS)?,
            $do($($argument,)* $crate::tables::INVOCATION_QUEUE)?,
            $do($($argument,)* $crate::tables::INVOCATION_TIMES)?,
            $do($($argument,)* $crate::tables::INVOCATION_SOURCES)?,
            $do($($argument,)* $crate::tables::STEPS)?,
        ]
    };
}
pub(crate) use all_tables;

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

mod work;
pub(crate) use work::*;

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

/// The number in the key of an envelope that waits.
pub(crate) fn inbox_number(key: &[u8; 24]) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&key[16..]);
    u64::from_be_bytes(number)
}

/// The place of an operation in the order in which people read: time, then author, then the author's own
/// order.
pub(crate) type Rank = [u8; 56];

pub(crate) fn rank(header: &Header) -> Rank {
    key!(56: header.hlc.0.to_be_bytes(), header.author.as_bytes(), header.incarnation.to_be_bytes(), header.seq.to_be_bytes())
}

/// Key of an operation in the order of a thread, or of a channel.
pub(crate) fn order_key(of: Short, rank: &Rank) -> [u8; 72] {
    key!(72: of, rank)
}

pub(crate) fn order_rank(key: &[u8; 72]) -> Rank {
    let mut rank = [0; 56];
    rank.copy_from_slice(&key[16..]);
    rank
}

/// The keys between which all of a thread or channel stand.
pub(crate) fn order_range(of: Short) -> RangeInclusive<[u8; 72]> {
    order_key(of, &[0; 56])..=order_key(of, &[0xff; 56])
}

/// Key of one copy of a message. All of one sender with one id stand together, the lowest rank first.
pub(crate) fn message_key(space: u32, id: &str, local: bool, sender: Short, rank: &Rank) -> [u8; 93] {
    key!(93: space.to_be_bytes(), short(b"message", id), [u8::from(!local)], sender, rank)
}

pub(crate) fn message_rank(key: &[u8; 93]) -> Rank {
    let mut rank = [0; 56];
    rank.copy_from_slice(&key[37..]);
    rank
}

pub(crate) fn message_is_local(key: &[u8; 93]) -> bool {
    key[20] == 0
}

/// The keys between which all messages with an id stand, local ones first.
pub(crate) fn message_range(space: u32, id: &str) -> RangeInclusive<[u8; 93]> {
    let (lowest, highest) = ([0; 16], [0xff; 16]);
    message_key(space, id, true, lowest, &[0; 56])..=message_key(space, id, false, highest, &[0xff; 56])
}

/// The keys between which all messages with an id and a sender stand.
pub(crate) fn copies_range(space: u32, id: &str, local: bool, sender: Short) -> RangeInclusive<[u8; 93]> {
    message_key(space, id, local, sender, &[0; 56])..=message_key(space, id, local, sender, &[0xff; 56])
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

/// Newest first, ties by ascending id (N-106), inside the threads of a channel, its rooms, or its rooms of one peer.
pub(crate) fn recent_key(of: Short, active_s: u64, id: &str) -> Vec<u8> {
    [&of[..], &(u64::MAX - active_s).to_be_bytes(), id.as_bytes()].concat()
}

/// The rooms of one peer in a channel.
pub(crate) fn rooms_of(channel: StreamId, peer: &str) -> Short {
    short(&channel.0, peer)
}

/// Key of a direct room. Its id is made of its workspace, channel and pair, so it is unique.
pub(crate) fn room_key(workspace: u32, direct_id: &str) -> [u8; 20] {
    named_key(workspace, short(b"room", direct_id))
}

/// Key of work. Nodes that do not see each other's work may open it under one id, once in each space.
pub(crate) fn work_key(workspace: u32, work_id: &str, space: u32) -> [u8; 24] {
    key!(24: workspace.to_be_bytes(), short(b"work", work_id), space.to_be_bytes())
}

/// The number of the space of the work that a key is for.
pub(crate) fn work_space(key: &[u8; 24]) -> u32 {
    let mut space = [0; 4];
    space.copy_from_slice(&key[20..]);
    u32::from_be_bytes(space)
}

/// What the messages about a work are ordered under.
pub(crate) fn work_of(space: u32, work_id: &str) -> Short {
    short(&space.to_be_bytes(), work_id)
}

/// The messages of a thread or room that a filter keeps (N-109).
pub(crate) fn filtered(of: Short, kind: Option<&str>, work: Option<&str>) -> Short {
    match (kind, work) {
        (None, None) => of,
        // No kind has a slash in it, so no filter reads as another.
        (kind, work) => short(&of, &format!("{}/{}", kind.unwrap_or_default(), work.unwrap_or_default())),
    }
}

/// What the newest operation about something decides.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject {
    /// The card of a principal of a workspace.
    Card(u32, Principal),
    /// A part of a stream.
    Stream(StreamId, u8),
    /// Whether somebody takes part in a stream.
    Part(StreamId, Principal),
    /// The text of a post of a workspace.
    Text(u32, Ulid),
    /// Whether a post of a workspace is gone.
    Gone(u32, Ulid),
    /// What an attachment of a workspace contains.
    Described(u32, Ulid),
    /// What became of an invocation of a workspace.
    Invocation(u32, Ulid),
    /// Whether this node holds a group, by the group's stream, as the group's home says.
    Group(StreamId),
    /// The same of another node, as this node said to it.
    Told(StreamId, NodeId),
    /// The memos that a message of a workspace makes, or one that was written by hand.
    Memo(u32, Ulid),
    /// A notice of a workspace.
    Notice(u32, Ulid),
    /// What ended without an answer of all that a message of a workspace summoned.
    Unanswered(u32, Ulid),
}

impl Subject {
    pub(crate) fn key(self) -> Short {
        let of_space = |number: u32, id: Ulid, what: &str| {
            short(&[&number.to_be_bytes()[..], &id.to_bytes()[..]].concat(), what)
        };
        match self {
            Self::Card(number, principal) => {
                of_space(number, principal.ulid(), if principal.is_bot() { "bot" } else { "user" })
            }
            Self::Stream(stream, part) => short(&stream.0, &format!("part/{part}")),
            Self::Part(stream, principal) => short(&stream.0, &principal.to_string()),
            Self::Text(number, id) => of_space(number, id, "text"),
            Self::Gone(number, id) => of_space(number, id, "gone"),
            Self::Described(number, id) => of_space(number, id, "described"),
            Self::Invocation(number, id) => of_space(number, id, "invocation"),
            Self::Memo(number, id) => of_space(number, id, "memo"),
            Self::Notice(number, id) => of_space(number, id, "notice"),
            Self::Unanswered(number, id) => of_space(number, id, "unanswered"),
            Self::Group(stream) => short(&stream.0, "group"),
            Self::Told(stream, node) => short(&stream.0, &format!("told/{node}")),
        }
    }
}

/// People and bots as they stand in keys: which of the two, and the id.
fn principal_bytes(principal: Principal) -> [u8; 17] {
    key!(17: [u8::from(principal.is_bot())], principal.ulid().to_bytes())
}

fn principal_of(bytes: &[u8]) -> Principal {
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[1..17]);
    let id = Ulid::from_bytes(id);
    if bytes[0] == 0 { Principal::User(id) } else { Principal::Bot(id) }
}

pub(crate) fn principal_key(space: u32, principal: Principal) -> [u8; 21] {
    key!(21: space.to_be_bytes(), principal_bytes(principal))
}

/// Whom a key of [`principal_key`] is for.
pub(crate) fn principal_in(key: &[u8; 21]) -> Principal {
    principal_of(&key[4..])
}

/// Key of a stream, and of anything else that 16 bytes name in a workspace.
pub(crate) fn id_key(space: u32, id: [u8; 16]) -> [u8; 20] {
    key!(20: space.to_be_bytes(), id)
}

/// The id in a key of [`id_key`].
pub(crate) fn id_in(key: &[u8; 20]) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&key[4..]);
    id
}

pub(crate) fn stream_order_key(space: u32, opened_ms: u64, stream: StreamId) -> [u8; 28] {
    key!(28: space.to_be_bytes(), opened_ms.to_be_bytes(), stream.0)
}

/// The stream that an entry of that order is for.
pub(crate) fn ordered_stream(entry: &[u8; 28]) -> StreamId {
    let mut stream = [0; 16];
    stream.copy_from_slice(&entry[12..]);
    StreamId(stream)
}

pub(crate) fn member_key(stream: StreamId, joined_ms: u64, principal: Principal) -> [u8; 41] {
    key!(41: stream.0, joined_ms.to_be_bytes(), principal_bytes(principal))
}

/// All who take part in a stream.
pub(crate) fn members_of(stream: StreamId) -> RangeInclusive<[u8; 41]> {
    key!(41: stream.0, [0; 25])..=key!(41: stream.0, [0xff; 25])
}

/// When somebody joined, and who.
pub(crate) fn member_in(key: &[u8; 41]) -> (u64, Principal) {
    let mut joined_ms = [0; 8];
    joined_ms.copy_from_slice(&key[16..24]);
    (u64::from_be_bytes(joined_ms), principal_of(&key[24..]))
}

pub(crate) fn part_key(space: u32, principal: Principal, stream: StreamId) -> [u8; 37] {
    key!(37: space.to_be_bytes(), principal_bytes(principal), stream.0)
}

/// The stream in a key of [`part_key`].
pub(crate) fn part_stream(key: &[u8; 37]) -> StreamId {
    let mut stream = [0; 16];
    stream.copy_from_slice(&key[21..]);
    StreamId(stream)
}

/// The sequence in a key of [`timeline_key`].
pub(crate) fn sequence_in(key: &[u8; 24]) -> u64 {
    let mut sequence = [0; 8];
    sequence.copy_from_slice(&key[16..]);
    u64::from_be_bytes(sequence)
}

pub(crate) fn client_key(stream: StreamId, client_id: &str) -> [u8; 32] {
    key!(32: stream.0, short(b"client", client_id))
}

/// All messages with one pair of metadata, the newest first.
pub(crate) fn metadata_key(space: u32, pair: (&str, &str), rank: &Rank) -> [u8; 76] {
    let newest_first = rank.map(|byte| !byte);
    // No key has a NUL in it, so no pair reads as another.
    key!(76: space.to_be_bytes(), short(b"metadata", &format!("{}\0{}", pair.0, pair.1)), newest_first)
}

pub(crate) fn memo_order_key(space: u32, changed: Hlc, id: Ulid) -> [u8; 28] {
    key!(28: space.to_be_bytes(), (u64::MAX - changed.0).to_be_bytes(), id.to_bytes())
}

/// Between which keys all memos of a workspace are, the latest changed first.
pub(crate) fn memo_order_ends(space: u32) -> ([u8; 28], [u8; 28]) {
    let last = Ulid::from_bytes([0xff; 16]);
    (memo_order_key(space, Hlc(u64::MAX), Ulid::nil()), memo_order_key(space, Hlc(0), last))
}

/// The memo that an entry of that order is for.
pub(crate) fn ordered_memo(entry: &[u8; 28]) -> Ulid {
    Ulid::from_bytes(ordered_stream(entry).0)
}

pub(crate) fn key_lookup_key(letters: [u8; 8], id: Ulid) -> [u8; 24] {
    key!(24: letters, id.to_bytes())
}

/// Key of one link to an attachment. All to one stand together in people's order, all of a workspace by attachment.
pub(crate) fn binding_key(space: u32, attachment: Ulid, rank: &Rank) -> [u8; 76] {
    key!(76: space.to_be_bytes(), attachment.to_bytes(), rank)
}

/// The keys between which all links to an attachment stand.
pub(crate) fn binding_range(space: u32, attachment: Ulid) -> RangeInclusive<[u8; 76]> {
    binding_key(space, attachment, &[0; 56])..=binding_key(space, attachment, &[0xff; 56])
}

/// The attachment in a key of [`binding_key`].
pub(crate) fn bound_attachment(key: &[u8; 76]) -> Ulid {
    let mut id = [0; 16];
    id.copy_from_slice(&key[4..20]);
    Ulid::from_bytes(id)
}

pub(crate) fn blob_use_key(sha256: [u8; 32], space: u32, attachment: Ulid) -> [u8; 52] {
    key!(52: sha256, space.to_be_bytes(), attachment.to_bytes())
}

/// The space number and the attachment in a key of [`blob_use_key`].
pub(crate) fn blob_user(key: &[u8; 52]) -> (u32, Ulid) {
    let (mut space, mut id) = ([0; 4], [0; 16]);
    space.copy_from_slice(&key[32..36]);
    id.copy_from_slice(&key[36..]);
    (u32::from_be_bytes(space), Ulid::from_bytes(id))
}
