//! Many clients at two nodes send in threads and rooms, and send much of it again: at once, later, or after their
//! node was killed. Every message is there once, on both nodes, in one order, and the counters say so (N-83).
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::future::join_all;
use serde_json::{Value, json};
use support::{Dice, Door, Home, Place, Session, ids, until, until_true, workspace};

mod support;

const CHANNEL: &str = "builders";
/// Clients at each node; each has a session of its own, and a room with its partner at the other node.
const CLIENTS: usize = 5;
/// Messages of each client: with all clients, a thousand.
const SENDS: usize = 100;
/// Threads that all clients share.
const THREADS: usize = 4;
/// Kills of each node meanwhile.
const KILLS: usize = 3;
/// What decides who says what where, and what is said again. Another one tries other moments.
const SEED: u64 = 20_261_122;

/// One who sends.
struct Client {
    number: usize,
    door: Door,
    workspace: String,
    session: Session,
    partner: Session,
    room: String,
}

impl Client {
    fn message(&self, number: usize, container: &str) -> Value {
        let mut message = json!({
            "session_id": self.session.id, "channel": CHANNEL, "kind": "say", "id": format!("m-{}-{number}", self.number),
            "body": { "text": format!("number {number} of client {}", self.number) },
        });
        let (surface, id) = container.split_once('/').unwrap();
        match surface {
            "threads" => {
                (message["surface"], message["thread_id"]) = (json!("thread"), json!(id));
            }
            _ => {
                (message["surface"], message["direct_id"]) = (json!("direct"), json!(id));
                message["to"] = self.partner.peer.as_str().into();
            }
        }
        message
    }

