use super::*;
use crate::{
    clock::Hlc,
    control::tests::Home,
    identity::Identity,
    ids::{OpId, SpaceId},
    network::Kind as Sort,
    operation::{Draft, Place},
    session::session_id,
};
use serde_json::{Value, json};

const ADA: u8 = 1;
const BOB: u8 = 2;
const EVE: u8 = 3;

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

/// The workspace of ada, with bob and eve as members from height 3 on.
fn workspace_state() -> ControlState {
    let mut home = Home::new();
    home.add(identity(BOB).node(), Role::Member);
    home.add(identity(EVE).node(), Role::Member);
    home.state
}

/// The pair space of two of them.
fn pair(one: u8, other: u8) -> ControlState {
    ControlState::pair(&workspace_state(), identity(one).node(), identity(other).node())
}

/// A peer of a session of a node.
fn peer(seed: u8, session: u8) -> PeerName {
    PeerName::of_session("coder", &session_id(identity(seed).node(), [session; 8])).unwrap()
}

fn channel() -> ChannelName {
    ChannelName::parse("builders").unwrap()
}

fn room_of(one: &PeerName, other: &PeerName) -> DirectId {
    Pair::of(one, other).unwrap().room(&workspace(&workspace_state()).unwrap(), &channel())
}

fn op(author: u8, control: &ControlState, kind: Kind, stream: StreamId, body: Vec<u8>) -> Operation {
    let (space, hlc) = (control.space(), Hlc::from_ms(1_800_000_000_000));
    let control_height = control.height();
    let place = Place { space, incarnation: 7, seq: 1, prev: OpId::NONE, hlc, control_height };
    Operation::sign(&identity(author), place, Draft { kind, stream, body })
}

/// A message that is not signed yet.
fn message(kind: Sort, from: &PeerName, to: Option<&PeerName>) -> Value {
    let body = match kind {
        Sort::Say => json!({"text": "hello"}),
        Sort::Whois => json!({"type": "request"}),
        _ => json!({"peer_card": {"peer_id": from, "profiles_supported": [], "capabilities": [],
                    "artifacts_supported": [], "trust_modes_supported": []}}),
    };
    let mut json = json!({
        "protocol": "agh-network/v0", "id": "m1", "workspace_id": workspace(&workspace_state()).unwrap(),
        "kind": kind, "channel": "builders", "from": from, "ts": 1_800_000_000, "body": body,
    });
    if let Some(to) = to {
        json["to"] = json!(to);
    }
    json
}

fn in_thread(mut message: Value) -> Value {
    message["surface"] = json!("thread");
    message["thread_id"] = json!("thread_abc");
    message
}

fn in_room(mut message: Value, room: &DirectId) -> Value {
    message["surface"] = json!("direct");
    message["direct_id"] = json!(room);
    message
}

/// Signs a message with the key of a node.
fn signed(message: Value, signer: u8) -> Vec<u8> {
    let Value::Object(mut members) = message else { panic!("messages are objects") };
    proof::sign_members(&mut members, proof::Profile::Muster, identity(signer).signing_key()).unwrap();
    serde_json::to_vec(&members).unwrap()
}

fn builders(control: &ControlState) -> StreamId {
    StreamId::channel(control.space(), "builders")
}

/// How a message is read that `author` signed and put into a stream.
fn read(author: u8, control: &ControlState, stream: StreamId, message: Value) -> Content {
    Content::read(&op(author, control, Kind::ENVELOPE, stream, signed(message, author)), control)
}

fn is_message(content: &Content) -> bool {
    matches!(content, Content::Envelope(_))
}

