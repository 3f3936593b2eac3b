//! Stores of earlier programs, kept as they were written: each is brought up to date when it is opened, a copy of it
//! is made first, and nothing that was said is lost.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path, sync::Arc};

use crate::support::options;
use muster_protocol::{
    identity::Identity,
    network::{ChannelName, Kind, ThreadId, WorkId, WorkState},
};
use muster_storage::{Disk, MessagePage, OpenError, SCHEMA_VERSION, Store, Window};

/// The key of the node that wrote the fixtures. It was made for them.
const SEED: &str = "0f0ef328816b651fab7794405de0d91ae567cdeabdf77c50ecd09c59a8bff140";

fn node() -> Arc<Identity> {
    let byte = |at: usize| u8::from_str_radix(&SEED[2 * at..2 * at + 2], 16).unwrap();
    Arc::new(Identity::from_seed(std::array::from_fn(byte)))
}

fn fixture(folder: &Path) {
    fixture_of(1, folder);
}

fn fixture_of(version: u32, folder: &Path) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/store-v{version}.redb"));
    fs::copy(kept, folder.join("store.redb")).unwrap();
}

fn open(folder: &Path, name: &str, identity: Arc<Identity>) -> Result<Store, OpenError> {
    Store::open(Disk::File(folder.join(name)), identity, &options(folder, 1))
}

fn messages(store: &Store, thread: &str, page: &MessagePage) -> Vec<String> {
    let view = store.view().unwrap();
    let workspace = view.workspace("Workshop").unwrap().unwrap();
    let (channel, thread) = (ChannelName::parse("builders").unwrap(), ThreadId::parse(thread).unwrap());
    let rows = view.thread_messages(&workspace, &channel, &thread, page).unwrap().unwrap();
    rows.into_iter().map(|row| row.envelope.id.as_str().to_owned()).collect()
}

#[test]
fn a_store_of_version_one_keeps_its_messages_and_gains_filters_and_work() {
    let folder = tempfile::tempdir().unwrap();
    fixture(folder.path());
    let store = open(folder.path(), "store.redb", node()).unwrap();
    let all = MessagePage { limit: 100, ..MessagePage::default() };
    assert_eq!(messages(&store, "thread_release", &all), ["m1", "m2"]);
    let says = MessagePage { kind: Some(Kind::Say), ..all.clone() };
    assert_eq!(messages(&store, "thread_release", &says), ["m1", "m2"]);
    let of_job = MessagePage { work: Some(WorkId::parse("job").unwrap()), ..all };
    assert_eq!(messages(&store, "thread_work", &of_job), ["m3", "m4"]);

    let view = store.view().unwrap();
    let workspace = view.workspace("Workshop").unwrap().unwrap();
    let work = view.work(&workspace, &WorkId::parse("job").unwrap()).unwrap().unwrap();
    assert_eq!((work.state, work.container.id()), (WorkState::Submitted, "thread_work"));
    let channel = view.channel(&workspace, &ChannelName::parse("builders").unwrap()).unwrap().unwrap();
    assert_eq!((channel.message_count, channel.threads, channel.open_work), (3, 4, 1));
    let thread = |id: &str| {
        let id = ThreadId::parse(id).unwrap();
        view.thread(&workspace, &channel.name, &id).unwrap().unwrap().open_work_count
    };
    assert_eq!((thread("thread_work"), thread("thread_other")), (1, 0));
}

/// Version 2 is version 1 brought up to date by the program of that time, and two messages more.
#[test]
fn stores_of_versions_one_and_two_show_their_messages_in_the_streams_of_the_workspace_door() {
    for (version, in_channel, below_the_release) in [(1, 4, 1), (2, 5, 2)] {
        let folder = tempfile::tempdir().unwrap();
        fixture_of(version, folder.path());
        let store = open(folder.path(), "store.redb", node()).unwrap();
        let view = store.view().unwrap();
        let workspace = view.workspace("Workshop").unwrap().unwrap();
        let streams = view.streams(&workspace, None, |_| Ok(true), 100).unwrap();
        let channel = streams.iter().find(|stream| stream.slug.as_deref() == Some("builders")).unwrap();
        let (posts, more) = view.posts(&workspace, channel.id, Window::Newest, 100).unwrap();
        assert_eq!((posts.len(), more), (in_channel, false), "version {version}");
        let replies: Vec<_> = posts.iter().map(|post| post.replies).collect();
        assert_eq!(replies[0], below_the_release, "{replies:?}");
        let thread = posts[0].thread.expect("somebody answered");
        let (answers, _) = view.posts(&workspace, thread, Window::Newest, 100).unwrap();
        assert_eq!(answers.len() as u64, below_the_release);
        assert_eq!(view.stream(&workspace, thread).unwrap().unwrap().parent_message, Some(posts[0].id));
    }
}

