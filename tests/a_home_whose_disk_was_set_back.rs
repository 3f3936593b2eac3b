//! The disk of a home is set back as a whole, as a snapshot of a virtual machine does it: nothing tells its store from
//! the real one. A home that finds a member up asks before it decides. One that finds nobody contradicts itself; that
//! is proven to everybody, and nothing is decided any more.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use std::path::Path;

use serde_json::json;
use support::{Home, Node, Place, meet, until_true, workspace};

mod support;

const CHANNEL: &str = "builders";

/// Puts the bytes of a file back into the same file: its number and its birth stay.
fn set_back(file: &Path, to: &[u8]) {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().write(true).truncate(true).open(file).unwrap();
    file.write_all(to).unwrap();
    file.sync_all().unwrap();
}

async fn is_forked(node: &Node, workspace: &str) -> bool {
    node.api.get(&format!("/node/v1/workspaces/{workspace}")).await.expect(200)["home_forked"] == true
}

/// A home and a member, a node that the home let in and that is down since, and the home's store from before that.
struct Three {
    ada: Home,
    bob: Home,
    eve: Place,
    workspace: String,
    before: Vec<u8>,
}

impl Three {
    async fn new() -> Self {
        let mut ada = Home::new("ada").await;
        let bob = Home::new("bob").await;
        let workspace = workspace(&ada.node, &[&bob.node]).await;
        // What bob says comes after where bob is, without which ada would have to wait for bob to call.
        let asker = bob.node.api.session(&workspace, "asker", CHANNEL).await;
        let said = bob.node.api.say(&workspace, &asker, "thread_before", "here").await;
        ada.node.api.until_thread_holds(&workspace, CHANNEL, "thread_before", &[said]).await;
        ada.node.signal("TERM").await;
        ada.node.ended().await;
        let before = std::fs::read(ada.place.folder().join("store.redb")).unwrap();
        ada.start().await;
        let eve = Place::new("eve");
        let at_eve = eve.up().await;
        at_eve.api.join(&ada.node.api.ticket(&workspace).await).await.expect(200);
        until_true("bob knows of eve", || bob.node.api.is_member(&workspace, &at_eve.peer_id)).await;
        at_eve.terminate().await;
        ada.node.kill_now().await;
        Self { ada, bob, eve, workspace, before }
    }

    fn set_back(&self) {
        set_back(&self.ada.place.folder().join("store.redb"), &self.before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_finds_a_member_up_learns_what_it_forgot_before_it_decides() {
    let mut three = Three::new().await;
    three.set_back();
    three.ada.start().await;
    three.ada.node.api.ticket(&three.workspace).await;
    assert_eq!(three.ada.node.api.members(&three.workspace).await.len(), 3, "bob told it of eve");
    let eve = three.eve.up().await;
    meet(&three.workspace, &three.ada.node, &eve).await;
    for node in [&three.ada.node, &three.bob.node, &eve] {
        assert!(!is_forked(node, &three.workspace).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_decides_alone_on_an_old_disk_is_found_out_and_decides_no_more() {
    let mut three = Three::new().await;
    three.bob.node.kill_now().await;
    three.set_back();
    three.ada.start().await;
    let ticket = three.ada.node.api.ticket(&three.workspace).await;
    three.bob.start().await;
    let Three { ada, bob, workspace, .. } = three;
    for home in [&ada, &bob] {
        until_true("it is known", || async { is_forked(&home.node, &workspace).await }).await;
        assert!(home.place.logged().contains("decided two different things"), "{}", home.place.logged());
    }
    let wish = json!({ "role": "member" });
    let path = format!("/node/v1/workspaces/{workspace}/invites");
    let refused = ada.node.api.post(&path, wish).await.expect(409);
    assert_eq!(refused["code"], "home_forked", "{refused}");
    let dave = Home::new("dave").await;
    let refused = dave.node.api.join(&ticket).await.expect(409);
    assert_eq!(refused["code"], "home_forked", "{refused}");
    // Talk goes on.
    let talker = bob.node.api.session(&workspace, "talker", CHANNEL).await;
    let said = bob.node.api.say(&workspace, &talker, "thread_after", "and yet").await;
    ada.node.api.until_thread_holds(&workspace, CHANNEL, "thread_after", &[said]).await;
}