#[test]
fn a_workspaces_space_holds_what_everybody_may_read_n30_n33() {
    let control = workspace_state();
    let (ada, bob) = (peer(ADA, 1), peer(BOB, 1));
    let stream = builders(&control);
    for public in [
        in_thread(message(Sort::Say, &ada, None)),
        in_thread(message(Sort::Say, &ada, Some(&bob))), // stays public (N-31)
        message(Sort::Greet, &ada, None),
        message(Sort::Whois, &ada, None),
    ] {
        assert!(is_message(&read(ADA, &control, stream, public)));
    }
    let room = room_of(&ada, &bob);
    for (stream, private) in [
        (stream, message(Sort::Greet, &ada, Some(&bob))),
        (stream, message(Sort::Whois, &ada, Some(&bob))),
        (stream, in_room(message(Sort::Say, &ada, Some(&bob)), &room)),
        (
            StreamId::direct_room(control.space(), room.as_str()),
            in_room(message(Sort::Say, &ada, Some(&bob)), &room),
        ),
    ] {
        assert_eq!(read(ADA, &control, stream, private), Content::Void(Void::Misplaced));
    }
}

#[test]
fn a_pair_space_holds_what_one_of_the_two_says_to_the_other_n33() {
    let control = pair(ADA, BOB);
    let (ada, bob) = (peer(ADA, 1), peer(BOB, 1));
    let room = room_of(&ada, &bob);
    let direct = StreamId::direct_room(control.space(), room.as_str());
    let stream = builders(&control);
    for (author, from, to) in [(ADA, &ada, &bob), (BOB, &bob, &ada)] {
        assert!(is_message(&read(
            author,
            &control,
            direct,
            in_room(message(Sort::Say, from, Some(to)), &room)
        )));
        assert!(is_message(&read(author, &control, stream, message(Sort::Whois, from, Some(to)))));
        assert!(is_message(&read(author, &control, stream, message(Sort::Greet, from, Some(to)))));
    }
    for (stream, misplaced) in [
        (stream, in_room(message(Sort::Say, &ada, Some(&bob)), &room)), // in the stream of the channel
        (direct, message(Sort::Whois, &ada, Some(&bob))),               // in the stream of the room
        (stream, message(Sort::Whois, &ada, None)),                     // for everybody
        (stream, in_thread(message(Sort::Say, &ada, Some(&bob)))),
        (stream, message(Sort::Whois, &ada, Some(&peer(EVE, 1)))),
        (stream, message(Sort::Whois, &ada, Some(&peer(ADA, 2)))), // a neighbour is not the partner
        (builders(&workspace_state()), message(Sort::Whois, &ada, Some(&bob))),
    ] {
        assert_eq!(read(ADA, &control, stream, misplaced), Content::Void(Void::Misplaced));
    }
}

#[test]
fn nobody_speaks_as_the_other_of_a_pair_n33() {
    let control = pair(ADA, BOB);
    let (ada, bob) = (peer(ADA, 1), peer(BOB, 1));
    let room = room_of(&ada, &bob);
    let direct = StreamId::direct_room(control.space(), room.as_str());
    let message = in_room(message(Sort::Say, &bob, Some(&ada)), &room);
    assert_eq!(read(ADA, &control, direct, message.clone()), Content::Void(Void::Impostor));
    // A third node cannot even be admitted; if it were, its role would not allow it.
    assert_eq!(read(EVE, &control, direct, message), Content::Void(Void::NotAllowed));
}

#[test]
fn a_room_message_stands_in_the_room_of_its_two_n42() {
    let control = pair(ADA, BOB);
    let (ada, bob) = (peer(ADA, 1), peer(BOB, 1));
    let other = room_of(&ada, &peer(BOB, 2));
    let direct = StreamId::direct_room(control.space(), other.as_str());
    let message = in_room(message(Sort::Say, &ada, Some(&bob)), &other);
    assert_eq!(read(ADA, &control, direct, message), Content::Void(Void::Malformed));
}

