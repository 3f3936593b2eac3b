//! Memos through the doors of the real program (W-88 to W-98).
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test: a server beside it lives in a task"
)]

mod doors;

use axum::{Json, Router, routing};
use doors::{
    Node, PATIENCE,
    team::{Keyed, Team},
};
use reqwest::Method;
use serde_json::{Value, json};

/// A workspace with a channel in which ada and a bot take part, and bob, who takes part in nothing.
struct Room {
    node: Node,
    team: Team,
    ada: Keyed,
    bob: Keyed,
    bot: Keyed,
    channel: String,
}

impl Room {
    async fn new() -> Self {
        Self::on(Node::start_with(&["workspace.memo_quiet_seconds=0"]).await).await
    }

    async fn on(node: Node) -> Self {
        let team = Team::new(&node, "garden").await;
        let (ada, bob) = (team.person(&node, "Ada").await, team.person(&node, "Bob").await);
        let bot = team.bot(&node, "Helper", None).await;
        let channel = team.channel(&node, "builders", &[&ada, &bot]).await;
        Self { node, team, ada, bob, bot, channel }
    }

    async fn say(&self, who: &Keyed, text: &str) -> String {
        self.team.say(&self.node, who, &self.channel, text).await["id"].as_str().unwrap().to_owned()
    }

    async fn search(&self, who: &Keyed, query: Value) -> Vec<Value> {
        let mut found = self.team.post(&self.node, who, "memos/search", &query).await.with(200);
        match found["data"].take() {
            Value::Array(found) => found,
            other => panic!("no list: {other}"),
        }
    }

