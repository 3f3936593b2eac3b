//! One message of the Network door, as it travels: a JSON object of known members (N-7 to N-14).
//!
//! [`Envelope`] is the *reading* of a message: names trimmed and checked, blank counted as absent. Its signature covers
//! the JSON *as received*, so whoever takes an envelope in from another node verifies and keeps those bytes (N-74).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::body::{Body, BodyError};
use super::direct::Pair;
use super::freshness::{self, MAX_REPLAY_AGE_SECONDS, MAX_SECONDS};
use super::ids::{ChannelName, IdError, LinkId, MessageId, PeerName, WorkId, WorkspaceRef};
use super::kinds::{Kind, Surface, WhoisType};
use super::reading::{brief, not_blank, parse_strict};
use super::refusal::Refusal;
use super::surface::{self, Container, SurfaceError};
use super::{PROTOCOL, secrets};

/// Largest serialized envelope, proof included, in bytes: 1 MiB (N-14).
pub const MAX_ENVELOPE_BYTES: usize = 1_048_576;

/// One message. Fields are public so that a node can build one; [`Envelope::check`] then says whether it may leave.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The message id, unique per workspace and, against strangers, per sender (N-83, N-89).
    pub id: MessageId,
    /// The workspace (N-3).
    pub workspace_id: WorkspaceRef,
    /// What it is for.
    pub kind: Kind,
    /// The channel.
    pub channel: ChannelName,
    /// Thread or room; absent exactly for greet and whois (N-26, N-27).
    pub container: Option<Container>,
    /// Who speaks.
    pub from: PeerName,
    /// Who is addressed; `None` means everybody in the channel.
    pub to: Option<PeerName>,
    /// The work it belongs to (N-28).
    pub work_id: Option<WorkId>,
    /// The message it answers. Links are never checked against what exists.
    pub reply_to: Option<LinkId>,
    /// What it is traced under.
    pub trace_id: Option<LinkId>,
    /// What caused it.
    pub causation_id: Option<LinkId>,
    /// When it was sent, in Unix seconds, by the sender's clock.
    pub ts: i64,
    /// When it stops being fresh, in Unix seconds (N-15).
    pub expires_at: Option<i64>,
    /// The body as received; [`Envelope::content`] reads it.
    pub body: Map<String, Value>,
    /// The signature block as received.
    pub proof: Option<Map<String, Value>>,
    /// Opaque members, passed on untouched (N-10).
    pub ext: Option<Map<String, Value>>,
}

impl Envelope {
    /// Reads a message from its bytes and makes every check of N-8 that needs no clock, in that order, and also that
    /// a room message stands in the room of its two peers (N-42). Freshness is [`Envelope::check_fresh`].
    ///
    /// # Errors
    /// [`Refusal`]: the first check that fails.
    pub fn parse(json: &[u8]) -> Result<Self, Refusal> {
        Self::from_members(read_members(json)?)
    }

    /// [`Envelope::parse`] for a message that is parsed JSON already.
    ///
    /// # Errors
    /// [`Refusal`]: the first check that fails.
    pub fn from_members(mut members: Map<String, Value>) -> Result<Self, Refusal> {
        if members.contains_key("interaction_id") {
            return Err(Refusal::RetiredMember { member: "interaction_id" });
        }
        if text(&members, "protocol")? != Some(PROTOCOL) {
            return Err(Refusal::WrongProtocol);
        }
        let id = required(&members, "id", MessageId::parse)?;
        let workspace_id = required(&members, "workspace_id", WorkspaceRef::parse)?;
        let kind = read_kind(text(&members, "kind")?.ok_or(Refusal::Missing { member: "kind" })?)?;
        let channel = required(&members, "channel", ChannelName::parse)?;
        let from = required(&members, "from", PeerName::parse)?;
        let to = optional(&members, "to", PeerName::parse)?;
        let ts = time(&members, "ts")?.ok_or(Refusal::Missing { member: "ts" })?;
        check_ts(ts)?;
        let container = Container::read(
            text(&members, "surface")?,
            text(&members, "thread_id")?,
            text(&members, "direct_id")?,
        )?;
        let work_id = optional(&members, "work_id", WorkId::parse)?;
        let envelope = Self {
            id,
            workspace_id,
            kind,
            channel,
            container,
            from,
            to,
            work_id,
            reply_to: optional(&members, "reply_to", LinkId::parse)?,
            trace_id: optional(&members, "trace_id", LinkId::parse)?,
            causation_id: optional(&members, "causation_id", LinkId::parse)?,
            ts,
            expires_at: time(&members, "expires_at")?,
            body: object(&mut members, "body")?.ok_or(Refusal::Missing { member: "body" })?,
            proof: object(&mut members, "proof")?,
            ext: object(&mut members, "ext")?,
        };
        envelope.check_shape()?;
        envelope.check_room()?;
        Ok(envelope)
    }

