//! Whatever bytes come, decoders answer; what they take they write again byte for byte; and nothing
//! that was changed on the way still verifies.

use muster_protocol::{
    ask::{AdminRequest, Answer, JoinRequest, Question, SignedQuestion, work::WorkRequest},
    cbor::{Bytes, Bytes16, Bytes32},
    clock::Hlc,
    control::{
        Entry, Genesis, HomeMoved, InviteCreated, InviteRevoked, MemberAdded, MemberRemoved, RoleSet,
        SlugTaken,
    },
    fork::ForkProof,
    identity::{Identity, NodeId},
    ids::{OpId, SpaceId, StreamId, WorkspaceId},
    operation::{Draft, Kind, Operation, Place},
    sync::{Frame, Height, Hello},
    ticket::{SignedTicket, Ticket},
};
use proptest::{collection::vec, prelude::*};

fn node() -> impl Strategy<Value = NodeId> {
    any::<[u8; 32]>().prop_map(|seed| Identity::from_seed(seed).node())
}

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes)
}

fn bytes16() -> impl Strategy<Value = Bytes16> {
    any::<[u8; 16]>().prop_map(Bytes16)
}

fn space() -> impl Strategy<Value = SpaceId> {
    any::<[u8; 32]>().prop_map(SpaceId)
}

fn workspace() -> impl Strategy<Value = WorkspaceId> {
    (any::<u64>(), any::<[u8; 10]>()).prop_map(|(ms, random)| WorkspaceId::new(ms >> 16, random))
}

prop_compose! {
    fn height()(author in node(), incarnation: u64, seq: u64) -> Height {
        Height { author, incarnation, seq }
    }
}

