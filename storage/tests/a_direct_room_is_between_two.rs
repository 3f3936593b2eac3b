//! Direct rooms: two peers, one room, seen by their nodes alone (N-32, N-33, N-38 to N-42, N-105, N-106, N-109).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{
    Node, START_MS, Session, forge,
    link::{exchange, exchange_all},
    recount::{assert_counts, by_node},
    talk::{Message, Said, Voice},
};
use muster_protocol::{
    control::Role,
    ids::{LogId, SpaceId, StreamId},
    network::{ChannelName, Container, DirectId, Kind, WorkId, WorkState},
    operation::{Draft, Operation},
};
use muster_storage::{ChannelRow, MessagePage, RoomRow, SendOutcome, UnknownCursor};

struct Two {
    ada: Node,
    bob: Node,
    space: SpaceId,
    coder: Session,
    tester: Session,
}

impl Two {
    fn new() -> Self {
        let (ada, bob) = (Node::new(1), Node::new(2));
        let space = ada.found();
        bob.join(&ada, space, Role::Member);
        let (coder, tester) =
            (ada.session(space, "coder", "builders"), bob.session(space, "tester", "builders"));
        bob.now_ms.set(ada.now_ms.get());
        Self { ada, bob, space, coder, tester }
    }

    fn ada_resolves(&self) -> bool {
        self.ada.resolve(self.space, self.bob.identity.node(), &self.coder, &self.tester)
    }

    fn bob_resolves(&self) -> bool {
        self.bob.resolve(self.space, self.ada.identity.node(), &self.tester, &self.coder)
    }

    fn ada_says(&self, id: &str, text: &str) -> SendOutcome {
        let message = self.ada.message(self.space, &self.coder, id, Said::Say(text)).room(&self.tester);
        self.ada.send_to(self.space, self.bob.identity.node(), message)
    }

    fn bob_says(&self, id: &str, text: &str) -> SendOutcome {
        let message = self.bob.message(self.space, &self.tester, id, Said::Say(text)).room(&self.coder);
        self.bob.send_to(self.space, self.ada.identity.node(), message)
    }

    fn at_ada(&self) -> RoomRow {
        self.ada.room(self.space, &self.coder, &self.tester).expect("ada has the room")
    }

    fn at_bob(&self) -> RoomRow {
        self.bob.room(self.space, &self.coder, &self.tester).expect("bob has the room")
    }

    fn exchange(&self) {
        exchange(&self.ada, &self.bob);
        assert_eq!(self.ada.picture(self.space), self.bob.picture(self.space));
        for node in [&self.ada, &self.bob] {
            assert_counts(
                node,
                self.space,
                by_node(vec![self.ada.identity.node(), self.bob.identity.node()]),
            );
        }
    }
}

fn stored(outcome: SendOutcome) -> u64 {
    match outcome {
        SendOutcome::Stored { sequence } => sequence,
        other => panic!("not stored: {other:?}"),
    }
}

fn channel(node: &Node, space: SpaceId) -> Option<ChannelRow> {
    node.view().channel(&node.workspace(space), &ChannelName::parse("builders").unwrap()).unwrap()
}

#[test]
fn a_resolved_room_is_empty_and_was_active_when_it_was_opened_n39() {
    let two = Two::new();
    assert!(two.ada_resolves());
    let room = two.at_ada();
    assert_eq!((room.message_count, room.open_work_count, room.last_message_preview.as_str()), (0, 0, ""));
    assert_eq!((room.opened_ms, room.last_activity_ms), (two.ada.now_ms.get(), two.ada.now_ms.get()));
    assert!(room.peer_a < room.peer_b, "N-35");
    assert_eq!(two.ada.in_room(two.space, &room), [], "N-109: it is there and holds nothing");
    let operations = two.ada.all_logs(two.ada.pair_space(two.space, two.bob.identity.node())).concat().len();
    assert!(two.ada_resolves());
    assert_eq!(two.at_ada(), room, "again changes nothing");
    let again = two.ada.all_logs(two.ada.pair_space(two.space, two.bob.identity.node())).concat().len();
    assert_eq!((operations, again), (1, 1), "and writes nothing");
    two.exchange();
    assert_eq!(two.at_bob(), room);
    assert!(two.bob_resolves());
    two.exchange();
    assert_eq!(two.at_ada(), room);
}