    /// Sends everything, one after the other, much of it again. What it sent, by container.
    async fn send_all(
        self,
        mut dice: Dice,
        progress: Arc<AtomicUsize>,
    ) -> (Self, BTreeMap<String, Vec<Value>>) {
        let mut sent: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for number in 0..SENDS {
            let container = match dice.below(3) {
                0 => format!("directs/{}", self.room),
                _ => format!("threads/thread_no{}", dice.below(THREADS as u64)),
            };
            let message = self.message(number, &container);
            let copies = 1 + dice.below(3) / 2;
            join_all((0..copies).map(|_| self.door.send(&self.workspace, &message))).await;
            sent.entry(container).or_default().push(message);
            progress.fetch_add(1, Ordering::Relaxed);
            if dice.below(4) == 0 {
                // Something of before, maybe of before a kill.
                let of = sent.values().nth(dice.below(sent.len() as u64) as usize).unwrap();
                let again = &of[dice.below(of.len() as u64) as usize];
                let answer = self.door.send(&self.workspace, again).await;
                assert_eq!(answer["message"]["id"], again["id"]);
            }
        }
        (self, sent)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_sends_and_their_repetitions_each_is_stored_once_n83_n89() {
    let (mut ada, mut bob) = tokio::join!(Home::new("ada"), Home::new("bob"));
    let workspace = workspace(&ada.node, &[&bob.node]).await;
    let mut clients = Vec::new();
    for pair in 0..CLIENTS {
        let (api_a, api_b) = (&ada.node.api, &bob.node.api);
        let one = api_a.session(&workspace, "talker", CHANNEL).await;
        let other = api_b.session(&workspace, "talker", CHANNEL).await;
        api_a.until_visible(&workspace, CHANNEL, &other.peer).await;
        api_b.until_visible(&workspace, CHANNEL, &one.peer).await;
        let room = ada.door.room(&workspace, &one, &other.peer).await;
        let room = room["direct_id"].as_str().unwrap();
        for (side, (home, session, partner)) in
            [(&ada, &one, &other), (&bob, &other, &one)].into_iter().enumerate()
        {
            clients.push(Client {
                number: 2 * pair + side,
                door: home.door.clone(),
                workspace: workspace.clone(),
                session: session.clone(),
                partner: partner.clone(),
                room: room.to_owned(),
            });
        }
    }
    let progress = Arc::new(AtomicUsize::new(0));
    let talks = clients.into_iter().map(|client| {
        let dice = Dice::new(SEED + client.number as u64);
        tokio::spawn(client.send_all(dice, progress.clone()))
    });
    let talks: Vec<_> = talks.collect();
    let mut dice = Dice::new(SEED);
    // In the midst of it: each time a seventh of everything is sent, one of the two is killed.
    for kill in 1..=2 * KILLS {
        let due = kill * 2 * CLIENTS * SENDS / (2 * KILLS + 1);
        until_true("enough is sent", || async { progress.load(Ordering::Relaxed) >= due }).await;
        [&mut ada, &mut bob][kill % 2].kill_and_start().await;
    }
    let mut said: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
    let mut all = Vec::new();
    for talk in talks {
        let (client, sent) = talk.await.unwrap();
        for (container, messages) in &sent {
            let of =
                messages.iter().map(|message| (client.number, message["id"].as_str().unwrap().to_owned()));
            said.entry(container.clone()).or_default().extend(of);
        }
        all.push((client, sent));
    }
    // Both nodes are killed once more, and some of everything is said once more, now also with another text.
    tokio::join!(ada.kill_and_start(), bob.kill_and_start());
    for (client, sent) in &all {
        for messages in sent.values() {
            let again = &messages[dice.below(messages.len() as u64) as usize];
            client.door.send(&workspace, again).await;
            let mut other = again.clone();
            other["body"]["text"] = "something else".into();
            let path = format!("/api/workspaces/{workspace}/network/send");
            let refused = client.door.api().post(&path, other).await.expect(409);
            assert_eq!(refused["diagnostic"]["code"], "network_message_id_conflict");
        }
    }

    for (container, wanted) in &said {
        let lists = until("both nodes hold a container", || async {
            let [ada, bob] = [&ada, &bob].map(|home| home.node.api.messages(&workspace, CHANNEL, container));
            let (ada, bob) = tokio::join!(ada, bob);
            // Fewer may still be on their way; more would never become these.
            assert!(ada.len() <= wanted.len() && bob.len() <= wanted.len(), "{container} holds too much");
            (ada.len() == wanted.len() && bob.len() == wanted.len()).then_some((ada, bob))
        })
        .await;
        let order = ids(&lists.0);
        assert_eq!(order, ids(&lists.1), "{container}");
        let (mut found, mut sorted): (Vec<_>, Vec<_>) =
            (order.clone(), wanted.iter().map(|of| of.1.clone()).collect());
        found.sort();
        sorted.sort();
        assert_eq!(found, sorted, "{container}");
        for number in 0..2 * CLIENTS {
            let own: Vec<_> = wanted.iter().filter(|of| of.0 == number).map(|of| &of.1).collect();
            let prefix = format!("m-{number}-");
            let in_order: Vec<_> = order.iter().filter(|id| id.starts_with(&prefix)).collect();
            assert_eq!(in_order, own, "each client's messages are in the order it sent them");
        }
    }
    for home in [&ada, &bob] {
        counters_are_right(home, &workspace, &said).await;
        assert!(!home.place.logged().contains("forks"), "a log forked");
    }
}

/// What a node counts is what was said.
async fn counters_are_right(home: &Home, workspace: &str, said: &BTreeMap<String, Vec<(usize, String)>>) {
    let api = &home.node.api;
    let mut public = 0;
    for (container, messages) in said {
        let shown = api.network(workspace, &format!("channels/{CHANNEL}/{container}")).await.expect(200);
        let record = shown.get("thread").or(shown.get("direct")).unwrap();
        assert_eq!(record["message_count"], messages.len(), "{record}");
        if container.starts_with("threads/") {
            public += messages.len();
            let mut speakers: Vec<_> = messages.iter().map(|of| of.0).collect();
            speakers.dedup();
            assert_eq!(record["participant_count"], speakers.len(), "{record}");
        }
    }
    let channel = api.network(workspace, &format!("channels/{CHANNEL}")).await.expect(200);
    let channel = &channel["channel"];
    assert_eq!(channel["message_count"], public);
    assert_eq!(channel["kind_counts"], json!([{ "kind": "say", "count": public }]));
    assert_eq!(channel["historical_participant_count"], 2 * CLIENTS);
    let status = api.get("/api/network/status").await.expect(200);
    let status = &status["network"];
    assert_eq!((&status["open_threads"], &status["open_direct_rooms"]), (&json!(THREADS), &json!(CLIENTS)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_to_a_node_that_was_away_is_not_lost_n84() {
    let at = |name| Home::at(Place::new(name).greeting_every(30));
    let (mut ada, mut bob) = tokio::join!(at("ada"), at("bob"));
    let workspace = workspace(&ada.node, &[&bob.node]).await;
    let coder = ada.node.api.session(&workspace, "coder", CHANNEL).await;
    let reviewer = bob.node.api.session(&workspace, "reviewer", CHANNEL).await;
    ada.node.api.until_visible(&workspace, CHANNEL, &reviewer.peer).await;
    let room = ada.door.room(&workspace, &coder, &reviewer.peer).await;
    let client = Client {
        number: 0,
        door: ada.door.clone(),
        workspace: workspace.clone(),
        session: coder,
        partner: reviewer.clone(),
        room: room["direct_id"].as_str().unwrap().to_owned(),
    };
    let room = format!("directs/{}", client.room);

    bob.node.kill_now().await;
    let path = format!("/api/workspaces/{workspace}/network/send");
    let messages = [client.message(0, "threads/thread_no0"), client.message(1, &room)];
    for message in &messages {
        ada.node.api.post(&path, message.clone()).await.expect(200);
    }
    // Nobody could be handed anything; and who has to hand it on is killed, too.
    ada.node.kill_now().await;
    bob.start().await;
    assert_eq!(bob.node.api.inbox(&workspace, &reviewer.id).await, [json!(null); 0]);
    ada.start().await;
    until_true("both wait for the reviewer", || async {
        let waiting = bob.node.api.inbox(&workspace, &reviewer.id).await;
        waiting.iter().map(|envelope| envelope["id"].clone()).collect::<Vec<_>>()
            == [json!("m-0-0"), json!("m-0-1")]
    })
    .await;
    for message in &messages {
        ada.door.send(&workspace, message).await; // a retry is no second message
    }
    for container in ["threads/thread_no0", &room] {
        assert_eq!(bob.node.api.messages(&workspace, CHANNEL, container).await.len(), 1);
    }
    assert_eq!(bob.node.api.inbox(&workspace, &reviewer.id).await.len(), 2);
}
