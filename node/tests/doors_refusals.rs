//! Every refusal that the document of the Network door lists, asked for from the real program: its status, its
//! diagnostic, and no answer 500 (N-129 to N-135).
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, fail by panicking")]

mod doors;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use doors::{Answer, Node, Place, answer, but};
use muster_http_api::network::diagnostics;
use reqwest::Method;
use serde_json::{Value, json};

const INVALID: &str = "network_invalid_request";
const NOT_FOUND: &str = "network_not_found";
const TOO_LARGE: &str = "network_payload_too_large";

/// Refusals that are documented and that no request brings about, with the reason.
const NEVER: [(&str, u16, &str); 2] = [
    ("*", 410, "workspaces here have no folder that could be missing"),
    (
        "resolveNetworkDirectRoom",
        409,
        "the id is derived from the pair: two pairs of one id are a collision of SHA-256",
    ),
];

/// Codes that no 4xx of a single node in one workspace carries, with the reason.
const ELSEWHERE: [(&str, &str); 5] = [
    ("network_ready", "nothing is wrong"),
    ("network_disabled", "503, tested where the network is switched off"),
    ("network_unavailable", "503, of a node that is busy or stopping"),
    ("network_program_not_started", "503, tested with programs that do not start"),
    ("network_write_forbidden", "needs a guest or a removed member: two nodes"),
];

/// A request for an operation, and the refusal it gets.
struct Case {
    operation: &'static str,
    method: Method,
    path: String,
    body: Option<Value>,
    status: u16,
    code: &'static str,
}

fn get(operation: &'static str, path: String, status: u16, code: &'static str) -> Case {
    Case { operation, method: Method::GET, path, body: None, status, code }
}

fn post(operation: &'static str, path: String, body: Value, status: u16, code: &'static str) -> Case {
    Case { operation, method: Method::POST, path, body: Some(body), status, code }
}

/// The operations: id, method, path, and the 4xx statuses listed.
fn documented() -> BTreeMap<String, (Method, String, BTreeSet<u16>)> {
    let document = muster_http_api::openapi("network").unwrap().to_json().unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(id) = operation["operationId"].as_str() else { continue };
            let statuses = operation["responses"].as_object().unwrap().keys();
            let refusals = statuses.map(|status| status.parse().unwrap()).filter(|s| (400..500).contains(s));
            let method = method.to_uppercase().parse().unwrap();
            operations.insert(id.to_owned(), (method, path.clone(), refusals.collect()));
        }
    }
    operations
}

/// A path of the document with good names in it.
fn filled(path: &str, place: &Place) -> String {
    let names = [
        ("workspace_id", place.workspace.as_str()),
        ("channel", "builders"),
        ("thread_id", "thread_one"),
        ("direct_id", "direct_00000000000000000000000000000000"),
        ("peer_id", "coder.sess-0"),
        ("work_id", "w-1"),
    ];
    names.iter().fold(path.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value))
}

