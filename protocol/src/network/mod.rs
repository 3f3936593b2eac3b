//! The rules of the Network door.

pub mod body;
pub mod capability;
pub mod card;
pub mod direct;
pub mod envelope;
pub mod freshness;
pub mod ids;
pub mod kinds;
pub mod proof;
mod reading;
pub mod refusal;
pub mod secrets;
pub mod surface;
mod words;

pub use body::{
    Body, BodyError, CapabilityBody, GreetBody, MAX_PREVIEW_CHARS, ReceiptBody, SayBody, TraceBody, WhoisBody,
};
pub use capability::{Capability, CapabilityBrief, CapabilityCatalog, CapabilityError, IdFilter};
pub use card::{PeerCard, greet_summary};
pub use direct::{Pair, SamePeer};
pub use envelope::{Envelope, MAX_ENVELOPE_BYTES};
pub use freshness::{MAX_REPLAY_AGE_SECONDS, Staleness};
pub use ids::{ChannelName, DirectId, IdError, LinkId, MessageId, PeerName, ThreadId, WorkId, WorkspaceRef};
pub use kinds::{Kind, ReasonCode, ReceiptStatus, Surface, WhoisType, WorkState};
pub use refusal::Refusal;
pub use secrets::SecretFound;
pub use surface::{Container, SurfaceError};

/// The protocol every envelope names (N-7).
pub const PROTOCOL: &str = "agh-network/v0";
