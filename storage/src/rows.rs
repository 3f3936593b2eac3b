//! What a row of each table holds.
//!
//! Stored values are CBOR arrays of fixed arity. A change of one of these types is a new schema version.

use muster_protocol::{
    cbor::{Bytes, Bytes16, Bytes32},
    clock::Hlc,
    identity::NodeId,
    ids::{OpId, SpaceId, StreamId},
    invocation::machine,
    log::Head,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::StoreError;

pub(crate) fn write<T: Serialize>(row: &T) -> Vec<u8> {
    muster_protocol::cbor::encode(row)
}

/// Reads a row this program wrote. Another shape means a damaged store.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    ciborium::from_reader(bytes).map_err(|_| StoreError::Damaged("a row is not of its table's shape"))
}

/// A log: its number in this store, its head, and from where on it is in doubt.
#[derive(Debug, Clone, Copy, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct LogRow {
    pub(crate) number: u32,
    pub(crate) seq: u64,
    pub(crate) id: OpId,
    pub(crate) hlc: Hlc,
    pub(crate) control_height: u64,
    /// The last operation before a fork; `u64::MAX` when the log is whole.
    pub(crate) frozen_after: u64,
}

impl LogRow {
    pub(crate) fn new(number: u32) -> Self {
        Self { number, seq: 0, id: OpId::NONE, hlc: Hlc(0), control_height: 0, frozen_after: u64::MAX }
    }

    pub(crate) fn head(&self) -> Option<Head> {
        (self.seq > 0).then_some(Head {
            seq: self.seq,
            id: self.id,
            hlc: self.hlc,
            control_height: self.control_height,
        })
    }
}

/// Where an operation is in this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct At {
    pub(crate) log: u32,
    pub(crate) seq: u64,
}

/// One place in a stream's timeline.
#[derive(Debug, Clone, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct TimelineRow {
    pub(crate) at: At,
    pub(crate) void: bool,
    /// The session of this node that sent it, or the first that received it; empty when none (N-111).
    pub(crate) session: String,
}

/// A channel.
#[derive(Debug, Clone, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct ChannelRecord {
    pub(crate) name: String,
    pub(crate) purpose: String,
    pub(crate) created_by: String,
    /// Zero when nobody created it and it only has messages or sessions.
    pub(crate) created_ms: u64,
    pub(crate) last_sequence: u64,
    /// Messages that count, directed ones too.
    pub(crate) messages: u64,
    /// Public messages by kind, in the order of N-115.
    pub(crate) kinds: [u64; 6],
    pub(crate) participants: u64,
    pub(crate) threads: u64,
    pub(crate) rooms: u64,
    /// Work in its threads and rooms that has not ended.
    pub(crate) open_work: u64,
    pub(crate) last_activity_s: u64,
    pub(crate) last_preview: String,
    /// Rank of the message the two above come from; empty when there is none.
    pub(crate) last_rank: Bytes,
}

impl ChannelRecord {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            purpose: String::new(),
            created_by: String::new(),
            created_ms: 0,
            last_sequence: 0,
            messages: 0,
            kinds: [0; 6],
            participants: 0,
            threads: 0,
            rooms: 0,
            open_work: 0,
            last_activity_s: 0,
            last_preview: String::new(),
            last_rank: Bytes(Vec::new()),
        }
    }

    /// Whether it was opened, or has messages (N-112) or rooms; it may have none of them left.
    pub(crate) fn exists(&self) -> bool {
        self.created_ms > 0 || self.messages > 0 || self.rooms > 0
    }
}

/// A thread.
#[derive(Debug, Clone, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct ThreadRecord {
    pub(crate) thread_id: String,
    /// The earliest message in people's order; it opened the thread.
    pub(crate) root_message_id: String,
    /// That message's rank.
    pub(crate) root_rank: Bytes,
    pub(crate) title: String,
    pub(crate) opened_by: String,
    pub(crate) opened_s: u64,
    /// None left means that it is gone.
    pub(crate) messages: u64,
    pub(crate) participants: u64,
    pub(crate) open_work: u64,
    pub(crate) last_activity_s: u64,
    pub(crate) last_preview: String,
    /// Rank of the newest message.
    pub(crate) last_rank: Bytes,
}

impl ThreadRecord {
    pub(crate) fn new(thread_id: &str) -> Self {
        Self {
            thread_id: thread_id.to_owned(),
            root_message_id: String::new(),
            root_rank: Bytes(Vec::new()),
            title: String::new(),
            opened_by: String::new(),
            opened_s: 0,
            messages: 0,
            participants: 0,
            open_work: 0,
            last_activity_s: 0,
            last_preview: String::new(),
            last_rank: Bytes(Vec::new()),
        }
    }
}

