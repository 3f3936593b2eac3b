//! Operations, what they mean, and proofs of forks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_fuzz::{CHANNEL, HOME, INCARNATION, MEMBER, NOW_MS, WORLD, place};
use muster_protocol::{
    cbor::{self, Bytes, Bytes64},
    content::Content,
    control::ControlState,
    fork::ForkProof,
    identity::Domain,
    ids::{OpId, StreamId},
    limits, log,
    network::{
        proof::{self, Profile},
        read_members,
    },
    operation::{Draft, Header, Kind, Operation},
};

fn judge(op: &Operation, control: &ControlState) {
    let _ = op.verify();
    let _ = log::admit(control, None, op, NOW_MS);
    let _ = Content::read(op, control);
    for held in &WORLD.log {
        if let Some(proof) = ForkProof::of(op, held) {
            let read = ForkProof::decode(&proof.encode());
            assert_eq!(read.as_ref(), Ok(&proof));
            assert_eq!(proof.verify().is_ok(), op.verify().is_ok(), "two that are signed prove it");
        }
    }
}

/// The bytes as a header that one of the two signed, of an operation whose body was deleted.
fn read_header(bytes: &[u8]) {
    let Ok(header) = cbor::decode::<Header>(bytes, limits::HEADER_BYTES_MAX) else { return };
    let Some(author) = [&HOME, &MEMBER].into_iter().find(|who| who.node() == header.author) else { return };
    let signature = Bytes64(author.sign(Domain::Operation, bytes));
    let wire = cbor::encode(&(Bytes(bytes.to_vec()), signature, Bytes::default()));
    if let Ok(op) = Operation::decode(&wire) {
        assert_eq!(op.verify(), Ok(()));
        judge(&op, &WORLD.control);
    }
}

/// The bytes as a body that the member signed: behind where it stands, and its kind.
fn read_body(bytes: &[u8]) {
    let [stream, kind, body @ ..] = bytes else { return };
    let kind = Kind(u16::from(*kind));
    let (control, stream) = match stream % 3 {
        0 => (&*WORLD.control, StreamId::channel(WORLD.space(), CHANNEL)),
        1 => (&WORLD.pair, StreamId::channel(WORLD.pair.space(), CHANNEL)),
        _ => (&WORLD.pair, StreamId::direct_room(WORLD.pair.space(), &WORLD.room)),
    };
    let body = if kind == Kind::ENVELOPE { with_proof(body) } else { body.to_vec() };
    if (1..=limits::BODY_BYTES_MAX).contains(&body.len()) {
        let first = place(control.space(), INCARNATION, 1, OpId::NONE, 2);
        let op = Operation::sign(&MEMBER, first, Draft { kind, stream, body });
        assert_eq!(Operation::decode(&op.encode()).as_ref(), Ok(&op));
        judge(&op, control);
    }
}

/// An envelope with the member's signature in place of whatever it had.
fn with_proof(json: &[u8]) -> Vec<u8> {
    let Ok(mut members) = read_members(json) else { return json.to_vec() };
    match proof::sign_members(&mut members, Profile::Muster, MEMBER.signing_key()) {
        Ok(()) => serde_json::to_vec(&members).expect("members are JSON"),
        Err(_) => json.to_vec(),
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(op) = Operation::decode(bytes) {
        assert_eq!(op.encode(), bytes, "an operation that is taken is canonical");
        judge(&op, &WORLD.control);
    }
    if let Ok(proof) = ForkProof::decode(bytes) {
        assert_eq!(proof.encode(), bytes);
        let _ = proof.verify();
    }
    read_header(bytes);
    read_body(bytes);
});