#[test]
fn both_sides_resolving_at_once_open_one_room_at_one_time_n39() {
    for ada_first in [true, false] {
        let two = Two::new();
        let early = two.ada.now_ms.get();
        let (first, second) = if ada_first { (&two.ada, &two.bob) } else { (&two.bob, &two.ada) };
        first.now_ms.set(early);
        second.now_ms.set(early + 30_000);
        assert!(two.ada_resolves() && two.bob_resolves());
        assert_eq!(two.at_ada().direct_id, two.at_bob().direct_id);
        assert_ne!(two.at_ada().opened_ms, two.at_bob().opened_ms, "the test's own premise");
        two.exchange();
        assert_eq!(two.at_ada(), two.at_bob());
        assert_eq!(two.at_ada().opened_ms, early + 1000, "the earlier one");
        assert_eq!(two.at_ada().last_activity_ms, early + 1000);
        let row = channel(&two.ada, two.space).expect("a channel is there for its room, too");
        assert_eq!((row.rooms, row.message_count), (1, 0));
        stored(two.ada_says("a1", "hello"));
        two.exchange();
        assert_eq!(channel(&two.bob, two.space).unwrap().rooms, 1);
    }
}

#[test]
fn resolving_changes_nothing_of_a_room_in_which_somebody_spoke_n39_n41() {
    let two = Two::new();
    assert_eq!(stored(two.ada_says("a1", "first")), 1, "a message opens the room");
    let spoken = two.at_ada();
    assert_eq!((spoken.message_count, spoken.last_message_preview.as_str()), (1, "first"));
    assert_eq!(spoken.opened_ms, spoken.last_activity_ms);
    // Bob resolves later and has not heard of the message; and once more, earlier than all.
    two.bob.now_ms.set(two.ada.now_ms.get() + 60_000);
    assert!(two.bob_resolves());
    two.exchange();
    assert_eq!(two.at_bob(), spoken, "whoever came late opened nothing");
    assert!(two.ada_resolves());
    assert_eq!(two.at_ada(), spoken);
    stored(two.bob_says("b1", "second"));
    two.exchange();
    let room = two.at_ada();
    assert_eq!((room.message_count, room.last_message_preview.as_str()), (2, "second"));
    assert_eq!(room.opened_ms, spoken.opened_ms);

    let two = Two::new();
    two.ada.now_ms.set(two.bob.now_ms.get() + 60_000);
    stored(two.ada_says("a1", "first"));
    let spoken = two.at_ada();
    assert!(two.bob_resolves());
    let resolved = two.at_bob().opened_ms;
    two.exchange();
    let room = two.at_ada();
    assert_eq!(room.opened_ms, resolved, "the earlier one opened it, though it was heard of later");
    assert_eq!((room.last_activity_ms, room.message_count), (spoken.last_activity_ms, 1));
}

#[test]
fn a_third_node_neither_stores_nor_lists_the_room_n33() {
    let two = Two::new();
    let eve = Node::new(3);
    eve.join(&two.ada, two.space, Role::Member);
    two.ada.say(two.space, &two.coder, "thread_one", "t1", "for all");
    two.ada_says("a1", "for one");
    two.bob_says("b1", "back");
    exchange_all(&[&two.ada, &two.bob, &eve], two.space);
    two.exchange();
    assert_eq!(eve.rooms(two.space, "builders"), []);
    assert!(!eve.picture(two.space).contains("for one"));
    let pair = two.ada.pair_space(two.space, two.bob.identity.node());
    assert!(eve.heights(pair).is_empty() && eve.store.control(pair).is_none());
    let shown = [&two.ada, &two.bob, &eve].map(|node| channel(node, two.space).unwrap());
    assert_eq!(shown.each_ref().map(|row| (row.message_count, row.rooms)), [(1, 1), (1, 1), (1, 0)], "N-114");
    assert_eq!(two.at_ada().message_count, 2);
    assert_eq!(two.ada.waiting(two.space, &two.coder).len(), 1);
    assert_eq!(two.bob.waiting(two.space, &two.tester).len(), 2);
}

