//! Reading: one consistent view, and the rows it is made of.
//!
//! A view is a read transaction. It sees exactly one commit's state, never waits for a write, and costs
//! what it reads: no call here walks a history.

mod attachments;
mod cursor;
mod invocations;
mod keys;
mod memo_entries;
mod memos;
mod messages;
mod network;
mod node;
mod people;
mod posts;
mod rooms;
mod streams;
mod sync;
mod works;

use std::sync::{Arc, Mutex};

use muster_protocol::{
    control::{ControlState, Role},
    identity::NodeId,
    ids::{LogId, SpaceId, WorkspaceId},
    operation::Operation,
};
use redb::ReadTransaction;

pub use attachments::{AttachmentRow, BindingRow, UploadRow};
pub use invocations::{InvocationRow, RuntimeRow, StepRow};
pub use keys::KeyRow;
pub use memo_entries::MemoEntry;
pub use memos::{MemoKind, MemoQuery, MemoReader, MemoRow, MemoStatus};
pub use messages::{MessagePage, MessageRow};
pub use network::{ChannelRow, STOPPED_SESSIONS_SHOWN, SessionRow, SessionState, ThreadRow, UnknownCursor};
pub use node::{AgentRow, EventRow, MemberRow, WorkspaceRow};
pub use people::{BotRow, PersonRow};
pub use posts::{Author, PostRow, Touched, Window};
pub use rooms::RoomRow;
pub use streams::{PartRow, StreamRow};
pub use sync::SyncView;

use crate::{
    StoreError,
    append::{capped, op_from_bytes},
    published::State,
    rows::{self, At, LogRow},
    store::PendingAcks,
    tables,
    writer::lock,
};

/// One commit's state of a store.
pub struct View {
    txn: ReadTransaction,
    state: Arc<State>,
    node: NodeId,
    /// Newer than the table's; see [`Self::acked_of`].
    pending_acks: Arc<Mutex<PendingAcks>>,
}

impl View {
    pub(crate) fn new(
        txn: ReadTransaction,
        state: Arc<State>,
        node: NodeId,
        pending_acks: Arc<Mutex<PendingAcks>>,
    ) -> Self {
        Self { txn, state, node, pending_acks }
    }

    /// How much of a log a peer said it holds. What it said since the last commit counts: on a node that
    /// writes nothing for a while it stays unwritten, and is true all the same.
    fn acked_of(&self, peer: NodeId, log: u32) -> Result<u64, StoreError> {
        let acks = self.txn.open_table(tables::ACKS)?;
        let written = acks.get(&tables::ack_key(peer, log))?.map_or(0, |seq| seq.value());
        let pending = lock(&self.pending_acks).get(&(peer, log)).copied();
        Ok(written.max(pending.unwrap_or(0)))
    }

    /// The control state of a space.
    pub fn control(&self, space: SpaceId) -> Option<Arc<ControlState>> {
        self.state.control(space)
    }

    fn number(&self, space: SpaceId) -> Result<u32, StoreError> {
        self.state
            .numbers
            .get(&space)
            .copied()
            .ok_or(StoreError::Damaged("a space that is read was never begun"))
    }

    /// A log; none of a space that was never begun, as pair spaces are when nothing was said in them yet.
    pub(crate) fn log(&self, log: &LogId) -> Result<Option<LogRow>, StoreError> {
        // Links ask about pair spaces before anything is held of them.
        let Some(number) = self.state.numbers.get(&log.space) else { return Ok(None) };
        let key = tables::log_key(*number, log.author, log.incarnation);
        self.txn.open_table(tables::LOGS)?.get(&key)?.map(|row| rows::read(row.value())).transpose()
    }

    /// All logs of a space, in order, with how much of each counts.
    fn logs(&self, space: SpaceId) -> Result<Vec<(LogId, LogRow, u64)>, StoreError> {
        let (Some(control), Some(number)) = (self.control(space), self.state.numbers.get(&space)) else {
            return Ok(Vec::new());
        };
        let lowest = [&number.to_be_bytes()[..], &[0; 40]].concat();
        let highest = [&number.to_be_bytes()[..], &[0xff; 40]].concat();
        let (Ok(lowest), Ok(highest)) = (<[u8; 44]>::try_from(lowest), <[u8; 44]>::try_from(highest)) else {
            return Ok(Vec::new());
        };
        let mut logs = Vec::new();
        for entry in self.txn.open_table(tables::LOGS)?.range::<&[u8; 44]>(&lowest..=&highest)? {
            let (key, row) = entry?;
            let (mut author, mut incarnation) = ([0; 32], [0; 8]);
            author.copy_from_slice(&key.value()[4..36]);
            incarnation.copy_from_slice(&key.value()[36..]);
            let author =
                NodeId::from_bytes(author).map_err(|_| StoreError::Damaged("a log's author is no node"))?;
            let log = LogId { space, author, incarnation: u64::from_be_bytes(incarnation) };
            let row: LogRow = rows::read(row.value())?;
            logs.push((log, row, capped(&row, &log, &control)));
        }
        Ok(logs)
    }

    pub(crate) fn op(&self, at: At) -> Result<Operation, StoreError> {
        let ops = self.txn.open_table(tables::OPS)?;
        let bytes = ops.get(&tables::op_key(at.log, at.seq))?;
        op_from_bytes(bytes.ok_or(StoreError::Damaged("an operation that is pointed at is missing"))?.value())
    }

    /// Every stored operation of a log, in order; for checkers and tests.
    pub fn log_operations(&self, log: &LogId) -> Result<Vec<Operation>, StoreError> {
        let Some(row) = self.log(log)? else { return Ok(Vec::new()) };
        (1..=row.seq).map(|seq| self.op(At { log: row.number, seq })).collect()
    }

    /// Every log of a space and how much of it counts; for checkers and tests.
    pub fn log_heights(&self, space: SpaceId) -> Result<Vec<(LogId, u64)>, StoreError> {
        Ok(self.logs(space)?.into_iter().map(|(log, _, counts)| (log, counts)).collect())
    }

    fn role(&self, control: &ControlState) -> Option<Role> {
        control.role(self.node)
    }

    /// The space of a workspace this store holds.
    pub fn space_of(&self, workspace: WorkspaceId) -> Option<SpaceId> {
        self.state.workspaces.get(&workspace).copied()
    }
}
