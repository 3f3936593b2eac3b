//! The Network door of the real program, rule by rule of `semantics/network.md`.

mod doors;

use doors::{Node, Place, but, ids};
use serde_json::{Value, json};

#[tokio::test]
async fn a_new_channel_shows_its_sessions_and_peers_at_once_n5_n118_n119_n122() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let channel = &node.get(&place.at("channels/builders")).await.with(200)["channel"];
    assert_eq!(
        (
            &channel["created_by"],
            &channel["purpose"],
            &channel["session_count"],
            &channel["local_peer_count"]
        ),
        (&json!("coder"), &json!("to build"), &json!(2), &json!(2)),
    );
    assert_eq!(ids(&channel["sessions"], "agent_name"), ["coder", "reviewer"]);
    let peers = ids(&channel["peers"], "peer_id");
    assert!(
        peers.contains(&format!("coder.{}", place.coder)) && peers.contains(&place.reviewer_peer()),
        "N-5"
    );
    for session in channel["sessions"].as_array().unwrap() {
        assert_eq!((&session["state"], &session["provider"]), (&json!("active"), &json!("none")), "N-122");
    }
    assert!(channel.get("kind_counts").is_none(), "N-115: absent when empty");

    let again = json!({ "channel": "builders", "purpose": "to build more", "agent_names": ["writer"],
                        "workspace_id": "garden" });
    let again = &node.post(&place.at("channels"), &again).await.with(201)["channel"];
    assert_eq!(
        (&again["created_by"], &again["created_at"], &again["purpose"], &again["session_count"]),
        (&channel["created_by"], &channel["created_at"], &json!("to build more"), &json!(3)),
    );
    let refused = json!({ "channel": "builders", "purpose": "x", "agent_names": ["coder", "nobody"] });
    node.post(&place.at("channels"), &refused).await.refuses(400, "network_invalid_request");
    let after = &node.get(&place.at("channels/builders")).await.with(200)["channel"];
    assert_eq!(
        (&after["session_count"], &after["purpose"]),
        (&json!(3), &json!("to build more")),
        "all or nothing"
    );
}

#[tokio::test]
async fn post_channels_refuses_what_n117_lists() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let other = node.workspace("other", &[]).await;
    let good = json!({ "channel": "lab", "workspace_id": place.workspace, "purpose": "p", "agent_names": ["coder"] });
    for change in [
        json!({ "channel": null }),
        json!({ "channel": "Not A Channel" }),
        json!({ "channel": 5 }),
        json!({ "purpose": null }),
        json!({ "purpose": "  " }),
        json!({ "agent_names": null }),
        json!({ "agent_names": [] }),
        json!({ "agent_names": ["coder", " "] }),
        json!({ "agent_names": ["coder", "coder "] }),
        json!({ "agent_names": ["nobody"] }),
        json!({ "agent_names": ["No Name!"] }),
        json!({ "agent_names": "coder" }),
        json!({ "workspace_id": other }),
        json!({ "workspace_id": "unknown" }),
        json!({ "purpose": "x".repeat(5000) }),
    ] {
        let body = but(good.clone(), change.clone());
        let answer = node.post(&place.at("channels"), &body).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "network_invalid_request"),
            "{change}: {}",
            answer.text
        );
    }
    node.get(&place.at("channels/lab")).await.refuses(404, "network_not_found");
    // The JSON is looked at before the workspace (N-134).
    let path = "/api/workspaces/nowhere/network/channels";
    doors::answer(path, node.request(reqwest::Method::POST, path).body("{"))
        .await
        .refuses(400, "network_invalid_request");
    node.post(path, &good).await.refuses(404, "network_not_found");
}