#[test]
fn two_peers_of_one_node_have_a_room_too_n32_n90() {
    let two = Two::new();
    let (ada, space, me) = (&two.ada, two.space, two.ada.identity.node());
    let (scout, other) = (ada.session(space, "scout", "builders"), ada.session(space, "other", "builders"));
    assert!(ada.resolve(space, me, &two.coder, &scout));
    let message = ada.message(space, &two.coder, "m1", Said::Say("psst")).room(&scout);
    assert_eq!(stored(ada.send_to(space, me, message)), 1);
    assert_eq!(ada.inbox(space, &scout), ["psst"]);
    assert!(ada.inbox(space, &two.coder).is_empty() && ada.inbox(space, &other).is_empty());
    let ada = two.ada.reopened();
    assert_eq!(ada.room(space, &two.coder, &scout).unwrap().message_count, 1);
    assert_eq!(ada.inbox(space, &scout), ["psst"]);
    exchange(&ada, &two.bob);
    assert_eq!(two.bob.rooms(space, "builders"), []);
}

#[test]
fn what_does_not_stand_in_the_room_of_its_two_is_void_n42() {
    let two = Two::new();
    let eve = Voice::new(2, "eve", "builders"); // a peer of bob's node, which does as it likes
    let scout = two.ada.session(two.space, "scout", "builders");
    let pair = two.ada.pair_space(two.space, eve.node());
    let workspace = two.ada.workspace_ref(two.space);
    let said =
        |id: &str| Message::new(&workspace, &eve.session, id, (START_MS / 1000) as i64, Said::Say("psst"));
    let right = said("right").room(&two.coder);
    let room = right.0.container.clone();
    let mut wrong_room = said("wrong").room(&scout);
    wrong_room.0.container.clone_from(&room);
    let mut to_nobody = said("nobody").room(&two.coder);
    to_nobody.0.to = None;
    let mut as_other = said("other");
    as_other.0.from = scout.peer.clone();
    let as_other = as_other.room(&two.coder);
    let mut to_own = said("own");
    to_own = to_own.room(&two.tester);
    let in_thread = said("thread").thread("thread_one").to(&two.coder);
    let log = LogId { space: pair, author: eve.node(), incarnation: 70 };
    let mut ops: Vec<Operation> = Vec::new();
    let drafts = [wrong_room, to_nobody, as_other, to_own, in_thread]
        .map(|message| message.draft(&eve.identity, pair))
        .into_iter()
        .chain([Draft {
            stream: StreamId::direct_room(pair, "direct_x"),
            ..said("stream").room(&two.coder).draft(&eve.identity, pair)
        }])
        .chain([right.draft(&eve.identity, pair)]);
    for draft in drafts {
        let ms = START_MS + 1000 * ops.len() as u64;
        ops.push(forge(&eve.identity, 1, log, ops.last(), ms, draft));
    }
    let count = ops.len();
    let report = two.ada.take_from(eve.node(), pair, ops);
    assert_eq!(report.heights[0].seq, count as u64, "all are stored");
    let rooms = two.ada.rooms(two.space, "builders");
    assert_eq!(rooms.len(), 1, "{rooms:#?}");
    assert_eq!(
        (rooms[0].message_count, two.ada.in_room(two.space, &rooms[0])[0].envelope.id.as_str()),
        (1, "right")
    );
    assert!(channel(&two.ada, two.space).unwrap().message_count == 0);
    assert_eq!(two.ada.waiting(two.space, &scout).len(), 0);
    // In the space of all, a room's message means nothing.
    let log = LogId { space: two.space, author: eve.node(), incarnation: 71 };
    let height = two.ada.store.control(two.space).unwrap().height();
    let loud = said("loud").room(&two.coder).draft(&eve.identity, two.space);
    let before = two.ada.picture(two.space);
    two.ada.take(two.space, vec![forge(&eve.identity, height, log, None, START_MS, loud)]);
    assert_eq!(two.ada.picture(two.space), before);
}

