//! Who is seen, by whom and for how long, on two nodes: the presence rules of `semantics/network.md`.
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, fail by panicking")]

mod doors;

use std::future::Future;

use doors::{Node, PATIENCE, Place, but, ids};
use serde_json::{Value, json};

/// A node with a coder and a reviewer, and another that joined it, where guests can be.
struct Two {
    here: Node,
    there: Node,
    place: Place,
}

impl Two {
    async fn greeting_every(seconds: u32) -> Self {
        let setting = format!("network.greet_interval_seconds={seconds}");
        let (here, there) = (Node::start_with(&[&setting]).await, Node::start_with(&[&setting]).await);
        let place = Place::new(&here).await;
        let invites = format!("/node/v1/workspaces/{}/invites", place.workspace);
        let invite = here.post(&invites, &json!({})).await.with(201);
        let joined = there.post("/node/v1/join", &json!({ "ticket": invite["ticket"] })).await.with(200);
        assert_eq!(joined["id"], place.workspace, "N-3");
        Self { here, there, place }
    }

    /// A session of an agent at the other node, seen here: its id and its peer id.
    async fn guest(&self, agent: &str, channel: &str) -> (String, String) {
        let of = format!("/node/v1/workspaces/{}", self.place.workspace);
        self.there.post(&format!("{of}/agents"), &json!({ "name": agent })).await.with(201);
        let wish = json!({ "agent_name": agent, "channel": channel });
        let started = self.there.post(&format!("{of}/sessions"), &wish).await.with(201);
        let text = |name: &str| started[name].as_str().unwrap().to_owned();
        let (session, peer) = (text("id"), text("peer_id"));
        until("the guest is seen", || async { self.seen(&peer).await }).await;
        (session, peer)
    }

    /// What is counted here of a peer.
    async fn metrics(&self, peer: &str) -> Value {
        let mut detail = self.here.get(&self.place.at(&format!("peers/{peer}"))).await.with(200);
        detail["peer"]["metrics"].take()
    }

    /// What the list here shows of a peer.
    async fn seen(&self, peer: &str) -> Option<Value> {
        let list = self.here.get(&self.place.at("peers")).await.with(200);
        list["peers"].as_array().unwrap().iter().find(|known| known["peer_id"] == peer).cloned()
    }
}

/// Looks until there is something.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let looking = async {
        loop {
            match look().await {
                Some(found) => return found,
                None => doors::pause().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("waited too long until {what}"))
}

#[tokio::test]
async fn a_peer_elsewhere_lasts_two_intervals_after_its_last_greet_n56_n57_n81() {
    let two = Two::greeting_every(2).await;
    let (_, guest) = two.guest("guest", "builders").await;
    let first = two.seen(&guest).await.unwrap();
    let (seen, gone) = (time(&first["last_seen"]), time(&first["expires_at"]));
    assert_eq!(gone - seen, 4000, "N-56: two intervals");
    assert_eq!((&first["local"], &first["presence_state"]), (&json!(false), &json!("active")));
    assert!(first["last_seen_age_seconds"].is_u64() && first.get("joined_at").is_none(), "{first}");
    let own = two.seen(&two.place.coder_peer()).await.unwrap();
    assert_eq!((&own["presence_state"], &own["local"]), (&json!("local"), &json!(true)));
    for name in ["last_seen_age_seconds", "last_seen", "expires_at"] {
        assert!(own.get(name).is_none(), "N-57: {own}");
    }
    until("the next greet refreshes it", || async {
        two.seen(&guest).await.filter(|peer| time(&peer["last_seen"]) > seen)
    })
    .await;

    let Two { here, there, place } = two;
    let home = there.kill().await; // no goodbye
    let mut states = Vec::new();
    let until_gone = async {
        loop {
            let list = here.get(&place.at("peers")).await.with(200);
            let mut peers = list["peers"].as_array().unwrap().iter();
            let Some(peer) = peers.find(|peer| peer["peer_id"] == guest) else { break };
            let age = peer["last_seen_age_seconds"].as_u64().unwrap();
            let state = peer["presence_state"].as_str().unwrap().to_owned();
            // Exactly one interval old it is still active.
            let wanted = if age < 2 { "active" } else { "inactive" };
            assert!(age < 4 && (state == wanted || age == 2), "N-56, N-57: {peer}");
            states.push(state);
            doors::pause().await;
        }
    };
    tokio::time::timeout(PATIENCE, until_gone).await.expect("silent for two intervals, it is gone");
    states.dedup();
    assert_eq!(states, ["active", "inactive"]);

    // Gone from the lists, from the counters, and as a target; nothing is kept for when it is back.
    here.get(&place.at(&format!("peers/{guest}"))).await.refuses(404, "network_not_found");
    assert_eq!(here.get("/api/network/status").await.with(200)["network"]["remote_peers"], 0);
    let channel = here.get(&place.at("channels/builders")).await.with(200);
    assert_eq!(
        (&channel["channel"]["remote_peer_count"], &channel["channel"]["peer_count"]),
        (&json!(0), &json!(2))
    );
    let resolve = json!({ "session_id": place.coder, "peer_id": guest });
    let resolve = here.post(&place.at("channels/builders/directs/resolve"), &resolve).await;
    resolve.refuses(404, "network_target_unreachable");
    let to_nobody = but(place.say("are you there?"), json!({ "to": guest }));
    place.send(&here, &to_nobody).await.refuses(404, "network_target_unreachable");
    here.get(&place.at("channels/builders/threads/thread_one")).await.refuses(404, "network_not_found");
    place.send(&here, &but(place.say("anybody?"), json!({ "id": "for-all" }))).await.with(200);
    let there = Node::start_in(home, &["network.greet_interval_seconds=2"]).await;
    let session = guest.strip_prefix("guest.").unwrap();
    let waiting = until("what was said to everybody is there", || async {
        let inbox = there.get(&place.at(&format!("inbox?session_id={session}"))).await.with(200);
        Some(ids(&inbox["messages"], "id")).filter(|waiting| !waiting.is_empty())
    })
    .await;
    assert_eq!(waiting, ["for-all"], "N-81");
}

