//! `status`, `backup` and `config show`.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    CliError, Output,
    client::NodeClient,
    output::{field, items, plain, print, table},
};
use crate::config::Config;

/// `muster status`.
pub(super) async fn status(node: &NodeClient, output: Output) -> Result<(), CliError> {
    let status = node.get(&["node", "v1", "status"], &[]).await?;
    print(output, &status, status_text)
}

fn status_text(status: &Value) -> String {
    let mut lines = vec![format!("{} is up (muster {})", field(status, "name"), field(status, "version"))];
    for (title, name) in [
        ("peer id", "peer_id"),
        ("since", "started_at"),
        ("peers", "peers"),
        ("workspaces", "workspaces"),
        ("search", "search_tier"),
        ("isolation", "isolation"),
    ] {
        lines.push(format!("{title:<11} {}", field(status, name)));
    }
    for (title, name) in [("http", "api_addresses"), ("mesh", "mesh_addresses")] {
        let addresses = items(status, name).iter().filter_map(Value::as_str);
        lines.extend(addresses.map(|address| format!("{title:<11} {address}")));
    }
    lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
}

/// `muster backup PATH`.
pub(super) async fn backup(node: &NodeClient, path: &Path, output: Output) -> Result<(), CliError> {
    // The node may have been started elsewhere: a relative path is meant from here.
    let path =
        std::path::absolute(path).map_err(|cause| CliError::Usage(format!("no such path: {cause}")))?;
    let path =
        path.to_str().ok_or_else(|| CliError::Usage("the path is not UTF-8; use another".to_owned()))?;
    let answer = node.post_long(&["node", "v1", "backups"], &json!({ "path": path })).await?;
    print(output, &answer, |answer| {
        let verified = if answer["verified"] == true { "read back and found whole" } else { "not verified" };
        format!(
            "{}: {} bytes, {verified}\nIt is worth nothing without the key of this node: keep a copy of `node.key` in its data \
             folder, too, where nobody else can read it.\nBack again with: muster restore FILE",
            plain(&field(answer, "path")),
            field(answer, "bytes")
        )
    })
}

/// `muster config show`, for people.
pub(super) fn config_table(config: &Config) -> String {
    let rows = config.rows.iter().map(|row| {
        vec![
            row.key.name.to_owned(),
            value_text(&row.value),
            row.origin.word().to_owned(),
            row.key.help.to_owned(),
        ]
    });
    let providers = config.settings.providers.iter().map(|(name, provider)| {
        let value = provider.command.join(" ");
        let help = "The program of agents with this provider; only the file names such.";
        vec![format!("providers.{name}.command"), value, "file".to_owned(), help.to_owned()]
    });
    table(&["key", "value", "from", "meaning"], rows.chain(providers).collect(), "")
}

fn value_text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) => items.iter().map(value_text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// `muster config show`, for programs.
pub(super) fn config_json(config: &Config) -> Value {
    let rows = config.rows.iter().map(|row| {
        json!({
            "key": row.key.name,
            "value": row.value,
            "type": row.key.kind.word(),
            "origin": row.origin.word(),
            "variable": row.key.variable(),
            "help": row.key.help,
        })
    });
    // What is in `env` may be a secret: its names are shown, never its values.
    let providers = config.settings.providers.iter().map(|(name, provider)| {
        json!({
            "key": format!("providers.{name}"),
            "value": {
                "command": provider.command,
                "env": provider.env.keys().collect::<Vec<_>>(),
                "working_dir": provider.working_dir,
            },
            "type": "provider",
            "origin": "file",
            "variable": null,
            "help": "The program of agents with this provider.",
        })
    });
    Value::Array(rows.chain(providers).collect())
}