    /// Everything N-8 asks of a message a node has built itself, at `now` in Unix seconds. The room of a direct message
    /// is [`Envelope::check_room`], because over HTTP that comes later (N-79).
    ///
    /// # Errors
    /// [`Refusal`]: the first check that fails.
    pub fn check(&self, now: i64) -> Result<(), Refusal> {
        self.check_shape()?;
        self.check_fresh(now, MAX_REPLAY_AGE_SECONDS)
    }

    /// The part of [`Envelope::check`] that needs no clock: surface, body, kind rules, secrets.
    ///
    /// # Errors
    /// [`Refusal`]: the first check that fails.
    pub fn check_shape(&self) -> Result<(), Refusal> {
        check_ts(self.ts)?;
        if self.expires_at.is_some_and(|end| end > MAX_SECONDS) {
            return Err(Refusal::BadTime { member: "expires_at" });
        }
        surface::check(self.kind, self.container.as_ref(), self.to.as_ref(), self.work_id.as_ref())?;
        let body = self.content()?;
        self.check_kind_rules(&body)?;
        for (part, members) in
            [("body", Some(&self.body)), ("proof", self.proof.as_ref()), ("ext", self.ext.as_ref())]
        {
            if let Some(members) = members {
                secrets::check_members(part, members)?;
            }
        }
        Ok(())
    }

    /// Freshness at `now` with a window of `max_age` seconds (N-15, N-136).
    ///
    /// # Errors
    /// [`Refusal::Stale`].
    pub fn check_fresh(&self, now: i64, max_age: i64) -> Result<(), Refusal> {
        Ok(freshness::check(self.ts, self.expires_at, now, max_age)?)
    }

    /// Checks that a room message stands in the room of sender and target (N-42).
    ///
    /// # Errors
    /// [`Refusal::WrongRoom`] (over HTTP 409), or [`Refusal::Surface`] when sender and target are one.
    pub fn check_room(&self) -> Result<(), Refusal> {
        let Some(Container::Direct(room)) = &self.container else {
            return Ok(());
        };
        let to = self.to.as_ref().ok_or(SurfaceError::MissingTarget)?;
        let pair = Pair::of(&self.from, to).map_err(|_| SurfaceError::SamePeer)?;
        let expected = pair.room(&self.workspace_id, &self.channel);
        if *room == expected { Ok(()) } else { Err(Refusal::WrongRoom { expected }) }
    }

    /// The body, read and checked (N-17 to N-24).
    ///
    /// # Errors
    /// [`Refusal::Body`]; never for an envelope that has passed [`Envelope::parse`].
    pub fn content(&self) -> Result<Body, Refusal> {
        Body::read(self.kind, &self.body).map_err(|cause| Refusal::Body { kind: self.kind, cause })
    }

    /// The text for titles and previews (N-25); empty when the body cannot be read.
    pub fn preview(&self) -> String {
        self.content().map(|body| body.preview()).unwrap_or_default()
    }

    /// True when `to` is set or the message stands in a direct room: such messages do not count as public (N-114).
    pub fn is_directed(&self) -> bool {
        self.to.is_some() || self.surface() == Some(Surface::Direct)
    }

    /// Thread, direct, or neither.
    pub fn surface(&self) -> Option<Surface> {
        self.container.as_ref().map(Container::surface)
    }

    /// The message as compact JSON.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] above [`MAX_ENVELOPE_BYTES`] (N-14).
    pub fn to_json(&self) -> Result<Vec<u8>, Refusal> {
        let json = serde_json::to_vec(self).expect("an envelope holds only JSON and has string keys");
        match json.len() {
            bytes if bytes > MAX_ENVELOPE_BYTES => Err(Refusal::TooLarge { bytes, max: MAX_ENVELOPE_BYTES }),
            _ => Ok(json),
        }
    }

    /// The message as the JSON object that is signed (N-74): exactly what [`Envelope::to_json`] writes, parsed.
    pub fn to_members(&self) -> Map<String, Value> {
        match serde_json::to_value(self).expect("an envelope holds only JSON and has string keys") {
            Value::Object(members) => members,
            _ => unreachable!("an envelope is a struct, which serializes as an object"),
        }
    }

    /// The rules that need envelope and body together (N-17, N-18, N-72).
    fn check_kind_rules(&self, body: &Body) -> Result<(), Refusal> {
        let broken = |cause| Err(Refusal::Body { kind: self.kind, cause });
        let is_response = matches!(body, Body::Whois(whois) if whois.part == WhoisType::Response);
        if is_response && self.reply_to.is_none() {
            return broken(BodyError::ResponseWithoutReplyTo);
        }
        let Some(card) = body.peer_card() else {
            return Ok(());
        };
        if card.peer_id != self.from {
            return broken(BodyError::ForeignCard);
        }
        let has_proof = self.proof.as_ref().is_some_and(|proof| !proof.is_empty());
        if card.claims_task_write() && !has_proof { Err(Refusal::ProofRequired) } else { Ok(()) }
    }
}

