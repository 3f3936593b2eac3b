//! `memo`.

use serde_json::json;

use super::{
    CliError, Output,
    args::MemoCommand,
    client::NodeClient,
    output::{field, plain, print},
};

/// `muster memo …`.
pub(super) async fn memo(node: &NodeClient, command: MemoCommand, output: Output) -> Result<(), CliError> {
    let MemoCommand::Write { workspace, title, summary, kind, points, tags, sources } = command;
    let workspace = node.workspace(workspace.workspace.as_deref()).await?;
    let wish = json!({
        "title": title, "abstract": summary, "knowledge_type": kind.word(), "key_points": points, "tags": tags,
        "source_message_ids": sources,
    });
    let written = node.post(&["node", "v1", "workspaces", &workspace, "memos"], &wish).await?;
    print(output, &written, |written| format!("written as {}", plain(&field(written, "id"))))
}
