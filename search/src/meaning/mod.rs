//! What texts mean: who knows it, and what a search gets from them (W-84).
//!
//! An [`Embedder`] turns texts into vectors, and texts of like meaning into like vectors. Without one the index has
//! what it knows by itself: synonyms, words that are spelt alike, words that stand among the same words. That is far
//! less, and the answer says so ([`Tier`]).

mod embed;
mod endpoint;
mod learn;
mod lexical;
#[cfg(feature = "static-model")]
mod model_folder;
mod synonyms;
mod vectors;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use muster_protocol::ids::WorkspaceId;
use tantivy::{
    DocAddress, Searcher,
    query::{EnableScoring, Query as EngineQuery},
};
use ulid::Ulid;

pub use embed::Progress;
pub use endpoint::{Endpoint, Http, HttpRequest};
#[cfg(feature = "static-model")]
pub use model_folder::ModelFolder;

use crate::{EmbedError, Error, fields::Fields, fields::TEXT_HASH, search};
use learn::Learned;
use vectors::{Direction, Vectors};

/// What the meaning in an answer comes from, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// From the index itself: synonyms, spelling, the company of words.
    Lexical,
    /// From a model in a folder of the operator.
    Static,
    /// From a server that the operator named.
    Endpoint,
}

impl Tier {
    /// `lexical`, `static` or `endpoint`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lexical => "lexical",
            Self::Static => "static",
            Self::Endpoint => "endpoint",
        }
    }
}

/// Turns texts into vectors.
pub trait Embedder: Send + Sync {
    /// Names whatever makes vectors comparable: two embedders of one id give one text the same vector.
    fn id(&self) -> String;

    /// What kind of embedder it is.
    fn tier(&self) -> Tier;

    /// One vector for each text, all of one length, in the order of the texts. May take its time.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError>;
}

/// All that an index knows about meaning.
pub(crate) struct Meaning {
    embedder: Option<(Arc<dyn Embedder>, RwLock<Vectors>)>,
    learned: RwLock<BTreeMap<WorkspaceId, Arc<Learned>>>,
}

impl Meaning {
    pub(crate) fn open(folder: &Path, embedder: Option<Arc<dyn Embedder>>) -> Result<Self, Error> {
        let embedder = match embedder {
            None => None,
            Some(embedder) => {
                let vectors = Vectors::open(folder, &embedder.id())?;
                Some((embedder, RwLock::new(vectors)))
            }
        };
        Ok(Self { embedder, learned: RwLock::default() })
    }

    /// The tier of the best answer there can be.
    fn tier(&self) -> Tier {
        self.embedder.as_ref().map_or(Tier::Lexical, |(embedder, _)| embedder.tier())
    }

    /// The messages that are nearest to a text, the nearest first; `None` when no embedder can say.
    pub(crate) fn neighbours(
        &self,
        searcher: &Searcher,
        filter: &dyn EngineQuery,
        text: &str,
        limit: usize,
    ) -> Result<Option<(Vec<Ulid>, Tier)>, Error> {
        let Some((embedder, vectors)) = &self.embedder else { return Ok(None) };
        if vectors.read().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return Ok(None);
        }
        let direction = match embed::vectors_of(&**embedder, &[text]) {
            Ok(vectors) => vectors.into_iter().next().map(Direction::new),
            Err(error) => {
                tracing::warn!(%error, "a search goes on without its meaning");
                return Ok(None);
            }
        };
        let Some(direction) = direction else { return Ok(None) };
        let vectors = vectors.read().unwrap_or_else(PoisonError::into_inner);
        let nearest = nearest(searcher, filter, &vectors, &direction, limit)?;
        Ok(Some((nearest, embedder.tier())))
    }

    /// What finds messages that are related to a text by what the index knows itself; `None` when it says nothing.
    pub(crate) fn related(
        &self,
        text: &str,
        workspace: WorkspaceId,
        fields: &Fields,
    ) -> Option<Box<dyn EngineQuery>> {
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner).get(&workspace).cloned();
        lexical::related(text, learned.as_deref(), fields)
    }
}

impl crate::Index {
    /// What an answer's meaning comes from when everything works.
    pub fn tier(&self) -> Tier {
        self.meaning.tier()
    }
}

/// Looks at the vector of every message that is let through: some ten milliseconds for a hundred thousand.
fn nearest(
    searcher: &Searcher,
    filter: &dyn EngineQuery,
    vectors: &Vectors,
    direction: &Direction,
    limit: usize,
) -> Result<Vec<Ulid>, Error> {
    let weight = filter.weight(EnableScoring::disabled_from_searcher(searcher))?;
    let mut near: Vec<(f32, DocAddress)> = Vec::new();
    for (number, segment) in (0u32..).zip(searcher.segment_readers()) {
        let hashes = segment.fast_fields().u64(TEXT_HASH)?;
        let alive = segment.alive_bitset();
        weight.for_each_no_score(segment, &mut |documents| {
            for &document in
                documents.iter().filter(|document| alive.is_none_or(|all| all.is_alive(**document)))
            {
                let likeness = hashes.first(document).and_then(|hash| vectors.likeness(direction, hash));
                if let Some(likeness) = likeness.filter(|likeness| *likeness > 0.0) {
                    near.push((likeness, DocAddress::new(number, document)));
                }
            }
        })?;
    }
    near.sort_unstable_by(|one, other| other.0.total_cmp(&one.0));
    near.truncate(limit);
    let found = near.into_iter().map(|(likeness, address)| search::found(searcher, address, likeness));
    let mut found = found.collect::<Result<Vec<_>, _>>()?;
    found.sort_by(|one, other| other.score.total_cmp(&one.score).then(other.id.cmp(&one.id)));
    Ok(found.into_iter().map(|found| found.id).collect())
}
