//! Work between two peers, as the messages about it decide (N-43 to N-53).
//!
//! Every message about a work is a step in its order, which is people's order, and a step that changed the work keeps
//! how it stood from then on. What arrives late is put where it belongs, and the steps behind it are decided again:
//! so all nodes that hold the same messages come to the same record, in whatever order they arrived. Only such steps
//! are looked at as can make a difference, and only until they make none: talk about open work is passed over, the next
//! report sets the state to what it was anyway, and what is behind an end stays without effect. So a late message costs
//! little, however long the work is talked about. What a session of this node sends comes last in that order by
//! construction, and is refused before it is stored.

use std::ops::Bound;

use muster_protocol::{
    ids::{SpaceId, StreamId},
    network::{
        ChannelName, Container, DirectId, Envelope, PeerName, ReceiptStatus, ThreadId, WorkAct, WorkChange,
        WorkId, WorkMessage, WorkRecord, WorkRefusal, WorkState, WorkspaceRef, work,
    },
    operation::Operation,
};
use redb::ReadableTable;

use crate::{
    StoreError,
    batch::Batch,
    channels::thread_key,
    rows::{self, At, WorkRow},
    tables::{self, Rank, Short},
};

impl Batch<'_> {
    /// What the rules say about a message that comes last and is not stored yet (N-43 to N-48). Work that this node
    /// knows from another space bears the id as well: there it stays (N-44).
    pub(crate) fn judge_next(
        &self,
        workspace: SpaceId,
        space: SpaceId,
        envelope: &Envelope,
    ) -> Result<Result<(), WorkRefusal>, StoreError> {
        let Some(message) = message_of(envelope)? else { return Ok(Ok(())) };
        let number = self.space_number(workspace)?;
        let here = self.memory.space_numbers.get(&space).copied();
        let (mut known, mut elsewhere) = (None, None);
        let id = message.work_id.as_str();
        let (from, to) = (tables::work_key(number, id, 0), tables::work_key(number, id, u32::MAX));
        for entry in self.works.range::<&[u8; 24]>(&from..=&to)? {
            let (key, row) = entry?;
            let row: WorkRow = rows::read(row.value())?;
            match here {
                Some(here) if *key.value() == tables::work_key(number, id, here) => known = Some(row),
                _ => elsewhere = Some(row),
            }
        }
        let record = known.or(elsewhere).map(|row| row.record()).transpose()?;
        Ok(work::decide(record.as_ref(), &message).map(drop))
    }

    /// Puts a message into the order of its work; what the rules say about it there.
    pub(crate) fn step_work(
        &mut self,
        space: SpaceId,
        op: &Operation,
        envelope: &Envelope,
        at: At,
    ) -> Result<Result<(), WorkRefusal>, StoreError> {
        let Some(message) = message_of(envelope)? else { return Ok(Ok(())) };
        let rank = tables::rank(op.header());
        let orders = WorkOrders::new(self.space_number(space)?, &message.work_id);
        for of in orders.entered_by(&message) {
            self.work_order.insert(&tables::order_key(of, &rank), rows::write(&at).as_slice())?;
        }
        let before = self.work_before(&orders, &rank)?;
        match work::decide(before.as_ref(), &message) {
            Ok(WorkChange::Unchanged) => Ok(Ok(())),
            Ok(change) => {
                self.changes.work_transitions += u64::from(matches!(change, WorkChange::Moved(_)));
                let (WorkChange::Opened(after) | WorkChange::Moved(after)) = change else {
                    return Ok(Ok(()));
                };
                self.put_change(&orders, &rank, &after)?;
                self.decide_again(space, &orders, rank, Some(after), &message.work_id)?;
                Ok(Ok(()))
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Takes a message out of the order of its work.
    pub(crate) fn unstep_work(
        &mut self,
        space: SpaceId,
        op: &Operation,
        envelope: &Envelope,
    ) -> Result<(), StoreError> {
        let Some(message) = message_of(envelope)? else { return Ok(()) };
        let rank = tables::rank(op.header());
        let orders = WorkOrders::new(self.space_number(space)?, &message.work_id);
        for of in orders.entered_by(&message) {
            self.work_order.remove(&tables::order_key(of, &rank))?;
        }
        if self.work_order.remove(&tables::order_key(orders.changes, &rank))?.is_none() {
            return Ok(()); // it changed nothing, so nothing changes without it
        }
        let before = self.work_before(&orders, &rank)?;
        self.decide_again(space, &orders, rank, before, &message.work_id)
    }

    /// How a work stood before the place `rank` in its order.
    fn work_before(&self, orders: &WorkOrders, rank: &Rank) -> Result<Option<WorkRecord>, StoreError> {
        let (first, here) =
            (tables::order_key(orders.changes, &[0; 56]), tables::order_key(orders.changes, rank));
        let last = self.work_order.range::<&[u8; 72]>(&first..&here)?.next_back().transpose()?;
        last.map(|(_, row)| rows::read::<WorkRow>(row.value())?.record()).transpose()
    }

    /// Decides again about the messages behind `rank`, `stands` being how the work stands there, until it makes no
    /// difference any more; then the work's record is how it stands in the end.
    fn decide_again(
        &mut self,
        space: SpaceId,
        orders: &WorkOrders,
        mut rank: Rank,
        mut stands: Option<WorkRecord>,
        id: &WorkId,
    ) -> Result<(), StoreError> {
        loop {
            let next = match stands.as_ref().map(|record| record.state) {
                Some(state) if state.is_terminal() => None,
                Some(WorkState::Submitted | WorkState::Working) => self.step_after(orders.settings, &rank)?,
                _ => self.step_after(orders.steps, &rank)?, // any message may open it, or answer
            };
            self.forget_changes(orders, &rank, next.as_ref().map(|(rank, _)| rank))?;
            let Some((here, at)) = next else { return self.put_work(space, id, stands) };
            let (envelope, _) = self.envelope_at(at)?;
            let message = message_of(&envelope)?
                .ok_or(StoreError::Damaged("a message stands in the order of work that it does not name"))?;
            match work::decide(stands.as_ref(), &message) {
                Ok(WorkChange::Opened(after) | WorkChange::Moved(after)) => {
                    if !self.put_change(orders, &here, &after)? {
                        return Ok(()); // from here on all is as it was
                    }
                    stands = Some(after);
                }
                Ok(WorkChange::Unchanged) | Err(_) => {
                    self.work_order.remove(&tables::order_key(orders.changes, &here))?;
                }
            }
            rank = here;
        }
    }

    /// The first message behind a place.
    fn step_after(&self, of: Short, rank: &Rank) -> Result<Option<(Rank, At)>, StoreError> {
        let (here, end) = (tables::order_key(of, rank), tables::order_key(of, &[0xff; 56]));
        let behind = (Bound::Excluded(&here), Bound::Included(&end));
        let next = self.work_order.range::<&[u8; 72]>(behind)?.next().transpose()?;
        next.map(|(key, at)| Ok((tables::order_rank(key.value()), rows::read(at.value())?))).transpose()
    }

    /// What the messages between two places changed, they change no more.
    fn forget_changes(
        &mut self,
        orders: &WorkOrders,
        from: &Rank,
        to: Option<&Rank>,
    ) -> Result<(), StoreError> {
        let from = tables::order_key(orders.changes, from);
        let to = to.map(|to| tables::order_key(orders.changes, to));
        let end = tables::order_key(orders.changes, &[0xff; 56]);
        let to = to.as_ref().map_or(Bound::Included(&end), Bound::Excluded);
        self.work_order.retain_in::<&[u8; 72], _>((Bound::Excluded(&from), to), |_, _| false)?;
        Ok(())
    }

    /// Keeps how a work stands after a message that changed it; false when that is known.
    fn put_change(
        &mut self,
        orders: &WorkOrders,
        rank: &Rank,
        after: &WorkRecord,
    ) -> Result<bool, StoreError> {
        let (key, row) = (tables::order_key(orders.changes, rank), rows::write(&WorkRow::of(after)));
        let before = self.work_order.insert(&key, row.as_slice())?;
        Ok(before.is_none_or(|before| before.value() != row.as_slice()))
    }

    /// Whether a work of this space, if there is one under this id, is between these two.
    pub(crate) fn is_between(
        &self,
        space: SpaceId,
        id: &WorkId,
        one: &PeerName,
        other: &PeerName,
    ) -> Result<bool, StoreError> {
        let workspace = self.space_number(self.workspace_of(space))?;
        let row = self.works.get(&tables::work_key(workspace, id.as_str(), self.space_number(space)?))?;
        let record = row.map(|row| rows::read::<WorkRow>(row.value())?.record()).transpose()?;
        Ok(record.is_none_or(|record| record.other(one) == Some(other)))
    }

    /// Sets how a work stands, and what its conversation and its channel count (N-52).
    fn put_work(&mut self, space: SpaceId, id: &WorkId, now: Option<WorkRecord>) -> Result<(), StoreError> {
        let workspace = self.workspace_of(space);
        let key = tables::work_key(self.space_number(workspace)?, id.as_str(), self.space_number(space)?);
        let before: Option<WorkRow> = self.works.get(&key)?.map(|row| rows::read(row.value())).transpose()?;
        let row = now.as_ref().map(WorkRow::of);
        if before == row {
            return Ok(());
        }
        match &row {
            Some(row) => drop(self.works.insert(&key, rows::write(row).as_slice())?),
            None => drop(self.works.remove(&key)?),
        }
        if let Some(before) = before.map(|row| row.record()).transpose()? {
            self.count_open_work(space, &before, |open| open.saturating_sub(1))?;
        }
        let Some(now) = now else { return Ok(()) };
        self.count_open_work(space, &now, |open| open + 1)?;
        let data = serde_json::json!({
            "work_id": now.work_id.as_str(), "state": now.state.as_str(), "channel": now.channel.as_str(),
            "thread_id": now.container.thread_id().map(AsRef::<str>::as_ref),
            "direct_id": now.container.direct_id().map(AsRef::<str>::as_ref),
            "opened_by_peer_id": now.opened_by.as_str(), "target_peer_id": now.target.as_str(),
        });
        self.note(space, "work", &data)
    }

    fn count_open_work(
        &mut self,
        space: SpaceId,
        record: &WorkRecord,
        count: impl Fn(u64) -> u64,
    ) -> Result<(), StoreError> {
        if record.state.is_terminal() {
            return Ok(());
        }
        let workspace = self.workspace_of(space);
        let stream = StreamId::channel(workspace, record.channel.as_str());
        if let Some(mut channel) = self.channel(workspace, stream)? {
            channel.open_work = count(channel.open_work);
            self.put_channel(workspace, stream, channel)?;
        }
        match &record.container {
            Container::Thread(id) => {
                let key = thread_key(stream, id);
                if let Some(mut thread) = self.thread(stream, key)? {
                    thread.open_work = count(thread.open_work);
                    self.put_thread(stream, key, thread);
                }
            }
            Container::Direct(id) => {
                let key = tables::room_key(self.space_number(workspace)?, id.as_str());
                if let Some(mut room) = self.room(&key)? {
                    room.open_work = count(room.open_work);
                    self.put_room(key, room);
                }
            }
        }
        Ok(())
    }
}

fn message_of(envelope: &Envelope) -> Result<Option<WorkMessage>, StoreError> {
    WorkMessage::of(envelope).map_err(|_| StoreError::Damaged("a message that was checked cannot be read"))
}

/// The orders that the messages about one work stand in.
pub(crate) struct WorkOrders {
    /// All of them.
    steps: Short,
    /// Those that can set the state of work that waits for nobody: not talk, and no receipt that leaves it as it is.
    settings: Short,
    /// Those that changed it, with how it stood afterwards.
    pub(crate) changes: Short,
}

impl WorkOrders {
    pub(crate) fn new(space: u32, id: &WorkId) -> Self {
        let steps = tables::work_of(space, id.as_str());
        Self { steps, settings: tables::short(&steps, "settings"), changes: tables::short(&steps, "changes") }
    }

    /// The orders that a message stands in, whatever comes of it.
    pub(crate) fn entered_by(&self, message: &WorkMessage) -> impl Iterator<Item = Short> {
        let sets = match message.act {
            WorkAct::Talk => false,
            WorkAct::Trace(state) => state != WorkState::Submitted,
            WorkAct::Receipt(status) => {
                matches!(status, ReceiptStatus::Rejected | ReceiptStatus::Canceled)
            }
        };
        [Some(self.steps), sets.then_some(self.settings)].into_iter().flatten()
    }
}

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
