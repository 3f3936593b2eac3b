//! The Workspace door of two nodes of one workspace: one conversation, wherever its people live.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod doors;

use doors::{
    Node, ids,
    team::{Keyed, Team},
    until,
};
use serde_json::{Value, json};

/// A home with ada, and a member with bob.
struct Pair {
    home: Node,
    member: Node,
    team: Team,
    ada: Keyed,
    bob: Keyed,
}

/// A node that tells often where it is, so that those who never met find each other soon.
async fn start() -> Node {
    Node::start_with(&["network.greet_interval_seconds=1"]).await
}

impl Pair {
    async fn new() -> Self {
        let (home, member) = (start().await, start().await);
        let team = Team::new(&home, "garden").await;
        let invite = home.post(&team.node_path("invites"), &json!({})).await.with(201);
        member.post("/node/v1/join", &json!({ "ticket": invite["ticket"] })).await.with(200);
        let (ada, bob) = (team.person(&home, "Ada").await, team.person(&member, "Bob").await);
        Self { home, member, team, ada, bob }
    }
}

async fn slugs(team: &Team, node: &Node, who: &Keyed) -> Vec<String> {
    ids(&team.get(node, who, "users").await.with(200)["data"], "slug")
}

#[tokio::test]
async fn people_of_two_nodes_talk_in_one_channel_and_see_the_same() {
    let Pair { home, member, team, ada, bob } = &Pair::new().await;
    until(vec!["ada".to_owned(), "bob".into()], async || slugs(team, home, ada).await).await;
    let channel = team.channel(home, "builders", &[ada, bob]).await;
    let root = team.say(home, ada, &channel, "Shall we?").await;
    until(vec!["Shall we?".to_owned()], async || {
        match team.get(member, bob, &format!("streams/{channel}/messages")).await {
            got if got.status == 200 => ids(&got.json["data"], "content"),
            _ => Vec::new(),
        }
    })
    .await;
    let thread = team.thread(member, root["id"].as_str().unwrap()).await;
    let reply = team.say(member, bob, &thread, "Yes.").await;
    assert_eq!(reply["sentVia"], format!("api_key:{}", bob.key_id));
    until(json!(1), async || {
        let got = team.get(home, ada, &format!("streams/{channel}/messages")).await.with(200);
        got["data"][0]["replyCount"].clone()
    })
    .await;
    let listed = team.get(home, ada, &format!("streams/{thread}/messages")).await.with(200);
    let shown = |message: &Value| {
        let mut message = message.clone();
        message.as_object_mut().unwrap().remove("sequence"); // each node counts for itself
        message
    };
    assert_eq!(shown(&listed["data"][0]), shown(&reply));
    // An edit and a deletion travel, too.
    let path = format!("messages/{}", reply["id"].as_str().unwrap());
    let body = json!({ "content": "Yes!" });
    team.ask(member, bob, reqwest::Method::PATCH, &path, Some(&body)).await.with(200);
    until(vec!["Yes!".to_owned()], async || team.texts(home, ada, &thread).await).await;
    team.ask(member, bob, reqwest::Method::DELETE, &path, None).await.with(204);
    until(Vec::<String>::new(), async || team.texts(home, ada, &thread).await).await;
    // A key opens the node that made it, and a person is spoken for by theirs.
    team.get(home, bob, "me").await.refuses(401, "UNAUTHORIZED");
    let theirs = json!({ "user_id": bob.id, "scopes": ["users:read"] });
    home.post(&team.node_path("keys"), &theirs).await.refuses(404, "unknown_principal");
}

#[tokio::test]
async fn a_private_stream_is_on_the_nodes_of_its_members_and_nowhere_else() {
    let Pair { home, member, team, ada, bob } = &Pair::new().await;
    let third = start().await;
    let invite = home.post(&team.node_path("invites"), &json!({})).await.with(201);
    third.post("/node/v1/join", &json!({ "ticket": invite["ticket"] })).await.with(200);
    let eve = team.person(&third, "Eve").await;
    let all = || vec!["ada".to_owned(), "bob".into(), "eve".into()];
    for (node, who) in [(home, ada), (member, bob), (&third, &eve)] {
        until(all(), async || slugs(team, node, who).await).await;
    }
    let dm = team.stream(home, json!({ "type": "dm", "member_ids": [ada.id, bob.id] })).await;
    team.say(home, ada, &dm, "between us").await;
    let at_bob = async || match team.get(member, bob, &format!("streams/{dm}/messages")).await {
        got if got.status == 200 => ids(&got.json["data"], "content"),
        _ => Vec::new(),
    };
    until(vec!["between us".to_owned()], at_bob).await;
    team.say(member, bob, &dm, "and nobody else").await;
    until(vec!["between us".to_owned(), "and nobody else".into()], async || team.texts(home, ada, &dm).await)
        .await;
    let again = team.stream(member, json!({ "type": "dm", "member_ids": [bob.id, ada.id] })).await;
    assert_eq!(again, dm);
    team.get(&third, &eve, &format!("streams/{dm}")).await.refuses(403, "FORBIDDEN");
    let store = std::fs::read(third.home.path().join("node/store.redb")).unwrap();
    assert!(!store.windows(10).any(|part| part == b"between us"), "it never came to the third node");
    let three = [ada, bob, &eve].map(|who| who.id.as_str());
    home.post(&team.node_path("streams"), &json!({ "type": "dm", "member_ids": three }))
        .await
        .refuses(400, "invalid_request");
    let path = team.node_path(&format!("streams/{dm}/members"));
    home.post(&path, &json!({ "member_id": eve.id })).await.refuses(400, "invalid_request");
    home.delete(&format!("{path}/{}", bob.id)).await.refuses(400, "invalid_request");
}

