//! What the tests of the doors share: the real program, up in a folder of its own, and one way to ask it.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary takes its part of it")]
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, fail by panicking")]

pub mod team;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// No step of a test takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A node that is up, with its folder. It goes when this is dropped.
pub struct Node {
    pub base: String,
    pub peer_id: String,
    pub token: String,
    pub home: tempfile::TempDir,
    http: reqwest::Client,
    child: Child,
}

/// What a door answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// Null when the body is no JSON.
    pub json: Value,
}

impl Answer {
    /// The stable code of a failure; empty when there is none.
    pub fn code(&self) -> &str {
        let code = self.json["code"].as_str().or(self.json["diagnostic"]["code"].as_str());
        code.unwrap_or_default()
    }

    /// The answer's JSON, if the status is this one.
    #[track_caller]
    pub fn with(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json
    }

    /// Asserts a failure.
    #[track_caller]
    pub fn refuses(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
    }
}

/// Asks again until the answer is as wanted: what one node says takes a moment to the other.
pub async fn until<T: PartialEq + std::fmt::Debug>(wanted: T, mut look: impl AsyncFnMut() -> T) {
    let look = async {
        loop {
            let found = look().await;
            if found == wanted {
                return;
            }
            pause().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("not {wanted:?} in time"));
}

/// A client without TLS, for which a system needs no certificates.
pub fn plain() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(PATIENCE).build().unwrap()
}

impl Node {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A node with these settings, each `key=value`.
    pub async fn start_with(settings: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings).await
    }

    /// A node in a folder that may have been one's before.
    pub async fn start_in(home: tempfile::TempDir, settings: &[&str]) -> Self {
        Self::start_told(home, settings, &[]).await
    }

    /// The same with these variables of the environment, and no others.
    pub async fn start_told(home: tempfile::TempDir, settings: &[&str], told: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command
            .env_clear()
            .envs(told.iter().copied())
            .args(["-o", "json", "--data"])
            .arg(home.path().join("node"));
        command.args(["up", "--no-mdns", "--http", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0"]);
        for setting in ["log.level=error"].iter().chain(settings) {
            command.args(["--set", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it comes up in time");
        let said: Value = serde_json::from_str(&line.unwrap().expect("it says where it is")).unwrap();
        let token = std::fs::read_to_string(home.path().join("node/operator.token")).unwrap();
        Self {
            base: said["http"].as_str().unwrap().to_owned(),
            peer_id: said["peer_id"].as_str().unwrap().to_owned(),
            token: token.trim().to_owned(),
            home,
            http: plain(),
            child,
        }
    }

    /// Ends it as a crash would, and gives back its folder.
    pub async fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().await.unwrap();
        self.home
    }

    /// Tells it to stop, and waits until it has.
    pub async fn terminate(mut self) -> std::process::ExitStatus {
        self.signal("TERM").await;
        self.child.wait().await.unwrap()
    }

    /// The same, and gives back its folder.
    pub async fn terminate_in_place(mut self) -> tempfile::TempDir {
        self.signal("TERM").await;
        self.child.wait().await.unwrap();
        self.home
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the process is not waited for yet")
    }

    /// Sends its process a signal, such as `STOP`.
    pub async fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(sent.await.unwrap().success());
    }

    /// A request with the operator token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(&self.token)
    }

    /// A request without any credential.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(path, self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(path, self.request(Method::POST, path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        answer(path, self.request(Method::DELETE, path)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        answer(path, self.request(Method::PATCH, path).json(body)).await
    }

    /// Founds a workspace and registers agents in it.
    pub async fn workspace(&self, name: &str, agents: &[&str]) -> String {
        let founded = self.post("/node/v1/workspaces", &json!({ "name": name })).await.with(201);
        let id = founded["id"].as_str().unwrap().to_owned();
        for agent in agents {
            let agents = format!("/node/v1/workspaces/{id}/agents");
            self.post(&agents, &json!({ "name": agent })).await.with(201);
        }
        id
    }
}

/// Sends a request and looks at what every answer has to be: never 500, a failure in its door's shape.
pub async fn answer(path: &str, request: RequestBuilder) -> Answer {
    let got = request.send().await.unwrap();
    let (status, headers) = (got.status().as_u16(), got.headers().clone());
    let text = got.text().await.unwrap();
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    let answer = Answer { status, headers, text, json };
    check_shape(path, &answer);
    answer
}

