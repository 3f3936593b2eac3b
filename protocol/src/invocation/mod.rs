//! Invocations: the one way work reaches a bot (W-125 to W-156).
//!
//! A message summons bots ([`summons`]). Each summons is an *invocation* at the bot's home: it waits, is claimed by a
//! runtime of the bot under a lease, and ends in a reply, silence or failure ([`machine`]). A claim has a *fence*, the
//! number of its attempt, and a token that nobody can guess; what an older fence says is refused, whatever its lease
//! said. What becomes of an invocation is told to all who can read where it came from ([`record`]).
//!
//! ```text
//! pending ──claim──▶ claimed ──complete──▶ completed
//!    ▲                 │ │ └────fail─────▶ failed
//!    └──────lapse──────┘ └─fifth lapse───▶ parked
//! pending or claimed ──source deleted──▶ cancelled      pending ──too long──▶ expired
//! ```

pub mod machine;
pub mod record;
pub mod redact;
pub mod runtime;
pub mod summons;

use std::{fmt, str::FromStr};

use ulid::Ulid;

use crate::{
    ids::{OpId, exact_ulid, hash, ulid},
    principal::{self, Principal},
};

/// `binv_` and a ULID. It is made of what summoned whom and why, so one message summons a bot at most once per trigger
/// (W-52), however often the message arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvocationId(pub Ulid);

impl InvocationId {
    /// The invocation of a bot by an operation that was said at `source_ms`.
    pub fn new(source_ms: u64, source: OpId, bot: Principal, trigger: Trigger) -> Self {
        let parts = [&source.0[..], &bot.ulid().to_bytes(), trigger.as_str().as_bytes()];
        let whole = hash("muster/invocation/v1", &parts);
        let mut random = [0; 10];
        random.copy_from_slice(&whole[..10]);
        Self(ulid(source_ms, random))
    }

    /// Whether it is the invocation of a bot by an operation; when that was said, the id itself tells.
    pub fn is_of(self, source: OpId, bot: Principal, trigger: Trigger) -> bool {
        self == Self::new(self.0.timestamp_ms(), source, bot, trigger)
    }

    /// The sender's own name of the reply that completes it (W-51).
    pub fn reply_client_id(self) -> String {
        format!("bot-invocation:{self}")
    }
}

impl fmt::Display for InvocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "binv_{}", self.0)
    }
}

/// Text that is no invocation's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of an invocation is `binv_` and a ULID")]
pub struct NotAnInvocation;

impl FromStr for InvocationId {
    type Err = NotAnInvocation;

    fn from_str(text: &str) -> Result<Self, NotAnInvocation> {
        text.strip_prefix("binv_").and_then(exact_ulid).map(Self).ok_or(NotAnInvocation)
    }
}

/// What called for the bot. Each trigger needs the capability of the same name in a runtime that takes the work: a
/// mention needs `mentionable` (W-125), the others their own name (W-127).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trigger {
    /// A person mentioned it.
    Mention,
    /// Somebody wrote in the scratchpad it is active in.
    ActiveScratchpad,
    /// Somebody steers its session. Nothing in this API makes one.
    SessionControl,
}

impl Trigger {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mention, Self::ActiveScratchpad, Self::SessionControl];

    /// Its name in the doors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mention => "mention",
            Self::ActiveScratchpad => "active-scratchpad",
            Self::SessionControl => "session-control",
        }
    }

    /// The capability that a runtime needs for it (W-132).
    pub fn capability(self) -> &'static str {
        match self {
            Self::Mention => principal::MENTIONABLE,
            Self::ActiveScratchpad => principal::ACTIVE_SCRATCHPAD,
            Self::SessionControl => "session-control",
        }
    }

    /// The trigger of a name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trigger| trigger.as_str() == word)
    }

    /// The trigger that needs a capability.
    pub fn of_capability(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trigger| trigger.capability() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn bot(seed: u8) -> Principal {
        Principal::new_bot(1_800_000_000_000, Identity::from_seed([seed; 32]).node(), [seed; 5])
    }

    #[test]
    fn an_invocation_is_named_by_source_bot_and_trigger_alone_w52() {
        let id = |op, seed, trigger| InvocationId::new(1_800_000_000_000, OpId([op; 32]), bot(seed), trigger);
        let one = id(1, 1, Trigger::Mention);
        assert_eq!(one, id(1, 1, Trigger::Mention));
        for other in
            [id(2, 1, Trigger::Mention), id(1, 2, Trigger::Mention), id(1, 1, Trigger::ActiveScratchpad)]
        {
            assert_ne!(one, other);
        }
        assert_eq!(one.0.timestamp_ms(), 1_800_000_000_000);
        assert!(one.is_of(OpId([1; 32]), bot(1), Trigger::Mention));
        assert!(!one.is_of(OpId([1; 32]), bot(2), Trigger::Mention));
        assert_eq!(one.to_string().parse(), Ok(one));
        assert!(one.to_string().to_lowercase().parse::<InvocationId>().is_err());
        insta::assert_snapshot!(one.reply_client_id());
    }

    #[test]
    fn triggers_and_capabilities_read_back_from_their_names_w132() {
        for trigger in Trigger::ALL {
            assert_eq!(Trigger::from_word(trigger.as_str()), Some(trigger));
            assert_eq!(Trigger::of_capability(trigger.capability()), Some(trigger));
        }
        assert_eq!(Trigger::of_capability("mention"), None);
    }
}
