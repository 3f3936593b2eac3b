//! One answer of two: what words found and what meaning found.

use std::collections::{BTreeMap, BTreeSet};

use ulid::Ulid;

use crate::Hit;

/// How slowly a place in a ranking loses its worth (W-84).
const RANKS: f64 = 60.0;
/// What the first place of both rankings has, and the first place of slots.
pub(crate) const RANK_MAX: f64 = 1.0 / (RANKS + 1.0);
/// What a place by words counts (W-84).
const WORDS: f64 = 0.6;
/// What a place by meaning counts (W-84).
const MEANING: f64 = 0.4;
/// Of ten places, those that words fill. Measured: a weak knowledge of meaning that is mixed in by rank makes a
/// search worse; in three places of its own it costs nothing.
const WORDS_OF_TEN: usize = 7;

/// Reciprocal ranks, for embedders that know the meaning of texts (W-84).
pub(crate) fn by_rank(words: &[Hit], meaning: &[Ulid], limit: usize) -> Vec<Hit> {
    let mut ranks: BTreeMap<Ulid, f64> = BTreeMap::new();
    let words = words.iter().map(|hit| hit.id).enumerate().map(|place| (place, WORDS));
    let meaning = meaning.iter().copied().enumerate().map(|place| (place, MEANING));
    for ((place, id), weight) in words.chain(meaning) {
        *ranks.entry(id).or_default() += weight / worth(place);
    }
    let mut hits: Vec<Hit> = ranks.into_iter().map(|(id, rank)| Hit { id, rank }).collect();
    // Of equals the newer id; ids begin with their time.
    hits.sort_by(|one, other| other.rank.total_cmp(&one.rank).then(other.id.cmp(&one.id)));
    hits.truncate(limit);
    hits
}

/// Seven of ten places by words in their order, three for what they missed; either fills what the other leaves.
pub(crate) fn by_slots(words: &[Hit], related: &[Ulid], limit: usize) -> Vec<Hit> {
    let mut placed = BTreeSet::new();
    let mut words = words.iter().map(|hit| hit.id);
    let mut related = related.iter().copied();
    let mut hits = Vec::new();
    while hits.len() < limit {
        let block = hits.len() / 10 * 10;
        let size = (limit - block).min(10);
        let for_words = (size * WORDS_OF_TEN).div_ceil(10);
        let mut next_word = || words.find(|id| !placed.contains(id));
        let mut next_related = || related.find(|id| !placed.contains(id));
        let next = match hits.len() - block < for_words {
            true => next_word().or_else(next_related),
            false => next_related().or_else(next_word),
        };
        let Some(id) = next else { break };
        placed.insert(id);
        hits.push(Hit { id, rank: 1.0 / worth(hits.len()) });
    }
    hits
}

fn worth(place: usize) -> f64 {
    RANKS + place as f64 + 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: impl IntoIterator<Item = u128>) -> Vec<Ulid> {
        numbers.into_iter().map(Ulid::from).collect()
    }

    fn hits(numbers: impl IntoIterator<Item = u128>) -> Vec<Hit> {
        ids(numbers).into_iter().map(|id| Hit { id, rank: 1.0 }).collect()
    }

    fn numbers(hits: &[Hit]) -> Vec<u128> {
        hits.iter().map(|hit| hit.id.into()).collect()
    }

    #[test]
    fn ranks_are_fused_with_weights_of_six_and_four_tenths_w84() {
        let fused = by_rank(&hits([1, 2]), &ids([2, 3]), 10);
        assert_eq!(numbers(&fused), [2, 1, 3]);
        let expected = [0.6 / 62.0 + 0.4 / 61.0, 0.6 / 61.0, 0.4 / 62.0];
        assert!(fused.iter().zip(expected).all(|(hit, rank)| (hit.rank - rank).abs() < 1e-12));
        assert_eq!(by_rank(&hits([1, 2]), &ids([2, 3]), 2).len(), 2);
    }

    #[test]
    fn of_ten_places_words_keep_seven_in_their_order_w84() {
        let fused = by_slots(&hits(1..=20), &ids(101..=120), 20);
        let expected = (1..=7).chain(101..=103).chain(8..=14).chain(104..=106);
        assert_eq!(numbers(&fused), expected.collect::<Vec<_>>());
        assert!(fused.is_sorted_by(|one, other| one.rank > other.rank));
    }

    #[test]
    fn either_fills_what_the_other_leaves_and_nothing_stands_twice() {
        assert_eq!(numbers(&by_slots(&hits([1]), &ids([1, 2, 3]), 10)), [1, 2, 3]);
        assert_eq!(numbers(&by_slots(&hits(1..=12), &ids([]), 10)), (1..=10).collect::<Vec<_>>());
        assert_eq!(numbers(&by_slots(&hits(1..=12), &ids([9, 1]), 10)), [1, 2, 3, 4, 5, 6, 7, 9, 8, 10]);
        assert!(by_slots(&[], &[], 10).is_empty());
    }

    #[test]
    fn a_short_answer_keeps_a_place_for_meaning_too() {
        assert_eq!(numbers(&by_slots(&hits(1..=9), &ids([101]), 5)), [1, 2, 3, 4, 101]);
        assert_eq!(numbers(&by_slots(&hits(1..=9), &ids([101]), 1)), [1]);
    }
}
