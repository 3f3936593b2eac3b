//! Group spaces: where private channels and scratchpads rest, each in one of its own, on the nodes that are home to those
//! who take part (see [`ControlState::group`]).
//!
//! Who takes part is said by any of those nodes. The home of the group draws the consequence, in the same transaction in
//! which it learns of it: it adds the node that is missing, or removes the one of which nobody is left, and tells that
//! node so in the pair space of the two.

use std::{collections::BTreeSet, sync::Arc};

use muster_protocol::{
    cbor::{self, Bytes, Bytes16},
    control::{ControlState, Entry, GroupBegun, GroupShared, MemberAdded, MemberRemoved, Role},
    identity::NodeId,
    ids::{OpId, SpaceId, StreamId, hash},
    limits,
    mutants::{self, Mutant},
    operation::{Draft, Kind, Operation, Place},
    principal::Principal,
};
use redb::ReadableTable;

use crate::{
    StoreError,
    batch::{Batch, PrivateSpace},
    rows::At,
    schema,
    tables::{self, Subject},
};

impl Batch<'_> {
    /// Begins the space of a private stream, of which this node is the home. `None` when this node may not write in the
    /// workspace, or is home to as many as it may be.
    pub fn begin_group(&mut self, workspace: SpaceId) -> Result<Option<(SpaceId, StreamId)>, StoreError> {
        let me = self.me();
        if !self.may_write(workspace) || self.groups_by(workspace, me) >= limits::GROUPS_PER_HOME_MAX {
            return Ok(None);
        }
        let hlc = self.memory.clock.tick(self.now_ms());
        let mut nonce = [0; 16];
        let whole = hash("muster/group/nonce/v1", &[&self.memory.fresh, &hlc.0.to_be_bytes()]);
        nonce.copy_from_slice(&whole[..16]);
        let begun = GroupBegun { workspace, home: me, nonce: Bytes16(nonce) };
        let space = begun.space();
        let place = Place { space, incarnation: 0, seq: 1, prev: OpId::NONE, hlc, control_height: 0 };
        let (kind, body) = Entry::GroupBegun(begun).encode();
        let op = Operation::sign(&self.memory.identity, place, Draft { kind, stream: StreamId::SPACE, body });
        if !self.take_group(workspace, &op)? {
            return Err(StoreError::Damaged("a group was begun that cannot be read"));
        }
        Ok(Some((space, StreamId::group(space))))
    }

    /// Takes a group in, from its first entry. Idempotent. False when it begins none of this workspace, or its home has
    /// as many as it may.
    fn take_group(&mut self, workspace: SpaceId, begun: &Operation) -> Result<bool, StoreError> {
        let space = begun.header().space;
        if self.memory.groups.contains_key(&space) {
            return Ok(true);
        }
        let Some(control) = self.memory.controls.get(&workspace) else { return Ok(false) };
        let Ok(group) = ControlState::group(control.genesis(), begun) else { return Ok(false) };
        if self.groups_by(workspace, group.home()) >= limits::GROUPS_PER_HOME_MAX {
            return Ok(false);
        }
        let number = self.new_space_number(space)?;
        self.groups.insert(number, &workspace.0)?;
        self.control.insert(&tables::control_key(number, 1), begun.encode().as_slice())?;
        self.memory.groups.insert(space, PrivateSpace { workspace, control: Arc::new(group) });
        self.memory.revision += 1;
        self.changes.space(space).control = true;
        Ok(true)
    }

    /// The effect of the home's word that this node holds a group, or no longer. What the home says to others is for
    /// them; a home whose store was set back hears it again, and learns of the groups that it forgot.
    pub(crate) fn apply_group(
        &mut self,
        control: &ControlState,
        op: &Operation,
        begun: &Operation,
        held: bool,
        at: At,
    ) -> Result<(), StoreError> {
        let (space, workspace) = (begun.header().space, self.workspace_of(control.space()));
        if let Some(node) = control.pair_partner(self.me()).filter(|_| op.header().author == self.me()) {
            self.say_about(Subject::Told(StreamId::group(space), node), op, at)?;
            return self.remember_group(workspace, begun);
        }
        if held && !self.take_group(workspace, begun)? {
            return Ok(());
        }
        self.say_about(Subject::Group(StreamId::group(space)), op, at)?;
        self.review_own_parts(space)
    }

    /// Takes up a group that this node is home to, and decides nothing there before its members said what they know.
    fn remember_group(&mut self, workspace: SpaceId, begun: &Operation) -> Result<(), StoreError> {
        let space = begun.header().space;
        if !self.memory.groups.contains_key(&space) && self.take_group(workspace, begun)? {
            self.memory.unsettled.insert(space, BTreeSet::new());
            self.meta.insert(schema::unsettled_key(space).as_str(), [1].as_slice())?;
        }
        Ok(())
    }

    /// Takes the home's word back.
    pub(crate) fn void_group(&mut self, control: &ControlState, op: &Operation) -> Result<(), StoreError> {
        let Some((begun, _)) = told(op) else { return Ok(()) };
        let space = begun.header().space;
        if let Some(node) = control.pair_partner(self.me()).filter(|_| op.header().author == self.me()) {
            return self.unsay_about(Subject::Told(StreamId::group(space), node), op).map(drop);
        }
        match self.unsay_about(Subject::Group(StreamId::group(space)), op)? {
            true => self.review_own_parts(space),
            false => Ok(()),
        }
    }

    /// Whether this node holds a space as far as it knows: a group, unless its home let this node go. What it got
    /// before is still there, and is shown to nobody.
    pub(crate) fn holds(&self, space: SpaceId) -> Result<bool, StoreError> {
        let Some(group) = self.memory.groups.get(&space) else { return Ok(true) };
        if group.control.home() == self.me() {
            return Ok(true);
        }
        let said = self.newest_about(Subject::Group(StreamId::group(space)), |_| true)?;
        Ok(said.as_ref().and_then(told).is_some_and(|(_, held)| held))
    }

    /// Sets anew who of this node takes part in the stream of a group.
    fn review_own_parts(&mut self, space: SpaceId) -> Result<(), StoreError> {
        if !self.memory.groups.contains_key(&space) {
            return Ok(());
        }
        let (stream, me) = (StreamId::group(space), self.me());
        let workspace = self.control_state(self.workspace_of(space));
        let own: Vec<Principal> = workspace
            .iter()
            .flat_map(|workspace| workspace.principals().map(|(principal, _)| principal))
            .filter(|principal| principal.is_of(me))
            .collect();
        own.into_iter().try_for_each(|principal| self.review_part(space, stream, principal))
    }

    /// Reviews all groups of a workspace of which this node is the home: who belongs to the workspace changed.
    pub(crate) fn review_groups(&mut self, workspace: SpaceId) -> Result<(), StoreError> {
        self.groups_of(workspace).into_iter().try_for_each(|group| self.review_group(group))
    }

    /// The groups in a workspace of which this node is the home.
    pub(crate) fn groups_of(&self, workspace: SpaceId) -> Vec<SpaceId> {
        let me = self.me();
        let groups = self.memory.groups.iter();
        let own = groups.filter(|(_, group)| group.workspace == workspace && group.control.home() == me);
        own.map(|(space, _)| *space).collect()
    }

    /// As the home of a group: lets in the nodes of those who take part, and no others. Anywhere else it does nothing,
    /// nor while this store may lack what it decided before.
    pub(crate) fn review_group(&mut self, space: SpaceId) -> Result<(), StoreError> {
        let Some(PrivateSpace { workspace, control }) = self.memory.groups.get(&space).cloned() else {
            return Ok(());
        };
        let can_decide = control.home() == self.me() && control.forked().is_none();
        if !can_decide || self.memory.unsettled.contains_key(&space) {
            return Ok(());
        }
        let wanted = self.nodes_of(workspace, StreamId::group(space))?;
        let held: BTreeSet<NodeId> = control.members().map(|(node, _, _)| node).collect();
        for node in wanted.difference(&held) {
            let added = MemberAdded {
                node: *node,
                name: String::new(),
                role: Role::Member.code(),
                invite: Bytes16([0; 16]),
                evidence: Bytes::default(),
            };
            self.decide_group(space, &Entry::MemberAdded(added))?;
        }
        let gone = held.difference(&wanted).filter(|node| **node != control.home());
        for node in gone.filter(|_| !mutants::is(Mutant::CrowdedGroup)) {
            let cut_offs = self.cut_offs(&control, *node)?;
            let removed = MemberRemoved { node: *node, cut_offs, evidence: Bytes::default() };
            self.decide_group(space, &Entry::MemberRemoved(removed))?;
        }
        self.tell_group(space)
    }

    fn decide_group(&mut self, space: SpaceId, entry: &Entry) -> Result<(), StoreError> {
        match self.control_state(space) {
            Some(control) => self.decide(&control, entry).map(drop),
            None => Ok(()),
        }
    }

    /// Tells every node of a group, and every former one, how it stands, unless it was told. A home that was set back
    /// may have learned again what it decided, and not that it told so.
    fn tell_group(&mut self, space: SpaceId) -> Result<(), StoreError> {
        let (workspace, me) = (self.workspace_of(space), self.me());
        let Some(control) = self.control_state(space) else { return Ok(()) };
        for (node, member) in control.everybody().filter(|(node, _)| *node != me) {
            let held = member.role().is_some();
            let said = self.newest_about(Subject::Told(StreamId::group(space), node), |_| true)?;
            if said.as_ref().and_then(told).map(|(_, held)| held) == Some(held) {
                continue;
            }
            let Some(pair) = self.begin_pair(workspace, node)? else { continue };
            let body = cbor::encode(&GroupShared { begun: Bytes(self.begun(space)?), held });
            self.say_in(pair, Draft { kind: Kind::GROUP_SHARED, stream: StreamId::SPACE, body })?;
        }
        Ok(())
    }

    /// The first entry of a group's control log.
    fn begun(&self, space: SpaceId) -> Result<Vec<u8>, StoreError> {
        let key = tables::control_key(self.space_number(space)?, 1);
        let entry = self.control.get(&key)?.map(|entry| entry.value().to_vec());
        entry.ok_or(StoreError::Damaged("a group without its first entry"))
    }

    /// The nodes that are home to those who take part in a stream, and may write in the workspace; this one always.
    fn nodes_of(&self, workspace: SpaceId, stream: StreamId) -> Result<BTreeSet<NodeId>, StoreError> {
        let mut found = BTreeSet::from([self.me()]);
        let Some(control) = self.memory.controls.get(&workspace) else { return Ok(found) };
        let writers: Vec<NodeId> =
            control.members().filter(|(_, _, role)| role.writes()).map(|(node, _, _)| node).collect();
        let range = tables::members_of(stream);
        for entry in self.members.range::<&[u8; 41]>(range.start()..=range.end())? {
            let (_, principal) = tables::member_in(entry?.0.value());
            if !found.iter().any(|node| principal.is_of(*node)) {
                found.extend(writers.iter().find(|node| principal.is_of(**node)));
            }
        }
        Ok(found)
    }

    fn groups_by(&self, workspace: SpaceId, home: NodeId) -> usize {
        let groups = self.memory.groups.values();
        groups.filter(|group| group.workspace == workspace && group.control.home() == home).count()
    }
}

/// What an operation tells of a group: how it begins, and whether it is held.
fn told(op: &Operation) -> Option<(Operation, bool)> {
    let shared: GroupShared = cbor::decode(op.body()?, limits::BODY_BYTES_MAX).ok()?;
    Some((Operation::decode(&shared.begun.0).ok()?, shared.held))
}
