//! Sessions: running or finished agent processes (N-120).
//!
//! A node fills what it knows; the parts about sandboxes and health are here because they belong to the
//! contract's answer.

use muster_actors::Phase;
use muster_protocol::limits;
use muster_storage::SessionRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::words::SessionState;
use crate::Time;

/// One session.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct Session {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub agent_name: String,
    pub provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    pub workspace_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    pub r#type: SessionType,
    pub state: SessionState,
    /// One word for people.
    pub badge: &'static str,
    /// Whether somebody may attach to it now.
    pub attachable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attached_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach_expires_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<StopReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<SessionFailure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acp_session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acp_caps: Option<SessionAcpCaps>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<SessionActivity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SessionSandbox>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lineage: Option<SessionLineage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<SessionHealth>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Session {
    /// A stored session of `workspace`; `phase` is how its program stands, if it has one.
    pub(crate) fn of(row: SessionRow, phase: Option<Phase>, workspace: &str) -> Self {
        let state = SessionState::of(row.state, phase);
        let stop_reason = row.stop_reason.as_deref().and_then(StopReason::from_word);
        let badge = badge(state, &row);
        Self {
            id: row.id,
            name: None,
            agent_name: row.agent_name,
            provider: row.provider,
            model: None,
            reasoning_effort: None,
            workspace_id: workspace.to_owned(),
            workspace_path: None,
            channel: Some(row.channel.to_string()),
            r#type: SessionType::User,
            state,
            badge,
            attachable: state == SessionState::Active && row.failure.is_none(),
            attached_to: None,
            attach_expires_at: None,
            // What is none of the contract's words is told as a detail.
            stop_detail: row.stop_reason.filter(|_| stop_reason.is_none()),
            stop_reason,
            failure: row.failure.map(|failure| SessionFailure {
                kind: failure.kind,
                summary: Some(failure.summary),
                crash_bundle_path: None,
            }),
            acp_session_id: None,
            acp_caps: None,
            activity: None,
            sandbox: None,
            lineage: None,
            health: None,
            created_at: Time::from_ms(row.created_ms),
            updated_at: Time::from_ms(row.updated_ms),
        }
    }
}

/// A session without a program behind it does nothing by itself: when it is active it is idle. One with a
/// program is running while it works on an envelope.
fn badge(state: SessionState, row: &SessionRow) -> &'static str {
    match (state, &row.failure) {
        (SessionState::Stopped, _) => "stopped",
        (SessionState::Starting | SessionState::Stopping, _) => "running",
        (SessionState::Active, Some(failure)) if failure.kind == "provider_auth_failure" => {
            "waiting-for-auth"
        }
        (SessionState::Active, Some(failure)) if failure.in_a_row >= limits::PROGRAM_FAILURES_MAX => "failed",
        (SessionState::Active, Some(_)) => "unhealthy",
        (SessionState::Active, None) if row.busy => "running",
        (SessionState::Active, None) => "idle",
    }
}

/// What a session was started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum SessionType {
    User,
    Dream,
    System,
    Coordinator,
    Spawned,
}

/// Why a session stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum StopReason {
    Completed,
    UserCanceled,
    MaxIterations,
    LoopDetected,
    Timeout,
    BudgetExceeded,
    Error,
    AgentCrashed,
    HookStopped,
    Shutdown,
}

impl StopReason {
    fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "completed" => Self::Completed,
            "user_canceled" => Self::UserCanceled,
            "max_iterations" => Self::MaxIterations,
            "loop_detected" => Self::LoopDetected,
            "timeout" => Self::Timeout,
            "budget_exceeded" => Self::BudgetExceeded,
            "error" => Self::Error,
            "agent_crashed" => Self::AgentCrashed,
            "hook_stopped" => Self::HookStopped,
            "shutdown" => Self::Shutdown,
            _ => return None,
        })
    }
}

/// How a session failed.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct SessionFailure {
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash_bundle_path: Option<String>,
}

/// What the agent's program can do.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct SessionAcpCaps {
    pub supports_load_session: bool,
    #[schema(required = false)]
    pub supported_modes: Vec<String>,
    #[schema(required = false)]
    pub supported_models: Vec<String>,
    #[schema(required = false)]
    pub config_options: Vec<SessionConfigOption>,
}

/// A setting of the agent's program.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct SessionConfigOption {
    pub id: String,
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    #[schema(required = false)]
    pub values: Vec<SessionConfigValue>,
}

/// A value a setting can have.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct SessionConfigValue {
    pub value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What a session is doing.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct SessionActivity {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_started_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_activity_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_activity_kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_activity_detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_progress_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    pub iteration_current: u32,
    pub iteration_max: u32,
    pub idle_seconds: u64,
    pub elapsed_seconds: u64,
    pub elapsed_ms: u64,
}

/// The sandbox of a session.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct SessionSandbox {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sync_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_state_json: Option<serde_json::Value>,
}

/// Where a session comes from and what it may start.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct SessionLineage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_session_id: Option<String>,
    pub spawn_depth: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spawn_role: Option<String>,
    pub auto_stop_on_parent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_expires_at: Option<Time>,
    pub spawn_budget: SessionSpawnBudget,
    pub permission_policy: SessionPermissionPolicy,
}

/// How many sessions a session may start.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct SessionSpawnBudget {
    pub max_children: u32,
    pub max_depth: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_active_per_workspace: Option<u32>,
    pub ttl_seconds: u64,
}

/// What a session may use.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct SessionPermissionPolicy {
    pub mcp_servers: Vec<String>,
    pub network_channels: Vec<String>,
    pub sandbox_profiles: Vec<String>,
    pub skills: Vec<String>,
    pub tools: Vec<String>,
    pub workspace_paths: Vec<String>,
}

/// How a session fares.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct SessionHealth {
    pub session_id: String,
    pub workspace_id: String,
    pub agent_name: String,
    pub state: SessionHealthState,
    pub health: SessionHealthLevel,
    pub active_prompt: bool,
    pub attachable: bool,
    pub eligible_for_wake: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ineligibility_reason: Option<SessionIneligibility>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_activity_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_presence_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    pub updated_at: Time,
}

/// Whether a session is answering.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum SessionHealthState {
    Idle,
    Prompting,
    Stopped,
    Detached,
}

/// How healthy a session is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum SessionHealthLevel {
    Healthy,
    Degraded,
    Stale,
    Dead,
    Unknown,
}

/// Why a session cannot be woken.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum SessionIneligibility {
    SessionPromptActive,
    SessionNotAttachable,
    SessionUnhealthy,
    SessionHealthStale,
    SessionHealthHung,
    SessionHealthDead,
    SessionHealthUnknown,
}
