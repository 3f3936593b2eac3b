//! Muster's store: everything a node knows, in one redb file.
//!
//! **One writer.** All writes go through one thread, which commits whatever queued while the last commit
//! ran ([`Store::write`]). What a write decides, it decides inside its transaction, on stored records; its
//! reply is sent after the commit. A failed commit stops the node, so acknowledged means durable.
//!
//! **Logs and projections.** An operation is put into its log, and in the same transaction into the tables
//! people read from: timelines, threads, counters, inboxes, the journal of events. A crash leaves both or
//! neither.
//!
//! **Many readers.** [`Store::view`] is one commit's state. Reads never wait for writes, and counters and
//! orders are kept when writing, so that no read grows with history.
//!
//! ```
//! # use std::sync::Arc;
//! # use muster_protocol::{control::Genesis, identity::Identity, ids::WorkspaceId};
//! # use muster_storage::{Disk, Options, Store};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("muster-doc-{}", std::process::id()));
//! let ada = Arc::new(Identity::from_seed([1; 32]));
//! let options = Options { cache_bytes: 1 << 20, inbox_depth: 100, inline: true, fresh: [7; 24], blobs: folder.clone() };
//! # std::fs::create_dir_all(&folder)?;
//! let store = Store::open(Disk::File(folder.join("store.redb")), ada.clone(), &options)?;
//! let genesis = Genesis {
//!     workspace: WorkspaceId::new(1_700_000_000_000, [1; 10]),
//!     name: "Workshop".into(),
//!     founder: ada.node(),
//!     founder_name: "ada".into(),
//!     created_ms: 1_700_000_000_000,
//!     parent: vec![],
//! };
//! store.write(1_700_000_000_000, move |batch| batch.found(&genesis), |_space| { /* durable: answer */ })?;
//! assert_eq!(store.view()?.workspaces()?[0].name, "Workshop");
//! # drop(store);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok(())
//! # }
//! ```

mod append;
mod attachments;
mod backup;
mod batch;
mod blobs;
mod changes;
mod channels;
mod control;
pub mod crash;
mod error;
mod groups;
mod home;
mod inbox;
mod invocations;
mod keys;
mod listing;
mod local;
mod memos;
mod messages;
mod migrate;
mod newest;
mod notices;
mod overlay;
mod people;
mod posts;
mod published;
mod read;
mod receipts;
mod restore;
mod rooms;
mod rows;
mod runtimes;
mod schema;
mod store;
mod streams;
mod tables;
mod verify;
mod void;
mod work;
mod writer;

pub use append::Prepared;
pub use attachments::NewUpload;
pub use backup::BackupError;
pub use batch::Batch;
pub use blobs::{BlobId, Blobs, NewBlob, PartialBlob};
pub use changes::{
    Changes, ClaimChange, DeliveryChange, MessageChange, Outcome, PresenceChange, RejectedChange, SpaceChange,
};
pub use error::{OpenError, StoreError};
pub use home::clean_name;
pub use inbox::{HandedOver, ProgramFailure};
pub use invocations::{Claiming, Completion, Granted, NewStep, NotCompleted, Reply};
pub use keys::{KEYS_PER_PRINCIPAL_MAX, NewKey};
pub use local::{NewSession, NotStarted};
pub use memos::{NewMemo, NotWritten};
pub use messages::SendOutcome;
pub use people::Card;
pub use posts::{NewPost, NotPosted};
pub use read::{
    AgentRow, AttachmentRow, Author, BindingRow, BotRow, ChannelRow, EventRow, InvocationRow, KeyRow,
    MemberRow, MemoEntry, MemoKind, MemoQuery, MemoReader, MemoRow, MemoStatus, MessagePage, MessageRow,
    PartRow, PersonRow, PostRow, RoomRow, RuntimeRow, STOPPED_SESSIONS_SHOWN, SessionRow, SessionState,
    StepRow, StreamRow, SyncView, ThreadRow, Touched, UnknownCursor, UploadRow, View, Window, WorkspaceRow,
};
pub use restore::{RestoreError, put_in_place, refuse_own};
pub use runtimes::{LinkRow, NewLink, NotLinked, RuntimeSaid};
pub use schema::SCHEMA_VERSION;
pub use store::{Disk, Options, Store};
pub use streams::stream_text;
pub use verify::{Findings, FoundWorkspace, verify};
pub use writer::{Listener, NotTaken};
