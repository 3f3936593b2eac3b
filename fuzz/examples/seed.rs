//! Writes real bytes for every target to begin with: `cargo run --example seed -- corpus`.

use std::{fs, path::Path};

use muster_fuzz::{
    CHANNEL, HOME, INCARNATION, INVITE, MEMBER, NOW_MS, World, joined, peer, peers, place, sign, step,
};
use muster_protocol::{
    ask::{AdminRequest, Answer, JoinRequest, Question},
    cbor::{self, Bytes, Bytes32},
    content::{ChannelOpened, RoomOpened},
    control::{Entry, InviteCreated, InviteRevoked, MemberRemoved, RoleSet},
    fork::ForkProof,
    ids::OpId,
    network::{CapabilityCatalog, Envelope, PeerCard, proof},
    operation::Kind,
    presence::{Presence, Present},
    sync::{Frame, Height, Hello},
    ticket::{JoinRefusal, Ticket},
};

fn main() {
    let folder = std::env::args().nth(1).expect("the folder to write into");
    let world = World::new();
    let space = world.space();
    let bob = &*MEMBER;
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder).expect("a folder can be made");
        fs::write(folder.join(name), bytes).expect("a file can be written");
    };
    let op = sign(bob, place(space, INCARNATION, 1, OpId::NONE, 2), Kind::ENVELOPE, envelope(&world));
    let other = sign(bob, place(space, INCARNATION, 1, OpId::NONE, 2), Kind::ENVELOPE, b"else".to_vec());
    let height = Height { author: bob.node(), incarnation: INCARNATION, seq: 4 };
    let fork = ForkProof::of(&op, &other).expect("they contradict each other").encode();
    let frames = [
        Frame::Hello(Hello { version: 1, credit: 1 << 22 }),
        Frame::ControlHeight(space, 2),
        Frame::ControlEntries(space, world.entries.iter().map(|entry| Bytes(entry.encode())).collect()),
        Frame::Digest(space, Bytes32([5; 32])),
        Frame::Heights { space, heights: vec![height], whole: true, credit: 1 << 22 },
        Frame::Want(space, vec![Height { author: HOME.node(), incarnation: INCARNATION, seq: 1 }]),
        Frame::Ops(space, vec![Bytes(op.encode())]),
        Frame::Fork(Bytes(fork.clone())),
        Frame::Presence(Bytes(vec![1, 2])),
    ];
    let encoded: Vec<_> = frames.iter().map(Frame::encode).collect();
    for (at, frame) in encoded.iter().enumerate() {
        write("frame", &format!("frame-{at}"), frame);
    }
    write("machine", "frames", &[vec![step::HOME], joined(&encoded[1..])].concat());
    for (at, op) in world.entries.iter().chain(&world.log).chain([&op]).enumerate() {
        write("operation", &format!("operation-{at}"), &op.encode());
        write("operation", &format!("header-{at}"), op.header_bytes());
    }
    write("operation", "fork", &fork);
    for (name, body) in bodies(&world) {
        write("operation", name, &body);
    }
    let (node, invite, evidence) = (bob.node(), INVITE, Bytes::default());
    let cut_offs = vec![(INCARNATION, 1)];
    let created = InviteCreated {
        invite,
        by: HOME.node(),
        role: 1,
        not_after_ms: NOW_MS,
        uses_max: 3,
        evidence: evidence.clone(),
    };
    let entries = [
        Entry::InviteCreated(created),
        Entry::RoleSet(RoleSet { node, role: 2, cut_offs: cut_offs.clone(), evidence: evidence.clone() }),
        Entry::InviteRevoked(InviteRevoked { invite, evidence: evidence.clone() }),
        Entry::MemberRemoved(MemberRemoved { node, cut_offs, evidence }),
    ];
    let entries = entries.map(|entry| {
        let (kind, body) = entry.encode();
        [vec![kind.0 as u8], body].concat()
    });
    write("control", "all", &joined(&entries));
    for (name, side, steps) in links(&entries) {
        write("machine", name, &[vec![side], joined(&steps)].concat());
    }
    write("store", "header", &[[0, 0, 9, 1], [0, 0, 70, 255]].concat());
    write("store", "pages", &(0..16).flat_map(|page| [page, 1, page, 0x40]).collect::<Vec<u8>>());
    let ticket = Ticket {
        space,
        workspace: world.control.genesis().workspace,
        name: "fuzz".to_owned(),
        home: HOME.node(),
        addresses: vec!["/ip4/127.0.0.1/udp/7118/quic-v1".to_owned()],
        invite,
        issuer: HOME.node(),
        role: 1,
        not_after_ms: NOW_MS,
        audience: Vec::new(),
    };
    let ticket = ticket.sign(&HOME);
    write("ticket", "bytes", &ticket.encode());
    write("ticket", "inner", &cbor::encode(ticket.ticket()));
    write("ticket", "text", ticket.to_string().as_bytes());
    let request = JoinRequest {
        ticket: Bytes(ticket.encode()),
        home: HOME.node(),
        node,
        name: "bob".to_owned(),
        at_ms: NOW_MS,
    };
    write("ask", "join-inner", &cbor::encode(&request));
    write("ask", "join", &Question::Join(request).sign(bob));
    let (kind, body) = (Kind(u16::from(entries[0][0])), Bytes(entries[0][1..].to_vec()));
    let request = AdminRequest { space, home: HOME.node(), node, at_ms: NOW_MS, kind, body };
    write("ask", "admin-inner", &cbor::encode(&request));
    write("ask", "admin", &Question::Admin(request).sign(bob));
    let answers = [Answer::Joined(vec![1]), Answer::NotJoined(JoinRefusal::Full), Answer::Decided(4)];
    for (at, answer) in answers.iter().enumerate() {
        write("ask", &format!("answer-{at}"), &answer.encode());
    }
    write("envelope", "say", &envelope(&world));
    for (at, word) in
        ["builders", "agent-0.sess-75ba6f6cad1765113a98dc2eb6b047af", "thread_first", "msg-1", "ws_01"]
            .iter()
            .enumerate()
    {
        write("words", &format!("word-{at}"), word.as_bytes());
    }
    let card = PeerCard::local(peer(bob), Some("Coder"), &CapabilityCatalog::default());
    let card = serde_json::to_vec(&card).expect("a card is JSON");
    let presence = Presence {
        space,
        node,
        at_ms: NOW_MS,
        part: 0,
        name: "bob".to_owned(),
        addresses: vec!["/ip4/127.0.0.1/tcp/7118".to_owned()],
        digest: Bytes32([5; 32]),
        present: vec![Present { channel: "builders".to_owned(), card: Bytes(card.clone()) }],
        gone: Vec::new(),
    };
    write("presence", "card", &card);
    write("presence", "inner", &cbor::encode(&presence));
    write("presence", "signed", &presence.sign(bob));
}

