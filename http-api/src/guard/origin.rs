//! Requests that a foreign web page made the operator's browser send are refused. There is no CORS.

use axum::{
    extract::Request,
    http::{HeaderValue, Uri, header::ORIGIN, uri::Authority},
    middleware::Next,
    response::Response,
};

use super::{Refused, host, refuse};

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Lets through what no browser sent, or our own page did.
pub(super) async fn ours_only(request: Request, next: Next) -> Response {
    if is_foreign(&request) { refuse(&request, &Refused::Origin) } else { next.run(request).await }
}

fn is_foreign(request: &Request) -> bool {
    // The host guard has run: the authority is one of ours, so what equals it is ours, too.
    let ours = host::authority(request);
    let is_ours =
        |origin: &HeaderValue| origin.to_str().is_ok_and(|origin| is_origin_of(origin, ours.as_ref()));
    if !request.headers().get_all(ORIGIN).iter().all(is_ours) {
        return true;
    }
    let site = request.headers().get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    !request.method().is_safe() && matches!(site, Some(b"cross-site" | b"same-site"))
}

/// Whether `origin` is a web origin with exactly this host and port.
fn is_origin_of(origin: &str, authority: Option<&Authority>) -> bool {
    let Ok(uri) = origin.parse::<Uri>() else { return false };
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.authority().is_some()
        && uri.authority() == authority
}
