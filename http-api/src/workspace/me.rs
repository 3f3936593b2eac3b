//! Who the key speaks for (W-22, W-29), and the bots of that person (W-30).

use axum::{
    Json,
    extract::{RawQuery, State},
};
use muster_protocol::principal::TRAITS;
use muster_storage::BotRow;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    Data, WorkspacePath,
    auth::{Actor, Bearer, Kinds},
    errors::{Always, Failure},
    fields::Fields,
    moment::Moment,
};
use crate::{Doors, input::InPath};

/// The principal behind a key, told apart by `kind` and, for bots, by `botType`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Principal {
    User(UserPrincipal),
    Shared(SharedBotPrincipal),
    Personal(PersonalBotPrincipal),
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserPrincipal {
    kind: UserKind,
    workspace_id: String,
    user_id: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum UserKind {
    User,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SharedBotPrincipal {
    kind: BotKind,
    workspace_id: String,
    bot_id: String,
    bot_type: SharedType,
    traits: Vec<String>,
    /// It belongs to nobody.
    #[schema(required)]
    owner_user_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PersonalBotPrincipal {
    kind: BotKind,
    workspace_id: String,
    bot_id: String,
    bot_type: PersonalType,
    traits: Vec<String>,
    owner_user_id: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum BotKind {
    Bot,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum SharedType {
    Shared,
}

/// Tell the caller who its key speaks for
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspaceId}/me", operation_id = "getMe", tag = "Identity", params(WorkspacePath),
    responses((status = 200, description = "The principal behind the key", body = Data<Principal>), Always)
)]
pub(super) async fn read(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<WorkspacePath>,
) -> Result<Json<Data<Principal>>, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, None, Kinds::Both)?;
    let workspace_id = caller.workspace.id.to_string();
    Ok(Json(Data {
        data: match caller.actor {
            Actor::User(person) => Principal::User(UserPrincipal {
                kind: UserKind::User,
                workspace_id,
                user_id: person.id.to_string(),
            }),
            Actor::Bot(bot) => {
                let (kind, bot_id, owner) = (BotKind::Bot, bot.id.to_string(), bot.owner());
                let traits = bot.card.traits;
                match owner {
                    Some(owner) => Principal::Personal(PersonalBotPrincipal {
                        kind,
                        workspace_id,
                        bot_id,
                        bot_type: PersonalType::Personal,
                        traits,
                        owner_user_id: owner.to_string(),
                    }),
                    None => Principal::Shared(SharedBotPrincipal {
                        kind,
                        workspace_id,
                        bot_id,
                        bot_type: SharedType::Shared,
                        traits,
                        owner_user_id: None,
                    }),
                }
            }
        },
    }))
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what is read")]
pub(super) struct BotsQuery {
    /// Keep only bots that carry this trait. A single value, in spite of the plural name.
    #[param(inline)]
    traits: Option<BotTrait>,
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "it describes what is read")]
enum BotTrait {
    Mentionable,
    ActiveScratchpad,
}

/// A bot that belongs to one person.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PersonalBot {
    id: String,
    workspace_id: String,
    traits: Vec<String>,
    #[schema(required)]
    slug: Option<String>,
    name: String,
    #[schema(required)]
    description: Option<String>,
    #[schema(required)]
    avatar_emoji: Option<String>,
    #[schema(required)]
    avatar_url: Option<String>,
    #[schema(required)]
    archived_at: Option<Moment>,
    created_at: Moment,
    updated_at: Moment,
    r#type: PersonalType,
    owner_user_id: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum PersonalType {
    Personal,
}

impl PersonalBot {
    fn of(bot: BotRow, workspace_id: String) -> Option<Self> {
        Some(Self {
            owner_user_id: bot.owner()?.to_string(),
            id: bot.id.to_string(),
            workspace_id,
            slug: Some(bot.slug.to_string()),
            description: Some(bot.card.description.clone()).filter(|text| !text.is_empty()),
            avatar_emoji: None,
            avatar_url: None,
            archived_at: (bot.card.archived_ms > 0).then_some(Moment(bot.card.archived_ms)),
            created_at: Moment(bot.created_ms()),
            updated_at: Moment(bot.updated_ms),
            r#type: PersonalType::Personal,
            traits: bot.card.traits,
            name: bot.card.name,
        })
    }
}

/// List the personal bots of the key's owner
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspaceId}/me/bots", operation_id = "listMyBots", tag = "Identity",
    params(WorkspacePath, BotsQuery),
    responses((status = 200, description = "The owner's personal bots", body = Data<Vec<PersonalBot>>), Always)
)]
pub(super) async fn bots(
    State(doors): State<Doors>,
    key: Bearer,
    InPath(path): InPath<WorkspacePath>,
    query: RawQuery,
) -> Result<Json<Data<Vec<PersonalBot>>>, Failure> {
    let caller = key.enter(&doors, &path.workspace_id, None, Kinds::UserOnly)?;
    let mut fields = Fields::of_query(&query);
    let wanted = fields.word("traits", |word| TRAITS.into_iter().find(|known| *known == word));
    fields.done()?;
    let owner = caller.principal();
    let fits = |bot: &BotRow| bot.owner() == Some(owner) && wanted.is_none_or(|wanted| bot.has(wanted));
    let bots = caller.view.bots(&caller.workspace, fits)?;
    let workspace_id = caller.workspace.id.to_string();
    let data = bots.into_iter().filter_map(|bot| PersonalBot::of(bot, workspace_id.clone())).collect();
    Ok(Json(Data { data }))
}
