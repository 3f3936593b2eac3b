//! Crashes: whatever happens to the disk, what was answered is there afterwards, and nothing is torn.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
    mpsc,
};

use crate::support::{
    Node, START_MS, Session, options,
    recount::{assert_counts, by_node},
    talk::{Message, Said},
};
use muster_protocol::{
    control::{ControlState, Role},
    ids::SpaceId,
    network::{ChannelName, Kind, WorkState},
    operation::Operation,
};
use muster_storage::{
    Changes, Disk, Listener, NotTaken, Prepared, SendOutcome, StoreError,
    crash::{CrashDisk, Fault},
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How many histories are cut; each is cut several times.
const SEEDS: u64 = 80;
const CUTS_EACH: usize = 4;

/// A node's disk after it was closed, and what is on it.
fn prepared() -> (CrashDisk, SpaceId, Session) {
    let disk = CrashDisk::new();
    let node = Node::open(Disk::Backend(Box::new(disk.clone())), 1, 1).unwrap();
    let space = node.found();
    let coder = node.session(space, "coder", "builders");
    node.session(space, "tester", "builders");
    drop(node);
    (disk.image(), space, coder)
}

/// The outcome, or nothing when the store did not answer.
fn try_send(node: &Node, space: SpaceId, from: &Session, id: &str, bytes: usize) -> Option<SendOutcome> {
    let envelope = node.envelope(space, from, "thread_one", id, &"x".repeat(bytes));
    let json = envelope.to_json().unwrap();
    let (reply, replied) = mpsc::channel();
    let work = move |batch: &mut muster_storage::Batch<'_>| batch.send(space, None, &envelope, json);
    node.store.write(node.tick(), work, move |outcome| reply.send(outcome).unwrap()).ok()?;
    replied.recv().ok()
}

/// Everything that has to hold of a store at any time.
fn is_whole(node: &Node, space: SpaceId) {
    let (view, workspace) = (node.view(), node.workspace(space));
    for (log, counts) in view.log_heights(space).unwrap() {
        let ops = view.log_operations(&log).unwrap();
        assert_eq!(ops.len() as u64, counts);
        for (index, op) in ops.iter().enumerate() {
            assert_eq!(op.header().seq, index as u64 + 1, "logs have no holes");
            op.verify().unwrap();
        }
        assert!(ops.windows(2).all(|pair| pair[1].header().prev == pair[0].id()));
        assert!(ops.windows(2).all(|pair| pair[1].header().hlc > pair[0].header().hlc));
    }
    let name = ChannelName::parse("builders").unwrap();
    let timeline = view.timeline(&workspace, &name, 0, usize::MAX).unwrap();
    assert!(timeline.iter().map(|(sequence, _)| *sequence).eq(1..=timeline.len() as u64));
    assert!(timeline.iter().all(|(_, row)| row.is_some()));
    let thread = node.thread(space, "builders", "thread_one");
    assert_eq!(thread.len(), timeline.len(), "log, timeline and thread tell the same");
    let listed = view.channels(&workspace).unwrap();
    assert_eq!(listed.iter().map(|row| row.message_count).sum::<u64>(), timeline.len() as u64);
    let events = view.events(0, usize::MAX).unwrap();
    assert!(events.iter().map(|event| event.number).eq(1..=node.store.last_event()));
    assert_eq!(events.iter().filter(|event| event.kind == "message").count(), timeline.len());
}

/// Opens what a crash left and checks it against what was answered; tells what is there now.
fn reopened(disk: &CrashDisk, space: SpaceId, answered: &[(String, u64)], seed: u64) -> Option<Node> {
    let node = Node::open(Disk::Backend(Box::new(disk.clone())), 1, 1).ok()?;
    is_whole(&node, space);
    let there = stored(&node, space);
    for message in answered {
        assert!(there.contains(message), "seed {seed}: {message:?} was answered, and {there:?} is there");
    }
    Some(node)
}

/// Ids and sequences of all messages.
fn stored(node: &Node, space: SpaceId) -> Vec<(String, u64)> {
    let thread = node.thread(space, "builders", "thread_one");
    thread.iter().map(|row| (row.envelope.id.as_str().to_owned(), row.sequence)).collect()
}

#[test]
fn a_power_cut_at_any_moment_loses_no_answered_send() {
    let (start, space, coder) = prepared();
    let (mut kept_unanswered, mut cut_while_opening) = (0, 0);
    for seed in 0..SEEDS {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut disk = start.image();
        let mut answered = Vec::new();
        let mut number = 0;
        for _ in 0..CUTS_EACH {
            if dice.random_ratio(1, 4) {
                disk.fail_after(dice.random_range(0..8), Fault::Output);
            }
            if let Some(node) = reopened(&disk, space, &answered, seed) {
                node.now_ms.set(node.now_ms.get() + 1_000_000 * number);
                kept_unanswered += stored(&node, space).len() - answered.len();
                answered = stored(&node, space);
                disk.fail_after(dice.random_range(0..120), Fault::Output);
                loop {
                    number += 1;
                    let id = format!("m{number}");
                    match try_send(&node, space, &coder, &id, dice.random_range(1..3000)) {
                        Some(SendOutcome::Stored { sequence }) => answered.push((id, sequence)),
                        Some(other) => panic!("seed {seed}: {other:?}"),
                        None => break,
                    }
                }
                disk.power_cut(|| dice.next_u64());
            } else {
                cut_while_opening += 1;
                disk.power_cut(|| dice.next_u64());
            }
            disk = disk.image();
        }
        assert!(reopened(&disk, space, &answered, seed).is_some(), "seed {seed} does not open any more");
    }
    assert!(kept_unanswered > 0, "no cut ever struck between a commit and its answer");
    assert!(cut_while_opening > 0, "no cut ever struck while the store opened");
}

#[test]
fn a_retry_after_a_crash_is_stored_once() {
    let (start, space, coder) = prepared();
    let (mut stored, mut repeated) = (0, 0);
    for seed in 0..400 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let disk = start.image();
        let node = Node::open(Disk::Backend(Box::new(disk.clone())), 1, 1).unwrap();
        disk.fail_after(dice.random_range(0..40), Fault::Output);
        let mut number = 0;
        while try_send(&node, space, &coder, &format!("m{number}"), 500).is_some() {
            number += 1;
        }
        disk.power_cut(|| dice.next_u64());
        drop(node);
        let node = Node::open(Disk::Backend(Box::new(disk.image())), 1, 1).unwrap();
        node.now_ms.set(node.now_ms.get() + 1_000_000);
        match try_send(&node, space, &coder, &format!("m{number}"), 500) {
            Some(SendOutcome::Stored { .. }) => stored += 1,
            Some(SendOutcome::Repeated) => repeated += 1,
            other => panic!("{other:?}"),
        }
        assert_eq!(node.thread(space, "builders", "thread_one").len(), number + 1);
        is_whole(&node, space);
    }
    assert!(stored > 0 && repeated > 0, "both happen: {stored} stored, {repeated} repeated");
}

