//! No request may be larger or take longer than its limit.

use axum::{
    extract::Request,
    http::{Method, header::CONTENT_LENGTH},
    middleware::Next,
    response::Response,
};
use muster_protocol::limits::{HTTP_BODY_BYTES_MAX, HTTP_TIMEOUT};
use tokio::time::timeout;

use super::{Refused, refuse};
use crate::Door;

/// Refuses a body that says it is too large before any of it is read (one that does not say is cut
/// off where it is read), and answers for a handler that takes too long. The body of an answer may
/// take as long as it likes: event streams never end.
///
/// What a slow handler started goes on (N-87); only the waiting ends.
pub(super) async fn bounded(request: Request, next: Next) -> Response {
    let length =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > HTTP_BODY_BYTES_MAX as u64) {
        return refuse(&request, &Refused::BodyTooLarge { max: HTTP_BODY_BYTES_MAX });
    }
    if takes_its_time(&request) {
        return next.run(request).await;
    }
    let door = Door::of(request.uri().path());
    timeout(HTTP_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| door.refuse(&Refused::Timeout))
}

/// A backup takes as long as the store is large.
fn takes_its_time(request: &Request) -> bool {
    request.method() == Method::POST && request.uri().path() == "/node/v1/backups"
}
