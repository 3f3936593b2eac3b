//! Searching by words (W-82, W-86).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use muster_search::Mode;
use support::{Shelf, query};

#[test]
fn case_and_english_endings_make_no_difference_w82() {
    let shelf = Shelf::of(&["The DEPLOYMENTS failed", "nothing to see"]);
    assert_eq!(shelf.words("deployment fails"), ["The DEPLOYMENTS failed"]);
}

#[test]
fn a_message_with_all_words_stands_above_one_with_fewer_w82() {
    // A short message that repeats a rare word scores far more by itself than a long one with both.
    let long = format!("zebra {} the", "and so on ".repeat(300));
    let mut texts = vec!["zebra zebra zebra", long.as_str()];
    texts.extend(["the end of the day"; 50]);
    let shelf = Shelf::of(&texts);
    assert_eq!(shelf.words("the zebra")[..2], [long.as_str(), "zebra zebra zebra"]);
}

#[test]
fn any_word_matches_and_a_message_with_none_is_not_found_w82() {
    let shelf = Shelf::of(&["red apple", "green apple", "blue sky"]);
    let mut found = shelf.words("red green");
    found.sort_unstable();
    assert_eq!(found, ["green apple", "red apple"]);
    assert!(shelf.words("yellow").is_empty());
}

#[test]
fn rare_words_count_more_and_of_equals_the_newest_comes_first_w82() {
    let shelf = Shelf::of(&["common one", "common two", "rare three", "common four"]);
    assert_eq!(shelf.words("common rare"), ["rare three", "common four", "common two", "common one"]);
}

#[test]
fn quotes_ask_for_a_phrase_w82() {
    let shelf = Shelf::of(&["the build is red", "is the red build", "red builds are bad"]);
    assert_eq!(shelf.words(r#""red build""#), ["red builds are bad", "is the red build"]);
    assert_eq!(shelf.words("“red build”").len(), 2);
    assert_eq!(shelf.words(r#""red build" bad"#)[0], "red builds are bad");
    assert_eq!(shelf.words(r#"the "red build"#).len(), 3, "a quote that is not closed asks for words");
}

#[test]
fn ranks_fall_from_hit_to_hit_and_are_greater_than_nothing_w86() {
    let shelf = Shelf::of(&["a b c", "a b", "a", "c a c a", "b c d e f g"]);
    let hits = shelf.answer(&query("a b c", Mode::Words)).hits;
    assert_eq!(hits.len(), 5);
    assert!(hits.is_sorted_by(|one, other| one.rank >= other.rank));
    assert!(hits.iter().all(|hit| hit.rank > 0.0 && hit.rank < 2.0));
}

#[test]
fn words_of_a_text_without_spaces_and_very_long_ones_are_found() {
    let encoded = "q".repeat(100_000);
    let shelf = Shelf::of(&["データベースの設定", &encoded, "other"]);
    assert_eq!(shelf.words("設定"), ["データベースの設定"]);
    assert_eq!(shelf.words(&encoded), [encoded.as_str()]);
}

#[test]
fn nothing_that_is_typed_makes_a_search_fail_w82() {
    let shelf = Shelf::of(&["plain words AND more", "field:value (nested) [a TO b]"]);
    let typed = [
        "",
        " ",
        "\"",
        "\"\"",
        "\"\"\"",
        "\" \"",
        "(",
        ")",
        "((",
        "AND",
        "OR",
        "NOT",
        "AND OR",
        "+",
        "-",
        "-words",
        "+more",
        "field:",
        ":value",
        "field:value",
        "*",
        "?",
        "wor*",
        "~",
        "words~2",
        "^",
        "words^3",
        "[a TO b]",
        "{a TO b}",
        "[",
        ">=",
        "\\",
        "\\\"",
        "'",
        "''",
        "/re/",
        "IN [a b]",
        "a:*",
        "\0",
        "\u{202e}",
        "e\u{301}",
        "🦀",
        "%",
        "_",
        "<b>",
        "'; DROP TABLE messages; --",
        "\u{feff}",
        "ﬁ",
        "İ",
        "ß",
    ];
    for mode in [Mode::Words, Mode::Exact, Mode::Semantic] {
        for typed in typed {
            shelf.answer(&query(typed, mode));
        }
        for long in ["words ".repeat(20_000), "w".repeat(300_000), "\"a b\" ".repeat(5_000)] {
            shelf.answer(&query(&long, mode));
        }
    }
    assert_eq!(shelf.words("field:value").len(), 1, "what looks like an operator is two words");
    assert_eq!(shelf.words("-words"), ["plain words AND more"]);
}

#[test]
fn the_limit_holds_and_none_wanted_is_none_found() {
    let shelf = Shelf::of(&["same"; 30]);
    for mode in [Mode::Words, Mode::Exact, Mode::Semantic] {
        for (limit, found) in [(0, 0), (1, 1), (7, 7), (usize::MAX, 30)] {
            let mut query = query("same", mode);
            query.limit = limit;
            assert_eq!(shelf.answer(&query).hits.len(), found, "{mode:?} {limit}");
        }
    }
}
