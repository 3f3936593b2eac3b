//! `muster restore` with real folders and real stores: what it says, what it refuses, and that what fails or is killed
//! leaves the store as it was.
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, fail by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use muster::data_folder::DataFolder;
use muster_protocol::{control::Genesis, ids::WorkspaceId};
use muster_storage::{Disk, Options, Store};
use serde_json::Value;

const NOW_MS: u64 = 1_800_000_000_000;

/// The key of the node that wrote the kept store of schema 1. It was made for it.
const OLD_SEED: &str = "0f0ef328816b651fab7794405de0d91ae567cdeabdf77c50ecd09c59a8bff140";

/// A data folder with a store that holds two workspaces, and beside it a backup that holds the first.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        let folder = DataFolder::open(place.folder()).unwrap();
        let identity = Arc::new(folder.load_or_make_identity(&|bytes| bytes.fill(7)).unwrap());
        let options = Options {
            cache_bytes: 1 << 20,
            inbox_depth: 3,
            inline: true,
            fresh: [7; 24],
            blobs: folder.blobs_path(),
        };
        let store = Store::open(Disk::File(folder.store_path()), identity.clone(), &options).unwrap();
        let found = |name: &str, number| {
            let genesis = Genesis {
                workspace: WorkspaceId::new(NOW_MS, [number; 10]),
                name: name.to_owned(),
                founder: identity.node(),
                founder_name: "ada".to_owned(),
                created_ms: NOW_MS,
                parent: Vec::new(),
            };
            store.write(NOW_MS, move |batch| batch.found(&genesis), |_| {}).unwrap();
        };
        found("garden", 1);
        store.backup(&place.backup()).unwrap();
        found("kitchen", 2);
        place
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("node")
    }

    fn backup(&self) -> PathBuf {
        self.0.path().join("backup.redb")
    }

    fn store(&self) -> PathBuf {
        self.folder().join("store.redb")
    }

    /// Every file of the data folder; that somebody took the lock shows nowhere.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let paths = fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().path());
        let files = paths.filter(|path| path.is_file() && !path.ends_with("lock"));
        files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear();
        command
    }

    fn run(&self, words: &[&str], file: &Path) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_muster"));
        command.arg("--data").arg(self.folder()).args(words).arg(file).output().unwrap()
    }

    fn json(&self, words: &[&str], file: &Path) -> Value {
        let output = self.run(&[&["-o", "json"], words].concat(), file);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn text(&self, words: &[&str], file: &Path) -> String {
        let output = self.run(words, file);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Restores where no file may grow beyond 100 KiB, as on a full disk; with `ignore` the program is told, else it is
    /// killed.
    fn on_a_full_disk(&self, ignore: &str) -> Output {
        let limited = format!("{ignore} ulimit -f 200; exec \"$0\" \"$@\"");
        let mut command = self.command("/bin/sh");
        command.args(["-c", &limited, env!("CARGO_BIN_EXE_muster"), "--data"]).arg(self.folder());
        command.args(["restore"]).arg(self.backup()).output().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_look_tells_what_would_be_done_and_changes_nothing() {
    let place = Place::new();
    let before = place.files();
    let told = place.json(&["restore", "--dry-run"], &place.backup());
    assert_eq!(
        (&told["restored"], &told["checked"], &told["refused"]),
        (&false.into(), &"everything".into(), &Value::Null)
    );
    assert_eq!((&told["workspaces"][0]["name"], &told["only_in_replaced"]), (&"garden".into(), &1.into()));
    let shown = place.text(&["restore", "--dry-run"], &place.backup());
    assert!(shown.contains("read from end to end") && shown.contains("leave out --dry-run"), "{shown}");
    assert!(place.files() == before, "a look changed something");
}

#[test]
fn what_was_replaced_is_named_each_time_until_its_owner_deletes_it() {
    let place = Place::new();
    let former = fs::read(place.store()).unwrap();
    let first = place.json(&["restore"], &place.backup());
    assert_eq!((&first["restored"], &first["kept_before"]), (&true.into(), &Value::Array(Vec::new())));
    let kept = first["replaced"].as_str().unwrap();
    assert!(fs::read(kept).unwrap() == former, "the former store is another one");
    // Again, perhaps within the same second.
    let shown = place.text(&["restore"], &place.backup());
    assert!(shown.contains("yours to delete when you need it no more"), "{shown}");
    assert!(shown.contains(&format!("kept from earlier restores, and yours to delete: {kept}\n")), "{shown}");
    assert!(fs::read(kept).unwrap() == former, "the former store was touched");
    // And back.
    let back = place.json(&["restore"], Path::new(kept));
    assert_eq!(back["workspaces"].as_array().unwrap().len(), 2);
    assert_eq!(back["kept_before"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_no_store_is_refused_and_nothing_is_changed() {
    let place = Place::new();
    let [nowhere, other, empty] = ["nowhere", "other", "empty"].map(|name| place.0.path().join(name));
    fs::write(&other, "a letter to somebody").unwrap();
    fs::write(&empty, "").unwrap();
    let before = place.files();
    for file in [&nowhere, &other, &empty, &place.folder()] {
        for words in [&["-o", "json", "restore"][..], &["-o", "json", "restore", "--dry-run"]] {
            let output = place.run(words, file);
            assert_eq!(output.status.code(), Some(1), "{}", file.display());
            let error: Value = serde_json::from_slice(&output.stderr).unwrap();
            assert_eq!(error["code"], "not_restored", "{error}");
            assert!(error["error"].as_str().unwrap().contains(file.to_str().unwrap()), "{error}");
            assert!(place.files() == before, "{} changed something", file.display());
        }
    }
}

#[test]
fn the_store_itself_and_the_copy_that_is_being_made_are_no_backups() {
    let place = Place::new();
    let half = place.folder().join("store.redb.restoring");
    fs::copy(place.backup(), &half).unwrap();
    let before = place.files();
    for (file, why) in [(place.store(), "nothing to restore"), (half.clone(), "rename that first: mv ")] {
        let output = place.run(&["restore"], &file);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
        let look = place.json(&["restore", "--dry-run"], &file);
        assert!(look["refused"].as_str().unwrap().contains(why), "{look}");
        assert_eq!((&look["replaced"], &look["restored"]), (&Value::Null, &false.into()));
        let shown = place.text(&["restore", "--dry-run"], &file);
        assert!(shown.contains(why) && !shown.contains("leave out --dry-run"), "{shown}");
        assert!(place.files() == before, "{} changed something", file.display());
    }
    let kept = place.folder().join("store.redb.restoring.kept");
    fs::rename(half, &kept).unwrap();
    assert_eq!(place.json(&["restore"], &kept)["restored"], true);
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was_and_no_half_of_a_copy() {
    let place = Place::new();
    let before = place.files();
    let output = place.on_a_full_disk("trap '' XFSZ;");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("the store is as it was"), "{}", text(&output.stderr));
    assert!(place.files() == before, "something was left behind");
}

#[test]
fn a_restore_that_was_killed_leaves_the_store_as_it_was_and_the_next_one_succeeds() {
    let place = Place::new();
    let before = place.files();
    let killed = place.on_a_full_disk("");
    assert!(killed.status.signal().is_some(), "it was to be killed, and: {}", text(&killed.stderr));
    let half = place.folder().join("store.redb.restoring");
    assert!(half.exists(), "it was killed before it began");
    fs::remove_file(&half).unwrap();
    assert!(place.files() == before, "it changed what was there");

    assert!(place.on_a_full_disk("").status.signal().is_some());
    assert_eq!(place.json(&["restore"], &place.backup())["only_in_replaced"], 1);
    assert!(!half.exists());
}

#[test]
fn of_an_earlier_schema_no_more_is_said_to_be_read_than_was() {
    let home = tempfile::tempdir().unwrap();
    let place = Place(home);
    drop(DataFolder::open(place.folder()).unwrap());
    let key = place.folder().join("node.key");
    fs::write(&key, format!("muster node key v1\n{OLD_SEED}\n")).unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("../storage/tests/fixtures/store-v1.redb");
    assert_eq!(place.json(&["restore", "--dry-run"], &old)["checked"], "checksums_and_owner");
    let shown = place.text(&["restore"], &old);
    assert!(
        shown.contains("its checksums and its owner were checked") && shown.contains("muster up"),
        "{shown}"
    );
    assert!(!shown.contains("end to end"), "{shown}");
}
