//! Memos: short notes that point back at the messages they were distilled from (W-88 to W-98).
//!
//! Most are *extracted*: a message that says in its metadata or in its first line what kind of knowledge it holds is a
//! memo as well. Every node extracts the same memo from the same text, so nothing is sent for it. That is why the text
//! is read line by line here and not by a library for Markdown: a newer version of that could read another memo.
//! Others are written by hand, and are operations.

mod find;

use serde_tuple::{Deserialize_tuple, Serialize_tuple};
use ulid::Ulid;

use crate::{
    cbor::Bytes16,
    ids::{OpId, hash, ulid},
    limits::{
        MEMO_ABSTRACT_CHARS_MAX, MEMO_KEY_POINT_CHARS_MAX, MEMO_KEY_POINTS_MAX, MEMO_SOURCES_MAX,
        MEMO_TAG_CHARS_MAX, MEMO_TAGS_MAX, MEMO_TITLE_CHARS_MAX,
    },
};

pub use find::Wanted;

/// The metadata in which a message says what kind of knowledge it holds.
pub const TYPE_KEY: &str = "memo.type";

/// Why a memo has more than one version.
pub const SOURCE_EDITED: &str = "source edited";

/// What kind of knowledge (W-90).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Knowledge {
    /// What was decided.
    Decision,
    /// What was found out.
    Learning,
    /// How something is done.
    Procedure,
    /// What has to be known to understand the rest.
    Context,
    /// Where something is.
    Reference,
}

impl Knowledge {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Decision, Self::Learning, Self::Procedure, Self::Context, Self::Reference];

    /// Its name in the doors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Learning => "learning",
            Self::Procedure => "procedure",
            Self::Context => "context",
            Self::Reference => "reference",
        }
    }

    /// The kind of a name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What a memo says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoText {
    /// What kind of knowledge.
    pub knowledge: Knowledge,
    /// One line.
    pub title: String,
    /// One paragraph; empty when the message has none.
    pub summary: String,
    /// What else it says, each in one line.
    pub key_points: Vec<String>,
    /// In lower case, each once.
    pub tags: Vec<String>,
}

/// A memo that was written by hand, in the space of the messages it rests on, or, resting on none, in the workspace's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Memo {
    /// The ULID of its `memo_` id; of its author's node. Said again under one id, the newest counts.
    pub id: Bytes16,
    /// The public channel that the sources stand in; empty in a private stream, and when there are none.
    pub channel: String,
    /// See [`Knowledge::as_str`].
    pub knowledge: String,
    /// See [`MemoText::title`].
    pub title: String,
    /// See [`MemoText::summary`]; not empty.
    pub summary: String,
    /// See [`MemoText::key_points`].
    pub key_points: Vec<String>,
    /// See [`MemoText::tags`].
    pub tags: Vec<String>,
    /// The ULIDs of the messages it rests on, each once, all under one root stream.
    pub sources: Vec<Bytes16>,
}

/// Why a memo is not taken. Each says what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMemo {
    /// Of another kind of knowledge.
    #[error("`knowledge_type` is decision, learning, procedure, context or reference")]
    Knowledge,
    /// Blank, too long, or of more than one line.
    #[error("`title` is one line of 1 to {MEMO_TITLE_CHARS_MAX} characters")]
    Title,
    /// Blank or too long.
    #[error("`abstract` has 1 to {MEMO_ABSTRACT_CHARS_MAX} characters")]
    Abstract,
    /// Too many, or one that is blank or too long.
    #[error(
        "`key_points` holds at most {MEMO_KEY_POINTS_MAX} texts of 1 to {MEMO_KEY_POINT_CHARS_MAX} characters"
    )]
    KeyPoints,
    /// Too many, or one that is none.
    #[error(
        "`tags` holds at most {MEMO_TAGS_MAX} words of 1 to {MEMO_TAG_CHARS_MAX} letters, digits, `_` and `-`, in lower case and each once"
    )]
    Tags,
    /// Too many, or one twice.
    #[error("`source_message_ids` holds at most {MEMO_SOURCES_MAX} ids, each once")]
    Sources,
}

impl Memo {
    /// Its id.
    pub fn ulid(&self) -> Ulid {
        Ulid::from_bytes(self.id.0)
    }

