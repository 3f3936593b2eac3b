//! The guard around a router of its own: no node is needed to see what it lets through.

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
    middleware::from_fn_with_state,
    routing::{get, post},
};
use muster_protocol::limits::HTTP_BODY_BYTES_MAX;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tower::ServiceExt;

use super::{
    around,
    auth::{OperatorToken, operator_only},
    host::AllowedHosts,
    measure::Measures,
};
use crate::{
    input::{InQuery, JsonBody},
    network::errors::Failure,
    node::errors::Problem,
};

#[derive(serde::Deserialize)]
struct Wish {
    name: String,
}

#[derive(serde::Deserialize)]
struct Question {
    #[serde(rename = "limit")]
    _limit: Option<String>,
}

async fn wish_at_node(body: JsonBody) -> Result<Json<String>, Problem> {
    Ok(Json(body.read::<Wish>()?.name))
}

async fn wish_at_network(body: JsonBody) -> Result<Json<String>, Failure> {
    Ok(Json(body.read::<Wish>()?.name))
}

async fn never() -> &'static str {
    std::future::pending().await
}

async fn panics() -> &'static str {
    panic!("on purpose")
}

/// Both doors with an open route each, a closed one, one that hangs and one that panics.
fn doors(hosts: AllowedHosts) -> Router {
    let closed = from_fn_with_state(OperatorToken::new("s3cret\n"), operator_only);
    let routes = Router::new()
        .route("/node/v1/closed", get(async || "in"))
        .route("/api/workspaces/w/closed", get(async || "in"))
        .route_layer(closed)
        .route("/node/v1/wish", post(wish_at_node).get(async |_: InQuery<Question>| "read"))
        .route("/api/workspaces/w/wish", post(wish_at_network).get(async |_: InQuery<Question>| "read"))
        .route("/node/v1/never", get(never))
        .route("/api/network/panics", get(panics))
        .route("/node/v1/panics", get(panics));
    around(routes, hosts, Measures::register(&mut Registry::default()))
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    json: Value,
}

impl Answer {
    /// The code of a failure, after a look at its shape.
    fn code(&self) -> &str {
        let content_type = self.headers[header::CONTENT_TYPE].to_str().unwrap();
        match content_type {
            "application/problem+json" => {
                assert_eq!(self.json["status"], self.status.as_u16());
                assert!(self.json["title"].is_string() && self.json["detail"].is_string());
                self.json["code"].as_str().unwrap()
            }
            "application/json" => {
                assert!(self.json["error"].is_string());
                self.json["diagnostic"]["code"].as_str().unwrap_or_default()
            }
            other => panic!("{other} is no shape of a failure"),
        }
    }
}

async fn ask(request: Request<Body>) -> Answer {
    ask_at(AllowedHosts::new(&["127.0.0.1:7420".parse().unwrap()], &["muster.example".to_owned()]), request)
        .await
}

async fn ask_at(hosts: AllowedHosts, request: Request<Body>) -> Answer {
    let response = doors(hosts).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        json: serde_json::from_slice(&bytes).unwrap_or_default(),
    }
}

fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost:7420");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

fn from_host(host: &str) -> Request<Body> {
    Request::get("/node/v1/wish").header("host", host).body(Body::empty()).unwrap()
}

fn wish(path: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path).header("host", "localhost").header("content-type", content_type);
    request.body(body.into()).unwrap()
}

#[tokio::test]
async fn only_hosts_of_ours_are_served_on_any_port() {
    for host in
        ["localhost", "LOCALHOST:1", "127.0.0.1:7420", "[::1]:7420", "muster.example", "Muster.Example:443"]
    {
        assert_eq!(ask(from_host(host)).await.status, StatusCode::OK, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "192.0.2.1", "localhost@evil.example", "", "a b"] {
        let answer = ask(from_host(host)).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::MISDIRECTED_REQUEST, "unknown_host"),
            "{host}"
        );
    }
}

#[tokio::test]
async fn a_request_without_one_host_is_refused_also_where_there_is_no_route() {
    for path in ["/node/v1/wish", "/nowhere"] {
        let without = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(ask(without).await.status, StatusCode::MISDIRECTED_REQUEST);
        let two = Request::get(path).header("host", "localhost").header("host", "evil.example");
        assert_eq!(ask(two.body(Body::empty()).unwrap()).await.status, StatusCode::MISDIRECTED_REQUEST);
    }
}

