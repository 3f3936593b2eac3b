//! Errors of this door (W-11 to W-20): `error` for people, `code` for programs, `details` where there is more to say.

use std::collections::BTreeMap;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE},
    response::{IntoResponse, Response},
};
use muster_actors::{InvocationError, LinkError, PostError, Unavailable};
use muster_protocol::{key::Scope, limits};
use muster_storage::{NotLinked, NotPosted, StoreError};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, response},
};

use crate::guard::Refused;

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub struct Body {
    /// For people. Do not branch on it.
    error: String,
    /// For programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    code: Option<&'static str>,
    /// For a schema failure, field name to list of reasons. For a refused write, an object such as `{ "reason":
    /// "not_a_member" }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Details>, required = false)]
    details: Option<Value>,
}

/// More about an error.
#[derive(Serialize, ToSchema)]
#[expect(dead_code, reason = "it describes what is answered")]
#[serde(untagged)]
enum Details {
    Fields(BTreeMap<String, Vec<String>>),
    Reason(ReadOnly),
}

#[derive(Serialize, ToSchema)]
struct ReadOnly {
    reason: Reason,
}

/// Why a stream that can be read cannot be written (W-14).
#[derive(Serialize, ToSchema)]
#[expect(dead_code, reason = "it describes what is answered")]
#[serde(rename_all = "snake_case")]
enum Reason {
    Archived,
    SystemStream,
    SharedCopy,
    Disconnected,
    NotAMember,
}

/// A bucket is empty; nothing was executed (W-57).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RateLimitError {
    pub(super) error: &'static str,
    #[schema(minimum = 1)]
    pub(super) limit: u32,
    #[serde(rename = "windowMs")]
    #[schema(minimum = 1)]
    pub(super) window_ms: u64,
}

/// A failure, ready to be answered.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    error: String,
    code: Option<&'static str>,
    details: Option<Value>,
}

const NOT_FOUND: &str = "NOT_FOUND";
const FORBIDDEN: &str = "FORBIDDEN";

impl Failure {
    pub(super) fn new(status: StatusCode, code: &'static str, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), code: Some(code), details: None }
    }

    /// No key, or none that opens anything: which of the two is not said (W-15).
    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Missing or invalid API key")
    }

    /// The person behind the key is no longer a member (W-23).
    pub(super) fn owner_inactive() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "OWNER_INACTIVE", "The owner of this key is no longer a member")
    }

    /// The key is good and may not do this here (W-16).
    pub(super) fn forbidden(error: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, FORBIDDEN, error)
    }

    /// A stream that cannot be read, or is not there: which of the two is not said (W-34).
    pub(super) fn no_access() -> Self {
        Self::forbidden("No access to this stream")
    }

    /// There is no such thing, or none that the caller may know of (W-17).
    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, NOT_FOUND, format!("{what} not found"))
    }

    /// A valid key that lacks the scope (W-17).
    pub(super) fn scope_missing(scope: Scope) -> Self {
        let error = format!("Missing required permission: {}", scope.as_str());
        Self::new(StatusCode::NOT_FOUND, NOT_FOUND, error)
    }

    /// The acting bot is archived (W-31).
    pub(super) fn bot_archived() -> Self {
        Self::new(StatusCode::NOT_FOUND, NOT_FOUND, "This bot is archived")
    }

    /// Fields that do not fit, each with what is wrong (W-12).
    pub(super) fn invalid(fields: &BTreeMap<String, Vec<String>>) -> Self {
        Self {
            details: Some(json!(fields)),
            ..Self::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", "Validation failed")
        }
    }

    /// One field that does not fit.
    pub(super) fn invalid_field(field: &str, reason: impl Into<String>) -> Self {
        Self::invalid(&BTreeMap::from([(field.to_owned(), vec![reason.into()])]))
    }

    /// What belongs to no single field (W-6, W-13).
    pub(super) fn invalid_whole(error: impl Into<String>) -> Self {
        Self { details: Some(json!({})), ..Self::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", error) }
    }

    /// `after` that cannot be read (W-39).
    pub(super) fn invalid_cursor() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_CURSOR", "Invalid cursor")
    }

    /// A request without a file (W-99).
    pub(super) fn no_file() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", "No file provided")
    }

    /// A second file, or one in a part of another name (W-99).
    pub(super) fn unexpected_file() -> Self {
        let error = "Send exactly one file, in the part named `file`";
        Self::new(StatusCode::BAD_REQUEST, "LIMIT_UNEXPECTED_FILE", error)
    }

    /// More bytes than a file may have (W-100).
    pub(super) fn file_too_large() -> Self {
        let error = format!("The file is larger than {} bytes", limits::ATTACHMENT_BYTES_MAX);
        Self::new(StatusCode::BAD_REQUEST, "LIMIT_FILE_SIZE", error)
    }

    fn read_only(reason: &str) -> Self {
        Self {
            details: Some(json!({ "reason": reason })),
            ..Self::new(StatusCode::FORBIDDEN, "STREAM_READ_ONLY", "Stream is read-only")
        }
    }

    /// Anything unforeseen (W-20).
    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "Internal server error")
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self { status, error, code, details } = self;
        let mut response = (status, Json(Body { error, code, details })).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let wanted = HeaderValue::from_static("Bearer realm=\"workspace\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, wanted);
        }
        response
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a read of the store failed");
        Self::internal()
    }
}

