//! The stream of events of the real program: where it starts, how it goes on, what filters keep.
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, fail by panicking")]

mod doors;

use std::time::Duration;

use doors::{Node, PATIENCE, Place, answer};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

/// One block of the stream: its id, and its kind and data when it is an event.
#[derive(Debug, Clone, PartialEq)]
struct Block {
    id: Option<u64>,
    event: Option<(String, Value)>,
}

struct Stream {
    response: Response,
    rest: String,
}

impl Stream {
    async fn open(node: &Node, query: &str, after: Option<u64>) -> Self {
        let mut request = node.request(Method::GET, &format!("/node/v1/events{query}")).timeout(PATIENCE * 2);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self { response, rest: String::new() }
    }

    /// The next block, comments left out.
    async fn next(&mut self) -> Block {
        loop {
            while let Some((block, rest)) = self.rest.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.rest = rest;
                if !block.starts_with(':') {
                    return read(&block);
                }
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("the stream goes on").unwrap();
            self.rest.push_str(std::str::from_utf8(&chunk.expect("the stream does not end")).unwrap());
        }
    }

    /// The next numbered event, ids that stand alone passed over.
    async fn event(&mut self) -> (u64, String, Value) {
        loop {
            if let Block { id: Some(id), event: Some((kind, data)) } = self.next().await {
                return (id, kind, data);
            }
        }
    }

    /// The next event of kind `presence`, which has no number.
    async fn presence(&mut self) -> Value {
        loop {
            if let Block { id: None, event: Some((kind, data)) } = self.next().await {
                assert_eq!(kind, "presence");
                return data;
            }
        }
    }
}

fn read(block: &str) -> Block {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Block {
        id: field("id").map(|id| id.parse().unwrap()),
        event: field("data")
            .map(|data| (field("event").unwrap().to_owned(), serde_json::from_str(data).unwrap())),
    }
}

#[tokio::test]
async fn a_stream_first_says_where_it_is_so_that_nothing_is_missed_before_the_first_event() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let mut stream = Stream::open(&node, "", None).await;
    let first = stream.next().await;
    assert!(first.event.is_none());
    let here = first.id.unwrap();
    drop(stream); // the connection is lost before anything happened
    place.send(&node, &place.say("meanwhile")).await.with(200);
    let mut again = Stream::open(&node, "", Some(here)).await;
    assert_eq!(again.next().await, Block { id: Some(here), event: None });
    let (number, kind, data) = again.event().await;
    assert_eq!((number, kind.as_str(), &data["preview_text"]), (here + 1, "message", &json!("meanwhile")));
    assert_eq!(data["workspace_id"], place.workspace.as_str());
}

#[tokio::test]
async fn events_come_in_order_without_gaps_and_survive_a_crash() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let mut live = Stream::open(&node, "", None).await;
    let here = live.next().await.id.unwrap();
    for number in 0..150 {
        place.send(&node, &place.say(&format!("word {number}"))).await.with(200);
    }
    // The reviewer's inbox holds a hundred: the oldest fifty are pushed out, and that is told, too (N-97).
    let mut heard = Vec::new();
    for _ in 0..200 {
        heard.push(live.event().await);
    }
    let overflows =
        heard.iter().filter(|(_, kind, data)| kind == "delivery" && data["reason"] == "queue_overflow");
    assert_eq!(overflows.count(), 50);
    let numbers: Vec<_> = heard.iter().map(|(number, _, _)| *number).collect();
    assert_eq!(numbers, (here + 1..=here + 200).collect::<Vec<_>>());
    let node = Node::start_in(node.kill().await, &[]).await;
    let mut again = Stream::open(&node, "", Some(here)).await;
    for event in &heard {
        assert_eq!(&again.event().await, event, "told again as it was");
    }
    // An id of the future is one of another store: the stream goes on from now.
    let mut future = Stream::open(&node, "", Some(u64::MAX)).await;
    assert_eq!(future.next().await.id, Some(here + 200));
}