#[tokio::test]
async fn a_private_channel_spans_as_many_nodes_as_its_members_have_and_changes_with_them() {
    let Pair { home, member, team, ada, bob } = &Pair::new().await;
    let third = &start().await;
    let invite = home.post(&team.node_path("invites"), &json!({})).await.with(201);
    third.post("/node/v1/join", &json!({ "ticket": invite["ticket"] })).await.with(200);
    let eve = &team.person(third, "Eve").await;
    let all = || vec!["ada".to_owned(), "bob".into(), "eve".into()];
    for (node, who) in [(home, ada), (member, bob), (third, eve)] {
        until(all(), async || slugs(team, node, who).await).await;
    }
    let texts = async |node: &Node, who: &Keyed, stream: &str| match team
        .get(node, who, &format!("streams/{stream}/messages"))
        .await
    {
        got if got.status == 200 => ids(&got.json["data"], "content"),
        _ => Vec::new(),
    };
    let plans = json!({ "type": "channel", "slug": "plans", "visibility": "private",
                        "member_ids": [bob.id, ada.id] });
    let plans = &team.stream(member, plans).await;
    team.say(member, bob, plans, "for the two of us").await;
    until(vec!["for the two of us".to_owned()], async || texts(home, ada, plans).await).await;
    team.get(third, eve, &format!("streams/{plans}")).await.refuses(403, "FORBIDDEN");
    let store = std::fs::read(third.home.path().join("node/store.redb")).unwrap();
    assert!(!store.windows(17).any(|part| part == b"for the two of us"), "it did not come to the third node");
    // Let in from a node that is not the one where the channel was opened.
    let members = team.node_path(&format!("streams/{plans}/members"));
    home.post(&members, &json!({ "member_id": eve.id })).await.with(204);
    until(vec!["for the two of us".to_owned()], async || texts(third, eve, plans).await).await;
    team.say(third, eve, plans, "and for me").await;
    let said = || vec!["for the two of us".to_owned(), "and for me".into()];
    for (node, who) in [(home, ada), (member, bob)] {
        until(said(), async || texts(node, who, plans).await).await;
    }
    // And out again: the node is told, and gets nothing more.
    home.delete(&format!("{members}/{}", eve.id)).await.with(204);
    until(403, async || team.get(third, eve, &format!("streams/{plans}")).await.status).await;
    team.say(home, ada, plans, "without eve again").await;
    until(3, async || texts(member, bob, plans).await.len()).await;
    let store = std::fs::read(third.home.path().join("node/store.redb")).unwrap();
    assert!(!store.windows(17).any(|part| part == b"without eve again"), "it did not come to the third node");
    // A node that only reads holds nothing private.
    let role = team.node_path(&format!("members/{}", third.peer_id));
    home.patch(&role, &json!({ "role": "guest" })).await.with(204);
    home.post(&members, &json!({ "member_id": eve.id })).await.refuses(400, "invalid_request");
}

#[tokio::test]
async fn without_the_home_nobody_new_is_named_and_everybody_talks_on() {
    let Pair { home, member, team, ada, bob } = Pair::new().await;
    let channel = team.channel(&home, "builders", &[&ada, &bob]).await;
    until(true, async || team.get(&member, &bob, &format!("streams/{channel}")).await.status == 200).await;
    until(true, async || {
        let members = team.get(&member, &bob, &format!("streams/{channel}/members")).await.with(200);
        ids(&members["data"], "userId").contains(&bob.id)
    })
    .await;
    let folder = home.kill().await;
    let eve = json!({ "name": "Eve", "email": "eve@example.org" });
    member.post(&team.node_path("users"), &eve).await.refuses(503, "home_unreachable");
    assert!(!slugs(&team, &member, &bob).await.contains(&"eve".to_owned()));
    team.say(&member, &bob, &channel, "anybody here?").await;
    let home = Node::start_in(folder, &[]).await;
    until(vec!["anybody here?".to_owned()], async || team.texts(&home, &ada, &channel).await).await;
    until(201, async || member.post(&team.node_path("users"), &eve).await.status).await;
    until(true, async || slugs(&team, &home, &ada).await.contains(&"eve".to_owned())).await;
}