/// A direct room.
#[derive(Debug, Clone, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct RoomRecord {
    pub(crate) direct_id: String,
    pub(crate) channel: String,
    pub(crate) peer_a: String,
    pub(crate) peer_b: String,
    /// Number of the pair space it rests in.
    pub(crate) space: u32,
    pub(crate) last_sequence: u64,
    pub(crate) opened_s: u64,
    /// Rank of what opened it: a resolve, or its first message. Empty when nothing of it counts any more.
    pub(crate) opened_rank: Bytes,
    pub(crate) messages: u64,
    pub(crate) open_work: u64,
    pub(crate) last_activity_s: u64,
    pub(crate) last_preview: String,
    /// Rank of the newest message; empty when there is none.
    pub(crate) last_rank: Bytes,
}

impl RoomRecord {
    pub(crate) fn exists(&self) -> bool {
        !self.opened_rank.0.is_empty()
    }
}

/// A pair space: what it is derived from, besides this node.
#[derive(Debug, Clone, Copy, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct PairRow {
    pub(crate) workspace: SpaceId,
    pub(crate) other: NodeId,
}

/// Work as it stands. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct WorkRow {
    pub(crate) work_id: String,
    pub(crate) workspace: String,
    pub(crate) channel: String,
    /// Of a thread, else of a direct room.
    pub(crate) thread: bool,
    pub(crate) container: String,
    pub(crate) opened_by: String,
    pub(crate) target: String,
    pub(crate) state: String,
    pub(crate) opened_s: i64,
    pub(crate) last_activity_s: i64,
    /// One or none.
    pub(crate) terminal_s: Vec<i64>,
}

/// Where a message is. Of several that one sender sent with one id, the first in people's order counts.
#[derive(Debug, Clone, Copy, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct MessageRecord {
    pub(crate) at: At,
    /// Number of its space.
    pub(crate) space: u32,
    pub(crate) stream: StreamId,
    /// Its place in the stream's timeline; zero when it repeats another and has none.
    pub(crate) sequence: u64,
}

/// An agent known to a workspace on this node.
#[derive(Debug, Clone, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct AgentRecord {
    pub(crate) name: String,
    pub(crate) provider: String,
    /// A JSON array of capability documents.
    pub(crate) capabilities: String,
}

/// A session of this node.
#[derive(Debug, Clone, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct SessionRecord {
    pub(crate) id: String,
    pub(crate) agent: String,
    pub(crate) provider: String,
    pub(crate) channel: String,
    pub(crate) peer: String,
    pub(crate) stopped: bool,
    pub(crate) stop_reason: String,
    pub(crate) created_ms: u64,
    pub(crate) updated_ms: u64,
    /// Its place in the order of sessions: the number of the event that tells of its start.
    pub(crate) place: u64,
    /// Number of the next envelope, and of the oldest that may still wait.
    pub(crate) inbox_next: u64,
    pub(crate) inbox_first: u64,
    pub(crate) inbox_waiting: u64,
    /// Number of the envelope its program works on; it comes before those that wait.
    pub(crate) in_hand: Option<u64>,
    /// No waiting envelope expires earlier, in Unix seconds; zero when none does.
    pub(crate) expires_s: i64,
    /// What went wrong with its program last, and how often in a row; empty when all is well.
    pub(crate) failure_kind: String,
    pub(crate) failure_summary: String,
    pub(crate) failures: u64,
    /// How often its program had to be started again after a failure.
    pub(crate) restarts: u64,
}

/// Where a waiting envelope is.
#[derive(Debug, Clone, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct InboxRecord {
    pub(crate) at: At,
    /// Unix seconds after which it is dropped; zero for never (N-102).
    pub(crate) expires_s: i64,
    /// What is counted when it leaves, so that nobody has to read it: its kind, as a place in the order of
    /// N-115, tags, and who sent it.
    pub(crate) kind: u8,
    pub(crate) tags: u8,
    pub(crate) from: String,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct JournalRecord {
    /// What kind of thing; see [`crate::events`].
    pub(crate) kind: String,
    pub(crate) space: u32,
    /// When this node stored it.
    pub(crate) at_ms: u64,
    /// Where more is: an operation's place or a control height, or nothing.
    pub(crate) place: Vec<At>,
    /// What is not found there, as a JSON object; empty for none.
    pub(crate) data: String,
}

/// A stream of the Workspace door. What it is called, what it is for and whether it is archived is in `newest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct StreamRecord {
    /// Number of the space it rests in: the workspace's, or a private one.
    pub(crate) space: u32,
    /// See [`muster_protocol::stream::StreamKind::as_str`].
    pub(crate) kind: String,
    /// The stream it hangs in, or itself.
    pub(crate) root: StreamId,
    /// Of a public channel or a thread there; empty in a private stream.
    pub(crate) channel: String,
    /// Of a thread; empty otherwise.
    pub(crate) thread: String,
    /// The earliest of what is known about it, in Unix milliseconds.
    pub(crate) opened_ms: u64,
    /// The last place in its timeline, of a private stream; a channel counts in its own record.
    pub(crate) last_sequence: u64,
    /// Messages that are listed in it.
    pub(crate) live: u64,
    /// Of a thread: the message it hangs from as a ULID, if it is known; and its sequence, zero once it is deleted.
    pub(crate) parent: Bytes,
    pub(crate) parent_sequence: u64,
}