prop_compose! {
    fn operation()(
        seed: [u8; 32],
        space in space(),
        incarnation: u64,
        seq in 1..=u64::MAX,
        prev: [u8; 32],
        hlc: u64,
        control_height: u64,
        kind: u16,
        stream: [u8; 16],
        body in vec(any::<u8>(), 1..300),
    ) -> Operation {
        let place = Place { space, incarnation, seq, prev: OpId(prev), hlc: Hlc(hlc), control_height };
        let draft = Draft { kind: Kind(kind), stream: StreamId(stream), body };
        Operation::sign(&Identity::from_seed(seed), place, draft)
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        any::<(u16, u64)>().prop_map(|(version, credit)| Frame::Hello(Hello { version, credit })),
        (space(), any::<u64>()).prop_map(|(space, height)| Frame::ControlHeight(space, height)),
        (space(), vec(bytes(40), 0..9)).prop_map(|(space, entries)| Frame::ControlEntries(space, entries)),
        (space(), any::<[u8; 32]>()).prop_map(|(space, digest)| Frame::Digest(space, Bytes32(digest))),
        (space(), vec(height(), 0..5), any::<bool>(), any::<u64>())
            .prop_map(|(space, heights, whole, credit)| Frame::Heights { space, heights, whole, credit }),
        (space(), vec(height(), 0..5)).prop_map(|(space, heights)| Frame::Want(space, heights)),
        (space(), vec(bytes(40), 0..9)).prop_map(|(space, ops)| Frame::Ops(space, ops)),
        bytes(200).prop_map(Frame::Fork),
        bytes(200).prop_map(Frame::Presence),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let cut_offs = || vec(any::<(u64, u64)>(), 0..4);
    prop_oneof![
        (workspace(), ".{0,20}", node(), ".{0,20}", any::<u64>(), vec(workspace(), 0..2)).prop_map(
            |(workspace, name, founder, founder_name, created_ms, parent)| {
                Entry::Genesis(Genesis { workspace, name, founder, founder_name, created_ms, parent })
            }
        ),
        (node(), ".{0,20}", any::<u8>(), bytes16(), bytes(90)).prop_map(
            |(node, name, role, invite, evidence)| {
                Entry::MemberAdded(MemberAdded { node, name, role, invite, evidence })
            }
        ),
        (node(), any::<u8>(), cut_offs(), bytes(90)).prop_map(|(node, role, cut_offs, evidence)| {
            Entry::RoleSet(RoleSet { node, role, cut_offs, evidence })
        }),
        (node(), cut_offs(), bytes(90)).prop_map(|(node, cut_offs, evidence)| {
            Entry::MemberRemoved(MemberRemoved { node, cut_offs, evidence })
        }),
        (bytes16(), node(), any::<u8>(), any::<u64>(), any::<u32>(), bytes(90)).prop_map(
            |(invite, by, role, not_after_ms, uses_max, evidence)| {
                let created = InviteCreated { invite, by, role, not_after_ms, uses_max, evidence };
                Entry::InviteCreated(created)
            }
        ),
        (bytes16(), bytes(90))
            .prop_map(|(invite, evidence)| Entry::InviteRevoked(InviteRevoked { invite, evidence })),
        (node(), bytes(90)).prop_map(|(node, evidence)| Entry::HomeMoved(HomeMoved { node, evidence })),
        (node(), "\\PC{0,40}", "\\PC{0,80}", bytes(90)).prop_map(|(node, principal, slug, evidence)| {
            Entry::SlugTaken(SlugTaken { node, principal, slug, evidence })
        }),
    ]
}

prop_compose! {
    fn ticket()(
        seed: [u8; 32],
        space in space(),
        workspace in workspace(),
        name in ".{0,30}",
        home in node(),
        addresses in vec("[ -~]{0,60}", 0..8),
        invite in bytes16(),
        role in 0..=3u8,
        not_after_ms: u64,
        audience in vec(node(), 0..=1),
    ) -> SignedTicket {
        let identity = Identity::from_seed(seed);
        let issuer = identity.node();
        Ticket { space, workspace, name, home, addresses, invite, issuer, role, not_after_ms, audience }
            .sign(&identity)
    }
}

/// A question, its bytes, and who asks.
fn question() -> impl Strategy<Value = (Question, Vec<u8>)> {
    let join =
        (any::<[u8; 32]>(), bytes(200), ".{0,30}", any::<u64>()).prop_map(|(seed, ticket, name, at_ms)| {
            let node = Identity::from_seed(seed).node();
            (seed, Question::Join(JoinRequest { ticket, home: home(), node, name, at_ms }))
        });
    let admin = (any::<[u8; 32]>(), space(), any::<u64>(), any::<u16>(), bytes(200)).prop_map(
        |(seed, space, at_ms, kind, body)| {
            let node = Identity::from_seed(seed).node();
            let request = AdminRequest { space, home: home(), node, at_ms, kind: Kind(kind), body };
            (seed, Question::Admin(request))
        },
    );
    let work = (any::<[u8; 32]>(), space(), any::<[u8; 32]>(), any::<u8>(), bytes(200)).prop_map(
        |(seed, space, key, act, body)| {
            let (node, key) = (Identity::from_seed(seed).node(), Bytes32(key));
            let request = WorkRequest { space, home: home(), node, at_ms: 7, key, act, body };
            (seed, Question::Work(request))
        },
    );
    prop_oneof![join, admin, work].prop_map(|(seed, question)| {
        let bytes = question.sign(&Identity::from_seed(seed));
        (question, bytes)
    })
}

fn home() -> NodeId {
    Identity::from_seed([1; 32]).node()
}

fn asker(question: &Question) -> NodeId {
    match question {
        Question::Join(request) => request.node,
        Question::Admin(request) => request.node,
        Question::Work(request) => request.node,
    }
}

/// `bytes` with one of them changed, one left out, or one put in.
fn mutated(mut bytes: Vec<u8>, at: prop::sample::Index, how: u8, value: u8) -> Vec<u8> {
    let at = at.index(bytes.len());
    match how % 3 {
        0 => bytes[at] ^= value,
        1 => {
            bytes.remove(at);
        }
        _ => bytes.insert(at, value),
    }
    bytes
}

/// Bytes as hostile as random ones can be: of any kind, or those of a good structure with some changed.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let damaged = (frame(), operation(), any::<bool>(), any::<prop::sample::Index>(), any::<(u8, u8)>());
    prop_oneof![
        vec(any::<u8>(), 0..400),
        damaged.prop_map(|(frame, op, whether, at, (how, value))| {
            mutated(if whether { frame.encode() } else { op.encode() }, at, how, value)
        }),
        // Headers of arrays and strings that claim to be huge.
        (
            1..10u8,
            vec(prop_oneof![Just(0x9b), Just(0x5b), Just(0x7b), Just(0x82), Just(0xff), any::<u8>()], 0..60)
        )
            .prop_map(|(tag, rest)| [vec![tag], rest].concat()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(0x62_7974_6573),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_bytes_make_a_decoder_panic_and_what_it_takes_it_writes_again(bytes in noise()) {
        if let Ok(frame) = Frame::decode(&bytes) {
            prop_assert_eq!(frame.encode(), &bytes[..]);
        }
        if let Ok(op) = Operation::decode(&bytes) {
            prop_assert_eq!(op.encode(), &bytes[..]);
        }
        if let Ok(proof) = ForkProof::decode(&bytes) {
            prop_assert_eq!(proof.encode(), &bytes[..]);
        }
        if let Ok(ticket) = SignedTicket::decode(&bytes) {
            prop_assert_eq!(ticket.encode(), &bytes[..]);
        }
        for kind in 0..8 {
            if let Ok(entry) = Entry::decode(Kind(kind), &bytes) {
                prop_assert_eq!(entry.encode(), (Kind(kind), bytes.clone()));
            }
        }
        prop_assert!(SignedQuestion::decode(&bytes, home(), home()).is_err());
        let _ = Answer::decode(&bytes); // codes of newer nodes are read as the nearest older one
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(text.parse::<SignedTicket>().is_err());
        let almost = format!("muster1{text}").parse::<SignedTicket>();
        prop_assert!(almost.is_err());
        let _ = text.parse::<NodeId>();
        let _ = text.parse::<WorkspaceId>();
    }

    #[test]
    fn every_frame_reads_back(frame in frame()) {
        prop_assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
    }

    #[test]
    fn every_entry_reads_back(entry in entry()) {
        let (kind, body) = entry.encode();
        prop_assert!(kind.is_control());
        prop_assert_eq!(Entry::decode(kind, &body), Ok(entry));
    }

    #[test]
    fn every_operation_reads_back_and_no_changed_one_verifies(
        op in operation(),
        at: prop::sample::Index,
        how: u8,
        value in 1..=255u8,
    ) {
        let bytes = op.encode();
        let read = Operation::decode(&bytes);
        prop_assert_eq!(read.as_ref().ok().map(|op| op.verify()), Some(Ok(())));
        prop_assert_eq!(read, Ok(op));
        let changed = mutated(bytes.clone(), at, how, value);
        // Putting in a byte equal to its neighbour can leave a run as it was, but never the length.
        prop_assert_ne!(&changed, &bytes);
        prop_assert!(Operation::decode(&changed).and_then(|op| op.verify()).is_err());
    }

    #[test]
    fn every_ticket_reads_back_and_no_changed_one_is_taken(
        ticket in ticket(),
        at: prop::sample::Index,
        how: u8,
        value in 1..=255u8,
    ) {
        prop_assert_eq!(ticket.to_string().parse::<SignedTicket>(), Ok(ticket.clone()));
        let changed = mutated(ticket.encode(), at, how, value);
        prop_assert!(SignedTicket::decode(&changed).is_err());
        let mut text = ticket.to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = if text[at] == b'q' { b'r' } else { b'q' };
        prop_assert!(String::from_utf8_lossy(&text).parse::<SignedTicket>().is_err());
    }

    #[test]
    fn every_question_reads_back_and_no_changed_one_is_taken(
        (question, bytes) in question(),
        at: prop::sample::Index,
        how: u8,
        value in 1..=255u8,
    ) {
        let read = SignedQuestion::decode(&bytes, asker(&question), home());
        prop_assert_eq!(read.map(|read| (read.question, read.evidence)), Ok((question.clone(), bytes.clone())));
        let changed = mutated(bytes, at, how, value);
        prop_assert!(SignedQuestion::decode(&changed, asker(&question), home()).is_err());
    }

    #[test]
    fn every_fork_is_proven_and_no_changed_proof_holds(
        op in operation(),
        seed: [u8; 32],
        at: prop::sample::Index,
        how: u8,
        value in 1..=255u8,
    ) {
        let identity = Identity::from_seed(seed);
        let header = op.header();
        let place = Place {
            space: header.space,
            incarnation: header.incarnation,
            seq: header.seq,
            prev: header.prev,
            hlc: header.hlc,
            control_height: header.control_height,
        };
        let say = |body: &[u8]| {
            let draft = Draft { kind: header.kind, stream: header.stream, body: body.to_vec() };
            Operation::sign(&identity, place, draft)
        };
        let proof = ForkProof::of(&say(b"yes"), &say(b"no")).expect("they contradict each other");
        let bytes = proof.encode();
        prop_assert_eq!(ForkProof::decode(&bytes).map(|read| read.verify().is_ok()), Ok(true));
        let changed = ForkProof::decode(&mutated(bytes, at, how, value));
        prop_assert!(changed.is_err() || changed.is_ok_and(|proof| proof.verify().is_err()));
    }
}
