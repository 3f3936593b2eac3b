//! Signatures over envelopes, and what they prove (N-72 to N-77).
//!
//! Two profiles share one construction: Ed25519 over the RFC 8785 form of the envelope with only `proof.sig` left out.
//! They differ in how the key is tied to the sender:
//!
//! - [`Profile::Baseline`], as AGH specifies it: `from` is `nickname@fingerprint`, so the name carries the key. Such a
//!   name is no peer name (N-4): [`classify`] can judge the message, and [`Envelope::parse`] then refuses it.
//! - [`Profile::Muster`]: `from` is a plain peer name, because room ids are made of it (N-36). The key is bound to
//!   (workspace, peer) by the peer's first valid greet (N-76); the caller keeps that binding and hands it in.
//!
//! Verification works on the JSON as received. An absent member and a null one sign differently, so nothing may be
//! filled in first.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::envelope::Envelope;
use super::kinds::Kind;

/// AGH's baseline profile (N-74).
pub const PROFILE_BASELINE: &str = "agh-network.trust.ed25519-jcs/v1";
/// Our own profile: the same construction, the key bound to the peer by its first valid greet (N-76).
pub const PROFILE_MUSTER: &str = "muster.trust.ed25519-jcs/v1";

const ALGORITHM: &str = "Ed25519";
/// Hex digits of a key's hash that stand in a `nickname@fingerprint` name (N-75).
const FINGERPRINT_DIGITS: usize = 32;
/// Longest nickname in such a name (N-75).
const MAX_NICKNAME_BYTES: usize = 32;
/// Largest whole number that RFC 8785 writes without rounding: 2^53 - 1. Two larger ones may share one canonical form,
/// so a signature would not tell them apart.
const MAX_EXACT_INTEGER: u64 = (1 << 53) - 1;

/// How a key is tied to a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// By the sender's name (N-74).
    Baseline,
    /// By the first valid greet (N-76).
    Muster,
}

impl Profile {
    /// The name in `proof.profile`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => PROFILE_BASELINE,
            Self::Muster => PROFILE_MUSTER,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Baseline, Self::Muster].into_iter().find(|profile| profile.as_str() == name)
    }
}

/// What a message's proof says about its sender (N-75). Verified is not permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The sender signed it.
    Verified(Verified),
    /// Nobody can tell; workspace policy decides (N-73).
    Unverified(Unverified),
    /// Somebody tampered; drop it with reason `verification_failed`.
    Rejected(ProofError),
}

/// A signature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The signer.
    pub key: VerifyingKey,
    /// How the key is tied to the sender.
    pub profile: Profile,
    /// True for a greet by a peer without a bound key: the caller binds `key` to it now (N-76).
    pub binds: bool,
}

/// Why nothing can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unverified {
    /// There is no proof.
    NoProof,
    /// Its profile is none we know.
    UnknownProfile,
    /// The signature holds, but the peer has not greeted yet, so the key could be anybody's.
    UnboundKey(VerifyingKey),
}

/// Why a proof is bad. All are reason `verification_failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// A member is absent, of the wrong type or badly encoded.
    #[error("`proof.{member}` is missing or not what the profile asks for")]
    Malformed {
        /// The member.
        member: &'static str,
    },
    /// `key_id` is not the hash of `pubkey`.
    #[error("`proof.key_id` is not the hash of `proof.pubkey`")]
    KeyIdMismatch,
    /// The key belongs to somebody else than the sender.
    #[error(
        "the signing key is not the one of `from`; a peer changes its key only after its presence has expired"
    )]
    ForeignKey,
    /// The signature does not fit the message.
    #[error("the signature does not fit the message")]
    BadSignature,
    /// A signing peer's message without a signature: it was stripped (N-75).
    #[error("`from` always signs, and this message is not signed")]
    Stripped,
    /// A whole number that the signed form rounds.
    #[error("a whole number beyond 2^53 - 1 cannot be signed exactly; write it as text")]
    InexactNumber,
}

