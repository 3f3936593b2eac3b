//! Archives and the XML in them, as office files have it.

use std::io::{Cursor, Read};

use muster_protocol::limits::{
    EXTRACT_ENTRIES_MAX, EXTRACT_ENTRY_BYTES_MAX, EXTRACT_RATIO_FREE_BYTES, EXTRACT_RATIO_MAX,
    EXTRACT_UNPACKED_BYTES_MAX,
};
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};
use zip::ZipArchive;

use crate::Unreadable;

/// An archive in memory, and how much of it may still be unpacked.
pub(crate) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    left: u64,
}

impl<'a> Archive<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|_| Unreadable::new("it is no archive"))?;
        if zip.len() > EXTRACT_ENTRIES_MAX {
            return Err(Unreadable::new("its archive has too many entries"));
        }
        Ok(Self { zip, left: EXTRACT_UNPACKED_BYTES_MAX })
    }

    /// Names of all entries, sorted as people count: `slide2` before `slide10`.
    pub(crate) fn names(&self, begin: &str, end: &str) -> Vec<String> {
        let names = self.zip.file_names().filter_map(Result::ok).map(|name| name.into_owned());
        let mut names: Vec<_> = names.filter(|name| name.starts_with(begin) && name.ends_with(end)).collect();
        names.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        names
    }

    /// The text of an entry; `None` when there is no such entry. What an entry says about its size is not believed:
    /// bytes are counted as they come out.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Unreadable> {
        let Some(index) = self.zip.index_for_name(name) else { return Ok(None) };
        let entry =
            self.zip.by_index(index).map_err(|_| Unreadable::new("an entry of its archive is broken"))?;
        let by_ratio =
            entry.compressed_size().saturating_mul(EXTRACT_RATIO_MAX).max(EXTRACT_RATIO_FREE_BYTES);
        let max = by_ratio.min(EXTRACT_ENTRY_BYTES_MAX).min(self.left);
        let mut bytes = Vec::new();
        let read = entry.take(max + 1).read_to_end(&mut bytes);
        read.map_err(|_| Unreadable::new("an entry of its archive is broken"))?;
        let length = bytes.len() as u64;
        if length > max {
            return Err(Unreadable::new("its archive unpacks to far more than it is"));
        }
        self.left -= length;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// What stands in XML, without namespaces.
pub(crate) enum Piece<'a> {
    /// An element begins.
    Open(&'a str, &'a BytesStart<'a>),
    /// An element ends.
    Close(&'a str),
    /// Characters.
    Text(&'a str),
}

/// Walks over XML without building a tree, until it ends, breaks or `visit` returns false. A document that breaks
/// off keeps what was found before.
pub(crate) fn walk(source: &str, mut visit: impl FnMut(Piece<'_>) -> bool) {
    let mut reader = Reader::from_str(source);
    reader.config_mut().check_end_names = false; // which would remember every open element
    loop {
        let goes_on = match reader.read_event() {
            Ok(Event::Start(tag)) => visit(Piece::Open(tag.local_name().as_ref(), &tag)),
            Ok(Event::Empty(tag)) => {
                let (name, empty) = (tag.local_name(), &tag);
                visit(Piece::Open(name.as_ref(), empty)) && visit(Piece::Close(name.as_ref()))
            }
            Ok(Event::End(tag)) => visit(Piece::Close(tag.local_name().as_ref())),
            Ok(Event::Text(text)) => visit(Piece::Text(&text.xml10_content())),
            Ok(Event::CData(text)) => visit(Piece::Text(&text.xml10_content())),
            Ok(Event::GeneralRef(reference)) => match reference.resolve_char_ref() {
                Ok(Some(c)) => visit(Piece::Text(c.encode_utf8(&mut [0; 4]))),
                // Entities that the document itself defines are left out: they are how a line becomes a gigabyte.
                _ => visit(Piece::Text(quick_xml::escape::resolve_xml_entity(&reference).unwrap_or(""))),
            },
            Ok(Event::Eof) | Err(_) => return,
            Ok(_) => true,
        };
        if !goes_on {
            return;
        }
    }
}

/// An attribute's value, whatever its namespace.
pub(crate) fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut attributes = tag.attributes();
    let found = attributes
        .with_checks(false)
        .filter_map(Result::ok)
        .find(|attribute| attribute.key.local_name().as_ref() == name)?;
    Some(quick_xml::escape::unescape(&found.value).ok()?.into_owned())
}
