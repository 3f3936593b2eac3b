//! What a node does with a message from elsewhere: whose inbox it goes to, what is answered (N-69, N-70, N-90 to N-94).

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use muster_protocol::network::{
    Capability, CapabilityCatalog, Container, Envelope, Kind, MessageId, Offender, PeerCard, PeerName,
    ProofError, ReasonCode, ReceiptStatus, Rejection, WorkRefusal, WorkState, delivery, whois,
};
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000;
const THREAD: &str = "thread_abc";

fn peer(name: &str) -> PeerName {
    PeerName::parse(name).unwrap()
}

fn id(text: &str) -> MessageId {
    MessageId::parse(text).unwrap()
}

fn message(kind: &str, to: Option<&str>, body: Value) -> Value {
    let mut json = json!({
        "protocol": "agh-network/v0", "id": "m1", "workspace_id": "ws_alpha", "kind": kind, "channel": "builders",
        "from": "coder.sess-1", "to": to, "ts": NOW, "body": body, "trace_id": "t1",
    });
    if !matches!(kind, "greet" | "whois") {
        json["surface"] = json!("thread");
        json["thread_id"] = json!(THREAD);
        json["work_id"] = json!("work_1");
    }
    json
}

fn parse(json: &Value) -> Envelope {
    Envelope::parse(json.to_string().as_bytes()).unwrap()
}

fn card(name: &str) -> Value {
    json!({"peer_id": name, "profiles_supported": [], "capabilities": [], "artifacts_supported": [],
           "trust_modes_supported": []})
}

fn document() -> Value {
    let document =
        Capability { id: "a".into(), summary: "b".into(), outcome: "c".into(), ..Capability::default() };
    json!({"capability": document.with_own_digest()})
}

fn inboxes(json: Value) -> Vec<String> {
    let locals = ["a.sess-1", "b.sess-1", "coder.sess-1"].map(peer);
    delivery::recipients(&parse(&json), &locals).into_iter().map(ToString::to_string).collect()
}

#[test]
fn talk_without_addressee_goes_to_everybody_but_the_sender_n90() {
    assert_eq!(inboxes(message("say", None, json!({"text": "hi"}))), ["a.sess-1", "b.sess-1"]);
    assert_eq!(inboxes(message("capability", None, document())), ["a.sess-1", "b.sess-1"]);
}

#[test]
fn what_is_addressed_goes_to_the_addressed_peer_alone_n90() {
    let mut response =
        message("whois", Some("b.sess-1"), json!({"type": "response", "peer_card": card("coder.sess-1")}));
    response["reply_to"] = json!("m0");
    let receipt = json!({"for_id": "m0", "status": "accepted"});
    for json in [
        message("say", Some("b.sess-1"), json!({"text": "hi"})),
        message("capability", Some("b.sess-1"), document()),
        message("receipt", Some("b.sess-1"), receipt.clone()),
        message("trace", Some("b.sess-1"), json!({"state": "working"})),
        response,
    ] {
        assert_eq!(inboxes(json.clone()), ["b.sess-1"]);
        let mut elsewhere = json.clone();
        elsewhere["to"] = json!("remote.sess-1");
        assert!(inboxes(elsewhere).is_empty());
        let mut own = json;
        own["to"] = json!("coder.sess-1");
        assert!(inboxes(own).is_empty(), "a sender never gets its own");
    }
    assert!(inboxes(message("receipt", None, receipt)).is_empty());
    assert!(inboxes(message("trace", None, json!({"state": "working"}))).is_empty());
}

#[test]
fn a_room_message_goes_to_the_other_member_n90() {
    let mut say = message("say", Some("reviewer.sess-xyz"), json!({"text": "hi"}));
    say["from"] = json!("coder.sess-abc");
    say["surface"] = json!("direct");
    say["thread_id"] = json!(null);
    say["direct_id"] = json!("direct_e4308355d65d864debcf1a985ffba0ac");
    let locals = ["a.sess-1", "coder.sess-abc", "reviewer.sess-xyz"].map(peer);
    assert_eq!(delivery::recipients(&parse(&say), &locals), [&locals[2]]);
}

#[test]
fn greet_and_whois_requests_reach_no_inbox_n90() {
    assert!(inboxes(message("greet", None, json!({"peer_card": card("coder.sess-1")}))).is_empty());
    assert!(inboxes(message("whois", Some("b.sess-1"), json!({"type": "request"}))).is_empty());
}

fn work_say() -> Value {
    message("say", Some("b.sess-1"), json!({"text": "do it"}))
}

fn earned(json: &Value, rejection: &Rejection) -> Option<(ReceiptStatus, Option<ReasonCode>)> {
    let receipt = Offender::read(json.to_string().as_bytes())?.receipt(rejection)?;
    assert_eq!(receipt.for_id, id("m1"));
    Some((receipt.status, receipt.reason_code))
}

fn refused(json: &Value, now: i64) -> Rejection {
    match Envelope::parse(json.to_string().as_bytes()) {
        Err(refusal) => refusal.into(),
        Ok(envelope) => envelope.check_fresh(now, 300).unwrap_err().into(),
    }
}

