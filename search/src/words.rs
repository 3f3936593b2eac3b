//! Searching by words (W-82): any word matches; a message with all of them stands above one with fewer.
//!
//! Nothing that is typed is an operator, but for double quotes: what stands between two of them is a phrase, and
//! counts like one word.

use muster_protocol::limits::SEARCH_WORDS_MAX;
use tantivy::{
    Term,
    query::{BooleanQuery, ConstScoreQuery, Occur, PhraseQuery, Query as EngineQuery, TermQuery},
    schema::IndexRecordOption,
};

use crate::{fields::Fields, text::stems};

/// What a message with all the words has on top. More than the words of any query can score: 64 of them at about 30.
const ALL: f32 = 2048.0;
/// No rank by words is greater; see [`rank`].
pub(crate) const RANK_MAX: f64 = 2.0;
/// How quickly a rank approaches its end: about what one ordinary word scores.
const HALF: f64 = 8.0;

/// A word or a phrase, as stems.
type Unit = Vec<String>;

/// The words and phrases of what was typed, each once.
pub(crate) fn units(typed: &str) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let parts: Vec<&str> = typed.split(['"', '“', '”', '„']).collect();
    for (number, part) in parts.iter().enumerate() {
        // Every second part stands between quotes. The last one does not, even if a quote was opened before it.
        let quoted = number % 2 == 1 && number + 1 < parts.len();
        let stems = stems(part);
        match quoted {
            true => units.push(stems),
            false => units.extend(stems.into_iter().map(|stem| vec![stem])),
        }
    }
    units.retain(|unit| !unit.is_empty());
    let mut seen = std::collections::BTreeSet::new();
    units.retain(|unit| seen.insert(unit.clone()));
    units.truncate(SEARCH_WORDS_MAX);
    units
}

/// The messages that hold any of them, or `None` when nothing is asked for.
pub(crate) fn matching(units: &[Unit], fields: &Fields) -> Option<Box<dyn EngineQuery>> {
    let engine = |unit: &Unit| phrase(unit, fields);
    match units {
        [] => None,
        [only] => Some(engine(only)),
        several => {
            let all = BooleanQuery::intersection(several.iter().map(engine).collect());
            let all: Box<dyn EngineQuery> = Box::new(ConstScoreQuery::new(Box::new(all), ALL));
            let any = several.iter().map(engine).chain([all]).map(|query| (Occur::Should, query));
            Some(Box::new(BooleanQuery::new(any.collect())))
        }
    }
}

/// Messages in which these stems stand one after another.
pub(crate) fn phrase(stems: &[String], fields: &Fields) -> Box<dyn EngineQuery> {
    let term = |stem: &String| Term::from_field_text(fields.words, stem);
    match stems {
        [stem] => Box::new(TermQuery::new(term(stem), IndexRecordOption::WithFreqs)),
        stems => Box::new(PhraseQuery::new(stems.iter().map(term).collect())),
    }
}

/// A rank that people can read: below 1 when words are missing, from 1 to 2 when all are there.
pub(crate) fn rank(score: f32, units: usize) -> f64 {
    let all = units == 1 || score >= ALL;
    let score = f64::from(if units > 1 && all { score - ALL } else { score }).max(0.0);
    f64::from(u8::from(all)) + score / (score + HALF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Vec<String> {
        units(text).into_iter().map(|unit| unit.join("+")).collect()
    }

    #[test]
    fn quotes_make_phrases_and_one_alone_makes_none_w82() {
        assert_eq!(typed(r#"red "green apple" blue"#), ["red", "green+appl", "blue"]);
        assert_eq!(typed(r#"red "green apple"#), ["red", "green", "appl"]);
        assert_eq!(typed("“green apple”"), ["green+appl"]);
        assert_eq!(typed(r#""" red """"#), ["red"]);
        assert!(typed("\"\"\"").is_empty());
    }

    #[test]
    fn operators_are_words_or_nothing_w82() {
        assert_eq!(
            typed("a AND -b OR (c:*) ^2 ~ [x TO y]"),
            ["a", "and", "b", "or", "c", "2", "x", "to", "y"]
        );
    }

    #[test]
    fn a_word_said_twice_counts_once_and_no_more_than_the_limit_count() {
        assert_eq!(typed("run runs running"), ["run"]);
        let many: String = (0..1000).map(|number| format!("w{number} ")).collect();
        assert_eq!(units(&many).len(), SEARCH_WORDS_MAX);
    }

    #[test]
    fn a_rank_grows_with_the_score_and_jumps_when_no_word_is_missing() {
        let ranks = [rank(0.5, 2), rank(900.0, 2), rank(ALL + 0.5, 2), rank(ALL + 900.0, 2)];
        assert!(ranks.is_sorted() && ranks[1] < 1.0 && ranks[2] > 1.0);
        assert!(rank(0.5, 1) < rank(3.0, 1));
    }
}
