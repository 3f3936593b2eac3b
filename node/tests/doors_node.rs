//! The Node door of the real program: every route, what it refuses, and who gets in.
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, fail by panicking")]

mod doors;

use doors::{Node, Place, answer};
use reqwest::Method;
use serde_json::{Value, json};

/// All operations of a door, from its own document.
fn operations(door: &str) -> Vec<(Method, String)> {
    let document = muster_http_api::openapi(door).unwrap().to_json().unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let methods = |item: &Value| -> Vec<Method> {
        [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE]
            .into_iter()
            .filter(|method| item.get(method.as_str().to_lowercase()).is_some())
            .collect()
    };
    paths.flat_map(|(path, item)| methods(item).into_iter().map(|method| (method, path.clone()))).collect()
}

/// A path of the document with something in place of its parameters.
fn filled(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "x".to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn only_the_operator_token_opens_the_node_door_and_the_two_health_checks_are_open() {
    let node = Node::start().await;
    let operations = operations("node");
    assert!(operations.len() >= 18, "{operations:?}");
    for (method, template) in operations {
        let path = filled(&template);
        let open = matches!(template.as_str(), "/healthz" | "/readyz");
        for wrong in [
            None,
            Some("Bearer wrong"),
            Some("Bearer "),
            Some("Basic bXVzdGVyOm11c3Rlcg=="),
            Some(node.token.as_str()),
        ] {
            let mut request = node.bare(method.clone(), &path);
            if let Some(wrong) = wrong {
                request = request.header("authorization", wrong);
            }
            let answer = answer(&path, request).await;
            if open {
                answer.with(200);
                continue;
            }
            answer.refuses(401, "operator_token_required");
            assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"), "{path}");
        }
    }
    // On loopback the Network door asks for nothing; a wrong token changes nothing.
    for (method, path) in self::operations("network") {
        let path = filled(&path);
        let answer = answer(&path, node.bare(method, &path).header("authorization", "Bearer wrong")).await;
        assert_ne!(answer.status, 401, "{path}");
    }
}

#[tokio::test]
async fn with_require_token_the_network_door_asks_for_it_on_every_route() {
    let node = Node::start_with(&["network.require_token=true"]).await;
    for (method, path) in operations("network") {
        let path = filled(&path);
        answer(&path, node.bare(method.clone(), &path)).await.refuses(401, "network_token_required");
        assert_ne!(answer(&path, node.request(method, &path)).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn foreign_hosts_and_web_pages_are_refused_in_the_doors_own_words() {
    let node = Node::start().await;
    let ours = node.base.strip_prefix("http://").unwrap();
    let port = ours.rsplit(':').next().unwrap();
    for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "192.0.2.1"] {
        let at = |path: &'static str| answer(path, node.request(Method::GET, path).header("host", host));
        at("/node/v1/status").await.refuses(421, "unknown_host");
        at("/healthz").await.refuses(421, "unknown_host");
        at("/api/network/status").await.refuses(403, "network_host_unknown");
        at("/docs/").await.refuses(421, "unknown_host");
    }
    for host in [format!("localhost:{port}"), "localhost".to_owned(), ours.to_owned()] {
        let request = node.request(Method::GET, "/node/v1/status").header("host", host);
        answer("/node/v1/status", request).await.with(200);
    }
    let post = |origin: &str, site: &str| {
        let request = node.bare(Method::POST, "/api/workspaces/x/network/send").json(&json!({}));
        answer(
            "/api/workspaces/x/network/send",
            request.header("origin", origin).header("sec-fetch-site", site),
        )
    };
    post("http://evil.example", "cross-site").await.refuses(403, "network_origin_forbidden");
    post("null", "cross-site").await.refuses(403, "network_origin_forbidden");
    post("http://localhost:1", "same-site").await.refuses(403, "network_origin_forbidden");
    post(&node.base, "same-origin").await.refuses(404, "network_not_found");
    let read = node.request(Method::GET, "/node/v1/status").header("origin", "http://evil.example");
    answer("/node/v1/status", read).await.refuses(403, "foreign_origin");
    let options = node.bare(Method::OPTIONS, "/node/v1/status").header("origin", "http://evil.example");
    let options = answer("/node/v1/status", options).await;
    assert!(!options.headers.contains_key("access-control-allow-origin"), "there is no CORS");
}

#[tokio::test]
async fn what_no_route_takes_is_told_as_json_in_each_doors_shape() {
    let node = Node::start().await;
    for path in ["/", "/nowhere", "/node/v2/status", "/node/v1/status/", "/api/v1/agents"] {
        node.get(path).await.refuses(404, "unknown_path");
    }
    node.get("/api/nowhere").await.refuses(404, "network_not_found");
    let wrong = node.delete("/node/v1/status").await;
    wrong.refuses(405, "method_not_allowed");
    assert!(wrong.headers["allow"].to_str().unwrap().contains("GET"));
    node.delete("/api/network/status").await.refuses(405, "network_method_not_allowed");
    node.get("/node/v1/workspaces/%FF").await.refuses(400, "invalid_request");
    node.get("/node/v1/events?kinds=a&kinds=b").await.refuses(400, "invalid_request");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_heard_to_be_so_whether_it_says_its_length_or_not() {
    let node = Node::start().await;
    let path = "/node/v1/workspaces";
    for bytes in [(4 << 20) + 1, 9 << 20] {
        let body = vec![b' '; bytes];
        answer(path, node.request(Method::POST, path).body(body.clone()))
            .await
            .refuses(413, "body_too_large");
        let chunks =
            body.chunks(1 << 16).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>();
        let stream = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
        answer(path, node.request(Method::POST, path).body(stream)).await.refuses(413, "body_too_large");
    }
    let padded = format!("{}{}", " ".repeat(3 << 20), json!({ "name": "fits" }));
    let request = node.request(Method::POST, path).header("content-type", "application/json").body(padded);
    answer(path, request).await.with(201);
}

#[tokio::test]
async fn workspaces_are_founded_listed_and_read() {
    let node = Node::start().await;
    let founded =
        node.post("/node/v1/workspaces", &json!({ "name": " garden ", "runtime": "none" })).await.with(201);
    assert_eq!(
        (&founded["name"], &founded["role"], &founded["members"], &founded["parent_id"]),
        (&json!("garden"), &json!("owner"), &json!(1), &Value::Null)
    );
    let child =
        node.post("/node/v1/workspaces", &json!({ "name": "bed", "parent_id": "garden" })).await.with(201);
    assert_eq!(child["parent_id"], founded["id"]);
    assert_eq!(node.get("/node/v1/workspaces").await.with(200)["workspaces"].as_array().unwrap().len(), 2);
    for reference in [founded["id"].as_str().unwrap(), "garden"] {
        assert_eq!(node.get(&format!("/node/v1/workspaces/{reference}")).await.with(200), founded);
    }
    for body in [
        json!({}),
        json!({ "name": "" }),
        json!({ "name": "  " }),
        json!({ "name": 5 }),
        json!({ "name": null }),
        json!({ "name": "x".repeat(101) }),
        json!({ "name": "a\u{7}b" }),
        json!([]),
        json!("x"),
        json!({ "name": "x", "parent_id": "ws_nowhere" }),
        json!({ "name": "x", "parent_id": 7 }),
    ] {
        let answer = node.post("/node/v1/workspaces", &body).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{body}: {}", answer.text);
    }
    for (kind, body) in [
        ("application/json", "{"),
        ("text/plain", "{\"name\":\"x\"}"),
        ("application/json", ""),
        ("application/json", "{\"name\":\"a\",\"name\":\"b\"}"),
    ] {
        let request =
            node.request(Method::POST, "/node/v1/workspaces").header("content-type", kind).body(body);
        answer("/node/v1/workspaces", request).await.refuses(400, "invalid_request");
    }
}

#[tokio::test]
async fn what_a_path_names_has_to_exist() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let ws = &place.workspace;
    let unknown = "12D3KooWEEZW11Lpb79q1NCirT5Ci8zX8m4soEg25C3uexbwcSfq";
    for (method, path, code) in [
        (Method::GET, "nowhere".to_owned(), "unknown_workspace"),
        (Method::GET, "nowhere/members".to_owned(), "unknown_workspace"),
        (Method::GET, "nowhere/agents".to_owned(), "unknown_workspace"),
        (Method::GET, "nowhere/sessions".to_owned(), "unknown_workspace"),
        (Method::DELETE, "nowhere/sessions/s".to_owned(), "unknown_workspace"),
        (Method::DELETE, "nowhere/invites/i".to_owned(), "unknown_workspace"),
        (Method::DELETE, format!("nowhere/members/{unknown}"), "unknown_workspace"),
        (Method::DELETE, format!("{ws}/members/{unknown}"), "unknown_member"),
        (Method::DELETE, format!("{ws}/members/nonsense"), "unknown_member"),
        (Method::DELETE, format!("{ws}/sessions/nothing"), "unknown_session"),
        (Method::DELETE, format!("{ws}/invites/nothing"), "unknown_invite"),
        (Method::DELETE, format!("{ws}/invites/inv_01ARZ3NDEKTSV4RRFFQ69G5FAV"), "unknown_invite"),
    ] {
        let path = format!("/node/v1/workspaces/{path}");
        let got = answer(&path, node.request(method, &path)).await;
        assert_eq!((got.status, got.code()), (404, code), "{path}: {}", got.text);
    }
    for (rest, body, code) in [
        ("invites", json!({}), "unknown_workspace"),
        ("agents", json!({ "name": "a" }), "unknown_workspace"),
        ("sessions", json!({ "agent_name": "a", "channel": "c" }), "unknown_workspace"),
    ] {
        node.post(&format!("/node/v1/workspaces/nowhere/{rest}"), &body).await.refuses(404, code);
    }
    let nobody = json!({ "agent_name": "nobody", "channel": "c" });
    node.post(&format!("/node/v1/workspaces/{ws}/sessions"), &nobody).await.refuses(404, "unknown_agent");
    node.delete(&format!("/node/v1/workspaces/{ws}/members/{}", node.peer_id))
        .await
        .refuses(403, "not_allowed");
}

#[tokio::test]
async fn agents_and_sessions_are_held_to_their_grammar() {
    let node = Node::start().await;
    let ws = node.workspace("garden", &["coder"]).await;
    let agents = format!("/node/v1/workspaces/{ws}/agents");
    node.post(&agents, &json!({ "name": "coder" })).await.refuses(409, "already_exists");
    let able = json!([{ "id": "fix", "summary": "s", "outcome": "o" }]);
    for body in [
        json!({}),
        json!({ "name": "" }),
        json!({ "name": "Coder" }),
        json!({ "name": "a b" }),
        json!({ "name": "-a" }),
        json!({ "name": "a".repeat(65) }),
        json!({ "name": "b", "provider": "gpt" }),
        json!({ "name": "b", "capabilities": {} }),
        json!({ "name": "b", "capabilities": [{ "id": "fix" }] }),
        json!({ "name": "b", "capabilities": [able[0], able[0]] }),
        json!({ "name": "b", "capabilities": [{ "id": " ", "summary": "s", "outcome": "o" }] }),
        json!({ "name": "b", "capabilities": [{ "id": "x", "summary": "s", "outcome": "o", "requirements": ["a", "a"] }] }),
    ] {
        let answer = node.post(&agents, &body).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{body}: {}", answer.text);
    }
    node.post(&agents, &json!({ "name": "able", "capabilities": able })).await.with(201);
    let listed = node.get(&agents).await.with(200);
    let names: Vec<_> =
        listed["agents"].as_array().unwrap().iter().map(|agent| agent["name"].clone()).collect();
    assert_eq!(names, ["able", "coder"]);
    let sessions = format!("/node/v1/workspaces/{ws}/sessions");
    for body in [
        json!({}),
        json!({ "agent_name": "coder" }),
        json!({ "agent_name": "coder", "channel": "BAD!" }),
        json!({ "agent_name": 1, "channel": "c" }),
    ] {
        node.post(&sessions, &body).await.refuses(400, "invalid_request");
    }
    let session = node.post(&sessions, &json!({ "agent_name": "coder", "channel": "lab" })).await.with(201);
    assert_eq!(session["peer_id"], format!("coder.{}", session["id"].as_str().unwrap()));
    assert_eq!(node.get(&sessions).await.with(200)["sessions"], json!([session]));
}

#[tokio::test]
async fn no_list_of_sessions_grows_with_those_that_stopped() {
    let node = Node::start().await;
    let ws = node.workspace("garden", &["coder"]).await;
    let sessions = format!("/node/v1/workspaces/{ws}/sessions");
    let start = json!({ "agent_name": "coder", "channel": "lab" });
    let mut last = String::new();
    for _ in 0..105 {
        last = node.post(&sessions, &start).await.with(201)["id"].as_str().unwrap().to_owned();
        node.delete(&format!("{sessions}/{last}")).await.with(204);
    }
    let running: Vec<_> = futures::future::join_all((0..3).map(|_| node.post(&sessions, &start))).await;
    assert!(running.iter().all(|answer| answer.status == 201));
    let listed = node.get(&sessions).await.with(200);
    let listed = listed["sessions"].as_array().unwrap();
    assert_eq!(listed.len(), 103, "those at work and the 100 that stopped last");
    assert!(listed[..3].iter().all(|session| session["state"] == "active"));
    assert_eq!(listed[3]["id"], last, "newest first");
    let path = format!("/api/workspaces/{ws}/network/channels/lab");
    assert_eq!(node.get(&path).await.with(200)["channel"]["session_count"], 3);
    let home = node.kill().await;
    let node = Node::start_in(home, &[]).await;
    assert_eq!(
        node.get(&path).await.with(200)["channel"]["session_count"],
        3,
        "those at work go on after a crash"
    );
}

#[tokio::test]
async fn a_ticket_has_bounds_and_dies_when_it_is_revoked() {
    let node = Node::start().await;
    let ws = node.workspace("garden", &[]).await;
    let invites = format!("/node/v1/workspaces/{ws}/invites");
    let bare = answer(&invites, node.request(Method::POST, &invites)).await.with(201);
    assert!(
        bare["ticket"].as_str().is_some_and(|ticket| !ticket.is_empty())
            && bare["invite_id"].as_str().unwrap().starts_with("inv_")
    );
    for body in [
        json!({ "expires_in_seconds": 0 }),
        json!({ "expires_in_seconds": -1 }),
        json!({ "expires_in_seconds": 365 * 86_400 + 1 }),
        json!({ "expires_in_seconds": u64::MAX }),
        json!({ "max_uses": 0 }),
        json!({ "max_uses": 1001 }),
        json!({ "max_uses": 1.5 }),
        json!({ "role": "owner" }),
        json!({ "role": "king" }),
        json!([]),
    ] {
        let answer = node.post(&invites, &body).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{body}: {}", answer.text);
    }
    let invite = node
        .post(&invites, &json!({ "role": "guest", "expires_in_seconds": 365 * 86_400, "max_uses": 1000 }))
        .await
        .with(201);
    let one = format!("{invites}/{}", invite["invite_id"].as_str().unwrap());
    node.delete(&one).await.with(204);

    let other = Node::start().await;
    other
        .post("/node/v1/join", &json!({ "ticket": invite["ticket"] }))
        .await
        .refuses(403, "ticket_not_valid");
    for ticket in ["", "nonsense", "muster1", &invite["ticket"].as_str().unwrap()[..60]] {
        other.post("/node/v1/join", &json!({ "ticket": ticket })).await.refuses(400, "not_a_ticket");
    }
    other.post("/node/v1/join", &json!({})).await.refuses(400, "invalid_request");
    let guest = node.post(&invites, &json!({ "role": "guest" })).await.with(201);
    let joined = other.post("/node/v1/join", &json!({ "ticket": guest["ticket"] })).await.with(200);
    assert_eq!((&joined["id"], &joined["role"]), (&json!(ws), &json!("guest")));
    let third = Node::start().await;
    third.post("/node/v1/join", &json!({ "ticket": guest["ticket"] })).await.refuses(403, "ticket_not_valid");
    // A guest may not write, invite or remove.
    let at = |rest: &str| format!("/node/v1/workspaces/{ws}/{rest}");
    other.post(&at("agents"), &json!({ "name": "spy" })).await.with(201);
    other
        .post(&at("sessions"), &json!({ "agent_name": "spy", "channel": "lab" }))
        .await
        .refuses(403, "not_allowed");
    let channel = json!({ "channel": "lab", "workspace_id": ws, "purpose": "p", "agent_names": ["spy"] });
    other
        .post(&format!("/api/workspaces/{ws}/network/channels"), &channel)
        .await
        .refuses(403, "network_write_forbidden");
    other.post(&at("invites"), &json!({})).await.refuses(403, "not_allowed");
    other.delete(&at(&format!("members/{}", node.peer_id))).await.refuses(403, "not_allowed");
    let members = node.get(&at("members")).await.with(200);
    let guest = members["members"]
        .as_array()
        .unwrap()
        .iter()
        .find(|member| member["peer_id"] == other.peer_id.as_str())
        .unwrap();
    assert_eq!((&guest["role"], &guest["online"]), (&json!("guest"), &json!(true)));
    let peers = node.get("/node/v1/peers").await.with(200);
    let peers = peers["peers"].as_array().unwrap().iter();
    let shared: Vec<_> = peers.filter(|peer| peer["peer_id"] == other.peer_id.as_str()).collect();
    assert!(!shared.is_empty() && shared.iter().all(|peer| peer["workspaces"] == json!([ws])), "{shared:?}");
    // Its role is changed by whoever stands above it, here and elsewhere.
    let one = |who: &Node| at(&format!("members/{}", who.peer_id));
    let member = json!({ "role": "member" });
    other.patch(&one(&node), &member).await.refuses(403, "not_allowed");
    other.patch(&one(&other), &member).await.refuses(403, "not_allowed");
    node.patch(&one(&node), &member).await.refuses(403, "not_allowed");
    for wrong in
        [json!({}), json!({ "role": "owner" }), json!({ "role": "" }), json!({ "role": 3 }), json!([])]
    {
        node.patch(&one(&other), &wrong).await.refuses(400, "invalid_request");
    }
    node.patch(&at("members/nonsense"), &member).await.refuses(404, "unknown_member");
    node.patch(&one(&third), &member).await.refuses(404, "unknown_member");
    let elsewhere = format!("/node/v1/workspaces/nowhere/members/{}", other.peer_id);
    node.patch(&elsewhere, &member).await.refuses(404, "unknown_workspace");
    node.patch(&one(&other), &member).await.with(204);
    node.patch(&one(&other), &member).await.with(204);
    let members = node.get(&at("members")).await.with(200);
    let roles = members["members"].as_array().unwrap().iter();
    let roles: Vec<_> = roles.map(|member| (member["peer_id"].clone(), member["role"].clone())).collect();
    assert!(roles.contains(&(json!(other.peer_id), json!("member"))), "{roles:?}");
    node.delete(&at(&format!("members/{}", other.peer_id))).await.with(204);
    node.delete(&at(&format!("members/{}", other.peer_id))).await.refuses(404, "unknown_member");
    // Nobody is at the address of a node that went away.
    let ticket = node.post(&invites, &json!({})).await.with(201)["ticket"].clone();
    drop(node.kill().await);
    third.post("/node/v1/join", &json!({ "ticket": ticket })).await.refuses(504, "inviter_unreachable");
}

#[tokio::test]
async fn a_backup_is_written_once_and_is_a_store() {
    let node = Node::start().await;
    node.workspace("garden", &[]).await;
    let path = node.home.path().join("copy.redb").display().to_string();
    let made = node.post("/node/v1/backups", &json!({ "path": path })).await.with(201);
    assert_eq!((&made["path"], &made["verified"]), (&json!(path), &json!(true)));
    assert_eq!(made["bytes"], std::fs::metadata(&path).unwrap().len());
    for bad in [
        json!({ "path": path }),
        json!({ "path": "relative.redb" }),
        json!({ "path": " " }),
        json!({}),
        json!({ "path": "/nowhere/at/all.redb" }),
        json!({ "path": node.home.path().display().to_string() }),
    ] {
        node.post("/node/v1/backups", &bad).await.refuses(400, "invalid_request");
    }
    node.get("/node/v1/status").await.with(200);
}

#[tokio::test]
async fn status_readiness_and_metrics_tell_how_the_node_fares() {
    let node = Node::start_with(&["node.name=ada"]).await;
    node.workspace("garden", &[]).await;
    assert_eq!(node.get("/healthz").await.with(200), json!({ "status": "ok" }));
    assert_eq!(node.get("/readyz").await.with(200), json!({ "ready": true, "missing": [] }));
    let status = node.get("/node/v1/status").await.with(200);
    assert_eq!(
        (&status["name"], &status["peer_id"], &status["workspaces"], &status["peers"]),
        (&json!("ada"), &json!(node.peer_id), &json!(1), &json!(0))
    );
    assert_eq!(status["api_addresses"], json!([node.base]));
    assert!(status["mesh_addresses"][0].as_str().unwrap().ends_with(&node.peer_id));

    node.get("/nowhere").await.refuses(404, "unknown_path");
    node.get("/api/network/status").await.with(200);
    let odd = Method::from_bytes(b"BREW").unwrap();
    answer("/node/v1/status", node.request(odd, "/node/v1/status")).await.refuses(405, "method_not_allowed");
    let metrics = node.get("/metrics").await;
    assert!(metrics.headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let samples = samples(&metrics.text);
    let value = |name: &str| {
        samples
            .iter()
            .find(|(sample, _)| sample == name)
            .unwrap_or_else(|| panic!("{name}: {}", metrics.text))
            .1
    };
    assert_eq!(value(r#"muster_http_requests_total{door="network",method="GET",status="2xx"}"#), 1.0);
    assert_eq!(value(r#"muster_http_requests_total{door="node",method="GET",status="4xx"}"#), 1.0);
    assert_eq!(value(r#"muster_http_requests_total{door="node",method="other",status="4xx"}"#), 1.0);
    assert_eq!(value(r#"muster_http_request_duration_seconds_count{door="network"}"#), 1.0);
    assert!(samples.iter().any(|(name, _)| name.starts_with("libp2p_")), "the mesh's own");
}

/// Names with labels, and values, of OpenMetrics text; panics at a line that is none.
fn samples(text: &str) -> Vec<(String, f64)> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
        })
        .collect()
}

#[tokio::test]
async fn the_documents_are_served_without_a_token_and_hold_no_secret() {
    let node = Node::start().await;
    for path in ["/docs/", "/docs/node.json", "/docs/network.json", "/docs/node.yaml", "/docs/network.yaml"] {
        let got = answer(path, node.bare(Method::GET, path)).await;
        assert!(got.status == 200 && !got.text.contains(&node.token), "{path}");
        assert_eq!(got.headers["x-content-type-options"], "nosniff");
    }
}
