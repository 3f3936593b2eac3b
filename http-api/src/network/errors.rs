//! Errors of this door: `{error, diagnostic}` (N-129 to N-132), and the one table that says which
//! error of the domain becomes which.

use std::collections::BTreeMap;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use muster_actors::{CreateChannelError, ProgramError, ResolveRoomError, SendError, Unavailable};
use muster_protocol::network::{Refusal, WorkRefusal, secrets};
use muster_storage::StoreError;
use utoipa::{
    IntoResponses,
    openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, response},
};

use super::{
    diagnostics::{self as codes, Entry},
    schemas::error,
};
use crate::{guard::Refused, input::BadBody};

/// A failure, ready to be answered.
pub struct Failure {
    status: StatusCode,
    /// Absent for 500, of which nothing is told (N-131).
    entry: Option<&'static Entry>,
    text: String,
    retry_after_seconds: Option<u32>,
}

impl Failure {
    fn new(status: StatusCode, entry: &'static Entry, text: impl ToString) -> Self {
        Self { status, entry: Some(entry), text: redacted(&text.to_string()), retry_after_seconds: None }
    }

    fn internal() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self { status, entry: None, text: String::new(), retry_after_seconds: None }
    }

    /// 503: `text` goes into the diagnostic, the error itself is the status phrase (N-131).
    fn unavailable(text: impl ToString) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, &codes::UNAVAILABLE, text)
    }

    /// 503: the network is switched off.
    pub(super) fn disabled() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            &codes::DISABLED,
            "the network is switched off on this node",
        )
    }

    /// 400: the request is not valid; `text` names the part.
    pub(super) fn invalid(text: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, &codes::INVALID_REQUEST, text)
    }

    /// 404: what the request names does not exist.
    pub(super) fn not_found(text: impl ToString) -> Self {
        Self::new(StatusCode::NOT_FOUND, &codes::NOT_FOUND, text)
    }

    /// 404: no such workspace.
    pub(super) fn unknown_workspace() -> Self {
        Self::not_found("this node knows no workspace with that id or name")
    }

    /// 404: no such session in the workspace.
    pub(super) fn unknown_session() -> Self {
        let text = "no session of this node in this workspace has that `session_id`";
        Self::new(StatusCode::NOT_FOUND, &codes::SESSION_UNKNOWN, text)
    }
}

/// A sentence without the credentials in it (N-131). What a caller named stands between backticks; of anything else
/// the whole stretch goes.
fn redacted(text: &str) -> String {
    if secrets::check_text(text).is_none() {
        return text.to_owned();
    }
    let parts =
        text.split('`').map(|part| if secrets::check_text(part).is_some() { "[redacted]" } else { part });
    parts.collect::<Vec<_>>().join("`")
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let phrase = self.status.canonical_reason().unwrap_or("Internal Server Error");
        let error = if self.status.is_server_error() { phrase.to_owned() } else { self.text.clone() };
        let diagnostic = self.entry.map(|entry| error::Diagnostic::of(entry, self.text));
        let mut response = (self.status, Json(error::Error { error, diagnostic })).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"muster\""));
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<&Refused> for Failure {
    fn from(refused: &Refused) -> Self {
        let mut status = refused.status();
        let entry = match refused {
            Refused::Host => {
                // This door's contract has no 421; its 403 speaks of hosts, too.
                status = StatusCode::FORBIDDEN;
                &codes::HOST_UNKNOWN
            }
            Refused::Origin => &codes::ORIGIN_FORBIDDEN,
            Refused::Token => &codes::TOKEN_REQUIRED,
            Refused::BodyTooLarge { .. } => &codes::PAYLOAD_TOO_LARGE,
            Refused::BodyBroken | Refused::Path | Refused::Query => &codes::INVALID_REQUEST,
            Refused::NoRoute => &codes::NOT_FOUND,
            Refused::WrongMethod => &codes::METHOD_NOT_ALLOWED,
            Refused::Timeout => &codes::UNAVAILABLE,
            Refused::Panic => return Self::internal(),
        };
        // Not redacted: these are our own words, and one says what a credential looks like.
        Self { status, entry: Some(entry), text: refused.to_string(), retry_after_seconds: None }
    }
}

impl From<BadBody> for Failure {
    fn from(fault: BadBody) -> Self {
        Self::invalid(fault)
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
            Unavailable::Busy => Self { retry_after_seconds: Some(1), ..Self::unavailable(error) },
            Unavailable::Stopping
            | Unavailable::Timeout
            | Unavailable::HomeUnreachable { .. }
            | Unavailable::Unsettled
            | Unavailable::Forked => Self::unavailable(error),
            Unavailable::Storage => Self::internal(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (status, entry) = match refusal {
            Refusal::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, &codes::PAYLOAD_TOO_LARGE),
            Refusal::WrongRoom { .. } => (StatusCode::CONFLICT, &codes::DIRECT_ROOM_COLLISION),
            Refusal::Secret(_) => (StatusCode::BAD_REQUEST, &codes::SECRET_REFUSED),
            _ => (StatusCode::BAD_REQUEST, &codes::INVALID_REQUEST),
        };
        Self::new(status, entry, refusal)
    }
}

