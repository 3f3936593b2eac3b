//! The home of a workspace that comes back from an old copy may have forgotten whom it let in. It decides nothing
//! before it has heard from every member it knows, or before its owner says that there is nothing to hear.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use std::path::Path;

use reqwest::Method;
use serde_json::json;
use support::{Answer, Home, Node, Place, meet, until_true, workspace};

mod support;

const CHANNEL: &str = "builders";

/// Copies a folder file by file, as people do it.
fn copy_folder(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

async fn invite(node: &Node, workspace: &str) -> Answer {
    let path = format!("/node/v1/workspaces/{workspace}/invites");
    node.api.try_ask(Method::POST, &path, Some(&json!({}))).await.unwrap()
}

async fn is_unsettled(node: &Node, workspace: &str) -> bool {
    let answer = invite(node, workspace).await;
    if answer.status != 503 {
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
    answer.body["code"] == "home_unsettled"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_whose_folder_was_copied_learns_from_its_members_what_it_forgot() {
    let mut ada = Home::new("ada").await;
    let bob = Home::new("bob").await;
    let at_carol = Place::new("carol");
    let workspace = workspace(&ada.node, &[&bob.node]).await;
    let old_ticket = ada.node.api.ticket(&workspace).await;
    let asker = ada.node.api.session(&workspace, "asker", CHANNEL).await;

    // The folder as it is now, copied while nobody runs in it.
    ada.node.kill_now().await;
    let copy = ada.place.beside("copy");
    copy_folder(&ada.place.folder(), &copy);
    ada.start().await;
    meet(&workspace, &ada.node, &bob.node).await;

    // Decided after that: carol is in, and only the others remember.
    let carol = at_carol.up().await;
    carol.api.join(&ada.node.api.ticket(&workspace).await).await.expect(200);
    until_true("bob knows of carol", || async { bob.node.api.is_member(&workspace, &carol.peer_id).await })
        .await;
    carol.terminate().await;
    ada.node.kill_now().await;
    bob.node.signal("STOP").await;
    std::fs::remove_dir_all(ada.place.folder()).unwrap();
    copy_folder(&copy, &ada.place.folder());

    // Back from the copy it talks, and decides nothing.
    ada.start().await;
    assert_eq!(ada.node.api.members(&workspace).await.len(), 2, "it forgot carol");
    assert!(is_unsettled(&ada.node, &workspace).await);
    let removal = ada.node.api.remove(&workspace, &bob.node.peer_id).await.expect(503);
    assert_eq!(removal["code"], "home_unsettled");
    let dave = Place::new("dave");
    let dave = dave.up().await;
    let refused = dave.api.join(&old_ticket).await.expect(503);
    assert_eq!(refused["code"], "home_unsettled");
    ada.node.api.say(&workspace, &asker, "thread_copy", "still here").await;

    // Bob wakes, tells what he knows, and that is enough: he and ada are all that ada knew.
    bob.node.signal("CONT").await;
    until_true("ada knows of carol again", || async { ada.node.api.members(&workspace).await.len() == 3 })
        .await;
    let carol = at_carol.up().await;
    until_true("ada decides again", || async { !is_unsettled(&ada.node, &workspace).await }).await;
    dave.api.join(&ada.node.api.ticket(&workspace).await).await.expect(200);
    until_true("all agree", || async {
        let all = [&ada.node, &bob.node, &carol, &dave].map(|node| node.api.members(&workspace));
        futures::future::join_all(all).await.iter().all(|members| members.len() == 4)
    })
    .await;
    for place in [&ada.place, &bob.place, &at_carol] {
        assert!(!place.logged().contains("forks"), "{}", place.logged());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_without_members_is_settled_by_its_owner() {
    let at_ada = Place::new("ada");
    let ada = at_ada.up().await;
    let workspace = ada.api.found("workshop").await;
    let backup = at_ada.beside("backup.redb");
    ada.api.post("/node/v1/backups", json!({ "path": backup.to_str().unwrap() })).await.expect(201);
    ada.terminate().await;
    std::fs::rename(&backup, at_ada.folder().join("store.redb")).unwrap();
    for _ in 0..2 {
        // Also after a restart: nobody has spoken meanwhile.
        let ada = at_ada.up().await;
        let refused = at_ada.run(["invite"]).await.error(1);
        assert_eq!(refused["code"], "home_unsettled", "{refused}");
        assert_eq!(refused["suggested_command"], "muster workspace settle");
        ada.terminate().await;
    }
    let ada = at_ada.up().await;
    assert_eq!(at_ada.run(["workspace", "settle"]).await.json()["id"], workspace.as_str());
    assert!(at_ada.run(["invite"]).await.json()["ticket"].is_string());
    // Who is not the home has nothing to settle.
    let at_bob = Place::new("bob");
    let bob = at_bob.up().await;
    bob.api.join(&ada.api.ticket(&workspace).await).await.expect(200);
    let path = format!("/node/v1/workspaces/{workspace}/settle");
    assert_eq!(bob.api.post(&path, json!({})).await.expect(403)["code"], "not_allowed");
    ada.api.post("/node/v1/workspaces/nowhere/settle", json!({})).await.expect(404);
}
