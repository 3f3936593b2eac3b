//! From version 2 to 3: the Workspace door.
//!
//! Its tables are made from the timelines of all channels. That takes what the writer knows, so it is done when the
//! store is open and before anybody else sees it, in one transaction.

use muster_protocol::ids::{SpaceId, StreamId};
use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};

use crate::{
    StoreError,
    batch::{Batch, Memory},
    rows::{self, ChannelRecord, TimelineRow},
    tables,
};

/// Set from the migration until the lists are made.
const UNLISTED_KEY: &str = "unlisted";

/// Notes that the lists have to be made.
pub(super) fn to_v3(txn: &WriteTransaction) -> Result<(), StoreError> {
    txn.open_table(tables::META)?.insert(UNLISTED_KEY, [1].as_slice())?;
    Ok(())
}

/// Makes the lists, if a migration left that to be done.
pub(crate) fn list_all(db: &Database, memory: &mut Memory) -> Result<(), StoreError> {
    if db.begin_read()?.open_table(tables::META)?.get(UNLISTED_KEY)?.is_none() {
        return Ok(());
    }
    let channels = channels(db, memory)?;
    let mut txn = db.begin_write()?;
    txn.set_quick_repair(true);
    {
        let mut batch = Batch::begin(&txn, memory)?;
        for (space, stream, record) in channels {
            if record.exists() && record.created_ms > 0 {
                batch.know_channel(space, stream, &record.name, record.created_ms)?;
            }
            for sequence in 1..=record.last_sequence {
                batch.list_place(stream, sequence)?;
            }
        }
        batch.meta.remove(UNLISTED_KEY)?;
        batch.finish()?;
    }
    txn.commit()?;
    Ok(())
}

fn channels(db: &Database, memory: &Memory) -> Result<Vec<(SpaceId, StreamId, ChannelRecord)>, StoreError> {
    let txn = db.begin_read()?;
    let table = txn.open_table(tables::CHANNELS)?;
    let mut found = Vec::new();
    for (space, number) in
        memory.space_numbers.iter().filter(|(space, _)| memory.controls.contains_key(space))
    {
        let (from, to) = (tables::named_key(*number, [0; 16]), tables::named_key(*number, [0xff; 16]));
        for entry in table.range::<&[u8; 20]>(&from..=&to)? {
            let (key, row) = entry?;
            found.push((*space, StreamId(tables::id_in(key.value())), rows::read(row.value())?));
        }
    }
    Ok(found)
}

impl Batch<'_> {
    fn list_place(&mut self, stream: StreamId, sequence: u64) -> Result<(), StoreError> {
        let row = self.timeline.get(&tables::timeline_key(stream, sequence))?;
        let row = row.map(|row| rows::read::<TimelineRow>(row.value())).transpose()?;
        let row = row.ok_or(StoreError::Damaged("a message is not in its timeline"))?;
        if row.void {
            return Ok(());
        }
        let (envelope, op) = self.envelope_at(row.at)?;
        self.list_message(stream, &op, &envelope, row.at, sequence)
    }
}
