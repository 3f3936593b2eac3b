//! Text files: plain, Markdown, web pages, tables and JSON. Read in this process, once, from a bounded beginning.

use muster_protocol::limits::{EXTRACT_COLUMNS_MAX, EXTRACT_PLAIN_BYTES_MAX, EXTRACT_ROWS_MAX};
use serde_json::{Value, json};

use crate::{
    ContentType, Extraction, Format, Unreadable,
    extraction::{counted, summary_of},
    html,
};

/// Reads the beginning of a text file, `bytes`, of which no more than [`EXTRACT_PLAIN_BYTES_MAX`] is looked at;
/// `whole` is how many bytes the file has.
///
/// # Errors
/// [`Unreadable`] when the format is not one of text.
pub fn read(format: Format, bytes: &[u8], whole: u64) -> Result<Extraction, Unreadable> {
    let bytes = &bytes[..bytes.len().min(EXTRACT_PLAIN_BYTES_MAX)];
    let (source, encoding) = decode(bytes);
    let cut = (bytes.len() as u64) < whole;
    let (name, mut found) = match format {
        Format::Plain => ("plain", Extraction::of_text(&source, "An empty text")),
        Format::Markdown => ("markdown", markdown(&source)),
        Format::Html => ("html", page(&source)),
        Format::Csv => ("csv", table(&source)),
        Format::Json => ("json", data(&source, cut)),
        _ => return Err(Unreadable::new("it is no text")),
    };
    let mut metadata = json!({
        "format": name, "encoding": encoding, "totalBytes": whole, "truncated": cut,
        "totalLines": source.lines().count(),
    });
    if format == Format::Markdown {
        metadata["sections"] = headings(&source).collect();
    }
    found.text_metadata = Some(metadata);
    Ok(found.bounded())
}

/// Bytes as text, and in which encoding they were. What is broken becomes `�`; a character that the end cuts in two
/// is left out.
fn decode(bytes: &[u8]) -> (String, &'static str) {
    let wide = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = rest.as_chunks().0.iter().map(|pair| unit(*pair)).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => (wide(rest, u16::from_le_bytes), "utf-16le"),
        [0xfe, 0xff, rest @ ..] => (wide(rest, u16::from_be_bytes), "utf-16be"),
        [0xef, 0xbb, 0xbf, rest @ ..] => narrow(rest),
        bytes => narrow(bytes),
    }
}

fn narrow(bytes: &[u8]) -> (String, &'static str) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), "utf-8"),
        Err(error) if error.error_len().is_none() => {
            (String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned(), "utf-8")
        }
        Err(_) => (String::from_utf8_lossy(bytes).into_owned(), "unknown"),
    }
}

fn markdown(source: &str) -> Extraction {
    let mut found = Extraction::of_text(source, "An empty text");
    let plain: String = source
        .lines()
        .map(|line| line.trim_start_matches(['#', '>', '*', '-', ' ']).to_owned() + "\n")
        .collect();
    let summary = summary_of(&plain.replace(['*', '`', '_'], ""));
    if !summary.is_empty() {
        found.summary = summary;
    }
    found
}

/// The headings of a Markdown text; `#` inside fences are none.
fn headings(source: &str) -> impl Iterator<Item = Value> {
    let mut fenced = false;
    let lines = source.lines().filter_map(move |line| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let level = line.bytes().take_while(|byte| *byte == b'#').count();
        let title = line.get(level..)?.strip_prefix(' ')?.trim();
        (!fenced && (1..=6).contains(&level)).then(|| json!({ "level": level, "title": summary_of(title) }))
    });
    lines.take(EXTRACT_ROWS_MAX)
}

fn page(source: &str) -> Extraction {
    let page = html::text_of(source);
    let mut found = Extraction::of_text(&page.text, "An empty page");
    if !page.title.is_empty() {
        found.summary = summary_of(&page.title);
    }
    found
}

fn table(source: &str) -> Extraction {
    let first = source.lines().next().unwrap_or_default();
    let often = |c: u8| first.bytes().filter(|byte| *byte == c).count();
    // The separator that is most frequent in the first line; of equals the comma.
    let delimiter = [b'\t', b';', b','].into_iter().max_by_key(|c| often(*c)).unwrap_or(b',');
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(source.as_bytes());
    let columns: Vec<String> = match reader.headers() {
        Ok(headers) => headers.iter().map(summary_of).collect(),
        Err(_) => Vec::new(),
    };
    let (mut rows, mut kept) = (0, Vec::new());
    for record in reader.records().map_while(Result::ok) {
        rows += 1;
        if kept.len() < EXTRACT_ROWS_MAX {
            kept.push(record.iter().take(EXTRACT_COLUMNS_MAX).map(str::to_owned).collect::<Vec<_>>());
        }
    }
    let mut found = Extraction::of_text(source, "An empty table");
    found.content_type = ContentType::Table;
    if !columns.is_empty() {
        found.summary = describe(rows, &columns);
        let shown: Vec<_> = columns.iter().take(EXTRACT_COLUMNS_MAX).collect();
        found.structured_data =
            Some(json!({ "columns": shown, "columnCount": columns.len(), "rowCount": rows, "rows": kept }));
    }
    found
}

/// What a table looks like, in one line.
pub(crate) fn describe(rows: usize, columns: &[String]) -> String {
    let names = summary_of(&columns.join(", "));
    format!("A table of {} and {}: {names}", counted(rows, "row"), counted(columns.len(), "column"))
}

fn data(source: &str, cut: bool) -> Extraction {
    let mut found = Extraction::of_text(source, "An empty file");
    if !cut && let Ok(value) = serde_json::from_str::<Value>(source) {
        found.summary = match &value {
            Value::Object(fields) => {
                let names = fields.keys().take(EXTRACT_COLUMNS_MAX).cloned().collect::<Vec<_>>().join(", ");
                summary_of(&format!("A JSON object of {}: {names}", counted(fields.len(), "field")))
            }
            Value::Array(items) => format!("A JSON array of {}", counted(items.len(), "item")),
            _ => found.summary,
        };
        found.structured_data = Some(value);
    }
    found
}
