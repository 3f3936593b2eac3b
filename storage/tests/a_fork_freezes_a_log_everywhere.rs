//! Two operations in one place of a log: nobody can say which is right, so neither counts anywhere.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{Node, draft, forge, link::exchange};
use muster_protocol::{
    control::Role,
    fork::ForkProof,
    identity::Identity,
    ids::{LogId, SpaceId},
};

/// A home, a witness, and a member whose copied folder went on writing the same log.
fn forked() -> (Node, Node, Node, Node, SpaceId) {
    let (ada, eve, bob, twin) = (Node::new(1), Node::new(3), Node::new(2), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    eve.join(&ada, space, Role::Member);
    bob.learn_control(&ada, space);
    twin.learn(&ada, space);
    assert_eq!(bob.store.incarnation(), twin.store.incarnation(), "the test's own premise");
    let tester = bob.session(space, "tester", "builders");
    bob.say(space, &tester, "thread_one", "b1", "before the copy");
    twin.take(space, bob.operations(space));
    bob.say(space, &tester, "thread_one", "b2", "bob goes on");
    bob.say(space, &tester, "thread_one", "b3", "and on");
    twin.say(space, &tester, "thread_one", "t2", "so does the copy");
    (ada, eve, bob, twin, space)
}

#[test]
fn whoever_sees_both_sides_freezes_the_log_before_them() {
    let (ada, eve, bob, twin, space) = forked();
    ada.take(space, bob.operations(space));
    eve.take(space, twin.operations(space));
    let report = ada.take(space, twin.operations(space));
    assert_eq!(report.forks.len(), 1);
    assert_eq!(report.forks[0].verify().unwrap().1, 2);
    assert_eq!(ada.texts(space, "builders", "thread_one"), ["before the copy"]);

    eve.take(space, bob.operations(space));
    assert_eq!(eve.texts(space, "builders", "thread_one"), ["before the copy"]);
    assert_eq!(ada.digest(space), eve.digest(space));
    assert_eq!(ada.picture(space), eve.picture(space));
}

#[test]
fn who_sends_from_a_frozen_log_is_told_the_proof() {
    let (ada, eve, bob, twin, space) = forked();
    ada.take(space, bob.operations(space));
    ada.take(space, twin.operations(space));
    eve.take(space, bob.operations(space)); // eve saw one side only

    exchange(&ada, &eve);
    assert_eq!(eve.texts(space, "builders", "thread_one"), ["before the copy"]);
    assert_eq!(ada.digest(space), eve.digest(space));
}

#[test]
fn who_learns_that_their_log_forked_goes_on_in_another() {
    let (ada, _, bob, twin, space) = forked();
    ada.take(space, bob.operations(space));
    ada.take(space, twin.operations(space));
    exchange(&ada, &bob);
    let tester = bob.session(space, "tester", "builders");
    bob.say(space, &tester, "thread_one", "b4", "in a new log");
    exchange(&ada, &bob);
    assert_eq!(ada.texts(space, "builders", "thread_one"), ["before the copy", "in a new log"]);
    assert_eq!(ada.digest(space), bob.digest(space));
}

#[test]
fn what_follows_a_fork_is_refused_for_good() {
    let (ada, _, bob, twin, space) = forked();
    let ops = bob.operations(space);
    ada.take(space, ops[..2].to_vec());
    ada.take(space, twin.operations(space));
    let report = ada.take(space, ops[2..].to_vec());
    assert_eq!((report.refused.len(), report.forks.len()), (1, 1));
    assert_eq!(ada.heights(space).iter().map(|height| height.seq).sum::<u64>(), 1);
}

#[test]
fn two_sides_of_a_log_that_was_cut_off_do_not_look_alike() {
    let (ada, eve, bob, twin, space) = forked();
    ada.take(space, bob.operations(space)[..2].to_vec());
    eve.take(space, twin.operations(space));
    ada.remove(space, &bob);
    eve.learn_control(&ada, space);
    assert_eq!(ada.heights(space), eve.heights(space), "the test's own premise");
    assert_ne!(ada.digest(space), eve.digest(space));
}

#[test]
fn a_strangers_fork_is_nothing_to_us() {
    let ada = Node::new(1);
    let space = ada.found();
    let coder = ada.session(space, "coder", "builders");
    let stranger = Identity::from_seed([9; 32]);
    let log = LogId { space, author: stranger.node(), incarnation: 1 };
    let sides = ["one", "two"].map(|text| {
        let envelope = ada.envelope(space, &coder, "thread_one", "m1", text);
        forge(&stranger, 1, log, None, crate::support::START_MS, draft(space, &envelope))
    });
    let proof = ForkProof::of(&sides[0], &sides[1]).unwrap();
    ada.write(move |batch| batch.freeze(&proof, &log, 1));
    assert_eq!(ada.heights(space), []);
}
