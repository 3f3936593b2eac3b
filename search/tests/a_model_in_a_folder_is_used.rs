//! Vectors from files that the operator put into a folder, with a model of four words (W-84).
#![cfg(feature = "static-model")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{fs, path::Path, sync::Arc};

use muster_search::{Embedder, Item, Mode, ModelFolder, Query, Tier};
use serde_json::json;
use support::{Shelf, memo, query};

/// Two of its words are alike, two others are not.
fn model(folder: &Path, dog: [f32; 2]) {
    let vocabulary = json!({ "[UNK]": 0, "cat": 1, "dog": 2, "rain": 3 });
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": { "type": "Lowercase" },
        "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]" }
    });
    let rows = [[0.0, 0.0], [1.0, 0.1], dog, [0.0, 1.0]];
    let weights: Vec<u8> = rows.as_flattened().iter().flat_map(|number: &f32| number.to_le_bytes()).collect();
    let shape =
        json!({ "embeddings": { "dtype": "F32", "shape": [4, 2], "data_offsets": [0, weights.len()] } });
    let mut head = shape.to_string();
    while !head.len().is_multiple_of(8) {
        head.push(' ');
    }
    let file = [&(head.len() as u64).to_le_bytes(), head.as_bytes(), &weights].concat();
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    fs::write(folder.join("model.safetensors"), file).unwrap();
    fs::write(folder.join("config.json"), json!({ "normalize": true }).to_string()).unwrap();
}

#[test]
fn a_word_near_to_the_one_asked_for_is_found_w84() {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), [1.0, 0.0]);
    let mut shelf = Shelf::with(Some(Arc::new(ModelFolder::open(folder.path()).unwrap())));
    shelf.say(&["Rain", "The dog"]);
    shelf.index.embed(&mut |_| true).unwrap();
    assert_eq!(shelf.semantic("cat")[0], "The dog");
    assert_eq!(shelf.answer(&query("cat", Mode::Semantic)).tier, Some(Tier::Static));
    assert!(shelf.words("cat").is_empty());
}

#[test]
fn a_memo_is_found_by_another_word_for_what_it_says_w92() {
    let folder = tempfile::tempdir().unwrap();
    model(folder.path(), [1.0, 0.0]);
    let mut shelf = Shelf::with(Some(Arc::new(ModelFolder::open(folder.path()).unwrap())));
    for (number, text) in [(1, "Rain"), (2, "The dog")] {
        shelf.put(|document| *document = memo(number, text), "");
    }
    shelf.commit();
    shelf.index.embed(&mut |_| true).unwrap();
    let asked = Query { item: Item::Memo, ..query("cat", Mode::Semantic) };
    let answer = shelf.answer(&asked);
    assert_eq!((answer.hits[0].id, answer.tier), (memo(2, "").id, Some(Tier::Static)));
    assert!(shelf.semantic("cat").is_empty(), "no message says anything");
}

#[test]
fn another_model_is_another_embedder() {
    let folder = tempfile::tempdir().unwrap();
    let id = |dog| {
        model(folder.path(), dog);
        ModelFolder::open(folder.path()).unwrap().id()
    };
    assert_eq!(id([1.0, 0.0]), id([1.0, 0.0]));
    assert_ne!(id([1.0, 0.0]), id([1.0, 0.5]));
}

#[test]
fn a_folder_without_a_whole_model_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    for missing in ["tokenizer.json", "model.safetensors", "config.json"] {
        model(folder.path(), [1.0, 0.0]);
        fs::remove_file(folder.path().join(missing)).unwrap();
        let error = ModelFolder::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains(missing) && error.contains(folder.path().to_str().unwrap()), "{error}");
    }
    for broken in ["tokenizer.json", "model.safetensors", "config.json"] {
        model(folder.path(), [1.0, 0.0]);
        fs::write(folder.path().join(broken), "nonsense").unwrap();
        assert!(ModelFolder::open(folder.path()).is_err(), "{broken}");
    }
}
