//! What is handed to a session's program, and what leaves an inbox otherwise (N-97 to N-102).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{Node, Session, text};
use muster_protocol::ids::SpaceId;
use muster_storage::{Disk, HandedOver, ProgramFailure, SessionRow};
use serde_json::{Value, json};

/// Inboxes hold three here.
fn two_sessions(node: &Node) -> (SpaceId, Session, Session) {
    let space = node.found();
    (space, node.session(space, "coder", "builders"), node.session(space, "tester", "builders"))
}

fn hand_over(
    node: &Node,
    space: SpaceId,
    session: &Session,
    finished: Option<&HandedOver>,
) -> Option<HandedOver> {
    let (id, finished) = (session.id.clone(), finished.map(|handed| handed.number));
    node.write(move |batch| batch.hand_over(space, &id, finished))
}

fn fail(node: &Node, space: SpaceId, session: &Session) -> ProgramFailure {
    let failure = ProgramFailure { kind: "process_exit".into(), summary: "it ended".into(), in_a_row: 1 };
    let (id, told) = (session.id.clone(), failure.clone());
    node.write(move |batch| batch.session_failed(space, &id, &told, false));
    failure
}

fn row(node: &Node, space: SpaceId, session: &Session) -> SessionRow {
    node.view().session(&node.workspace(space), &session.id).unwrap().unwrap()
}

/// Outcome, reason and message of each delivery told of.
fn deliveries(node: &Node) -> Vec<(Value, Value, Value)> {
    let events = node.view().events(0, 10_000).unwrap().into_iter();
    let deliveries = events.filter(|event| event.kind == "delivery").map(|event| event.data);
    deliveries
        .map(|data| (data["outcome"].clone(), data["reason"].clone(), data["message_id"].clone()))
        .collect()
}

#[test]
fn what_is_in_hand_does_not_wait_and_the_next_comes_when_it_is_done_n98_n99() {
    let node = Node::new(1);
    let (space, coder, tester) = two_sessions(&node);
    assert_eq!(hand_over(&node, space, &tester, None), None);
    for id in ["one", "two", "three"] {
        node.say(space, &coder, "thread_one", id, id);
    }
    let one = hand_over(&node, space, &tester, None).unwrap();
    assert_eq!(text(&one.envelope), "one");
    assert_eq!(node.inbox(space, &tester), ["two", "three"]);
    assert_eq!((row(&node, space, &tester).waiting, row(&node, space, &tester).busy), (2, true));
    assert!(deliveries(&node).is_empty(), "not taken up yet");

    let two = hand_over(&node, space, &tester, Some(&one)).unwrap();
    assert_eq!(text(&two.envelope), "two");
    assert_eq!(deliveries(&node), [(json!("delivered"), Value::Null, json!("one"))]);
    let three = hand_over(&node, space, &tester, Some(&two)).unwrap();
    assert_eq!(hand_over(&node, space, &tester, Some(&three)), None);
    assert_eq!((row(&node, space, &tester).waiting, row(&node, space, &tester).busy), (0, false));
    assert_eq!(deliveries(&node).len(), 3);
}

#[test]
fn what_was_in_hand_at_a_crash_is_handed_over_again_n101() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Node::open(Disk::File(folder.path().join("store.redb")), 1, 1).unwrap();
    let (space, tester) = {
        let node = open();
        let (space, coder, tester) = two_sessions(&node);
        node.say(space, &coder, "thread_one", "one", "one");
        node.say(space, &coder, "thread_one", "two", "two");
        hand_over(&node, space, &tester, None).unwrap();
        (space, tester)
    };
    let node = open();
    let again = hand_over(&node, space, &tester, None).unwrap();
    assert_eq!(text(&again.envelope), "one");
    assert_eq!(node.inbox(space, &tester), ["two"]);
}

#[test]
fn what_is_given_back_is_the_first_again_and_its_failure_is_seen_until_all_is_well_n100() {
    let node = Node::new(1);
    let (space, coder, tester) = two_sessions(&node);
    node.say(space, &coder, "thread_one", "one", "one");
    node.say(space, &coder, "thread_one", "two", "two");
    hand_over(&node, space, &tester, None).unwrap();
    let failure = fail(&node, space, &tester);
    assert_eq!(node.inbox(space, &tester), ["one", "two"]);
    assert_eq!((row(&node, space, &tester).failure, row(&node, space, &tester).restarts), (Some(failure), 1));

    let again = hand_over(&node, space, &tester, None).unwrap();
    assert_eq!(text(&again.envelope), "one");
    assert!(row(&node, space, &tester).failure.is_some(), "nothing is done yet");
    hand_over(&node, space, &tester, Some(&again)).unwrap();
    assert_eq!((row(&node, space, &tester).failure, row(&node, space, &tester).restarts), (None, 1));
}

