//! An index knows of which store it is and how far it goes; one that cannot be gone on with is emptied.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{fs, io, path::Path, sync::atomic};

use muster_protocol::ids::StoreId;
use muster_search::{Emptied, Error, Index, Mode, Position};
use support::{STORE, Shelf, message, open, query};

/// What a power loss leaves: the files as they are, without a goodbye.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            // The engine is at work; what it has just put in another's place is gone by now.
            false => match fs::copy(entry.path(), target) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                copied => _ = copied.unwrap(),
            },
        }
    }
}

/// What it is called, and what does it to a file.
type Damage = (&'static str, &'static dyn Fn(&Path));

fn three_committed() -> Shelf {
    let mut shelf = Shelf::new();
    for text in ["first bug", "second bug", "third bug"] {
        shelf.say(&[text]);
    }
    shelf
}

#[test]
fn it_goes_on_where_its_last_commit_was() {
    let shelf = three_committed().reopened(None);
    assert_eq!(shelf.index.emptied(), None);
    assert_eq!(shelf.words("bug").len(), 3);
    drop(shelf.index);
    assert_eq!(open(shelf.folder.path()).1, Position(3));
}

#[test]
fn a_new_one_is_empty_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (index, position) = open(folder.path());
    assert_eq!((index.emptied(), position), (Some(&Emptied::Missing), Position::BEGINNING));
    assert_eq!(index.documents(), 0);
}

#[test]
fn what_is_not_committed_is_not_found() {
    let mut shelf = three_committed();
    shelf.put(|_| (), "fourth bug");
    assert_eq!(shelf.words("bug").len(), 3);
    shelf.commit();
    assert_eq!(shelf.words("bug").len(), 4);
}

#[test]
fn after_a_power_loss_it_is_what_its_last_commit_was() {
    let shelf = three_committed();
    let left = tempfile::tempdir().unwrap();
    // More than the writer keeps in memory, so that files of the next commit are there already.
    let words: Vec<String> = (0..400).map(|number| format!("word{number}")).collect();
    let mut rounds = 0;
    let files = |folder: &Path| fs::read_dir(folder.join("words")).unwrap().count();
    let before = files(shelf.folder.path());
    while files(shelf.folder.path()) == before {
        rounds += 1;
        shelf
            .index
            .put(&message(100 + rounds, &format!("bug {rounds} {}", words.join(&rounds.to_string()))))
            .unwrap();
    }
    shelf.index.remove(message(1, "").id);
    copy(shelf.folder.path(), left.path());
    let (index, position) = open(left.path());
    assert_eq!((index.emptied(), position), (None, Position(3)));
    assert_eq!(index.search(&query("bug", Mode::Words)).unwrap().hits.len(), 3);
}

#[test]
fn one_of_another_store_is_emptied() {
    let shelf = three_committed();
    drop(shelf.index);
    let (index, position) = Index::open(shelf.folder.path(), StoreId([8; 16]), None).unwrap();
    assert_eq!((index.emptied(), position), (Some(&Emptied::OtherStore), Position::BEGINNING));
    assert!(index.search(&query("bug", Mode::Words)).unwrap().hits.is_empty());
    drop(index);
    // Nothing was fed to it; so for its own store, too, it begins anew.
    assert_eq!(open(shelf.folder.path()).1, Position::BEGINNING);
}

