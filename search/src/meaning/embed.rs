//! Making vectors of the texts that have none yet: in the background, a batch at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
};

use muster_protocol::limits::{EMBED_DIMENSIONS_MAX, EMBED_TEXT_BYTES_MAX, EMBED_TEXTS_AT_ONCE};
use tantivy::{DocAddress, Searcher, TantivyDocument, schema::Value};

use super::Embedder;
use crate::{EmbedError, Error, Index, fields::TEXT_HASH, text::cut};

/// How many of the different texts in the index have a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// So many have one.
    pub done: usize,
    /// So many there are.
    pub total: usize,
}

impl Index {
    /// Makes a vector of every text of the last commit that has none from the embedder the index was opened with, and
    /// forgets those of texts that are gone. Waits for the embedder, so it runs on a thread that may wait: after
    /// opening, and after commits. Before each batch `tell` hears how far it is and says whether to go on. A text that
    /// the embedder refuses alone is left out. Without an embedder there is nothing to do.
    pub fn embed(&self, tell: &mut dyn FnMut(Progress) -> bool) -> Result<Progress, EmbedError> {
        let Some((embedder, vectors)) = &self.meaning.embedder else {
            return Ok(Progress { done: 0, total: 0 });
        };
        let searcher = self.reader.searcher();
        let texts = texts(&searcher)?;
        let missing: Vec<(u64, DocAddress)> = {
            let mut vectors = vectors.write().unwrap_or_else(PoisonError::into_inner);
            vectors.keep_only(&BTreeSet::from_iter(texts.keys().copied()))?;
            texts
                .iter()
                .filter(|(hash, _)| !vectors.has(**hash))
                .map(|(hash, address)| (*hash, *address))
                .collect()
        };
        let mut progress = Progress { done: texts.len() - missing.len(), total: texts.len() };
        for batch in missing.chunks(EMBED_TEXTS_AT_ONCE) {
            if !tell(progress) {
                return Ok(progress);
            }
            let texts = batch.iter().map(|(hash, address)| Ok((*hash, self.text(&searcher, *address)?)));
            let new = embed_batch(&**embedder, &texts.collect::<Result<Vec<_>, Error>>()?)?;
            progress.done += new.len();
            let mut vectors = vectors.write().unwrap_or_else(PoisonError::into_inner);
            check_length(&**embedder, &new, vectors.dimensions())?;
            vectors.append(new)?;
        }
        vectors.read().unwrap_or_else(PoisonError::into_inner).finish()?;
        tell(progress);
        Ok(progress)
    }

    pub(crate) fn text(&self, searcher: &Searcher, address: DocAddress) -> Result<String, Error> {
        let document: TantivyDocument = searcher.doc(address)?;
        let text = document.get_first(self.fields.text).and_then(|value| value.as_str()).unwrap_or_default();
        Ok(text.to_owned())
    }
}

/// Each different text once: its hash and a message that has it.
fn texts(searcher: &Searcher) -> Result<BTreeMap<u64, DocAddress>, Error> {
    let mut texts = BTreeMap::new();
    for (number, segment) in (0u32..).zip(searcher.segment_readers()) {
        let hashes = segment.fast_fields().u64(TEXT_HASH)?;
        for document in segment.doc_ids_alive() {
            if let Some(hash) = hashes.first(document) {
                texts.entry(hash).or_insert(DocAddress::new(number, document));
            }
        }
    }
    Ok(texts)
}

/// Vectors of all texts of a batch; when it is refused, of those that are not refused alone, if there is one.
fn embed_batch(embedder: &dyn Embedder, batch: &[(u64, String)]) -> Result<Vec<(u64, Vec<f32>)>, EmbedError> {
    let texts: Vec<&str> = batch.iter().map(|(_, text)| text.as_str()).collect();
    let refused = match vectors_of(embedder, &texts) {
        Ok(vectors) => return Ok(batch.iter().map(|(hash, _)| *hash).zip(vectors).collect()),
        Err(error) => error,
    };
    let mut new = Vec::new();
    for (number, (hash, text)) in batch.iter().enumerate() {
        match vectors_of(embedder, &[text]) {
            Ok(vectors) => new.extend(vectors.into_iter().map(|vector| (*hash, vector))),
            // A server that is gone refuses everything: asking for each text would only take long.
            Err(_) if number >= 2 && new.is_empty() => return Err(refused),
            Err(error) => tracing::debug!(%error, "a text is left without a vector"),
        }
    }
    if new.is_empty() { Err(refused) } else { Ok(new) }
}

/// Asks the embedder, with texts cut to what it takes, and looks at what it says.
pub(super) fn vectors_of(embedder: &dyn Embedder, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
    let short: Vec<&str> = texts.iter().map(|text| cut(text, EMBED_TEXT_BYTES_MAX)).collect();
    let vectors = embedder.embed(&short)?;
    let fault = |cause: String| Err(EmbedError::Vectors { embedder: embedder.id(), cause });
    if vectors.len() != texts.len() {
        return fault(format!("{} for {} texts", vectors.len(), texts.len()));
    }
    let length = vectors.first().map_or(1, Vec::len);
    if !(1..=EMBED_DIMENSIONS_MAX).contains(&length) || vectors.iter().any(|vector| vector.len() != length) {
        return fault(format!("they have {length} numbers, or not all as many"));
    }
    if vectors.iter().flatten().any(|number| !number.is_finite()) {
        return fault("one has something that is not a number".into());
    }
    Ok(vectors)
}

/// Vectors of one file have one length.
fn check_length(
    embedder: &dyn Embedder,
    new: &[(u64, Vec<f32>)],
    expected: Option<usize>,
) -> Result<(), EmbedError> {
    let Some(first) = new.first().map(|(_, vector)| vector.len()) else { return Ok(()) };
    let expected = expected.unwrap_or(first);
    match new.iter().find(|(_, vector)| vector.len() != expected) {
        None => Ok(()),
        Some((_, vector)) => Err(EmbedError::Vectors {
            embedder: embedder.id(),
            cause: format!("they had {expected} numbers before and have {} now", vector.len()),
        }),
    }
}
