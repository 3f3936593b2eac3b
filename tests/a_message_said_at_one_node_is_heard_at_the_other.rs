//! Two processes, joined by a ticket: what is said at one is read at the other, over either transport.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use serde_json::Value;
use support::{Node, Place, QUIC, Say, Session, TCP, ids, until, workspace};

mod support;

const CHANNEL: &str = "builders";
const THREAD: &str = "thread_first";

/// Two nodes in one workspace, a session at each, each visible to the other.
async fn two_nodes(transport: &str) -> (Place, Place, Node, Node, String, Session, Session) {
    let (at_ada, at_bob) = (Place::over(transport, "ada"), Place::over(transport, "bob"));
    let (ada, bob) = tokio::join!(at_ada.up(), at_bob.up());
    let workspace = workspace(&ada, &[&bob]).await;
    let asker = ada.api.session(&workspace, "asker", CHANNEL).await;
    let coder = bob.api.session(&workspace, "coder", CHANNEL).await;
    ada.api.until_visible(&workspace, CHANNEL, &coder.peer).await;
    bob.api.until_visible(&workspace, CHANNEL, &asker.peer).await;
    (at_ada, at_bob, ada, bob, workspace, asker, coder)
}

async fn a_message_to_a_session_of_the_other_node(transport: &str) {
    let (_at_ada, _at_bob, ada, bob, workspace, asker, coder) = two_nodes(transport).await;
    let say = Say { thread: THREAD, text: "Does it build?", id: Some("msg_first"), to: Some(&coder.peer) };
    let sent = ada.api.send(&workspace, &asker, &say).await.expect(200);
    assert_eq!(sent["message"]["id"], "msg_first");

    bob.api.until_thread_holds(&workspace, CHANNEL, THREAD, &["msg_first".to_owned()]).await;
    let [here] = &ada.api.thread(&workspace, CHANNEL, THREAD).await[..] else { panic!("one message") };
    let [there] = &bob.api.thread(&workspace, CHANNEL, THREAD).await[..] else { panic!("one message") };
    for message in [here, there] {
        assert_eq!(message["workspace_id"], workspace.as_str());
        assert_eq!(message["channel"], CHANNEL);
        assert_eq!(message["thread_id"], THREAD);
        assert_eq!(message["kind"], "say");
        assert_eq!(message["peer_from"], asker.peer.as_str());
        assert_eq!(message["peer_to"], coder.peer.as_str());
        assert_eq!(message["display_name"], "asker");
        assert_eq!(message["text"], "Does it build?");
    }
    assert_eq!(here["timestamp"], there["timestamp"], "its author's time, on both nodes");
    assert_eq!((&here["direction"], &here["local"]), (&"sent".into(), &true.into()));
    assert_eq!((&there["direction"], &there["local"]), (&"received".into(), &false.into()));
    assert_eq!(here["session_id"], asker.id.as_str(), "the sender's session, where it is local");
    assert_eq!(there["session_id"], coder.id.as_str(), "the receiver's session, where that is local");

    let waiting = bob.api.inbox(&workspace, &coder.id).await;
    let [envelope] = &waiting[..] else { panic!("one envelope waits: {waiting:?}") };
    assert_eq!(envelope["id"], "msg_first");
    assert_eq!(envelope["from"], asker.peer.as_str());
    assert_eq!(envelope["to"], coder.peer.as_str());
    assert_eq!(envelope["body"]["text"], "Does it build?");
    assert!(envelope["proof"].is_object(), "it came signed");
    assert!(ada.api.inbox(&workspace, &asker.id).await.is_empty(), "nobody hears himself");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_quic_it_is_in_the_thread_and_in_the_inbox_of_whom_it_is_for() {
    a_message_to_a_session_of_the_other_node(QUIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_it_is_in_the_thread_and_in_the_inbox_of_whom_it_is_for() {
    a_message_to_a_session_of_the_other_node(TCP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_reads_the_same_at_both_ends() {
    let (_at_ada, _at_bob, ada, bob, workspace, asker, coder) = two_nodes(QUIC).await;
    let mut said = Vec::new();
    for turn in 0..10 {
        said.push(ada.api.say(&workspace, &asker, THREAD, &format!("question {turn}")).await);
        bob.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
        said.push(bob.api.say(&workspace, &coder, THREAD, &format!("answer {turn}")).await);
        ada.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
    }
    for node in [&ada, &bob] {
        let messages = node.api.thread(&workspace, CHANNEL, THREAD).await;
        assert_eq!(ids(&messages), said, "each waited for the other, so there is one order");
        let threads = node.api.threads(&workspace, CHANNEL).await;
        assert_eq!(threads[0]["message_count"], 20);
        assert_eq!(threads[0]["participant_count"], 2);
        assert_eq!(threads[0]["opened_by_peer_id"], asker.peer.as_str());
        assert_eq!(threads[0]["root_message_id"], said[0].as_str());
        assert_eq!(threads[0]["last_message_preview"], "answer 9");
    }
    let opened = |node: &Node| {
        let api = node.api.clone();
        let workspace = workspace.clone();
        async move { api.threads(&workspace, CHANNEL).await[0]["opened_at"].clone() }
    };
    assert_eq!(opened(&ada).await, opened(&bob).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_both_nodes_tell_of_it() {
    let (at_ada, at_bob, ada, _bob, workspace, asker, _coder) = two_nodes(QUIC).await;
    let tails = [&at_ada, &at_bob].map(|place| {
        let mut command = place.command(["tail", "--after", "0", "--kinds", "message"]);
        command.stdout(std::process::Stdio::piped()).spawn().unwrap()
    });
    let id = ada.api.say(&workspace, &asker, THREAD, "hello").await;
    for mut tail in tails {
        use tokio::io::AsyncBufReadExt as _;
        let mut lines = tokio::io::BufReader::new(tail.stdout.take().unwrap()).lines();
        let line = support::within("an event", lines.next_line()).await.unwrap().expect("tail goes on");
        let event: Value = serde_json::from_str(&line).unwrap();
        assert!(event.to_string().contains(&id), "{event}");
        tail.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_again_under_the_same_id_is_no_second_message() {
    let (_at_ada, _at_bob, ada, bob, workspace, asker, coder) = two_nodes(QUIC).await;
    let say = Say { thread: THREAD, text: "once", id: Some("msg_once"), to: Some(&coder.peer) };
    for _ in 0..5 {
        ada.api.send(&workspace, &asker, &say).await.expect(200);
    }
    let other = Say { text: "something else", ..say.clone() };
    ada.api.send(&workspace, &asker, &other).await.expect(409);
    let last = ada.api.say(&workspace, &asker, THREAD, "last").await;
    bob.api.until_thread_holds(&workspace, CHANNEL, THREAD, &["msg_once".to_owned(), last]).await;
    let waiting = until("both wait", || async {
        let waiting = bob.api.inbox(&workspace, &coder.id).await;
        (waiting.len() >= 2).then_some(waiting)
    })
    .await;
    let waiting: Vec<_> = waiting.iter().map(|envelope| &envelope["body"]["text"]).collect();
    assert_eq!(waiting, ["once", "last"]);
}
