//! The Network door: channels, threads, direct rooms, inboxes, peers and work of agents. Contract `contracts/network.yaml`,
//! behaviour `semantics/network.md` (rules N-…).
//!
//! The order in which a call is checked is part of the behaviour (N-79, N-134); `scope` holds the
//! steps, each handler puts them in its order. What a refusal says is in [`diagnostics`].

pub(crate) mod auth;
mod channels;
pub mod diagnostics;
mod directs;
pub mod errors;
mod inbox;
mod messages;
mod names;
mod peers;
pub mod schemas;
mod scope;
mod send;
mod status;
mod threads;
mod work;

use axum::middleware::from_fn_with_state;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    Doors,
    guard::auth::{OperatorToken, operator_only},
};

/// The frame of the document; paths and schemas come from the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Network facade",
        version = "0.1.0",
        description = "Channels, threads, direct rooms, peers, inboxes and work of one peer-to-peer node. Every failure \
                       is an `error` with a `diagnostic`, whose `code` is stable."
    ),
    servers((url = "/")),
    tags(
        (name = "network-status", description = "Health and counters of the network runtime of this node."),
        (name = "network-channels", description = "Channels of one workspace and the sessions behind them."),
        (name = "network-threads", description = "Public conversations of a channel."),
        (name = "network-directs", description = "Two-party rooms of a channel."),
        (name = "network-peers", description = "Who is visible now."),
        (name = "network-messages", description = "Sending, and what waits for a session."),
        (name = "network-work", description = "Lifecycle of a piece of delegated work."),
    ),
    components(schemas(
        schemas::error::Error,
        schemas::error::Diagnostic,
        schemas::error::Severity,
        schemas::error::Category,
        schemas::error::DataFreshness
    )),
)]
struct Document;

/// All routes of the door; with `token` all of them ask for it.
pub(crate) fn routes(token: Option<OperatorToken>) -> OpenApiRouter<Doors> {
    match token {
        Some(token) => operations().route_layer(from_fn_with_state(token, operator_only)),
        None => operations(),
    }
}

/// The OpenAPI document.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    OpenApiRouter::with_openapi(Document::openapi()).merge(operations()).into_openapi()
}

fn operations() -> OpenApiRouter<Doors> {
    OpenApiRouter::new()
        .routes(routes!(status::read))
        .routes(routes!(channels::list, channels::create))
        .routes(routes!(channels::read))
        .routes(routes!(threads::list))
        .routes(routes!(threads::read))
        .routes(routes!(threads::messages))
        .routes(routes!(directs::list))
        .routes(routes!(directs::resolve))
        .routes(routes!(directs::read))
        .routes(routes!(directs::messages))
        .routes(routes!(inbox::list))
        .routes(routes!(peers::list))
        .routes(routes!(peers::read))
        .routes(routes!(send::send))
        .routes(routes!(work::read))
}
