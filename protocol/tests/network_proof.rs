//! Signatures: the published vectors hold, what was changed is noticed, and a name stays with its key (N-73 to N-77).

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use ed25519_dalek::SigningKey;
use muster_protocol::network::proof::{
    PROFILE_BASELINE, Profile, ProofError, Trust, Unverified, classify, fingerprint, key_id, sign,
    sign_members, signed_bytes,
};
use muster_protocol::network::{Envelope, read_members};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Seed 00…1f of the key vector (N-77).
fn vector_key() -> SigningKey {
    SigningKey::from_bytes(&std::array::from_fn(|index| index as u8))
}

fn other_key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn envelope(kind: &str) -> Envelope {
    let mut json = json!({
        "protocol": "agh-network/v0", "id": "m1", "workspace_id": "ws_alpha", "kind": kind, "channel": "builders",
        "from": "coder.sess-abc", "ts": 1_800_000_000, "body": {"text": "Ready."}, "ext": {"vendor.x": [1, null]},
    });
    if kind == "greet" {
        json["body"] = json!({"peer_card": {"peer_id": "coder.sess-abc", "profiles_supported": [], "capabilities": [],
            "artifacts_supported": [], "trust_modes_supported": []}});
    } else {
        json["surface"] = json!("thread");
        json["thread_id"] = json!("thread_abc");
    }
    Envelope::parse(json.to_string().as_bytes()).unwrap()
}

fn signed(kind: &str, key: &SigningKey) -> Map<String, Value> {
    let mut envelope = envelope(kind);
    sign(&mut envelope, key).unwrap();
    read_members(&envelope.to_json().unwrap()).unwrap()
}

#[test]
fn the_key_vector_holds_n77() {
    let key = vector_key().verifying_key();
    let pubkey = data_encoding::BASE64URL_NOPAD.encode(key.as_bytes());
    assert_eq!(pubkey, "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg");
    assert_eq!(key_id(&key), "sha256:56475aa75463474c0285df5dbf2bcab73da651358839e9b77481b2eab107708c");
    assert_eq!(fingerprint(&key), "56475aa75463474c0285df5dbf2bcab7");
}

/// The worked example of AGH's baseline profile (its docs, page ed25519-jcs), without `proof.sig`. It predates
/// `workspace_id` and still has `interaction_id`: a signature covers what was sent, not what we know.
fn published_example() -> Map<String, Value> {
    let json = json!({
        "protocol": "agh-network/v1", "id": "msg_ed25519_jcs_01", "kind": "say", "channel": "builders",
        "from": "patch-worker@56475aa75463474c0285df5dbf2bcab7", "to": null, "interaction_id": null,
        "reply_to": null, "trace_id": "trace_ed25519_jcs_01", "causation_id": null, "ts": 1_775_606_300,
        "expires_at": null, "body": {"text": "Baseline proof example only.", "artifacts": []},
        "proof": {
            "profile": PROFILE_BASELINE, "alg": "Ed25519",
            "key_id": "sha256:56475aa75463474c0285df5dbf2bcab73da651358839e9b77481b2eab107708c",
            "pubkey": "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg",
        },
        "ext": {},
    });
    json.as_object().unwrap().clone()
}

const PUBLISHED_SIGNATURE: &str =
    "aXPSCsPgH2uWlF182hIcA2D_EZ1UcSXmelwQiPrNrIwDn5LPB6kkH51teP0VUfFCVdjyvtAjZ2bmhT94tSynBA";

#[test]
fn the_published_vector_verifies_n74() {
    let mut message = published_example();
    let bytes = signed_bytes(&message);
    assert_eq!(bytes.len(), 560);
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes));
    assert_eq!(hash, "6ca0e765811d58394b1c49142f0ec2b7edc23a924ca90821757ad409f4104be5");

    message["proof"]["sig"] = json!(PUBLISHED_SIGNATURE);
    let Trust::Verified(verified) = classify(&message, None) else { panic!("it verifies") };
    assert_eq!(
        (verified.key, verified.profile, verified.binds),
        (vector_key().verifying_key(), Profile::Baseline, false)
    );
}