#[test]
fn rooms_are_listed_newest_first_and_paged_with_and_without_a_peer_n106() {
    let two = Two::new();
    let (ada, space, me) = (&two.ada, two.space, two.ada.identity.node());
    let now = ada.now_ms.get();
    let peers: Vec<_> = (0..5).map(|n| ada.session(space, &format!("peer{n}"), "builders")).collect();
    let garden = ada.session(space, "peer0", "garden");
    let garden_two = ada.session(space, "peer1", "garden");
    // Rooms of coder with each; of the first two peers with each other; two of them in one second.
    for (turn, peer) in peers.iter().enumerate() {
        ada.now_ms.set(now + 1000 * (turn as u64 / 2));
        assert!(ada.resolve(space, me, &two.coder, peer));
    }
    ada.now_ms.set(now + 60_000);
    assert!(ada.resolve(space, me, &peers[0], &peers[1]));
    assert!(ada.resolve(space, me, &garden, &garden_two));
    let name = ChannelName::parse("builders").unwrap();
    let (view, workspace) = (ada.view(), ada.workspace(space));
    let listed = |peer: Option<&Session>, limit| {
        let mut all: Vec<RoomRow> = Vec::new();
        loop {
            let after = all.last().map(|room| room.direct_id.clone());
            let peer = peer.map(|session| &session.peer);
            let page = view.rooms(&workspace, &name, peer, after.as_ref(), limit).unwrap().unwrap();
            if page.is_empty() {
                return all;
            }
            assert!(page.len() <= limit);
            all.extend(page);
        }
    };
    for limit in [1, 2, 100] {
        let all = listed(None, limit);
        assert_eq!(all.len(), 6);
        let place = |room: &RoomRow| (u64::MAX - room.last_activity_ms, room.direct_id.clone());
        assert!(all.windows(2).all(|pair| place(&pair[0]) < place(&pair[1])), "newest first, then by id");
        let ties = all.windows(2).filter(|pair| pair[0].last_activity_ms == pair[1].last_activity_ms);
        assert!(ties.count() >= 2, "the test's own premise");
        assert_eq!(listed(Some(&peers[0]), limit).len(), 2);
        assert_eq!(listed(Some(&peers[4]), limit).len(), 1);
        assert_eq!(listed(Some(&two.coder), limit).len(), 5);
        assert_eq!(listed(Some(&two.tester), limit).len(), 0);
    }
    let between = listed(Some(&peers[1]), 100)[0].direct_id.clone();
    let page =
        |peer: &Session, after: &DirectId| view.rooms(&workspace, &name, Some(&peer.peer), Some(after), 9);
    assert_eq!(page(&two.coder, &between).unwrap(), Err(UnknownCursor), "a cursor outside the filter");
    assert!(page(&peers[0], &between).unwrap().is_ok());
    let elsewhere = ada.rooms(space, "garden")[0].direct_id.clone();
    let stray = view.rooms(&workspace, &name, None, Some(&elsewhere), 9).unwrap();
    assert_eq!(stray, Err(UnknownCursor), "a cursor of another channel");
    let unknown = DirectId::parse(&format!("direct_{:032x}", 1)).unwrap();
    assert_eq!(view.rooms(&workspace, &name, None, Some(&unknown), 9).unwrap(), Err(UnknownCursor));
    let nowhere = ChannelName::parse("nowhere").unwrap();
    assert_eq!(view.rooms(&workspace, &nowhere, None, None, 9).unwrap(), Ok(Vec::new()), "N-107");
    // A message puts its room in front.
    let last = listed(None, 100).pop().unwrap();
    let with = peers.iter().find(|peer| [&last.peer_a, &last.peer_b].contains(&&peer.peer)).unwrap();
    let message = ada.message(space, &two.coder, "m1", Said::Say("up")).room(with);
    stored(ada.send_to(space, me, message));
    assert_eq!(ada.rooms(space, "builders")[0].direct_id, last.direct_id);
    assert_eq!(ada.rooms(space, "builders").len(), 6, "and nowhere else");
}

