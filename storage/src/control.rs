//! Writing and taking in the control log.

use std::{collections::BTreeMap, sync::Arc};

use muster_protocol::{
    ask::{AdminRefusal, Answer, Moved, Question, SignedQuestion},
    cbor::Bytes,
    content::Content,
    control::{
        ControlError, ControlState, Entry, Genesis, HomeMoved, InviteCreated, InviteRevoked, MemberAdded,
        MemberRemoved, Role, RoleSet,
    },
    fork::{Compared, ForkProof},
    identity::NodeId,
    ids::{LogId, OpId, SpaceId, StreamId},
    limits,
    mutants::{self, Mutant},
    operation::{Draft, Kind, Operation, Place},
    sync::Report,
    ticket::{self, JoinRefusal, Ticket},
};

use redb::ReadableTable;

use crate::{
    StoreError,
    append::capped,
    batch::Batch,
    rows::{self, At, JournalRecord},
    schema, tables,
};

/// What became of an entry of a control log.
enum Taken {
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
    /// Founds a workspace: this node is its owner and its home.
    pub fn found(&mut self, genesis: &Genesis) -> Result<SpaceId, StoreError> {
        let (kind, body) = Entry::Genesis(genesis.clone()).encode();
        let now_ms = self.now_ms();
        let place = Place {
            space: genesis.space(),
            incarnation: 0,
            seq: 1,
            prev: OpId::NONE,
            hlc: self.memory.clock.tick(now_ms),
            control_height: 0,
        };
        let draft = Draft { kind, stream: StreamId::SPACE, body };
        let op = Operation::sign(&self.memory.identity, place, draft);
        let space = self.begin_space(&op)?;
        space.ok_or(StoreError::Damaged("a workspace was founded twice, or for another node"))
    }

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

    /// Decides: appends an entry to the control log of a workspace whose home this node is.
    fn decide(&mut self, control: &ControlState, entry: &Entry) -> Result<u64, StoreError> {
        let (kind, body) = entry.encode();
        let now_ms = self.now_ms();
        let place = Place {
            space: control.space(),
            incarnation: 0,
            seq: control.height() + 1,
            prev: control.head(),
            hlc: self.memory.clock.tick(now_ms),
            control_height: control.height(),
        };
        let op = Operation::sign(&self.memory.identity, place, Draft { kind, stream: StreamId::SPACE, body });
        match self.take_entry(control.space(), &op)? {
            Taken::Grew => Ok(op.header().seq),
            _ => Err(StoreError::Damaged("what the home decides does not continue its control log")),
        }
    }

