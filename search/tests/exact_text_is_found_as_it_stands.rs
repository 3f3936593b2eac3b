//! Searching for the text as it stands (W-83).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use muster_search::Mode;
use support::{Shelf, message, query};

#[test]
fn a_part_of_a_word_is_found_in_any_case_newest_first_with_rank_0_w83() {
    let shelf = Shelf::of(&["Deployment", "redeploying now", "de ploy", "DEPLOY!"]);
    assert_eq!(shelf.exact("dEpLoY"), ["DEPLOY!", "redeploying now", "Deployment"]);
    assert!(shelf.answer(&query("deploy", Mode::Exact)).hits.iter().all(|hit| hit.rank == 0.0));
    assert!(shelf.exact("deploys").is_empty(), "endings count");
}

#[test]
fn signs_mean_themselves_w83() {
    let texts = ["100% sure", "100 percent", "a_b", "axb", r"C:\temp", "C:temp", r#"say "hi""#, "a.*b", "{}"];
    let shelf = Shelf::of(&texts);
    let signs = [
        ("100%", "100% sure"),
        ("a_b", "a_b"),
        (r"C:\t", r"C:\temp"),
        ("\\", r"C:\temp"),
        ("%", "100% sure"),
        ("_", "a_b"),
        (r#""hi""#, r#"say "hi""#),
        ("a.*", "a.*b"),
        ("{", "{}"),
    ];
    for (typed, found) in signs {
        assert_eq!(shelf.exact(typed), [found], "{typed}");
    }
}

#[test]
fn spaces_and_ends_of_lines_count_w83() {
    let shelf = Shelf::of(&["one  two", "one two", "one\ntwo", "end "]);
    assert_eq!(shelf.exact("one two"), ["one two"]);
    assert_eq!(shelf.exact("e\nt"), ["one\ntwo"]);
    assert_eq!(shelf.exact("d "), ["end "]);
}

#[test]
fn one_and_two_letters_are_found_wherever_they_stand_w83() {
    let shelf = Shelf::of(&["xab", "abx", "a b", "b", "ä", "Ab"]);
    assert_eq!(shelf.exact("ab"), ["Ab", "abx", "xab"]);
    assert_eq!(shelf.exact("b"), ["Ab", "b", "a b", "abx", "xab"]);
    assert_eq!(shelf.exact("Ä"), ["ä"]);
    assert!(shelf.exact("").is_empty());
}

#[test]
fn other_scripts_and_letters_that_grow_in_lower_case_are_found_w83() {
    let shelf = Shelf::of(&["ΟΔΟΣ ΟΔΟΣ", "データベース", "İstanbul", "🦀🦀 crab"]);
    assert_eq!(shelf.exact("οδοσ ο"), ["ΟΔΟΣ ΟΔΟΣ"]);
    assert_eq!(shelf.exact("タベ"), ["データベース"]);
    assert_eq!(shelf.exact("İST"), ["İstanbul"]);
    assert_eq!(shelf.exact("🦀 c"), ["🦀🦀 crab"]);
}

#[test]
fn what_only_has_the_same_pieces_is_not_found_w83() {
    // Every piece of three letters of "abcabd" stands in the second, but not the text.
    let shelf = Shelf::of(&["abcabd", "abca bcab cabd", "abcabd again"]);
    assert_eq!(shelf.exact("abcabd"), ["abcabd again", "abcabd"]);
}

#[test]
fn the_newest_are_found_although_many_newer_ones_only_look_alike_w83() {
    let mut texts = vec!["abcabd 1", "abcabd 2", "abcabd 3"];
    texts.extend(["abca bcab cabd"; 500]);
    let shelf = Shelf::of(&texts);
    let mut query = query("abcabd", Mode::Exact);
    query.limit = 2;
    assert_eq!(shelf.texts(&query), ["abcabd 3", "abcabd 2"]);
}

#[test]
fn messages_of_one_millisecond_have_one_order_whatever_the_order_they_came_in_w83() {
    let ids = |order: &[u32]| {
        let shelf = Shelf::new();
        for number in order {
            let mut document = message(*number, "same");
            document.created_ms = support::BEGINNING;
            shelf.index.put(&document).unwrap();
            shelf.commit();
        }
        shelf.answer(&query("same", Mode::Exact)).hits
    };
    assert_eq!(ids(&[1, 2, 3]), ids(&[3, 1, 2]));
}

#[test]
fn a_text_that_is_longer_than_any_question_is_found_w83() {
    let long: String = (0..2000).map(|number| format!("{number} ")).collect();
    let shelf = Shelf::of(&["0 1 2", &long]);
    assert_eq!(shelf.exact(&long), [long.as_str()]);
    assert!(shelf.exact(&format!("{long}!")).is_empty());
}
