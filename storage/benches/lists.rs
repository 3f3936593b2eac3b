//! What reading costs after a long history, against the same reading after a short one: it must not grow (N-139).
//!
//! Criterion reports each reading by itself; the ratios of the medians are printed at the end of each pair.
#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use muster_protocol::{
    ids::SpaceId,
    network::{ChannelName, Envelope, Kind, ThreadId, WorkState},
};
use muster_storage::{Batch, Disk, MessagePage, RoomRow, SendOutcome, Store, WorkspaceRow};
use support::{Node, Session, options, talk::Said};

/// Messages of a long history, in one thread; as many again in one room.
const LONG: usize = 100_000;
/// And of a short one.
const SHORT: usize = 10;
/// Channels beside the one that is spoken in.
const CHANNELS: usize = 20;
/// Messages of a page: as many as the short history can fill from its middle.
const PAGE: usize = SHORT / 2 - 1;
/// Readings of which the median is taken.
const READINGS: usize = 2001;
/// Messages of one transaction while the history is made.
const AT_ONCE: usize = 1000;

struct History {
    node: Node,
    workspace: WorkspaceRow,
    room: RoomRow,
    messages: usize,
    _folder: tempfile::TempDir,
}

fn history(messages: usize) -> History {
    // On the disk that the build is on; a temporary folder may be in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut node = Node::new(1);
    let mut options = options(folder.path(), 1);
    (options.cache_bytes, options.inbox_depth) = (64 << 20, 100);
    let disk = Disk::File(folder.path().join("store.redb"));
    node.store = Store::open(disk, node.identity.clone(), &options).unwrap();
    let space = node.found();
    let (coder, tester) =
        (node.session(space, "coder", "builders"), node.session(space, "tester", "builders"));
    for number in 0..CHANNELS {
        node.open_channel(space, &format!("channel-{number}"), "to be listed");
    }
    for begun in (0..messages).step_by(AT_ONCE) {
        let numbers = begun..(begun + AT_ONCE).min(messages);
        let envelopes = numbers.flat_map(|number| two(&node, space, &coder, &tester, number, messages));
        send_all(&node, space, envelopes.collect());
    }
    let workspace = node.workspace(space);
    let room = node.room(space, &coder, &tester).unwrap();
    History { node, workspace, room, messages, _folder: folder }
}

/// The same in the thread and in the room: says, but for a trace at either end.
fn two(
    node: &Node,
    space: SpaceId,
    from: &Session,
    to: &Session,
    number: usize,
    messages: usize,
) -> [Envelope; 2] {
    let said = match number {
        number if number == 1 || number == messages - 1 => Said::Trace(WorkState::Working),
        _ => Said::Say("a sentence of an ordinary length, or two"),
    };
    let in_thread = node.message(space, from, &format!("t{number}"), said).thread("thread_long").to(to);
    let in_room = node.message(space, from, &format!("r{number}"), said).room(to);
    let work = [in_thread.work("work_thread"), in_room.work("work_room")];
    work.map(|message| message.signed(&node.identity))
}

fn send_all(node: &Node, space: SpaceId, envelopes: Vec<Envelope>) {
    let me = node.identity.node();
    node.write(move |batch: &mut Batch<'_>| {
        for envelope in envelopes {
            let alone = envelope.container.as_ref().is_some_and(|place| place.direct_id().is_some());
            let json = envelope.to_json().unwrap();
            let outcome = batch.send(space, alone.then_some(me), &envelope, json)?;
            assert!(matches!(outcome, SendOutcome::Stored { .. }), "{outcome:?}");
        }
        Ok(())
    });
}

impl History {
    fn list_channels(&self) {
        let rows = self.node.view().channels(&self.workspace).unwrap();
        assert_eq!(rows.len(), CHANNELS + 1);
    }

    fn read_channel(&self) {
        let row = self.node.view().channel(&self.workspace, &self.room.channel).unwrap().unwrap();
        assert_eq!((row.threads, row.rooms), (1, 1));
    }

    fn middle(&self, letter: char) -> MessagePage {
        let after = Some(format!("{letter}{}", self.messages / 2));
        MessagePage { after, limit: PAGE, ..MessagePage::default() }
    }

    fn thread_page(&self) {
        let (view, thread) = (self.node.view(), ThreadId::parse("thread_long").unwrap());
        let rows = view.thread_messages(&self.workspace, &self.room.channel, &thread, &self.middle('t'));
        assert_eq!(rows.unwrap().unwrap().len(), PAGE);
    }

    fn thread_page_of_traces(&self) {
        let (view, thread) = (self.node.view(), ThreadId::parse("thread_long").unwrap());
        let page = MessagePage { kind: Some(Kind::Trace), limit: 2, ..MessagePage::default() };
        let rows = view.thread_messages(&self.workspace, &self.room.channel, &thread, &page);
        assert_eq!(rows.unwrap().unwrap().len(), 2);
    }

    fn room_page(&self) {
        let (view, id) = (self.node.view(), &self.room.direct_id);
        let rows = view.room_messages(&self.workspace, &self.room.channel, id, &self.middle('r'));
        assert_eq!(rows.unwrap().unwrap().len(), PAGE);
    }

    fn list_rooms(&self) {
        let name = ChannelName::parse("builders").unwrap();
        let rows = self.node.view().rooms(&self.workspace, &name, None, None, 10).unwrap().unwrap();
        assert_eq!(rows[0].message_count, self.messages as u64);
    }
}

type Reading = (&'static str, fn(&History));

const READINGS_OF: [Reading; 6] = [
    ("channel list", History::list_channels),
    ("channel", History::read_channel),
    ("thread page", History::thread_page),
    ("thread page of traces", History::thread_page_of_traces),
    ("room page", History::room_page),
    ("room list", History::list_rooms),
];

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn timed(work: impl FnOnce()) -> Duration {
    let before = Instant::now();
    work();
    before.elapsed()
}

/// Medians of a reading of both histories, taken in turns so that both see the same machine.
fn medians(histories: [&History; 2], reading: fn(&History)) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..READINGS {
        for (times, history) in times.iter_mut().zip(histories) {
            times.push(timed(|| reading(history)));
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[READINGS / 2]
    })
}

fn lists(criterion: &mut Criterion) {
    let (short, long) = (history(SHORT), history(LONG));
    for (name, reading) in READINGS_OF {
        let mut group = criterion.benchmark_group(name);
        for history in [&short, &long] {
            let id = BenchmarkId::from_parameter(history.messages);
            group.bench_function(id, |bencher| bencher.iter(|| reading(history)));
        }
        group.finish();
        let [few, many] = medians([&short, &long], reading);
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        println!("{name}: {few:?} with {SHORT} messages, {many:?} with {LONG}: {ratio:.2} times");
    }
}

criterion_group!(benches, lists);
criterion_main!(benches);