#[tokio::test]
async fn threads_are_paged_by_cursors_n105_n106_n107_n108_n109_n111() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    for thread in ["one", "two", "three"] {
        let opening = but(
            place.say(&format!("  about {thread} ")),
            json!({ "thread_id": format!("thread_{thread}"), "id": format!("root-{thread}") }),
        );
        place.send(&node, &opening).await.with(200);
    }
    for number in 1..=6 {
        let session = if number % 2 == 0 { &place.reviewer } else { &place.coder };
        let work = if number == 3 { json!("w3") } else { Value::Null };
        let to = if number == 3 { json!(place.reviewer_peer()) } else { Value::Null };
        let message = but(
            place.say("more"),
            json!({ "id": format!("m-{number}"), "session_id": session, "work_id": work, "to": to }),
        );
        place.send(&node, &message).await.with(200);
    }
    let threads = node.get(&place.at("channels/builders/threads")).await.with(200);
    let all = ids(&threads["threads"], "thread_id");
    assert_eq!(all.len(), 3);
    let mut paged = Vec::new();
    let mut path = place.at("channels/builders/threads?limit=1");
    while let [thread] = ids(&node.get(&path).await.with(200)["threads"], "thread_id").as_slice() {
        path = place.at(&format!("channels/builders/threads?limit=1&after={thread}"));
        paged.push(thread.clone());
    }
    assert_eq!(paged, all, "pages put together are the list");
    let thread = &node.get(&place.at("channels/builders/threads/thread_one")).await.with(200)["thread"];
    assert_eq!(
        (
            &thread["title"],
            &thread["root_message_id"],
            &thread["message_count"],
            &thread["participant_count"]
        ),
        (&json!("about one"), &json!("root-one"), &json!(7), &json!(2)),
    );
    let messages = |query: &str| {
        let path = place.at(&format!("channels/builders/threads/thread_one/messages{query}"));
        let node = &node;
        async move { node.get(&path).await }
    };
    let all = ids(&messages("").await.with(200)["messages"], "message_id");
    assert_eq!(all.len(), 7);
    assert_eq!(all[0], "root-one");
    for (query, expected) in [
        ("?limit=2".to_owned(), &all[..2]),
        (format!("?after={}&limit=3", all[1]), &all[2..5]),
        (format!("?before={}&limit=2", all[4]), &all[2..4]),
        (format!("?before={}", all[0]), &all[..0]),
        (format!("?after={}", all[6]), &all[7..]),
        ("?kind=say&limit=+2".to_owned(), &all[..2]),
        ("?kind=trace".to_owned(), &all[..0]),
        ("?after=%20&before=&kind=%20".to_owned(), &all[..]),
    ] {
        assert_eq!(ids(&messages(&query).await.with(200)["messages"], "message_id"), expected, "{query}");
    }
    assert_eq!(ids(&messages("?work_id=w3").await.with(200)["messages"], "message_id"), ["m-3"]);
    let first = &messages("?limit=1").await.with(200)["messages"][0];
    assert_eq!(
        (
            &first["direction"],
            &first["local"],
            &first["session_id"],
            &first["display_name"],
            &first["text"],
            &first["preview_text"]
        ),
        (
            &json!("sent"),
            &json!(true),
            &json!(place.coder),
            &json!("coder"),
            &json!("  about one "),
            &json!("about one")
        ),
        "N-111"
    );
    for (query, status) in [
        ("?after=m-1&before=m-2", 400),
        ("?kind=shout", 400),
        ("?work_id=a/b", 400),
        ("?limit=0", 400),
        ("?limit=-1", 400),
        ("?limit=x", 400),
        ("?limit=1.5", 400),
        ("?limit=1&limit=2", 400),
        ("?after=unknown", 404),
        ("?before=unknown", 404),
        ("?after=root-two", 404),
        ("?after=m-1&kind=trace", 404),
        ("?after=m-1&work_id=w3", 404),
    ] {
        let code = if status == 400 { "network_invalid_request" } else { "network_not_found" };
        let answer = messages(query).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{query}: {}", answer.text);
    }
    for (path, status) in [
        ("channels/builders/threads/thread_none", 404),
        ("channels/builders/threads/nothread", 400),
        ("channels/builders/threads/thread_none/messages", 404),
        ("channels/builders/threads/nothread/messages", 400),
        ("channels/other/threads/thread_one", 404),
        ("channels/BAD!/threads", 400),
        ("channels/BAD!/threads/thread_one", 400),
        ("channels/builders/threads?after=thread_none", 404),
        ("channels/builders/threads?after=bad", 404),
        ("channels/builders/threads?limit=0", 400),
        ("channels/nobody/threads", 200),
        ("channels/builders/threads?limit=999999999999999999999", 200),
        ("channels/%FF/threads", 400),
        ("channels/nobody", 404),
        ("channels/BAD!", 400),
    ] {
        let answer = node.get(&place.at(path)).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
    }
    // The channel's grammar comes before the workspace, the workspace before the query (N-134).
    for (path, status) in
        [("nowhere/network/channels/BAD!/threads", 400), ("nowhere/network/channels/ok/threads?limit=0", 404)]
    {
        assert_eq!(node.get(&format!("/api/workspaces/{path}")).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn channels_are_counted_n112_n114_n115_n116() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let channels = format!("/node/v1/workspaces/{}/sessions", place.workspace);
    node.post(&channels, &json!({ "agent_name": "writer", "channel": "attic" })).await.with(201);
    place.send(&node, &place.say("a public word")).await.with(200);
    place
        .send(&node, &but(place.say("a word to one"), json!({ "to": place.reviewer_peer() })))
        .await
        .with(200);
    let list = node.get(&place.at("channels")).await.with(200);
    let mut names = ids(&list["channels"], "channel");
    names.sort();
    assert_eq!(names, ["attic", "builders"], "a session alone makes a channel");
    let builders =
        list["channels"].as_array().unwrap().iter().find(|channel| channel["channel"] == "builders").unwrap();
    assert_eq!(
        (
            &builders["message_count"],
            &builders["historical_participant_count"],
            &builders["last_message_preview"]
        ),
        (&json!(1), &json!(2), &json!("a public word")),
        "N-114: a directed word does not count here"
    );
    let detail = node.get(&place.at("channels/builders")).await.with(200);
    assert_eq!(detail["channel"]["kind_counts"], json!([{ "kind": "say", "count": 1 }]), "N-115");
    let thread = node.get(&place.at("channels/builders/threads/thread_one")).await.with(200);
    assert_eq!(thread["thread"]["message_count"], 2, "but in its thread");
    // Greets are counted, not kept (N-138), and have a time.
    assert!(
        builders["presence_count"].as_u64().unwrap() >= 1 && builders["last_presence_at"].is_string(),
        "{builders}"
    );
}

#[tokio::test]
async fn a_stopped_session_leaves_its_channel_and_its_history_stays_n60_n81_n121() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    place.send(&node, &place.say("still here")).await.with(200);
    let stop = format!("/node/v1/workspaces/{}/sessions/{}", place.workspace, place.coder);
    node.delete(&stop).await.with(204);
    node.delete(&stop).await.with(204);
    place.send(&node, &place.say("too late")).await.refuses(404, "network_session_unknown");
    node.get(&place.at(&format!("peers/coder.{}", place.coder))).await.refuses(404, "network_not_found");
    let to_gone = but(
        place.say("hello?"),
        json!({ "session_id": place.reviewer, "to": format!("coder.{}", place.coder) }),
    );
    place.send(&node, &to_gone).await.refuses(404, "network_target_unreachable");
    let channel = &node.get(&place.at("channels/builders")).await.with(200)["channel"];
    assert_eq!((&channel["session_count"], &channel["message_count"]), (&json!(1), &json!(1)));
    let messages = node.get(&place.at("channels/builders/threads/thread_one/messages")).await.with(200);
    assert_eq!(messages["messages"][0]["display_name"], "coder", "N-60");
    let sessions = node.get(&format!("/node/v1/workspaces/{}/sessions", place.workspace)).await.with(200);
    let states = ids(&sessions["sessions"], "state");
    assert_eq!(states, ["active", "stopped"], "those at work first");
}

