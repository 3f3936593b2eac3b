//! What a file is and what it says, without trusting it.
//!
//! A file comes from a stranger's disk through a friend's hands. So nothing here believes its name, its declared
//! type, or what it says about its own size:
//!
//! - [`Format::of`] looks at the first bytes, and at the name only where bytes do not tell.
//! - [`image_size`] reads width and height from an image's header; no image is ever decoded.
//! - Text ([`text`], [`html`]) is read in this process, by code that walks once over a bounded beginning.
//! - Office files and PDFs ([`office`], [`pdf`]) are read by parsers that are known to hang, to overflow the stack
//!   and to take all memory. They run in a process of their own ([`inside`]), which can open no file and no socket,
//!   has little memory and little time, and whose answer is bounded ([`Extractor`]).
//!
//! What comes out is an [`Extraction`], in the words of W-105. It is made without a model: the summary is the
//! beginning of the text, or says what a table looks like.
//!
//! ```
//! use muster_extract::{ContentType, Format, text};
//! let bytes = b"name,city\nada,London\n";
//! assert_eq!(Format::of(bytes, "people.csv", "application/octet-stream"), Format::Csv);
//! let found = text::read(Format::Csv, bytes, bytes.len() as u64).unwrap();
//! assert_eq!(found.content_type, ContentType::Table);
//! assert_eq!(found.summary, "A table of 1 row and 2 columns: name, city");
//! ```

mod child;
mod extraction;
mod format;
pub mod html;
pub mod inside;
mod markup;
pub mod office;
pub mod pdf;
mod sheet;
pub mod text;

pub use child::{Extractor, Outcome};
pub use extraction::{ContentType, Extraction};
pub use format::{Format, image_size};

/// Why a file could not be read. It names no content of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{0}")]
pub struct Unreadable(pub String);

impl Unreadable {
    pub(crate) fn new(why: impl std::fmt::Display) -> Self {
        Self(why.to_string())
    }
}
