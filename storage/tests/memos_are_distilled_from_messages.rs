//! Memos: made from messages, the same on every node in any order of arrival, and found by who can read the messages.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{Node, link::exchange_all};
use muster_protocol::{
    control::Role,
    ids::{SpaceId, StreamId},
    memo::{Knowledge, MemoText, Wanted},
    post::thread_of,
    principal::Principal,
    stream::{StreamChanged, StreamKind, StreamPart, TakesPart},
};
use muster_storage::{
    Author, MemoKind, MemoQuery, MemoReader, MemoRow, MemoStatus, NewMemo, NewPost, NotWritten, Touched,
};
use rand::{SeedableRng, seq::SliceRandom};
use ulid::Ulid;

const CHANNEL: &str = "builders";

impl Node {
    /// A shared bot of this node, the home.
    fn named_bot(&self, space: SpaceId, slug: &str) -> Principal {
        let id = self.bot(space, "", slug);
        self.name(self, space, id, slug);
        id
    }

    fn takes_part(&self, space: SpaceId, channel: &str, stream: StreamId, principal: Principal) {
        let takes_part =
            TakesPart { channel: channel.into(), principal: principal.to_string(), joined: true };
        assert!(self.write(move |batch| batch.take_part(space, stream, &takes_part)));
    }

    /// A scratchpad of a person of this node: its space and its id.
    fn scratchpad(&self, space: SpaceId, owner: Principal) -> (SpaceId, StreamId) {
        let (private, stream) = self.write(move |batch| batch.begin_group(space)).unwrap();
        let part = StreamPart::Opened { kind: StreamKind::Scratchpad, slug: None, by: Some(owner) };
        let opened = StreamChanged { channel: String::new(), thread: String::new(), part };
        assert!(self.write(move |batch| batch.change_stream(private, stream, &opened)));
        self.takes_part(private, "", stream, owner);
        (private, stream)
    }

    fn post(&self, space: SpaceId, stream: StreamId, author: Principal, text: &str) -> Ulid {
        self.post_typed(space, stream, author, text, None)
    }

    fn post_typed(
        &self,
        space: SpaceId,
        stream: StreamId,
        author: Principal,
        text: &str,
        kind: Option<&str>,
    ) -> Ulid {
        let new = NewPost {
            stream,
            author,
            text: text.into(),
            client_id: String::new(),
            metadata: kind.map(|kind| ("memo.type".into(), kind.into())).into_iter().collect(),
            sent_via: String::new(),
            attachments: Vec::new(),
            random: [self.fresh(); 5],
        };
        self.write(move |batch| batch.say_post(space, new)).unwrap()
    }

    fn edit(&self, space: SpaceId, id: Ulid, author: Principal, text: &'static str) {
        self.write(move |batch| batch.edit_post(space, id, author, text.into(), Vec::new())).unwrap();
    }

    fn delete(&self, space: SpaceId, id: Ulid, author: Principal) {
        self.write(move |batch| batch.delete_post(space, id, author)).unwrap();
    }

    fn write_by_hand(&self, space: SpaceId, title: &str, sources: &[Ulid]) -> Result<Ulid, NotWritten> {
        let text = MemoText {
            knowledge: Knowledge::Learning,
            title: title.into(),
            summary: "By hand.".into(),
            key_points: Vec::new(),
            tags: vec!["hand".into()],
        };
        let new = NewMemo { text, sources: sources.to_vec(), random: [self.fresh(); 5] };
        self.write(move |batch| batch.write_memo(space, new))
    }

    fn archive(&self, space: SpaceId, channel: &str, archived: bool) {
        let stream = StreamId::channel(space, channel);
        let part = StreamPart::Archived(archived);
        let changed = StreamChanged { channel: channel.into(), thread: String::new(), part };
        assert!(self.write(move |batch| batch.change_stream(space, stream, &changed)));
    }

    fn reader(&self, principal: Principal) -> MemoReader {
        MemoReader { principal, now_ms: self.now_ms.get(), quiet_ms: 0 }
    }

    fn finds(&self, space: SpaceId, reader: Principal, query: &MemoQuery) -> Vec<String> {
        let rows = self.view().memos(&self.workspace(space), &self.reader(reader), query).unwrap().0;
        rows.into_iter().map(|row| row.text.title).collect()
    }

    fn browse(&self, space: SpaceId, reader: Principal) -> Vec<String> {
        self.finds(space, reader, &all())
    }

