//! What lists and pages show (N-105, N-106, N-109, N-112, N-114, N-115, N-119).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{Node, Session, talk::Said, text};
use muster_protocol::{
    ids::SpaceId,
    network::{ChannelName, Kind, ThreadId, WorkId, WorkState},
};
use muster_storage::{ChannelRow, MessagePage, SendOutcome, UnknownCursor};

fn talking() -> (Node, SpaceId, Session, Session) {
    let node = Node::new(1);
    let space = node.found();
    let (coder, tester) =
        (node.session(space, "coder", "builders"), node.session(space, "tester", "builders"));
    (node, space, coder, tester)
}

fn channel(node: &Node, space: SpaceId) -> ChannelRow {
    let name = ChannelName::parse("builders").unwrap();
    node.view().channel(&node.workspace(space), &name).unwrap().unwrap()
}

fn directed(node: &Node, space: SpaceId, from: &Session, to: &Session, id: &str) {
    let mut envelope = node.envelope(space, from, "thread_one", id, "between us");
    envelope.to = Some(to.peer.clone());
    node.sign(&mut envelope);
    node.send(space, &envelope);
}

fn capability(node: &Node, space: SpaceId, from: &Session, id: &str) {
    let mut envelope = node.envelope(space, from, "thread_one", id, "");
    envelope.kind = Kind::Capability;
    let capability = serde_json::json!({ "id": "review", "summary": "reviews", "outcome": "a review" });
    envelope.body = serde_json::json!({ "capability": capability }).as_object().unwrap().clone();
    node.sign(&mut envelope);
    node.send(space, &envelope);
}

#[test]
fn a_channel_counts_its_public_messages_by_kind() {
    let (node, space, coder, tester) = talking();
    node.say(space, &coder, "thread_one", "m1", "one");
    node.say(space, &tester, "thread_two", "m2", "two");
    directed(&node, space, &coder, &tester, "m3");
    let row = channel(&node, space);
    assert_eq!((row.message_count, row.threads, row.historical_participant_count), (2, 2, 2));
    assert_eq!(row.kind_counts, [(Kind::Say, 2)]);
    assert_eq!(row.last_message_preview, "two", "a directed message is not public");
    let thread = ThreadId::parse("thread_one").unwrap();
    let thread = node.view().thread(&node.workspace(space), &row.name, &thread).unwrap().unwrap();
    assert_eq!((thread.message_count, thread.participant_count), (2, 1), "it counts in its thread");
    assert_eq!((thread.title.as_str(), thread.last_message_preview.as_str()), ("one", "between us"));
}

#[test]
fn kinds_come_in_their_order_and_without_zeros() {
    let (node, space, coder, _) = talking();
    capability(&node, space, &coder, "c1");
    node.say(space, &coder, "thread_one", "m1", "one");
    assert_eq!(channel(&node, space).kind_counts, [(Kind::Say, 1), (Kind::Capability, 1)]);
}

#[test]
fn creating_a_channel_again_replaces_its_purpose_only() {
    let (node, space, coder, _) = talking();
    node.say(space, &coder, "thread_one", "m1", "before anybody created it");
    assert_eq!(channel(&node, space).created_ms, None);
    node.open_channel(space, "builders", "build");
    let first = channel(&node, space);
    node.open_channel(space, "builders", "build and test");
    let second = channel(&node, space);
    assert_eq!(second.purpose.as_deref(), Some("build and test"));
    assert_eq!((second.created_by, second.created_ms), (first.created_by, first.created_ms));
    assert_eq!(second.message_count, 1);
}

#[test]
fn threads_are_listed_newest_first_and_paged() {
    let (node, space, coder, _) = talking();
    for number in 0..7 {
        node.say(space, &coder, &format!("thread_{number:03}"), &format!("m{number}"), "text");
    }
    node.say(space, &coder, "thread_002", "again", "text");
    let (view, workspace, name) =
        (node.view(), node.workspace(space), ChannelName::parse("builders").unwrap());
    let mut listed: Vec<ThreadId> = Vec::new();
    loop {
        let page = view.threads(&workspace, &name, listed.last(), 3).unwrap().unwrap();
        if page.is_empty() {
            break;
        }
        listed.extend(page.into_iter().map(|row| row.thread_id));
    }
    let expected = ["002", "006", "005", "004", "003", "001", "000"].map(|n| format!("thread_{n}"));
    assert!(listed.iter().map(ThreadId::as_str).eq(expected.iter().map(String::as_str)));
    let unknown = ThreadId::parse("thread_unknown").unwrap();
    assert_eq!(view.threads(&workspace, &name, Some(&unknown), 3).unwrap(), Err(UnknownCursor));
    let nowhere = ChannelName::parse("nowhere").unwrap();
    assert_eq!(view.threads(&workspace, &nowhere, None, 3).unwrap(), Ok(Vec::new()), "N-107");
}

