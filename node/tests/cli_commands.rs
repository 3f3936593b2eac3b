//! The real program against a small HTTP server that answers as a node does.
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, fail by panicking")]

use std::{
    net::SocketAddr,
    path::Path,
    process::{Output, Stdio},
};

use axum::{
    Json, Router,
    extract::{Path as Segment, RawQuery},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::{delete, get, patch, post},
};
use muster::data_folder::{DataFolder, Run};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::Command,
};

/// A data folder held as by a running node, with a server where `run.json` says.
struct Stub {
    _home: tempfile::TempDir,
    folder: DataFolder,
    listener: TcpListener,
}

impl Stub {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(home.path().join("node")).unwrap();
        folder.operator_token(&|bytes| bytes.fill(7)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        announce(&folder, listener.local_addr().unwrap());
        Self { _home: home, folder, listener }
    }

    /// Serves `routes` while the program runs with these arguments.
    async fn run(self, routes: Router, arguments: &[&str]) -> Output {
        let mut command = muster(self.folder.path(), arguments);
        tokio::select! {
            output = command.output() => output.unwrap(),
            _ = async { axum::serve(self.listener, routes).await } => unreachable!("the server outlives the program"),
        }
    }
}

fn announce(folder: &DataFolder, http: SocketAddr) {
    let run = Run { pid: std::process::id(), peer_id: "12D3KooW".into(), http, listen: Vec::new() };
    folder.announce(&run).unwrap();
}

fn muster(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    // A system without certificates, as small ones are.
    command.env_clear().env("SSL_CERT_FILE", "/nowhere").env("SSL_CERT_DIR", "/nowhere");
    command.arg("--data").arg(folder).args(arguments).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| panic!("not JSON: {}", text(bytes)))
}

fn problem(status: StatusCode, body: Value) -> impl IntoResponse {
    (status, [(CONTENT_TYPE, "application/problem+json")], body.to_string())
}

/// Two workspaces, so that a name is needed.
fn workspaces() -> Router {
    let list = json!({ "workspaces": [
        { "id": "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV", "name": "garden", "role": "owner", "members": 2 },
        { "id": "ws_01BX5ZZKBKACTAV9WEVGEMMVRZ", "name": "kitchen", "role": "member", "members": 3 },
    ]});
    Router::new().route("/node/v1/workspaces", get(move || async { Json(list) }))
}