    async fn titles(&self, who: &Keyed, query: Value) -> Vec<String> {
        let found = self.search(who, query).await;
        found.iter().map(|found| found["memo"]["title"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the search index has all that was said: it follows the store a moment later.
    async fn indexed(&self) {
        let look = async {
            loop {
                let search = self.node.get("/node/v1/status").await.with(200)["search"].take();
                if search["events"] == search["events_total"] {
                    break;
                }
                doors::pause().await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("the index follows in time");
    }

    async fn get(&self, who: &Keyed, id: &Value, status: u16) -> Value {
        let path = format!("memos/{}", id.as_str().unwrap());
        self.team.get(&self.node, who, &path).await.with(status)["data"].take()
    }

    async fn write(&self, body: &Value, status: u16) -> Value {
        self.node.post(&self.team.node_path("memos"), body).await.with(status)
    }
}

const DECISION: &str = "Decision: use redb #storage\n\nOne file.\n\n- it is small";

#[tokio::test]
async fn a_message_makes_a_memo_and_the_memo_points_back_w88_w90_w95_w96_w97() {
    let room = Room::new().await;
    let message = room.say(&room.bot, DECISION).await;
    let found = room.search(&room.bob, json!({})).await.remove(0);
    let memo = &found["memo"];
    assert_eq!(memo["sourceMessageIds"], json!([message]));
    for (field, value) in [
        ("workspaceId", json!(room.team.workspace)),
        ("memoType", json!("message")),
        ("sourceMessageId", json!(message)),
        ("sourceConversationId", json!(null)),
        ("title", json!("use redb #storage")),
        ("abstract", json!("One file.")),
        ("keyPoints", json!(["it is small"])),
        ("participantIds", json!([room.bot.id])),
        ("knowledgeType", json!("decision")),
        ("tags", json!(["storage"])),
        ("parentMemoId", json!(null)),
        ("status", json!("active")),
        ("version", json!(1)),
        ("revisionReason", json!(null)),
        ("archivedAt", json!(null)),
    ] {
        assert_eq!(memo[field], value, "{field}");
    }
    assert_eq!(found["distance"], json!(0.0));
    assert_eq!(found["sourceStream"], json!({ "id": room.channel, "type": "channel", "name": "#builders" }));
    assert_eq!(found["rootStream"], json!(null));
    let mut detail = room.get(&room.bob, &memo["id"], 200).await;
    let sources = detail["sourceMessages"].take();
    assert_eq!(sources[0]["content"], json!(DECISION));
    assert_eq!(
        (&sources[0]["authorName"], &sources[0]["streamName"]),
        (&json!("Helper"), &json!("#builders"))
    );
    assert_eq!((&sources[0]["authorId"], &sources[0]["authorType"]), (&json!(room.bot.id), &json!("bot")));
    detail.as_object_mut().unwrap().remove("sourceMessages");
    assert_eq!(detail, found, "what is fetched is what is found");
}

#[tokio::test]
async fn edits_and_the_end_of_the_message_are_followed_w70_w91_w97() {
    let room = Room::new().await;
    let message = room.say(&room.ada, DECISION).await;
    let first = room.search(&room.ada, json!({})).await.remove(0)["memo"].take();
    let path = format!("messages/{message}");
    let edit = json!({ "content": "Decision: use files" });
    room.team.ask(&room.node, &room.ada, Method::PATCH, &path, Some(&edit)).await.with(200);
    let second = room.search(&room.ada, json!({})).await.remove(0)["memo"].take();
    assert_eq!((&second["version"], &second["revisionReason"]), (&json!(2), &json!("source edited")));
    assert_eq!((&second["parentMemoId"], &second["title"]), (&first["id"], &json!("use files")));
    let before = room.get(&room.ada, &first["id"], 200).await;
    assert_eq!(
        (&before["memo"]["status"], &before["memo"]["title"]),
        (&json!("superseded"), &first["title"])
    );
    room.team.ask(&room.node, &room.ada, Method::DELETE, &path, None).await.with(204);
    assert!(room.search(&room.ada, json!({})).await.is_empty());
    let gone = room.get(&room.ada, &second["id"], 200).await;
    assert_eq!((&gone["memo"]["status"], &gone["sourceMessages"]), (&json!("archived"), &json!([])));
    assert_eq!(gone["memo"]["archivedAt"], gone["memo"]["updatedAt"]);
    assert!(gone["memo"]["archivedAt"].is_string());
}

#[tokio::test]
async fn a_query_browses_ranks_or_matches_literally_and_filters_hold_w92_w94_w95() {
    let room = Room::new().await;
    room.say(&room.ada, "Decision: backups nightly #ops\n\nto the cellar").await;
    room.say(&room.ada, "Context: the cellar floods").await;
    room.indexed().await;
    let browsed = ["the cellar floods", "backups nightly #ops"];
    for query in [
        json!({}),
        json!({ "query": "" }),
        json!({ "query": "\"\"" }),
        json!({ "query": " ", "exact": true }),
    ] {
        assert_eq!(room.titles(&room.ada, query.clone()).await, browsed, "{query}");
    }
    assert_eq!(
        room.titles(&room.ada, json!({ "query": "nightly cellar" })).await,
        ["backups nightly #ops", "the cellar floods"]
    );
    let ranked = room.search(&room.ada, json!({ "query": "nightly cellar" })).await;
    assert!(ranked.is_sorted_by_key(|found| (found["distance"].as_f64().unwrap() * 1000.0) as i64));
    for query in [json!({ "query": "\"THE CELLAR\"" }), json!({ "query": "the cellar", "exact": true })] {
        assert_eq!(room.titles(&room.ada, query).await, browsed);
    }
    assert_eq!(room.titles(&room.ada, json!({ "query": "cellar the", "exact": true })).await, [""; 0]);
    for (query, titles) in [
        (json!({ "limit": 1 }), &browsed[..1]),
        (json!({ "limit": "1" }), &browsed[..1]),
        (json!({ "knowledgeType": ["decision"] }), &browsed[1..]),
        (json!({ "tags": ["ops", "none"] }), &browsed[1..]),
        (json!({ "memoType": ["message"] }), &browsed[..]),
        (json!({ "memoType": ["conversation"] }), &[]),
        (json!({ "streams": [room.channel] }), &browsed[..]),
        (json!({ "streams": [] }), &browsed[..]),
        (json!({ "streams": ["stream_01J9ZK3V5T8Q2M4N6P7R8S9TAB"] }), &[]),
        (json!({ "streams": ["nonsense"] }), &[]),
        (json!({ "after": "2100-01-01T00:00:00.000Z" }), &[]),
        (json!({ "before": "2100-01-01T00:00:00.000Z", "after": "2020-01-01T00:00:00Z" }), &browsed[..]),
    ] {
        assert_eq!(room.titles(&room.ada, query.clone()).await, titles, "{query}");
    }
    for (query, field) in [
        (json!({ "knowledgeType": ["opinion"] }), "knowledgeType"),
        (json!({ "memoType": ["thread"] }), "memoType"),
        (json!({ "limit": 101 }), "limit"),
        (json!({ "limit": 0 }), "limit"),
        (json!({ "after": "2020-01-01T00:00:00+01:00" }), "after"),
        (json!({ "exact": "yes" }), "exact"),
        (json!({ "tags": "ops" }), "tags"),
    ] {
        let refused = room.team.post(&room.node, &room.ada, "memos/search", &query).await.with(400);
        assert_eq!(refused["code"], json!("VALIDATION_ERROR"), "{query}");
        assert!(refused["details"][field].is_array(), "{query}: {refused}");
    }
    // A body may be left out (W-6).
    let nothing = room.team.ask(&room.node, &room.ada, Method::POST, "memos/search", None).await.with(200);
    assert_eq!(nothing["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn who_cannot_read_the_messages_sees_no_memo_w17_w35_w37_w93_w98() {
    let room = Room::new().await;
    let pad = json!({ "type": "scratchpad", "display_name": "Pad", "member_ids": [room.ada.id] });
    let pad = room.team.stream(&room.node, pad).await;
    room.team.say(&room.node, &room.ada, &pad, "Decision: my own").await;
    let own = room.search(&room.ada, json!({})).await.remove(0)["memo"].take();
    assert!(room.search(&room.bob, json!({})).await.is_empty());
    let hidden = room.get(&room.bob, &own["id"], 404).await;
    let unknown = json!("memo_01J9ZK3V5T8Q2M4N6P7R8S9TAB");
    assert_eq!(hidden, room.get(&room.bob, &unknown, 404).await);
    room.get(&room.ada, &json!("nonsense"), 404).await;
    let blind = room.team.key(&room.node, &room.ada.id, &["messages:read"]).await;
    let refused = room.team.post(&room.node, &blind, "memos/search", &json!({})).await.with(404);
    assert_eq!(refused["error"], json!("Missing required permission: memos:read"));

    room.say(&room.ada, DECISION).await;
    assert_eq!(room.search(&room.bot, json!({})).await.len(), 1);
    let archive = room.team.node_path(&format!("streams/{}/archive", room.channel));
    room.node.post(&archive, &json!({})).await.with(204);
    assert_eq!(room.search(&room.bot, json!({})).await.len(), 0);
    assert_eq!(room.search(&room.ada, json!({})).await.len(), 2);
}

#[tokio::test]
async fn memos_of_a_thread_name_its_root_w96() {
    let room = Room::new().await;
    let message = room.say(&room.ada, "shall we?").await;
    let thread = room.team.thread(&room.node, &message).await;
    room.team.say(&room.node, &room.ada, &thread, "Decision: we shall").await;
    let found = room.search(&room.ada, json!({ "streams": [room.channel] })).await.remove(0);
    assert_eq!(
        (&found["sourceStream"]["id"], &found["sourceStream"]["type"]),
        (&json!(thread), &json!("thread"))
    );
    assert_eq!(found["rootStream"], json!({ "id": room.channel, "type": "channel", "name": "#builders" }));
}

#[tokio::test]
async fn people_write_memos_by_hand_and_are_told_what_does_not_fit() {
    let room = Room::new().await;
    let (one, two) = (room.say(&room.ada, "one").await, room.say(&room.bot, "two").await);
    let good = json!({
        "title": "How it went", "abstract": "Well.", "knowledge_type": "learning", "key_points": ["fast"],
        "tags": ["#Speed"], "source_message_ids": [two, one],
    });
    let id = room.write(&good, 201).await["id"].take();
    let detail = room.get(&room.bob, &id, 200).await;
    assert_eq!(
        (&detail["memo"]["memoType"], &detail["memo"]["tags"]),
        (&json!("conversation"), &json!(["speed"]))
    );
    assert!(detail["memo"]["sourceConversationId"].as_str().unwrap().starts_with("conv_"));
    assert_eq!(detail["memo"]["sourceMessageId"], json!(null));
    assert_eq!(detail["memo"]["participantIds"], json!([room.bot.id, room.ada.id]));
    assert_eq!(doors::ids(&detail["sourceMessages"], "content"), ["one", "two"]);
    let alone = json!({ "title": "Alone", "abstract": "No source.", "knowledge_type": "context" });
    let id = room.write(&alone, 201).await["id"].take();
    let detail = room.get(&room.bob, &id, 200).await;
    assert_eq!((&detail["sourceStream"], &detail["sourceMessages"]), (&json!(null), &json!([])));
    assert_eq!(room.titles(&room.bob, json!({})).await, ["Alone", "How it went"]);

    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    for (body, status, code) in [
        (with("title", json!(" ")), 400, "invalid_request"),
        (with("abstract", json!("")), 400, "invalid_request"),
        (with("knowledge_type", json!("opinion")), 400, "invalid_request"),
        (with("tags", json!(["two words"])), 400, "invalid_request"),
        (with("key_points", json!([""])), 400, "invalid_request"),
        (with("source_message_ids", json!(["msg_01J9ZK3V5T8Q2M4N6P7R8S9TAB"])), 404, "unknown_message"),
        (with("source_message_ids", json!(["nonsense"])), 404, "unknown_message"),
        (json!({}), 400, "invalid_request"),
    ] {
        assert_eq!(room.write(&body, status).await["code"], json!(code), "{body}");
    }
}

#[tokio::test]
async fn a_memo_waits_until_the_conversation_paused_w89() {
    let room = Room::on(Node::start().await).await; // thirty seconds
    room.say(&room.ada, DECISION).await;
    assert!(room.search(&room.ada, json!({})).await.is_empty());
}

#[tokio::test]
async fn a_paraphrase_finds_a_memo_and_who_may_not_read_it_never_w35_w92_w93() {
    let room = Room::new().await;
    let pad = json!({ "type": "scratchpad", "display_name": "Pad", "member_ids": [room.ada.id] });
    let pad = room.team.stream(&room.node, pad).await;
    for text in ["Learning: the deployment failed", "Context: roses", "Decision: secret deployment"] {
        room.team.say(&room.node, &room.ada, &pad, text).await;
    }
    let said = room.say(&room.ada, "Learning: the deployment failed on Friday").await;
    room.indexed().await;
    let asked = json!({ "query": "release broke" });
    let answer = room.team.post(&room.node, &room.bob, "memos/search", &asked).await;
    assert_eq!(answer.headers["x-search-tier"], "lexical");
    let found = answer.with(200)["data"].take();
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found[0]["memo"]["sourceMessageId"], json!(said));
    assert_eq!(room.titles(&room.ada, asked).await.len(), 3);
    for query in [
        json!({ "query": "secret" }),
        json!({ "query": "secret", "exact": true }),
        json!({ "query": "secret deployment", "streams": [pad] }),
    ] {
        let found = room.titles(&room.bob, query.clone()).await;
        assert!(!found.iter().any(|title| title.starts_with("secret")), "{query}: {found:?}");
        assert!(room.titles(&room.ada, query.clone()).await[0].starts_with("secret"), "{query}");
    }
    // Messages are found as before, and no memo among them.
    let messages = json!({ "query": "deployment", "limit": 50 });
    let found = room.team.post(&room.node, &room.ada, "messages/search", &messages).await.with(200);
    assert_eq!(found["data"].as_array().unwrap().len(), 3, "{found}");
}

#[tokio::test]
async fn a_memo_whose_message_was_edited_or_deleted_is_found_no_longer_w70_w93() {
    let room = Room::new().await;
    let (one, two) = (
        room.say(&room.ada, "Decision: apples and pears").await,
        room.say(&room.ada, "Decision: apples and plums").await,
    );
    room.indexed().await;
    let apples = json!({ "query": "apples" });
    assert_eq!(room.titles(&room.bob, apples.clone()).await.len(), 2);
    let edit = json!({ "content": "Decision: cherries" });
    let change = async |method, message: &str, body| {
        let path = format!("messages/{message}");
        room.team.ask(&room.node, &room.ada, method, &path, body).await
    };
    change(Method::PATCH, &one, Some(&edit)).await.with(200);
    // At once, also while the index still proposes it.
    assert_eq!(room.titles(&room.bob, apples.clone()).await, ["apples and plums"]);
    change(Method::DELETE, &two, None).await.with(204);
    assert_eq!(room.titles(&room.bob, apples.clone()).await, [""; 0]);
    room.indexed().await;
    assert_eq!(room.titles(&room.bob, apples).await, [""; 0]);
    assert_eq!(room.titles(&room.bob, json!({ "query": "cherry" })).await, ["cherries"]);
    assert_eq!(room.titles(&room.bob, json!({ "query": "\"cherr\"" })).await, ["cherries"]);
}

#[tokio::test]
async fn an_index_that_was_deleted_finds_memos_again() {
    let room = Room::new().await;
    room.say(&room.ada, "Decision: apples and pears").await;
    let by_hand = json!({ "title": "Apples by hand", "abstract": "Well.", "knowledge_type": "learning" });
    room.write(&by_hand, 201).await;
    room.indexed().await;
    let both = ["apples and pears", "Apples by hand"].map(str::to_owned);
    let sorted = |mut titles: Vec<String>| {
        titles.sort_by_key(|title| title.to_lowercase());
        titles
    };
    assert_eq!(sorted(room.titles(&room.bob, json!({ "query": "apple" })).await), both);
    let Room { node, team, ada, bob, bot, channel } = room;
    let folder = node.terminate_in_place().await;
    std::fs::remove_dir_all(folder.path().join("node/search")).unwrap();
    let node = Node::start_in(folder, &["workspace.memo_quiet_seconds=0"]).await;
    let room = Room { node, team, ada, bob, bot, channel };
    room.indexed().await;
    assert_eq!(sorted(room.titles(&room.bob, json!({ "query": "apple" })).await), both);
}

/// A server that knows animals alone: its address.
async fn animals() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let embed = |Json(asked): Json<Value>| async move {
        let is_animal = |text: &str| ["cat", "dog"].iter().any(|animal| text.contains(animal));
        let vector = |text: &Value| if is_animal(text.as_str().unwrap()) { [1.0, 0.0] } else { [0.0, 1.0] };
        let texts = asked["input"].as_array().unwrap().iter().enumerate();
        let data: Vec<_> =
            texts.map(|(index, text)| json!({ "index": index, "embedding": vector(text) })).collect();
        Json(json!({ "data": data }))
    };
    let server = axum::serve(listener, Router::new().route("/v1/embeddings", routing::post(embed)));
    tokio::spawn(async move { server.await.unwrap() });
    format!("http://{address}/v1")
}

#[tokio::test]
async fn a_model_at_an_address_ranks_memos_too_and_is_named_w84_w92() {
    let url = format!("search.embeddings_url={}", animals().await);
    let settings = ["workspace.memo_quiet_seconds=0", &url, "search.embeddings_model=animals"];
    let room = Room::on(Node::start_with(&settings).await).await;
    room.say(&room.ada, "Learning: dogs are let out at noon").await;
    room.say(&room.ada, "Context: the cellar floods").await;
    let asked = json!({ "query": "cat" });
    let look = async {
        while room.titles(&room.bob, asked.clone()).await.is_empty() {
            doors::pause().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("vectors are made in time");
    let answer = room.team.post(&room.node, &room.bob, "memos/search", &asked).await;
    assert_eq!(answer.headers["x-search-tier"], "endpoint");
    let found = answer.with(200)["data"].take();
    assert_eq!(doors::ids(&json!([found[0]["memo"]]), "title"), ["dogs are let out at noon"], "{found}");
}