#[test]
fn we_make_the_published_signature_too_n74() {
    let mut message = published_example();
    sign_members(&mut message, Profile::Baseline, &vector_key()).unwrap();
    assert_eq!(message["proof"]["sig"], PUBLISHED_SIGNATURE);
}

/// SHA-256 of the signed bytes, and the signature, of [`envelope`]`("say")` under the key of N-77. Peers hold messages
/// signed this way: a change here means that they no longer verify.
const OUR_VECTOR: (&str, &str) = (
    "d84dfdb4b70893c7909830b3aaff54a76baeb8efc0ab918640559c75868ea489",
    "xm_moVEkl4OloW8q1Kqzd71ncGWMgm59ZresqieqgdsjZGFY7ReDJos1BWO0YWKPtwejSABLD2tVp32TMuDCDw",
);

#[test]
fn our_own_profile_has_a_vector_that_never_changes_n76() {
    let message = signed("say", &vector_key());
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(signed_bytes(&message)));
    assert_eq!((hash.as_str(), message["proof"]["sig"].as_str().unwrap()), OUR_VECTOR);
}

#[test]
fn absent_and_null_members_sign_differently_n74() {
    let mut message = published_example();
    message["proof"]["sig"] = json!(PUBLISHED_SIGNATURE);
    message.remove("to");
    assert_eq!(classify(&message, None), Trust::Rejected(ProofError::BadSignature));
}

#[test]
fn the_first_valid_greet_binds_the_key_to_the_name_n76() {
    let key = vector_key().verifying_key();
    let Trust::Verified(first) = classify(&signed("greet", &vector_key()), None) else {
        panic!("a valid greet")
    };
    assert!(first.binds);

    let Trust::Verified(later) = classify(&signed("say", &vector_key()), Some(&key)) else {
        panic!("same key")
    };
    assert!(!later.binds);
    for kind in ["greet", "say"] {
        assert_eq!(
            classify(&signed(kind, &other_key()), Some(&key)),
            Trust::Rejected(ProofError::ForeignKey)
        );
    }
}

#[test]
fn a_signature_before_any_greet_says_nothing_about_the_name_n76() {
    let trust = classify(&signed("say", &vector_key()), None);
    assert_eq!(trust, Trust::Unverified(Unverified::UnboundKey(vector_key().verifying_key())));
}

#[test]
fn no_proof_or_an_unknown_profile_is_unverified_n75() {
    let mut message = envelope("say").to_members();
    assert_eq!(classify(&message, None), Trust::Unverified(Unverified::NoProof));
    for nothing in [json!(null), json!({})] {
        message.insert("proof".into(), nothing);
        assert_eq!(classify(&message, None), Trust::Unverified(Unverified::NoProof));
    }
    message.insert("proof".into(), json!({"profile": "somebody.else/v7", "sig": "x"}));
    assert_eq!(classify(&message, None), Trust::Unverified(Unverified::UnknownProfile));
}

#[test]
fn a_signature_cannot_be_stripped_from_a_peer_that_signs_n75() {
    let key = vector_key().verifying_key();
    let mut message = signed("say", &vector_key());
    for stripped in [json!(null), json!({}), json!({"profile": "unknown"})] {
        message.insert("proof".into(), stripped);
        assert_eq!(classify(&message, Some(&key)), Trust::Rejected(ProofError::Stripped));
    }
    let mut handle = published_example();
    handle.remove("proof");
    assert_eq!(classify(&handle, None), Trust::Rejected(ProofError::Stripped));
}

#[test]
fn the_baseline_profile_wants_a_name_made_of_the_key_n74() {
    let mut message = published_example();
    for from in ["coder.sess-abc", "patch-worker@00000000000000000000000000000000", "Patch@x"] {
        message["from"] = json!(from);
        sign_members(&mut message, Profile::Baseline, &vector_key()).unwrap();
        assert_eq!(classify(&message, None), Trust::Rejected(ProofError::ForeignKey), "{from}");
    }
}

