//! A node that may not open another file: connections wait or fail, it does not crash, what it acknowledged
//! stays, and it serves again when there is room.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use std::{net::TcpStream, time::Duration};

use support::{Api, Home, Place, QUIC, TCP, meet, short_or_full, until_true, workspace};
use tokio::time::timeout;

mod support;

const CHANNEL: &str = "builders";
const THREAD: &str = "thread_first";
/// What the node needs for itself is less than this, and not much less.
const FILES: u32 = 48;

/// How many files a node has open.
fn open_files(home: &Home) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", home.node.pid())).unwrap().count()
}

async fn its_doors_are_crowded(transport: &str) {
    let [at_ada, at_bob] = Place::on(None, transport, ["ada", "bob"]);
    let (ada, mut bob) = tokio::join!(Home::at(at_ada.with_open_files(FILES)), Home::at(at_bob));
    let workspace = workspace(&ada.node, &[&bob.node]).await;
    let asker = ada.node.api.session(&workspace, "asker", CHANNEL).await;
    let coder = bob.node.api.session(&workspace, "coder", CHANNEL).await;
    let pid = ada.node.pid();
    let mut said = vec![ada.node.api.say(&workspace, &asker, THREAD, "before").await];

    for round in 0..short_or_full(2, 20) {
        let doors = ada.node.api.base.strip_prefix("http://").unwrap().to_owned();
        // The system takes them all, the node as many as it may.
        let crowd: Vec<_> = (0..100).map(|_| TcpStream::connect(&doors).unwrap()).collect();
        until_true("the node has no file left", || async { open_files(&ada) + 1 >= FILES as usize }).await;
        // Who has a connection goes on, and so do the links between nodes.
        said.push(ada.node.api.say(&workspace, &asker, THREAD, &format!("crowded {round}")).await);
        said.push(bob.node.api.say(&workspace, &coder, THREAD, &format!("not crowded {round}")).await);
        bob.node.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
        // A node that comes back finds no room over TCP, and one that it has over QUIC.
        bob.kill_and_start().await;
        // Who comes now has to wait, until somebody goes.
        let late = Api::new(&ada.node.api.base, &ada.node.api.token);
        assert!(timeout(Duration::from_secs(1), late.get("/readyz")).await.is_err(), "there was no room");
        drop(crowd);
        late.get("/readyz").await.expect(200);
        said.push(late.say(&workspace, &asker, THREAD, &format!("room again {round}")).await);
        meet(&workspace, &ada.node, &bob.node).await;
    }
    assert_eq!(ada.node.pid(), pid, "it lived through all of it");
    for home in [&ada, &bob] {
        home.node.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_quic_those_who_have_a_connection_go_on() {
    its_doors_are_crowded(QUIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_those_who_have_a_connection_go_on() {
    its_doors_are_crowded(TCP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_too_few_files_it_says_so_and_does_not_start() {
    // With fewer than eight the system may not even load the program.
    for files in [8, 16, 31] {
        let place = Place::new("ada").with_open_files(files);
        assert!(place.try_up().await.is_none());
        let error = place.last_words();
        let text = error["error"].as_str().unwrap();
        assert!(text.contains("ulimit -n") || text.contains("Too many open files"), "{error}");
    }
    let place = Place::new("ada").with_open_files(32);
    let node = place.up().await;
    node.api.found("workshop").await;
}
