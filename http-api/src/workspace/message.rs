//! A message as this door shows it (W-60 to W-68).

use std::collections::BTreeMap;

use muster_protocol::{attachment::attachment_text, notice, post::AttachmentRef};
use muster_storage::{Author, PostRow, View, WorkspaceRow, stream_text};
use serde::Serialize;
use ulid::Ulid;
use utoipa::ToSchema;

use super::{errors::Failure, ids, moment::Moment};

/// Who wrote a message.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "the contract knows kinds that nobody here is")]
pub(super) enum AuthorType {
    User,
    Persona,
    System,
    Bot,
}

/// A file that a message links to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageAttachment {
    id: String,
    filename: String,
    mime_type: String,
    #[schema(value_type = i64)]
    size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    processing_status: Option<ProcessingStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    width: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    height: Option<i64>,
}

/// How far the reading of a file has come (W-103).
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ProcessingStatus {
    Pending,
    Processing,
    Completed,
    Failed,
    Skipped,
}

/// A message.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Message {
    pub(super) id: String,
    stream_id: String,
    /// Position in the stream, a whole number carried as text.
    #[schema(pattern = r"^\d+$")]
    sequence: String,
    author_id: String,
    author_type: AuthorType,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    author_display_name: Option<String>,
    /// Markdown.
    content: String,
    #[schema(value_type = i64)]
    reply_count: u64,
    /// The thread that hangs from this message, when there is one and the operation resolves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    thread_stream_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    client_message_id: Option<String>,
    /// Only on messages a user key sent: `api_key:` and the id of that key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sent_via: Option<String>,
    /// The sender's references to things outside. Empty object when there are none; never absent.
    metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    attachments: Option<Vec<MessageAttachment>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    edited_at: Option<Moment>,
    created_at: Moment,
}

impl Message {
    pub(super) fn of(row: PostRow, view: &View, workspace: &WorkspaceRow) -> Result<Self, Failure> {
        let files = row.attachments.iter().map(|file| MessageAttachment::of(file, view, workspace));
        let attachments = files.collect::<Result<Vec<_>, _>>()?;
        let (author_id, author_type, author_display_name) = author(&row.author, view, workspace)?;
        Ok(Self {
            id: ids::message_text(row.id),
            stream_id: stream_text(row.stream),
            sequence: row.sequence.to_string(),
            author_id,
            author_type,
            author_display_name,
            content: row.text,
            reply_count: row.replies,
            thread_stream_id: row.thread.map(stream_text),
            client_message_id: row.client_id,
            sent_via: row.sent_via,
            metadata: row.metadata.into_iter().collect(),
            attachments: Some(attachments).filter(|all| !all.is_empty()),
            edited_at: row.edited_ms.map(Moment),
            created_at: Moment(row.created_ms),
        })
    }
}

impl MessageAttachment {
    fn of(attachment: &AttachmentRef, view: &View, workspace: &WorkspaceRow) -> Result<Self, Failure> {
        let pixels = |pixels: u32| (pixels > 0).then_some(i64::from(pixels));
        let id = Ulid::from_bytes(attachment.id.0);
        Ok(Self {
            id: attachment_text(id),
            filename: attachment.filename.clone(),
            mime_type: attachment.mime_type.clone(),
            size_bytes: attachment.size,
            processing_status: Some(view.attachment_status(workspace, id)?.into()),
            width: pixels(attachment.width),
            height: pixels(attachment.height),
        })
    }
}

/// Who wrote a message: id, kind and current name (W-66).
pub(super) fn author(
    author: &Author,
    view: &View,
    workspace: &WorkspaceRow,
) -> Result<(String, AuthorType, Option<String>), Failure> {
    Ok(match author {
        Author::Principal(principal) => {
            let kind = if principal.is_bot() { AuthorType::Bot } else { AuthorType::User };
            (principal.to_string(), kind, view.display_name(workspace, *principal)?)
        }
        Author::Agent { id, name } => (format!("bot_{id}"), AuthorType::Bot, Some(name.clone())),
        Author::System => (notice::AUTHOR.to_owned(), AuthorType::System, None),
    })
}
