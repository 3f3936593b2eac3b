//! What people and bots say: where it is listed, once, edited, deleted, and the same on every node.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{Node, link::exchange_all};
use muster_protocol::{
    control::Role,
    ids::{SpaceId, StreamId},
    principal::{Principal, Slug},
    stream::{StreamChanged, StreamPart},
};
use muster_storage::{Author, NotPosted, PostRow, Window};
use rand::{SeedableRng, seq::SliceRandom};
use ulid::Ulid;

impl Node {
    fn listed(&self, space: SpaceId, stream: StreamId) -> Vec<PostRow> {
        self.view().posts(&self.workspace(space), stream, Window::Newest, 1000).unwrap().0
    }

    fn listed_texts(&self, space: SpaceId, stream: StreamId) -> Vec<String> {
        self.listed(space, stream).into_iter().map(|row| row.text).collect()
    }

    /// Everything the Workspace door shows, but for sequences, which are each node's own.
    fn door_picture(&self, space: SpaceId) -> String {
        let (view, workspace) = (self.view(), self.workspace(space));
        let mut picture = String::new();
        for stream in view.streams(&workspace, None, |_| Ok(true), 1000).unwrap() {
            picture += &format!("{stream:?}\n");
            for part in view.members_of(stream.id, None, 1000).unwrap() {
                picture += &format!("  {part:?}\n");
            }
            let mut rows = view.posts(&workspace, stream.id, Window::Newest, 1000).unwrap().0;
            rows.sort_by_key(|row| (row.created_ms, row.id));
            for row in rows {
                picture += &format!("  {:?}\n", PostRow { sequence: 0, ..row });
            }
        }
        for person in view.people(&workspace, None, |_| true, 1000).unwrap() {
            picture += &format!("{person:?}\n");
        }
        for bot in view.bots(&workspace, |_| true).unwrap() {
            picture += &format!("{bot:?}\n");
        }
        picture
    }
}

/// A workspace of one node with a person who takes part in `builders`.
fn workshop() -> (Node, SpaceId, Principal, StreamId) {
    let ada = Node::new(1);
    let space = ada.found();
    ada.open_channel(space, "builders", "Building");
    let person = ada.user(space, "ada");
    ada.name(&ada, space, person, "ada");
    ada.take_part(space, "builders", person, true);
    let channel = StreamId::channel(space, "builders");
    (ada, space, person, channel)
}

#[test]
fn a_message_stands_in_its_channel_and_its_answers_in_the_thread_below_w67_w73_w78() {
    let (ada, space, person, channel) = workshop();
    let root = ada.post_in(space, channel, person, "Shall we?").unwrap();
    assert_eq!(ada.listed(space, channel)[0].thread.map(|_| ()), None, "nobody answered yet");
    let thread = StreamId::thread(channel, &muster_protocol::post::thread_of(root));
    ada.post_in(space, thread, person, "Yes.").expect_err("there is no thread before somebody opens it");
    let opened = StreamChanged {
        channel: "builders".into(),
        thread: muster_protocol::post::thread_of(root),
        part: StreamPart::Opened { kind: muster_protocol::stream::StreamKind::Thread, slug: None, by: None },
    };
    assert!(ada.write(move |batch| batch.change_stream(space, channel, &opened)));
    ada.post_in(space, thread, person, "Yes.").unwrap();
    assert_eq!(ada.listed_texts(space, channel), ["Shall we?"]);
    assert_eq!(ada.listed_texts(space, thread), ["Yes."]);
    let row = &ada.listed(space, channel)[0];
    assert_eq!((row.replies, row.thread, row.id), (1, Some(thread), root));
    let stream = ada.view().stream(&ada.workspace(space), thread).unwrap().unwrap();
    assert_eq!((stream.root, stream.parent_message, stream.is_public), (channel, Some(root), true));
}