/// What is wrong with a request of its own, besides where it comes from.
async fn cases(node: &Node, place: &Place) -> Vec<Case> {
    let (writer, writer_peer) = place.writer(node).await;
    let at = |rest: &str| place.at(rest);
    let nowhere = |rest: &str| format!("/api/workspaces/ws_nowhere/network/{rest}");
    let huge = || json!("x".repeat(5 << 20));
    let channel = json!({ "channel": "lab", "workspace_id": place.workspace, "purpose": "p", "agent_names": ["coder"] });
    let resolve = json!({ "session_id": place.coder, "peer_id": place.reviewer_peer() });
    let mut cases = vec![
        get("listNetworkChannels", nowhere("channels"), 404, NOT_FOUND),
        get("getNetworkChannel", at("channels/BAD!"), 400, INVALID),
        get("getNetworkChannel", at("channels/nobody"), 404, NOT_FOUND),
        post(
            "createNetworkChannel",
            at("channels"),
            but(channel.clone(), json!({ "purpose": " " })),
            400,
            INVALID,
        ),
        post(
            "createNetworkChannel",
            at("channels"),
            but(channel.clone(), json!({ "agent_names": ["locked"] })),
            422,
            "network_provider_auth_failed",
        ),
        post("createNetworkChannel", nowhere("channels"), channel, 404, NOT_FOUND),
        post("createNetworkChannel", at("channels"), huge(), 413, TOO_LARGE),
        get("listNetworkThreads", at("channels/builders/threads?limit=0"), 400, INVALID),
        get("listNetworkThreads", at("channels/builders/threads?after=thread_nothing"), 404, NOT_FOUND),
        get("getNetworkThread", at("channels/builders/threads/bad"), 400, INVALID),
        get("getNetworkThread", at("channels/builders/threads/thread_nothing"), 404, NOT_FOUND),
        get(
            "listNetworkThreadMessages",
            at("channels/builders/threads/thread_one/messages?kind=x"),
            400,
            INVALID,
        ),
        get(
            "listNetworkThreadMessages",
            at("channels/builders/threads/thread_one/messages?after=x"),
            404,
            NOT_FOUND,
        ),
        get("listNetworkDirectRooms", at("channels/builders/directs?limit=x"), 400, INVALID),
        get("listNetworkDirectRooms", at("channels/builders/directs?after=x"), 404, NOT_FOUND),
        get("getNetworkDirectRoom", at("channels/builders/directs/bad"), 400, INVALID),
        get(
            "getNetworkDirectRoom",
            at(&format!("channels/builders/directs/direct_{:032x}", 7)),
            404,
            NOT_FOUND,
        ),
        get("listNetworkDirectRoomMessages", at("channels/builders/directs/bad/messages"), 400, INVALID),
        get(
            "listNetworkDirectRoomMessages",
            at(&format!("channels/builders/directs/direct_{:032x}/messages", 7)),
            404,
            NOT_FOUND,
        ),
        get("listNetworkInbox", at("inbox"), 400, INVALID),
        get("listNetworkInbox", at("inbox?session_id=nothing"), 404, "network_session_unknown"),
        get("listNetworkPeers", at("peers?channel=BAD!"), 400, INVALID),
        get("listNetworkPeers", nowhere("peers"), 404, NOT_FOUND),
        get("getNetworkPeer", at("peers/%20"), 400, INVALID),
        get("getNetworkPeer", at("peers/nobody.sess-0"), 404, NOT_FOUND),
        get("getNetworkWork", at("work/a%2Fb"), 400, INVALID),
        get("getNetworkWork", at("work/w-nothing"), 404, NOT_FOUND),
    ];
    for (change, status, code) in [
        (json!({ "session_id": " " }), 400, INVALID),
        (json!({ "peer_id": "Bad Peer" }), 400, INVALID),
        (json!({ "peer_id": place.coder_peer() }), 400, INVALID),
        (json!({ "session_id": "nothing" }), 404, "network_session_unknown"),
        (json!({ "peer_id": "nobody.sess-0" }), 404, "network_target_unreachable"),
        (huge(), 413, TOO_LARGE),
    ] {
        let body = if change.is_string() { change } else { but(resolve.clone(), change) };
        cases.push(post(
            "resolveNetworkDirectRoom",
            at("channels/builders/directs/resolve"),
            body,
            status,
            code,
        ));
    }

    // What is stored decides about these: a message, work that is open, and work that has ended.
    let said = but(place.say("once"), json!({ "id": "m-1" }));
    let open = but(place.say("please"), json!({ "to": place.reviewer_peer(), "work_id": "w-open" }));
    let ended = but(open.clone(), json!({ "work_id": "w-ended" }));
    let trace = |work: &str, state: &str| {
        but(open.clone(), json!({ "kind": "trace", "work_id": work, "body": { "state": state } }))
    };
    for message in [&said, &open, &ended, &trace("w-ended", "completed")] {
        place.send(node, message).await.with(200);
    }
    let alone = place.say_alone(node, "psst").await;
    for (message, status, code) in [
        (but(said.clone(), json!({ "kind": "recipe" })), 400, INVALID),
        (
            but(said.clone(), json!({ "id": "m-2", "body": { "text": "x", "password": "hunter22" } })),
            400,
            "network_secret_refused",
        ),
        (but(alone.clone(), json!({ "to": null })), 400, INVALID),
        (but(open.clone(), json!({ "work_id": "w-new", "to": null })), 400, INVALID),
        (but(open.clone(), json!({ "to": writer_peer })), 400, INVALID),
        (but(open.clone(), json!({ "session_id": writer })), 403, "network_work_actor_forbidden"),
        (but(said.clone(), json!({ "session_id": "nothing" })), 404, "network_session_unknown"),
        (but(said.clone(), json!({ "channel": "empty" })), 404, "network_session_unknown"),
        (but(said.clone(), json!({ "id": "m-2", "to": "nobody.sess-0" })), 404, "network_target_unreachable"),
        (trace("w-new", "working"), 404, NOT_FOUND),
        (but(said.clone(), json!({ "body": { "text": "twice" } })), 409, "network_message_id_conflict"),
        (but(alone, json!({ "to": writer_peer })), 409, "network_direct_room_collision"),
        (but(open.clone(), json!({ "thread_id": "thread_two" })), 409, "network_work_container_mismatch"),
        (trace("w-open", "submitted"), 409, "network_work_transition_invalid"),
        (trace("w-ended", "failed"), 409, "network_work_closed"),
        (but(said, json!({ "id": "m-2", "body": { "text": "x".repeat(1 << 20) } })), 413, TOO_LARGE),
        (huge(), 413, TOO_LARGE),
    ] {
        cases.push(post("sendNetworkMessage", at("send"), message, status, code));
    }
    cases
}

/// What was seen, and the one place that looks at an answer: its status, its code, and what the code means.
#[derive(Default)]
struct Seen {
    refusals: BTreeSet<(String, u16)>,
    codes: BTreeSet<String>,
}

