//! Office files: archives of XML. To be read in a process of its own, see [`crate::inside`].

use muster_protocol::limits::EXTRACT_TEXT_BYTES_MAX;
use serde_json::json;

use crate::{
    Extraction, Format, Unreadable,
    extraction::counted,
    markup::{Archive, Piece, walk},
    sheet,
};

/// Reads an office file.
///
/// # Errors
/// [`Unreadable`] when it is no such file, or unpacks to more than the limits of
/// [`muster_protocol::limits`] allow.
pub fn read(format: Format, bytes: &[u8]) -> Result<Extraction, Unreadable> {
    let mut archive = Archive::open(bytes)?;
    let found = match format {
        Format::Word => document(&mut archive, "docx", "word/document.xml"),
        Format::OpenText => document(&mut archive, "odt", "content.xml"),
        Format::Slides => slides(&mut archive),
        Format::Excel => sheet::read(&mut archive),
        _ => Err(Unreadable::new("it is no office file")),
    }?;
    Ok(found.bounded())
}

fn document(archive: &mut Archive<'_>, format: &str, entry: &str) -> Result<Extraction, Unreadable> {
    let source =
        archive.text(entry)?.ok_or_else(|| Unreadable::new("it has no text where such files have it"))?;
    let mut words = Words::default();
    words.add(&source, format == "odt");
    let mut found = Extraction::of_text(&words.text, "An empty document");
    found.word_metadata = Some(json!({
        "format": format, "paragraphCount": words.paragraphs, "truncated": words.is_full(),
        "wordCount": words.text.split_whitespace().count(), "characterCount": words.text.chars().count(),
    }));
    Ok(found)
}

fn slides(archive: &mut Archive<'_>) -> Result<Extraction, Unreadable> {
    let names = archive.names("ppt/slides/slide", ".xml");
    if names.is_empty() {
        return Err(Unreadable::new("it has no slides"));
    }
    let mut words = Words::default();
    for name in &names {
        if let Some(source) = archive.text(name)? {
            words.add(&source, false);
            words.text.push('\n');
        }
        if words.is_full() {
            break;
        }
    }
    let mut found =
        Extraction::of_text(&words.text, &format!("{} without text", counted(names.len(), "slide")));
    found.word_metadata = Some(json!({
        "format": "pptx", "slideCount": names.len(), "truncated": words.is_full(),
        "wordCount": words.text.split_whitespace().count(),
    }));
    Ok(found)
}

/// The words of a document in the order of its XML.
#[derive(Default)]
struct Words {
    text: String,
    paragraphs: usize,
}

impl Words {
    fn is_full(&self) -> bool {
        self.text.len() >= EXTRACT_TEXT_BYTES_MAX
    }

    /// Adds the words of one part. In Microsoft's formats words stand in elements called `t`; in an OpenDocument
    /// anywhere in `p` and `h`.
    fn add(&mut self, source: &str, open: bool) {
        let (mut in_words, mut depth) = (false, 0usize);
        walk(source, |piece| {
            match piece {
                Piece::Open("t", _) => in_words = true,
                Piece::Close("t") => in_words = false,
                Piece::Open("p" | "h", _) => depth += 1,
                Piece::Close("p" | "h") => {
                    depth = depth.saturating_sub(1);
                    self.paragraphs += 1;
                    self.text.push('\n');
                }
                Piece::Open("tab", _) => self.text.push('\t'),
                Piece::Open("br" | "cr" | "line-break", _) => self.text.push('\n'),
                Piece::Open("s", _) if open => self.text.push(' '),
                Piece::Text(words) if in_words || (open && depth > 0) => self.text.push_str(words),
                _ => {}
            }
            !self.is_full()
        });
    }
}
