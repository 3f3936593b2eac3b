//! Who belongs to a group space: the nodes that are home to those who take part in one private stream.
//!
//! A private channel or scratchpad is for some of a workspace, and who they are changes. So it rests in a space of its
//! own, with a small control log: the node that opened the stream is its home, and decides which nodes hold it. It
//! adds the node of whoever takes part, and removes the node of which nobody does any more. A node learns that it
//! belongs to a group from the home, in the pair space of the two ([`GroupShared`]); from then on the group is a space
//! like any other, and any of its nodes brings it to any other.
//!
//! Whether those nodes are members of the workspace is a question of the workspace's own control log, asked by whoever
//! shares the space or writes in it, as it is for a pair space.

use std::collections::BTreeMap;

use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use super::{ControlError, ControlState, Entry, Genesis, GroupBegun, Member, Role, Scope, Stay};
use crate::{
    cbor::Bytes,
    ids::{OpId, StreamId},
    operation::Operation,
};

/// The home of a group tells a node that it holds the group from now on, or no longer; in the pair space of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct GroupShared {
    /// The first entry of its control log, encoded.
    pub begun: Bytes,
    /// Whether the node holds it.
    pub held: bool,
}

impl ControlState {
    /// The state of a group space after its first entry, in the workspace that began with `workspace`. Its signature
    /// was verified before.
    ///
    /// # Errors
    /// [`ControlError`] for what begins no group of this workspace.
    pub fn group(workspace: &Genesis, op: &Operation) -> Result<Self, ControlError> {
        let header = op.header();
        let body = op.body().ok_or(ControlError::Body)?;
        let Entry::GroupBegun(begun) = Entry::decode(header.kind, body).map_err(|_| ControlError::Body)?
        else {
            return Err(ControlError::Genesis);
        };
        let GroupBegun { workspace: space, home, .. } = begun;
        let first = header.seq == 1 && header.prev == OpId::NONE && header.incarnation == 0;
        let fits = begun.space() == header.space && home == header.author && space == workspace.space();
        if !first || !fits {
            return Err(ControlError::Genesis);
        }
        let stay = Stay { from: 1, roles: vec![(1, Role::Owner, BTreeMap::new())], until: None };
        let owner = Member { name: String::new(), joined_ms: header.hlc.ms(), stays: vec![stay] };
        Ok(Self {
            space: header.space,
            genesis: workspace.clone(),
            home,
            height: 1,
            head: op.id(),
            members: BTreeMap::from([(home, owner)]),
            invites: BTreeMap::new(),
            slugs: BTreeMap::new(),
            names: BTreeMap::new(),
            scope: Scope::Group,
            forked: None,
        })
    }

    /// The one stream of a group space; `None` for any other space.
    pub fn group_stream(&self) -> Option<StreamId> {
        (self.scope == Scope::Group).then(|| StreamId::group(self.space))
    }

    /// Whether not all members of the workspace hold the space: a pair's or a group's.
    pub fn is_private(&self) -> bool {
        self.scope != Scope::Workspace
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MemberAdded, MemberRemoved, RoleSet, tests::Home};
    use super::*;
    use crate::{
        cbor::Bytes16,
        clock::Hlc,
        identity::{Identity, NodeId},
        ids::{LogId, SpaceId},
        operation::{Draft, Place},
    };

    const NOW_MS: u64 = 1_800_000_000_000;

    fn identity(seed: u8) -> Identity {
        Identity::from_seed([seed; 32])
    }

    fn node(seed: u8) -> NodeId {
        identity(seed).node()
    }

    fn entry(author: u8, control: Option<&ControlState>, space: SpaceId, entry: &Entry) -> Operation {
        let (kind, body) = entry.encode();
        let height = control.map_or(0, ControlState::height);
        let prev = control.map_or(OpId::NONE, ControlState::head);
        let hlc = Hlc::from_ms(NOW_MS);
        let place = Place { space, incarnation: 0, seq: height + 1, prev, hlc, control_height: height };
        Operation::sign(&identity(author), place, Draft { kind, stream: StreamId::SPACE, body })
    }

    fn begun_by(home: u8, workspace: &Genesis) -> Operation {
        let begun = GroupBegun { workspace: workspace.space(), home: node(home), nonce: Bytes16([7; 16]) };
        entry(home, None, begun.space(), &Entry::GroupBegun(begun))
    }

