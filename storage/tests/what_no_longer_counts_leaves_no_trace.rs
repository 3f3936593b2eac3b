//! Removals, changes of role and repeated ids: a node that hears late takes back what a node that heard in
//! time never let count. Sequences stay.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{
    Node, Session,
    link::exchange,
    recount::{assert_counts, by_node},
    talk::Said,
};
use muster_protocol::{
    cbor::Bytes,
    control::{Entry, Role, RoleSet},
    ids::SpaceId,
    network::{ChannelName, WorkState},
};
use muster_storage::SendOutcome;

/// A home, a member whose messages above the first the home never saw, and a third who saw them all.
fn cut() -> (Node, Node, Node, SpaceId, Session) {
    let (ada, bob, eve) = (Node::new(1), Node::new(2), Node::new(3));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    eve.join(&ada, space, Role::Member);
    bob.learn_control(&ada, space);
    let tester = bob.session(space, "tester", "builders");
    bob.say(space, &tester, "thread_one", "b1", "seen by the home");
    exchange(&ada, &bob);
    (ada, bob, eve, space, tester)
}

#[test]
fn what_the_home_had_not_seen_of_a_removed_member_is_void() {
    let (ada, bob, eve, space, tester) = cut();
    let waiting = eve.session(space, "scout", "builders");
    bob.say(space, &tester, "thread_one", "b2", "too late");
    bob.say(space, &tester, "thread_two", "b3", "too late as well");
    bob.open_channel(space, "spam", "buy");
    eve.take(space, bob.operations(space));
    assert_eq!(eve.inbox(space, &waiting).len(), 3);

    ada.remove(space, &bob);
    ada.take(space, bob.operations(space));
    eve.learn_control(&ada, space);
    bob.learn_control(&ada, space);
    for node in [&ada, &eve, &bob] {
        assert_eq!(node.texts(space, "builders", "thread_one"), ["seen by the home"]);
        assert_eq!(node.picture(space), ada.picture(space));
        assert_eq!(node.digest(space), ada.digest(space));
    }
    assert_eq!(eve.inbox(space, &waiting), ["seen by the home"], "void messages leave the inbox");
    let channels = eve.view().channels(&eve.workspace(space)).unwrap();
    assert_eq!(channels.len(), 1);
    assert_eq!((channels[0].message_count, channels[0].threads), (1, 1));
    assert_eq!(channels[0].last_message_preview, "seen by the home");
}

#[test]
fn void_messages_keep_their_sequences() {
    let (ada, bob, eve, space, tester) = cut();
    bob.say(space, &tester, "thread_one", "b2", "too late");
    eve.take(space, bob.operations(space));
    ada.remove(space, &bob);
    eve.learn_control(&ada, space);
    let scout = eve.session(space, "scout", "builders");
    assert_eq!(eve.say(space, &scout, "thread_one", "e1", "next"), 3);
    let channel = ChannelName::parse("builders").unwrap();
    let timeline = eve.view().timeline(&eve.workspace(space), &channel, 0, 10).unwrap();
    let places: Vec<_> = timeline.iter().map(|(sequence, row)| (*sequence, row.is_some())).collect();
    assert_eq!(places, [(1, true), (2, false), (3, true)]);
}

#[test]
fn a_thread_that_was_emptied_opens_anew() {
    let (ada, bob, eve, space, tester) = cut();
    bob.now_ms.set(bob.now_ms.get() + 60_000);
    bob.say(space, &tester, "thread_two", "b2", "too late");
    eve.take(space, bob.operations(space));
    ada.remove(space, &bob);
    eve.learn_control(&ada, space);
    let scout = ada.session(space, "scout", "builders");
    ada.say(space, &scout, "thread_two", "a1", "the real opening");
    exchange(&ada, &eve);
    assert_eq!(ada.picture(space), eve.picture(space));
    assert!(eve.picture(space).contains("title: \"the real opening\""));
    assert!(!eve.picture(space).contains("too late"));
}

#[test]
fn the_id_of_a_void_message_can_be_used_again() {
    let (ada, bob, _, space, tester) = cut();
    bob.say(space, &tester, "thread_one", "b2", "too late");
    ada.remove(space, &bob);
    bob.learn_control(&ada, space);
    let envelope = bob.envelope(space, &tester, "thread_one", "b2", "in time");
    assert_eq!(bob.send(space, &envelope), SendOutcome::NotAllowed);
    bob.join(&ada, space, Role::Member);
    assert!(matches!(bob.send(space, &envelope), SendOutcome::Stored { .. }));
    exchange(&ada, &bob);
    assert_eq!(ada.texts(space, "builders", "thread_one"), ["seen by the home", "in time"]);
}

