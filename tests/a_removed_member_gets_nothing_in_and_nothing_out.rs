//! From its removal on, nothing of a node counts with the others, and nothing of theirs reaches it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use std::time::Duration;

use support::{Node, Place, Session, meet, until_true, workspace};

mod support;

const CHANNEL: &str = "builders";
const BEFORE: &str = "thread_before";
const AFTER: &str = "thread_after";

/// Longer than a link and a catch-up take here: what has not come by then was kept away.
const LONG_ENOUGH: Duration = Duration::from_secs(3);

struct Three {
    places: [Place; 3],
    ada: Node,
    bob: Node,
    eve: Node,
    workspace: String,
    asker: Session,
    spy: Session,
}

/// Ada's workspace with bob and eve in it, from which eve has just been removed.
async fn eve_was_removed() -> Three {
    let mut places = [Place::new("ada"), Place::new("bob"), Place::new("eve")];
    let (ada, bob, eve) = tokio::join!(places[0].up(), places[1].up(), places[2].up());
    for (place, node) in places.iter_mut().zip([&ada, &bob, &eve]) {
        place.stay_at(node);
    }
    let workspace = workspace(&ada, &[&bob, &eve]).await;
    meet(&workspace, &bob, &eve).await;
    let asker = ada.api.session(&workspace, "asker", CHANNEL).await;
    let spy = eve.api.session(&workspace, "spy", CHANNEL).await;
    let said = vec![
        ada.api.say(&workspace, &asker, BEFORE, "all are here").await,
        eve.api.say(&workspace, &spy, BEFORE, "me too").await,
    ];
    for node in [&ada, &bob, &eve] {
        node.api.until_thread_holds(&workspace, CHANNEL, BEFORE, &said).await;
    }
    ada.api.remove(&workspace, &eve.peer_id).await.expect(204);
    for node in [&ada, &bob] {
        until_true("the removal is known and the link cut", || async {
            !node.api.is_member(&workspace, &eve.peer_id).await
                && !node.api.companions().await.contains(&eve.peer_id)
        })
        .await;
    }
    // What was said before stays.
    ada.api.until_thread_holds(&workspace, CHANNEL, BEFORE, &said).await;
    Three { places, ada, bob, eve, workspace, asker, spy }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gets_nothing_in() {
    let Three { places, ada, bob, eve, workspace, spy, .. } = eve_was_removed().await;
    // Its own node may believe what it likes; it may also have learned of it, and refuse.
    let say = support::Say { thread: AFTER, text: "still here?", ..Default::default() };
    let own = eve.api.send(&workspace, &spy, &say).await;
    assert!(matches!(own.status, 200 | 403), "{own:?}");
    // Started again it looks for the others as eagerly as a node can.
    assert!(eve.terminate().await.0.success());
    let eve = places[2].up().await;
    tokio::time::sleep(LONG_ENOUGH).await;
    let coder = bob.api.session(&workspace, "coder", CHANNEL).await;
    let said = [bob.api.say(&workspace, &coder, AFTER, "eve?").await];
    for node in [&ada, &bob] {
        node.api.until_thread_holds(&workspace, CHANNEL, AFTER, &said).await;
        assert!(!node.api.companions().await.contains(&eve.peer_id), "it is a stranger");
    }
    for place in &places[..2] {
        assert!(!place.logged().contains("forks"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gets_nothing_out() {
    let Three { places, ada, bob, eve, workspace, asker, .. } = eve_was_removed().await;
    let said = [ada.api.say(&workspace, &asker, AFTER, "not for eve").await];
    bob.api.until_thread_holds(&workspace, CHANNEL, AFTER, &said).await;
    assert!(eve.terminate().await.0.success());
    let eve = places[2].up().await;
    tokio::time::sleep(LONG_ENOUGH).await;
    assert!(eve.api.thread(&workspace, CHANNEL, AFTER).await.is_empty());
    let threads = eve.api.threads(&workspace, CHANNEL).await;
    assert!(!threads.to_string().contains("not for eve"), "{threads}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_back_with_a_new_ticket_only() {
    let Three { ada, bob, eve, workspace, asker, places: _places, .. } = eve_was_removed().await;
    let missed = ada.api.say(&workspace, &asker, AFTER, "eve is out").await;
    let ticket = ada.api.ticket(&workspace).await;
    eve.api.join(&ticket).await.expect(200);
    meet(&workspace, &ada, &eve).await;
    let spy = eve.api.session(&workspace, "spy", CHANNEL).await;
    let said = [missed, eve.api.say(&workspace, &spy, AFTER, "back again").await];
    for node in [&ada, &bob, &eve] {
        node.api.until_thread_holds(&workspace, CHANNEL, AFTER, &said).await;
    }
}