#[tokio::test]
async fn peers_are_shown_with_their_cards_n60_n61_n62_n63_n64() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let register = format!("/node/v1/workspaces/{}/agents", place.workspace);
    let able = json!({ "name": "able", "capabilities": [{ "id": "fix", "summary": "Fixes", "outcome": "A patch", "requirements": ["git"] }] });
    let able = node.post(&register, &able).await.with(201);
    assert_eq!(able["provider"], "none");
    node.post(
        &format!("/node/v1/workspaces/{}/sessions", place.workspace),
        &json!({ "agent_name": "able", "channel": "lab" }),
    )
    .await
    .with(201);
    let all = node.get(&place.at("peers")).await.with(200);
    assert_eq!(all["peers"].as_array().unwrap().len(), 3);
    let lab = node.get(&place.at("peers?channel=lab")).await.with(200);
    let peer = &lab["peers"][0];
    assert_eq!(
        (&peer["local"], &peer["presence_state"], &peer["display_name"]),
        (&json!(true), &json!("local"), &json!("able"))
    );
    assert_eq!(peer["peer_card"]["capabilities"], json!([{ "id": "fix", "summary": "Fixes" }]), "N-68");
    assert_eq!(peer["peer_card"]["trust_modes_supported"], json!(["verified", "unverified"]), "N-64");
    let detail = node.get(&place.at(&format!("peers/{}", peer["peer_id"].as_str().unwrap()))).await.with(200);
    let detail = &detail["peer"];
    assert!(detail.get("workspace_id").is_none(), "N-62");
    let digest = detail["capability_catalog"]["capabilities"][0]["digest"].as_str().unwrap();
    assert!(digest.starts_with("sha256:"), "N-66");
    assert_eq!(node.get(&place.at("peers?channel=nobody")).await.with(200)["peers"], json!([]), "N-61");
    node.get(&place.at("peers?channel=BAD!")).await.refuses(400, "network_invalid_request");
    node.get(&place.at("peers/%20")).await.refuses(400, "network_invalid_request");
    for unknown in ["peers/nobody.sess-1", "peers/Not%20A%20Peer"] {
        node.get(&place.at(unknown)).await.refuses(404, "network_not_found");
    }
    place.send(&node, &but(place.say("hi"), json!({ "to": place.reviewer_peer() }))).await.with(200);
    let coder = node.get(&place.at(&format!("peers/coder.{}", place.coder))).await.with(200);
    assert_eq!(
        coder["peer"]["metrics"],
        json!({ "sent": 1, "received": 0, "rejected": 0, "delivered": 0 }),
        "N-63"
    );
    let reviewer = node.get(&place.at(&format!("peers/{}", place.reviewer_peer()))).await.with(200);
    assert_eq!(
        reviewer["peer"]["metrics"],
        json!({ "sent": 0, "received": 1, "rejected": 0, "delivered": 0 }),
        "N-63"
    );
}

