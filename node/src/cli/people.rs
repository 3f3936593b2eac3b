//! `user`, `bot`, `key` and `stream`.

use serde_json::{Value, json};

use super::{
    CliError, Output,
    args::{BotCommand, KeyCommand, StreamArg, StreamCommand, UserCommand},
    client::NodeClient,
    output::{field, items, plain, print, table},
};

/// `muster user …`.
pub(super) async fn user(node: &NodeClient, command: UserCommand, output: Output) -> Result<(), CliError> {
    match command {
        UserCommand::Add { workspace, name, email, slug, role } => {
            let workspace = node.workspace(workspace.workspace.as_deref()).await?;
            let wish = json!({ "name": name, "email": email, "slug": slug, "role": role.word() });
            let made = node.post(&["node", "v1", "workspaces", &workspace, "users"], &wish).await?;
            print(output, &made, |made| named(made, &workspace))
        }
        UserCommand::List(arg) => {
            let workspace = node.workspace(arg.workspace.as_deref()).await?;
            let answer = node.get(&["node", "v1", "workspaces", &workspace, "users"], &[]).await?;
            print(output, &answer, |answer| {
                let columns = ["id", "slug", "name", "email", "role"];
                let empty = "nobody yet: add somebody with `muster user add NAME --email ADDRESS`";
                table(&columns, rows(answer, "users", &columns), empty)
            })
        }
        UserCommand::End { workspace, user_id } => {
            let workspace = node.workspace(workspace.workspace.as_deref()).await?;
            node.delete(&["node", "v1", "workspaces", &workspace, "users", &user_id]).await?;
            print(output, &json!({ "ended": user_id }), |_| {
                format!("{} is no longer a member; what they wrote stays", plain(&user_id))
            })
        }
    }
}

/// `muster bot …`.
pub(super) async fn bot(node: &NodeClient, command: BotCommand, output: Output) -> Result<(), CliError> {
    match command {
        BotCommand::Add { workspace, name, slug, description, owner, traits } => {
            let workspace = node.workspace(workspace.workspace.as_deref()).await?;
            let wish = json!({
                "name": name, "slug": slug, "description": description, "owner_user_id": owner, "traits": traits,
            });
            let made = node.post(&["node", "v1", "workspaces", &workspace, "bots"], &wish).await?;
            print(output, &made, |made| named(made, &workspace))
        }
        BotCommand::List(arg) => {
            let workspace = node.workspace(arg.workspace.as_deref()).await?;
            let answer = node.get(&["node", "v1", "workspaces", &workspace, "bots"], &[]).await?;
            print(output, &answer, |answer| {
                let columns = ["id", "slug", "name", "type", "owner_user_id", "home_peer_id", "archived_at"];
                let head = ["id", "slug", "name", "type", "owner", "home", "archived"];
                table(
                    &head,
                    rows(answer, "bots", &columns),
                    "no bots yet: add one with `muster bot add NAME`",
                )
            })
        }
        BotCommand::Archive { workspace, bot_id } => {
            let workspace = node.workspace(workspace.workspace.as_deref()).await?;
            let path = ["node", "v1", "workspaces", &workspace, "bots", &bot_id, "archive"];
            node.post(&path, &json!({})).await?;
            print(output, &json!({ "archived": bot_id }), |_| format!("{} is archived", plain(&bot_id)))
        }
    }
}

/// `muster key …`.
pub(super) async fn key(node: &NodeClient, command: KeyCommand, output: Output) -> Result<(), CliError> {
    match command {
        KeyCommand::Create { workspace, principal, scopes, expires_at } => {
            let workspace = node.workspace(workspace.workspace.as_deref()).await?;
            let whom = if principal.starts_with("bot_") { "bot_id" } else { "user_id" };
            let wish = json!({ whom: principal, "scopes": scopes, "expires_at": expires_at });
            let made = node.post(&["node", "v1", "workspaces", &workspace, "keys"], &wish).await?;
            print(output, &made, |made| {
                let [id, key] = ["key_id", "key"].map(|name| plain(&field(made, name)));
                format!(
                    "{key}\n\nIt is not shown again. Revoke it with: muster key revoke -w {workspace} {id}"
                )
            })
        }
        KeyCommand::Revoke { workspace, key_id } => {
            let workspace = node.workspace(workspace.workspace.as_deref()).await?;
            node.delete(&["node", "v1", "workspaces", &workspace, "keys", &key_id]).await?;
            print(output, &json!({ "revoked": key_id }), |_| format!("{} is revoked", plain(&key_id)))
        }
    }
}

/// `muster stream …`.
pub(super) async fn stream(
    node: &NodeClient,
    command: StreamCommand,
    output: Output,
) -> Result<(), CliError> {
    match command {
        StreamCommand::Open { workspace, kind, slug, name, description, private, below, members } => {
            let workspace = node.workspace(workspace.workspace.as_deref()).await?;
            let wish = json!({
                "type": kind.word(), "slug": slug, "display_name": name, "description": description,
                "visibility": if private { "private" } else { "public" }, "parent_message_id": below,
                "member_ids": members,
            });
            let made = node.post(&["node", "v1", "workspaces", &workspace, "streams"], &wish).await?;
            print(output, &made, |made| format!("{} is open", plain(&field(made, "id"))))
        }
        StreamCommand::Archive(arg) => set_archived(node, arg, "archive", output).await,
        StreamCommand::Unarchive(arg) => set_archived(node, arg, "unarchive", output).await,
        StreamCommand::Add { stream, member_id } => {
            let workspace = node.workspace(stream.workspace.workspace.as_deref()).await?;
            let path = ["node", "v1", "workspaces", &workspace, "streams", &stream.stream_id, "members"];
            node.post(&path, &json!({ "member_id": member_id })).await?;
            print(output, &json!({ "member_id": member_id, "stream_id": stream.stream_id }), |_| {
                format!("{} takes part", plain(&member_id))
            })
        }
        StreamCommand::Remove { stream, member_id } => {
            let workspace = node.workspace(stream.workspace.workspace.as_deref()).await?;
            let path =
                ["node", "v1", "workspaces", &workspace, "streams", &stream.stream_id, "members", &member_id];
            node.delete(&path).await?;
            print(output, &json!({ "removed": member_id, "stream_id": stream.stream_id }), |_| {
                format!("{} no longer takes part", plain(&member_id))
            })
        }
    }
}

async fn set_archived(node: &NodeClient, arg: StreamArg, what: &str, output: Output) -> Result<(), CliError> {
    let workspace = node.workspace(arg.workspace.workspace.as_deref()).await?;
    node.post(&["node", "v1", "workspaces", &workspace, "streams", &arg.stream_id, what], &json!({})).await?;
    let state = if what == "archive" { "archived" } else { "open" };
    print(output, &json!({ "stream_id": arg.stream_id, "state": state }), |_| {
        format!("{} is {state}", plain(&arg.stream_id))
    })
}

fn named(made: &Value, workspace: &str) -> String {
    let [name, slug, id] = ["name", "slug", "id"].map(|name| plain(&field(made, name)));
    format!(
        "{name} is @{slug}: {id}\nMake a key with: muster key create -w {workspace} {id} --scope messages:read,messages:write"
    )
}

fn rows(answer: &Value, list: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let row = |one: &Value| columns.iter().map(|name| field(one, name)).collect();
    items(answer, list).iter().map(row).collect()
}