/// Reads the bytes of a message as the JSON object they have to be, within the size of N-14. This is what
/// [`proof::classify`](super::proof::classify) judges and [`Envelope::from_members`] then reads.
///
/// # Errors
/// [`Refusal::TooLarge`] or [`Refusal::NotAnObject`].
pub fn read_members(json: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if json.len() > MAX_ENVELOPE_BYTES {
        return Err(Refusal::TooLarge { bytes: json.len(), max: MAX_ENVELOPE_BYTES });
    }
    match parse_strict(json) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Refusal::NotAnObject { detail: "it is another JSON value".to_owned() }),
        Err(error) => Err(Refusal::NotAnObject { detail: brief(&error) }),
    }
}

/// The envelope's members in the order of N-7, absent ones left out.
#[derive(Serialize)]
struct Wire<'a> {
    protocol: &'static str,
    id: &'a MessageId,
    workspace_id: &'a WorkspaceRef,
    kind: Kind,
    channel: &'a ChannelName,
    #[serde(skip_serializing_if = "Option::is_none")]
    surface: Option<Surface>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direct_id: Option<&'a str>,
    from: &'a PeerName,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a PeerName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    work_id: Option<&'a WorkId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a LinkId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a LinkId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causation_id: Option<&'a LinkId>,
    ts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    body: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ext: Option<&'a Map<String, Value>>,
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let container = self.container.as_ref();
        Wire {
            protocol: PROTOCOL,
            id: &self.id,
            workspace_id: &self.workspace_id,
            kind: self.kind,
            channel: &self.channel,
            surface: self.surface(),
            thread_id: container.and_then(Container::thread_id).map(AsRef::as_ref),
            direct_id: container.and_then(Container::direct_id).map(AsRef::as_ref),
            from: &self.from,
            to: self.to.as_ref(),
            work_id: self.work_id.as_ref(),
            reply_to: self.reply_to.as_ref(),
            trace_id: self.trace_id.as_ref(),
            causation_id: self.causation_id.as_ref(),
            ts: self.ts,
            expires_at: self.expires_at,
            body: &self.body,
            proof: self.proof.as_ref(),
            ext: self.ext.as_ref(),
        }
        .serialize(output)
    }
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Self::from_members(Map::deserialize(input)?).map_err(serde::de::Error::custom)
    }
}

fn read_kind(word: &str) -> Result<Kind, Refusal> {
    match Kind::from_word(word) {
        Some(kind) => Ok(kind),
        None if word == "direct" => Err(Refusal::RetiredKind { kind: "direct" }),
        None => Err(Refusal::UnknownKind),
    }
}

/// A text member, trimmed; absent, null and blank are `None` (N-6).
fn text<'a>(members: &'a Map<String, Value>, member: &'static str) -> Result<Option<&'a str>, Refusal> {
    match members.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(not_blank(text)),
        Some(_) => Err(Refusal::WrongType { member, wanted: "a string" }),
    }
}

fn optional<T>(
    members: &Map<String, Value>,
    member: &'static str,
    parse: fn(&str) -> Result<T, IdError>,
) -> Result<Option<T>, Refusal> {
    let name = text(members, member)?.map(parse).transpose();
    name.map_err(|cause| Refusal::BadName { member, cause })
}

fn required<T>(
    members: &Map<String, Value>,
    member: &'static str,
    parse: fn(&str) -> Result<T, IdError>,
) -> Result<T, Refusal> {
    optional(members, member, parse)?.ok_or(Refusal::Missing { member })
}

fn time(members: &Map<String, Value>, member: &'static str) -> Result<Option<i64>, Refusal> {
    match members.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_i64() {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(Refusal::WrongType { member, wanted: "a whole number of Unix seconds" }),
        },
    }
}

fn check_ts(ts: i64) -> Result<(), Refusal> {
    if (1..=MAX_SECONDS).contains(&ts) { Ok(()) } else { Err(Refusal::BadTime { member: "ts" }) }
}

/// Takes an object out of the members. Null is absent for `proof` and `ext`; for `body` that is an error (N-9), which
/// the caller reports as a missing one.
fn object(
    members: &mut Map<String, Value>,
    member: &'static str,
) -> Result<Option<Map<String, Value>>, Refusal> {
    match members.remove(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Refusal::WrongType { member, wanted: "a JSON object" }),
    }
}
