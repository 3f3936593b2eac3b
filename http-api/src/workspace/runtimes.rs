//! Runtimes of bots: their presence, and the scratchpads of their sessions (W-53, W-54, W-112 to W-124).

use axum::{Json, extract::State};
use muster_protocol::{
    invocation::{
        redact::redact,
        runtime::{RuntimeKind, RuntimeStatus},
    },
    key::Scope,
    limits,
    principal::is_name,
};
use muster_storage::{LinkRow, NewLink, RuntimeRow, RuntimeSaid, stream_text};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    Data, WorkspacePath,
    auth::{Bearer, Kinds},
    errors::{Always, Failure, NotFound, SessionConflict},
    fields::Fields,
    moment::Moment,
};
use crate::{
    Doors,
    input::{InPath, JsonBody},
};

/// Characters of a name for people (`contracts/workspace.yaml`).
const NAME_CHARS_MAX: usize = limits::NAME_CHARS_MAX;
/// What the name of a session's scratchpad has to be.
const UNPRINTABLE: &str = "must not be blank, and must hold only characters that print";

/// What kind of program a runtime is.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case", as = RuntimeKind)]
#[expect(dead_code, reason = "it describes what is read and answered")]
pub(super) enum Kind {
    PiLocal,
    Hermes,
    Openclaw,
    ClaudeCodeChannel,
    Custom,
}

/// Kinds whose sessions own scratchpads.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "it describes what is read")]
enum SessionKind {
    PiLocal,
    ClaudeCodeChannel,
    Hermes,
    Custom,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase", as = RuntimeStatus)]
#[expect(dead_code, reason = "it describes what is read and answered")]
enum Status {
    Available,
    Busy,
    Offline,
    Error,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read")]
struct PresenceRequest {
    runtime_kind: Kind,
    /// The runtime's own stable name for its process or machine.
    #[schema(min_length = 1, max_length = 128)]
    instance_id: String,
    /// The runtime's own name for one session inside an instance.
    #[schema(min_length = 1, max_length = 256, nullable = false)]
    runtime_session_id: Option<String>,
    #[schema(max_length = 100, nullable = false)]
    display_name: Option<String>,
    status: Status,
    accepting_invocations: bool,
    /// Free-form flags.
    #[schema(value_type = Option<Object>, nullable = false)]
    capabilities: Option<Value>,
    #[schema(max_length = 200, nullable = false)]
    status_text: Option<String>,
    /// A 32-byte X25519 public key in padded base64. Goes with `publicKeyId`.
    #[schema(min_length = 44, max_length = 44, pattern = r"^[A-Za-z0-9+/]{43}=$", nullable = false)]
    public_key: Option<String>,
    #[schema(min_length = 1, max_length = 128, nullable = false)]
    public_key_id: Option<String>,
}

/// A runtime as it is recorded.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuntimePresence {
    id: String,
    workspace_id: String,
    bot_id: String,
    #[schema(value_type = Kind)]
    runtime_kind: String,
    instance_id: String,
    #[schema(required)]
    display_name: Option<String>,
    #[schema(value_type = Status)]
    status: String,
    accepting_invocations: bool,
    #[schema(value_type = Object)]
    capabilities: Map<String, Value>,
    #[schema(required)]
    status_text: Option<String>,
    last_seen_at: Moment,
    created_at: Moment,
    updated_at: Moment,
}

impl RuntimePresence {
    fn of(row: RuntimeRow, workspace_id: String, bot_id: String) -> Self {
        Self {
            id: format!("bri_{}", row.id),
            workspace_id,
            bot_id,
            runtime_kind: row.kind,
            instance_id: row.instance,
            display_name: row.display_name,
            status: row.status,
            accepting_invocations: row.accepting,
            capabilities: row.capabilities,
            status_text: row.status_text,
            last_seen_at: Moment(row.seen_ms),
            created_at: Moment(row.created_ms),
            updated_at: Moment(row.updated_ms),
        }
    }
}

/// Announce or refresh a runtime of the calling bot
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspaceId}/bot-runtime/presence", operation_id = "upsertBotRuntimePresence",
    tag = "Bot runtimes", params(WorkspacePath), request_body = PresenceRequest,
    responses((status = 200, description = "The runtime as now recorded", body = Data<RuntimePresence>), NotFound, Always)
)]
pub(super) async fn presence(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<Json<Data<RuntimePresence>>, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::BotRuntimeWrite), Kinds::BotOnly)?;
    let mut fields = Fields::of_body(&body)?;
    let kind = kind(&mut fields);
    let instance = instance(&mut fields);
    let session = session(&mut fields);
    let display_name = fields.optional_text("displayName", 0, NAME_CHARS_MAX);
    let status = fields.needed("status", |fields| fields.word("status", RuntimeStatus::from_word));
    let accepting = fields.needed("acceptingInvocations", |fields| fields.flag("acceptingInvocations"));
    let capabilities = capabilities(&mut fields, session);
    let status_text = fields.optional_text("statusText", 0, limits::STATUS_TEXT_CHARS_MAX);
    let public_key = public_key(&mut fields);
    fields.done()?;
    let (Some(kind), Some(status), Some(accepting)) = (kind, status, accepting) else {
        return Err(Failure::invalid_whole("Validation failed"));
    };
    let (bot, workspace) = (caller.principal(), caller.workspace.id);
    drop(caller);
    let status_text = status_text.as_deref().map(redact);
    let said = RuntimeSaid {
        bot,
        kind,
        instance,
        display_name,
        status,
        accepting,
        capabilities,
        status_text,
        public_key,
    };
    let row = doors.node.put_runtime(workspace, said).await?;
    Ok(Json(Data { data: RuntimePresence::of(row, workspace.to_string(), bot.to_string()) }))
}

