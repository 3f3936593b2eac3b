//! Two nodes on a wire that loses every fifth packet and is slow: they meet, talk, and hold the same in the
//! end; nothing is refused meanwhile.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use std::time::{Duration, Instant};

use support::{Home, Place, QUIC, Say, Session, TCP, Weather, Wire, ids, short_or_full, until_within};

mod support;

const CHANNEL: &str = "builders";
/// In each direction; so a question and its answer take at least twice as long.
const BAD: Weather = Weather { lost_percent: 20, delay: Duration::from_millis(200) };

/// QUIC's congestion control takes every loss for a full wire: 2 packets for each round trip are left of it,
/// some 5 kB/s here.
const SLOW: Duration = Duration::from_secs(600);

async fn talk(home: &Home, workspace: &str, session: &Session, thread: &str, messages: usize) -> Vec<String> {
    let mut said = Vec::new();
    for number in 0..messages {
        let id = format!("msg_{thread}_{number}");
        let text = format!("number {number} of {thread}");
        let say = Say { thread, text: &text, id: Some(&id), to: None };
        // Nobody at this end feels the wire: a message is durable here before anybody else hears of it.
        home.node.api.send(workspace, session, &say).await.expect(200);
        said.push(id);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    said
}

async fn they_meet_and_talk(transport: &str) {
    let Some(wire) = Wire::lay_or_skip(2).await else { return };
    let [at_ada, at_bob] = Place::on(Some(&wire), transport, ["ada", "bob"]);
    let (ada, bob) = tokio::join!(Home::at(at_ada), Home::at(at_bob));
    wire.weather(BAD); // joining has to work on it, too
    let since = Instant::now();
    let workspace = ada.node.api.found("workshop").await;
    let ticket = ada.node.api.ticket(&workspace).await;
    until_within(SLOW, "bob joins", || async {
        let joined = bob.node.api.join(&ticket).await;
        // A question that got lost may be asked again; nothing else is wrong.
        assert!(matches!(joined.status, 200 | 503 | 504), "{} {}", joined.status, joined.body);
        (joined.status == 200).then_some(())
    })
    .await;
    // Joining answers before the log of members has come whole when the wire is as slow as this.
    until_within(SLOW, "both are connected, and bob knows that he is a member", || async {
        let both = ada.node.api.is_online(&workspace, &bob.node.peer_id).await
            && bob.node.api.is_online(&workspace, &ada.node.peer_id).await
            && bob.node.api.is_member(&workspace, &bob.node.peer_id).await;
        both.then_some(())
    })
    .await;
    println!("{transport}: met after {:?}", since.elapsed());
    let asker = ada.node.api.session(&workspace, "asker", CHANNEL).await;
    let coder = bob.node.api.session(&workspace, "coder", CHANNEL).await;
    let messages = short_or_full(30, 600);
    let since = Instant::now();
    let (from_ada, from_bob) = tokio::join!(
        talk(&ada, &workspace, &asker, "thread_ada", messages),
        talk(&bob, &workspace, &coder, "thread_bob", messages),
    );
    println!("{transport}: said after {:?}", since.elapsed());
    for home in [&ada, &bob] {
        for (thread, said) in [("thread_ada", &from_ada), ("thread_bob", &from_bob)] {
            until_within(SLOW, "everything has come", || async {
                (home.node.api.thread(&workspace, CHANNEL, thread).await.len() >= said.len()).then_some(())
            })
            .await;
            assert_eq!(ids(&home.node.api.thread(&workspace, CHANNEL, thread).await), *said, "in order");
        }
    }
    println!("{transport}: both hold all after {:?}", since.elapsed());
    // They know it of each other, too.
    for home in [&ada, &bob] {
        until_within(SLOW, "nobody is behind", || async {
            let members = home.node.api.members(&workspace).await;
            members.iter().all(|member| member["behind"] == 0).then_some(())
        })
        .await;
    }
    let (passed, lost) = wire.counted();
    println!("{transport}: {passed} packets passed, {lost} were lost");
    assert!(lost > passed / 10, "the wire was bad");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_quic_they_meet_and_talk() {
    they_meet_and_talk(QUIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_they_meet_and_talk() {
    they_meet_and_talk(TCP).await;
}
