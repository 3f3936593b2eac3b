//! Sending and reading through the Network door of the real program: what a session may say, where it shows, and
//! whom it reaches.

mod doors;

use doors::{Node, Place, but, ids};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

async fn inbox(node: &Node, place: &Place, session: &str) -> Value {
    node.get(&place.at(&format!("inbox?session_id={session}"))).await.with(200)["messages"].take()
}

async fn messages(node: &Node, place: &Place, thread: &str) -> Value {
    let path = place.at(&format!("channels/builders/threads/{thread}/messages"));
    node.get(&path).await.with(200)["messages"].take()
}

/// Looks again and again until `look` finds something.
async fn until<T, F: Future<Output = Option<T>>>(look: impl Fn() -> F) -> T {
    let seen = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(doors::PATIENCE, seen).await.expect("it is seen in time")
}

#[tokio::test]
async fn a_thread_is_opened_by_its_first_message_and_public_also_with_a_target_n29_n30_n31() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let (writer, _) = place.writer(&node).await;
    let first = but(place.say("  The title \n"), json!({ "id": "m-1", "to": place.reviewer_peer() }));
    place.send(&node, &first).await.with(200);
    place.send(&node, &but(place.say("more"), json!({ "id": "m-2", "session_id": writer }))).await.with(200);
    let thread = node.get(&place.at("channels/builders/threads/thread_one")).await.with(200)["thread"].take();
    let said = messages(&node, &place, "thread_one").await;
    for (name, value) in [
        ("root_message_id", json!("m-1")),
        ("title", json!("The title")),
        ("opened_by_peer_id", json!(place.coder_peer())),
        ("opened_session_id", json!(place.coder)),
        ("opened_at", said[0]["timestamp"].clone()),
        ("last_activity_at", said[1]["timestamp"].clone()),
        ("last_message_preview", json!("more")),
    ] {
        assert_eq!(thread[name], value, "{name}: {thread}");
    }
    assert_eq!(ids(&said, "message_id"), ["m-1", "m-2"], "N-31: it stays public");
    assert_eq!(ids(&inbox(&node, &place, &place.reviewer).await, "id"), ["m-1", "m-2"]);
    assert_eq!(ids(&inbox(&node, &place, &writer).await, "id"), [""; 0], "N-31: and is delivered to one");
    // The same thread id in another channel is another thread.
    let elsewhere = node.get(&place.at("channels/attic/threads/thread_one")).await;
    elsewhere.refuses(404, "network_not_found");
}

#[tokio::test]
async fn a_conversation_moves_to_a_room_by_a_new_message_alone_n34() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let open =
        but(place.say("please"), json!({ "id": "m-1", "to": place.reviewer_peer(), "work_id": "w-1" }));
    place.send(&node, &open).await.with(200);
    let links = json!({ "reply_to": "m-1", "trace_id": "t-1", "causation_id": "m-1" });
    let moved = but(place.say_alone(&node, "in here").await, json!({ "id": "m-2", "work_id": "w-2" }));
    let moved = but(moved, links.clone());
    place.send(&node, &moved).await.with(200);
    let path = format!("channels/builders/directs/{}/messages", moved["direct_id"].as_str().unwrap());
    let in_room = node.get(&place.at(&path)).await.with(200);
    assert_eq!(ids(&in_room["messages"], "message_id"), ["m-2"]);
    for (name, value) in links.as_object().unwrap() {
        assert_eq!(in_room["messages"][0][name], *value, "{name}");
    }
    assert_eq!(ids(&messages(&node, &place, "thread_one").await, "message_id"), ["m-1"], "nothing follows");
    for work in ["w-1", "w-2"] {
        let work = node.get(&place.at(&format!("work/{work}"))).await.with(200);
        assert_eq!(work["work"]["state"], "submitted");
    }
}

