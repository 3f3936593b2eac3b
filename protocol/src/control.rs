//! The control log: who belongs to a workspace, decided by one node.
//!
//! Membership cannot be agreed on without coordination, so one node decides: the *home*. That is the founder,
//! until the home says which node it is from then on. Its decisions are a chain of operations whose `seq` is
//! called the *height*. Every other operation names the height its author knew, and everybody judges it by
//! the same history.
//!
//! A removal carries *cut-offs*: how much of each of the removed node's logs the home had seen. What is
//! above is refused by everybody, whatever height it cites, so nobody can write "before" their removal.
//! A log that was cut is closed for good; a node that is let in again writes a new one (research p2p
//! §2.7).

mod entry;
mod group;
mod pair;

use std::collections::BTreeMap;

pub use entry::{
    CutOff, Entry, Genesis, GroupBegun, HomeMoved, InviteCreated, InviteRevoked, MemberAdded, MemberRemoved,
    Role, RoleSet, SlugTaken, UnknownRole,
};
pub use group::GroupShared;

use crate::{
    fork::ForkProof,
    identity::NodeId,
    ids::{LogId, OpId, SpaceId},
    mutants::{self, Mutant},
    operation::Operation,
    principal::{Principal, Slug},
};

/// One stay of a node in the workspace, by heights of the control log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stay {
    from: u64,
    /// Role changes: the height, the role from there on, and what still counts under the role before.
    roles: Vec<(u64, Role, BTreeMap<u64, u64>)>,
    until: Option<(u64, BTreeMap<u64, u64>)>,
}

/// A node that is or was a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name, as it gave it when it last joined.
    pub name: String,
    /// When it last joined, in Unix milliseconds of the home's clock.
    pub joined_ms: u64,
    stays: Vec<Stay>,
}

impl Member {
    /// Its role now; `None` once it was removed.
    pub fn role(&self) -> Option<Role> {
        let stay = self.stays.last()?;
        stay.until.is_none().then(|| stay.roles.last().map(|(_, role, _)| *role)).flatten()
    }

    /// The height at which it was last removed.
    pub fn removed_at(&self) -> Option<u64> {
        let until = |stay: &Stay| stay.until.as_ref().map(|(height, _)| *height);
        self.stays.iter().rev().find_map(until)
    }
}

/// An invite and how often it was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteState {
    /// The admin who signs the ticket.
    pub by: NodeId,
    /// The role it gives.
    pub role: Role,
    /// Until when, in Unix milliseconds.
    pub not_after_ms: u64,
    /// How often it may be used.
    pub uses_max: u32,
    /// How often it was.
    pub uses: u32,
    /// Whether it was revoked.
    pub revoked: bool,
    /// The height at which it was made.
    pub height: u64,
}

/// Why an operation cannot be the next entry of a control log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Signed by another node than the home.
    #[error("only the home of a workspace writes its control log")]
    NotTheHome,
    /// Another space, or one without a control log, or not of a control kind.
    #[error("this operation does not belong to this control log")]
    Foreign,
    /// Not the next height.
    #[error("the next entry has height {expected}")]
    Height {
        /// The height that comes next.
        expected: u64,
    },
    /// The next height, but on top of another history: the home contradicts itself.
    #[error("the entry continues another history than ours")]
    OtherHistory,
    /// The home contradicted itself; see [`ControlState::forked`].
    #[error("the home decided two different things at one height: nothing it decides counts any more")]
    Forked,
    /// The body was deleted or is not of its kind's shape.
    #[error("the entry's body cannot be read")]
    Body,
    /// The genesis does not hash to its space, or its founder did not sign it.
    #[error("the genesis does not begin this space")]
    Genesis,
}

/// What the log layer says about a place in a member's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was written by a member.
    Member,
    /// It cites a height we do not know yet: our control log has to catch up first.
    Ahead,
    /// Its author was not a member at that height.
    Stranger,
    /// It is above the cut-off of a removal.
    CutOff,
}

