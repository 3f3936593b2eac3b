//! Sending through the Network door of the real program, and what waits in inboxes.
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, fail by panicking")]

mod doors;

use doors::{Node, Place, but, ids};
use serde_json::{Value, json};

#[tokio::test]
async fn a_send_is_checked_in_the_order_of_n79() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let other = node.workspace("other", &["coder"]).await;
    let elsewhere = node
        .post(
            &format!("/node/v1/workspaces/{other}/sessions"),
            &json!({ "agent_name": "coder", "channel": "builders" }),
        )
        .await
        .with(201);
    // Each fault is sent together with all those after it: the first has to decide.
    let faults = [
        (json!({ "workspace_id": "other" }), 400, "network_invalid_request"),
        (json!({ "session_id": " " }), 400, "network_invalid_request"),
        (json!({ "session_id": elsewhere["id"] }), 404, "network_session_unknown"),
        (json!({ "kind": "" }), 400, "network_invalid_request"),
        (json!({ "ext": { "password": "hunter22" } }), 400, "network_secret_refused"),
        (json!({ "kind": "recipe" }), 400, "network_invalid_request"),
        (json!({ "channel": "empty" }), 404, "network_session_unknown"),
        (json!({ "body": { "text": "  " } }), 400, "network_invalid_request"),
        (json!({ "to": "coder.sess-00000000000000000000000000000000" }), 404, "network_target_unreachable"),
    ];
    for (at, (_, status, code)) in faults.iter().enumerate() {
        let mut message = place.say("hello");
        for (fault, _, _) in faults[at..].iter().rev() {
            message = but(message, fault.clone());
        }
        let answer = place.send(&node, &message).await;
        assert_eq!(
            (answer.status, answer.code()),
            (*status, *code),
            "fault {at}: {message} → {}",
            answer.text
        );
    }
    for (change, status) in [
        (json!({ "interaction_id": null, "x": 1 }), 200), // unknown members are ignored (N-10)
        (json!({ "kind": "direct" }), 400),
        (json!({ "thread_id": "thread_" }), 400),
        (json!({ "surface": null }), 400),
        (json!({ "surface": "room" }), 400),
        (json!({ "direct_id": "direct_0" }), 400),
        (json!({ "body": null }), 400),
        (json!({ "body": [] }), 400),
        (json!({ "body": "x" }), 400),
        (json!({ "body": { "text": 5 } }), 400),
        (json!({ "to": "Not A Peer" }), 400),
        (json!({ "work_id": "a/b" }), 400),
        (json!({ "expires_at": 1 }), 400),
        (json!({ "expires_at": "soon" }), 400),
        (json!({ "ext": [] }), 400),
        (json!({ "channel": "BAD NAME" }), 400),
        (json!({ "body": { "text": "Authorization: Bearer abcdefghijklmnop" } }), 400),
        (json!({ "body": { "text": "x".repeat(1 << 20) } }), 413),
    ] {
        let message = but(place.say("hello"), change);
        let answer = place.send(&node, &message).await;
        assert_eq!(
            answer.status,
            status,
            "{} → {}",
            &message.to_string()[..200.min(message.to_string().len())],
            answer.text
        );
    }
    // Retired also when it is null (N-12).
    let mut retired = place.say("hello");
    retired["interaction_id"] = Value::Null;
    place.send(&node, &retired).await.refuses(400, "network_invalid_request");
    node.post("/api/workspaces/nowhere/network/send", &json!({})).await.refuses(404, "network_not_found");
    let too_much = json!({ "x": "y".repeat(5 << 20) });
    place.send(&node, &too_much).await.refuses(413, "network_payload_too_large");
    let messages = node.get(&place.at("channels/builders/threads/thread_one/messages")).await.with(200);
    assert_eq!(messages["messages"].as_array().unwrap().len(), 1, "N-49: a refused message leaves nothing");
}

#[tokio::test]
async fn a_repeated_send_is_one_message_and_other_content_a_conflict_n83() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let message = but(place.say("once"), json!({ "id": "mine-1", "ext": { "a": 1 } }));
    let first = place.send(&node, &message).await.with(200);
    assert_eq!(
        (&first["message"]["id"], &first["message"]["workspace_id"]),
        (&json!("mine-1"), &json!(place.workspace))
    );
    assert!(first["message"].get("body").is_none(), "N-85");
    assert_eq!(place.send(&node, &message).await.with(200), first);
    for change in [
        json!({ "body": { "text": "twice" } }),
        json!({ "ext": { "a": 2 } }),
        json!({ "thread_id": "thread_two" }),
        json!({ "to": place.reviewer_peer() }),
        json!({ "session_id": place.reviewer }),
        json!({ "reply_to": "m" }),
    ] {
        place.send(&node, &but(message.clone(), change)).await.refuses(409, "network_message_id_conflict");
    }
    let thread = node.get(&place.at("channels/builders/threads/thread_one")).await.with(200);
    assert_eq!(thread["thread"]["message_count"], 1);
    let inbox = node.get(&place.at(&format!("inbox?session_id={}", place.reviewer))).await.with(200);
    assert_eq!(ids(&inbox["messages"], "id"), ["mine-1"]);
}

