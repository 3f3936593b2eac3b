//! Work through the Network door of the real program, rule by rule of `semantics/network.md`.
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, fail by panicking")]

mod doors;

use doors::{Answer, Node, Place, but, ids};
use muster_protocol::network::Capability;
use serde_json::{Value, json};

/// The coder opens work for the reviewer in `thread_one`.
fn opening(place: &Place, work: &str) -> Value {
    but(place.say("please"), json!({ "to": place.reviewer_peer(), "work_id": work }))
}

/// A trace of the reviewer about work in `thread_one`.
fn trace(place: &Place, work: &str, state: &str) -> Value {
    but(
        opening(place, work),
        json!({ "session_id": place.reviewer, "to": place.coder_peer(), "kind": "trace", "body": { "state": state } }),
    )
}

/// A receipt of the reviewer about work in `thread_one`.
fn receipt(place: &Place, work: &str, status: &str) -> Value {
    let reason = if status == "accepted" { Value::Null } else { json!("busy") };
    let body = but(json!({ "for_id": "m-1", "status": status }), json!({ "reason_code": reason }));
    but(trace(place, work, "working"), json!({ "kind": "receipt", "body": body }))
}

/// A capability document of the reviewer, handed over for work in `thread_one`.
fn capability(place: &Place, work: &str) -> Value {
    let document = json!({ "id": "fix", "summary": "Fixes", "outcome": "A patch" });
    let document = serde_json::from_value::<Capability>(document).unwrap().with_own_digest();
    but(trace(place, work, "working"), json!({ "kind": "capability", "body": { "capability": document } }))
}

async fn work(node: &Node, place: &Place, id: &str) -> Value {
    node.get(&place.at(&format!("work/{id}"))).await.with(200)["work"].take()
}

/// A refusal of `send`, said with the message that was refused.
#[track_caller]
fn refused(answer: &Answer, message: &Value, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{message}: {}", answer.text);
}

#[tokio::test]
async fn work_is_opened_by_a_say_or_capability_with_a_target_n43() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let unknown = [trace(&place, "w-1", "working"), receipt(&place, "w-1", "accepted")];
    for message in &unknown {
        refused(&place.send(&node, message).await, message, 404, "network_not_found");
    }
    let nobody = but(opening(&place, "w-1"), json!({ "to": null }));
    refused(&place.send(&node, &nobody).await, &nobody, 400, "network_invalid_request");
    node.get(&place.at("work/w-1")).await.refuses(404, "network_not_found");

    place.send(&node, &opening(&place, "w-1")).await.with(200);
    let said = work(&node, &place, "w-1").await;
    for (name, value) in [
        ("work_id", json!("w-1")),
        ("workspace_id", json!(place.workspace)),
        ("channel", json!("builders")),
        ("surface", json!("thread")),
        ("thread_id", json!("thread_one")),
        ("opened_by_peer_id", json!(place.coder_peer())),
        ("opened_session_id", json!(place.coder)),
        ("target_peer_id", json!(place.reviewer_peer())),
        ("state", json!("submitted")),
        ("last_activity_at", said["opened_at"].clone()),
    ] {
        assert_eq!(said[name], value, "{name}: {said}");
    }
    assert!(said.get("direct_id").is_none() && said.get("terminal_at").is_none(), "{said}");

    place.send(&node, &capability(&place, "w-2")).await.with(200);
    let handed = work(&node, &place, "w-2").await;
    assert_eq!(
        (&handed["opened_by_peer_id"], &handed["state"]),
        (&json!(place.reviewer_peer()), &json!("submitted"))
    );

    let alone = but(place.say_alone(&node, "in private").await, json!({ "work_id": "w 3" }));
    place.send(&node, &alone).await.with(200);
    let private = work(&node, &place, "w%203").await;
    assert_eq!(
        (&private["surface"], &private["direct_id"]),
        (&json!("direct"), &alone["direct_id"]),
        "{private}"
    );
    assert!(private.get("thread_id").is_none());
}

