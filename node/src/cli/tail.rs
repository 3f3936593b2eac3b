//! `muster tail`: follows the node's events, over restarts of the node and breaks of the stream.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    CliError, Output, Place,
    args::TailArgs,
    client::NodeClient,
    output::{plain, say, warn},
    sse::{SseEvent, SseReader},
};

/// How long to wait before connecting again: doubled after each failure, so that a node that is down for
/// long is not hammered, and short enough that a restart goes almost unnoticed.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Follows until the process is ended. Fails at once when the first connection does; later breaks are
/// mended, and the stream resumes after the last event the node told of, so that none is missed.
pub(super) async fn run(
    node: &NodeClient,
    place: &Place,
    args: TailArgs,
    output: Output,
) -> Result<(), CliError> {
    let mut query = Vec::new();
    if let Some(wanted) = &args.workspace {
        query.push(("workspace_id", node.workspace(Some(wanted)).await?));
    }
    if !args.kinds.is_empty() {
        query.push(("kinds", args.kinds.join(",")));
    }
    let mut tail = Tail { query, last: args.after, connected: false, pause: PAUSE_MIN, output };
    loop {
        let broken = tail.follow(place).await;
        if let Err(error) = broken
            && (!tail.connected || is_final(&error))
        {
            return Err(error);
        }
        if tail.pause == PAUSE_MIN {
            warn(output, "the stream broke; connecting again");
        }
        pause(tail.pause).await;
        tail.pause = (tail.pause * 2).min(PAUSE_MAX);
    }
}

struct Tail {
    query: Vec<(&'static str, String)>,
    last: Option<String>,
    connected: bool,
    pause: Duration,
    output: Output,
}

impl Tail {
    /// Follows one connection to its end. The node is looked for each time: it may have moved.
    async fn follow(&mut self, place: &Place) -> Result<(), CliError> {
        let node = NodeClient::find(place)?;
        let query: Vec<(&str, &str)> =
            self.query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut stream = node.events(&query, self.last.as_deref()).await?;
        self.connected = true;
        let mut reader = SseReader::default();
        while let Some(bytes) = node.next_chunk(&mut stream).await? {
            self.pause = PAUSE_MIN;
            let events = reader.push(&bytes).map_err(|too_long| node.strange(too_long.to_string()))?;
            for event in &events {
                say(&line(event, self.output))?;
            }
            self.last = reader.last_id().map(str::to_owned).or(self.last.take());
        }
        Ok(())
    }
}

/// Whether trying again is of no use.
fn is_final(error: &CliError) -> bool {
    match error {
        CliError::NotRunning(_) | CliError::Unreachable { .. } => false,
        CliError::Refused(problem) => problem.status < 500,
        _ => true,
    }
}

#[expect(clippy::disallowed_methods, reason = "a command of a person; no simulation replays it")]
async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// One event on one line.
fn line(event: &SseEvent, output: Output) -> String {
    let data: Value = serde_json::from_str(&event.data).unwrap_or_else(|_| event.data.as_str().into());
    match output {
        Output::Json => json!({ "id": event.id, "event": event.kind, "data": data }).to_string(),
        Output::Human => {
            let mut words = vec![event.kind.clone()];
            spell("", &data, &mut words);
            plain(&words.join(" "))
        }
    }
}

/// A value as `name=value` words, inner names dotted; what is empty is left out.
fn spell(name: &str, value: &Value, words: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (inner, value) in fields {
                let name = if name.is_empty() { inner.clone() } else { format!("{name}.{inner}") };
                spell(&name, value, words);
            }
        }
        Value::String(text) if name.is_empty() => words.push(text.clone()),
        Value::String(text) if !text.is_empty() && !text.contains(char::is_whitespace) => {
            words.push(format!("{name}={text}"));
        }
        other => words.push(format!("{name}={other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &str) -> SseEvent {
        SseEvent { id: Some("7".into()), kind: "message".into(), data: data.into() }
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let data = r#"{"workspace_id":"ws_1","body":{"text":"two\nlines \u001b[2J"},"thread_id":null}"#;
        let human = line(&event(data), Output::Human);
        assert_eq!(human, r#"message body.text="two\nlines \u001b[2J" workspace_id=ws_1"#);
        let json: Value = serde_json::from_str(&line(&event(data), Output::Json)).unwrap();
        assert_eq!((&json["id"], &json["data"]["workspace_id"]), (&json!("7"), &json!("ws_1")));
        assert_eq!(line(&event("plain words"), Output::Human), "message plain words");
    }

    #[test]
    fn a_node_that_is_away_is_waited_for_and_one_that_refuses_is_not() {
        assert!(!is_final(&CliError::NotRunning("/data".into())));
        assert!(is_final(&CliError::Refused(super::super::error::Problem {
            status: 401,
            ..Default::default()
        })));
    }
}
