//! Operations on their way: taken in, judged by the store, and sent as far as credit allows.

use std::collections::BTreeMap;

use super::{Machine, OPS_FRAMES_AHEAD, PULL_DELAY_MS};
use crate::{
    cbor::Bytes,
    fork::ForkProof,
    ids::{LogId, SpaceId},
    limits,
    mutants::{self, Mutant},
    operation::Operation,
    sync::{Frame, Height, Output, Report, View},
};

impl Machine {
    pub(super) fn ops(&mut self, space: SpaceId, ops: Vec<Bytes>, bytes: u64) {
        self.received = self.received.saturating_add(bytes);
        if self.received > self.granted {
            self.violation("more operations than it was granted");
            return;
        }
        if !self.shared.contains_key(&space) {
            // It may have been shared when they were sent. Only the credit goes back.
            self.granted += bytes;
            self.send_heights(space, Vec::new(), false);
            return;
        }
        let Some(ops) = self.read_ops(space, ops, false) else { return };
        if let Some(shared) = self.shared.get_mut(&space) {
            for op in &ops {
                let header = op.header();
                shared.note(&Height {
                    author: header.author,
                    incarnation: header.incarnation,
                    seq: header.seq,
                });
            }
        }
        self.out.push(Output::Store { space, control: false, ops, bytes });
    }

    pub(super) fn stored<V: View>(&mut self, now_ms: u64, report: Report, view: &V) -> Result<(), V::Error> {
        let space = report.space;
        let shared = self.shared.contains_key(&space);
        if report.bytes > 0 {
            self.granted += report.bytes;
            // A peer that was removed meanwhile gets its credit back and learns nothing.
            let heights = if shared { report.heights.clone() } else { Vec::new() };
            self.send_heights(space, heights, false);
        }
        if let Some(shared) = self.shared.get_mut(&space) {
            for log in &report.again {
                let ours = view.height(log)?;
                shared.plan_pull((log.author, log.incarnation), ours, now_ms + PULL_DELAY_MS);
            }
        }
        self.refused(&report, view)?;
        self.compared(now_ms, space, &report);
        // Who sent entries is ahead of us and is told how far we are now, so that it sends the next page.
        if (report.control_grew || (report.control_ahead && shared))
            && let Some(control) = view.control(space)?
        {
            self.send(&Frame::ControlHeight(space, control.height()));
            self.control_level(&control, view)?;
        }
        Ok(())
    }

    /// Remembers what is not worth asking for, tells of forks, and looks for them: a log that does not
    /// continue ours may have left it earlier, and the peer's version of that place proves it.
    fn refused<V: View>(&mut self, report: &Report, view: &V) -> Result<(), V::Error> {
        let space = report.space;
        let Some(shared) = self.shared.get_mut(&space) else { return Ok(()) };
        let mut forks: BTreeMap<LogId, (u64, &ForkProof)> = BTreeMap::new();
        for proof in &report.forks {
            let Ok((log, seq)) = proof.verify() else { continue };
            let lowest = forks.entry(log).or_insert((seq, proof));
            if seq < lowest.0 {
                *lowest = (seq, proof);
            }
        }
        let mut look = BTreeMap::new();
        for log in &report.refused {
            let log_key = (log.author, log.incarnation);
            let Some(theirs) = shared.peer.get(&log_key).copied() else { continue };
            shared.pulls.remove(&log_key);
            let before = shared.refused.insert(log_key, theirs);
            let ours = view.height(log)?;
            if before.is_none_or(|before| before < theirs) && ours > 0 && !forks.contains_key(log) {
                look.insert(log_key, ours);
            }
        }
        for (log, (seq, _)) in &forks {
            let log_key = (log.author, log.incarnation);
            let lowest = shared.forks.entry(log_key).or_insert(u64::MAX);
            if *seq < *lowest {
                *lowest = *seq;
                if *seq > 1 && log.incarnation > 0 {
                    look.insert(log_key, seq.saturating_sub(limits::OPS_PER_FRAME_MAX as u64).max(1));
                }
            }
        }
        for (_, proof) in forks.values() {
            self.send(&Frame::Fork(Bytes(proof.encode())));
        }
        let wants: Vec<_> = look
            .into_iter()
            .map(|((author, incarnation), seq)| Height { author, incarnation, seq })
            .collect();
        for page in wants.chunks(limits::HEIGHTS_PER_FRAME_MAX) {
            self.send(&Frame::Want(space, page.to_vec()));
        }
        Ok(())
    }