#[test]
fn a_full_inbox_pushes_out_the_oldest_that_waits_never_what_is_in_hand_n97() {
    let node = Node::new(1);
    let (space, coder, tester) = two_sessions(&node);
    node.say(space, &coder, "thread_one", "m0", "0");
    let held = hand_over(&node, space, &tester, None).unwrap();
    for number in 1..6 {
        node.say(space, &coder, "thread_one", &format!("m{number}"), &number.to_string());
    }
    assert_eq!(node.inbox(space, &tester), ["3", "4", "5"]);
    let overflow = |id: &str| (json!("rejected"), json!("queue_overflow"), json!(id));
    assert_eq!(deliveries(&node), [overflow("m1"), overflow("m2")]);
    fail(&node, space, &tester);
    assert_eq!(node.inbox(space, &tester), ["0", "3", "4", "5"], "it was taken already: nothing is lost");
    node.say(space, &coder, "thread_one", "m6", "6");
    assert_eq!(node.inbox(space, &tester), ["4", "5", "6"]);
    assert_eq!(
        hand_over(&node, space, &tester, Some(&held)).map(|next| text(&next.envelope)),
        Some("4".into())
    );
    assert_eq!(deliveries(&node).len(), 4, "what was given back was not taken up");
}

#[test]
fn what_expires_goes_before_one_that_lives_and_is_told_n102() {
    let node = Node::new(1);
    let (space, coder, tester) = two_sessions(&node);
    let expiring = |id: &str, seconds: i64| {
        let mut envelope = node.envelope(space, &coder, "thread_one", id, id);
        envelope.expires_at = Some(envelope.ts + seconds);
        node.sign(&mut envelope);
        node.send(space, &envelope);
    };
    node.say(space, &coder, "thread_one", "lives", "lives");
    expiring("soon", 60);
    expiring("later", 600);
    node.now_ms.set(node.now_ms.get() + 61_000);
    node.say(space, &coder, "thread_one", "new", "new");
    assert_eq!(node.inbox(space, &tester), ["lives", "later", "new"]);
    let expired = |id: &str| (json!("rejected"), json!("expired"), json!(id));
    assert_eq!(deliveries(&node), [expired("soon")]);
    assert_eq!(row(&node, space, &tester).waiting, 3);

    assert!(node.store.next_expiry_s() > (node.now_ms.get() / 1000) as i64 - 120);
    node.now_ms.set(node.now_ms.get() + 600_000);
    assert!(node.store.next_expiry_s() <= (node.now_ms.get() / 1000) as i64);
    node.write(|batch| batch.sweep_inboxes(100));
    assert_eq!(node.store.next_expiry_s(), i64::MAX);
    assert_eq!(deliveries(&node), [expired("soon"), expired("later")]);
    assert_eq!(row(&node, space, &tester).waiting, 2);
}

#[test]
fn what_expired_is_handed_to_nobody_n102() {
    let node = Node::new(1);
    let (space, coder, tester) = two_sessions(&node);
    let mut envelope = node.envelope(space, &coder, "thread_one", "soon", "soon");
    envelope.expires_at = Some(envelope.ts + 60);
    node.sign(&mut envelope);
    node.send(space, &envelope);
    node.say(space, &coder, "thread_one", "lives", "lives");
    node.now_ms.set(node.now_ms.get() + 61_000);
    let handed = hand_over(&node, space, &tester, None).unwrap();
    assert_eq!(text(&handed.envelope), "lives");
}

#[test]
fn expiries_are_known_after_a_restart_n102() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Node::open(Disk::File(folder.path().join("store.redb")), 1, 1).unwrap();
    let (space, tester) = {
        let node = open();
        let (space, coder, tester) = two_sessions(&node);
        let mut envelope = node.envelope(space, &coder, "thread_one", "soon", "soon");
        envelope.expires_at = Some(envelope.ts + 60);
        node.sign(&mut envelope);
        node.send(space, &envelope);
        (space, tester)
    };
    let node = open();
    assert!(node.store.next_expiry_s() < i64::MAX);
    node.now_ms.set(node.now_ms.get() + 120_000);
    node.write(|batch| batch.sweep_inboxes(100));
    assert_eq!(row(&node, space, &tester).waiting, 0);
}

#[test]
fn stopping_drops_what_is_in_hand_too_n101() {
    let node = Node::new(1);
    let (space, coder, tester) = two_sessions(&node);
    node.say(space, &coder, "thread_one", "one", "one");
    let held = hand_over(&node, space, &tester, None).unwrap();
    let id = tester.id.clone();
    node.write(move |batch| batch.stop_session(space, &id, "user_canceled"));
    assert_eq!(hand_over(&node, space, &tester, Some(&held)), None);
    assert!(!row(&node, space, &tester).busy);
    assert!(deliveries(&node).is_empty());
}
