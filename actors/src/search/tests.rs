//! Feeding and finding memos: a real store in memory, a real index in a folder, and nobody in between.

use std::sync::{Arc, mpsc};

use muster_protocol::{
    control::Role,
    identity::Identity,
    ids::{SpaceId, WorkspaceId},
    limits::MEMO_SEARCH_LOOKED_AT_MAX,
    memo::{Knowledge, MemoText, Wanted},
    principal::Principal,
};
use muster_search::Index;
use muster_storage::{
    Batch, Disk, MemoQuery, MemoReader, NewMemo, Options, Store, StoreError, crash::CrashDisk,
};
use tempfile::TempDir;
use ulid::Ulid;

use super::{FoundMemos, feed_some, feed_written, find_memos};

const NOW_MS: u64 = 1_800_000_000_000;

struct Room {
    store: Store,
    space: SpaceId,
    folder: TempDir,
}

impl Room {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = Arc::new(Identity::from_seed([1; 32]));
        let blobs = folder.path().join("blobs");
        let options = Options { cache_bytes: 64 << 20, inbox_depth: 1, inline: true, fresh: [1; 24], blobs };
        let disk = Disk::Backend(Box::new(CrashDisk::new()));
        let store = Store::open(disk, identity.clone(), &options).unwrap();
        let genesis = muster_protocol::control::Genesis {
            workspace: WorkspaceId::new(NOW_MS, [1; 10]),
            name: "Workshop".into(),
            founder: identity.node(),
            founder_name: "founder".into(),
            created_ms: NOW_MS,
            parent: Vec::new(),
        };
        let mut room = Self { store, space: SpaceId([0; 32]), folder };
        room.space = room.write(0, move |batch| batch.found(&genesis));
        assert_eq!(room.store.view().unwrap().workspaces().unwrap()[0].role, Some(Role::Owner));
        room
    }

    fn write<T, W>(&self, after_ms: u64, work: W) -> T
    where
        T: Send + 'static,
        W: FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, replied) = mpsc::channel();
        self.store.write(NOW_MS + after_ms, work, move |result| reply.send(result).unwrap()).unwrap();
        replied.recv().unwrap()
    }

    /// Writes these memos for everybody, a second after the ones before.
    fn memos(&self, second: u64, memos: Vec<(String, String)>) {
        let space = self.space;
        self.write(second * 1000, move |batch| {
            for (number, (title, tag)) in (0u32..).zip(memos) {
                let knowledge = Knowledge::Learning;
                let (summary, key_points, tags) = ("By hand.".into(), Vec::new(), vec![tag]);
                let text = MemoText { knowledge, title, summary, key_points, tags };
                let mut random = [0; 5];
                random[..4].copy_from_slice(&number.to_be_bytes());
                let written = batch.write_memo(space, NewMemo { text, sources: Vec::new(), random })?;
                assert!(written.is_ok(), "{written:?}");
            }
            Ok(())
        });
    }

    fn index(&self, name: &str) -> Index {
        Index::open(&self.folder.path().join(name), self.store.id(), None).unwrap().0
    }

    fn fed(&self, name: &str) -> Index {
        let index = self.index(name);
        let mut fed = 0;
        while fed < self.store.last_event() {
            fed = feed_some(&index, &self.store, fed).unwrap();
        }
        index
    }

    fn find(&self, index: Option<&Index>, typed: &str, tags: &[&str]) -> FoundMemos {
        let view = self.store.view().unwrap();
        let workspace = view.workspaces().unwrap().remove(0);
        let principal = Principal::User(Ulid::nil());
        let reader = MemoReader { principal, now_ms: NOW_MS, quiet_ms: 0 };
        let query = MemoQuery {
            wanted: Wanted::read(typed, false),
            streams: None,
            on_message: Vec::new(),
            knowledge: Vec::new(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            after_ms: None,
            before_ms: None,
            limit: 20,
        };
        find_memos(index, (&view, &workspace), &reader, &query, typed).unwrap()
    }

    fn titles(&self, index: Option<&Index>, typed: &str, tags: &[&str]) -> Vec<String> {
        self.find(index, typed, tags).memos.into_iter().map(|memo| memo.text.title).collect()
    }
}

#[test]
fn the_oldest_of_thirty_thousand_memos_is_found_by_word_by_text_and_by_tag_w92_w94() {
    const COUNT: usize = 30_000;
    const { assert!(COUNT > MEMO_SEARCH_LOOKED_AT_MAX) };
    let room = Room::new();
    room.memos(0, vec![("the zeppelin lands".into(), "airships".into())]);
    for second in 1..=30 {
        room.memos(second, vec![("backups nightly".to_owned(), "ops".to_owned()); COUNT / 30]);
    }
    let index = room.fed("index");
    for typed in ["zeppelin", "landing zeppelins", "\"ZEPPELIN L\""] {
        assert_eq!(room.titles(Some(&index), typed, &[]), ["the zeppelin lands"], "{typed}");
    }
    assert_eq!(
        room.titles(Some(&index), "", &["airships"]),
        ["the zeppelin lands"],
        "browsing goes on in the index"
    );
    assert_eq!(room.titles(Some(&index), "nightly", &["airships"]), [""; 0]);
    assert_eq!(room.titles(Some(&index), "nightly", &["ops"]).len(), 20);
    // What is not open yet cannot help: the memos changed last, by their words alone.
    assert_eq!(room.titles(None, "zeppelin", &[]), [""; 0]);
    assert_eq!(room.titles(None, "nightly", &[]).len(), 20);
}

#[test]
fn meaning_finds_what_words_do_not_and_distances_only_grow_w92_w95() {
    let room = Room::new();
    let titles = ["the release broke", "the deployment stands", "roses"];
    room.memos(0, titles.map(|title| (title.to_owned(), "t".to_owned())).to_vec());
    let index = room.fed("index");
    let found = room.find(Some(&index), "deployment failed", &[]);
    let titles: Vec<_> = found.memos.iter().map(|memo| memo.text.title.as_str()).collect();
    assert_eq!(titles, ["the deployment stands", "the release broke"]);
    assert_eq!(found.tier, Some("lexical"));
    assert!(found.memos.is_sorted_by_key(|memo| (memo.distance * 1e6) as i64));
    assert!(found.memos.iter().all(|memo| (0.0..1.0).contains(&memo.distance)));
    let without = room.find(None, "deployment failed", &[]);
    assert_eq!((without.memos.len(), without.tier), (1, None), "words alone");
}

#[test]
fn memos_that_no_event_tells_of_are_fed_into_an_empty_index() {
    let room = Room::new();
    room.memos(0, vec![("the zeppelin lands".into(), "airships".into())]);
    let index = room.index("index");
    feed_written(&index, &room.store.view().unwrap()).unwrap();
    index.commit(muster_search::Position(1)).unwrap();
    assert_eq!(room.titles(Some(&index), "zeppelin", &[]), ["the zeppelin lands"]);
}
