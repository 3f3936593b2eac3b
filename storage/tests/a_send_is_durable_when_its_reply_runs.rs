//! Sending: acknowledged means on disk, once, under the id its sender chose (N-82, N-83, N-89).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use crate::support::{Node, Session, link::exchange};
use muster_protocol::{control::Role, ids::SpaceId};
use muster_storage::{Disk, SendOutcome};

fn on_disk(folder: &Path) -> Node {
    Node::open(Disk::File(folder.join("store.redb")), 1, 1).unwrap()
}

fn talking(node: &Node) -> (SpaceId, Session) {
    let space = node.found();
    (space, node.session(space, "coder", "builders"))
}

#[test]
fn what_was_answered_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (space, digest, picture) = {
        let node = on_disk(folder.path());
        let (space, coder) = talking(&node);
        assert_eq!(node.say(space, &coder, "thread_one", "m1", "one"), 1);
        assert_eq!(node.say(space, &coder, "thread_one", "m2", "two"), 2);
        (space, node.digest(space), node.picture(space))
    };
    let node = on_disk(folder.path());
    assert_eq!(node.texts(space, "builders", "thread_one"), ["one", "two"]);
    assert_eq!((node.digest(space), node.picture(space)), (digest, picture));
}

#[test]
fn sequences_are_dense_and_go_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (space, coder) = {
        let node = on_disk(folder.path());
        let (space, coder) = talking(&node);
        let sequences: Vec<_> =
            (0..3).map(|n| node.say(space, &coder, "thread_one", &format!("m{n}"), "text")).collect();
        assert_eq!(sequences, [1, 2, 3]);
        (space, coder)
    };
    let node = on_disk(folder.path());
    node.now_ms.set(node.now_ms.get() - 50_000); // the clock went back meanwhile
    assert_eq!(node.say(space, &coder, "thread_one", "m3", "text"), 4);
    let ops = node.operations(space);
    assert!(
        ops.windows(2).all(|pair| pair[0].header().hlc < pair[1].header().hlc),
        "time inside a log grows"
    );
    assert!(ops.windows(2).all(|pair| pair[1].header().prev == pair[0].id()));
    let events = node.view().events(0, 100).unwrap();
    assert!(events.iter().map(|event| event.number).eq(1..=events.len() as u64), "events are dense");
    assert_eq!(node.store.last_event(), events.len() as u64);
}

#[test]
fn the_same_message_again_changes_nothing() {
    let node = Node::new(1);
    let (space, coder) = talking(&node);
    node.say(space, &coder, "thread_one", "m1", "one");
    let before = (node.digest(space), node.store.last_event());
    node.tick(); // a retry has another time, and so another proof
    let again = node.envelope(space, &coder, "thread_one", "m1", "one");
    assert_eq!(node.send(space, &again), SendOutcome::Repeated);
    assert_eq!((node.digest(space), node.store.last_event()), before);
}

#[test]
fn another_message_under_the_same_id_is_a_conflict() {
    let node = Node::new(1);
    let (space, coder) = talking(&node);
    node.say(space, &coder, "thread_one", "m1", "one");
    for (thread, text) in [("thread_one", "two"), ("thread_two", "one")] {
        let other = node.envelope(space, &coder, thread, "m1", text);
        assert_eq!(node.send(space, &other), SendOutcome::Conflict);
    }
    let colleague = node.session(space, "tester", "builders");
    let same = node.envelope(space, &colleague, "thread_one", "m1", "one");
    assert_eq!(node.send(space, &same), SendOutcome::Conflict);
    assert_eq!(node.texts(space, "builders", "thread_one"), ["one"]);
}

#[test]
fn a_strangers_message_burns_nobodys_id() {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let (space, coder) = talking(&ada);
    bob.join(&ada, space, Role::Member);
    let tester = bob.session(space, "tester", "builders");
    bob.say(space, &tester, "thread_one", "m1", "mine");
    exchange(&ada, &bob);
    assert_eq!(ada.say(space, &coder, "thread_one", "m1", "also mine"), 2);
    exchange(&ada, &bob);
    assert_eq!(bob.texts(space, "builders", "thread_one"), ["mine", "also mine"]);
    let again = ada.envelope(space, &coder, "thread_one", "m1", "also mine");
    assert_eq!(ada.send(space, &again), SendOutcome::Repeated);
}

#[test]
fn who_is_no_member_sends_nothing() {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let (space, _) = talking(&ada);
    bob.join(&ada, space, Role::Member);
    let tester = bob.session(space, "tester", "builders");
    ada.remove(space, &bob);
    bob.learn_control(&ada, space);
    let envelope = bob.envelope(space, &tester, "thread_one", "m1", "hello?");
    assert_eq!(bob.send(space, &envelope), SendOutcome::NotAllowed);
    assert!(bob.heights(space).is_empty());
}
