//! Errors of this door: problem details (RFC 9457), each with a stable `code`, and the one table that
//! says which error of the domain becomes which.

use std::collections::BTreeMap;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use muster_actors::{
    BackupError, CreateWorkspaceError, InviteError, JoinError, KeyError, MemoError, MoveHomeError,
    PrincipalError, RegisterAgentError, RemoveMemberError, SetRoleError, SettleError, StartSessionError,
    StopSessionError, StreamError, Unavailable,
};
use muster_protocol::ticket::JoinRefusal;
use muster_storage::{NotWritten, StoreError};
use serde::Serialize;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, response},
};

use crate::{guard::Refused, input::BadBody};

/// What went wrong and what would mend it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Body {
    /// `urn:muster:problem:` and the code.
    pub r#type: String,
    /// The problem in a few words, the same for every case of it.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// Stable name of the problem, for programs.
    pub code: &'static str,
    /// This case of it, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// A command that would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggested_command: Option<&'static str>,
}

/// A kind of problem: one row of the table. `muster explain CODE` reads it, too.
#[derive(Debug)]
pub struct Row {
    /// The HTTP status.
    pub status: StatusCode,
    /// Stable name, for programs.
    pub code: &'static str,
    /// It in a few words.
    pub title: &'static str,
    /// Why it happens and what to do.
    pub meaning: &'static str,
    /// A command that would help.
    pub command: Option<&'static str>,
}

/// The row of a code.
pub fn find(code: &str) -> Option<&'static Row> {
    ALL.iter().copied().find(|row| row.code == code)
}

/// A problem, ready to be answered.
pub struct Problem {
    row: &'static Row,
    detail: String,
    retry_after_seconds: Option<u32>,
}

macro_rules! rows {
    ($($name:ident = $status:ident $code:literal $title:literal $meaning:literal $(try $command:literal)?;)*) => {
        $(static $name: Row = Row {
            status: StatusCode::$status, code: $code, title: $title, meaning: $meaning, command: rows!(@ $($command)?),
        };)*
        /// All kinds of problems.
        pub static ALL: &[&Row] = &[$(&$name),*];
    };
    (@) => { None };
    (@ $command:literal) => { Some($command) };
}

