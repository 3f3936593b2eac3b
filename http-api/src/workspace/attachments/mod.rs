//! Files: uploading, finding and downloading them (W-99 to W-108).
//!
//! A file is found through the messages that link to it, and its bytes come over a link that works without a key for
//! a while ([`link`]); the route behind that link is [`download`].

pub(crate) mod download;
mod link;
mod range;
mod search;
mod upload;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header::HOST},
};
use muster_protocol::{
    attachment::{self, attachment_text, attachment_ulid},
    key::Scope,
    limits::ATTACHMENT_URL,
    post::AttachmentRef,
};
use muster_storage::AttachmentRow;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    Data,
    auth::{Bearer, Caller, Kinds},
    errors::{Always, Failure, NotFound},
    message::ProcessingStatus,
    moment::Moment,
};
use crate::{Doors, input::InPath};

pub(super) use search::{__path_search, search};
pub(super) use upload::{__path_upload, upload};

/// What kind of content a file has.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ExtractionContentType {
    Chart,
    Table,
    Diagram,
    Screenshot,
    Photo,
    Document,
    Other,
}

impl From<muster_extract::ContentType> for ExtractionContentType {
    fn from(kind: muster_extract::ContentType) -> Self {
        use muster_extract::ContentType as Kind;
        match kind {
            Kind::Chart => Self::Chart,
            Kind::Table => Self::Table,
            Kind::Diagram => Self::Diagram,
            Kind::Screenshot => Self::Screenshot,
            Kind::Photo => Self::Photo,
            Kind::Document => Self::Document,
            Kind::Other => Self::Other,
        }
    }
}

impl From<attachment::ProcessingStatus> for ProcessingStatus {
    fn from(status: attachment::ProcessingStatus) -> Self {
        use attachment::ProcessingStatus as Status;
        match status {
            Status::Pending => Self::Pending,
            Status::Processing => Self::Processing,
            Status::Completed => Self::Completed,
            Status::Failed => Self::Failed,
            Status::Skipped => Self::Skipped,
        }
    }
}

/// A file.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttachmentUpload {
    id: String,
    filename: String,
    mime_type: String,
    #[schema(value_type = i64)]
    size_bytes: u64,
    processing_status: ProcessingStatus,
    created_at: Moment,
}

/// What was found in a file.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttachmentExtraction {
    content_type: ExtractionContentType,
    summary: String,
    #[schema(required)]
    full_text: Option<String>,
    /// Free-form; null when there is none.
    #[schema(required)]
    structured_data: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pdf_metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    text_metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    word_metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    excel_metadata: Option<Value>,
}

/// A file and what was found in it (W-107).
#[derive(Serialize, ToSchema)]
pub(super) struct AttachmentDetails {
    #[serde(flatten)]
    file: AttachmentUpload,
    #[schema(required)]
    extraction: Option<AttachmentExtraction>,
}

/// A link that soon expires.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttachmentUrl {
    /// Absolute http(s) address that needs no Authorization header.
    #[schema(format = "uri")]
    url: String,
    /// Seconds from now.
    #[schema(value_type = i64)]
    expires_in: u64,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttachmentPath {
    /// Workspace id; must be the one the key was minted in.
    workspace_id: String,
    /// Attachment id (`attach_` and a ULID).
    attachment_id: String,
}

/// What was found in a file, as its owner said it. Nothing when that is of another shape: it comes from another node.
fn extraction_of(row: &AttachmentRow) -> Option<muster_extract::Extraction> {
    let found: muster_extract::Extraction = serde_json::from_str(row.extraction.as_deref()?).ok()?;
    Some(found.bounded())
}

impl From<muster_extract::Extraction> for AttachmentExtraction {
    fn from(found: muster_extract::Extraction) -> Self {
        Self {
            content_type: found.content_type.into(),
            summary: found.summary,
            full_text: found.full_text,
            structured_data: found.structured_data,
            pdf_metadata: found.pdf_metadata,
            text_metadata: found.text_metadata,
            word_metadata: found.word_metadata,
            excel_metadata: found.excel_metadata,
        }
    }
}

impl AttachmentDetails {
    fn of(row: AttachmentRow) -> Self {
        let extraction = extraction_of(&row).map(Into::into);
        let file = AttachmentUpload {
            id: attachment_text(row.id),
            filename: row.file.filename,
            mime_type: row.file.mime_type,
            size_bytes: row.file.size,
            processing_status: row.status.into(),
            created_at: Moment(row.created_ms),
        };
        Self { file, extraction }
    }
}

/// A file that the caller can read; one that is hidden and one that is not there are the same (W-102).
fn readable(caller: &Caller, id: &str) -> Result<AttachmentRow, Failure> {
    let missing = || Failure::not_found("Attachment");
    let id = attachment_ulid(id).ok_or_else(missing)?;
    let row = caller.view.attachment(&caller.workspace, id)?.ok_or_else(missing)?;
    let reads = caller.view.reads_attachment(&caller.workspace, &row, caller.principal())?;
    if reads { Ok(row) } else { Err(missing()) }
}

/// The files that a text of the caller links to; a link that cannot be bound refuses the whole text (W-104).
pub(super) fn linked(doors: &Doors, caller: &Caller, text: &str) -> Result<Vec<AttachmentRef>, Failure> {
    let files = doors.node.linked_files(&caller.workspace, caller.principal(), text)?;
    files.map_err(|bad| Failure::invalid_field("content", bad.to_string()))
}

/// Fetch a file's description and extracted content
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspaceId}/attachments/{attachmentId}", operation_id = "getAttachment",
    tag = "Attachments", params(AttachmentPath),
    responses((status = 200, description = "The file's description", body = Data<AttachmentDetails>), NotFound, Always)
)]
pub(super) async fn read(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<AttachmentPath>,
) -> Result<Json<Data<AttachmentDetails>>, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::AttachmentsRead), Kinds::Both)?;
    let row = readable(&caller, &path.attachment_id)?;
    Ok(Json(Data { data: AttachmentDetails::of(row) }))
}

/// Mint a download link that soon expires
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspaceId}/attachments/{attachmentId}/url",
    operation_id = "getAttachmentDownloadUrl", tag = "Attachments", params(AttachmentPath),
    responses((status = 200, description = "The link and its lifetime", body = Data<AttachmentUrl>), NotFound, Always)
)]
pub(super) async fn url(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<AttachmentPath>,
    headers: HeaderMap,
) -> Result<Json<Data<AttachmentUrl>>, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::AttachmentsRead), Kinds::Both)?;
    let row = readable(&caller, &path.attachment_id)?;
    let expires_ms = doors.node.now_ms() + ATTACHMENT_URL.as_millis() as u64;
    let link = link::Link { workspace: caller.workspace.id, attachment: row.id, expires_ms };
    // The guard let it through, so it is a name of this node under which the caller reaches it.
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let no_host = || Failure::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", "The request names no host");
    let url = format!("http://{}{}", host.ok_or_else(no_host)?, link.path(&doors.node.link_key()));
    Ok(Json(Data { data: AttachmentUrl { url, expires_in: ATTACHMENT_URL.as_secs() } }))
}
