//! Work between two peers, as the messages about it decide (N-43 to N-53).
//!
//! Every message about a work is a step in its order, which is people's order, and every step keeps how the work
//! stood after it. What arrives late is put where it belongs, and the steps behind it are decided again, as far as
//! that makes a difference: so all nodes that hold the same messages come to the same record, in whatever order they
//! arrived. What a session of this node sends comes last in that order by construction, and is refused before it is
//! stored.

use muster_protocol::network::{
    ChannelName, Container, DirectId, PeerName, ThreadId, WorkId, WorkRecord, WorkState, WorkspaceRef,
};

use crate::{StoreError, rows::WorkRow};

impl WorkRow {
    pub(crate) fn of(record: &WorkRecord) -> Self {
        Self {
            work_id: record.work_id.as_str().to_owned(),
            workspace: record.workspace_id.as_str().to_owned(),
            channel: record.channel.as_str().to_owned(),
            thread: matches!(record.container, Container::Thread(_)),
            container: record.container.id().to_owned(),
            opened_by: record.opened_by.as_str().to_owned(),
            target: record.target.as_str().to_owned(),
            state: record.state.as_str().to_owned(),
            opened_s: record.opened_at,
            last_activity_s: record.last_activity_at,
            terminal_s: record.terminal_at.into_iter().collect(),
        }
    }

    pub(crate) fn record(&self) -> Result<WorkRecord, StoreError> {
        fn name<E>(_: E) -> StoreError {
            StoreError::Damaged("a stored name is outside its grammar")
        }
        let container = if self.thread {
            Container::Thread(ThreadId::parse(&self.container).map_err(name)?)
        } else {
            Container::Direct(DirectId::parse(&self.container).map_err(name)?)
        };
        Ok(WorkRecord {
            work_id: WorkId::parse(&self.work_id).map_err(name)?,
            workspace_id: WorkspaceRef::parse(&self.workspace).map_err(name)?,
            channel: ChannelName::parse(&self.channel).map_err(name)?,
            container,
            opened_by: PeerName::parse(&self.opened_by).map_err(name)?,
            target: PeerName::parse(&self.target).map_err(name)?,
            state: WorkState::from_word(&self.state)
                .ok_or(StoreError::Damaged("a stored work state is unknown"))?,
            opened_at: self.opened_s,
            last_activity_at: self.last_activity_s,
            terminal_at: self.terminal_s.first().copied(),
        })
    }
}
