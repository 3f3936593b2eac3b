//! Who was away holds everything again soon after it is back, from whoever is there.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use support::{Place, QUIC, TCP, meet, workspace};

mod support;

const CHANNEL: &str = "builders";
const THREAD: &str = "thread_first";

async fn the_author_is_gone_for_good(transport: &str) {
    let (at_ada, mut at_bob, mut at_eve) =
        (Place::over(transport, "ada"), Place::over(transport, "bob"), Place::over(transport, "eve"));
    let (ada, bob, eve) = tokio::join!(at_ada.up(), at_bob.up(), at_eve.up());
    at_bob.stay_at(&bob);
    at_eve.stay_at(&eve);
    let workspace = workspace(&ada, &[&bob, &eve]).await;
    meet(&workspace, &bob, &eve).await; // nobody introduced them but the workspace
    let asker = ada.api.session(&workspace, "asker", CHANNEL).await;
    let mut said = vec![ada.api.say(&workspace, &asker, THREAD, "everybody is here").await];
    eve.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;

    assert!(eve.terminate().await.0.success());
    for number in 0..300 {
        said.push(ada.api.say(&workspace, &asker, THREAD, &format!("eve is away {number}")).await);
    }
    bob.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
    let before = bob.api.thread(&workspace, CHANNEL, THREAD).await;
    ada.kill().await; // the author, and the home of the workspace

    let eve = at_eve.up().await;
    eve.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
    let after = eve.api.thread(&workspace, CHANNEL, THREAD).await;
    assert_eq!(after, before, "the same messages, in the same order, with the same times and names");

    // The two that are left go on without the home.
    let (coder, tester) = (
        bob.api.session(&workspace, "coder", CHANNEL).await,
        eve.api.session(&workspace, "tester", CHANNEL).await,
    );
    said.push(bob.api.say(&workspace, &coder, THREAD, "ada is gone").await);
    said.push(eve.api.say(&workspace, &tester, THREAD, "so she is").await);
    for node in [&bob, &eve] {
        node.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_quic_from_another_member_when_the_author_is_gone_for_good() {
    the_author_is_gone_for_good(QUIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_from_another_member_when_the_author_is_gone_for_good() {
    the_author_is_gone_for_good(TCP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_late_gets_the_history_of_a_member_it_never_met() {
    let (at_ada, at_bob, at_eve) = (Place::new("ada"), Place::new("bob"), Place::new("eve"));
    let (ada, bob, eve) = tokio::join!(at_ada.up(), at_bob.up(), at_eve.up());
    let workspace = workspace(&ada, &[&bob]).await;
    let coder = bob.api.session(&workspace, "coder", CHANNEL).await;
    let mut said = Vec::new();
    for number in 0..20 {
        said.push(bob.api.say(&workspace, &coder, THREAD, &format!("before eve came {number}")).await);
    }
    ada.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
    bob.kill().await;
    let ticket = ada.api.ticket(&workspace).await;
    eve.api.join(&ticket).await.expect(200);
    eve.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_were_away_in_turn_hold_the_same_in_the_end() {
    let (mut at_ada, mut at_bob) = (Place::new("ada"), Place::new("bob"));
    let (ada, bob) = tokio::join!(at_ada.up(), at_bob.up());
    at_ada.stay_at(&ada);
    at_bob.stay_at(&bob);
    let workspace = workspace(&ada, &[&bob]).await;
    let (asker, coder) = (
        ada.api.session(&workspace, "asker", CHANNEL).await,
        bob.api.session(&workspace, "coder", CHANNEL).await,
    );
    let mut said = Vec::new();
    bob.kill().await;
    said.push(ada.api.say(&workspace, &asker, THREAD, "bob is away").await);
    assert!(ada.terminate().await.0.success());
    let bob = at_bob.up().await;
    said.push(bob.api.say(&workspace, &coder, "thread_first", "ada is away").await);
    let ada = at_ada.up().await;
    for node in [&ada, &bob] {
        node.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
    }
}
