//! Words that say the same, from a small list that people wrote, and words that say nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use crate::text::stems;

/// Groups of words and phrases that say the same, one in a line, with commas between them.
const SYNONYMS: &str = include_str!("../../data/synonyms.txt");
/// Words that stand in all kinds of sentences.
const STOP_WORDS: &str = include_str!("../../data/stop-words.txt");

/// A word or a phrase, as stems.
type Phrase = Vec<String>;

static GROUPS: LazyLock<Vec<Vec<Phrase>>> = LazyLock::new(|| {
    let group = |line: &str| line.split(',').map(stems).filter(|phrase| !phrase.is_empty()).collect();
    lines(SYNONYMS).map(group).collect()
});

/// For each phrase's first stem: the phrases, and the groups they are in.
static BY_FIRST: LazyLock<BTreeMap<&str, Vec<(&Phrase, usize)>>> = LazyLock::new(|| {
    let mut by_first: BTreeMap<&str, Vec<(&Phrase, usize)>> = BTreeMap::new();
    for (number, group) in GROUPS.iter().enumerate() {
        for phrase in group {
            by_first.entry(&phrase[0]).or_default().push((phrase, number));
        }
    }
    by_first
});

static STOPS: LazyLock<BTreeSet<String>> = LazyLock::new(|| lines(STOP_WORDS).flat_map(stems).collect());

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Whether a stem says nothing by itself.
pub(super) fn says_nothing(stem: &str) -> bool {
    STOPS.contains(stem)
}

/// What says the same as a word or phrase with which these stems begin.
pub(super) fn at(stems: &[String]) -> impl Iterator<Item = &'static Phrase> + '_ {
    let first = stems.first().and_then(|stem| BY_FIRST.get(stem.as_str()));
    let begun = first.into_iter().flatten().filter(|(phrase, _)| stems.starts_with(phrase));
    begun.flat_map(|(phrase, group)| GROUPS[*group].iter().filter(move |other| other != phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(text: &str) -> Vec<String> {
        at(&stems(text)).map(|phrase| phrase.join(" ")).collect()
    }

    #[test]
    fn a_word_and_a_phrase_stand_for_each_other_w84() {
        assert!(same("defects").contains(&"bug".into()));
        assert!(same("sign in please").contains(&"login".into()));
        assert!(same("login").contains(&"sign in".into()));
        assert!(!same("sign").contains(&"login".into()));
        assert!(same("").is_empty());
    }

    #[test]
    fn no_phrase_of_the_list_stands_twice_in_a_group_or_alone() {
        let twice = |group: &&Vec<Phrase>| group.iter().collect::<BTreeSet<_>>().len() < group.len();
        assert_eq!(GROUPS.iter().filter(twice).collect::<Vec<_>>(), Vec::<&Vec<Phrase>>::new());
        assert!(GROUPS.iter().all(|group| group.len() > 1));
    }

    #[test]
    fn words_of_all_kinds_of_sentences_say_nothing() {
        assert!(says_nothing("the") && !says_nothing("deploy"));
    }
}