#[tokio::test]
async fn a_caller_chooses_neither_sender_nor_time_nor_proof_and_is_told_what_was_sent_n80_n85() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let chosen = json!({
        "id": "m-1", "from": place.reviewer_peer(), "ts": 1, "protocol": "other/v9", "proof": { "by": "me" },
        "to": place.reviewer_peer(), "work_id": "w-1", "reply_to": "m-0", "trace_id": "t", "causation_id": "c",
        "expires_at": 4_000_000_000_u64, "ext": { "agh.workflow_id": "w" },
    });
    let sent = place.send(&node, &but(place.say("mine"), chosen.clone())).await.with(200);
    let envelope = &inbox(&node, &place, &place.reviewer).await[0];
    assert_eq!(
        (&envelope["from"], &envelope["protocol"]),
        (&json!(place.coder_peer()), &json!("agh-network/v0"))
    );
    assert!(envelope["ts"].as_i64().unwrap() > 1 && envelope["proof"] != chosen["proof"], "{envelope}");
    for name in ["id", "to", "work_id", "reply_to", "trace_id", "causation_id", "expires_at", "ext"] {
        assert_eq!(sent["message"][name], chosen[name], "{name}");
    }
    for (name, value) in [
        ("workspace_id", json!(place.workspace)),
        ("session_id", json!(place.coder)),
        ("channel", json!("builders")),
        ("surface", json!("thread")),
        ("thread_id", json!("thread_one")),
        ("kind", json!("say")),
    ] {
        assert_eq!(sent["message"][name], value, "{name}");
    }
    for absent in ["body", "direct_id", "from", "ts", "proof"] {
        assert!(sent["message"].get(absent).is_none(), "{absent}: {sent}");
    }
}

#[tokio::test]
async fn members_of_ext_are_carried_untouched_and_the_known_ones_counted_n10_n11_n127() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let ext = json!({
        "agh.workflow_id": "w-1", "agh.handoff_version": 2, "agh.handoff_digest": "sha256:0", "x.mine": { "deep": [1, null] },
    });
    place.send(&node, &but(place.say("hi"), json!({ "ext": ext, "nonsense": 5 }))).await.with(200);
    let envelope = &inbox(&node, &place, &place.reviewer).await[0];
    assert_eq!(envelope["ext"], ext);
    assert!(envelope.get("nonsense").is_none(), "N-10");
    let status = &node.get("/api/network/status").await.with(200)["network"];
    let counted =
        ["workflow_tagged_events", "handoff_tagged_events"].map(|name| status[name].as_u64().unwrap());
    assert_eq!(counted, [2, 2], "N-127: sent once and received once");
}

#[tokio::test]
async fn what_was_answered_with_200_is_in_the_timeline_after_a_crash_n82() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let alone = but(place.say_alone(&node, "alone").await, json!({ "id": "d-1" }));
    place.send(&node, &but(place.say("in public"), json!({ "id": "m-1" }))).await.with(200);
    place.send(&node, &alone).await.with(200);
    let node = Node::start_in(node.kill().await, &[]).await;
    assert_eq!(ids(&messages(&node, &place, "thread_one").await, "message_id"), ["m-1"]);
    let path = format!("channels/builders/directs/{}/messages", alone["direct_id"].as_str().unwrap());
    assert_eq!(ids(&node.get(&place.at(&path)).await.with(200)["messages"], "message_id"), ["d-1"]);
    assert_eq!(ids(&inbox(&node, &place, &place.reviewer).await, "id"), ["m-1", "d-1"]);
}

#[tokio::test]
async fn nothing_is_accepted_on_its_own_n90_n92() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let open =
        but(place.say("please"), json!({ "id": "m-1", "to": place.reviewer_peer(), "work_id": "w-1" }));
    place.send(&node, &open).await.with(200);
    let undirected =
        json!({ "session_id": place.reviewer, "kind": "trace", "to": null, "body": { "state": "working" } });
    place.send(&node, &but(open.clone(), but(undirected, json!({ "id": "m-2" })))).await.with(200);
    assert_eq!(
        inbox(&node, &place, &place.coder).await,
        json!([]),
        "no receipt, and a trace without `to` reaches nobody"
    );
    assert_eq!(ids(&inbox(&node, &place, &place.reviewer).await, "id"), ["m-1"]);
    assert_eq!(ids(&messages(&node, &place, "thread_one").await, "message_id"), ["m-1", "m-2"]);
}

