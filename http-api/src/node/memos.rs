//! Memos that are written by hand.

use axum::{Json, extract::State, http::StatusCode};
use muster_protocol::{
    ids::exact_ulid,
    memo::{BadMemo, Knowledge, MemoText},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    errors::{Always, BadRequest, NotFound, Problem},
    workspaces::{WorkspacePath, find},
};
use crate::{
    Doors,
    input::{InPath, JsonBody},
};

#[derive(Deserialize, ToSchema)]
pub(super) struct WriteMemo {
    title: String,
    r#abstract: String,
    #[schema(inline)]
    knowledge_type: KnowledgeSort,
    key_points: Option<Vec<String>>,
    tags: Option<Vec<String>>,
    source_message_ids: Option<Vec<String>>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum KnowledgeSort {
    Decision,
    Learning,
    Procedure,
    Context,
    Reference,
}

impl From<KnowledgeSort> for Knowledge {
    fn from(sort: KnowledgeSort) -> Self {
        match sort {
            KnowledgeSort::Decision => Self::Decision,
            KnowledgeSort::Learning => Self::Learning,
            KnowledgeSort::Procedure => Self::Procedure,
            KnowledgeSort::Context => Self::Context,
            KnowledgeSort::Reference => Self::Reference,
        }
    }
}

/// A memo that was written.
#[derive(Serialize, ToSchema)]
pub(super) struct WrittenMemo {
    id: String,
}

/// Write a memo by hand, with the messages it rests on
#[utoipa::path(
    post, path = "/node/v1/workspaces/{workspace_id}/memos", operation_id = "writeMemo", tag = "people",
    params(WorkspacePath), request_body = WriteMemo,
    responses((status = 201, description = "Written.", body = WrittenMemo), BadRequest, NotFound, Always)
)]
pub(super) async fn write(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<(StatusCode, Json<WrittenMemo>), Problem> {
    let request: WriteMemo = body.read()?;
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    let sources = request.source_message_ids.unwrap_or_default();
    let message = |text: &String| text.trim().strip_prefix("msg_").and_then(exact_ulid);
    let sources: Option<Vec<_>> = sources.iter().map(message).collect();
    // `#Storage` and `storage` are one tag.
    let tag = |tag: String| tag.trim().trim_start_matches('#').to_lowercase();
    let text = MemoText {
        knowledge: request.knowledge_type.into(),
        title: request.title.trim().to_owned(),
        summary: request.r#abstract.trim().to_owned(),
        key_points: request.key_points.unwrap_or_default(),
        tags: request.tags.unwrap_or_default().into_iter().map(tag).collect(),
    };
    let sources = sources.ok_or_else(Problem::unknown_message)?;
    if sources.len() > muster_protocol::limits::MEMO_SOURCES_MAX {
        return Err(Problem::invalid(BadMemo::Sources)); // before any is looked up
    }
    let id = doors.node.write_memo(workspace, text, sources).await?;
    Ok((StatusCode::CREATED, Json(WrittenMemo { id: format!("memo_{id}") })))
}
