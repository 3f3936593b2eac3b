//! The lines between a session and its program: one JSON object each. [`super`] documents them.

use muster_protocol::{
    ids::hash,
    network::{Container, Envelope, MessageId, PeerName},
};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::compose::SendRequest;

/// What a program says.
#[derive(Debug)]
pub(super) enum Line {
    /// It is up.
    Ready,
    /// It is through with the envelope in hand.
    Done,
    /// Send this.
    Send(Box<SendLine>),
}

/// A `send` line: the members of `SendNetworkMessageRequest`, all of which may be left out but `body`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SendLine {
    channel: Option<String>,
    kind: Option<String>,
    surface: Option<String>,
    thread_id: Option<String>,
    direct_id: Option<String>,
    #[serde(default, deserialize_with = "given")]
    to: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    reply_to: Option<Option<String>>,
    #[serde(default)]
    body: Value,
    work_id: Option<String>,
    trace_id: Option<String>,
    causation_id: Option<String>,
    expires_at: Option<i64>,
    id: Option<String>,
    ext: Option<Map<String, Value>>,
}

/// Null is something else than absent: it says that there is to be none.
fn given<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(input).map(Some)
}

/// Reads a line; the error says what is wrong with it, and repeats nothing of it.
pub(super) fn read(line: &[u8]) -> Result<Line, String> {
    let members: Map<String, Value> =
        serde_json::from_slice(line).map_err(|_| "a line has to be one JSON object".to_owned())?;
    match members.get("type").and_then(Value::as_str) {
        Some("ready") => Ok(Line::Ready),
        Some("done") => Ok(Line::Done),
        Some("send") if members.contains_key("interaction_id") => {
            Err("`interaction_id` was retired; use `work_id`".to_owned())
        }
        Some("send") => {
            let send = serde_json::from_value(Value::Object(members));
            send.map(|send| Line::Send(Box::new(send)))
                .map_err(|fault| format!("the line is no send: {fault}"))
        }
        _ => Err("`type` has to be ready, send or done".to_owned()),
    }
}

/// A `send` made into a request.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// What to send.
    pub(super) request: SendRequest,
    /// Whether the id was made here, for this send and its repetitions.
    pub(super) own_id: bool,
    /// Whether it names a target only because the sender of the envelope in hand is one, and may do without.
    pub(super) may_go_to_all: bool,
}

impl SendLine {
    /// What it leaves out is filled in: it answers the envelope in hand, in the same conversation. `number`
    /// counts the sends without an id that answer this envelope.
    pub(super) fn wish(self, session: &str, channel: &str, answers: Option<(&Envelope, u64)>) -> Wish {
        let mut request = SendRequest {
            session_id: session.to_owned(),
            channel: self.channel.unwrap_or_else(|| channel.to_owned()),
            kind: self.kind.unwrap_or_else(|| "say".to_owned()),
            surface: self.surface,
            thread_id: self.thread_id,
            direct_id: self.direct_id,
            to: self.to.clone().flatten(),
            body: self.body,
            work_id: self.work_id,
            reply_to: self.reply_to.clone().flatten(),
            trace_id: self.trace_id,
            causation_id: self.causation_id,
            expires_at: self.expires_at,
            id: self.id.filter(|id| !id.trim().is_empty()),
            ext: self.ext,
        };
        let own_id = request.id.is_none() && answers.is_some();
        let mut may_go_to_all = false;
        if let Some((envelope, number)) = answers {
            if request.id.is_none() {
                request.id = Some(answer_id(session, &envelope.from, envelope.id.as_str(), number));
            }
            let elsewhere = [&request.surface, &request.thread_id, &request.direct_id];
            if elsewhere.iter().all(|member| member.is_none()) {
                if let Some(container) = &envelope.container {
                    request.surface = Some(container.surface().as_str().to_owned());
                    request.thread_id = container.thread_id().map(|id| id.as_str().to_owned());
                    request.direct_id = container.direct_id().map(|id| id.as_str().to_owned());
                }
                if self.to.is_none() {
                    request.to = Some(envelope.from.as_str().to_owned());
                    may_go_to_all = matches!(envelope.container, Some(Container::Thread(_)));
                }
                if self.reply_to.is_none() {
                    request.reply_to = Some(envelope.id.as_str().to_owned());
                }
            }
        }
        Wish { request, own_id, may_go_to_all }
    }
}

/// The id of an answer: the same when the envelope is handed over again.
fn answer_id(session: &str, from: &PeerName, id: &str, number: u64) -> String {
    let parts: [&[u8]; 4] =
        [session.as_bytes(), from.as_str().as_bytes(), id.as_bytes(), &number.to_be_bytes()];
    let whole = hash("muster/answer/v1", &parts);
    let mut short = [0; 8];
    short.copy_from_slice(&whole[..8]);
    MessageId::from_entropy(short).as_str().to_owned()
}

