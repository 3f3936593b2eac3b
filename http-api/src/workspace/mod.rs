//! The Workspace door: streams, messages, people, and what bots do. Contract `contracts/workspace.yaml`, behaviour
//! `semantics/workspace.md` (rules W-…).
//!
//! Every handler begins with `auth::Bearer::enter`, which judges the key in the order of W-18, then reads its
//! fields (`fields::Fields`, all faults at once), then asks the store or the node.

mod attachments;
mod auth;
mod cursor;
pub mod errors;
mod fields;
mod ids;
mod invocations;
mod me;
mod memos;
mod message;
mod messages;
mod moment;
mod rates;
mod runtimes;
mod search;
mod streams;
mod users;

use axum::{Router, extract::DefaultBodyLimit, middleware::from_fn_with_state, routing::get};
use serde::{Deserialize, Serialize};
use utoipa::{
    IntoParams, Modify, OpenApi, ToSchema,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::Doors;

pub use rates::RateLimits;

/// The frame of the document; paths and schemas come from the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Workspace API",
        version = "1.0.0",
        description = "Streams, messages, memos, attachments, users, bot runtimes and bot invocations of one workspace. \
                       Success bodies wrap their payload in `data`; every failure is an `error` with a stable `code`."
    ),
    servers((url = "/")),
    tags(
        (name = "Identity", description = "Who the key speaks for, and the bots that person owns."),
        (name = "Streams", description = "Channels, scratchpads, direct messages, threads and system streams."),
        (name = "Messages", description = "Reading, finding, sending, changing and removing messages."),
        (name = "Memos", description = "Durable knowledge distilled from conversations, with its sources."),
        (name = "Attachments", description = "Files, what was extracted from them, and how to download them."),
        (name = "Users", description = "The people of the workspace."),
        (name = "Bot runtimes", description = "Processes that act for a bot, their presence and their linked scratchpads."),
        (name = "Bot invocations", description = "Units of work a bot was summoned to do."),
    ),
    security(("apiKey" = [])),
    components(schemas(errors::Body, errors::RateLimitError)),
    modifiers(&ApiKey),
)]
struct Document;

struct ApiKey;

impl Modify for ApiKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("threa_uk_… or threa_bk_…")
            .description(Some("One key per workspace, made by `muster key create`."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("apiKey", SecurityScheme::Http(bearer));
    }
}

/// All routes of the door. Rates are limited before anything else is looked at (W-58).
pub(crate) fn routes(doors: &Doors) -> OpenApiRouter<Doors> {
    operations().route_layer(from_fn_with_state(doors.clone(), rates::limited))
}

/// The OpenAPI document.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    OpenApiRouter::with_openapi(Document::openapi()).merge(operations()).into_openapi()
}

fn operations() -> OpenApiRouter<Doors> {
    OpenApiRouter::new()
        .routes(routes!(me::read))
        .routes(routes!(me::bots))
        .routes(routes!(streams::list))
        .routes(routes!(streams::read))
        .routes(routes!(streams::members))
        .routes(routes!(messages::list, messages::send))
        .routes(routes!(messages::find_by_metadata))
        .routes(routes!(search::messages))
        .routes(routes!(memos::search))
        .routes(routes!(memos::read))
        .routes(routes!(messages::update, messages::delete))
        .routes(routes!(users::list))
        .routes(routes!(runtimes::presence))
        .routes(routes!(runtimes::link))
        .routes(routes!(runtimes::rename))
        .routes(routes!(invocations::claim))
        .routes(routes!(invocations::renew))
        .routes(routes!(invocations::step))
        .routes(routes!(invocations::complete))
        .routes(routes!(invocations::fail))
        .routes(routes!(attachments::search))
        .routes(routes!(attachments::read))
        .routes(routes!(attachments::url))
        .merge(uploads())
}

/// A file may be larger than any other body; the handler counts.
fn uploads() -> OpenApiRouter<Doors> {
    OpenApiRouter::new().routes(routes!(attachments::upload)).layer(DefaultBodyLimit::disable())
}

/// What is served without a key: the links that were made with one.
pub(crate) fn downloads() -> Router<Doors> {
    Router::new().route(attachments::download::ROUTE, get(attachments::download::download))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[serde(rename_all = "camelCase")]
struct WorkspacePath {
    /// Workspace id; must be the one the key was minted in.
    workspace_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what is read")]
struct ListQuery {
    /// Free text. Turns cursor paging off.
    query: Option<String>,
    /// The `cursor` of the page before.
    after: Option<String>,
    /// Page size. A value out of bounds is an error, not clamped.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i32>,
}

/// Sizes of pages with a cursor (W-43).
const PAGE: fields::Limit = fields::Limit { max: 200, default: 50 };

/// One thing (W-2).
#[derive(Serialize, ToSchema)]
struct Data<T> {
    data: T,
}

/// One page of a list with a cursor (W-2).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    data: Vec<T>,
    has_more: bool,
    /// Opaque; hand it back as `after`. Null when nothing can follow or paging is off.
    #[schema(required)]
    cursor: Option<String>,
}