#[tokio::test]
async fn work_is_asked_for_by_a_good_id_in_the_order_of_n134() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let at = |workspace: &str, id: &str| format!("/api/workspaces/{workspace}/network/work/{id}");
    for id in ["a%2Fb", "%20", "a%5Cb", "a%0Ab", &"x".repeat(129)] {
        node.get(&at("nowhere", id)).await.refuses(400, "network_invalid_request");
    }
    for path in [at("nowhere", "w-1"), at(&place.workspace, "w-1"), at(&place.workspace, &"x".repeat(128))] {
        node.get(&path).await.refuses(404, "network_not_found");
    }
}

#[tokio::test]
async fn work_goes_from_state_to_state_as_n45_says() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let talk = |work: &str| opening(&place, work);
    type Message<'a> = Box<dyn Fn(&str) -> Value + 'a>;
    let traced = |state: &'static str| -> Message<'_> { Box::new(|work| trace(&place, work, state)) };
    let received = |status: &'static str| -> Message<'_> { Box::new(|work| receipt(&place, work, status)) };
    let messages: Vec<(&str, Message<'_>, [&str; 3])> = vec![
        ("trace working", traced("working"), ["working"; 3]),
        ("trace needs_input", traced("needs_input"), ["needs_input"; 3]),
        ("trace completed", traced("completed"), ["completed"; 3]),
        ("trace failed", traced("failed"), ["failed"; 3]),
        ("trace canceled", traced("canceled"), ["canceled"; 3]),
        ("receipt rejected", received("rejected"), ["failed"; 3]),
        ("receipt canceled", received("canceled"), ["canceled"; 3]),
        ("receipt accepted", received("accepted"), ["submitted", "working", "needs_input"]),
        ("receipt duplicate", received("duplicate"), ["submitted", "working", "needs_input"]),
        ("receipt expired", received("expired"), ["submitted", "working", "needs_input"]),
        ("receipt unsupported", received("unsupported"), ["submitted", "working", "needs_input"]),
        ("say", Box::new(talk), ["submitted", "working", "working"]),
        ("capability", Box::new(|work| capability(&place, work)), ["submitted", "working", "working"]),
    ];
    for (name, message, after) in &messages {
        for (from, expected) in ["submitted", "working", "needs_input"].into_iter().zip(after) {
            let id = format!("{name} from {from}").replace(' ', "-");
            place.send(&node, &talk(&id)).await.with(200);
            if from != "submitted" {
                place.send(&node, &trace(&place, &id, from)).await.with(200);
            }
            place.send(&node, &message(&id)).await.with(200);
            assert_eq!(work(&node, &place, &id).await["state"], *expected, "{id}");
        }
    }
    // Nothing but a new id comes after the end (N-47), and work never returns to its beginning (N-48).
    for end in ["completed", "failed", "canceled"] {
        place.send(&node, &talk(end)).await.with(200);
        let back = trace(&place, end, "submitted");
        refused(&place.send(&node, &back).await, &back, 409, "network_work_transition_invalid");
        place.send(&node, &trace(&place, end, end)).await.with(200);
        let closed = work(&node, &place, end).await;
        assert_eq!((&closed["state"], &closed["terminal_at"]), (&json!(end), &closed["last_activity_at"]));
        for (_, message, _) in &messages {
            let late = message(end);
            refused(&place.send(&node, &late).await, &late, 409, "network_work_closed");
        }
        refused(&place.send(&node, &back).await, &back, 409, "network_work_closed");
        assert_eq!(work(&node, &place, end).await, closed, "N-47: the first terminal message wins");
    }
}

#[tokio::test]
async fn work_stays_where_it_was_opened_n44() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    place.send(&node, &opening(&place, "w-1")).await.with(200);
    let alone = but(place.say_alone(&node, "over here").await, json!({ "work_id": "w-1" }));
    for message in [
        but(opening(&place, "w-1"), json!({ "thread_id": "thread_two" })),
        but(trace(&place, "w-1", "completed"), json!({ "thread_id": "thread_two" })),
        alone.clone(),
    ] {
        refused(&place.send(&node, &message).await, &message, 409, "network_work_container_mismatch");
    }
    assert_eq!(work(&node, &place, "w-1").await["state"], "submitted");
    // The same id in another workspace is other work (N-1).
    let other = node.workspace("other", &[]).await;
    node.get(&format!("/api/workspaces/{other}/network/work/w-1")).await.refuses(404, "network_not_found");
}