/// What a runtime can do, with its session among it (W-114).
fn capabilities(fields: &mut Fields, session: Option<String>) -> Map<String, Value> {
    let mut capabilities = match fields.given("capabilities") {
        None => Map::new(),
        Some(Value::Object(members)) => members.clone(),
        Some(_) => {
            fields.fault("capabilities", "must be an object");
            Map::new()
        }
    };
    if let Some(session) = session {
        capabilities.insert("runtimeSessionId".to_owned(), session.into());
    }
    let max = limits::RUNTIME_CAPABILITIES_BYTES_MAX;
    if serde_json::to_vec(&capabilities).is_ok_and(|json| json.len() > max) {
        fields.fault("capabilities", format!("must have at most {max} bytes, written as JSON"));
    }
    capabilities
}

/// A key and its name, both or none (W-115).
fn public_key(fields: &mut Fields) -> Option<(String, String)> {
    let key = fields.optional_text("publicKey", 0, usize::MAX);
    let id = fields.optional_text("publicKeyId", 1, limits::PUBLIC_KEY_ID_CHARS_MAX);
    let decoded = key.as_ref().map(|key| data_encoding::BASE64.decode(key.as_bytes()));
    if decoded.is_some_and(|decoded| decoded.map_or(true, |bytes| bytes.len() != 32)) {
        fields.fault("publicKey", "must be 32 bytes in padded base64");
    }
    for (field, other) in [("publicKey", "publicKeyId"), ("publicKeyId", "publicKey")] {
        if fields.given(field).is_none() && fields.given(other).is_some() {
            fields.fault(field, format!("is required together with {other}"));
        }
    }
    key.zip(id)
}

/// The kind of the runtime.
pub(super) fn kind(fields: &mut Fields) -> Option<RuntimeKind> {
    fields.needed("runtimeKind", |fields| fields.word("runtimeKind", RuntimeKind::from_word))
}

/// The runtime's name for itself.
pub(super) fn instance(fields: &mut Fields) -> String {
    fields.text("instanceId", 1, limits::INSTANCE_CHARS_MAX)
}

/// The session in it, if one is named.
pub(super) fn session(fields: &mut Fields) -> Option<String> {
    fields.optional_text("runtimeSessionId", 1, limits::RUNTIME_SESSION_CHARS_MAX)
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read")]
struct SessionRequest {
    /// Only kinds that can own a scratchpad; `openclaw` is refused.
    runtime_kind: SessionKind,
    #[schema(min_length = 1, max_length = 128)]
    instance_id: String,
    #[schema(min_length = 1, max_length = 256)]
    runtime_session_id: String,
    #[schema(min_length = 1, max_length = 100)]
    display_name: String,
    /// Working directory on the runtime's machine; kept for people to read.
    #[schema(max_length = 1000, nullable = false)]
    local_cwd: Option<String>,
}

/// A session and the scratchpad it answers in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionLink {
    link_id: String,
    root_stream_id: String,
    active_stream_id: String,
    runtime_session_id: String,
    /// Path in a web app.
    stream_url_path: String,
}

