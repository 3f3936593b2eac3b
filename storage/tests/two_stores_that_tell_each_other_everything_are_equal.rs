//! Convergence: nodes that hold the same operations show the same, in whatever order those came.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{
    Node,
    link::{exchange, exchange_all},
};
use muster_protocol::control::Role;

#[test]
fn logs_reach_the_other_node_through_the_sync_machine() {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    let (coder, tester) = (ada.session(space, "coder", "builders"), bob.session(space, "tester", "builders"));
    for number in 0..40 {
        ada.say(space, &coder, "thread_release", &format!("a{number}"), &format!("ada {number}"));
        bob.say(space, &tester, "thread_release", &format!("b{number}"), &format!("bob {number}"));
    }
    assert_ne!(ada.digest(space), bob.digest(space));

    exchange(&ada, &bob);
    assert_eq!(ada.digest(space), bob.digest(space));
    assert_eq!(ada.texts(space, "builders", "thread_release").len(), 80);
    assert_eq!(ada.picture(space), bob.picture(space));
}

#[test]
fn what_one_node_brings_from_a_third_counts_like_its_own() {
    let (ada, bob, eve) = (Node::new(1), Node::new(2), Node::new(3));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    eve.join(&ada, space, Role::Member);
    bob.learn_control(&ada, space);
    let said = eve.session(space, "scout", "builders");
    eve.say(space, &said, "thread_one", "e1", "from afar");

    exchange(&eve, &bob); // ada never meets eve
    exchange(&bob, &ada);
    assert_eq!(ada.texts(space, "builders", "thread_one"), ["from afar"]);
    assert_eq!(ada.digest(space), eve.digest(space));
}

#[test]
fn the_control_log_travels_before_what_cites_it() {
    let (ada, bob, eve) = (Node::new(1), Node::new(2), Node::new(3));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    eve.join(&ada, space, Role::Member); // bob has not heard of it
    let scout = eve.session(space, "scout", "builders");
    eve.say(space, &scout, "thread_one", "e1", "hello");
    exchange(&ada, &eve);

    exchange(&ada, &bob);
    assert_eq!(bob.texts(space, "builders", "thread_one"), ["hello"]);
    assert_eq!(bob.store.control(space).unwrap().height(), ada.store.control(space).unwrap().height());
}

#[test]
fn people_read_in_one_order_whatever_came_first() {
    let nodes = [Node::new(1), Node::new(2), Node::new(3)];
    let [ada, bob, eve] = &nodes;
    let space = ada.found();
    bob.join(ada, space, Role::Member);
    eve.join(ada, space, Role::Member);
    bob.learn_control(ada, space);
    let sessions: Vec<_> = nodes.iter().map(|node| node.session(space, "coder", "builders")).collect();
    for round in 0..5 {
        for (index, (node, session)) in nodes.iter().zip(&sessions).enumerate() {
            node.say(space, session, "thread_one", &format!("m{round}-{index}"), &format!("{round} {index}"));
        }
    }
    let logs: Vec<_> = nodes.iter().map(|node| node.operations(space)).collect();
    ada.take(space, logs[1].clone());
    ada.take(space, logs[2].clone());
    bob.take(space, logs[2].clone());
    bob.take(space, logs[0].clone());

    assert_eq!(ada.picture(space), bob.picture(space));
    let sequences = |node: &Node| -> Vec<u64> {
        node.thread(space, "builders", "thread_one").iter().map(|row| row.sequence).collect()
    };
    assert_ne!(sequences(ada), sequences(bob), "each node numbers by arrival");
    exchange_all(&[ada, bob, eve], space);
    assert_eq!(ada.picture(space), eve.picture(space));
}

#[test]
fn a_thread_is_opened_by_its_earliest_message_though_it_came_last() {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    let (coder, tester) = (ada.session(space, "coder", "builders"), bob.session(space, "tester", "builders"));
    bob.now_ms.set(ada.now_ms.get() - 5_000);
    bob.say(space, &tester, "thread_one", "early", "the question");
    ada.say(space, &coder, "thread_one", "late", "the answer");

    exchange(&ada, &bob);
    assert_eq!(ada.texts(space, "builders", "thread_one"), ["the question", "the answer"]);
    assert_eq!(ada.picture(space), bob.picture(space));
    assert!(ada.picture(space).contains("title: \"the question\""));
}

#[test]
fn the_newest_purpose_and_the_oldest_creation_win() {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    ada.open_channel(space, "builders", "build");
    bob.now_ms.set(ada.now_ms.get() + 7_000);
    bob.open_channel(space, "builders", "build and test");

    exchange(&ada, &bob);
    assert_eq!(ada.picture(space), bob.picture(space));
    let channels = ada.view().channels(&ada.workspace(space)).unwrap();
    assert_eq!(channels[0].purpose.as_deref(), Some("build and test"));
}
