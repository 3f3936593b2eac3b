//! Feeding the search index: it follows the journal of events, on a thread of its own, and nobody waits for it.
//!
//! The index is a cache (see [`muster_search`]): it says itself up to which event it goes, and what is missing is fed
//! again from the store, also all of it. Searches are answered meanwhile from what is there, and how far it is can be
//! seen.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use muster_protocol::notice;
use muster_search::{Document, Embedder, Index, Position};
use muster_storage::{Author, Store, StoreError, View, WorkspaceRow};
use tokio::sync::watch;
use ulid::Ulid;

use crate::context::lock;

/// Events that are fed between two commits of the index.
const EVENTS_PER_COMMIT: usize = 2_000;
/// How long what arrives is gathered before the index is committed again: a commit costs milliseconds of disk.
const GATHER: std::time::Duration = std::time::Duration::from_millis(100);

/// The index of a node, once it is open, and how far it is.
#[derive(Default)]
pub(crate) struct Search {
    index: OnceLock<Arc<Index>>,
    fed: AtomicU64,
    stopping: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How far the search index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchProgress {
    /// Events of the journal that are in it.
    pub events: u64,
    /// Events that there are.
    pub events_total: u64,
    /// What knows the meaning of words: lexical, static or endpoint.
    pub tier: &'static str,
}

impl Search {
    pub(crate) fn index(&self) -> Option<Arc<Index>> {
        self.index.get().cloned()
    }

    pub(crate) fn progress(&self, events_total: u64) -> SearchProgress {
        let events = self.fed.load(Ordering::Relaxed).min(events_total);
        let tier = self.index.get().map_or("lexical", |index| index.tier().as_str());
        SearchProgress { events, events_total, tier }
    }

    /// Begins to feed the index in a folder.
    pub(crate) fn start(
        self: &Arc<Self>,
        folder: PathBuf,
        embedder: Option<Arc<dyn Embedder>>,
        store: Store,
        events: watch::Receiver<u64>,
    ) -> std::io::Result<()> {
        let search = self.clone();
        let feeder = std::thread::Builder::new().name("search".to_owned());
        let feeder = feeder.spawn(move || {
            if let Err(error) = search.feed(&folder, embedder, &store, events) {
                tracing::error!(%error, "the search index is not kept any more; a restart makes it anew");
            }
        })?;
        *lock(&self.thread) = Some(feeder);
        Ok(())
    }

    /// Ends feeding; the last commit stands.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::warn!("feeding the search index ended with a panic");
        }
    }

    fn feed(
        &self,
        folder: &std::path::Path,
        embedder: Option<Arc<dyn Embedder>>,
        store: &Store,
        mut events: watch::Receiver<u64>,
    ) -> Result<(), FeedError> {
        let (index, Position(mut fed)) = Index::open(folder, store.id(), embedder)?;
        let index = self.index.get_or_init(|| Arc::new(index)).clone();
        self.fed.store(fed, Ordering::Relaxed);
        let mut learned = 0;
        while !self.stopping.load(Ordering::Relaxed) {
            let newest = *events.borrow_and_update();
            if fed < newest {
                fed = feed_some(&index, store, fed)?;
                self.fed.store(fed, Ordering::Relaxed);
                continue;
            }
            // What was learnt of words is worth learning again when there is a tenth more.
            if index.messages() > learned + learned / 10 {
                learned = index.messages();
                learn(&index, &store.view()?)?;
                index.embed(&mut |_| !self.stopping.load(Ordering::Relaxed)).map_or_else(
                    |error| tracing::warn!(%error, "what messages mean is not known to the end"),
                    |_| (),
                );
            }
            std::thread::park_timeout(GATHER);
        }
        Ok(())
    }
}

/// Why feeding ends.
#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error(transparent)]
    Index(#[from] muster_search::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Puts what the next events tell of into the index, and commits.
fn feed_some(index: &Index, store: &Store, fed: u64) -> Result<u64, FeedError> {
    let view = store.view()?;
    let workspaces = view.workspaces()?;
    let (touched, last) = view.touched_posts(fed, EVENTS_PER_COMMIT)?;
    for (space, id) in touched {
        let workspace = workspaces.iter().find(|row| row.space == space);
        match workspace.map(|row| document(&view, row, id)).transpose()?.flatten() {
            Some(document) => index.put(&document)?,
            None => index.remove(id),
        }
    }
    index.commit(Position(last))?;
    Ok(last)
}

fn document(view: &View, workspace: &WorkspaceRow, id: Ulid) -> Result<Option<Document>, StoreError> {
    let Some(post) = view.post(workspace, id)? else { return Ok(None) };
    let Some(stream) = view.stream(workspace, post.stream)? else { return Ok(None) };
    let author = match post.author {
        Author::Principal(principal) => principal.to_string(),
        Author::Agent { id, .. } => format!("bot_{id}"),
        Author::System => notice::AUTHOR.to_owned(),
    };
    Ok(Some(Document {
        id,
        workspace: workspace.id,
        stream: post.stream,
        root: post.root,
        kind: stream.kind,
        author,
        created_ms: post.created_ms,
        text: post.text,
    }))
}

/// Learns from what everybody may read alone: it shows in everybody's searches.
fn learn(index: &Index, view: &View) -> Result<(), FeedError> {
    for workspace in view.workspaces()? {
        index.learn(workspace.id, &view.readable_roots(&workspace, None)?)?;
    }
    Ok(())
}
