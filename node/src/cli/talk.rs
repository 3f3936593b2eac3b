//! `send` and `inbox`: the Network door from the command line.

use serde_json::{Value, json};

use super::{
    CliError, Output,
    args::{InboxArgs, SendArgs},
    client::NodeClient,
    output::{field, items, plain, print, table},
};

/// `muster send`.
pub(super) async fn send(node: &NodeClient, args: SendArgs, output: Output) -> Result<(), CliError> {
    let workspace = node.workspace(args.workspace.workspace.as_deref()).await?;
    let mut wish = json!({
        "session_id": args.session,
        "channel": args.channel,
        "kind": "say",
        "body": { "text": args.text },
    });
    if let Some(id) = &args.id {
        wish["id"] = id.as_str().into();
    }
    if let Some(work) = &args.work {
        wish["work_id"] = work.as_str().into();
    }
    if let Some(peer) = &args.to {
        wish["to"] = peer.as_str().into();
    }
    match &args.to {
        Some(peer) if args.direct => {
            wish["surface"] = "direct".into();
            wish["direct_id"] = room(node, &workspace, &args, peer).await?.into();
        }
        _ => {
            wish["surface"] = "thread".into();
            wish["thread_id"] = args.thread.clone().unwrap_or_else(new_thread).into();
        }
    }
    let answer = node.post(&["api", "workspaces", &workspace, "network", "send"], &wish).await?;
    print(output, &answer, |_| {
        let place = wish["thread_id"].as_str().or(wish["direct_id"].as_str()).unwrap_or_default();
        format!("sent {} in {}", plain(&field(&answer["message"], "id")), plain(place))
    })
}

/// The direct room of the session and the peer, opened when needed (N-35).
async fn room(node: &NodeClient, workspace: &str, args: &SendArgs, peer: &str) -> Result<String, CliError> {
    let path = ["api", "workspaces", workspace, "network", "channels", &args.channel, "directs", "resolve"];
    let answer = node.post(&path, &json!({ "session_id": args.session, "peer_id": peer })).await?;
    Ok(field(&answer["direct"], "direct_id"))
}

/// An id for a new thread: whoever opens a thread chooses it (N-4).
#[expect(clippy::disallowed_methods, reason = "a command of a person; no simulation replays it")]
fn new_thread() -> String {
    format!("thread_{:032x}", rand::random::<u128>())
}

/// `muster inbox SESSION`.
pub(super) async fn inbox(node: &NodeClient, args: InboxArgs, output: Output) -> Result<(), CliError> {
    let workspace = node.workspace(args.workspace.workspace.as_deref()).await?;
    let path = ["api", "workspaces", &workspace, "network", "inbox"];
    let answer = node.get(&path, &[("session_id", &args.session)]).await?;
    print(output, &answer, inbox_table)
}

fn inbox_table(answer: &Value) -> String {
    let rows = items(answer, "messages").iter().map(|envelope| {
        let place = ["thread_id", "direct_id"].map(|name| field(envelope, name)).concat();
        let text = match &envelope["body"]["text"] {
            Value::String(text) => text.clone(),
            _ => envelope["body"].to_string(),
        };
        vec![time(envelope), field(envelope, "from"), field(envelope, "kind"), place, text]
    });
    table(&["time", "from", "kind", "where", "text"], rows.collect(), "nothing waits")
}

/// Envelopes carry Unix seconds; people read dates.
fn time(envelope: &Value) -> String {
    let moment = envelope["ts"].as_i64().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    moment.map_or_else(|| field(envelope, "ts"), |moment| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_thread_id_fits_the_grammar_and_is_new() {
        let id = new_thread();
        let rest = id.strip_prefix("thread_").unwrap();
        assert!(rest.len() == 32 && rest.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase()));
        assert_ne!(id, new_thread());
    }
}
