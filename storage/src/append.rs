//! Putting operations into logs: our own, and those that others sent.

use muster_protocol::{
    content::Content,
    control::ControlState,
    fork::ForkProof,
    ids::{LogId, SpaceId},
    log::{self, Admission, Head},
    mutants::{self, Mutant},
    operation::{Draft, Operation, Place},
    sync::{Height, Report},
};
use redb::ReadableTable;

use crate::{
    StoreError,
    batch::Batch,
    rows::{At, LogRow},
    tables,
};

/// An operation of somebody else whose signature was verified, with its meaning read ahead so that the
/// writer need not.
#[derive(Debug)]
pub struct Prepared {
    op: Operation,
    content: Content,
    control_height: u64,
}

impl Prepared {
    /// Reads the meaning of a verified operation.
    pub fn new(op: Operation, control: &ControlState) -> Self {
        Self { content: Content::read(&op, control), control_height: control.height(), op }
    }
}

impl Batch<'_> {
    /// Signs the next operation of our own log in a space and stores it, without its effect.
    pub(crate) fn append_own(
        &mut self,
        control: &ControlState,
        draft: Draft,
    ) -> Result<(Operation, At), StoreError> {
        let space = control.space();
        let mut log = LogId { space, author: self.me(), incarnation: self.memory.incarnation(space) };
        let mut row = self.log_or_new(&log)?;
        if is_closed(&row, &log, control) {
            // We were removed and let in again, or contradicted ourselves: here begins another log.
            log.incarnation = self.take_incarnation(space, log.incarnation)?;
            row = self.log_or_new(&log)?;
        }
        let now_ms = self.now_ms();
        let place = Place {
            space,
            incarnation: log.incarnation,
            seq: row.seq + 1,
            prev: row.id,
            hlc: self.memory.clock.tick(now_ms),
            control_height: control.height(),
        };
        let op = Operation::sign(&self.memory.identity, place, draft);
        let at = self.put_op(&log, &mut row, &op)?;
        Ok((op, at))
    }

    /// Stores what a peer sent into one space, in the order given, as far as it may be stored.
    pub fn append_remote(
        &mut self,
        space: SpaceId,
        ops: Vec<Prepared>,
        bytes: u64,
    ) -> Result<Report, StoreError> {
        let mut report = Report::of(space);
        report.bytes = bytes;
        let mut touched = std::collections::BTreeSet::new();
        for prepared in ops {
            let Some(control) = self.control_state(space) else { return Ok(report) };
            let log = prepared.op.header().log();
            touched.insert(log);
            self.append_one(&control, prepared, &mut report)?;
        }
        for log in touched {
            if let (Some(row), Some(control)) = (self.log(&log)?, self.control_state(space)) {
                let seq = capped(&row, &log, &control);
                report.heights.push(Height { author: log.author, incarnation: log.incarnation, seq });
            }
        }
        Ok(report)
    }

    fn append_one(
        &mut self,
        control: &ControlState,
        prepared: Prepared,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let Prepared { op, content, control_height } = prepared;
        let log = op.header().log();
        let row = self.log(&log)?;
        let head: Option<Head> = row.and_then(|row| row.head());
        match log::admit(control, head.as_ref(), &op, self.now_ms()) {
            Admission::Store => {
                let mut row = self.log_or_new(&log)?;
                if is_closed(&row, &log, control) {
                    return self.refuse(&row, log, report);
                }
                let at = self.put_op(&log, &mut row, &op)?;
                let now_ms = self.now_ms();
                self.memory.clock.observe(op.header().hlc, now_ms);
                let stale = control_height != control.height();
                let content = if stale { Content::read(&op, control) } else { content };
                self.take_effect(control, &op, content, at)?;
            }
            Admission::Taken => {
                let row = row.ok_or(StoreError::Damaged("a place is taken in a log that does not exist"))?;
                let stored = self.op(At { log: row.number, seq: op.header().seq })?;
                if stored.id() != op.id()
                    && let Some(proof) = ForkProof::of(&stored, &op)
                {
                    self.freeze(&proof, &log, op.header().seq)?;
                    report.forks.push(proof);
                    report.refused.push(log);
                } else if op.header().seq > row.frozen_after {
                    self.refuse(&row, log, report)?;
                } else if mutants::is(Mutant::DoubleApply) {
                    let at = At { log: row.number, seq: op.header().seq };
                    self.take_effect(control, &op, content, at)?;
                }
            }
            Admission::ControlAhead => {
                report.control_ahead = true;
                report.again.push(log);
            }
            Admission::Gap | Admission::ClockAhead => report.again.push(log),
            Admission::Refuse(_) => report.refused.push(log),
        }
        Ok(())
    }

    /// Refuses what stands in a closed log. Whoever sends it may not know yet that the log forks.
    fn refuse(&self, row: &LogRow, log: LogId, report: &mut Report) -> Result<(), StoreError> {
        if report.refused.contains(&log) {
            return Ok(());
        }
        report.refused.push(log);
        if let Some(proof) = self.forks.get(row.number)? {
            let proof = ForkProof::decode(proof.value());
            report.forks.push(proof.map_err(|_| StoreError::Damaged("a proof of a fork cannot be read"))?);
        }
        Ok(())
    }

    fn put_op(&mut self, log: &LogId, row: &mut LogRow, op: &Operation) -> Result<At, StoreError> {
        assert_eq!(op.header().seq, row.seq + 1, "logs have no gaps");
        assert_eq!(op.header().prev, row.id, "logs are chains");
        let head = Head::of(op);
        (row.seq, row.id, row.hlc, row.control_height) = (head.seq, head.id, head.hlc, head.control_height);
        self.put_log(log, *row)?;
        self.ops.insert(&tables::op_key(row.number, row.seq), op_bytes(op).as_slice())?;
        Ok(At { log: row.number, seq: row.seq })
    }

    /// A stored operation.
    pub(crate) fn op(&self, at: At) -> Result<Operation, StoreError> {
        let bytes = self.ops.get(&tables::op_key(at.log, at.seq))?;
        let bytes = bytes.ok_or(StoreError::Damaged("an operation that is pointed at is missing"))?;
        op_from_bytes(bytes.value())
    }

    pub(crate) fn take_effect(
        &mut self,
        control: &ControlState,
        op: &Operation,
        content: Content,
        at: At,
    ) -> Result<(), StoreError> {
        match content {
            Content::Envelope(envelope) => self.apply_envelope(control, op, &envelope, at),
            Content::Channel(name, _) => self.apply_channel(control, op, &name, at),
            Content::Room(room) => self.apply_room(control, op, &room, at),
            Content::Post(post) => self.apply_post(control, op, &post, at),
            Content::PostEdited(edited) => self.apply_edit(control, op, &edited, at),
            Content::PostDeleted(deleted) => self.apply_delete(control, op, &deleted, at),
            Content::Person(principal, _) | Content::Bot(principal, _) => {
                self.apply_card(control, op, principal, at)
            }
            Content::Stream(changed) => self.apply_stream(control, op, &changed, at),
            Content::Described(described) => self.apply_described(control, op, &described, at),
            Content::TakesPart(principal, _) => self.apply_takes_part(control, op, principal, at),
            Content::Invocation(said) => self.apply_invocation(control, op, &said, at),
            Content::Memo(memo) => self.apply_memo(control, op, &memo, at),
            Content::Notice(notice) => self.apply_notice(control, op, &notice, at),
            Content::Group(begun, held) => self.apply_group(control, op, &begun, held, at),
            Content::Void(void) => self.reject_void(control.space(), op, void),
        }
    }

    /// Takes a proof of a fork: from `seq` on, the log no longer counts. Forks of those who never were
    /// members are nothing to us: anybody can make any number of them.
    pub fn freeze(&mut self, proof: &ForkProof, log: &LogId, seq: u64) -> Result<(), StoreError> {
        let Some(control) = self.control_state(log.space) else { return Ok(()) };
        if log.incarnation == 0 {
            return self.freeze_control(proof, log, seq);
        }
        let stranger = !control.everybody().any(|(node, _)| node == log.author);
        if stranger || mutants::is(Mutant::UnfrozenFork) {
            return Ok(());
        }
        let mut row = self.log_or_new(log)?;
        if seq > row.frozen_after {
            return Ok(());
        }
        let before = capped(&row, log, &control);
        row.frozen_after = seq - 1;
        self.put_log(log, row)?;
        self.forks.insert(row.number, proof.encode().as_slice())?;
        self.void_between(&control, &row, seq - 1, before)
    }
}