#[tokio::test]
async fn bound_to_all_addresses_any_address_will_do_but_no_name() {
    let hosts = AllowedHosts::new(&["0.0.0.0:7420".parse().unwrap()], &[]);
    assert_eq!(ask_at(hosts.clone(), from_host("192.0.2.1:7420")).await.status, StatusCode::OK);
    assert_eq!(ask_at(hosts, from_host("evil.example")).await.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn only_our_own_origin_is_served() {
    for path in ["/node/v1/wish", "/api/workspaces/w/wish"] {
        let ours = request(Method::GET, path, &[("origin", "http://localhost:7420")]);
        assert_eq!(ask(ours).await.status, StatusCode::OK);
        for origin in [
            "http://evil.example",
            "http://localhost:3000",
            "http://localhost",
            "null",
            "file://localhost:7420",
        ] {
            let answer = ask(request(Method::GET, path, &[("origin", origin)])).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{origin}");
            assert!(["foreign_origin", "network_origin_forbidden"].contains(&answer.code()));
        }
    }
}

#[tokio::test]
async fn a_browser_may_change_something_only_from_our_own_page() {
    for (site, status) in [
        ("cross-site", StatusCode::FORBIDDEN),
        ("same-site", StatusCode::FORBIDDEN),
        ("same-origin", StatusCode::BAD_REQUEST), // let through, to a handler that misses a body
        ("none", StatusCode::BAD_REQUEST),
    ] {
        let answer = ask(request(Method::POST, "/node/v1/wish", &[("sec-fetch-site", site)])).await;
        assert_eq!(answer.status, status, "{site}");
    }
    let reading = request(Method::GET, "/node/v1/wish", &[("sec-fetch-site", "cross-site")]);
    assert_eq!(ask(reading).await.status, StatusCode::OK);
}

#[tokio::test]
async fn no_answer_invites_other_origins() {
    let answer = ask(request(Method::OPTIONS, "/node/v1/wish", &[])).await;
    assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control")));
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn the_operator_token_opens_what_is_closed() {
    for path in ["/node/v1/closed", "/api/workspaces/w/closed"] {
        for header in ["Bearer s3cret", "bearer  s3cret"] {
            assert_eq!(
                ask(request(Method::GET, path, &[("authorization", header)])).await.status,
                StatusCode::OK
            );
        }
        for header in ["Bearer wrong", "Bearer ", "Basic s3cret", "s3cret", "Bearer s3cret2"] {
            let answer = ask(request(Method::GET, path, &[("authorization", header)])).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{header}");
        }
        let answer = ask(request(Method::GET, path, &[])).await;
        assert!(["operator_token_required", "network_token_required"].contains(&answer.code()));
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"muster\"");
    }
}

#[tokio::test]
async fn an_unknown_route_is_answered_in_the_shape_of_its_door() {
    for (path, code) in [
        ("/nowhere", "unknown_path"),
        ("/node/v1/nowhere", "unknown_path"),
        ("/api/v1/nowhere", "unknown_path"),
        ("/api/nowhere", "network_not_found"),
        ("/api/workspaces/w/nowhere", "network_not_found"),
    ] {
        let answer = ask(request(Method::GET, path, &[])).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, code), "{path}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_answered_in_the_shape_of_its_door() {
    for (path, code) in
        [("/node/v1/wish", "method_not_allowed"), ("/api/workspaces/w/wish", "network_method_not_allowed")]
    {
        let answer = ask(request(Method::DELETE, path, &[])).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::METHOD_NOT_ALLOWED, code), "{path}");
        let allow = answer.headers["allow"].to_str().unwrap();
        assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_answered_with_the_member_that_is_wrong() {
    for path in ["/node/v1/wish", "/api/workspaces/w/wish"] {
        for (content_type, body, says) in [
            ("application/json", "{", "line 1"),
            ("application/json", "{}", "`name`"),
            ("application/json", r#"{"name":1}"#, "`name` has to be a string"),
            ("text/plain", r#"{"name":"a"}"#, "Content-Type: application/json"),
            ("application/json", "", "missing"),
        ] {
            let answer = ask(wish(path, content_type, body)).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
            assert!(["invalid_request", "network_invalid_request"].contains(&answer.code()));
            let text = answer.json["detail"].as_str().or(answer.json["error"].as_str()).unwrap();
            assert!(text.contains(says), "{text}");
        }
        let good = wish(path, "application/json; charset=utf-8", r#"{"name":"a"}"#);
        assert_eq!(ask(good).await.json, "a");
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_whether_it_says_so_or_not_n133() {
    for (path, code) in
        [("/node/v1/wish", "body_too_large"), ("/api/workspaces/w/wish", "network_payload_too_large")]
    {
        let chunks = futures::stream::iter([Ok::<_, std::io::Error>(vec![b' '; HTTP_BODY_BYTES_MAX + 1])]);
        let silent = wish(path, "application/json", Body::from_stream(chunks));
        let mut honest = wish(path, "application/json", "{}");
        honest.headers_mut().insert(header::CONTENT_LENGTH, (HTTP_BODY_BYTES_MAX + 1).into());
        for request in [silent, honest] {
            let answer = ask(request).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::PAYLOAD_TOO_LARGE, code));
        }
    }
}

#[tokio::test]
async fn a_query_that_names_a_parameter_twice_is_refused() {
    for path in ["/node/v1/wish?limit=1&limit=2", "/api/workspaces/w/wish?limit=1&limit=2"] {
        let answer = ask(request(Method::GET, path, &[])).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(["invalid_request", "network_invalid_request"].contains(&answer.code()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_too_long_is_answered_for() {
    let answer = ask(request(Method::GET, "/node/v1/never", &[])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::SERVICE_UNAVAILABLE, "timeout"));
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing_n131() {
    let answer = ask(request(Method::GET, "/api/network/panics", &[])).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.json, serde_json::json!({ "error": "Internal Server Error" }));
    let answer = ask(request(Method::GET, "/node/v1/panics", &[])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"));
}

#[tokio::test]
async fn every_answer_carries_the_id_of_its_request() {
    let theirs = request(Method::GET, "/node/v1/wish", &[("x-request-id", "job-7")]);
    assert_eq!(ask(theirs).await.headers["x-request-id"], "job-7");
    for bad in ["a b", "<script>", &"x".repeat(65)] {
        let answer = ask(request(Method::GET, "/nowhere", &[("x-request-id", bad)])).await;
        assert_ne!(answer.headers["x-request-id"], bad);
    }
    assert_eq!(ask(request(Method::GET, "/nowhere", &[])).await.headers["x-request-id"].len(), 36);
}
