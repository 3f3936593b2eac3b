//! Backups: consistent, verified, private, and unable to contradict the original.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path};

use crate::support::{
    Node,
    link::{exchange, exchange_all},
};
use muster_protocol::control::Role;
use muster_storage::{BackupError, Disk};

fn open(path: &Path, seed: u8, fresh: u8) -> Node {
    Node::open(Disk::File(path.to_owned()), seed, fresh).unwrap()
}

#[test]
fn a_restored_backup_never_uses_a_number_again() {
    let folder = tempfile::tempdir().unwrap();
    let (ada, eve) = (Node::new(1), Node::new(3));
    let space = ada.found();
    eve.join(&ada, space, Role::Member);
    let bob = open(&folder.path().join("store.redb"), 2, 2);
    bob.join(&ada, space, Role::Member);
    let tester = bob.session(space, "tester", "builders");
    bob.say(space, &tester, "thread_one", "b1", "before the backup");
    let copy = folder.path().join("backup.redb");
    assert!(bob.store.backup(&copy).unwrap() > 0);
    bob.say(space, &tester, "thread_one", "b2", "after the backup");
    exchange(&ada, &bob);
    let old = (bob.store.id(), bob.store.incarnation());
    drop(bob);

    let restored = open(&copy, 2, 20);
    assert_ne!((restored.store.id(), restored.store.incarnation()), old);
    assert_eq!(restored.texts(space, "builders", "thread_one"), ["before the backup"]);
    restored.now_ms.set(ada.now_ms.get() + 60_000);
    ada.now_ms.set(restored.now_ms.get());
    restored.say(space, &tester, "thread_one", "b3", "after the restore");
    exchange_all(&[&ada, &restored, &eve], space);
    for node in [&ada, &restored, &eve] {
        let expected = ["before the backup", "after the backup", "after the restore"];
        assert_eq!(node.texts(space, "builders", "thread_one"), expected);
        assert_eq!(node.heights(space).len(), 2, "two lives, two logs, no fork");
    }
    drop(restored);
    let lives = [21, 22].map(|fresh| open(&copy, 2, fresh).store.incarnation());
    assert_eq!(lives[0], lives[1], "a copy takes a new life once");
    assert_ne!(lives[0], old.1);
}

#[test]
fn a_backup_of_a_log_that_followed_a_closed_one_begins_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (ada, bob) = (Node::new(1), Node::new(2));
    let space = ada.found();
    bob.join(&ada, space, Role::Member);
    let tester = bob.session(space, "tester", "builders");
    bob.say(space, &tester, "thread_one", "b1", "first stay");
    exchange(&ada, &bob);
    ada.remove(space, &bob);
    bob.join(&ada, space, Role::Member);
    bob.say(space, &tester, "thread_one", "b2", "second stay");
    let copy = folder.path().join("backup.redb");
    bob.store.backup(&copy).unwrap();
    let restored = open(&copy, 2, 20);
    restored.now_ms.set(bob.now_ms.get());
    bob.say(space, &tester, "thread_one", "b3", "the original goes on");
    restored.say(space, &tester, "thread_one", "r3", "so does the copy");
    exchange_all(&[&ada, &bob], space);
    exchange_all(&[&ada, &restored], space);
    assert_eq!(ada.texts(space, "builders", "thread_one").len(), 4);
    assert_eq!(ada.heights(space).len(), 3);
}

#[test]
fn a_backup_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::new(1);
    node.found();
    let path = folder.path().join("precious.txt");
    fs::write(&path, "precious").unwrap();
    assert!(matches!(node.store.backup(&path), Err(BackupError::Exists(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let nowhere = folder.path().join("no/such/folder");
    assert!(matches!(node.store.backup(&nowhere), Err(BackupError::Write(_))));
}

#[cfg(unix)]
#[test]
fn a_backup_is_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let node = Node::new(1);
    node.found();
    let path = folder.path().join("backup.redb");
    node.store.backup(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_backup_shows_what_the_original_shows() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::new(1);
    let space = node.found();
    let (coder, tester) =
        (node.session(space, "coder", "builders"), node.session(space, "tester", "builders"));
    for number in 0..50 {
        let thread = format!("thread_{:03}", number % 7);
        node.say(space, &coder, &thread, &format!("m{number}"), "text");
    }
    let path = folder.path().join("backup.redb");
    node.store.backup(&path).unwrap();
    let copy = open(&path, 1, 9);
    assert_eq!(copy.picture(space), node.picture(space));
    assert_eq!(copy.inbox(space, &tester), node.inbox(space, &tester));
    assert_eq!(copy.view().events(0, 1000).unwrap(), node.view().events(0, 1000).unwrap());
    assert_eq!(copy.digest(space), node.digest(space));
}
