//! Muster's index of messages and memos: by words, by literal text and by meaning.
//!
//! **A cache.** The index stands beside the store and is never the truth. Each of its commits says of which store it
//! is and up to which event of the journal it goes ([`Position`]); who feeds it asks for that and goes on from there.
//! An index that is missing, damaged, of another store or of another format is emptied when it is opened, and the
//! feeder begins at zero. After a power loss it is what its last commit was.
//!
//! **Messages and memos stand side by side** and share vectors and filters; a search is for one of them ([`Item`]) and
//! never finds the other. Every document names its source, so that a message that goes takes its memo along.
//!
//! **Searching never waits for writing.** [`Index::search`] reads the last commit; [`Index::put`], [`Index::remove`]
//! and [`Index::commit`] are for one feeder, on a thread that may wait for the disk.
//!
//! **What a caller may not read takes no part.** The root streams that may be read are a part of the query, so that a
//! hidden message pushes no readable one off the list (W-35).
//!
//! **Meaning.** Without any model, [`Mode::Semantic`] knows synonyms, words that are spelt alike, and words that stand
//! among the same words in the workspace ([`Index::learn`]). An [`Embedder`] knows more: one from a folder of the
//! operator, or one behind an HTTP address. Its vectors are made in the background ([`Index::embed`]).
//!
//! ```
//! # use muster_protocol::{ids::{StoreId, StreamId, WorkspaceId, ulid}, stream::StreamKind};
//! # use muster_search::{Document, Index, Item, Mode, Position, Query};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("muster-search-doc-{}", std::process::id()));
//! let (workspace, stream) = (WorkspaceId::new(0, [1; 10]), StreamId([2; 16]));
//! let (index, position) = Index::open(&folder, StoreId([7; 16]), None)?;
//! assert_eq!(position, Position::BEGINNING);
//! let id = ulid(1_700_000_000_000, [3; 10]);
//! index.put(&Document {
//!     item: Item::Message,
//!     id,
//!     source: id,
//!     workspace,
//!     stream,
//!     root: stream,
//!     kind: Some(StreamKind::Channel),
//!     author: Some("usr_01J".into()),
//!     labels: Default::default(),
//!     created_ms: 1_700_000_000_000,
//!     text: "The deployment failed again".into(),
//! })?;
//! index.commit(Position(1))?;
//! let answer = index.search(&Query::new(workspace, [stream], "failing deployments", Mode::Words))?;
//! assert_eq!(answer.hits.len(), 1);
//! # drop(index);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok(())
//! # }
//! ```

mod document;
mod error;
mod exact;
mod fields;
mod filters;
mod fuse;
mod index;
mod meaning;
mod search;
mod text;
mod words;

pub use document::{Answer, Document, Hit, Item, Mode, Position, Query};
pub use error::{EmbedError, Error};
pub use index::{Emptied, Index};
#[cfg(feature = "static-model")]
pub use meaning::ModelFolder;
pub use meaning::{Embedder, Endpoint, Http, HttpRequest, Progress, Tier};
