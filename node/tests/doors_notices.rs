//! Notices in the real program: what the system says to people, where it says it, and that nobody else writes there
//! (W-66, W-75, W-129).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod doors;

use std::{
    path::Path,
    sync::{Arc, mpsc},
    time::UNIX_EPOCH,
};

use doors::{
    Node, ids,
    team::{Keyed, Team},
    until,
};
use muster::data_folder::DataFolder;
use muster_protocol::{
    ids::{StreamId, exact_ulid},
    stream::{StreamChanged, StreamPart},
};
use muster_storage::{Batch, Disk, Options, Store};
use reqwest::Method;
use serde_json::{Value, json};

/// A home with ada, and a member with her bot.
struct Pair {
    home: Node,
    member: Node,
    team: Team,
    ada: Keyed,
    helper: Keyed,
}

impl Pair {
    async fn new() -> Self {
        let (home, member) = (Node::start().await, Node::start().await);
        let team = Team::new(&home, "garden").await;
        let invite = home.post(&team.node_path("invites"), &json!({})).await.with(201);
        member.post("/node/v1/join", &json!({ "ticket": invite["ticket"] })).await.with(200);
        let ada = team.person(&home, "Ada").await;
        until(true, async || member.get(&team.node_path("users")).await.text.contains(&ada.id)).await;
        let helper = team.bot(&member, "Helper", Some(&ada.id)).await;
        until(true, async || home.get(&team.node_path("bots")).await.text.contains(&helper.id)).await;
        Self { home, member, team, ada, helper }
    }
}

/// The messages of a stream by the system, as somebody reads them.
async fn notices(team: &Team, node: &Node, who: &Keyed, stream: &str) -> Vec<Value> {
    let window = team.get(node, who, &format!("streams/{stream}/messages")).await.with(200);
    let all = window["data"].as_array().unwrap().iter();
    all.filter(|message| message["authorType"] == "system").cloned().collect()
}

/// A notice has the system for its author, and nobody changes it.
async fn assert_is_nobodys(team: &Team, node: &Node, who: &Keyed, notice: &Value) {
    assert_eq!((&notice["authorId"], &notice["authorType"]), (&json!("system"), &json!("system")));
    assert_eq!((notice.get("authorDisplayName"), notice.get("sentVia")), (None, None), "W-66");
    assert_eq!((&notice["metadata"], &notice["replyCount"]), (&json!({}), &json!(0)));
    let path = format!("messages/{}", notice["id"].as_str().unwrap());
    let edit = json!({ "content": "never mind" });
    team.ask(node, who, Method::PATCH, &path, Some(&edit)).await.refuses(403, "FORBIDDEN");
    team.ask(node, who, Method::DELETE, &path, None).await.refuses(403, "FORBIDDEN");
}

/// Makes a bot the one that answers in a stream, as no request does it without a session: in the store of a node that
/// does not run.
fn activate(folder: &Path, stream: &str, bot: &str) {
    let data = DataFolder::open(folder).unwrap();
    let identity = Arc::new(data.load_or_make_identity(&|_| panic!("it has one")).unwrap());
    let blobs = data.blobs_path();
    let options = Options { cache_bytes: 1 << 20, inbox_depth: 3, inline: true, fresh: [7; 24], blobs };
    let store = Store::open(Disk::File(data.store_path()), identity, &options).unwrap();
    let id = exact_ulid(stream.strip_prefix("stream_").unwrap()).unwrap();
    let id = StreamId(id.to_bytes());
    let view = store.view().unwrap();
    let workspace = view.workspaces().unwrap().remove(0);
    let space = view.stream(&workspace, id).unwrap().unwrap().space;
    let part = StreamPart::ActiveActor(Some(bot.parse().unwrap()));
    let changed = StreamChanged { channel: String::new(), thread: String::new(), part };
    let now_ms = UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    let (tell, told) = mpsc::channel();
    let work = move |batch: &mut Batch<'_>| batch.change_stream(space, id, &changed);
    store.write(now_ms, work, move |taken| tell.send(taken).unwrap()).unwrap();
    assert!(told.recv().unwrap());
}