impl From<WorkRefusal> for Failure {
    fn from(refusal: WorkRefusal) -> Self {
        use WorkRefusal as R;
        let (status, entry) = match refusal {
            R::Unknown { .. } => (StatusCode::NOT_FOUND, &codes::NOT_FOUND),
            R::NoTarget | R::WrongAddressee { .. } => (StatusCode::BAD_REQUEST, &codes::INVALID_REQUEST),
            R::Outsider { .. } => (StatusCode::FORBIDDEN, &codes::WORK_ACTOR_FORBIDDEN),
            R::ContainerMismatch { .. } => (StatusCode::CONFLICT, &codes::WORK_CONTAINER_MISMATCH),
            R::Closed { .. } => (StatusCode::CONFLICT, &codes::WORK_CLOSED),
            R::ForbiddenChange { .. } => (StatusCode::CONFLICT, &codes::WORK_TRANSITION_INVALID),
        };
        Self::new(status, entry, refusal)
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        use SendError as E;
        let (status, entry) = match error {
            E::Refusal(refusal) => return refusal.into(),
            E::Work(refusal) => return refusal.into(),
            E::Unavailable(error) => return error.into(),
            E::Disabled => return Self::disabled(),
            E::UnknownWorkspace => return Self::unknown_workspace(),
            E::Missing(_) | E::Proof(_) => (StatusCode::BAD_REQUEST, &codes::INVALID_REQUEST),
            E::NotAMember => (StatusCode::FORBIDDEN, &codes::WRITE_FORBIDDEN),
            E::UnknownSession | E::NotInChannel => (StatusCode::NOT_FOUND, &codes::SESSION_UNKNOWN),
            E::TargetNotVisible => (StatusCode::NOT_FOUND, &codes::TARGET_UNREACHABLE),
            E::IdConflict => (StatusCode::CONFLICT, &codes::MESSAGE_ID_CONFLICT),
        };
        Self::new(status, entry, error)
    }
}

impl From<ResolveRoomError> for Failure {
    fn from(error: ResolveRoomError) -> Self {
        use ResolveRoomError as E;
        let (status, entry) = match error {
            E::Unavailable(error) => return error.into(),
            E::Disabled => return Self::disabled(),
            E::UnknownWorkspace => return Self::unknown_workspace(),
            E::SamePeer => (StatusCode::BAD_REQUEST, &codes::INVALID_REQUEST),
            E::NotAMember => (StatusCode::FORBIDDEN, &codes::WRITE_FORBIDDEN),
            E::NotInChannel => (StatusCode::NOT_FOUND, &codes::SESSION_UNKNOWN),
            E::TargetNotVisible => (StatusCode::NOT_FOUND, &codes::TARGET_UNREACHABLE),
        };
        Self::new(status, entry, error)
    }
}

impl From<CreateChannelError> for Failure {
    fn from(error: CreateChannelError) -> Self {
        use CreateChannelError as E;
        match error {
            E::Unavailable(error) => error.into(),
            E::UnknownWorkspace => Self::unknown_workspace(),
            E::NotAllowed => Self::new(StatusCode::FORBIDDEN, &codes::WRITE_FORBIDDEN, error),
            E::TooMany => Self::unavailable(error),
            E::Program(error) => error.into(),
            E::Purpose | E::NoAgents | E::BlankAgent | E::RepeatedAgent(_) | E::UnknownAgent(_) => {
                Self::invalid(error)
            }
        }
    }
}

impl From<ProgramError> for Failure {
    fn from(error: ProgramError) -> Self {
        let (status, entry) = match error {
            ProgramError::Credentials { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, &codes::PROVIDER_AUTH_FAILED)
            }
            ProgramError::UnknownProvider { .. } | ProgramError::NotStarted { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, &codes::PROGRAM_NOT_STARTED)
            }
        };
        Self::new(status, entry, error)
    }
}

/// Failures of an operation, for its document.
macro_rules! documented {
    ($($(#[$doc:meta])* $name:ident = $($status:literal $text:literal),+;)*) => {
        $($(#[$doc])* pub(super) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<response::Response>> {
                BTreeMap::from([$(($status.to_owned(), answer($text))),+])
            }
        })*
    };
}

documented! {
    /// What every operation may answer.
    Always = "401" "The operator token is missing or wrong, where it is asked for.",
             "403" "Foreign web origin, a host that the node does not serve, or this node's role does not allow it.",
             "500" "The node failed. The message is the plain status phrase.";
    /// What every operation on a workspace may answer, besides.
    InWorkspace = "404" "Unknown workspace, session, channel, peer, thread, room, work or page cursor, or a target that is not visible.",
                  "410" "Never: the contract has it for workspaces whose folder is missing, and here a workspace has none.",
                  "503" "The network is switched off, or something the call needs is not available.";
    /// The request is not valid.
    BadRequest = "400" "The request is malformed or breaks a rule; the text says which.";
    /// It contradicts what is stored.
    Conflict = "409" "The message contradicts what is stored: its id, its work or its direct room.";
    /// Too many bytes.
    TooLarge = "413" "Request body above 4 MiB, or an envelope above 1 MiB once serialized.";
    /// A provider refused an agent.
    ProviderAuthFailed = "422" "A session could not start because its agent's provider refused the credentials.";
}

fn answer(description: &str) -> RefOr<response::Response> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Error"))).build();
    ResponseBuilder::new().description(description).content("application/json", content).build().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_in_a_sentence_is_replaced_and_the_rest_stays_n131() {
        let claim = "agh_claim_0123456789abcdef0123456789abcdef";
        assert_eq!(redacted(&format!("work `{claim}` does not exist")), "work `[redacted]` does not exist");
        assert_eq!(redacted(&format!("{claim} is no peer of `builders`")), "[redacted]`builders`");
        let refused = Refused::Token;
        assert_eq!(Failure::from(&refused).text, refused.to_string(), "our own words are no credentials");
    }
}
