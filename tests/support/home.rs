//! A node that stays where it is, is killed and started again, while others go on asking it.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::Value;

use super::{Answer, Api, Node, PATIENCE, PAUSE, Place, Session};

/// A node with a fixed address for other nodes.
pub struct Home {
    pub place: Place,
    pub node: Node,
    pub door: Door,
}

impl Home {
    /// A node in an empty place.
    pub async fn at(mut place: Place) -> Self {
        let node = place.up().await;
        place.stay_at(&node); // as with a fixed port: others find it again where it was
        let door = Door(Arc::new(RwLock::new(node.api.clone())));
        Self { place, node, door }
    }

    /// One that speaks QUIC.
    pub async fn new(name: &str) -> Self {
        Self::at(Place::new(name)).await
    }

    /// Kills it with a signal that no program can catch, and starts it again.
    pub async fn kill_and_start(&mut self) {
        let pid = self.node.pid();
        self.node.kill_now().await;
        self.start().await;
        assert_ne!(self.node.pid(), pid);
    }

    /// Starts it again after it was ended.
    pub async fn start(&mut self) {
        let node = self.place.up().await;
        self.is_now(node);
    }

    /// Replaces a node that has ended.
    pub fn is_now(&mut self, node: Node) {
        self.node = node;
        *self.door.0.write().unwrap_or_else(PoisonError::into_inner) = self.node.api.clone();
    }
}

/// The doors of a node, wherever they are after its last start.
#[derive(Clone)]
pub struct Door(Arc<RwLock<Api>>);

impl Door {
    /// The doors as they are now.
    pub fn api(&self) -> Api {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Posts the same until it is answered with 200: the node may be killed meanwhile, and after a start it
    /// takes a moment until it knows again who is where.
    pub async fn insist(&self, path: &str, body: &Value) -> Value {
        let since = Instant::now();
        loop {
            match self.api().try_ask(Method::POST, path, Some(body)).await {
                Ok(Answer { status: 200, body }) => return body,
                Err(_) => {} // nobody knows whether it was done, so it is asked again
                Ok(answer) => {
                    let code = answer.body["diagnostic"]["code"].as_str().unwrap_or_default();
                    assert_eq!(
                        code, "network_target_unreachable",
                        "{} {body}: {}",
                        answer.status, answer.body
                    );
                }
            }
            assert!(since.elapsed() < PATIENCE, "waited too long for {path} to take {body}");
            tokio::time::sleep(PAUSE.min(Duration::from_millis(20))).await;
        }
    }

    /// Sends a message, as often as it takes.
    pub async fn send(&self, workspace: &str, message: &Value) -> Value {
        self.insist(&format!("/api/workspaces/{workspace}/network/send"), message).await
    }

    /// The direct room of a session and a peer in the session's channel, asked for as often as it takes.
    pub async fn room(&self, workspace: &str, session: &Session, peer: &str) -> Value {
        let path =
            format!("/api/workspaces/{workspace}/network/channels/{}/directs/resolve", session.channel);
        let wish = serde_json::json!({ "session_id": session.id, "peer_id": peer });
        self.insist(&path, &wish).await["direct"].take()
    }
}
