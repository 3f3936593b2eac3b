//! Who belongs to a pair space: the two nodes it is named after, always.
//!
//! All that two nodes of a workspace say only to each other rests in one space of their own (N-32, N-33). Its id
//! says who may write in it, so it has no control log: its state is made up here, alike on both nodes, and never
//! grows. Whether the two are members of the workspace is a question of the workspace's own control log, asked by
//! whoever shares the space or writes in it. A removal therefore cuts off nothing here: only the two hold
//! these logs, and nothing flows while one of them may not write.

use std::collections::BTreeMap;

use super::{ControlState, Member, Role, Scope, Stay};
use crate::{
    identity::NodeId,
    ids::{OpId, SpaceId},
};

/// The only height of a pair space, cited by every operation in it.
const HEIGHT: u64 = 1;

impl ControlState {
    /// The state of the pair space of two nodes, or of one with itself, in the workspace of `workspace`.
    pub fn pair(workspace: &ControlState, one: NodeId, other: NodeId) -> Self {
        let (low, high) = (one.min(other), one.max(other));
        let member = || Member {
            name: String::new(),
            joined_ms: workspace.genesis.created_ms,
            stays: vec![Stay {
                from: HEIGHT,
                roles: vec![(HEIGHT, Role::Member, BTreeMap::new())],
                until: None,
            }],
        };
        Self {
            space: SpaceId::pair(workspace.space, low, high),
            genesis: workspace.genesis.clone(),
            home: workspace.genesis.founder,
            height: HEIGHT,
            head: OpId::NONE,
            members: BTreeMap::from([(low, member()), (high, member())]),
            invites: BTreeMap::new(),
            slugs: BTreeMap::new(),
            names: BTreeMap::new(),
            scope: Scope::Pair(low, high),
            forked: None,
        }
    }

    /// The two nodes of a pair space, low first (one node twice when it is the pair of a node with itself);
    /// `None` for any other space.
    pub fn pair_nodes(&self) -> Option<(NodeId, NodeId)> {
        match self.scope {
            Scope::Pair(low, high) => Some((low, high)),
            Scope::Workspace | Scope::Group => None,
        }
    }

    /// To whom `node` speaks in this pair space: the other of the two, or itself when the pair is one node. `None`
    /// in any other space, and for a node that is not one of the two.
    pub fn pair_partner(&self, node: NodeId) -> Option<NodeId> {
        match self.pair_nodes()? {
            (low, high) if node == low => Some(high),
            (low, high) if node == high => Some(low),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ControlError, Entry, Standing, tests::Home};
    use super::*;
    use crate::{
        cbor::{Bytes, Bytes16},
        clock::Hlc,
        control::MemberAdded,
        identity::Identity,
        ids::{LogId, StreamId},
        log::{Admission, Refused, admit},
        operation::{Draft, Kind, Operation, Place},
    };

    const NOW_MS: u64 = 1_800_000_000_000;

    fn identity(seed: u8) -> Identity {
        Identity::from_seed([seed; 32])
    }

    fn node(seed: u8) -> NodeId {
        identity(seed).node()
    }

    /// The pair space of the nodes 2 and 3 in a workspace of which 3 was never a member.
    fn pair() -> ControlState {
        let mut home = Home::new();
        home.add(node(2), Role::Member);
        ControlState::pair(&home.state, node(2), node(3))
    }

    fn op(author: u8, control_height: u64) -> Operation {
        let hlc = Hlc::from_ms(NOW_MS);
        let place =
            Place { space: pair().space(), incarnation: 7, seq: 1, prev: OpId::NONE, hlc, control_height };
        let draft = Draft { kind: Kind::ENVELOPE, stream: StreamId::SPACE, body: b"x".to_vec() };
        Operation::sign(&identity(author), place, draft)
    }

    #[test]
    fn both_nodes_make_the_same_state_whatever_they_know_of_the_workspace() {
        let mut home = Home::new();
        let early = ControlState::pair(&home.state, node(3), node(2));
        home.add(node(2), Role::Member);
        home.remove(node(2), &[(7, 5)]);
        assert_eq!(ControlState::pair(&home.state, node(2), node(3)), early);
        assert_eq!(early.space(), SpaceId::pair(home.state.space(), node(2), node(3)));
        assert_eq!(early.genesis().workspace, home.state.genesis().workspace);
        assert_eq!(home.state.pair_nodes(), None);
    }

    #[test]
    fn the_two_and_nobody_else_write_and_nothing_cuts_them_off_n33() {
        let pair = pair();
        for (author, verdict) in [
            (2, Admission::Store),
            (3, Admission::Store),
            (1, Admission::Refuse(Refused::Stranger)), // the workspace's home, too
            (4, Admission::Refuse(Refused::Stranger)),
        ] {
            assert_eq!(admit(&pair, None, &op(author, 1), NOW_MS), verdict, "node {author}");
            let log = LogId { space: pair.space(), author: node(author), incarnation: 7 };
            assert_eq!(pair.cap(&log, 1) == u64::MAX, verdict == Admission::Store);
            assert_eq!(pair.role_at(&log, 1, 1).is_some_and(Role::writes), verdict == Admission::Store);
        }
        let members: Vec<_> = pair.members().map(|(node, _, role)| (node, role)).collect();
        assert_eq!(members.len(), 2);
        assert!(members.iter().all(|(who, role)| [node(2), node(3)].contains(who) && *role == Role::Member));
    }

    #[test]
    fn what_cites_another_height_is_refused_instead_of_awaited() {
        for height in [0, 2, u64::MAX] {
            let log = op(2, height).header().log();
            assert_eq!(pair().standing(&log, 1, height), Standing::Stranger);
            let verdict = admit(&pair(), None, &op(2, height), NOW_MS);
            assert_eq!(verdict, Admission::Refuse(Refused::Stranger), "height {height}");
        }
    }

    #[test]
    fn nobody_decides_in_it() {
        let mut pair = pair();
        let before = pair.clone();
        let added = MemberAdded {
            node: node(4),
            name: "eve".into(),
            role: Role::Admin.code(),
            invite: Bytes16([0; 16]),
            evidence: Bytes::default(),
        };
        let (kind, body) = Entry::MemberAdded(added).encode();
        for author in [1, 2, 3] {
            let hlc = Hlc::from_ms(NOW_MS);
            let (space, prev) = (pair.space(), OpId::NONE);
            let place = Place { space, incarnation: 0, seq: 2, prev, hlc, control_height: 1 };
            let draft = Draft { kind, stream: StreamId::SPACE, body: body.clone() };
            let entry = Operation::sign(&identity(author), place, draft);
            assert_eq!(pair.apply(&entry), Err(ControlError::Foreign));
        }
        assert_eq!(pair, before);
    }

    #[test]
    fn each_of_the_two_speaks_to_the_other_and_a_node_alone_to_itself() {
        let pair = pair();
        assert_eq!(pair.pair_partner(node(2)), Some(node(3)));
        assert_eq!(pair.pair_partner(node(3)), Some(node(2)));
        assert_eq!(pair.pair_partner(node(1)), None);
        let home = Home::new();
        let alone = ControlState::pair(&home.state, node(2), node(2));
        assert_eq!(alone.pair_partner(node(2)), Some(node(2)));
        assert_eq!((alone.pair_nodes(), alone.members().count()), (Some((node(2), node(2))), 1));
        assert_eq!(home.state.pair_partner(home.identity.node()), None);
    }
}
