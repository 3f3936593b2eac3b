//! Taking in the control log, and what it changes of what is stored.

use std::{collections::BTreeMap, sync::Arc};

use muster_protocol::{
    content::Content,
    control::{ControlError, ControlState, Entry, Role, RoleSet},
    fork::{Compared, ForkProof},
    identity::NodeId,
    ids::{LogId, SpaceId},
    operation::{Kind, Operation},
    sync::Report,
};
use redb::ReadableTable;

use crate::{
    StoreError,
    append::capped,
    batch::Batch,
    rows::{At, JournalRecord},
    schema, tables,
};

/// What became of an entry of a control log.
pub(crate) enum Taken {
    /// It is the newest now.
    Grew,
    /// It is held.
    Same,
    /// It stands in another history than the one that is held.
    Elsewhere,
    /// It is not next, or it does not count; or it proved a fork, and that is noted.
    Nothing,
}

impl Batch<'_> {
    /// Takes a space in whose genesis we trust because a ticket led to it, or we made it. Idempotent.
    /// `None` when it is no genesis, or when another space goes by its workspace's id already: whoever
    /// founds a workspace chooses the id, and must not get what was meant for another.
    pub fn begin_space(&mut self, genesis: &Operation) -> Result<Option<SpaceId>, StoreError> {
        let space = genesis.header().space;
        if self.memory.space_numbers.contains_key(&space) {
            return Ok(Some(space));
        }
        let Ok(state) = ControlState::begin(genesis) else { return Ok(None) };
        let id = state.genesis().workspace;
        if self.memory.controls.values().any(|control| control.genesis().workspace == id) {
            return Ok(None);
        }
        let number = self.new_space_number(space)?;
        self.control.insert(&tables::control_key(number, 1), genesis.encode().as_slice())?;
        self.memory.controls.insert(space, Arc::new(state));
        self.memory.revision += 1;
        self.changes.space(space).control = true;
        self.note_control(space, 1, "workspace")?;
        Ok(Some(space))
    }

    /// Notes who let this node in: a friend, whatever a control log that is still on its way says of it.
    pub fn note_welcome(&mut self, space: SpaceId, by: NodeId) -> Result<(), StoreError> {
        self.meta.insert(schema::welcome_key(space).as_str(), by.as_bytes().as_slice())?;
        self.changes.space(space).control = true;
        Ok(())
    }

    /// Takes the next entry, or looks how one that is not next stands to what is held.
    pub(crate) fn take_entry(&mut self, space: SpaceId, op: &Operation) -> Result<Taken, StoreError> {
        let height = self.control_state(space).map_or(0, |control| control.height());
        if op.header().seq <= height {
            return self.compare_entry(space, op);
        }
        let Some(state) = self.memory.control_mut(space).filter(|_| op.header().seq == height + 1) else {
            return Ok(Taken::Nothing);
        };
        // Two kinds look back. For the others the state is changed in place, once it is this batch's own copy.
        let looks_back = matches!(op.header().kind, Kind::MEMBER_REMOVED | Kind::ROLE_SET);
        let before = looks_back.then(|| state.clone());
        let workspace = state.genesis().workspace;
        let entry = match Arc::make_mut(state).apply(op) {
            Ok(entry) => entry,
            Err(error) => {
                let (number, kind) = (op.header().seq, op.header().kind.0);
                if error == ControlError::Body && self.memory.unreadable.insert((space, number)) {
                    tracing::warn!(%workspace, number, kind, "the home decided something that this version of muster \
                        cannot read; nothing it decides later counts here before muster is updated");
                }
                let elsewhere = error == ControlError::OtherHistory;
                return Ok(if elsewhere { Taken::Elsewhere } else { Taken::Nothing });
            }
        };
        let after = state.clone();
        let number = self.space_number(space)?;
        self.control.insert(&tables::control_key(number, op.header().seq), op.encode().as_slice())?;
        self.changes.space(space).control = true;
        let kind = match (&entry, &before) {
            (Entry::MemberRemoved(removed), Some(before)) => {
                self.void_cut_off(before, &after, removed.node)?;
                "member_removed"
            }
            (Entry::RoleSet(set), Some(before)) => {
                self.recount(before, &after, set)?;
                "role_set"
            }
            (Entry::MemberAdded(_), _) => "member_added",
            (Entry::InviteCreated(_), _) => "invite_created",
            (Entry::InviteRevoked(_), _) => "invite_revoked",
            (Entry::HomeMoved(_), _) => "home_moved",
            (Entry::SlugTaken(_), _) => "slug_taken",
            _ => "workspace",
        };
        self.note_control(space, op.header().seq, kind)?;
        if matches!(entry, Entry::MemberAdded(_) | Entry::MemberRemoved(_) | Entry::RoleSet(_)) {
            self.review_groups(space)?;
        }
        Ok(Taken::Grew)
    }

    /// Compares an entry with the one that is held at its height.
    fn compare_entry(&mut self, space: SpaceId, op: &Operation) -> Result<Taken, StoreError> {
        let Some(held) = self.entry(space, op.header().seq)? else { return Ok(Taken::Nothing) };
        Ok(match ForkProof::compare(&held, op) {
            Compared::Same => Taken::Same,
            Compared::Elsewhere => Taken::Elsewhere,
            Compared::Fork(proof) => {
                self.end_decisions(space, &proof)?;
                Taken::Nothing
            }
        })
    }

    /// An entry of a control log that is held.
    fn entry(&self, space: SpaceId, height: u64) -> Result<Option<Operation>, StoreError> {
        let number = self.space_number(space)?;
        let Some(bytes) = self.control.get(&tables::control_key(number, height))? else { return Ok(None) };
        let op = Operation::decode(bytes.value());
        op.map(Some).map_err(|_| StoreError::Damaged("an entry of a control log cannot be read"))
    }

    /// Takes the proof that the home of a workspace signed two entries for one height: nothing is decided there any
    /// more. Of the node that was the home at that height, that is; what others sign in its place is nothing.
    pub(crate) fn freeze_control(
        &mut self,
        proof: &ForkProof,
        log: &LogId,
        height: u64,
    ) -> Result<(), StoreError> {
        let Some(control) = self.control_state(log.space).filter(|control| control.pair_nodes().is_none())
        else {
            return Ok(());
        };
        let decided_by = match self.entry(log.space, height)? {
            Some(entry) => entry.header().author,
            None if height == control.height() + 1 => control.home(),
            None => return Ok(()), // who will be the home there, nobody knows
        };
        if decided_by == log.author { self.end_decisions(log.space, proof) } else { Ok(()) }
    }

    fn end_decisions(&mut self, space: SpaceId, proof: &ForkProof) -> Result<(), StoreError> {
        let Some(state) = self.memory.control_mut(space) else { return Ok(()) };
        if state.forked().is_some() {
            return Ok(());
        }
        tracing::error!(
            workspace = %state.genesis().workspace,
            "the home of a workspace decided two different things at once, as one does whose disk was set back: nobody is \
             let in or removed there any more; found a new workspace for those who should go on"
        );
        Arc::make_mut(state).fork(proof.clone());
        self.meta.insert(schema::forked_key(space).as_str(), proof.encode().as_slice())?;
        self.changes.space(space).control = true;
        self.note_control(space, 1, "home_forked")
    }

    /// What a group decides is told as what becomes of its stream.
    fn note_control(&mut self, space: SpaceId, height: u64, kind: &str) -> Result<(), StoreError> {
        if self.memory.groups.contains_key(&space) {
            return Ok(());
        }
        let (number, at_ms) = (self.space_number(space)?, self.now_ms());
        let place = vec![At { log: 0, seq: height }];
        self.journal(&JournalRecord {
            kind: kind.to_owned(),
            space: number,
            at_ms,
            place,
            data: String::new(),
        })
    }

    /// After a removal: what the home had not seen loses its effect.
    fn void_cut_off(
        &mut self,
        before: &ControlState,
        after: &ControlState,
        node: NodeId,
    ) -> Result<(), StoreError> {
        for (incarnation, row) in self.logs_of(after.space(), node)? {
            let log = LogId { space: after.space(), author: node, incarnation };
            self.void_between(after, &row, capped(&row, &log, after), capped(&row, &log, before))?;
        }
        Ok(())
    }

    /// After a change of role: what the home had not seen counts as the new role allows.
    fn recount(
        &mut self,
        before: &ControlState,
        after: &ControlState,
        set: &RoleSet,
    ) -> Result<(), StoreError> {
        let seen: BTreeMap<u64, u64> = set.cut_offs.iter().copied().collect();
        for (incarnation, row) in self.logs_of(after.space(), set.node)? {
            let log = LogId { space: after.space(), author: set.node, incarnation };
            let unseen = seen.get(&incarnation).map_or(1, |last| last.saturating_add(1));
            for seq in unseen..=capped(&row, &log, after) {
                let at = At { log: row.number, seq };
                let op = self.op(at)?;
                let writes = |control: &ControlState| {
                    control.role_at(&log, seq, op.header().control_height).is_some_and(Role::writes)
                };
                match (writes(before), writes(after)) {
                    (true, false) => self.void_op(after, &op, at)?,
                    (false, true) => self.take_effect(after, &op, Content::read(&op, after), at)?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Takes entries of a control log that a peer sent.
    pub fn append_control(&mut self, space: SpaceId, entries: Vec<Operation>) -> Result<Report, StoreError> {
        let mut report = Report::of(space);
        for op in entries {
            match self.take_entry(space, &op)? {
                Taken::Grew => report.control_grew = true,
                Taken::Same => report.control_same = report.control_same.max(op.header().seq),
                Taken::Elsewhere => report.control_elsewhere = true,
                Taken::Nothing => {}
            }
        }
        if report.control_grew {
            self.review_group(space)?; // a home that was set back learns again what it decided
        }
        Ok(report)
    }
}
