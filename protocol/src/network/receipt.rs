//! Automatic receipts: what a node answers in a peer's name when it refuses work that was sent to it (N-91).
//!
//! Nothing is ever accepted automatically (N-92). Messages by outsiders and about unknown work get no answer (N-94).

use serde_json::{Map, Value};

use super::body::{Body, ReceiptBody};
use super::envelope::{Envelope, read_members};
use super::ids::{ChannelName, IdError, LinkId, MessageId, PeerName, WorkId, WorkspaceRef};
use super::kinds::{Kind, ReasonCode, ReceiptStatus};
use super::proof::ProofError;
use super::refusal::Refusal;
use super::surface::Container;
use super::work::WorkRefusal;

/// Why a message from elsewhere was turned away, whatever step turned it away (N-88).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It breaks a rule of N-8.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its proof is bad, or missing where policy wants one (N-73).
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// It names a peer that is not here.
    #[error("the addressed peer is not on this node")]
    NotTarget,
    /// Its id was seen before (N-89).
    #[error("a message with this id was seen before")]
    Duplicate,
    /// It breaks a rule of its work.
    #[error(transparent)]
    Work(#[from] WorkRefusal),
}

impl Rejection {
    /// The reason code to record (N-93).
    pub fn reason(&self) -> ReasonCode {
        match self {
            Self::Refused(refusal) => refusal.reason(),
            Self::Proof(_) => ReasonCode::VerificationFailed,
            Self::NotTarget => ReasonCode::NotTarget,
            Self::Duplicate => ReasonCode::Duplicate,
            Self::Work(refusal) => refusal.reason(),
        }
    }

    /// Status and reason of the receipt it earns; `None` where N-91 and N-94 want silence.
    fn answer(&self) -> Option<(ReceiptStatus, ReasonCode)> {
        let reason = self.reason();
        let status = match (self, reason) {
            (Self::Duplicate, _) => ReceiptStatus::Duplicate,
            (Self::Refused(_), ReasonCode::Expired) => ReceiptStatus::Expired,
            (Self::Refused(_), ReasonCode::Malformed | ReasonCode::LegacyFieldRejected)
            | (Self::Work(_), ReasonCode::WorkClosed | ReasonCode::WorkContainerMismatch) => {
                ReceiptStatus::Rejected
            }
            _ => return None,
        };
        Some((status, reason))
    }
}

/// As much of a refused message as its answer needs. It is read on its own, because the message may be refused for
/// what is wrong elsewhere in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offender {
    /// The message.
    pub id: MessageId,
    /// Its workspace.
    pub workspace_id: WorkspaceRef,
    /// Its channel.
    pub channel: ChannelName,
    /// Its container.
    pub container: Container,
    /// Who sent it and gets the answer.
    pub from: PeerName,
    /// Whom it addressed and who answers.
    pub to: PeerName,
    /// Its work.
    pub work_id: WorkId,
    /// Its trace.
    pub trace_id: Option<LinkId>,
}

impl Offender {
    /// Reads the bytes of a refused message. `None` when it could not earn an answer anyway: it is no say or
    /// capability, names no work or no target, or these members are unreadable (N-91).
    pub fn read(json: &[u8]) -> Option<Self> {
        let members = read_members(json).ok()?;
        let text = |member: &str| members.get(member).and_then(Value::as_str);
        if !text("kind").map(str::trim).and_then(Kind::from_word)?.opens_work() {
            return None;
        }
        let container = Container::read(text("surface"), text("thread_id"), text("direct_id"));
        Some(Self {
            id: read(&members, "id", MessageId::parse)?,
            workspace_id: read(&members, "workspace_id", WorkspaceRef::parse)?,
            channel: read(&members, "channel", ChannelName::parse)?,
            container: container.ok()??,
            from: read(&members, "from", PeerName::parse)?,
            to: read(&members, "to", PeerName::parse)?,
            work_id: read(&members, "work_id", WorkId::parse)?,
            trace_id: read(&members, "trace_id", LinkId::parse),
        })
    }

    /// [`Offender::read`] for a message that was readable and is refused for another reason.
    pub fn of(envelope: &Envelope) -> Option<Self> {
        if !envelope.kind.opens_work() {
            return None;
        }
        Some(Self {
            id: envelope.id.clone(),
            workspace_id: envelope.workspace_id.clone(),
            channel: envelope.channel.clone(),
            container: envelope.container.clone()?,
            from: envelope.from.clone(),
            to: envelope.to.clone()?,
            work_id: envelope.work_id.clone()?,
            trace_id: envelope.trace_id.clone(),
        })
    }

    /// The body of the automatic receipt, if the rejection earns one (N-91). The caller has made sure that
    /// [`Offender::to`] is a peer of this node.
    pub fn receipt(&self, rejection: &Rejection) -> Option<ReceiptBody> {
        let (status, reason) = rejection.answer()?;
        // No detail: it could repeat foreign text, which the secret check (N-13) might then refuse in our name.
        Some(ReceiptBody { for_id: self.id.clone(), status, reason_code: Some(reason), detail: None })
    }

    /// The whole receipt: in the addressed peer's name to the sender, same container and work, linked to the refused
    /// message, trace kept (N-91). `id` and `ts` (Unix seconds) are the answering node's; it is not signed yet.
    pub fn answer(&self, rejection: &Rejection, id: MessageId, ts: i64) -> Option<Envelope> {
        let body = self.receipt(rejection)?;
        Some(Envelope {
            id,
            workspace_id: self.workspace_id.clone(),
            kind: Kind::Receipt,
            channel: self.channel.clone(),
            container: Some(self.container.clone()),
            from: self.to.clone(),
            to: Some(self.from.clone()),
            work_id: Some(self.work_id.clone()),
            reply_to: Some(self.id.clone().into()),
            trace_id: self.trace_id.clone(),
            causation_id: Some(self.id.clone().into()),
            ts,
            expires_at: None,
            body: Body::Receipt(body).to_map(),
            proof: None,
            ext: None,
        })
    }
}

fn read<T>(members: &Map<String, Value>, member: &str, parse: fn(&str) -> Result<T, IdError>) -> Option<T> {
    members.get(member).and_then(Value::as_str).and_then(|text| parse(text).ok())
}
