//! `work`: how a piece of work stands, and reporting about it.

use serde_json::{Value, json};

use super::{
    CliError, Output,
    args::WorkCommand,
    client::NodeClient,
    output::{field, plain, print},
};

/// `muster work …`.
pub(super) async fn work(node: &NodeClient, command: WorkCommand, output: Output) -> Result<(), CliError> {
    match command {
        WorkCommand::Show { workspace, id } => {
            let workspace = node.workspace(workspace.workspace.as_deref()).await?;
            let answer = node.get(&["api", "workspaces", &workspace, "network", "work", &id], &[]).await?;
            print(output, &answer, work_text)
        }
        WorkCommand::Report { workspace, session, id, state, message } => {
            let workspace = node.workspace(workspace.workspace.as_deref()).await?;
            let answer = node.get(&["api", "workspaces", &workspace, "network", "work", &id], &[]).await?;
            let mut trace = about(&answer["work"], &session);
            trace["kind"] = "trace".into();
            trace["body"] = json!({ "state": state.word() });
            if let Some(message) = message {
                trace["body"]["message"] = message.into();
            }
            let sent = node.post(&["api", "workspaces", &workspace, "network", "send"], &trace).await?;
            print(output, &sent, |_| format!("{} is reported as {}", plain(&id), state.word()))
        }
    }
}

/// A message of a session about a work, where the work is and to the other of its two peers. The node says
/// whether the session may speak for it.
fn about(work: &Value, session: &str) -> Value {
    let mut message = json!({ "session_id": session });
    for name in ["work_id", "channel", "surface", "thread_id", "direct_id"] {
        if let Some(value) = work.get(name) {
            message[name] = value.clone();
        }
    }
    let opener = field(work, "opened_by_peer_id");
    let opened = opener.strip_suffix(session).is_some_and(|agent| agent.ends_with('.'));
    message["to"] = if opened { field(work, "target_peer_id") } else { opener }.into();
    message
}

fn work_text(answer: &Value) -> String {
    let work = &answer["work"];
    let mut lines = vec![format!("{} is {}", field(work, "work_id"), field(work, "state"))];
    for (title, name) in [
        ("asked by", "opened_by_peer_id"),
        ("asked", "target_peer_id"),
        ("channel", "channel"),
        ("thread", "thread_id"),
        ("room", "direct_id"),
        ("opened", "opened_at"),
        ("last", "last_activity_at"),
        ("ended", "terminal_at"),
    ] {
        let value = field(work, name);
        if !value.is_empty() {
            lines.push(format!("{title:<9} {value}"));
        }
    }
    lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_goes_to_the_other_of_the_two_where_the_work_is() {
        let work = json!({
            "work_id": "w", "channel": "builders", "surface": "direct", "direct_id": "direct_1",
            "opened_by_peer_id": "ada.sess-1", "target_peer_id": "bob.sess-2", "state": "working",
        });
        let by_opener = about(&work, "sess-1");
        assert_eq!((&by_opener["to"], &by_opener["direct_id"]), (&json!("bob.sess-2"), &json!("direct_1")));
        assert_eq!(about(&work, "sess-2")["to"], "ada.sess-1");
        assert!(by_opener.get("thread_id").is_none() && by_opener.get("state").is_none());
        let shown = work_text(&json!({ "work": work }));
        assert!(shown.starts_with("w is working\nasked by  ada.sess-1"), "{shown}");
    }
}