#[tokio::test]
async fn a_retry_is_welcome_though_its_target_left_meanwhile_n81_n83() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let aside = but(place.say("once"), json!({ "id": "mine-2", "to": place.reviewer_peer() }));
    let first = place.send(&node, &aside).await.with(200);
    let session = format!("/node/v1/workspaces/{}/sessions/{}", place.workspace, place.reviewer);
    node.delete(&session).await.with(204);
    assert_eq!(place.send(&node, &aside).await.with(200), first);
    let other = but(aside.clone(), json!({ "body": { "text": "twice" } }));
    place.send(&node, &other).await.refuses(409, "network_message_id_conflict");
    let new = but(aside, json!({ "id": "mine-3" }));
    place.send(&node, &new).await.refuses(404, "network_target_unreachable");
}

#[tokio::test]
async fn an_inbox_shows_what_waits_and_takes_nothing_n97_n98_n101_n102_n103_n104() {
    let node = Node::start_with(&["network.queue_depth=3"]).await;
    let place = Place::new(&node).await;
    let inbox = |session: &str| place.at(&format!("inbox?session_id={session}"));
    for number in 1..=5 {
        place.send(&node, &but(place.say("hi"), json!({ "id": format!("m-{number}") }))).await.with(200);
    }
    for _ in 0..2 {
        let waiting = node.get(&inbox(&place.reviewer)).await.with(200);
        assert_eq!(
            ids(&waiting["messages"], "id"),
            ["m-3", "m-4", "m-5"],
            "the oldest goes when it is full (N-97)"
        );
        let envelope = &waiting["messages"][0];
        assert_eq!(
            (&envelope["protocol"], &envelope["from"]),
            (&json!("agh-network/v0"), &json!(format!("coder.{}", place.coder)))
        );
    }
    assert_eq!(
        node.get(&inbox(&place.coder)).await.with(200)["messages"],
        json!([]),
        "N-90: never one's own"
    );
    let older = node.get(&place.at(&format!("inbox?session={}", place.reviewer))).await.with(200);
    assert_eq!(older["messages"].as_array().unwrap().len(), 3, "N-103: the older name");
    for query in ["inbox", "inbox?session_id=", "inbox?session_id=%20&session="] {
        node.get(&place.at(query)).await.refuses(400, "network_invalid_request");
    }
    node.get(&inbox("sess-unknown")).await.refuses(404, "network_session_unknown");
    let other = node.workspace("other", &[]).await;
    let path = format!("/api/workspaces/{other}/network/inbox?session_id={}", place.reviewer);
    node.get(&path).await.refuses(404, "network_session_unknown");

    let addressed = but(place.say("you"), json!({ "to": place.reviewer_peer(), "id": "to-you" }));
    let expiring = but(place.say("soon"), json!({ "expires_at": node_seconds() + 2, "id": "soon" }));
    place.send(&node, &addressed).await.with(200);
    place.send(&node, &expiring).await.with(200);
    let home = node.kill().await;
    let node = Node::start_in(home, &["network.queue_depth=3"]).await;
    tokio::time::timeout(doors::PATIENCE, async {
        loop {
            let waiting = node.get(&inbox(&place.reviewer)).await.with(200);
            if ids(&waiting["messages"], "id") == ["m-5", "to-you"] {
                break;
            }
        }
    })
    .await
    .expect("it survives a crash (N-101), what expires is dropped (N-102)");
    let stop = format!("/node/v1/workspaces/{}/sessions/{}", place.workspace, place.reviewer);
    node.delete(&stop).await.with(204);
    assert_eq!(node.get(&inbox(&place.reviewer)).await.with(200)["messages"], json!([]), "N-101, N-103");
}

#[expect(clippy::disallowed_methods, reason = "the program under test reads the same clock")]
fn node_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn sends_at_the_same_time_are_all_stored_and_one_id_once() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let path = place.at("send");
    let sends = (0..40).map(|number| {
        let message = but(place.say("race"), json!({ "id": format!("id-{}", number % 20) }));
        let (node, path) = (&node, &path);
        async move { node.post(path, &message).await.status }
    });
    let statuses = futures::future::join_all(sends).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let thread = node.get(&place.at("channels/builders/threads/thread_one")).await.with(200);
    assert_eq!(thread["thread"]["message_count"], 20);
}
