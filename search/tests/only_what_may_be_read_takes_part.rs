//! Filters are inside the query: hidden messages neither show nor push others away (W-35, W-81, W-85).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;

use muster_protocol::{ids::WorkspaceId, stream::StreamKind};
use muster_search::{Mode, Query};
use support::{BEGINNING, Shelf, query, stream};

const MODES: [Mode; 3] = [Mode::Words, Mode::Exact, Mode::Semantic];

/// The same found in every mode.
fn assert_found(shelf: &Shelf, change: impl Fn(&mut Query), expected: &[&str]) {
    for mode in MODES {
        let mut query = query("bug", mode);
        change(&mut query);
        let found: BTreeSet<&str> = shelf.texts(&query).into_iter().collect();
        assert_eq!(found, expected.iter().copied().collect(), "{mode:?}");
    }
}

#[test]
fn messages_below_other_roots_are_not_found_and_push_none_away_w35() {
    let mut shelf = Shelf::of(&["an old bug, mentioned once in a long message about other matters"]);
    for _ in 0..200 {
        shelf.put(|document| (document.stream, document.root) = (stream(20), stream(20)), "bug bug bug");
    }
    shelf.commit();
    for mode in MODES {
        let mut query = query("bug", mode);
        query.limit = 1;
        assert_eq!(shelf.texts(&query), shelf.texts.values().take(1).collect::<Vec<_>>(), "{mode:?}");
    }
    assert_found(&shelf, |query| query.roots = BTreeSet::new(), &[]);
}

#[test]
fn another_workspace_is_never_searched() {
    let mut shelf = Shelf::of(&["our bug"]);
    let other = WorkspaceId::new(BEGINNING, [2; 10]);
    shelf.put(|document| document.workspace = other, "their bug");
    shelf.commit();
    assert_found(&shelf, |_| (), &["our bug"]);
    assert_found(&shelf, |query| query.workspace = other, &["their bug"]);
}

#[test]
fn a_stream_is_searched_with_its_threads_and_a_thread_alone_w85() {
    let mut shelf = Shelf::of(&["bug in the channel"]);
    let thread = |document: &mut muster_search::Document| {
        (document.stream, document.kind) = (stream(30), Some(StreamKind::Thread));
    };
    shelf.put(thread, "bug in its thread");
    shelf.put(|document| (document.stream, document.root) = (stream(2), stream(2)), "bug elsewhere");
    shelf.commit();
    let only = |number| move |query: &mut Query| query.streams = Some(BTreeSet::from([stream(number)]));
    assert_found(&shelf, |_| (), &["bug in the channel", "bug in its thread", "bug elsewhere"]);
    assert_found(&shelf, only(1), &["bug in the channel", "bug in its thread"]);
    assert_found(&shelf, only(30), &["bug in its thread"]);
    assert_found(&shelf, only(99), &[]);
    assert_found(&shelf, |query| query.streams = Some(BTreeSet::new()), &[]);
    // Naming a stream does not open it (W-35).
    let hidden =
        |query: &mut Query| (query.streams, query.roots) = (Some([stream(1)].into()), [stream(2)].into());
    assert_found(&shelf, hidden, &[]);
}

#[test]
fn author_kind_and_time_narrow_and_combine_w85() {
    let mut shelf = Shelf::of(&["first bug"]);
    shelf.put(|document| document.author = Some("bot_helper".into()), "bug of a bot");
    shelf.put(|document| document.kind = Some(StreamKind::Scratchpad), "bug in a scratchpad");
    shelf.commit();
    let kinds = |query: &mut Query, kinds: &[StreamKind]| query.kinds = Some(kinds.iter().copied().collect());
    let second = BEGINNING + 2000;
    assert_found(&shelf, |query| query.author = Some("bot_helper".into()), &["bug of a bot"]);
    assert_found(&shelf, |query| query.author = Some("bot_help".into()), &[]);
    assert_found(&shelf, |query| kinds(query, &[StreamKind::Scratchpad]), &["bug in a scratchpad"]);
    let both = [StreamKind::Scratchpad, StreamKind::Dm];
    assert_found(&shelf, |query| kinds(query, &both), &["bug in a scratchpad"]);
    assert_found(&shelf, |query| kinds(query, &[]), &[]);
    assert_found(&shelf, |query| query.before_ms = Some(second), &["first bug"]);
    assert_found(&shelf, |query| query.after_ms = Some(second), &["bug of a bot", "bug in a scratchpad"]);
    let between = |query: &mut Query| (query.after_ms, query.before_ms) = (Some(second), Some(second + 1));
    assert_found(&shelf, between, &["bug of a bot"]);
    let backwards = |query: &mut Query| (query.after_ms, query.before_ms) = (Some(second), Some(second));
    assert_found(&shelf, backwards, &[]);
    let combined = |query: &mut Query| {
        (query.after_ms, query.author) = (Some(second), Some("usr_ada".into()));
    };
    assert_found(&shelf, combined, &["bug in a scratchpad"]);
}
