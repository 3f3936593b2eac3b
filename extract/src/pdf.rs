//! PDFs. To be read in a process of its own, see [`crate::inside`]: the parser is known to panic, to overflow the
//! stack and to ask for all memory.

use std::panic::{AssertUnwindSafe, catch_unwind};

use muster_protocol::limits::EXTRACT_TEXT_BYTES_MAX;
use pdf_extract::{Document, PlainTextOutput, output_doc_page};
use serde_json::json;

use crate::{Extraction, Unreadable, extraction::counted};

/// Reads the text of a PDF, page by page, until there is enough of it. A page that cannot be read is passed over.
///
/// # Errors
/// [`Unreadable`] when it is no PDF, is encrypted, or none of its pages can be read.
pub fn read(bytes: &[u8]) -> Result<Extraction, Unreadable> {
    let document = Document::load_mem(bytes).map_err(|_| Unreadable::new("it is no PDF that can be read"))?;
    if document.is_encrypted() {
        return Err(Unreadable::new("it is encrypted"));
    }
    let pages = document.get_pages().len();
    let (mut text, mut read, mut broken) = (String::new(), 0, 0);
    for page in document.get_pages().into_keys() {
        if text.len() >= EXTRACT_TEXT_BYTES_MAX {
            break;
        }
        match catch_unwind(AssertUnwindSafe(|| read_page(&document, page))) {
            Ok(Some(words)) => {
                text.push_str(&words);
                text.push('\n');
                read += 1;
            }
            _ => broken += 1,
        }
    }
    if read == 0 {
        return Err(Unreadable::new("none of its pages can be read"));
    }
    let mut found = Extraction::of_text(&text, &format!("A PDF of {} without text", counted(pages, "page")));
    found.pdf_metadata = Some(json!({
        "totalPages": pages, "readPages": read, "unreadablePages": broken, "truncated": read + broken < pages,
    }));
    Ok(found.bounded())
}

fn read_page(document: &Document, page: u32) -> Option<String> {
    let mut words = String::new();
    output_doc_page(document, &mut PlainTextOutput::new(&mut words), page).ok()?;
    Some(words)
}
