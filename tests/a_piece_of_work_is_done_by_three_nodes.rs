//! Three agents on three nodes, and a piece of work from the first greeting to its end, while the nodes that matter
//! are killed: the two concerned tell one story of it, and the third learns nothing that was not for it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use muster_protocol::network::Capability;
use serde_json::{Value, json};
use support::{Api, Door, Home, Place, Session, TCP, ids, meet, until, until_true, workspace};

mod support;

const CHANNEL: &str = "builders";
/// Stands in everything that is said about the work: its ids, its texts, its document.
const MARK: &str = "quince7f3a";

/// Coder and reviewer do the work; the watcher is only there.
struct Circle {
    homes: [Home; 3],
    workspace: String,
    sessions: [Session; 3],
}

const CODER: usize = 0;
const REVIEWER: usize = 1;
const WATCHER: usize = 2;

impl Circle {
    async fn new() -> Self {
        let (a, b, c) = tokio::join!(
            Home::at(Place::over(TCP, "ada")),
            Home::at(Place::new("bob")),
            Home::at(Place::new("cleo"))
        );
        let workspace = workspace(&a.node, &[&b.node, &c.node]).await;
        meet(&workspace, &b.node, &c.node).await;
        let coder = at_work(&a.node.api, &workspace, "coder", &["fix"]).await;
        let reviewer = at_work(&b.node.api, &workspace, "reviewer", &["review", "format"]).await;
        let watcher = at_work(&c.node.api, &workspace, "watcher", &[]).await;
        Self { homes: [a, b, c], workspace, sessions: [coder, reviewer, watcher] }
    }

    fn api(&self, who: usize) -> &Api {
        &self.homes[who].node.api
    }

    fn peer(&self, who: usize) -> &str {
        &self.sessions[who].peer
    }

    /// Everybody sees everybody, with what each says of itself.
    async fn everybody_greets(&self) {
        for here in [CODER, REVIEWER, WATCHER] {
            for there in &self.sessions {
                self.api(here).until_visible(&self.workspace, CHANNEL, &there.peer).await;
            }
            let peers = self.api(here).network(&self.workspace, "peers").await.expect(200);
            let peers = peers["peers"].as_array().unwrap();
            assert_eq!(peers.len(), 3, "{peers:?}");
            assert_eq!(peers[0]["peer_id"], self.peer(here), "the own one comes first");
            for peer in peers {
                let local = peer["peer_id"] == self.peer(here);
                assert_eq!(peer["local"], local, "{peer}");
                assert_eq!(peer["presence_state"] == "local", local, "{peer}");
            }
            let reviewer = peers.iter().find(|peer| peer["peer_id"] == self.peer(REVIEWER)).unwrap();
            assert_eq!(ids_of(&reviewer["peer_card"]["capabilities"]), ["review", "format"]);
        }
    }

    /// The coder asks who can do what, first briefly, then for the documents (N-69, N-70).
    async fn the_coder_finds_the_reviewer(&self) {
        let brief = json!({ "type": "request", "query": "review" });
        let answers = self.whois("ask-brief", brief, &[], 1).await;
        assert_eq!(answers[0]["from"], self.peer(REVIEWER));
        let card = &answers[0]["body"]["peer_card"];
        assert_eq!(card["capabilities"], json!(["review", "format"]));
        assert!(answers[0]["ext"].get("agh.capability_catalog").is_none(), "{}", answers[0]);

        let rich = self.whois("ask-rich", json!({ "type": "request" }), &["capability_catalog"], 2).await;
        let mut from: Vec<_> = rich.iter().map(|answer| answer["from"].as_str().unwrap()).collect();
        from.sort();
        assert_eq!(from, [self.peer(REVIEWER), self.peer(WATCHER)], "the asker does not answer itself");
        let of_reviewer = rich.iter().find(|answer| answer["from"] == self.peer(REVIEWER)).unwrap();
        let documents = &of_reviewer["ext"]["agh.capability_catalog"]["capabilities"];
        for document in documents.as_array().unwrap() {
            let document: Capability = serde_json::from_value(document.clone()).unwrap();
            document.check().expect("its digest is right");
        }
        // From now on the coder's node knows the documents, as the reviewer's does.
        let path = format!("peers/{}", self.peer(REVIEWER));
        let known = until("the catalog is known", || async {
            let peer = self.api(CODER).network(&self.workspace, &path).await.expect(200);
            peer["peer"].get("capability_catalog").cloned()
        });
        let own = self.api(REVIEWER).network(&self.workspace, &path).await.expect(200);
        assert_eq!(known.await, own["peer"]["capability_catalog"]);
        assert_eq!(digests(&own["peer"]["capability_catalog"]["capabilities"]), digests(documents));
    }

