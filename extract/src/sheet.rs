//! Workbooks: their sheets, and the cells of each as text.

use muster_protocol::limits::{EXTRACT_COLUMNS_MAX, EXTRACT_ROWS_MAX, EXTRACT_TEXT_BYTES_MAX};
use serde_json::{Value, json};

use crate::{
    ContentType, Extraction, Unreadable,
    extraction::{counted, summary_of},
    markup::{Archive, Piece, attribute, walk},
};

/// One sheet: how many rows and columns have something in them, and the first rows.
#[derive(Default)]
struct Sheet {
    rows: usize,
    columns: usize,
    kept: Vec<Vec<String>>,
}

pub(crate) fn read(archive: &mut Archive<'_>) -> Result<Extraction, Unreadable> {
    let parts = archive.names("xl/worksheets/sheet", ".xml");
    if parts.is_empty() {
        return Err(Unreadable::new("it has no sheets"));
    }
    let names = sheet_names(&archive.text("xl/workbook.xml")?.unwrap_or_default());
    let shared = shared_texts(&archive.text("xl/sharedStrings.xml")?.unwrap_or_default());
    let (mut text, mut sheets) = (String::new(), Vec::new());
    let mut first = None;
    for (index, part) in parts.iter().enumerate() {
        let Some(source) = archive.text(part)? else { continue };
        let name = names.get(index).cloned().unwrap_or_else(|| format!("Sheet{}", index + 1));
        text.push_str(&name);
        text.push('\n');
        let sheet = read_sheet(&source, &shared, &mut text);
        text.push('\n');
        sheets.push(json!({ "name": name, "rows": sheet.rows, "columns": sheet.columns }));
        first.get_or_insert(sheet);
        if text.len() >= EXTRACT_TEXT_BYTES_MAX {
            break;
        }
    }
    let mut found = Extraction::of_text(&text, "An empty workbook");
    found.content_type = ContentType::Table;
    let said = sheets.iter().filter_map(|sheet| sheet["name"].as_str()).collect::<Vec<_>>().join(", ");
    found.summary = summary_of(&format!("A workbook of {}: {said}", counted(parts.len(), "sheet")));
    found.structured_data = first
        .map(|sheet| json!({ "columnCount": sheet.columns, "rowCount": sheet.rows, "rows": sheet.kept }));
    found.excel_metadata = Some(
        json!({ "totalSheets": parts.len(), "sheets": sheets.into_iter().take(EXTRACT_ROWS_MAX).collect::<Vec<Value>>() }),
    );
    Ok(found)
}

fn sheet_names(workbook: &str) -> Vec<String> {
    let mut names = Vec::new();
    walk(workbook, |piece| {
        if let Piece::Open("sheet", tag) = piece {
            names.push(summary_of(&attribute(tag, "name").unwrap_or_default()));
        }
        names.len() < EXTRACT_ROWS_MAX
    });
    names
}

/// The texts that cells name by number. Longer lists than a text may be are cut.
fn shared_texts(source: &str) -> Vec<String> {
    let (mut texts, mut current, mut in_words, mut total) = (Vec::new(), String::new(), false, 0);
    walk(source, |piece| {
        match piece {
            Piece::Open("t", _) => in_words = true,
            Piece::Close("t") => in_words = false,
            Piece::Text(words) if in_words => current.push_str(words),
            Piece::Close("si") => {
                total += current.len();
                texts.push(std::mem::take(&mut current));
            }
            _ => {}
        }
        total < 4 * EXTRACT_TEXT_BYTES_MAX
    });
    texts
}

fn read_sheet(source: &str, shared: &[String], text: &mut String) -> Sheet {
    let mut sheet = Sheet::default();
    let (mut row, mut cell, mut by_number, mut in_value) = (Vec::new(), String::new(), false, false);
    walk(source, |piece| {
        match piece {
            Piece::Open("c", tag) => by_number = attribute(tag, "t").as_deref() == Some("s"),
            Piece::Open("v" | "t", _) => in_value = true,
            Piece::Close("v" | "t") => in_value = false,
            Piece::Text(words) if in_value => cell.push_str(words),
            Piece::Close("c") => {
                let value = std::mem::take(&mut cell);
                let named = || value.parse().ok().and_then(|index: usize| shared.get(index)).cloned();
                row.push(if by_number { named().unwrap_or_default() } else { value });
            }
            Piece::Close("row") => {
                let cells = std::mem::take(&mut row);
                sheet.rows += 1;
                sheet.columns = sheet.columns.max(cells.len());
                if text.len() < EXTRACT_TEXT_BYTES_MAX {
                    text.push_str(&cells.join("\t"));
                    text.push('\n');
                }
                if sheet.kept.len() < EXTRACT_ROWS_MAX {
                    sheet.kept.push(cells.into_iter().take(EXTRACT_COLUMNS_MAX).collect());
                }
            }
            _ => {}
        }
        true
    });
    sheet
}
