//! The writer: group commit, backpressure, order of replies, and how it ends.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
    mpsc,
};

use crate::support::{Node, options};
use muster_protocol::{identity::Identity, limits};
use muster_storage::{Changes, Disk, Listener, NotTaken, SendOutcome, Store, StoreError, crash::CrashDisk};

/// A node whose store has its writer thread.
fn threaded(disk: &CrashDisk) -> (Node, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path(), 1);
    options.inline = false;
    let mut node = Node::new(1);
    let backend = Disk::Backend(Box::new(disk.clone()));
    node.store = Store::open(backend, node.identity.clone(), &options).unwrap();
    (node, folder)
}

/// Keeps the writer busy until what is returned is dropped.
fn hold(store: &Store) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let work = move |_: &mut muster_storage::Batch<'_>| {
        begun.send(()).unwrap();
        let _ = released.recv();
        Ok(())
    };
    store.write(1, work, |()| {}).unwrap();
    has_begun.recv().unwrap();
    release
}

#[derive(Default)]
struct Told {
    commits: Mutex<Vec<u64>>,
    failures: AtomicU32,
}

struct Ears(Arc<Told>);

impl Listener for Ears {
    fn committed(&self, changes: Changes) {
        self.0.commits.lock().unwrap().push(changes.last_event);
    }
    fn failed(&self, _: &StoreError) {
        self.0.failures.fetch_add(1, Ordering::SeqCst);
    }
}

fn listen(store: &Store) -> Arc<Told> {
    let told = Arc::new(Told::default());
    store.listen(Box::new(Ears(told.clone())));
    told
}

#[test]
fn sixty_four_writers_at_once_share_a_commit() {
    let disk = CrashDisk::new();
    let (node, _folder) = threaded(&disk);
    let space = node.found();
    let coder = node.session(space, "coder", "builders");
    let held = hold(&node.store);
    let told = listen(&node.store);
    let syncs = disk.calls().syncs;
    let (reply, replies) = mpsc::channel();
    let envelopes: Vec<_> =
        (0..64).map(|n| node.envelope(space, &coder, "thread_one", &format!("m{n}"), "text")).collect();
    std::thread::scope(|scope| {
        for envelope in &envelopes {
            let (store, reply, now_ms) = (&node.store, reply.clone(), node.now_ms.get());
            scope.spawn(move || {
                let (envelope, json) = (envelope.clone(), envelope.to_json().unwrap());
                let work =
                    move |batch: &mut muster_storage::Batch<'_>| batch.send(space, None, &envelope, json);
                store.write(now_ms, work, move |outcome| reply.send(outcome).unwrap()).unwrap();
            });
        }
    });
    drop((held, reply));
    let mut sequences: Vec<u64> = replies
        .iter()
        .map(|outcome| match outcome {
            SendOutcome::Stored { sequence } => sequence,
            other => panic!("{other:?}"),
        })
        .collect();
    sequences.sort_unstable();
    assert!(sequences.into_iter().eq(1..=64));
    node.store.close();
    let commits = told.commits.lock().unwrap().len();
    assert_eq!(commits, 2, "the one that held the writer, and all 64");
    assert!(disk.calls().syncs - syncs < 10, "a commit is a few syncs");
}

#[test]
fn a_batch_has_a_limit() {
    let (node, _folder) = threaded(&CrashDisk::new());
    let told = listen(&node.store);
    let held = hold(&node.store);
    for _ in 0..limits::BATCH_WRITES_MAX + 1 {
        node.store.write(1, |_| Ok(()), |()| {}).unwrap();
    }
    drop(held);
    node.store.close();
    assert_eq!(told.commits.lock().unwrap().len(), 3);
}

#[test]
fn a_full_queue_says_busy_and_takes_nothing() {
    let (node, _folder) = threaded(&CrashDisk::new());
    let ran = Arc::new(AtomicU32::new(0));
    let held = hold(&node.store);
    for _ in 0..limits::WRITER_QUEUE_MAX {
        let ran = ran.clone();
        let count = move |()| {
            ran.fetch_add(1, Ordering::SeqCst);
        };
        node.store.write(1, |_| Ok(()), count).unwrap();
    }
    let refused = node.store.write(1, |_| panic!("it was refused"), |()| {});
    assert_eq!(refused, Err(NotTaken::Busy));
    drop(held);
    node.store.close();
    assert_eq!(
        ran.load(Ordering::SeqCst) as usize,
        limits::WRITER_QUEUE_MAX,
        "closing waits for all of them"
    );
    assert_eq!(node.store.write(1, |_| Ok(()), |()| {}), Err(NotTaken::Stopped));
}

