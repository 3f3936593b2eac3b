//! A node that was ended, or killed, comes back with everything it had; and it ends and refuses cleanly.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use std::time::Duration;

use serde_json::Value;
use support::{Node, Place, Say, Session, within, workspace};

mod support;

const CHANNEL: &str = "builders";
const THREAD: &str = "thread_first";

/// All that a node shows of a workspace, but for who greeted when: that is known since the start only.
async fn shown(node: &Node, workspace: &str, sessions: &[&Session]) -> Vec<Value> {
    let mut channels =
        node.api.get(&format!("/api/workspaces/{workspace}/network/channels")).await.expect(200);
    for name in ["presence_count", "last_presence_at"] {
        channels["channels"][0][name] = Value::Null;
    }
    let mut all = vec![
        channels,
        node.api.get("/node/v1/workspaces").await.expect(200),
        node.api.get(&format!("/node/v1/workspaces/{workspace}/sessions")).await.expect(200),
        node.api.get(&format!("/node/v1/workspaces/{workspace}/agents")).await.expect(200),
        node.api.threads(workspace, CHANNEL).await,
        node.api.thread(workspace, CHANNEL, THREAD).await.into(),
    ];
    for session in sessions {
        all.push(node.api.inbox(workspace, &session.id).await.into());
    }
    all
}

/// A node with two sessions, one of which has mail.
async fn at_work(place: &Place) -> (Node, String, Session, Session) {
    let node = place.up().await;
    let workspace = workspace(&node, &[]).await;
    let asker = node.api.session(&workspace, "asker", CHANNEL).await;
    let coder = node.api.session(&workspace, "coder", CHANNEL).await;
    for number in 0..20 {
        let text = format!("request {number}");
        let say = Say { thread: THREAD, text: &text, to: Some(&coder.peer), id: None };
        node.api.send(&workspace, &asker, &say).await.expect(200);
    }
    assert_eq!(node.api.inbox(&workspace, &coder.id).await.len(), 20);
    (node, workspace, asker, coder)
}

async fn go_on(node: &Node, workspace: &str, asker: &Session, coder: &Session) {
    let say = Say { thread: THREAD, text: "and on", to: Some(&coder.peer), id: None };
    node.api.send(workspace, asker, &say).await.expect(200);
    assert_eq!(node.api.inbox(workspace, &coder.id).await.len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_inboxes_and_threads_survive_an_orderly_end() {
    let place = Place::new("ada");
    let (node, workspace, asker, coder) = at_work(&place).await;
    let before = shown(&node, &workspace, &[&asker, &coder]).await;
    let (peer_id, token) = (node.peer_id.clone(), node.api.token.clone());
    assert!(node.terminate().await.0.success());
    let node = place.up().await;
    assert_eq!((&node.peer_id, &node.api.token), (&peer_id, &token));
    for (after, before) in shown(&node, &workspace, &[&asker, &coder]).await.iter().zip(&before) {
        assert_eq!(after, before);
    }
    go_on(&node, &workspace, &asker, &coder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_inboxes_and_threads_survive_a_kill() {
    let place = Place::new("ada");
    let (node, workspace, asker, coder) = at_work(&place).await;
    let before = shown(&node, &workspace, &[&asker, &coder]).await;
    node.kill().await;
    assert!(place.folder().join("run.json").exists(), "a killed node cannot clean up");
    let node = place.up().await;
    for (after, before) in shown(&node, &workspace, &[&asker, &coder]).await.iter().zip(&before) {
        assert_eq!(after, before);
    }
    go_on(&node, &workspace, &asker, &coder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_end_it_ends_at_once_and_leaves_no_trace_of_running() {
    let (at_ada, at_bob) = (Place::new("ada"), Place::new("bob"));
    let (ada, bob) = tokio::join!(at_ada.up(), at_bob.up());
    workspace(&ada, &[&bob]).await;
    // With a link that is up and a listener that never hangs up.
    let mut tail = at_ada.command(["tail"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    assert!(at_ada.folder().join("run.json").exists());
    let (status, took) = ada.terminate().await;
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    assert!(!at_ada.folder().join("run.json").exists());
    tail.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_takes_a_moment() {
    let place = Place::new("ada");
    let node = place.up().await;
    println!("ready on an empty folder after {:?}", node.took);
    assert!(node.took < Duration::from_secs(5), "it took {:?}", node.took);
    let health = node.api.get("/healthz").await;
    assert_eq!(health.status, 200);
    node.api.get("/readyz").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_one_folder_is_refused_and_told_who_holds_it() {
    let place = Place::new("ada");
    let node = place.up().await;
    let told = place.run(place.up_words()).await;
    let error = told.error(1);
    assert_eq!(error["code"], "data_folder");
    let text = error["error"].as_str().unwrap();
    assert!(text.contains(&format!("pid {}", node.pid())), "{text}");
    node.api.get("/readyz").await.expect(200); // the first goes on undisturbed
    place.run(["status"]).await.json();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_processes_started_at_once_on_one_folder_one_runs() {
    let place = Place::new("ada");
    for round in 1..=3 {
        let started = futures::future::join_all((0..4).map(|_| place.try_up())).await;
        let Ok([node]) = <[Node; 1]>::try_from(started.into_iter().flatten().collect::<Vec<_>>()) else {
            panic!("one runs")
        };
        assert_eq!(place.logged().matches("in use by another muster process").count(), 3 * round);
        node.api.found("workshop").await;
        let kept = node.api.get("/node/v1/workspaces").await.expect(200);
        assert_eq!(kept["workspaces"].as_array().unwrap().len(), round, "what the one before it had");
        node.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_a_clear_error_and_changes_nothing() {
    let (at_ada, at_bob) = (Place::new("ada"), Place::new("bob"));
    let ada = at_ada.up().await;
    let taken = ada.api.base.strip_prefix("http://").unwrap();
    let told = at_bob.run(["up", "--no-mdns", "--http", taken, "--listen", support::QUIC]).await;
    let error = told.error(1);
    let text = error["error"].as_str().unwrap();
    assert!(text.contains(taken) && text.contains("--http"), "{text}");

    let mesh = ada.listen[0].split("/p2p/").next().unwrap();
    let told = at_bob.run(["up", "--no-mdns", "--http", "127.0.0.1:0", "--listen", mesh]).await;
    let error = told.error(1);
    assert!(error["error"].as_str().unwrap().contains(mesh), "{error}");

    assert!(!at_bob.folder().join("run.json").exists());
    let bob = at_bob.up().await; // with a free port it starts in the same folder
    assert_ne!(bob.peer_id, ada.peer_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_from_the_keyboard_it_ends_as_cleanly() {
    let place = Place::new("ada");
    let mut node = place.up().await;
    let interrupt = format!("kill -INT {}", node.pid());
    assert!(std::process::Command::new("/bin/sh").args(["-c", &interrupt]).status().unwrap().success());
    let status = within("the node to end", node.ended()).await;
    assert_eq!(status.code(), Some(0));
    assert!(!place.folder().join("run.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_store_was_damaged_says_what_helps() {
    let place = Place::new("ada");
    place.up().await.kill().await;
    let store = place.folder().join("store.redb");
    let mut bytes = std::fs::read(&store).unwrap();
    // What each page says it is, but for the first one, which says how the file is made.
    for page in bytes.chunks_mut(4096).skip(1).filter(|page| page.iter().any(|byte| *byte != 0)) {
        page[2..4].fill(0xff);
    }
    std::fs::write(&store, bytes).unwrap();
    let output = place.command(place.up_words()).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("muster restore FILE") && said.contains("is damaged"), "{said}");
}