    /// Asks everybody, and waits for so many answers.
    async fn whois(&self, id: &str, body: Value, include: &[&str], count: usize) -> Vec<Value> {
        let mut message = json!({
            "session_id": self.sessions[CODER].id, "channel": CHANNEL, "kind": "whois", "id": id, "body": body,
        });
        if !include.is_empty() {
            message["ext"] = json!({ "agh.include": include });
        }
        self.homes[CODER].door.send(&self.workspace, &message).await;
        until("everybody who should has answered", || async {
            let waiting = self.api(CODER).inbox(&self.workspace, &self.sessions[CODER].id).await;
            let answers: Vec<_> = waiting.into_iter().filter(|answer| answer["reply_to"] == id).collect();
            assert!(answers.len() <= count, "{answers:?}");
            (answers.len() == count).then_some(answers)
        })
        .await
    }
}

/// A session of an agent with these capabilities.
async fn at_work(api: &Api, workspace: &str, agent: &str, capabilities: &[&str]) -> Session {
    let document = |id: &&str| json!({ "id": id, "summary": format!("To {id}"), "outcome": "It is done" });
    let capabilities: Vec<_> = capabilities.iter().map(document).collect();
    let wish = json!({ "name": agent, "capabilities": capabilities });
    api.post(&format!("/node/v1/workspaces/{workspace}/agents"), wish).await.expect(201);
    api.session(workspace, agent, CHANNEL).await
}

fn digests(documents: &Value) -> Vec<&str> {
    documents.as_array().unwrap().iter().map(|document| document["digest"].as_str().unwrap()).collect()
}

fn ids_of(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

/// A message about the work: who says it (the coder first), its kind and body, and how the work stands after it.
type Step = (usize, &'static str, Value, &'static str);

fn story() -> Vec<Step> {
    let document = json!({ "id": "fix", "summary": "Fixes", "outcome": format!("A patch of {MARK}") });
    let document = serde_json::from_value::<Capability>(document).unwrap().with_own_digest();
    let say = |text: &str| json!({ "text": format!("{text}, {MARK}") });
    let trace = |state: &str| json!({ "state": state, "message": format!("{state} {MARK}") });
    let accepted = json!({ "for_id": format!("m-0-{MARK}"), "status": "accepted" });
    vec![
        (CODER, "say", say("please review"), "submitted"),
        (CODER, "capability", json!({ "capability": document }), "submitted"),
        (REVIEWER, "receipt", accepted, "submitted"),
        (REVIEWER, "trace", trace("working"), "working"),
        (REVIEWER, "trace", trace("needs_input"), "needs_input"),
        (CODER, "say", say("here you are"), "working"),
        (REVIEWER, "trace", trace("completed"), "completed"),
    ]
}

/// Where coder and reviewer stand, and where the work is done.
struct Stage<'a> {
    doors: [Door; 2],
    sessions: [&'a Session; 2],
    workspace: &'a str,
    /// `surface` and its id.
    surface: Value,
}

impl Stage<'_> {
    fn work(&self) -> String {
        format!("w-{MARK}")
    }

    /// The message of a step, the same each time.
    fn message(&self, number: usize, (who, kind, body, _): &Step) -> Value {
        let mut message = self.surface.clone();
        let rest = json!({
            "session_id": self.sessions[*who].id, "channel": CHANNEL, "kind": kind, "body": body,
            "to": self.sessions[1 - *who].peer, "work_id": self.work(), "id": format!("m-{number}-{MARK}"),
        });
        message.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        message
    }

    /// `threads/…` or `directs/…`.
    fn container(&self) -> String {
        let id = |name: &str| self.surface[name].as_str().unwrap().to_owned();
        match self.surface["surface"] == "thread" {
            true => format!("threads/{}", id("thread_id")),
            false => format!("directs/{}", id("direct_id")),
        }
    }

    /// Waits until both sides have heard so many messages and see the work stand so.
    async fn until_both_see(&self, count: usize, state: &str) {
        for door in &self.doors {
            until_true("both sides see how the work stands", || async {
                let api = door.api();
                let messages = api.messages(self.workspace, CHANNEL, &self.container()).await;
                assert!(messages.len() <= count, "{messages:?}");
                messages.len() == count && api.work(self.workspace, &self.work()).await["state"] == state
            })
            .await;
        }
    }

    /// What both sides tell in the end: the messages, the work, and what waits for each.
    async fn told(&self) -> Vec<Value> {
        let mut told = vec![same_everywhere(&self.doors[0].api(), self).await];
        assert_eq!(told[0], same_everywhere(&self.doors[1].api(), self).await);
        for (door, session) in self.doors.iter().zip(self.sessions) {
            let waiting = door.api().inbox(self.workspace, &session.id).await;
            let mut waiting = waiting.iter().filter(|envelope| envelope["kind"] != "whois");
            let waiting: Vec<_> = waiting.by_ref().map(|envelope| envelope["id"].clone()).collect();
            told.push(waiting.into());
        }
        told
    }
}