/// A time in milliseconds.
fn time(text: &Value) -> i64 {
    text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

#[tokio::test]
async fn a_greet_in_so_many_words_and_a_whois_answer_refresh_a_peer_too_n56_n86() {
    // So seldom that nothing else does it meanwhile.
    let two = Two::greeting_every(600).await;
    let (session, guest) = two.guest("guest", "builders").await;
    let first = two.seen(&guest).await.unwrap();
    let card = json!({
        "peer_id": guest, "profiles_supported": ["agh-network/v0"], "capabilities": ["dance"],
        "artifacts_supported": [], "trust_modes_supported": [], "display_name": "The Guest",
    });
    let greet = json!({
        "session_id": session, "channel": "builders", "kind": "greet", "body": { "peer_card": card },
    });
    two.place.send(&two.there, &greet).await.with(200);
    let greeted = until("the greet is heard", || async {
        two.seen(&guest).await.filter(|peer| time(&peer["last_seen"]) > time(&first["last_seen"]))
    })
    .await;
    assert_eq!(greeted["display_name"], "The Guest", "N-60");
    let whois = json!({
        "session_id": two.place.coder, "channel": "builders", "kind": "whois", "to": guest, "id": "who-are-you",
        "body": { "type": "request" },
    });
    two.place.send(&two.here, &whois).await.with(200);
    until("the answer is heard", || async {
        two.seen(&guest).await.filter(|peer| time(&peer["last_seen"]) > time(&greeted["last_seen"]))
    })
    .await;
    let answers = until("the answer waits", || async {
        let inbox =
            two.here.get(&two.place.at(&format!("inbox?session_id={}", two.place.coder))).await.with(200);
        Some(inbox["messages"].clone()).filter(|waiting| *waiting != json!([]))
    })
    .await;
    assert_eq!((&answers[0]["kind"], &answers[0]["reply_to"]), (&json!("whois"), &json!("who-are-you")));
}

#[tokio::test]
async fn peers_are_listed_ours_first_then_the_more_recent_then_by_name_n59_n61() {
    let two = Two::greeting_every(600).await;
    let (_, writer) = two.place.writer(&two.here).await;
    let (early_session, early) = two.guest("early", "builders").await;
    let (_, late) = two.guest("late", "builders").await;
    let (_, elsewhere) = two.guest("elsewhere", "attic").await;
    let list = || async {
        let list = two.here.get(&two.place.at("peers")).await.with(200);
        list["peers"].as_array().unwrap().clone()
    };
    let in_order = |peers: &[Value]| {
        let key = |peer: &Value| {
            let text = |name: &str| peer[name].as_str().unwrap().to_owned();
            let recent = peer.get("last_seen").or(peer.get("joined_at")).unwrap();
            let recent = std::cmp::Reverse(time(recent));
            (peer["local"] != true, recent, text("display_name"), text("peer_id"), text("channel"))
        };
        assert!(peers.is_sorted_by_key(key), "{peers:?}");
        peers.iter().map(|peer| peer["peer_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let peers = in_order(&list().await);
    assert_eq!(peers.len(), 6);
    assert_eq!(peers[0], writer, "the local one who came last");
    assert_eq!(peers[3..], [elsewhere.clone(), late.clone(), early.clone()]);
    // Who was heard of last comes first of the others.
    let card = json!({
        "peer_id": early, "profiles_supported": [], "capabilities": [], "artifacts_supported": [],
        "trust_modes_supported": [],
    });
    let greet = json!({
        "session_id": early_session, "channel": "builders", "kind": "greet", "body": { "peer_card": card },
    });
    two.place.send(&two.there, &greet).await.with(200);
    until("the greet is heard", || async {
        (in_order(&list().await)[3..] == [early.clone(), elsewhere.clone(), late.clone()]).then_some(())
    })
    .await;
    for (channel, expected) in [("builders", 5), ("attic", 1), ("nobody", 0)] {
        let kept = two.here.get(&two.place.at(&format!("peers?channel={channel}"))).await.with(200);
        let kept = kept["peers"].as_array().unwrap();
        assert_eq!(kept.len(), expected, "N-61: {channel}");
        assert!(kept.iter().all(|peer| peer["channel"] == channel));
    }
    two.here.get(&two.place.at("peers?channel=Not%20One")).await.refuses(400, "network_invalid_request");
}

#[tokio::test]
async fn a_peer_is_found_in_any_channel_and_counted_from_here_n62_n63() {
    let two = Two::greeting_every(600).await;
    let (session, guest) = two.guest("guest", "attic").await;
    let found = two.here.get(&two.place.at(&format!("peers/{guest}"))).await.with(200);
    assert_eq!((&found["peer"]["channel"], &found["peer"]["local"]), (&json!("attic"), &json!(false)));
    assert!(found["peer"].get("workspace_id").is_none(), "{found}");
    let nothing = json!({ "sent": 0, "received": 0, "rejected": 0, "delivered": 0 });
    assert_eq!(found["peer"]["metrics"], nothing);

    // A second session here, so that two are concerned by what the guest says to everybody.
    let sessions = format!("/node/v1/workspaces/{}/sessions", two.place.workspace);
    let attic = json!({ "agent_name": "writer", "channel": "attic" });
    let mut peers = Vec::new();
    for _ in 0..2 {
        let started = two.here.post(&sessions, &attic).await.with(201);
        peers.push((started["id"].clone(), started["peer_id"].as_str().unwrap().to_owned()));
    }
    let say = |session: &Value, to: Option<&str>| {
        let mut say = json!({
            "session_id": session, "channel": "attic", "kind": "say", "surface": "thread", "thread_id": "thread_one",
            "body": { "text": "hello" },
        });
        if let Some(to) = to {
            say["to"] = to.into();
        }
        say
    };
    two.place.send(&two.there, &say(&json!(session), None)).await.with(200);
    two.place.send(&two.here, &say(&peers[0].0, Some(&guest))).await.with(200);
    let wanted = json!({ "sent": 1, "received": 2, "rejected": 0, "delivered": 0 });
    until("the events with the guest are counted", || async {
        (two.metrics(&guest).await == wanted).then_some(())
    })
    .await;
    assert_eq!(
        two.metrics(&peers[0].1).await,
        json!({ "sent": 1, "received": 1, "rejected": 0, "delivered": 0 }),
        "a local peer: those of its session"
    );
}

#[tokio::test]
async fn greets_are_counted_and_leave_no_rows_n138() {
    let two = Two::greeting_every(1).await;
    two.guest("guest", "builders").await;
    let events = |node: &Node| {
        let request = node.request(reqwest::Method::GET, "/node/v1/events").send();
        async move {
            let first = request.await.unwrap().chunk().await.unwrap().unwrap();
            let text = String::from_utf8(first.to_vec()).unwrap();
            text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned()
        }
    };
    let builders =
        || async { two.here.get(&two.place.at("channels/builders")).await.with(200)["channel"].clone() };
    let (newest, before) = (events(&two.here).await, builders().await);
    let count = |channel: &Value| channel["presence_count"].as_u64().unwrap();
    let after = until("more was greeted", || async {
        Some(builders().await).filter(|channel| count(channel) >= count(&before) + 6)
    })
    .await;
    assert!(time(&after["last_presence_at"]) > time(&before["last_presence_at"]));
    assert_eq!((&after["message_count"], &after["historical_participant_count"]), (&json!(0), &json!(0)));
    assert!(after.get("kind_counts").is_none());
    let status = two.here.get("/api/network/status").await.with(200);
    assert_eq!(status["network"]["conversation_messages"], 0);
    assert_eq!(events(&two.here).await, newest, "no greet stands in the journal");
}
