//! The Workspace door of the real program: identity, streams, messages, people (W-1 to W-80, W-109 to W-111).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod doors;

use doors::{
    Node, answer, ids,
    team::{SCOPES, Team},
};
use reqwest::Method;
use serde_json::{Value, json};

/// A workspace with a channel in which ada, bob and a bot take part.
struct Room {
    node: Node,
    team: Team,
    ada: doors::team::Keyed,
    bob: doors::team::Keyed,
    bot: doors::team::Keyed,
    channel: String,
}

impl Room {
    async fn new() -> Self {
        let node = Node::start().await;
        let team = Team::new(&node, "garden").await;
        let (ada, bob) = (team.person(&node, "Ada").await, team.person(&node, "Bob").await);
        let bot = team.bot(&node, "Helper", None).await;
        let channel = team.channel(&node, "builders", &[&ada, &bob, &bot]).await;
        Self { node, team, ada, bob, bot, channel }
    }

    fn messages(&self) -> String {
        format!("streams/{}/messages", self.channel)
    }
}

#[tokio::test]
async fn a_key_says_who_it_speaks_for_w22_w29() {
    let Room { node, team, ada, bot, .. } = Room::new().await;
    let me = team.get(&node, &ada, "me").await.with(200);
    assert_eq!(me, json!({ "data": { "kind": "user", "workspaceId": team.workspace, "userId": ada.id } }));
    let me = team.get(&node, &bot, "me").await.with(200);
    assert_eq!(
        me["data"],
        json!({ "kind": "bot", "workspaceId": team.workspace, "botId": bot.id, "botType": "shared",
                "traits": ["mentionable"], "ownerUserId": null })
    );
    let mine = team.bot(&node, "Mine", Some(&ada.id)).await;
    let me = team.get(&node, &mine, "me").await.with(200);
    assert_eq!((&me["data"]["botType"], &me["data"]["ownerUserId"]), (&json!("personal"), &json!(ada.id)));
}