/// What a space is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// All members of a workspace.
    Workspace,
    /// What two nodes say only to each other: the two, low first.
    Pair(NodeId, NodeId),
    /// One private stream.
    Group,
}

/// Everything the control log says, up to its height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlState {
    space: SpaceId,
    genesis: Genesis,
    home: NodeId,
    height: u64,
    head: OpId,
    members: BTreeMap<NodeId, Member>,
    invites: BTreeMap<[u8; 16], InviteState>,
    slugs: BTreeMap<Slug, Principal>,
    names: BTreeMap<Principal, Slug>,
    scope: Scope,
    forked: Option<Box<ForkProof>>,
}

impl ControlState {
    /// The state after the first entry.
    pub fn begin(op: &Operation) -> Result<Self, ControlError> {
        let header = op.header();
        let body = op.body().ok_or(ControlError::Body)?;
        let Entry::Genesis(genesis) = Entry::decode(header.kind, body).map_err(|_| ControlError::Body)?
        else {
            return Err(ControlError::Genesis);
        };
        let first = header.seq == 1 && header.prev == OpId::NONE && header.incarnation == 0;
        if !first || genesis.space() != header.space || genesis.founder != header.author {
            return Err(ControlError::Genesis);
        }
        let stay = Stay { from: 1, roles: vec![(1, Role::Owner, BTreeMap::new())], until: None };
        let owner =
            Member { name: genesis.founder_name.clone(), joined_ms: genesis.created_ms, stays: vec![stay] };
        Ok(Self {
            space: header.space,
            members: BTreeMap::from([(genesis.founder, owner)]),
            home: genesis.founder,
            genesis,
            height: 1,
            head: op.id(),
            invites: BTreeMap::new(),
            slugs: BTreeMap::new(),
            names: BTreeMap::new(),
            scope: Scope::Workspace,
            forked: None,
        })
    }

    /// Takes the next entry. Its signature was verified before. An entry that makes no sense (the home
    /// removes somebody who is not there) is taken and has no effect: all nodes must agree on heights.
    pub fn apply(&mut self, op: &Operation) -> Result<Entry, ControlError> {
        let header = op.header();
        let is_entry = header.kind.is_control() && header.incarnation == 0;
        if header.space != self.space || matches!(self.scope, Scope::Pair(..)) || !is_entry {
            return Err(ControlError::Foreign);
        }
        if header.author != self.home() && !mutants::is(Mutant::FormerHome) {
            return Err(ControlError::NotTheHome);
        }
        if header.seq != self.height + 1 {
            return Err(ControlError::Height { expected: self.height + 1 });
        }
        if header.prev != self.head {
            return Err(ControlError::OtherHistory);
        }
        if self.forked.is_some() {
            return Err(ControlError::Forked);
        }
        let entry = Entry::decode(header.kind, op.body().ok_or(ControlError::Body)?)
            .map_err(|_| ControlError::Body)?;
        self.height = header.seq;
        self.head = op.id();
        self.take_effect(&entry, header.hlc.ms());
        Ok(entry)
    }

    fn take_effect(&mut self, entry: &Entry, at_ms: u64) {
        let height = self.height;
        match entry {
            Entry::Genesis(_) | Entry::GroupBegun(_) => {}
            Entry::MemberAdded(added) => self.add_member(added, at_ms),
            Entry::RoleSet(set) => {
                let Some(role) = Role::from_code(set.role).filter(|role| *role != Role::Owner) else {
                    return;
                };
                if let Some(stay) = self.open_stay(set.node) {
                    stay.roles.push((height, role, set.cut_offs.iter().copied().collect()));
                }
            }
            Entry::MemberRemoved(removed) => {
                if let Some(stay) = self.open_stay(removed.node) {
                    stay.until = Some((height, removed.cut_offs.iter().copied().collect()));
                }
            }
            Entry::InviteCreated(created) => {
                let Some(role) = Role::from_code(created.role).filter(|role| *role != Role::Owner) else {
                    return;
                };
                self.invites.entry(created.invite.0).or_insert(InviteState {
                    by: created.by,
                    role,
                    not_after_ms: created.not_after_ms,
                    uses_max: created.uses_max,
                    uses: 0,
                    revoked: false,
                    height,
                });
            }
            Entry::InviteRevoked(revoked) => {
                if let Some(invite) = self.invites.get_mut(&revoked.invite.0) {
                    invite.revoked = true;
                }
            }
            Entry::HomeMoved(moved) => {
                if self.role(moved.node).is_some_and(Role::administers) {
                    self.home = moved.node;
                }
            }
            Entry::SlugTaken(taken) => {
                if let Some((principal, slug)) = self.free_slug(taken) {
                    self.names.insert(principal, slug.clone());
                    self.slugs.insert(slug, principal);
                }
            }
        }
    }