#[tokio::test]
async fn a_workspace_is_named_by_id_or_name_and_is_the_outermost_boundary_n1_n2() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let other = node.workspace("other", &["coder"]).await;
    node.post(
        &format!("/node/v1/workspaces/{other}/sessions"),
        &json!({ "agent_name": "coder", "channel": "builders" }),
    )
    .await
    .with(201);
    place.send(&node, &place.say("only here")).await.with(200);
    for reference in [other.as_str(), "other", "%20other%20"] {
        let channel =
            node.get(&format!("/api/workspaces/{reference}/network/channels/builders")).await.with(200);
        assert_eq!(
            (&channel["channel"]["workspace_id"], &channel["channel"]["message_count"]),
            (&json!(other), &json!(0))
        );
        let threads = node
            .get(&format!("/api/workspaces/{reference}/network/channels/builders/threads"))
            .await
            .with(200);
        assert_eq!(threads["threads"], json!([]));
    }
    for rest in [
        "channels",
        "channels/ok",
        "channels/ok/threads",
        "channels/ok/threads/thread_one",
        "channels/ok/threads/thread_one/messages",
        "channels/ok/directs",
        "channels/ok/directs/direct_00000000000000000000000000000000",
        "channels/ok/directs/direct_00000000000000000000000000000000/messages",
        "inbox",
        "peers",
        "peers/x",
        "work/w-1",
    ] {
        node.get(&format!("/api/workspaces/ws_nowhere/network/{rest}"))
            .await
            .refuses(404, "network_not_found");
    }
}

