//! Messages of a conversation (N-109 to N-111).

use muster_protocol::network::{Body, Container};
use muster_storage::MessageRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::words::{Direction, Kind, Surface};
use crate::Time;

/// Answer of `listNetworkThreadMessages` and `listNetworkDirectRoomMessages`.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkMessagesResponse {
    /// Oldest first.
    pub messages: Vec<NetworkMessage>,
}

/// One stored message.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkMessage {
    /// Its id, also as a cursor. When an earlier message of another sender has the same id here, it is followed by
    /// `~` and a hash.
    pub message_id: String,
    /// Its workspace.
    pub workspace_id: String,
    /// Its channel.
    pub channel: String,
    /// Whether it stands in a thread or a direct room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surface: Option<Surface>,
    /// Its thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    /// Its direct room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direct_id: Option<String>,
    /// What it is for.
    pub kind: Kind,
    /// Whether a session of this node wrote it.
    pub direction: Direction,
    /// Who wrote it.
    pub peer_from: String,
    /// For whom; absent means for everybody in the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_to: Option<String>,
    /// The name to show for its author.
    pub display_name: String,
    /// Local session on this node's end: the sender, else the first receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// True when a session of this node wrote it.
    pub local: bool,
    /// Its work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_id: Option<String>,
    /// What it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// The trace it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// What caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// From the body of a say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    /// From the body of a say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The text for previews (N-25).
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub preview_text: String,
    /// Not filled on this call (N-111).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_count: Option<u64>,
    /// Not filled on this call (N-111).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_started_at: Option<Time>,
    /// Not filled on this call (N-111).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_last_seen_at: Option<Time>,
    /// The envelope's body as stored.
    pub body: serde_json::Value,
    /// When it was sent, by its author's clock, in whole seconds.
    pub timestamp: Time,
}

impl NetworkMessage {
    /// A stored message of `workspace`, whose author is shown as `display_name`.
    pub(crate) fn of(row: MessageRow, workspace: &str, display_name: String) -> Self {
        let envelope = row.envelope;
        let container = envelope.container.as_ref();
        let content = envelope.content().ok();
        let preview_text = content.as_ref().map(Body::preview).unwrap_or_default();
        let (intent, text) = match content {
            Some(Body::Say(say)) => (say.intent, Some(say.text)),
            _ => (None, None),
        };
        Self {
            message_id: row.name,
            workspace_id: workspace.to_owned(),
            channel: envelope.channel.to_string(),
            surface: container.map(|container| container.surface().into()),
            thread_id: container.and_then(Container::thread_id).map(ToString::to_string),
            direct_id: container.and_then(Container::direct_id).map(ToString::to_string),
            kind: envelope.kind.into(),
            direction: if row.local { Direction::Sent } else { Direction::Received },
            peer_from: envelope.from.to_string(),
            peer_to: envelope.to.map(String::from),
            display_name,
            session_id: row.session_id,
            local: row.local,
            work_id: envelope.work_id.map(String::from),
            reply_to: envelope.reply_to.map(String::from),
            trace_id: envelope.trace_id.map(String::from),
            causation_id: envelope.causation_id.map(String::from),
            intent,
            text,
            preview_text,
            presence_count: None,
            presence_started_at: None,
            presence_last_seen_at: None,
            body: envelope.body.into(),
            timestamp: Time::from_seconds(envelope.ts),
        }
    }
}