    /// The one memo that is found.
    fn only(&self, space: SpaceId, reader: Principal) -> MemoRow {
        let mut rows = self.view().memos(&self.workspace(space), &self.reader(reader), &all()).unwrap().0;
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }

    fn get(&self, space: SpaceId, reader: Principal, id: Ulid) -> Option<(MemoRow, Vec<String>)> {
        let found = self.view().memo(&self.workspace(space), &self.reader(reader), id).unwrap();
        found.map(|(row, sources)| (row, sources.into_iter().map(|post| post.text).collect()))
    }
}

fn all() -> MemoQuery {
    MemoQuery {
        wanted: Wanted::All,
        streams: None,
        on_message: Vec::new(),
        knowledge: Vec::new(),
        tags: Vec::new(),
        after_ms: None,
        before_ms: None,
        limit: 100,
    }
}

/// A workspace of one node with a person who takes part in `builders`.
fn workshop() -> (Node, SpaceId, Principal, StreamId) {
    let ada = Node::new(1);
    let space = ada.found();
    let person = ada.person(&ada, space, "ada");
    let channel = ada.channel(space, CHANNEL, person);
    (ada, space, person, channel)
}

impl Node {
    fn channel(&self, space: SpaceId, name: &str, member: Principal) -> StreamId {
        self.open_channel(space, name, "Building");
        let stream = StreamId::channel(space, name);
        self.takes_part(space, name, stream, member);
        stream
    }
}

const DECISION: &str = "Decision: use redb #storage\n\nOne file.\n\n- it is small";

#[test]
fn a_message_makes_a_memo_that_points_back_at_it_w88_w90_w96() {
    let (ada, space, person, channel) = workshop();
    ada.post(space, channel, person, "what shall we use?");
    let source = ada.post(space, channel, person, DECISION);
    let memo = ada.only(space, person);
    assert_eq!(memo.kind, MemoKind::Message(source));
    assert_eq!(
        (memo.sources.as_slice(), memo.authors.as_slice()),
        (&[source][..], &[Author::Principal(person)][..])
    );
    assert_eq!((memo.status, memo.version, memo.parent), (MemoStatus::Active, 1, None));
    assert_eq!(
        (memo.created_ms, memo.updated_ms, memo.archived_ms),
        (ada.now_ms.get(), ada.now_ms.get(), None)
    );
    assert_eq!((memo.stream.as_ref().unwrap().id, &memo.root), (channel, &None));
    assert_eq!(
        (memo.text.knowledge, memo.text.tags.as_slice()),
        (Knowledge::Decision, &["storage".to_owned()][..])
    );
    assert_eq!(memo.distance, 0.0);
    assert_eq!(ada.get(space, person, memo.id), Some((memo, vec![DECISION.into()])));
    assert_eq!(ada.get(space, person, Ulid::nil()), None);
}

#[test]
fn metadata_makes_a_memo_and_a_session_makes_one_through_the_other_door() {
    let (ada, space, person, channel) = workshop();
    ada.post_typed(space, channel, person, "How we ship", Some("procedure"));
    let session = ada.session(space, "coder", CHANNEL);
    ada.say(space, &session, "thread_plan", "m1", "Learning: rockets land");
    assert_eq!(ada.browse(space, person), ["rockets land", "How we ship"]);
}

#[test]
fn an_edit_makes_the_next_version_and_supersedes_the_one_before_w91_w97() {
    let (ada, space, person, channel) = workshop();
    let source = ada.post(space, channel, person, "Decision: one");
    let first = ada.only(space, person);
    ada.edit(space, source, person, "Decision: two");
    let second = ada.only(space, person);
    ada.edit(space, source, person, "Learning: three");
    let third = ada.only(space, person);
    assert_eq!((third.version, third.parent, third.text.title.as_str()), (3, Some(second.id), "three"));
    assert_eq!((second.version, second.parent), (2, Some(first.id)));
    let (before, _) = ada.get(space, person, first.id).unwrap();
    assert_eq!((before.status, before.updated_ms), (MemoStatus::Superseded, second.created_ms));
    assert_eq!((before.text.title.as_str(), before.version, before.archived_ms), ("one", 1, None));
    let (before, sources) = ada.get(space, person, second.id).unwrap();
    assert_eq!((before.status, before.updated_ms), (MemoStatus::Superseded, third.created_ms));
    assert_eq!(sources, ["Learning: three"], "the message as it reads now");

    ada.edit(space, source, person, "never mind");
    assert_eq!(ada.browse(space, person), [""; 0]);
    let (gone, _) = ada.get(space, person, third.id).unwrap();
    assert_eq!((gone.status, gone.archived_ms), (MemoStatus::Archived, Some(ada.now_ms.get())));
    ada.edit(space, source, person, "Decision: four");
    assert_eq!((ada.only(space, person).version, ada.only(space, person).parent), (4, Some(third.id)));
}

