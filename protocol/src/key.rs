//! Keys of the Workspace door (W-21 to W-28): what they look like, and what they may do.

use sha2::{Digest, Sha256};

use crate::{identity::NodeId, ids::hash, principal::Principal};

/// Prefix of a key that speaks for a person (W-22).
const USER_PREFIX: &str = "threa_uk_";
/// Prefix of a key that speaks for a bot.
const BOT_PREFIX: &str = "threa_bk_";
/// Letters behind the prefix: 32 bytes in base64url without padding.
const SECRET_LETTERS: usize = 43;

/// What a key may be granted (W-27).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `streams:read`.
    StreamsRead,
    /// `messages:search`.
    MessagesSearch,
    /// `messages:read`.
    MessagesRead,
    /// `messages:write`.
    MessagesWrite,
    /// `memos:read`.
    MemosRead,
    /// `attachments:read`.
    AttachmentsRead,
    /// `attachments:write`.
    AttachmentsWrite,
    /// `users:read`.
    UsersRead,
    /// `bot-runtime:read`; guards nothing yet.
    BotRuntimeRead,
    /// `bot-runtime:write`.
    BotRuntimeWrite,
    /// `bot-invocations:read`; guards nothing yet.
    BotInvocationsRead,
    /// `bot-invocations:write`.
    BotInvocationsWrite,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::StreamsRead,
        Self::MessagesSearch,
        Self::MessagesRead,
        Self::MessagesWrite,
        Self::MemosRead,
        Self::AttachmentsRead,
        Self::AttachmentsWrite,
        Self::UsersRead,
        Self::BotRuntimeRead,
        Self::BotRuntimeWrite,
        Self::BotInvocationsRead,
        Self::BotInvocationsWrite,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StreamsRead => "streams:read",
            Self::MessagesSearch => "messages:search",
            Self::MessagesRead => "messages:read",
            Self::MessagesWrite => "messages:write",
            Self::MemosRead => "memos:read",
            Self::AttachmentsRead => "attachments:read",
            Self::AttachmentsWrite => "attachments:write",
            Self::UsersRead => "users:read",
            Self::BotRuntimeRead => "bot-runtime:read",
            Self::BotRuntimeWrite => "bot-runtime:write",
            Self::BotInvocationsRead => "bot-invocations:read",
            Self::BotInvocationsWrite => "bot-invocations:write",
        }
    }

    /// The scope of a name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }

    /// Whether a key whose owner may only read loses it (W-23).
    pub fn writes(self) -> bool {
        matches!(
            self,
            Self::MessagesWrite | Self::AttachmentsWrite | Self::BotRuntimeWrite | Self::BotInvocationsWrite
        )
    }
}

/// A key as it is sent, taken apart. It is kept nowhere but by who got it; here is only its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresentedKey {
    /// Whether it claims to speak for a bot.
    pub is_bot: bool,
    /// The first letters behind its prefix, for finding it (W-21).
    pub letters: [u8; 8],
    /// SHA-256 of all of it.
    pub sha256: [u8; 32],
}

/// A new key for a principal of `node`, from random bytes. Its last five bytes say which node made it, so that another
/// one knows where the key is at home.
pub fn new_key(principal: Principal, node: NodeId, random: [u8; 27]) -> String {
    let prefix = if principal.is_bot() { BOT_PREFIX } else { USER_PREFIX };
    let secret = [&random[..], &node_tag(node, &random)].concat();
    format!("{prefix}{}", data_encoding::BASE64URL_NOPAD.encode(&secret))
}

/// Whether `node` made a key.
pub fn is_made_by(key: &str, node: NodeId) -> bool {
    let secret = key.strip_prefix(USER_PREFIX).or_else(|| key.strip_prefix(BOT_PREFIX));
    let secret = secret.and_then(|secret| data_encoding::BASE64URL_NOPAD.decode(secret.as_bytes()).ok());
    secret
        .as_deref()
        .and_then(<[u8]>::split_last_chunk)
        .is_some_and(|(random, tag)| *tag == node_tag(node, random))
}

fn node_tag(node: NodeId, random: &[u8]) -> [u8; 5] {
    let whole = hash("muster/key/node/v1", &[node.as_bytes(), random]);
    std::array::from_fn(|at| whole[at])
}

impl PresentedKey {
    /// Takes a key apart. `None` for what has no known prefix or cannot be one.
    pub fn parse(key: &str) -> Option<Self> {
        let user = key.strip_prefix(USER_PREFIX);
        let secret = user.or_else(|| key.strip_prefix(BOT_PREFIX))?;
        if secret.len() != SECRET_LETTERS {
            return None;
        }
        let letters = secret.as_bytes().first_chunk::<8>()?;
        Some(Self { is_bot: user.is_none(), letters: *letters, sha256: Sha256::digest(key).into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    #[test]
    fn a_key_is_its_prefix_and_32_random_bytes_w21_w22() {
        let node = Identity::from_seed([1; 32]).node();
        let key = new_key(Principal::new_user(1, node, [1; 5]), node, [7; 27]);
        assert_eq!(key.len(), "threa_uk_".len() + 43);
        insta::assert_snapshot!(key);
        let parsed = PresentedKey::parse(&key).unwrap();
        assert_eq!((parsed.is_bot, &parsed.letters), (false, b"BwcHBwcH"));
        assert_eq!(parsed.sha256, <[u8; 32]>::from(Sha256::digest(&key)));
        let bot = new_key(Principal::new_bot(1, node, [1; 5]), node, [7; 27]);
        assert!(PresentedKey::parse(&bot).unwrap().is_bot);
        for bad in
            ["", "threa_uk_", "threa_xk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc", &key[1..], &key[..51]]
        {
            assert_eq!(PresentedKey::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_names_the_node_that_made_it_and_no_other() {
        let node = |seed| Identity::from_seed([seed; 32]).node();
        let key = new_key(Principal::new_bot(1, node(1), [1; 5]), node(1), [7; 27]);
        assert!(is_made_by(&key, node(1)) && !is_made_by(&key, node(2)));
        for other in ["", "threa_bk_", "threa_bk_BwcH", &key[1..]] {
            assert!(!is_made_by(other, node(1)), "{other}");
        }
    }

    #[test]
    fn every_scope_reads_back_from_its_name_w27() {
        for scope in Scope::ALL {
            assert_eq!(Scope::from_word(scope.as_str()), Some(scope));
        }
        assert_eq!(Scope::from_word("workspace:admin"), None);
    }
}
