//! Envelopes of the Network door: members, body, proof, and the search for secrets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_fuzz::{MEMBER, NOW_MS};
use muster_protocol::network::{
    Envelope, MAX_ENVELOPE_BYTES,
    proof::{self, Profile, ProofError, Trust},
    read_members, secrets,
};

/// Either the profile's rules forbid to sign these members, or what is signed holds on the other side.
fn sign(members: &serde_json::Map<String, serde_json::Value>, profile: Profile) {
    let mut members = members.clone();
    if proof::sign_members(&mut members, profile, MEMBER.signing_key()).is_err() {
        return;
    }
    let json = serde_json::to_vec(&members).expect("members are JSON");
    let Ok(read) = read_members(&json) else { return };
    let bad =
        matches!(proof::classify(&read, None), Trust::Rejected(error) if error != ProofError::ForeignKey);
    assert!(!bad, "a good signature is refused");
    let key = MEMBER.signing_key().verifying_key();
    if profile == Profile::Muster {
        assert!(matches!(proof::classify(&read, Some(&key)), Trust::Verified(_)));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(members) = read_members(bytes) else { return };
    let _ = proof::classify(&members, None);
    let _ = secrets::check_members("body", &members);
    sign(&members, Profile::Muster);
    sign(&members, Profile::Baseline);
    let Ok(mut envelope) = Envelope::from_members(members) else { return };
    let _ = (envelope.check(NOW_MS as i64 / 1000), envelope.check_room(), envelope.preview());
    let _ = envelope.content();
    if let Ok(json) = envelope.to_json() {
        assert!(json.len() <= MAX_ENVELOPE_BYTES);
        assert_eq!(Envelope::parse(&json).as_ref(), Ok(&envelope), "what is written reads back");
    }
    if proof::sign(&mut envelope, MEMBER.signing_key()).is_ok()
        && let Ok(json) = envelope.to_json()
    {
        let members = read_members(&json).expect("what is written reads back");
        let key = MEMBER.signing_key().verifying_key();
        assert!(matches!(proof::classify(&members, Some(&key)), Trust::Verified(_)));
    }
});
