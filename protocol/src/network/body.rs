//! The six bodies, one per kind: their shapes, their rules, and the preview text made of them (N-16 to N-25).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::capability::{Capability, CapabilityError};
use super::card::{PeerCard, greet_summary};
use super::ids::MessageId;
use super::kinds::{Kind, ReasonCode, ReceiptStatus, WhoisType, WorkState};
use super::reading::{brief, cut, not_blank, optional_list, optional_text, trimmed};

/// Longest preview, in characters. \[ours\] N-25 has no limit, and in AGH a thread's title is the whole first message,
/// up to a mebibyte of it. Two hundred characters are two lines of a list.
pub const MAX_PREVIEW_CHARS: usize = 200;

/// Body of greet (N-17).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GreetBody {
    /// The card of the sender.
    pub peer_card: PeerCard,
    /// A line to show.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// Body of whois (N-18).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhoisBody {
    /// Request or response.
    #[serde(rename = "type")]
    pub part: WhoisType,
    /// Whom a request is for; blank means everybody (N-70).
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The card of the sender, in responses only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_card: Option<PeerCard>,
}

/// Body of say (N-20).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SayBody {
    /// What is said, as written; not only white space.
    pub text: String,
    /// What is meant by it, freely chosen.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    /// What is attached.
    #[serde(default, deserialize_with = "optional_list", skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Value>,
}

/// Body of capability (N-21).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilityBody {
    /// The document, which has to sit in this member.
    pub capability: Capability,
}

/// Body of receipt (N-22).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptBody {
    /// The message it answers for.
    pub for_id: MessageId,
    /// The answer.
    pub status: ReceiptStatus,
    /// Why; forbidden with accepted, optional with canceled, otherwise required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<ReasonCode>,
    /// More words.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Body of trace (N-24).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceBody {
    /// Where the work stands now.
    pub state: WorkState,
    /// A line about it.
    #[serde(default, deserialize_with = "trimmed", skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Any value that came out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Where results can be found.
    #[serde(default, deserialize_with = "optional_list", skip_serializing_if = "Vec::is_empty")]
    pub artifact_refs: Vec<Value>,
}

/// A body that has been read and keeps the rules of its kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Of greet.
    Greet(GreetBody),
    /// Of whois.
    Whois(WhoisBody),
    /// Of say.
    Say(SayBody),
    /// Of capability.
    Capability(CapabilityBody),
    /// Of receipt.
    Receipt(ReceiptBody),
    /// Of trace.
    Trace(TraceBody),
}

/// Why a body is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A member is absent or of the wrong type.
    #[error("{detail}")]
    Shape {
        /// What the reader said, cut to a bounded length.
        detail: String,
    },
    /// `text` of a say is blank (N-20).
    #[error("`text` is blank; say something")]
    BlankText,
    /// The card is somebody else's (N-17, N-18).
    #[error("`peer_card.peer_id` has to equal `from`")]
    ForeignCard,
    /// A whois request with a card (N-18).
    #[error("a whois request must not carry `peer_card`")]
    CardInRequest,
    /// A whois response without a card (N-18).
    #[error("a whois response has to carry `peer_card`")]
    NoCardInResponse,
    /// A whois response that answers nothing (N-18).
    #[error("a whois response has to carry `reply_to`")]
    ResponseWithoutReplyTo,
    /// `accepted` with a reason (N-22).
    #[error("status `accepted` does not go with `reason_code`; leave it out")]
    ReasonWithAccepted,
    /// A status that needs a reason (N-22).
    #[error("status `{status}` needs `reason_code`")]
    ReasonMissing {
        /// The status.
        status: ReceiptStatus,
    },
    /// The capability document is incomplete (N-21).
    #[error(transparent)]
    Document(CapabilityError),
    /// The capability document is not the one its digest belongs to (N-21).
    #[error("`capability.digest` does not match the document; it should be {expected}")]
    DigestMismatch {
        /// The digest of the document as received.
        expected: String,
    },
}

impl From<CapabilityError> for BodyError {
    fn from(error: CapabilityError) -> Self {
        match error {
            CapabilityError::DigestMismatch { expected } => Self::DigestMismatch { expected },
            other => Self::Document(other),
        }
    }
}