#[test]
fn an_edit_makes_the_first_version_where_the_message_made_none() {
    let (ada, space, person, channel) = workshop();
    let source = ada.post(space, channel, person, "use redb");
    assert_eq!(ada.browse(space, person), [""; 0]);
    ada.edit(space, source, person, "Decision: use redb");
    let memo = ada.only(space, person);
    assert_eq!((memo.version, memo.parent, memo.created_ms), (1, None, ada.now_ms.get()));
}

#[test]
fn the_end_of_a_message_archives_its_memo_w70_w93_w97() {
    let (ada, space, person, channel) = workshop();
    let source = ada.post(space, channel, person, DECISION);
    let memo = ada.only(space, person);
    ada.delete(space, source, person);
    assert_eq!(ada.browse(space, person), [""; 0]);
    let (row, sources) = ada.get(space, person, memo.id).unwrap();
    assert_eq!((row.status, row.archived_ms), (MemoStatus::Archived, Some(ada.now_ms.get())));
    assert_eq!((row.updated_ms, sources.len()), (ada.now_ms.get(), 0));
    assert_eq!(row.kind, MemoKind::Message(source));
}

#[test]
fn the_latest_changed_comes_first_and_the_nearest_when_words_are_looked_for_w92_w95() {
    let (ada, space, person, channel) = workshop();
    let old = ada.post(space, channel, person, "Decision: backups nightly\n\nto the cellar");
    ada.post(space, channel, person, "Context: the cellar floods\n\nevery spring");
    ada.post(space, channel, person, "Learning: pumps help\n\n- in the cellar");
    assert_eq!(ada.browse(space, person), ["pumps help", "the cellar floods", "backups nightly"]);
    let ask = |text: &str, exact| {
        ada.finds(space, person, &MemoQuery { wanted: Wanted::read(text, exact), ..all() })
    };
    assert_eq!(ask("cellar", false), ["the cellar floods", "pumps help", "backups nightly"]);
    assert_eq!(ask("cellar nightly", false), ["backups nightly", "the cellar floods", "pumps help"]);
    assert_eq!(ask("the cellar", true), ["pumps help", "the cellar floods", "backups nightly"]);
    assert_eq!(ask("elephants", false), [""; 0]);
    let near = MemoQuery { wanted: Wanted::read("cellar", false), limit: 1, ..all() };
    assert_eq!(ada.finds(space, person, &near), ["the cellar floods"], "the limit comes last");
    let rows = ada
        .view()
        .memos(&ada.workspace(space), &ada.reader(person), &MemoQuery { limit: 9, ..near })
        .unwrap()
        .0;
    assert!(
        rows.iter().all(|row| row.distance >= 0.0)
            && rows.is_sorted_by_key(|row| (row.distance * 100.0) as i64)
    );
    ada.edit(space, old, person, "Decision: backups hourly");
    assert_eq!(ada.browse(space, person)[0], "backups hourly");
}