rows! {
    INVALID = BAD_REQUEST "invalid_request" "The request is not valid"
        "A member is missing, of the wrong type or outside its bounds. The detail names it.";
    NOT_A_TICKET = BAD_REQUEST "not_a_ticket" "The ticket cannot be read"
        "A ticket is one word that begins with `muster1`. Copy it whole, as `muster invite` printed it.";
    INVALID_SCOPE = BAD_REQUEST "INVALID_SCOPE" "The key cannot be granted that"
        "A key needs at least one scope of streams:read, messages:search, messages:read, messages:write, memos:read, \
         attachments:read, attachments:write, users:read, bot-runtime:read, bot-runtime:write, bot-invocations:read and \
         bot-invocations:write.";
    NO_TOKEN = UNAUTHORIZED "operator_token_required" "The operator token is missing or wrong"
        "Send `Authorization: Bearer TOKEN` with the text of `operator.token` in the data folder of this node.";
    FOREIGN_ORIGIN = FORBIDDEN "foreign_origin" "The request comes from a foreign web page"
        "Pages of other origins may not use this node.";
    NOT_ALLOWED = FORBIDDEN "not_allowed" "This node's role does not allow it"
        "Owners and admins invite, remove and change roles below their own; guests only read. Ask an admin of the workspace." try "muster workspace list";
    TICKET_DEAD = FORBIDDEN "ticket_not_valid" "The ticket is no longer valid"
        "It expired, was used as often as it may be, or was revoked. Ask for a new one." try "muster invite";
    JOIN_REFUSED = FORBIDDEN "join_refused" "The workspace did not let this node in"
        "The ticket is for another node, the workspace is full, or this node tried too often." try "muster invite";
    UNKNOWN_WORKSPACE = NOT_FOUND "unknown_workspace" "There is no such workspace here"
        "This node is a member of no workspace with that id or name." try "muster workspace list";
    UNKNOWN_INVITE = NOT_FOUND "unknown_invite" "There is no such invite"
        "The workspace never made it. The id is the one `muster invite` printed beside the ticket.";
    UNKNOWN_MEMBER = NOT_FOUND "unknown_member" "There is no such member"
        "No node with that peer id is a member of the workspace now." try "muster member list";
    UNKNOWN_AGENT = NOT_FOUND "unknown_agent" "There is no such agent in the workspace"
        "Sessions are of agents that this node has registered in the workspace." try "muster agent register NAME";
    UNKNOWN_SESSION = NOT_FOUND "unknown_session" "There is no such session"
        "No session of this node has that id in the workspace." try "muster session list";
    UNKNOWN_PRINCIPAL = NOT_FOUND "unknown_principal" "There is no such person or bot here"
        "People and bots are changed, and get their keys, on the node that is their home." try "muster user list";
    UNKNOWN_KEY = NOT_FOUND "unknown_key" "There is no such key on this node"
        "A key is revoked on the node that made it. Its id begins with uak_ or bak_.";
    UNKNOWN_STREAM = NOT_FOUND "unknown_stream" "There is no such stream on this node"
        "A private stream is on the nodes of those who take part alone.";
    UNKNOWN_MESSAGE = NOT_FOUND "unknown_message" "There is no such message on this node"
        "It was deleted, has not arrived yet, or stands in a private stream of others.";
    NO_ROUTE = NOT_FOUND "unknown_path" "There is nothing at this path"
        "`/docs` lists what there is.";
    WRONG_METHOD = METHOD_NOT_ALLOWED "method_not_allowed" "The path does not take this method"
        "The `allow` header of the answer lists the methods it takes.";
    EXISTS = CONFLICT "already_exists" "This exists already"
        "Names are taken once. Use the one that is there, or another name.";
    TOO_MANY = CONFLICT "too_many" "There are as many as there may be"
        "Remove some that are no longer needed, such as sessions at rest." try "muster session list";
    IS_HOME = CONFLICT "is_home" "That node is the home of the workspace"
        "It decides who belongs, so it can neither be removed nor lose its role. Its owner moves the home to another \
         admin first." try "muster workspace move-home PEER_ID";
    NOT_AN_ADMIN = CONFLICT "not_an_admin" "The home has to be an admin"
        "Who decides who belongs has to be trusted with that." try "muster member role PEER_ID admin";
    HOME_FORKED = CONFLICT "home_forked" "The workspace's home contradicted itself"
        "It signed two different decisions at one height, as a node does whose disk was set back. Nobody can \
         say which counts, so nobody is let in or removed any more; what members say goes on. Found a new workspace for \
         those who should go on." try "muster workspace create NAME";
    TOO_LARGE = PAYLOAD_TOO_LARGE "body_too_large" "The body is too large"
        "A request may have 4 MiB.";
    WRONG_HOST = MISDIRECTED_REQUEST "unknown_host" "This node does not serve that host"
        "Use one of its addresses, or add the name to `http.allowed_hosts`." try "muster config show";
    INTERNAL = INTERNAL_SERVER_ERROR "internal_error" "The node failed"
        "This is a fault of the node or its disk. Its log has the cause.";
    BUSY = SERVICE_UNAVAILABLE "busy" "The node has too much to do"
        "Try again in a moment.";
    PROGRAM_NOT_STARTED = SERVICE_UNAVAILABLE "program_not_started" "The program behind the agent does not start"
        "The settings name no such provider, the program cannot be started, ended at once, or its credentials were refused. \
         The detail says which; the node's log has what the program wrote." try "muster config show";
    STOPPING = SERVICE_UNAVAILABLE "stopping" "The node is stopping"
        "Start it again." try "muster up";
    TIMEOUT = SERVICE_UNAVAILABLE "timeout" "It took too long"
        "What was asked may still happen. Look before you ask again.";
    HOME_UNREACHABLE = SERVICE_UNAVAILABLE "home_unreachable" "The workspace's home cannot be reached"
        "Members, roles and invites are decided by one node, the workspace's home. Try when it is up." try "muster status";
    HOME_UNSETTLED = SERVICE_UNAVAILABLE "home_unsettled" "The workspace's home has to hear from its members first"
        "Its store was restored or copied. What it decided since then it has forgotten, and some member may know: before it \
         has been linked with each of them it decides nothing. If some are gone for good, and nobody was let in or removed \
         since the copy was made, its owner settles it." try "muster workspace settle";
    NEW_HOME_AWAY = SERVICE_UNAVAILABLE "new_home_away" "The new home is not connected to the present one"
        "Before it hears that it is the home, nobody decides about the workspace. Bring it up, then try again."
        try "muster member list";
    INVITER_UNREACHABLE = GATEWAY_TIMEOUT "inviter_unreachable" "No inviting node could be reached"
        "The node that the ticket names is down, or this machine cannot reach its addresses.";
}