#[tokio::test]
async fn the_status_counts_n123_n124_n125_n126_n127_n128() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    place.send(&node, &but(place.say("hi"), json!({ "ext": { "agh.workflow_id": "w" } }))).await.with(200);
    place.send(&node, &but(place.say("hi"), json!({ "kind": "recipe" }))).await.with(400);
    let status = &node.get("/api/network/status").await.with(200)["network"];
    for (name, value) in [
        ("enabled", json!(true)),
        ("status", json!("running")),
        ("local_peers", json!(2)),
        ("remote_peers", json!(0)),
        ("channels", json!(1)),
        ("messages_received", json!(1)),
        ("messages_delivered", json!(0)),
        ("conversation_messages", json!(1)),
        ("delivery_workers", json!(0)),
        ("queued_messages", json!(1)),
        ("queued_sessions", json!(1)),
        ("open_threads", json!(1)),
        ("open_direct_rooms", json!(0)),
        ("open_work_items", json!(0)),
        ("direct_resolves", json!(0)),
        ("work_transitions", json!(0)),
        ("configured_default_channel", json!("default")),
        ("effective_default_source", json!("config")),
    ] {
        assert_eq!(status[name], value, "{name}: {status}");
    }
    assert!(
        status["messages_sent"].as_u64().unwrap() >= 1 && status["messages_rejected"].as_u64().unwrap() >= 1,
        "{status}"
    );
    assert!(status["workflow_tagged_events"].as_u64().unwrap() >= 1, "N-127: {status}");
    assert!(status.get("declared_channels").is_none() && status.get("last_disconnect").is_none());
    let kinds = ids(&status["kind_metrics"], "kind");
    assert!(kinds.is_sorted() && kinds.contains(&"say".to_owned()), "{kinds:?}");
}

#[tokio::test]
async fn switched_off_the_network_says_so_and_nothing_else_n123_n134() {
    let node = Node::start_with(&["network.enabled=false"]).await;
    let workspace = node.workspace("garden", &[]).await;
    let status = node.get("/api/network/status").await.with(200);
    assert_eq!(status, json!({ "network": { "enabled": false, "status": "disabled" } }));
    let at = |rest: &str| format!("/api/workspaces/{workspace}/network/{rest}");
    for rest in [
        "channels",
        "channels/BAD!",
        "channels/x/threads",
        "channels/x/threads/bad",
        "channels/x/threads/thread_one/messages?limit=0",
        "channels/BAD!/directs",
        "channels/x/directs/bad",
        "channels/x/directs/bad/messages",
        "inbox",
        "peers",
        "peers/x",
        "work/%20",
    ] {
        let answer = node.get(&at(rest)).await;
        answer.refuses(503, "network_disabled");
        assert_eq!(answer.json["error"], "Service Unavailable", "N-131");
    }
    for rest in ["send", "channels", "channels/BAD!/directs/resolve"] {
        node.post(&at(rest), &json!("not even an object")).await.refuses(503, "network_disabled");
    }
}
