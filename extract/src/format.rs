//! What a file is.

use muster_protocol::limits::EXTRACT_HEAD_BYTES;

/// What a file is, as far as it decides who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text without structure.
    Plain,
    /// Markdown.
    Markdown,
    /// A web page.
    Html,
    /// Rows of values.
    Csv,
    /// JSON.
    Json,
    /// A document of Word (docx).
    Word,
    /// A workbook of Excel (xlsx).
    Excel,
    /// Slides of PowerPoint (pptx).
    Slides,
    /// A text of OpenDocument (odt).
    OpenText,
    /// A PDF.
    Pdf,
    /// A picture; it is not read.
    Image,
    /// Anything else; it is not read.
    Other,
}

impl Format {
    /// What a file is that begins with `head` ([`EXTRACT_HEAD_BYTES`] of it are enough). Bytes count more than names, and names more than the
    /// type that was declared.
    pub fn of(head: &[u8], name: &str, declared: &str) -> Self {
        let named = Self::named(name, declared);
        match infer::get(head).map(|kind| kind.mime_type()) {
            Some("application/pdf") => Self::Pdf,
            Some("application/vnd.openxmlformats-officedocument.wordprocessingml.document") => Self::Word,
            Some("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet") => Self::Excel,
            Some("application/vnd.openxmlformats-officedocument.presentationml.presentation") => Self::Slides,
            Some("application/vnd.oasis.opendocument.text") => Self::OpenText,
            // Every office file is an archive, and not all begin with what tells them apart.
            Some("application/zip") if named.is_archive() => named,
            Some("text/html") => Self::Html,
            Some(mime) if mime.starts_with("image/") => Self::Image,
            Some(mime) if !mime.starts_with("text/") => Self::Other,
            _ if !is_text(head) => Self::Other,
            // The bytes say text, and no archive or PDF.
            _ if named.is_archive() || named == Self::Pdf => Self::Other,
            _ => named,
        }
    }

    fn named(name: &str, declared: &str) -> Self {
        let declared = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let guessed = mime_guess::from_path(name).first_raw();
        Self::of_mime(guessed.unwrap_or(&declared))
    }

    fn of_mime(mime: &str) -> Self {
        match mime {
            "text/markdown" | "text/x-markdown" => Self::Markdown,
            "text/html" | "application/xhtml+xml" => Self::Html,
            "text/csv" | "text/tab-separated-values" => Self::Csv,
            "application/json" => Self::Json,
            "application/pdf" => Self::Pdf,
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => Self::Word,
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => Self::Excel,
            "application/vnd.openxmlformats-officedocument.presentationml.presentation" => Self::Slides,
            "application/vnd.oasis.opendocument.text" => Self::OpenText,
            mime if mime.starts_with("image/") => Self::Image,
            mime if mime.ends_with("+json") => Self::Json,
            _ => Self::Plain,
        }
    }

    fn is_archive(self) -> bool {
        matches!(self, Self::Word | Self::Excel | Self::Slides | Self::OpenText)
    }

    /// Whether [`crate::text::read`] reads it.
    pub fn is_plain(self) -> bool {
        matches!(self, Self::Plain | Self::Markdown | Self::Html | Self::Csv | Self::Json)
    }

    /// Whether it is read in a process of its own.
    pub fn is_risky(self) -> bool {
        self.is_archive() || self == Self::Pdf
    }

    /// Its word on the command line of that process.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Word => "docx",
            Self::Excel => "xlsx",
            Self::Slides => "pptx",
            Self::OpenText => "odt",
            Self::Pdf => "pdf",
            _ => "none",
        }
    }

    /// The risky format of that word.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        let risky = [Self::Word, Self::Excel, Self::Slides, Self::OpenText, Self::Pdf];
        risky.into_iter().find(|format| format.word() == word)
    }
}

/// Whether bytes may be text: UTF-16 with its mark, or no zero byte and mostly UTF-8.
fn is_text(head: &[u8]) -> bool {
    let head = &head[..head.len().min(EXTRACT_HEAD_BYTES)];
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return true;
    }
    let broken: usize = head.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    // Texts in an older encoding have a few letters that are no UTF-8.
    !head.contains(&0) && broken * 10 <= head.len()
}

/// Width and height of an image, from its first bytes. `None` when they are no image's, or do not say.
pub fn image_size(head: &[u8]) -> Option<(u32, u32)> {
    infer::get(head).filter(|kind| kind.mime_type().starts_with("image/"))?;
    // It reads headers of some thirty formats; none of them may take the node down.
    let size = std::panic::catch_unwind(|| imagesize::blob_size(head)).ok()?.ok()?;
    let side = |pixels: usize| u32::try_from(pixels).ok().filter(|pixels| *pixels > 0);
    Some((side(size.width)?, side(size.height)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_more_than_names_and_names_more_than_declared_types() {
        let pdf = b"%PDF-1.7\n...";
        assert_eq!(Format::of(pdf, "notes.txt", "text/plain"), Format::Pdf);
        assert_eq!(Format::of(b"hello", "notes.md", "application/pdf"), Format::Markdown);
        assert_eq!(Format::of(b"hello", "notes", "text/csv; charset=utf-8"), Format::Csv);
        assert_eq!(Format::of(b"hello", "fake.pdf", "application/pdf"), Format::Other);
        assert_eq!(
            Format::of(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0", "notes.txt", "text/plain"),
            Format::Other
        );
        assert_eq!(Format::of(b"a\0b", "notes.txt", "text/plain"), Format::Other);
        assert_eq!(Format::of(b"<svg xmlns='x'/>", "x.svg", "image/svg+xml"), Format::Image);
        assert_eq!(Format::of(b"", "empty.txt", "text/plain"), Format::Plain);
        assert_eq!(Format::of("Gr\u{fc}\u{df}e".as_bytes(), "x", ""), Format::Plain);
    }

    #[test]
    fn an_image_tells_its_size_in_its_header() {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend([0, 0, 2, 0x80, 0, 0, 1, 0xe0, 8, 2, 0, 0, 0]);
        assert_eq!(image_size(&png), Some((640, 480)));
        assert_eq!(image_size(&png[..12]), None, "cut off");
        assert_eq!(image_size(b"no image at all"), None);
    }
}