#[test]
fn both_doors_show_one_conversation() {
    let (ada, space, person, channel) = workshop();
    let session = ada.session(space, "coder", "builders");
    ada.say(space, &session, "thread_plan", "m1", "from a session");
    ada.say(space, &session, "thread_plan", "m2", "and again");
    let root = ada.post_in(space, channel, person, "from a person").unwrap();
    assert_eq!(ada.listed_texts(space, channel), ["from a session", "from a person"]);
    let of_session = &ada.listed(space, channel)[0];
    assert!(matches!(&of_session.author, Author::Agent { name, .. } if name == "coder"));
    assert_eq!(ada.listed_texts(space, of_session.thread.unwrap()), ["and again"]);
    assert_eq!(ada.texts(space, "builders", &muster_protocol::post::thread_of(root)), ["from a person"]);
    assert_eq!(ada.inbox(space, &session), ["from a person"]);
    // The person answers the session, which shows in the Network door's thread.
    ada.post_in(space, of_session.thread.unwrap(), person, "hello you").unwrap();
    assert_eq!(ada.texts(space, "builders", "thread_plan"), ["from a session", "and again", "hello you"]);
}

#[test]
fn what_is_sent_again_under_its_own_name_is_stored_once_w47_w49_w50() {
    let (ada, space, person, channel) = workshop();
    let other = ada.bot(space, "", "helper");
    ada.name(&ada, space, other, "helper");
    ada.take_part(space, "builders", other, true);
    let first = ada.post_as(space, channel, person, "one", "c-1", &[]).unwrap();
    assert_eq!(ada.post_as(space, channel, person, "two", "c-1", &[]), Ok(first));
    assert_eq!(ada.listed_texts(space, channel), ["one"]);
    assert_eq!(ada.post_as(space, channel, other, "mine", "c-1", &[]), Err(NotPosted::NotTheirs));
    ada.open_channel(space, "garden", "Growing");
    ada.take_part(space, "garden", person, true);
    let elsewhere = StreamId::channel(space, "garden");
    assert_ne!(ada.post_as(space, elsewhere, person, "three", "c-1", &[]), Ok(first));
    assert_eq!(ada.write(move |batch| batch.delete_post(space, first, person)), Ok(()));
    assert_eq!(ada.post_as(space, channel, person, "again", "c-1", &[]), Ok(first), "it stays taken");
    assert_eq!(ada.listed_texts(space, channel), Vec::<String>::new());
    assert_eq!(ada.view().post_ever(&ada.workspace(space), first).unwrap().unwrap().text, "one");
}

#[test]
fn only_who_takes_part_writes_w36_w72() {
    let (ada, space, person, channel) = workshop();
    let stranger = ada.user(space, "eve");
    ada.name(&ada, space, stranger, "eve");
    assert_eq!(ada.post_in(space, channel, stranger, "hi"), Err(NotPosted::NotAMember));
    assert_eq!(ada.post_in(space, StreamId([9; 16]), person, "hi"), Err(NotPosted::UnknownStream));
    ada.take_part(space, "builders", person, false);
    assert_eq!(ada.post_in(space, channel, person, "hi"), Err(NotPosted::NotAMember));
    ada.take_part(space, "builders", person, true);
    let said = ada.post_in(space, channel, person, "hi").unwrap();
    let archived = |archived| StreamChanged {
        channel: "builders".into(),
        thread: String::new(),
        part: StreamPart::Archived(archived),
    };
    ada.write(move |batch| batch.change_stream(space, channel, &archived(true)));
    assert_eq!(ada.post_in(space, channel, person, "hi"), Err(NotPosted::Archived));
    let edit = move |batch: &mut muster_storage::Batch<'_>| {
        batch.edit_post(space, said, person, "ho".into(), Vec::new())
    };
    assert_eq!(ada.write(edit), Err(NotPosted::Archived));
    ada.write(move |batch| batch.change_stream(space, channel, &archived(false)));
    assert_eq!(ada.write(edit), Ok(()));
    assert_eq!(ada.listed_texts(space, channel), ["ho"]);
}