#[test]
fn messages_of_a_room_are_paged_both_ways_and_filtered_n109() {
    let two = Two::new();
    let b = two.bob.identity.node();
    for number in 0..12 {
        let said = if number % 4 == 3 { Said::Trace(WorkState::Working) } else { Said::Say("text") };
        let message = two.ada.message(two.space, &two.coder, &format!("m{number}"), said).room(&two.tester);
        let message = if number % 4 == 1 || number % 4 == 3 { message.work("work_1") } else { message };
        stored(two.ada.send_to(two.space, b, message));
    }
    two.exchange();
    for (node, room) in [(&two.ada, two.at_ada()), (&two.bob, two.at_bob())] {
        let page = |page: MessagePage| {
            let rows = node.room_page(two.space, &room, &page)?;
            Ok(rows
                .iter()
                .map(|row| row.envelope.id.as_str()[1..].parse::<u32>().unwrap())
                .collect::<Vec<_>>())
        };
        let work = || Some(WorkId::parse("work_1").unwrap());
        let cursor = |number: u32| Some(format!("m{number}"));
        let limit = || MessagePage { limit: 3, ..MessagePage::default() };
        assert_eq!(page(limit()), Ok(vec![0, 1, 2]));
        assert_eq!(page(MessagePage { after: cursor(4), ..limit() }), Ok(vec![5, 6, 7]));
        assert_eq!(page(MessagePage { before: cursor(4), ..limit() }), Ok(vec![1, 2, 3]));
        let traces = || MessagePage { kind: Some(Kind::Trace), ..limit() };
        assert_eq!(page(traces()), Ok(vec![3, 7, 11]));
        assert_eq!(page(MessagePage { after: cursor(3), ..traces() }), Ok(vec![7, 11]));
        assert_eq!(page(MessagePage { before: cursor(11), ..traces() }), Ok(vec![3, 7]));
        assert_eq!(page(MessagePage { after: cursor(4), ..traces() }), Err(UnknownCursor));
        let about = || MessagePage { work: work(), ..limit() };
        assert_eq!(page(about()), Ok(vec![1, 3, 5]));
        assert_eq!(page(MessagePage { before: cursor(9), ..about() }), Ok(vec![3, 5, 7]));
        assert_eq!(page(MessagePage { before: cursor(8), ..about() }), Err(UnknownCursor));
        let both = || MessagePage { kind: Some(Kind::Say), work: work(), ..limit() };
        assert_eq!(page(both()), Ok(vec![1, 5, 9]));
        assert_eq!(page(MessagePage { after: cursor(3), ..both() }), Err(UnknownCursor));
        let other = MessagePage { work: Some(WorkId::parse("work_2").unwrap()), ..limit() };
        assert_eq!(page(other), Ok(vec![]));
    }
    let unknown = Container::Direct(DirectId::parse(&format!("direct_{:032x}", 1)).unwrap());
    let (view, workspace) = (two.ada.view(), two.ada.workspace(two.space));
    let name = ChannelName::parse("builders").unwrap();
    let page = |after: Option<&str>| {
        let page = MessagePage { after: after.map(str::to_owned), limit: 3, ..MessagePage::default() };
        view.room_messages(&workspace, &name, unknown.direct_id().unwrap(), &page).unwrap()
    };
    assert_eq!((page(None), page(Some("m1"))), (Ok(vec![]), Err(UnknownCursor)));
}

#[test]
fn a_restart_and_a_removal_keep_a_room_n39() {
    let mut two = Two::new();
    assert!(two.ada_resolves());
    stored(two.ada_says("a1", "hello"));
    two.exchange();
    let room = two.at_ada();
    two.ada = two.ada.reopened();
    two.bob = two.bob.reopened();
    assert_eq!((two.at_ada(), two.at_bob()), (room.clone(), room.clone()));
    stored(two.bob_says("b1", "back"));
    two.exchange();
    two.ada.remove(two.space, &two.bob);
    two.bob.learn_control(&two.ada, two.space);
    assert_eq!(two.at_ada().message_count, 2, "what the two said to each other stays theirs");
    assert_eq!(two.bob_says("b2", "and"), SendOutcome::NotAllowed);
    assert!(!two.bob_resolves());
    let scout = two.bob.identity.node();
    let voice = Voice::new(2, "scout", "builders");
    assert!(
        two.ada.resolve(two.space, scout, &two.coder, &voice.session),
        "whom to speak to is for presence to say"
    );
    exchange(&two.ada, &two.bob);
    assert_eq!(two.bob.rooms(two.space, "builders").len(), 1, "nothing flows to who was removed");
}

