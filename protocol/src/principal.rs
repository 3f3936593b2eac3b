//! Principals: the people and bots of a workspace.
//!
//! Each has a home node, which signs for it, and its id says which (see [`owned_ulid`]): nobody has to have heard of a
//! principal to know that an operation may speak for it. Who they are is said by their home, in a *card*: the newest
//! counts. Their *slug*, the name they are mentioned by, has to be unique, so the workspace's home gives it (see
//! [`crate::control::SlugTaken`]).

use std::{fmt, str::FromStr};

use serde_tuple::{Deserialize_tuple, Serialize_tuple};
use ulid::Ulid;

use crate::{
    identity::NodeId,
    ids::{exact_ulid, is_owned_by, owned_ulid},
    limits,
    network::PeerName,
};

/// A person or a bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// `usr_` and a ULID.
    User(Ulid),
    /// `bot_` and a ULID.
    Bot(Ulid),
}

impl Principal {
    /// A new person of a node.
    pub fn new_user(now_ms: u64, node: NodeId, random: [u8; 5]) -> Self {
        Self::User(owned_ulid(now_ms, node, random))
    }

    /// A new bot of a node.
    pub fn new_bot(now_ms: u64, node: NodeId, random: [u8; 5]) -> Self {
        Self::Bot(owned_ulid(now_ms, node, random))
    }

    /// Its ULID.
    pub fn ulid(self) -> Ulid {
        match self {
            Self::User(id) | Self::Bot(id) => id,
        }
    }

    /// Whether it is a bot.
    pub fn is_bot(self) -> bool {
        matches!(self, Self::Bot(_))
    }

    /// Whether `node` is its home.
    pub fn is_of(self, node: NodeId) -> bool {
        is_owned_by(self.ulid(), node)
    }

    /// The name under which it shows in the Network door: `slug.usr-…` or `slug.bot-…` in lower case.
    pub fn peer(self, slug: &Slug) -> PeerName {
        let name = format!("{slug}.{}", self.to_string().to_lowercase().replace('_', "-"));
        PeerName::parse(&name).expect("a slug and an id make a peer's name")
    }

    /// Whom a name of [`Self::peer`] names, with the slug in it.
    pub fn of_peer(peer: &PeerName) -> Option<(Self, Slug)> {
        let (slug, id) = peer.as_str().rsplit_once('.')?;
        let principal = id.to_uppercase().replacen('-', "_", 1);
        let principal: Self =
            principal.replacen("USR_", "usr_", 1).replacen("BOT_", "bot_", 1).parse().ok()?;
        let slug = Slug::parse(slug).ok()?;
        (principal.peer(&slug) == *peer).then_some((principal, slug))
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "usr_{id}"),
            Self::Bot(id) => write!(f, "bot_{id}"),
        }
    }
}

/// Text that is no principal's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a person is `usr_` and a ULID, that of a bot `bot_` and a ULID")]
pub struct NotAPrincipal;

impl FromStr for Principal {
    type Err = NotAPrincipal;

    fn from_str(text: &str) -> Result<Self, NotAPrincipal> {
        let read = |id: &str| exact_ulid(id).ok_or(NotAPrincipal);
        match text.split_once('_') {
            Some(("usr", id)) => read(id).map(Self::User),
            Some(("bot", id)) => read(id).map(Self::Bot),
            _ => Err(NotAPrincipal),
        }
    }
}

/// The name by which somebody is mentioned: a letter or digit, then up to 63 of letters, digits, `_` and `-`, in
/// lower case (W-74).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(String);

/// Text that is no slug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a slug is a letter or digit, then up to 63 of a-z, 0-9, `_` and `-`")]
pub struct NotASlug;

/// Longest slug, in bytes (W-74).
pub const SLUG_BYTES_MAX: usize = 64;

impl Slug {
    /// Reads a slug; upper case becomes lower case.
    ///
    /// # Errors
    /// [`NotASlug`].
    pub fn parse(text: &str) -> Result<Self, NotASlug> {
        let text = text.to_ascii_lowercase();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let fits = text.len() <= SLUG_BYTES_MAX
            && text.bytes().next().is_some_and(plain)
            && text.bytes().all(|b| plain(b) || matches!(b, b'_' | b'-'));
        if fits { Ok(Self(text)) } else { Err(NotASlug) }
    }

