//! Envelopes as they travel, for the inbox (N-7, N-98).

use muster_protocol::network::{Container, Envelope, PROTOCOL};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Extensions, words::Kind};

/// Answer of `listNetworkInbox`.
#[derive(Debug, Serialize, ToSchema)]
pub struct NetworkInboxResponse {
    /// Oldest first.
    pub messages: Vec<NetworkEnvelope>,
}

/// A message as it travels between peers.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the contract, explained in N-7")]
pub struct NetworkEnvelope {
    #[schema(pattern = "^agh-network/v0$")]
    pub protocol: &'static str,
    pub id: String,
    pub workspace_id: String,
    pub kind: Kind,
    pub channel: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surface: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direct_id: Option<String>,
    pub from: String,
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
    /// Unix seconds.
    pub ts: i64,
    /// Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    pub body: serde_json::Value,
    /// Signature block; opaque to readers of this door.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub proof: Option<Extensions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub ext: Option<Extensions>,
}

impl From<Envelope> for NetworkEnvelope {
    fn from(envelope: Envelope) -> Self {
        let container = envelope.container.as_ref();
        Self {
            protocol: PROTOCOL,
            id: envelope.id.to_string(),
            workspace_id: envelope.workspace_id.to_string(),
            kind: envelope.kind.into(),
            channel: envelope.channel.to_string(),
            surface: container.map(|container| container.surface().as_str()),
            thread_id: container.and_then(Container::thread_id).map(ToString::to_string),
            direct_id: container.and_then(Container::direct_id).map(ToString::to_string),
            from: envelope.from.to_string(),
            to: envelope.to.map(String::from),
            work_id: envelope.work_id.map(String::from),
            reply_to: envelope.reply_to.map(String::from),
            trace_id: envelope.trace_id.map(String::from),
            causation_id: envelope.causation_id.map(String::from),
            ts: envelope.ts,
            expires_at: envelope.expires_at,
            body: envelope.body.into(),
            proof: envelope.proof,
            ext: envelope.ext,
        }
    }
}
