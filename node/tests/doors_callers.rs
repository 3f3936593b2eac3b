//! What becomes of what somebody asked for and did not wait for (N-87).
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, fail by panicking")]

mod doors;

use std::time::Duration;

use doors::{Node, PATIENCE, Place, but, ids};
use reqwest::Method;
use serde_json::{Value, json};

async fn inbox(node: &Node, place: &Place, session: &str) -> Vec<Value> {
    let inbox = node.get(&place.at(&format!("inbox?session_id={session}"))).await.with(200);
    inbox["messages"].as_array().unwrap().clone()
}

#[tokio::test]
async fn what_a_caller_began_goes_on_when_it_goes_away_n87() {
    let (node, home) = (Node::start().await, Node::start().await);
    let workspace = home.workspace("far", &[]).await;
    let invites = format!("/node/v1/workspaces/{workspace}/invites");
    let ticket = home.post(&invites, &json!({})).await.with(201)["ticket"].take();
    // Held by its system, the other node lets the caller wait until it gives up.
    home.signal("STOP").await;
    let join = node.request(Method::POST, "/node/v1/join").json(&json!({ "ticket": ticket }));
    let given_up = join.timeout(Duration::from_secs(2)).send().await.unwrap_err();
    assert!(given_up.is_timeout(), "{given_up}");
    home.signal("CONT").await;
    let joined = async {
        while node.get(&format!("/node/v1/workspaces/{workspace}")).await.status != 200 {
            doors::pause().await;
        }
    };
    tokio::time::timeout(PATIENCE, joined).await.expect("the node goes on joining");
}

#[tokio::test]
async fn what_a_caller_sent_before_it_went_away_is_done_wholly_or_not_at_all_n87() {
    let node = Node::start().await;
    let place = Place::new(&node).await;
    for number in 0..60 {
        let message = json!({ "id": format!("m-{number}"), "work_id": format!("w-{number}"), "to": place.reviewer_peer() });
        let send = node.request(Method::POST, &place.at("send")).json(&but(place.say("and away"), message));
        // From before it is read to after it is answered.
        let _ = send.timeout(Duration::from_millis(number / 2)).send().await;
    }
    // The next one is stored after whatever was begun.
    place
        .send(&node, &but(place.say("still here"), json!({ "id": "last", "to": place.reviewer_peer() })))
        .await
        .with(200);
    let messages = node.get(&place.at("channels/builders/threads/thread_one/messages")).await.with(200);
    let stored = ids(&messages["messages"], "message_id");
    assert_eq!(ids(&inbox(&node, &place, &place.reviewer).await.into(), "id"), stored);
    for number in 0..60 {
        let opened = node.get(&place.at(&format!("work/w-{number}"))).await.status == 200;
        assert_eq!(opened, stored.contains(&format!("m-{number}")), "{number}");
    }
    let thread = node.get(&place.at("channels/builders/threads/thread_one")).await.with(200);
    assert_eq!(thread["thread"]["message_count"], stored.len());
    assert_eq!(thread["thread"]["open_work_count"], stored.len() - 1);
}