/// Signs an envelope under [`Profile::Muster`] and puts the block in its place. Whatever `proof` it had is replaced.
///
/// # Errors
/// [`ProofError::InexactNumber`] when body or ext hold a whole number that the signed form would round.
pub fn sign(envelope: &mut Envelope, key: &SigningKey) -> Result<(), ProofError> {
    let parts = [Some(&envelope.body), envelope.ext.as_ref()];
    if !parts.into_iter().flatten().all(all_exact) {
        return Err(ProofError::InexactNumber);
    }
    envelope.proof = Some(unsigned_block(Profile::Muster, &key.verifying_key()));
    let signature = key.sign(&canonical(envelope));
    if let Some(proof) = &mut envelope.proof {
        proof.insert("sig".to_owned(), encode(&signature.to_bytes()).into());
    }
    Ok(())
}

/// Signs the JSON of an envelope under either profile; [`sign`] is the way for our own.
///
/// # Errors
/// As [`sign`].
pub fn sign_members(
    members: &mut Map<String, Value>,
    profile: Profile,
    key: &SigningKey,
) -> Result<(), ProofError> {
    if !all_exact(members) {
        return Err(ProofError::InexactNumber);
    }
    let mut proof = unsigned_block(profile, &key.verifying_key());
    members.insert("proof".to_owned(), Value::Object(proof.clone()));
    let signature = key.sign(&signed_bytes(members));
    proof.insert("sig".to_owned(), encode(&signature.to_bytes()).into());
    members.insert("proof".to_owned(), Value::Object(proof));
    Ok(())
}

/// Judges the proof of a message as received (N-74, N-75).
///
/// `bound` is the key that the sender's first valid greet bound to (workspace, peer), if its entry has not expired
/// (N-76). With a bound key, a message without a proof we know is rejected: otherwise anybody could speak for a
/// signing peer by leaving the signature out. \[ours\]
pub fn classify(members: &Map<String, Value>, bound: Option<&VerifyingKey>) -> Trust {
    let from = members.get("from").and_then(Value::as_str).unwrap_or_default().trim();
    let always_signs = bound.is_some() || Handle::parse(from).is_some();
    let unproven =
        |why| if always_signs { Trust::Rejected(ProofError::Stripped) } else { Trust::Unverified(why) };
    let proof = match members.get("proof") {
        None | Some(Value::Null) => return unproven(Unverified::NoProof),
        Some(Value::Object(proof)) if proof.is_empty() => return unproven(Unverified::NoProof),
        Some(Value::Object(proof)) => proof,
        Some(_) => return Trust::Rejected(ProofError::Malformed { member: "profile" }),
    };
    let Some(profile) = proof.get("profile").and_then(Value::as_str).and_then(Profile::from_name) else {
        return unproven(Unverified::UnknownProfile);
    };
    let key = match read_key(proof) {
        Ok(key) => key,
        Err(error) => return Trust::Rejected(error),
    };
    let binding = match profile {
        Profile::Baseline => baseline_binding(from, &key),
        Profile::Muster => greet_binding(members, &key, bound),
    };
    let verdict = match binding {
        Binding::Foreign => return Trust::Rejected(ProofError::ForeignKey),
        Binding::None => Trust::Unverified(Unverified::UnboundKey(key)),
        Binding::Known => Trust::Verified(Verified { key, profile, binds: false }),
        Binding::First => Trust::Verified(Verified { key, profile, binds: true }),
    };
    match verify(members, proof, &key) {
        Ok(()) => verdict,
        Err(error) => Trust::Rejected(error),
    }
}

/// The bytes a signature covers: the RFC 8785 form of the envelope without `proof.sig` (N-74).
pub fn signed_bytes(members: &Map<String, Value>) -> Vec<u8> {
    canonical(&WithoutSignature(members))
}

/// `sha256:` and the 64 hex digits of the key's hash (N-74).
pub fn key_id(key: &VerifyingKey) -> String {
    format!("sha256:{}", key_hash(key))
}

/// The first 32 hex digits of the key's hash (N-75).
pub fn fingerprint(key: &VerifyingKey) -> String {
    key_hash(key)[..FINGERPRINT_DIGITS].to_owned()
}

enum Binding {
    /// The key is the sender's.
    Known,
    /// The key becomes the sender's with this greet.
    First,
    /// Nobody has said whose key it is.
    None,
    /// The key is somebody else's.
    Foreign,
}