#[test]
fn one_of_an_older_format_is_emptied() {
    let shelf = three_committed();
    drop(shelf.index);
    let meta = shelf.folder.path().join("words/meta.json");
    let older = fs::read_to_string(&meta).unwrap().replace(r#"\"format\":2"#, r#"\"format\":1"#);
    fs::write(&meta, older).unwrap();
    let (index, position) = open(shelf.folder.path());
    assert_eq!((index.emptied(), position), (Some(&Emptied::OtherFormat), Position::BEGINNING));
}

#[test]
fn one_that_is_damaged_in_any_file_is_emptied_and_can_be_fed_again() {
    let shelf = three_committed();
    let whole = tempfile::tempdir().unwrap();
    copy(shelf.folder.path(), whole.path());
    let names: Vec<_> =
        fs::read_dir(whole.path().join("words")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(names.len() > 5);
    let damages: [Damage; 4] = [
        ("removed", &|path| fs::remove_file(path).unwrap()),
        ("emptied", &|path| fs::write(path, b"").unwrap()),
        ("cut", &|path| fs::write(path, &fs::read(path).unwrap()[1..]).unwrap()),
        ("overwritten", &|path| {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x55;
            fs::write(path, bytes).unwrap();
        }),
    ];
    for name in &names {
        for (damage, inflict) in &damages {
            let folder = tempfile::tempdir().unwrap();
            copy(whole.path(), folder.path());
            let path = folder.path().join("words").join(name);
            if fs::metadata(&path).unwrap().len() == 0 {
                continue; // a lock
            }
            inflict(&path);
            let (index, position) = open(folder.path());
            let hits = |index: &Index| index.search(&query("bug", Mode::Words)).unwrap().hits.len();
            match index.emptied() {
                None => assert_eq!((hits(&index), position), (3, Position(3)), "{name:?} {damage}"),
                Some(_) => {
                    assert_eq!((hits(&index), position), (0, Position::BEGINNING), "{name:?} {damage}")
                }
            }
            index.put(&message(9, "fed again: bug")).unwrap();
            index.commit(Position(9)).unwrap();
            let expected = if index.emptied().is_some() { 1 } else { 4 };
            assert_eq!(hits(&index), expected, "{name:?} {damage}");
        }
    }
}

#[test]
fn a_folder_that_is_a_file_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    fs::write(&path, b"not a folder").unwrap();
    let error = Index::open(&path, STORE, None).err().unwrap();
    assert!(matches!(error, Error::File { .. }));
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn one_folder_has_one_writer() {
    let shelf = three_committed();
    assert!(matches!(Index::open(shelf.folder.path(), STORE, None), Err(Error::InUse(_))));
    assert_eq!(shelf.words("bug").len(), 3);
}

#[test]
fn a_message_that_is_put_again_replaces_what_was_known() {
    let mut shelf = three_committed();
    let id = shelf.put(|_| (), "a bug, misspelt");
    shelf.commit();
    let mut edited = message(4, "a feature");
    assert_eq!(edited.id, id);
    shelf.index.put(&edited).unwrap();
    edited.text = "twice edited feature".into();
    shelf.index.put(&edited).unwrap();
    shelf.commit();
    assert_eq!(shelf.words("misspelt").len(), 0);
    assert_eq!(shelf.words("feature").len(), 1);
    assert_eq!(shelf.exact("twice edited").len(), 1);
    assert_eq!(shelf.index.documents(), 4);
}

#[test]
fn a_message_that_is_removed_is_found_in_no_way_and_can_come_back_w81() {
    let shelf = three_committed();
    shelf.index.remove(message(2, "").id);
    shelf.index.remove(message(77, "").id);
    shelf.commit();
    for found in [shelf.words("second"), shelf.exact("second"), shelf.semantic("second")] {
        assert!(!found.contains(&"second bug"), "{found:?}");
    }
    let shelf = shelf.reopened(None);
    assert_eq!(shelf.words("bug").len(), 2);
    shelf.index.put(&message(2, "second bug")).unwrap();
    shelf.index.remove(message(2, "").id);
    shelf.index.put(&message(2, "second bug")).unwrap();
    shelf.commit();
    assert_eq!(shelf.words("second"), ["second bug"]);
}

#[test]
fn searching_goes_on_while_it_is_written() {
    let shelf = three_committed();
    let (index, done) = (&shelf.index, &atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        let searching = scope.spawn(move || {
            let (mut searches, mut most) = (0, 3);
            while !done.load(atomic::Ordering::Acquire) {
                let mut query = query("bug", Mode::Words);
                query.limit = 1000;
                let found = index.search(&query).unwrap().hits.len();
                assert!(found >= most && (found - 3).is_multiple_of(10), "{found} after {most}");
                (most, searches) = (found, searches + 1);
            }
            (searches, most)
        });
        for commit in 1..=40 {
            for number in 0..10 {
                index.put(&message(1000 + commit * 10 + number, "another bug")).unwrap();
            }
            index.commit(Position(u64::from(commit))).unwrap();
        }
        done.store(true, atomic::Ordering::Release);
        let (searches, most) = searching.join().unwrap();
        assert!(searches > 0 && most <= 403, "{searches} searches, up to {most}");
    });
    assert_eq!(shelf.index.documents(), 403);
    let shelf = shelf.reopened(None);
    assert_eq!(
        (shelf.index.emptied(), shelf.index.documents()),
        (None, 403),
        "it stays whole when files are merged"
    );
}
