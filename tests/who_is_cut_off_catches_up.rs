//! Nodes that cannot hear each other, because the wire is cut, or carries packets in one direction only, or
//! because one of them stands still: everybody goes on with whom it hears, says who is offline, and holds
//! everything once it hears the others again.
//!
//! Each test plays over QUIC and over TCP at the same time: most of it is waiting.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use std::time::{Duration, Instant};

use reqwest::Method;
use support::{
    Answer, Api, Home, Place, QUIC, Say, Session, TCP, Wire, ids, meet, short_or_full, until_true,
    until_within, workspace,
};

mod support;

const CHANNEL: &str = "builders";
const THREAD: &str = "thread_first";

/// Homes in one workspace that know each other, and a session at each.
async fn met<const N: usize>(
    wire: Option<&Wire>,
    transport: &str,
    names: [&str; N],
) -> ([Home; N], String, [Session; N]) {
    let homes = futures::future::join_all(Place::on(wire, transport, names).map(Home::at)).await;
    let Ok(homes): Result<[Home; N], _> = homes.try_into() else { panic!("as many homes as names") };
    let guests: Vec<_> = homes[1..].iter().map(|home| &home.node).collect();
    let workspace = workspace(&homes[0].node, &guests).await;
    for (place, one) in homes.iter().enumerate() {
        for other in &homes[place + 1..] {
            meet(&workspace, &one.node, &other.node).await;
        }
    }
    let sessions = homes.each_ref().map(|home| home.node.api.session(&workspace, "talker", CHANNEL));
    let sessions = futures::future::join_all(sessions).await;
    (homes, workspace, sessions.try_into().unwrap())
}

/// Says one more message at a node, which answers although others cannot hear it.
async fn say(home: &Home, workspace: &str, session: &Session, said: &mut Vec<String>) {
    let text = format!("number {} {}", said.len(), "x".repeat(1_000));
    said.push(home.node.api.say(workspace, session, THREAD, &text).await);
}

async fn hold(homes: &[&Home], workspace: &str, said: &[String]) {
    for home in homes {
        home.node.api.until_thread_holds(workspace, CHANNEL, THREAD, said).await;
    }
}

/// Who was away for long is dialled every 30 seconds only, and a dial that gets lost takes 5.
const AGREEMENT: Duration = Duration::from_secs(90);

/// All of them hold the same, in the same order, know it of each other, and nothing forked.
async fn agree(homes: &[&Home], workspace: &str, said: &[String]) {
    for home in homes {
        until_within(AGREEMENT, "everything has come", || async {
            let held = home.node.api.thread(workspace, CHANNEL, THREAD).await.len();
            (held >= said.len()).then_some(())
        })
        .await;
    }
    hold(homes, workspace, said).await;
    let shown = |api: Api| async move { ids(&api.thread(workspace, CHANNEL, THREAD).await) };
    let first = shown(homes[0].node.api.clone()).await;
    for home in homes {
        assert_eq!(shown(home.node.api.clone()).await, first, "one order for all");
        until_true("all are online and nobody is behind", || async {
            let members = home.node.api.members(workspace).await;
            members.iter().all(|member| member["online"] == true && member["behind"] == 0)
        })
        .await;
        assert!(!home.place.logged().contains("forks"), "a log forked");
    }
}

async fn until_offline(home: &Home, workspace: &str, other: &Home) {
    until_true("somebody who is not heard is called offline", || async {
        !home.node.api.is_online(workspace, &other.node.peer_id).await
    })
    .await;
    assert!(home.node.api.is_online(workspace, &home.node.peer_id).await);
}

/// When a silent peer is noticed at the latest: by QUIC itself, over TCP by the second ping without an answer.
fn noticed_after(transport: &str) -> Duration {
    Duration::from_secs(if transport == QUIC { 9 } else { 30 })
}

