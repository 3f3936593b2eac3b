//! greet and whois are stored and told, and counted only as far as N-114 wants (N-17, N-18, N-90, N-112 to N-115).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};

use crate::support::{
    Node, Session,
    link::exchange,
    talk::{Message, Said},
};
use muster_protocol::{
    control::Role,
    ids::SpaceId,
    network::{ChannelName, Kind},
};
use muster_storage::{Changes, ChannelRow, Listener, SendOutcome, StoreError};

fn two() -> (Node, Node, SpaceId, Session, Session) {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    let (coder, tester) = (ada.session(space, "coder", "builders"), bob.session(space, "tester", "builders"));
    bob.now_ms.set(ada.now_ms.get());
    (ada, bob, space, coder, tester)
}

fn channel(node: &Node, space: SpaceId) -> ChannelRow {
    let name = ChannelName::parse("builders").unwrap();
    node.view().channel(&node.workspace(space), &name).unwrap().unwrap()
}

fn sent(outcome: SendOutcome) -> u64 {
    match outcome {
        SendOutcome::Stored { sequence } => sequence,
        other => panic!("not stored: {other:?}"),
    }
}

#[derive(Default, Clone)]
struct Heard(Arc<Mutex<Vec<(Kind, bool)>>>);

impl Listener for Heard {
    fn committed(&self, changes: Changes) {
        let told = changes.presence.iter().map(|told| (told.envelope.kind, told.envelope.to.is_some()));
        self.0.lock().unwrap().extend(told);
    }
    fn failed(&self, error: &StoreError) {
        panic!("{error}");
    }
}

#[test]
fn a_greet_makes_a_channel_and_is_no_message_of_it_n112_n114() {
    let (ada, bob, space, coder, tester) = two();
    let heard = Heard::default();
    bob.store.listen(Box::new(heard.clone()));
    assert_eq!(sent(ada.tell(space, ada.message(space, &coder, "g1", Said::Greet))), 1);
    exchange(&ada, &bob);
    for node in [&ada, &bob] {
        let row = channel(node, space);
        assert_eq!((row.message_count, row.threads, row.historical_participant_count), (0, 0, 1));
        assert_eq!((row.kind_counts, row.last_activity_ms), (vec![], None));
        assert_eq!(row.last_message_preview, "");
    }
    ada.say(space, &coder, "thread_one", "m1", "hello");
    sent(ada.tell(space, ada.message(space, &coder, "g2", Said::Greet)));
    exchange(&ada, &bob);
    for node in [&ada, &bob] {
        let row = channel(node, space);
        assert_eq!((row.message_count, row.kind_counts), (1, vec![(Kind::Say, 1)]));
        assert_eq!(row.last_message_preview, "hello", "a later greet is no activity");
    }
    assert_eq!(bob.inbox(space, &tester), ["hello"], "a greet reaches no inbox");
    assert_eq!(*heard.0.lock().unwrap(), [(Kind::Greet, false); 2], "presence is told of each once");
}

#[test]
fn a_public_question_is_counted_and_a_directed_one_is_between_the_two_n90_n114() {
    let (ada, bob, space, coder, tester) = two();
    let eve = Node::new(3);
    eve.join(&ada, space, Role::Member);
    let heard = Heard::default();
    bob.store.listen(Box::new(heard.clone()));
    sent(ada.tell(space, ada.message(space, &coder, "w1", Said::Whois)));
    let directed = ada.message(space, &coder, "w2", Said::Whois).to(&tester);
    assert_eq!(sent(ada.send_to(space, bob.identity.node(), directed)), 1, "a timeline of its own");
    exchange(&ada, &bob);
    exchange(&ada, &eve);
    for (node, participants) in [(&ada, 2), (&bob, 2), (&eve, 1)] {
        let row = channel(node, space);
        assert_eq!((row.message_count, row.kind_counts), (1, vec![(Kind::Whois, 1)]));
        assert_eq!(row.historical_participant_count, participants, "of any message this node holds");
        assert_eq!(row.last_message_preview, "who");
        assert_eq!((row.threads, row.rooms), (0, 0));
    }
    assert!(bob.waiting(space, &tester).is_empty(), "requests reach no inbox");
    assert_eq!(*heard.0.lock().unwrap(), [(Kind::Whois, false), (Kind::Whois, true)]);

    // The answer is for the one who asked, and waits for it.
    let mut answer = bob.message(space, &tester, "r1", Said::Greet).to(&coder);
    answer.0.kind = Kind::Whois;
    answer.0.body.insert("type".to_owned(), "response".into());
    answer.0.reply_to = Some(muster_protocol::network::LinkId::parse("w2").unwrap());
    sent(bob.send_to(space, ada.identity.node(), answer));
    exchange(&ada, &bob);
    assert_eq!(ada.waiting(space, &coder).len(), 1, "N-86, N-90");
    assert_eq!(channel(&ada, space).message_count, 1);
    let ada = ada.reopened();
    assert_eq!(ada.waiting(space, &coder)[0].kind, Kind::Whois);
}

#[test]
fn kinds_are_counted_in_their_order_n115() {
    let (ada, bob, space, coder, tester) = two();
    let say = |id: &str, said| ada.message(space, &coder, id, said).thread("thread_one");
    let opening: Message = say("m1", Said::Say("do it")).to(&tester).work("work_1");
    sent(ada.tell(space, opening));
    use muster_protocol::network::{ReceiptStatus, WorkState};
    sent(ada.tell(space, say("m2", Said::Trace(WorkState::Working)).work("work_1")));
    sent(ada.tell(space, ada.message(space, &coder, "m3", Said::Whois)));
    sent(ada.tell(space, say("m4", Said::Receipt(ReceiptStatus::Accepted)).work("work_1")));
    sent(ada.tell(space, say("m5", Said::Say("well"))));
    sent(ada.tell(space, ada.message(space, &coder, "m6", Said::Greet)));
    exchange(&ada, &bob);
    let kinds = vec![(Kind::Say, 1), (Kind::Receipt, 1), (Kind::Whois, 1), (Kind::Trace, 1)];
    for node in [&ada, &bob] {
        let row = channel(node, space);
        assert_eq!(
            (row.kind_counts, row.message_count),
            (kinds.clone(), 4),
            "the directed opening is not public"
        );
    }
}
