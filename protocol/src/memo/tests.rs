use proptest::prelude::*;

use super::*;
use crate::{cbor, identity::Identity, ids::owned_ulid, limits::POST_CHARS_MAX};

fn of(text: &str) -> Option<MemoText> {
    extract(text, &[])
}

fn typed(text: &str, kind: &str) -> Option<MemoText> {
    extract(text, &[(TYPE_KEY.into(), kind.into())])
}

#[test]
fn a_marker_in_the_first_line_makes_a_memo_of_all_its_parts() {
    let text = "\nDecision: keep everything in redb #storage\n\n\
                One file, one writer,\nand no server. It is #Storage, see #redb-4.\n\n\
                Another paragraph, of which nothing is kept.\n\n\
                - commits share one fsync\n  and one page cache\n* [x] reads never wait\n2) backups are copies\n";
    let memo = of(text).unwrap();
    assert_eq!(memo.knowledge, Knowledge::Decision);
    assert_eq!(memo.title, "keep everything in redb #storage");
    assert_eq!(memo.summary, "One file, one writer, and no server. It is #Storage, see #redb-4.");
    assert_eq!(
        memo.key_points,
        ["commits share one fsync and one page cache", "reads never wait", "backups are copies"]
    );
    assert_eq!(memo.tags, ["storage", "redb-4"]);
}

#[test]
fn each_kind_has_its_marker_also_as_a_heading_in_bold_and_in_any_case() {
    for kind in Knowledge::ALL {
        for text in [
            format!("{kind}: a title", kind = kind.as_str().to_uppercase()),
            format!("## {}: a title", kind.as_str()),
            format!("**{}:** a title", kind.as_str()),
            format!("**{}**: a title", kind.as_str()),
            format!("__{}: a title__", kind.as_str()),
        ] {
            let memo = of(&text).unwrap_or_else(|| panic!("{text} makes no memo"));
            assert_eq!((memo.knowledge, memo.title.as_str()), (kind, "a title"), "{text}");
        }
    }
}

#[test]
fn metadata_says_the_kind_and_then_the_first_line_is_the_title() {
    let memo = typed("# How we ship\nOn Fridays never.", "procedure").unwrap();
    assert_eq!((memo.knowledge, memo.title.as_str()), (Knowledge::Procedure, "How we ship"));
    assert_eq!(memo.summary, "On Fridays never.");
    let both = typed("Learning: rockets land", "reference").unwrap();
    assert_eq!((both.knowledge, both.title.as_str()), (Knowledge::Reference, "rockets land"));
    assert_eq!(typed("hello", "secret"), None);
    assert_eq!(typed("Context: hello", "secret").unwrap().knowledge, Knowledge::Context);
}

#[test]
fn what_does_not_begin_with_a_kind_is_no_memo() {
    for text in [
        "hello",
        "We took a Decision: redb",
        "Decisions: two",
        "Decision",
        "hello\nDecision: redb",
        "- Decision: redb",
        "> Decision: redb",
        "`Decision:` redb",
        "",
        "\n \n",
    ] {
        assert_eq!(of(text), None, "{text:?}");
    }
}

#[test]
fn a_marker_that_stands_alone_has_its_title_below() {
    let memo = of("Decision:\n\nuse redb\n\n- it is small").unwrap();
    assert_eq!((memo.title.as_str(), memo.summary.as_str()), ("use redb", ""));
    assert_eq!(of("Decision:\n- use redb").unwrap().title, "use redb");
    assert_eq!(of("Decision:"), None);
    assert_eq!(of("Decision: **"), None);
}

#[test]
fn code_gives_neither_points_nor_tags() {
    let memo =
        of("Context: the shell\n```\n- rm\n#tag\n```\nuse `#ifdef` and #care\n~~~\n- a\n```\n- b\n~~~\n- c")
            .unwrap();
    assert_eq!(memo.key_points, ["c"]);
    assert_eq!(memo.tags, ["care"]);
    assert_eq!(memo.summary, "use `#ifdef` and #care");
}

#[test]
fn tags_are_words_with_a_sign_in_front() {
    let memo =
        of("Reference: #One (#two) see a#b https://x/#c ##d # e #42 #f2 #ONE\n#last #-g- ` #h").unwrap();
    assert_eq!(memo.tags, ["one", "two", "f2", "last", "g", "h"]);
    assert_eq!(memo.summary, "", "a line of tags is no paragraph");
}