/// Everything about the work that does not depend on where it is read.
async fn same_everywhere(api: &Api, stage: &Stage<'_>) -> Value {
    let without = |mut value: Value, names: &[&str]| {
        names.iter().for_each(|name| drop(value.as_object_mut().unwrap().remove(*name)));
        value
    };
    let messages = api.messages(stage.workspace, CHANNEL, &stage.container()).await;
    let messages =
        messages.into_iter().map(|message| without(message, &["direction", "local", "session_id"]));
    let container = format!("channels/{CHANNEL}/{}", stage.container());
    let container = api.network(stage.workspace, &container).await.expect(200);
    let container = container.get("thread").or(container.get("direct")).unwrap().clone();
    json!({
        "messages": messages.collect::<Vec<_>>(),
        "work": without(api.work(stage.workspace, &stage.work()).await, &["opened_session_id"]),
        "container": without(container, &["opened_session_id"]),
    })
}

/// How it has to be told.
fn check(told: &[Value], stage: &Stage<'_>) {
    let messages = told[0]["messages"].as_array().unwrap();
    let story = story();
    let all: Vec<_> = (0..story.len()).map(|number| format!("m-{number}-{MARK}")).collect();
    assert_eq!(ids(messages), all);
    for (message, (who, kind, body, _)) in messages.iter().zip(&story) {
        assert_eq!((&message["kind"], &message["body"]), (&json!(kind), body));
        assert_eq!(message["peer_from"], stage.sessions[*who].peer);
        assert_eq!(message["peer_to"], stage.sessions[1 - *who].peer);
    }
    let work = &told[0]["work"];
    assert_eq!((&work["state"], &work["terminal_at"]), (&json!("completed"), &messages[6]["timestamp"]));
    assert_eq!(work["opened_by_peer_id"], stage.sessions[CODER].peer);
    let container = &told[0]["container"];
    assert_eq!((&container["message_count"], &container["open_work_count"]), (&json!(7), &json!(0)));
    for (who, waiting) in [(CODER, &told[1]), (REVIEWER, &told[2])] {
        let for_it =
            story.iter().enumerate().filter(|(_, step)| step.0 != who).map(|(at, _)| all[at].clone());
        assert_eq!(*waiting, json!(for_it.collect::<Vec<_>>()), "each once, in order");
    }
}

/// Plays the story; `killed` is killed while each of its and the other's messages is sent, and each is sent again.
async fn play(stage: &Stage<'_>, mut killed: Option<&mut Home>) {
    for (number, step) in story().iter().enumerate() {
        let message = stage.message(number, step);
        let door = &stage.doors[step.0];
        match killed.as_deref_mut() {
            Some(home) => {
                tokio::join!(door.send(stage.workspace, &message), home.kill_and_start());
            }
            None => drop(door.send(stage.workspace, &message).await),
        }
        let again = door.send(stage.workspace, &message).await;
        assert_eq!(again["message"]["id"], message["id"]);
        stage.until_both_see(number + 1, step.3).await;
    }
    let told = stage.told().await;
    check(&told, stage);
}

