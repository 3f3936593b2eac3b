//! One id and one log line for every request, and an answer also when a handler panics.
//!
//! A log line holds method, route, status and time. It never holds a query, a header or a body, and
//! of the path only the pattern of the route, because any of them may carry a secret.

use std::{panic::AssertUnwindSafe, time::Duration};

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use futures::FutureExt;
use tower_http::{
    classify::{ServerErrorsAsFailures, SharedClassifier},
    request_id::{MakeRequestId, MakeRequestUuid},
    trace::TraceLayer,
};
use tracing::Span;

use super::Refused;
use crate::Door;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longer ids of callers are replaced: they go into every log line.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// Gives the request the caller's `x-request-id`, or a new one, and the answer the same.
pub(super) async fn identified(mut request: Request, next: Next) -> Response {
    let theirs = request.headers().get(&REQUEST_ID).filter(|id| is_harmless(id)).cloned();
    let id = theirs.or_else(|| Some(MakeRequestUuid.make_request_id(&request)?.into_header_value()));
    let Some(id) = id else { return next.run(request).await };
    request.headers_mut().insert(REQUEST_ID.clone(), id.clone());
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID.clone(), id);
    response
}

fn is_harmless(id: &HeaderValue) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.as_bytes().iter().all(allowed)
}

type Recorder = TraceLayer<
    SharedClassifier<ServerErrorsAsFailures>,
    fn(&axum::http::Request<Body>) -> Span,
    (),
    fn(&Response, Duration, &Span),
    (),
    (),
    (),
>;

/// The layer that writes the log line.
pub(super) fn layer() -> Recorder {
    TraceLayer::new_for_http()
        .make_span_with(span as fn(&_) -> _)
        .on_request(())
        .on_response(answered as fn(&_, _, &_))
        .on_body_chunk(())
        .on_eos(())
        .on_failure(())
}

fn span(request: &axum::http::Request<Body>) -> Span {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let id = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    tracing::info_span!("http", method = %request.method(), route, id)
}

fn answered(response: &Response, took: Duration, _: &Span) {
    let status = response.status().as_u16();
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if response.status().is_server_error() {
        tracing::warn!(status, ms, "answered");
    } else {
        tracing::debug!(status, ms, "answered");
    }
}

/// Answers 500 for a handler that panicked; the panic itself is in the log through the panic hook.
pub(super) async fn survived(request: Request, next: Next) -> Response {
    let door = Door::of(request.uri().path());
    // Nothing of the request outlives the panic, so no broken state can be seen afterwards.
    AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a handler panicked");
        door.refuse(&Refused::Panic)
    })
}