    /// Takes the next entry, or looks how one that is not next stands to what is held.
    fn take_entry(&mut self, space: SpaceId, op: &Operation) -> Result<Taken, StoreError> {
        let Some(state) = self.memory.controls.get_mut(&space) else { return Ok(Taken::Nothing) };
        if op.header().seq <= state.height() {
            return self.compare_entry(space, op);
        }
        if op.header().seq != state.height() + 1 {
            return Ok(Taken::Nothing);
        }
        // Two kinds look back. For the others the state is changed in place, once it is this batch's own copy.
        let looks_back = matches!(op.header().kind, Kind::MEMBER_REMOVED | Kind::ROLE_SET);
        let before = looks_back.then(|| state.clone());
        let entry = match Arc::make_mut(state).apply(op) {
            Ok(entry) => entry,
            Err(error) => {
                let (number, kind) = (op.header().seq, op.header().kind.0);
                if error == ControlError::Body && self.memory.unreadable.insert((space, number)) {
                    let workspace = state.genesis().workspace;
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
            _ => "workspace",
        };
        self.note_control(space, op.header().seq, kind)?;
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
        let Some(control) = self.memory.controls.get(&log.space).cloned() else { return Ok(()) };
        let decided_by = match self.entry(log.space, height)? {
            Some(entry) => entry.header().author,
            None if height == control.height() + 1 => control.home(),
            None => return Ok(()), // who will be the home there, nobody knows
        };
        if decided_by == log.author { self.end_decisions(log.space, proof) } else { Ok(()) }
    }

    fn end_decisions(&mut self, space: SpaceId, proof: &ForkProof) -> Result<(), StoreError> {
        let Some(state) = self.memory.controls.get_mut(&space) else { return Ok(()) };
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

    fn note_control(&mut self, space: SpaceId, height: u64, kind: &str) -> Result<(), StoreError> {
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
        Ok(report)
    }

    /// A member holds no more of a control log than this node. A home whose store is a copy decides again
    /// once every member said so: what it decided after the copy was made, and forgot, some member may hold.
    /// Heard also by who is not the home: it may have forgotten that it is.
    pub fn hear_control(&mut self, space: SpaceId, member: NodeId) -> Result<(), StoreError> {
        let me = self.me();
        let Some(control) = self.memory.controls.get(&space).cloned() else { return Ok(()) };
        let Some(heard) = self.memory.unsettled.get_mut(&space) else { return Ok(()) };
        heard.insert(member);
        if control.members().all(|(node, _, _)| node == me || heard.contains(&node)) {
            self.settle(space)?;
        }
        Ok(())
    }

    /// Nobody holds more of this control log than this node: it may decide. Said by all members, or by the owner
    /// when some of them are gone for good.
    pub fn settle(&mut self, space: SpaceId) -> Result<(), StoreError> {
        self.memory.unsettled.remove(&space);
        self.meta.remove(schema::unsettled_key(space).as_str())?;
        Ok(())
    }

    /// The control state of a workspace whose home this node is.
    fn at_home(&self, space: SpaceId) -> Option<Arc<ControlState>> {
        let was = |control: &ControlState| {
            mutants::is(Mutant::FormerHome) && control.genesis().founder == self.me()
        };
        let control = self.memory.controls.get(&space);
        control.filter(|control| control.home() == self.me() || was(control)).cloned()
    }

    /// Lets a node in, at the home (see [`ticket::redeem`]). Answers with the encoded genesis.
    pub fn let_in(
        &mut self,
        ticket: &Ticket,
        node: NodeId,
        name: &str,
        evidence: Vec<u8>,
    ) -> Result<Result<Vec<u8>, JoinRefusal>, StoreError> {
        let Some(control) = self.at_home(ticket.space) else { return Ok(Err(JoinRefusal::Unknown)) };
        let role = match ticket::redeem(&control, ticket, node, self.now_ms()) {
            Ok(role) => role,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if control.role(node).is_none() {
            if control.forked().is_some() {
                return Ok(Err(JoinRefusal::Forked));
            }
            if self.memory.unsettled.contains_key(&ticket.space) {
                return Ok(Err(JoinRefusal::Unsettled));
            }
            let added = MemberAdded {
                node,
                name: clean_name(name),
                role: role.code(),
                invite: ticket.invite,
                evidence: Bytes(evidence),
            };
            self.decide(&control, &Entry::MemberAdded(added))?;
        }
        let number = self.space_number(ticket.space)?;
        let genesis = self.control.get(&tables::control_key(number, 1))?;
        let genesis = genesis.ok_or(StoreError::Damaged("a space without its genesis"))?;
        Ok(Ok(genesis.value().to_vec()))
    }

    /// Does what an admin asks, at the home. `by` is the admin; `evidence` their signed request, or empty
    /// when the home itself decides. The entry comes without evidence and, about a member, without cut-offs.
    pub fn administer(
        &mut self,
        space: SpaceId,
        by: NodeId,
        entry: Entry,
        evidence: Vec<u8>,
    ) -> Result<Result<u64, AdminRefusal>, StoreError> {
        let Some(control) = self.at_home(space) else { return Ok(Err(AdminRefusal::Unknown)) };
        let Some(role) = control.role(by) else { return Ok(Err(AdminRefusal::Unknown)) };
        if !role.administers() {
            return Ok(Err(AdminRefusal::NotAllowed));
        }
        if control.forked().is_some() {
            return Ok(Err(AdminRefusal::Forked));
        }
        if self.memory.unsettled.contains_key(&space) {
            return Ok(Err(AdminRefusal::Unsettled));
        }
        let evidence = Bytes(evidence);
        let entry = match entry {
            Entry::InviteCreated(invite) => match self.checked_invite(&control, invite, by) {
                Ok(invite) => Entry::InviteCreated(InviteCreated { evidence, ..invite }),
                Err(refusal) => return Ok(Err(refusal)),
            },
            Entry::InviteRevoked(InviteRevoked { invite, .. }) => {
                if control.invite(&invite.0).is_none() {
                    return Ok(Err(AdminRefusal::NoSuchThing));
                }
                Entry::InviteRevoked(InviteRevoked { invite, evidence })
            }
            Entry::MemberRemoved(MemberRemoved { node, .. }) => {
                if let Err(refusal) = below(&control, node, role) {
                    return Ok(Err(refusal));
                }
                let cut_offs = self.cut_offs(&control, node)?;
                Entry::MemberRemoved(MemberRemoved { node, cut_offs, evidence })
            }
            Entry::RoleSet(RoleSet { node, role: code, .. }) => {
                let next = match checked_role(&control, node, code, role) {
                    Ok(next) => next,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                if control.role(node) == Some(next) {
                    // Asked again after a lost answer: it holds already, and the log does not grow.
                    return Ok(Ok(control.height()));
                }
                let cut_offs = self.cut_offs(&control, node)?;
                Entry::RoleSet(RoleSet { node, role: next.code(), cut_offs, evidence })
            }
            Entry::HomeMoved(HomeMoved { node, .. }) => {
                if node == control.home() {
                    return Ok(Ok(control.height())); // asked again after a lost answer
                }
                if let Err(refusal) = checked_home(&control, node, role) {
                    return Ok(Err(refusal));
                }
                Entry::HomeMoved(HomeMoved { node, evidence })
            }
            Entry::Genesis(_) | Entry::MemberAdded(_) => return Ok(Err(AdminRefusal::NotAllowed)),
        };
        Ok(Ok(self.decide(&control, &entry)?))
    }

    fn checked_invite(
        &self,
        control: &ControlState,
        invite: InviteCreated,
        by: NodeId,
    ) -> Result<InviteCreated, AdminRefusal> {
        let now_ms = self.now_ms();
        let open = control
            .invites()
            .filter(|(_, state)| !state.revoked && state.not_after_ms > now_ms && state.uses < state.uses_max)
            .count();
        let lives_ms = invite.not_after_ms.saturating_sub(now_ms);
        let fits = (1..=limits::INVITE_USES_MAX).contains(&invite.uses_max)
            && (1..=limits::INVITE_SECONDS_MAX * 1000).contains(&lives_ms)
            && open < limits::INVITES_MAX
            && control.invite(&invite.invite.0).is_none();
        if !fits {
            return Err(AdminRefusal::Limit);
        }
        match Role::from_code(invite.role) {
            Some(Role::Guest | Role::Member) => {}
            // Only the owner makes admins, with a ticket as little as otherwise.
            Some(Role::Admin) if control.role(by) == Some(Role::Owner) => {}
            _ => return Err(AdminRefusal::NotAllowed),
        }
        Ok(InviteCreated { by, ..invite })
    }

    /// What of a node's logs has arrived here: no more of them will count.
    fn cut_offs(&mut self, control: &ControlState, node: NodeId) -> Result<Vec<(u64, u64)>, StoreError> {
        let mut cut_offs = Vec::new();
        for (incarnation, row) in self.logs_of(control.space(), node)? {
            let log = LogId { space: control.space(), author: node, incarnation };
            cut_offs.push((incarnation, capped(&row, &log, control)));
        }
        // The longest come first; those beyond the limit count as unseen.
        cut_offs.sort_by_key(|(_, seq)| std::cmp::Reverse(*seq));
        cut_offs.truncate(limits::CUTOFFS_MAX);
        Ok(cut_offs)
    }

    /// Does what a signed question asks of this node as a home.
    pub fn answer(&mut self, question: &SignedQuestion) -> Result<Answer, StoreError> {
        Ok(match &question.question {
            Question::Join(request) => {
                let Ok(signed) = ticket::SignedTicket::decode(&request.ticket.0) else {
                    return Ok(Answer::NotJoined(JoinRefusal::BadRequest));
                };
                let ticket = signed.ticket();
                let holds_a_ticket = |control: &ControlState| {
                    control.invite(&ticket.invite.0).is_some_and(|invite| invite.by == ticket.issuer)
                };
                if let Some(moved) = self.moved(ticket.space, holds_a_ticket)? {
                    return Ok(Answer::Moved(moved));
                }
                match self.let_in(ticket, request.node, &request.name, question.evidence.clone())? {
                    Ok(genesis) => Answer::Joined(genesis),
                    Err(refusal) => Answer::NotJoined(refusal),
                }
            }
            Question::Admin(request) => {
                let is_member = |control: &ControlState| control.role(request.node).is_some();
                if let Some(moved) = self.moved(request.space, is_member)? {
                    return Ok(Answer::Moved(moved));
                }
                match Entry::decode(request.kind, &request.body.0) {
                    Ok(entry) => {
                        match self.administer(
                            request.space,
                            request.node,
                            entry,
                            question.evidence.clone(),
                        )? {
                            Ok(height) => Answer::Decided(height),
                            Err(refusal) => Answer::NotDecided(refusal),
                        }
                    }
                    Err(_) => Answer::NotDecided(AdminRefusal::NotAllowed),
                }
            }
        })
    }

    /// Where to ask instead, of a workspace whose home is another node. Told to whom `concerns` holds for: where
    /// a node is, is nobody else's business.
    fn moved(
        &self,
        space: SpaceId,
        concerns: impl FnOnce(&ControlState) -> bool,
    ) -> Result<Option<Moved>, StoreError> {
        let Some(control) = self.memory.controls.get(&space) else { return Ok(None) };
        let home = control.home();
        if self.at_home(space).is_some() || !concerns(control) {
            return Ok(None);
        }
        let known = self.addresses.get(home.as_bytes())?;
        let addresses = known.map_or(Ok(Vec::new()), |row| rows::read(row.value()))?;
        Ok(Some(Moved { home, addresses }))
    }
}

/// Whether `by` may move the home to `node`: only the owner may, and only to somebody trusted with administration.
fn checked_home(control: &ControlState, node: NodeId, by: Role) -> Result<(), AdminRefusal> {
    match control.role(node) {
        _ if by < Role::Owner => Err(AdminRefusal::NotAllowed),
        None => Err(AdminRefusal::NoSuchThing),
        Some(role) if !role.administers() => Err(AdminRefusal::NotAnAdmin),
        Some(_) => Ok(()),
    }
}

/// Nobody decides about somebody of their own or a higher role, so nobody about themselves either; and nobody about
/// the home.
fn below(control: &ControlState, node: NodeId, by: Role) -> Result<(), AdminRefusal> {
    match control.role(node) {
        None => Err(AdminRefusal::NoSuchThing),
        Some(theirs) if theirs >= by => Err(AdminRefusal::NotAllowed),
        Some(_) if node == control.home() => Err(AdminRefusal::IsHome),
        Some(_) => Ok(()),
    }
}

/// The role that `by` may give to `node`: one below their own, so that only the owner makes or unmakes
/// admins and nobody makes owners.
fn checked_role(control: &ControlState, node: NodeId, code: u8, by: Role) -> Result<Role, AdminRefusal> {
    below(control, node, by)?;
    Role::from_code(code).filter(|next| *next < by).ok_or(AdminRefusal::NotAllowed)
}

/// A name as it is kept: trimmed, without control characters, of bounded length.
pub fn clean_name(name: &str) -> String {
    name.trim().chars().filter(|c| !c.is_control()).take(limits::NAME_CHARS_MAX).collect()
}