#[tokio::test]
async fn a_person_lists_their_own_bots_w30_w31() {
    let Room { node, team, ada, bob, bot, .. } = Room::new().await;
    let mine = team.bot(&node, "Mine", Some(&ada.id)).await;
    team.bot(&node, "Theirs", Some(&bob.id)).await;
    let listed = team.get(&node, &ada, "me/bots").await.with(200);
    assert_eq!(ids(&listed["data"], "id").join(" "), mine.id);
    assert_eq!(
        (&listed["data"][0]["type"], &listed["data"][0]["archivedAt"]),
        (&json!("personal"), &Value::Null)
    );
    assert_eq!(team.get(&node, &ada, "me/bots?traits=active-scratchpad").await.with(200)["data"], json!([]));
    team.get(&node, &ada, "me/bots?traits=strong").await.refuses(400, "VALIDATION_ERROR");
    team.get(&node, &bot, "me/bots").await.refuses(403, "FORBIDDEN");

    node.post(&team.node_path(&format!("bots/{}/archive", mine.id)), &json!({})).await.with(204);
    let listed = team.get(&node, &ada, "me/bots").await.with(200);
    assert!(listed["data"][0]["archivedAt"].is_string());
    // Its key still says who it is, and does nothing.
    team.get(&node, &mine, "me").await.with(200);
    let channel = team.channel(&node, "attic", &[&ada]).await;
    team.post(&node, &mine, &format!("streams/{channel}/messages"), &json!({ "content": "hi" }))
        .await
        .refuses(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_message_is_kept_byte_for_byte_and_says_who_sent_it_w60_w61_w62_w64() {
    let room = &Room::new().await;
    let Room { node, team, ada, bot, channel, .. } = room;
    let content = "**Hi** :smile: `token: abc`\n\n<script>alert(1)</script> ä\u{1F600}  ";
    let body = json!({ "content": content, "metadata": { "a.b": "1", "z": "" }, "clientMessageId": "c-1" });
    let sent = team.post(node, ada, &room.messages(), &body).await.with(201)["data"].take();
    assert_eq!(sent["content"], content);
    assert_eq!((&sent["authorType"], &sent["authorId"]), (&json!("user"), &json!(ada.id)));
    assert_eq!(sent["sentVia"], format!("api_key:{}", ada.key_id));
    assert_eq!((&sent["streamId"], &sent["authorDisplayName"]), (&json!(channel), &json!("Ada")));
    assert_eq!(
        (&sent["metadata"], &sent["clientMessageId"]),
        (&json!({ "a.b": "1", "z": "" }), &json!("c-1"))
    );
    assert_eq!((&sent["replyCount"], sent.get("editedAt")), (&json!(0), None));
    let by_bot = team.say(node, bot, channel, "beep").await;
    assert_eq!((&by_bot["authorType"], &by_bot["authorId"]), (&json!("bot"), &json!(bot.id)));
    assert_eq!((by_bot.get("sentVia"), &by_bot["metadata"]), (None, &json!({})));
    let listed = team.get(node, ada, &room.messages()).await.with(200);
    assert_eq!(listed, json!({ "data": [sent, by_bot], "hasMore": false }));
}

#[tokio::test]
async fn a_request_that_does_not_fit_names_every_field_and_stores_nothing_w5_w6_w7_w12_w63() {
    let room = &Room::new().await;
    let Room { node, team, ada, .. } = room;
    let faults = |body: Value| async move {
        let refused = room.team.post(&room.node, &room.ada, &room.messages(), &body).await;
        refused.refuses(400, "VALIDATION_ERROR");
        let mut fields: Vec<_> = refused.json["details"].as_object().unwrap().keys().cloned().collect();
        fields.sort();
        fields.join(" ")
    };
    let all = faults(json!({ "content": "", "clientMessageId": 5, "metadata": { "x": 1 } })).await;
    assert_eq!(all, "clientMessageId content metadata");
    for body in [
        json!({}),
        json!({ "content": null }),
        json!({ "content": ["x"] }),
        json!({ "content": "a\u{0}b" }),
        json!({ "content": "x".repeat(50_001) }),
        json!({ "content": "x", "clientMessageId": "c".repeat(129) }),
        json!({ "content": "x", "metadata": { "threa.x": "1" } }),
        json!({ "content": "x", "metadata": { "a b": "1" } }),
        json!({ "content": "x", "metadata": { "a": "v".repeat(257) } }),
        json!({ "content": "x", "metadata": { "a": { "b": "c" } } }),
        json!({ "content": "x", "metadata": [] }),
    ] {
        let refused = team.post(node, ada, &room.messages(), &body).await;
        refused.refuses(400, "VALIDATION_ERROR");
        assert!(refused.json["details"].is_object(), "{body}");
    }
    for raw in ["", "nope", "[]", "5", "{\"content\":\"x\"} more"] {
        let path = team.at(&room.messages());
        let request = node.bare(Method::POST, &path).bearer_auth(&ada.key);
        let refused = answer(&path, request.header("content-type", "application/json").body(raw)).await;
        refused.refuses(400, "VALIDATION_ERROR");
    }
    assert_eq!(team.get(node, ada, &room.messages()).await.with(200)["data"], json!([]));
    // What is unknown is left alone (W-5), and an empty name for a message is none (W-50).
    let body = json!({ "content": "x", "clientMessageId": "", "newer": { "field": 1 } });
    let sent = team.post(node, ada, &room.messages(), &body).await.with(201);
    assert_eq!(sent["data"].get("clientMessageId"), None);
}

#[tokio::test]
async fn sending_again_returns_the_first_message_also_at_once_w47_w48_w49() {
    let room = &Room::new().await;
    let Room { node, team, ada, bob, .. } = room;
    let body = json!({ "content": "once", "clientMessageId": "same" });
    let path = room.messages();
    let sends = (0..12).map(|_| team.post(node, ada, &path, &body));
    let answers = futures::future::join_all(sends).await;
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.with(201)).collect();
    let first = &answers[0]["data"]["id"];
    assert!(answers.iter().all(|answer| &answer["data"]["id"] == first));
    assert_eq!(team.texts(node, ada, &room.channel).await, ["once"]);
    let again = json!({ "content": "other", "clientMessageId": "same", "metadata": { "k": "v" } });
    let repeated = team.post(node, ada, &room.messages(), &again).await.with(201);
    assert_eq!((&repeated["data"]["content"], &repeated["data"]["metadata"]), (&json!("once"), &json!({})));
    team.post(node, bob, &room.messages(), &again).await.refuses(403, "FORBIDDEN");
}

#[tokio::test]
async fn pages_of_messages_ascend_and_know_where_more_is_w13_w44_w45() {
    let room = &Room::new().await;
    let Room { node, team, ada, channel, .. } = room;
    for number in 0..7 {
        team.say(node, ada, channel, &number.to_string()).await;
    }
    let page = |query: String| async move {
        let got =
            room.team.get(&room.node, &room.ada, &format!("{}{query}", room.messages())).await.with(200);
        let texts = ids(&got["data"], "content").join("");
        (texts, got["hasMore"].as_bool().unwrap(), ids(&got["data"], "sequence"))
    };
    let (texts, more, sequences) = page("?limit=3".into()).await;
    assert_eq!((texts.as_str(), more), ("456", true));
    let before = format!("?limit=3&before={}", sequences[0]);
    let at = |query: String| {
        let path = format!("{}{query}", room.messages());
        async move { room.team.get(&room.node, &room.ada, &path).await }
    };
    let got = at(before).await.with(200);
    assert_eq!((ids(&got["data"], "content").join(""), &got["hasMore"]), ("123".into(), &json!(true)));
    let got = at("?after=0&limit=2".into()).await.with(200);
    assert_eq!((ids(&got["data"], "content").join(""), &got["hasMore"]), ("01".into(), &json!(true)));
    let got = at(format!("?after={}", sequences[2])).await.with(200);
    assert_eq!((&got["data"], &got["hasMore"]), (&json!([]), &json!(false)));
    let got = at(format!("?before={}", "9".repeat(40))).await.with(200);
    assert_eq!(ids(&got["data"], "content").join(""), "0123456");

    let both = at("?before=5&after=1".into()).await;
    both.refuses(400, "VALIDATION_ERROR");
    assert_eq!(both.json["details"], json!({}));
    for bad in ["before=-1", "after=x", "after=", "limit=0", "limit=101", "limit=ten"] {
        at(format!("?{bad}")).await.refuses(400, "VALIDATION_ERROR");
    }
    at("?limit=100".into()).await.with(200);
}

#[tokio::test]
async fn an_edit_changes_the_text_and_a_deletion_is_final_w69_w70_w71() {
    let room = &Room::new().await;
    let Room { node, team, ada, bob, bot, channel, .. } = room;
    let body = json!({ "content": "befor", "metadata": { "k": "v" }, "clientMessageId": "c" });
    let sent = team.post(node, ada, &room.messages(), &body).await.with(201)["data"].take();
    let path = format!("messages/{}", sent["id"].as_str().unwrap());
    let edit = |who: doors::team::Keyed, content: &'static str| {
        let path = path.clone();
        async move {
            let body = json!({ "content": content });
            room.team.ask(&room.node, &who, Method::PATCH, &path, Some(&body)).await
        }
    };
    edit(bob.clone(), "mine").await.refuses(403, "FORBIDDEN");
    edit(bot.clone(), "mine").await.refuses(403, "FORBIDDEN");
    edit(ada.clone(), "").await.refuses(400, "VALIDATION_ERROR");
    let edited = edit(ada.clone(), "before").await.with(200)["data"].take();
    assert!(edited["editedAt"].is_string());
    let as_before = doors::but(edited.clone(), json!({ "content": "befor", "editedAt": null }));
    assert_eq!(as_before, sent);
    let listed = team.get(node, ada, &room.messages()).await.with(200);
    assert_eq!(listed["data"][0], edited);

    let delete = |who: doors::team::Keyed| {
        let path = path.clone();
        async move { room.team.ask(&room.node, &who, Method::DELETE, &path, None).await }
    };
    delete(bob.clone()).await.refuses(403, "FORBIDDEN");
    let gone = delete(ada.clone()).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    delete(ada.clone()).await.refuses(404, "NOT_FOUND");
    edit(ada.clone(), "back").await.refuses(404, "NOT_FOUND");
    assert_eq!(team.texts(node, ada, channel).await, [""; 0]);
    let late = team.post(node, ada, &room.messages(), &body).await.with(201);
    assert_eq!(late["data"]["id"], sent["id"], "its name stays taken (W-50)");
    assert_eq!(team.texts(node, ada, channel).await, [""; 0]);
    for unknown in ["msg_01J9ZK3V5T8Q2M4N6P7R8S9TAB", "msg_nope", "x"] {
        team.ask(node, ada, Method::DELETE, &format!("messages/{unknown}"), None)
            .await
            .refuses(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn answers_stand_in_the_thread_below_w67_w73_w76_w78_w80() {
    let room = &Room::new().await;
    let Room { node, team, ada, bob, channel, .. } = room;
    let root = team.say(node, ada, channel, "Shall we?").await;
    let thread = team.thread(node, root["id"].as_str().unwrap()).await;
    team.say(node, bob, &thread, "Yes.").await;
    team.say(node, ada, &thread, "Good.").await;
    let listed = team.get(node, ada, &room.messages()).await.with(200);
    assert_eq!(ids(&listed["data"], "content"), ["Shall we?"]);
    assert_eq!(
        (&listed["data"][0]["replyCount"], &listed["data"][0]["threadStreamId"]),
        (&json!(2), &json!(thread))
    );
    assert_eq!(team.texts(node, bob, &thread).await, ["Yes.", "Good."]);
    let stream = team.get(node, ada, &format!("streams/{thread}")).await.with(200)["data"].take();
    assert_eq!(stream["type"], "thread");
    assert_eq!(stream["displayName"], "Thread in #builders");
    assert_eq!((&stream["parentStreamId"], &stream["rootStreamId"]), (&json!(channel), &json!(channel)));
    assert_eq!((&stream["parentMessageId"], &stream["visibility"]), (&root["id"], &json!("public")));
    let members = team.get(node, ada, &format!("streams/{thread}/members")).await.with(200);
    assert_eq!(members, json!({ "data": [], "hasMore": false, "cursor": null }));
    // The thread below stays when the message is gone.
    let path = format!("messages/{}", root["id"].as_str().unwrap());
    team.ask(node, ada, Method::DELETE, &path, None).await.with(204);
    assert_eq!(team.texts(node, bob, &thread).await, ["Yes.", "Good."]);
    assert_eq!(team.texts(node, bob, channel).await, [""; 0]);
}

#[tokio::test]
async fn streams_are_listed_page_by_page_and_found_by_name_w39_w40_w41_w42_w75_w77_w79() {
    let room = &Room::new().await;
    let Room { node, team, ada, .. } = room;
    for slug in ["alpha", "beta", "build-log", "gamma"] {
        team.channel(node, slug, &[]).await;
    }
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = team.get(node, ada, &format!("streams?limit=2{after}")).await.with(200);
        seen.extend(ids(&page["data"], "slug"));
        if page["hasMore"] == json!(false) {
            assert!(page["cursor"].is_string(), "the last page has a cursor, too");
            break;
        }
        after = format!("&after={}", page["cursor"].as_str().unwrap());
    }
    assert_eq!(seen, ["builders", "alpha", "beta", "build-log", "gamma"]);
    let found = team.get(node, ada, "streams?query=BUILD&after=nonsense").await.with(200);
    assert_eq!(
        (ids(&found["data"], "slug").join(" "), &found["cursor"]),
        ("builders build-log".into(), &Value::Null)
    );
    let found = team.get(node, ada, "streams?query=beta&limit=1").await.with(200);
    assert_eq!(
        (ids(&found["data"], "displayName").join(""), &found["hasMore"]),
        ("#beta".into(), &json!(false))
    );
    assert_eq!(team.get(node, ada, "streams?type=dm&type=thread").await.with(200)["data"], json!([]));
    let channels = team.get(node, ada, "streams?type=dm&type=channel").await.with(200);
    assert_eq!(channels["data"].as_array().unwrap().len(), 5);
    assert_eq!(channels["data"][0].get("description"), None);
    team.get(node, ada, "streams?type=room").await.refuses(400, "VALIDATION_ERROR");
    team.get(node, ada, "streams?after=nonsense").await.refuses(400, "INVALID_CURSOR");
    team.get(node, ada, "streams?limit=201").await.refuses(400, "VALIDATION_ERROR");
}

#[tokio::test]
async fn an_archived_stream_is_read_and_not_written_w37_w72() {
    let room = &Room::new().await;
    let Room { node, team, ada, channel, .. } = room;
    let sent = team.say(node, ada, channel, "hi").await;
    node.post(&team.node_path(&format!("streams/{channel}/archive")), &json!({})).await.with(204);
    assert_eq!(team.get(node, ada, "streams").await.with(200)["data"], json!([]));
    let stream = team.get(node, ada, &format!("streams/{channel}")).await.with(200);
    assert!(stream["data"]["archivedAt"].is_string());
    assert_eq!(team.texts(node, ada, channel).await, ["hi"]);
    let refused = team.post(node, ada, &room.messages(), &json!({ "content": "more" })).await;
    refused.refuses(403, "STREAM_READ_ONLY");
    assert_eq!(refused.json["details"], json!({ "reason": "archived" }));
    let path = format!("messages/{}", sent["id"].as_str().unwrap());
    team.ask(node, ada, Method::DELETE, &path, None).await.refuses(403, "STREAM_READ_ONLY");
    node.post(&team.node_path(&format!("streams/{channel}/unarchive")), &json!({})).await.with(204);
    team.ask(node, ada, Method::DELETE, &path, None).await.with(204);
}

#[tokio::test]
async fn who_reads_may_not_write_before_taking_part_w36_w46() {
    let room = &Room::new().await;
    let Room { node, team, ada, bob, bot, channel, .. } = room;
    let eve = team.person(node, "Eve").await;
    team.say(node, ada, channel, "hi").await;
    assert_eq!(team.texts(node, &eve, channel).await, ["hi"]);
    let refused = team.post(node, &eve, &room.messages(), &json!({ "content": "me too" })).await;
    refused.refuses(403, "STREAM_READ_ONLY");
    assert_eq!(refused.json["details"]["reason"], "not_a_member");
    node.post(&team.node_path(&format!("streams/{channel}/members")), &json!({ "member_id": eve.id }))
        .await
        .with(204);
    team.say(node, &eve, channel, "me too").await;
    let members = team.get(node, ada, &format!("streams/{channel}/members")).await.with(200);
    assert_eq!(ids(&members["data"], "userId"), [ada.id.clone(), bob.id.clone(), eve.id.clone()]);
    assert_eq!(ids(&members["data"], "slug"), ["ada", "bob", "eve"]);
    let first = team.get(node, ada, &format!("streams/{channel}/members?limit=1")).await.with(200);
    let after = first["cursor"].as_str().unwrap();
    let rest = team.get(node, ada, &format!("streams/{channel}/members?after={after}")).await.with(200);
    assert_eq!(ids(&rest["data"], "userId"), [bob.id.clone(), eve.id.clone()]);
    node.delete(&team.node_path(&format!("streams/{channel}/members/{}", bot.id))).await.with(204);
    team.post(node, bot, &room.messages(), &json!({ "content": "beep" }))
        .await
        .refuses(403, "STREAM_READ_ONLY");
}

#[tokio::test]
async fn private_streams_are_hidden_from_everybody_else_w32_w33_w34_w35() {
    let room = &Room::new().await;
    let Room { node, team, ada, bob, bot, .. } = room;
    let members = json!([ada.id, bot.id]);
    let secret =
        json!({ "type": "channel", "slug": "plans", "visibility": "private", "member_ids": members });
    let secret = team.stream(node, secret).await;
    let pad = team.stream(node, json!({ "type": "scratchpad", "member_ids": [ada.id] })).await;
    let dm = team.stream(node, json!({ "type": "dm", "member_ids": [ada.id, bob.id] })).await;
    let again = team.stream(node, json!({ "type": "dm", "member_ids": [bob.id, ada.id] })).await;
    assert_eq!(dm, again);
    let root = team.say(node, ada, &secret, "psst").await;
    let thread = team.thread(node, root["id"].as_str().unwrap()).await;
    team.say(node, bot, &thread, "who?").await;
    team.say(node, bob, &dm, "hello you").await;
    assert_eq!(team.texts(node, ada, &dm).await, ["hello you"]);
    assert_eq!(team.texts(node, bot, &secret).await, ["psst"]);
    let shown = |who: doors::team::Keyed| async move {
        let listed = room.team.get(&room.node, &who, "streams").await.with(200);
        ids(&listed["data"], "displayName").join(", ")
    };
    assert_eq!(
        shown(ada.clone()).await,
        "#builders, #plans, New scratchpad, Direct message, Thread in #plans"
    );
    assert_eq!(shown(bob.clone()).await, "#builders, Direct message");
    assert_eq!(shown(bot.clone()).await, "#builders, #plans, Thread in #plans");
    // What is hidden and what does not exist look alike.
    for stream in [secret.as_str(), &thread, &pad, "stream_01J9ZK3V5T8Q2M4N6P7R8S9TAB", "stream_x", "x"] {
        for rest in ["", "/members", "/messages"] {
            let refused = team.get(node, bob, &format!("streams/{stream}{rest}")).await;
            refused.refuses(403, "FORBIDDEN");
            assert_eq!(refused.json["error"], "No access to this stream", "{stream}");
        }
        let send =
            team.post(node, bob, &format!("streams/{stream}/messages"), &json!({ "content": "hi" })).await;
        send.refuses(403, "FORBIDDEN");
    }
    let path = format!("messages/{}", root["id"].as_str().unwrap());
    team.ask(node, bob, Method::DELETE, &path, None).await.refuses(403, "FORBIDDEN");
}

#[tokio::test]
async fn messages_are_found_by_metadata_in_what_may_be_read_w65() {
    let room = &Room::new().await;
    let Room { node, team, ada, bob, channel, .. } = room;
    let pad = team.stream(node, json!({ "type": "scratchpad", "member_ids": [ada.id] })).await;
    let send = |stream: String, content: &'static str, metadata: Value| async move {
        let body = json!({ "content": content, "metadata": metadata });
        room.team.post(&room.node, &room.ada, &format!("streams/{stream}/messages"), &body).await.with(201);
    };
    send(channel.clone(), "one", json!({ "job": "7", "step": "a" })).await;
    send(channel.clone(), "two", json!({ "job": "7" })).await;
    send(pad.clone(), "three", json!({ "job": "7" })).await;
    let find = |who: doors::team::Keyed, body: Value| async move {
        let got = room.team.post(&room.node, &who, "messages/find-by-metadata", &body).await.with(200);
        ids(&got["data"], "content").join(" ")
    };
    assert_eq!(find(ada.clone(), json!({ "metadata": { "job": "7" } })).await, "three two one");
    assert_eq!(find(bob.clone(), json!({ "metadata": { "job": "7" } })).await, "two one");
    assert_eq!(
        find(ada.clone(), json!({ "metadata": { "job": "7", "step": "a" }, "limit": "5" })).await,
        "one"
    );
    assert_eq!(find(ada.clone(), json!({ "metadata": { "job": "7" }, "streamId": pad })).await, "three");
    assert_eq!(find(bob.clone(), json!({ "metadata": { "job": "7" }, "streamId": pad })).await, "");
    assert_eq!(find(ada.clone(), json!({ "metadata": { "threa.x": "7" } })).await, "");
    assert_eq!(find(ada.clone(), json!({ "metadata": { "job": "7" }, "limit": 1 })).await, "three");
    for bad in [
        json!({}),
        json!({ "metadata": {} }),
        json!({ "metadata": { "job": 7 } }),
        json!({ "metadata": { "a b": "" } }),
    ] {
        team.post(node, ada, "messages/find-by-metadata", &bad).await.refuses(400, "VALIDATION_ERROR");
    }
}

#[tokio::test]
async fn people_are_listed_and_found_and_their_slugs_are_unique_w42_w109_w110_w111() {
    let room = &Room::new().await;
    let Room { node, team, ada, .. } = room;
    let body = json!({ "name": "Bobby Tables", "email": "tables@example.net", "role": "admin" });
    node.post(&team.node_path("users"), &body).await.with(201);
    let listed = team.get(node, ada, "users").await.with(200);
    assert_eq!(ids(&listed["data"], "slug"), ["ada", "bob", "bobby-tables"]);
    assert_eq!(listed["data"][2]["role"], "admin");
    let found = team.get(node, ada, "users?query=BOB").await.with(200);
    assert_eq!(
        (ids(&found["data"], "slug").join(" "), &found["cursor"]),
        ("bob bobby-tables".into(), &Value::Null)
    );
    let found = team.get(node, ada, "users?query=example.net").await.with(200);
    assert_eq!(ids(&found["data"], "name"), ["Bobby Tables"]);
    assert_eq!(team.get(node, ada, "users?query=tables@&limit=1").await.with(200)["hasMore"], json!(false));
    let first = team.get(node, ada, "users?limit=2").await.with(200);
    let after = first["cursor"].as_str().unwrap();
    let rest = team.get(node, ada, &format!("users?after={after}")).await.with(200);
    assert_eq!(
        (ids(&rest["data"], "slug").join(" "), &rest["hasMore"]),
        ("bobby-tables".into(), &json!(false))
    );

    let same = json!({ "name": "Another", "slug": "ADA", "email": "x@example.org" });
    node.post(&team.node_path("users"), &same).await.refuses(409, "already_exists");
    node.post(&team.node_path("bots"), &json!({ "name": "Ada" })).await.refuses(409, "already_exists");
    for bad in [
        json!({ "name": "X", "email": "nope" }),
        json!({ "name": " ", "email": "x@example.org", "slug": "x" }),
        json!({ "name": "…", "email": "x@example.org" }),
        json!({ "name": "X", "email": "x@example.org", "role": "guest" }),
    ] {
        node.post(&team.node_path("users"), &bad).await.refuses(400, "invalid_request");
    }
}

/// Every operation that is served, with what it needs: method, path, scope, and which kind of key is the wrong one.
fn operations(stream: &str) -> Vec<(Method, String, Option<&'static str>, Option<&'static str>)> {
    let message = "messages/msg_01J9ZK3V5T8Q2M4N6P7R8S9TAB".to_owned();
    vec![
        (Method::GET, "me".into(), None, None),
        (Method::GET, "me/bots".into(), None, Some("bot")),
        (Method::GET, "streams".into(), Some("streams:read"), None),
        (Method::GET, format!("streams/{stream}"), Some("streams:read"), None),
        (Method::GET, format!("streams/{stream}/members"), Some("streams:read"), None),
        (Method::GET, format!("streams/{stream}/messages"), Some("messages:read"), None),
        (Method::POST, format!("streams/{stream}/messages"), Some("messages:write"), None),
        (Method::POST, "messages/find-by-metadata".into(), Some("messages:read"), None),
        (Method::PATCH, message.clone(), Some("messages:write"), None),
        (Method::DELETE, message, Some("messages:write"), None),
        (Method::GET, "users".into(), Some("users:read"), None),
    ]
}

/// Every operation with every kind of key that does not open it: the first thing that is wrong answers, whatever
/// else is (the bodies are all nonsense).
#[tokio::test]
async fn keys_are_judged_in_one_order_for_every_operation_w15_w16_w17_w18_w24_w25_w26_w28() {
    let room = &Room::new().await;
    let Room { node, team, ada, bot, channel, .. } = room;
    let other = Team::new(node, "attic").await;
    let stranger = other.person(node, "Stranger").await;
    let revoked = team.key(node, &ada.id, &SCOPES).await;
    node.delete(&team.node_path(&format!("keys/{}", revoked.key_id))).await.with(204);
    let soon = json!({ "user_id": ada.id, "scopes": SCOPES, "expires_at": "2001-01-01T00:00:00Z" });
    node.post(&team.node_path("keys"), &soon).await.refuses(400, "invalid_request");
    let gone = team.person(node, "Gone").await;
    node.delete(&team.node_path(&format!("users/{}", gone.id))).await.with(204);
    for (method, path, scope, wrong_kind) in operations(channel) {
        let label = format!("{method} {path}");
        let ask = |authorization: Option<String>, path: String| {
            let (method, at) = (method.clone(), team.at(&path));
            async move {
                let request = room.node.bare(method, &at);
                let request = match authorization {
                    Some(value) => request.header("authorization", value),
                    None => request,
                };
                answer(&at, request.header("content-type", "application/json").body("nonsense")).await
            }
        };
        let refused = |got: doors::Answer, status: u16, code: &str| {
            assert_eq!((got.status, got.code()), (status, code), "{label}: {}", got.text);
            assert!(got.headers.contains_key("ratelimit-remaining"), "{label}");
        };
        for nobody in [
            None,
            Some("Basic YWRhOmFkYQ==".to_owned()),
            Some("Bearer".to_owned()),
            Some("Bearer nope".to_owned()),
            Some(format!("Bearer threa_uk_{}", "A".repeat(43))),
            Some(format!("Bearer {}x", &ada.key[..ada.key.len() - 1])),
            Some(format!("Bearer {}", ada.key.replace("_uk_", "_bk_"))),
            Some(format!("Bearer {}", node.token)),
            Some(format!("Bearer {}", revoked.key)),
        ] {
            refused(ask(nobody, path.clone()).await, 401, "UNAUTHORIZED");
        }
        refused(ask(Some(format!("Bearer {}", gone.key)), path.clone()).await, 401, "OWNER_INACTIVE");
        // A key of another workspace, and this key at another workspace, known or not.
        refused(ask(Some(format!("Bearer {}", stranger.key)), path.clone()).await, 403, "FORBIDDEN");
        for elsewhere in [other.workspace.as_str(), "ws_01J9ZK3V5T8Q2M4N6P7R8S9TAB", "garden", "x"] {
            let at = format!("/api/v1/workspaces/{elsewhere}/{path}");
            let request = node.bare(method.clone(), &at).bearer_auth(&ada.key).body("nonsense");
            refused(answer(&at, request).await, 403, "FORBIDDEN");
        }
        let Some(scope) = scope else {
            if wrong_kind == Some("bot") {
                refused(ask(Some(format!("Bearer {}", bot.key)), path.clone()).await, 403, "FORBIDDEN");
            }
            continue;
        };
        let others: Vec<_> = SCOPES.into_iter().filter(|other| *other != scope).collect();
        for whom in [&ada.id, &bot.id] {
            let key = team.key(node, whom, &others).await;
            let got = ask(Some(format!("Bearer {}", key.key)), path.clone()).await;
            assert_eq!(got.json["error"], format!("Missing required permission: {scope}"), "{label}");
            refused(got, 404, "NOT_FOUND");
            let only = team.key(node, whom, &[scope]).await;
            let got = ask(Some(format!("Bearer {}", only.key)), path.clone()).await;
            assert!(!matches!(got.status, 401) && got.json["code"] != "FORBIDDEN", "{label}: {}", got.text);
            for key in [key, only] {
                node.delete(&team.node_path(&format!("keys/{}", key.key_id))).await.with(204);
            }
        }
    }
}

#[tokio::test]
async fn a_key_expires_and_its_owner_may_have_twenty_five_w21_w25_w27() {
    let room = &Room::new().await;
    let Room { node, team, bob, .. } = room;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1500);
    let body = json!({ "user_id": bob.id, "scopes": ["users:read"], "expires_at": soon.to_string() });
    let made = node.post(&team.node_path("keys"), &body).await.with(201);
    let key = doors::team::Keyed {
        id: bob.id.clone(),
        key: made["key"].as_str().unwrap().to_owned(),
        key_id: made["key_id"].as_str().unwrap().to_owned(),
    };
    assert!(key.key.starts_with("threa_uk_") && key.key.len() == 52 && key.key_id.starts_with("uak_"));
    while jiff::Timestamp::now() < soon {
        let got = team.get(node, &key, "users").await;
        assert!(got.status == 200 || jiff::Timestamp::now() >= soon, "{}", got.text);
        doors::pause().await;
    }
    team.get(node, &key, "users").await.refuses(401, "UNAUTHORIZED");
    // One that is dead counts no more: with bob's first, 25 may live.
    for _ in 1..25 {
        team.key(node, &bob.id, &["users:read"]).await;
    }
    let body = json!({ "user_id": bob.id, "scopes": ["users:read"] });
    node.post(&team.node_path("keys"), &body).await.refuses(409, "too_many");
    for scopes in [json!([]), json!(["workspace:admin"])] {
        let body = json!({ "user_id": bob.id, "scopes": scopes });
        node.post(&team.node_path("keys"), &body).await.refuses(400, "INVALID_SCOPE");
    }
    let nobody = json!({ "user_id": "usr_01J9ZK3V5T8Q2M4N6P7R8S9TAB", "scopes": ["users:read"] });
    node.post(&team.node_path("keys"), &nobody).await.refuses(404, "unknown_principal");
    node.delete(&team.node_path("keys/uak_01J9ZK3V5T8Q2M4N6P7R8S9TAB")).await.refuses(404, "unknown_key");
}

