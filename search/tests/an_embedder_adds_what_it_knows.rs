//! Vectors of an embedder: made in the background, kept in a file, fused with words, and never needed (W-84).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use muster_search::{EmbedError, Embedder, Endpoint, Http, HttpRequest, Mode, Progress, Query, Tier};
use serde_json::{Value, json};
use support::{Shelf, query, stream};

/// Knows two things, animals and weather, and counts how often it is asked.
struct Topics {
    name: &'static str,
    asked: AtomicUsize,
    fails: AtomicBool,
}

impl Topics {
    fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name, asked: AtomicUsize::new(0), fails: AtomicBool::new(false) })
    }

    fn vector(text: &str) -> Vec<f32> {
        let count = |words: [&str; 3]| words.iter().filter(|word| text.contains(**word)).count() as f32;
        vec![count(["cat", "dog", "pet"]), count(["rain", "snow", "storm"]), 0.1]
    }
}

impl Embedder for Topics {
    fn id(&self) -> String {
        self.name.into()
    }

    fn tier(&self) -> Tier {
        Tier::Static
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.asked.fetch_add(texts.len(), Ordering::Relaxed);
        if self.fails.load(Ordering::Relaxed) || texts.contains(&"poison") {
            return Err(EmbedError::Endpoint { url: "nowhere".into(), cause: "it is gone".into() });
        }
        Ok(texts.iter().map(|text| Self::vector(text)).collect())
    }
}

fn embed(shelf: &Shelf) -> Progress {
    shelf.index.embed(&mut |_| true).unwrap()
}

fn shelf(embedder: &Arc<Topics>) -> Shelf {
    let mut shelf = Shelf::with(Some(embedder.clone()));
    shelf.say(&["my dog sleeps", "heavy snow", "a text about nothing"]);
    shelf
}

fn files(folder: &Path) -> usize {
    let names = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    names.filter(|name| name.to_str().unwrap().starts_with("vectors-")).count()
}

#[test]
fn neighbours_by_meaning_are_fused_with_words_w84() {
    let shelf = shelf(&Topics::new("topics"));
    assert_eq!(embed(&shelf), Progress { done: 3, total: 3 });
    let answer = shelf.answer(&query("a cat", Mode::Semantic));
    assert_eq!(answer.tier, Some(Tier::Static));
    let texts: Vec<&str> = answer.hits.iter().map(|hit| shelf.texts[&hit.id].as_str()).collect();
    // One is found both ways: third by meaning, first by words.
    assert_eq!(texts[0], "a text about nothing");
    assert_eq!(texts[1], "my dog sleeps");
    assert!((answer.hits[1].rank - 0.4 / 61.0).abs() < 1e-9);
    assert_eq!(shelf.words("a cat"), ["a text about nothing"]);
}

#[test]
fn a_search_by_words_or_exact_text_never_asks_the_embedder_w84() {
    let embedder = Topics::new("topics");
    let shelf = shelf(&embedder);
    embed(&shelf);
    let asked = embedder.asked.load(Ordering::Relaxed);
    shelf.words("cat");
    shelf.exact("cat");
    assert_eq!(embedder.asked.load(Ordering::Relaxed), asked);
    shelf.semantic("cat");
    assert_eq!(embedder.asked.load(Ordering::Relaxed), asked + 1);
}

#[test]
fn without_vectors_or_when_the_embedder_fails_a_search_goes_on_w84() {
    let embedder = Topics::new("topics");
    let shelf = shelf(&embedder);
    let answer = shelf.answer(&query("snowing", Mode::Semantic));
    assert_eq!((answer.hits.len(), answer.tier), (1, None), "nothing is embedded yet");
    assert_eq!(embedder.asked.load(Ordering::Relaxed), 0);
    embed(&shelf);
    embedder.fails.store(true, Ordering::Relaxed);
    let answer = shelf.answer(&query("snowing", Mode::Semantic));
    assert_eq!((answer.hits.len(), answer.tier), (1, None));
}

#[test]
fn neighbours_that_may_not_be_read_are_none_and_push_none_away_w35() {
    let mut shelf = Shelf::with(Some(Topics::new("topics")));
    shelf.say(&["one dog, and rain"]);
    for number in 0..300 {
        shelf.put(
            |document| (document.stream, document.root) = (stream(20), stream(20)),
            &format!("cat {number}"),
        );
    }
    shelf.commit();
    embed(&shelf);
    let query = Query { limit: 1, ..query("pet", Mode::Semantic) };
    assert_eq!(shelf.texts(&query), ["one dog, and rain"]);
}

#[test]
fn a_text_is_embedded_once_and_its_vector_survives_the_process_and_the_index() {
    let embedder = Topics::new("topics");
    let mut shelf = shelf(&embedder);
    shelf.say(&["my dog sleeps"]);
    embed(&shelf);
    assert_eq!(embedder.asked.load(Ordering::Relaxed), 3);
    let shelf = shelf.reopened(Some(embedder.clone()));
    assert_eq!(embed(&shelf), Progress { done: 3, total: 3 });
    assert_eq!(embedder.asked.load(Ordering::Relaxed), 3);
    assert_eq!(shelf.semantic("pet")[..2], ["my dog sleeps", "my dog sleeps"]);
}

#[test]
fn a_text_that_is_removed_is_no_neighbour_any_more() {
    let shelf = shelf(&Topics::new("topics"));
    embed(&shelf);
    let dog = *shelf.texts.iter().find(|(_, text)| text.contains("dog")).unwrap().0;
    shelf.index.remove(dog);
    shelf.commit();
    assert!(!shelf.semantic("pet").contains(&"my dog sleeps"));
    let size = |shelf: &Shelf| {
        let files = fs::read_dir(shelf.folder.path()).unwrap().map(|file| file.unwrap());
        files
            .filter(|file| file.file_type().unwrap().is_file())
            .map(|file| file.metadata().unwrap().len())
            .sum::<u64>()
    };
    let before = size(&shelf);
    assert_eq!(embed(&shelf), Progress { done: 2, total: 2 });
    assert!(size(&shelf) < before, "its vector is forgotten");
}

