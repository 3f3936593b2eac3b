//! What searching a hundred thousand messages costs: times of searches, of feeding and learning, and bytes on disk.
//!
//! Criterion reports each search by itself; the rest is printed before.
#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]
#![expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]

use std::{collections::BTreeSet, fs, path::Path, sync::Arc, time::Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use muster_protocol::{
    ids::{StoreId, StreamId, WorkspaceId, ulid},
    stream::StreamKind,
};
use muster_search::{Document, EmbedError, Embedder, Index, Item, Mode, Position, Query, Tier};

const MESSAGES: u32 = 100_000;
/// Words of a message.
const WORDS: u32 = 20;
/// Different words; as in a language, the first are said far more often than the last.
const VOCABULARY: u32 = 30_000;
/// Streams that may be read, of twice as many.
const READABLE: u8 = 50;
/// Messages of one commit.
const AT_ONCE: u32 = 5_000;
const DIMENSIONS: usize = 256;

/// A generator of numbers that is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// A word: its number is the vocabulary's size to the power of something between 0 and 1, as Zipf found.
    fn word(&mut self) -> String {
        let power = self.next() as f64 / f64::from(1u32 << 31);
        word(f64::from(VOCABULARY).powf(power) as u32)
    }
}

/// A word of syllables, the often said ones short.
fn word(mut number: u32) -> String {
    let (starts, vowels, ends) = ("bdfgklmnprstvz", "aeiou", "lmnrst");
    let mut word = String::new();
    loop {
        for letters in [starts, vowels, ends] {
            word.extend(letters.chars().nth(number as usize % letters.len()));
            number /= letters.len() as u32;
        }
        if number == 0 {
            return word;
        }
    }
}

struct Directions;

impl Embedder for Directions {
    fn id(&self) -> String {
        "directions".into()
    }

    fn tier(&self) -> Tier {
        Tier::Static
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let vector = |text: &&str| {
            let mut numbers = Numbers(text.len() as u64 + u64::from(text.as_bytes()[0]));
            (0..DIMENSIONS).map(|_| numbers.next() as f32 / (1u32 << 30) as f32 - 1.0).collect()
        };
        Ok(texts.iter().map(vector).collect())
    }
}

fn message(numbers: &mut Numbers, number: u32) -> Document {
    let created_ms = 1_700_000_000_000 + u64::from(number) * 1000;
    let stream = StreamId([(number % (u32::from(READABLE) * 2)) as u8; 16]);
    let text: Vec<String> = (0..WORDS).map(|_| numbers.word()).collect();
    let id = ulid(created_ms, [number as u8; 10]);
    Document {
        item: Item::Message,
        id,
        source: id,
        workspace: workspace(),
        stream,
        root: stream,
        kind: Some(StreamKind::Channel),
        author: Some(format!("usr_{}", number % 30)),
        labels: BTreeSet::new(),
        created_ms,
        text: text.join(" "),
    }
}

fn workspace() -> WorkspaceId {
    WorkspaceId::new(0, [1; 10])
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(
            |entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() },
        )
        .sum()
}

fn fed(folder: &Path) -> Index {
    let (index, _) = Index::open(folder, StoreId([7; 16]), Some(Arc::new(Directions))).unwrap();
    let mut numbers = Numbers(7);
    let begun = Instant::now();
    for number in 1..=MESSAGES {
        index.put(&message(&mut numbers, number)).unwrap();
        if number % AT_ONCE == 0 {
            index.commit(Position(u64::from(number))).unwrap();
        }
    }
    println!(
        "{MESSAGES} messages of {WORDS} words fed in {:.1?}, {} MB",
        begun.elapsed(),
        size(folder) / 1_000_000
    );
    let begun = Instant::now();
    index.put(&message(&mut numbers, MESSAGES + 1)).unwrap();
    index.commit(Position(u64::from(MESSAGES) + 1)).unwrap();
    println!("one more message committed in {:.1?}", begun.elapsed());
    let begun = Instant::now();
    let words =
        index.learn(workspace(), &(0..READABLE).map(|number| StreamId([number; 16])).collect()).unwrap();
    println!("{words} words learnt in {:.1?}", begun.elapsed());
    index
}

fn searches(criterion: &mut Criterion) {
    // On the disk that the build is on; a temporary folder may be in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    drop(fed(folder.path()));
    let begun = Instant::now();
    let (index, _) = Index::open(folder.path(), StoreId([7; 16]), Some(Arc::new(Directions))).unwrap();
    println!("opened and verified in {:.1?}", begun.elapsed());
    index.learn(workspace(), &(0..READABLE).map(|number| StreamId([number; 16])).collect()).unwrap();
    let (common, middle, rare) = (word(1), word(400), word(20_000));
    let typed = [
        ("words, three", Mode::Words, format!("{common} {middle} {rare}")),
        ("words, a phrase", Mode::Words, format!("\"{common} {}\"", word(2))),
        ("words, ten common ones", Mode::Words, (1..=10).map(|number| word(number) + " ").collect()),
        ("exact, common", Mode::Exact, word(10)),
        ("exact, rare", Mode::Exact, rare.clone()),
        ("exact, one letter", Mode::Exact, "k".into()),
        ("exact, nowhere", Mode::Exact, format!("{rare}{middle}")),
        // All its pieces stand in most messages, and none has it: the most that a search of this kind can cost.
        ("exact, nowhere but looked for everywhere", Mode::Exact, format!("{0}{0}{0}", word(1))),
        ("meaning, without a model", Mode::Semantic, format!("{middle} {rare}")),
    ];
    let mut group = criterion.benchmark_group("100 000 messages");
    group.sample_size(50);
    for (name, mode, text) in typed {
        let query = Query::new(workspace(), (0..READABLE).map(|number| StreamId([number; 16])), text, mode);
        group.bench_function(name, |bencher| bencher.iter(|| index.search(&query).unwrap()));
    }
    let begun = Instant::now();
    let progress = index.embed(&mut |_| true).unwrap();
    println!("{} texts given vectors of {DIMENSIONS} numbers in {:.1?}", progress.done, begun.elapsed());
    let text = format!("{middle} {rare}");
    let query =
        Query::new(workspace(), (0..READABLE).map(|number| StreamId([number; 16])), text, Mode::Semantic);
    group.bench_function("meaning, with vectors", |bencher| bencher.iter(|| index.search(&query).unwrap()));
    group.finish();
}

criterion_group!(benches, searches);
criterion_main!(benches);