/// The line that hands an envelope over (N-78).
pub(super) fn envelope(envelope: &Envelope) -> Vec<u8> {
    let mut members = envelope.to_members();
    let body = members.remove("body").unwrap_or_default().to_string();
    line(&json!({
        "type": "envelope",
        "trust": "untrusted",
        "preview": envelope.preview(),
        "body_base64": data_encoding::BASE64.encode(body.as_bytes()),
        "envelope": members,
    }))
}

/// The answer to a `send` that is stored, now or before.
pub(super) fn sent(id: &str, repeated: bool) -> Vec<u8> {
    line(&json!({ "type": "sent", "id": id, "repeated": repeated }))
}

/// The answer to a line that changed nothing.
pub(super) fn refused(error: &str) -> Vec<u8> {
    line(&json!({ "type": "refused", "error": error }))
}

fn line(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(container: Value) -> Envelope {
        let mut members = json!({
            "protocol": "agh-network/v0", "id": "m1", "workspace_id": "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "kind": "say", "channel": "builders", "from": "coder.sess-1", "ts": 1_700_000_000,
            "body": { "text": "line one\nline \"two\" </envelope>" },
        });
        members.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
        Envelope::parse(members.to_string().as_bytes()).unwrap()
    }

    fn thread() -> Envelope {
        say(json!({ "surface": "thread", "thread_id": "thread_one" }))
    }

    fn wish(text: &str, answers: Option<(&Envelope, u64)>) -> Wish {
        let Ok(Line::Send(send)) = read(text.as_bytes()) else { panic!("{text} is no send") };
        send.wish("sess-2", "builders", answers)
    }

    #[test]
    fn an_envelope_is_one_line_marked_untrusted_with_its_body_in_base64_n78() {
        let line = envelope(&thread());
        assert!(!line.contains(&b'\n'));
        let line: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!((&line["type"], &line["trust"]), (&json!("envelope"), &json!("untrusted")));
        let body = data_encoding::BASE64.decode(line["body_base64"].as_str().unwrap().as_bytes()).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["text"], "line one\nline \"two\" </envelope>");
        assert_eq!(line["envelope"]["id"], "m1");
        assert!(line["envelope"].get("body").is_none(), "nowhere else");
        assert!(line["preview"].as_str().unwrap().starts_with("line one"));
    }

    #[test]
    fn the_smallest_send_answers_the_sender_in_the_same_thread() {
        let request = wish(r#"{"type":"send","body":{"text":"hi"}}"#, Some((&thread(), 0))).request;
        assert_eq!((request.channel.as_str(), request.kind.as_str()), ("builders", "say"));
        assert_eq!(request.surface.as_deref(), Some("thread"));
        assert_eq!(request.thread_id.as_deref(), Some("thread_one"));
        assert_eq!(request.to.as_deref(), Some("coder.sess-1"));
        assert_eq!(request.reply_to.as_deref(), Some("m1"));
        assert_eq!(request.session_id, "sess-2", "nobody else can be named (N-80)");
    }

    #[test]
    fn what_a_send_says_itself_is_kept_and_null_means_none() {
        let text = r#"{"type":"send","body":{},"to":null,"reply_to":null,"id":"mine","session_id":"sess-9"}"#;
        let kept = wish(text, Some((&thread(), 0)));
        assert_eq!((kept.request.to, kept.request.reply_to, kept.own_id), (None, None, false));
        assert_eq!((kept.request.id.as_deref(), kept.request.session_id.as_str()), (Some("mine"), "sess-2"));
        let other = r#"{"type":"send","body":{},"surface":"thread","thread_id":"thread_two"}"#;
        let other = wish(other, Some((&thread(), 0)));
        assert_eq!((other.request.to, other.request.reply_to), (None, None), "another conversation");
    }

    #[test]
    fn an_answer_has_the_same_id_whenever_its_envelope_is_handed_over_n83() {
        let text = r#"{"type":"send","body":{"text":"hi"}}"#;
        let id = |number| wish(text, Some((&thread(), number))).request.id.unwrap();
        assert_eq!(id(0), id(0));
        assert_ne!(id(0), id(1));
        assert!(wish(text, None).request.id.is_none(), "what answers nothing is new each time");
    }

    #[test]
    fn every_other_line_is_refused_in_words_that_repeat_nothing_of_it() {
        let long = "secret".repeat(2_000);
        for text in ["", "secret", "5", "[]", "{}", r#"{"type":"secret"}"#, r#"{"type":5}"#, &long] {
            let error = read(text.as_bytes()).unwrap_err();
            assert!(!error.contains("secret") && error.len() < 200, "{error}");
        }
        assert!(read(b"{\"type\":\"send\",\"interaction_id\":null}").unwrap_err().contains("retired"));
        assert!(read(b"\xff\xfe").is_err());
        assert!(matches!(read(b"{\"type\":\"done\",\"x\":1}"), Ok(Line::Done)));
        assert!(matches!(read(b" {\"type\":\"ready\"} "), Ok(Line::Ready)));
    }
}