#[test]
fn refused_work_is_answered_as_the_table_says_n91() {
    let capability = message("capability", Some("b.sess-1"), document());
    let place = Container::read(Some("thread"), Some("thread_xyz"), None).unwrap().unwrap();
    let elsewhere = WorkRefusal::ContainerMismatch { channel: parse(&capability).channel, container: place };
    let closed = WorkRefusal::Closed { state: WorkState::Completed };
    for json in [work_say(), capability] {
        let mut malformed = json.clone();
        malformed["body"] = json!([]);
        let mut legacy = json.clone();
        legacy["interaction_id"] = json!("x");
        use {ReasonCode as Reason, ReceiptStatus as Status};
        for (json, rejection, status, reason) in [
            (&malformed, refused(&malformed, NOW), Status::Rejected, Reason::Malformed),
            (&legacy, refused(&legacy, NOW), Status::Rejected, Reason::LegacyFieldRejected),
            (&json, refused(&json, NOW + 301), Status::Expired, Reason::Expired),
            (&json, Rejection::Duplicate, Status::Duplicate, Reason::Duplicate),
            (&json, closed.clone().into(), Status::Rejected, Reason::WorkClosed),
            (&json, elsewhere.clone().into(), Status::Rejected, Reason::WorkContainerMismatch),
        ] {
            assert_eq!(earned(json, &rejection), Some((status, Some(reason))), "{rejection}");
        }
    }
}

#[test]
fn some_refusals_are_met_with_silence_n91_n94() {
    let mut digest = message("capability", Some("b.sess-1"), document());
    digest["body"]["capability"]["summary"] = json!("changed");
    let mut surface = work_say();
    surface["direct_id"] = json!("direct_e4308355d65d864debcf1a985ffba0ac");
    let work = parse(&work_say()).work_id.unwrap();
    for (json, rejection) in [
        (&digest, refused(&digest, NOW)),
        (&surface, refused(&surface, NOW)),
        (&work_say(), Rejection::NotTarget),
        (&work_say(), ProofError::BadSignature.into()),
        (&work_say(), WorkRefusal::Unknown { work_id: work }.into()),
        (&work_say(), WorkRefusal::Outsider { opened_by: peer("x"), target: peer("y") }.into()),
    ] {
        assert_eq!(earned(json, &rejection), None, "{rejection}");
    }
}

#[test]
fn only_addressed_work_is_answered_n91() {
    let without = |member: &str| {
        let mut json = work_say();
        json[member] = Value::Null;
        json
    };
    for json in [
        without("to"),
        without("work_id"),
        message("trace", Some("b.sess-1"), json!({"state": "working"})),
        message("receipt", Some("b.sess-1"), json!({"for_id": "m0", "status": "accepted"})),
        message("recipe", Some("b.sess-1"), json!({})),
    ] {
        assert_eq!(earned(&json, &Rejection::Duplicate), None);
    }
    assert_eq!(Offender::read(b"not json"), None);
}

#[test]
fn the_answer_comes_from_the_addressed_peer_and_is_linked_n91() {
    let offender = Offender::of(&parse(&work_say())).unwrap();
    let answer = offender.answer(&Rejection::Duplicate, id("r1"), NOW).unwrap();
    assert_eq!(answer.check(NOW), Ok(()));
    assert_eq!(
        (answer.kind, &answer.from, &answer.to),
        (Kind::Receipt, &peer("b.sess-1"), &Some(peer("coder.sess-1")))
    );
    assert_eq!(answer.container.unwrap().id(), THREAD);
    assert_eq!(answer.work_id.unwrap().as_str(), "work_1");
    assert_eq!(answer.reply_to.unwrap().as_str(), "m1");
    assert_eq!(answer.causation_id.unwrap().as_str(), "m1");
    assert_eq!(answer.trace_id.unwrap().as_str(), "t1");
}

fn catalog() -> CapabilityCatalog {
    let one = |id: &str| Capability {
        id: id.into(),
        summary: "s".into(),
        outcome: "o".into(),
        ..Capability::default()
    };
    CapabilityCatalog { capabilities: vec![one("review"), one("fix")] }
}

fn asked(to: Option<&str>, query: &str, ext: Value) -> Option<Envelope> {
    let mut request = message("whois", to, json!({"type": "request", "query": query}));
    request["ext"] = ext;
    let card = PeerCard::local(peer("b.sess-1"), Some("Bea"), &catalog());
    whois::answer(&parse(&request), &card, &catalog(), id("w1"), NOW)
}

#[test]
fn an_addressed_peer_answers_whatever_the_query_and_others_when_it_fits_n70() {
    assert!(asked(Some("b.sess-1"), "nonsense", json!({})).is_some());
    assert!(asked(Some("c.sess-1"), "Bea", json!({})).is_none());
    assert!(asked(None, "nonsense", json!({})).is_none());
    for query in ["", "Bea", "review", "b.sess-1"] {
        let answer = asked(None, query, json!({})).unwrap();
        assert_eq!(answer.check(NOW), Ok(()));
        assert_eq!(answer.to, Some(peer("coder.sess-1")));
        assert_eq!(answer.reply_to.unwrap().as_str(), "m1");
        assert_eq!(answer.ext, None, "documents only on request (N-68)");
    }
}

#[test]
fn the_asker_never_answers_itself_n70() {
    let request = parse(&message("whois", None, json!({"type": "request"})));
    let card = PeerCard::local(peer("coder.sess-1"), None, &catalog());
    assert_eq!(whois::answer(&request, &card, &catalog(), id("w1"), NOW), None);
}

#[test]
fn a_rich_request_gets_documents_and_a_filter_narrows_card_and_documents_n69() {
    let rich = json!({"agh.include": ["capability_catalog"]});
    let answer = asked(None, "", rich).unwrap();
    assert_eq!(CapabilityCatalog::of_response(answer.ext.as_ref()), Some(catalog()));

    let narrow = json!({"agh.include": ["capability_catalog"], "agh.capability_ids": ["fix"]});
    let answer = asked(None, "", narrow).unwrap();
    assert_eq!(CapabilityCatalog::of_response(answer.ext.as_ref()).unwrap().ids(), ["fix"]);
    assert_eq!(answer.body["peer_card"]["capabilities"], json!(["fix"]));
    assert_eq!(answer.check(NOW), Ok(()));
}
