//! Public threads (N-105).

use muster_protocol::identity::NodeId;
use muster_storage::ThreadRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::session_here;
use crate::Time;

/// Answer of `listNetworkThreads`.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkThreadsResponse {
    /// Most recently active first.
    pub threads: Vec<NetworkThread>,
}

/// Answer of `getNetworkThread`.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkThreadResponse {
    /// The thread.
    pub thread: NetworkThread,
}

/// One public conversation.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkThread {
    /// Its workspace.
    pub workspace_id: String,
    /// Its channel.
    pub channel: String,
    /// Its id, chosen by whoever opened it.
    pub thread_id: String,
    /// Its first message.
    pub root_message_id: String,
    /// Preview text of the first message.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub title: String,
    /// Who opened it.
    pub opened_by_peer_id: String,
    /// The session that opened it, when it is one of this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_session_id: Option<String>,
    /// When.
    pub opened_at: Time,
    /// Time of the newest message.
    pub last_activity_at: Time,
    /// Messages stored.
    pub message_count: u64,
    /// Distinct senders.
    pub participant_count: u64,
    /// Work that has not ended (N-52).
    pub open_work_count: u64,
    /// Preview of the newest message.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub last_message_preview: String,
}

impl NetworkThread {
    /// A stored thread of `workspace`, read on node `here`.
    pub(crate) fn of(row: ThreadRow, workspace: &str, here: NodeId) -> Self {
        Self {
            workspace_id: workspace.to_owned(),
            channel: row.channel.to_string(),
            thread_id: row.thread_id.to_string(),
            root_message_id: row.root_message_id,
            title: row.title,
            opened_by_peer_id: row.opened_by.to_string(),
            opened_session_id: session_here(here, &row.opened_by),
            opened_at: Time::from_ms(row.opened_ms),
            last_activity_at: Time::from_ms(row.last_activity_ms),
            message_count: row.message_count,
            participant_count: row.participant_count,
            open_work_count: row.open_work_count,
            last_message_preview: row.last_message_preview,
        }
    }
}