#[tokio::test]
async fn all_six_kinds_are_sent_and_a_whois_is_answered_in_the_inbox_n86_n90() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let work =
        but(place.say("please"), json!({ "to": place.reviewer_peer(), "work_id": "w-1", "id": "m-1" }));
    let about =
        |kind: &str, body: Value| but(work.clone(), json!({ "kind": kind, "id": null, "body": body }));
    let document = json!({ "id": "fix", "summary": "Fixes", "outcome": "A patch" });
    let document: muster_protocol::network::Capability = serde_json::from_value(document).unwrap();
    let apart = |kind: &str, body: Value| json!({ "session_id": place.coder, "channel": "builders", "kind": kind, "body": body });
    let card = json!({
        "peer_id": place.coder_peer(), "profiles_supported": [], "capabilities": [], "artifacts_supported": [],
        "trust_modes_supported": [], "display_name": "coder",
    });
    for message in [
        work.clone(),
        about("capability", json!({ "capability": document.with_own_digest() })),
        about("receipt", json!({ "for_id": "m-1", "status": "accepted" })),
        about("trace", json!({ "state": "working" })),
        apart("greet", json!({ "peer_card": card, "summary": "here" })),
        but(apart("whois", json!({ "type": "request", "query": "reviewer" })), json!({ "id": "who" })),
    ] {
        let sent = place.send(&node, &message).await.with(200);
        assert_eq!(sent["message"]["kind"], message["kind"]);
    }
    let answer = until(|| async {
        let waiting = inbox(&node, &place, &place.coder).await;
        waiting.as_array().unwrap().iter().find(|one| one["kind"] == "whois").cloned()
    })
    .await;
    assert_eq!(
        (&answer["reply_to"], &answer["from"]),
        (&json!("who"), &json!(place.reviewer_peer())),
        "{answer}"
    );
    let waiting = ids(&inbox(&node, &place, &place.reviewer).await, "kind");
    assert_eq!(
        waiting,
        ["say", "capability", "receipt", "trace"],
        "N-90: greets and questions wait for nobody"
    );
}

#[tokio::test]
async fn kinds_are_counted_in_the_order_of_n115() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let open = but(place.say("please"), json!({ "to": place.reviewer_peer(), "work_id": "w-1" }));
    place.send(&node, &open).await.with(200);
    let public =
        |kind: &str, body: Value| but(open.clone(), json!({ "kind": kind, "to": null, "body": body }));
    place.send(&node, &public("trace", json!({ "state": "working" }))).await.with(200);
    place.send(&node, &public("receipt", json!({ "for_id": "m-1", "status": "accepted" }))).await.with(200);
    place.send(&node, &place.say("one")).await.with(200);
    place.send(&node, &place.say("two")).await.with(200);
    let channel = &node.get(&place.at("channels/builders")).await.with(200)["channel"];
    assert_eq!(
        channel["kind_counts"],
        json!([{ "kind": "say", "count": 2 }, { "kind": "receipt", "count": 1 }, { "kind": "trace", "count": 1 }]),
        "N-114: the directed say that opened the work is not among them"
    );
}

#[tokio::test]
async fn whoever_went_away_may_send_again_and_each_message_is_whole_and_once_n83() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let address = node.base.strip_prefix("http://").unwrap();
    let message = |number: u32| but(place.say("gone"), json!({ "id": format!("m-{number:02}") }));
    for number in 0..20 {
        let body = message(number).to_string();
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            place.at("send"),
            body.len()
        );
        // Some go in the middle of what they say, some right after it; the answer nobody hears.
        let said = request.len() - if number % 4 == 0 { 9 } else { 0 };
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        client.write_all(&request.as_bytes()[..said]).await.unwrap();
    }
    for number in (0..20).chain(0..20) {
        place.send(&node, &message(number)).await.with(200);
    }
    let expected: std::collections::BTreeSet<_> = (0..20).map(|number| format!("m-{number:02}")).collect();
    for list in [
        ids(&messages(&node, &place, "thread_one").await, "message_id"),
        ids(&inbox(&node, &place, &place.reviewer).await, "id"),
    ] {
        assert_eq!(list.len(), 20, "{list:?}");
        assert_eq!(list.into_iter().collect::<std::collections::BTreeSet<_>>(), expected);
    }
}

#[tokio::test]
async fn greets_are_counted_and_not_kept_n54_n138() {
    let node = Node::start_with(&["network.greet_interval_seconds=1"]).await;
    let place = Place::new(&node).await;
    let greets = until(|| async {
        let channel = node.get(&place.at("channels/builders")).await.with(200);
        channel["channel"]["presence_count"].as_u64().filter(|greets| *greets >= 6)
    })
    .await;
    let status = &node.get("/api/network/status").await.with(200)["network"];
    assert_eq!(status["conversation_messages"], 0, "after {greets} greets: {status}");
    assert!(status["messages_sent"].as_u64().unwrap() >= greets, "N-125: {status}");
}
