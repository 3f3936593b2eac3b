//! What a runtime of a bot asks through a node that is not the bot's home: that node passes it on (W-132 to W-155).
//!
//! The home decides by the bot's key, as if it had been asked itself: the question carries the key's hash, which opens
//! nothing where keys are asked for. An answer carries ids; what they name, the asking node holds itself.

use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::{
    cbor::{self, Bytes, Bytes16, Bytes32, CborError},
    identity::NodeId,
    ids::SpaceId,
    limits,
};

/// Asks the home of a bot to do something for a runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct WorkRequest {
    /// The workspace's space.
    pub space: SpaceId,
    /// Whom it asks.
    pub home: NodeId,
    /// Who asks.
    pub node: NodeId,
    /// When, in Unix milliseconds of its clock.
    pub at_ms: u64,
    /// SHA-256 of the bot's key.
    pub key: Bytes32,
    /// A code of an [`Act`].
    pub act: u8,
    /// See [`Act`].
    pub body: Bytes,
}

/// A runtime that wants work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct ClaimAsked {
    /// What kind of program it is.
    pub kind: String,
    /// Its name for itself.
    pub instance: String,
    /// The session it asks for; one or none.
    pub session: Vec<String>,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// How long the claim shall last.
    pub seconds: u64,
}

/// A runtime that says it holds a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct HolderAsked {
    /// The ULID of the invocation.
    pub id: Bytes16,
    /// The instance that claimed.
    pub instance: String,
    /// The token it was given.
    pub token: String,
}

/// What a runtime wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Work.
    Claim(ClaimAsked),
    /// That its claim lives this many seconds from now on.
    Renew(HolderAsked, u64),
    /// To tell of a step: its kind, its content, and one status text or none.
    Step(HolderAsked, String, String, Vec<String>),
    /// To be done: with one text and its metadata by ascending key, or with none.
    Complete(HolderAsked, Vec<(String, Vec<(String, String)>)>),
    /// To give up, for this reason.
    Fail(HolderAsked, String),
}

const CLAIM: u8 = 1;
const RENEW: u8 = 2;
const STEP: u8 = 3;
const COMPLETE: u8 = 4;
const FAIL: u8 = 5;

impl Act {
    /// Its code and its bytes, as they stand in a [`WorkRequest`].
    pub fn encode(&self) -> (u8, Bytes) {
        let (act, body) = match self {
            Act::Claim(claim) => (CLAIM, cbor::encode(claim)),
            Act::Renew(holder, seconds) => (RENEW, cbor::encode(&(holder, seconds))),
            Act::Step(holder, kind, content, status) => {
                (STEP, cbor::encode(&(holder, kind, content, status)))
            }
            Act::Complete(holder, reply) => (COMPLETE, cbor::encode(&(holder, reply))),
            Act::Fail(holder, reason) => (FAIL, cbor::encode(&(holder, reason))),
        };
        (act, Bytes(body))
    }

    /// Reads [`Self::encode`] and checks the bounds that the door checks.
    ///
    /// # Errors
    /// [`CborError`] for anything but exact bytes of an act within its bounds.
    pub fn decode(act: u8, body: &[u8]) -> Result<Self, CborError> {
        let max = limits::REQUEST_BYTES_MAX;
        let act = match act {
            CLAIM => Act::Claim(cbor::decode(body, max)?),
            RENEW => {
                let (holder, seconds) = cbor::decode(body, max)?;
                Act::Renew(holder, seconds)
            }
            STEP => {
                let (holder, kind, content, status) = cbor::decode(body, max)?;
                Act::Step(holder, kind, content, status)
            }
            COMPLETE => {
                let (holder, reply) = cbor::decode(body, max)?;
                Act::Complete(holder, reply)
            }
            FAIL => {
                let (holder, reason) = cbor::decode(body, max)?;
                Act::Fail(holder, reason)
            }
            _ => return Err(CborError::Shape),
        };
        if act.fits() { Ok(act) } else { Err(CborError::Shape) }
    }

