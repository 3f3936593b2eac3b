//! Work of bots: claiming it, telling of it, ending it (W-51, W-132 to W-155).

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use muster_actors::{ClaimedWork, Worker};
use muster_protocol::{
    invocation::{InvocationId, Trigger},
    limits,
    post::AttachmentRef,
    principal::Principal,
};
use muster_storage::{
    Author, Claiming, Completion, NewStep, PostRow, Reply, View, WorkspaceRow, stream_text,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Data, WorkspacePath,
    auth::{Bearer, Working},
    errors::{Always, ClaimConflict, Failure, NotFound},
    fields::Fields,
    ids,
    message::{AuthorType, Message, author},
    messages::{content, metadata},
    moment::Moment,
    runtimes,
};
use crate::{
    Doors,
    input::{InPath, JsonBody},
};

/// Kinds of steps (`contracts/workspace.yaml`).
const STEP_TYPES: [&str; 16] = [
    "context_received",
    "thinking",
    "reconsidering",
    "web_search",
    "visit_page",
    "workspace_search",
    "research",
    "github_access",
    "linear_access",
    "message_sent",
    "message_edited",
    "response",
    "tool_call",
    "tool_error",
    "rate_limited",
    "rate_limit_retry",
];

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes what is read")]
enum StepType {
    ContextReceived,
    Thinking,
    Reconsidering,
    WebSearch,
    VisitPage,
    WorkspaceSearch,
    Research,
    GithubAccess,
    LinearAccess,
    MessageSent,
    MessageEdited,
    Response,
    ToolCall,
    ToolError,
    RateLimited,
    RateLimitRetry,
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "it describes what is answered")]
enum InvocationTrigger {
    Mention,
    ActiveScratchpad,
    SessionControl,
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "it describes what is read and answered")]
enum InvocationCapability {
    Mentionable,
    ActiveScratchpad,
    SessionControl,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read")]
struct ClaimRequest {
    runtime_kind: runtimes::Kind,
    #[schema(min_length = 1, max_length = 128)]
    instance_id: String,
    #[schema(min_length = 1, max_length = 256, nullable = false)]
    runtime_session_id: Option<String>,
    #[schema(min_items = 1)]
    supported_capabilities: Vec<InvocationCapability>,
    #[schema(minimum = 15, maximum = 300, default = 60, nullable = false)]
    claim_ttl_seconds: Option<i64>,
}

/// The bot that is asked.
#[derive(Serialize, ToSchema)]
struct InvocationActor {
    r#type: BotOnly,
    id: String,
    slug: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum BotOnly {
    Bot,
}

/// A message that was said before.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct InvocationHistoryMessage {
    message_id: String,
    /// `assistant` only for what the claiming bot itself wrote; everyone else is `user`.
    role: Role,
    author_id: String,
    author_type: AuthorType,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    author_display_name: Option<String>,
    content_markdown: String,
    created_at: Moment,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
}

/// What was said before, oldest first, without the summoning message.
#[derive(Serialize, ToSchema)]
struct InvocationContext {
    kind: Inline,
    #[schema(max_items = 30)]
    messages: Vec<InvocationHistoryMessage>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Inline {
    Inline,
}

/// Work that is the caller's now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClaimedInvocation {
    id: String,
    workspace_id: String,
    /// The outermost stream; the same as the active one outside threads.
    root_stream_id: String,
    /// The stream the summoning message stands in.
    active_stream_id: String,
    /// The message that summoned the bot.
    source_message_id: String,
    /// Where a reply given at completion will be posted.
    response_stream_id: String,
    actor: InvocationActor,
    #[schema(value_type = InvocationTrigger)]
    trigger: &'static str,
    #[schema(value_type = InvocationCapability)]
    required_capability: &'static str,
    /// The summoning message's text.
    prompt_markdown: String,
    /// Author of the summoning message.
    author_user_id: String,
    mentioned_actor_slugs: Vec<String>,
    /// Secret handed out by the claim; proves ownership of it.
    #[schema(min_length = 1, max_length = 256)]
    claim_token: String,
    claim_expires_at: Moment,
    /// The session the work was aimed at; null when any session may take it.
    #[schema(required)]
    runtime_session_id: Option<String>,
    #[schema(value_type = Object)]
    metadata: BTreeMap<String, String>,
    context: InvocationContext,
}

impl ClaimedInvocation {
    fn of(work: ClaimedWork, view: &View, workspace: &WorkspaceRow) -> Result<Self, Failure> {
        let bot = work.bot.id;
        let messages = work.context.into_iter().map(|row| history(row, bot, view, workspace));
        let (author_user_id, _, _) = author(&work.source.author, view, workspace)?;
        let stream = stream_text(work.stream.id);
        Ok(Self {
            id: work.id.to_string(),
            workspace_id: workspace.id.to_string(),
            root_stream_id: stream_text(work.stream.root),
            active_stream_id: stream.clone(),
            source_message_id: ids::message_text(work.source.id),
            response_stream_id: stream,
            actor: InvocationActor {
                r#type: BotOnly::Bot,
                id: bot.to_string(),
                slug: work.bot.slug.to_string(),
            },
            trigger: work.trigger.as_str(),
            required_capability: work.trigger.capability(),
            prompt_markdown: work.prompt,
            author_user_id,
            mentioned_actor_slugs: work.mentions,
            claim_token: work.token,
            claim_expires_at: Moment(work.until_ms),
            runtime_session_id: work.session,
            metadata: BTreeMap::new(),
            context: InvocationContext {
                kind: Inline::Inline,
                messages: messages.collect::<Result<_, _>>()?,
            },
        })
    }
}

fn history(
    row: PostRow,
    bot: Principal,
    view: &View,
    workspace: &WorkspaceRow,
) -> Result<InvocationHistoryMessage, Failure> {
    let (author_id, author_type, author_display_name) = author(&row.author, view, workspace)?;
    let role = if row.author == Author::Principal(bot) { Role::Assistant } else { Role::User };
    Ok(InvocationHistoryMessage {
        message_id: ids::message_text(row.id),
        role,
        author_id,
        author_type,
        author_display_name,
        content_markdown: row.text,
        created_at: Moment(row.created_ms),
    })
}

/// The claimed work, or nothing.
#[derive(Serialize, ToSchema)]
pub(super) struct Claimed {
    #[schema(required)]
    data: Option<ClaimedInvocation>,
}

/// Take at most one piece of waiting work
///
/// Answers 200 with `data` null when nothing suits the caller. Also counts as a heartbeat.
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspaceId}/bot-invocations/claim", operation_id = "claimBotInvocation",
    tag = "Bot invocations", params(WorkspacePath), request_body = ClaimRequest,
    responses((status = 200, description = "The claimed work, or null", body = Claimed), NotFound, Always)
)]
pub(super) async fn claim(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<Json<Claimed>, Failure> {
    let caller = key.work(&doors, &path.workspace_id)?;
    let mut fields = Fields::of_body(&body)?;
    let kind = runtimes::kind(&mut fields);
    let (instance, session) = (runtimes::instance(&mut fields), runtimes::session(&mut fields));
    let triggers = fields.words("supportedCapabilities", Trigger::of_capability);
    if fields.given("supportedCapabilities").is_none_or(|given| given.as_array().is_some_and(Vec::is_empty)) {
        fields.fault("supportedCapabilities", "must name at least one capability");
    }
    let seconds = ttl(&mut fields);
    fields.done()?;
    let Some(kind) = kind else { return Err(Failure::invalid_whole("Validation failed")) };
    let (worker, workspace) = (caller.worker, caller.workspace);
    let claiming = Claiming { kind, instance, session, triggers, seconds, through: None };
    let work = doors.node.claim_invocation(workspace.id, worker, claiming).await?;
    let view = doors.node.store().view()?;
    let data = work.map(|work| ClaimedInvocation::of(work, &view, &workspace)).transpose()?;
    Ok(Json(Claimed { data }))
}

fn ttl(fields: &mut Fields) -> u64 {
    fields.number(
        "claimTtlSeconds",
        limits::INVOCATION_CLAIM_SECONDS_MIN,
        limits::INVOCATION_CLAIM_SECONDS_MAX,
        limits::INVOCATION_CLAIM_SECONDS_DEFAULT,
    )
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[serde(rename_all = "camelCase")]
pub(super) struct InvocationPath {
    /// Workspace id; must be the one the key was minted in.
    workspace_id: String,
    /// Invocation id (`binv_` and a ULID).
    invocation_id: String,
}

impl InvocationPath {
    /// An id that is none is one that nobody holds (W-8).
    fn invocation(&self) -> Result<InvocationId, Failure> {
        self.invocation_id.parse().map_err(|_| Failure::not_found("Invocation claim"))
    }
}

/// Who says it holds the claim: instance and token.
fn holder(fields: &mut Fields) -> (String, String) {
    (runtimes::instance(fields), fields.text("claimToken", 1, limits::CLAIM_TOKEN_CHARS_MAX))
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read")]
struct RenewRequest {
    #[schema(min_length = 1, max_length = 128)]
    instance_id: String,
    #[schema(min_length = 1, max_length = 256)]
    claim_token: String,
    #[schema(minimum = 15, maximum = 300, default = 60, nullable = false)]
    claim_ttl_seconds: Option<i64>,
}

/// A claim and its new deadline.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Renewed {
    invocation_id: String,
    /// `claimed` after a successful renewal.
    status: &'static str,
    #[schema(required)]
    claim_expires_at: Option<Moment>,
}

/// Push back the deadline of a live claim
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspaceId}/bot-invocations/{invocationId}/renew",
    operation_id = "renewBotInvocationClaim", tag = "Bot invocations", params(InvocationPath),
    request_body = RenewRequest,
    responses((status = 200, description = "The claim with its new deadline", body = Data<Renewed>), NotFound, Always)
)]
pub(super) async fn renew(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<InvocationPath>,
    body: JsonBody,
) -> Result<Json<Data<Renewed>>, Failure> {
    let caller = key.work(&doors, &path.workspace_id)?;
    let mut fields = Fields::of_body(&body)?;
    let (holder, seconds) = (holder(&mut fields), ttl(&mut fields));
    fields.done()?;
    let id = path.invocation()?;
    let (worker, workspace) = (caller.worker, caller.workspace.id);
    let until_ms = doors.node.renew_invocation(workspace, worker, id, holder, seconds).await?;
    let claim_expires_at = Some(Moment(until_ms));
    Ok(Json(Data { data: Renewed { invocation_id: id.to_string(), status: "claimed", claim_expires_at } }))
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read")]
struct StepRequest {
    #[schema(min_length = 1, max_length = 128)]
    instance_id: String,
    #[schema(min_length = 1, max_length = 256)]
    claim_token: String,
    step_type: StepType,
    #[schema(min_length = 1, max_length = 10000)]
    content: String,
    #[schema(max_length = 200, nullable = false)]
    status_text: Option<String>,
}

/// Where a step was filed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Filed {
    invocation_id: String,
    /// The trace session. Equal to the invocation id.
    session_id: String,
    step_id: String,
}

