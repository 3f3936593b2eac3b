//! A peer with a key, a ticket and bad intentions: what it sends beside the protocol changes nothing,
//! costs it the connection, and brings nothing down.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use futures::future::BoxFuture;
use muster_protocol::{
    ask::{Answer, Question},
    cbor::{self, Bytes, Bytes64},
    clock::Hlc,
    identity::{Domain, Identity, NodeId},
    ids::{OpId, SpaceId, StreamId},
    limits,
    network::PeerName,
    operation::{Draft, Kind, Operation, Place as LogPlace},
    session::session_id,
    sync::{Frame, Height, Hello},
    ticket::{JoinRefusal, SignedTicket},
};
use serde_json::{Value, json};
use support::{
    Node, Place, QUIC, Session, TCP, ids,
    raw_peer::{CHANNEL, INCARNATION, Member, RawPeer, key_that_opens, now_ms},
    workspace,
};

mod support;

const RAW_THREAD: &str = "thread_raw";

/// A node with a workspace in which honest members, and raw ones, write.
struct Target {
    places: [Place; 2],
    home: Node,
    friend: Node,
    workspace: String,
    coder: Session,
    ticket: SignedTicket,
}

impl Target {
    async fn new(transport: &str) -> Self {
        let places = [Place::over(transport, "ada"), Place::over(transport, "bob")];
        let (home, friend) = tokio::join!(places[0].up(), places[1].up());
        let workspace = workspace(&home, &[&friend]).await;
        let coder = friend.api.session(&workspace, "coder", CHANNEL).await;
        let said = [friend.api.say(&workspace, &coder, "thread_honest", "before").await];
        home.api.until_thread_holds(&workspace, CHANNEL, "thread_honest", &said).await;
        let ticket = home.api.invite(&workspace, json!({ "max_uses": 100 })).await;
        let ticket = ticket["ticket"].as_str().unwrap().parse().unwrap();
        Self { places, home, friend, workspace, coder, ticket }
    }

    async fn member(&self) -> Member {
        Member::join(&self.home, &self.ticket).await
    }

    async fn raw_thread(&self) -> Vec<String> {
        ids(&self.home.api.thread(&self.workspace, CHANNEL, RAW_THREAD).await)
    }

    /// All that people see of the channel, and who the members are.
    async fn shown(&self) -> Vec<Value> {
        let api = &self.home.api;
        let channels = format!("/api/workspaces/{}/network/channels", self.workspace);
        let mut members = api.members(&self.workspace).await;
        for member in &mut members {
            member["online"] = Value::Null;
            member["behind"] = Value::Null;
        }
        vec![
            api.get(&channels).await.expect(200)["channels"][0]["message_count"].clone(),
            api.threads(&self.workspace, CHANNEL).await,
            api.thread(&self.workspace, CHANNEL, "thread_honest").await.into(),
            api.thread(&self.workspace, CHANNEL, RAW_THREAD).await.into(),
            members.into(),
        ]
    }

    /// Still alive, still linked with its friend, and still passing on what the friend says.
    async fn goes_on(&mut self) {
        assert!(self.home.is_alive(), "{}", self.places[0].logged());
        assert!(!self.places[0].logged().contains("panicked"), "{}", self.places[0].logged());
        let said = self.friend.api.say(&self.workspace, &self.coder, "thread_honest", "after").await;
        support::until_true("honest members are heard", || async {
            ids(&self.home.api.thread(&self.workspace, CHANNEL, "thread_honest").await).contains(&said)
        })
        .await;
    }
}

type Attack = for<'a> fn(&'a mut Member) -> BoxFuture<'a, ()>;

/// An operation put together by hand.
fn wire(header: Vec<u8>, signature: [u8; 64], body: Vec<u8>) -> Vec<u8> {
    cbor::encode(&(Bytes(header), Bytes64(signature), Bytes(body)))
}