#[test]
fn filters_hold_together_and_a_stream_means_its_threads_too_w94() {
    let (ada, space, person, channel) = workshop();
    let garden = ada.channel(space, "garden", person);
    let root = ada.post(space, channel, person, "Decision: root #a");
    let root_ms = ada.now_ms.get();
    let session = ada.session(space, "coder", CHANNEL);
    ada.say(space, &session, &thread_of(root), "m1", "Learning: answer #b");
    ada.post(space, garden, person, "Decision: roses #a #b");
    ada.write_by_hand(space, "by hand", &[]).unwrap();
    let thread = StreamId::thread(channel, &thread_of(root));
    let ask = |query: MemoQuery| ada.finds(space, person, &query);
    let within = |streams: &[StreamId]| ask(MemoQuery { streams: Some(streams.to_vec()), ..all() });
    assert_eq!(within(&[channel]), ["answer #b", "root #a"]);
    assert_eq!(within(&[thread]), ["answer #b"]);
    assert_eq!(within(&[garden, thread]), ["roses #a #b", "answer #b"]);
    assert_eq!(within(&[StreamId([9; 16])]), [""; 0]);
    assert_eq!(within(&[]), [""; 0]);
    let kinds = |knowledge: &[Knowledge]| ask(MemoQuery { knowledge: knowledge.to_vec(), ..all() });
    assert_eq!(kinds(&[Knowledge::Decision]), ["roses #a #b", "root #a"]);
    assert_eq!(kinds(&[Knowledge::Learning, Knowledge::Context]), ["by hand", "answer #b"]);
    let tagged =
        |tags: &[&str]| ask(MemoQuery { tags: tags.iter().map(|tag| (*tag).into()).collect(), ..all() });
    assert_eq!(tagged(&["b"]), ["roses #a #b", "answer #b"]);
    assert_eq!(tagged(&["B", "hand"]), ["by hand", "roses #a #b", "answer #b"]);
    assert_eq!(ask(MemoQuery { on_message: vec![false], ..all() }), ["by hand"]);
    assert_eq!(ask(MemoQuery { on_message: vec![true], ..all() }).len(), 3);
    assert_eq!(
        ask(MemoQuery { after_ms: Some(root_ms), before_ms: Some(root_ms + 1), ..all() }),
        ["root #a"]
    );
    assert_eq!(ask(MemoQuery { before_ms: Some(root_ms), ..all() }), [""; 0]);
    let of_thread = ada.view().memos(
        &ada.workspace(space),
        &ada.reader(person),
        &MemoQuery { streams: Some(vec![thread]), ..all() },
    );
    let row = of_thread.unwrap().0.remove(0);
    assert_eq!((row.stream.unwrap().id, row.root.unwrap().id), (thread, channel), "W-96");
}

#[test]
fn who_cannot_read_the_messages_sees_no_memo_and_the_limit_counts_what_is_seen_w35_w93_w98() {
    let (ada, space, person, channel) = workshop();
    let other = ada.person(&ada, space, "eve");
    ada.post(space, channel, person, "Decision: for all");
    let (private, pad) = ada.scratchpad(space, person);
    for number in 0..5 {
        ada.post(space, pad, person, &format!("Decision: secret {number}"));
    }
    let secret = ada.view().memos(&ada.workspace(space), &ada.reader(person), &all()).unwrap().0.remove(0);
    assert_eq!(ada.browse(space, person).len(), 6);
    assert_eq!(ada.finds(space, other, &MemoQuery { limit: 1, ..all() }), ["for all"]);
    assert_eq!(ada.get(space, other, secret.id), None);
    let within = MemoQuery { streams: Some(vec![pad]), ..all() };
    assert_eq!(ada.finds(space, other, &within), [""; 0]);
    ada.takes_part(private, "", pad, other);
    assert_eq!(ada.finds(space, other, &within).len(), 5);
    assert!(ada.get(space, other, secret.id).is_some());
}

#[test]
fn people_find_memos_of_archived_streams_and_bots_do_not_w37() {
    let (ada, space, person, channel) = workshop();
    let bot = ada.named_bot(space, "helper");
    let root = ada.post(space, channel, person, "Decision: root");
    let session = ada.session(space, "coder", CHANNEL);
    ada.say(space, &session, &thread_of(root), "m1", "Learning: answer");
    let memo = ada.view().memos(&ada.workspace(space), &ada.reader(person), &all()).unwrap().0.remove(0);
    assert_eq!(ada.browse(space, bot), ["answer", "root"]);
    ada.archive(space, CHANNEL, true);
    assert_eq!((ada.browse(space, person).len(), ada.browse(space, bot).len()), (2, 0));
    assert_eq!((ada.get(space, person, memo.id).is_some(), ada.get(space, bot, memo.id)), (true, None));
    ada.archive(space, CHANNEL, false);
    assert_eq!(ada.browse(space, bot).len(), 2);
}