    /// The slug that a name suggests: its letters and digits, `-` for everything between them.
    pub fn suggest(name: &str) -> Option<Self> {
        let mut slug = String::new();
        for c in name.chars().flat_map(char::to_lowercase) {
            if c.is_ascii_alphanumeric() {
                slug.push(c);
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.truncate(SLUG_BYTES_MAX);
        Self::parse(slug.trim_end_matches('-')).ok()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who a person is, as their home says. The newest card counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct PersonCard {
    /// Who, as text.
    pub id: String,
    /// Their name.
    pub name: String,
    /// Their address.
    pub email: String,
    /// `owner`, `admin` or `member` (W-110).
    pub role: String,
    /// Whether their membership has ended (W-23).
    pub ended: bool,
}

/// Who a bot is, as its home says. The newest card counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct BotCard {
    /// Who, as text.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for; empty for nothing said.
    pub description: String,
    /// The person it belongs to; empty for one that is shared (W-22).
    pub owner: String,
    /// Any of [`TRAITS`], each once.
    pub traits: Vec<String>,
    /// When it was archived, in Unix milliseconds; zero while it is at work (W-31).
    pub archived_ms: u64,
}

/// A bot that can be mentioned, and one that takes part in a scratchpad.
pub const TRAITS: [&str; 2] = [MENTIONABLE, ACTIVE_SCRATCHPAD];
/// A mention summons it (W-125).
pub const MENTIONABLE: &str = "mentionable";
/// Every message of the scratchpad it is active in summons it (W-127).
pub const ACTIVE_SCRATCHPAD: &str = "active-scratchpad";
/// Roles of people (W-110).
pub const ROLES: [&str; 3] = ["owner", "admin", "member"];

impl PersonCard {
    /// Who it is about, if the card keeps its rules.
    pub fn check(&self) -> Option<Principal> {
        let id = self.id.parse().ok().filter(|id: &Principal| !id.is_bot())?;
        let fits = is_name(&self.name) && is_short(&self.email) && ROLES.contains(&self.role.as_str());
        fits.then_some(id)
    }
}

impl BotCard {
    /// Who it is about, if the card keeps its rules.
    pub fn check(&self) -> Option<Principal> {
        let id = self.id.parse().ok().filter(|id: &Principal| id.is_bot())?;
        let owner = || self.owner.parse().is_ok_and(|owner: Principal| !owner.is_bot());
        let traits = TRAITS.iter().filter(|known| self.traits.iter().any(|has| has == *known)).count();
        let fits = is_name(&self.name)
            && self.description.len() <= limits::DESCRIPTION_BYTES_MAX
            && (self.owner.is_empty() || owner())
            && traits == self.traits.len();
        fits.then_some(id)
    }
}

/// Whether a text can be a name: not blank, not long, nothing in it that does not print.
pub fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && is_short(text)
}

fn is_short(text: &str) -> bool {
    text.chars().count() <= limits::NAME_CHARS_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn ada() -> NodeId {
        Identity::from_seed([1; 32]).node()
    }

    #[test]
    fn a_principal_is_read_back_from_its_text_and_from_its_peer() {
        for principal in
            [Principal::new_user(1_800_000_000_000, ada(), [1; 5]), Principal::new_bot(5, ada(), [2; 5])]
        {
            assert_eq!(principal.to_string().parse(), Ok(principal));
            let slug = Slug::parse("ada.l".split('.').next().unwrap()).unwrap();
            assert_eq!(Principal::of_peer(&principal.peer(&slug)), Some((principal, slug)));
            assert!(principal.is_of(ada()));
            assert!(!principal.is_of(Identity::from_seed([2; 32]).node()));
        }
        assert_eq!(Principal::of_peer(&PeerName::parse("coder.sess-0123").unwrap()), None);
    }

    #[test]
    fn an_id_is_written_in_one_way_only_w8() {
        let text = Principal::new_user(1, ada(), [3; 5]).to_string();
        assert!(text.to_lowercase().parse::<Principal>().is_err());
        assert!(text.replace("usr_", "msg_").parse::<Principal>().is_err());
        assert!("usr_".parse::<Principal>().is_err());
    }

    #[test]
    fn a_slug_is_plain_and_in_lower_case_w74() {
        assert_eq!(Slug::parse("Ada_L-2").unwrap().as_str(), "ada_l-2");
        for bad in ["", "-a", "_a", "a.b", "a b", "ä", &"a".repeat(65)] {
            assert_eq!(Slug::parse(bad), Err(NotASlug), "{bad}");
        }
        assert_eq!(Slug::suggest("Ada  Lovelace!").unwrap().as_str(), "ada-lovelace");
        assert_eq!(Slug::suggest("Übung macht").unwrap().as_str(), "bung-macht");
        assert_eq!(Slug::suggest("…"), None);
        assert_eq!(Slug::suggest(&"x".repeat(90)).unwrap().as_str().len(), SLUG_BYTES_MAX);
    }

    #[test]
    fn a_card_that_breaks_its_rules_is_about_nobody_w22() {
        let id = Principal::new_bot(1, ada(), [3; 5]);
        let card = BotCard {
            id: id.to_string(),
            name: "Helper".into(),
            description: String::new(),
            owner: String::new(),
            traits: vec![MENTIONABLE.into()],
            archived_ms: 0,
        };
        assert_eq!(card.check(), Some(id));
        let owner = Principal::new_user(1, ada(), [3; 5]).to_string();
        assert_eq!(BotCard { owner, ..card.clone() }.check(), Some(id));
        for bad in [
            BotCard { name: " ".into(), ..card.clone() },
            BotCard { owner: id.to_string(), ..card.clone() },
            BotCard { traits: vec!["strong".into()], ..card.clone() },
            BotCard { traits: vec![MENTIONABLE.into(); 2], ..card.clone() },
            BotCard { id: Principal::new_user(1, ada(), [3; 5]).to_string(), ..card },
        ] {
            assert_eq!(bad.check(), None, "{bad:?}");
        }
        let person = PersonCard {
            id: Principal::new_user(1, ada(), [3; 5]).to_string(),
            name: "Ada".into(),
            email: "ada@example.org".into(),
            role: "member".into(),
            ended: false,
        };
        assert!(person.check().is_some());
        assert_eq!(PersonCard { role: "guest".into(), ..person.clone() }.check(), None);
        assert_eq!(PersonCard { name: "a\nb".into(), ..person }.check(), None);
    }
}
