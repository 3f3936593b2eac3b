//! What reading costs in a channel of 100 000 messages, through the Workspace door of the real program, printed and never
//! asserted: searches by one word, by two, by a phrase, and pages of the list at both ends.
//!
//! ```text
//! cargo bench -p muster-tests --bench long_history
//! ```
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "it measures a real process in real time")]

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use support::{Api, Place, until_within};

mod support;

const MESSAGES: usize = 100_000;
const WRITERS: usize = 64;
/// Words of a message.
const WORDS: usize = 20;
/// Different words; as in a language, the first are said far more often than the last.
const VOCABULARY: f64 = 30_000.0;
/// How long the index may lag behind what was said.
const INDEXED: Duration = Duration::from_secs(600);
/// Questions of one kind of which the times are told.
const QUESTIONS: usize = 400;

#[tokio::main]
async fn main() {
    // `cargo test --benches` asks whether it starts; there is nothing to be said to that.
    if std::env::args().any(|word| word == "--list" || word == "--test") {
        return;
    }
    if cfg!(debug_assertions) {
        println!("built for debugging: the figures mean little");
    }
    let place = Place::new("ada");
    let node = place.up().await;
    let workspace = node.api.found("workshop").await;
    let (person, channel) = people_and_channel(&node.api, &workspace).await;
    let messages = format!("/api/v1/workspaces/{workspace}/streams/{channel}/messages");
    let since = Instant::now();
    fill(&person, &messages).await;
    println!("{MESSAGES} messages of {WRITERS} writers at once: {:.1} s", since.elapsed().as_secs_f64());
    until_indexed(&node.api).await;
    println!("and all in the index after {:.1} s", since.elapsed().as_secs_f64());
    println!("resident: {} MiB", node.resident_kib() / 1024);
    search(&person, &format!("/api/v1/workspaces/{workspace}/messages/search")).await;
    list(&person, &messages).await;
}

/// A person with a key, who takes part in a channel.
async fn people_and_channel(api: &Api, workspace: &str) -> (Api, String) {
    let made = async |what: &str, wish: Value| {
        api.post(&format!("/node/v1/workspaces/{workspace}/{what}"), wish).await.expect(201)
    };
    let user = made("users", json!({ "name": "Ada", "email": "ada@example.org" })).await;
    let scopes = ["messages:read", "messages:write", "messages:search"];
    let key = made("keys", json!({ "user_id": user["id"], "scopes": scopes })).await;
    let wish = json!({ "type": "channel", "slug": "builders", "member_ids": [user["id"]] });
    let stream = made("streams", wish).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (Api::new(&api.base, &text(&key["key"])), text(&stream["id"]))
}

async fn fill(person: &Api, messages: &str) {
    let writers = (0..WRITERS).map(|writer| async move {
        let mut dice = ChaCha8Rng::seed_from_u64(writer as u64);
        for _ in 0..MESSAGES / WRITERS + usize::from(writer < MESSAGES % WRITERS) {
            let content = (0..WORDS).map(|_| word(&mut dice)).collect::<Vec<_>>().join(" ");
            person.post(messages, json!({ "content": content })).await.expect(201);
        }
    });
    futures::future::join_all(writers).await;
}

async fn until_indexed(api: &Api) {
    until_within(INDEXED, "all messages are in the index", || async {
        let search = api.get("/node/v1/status").await.expect(200)["search"].take();
        (search["events"] == search["events_total"]).then_some(())
    })
    .await;
}

async fn search(person: &Api, path: &str) {
    let mut dice = ChaCha8Rng::seed_from_u64(1_000);
    let mut found = 0;
    for (kind, words, exact) in [("one word", 1, false), ("two words", 2, false), ("a phrase", 2, true)] {
        let mut times = Vec::new();
        for _ in 0..QUESTIONS {
            let query = (0..words).map(|_| word(&mut dice)).collect::<Vec<_>>().join(" ");
            let wish = json!({ "query": query, "exact": exact, "limit": 20 });
            let since = Instant::now();
            let answer = person.post(path, wish).await.expect(200);
            times.push(since.elapsed());
            found += answer["data"].as_array().unwrap().len();
        }
        tell(&format!("search for {kind}"), times);
    }
    assert!(found > QUESTIONS, "words that were said are found");
}

/// The newest page and the oldest, in turns, so that both meet the same weather.
async fn list(person: &Api, messages: &str) {
    let (mut newest, mut oldest) = (Vec::new(), Vec::new());
    for _ in 0..QUESTIONS {
        for (query, times) in [("limit=50", &mut newest), ("limit=50&after=0", &mut oldest)] {
            let since = Instant::now();
            let page = person.get(&format!("{messages}?{query}")).await.expect(200);
            times.push(since.elapsed());
            assert_eq!(page["data"].as_array().unwrap().len(), 50);
        }
    }
    let ratio = median(&mut newest).as_secs_f64() / median(&mut oldest).as_secs_f64();
    tell("a page of the newest 50", newest);
    tell("a page of the oldest 50", oldest);
    println!("the newest page takes {ratio:.2} times as long as the oldest");
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!(
        "{what}: {:.1} ms at the median, {:.1} ms for 95 of 100, {:.1} ms at most",
        at(50),
        at(95),
        at(100)
    );
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A word: its number is the vocabulary's size to the power of something between 0 and 1, as Zipf found; the often
/// said ones are short.
fn word(dice: &mut ChaCha8Rng) -> String {
    let (starts, vowels, ends) = ("bdfgklmnprstvz", "aeiou", "lmnrst");
    let mut number = VOCABULARY.powf(dice.random::<f64>()) as usize;
    let mut word = String::new();
    loop {
        for letters in [starts, vowels, ends] {
            word.extend(letters.chars().nth(number % letters.len()));
            number /= letters.len();
        }
        if number == 0 {
            return word;
        }
    }
}
