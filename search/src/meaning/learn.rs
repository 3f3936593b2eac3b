//! What an index learns from its own text: which words are in use, and in whose company each stands.
//!
//! Random indexing: every word has a label of a few ones and minus ones at places that its name decides; the company
//! of a word is the sum of the labels of all words it stands with, rare ones counting more. Words of like company
//! often belong together. No weights come with the program, and nothing is kept on disk: it takes a second to learn.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
};

use muster_protocol::{
    ids::{StreamId, WorkspaceId},
    limits::{SEARCH_LEARNED_MESSAGES_MAX, SEARCH_LEARNED_WORDS_MAX},
};
use sha2::{Digest, Sha256};

use super::synonyms;
use crate::{
    Error, Index, Mode, Query,
    filters::filter,
    search,
    text::{grams, stems},
};

/// Numbers of a label and of a company: a byte names a place.
const PLACES: usize = 256;
/// Places of a label that are not zero.
const MARKS: usize = 8;
/// A word in fewer messages has no company worth the name.
const MESSAGES_MIN: u32 = 2;
/// Words that stand together: a long message is taken in pieces of so many.
const TOGETHER: usize = 48;
/// Neighbours of a word that count.
const NEIGHBOURS: usize = 10;
/// From here on two words are in like company.
const COMPANY_MIN: f32 = 0.3;
/// From here on two words are spelt alike: a long one with two letters exchanged is.
const SPELT_MIN: f32 = 0.55;

/// What was learnt from one workspace.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    /// In alphabetical order.
    words: Vec<String>,
    /// The company of each word, [`PLACES`] numbers.
    companies: Vec<i8>,
    lengths: Vec<f32>,
    /// For each piece of three letters: the words that have it.
    by_piece: BTreeMap<String, Vec<u32>>,
}

impl Index {
    /// Learns anew, from the newest messages below these root streams, which words of a workspace belong together. It
    /// shows in everybody's searches there, so the roots should be those that everybody may read. Takes a second for
    /// 100 000 messages; worth it after opening, and whenever there are a tenth more. Tells how many words it knows.
    pub fn learn(&self, workspace: WorkspaceId, roots: &BTreeSet<StreamId>) -> Result<usize, Error> {
        let query = Query::new(workspace, roots.iter().copied(), "", Mode::Words);
        let mut texts = Vec::new();
        if let Some(filter) = filter(&query, &self.fields) {
            let searcher = self.reader.searcher();
            // In the order they are stored, which is how they are read quickly.
            let mut newest = search::newest(&searcher, &*filter, 0, SEARCH_LEARNED_MESSAGES_MAX)?;
            newest.sort_unstable_by_key(|found| found.address);
            for found in newest {
                texts.push(stems(&self.text(&searcher, found.address)?));
            }
        }
        let learned = Learned::new(&texts);
        let words = learned.words.len();
        let mut all = self.meaning.learned.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(workspace, Arc::new(learned));
        Ok(words)
    }
}

impl Learned {
    fn new(texts: &[Vec<String>]) -> Self {
        let uses = uses(texts);
        let numbers: BTreeMap<&str, usize> =
            uses.keys().enumerate().map(|(number, word)| (*word, number)).collect();
        let weight = |messages: &u32| (texts.len() as f32 / *messages as f32).ln();
        let weights: Vec<f32> = uses.values().map(weight).collect();
        let labels: Vec<[(u8, f32); MARKS]> = uses.keys().map(|word| label(word)).collect();
        let mut companies = vec![0.0; uses.len() * PLACES];
        for together in texts.iter().flat_map(|text| text.chunks(TOGETHER)) {
            let present: BTreeSet<usize> =
                together.iter().filter_map(|word| numbers.get(word.as_str()).copied()).collect();
            let mut sum = [0.0; PLACES];
            for &number in &present {
                mark(&mut sum, &labels[number], weights[number]);
            }
            for &number in &present {
                let company = &mut companies[number * PLACES..][..PLACES];
                company.iter_mut().zip(&sum).for_each(|(place, sum)| *place += sum);
                mark(company, &labels[number], -weights[number]);
            }
        }
        let mut learned =
            Self { words: uses.keys().map(|word| (*word).to_owned()).collect(), ..Self::default() };
        for company in companies.chunks(PLACES) {
            learned.keep(company);
        }
        for (number, word) in (0u32..).zip(&learned.words) {
            for piece in pieces(word) {
                learned.by_piece.entry(piece).or_default().push(number);
            }
        }
        learned
    }

    /// Of a company only its direction counts, and a byte for each number shows it well enough.
    fn keep(&mut self, company: &[f32]) {
        let largest = company.iter().fold(0.0f32, |largest, number| largest.max(number.abs()));
        let scale = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let small: Vec<i8> = company.iter().map(|number| (number * scale).round() as i8).collect();
        let squares: f32 = small.iter().map(|number| f32::from(*number) * f32::from(*number)).sum();
        self.lengths.push(squares.sqrt());
        self.companies.extend(small);
    }