#[test]
fn threads_of_one_second_are_listed_by_id() {
    let (node, space, coder, _) = talking();
    let now = node.now_ms.get();
    for thread in ["thread_bbb", "thread_aaa", "thread_ccc"] {
        node.now_ms.set(now);
        node.say(space, &coder, thread, thread, "text");
    }
    let name = ChannelName::parse("builders").unwrap();
    let rows = node.view().threads(&node.workspace(space), &name, None, 10).unwrap().unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row.thread_id.as_str()).collect();
    assert_eq!(ids, ["thread_aaa", "thread_bbb", "thread_ccc"]);
}

#[test]
fn messages_are_paged_both_ways_and_filtered() {
    let (node, space, coder, tester) = talking();
    let work = WorkId::parse("work_review_1").unwrap();
    for number in 0..10 {
        let mut envelope =
            node.envelope(space, &coder, "thread_one", &format!("m{number}"), &number.to_string());
        if number % 3 == 0 {
            envelope.to = Some(tester.peer.clone());
            envelope.work_id = Some(work.clone());
        }
        node.sign(&mut envelope);
        node.send(space, &envelope);
    }
    let page = |page: &MessagePage| {
        let rows = node.page(space, "builders", "thread_one", page)?;
        Ok(rows.iter().map(|row| text(&row.envelope)).collect::<Vec<_>>())
    };
    let cursor = |id: &str| Some(id.to_owned());
    let limit = MessagePage { limit: 3, ..MessagePage::default() };
    assert_eq!(page(&limit), Ok(vec!["0".into(), "1".into(), "2".into()]));
    let after = MessagePage { after: cursor("m2"), ..limit.clone() };
    assert_eq!(page(&after), Ok(vec!["3".into(), "4".into(), "5".into()]));
    let before = MessagePage { before: cursor("m8"), ..limit.clone() };
    assert_eq!(page(&before), Ok(vec!["5".into(), "6".into(), "7".into()]), "the nearest, oldest first");
    let first = MessagePage { before: cursor("m0"), ..limit.clone() };
    assert_eq!(page(&first), Ok(vec![]));
    let last = MessagePage { after: cursor("m9"), ..limit.clone() };
    assert_eq!(page(&last), Ok(vec![]));
    let worked = MessagePage { work: Some(work.clone()), after: cursor("m3"), ..limit.clone() };
    assert_eq!(page(&worked), Ok(vec!["6".into(), "9".into()]));
    let outside = MessagePage { work: Some(work), after: cursor("m4"), ..limit.clone() };
    assert_eq!(page(&outside), Err(UnknownCursor), "a cursor outside the filter");
    let unknown = MessagePage { after: cursor("nothing"), ..limit.clone() };
    assert_eq!(page(&unknown), Err(UnknownCursor));
    let kinds = MessagePage { kind: Some(Kind::Capability), ..limit };
    assert_eq!(page(&kinds), Ok(vec![]));
    node.say(space, &coder, "thread_two", "elsewhere", "text");
    let foreign = MessagePage { after: cursor("elsewhere"), limit: 3, ..MessagePage::default() };
    assert_eq!(page(&foreign), Err(UnknownCursor), "a cursor of another thread");
}

#[test]
fn a_filter_pages_through_a_long_thread_as_through_a_short_one_n109() {
    let (node, space, coder, tester) = talking();
    let message = |number: u32, said| {
        let message = node.message(space, &coder, &format!("m{number}"), said).thread("thread_one");
        if number == 0 || matches!(said, Said::Trace(_)) {
            return message.to(&tester).work("work_1").signed(&node.identity);
        }
        message.signed(&node.identity)
    };
    // Opening, three traces, 3000 says, three traces.
    for numbers in (0..3007).collect::<Vec<u32>>().chunks(500) {
        let envelopes: Vec<_> = numbers
            .iter()
            .map(|number| match number {
                1..=3 | 3004..=3006 => message(*number, Said::Trace(WorkState::Working)),
                _ => message(*number, Said::Say("text")),
            })
            .collect();
        node.write(move |batch| {
            for envelope in envelopes {
                let outcome = batch.send(space, None, &envelope, envelope.to_json().unwrap())?;
                assert!(matches!(outcome, SendOutcome::Stored { .. }), "{outcome:?}");
            }
            Ok(())
        });
    }
    let page = |before: Option<u32>, after: Option<u32>, work: bool, limit| {
        let cursor = |number: Option<u32>| number.map(|number| format!("m{number}"));
        let work = work.then(|| WorkId::parse("work_1").unwrap());
        let (before, after, kind) = (cursor(before), cursor(after), Some(Kind::Trace));
        let rows =
            node.page(space, "builders", "thread_one", &MessagePage { before, after, kind, work, limit })?;
        Ok(rows.iter().map(|row| row.envelope.id.as_str()[1..].parse().unwrap()).collect::<Vec<u32>>())
    };
    for work in [false, true] {
        assert_eq!(page(None, None, work, 100), Ok(vec![1, 2, 3, 3004, 3005, 3006]));
        assert_eq!(page(None, None, work, 4), Ok(vec![1, 2, 3, 3004]));
        assert_eq!(page(None, Some(3), work, 2), Ok(vec![3004, 3005]), "over what lies between");
        assert_eq!(page(Some(3004), None, work, 2), Ok(vec![2, 3]));
        assert_eq!(page(Some(3006), None, work, 100), Ok(vec![1, 2, 3, 3004, 3005]));
        assert_eq!(page(None, Some(3006), work, 2), Ok(vec![]));
        assert_eq!(page(Some(1), None, work, 2), Ok(vec![]));
        for outside in [0, 4, 1500, 3003] {
            assert_eq!(page(None, Some(outside), work, 2), Err(UnknownCursor), "a say is not in the filter");
            assert_eq!(page(Some(outside), None, work, 2), Err(UnknownCursor));
        }
    }
    let thread = node.thread_row(space, "builders", "thread_one").unwrap();
    assert_eq!((thread.message_count, thread.open_work_count, thread.participant_count), (3007, 1, 1));
}

