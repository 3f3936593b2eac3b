//! Two nodes that cannot hear each other end the same work, each in its own way, and are both told that it is done.
//! When they hear each other again, both show the end that came first, and everything that was said (N-47).
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use std::time::Duration;

use serde_json::{Value, json};
use support::{Api, Home, Place, QUIC, Session, TCP, ids, until, until_true, workspace};

mod support;

const CHANNEL: &str = "builders";

/// A coder at one node who asked a reviewer at another for work.
struct Pairing {
    ada: Home,
    bob: Home,
    workspace: String,
    coder: Session,
    reviewer: Session,
}

impl Pairing {
    /// Peers stay visible long after their node fell silent, so that it is only the link that is missing.
    async fn new(transport: &str) -> Self {
        let at = |name| Home::at(Place::over(transport, name).greeting_every(30));
        let (ada, bob) = tokio::join!(at("ada"), at("bob"));
        let workspace = workspace(&ada.node, &[&bob.node]).await;
        let coder = ada.node.api.session(&workspace, "coder", CHANNEL).await;
        let reviewer = bob.node.api.session(&workspace, "reviewer", CHANNEL).await;
        ada.node.api.until_visible(&workspace, CHANNEL, &reviewer.peer).await;
        bob.node.api.until_visible(&workspace, CHANNEL, &coder.peer).await;
        Self { ada, bob, workspace, coder, reviewer }
    }

    fn path(&self) -> String {
        format!("/api/workspaces/{}/network/send", self.workspace)
    }

    async fn until_work_is(&self, api: &Api, work: &str, state: &str) {
        until_true("the work stands so", || async {
            api.work(&self.workspace, work).await["state"] == state
        })
        .await;
    }

    /// Waits until both nodes hold so many messages of a container; they have to be the same, in one order.
    async fn same_messages(&self, container: &str, count: usize) -> Vec<String> {
        let both = until("both hold everything", || async {
            let [ada, bob] = [&self.ada, &self.bob]
                .map(|home| home.node.api.messages(&self.workspace, CHANNEL, container));
            let (ada, bob) = tokio::join!(ada, bob);
            assert!(ada.len() <= count && bob.len() <= count, "{ada:?}\n{bob:?}");
            (ada.len() == count && bob.len() == count).then(|| (ids(&ada), ids(&bob)))
        })
        .await;
        assert_eq!(both.0, both.1, "people read the same order everywhere");
        both.0
    }

    /// Both records of the work, which have to be the same, with this state.
    async fn same_work(&self, work: &str, state: &str) {
        let [ada, bob] = [&self.ada, &self.bob].map(|home| home.node.api.work(&self.workspace, work));
        let (mut ada, mut bob) = tokio::join!(ada, bob);
        for record in [&mut ada, &mut bob] {
            record.as_object_mut().unwrap().remove("opened_session_id");
        }
        assert_eq!(ada, bob);
        assert_eq!(ada["state"], state, "{work}: {ada}");
    }
}

fn message(from: &Session, kind: &str, id: &str, work: &str, container: &Value, body: Value) -> Value {
    let mut message = container.clone();
    let rest = json!({
        "session_id": from.id, "channel": CHANNEL, "kind": kind, "id": id, "work_id": work, "body": body,
    });
    message.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    message
}

fn with_target(mut message: Value, to: &Session) -> Value {
    message["to"] = to.peer.as_str().into();
    message
}

