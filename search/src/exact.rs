//! Searching for the text as it stands (W-83): its pieces of three letters say which messages may hold it, and the
//! stored text says which do.

use std::{collections::BTreeSet, ops::Bound};

use tantivy::{
    Searcher, TantivyDocument, Term,
    query::{BooleanQuery, InvertedIndexRangeQuery, Query as EngineQuery, TermQuery},
    schema::{IndexRecordOption, Value},
};

use crate::{
    Error,
    fields::Fields,
    search::{self, Found},
    text::{GRAM, fold, grams},
};

/// Pieces of a query that are looked up; a message that has so many of them holds the text almost certainly.
const PIECES_MAX: usize = 48;
/// Messages looked at beyond those that are wanted, so that a few that only look alike cost no second round.
const SPARE: usize = 16;

/// The newest `limit` messages that `filter` lets through and that hold `typed`.
pub(crate) fn search(
    searcher: &Searcher,
    fields: &Fields,
    filter: Box<dyn EngineQuery>,
    typed: &str,
    limit: usize,
) -> Result<Vec<Found>, Error> {
    let wanted = fold(typed);
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let query = BooleanQuery::intersection(vec![filter, candidates(&wanted, fields)]);
    let (mut found, mut offset, mut round) = (Vec::new(), 0, limit + SPARE);
    loop {
        let newest = search::newest(searcher, &query, offset, round)?;
        let ended = newest.len() < round;
        for candidate in newest {
            if holds(searcher, fields, &candidate, &wanted)? {
                found.push(candidate);
                if found.len() == limit {
                    return Ok(found);
                }
            }
        }
        if ended {
            return Ok(found);
        }
        // Each round looks at everything anew; rounds that grow keep their number small.
        (offset, round) = (offset + round, round * 4);
    }
}

/// Messages that have all the pieces of a folded text; of a text that is too short to have any, those in which a
/// piece begins with it.
fn candidates(wanted: &str, fields: &Fields) -> Box<dyn EngineQuery> {
    let term = |text: &str| Term::from_field_text(fields.grams, text);
    if wanted.chars().count() < GRAM {
        let after = format!("{wanted}{}", char::MAX.to_string().repeat(GRAM));
        let range =
            InvertedIndexRangeQuery::new(Bound::Included(term(wanted)), Bound::Excluded(term(&after)));
        return Box::new(range);
    }
    let pieces: BTreeSet<String> = grams(wanted, false).into_iter().collect();
    let every = pieces.len().div_ceil(PIECES_MAX);
    let terms = pieces.iter().step_by(every).map(|piece| {
        let query: Box<dyn EngineQuery> = Box::new(TermQuery::new(term(piece), IndexRecordOption::Basic));
        query
    });
    Box::new(BooleanQuery::intersection(terms.collect()))
}

fn holds(searcher: &Searcher, fields: &Fields, candidate: &Found, wanted: &str) -> Result<bool, Error> {
    let document: TantivyDocument = searcher.doc(candidate.address)?;
    let text = document.get_first(fields.text).and_then(|value| value.as_str()).unwrap_or_default();
    Ok(fold(text).contains(wanted))
}