impl Seen {
    fn check(&mut self, operation: &str, answer: &Answer, status: u16, code: &str) {
        assert_eq!((answer.status, answer.code()), (status, code), "{operation}: {}", answer.text);
        let entry = diagnostics::find(code).unwrap();
        let diagnostic = &answer.json["diagnostic"];
        assert_eq!(
            (&diagnostic["title"], &diagnostic["id"]),
            (&json!(entry.title), &json!(entry.id)),
            "N-130"
        );
        assert_eq!(diagnostic["message"], answer.json["error"], "N-131: a 4xx explains itself in both");
        self.refusals.insert((operation.to_owned(), status));
        self.codes.insert(code.to_owned());
    }
}

#[tokio::test]
async fn every_refusal_in_the_document_is_given_with_its_diagnostic_n129_n130_n131_n134_n135() {
    if !Path::new("/bin/sh").exists() {
        return println!("SKIPPED: there is no /bin/sh for a program that refuses");
    }
    let home = tempfile::tempdir().unwrap();
    DirBuilder::new().mode(0o700).create(home.path().join("node")).unwrap();
    let refusing = "[providers.locked]\ncommand = [\"/bin/sh\", \"-c\", \"exit 77\"]\n";
    std::fs::write(home.path().join("node/muster.toml"), refusing).unwrap();
    let node = Node::start_in(home, &[]).await;
    let place = Place::new(&node).await;
    let agents = format!("/node/v1/workspaces/{}/agents", place.workspace);
    node.post(&agents, &json!({ "name": "locked", "provider": "locked" })).await.with(201);
    let operations = documented();
    assert_eq!(operations.len(), 16);
    let mut seen = Seen::default();
    for case in cases(&node, &place).await {
        let request = node.request(case.method, &case.path);
        let request = match &case.body {
            Some(body) => request.json(body),
            None => request,
        };
        seen.check(case.operation, &answer(&case.path, request).await, case.status, case.code);
    }
    // Where a request comes from, and who asks: the same for all.
    let closed = Node::start_with(&["network.require_token=true"]).await;
    for (operation, (method, path, _)) in &operations {
        let path = filled(path, &place);
        let request = || node.bare(method.clone(), &path).json(&json!({}));
        for (header, value, code) in [
            ("origin", "http://evil.example", "network_origin_forbidden"),
            ("host", "evil.example", "network_host_unknown"),
        ] {
            seen.check(operation, &answer(&path, request().header(header, value)).await, 403, code);
        }
        for token in ["wrong", ""] {
            let request = closed.bare(method.clone(), &path).bearer_auth(token);
            let refused = answer(&path, request).await;
            assert!(refused.headers.contains_key("www-authenticate"), "{operation}");
            seen.check(operation, &refused, 401, "network_token_required");
        }
        let refused = answer(&path, node.request(Method::PUT, &path).json(&json!({}))).await;
        assert!(refused.headers.contains_key("allow"), "{operation}");
        assert_eq!((refused.status, refused.code()), (405, "network_method_not_allowed"), "{operation}");
    }
    for (operation, (_, _, statuses)) in &operations {
        for status in statuses {
            let never = NEVER.iter().any(|(of, code, _)| ["*", operation].contains(of) && code == status);
            let given = seen.refusals.contains(&(operation.clone(), *status));
            assert!(given != never, "{operation} {status}: given {given}, and never to be given {never}");
        }
    }
    for entry in diagnostics::ALL.iter().filter(|entry| entry.code != "network_method_not_allowed") {
        let elsewhere = ELSEWHERE.iter().any(|(code, _)| *code == entry.code);
        assert!(seen.codes.contains(entry.code) != elsewhere, "{}", entry.code);
    }
}

#[tokio::test]
async fn a_refusal_never_repeats_a_credential_n131() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let secret = "agh_claim_0123456789abcdef0123456789abcdef";
    let paths = [
        format!("channels/{secret}!/directs"),
        format!("channels/builders/directs/{secret}"),
        format!("channels/builders/directs?after={secret}"),
        format!("channels/builders/directs?limit={secret}"),
        format!("work/{secret}%2F"),
    ];
    for path in paths {
        let refused = node.get(&place.at(&path)).await;
        assert!((400..500).contains(&refused.status), "{path}: {}", refused.text);
        assert!(!refused.text.contains(secret), "{path}: {}", refused.text);
    }
    for (path, body) in [
        (
            "channels/builders/directs/resolve",
            json!({ "session_id": secret, "peer_id": place.reviewer_peer() }),
        ),
        (
            "channels/builders/directs/resolve",
            json!({ "session_id": place.coder, "peer_id": format!("{secret}!") }),
        ),
        (
            "send",
            but(
                place.say("x"),
                json!({ "to": secret, "work_id": secret, "kind": "trace", "body": { "state": "working" } }),
            ),
        ),
        (
            "send",
            but(
                place.say("x"),
                json!({ "work_id": secret, "kind": "trace", "body": { "state": "working" } }),
            ),
        ),
    ] {
        let refused = node.post(&place.at(path), &body).await;
        assert!((400..500).contains(&refused.status), "{path}: {}", refused.text);
        assert!(!refused.text.contains(secret), "{path} {body}: {}", refused.text);
    }
}