#[test]
fn a_memo_comes_to_be_when_the_conversation_pauses_and_stays_when_it_goes_on_w89() {
    let (ada, space, person, channel) = workshop();
    ada.post(space, channel, person, "Decision: use redb");
    let said_ms = ada.now_ms.get();
    let shown = |after_ms: u64| {
        let reader = MemoReader { principal: person, now_ms: said_ms + after_ms, quiet_ms: 30_000 };
        let found = ada.view().memos(&ada.workspace(space), &reader, &all()).unwrap().0;
        let by_id = muster_protocol::memo::extracted_id(
            ada.view().posts(&ada.workspace(space), channel, muster_storage::Window::After(0), 1).unwrap().0
                [0]
            .id,
            ada.operations(space)
                .iter()
                .find(|op| op.header().kind == muster_protocol::operation::Kind::POST)
                .unwrap()
                .id(),
        );
        assert_eq!(
            ada.view().memo(&ada.workspace(space), &reader, by_id).unwrap().is_some(),
            !found.is_empty()
        );
        !found.is_empty()
    };
    assert!(!shown(29_999) && shown(30_000));
    // Somebody answers after 20 s: the pause begins anew.
    let post_after = |after_ms: u64| {
        ada.now_ms.set(said_ms + after_ms - 1000);
        ada.post(space, channel, person, "and more");
    };
    post_after(20_000);
    assert!(!shown(30_000) && !shown(49_999) && shown(50_000));
    // And after a pause of a minute: it was shown, and stays so.
    post_after(80_000);
    assert!(shown(80_000) && shown(81_000));
    assert!(shown(400_000));
}

#[test]
fn a_conversation_that_never_rests_has_its_memo_after_five_minutes_w89() {
    let (ada, space, person, channel) = workshop();
    ada.post(space, channel, person, "Decision: use redb");
    let said_ms = ada.now_ms.get();
    for _ in 0..200 {
        ada.post(space, channel, person, "talk"); // one second each
    }
    let shown = |after_ms: u64| {
        let reader = MemoReader { principal: person, now_ms: said_ms + after_ms, quiet_ms: 30_000 };
        !ada.view().memos(&ada.workspace(space), &reader, &all()).unwrap().0.is_empty()
    };
    assert!(!shown(200_000) && !shown(299_999) && shown(300_000));
}

#[test]
fn a_memo_written_by_hand_stands_with_its_sources_in_their_order_w88_w97() {
    let (ada, space, person, channel) = workshop();
    let bot = ada.named_bot(space, "helper");
    ada.takes_part(space, CHANNEL, channel, bot);
    let one = ada.post(space, channel, person, "one");
    let two = ada.post(space, channel, bot, "two");
    let id = ada.write_by_hand(space, "both", &[two, one]).unwrap();
    let (memo, sources) = ada.get(space, person, id).unwrap();
    assert_eq!(sources, ["one", "two"]);
    assert_eq!(memo.kind, MemoKind::Conversation(Ulid::from_bytes(channel.0)));
    assert_eq!(memo.authors, [Author::Principal(bot), Author::Principal(person)]);
    assert_eq!((memo.status, memo.version, memo.text.title.as_str()), (MemoStatus::Active, 1, "both"));
    assert_eq!(memo.stream.unwrap().id, channel);
    ada.delete(space, one, person);
    assert_eq!(ada.get(space, person, id).unwrap().1, ["two"]);
    let single = ada.write_by_hand(space, "single", &[two]).unwrap();
    assert_eq!(ada.get(space, person, single).unwrap().0.kind, MemoKind::Message(two));
    let alone = ada.write_by_hand(space, "alone", &[]).unwrap();
    let (memo, _) = ada.get(space, person, alone).unwrap();
    assert_eq!((memo.kind, memo.stream), (MemoKind::Conversation(alone), None));
    assert_eq!(ada.browse(space, person), ["alone", "single", "both"]);
}

#[test]
fn a_memo_written_by_hand_is_refused_where_it_could_not_stand() {
    let (ada, space, person, channel) = workshop();
    let garden = ada.channel(space, "garden", person);
    let (one, two) = (ada.post(space, channel, person, "one"), ada.post(space, garden, person, "two"));
    assert_eq!(ada.write_by_hand(space, "x", &[one, two]), Err(NotWritten::SourcesApart));
    assert_eq!(ada.write_by_hand(space, "x", &[Ulid::nil()]), Err(NotWritten::UnknownMessage));
    assert!(matches!(ada.write_by_hand(space, " ", &[one]), Err(NotWritten::Bad(_))));
    assert!(matches!(ada.write_by_hand(space, "x", &[one, one]), Err(NotWritten::Bad(_))));
    ada.delete(space, one, person);
    assert_eq!(ada.write_by_hand(space, "x", &[one]), Err(NotWritten::UnknownMessage));
    assert_eq!(ada.browse(space, person), [""; 0]);
}

