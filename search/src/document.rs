//! What goes into the index, what is asked of it, and what it answers.

use std::collections::BTreeSet;

use muster_protocol::{
    ids::{StreamId, WorkspaceId},
    stream::StreamKind,
};
use ulid::Ulid;

use crate::meaning::Tier;

/// What kind of thing a document is. A search is for one of them, and finds no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A live message (W-81).
    Message,
    /// An active memo (W-93).
    Memo,
}

/// A live message, or an active memo, as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it is.
    pub item: Item,
    /// Of the message or memo. What is put later under the same id takes its place.
    pub id: Ulid,
    /// The message that it is made of, or its own id: [`crate::Index::remove`] takes out all that one message made.
    pub source: Ulid,
    /// In which workspace.
    pub workspace: WorkspaceId,
    /// In which stream.
    pub stream: StreamId,
    /// The stream that decides who may read it: that of a thread's channel, else the same as `stream` (W-38).
    pub root: StreamId,
    /// Of `stream`; none for a memo.
    pub kind: Option<StreamKind>,
    /// Who wrote it, as the doors write it: `usr_…` or `bot_…`; none for a memo.
    pub author: Option<String>,
    /// What else a search may ask for, as whole words of the caller's choice.
    pub labels: BTreeSet<String>,
    /// When it was written, milliseconds since 1970.
    pub created_ms: u64,
    /// Its Markdown, or all that a memo says.
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
    /// Whatever passes the filters, newest first; what is typed does not count.
    Newest,
}

/// One search. All filters have to hold (W-85).
#[derive(Debug, Clone)]
pub struct Query {
    /// For what.
    pub item: Item,
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
    /// Only what has one label of each of these sets. An empty set: nothing is found.
    pub labels: Vec<BTreeSet<String>>,
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
    /// A search for messages without further filters, for the usual number of hits (W-85).
    pub fn new(
        workspace: WorkspaceId,
        roots: impl IntoIterator<Item = StreamId>,
        text: impl Into<String>,
        mode: Mode,
    ) -> Self {
        Self {
            item: Item::Message,
            workspace,
            roots: roots.into_iter().collect(),
            streams: None,
            author: None,
            kinds: None,
            labels: Vec::new(),
            before_ms: None,
            after_ms: None,
            limit: muster_protocol::limits::SEARCH_HITS_DEFAULT,
            mode,
            text: text.into(),
        }
    }
}

/// What was found. The store may have gone on since: what it no longer has is to be left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Of the message or memo.
    pub id: Ulid,
    /// Greater is better, within one answer; 0 where age alone decides (W-83, W-86).
    pub rank: f64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Best first, or newest first where age alone decides; nothing twice.
    pub hits: Vec<Hit>,
    /// What added meaning to the words, if anything did.
    pub tier: Option<Tier>,
    /// No rank of such an answer is greater; 0 where age alone decides.
    pub rank_max: f64,
}

impl Answer {
    /// How far a hit is from what was asked for: 0 is as near as can be, and where age alone decides; below 1 (W-95).
    pub fn distance(&self, hit: Hit) -> f64 {
        if self.rank_max > 0.0 { (1.0 - hit.rank / self.rank_max).max(0.0) } else { 0.0 }
    }
}
