//! The HTTP doors of a Muster node: one axum router, one folder a door, no rules of the domain.
//!
//! A **door** is one HTTP API with its own audience, errors and OpenAPI document; all doors show the
//! same node. What happens to a request, outermost first:
//!
//! 1. [`guard`]: it gets an id and a log line, its `Host` must be ours, no foreign web page may have
//!    sent it, and it has bounds of size and time. Everything refused here, unknown routes and
//!    panics included, is answered in the shape of the door the path belongs to.
//! 2. The door's auth: the operator token for the Node door; keys for the Workspace door; on loopback nothing for the
//!    Network door.
//! 3. A handler: parses, asks one method of [`Node`](muster_actors::Node) or opens one
//!    [`View`](muster_storage::View) of the store, and turns the outcome into JSON.
//!
//! Handlers are registered together with their OpenAPI description, so a route and its document
//! cannot drift apart:
//!
//! ```
//! let json = muster_http_api::openapi("network").expect("the door exists").to_json().unwrap();
//! assert!(json.contains("sendNetworkMessage"));
//! ```
//!
//! A new door is a folder beside [`node`], [`network`] and [`workspace`], a variant of [`Door`], and nothing else.

mod docs;
mod door;
mod doors;
pub mod guard;
mod input;
pub mod network;
pub mod node;
mod time;
pub mod workspace;

pub use door::Door;
pub use doors::{Doors, router};
pub use time::Time;
pub use workspace::RateLimits;

/// The OpenAPI 3.1 document of the door called `door`; `None` when there is no such door.
pub fn openapi(door: &str) -> Option<utoipa::openapi::OpenApi> {
    Door::from_name(door).map(Door::document)
}

/// The document of [`openapi`] as YAML.
pub fn openapi_yaml(door: &str) -> Option<String> {
    Door::from_name(door).map(docs::yaml)
}