    fn fits(&self) -> bool {
        match self {
            Act::Claim(claim) => {
                is_text(&claim.instance, limits::INSTANCE_CHARS_MAX)
                    && claim.session.len() <= 1
                    && claim.session.iter().all(|text| is_text(text, limits::RUNTIME_SESSION_CHARS_MAX))
                    && !claim.capabilities.is_empty()
                    && is_ttl(claim.seconds)
            }
            Act::Renew(holder, seconds) => holder.fits() && is_ttl(*seconds),
            Act::Step(holder, _, content, status) => {
                let is_status = |text: &String| text.chars().count() <= limits::STATUS_TEXT_CHARS_MAX;
                holder.fits()
                    && is_text(content, limits::STEP_CHARS_MAX)
                    && status.len() <= 1
                    && status.iter().all(is_status)
            }
            Act::Complete(holder, reply) => {
                holder.fits() && reply.len() <= 1 && reply.iter().all(|(text, _)| crate::post::is_text(text))
            }
            Act::Fail(holder, reason) => {
                holder.fits() && is_text(reason, limits::INVOCATION_REASON_CHARS_MAX)
            }
        }
    }
}

impl HolderAsked {
    fn fits(&self) -> bool {
        is_text(&self.instance, limits::INSTANCE_CHARS_MAX)
            && is_text(&self.token, limits::CLAIM_TOKEN_CHARS_MAX)
    }
}

fn is_text(text: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&text.chars().count())
}

fn is_ttl(seconds: u64) -> bool {
    (limits::INVOCATION_CLAIM_SECONDS_MIN..=limits::INVOCATION_CLAIM_SECONDS_MAX).contains(&seconds)
}

/// Work that a runtime holds from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct WorkGranted {
    /// The ULID of the invocation.
    pub id: Bytes16,
    /// The bot.
    pub bot: String,
    /// What proves that the runtime holds it.
    pub token: String,
    /// Until when, in Unix milliseconds.
    pub until_ms: u64,
    /// Why the bot was summoned.
    pub trigger: String,
    /// The message that summoned it.
    pub message: Bytes16,
    /// The session the work is aimed at; one or none.
    pub session: Vec<String>,
    /// Whether no person wrote that message.
    pub with_preamble: bool,
}

/// What the home answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkAnswer {
    /// Nothing suits.
    Nothing,
    /// Here is some.
    Granted(WorkGranted),
    /// The claim lives until then, in Unix milliseconds.
    Renewed(u64),
    /// The step is kept under this ULID.
    Stepped(Bytes16),
    /// It is done; the ULID of the reply, or none.
    Completed(Vec<Bytes16>),
    /// It is given up.
    Failed,
    /// No.
    Refused(WorkRefused),
}

/// Why the home of a bot does not do what a runtime asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WorkRefused {
    /// The key opens nothing there, or not this.
    #[error("the bot's home does not know that key")]
    Key,
    /// The claim is not the runtime's.
    #[error("Invocation claim not found")]
    NotHeld,
    /// The bot may not write there any more.
    #[error("the bot may not write there any more")]
    ReadOnly,
    /// The home is stopping or overloaded.
    #[error("the bot's home is busy; try again")]
    Busy,
}

impl WorkRefused {
    const ALL: [Self; 4] = [Self::Key, Self::NotHeld, Self::ReadOnly, Self::Busy];
}

