//! Writing and taking in the control log.

use std::sync::Arc;

use muster_protocol::{
    ask::{AdminRefusal, SignedQuestion},
    cbor::Bytes,
    control::{ControlState, Entry, Genesis, InviteCreated, InviteRevoked, MemberAdded, MemberRemoved, Role},
    identity::NodeId,
    ids::{LogId, OpId, SpaceId, StreamId},
    limits,
    operation::{Draft, Operation, Place},
    sync::Report,
    ticket::{self, JoinRefusal, Ticket},
};

use redb::ReadableTable;

use crate::{
    StoreError,
    append::capped,
    batch::Batch,
    rows::{At, JournalRecord},
    tables,
};

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
        self.begin_space(&op)
    }

    /// Takes a space in whose genesis we trust because a ticket led to it, or we made it. Idempotent.
    pub fn begin_space(&mut self, genesis: &Operation) -> Result<SpaceId, StoreError> {
        let space = genesis.header().space;
        if self.memory.space_numbers.contains_key(&space) {
            return Ok(space);
        }
        let state = ControlState::begin(genesis)
            .map_err(|_| StoreError::Damaged("a genesis that was checked is bad"))?;
        let number = u32::try_from(self.memory.space_numbers.len() + 1)
            .map_err(|_| StoreError::Damaged("more spaces than can be counted"))?;
        self.spaces.insert(&space.0, number)?;
        self.memory.space_numbers.insert(space, number);
        self.control.insert(&tables::control_key(number, 1), genesis.encode().as_slice())?;
        self.memory.controls.insert(space, Arc::new(state));
        self.changes.space(space).control = true;
        self.note_control(space, 1, "workspace")?;
        Ok(space)
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
        self.take_entry(control, &op).map(|taken| taken.unwrap_or(control.height()))
    }

    /// Takes the next entry; `None` when it is not the next one.
    fn take_entry(&mut self, control: &ControlState, op: &Operation) -> Result<Option<u64>, StoreError> {
        let mut next = control.clone();
        let Ok(entry) = next.apply(op) else { return Ok(None) };
        let (space, height) = (control.space(), next.height());
        let number = self.space_number(space)?;
        self.control.insert(&tables::control_key(number, height), op.encode().as_slice())?;
        self.changes.space(space).control = true;
        self.memory.controls.insert(space, Arc::new(next.clone()));
        let kind = match &entry {
            Entry::MemberRemoved(removed) => {
                self.recount(control, &next, removed.node)?;
                "member_removed"
            }
            Entry::RoleSet(set) => {
                self.recount(control, &next, set.node)?;
                "role_set"
            }
            Entry::MemberAdded(_) => "member_added",
            Entry::InviteCreated(_) => "invite_created",
            Entry::InviteRevoked(_) => "invite_revoked",
            Entry::Genesis(_) => "workspace",
        };
        self.note_control(space, height, kind)?;
        Ok(Some(height))
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

    /// After a removal or a change of role: what no longer counts loses its effect.
    fn recount(
        &mut self,
        before: &ControlState,
        after: &ControlState,
        node: NodeId,
    ) -> Result<(), StoreError> {
        for (incarnation, row) in self.logs_of(after.space(), node)? {
            let log = LogId { space: after.space(), author: node, incarnation };
            let applied = capped(&row, &log, before);
            let counts = capped(&row, &log, after);
            self.void_between(after, &row, counts, applied)?;
            for seq in 1..=counts {
                // Whoever lost the right to write loses what they wrote without it.
                let rights = |control: &ControlState| {
                    control.role_at(&log, seq, row.control_height).is_some_and(Role::writes)
                };
                if rights(before) && !rights(after) {
                    self.void_between(after, &row, seq - 1, seq)?;
                }
            }
        }
        Ok(())
    }

    /// Takes entries of a control log that a peer sent.
    pub fn append_control(&mut self, space: SpaceId, entries: Vec<Operation>) -> Result<Report, StoreError> {
        let mut report = Report::of(space);
        for op in entries {
            let Some(control) = self.control_state(space) else { break };
            report.control_grew |= self.take_entry(&control, &op)?.is_some();
        }
        Ok(report)
    }

    /// The control state of a workspace whose home this node is.
    fn at_home(&self, space: SpaceId) -> Option<Arc<ControlState>> {
        self.control_state(space).filter(|control| control.home() == self.me())
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
    /// when the home itself decides. The entry comes without evidence and, for a removal, without cut-offs.
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
                match control.role(node) {
                    None => return Ok(Err(AdminRefusal::NoSuchThing)),
                    Some(theirs) if theirs >= role => return Ok(Err(AdminRefusal::NotAllowed)),
                    Some(_) => {}
                }
                let cut_offs = self.cut_offs(&control, node)?;
                Entry::MemberRemoved(MemberRemoved { node, cut_offs, evidence })
            }
            Entry::Genesis(_) | Entry::MemberAdded(_) | Entry::RoleSet(_) => {
                return Ok(Err(AdminRefusal::NotAllowed));
            }
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
            Some(Role::Admin) if control.role(by) >= Some(Role::Admin) => {}
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
        // The newest lives of a store come last; older ones beyond the limit count as unseen.
        cut_offs.sort_by_key(|(_, seq)| std::cmp::Reverse(*seq));
        cut_offs.truncate(limits::CUTOFFS_MAX);
        Ok(cut_offs)
    }

    /// Does what a signed question asks of this node as a home.
    pub fn answer(&mut self, question: &SignedQuestion) -> Result<muster_protocol::ask::Answer, StoreError> {
        use muster_protocol::ask::{Answer, Question};
        Ok(match &question.question {
            Question::Join(request) => {
                let Ok(signed) = ticket::SignedTicket::decode(&request.ticket.0) else {
                    return Ok(Answer::NotJoined(JoinRefusal::BadRequest));
                };
                match self.let_in(signed.ticket(), request.node, &request.name, question.evidence.clone())? {
                    Ok(genesis) => Answer::Joined(genesis),
                    Err(refusal) => Answer::NotJoined(refusal),
                }
            }
            Question::Admin(request) => match Entry::decode(request.kind, &request.body.0) {
                Ok(entry) => {
                    match self.administer(request.space, request.node, entry, question.evidence.clone())? {
                        Ok(height) => Answer::Decided(height),
                        Err(refusal) => Answer::NotDecided(refusal),
                    }
                }
                Err(_) => Answer::NotDecided(AdminRefusal::NotAllowed),
            },
        })
    }
}

/// A name as it is kept: trimmed, without control characters, of bounded length.
pub fn clean_name(name: &str) -> String {
    name.trim().chars().filter(|c| !c.is_control()).take(limits::NAME_CHARS_MAX).collect()
}