#[test]
fn who_is_let_in_again_is_heard_again_though_their_log_was_closed() {
    let (ada, bob, eve, space, tester) = cut();
    bob.say(space, &tester, "thread_one", "b2", "too late");
    ada.remove(space, &bob);
    bob.join(&ada, space, Role::Member);
    bob.say(space, &tester, "thread_one", "b3", "back again");
    bob.say(space, &tester, "thread_one", "b4", "and again");
    exchange(&ada, &bob);
    exchange(&ada, &eve);
    for node in [&ada, &bob, &eve] {
        assert_eq!(
            node.texts(space, "builders", "thread_one"),
            ["seen by the home", "back again", "and again"]
        );
        assert_eq!(node.digest(space), ada.digest(space));
    }
}

#[test]
fn a_removed_member_gets_nothing_in_anywhere() {
    let (ada, bob, eve, space, tester) = cut();
    ada.remove(space, &bob);
    bob.say(space, &tester, "thread_one", "b2", "he has not heard yet");
    exchange(&bob, &eve); // nor has eve
    assert_eq!(eve.texts(space, "builders", "thread_one").len(), 2);
    exchange(&ada, &eve);
    exchange(&ada, &bob);
    for node in [&ada, &eve] {
        assert_eq!(node.texts(space, "builders", "thread_one"), ["seen by the home"]);
        assert_eq!(node.digest(space), ada.digest(space));
    }
}

fn set_role(home: &Node, space: SpaceId, node: &Node, role: Role, seen: u64) {
    let cut_offs = vec![(node.store.incarnation(), seen)];
    let set =
        RoleSet { node: node.identity.node(), role: role.code(), cut_offs, evidence: Bytes(Vec::new()) };
    assert!(home.force(space, &Entry::RoleSet(set)).control_grew);
}

#[test]
fn a_change_of_role_counts_the_same_before_and_after_it_is_heard_of() {
    let (ada, bob, eve, space, tester) = cut();
    bob.say(space, &tester, "thread_one", "b2", "as a member");
    bob.say(space, &tester, "thread_one", "b3", "above the cut");
    eve.take(space, bob.operations(space));
    set_role(&ada, space, &bob, Role::Guest, 2);
    ada.take(space, bob.operations(space)); // ada hears the role first, eve the messages
    eve.learn_control(&ada, space);
    assert_eq!(ada.texts(space, "builders", "thread_one"), ["seen by the home", "as a member"]);
    assert_eq!(ada.picture(space), eve.picture(space));

    // A promotion lets count what the home had not seen; what it had seen stays as it was judged.
    set_role(&ada, space, &bob, Role::Member, 2);
    eve.learn_control(&ada, space);
    let late = Node::new(4);
    late.join(&ada, space, Role::Guest);
    late.take(space, bob.operations(space));
    assert_eq!(late.texts(space, "builders", "thread_one").len(), 3);
    assert_eq!(ada.picture(space), late.picture(space));
    assert_eq!(eve.picture(space), late.picture(space));
}

#[test]
fn a_role_is_judged_by_the_height_each_message_cites() {
    let (ada, bob, eve, space, tester) = cut();
    set_role(&ada, space, &bob, Role::Guest, 1);
    bob.say(space, &tester, "thread_one", "b2", "has not heard that he is a guest");
    set_role(&ada, space, &bob, Role::Member, 2);
    bob.learn_control(&ada, space);
    bob.say(space, &tester, "thread_one", "b3", "a member again");
    for node in [&ada, &eve] {
        node.learn_control(&ada, space);
        node.take(space, bob.operations(space));
    }
    set_role(&ada, space, &bob, Role::Guest, 3);
    let late = Node::new(4);
    late.join(&ada, space, Role::Guest);
    late.take(space, bob.operations(space));
    eve.learn_control(&ada, space);
    bob.learn_control(&ada, space);
    for node in [&ada, &eve, &bob] {
        assert_eq!(node.picture(space), late.picture(space));
    }
}

#[test]
fn of_two_messages_with_one_id_the_first_in_peoples_order_counts_everywhere() {
    let (ada, bob, _, space, tester) = cut();
    // What a restored store does that forgot what it sent: the same id again, in another log.
    let twin = Node::again(2, 20);
    twin.learn(&ada, space);
    twin.now_ms.set(bob.now_ms.get() - 30_000);
    twin.say(space, &tester, "thread_two", "again", "the earlier one");
    bob.say(space, &tester, "thread_two", "again", "the later one");
    let other = Node::new(4);
    other.join(&ada, space, Role::Guest);
    let (first, second) = (twin.operations(space), bob.operations(space));
    ada.take(space, first.clone());
    ada.take(space, second.clone());
    other.take(space, second);
    assert_eq!(other.texts(space, "builders", "thread_two"), ["the later one"]);
    other.take(space, first);
    assert_eq!(other.texts(space, "builders", "thread_two"), ["the earlier one"]);
    assert_eq!(ada.picture(space), other.picture(space));
}