/// Neither node runs while the other ends the work: the first to end it is right.
async fn while_the_other_is_down(transport: &str) {
    let mut pair = Pairing::new(transport).await;
    let thread = json!({ "surface": "thread", "thread_id": "thread_work" });
    let open = message(&pair.coder, "say", "open", "w-1", &thread, json!({ "text": "please" }));
    pair.ada.node.api.post(&pair.path(), with_target(open, &pair.reviewer)).await.expect(200);
    pair.until_work_is(&pair.bob.node.api, "w-1", "submitted").await;

    pair.bob.node.kill_now().await;
    let cancel = message(&pair.coder, "trace", "cancel", "w-1", &thread, json!({ "state": "canceled" }));
    pair.ada.node.api.post(&pair.path(), cancel.clone()).await.expect(200);
    pair.until_work_is(&pair.ada.node.api, "w-1", "canceled").await;
    pair.ada.node.kill_now().await;
    pair.bob.start().await;
    let complete =
        message(&pair.reviewer, "trace", "complete", "w-1", &thread, json!({ "state": "completed" }));
    pair.bob.node.api.post(&pair.path(), complete.clone()).await.expect(200);
    pair.until_work_is(&pair.bob.node.api, "w-1", "completed").await;
    pair.ada.start().await;

    // What was acknowledged stays, in the order in which it was said.
    assert_eq!(pair.same_messages("threads/thread_work", 3).await, ["open", "cancel", "complete"]);
    pair.same_work("w-1", "canceled").await;
    for (home, sent) in [(&pair.ada, &cancel), (&pair.bob, &complete)] {
        home.node.api.post(&pair.path(), sent.clone()).await.expect(200); // N-83
        let thread = format!("channels/{CHANNEL}/threads/thread_work");
        let thread = home.node.api.network(&pair.workspace, &thread).await.expect(200);
        assert_eq!(thread["thread"]["open_work_count"], 0, "N-52");
        let status = home.node.api.get("/api/network/status").await.expect(200);
        assert_eq!(status["network"]["open_work_items"], 0, "N-126");
    }
    for (home, id) in [(&pair.ada, &pair.coder.id), (&pair.bob, &pair.reviewer.id)] {
        let waiting = home.node.api.inbox(&pair.workspace, id).await;
        assert!(waiting.iter().all(|envelope| envelope["kind"] == "say"), "{waiting:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_the_first_end_counts_when_each_node_was_down_for_the_other_n47() {
    while_the_other_is_down(TCP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_quic_the_first_end_counts_when_each_node_was_down_for_the_other_n47() {
    while_the_other_is_down(QUIC).await;
}

/// Works that both sides speak about while one of them is held.
const WORKS: usize = 8;
/// Bytes of one message that keeps the link busy.
const BALLAST: usize = 600_000;

/// One node is held by its system: it takes connections and answers nobody. What the other says meanwhile waits for
/// it behind a lot of ballast, so that it answers its own callers before it has heard.
async fn while_the_other_is_held(transport: &str) {
    let pair = Pairing::new(transport).await;
    let (ada, bob) = (&pair.ada.node, &pair.bob.node);
    let room = pair.ada.door.room(&pair.workspace, &pair.coder, &pair.reviewer.peer).await;
    let room_id = room["direct_id"].as_str().unwrap();
    let room = json!({ "surface": "direct", "direct_id": room_id });
    let works: Vec<_> = (0..WORKS).map(|number| format!("w-{number}")).collect();
    for work in &works {
        let open =
            message(&pair.coder, "say", &format!("open-{work}"), work, &room, json!({ "text": "please" }));
        ada.api.post(&pair.path(), with_target(open, &pair.reviewer)).await.expect(200);
        pair.until_work_is(&bob.api, work, "submitted").await;
    }

    ada.signal("STOP").await;
    // Bob's messages: ballast for all, then the end of each work.
    for number in 0..6 {
        let ballast = json!({
            "session_id": pair.reviewer.id, "channel": CHANNEL, "kind": "say", "surface": "thread",
            "thread_id": "thread_ballast", "id": format!("ballast-{number}"), "body": { "text": "x".repeat(BALLAST) },
        });
        bob.api.post(&pair.path(), ballast).await.expect(200);
    }
    for work in &works {
        let body = json!({ "state": "canceled" });
        let cancel = message(&pair.reviewer, "trace", &format!("cancel-{work}"), work, &room, body);
        bob.api.post(&pair.path(), with_target(cancel, &pair.coder)).await.expect(200);
    }
    // Ada's callers: they wait until she may go on. Half of them end a work, half talk about it.
    let calls = works.iter().enumerate().map(|(number, work)| {
        let (kind, body) = match number % 2 {
            0 => ("trace", json!({ "state": "completed" })),
            _ => ("say", json!({ "text": "and this" })),
        };
        let late = message(&pair.coder, kind, &format!("late-{work}"), work, &room, body);
        let (api, path, late) = (ada.api.clone(), pair.path(), with_target(late, &pair.reviewer));
        tokio::spawn(async move { api.post(&path, late).await.status })
    });
    let calls: Vec<_> = calls.collect();
    // The requests only have to be on their way; were one late, it would be refused and not counted below.
    tokio::time::sleep(Duration::from_millis(500)).await;
    ada.signal("CONT").await;
    let mut raced = Vec::new();
    for (number, call) in calls.into_iter().enumerate() {
        match call.await.unwrap() {
            200 => raced.push(number),
            status => assert_eq!(status, 409, "only that the work is closed"),
        }
    }
    println!("{} of {WORKS} raced", raced.len());
    let (ends, talk): (Vec<usize>, Vec<usize>) = raced.iter().partition(|number| *number % 2 == 0);
    assert!(!ends.is_empty() && !talk.is_empty(), "nothing raced");

    // Bob ended them first, so that is how they stand, also where they were ended otherwise with a 200.
    let container = format!("directs/{room_id}");
    // What both said about each work, and a receipt for each say that came too late.
    let order = pair.same_messages(&container, 2 * WORKS + raced.len() + talk.len()).await;
    for (number, work) in works.iter().enumerate() {
        pair.same_work(work, "canceled").await;
        let place = |id: String| order.iter().position(|known| *known == id);
        let (open, cancel) = (place(format!("open-{work}")), place(format!("cancel-{work}")));
        let late = place(format!("late-{work}"));
        assert!(open < cancel, "{order:?}");
        assert_eq!(late.is_some(), raced.contains(&number));
        assert!(late.is_none() || cancel < late, "{order:?}");
    }
    let receipts = until("the receipts are there", || async {
        let waiting = ada.api.inbox(&pair.workspace, &pair.coder.id).await;
        let mut receipts: Vec<_> =
            waiting.into_iter().filter(|envelope| envelope["kind"] == "receipt").collect();
        receipts.sort_by_key(|receipt| receipt["work_id"].to_string());
        (receipts.len() == talk.len()).then_some(receipts)
    })
    .await;
    for (receipt, number) in receipts.iter().zip(&talk) {
        let late = format!("late-w-{number}");
        assert_eq!(receipt["body"]["for_id"], late.as_str());
        assert_eq!(
            (&receipt["body"]["status"], &receipt["body"]["reason_code"]),
            (&json!("rejected"), &json!("work_closed"))
        );
        assert_eq!((&receipt["reply_to"], &receipt["causation_id"]), (&json!(late), &json!(late)));
        assert_eq!((&receipt["from"], &receipt["to"]), (&json!(pair.reviewer.peer), &json!(pair.coder.peer)));
        assert_eq!(
            (&receipt["work_id"], &receipt["direct_id"]),
            (&json!(format!("w-{number}")), &json!(room_id))
        );
    }
    // What was too late never reached its addressee.
    let waiting = bob.api.inbox(&pair.workspace, &pair.reviewer.id).await;
    let opened: Vec<_> = works.iter().map(|work| format!("open-{work}")).collect();
    let waiting: Vec<_> = waiting.iter().map(|envelope| envelope["id"].as_str().unwrap()).collect();
    assert_eq!(waiting, opened);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_the_first_end_counts_and_who_spoke_too_late_is_told_n47_n91() {
    while_the_other_is_held(TCP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_quic_the_first_end_counts_and_who_spoke_too_late_is_told_n47_n91() {
    while_the_other_is_held(QUIC).await;
}
