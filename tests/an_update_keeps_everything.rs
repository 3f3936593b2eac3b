//! A newer program starts on the store of an older one: it makes a copy, brings the store up to date, and shows what was
//! said. The store of a newer program it leaves alone.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::{io::Write as _, path::Path};

use support::{Place, ids};

mod support;

/// The key of the node that wrote the kept stores. It was made for them.
const SEED: &str = "0f0ef328816b651fab7794405de0d91ae567cdeabdf77c50ecd09c59a8bff140";

/// A data folder as a program of schema version 1 left it.
fn of_version_one() -> Place {
    let place = Place::new("old");
    std::fs::DirBuilder::new().mode(0o700).create(place.folder()).unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../storage/tests/fixtures/store-v1.redb");
    std::fs::copy(kept, place.folder().join("store.redb")).unwrap();
    let mut options = std::fs::OpenOptions::new();
    let key = options.write(true).create_new(true).mode(0o600).open(place.folder().join("node.key"));
    write!(key.unwrap(), "muster node key v1\n{SEED}\n").unwrap();
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_of_an_older_program_is_copied_and_brought_up_to_date() {
    let place = of_version_one();
    let store = place.folder().join("store.redb");
    let look = place.run(["restore", "--dry-run", store.to_str().unwrap()]).await.json();
    assert_eq!((look["schema"].as_u64(), look["migrates"].as_bool()), (Some(1), Some(true)));
    let node = place.up().await;
    assert!(place.folder().join("store.redb.v1").exists());
    let workspaces = node.api.get("/node/v1/workspaces").await.expect(200);
    let workspace = workspaces["workspaces"][0]["id"].as_str().unwrap().to_owned();
    let said = ids(&node.api.thread(&workspace, "builders", "thread_release").await);
    assert_eq!(said, ["m1", "m2"]);
    assert_eq!(node.api.work(&workspace, "job").await["state"], "submitted");
    // What it was is still there for the older program, and going on is possible, as the home too.
    let talker = node.api.session(&workspace, "talker", "builders").await;
    node.api.say(&workspace, &talker, "thread_release", "updated").await;
    assert!(!node.api.ticket(&workspace).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_of_a_newer_program_is_refused_and_not_changed() {
    let place = of_version_one();
    let store = place.folder().join("store.redb");
    {
        let db = redb::Database::open(&store).unwrap();
        let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
        let txn = db.begin_write().unwrap();
        let version = 99_u32.to_be_bytes();
        txn.open_table(meta).unwrap().insert("schema_version", version.as_slice()).unwrap();
        txn.commit().unwrap();
    }
    let before = std::fs::read(&store).unwrap();
    let refused = place.run(place.up_words()).await.error(1);
    let why = refused["error"].as_str().unwrap();
    assert!(why.contains("schema 99") && why.contains("newer program"), "{why}");
    let refused = place.run(["restore", "--dry-run", store.to_str().unwrap()]).await.error(1);
    assert!(refused["error"].as_str().unwrap().contains("schema 99"));
    assert_eq!(std::fs::read(&store).unwrap(), before);
}