#[test]
fn every_part_keeps_its_bound() {
    let long = format!("Decision: {}\n\n{}\n\n", "ä".repeat(500), "ö".repeat(9000));
    let points: String = (0..40).map(|n| format!("- {n} {}\n", "ü".repeat(900))).collect();
    let tags: String = (0..40).map(|n| format!("x #t{n} #{} ", "y".repeat(65))).collect();
    let memo = of(&(long + &points + &tags)).unwrap();
    assert_eq!(memo.title.chars().count(), MEMO_TITLE_CHARS_MAX);
    assert_eq!(memo.summary.chars().count(), MEMO_ABSTRACT_CHARS_MAX);
    assert!(memo.title.ends_with('…') && memo.summary.ends_with('…'));
    assert_eq!(memo.key_points.len(), MEMO_KEY_POINTS_MAX);
    assert!(memo.key_points.iter().all(|point| point.chars().count() == MEMO_KEY_POINT_CHARS_MAX));
    assert_eq!(memo.tags.len(), MEMO_TAGS_MAX);
}

#[test]
fn the_id_of_an_extracted_memo_is_made_of_message_and_text_and_never_changes() {
    let source = ulid(1_800_000_000_000, [1; 10]);
    let id = extracted_id(source, OpId([7; 32]));
    assert_eq!(id.timestamp_ms(), 1_800_000_000_000);
    assert_ne!(id, extracted_id(source, OpId([8; 32])));
    assert_ne!(id, extracted_id(ulid(1_800_000_000_000, [2; 10]), OpId([7; 32])));
    insta::assert_snapshot!(id);
}

fn written() -> Memo {
    let node = Identity::from_seed([1; 32]).node();
    Memo {
        id: Bytes16(owned_ulid(1_800_000_000_000, node, [2; 5]).to_bytes()),
        channel: "builders".into(),
        knowledge: "decision".into(),
        title: "Use redb".into(),
        summary: "One file.".into(),
        key_points: vec!["It is small".into()],
        tags: vec!["storage".into()],
        sources: vec![Bytes16([7; 16]), Bytes16([8; 16])],
    }
}

#[test]
fn the_bytes_of_a_written_memo_never_change() {
    let bytes = cbor::encode(&written());
    assert_eq!(cbor::decode(&bytes, crate::limits::BODY_BYTES_MAX), Ok(written()));
    insta::assert_snapshot!(data_encoding::HEXLOWER.encode(&bytes));
}

#[test]
fn a_written_memo_keeps_the_bounds_of_its_parts() {
    assert!(written().check().is_ok());
    let many = |count: usize| vec!["x".to_owned(); count];
    for (bad, why) in [
        (Memo { knowledge: "Decision".into(), ..written() }, BadMemo::Knowledge),
        (Memo { title: " ".into(), ..written() }, BadMemo::Title),
        (Memo { title: "a\nb".into(), ..written() }, BadMemo::Title),
        (Memo { title: "x".repeat(201), ..written() }, BadMemo::Title),
        (Memo { summary: "\n".into(), ..written() }, BadMemo::Abstract),
        (Memo { summary: "a\0".into(), ..written() }, BadMemo::Abstract),
        (Memo { key_points: many(21), ..written() }, BadMemo::KeyPoints),
        (Memo { key_points: vec![String::new()], ..written() }, BadMemo::KeyPoints),
        (Memo { tags: vec!["A".into()], ..written() }, BadMemo::Tags),
        (Memo { tags: vec!["#a".into()], ..written() }, BadMemo::Tags),
        (Memo { tags: many(2), ..written() }, BadMemo::Tags),
        (Memo { sources: vec![Bytes16([7; 16]); 2], ..written() }, BadMemo::Sources),
        (Memo { sources: (0..101).map(|n| Bytes16([n; 16])).collect(), ..written() }, BadMemo::Sources),
    ] {
        assert_eq!(bad.check(), Err(why), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_and_what_is_found_keeps_the_rules_of_a_written_memo(
        text in "(\\PC|[-*+#`~_:\\n \\t]|Decision:){0,200}",
        kind in "decision|other",
    ) {
        if let Some(memo) = extract(&text, &[(TYPE_KEY.into(), kind)]) {
            let written = Memo {
                knowledge: memo.knowledge.as_str().into(),
                title: memo.title.clone(),
                summary: if memo.summary.is_empty() { "none".into() } else { memo.summary },
                key_points: memo.key_points,
                tags: memo.tags,
                ..written()
            };
            // What is no text but signs may be left of a title; NUL cannot be in a post.
            prop_assert!(text.contains('\0') || written.check().is_ok(), "{:?}", written);
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "measures how long reading takes")]
fn text_that_is_made_to_be_slow_costs_little() {
    for part in ["- a\n", "#", "#a", "#a ", "`", "``` \n", "* ", "a\n", "1", "_", ":", "**", "\n", " ", "ä"]
    {
        let text = format!("Decision: x\n{}", part.repeat(POST_CHARS_MAX / part.chars().count()));
        let began = std::time::Instant::now();
        assert!(of(&text).is_some());
        assert!(began.elapsed().as_secs() < 2, "{part:?} took {:?}", began.elapsed());
    }
}