#[test]
fn an_edit_changes_the_text_alone_and_a_deletion_is_final_w69_w70_w71() {
    let (ada, space, person, channel) = workshop();
    let other = ada.bot(space, "", "helper");
    ada.name(&ada, space, other, "helper");
    ada.take_part(space, "builders", other, true);
    let id = ada.post_as(space, channel, person, "befor", "c-1", &[("k", "v")]).unwrap();
    let before = ada.listed(space, channel).remove(0);
    let edit = |author, text: &'static str| {
        ada.write(move |batch| batch.edit_post(space, id, author, text.into(), Vec::new()))
    };
    assert_eq!(edit(other, "mine"), Err(NotPosted::NotTheirs));
    assert_eq!(edit(person, "before"), Ok(()));
    let after = ada.listed(space, channel).remove(0);
    assert!(after.edited_ms.is_some_and(|at_ms| at_ms > after.created_ms));
    assert_eq!(PostRow { text: before.text.clone(), edited_ms: None, ..after }, before);
    let thread = muster_protocol::post::thread_of(id);
    assert_eq!(ada.texts(space, "builders", &thread), ["before"], "the other door shows it, too");

    let delete = |author| ada.write(move |batch| batch.delete_post(space, id, author));
    assert_eq!(delete(other), Err(NotPosted::NotTheirs));
    assert_eq!(delete(person), Ok(()));
    assert_eq!(delete(person), Err(NotPosted::UnknownMessage));
    assert_eq!(edit(person, "back"), Err(NotPosted::UnknownMessage));
    assert!(ada.listed(space, channel).is_empty());
    assert!(ada.texts(space, "builders", &thread).is_empty());
    let next = ada.post_in(space, channel, person, "next").unwrap();
    let row = ada.view().post(&ada.workspace(space), next).unwrap().unwrap();
    assert!(row.sequence > before.sequence, "a sequence is not used again");
}

#[test]
fn messages_are_found_by_all_pairs_of_their_metadata_newest_first_w65() {
    let (ada, space, person, channel) = workshop();
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    };
    let one = ada.post_as(space, channel, person, "one", "", &[("a", "1"), ("b", "2")]).unwrap();
    let two = ada.post_as(space, channel, person, "two", "", &[("a", "1")]).unwrap();
    let find = |wanted: &[(&str, &str)]| -> Vec<Ulid> {
        let rows = ada.view().posts_with(&ada.workspace(space), &pairs(wanted), |_| Ok(true), 10).unwrap();
        rows.into_iter().map(|row| row.id).collect()
    };
    assert_eq!(find(&[("a", "1")]), [two, one]);
    assert_eq!(find(&[("a", "1"), ("b", "2")]), [one]);
    assert_eq!(find(&[("a", "12")]), []);
    ada.write(move |batch| batch.delete_post(space, two, person)).unwrap();
    assert_eq!(find(&[("a", "1")]), [one]);
}

#[test]
fn a_window_of_a_stream_costs_what_it_holds_and_says_whether_there_is_more_w44_w45() {
    let (ada, space, person, channel) = workshop();
    for number in 0..7 {
        ada.post_in(space, channel, person, &number.to_string()).unwrap();
    }
    let window = |window, limit| {
        let (rows, more) = ada.view().posts(&ada.workspace(space), channel, window, limit).unwrap();
        assert!(rows.is_sorted_by_key(|row| row.sequence));
        (rows.iter().map(|row| row.text.clone()).collect::<Vec<_>>().join(""), more)
    };
    let sequence =
        |text: &str| ada.listed(space, channel).into_iter().find(|row| row.text == text).unwrap().sequence;
    assert_eq!(window(Window::Newest, 3), ("456".into(), true));
    assert_eq!(window(Window::Before(sequence("4")), 3), ("123".into(), true));
    assert_eq!(window(Window::Before(sequence("1")), 3), ("0".into(), false));
    assert_eq!(window(Window::After(0), 3), ("012".into(), true));
    assert_eq!(window(Window::After(sequence("3")), 3), ("456".into(), false));
    assert_eq!(window(Window::After(u64::MAX), 3), (String::new(), false));
}

