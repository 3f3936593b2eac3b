//! What this node decides as the home of a workspace, and what it answers to those who ask.

use std::sync::Arc;

use muster_protocol::{
    ask::{AdminRefusal, Answer, HomeAt, Question, SignedQuestion},
    cbor::Bytes,
    control::{
        ControlState, Entry, Genesis, HomeMoved, InviteCreated, InviteRevoked, MemberAdded, MemberRemoved,
        Role, RoleSet, SlugTaken,
    },
    identity::NodeId,
    ids::{LogId, OpId, SpaceId, StreamId},
    limits,
    mutants::{self, Mutant},
    operation::{Draft, Operation, Place},
    principal::{Principal, Slug},
    ticket::{self, JoinRefusal, Ticket},
};
use redb::ReadableTable;

use crate::{StoreError, append::capped, batch::Batch, control::Taken, rows, schema, tables};

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

    /// Decides: appends an entry to the control log of a workspace whose home this node is.
    pub(crate) fn decide(&mut self, control: &ControlState, entry: &Entry) -> Result<u64, StoreError> {
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

    /// A member holds no more of a control log than this node. A home whose store is a copy decides again
    /// once every member said so: what it decided after the copy was made, and forgot, some member may hold.
    /// Who says so of a workspace says it of all groups in it, too (see [`muster_protocol::sync::Output::ControlLevel`]).
    /// Heard also by who is not the home: it may have forgotten that it is.
    pub fn hear_control(&mut self, space: SpaceId, member: NodeId) -> Result<(), StoreError> {
        let unsettled = self.memory.unsettled.keys().copied();
        let waiting: Vec<SpaceId> =
            unsettled.filter(|waiting| self.workspace_of(*waiting) == space).collect();
        for waiting in waiting {
            let Some(heard) = self.memory.unsettled.get_mut(&waiting) else { continue };
            heard.insert(member);
            self.memory.revision += 1;
            if self.have_spoken(waiting) {
                self.settle(waiting)?;
            }
        }
        Ok(())
    }

    /// Whether all members said what they hold of an unsettled control log. Of a group all members of the workspace
    /// have to: whom it let in and forgot, the home does not know. What they say of the workspace holds for its groups.
    fn have_spoken(&self, space: SpaceId) -> bool {
        let me = self.me();
        let (heard, control) =
            (self.memory.unsettled.get(&space), self.control_state(self.workspace_of(space)));
        let Some((heard, control)) = heard.zip(control) else { return false };
        control.members().all(|(node, _, _)| node == me || heard.contains(&node))
    }

    /// Nobody holds more of this control log than this node: it may decide. Said by all members, or by the owner
    /// when some of them are gone for good.
    pub fn settle(&mut self, space: SpaceId) -> Result<(), StoreError> {
        self.memory.unsettled.remove(&space);
        self.memory.revision += 1;
        self.meta.remove(schema::unsettled_key(space).as_str())?;
        self.review_group(space)
    }

    /// The same for a workspace and for the groups in it that this node is home to: said by its owner.
    pub fn settle_all(&mut self, workspace: SpaceId) -> Result<(), StoreError> {
        if self.at_home(workspace).is_some() {
            self.settle(workspace)?;
        }
        for group in self.groups_of(workspace) {
            self.settle(group)?;
        }
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
        // Who may write may name those they are home to.
        let may = matches!(&entry, Entry::SlugTaken(taken) if taken.node == by) && role.writes();
        if !role.administers() && !may {
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
            Entry::SlugTaken(taken) => match checked_slug(&control, &taken, by) {
                Ok(true) => Entry::SlugTaken(SlugTaken { evidence, ..taken }),
                Ok(false) => return Ok(Ok(control.height())), // asked again after a lost answer
                Err(refusal) => return Ok(Err(refusal)),
            },
            Entry::Genesis(_) | Entry::MemberAdded(_) | Entry::GroupBegun(_) => {
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
            // Only the owner makes admins, with a ticket as little as otherwise.
            Some(Role::Admin) if control.role(by) == Some(Role::Owner) => {}
            _ => return Err(AdminRefusal::NotAllowed),
        }
        Ok(InviteCreated { by, ..invite })
    }

    /// What of a node's logs has arrived here: no more of them will count.
    pub(crate) fn cut_offs(
        &mut self,
        control: &ControlState,
        node: NodeId,
    ) -> Result<Vec<(u64, u64)>, StoreError> {
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

    /// Does what a signed question asks of this node as a home. `random` is for what it makes.
    pub fn answer(&mut self, question: &SignedQuestion, random: [u8; 42]) -> Result<Answer, StoreError> {
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
            Question::Work(request) => Answer::Work(self.answer_work(request, random)?),
        })
    }

    /// Where to ask instead, of a workspace whose home is another node. Told to whom `concerns` holds for: where
    /// a node is, is nobody else's business.
    fn moved(
        &self,
        space: SpaceId,
        concerns: impl FnOnce(&ControlState) -> bool,
    ) -> Result<Option<HomeAt>, StoreError> {
        let Some(control) = self.memory.controls.get(&space) else { return Ok(None) };
        let home = control.home();
        if self.at_home(space).is_some() || !concerns(control) {
            return Ok(None);
        }
        let known = self.addresses.get(home.as_bytes())?;
        let addresses = known.map_or(Ok(Vec::new()), |row| rows::read(row.value()))?;
        Ok(Some(HomeAt { home, addresses }))
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

/// Whether a slug is free for whom it is wished; false when they have it.
fn checked_slug(control: &ControlState, wish: &SlugTaken, by: NodeId) -> Result<bool, AdminRefusal> {
    let principal: Principal = wish.principal.parse().map_err(|_| AdminRefusal::NoSuchThing)?;
    let slug = Slug::parse(&wish.slug).map_err(|_| AdminRefusal::Limit)?;
    if wish.node != by || !principal.is_of(by) {
        return Err(AdminRefusal::NotAllowed);
    }
    if control.named(&slug) == Some(principal) {
        return Ok(false);
    }
    if control.principals().count() >= limits::PRINCIPALS_MAX {
        return Err(AdminRefusal::Limit);
    }
    if control.free_slug(wish).is_some() { Ok(true) } else { Err(AdminRefusal::SlugTaken) }
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
