//! A home that signed two entries for one height: whoever sees both keeps the proof, and takes no decision any more.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{Node, link::exchange};
use muster_protocol::{
    ask::AdminRefusal,
    cbor::Bytes,
    control::{Entry, Role, RoleSet},
    fork::ForkProof,
    ids::{LogId, SpaceId},
    ticket::JoinRefusal,
};

fn set(node: &Node, role: Role) -> Entry {
    let node = node.identity.node();
    Entry::RoleSet(RoleSet { node, role: role.code(), cut_offs: Vec::new(), evidence: Bytes::default() })
}

/// Ada's workspace, and ada as she was before: what one of the two decides bob heard, what the other eve.
fn two_histories() -> (SpaceId, [Node; 2], Node, Node) {
    let (ada, bob, eve) = (Node::new(1), Node::new(2), Node::new(3));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    eve.join(&ada, space, Role::Member);
    bob.learn_control(&ada, space);
    let before = Node::again(1, 50);
    before.learn(&ada, space);
    (0..9).for_each(|_| _ = before.fresh()); // its tickets are others than ada's
    ada.decide(space, set(&eve, Role::Guest)).unwrap();
    bob.learn_control(&ada, space);
    before.decide(space, set(&bob, Role::Admin)).unwrap();
    before.decide(space, set(&bob, Role::Member)).unwrap();
    eve.learn_control(&before, space);
    (space, [ada, before], bob, eve)
}

fn is_forked(node: &Node, space: SpaceId) -> bool {
    node.store.control(space).unwrap().forked().is_some()
}

#[test]
fn two_members_who_heard_different_things_prove_it_and_keep_the_proof() {
    let (space, [ada, before], bob, eve) = two_histories();
    exchange(&bob, &eve);
    for node in [&bob, &eve] {
        assert!(is_forked(node, space));
        assert!(node.workspace(space).forked);
    }
    exchange(&bob, &before);
    assert!(is_forked(&before, space), "the home hears of it");
    exchange(&eve, &ada);
    let bob = bob.reopened();
    assert!(is_forked(&bob, space), "also after a restart");

    for home in [&ada, &before] {
        assert_eq!(home.decide(space, set(&eve, Role::Admin)), Err(AdminRefusal::Forked));
    }
    let height = bob.store.control(space).unwrap().height();
    bob.learn_control(&ada, space);
    assert_eq!(bob.store.control(space).unwrap().height(), height);
}

#[test]
fn nobody_joins_a_workspace_whose_home_contradicted_itself() {
    let (space, [_, before], bob, _) = two_histories();
    let ticket = before.invite(space, Role::Member, 2);
    let late = Node::new(4);
    exchange(&bob, &before);
    assert!(is_forked(&before, space));
    let who = late.identity.node();
    let answer = before.write(move |batch| batch.let_in(&ticket, who, "late", Vec::new()));
    assert_eq!(answer, Err(JoinRefusal::Forked));
}

#[test]
fn members_talk_on_whichever_side_they_are_on() {
    let (space, _, bob, eve) = two_histories();
    let coder = bob.session(space, "coder", "builders");
    exchange(&bob, &eve);
    // Eve cites a longer history than bob's.
    assert!(eve.store.control(space).unwrap().height() > bob.store.control(space).unwrap().height());
    let tester = eve.session(space, "tester", "builders");
    eve.say(space, &tester, "thread_one", "e1", "from the longer side");
    bob.say(space, &coder, "thread_one", "b1", "from the shorter side");
    exchange(&bob, &eve);
    // Bob's side has eve as a guest since, who may not write; eve's knows nothing of that.
    assert_eq!(eve.texts(space, "builders", "thread_one").len(), 2);
    assert_eq!(bob.texts(space, "builders", "thread_one"), ["from the shorter side"]);
}

#[test]
fn a_member_who_signs_two_entries_in_the_homes_place_ends_nothing() {
    let (space, [ada, _], bob, eve) = two_histories();
    let (one, other) =
        (bob.entry(space, &set(&eve, Role::Admin)), bob.entry(space, &set(&eve, Role::Member)));
    let proof = ForkProof::of(&one, &other).unwrap();
    let (log, seq) = proof.verify().unwrap();
    assert_eq!(log, LogId { space, author: bob.identity.node(), incarnation: 0 });
    ada.write(move |batch| batch.freeze(&proof, &log, seq));
    assert!(!is_forked(&ada, space));
    assert!(ada.decide(space, set(&bob, Role::Admin)).is_ok());
}
