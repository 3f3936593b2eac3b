//! Memos in the index: found like messages, and never among them (W-92 to W-95).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{collections::BTreeSet, sync::Arc};

use muster_protocol::ids::StreamId;
use muster_search::{Document, EmbedError, Embedder, Item, Mode, Query, Tier};
use support::{Shelf, memo, message, query, stream};
use ulid::Ulid;

const MODES: [Mode; 4] = [Mode::Words, Mode::Exact, Mode::Semantic, Mode::Newest];

fn for_memos(typed: &str, mode: Mode) -> Query {
    Query { item: Item::Memo, ..query(typed, mode) }
}

fn ids(shelf: &Shelf, query: &Query) -> Vec<Ulid> {
    shelf.answer(query).hits.iter().map(|hit| hit.id).collect()
}

fn labels(labels: &[&str]) -> BTreeSet<String> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

/// A message and a memo that say the same, under one id.
fn both() -> (Shelf, Document) {
    let mut shelf = Shelf::of(&["the deployment failed"]);
    let twin = Document { id: message(1, "").id, ..memo(1, "the deployment failed again") };
    shelf.put(|document| *document = twin.clone(), "");
    shelf.commit();
    (shelf, twin)
}

#[test]
fn a_search_for_one_never_finds_the_other() {
    let (mut shelf, _) = both();
    shelf.put(|document| *document = memo(2, "deployments on Friday"), "");
    shelf.commit();
    for mode in MODES {
        assert_eq!(ids(&shelf, &query("deployment", mode)).len(), 1, "{mode:?}");
        assert_eq!(ids(&shelf, &for_memos("deployment", mode)).len(), 2, "{mode:?}");
    }
    assert!(ids(&shelf, &query("again", Mode::Words)).is_empty());
}

#[test]
fn a_memo_goes_with_the_message_that_made_it_and_one_of_two_takes_no_place() {
    let (shelf, twin) = both();
    shelf.index.put(&Document { text: "another text".into(), ..twin.clone() }).unwrap();
    shelf.commit();
    assert_eq!(ids(&shelf, &query("deployment", Mode::Words)).len(), 1, "the message is another document");
    assert!(ids(&shelf, &for_memos("deployment", Mode::Words)).is_empty());
    // What a message makes has another id than the message.
    let made = Document { id: memo(7, "").id, text: "the deployment failed".into(), ..twin.clone() };
    shelf.index.put(&made).unwrap();
    shelf.commit();
    assert_eq!(ids(&shelf, &for_memos("deployment", Mode::Words)), [made.id]);
    shelf.index.remove(twin.source);
    shelf.commit();
    assert_eq!(shelf.index.documents(), 1, "only the message is left, which is of another source");
    shelf.index.remove(message(1, "").id);
    shelf.commit();
    assert_eq!(shelf.index.documents(), 0);
}

#[test]
fn labels_are_asked_for_one_of_each_set_w94() {
    let mut shelf = Shelf::new();
    for (number, carried) in [(1, &["tag ops", "a decision"][..]), (2, &["tag ops"]), (3, &["tag opsx"])] {
        let labelled = Document { labels: labels(carried), ..memo(number, "backups") };
        shelf.put(|document| *document = labelled, "");
    }
    shelf.commit();
    let found = |sets: &[&[&str]]| {
        let sets = sets.iter().map(|set| labels(set)).collect();
        ids(&shelf, &Query { labels: sets, ..for_memos("backups", Mode::Newest) }).len()
    };
    assert_eq!(found(&[]), 3);
    assert_eq!(found(&[&["tag ops"]]), 2);
    assert_eq!(found(&[&["tag ops", "tag opsx"]]), 3);
    assert_eq!(found(&[&["tag ops"], &["a decision", "a procedure"]]), 1);
    assert_eq!(found(&[&["tag ops"], &[]]), 0);
}

#[test]
fn distances_grow_from_hit_to_hit_and_are_nothing_where_age_decides_w95() {
    let mut shelf = Shelf::new();
    for (number, text) in
        (1..).zip(["a failed deployment", "failed", "nothing", "the release broke", "deployments"])
    {
        shelf.put(|document| *document = memo(number, text), "");
    }
    shelf.commit();
    for mode in MODES {
        let answer = shelf.answer(&for_memos("failed deployment", mode));
        let distances: Vec<f64> = answer.hits.iter().map(|hit| answer.distance(*hit)).collect();
        assert!(!distances.is_empty() && distances.is_sorted(), "{mode:?}: {distances:?}");
        assert!(distances.iter().all(|distance| (0.0..1.0).contains(distance)), "{mode:?}: {distances:?}");
        let by_age = matches!(mode, Mode::Exact | Mode::Newest);
        assert_eq!(distances.iter().all(|distance| *distance == 0.0), by_age, "{mode:?}: {distances:?}");
    }
}

#[test]
fn what_everybody_may_read_and_what_nobody_may_differ_by_their_root_w93() {
    let mut shelf = Shelf::new();
    for (number, root) in [(1, StreamId::SPACE), (2, stream(77)), (3, stream(1))] {
        shelf.put(|document| *document = Document { root, ..memo(number, "bug") }, "");
    }
    shelf.commit();
    for mode in [Mode::Words, Mode::Exact, Mode::Newest] {
        let mut asked = for_memos("bug", mode);
        assert_eq!(ids(&shelf, &asked), [memo(3, "").id], "{mode:?}");
        asked.roots.insert(StreamId::SPACE);
        assert_eq!(ids(&shelf, &asked), [memo(3, "").id, memo(1, "").id], "{mode:?}");
    }
}

#[test]
fn the_oldest_of_thirty_thousand_memos_is_found_by_its_rare_word() {
    let mut shelf = Shelf::new();
    shelf.put(|document| *document = memo(0, "the zeppelin lands in the cellar"), "");
    for number in 1..30_000 {
        shelf.put(|document| *document = memo(number, "the backups stay in the cellar"), "");
    }
    shelf.commit();
    for mode in [Mode::Words, Mode::Exact, Mode::Semantic] {
        assert_eq!(ids(&shelf, &for_memos("zeppelin", mode)), [memo(0, "").id], "{mode:?}");
    }
    let all = Query { limit: usize::MAX, ..for_memos("the cellar", Mode::Words) };
    assert_eq!(shelf.answer(&all).hits.len(), muster_protocol::limits::SEARCH_HITS_MAX);
}

/// Knows animals alone.
struct Animals;

impl Embedder for Animals {
    fn id(&self) -> String {
        "animals".into()
    }

    fn tier(&self) -> Tier {
        Tier::Static
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let is_animal = |text: &str| ["cat", "dog"].iter().any(|animal| text.contains(animal));
        Ok(texts.iter().map(|text| if is_animal(text) { vec![1.0, 0.0] } else { vec![0.0, 1.0] }).collect())
    }
}

#[test]
fn neighbours_by_meaning_are_of_the_kind_that_is_asked_for_w84_w92() {
    let mut shelf = Shelf::with(Some(Arc::new(Animals)));
    shelf.say(&["my dog sleeps"]);
    shelf.put(|document| *document = memo(5, "dogs are let out at noon"), "");
    shelf.put(|document| *document = memo(6, "the cellar floods"), "");
    shelf.commit();
    shelf.index.embed(&mut |_| true).unwrap();
    let answer = shelf.answer(&for_memos("cat", Mode::Semantic));
    assert_eq!((answer.hits.len(), answer.hits[0].id), (1, memo(5, "").id));
    assert_eq!(answer.tier, Some(Tier::Static));
    assert_eq!(shelf.semantic("cat"), ["my dog sleeps"]);
}
