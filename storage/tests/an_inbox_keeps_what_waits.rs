//! Inboxes of local sessions (N-90, N-97 to N-102).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{Node, Session, link::exchange};
use muster_protocol::{control::Role, ids::SpaceId, network::PeerName};
use muster_storage::{Disk, SessionState};

/// Inboxes hold three here.
fn two_sessions(node: &Node) -> (SpaceId, Session, Session) {
    let space = node.found();
    (space, node.session(space, "coder", "builders"), node.session(space, "tester", "builders"))
}

#[test]
fn the_oldest_comes_first_and_a_sender_never_gets_its_own() {
    let node = Node::new(1);
    let (space, coder, tester) = two_sessions(&node);
    let elsewhere = node.session(space, "scout", "garden");
    node.say(space, &coder, "thread_one", "m1", "one");
    node.say(space, &coder, "thread_one", "m2", "two");
    assert_eq!(node.inbox(space, &tester), ["one", "two"]);
    assert!(node.inbox(space, &coder).is_empty());
    assert!(node.inbox(space, &elsewhere).is_empty(), "another channel is another room");
}

#[test]
fn what_names_a_peer_goes_to_that_peer_alone() {
    let node = Node::new(1);
    let (space, coder, tester) = two_sessions(&node);
    let third = node.session(space, "scout", "builders");
    let mut envelope = node.envelope(space, &coder, "thread_one", "m1", "for you");
    envelope.to = Some(tester.peer.clone());
    node.sign(&mut envelope);
    node.send(space, &envelope);
    assert_eq!(node.inbox(space, &tester), ["for you"]);
    assert!(node.inbox(space, &third).is_empty());
}

#[test]
fn a_full_inbox_drops_its_oldest() {
    let node = Node::new(1);
    let (space, coder, tester) = two_sessions(&node);
    for number in 0..5 {
        node.say(space, &coder, "thread_one", &format!("m{number}"), &number.to_string());
    }
    assert_eq!(node.inbox(space, &tester), ["2", "3", "4"]);
    let row = node.view().session(&node.workspace(space), &tester.id).unwrap().unwrap();
    assert_eq!(row.waiting, 3);
}

#[test]
fn a_full_inbox_counts_right_after_one_in_its_middle_was_taken_back() {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let (space, coder, waiting) = two_sessions(&ada);
    bob.join(&ada, space, Role::Member);
    let tester = bob.session(space, "tester", "builders");
    let eve = Node::new(3);
    eve.join(&ada, space, Role::Member);
    bob.say(space, &tester, "thread_one", "b1", "void soon");
    // The home removes bob before it sees this; its own session has it from eve's copy of the log.
    let late = eve.session(space, "scout", "builders");
    eve.take(space, bob.operations(space));
    ada.say(space, &coder, "thread_one", "a1", "one");
    exchange_one_way(&ada, &eve, space);
    ada.remove(space, &bob);
    eve.learn_control(&ada, space);
    assert_eq!(eve.inbox(space, &late), ["one"]);
    for number in 2..6 {
        ada.say(space, &coder, "thread_one", &format!("a{number}"), &number.to_string());
    }
    exchange_one_way(&ada, &eve, space);
    assert_eq!(eve.inbox(space, &late), ["3", "4", "5"]);
    let row = eve.view().session(&eve.workspace(space), &late.id).unwrap().unwrap();
    assert_eq!(row.waiting, 3);
    assert_eq!(ada.inbox(space, &waiting), ["3", "4", "5"]);
}

fn exchange_one_way(from: &Node, to: &Node, space: SpaceId) {
    to.take(space, from.operations(space));
}

#[test]
fn what_expired_is_not_shown() {
    let node = Node::new(1);
    let (space, coder, tester) = two_sessions(&node);
    let mut envelope = node.envelope(space, &coder, "thread_one", "m1", "soon over");
    envelope.expires_at = Some(envelope.ts + 60);
    node.sign(&mut envelope);
    node.send(space, &envelope);
    node.say(space, &coder, "thread_one", "m2", "stays");
    assert_eq!(node.inbox(space, &tester), ["soon over", "stays"]);
    node.now_ms.set(node.now_ms.get() + 61_000);
    assert_eq!(node.inbox(space, &tester), ["stays"]);
}

#[test]
fn stopping_a_session_drops_its_queue_and_keeps_the_history() {
    let node = Node::new(1);
    let (space, coder, tester) = two_sessions(&node);
    node.say(space, &coder, "thread_one", "m1", "one");
    let id = tester.id.clone();
    let stop = |node: &Node| {
        let id = id.clone();
        node.write(move |batch| batch.stop_session(space, &id, "done"))
    };
    assert_eq!(stop(&node), Some(true));
    assert_eq!(stop(&node), Some(false));
    assert!(node.inbox(space, &tester).is_empty());
    node.say(space, &coder, "thread_one", "m2", "two");
    assert!(node.inbox(space, &tester).is_empty(), "its peer left the channel");
    assert_eq!(node.texts(space, "builders", "thread_one"), ["one", "two"]);
    let row = node.view().session(&node.workspace(space), &tester.id).unwrap().unwrap();
    assert_eq!((row.state, row.waiting), (SessionState::Stopped, 0));
    assert_eq!(node.write(move |batch| batch.stop_session(space, "sess-none", "done")), None);
}

#[test]
fn an_inbox_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Node::open(Disk::File(folder.path().join("store.redb")), 1, 1).unwrap();
    let (space, coder, tester) = {
        let node = open();
        let (space, coder, tester) = two_sessions(&node);
        node.say(space, &coder, "thread_one", "m1", "one");
        (space, coder, tester)
    };
    let node = open();
    assert_eq!(node.inbox(space, &tester), ["one"]);
    node.say(space, &coder, "thread_one", "m2", "two");
    assert_eq!(node.inbox(space, &tester), ["one", "two"]);
}

#[test]
fn messages_of_other_nodes_wait_too() {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let (space, coder, _) = two_sessions(&ada);
    bob.join(&ada, space, Role::Member);
    let waiting = bob.session(space, "scout", "builders");
    ada.say(space, &coder, "thread_one", "m1", "hello over there");
    exchange(&ada, &bob);
    assert_eq!(bob.inbox(space, &waiting), ["hello over there"]);
    let row = &bob.thread(space, "builders", "thread_one")[0];
    assert_eq!((row.local, row.session_id.as_deref()), (false, Some(waiting.id.as_str())), "N-111");
}

#[test]
fn sessions_start_all_or_none() {
    let node = Node::new(1);
    let (space, coder, _) = two_sessions(&node);
    let before = node.view().sessions(&node.workspace(space)).unwrap().len();
    let new = ["coder", "nobody"].map(|agent| muster_storage::NewSession {
        id: format!("sess-{agent}"),
        agent: agent.to_owned(),
        channel: coder.channel.clone(),
        peer: PeerName::of_session(agent, "sess-1").unwrap(),
    });
    let started = node.write(move |batch| batch.start_sessions(space, &new));
    assert_eq!(started, Err(muster_storage::NotStarted::UnknownAgent("nobody".to_owned())));
    assert_eq!(node.view().sessions(&node.workspace(space)).unwrap().len(), before);
}