#[tokio::test]
async fn status_shows_the_node_and_sends_the_operator_token() {
    let routes = Router::new().route(
        "/node/v1/status",
        get(|headers: HeaderMap| async move {
            let token = headers["authorization"].to_str().unwrap();
            assert!(token.starts_with("Bearer mop_") && token.len() == "Bearer mop_".len() + 43, "{token}");
            Json(json!({ "peer_id": "12D3KooWAda", "name": "ada\u{1b}[2J", "version": "0.1.0", "peers": 3,
                         "api_addresses": ["http://127.0.0.1:7117"] }))
        }),
    );
    let output = Stub::new().await.run(routes, &["status"]).await;
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(shown.contains("12D3KooWAda") && shown.contains("http://127.0.0.1:7117"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "a node's name commands the terminal");
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason_and_the_command_that_mends_it() {
    let refuse = || async {
        problem(
            StatusCode::FORBIDDEN,
            json!({ "title": "Ticket refused", "status": 403, "code": "ticket_used_up",
                    "detail": "It was used by another node.", "suggested_command": "muster invite" }),
        )
    };
    let routes = Router::new().route("/node/v1/join", post(refuse));
    let output = Stub::new().await.run(routes.clone(), &["join", "T"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "error: Ticket refused: It was used by another node.\n  try: muster invite\n"
    );

    let output = Stub::new().await.run(routes, &["-o", "json", "join", "T"]).await;
    let error = json_of(&output.stderr);
    assert_eq!((&error["code"], &error["status"]), (&json!("ticket_used_up"), &json!(403)));
    assert!(output.stdout.is_empty());
}

#[tokio::test]
async fn a_workspace_is_found_by_its_name_and_an_argument_stays_one_part_of_the_path() {
    let routes = workspaces().route(
        "/node/v1/workspaces/{workspace}/members/{peer}",
        delete(|Segment((workspace, peer)): Segment<(String, String)>| async move {
            assert_eq!(workspace, "ws_01BX5ZZKBKACTAV9WEVGEMMVRZ");
            assert_eq!(peer, "a/../b?c");
            StatusCode::NO_CONTENT
        }),
    );
    let arguments = ["-o", "json", "member", "remove", "-w", "kitchen", "a/../b?c"];
    let output = Stub::new().await.run(routes, &arguments).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(json_of(&output.stdout), json!({ "removed": "a/../b?c" }));
}

#[tokio::test]
async fn a_role_is_set_by_its_name() {
    let routes = workspaces().route(
        "/node/v1/workspaces/{workspace}/members/{peer}",
        patch(|Segment((_, peer)): Segment<(String, String)>, Json(body): Json<Value>| async move {
            assert_eq!((peer.as_str(), body), ("P", json!({ "role": "guest" })));
            StatusCode::NO_CONTENT
        }),
    );
    let arguments = ["-o", "json", "member", "role", "-w", "kitchen", "P", "guest"];
    let output = Stub::new().await.run(routes, &arguments).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(json_of(&output.stdout), json!({ "peer_id": "P", "role": "guest" }));
}

#[tokio::test]
async fn a_memo_is_written_with_what_the_options_say() {
    let routes = workspaces().route(
        "/node/v1/workspaces/{workspace}/memos",
        post(|Json(body): Json<Value>| async move {
            let wished = json!({
                "title": "Use redb", "abstract": "One file.", "knowledge_type": "decision",
                "key_points": ["small", "ours"], "tags": ["storage"], "source_message_ids": ["msg_1"],
            });
            assert_eq!(body, wished);
            (StatusCode::CREATED, Json(json!({ "id": "memo_1" })))
        }),
    );
    let arguments = [
        "memo",
        "write",
        "-w",
        "kitchen",
        "Use redb",
        "--abstract",
        "One file.",
        "--kind",
        "decision",
        "--point",
        "small",
        "--point",
        "ours",
        "--tag",
        "storage",
        "--source",
        "msg_1",
    ];
    let output = Stub::new().await.run(routes, &arguments).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "written as memo_1\n");
}

#[tokio::test]
async fn with_several_workspaces_one_has_to_be_named() {
    let output = Stub::new().await.run(workspaces(), &["session", "list"]).await;
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("-w ID") && error.contains("garden (ws_01ARZ3NDEKTSV4RRFFQ69G5FAV)"), "{error}");
}

#[tokio::test]
async fn an_invitation_is_a_ticket_alone_on_its_line_and_a_code_to_scan() {
    let routes = Router::new().route(
        "/node/v1/workspaces/{workspace}/invites",
        post(|Json(wish): Json<Value>| async move {
            assert_eq!(wish, json!({ "role": "guest", "expires_in_seconds": 604_800, "max_uses": 3 }));
            let ticket = "muster1abcdef";
            let answer =
                json!({ "invite_id": "inv_1", "ticket": ticket, "expires_at": "2030-01-01T00:00:00Z" });
            (StatusCode::CREATED, Json(answer))
        }),
    );
    let id = "ws_01BX5ZZKBKACTAV9WEVGEMMVRZ";
    let arguments = ["invite", "-w", id, "--role", "guest", "--expires", "7d", "--uses", "3"];
    let output = Stub::new().await.run(routes, &arguments).await;
    let shown = text(&output.stdout);
    assert_eq!(shown.lines().next(), Some("muster1abcdef"), "{}", text(&output.stderr));
    assert!(shown.contains('█') && shown.contains("--revoke inv_1"), "{shown}");
}

#[tokio::test]
async fn a_message_without_a_thread_opens_one() {
    let routes = Router::new().route(
        "/api/workspaces/{workspace}/network/send",
        post(|Json(wish): Json<Value>| async move {
            assert_eq!((&wish["kind"], &wish["surface"]), (&json!("say"), &json!("thread")));
            assert!(wish["thread_id"].as_str().unwrap().starts_with("thread_"));
            assert_eq!(wish["body"], json!({ "text": "hello" }));
            Json(json!({ "message": { "id": "msg-1", "session_id": "s", "channel": "c", "kind": "say" } }))
        }),
    );
    let id = "ws_01BX5ZZKBKACTAV9WEVGEMMVRZ";
    let arguments = ["send", "-w", id, "--session", "s", "--channel", "c", "hello"];
    let output = Stub::new().await.run(routes, &arguments).await;
    assert!(text(&output.stdout).starts_with("sent msg-1 in thread_"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn work_is_asked_for_in_the_direct_room_of_session_and_peer() {
    let routes = Router::new()
        .route(
            "/api/workspaces/{workspace}/network/channels/{channel}/directs/resolve",
            post(|Json(wish): Json<Value>| async move {
                assert_eq!(wish, json!({ "session_id": "s", "peer_id": "bob.sess-2" }));
                Json(json!({ "direct": { "direct_id": "direct_1" } }))
            }),
        )
        .route(
            "/api/workspaces/{workspace}/network/send",
            post(|Json(wish): Json<Value>| async move {
                for (name, value) in [
                    ("surface", "direct"),
                    ("direct_id", "direct_1"),
                    ("to", "bob.sess-2"),
                    ("work_id", "w-1"),
                ] {
                    assert_eq!(wish[name], value, "{name}");
                }
                assert!(wish.get("thread_id").is_none());
                Json(json!({ "message": { "id": "msg-1" } }))
            }),
        );
    let id = "ws_01BX5ZZKBKACTAV9WEVGEMMVRZ";
    let arguments =
        ["send", "-w", id, "-s", "s", "-c", "c", "--to", "bob.sess-2", "--direct", "--work", "w-1", "please"];
    let output = Stub::new().await.run(routes, &arguments).await;
    assert_eq!(text(&output.stdout), "sent msg-1 in direct_1\n", "{}", text(&output.stderr));
}

#[tokio::test]
async fn what_was_said_in_a_room_is_shown_oldest_first_and_cannot_command_the_terminal() {
    let routes = Router::new().route(
        "/api/workspaces/{workspace}/network/channels/{channel}/directs/{room}/messages",
        get(|Segment((_, channel, room)): Segment<(String, String, String)>, query: RawQuery| async move {
            assert_eq!((channel.as_str(), room.as_str()), ("a/b", "direct_1"));
            assert_eq!(query.0.as_deref(), Some("limit=2&before=m-3&work_id=w+1"));
            Json(json!({ "messages": [
                { "message_id": "m-1", "timestamp": "2030-01-01T00:00:00Z", "peer_from": "ada.sess-1", "kind": "say",
                  "text": "one\u{1b}[2J", "body": {} },
                { "message_id": "m-2", "timestamp": "2030-01-01T00:00:01Z", "peer_from": "bob.sess-2", "kind": "trace",
                  "preview_text": "nearly", "body": { "state": "working" } },
            ]}))
        }),
    );
    let id = "ws_01BX5ZZKBKACTAV9WEVGEMMVRZ";
    let arguments = [
        "room", "read", "-w", id, "-c", "a/b", "direct_1", "--before", "m-3", "--limit", "2", "--work", "w 1",
    ];
    let output = Stub::new().await.run(routes, &arguments).await;
    let shown = text(&output.stdout);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines.len() == 3 && lines[1].contains("m-1") && lines[2].ends_with("working: nearly"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "a message commands the terminal");
}

#[tokio::test]
async fn without_a_node_the_exit_code_is_three_and_the_token_is_shown_to_nobody() {
    // The node died: run.json stays, nobody holds the folder, and somebody else has its port.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = tempfile::tempdir().unwrap();
    {
        let folder = DataFolder::open(home.path()).unwrap();
        folder.operator_token(&|bytes| bytes.fill(7)).unwrap();
    }
    let run = Run { pid: 1, peer_id: "x".into(), http: listener.local_addr().unwrap(), listen: Vec::new() };
    std::fs::write(home.path().join("run.json"), serde_json::to_vec(&run).unwrap()).unwrap();
    tokio::select! {
        output = async { muster(home.path(), &["status"]).output().await } => {
            let output = output.unwrap();
            assert_eq!(output.status.code(), Some(3));
            let error = text(&output.stderr);
            assert!(error.contains(&format!("muster up --data '{}'", home.path().display())), "{error}");
        }
        _ = listener.accept() => panic!("a stranger was asked"),
    }
}

#[tokio::test]
async fn tail_resumes_after_the_last_event_when_the_stream_breaks() {
    let stub = Stub::new().await;
    let routes = Router::new().route(
        "/node/v1/events",
        get(|headers: HeaderMap| async move {
            let after = headers.get("last-event-id").map(|id| id.to_str().unwrap().to_owned());
            let next = after.map_or(1, |id| id.parse::<u64>().unwrap() + 1);
            // One event, and the stream ends.
            let body = format!(": hello\n\nid: {next}\nevent: message\ndata: {{\"n\":{next}}}\n\n");
            ([(CONTENT_TYPE, "text/event-stream")], body)
        }),
    );
    let mut child = muster(stub.folder.path(), &["-o", "json", "tail"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let read = async {
        for n in 1..=3_u64 {
            let line: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
            assert_eq!(line, json!({ "id": n.to_string(), "event": "message", "data": { "n": n } }));
        }
    };
    tokio::select! {
        () = read => {}
        _ = async { axum::serve(stub.listener, routes).await } => unreachable!("the server outlives the program"),
    }
}

#[tokio::test]
async fn config_show_says_where_each_value_comes_from() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("muster.toml"), "[log]\nformat = 'json'\n").unwrap();
    let mut command = muster(home.path(), &["-o", "json", "config", "show", "--set", "mesh.mdns=false"]);
    let output = command.env("MUSTER_STORAGE_CACHE_MIB", "8").output().await.unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rows = json_of(&output.stdout);
    let row = |key: &str| rows.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone();
    for (key, value, origin) in [
        ("log.format", json!("json"), "file"),
        ("storage.cache_mib", json!(8), "env"),
        ("mesh.mdns", json!(false), "flag"),
        ("http.listen", json!("127.0.0.1:7117"), "default"),
    ] {
        assert_eq!((&row(key)["value"], &row(key)["origin"]), (&value, &json!(origin)), "{key}");
    }
    let shown = muster(home.path(), &["config", "show"]).output().await.unwrap();
    assert!(text(&shown.stdout).contains("network.queue_depth"));
}

#[tokio::test]
async fn the_network_has_the_settings_of_n136() {
    let home = tempfile::tempdir().unwrap();
    let shown = muster(home.path(), &["-o", "json", "config", "show"]).output().await.unwrap();
    let rows = json_of(&shown.stdout);
    for (key, value) in [
        ("network.enabled", json!(true)),
        ("network.default_channel", json!("default")),
        ("network.greet_interval_seconds", json!(30)),
        ("network.max_replay_age_seconds", json!(300)),
        ("network.queue_depth", json!(100)),
    ] {
        let row = rows.as_array().unwrap().iter().find(|row| row["key"] == key);
        assert_eq!(row.unwrap_or_else(|| panic!("no {key}"))["value"], value, "{key}");
    }
    for (setting, good) in [
        ("network.greet_interval_seconds=1", true),
        ("network.queue_depth=1", true),
        ("network.greet_interval_seconds=0", false),
        ("network.max_replay_age_seconds=0", false),
        ("network.queue_depth=0", false),
        ("network.default_channel=BAD!", false),
    ] {
        let output = muster(home.path(), &["config", "show", "--set", setting]).output().await.unwrap();
        assert_eq!(output.status.success(), good, "{setting}: {}", text(&output.stderr));
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_exit_code_two_in_json_too() {
    let home = tempfile::tempdir().unwrap();
    let output = muster(home.path(), &["-o", "json", "invite", "--expires", "soon"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = json_of(&output.stderr);
    assert_eq!(error["code"], "usage");
    assert!(error["error"].as_str().unwrap().contains("such as 24h"), "{error}");
}

#[tokio::test]
async fn up_refuses_to_expose_unencrypted_http() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("never made");
    let output = muster(&folder, &["up", "--http", "0.0.0.0:0"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("http.insecure_expose=true"), "{}", text(&output.stderr));
    assert!(!folder.exists());
}
