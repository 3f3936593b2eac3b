//! `agent` and `session`.

use serde_json::{Value, json};

use super::{
    CliError, Output,
    args::{AgentArgs, AgentCommand, SessionArgs, SessionCommand},
    client::NodeClient,
    output::{field, items, plain, print, table},
};

/// `muster agent …`.
pub(super) async fn agent(node: &NodeClient, args: AgentArgs, output: Output) -> Result<(), CliError> {
    let AgentCommand::Register { workspace, name, provider, capability } = args.command;
    let workspace = node.workspace(workspace.workspace.as_deref()).await?;
    let wish = json!({ "name": name, "provider": provider, "capabilities": capability });
    let answer = node.post(&["node", "v1", "workspaces", &workspace, "agents"], &wish).await?;
    let answer = if answer.is_null() { json!({ "name": name }) } else { answer };
    print(output, &answer, |_| {
        let name = plain(&name);
        format!("{name} is registered; start it with: muster session start -w {workspace} {name} CHANNEL")
    })
}

/// `muster session …`.
pub(super) async fn session(node: &NodeClient, args: SessionArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        SessionCommand::Start { workspace, agent, channel } => {
            let workspace = node.workspace(workspace.workspace.as_deref()).await?;
            let wish = json!({ "agent_name": agent, "channel": channel });
            let started = node.post(&["node", "v1", "workspaces", &workspace, "sessions"], &wish).await?;
            print(output, &started, |started| {
                let [id, peer] = ["id", "peer_id"].map(|name| plain(&field(started, name)));
                format!("{id} is in {} as {peer}", plain(&channel))
            })
        }
        SessionCommand::Stop { workspace, session } => {
            let workspace = node.workspace(workspace.workspace.as_deref()).await?;
            node.delete(&["node", "v1", "workspaces", &workspace, "sessions", &session]).await?;
            print(output, &json!({ "stopped": session }), |_| format!("{} is stopped", plain(&session)))
        }
        SessionCommand::List(arg) => {
            let workspace = node.workspace(arg.workspace.as_deref()).await?;
            let answer = node.get(&["node", "v1", "workspaces", &workspace, "sessions"], &[]).await?;
            print(output, &answer, session_table)
        }
    }
}

fn session_table(answer: &Value) -> String {
    let columns = ["id", "agent_name", "channel", "peer_id", "state", "waiting", "failure"];
    let rows = items(answer, "sessions").iter().map(|one| columns.map(|name| field(one, name)).to_vec());
    table(
        &["id", "agent", "channel", "peer", "state", "waiting", "failure"],
        rows.collect(),
        "no sessions: start one with `muster session start AGENT CHANNEL`",
    )
}