#[test]
fn what_a_peer_sent_is_whole_after_a_power_cut() {
    for seed in 0..40 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let disk = CrashDisk::new();
        let ada = Node::open(Disk::Backend(Box::new(disk.clone())), 1, 1).unwrap();
        let space = ada.found();
        let bob = Node::new(2);
        bob.join(&ada, space, Role::Member);
        let tester = bob.session(space, "tester", "builders");
        for number in 0..20 {
            bob.say(space, &tester, "thread_one", &format!("b{number}"), "text");
        }
        let ops = bob.operations(space);
        disk.fail_after(dice.random_range(0..60), Fault::Output);
        let mut told = 0;
        for page in ops.chunks(3) {
            let control = ada.store.control(space).unwrap();
            let page: Vec<_> =
                page.iter().map(|op| muster_storage::Prepared::new(op.clone(), &control)).collect();
            let (reply, replied) = mpsc::channel();
            let work = move |batch: &mut muster_storage::Batch<'_>| batch.append_remote(space, page, 0);
            if ada.store.write(ada.tick(), work, move |report| reply.send(report).unwrap()).is_err() {
                break;
            }
            told = replied.recv().unwrap().heights[0].seq;
        }
        disk.power_cut(|| dice.next_u64());
        drop(ada);
        let ada = Node::open(Disk::Backend(Box::new(disk.image())), 1, 1).unwrap();
        is_whole(&ada, space);
        let held = ada.heights(space).first().map_or(0, |height| height.seq);
        assert!(held >= told, "seed {seed}: told a peer {told}, holds {held}");
        ada.take(space, ops);
        assert_eq!(ada.thread(space, "builders", "thread_one").len(), 20);
        is_whole(&ada, space);
    }
}

