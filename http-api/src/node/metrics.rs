//! What the process measures, the mesh's own metrics included, for Prometheus to fetch.

use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use prometheus_client::encoding::text::encode;

use super::errors::Always;
use crate::{Doors, guard::Refused};

/// The format `prometheus-client` writes; Prometheus reads it since version 2.5.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Prometheus text, the mesh's own metrics included
#[utoipa::path(
    get, path = "/metrics", operation_id = "getMetrics", tag = "node",
    responses((status = 200, description = "Metrics.", body = String, content_type = "application/openmetrics-text"), Always)
)]
pub(super) async fn read(State(doors): State<Doors>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &doors.metrics) {
        Ok(()) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => super::errors::Problem::from(&Refused::Panic).into_response(),
    }
}
