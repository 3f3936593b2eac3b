//! Direct rooms through the Network door of the real program, rule by rule of `semantics/network.md`.
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, fail by panicking")]

mod doors;

use doors::{Node, Place, but, ids};
use muster_protocol::network::{ChannelName, Pair, PeerName, WorkspaceRef};
use serde_json::{Value, json};

const RESOLVE: &str = "channels/builders/directs/resolve";

/// The id of a room, from its rule alone (N-36).
fn derived(place: &Place, one: &str, other: &str) -> String {
    let pair = Pair::of(&PeerName::parse(one).unwrap(), &PeerName::parse(other).unwrap()).unwrap();
    let workspace = WorkspaceRef::parse(&place.workspace).unwrap();
    pair.room(&workspace, &ChannelName::parse("builders").unwrap()).to_string()
}

fn room_path(place: &Place, id: &Value, rest: &str) -> String {
    place.at(&format!("channels/builders/directs/{}{rest}", id.as_str().unwrap()))
}

#[tokio::test]
async fn a_room_is_that_of_its_two_peers_whoever_asks_n35_n36_n38_n39() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let room = place.room(&node, &place.coder, &place.reviewer_peer()).await;
    let mut pair = [place.coder_peer(), place.reviewer_peer()];
    pair.sort();
    for (name, value) in [
        ("workspace_id", json!(place.workspace)),
        ("channel", json!("builders")),
        ("direct_id", json!(derived(&place, &pair[0], &pair[1]))),
        ("peer_a", json!(pair[0])),
        ("peer_b", json!(pair[1])),
        ("message_count", json!(0)),
        ("open_work_count", json!(0)),
        ("last_activity_at", room["opened_at"].clone()),
    ] {
        assert_eq!(room[name], value, "{name}: {room}");
    }
    assert!(room["opened_at"].is_string() && room.get("last_message_preview").is_none(), "{room}");
    let asked_back = json!({ "session_id": format!(" {} ", place.reviewer), "peer_id": place.coder_peer() });
    assert_eq!(node.post(&place.at(RESOLVE), &asked_back).await.with(200)["direct"], room);
    assert_eq!(node.get(&room_path(&place, &room["direct_id"], "")).await.with(200)["direct"], room);
    let list = node.get(&place.at("channels/builders/directs")).await.with(200);
    assert_eq!(list, json!({ "directs": [room] }));
}

#[tokio::test]
async fn resolving_refuses_what_n38_lists_in_its_order() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let good = json!({ "session_id": place.coder, "peer_id": place.reviewer_peer() });
    let attic = node
        .post(
            &format!("/node/v1/workspaces/{}/sessions", place.workspace),
            &json!({ "agent_name": "writer", "channel": "attic" }),
        )
        .await
        .with(201);
    for (change, status, code) in [
        (json!({ "session_id": null }), 400, "network_invalid_request"),
        (json!({ "session_id": "  ", "peer_id": "nobody.sess-0" }), 400, "network_invalid_request"),
        (json!({ "session_id": 5 }), 400, "network_invalid_request"),
        (json!({ "peer_id": null }), 400, "network_invalid_request"),
        (json!({ "peer_id": "Not A Peer", "session_id": "sess-nobody" }), 400, "network_invalid_request"),
        (json!({ "peer_id": place.coder_peer() }), 400, "network_invalid_request"),
        (json!({ "session_id": "sess-nobody" }), 404, "network_session_unknown"),
        (json!({ "session_id": "sess-nobody", "peer_id": "no.sess-0" }), 404, "network_session_unknown"),
        (json!({ "session_id": attic["id"] }), 404, "network_session_unknown"),
        (json!({ "peer_id": "nobody.sess-0" }), 404, "network_target_unreachable"),
        (json!({ "peer_id": attic["peer_id"] }), 404, "network_target_unreachable"),
    ] {
        let answer = node.post(&place.at(RESOLVE), &but(good.clone(), change.clone())).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{change}: {}", answer.text);
    }
    let at = |workspace: &str, channel: &str| {
        format!("/api/workspaces/{workspace}/network/channels/{channel}/directs/resolve")
    };
    // The channel's grammar comes before the workspace, the workspace before the body (N-134).
    let invalid = "network_invalid_request";
    node.post(&at("nowhere", "BAD!"), &json!({})).await.refuses(400, invalid);
    node.post(&at("nowhere", "builders"), &json!({})).await.refuses(404, "network_not_found");
    let path = place.at(RESOLVE);
    for broken in ["{", "", "[]", "5"] {
        let request = node.request(reqwest::Method::POST, &path);
        let request = request.header("content-type", "application/json").body(broken);
        doors::answer(&path, request).await.refuses(400, invalid);
    }
    node.post(&at(&place.workspace, "nobody"), &good).await.refuses(404, "network_session_unknown");
    let list = node.get(&place.at("channels/builders/directs")).await.with(200);
    assert_eq!(list["directs"], json!([]), "what was refused opened nothing");
}