#[test]
fn a_broken_block_is_rejected_n75() {
    for (member, value, error) in [
        ("alg", json!("RS256"), ProofError::Malformed { member: "alg" }),
        ("alg", json!(null), ProofError::Malformed { member: "alg" }),
        ("pubkey", json!("AAAA"), ProofError::Malformed { member: "pubkey" }),
        ("pubkey", json!("A".repeat(43)), ProofError::Malformed { member: "pubkey" }),
        ("key_id", json!("sha256:00"), ProofError::KeyIdMismatch),
        ("sig", json!("AAAA"), ProofError::Malformed { member: "sig" }),
        ("sig", json!("A".repeat(86)), ProofError::BadSignature),
        ("note", json!("added"), ProofError::BadSignature),
    ] {
        let mut message = signed("greet", &vector_key());
        message["proof"][member] = value;
        assert_eq!(classify(&message, None), Trust::Rejected(error), "{member}");
    }
    let mut message = signed("greet", &vector_key());
    message.insert("proof".into(), json!("text"));
    assert!(matches!(classify(&message, None), Trust::Rejected(ProofError::Malformed { .. })));
}

#[test]
fn numbers_that_the_signed_form_would_round_are_not_signed() {
    let mut large = envelope("say");
    large.ext = json!({"n": [9_007_199_254_740_992_u64]}).as_object().cloned();
    assert_eq!(sign(&mut large, &vector_key()), Err(ProofError::InexactNumber));
    large.ext =
        json!({"n": [9_007_199_254_740_991_u64, -9_007_199_254_740_991_i64, 1.5e300]}).as_object().cloned();
    assert_eq!(sign(&mut large, &vector_key()), Ok(()));

    let mut message = signed("greet", &vector_key());
    message.insert("added".into(), json!(u64::MAX));
    assert_eq!(classify(&message, None), Trust::Rejected(ProofError::InexactNumber));
}

/// Every place in a JSON value, as the way to it.
fn places(value: &Value, way: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, item)| {
            found.push(format!("{way}/{}", name.replace('~', "~0").replace('/', "~1")));
            places(item, found.last().cloned().unwrap().as_str(), found);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| {
            places(item, &format!("{way}/{index}"), found);
        }),
        _ => {}
    }
}

#[test]
fn no_member_can_be_changed_or_dropped_unnoticed() {
    let message = Value::Object(signed("greet", &vector_key()));
    let mut all = Vec::new();
    places(&message, "", &mut all);
    assert!(all.len() > 15);
    for place in all {
        let mut changed = message.clone();
        *changed.pointer_mut(&place).unwrap() = json!("changed");
        let (parent, name) = place.rsplit_once('/').unwrap();
        let mut dropped = message.clone();
        dropped.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        for tampered in [changed, dropped] {
            let trust = classify(tampered.as_object().unwrap(), Some(&vector_key().verifying_key()));
            assert!(matches!(trust, Trust::Rejected(_)), "{place}: {trust:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_survives_the_way_over_the_wire_signed(text in "\\PC{1,60}", number in -1e300_f64..1e300) {
        let mut envelope = envelope("say");
        envelope.body = json!({"text": text, "n": number}).as_object().unwrap().clone();
        sign(&mut envelope, &vector_key()).unwrap();
        let received = read_members(&envelope.to_json().unwrap()).unwrap();
        let trust = classify(&received, Some(&vector_key().verifying_key()));
        prop_assert!(matches!(trust, Trust::Verified(_)));
    }

    #[test]
    fn no_proof_block_makes_the_verifier_panic(
        member in prop::sample::select(&["profile", "alg", "key_id", "pubkey", "sig"][..]),
        text in "[A-Za-z0-9_=-]{0,90}",
    ) {
        let mut message = signed("greet", &vector_key());
        message["proof"][member] = json!(text);
        prop_assert!(!matches!(classify(&message, None), Trust::Verified(_)));
    }
}