#[test]
fn what_is_written_about_private_messages_stays_among_those_who_read_them_w93() {
    let (ada, space, person, _) = workshop();
    let other = ada.person(&ada, space, "eve");
    let (private, pad) = ada.scratchpad(space, person);
    let source = ada.post(space, pad, person, "hush");
    let id = ada.write_by_hand(space, "about it", &[source]).unwrap();
    assert_eq!(ada.get(space, person, id).unwrap().1, ["hush"]);
    assert_eq!((ada.get(space, other, id), ada.browse(space, other).len()), (None, 0));
    let kind = muster_protocol::operation::Kind::MEMO;
    assert!(ada.operations(space).iter().all(|op| op.header().kind != kind), "it is in the private space");
    assert!(ada.operations(private).iter().any(|op| op.header().kind == kind));
}

/// Everything a reader may see of memos, those that are no longer found included.
fn picture(node: &Node, space: SpaceId, reader: Principal, ids: &[Ulid]) -> String {
    let rows = node.view().memos(&node.workspace(space), &node.reader(reader), &all()).unwrap().0;
    let mut picture = format!("{rows:#?}\n");
    for id in ids {
        picture += &format!(
            "{:#?}\n",
            node.get(space, reader, *id).map(|(row, texts)| (MemoRow { stream: None, ..row }, texts))
        );
    }
    picture
}

#[test]
fn whatever_order_things_arrive_in_every_node_has_the_same_memos() {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    let (one, other) = (ada.person(&ada, space, "ada"), bob.person(&ada, space, "bob"));
    ada.learn_control(&bob, space);
    let channel = ada.channel(space, CHANNEL, one);
    exchange_all(&[&ada, &bob], space);
    bob.takes_part(space, CHANNEL, channel, other);
    let edited = ada.post(space, channel, one, "Decision: one");
    let late = bob.post(space, channel, other, "not yet");
    let gone = ada.post(space, channel, one, "Decision: gone");
    let dropped = bob.post(space, channel, other, "Decision: dropped");
    exchange_all(&[&ada, &bob], space);
    let mut ids: Vec<Ulid> = Vec::new();
    let mut note = |node: &Node| {
        let rows = node.view().memos(&node.workspace(space), &node.reader(one), &all()).unwrap().0;
        ids.extend(rows.into_iter().map(|row| row.id));
    };
    note(&ada);
    ada.edit(space, edited, one, "Decision: two");
    note(&ada);
    ada.edit(space, edited, one, "Decision: three");
    bob.edit(space, late, other, "Learning: late");
    bob.edit(space, dropped, other, "never mind");
    ada.delete(space, gone, one);
    bob.write_by_hand(space, "by hand", &[edited, late, gone]).unwrap();
    exchange_all(&[&ada, &bob], space);
    note(&bob);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 7);
    let shown = picture(&ada, space, one, &ids);
    assert_eq!(ada.browse(space, one).len(), 3);
    assert_eq!(shown, picture(&bob, space, one, &ids));

    let logs = [ada.operations(space), bob.operations(space)];
    let mut dice = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    for round in 0..30 {
        let reader = Node::new(50 + round);
        reader.learn(&ada, space);
        let mut turns: Vec<usize> =
            logs.iter().enumerate().flat_map(|(who, log)| vec![who; log.len()]).collect();
        turns.shuffle(&mut dice);
        let mut next = [0, 0];
        for who in turns {
            reader.take(space, vec![logs[who][next[who]].clone()]);
            next[who] += 1;
        }
        assert_eq!(picture(&reader, space, one, &ids), shown, "round {round}");
    }
}

#[test]
fn memos_of_what_no_longer_counts_are_taken_back() {
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    let (one, other) = (ada.person(&ada, space, "ada"), bob.person(&ada, space, "bob"));
    let channel = ada.channel(space, CHANNEL, one);
    ada.post(space, channel, one, "Decision: stays");
    exchange_all(&[&ada, &bob], space);
    bob.takes_part(space, CHANNEL, channel, other);
    let heard = bob.post(space, channel, other, "Decision: heard");
    let deleted = bob.post(space, channel, other, "Decision: deleted later");
    exchange_all(&[&ada, &bob], space);
    let before = picture(&ada, space, one, &[]);
    // What bob does from here on, the home never hears.
    bob.edit(space, heard, other, "Decision: changed");
    bob.delete(space, deleted, other);
    bob.post(space, channel, other, "Decision: unheard");
    let by_hand = bob.write_by_hand(space, "by hand", &[]).unwrap();
    let eve = Node::new(3);
    eve.learn(&ada, space);
    eve.take(space, ada.operations(space));
    eve.take(space, bob.operations(space));
    assert_eq!(eve.browse(space, one), ["by hand", "unheard", "changed", "stays"]);
    ada.remove(space, &bob);
    eve.learn_control(&ada, space);
    assert_eq!(eve.browse(space, one), ["deleted later", "heard", "stays"], "as before");
    assert_eq!(eve.get(space, one, by_hand), None);
    assert_eq!(picture(&eve, space, one, &[]), before);
    assert_eq!(picture(&ada, space, one, &[]), before);
}