impl SessionLink {
    fn of(row: &LinkRow, workspace_id: &str) -> Self {
        let stream = stream_text(row.stream);
        Self {
            link_id: format!("brsl_{}", row.id),
            root_stream_id: stream.clone(),
            stream_url_path: format!("/w/{workspace_id}/s/{stream}"),
            active_stream_id: stream,
            runtime_session_id: row.session.clone(),
        }
    }
}

/// Link a runtime session to a scratchpad, making the scratchpad if need be
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspaceId}/bot-runtime/sessions", operation_id = "createBotRuntimeSession",
    tag = "Bot runtimes", params(WorkspacePath), request_body = SessionRequest,
    responses(
        (status = 200, description = "The link, new or found again", body = Data<SessionLink>), NotFound,
        SessionConflict, Always
    )
)]
pub(super) async fn link(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<Json<Data<SessionLink>>, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::BotRuntimeWrite), Kinds::BotOnly)?;
    let mut fields = Fields::of_body(&body)?;
    let kind = fields.needed("runtimeKind", |fields| {
        let owner = |word: &str| RuntimeKind::from_word(word).filter(|kind| kind.owns_scratchpads());
        fields.word("runtimeKind", owner)
    });
    let instance = instance(&mut fields);
    let session = fields.text("runtimeSessionId", 1, limits::RUNTIME_SESSION_CHARS_MAX);
    let display_name = scratchpad_name(&mut fields);
    let local_cwd = fields.optional_text("localCwd", 0, limits::LOCAL_CWD_CHARS_MAX).unwrap_or_default();
    fields.done()?;
    let Some(kind) = kind else { return Err(Failure::invalid_whole("Validation failed")) };
    caller.acts()?;
    let (bot, workspace) = (caller.principal(), caller.workspace.id);
    drop(caller);
    let new = NewLink { bot, kind, instance, session, display_name, local_cwd };
    let row = doors.node.link_session(workspace, new).await?;
    Ok(Json(Data { data: SessionLink::of(&row, &workspace.to_string()) }))
}

fn scratchpad_name(fields: &mut Fields) -> String {
    let name = fields.text("displayName", 1, NAME_CHARS_MAX);
    if !name.is_empty() && !is_name(&name) {
        fields.fault("displayName", UNPRINTABLE);
    }
    name
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read")]
struct RenameRequest {
    #[schema(min_length = 1, max_length = 128)]
    instance_id: String,
    #[schema(min_length = 1, max_length = 256)]
    runtime_session_id: String,
    #[schema(min_length = 1, max_length = 100)]
    display_name: String,
}

/// A session's link, and what its scratchpad is called now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NamedLink {
    #[serde(flatten)]
    link: SessionLink,
    display_name: String,
}

/// Give the scratchpad of a linked session another name
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspaceId}/bot-runtime/sessions/rename",
    operation_id = "renameBotRuntimeSession", tag = "Bot runtimes", params(WorkspacePath),
    request_body = RenameRequest,
    responses((status = 200, description = "The link with the name now in force", body = Data<NamedLink>), NotFound, Always)
)]
pub(super) async fn rename(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<Json<Data<NamedLink>>, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::BotRuntimeWrite), Kinds::BotOnly)?;
    let mut fields = Fields::of_body(&body)?;
    let instance = instance(&mut fields);
    let session = fields.text("runtimeSessionId", 1, limits::RUNTIME_SESSION_CHARS_MAX);
    let display_name = scratchpad_name(&mut fields);
    fields.done()?;
    let (bot, workspace) = (caller.principal(), caller.workspace.id);
    drop(caller);
    let row = doors.node.rename_session(workspace, bot, (instance, session), display_name.clone()).await?;
    let link = SessionLink::of(&row, &workspace.to_string());
    Ok(Json(Data { data: NamedLink { link, display_name } }))
}
