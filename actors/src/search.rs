//! Feeding the search index with messages and memos: it follows the journal of events, on a thread of its own, and nobody
//! waits for it.
//!
//! The index is a cache (see [`muster_search`]): it says itself up to which event it goes, and what is missing is fed
//! again from the store, also all of it. Searches are answered meanwhile from what is there, and how far it is can be
//! seen.

mod documents;
mod memos;
#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use muster_search::{Embedder, Index, Position};
use muster_storage::{Store, StoreError, Touched, View};
use tokio::sync::watch;

pub use memos::FoundMemos;
pub(crate) use memos::find as find_memos;

use crate::context::lock;

/// Events that are fed between two commits of the index.
const EVENTS_PER_COMMIT: usize = 2_000;
/// How long what arrives is gathered before the index is committed again: a commit costs milliseconds of disk.
const GATHER: std::time::Duration = std::time::Duration::from_millis(100);
/// Documents for which the feeder rests once before it looks at all of them again for one that has no vector yet: with
/// 100 000 that is a second, and the look takes a twentieth of it.
const DOCUMENTS_PER_REST: u64 = 10_000;
/// Rests after an embedder failed: a minute, so that one that is gone is not asked, and complained about, all the time.
const RESTS_AFTER_FAILURE: u64 = 600;

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
        if fed == 0 {
            feed_written(&index, &store.view()?)?;
        }
        let (mut learned, mut embedded, mut rests) = (0, None, 0);
        while !self.stopping.load(Ordering::Relaxed) {
            let newest = *events.borrow_and_update();
            if fed < newest {
                fed = feed_some(&index, store, fed)?;
                self.fed.store(fed, Ordering::Relaxed);
                continue;
            }
            // What was learnt of words is worth learning again when there is a tenth more.
            if index.documents() > learned + learned / 10 {
                learned = index.documents();
                learn(&index, &store.view()?)?;
            }
            if embedded != Some(fed) && rests == 0 {
                (embedded, rests) = match index.embed(&mut |_| !self.stopping.load(Ordering::Relaxed)) {
                    Ok(_) => (Some(fed), index.documents() / DOCUMENTS_PER_REST),
                    Err(error) => {
                        tracing::warn!(%error, "what messages and memos mean is not known to the end");
                        (None, RESTS_AFTER_FAILURE)
                    }
                };
            }
            std::thread::park_timeout(GATHER);
            rests = rests.saturating_sub(1);
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
    let (touched, last) = view.touched(fed, EVENTS_PER_COMMIT)?;
    for (space, touched) in touched {
        let (Touched::Message(source) | Touched::Memo(source)) = touched;
        // An edit makes another memo, and may make none: what the message made before goes first.
        index.remove(source);
        let Some(workspace) = workspaces.iter().find(|row| row.space == space) else { continue };
        let made = match touched {
            Touched::Message(id) => documents::of_message(&view, workspace, id)?,
            Touched::Memo(id) => documents::of_written_memo(&view, workspace, id)?,
        };
        made.iter().try_for_each(|document| index.put(document))?;
    }
    index.commit(Position(last))?;
    Ok(last)
}

/// Puts memos that were written by hand into an empty index: of those of earlier versions no event tells. They show with
/// the first commit.
fn feed_written(index: &Index, view: &View) -> Result<(), FeedError> {
    for workspace in view.workspaces()? {
        for id in view.memos_by_hand(&workspace)? {
            let made = documents::of_written_memo(view, &workspace, id)?;
            made.iter().try_for_each(|document| index.put(document))?;
        }
    }
    Ok(())
}

/// Learns from what everybody may read alone: it shows in everybody's searches.
fn learn(index: &Index, view: &View) -> Result<(), FeedError> {
    for workspace in view.workspaces()? {
        index.learn(workspace.id, &view.readable_roots(&workspace, None)?)?;
    }
    Ok(())
}