#[test]
fn one_id_is_one_message_wherever_it_is_said_n83() {
    let (node, space, coder, tester) = talking();
    let me = node.identity.node();
    let to_all = || node.message(space, &coder, "m1", Said::Say("once")).thread("thread_one");
    let to_one = || node.message(space, &coder, "m1", Said::Say("once")).room(&tester);
    assert!(matches!(node.tell(space, to_all()), SendOutcome::Stored { .. }));
    node.tick();
    assert_eq!(node.tell(space, to_all()), SendOutcome::Repeated, "time and proof may differ");
    assert_eq!(node.send_to(space, me, to_one()), SendOutcome::Conflict);
    let others = [
        node.message(space, &coder, "m1", Said::Say("twice")).thread("thread_one"),
        to_all().thread("thread_two"),
        to_all().to(&tester),
        to_all().work("work_1").to(&tester),
        node.message(space, &tester, "m1", Said::Say("once")).thread("thread_one"),
    ];
    for other in others {
        assert_eq!(node.tell(space, other), SendOutcome::Conflict);
    }
    let node = node.reopened();
    let room = node.message(space, &coder, "m2", Said::Say("aside")).room(&tester);
    assert!(matches!(node.send_to(space, me, room.clone()), SendOutcome::Stored { .. }));
    assert_eq!(node.send_to(space, me, room), SendOutcome::Repeated);
    let aloud = node.message(space, &coder, "m2", Said::Say("aside")).thread("thread_one");
    assert_eq!(node.tell(space, aloud), SendOutcome::Conflict);
    assert_eq!(
        (node.texts(space, "builders", "thread_one").len(), node.rooms(space, "builders").len()),
        (1, 1)
    );
}

#[test]
fn a_message_to_a_session_that_stopped_is_kept_and_not_delivered_n121() {
    let (node, space, coder, tester) = talking();
    let id = tester.id.clone();
    node.write(move |batch| batch.stop_session(space, &id, "done"));
    let opening = node.message(space, &coder, "m1", Said::Say("do it")).thread("thread_one").to(&tester);
    assert!(matches!(node.tell(space, opening.work("work_1")), SendOutcome::Stored { .. }));
    let aside = node.message(space, &coder, "m2", Said::Say("psst")).room(&tester);
    assert!(matches!(node.send_to(space, node.identity.node(), aside), SendOutcome::Stored { .. }));
    assert!(node.waiting(space, &tester).is_empty());
    let thread = node.thread_row(space, "builders", "thread_one").unwrap();
    assert_eq!((thread.message_count, thread.open_work_count), (1, 1), "whoever is gone ends nothing, N-53");
    assert_eq!(node.room(space, &coder, &tester).unwrap().message_count, 1);
}

#[test]
fn a_poller_of_the_timeline_misses_nothing() {
    let (node, space, coder, _) = talking();
    let name = ChannelName::parse("builders").unwrap();
    let (mut seen, mut after) = (Vec::new(), 0);
    for number in 0..9 {
        node.say(space, &coder, "thread_one", &format!("m{number}"), "text");
        if number % 4 == 0 {
            for (sequence, row) in node.view().timeline(&node.workspace(space), &name, after, 2).unwrap() {
                (after, _) = (sequence, seen.push(row.unwrap().envelope.id));
            }
        }
    }
    for (_, row) in node.view().timeline(&node.workspace(space), &name, after, 100).unwrap() {
        seen.push(row.unwrap().envelope.id);
    }
    assert!(seen.iter().map(|id| id.as_str().to_owned()).eq((0..9).map(|number| format!("m{number}"))));
}
