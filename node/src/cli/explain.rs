//! `muster explain CODE`: what the code of a failure means and what to do about it.

use muster_http_api::{network, node};
use serde_json::{Value, json};

use super::{CliError, output::field};

/// Everything known about a code, whichever door gives it.
pub(super) fn explanation(code: &str) -> Result<Value, CliError> {
    let code = code.trim();
    if let Some(entry) = network::diagnostics::find(code) {
        return Ok(json!({
            "code": entry.code, "door": "network", "title": entry.title, "meaning": entry.meaning,
            "suggested_command": entry.suggested_command,
        }));
    }
    let row = node::errors::find(code).ok_or_else(|| CliError::Usage(unknown(code)))?;
    Ok(json!({
        "code": row.code, "door": "node", "status": row.status.as_u16(), "title": row.title, "meaning": row.meaning,
        "suggested_command": row.command,
    }))
}

/// The same as text.
pub(super) fn text(explanation: &Value) -> String {
    let command = field(explanation, "suggested_command");
    let hint = if command.is_empty() { String::new() } else { format!("\n\n  try: {command}") };
    format!(
        "{}: {}\n\n{}{hint}",
        field(explanation, "code"),
        field(explanation, "title"),
        field(explanation, "meaning")
    )
}

fn unknown(code: &str) -> String {
    let network = network::diagnostics::ALL.iter().map(|entry| entry.code);
    let all: Vec<_> = network.chain(node::errors::ALL.iter().map(|row| row.code)).collect();
    format!("no door gives the code `{code}`; the codes are {}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_doors_are_explained_with_what_helps() {
        let shown = text(&explanation(" network_disabled ").unwrap());
        assert!(shown.contains("network.enabled") && shown.ends_with("try: muster status"), "{shown}");
        assert_eq!(explanation("unknown_host").unwrap()["status"], 421);
    }

    #[test]
    fn an_unknown_code_is_answered_with_those_there_are() {
        let error = explanation("nonsense").unwrap_err().to_string();
        assert!(error.contains("network_ready") && error.contains("ticket_not_valid"), "{error}");
    }
}