/// What an index would keep and propose, made by asking the store itself.
#[test]
fn an_index_proposes_and_the_store_decides_w93_w94() {
    let (ada, space, person, channel) = workshop();
    let other = ada.person(&ada, space, "eve");
    let (_, pad) = ada.scratchpad(space, person);
    let (shown, hidden) =
        (ada.post(space, channel, person, DECISION), ada.post(space, pad, person, "Decision: secret"));
    let by_hand = ada.write_by_hand(space, "by hand", &[]).unwrap();
    let (view, workspace) = (ada.view(), ada.workspace(space));
    let entry = |source| view.memo_of_message(&workspace, source).unwrap().unwrap();
    assert_eq!((entry(shown).root, entry(hidden).root), (channel, pad));
    assert!(entry(shown).is_on_message);
    let written = view.memo_entry(&workspace, by_hand).unwrap().unwrap();
    assert_eq!((written.root, written.is_on_message), (StreamId::SPACE, false));
    assert_eq!(view.memos_by_hand(&workspace).unwrap(), [by_hand]);

    let proposed = [(entry(hidden).id, 0.1), (entry(shown).id, 0.2), (Ulid::nil(), 0.3), (by_hand, 0.4)];
    let among = |reader: Principal, query: MemoQuery| {
        let rows = ada.view().memos_among(&workspace, &ada.reader(reader), &query, proposed).unwrap();
        rows.into_iter().map(|row| (row.text.title, row.distance)).collect::<Vec<_>>()
    };
    let kept = |titles: &[(&str, f64)]| -> Vec<(String, f64)> {
        titles.iter().map(|(title, distance)| ((*title).to_owned(), *distance)).collect()
    };
    let words = |limit| MemoQuery { wanted: Wanted::read("whatever", false), limit, ..all() };
    let (decision, hand) = (("use redb #storage", 0.2), ("by hand", 0.4));
    assert_eq!(among(person, words(9)), kept(&[("secret", 0.1), decision, hand]));
    assert_eq!(among(other, words(9)), kept(&[decision, hand]), "who cannot read the message");
    assert_eq!(among(other, words(1)), kept(&[decision]), "the limit counts what is kept");
    let tagged = MemoQuery { tags: vec!["#Hand".into()], ..words(9) };
    assert_eq!(among(other, tagged), kept(&[hand]));
    let literal = MemoQuery { wanted: Wanted::read("ONE FILE", true), ..words(9) };
    assert_eq!(among(person, literal), kept(&[decision]));
    ada.edit(space, shown, person, "Decision: another");
    assert_eq!(among(other, words(9)), kept(&[hand]), "it was another text");
    let now = ada.view().memo_of_message(&workspace, shown).unwrap().unwrap();
    assert_eq!(now.text.title, "another");
    ada.delete(space, shown, person);
    assert_eq!(ada.view().memo_of_message(&workspace, shown).unwrap(), None);
}

/// Whoever keeps something made of memos hears of each change, in the order of the journal.
#[test]
fn the_journal_tells_of_messages_and_of_memos_that_were_written_by_hand() {
    let (ada, space, person, channel) = workshop();
    let before = ada.store.last_event();
    let message = ada.post(space, channel, person, DECISION);
    let by_hand = ada.write_by_hand(space, "by hand", &[message]).unwrap();
    ada.edit(space, message, person, "never mind");
    let (touched, last) = ada.view().touched(before, 100).unwrap();
    let expected = [Touched::Message(message), Touched::Memo(by_hand), Touched::Message(message)];
    assert_eq!(touched, expected.map(|touched| (space, touched)));
    assert_eq!(last, ada.store.last_event());
}
