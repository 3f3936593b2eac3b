//! What a document has to be, besides holding what is asked for (W-35, W-85). All of it is inside the engine's query.

use std::{collections::BTreeSet, ops::Bound};

use muster_protocol::ids::StreamId;
use tantivy::{
    Term,
    query::{
        BooleanQuery, ConstScoreQuery, Occur, Query as EngineQuery, RangeQuery, TermQuery, TermSetQuery,
    },
    schema::{Field, IndexRecordOption},
};

use crate::{
    Query,
    fields::{Fields, item_number, kind_number},
};

/// The documents that are let through, or `None` when there cannot be any.
pub(crate) fn filter(query: &Query, fields: &Fields) -> Option<Box<dyn EngineQuery>> {
    let mut all: Vec<Box<dyn EngineQuery>> = vec![
        Box::new(term(Term::from_field_u64(fields.item, item_number(query.item)))),
        Box::new(term(Term::from_field_bytes(fields.workspace, &query.workspace.0.to_bytes()))),
        any(stream_terms(fields.root, &query.roots))?,
    ];
    if let Some(streams) = &query.streams {
        let terms = stream_terms(fields.stream, streams).chain(stream_terms(fields.root, streams));
        all.push(any(terms)?);
    }
    if let Some(author) = &query.author {
        all.push(Box::new(term(Term::from_field_bytes(fields.author, author.as_bytes()))));
    }
    if let Some(kinds) = &query.kinds {
        all.push(any(kinds.iter().map(|kind| Term::from_field_u64(fields.kind, kind_number(*kind))))?);
    }
    for labels in &query.labels {
        all.push(any(labels.iter().map(|label| Term::from_field_bytes(fields.labels, label.as_bytes())))?);
    }
    if query.after_ms.is_some() || query.before_ms.is_some() {
        let time = |ms| Term::from_field_u64(fields.created, ms);
        let after = query.after_ms.map_or(Bound::Unbounded, |ms| Bound::Included(time(ms)));
        let before = query.before_ms.map_or(Bound::Unbounded, |ms| Bound::Excluded(time(ms)));
        all.push(Box::new(RangeQuery::new(after, before)));
    }
    Some(Box::new(BooleanQuery::intersection(all)))
}

/// What is let through and matches, scored by how it matches alone.
pub(crate) fn filtered(filter: Box<dyn EngineQuery>, matching: Box<dyn EngineQuery>) -> BooleanQuery {
    let filter: Box<dyn EngineQuery> = Box::new(ConstScoreQuery::new(filter, 0.0));
    BooleanQuery::new(vec![(Occur::Must, filter), (Occur::Must, matching)])
}

fn stream_terms(field: Field, streams: &BTreeSet<StreamId>) -> impl Iterator<Item = Term> {
    streams.iter().map(move |stream| Term::from_field_bytes(field, &stream.0))
}

fn any(terms: impl Iterator<Item = Term>) -> Option<Box<dyn EngineQuery>> {
    let mut terms = terms.peekable();
    terms.peek()?;
    Some(Box::new(TermSetQuery::new(terms)))
}

fn term(term: Term) -> TermQuery {
    TermQuery::new(term, IndexRecordOption::Basic)
}