#[test]
fn a_write_that_panics_stops_the_node() {
    let (node, _folder) = threaded(&CrashDisk::new());
    let space = node.found();
    let told = listen(&node.store);
    let (reply, replied) = mpsc::channel::<()>();
    let work = |_: &mut muster_storage::Batch<'_>| -> Result<(), StoreError> { panic!("a planted bug") };
    node.store.write(1, work, move |()| reply.send(()).unwrap()).unwrap();
    assert!(replied.recv().is_err(), "its reply is dropped");
    node.store.close();
    assert_eq!(told.failures.load(Ordering::SeqCst), 1);
    assert_eq!(node.store.write(1, |_| Ok(()), |()| {}), Err(NotTaken::Stopped));
    assert!(node.view().workspaces().unwrap().iter().any(|row| row.space == space), "reading goes on");
}

#[test]
fn a_write_that_finds_damage_stops_the_node_and_changes_nothing() {
    let node = Node::new(1);
    let space = node.found();
    let told = listen(&node.store);
    let work = move |batch: &mut muster_storage::Batch<'_>| -> Result<(), StoreError> {
        batch.register_agent(space, "coder", "none", "[]")?;
        Err(StoreError::Damaged("a planted bug"))
    };
    assert_eq!(node.store.write(1, work, |()| {}), Err(NotTaken::Stopped));
    assert_eq!(node.store.write(1, |_| Ok(()), |()| {}), Err(NotTaken::Stopped));
    assert_eq!(told.failures.load(Ordering::SeqCst), 1);
    assert!(node.view().agents(&node.workspace(space)).unwrap().is_empty());
}

#[test]
fn the_last_handle_may_go_away_in_a_reply() {
    let disk = CrashDisk::new();
    let (node, _folder) = threaded(&disk);
    let (done, is_done) = mpsc::channel();
    let held = hold(&node.store);
    let handle = node.store.clone();
    let reply = move |()| {
        drop(handle);
        done.send(()).unwrap();
    };
    node.store.write(1, |_| Ok(()), reply).unwrap();
    drop(node);
    drop(held);
    is_done.recv().expect("the writer does not wait for itself");
}

#[test]
fn a_reply_may_write_again_and_commits_are_told_in_order() {
    for inline in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(folder.path(), 1);
        options.inline = inline;
        let identity = Arc::new(Identity::from_seed([1; 32]));
        let store = Store::open(Disk::Backend(Box::new(CrashDisk::new())), identity, &options).unwrap();
        let told = listen(&store);
        let node = Node::new(1);
        let genesis = node.genesis("Workshop");
        let (done, is_done) = mpsc::channel();
        let again = store.clone();
        let reply = move |space| {
            let work = move |batch: &mut muster_storage::Batch<'_>| {
                batch.register_agent(space, "coder", "none", "[]")
            };
            again.write(2, work, move |new| done.send(new).unwrap()).unwrap();
        };
        store.write(1, move |batch| batch.found(&genesis), reply).unwrap();
        assert_eq!(is_done.recv(), Ok(true));
        store.close();
        assert_eq!(*told.commits.lock().unwrap(), [1, 2], "inline: {inline}");
    }
}

#[test]
fn a_reader_beside_a_writer_sees_whole_commits() {
    let (node, _folder) = threaded(&CrashDisk::new());
    let genesis: Vec<_> = (0..60)
        .map(|number| muster_protocol::control::Genesis {
            workspace: muster_protocol::ids::WorkspaceId::new(number, [9; 10]),
            ..node.genesis("many")
        })
        .collect();
    std::thread::scope(|scope| {
        let store = &node.store;
        scope.spawn(move || {
            for genesis in genesis {
                let (reply, replied) = mpsc::channel();
                let reply = move |space| reply.send(space).unwrap();
                store.write(1, move |batch| batch.found(&genesis), reply).unwrap();
                let space = replied.recv().unwrap();
                assert!(store.control(space).is_some(), "what was answered is readable");
            }
        });
        let mut seen = 0;
        while seen < 60 {
            for event in node.view().events(seen, 100).unwrap() {
                assert_eq!(event.number, seen + 1);
                assert!(event.workspace.is_some(), "an event of a space that the view does not know");
                seen = event.number;
            }
        }
    });
}

#[test]
fn a_wall_clock_that_is_set_back_is_believed() {
    let node = Node::new(1);
    let space = node.found();
    node.now_ms.set(node.now_ms.get() + 1_000_000_000);
    node.open_channel(space, "builders", "build");
    node.now_ms.set(crate::support::START_MS);
    node.open_channel(space, "garden", "dig");
    let events = node.view().events(0, 10).unwrap();
    assert_eq!(events.last().unwrap().data["at"], crate::support::START_MS + 1000);
    let times: Vec<_> = node.operations(space).iter().map(|op| op.header().hlc).collect();
    assert!(times[0] < times[1], "the times of a log still grow");
}