    /// Whom a wish for a slug is for, unless somebody has the slug, they have one, or they are not of the node that wishes.
    pub fn free_slug(&self, wish: &SlugTaken) -> Option<(Principal, Slug)> {
        let principal: Principal = wish.principal.parse().ok()?;
        let slug = Slug::parse(&wish.slug).ok().filter(|slug| slug.as_str() == wish.slug)?;
        let is_taken = self.slugs.contains_key(&slug) && !mutants::is(Mutant::SharedSlug);
        let is_free = !is_taken && !self.names.contains_key(&principal);
        (is_free && principal.is_of(wish.node)).then_some((principal, slug))
    }

    fn add_member(&mut self, added: &MemberAdded, at_ms: u64) {
        let Some(role) = Role::from_code(added.role).filter(|role| *role != Role::Owner) else { return };
        let height = self.height;
        if let Some(invite) = self.invites.get_mut(&added.invite.0) {
            invite.uses = invite.uses.saturating_add(1);
        }
        let member = self.members.entry(added.node).or_insert_with(|| Member {
            name: String::new(),
            joined_ms: at_ms,
            stays: Vec::new(),
        });
        if member.role().is_none() {
            member.name.clone_from(&added.name);
            member.joined_ms = at_ms;
            member.stays.push(Stay {
                from: height,
                roles: vec![(height, role, BTreeMap::new())],
                until: None,
            });
        }
    }

    /// The stay of a present member, unless it is the owner's or that of the home: who decides must not lose the
    /// right to by their own decision, and a workspace must not lose its home. The workspace's owner may well leave
    /// a group.
    fn open_stay(&mut self, node: NodeId) -> Option<&mut Stay> {
        let owns = self.scope == Scope::Workspace && node == self.genesis.founder;
        if owns || node == self.home {
            return None;
        }
        self.members.get_mut(&node)?.stays.last_mut().filter(|stay| stay.until.is_none())
    }

    /// The space.
    pub fn space(&self) -> SpaceId {
        self.space
    }

    /// How the workspace began; also that of a pair or group space.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The node that decides. In a pair space nobody does, and this is the workspace's founder.
    pub fn home(&self) -> NodeId {
        self.home
    }

    /// Entries so far.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// The id of the newest entry.
    pub fn head(&self) -> OpId {
        self.head
    }

    /// The proof that the home signed two entries for one height. Nobody can say which of them counts, so from here
    /// on none does: members stay who they are, talk goes on, and nobody is let in or removed any more.
    pub fn forked(&self) -> Option<&ForkProof> {
        self.forked.as_deref()
    }

    /// Takes a verified proof about this control log.
    pub fn fork(&mut self, proof: ForkProof) {
        self.forked.get_or_insert(Box::new(proof));
    }

    /// Everybody who is or was a member.
    pub fn everybody(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        self.members.iter().map(|(node, member)| (*node, member))
    }

