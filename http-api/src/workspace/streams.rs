//! Streams and who takes part in them (W-32 to W-46, W-75 to W-80).

use axum::{
    Json,
    extract::{RawQuery, State},
};
use muster_protocol::{key::Scope, principal::Principal, stream::StreamKind};
use muster_storage::{PartRow, StreamRow, View, WorkspaceRow, stream_text};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Data, ListQuery, PAGE, Page, WorkspacePath,
    auth::{Bearer, Kinds},
    cursor::Cursor,
    errors::{Always, Failure, NotFound},
    fields::Fields,
    ids,
    moment::Moment,
};
use crate::{Doors, input::InPath};

/// What kind of stream.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum StreamType {
    Scratchpad,
    Channel,
    Dm,
    Thread,
    System,
}

impl From<StreamKind> for StreamType {
    fn from(kind: StreamKind) -> Self {
        match kind {
            StreamKind::Scratchpad => Self::Scratchpad,
            StreamKind::Channel => Self::Channel,
            StreamKind::Dm => Self::Dm,
            StreamKind::Thread => Self::Thread,
            StreamKind::System => Self::System,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Visibility {
    Public,
    Private,
}

/// A stream.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stream {
    id: String,
    r#type: StreamType,
    /// Ready to show; a channel's carries a leading `#`.
    display_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    slug: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    description: Option<String>,
    visibility: Visibility,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parent_stream_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    root_stream_id: Option<String>,
    /// For a thread, the message it hangs from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parent_message_id: Option<String>,
    created_at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    archived_at: Option<Moment>,
}

impl Stream {
    pub(super) fn of(row: StreamRow, view: &View, workspace: &WorkspaceRow) -> Result<Self, Failure> {
        let is_thread = row.kind == StreamKind::Thread;
        let root = is_thread.then(|| stream_text(row.root));
        Ok(Self {
            id: stream_text(row.id),
            display_name: display_name(&row, view, workspace)?,
            r#type: row.kind.into(),
            slug: row.slug.filter(|_| row.kind == StreamKind::Channel),
            description: row.description,
            visibility: if row.is_public { Visibility::Public } else { Visibility::Private },
            parent_stream_id: root.clone(),
            root_stream_id: root,
            parent_message_id: row.parent_message.map(ids::message_text),
            created_at: Moment(row.opened_ms),
            archived_at: row.archived_ms.map(Moment),
        })
    }
}

/// The name of a stream, never empty (W-76).
pub(super) fn display_name(
    row: &StreamRow,
    view: &View,
    workspace: &WorkspaceRow,
) -> Result<String, Failure> {
    let given = row.name.clone();
    Ok(match row.kind {
        StreamKind::Channel => format!("#{}", row.slug.as_deref().unwrap_or_default()),
        StreamKind::Scratchpad => given.unwrap_or_else(|| "New scratchpad".to_owned()),
        StreamKind::Dm => "Direct message".to_owned(),
        StreamKind::System => given.unwrap_or_else(|| "Notices".to_owned()),
        StreamKind::Thread => match given {
            Some(name) => name,
            None => {
                let root = view.stream(workspace, row.root)?;
                let name = root.and_then(|root| root.slug.or(root.name));
                name.map_or_else(|| "New thread".to_owned(), |name| format!("Thread in #{name}"))
            }
        },
    })
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what is read")]
pub(super) struct StreamsQuery {
    /// One stream type, or the parameter repeated for several (any of them matches).
    #[param(inline)]
    r#type: Option<Vec<StreamType>>,
}

/// List the streams the key can read
///
/// Archived streams are left out. With `query` the page is ordered by match quality, `after` is ignored and `cursor`
/// comes back as null.
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspaceId}/streams", operation_id = "listStreams", tag = "Streams",
    params(WorkspacePath, StreamsQuery, ListQuery),
    responses((status = 200, description = "One page of streams", body = Page<Stream>), NotFound, Always)
)]
pub(super) async fn list(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<WorkspacePath>,
    query: RawQuery,
) -> Result<Json<Page<Stream>>, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::StreamsRead), Kinds::Both)?;
    let mut fields = Fields::of_query(&query);
    let limit = fields.limit(&PAGE);
    let kinds = fields.words_of_query("type", StreamKind::from_word);
    let words = fields.optional_text("query", 0, usize::MAX).filter(|words| !words.is_empty());
    let after = fields.optional_text("after", 0, usize::MAX);
    fields.done()?;
    let (view, workspace, reader) = (&caller.view, &caller.workspace, caller.principal());
    let shows = |row: &StreamRow| {
        let wanted = (kinds.is_empty() || kinds.contains(&row.kind)) && row.archived_ms.is_none();
        Ok(wanted && view.may_read(workspace, row, reader)?)
    };
    let (rows, has_more, cursor) = match words {
        Some(words) => {
            let words = words.to_lowercase();
            let mut rows = Vec::new();
            for row in view.streams(workspace, None, shows, usize::MAX)? {
                rows.extend(match_quality(&row, &words).map(|quality| (quality, row)));
            }
            rows.sort_by_key(|(quality, row)| (*quality, row.opened_ms, row.id));
            let has_more = rows.len() > limit;
            let rows: Vec<_> = rows.into_iter().take(limit).map(|(_, row)| row).collect();
            (rows, has_more, None)
        }
        None => {
            let after = after.map(|after| Cursor::decode(&after)).transpose()?;
            let after = match after {
                Some(cursor) => {
                    let id = ids::stream(&cursor.id).ok_or_else(Failure::invalid_cursor)?;
                    Some((cursor.at_ms, id))
                }
                None => None,
            };
            let mut rows = view.streams(workspace, after, shows, limit + 1)?;
            let has_more = rows.len() > limit;
            rows.truncate(limit);
            let cursor = rows.last().map(|last| Cursor::encode(last.opened_ms, &stream_text(last.id)));
            (rows, has_more, cursor)
        }
    };
    let data = rows.into_iter().map(|row| Stream::of(row, view, workspace)).collect::<Result<_, _>>()?;
    Ok(Json(Page { data, has_more, cursor }))
}

