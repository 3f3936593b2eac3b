//! `thread` and `room`: what was said in a channel, in public and between two.

use serde_json::Value;

use super::{
    CliError, Output,
    args::{ChannelArg, PageArgs, ReadArgs, RoomCommand, ThreadCommand},
    client::NodeClient,
    output::{field, items, print, table},
};

/// `muster thread …`.
pub(super) async fn thread(
    node: &NodeClient,
    command: ThreadCommand,
    output: Output,
) -> Result<(), CliError> {
    match command {
        ThreadCommand::List { channel, page } => {
            let answer = list(node, &channel, "threads", &page, None).await?;
            print(output, &answer, thread_table)
        }
        ThreadCommand::Read(args) => read(node, "threads", args, output).await,
    }
}

/// `muster room …`.
pub(super) async fn room(node: &NodeClient, command: RoomCommand, output: Output) -> Result<(), CliError> {
    match command {
        RoomCommand::List { channel, peer, page } => {
            let answer = list(node, &channel, "directs", &page, peer.as_deref()).await?;
            print(output, &answer, room_table)
        }
        RoomCommand::Read(args) => read(node, "directs", args, output).await,
    }
}

async fn list(
    node: &NodeClient,
    channel: &ChannelArg,
    what: &str,
    page: &PageArgs,
    peer: Option<&str>,
) -> Result<Value, CliError> {
    let workspace = node.workspace(channel.workspace.workspace.as_deref()).await?;
    let limit = page.limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(page.after.as_deref().map(|after| ("after", after)));
    query.extend(peer.map(|peer| ("peer_id", peer)));
    node.get(&["api", "workspaces", &workspace, "network", "channels", &channel.channel, what], &query).await
}

async fn read(node: &NodeClient, what: &str, args: ReadArgs, output: Output) -> Result<(), CliError> {
    let workspace = node.workspace(args.channel.workspace.workspace.as_deref()).await?;
    let limit = args.page.limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    let filters = [("after", &args.page.after), ("before", &args.before), ("work_id", &args.work)];
    query.extend(filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
    let channel = args.channel.channel.as_str();
    let path = ["api", "workspaces", &workspace, "network", "channels", channel, what, &args.id, "messages"];
    let answer = node.get(&path, &query).await?;
    print(output, &answer, message_table)
}

fn thread_table(answer: &Value) -> String {
    let columns = ["thread_id", "last_activity_at", "message_count", "open_work_count", "title"];
    let rows = items(answer, "threads").iter().map(|one| columns.map(|name| field(one, name)).to_vec());
    table(&["id", "last", "messages", "open work", "title"], rows.collect(), "no threads")
}

fn room_table(answer: &Value) -> String {
    let columns = ["direct_id", "peer_a", "peer_b", "last_activity_at", "message_count", "open_work_count"];
    let rows = items(answer, "directs").iter().map(|one| columns.map(|name| field(one, name)).to_vec());
    table(
        &["id", "peer", "peer", "last", "messages", "open work"],
        rows.collect(),
        "no direct rooms: open one with `muster send -s SESSION -c CHANNEL --direct --to PEER TEXT`",
    )
}

fn message_table(answer: &Value) -> String {
    let rows = items(answer, "messages").iter().map(|message| {
        let columns = ["timestamp", "peer_from", "kind", "work_id", "message_id"];
        let mut row = columns.map(|name| field(message, name)).to_vec();
        row.push(said(message));
        row
    });
    table(&["time", "from", "kind", "work", "id", "text"], rows.collect(), "no messages")
}

/// What a message says: the whole of a say, of others what the preview tells, and the state they report.
fn said(message: &Value) -> String {
    let text = match field(message, "text") {
        text if text.is_empty() => field(message, "preview_text"),
        text => text,
    };
    let state = ["state", "status"].map(|name| field(&message["body"], name)).concat();
    match (message["kind"].as_str(), text.is_empty()) {
        (Some("trace" | "receipt"), true) => state,
        (Some("trace" | "receipt"), false) => format!("{state}: {text}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_shows_what_it_says_and_the_state_it_reports() {
        let messages = json!({ "messages": [
            { "kind": "say", "text": "the whole\nof it", "preview_text": "the whole", "body": { "text": "" } },
            { "kind": "trace", "preview_text": "two left", "body": { "state": "working", "message": "two left" } },
            { "kind": "receipt", "body": { "for_id": "m-1", "status": "accepted" } },
            { "kind": "capability", "preview_text": "Fixes", "body": { "capability": {} } },
        ]});
        let shown: Vec<String> = items(&messages, "messages").iter().map(said).collect();
        assert_eq!(shown, ["the whole\nof it", "working: two left", "accepted", "Fixes"]);
        assert!(message_table(&messages).contains("the whole of it"));
    }
}
