//! What is said more than once about one thing, of which the last in people's order counts: cards, parts of streams,
//! who takes part, texts of posts.
//!
//! All that was said is kept, each by its rank. So it does not matter in which order things arrive, and what no longer
//! counts is taken away and leaves what was said before it.

use muster_protocol::operation::Operation;
use redb::ReadableTable;

use crate::{
    StoreError,
    append::op_from_bytes,
    batch::Batch,
    rows::{self, At},
    tables::{self, Subject},
};

impl Batch<'_> {
    /// Keeps what an operation says about a subject.
    pub(crate) fn say_about(&mut self, subject: Subject, op: &Operation, at: At) -> Result<(), StoreError> {
        let key = tables::order_key(subject.key(), &tables::rank(op.header()));
        self.newest.insert(&key, rows::write(&at).as_slice())?;
        Ok(())
    }

    /// Forgets what an operation said about a subject; false when it said nothing.
    pub(crate) fn unsay_about(&mut self, subject: Subject, op: &Operation) -> Result<bool, StoreError> {
        let key = tables::order_key(subject.key(), &tables::rank(op.header()));
        Ok(self.newest.remove(&key)?.is_some())
    }

    /// The newest of what was said about a subject that `fits`.
    pub(crate) fn newest_about(
        &self,
        subject: Subject,
        fits: impl FnMut(&Operation) -> bool,
    ) -> Result<Option<Operation>, StoreError> {
        newest(&self.newest, &self.ops, subject, fits)
    }

    /// The first of what was said about a subject, and where it is.
    pub(crate) fn first_about(&self, subject: Subject) -> Result<Option<(Operation, At)>, StoreError> {
        let range = tables::order_range(subject.key());
        let first = self.newest.range::<&[u8; 72]>(range.start()..=range.end())?.next().transpose()?;
        let at = first.map(|(_, row)| rows::read::<At>(row.value())).transpose()?;
        at.map(|at| Ok((self.op(at)?, at))).transpose()
    }

    /// All that was said about a subject, in people's order.
    pub(crate) fn all_about(&self, subject: Subject) -> Result<Vec<Operation>, StoreError> {
        let range = tables::order_range(subject.key());
        let said = self.newest.range::<&[u8; 72]>(range.start()..=range.end())?;
        said.map(|entry| self.op(rows::read(entry?.1.value())?)).collect()
    }
}

/// See [`Batch::newest_about`].
pub(crate) fn newest(
    said: &impl ReadableTable<&'static [u8; 72], &'static [u8]>,
    ops: &impl ReadableTable<&'static [u8; 12], &'static [u8]>,
    subject: Subject,
    mut fits: impl FnMut(&Operation) -> bool,
) -> Result<Option<Operation>, StoreError> {
    let range = tables::order_range(subject.key());
    for entry in said.range::<&[u8; 72]>(range.start()..=range.end())?.rev() {
        let at: At = rows::read(entry?.1.value())?;
        let bytes = ops.get(&tables::op_key(at.log, at.seq))?;
        let op = op_from_bytes(
            bytes.ok_or(StoreError::Damaged("an operation that is pointed at is missing"))?.value(),
        )?;
        if fits(&op) {
            return Ok(Some(op));
        }
    }
    Ok(None)
}
