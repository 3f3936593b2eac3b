//! Work between two peers (N-43 to N-53).

use muster_protocol::{identity::NodeId, network::WorkRecord};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    session_here,
    words::{Surface, WorkState},
};
use crate::Time;

/// Answer of `getNetworkWork`.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkWorkResponse {
    /// The record.
    pub work: NetworkWork,
}

/// How a piece of work stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkWork {
    /// Its id, unique in the workspace.
    pub work_id: String,
    /// Its workspace.
    pub workspace_id: String,
    /// Its channel.
    pub channel: String,
    /// Whether it belongs to a thread or a direct room, for life (N-44).
    pub surface: Surface,
    /// Its thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    /// Its direct room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direct_id: Option<String>,
    /// Who asked for it.
    pub opened_by_peer_id: String,
    /// The session that asked, when it is one of this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_session_id: Option<String>,
    /// Who was asked.
    pub target_peer_id: String,
    /// Where it stands.
    pub state: WorkState,
    /// When it was opened.
    pub opened_at: Time,
    /// When its state was last set, also to the same one (N-50).
    pub last_activity_at: Time,
    /// When it ended; absent while it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal_at: Option<Time>,
}

impl NetworkWork {
    /// A stored record, read on node `here`.
    pub(crate) fn of(record: WorkRecord, here: NodeId) -> Self {
        Self {
            work_id: record.work_id.to_string(),
            workspace_id: record.workspace_id.to_string(),
            channel: record.channel.to_string(),
            surface: record.container.surface().into(),
            thread_id: record.container.thread_id().map(ToString::to_string),
            direct_id: record.container.direct_id().map(ToString::to_string),
            opened_by_peer_id: record.opened_by.to_string(),
            opened_session_id: session_here(here, &record.opened_by),
            target_peer_id: record.target.to_string(),
            state: record.state.into(),
            opened_at: Time::from_seconds(record.opened_at),
            last_activity_at: Time::from_seconds(record.last_activity_at),
            terminal_at: record.terminal_at.map(Time::from_seconds),
        }
    }
}
