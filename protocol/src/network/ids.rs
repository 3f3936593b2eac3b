//! The names of the Network door and their grammars (N-4).
//!
//! Every name is a newtype over text that has been trimmed (N-6) and checked; there is no way to hold one
//! that breaks its grammar, also not by deserializing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest channel name, in bytes (N-4).
pub const MAX_CHANNEL_BYTES: usize = 64;
/// Longest peer name, in bytes (N-4).
pub const MAX_PEER_BYTES: usize = 128;
/// Longest work id, in bytes (N-4).
pub const MAX_WORK_BYTES: usize = 128;
/// Longest message id, in bytes. \[ours\] N-4 sets none; ids are keys of several tables and are chosen by callers,
/// so they need one. 256 leaves room for any UUID, ULID or URN in use.
pub const MAX_MESSAGE_ID_BYTES: usize = 256;
/// Longest link (`reply_to`, `trace_id`, `causation_id`), in bytes. \[ours\] As long as the id it may point to.
pub const MAX_LINK_BYTES: usize = MAX_MESSAGE_ID_BYTES;
/// Longest workspace id, in bytes. \[ours\] N-4 sets none; our own are 29 bytes, foreign ones are short names.
pub const MAX_WORKSPACE_BYTES: usize = 128;

const THREAD_PREFIX: &str = "thread_";
const DIRECT_PREFIX: &str = "direct_";
/// Hex digits of a direct room id behind its prefix.
pub(super) const DIRECT_HEX_DIGITS: usize = 32;