/// What a peer sends to one of ours: work in a thread and in a room, of which four messages are rejected.
fn from_a_peer(
    bob: &Node,
    space: SpaceId,
    tester: &Session,
    coder: &Session,
    to: &Node,
) -> Vec<Vec<Operation>> {
    let sent = |message: Message| {
        let alone = message.0.container.as_ref().is_some_and(|place| place.direct_id().is_some());
        let outcome = match alone {
            true => bob.send_to(space, to.identity.node(), message),
            false => bob.tell(space, message),
        };
        assert!(matches!(outcome, SendOutcome::Stored { .. }), "{outcome:?}");
    };
    let said = |id: &str, said| bob.message(space, tester, id, said);
    let expired = (START_MS / 1000) as i64;
    bob.resolve(space, to.identity.node(), tester, coder);
    for turn in 0..2 {
        let id = |name: &str| format!("{name}{turn}");
        let (thread, room) = (format!("work_thread-{turn}"), format!("work_room-{turn}"));
        sent(said(&id("g"), Said::Greet));
        sent(said(&id("a"), Said::Say("do it")).thread("thread_one").to(coder).work(&thread));
        sent(said(&id("b"), Said::Say("do it")).room(coder).work(&room));
        sent(said(&id("c"), Said::Say("late")).thread("thread_one").to(coder).work(&thread).expires(expired));
        sent(said(&id("d"), Said::Say("late")).room(coder).work(&room).expires(expired));
        sent(said(&id("e"), Said::Trace(WorkState::Working)).thread("thread_one").to(coder).work(&thread));
        sent(said(&id("f"), Said::Trace(WorkState::Completed)).room(coder).work(&room));
    }
    let pair = bob.pair_space(space, to.identity.node());
    vec![bob.operations(space), bob.all_logs(pair).concat()]
}

#[test]
fn a_power_cut_tears_no_room_no_work_and_no_answer_n51_n91() {
    let disk = CrashDisk::new();
    let ada = Node::open(Disk::Backend(Box::new(disk.clone())), 1, 1).unwrap();
    let (space, bob) = (ada.found(), Node::new(2));
    bob.join(&ada, space, Role::Member);
    let coder = ada.session(space, "coder", "builders");
    let tester = bob.session(space, "tester", "builders");
    bob.now_ms.set(ada.now_ms.get());
    let (me, other) = (ada.identity.node(), bob.identity.node());
    let logs = from_a_peer(&bob, space, &tester, &coder, &ada);
    let pair = bob.pair_space(space, me);
    drop(ada);
    let start = disk.image();
    let mut torn = 0;
    for seed in 0..30 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut disk = start.image();
        let mut number = 0;
        let mut answered: Vec<String> = Vec::new();
        for _ in 0..3 {
            let node = Node::open(Disk::Backend(Box::new(disk.clone())), 1, 1).unwrap();
            node.now_ms.set(START_MS + 200_000 + 100_000 * number);
            disk.fail_after(dice.random_range(0..160), Fault::Output);
            loop {
                number += 1;
                let work = format!("work_own-{number}");
                let id = format!("own-{number}");
                let opening = node.message(space, &coder, &id, Said::Say("do it")).room(&tester).work(&work);
                let (envelope, (reply, replied)) = (opening.signed(&node.identity), mpsc::channel());
                let log = &logs[dice.random_range(0..2)];
                let piece = log[..dice.random_range(0..=log.len())].to_vec();
                let control = ControlState::pair(&node.store.control(space).unwrap(), me, other);
                let control = if log[0].header().space == space {
                    node.store.control(space).unwrap()
                } else {
                    Arc::new(control)
                };
                let into = log[0].header().space;
                let ops: Vec<_> = piece.into_iter().map(|op| Prepared::new(op, &control)).collect();
                let write = move |batch: &mut muster_storage::Batch<'_>| {
                    batch.begin_pair(space, other)?;
                    batch.append_remote(into, ops, 0)?;
                    batch.send(space, Some(other), &envelope, envelope.to_json().unwrap())
                };
                let taken = node.store.write(node.tick(), write, move |outcome| reply.send(outcome).unwrap());
                match taken.ok().and_then(|()| replied.recv().ok()) {
                    Some(SendOutcome::Stored { .. }) => answered.push(work),
                    Some(other) => panic!("seed {seed}: {other:?}"),
                    None => break,
                }
            }
            torn += 1;
            disk.power_cut(|| dice.next_u64());
            disk = disk.image();
            let node = Node::open(Disk::Backend(Box::new(disk.clone())), 1, 1).unwrap();
            assert_counts(&node, space, by_node(vec![me, other]));
            for work in &answered {
                assert_eq!(node.state(space, work), Some(WorkState::Submitted), "seed {seed}: {work}");
            }
            drop(node);
            disk = disk.image();
        }
        let node = Node::open(Disk::Backend(Box::new(disk)), 1, 1).unwrap();
        node.now_ms.set(START_MS + 100_000_000);
        for log in &logs {
            node.take_from(other, log[0].header().space, log.clone());
        }
        assert_counts(&node, space, by_node(vec![me, other]));
        let room = node.room(space, &coder, &tester).unwrap();
        let rows = [node.thread(space, "builders", "thread_one"), node.in_room(space, &room)];
        for (rows, about) in rows.iter().zip([["c0", "c1"], ["d0", "d1"]]) {
            let receipts = rows.iter().filter(|row| row.local && row.envelope.kind == Kind::Receipt);
            let mut said: Vec<_> =
                receipts.map(|row| row.envelope.reply_to.clone().unwrap().as_str().to_owned()).collect();
            said.sort();
            assert_eq!(said, about, "seed {seed}: each was answered, and once");
        }
        assert_eq!(node.heights(pair).len(), 2);
    }
    assert!(torn > 60);
}