fn baseline_binding(from: &str, key: &VerifyingKey) -> Binding {
    match Handle::parse(from) {
        Some(handle) if handle.fingerprint == fingerprint(key) => Binding::Known,
        _ => Binding::Foreign,
    }
}

fn greet_binding(members: &Map<String, Value>, key: &VerifyingKey, bound: Option<&VerifyingKey>) -> Binding {
    let is_greet = members.get("kind").and_then(Value::as_str).map(str::trim) == Some(Kind::Greet.as_str());
    match bound {
        Some(bound) if bound == key => Binding::Known,
        Some(_) => Binding::Foreign,
        None if is_greet => Binding::First,
        None => Binding::None,
    }
}

/// `nickname@fingerprint` (N-75).
struct Handle<'a> {
    fingerprint: &'a str,
}

impl<'a> Handle<'a> {
    fn parse(from: &'a str) -> Option<Self> {
        let (nickname, fingerprint) = from.split_once('@')?;
        let nickname_fits = (1..=MAX_NICKNAME_BYTES).contains(&nickname.len())
            && nickname.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        let fingerprint_fits = fingerprint.len() == FINGERPRINT_DIGITS
            && fingerprint.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (nickname_fits && fingerprint_fits).then_some(Self { fingerprint })
    }
}

/// Algorithm, key and key id, in the order of N-74.
fn read_key(proof: &Map<String, Value>) -> Result<VerifyingKey, ProofError> {
    let text = |member: &'static str| {
        proof.get(member).and_then(Value::as_str).ok_or(ProofError::Malformed { member })
    };
    if text("alg")? != ALGORITHM {
        return Err(ProofError::Malformed { member: "alg" });
    }
    let malformed = ProofError::Malformed { member: "pubkey" };
    let bytes: [u8; 32] = decode(text("pubkey")?).ok_or(malformed)?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| malformed)?;
    if key.is_weak() {
        return Err(malformed);
    }
    if text("key_id")? != key_id(&key) {
        return Err(ProofError::KeyIdMismatch);
    }
    Ok(key)
}

fn verify(
    members: &Map<String, Value>,
    proof: &Map<String, Value>,
    key: &VerifyingKey,
) -> Result<(), ProofError> {
    let sig = proof.get("sig").and_then(Value::as_str).and_then(decode::<64>);
    let sig = sig.ok_or(ProofError::Malformed { member: "sig" })?;
    if !all_exact(members) {
        return Err(ProofError::InexactNumber);
    }
    key.verify_strict(&signed_bytes(members), &Signature::from_bytes(&sig))
        .map_err(|_| ProofError::BadSignature)
}

fn unsigned_block(profile: Profile, key: &VerifyingKey) -> Map<String, Value> {
    let members = [
        ("profile", profile.as_str().to_owned()),
        ("alg", ALGORITHM.to_owned()),
        ("key_id", key_id(key)),
        ("pubkey", encode(key.as_bytes())),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect()
}

fn canonical<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value)
        .expect("parsed JSON has string keys, each once, and finite numbers")
}

fn key_hash(key: &VerifyingKey) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(key.as_bytes()))
}

fn encode(bytes: &[u8]) -> String {
    data_encoding::BASE64URL_NOPAD.encode(bytes)
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn all_exact(members: &Map<String, Value>) -> bool {
    members.values().all(is_exact)
}

fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(whole), _) => whole <= MAX_EXACT_INTEGER,
            (None, Some(negative)) => negative.unsigned_abs() <= MAX_EXACT_INTEGER,
            (None, None) => true,
        },
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(members) => all_exact(members),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// An envelope as it is signed, without copying it: `proof.sig` is skipped while writing.
struct WithoutSignature<'a>(&'a Map<String, Value>);

impl Serialize for WithoutSignature<'_> {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let mut map = output.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            match value {
                Value::Object(proof) if name == "proof" => {
                    map.serialize_entry(name, &ProofWithoutSig(proof))?
                }
                _ => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

struct ProofWithoutSig<'a>(&'a Map<String, Value>);

impl Serialize for ProofWithoutSig<'_> {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_map(self.0.iter().filter(|(name, _)| *name != "sig"))
    }
}