impl From<Unavailable> for Failure {
    fn from(error: Unavailable) -> Self {
        match error {
            Unavailable::Storage => Self::internal(),
            other => Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", other.to_string()),
        }
    }
}

impl From<PostError> for Failure {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Unavailable(error) => error.into(),
            PostError::UnknownWorkspace => Self::forbidden("No access to this workspace"),
            PostError::Refused(refused) => match refused {
                NotPosted::UnknownMessage => Self::not_found("Message"),
                NotPosted::UnknownStream => Self::no_access(),
                NotPosted::NotTheirs => Self::forbidden("This message belongs to another author"),
                NotPosted::NotAMember => Self::read_only("not_a_member"),
                NotPosted::Archived => Self::read_only("archived"),
                NotPosted::System => Self::read_only("system_stream"),
                NotPosted::NotAllowed => Self::forbidden("This node may not speak for the author there"),
            },
        }
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        let refused = match error {
            LinkError::Unavailable(error) => return error.into(),
            LinkError::UnknownWorkspace => return Self::forbidden("No access to this workspace"),
            LinkError::UnknownSession => return Self::not_found("Runtime session"),
            LinkError::Refused(refused) => refused,
        };
        let (status, code) = match refused {
            NotLinked::NotPersonal => (StatusCode::BAD_REQUEST, "PERSONAL_BOT_REQUIRED"),
            NotLinked::Archived => (StatusCode::CONFLICT, "SCRATCHPAD_ARCHIVED"),
            NotLinked::Conflict => (StatusCode::CONFLICT, "RUNTIME_SESSION_CONFLICT"),
            NotLinked::TooMany => (StatusCode::BAD_REQUEST, "VALIDATION_ERROR"),
            NotLinked::NotAllowed => (StatusCode::FORBIDDEN, FORBIDDEN),
        };
        Self::new(status, code, refused.to_string())
    }
}

impl From<InvocationError> for Failure {
    fn from(error: InvocationError) -> Self {
        match error {
            InvocationError::Unavailable(error) => error.into(),
            InvocationError::UnknownWorkspace => Self::forbidden("No access to this workspace"),
            InvocationError::NotHeld(_) => Self::not_found("Invocation claim"),
            InvocationError::Refused(refused) => PostError::Refused(refused).into(),
            InvocationError::UnknownKey => Self::unauthorized(),
            InvocationError::TooLong => {
                Self::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", error.to_string())
            }
            InvocationError::HomeUnreachable { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", error.to_string())
            }
        }
    }
}

impl From<&Refused> for Failure {
    fn from(refused: &Refused) -> Self {
        let code = match refused {
            Refused::Host | Refused::Origin => FORBIDDEN,
            Refused::Token => return Self::unauthorized(),
            Refused::BodyTooLarge { .. } | Refused::BodyBroken | Refused::Path | Refused::Query => {
                "VALIDATION_ERROR"
            }
            Refused::NoRoute => NOT_FOUND,
            Refused::WrongMethod => "METHOD_NOT_ALLOWED",
            Refused::Timeout => "UNAVAILABLE",
            Refused::Panic => return Self::internal(),
        };
        Self::new(refused.status(), code, refused.to_string())
    }
}

/// Failures of an operation, for its document.
macro_rules! documented {
    ($($(#[$doc:meta])* $name:ident = $($status:literal $text:literal $schema:literal),+;)*) => {
        $($(#[$doc])* pub(super) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<response::Response>> {
                BTreeMap::from([$(($status.to_owned(), answer($text, $schema))),+])
            }
        })*
    };
}

documented! {
    /// What every operation may answer.
    Always = "400" "The request does not fit the schema, or its parts contradict each other." "Error",
             "401" "No key, a malformed, unknown, revoked or expired key, or a key whose owner has left." "Error",
             "403" "The key is good but may not do this here." "Error",
             "429" "A bucket is empty; nothing was executed." "RateLimitError",
             "default" "Something broke on the node, or it cannot answer now; still JSON." "Error";
    /// There is no such thing, the key lacks the scope, or the acting bot is archived.
    NotFound = "404" "No such thing, or none the caller may know about; or a key that lacks the scope; or an archived bot." "Error";
    /// The session has a scratchpad that cannot be gone on with.
    SessionConflict = "409" "The session's scratchpad is archived, or another bot answers in it." "Error";
    /// The claim is in a state that does not allow it. This node never answers so (W-148).
    ClaimConflict = "409" "The claim has no trace session, or its input changed. This node never answers so." "Error";
}

fn answer(description: &str, schema: &str) -> RefOr<response::Response> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    ResponseBuilder::new().description(description).content("application/json", content).build().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_unforeseen_is_said_in_this_shape_and_says_nothing_else_w20() {
        for failure in [
            Failure::from(&Refused::Panic),
            Failure::from(StoreError::Damaged("secret")),
            Unavailable::Storage.into(),
        ] {
            let response = failure.into_response();
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body, json!({ "error": "Internal server error", "code": "INTERNAL_ERROR" }));
        }
    }
}
