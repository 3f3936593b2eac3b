//! Posts, cards and streams: who may say what, and where.

use super::*;
use crate::{
    cbor::{Bytes, Bytes16},
    clock::Hlc,
    control::{Entry, SlugTaken, tests::Home},
    identity::{Identity, NodeId},
    ids::{OpId, owned_ulid},
    invocation::{InvocationId, Trigger, machine::Status},
    memo::Memo,
    operation::{Draft, Place},
    principal::{MENTIONABLE, Slug},
};

const ADA: u8 = 1;
const EVE: u8 = 3;

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn node(seed: u8) -> NodeId {
    identity(seed).node()
}

fn user(seed: u8) -> Principal {
    Principal::new_user(1_800_000_000_000, node(seed), [seed; 5])
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn take(home: &mut Home, seed: u8, principal: Principal, text: &str) {
    let taken = SlugTaken {
        node: node(seed),
        principal: principal.to_string(),
        slug: text.to_owned(),
        evidence: Bytes::default(),
    };
    home.decide(Entry::SlugTaken(taken));
}

/// Ada's workspace, of which eve is a member; a person lives at either.
fn control() -> ControlState {
    let mut home = Home::new();
    home.add(node(EVE), Role::Member);
    take(&mut home, ADA, user(ADA), "ada");
    take(&mut home, EVE, user(EVE), "eve");
    home.state
}

fn op(author: u8, control: &ControlState, kind: Kind, stream: StreamId, body: Vec<u8>) -> Operation {
    let (space, hlc, control_height) = (control.space(), Hlc::from_ms(1_800_000_000_000), control.height());
    let place = Place { space, incarnation: 7, seq: 1, prev: OpId::NONE, hlc, control_height };
    Operation::sign(&identity(author), place, Draft { kind, stream, body })
}

fn builders(control: &ControlState) -> StreamId {
    StreamId::channel(control.space(), "builders")
}

fn post(seed: u8, name: &str) -> Post {
    Post {
        id: Bytes16(owned_ulid(1_800_000_000_000, node(seed), [9; 5]).to_bytes()),
        from: user(seed).peer(&slug(name)).to_string(),
        channel: "builders".into(),
        thread: String::new(),
        text: "hello".into(),
        client_id: String::new(),
        metadata: Vec::new(),
        sent_via: String::new(),
        attachments: Vec::new(),
    }
}

fn read_post_of(author: u8, control: &ControlState, post: &Post) -> Content {
    let stream = if post.channel.is_empty() { StreamId([5; 16]) } else { builders(control) };
    Content::read(&op(author, control, Kind::POST, stream, cbor::encode(post)), control)
}

#[test]
fn a_slug_is_given_once_and_to_nobody_else_w110() {
    let mut home = Home::new();
    home.add(node(EVE), Role::Member);
    take(&mut home, ADA, user(ADA), "ada");
    take(&mut home, EVE, user(EVE), "ada"); // taken
    take(&mut home, ADA, user(ADA), "lovelace"); // has one
    take(&mut home, EVE, user(ADA), "mine"); // not of that node
    take(&mut home, EVE, user(EVE), "Eve"); // not as it is kept
    assert_eq!(home.state.named(&slug("ada")), Some(user(ADA)));
    assert_eq!(home.state.principals().count(), 1);
    take(&mut home, EVE, user(EVE), "eve");
    assert_eq!(home.state.slug(user(EVE)), Some(&slug("eve")));
}

#[test]
fn a_post_is_its_authors_under_the_slug_that_the_home_gave() {
    let control = control();
    assert!(matches!(read_post_of(ADA, &control, &post(ADA, "ada")), Content::Post(_)));
    let void = |author, post: Post| read_post_of(author, &control, &post);
    assert_eq!(void(EVE, post(ADA, "ada")), Content::Void(Void::Impostor));
    assert_eq!(void(ADA, post(ADA, "eve")), Content::Void(Void::Impostor));
    // Another node's id could hide a message of that node.
    assert_eq!(
        void(EVE, Post { id: post(ADA, "ada").id, ..post(EVE, "eve") }),
        Content::Void(Void::Impostor)
    );
    assert_eq!(void(ADA, Post { text: String::new(), ..post(ADA, "ada") }), Content::Void(Void::Malformed));
    assert_eq!(
        void(ADA, Post { channel: "others".into(), ..post(ADA, "ada") }),
        Content::Void(Void::Misplaced)
    );
    assert_eq!(
        void(ADA, Post { channel: String::new(), ..post(ADA, "ada") }),
        Content::Void(Void::Misplaced)
    );
}

#[test]
fn a_private_post_stands_in_a_private_space_and_names_no_channel() {
    let pair = ControlState::pair(&control(), node(ADA), node(EVE));
    let private = Post { channel: String::new(), ..post(ADA, "ada") };
    assert!(matches!(read_post_of(ADA, &pair, &private), Content::Post(_)));
    assert_eq!(read_post_of(ADA, &pair, &post(ADA, "ada")), Content::Void(Void::Misplaced));
    assert_eq!(
        envelope_of(&op(ADA, &pair, Kind::POST, StreamId([5; 16]), cbor::encode(&private)), &pair),
        None
    );
}

#[test]
fn a_public_post_shows_as_a_say_at_the_time_of_its_operation() {
    let control = control();
    let op = op(ADA, &control, Kind::POST, builders(&control), cbor::encode(&post(ADA, "ada")));
    let envelope = envelope_of(&op, &control).unwrap();
    assert_eq!((envelope.kind, envelope.ts), (crate::network::Kind::Say, 1_800_000_000));
    assert_eq!(envelope.from, user(ADA).peer(&slug("ada")));
}

#[test]
fn what_is_said_of_a_post_comes_from_the_home_of_its_author_w71() {
    let control = control();
    let target = Bytes16([1; 16]);
    let from = user(ADA).peer(&slug("ada")).to_string();
    let edited = PostEdited { target, from: from.clone(), text: "hi".into(), attachments: Vec::new() };
    let read =
        |author, kind, body| Content::read(&op(author, &control, kind, builders(&control), body), &control);
    assert!(matches!(read(ADA, Kind::POST_EDITED, cbor::encode(&edited)), Content::PostEdited(_)));
    assert_eq!(read(EVE, Kind::POST_EDITED, cbor::encode(&edited)), Content::Void(Void::Impostor));
    let deleted = PostDeleted { target, from };
    assert!(matches!(read(ADA, Kind::POST_DELETED, cbor::encode(&deleted)), Content::PostDeleted(_)));
    assert_eq!(read(EVE, Kind::POST_DELETED, cbor::encode(&deleted)), Content::Void(Void::Impostor));
}

#[test]
fn a_card_comes_from_the_home_of_whom_it_is_about() {
    let control = control();
    let bot = Principal::new_bot(1, node(ADA), [1; 5]);
    let card = BotCard {
        id: bot.to_string(),
        name: "Helper".into(),
        description: String::new(),
        owner: user(EVE).to_string(),
        traits: vec![MENTIONABLE.into()],
        archived_ms: 0,
    };
    let read = |author, stream| {
        Content::read(&op(author, &control, Kind::BOT, stream, cbor::encode(&card)), &control)
    };
    assert!(matches!(read(ADA, StreamId::SPACE), Content::Bot(read, _) if read == bot));
    assert_eq!(read(EVE, StreamId::SPACE), Content::Void(Void::Impostor));
    assert_eq!(read(ADA, builders(&control)), Content::Void(Void::Misplaced));
}

#[test]
fn public_channels_are_opened_by_name_and_threads_below_them() {
    let control = control();
    let opened = |kind, thread: &str| StreamChanged {
        channel: "builders".into(),
        thread: thread.into(),
        part: StreamPart::Opened { kind, slug: None, by: None },
    };
    let read = |changed: StreamChanged| {
        Content::read(&op(ADA, &control, Kind::STREAM, builders(&control), changed.encode()), &control)
    };
    assert!(matches!(read(opened(StreamKind::Thread, "thread_abc")), Content::Stream(_)));
    assert_eq!(read(opened(StreamKind::Thread, "")), Content::Void(Void::Malformed));
    assert_eq!(read(opened(StreamKind::Channel, "")), Content::Void(Void::Malformed));
    assert_eq!(read(opened(StreamKind::Channel, "thread_abc")), Content::Void(Void::Malformed));
    let takes_part = TakesPart { channel: "builders".into(), principal: user(EVE).to_string(), joined: true };
    let body = cbor::encode(&takes_part);
    let content = Content::read(&op(ADA, &control, Kind::TAKES_PART, builders(&control), body), &control);
    assert_eq!(content, Content::TakesPart(user(EVE), takes_part));
}

#[test]
fn what_became_of_an_invocation_is_said_by_the_home_of_the_bot_where_the_source_stands() {
    let control = control();
    let bot = Principal::new_bot(1, node(ADA), [1; 5]);
    let source = OpId([7; 32]);
    let id = InvocationId::new(1_800_000_000_000, source, bot, Trigger::Mention);
    let said = InvocationSaid {
        id: Bytes16(id.0.to_bytes()),
        bot: bot.to_string(),
        source,
        trigger: Trigger::Mention.as_str().into(),
        channel: "builders".into(),
        message: Bytes16([8; 16]),
        status: Status::Pending as u8,
        attempt: 0,
        reply: Bytes::default(),
        reason: String::new(),
    };
    let read = |author, stream, said: &InvocationSaid| {
        Content::read(&op(author, &control, Kind::INVOCATION, stream, cbor::encode(said)), &control)
    };
    assert!(matches!(read(ADA, builders(&control), &said), Content::Invocation(_)));
    assert_eq!(read(EVE, builders(&control), &said), Content::Void(Void::Impostor));
    assert_eq!(read(ADA, StreamId([5; 16]), &said), Content::Void(Void::Misplaced));
    let other = InvocationSaid { source: OpId([6; 32]), ..said };
    assert_eq!(read(ADA, builders(&control), &other), Content::Void(Void::Malformed));
}

#[test]
fn a_memo_stands_where_its_sources_do_and_its_id_names_its_author_w93() {
    let control = control();
    let memo = |channel: &str, sources: usize| Memo {
        id: Bytes16(owned_ulid(1_800_000_000_000, node(ADA), [3; 5]).to_bytes()),
        channel: channel.into(),
        knowledge: "decision".into(),
        title: "Use redb".into(),
        summary: "One file.".into(),
        key_points: Vec::new(),
        tags: Vec::new(),
        sources: vec![Bytes16([7; 16]); sources],
    };
    let read = |author, control: &ControlState, stream, memo: &Memo| {
        Content::read(&op(author, control, Kind::MEMO, stream, cbor::encode(memo)), control)
    };
    let private = ControlState::pair(&control, node(ADA), node(EVE));
    let (channel, alone) = (memo("builders", 1), memo("", 0));
    assert!(matches!(read(ADA, &control, builders(&control), &channel), Content::Memo(_)));
    assert!(matches!(read(ADA, &control, StreamId::SPACE, &alone), Content::Memo(_)));
    assert!(matches!(read(ADA, &private, StreamId([5; 16]), &memo("", 1)), Content::Memo(_)));

    for (control, stream, misplaced) in [
        (&control, StreamId::SPACE, &channel),
        (&control, builders(&control), &alone),
        (&control, builders(&control), &memo("builders", 0)),
        (&control, builders(&control), &memo("", 1)),
        (&private, StreamId::SPACE, &alone),
        (&private, StreamId([5; 16]), &alone),
        (&private, builders(&control), &channel),
    ] {
        assert_eq!(read(ADA, control, stream, misplaced), Content::Void(Void::Misplaced), "{misplaced:?}");
    }
    assert_eq!(read(EVE, &control, builders(&control), &channel), Content::Void(Void::Impostor));
    let malformed = Memo { title: String::new(), ..alone };
    assert_eq!(read(ADA, &control, StreamId::SPACE, &malformed), Content::Void(Void::Malformed));
}

fn notice(seed: u8, about: Option<Principal>) -> Notice {
    Notice {
        id: Bytes16(owned_ulid(1_800_000_000_000, node(seed), [3; 5]).to_bytes()),
        thread: String::new(),
        about: about.as_ref().map_or_else(String::new, Principal::to_string),
        text: "Nobody answers here.".into(),
    }
}

#[test]
fn a_notice_about_a_bot_comes_from_the_bots_home_in_private_w129() {
    let (control, helper) = (control(), Principal::new_bot(1, node(ADA), [1; 5]));
    let pair = ControlState::pair(&control, node(ADA), node(EVE));
    let read = |author, control: &ControlState, stream, notice: &Notice| {
        Content::read(&op(author, control, Kind::NOTICE, stream, cbor::encode(notice)), control)
    };
    let (pad, of_ada) = (StreamId([5; 16]), notice(ADA, Some(helper)));
    assert_eq!(read(ADA, &pair, pad, &of_ada), Content::Notice(Box::new(of_ada.clone())));
    assert_eq!(read(EVE, &pair, pad, &notice(EVE, Some(helper))), Content::Void(Void::Impostor));
    // Another node's id could hide a message of that node.
    assert_eq!(
        read(ADA, &pair, pad, &Notice { id: notice(EVE, None).id, ..of_ada.clone() }),
        Content::Void(Void::Impostor)
    );
    assert_eq!(read(ADA, &pair, StreamId::SPACE, &of_ada), Content::Void(Void::Misplaced));
    assert_eq!(read(ADA, &control, builders(&control), &of_ada), Content::Void(Void::Misplaced));
    let empty = Notice { text: String::new(), ..of_ada };
    assert_eq!(read(ADA, &pair, pad, &empty), Content::Void(Void::Malformed));
    assert_eq!(
        envelope_of(&op(ADA, &pair, Kind::NOTICE, pad, cbor::encode(&notice(ADA, Some(helper)))), &pair),
        None,
        "it is no message of the Network door"
    );
}

#[test]
fn a_notice_about_nobody_and_a_stream_for_such_are_only_where_a_node_is_alone_w75() {
    let control = control();
    let (alone, pair) = (
        ControlState::pair(&control, node(ADA), node(ADA)),
        ControlState::pair(&control, node(ADA), node(EVE)),
    );
    let stream = StreamId::notices(alone.space(), user(ADA).ulid());
    let told = |control: &ControlState| {
        let body = cbor::encode(&notice(ADA, None));
        Content::read(&op(ADA, control, Kind::NOTICE, stream, body), control)
    };
    assert!(matches!(told(&alone), Content::Notice(_)));
    assert_eq!(told(&pair), Content::Void(Void::Impostor));

    let open = |control: &ControlState, stream, by: Option<Principal>| {
        let part = StreamPart::Opened { kind: StreamKind::System, slug: None, by };
        let changed = StreamChanged { channel: String::new(), thread: String::new(), part };
        Content::read(&op(ADA, control, Kind::STREAM, stream, changed.encode()), control)
    };
    assert!(matches!(open(&alone, stream, Some(user(ADA))), Content::Stream(_)));
    assert_eq!(open(&alone, StreamId([5; 16]), Some(user(ADA))), Content::Void(Void::Misplaced));
    assert_eq!(open(&alone, stream, Some(user(EVE))), Content::Void(Void::Impostor));
    assert_eq!(open(&alone, stream, None), Content::Void(Void::Malformed));
    let bot = Principal::new_bot(1, node(ADA), [1; 5]);
    assert_eq!(open(&alone, stream, Some(bot)), Content::Void(Void::Malformed));
    let elsewhere = StreamId::notices(pair.space(), user(ADA).ulid());
    assert_eq!(open(&pair, elsewhere, Some(user(ADA))), Content::Void(Void::Misplaced));
}
