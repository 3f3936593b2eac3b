//! Closed lists of words.

use muster_actors::{Phase, PresenceState as Presence};
use muster_protocol::network as domain;
use muster_storage::SessionState as Life;
use serde::Serialize;
use utoipa::ToSchema;

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum Kind {
    Greet,
    Whois,
    Say,
    Capability,
    Receipt,
    Trace,
}

impl From<domain::Kind> for Kind {
    fn from(kind: domain::Kind) -> Self {
        match kind {
            domain::Kind::Greet => Self::Greet,
            domain::Kind::Whois => Self::Whois,
            domain::Kind::Say => Self::Say,
            domain::Kind::Capability => Self::Capability,
            domain::Kind::Receipt => Self::Receipt,
            domain::Kind::Trace => Self::Trace,
        }
    }
}

/// The two sorts of container a conversation can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum Surface {
    Thread,
    Direct,
}

impl From<domain::Surface> for Surface {
    fn from(surface: domain::Surface) -> Self {
        match surface {
            domain::Surface::Thread => Self::Thread,
            domain::Surface::Direct => Self::Direct,
        }
    }
}

/// Who wrote a message: a session of this node (`sent`) or another node's peer (`received`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum Direction {
    Sent,
    Received,
}

/// Where a piece of work stands (N-45).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum WorkState {
    Submitted,
    Working,
    NeedsInput,
    Completed,
    Failed,
    Canceled,
}

impl From<domain::WorkState> for WorkState {
    fn from(state: domain::WorkState) -> Self {
        match state {
            domain::WorkState::Submitted => Self::Submitted,
            domain::WorkState::Working => Self::Working,
            domain::WorkState::NeedsInput => Self::NeedsInput,
            domain::WorkState::Completed => Self::Completed,
            domain::WorkState::Failed => Self::Failed,
            domain::WorkState::Canceled => Self::Canceled,
        }
    }
}

/// How present a peer is (N-57).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum PresenceState {
    Local,
    Active,
    Inactive,
}

impl From<Presence> for PresenceState {
    fn from(state: Presence) -> Self {
        match state {
            Presence::Local => Self::Local,
            Presence::Active => Self::Active,
            Presence::Inactive => Self::Inactive,
        }
    }
}

/// Where a session stands in its life (N-120).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum SessionState {
    Starting,
    Active,
    Stopping,
    Stopped,
}

impl SessionState {
    /// As it is stored, and as its program stands, if it has one: that starts after the one and ends after the
    /// other (N-120).
    pub(crate) fn of(state: Life, phase: Option<Phase>) -> Self {
        match (state, phase) {
            (Life::Active, Some(Phase::Starting)) => Self::Starting,
            (Life::Active, Some(Phase::Stopping)) | (Life::Stopped, Some(_)) => Self::Stopping,
            (Life::Active, _) => Self::Active,
            (Life::Stopped, None) => Self::Stopped,
        }
    }

    /// The word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}