#[test]
fn two_sessions_of_one_node_talk_in_its_pair_space_with_itself_n32() {
    let control = pair(ADA, ADA);
    let (one, two) = (peer(ADA, 1), peer(ADA, 2));
    let room = room_of(&one, &two);
    let direct = StreamId::direct_room(control.space(), room.as_str());
    for (from, to) in [(&one, &two), (&two, &one)] {
        assert!(is_message(&read(ADA, &control, direct, in_room(message(Sort::Say, from, Some(to)), &room))));
    }
    let stream = builders(&control);
    let alone = message(Sort::Whois, &one, Some(&one));
    assert_eq!(read(ADA, &control, stream, alone), Content::Void(Void::Misplaced));
    let elsewhere = message(Sort::Whois, &one, Some(&peer(BOB, 1)));
    assert_eq!(read(ADA, &control, stream, elsewhere), Content::Void(Void::Misplaced));
}

#[test]
fn an_envelope_that_its_author_did_not_sign_is_void_n73() {
    let control = workspace_state();
    let stream = builders(&control);
    let say = in_thread(message(Sort::Say, &peer(ADA, 1), None));
    let verdict = |body: Vec<u8>| Content::read(&op(ADA, &control, Kind::ENVELOPE, stream, body), &control);

    assert!(is_message(&verdict(signed(say.clone(), ADA))));
    let unsigned = serde_json::to_vec(&say).unwrap();
    let mut changed: Value = serde_json::from_slice(&signed(say.clone(), ADA)).unwrap();
    changed["body"]["text"] = json!("something else");
    let mut unknown: Value = serde_json::from_slice(&signed(say.clone(), ADA)).unwrap();
    unknown["proof"]["profile"] = json!("somebody.else/v1");
    for body in [
        unsigned,
        signed(say, BOB),
        serde_json::to_vec(&changed).unwrap(),
        serde_json::to_vec(&unknown).unwrap(),
    ] {
        assert_eq!(verdict(body), Content::Void(Void::Unproven));
    }
}

#[test]
fn a_name_that_carries_another_key_proves_nothing_about_the_author_n73() {
    let control = workspace_state();
    let key = identity(BOB).signing_key().clone();
    let mut say = in_thread(message(Sort::Say, &peer(ADA, 1), None));
    say["from"] = json!(format!("bob@{}", proof::fingerprint(&key.verifying_key())));
    let Value::Object(mut members) = say else { panic!("messages are objects") };
    proof::sign_members(&mut members, proof::Profile::Baseline, &key).unwrap();
    let body = serde_json::to_vec(&members).unwrap();
    let op = op(ADA, &control, Kind::ENVELOPE, builders(&control), body);
    assert_eq!(Content::read(&op, &control), Content::Void(Void::Unproven));
}

#[test]
fn what_its_author_signed_and_yet_breaks_the_rules_is_told_apart_n91() {
    let control = workspace_state();
    let mut say = in_thread(message(Sort::Say, &peer(ADA, 1), Some(&peer(BOB, 1))));
    say["body"] = json!({"text": ""});
    assert_eq!(read(ADA, &control, builders(&control), say), Content::Void(Void::Malformed));
}

#[test]
fn a_message_of_another_workspace_is_void_n1() {
    let control = pair(ADA, BOB);
    let mut whois = message(Sort::Whois, &peer(ADA, 1), Some(&peer(BOB, 1)));
    whois["workspace_id"] = json!("ws_other");
    assert_eq!(read(ADA, &control, builders(&control), whois), Content::Void(Void::Misplaced));
}

fn opened(one: &PeerName, other: &PeerName) -> RoomOpened {
    let pair = Pair::of(one, other).unwrap();
    RoomOpened {
        channel: "builders".into(),
        direct_id: room_of(one, other).to_string(),
        peer_a: pair.a().to_string(),
        peer_b: pair.b().to_string(),
    }
}

fn read_opened(author: u8, control: &ControlState, opened: &RoomOpened) -> Content {
    let stream = StreamId::direct_room(control.space(), &opened.direct_id);
    Content::read(&op(author, control, Kind::DIRECT_ROOM, stream, cbor::encode(opened)), control)
}