    fn added(seed: u8) -> Entry {
        Entry::MemberAdded(MemberAdded {
            node: node(seed),
            name: String::new(),
            role: Role::Member.code(),
            invite: Bytes16([0; 16]),
            evidence: Bytes::default(),
        })
    }

    fn removed(seed: u8) -> Entry {
        Entry::MemberRemoved(MemberRemoved {
            node: node(seed),
            cut_offs: vec![(7, 3)],
            evidence: Bytes::default(),
        })
    }

    /// Lets the home decide.
    fn decide(control: &mut ControlState, by: u8, what: &Entry) -> Result<Entry, ControlError> {
        let op = entry(by, Some(control), control.space(), what);
        control.apply(&op)
    }

    #[test]
    fn a_group_begins_with_its_home_alone_in_the_workspace_it_names() {
        let workspace = Home::new().state.genesis().clone();
        let group = ControlState::group(&workspace, &begun_by(2, &workspace)).unwrap();
        assert_eq!((group.home(), group.height()), (node(2), 1));
        assert_eq!(group.role(node(2)), Some(Role::Owner));
        assert_eq!(group.members().count(), 1);
        assert_eq!(group.genesis(), &workspace);
        assert_eq!(group.group_stream(), Some(StreamId::group(group.space())));
        assert!(group.is_private());
        assert_eq!(group.pair_nodes(), None);
        let another = Genesis { name: "another".into(), ..workspace.clone() };
        let refused = ControlState::group(&another, &begun_by(2, &workspace));
        assert_eq!(refused, Err(ControlError::Genesis));
        insta::assert_snapshot!(group.space());
    }

    #[test]
    fn a_workspace_does_not_begin_as_a_group_nor_a_group_as_a_workspace() {
        let workspace = Home::new().state.genesis().clone();
        let op = begun_by(2, &workspace);
        assert_eq!(ControlState::begin(&op), Err(ControlError::Genesis));
        // Signed by another than the home it names.
        let begun = GroupBegun { workspace: workspace.space(), home: node(2), nonce: Bytes16([7; 16]) };
        let forged = entry(3, None, begun.space(), &Entry::GroupBegun(begun));
        assert_eq!(ControlState::group(&workspace, &forged), Err(ControlError::Genesis));
    }

    #[test]
    fn the_home_alone_decides_which_nodes_hold_a_group() {
        let workspace = Home::new().state.genesis().clone();
        let mut group = ControlState::group(&workspace, &begun_by(2, &workspace)).unwrap();
        assert_eq!(decide(&mut group, 3, &added(3)), Err(ControlError::NotTheHome));
        decide(&mut group, 2, &added(3)).unwrap();
        assert!(group.role(node(3)).is_some_and(Role::writes));
        decide(&mut group, 2, &removed(3)).unwrap();
        assert_eq!(group.role(node(3)), None);
        let log = LogId { space: group.space(), author: node(3), incarnation: 7 };
        assert_eq!(group.cap(&log, 2), 3);
        // The home itself cannot go: nobody would be left to decide.
        decide(&mut group, 2, &removed(2)).unwrap();
        assert_eq!(group.role(node(2)), Some(Role::Owner));
    }

    #[test]
    fn the_owner_of_the_workspace_leaves_a_group_like_anybody() {
        let home = Home::new();
        let (workspace, founder) = (home.state.genesis().clone(), home.identity.node());
        let mut group = ControlState::group(&workspace, &begun_by(2, &workspace)).unwrap();
        let role = Role::Member.code();
        let add = MemberAdded {
            node: founder,
            name: String::new(),
            role,
            invite: Bytes16([0; 16]),
            evidence: Bytes::default(),
        };
        decide(&mut group, 2, &Entry::MemberAdded(add)).unwrap();
        let (cut_offs, evidence) = (Vec::new(), Bytes::default());
        let gone = MemberRemoved { node: founder, cut_offs, evidence };
        decide(&mut group, 2, &Entry::MemberRemoved(gone)).unwrap();
        assert_eq!(group.role(founder), None);
        let set = RoleSet { node: founder, role, cut_offs: Vec::new(), evidence: Bytes::default() };
        decide(&mut group, 2, &Entry::RoleSet(set)).unwrap();
        assert_eq!(group.role(founder), None);
    }
}
