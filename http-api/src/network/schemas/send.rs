//! Sending (N-79 to N-87).

use muster_actors::SendRequest;
use muster_protocol::network::{Container, Envelope};
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Extensions,
    words::{Kind, Surface},
};
use crate::network::errors::Failure;

/// What `sendNetworkMessage` takes. Members are read as plain text: which of them is refused first
/// is decided by the order of N-79, not by the order of the JSON.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SendNetworkMessageRequest {
    /// When given, has to name the workspace of the path.
    pub workspace_id: Option<String>,
    /// Sending session; it decides the sender peer.
    #[serde(default)]
    #[schema(required = true, min_length = 1)]
    pub session_id: String,
    /// Its channel.
    #[serde(default)]
    #[schema(required = true)]
    pub channel: String,
    /// Whether it goes to a thread or a direct room.
    #[schema(value_type = Option<Surface>)]
    pub surface: Option<String>,
    /// The thread.
    pub thread_id: Option<String>,
    /// The direct room.
    pub direct_id: Option<String>,
    /// What the message is for.
    #[serde(default)]
    #[schema(required = true, value_type = Kind)]
    pub kind: String,
    /// For whom; absent means for everybody in the channel.
    pub to: Option<String>,
    /// Its shape depends on `kind`.
    #[serde(default)]
    #[schema(required = true, value_type = Object)]
    pub body: Value,
    /// The work it belongs to.
    pub work_id: Option<String>,
    /// What it answers.
    pub reply_to: Option<String>,
    /// The trace it belongs to.
    pub trace_id: Option<String>,
    /// What caused it.
    pub causation_id: Option<String>,
    /// Unix seconds; has to lie in the future.
    pub expires_at: Option<i64>,
    /// Caller's own message id; the key for safe retries.
    pub id: Option<String>,
    /// Carried along.
    #[schema(value_type = Option<Object>)]
    pub ext: Option<Extensions>,
    /// Retired: its presence, whatever its value, is refused (N-12).
    #[serde(default, deserialize_with = "present")]
    #[schema(ignore)]
    interaction_id: bool,
}

fn present<'de, D: Deserializer<'de>>(input: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(input).map(|_| true)
}

impl SendNetworkMessageRequest {
    /// 400 for the two retired forms (N-12).
    pub(crate) fn refuse_retired(&self) -> Result<(), Failure> {
        if self.interaction_id {
            return Err(Failure::invalid("`interaction_id` was retired; use `work_id`"));
        }
        if self.kind.trim() == "direct" {
            return Err(Failure::invalid("kind `direct` was retired; use kind `say` with surface `direct`"));
        }
        Ok(())
    }
}

impl From<SendNetworkMessageRequest> for SendRequest {
    fn from(request: SendNetworkMessageRequest) -> Self {
        Self {
            session_id: request.session_id,
            channel: request.channel,
            kind: request.kind,
            surface: request.surface,
            thread_id: request.thread_id,
            direct_id: request.direct_id,
            to: request.to,
            body: request.body,
            work_id: request.work_id,
            reply_to: request.reply_to,
            trace_id: request.trace_id,
            causation_id: request.causation_id,
            expires_at: request.expires_at,
            id: request.id,
            ext: request.ext,
        }
    }
}

/// Answer of `sendNetworkMessage`.
#[derive(Debug, Serialize, ToSchema)]
pub struct SendNetworkMessageResponse {
    /// What was sent.
    pub message: SentNetworkMessage,
}

/// The request echoed with its id; the body is not repeated (N-85).
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract")]
pub struct SentNetworkMessage {
    pub id: String,
    pub workspace_id: String,
    pub session_id: String,
    pub channel: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surface: Option<Surface>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direct_id: Option<String>,
    pub kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub ext: Option<Extensions>,
}

impl SentNetworkMessage {
    /// An envelope sent by `session_id`.
    pub(crate) fn of(envelope: Envelope, session_id: String) -> Self {
        let container = envelope.container.as_ref();
        Self {
            id: envelope.id.to_string(),
            workspace_id: envelope.workspace_id.to_string(),
            session_id,
            channel: envelope.channel.to_string(),
            surface: container.map(|container| container.surface().into()),
            thread_id: container.and_then(Container::thread_id).map(ToString::to_string),
            direct_id: container.and_then(Container::direct_id).map(ToString::to_string),
            kind: envelope.kind.into(),
            to: envelope.to.map(String::from),
            work_id: envelope.work_id.map(String::from),
            reply_to: envelope.reply_to.map(String::from),
            trace_id: envelope.trace_id.map(String::from),
            causation_id: envelope.causation_id.map(String::from),
            expires_at: envelope.expires_at,
            ext: envelope.ext,
        }
    }
}
