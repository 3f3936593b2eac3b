//! Envelopes as they come in: which are taken, which are refused, and for which reason (N-7 to N-15, N-26 to N-28).

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use muster_protocol::network::{
    BodyError, Container, Envelope, IdError, Kind, MAX_ENVELOPE_BYTES, ReasonCode, Refusal, SurfaceError,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000;

fn say() -> Value {
    json!({
        "protocol": "agh-network/v0", "id": "m1", "workspace_id": "ws_alpha", "kind": "say", "channel": "builders",
        "surface": "thread", "thread_id": "thread_release_check", "from": "coder.sess-abc", "ts": NOW,
        "body": {"text": "Smoke test is ready."},
    })
}

fn direct_say() -> Value {
    let room = "direct_e4308355d65d864debcf1a985ffba0ac";
    with(say(), json!({"surface": "direct", "thread_id": null, "direct_id": room, "to": "reviewer.sess-xyz"}))
}

fn greet() -> Value {
    let card = json!({"peer_id": "coder.sess-abc", "profiles_supported": [], "capabilities": [],
                      "artifacts_supported": [], "trust_modes_supported": []});
    with(say(), json!({"kind": "greet", "surface": null, "thread_id": null, "body": {"peer_card": card}}))
}

fn with(mut base: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        base[name] = value.clone();
    }
    base
}

fn without(mut base: Value, member: &str) -> Value {
    base.as_object_mut().unwrap().remove(member);
    base
}

fn parse(json: &Value) -> Result<Envelope, Refusal> {
    Envelope::parse(json.to_string().as_bytes())
}

fn refusal(json: Value) -> Refusal {
    parse(&json).unwrap_err()
}

#[test]
fn a_plain_say_is_read_and_written_back_as_it_was_n7() {
    let envelope = parse(&say()).unwrap();
    assert_eq!(envelope.kind, Kind::Say);
    assert_eq!(envelope.container.as_ref().map(Container::id), Some("thread_release_check"));
    assert_eq!(envelope.check(NOW), Ok(()));
    assert_eq!(serde_json::from_slice::<Value>(&envelope.to_json().unwrap()).unwrap(), say());
    assert_eq!(Envelope::parse(&envelope.to_json().unwrap()), Ok(envelope));
}

#[test]
fn every_required_member_is_required_n7() {
    for member in ["id", "workspace_id", "kind", "channel", "from", "ts", "body"] {
        for broken in [without(say(), member), with(say(), json!({member: null}))] {
            let refusal = refusal(broken);
            assert_eq!(refusal.reason(), ReasonCode::Malformed, "{member}");
            assert_eq!(refusal.to_string(), format!("`{member}` is missing"));
        }
    }
    assert_eq!(refusal(without(say(), "protocol")), Refusal::WrongProtocol);
    assert_eq!(refusal(with(say(), json!({"protocol": "agh-network/v1"}))), Refusal::WrongProtocol);
}

/// The step of N-8 that a refusal belongs to.
fn blamed(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::WrongProtocol => "protocol",
        Refusal::UnknownKind => "kind",
        Refusal::Missing { member } | Refusal::BadName { member, .. } | Refusal::BadTime { member } => member,
        Refusal::Surface(_) => "surface",
        Refusal::Body { .. } => "body",
        Refusal::Secret(_) => "secret",
        other => panic!("unexpected: {other}"),
    }
}

#[test]
fn the_first_failure_in_the_order_of_n8_decides() {
    let mut message = with(
        say(),
        json!({
            "protocol": "x", "id": " ", "workspace_id": "a.b", "kind": "x", "channel": "X", "from": "X", "to": "X", "ts": 0,
            "surface": "x", "body": {"text": " ", "token": "x"},
        }),
    );
    for (step, member, repaired) in [
        ("protocol", "protocol", json!("agh-network/v0")),
        ("id", "id", json!("m1")),
        ("workspace_id", "workspace_id", json!("ws_alpha")),
        ("kind", "kind", json!("say")),
        ("channel", "channel", json!("builders")),
        ("from", "from", json!("a.b")),
        ("to", "to", json!("c.d")),
        ("ts", "ts", json!(NOW)),
        ("surface", "surface", json!("thread")),
        ("body", "body", json!({"text": "hi", "token": "x"})),
        ("secret", "body", json!({"text": "hi"})),
    ] {
        assert_eq!(blamed(&refusal(message.clone())), step);
        message[member] = repaired;
    }
    let stale = parse(&message).unwrap().check(NOW + 301);
    assert!(matches!(stale, Err(Refusal::Stale(_))), "freshness comes last");
}

