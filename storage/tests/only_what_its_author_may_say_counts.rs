//! The semantic layer: what is signed is stored, and counts only where its author may say it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{Node, START_MS, draft, forge, link::exchange};
use muster_protocol::{
    cbor::{Bytes, Bytes16},
    control::{Entry, MemberAdded, Role},
    identity::Identity,
    ids::{LogId, SpaceId, StreamId, WorkspaceId},
    network::WorkspaceRef,
    operation::{self, Draft, Operation},
};

/// A home, a member, and an operation of that member that the store of an honest node would not make.
fn stored(make: impl FnOnce(&Node, &Node, SpaceId) -> Draft) -> (Node, Node, SpaceId) {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    let log = LogId { space, author: bob.identity.node(), incarnation: 77 };
    let height = ada.store.control(space).unwrap().height();
    let bad = make(&ada, &bob, space);
    let bad = forge(&bob.identity, height, log, None, START_MS, bad);
    let tester = bob.session(space, "tester", "builders");
    let good = draft(space, &bob.envelope(space, &tester, "thread_one", "good", "good"));
    let good = forge(&bob.identity, height, log, Some(&bad), START_MS + 1, good);
    for node in [&ada, &bob] {
        let report = node.take(space, vec![bad.clone(), good.clone()]);
        assert!(report.refused.is_empty() && report.again.is_empty(), "what is signed leaves no hole");
        assert_eq!(report.heights[0].seq, 2);
    }
    (ada, bob, space)
}

fn only_the_good_one_counts((ada, bob, space): (Node, Node, SpaceId)) {
    assert_eq!(ada.texts(space, "builders", "thread_one"), ["good"]);
    assert_eq!(ada.picture(space), bob.picture(space));
    assert_eq!(ada.view().channels(&ada.workspace(space)).unwrap().len(), 1);
    assert_eq!(ada.digest(space), bob.digest(space));
}

#[test]
fn an_impostor_is_void() {
    only_the_good_one_counts(stored(|ada, bob, space| {
        let coder = ada.session(space, "coder", "builders");
        let mut envelope = ada.envelope(space, &coder, "thread_one", "bad", "I am ada");
        bob.sign(&mut envelope);
        draft(space, &envelope)
    }));
}

#[test]
fn a_message_in_another_stream_than_its_channels_is_void() {
    only_the_good_one_counts(stored(|_, bob, space| {
        let tester = bob.session(space, "tester", "builders");
        let envelope = bob.envelope(space, &tester, "thread_one", "bad", "elsewhere");
        Draft { stream: StreamId::channel(space, "other"), ..draft(space, &envelope) }
    }));
}

#[test]
fn a_message_for_another_workspace_is_void() {
    only_the_good_one_counts(stored(|_, bob, space| {
        let tester = bob.session(space, "tester", "builders");
        let mut envelope = bob.envelope(space, &tester, "thread_one", "bad", "elsewhere");
        envelope.workspace_id = WorkspaceRef::parse(&WorkspaceId::new(5, [5; 10]).to_string()).unwrap();
        bob.sign(&mut envelope);
        draft(space, &envelope)
    }));
}

#[test]
fn a_message_whose_proof_was_stripped_is_void() {
    only_the_good_one_counts(stored(|_, bob, space| {
        let tester = bob.session(space, "tester", "builders");
        let mut envelope = bob.envelope(space, &tester, "thread_one", "bad", "unsigned");
        envelope.proof = None;
        draft(space, &envelope)
    }));
}

#[test]
fn rubbish_and_unknown_kinds_are_void() {
    only_the_good_one_counts(stored(|_, _, space| Draft {
        kind: operation::Kind::ENVELOPE,
        stream: StreamId::channel(space, "builders"),
        body: b"{".to_vec(),
    }));
    only_the_good_one_counts(stored(|_, _, _| Draft {
        kind: operation::Kind(9_999),
        stream: StreamId::SPACE,
        body: vec![1],
    }));
}

#[test]
fn a_guest_is_stored_and_not_heard() {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Guest);
    let tester = ada.session(space, "tester", "builders");
    let envelope = bob.envelope(space, &tester, "thread_one", "m1", "psst");
    assert_eq!(bob.send(space, &envelope), muster_storage::SendOutcome::NotAllowed);
    assert!(!bob.open_channel(space, "builders", "mine"));

    let log = LogId { space, author: bob.identity.node(), incarnation: 5 };
    let height = bob.store.control(space).unwrap().height();
    let op = forge(&bob.identity, height, log, None, START_MS, draft(space, &envelope));
    bob.take(space, vec![op]);
    exchange(&ada, &bob);
    assert_eq!(ada.digest(space), bob.digest(space));
    assert_eq!(ada.heights(space)[0].seq, 1);
    assert!(ada.view().channels(&ada.workspace(space)).unwrap().is_empty());
}

#[test]
fn a_stranger_is_not_even_stored() {
    let ada = Node::new(1);
    let space = ada.found();
    let stranger = Identity::from_seed([9; 32]);
    let log = LogId { space, author: stranger.node(), incarnation: 1 };
    let body = Draft { kind: operation::Kind::ENVELOPE, stream: StreamId::SPACE, body: vec![1] };
    let report = ada.take(space, vec![forge(&stranger, 1, log, None, START_MS, body)]);
    assert_eq!(report.refused, [log]);
    assert!(ada.heights(space).is_empty());
}

#[test]
fn only_the_home_writes_the_control_log() {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Admin);
    let friend = MemberAdded {
        node: Identity::from_seed([9; 32]).node(),
        name: "friend".to_owned(),
        role: Role::Owner.code(),
        invite: Bytes16([0; 16]),
        evidence: Bytes(Vec::new()),
    };
    let op: Operation = bob.entry(space, &Entry::MemberAdded(friend));
    for node in [&ada, &bob] {
        let op = op.clone();
        let height = node.store.control(space).unwrap().height();
        assert!(!node.write(move |batch| batch.append_control(space, vec![op])).control_grew);
        assert_eq!(node.store.control(space).unwrap().height(), height);
    }
    // Nor does it get in as an ordinary operation.
    let report = ada.take(space, vec![op]);
    assert_eq!(report.refused.len(), 1);
}

#[test]
fn an_operation_from_the_future_waits() {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    let tester = bob.session(space, "tester", "builders");
    bob.now_ms.set(ada.now_ms.get() + 3_600_000);
    bob.say(space, &tester, "thread_one", "b1", "tomorrow");
    let report = ada.take(space, bob.operations(space));
    assert_eq!((report.again.len(), report.refused.len()), (1, 0));
    ada.now_ms.set(bob.now_ms.get());
    ada.take(space, bob.operations(space));
    assert_eq!(ada.texts(space, "builders", "thread_one"), ["tomorrow"]);
}
