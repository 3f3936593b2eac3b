//! People and bots of a workspace whose home is this node.

use axum::{Json, extract::State, http::StatusCode};
use muster_actors::{NewBot, NewUser};
use muster_protocol::principal::{MENTIONABLE, Principal};
use muster_storage::{BotRow, PersonRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    errors::{Always, BadRequest, Conflict, NotFound, Problem},
    workspaces::{WorkspacePath, find},
};
use crate::{
    Doors, Time,
    input::{InPath, JsonBody},
};

/// A person of a workspace.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeUser {
    id: String,
    slug: String,
    name: String,
    email: String,
    role: String,
}

impl From<PersonRow> for NodeUser {
    fn from(person: PersonRow) -> Self {
        Self {
            id: person.id.to_string(),
            slug: person.slug.to_string(),
            name: person.card.name,
            email: person.card.email,
            role: person.card.role,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct NodeUsers {
    users: Vec<NodeUser>,
}

/// The people of a workspace
#[utoipa::path(
    get, path = "/node/v1/workspaces/{workspace_id}/users", operation_id = "listNodeUsers", tag = "people",
    params(WorkspacePath),
    responses((status = 200, description = "Everybody who takes part.", body = NodeUsers), NotFound, Always)
)]
pub(super) async fn users(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
) -> Result<Json<NodeUsers>, Problem> {
    let view = doors.node.store().view()?;
    let workspace = find(&view, &path.workspace_id)?;
    let users = view.people(&workspace, None, |_| true, usize::MAX)?;
    Ok(Json(NodeUsers { users: users.into_iter().map(NodeUser::from).collect() }))
}

#[derive(Deserialize, ToSchema)]
pub(super) struct CreateUser {
    name: String,
    /// The name they are mentioned by, unique in the workspace. Made of the name when absent.
    slug: Option<String>,
    #[schema(format = "email")]
    email: String,
    /// owner, admin or member.
    #[schema(inline, default = "member")]
    role: Option<PersonRole>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum PersonRole {
    Owner,
    Admin,
    Member,
}

/// Add a person; this node is their home
#[utoipa::path(
    post, path = "/node/v1/workspaces/{workspace_id}/users", operation_id = "createUser", tag = "people",
    params(WorkspacePath), request_body = CreateUser,
    responses((status = 201, description = "Added.", body = NodeUser), BadRequest, NotFound, Conflict, Always)
)]
pub(super) async fn create_user(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<(StatusCode, Json<NodeUser>), Problem> {
    let request: CreateUser = body.read()?;
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    let role = match request.role.unwrap_or(PersonRole::Member) {
        PersonRole::Owner => "owner",
        PersonRole::Admin => "admin",
        PersonRole::Member => "member",
    };
    let new = NewUser { name: request.name, email: request.email, slug: request.slug, role: role.to_owned() };
    let person = doors.node.create_user(workspace, new).await?;
    Ok((StatusCode::CREATED, Json(person.into())))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct UserPath {
    workspace_id: String,
    user_id: String,
}

/// End a person's membership; their keys stop at once, what they wrote stays
#[utoipa::path(
    delete, path = "/node/v1/workspaces/{workspace_id}/users/{user_id}", operation_id = "endMembership", tag = "people",
    params(UserPath), responses((status = 204, description = "Ended."), NotFound, Always)
)]
pub(super) async fn end_membership(
    State(doors): State<Doors>,
    InPath(path): InPath<UserPath>,
) -> Result<StatusCode, Problem> {
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    doors.node.end_membership(workspace, principal(&path.user_id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A bot of a workspace.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeBot {
    id: String,
    slug: String,
    name: String,
    /// shared or personal.
    r#type: BotSort,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_user_id: Option<String>,
    traits: Vec<String>,
    /// Its home node, while that is a member that may write.
    #[serde(skip_serializing_if = "Option::is_none")]
    home_peer_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archived_at: Option<Time>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum BotSort {
    Shared,
    Personal,
}

impl From<BotRow> for NodeBot {
    fn from(bot: BotRow) -> Self {
        let owner = bot.owner();
        Self {
            id: bot.id.to_string(),
            slug: bot.slug.to_string(),
            r#type: if owner.is_some() { BotSort::Personal } else { BotSort::Shared },
            owner_user_id: owner.map(|owner| owner.to_string()),
            home_peer_id: bot.home.map(|home| home.to_string()),
            archived_at: (bot.card.archived_ms > 0).then(|| Time::from_ms(bot.card.archived_ms)),
            name: bot.card.name,
            traits: bot.card.traits,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct NodeBots {
    bots: Vec<NodeBot>,
}

/// The bots of a workspace
#[utoipa::path(
    get, path = "/node/v1/workspaces/{workspace_id}/bots", operation_id = "listNodeBots", tag = "people",
    params(WorkspacePath),
    responses((status = 200, description = "All bots, archived ones too.", body = NodeBots), NotFound, Always)
)]
pub(super) async fn bots(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
) -> Result<Json<NodeBots>, Problem> {
    let view = doors.node.store().view()?;
    let workspace = find(&view, &path.workspace_id)?;
    let bots = view.bots(&workspace, |_| true)?;
    Ok(Json(NodeBots { bots: bots.into_iter().map(NodeBot::from).collect() }))
}

#[derive(Deserialize, ToSchema)]
pub(super) struct CreateBot {
    name: String,
    /// The name it is mentioned by, unique in the workspace. Made of the name when absent.
    slug: Option<String>,
    description: Option<String>,
    /// Set for a personal bot, null for a shared one.
    owner_user_id: Option<String>,
    /// mentionable, active-scratchpad. A bot is mentionable when nothing is said.
    traits: Option<Vec<String>>,
    /// An agent of this node that answers for the bot. Kept for those who send it; without meaning yet.
    #[serde(rename = "agent_id")]
    #[schema(required = false)]
    _agent_id: Option<String>,
}

/// Register a bot; this node is its home and gives out its work
#[utoipa::path(
    post, path = "/node/v1/workspaces/{workspace_id}/bots", operation_id = "createBot", tag = "people",
    params(WorkspacePath), request_body = CreateBot,
    responses((status = 201, description = "Registered.", body = NodeBot), BadRequest, NotFound, Conflict, Always)
)]
pub(super) async fn create_bot(
    State(doors): State<Doors>,
    InPath(path): InPath<WorkspacePath>,
    body: JsonBody,
) -> Result<(StatusCode, Json<NodeBot>), Problem> {
    let request: CreateBot = body.read()?;
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    let owner = match request.owner_user_id.as_deref() {
        Some(text) => {
            Some(text.trim().parse().map_err(|fault| Problem::invalid(format!("`owner_user_id`: {fault}")))?)
        }
        None => None,
    };
    let new = NewBot {
        name: request.name,
        slug: request.slug,
        description: request.description.unwrap_or_default(),
        owner,
        traits: request.traits.unwrap_or_else(|| vec![MENTIONABLE.to_owned()]),
    };
    let bot = doors.node.create_bot(workspace, new).await?;
    Ok((StatusCode::CREATED, Json(bot.into())))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct BotPath {
    workspace_id: String,
    bot_id: String,
}

/// Archive a bot; its pending work is cancelled
#[utoipa::path(
    post, path = "/node/v1/workspaces/{workspace_id}/bots/{bot_id}/archive", operation_id = "archiveBot", tag = "people",
    params(BotPath), responses((status = 204, description = "Archived."), NotFound, Always)
)]
pub(super) async fn archive_bot(
    State(doors): State<Doors>,
    InPath(path): InPath<BotPath>,
) -> Result<StatusCode, Problem> {
    let workspace = find(&doors.node.store().view()?, &path.workspace_id)?.id;
    doors.node.archive_bot(workspace, principal(&path.bot_id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is no id is nobody's either.
pub(super) fn principal(text: &str) -> Result<Principal, Problem> {
    text.trim().parse().map_err(|_| Problem::unknown_principal())
}