#[tokio::test]
async fn what_is_said_through_one_door_is_seen_through_the_other() {
    let node = Node::start().await;
    let place = doors::Place::new(&node).await;
    let team = Team { workspace: place.workspace.clone() };
    let ada = team.person(&node, "Ada").await;
    place.send(&node, &place.say("from a session")).await.with(200);
    let streams = team.get(&node, &ada, "streams?type=channel").await.with(200);
    let channel = streams["data"][0]["id"].as_str().unwrap().to_owned();
    let listed = team.get(&node, &ada, &format!("streams/{channel}/messages")).await.with(200);
    assert_eq!(ids(&listed["data"], "content"), ["from a session"]);
    assert_eq!(listed["data"][0]["authorType"], "bot");
    assert_eq!(listed["data"][0]["authorDisplayName"], "coder");

    node.post(&team.node_path(&format!("streams/{channel}/members")), &json!({ "member_id": ada.id }))
        .await
        .with(204);
    let sent = team.say(&node, &ada, &channel, "from a person").await;
    let ulid = sent["id"].as_str().unwrap().strip_prefix("msg_").unwrap().to_lowercase();
    let thread =
        node.get(&place.at(&format!("channels/builders/threads/thread_{ulid}/messages"))).await.with(200);
    let message = &thread["messages"][0];
    let peer = format!("ada.{}", ada.id.replace("usr_", "usr-").to_lowercase());
    assert_eq!((&message["peer_from"], &message["body"]["text"]), (&json!(peer), &json!("from a person")));
    let inbox = node.get(&format!("{}?session_id={}", place.at("inbox"), place.coder)).await.with(200);
    assert!(inbox.to_string().contains("from a person"), "{inbox}");
    // A session answers the person, below.
    let reply = doors::but(place.say("at your service"), json!({ "thread_id": format!("thread_{ulid}") }));
    place.send(&node, &reply).await.with(200);
    let listed = team.get(&node, &ada, &format!("streams/{channel}/messages")).await.with(200);
    assert_eq!(listed["data"][1]["replyCount"], 1);
    let below = listed["data"][1]["threadStreamId"].as_str().unwrap();
    assert_eq!(team.texts(&node, &ada, below).await, ["at your service"]);
}