/// Append one step to the trace of the running work
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspaceId}/bot-invocations/{invocationId}/steps",
    operation_id = "recordBotInvocationStep", tag = "Bot invocations", params(InvocationPath),
    request_body = StepRequest,
    responses((status = 200, description = "Where the step was filed", body = Data<Filed>), NotFound, ClaimConflict, Always)
)]
pub(super) async fn step(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<InvocationPath>,
    body: JsonBody,
) -> Result<Json<Data<Filed>>, Failure> {
    let caller = key.work(&doors, &path.workspace_id)?;
    let mut fields = Fields::of_body(&body)?;
    let (instance, token) = holder(&mut fields);
    let kind = fields.needed("stepType", |fields| {
        fields.word("stepType", |word| STEP_TYPES.into_iter().find(|known| *known == word))
    });
    let content = fields.text("content", 1, limits::STEP_CHARS_MAX);
    let status_text = fields.optional_text("statusText", 0, limits::STATUS_TEXT_CHARS_MAX);
    fields.done()?;
    let id = path.invocation()?;
    let (worker, workspace) = (caller.worker, caller.workspace.id);
    let kind = kind.unwrap_or_default().to_owned();
    let step = NewStep { instance, token, kind, content, status_text };
    let step = doors.node.record_step(workspace, worker, id, step).await?;
    let (invocation_id, session_id) = (id.to_string(), id.to_string());
    Ok(Json(Data { data: Filed { invocation_id, session_id, step_id: format!("step_{step}") } }))
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read")]
struct CompleteRequest {
    #[schema(min_length = 1, max_length = 128)]
    instance_id: String,
    #[schema(min_length = 1, max_length = 256)]
    claim_token: String,
    /// The reply. Needed unless `noResponse` is true.
    #[schema(min_length = 1, max_length = 50000, nullable = false)]
    final_message_markdown: Option<String>,
    /// Ends the work in silence; a reply sent along is dropped.
    #[schema(nullable = false)]
    no_response: Option<bool>,
    /// Lands on the reply.
    #[schema(nullable = false)]
    metadata: Option<BTreeMap<String, String>>,
}

/// Work that is done.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Completed {
    invocation_id: String,
    /// The posted reply; null when the work ended silently.
    #[schema(required)]
    message: Option<Message>,
}