/// The whole story in a direct room, of which the watcher learns nothing.
async fn in_a_room(killed: Option<usize>) {
    let mut circle = Circle::new().await;
    circle.everybody_greets().await;
    circle.the_coder_finds_the_reviewer().await;
    let workspace = circle.workspace.clone();
    let doors = [CODER, REVIEWER].map(|who| circle.homes[who].door.clone());
    let room = doors[CODER].room(&workspace, &circle.sessions[CODER], circle.peer(REVIEWER)).await;
    let surface = json!({ "surface": "direct", "direct_id": room["direct_id"] });
    let [coder, reviewer, watcher] = circle.sessions.clone();
    let stage = Stage { doors, sessions: [&coder, &reviewer], workspace: &workspace, surface };
    play(&stage, killed.map(|who| &mut circle.homes[who])).await;

    let room = room["direct_id"].as_str().unwrap();
    let api = circle.api(WATCHER);
    // What everybody may hear comes after it, so the room is not only late.
    let after = json!({
        "session_id": coder.id, "channel": CHANNEL, "kind": "say", "surface": "thread", "thread_id": "thread_all",
        "body": { "text": "we are done" }, "id": "to-all",
    });
    stage.doors[CODER].send(&workspace, &after).await;
    api.until_thread_holds(&workspace, CHANNEL, "thread_all", &["to-all".to_owned()]).await;
    assert_eq!(api.rooms(&workspace, CHANNEL).await, json!([]));
    for hidden in [
        format!("channels/{CHANNEL}/directs/{room}"),
        format!("channels/{CHANNEL}/directs/{room}/messages"),
        format!("work/{}", stage.work()),
    ] {
        assert_eq!(api.network(&workspace, &hidden).await.status, 404, "{hidden}");
    }
    assert_eq!(ids_of(&api.inbox(&workspace, &watcher.id).await.into()), ["to-all"]);
    let Circle { homes, .. } = circle;
    for (who, home) in homes.into_iter().enumerate() {
        let Home { place, node, .. } = home;
        assert!(node.terminate().await.0.success());
        assert_eq!(holds(&place, MARK), who != WATCHER, "node {who}");
        assert_eq!(holds(&place, room), who != WATCHER, "node {who}");
    }
}

fn holds(place: &Place, text: &str) -> bool {
    place.stored().windows(text.len()).any(|bytes| bytes == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_direct_room_two_tell_one_story_and_the_third_knows_nothing_n33_n140() {
    in_a_room(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_so_they_do_when_the_node_that_decides_is_killed_again_and_again_n33_n51() {
    in_a_room(Some(REVIEWER)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_so_they_do_when_the_home_of_the_workspace_is_killed_again_and_again_n33_n51() {
    in_a_room(Some(CODER)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_public_thread_all_three_tell_one_story_n31_n96_n140() {
    let mut circle = Circle::new().await;
    circle.everybody_greets().await;
    let workspace = circle.workspace.clone();
    let doors = [CODER, REVIEWER].map(|who| circle.homes[who].door.clone());
    let [coder, reviewer, watcher] = circle.sessions.clone();
    let surface = json!({ "surface": "thread", "thread_id": "thread_review" });
    let stage = Stage { doors, sessions: [&coder, &reviewer], workspace: &workspace, surface };
    play(&stage, Some(&mut circle.homes[REVIEWER])).await;
    let told = same_everywhere(&stage.doors[CODER].api(), &stage).await;
    let api = circle.homes[WATCHER].door.api();
    until_true("the third tells the same", || async {
        api.messages(&workspace, CHANNEL, &stage.container()).await.len() == story().len()
            && same_everywhere(&api, &stage).await == told
    })
    .await;
    assert_eq!(api.inbox(&workspace, &watcher.id).await, [json!(null); 0], "it was addressed to others");
    let [_, _, home] = circle.homes;
    assert!(home.node.terminate().await.0.success());
    assert!(holds(&home.place, MARK));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_of_one_node_go_through_the_same_story_n140() {
    let home = Home::new("ada").await;
    let workspace = workspace(&home.node, &[]).await;
    // In the other order than between the nodes: the one who is asked is there first.
    let reviewer = at_work(&home.node.api, &workspace, "reviewer", &[]).await;
    let coder = at_work(&home.node.api, &workspace, "coder", &[]).await;
    let room = home.door.room(&workspace, &reviewer, &coder.peer).await;
    let surface = json!({ "surface": "direct", "direct_id": room["direct_id"] });
    let doors = [home.door.clone(), home.door.clone()];
    play(&Stage { doors, sessions: [&coder, &reviewer], workspace: &workspace, surface }, None).await;
}
