//! The one that writes: group commit.
//!
//! Every write is a closure that runs inside the next transaction, and a closure that runs after its
//! commit. While one transaction is being made durable, writes queue; then all that queued share the next
//! one. So one client waits for one commit, and a thousand clients wait for a few. A closure decides
//! before it changes anything: a refusal changes nothing, and a failure of the store stops the node, so
//! nothing ever has to be undone.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, OnceLock, TryLockError,
        mpsc::{Receiver, SyncSender, TrySendError},
    },
};

use muster_protocol::{
    limits,
    mutants::{self, Mutant},
};
use redb::Database;

use crate::{
    StoreError,
    batch::{Batch, Memory},
    changes::Changes,
    published::Published,
};

/// Runs after the commit.
pub(crate) type Done = Box<dyn FnOnce() + Send>;
/// Runs inside the transaction.
pub(crate) type Work = Box<dyn FnOnce(&mut Batch<'_>) -> Result<Done, StoreError> + Send>;

/// What has to happen after a commit: the replies, and what to tell the listener.
type After = (Vec<Done>, Changes);

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
    fn commit(&mut self, writes: Vec<Write>) -> Result<After, StoreError> {
        let mut txn = self.db.begin_write()?;
        // Two-phase commit with a saved allocator state: safe against hostile content, and quick to reopen.
        txn.set_quick_repair(true);
        let early = mutants::is(Mutant::AckBeforeDurable) || mutants::is(Mutant::PushBeforeCommit);
        if early {
            txn.set_durability(redb::Durability::None).map_err(redb::Error::from)?;
        }
        let mut dones = Vec::with_capacity(writes.len());
        // Inside a batch time does not go back; between batches it may, when the wall clock was set right.
        self.memory.now_ms = 0;
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
        if mutants::is(Mutant::PushBeforeCommit) {
            if let Some(listener) = self.listener.get() {
                listener.committed(changes.clone());
            }
            let mut txn = self.db.begin_write()?;
            txn.set_quick_repair(true);
            txn.commit()?;
        }
        Ok((dones, changes))
    }

    fn run(&mut self, writes: Vec<Write>) -> Option<After> {
        if self.failed {
            return None;
        }
        // Until the commit is through, it counts as failed: a write that panics leaves half a batch in memory.
        self.failed = true;
        match self.commit(writes) {
            Ok(after) => {
                self.failed = false;
                Some(after)
            }
            Err(error) => {
                tracing::error!(%error, "the store failed; the node stops");
                if let Some(listener) = self.listener.get() {
                    listener.failed(&error);
                }
                None
            }
        }
    }
}

fn follow_up(listener: &OnceLock<Box<dyn Listener>>, (dones, changes): After) {
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
    Inline(Box<Inline>),
}

/// See [`Writer::Inline`]. A reply may write again: what follows a commit happens in the order of
/// commits, and never inside another's.
pub(crate) struct Inline {
    committer: Mutex<Committer>,
    afters: Mutex<VecDeque<After>>,
    turn: Mutex<()>,
}

impl Inline {
    fn submit(&self, write: Write) -> Result<(), NotTaken> {
        let listener = {
            let mut committer = lock(&self.committer);
            let after = committer.run(vec![write]).ok_or(NotTaken::Stopped)?;
            lock(&self.afters).push_back(after);
            committer.listener.clone()
        };
        loop {
            let turn = match self.turn.try_lock() {
                Ok(turn) => turn,
                Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
                // Whoever has the turn, maybe a caller of ours, does what is queued meanwhile.
                Err(TryLockError::WouldBlock) => return Ok(()),
            };
            while let Some(after) = self.next_after() {
                follow_up(&listener, after);
            }
            drop(turn);
            if lock(&self.afters).is_empty() {
                return Ok(());
            }
        }
    }

    fn next_after(&self) -> Option<After> {
        lock(&self.afters).pop_front()
    }
}

impl Writer {
    pub(crate) fn thread(committer: Committer) -> std::io::Result<Self> {
        let (queue, writes) = std::sync::mpsc::sync_channel(limits::WRITER_QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("muster-writer".to_owned())
            .spawn(move || write_all(committer, &writes))?;
        Ok(Self::Thread { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    pub(crate) fn inline(committer: Committer) -> Self {
        Self::Inline(Box::new(Inline {
            committer: Mutex::new(committer),
            afters: Mutex::default(),
            turn: Mutex::default(),
        }))
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
            Writer::Inline(inline) => inline.submit(write),
        }
    }

    /// Takes no more writes and waits until those taken are durable.
    pub(crate) fn close(&self) {
        match self {
            Writer::Thread { queue, thread } => {
                drop(lock(queue).take());
                if let Some(thread) = lock(thread).take()
                    // The last handle may go away in a reply: then the writer closes itself when it is through.
                    && thread.thread().id() != std::thread::current().id()
                {
                    // A panic of the writer was reported where it happened; there is nothing left to close.
                    let _ = thread.join();
                }
            }
            Writer::Inline(inline) => lock(&inline.committer).failed = true,
        }
    }
}

/// A writer that panics stops the node as one that fails does.
struct Alarm(Arc<OnceLock<Box<dyn Listener>>>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(listener) = self.0.get()
        {
            listener.failed(&StoreError::Damaged("the writer panicked"));
        }
    }
}

fn write_all(mut committer: Committer, writes: &Receiver<Write>) {
    let _alarm = Alarm(committer.listener.clone());
    while let Ok(first) = writes.recv() {
        let mut batch = vec![first];
        while batch.len() < limits::BATCH_WRITES_MAX
            && let Ok(next) = writes.try_recv()
        {
            batch.push(next);
        }
        let Some(after) = committer.run(batch) else { return };
        follow_up(&committer.listener, after);
    }
}

/// A lock whose holder panicked guards data that is still whole, or, in a committer, marked as failed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
