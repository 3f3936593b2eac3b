//! The one that writes: group commit.
//!
//! Every write is a closure that runs inside the next transaction, and a closure that runs after its
//! commit. While one transaction is being made durable, writes queue; then all that queued share the next
//! one. So one client waits for one commit, and a thousand clients wait for a few. A closure decides
//! before it changes anything: a refusal changes nothing, and a failure of the store stops the node, so
//! nothing ever has to be undone.

use std::sync::{
    Arc, Mutex, OnceLock,
    mpsc::{Receiver, SyncSender, TrySendError},
};

use muster_protocol::limits;
use redb::Database;

use crate::{
    StoreError,
    batch::{Batch, Memory},
    changes::Changes,
    store::Published,
};

/// Runs after the commit.
pub(crate) type Done = Box<dyn FnOnce() + Send>;
/// Runs inside the transaction.
pub(crate) type Work = Box<dyn FnOnce(&mut Batch<'_>) -> Result<Done, StoreError> + Send>;

/// A write and the wall time at which it was asked for.
pub(crate) struct Write {
    pub(crate) now_ms: u64,
    pub(crate) work: Work,
}

/// Told what each commit changed, or that the store failed for good.
pub trait Listener: Send + Sync {
    /// A commit is durable, and nobody was answered yet: what is counted here, whoever is answered can read.
    fn stored(&self, _: &Changes) {}
    /// A commit is durable, and its writers were answered.
    fn committed(&self, changes: Changes);
    /// The store failed; nothing more will be written.
    fn failed(&self, error: &StoreError);
}

/// Why a write was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// The queue is full; nothing was changed.
    #[error("the node has more to write than it can take; try again in a moment")]
    Busy,
    /// The store is closed or has failed.
    #[error("the node is stopping")]
    Stopped,
}

/// The state behind the writer, in a thread of its own or inline.
pub(crate) struct Committer {
    pub(crate) db: Arc<Database>,
    pub(crate) memory: Memory,
    pub(crate) published: Arc<Published>,
    pub(crate) listener: Arc<OnceLock<Box<dyn Listener>>>,
    pub(crate) failed: bool,
}

impl Committer {
    /// One transaction for all of `writes`. What has to happen afterwards is returned, to be run
    /// without the committer being held.
    fn commit(&mut self, writes: Vec<Write>) -> Result<(Vec<Done>, Changes), StoreError> {
        let mut txn = self.db.begin_write()?;
        // Two-phase commit with a saved allocator state: safe against hostile content, and quick to reopen.
        txn.set_quick_repair(true);
        let mut dones = Vec::with_capacity(writes.len());
        let changes = {
            let mut batch = Batch::begin(&txn, &mut self.memory)?;
            for write in writes {
                batch.memory.now_ms = batch.memory.now_ms.max(write.now_ms);
                dones.push((write.work)(&mut batch)?);
            }
            batch.finish()?
        };
        txn.commit()?;
        self.published.set(&self.memory, changes.last_event);
        Ok((dones, changes))
    }

    fn run(&mut self, writes: Vec<Write>) -> Option<(Vec<Done>, Changes)> {
        if self.failed {
            return None;
        }
        match self.commit(writes) {
            Ok(after) => Some(after),
            Err(error) => {
                tracing::error!(%error, "the store failed; the node stops");
                self.failed = true;
                if let Some(listener) = self.listener.get() {
                    listener.failed(&error);
                }
                None
            }
        }
    }
}

fn follow_up(listener: &OnceLock<Box<dyn Listener>>, dones: Vec<Done>, changes: Changes) {
    let listener = listener.get();
    if let Some(listener) = listener {
        listener.stored(&changes);
    }
    for done in dones {
        done();
    }
    if let Some(listener) = listener {
        listener.committed(changes);
    }
}

/// Where writes are handed in.
pub(crate) enum Writer {
    /// A thread of its own, which batches.
    Thread { queue: Mutex<Option<SyncSender<Write>>>, thread: Mutex<Option<std::thread::JoinHandle<()>>> },
    /// The caller's thread, one write a commit: for simulations, where time stands still meanwhile.
    Inline(Mutex<Committer>),
}

impl Writer {
    pub(crate) fn thread(committer: Committer) -> std::io::Result<Self> {
        let (queue, writes) = std::sync::mpsc::sync_channel(limits::WRITER_QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("muster-writer".to_owned())
            .spawn(move || write_all(committer, &writes))?;
        Ok(Self::Thread { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    pub(crate) fn submit(&self, write: Write) -> Result<(), NotTaken> {
        match self {
            Writer::Thread { queue, .. } => {
                let queue = lock(queue);
                match queue.as_ref().ok_or(NotTaken::Stopped)?.try_send(write) {
                    Ok(()) => Ok(()),
                    Err(TrySendError::Full(_)) => Err(NotTaken::Busy),
                    Err(TrySendError::Disconnected(_)) => Err(NotTaken::Stopped),
                }
            }
            Writer::Inline(committer) => {
                let (after, listener) = {
                    let mut committer = lock(committer);
                    (committer.run(vec![write]), committer.listener.clone())
                };
                let (dones, changes) = after.ok_or(NotTaken::Stopped)?;
                follow_up(&listener, dones, changes);
                Ok(())
            }
        }
    }

    /// Takes no more writes and waits until those taken are durable.
    pub(crate) fn close(&self) {
        match self {
            Writer::Thread { queue, thread } => {
                drop(lock(queue).take());
                if let Some(thread) = lock(thread).take() {
                    // A panic of the writer was reported where it happened; there is nothing left to close.
                    let _ = thread.join();
                }
            }
            Writer::Inline(committer) => lock(committer).failed = true,
        }
    }
}

fn write_all(mut committer: Committer, writes: &Receiver<Write>) {
    while let Ok(first) = writes.recv() {
        let mut batch = vec![first];
        while batch.len() < limits::BATCH_WRITES_MAX
            && let Ok(next) = writes.try_recv()
        {
            batch.push(next);
        }
        let Some((dones, changes)) = committer.run(batch) else { return };
        follow_up(&committer.listener, dones, changes);
    }
}

/// A lock whose holder panicked guards data that is still whole: nothing here is left half-changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
