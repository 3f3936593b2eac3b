//! The owner hands the home over to another admin's node, and everything that a home does goes on there: tickets,
//! also old ones, removals and roles, with the former home asleep or gone.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use muster_protocol::identity::Identity;
use reqwest::Method;
use serde_json::{Value, json};
use support::{Answer, Home, Node, Place, meet, until_true, workspace};

mod support;

const CHANNEL: &str = "builders";

async fn move_home(by: &Node, workspace: &str, to: &str) -> Answer {
    by.api.post(&format!("/node/v1/workspaces/{workspace}/home"), json!({ "peer_id": to })).await
}

async fn set_role(by: &Node, workspace: &str, of: &Node, role: &str) -> Answer {
    let path = format!("/node/v1/workspaces/{workspace}/members/{}", of.peer_id);
    by.api.try_ask(Method::PATCH, &path, Some(&json!({ "role": role }))).await.unwrap()
}

async fn home_of(node: &Node, workspace: &str) -> Value {
    node.api.get(&format!("/node/v1/workspaces/{workspace}")).await.expect(200)["home_peer_id"].clone()
}

async fn role_of(node: &Node, workspace: &str, of: &Node) -> Option<Value> {
    let members = node.api.members(workspace).await;
    members
        .iter()
        .find(|member| member["peer_id"] == of.peer_id.as_str())
        .map(|member| member["role"].clone())
}

async fn agree_on_home(nodes: &[&Node], workspace: &str, home: &str) {
    for node in nodes {
        until_true("a node knows where the home is", || async { home_of(node, workspace).await == home })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_home_lets_in_removes_and_changes_roles_while_the_former_one_sleeps() {
    let mut ada = Home::new("ada").await;
    let bob = Home::new("bob").await;
    let [at_carol, at_dave] = [Place::new("carol"), Place::new("dave")];
    let (carol, dave) = tokio::join!(at_carol.up(), at_dave.up());
    let workspace = workspace(&ada.node, &[&bob.node]).await;
    let old_ticket = ada.node.api.ticket(&workspace).await;
    set_role(&ada.node, &workspace, &bob.node, "admin").await.expect(204);

    let moved = move_home(&ada.node, &workspace, &bob.node.peer_id).await.expect(200);
    assert_eq!(moved["home_peer_id"], bob.node.peer_id.as_str());
    agree_on_home(&[&ada.node, &bob.node], &workspace, &bob.node.peer_id).await;

    // A ticket from before leads to ada, who says where to go.
    carol.api.join(&old_ticket).await.expect(200);
    meet(&workspace, &bob.node, &carol).await;
    // What is decided through ada is decided at bob.
    let through_ada = ada.node.api.ticket(&workspace).await;
    ada.node.kill_now().await;

    // With ada gone, bob's and even ada's new tickets work, and carol and dave meet with nobody's help but bob's.
    dave.api.join(&through_ada).await.expect(200);
    meet(&workspace, &carol, &dave).await;
    agree_on_home(&[&carol, &dave], &workspace, &bob.node.peer_id).await;
    set_role(&bob.node, &workspace, &carol, "guest").await.expect(204);
    bob.node.api.remove(&workspace, &dave.peer_id).await.expect(204);
    let asker = bob.node.api.session(&workspace, "asker", CHANNEL).await;
    bob.node.api.say(&workspace, &asker, "thread_move", "without ada").await;

    // The owner comes back, knows it all, and takes the home back.
    ada.start().await;
    meet(&workspace, &ada.node, &bob.node).await;
    until_true("ada knows what bob decided", || async {
        role_of(&ada.node, &workspace, &carol).await == Some(json!("guest"))
            && role_of(&ada.node, &workspace, &dave).await.is_none()
    })
    .await;
    let refused = ada.node.api.remove(&workspace, &bob.node.peer_id).await.expect(409);
    assert_eq!(refused["code"], "is_home", "{refused}");
    move_home(&ada.node, &workspace, &ada.node.peer_id).await.expect(200);
    agree_on_home(&[&ada.node, &bob.node, &carol], &workspace, &ada.node.peer_id).await;
    ada.node.api.remove(&workspace, &bob.node.peer_id).await.expect(204);
    for place in [&ada.place, &bob.place, &at_carol, &at_dave] {
        assert!(!place.logged().contains("forks"), "{}", place.logged());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_home_moves_only_for_the_owner_to_an_admin_who_is_there() {
    let ada = Home::new("ada").await;
    let mut bob = Home::new("bob").await;
    let workspace = workspace(&ada.node, &[&bob.node]).await;
    let nowhere = Identity::from_seed([9; 32]).node().to_string();
    for (by, to, status, code) in [
        (&ada.node, bob.node.peer_id.as_str(), 409, "not_an_admin"),
        (&ada.node, nowhere.as_str(), 404, "unknown_member"),
        (&ada.node, "", 404, "unknown_member"),
        (&bob.node, bob.node.peer_id.as_str(), 403, "not_allowed"),
    ] {
        let refused = move_home(by, &workspace, to).await.expect(status);
        assert_eq!(refused["code"], code, "{refused}");
    }
    move_home(&ada.node, "nowhere", &bob.node.peer_id).await.expect(404);
    set_role(&ada.node, &workspace, &bob.node, "admin").await.expect(204);
    bob.node.kill_now().await;
    until_true("ada sees that bob is gone", || async {
        !ada.node.api.is_online(&workspace, &bob.node.peer_id).await
    })
    .await;
    let refused = move_home(&ada.node, &workspace, &bob.node.peer_id).await.expect(503);
    assert_eq!(refused["code"], "new_home_away", "{refused}");
    assert_eq!(home_of(&ada.node, &workspace).await, ada.node.peer_id.as_str());
    bob.start().await;
    meet(&workspace, &ada.node, &bob.node).await;
    let moved = ada.place.run(["workspace", "move-home", &bob.node.peer_id]).await.json();
    assert_eq!(moved["home_peer_id"], bob.node.peer_id.as_str());
    let again = move_home(&ada.node, &workspace, &bob.node.peer_id).await.expect(200);
    assert_eq!(again["home_peer_id"], bob.node.peer_id.as_str());
}
