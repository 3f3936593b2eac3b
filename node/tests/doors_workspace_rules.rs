//! Rules of the Workspace door that hold for all of it (W-1 to W-20, W-23, W-43).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod doors;

use doors::{Node, PATIENCE, answer, ids, team::Team};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn every_path_wants_a_key_also_one_that_leads_nowhere_w1_w11() {
    let node = Node::start().await;
    let team = Team::new(&node, "garden").await;
    let ada = team.person(&node, "Ada").await;
    for path in ["nothing", "streams/x/y/z", "messages"] {
        let path = team.at(path);
        answer(&path, node.bare(Method::GET, &path).bearer_auth(&ada.key)).await.refuses(404, "NOT_FOUND");
    }
    let path = team.at("streams");
    let wrong = answer(&path, node.bare(Method::PUT, &path).bearer_auth(&ada.key)).await;
    wrong.refuses(405, "METHOD_NOT_ALLOWED");
    for path in ["me", "streams", "users"] {
        let path = team.at(path);
        answer(&path, node.bare(Method::GET, &path)).await.refuses(401, "UNAUTHORIZED");
    }
    let evil = node.bare(Method::GET, &path).bearer_auth(&ada.key).header("origin", "http://evil.example");
    answer(&path, evil).await.refuses(403, "FORBIDDEN");
}

#[tokio::test]
async fn what_another_workspace_has_does_not_exist_here_w9() {
    let node = Node::start().await;
    let (team, other) = (Team::new(&node, "garden").await, Team::new(&node, "attic").await);
    let (ada, eve) = (team.person(&node, "Ada").await, other.person(&node, "Eve").await);
    let theirs = other.channel(&node, "builders", &[&eve]).await;
    let said = other.say(&node, &eve, &theirs, "hello").await;
    let mine = team.channel(&node, "builders", &[&ada]).await;
    assert_ne!(mine, theirs, "a channel of one name is another stream in each workspace");
    team.get(&node, &ada, &format!("streams/{theirs}")).await.refuses(403, "FORBIDDEN");
    let path = format!("messages/{}", said["id"].as_str().unwrap());
    team.ask(&node, &ada, Method::DELETE, &path, None).await.refuses(404, "NOT_FOUND");
    let found = json!({ "query": "hello", "streams": [theirs] });
    assert_eq!(team.post(&node, &ada, "messages/search", &found).await.with(200)["data"], json!([]));
    let part = json!({ "member_id": eve.id });
    node.post(&team.node_path(&format!("streams/{mine}/members")), &part)
        .await
        .refuses(404, "unknown_principal");
}

#[tokio::test]
async fn limits_have_bounds_and_are_never_clamped_w7_w43() {
    let node = Node::start().await;
    let team = Team::new(&node, "garden").await;
    let ada = team.person(&node, "Ada").await;
    let channel = team.channel(&node, "builders", &[&ada]).await;
    let lists = [
        ("streams".to_owned(), 200),
        (format!("streams/{channel}/members"), 200),
        ("users".to_owned(), 200),
        (format!("streams/{channel}/messages"), 100),
    ];
    for (path, max) in lists {
        for good in [1, max] {
            team.get(&node, &ada, &format!("{path}?limit={good}")).await.with(200);
        }
        for bad in ["0".to_owned(), (max + 1).to_string(), "-1".into(), "x".into(), "1.5".into()] {
            let refused = team.get(&node, &ada, &format!("{path}?limit={bad}")).await;
            refused.refuses(400, "VALIDATION_ERROR");
            assert!(refused.json["details"]["limit"].is_array(), "{path} {bad}");
        }
    }
    let bodies = [
        ("messages/find-by-metadata", json!({ "metadata": { "k": "v" } }), 100),
        ("messages/search", json!({ "query": "x" }), 50),
        ("attachments/search", json!({ "query": "x" }), 50),
    ];
    for (path, body, max) in bodies {
        for good in [json!(1), json!(max), json!("20")] {
            let body = doors::but(body.clone(), json!({ "limit": good }));
            team.post(&node, &ada, path, &body).await.with(200);
        }
        for bad in [json!(0), json!(max + 1), json!("x"), json!(true), json!([1])] {
            let body = doors::but(body.clone(), json!({ "limit": bad }));
            team.post(&node, &ada, path, &body).await.refuses(400, "VALIDATION_ERROR");
        }
    }
}

#[tokio::test]
async fn a_key_may_no_more_than_its_owner_may_now_w23() {
    let (home, member) = (Node::start().await, Node::start().await);
    let team = Team::new(&home, "garden").await;
    let invite = home.post(&team.node_path("invites"), &json!({})).await.with(201);
    member.post("/node/v1/join", &json!({ "ticket": invite["ticket"] })).await.with(200);
    let bob = team.person(&member, "Bob").await;
    let channel = team.channel(&member, "builders", &[&bob]).await;
    team.say(&member, &bob, &channel, "hello").await;
    let body = json!({ "content": "more" });
    let path = format!("streams/{channel}/messages");
    let until = async |status: u16| {
        let look = async {
            loop {
                let got = team.post(&member, &bob, &path, &body).await;
                if got.status == status {
                    return got;
                }
                doors::pause().await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("it is told in time")
    };
    let node_path = team.node_path(&format!("members/{}", member.peer_id));
    home.patch(&node_path, &json!({ "role": "guest" })).await;
    let refused = until(404).await;
    assert_eq!(refused.json["error"], "Missing required permission: messages:write");
    team.get(&member, &bob, "streams").await.with(200);
    home.patch(&node_path, &json!({ "role": "member" })).await;
    until(201).await;
}

#[tokio::test]
async fn an_author_is_called_by_their_name_also_an_archived_bot_w66() {
    let node = Node::start().await;
    let team = Team::new(&node, "garden").await;
    let (ada, bot) = (team.person(&node, "Ada").await, team.bot(&node, "Helper", None).await);
    let channel = team.channel(&node, "builders", &[&ada, &bot]).await;
    team.say(&node, &bot, &channel, "beep").await;
    team.say(&node, &ada, &channel, "bye").await;
    node.post(&team.node_path(&format!("bots/{}/archive", bot.id)), &json!({})).await.with(204);
    let listed = team.get(&node, &ada, &format!("streams/{channel}/messages")).await.with(200);
    assert_eq!(ids(&listed["data"], "authorDisplayName"), ["Helper", "Ada"]);
}

#[tokio::test]
async fn a_state_is_409_and_a_repeat_is_none_w19() {
    let node = Node::start().await;
    let team = Team::new(&node, "garden").await;
    let ada = team.person(&node, "Ada").await;
    let channel = team.channel(&node, "builders", &[&ada]).await;
    let body = json!({ "content": "once", "clientMessageId": "same" });
    for _ in 0..3 {
        team.post(&node, &ada, &format!("streams/{channel}/messages"), &body).await.with(201);
    }
    assert_eq!(team.texts(&node, &ada, &channel).await, ["once"]);
}
