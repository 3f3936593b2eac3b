//! What every request passes before its handler, whatever its door.
//!
//! Loopback is not a boundary: any web page the operator opens can send requests to it, and a name
//! that its owner points at 127.0.0.1 makes such a page look like our own (DNS rebinding). Hence
//! `host`, then `origin`; the rest is bounds (`limits`), log lines and panics (`trace`),
//! counting (`measure`) and the operator token (`auth`), which the doors ask for where they want it.

pub mod auth;
mod headers;
pub mod host;
pub(crate) mod limits;
pub(crate) mod measure;
mod origin;
mod trace;

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::{from_fn, from_fn_with_state},
    response::Response,
};

use crate::Door;
use host::AllowedHosts;
use measure::Measures;

/// A request that no handler answers. Each door says it in its own shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// `Host` is absent or names something that is not ours.
    #[error(
        "this node does not serve that host; use one of its addresses, or add the name to `http.allowed_hosts`"
    )]
    Host,
    /// A web page of another origin sent it.
    #[error("requests of other web origins are not served")]
    Origin,
    /// No operator token, or a wrong one.
    #[error(
        "the operator token is missing or wrong; send `Authorization: Bearer TOKEN` with what `operator.token` in the data folder holds"
    )]
    Token,
    /// More bytes than a body may have.
    #[error("the body is larger than {max} bytes")]
    BodyTooLarge {
        /// Bytes allowed.
        max: usize,
    },
    /// The body ended before it should, or its encoding is broken.
    #[error("the body did not arrive whole; send it again")]
    BodyBroken,
    /// The path is not UTF-8 once decoded.
    #[error("the path does not decode to UTF-8 text")]
    Path,
    /// A query that does not decode, or names a parameter twice.
    #[error("the query does not decode, or names a parameter twice")]
    Query,
    /// No route has this path.
    #[error("there is nothing at this path; `/docs` lists what there is")]
    NoRoute,
    /// The path exists, the method does not.
    #[error("this path does not take that method; the `allow` header lists those it takes")]
    WrongMethod,
    /// It took longer than a request may.
    #[error("the request took too long; what it started may still have happened")]
    Timeout,
    /// A handler panicked.
    #[error("the node failed; its log says more")]
    Panic,
}

impl Refused {
    /// The status of the answer.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyBroken | Self::Path | Self::Query => StatusCode::BAD_REQUEST,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panic => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Puts the guard around finished routes. The last layer added is the first a request meets.
pub(crate) fn around(routes: Router, hosts: AllowedHosts, measures: Measures) -> Router {
    routes
        .fallback(async |request: Request| refuse(&request, &Refused::NoRoute))
        .method_not_allowed_fallback(async |request: Request| refuse(&request, &Refused::WrongMethod))
        .layer(from_fn(limits::bounded))
        .layer(from_fn(origin::ours_only))
        .layer(from_fn_with_state(hosts, host::known_only))
        .layer(from_fn(headers::hardened))
        .layer(from_fn(trace::survived))
        .layer(from_fn_with_state(measures, measure::counted))
        .layer(trace::layer())
        .layer(from_fn(trace::identified))
}

/// The answer to a refused request, in the shape of the door its path belongs to.
fn refuse(request: &Request, refused: &Refused) -> Response {
    Door::of(request.uri().path()).refuse(refused)
}

#[cfg(test)]
mod tests;