impl WorkAnswer {
    /// Canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (tag, inner) = match self {
            WorkAnswer::Nothing => (0u8, Vec::new()),
            WorkAnswer::Granted(granted) => (1, cbor::encode(granted)),
            WorkAnswer::Renewed(until_ms) => (2, cbor::encode(&(until_ms,))),
            WorkAnswer::Stepped(step) => (3, cbor::encode(&(step,))),
            WorkAnswer::Completed(reply) => (4, cbor::encode(&(reply,))),
            WorkAnswer::Failed => (5, Vec::new()),
            WorkAnswer::Refused(refused) => (6, cbor::encode(&(*refused as u8,))),
        };
        cbor::encode(&(tag, Bytes(inner)))
    }

    /// Reads [`Self::encode`]. A refusal of a newer node is understood as one of the key.
    ///
    /// # Errors
    /// [`CborError`] for anything but exact bytes of an answer.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let max = limits::REQUEST_BYTES_MAX;
        let (tag, inner): (u8, Bytes) = cbor::decode(bytes, max)?;
        let inner = inner.0.as_slice();
        Ok(match tag {
            0 if inner.is_empty() => WorkAnswer::Nothing,
            1 => WorkAnswer::Granted(cbor::decode(inner, max)?),
            2 => WorkAnswer::Renewed(cbor::decode::<(u64,)>(inner, max)?.0),
            3 => WorkAnswer::Stepped(cbor::decode::<(Bytes16,)>(inner, max)?.0),
            4 => {
                let (reply,): (Vec<Bytes16>,) = cbor::decode(inner, max)?;
                if reply.len() > 1 {
                    return Err(CborError::Shape);
                }
                WorkAnswer::Completed(reply)
            }
            5 if inner.is_empty() => WorkAnswer::Failed,
            6 => {
                let (code,): (u8,) = cbor::decode(inner, max)?;
                let known = WorkRefused::ALL.get(usize::from(code)).copied();
                WorkAnswer::Refused(known.unwrap_or(WorkRefused::Key))
            }
            _ => return Err(CborError::Shape),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn holder() -> HolderAsked {
        HolderAsked { id: Bytes16([7; 16]), instance: "laptop".into(), token: "1.abc".into() }
    }

    pub(crate) fn acts() -> Vec<Act> {
        let claim = ClaimAsked {
            kind: "custom".into(),
            instance: "laptop".into(),
            session: vec!["s1".into()],
            capabilities: vec!["mentionable".into()],
            seconds: 60,
        };
        vec![
            Act::Claim(claim),
            Act::Renew(holder(), 300),
            Act::Step(holder(), "thinking".into(), "Hm".into(), vec!["Thinking".into()]),
            Act::Complete(holder(), vec![("Done.".into(), vec![("a".into(), "1".into())])]),
            Act::Complete(holder(), Vec::new()),
            Act::Fail(holder(), "no disk left".into()),
        ]
    }

    pub(crate) fn answers() -> Vec<WorkAnswer> {
        let granted = WorkGranted {
            id: Bytes16([7; 16]),
            bot: "bot_01J9ZK3V5T8Q2M4N6P7R8S9TAB".into(),
            token: "1.abc".into(),
            until_ms: 1_800_000_060_000,
            trigger: "mention".into(),
            message: Bytes16([8; 16]),
            session: Vec::new(),
            with_preamble: false,
        };
        let mut answers = vec![
            WorkAnswer::Nothing,
            WorkAnswer::Granted(granted),
            WorkAnswer::Renewed(1_800_000_060_000),
            WorkAnswer::Stepped(Bytes16([9; 16])),
            WorkAnswer::Completed(vec![Bytes16([9; 16])]),
            WorkAnswer::Completed(Vec::new()),
            WorkAnswer::Failed,
        ];
        answers.extend(WorkRefused::ALL.map(WorkAnswer::Refused));
        answers
    }

    #[test]
    fn every_act_and_every_answer_reads_back() {
        for act in acts() {
            let (code, body) = act.encode();
            assert_eq!(Act::decode(code, &body.0), Ok(act));
        }
        for answer in answers() {
            assert_eq!(WorkAnswer::decode(&answer.encode()), Ok(answer));
        }
        let newer = cbor::encode(&(6u8, Bytes(cbor::encode(&(99u8,)))));
        assert_eq!(WorkAnswer::decode(&newer), Ok(WorkAnswer::Refused(WorkRefused::Key)));
    }

    #[test]
    fn what_the_door_would_refuse_is_no_act_w136_w149() {
        let long = |count: usize| "x".repeat(count);
        let claim = |change: fn(&mut ClaimAsked)| {
            let Act::Claim(mut claim) = acts().remove(0) else { unreachable!("the first is a claim") };
            change(&mut claim);
            Act::Claim(claim)
        };
        for bad in [
            claim(|claim| claim.seconds = 14),
            claim(|claim| claim.seconds = 301),
            claim(|claim| claim.capabilities.clear()),
            claim(|claim| claim.instance.clear()),
            claim(|claim| claim.session.push("s2".into())),
            Act::Renew(holder(), 0),
            Act::Renew(HolderAsked { token: long(257), ..holder() }, 60),
            Act::Step(holder(), "thinking".into(), long(10_001), Vec::new()),
            Act::Step(holder(), "thinking".into(), "Hm".into(), vec![long(201)]),
            Act::Complete(holder(), vec![(String::new(), Vec::new())]),
            Act::Complete(holder(), vec![("a\0b".into(), Vec::new())]),
            Act::Fail(holder(), long(1_001)),
        ] {
            let (code, body) = bad.encode();
            assert_eq!(Act::decode(code, &body.0), Err(CborError::Shape), "{bad:?}");
        }
        assert_eq!(Act::decode(9, &[]), Err(CborError::Shape));
    }
}