#[tokio::test]
async fn filters_keep_what_was_asked_for_and_the_place_moves_on_all_the_same() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let mut messages =
        Stream::open(&node, &format!("?workspace_id={}&kinds=message,%20session", place.workspace), None)
            .await;
    let here = messages.next().await.id.unwrap();
    let other = node.workspace("other", &["coder"]).await;
    let mut last = here;
    let founded = timeout(PATIENCE, async {
        while last < here + 2 {
            let block = messages.next().await;
            assert!(block.event.is_none(), "{block:?}");
            last = block.id.unwrap();
        }
    });
    founded.await.expect("the place moves on over what was dropped");
    node.post(
        &format!("/node/v1/workspaces/{other}/sessions"),
        &json!({ "agent_name": "coder", "channel": "lab" }),
    )
    .await
    .with(201);
    place.send(&node, &place.say("kept")).await.with(200);
    let (_, kind, data) = messages.event().await;
    assert_eq!((kind.as_str(), &data["preview_text"]), ("message", &json!("kept")));
    let mut elsewhere = Stream::open(&node, "?workspace_id=other", Some(0)).await;
    let (_, kind, data) = elsewhere.event().await;
    assert_eq!((kind.as_str(), &data["workspace_id"]), ("workspace", &json!(other)));
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused() {
    let node = Node::start().await;
    let path = "/node/v1/events";
    for bad in ["x", "-1", "1.5"] {
        let request = node.request(Method::GET, path).header("last-event-id", bad);
        answer(path, request).await.refuses(400, "invalid_request");
    }
    node.get("/node/v1/events?workspace_id=nowhere").await.refuses(404, "unknown_workspace");
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive() {
    let node = Node::start().await;
    let mut stream = Stream::open(&node, "?kinds=nothing", None).await;
    stream.next().await;
    let alive =
        timeout(Duration::from_secs(15), stream.response.chunk()).await.expect("a comment comes in time");
    assert!(alive.unwrap().unwrap().starts_with(b":"));
}

#[tokio::test]
async fn a_node_that_is_told_to_stop_does_not_wait_for_its_listeners() {
    let node = Node::start().await;
    let mut stream = Stream::open(&node, "", None).await;
    stream.next().await;
    let ended = timeout(Duration::from_secs(20), node.terminate()).await.expect("it stops");
    assert!(ended.success());
}

#[tokio::test]
async fn a_listener_hears_who_comes_and_who_leaves_elsewhere_n54() {
    let settings = ["network.greet_interval_seconds=1"];
    let (node, other) = (Node::start_with(&settings).await, Node::start_with(&settings).await);
    let place = Place::new(&node).await;
    let invites = format!("/node/v1/workspaces/{}/invites", place.workspace);
    let invite = node.post(&invites, &json!({ "role": "member" })).await.with(201);
    let mut stream = Stream::open(&node, "?kinds=presence", None).await;
    stream.next().await;
    other.post("/node/v1/join", &json!({ "ticket": invite["ticket"] })).await.with(200);
    let agents = format!("/node/v1/workspaces/{}/agents", place.workspace);
    other.post(&agents, &json!({ "name": "guest" })).await.with(201);
    let sessions = format!("/node/v1/workspaces/{}/sessions", place.workspace);
    let start = json!({ "agent_name": "guest", "channel": "builders" });
    let session = other.post(&sessions, &start).await.with(201);

    let came = stream.presence().await;
    assert_eq!(came["presence_state"], "active");
    assert_eq!((&came["channel"], &came["node"]), (&json!("builders"), &json!(other.peer_id)));
    assert_eq!(came["peer_id"], session["peer_id"]);
    other.delete(&format!("{sessions}/{}", session["id"].as_str().unwrap())).await.with(204);
    let left = stream.presence().await;
    assert_eq!((&left["presence_state"], &left["peer_id"]), (&json!("left"), &session["peer_id"]));

    // A node that crashes says no goodbye: its peers expire.
    other.post(&sessions, &start).await.with(201);
    assert_eq!(stream.presence().await["presence_state"], "active");
    drop(other.kill().await);
    assert_eq!(stream.presence().await["presence_state"], "expired");
}

#[tokio::test]
async fn a_listener_hears_how_work_goes() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let mut stream = Stream::open(&node, "?kinds=work", None).await;
    stream.next().await;
    let open = doors::but(place.say("do it"), json!({ "work_id": "job", "to": place.reviewer_peer() }));
    place.send(&node, &open).await.with(200);
    let opened = stream.event().await.2;
    assert_eq!((&opened["work_id"], &opened["state"]), (&json!("job"), &json!("submitted")));
    assert_eq!(opened["target_peer_id"], place.reviewer_peer());
    let trace = doors::but(open, json!({ "kind": "trace", "body": { "state": "working" } }));
    place.send(&node, &trace).await.with(200);
    assert_eq!(stream.event().await.2["state"], "working");
}
