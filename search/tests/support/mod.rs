//! A workspace whose messages are put into a real index in a real folder.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use muster_protocol::{
    ids::{StoreId, StreamId, WorkspaceId, ulid},
    stream::StreamKind,
};
use muster_search::{Answer, Document, Embedder, Index, Item, Mode, Position, Query};
use tempfile::TempDir;
use ulid::Ulid;

pub(crate) const STORE: StoreId = StoreId([7; 16]);
/// Milliseconds of the first message; each later one is a second younger.
pub(crate) const BEGINNING: u64 = 1_700_000_000_000;

pub(crate) fn workspace() -> WorkspaceId {
    WorkspaceId::new(BEGINNING, [1; 10])
}

pub(crate) fn stream(number: u8) -> StreamId {
    StreamId([number; 16])
}

/// Message number `number` in channel 1.
pub(crate) fn message(number: u32, text: &str) -> Document {
    let created_ms = BEGINNING + u64::from(number) * 1000;
    let mut random = [0; 10];
    random[..4].copy_from_slice(&number.to_be_bytes());
    let id = ulid(created_ms, random);
    Document {
        item: Item::Message,
        id,
        source: id,
        workspace: workspace(),
        stream: stream(1),
        root: stream(1),
        kind: Some(StreamKind::Channel),
        author: Some("usr_ada".into()),
        labels: BTreeSet::new(),
        created_ms,
        text: text.into(),
    }
}

/// Memo number `number`, of a message of its own in channel 1.
pub(crate) fn memo(number: u32, text: &str) -> Document {
    let of = message(number, text);
    let id = ulid(of.created_ms, [9; 10]);
    Document { item: Item::Memo, id, source: id, kind: None, author: None, ..of }
}

pub(crate) fn open(folder: &Path) -> (Index, Position) {
    Index::open(folder, STORE, None).unwrap()
}

/// An index, and what it was fed.
pub(crate) struct Shelf {
    pub(crate) index: Index,
    pub(crate) folder: TempDir,
    pub(crate) texts: BTreeMap<Ulid, String>,
    next: u32,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self::with(None)
    }

    pub(crate) fn with(embedder: Option<Arc<dyn Embedder>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path(), STORE, embedder).unwrap().0;
        Self { index, folder, texts: BTreeMap::new(), next: 0 }
    }

    /// A shelf with these messages, the oldest first.
    pub(crate) fn of(texts: &[&str]) -> Self {
        let mut shelf = Self::new();
        shelf.say(texts);
        shelf
    }

    pub(crate) fn say(&mut self, texts: &[&str]) {
        for text in texts {
            self.put(|_| (), text);
        }
        self.commit();
    }

    /// Puts the next message, changed as the caller wants it.
    pub(crate) fn put(&mut self, change: impl FnOnce(&mut Document), text: &str) -> Ulid {
        self.next += 1;
        let mut document = message(self.next, text);
        change(&mut document);
        self.index.put(&document).unwrap();
        self.texts.insert(document.id, document.text);
        document.id
    }

    pub(crate) fn commit(&self) {
        self.index.commit(Position(u64::from(self.next))).unwrap();
    }

    /// Another program's look at the same folder.
    pub(crate) fn reopened(self, embedder: Option<Arc<dyn Embedder>>) -> Self {
        let Self { index, folder, texts, next } = self;
        drop(index);
        let index = Index::open(folder.path(), STORE, embedder).unwrap().0;
        Self { index, folder, texts, next }
    }

    pub(crate) fn answer(&self, query: &Query) -> Answer {
        self.index.search(query).unwrap()
    }

    pub(crate) fn texts(&self, query: &Query) -> Vec<&str> {
        self.answer(query).hits.iter().map(|hit| self.texts[&hit.id].as_str()).collect()
    }

    pub(crate) fn words(&self, typed: &str) -> Vec<&str> {
        self.texts(&query(typed, Mode::Words))
    }

    pub(crate) fn exact(&self, typed: &str) -> Vec<&str> {
        self.texts(&query(typed, Mode::Exact))
    }

    pub(crate) fn semantic(&self, typed: &str) -> Vec<&str> {
        self.texts(&query(typed, Mode::Semantic))
    }
}

/// A search in channels 1 to 9.
pub(crate) fn query(typed: &str, mode: Mode) -> Query {
    Query::new(workspace(), (1..=9).map(stream), typed, mode)
}