#[tokio::test]
async fn rates_are_limited_before_anything_else_when_they_are_switched_on_w55_w56_w57_w58_w59() {
    let node = Node::start_with(&["workspace.rate_limits=on"]).await;
    let team = Team::new(&node, "garden").await;
    let ada = team.person(&node, "Ada").await;
    for used in 1..=60 {
        let got = team.get(&node, &ada, "me").await;
        assert_eq!(got.status, 200);
        let header = |name: &str| got.headers[name].to_str().unwrap().parse::<u64>().unwrap();
        assert_eq!((header("ratelimit-limit"), header("ratelimit-remaining")), (60, 60 - used));
        assert!((1..=60).contains(&header("ratelimit-reset")));
    }
    let refused = team.get(&node, &ada, "me").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json, json!({ "error": "Rate limit exceeded", "limit": 60, "windowMs": 60000 }));
    assert_eq!(refused.headers.get("retry-after"), None);
    // Bad keys have buckets of their own, and use up the workspace's and the address's.
    let path = team.at("me");
    for _ in 0..60 {
        answer(&path, node.bare(Method::GET, &path).bearer_auth("bad")).await.refuses(401, "UNAUTHORIZED");
    }
    let got = node.bare(Method::GET, &path).bearer_auth("bad").send().await.unwrap();
    assert_eq!(got.status(), 429);
}

#[tokio::test]
async fn keys_people_and_messages_survive_a_crash() {
    let node = Node::start().await;
    let team = Team::new(&node, "garden").await;
    let ada = team.person(&node, "Ada").await;
    let channel = team.channel(&node, "builders", &[&ada]).await;
    team.say(&node, &ada, &channel, "before").await;
    let node = Node::start_in(node.kill().await, &[]).await;
    assert_eq!(team.texts(&node, &ada, &channel).await, ["before"]);
    team.say(&node, &ada, &channel, "after").await;
    assert_eq!(team.texts(&node, &ada, &channel).await, ["before", "after"]);
}