#[test]
fn either_of_the_two_opens_their_room_n39() {
    let (ada, bob) = (peer(ADA, 1), peer(BOB, 1));
    let control = pair(ADA, BOB);
    let room = Room { channel: channel(), id: room_of(&ada, &bob), pair: Pair::of(&ada, &bob).unwrap() };
    for author in [ADA, BOB] {
        assert_eq!(read_opened(author, &control, &opened(&ada, &bob)), Content::Room(Box::new(room.clone())));
    }
    let own = opened(&ada, &peer(ADA, 2));
    assert!(matches!(read_opened(ADA, &pair(ADA, ADA), &own), Content::Room(_)));
}

#[test]
fn no_room_is_opened_that_is_not_the_one_of_its_two_n36_n40() {
    let (ada, bob) = (peer(ADA, 1), peer(BOB, 1));
    let control = pair(ADA, BOB);
    let good = opened(&ada, &bob);
    for malformed in [
        RoomOpened { direct_id: room_of(&ada, &peer(BOB, 2)).to_string(), ..good.clone() },
        RoomOpened { peer_a: good.peer_b.clone(), peer_b: good.peer_a.clone(), ..good.clone() },
        RoomOpened { peer_b: good.peer_a.clone(), ..good.clone() },
        RoomOpened { peer_a: format!(" {}", good.peer_a), ..good.clone() },
        RoomOpened { channel: "reviewers".into(), ..good.clone() },
        RoomOpened { channel: "No Channel".into(), ..good.clone() },
        RoomOpened { channel: "builders ".into(), ..good.clone() },
    ] {
        assert_eq!(read_opened(ADA, &control, &malformed), Content::Void(Void::Malformed));
    }
}

#[test]
fn a_room_stands_in_the_pair_space_of_its_two_nodes_and_in_its_own_stream_n33() {
    let (ada, bob) = (peer(ADA, 1), peer(BOB, 1));
    let good = opened(&ada, &bob);
    assert_eq!(read_opened(ADA, &workspace_state(), &good), Content::Void(Void::Misplaced));
    assert_eq!(read_opened(ADA, &pair(ADA, EVE), &good), Content::Void(Void::Misplaced));
    assert_eq!(read_opened(EVE, &pair(ADA, EVE), &good), Content::Void(Void::Impostor));
    let control = pair(ADA, BOB);
    for stream in [builders(&control), StreamId::direct_room(SpaceId([1; 32]), &good.direct_id)] {
        let op = op(ADA, &control, Kind::DIRECT_ROOM, stream, cbor::encode(&good));
        assert_eq!(Content::read(&op, &control), Content::Void(Void::Misplaced));
    }
}

#[test]
fn a_channel_is_opened_for_everybody_or_not_at_all() {
    let body =
        ChannelOpened { name: "builders".into(), purpose: "to build".into(), created_by: "coder".into() };
    for (control, opens) in [(workspace_state(), true), (pair(ADA, BOB), false)] {
        let op = op(ADA, &control, Kind::CHANNEL, builders(&control), cbor::encode(&body));
        match Content::read(&op, &control) {
            Content::Channel(..) => assert!(opens),
            other => assert_eq!((opens, other), (false, Content::Void(Void::Misplaced))),
        }
    }
}

#[test]
fn the_bytes_of_an_opened_room_never_change() {
    let opened = opened(&peer(ADA, 1), &peer(BOB, 1));
    let bytes = cbor::encode(&opened);
    assert_eq!(cbor::decode(&bytes, limits::BODY_BYTES_MAX), Ok(opened));
    insta::assert_snapshot!(data_encoding::HEXLOWER.encode(&bytes));
}

proptest::proptest! {
    #[test]
    fn no_bytes_are_read_as_anything_where_they_mean_nothing(
        body in proptest::collection::vec(proptest::prelude::any::<u8>(), 1..200),
        kind in 100..114u16,
    ) {
        for control in [workspace_state(), pair(ADA, BOB), pair(ADA, ADA)] {
            let op = op(ADA, &control, Kind(kind), builders(&control), body.clone());
            proptest::prop_assert!(matches!(Content::read(&op, &control), Content::Void(_)));
        }
    }
}