/// Bodies of all kinds behind where they stand, as the target `operation` reads them.
fn bodies(world: &World) -> [(&'static str, Vec<u8>); 4] {
    let (pair, room) = (peers(), world.room.clone());
    let [peer_a, peer_b] = [pair.a().to_string(), pair.b().to_string()];
    let channel = CHANNEL.to_owned();
    let opened = ChannelOpened {
        name: channel.clone(),
        purpose: "to build".to_owned(),
        created_by: "coder".to_owned(),
    };
    let room = RoomOpened { channel, direct_id: room, peer_a, peer_b };
    let whole = |stream: u8, kind: Kind, body: Vec<u8>| [vec![stream, kind.0 as u8], body].concat();
    [
        ("body-say", whole(0, Kind::ENVELOPE, envelope(world))),
        ("body-direct", whole(2, Kind::ENVELOPE, direct(world))),
        ("body-channel", whole(0, Kind::CHANNEL, cbor::encode(&opened))),
        ("body-room", whole(2, Kind::DIRECT_ROOM, cbor::encode(&room))),
    ]
}

/// What happens on links, for the target `machine`: from the home's side, a member's and a newcomer's.
fn links(entries: &[Vec<u8>]) -> [(&'static str, u8, Vec<Vec<u8>>); 4] {
    let op = |author: u8, seq: u8, height: u8, how: u8| {
        vec![step::OPS, author, INCARNATION as u8, seq, height, how, Kind::ENVELOPE.0 as u8, b'x', seq]
    };
    let write = |is_pair: u8| vec![step::WRITE, is_pair, b'y'];
    let digest = |how: u8| vec![step::DIGEST, how];
    let heights = |how: u8, more: i8| vec![step::HEIGHTS, how, more as u8];
    let entry = |at: usize| [vec![step::ENTRY], entries[at].clone()].concat();
    let (later, writable) = (vec![step::LATER, 40], vec![step::WRITABLE]);
    let mut talk = vec![digest(step::DIFFERENT), heights(0, -1)];
    talk.extend(vec![write(0); 6]);
    talk.extend([
        op(1, 1, 2, 0),
        op(1, 2, 2, step::PAIR),
        op(1, 1, 2, step::PAIR),
        op(1, 3, 2, 0),
        write(0),
        write(1),
        digest(step::GOSSIP),
        heights(step::PAIR, 0),
        writable.clone(),
        heights(step::DIFFERENT, 2),
        later.clone(),
        heights(0, 0),
        digest(step::DIFFERENT),
        digest(step::DIFFERENT),
        digest(step::PAIR),
    ]);
    let quarrel = vec![
        digest(0),
        op(1, 1, 2, 0),
        op(1, 1, 2, step::EARLY),
        op(1, 2, 9, 0),
        op(2, 1, 2, 0),
        op(0, 4, 2, step::DIFFERENT),
        later,
        op(0, 2, 2, step::DIFFERENT),
        op(0, 4, 3, 0),
        entry(1),
        entry(3),
        op(1, 2, 3, 0),
        writable,
    ];
    let learn = vec![entry(0), digest(step::DIFFERENT), entry(1), entry(3), vec![step::LATER, 9], write(0)];
    [
        ("talk-home", step::HOME, talk.clone()),
        ("talk-poor", step::HOME | step::POOR, talk),
        ("quarrel", step::MEMBER, quarrel),
        ("learn", step::NEWCOMER, learn),
    ]
}

/// Said to everybody in a channel.
fn envelope(world: &World) -> Vec<u8> {
    said(world, serde_json::json!({ "surface": "thread", "thread_id": "thread_first" }))
}

/// Said to the home's peer alone.
fn direct(world: &World) -> Vec<u8> {
    let to = peer(&HOME).to_string();
    said(world, serde_json::json!({ "surface": "direct", "direct_id": world.room, "to": to }))
}

fn said(world: &World, place: serde_json::Value) -> Vec<u8> {
    let members = serde_json::json!({
        "protocol": "agh-network/v0", "id": "msg-1", "workspace_id": world.control.genesis().workspace.to_string(),
        "kind": "say", "channel": CHANNEL, "from": peer(&MEMBER).to_string(), "ts": NOW_MS / 1000,
        "body": { "text": "hello" },
    });
    let (serde_json::Value::Object(mut members), serde_json::Value::Object(place)) = (members, place) else {
        unreachable!("objects were written")
    };
    members.extend(place);
    let mut envelope = Envelope::from_members(members).expect("an envelope that keeps the rules");
    proof::sign(&mut envelope, MEMBER.signing_key()).expect("it can be signed");
    envelope.to_json().expect("it is small")
}
