//! How many requests each door answers, how, and how long it takes until an answer begins.

use axum::{
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use tokio::time::Instant;

use crate::Door;

/// Upper bounds in seconds: from a read of the store to the longest a request may take.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    door: &'static str,
    method: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    door: &'static str,
}

/// The measures of all doors. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Measures {
    requests: Family<Answered, Counter>,
    seconds: Family<Asked, Histogram, fn() -> Histogram>,
}

impl Measures {
    /// Makes them known to the registry of the process.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let measures = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        };
        let registry = registry.sub_registry_with_prefix("muster_http");
        registry.register("requests", "Requests answered", measures.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time until an answer begins",
            Unit::Seconds,
            measures.seconds.clone(),
        );
        measures
    }
}

/// Counts every request and its answer, refusals included.
#[expect(clippy::disallowed_methods, reason = "what is measured decides nothing")]
pub(super) async fn counted(State(measures): State<Measures>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let door = Door::of(request.uri().path()).name();
    let method = method(request.method());
    let response = next.run(request).await;
    let status = class(response.status());
    measures.requests.get_or_create(&Answered { door, method, status }).inc();
    measures.seconds.get_or_create(&Asked { door }).observe(begun.elapsed().as_secs_f64());
    response
}

/// A method of HTTP; a caller may write any word, and each would be a measure of its own.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500.. => "5xx",
    }
}
