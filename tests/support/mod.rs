//! What the promises share: nodes that are processes of their own, their HTTP doors, and patience with
//! a limit.
#![allow(dead_code, unreachable_pub, missing_docs, unused_imports, reason = "each test takes its part of it")]
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use std::{
    future::Future,
    time::{Duration, Instant},
};

mod api;
mod dice;
mod disk;
mod form;
mod home;
mod process;
pub mod raw_gossip;
pub mod raw_muxer;
pub mod raw_peer;
pub mod siege;
mod wire;

pub use api::{Answer, Api, Say, Session, ids};
pub use dice::Dice;
pub use disk::SmallDisk;
pub use form::{short_or_full, skip};
pub use home::{Door, Home};
pub use process::{Node, Place, QUIC, TCP, Told, processor_time};
pub use wire::{Weather, Wire};

/// No step of a test takes longer, on however busy a machine. What is waited for comes far sooner.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Between two looks at something that is awaited.
const PAUSE: Duration = Duration::from_millis(40);

/// Looks until `look` finds something, and gives that.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl FnMut() -> F) -> T {
    until_within(PATIENCE, what, look).await
}

/// The same with a patience of its own, for what is made slow.
pub async fn until_within<T, F: Future<Output = Option<T>>>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(since.elapsed() < patience, "waited too long until {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks until `look` says yes.
pub async fn until_true<F: Future<Output = bool>>(what: &str, mut look: impl FnMut() -> F) {
    until(what, || {
        let looked = look();
        async move { looked.await.then_some(()) }
    })
    .await;
}

/// Waits for something that must come.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// A workspace founded at `home`, joined by all of `guests`; returns when each of them is connected
/// with home. Its id.
pub async fn workspace(home: &Node, guests: &[&Node]) -> String {
    let workspace = home.api.found("workshop").await;
    for guest in guests {
        let ticket = home.api.ticket(&workspace).await;
        let joined = guest.api.join(&ticket).await;
        assert_eq!(joined.status, 200, "{}", joined.body);
        assert_eq!(joined.body["id"], workspace.as_str());
    }
    for guest in guests {
        meet(&workspace, home, guest).await;
    }
    workspace
}

/// Waits until two members are connected, as both of them see it.
pub async fn meet(workspace: &str, one: &Node, other: &Node) {
    until_true("two members are connected", || async {
        one.api.is_online(workspace, &other.peer_id).await
            && other.api.is_online(workspace, &one.peer_id).await
    })
    .await;
}
