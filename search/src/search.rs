//! One search: its filters, its mode, and what comes of it.

use muster_protocol::limits::{SEARCH_HITS_MAX, SEARCH_NEIGHBOURS};
use tantivy::{
    DocAddress, Order, Searcher,
    collector::{
        TopDocs,
        sort_key::{SortBySimilarityScore, SortByStaticFastValue},
    },
    query::Query as EngineQuery,
};
use ulid::Ulid;

use crate::{
    Answer, Error, Hit, Index, Mode, Query, exact,
    fields::{CREATED, ID_HIGH, ID_LOW, whole},
    filters::{filter, filtered},
    fuse, words,
};

/// A document on its way into an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) address: DocAddress,
    pub(crate) id: Ulid,
    pub(crate) score: f32,
}

impl Index {
    /// Looks into the last commit. Whatever is typed, it does not fail; an error says that the index has to
    /// be opened again. In [`Mode::Semantic`] it waits for the embedder, so it runs on a thread that may wait.
    pub fn search(&self, query: &Query) -> Result<Answer, Error> {
        let by_age = |hits| Answer { hits, tier: None, rank_max: 0.0 };
        let limit = query.limit.min(SEARCH_HITS_MAX);
        let Some(filter) = filter(query, &self.fields).filter(|_| limit > 0) else {
            return Ok(by_age(Vec::new()));
        };
        let searcher = self.reader.searcher();
        match query.mode {
            Mode::Exact => {
                let found = exact::search(&searcher, &self.fields, filter, &query.text, limit)?;
                Ok(by_age(found.into_iter().map(without_rank).collect()))
            }
            Mode::Newest => {
                let found = newest(&searcher, &*filter, 0, limit)?;
                Ok(by_age(found.into_iter().map(without_rank).collect()))
            }
            Mode::Words => {
                let hits = self.by_words(&searcher, filter, &query.text, limit)?;
                Ok(Answer { hits, tier: None, rank_max: words::RANK_MAX })
            }
            Mode::Semantic => self.by_meaning(&searcher, filter, query, limit),
        }
    }

    fn by_words(
        &self,
        searcher: &Searcher,
        filter: Box<dyn EngineQuery>,
        typed: &str,
        limit: usize,
    ) -> Result<Vec<Hit>, Error> {
        let units = words::units(typed);
        let Some(matching) = words::matching(&units, &self.fields) else { return Ok(Vec::new()) };
        let found = best(searcher, &filtered(filter, matching), limit)?;
        let hit = |found: Found| Hit { id: found.id, rank: words::rank(found.score, units.len()) };
        Ok(found.into_iter().map(hit).collect())
    }

    fn by_meaning(
        &self,
        searcher: &Searcher,
        filter: Box<dyn EngineQuery>,
        query: &Query,
        limit: usize,
    ) -> Result<Answer, Error> {
        let wide = limit.max(SEARCH_NEIGHBOURS);
        let words = self.by_words(searcher, filter.box_clone(), &query.text, wide)?;
        if let Some((neighbours, tier)) = self.meaning.neighbours(searcher, &*filter, &query.text, wide)? {
            let hits = fuse::by_rank(&words, &neighbours, limit);
            return Ok(Answer { hits, tier: Some(tier), rank_max: fuse::RANK_MAX });
        }
        let Some(related) = self.meaning.related(&query.text, query.workspace, &self.fields) else {
            let hits = words.into_iter().take(limit).collect();
            return Ok(Answer { hits, tier: None, rank_max: words::RANK_MAX });
        };
        let related = best(searcher, &filtered(filter, related), wide)?;
        let ids: Vec<Ulid> = related.iter().map(|found| found.id).collect();
        let hits = fuse::by_slots(&words, &ids, limit);
        Ok(Answer { hits, tier: Some(crate::Tier::Lexical), rank_max: fuse::RANK_MAX })
    }
}

fn without_rank(found: Found) -> Hit {
    Hit { id: found.id, rank: 0.0 }
}

/// The best by score; of equals the newest first.
pub(crate) fn best(searcher: &Searcher, query: &dyn EngineQuery, limit: usize) -> Result<Vec<Found>, Error> {
    let top = searcher.search(query, &TopDocs::with_limit(limit).order_by((SortBySimilarityScore, age())))?;
    top.into_iter().map(|((score, _), address)| found(searcher, address, score)).collect()
}

/// The newest, after so many newer ones.
pub(crate) fn newest(
    searcher: &Searcher,
    query: &dyn EngineQuery,
    offset: usize,
    limit: usize,
) -> Result<Vec<Found>, Error> {
    let top = searcher.search(query, &TopDocs::with_limit(limit).and_offset(offset).order_by(age()))?;
    top.into_iter().map(|(_, address)| found(searcher, address, 0.0)).collect()
}

type ByValue = (SortByStaticFastValue<u64>, Order);

/// Newest first; of one millisecond in the order of their ids, so that an answer is always the same.
fn age() -> (ByValue, (ByValue, ByValue)) {
    let by = |field| (SortByStaticFastValue::for_field(field), Order::Desc);
    (by(CREATED), (by(ID_HIGH), by(ID_LOW)))
}

pub(crate) fn found(searcher: &Searcher, address: DocAddress, score: f32) -> Result<Found, Error> {
    let columns = searcher.segment_reader(address.segment_ord).fast_fields();
    let value =
        |field| -> Result<u64, Error> { Ok(columns.u64(field)?.first(address.doc_id).unwrap_or_default()) };
    Ok(Found { address, id: whole(value(ID_HIGH)?, value(ID_LOW)?), score })
}