/// Finish the work, with a reply or without one
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspaceId}/bot-invocations/{invocationId}/complete",
    operation_id = "completeBotInvocation", tag = "Bot invocations", params(InvocationPath),
    request_body = CompleteRequest,
    responses((status = 200, description = "Done", body = Data<Completed>), NotFound, ClaimConflict, Always)
)]
pub(super) async fn complete(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<InvocationPath>,
    body: JsonBody,
) -> Result<Json<Data<Completed>>, Failure> {
    let caller = key.work(&doors, &path.workspace_id)?;
    let mut fields = Fields::of_body(&body)?;
    let (instance, token) = holder(&mut fields);
    let mut reply = reply(&mut fields);
    fields.done()?;
    if let Some(reply) = &mut reply {
        caller.acts()?;
        reply.attachments = linked(&doors, &caller, &reply.text)?;
    }
    let id = path.invocation()?;
    let (worker, workspace) = (caller.worker, caller.workspace);
    let completion = Completion { instance, token, reply };
    let said = doors.node.complete_invocation(workspace.id, worker, id, completion).await?;
    let view = doors.node.store().view()?;
    let message = said.map(|row| Message::of(row, &view, &workspace)).transpose()?;
    Ok(Json(Data { data: Completed { invocation_id: id.to_string(), message } }))
}