#[test]
fn a_body_has_to_be_an_object_for_every_kind_n9() {
    for kind in Kind::ALL {
        for body in [json!(null), json!([]), json!(1), json!("text")] {
            let base = if kind.is_conversation() { with(say(), json!({"work_id": "w"})) } else { greet() };
            assert_eq!(
                refusal(with(base, json!({"kind": kind, "body": body}))).reason(),
                ReasonCode::Malformed
            );
        }
    }
}

#[test]
fn unknown_members_are_ignored_and_unknown_ext_is_kept_n10() {
    let ext = json!({"vendor.x": {"nested": [1, null]}, "agh.workflow_id": "wf"});
    let envelope = parse(&with(say(), json!({"shiny": true, "ext": ext}))).unwrap();
    assert_eq!(Value::Object(envelope.ext.clone().unwrap()), ext);
    assert!(!String::from_utf8(envelope.to_json().unwrap()).unwrap().contains("shiny"));
}

#[test]
fn retired_forms_are_refused_outright_n12() {
    let member = refusal(with(say(), json!({"interaction_id": null})));
    let kind = refusal(with(say(), json!({"kind": "direct"})));
    assert!(matches!(member, Refusal::RetiredMember { .. }));
    assert!(matches!(kind, Refusal::RetiredKind { .. }));
    assert_eq!(member.reason(), ReasonCode::LegacyFieldRejected);
    assert_eq!(kind.reason(), ReasonCode::LegacyFieldRejected);
    assert_eq!(refusal(with(say(), json!({"kind": "recipe"}))).reason(), ReasonCode::UnsupportedKind);
}

#[test]
fn secrets_are_found_in_body_proof_and_ext_n13() {
    for part in [
        json!({"body": {"text": "password: hunter2"}}),
        json!({"body": {"text": "hi", "artifacts": [{"api_key": "x"}]}}),
        json!({"proof": {"token": "x"}}),
        json!({"ext": {"a": {"b": "agh_claim_1"}}}),
    ] {
        let refusal = refusal(with(say(), part));
        assert!(matches!(refusal, Refusal::Secret(_)));
        assert_eq!(refusal.reason(), ReasonCode::Malformed);
    }
}

#[test]
fn a_mebibyte_is_enough_n14() {
    let padded = |bytes: usize| with(say(), json!({"body": {"text": "x".repeat(bytes)}}));
    let room = MAX_ENVELOPE_BYTES - padded(0).to_string().len();
    let mut envelope = parse(&padded(room)).unwrap();
    assert_eq!(envelope.to_json().unwrap().len(), MAX_ENVELOPE_BYTES);
    assert!(matches!(refusal(padded(room + 1)), Refusal::TooLarge { .. }));
    envelope.body.insert("more".into(), json!("x"));
    assert!(matches!(envelope.to_json(), Err(Refusal::TooLarge { .. })));
}

#[test]
fn what_is_not_one_object_with_unique_members_is_refused() {
    for bytes in [&b""[..], b"[]", b"1", b"{", b"{} x", b"\xff", br#"{"id":"a","id":"b"}"#] {
        assert!(matches!(Envelope::parse(bytes), Err(Refusal::NotAnObject { .. })), "{bytes:?}");
    }
}

#[test]
fn blank_optional_members_count_as_absent_n6() {
    let changes = json!({"to": " ", "work_id": "", "reply_to": null, "trace_id": " t "});
    let envelope = parse(&with(say(), changes)).unwrap();
    assert_eq!((envelope.to, envelope.work_id, envelope.reply_to), (None, None, None));
    assert_eq!(envelope.trace_id.unwrap().as_str(), "t");
}

#[test]
fn members_of_the_wrong_type_or_grammar_are_refused() {
    for changes in [
        json!({"to": 1}),
        json!({"ts": "1800000000"}),
        json!({"ts": 1.5}),
        json!({"ext": []}),
        json!({"proof": "x"}),
        json!({"expires_at": true}),
    ] {
        assert!(matches!(refusal(with(say(), changes)), Refusal::WrongType { .. }));
    }
    let upper_case = refusal(with(say(), json!({"from": "Coder"})));
    assert!(matches!(upper_case, Refusal::BadName { member: "from", cause: IdError::Grammar { .. } }));
    assert_eq!(
        refusal(with(say(), json!({"expires_at": i64::MAX}))),
        Refusal::BadTime { member: "expires_at" }
    );
}

