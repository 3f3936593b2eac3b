//! In which order channels are listed, and that neither lists nor writes cost more the longer the history is.
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, fail by panicking")]

mod doors;

use doors::{Node, Place, but, ids};
use serde_json::json;

#[tokio::test]
async fn channels_are_listed_by_their_newest_time_and_those_without_one_last_n112_n113() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let sessions = format!("/node/v1/workspaces/{}/sessions", place.workspace);
    for channel in ["idle-b", "idle-a"] {
        let wish = json!({
            "channel": channel, "workspace_id": place.workspace, "purpose": "none", "agent_names": ["writer"],
        });
        let made = node.post(&place.at("channels"), &wish).await.with(201);
        let session = made["channel"]["sessions"][0]["id"].as_str().unwrap().to_owned();
        node.delete(&format!("{sessions}/{session}")).await.with(204);
    }
    // Spoken in, and left by everybody: what was said keeps its time.
    let wish = json!({ "agent_name": "writer", "channel": "attic" });
    let left = node.post(&sessions, &wish).await.with(201);
    let say = but(place.say("bye"), json!({ "session_id": left["id"], "channel": "attic" }));
    place.send(&node, &say).await.with(200);
    node.delete(&format!("{sessions}/{}", left["id"].as_str().unwrap())).await.with(204);
    // Greets are known since the start only (N-138), so the idle ones have no time any more.
    let node = Node::start_in(node.kill().await, &[]).await;
    let channels = || async { node.get(&place.at("channels")).await.with(200)["channels"].clone() };
    let list = channels().await;
    assert_eq!(ids(&list, "channel"), ["builders", "attic", "idle-a", "idle-b"]);
    for idle in &list.as_array().unwrap()[2..] {
        assert!(idle.get("last_activity_at").is_none() && idle.get("last_presence_at").is_none(), "{idle}");
    }
    // A new peer makes its channel the newest.
    let wish = json!({ "agent_name": "writer", "channel": "idle-b" });
    node.post(&sessions, &wish).await.with(201);
    assert_eq!(ids(&channels().await, "channel"), ["idle-b", "builders", "attic", "idle-a"]);
}

/// Messages in the long history, with texts of so many bytes.
const HISTORY: usize = 1500;
const TEXT: usize = 4096;

/// What a program read from files so far, by its system's account.
fn bytes_read(node: &Node) -> u64 {
    let account = std::fs::read_to_string(format!("/proc/{}/io", node.pid())).unwrap();
    let line = account.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    line.parse().unwrap()
}

#[tokio::test]
async fn neither_lists_nor_writes_read_the_history_n139() {
    // With a cache far smaller than the history, what is needed of it has to be read again.
    let settings = ["network.greet_interval_seconds=600", "storage.cache_mib=1"];
    let node = Node::start_with(&settings).await;
    let place = Place::new(&node).await;
    let text = "x".repeat(TEXT);
    let message = place.say(&text);
    for _ in 0..HISTORY / 100 {
        let sends = (0..100).map(|_| place.send(&node, &message));
        for answer in futures::future::join_all(sends).await {
            answer.with(200);
        }
    }
    let mut measured = Vec::new();
    for path in [
        "channels",
        "channels/builders",
        "channels/builders/threads",
        "channels/builders/threads/thread_one",
        "channels/builders/threads/thread_one/messages?limit=5",
        "channels/builders/directs",
        "peers",
    ] {
        let before = bytes_read(&node);
        node.get(&place.at(path)).await.with(200);
        measured.push((path, bytes_read(&node) - before));
    }
    for path in ["send, the first time", "send, the second time"] {
        let before = bytes_read(&node);
        place.send(&node, &place.say("one more")).await.with(200);
        measured.push((path, bytes_read(&node) - before));
    }
    let channel = node.get(&place.at("channels/builders")).await.with(200);
    assert_eq!(channel["channel"]["message_count"], HISTORY + 2);
    let history = (HISTORY * TEXT) as u64;
    println!("{history} bytes of history, {measured:?} read");
    assert!(measured.iter().any(|(_, bytes)| *bytes > 0), "nothing was measured");
    assert!(measured.iter().all(|(_, bytes)| *bytes < history / 10), "{measured:?}");
}
