//! Putting a backup in place: at every step there is a store that opens, the old one or the new one; what fails leaves
//! nothing behind; and neither the backup nor what was there is ever lost.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::Node;
use muster_protocol::ids::SpaceId;
use muster_storage::{Disk, put_in_place, verify};

/// What was said before the backup, and after it.
const OLD: [&str; 2] = ["before the backup", "after the backup"];
const NEW: [&str; 1] = ["before the backup"];

/// A folder with a store, and beside it a backup of the store as it was before the last message.
struct Place {
    home: tempfile::TempDir,
    space: SpaceId,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("node")).unwrap();
        let store = home.path().join("node/store.redb");
        let ada = Node::open(Disk::File(store), 1, 1).unwrap();
        let space = ada.found();
        let coder = ada.session(space, "coder", "builders");
        ada.say(space, &coder, "thread_one", "m1", OLD[0]);
        ada.store.backup(&home.path().join("backup.redb")).unwrap();
        ada.say(space, &coder, "thread_one", "m2", OLD[1]);
        Self { home, space }
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("node")
    }

    fn backup(&self) -> PathBuf {
        self.home.path().join("backup.redb")
    }

    fn store(&self) -> PathBuf {
        self.folder().join("store.redb")
    }

    /// A name beside the store that begins as the store's.
    fn beside(&self, ending: &str) -> PathBuf {
        self.folder().join(format!("store.redb.{ending}"))
    }

    /// What the store in a file tells. It is opened as another one, so that what is looked at stays as it is.
    fn told_by(&self, file: &Path) -> Vec<String> {
        let look = self.home.path().join("look.redb");
        fs::copy(file, &look).unwrap();
        Node::open(Disk::File(look), 1, 9).unwrap().texts(self.space, "builders", "thread_one")
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder()).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// One step of a restore, done by hand.
type Step<'a> = &'a dyn Fn(&Place);

#[test]
fn wherever_it_was_cut_off_a_store_opens_and_the_next_attempt_succeeds() {
    let half = |place: &Place| {
        let bytes = fs::read(place.backup()).unwrap();
        fs::write(place.beside("restoring"), &bytes[..bytes.len() / 2]).unwrap();
    };
    let whole = |place: &Place| assert!(fs::copy(place.backup(), place.beside("restoring")).unwrap() > 0);
    let linked = |place: &Place| fs::hard_link(place.store(), place.beside("replaced-1")).unwrap();
    let renamed = |place: &Place| fs::rename(place.beside("restoring"), place.store()).unwrap();
    let steps: [(&[Step<'_>], &[&str]); 4] = [
        (&[&half], &OLD),
        (&[&whole], &OLD),
        (&[&whole, &linked], &OLD),
        (&[&whole, &linked, &renamed], &NEW),
    ];
    for (done, expected) in steps {
        let place = Place::new();
        done.iter().for_each(|step| step(&place));
        assert_eq!(place.told_by(&place.store()), expected);
        put_in_place(&place.backup(), &place.store(), Some(&place.beside("replaced-2"))).unwrap();
        assert_eq!(place.told_by(&place.store()), NEW);
        assert_eq!(place.told_by(&place.beside("replaced-2")), expected);
        assert!(verify(&place.store()).unwrap().is_marked);
        assert!(!place.beside("restoring").exists());
    }
}

#[test]
fn what_fails_leaves_the_store_and_nothing_else() {
    let place = Place::new();
    let before = fs::read(place.store()).unwrap();
    let damaged = place.home.path().join("damaged.redb");
    let mut bytes = fs::read(place.backup()).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&damaged, bytes).unwrap();
    let nowhere = place.home.path().join("nowhere.redb");
    for bad in [&damaged, &nowhere, &place.folder()] {
        assert!(put_in_place(bad, &place.store(), Some(&place.beside("replaced"))).is_err());
        assert_eq!(place.names(), ["store.redb"], "after {}", bad.display());
    }
    fs::write(place.beside("replaced"), "precious").unwrap();
    assert!(put_in_place(&place.backup(), &place.store(), Some(&place.beside("replaced"))).is_err());
    assert_eq!(place.names(), ["store.redb", "store.redb.replaced"]);
    assert_eq!(fs::read_to_string(place.beside("replaced")).unwrap(), "precious");
    assert!(fs::read(place.store()).unwrap() == before, "the store was touched");
}

#[test]
fn a_source_that_would_be_written_over_is_refused_under_every_name() {
    let place = Place::new();
    for own in [place.beside("restoring"), place.store()] {
        if !own.exists() {
            fs::copy(place.backup(), &own).unwrap();
        }
        let (hard, soft) = (place.home.path().join("hard"), place.home.path().join("soft"));
        fs::hard_link(&own, &hard).unwrap();
        symlink(&own, &soft).unwrap();
        let (before, names) = (fs::read(&own).unwrap(), place.names());
        for name in [&own, &hard, &soft] {
            let refused = put_in_place(name, &place.store(), Some(&place.beside("replaced")));
            let why = refused.err().unwrap_or_else(|| panic!("{} was taken", name.display())).to_string();
            assert!(why.contains(name.to_str().unwrap()), "{why}");
            assert!(fs::read(&own).unwrap() == before, "{} was touched", name.display());
            assert_eq!(place.names(), names);
        }
        [hard, soft].iter().for_each(|name| fs::remove_file(name).unwrap());
    }
}

#[test]
fn a_name_that_leads_elsewhere_is_not_written_through() {
    let place = Place::new();
    let elsewhere = place.home.path().join("elsewhere");
    symlink(&elsewhere, place.beside("restoring")).unwrap();
    put_in_place(&place.backup(), &place.store(), None).unwrap();
    assert!(!elsewhere.exists());
    assert_eq!(fs::metadata(place.store()).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Set for the part of the next test that another user plays.
const ELSEWHERE: &str = "MUSTER_TEST_STORE";

#[test]
fn that_the_disk_did_not_confirm_it_is_not_told_as_if_nothing_was_done() {
    // A folder that can be written and not read cannot be synced either; but by root, who may do everything.
    if let Some(store) = std::env::var_os(ELSEWHERE).map(PathBuf::from) {
        let backup = store.with_file_name("source.redb");
        let before = put_in_place(&backup, &store, Some(&store.with_extension("replaced"))).unwrap_err();
        assert!(before.to_string().contains("as it was"), "{before}");
        assert!(!verify(&store).unwrap().is_marked);
        let after = put_in_place(&backup, &store, None).unwrap_err().to_string();
        assert!(after.contains("in place") && !after.contains("as it was"), "{after}");
        assert!(verify(&store).unwrap().is_marked);
        return;
    }
    let place = Place::new();
    fs::copy(place.backup(), place.folder().join("source.redb")).unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(place.home.path(), 0o755);
    for name in ["source.redb", "store.redb"] {
        mode(&place.folder().join(name), 0o666);
    }
    mode(&place.folder(), 0o333);
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.env(ELSEWHERE, place.store()).args(["--exact", std::thread::current().name().unwrap()]);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        other.uid(65534).gid(65534);
    }
    let told = other.output().unwrap();
    mode(&place.folder(), 0o755);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout));
    assert_eq!(place.names(), ["source.redb", "store.redb"]);
}