    /// Decodes and verifies operations; a bad one is a violation.
    pub(super) fn read_ops(
        &mut self,
        space: SpaceId,
        encoded: Vec<Bytes>,
        control: bool,
    ) -> Option<Vec<Operation>> {
        let read = |bytes: Bytes| {
            let op = Operation::decode(&bytes.0).map_err(|_| "a malformed operation")?;
            if op.header().space != space {
                return Err("an operation of another space");
            }
            if op.header().kind.is_control() != control {
                return Err("an operation in the wrong kind of log");
            }
            if !mutants::is(Mutant::SkippedVerify) {
                op.verify().map_err(|_| "an operation its author did not sign")?;
            }
            Ok(op)
        };
        match encoded.into_iter().map(read).collect() {
            Ok(ops) => Some(ops),
            Err(what) => {
                self.violation(what);
                None
            }
        }
    }

    /// Sends operations as far as credit and the link allow, space by space in turn.
    pub(super) fn pump<V: View>(&mut self, view: &V) -> Result<(), V::Error> {
        let mut waiting: Vec<_> = self
            .shared
            .iter()
            .filter(|(_, shared)| !shared.sending.is_empty())
            .map(|(space, _)| *space)
            .collect();
        let first = waiting.iter().position(|space| Some(*space) > self.turn).unwrap_or(0);
        waiting.rotate_left(first);
        while !waiting.is_empty() && self.ahead < OPS_FRAMES_AHEAD {
            let space = waiting.remove(0);
            if self.send_ops(space, view)? {
                self.turn = Some(space);
                waiting.push(space);
            }
        }
        Ok(())
    }

    /// One frame of operations of a space; false when there is nothing to send or no credit for it.
    fn send_ops<V: View>(&mut self, space: SpaceId, view: &V) -> Result<bool, V::Error> {
        let room = self.sent_max.saturating_sub(self.sent).min(limits::FRAME_BYTES_MAX as u64) as usize;
        let me = self.me;
        let Some(shared) = self.shared.get_mut(&space) else { return Ok(false) };
        let mut logs: Vec<_> = shared.sending.iter().map(|(log, next)| (*log, *next)).collect();
        logs.sort_by_key(|(log, _)| log.0 != me); // what we write ourselves nobody else pushes
        let mut ops: Vec<Bytes> = Vec::new();
        let mut bytes = 64;
        for (log_key, next) in logs {
            let log = LogId { space, author: log_key.0, incarnation: log_key.1 };
            let left = limits::OPS_FRAME_BYTES.saturating_sub(bytes);
            let count = limits::OPS_PER_FRAME_MAX - ops.len();
            if left == 0 || count == 0 {
                break;
            }
            let mut sent = next;
            let mut full = false;
            for op in view.ops(&log, next, left, count)? {
                let cost = op.len() + 8; // its length's own bytes
                full = (bytes + cost > limits::OPS_FRAME_BYTES && !ops.is_empty()) || bytes + cost > room;
                if full {
                    break;
                }
                bytes += cost;
                ops.push(Bytes(op));
                sent += 1;
            }
            if sent == next && !full {
                shared.sending.remove(&log_key); // all sent: a commit or a wish begins anew
            } else {
                shared.sending.insert(log_key, sent);
                shared.note(&Height { author: log.author, incarnation: log.incarnation, seq: sent - 1 });
            }
        }
        if ops.is_empty() {
            return Ok(false);
        }
        let frame = Frame::Ops(space, ops).encode();
        self.sent += frame.len() as u64;
        self.ahead += 1;
        self.out.push(Output::Send(frame));
        Ok(true)
    }
}
