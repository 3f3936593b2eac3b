//! The Node door: what the other doors need and lack. Contract `contracts/node.yaml`.
//!
//! Workspaces, invites and members; people, bots, their keys and streams; agents and their sessions; status, events,
//! metrics and backups.
//! The operator token opens all of it but the two health checks.

mod agents;
mod backups;
pub mod errors;
mod events;
mod health;
mod invites;
mod join;
mod keys;
mod members;
mod memos;
mod metrics;
mod peers;
mod people;
mod sessions;
mod status;
mod streams;
mod workspaces;

use axum::middleware::from_fn_with_state;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    Doors,
    guard::auth::{OperatorToken, operator_only},
};

/// The frame of the document; paths and schemas come from the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Node API",
        version = "0.1.0",
        description = "The node's own surface: workspaces, invites and members, people, bots and their keys, streams, \
                       agents and sessions, status, events, metrics and backups. Errors are RFC 9457 problem details with a stable `code`."
    ),
    servers((url = "/")),
    tags(
        (name = "node", description = "This node."),
        (name = "workspaces", description = "Workspaces, who takes part, and how others join."),
        (name = "people", description = "People and bots whose home is this node."),
        (name = "keys", description = "Keys of the Workspace door."),
        (name = "streams", description = "Streams, and who takes part in them."),
        (name = "agents", description = "Agents of this node and their sessions."),
    ),
    security(("operator" = [])),
    components(schemas(errors::Body)),
    modifiers(&Operator),
)]
struct Document;

struct Operator;

impl Modify for Operator {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The operator token: the text of `operator.token` in the data folder."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("operator", SecurityScheme::Http(bearer));
    }
}

/// All routes of the door.
pub(crate) fn routes(operator: &OperatorToken) -> OpenApiRouter<Doors> {
    open().merge(closed().route_layer(from_fn_with_state(operator.clone(), operator_only)))
}

/// The OpenAPI document.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    OpenApiRouter::with_openapi(Document::openapi()).merge(open()).merge(closed()).into_openapi()
}

/// Routes for everybody who can connect.
fn open() -> OpenApiRouter<Doors> {
    OpenApiRouter::new().routes(routes!(health::alive)).routes(routes!(health::ready))
}

/// Routes for the operator.
fn closed() -> OpenApiRouter<Doors> {
    OpenApiRouter::new()
        .routes(routes!(metrics::read))
        .routes(routes!(status::read))
        .routes(routes!(peers::list))
        .routes(routes!(events::stream))
        .routes(routes!(backups::create))
        .routes(routes!(workspaces::list, workspaces::create))
        .routes(routes!(workspaces::read))
        .routes(routes!(workspaces::settle))
        .routes(routes!(workspaces::move_home))
        .routes(routes!(invites::create))
        .routes(routes!(invites::revoke))
        .routes(routes!(join::join))
        .routes(routes!(members::list))
        .routes(routes!(members::remove, members::set_role))
        .routes(routes!(agents::list, agents::register))
        .routes(routes!(sessions::list, sessions::start))
        .routes(routes!(sessions::stop))
        .routes(routes!(people::users, people::create_user))
        .routes(routes!(people::end_membership))
        .routes(routes!(people::bots, people::create_bot))
        .routes(routes!(people::archive_bot))
        .routes(routes!(keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(streams::create))
        .routes(routes!(streams::archive))
        .routes(routes!(streams::unarchive))
        .routes(routes!(streams::add_member))
        .routes(routes!(streams::remove_member))
        .routes(routes!(memos::write))
}
