//! What storing a message costs, alone and in company, and that reading does not grow with history.
//!
//! Each figure of a disk is worth nothing without the disk's own: machines of this class differ 25-fold
//! between minutes. So the time of an `fdatasync` is measured beside it.
#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::mpsc,
    time::{Duration, Instant},
};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use muster_protocol::{
    ids::SpaceId,
    network::{ChannelName, Envelope, ThreadId},
};
use muster_storage::{Batch, Disk, MessagePage, Store};
use support::{Node, Session, options};

/// Messages of a long history.
const LONG: usize = 100_000;
/// And of a short one.
const SHORT: usize = 10;

/// On the disk that the build is on; a temporary folder may be in memory.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn node(folder: &Path) -> (Node, SpaceId, Session) {
    let mut node = Node::new(1);
    let mut options = options(folder, 1);
    (options.inline, options.cache_bytes, options.inbox_depth) = (false, 64 << 20, 100);
    let disk = Disk::File(folder.join("store.redb"));
    node.store = Store::open(disk, node.identity.clone(), &options).unwrap();
    let space = node.found();
    let coder = node.session(space, "coder", "builders");
    (node, space, coder)
}

fn envelopes(node: &Node, space: SpaceId, from: &Session, next: &mut u64, count: usize) -> Vec<Envelope> {
    let mut envelope = || {
        *next += 1;
        let thread = format!("thread_{:05}", *next / 200);
        node.envelope(space, from, &thread, &format!("m{next}"), "a sentence of an ordinary length, or two")
    };
    (0..count).map(|_| envelope()).collect()
}

/// Hands all in at once and waits for all answers.
fn send_all(node: &Node, space: SpaceId, envelopes: Vec<Envelope>) {
    let (reply, replies) = mpsc::channel();
    let now_ms = node.tick();
    for envelope in envelopes {
        let (reply, json) = (reply.clone(), envelope.to_json().unwrap());
        let work = move |batch: &mut Batch<'_>| batch.send(space, None, &envelope, json);
        node.store.write(now_ms, work, move |outcome| reply.send(outcome).unwrap()).unwrap();
    }
    drop(reply);
    replies.iter().for_each(drop);
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn timed(work: impl FnOnce()) -> Duration {
    let before = Instant::now();
    work();
    before.elapsed()
}

/// The time of an `fdatasync` after 4 KiB were written, now: the middle one and the worst in a hundred.
fn probe(folder: &Path) -> (Duration, Duration) {
    let mut file = File::create(folder.join("probe")).unwrap();
    let page = [7; 4096];
    let mut times: Vec<_> = (0..200)
        .map(|_| {
            timed(|| {
                file.write_all(&page).unwrap();
                file.sync_data().unwrap();
            })
        })
        .collect();
    times.sort_unstable();
    (times[100], times[198])
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    for batch in [1, 16, 64, 256] {
        let folder = folder();
        let (middle, worst) = probe(folder.path());
        println!("fdatasync now: middle {middle:?}, 99 % below {worst:?}");
        let (node, space, coder) = node(folder.path());
        let mut next = 0;
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
            bencher.iter_batched(
                || envelopes(&node, space, &coder, &mut next, batch),
                |envelopes| send_all(&node, space, envelopes),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn list(criterion: &mut Criterion) {
    let name = ChannelName::parse("builders").unwrap();
    let thread = ThreadId::parse("thread_00000").unwrap();
    let page = MessagePage { limit: 10, ..MessagePage::default() };
    let mut group = criterion.benchmark_group("list");
    let mut middles = Vec::new();
    for messages in [SHORT, LONG] {
        let folder = folder();
        let (node, space, coder) = node(folder.path());
        let mut next = 0;
        for begun in (0..messages).step_by(1000) {
            let count = (messages - begun).min(1000);
            send_all(&node, space, envelopes(&node, space, &coder, &mut next, count));
        }
        let workspace = node.workspace(space);
        let read = || {
            let view = node.view();
            assert_eq!(view.channels(&workspace).unwrap()[0].message_count, messages as u64);
            assert!(!view.threads(&workspace, &name, None, 1).unwrap().unwrap().is_empty());
            let rows = view.thread_messages(&workspace, &name, &thread, &page).unwrap().unwrap();
            assert!(rows.len() >= SHORT - 1);
        };
        group.bench_function(BenchmarkId::from_parameter(messages), |bencher| bencher.iter(read));
        let mut times: Vec<_> = (0..1001).map(|_| timed(read)).collect();
        times.sort_unstable();
        middles.push(times[500]);
    }
    let ratio = middles[1].as_secs_f64() / middles[0].as_secs_f64();
    println!("listing {LONG} messages costs {ratio:.2} times what listing {SHORT} costs");
    group.finish();
}

criterion_group!(benches, append, list);
criterion_main!(benches);