#[test]
fn another_embedder_embeds_all_anew_with_progress_and_then_the_old_vectors_go() {
    let shelf = shelf(&Topics::new("topics"));
    embed(&shelf);
    let other = Topics::new("other topics");
    let mut shelf = shelf.reopened(Some(other.clone()));
    shelf.say(
        &(0..200)
            .map(|number| format!("cat {number}"))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
    let mut told = Vec::new();
    let stopped = shelf.index.embed(&mut |progress| {
        told.push(progress.done);
        told.len() < 3
    });
    assert_eq!((stopped.unwrap(), told), (Progress { done: 128, total: 203 }, vec![0, 64, 128]));
    assert_eq!(files(shelf.folder.path()), 2, "what there was stays until all is new");
    assert_eq!(embed(&shelf), Progress { done: 203, total: 203 });
    assert_eq!((files(shelf.folder.path()), other.asked.load(Ordering::Relaxed)), (1, 203));
}

#[test]
fn a_text_that_is_refused_is_left_out_and_the_others_are_not() {
    let embedder = Topics::new("topics");
    let mut shelf = shelf(&embedder);
    shelf.say(&["poison"]);
    assert_eq!(embed(&shelf), Progress { done: 3, total: 4 });
    assert!(shelf.semantic("pet").contains(&"my dog sleeps"));
    embedder.fails.store(true, Ordering::Relaxed);
    shelf.say(&["rain"]);
    assert!(shelf.index.embed(&mut |_| true).is_err(), "when all are refused it says so");
}

/// Answers as its script says, and keeps what it was asked.
struct Scripted(Mutex<Vec<(String, Option<String>, Value)>>, Script);

type Script = fn(&Value) -> Result<String, String>;

impl Http for &'static Scripted {
    fn post(&self, request: &HttpRequest<'_>) -> Result<Vec<u8>, String> {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let answer = (self.1)(&body);
        self.0.lock().unwrap().push((request.url.into(), request.bearer.map(Into::into), body));
        answer.map(String::into_bytes)
    }
}

fn endpoint(answer: Script) -> (Endpoint, &'static Scripted) {
    let http: &'static Scripted = Box::leak(Box::new(Scripted(Mutex::default(), answer)));
    (Endpoint::new("http://127.0.0.1:11434/v1/", "nomic", Some("secret".into()), Box::new(http)), http)
}

#[test]
fn an_endpoint_is_asked_as_openai_is_and_answers_in_any_order_w84() {
    let (endpoint, http) = endpoint(|_| {
        let second = json!({ "object": "embedding", "index": 1, "embedding": [0.0, 1.0] });
        let first = json!({ "object": "embedding", "index": 0, "embedding": [1.0, 0.5] });
        Ok(json!({ "object": "list", "data": [second, first], "usage": {} }).to_string())
    });
    assert_eq!(endpoint.embed(&["one", "two"]).unwrap(), [[1.0, 0.5], [0.0, 1.0]]);
    assert_eq!(endpoint.tier(), Tier::Endpoint);
    assert!(endpoint.id().contains("nomic") && !endpoint.id().contains("secret"));
    let (url, bearer, body) = http.0.lock().unwrap().remove(0);
    assert_eq!((url.as_str(), bearer.as_deref()), ("http://127.0.0.1:11434/v1/embeddings", Some("secret")));
    assert_eq!(body, json!({ "model": "nomic", "input": ["one", "two"], "encoding_format": "float" }));
}

#[test]
fn whatever_an_endpoint_answers_a_search_goes_on_w84() {
    let answers: [Script; 8] = [
        |_| Err("connection refused".into()),
        |_| Ok(String::new()),
        |_| Ok("<html>".into()),
        |_| Ok(r#"{"error":"no such model"}"#.into()),
        |_| Ok(r#"{"data":[]}"#.into()),
        |_| Ok(r#"{"data":[{"index":0,"embedding":[]}]}"#.into()),
        |_| Ok(r#"{"data":[{"index":0,"embedding":[1e999]}]}"#.into()),
        |_| Ok(r#"{"data":[{"index":0,"embedding":["a"]}]}"#.into()),
    ];
    for answer in answers {
        let (endpoint, _) = endpoint(answer);
        let mut shelf = Shelf::with(Some(Arc::new(endpoint)));
        shelf.say(&["a dog"]);
        let error = shelf.index.embed(&mut |_| true).unwrap_err().to_string();
        assert!(error.contains("127.0.0.1:11434") && !error.contains("secret"), "{error}");
        assert_eq!(shelf.semantic("dogs"), ["a dog"]);
    }
}

#[test]
fn vectors_that_change_their_length_are_refused() {
    let (endpoint, _) = endpoint(|body| {
        let longer = body["input"][0] == "longer";
        let vector = if longer { json!([1.0, 0.0, 0.0]) } else { json!([1.0, 0.0]) };
        Ok(json!({ "data": [{ "index": 0, "embedding": vector }] }).to_string())
    });
    let mut shelf = Shelf::with(Some(Arc::new(endpoint)));
    shelf.say(&["a dog"]);
    embed(&shelf);
    shelf.say(&["longer"]);
    let error = shelf.index.embed(&mut |_| true).unwrap_err().to_string();
    assert!(error.contains("2 numbers before and have 3"), "{error}");
    assert_eq!(shelf.semantic("longer"), ["longer"]);
}