struct Failures(Arc<AtomicU32>);

impl Listener for Failures {
    fn committed(&self, _: Changes) {}
    fn failed(&self, _: &StoreError) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_full_or_failing_disk_stops_the_store_and_loses_nothing_answered_nor_delivers_what_is_not_stored_n95() {
    for inline in [true, false] {
        for fault in [Fault::Full, Fault::Output] {
            let (start, space, coder) = prepared();
            let disk = start.image();
            let blobs = tempfile::tempdir().unwrap();
            let mut node = Node::open(Disk::Backend(Box::new(start.image())), 1, 1).unwrap();
            let mut options = options(blobs.path(), 1);
            options.inline = inline;
            let backend = Disk::Backend(Box::new(disk.clone()));
            node.store = muster_storage::Store::open(backend, node.identity.clone(), &options).unwrap();
            let failures = Arc::new(AtomicU32::new(0));
            node.store.listen(Box::new(Failures(failures.clone())));
            disk.fail_after(40, fault);
            let mut answered = 0;
            while let Some(outcome) = try_send(&node, space, &coder, &format!("m{answered}"), 20_000) {
                assert_eq!(outcome, SendOutcome::Stored { sequence: answered + 1 });
                answered += 1;
            }
            disk.heal(); // too late: what is on the disk is no longer known
            assert_eq!(try_send(&node, space, &coder, "late", 1), None, "a store that failed went on");
            node.store.close();
            let late = node.store.write(node.tick(), |_| Ok(()), |()| panic!("a failed store answered"));
            assert_eq!(late, Err(NotTaken::Stopped));
            assert_eq!(failures.load(Ordering::SeqCst), 1, "the node is told once");
            disk.power_cut(|| 0);
            let node = Node::open(Disk::Backend(Box::new(disk.image())), 1, 1).unwrap();
            let stored = node.thread(space, "builders", "thread_one");
            assert_eq!(stored.len() as u64, answered);
            let (view, workspace) = (node.view(), node.workspace(space));
            let sessions = view.active_sessions(&workspace).unwrap();
            let tester = sessions.iter().find(|session| session.agent_name == "tester").unwrap();
            let waiting = view.inbox(&workspace, &tester.id, 0).unwrap();
            let newest: Vec<_> = stored.into_iter().map(|row| row.envelope).rev().take(3).collect();
            assert!(waiting.iter().rev().eq(newest.iter()), "the inbox holds what is stored, and no more");
            is_whole(&node, space);
        }
    }
}
