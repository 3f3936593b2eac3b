//! How text is taken apart: into words, and into pieces of three letters.
//!
//! Both sides, messages and queries, go through the same functions; so what is indexed can be asked for.

use muster_protocol::limits::SEARCH_WORD_BYTES_MAX;
use tantivy::tokenizer::{Language, Stemmer, TextAnalyzer, Token, TokenStream, Tokenizer};

/// Letters of a piece.
pub(crate) const GRAM: usize = 3;
/// Stands behind the end of a text, so that its last letters begin pieces, too. Nobody types it.
const PAD: char = '\0';

/// Runs of letters and digits in lower case. Letters of scripts without spaces stand alone. Words that are too long
/// for people, such as encoded bytes, are cut.
#[derive(Clone, Default)]
pub(crate) struct Words;

/// All pieces of three letters in lower case, one for each letter of the text.
#[derive(Clone, Default)]
pub(crate) struct Grams;

/// What either makes of one text.
pub(crate) struct Tokens {
    tokens: std::vec::IntoIter<Token>,
    token: Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = Tokens;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Tokens {
        Tokens::new(words(text))
    }
}

impl Tokenizer for Grams {
    type TokenStream<'a> = Tokens;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Tokens {
        Tokens::new(grams(&fold(text), true))
    }
}

impl Tokens {
    fn new(texts: Vec<String>) -> Self {
        let token = |(position, text)| Token { text, position, ..Token::default() };
        let tokens: Vec<Token> = texts.into_iter().enumerate().map(token).collect();
        Self { tokens: tokens.into_iter(), token: Token::default() }
    }
}

impl TokenStream for Tokens {
    fn advance(&mut self) -> bool {
        self.tokens.next().map(|token| self.token = token).is_some()
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

/// Words as they are indexed: in lower case and without English endings.
pub(crate) fn stemmed() -> TextAnalyzer {
    TextAnalyzer::builder(Words).filter(Stemmer::new(Language::English)).build()
}

/// The stems of a text, in order.
pub(crate) fn stems(text: &str) -> Vec<String> {
    let mut analyzer = stemmed();
    let mut stream = analyzer.token_stream(text);
    let mut stems = Vec::new();
    while stream.advance() {
        stems.push(std::mem::take(&mut stream.token_mut().text));
    }
    stems
}

/// The words of a text in lower case.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for letter in text.chars() {
        if !letter.is_alphanumeric() || stands_alone(letter) {
            end(&mut word, &mut words);
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
        if stands_alone(letter) {
            end(&mut word, &mut words);
        }
    }
    end(&mut word, &mut words);
    words
}

fn end(word: &mut String, words: &mut Vec<String>) {
    if !word.is_empty() {
        word.truncate(cut(word, SEARCH_WORD_BYTES_MAX).len());
        words.push(std::mem::take(word));
    }
}

/// As much of the beginning of a text as has so many bytes.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    let whole = |end: &usize| text.is_char_boundary(*end);
    &text[..(0..=bytes.min(text.len())).rev().find(whole).unwrap_or_default()]
}

/// Thai, Lao and Khmer letters, kana, and Chinese characters: nothing says where their words end.
fn stands_alone(letter: char) -> bool {
    let script = matches!(letter as u32, 0x0E00..=0x0EFF | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x3400..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF);
    script && letter.is_alphanumeric()
}

/// A text in which case makes no difference. Letter by letter, so that what is part of a text stays part of it.
pub(crate) fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// The pieces of a folded text: of a whole one also those that begin with its last letters.
pub(crate) fn grams(folded: &str, whole: bool) -> Vec<String> {
    let mut letters: Vec<char> = folded.chars().collect();
    if whole && !letters.is_empty() {
        letters.extend([PAD; GRAM - 1]);
    }
    letters.windows(GRAM).map(String::from_iter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case() {
        assert_eq!(words("Don't  re-deploy API_v2!"), ["don", "t", "re", "deploy", "api", "v2"]);
        assert!(words(" \t…?!").is_empty());
    }

    #[test]
    fn letters_of_scripts_without_spaces_are_words_of_their_own() {
        assert_eq!(words("v2の設定 ok"), ["v2", "の", "設", "定", "ok"]);
    }

    #[test]
    fn a_word_without_end_is_cut_at_a_letter() {
        let cut = words(&"é".repeat(SEARCH_WORD_BYTES_MAX));
        assert_eq!(cut, ["é".repeat(SEARCH_WORD_BYTES_MAX / 2)]);
    }

    #[test]
    fn english_endings_make_no_difference_w82() {
        assert_eq!(stems("deployments failing"), stems("Deployment FAILED"));
    }

    #[test]
    fn every_letter_of_a_whole_text_begins_a_piece() {
        assert_eq!(grams("abcd", true), ["abc", "bcd", "cd\0", "d\0\0"]);
        assert_eq!(grams("abcd", false), ["abc", "bcd"]);
        assert!(grams("", true).is_empty());
    }
}
