//! What was found in a file, and how it is kept small.

use muster_protocol::limits::{EXTRACT_DATA_BYTES_MAX, EXTRACT_SUMMARY_CHARS_MAX, EXTRACT_TEXT_BYTES_MAX};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What kind of content a file has (W-105).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContentType {
    /// A drawing of numbers.
    Chart,
    /// Rows and columns.
    Table,
    /// A drawing of relations.
    Diagram,
    /// A picture of a screen.
    Screenshot,
    /// A picture of the world.
    Photo,
    /// Text to read.
    Document,
    /// Something else.
    Other,
}

impl ContentType {
    /// All of them, in the order of the contract.
    pub const ALL: [Self; 7] =
        [Self::Chart, Self::Table, Self::Diagram, Self::Screenshot, Self::Photo, Self::Document, Self::Other];

    /// Its name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chart => "chart",
            Self::Table => "table",
            Self::Diagram => "diagram",
            Self::Screenshot => "screenshot",
            Self::Photo => "photo",
            Self::Document => "document",
            Self::Other => "other",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What was found in a file: `AttachmentExtraction` of the contract (W-105). As JSON it is at most
/// [`muster_protocol::limits::EXTRACT_JSON_BYTES_MAX`] long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extraction {
    /// What kind of content it is.
    pub content_type: ContentType,
    /// One line for people; never empty.
    pub summary: String,
    /// Its text, cut to [`EXTRACT_TEXT_BYTES_MAX`]; `None` when it has none.
    pub full_text: Option<String>,
    /// Its content as data, when it is small enough.
    pub structured_data: Option<Value>,
    /// Of a PDF.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pdf_metadata: Option<Value>,
    /// Of a text file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_metadata: Option<Value>,
    /// Of a document of a word processor, or of slides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word_metadata: Option<Value>,
    /// Of a workbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excel_metadata: Option<Value>,
}

impl Extraction {
    /// What a text says. `fallback` is its summary when it says nothing.
    pub(crate) fn of_text(text: &str, fallback: &str) -> Self {
        let text = tidy(text);
        let summary = match summary_of(&text) {
            summary if summary.is_empty() => fallback.to_owned(),
            summary => summary,
        };
        Self {
            content_type: ContentType::Document,
            summary,
            full_text: (!text.is_empty()).then_some(text),
            structured_data: None,
            pdf_metadata: None,
            text_metadata: None,
            word_metadata: None,
            excel_metadata: None,
        }
    }

    /// Holds every bound, whoever made it: what another process wrote is only input.
    pub fn bounded(mut self) -> Self {
        self.summary = summary_of(&tidy(&self.summary));
        self.full_text = self.full_text.map(|text| tidy(&text)).filter(|text| !text.is_empty());
        let every = [
            &mut self.structured_data,
            &mut self.pdf_metadata,
            &mut self.text_metadata,
            &mut self.word_metadata,
            &mut self.excel_metadata,
        ];
        let mut left = EXTRACT_DATA_BYTES_MAX;
        for data in every {
            let length = data.as_ref().map_or(0, |data| data.to_string().len());
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => *data = None,
            }
        }
        self
    }
}

/// Text as it is kept: no control characters, which would only grow in JSON and on terminals; one line end; no blank
/// ends; cut to [`EXTRACT_TEXT_BYTES_MAX`].
pub(crate) fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len().min(EXTRACT_TEXT_BYTES_MAX));
    for c in text.trim().chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')) {
        if tidied.len() + c.len_utf8() > EXTRACT_TEXT_BYTES_MAX {
            break;
        }
        tidied.push(c);
    }
    tidied
}

/// The first words of a text, on one line, cut at a word.
pub(crate) fn summary_of(text: &str) -> String {
    let mut summary = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let word_length = word.chars().count();
        if length + word_length + 1 > EXTRACT_SUMMARY_CHARS_MAX {
            if length == 0 {
                summary.extend(word.chars().take(EXTRACT_SUMMARY_CHARS_MAX - 1));
            }
            summary.push('…');
            break;
        }
        if length > 0 {
            summary.push(' ');
            length += 1;
        }
        summary.push_str(word);
        length += word_length;
    }
    summary
}

/// "1 row", "2 rows".
pub(crate) fn counted(number: usize, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_one_bounded_line_cut_at_a_word_w105() {
        assert_eq!(summary_of("  one\n\ntwo  "), "one two");
        let long = summary_of(&"word ".repeat(200));
        assert!(long.ends_with(" word…") && long.chars().count() <= EXTRACT_SUMMARY_CHARS_MAX);
        assert_eq!(summary_of(&"x".repeat(100_000)).chars().count(), EXTRACT_SUMMARY_CHARS_MAX);
    }

    #[test]
    fn what_another_process_says_is_cut_to_every_bound() {
        let mut big = Extraction::of_text("x", "nothing");
        big.full_text = Some("ä\u{0}".repeat(EXTRACT_TEXT_BYTES_MAX));
        big.structured_data = Some(Value::String("y".repeat(EXTRACT_DATA_BYTES_MAX)));
        big.pdf_metadata = Some(serde_json::json!({ "totalPages": 3 }));
        let cut = big.bounded();
        assert_eq!(cut.full_text.map(|text| text.len()), Some(EXTRACT_TEXT_BYTES_MAX));
        assert_eq!((cut.structured_data, cut.pdf_metadata.is_some()), (None, true));
    }
}
