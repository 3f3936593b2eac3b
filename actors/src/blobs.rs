//! Fetching the bytes of files from other nodes, and giving ours.
//!
//! Bytes are fetched when somebody wants them, from one holder after another; each goes on where the last one broke
//! off. What comes is believed when its hash is right, so any member may be asked.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write as _,
    sync::{Arc, Mutex},
};

use futures::{
    StreamExt as _,
    future::{Either, select},
};
use muster_protocol::{
    identity::NodeId,
    limits::{BLOB_FETCHES_MAX, BLOB_TIMEOUT},
};
use muster_storage::{BlobId, PartialBlob, Store};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Semaphore,
};

use crate::{
    context::lock,
    ports::{BlobAccess, BlobError, BlobSource, Clock, Network},
};

/// Gives the bytes that this node has to those who may have them.
pub struct SharedBlobs {
    store: Store,
    access: Arc<dyn BlobAccess>,
}

impl SharedBlobs {
    /// What `access` allows, of the blobs of `store`.
    pub fn new(store: Store, access: Arc<dyn BlobAccess>) -> Self {
        Self { store, access }
    }
}

impl BlobSource for SharedBlobs {
    fn open(&self, node: NodeId, blob: BlobId) -> Option<File> {
        if !self.access.may(node, blob) {
            return None;
        }
        self.store.blobs().read(blob).unwrap_or_else(|error| {
            tracing::warn!(%blob, %error, "bytes that another node asked for cannot be read");
            None
        })
    }
}

/// Why the bytes of a file are not here.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No node that is connected now gave them.
    #[error(
        "no node that is reachable now has these bytes; try again when the node of whoever uploaded them is up"
    )]
    NoHolder,
    /// This node's disk does not take them.
    #[error("the bytes cannot be kept on this node's disk: {0}")]
    Disk(#[from] std::io::Error),
}

/// What one holder gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    /// All bytes are here, and right.
    Whole,
    /// Not all bytes came.
    Broke(BlobError),
    /// Its bytes have another hash.
    Wrong,
    /// Its bytes have another hash together with what came before from somebody, who may be the one that is wrong.
    WrongTogether,
}

/// Fetches blobs, at most [`BLOB_FETCHES_MAX`] at one time, each once.
pub struct Fetcher {
    store: Store,
    network: Arc<dyn Network>,
    clock: Arc<dyn Clock>,
    places: Semaphore,
    /// Who fetches a blob holds its lock; whoever else wants it waits there, and finds it.
    under_way: Mutex<BTreeMap<BlobId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Fetcher {
    /// A fetcher into the blobs of `store`.
    pub fn new(store: Store, network: Arc<dyn Network>, clock: Arc<dyn Clock>) -> Self {
        Self { store, network, clock, places: Semaphore::new(BLOB_FETCHES_MAX), under_way: Mutex::default() }
    }

    /// The bytes of a blob of `size` bytes: from here, or else from the first of `holders` that gives them. Dropping
    /// the future keeps what came for the next time.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch(&self, blob: BlobId, size: u64, holders: &[NodeId]) -> Result<File, FetchError> {
        if let Some(file) = self.store.blobs().read(blob)? {
            return Ok(file);
        }
        let turn = lock(&self.under_way).entry(blob).or_default().clone();
        let fetched = {
            let _turn = turn.lock().await;
            self.fetch_once(blob, size, holders).await
        };
        drop(turn);
        lock(&self.under_way).retain(|_, turn| Arc::strong_count(turn) > 1);
        fetched
    }

    async fn fetch_once(&self, blob: BlobId, size: u64, holders: &[NodeId]) -> Result<File, FetchError> {
        if let Some(file) = self.store.blobs().read(blob)? {
            return Ok(file); // somebody else fetched it meanwhile
        }
        let _place = self.places.acquire().await.map_err(|_| FetchError::NoHolder)?;
        for holder in holders.iter().filter(|holder| **holder != self.store.node()) {
            let mut tried = self.try_holder(*holder, blob, size).await?;
            if tried == Tried::WrongTogether {
                tried = self.try_holder(*holder, blob, size).await?; // from the beginning
            }
            if tried == Tried::Whole {
                return self.store.blobs().read(blob)?.ok_or(FetchError::NoHolder);
            }
            tracing::debug!(%holder, %blob, ?tried, "bytes did not come; the next holder is asked");
        }
        Err(FetchError::NoHolder)
    }

    async fn try_holder(&self, holder: NodeId, blob: BlobId, size: u64) -> Result<Tried, FetchError> {
        let mut partial = waiting_for_disk(|| self.store.blobs().resume(blob))?;
        if partial.bytes() > size {
            self.store.blobs().abandon(partial)?;
            partial = self.store.blobs().resume(blob)?;
        }
        let began_at = partial.bytes();
        let came = self.pull(holder, blob, size, &mut partial);
        let came = match select(Box::pin(came), self.clock.sleep(BLOB_TIMEOUT)).await {
            Either::Left((came, _)) => came?,
            Either::Right(_) => Err(BlobError::Lost),
        };
        if let Err(error) = came {
            return Ok(Tried::Broke(error));
        }
        let right = waiting_for_disk(|| self.store.blobs().complete(partial))?;
        Ok(match right {
            true => Tried::Whole,
            false if began_at > 0 => Tried::WrongTogether,
            false => Tried::Wrong,
        })
    }

    /// Brings a partial blob to its full size from one holder.
    async fn pull(
        &self,
        holder: NodeId,
        blob: BlobId,
        size: u64,
        partial: &mut PartialBlob,
    ) -> Result<Result<(), BlobError>, FetchError> {
        if partial.bytes() == size {
            return Ok(Ok(()));
        }
        let mut came = match self.network.fetch_blob(holder, blob, partial.bytes()).await {
            Ok(came) if came.size == size => came.pieces,
            Ok(_) => return Ok(Err(BlobError::Absent)), // not what was described
            Err(error) => return Ok(Err(error)),
        };
        while partial.bytes() < size {
            match came.next().await {
                Some(Ok(piece)) if partial.bytes() + piece.len() as u64 <= size => {
                    waiting_for_disk(|| partial.write_all(&piece))?;
                }
                Some(Err(error)) => return Ok(Err(error)),
                _ => return Ok(Err(BlobError::Lost)),
            }
        }
        Ok(Ok(()))
    }
}

/// Does something that waits for the disk, without holding up other tasks: where there is more than one thread. In a
/// simulation there is one, and time stands still meanwhile.
pub fn waiting_for_disk<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