    /// Checks all that needs nothing else.
    ///
    /// # Errors
    /// The first part that breaks its rule.
    pub fn check(&self) -> Result<MemoText, BadMemo> {
        let knowledge = Knowledge::from_word(&self.knowledge).ok_or(BadMemo::Knowledge)?;
        let fits = |text: &str, max: usize| {
            !text.trim().is_empty() && text.chars().count() <= max && !text.contains('\0')
        };
        if !fits(&self.title, MEMO_TITLE_CHARS_MAX) || self.title.contains(['\n', '\r']) {
            return Err(BadMemo::Title);
        }
        if !fits(&self.summary, MEMO_ABSTRACT_CHARS_MAX) {
            return Err(BadMemo::Abstract);
        }
        let points_fit = self.key_points.iter().all(|point| fits(point, MEMO_KEY_POINT_CHARS_MAX));
        if self.key_points.len() > MEMO_KEY_POINTS_MAX || !points_fit {
            return Err(BadMemo::KeyPoints);
        }
        if self.tags.len() > MEMO_TAGS_MAX || !self.tags.iter().all(|tag| is_tag(tag)) || repeats(&self.tags)
        {
            return Err(BadMemo::Tags);
        }
        if self.sources.len() > MEMO_SOURCES_MAX || repeats(&self.sources) {
            return Err(BadMemo::Sources);
        }
        Ok(MemoText {
            knowledge,
            title: self.title.clone(),
            summary: self.summary.clone(),
            key_points: self.key_points.clone(),
            tags: self.tags.clone(),
        })
    }
}

fn repeats<T: Ord>(all: &[T]) -> bool {
    all.iter().collect::<std::collections::BTreeSet<_>>().len() < all.len()
}

/// A tag as it is kept: in lower case, without the `#`.
fn is_tag(tag: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    !tag.is_empty()
        && tag.chars().count() <= MEMO_TAG_CHARS_MAX
        && tag.chars().all(is_part)
        && tag.to_lowercase() == *tag
}

/// The id of the memo that a text of a message makes: of the message's time, and of the operation that gave the text,
/// the same on every node.
pub fn extracted_id(source: Ulid, text_of: OpId) -> Ulid {
    let whole = hash("muster/memo/v1", &[&source.to_bytes(), &text_of.0]);
    let mut random = [0; 10];
    random.copy_from_slice(&whole[..10]);
    ulid(source.timestamp_ms(), random)
}

/// The memo in a message, if it says that it holds one: its metadata names the kind of knowledge under [`TYPE_KEY`], or
/// its first line begins with the kind and a colon (`Decision: …`). The rest of that line is the title, the paragraph
/// below it the abstract, list items are key points, and words with `#` are tags.
pub fn extract(text: &str, metadata: &[(String, String)]) -> Option<MemoText> {
    let mut lines = text.lines().map(str::trim_end).skip_while(|line| line.trim().is_empty());
    let first = lines.next()?;
    let named = metadata.iter().find(|(key, _)| key == TYPE_KEY);
    let named = named.and_then(|(_, kind)| Knowledge::from_word(kind));
    let marked = marker(first);
    let knowledge = named.or(marked.map(|(kind, _)| kind))?;
    let title = plain(marked.map_or(first, |(_, rest)| rest));
    let parts = Parts::read(lines);
    // A marker that stands alone has its title in what follows.
    let (title, summary) = match (title.is_empty(), parts.paragraph) {
        (false, summary) => (title.to_owned(), summary),
        (true, summary) if !summary.is_empty() => (summary, String::new()),
        (true, _) => (parts.items.first()?.clone(), String::new()),
    };
    Some(MemoText {
        knowledge,
        title: cut(&title, MEMO_TITLE_CHARS_MAX),
        summary: cut(&summary, MEMO_ABSTRACT_CHARS_MAX),
        key_points: parts.items,
        tags: tags(text),
    })
}

/// A line without what Markdown puts in front of a heading and around bold text.
fn plain(line: &str) -> &str {
    let line = line.trim();
    let heading = line.trim_start_matches('#');
    let is_heading = heading.len() < line.len() && heading.starts_with([' ', '\t']);
    (if is_heading { heading } else { line }).trim().trim_matches(['*', '_']).trim()
}

/// The kind of knowledge that a line begins with, and what follows its colon: `Decision: …`, `## Decision: …`,
/// `**Decision:** …`, in any case.
fn marker(line: &str) -> Option<(Knowledge, &str)> {
    let (word, rest) = plain(line).split_once(':')?;
    let word = word.trim_matches(['*', '_']).trim().to_lowercase();
    Some((Knowledge::from_word(&word)?, rest.trim_start_matches(['*', '_'])))
}