/// Three nodes, of which one is cut off from the two others for so long, again and again.
async fn a_partition_heals(transport: &str, lasts: Duration) {
    let Some(wire) = Wire::lay_or_skip(3).await else { return };
    let ([ada, bob, eve], workspace, [asker, coder, tester]) =
        met(Some(&wire), transport, ["ada", "bob", "eve"]).await;
    let mut said = Vec::new();
    say(&ada, &workspace, &asker, &mut said).await;
    hold(&[&ada, &bob, &eve], &workspace, &said).await;

    for _ in 0..short_or_full(1, 3) {
        wire.part(&[0, 1], &[2]);
        let since = Instant::now();
        let (mut here, mut there) = (said.clone(), said.clone());
        while since.elapsed() < lasts {
            say(&ada, &workspace, &asker, &mut here).await;
            say(&bob, &workspace, &coder, &mut here).await;
            say(&eve, &workspace, &tester, &mut there).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if lasts >= noticed_after(transport) {
            until_offline(&ada, &workspace, &eve).await;
            until_offline(&eve, &workspace, &ada).await;
            until_offline(&eve, &workspace, &bob).await;
        }
        assert!(ada.node.api.is_online(&workspace, &bob.node.peer_id).await, "one side is still whole");
        hold(&[&ada, &bob], &workspace, &here).await;
        hold(&[&eve], &workspace, &there).await;

        wire.heal();
        let since = Instant::now();
        let all = [&here[..], &there[said.len()..]].concat();
        agree(&[&ada, &bob, &eve], &workspace, &all).await;
        println!("{transport}: {} messages, healed after {:?}", all.len(), since.elapsed());
        said = all;
    }
}

/// Two nodes that never hear each other again.
async fn a_partition_stays(transport: &str) {
    let Some(wire) = Wire::lay_or_skip(2).await else { return };
    let ([mut ada, mut bob], workspace, [asker, coder]) = met(Some(&wire), transport, ["ada", "bob"]).await;
    let mut said = Vec::new();
    say(&ada, &workspace, &asker, &mut said).await;
    hold(&[&ada, &bob], &workspace, &said).await;
    ada.node.api.until_visible(&workspace, CHANNEL, &coder.peer).await;

    wire.part(&[0], &[1]);
    let (mut here, mut there) = (said.clone(), said);
    let since = Instant::now();
    until_true("each calls the other offline", || async {
        !ada.node.api.is_online(&workspace, &bob.node.peer_id).await
            && !bob.node.api.is_online(&workspace, &ada.node.peer_id).await
    })
    .await;
    println!("{transport}: noticed after {:?}", since.elapsed());
    until_true("who is offline is no longer present", || async {
        let peers = ada.node.api.network(&workspace, &format!("peers?channel={CHANNEL}")).await.expect(200);
        peers["peers"].as_array().unwrap().iter().all(|peer| peer["peer_id"] != coder.peer.as_str())
    })
    .await;
    for _ in 0..short_or_full(20, 500) {
        say(&ada, &workspace, &asker, &mut here).await;
        say(&bob, &workspace, &coder, &mut there).await;
    }
    // Each is as durable alone as with the other.
    tokio::join!(ada.kill_and_start(), bob.kill_and_start());
    for (home, said, session, other) in [(&ada, &mut here, &asker, &bob), (&bob, &mut there, &coder, &ada)] {
        hold(&[home], &workspace, said).await;
        assert!(!home.node.api.is_online(&workspace, &other.node.peer_id).await);
        let members = home.node.api.members(&workspace).await;
        let other = members.iter().find(|member| member["peer_id"] == other.node.peer_id.as_str()).unwrap();
        assert!(other["behind"].as_u64().unwrap() >= 20, "what the other does not hold: {other}");
        say(home, &workspace, session, said).await;
        hold(&[home], &workspace, said).await;
    }
}

/// Three nodes, of which one does not hear one other, while that one would hear it.
async fn one_direction_is_lost(transport: &str) {
    let Some(wire) = Wire::lay_or_skip(3).await else { return };
    let ([ada, bob, eve], workspace, [asker, coder, tester]) =
        met(Some(&wire), transport, ["ada", "bob", "eve"]).await;
    let mut said = Vec::new();
    wire.deafen(0, 2); // ada does not hear eve
    let since = Instant::now();
    let lasts = short_or_full(Duration::from_secs(10), Duration::from_secs(90));
    while since.elapsed() < lasts {
        say(&ada, &workspace, &asker, &mut said).await;
        say(&bob, &workspace, &coder, &mut said).await;
        say(&eve, &workspace, &tester, &mut said).await;
        // What the two cannot tell each other the third one tells them, also while both still believe
        // that they are linked.
        let since = Instant::now();
        hold(&[&ada, &bob, &eve], &workspace, &said).await;
        println!("{transport}: everywhere after {:?}", since.elapsed());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    if lasts >= noticed_after(transport) {
        until_offline(&ada, &workspace, &eve).await;
        until_offline(&eve, &workspace, &ada).await;
    }
    wire.heal();
    say(&eve, &workspace, &tester, &mut said).await;
    agree(&[&ada, &bob, &eve], &workspace, &said).await;
}

/// Three nodes, of which the system lets one stand still for longer than any keep-alive.
async fn one_stands_still(transport: &str) {
    let wire = Wire::lay_or_loopback(3).await;
    let ([ada, bob, eve], workspace, [asker, coder, tester]) =
        met(wire.as_ref(), transport, ["ada", "bob", "eve"]).await;
    let mut said = Vec::new();
    say(&bob, &workspace, &coder, &mut said).await;
    bob.node.signal("STOP").await;
    // Its system still takes connections for it; nobody answers until it goes on.
    let late_words = async {
        let say = Say { thread: THREAD, text: "late", id: Some("msg_late"), to: None };
        let path = format!("/api/workspaces/{workspace}/network/send");
        let body = Api::said(&coder, &say);
        // It may be read before the node stands still; then its time is up as soon as the node goes on, which
        // says 503, and nobody knows whether it was stored.
        while !matches!(
            bob.node.api.try_ask(Method::POST, &path, Some(&body)).await,
            Ok(Answer { status: 200, .. })
        ) {}
    };
    let meanwhile = async {
        let since = Instant::now();
        say(&ada, &workspace, &asker, &mut said).await;
        until_true("the others call it offline", || async {
            !ada.node.api.is_online(&workspace, &bob.node.peer_id).await
                && !eve.node.api.is_online(&workspace, &bob.node.peer_id).await
        })
        .await;
        println!("{transport}: noticed after {:?}", since.elapsed());
        for _ in 0..short_or_full(20, 500) {
            say(&ada, &workspace, &asker, &mut said).await;
            say(&eve, &workspace, &tester, &mut said).await;
        }
        let others: Vec<_> = said[1..].to_vec();
        until_true("the others go on", || async {
            let held = [&ada, &eve].map(|home| home.node.api.thread(&workspace, CHANNEL, THREAD));
            let held = futures::future::join_all(held).await;
            held.iter().all(|thread| others.iter().all(|id| ids(thread).contains(id)))
        })
        .await;
        bob.node.signal("CONT").await;
        said
    };
    let ((), mut said) = tokio::join!(late_words, meanwhile);
    said.push("msg_late".to_owned());
    let since = Instant::now();
    say(&bob, &workspace, &coder, &mut said).await;
    agree(&[&ada, &bob, &eve], &workspace, &said).await;
    println!("{transport}: agreed after {:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stood_still_is_dropped_and_comes_back() {
    tokio::join!(one_stands_still(QUIC), one_stands_still(TCP));
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_survived_whether_they_heal_or_not() {
    let seconds = Duration::from_secs;
    tokio::join!(
        a_partition_stays(QUIC),
        a_partition_stays(TCP),
        a_partition_heals(QUIC, short_or_full(seconds(10), seconds(60))),
        // Nobody notices, and TCP sends again what it has.
        a_partition_heals(TCP, seconds(4)),
        // What was written fills TCP's buffers and never leaves; still they meet again soon.
        a_partition_heals(TCP, short_or_full(seconds(32), seconds(90))),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_in_one_direction_only_takes_the_way_through_another_member() {
    tokio::join!(one_direction_is_lost(QUIC), one_direction_is_lost(TCP));
}
