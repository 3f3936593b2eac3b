//! The store as the sync protocol sees it.

use std::sync::Arc;

use super::View;
use crate::{Store, StoreError, append::capped, rows::At, tables};
use muster_protocol::{
    cbor::{Bytes, Bytes64},
    control::ControlState,
    identity::NodeId,
    ids::{LogId, SpaceId},
    sync::{self, Height, Held},
};

/// A [`sync::View`] of a store, for one call of the sync machine.
pub struct SyncView<'a> {
    store: &'a Store,
    view: View,
}

impl<'a> SyncView<'a> {
    /// A view of everything committed so far.
    pub fn new(store: &'a Store) -> Result<Self, StoreError> {
        Ok(Self { store, view: store.view()? })
    }
}

impl sync::View for SyncView<'_> {
    type Error = StoreError;

    fn spaces(&self) -> Result<Vec<SpaceId>, StoreError> {
        let state = &self.view.state;
        // Groups first: see `sync::View::spaces`.
        Ok(state.groups.keys().chain(state.controls.keys()).copied().collect())
    }

    fn control(&self, space: SpaceId) -> Result<Option<Arc<ControlState>>, StoreError> {
        let state = &self.view.state;
        let group = || state.groups.get(&space).map(|group| &group.control);
        Ok(state.controls.get(&space).or_else(group).cloned())
    }

    fn control_entries(
        &self,
        space: SpaceId,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let number = self.view.number(space)?;
        let (low, high) = (tables::control_key(number, from), tables::control_key(number, u64::MAX));
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for entry in self.view.txn.open_table(tables::CONTROL)?.range::<&[u8; 12]>(&low..=&high)? {
            let entry = entry?.1.value().to_vec();
            bytes += entry.len();
            if !entries.is_empty()
                && (bytes > bytes_max || entries.len() == muster_protocol::limits::OPS_PER_FRAME_MAX)
            {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn held(&self, space: SpaceId) -> Result<Vec<Held>, StoreError> {
        // A log of which nothing counts is as good as none.
        let logs = self.view.logs(space)?.into_iter().filter(|(_, _, counts)| *counts > 0);
        logs.map(|(log, row, seq)| {
            let height = Height { author: log.author, incarnation: log.incarnation, seq };
            // Of a log that was cut off or frozen more may be stored than counts.
            let head = if seq == row.seq { row.id } else { self.view.op(At { log: row.number, seq })?.id() };
            Ok(Held { height, head })
        })
        .collect()
    }

    fn height(&self, log: &LogId) -> Result<u64, StoreError> {
        let Some(control) = self.view.control(log.space) else { return Ok(0) };
        Ok(self.view.log(log)?.map_or(0, |row| capped(&row, log, &control)))
    }

    fn ops(
        &self,
        log: &LogId,
        from: u64,
        bytes_max: usize,
        count_max: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let (Some(control), Some(row)) = (self.view.control(log.space), self.view.log(log)?) else {
            return Ok(Vec::new());
        };
        let last = capped(&row, log, &control);
        if from > last {
            return Ok(Vec::new());
        }
        let (low, high) = (tables::op_key(row.number, from), tables::op_key(row.number, last));
        let (mut ops, mut bytes) = (Vec::new(), 0);
        for entry in self.view.txn.open_table(tables::OPS)?.range::<&[u8; 12]>(&low..=&high)?.take(count_max)
        {
            let op = wire(entry?.1.value())?;
            bytes += op.len();
            if !ops.is_empty() && bytes > bytes_max {
                break;
            }
            ops.push(op);
        }
        Ok(ops)
    }

    fn claim_pull(&self, log: &LogId, peer: NodeId, now_ms: u64, stale_ms: u64) -> bool {
        self.store.claim_pull(log, peer, now_ms, stale_ms)
    }
}

/// The wire form of a stored operation, without reading its header.
fn wire(stored: &[u8]) -> Result<Vec<u8>, StoreError> {
    let damaged = StoreError::Damaged("a stored operation cannot be read");
    let Some((signature, rest)) = stored.split_first_chunk::<64>() else { return Err(damaged) };
    let Some((length, rest)) = rest.split_first_chunk::<2>() else { return Err(damaged) };
    let Some((header, body)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
        return Err(damaged);
    };
    Ok(muster_protocol::cbor::encode(&(Bytes(header.to_vec()), Bytes64(*signature), Bytes(body.to_vec()))))
}