/// How much of a log counts.
pub(crate) fn capped(row: &LogRow, log: &LogId, control: &ControlState) -> u64 {
    row.seq.min(row.frozen_after).min(control.cap(log, row.control_height))
}

/// Whether nothing above what a log holds can count any more.
fn is_closed(row: &LogRow, log: &LogId, control: &ControlState) -> bool {
    row.seq >= row.frozen_after.min(control.cap(log, row.control_height))
}

fn op_bytes(op: &Operation) -> Vec<u8> {
    let header = op.header_bytes();
    let mut bytes = Vec::with_capacity(66 + header.len() + op.body().map_or(0, <[u8]>::len));
    bytes.extend_from_slice(op.signature());
    bytes.extend_from_slice(&(header.len() as u16).to_be_bytes());
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(op.body().unwrap_or_default());
    bytes
}

pub(crate) fn op_from_bytes(bytes: &[u8]) -> Result<Operation, StoreError> {
    let damaged = StoreError::Damaged("a stored operation cannot be read");
    let Some((signature, rest)) = bytes.split_first_chunk::<64>() else { return Err(damaged) };
    let Some((length, rest)) = rest.split_first_chunk::<2>() else { return Err(damaged) };
    let length = usize::from(u16::from_be_bytes(*length));
    let Some((header, body)) = rest.split_at_checked(length) else { return Err(damaged) };
    let body = (!body.is_empty()).then(|| body.to_vec());
    Operation::from_parts(header.to_vec(), *signature, body).map_err(|_| damaged)
}
