//! Questions of others, and answers to ours.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_fuzz::{HOME, MEMBER, NOW_MS, WORLD};
use muster_protocol::{
    ask::{Answer, Question, SignedQuestion, parse_invite, work::Act},
    cbor::{self, Bytes, Bytes64},
    control::Entry,
    identity::Domain,
    ticket::{SignedTicket, redeem},
};

/// What the home reads of a question before it decides.
fn answer(question: &Question) {
    match question {
        Question::Join(request) => {
            if let Ok(signed) = SignedTicket::decode(&request.ticket.0) {
                let _ = redeem(&WORLD.control, signed.ticket(), request.node, NOW_MS);
            }
        }
        Question::Admin(request) => {
            let _ = Entry::decode(request.kind, &request.body.0);
        }
        Question::Work(request) => {
            if let Ok(act) = Act::decode(request.act, &request.body.0) {
                assert_eq!(act.encode(), (request.act, request.body.clone()));
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(question) = SignedQuestion::decode(bytes, MEMBER.node(), HOME.node()) {
        assert_eq!(question.evidence, bytes);
    }
    // The same bytes as what a member signed.
    for (tag, domain) in [(1u8, Domain::Join), (2, Domain::Admin), (3, Domain::Work)] {
        let signature = MEMBER.sign(domain, bytes);
        let whole = cbor::encode(&(tag, Bytes(bytes.to_vec()), Bytes64(signature)));
        if let Ok(signed) = SignedQuestion::decode(&whole, MEMBER.node(), HOME.node()) {
            assert_eq!(signed.question.sign(&MEMBER), whole, "a question that is taken is canonical");
            answer(&signed.question);
        }
    }
    // A code of a newer node is read as an older one, so bytes need not come back.
    if let Ok(answer) = Answer::decode(bytes) {
        assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = parse_invite(text);
    }
});
