//! Writes real bytes for every target to begin with: `cargo run --example seed -- corpus`.

use std::{fs, path::Path};

use muster_fuzz::{INCARNATION, NOW_MS, World, identity, joined, place, sign};
use muster_protocol::{
    ask::{Answer, JoinRequest, Question},
    cbor::{Bytes, Bytes16, Bytes32},
    control::{Entry, InviteCreated, InviteRevoked, MemberRemoved, RoleSet},
    fork::ForkProof,
    ids::OpId,
    network::{CapabilityCatalog, Envelope, PeerCard, PeerName, proof},
    operation::Kind,
    presence::{Presence, Present},
    sync::{Frame, Height, Hello},
    ticket::{JoinRefusal, Ticket},
};

fn main() {
    let folder = std::env::args().nth(1).expect("the folder to write into");
    let world = World::new();
    let space = world.space();
    let bob = identity(2);
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder).expect("a folder can be made");
        fs::write(folder.join(name), bytes).expect("a file can be written");
    };
    let op = sign(&bob, place(space, INCARNATION, 1, OpId::NONE, 2), Kind::ENVELOPE, envelope(&world));
    let other = sign(&bob, place(space, INCARNATION, 1, OpId::NONE, 2), Kind::ENVELOPE, b"else".to_vec());
    let height = Height { author: bob.node(), incarnation: INCARNATION, seq: 4 };
    let fork = ForkProof::of(&op, &other).expect("they contradict each other").encode();
    let frames = [
        Frame::Hello(Hello { version: 1, credit: 1 << 22 }),
        Frame::ControlHeight(space, 2),
        Frame::ControlEntries(space, world.entries.iter().map(|entry| Bytes(entry.encode())).collect()),
        Frame::Digest(space, Bytes32([5; 32])),
        Frame::Heights { space, heights: vec![height], whole: true, credit: 1 << 22 },
        Frame::Want(space, vec![Height { author: identity(1).node(), incarnation: INCARNATION, seq: 1 }]),
        Frame::Ops(space, vec![Bytes(op.encode())]),
        Frame::Fork(Bytes(fork.clone())),
        Frame::Presence(Bytes(vec![1, 2])),
    ];
    let encoded: Vec<_> = frames.iter().map(Frame::encode).collect();
    for (at, frame) in encoded.iter().enumerate() {
        write("frame", &format!("frame-{at}"), frame);
    }
    write("machine", "all", &joined(&encoded[1..]));
    for (at, op) in world.entries.iter().chain(&world.log).chain([&op]).enumerate() {
        write("operation", &format!("operation-{at}"), &op.encode());
    }
    write("operation", "fork", &fork);
    let (node, invite, evidence) = (bob.node(), Bytes16([2; 16]), Bytes::default());
    let cut_offs = vec![(INCARNATION, 1)];
    let created = InviteCreated {
        invite,
        by: identity(1).node(),
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
    let ticket = Ticket {
        space,
        workspace: world.control.genesis().workspace,
        name: "fuzz".to_owned(),
        home: identity(1).node(),
        addresses: vec!["/ip4/127.0.0.1/udp/7118/quic-v1".to_owned()],
        invite,
        issuer: identity(1).node(),
        role: 1,
        not_after_ms: NOW_MS,
        audience: Vec::new(),
    };
    let ticket = ticket.sign(&identity(1));
    write("ticket", "bytes", &ticket.encode());
    write("ticket", "text", ticket.to_string().as_bytes());
    let request = JoinRequest {
        ticket: Bytes(ticket.encode()),
        home: identity(1).node(),
        node,
        name: "bob".to_owned(),
        at_ms: NOW_MS,
    };
    write("ask", "join", &Question::Join(request).sign(&bob));
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
    let peer = PeerName::parse("coder.sess-75ba6f6cad1765113a98dc2eb6b047af").expect("a peer's name");
    let card = PeerCard::local(peer, Some("Coder"), &CapabilityCatalog::default());
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
    write("presence", "signed", &presence.sign(&bob));
}

fn envelope(world: &World) -> Vec<u8> {
    let members = serde_json::json!({
        "protocol": "agh-network/v0", "id": "msg-1", "workspace_id": world.control.genesis().workspace.to_string(),
        "kind": "say", "channel": "builders", "surface": "thread", "thread_id": "thread_first",
        "from": "coder.sess-75ba6f6cad1765113a98dc2eb6b047af", "ts": NOW_MS / 1000, "body": { "text": "hello" },
    });
    let serde_json::Value::Object(members) = members else { unreachable!("an object was written") };
    let mut envelope = Envelope::from_members(members).expect("an envelope that keeps the rules");
    proof::sign(&mut envelope, identity(2).signing_key()).expect("it can be signed");
    envelope.to_json().expect("it is small")
}
