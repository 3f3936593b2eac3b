//! What `verify` says of a store: everything in it, or what is wrong with it; and nothing of the file changes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{fs, path::Path};

use muster_protocol::control::Role;
use muster_storage::{Disk, put_in_place, verify};
use support::{Node, link::exchange};

fn open(path: &Path, seed: u8, fresh: u8) -> Node {
    Node::open(Disk::File(path.to_owned()), seed, fresh).unwrap()
}

/// Bob's store with messages of two nodes, and its backup.
fn backed_up(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (store, backup) = (folder.join("store.redb"), folder.join("backup.redb"));
    let ada = Node::new(1);
    let space = ada.found();
    let bob = open(&store, 2, 2);
    bob.join(&ada, space, Role::Member);
    let tester = bob.session(space, "tester", "builders");
    for number in 0..40 {
        bob.say(space, &tester, "thread_one", &format!("b{number}"), "some words that take some room");
    }
    exchange(&ada, &bob);
    bob.store.backup(&backup).unwrap();
    drop(bob);
    (store, backup)
}

#[test]
fn a_backup_is_read_whole_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, backup) = backed_up(folder.path());
    let before = fs::read(&backup).unwrap();
    let found = verify(&backup).unwrap();
    assert!(found.is_marked && !verify(&store).unwrap().is_marked);
    assert_eq!(found.bytes, before.len() as u64);
    assert_eq!(found.workspaces.len(), 1);
    assert_eq!((found.workspaces[0].members, found.workspaces[0].operations), (2, 40));
    assert_eq!(found.heights, verify(&store).unwrap().heights);
    assert_eq!(fs::read(&backup).unwrap(), before);
}

#[test]
fn flipped_bytes_are_found_or_change_nothing_that_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (_, backup) = backed_up(folder.path());
    let (whole, bytes) = (verify(&backup).unwrap(), fs::read(&backup).unwrap());
    let damaged = folder.path().join("damaged.redb");
    let mut found = 0;
    // Most of the file is room for more.
    let used: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    for at in used.iter().copied().step_by(used.len() / 150) {
        let mut copy = bytes.clone();
        copy[at] ^= 0x10;
        fs::write(&damaged, copy).unwrap();
        match verify(&damaged) {
            Ok(read) => assert_eq!(read, whole, "a flip at {at} is read as something else"),
            Err(_) => found += 1,
        }
    }
    assert!(found > 10, "only {found} were found");
}

#[test]
fn a_part_of_a_store_or_something_else_is_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let (_, backup) = backed_up(folder.path());
    let bytes = fs::read(&backup).unwrap();
    let other = folder.path().join("other");
    for part in [&[][..], b"something else", &bytes[..bytes.len() / 2]] {
        fs::write(&other, part).unwrap();
        assert!(verify(&other).is_err(), "{} bytes", part.len());
        assert_eq!(fs::read(&other).unwrap(), part);
    }
    assert!(verify(&folder.path().join("nowhere")).is_err());
}

#[test]
fn what_is_put_in_place_begins_another_life_and_what_was_there_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = backed_up(folder.path());
    let life = {
        let bob = open(&store, 2, 3);
        (bob.store.id(), bob.store.incarnation())
    };
    // A copy that nobody marked.
    let raw = folder.path().join("raw.redb");
    fs::copy(&store, &raw).unwrap();
    let (before, replaced) = (fs::read(&store).unwrap(), folder.path().join("store.redb.replaced"));
    put_in_place(&raw, &store, Some(&replaced)).unwrap();
    assert_eq!(fs::read(&replaced).unwrap(), before);
    assert!(put_in_place(&raw, &store, Some(&replaced)).is_err(), "nothing is ever overwritten");
    assert!(verify(&store).unwrap().is_marked);
    let bob = open(&store, 2, 4);
    assert_ne!((bob.store.id(), bob.store.incarnation()), life);
}