/// Why a text is not a name of the wanted sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing is left after trimming.
    #[error("{what} is blank; give one")]
    Blank {
        /// The sort of name wanted.
        what: &'static str,
    },
    /// Longer than the sort allows.
    #[error("{what} has {bytes} bytes; at most {max} are allowed")]
    TooLong {
        /// The sort of name wanted.
        what: &'static str,
        /// Bytes given, after trimming.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Characters or form outside the grammar.
    #[error("{what} has to be {rule}")]
    Grammar {
        /// The sort of name wanted.
        what: &'static str,
        /// The grammar, for the person who reads the error.
        rule: &'static str,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Trims `text` (N-6) and checks it against the grammar (N-4).
            ///
            /// # Errors
            /// [`IdError`] says which part of the grammar is broken.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let text = text.trim();
                $check(text)?;
                Ok(Self(text.to_owned()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

name!(
    /// The workspace as an envelope names it: not blank, no `.`, space, `*`, `>` or control character. The one
    /// canonical id shared by all nodes (N-3), because it enters the room hash (N-36).
    WorkspaceRef,
    check_workspace
);
name!(
    /// A channel: `^[a-z0-9][a-z0-9_-]{0,63}$`.
    ChannelName,
    check_channel
);
name!(
    /// Who speaks in a channel: `^[a-z0-9][a-z0-9._-]{0,127}$`. The contract's "peer id"; called a name here because
    /// "peer id" is libp2p's word for a node.
    PeerName,
    check_peer
);
name!(
    /// A public thread: `^thread_[a-z0-9][a-z0-9_-]{2,95}$`, chosen by whoever opens it.
    ThreadId,
    check_thread
);
name!(
    /// A direct room: `^direct_[a-f0-9]{32}$`, derived from its two peers (N-36).
    DirectId,
    check_direct
);
name!(
    /// A piece of work: not blank, at most 128 bytes, no `/`, `\` or control character.
    WorkId,
    check_work
);
name!(
    /// A message: not blank, unique per workspace; \[ours\] at most [`MAX_MESSAGE_ID_BYTES`] and free of control
    /// characters.
    MessageId,
    check_message
);
name!(
    /// A link to something else (`reply_to`, `trace_id`, `causation_id`): never checked against what exists (N-7).
    LinkId,
    check_link
);

impl PeerName {
    /// The peer a session is in its channel: lower-cased agent name, a dot, session id (N-5).
    ///
    /// # Errors
    /// [`IdError`] when agent name and session id do not make a peer name.
    pub fn of_session(agent_name: &str, session_id: &str) -> Result<Self, IdError> {
        Self::parse(&format!("{}.{}", agent_name.trim().to_lowercase(), session_id.trim()))
    }
}

impl MessageId {
    /// The id a node gives when the caller gave none: `msg-` and 16 hex digits (N-4).
    pub fn from_entropy(bytes: [u8; 8]) -> Self {
        Self(format!("msg-{}", data_encoding::HEXLOWER.encode(&bytes)))
    }
}

impl DirectId {
    /// The id made of a hash (N-36): its first 32 hex digits.
    pub(super) fn from_hash(hash: &[u8; 32]) -> Self {
        Self(format!("{DIRECT_PREFIX}{}", data_encoding::HEXLOWER.encode(&hash[..DIRECT_HEX_DIGITS / 2])))
    }
}

impl From<MessageId> for LinkId {
    fn from(id: MessageId) -> Self {
        Self(id.0)
    }
}

fn check_workspace(text: &str) -> Result<(), IdError> {
    let what = "workspace id";
    check_length(what, text, MAX_WORKSPACE_BYTES)?;
    let fits = !text.chars().any(|c| matches!(c, '.' | ' ' | '*' | '>') || is_control(c));
    fits.then_some(())
        .ok_or(IdError::Grammar { what, rule: "free of `.`, space, `*`, `>` and control characters" })
}

fn check_channel(text: &str) -> Result<(), IdError> {
    let what = "channel";
    check_length(what, text, MAX_CHANNEL_BYTES)?;
    let fits = starts_plain(text) && text.bytes().all(|b| is_plain(b) || matches!(b, b'_' | b'-'));
    fits.then_some(())
        .ok_or(IdError::Grammar { what, rule: "a letter a-z or digit, then a-z, 0-9, `_` or `-`" })
}

fn check_peer(text: &str) -> Result<(), IdError> {
    let what = "peer id";
    check_length(what, text, MAX_PEER_BYTES)?;
    let fits = starts_plain(text) && text.bytes().all(|b| is_plain(b) || matches!(b, b'.' | b'_' | b'-'));
    fits.then_some(())
        .ok_or(IdError::Grammar { what, rule: "a letter a-z or digit, then a-z, 0-9, `.`, `_` or `-`" })
}

fn check_thread(text: &str) -> Result<(), IdError> {
    let what = "thread id";
    check_length(what, text, THREAD_PREFIX.len() + 96)?;
    let fits = text.strip_prefix(THREAD_PREFIX).is_some_and(|rest| {
        rest.len() >= 3 && starts_plain(rest) && rest.bytes().all(|b| is_plain(b) || matches!(b, b'_' | b'-'))
    });
    let rule = "`thread_`, a letter a-z or digit, then 2 to 95 of a-z, 0-9, `_` or `-`";
    fits.then_some(()).ok_or(IdError::Grammar { what, rule })
}

fn check_direct(text: &str) -> Result<(), IdError> {
    let what = "direct id";
    check_length(what, text, DIRECT_PREFIX.len() + DIRECT_HEX_DIGITS)?;
    let fits = text.strip_prefix(DIRECT_PREFIX).is_some_and(|hex| {
        hex.len() == DIRECT_HEX_DIGITS && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    });
    fits.then_some(()).ok_or(IdError::Grammar { what, rule: "`direct_` and 32 lower-case hex digits" })
}

fn check_work(text: &str) -> Result<(), IdError> {
    let what = "work id";
    check_length(what, text, MAX_WORK_BYTES)?;
    let fits = !text.chars().any(|c| matches!(c, '/' | '\\') || is_control(c));
    fits.then_some(()).ok_or(IdError::Grammar { what, rule: "free of `/`, `\\` and control characters" })
}

fn check_message(text: &str) -> Result<(), IdError> {
    check_free_text("message id", text, MAX_MESSAGE_ID_BYTES)
}

fn check_link(text: &str) -> Result<(), IdError> {
    check_free_text("link", text, MAX_LINK_BYTES)
}

fn check_free_text(what: &'static str, text: &str, max: usize) -> Result<(), IdError> {
    check_length(what, text, max)?;
    let fits = !text.chars().any(is_control);
    fits.then_some(()).ok_or(IdError::Grammar { what, rule: "free of control characters" })
}

fn check_length(what: &'static str, text: &str, max: usize) -> Result<(), IdError> {
    match text.len() {
        0 => Err(IdError::Blank { what }),
        bytes if bytes > max => Err(IdError::TooLong { what, bytes, max }),
        _ => Ok(()),
    }
}

/// Below U+0020, or U+007F (N-4).
fn is_control(c: char) -> bool {
    c < '\u{20}' || c == '\u{7f}'
}

fn is_plain(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn starts_plain(text: &str) -> bool {
    text.bytes().next().is_some_and(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_before_use_n6() {
        assert_eq!(ChannelName::parse("  builders\t").unwrap().as_str(), "builders");
        assert_eq!(MessageId::parse(" m 1 ").unwrap().as_str(), "m 1");
    }

    #[test]
    fn a_channel_fits_its_grammar_or_is_refused_n4() {
        for good in ["a", "0", "builders", "a_b-c", &"x".repeat(64)] {
            assert!(ChannelName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "_a", "-a", "A", "a.b", "a b", "é", "a\0", &"x".repeat(65)] {
            assert!(ChannelName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_peer_name_may_hold_dots_and_has_128_bytes_n4() {
        for good in ["coder.sess-0123456789abcdef", "a..b", &"p".repeat(128)] {
            assert!(PeerName::parse(good).is_ok(), "{good}");
        }
        for bad in [".a", "Coder.sess", "a@b", "a:b", "", &"p".repeat(129)] {
            assert!(PeerName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn thread_and_direct_ids_have_their_prefixes_n4() {
        assert!(ThreadId::parse("thread_abc").is_ok());
        assert!(ThreadId::parse(&format!("thread_{}", "a".repeat(96))).is_ok());
        for bad in [
            "thread_ab",
            "thread__abc",
            "thread_aBc",
            "abc",
            "thread_",
            &format!("thread_{}", "a".repeat(97)),
        ] {
            assert!(ThreadId::parse(bad).is_err(), "{bad}");
        }
        assert!(DirectId::parse("direct_fd3aece517c733f67bb4f4c6505a66dc").is_ok());
        for bad in
            ["direct_fd3aece517c733f67bb4f4c6505a66d", "direct_FD3AECE517C733F67BB4F4C6505A66DC", "direct_"]
        {
            assert!(DirectId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn work_message_and_workspace_ids_refuse_what_n4_names() {
        for good in ["work_1", "Review 42", "é", &"w".repeat(128)] {
            assert!(WorkId::parse(good).is_ok(), "{good}");
        }
        for bad in ["a/b", "a\\b", "a\u{7f}b", "a\nb", " ", &"w".repeat(129), &"é".repeat(65)] {
            assert!(WorkId::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "a.b", "a b", "a*", ">", "a\tb"] {
            assert!(WorkspaceRef::parse(bad).is_err(), "{bad:?}");
        }
        assert!(MessageId::parse(&"m".repeat(MAX_MESSAGE_ID_BYTES)).is_ok());
        assert!(MessageId::parse(&"m".repeat(MAX_MESSAGE_ID_BYTES + 1)).is_err());
    }

    #[test]
    fn a_session_is_one_peer_of_its_channel_n5() {
        let peer = PeerName::of_session("Coder", "sess-0123456789abcdef").unwrap();
        assert_eq!(peer.as_str(), "coder.sess-0123456789abcdef");
    }

    #[test]
    fn a_node_made_message_id_has_sixteen_hex_digits_n4() {
        assert_eq!(MessageId::from_entropy([0, 1, 2, 3, 4, 5, 6, 0xff]).as_str(), "msg-00010203040506ff");
    }

    #[test]
    fn deserializing_checks_too() {
        assert!(serde_json::from_str::<ChannelName>("\"Bad Name\"").is_err());
        let name: ChannelName = serde_json::from_str("\" good \"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"good\"");
    }
}
