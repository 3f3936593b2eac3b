//! Opening: the right program, the right node, one process; a file that is refused stays as it is.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path, sync::Arc};

use crate::support::{Node, options};
use muster_protocol::{control::Role, identity::Identity, ids::StoreId};
use muster_storage::{Disk, OpenError, SCHEMA_VERSION, Store};
use redb::TableDefinition;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

fn try_open(folder: &Path, seed: u8) -> Result<Store, OpenError> {
    let identity = Arc::new(Identity::from_seed([seed; 32]));
    Store::open(Disk::File(folder.join("store.redb")), identity, &options(folder, 1))
}

fn refusal(opened: Result<Store, OpenError>) -> OpenError {
    opened.err().expect("it is refused")
}

fn make(folder: &Path) -> StoreId {
    let mut options = options(folder, 1);
    options.inline = false;
    let identity = Arc::new(Identity::from_seed([1; 32]));
    Store::open(Disk::File(folder.join("store.redb")), identity, &options).unwrap().id()
}

fn from_the_future(folder: &Path) {
    let db = redb::Database::open(folder.join("store.redb")).unwrap();
    let mut txn = db.begin_write().unwrap();
    txn.set_quick_repair(true);
    let version = (SCHEMA_VERSION + 1).to_be_bytes();
    txn.open_table(META).unwrap().insert("schema_version", version.as_slice()).unwrap();
    txn.commit().unwrap();
    if folder.join("crash").exists() {
        fs::copy(folder.join("store.redb"), folder.join("crashed.redb")).unwrap();
    }
}

#[test]
fn a_store_of_a_newer_program_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    from_the_future(folder.path());
    let before = fs::read(folder.path().join("store.redb")).unwrap();
    match refusal(try_open(folder.path(), 1)) {
        OpenError::Newer { found, known } => assert_eq!((found, known), (SCHEMA_VERSION + 1, SCHEMA_VERSION)),
        other => panic!("{other}"),
    }
    assert!(fs::read(folder.path().join("store.redb")).unwrap() == before, "a byte of it changed");
}

#[test]
fn a_store_of_a_newer_program_that_crashed_is_not_touched_either() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    fs::write(folder.path().join("crash"), "").unwrap();
    from_the_future(folder.path());
    fs::rename(folder.path().join("crashed.redb"), folder.path().join("store.redb")).unwrap();
    let before = fs::read(folder.path().join("store.redb")).unwrap();
    assert!(matches!(refusal(try_open(folder.path(), 1)), OpenError::Newer { .. }));
    assert!(fs::read(folder.path().join("store.redb")).unwrap() == before, "a byte of it changed");
}

#[test]
fn a_store_belongs_to_one_node() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    assert!(matches!(refusal(try_open(folder.path(), 2)), OpenError::OtherNode));
    assert!(try_open(folder.path(), 1).is_ok());
}

#[test]
fn a_store_is_open_once_and_free_again_when_its_last_handle_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let id = make(folder.path());
    for _ in 0..20 {
        assert_eq!(make(folder.path()), id, "the writer thread lets go of the file at once");
    }
    let first = try_open(folder.path(), 1).unwrap();
    let handle = first.clone();
    drop(first);
    assert!(matches!(refusal(try_open(folder.path(), 1)), OpenError::InUse));
    drop(handle);
    assert!(try_open(folder.path(), 1).is_ok());
}

#[test]
fn a_file_that_a_crash_left_half_made_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("store.redb.new"), vec![0; 5000]).unwrap();
    make(folder.path());
    assert!(!folder.path().join("store.redb.new").exists());
    assert!(try_open(folder.path(), 1).is_ok());
}

#[test]
fn a_file_that_is_no_store_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    fs::write(&path, "a letter to my mother").unwrap();
    assert!(matches!(refusal(try_open(folder.path(), 1)), OpenError::Store(_)));
    assert_eq!(fs::read_to_string(&path).unwrap(), "a letter to my mother");
}

#[test]
fn what_is_remembered_is_read_back_when_a_store_opens() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Node::open(Disk::File(folder.path().join("store.redb")), 1, 1).unwrap();
    let (space, coder) = {
        let node = open();
        let space = node.found();
        node.invite(space, Role::Member, 1);
        (space, node.session(space, "coder", "builders"))
    };
    let node = open();
    assert_eq!(node.store.control(space).unwrap().height(), 2);
    assert_eq!(node.view().session(&node.workspace(space), &coder.id).unwrap().unwrap().peer, coder.peer);
    node.fresh();
    node.invite(space, Role::Member, 1);
    assert_eq!(node.store.control(space).unwrap().height(), 3, "the control log goes on where it was");
}