/// How well a stream's names fit: 0 for the same, 1 for a beginning, 2 for a part (W-79).
fn match_quality(row: &StreamRow, words: &str) -> Option<u8> {
    let names = [row.slug.as_deref(), row.name.as_deref()].into_iter().flatten().map(str::to_lowercase);
    let quality = |name: String| match name.find(words) {
        Some(0) if name.len() == words.len() => Some(0),
        Some(0) => Some(1),
        Some(_) => Some(2),
        None => None,
    };
    names.filter_map(quality).min()
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamPath {
    /// Workspace id; must be the one the key was minted in.
    pub(super) workspace_id: String,
    /// Stream id (`stream_` and a ULID).
    pub(super) stream_id: String,
}

/// Fetch one stream
///
/// An archived stream is still returned, with `archivedAt` set.
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspaceId}/streams/{streamId}", operation_id = "getStream", tag = "Streams",
    params(StreamPath),
    responses((status = 200, description = "The stream", body = Data<Stream>), NotFound, Always)
)]
pub(super) async fn read(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<StreamPath>,
) -> Result<Json<Data<Stream>>, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::StreamsRead), Kinds::Both)?;
    let row = caller.readable(&path.stream_id)?;
    Ok(Json(Data { data: Stream::of(row, &caller.view, &caller.workspace)? }))
}

/// A person who takes part in a stream.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Member {
    user_id: String,
    name: String,
    slug: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    avatar_url: Option<String>,
    joined_at: Moment,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what is read")]
pub(super) struct MembersQuery {
    /// The `cursor` of the page before.
    after: Option<String>,
    /// Page size. A value out of bounds is an error, not clamped.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i32>,
}

/// List the people who joined a stream
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspaceId}/streams/{streamId}/members", operation_id = "listMembers",
    tag = "Streams", params(StreamPath, MembersQuery),
    responses(
        (status = 200, description = "One page of members, earliest joiner first", body = Page<Member>), NotFound, Always
    )
)]
pub(super) async fn members(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<StreamPath>,
    query: RawQuery,
) -> Result<Json<Page<Member>>, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::StreamsRead), Kinds::Both)?;
    let mut fields = Fields::of_query(&query);
    let limit = fields.limit(&PAGE);
    let after = fields.optional_text("after", 0, usize::MAX);
    fields.done()?;
    let after = after.map(|after| part_at(&after)).transpose()?;
    let stream = caller.readable(&path.stream_id)?;
    // A thread has no members of its own (W-80).
    let mut parts = caller.view.members_of(stream.id, after.as_ref(), limit + 1)?;
    let has_more = parts.len() > limit;
    parts.truncate(limit);
    let cursor = parts.last().map(|last| Cursor::encode(last.joined_ms, &last.id.to_string()));
    let mut data = Vec::new();
    for part in parts {
        // Bots take part without being listed (W-46).
        let Some(person) = caller.view.person(&caller.workspace, part.id)? else { continue };
        data.push(Member {
            user_id: person.id.to_string(),
            name: person.card.name,
            slug: person.slug.to_string(),
            avatar_url: None,
            joined_at: Moment(part.joined_ms),
        });
    }
    Ok(Json(Page { data, has_more, cursor }))
}

fn part_at(after: &str) -> Result<PartRow, Failure> {
    let cursor = Cursor::decode(after)?;
    let id: Principal = cursor.id.parse().map_err(|_| Failure::invalid_cursor())?;
    Ok(PartRow { id, joined_ms: cursor.at_ms })
}
