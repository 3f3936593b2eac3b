//! Why an envelope is refused, fine enough for an HTTP status and coarse enough for a reason code.

use super::body::BodyError;
use super::ids::{DirectId, IdError};
use super::kinds::{Kind, ReasonCode};
use super::{freshness::Staleness, secrets::SecretFound, surface::SurfaceError};

/// One refusal. Every variant is the caller's mistake, none is the node's: over HTTP [`Refusal::TooLarge`] is 413,
/// [`Refusal::WrongRoom`] is 409, all others are 400 (N-14, N-42, N-79).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Above [`MAX_ENVELOPE_BYTES`](super::MAX_ENVELOPE_BYTES) (N-14).
    #[error("the envelope has {bytes} bytes; at most {max} are allowed, so send less or link to it")]
    TooLarge {
        /// Bytes of the serialized envelope.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Not one JSON object, or a member stands twice in an object (N-7).
    #[error("the envelope is not one JSON object with unique members: {detail}")]
    NotAnObject {
        /// What the parser said.
        detail: String,
    },
    /// A member that was retired (N-12).
    #[error("`{member}` was retired; use `work_id`")]
    RetiredMember {
        /// Its name.
        member: &'static str,
    },
    /// A kind that was retired (N-12).
    #[error("kind `{kind}` was retired; use kind `say` with surface `direct`")]
    RetiredKind {
        /// Its name.
        kind: &'static str,
    },
    /// Another protocol or version (N-7).
    #[error("`protocol` has to be exactly `{}`", super::PROTOCOL)]
    WrongProtocol,
    /// A required member is absent, null or blank (N-7).
    #[error("`{member}` is missing")]
    Missing {
        /// Its name.
        member: &'static str,
    },
    /// A member has the wrong JSON type (N-7).
    #[error("`{member}` has to be {wanted}")]
    WrongType {
        /// Its name.
        member: &'static str,
        /// The type it should have.
        wanted: &'static str,
    },
    /// A name breaks its grammar (N-4).
    #[error("`{member}`: {cause}")]
    BadName {
        /// The member that holds the name.
        member: &'static str,
        /// What is wrong with it.
        cause: IdError,
    },
    /// None of the six kinds (N-16).
    #[error("the kind is unknown; it has to be greet, whois, say, capability, receipt or trace")]
    UnknownKind,
    /// `ts` or `expires_at` is no usable time (N-7).
    #[error("`{member}` has to be Unix seconds between 1 and {}", super::freshness::MAX_SECONDS)]
    BadTime {
        /// `ts` or `expires_at`.
        member: &'static str,
    },
    /// Surface, container, target and work do not fit together (N-26 to N-28, N-42).
    #[error(transparent)]
    Surface(#[from] SurfaceError),
    /// `direct_id` is not the room of sender and target (N-42).
    #[error("`direct_id` is not the room of these two peers; theirs is {expected}")]
    WrongRoom {
        /// The room of sender and target (N-36).
        expected: DirectId,
    },
    /// The body breaks the rules of its kind (N-9, N-17 to N-24).
    #[error("body of {kind}: {cause}")]
    Body {
        /// The envelope's kind.
        kind: Kind,
        /// What is wrong.
        cause: BodyError,
    },
    /// A card claims `task.write` and there is no proof (N-72).
    #[error("a card that claims `task.write` has to come with a proof; sign the envelope")]
    ProofRequired,
    /// Something that looks like a credential (N-13).
    #[error(transparent)]
    Secret(#[from] SecretFound),
    /// Not fresh (N-15).
    #[error(transparent)]
    Stale(#[from] Staleness),
}

impl Refusal {
    /// The reason code of N-93, with the two choices of our own: bad surface members are `invalid_surface`, retired
    /// forms `legacy_field_rejected`.
    pub fn reason(&self) -> ReasonCode {
        match self {
            Self::RetiredMember { .. } | Self::RetiredKind { .. } => ReasonCode::LegacyFieldRejected,
            Self::UnknownKind => ReasonCode::UnsupportedKind,
            Self::Surface(_) | Self::WrongRoom { .. } => ReasonCode::InvalidSurface,
            Self::ProofRequired | Self::Body { cause: BodyError::DigestMismatch { .. }, .. } => {
                ReasonCode::VerificationFailed
            }
            Self::Stale(_) => ReasonCode::Expired,
            Self::TooLarge { .. }
            | Self::NotAnObject { .. }
            | Self::WrongProtocol
            | Self::Missing { .. }
            | Self::WrongType { .. }
            | Self::BadName { .. }
            | Self::BadTime { .. }
            | Self::Body { .. }
            | Self::Secret(_) => ReasonCode::Malformed,
        }
    }
}