#[tokio::test]
async fn a_hundred_resolves_at_once_from_both_sides_leave_one_room_n39() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let sides = [(&place.coder, place.reviewer_peer()), (&place.reviewer, place.coder_peer())];
    let resolves = (0..100).map(|number| {
        let (session, peer) = &sides[number % 2];
        place.room(&node, session, peer)
    });
    let rooms = futures::future::join_all(resolves).await;
    assert!(rooms.iter().all(|room| *room == rooms[0]), "{rooms:?}");
    let list = node.get(&place.at("channels/builders/directs")).await.with(200);
    assert_eq!(list["directs"], json!([rooms[0]]));
    let status = node.get("/api/network/status").await.with(200);
    assert_eq!(status["network"]["open_direct_rooms"], 1);
    assert_eq!(status["network"]["direct_resolves"], 100, "N-126: each was a successful call");
}

#[tokio::test]
async fn a_message_opens_the_room_and_a_resolve_is_no_activity_n39_n41_n111() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let id = derived(&place, &place.coder_peer(), &place.reviewer_peer());
    let message = json!({
        "session_id": place.coder, "channel": "builders", "kind": "say", "surface": "direct", "direct_id": id,
        "to": place.reviewer_peer(), "body": { "text": " between us " }, "id": "first",
    });
    let sent = place.send(&node, &message).await.with(200);
    assert_eq!(sent["message"]["direct_id"], id, "N-85");
    let opened = node.get(&room_path(&place, &json!(id), "")).await.with(200)["direct"].take();
    assert_eq!(
        (&opened["message_count"], &opened["last_message_preview"]),
        (&json!(1), &json!("between us")),
        "{opened}"
    );
    for (session, peer) in [(&place.coder, place.reviewer_peer()), (&place.reviewer, place.coder_peer())] {
        assert_eq!(place.room(&node, session, &peer).await, opened, "N-39: nothing of the room changes");
    }
    let answer = but(
        message,
        json!({ "session_id": place.reviewer, "to": place.coder_peer(), "id": "second",
                           "body": { "text": "and back" } }),
    );
    place.send(&node, &answer).await.with(200);
    let messages = node.get(&room_path(&place, &json!(id), "/messages")).await.with(200);
    assert_eq!(ids(&messages["messages"], "message_id"), ["first", "second"], "N-110");
    let first = &messages["messages"][0];
    for (name, value) in [
        ("surface", json!("direct")),
        ("direct_id", json!(id)),
        ("direction", json!("sent")),
        ("local", json!(true)),
        ("session_id", json!(place.coder)),
        ("display_name", json!("coder")),
        ("peer_from", json!(place.coder_peer())),
        ("peer_to", json!(place.reviewer_peer())),
        ("preview_text", json!("between us")),
    ] {
        assert_eq!(first[name], value, "N-111: {name}: {first}");
    }
    assert!(first.get("thread_id").is_none());
}

#[tokio::test]
async fn a_room_message_needs_its_target_and_the_room_of_both_n26_n40_n42() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let (writer, writer_peer) = place.writer(&node).await;
    let good = place.say_alone(&node, "hello").await;
    let invalid = "network_invalid_request";
    for (change, status, code) in [
        (json!({ "to": null }), 400, invalid),
        (json!({ "to": place.coder_peer() }), 400, invalid),
        (json!({ "direct_id": null }), 400, invalid),
        (json!({ "direct_id": "direct_xyz" }), 400, invalid),
        (json!({ "surface": null }), 400, invalid),
        (json!({ "thread_id": "thread_one" }), 400, invalid),
        (json!({ "to": writer_peer }), 409, "network_direct_room_collision"),
        (json!({ "session_id": writer }), 409, "network_direct_room_collision"),
        (json!({ "direct_id": format!("direct_{:032x}", 7) }), 409, "network_direct_room_collision"),
    ] {
        let answer = place.send(&node, &but(good.clone(), change.clone())).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{change}: {}", answer.text);
    }
    let path = room_path(&place, &good["direct_id"], "/messages");
    assert_eq!(node.get(&path).await.with(200), json!({ "messages": [] }), "N-49");
}