#[test]
fn surface_mistakes_have_their_own_reason_n26_n27_n28() {
    for broken in [
        without(say(), "surface"),
        without(say(), "thread_id"),
        with(say(), json!({"direct_id": "direct_e4308355d65d864debcf1a985ffba0ac"})),
        with(greet(), json!({"surface": "thread", "thread_id": "thread_abc"})),
        with(greet(), json!({"work_id": "work_1"})),
        with(say(), json!({"kind": "trace", "body": {"state": "working"}})),
        without(direct_say(), "to"),
    ] {
        let refusal = refusal(broken);
        assert!(matches!(refusal, Refusal::Surface(_)), "{refusal:?}");
        assert_eq!(refusal.reason(), ReasonCode::InvalidSurface);
    }
}

#[test]
fn a_room_message_stands_in_the_room_of_its_two_peers_n42() {
    assert!(parse(&direct_say()).is_ok());
    for changes in
        [json!({"to": "other.sess-1"}), json!({"channel": "reviews"}), json!({"workspace_id": "ws_beta"})]
    {
        assert!(matches!(refusal(with(direct_say(), changes)), Refusal::WrongRoom { .. }));
    }
    let alone = refusal(with(direct_say(), json!({"to": "coder.sess-abc"})));
    assert_eq!(alone, Refusal::Surface(SurfaceError::SamePeer));
}

#[test]
fn a_card_is_the_sender_s_own_n17_n18() {
    assert!(parse(&greet()).is_ok());
    let foreign = refusal(with(greet(), json!({"from": "other.sess-1"})));
    assert_eq!(foreign, Refusal::Body { kind: Kind::Greet, cause: BodyError::ForeignCard });

    let mut response = with(greet(), json!({"kind": "whois"}));
    response["body"]["type"] = json!("response");
    let cause = BodyError::ResponseWithoutReplyTo;
    assert_eq!(refusal(response.clone()), Refusal::Body { kind: Kind::Whois, cause });
    assert!(parse(&with(response, json!({"reply_to": "m0"}))).is_ok());
}

#[test]
fn nobody_claims_task_write_without_a_proof_n72() {
    let mut claim = greet();
    claim["body"]["peer_card"]["capabilities"] = json!(["task.write"]);
    assert_eq!(refusal(claim.clone()), Refusal::ProofRequired);
    assert_eq!(refusal(with(claim.clone(), json!({"proof": {}}))).reason(), ReasonCode::VerificationFailed);
    assert!(parse(&with(claim, json!({"proof": {"profile": "any"}}))).is_ok());
}

#[test]
fn a_wrong_capability_digest_is_a_failed_verification_n21_n93() {
    let body = json!({"capability": {"id": "a", "summary": "b", "outcome": "c", "digest": "sha256:00"}});
    let refusal = refusal(with(say(), json!({"kind": "capability", "work_id": "w", "body": body})));
    assert_eq!(refusal.reason(), ReasonCode::VerificationFailed);
}

/// Values that a hostile peer could put anywhere.
fn any_json() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] = &["say", "trace", "thread", "direct", "response", "submitted"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        prop::sample::select(WORDS).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,12}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

const MEMBERS: &[&str] = &[
    "id",
    "kind",
    "surface",
    "from",
    "to",
    "ts",
    "expires_at",
    "body",
    "proof",
    "ext",
    "work_id",
    "thread_id",
];

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Envelope::parse(&bytes);
    }

    #[test]
    fn no_member_value_makes_the_reader_panic(
        base in prop_oneof![Just(say()), Just(direct_say()), Just(greet())],
        member in prop::sample::select(MEMBERS),
        value in any_json(),
    ) {
        let _ = parse(&with(base, json!({member: value})));
    }

    #[test]
    fn what_is_read_is_written_so_that_it_reads_the_same(text in "\\PC{1,40}", ext in any_json()) {
        let ext = json!({"vendor": ext});
        if let Ok(envelope) = parse(&with(say(), json!({"body": {"text": text}, "ext": ext}))) {
            prop_assert_eq!(Envelope::parse(&envelope.to_json().unwrap()), Ok(envelope));
        }
    }
}