/// Counts everything on each node from its messages.
fn are_counted(nodes: &[&Node], space: SpaceId) {
    let known: Vec<_> = nodes.iter().map(|node| node.identity.node()).collect();
    nodes.iter().for_each(|node| assert_counts(node, space, by_node(known.clone())));
}

#[test]
fn work_stands_as_if_what_is_void_had_never_been_said_n47() {
    let (ada, bob, eve, space, tester) = cut();
    let scout = eve.session(space, "scout", "builders");
    let coder = ada.session(space, "coder", "builders");
    bob.now_ms.set(eve.now_ms.get());
    // Seen by the home: eve gives bob work, he takes it up. Not seen: he ends it, and opens some of his own.
    let opening = eve.message(space, &scout, "e1", Said::Say("do it")).thread("thread_work").to(&tester);
    eve.tell(space, opening.work("work_eve"));
    eve.give(&bob, space);
    let trace = |id: &str, state| bob.message(space, &tester, id, Said::Trace(state)).thread("thread_work");
    bob.tell(space, trace("b2", WorkState::NeedsInput).to(&scout).work("work_eve"));
    bob.give(&ada, space);
    eve.give(&ada, space);
    bob.tell(space, trace("b3", WorkState::Completed).to(&scout).work("work_eve"));
    let own = bob.message(space, &tester, "b4", Said::Say("do this")).thread("thread_own").to(&scout);
    bob.tell(space, own.work("work_bob"));
    bob.tell(space, bob.message(space, &tester, "b5", Said::Greet));
    bob.give(&eve, space);
    assert_eq!(eve.state(space, "work_eve"), Some(WorkState::Completed));
    assert_eq!(eve.state(space, "work_bob"), Some(WorkState::Submitted));
    // On what bob said, others went on.
    let on =
        eve.message(space, &scout, "e2", Said::Trace(WorkState::Working)).thread("thread_own").to(&tester);
    eve.tell(space, on.work("work_bob"));
    are_counted(&[&eve, &bob, &ada], space);
    let waiting = eve.waiting(space, &scout).len();

    ada.remove(space, &bob);
    eve.give(&ada, space);
    for node in [&eve, &bob] {
        node.learn_control(&ada, space);
        ada.give(node, space);
        eve.give(node, space);
    }
    for node in [&ada, &eve, &bob] {
        assert_eq!(node.state(space, "work_eve"), Some(WorkState::NeedsInput), "open again");
        assert_eq!(node.work(space, "work_bob"), None, "never opened");
        assert_eq!(node.picture(space), ada.picture(space));
    }
    are_counted(&[&eve, &bob, &ada], space);
    assert_eq!(eve.waiting(space, &scout).len(), waiting - 2, "end and opening leave the inbox");
    let eve = eve.reopened();
    assert_eq!(eve.picture(space), ada.picture(space));
    // The id is free again.
    let opening = ada.message(space, &coder, "a1", Said::Say("mine")).thread("thread_ada").to(&scout);
    assert!(matches!(ada.tell(space, opening.work("work_bob")), SendOutcome::Stored { .. }));
    assert_eq!(ada.work(space, "work_bob").unwrap().opened_by, coder.peer);
}

#[test]
fn an_earlier_copy_of_an_opening_takes_its_place_and_its_work_n83() {
    let (ada, bob, eve, space, tester) = cut();
    let coder = ada.session(space, "coder", "builders");
    let twin = Node::again(2, 20);
    twin.learn(&ada, space);
    twin.now_ms.set(bob.now_ms.get() - 30_000);
    let said = |node: &Node, thread: &str| {
        let opening = node.message(space, &tester, "again", Said::Say(thread)).thread(thread).to(&coder);
        assert!(matches!(node.tell(space, opening.work("work_1")), SendOutcome::Stored { .. }));
    };
    said(&twin, "thread_twin");
    said(&bob, "thread_bob");
    let trace = bob.message(space, &tester, "on", Said::Trace(WorkState::Working)).thread("thread_bob");
    bob.tell(space, trace.to(&coder).work("work_1"));
    let guest = Node::new(4);
    guest.join(&ada, space, Role::Guest);
    for node in [&eve, &guest] {
        node.now_ms.set(ada.now_ms.get().max(bob.now_ms.get()));
    }
    eve.take(space, twin.operations(space));
    eve.take(space, bob.operations(space));
    guest.take(space, bob.operations(space));
    assert_eq!(guest.work(space, "work_1").unwrap().container.id(), "thread_bob");
    guest.take(space, twin.operations(space));
    for node in [&eve, &guest] {
        let work = node.work(space, "work_1").unwrap();
        assert_eq!((work.container.id(), work.state), ("thread_twin", WorkState::Submitted));
        assert_eq!(node.picture(space), eve.picture(space));
    }
    are_counted(&[&ada, &bob, &eve, &guest], space);
}