impl Row {
    fn with(&'static self, detail: impl ToString) -> Problem {
        Problem { row: self, detail: detail.to_string(), retry_after_seconds: None }
    }
}

impl Problem {
    /// The request is not valid; `detail` names the part.
    pub(super) fn invalid(detail: impl ToString) -> Self {
        INVALID.with(detail)
    }

    /// No workspace answers to the reference.
    pub(super) fn unknown_workspace() -> Self {
        UNKNOWN_WORKSPACE.with("this node is a member of no workspace with that id or name")
    }

    /// No member answers to the peer id.
    pub(super) fn unknown_member() -> Self {
        UNKNOWN_MEMBER.with("no member of the workspace has that peer id")
    }

    /// Nobody answers to the id.
    pub(super) fn unknown_principal() -> Self {
        UNKNOWN_PRINCIPAL.with("this node is home to no person or bot of that id")
    }

    /// No key has the id.
    pub(super) fn unknown_key() -> Self {
        UNKNOWN_KEY.with("this node has no key of that id")
    }

    /// No stream has the id.
    pub(super) fn unknown_stream() -> Self {
        UNKNOWN_STREAM.with("the workspace has no such stream on this node")
    }

    /// No message has the id.
    pub(super) fn unknown_message() -> Self {
        UNKNOWN_MESSAGE.with("the workspace has no such message on this node")
    }

    /// A scope that cannot be granted (W-27).
    pub(super) fn invalid_scope() -> Self {
        INVALID_SCOPE.with(KeyError::Scope)
    }