#[tokio::test]
async fn opener_and_target_speak_for_the_work_and_nobody_else_n46() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let (writer, writer_peer) = place.writer(&node).await;
    place.send(&node, &opening(&place, "w-1")).await.with(200);
    for message in [
        but(opening(&place, "w-1"), json!({ "session_id": writer })),
        but(trace(&place, "w-1", "completed"), json!({ "session_id": writer })),
        but(trace(&place, "w-1", "submitted"), json!({ "session_id": writer })),
        but(receipt(&place, "w-1", "canceled"), json!({ "session_id": writer })),
    ] {
        refused(&place.send(&node, &message).await, &message, 403, "network_work_actor_forbidden");
    }
    for message in [
        but(opening(&place, "w-1"), json!({ "to": writer_peer })),
        but(opening(&place, "w-1"), json!({ "to": null })),
        but(capability(&place, "w-1"), json!({ "to": writer_peer })),
    ] {
        refused(&place.send(&node, &message).await, &message, 400, "network_invalid_request");
    }
    assert_eq!(work(&node, &place, "w-1").await["state"], "submitted");
    // Which of the two ends it is theirs to say.
    let by_opener = but(trace(&place, "w-1", "canceled"), json!({ "session_id": place.coder, "to": null }));
    place.send(&node, &by_opener).await.with(200);
    assert_eq!(work(&node, &place, "w-1").await["state"], "canceled");
}

#[tokio::test]
async fn a_refused_message_about_work_leaves_no_trace_n49() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let (writer, _) = place.writer(&node).await;
    place.send(&node, &but(opening(&place, "w-1"), json!({ "id": "m-1" }))).await.with(200);
    let ending = but(trace(&place, "w-1", "completed"), json!({ "id": "m-2" }));
    place.send(&node, &ending).await.with(200);
    let look = || async {
        let mut seen = Vec::new();
        for path in [
            "channels/builders/threads",
            "channels/builders/threads/thread_one/messages",
            "channels/builders/directs",
            "work/w-1",
            &format!("inbox?session_id={}", place.reviewer),
            &format!("inbox?session_id={}", place.coder),
        ] {
            seen.push(node.get(&place.at(path)).await.with(200));
        }
        let status = node.get("/api/network/status").await.with(200);
        for name in ["conversation_messages", "work_transitions", "open_work_items", "queued_messages"] {
            seen.push(status["network"][name].clone());
        }
        seen
    };
    let before = look().await;
    for (message, status) in [
        (trace(&place, "w-1", "failed"), 409),
        (but(trace(&place, "w-1", "failed"), json!({ "session_id": writer })), 403),
        (but(opening(&place, "w-1"), json!({ "thread_id": "thread_two" })), 409),
        (trace(&place, "w-2", "working"), 404),
        (but(opening(&place, "w-3"), json!({ "to": null })), 400),
    ] {
        assert_eq!(place.send(&node, &message).await.status, status, "{message}");
    }
    assert_eq!(look().await, before);
    // A repeated message is none of these, also when its work has ended (N-83).
    place.send(&node, &ending).await.with(200);
    assert_eq!(look().await, before);
}

