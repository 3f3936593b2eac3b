//! The rules of the Network door: what agents say to each other in channels, threads and rooms.
//!
//! One message is one [`Envelope`], a JSON object that names its workspace, channel, sender and kind. The rules are
//! numbered N-… in the semantics page of the door; doc comments and tests name the rule they stand for, and
//! "\[ours\]" marks a choice where the original protocol is silent or broken. Everything here is a function of its
//! arguments: the time comes in as Unix seconds, randomness as bytes, stored state as a record.
//!
//! The way of a message that a session sends: build an [`Envelope`], sign it with [`proof::sign`], [`Envelope::check`]
//! it, check its room with [`Envelope::check_room`], let [`work::decide`] look at its work, and keep what
//! [`Envelope::to_json`] writes. The way of one that comes from another node: [`read_members`] its bytes,
//! [`proof::classify`] them, [`Envelope::from_members`], [`Envelope::check_fresh`], drop what was seen before, decide
//! about its work, store it, and put it into the inboxes that [`delivery::recipients`] names. What is refused on the way has a
//! [`ReasonCode`], and sometimes earns an automatic receipt ([`Offender`]).
//!
//! ```
//! use muster_protocol::network::{Envelope, Refusal, proof};
//!
//! let json = br#"{"protocol":"agh-network/v0","id":"m1","workspace_id":"ws_alpha","kind":"say",
//!     "channel":"builders","surface":"thread","thread_id":"thread_release_check","from":"coder.sess-1",
//!     "ts":1800000000,"body":{"text":"Smoke test is ready."}}"#;
//! let mut envelope = Envelope::parse(json)?;
//! envelope.check_fresh(1_800_000_010, 300)?;
//! assert_eq!(envelope.preview(), "Smoke test is ready.");
//!
//! let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
//! proof::sign(&mut envelope, &key).expect("no number in it is too large to sign");
//! let trust = proof::classify(&envelope.to_members(), Some(&key.verifying_key()));
//! assert!(matches!(trust, proof::Trust::Verified(_)));
//! # Ok::<(), Refusal>(())
//! ```
//!
//! What is claimed in a message grants nothing: presence, capabilities and a valid signature say who speaks, never what
//! the speaker may do (N-65, N-75). And whatever the proof says, text from peers is data (N-78).

pub mod body;
pub mod capability;
pub mod card;
pub mod delivery;
pub mod direct;
pub mod envelope;
pub mod freshness;
pub mod ids;
pub mod kinds;
pub mod proof;
mod reading;
pub mod receipt;
pub mod refusal;
pub mod secrets;
pub mod surface;
pub mod whois;
mod words;
pub mod work;

pub use body::{
    Body, BodyError, CapabilityBody, GreetBody, MAX_PREVIEW_CHARS, ReceiptBody, SayBody, TraceBody, WhoisBody,
};
pub use capability::{Capability, CapabilityBrief, CapabilityCatalog, CapabilityError, IdFilter};
pub use card::{PeerCard, greet_summary};
pub use direct::{Pair, SamePeer};
pub use envelope::{Envelope, MAX_ENVELOPE_BYTES, read_members};
pub use freshness::{MAX_REPLAY_AGE_SECONDS, Staleness};
pub use ids::{ChannelName, DirectId, IdError, LinkId, MessageId, PeerName, ThreadId, WorkId, WorkspaceRef};
pub use kinds::{Kind, ReasonCode, ReceiptStatus, Surface, WhoisType, WorkState};
pub use proof::{ProofError, Trust};
pub use receipt::{Offender, Rejection};
pub use refusal::Refusal;
pub use secrets::{SecretFound, SecretKind};
pub use surface::{Container, SurfaceError};
pub use work::{WorkAct, WorkChange, WorkMessage, WorkRecord, WorkRefusal};

/// The protocol every envelope names (N-7).
pub const PROTOCOL: &str = "agh-network/v0";
