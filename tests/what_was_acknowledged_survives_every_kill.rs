//! Two nodes under load, of which one, the other or both at once are killed again and again: whatever was
//! answered with 200 is on both in the end, once.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::Method;
use support::{
    Answer, Api, Dice, Door, Home, Place, QUIC, Say, Session, TCP, Wire, ids, meet, short_or_full,
    until_true, workspace,
};

mod support;

const CHANNEL: &str = "builders";
/// Sessions that talk at once at each node, each in a thread of its own.
const TALKERS: usize = 3;
/// What decides when which node is killed. Another one tries other moments.
const SEED: u64 = 20_261_121;

/// Says one message after the other, each until it is answered with 200, until told to stop. Gives
/// the ids and texts of all of them.
async fn talk(
    door: Door,
    workspace: String,
    session: Session,
    thread: String,
    stop: Arc<AtomicBool>,
) -> BTreeMap<String, String> {
    let mut said = BTreeMap::new();
    let path = format!("/api/workspaces/{workspace}/network/send");
    while !stop.load(Ordering::Relaxed) {
        let id = format!("msg_{thread}_{}", said.len());
        let text = format!("number {} of {thread}", said.len());
        let body = Api::said(&session, &Say { thread: &thread, text: &text, id: Some(&id), to: None });
        loop {
            match door.api().try_ask(Method::POST, &path, Some(&body)).await {
                Ok(Answer { status: 200, .. }) => break,
                // Killed, or not up yet: nobody knows whether it was stored, so it is said again.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                Ok(answer) => panic!("{} refuses a message: {}", answer.status, answer.body),
            }
        }
        said.insert(id, text);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    said
}

async fn killed_under_load(transport: &str) {
    let wire = Wire::lay_or_loopback(2).await;
    let [ada, bob] = Place::on(wire.as_ref(), transport, ["ada", "bob"]);
    let (mut ada, mut bob) = tokio::join!(Home::at(ada), Home::at(bob));
    let workspace = workspace(&ada.node, &[&bob.node]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut talks = Vec::new();
    for home in [&ada, &bob] {
        for number in 0..TALKERS {
            let session = home.node.api.session(&workspace, "talker", CHANNEL).await;
            let thread = format!("thread_{}{number}", if talks.len() < TALKERS { "ada" } else { "bob" });
            let talking = talk(home.door.clone(), workspace.clone(), session, thread.clone(), stop.clone());
            talks.push((thread, tokio::spawn(talking)));
        }
    }

    let mut dice = Dice::new(SEED);
    let kills = short_or_full(25, 250);
    for _ in 0..kills {
        // From before it is linked again to well after.
        tokio::time::sleep(Duration::from_millis(dice.below(1200))).await;
        match dice.below(5) {
            0 | 1 => ada.kill_and_start().await,
            2 | 3 => bob.kill_and_start().await,
            _ => drop(tokio::join!(ada.kill_and_start(), bob.kill_and_start())),
        }
    }
    stop.store(true, Ordering::Relaxed);

    let mut all = 0;
    for (thread, talking) in talks {
        let said = talking.await.unwrap();
        all += said.len();
        let wanted: Vec<String> = said.keys().cloned().collect();
        for home in [&ada, &bob] {
            // Fewer may still be on their way; more, or one of them twice, would never become these.
            home.node.api.until_thread_holds(&workspace, CHANNEL, &thread, &wanted).await;
            let messages = home.node.api.thread(&workspace, CHANNEL, &thread).await;
            for message in &messages {
                let id = message["message_id"].as_str().unwrap();
                assert_eq!(message["text"], said[id].as_str(), "{id} is not what was said");
            }
            let in_order = ids(&messages);
            let place =
                |number: usize| in_order.iter().position(|id| *id == format!("msg_{thread}_{number}"));
            assert!((1..said.len()).all(|number| place(number - 1) < place(number)), "{in_order:?}");
        }
    }
    println!("{transport}: {all} messages, {kills} kills");
    assert!(all > kills, "there was load");

    // They do not only hold the same: they know it of each other, and go on.
    meet(&workspace, &ada.node, &bob.node).await;
    until_true("neither is behind", || async {
        let behind = |members: Vec<serde_json::Value>| members.iter().all(|member| member["behind"] == 0);
        behind(ada.node.api.members(&workspace).await) && behind(bob.node.api.members(&workspace).await)
    })
    .await;
    for home in [&ada, &bob] {
        assert!(!home.place.logged().contains("forks"), "a log forked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_quic_nothing_answered_with_200_is_lost_and_nothing_is_there_twice() {
    killed_under_load(QUIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_nothing_answered_with_200_is_lost_and_nothing_is_there_twice() {
    killed_under_load(TCP).await;
}
