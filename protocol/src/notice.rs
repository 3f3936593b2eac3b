//! Notices: what nobody says and somebody has to know, as a message whose author is the system (W-66, W-129).
//!
//! A notice stands in a private stream and shows there like any message, but nobody is its author: nobody edits or
//! deletes it, it mentions nobody and summons no bot (W-130). It is signed by the home of the bot it is about, or, about
//! none, by a node that tells its own people. In public channels there are none, and it is no envelope, so the Network
//! door does not show it.
//!
//! Why a notice is told makes its id, so a node that comes to tell it again, after a replay or as a restored copy that
//! forgot, tells the same notice.

use serde_tuple::{Deserialize_tuple, Serialize_tuple};
use ulid::Ulid;

use crate::{
    cbor::Bytes16,
    identity::NodeId,
    ids::{OpId, hash, owned_ulid},
    invocation::{InvocationId, machine::Status},
    limits,
    post::{self, is_exact_thread, thread_of},
    principal::{Principal, Slug},
};

/// Who the author of a notice is, where a message names its author by an id: nobody. No principal has such an id.
pub const AUTHOR: &str = "system";

/// Something that is to be known, in a private stream that the header names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Notice {
    /// The ULID of its `msg_` id; of its author's node. Told again under one id, the first counts.
    pub id: Bytes16,
    /// The thread it stands in; empty when it stands in the stream itself.
    pub thread: String,
    /// The bot it is about, as text; empty when a node tells its own people.
    pub about: String,
    /// Markdown that [`post::is_text`] takes.
    pub text: String,
}

/// Why a notice is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The bot that a message calls for has no session where the message stands (W-129).
    Unlinked {
        /// The message.
        source: OpId,
        /// When that was said, Unix milliseconds.
        source_ms: u64,
        /// The bot.
        bot: Principal,
    },
    /// An invocation ended without an answer.
    Unanswered(InvocationId),
}

impl Cause {
    /// The id of the notice that `node` tells because of this.
    pub fn id(self, node: NodeId) -> Ulid {
        let (at_ms, whole) = match self {
            Self::Unlinked { source, source_ms, bot } => {
                let parts = [&b"unlinked"[..], &source.0, &bot.ulid().to_bytes()];
                (source_ms, hash("muster/notice/v1", &parts))
            }
            Self::Unanswered(InvocationId(id)) => {
                (id.timestamp_ms(), hash("muster/notice/v1", &[b"unanswered", &id.to_bytes()]))
            }
        };
        owned_ulid(at_ms, node, std::array::from_fn(|at| whole[at]))
    }
}

impl Notice {
    /// Its id as a ULID.
    pub fn ulid(&self) -> Ulid {
        Ulid::from_bytes(self.id.0)
    }

    /// The name of the thread it stands in, or opens.
    pub fn thread_id(&self) -> String {
        if self.thread.is_empty() { thread_of(self.ulid()) } else { self.thread.clone() }
    }

    /// The bot it is about, if it is about one.
    pub fn about(&self) -> Option<Principal> {
        self.about.parse().ok().filter(|about: &Principal| about.is_bot())
    }

    /// Whether all of it keeps the rules that need nothing else.
    pub fn is_well_formed(&self) -> bool {
        post::is_text(&self.text)
            && (self.thread.is_empty() || is_exact_thread(&self.thread))
            && (self.about.is_empty() || self.about().is_some())
    }
}

/// What a notice says about a bot that has no session where somebody writes (W-129).
pub fn of_unlinked(bot: &Slug) -> String {
    format!(
        "@{bot} has no session in this scratchpad, so nobody answers here. Let its runtime open a session: that comes with \
         a scratchpad in which it answers."
    )
}

/// How an invocation ended that a person waits for.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// The bot.
    pub bot: &'a Slug,
    /// The message that summoned it.
    pub message: Ulid,
    /// The public channel that stands in; empty in a private stream.
    pub channel: &'a str,
    /// Where the invocation stands.
    pub status: Status,
    /// Why it failed; empty for no reason.
    pub reason: &'a str,
}

