//! Times and sizes of the real program, printed and never asserted: whoever changes something that may
//! cost looks here before and after.
//!
//! ```text
//! cargo bench -p muster-tests --bench figures
//! ```
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "it measures real processes in real time")]

use std::{path::Path, sync::Arc, time::Duration};

use muster_protocol::{
    identity::Identity,
    ids::{SpaceId, WorkspaceId},
    network::{Envelope, PeerName, proof},
    session::session_id,
};
use muster_storage::{Disk, NewSession, Options, Store};
use serde_json::{Value, json};
use support::{Place, raw_peer::now_ms};

mod support;

const CHANNELS: usize = 1_000;
const MESSAGES: usize = 200_000;
const MESSAGES_PER_WRITE: usize = 500;

#[tokio::main]
async fn main() {
    // `cargo test --benches` asks whether it starts; there is nothing to be said to that.
    if std::env::args().any(|word| word == "--list" || word == "--test") {
        return;
    }
    if cfg!(debug_assertions) {
        println!("built for debugging: the figures mean little");
    }
    first_start().await;
    idle_with_many_channels().await;
    start_with_many_messages().await;
}

async fn first_start() {
    let place = Place::new("ada");
    let node = place.up().await;
    println!("ready on an empty folder after {} ms (aim: 2 000)", node.took.as_millis());
    println!("idle and empty: {} MiB", node.resident_kib() / 1024);
    let (_, took) = node.terminate().await;
    println!("told to end, it ended after {} ms (aim: 5 000)", took.as_millis());
}

async fn idle_with_many_channels() {
    let place = Place::new("ada");
    let node = place.up().await;
    let workspace = node.api.found("workshop").await;
    node.terminate().await;
    fill(&place, &workspace, CHANNELS, CHANNELS);
    let node = place.up().await;
    // Greets of so many sessions and the first looks at the lists are behind it by then.
    for _ in 0..10 {
        node.api.get(&format!("/api/workspaces/{workspace}/network/channels")).await.expect(200);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    println!("idle with {CHANNELS} channels: {} MiB (aim: 60)", node.resident_kib() / 1024);
}

async fn start_with_many_messages() {
    let place = Place::new("ada");
    let node = place.up().await;
    let workspace = node.api.found("workshop").await;
    node.terminate().await;
    fill(&place, &workspace, 10, MESSAGES);
    let size = std::fs::metadata(place.folder().join("store.redb")).unwrap().len();
    println!("a store of {MESSAGES} messages: {} MiB", size >> 20);
    for how in ["an orderly end", "a kill"] {
        let node = place.up().await;
        println!("ready with it after {} ms (aim: 1 000)", node.took.as_millis());
        let message_count = node.api.threads(&workspace, "channel-0").await[0]["message_count"].clone();
        assert_eq!(message_count, MESSAGES / 10, "the store is what it should be");
        // Something to be recovered from.
        let session = node.api.session(&workspace, "talker", "channel-0").await;
        node.api.say(&workspace, &session, "thread_new", "hello").await;
        println!("resident with it: {} MiB", node.resident_kib() / 1024);
        println!("next: after {how}");
        if how == "a kill" {
            node.kill().await;
        } else {
            node.terminate().await;
        }
    }
    let node = place.up().await;
    println!("ready with it after {} ms (aim: 1 000)", node.took.as_millis());
}

/// Writes messages straight into the store of a node that does not run: as many sessions and threads as
/// channels, the messages spread over them.
fn fill(place: &Place, workspace: &str, channels: usize, messages: usize) {
    let folder = place.folder();
    let identity = Arc::new(identity(&folder));
    let options = Options {
        cache_bytes: 256 << 20,
        inbox_depth: 100,
        inline: false,
        fresh: [7; 24],
        blobs: folder.join("blobs"),
    };
    let store = Store::open(Disk::File(folder.join("store.redb")), identity.clone(), &options).unwrap();
    let workspace: WorkspaceId = workspace.parse().unwrap();
    let space = store.space_of(workspace).unwrap();
    let sessions: Vec<NewSession> = (0..channels).map(|number| session(&identity, number)).collect();
    let new = sessions.clone();
    write(&store, move |batch| {
        batch.register_agent(space, "talker", "none", "[]")?;
        batch.start_sessions(space, &new)
    });
    for first in (0..messages).step_by(MESSAGES_PER_WRITE) {
        let numbers = first..messages.min(first + MESSAGES_PER_WRITE);
        let envelopes: Vec<Envelope> = numbers
            .map(|number| envelope(&identity, workspace, &sessions[number % channels], number))
            .collect();
        send(&store, space, envelopes);
    }
    store.close();
}

/// The key in the data folder.
fn identity(folder: &Path) -> Identity {
    let text = std::fs::read_to_string(folder.join("node.key")).unwrap();
    let hex = text.lines().nth(1).unwrap();
    let seed: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    Identity::from_seed(seed.try_into().unwrap())
}

fn session(identity: &Identity, number: usize) -> NewSession {
    let id = session_id(identity.node(), (number as u64).to_be_bytes());
    let peer = PeerName::of_session("talker", &id).unwrap();
    NewSession { id, agent: "talker".to_owned(), channel: format!("channel-{number}"), peer }
}

fn envelope(identity: &Identity, workspace: WorkspaceId, session: &NewSession, number: usize) -> Envelope {
    let members = json!({
        "protocol": "agh-network/v0", "id": format!("msg_{number}"), "workspace_id": workspace.to_string(),
        "kind": "say", "channel": session.channel, "surface": "thread", "thread_id": "thread_filled",
        "from": session.peer.as_str(), "ts": now_ms() / 1000,
        "body": { "text": format!("This is number {number}, and it is about as long as what people say.") },
    });
    let Value::Object(members) = members else { unreachable!("an object was written") };
    let mut envelope = Envelope::from_members(members).unwrap();
    proof::sign(&mut envelope, identity.signing_key()).unwrap();
    envelope
}

fn send(store: &Store, space: SpaceId, envelopes: Vec<Envelope>) {
    write(store, move |batch| {
        for envelope in &envelopes {
            let json = envelope.to_json().expect("it is small");
            batch.send(space, None, envelope, json)?;
        }
        Ok(())
    });
}

/// Writes and waits for the commit.
fn write<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(&mut muster_storage::Batch<'_>) -> Result<T, muster_storage::StoreError> + Send + 'static,
) {
    let (done, durable) = std::sync::mpsc::channel();
    store.write(now_ms(), work, move |_| done.send(()).unwrap()).unwrap();
    durable.recv().unwrap();
}