fn check_shape(path: &str, answer: &Answer) {
    assert_ne!(answer.status, 500, "{path}: {}", answer.text);
    if answer.status < 400 || answer.json.get("ready").is_some() {
        return;
    }
    let kind = answer.headers["content-type"].to_str().unwrap();
    assert!(answer.headers.contains_key("x-request-id"), "{path}");
    if path.starts_with("/api/v1/workspaces/") {
        assert_eq!(kind, "application/json", "{path}: {}", answer.text);
        assert!(
            answer.json["error"].as_str().is_some_and(|text| !text.is_empty()),
            "{path}: {}",
            answer.text
        );
        assert!(!answer.text.contains("threa_"), "{path} echoes a key: {}", answer.text);
    } else if path.starts_with("/api/") && !path.starts_with("/api/v1/") {
        let diagnostic = &answer.json["diagnostic"];
        assert!(kind == "application/json" && answer.json["error"].is_string(), "{path}: {}", answer.text);
        assert_eq!(diagnostic["category"], "network", "{path}: {}", answer.text);
        for member in ["id", "code", "title", "message", "severity", "data_freshness"] {
            assert!(
                diagnostic[member].as_str().is_some_and(|text| !text.trim().is_empty()),
                "{}",
                answer.text
            );
        }
    } else {
        assert_eq!(kind, "application/problem+json", "{path}: {}", answer.text);
        assert_eq!(answer.json["status"], answer.status, "{path}: {}", answer.text);
        assert_eq!(answer.json["type"], format!("urn:muster:problem:{}", answer.code()), "{path}");
        for member in ["title", "code", "detail"] {
            assert!(answer.json[member].as_str().is_some_and(|text| !text.is_empty()), "{}", answer.text);
        }
    }
}

/// A workspace with a channel `builders` in which a coder and a reviewer are at work.
pub struct Place {
    pub workspace: String,
    pub coder: String,
    pub reviewer: String,
}

impl Place {
    pub async fn new(node: &Node) -> Self {
        let workspace = node.workspace("garden", &["coder", "reviewer", "writer"]).await;
        let channels = format!("/api/workspaces/{workspace}/network/channels");
        let builders = json!({
            "channel": "builders", "workspace_id": workspace, "purpose": "to build",
            "agent_names": ["coder", "reviewer"],
        });
        let made = node.post(&channels, &builders).await.with(201);
        let session = |agent: &str| {
            let sessions = made["channel"]["sessions"].as_array().unwrap();
            let found = sessions.iter().find(|session| session["agent_name"] == agent).unwrap();
            found["id"].as_str().unwrap().to_owned()
        };
        let (coder, reviewer) = (session("coder"), session("reviewer"));
        Self { workspace, coder, reviewer }
    }

    /// A path of the Network door in the workspace.
    pub fn at(&self, rest: &str) -> String {
        format!("/api/workspaces/{}/network/{rest}", self.workspace)
    }

    /// The peer id of the coder.
    pub fn coder_peer(&self) -> String {
        format!("coder.{}", self.coder)
    }

    /// The peer id of the reviewer.
    pub fn reviewer_peer(&self) -> String {
        format!("reviewer.{}", self.reviewer)
    }

    /// A good message of the coder in thread `thread_one`.
    pub fn say(&self, text: &str) -> Value {
        json!({
            "session_id": self.coder, "channel": "builders", "kind": "say", "surface": "thread",
            "thread_id": "thread_one", "body": { "text": text },
        })
    }

    /// Starts a writer in the channel, too: its session, and its peer id.
    pub async fn writer(&self, node: &Node) -> (String, String) {
        let sessions = format!("/node/v1/workspaces/{}/sessions", self.workspace);
        let wish = json!({ "agent_name": "writer", "channel": "builders" });
        let started = node.post(&sessions, &wish).await.with(201);
        let text = |name: &str| started[name].as_str().unwrap().to_owned();
        (text("id"), text("peer_id"))
    }

    /// The direct room of a session and a peer.
    pub async fn room(&self, node: &Node, session: &str, peer: &str) -> Value {
        let wish = json!({ "session_id": session, "peer_id": peer });
        let mut answer = node.post(&self.at("channels/builders/directs/resolve"), &wish).await.with(200);
        answer["direct"].take()
    }

    /// A good message of the coder to the reviewer in their direct room.
    pub async fn say_alone(&self, node: &Node, text: &str) -> Value {
        let room = self.room(node, &self.coder, &self.reviewer_peer()).await;
        json!({
            "session_id": self.coder, "channel": "builders", "kind": "say", "surface": "direct",
            "direct_id": room["direct_id"], "to": self.reviewer_peer(), "body": { "text": text },
        })
    }

    /// Sends it.
    pub async fn send(&self, node: &Node, message: &Value) -> Answer {
        node.post(&self.at("send"), message).await
    }
}

/// Waits a moment between two looks at something that is awaited.
#[expect(clippy::disallowed_methods, reason = "the program under test runs in real time")]
pub async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// A member of each item of a list.
pub fn ids(list: &Value, name: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
}

/// `base` with the members of `change` in place of its own; null takes a member away.
pub fn but(mut base: Value, change: Value) -> Value {
    let Value::Object(change) = change else { panic!("a change is an object") };
    for (name, value) in change {
        if value.is_null() {
            base.as_object_mut().unwrap().remove(&name);
        } else {
            base[&name] = value;
        }
    }
    base
}

/// `shared/tools/contract.py`: where `MUSTER_SHARED` says, or beside a folder above this one.
pub fn contract_tool() -> Option<PathBuf> {
    let named =
        std::env::var_os("MUSTER_SHARED").map(|folder| PathBuf::from(folder).join("tools/contract.py"));
    let beside = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared/tools/contract.py"));
    named.into_iter().chain(beside).find(|tool| tool.is_file())
}
