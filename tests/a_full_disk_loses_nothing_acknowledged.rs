//! A node whose disk is full stops and says so; what it acknowledged is there once there is room again, and
//! other nodes do not suffer.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use reqwest::Method;
use serde_json::Value;
use support::{
    Answer, Api, Home, Place, QUIC, Say, Session, SmallDisk, TCP, ids, short_or_full, until_true, within,
    workspace,
};

mod support;

const CHANNEL: &str = "builders";
const THREAD: &str = "thread_first";
const SMALL_KIB: usize = 4 * 1024;
const LARGE_KIB: usize = 256 * 1024;
/// How much one message says.
const TEXT_BYTES: usize = 20_000;

/// Says one message after the other, in continuation of those said, until the node no longer answers 200.
async fn talk_until_full(home: &Home, workspace: &str, session: &Session, said: &mut Vec<String>) {
    let path = format!("/api/workspaces/{workspace}/network/send");
    loop {
        let id = message_id(session, said.len());
        match home.node.api.try_ask(Method::POST, &path, Some(&message(session, said.len()))).await {
            Ok(Answer { status: 200, .. }) => said.push(id),
            Ok(answer) => {
                assert!(answer.status >= 500, "{} {}", answer.status, answer.body);
                return;
            }
            Err(_) => return, // it is gone already
        }
        assert!(said.len() * TEXT_BYTES < SMALL_KIB * 1024, "the disk is smaller than what was said");
    }
}

fn message_id(session: &Session, number: usize) -> String {
    format!("msg_{}_{number}", session.id)
}

fn message(session: &Session, number: usize) -> Value {
    let (id, text) = (message_id(session, number), format!("{number} {}", "x".repeat(TEXT_BYTES)));
    Api::said(session, &Say { thread: THREAD, text: &text, id: Some(&id), to: None })
}

/// It ended by itself, and its last words say why and what that means.
async fn it_stopped_and_said_why(home: &mut Home) {
    let status = within("a node on a full disk to stop", home.node.ended()).await;
    assert_eq!(status.code(), Some(1), "{}", home.place.logged());
    let error = home.place.last_words();
    let text = error["error"].as_str().unwrap();
    assert!(text.contains("what it acknowledged is on disk"), "{error}");
    assert!(text.contains("No space left on device"), "{error}");
}

/// It did not start, and said why.
fn it_said_why_it_cannot_start(place: &Place) {
    let error = place.last_words();
    assert!(error["error"].as_str().unwrap().contains("No space left on device"), "{error}");
}

async fn who_talks_fills_its_own_disk(transport: &str) {
    let [at_ada, at_bob] = Place::on(None, transport, ["ada", "bob"]);
    let Some(disk) = SmallDisk::under(&at_ada, SMALL_KIB) else { return };
    let (mut ada, bob) = tokio::join!(Home::at(at_ada), Home::at(at_bob));
    let workspace = workspace(&ada.node, &[&bob.node]).await;
    let asker = ada.node.api.session(&workspace, "asker", CHANNEL).await;
    let coder = bob.node.api.session(&workspace, "coder", CHANNEL).await;

    let mut said = Vec::new();
    talk_until_full(&ada, &workspace, &asker, &mut said).await;
    it_stopped_and_said_why(&mut ada).await;
    println!("{transport}: {} messages of {TEXT_BYTES} bytes, then it was full", said.len());
    // Who keeps starting it gains a little, or nothing, and spoils nothing.
    for _ in 0..short_or_full(3, 30) {
        match ada.place.try_up().await {
            Some(node) => {
                ada.is_now(node);
                let held = ids(&ada.node.api.thread(&workspace, CHANNEL, THREAD).await);
                assert!(said.iter().all(|id| held.contains(id)), "something acknowledged is lost");
                talk_until_full(&ada, &workspace, &asker, &mut said).await;
                it_stopped_and_said_why(&mut ada).await;
            }
            None => it_said_why_it_cannot_start(&ada.place),
        }
    }
    disk.fill();
    assert!(ada.place.try_up().await.is_none());
    it_said_why_it_cannot_start(&ada.place);

    // The other one goes on, and says who is missing.
    let meanwhile = bob.node.api.say(&workspace, &coder, THREAD, "ada is full").await;
    until_true("ada is called offline", || async {
        !bob.node.api.is_online(&workspace, &ada.node.peer_id).await
    })
    .await;

    disk.make_room(LARGE_KIB);
    ada.start().await;
    // The one that it refused at last, if it is not there: nobody was told.
    ada.door.send(&workspace, &message(&asker, said.len())).await;
    said.push(message_id(&asker, said.len()));
    said.push(meanwhile);
    for home in [&ada, &bob] {
        home.node.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
    }
}

async fn others_fill_its_disk(transport: &str) {
    let [at_ada, at_bob, at_eve] = Place::on(None, transport, ["ada", "bob", "eve"]);
    let Some(disk) = SmallDisk::under(&at_ada, SMALL_KIB) else { return };
    let (mut ada, bob, eve) = tokio::join!(Home::at(at_ada), Home::at(at_bob), Home::at(at_eve));
    let workspace = workspace(&ada.node, &[&bob.node, &eve.node]).await;
    let asker = ada.node.api.session(&workspace, "asker", CHANNEL).await;
    let coder = bob.node.api.session(&workspace, "coder", CHANNEL).await;
    let mut said = vec![ada.node.api.say(&workspace, &asker, THREAD, "before it was full").await];
    for number in 0..SMALL_KIB * 1024 / TEXT_BYTES {
        bob.door.send(&workspace, &message(&coder, number)).await; // whatever happens to ada
        said.push(message_id(&coder, number));
    }
    it_stopped_and_said_why(&mut ada).await;
    eve.node.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;

    disk.make_room(LARGE_KIB);
    ada.start().await;
    said.push(ada.node.api.say(&workspace, &asker, THREAD, "and on").await);
    for home in [&ada, &bob, &eve] {
        home.node.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
        assert!(!home.place.logged().contains("forks"), "a log forked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_talks_until_it_is_full_stops_and_goes_on_with_more_room() {
    tokio::join!(who_talks_fills_its_own_disk(QUIC), who_talks_fills_its_own_disk(TCP));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hears_until_it_is_full_stops_and_goes_on_with_more_room() {
    tokio::join!(others_fill_its_disk(QUIC), others_fill_its_disk(TCP));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_on_a_full_disk_says_why_and_leaves_the_folder_usable() {
    let place = Place::new("ada");
    let Some(disk) = SmallDisk::under(&place, SMALL_KIB) else { return };
    disk.fill();
    assert!(place.try_up().await.is_none());
    it_said_why_it_cannot_start(&place);
    disk.make_room(LARGE_KIB);
    let node = place.up().await;
    node.api.found("workshop").await;
}
