//! `workspace`, `invite`, `join` and `member`.

use serde_json::{Value, json};

use super::{
    CliError, Output,
    args::{InviteArgs, MemberArgs, MemberCommand, WorkspaceCommand},
    client::NodeClient,
    output::{field, items, plain, print, qr, table},
};

/// `muster workspace …`.
pub(super) async fn workspace(
    node: &NodeClient,
    command: WorkspaceCommand,
    output: Output,
) -> Result<(), CliError> {
    match command {
        WorkspaceCommand::Create { name } => {
            let made = node.post(&["node", "v1", "workspaces"], &json!({ "name": name })).await?;
            print(output, &made, |made| {
                format!("{} is founded: {}", plain(&field(made, "name")), plain(&field(made, "id")))
            })
        }
        WorkspaceCommand::List => {
            let answer = node.get(&["node", "v1", "workspaces"], &[]).await?;
            print(output, &answer, workspace_table)
        }
        WorkspaceCommand::Settle(arg) => {
            let workspace = node.workspace(arg.workspace.as_deref()).await?;
            let settled = node.post(&["node", "v1", "workspaces", &workspace, "settle"], &json!({})).await?;
            print(output, &settled, |one| {
                format!("{} is decided about here again", plain(&field(one, "name")))
            })
        }
        WorkspaceCommand::MoveHome { workspace, peer_id } => {
            let workspace = node.workspace(workspace.workspace.as_deref()).await?;
            let path = ["node", "v1", "workspaces", &workspace, "home"];
            let moved = node.post(&path, &json!({ "peer_id": peer_id })).await?;
            print(output, &moved, |one| {
                let [name, home] = ["name", "home_peer_id"].map(|name| plain(&field(one, name)));
                format!("{name} is decided about by {home} from now on")
            })
        }
    }
}

fn workspace_table(answer: &Value) -> String {
    let rows = items(answer, "workspaces").iter().map(|one| {
        let decided = if one["home_forked"] == true {
            "nobody: muster explain home_forked".to_owned()
        } else {
            field(one, "home_peer_id")
        };
        let [id, name, role, members, created] =
            ["id", "name", "role", "members", "created_at"].map(|name| field(one, name));
        vec![id, name, role, members, created, decided]
    });
    table(
        &["id", "name", "role", "members", "created", "decided by"],
        rows.collect(),
        "no workspaces yet: found one with `muster workspace create NAME`, or join one with `muster join TICKET`",
    )
}

/// `muster invite`.
pub(super) async fn invite(node: &NodeClient, args: InviteArgs, output: Output) -> Result<(), CliError> {
    let workspace = node.workspace(args.workspace.workspace.as_deref()).await?;
    let invites = ["node", "v1", "workspaces", &workspace, "invites"];
    if let Some(id) = args.revoke {
        node.delete(&[&invites[..], &[id.as_str()]].concat()).await?;
        return print(output, &json!({ "revoked": id }), |_| format!("{} is revoked", plain(&id)));
    }
    let wish = json!({ "role": args.role.word(), "expires_in_seconds": args.expires, "max_uses": args.uses });
    let invite = node.post(&invites, &wish).await?;
    print(output, &invite, invite_text)
}

/// The ticket stands alone on its line, so that it can be copied whole.
fn invite_text(invite: &Value) -> String {
    let ticket = plain(&field(invite, "ticket"));
    let code = qr(&ticket).unwrap_or_default();
    format!(
        "{ticket}\n\n{code}\nThe other node joins with: muster join TICKET\nGood until {}; revoke with: muster \
         invite --revoke {}",
        plain(&field(invite, "expires_at")),
        plain(&field(invite, "invite_id")),
    )
}

/// `muster join TICKET`.
pub(super) async fn join(node: &NodeClient, ticket: &str, output: Output) -> Result<(), CliError> {
    let joined = node.post_long(&["node", "v1", "join"], &json!({ "ticket": ticket.trim() })).await?;
    print(output, &joined, |joined| {
        let [name, role, id] = ["name", "role", "id"].map(|name| plain(&field(joined, name)));
        format!(
            "joined {name} as {role}: {id}\nIts history is being fetched; follow with: muster tail -w {id}"
        )
    })
}

/// `muster member …`.
pub(super) async fn member(node: &NodeClient, args: MemberArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        MemberCommand::List(arg) => {
            let workspace = node.workspace(arg.workspace.as_deref()).await?;
            let answer = node.get(&["node", "v1", "workspaces", &workspace, "members"], &[]).await?;
            print(output, &answer, member_table)
        }
        MemberCommand::Remove { workspace, peer_id } => {
            let workspace = node.workspace(workspace.workspace.as_deref()).await?;
            node.delete(&["node", "v1", "workspaces", &workspace, "members", &peer_id]).await?;
            print(output, &json!({ "removed": peer_id }), |_| format!("{} is removed", plain(&peer_id)))
        }
        MemberCommand::Role { workspace, peer_id, role } => {
            let workspace = node.workspace(workspace.workspace.as_deref()).await?;
            let path = ["node", "v1", "workspaces", &workspace, "members", &peer_id];
            node.patch(&path, &json!({ "role": role.word() })).await?;
            print(output, &json!({ "peer_id": peer_id, "role": role.word() }), |_| {
                format!("{} is {} now", plain(&peer_id), role.word())
            })
        }
    }
}

fn member_table(answer: &Value) -> String {
    let rows = items(answer, "members").iter().map(|member| {
        let online = if member["online"] == true { "online" } else { "away" };
        vec![
            field(member, "peer_id"),
            field(member, "name"),
            field(member, "role") + if member["is_home"] == true { ", home" } else { "" },
            online.to_owned(),
            field(member, "joined_at"),
        ]
    });
    table(&["peer id", "name", "role", "now", "joined"], rows.collect(), "no members")
}