/// What breaks the protocol: each has a name, and is done by a member that was honest so far.
fn violations() -> Vec<(&'static str, Attack)> {
    vec![
        ("an operation without a signature", |m| {
            Box::pin(async {
                let op = m.message("msg_unsigned");
                m.send_encoded(vec![wire(op.header_bytes().into(), [0; 64], op.body().unwrap().into())])
                    .await;
            })
        }),
        ("an operation whose text was altered", |m| {
            Box::pin(async {
                let op = m.message("msg_altered");
                let mut body = op.body().unwrap().to_vec();
                let at = body.windows(7).position(|part| part == b"this is").unwrap();
                body[at..at + 7].copy_from_slice(b"that is");
                m.send_encoded(vec![wire(op.header_bytes().into(), *op.signature(), body)]).await;
            })
        }),
        ("an operation whose header was altered", |m| {
            Box::pin(async {
                let op = m.message("msg_header");
                let mut header = op.header_bytes().to_vec();
                *header.last_mut().unwrap() ^= 1;
                m.send_encoded(vec![wire(header, *op.signature(), op.body().unwrap().into())]).await;
            })
        }),
        ("an operation in the name of the home", |m| {
            Box::pin(async {
                let op = m.message("msg_forged");
                let mut header = op.header().clone();
                header.author = m.peer.home;
                let header = cbor::encode(&header);
                let signature = m.peer.identity.sign(Domain::Operation, &header);
                m.send_encoded(vec![wire(header, signature, op.body().unwrap().into())]).await;
            })
        }),
        ("an operation signed for another purpose", |m| {
            Box::pin(async {
                let op = m.message("msg_purpose");
                let signature = m.peer.identity.sign(Domain::Presence, op.header_bytes());
                m.send_encoded(vec![wire(op.header_bytes().into(), signature, op.body().unwrap().into())])
                    .await;
            })
        }),
        ("a truncated operation", |m| {
            Box::pin(async {
                let op = m.message("msg_short").encode();
                m.send_encoded(vec![op[..op.len() - 1].to_vec()]).await;
            })
        }),
        ("a good operation and a bad one in one frame", |m| {
            Box::pin(async {
                let good = m.message("msg_good").encode();
                let bad = m.message("msg_bad").encode();
                m.send_encoded(vec![good, bad[..bad.len() - 1].to_vec()]).await;
            })
        }),
        ("an operation in another than the canonical form", |m| {
            Box::pin(async {
                let op = m.message("msg_form");
                let canonical = op.header_bytes();
                assert_eq!(canonical[1], 1, "the version");
                let header = [&canonical[..1], &[0x18, 1], &canonical[2..]].concat();
                let signature = m.peer.identity.sign(Domain::Operation, &header);
                m.send_encoded(vec![wire(header, signature, op.body().unwrap().into())]).await;
            })
        }),
        ("an operation of another space", |m| {
            Box::pin(async {
                let place = LogPlace { space: SpaceId([9; 32]), ..m.place() };
                let body = m.envelope("msg_space", &m.session);
                let op = m.write(place, Kind::ENVELOPE, body);
                m.send(&[&op]).await;
            })
        }),
        ("an operation of no place", |m| {
            Box::pin(async {
                let op = m.write(LogPlace { seq: 0, ..m.place() }, Kind::ENVELOPE, b"{}".to_vec());
                m.send(&[&op]).await;
            })
        }),
        ("an entry of the control log among the operations", |m| {
            Box::pin(async {
                let op = m.write(m.place(), Kind::MEMBER_REMOVED, vec![0x80]);
                m.send(&[&op]).await;
            })
        }),
        ("an operation among the entries of the control log", |m| {
            Box::pin(async {
                let op = m.message("msg_entry");
                m.link.send(&Frame::ControlEntries(m.space, vec![Bytes(op.encode())])).await;
            })
        }),
        ("a truncated frame", |m| {
            Box::pin(async {
                let op = m.message("msg_frame");
                let frame = Frame::Ops(m.space, vec![Bytes(op.encode())]).encode();
                m.link.send_bytes(&frame[..frame.len() - 3]).await;
            })
        }),
        ("a frame with something behind its end", |m| {
            Box::pin(async {
                let op = m.message("msg_behind");
                let frame = Frame::Ops(m.space, vec![Bytes(op.encode())]).encode();
                m.link.send_bytes(&[&frame[..], &[0]].concat()).await;
            })
        }),
        ("a frame in another than the canonical form", |m| {
            Box::pin(async {
                let mut frame = Frame::ControlHeight(m.space, 5).encode();
                frame.pop();
                frame.extend([0x18, 5]);
                m.link.send_bytes(&frame).await;
            })
        }),
        ("a frame of an unknown kind", |m| Box::pin(async { m.link.send_bytes(&[200, 0x80]).await })),
        ("noise", |m| {
            Box::pin(async {
                let noise: Vec<u8> =
                    (0..10_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
                m.link.send_bytes(&noise).await;
            })
        }),
        ("a nest of arrays", |m| {
            Box::pin(async { m.link.send_bytes(&[&[7][..], &[0x81; 60_000]].concat()).await })
        }),
        ("an array that claims to be endless", |m| {
            Box::pin(async {
                let claim = [7, 0x82, 0x58, 32].into_iter().chain([8; 32]);
                m.link
                    .send_bytes(
                        &claim.chain([0x9b, 255, 255, 255, 255, 255, 255, 255, 255]).collect::<Vec<_>>(),
                    )
                    .await;
            })
        }),
        ("an empty frame", |m| Box::pin(async { m.link.write(&[0; 4]).await })),
        ("a frame longer than allowed", |m| {
            Box::pin(async { m.link.write(&(limits::FRAME_BYTES_MAX as u32 + 1).to_be_bytes()).await })
        }),
        ("a frame of four gigabytes", |m| Box::pin(async { m.link.write(&[255; 4]).await })),
        ("a frame with too many operations", |m| {
            Box::pin(async {
                let op = m.message("msg_many").encode();
                m.send_encoded(vec![op; limits::OPS_PER_FRAME_MAX + 1]).await;
            })
        }),
        ("a second hello", |m| {
            Box::pin(async { m.link.send(&Frame::Hello(Hello { version: 1, credit: 1 })).await })
        }),
        ("a proof of a fork that proves nothing", |m| {
            Box::pin(async { m.link.send(&Frame::Fork(Bytes(vec![1, 2, 3]))).await })
        }),
        ("presence that is too long", |m| {
            Box::pin(async {
                m.link.send(&Frame::Presence(Bytes(vec![0; limits::GOSSIP_BYTES_MAX + 1]))).await
            })
        }),
    ]
}

async fn every_violation_costs_the_connection(transport: &str) {
    let mut target = Target::new(transport).await;
    let mut witness = target.member().await;
    for (number, (name, attack)) in violations().into_iter().enumerate() {
        let mut mallory = target.member().await;
        // Honest first, so that it is the attack that makes the difference.
        let id = format!("msg_honest_{number}");
        let op = mallory.message(&id);
        mallory.send(&[&op]).await;
        mallory.until_held(1).await;
        assert_eq!(target.raw_thread().await.last(), Some(&id), "{name}");

        let (shown, heights) = (target.shown().await, witness.heights().await);
        attack(&mut mallory).await;
        mallory.link.until_cut(name).await;
        mallory.peer.until_sent_away().await;
        assert_eq!(target.shown().await, shown, "{name} changes what people see");
        assert_eq!(witness.heights().await, heights, "{name} changes what is stored");
        assert!(target.home.is_alive(), "{name} brings the node down");

        // And it does not come back with the same key.
        let again =
            RawPeer::try_connect(Identity::from_seed(mallory.peer.identity.seed()), &target.home).await;
        if let Some(mut again) = again {
            assert!(again.try_link().await.is_none(), "after {name} it gets a link again");
        }
    }
    target.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_quic_every_violation_costs_the_connection_and_changes_nothing() {
    every_violation_costs_the_connection(QUIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_every_violation_costs_the_connection_and_changes_nothing() {
    every_violation_costs_the_connection(TCP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_is_there_once_n141() {
    let mut target = Target::new(QUIC).await;
    let mut mallory = target.member().await;
    let ops = ["msg_1", "msg_2", "msg_3"].map(|id| mallory.message(id));
    mallory.send(&ops.each_ref()).await;
    mallory.until_held(3).await;
    let shown = target.shown().await;
    for _ in 0..20 {
        for op in &ops {
            mallory.send(&[op]).await;
        }
        mallory.send(&[&ops[2], &ops[0], &ops[2], &ops[1]]).await;
    }
    let log = mallory.heights().await; // all of it was taken in by now
    assert!(log.iter().any(|height| height.author == mallory.peer.identity.node() && height.seq == 3));
    assert_eq!(target.shown().await, shown);
    // A message under an id that was used before is no message, though it is the log's next operation.
    let again = mallory.message("msg_2");
    mallory.send(&[&again]).await;
    mallory.until_held(4).await;
    assert_eq!(target.shown().await, shown);
    target.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_the_wrong_order_waits_for_what_is_missing_n141() {
    let mut target = Target::new(QUIC).await;
    let mut mallory = target.member().await;
    let ops = ["msg_1", "msg_2", "msg_3"].map(|id| mallory.message(id));
    mallory.send(&[&ops[2]]).await;
    mallory.send(&[&ops[1], &ops[2]]).await;
    mallory.heights().await;
    assert!(target.raw_thread().await.is_empty(), "nothing stands on nothing");
    mallory.send(&ops.each_ref()).await;
    mallory.until_held(3).await;
    assert_eq!(target.raw_thread().await, ["msg_1", "msg_2", "msg_3"]);
    target.goes_on().await;
}

/// What is signed and well-formed and still means nothing: a place in the log, and no effect.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_and_means_nothing_has_no_effect() {
    let mut target = Target::new(QUIC).await;
    let mut mallory = target.member().await;
    let honest = mallory.message("msg_1");
    mallory.send(&[&honest]).await;
    mallory.until_held(1).await;
    let shown = target.shown().await;
    let friend: NodeId = target.friend.peer_id.parse().unwrap();
    let victim = PeerName::of_session("coder", &session_id(friend, [1; 8])).unwrap();
    let in_the_name_of_another = mallory.envelope("msg_2", &victim);
    let genuine = String::from_utf8(mallory.envelope("msg_3", &mallory.session)).unwrap();
    let altered = genuine.replace("this is", "that is");
    let elsewhere = genuine.replace(&target.workspace, "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let bodies = [
        in_the_name_of_another,
        altered.into_bytes(),
        elsewhere.into_bytes(),
        b"not json".to_vec(),
        vec![0xff; 5000],
        vec![b'['; 200_000],
    ];
    for body in bodies {
        let op = mallory.write(mallory.place(), Kind::ENVELOPE, body);
        mallory.send(&[&op]).await;
    }
    for kind in [Kind::CHANNEL, Kind(999), Kind(u16::MAX)] {
        let op = mallory.write(mallory.place(), kind, vec![0x80]);
        mallory.send(&[&op]).await;
    }
    mallory.until_held(10).await;
    assert_eq!(target.shown().await, shown);
    let last = mallory.message("msg_last");
    mallory.send(&[&last]).await;
    mallory.until_held(11).await;
    assert_eq!(target.raw_thread().await, ["msg_1", "msg_last"], "its log goes on");
    target.goes_on().await;
}

/// What is signed and can never stand where it says it stands.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_continue_the_log_is_not_stored() {
    let mut target = Target::new(QUIC).await;
    let mut mallory = target.member().await;
    let honest = mallory.message("msg_1");
    mallory.send(&[&honest]).await;
    mallory.until_held(1).await;
    let (shown, next) = (target.shown().await, mallory.place());
    let height = mallory.heights().await;
    let wrong = [
        LogPlace { prev: OpId([7; 32]), ..next },
        LogPlace { hlc: honest.header().hlc, ..next },
        LogPlace { hlc: Hlc::from_ms(now_ms() + 24 * 3_600_000), ..next },
        LogPlace { hlc: Hlc(u64::MAX), ..next },
        LogPlace { control_height: 1, ..next },
        LogPlace { control_height: u64::MAX, ..next },
        LogPlace { incarnation: 0, ..next },
        LogPlace { seq: u64::MAX, ..next },
    ];
    for place in wrong {
        let body = mallory.envelope("msg_wrong", &mallory.session);
        let op = mallory.write(place, Kind::ENVELOPE, body);
        mallory.send(&[&op]).await;
    }
    assert_eq!(mallory.heights().await, height);
    assert_eq!(target.shown().await, shown);
    target.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_home_writes_the_control_log() {
    let mut target = Target::new(QUIC).await;
    let mut mallory = target.member().await;
    let shown = target.shown().await;
    for kind in
        [Kind::MEMBER_ADDED, Kind::ROLE_SET, Kind::MEMBER_REMOVED, Kind::INVITE_CREATED, Kind::GENESIS]
    {
        let place = LogPlace { incarnation: 0, seq: mallory.control_height + 1, ..mallory.place() };
        let draft = Draft { kind, stream: StreamId::SPACE, body: vec![0x80] };
        let entry = Operation::sign(&mallory.peer.identity, place, draft);
        mallory.link.send(&Frame::ControlEntries(mallory.space, vec![Bytes(entry.encode())])).await;
    }
    mallory.heights().await;
    assert_eq!(target.shown().await, shown);
    target.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_contradicts_itself_is_frozen_and_nobody_else() {
    let mut target = Target::new(QUIC).await;
    let mut mallory = target.member().await;
    let first = mallory.message("msg_1");
    mallory.send(&[&first]).await;
    mallory.until_held(1).await;
    let next = mallory.place();
    let mut versions = Vec::new();
    for id in ["msg_one_way", "msg_other_way"] {
        let body = mallory.envelope(id, &mallory.session);
        versions.push(mallory.write(next, Kind::ENVELOPE, body));
    }
    mallory.send(&[&versions[0]]).await;
    mallory.until_held(2).await;
    mallory.send(&[&versions[1]]).await;
    let third = mallory.message("msg_3");
    mallory.send(&[&third]).await;
    mallory.heights().await;
    let thread = target.raw_thread().await;
    assert!(!thread.contains(&"msg_other_way".to_owned()), "{thread:?}");
    assert!(!thread.contains(&"msg_3".to_owned()), "nothing stands on a contradiction: {thread:?}");
    target.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_spaces_it_is_not_in_a_peer_learns_nothing_n33() {
    let mut target = Target::new(QUIC).await;
    // A second workspace on the same node, in which only the friend is.
    let other = target.home.api.found("secret").await;
    let ticket = target.home.api.ticket(&other).await;
    let secret = ticket.parse::<SignedTicket>().unwrap().ticket().space;
    target.friend.api.join(&ticket).await.expect(200);
    let asker = target.home.api.session(&other, "asker", CHANNEL).await;
    target.home.api.say(&other, &asker, "thread_secret", "for the friend").await;

    // And a direct room of the two in the workspace that is open to all.
    let host = target.home.api.session(&target.workspace, "host", CHANNEL).await;
    target.home.api.until_visible(&target.workspace, CHANNEL, &target.coder.peer).await;
    let resolve = format!("/api/workspaces/{}/network/channels/{CHANNEL}/directs/resolve", target.workspace);
    let room = json!({ "session_id": host.id, "peer_id": target.coder.peer });
    target.home.api.post(&resolve, room).await.expect(200);

    let mut mallory = target.member().await;
    let (home, friend) = (mallory.peer.home, target.friend.peer_id.parse().unwrap());
    let between_them = SpaceId::pair(mallory.space, home, friend);
    let with_us = SpaceId::pair(mallory.space, home, mallory.peer.identity.node());
    let from = |seq| vec![Height { author: home, incarnation: INCARNATION, seq }];
    for space in [secret, between_them, SpaceId([9; 32])] {
        let op = mallory.message("msg_secret");
        let questions = [
            Frame::ControlHeight(space, 1),
            Frame::ControlHeight(space, u64::MAX),
            Frame::Digest(space, cbor::Bytes32([0; 32])),
            Frame::Heights { space, heights: from(u64::MAX), whole: true, credit: u64::MAX },
            Frame::Want(space, from(1)),
            Frame::Ops(space, vec![Bytes(op.encode())]),
        ];
        for question in &questions {
            mallory.link.send(question).await;
        }
    }
    // The answer to this comes after whatever those were answered with.
    let asked = mallory.space;
    mallory.link.send(&Frame::Digest(asked, cbor::Bytes32([0; 32]))).await;
    loop {
        match mallory.link.next().await.expect("questions are no violation") {
            Frame::Heights { space, whole: true, .. } if space == asked => break,
            // Credit goes back even for what is of no concern; it names no log.
            Frame::Heights { space, heights, .. } if space != asked => assert!(heights.is_empty()),
            // Who claims to know more of a space's members is asked for the entries that say so.
            Frame::ControlHeight(space, _) => assert!(![between_them, SpaceId([9; 32])].contains(&space)),
            Frame::ControlEntries(space, _)
            | Frame::Digest(space, _)
            | Frame::Want(space, _)
            | Frame::Ops(space, _) => assert!([asked, with_us].contains(&space), "a foreign space is named"),
            _ => {}
        }
    }
    assert_eq!(target.home.api.thread(&other, CHANNEL, "thread_secret").await.len(), 1);
    target.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_no_link_and_no_answer_but_to_a_ticket() {
    for transport in [QUIC, TCP] {
        let mut target = Target::new(transport).await;
        let shown = target.shown().await;
        let key = key_that_opens(target.home.peer_id.parse().unwrap());
        let mut stranger =
            RawPeer::try_connect(key, &target.home).await.expect("strangers may connect, to join");
        assert!(stranger.try_link().await.is_none());

        // Questions that are none are refused without a word.
        let request = stranger.join_request(&target.ticket);
        let somebody = Identity::from_seed([99; 32]);
        let for_another_home = muster_protocol::ask::JoinRequest { home: somebody.node(), ..request.clone() };
        let as_another_node = muster_protocol::ask::JoinRequest { node: somebody.node(), ..request.clone() };
        let good = Question::Join(request.clone()).sign(&stranger.identity);
        let mut altered = good.clone();
        *altered.last_mut().unwrap() ^= 1;
        let none = [
            Vec::new(),
            vec![0; 1000],
            altered,
            good[..good.len() - 1].to_vec(),
            Question::Join(request.clone()).sign(&somebody),
            Question::Join(for_another_home).sign(&stranger.identity),
            Question::Join(as_another_node).sign(&somebody),
        ];
        for question in &none {
            assert_eq!(stranger.ask(question).await, None);
        }
        // Whose ticket is worthless hears so, and after a few attempts has to wait.
        let mut worthless = target.ticket.ticket().clone();
        worthless.issuer = stranger.identity.node();
        let worthless = worthless.sign(&stranger.identity);
        let question = Question::Join(stranger.join_request(&worthless)).sign(&stranger.identity);
        let mut refusals = Vec::new();
        for _ in 0..=limits::JOIN_FAILURES_PER_MINUTE_MAX {
            let answer = stranger.ask(&question).await.expect("a refusal is an answer");
            refusals.push(Answer::decode(&answer).unwrap());
        }
        assert_eq!(refusals.pop(), Some(Answer::NotJoined(JoinRefusal::TooOften)));
        assert!(refusals.iter().all(|refusal| *refusal == Answer::NotJoined(JoinRefusal::Unknown)));
        assert_eq!(target.shown().await, shown);
        target.goes_on().await;
    }
}