impl Ended<'_> {
    /// What a notice says about it; none while it goes on, when it was answered or may be left unanswered, and when what
    /// summoned the bot is gone.
    pub fn notice(&self) -> Option<String> {
        let (why, remedy) = match self.status {
            Status::Failed => ("it gave the work up", "See to the cause, then write to it again."),
            Status::Parked => (
                "its runtimes took the work again and again, and were heard of no more",
                "See that they stay up, then write to it again.",
            ),
            Status::Expired => {
                ("no runtime took the work in time", "See that one runs, then write to it again.")
            }
            Status::Pending | Status::Claimed | Status::Completed | Status::Cancelled => return None,
        };
        let Self { bot, message, channel, .. } = self;
        let place = if channel.is_empty() { String::new() } else { format!(" in #{channel}") };
        let mut text = format!("@{bot} did not answer your message `msg_{message}`{place}: {why}. {remedy}");
        if !self.reason.is_empty() {
            text += "\n\nIt says:\n";
            for line in self.reason.replace('\0', " ").lines() {
                text += "\n> ";
                text += line;
            }
        }
        // A line of the reason may be a character long, and is three longer as a quotation.
        Some(text.chars().take(limits::POST_CHARS_MAX).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cbor, identity::Identity, invocation::Trigger};

    const SAID_MS: u64 = 1_800_000_000_000;

    fn node() -> NodeId {
        Identity::from_seed([1; 32]).node()
    }

    fn bot() -> Principal {
        Principal::new_bot(SAID_MS, node(), [1; 5])
    }

    fn unlinked(source: u8) -> Cause {
        Cause::Unlinked { source: OpId([source; 32]), source_ms: SAID_MS, bot: bot() }
    }

    fn notice() -> Notice {
        Notice {
            id: Bytes16(unlinked(7).id(node()).to_bytes()),
            thread: String::new(),
            about: bot().to_string(),
            text: "Nobody answers here.".into(),
        }
    }

    #[test]
    fn a_notice_reads_back_and_its_bytes_never_change() {
        let bytes = cbor::encode(&notice());
        assert_eq!(cbor::decode(&bytes, limits::BODY_BYTES_MAX), Ok(notice()));
        insta::assert_snapshot!(data_encoding::HEXLOWER.encode(&bytes));
    }

    #[test]
    fn what_breaks_a_rule_of_notices_is_not_well_formed() {
        let person = Principal::new_user(1, node(), [1; 5]).to_string();
        let of_nobody = Notice { about: String::new(), ..notice() };
        let in_thread = Notice { thread: "thread_abc".into(), ..notice() };
        for good in [notice(), of_nobody, in_thread] {
            assert!(good.is_well_formed(), "{good:?}");
        }
        for bad in [
            Notice { text: String::new(), ..notice() },
            Notice { text: "a\0b".into(), ..notice() },
            Notice { text: "x".repeat(limits::POST_CHARS_MAX + 1), ..notice() },
            Notice { thread: "nope".into(), ..notice() },
            Notice { thread: "Thread_abc".into(), ..notice() },
            Notice { about: person, ..notice() },
            Notice { about: "helper".into(), ..notice() },
        ] {
            assert!(!bad.is_well_formed(), "{bad:?}");
        }
    }

    #[test]
    fn one_cause_makes_one_notice_and_another_another() {
        let invocation = |source| InvocationId::new(SAID_MS, OpId([source; 32]), bot(), Trigger::Mention);
        let other = Cause::Unlinked {
            source: OpId([7; 32]),
            source_ms: SAID_MS,
            bot: Principal::new_bot(SAID_MS, node(), [2; 5]),
        };
        let causes = [
            unlinked(7),
            unlinked(8),
            other,
            Cause::Unanswered(invocation(7)),
            Cause::Unanswered(invocation(8)),
        ];
        let ids: std::collections::BTreeSet<_> = causes.iter().map(|cause| cause.id(node())).collect();
        assert_eq!(ids.len(), causes.len());
        assert_eq!(unlinked(7).id(node()), unlinked(7).id(node()));
        assert!(ids.iter().all(|id| crate::ids::is_owned_by(*id, node()) && id.timestamp_ms() == SAID_MS));
    }

    #[test]
    fn a_person_is_told_of_what_ended_without_an_answer_and_why() {
        let helper = Slug::parse("helper").unwrap();
        let ended = |status, channel, reason| {
            let message = ulid::Ulid::from_parts(SAID_MS, 7);
            Ended { bot: &helper, message, channel, status, reason }.notice()
        };
        insta::assert_snapshot!(of_unlinked(&helper));
        for quiet in [Status::Pending, Status::Claimed, Status::Completed, Status::Cancelled] {
            assert_eq!(ended(quiet, "builders", ""), None, "{quiet:?}");
        }
        insta::assert_snapshot!(
            [
                ended(Status::Failed, "builders", "no disk\nof \0 that size"),
                ended(Status::Parked, "builders", ""),
                ended(Status::Expired, "", ""),
            ]
            .map(Option::unwrap)
            .join("\n---\n")
        );
        let long = "\n".repeat(limits::INVOCATION_REASON_CHARS_MAX);
        assert!(post::is_text(&ended(Status::Failed, "builders", &long).unwrap()));
    }
}