#[tokio::test]
async fn what_is_said_in_a_room_waits_for_the_other_peer_alone_n32_n114() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let (writer, _) = place.writer(&node).await;
    let message = but(place.say_alone(&node, "only you").await, json!({ "id": "alone" }));
    for _ in 0..2 {
        place.send(&node, &message).await.with(200); // N-83: the second time nothing happens
    }
    for (session, expected) in
        [(&place.reviewer, &["alone"][..]), (&place.coder, &[][..]), (&writer, &[][..])]
    {
        let inbox = node.get(&place.at(&format!("inbox?session_id={session}"))).await.with(200);
        assert_eq!(ids(&inbox["messages"], "id"), expected, "{session}");
    }
    let channel = &node.get(&place.at("channels/builders")).await.with(200)["channel"];
    assert_eq!(channel["message_count"], 0, "N-114: it is not public");
    assert!(channel.get("kind_counts").is_none(), "N-114, N-115: {channel}");
    let threads = node.get(&place.at("channels/builders/threads")).await.with(200);
    assert_eq!(threads["threads"], json!([]));
    let room = node.get(&room_path(&place, &message["direct_id"], "")).await.with(200);
    assert_eq!(room["direct"]["message_count"], 1);
}

#[tokio::test]
async fn rooms_are_listed_by_activity_and_paged_inside_the_filter_n105_n106_n107() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let (_, writer_peer) = place.writer(&node).await;
    let with_reviewer = place.room(&node, &place.coder, &place.reviewer_peer()).await;
    let with_writer = place.room(&node, &place.coder, &writer_peer).await;
    let without_coder = place.room(&node, &place.reviewer, &writer_peer).await;
    place.send(&node, &place.say_alone(&node, "hi").await).await.with(200);
    let rooms = |query: String| {
        let path = place.at(&format!("channels/builders/directs{query}"));
        let node = &node;
        async move { node.get(&path).await }
    };
    let all = rooms(String::new()).await.with(200);
    let all = all["directs"].as_array().unwrap();
    let mut sorted = all.clone();
    sorted.sort_by_key(|room| {
        let text = |name: &str| room[name].as_str().unwrap().to_owned();
        (std::cmp::Reverse(text("last_activity_at")), text("direct_id"))
    });
    assert_eq!((all.len(), all), (3, &sorted), "N-106: newest activity first, ties by id");
    for (peer, expected) in [
        (place.coder_peer(), [&with_reviewer, &with_writer]),
        (writer_peer.clone(), [&with_writer, &without_coder]),
    ] {
        let found = rooms(format!("?peer_id={peer}")).await.with(200);
        let mut found = ids(&found["directs"], "direct_id");
        let whole = found.clone();
        found.sort();
        let mut expected = expected.map(|room| room["direct_id"].as_str().unwrap().to_owned());
        expected.sort();
        assert_eq!(found, expected, "{peer}");
        let mut paged = Vec::new();
        let mut query = format!("?peer_id={peer}&limit=1");
        while let [id] = ids(&rooms(query).await.with(200)["directs"], "direct_id").as_slice() {
            query = format!("?peer_id={peer}&limit=1&after={id}");
            paged.push(id.clone());
        }
        assert_eq!(paged, whole, "pages put together are the list");
    }
    let stranger = without_coder["direct_id"].as_str().unwrap();
    for (query, count) in [
        ("?peer_id=nobody.sess-0".to_owned(), 0),
        ("?peer_id=Not%20A%20Peer".to_owned(), 0),
        ("?peer_id=%20&after=".to_owned(), 3),
        ("?limit=2".to_owned(), 2),
        ("?limit=100000".to_owned(), 3),
    ] {
        let found = rooms(query.clone()).await.with(200);
        assert_eq!(found["directs"].as_array().unwrap().len(), count, "{query}");
    }
    for (query, status) in [
        (format!("?after=direct_{:032x}", 7), 404),
        ("?after=nonsense".to_owned(), 404),
        (format!("?peer_id={}&after={stranger}", place.coder_peer()), 404),
        (format!("?peer_id=Not%20A%20Peer&after={stranger}"), 404),
        ("?limit=0".to_owned(), 400),
        ("?limit=x&after=nonsense".to_owned(), 400),
        ("?limit=1&limit=2".to_owned(), 400),
    ] {
        let code = if status == 400 { "network_invalid_request" } else { "network_not_found" };
        let answer = rooms(query.clone()).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{query}: {}", answer.text);
    }
    let nobody = node.get(&place.at("channels/nobody/directs")).await.with(200);
    assert_eq!(nobody, json!({ "directs": [] }), "N-107");
    let elsewhere = place.at(&format!("channels/nobody/directs?after={stranger}"));
    node.get(&elsewhere).await.refuses(404, "network_not_found");
    node.get(&place.at("channels/BAD!/directs")).await.refuses(400, "network_invalid_request");
}