#[tokio::test]
async fn where_the_active_bot_has_no_session_a_notice_says_so_and_no_work_arises_w66_w71_w129() {
    let Pair { home, member, team, ada, helper } = Pair::new().await;
    let session = |name: &str| {
        json!({
            "runtimeKind": "pi-local", "instanceId": "laptop", "runtimeSessionId": name,
            "displayName": "Work", "localCwd": "/home/ada",
        })
    };
    // With a session elsewhere it is a bot that answers in scratchpads.
    team.post(&member, &helper, "bot-runtime/sessions", &session("s1")).await.with(200);
    let pad = json!({ "type": "scratchpad", "member_ids": [ada.id, helper.id] });
    let pad = team.stream(&member, pad).await;
    until(200, async || team.get(&home, &ada, &format!("streams/{pad}")).await.status).await;
    let folder = member.terminate_in_place().await;
    activate(&folder.path().join("node"), &pad, &helper.id);
    let member = Node::start_in(folder, &[]).await;

    let told = async || notices(&team, &home, &ada, &pad).await;
    for said in 1..=2 {
        team.say(&home, &ada, &pad, "hello?").await;
        until(said, async || told().await.len()).await;
    }
    let all = team.texts(&home, &ada, &pad).await;
    assert_eq!(all.len(), 4, "one notice for each message, and none for a notice: {all:?}");
    let notice = told().await.remove(0);
    assert!(notice["content"].as_str().unwrap().contains("@helper has no session"), "{notice}");
    assert_is_nobodys(&team, &home, &ada, &notice).await;
    let claim = json!({
        "runtimeKind": "pi-local", "instanceId": "laptop",
        "supportedCapabilities": ["mentionable", "active-scratchpad"],
    });
    let work = team.post(&member, &helper, "bot-invocations/claim", &claim).await.with(200);
    assert_eq!(work["data"], Value::Null);
    // It is found like any message.
    let search = json!({ "query": "session", "from": "system" });
    until(2, async || {
        let found = team.post(&home, &ada, "messages/search", &search).await.with(200);
        ids(&found["data"], "content").len()
    })
    .await;
    // What the notice advises helps.
    let linked = team.post(&member, &helper, "bot-runtime/sessions", &session("s2")).await.with(200);
    let pad = linked["data"]["activeStreamId"].as_str().unwrap().to_owned();
    until(200, async || team.get(&home, &ada, &format!("streams/{pad}")).await.status).await;
    until(201, async || {
        let body = json!({ "content": "hello again", "clientMessageId": "c1" });
        team.post(&home, &ada, &format!("streams/{pad}/messages"), &body).await.status
    })
    .await;
    let claim = doors::but(claim, json!({ "runtimeSessionId": "s2" }));
    until(true, async || {
        let work = team.post(&member, &helper, "bot-invocations/claim", &claim).await.with(200);
        work["data"]["promptMarkdown"] == "hello again"
    })
    .await;
    assert_eq!(notices(&team, &home, &ada, &pad).await, Vec::<Value>::new());
}

#[tokio::test]
async fn who_summoned_a_bot_of_another_node_in_vain_is_told_on_their_own_w75_w76() {
    let Pair { home, member, team, ada, helper } = Pair::new().await;
    let (eve, bob) = (team.person(&home, "Eve").await, team.person(&member, "Bob").await);
    let channel = team.channel(&home, "builders", &[&ada, &helper]).await;
    let streams = async |node: &Node, who: &Keyed| {
        team.get(node, who, "streams?type=system").await.with(200)["data"].as_array().unwrap().clone()
    };
    assert_eq!(streams(&home, &ada).await, Vec::<Value>::new(), "there was nothing to tell yet");
    let asked = team.say(&home, &ada, &channel, "@helper, are you there?").await;
    let claim = json!({
        "runtimeKind": "custom", "instanceId": "laptop", "supportedCapabilities": ["mentionable"],
    });
    let mut work = Value::Null;
    until(true, async || {
        work = team.post(&member, &helper, "bot-invocations/claim", &claim).await.with(200)["data"].take();
        !work.is_null()
    })
    .await;
    let failed = json!({
        "instanceId": "laptop", "claimToken": work["claimToken"], "errorMessage": "the disk is full",
    });
    let path = format!("bot-invocations/{}/fail", work["id"].as_str().unwrap());
    team.post(&member, &helper, &path, &failed).await.with(200);

    until(1, async || streams(&home, &ada).await.len()).await;
    let stream = streams(&home, &ada).await.remove(0);
    for (name, is) in [("type", "system"), ("displayName", "Notices"), ("visibility", "private")] {
        assert_eq!(stream[name], is);
    }
    let id = stream["id"].as_str().unwrap().to_owned();
    until(1, async || notices(&team, &home, &ada, &id).await.len()).await;
    let notice = notices(&team, &home, &ada, &id).await.remove(0);
    let content = notice["content"].as_str().unwrap();
    for part in ["@helper", "#builders", asked["id"].as_str().unwrap(), "the disk is full"] {
        assert!(content.contains(part), "{content}");
    }
    assert_is_nobodys(&team, &home, &ada, &notice).await;
    let messages = format!("streams/{id}/messages");
    let refused = team.post(&home, &ada, &messages, &json!({ "content": "thanks" })).await;
    refused.refuses(403, "STREAM_READ_ONLY");
    assert_eq!(refused.json["details"], json!({ "reason": "system_stream" }));

    // It is hers alone.
    for (node, who) in [(&home, &eve), (&member, &bob), (&member, &helper)] {
        assert_eq!(streams(node, who).await, Vec::<Value>::new());
        team.get(node, who, &messages).await.refuses(403, "FORBIDDEN");
    }
    let members = team.node_path(&format!("streams/{id}/members"));
    home.post(&members, &json!({ "member_id": eve.id })).await.refuses(400, "invalid_request");
    home.delete(&format!("{members}/{}", ada.id)).await.refuses(400, "invalid_request");
    let thread = json!({ "type": "thread", "parent_message_id": notice["id"] });
    home.post(&team.node_path("streams"), &thread).await.refuses(400, "invalid_request");

    // Another life of her node finds it told, and tells it no more.
    let home = Node::start_in(home.kill().await, &[]).await;
    team.say(&home, &ada, &channel, "@helper, and now?").await;
    until(true, async || {
        work = team.post(&member, &helper, "bot-invocations/claim", &claim).await.with(200)["data"].take();
        !work.is_null()
    })
    .await;
    let done = json!({
        "instanceId": "laptop", "claimToken": work["claimToken"], "finalMessageMarkdown": "Yes.",
    });
    let path = format!("bot-invocations/{}/complete", work["id"].as_str().unwrap());
    team.post(&member, &helper, &path, &done).await.with(200);
    until(true, async || team.texts(&home, &ada, &channel).await.contains(&"Yes.".to_owned())).await;
    assert_eq!(notices(&team, &home, &ada, &id).await, [notice]);
}