/// What stands below the first line.
#[derive(Default)]
struct Parts {
    /// The first paragraph, as one line.
    paragraph: String,
    /// List items, as far as there may be.
    items: Vec<String>,
}

impl Parts {
    fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut parts = Self::default();
        let mut paragraph_done = false;
        let mut in_item = false;
        for line in outside_fences(lines) {
            if line.trim().is_empty() {
                paragraph_done |= !parts.paragraph.is_empty();
                in_item = false;
            } else if let Some(item) = item(line) {
                paragraph_done |= !parts.paragraph.is_empty();
                in_item = parts.items.len() < MEMO_KEY_POINTS_MAX;
                if in_item {
                    parts.items.push(item.to_owned());
                }
            } else if line.trim_start().starts_with('#') {
                in_item = false; // a heading, or a line of tags
            } else if let Some(last) = parts.items.last_mut().filter(|_| in_item) {
                extend(last, line, MEMO_KEY_POINT_CHARS_MAX);
            } else if !paragraph_done {
                extend(&mut parts.paragraph, line, MEMO_ABSTRACT_CHARS_MAX);
            }
        }
        for item in &mut parts.items {
            *item = cut(item, MEMO_KEY_POINT_CHARS_MAX);
        }
        parts
    }
}

/// Adds a line to a text of one line, unless that is full already.
fn extend(text: &mut String, line: &str, chars_max: usize) {
    // A character has at most four bytes; what is too much is cut later.
    if text.len() <= 4 * chars_max {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(line.trim());
    }
}

/// Lines that stand in no fenced code.
fn outside_fences<'a>(lines: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let mut fence: Option<&str> = None;
    lines.filter(move |line| {
        let line = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| line.starts_with(mark));
        match (fence, mark) {
            (None, None) => true,
            (None, Some(_)) => {
                fence = mark;
                false
            }
            (Some(open), Some(mark)) if open == mark => {
                fence = None;
                false
            }
            (Some(_), _) => false,
        }
    })
}

/// What a list item says: `- …`, `* …`, `+ …`, `1. …` or `1) …`, without a box to tick.
fn item(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let rest = match line.strip_prefix(['-', '*', '+']) {
        Some(rest) => rest,
        None => {
            let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
            if number.len() == line.len() {
                return None;
            }
            number.strip_prefix(['.', ')'])?
        }
    };
    let said = rest.strip_prefix([' ', '\t'])?.trim();
    let unticked = ["[ ] ", "[x] ", "[X] "].into_iter().find_map(|tick| said.strip_prefix(tick));
    let said = unticked.unwrap_or(said).trim();
    (!said.is_empty()).then_some(said)
}

/// The words with `#` in front, outside code; no numbers alone, as those name something else.
fn tags(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in outside_fences(text.lines()) {
        // Every second piece stands between two backticks, but for the last.
        let pieces: Vec<&str> = line.split('`').collect();
        let last = pieces.len() - 1;
        for (number, piece) in pieces.iter().enumerate() {
            if number % 2 == 1 && number != last {
                continue;
            }
            for tag in tags_in(piece) {
                if found.len() == MEMO_TAGS_MAX {
                    return found;
                }
                if !found.contains(&tag) {
                    found.push(tag);
                }
            }
        }
    }
    found
}

fn tags_in(piece: &str) -> impl Iterator<Item = String> {
    piece.match_indices('#').filter_map(move |(at, _)| {
        let before = piece[..at].chars().next_back();
        if before.is_some_and(|c| !c.is_whitespace() && !matches!(c, '(' | '[' | ',' | ';' | '*' | '_')) {
            return None; // the middle of an address or of a word
        }
        let rest = &piece[at + 1..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-')).unwrap_or(rest.len());
        let tag = rest[..end].trim_matches(['_', '-']).to_lowercase();
        (is_tag(&tag) && tag.chars().any(char::is_alphabetic)).then_some(tag)
    })
}

/// The first characters of a text, with a sign where something is missing.
fn cut(text: &str, chars_max: usize) -> String {
    let text = text.trim();
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => {
            let end = text.char_indices().nth(chars_max - 1).map_or(text.len(), |(end, _)| end);
            text[..end].trim_end().to_owned() + "…"
        }
    }
}

#[cfg(test)]
mod tests;
