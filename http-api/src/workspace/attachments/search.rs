//! Finding files by name and by what is in them (W-106).

use axum::{extract::State, response::Response};
use muster_actors::waiting_for_disk;
use muster_extract::{ContentType, Extraction};
use muster_protocol::{
    attachment::attachment_text,
    ids::StreamId,
    key::Scope,
    limits::{ATTACHMENT_SEARCH_DEFAULT, ATTACHMENT_SEARCH_LOOKED_AT_MAX, ATTACHMENT_SEARCH_MAX},
};
use muster_storage::{AttachmentRow, BindingRow, StoreError, stream_text};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ExtractionContentType, extraction_of};
use crate::{
    Doors,
    input::{InPath, JsonBody},
    workspace::{
        Data, WorkspacePath,
        auth::{Bearer, Caller, Kinds},
        errors::{Always, Failure, NotFound},
        fields::{Fields, Limit},
        ids,
        moment::Moment,
        search::Answered,
    },
};

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read")]
struct AttachmentSearchRequest {
    #[schema(min_length = 1)]
    query: String,
    #[schema(nullable = false)]
    streams: Option<Vec<String>>,
    /// Kinds of extracted content (not MIME types).
    #[schema(nullable = false)]
    content_types: Option<Vec<ExtractionContentType>>,
    #[schema(minimum = 1, maximum = 50, default = 20, nullable = false)]
    limit: Option<i64>,
}

/// A file that was found.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::workspace) struct AttachmentSearchResult {
    id: String,
    filename: String,
    mime_type: String,
    /// Kind of extracted content; null before or without extraction.
    #[schema(required)]
    content_type: Option<ExtractionContentType>,
    #[schema(required)]
    summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    stream_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message_id: Option<String>,
    created_at: Moment,
}

/// What is looked for.
struct Search {
    /// In lower case.
    query: String,
    /// Of any when none is named.
    streams: Option<Vec<StreamId>>,
    /// Any when empty.
    kinds: Vec<ContentType>,
    limit: usize,
}

/// Search files by name or by extracted text
///
/// Newest first. No more than 20 000 files are looked at, the newest; where older ones were left out before the answer was
/// full, the header `X-Search-Complete` says `false`.
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspaceId}/attachments/search", operation_id = "searchAttachments",
    tag = "Attachments", params(WorkspacePath), request_body = AttachmentSearchRequest,
    responses(
        (status = 200, description = "Matching files", body = Data<Vec<AttachmentSearchResult>>), NotFound, Always
    )
)]
pub(in crate::workspace) async fn search(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<Response, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::AttachmentsRead), Kinds::Both)?;
    let mut fields = Fields::of_body(&body)?;
    let query = fields.text("query", 1, usize::MAX).to_lowercase();
    let streams = fields.given("streams").is_some().then(|| fields.texts("streams"));
    let kinds = fields.words("contentTypes", ContentType::from_name);
    let bounds = Limit { max: ATTACHMENT_SEARCH_MAX as u64, default: ATTACHMENT_SEARCH_DEFAULT as u64 };
    let limit = fields.limit(&bounds);
    fields.done()?;
    // What cannot be read, or is not there, is found nowhere (W-35).
    let streams = streams.map(|streams| streams.iter().filter_map(|text| ids::stream(text)).collect());
    let search = Search { query, streams, kinds, limit };
    let (found, has_more) = waiting_for_disk(|| search.run(&caller))?;
    Ok(Answered { tier: None, is_complete: !has_more }.with(found))
}

impl Search {
    /// What is found, and whether the limit of the search left older files unseen.
    fn run(&self, caller: &Caller) -> Result<(Vec<AttachmentSearchResult>, bool), Failure> {
        let mut found = Vec::new();
        let has_more =
            caller.view.attachments(&caller.workspace, ATTACHMENT_SEARCH_LOOKED_AT_MAX, |row| {
                if let Some(binding) = self.binding(caller, &row)? {
                    found.extend(self.matched(row, binding));
                }
                Ok(found.len() < self.limit)
            })?;
        Ok((found, has_more))
    }

    /// The first message through which the caller may find a file: in a stream that is not archived, and is asked for.
    fn binding(&self, caller: &Caller, row: &AttachmentRow) -> Result<Option<BindingRow>, StoreError> {
        for binding in &row.bindings {
            let among = |streams: &Vec<StreamId>| {
                streams.contains(&binding.stream) || streams.contains(&binding.root)
            };
            if !self.streams.as_ref().is_none_or(among) {
                continue;
            }
            let (view, workspace) = (&caller.view, &caller.workspace);
            let Some(stream) = view.stream(workspace, binding.stream)? else { continue };
            let Some(root) = view.stream(workspace, binding.root)? else { continue };
            let is_active = stream.archived_ms.is_none() && root.archived_ms.is_none();
            if is_active && view.may_read(workspace, &stream, caller.principal())? {
                return Ok(Some(binding.clone()));
            }
        }
        Ok(None)
    }

    fn matched(&self, row: AttachmentRow, binding: BindingRow) -> Option<AttachmentSearchResult> {
        let extraction = extraction_of(&row);
        let kind = extraction.as_ref().map(|found| found.content_type);
        if !self.kinds.is_empty() && !kind.is_some_and(|kind| self.kinds.contains(&kind)) {
            return None;
        }
        let contains = |text: &str| text.to_lowercase().contains(&self.query);
        let in_content =
            |found: &Extraction| contains(&found.summary) || found.full_text.as_deref().is_some_and(contains);
        if !contains(&row.file.filename) && !extraction.as_ref().is_some_and(in_content) {
            return None;
        }
        Some(AttachmentSearchResult {
            id: attachment_text(row.id),
            filename: row.file.filename,
            mime_type: row.file.mime_type,
            content_type: kind.map(Into::into),
            summary: extraction.map(|found| found.summary),
            stream_id: Some(stream_text(binding.stream)),
            message_id: Some(ids::message_text(binding.message)),
            created_at: Moment(row.created_ms),
        })
    }
}
