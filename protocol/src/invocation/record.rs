//! What everybody is told about an invocation: an operation in the space of the message that summoned the bot.
//!
//! The bot's home says it whenever the status changes; of all that is said about one invocation the newest counts. So
//! whoever can read the message can see what became of it, wherever they are.

use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use super::{InvocationId, Trigger, machine::Status};
use crate::{
    cbor::{Bytes, Bytes16},
    ids::OpId,
    limits,
    principal::Principal,
};

/// An invocation has a new status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct InvocationSaid {
    /// The ULID of its `binv_` id, which is made of the next three.
    pub id: Bytes16,
    /// The bot, whose home the author is.
    pub bot: String,
    /// The operation that summoned it.
    pub source: OpId,
    /// See [`Trigger::as_str`].
    pub trigger: String,
    /// The public channel the source stands in; empty in a private stream, which the header names.
    pub channel: String,
    /// The message that summoned it, as the ULID of its `msg_` id.
    pub message: Bytes16,
    /// A code of [`Status`].
    pub status: u8,
    /// How often it was claimed.
    pub attempt: u8,
    /// The reply as the ULID of its `msg_` id; empty when there is none.
    pub reply: Bytes,
    /// Why it failed; empty for no reason.
    pub reason: String,
}

impl InvocationSaid {
    /// The invocation.
    pub fn invocation(&self) -> InvocationId {
        InvocationId(ulid::Ulid::from_bytes(self.id.0))
    }

    /// Its status.
    pub fn status(&self) -> Option<Status> {
        Status::from_code(self.status)
    }

    /// The reply, if there is one.
    pub fn reply(&self) -> Option<ulid::Ulid> {
        <[u8; 16]>::try_from(self.reply.0.as_slice()).ok().map(ulid::Ulid::from_bytes)
    }

    /// Which bot it is about, if it keeps its rules.
    pub fn check(&self) -> Option<Principal> {
        let bot: Principal = self.bot.parse().ok().filter(|bot: &Principal| bot.is_bot())?;
        let trigger = Trigger::from_word(&self.trigger)?;
        let fits = self.status().is_some()
            && self.invocation().is_of(self.source, bot, trigger)
            && self.attempt <= limits::INVOCATION_ATTEMPTS_MAX
            && matches!(self.reply.0.len(), 0 | 16)
            && self.reason.chars().count() <= limits::INVOCATION_REASON_CHARS_MAX;
        fits.then_some(bot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cbor, identity::Identity};

    fn said() -> InvocationSaid {
        let bot = Principal::new_bot(1_800_000_000_000, Identity::from_seed([1; 32]).node(), [1; 5]);
        let source = OpId([7; 32]);
        let id = InvocationId::new(1_800_000_000_000, source, bot, Trigger::Mention);
        InvocationSaid {
            id: Bytes16(id.0.to_bytes()),
            bot: bot.to_string(),
            source,
            trigger: Trigger::Mention.as_str().to_owned(),
            channel: "builders".into(),
            message: Bytes16([8; 16]),
            status: Status::Completed as u8,
            attempt: 1,
            reply: Bytes(vec![9; 16]),
            reason: String::new(),
        }
    }

    #[test]
    fn what_is_said_of_an_invocation_reads_back_and_its_bytes_never_change() {
        let bytes = cbor::encode(&said());
        assert_eq!(cbor::decode(&bytes, limits::BODY_BYTES_MAX), Ok(said()));
        assert_eq!(said().reply(), Some(ulid::Ulid::from_bytes([9; 16])));
        insta::assert_snapshot!(data_encoding::HEXLOWER.encode(&bytes));
    }

    #[test]
    fn what_breaks_a_rule_is_about_no_bot() {
        assert!(said().check().is_some());
        let other = Principal::new_bot(1, Identity::from_seed([1; 32]).node(), [2; 5]).to_string();
        for bad in [
            InvocationSaid { bot: other, ..said() },
            InvocationSaid { source: OpId([6; 32]), ..said() },
            InvocationSaid { trigger: "active-scratchpad".into(), ..said() },
            InvocationSaid { trigger: "whim".into(), ..said() },
            InvocationSaid { status: 0, ..said() },
            InvocationSaid { status: 8, ..said() },
            InvocationSaid { attempt: limits::INVOCATION_ATTEMPTS_MAX + 1, ..said() },
            InvocationSaid { reply: Bytes(vec![1; 15]), ..said() },
            InvocationSaid { reason: "x".repeat(limits::INVOCATION_REASON_CHARS_MAX + 1), ..said() },
        ] {
            assert_eq!(bad.check(), None, "{bad:?}");
        }
    }
}