    /// All places at the event stream are taken.
    pub(super) fn too_many_listeners() -> Self {
        Self {
            retry_after_seconds: Some(5),
            ..BUSY.with("all places at the event stream are taken; close one")
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Row { status, code, title, command, .. } = self.row;
        let body = Body {
            r#type: format!("urn:muster:problem:{code}"),
            title,
            status: status.as_u16(),
            code,
            detail: Some(self.detail),
            suggested_command: *command,
        };
        let mut response = (*status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if *status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"muster\""));
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<&Refused> for Problem {
    fn from(refused: &Refused) -> Self {
        let row = match refused {
            Refused::Host => &WRONG_HOST,
            Refused::Origin => &FOREIGN_ORIGIN,
            Refused::Token => &NO_TOKEN,
            Refused::BodyTooLarge { .. } => &TOO_LARGE,
            Refused::BodyBroken | Refused::Path | Refused::Query => &INVALID,
            Refused::NoRoute => &NO_ROUTE,
            Refused::WrongMethod => &WRONG_METHOD,
            Refused::Timeout => &TIMEOUT,
            Refused::Panic => &INTERNAL,
        };
        row.with(refused)
    }
}

impl From<BadBody> for Problem {
    fn from(fault: BadBody) -> Self {
        INVALID.with(fault)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a read of the store failed");
        INTERNAL.with("the store could not be read; the node's log says more")
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        let row = match error {
            Unavailable::Busy => return Self { retry_after_seconds: Some(1), ..BUSY.with(error) },
            Unavailable::Stopping => &STOPPING,
            Unavailable::Timeout => &TIMEOUT,
            Unavailable::HomeUnreachable { .. } => &HOME_UNREACHABLE,
            Unavailable::Unsettled => &HOME_UNSETTLED,
            Unavailable::Forked => &HOME_FORKED,
            Unavailable::Storage => &INTERNAL,
        };
        row.with(error)
    }
}

impl From<CreateWorkspaceError> for Problem {
    fn from(error: CreateWorkspaceError) -> Self {
        use CreateWorkspaceError as E;
        match error {
            E::Unavailable(error) => error.into(),
            E::Name | E::UnknownParent => INVALID.with(error),
        }
    }
}

impl From<InviteError> for Problem {
    fn from(error: InviteError) -> Self {
        use InviteError as E;
        match error {
            E::Unavailable(error) => error.into(),
            E::UnknownWorkspace => UNKNOWN_WORKSPACE.with(error),
            E::UnknownInvite => UNKNOWN_INVITE.with(error),
            E::NotAllowed { .. } => NOT_ALLOWED.with(error),
            E::Limits => INVALID.with(error),
        }
    }
}

impl From<JoinError> for Problem {
    fn from(error: JoinError) -> Self {
        use JoinError as E;
        use JoinRefusal as R;
        let row = match &error {
            E::Unavailable(error) => return (*error).into(),
            E::Ticket(_) => &NOT_A_TICKET,
            E::Refused(R::Unknown | R::Expired | R::UsedUp | R::Revoked | R::IssuerGone | R::Removed) => {
                &TICKET_DEAD
            }
            E::Refused(R::Unsettled) => &HOME_UNSETTLED,
            E::Refused(R::Forked) => &HOME_FORKED,
            E::Refused(R::NotForYou | R::Full | R::TooOften | R::BadRequest) | E::Impostor => &JOIN_REFUSED,
            E::Unreachable { .. } => &INVITER_UNREACHABLE,
        };
        row.with(error)
    }
}

impl From<RemoveMemberError> for Problem {
    fn from(error: RemoveMemberError) -> Self {
        use RemoveMemberError as E;
        match error {
            E::Unavailable(error) => error.into(),
            E::UnknownWorkspace => UNKNOWN_WORKSPACE.with(error),
            E::UnknownMember => UNKNOWN_MEMBER.with(error),
            E::NotAllowed => NOT_ALLOWED.with(error),
            E::IsHome => IS_HOME.with(error),
        }
    }
}

impl From<MoveHomeError> for Problem {
    fn from(error: MoveHomeError) -> Self {
        use MoveHomeError as E;
        match error {
            E::Unavailable(error) => error.into(),
            E::UnknownWorkspace => UNKNOWN_WORKSPACE.with(error),
            E::UnknownMember => UNKNOWN_MEMBER.with(error),
            E::NotAllowed => NOT_ALLOWED.with(error),
            E::NotAnAdmin => NOT_AN_ADMIN.with(error),
            E::Away => NEW_HOME_AWAY.with(error),
        }
    }
}

impl From<SettleError> for Problem {
    fn from(error: SettleError) -> Self {
        use SettleError as E;
        match error {
            E::Unavailable(error) => error.into(),
            E::UnknownWorkspace => UNKNOWN_WORKSPACE.with(error),
            E::NotTheHome { .. } => NOT_ALLOWED.with(error),
        }
    }
}

impl From<SetRoleError> for Problem {
    fn from(error: SetRoleError) -> Self {
        use SetRoleError as E;
        match error {
            E::Unavailable(error) => error.into(),
            E::UnknownWorkspace => UNKNOWN_WORKSPACE.with(error),
            E::UnknownMember => UNKNOWN_MEMBER.with(error),
            E::NotAllowed => NOT_ALLOWED.with(error),
            E::IsHome => IS_HOME.with(error),
        }
    }
}

impl From<RegisterAgentError> for Problem {
    fn from(error: RegisterAgentError) -> Self {
        use RegisterAgentError as E;
        match error {
            E::Unavailable(error) => error.into(),
            E::UnknownWorkspace => UNKNOWN_WORKSPACE.with(error),
            E::Exists => EXISTS.with(error),
            E::Name | E::Provider(_) | E::Capability { .. } => INVALID.with(error),
        }
    }
}

impl From<StartSessionError> for Problem {
    fn from(error: StartSessionError) -> Self {
        use StartSessionError as E;
        match error {
            E::Unavailable(error) => error.into(),
            E::UnknownWorkspace => UNKNOWN_WORKSPACE.with(error),
            E::UnknownAgent(_) => UNKNOWN_AGENT.with(error),
            E::NotAllowed => NOT_ALLOWED.with(error),
            E::Name(_) => INVALID.with(error),
            E::TooMany => TOO_MANY.with(error),
            E::Program(error) => PROGRAM_NOT_STARTED.with(error),
        }
    }
}

impl From<StopSessionError> for Problem {
    fn from(error: StopSessionError) -> Self {
        use StopSessionError as E;
        match error {
            E::Unavailable(error) => error.into(),
            E::UnknownWorkspace => UNKNOWN_WORKSPACE.with(error),
            E::UnknownSession => UNKNOWN_SESSION.with(error),
        }
    }
}

impl From<PrincipalError> for Problem {
    fn from(error: PrincipalError) -> Self {
        use PrincipalError as E;
        match error {
            E::Unavailable(error) => error.into(),
            E::UnknownWorkspace => UNKNOWN_WORKSPACE.with(error),
            E::UnknownPrincipal => UNKNOWN_PRINCIPAL.with(error),
            E::SlugTaken => EXISTS.with(error),
            E::NotAllowed => NOT_ALLOWED.with(error),
            E::TooMany => TOO_MANY.with(error),
            E::Invalid(_) | E::UnknownOwner => INVALID.with(error),
        }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        use KeyError as E;
        match error {
            E::Unavailable(error) => error.into(),
            E::UnknownWorkspace => UNKNOWN_WORKSPACE.with(error),
            E::UnknownPrincipal => UNKNOWN_PRINCIPAL.with(error),
            E::UnknownKey => UNKNOWN_KEY.with(error),
            E::Scope => INVALID_SCOPE.with(error),
            E::Expired => INVALID.with(error),
            E::TooMany => TOO_MANY.with(error),
        }
    }
}

impl From<StreamError> for Problem {
    fn from(error: StreamError) -> Self {
        use StreamError as E;
        match error {
            E::Unavailable(error) => error.into(),
            E::UnknownWorkspace => UNKNOWN_WORKSPACE.with(error),
            E::UnknownStream => UNKNOWN_STREAM.with(error),
            E::UnknownMessage => UNKNOWN_MESSAGE.with(error),
            E::UnknownMember => UNKNOWN_PRINCIPAL.with(error),
            E::Invalid(_) | E::Elsewhere | E::Reader | E::Fixed => INVALID.with(error),
            E::Exists => EXISTS.with(error),
            E::TooMany => TOO_MANY.with(error),
            E::NotAllowed => NOT_ALLOWED.with(error),
        }
    }
}

impl From<MemoError> for Problem {
    fn from(error: MemoError) -> Self {
        use MemoError as E;
        match error {
            E::Unavailable(error) => error.into(),
            E::UnknownWorkspace => UNKNOWN_WORKSPACE.with(error),
            E::Refused(NotWritten::UnknownMessage) => UNKNOWN_MESSAGE.with(error),
            E::Refused(NotWritten::Bad(_) | NotWritten::SourcesApart) => INVALID.with(error),
            E::Refused(NotWritten::NotAllowed) => NOT_ALLOWED.with(error),
        }
    }
}

impl From<BackupError> for Problem {
    fn from(error: BackupError) -> Self {
        use BackupError as E;
        match error {
            E::Exists(_) | E::Write(_) => INVALID.with(error),
            E::Unverified => INTERNAL.with(error),
            E::Store(error) => error.into(),
        }
    }
}

/// Problem answers of an operation, for its document.
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
    /// What every operation of the operator may answer.
    Always = "401" "The operator token is missing or wrong.",
             "403" "This node's role does not allow it, or a foreign web page asks.",
             "421" "The node does not serve that host.", "500" "The node failed.",
             "503" "The node is busy, stopping, or something it needs cannot be reached.";
    /// The request is not valid.
    BadRequest = "400" "The request is not valid; `detail` names the part.",
                 "413" "The body is above 4 MiB.";
    /// What the path names does not exist.
    NotFound = "404" "What the path names does not exist.";
    /// What the request makes exists, or there are too many.
    Conflict = "409" "It exists already, or there are too many.";
    /// A node that was asked did not answer.
    Unreachable = "504" "No node that could answer was reached.";
}

fn answer(description: &str) -> RefOr<response::Response> {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content)
        .build()
        .into()
}
