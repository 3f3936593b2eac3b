//! Finding memos: what a query asks for, and how well a memo answers it (W-92, W-95).

use std::collections::BTreeSet;

use super::MemoText;
use crate::limits::MEMO_QUERY_WORDS_MAX;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing in particular: browsing.
    All,
    /// This text, in lower case, in title, abstract or a key point.
    Literal(String),
    /// Any of these words, each once and in lower case.
    Words(Vec<String>),
}

/// What a word that is found weighs, in hundredths, by where it is found.
const IN_TITLE: usize = 100;
const IN_POINTS: usize = 75;
const IN_SUMMARY: usize = 50;

impl Wanted {
    /// What a query asks for: nothing when it is blank; a literal text when `exact`, or when it stands between double
    /// quotes or holds no word; otherwise its words.
    pub fn read(query: &str, exact: bool) -> Self {
        let query = query.trim();
        let quoted = query.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let literal = quoted.unwrap_or(query);
        if literal.trim().is_empty() {
            return Self::All;
        }
        let words = words_of(query);
        if exact || quoted.is_some() || words.is_empty() {
            return Self::Literal(fold(literal));
        }
        Self::Words(words.into_iter().take(MEMO_QUERY_WORDS_MAX).collect())
    }

    /// How far a memo is from what is wanted, from 0 to 1; `None` when it has nothing of it.
    pub fn distance(&self, memo: &MemoText) -> Option<f64> {
        match self {
            Self::All => Some(0.0),
            Self::Literal(text) => {
                let mut parts = [&memo.title, &memo.summary].into_iter().chain(&memo.key_points);
                parts.any(|part| fold(part).contains(text)).then_some(0.0)
            }
            Self::Words(words) => {
                let title = words_of(&memo.title);
                let points =
                    memo.key_points.iter().chain(&memo.tags).flat_map(|part| words_of(part)).collect();
                let summary = words_of(&memo.summary);
                let places = [(&title, IN_TITLE), (&points, IN_POINTS), (&summary, IN_SUMMARY)];
                let weight = |word: &String| {
                    let found = places.iter().find(|(words, _)| has(words, word));
                    found.map_or(0, |(_, weight)| *weight)
                };
                let found: usize = words.iter().map(weight).sum();
                let share = found as f64 / (IN_TITLE * words.len()) as f64;
                (found > 0).then_some(1.0 - share)
            }
        }
    }
}

/// A text in which case makes no difference, letter by letter, as in the search index: what the index proposes and what
/// is judged here agree, also where a letter's small form depends on where it stands.
fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Whether a word is there, or the beginning of one: `deploy` finds `deployment`.
fn has(words: &BTreeSet<String>, word: &String) -> bool {
    words.range::<String, _>(word..).next().is_some_and(|found| found.starts_with(word.as_str()))
}

fn words_of(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memo::extract;

    fn memo(text: &str) -> MemoText {
        extract(text, &[]).unwrap()
    }

    fn distance(query: &str, exact: bool, text: &str) -> Option<f64> {
        Wanted::read(query, exact).distance(&memo(text))
    }

    const TEXT: &str =
        "Decision: Use redb for storage\n\nA file, 100% \"ours\".\n\n- deployments shrink\n\n#Disk";

    #[test]
    fn a_blank_query_browses_and_so_do_two_quotes_w92() {
        for (query, exact) in [("", false), ("  ", true), ("\"\"", false), ("\" \"", false)] {
            assert_eq!(Wanted::read(query, exact), Wanted::All, "{query:?}");
        }
        assert_eq!(distance("", false, TEXT), Some(0.0));
    }

    #[test]
    fn exact_and_quoted_queries_match_literally_in_any_part_but_tags_w92() {
        for query in ["FOR STORAGE", "\"for storage\"", "100%", "deployments sh"] {
            assert_eq!(distance(query, true, TEXT), Some(0.0), "{query}");
        }
        assert_eq!(distance("\"redb for\"", false, TEXT), Some(0.0));
        for query in ["storage for", "disk", "1000", "use_redb", "%"] {
            assert_eq!(distance(query, true, TEXT).is_some(), query == "%", "{query}");
        }
        assert_eq!(Wanted::read("%", false), Wanted::Literal("%".into()), "no word in it");
        assert_eq!(Wanted::read("\"", false), Wanted::Literal("\"".into()));
    }

    #[test]
    fn words_weigh_most_in_the_title_then_in_points_then_in_the_abstract_w95() {
        let of = |query| distance(query, false, TEXT).unwrap_or(9.0);
        assert_eq!(of("REDB, redb!"), 0.0);
        assert_eq!(of("deploy"), 0.25);
        assert_eq!(of("disk"), 0.25);
        assert_eq!(of("ours"), 0.5);
        assert_eq!(of("redb elephants"), 0.5);
        assert_eq!(of("elephants"), 9.0);
        assert!(of("redb storage") < of("redb ours") && of("redb ours") < of("ours elephants"));
    }
}
