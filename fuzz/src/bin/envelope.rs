//! Envelopes of the Network door: members, body, proof, and the search for secrets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_protocol::network::{Envelope, MAX_ENVELOPE_BYTES, proof, read_members, secrets};

fuzz_target!(|bytes: &[u8]| {
    let Ok(members) = read_members(bytes) else { return };
    let _ = proof::classify(&members, None);
    let _ = secrets::check_members("body", &members);
    let Ok(envelope) = Envelope::from_members(members) else { return };
    let _ = (envelope.check(muster_fuzz::NOW_MS as i64 / 1000), envelope.check_room(), envelope.preview());
    let _ = envelope.content();
    if let Ok(json) = envelope.to_json() {
        assert!(json.len() <= MAX_ENVELOPE_BYTES);
        assert_eq!(Envelope::parse(&json).as_ref(), Ok(&envelope), "what is written reads back");
    }
});