#[tokio::test]
async fn the_stored_record_is_the_truth_also_after_a_crash_n50_n51() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    place.send(&node, &opening(&place, "w-1")).await.with(200);
    place.send(&node, &trace(&place, "w-1", "working")).await.with(200);
    let before = work(&node, &place, "w-1").await;
    place.send(&node, &opening(&place, "w-1")).await.with(200);
    let node = Node::start_in(node.kill().await, &[]).await;
    assert_eq!(work(&node, &place, "w-1").await, before, "N-50: talking changes no time of the work");
    let ending = but(trace(&place, "w-1", "completed"), json!({ "id": "the-end" }));
    place.send(&node, &ending).await.with(200);
    let ended = work(&node, &place, "w-1").await;
    let messages = node.get(&place.at("channels/builders/threads/thread_one/messages?kind=trace")).await;
    let messages = messages.with(200);
    assert_eq!(messages["messages"][1]["timestamp"], ended["terminal_at"], "N-50");
    let node = Node::start_in(node.kill().await, &[]).await;
    place.send(&node, &ending).await.with(200);
    let again = trace(&place, "w-1", "completed");
    refused(&place.send(&node, &again).await, &again, 409, "network_work_closed");
    assert_eq!(work(&node, &place, "w-1").await, ended);
}

#[tokio::test]
async fn open_work_is_counted_where_it_stands_n52_n126() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    let alone = place.say_alone(&node, "please").await;
    place.send(&node, &opening(&place, "t-1")).await.with(200);
    place.send(&node, &opening(&place, "t-2")).await.with(200);
    place.send(&node, &but(alone.clone(), json!({ "work_id": "d-1" }))).await.with(200);
    let counted = |in_thread: u64, in_room: u64, transitions: u64| {
        let (node, place, alone) = (&node, &place, &alone);
        async move {
            let thread = node.get(&place.at("channels/builders/threads/thread_one")).await.with(200);
            assert_eq!(thread["thread"]["open_work_count"], in_thread);
            let room = format!("channels/builders/directs/{}", alone["direct_id"].as_str().unwrap());
            let room = node.get(&place.at(&room)).await.with(200);
            assert_eq!(room["direct"]["open_work_count"], in_room);
            let status = node.get("/api/network/status").await.with(200);
            assert_eq!(status["network"]["open_work_items"], in_thread + in_room, "N-126");
            assert_eq!(status["network"]["work_transitions"], transitions, "N-125");
        }
    };
    counted(2, 1, 0).await;
    place.send(&node, &trace(&place, "t-1", "working")).await.with(200);
    place.send(&node, &trace(&place, "t-1", "working")).await.with(200);
    counted(2, 1, 2).await;
    place.send(&node, &receipt(&place, "t-1", "accepted")).await.with(200);
    counted(2, 1, 2).await;
    place.send(&node, &trace(&place, "t-1", "completed")).await.with(200);
    counted(1, 1, 3).await;
    let end = but(
        alone.clone(),
        json!({ "work_id": "d-1", "session_id": place.reviewer, "to": place.coder_peer(), "kind": "trace",
                "body": { "state": "failed", "message": "no" } }),
    );
    place.send(&node, &end).await.with(200);
    counted(1, 0, 4).await;
    let list = node.get(&place.at("channels/builders/threads")).await.with(200);
    assert_eq!(list["threads"][0]["open_work_count"], 1);
}

#[tokio::test]
async fn messages_of_one_work_are_found_by_its_id_n109() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    place.send(&node, &but(opening(&place, "w-1"), json!({ "id": "m-1" }))).await.with(200);
    place.send(&node, &but(place.say("between"), json!({ "id": "m-2" }))).await.with(200);
    place.send(&node, &but(trace(&place, "w-1", "working"), json!({ "id": "m-3" }))).await.with(200);
    place.send(&node, &but(receipt(&place, "w-1", "rejected"), json!({ "id": "m-4" }))).await.with(200);
    for (query, expected) in [
        ("?work_id=w-1", &["m-1", "m-3", "m-4"][..]),
        ("?work_id=w-1&kind=trace", &["m-3"]),
        ("?work_id=w-1&after=m-1&limit=1", &["m-3"]),
        ("?kind=receipt", &["m-4"]),
        ("?work_id=w-2", &[]),
    ] {
        let path = place.at(&format!("channels/builders/threads/thread_one/messages{query}"));
        let found = node.get(&path).await.with(200);
        assert_eq!(ids(&found["messages"], "message_id"), expected, "{query}");
    }
    assert_eq!(work(&node, &place, "w-1").await["state"], "failed");
}
