//! Searching through the Workspace door of the real program (W-81 to W-87), and what an index that is gone costs.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod doors;

use doors::{
    Node, PATIENCE, ids,
    team::{Keyed, Team},
};
use serde_json::{Value, json};

async fn found(team: &Team, node: &Node, who: &Keyed, body: &Value) -> Vec<String> {
    ids(&team.post(node, who, "messages/search", body).await.with(200)["data"], "content")
}

/// Searches until as many are found: the index follows the store a moment later.
async fn until_found(team: &Team, node: &Node, who: &Keyed, query: &str, count: usize) {
    let body = json!({ "query": query, "limit": 50 });
    let look = async {
        while found(team, node, who, &body).await.len() != count {
            doors::pause().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the index follows in time");
}

#[tokio::test]
async fn messages_are_found_by_words_by_text_and_by_meaning_where_they_may_be_read_w81_w82_w83_w84_w85_w86_w87()
 {
    let node = Node::start().await;
    let team = Team::new(&node, "garden").await;
    let (ada, bob) = (team.person(&node, "Ada").await, team.person(&node, "Bob").await);
    let channel = team.channel(&node, "builders", &[&ada, &bob]).await;
    let pad = team.stream(&node, json!({ "type": "scratchpad", "member_ids": [ada.id] })).await;
    team.say(&node, &ada, &channel, "The deployment failed again on Friday").await;
    let root = team.say(&node, &bob, &channel, "Friday deployments are a bad idea").await;
    let thread = team.thread(&node, root["id"].as_str().unwrap()).await;
    team.say(&node, &ada, &thread, "I deployed 100% of it_all").await;
    team.say(&node, &ada, &pad, "secret deployment notes").await;
    until_found(&team, &node, &ada, "deploy", 4).await;
    assert_eq!(
        found(&team, &node, &bob, &json!({ "query": "secret deployment notes" })).await.len(),
        3,
        "W-35"
    );

    let two = found(&team, &node, &bob, &json!({ "query": "deployment friday" })).await;
    assert_eq!(two.len(), 3);
    assert!(
        two[..2].iter().all(|text| text.contains("Friday")),
        "those with all words come first (W-82): {two:?}"
    );
    let phrase = found(&team, &node, &bob, &json!({ "query": "\"failed again\"" })).await;
    assert_eq!(phrase, ["The deployment failed again on Friday"]);
    let literal = json!({ "query": "0% OF it_", "exact": true, "semantic": true });
    let exact = team.post(&node, &bob, "messages/search", &literal).await.with(200);
    assert_eq!(ids(&exact["data"], "content"), ["I deployed 100% of it_all"], "W-83");
    assert_eq!(exact["data"][0]["rank"], json!(0.0));
    let mut shown: Vec<_> = exact["data"][0].as_object().unwrap().keys().map(String::as_str).collect();
    shown.sort_unstable();
    let fields = "authorDisplayName authorId authorType content createdAt id metadata rank replyCount sequence streamId";
    assert_eq!(shown.join(" "), fields, "W-87");
    let answer = team
        .post(&node, &bob, "messages/search", &json!({ "query": "release broke", "semantic": true }))
        .await;
    assert_eq!(answer.headers["x-search-tier"], "lexical");
    assert_eq!(found(&team, &node, &bob, &json!({ "query": "zebra" })).await, [""; 0]);

    // Filters (W-85).
    let all = |more: Value| doors::but(json!({ "query": "deployment friday deployed" }), more);
    assert_eq!(found(&team, &node, &bob, &all(json!({ "streams": [channel] }))).await.len(), 3);
    assert_eq!(found(&team, &node, &bob, &all(json!({ "streams": [thread] }))).await.len(), 1);
    assert_eq!(found(&team, &node, &bob, &all(json!({ "streams": [pad, "nope"] }))).await.len(), 0);
    assert_eq!(found(&team, &node, &bob, &all(json!({ "streams": [] }))).await.len(), 3);
    assert_eq!(found(&team, &node, &bob, &all(json!({ "from": bob.id }))).await.len(), 1);
    assert_eq!(found(&team, &node, &bob, &all(json!({ "type": ["thread"] }))).await.len(), 1);
    let at = root["createdAt"].as_str().unwrap();
    assert_eq!(found(&team, &node, &bob, &all(json!({ "before": at }))).await.len(), 1);
    assert_eq!(found(&team, &node, &bob, &all(json!({ "after": at }))).await.len(), 2);
    assert_eq!(found(&team, &node, &bob, &all(json!({ "limit": "1" }))).await.len(), 1);
    for bad in [
        json!({}),
        json!({ "query": "" }),
        json!({ "query": "x", "limit": 51 }),
        json!({ "query": "x", "semantic": "yes" }),
        json!({ "query": "x", "type": ["room"] }),
        json!({ "query": "x", "before": "2026-06-12T09:00:00+02:00" }),
        json!({ "query": "x", "streams": "all" }),
    ] {
        team.post(&node, &bob, "messages/search", &bad).await.refuses(400, "VALIDATION_ERROR");
    }

    // An edit and a deletion, and what is archived.
    let path = format!("messages/{}", root["id"].as_str().unwrap());
    let body = json!({ "content": "Mondays are better" });
    team.ask(&node, &bob, reqwest::Method::PATCH, &path, Some(&body)).await.with(200);
    until_found(&team, &node, &bob, "mondays", 1).await;
    assert_eq!(found(&team, &node, &bob, &json!({ "query": "idea" })).await.len(), 0);
    team.ask(&node, &bob, reqwest::Method::DELETE, &path, None).await.with(204);
    until_found(&team, &node, &bob, "mondays", 0).await;
    node.post(&team.node_path(&format!("streams/{channel}/archive")), &json!({})).await.with(204);
    assert_eq!(
        found(&team, &node, &ada, &json!({ "query": "deployment" })).await,
        ["secret deployment notes"],
        "W-37"
    );
}

#[tokio::test]
async fn an_index_that_is_gone_is_made_anew_from_the_store() {
    let node = Node::start().await;
    let team = Team::new(&node, "garden").await;
    let ada = team.person(&node, "Ada").await;
    let channel = team.channel(&node, "builders", &[&ada]).await;
    for number in 0..30 {
        team.say(&node, &ada, &channel, &format!("apple number {number}")).await;
    }
    until_found(&team, &node, &ada, "apple", 30).await;
    let folder = node.terminate_in_place().await;
    std::fs::remove_dir_all(folder.path().join("node/search")).unwrap();
    let node = Node::start_in(folder, &[]).await;
    assert_eq!(team.texts(&node, &ada, &channel).await.len(), 30, "reading waits for nothing");
    until_found(&team, &node, &ada, "apple", 30).await;
    let status = node.get("/node/v1/status").await.with(200);
    assert_eq!(status["search"]["events"], status["search"]["events_total"]);
    assert_eq!(status["search_tier"], "lexical");
    // One that was cut short by a crash goes on where it was.
    team.say(&node, &ada, &channel, "apple number last").await;
    let node = Node::start_in(node.kill().await, &[]).await;
    until_found(&team, &node, &ada, "apple", 31).await;
}

#[tokio::test]
async fn what_is_said_on_another_node_is_found_here() {
    let (home, member) = (Node::start().await, Node::start().await);
    let team = Team::new(&home, "garden").await;
    let invite = home.post(&team.node_path("invites"), &json!({})).await.with(201);
    member.post("/node/v1/join", &json!({ "ticket": invite["ticket"] })).await.with(200);
    let (ada, bob) = (team.person(&home, "Ada").await, team.person(&member, "Bob").await);
    let channel = team.channel(&home, "builders", &[&ada]).await;
    team.say(&home, &ada, &channel, "a pear from afar").await;
    until_found(&team, &member, &bob, "pear", 1).await;
}