impl Body {
    /// Reads the body of a kind and checks the rules that need nothing but the body. Unknown members are ignored.
    ///
    /// # Errors
    /// [`BodyError`] names the first thing wrong.
    pub fn read(kind: Kind, body: &Map<String, Value>) -> Result<Self, BodyError> {
        let read = match kind {
            Kind::Greet => shape(body).map(Self::Greet)?,
            Kind::Whois => shape(body).map(Self::Whois)?,
            Kind::Say => shape(body).map(Self::Say)?,
            Kind::Capability => shape(body).map(Self::Capability)?,
            Kind::Receipt => shape(body).map(Self::Receipt)?,
            Kind::Trace => shape(body).map(Self::Trace)?,
        };
        read.check()?;
        Ok(read)
    }

    /// The body as the JSON object an envelope carries.
    pub fn to_map(&self) -> Map<String, Value> {
        let value = match self {
            Self::Greet(body) => serde_json::to_value(body),
            Self::Whois(body) => serde_json::to_value(body),
            Self::Say(body) => serde_json::to_value(body),
            Self::Capability(body) => serde_json::to_value(body),
            Self::Receipt(body) => serde_json::to_value(body),
            Self::Trace(body) => serde_json::to_value(body),
        };
        match value.expect("bodies hold only JSON and have string keys") {
            Value::Object(map) => map,
            _ => unreachable!("every body is a struct, which serializes as an object"),
        }
    }

    /// The kind the body belongs to.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Greet(_) => Kind::Greet,
            Self::Whois(_) => Kind::Whois,
            Self::Say(_) => Kind::Say,
            Self::Capability(_) => Kind::Capability,
            Self::Receipt(_) => Kind::Receipt,
            Self::Trace(_) => Kind::Trace,
        }
    }

    /// The card of a greet or whois response.
    pub fn peer_card(&self) -> Option<&PeerCard> {
        match self {
            Self::Greet(body) => Some(&body.peer_card),
            Self::Whois(body) => body.peer_card.as_ref(),
            _ => None,
        }
    }

    /// The text for titles and previews (N-25), at most [`MAX_PREVIEW_CHARS`] characters.
    pub fn preview(&self) -> String {
        let text = match self {
            Self::Greet(body) => return greet_summary(&body.peer_card, body.summary.as_deref()),
            Self::Whois(body) if body.part == WhoisType::Request => body.query.as_deref().unwrap_or_default(),
            Self::Whois(_) => "",
            Self::Say(body) => &body.text,
            Self::Capability(CapabilityBody { capability }) => not_blank(&capability.summary)
                .or_else(|| not_blank(&capability.outcome))
                .unwrap_or(&capability.id),
            Self::Receipt(body) => body.detail.as_deref().unwrap_or_default(),
            Self::Trace(body) => &body.message,
        };
        cut(text.trim(), MAX_PREVIEW_CHARS)
    }

    fn check(&self) -> Result<(), BodyError> {
        match self {
            Self::Say(body) if body.text.trim().is_empty() => Err(BodyError::BlankText),
            Self::Whois(body) => match (body.part, &body.peer_card) {
                (WhoisType::Request, Some(_)) => Err(BodyError::CardInRequest),
                (WhoisType::Response, None) => Err(BodyError::NoCardInResponse),
                _ => Ok(()),
            },
            Self::Capability(body) => Ok(body.capability.check()?),
            Self::Receipt(body) => match (body.status, body.reason_code) {
                (ReceiptStatus::Accepted, Some(_)) => Err(BodyError::ReasonWithAccepted),
                (ReceiptStatus::Accepted | ReceiptStatus::Canceled, _) | (_, Some(_)) => Ok(()),
                (status, None) => Err(BodyError::ReasonMissing { status }),
            },
            Self::Greet(_) | Self::Say(_) | Self::Trace(_) => Ok(()),
        }
    }
}

