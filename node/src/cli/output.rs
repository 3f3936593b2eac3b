//! Printing: tables and lines for people, JSON for programs.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde_json::Value;

use super::CliError;

/// In which form a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Tables and sentences.
    Human,
    /// One JSON value; `tail` prints one per line.
    Json,
}

/// Prints a value, or what `human` makes of it.
pub(super) fn print(
    output: Output,
    value: &Value,
    human: impl FnOnce(&Value) -> String,
) -> Result<(), CliError> {
    match output {
        Output::Human => say(&human(value)),
        Output::Json => say(&format!("{value:#}")),
    }
}

/// Prints a text, and ends its last line.
pub(super) fn say(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    write!(out, "{text}{end}").and_then(|()| out.flush()).map_err(CliError::Output)
}

/// Tells on standard error what is worth knowing and no failure.
pub(super) fn warn(output: Output, text: &str) {
    match output {
        Output::Human => eprintln!("warning: {}", plain(text)),
        Output::Json => eprintln!("{}", serde_json::json!({ "warning": text })),
    }
}

/// A table without lines, or `empty` when there is nothing to show.
pub(super) fn table(head: &[&str], rows: Vec<Vec<String>>, empty: &str) -> String {
    if rows.is_empty() {
        return empty.to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)));
    }
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table.trim_fmt()
}

/// The text of a field, whatever its type; nothing when it is absent or null.
pub(super) fn field(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The items of a field that is a list.
pub(super) fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

/// Text that cannot command a terminal: what others wrote is shown, not obeyed.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A QR code for terminals, dark on light whatever their colours are; `None` when the text is too long
/// for one.
pub(super) fn qr(text: &str) -> Option<String> {
    use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    // Terminals are dark more often than not; inverted, the code is dark on light there, as readers want.
    Some(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_renders_as_a_qr_code() {
        let ticket = format!("muster1{}", "abcdefgh".repeat(40));
        let code = qr(&ticket).unwrap();
        let lines: Vec<&str> = code.lines().collect();
        assert!(lines.len() > 20);
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()));
        assert!(code.chars().all(|c| " ▀▄█\n".contains(c)));
        assert_eq!(qr(&"x".repeat(3_000)), None);
    }

    #[test]
    fn what_others_wrote_cannot_command_the_terminal() {
        let shown = table(&["name"], vec![vec!["\u{1b}[2Jada\u{7}".into()]], "");
        assert!(shown.contains("[2Jada") && !shown.contains('\u{1b}'));
    }

    #[test]
    fn an_empty_table_says_what_to_do() {
        assert_eq!(table(&["id"], Vec::new(), "none yet"), "none yet");
    }
}