#[tokio::test]
async fn the_messages_of_a_room_are_paged_by_cursors_n108_n109_n110() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let (_, writer_peer) = place.writer(&node).await;
    let other_room = place.room(&node, &place.coder, &writer_peer).await;
    let message = place.say_alone(&node, "word").await;
    for number in 1..=6 {
        let work = if number == 3 { json!("w3") } else { Value::Null };
        place
            .send(&node, &but(message.clone(), json!({ "id": format!("m-{number}"), "work_id": work })))
            .await
            .with(200);
    }
    place
        .send(
            &node,
            &but(
                message.clone(),
                json!({ "id": "elsewhere", "to": writer_peer, "direct_id": other_room["direct_id"] }),
            ),
        )
        .await
        .with(200);
    let messages = |query: String| {
        let path = room_path(&place, &message["direct_id"], &format!("/messages{query}"));
        let node = &node;
        async move { node.get(&path).await }
    };
    for (query, expected) in [
        ("", &["m-1", "m-2", "m-3", "m-4", "m-5", "m-6"][..]),
        ("?limit=2", &["m-1", "m-2"]),
        ("?after=m-2&limit=3", &["m-3", "m-4", "m-5"]),
        ("?before=m-5&limit=2", &["m-3", "m-4"]),
        ("?before=m-1", &[]),
        ("?after=m-6", &[]),
        ("?kind=trace", &[]),
        ("?work_id=w3", &["m-3"]),
        ("?work_id=w3&kind=say&after=%20", &["m-3"]),
    ] {
        let found = messages(query.to_owned()).await.with(200);
        assert_eq!(ids(&found["messages"], "message_id"), expected, "{query}");
    }
    for (query, status) in [
        ("?after=m-1&before=m-2", 400),
        ("?kind=shout", 400),
        ("?work_id=a/b", 400),
        ("?limit=0", 400),
        ("?after=unknown", 404),
        ("?before=elsewhere", 404),
        ("?after=m-1&kind=trace", 404),
        ("?after=m-1&work_id=w3", 404),
    ] {
        let code = if status == 400 { "network_invalid_request" } else { "network_not_found" };
        let answer = messages(query.to_owned()).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{query}: {}", answer.text);
    }
    let id = message["direct_id"].as_str().unwrap();
    let unknown = format!("direct_{:032x}", 7);
    for (path, status) in [
        (format!("channels/builders/directs/{unknown}"), 404),
        (format!("channels/builders/directs/{unknown}/messages"), 404),
        (format!("channels/other/directs/{id}"), 404),
        (format!("channels/other/directs/{id}/messages"), 404),
        ("channels/builders/directs/direct_7".to_owned(), 400),
        ("channels/builders/directs/direct_7/messages".to_owned(), 400),
        (format!("channels/BAD!/directs/{id}"), 400),
        (format!("channels/BAD!/directs/{id}/messages"), 400),
    ] {
        let code = if status == 400 { "network_invalid_request" } else { "network_not_found" };
        let answer = node.get(&place.at(&path)).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_resolved_room_without_a_message_is_empty_and_there_after_a_crash_n109_n126() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let room = place.room(&node, &place.coder, &place.reviewer_peer()).await;
    let path = room_path(&place, &room["direct_id"], "/messages");
    assert_eq!(node.get(&path).await.with(200), json!({ "messages": [] }));
    node.get(&format!("{path}?after=m-1")).await.refuses(404, "network_not_found");
    let node = Node::start_in(node.kill().await, &[]).await;
    assert_eq!(node.get(&path).await.with(200), json!({ "messages": [] }));
    assert_eq!(node.get(&room_path(&place, &room["direct_id"], "")).await.with(200)["direct"], room);
    let status = &node.get("/api/network/status").await.with(200)["network"];
    assert_eq!(
        (&status["open_direct_rooms"], &status["direct_resolves"]),
        (&json!(1), &json!(0)),
        "N-126: rooms are stored, resolve calls are counted since the start"
    );
}
