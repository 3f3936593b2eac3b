//! What goes into the index, what is asked of it, and what it answers.

use std::collections::BTreeSet;

use muster_protocol::{
    ids::{StreamId, WorkspaceId},
    stream::StreamKind,
};
use ulid::Ulid;

use crate::meaning::Tier;

/// A live message as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Of the message. What is put later under the same id takes its place.
    pub id: Ulid,
    /// In which workspace.
    pub workspace: WorkspaceId,
    /// In which stream.
    pub stream: StreamId,
    /// The stream that decides who may read it: that of a thread's channel, else the same as `stream` (W-38).
    pub root: StreamId,
    /// Of `stream`.
    pub kind: StreamKind,
    /// Who wrote it, as the doors write it: `usr_…` or `bot_…`.
    pub author: String,
    /// When it was written, milliseconds since 1970.
    pub created_ms: u64,
    /// Its Markdown.
    pub text: String,
}

/// How far a feeder has come: the number of the newest event of the journal that is in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

impl Position {
    /// Nothing is in the index.
    pub const BEGINNING: Self = Self(0);
}

/// In which way is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By words: any of them, best first (W-82).
    Words,
    /// The text as it stands, in any case, newest first (W-83).
    Exact,
    /// By words and by meaning (W-84).
    Semantic,
}

/// One search. All filters have to hold (W-85).
#[derive(Debug, Clone)]
pub struct Query {
    /// In which workspace.
    pub workspace: WorkspaceId,
    /// The root streams that the caller may read and that are not archived (W-32, W-37). None: nothing is found.
    pub roots: BTreeSet<StreamId>,
    /// Only in these streams and the threads below them (W-85). Given and empty: nothing is found.
    pub streams: Option<BTreeSet<StreamId>>,
    /// Only by this author.
    pub author: Option<String>,
    /// Only in streams of these kinds. Given and empty: nothing is found.
    pub kinds: Option<BTreeSet<StreamKind>>,
    /// Only written earlier than this, milliseconds since 1970.
    pub before_ms: Option<u64>,
    /// Only written then or later, milliseconds since 1970.
    pub after_ms: Option<u64>,
    /// How many hits at most; beyond [`muster_protocol::limits::SEARCH_HITS_MAX`] it counts as that.
    pub limit: usize,
    /// In which way.
    pub mode: Mode,
    /// What the caller typed; anything.
    pub text: String,
}

impl Query {
    /// A search without further filters, for the usual number of hits (W-85).
    pub fn new(
        workspace: WorkspaceId,
        roots: impl IntoIterator<Item = StreamId>,
        text: impl Into<String>,
        mode: Mode,
    ) -> Self {
        Self {
            workspace,
            roots: roots.into_iter().collect(),
            streams: None,
            author: None,
            kinds: None,
            before_ms: None,
            after_ms: None,
            limit: muster_protocol::limits::SEARCH_HITS_DEFAULT,
            mode,
            text: text.into(),
        }
    }
}

/// A message that was found. The store may have gone on since: one that it no longer has is to be left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Of the message.
    pub id: Ulid,
    /// Greater is better, within one answer; 0 in an exact search (W-83, W-86).
    pub rank: f64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Best first, or newest first in an exact search; no message twice.
    pub hits: Vec<Hit>,
    /// What added meaning to the words, if anything did.
    pub tier: Option<Tier>,
}
