//! What `verify` says of a store: everything in it, or what is wrong with it; and nothing of the file changes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path, sync::mpsc};

use crate::support::{Node, link::exchange};
use muster_protocol::control::Role;
use muster_storage::{
    Batch, Disk,
    crash::{CrashDisk, Fault},
    put_in_place, verify,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use redb::StorageBackend;

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

/// What stands on a disk after a crash, in a file.
fn write_out(disk: &CrashDisk, file: &Path) {
    let mut bytes = vec![0; usize::try_from(disk.len().unwrap()).unwrap()];
    disk.read(0, &mut bytes).unwrap();
    fs::write(file, bytes).unwrap();
}

/// A node that talks until its disk fails after so many calls. What it left, and how much of its log was acknowledged.
fn cut_off(dice: &mut ChaCha8Rng) -> (CrashDisk, u64) {
    let disk = CrashDisk::new();
    let bob = Node::open(Disk::Backend(Box::new(disk.clone())), 2, 2).unwrap();
    let space = bob.found();
    let tester = bob.session(space, "tester", "builders");
    disk.fail_after(dice.random_range(0..150), Fault::Output);
    for number in 0.. {
        let text = "x".repeat(dice.random_range(1..9000));
        let envelope = bob.envelope(space, &tester, "thread_one", &format!("b{number}"), &text);
        let json = envelope.to_json().unwrap();
        let (reply, replied) = mpsc::channel();
        let work = move |batch: &mut Batch<'_>| batch.send(space, None, &envelope, json);
        let taken = bob.store.write(bob.tick(), work, move |_| reply.send(()).unwrap());
        if taken.is_err() || replied.recv().is_err() {
            // Killed as by `kill -9`, or without power.
            if dice.random() {
                disk.kill()
            } else {
                disk.power_cut(|| dice.next_u64())
            }
            return (disk.image(), number);
        }
    }
    unreachable!("the disk fails at last")
}

#[test]
fn what_a_crash_left_is_sound_and_still_whatever_is_damaged_in_it_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("left.redb");
    let mut dice = ChaCha8Rng::seed_from_u64(1);
    let mut found = 0;
    for _ in 0..100 {
        let (left, said) = cut_off(&mut dice);
        write_out(&left, &file);
        let (whole, bytes) = (verify(&file).unwrap(), fs::read(&file).unwrap());
        assert!(whole.heights.values().sum::<u64>() >= said, "of {said} messages {whole:?} is left");
        let bob = Node::open(Disk::Backend(Box::new(left)), 2, 2).unwrap();
        assert_eq!(whole.workspaces.len(), bob.view().workspaces().unwrap().len());
        let used: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        for _ in 0..5 {
            let mut damaged = bytes.clone();
            damaged[used[dice.random_range(0..used.len())]] ^= 1 << dice.random_range(0..8);
            fs::write(&file, damaged).unwrap();
            match verify(&file) {
                Ok(read) => assert_eq!(read, whole, "a flip is read as something else"),
                Err(_) => found += 1,
            }
        }
    }
    assert!(found > 10, "only {found} were found");
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