/// The files that a reply links to (W-104). Those of a bot whose home is elsewhere are there.
fn linked(doors: &Doors, caller: &Working, text: &str) -> Result<Vec<AttachmentRef>, Failure> {
    let Worker::Here(bot) = caller.worker else { return Ok(Vec::new()) };
    let files = doors.node.linked_files(&caller.workspace, bot, text)?;
    files.map_err(|bad| Failure::invalid_field("finalMessageMarkdown", bad.to_string()))
}

/// The reply, unless the work ends in silence (W-149).
fn reply(fields: &mut Fields) -> Option<Reply> {
    let is_silent = fields.flag("noResponse") == Some(true);
    let metadata = metadata(fields).into_iter().collect();
    if fields.given("finalMessageMarkdown").is_none() {
        if !is_silent {
            fields.fault("finalMessageMarkdown", "is required unless noResponse is true");
        }
        return None;
    }
    let text = content(fields, "finalMessageMarkdown");
    (!is_silent).then(|| Reply { text, metadata, attachments: Vec::new() })
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read")]
struct FailRequest {
    #[schema(min_length = 1, max_length = 128)]
    instance_id: String,
    #[schema(min_length = 1, max_length = 256)]
    claim_token: String,
    #[schema(min_length = 1, max_length = 1000)]
    error_message: String,
}

/// Work that was given up.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failed {
    invocation_id: String,
    /// `failed`.
    status: &'static str,
}

/// Give the work up with a reason
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspaceId}/bot-invocations/{invocationId}/fail",
    operation_id = "failBotInvocation", tag = "Bot invocations", params(InvocationPath), request_body = FailRequest,
    responses((status = 200, description = "The work is over", body = Data<Failed>), NotFound, Always)
)]
pub(super) async fn fail(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<InvocationPath>,
    body: JsonBody,
) -> Result<Json<Data<Failed>>, Failure> {
    let caller = key.work(&doors, &path.workspace_id)?;
    let mut fields = Fields::of_body(&body)?;
    let holder = holder(&mut fields);
    let reason = fields.text("errorMessage", 1, limits::INVOCATION_REASON_CHARS_MAX);
    fields.done()?;
    let id = path.invocation()?;
    let (worker, workspace) = (caller.worker, caller.workspace.id);
    doors.node.fail_invocation(workspace, worker, id, holder, reason).await?;
    Ok(Json(Data { data: Failed { invocation_id: id.to_string(), status: "failed" } }))
}
