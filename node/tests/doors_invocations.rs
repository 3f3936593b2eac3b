//! Bots at work in the real program: presence, sessions, and a whole turn from mention to reply (W-51 to W-54, W-112 to
//! W-156).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod doors;

use doors::{
    Answer, Node, but,
    team::{Keyed, Team},
};
use reqwest::Method;
use serde_json::{Value, json};

/// A workspace with a channel in which ada and her bot take part.
struct Shop {
    node: Node,
    team: Team,
    ada: Keyed,
    bot: Keyed,
    channel: String,
}

impl Shop {
    async fn new() -> Self {
        Self::with(Node::start().await).await
    }

    async fn with(node: Node) -> Self {
        let team = Team::new(&node, "workshop").await;
        let ada = team.person(&node, "Ada").await;
        let bot = team.bot(&node, "Helper", Some(&ada.id)).await;
        let channel = team.channel(&node, "builders", &[&ada, &bot]).await;
        Self { node, team, ada, bot, channel }
    }

    async fn say(&self, content: &str) -> Value {
        self.team.say(&self.node, &self.ada, &self.channel, content).await
    }

    /// The bot asks.
    async fn ask(&self, rest: &str, body: Value) -> Answer {
        self.team.post(&self.node, &self.bot, rest, &body).await
    }

    async fn claim(&self, change: Value) -> Value {
        self.ask("bot-invocations/claim", but(wish(), change)).await.with(200)["data"].take()
    }

    /// The bot asks something about work that it holds.
    async fn of(&self, work: &Value, what: &str, change: Value) -> Answer {
        let holder = json!({ "instanceId": "laptop", "claimToken": work["claimToken"] });
        self.ask(&format!("bot-invocations/{}/{what}", work["id"].as_str().unwrap()), but(holder, change))
            .await
    }

    async fn texts(&self, stream: &str) -> Vec<String> {
        self.team.texts(&self.node, &self.ada, stream).await
    }
}

fn wish() -> Value {
    json!({
        "runtimeKind": "custom", "instanceId": "laptop",
        "supportedCapabilities": ["mentionable", "active-scratchpad"],
    })
}

fn session(name: &str) -> Value {
    json!({
        "runtimeKind": "pi-local", "instanceId": "laptop", "runtimeSessionId": name,
        "displayName": format!("Work of {name}"), "localCwd": "/home/ada",
    })
}

fn presence() -> Value {
    json!({ "runtimeKind": "custom", "instanceId": "laptop", "status": "available", "acceptingInvocations": true })
}

fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_turn_leads_from_a_mention_to_a_reply_w125_w136_w138_w139_w145_w150() {
    let shop = Shop::new().await;
    shop.say("First words").await;
    let source = shop.say("@helper, what is *new*?").await;
    let work = shop.claim(json!({ "claimTtlSeconds": 120 })).await;
    assert_eq!(
        members(&work),
        [
            "activeStreamId",
            "actor",
            "authorUserId",
            "claimExpiresAt",
            "claimToken",
            "context",
            "id",
            "mentionedActorSlugs",
            "metadata",
            "promptMarkdown",
            "requiredCapability",
            "responseStreamId",
            "rootStreamId",
            "runtimeSessionId",
            "sourceMessageId",
            "trigger",
            "workspaceId",
        ]
    );
    assert_eq!(work["actor"], json!({ "type": "bot", "id": shop.bot.id, "slug": "helper" }));
    for (name, is) in [
        ("sourceMessageId", &source["id"]),
        ("promptMarkdown", &source["content"]),
        ("authorUserId", &json!(shop.ada.id)),
        ("activeStreamId", &json!(shop.channel)),
        ("responseStreamId", &json!(shop.channel)),
        ("rootStreamId", &json!(shop.channel)),
        ("trigger", &json!("mention")),
        ("requiredCapability", &json!("mentionable")),
        ("mentionedActorSlugs", &json!(["helper"])),
        ("runtimeSessionId", &Value::Null),
    ] {
        assert_eq!(&work[name], is, "{name}");
    }
    let said = &work["context"]["messages"];
    assert_eq!((said.as_array().unwrap().len(), &said[0]["contentMarkdown"]), (1, &json!("First words")));
    assert_eq!((&said[0]["role"], &said[0]["authorDisplayName"]), (&json!("user"), &json!("Ada")));

    let step = json!({ "stepType": "thinking", "content": "Hm", "statusText": "Thinking" });
    let filed = shop.of(&work, "steps", step.clone()).await.with(200);
    assert_eq!((&filed["data"]["sessionId"], &filed["data"]["invocationId"]), (&work["id"], &work["id"]));
    let again = shop.of(&work, "steps", step).await.with(200);
    assert_ne!(filed["data"]["stepId"], again["data"]["stepId"]);
    let renewed = shop.of(&work, "renew", json!({ "claimTtlSeconds": 300 })).await.with(200);
    assert_eq!(renewed["data"]["status"], "claimed");
    assert!(renewed["data"]["claimExpiresAt"].as_str() > work["claimExpiresAt"].as_str());

    let reply = json!({ "finalMessageMarkdown": "Nothing.", "metadata": { "run": "1" } });
    let done = shop.of(&work, "complete", reply.clone()).await.with(200);
    let message = &done["data"]["message"];
    assert_eq!((&message["authorId"], &message["content"]), (&json!(shop.bot.id), &json!("Nothing.")));
    assert_eq!(message["clientMessageId"], format!("bot-invocation:{}", work["id"].as_str().unwrap()));
    assert_eq!((&message["metadata"], message.get("sentVia")), (&json!({ "run": "1" }), None));
    // Again is the same again (W-51); anything else is over (W-152).
    assert_eq!(shop.of(&work, "complete", reply).await.with(200), done);
    assert_eq!(shop.texts(&shop.channel).await, ["First words", "@helper, what is *new*?", "Nothing."]);
    shop.of(&work, "renew", json!({})).await.refuses(404, "NOT_FOUND");
    shop.of(&work, "fail", json!({ "errorMessage": "late" })).await.refuses(404, "NOT_FOUND");
    assert_eq!(shop.claim(json!({})).await, Value::Null, "nothing waits (W-141)");

    // What the bot itself said comes back as the assistant's.
    shop.say("@helper, sure?").await;
    let work = shop.claim(json!({})).await;
    let roles: Vec<_> = work["context"]["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["role"].clone())
        .collect();
    assert_eq!(roles, ["user", "user", "assistant"]);
    let silent = shop.of(&work, "complete", json!({ "noResponse": true, "finalMessageMarkdown": "x" })).await;
    assert_eq!(silent.with(200)["data"], json!({ "invocationId": work["id"], "message": null }));
}

#[tokio::test]
async fn whatever_does_not_fit_a_claim_is_one_and_the_same_404_w142() {
    let shop = Shop::new().await;
    let other = shop.team.bot(&shop.node, "Other", Some(&shop.ada.id)).await;
    shop.say("@helper").await;
    let work = shop.claim(json!({})).await;
    let path = format!("bot-invocations/{}/renew", work["id"].as_str().unwrap());
    let good = json!({ "instanceId": "laptop", "claimToken": work["claimToken"] });
    let unknown = "bot-invocations/binv_01J9ZK3V5T8Q2M4N6P7R8S9TAB/renew";
    let mut answers = vec![
        shop.ask(&path, but(good.clone(), json!({ "instanceId": "desktop" }))).await,
        shop.ask(&path, but(good.clone(), json!({ "claimToken": "1.nope" }))).await,
        shop.ask(unknown, good.clone()).await,
        shop.ask("bot-invocations/nonsense/renew", good.clone()).await,
        shop.team.post(&shop.node, &other, &path, &good).await,
    ];
    shop.ask(&path, good.clone()).await.with(200);
    shop.of(&work, "fail", json!({ "errorMessage": "no disk" })).await.with(200);
    answers.push(shop.ask(&path, good).await);
    for answer in answers {
        assert_eq!((answer.status, &answer.json["error"]), (404, &json!("Invocation claim not found")));
    }
    assert_eq!(shop.claim(json!({})).await, Value::Null, "what failed is not offered again (W-154)");
}

#[tokio::test]
async fn all_wrong_fields_are_told_at_once_w12_w115_w119_w132_w136_w149() {
    let shop = Shop::new().await;
    let faults = |answer: Answer| {
        answer.refuses(400, "VALIDATION_ERROR");
        members(&answer.json["details"]).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let nothing = shop.ask("bot-invocations/claim", json!({})).await;
    assert_eq!(faults(nothing), ["instanceId", "runtimeKind", "supportedCapabilities"]);
    for (name, bad) in [
        ("claimTtlSeconds", json!(14)),
        ("claimTtlSeconds", json!(301)),
        ("claimTtlSeconds", json!("60")),
        ("supportedCapabilities", json!([])),
        ("supportedCapabilities", json!(["flying"])),
        ("runtimeKind", json!("toaster")),
        ("instanceId", json!("x".repeat(129))),
        ("runtimeSessionId", json!("")),
    ] {
        let answer = shop.ask("bot-invocations/claim", but(wish(), json!({ name: bad }))).await;
        assert_eq!(faults(answer), [name], "{bad}");
    }
    shop.say("@helper").await;
    let work = shop.claim(json!({})).await;
    assert_eq!(faults(shop.of(&work, "complete", json!({})).await), ["finalMessageMarkdown"]);
    assert_eq!(
        faults(shop.of(&work, "complete", json!({ "noResponse": false })).await),
        ["finalMessageMarkdown"]
    );
    let reply = json!({ "finalMessageMarkdown": "x", "metadata": { "threa.x": "1" } });
    assert_eq!(faults(shop.of(&work, "complete", reply).await), ["metadata"]);
    assert_eq!(
        faults(shop.of(&work, "steps", json!({ "stepType": "dance" })).await),
        ["content", "stepType"]
    );
    assert_eq!(
        faults(shop.of(&work, "fail", json!({ "errorMessage": "x".repeat(1001) })).await),
        ["errorMessage"]
    );
    let bad =
        but(presence(), json!({ "publicKey": "short", "statusText": "x".repeat(201), "status": "asleep" }));
    assert_eq!(
        faults(shop.ask("bot-runtime/presence", bad).await),
        ["publicKey", "publicKeyId", "status", "statusText"]
    );
    let bad = but(session("s1"), json!({ "runtimeKind": "openclaw", "displayName": "  " }));
    assert_eq!(faults(shop.ask("bot-runtime/sessions", bad).await), ["displayName", "runtimeKind"]);
}

#[tokio::test]
async fn runtimes_need_a_bots_key_before_their_body_is_looked_at_w28() {
    let shop = Shop::new().await;
    for rest in [
        "bot-runtime/presence",
        "bot-runtime/sessions",
        "bot-runtime/sessions/rename",
        "bot-invocations/claim",
        "bot-invocations/binv_1/renew",
        "bot-invocations/binv_1/steps",
        "bot-invocations/binv_1/complete",
        "bot-invocations/binv_1/fail",
    ] {
        shop.team.post(&shop.node, &shop.ada, rest, &json!(7)).await.refuses(403, "FORBIDDEN");
        let reader = shop.team.key(&shop.node, &shop.bot.id, &["messages:read"]).await;
        shop.team.post(&shop.node, &reader, rest, &json!(7)).await.refuses(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn presence_is_kept_and_replaced_w54_w112_w114_w116() {
    let shop = Shop::new().await;
    let full = json!({
        "displayName": "Laptop", "statusText": "up; token=abc123", "runtimeSessionId": "s1",
        "capabilities": { "supportsStop": true },
        "publicKey": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "publicKeyId": "k1",
    });
    let first = shop.ask("bot-runtime/presence", but(presence(), full)).await.with(200);
    let first = &first["data"];
    assert_eq!(
        members(first),
        [
            "acceptingInvocations",
            "botId",
            "capabilities",
            "createdAt",
            "displayName",
            "id",
            "instanceId",
            "lastSeenAt",
            "runtimeKind",
            "status",
            "statusText",
            "updatedAt",
            "workspaceId",
        ]
    );
    assert_eq!(first["capabilities"], json!({ "supportsStop": true, "runtimeSessionId": "s1" }));
    assert_eq!(first["statusText"], "up; token=[REDACTED]");
    let second = shop.ask("bot-runtime/presence", presence()).await.with(200);
    let second = &second["data"];
    for same in ["id", "createdAt", "botId"] {
        assert_eq!(second[same], first[same]);
    }
    assert_eq!((&second["displayName"], &second["capabilities"]), (&Value::Null, &json!({})));
}

#[tokio::test]
async fn a_session_works_in_a_scratchpad_of_its_own_w53_w118_w121_w124_w127() {
    let shop = Shop::new().await;
    let link = shop.ask("bot-runtime/sessions", session("s1")).await.with(200)["data"].take();
    let stream = link["activeStreamId"].as_str().unwrap().to_owned();
    assert_eq!(link["streamUrlPath"], format!("/w/{}/s/{stream}", shop.team.workspace));
    assert_eq!(link["rootStreamId"], link["activeStreamId"]);
    let renamed_session = but(session("s1"), json!({ "displayName": "Ignored" }));
    assert_eq!(shop.ask("bot-runtime/sessions", renamed_session).await.with(200)["data"], link);
    let seen = shop.team.get(&shop.node, &shop.ada, &format!("streams/{stream}")).await.with(200);
    assert_eq!(
        (&seen["data"]["type"], &seen["data"]["displayName"]),
        (&json!("scratchpad"), &json!("Work of s1"))
    );

    let rename = json!({ "instanceId": "laptop", "runtimeSessionId": "s1", "displayName": "Plans" });
    let named = shop.ask("bot-runtime/sessions/rename", rename.clone()).await.with(200)["data"].take();
    assert_eq!(named, but(link.clone(), json!({ "displayName": "Plans" })));
    let seen = shop.team.get(&shop.node, &shop.ada, &format!("streams/{stream}")).await.with(200);
    assert_eq!(seen["data"]["displayName"], "Plans");
    let unknown = but(rename, json!({ "runtimeSessionId": "s9" }));
    shop.ask("bot-runtime/sessions/rename", unknown).await.refuses(404, "NOT_FOUND");

    // Every message there is work for the session.
    shop.team.say(&shop.node, &shop.ada, &stream, "Go on, please").await;
    assert_eq!(shop.claim(json!({ "runtimeSessionId": "s2" })).await, Value::Null);
    let work = shop.claim(json!({ "runtimeSessionId": "s1" })).await;
    assert_eq!((&work["trigger"], &work["runtimeSessionId"]), (&json!("active-scratchpad"), &json!("s1")));
    assert_eq!(work["rootStreamId"], json!(stream));
    shop.of(&work, "complete", json!({ "finalMessageMarkdown": "On it." })).await.with(200);
    assert_eq!(shop.texts(&stream).await, ["Go on, please", "On it."]);
    assert_eq!(shop.claim(json!({})).await, Value::Null, "its own answer is no work (W-130)");

    let shared = shop.team.bot(&shop.node, "Shared", None).await;
    let refused = shop.team.post(&shop.node, &shared, "bot-runtime/sessions", &session("s1")).await;
    refused.refuses(400, "PERSONAL_BOT_REQUIRED");
}

#[tokio::test]
async fn what_is_said_in_a_thread_is_answered_there_w125_w139() {
    let shop = Shop::new().await;
    let root = shop.say("A long story").await;
    let thread = shop.team.thread(&shop.node, root["id"].as_str().unwrap()).await;
    shop.team.say(&shop.node, &shop.ada, &thread, "@helper, the moral?").await;
    let work = shop.claim(json!({})).await;
    assert_eq!((&work["activeStreamId"], &work["rootStreamId"]), (&json!(thread), &json!(shop.channel)));
    assert_eq!(work["context"]["messages"], json!([]), "the history of the thread is empty");
    shop.of(&work, "complete", json!({ "finalMessageMarkdown": "None." })).await.with(200);
    assert_eq!(shop.texts(&thread).await, ["@helper, the moral?", "None."]);
}

#[tokio::test]
async fn work_and_claims_survive_a_crash_of_the_node_w136() {
    let shop = Shop::new().await;
    shop.say("@helper one").await;
    shop.say("@helper two").await;
    let work = shop.claim(json!({})).await;
    let home = shop.node.kill().await;
    let shop = Shop { node: Node::start_in(home, &[]).await, ..shop };
    let next = shop.claim(json!({})).await;
    assert_eq!(next["promptMarkdown"], "@helper two");
    assert_eq!(shop.claim(json!({})).await, Value::Null);
    shop.of(&work, "complete", json!({ "finalMessageMarkdown": "Done." })).await.with(200);
}

#[tokio::test]
async fn a_claim_that_nobody_renews_is_offered_again_by_itself_also_after_a_restart_w137() {
    let shop = Shop::new().await;
    shop.say("@helper").await;
    let work = shop.claim(json!({ "claimTtlSeconds": 15 })).await;
    let shop = Shop { node: Node::start_in(shop.node.kill().await, &[]).await, ..shop };
    // Nobody claims meanwhile; what the node says of the work changes when the lease is over.
    let id = work["id"].as_str().unwrap();
    let mut events =
        shop.node.request(Method::GET, "/node/v1/events").header("last-event-id", 0).send().await.unwrap();
    let mut heard = String::new();
    let is_over = |heard: &str| {
        let about = heard.lines().filter(|line| line.starts_with("data:") && line.contains(id));
        about.filter(|line| line.contains("\"pending\"")).count() >= 2
    };
    while !is_over(&heard) {
        let chunk = tokio::time::timeout(doors::PATIENCE, events.chunk()).await.expect("it is said").unwrap();
        heard.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    shop.of(&work, "renew", json!({})).await.refuses(404, "NOT_FOUND");
    let again = shop.claim(json!({})).await;
    assert_eq!(again["id"], work["id"]);
    assert_ne!(again["claimToken"], work["claimToken"]);
}

#[tokio::test]
async fn a_runtime_may_ask_any_node_and_the_bots_home_decides_w135_w142_w150() {
    let (home, member) = (Node::start().await, Node::start().await);
    let team = Team::new(&home, "garden").await;
    let invite = home.post(&team.node_path("invites"), &json!({})).await.with(201);
    member.post("/node/v1/join", &json!({ "ticket": invite["ticket"] })).await.with(200);
    let ada = team.person(&home, "Ada").await;
    let bot = team.bot(&member, "Helper", None).await;
    // The channel is opened once the bot is known here.
    let body = json!({ "type": "channel", "slug": "builders", "member_ids": [ada.id, bot.id] });
    let channel = loop {
        let made = home.post(&team.node_path("streams"), &body).await;
        if made.status == 201 {
            break made.json["id"].as_str().unwrap().to_owned();
        }
        doors::pause().await;
    };
    // Twice: a runtime beside the person, and one beside the bot.
    for (here, there) in [(&home, &member), (&member, &home)] {
        team.say(&home, &ada, &channel, "@helper, are you there?").await;
        let work = loop {
            let claimed = team.post(here, &bot, "bot-invocations/claim", &wish()).await.with(200);
            if claimed["data"] != Value::Null {
                break claimed["data"].clone();
            }
            doors::pause().await;
        };
        assert_eq!((&work["activeStreamId"], &work["trigger"]), (&json!(channel), &json!("mention")));
        assert_eq!(work["promptMarkdown"], "@helper, are you there?");
        assert_eq!((&work["authorUserId"], &work["actor"]["id"]), (&json!(ada.id), &json!(bot.id)));
        let of = |what: &str| format!("bot-invocations/{}/{what}", work["id"].as_str().unwrap());
        let holder = json!({ "instanceId": "laptop", "claimToken": work["claimToken"] });
        // The claim holds wherever the runtime asks.
        for node in [here, there] {
            team.post(node, &bot, &of("renew"), &holder).await.with(200);
            let step = but(holder.clone(), json!({ "stepType": "thinking", "content": "Hm" }));
            team.post(node, &bot, &of("steps"), &step).await.with(200);
            let wrong = but(holder.clone(), json!({ "claimToken": "1.nope" }));
            team.post(node, &bot, &of("renew"), &wrong).await.refuses(404, "NOT_FOUND");
        }
        let reply = but(holder.clone(), json!({ "finalMessageMarkdown": "Yes." }));
        let done = team.post(here, &bot, &of("complete"), &reply).await.with(200);
        let message = &done["data"]["message"];
        assert_eq!((&message["content"], &message["authorId"]), (&json!("Yes."), &json!(bot.id)));
        let again = team.post(there, &bot, &of("complete"), &reply).await.with(200);
        assert_eq!(again["data"]["message"]["id"], message["id"]);
        let fail = but(holder, json!({ "errorMessage": "late" }));
        team.post(here, &bot, &of("fail"), &fail).await.refuses(404, "NOT_FOUND");
    }
    let question = "@helper, are you there?";
    loop {
        if team.texts(&home, &ada, &channel).await == [question, "Yes.", question, "Yes."] {
            break;
        }
        doors::pause().await;
    }
    // What opens nothing there, opens nothing here; and without the bot's home nothing is given out.
    let reader = team.key(&member, &bot.id, &["messages:read"]).await;
    team.post(&home, &reader, "bot-invocations/claim", &wish()).await.refuses(401, "UNAUTHORIZED");
    drop(member);
    team.post(&home, &bot, "bot-invocations/claim", &wish()).await.refuses(503, "UNAVAILABLE");
}