    /// The words whose company is most like that of `stem`, and how like it is.
    pub(super) fn in_company_like(&self, stem: &str) -> Vec<(String, f32)> {
        let Ok(own) = self.words.binary_search_by(|word| word.as_str().cmp(stem)) else { return Vec::new() };
        let company = |number: usize| &self.companies[number * PLACES..][..PLACES];
        let likeness = |other: usize| {
            let pairs = company(own).iter().zip(company(other));
            let product: i32 = pairs.map(|(one, other)| i32::from(*one) * i32::from(*other)).sum();
            let lengths = self.lengths[own] * self.lengths[other];
            if lengths > 0.0 { product as f32 / lengths } else { 0.0 }
        };
        let others = (0..self.words.len()).filter(|other| *other != own);
        self.best(others.map(|other| (other, likeness(other))), COMPANY_MIN)
    }

    /// The words in use that are spelt most like `stem`, and how like: the share of pieces they have in common.
    pub(super) fn spelt_like(&self, stem: &str) -> Vec<(String, f32)> {
        let pieces = pieces(stem);
        let mut common: BTreeMap<u32, usize> = BTreeMap::new();
        for number in pieces.iter().filter_map(|piece| self.by_piece.get(piece)).flatten() {
            *common.entry(*number).or_default() += 1;
        }
        let others = common.into_iter().map(|(number, common)| (number as usize, common));
        let others = others.filter(|(number, _)| self.words[*number] != stem);
        let likeness = |(number, common): (usize, usize)| {
            let both = pieces.len() + self.words[number].chars().count();
            (number, 2.0 * common as f32 / both as f32)
        };
        self.best(others.map(likeness), SPELT_MIN)
    }

    fn best(&self, words: impl Iterator<Item = (usize, f32)>, least: f32) -> Vec<(String, f32)> {
        let mut near: Vec<(usize, f32)> = words.filter(|(_, likeness)| *likeness >= least).collect();
        near.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        near.truncate(NEIGHBOURS);
        near.into_iter().map(|(number, likeness)| (self.words[number].clone(), likeness)).collect()
    }
}

/// The words to learn about, and in how many messages each stands: those that say something, in use more than once,
/// and the most used if there are too many.
fn uses(texts: &[Vec<String>]) -> BTreeMap<&str, u32> {
    let mut uses: BTreeMap<&str, u32> = BTreeMap::new();
    for text in texts {
        let different: BTreeSet<&str> = text.iter().map(String::as_str).collect();
        for word in different {
            *uses.entry(word).or_default() += 1;
        }
    }
    let tells = |word: &str| word.contains(char::is_alphabetic) && !synonyms::says_nothing(word);
    uses.retain(|word, messages| *messages >= MESSAGES_MIN && tells(word));
    if uses.len() > SEARCH_LEARNED_WORDS_MAX {
        let mut by_use: Vec<(&str, u32)> = uses.into_iter().collect();
        by_use.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
        by_use.truncate(SEARCH_LEARNED_WORDS_MAX);
        uses = by_use.into_iter().collect();
    }
    uses
}

/// The places of a word's label and what stands there.
fn label(word: &str) -> [(u8, f32); MARKS] {
    let hash = Sha256::digest(word.as_bytes());
    std::array::from_fn(|mark| (hash[mark], if hash[MARKS + mark] & 1 == 0 { 1.0 } else { -1.0 }))
}

fn mark(sum: &mut [f32], label: &[(u8, f32); MARKS], weight: f32) {
    for (place, sign) in label {
        sum[usize::from(*place)] += sign * weight;
    }
}

/// The pieces of a word, its beginning and its end among them: as many as it has letters.
fn pieces(word: &str) -> BTreeSet<String> {
    grams(&format!(" {word} "), false).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(texts: &[&str]) -> Learned {
        Learned::new(&texts.iter().map(|text| stems(text)).collect::<Vec<_>>())
    }

    #[test]
    fn words_among_the_same_words_are_found_w84() {
        let mut texts = vec!["lunch menu soup bread"; 5];
        texts.extend(["kafka broker topic partition lag", "kafka broker topic partition offset"]);
        texts.extend(["redpanda broker topic partition lag", "redpanda broker topic partition offset"]);
        let near = learned(&texts).in_company_like("kafka");
        assert_eq!(near[0].0, "redpanda");
        assert!(near.iter().all(|(word, _)| word != "soup" && word != "kafka"));
    }

    #[test]
    fn a_word_that_is_mistyped_is_found_in_the_words_in_use_w84() {
        let learned = learned(&["kubernetes cluster"; 2]);
        assert_eq!(learned.spelt_like("kubernets")[0].0, "kubernet");
        assert_eq!(learned.spelt_like("kuberntes")[0].0, "kubernet");
        assert!(learned.spelt_like("lunch").is_empty());
    }

    #[test]
    fn words_that_are_used_once_or_say_nothing_are_not_learnt() {
        assert_eq!(learned(&["the deploy 42 once", "the deploy 42"]).words, ["deploy"]);
        assert!(learned(&[]).in_company_like("deploy").is_empty());
    }
}
