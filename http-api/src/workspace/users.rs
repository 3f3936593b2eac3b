//! The people of the workspace (W-109 to W-111).

use axum::{
    Json,
    extract::{RawQuery, State},
};
use muster_protocol::{key::Scope, principal::Principal};
use muster_storage::PersonRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ListQuery, PAGE, Page, WorkspacePath,
    auth::{Bearer, Kinds},
    cursor::Cursor,
    errors::{Always, Failure, NotFound},
    fields::Fields,
};
use crate::{Doors, input::InPath};

/// A person.
#[derive(Serialize, ToSchema)]
pub(super) struct User {
    id: String,
    name: String,
    slug: String,
    email: String,
    #[serde(rename = "avatarUrl", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    avatar_url: Option<String>,
    /// owner, admin or member.
    role: String,
}

impl From<PersonRow> for User {
    fn from(person: PersonRow) -> Self {
        Self {
            id: person.id.to_string(),
            slug: person.slug.to_string(),
            name: person.card.name,
            email: person.card.email,
            avatar_url: None,
            role: person.card.role,
        }
    }
}

/// List the people of the workspace
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspaceId}/users", operation_id = "listUsers", tag = "Users",
    params(WorkspacePath, ListQuery),
    responses((status = 200, description = "One page of people", body = Page<User>), NotFound, Always)
)]
pub(super) async fn list(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<WorkspacePath>,
    query: RawQuery,
) -> Result<Json<Page<User>>, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, Some(Scope::UsersRead), Kinds::Both)?;
    let mut fields = Fields::of_query(&query);
    let limit = fields.limit(&PAGE);
    let words = fields.optional_text("query", 0, usize::MAX).filter(|words| !words.is_empty());
    let after = fields.optional_text("after", 0, usize::MAX);
    fields.done()?;
    // With a query paging is off (W-41).
    let after = match after.filter(|_| words.is_none()) {
        Some(after) => Some(person_at(&after)?),
        None => None,
    };
    let words = words.map(|words| words.to_lowercase());
    let fits = |person: &PersonRow| {
        let holds = |text: &str| words.as_ref().is_none_or(|words| text.to_lowercase().contains(words));
        holds(&person.card.name) || holds(&person.card.email)
    };
    let mut people = caller.view.people(&caller.workspace, after, fits, limit + 1)?;
    let has_more = people.len() > limit;
    people.truncate(limit);
    let last = people.last().filter(|_| words.is_none());
    let cursor = last.map(|last| Cursor::encode(last.id.ulid().timestamp_ms(), &last.id.to_string()));
    Ok(Json(Page { data: people.into_iter().map(User::from).collect(), has_more, cursor }))
}

fn person_at(after: &str) -> Result<ulid::Ulid, Failure> {
    match Cursor::decode(after)?.id.parse() {
        Ok(Principal::User(id)) => Ok(id),
        _ => Err(Failure::invalid_cursor()),
    }
}