    /// The members now, with their roles.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, &Member, Role)> {
        self.members.iter().filter_map(|(node, member)| Some((*node, member, member.role()?)))
    }

    /// The role of a node now.
    pub fn role(&self, node: NodeId) -> Option<Role> {
        self.members.get(&node)?.role()
    }

    /// The height at which a node was last removed.
    pub fn removed_at(&self, node: NodeId) -> Option<u64> {
        self.members.get(&node)?.removed_at()
    }

    /// Whom a slug names.
    pub fn named(&self, slug: &Slug) -> Option<Principal> {
        self.slugs.get(slug).copied()
    }

    /// The slug of a person or bot. Once given it never changes.
    pub fn slug(&self, principal: Principal) -> Option<&Slug> {
        self.names.get(&principal)
    }

    /// Everybody who has a slug.
    pub fn principals(&self) -> impl Iterator<Item = (Principal, &Slug)> {
        self.names.iter().map(|(principal, slug)| (*principal, slug))
    }

    /// An invite.
    pub fn invite(&self, id: &[u8; 16]) -> Option<&InviteState> {
        self.invites.get(id)
    }

    /// All invites.
    pub fn invites(&self) -> impl Iterator<Item = (&[u8; 16], &InviteState)> {
        self.invites.iter()
    }

    /// How the operation `seq` of a log stands that cites `control_height`.
    pub fn standing(&self, log: &LogId, seq: u64, control_height: u64) -> Standing {
        // The other side of a fork may be longer. What its members say is judged by what is known here.
        let most = if self.forked.is_some() { self.height } else { u64::MAX };
        let control_height = control_height.min(most);
        if control_height > self.height {
            // The state of a pair space never grows: what cites more would be asked for again for ever.
            let is_pair = matches!(self.scope, Scope::Pair(..));
            return if is_pair { Standing::Stranger } else { Standing::Ahead };
        }
        let Some(member) = self.members.get(&log.author) else { return Standing::Stranger };
        if mutants::is(Mutant::SkippedCutOff) {
            return Standing::Member;
        }
        for stay in &member.stays {
            if let Some((_, cut_offs)) = &stay.until
                && let Some(last) = cut_offs.get(&log.incarnation)
                && seq > *last
            {
                return Standing::CutOff;
            }
        }
        let stay = member.stays.iter().rev().find(|stay| stay.from <= control_height);
        match stay.map(|stay| &stay.until) {
            None => Standing::Stranger,
            Some(None) => Standing::Member,
            Some(Some((until, _))) if control_height >= *until => Standing::Stranger,
            Some(Some((_, cut_offs))) if cut_offs.contains_key(&log.incarnation) => Standing::Member,
            Some(Some(_)) => Standing::CutOff, // the home never saw this log
        }
    }

    /// How much of a log counts, given the control height its newest operation cites. Heights are told
    /// to others up to here, so that a cut log does not make nodes differ for ever.
    pub fn cap(&self, log: &LogId, control_height: u64) -> u64 {
        let Some(member) = self.members.get(&log.author) else { return 0 };
        if mutants::is(Mutant::SkippedCutOff) {
            return u64::MAX;
        }
        for stay in &member.stays {
            if let Some((until, cut_offs)) = &stay.until {
                if let Some(last) = cut_offs.get(&log.incarnation) {
                    return *last;
                }
                if control_height < *until && control_height >= stay.from {
                    return 0;
                }
            }
        }
        u64::MAX
    }

    /// The role under which an operation counts. The operation stands (see [`Self::standing`]).
    pub fn role_at(&self, log: &LogId, seq: u64, control_height: u64) -> Option<Role> {
        let member = self.members.get(&log.author)?;
        let stay = member.stays.iter().rev().find(|stay| stay.from <= control_height)?;
        let mut role = None;
        for (height, next, cut_offs) in &stay.roles {
            // A change counts for what cites it, and for everything above what the home had seen.
            let above = cut_offs.get(&log.incarnation).is_none_or(|last| seq > *last);
            if role.is_none() || *height <= control_height || above {
                role = Some(*next);
            }
        }
        role
    }
}

#[cfg(test)]
pub(crate) mod tests;
