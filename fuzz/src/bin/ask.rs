//! Questions of others, and answers to ours.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_fuzz::identity;
use muster_protocol::ask::{Answer, SignedQuestion, parse_invite};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(question) = SignedQuestion::decode(bytes, identity(2).node(), identity(1).node()) {
        assert_eq!(question.evidence, bytes);
    }
    // A code of a newer node is read as an older one, so bytes need not come back.
    if let Ok(answer) = Answer::decode(bytes) {
        assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = parse_invite(text);
    }
});
