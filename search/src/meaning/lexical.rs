//! Meaning without a model: a query is widened by what says the same, is spelt alike, or stands in like company.
//!
//! The widened query goes through the engine like any other, filters inside; so no message needs a vector, and
//! nothing has to be made anew when a message arrives.

use tantivy::query::{BooleanQuery, BoostQuery, ConstScoreQuery, DisjunctionMaxQuery, Query as EngineQuery};

use super::{learn::Learned, synonyms};
use crate::{fields::Fields, text::stems, words};

/// Words of a query that are widened; the rest of a long text adds little.
const WIDENED_MAX: usize = 16;
/// What a synonym counts against the word itself.
const SYNONYM: f32 = 0.7;
/// What a word that is spelt alike counts, were it the same.
const SPELT: f32 = 0.6;
/// What a word in like company counts, were its company the same. It is the weakest sign.
const COMPANY: f32 = 0.4;

/// The widened query, or `None` when nothing stands for anything in the text. It finds messages that hold something
/// which stands for a word, since those that only hold the words themselves are found by them; but the words count.
pub(super) fn related(
    text: &str,
    learned: Option<&Learned>,
    fields: &Fields,
) -> Option<Box<dyn EngineQuery>> {
    let stems = stems(text);
    let (mut widened, mut substitutes): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
    for begin in 0..stems.len() {
        let stem = &stems[begin];
        let phrases = alternatives(&stems[begin..], learned);
        substitutes.extend(phrases.iter().map(|(phrase, _)| words::phrase(phrase, fields)));
        let own = (!synonyms::says_nothing(stem)).then(|| (vec![stem.clone()], 1.0));
        let weighted: Vec<_> =
            phrases.into_iter().chain(own).map(|phrase| weighted(&phrase, fields)).collect();
        if !weighted.is_empty() {
            widened.push(boxed(DisjunctionMaxQuery::new(weighted)));
        }
        if widened.len() == WIDENED_MAX {
            break;
        }
    }
    let substitutes = (!substitutes.is_empty()).then(|| boxed(BooleanQuery::union(substitutes)))?;
    let substituted = boxed(ConstScoreQuery::new(substitutes, 0.0));
    Some(boxed(BooleanQuery::intersection(vec![boxed(BooleanQuery::union(widened)), substituted])))
}

fn weighted((phrase, weight): &(Vec<String>, f32), fields: &Fields) -> Box<dyn EngineQuery> {
    boxed(BoostQuery::new(words::phrase(phrase, fields), *weight))
}

fn boxed(query: impl EngineQuery) -> Box<dyn EngineQuery> {
    Box::new(query)
}

/// What may stand for what these stems begin with, besides themselves, and how much it counts.
fn alternatives(stems: &[String], learned: Option<&Learned>) -> Vec<(Vec<String>, f32)> {
    let mut alternatives = Vec::new();
    let stem = &stems[0];
    if let Some(learned) = learned.filter(|_| !synonyms::says_nothing(stem)) {
        let spelt = learned.spelt_like(stem).into_iter();
        alternatives.extend(spelt.map(|(word, likeness)| (vec![word], SPELT * likeness)));
        let company = learned.in_company_like(stem).into_iter();
        alternatives.extend(company.map(|(word, likeness)| (vec![word], COMPANY * likeness)));
    }
    let says_something = |phrase: &[String]| phrase.iter().any(|stem| !synonyms::says_nothing(stem));
    let same = synonyms::at(stems).filter(|phrase| says_something(phrase));
    alternatives.extend(same.map(|phrase| (phrase.clone(), SYNONYM)));
    alternatives
}