#[test]
fn a_fork_takes_back_the_room_that_it_opened_and_a_new_log_opens_it_again() {
    for resolved in [true, false] {
        let (ada, bob, twin) = (Node::new(1), Node::new(2), Node::new(2));
        let space = ada.found();
        bob.join(&ada, space, Role::Member);
        let coder = ada.session(space, "coder", "builders");
        let tester = bob.session(space, "tester", "builders");
        twin.learn(&ada, space);
        let (a, b) = (ada.identity.node(), bob.identity.node());
        let pair = ada.pair_space(space, b);
        for (node, text, late_ms) in [(&bob, "one side", 0), (&twin, "the other", 5_000)] {
            node.now_ms.set(ada.now_ms.get() + late_ms);
            if resolved {
                assert!(node.resolve(space, a, &tester, &coder));
            }
            let message = node.message(space, &tester, text.split(' ').next().unwrap(), Said::Say(text));
            stored(node.send_to(space, a, message.room(&coder).work("work_1")));
        }
        bob.give(&ada, space);
        let room = ada.room(space, &coder, &tester).unwrap();
        assert_eq!((room.message_count, room.open_work_count), (1, 1));
        assert_eq!(channel(&ada, space).unwrap().open_work, 1);
        let report = ada.take_from(b, pair, twin.all_logs(pair).concat());
        assert!(!report.forks.is_empty(), "resolved: {resolved}");
        assert_eq!(ada.room(space, &coder, &tester), None);
        assert_eq!(ada.rooms(space, "builders"), []);
        assert_eq!(ada.work(space, "work_1"), None);
        assert!(ada.waiting(space, &coder).is_empty());
        assert_eq!(channel(&ada, space), None, "nothing is left of the channel");
        assert_counts(&ada, space, by_node(vec![a, b]));

        exchange(&ada, &bob);
        let message = bob.message(space, &tester, "again", Said::Say("in a new log")).room(&coder);
        stored(bob.send_to(space, a, message));
        exchange(&ada, &bob);
        assert_eq!(ada.room(space, &coder, &tester).unwrap().message_count, 1);
        assert_eq!(ada.picture(space), bob.picture(space));
        let ada = ada.reopened();
        assert_eq!(ada.picture(space), bob.picture(space));
        let bob = bob.reopened();
        let message = bob.message(space, &tester, "more", Said::Say("in the same new log")).room(&coder);
        stored(bob.send_to(space, a, message));
        exchange(&ada, &bob);
        assert_eq!(ada.heights(pair).len(), 1, "the log that followed is gone on with after a restart");
        assert_eq!(ada.picture(space), bob.picture(space));
    }
}

#[test]
fn a_restored_copy_begins_logs_of_its_own_in_pair_spaces_too() {
    let folder = tempfile::tempdir().unwrap();
    let two = Two::new();
    stored(two.ada_says("a1", "before the copy"));
    let path = folder.path().join("copy.redb");
    two.ada.store.backup(&path).unwrap();
    stored(two.ada_says("a2", "after the copy"));
    two.exchange();
    let copy = Node::open(muster_storage::Disk::File(path), 1, 20).unwrap();
    assert_eq!(copy.room(two.space, &two.coder, &two.tester).unwrap().message_count, 1);
    copy.now_ms.set(two.ada.now_ms.get() + 60_000);
    two.bob.now_ms.set(copy.now_ms.get());
    let b = two.bob.identity.node();
    let message = copy.message(two.space, &two.coder, "a3", Said::Say("in the copy")).room(&two.tester);
    stored(copy.send_to(two.space, b, message));
    exchange(&copy, &two.bob);
    for node in [&copy, &two.bob] {
        let room = node.room(two.space, &two.coder, &two.tester).unwrap();
        assert_eq!(room.message_count, 3);
        assert_eq!(
            node.heights(
                node.pair_space(
                    two.space,
                    if node.identity.node() == b { two.ada.identity.node() } else { b }
                )
            )
            .len(),
            2,
            "two lives, two logs, no fork"
        );
    }
    assert_eq!(copy.picture(two.space), two.bob.picture(two.space));
}
