//! The rules of a log: store or refuse, from the operation's bytes and the control log alone.
//!
//! Nothing here depends on wall time but the clock rule, which only ever delays; so all nodes store the
//! same operations in the end. An operation that is signed and in place is never dropped, even if it
//! means nothing: a hole would be asked for again for ever.

use crate::{
    clock::Hlc,
    control::{ControlState, Standing},
    ids::OpId,
    operation::Operation,
};

/// The newest operation of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub seq: u64,
    /// Its id.
    pub id: OpId,
    /// Its time.
    pub hlc: Hlc,
    /// The control height it cites.
    pub control_height: u64,
}

impl Head {
    /// The head after `op`.
    pub fn of(op: &Operation) -> Self {
        let header = op.header();
        Self { seq: header.seq, id: op.id(), hlc: header.hlc, control_height: header.control_height }
    }
}

/// What to do with an operation that its author signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is the next one: store it.
    Store,
    /// Its place is taken: by itself, or the log forks. The caller compares.
    Taken,
    /// Something before it is missing.
    Gap,
    /// Its control height is ahead of ours.
    ControlAhead,
    /// Its time is too far ahead; it may come again when our clock has caught up.
    ClockAhead,
    /// It does not belong here, now or ever.
    Refuse(Refused),
}

/// Why an operation is never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its author was no member.
    #[error("its author was not a member when it was written")]
    Stranger,
    /// It was written after its author's removal.
    #[error("it was written after its author's removal")]
    CutOff,
    /// It does not continue the log: its `prev` is not the operation before it.
    #[error("it does not continue the log it stands in")]
    Chain,
    /// Its time or its control height goes back.
    #[error("its time or control height goes back")]
    Backwards,
    /// A control operation in a member's log.
    #[error("control operations belong into the control log")]
    Control,
}

/// Judges an operation against the control log and the head of its log.
pub fn admit(control: &ControlState, head: Option<&Head>, op: &Operation, now_ms: u64) -> Admission {
    let header = op.header();
    if header.kind.is_control() {
        return Admission::Refuse(Refused::Control);
    }
    let next = head.map_or(1, |head| head.seq + 1);
    if header.seq < next {
        return Admission::Taken;
    }
    match control.standing(&header.log(), header.seq, header.control_height) {
        Standing::Member => {}
        Standing::Ahead => return Admission::ControlAhead,
        Standing::Stranger => return Admission::Refuse(Refused::Stranger),
        Standing::CutOff => return Admission::Refuse(Refused::CutOff),
    }
    if header.seq > next {
        return Admission::Gap;
    }
    if let Some(head) = head
        && control.standing(&header.log(), head.seq, head.control_height) != Standing::Member
    {
        // What it continues was cut off after we stored it. Who lacks that will never store this.
        return Admission::Refuse(Refused::CutOff);
    }
    if header.prev != head.map_or(OpId::NONE, |head| head.id) {
        return Admission::Refuse(Refused::Chain);
    }
    if let Some(head) = head
        && (header.hlc <= head.hlc || header.control_height < head.control_height)
    {
        return Admission::Refuse(Refused::Backwards);
    }
    if header.hlc.is_ahead(now_ms) { Admission::ClockAhead } else { Admission::Store }
}
