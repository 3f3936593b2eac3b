//! Two checks for those who watch over the process. Open to everybody: they tell nothing else.

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Doors;

#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `ok`: an answer at all is the news.
    status: &'static str,
}

/// Alive
#[utoipa::path(
    get, path = "/healthz", operation_id = "getHealth", tag = "node", security(()),
    responses((status = 200, description = "The process serves requests.", body = Health))
)]
pub(super) async fn alive() -> Json<Health> {
    Json(Health { status: "ok" })
}

#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    /// What is missing; empty when ready.
    missing: Vec<&'static str>,
}

/// Ready: store open, mesh listening
#[utoipa::path(
    get, path = "/readyz", operation_id = "getReadiness", tag = "node", security(()),
    responses(
        (status = 200, description = "Ready.", body = Readiness),
        (status = 503, description = "Not ready; the body says what is missing.", body = Readiness),
    )
)]
pub(super) async fn ready(State(doors): State<Doors>) -> (StatusCode, Json<Readiness>) {
    let mut missing = Vec::new();
    if doors.node.store().view().is_err() {
        missing.push("store");
    }
    if doors.node.mesh_addresses().is_empty() {
        missing.push("mesh");
    }
    let ready = missing.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, missing }))
}