/// A history in which everything happens, told to another node in many orders.
#[test]
fn whatever_order_things_arrive_in_every_node_shows_the_same() {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    let channel = StreamId::channel(space, "builders");
    let (one, other) = (ada.user(space, "ada"), bob.user(space, "bob"));
    ada.name(&ada, space, one, "ada");
    bob.name(&ada, space, other, "bob");
    ada.open_channel(space, "builders", "Building");
    ada.take_part(space, "builders", one, true);
    let session = bob.session(space, "coder", "builders");
    exchange_all(&[&ada, &bob], space);
    bob.take_part(space, "builders", other, true);
    let root = ada.post_as(space, channel, one, "root", "c", &[("k", "v")]).unwrap();
    let gone = ada.post_in(space, channel, one, "gone").unwrap();
    bob.say(space, &session, "thread_free", "m1", "free one");
    exchange_all(&[&ada, &bob], space);
    let thread = StreamId::thread(channel, &muster_protocol::post::thread_of(root));
    let name = muster_protocol::post::thread_of(root);
    bob.say(space, &session, &name, "m2", "an answer");
    let free = bob.listed(space, channel).iter().find(|row| row.text == "free one").unwrap().thread;
    assert_eq!(free, None);
    bob.post_in(space, thread, other, "a person answers").unwrap();
    ada.say(space, &ada.session(space, "coder", "builders"), "thread_free", "m3", "free two");
    ada.write(move |batch| batch.edit_post(space, root, one, "root, edited".into(), Vec::new())).unwrap();
    ada.write(move |batch| batch.delete_post(space, gone, one)).unwrap();
    bob.take_part(space, "builders", other, false);
    exchange_all(&[&ada, &bob], space);
    let shown = ada.door_picture(space);
    assert_eq!(shown, bob.door_picture(space));
    assert!(shown.contains("root, edited") && !shown.contains("\"gone\""));

    let logs = [ada.operations(space), bob.operations(space)];
    let mut dice = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    for round in 0..40 {
        let reader = Node::new(50 + round);
        reader.learn(&ada, space);
        // Each log in its own order, the two woven into each other at random.
        let mut turns: Vec<usize> =
            logs.iter().enumerate().flat_map(|(who, log)| vec![who; log.len()]).collect();
        turns.shuffle(&mut dice);
        let mut next = [0, 0];
        for who in turns {
            reader.take(space, vec![logs[who][next[who]].clone()]);
            next[who] += 1;
        }
        assert_eq!(reader.door_picture(space), shown, "round {round}");
        assert_eq!(reader.picture(space), ada.picture(space), "round {round}");
    }
}

#[test]
fn what_a_removed_node_said_is_taken_back_whole() {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    let channel = StreamId::channel(space, "builders");
    let (one, other) = (ada.user(space, "ada"), bob.user(space, "bob"));
    ada.name(&ada, space, one, "ada");
    bob.name(&ada, space, other, "bob");
    ada.open_channel(space, "builders", "Building");
    ada.take_part(space, "builders", one, true);
    ada.post_in(space, channel, one, "stays").unwrap();
    exchange_all(&[&ada, &bob], space);
    bob.take_part(space, "builders", other, true);
    let doomed = bob.post_in(space, channel, other, "never seen by the home").unwrap();
    let kept = bob.post_in(space, channel, other, "and edited").unwrap();
    bob.write(move |batch| batch.edit_post(space, kept, other, "twice".into(), Vec::new())).unwrap();
    bob.write(move |batch| batch.delete_post(space, doomed, other)).unwrap();
    let before = ada.door_picture(space);
    // Somebody hears bob, then of the removal; the home never heard what bob said last.
    let eve = Node::new(3);
    eve.learn(&ada, space);
    eve.take(space, ada.operations(space));
    eve.take(space, bob.operations(space));
    assert_eq!(eve.listed_texts(space, channel), ["stays", "twice"]);
    ada.remove(space, &bob);
    eve.learn_control(&ada, space);
    let people_gone = |picture: &str| -> Vec<String> {
        picture.lines().filter(|line| !line.contains("PersonRow")).map(str::to_owned).collect()
    };
    assert_eq!(people_gone(&eve.door_picture(space)), people_gone(&before));
    assert_eq!(
        Slug::parse("bob").ok().and_then(|slug| ada.view().named(&ada.workspace(space), &slug)),
        Some(other)
    );
}
