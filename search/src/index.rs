//! The index in its folder: opened, fed, and committed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use muster_protocol::{ids::StoreId, limits::SEARCH_WRITER_BYTES};
use tantivy::{
    IndexReader, IndexWriter, ReloadPolicy, TantivyError, Term,
    directory::{MmapDirectory, error::LockError},
    indexer::IndexWriterOptions,
};
use ulid::Ulid;

use crate::{
    Document, Embedder, Error, Position,
    fields::{Fields, Payload, key},
    meaning::Meaning,
};

/// The engine's list of the files it made. Without it the engine would check none of them.
const LIST_OF_FILES: &str = ".managed.json";
/// The engine's word about its last commit.
const LAST_COMMIT: &str = "meta.json";

/// The index of all messages and memos of a node. Any number of threads may search; one should write.
pub struct Index {
    pub(crate) fields: Fields,
    pub(crate) reader: IndexReader,
    writer: Mutex<IndexWriter>,
    store: StoreId,
    emptied: Option<Emptied>,
    pub(crate) meaning: Meaning,
}

/// Why an index was emptied when it was opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Emptied {
    /// There was none, or none with a commit.
    #[error("there was none yet")]
    Missing,
    /// It is not readable, or not what was written.
    #[error("it was damaged: {0}")]
    Damaged(String),
    /// It was made from another store, or from an earlier life of this one.
    #[error("it was made from another store")]
    OtherStore,
    /// An older or newer program made it.
    #[error("a program of another version made it")]
    OtherFormat,
}

impl Index {
    /// Opens the index in `folder`, which is its own, for the store `store`; makes it when there is none. Tells up to
    /// where it goes. It reads the index from end to end, a second for a gigabyte, so it is opened on a thread that
    /// may wait. `embedder` is what knows the meaning of texts; without one the index does what it can by itself.
    pub fn open(
        folder: &Path,
        store: StoreId,
        embedder: Option<Arc<dyn Embedder>>,
    ) -> Result<(Self, Position), Error> {
        let path = folder.join("words");
        let fields = Fields::new();
        fs::create_dir_all(&path).map_err(|cause| Error::File { path: path.clone(), cause })?;
        let (index, position, emptied) = match found(&path, store, &fields) {
            Ok((index, position)) => (index, position, None),
            Err(reason) => {
                match &reason {
                    Emptied::Missing => tracing::debug!("the search index is made"),
                    _ => tracing::warn!(%reason, "the search index is made anew from the store"),
                }
                (made(&path, &fields)?, Position::BEGINNING, Some(reason))
            }
        };
        let writer = writer(&index, &path)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let meaning = Meaning::open(folder, embedder)?;
        Ok((Self { fields, reader, writer: Mutex::new(writer), store, emptied, meaning }, position))
    }

    /// Why the index was emptied when it was opened, if it was.
    pub fn emptied(&self) -> Option<&Emptied> {
        self.emptied.as_ref()
    }

    /// How many messages and memos the last commit has.
    pub fn documents(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// Puts a message or memo in, in place of what was known under its id. It is found after the next commit. After an
    /// error the index has to be opened again.
    pub fn put(&self, document: &Document) -> Result<(), Error> {
        let writer = self.writer();
        writer.delete_term(Term::from_field_bytes(self.fields.key, &key(document.item, document.id)));
        writer.add_document(self.fields.document(document))?;
        Ok(())
    }

    /// Takes out what has this source: a message and its memo, or a memo written by hand. They are found until the next
    /// commit. A source that is not there makes no difference.
    pub fn remove(&self, source: Ulid) {
        self.writer().delete_term(Term::from_field_bytes(self.fields.source, &source.to_bytes()));
    }

    /// Makes durable and visible what was put and removed, together with where the feeder is. A few milliseconds, or
    /// as long as the disk takes; a feeder that is behind should commit every few thousand messages.
    pub fn commit(&self, position: Position) -> Result<(), Error> {
        let payload = serde_json::to_string(&Payload::new(self.store, position)).map_err(io::Error::from);
        let mut writer = self.writer();
        let mut prepared = writer.prepare_commit()?;
        prepared.set_payload(&payload.map_err(TantivyError::from)?);
        prepared.commit()?;
        self.reader.reload()?;
        Ok(())
    }

    fn writer(&self) -> MutexGuard<'_, IndexWriter> {
        // A writer that panicked left at most a message that was not committed; the engine keeps its own state.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The index that is there, when it can be gone on with.
fn found(path: &Path, store: StoreId, fields: &Fields) -> Result<(tantivy::Index, Position), Emptied> {
    if !path.join(LAST_COMMIT).exists() {
        return Err(Emptied::Missing);
    }
    if !path.join(LIST_OF_FILES).exists() {
        return Err(Emptied::Damaged(format!("{LIST_OF_FILES} is missing")));
    }
    let damaged = |error: TantivyError| Emptied::Damaged(error.to_string());
    let mut index = tantivy::Index::open_in_dir(path).map_err(damaged)?;
    let Some(payload) = index.load_metas().map_err(damaged)?.payload else { return Err(Emptied::Missing) };
    let payload: Payload =
        serde_json::from_str(&payload).map_err(|error| Emptied::Damaged(error.to_string()))?;
    if !payload.is_current() || index.schema() != fields.schema {
        return Err(Emptied::OtherFormat);
    }
    if !payload.is_of(store) {
        return Err(Emptied::OtherStore);
    }
    let broken = index.validate_checksum().map_err(damaged)?;
    if let Some(file) = broken.iter().next() {
        return Err(Emptied::Damaged(format!("{} is not what was written", file.display())));
    }
    index.set_tokenizers(Fields::tokenizers());
    // Opens every segment, and so finds files that are missing.
    index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(damaged)?;
    Ok((index, payload.position()))
}

/// A new index in place of whatever is there.
fn made(path: &Path, fields: &Fields) -> Result<tantivy::Index, Error> {
    let file = |cause| Error::File { path: path.to_owned(), cause };
    fs::remove_dir_all(path).map_err(file)?;
    fs::create_dir_all(path).map_err(file)?;
    let directory = MmapDirectory::open(path).map_err(TantivyError::from)?;
    let index = tantivy::Index::builder().schema(fields.schema.clone()).tokenizers(Fields::tokenizers());
    Ok(index.open_or_create(directory)?)
}

fn writer(index: &tantivy::Index, path: &Path) -> Result<IndexWriter, Error> {
    // One thread of each kind: the store, the mesh and HTTP want the processor, too.
    let options = IndexWriterOptions::builder()
        .num_worker_threads(1)
        .memory_budget_per_thread(SEARCH_WRITER_BYTES)
        .num_merge_threads(1)
        .build();
    index.writer_with_options(options).map_err(|error| match error {
        TantivyError::LockFailure(LockError::LockBusy, _) => Error::InUse(PathBuf::from(path)),
        other => other.into(),
    })
}