#[test]
fn sessions_and_what_waits_for_them_are_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    fixture(folder.path());
    let store = open(folder.path(), "store.redb", node()).unwrap();
    let view = store.view().unwrap();
    let workspace = view.workspace("Workshop").unwrap().unwrap();
    let sessions = view.active_sessions(&workspace).unwrap();
    assert_eq!((sessions.len(), view.sessions(&workspace).unwrap().len()), (2, 3));
    let reviewer = sessions.iter().find(|session| session.agent_name == "reviewer").unwrap();
    let waits = |now_s| -> Vec<String> {
        let waiting = view.inbox(&workspace, &reviewer.id, now_s).unwrap();
        waiting.into_iter().map(|envelope| envelope.id.as_str().to_owned()).collect()
    };
    assert_eq!(waits(1_800_000_000), ["m1", "m3", "m5", "m6"]);
    assert_eq!(waits(4_000_000_000), ["m1", "m3", "m5"], "one of them expires");
}

#[test]
fn a_copy_is_made_first_and_opens_as_another_life() {
    let folder = tempfile::tempdir().unwrap();
    fixture(folder.path());
    let store = open(folder.path(), "store.redb", node()).unwrap();
    let copy = open(folder.path(), "store.redb.v1", node()).unwrap();
    assert_ne!((copy.id(), copy.incarnation()), (store.id(), store.incarnation()));
    let all = MessagePage { limit: 100, ..MessagePage::default() };
    assert_eq!(messages(&copy, "thread_release", &all), ["m1", "m2"]);
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("store.")).collect();
    names.sort();
    names
}

#[test]
fn a_migration_that_was_interrupted_begins_again_and_one_that_is_done_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    fixture(folder.path());
    fs::write(folder.path().join("store.redb.v1.new"), "half a copy").unwrap();
    let id = open(folder.path(), "store.redb", node()).unwrap().id();
    assert_eq!(names(folder.path()), ["store.redb", "store.redb.v1"]);
    let copy = fs::read(folder.path().join("store.redb.v1")).unwrap();
    assert_eq!(open(folder.path(), "store.redb", node()).unwrap().id(), id);
    assert_eq!(SCHEMA_VERSION, 3, "a new version needs a fixture of the one before");
    assert!(fs::read(folder.path().join("store.redb.v1")).unwrap() == copy);

    // A copy that was made before the power went is enough, and stays the only one.
    fixture(folder.path());
    open(folder.path(), "store.redb", node()).unwrap();
    assert_eq!(names(folder.path()), ["store.redb", "store.redb.v1"]);
    assert!(fs::read(folder.path().join("store.redb.v1")).unwrap() == copy);
}

#[test]
fn a_copy_of_something_else_stays_and_the_next_one_gets_a_name_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["store.redb.v1", "store.redb.v1.2"].map(|name| folder.path().join(name));
    fixture(folder.path());
    drop(open(folder.path(), "store.redb", node()).unwrap());
    let other_store = {
        let db = redb::Database::open(&first).unwrap();
        let txn = db.begin_write().unwrap();
        let agents = redb::TableDefinition::<&[u8; 20], &[u8]>::new("agents");
        txn.open_table(agents).unwrap().retain(|_, _| false).unwrap();
        txn.commit().unwrap();
        drop(db);
        fs::read(&first).unwrap()
    };
    let all = MessagePage { limit: 100, ..MessagePage::default() };
    for other in [other_store, b"precious".to_vec(), Vec::new()] {
        fs::write(&first, &other).unwrap();
        fixture(folder.path()); // an old backup takes the place of the store
        drop(open(folder.path(), "store.redb", node()).unwrap());
        assert!(fs::read(&first).unwrap() == other, "an earlier copy was touched");
        assert_eq!(names(folder.path()), ["store.redb", "store.redb.v1", "store.redb.v1.2"]);
        let copy = open(folder.path(), "store.redb.v1.2", node()).unwrap();
        assert_eq!(messages(&copy, "thread_release", &all), ["m1", "m2"]);
        drop(copy);
        fs::remove_file(&second).unwrap();
        fs::remove_file(folder.path().join("store.redb.v1.2.v1")).unwrap(); // of the copy that was opened
    }
}

#[test]
fn the_store_of_another_node_is_refused_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    fixture(folder.path());
    let stranger = Arc::new(Identity::from_seed([9; 32]));
    let refused = open(folder.path(), "store.redb", stranger).err().unwrap();
    assert!(matches!(refused, OpenError::OtherNode));
    assert!(!folder.path().join("store.redb.v1").exists());
}
