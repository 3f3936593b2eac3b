//! A copy made while the node runs, put into a new folder with the node's key, is that node as it was:
//! it starts, catches up with what it missed (its own messages too), and goes on without contradicting
//! itself.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

use serde_json::{Value, json};
use support::{Api, Place, meet, until_true, workspace};

mod support;

const CHANNEL: &str = "builders";
const THREAD: &str = "thread_first";

/// A new place with a backup and the key of the node it was made of.
fn restore(from: &Place, backup: &std::path::Path) -> Place {
    let place = Place::new("restored");
    let folder = place.folder();
    std::fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
    std::fs::copy(backup, folder.join("store.redb")).unwrap();
    std::fs::copy(from.folder().join("node.key"), folder.join("node.key")).unwrap();
    let mode = std::fs::metadata(folder.join("node.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a copied key is as closed as the key");
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_made_under_load_is_the_node_as_it_was_and_goes_on() {
    let (at_ada, at_bob) = (Place::new("ada"), Place::new("bob"));
    let (ada, bob) = tokio::join!(at_ada.up(), at_bob.up());
    let workspace = workspace(&ada, &[&bob]).await;
    let asker = ada.api.session(&workspace, "asker", CHANNEL).await;
    let coder = bob.api.session(&workspace, "coder", CHANNEL).await;

    // A backup in the middle of a conversation.
    let mut said = Vec::new();
    for number in 0..50 {
        said.push(ada.api.say(&workspace, &asker, THREAD, &format!("before {number}")).await);
    }
    let path = at_ada.beside("backup.redb");
    let wish = json!({ "path": path.to_str().unwrap() });
    let (copied, while_copying) = tokio::join!(
        ada.api.post("/node/v1/backups", wish.clone()),
        ada.api.say(&workspace, &asker, THREAD, "meanwhile")
    );
    said.push(while_copying);
    let copied = copied.expect(201);
    assert_eq!(copied["verified"], true);
    assert_eq!(copied["bytes"], std::fs::metadata(&path).unwrap().len());
    ada.api.post("/node/v1/backups", wish).await.expect(400); // nothing is ever overwritten

    // More that only bob remembers, once ada's machine is gone.
    for number in 0..50 {
        said.push(ada.api.say(&workspace, &asker, THREAD, &format!("after {number}")).await);
    }
    bob.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
    let peer_id = ada.peer_id.clone();
    ada.kill().await;

    // What a killed node leaves is sound, though nobody closed it.
    let store = at_ada.folder().join("store.redb");
    let look = at_ada.run(["restore", "--dry-run", store.to_str().unwrap()]).await.json();
    assert_eq!((&look["peer_id"], &look["checked"]), (&json!(peer_id), &json!("everything")));
    assert!(look["workspaces"][0]["operations"].as_u64().unwrap() >= said.len() as u64, "{look}");

    let at_new = restore(&at_ada, &path);
    let ada = at_new.up().await;
    assert_eq!(ada.peer_id, peer_id, "the same node");
    meet(&workspace, &ada, &bob).await;
    ada.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;

    // Both go on; the restored one under a new incarnation, so that nothing contradicts what it forgot.
    said.push(ada.api.say(&workspace, &asker, THREAD, "restored").await);
    said.push(bob.api.say(&workspace, &coder, THREAD, "welcome back").await);
    for node in [&ada, &bob] {
        node.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
    }
    assert!(ada.terminate().await.0.success());
    let ada = at_new.up().await;
    meet(&workspace, &ada, &bob).await;
    said.push(ada.api.say(&workspace, &asker, THREAD, "and once more").await);
    bob.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
    for place in [&at_new, &at_bob] {
        assert!(!place.logged().contains("forks"), "{}", place.logged());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_restored_in_place_and_gets_back_what_others_hold() {
    let (at_ada, at_bob) = (Place::new("ada"), Place::new("bob"));
    let (ada, bob) = tokio::join!(at_ada.up(), at_bob.up());
    let workspace = workspace(&ada, &[&bob]).await;
    let coder = bob.api.session(&workspace, "coder", CHANNEL).await;
    let mut said = vec![bob.api.say(&workspace, &coder, THREAD, "before").await];
    ada.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
    let backup = at_bob.beside("backup.redb");
    let backup = backup.to_str().unwrap();
    let kept = at_bob.run_for_people(["backup", backup]).await;
    assert!(kept.out.contains("node.key"), "who keeps a backup keeps the key: {}", kept.out);
    said.push(bob.api.say(&workspace, &coder, THREAD, "after").await);
    ada.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;

    // Not under a running node, and not into the folder of another.
    let refused = at_bob.run(["restore", backup]).await.error(1);
    assert_eq!(refused["code"], "data_folder", "{refused}");
    let peer_id = bob.peer_id.clone();
    bob.terminate().await;
    let other = at_ada.run(["restore", "--dry-run", backup]).await.error(1);
    assert_eq!(other["code"], "data_folder", "ada runs: {other}");
    let nobody = Place::new("nobody");
    let refused = nobody.run(["restore", backup]).await.error(1);
    assert_eq!(refused["code"], "not_restored");
    assert!(refused["error"].as_str().unwrap().contains(&peer_id), "{refused}");
    assert!(!nobody.folder().exists());

    nobody.up().await.terminate().await; // now it is somebody
    let refused = nobody.run(["restore", backup]).await.error(1);
    assert!(refused["error"].as_str().unwrap().contains(&peer_id), "{refused}");

    // A new machine needs the key and the backup, no more.
    let new = Place::new("bob");
    std::fs::DirBuilder::new().mode(0o700).create(new.folder()).unwrap();
    std::fs::copy(at_bob.folder().join("node.key"), new.folder().join("node.key")).unwrap();
    let done = new.run(["restore", backup]).await.json();
    assert_eq!((&done["restored"], &done["replaced"]), (&json!(true), &json!(null)));
    let elsewhere = new.up().await;
    assert_eq!(elsewhere.peer_id, peer_id);
    meet(&workspace, &ada, &elsewhere).await;
    elsewhere.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
    elsewhere.terminate().await;

    // A look changes nothing.
    let before = at_bob.stored();
    let look = at_bob.run(["restore", "--dry-run", backup]).await.json();
    assert_eq!(at_bob.stored(), before);
    assert_eq!((&look["restored"], &look["peer_id"]), (&json!(false), &json!(peer_id)));
    assert_eq!(look["workspaces"][0]["members"], 2);
    assert!(look["only_in_replaced"].as_u64().unwrap() >= 1, "{look}");

    let done = at_bob.run(["restore", backup]).await.json();
    assert_eq!(done["restored"], true);
    assert!(std::path::Path::new(done["replaced"].as_str().unwrap()).exists());
    let bob = at_bob.up().await;
    meet(&workspace, &ada, &bob).await;
    bob.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
    said.push(bob.api.say(&workspace, &coder, THREAD, "again").await);
    ada.api.until_thread_holds(&workspace, CHANNEL, THREAD, &said).await;
    for place in [&at_ada, &at_bob] {
        assert!(!place.logged().contains("forks"), "{}", place.logged());
    }

    // A damaged file is refused, and the store stays.
    let damaged = at_bob.beside("damaged.redb");
    let mut bytes = std::fs::read(backup).unwrap();
    let middle = bytes.len() / 2;
    bytes.truncate(middle);
    std::fs::write(&damaged, bytes).unwrap();
    bob.terminate().await;
    let before = at_bob.stored();
    let refused = at_bob.run(["restore", damaged.to_str().unwrap()]).await.error(1);
    assert_eq!(refused["code"], "not_restored");
    assert_eq!(at_bob.stored(), before);
}

/// Somebody with a key for the Workspace door.
async fn person(api: &Api, workspace: &str, name: &str) -> (String, Api) {
    let made = async |what: &str, wish: Value| {
        api.post(&format!("/node/v1/workspaces/{workspace}/{what}"), wish).await.expect(201)
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let email = format!("{name}@example.org");
    let user = text(&made("users", json!({ "name": name, "email": email })).await["id"]);
    let scopes = ["messages:read", "messages:write"];
    let key = text(&made("keys", json!({ "user_id": user, "scopes": scopes })).await["key"]);
    (user, Api::new(&api.base, &key))
}

/// Opens a private channel; the path of its messages.
async fn private_channel(api: &Api, workspace: &str, slug: &str, members: &[&String]) -> String {
    let wish = json!({ "type": "channel", "slug": slug, "visibility": "private", "member_ids": members });
    let opened = api.post(&format!("/node/v1/workspaces/{workspace}/streams"), wish).await.expect(201);
    format!("/api/v1/workspaces/{workspace}/streams/{}/messages", opened["id"].as_str().unwrap())
}

async fn until_read(who: &Api, messages: &str, said: &[&str]) {
    until_true("a private channel is read", || async {
        let page = who.get(messages).await;
        let data = page.body["data"].as_array().cloned().unwrap_or_default();
        let mut texts: Vec<_> = data.iter().map(|message| message["content"].as_str().unwrap()).collect();
        texts.sort_unstable();
        texts == said
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_in_private_comes_back_and_the_home_of_a_private_channel_decides_again() {
    let (at_ada, at_bob, at_eve) = (Place::new("ada"), Place::new("bob"), Place::new("eve"));
    let (ada, bob, eve) = tokio::join!(at_ada.up(), at_bob.up(), at_eve.up());
    let workspace = workspace(&ada, &[&bob, &eve]).await;
    let (ada_id, as_ada) = person(&ada.api, &workspace, "ada").await;
    let (bob_id, as_bob) = person(&bob.api, &workspace, "bob").await;
    let (eve_id, as_eve) = person(&eve.api, &workspace, "eve").await;
    let is_known = async |api: &Api, id: &str| {
        let users = api.get(&format!("/node/v1/workspaces/{workspace}/users")).await.expect(200);
        users["users"].as_array().unwrap().iter().any(|user| user["id"] == id)
    };
    until_true("bob's node knows everybody", || async {
        is_known(&bob.api, &ada_id).await && is_known(&bob.api, &eve_id).await
    })
    .await;
    let early = private_channel(&bob.api, &workspace, "early", &[&bob_id, &ada_id]).await;
    as_bob.post(&early, json!({ "content": "1 before" })).await.expect(201);
    until_read(&as_ada, &early, &["1 before"]).await;
    let backup = at_bob.beside("backup.redb");
    let backup = backup.to_str().unwrap();
    at_bob.run_for_people(["backup", backup]).await;
    let late = private_channel(&bob.api, &workspace, "late", &[&bob_id, &ada_id]).await;
    as_bob.post(&early, json!({ "content": "2 after" })).await.expect(201);
    as_bob.post(&late, json!({ "content": "1 after" })).await.expect(201);
    until_read(&as_ada, &early, &["1 before", "2 after"]).await;
    until_read(&as_ada, &late, &["1 after"]).await;

    bob.terminate().await;
    at_bob.run(["restore", backup]).await.json();
    let bob = at_bob.up().await;
    meet(&workspace, &ada, &bob).await;
    let as_bob = Api::new(&bob.api.base, &as_bob.token);
    until_read(&as_bob, &early, &["1 before", "2 after"]).await;
    until_read(&as_bob, &late, &["1 after"]).await;
    // It lets others in again, also where it had forgotten that it is the home.
    for (messages, said) in [(&early, &["1 before", "2 after"][..]), (&late, &["1 after"])] {
        let stream = messages.split('/').nth_back(1).unwrap();
        let members = format!("/node/v1/workspaces/{workspace}/streams/{stream}/members");
        ada.api.post(&members, json!({ "member_id": eve_id })).await.expect(204);
        until_read(&as_eve, messages, said).await;
    }
    for place in [&at_ada, &at_bob, &at_eve] {
        assert!(!place.logged().contains("forks"), "{}", place.logged());
    }
}
