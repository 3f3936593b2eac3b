//! However many ask for the direct room of two peers at once, at either node, there is one room, with one id.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use futures::future::join_all;
use muster_protocol::network::{ChannelName, Pair, PeerName, WorkspaceRef};
use serde_json::{Value, json};
use support::{Home, Session, until, workspace};

mod support;

const CHANNEL: &str = "builders";
/// Calls at each of the two nodes.
const CALLS: usize = 50;

struct Pairing {
    homes: [Home; 2],
    workspace: String,
    sessions: [Session; 2],
}

impl Pairing {
    async fn new() -> Self {
        let (ada, bob) = tokio::join!(Home::new("ada"), Home::new("bob"));
        let workspace = workspace(&ada.node, &[&bob.node]).await;
        let coder = ada.node.api.session(&workspace, "coder", CHANNEL).await;
        let reviewer = bob.node.api.session(&workspace, "reviewer", CHANNEL).await;
        ada.node.api.until_visible(&workspace, CHANNEL, &reviewer.peer).await;
        bob.node.api.until_visible(&workspace, CHANNEL, &coder.peer).await;
        Self { homes: [ada, bob], workspace, sessions: [coder, reviewer] }
    }

    /// Calls from both sides; all rooms that were answered.
    fn resolves(&self) -> impl Future<Output = Vec<Value>> + use<> {
        let calls = (0..2 * CALLS).map(|number| {
            let (here, there) = (number % 2, 1 - number % 2);
            let (door, me) = (self.homes[here].door.clone(), self.sessions[here].clone());
            let (workspace, other) = (self.workspace.clone(), self.sessions[there].peer.clone());
            async move { door.room(&workspace, &me, &other).await }
        });
        join_all(calls.collect::<Vec<_>>())
    }

    /// The id that the rule alone makes of the workspace they share and their names (N-3, N-36).
    fn derived(&self) -> String {
        let [one, other] = [0, 1].map(|side| PeerName::parse(&self.sessions[side].peer).unwrap());
        let workspace = WorkspaceRef::parse(&self.workspace).unwrap();
        Pair::of(&one, &other).unwrap().room(&workspace, &ChannelName::parse(CHANNEL).unwrap()).to_string()
    }

    /// Both nodes have the one room, and say the same of it.
    async fn one_room(&self, answered: &[Value]) {
        let id = self.derived();
        assert_eq!(answered.len(), 2 * CALLS);
        assert!(answered.iter().all(|room| room["direct_id"] == id.as_str()), "{id}: {answered:?}");
        let rooms = until("both nodes have the room", || async {
            let [ada, bob] = self.homes.each_ref().map(|home| home.node.api.rooms(&self.workspace, CHANNEL));
            let (ada, bob) = tokio::join!(ada, bob);
            assert!(ada.as_array().unwrap().len() <= 1 && bob.as_array().unwrap().len() <= 1, "{ada} {bob}");
            (ada == bob && ada != json!([])).then_some(ada)
        })
        .await;
        let room = &rooms[0];
        assert_eq!((&room["direct_id"], &room["workspace_id"]), (&json!(id), &json!(self.workspace)));
        assert_eq!((&room["message_count"], &room["last_activity_at"]), (&json!(0), &room["opened_at"]));
        for home in &self.homes {
            let status = home.node.api.get("/api/network/status").await.expect(200);
            assert_eq!(status["network"]["open_direct_rooms"], 1, "N-126");
        }
        // Asking again changes nothing of it.
        let [door, _] = self.homes.each_ref().map(|home| &home.door);
        assert_eq!(door.room(&self.workspace, &self.sessions[0], &self.sessions[1].peer).await, *room);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_calls_from_both_sides_leave_one_room_n3_n36_n39() {
    let pairing = Pairing::new().await;
    let answered = pairing.resolves().await;
    pairing.one_room(&answered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_so_they_do_while_one_node_is_killed_and_started_n39() {
    for side in [0, 1] {
        let mut pairing = Pairing::new().await;
        let resolves = pairing.resolves();
        let (answered, ()) = tokio::join!(resolves, pairing.homes[side].kill_and_start());
        pairing.one_room(&answered).await;
    }
}