/// A message by its id in the Workspace door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct PostRecord {
    pub(crate) at: At,
    /// The stream whose timeline it is in.
    pub(crate) root: StreamId,
    /// The stream it is listed in.
    pub(crate) stream: StreamId,
    /// The thread it is in or opens; empty for none.
    pub(crate) thread: String,
    /// Its place; zero when it is not listed, as it was deleted.
    pub(crate) sequence: u64,
}

/// A memo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct MemoRecord {
    /// The operation that gives its text: a message, an edit of one, or a memo written by hand.
    pub(crate) at: At,
    /// The message it was extracted from as a ULID; empty for one written by hand.
    pub(crate) source: Bytes,
    /// When that operation was written.
    pub(crate) hlc: Hlc,
    /// From one on.
    pub(crate) version: u64,
    /// The memo it takes the place of as a ULID; empty for none.
    pub(crate) parent: Bytes,
    /// See [`muster_protocol::memo::MemoText`].
    pub(crate) knowledge: String,
    pub(crate) title: String,
    pub(crate) summary: String,
    pub(crate) key_points: Vec<String>,
    pub(crate) tags: Vec<String>,
}

/// A key of the Workspace door.
#[derive(Debug, Clone, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct KeyRecord {
    /// SHA-256 of the whole key (W-21).
    pub(crate) sha256: Bytes32,
    /// Its first letters behind the prefix.
    pub(crate) letters: String,
    pub(crate) workspace: SpaceId,
    pub(crate) principal: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) created_ms: u64,
    /// Unix milliseconds; zero for never.
    pub(crate) expires_ms: u64,
    pub(crate) revoked: bool,
}

/// A file that was uploaded at this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct UploadRecord {
    /// Of its workspace.
    pub(crate) space: SpaceId,
    pub(crate) filename: String,
    pub(crate) mime_type: String,
    pub(crate) size: u64,
    pub(crate) sha256: Bytes32,
    /// Of an image in pixels; zero for unknown.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Who uploaded it.
    pub(crate) uploader: String,
    /// See [`muster_protocol::attachment::ProcessingStatus`].
    pub(crate) status: String,
    /// What was found in it, as JSON; empty for nothing.
    pub(crate) extraction: String,
    pub(crate) created_ms: u64,
    /// Numbers of the spaces in which it was said what it contains.
    pub(crate) said: Vec<u32>,
}

/// A link to an attachment.
#[derive(Debug, Clone, Copy, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct BindingRecord {
    /// The operation that links.
    pub(crate) at: At,
    /// Number of its space.
    pub(crate) space: u32,
    /// The message that has the link in its text, as its author made it then.
    pub(crate) message: Bytes16,
}

/// A runtime of a bot.
#[derive(Debug, Clone, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct RuntimeRecord {
    pub(crate) id: Bytes16,
    pub(crate) kind: String,
    pub(crate) instance: String,
    pub(crate) display_name: Option<String>,
    pub(crate) status: String,
    pub(crate) accepting: bool,
    /// A JSON object.
    pub(crate) capabilities: String,
    pub(crate) status_text: Option<String>,
    /// Its X25519 key in base64 and that key's name, both or none.
    pub(crate) public_key: Vec<String>,
    pub(crate) seen_ms: u64,
    pub(crate) created_ms: u64,
    pub(crate) updated_ms: u64,
}

/// A session of a runtime, and the scratchpad it answers in.
#[derive(Debug, Clone, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct LinkRecord {
    pub(crate) id: Bytes16,
    pub(crate) kind: String,
    pub(crate) instance: String,
    pub(crate) session: String,
    pub(crate) stream: StreamId,
    /// Where the session works on its machine; empty for nothing said.
    pub(crate) local_cwd: String,
    pub(crate) created_ms: u64,
}

/// An invocation of a bot of this node.
#[derive(Debug, Clone, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct InvocationRecord {
    /// The bot's ULID.
    pub(crate) bot: Bytes16,
    pub(crate) trigger: String,
    /// The operation that summoned it, and the message that is.
    pub(crate) source: OpId,
    pub(crate) message: Bytes16,
    /// Number of the space the source is in, its root stream there, and the channel that is; empty for a private one.
    pub(crate) space: u32,
    pub(crate) root: StreamId,
    pub(crate) channel: String,
    /// Whom it is aimed at; empty for anybody.
    pub(crate) instance: String,
    pub(crate) session: String,
    pub(crate) with_preamble: bool,
    pub(crate) created_ms: u64,
    /// When it has to be looked at.
    pub(crate) due_ms: u64,
    /// Steps that were recorded, also those that made room.
    pub(crate) steps: u32,
    /// The reply's ULID; empty for none.
    pub(crate) reply: Bytes,
    /// Why it failed; empty for no reason.
    pub(crate) reason: String,
    pub(crate) work: machine::Invocation,
}

/// A step of a trace.
#[derive(Debug, Clone, Serialize_tuple, Deserialize_tuple)]
pub(crate) struct StepRecord {
    pub(crate) id: Bytes16,
    pub(crate) kind: String,
    /// Without secrets (W-147).
    pub(crate) content: String,
    pub(crate) at_ms: u64,
}