fn shape<'de, T: Deserialize<'de>>(body: &'de Map<String, Value>) -> Result<T, BodyError> {
    T::deserialize(body).map_err(|error| BodyError::Shape { detail: brief(&error) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(kind: Kind, body: Value) -> Result<Body, BodyError> {
        Body::read(kind, body.as_object().unwrap())
    }

    fn card() -> Value {
        json!({"peer_id": "coder.sess-1", "profiles_supported": [], "capabilities": [],
               "artifacts_supported": [], "trust_modes_supported": []})
    }

    #[test]
    fn a_say_has_text_n20() {
        assert!(read(Kind::Say, json!({"text": " hi ", "intent": null, "artifacts": null, "x": 1})).is_ok());
        assert_eq!(read(Kind::Say, json!({"text": " \n"})), Err(BodyError::BlankText));
        assert!(read(Kind::Say, json!({})).is_err());
        assert!(read(Kind::Say, json!({"text": 1})).is_err());
        assert!(read(Kind::Say, json!({"text": "a", "artifacts": {}})).is_err());
    }

    #[test]
    fn a_whois_asks_or_returns_n18() {
        assert!(read(Kind::Whois, json!({"type": "request", "query": "x"})).is_ok());
        assert!(read(Kind::Whois, json!({"type": "response", "peer_card": card()})).is_ok());
        assert_eq!(
            read(Kind::Whois, json!({"type": "request", "peer_card": card()})),
            Err(BodyError::CardInRequest)
        );
        assert_eq!(read(Kind::Whois, json!({"type": "response"})), Err(BodyError::NoCardInResponse));
        assert!(read(Kind::Whois, json!({"type": "question"})).is_err());
    }

    #[test]
    fn a_receipt_gives_a_reason_exactly_when_it_needs_one_n22() {
        for status in ReceiptStatus::ALL {
            let bare = json!({"for_id": "m1", "status": status});
            let reasoned = json!({"for_id": "m1", "status": status, "reason_code": "busy"});
            let (may_be_bare, may_have_reason) = match status {
                ReceiptStatus::Accepted => (true, false),
                ReceiptStatus::Canceled => (true, true),
                _ => (false, true),
            };
            assert_eq!(read(Kind::Receipt, bare).is_ok(), may_be_bare, "{status}");
            assert_eq!(read(Kind::Receipt, reasoned).is_ok(), may_have_reason, "{status}");
        }
        assert!(read(Kind::Receipt, json!({"for_id": " ", "status": "accepted"})).is_err());
        assert!(
            read(Kind::Receipt, json!({"for_id": "m", "status": "rejected", "reason_code": "tired"}))
                .is_err()
        );
    }

    #[test]
    fn a_trace_names_one_of_six_states_n24() {
        assert!(read(Kind::Trace, json!({"state": "needs_input", "message": null})).is_ok());
        assert!(read(Kind::Trace, json!({"state": "waiting"})).is_err());
    }

    #[test]
    fn a_wrong_digest_is_told_apart_from_a_bad_document_n21() {
        let wrong = json!({"capability": {"id": "a", "summary": "b", "outcome": "c", "digest": "sha256:00"}});
        assert!(matches!(read(Kind::Capability, wrong), Err(BodyError::DigestMismatch { .. })));
        let outside = json!({"id": "a", "summary": "b", "outcome": "c"});
        assert!(matches!(read(Kind::Capability, outside), Err(BodyError::Shape { .. })));
    }

    #[test]
    fn previews_come_from_the_right_member_n25() {
        let document = Capability {
            id: "a".into(),
            summary: "Sum".into(),
            outcome: "Out".into(),
            ..Capability::default()
        };
        let capability = Body::Capability(CapabilityBody { capability: document.with_own_digest() });
        for (body, preview) in [
            (read(Kind::Greet, json!({"peer_card": card(), "summary": "Hi"})).unwrap(), "Hi"),
            (read(Kind::Greet, json!({"peer_card": card()})).unwrap(), "coder.sess-1 is present"),
            (read(Kind::Whois, json!({"type": "request", "query": " who "})).unwrap(), "who"),
            (read(Kind::Whois, json!({"type": "response", "peer_card": card()})).unwrap(), ""),
            (read(Kind::Say, json!({"text": "  hi\n"})).unwrap(), "hi"),
            (capability, "Sum"),
            (
                read(Kind::Receipt, json!({"for_id": "m", "status": "accepted", "detail": "Sure"})).unwrap(),
                "Sure",
            ),
            (read(Kind::Trace, json!({"state": "working", "message": "On it"})).unwrap(), "On it"),
        ] {
            assert_eq!(body.preview(), preview);
            assert_eq!(Body::read(body.kind(), &body.to_map()), Ok(body));
        }
    }

    #[test]
    fn a_long_message_makes_a_short_title() {
        let body = read(Kind::Say, json!({"text": "word ".repeat(1000)})).unwrap();
        assert!(body.preview().chars().count() <= MAX_PREVIEW_CHARS);
        assert!(body.preview().ends_with('…'));
    }

    #[test]
    fn errors_repeat_only_a_little_of_a_foreign_text() {
        let error = read(Kind::Trace, json!({"state": "x".repeat(100_000)})).unwrap_err();
        assert!(error.to_string().len() < 500);
    }
}