/// A person on one node summons a bot of another, whose node crashes while a runtime has the work, and whose first
/// runtime is too late; the person's node sleeps meanwhile.
#[tokio::test]
async fn a_bot_of_another_node_answers_once_whatever_crashes_in_between_w136_w137_w142_w150() {
    let Pair { home, member, team, ada, .. } = Pair::new().await;
    let helper = team.bot(&member, "Helper", None).await;
    until(true, async || home.get(&team.node_path("bots")).await.text.contains(&helper.id)).await;
    let channel = team.channel(&home, "builders", &[&ada, &helper]).await;
    let root = team.say(&home, &ada, &channel, "A question").await;
    let thread = team.thread(&home, root["id"].as_str().unwrap()).await;
    team.say(&home, &ada, &thread, "@helper what is it?").await;
    let claim = |node: &Node, instance: &str| {
        let body = json!({ "runtimeKind": "custom", "instanceId": instance, "supportedCapabilities": ["mentionable"],
                           "claimTtlSeconds": 15 });
        let request = node.bare(reqwest::Method::POST, &team.at("bot-invocations/claim"));
        let request = request.bearer_auth(&helper.key).json(&body);
        let path = team.at("bot-invocations/claim");
        async move { doors::answer(&path, request).await.with(200)["data"].take() }
    };
    let mut work = Value::Null;
    until(true, async || {
        work = claim(&member, "first").await;
        !work.is_null()
    })
    .await;
    assert_eq!(
        (&work["promptMarkdown"], &work["responseStreamId"]),
        (&json!("@helper what is it?"), &json!(thread))
    );
    let id = work["id"].as_str().unwrap().to_owned();
    let mine = json!({ "instanceId": "first", "claimToken": work["claimToken"] });
    let step = doors::but(mine.clone(), json!({ "stepType": "thinking", "content": "Hm" }));
    team.post(&member, &helper, &format!("bot-invocations/{id}/steps"), &step).await.with(200);
    // The node crashes; the claim stands, and nobody else gets the work before it lapses.
    let member = Node::start_in(member.kill().await, &[]).await;
    // It listens elsewhere now, which the other node has to hear before it falls asleep.
    team.say(&member, &helper, &channel, "I was away").await;
    until(true, async || team.texts(&home, &ada, &channel).await.contains(&"I was away".to_owned())).await;
    let asleep = home.kill().await;
    let renewal = doors::but(mine.clone(), json!({ "claimTtlSeconds": 15 }));
    team.post(&member, &helper, &format!("bot-invocations/{id}/renew"), &renewal).await.with(200);
    assert_eq!(claim(&member, "second").await, Value::Null);
    let mut taken = Value::Null;
    until(true, async || {
        taken = claim(&member, "second").await;
        !taken.is_null()
    })
    .await;
    assert_eq!(taken["id"], work["id"]);
    let late = doors::but(mine, json!({ "finalMessageMarkdown": "too late" }));
    team.post(&member, &helper, &format!("bot-invocations/{id}/complete"), &late)
        .await
        .refuses(404, "NOT_FOUND");
    let done = json!({ "instanceId": "second", "claimToken": taken["claimToken"], "finalMessageMarkdown": "It is that." });
    for _ in 0..2 {
        team.post(&member, &helper, &format!("bot-invocations/{id}/complete"), &done).await.with(200);
    }
    let home = Node::start_in(asleep, &[]).await;
    let texts = vec!["@helper what is it?".to_owned(), "It is that.".into()];
    until(texts.clone(), async || team.texts(&home, &ada, &thread).await).await;
    let ulid = root["id"].as_str().unwrap().strip_prefix("msg_").unwrap().to_lowercase();
    let other_door = format!(
        "/api/workspaces/{}/network/channels/builders/threads/thread_{ulid}/messages",
        team.workspace
    );
    let shown = home.get(&other_door).await.with(200);
    let texts: Vec<_> =
        shown["messages"].as_array().unwrap().iter().map(|message| &message["body"]["text"]).collect();
    assert_eq!(texts, ["A question", "@helper what is it?", "It is that."]);
}
