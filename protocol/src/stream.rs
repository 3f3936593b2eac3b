//! What is said about streams: that one is opened, its name, that it is archived, and who takes part (W-75 to W-80).
//!
//! Each of these is an operation in the stream's space, and for each part of a stream the newest counts.

use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::{
    cbor::{self, CborError},
    ids::StreamId,
    limits,
    network::{ChannelName, ThreadId},
    principal::{Principal, Slug, is_name},
};

/// What kind of stream (W-75).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKind {
    /// One person's working stream.
    Scratchpad,
    /// A named one.
    Channel,
    /// Exactly two people.
    Dm,
    /// It hangs from a message.
    Thread,
    /// Notices to one person; nobody writes there.
    System,
}

impl StreamKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Scratchpad, Self::Channel, Self::Dm, Self::Thread, Self::System];

    /// Its name in the doors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scratchpad => "scratchpad",
            Self::Channel => "channel",
            Self::Dm => "dm",
            Self::Thread => "thread",
            Self::System => "system",
        }
    }

    /// The kind of a name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A part of a stream that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamPart {
    /// It is opened. Of several openings the first counts for who did it and when.
    Opened {
        /// What kind. Public channels are opened by [`crate::content::ChannelOpened`].
        kind: StreamKind,
        /// Of a channel only.
        slug: Option<Slug>,
        /// Who opened it; a person's own stream is theirs.
        by: Option<Principal>,
    },
    /// Its name; empty for none.
    Name(String),
    /// What it is for; empty for nothing said.
    Description(String),
    /// Whether it is archived (W-37, W-72).
    Archived(bool),
    /// The bot that answers in it, or none (W-123).
    ActiveActor(Option<Principal>),
}

/// An operation about a stream. The header names the stream, or the one that a thread hangs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamChanged {
    /// The public channel; empty for a private stream.
    pub channel: String,
    /// The thread it is about; empty for the stream itself.
    pub thread: String,
    /// What changes.
    pub part: StreamPart,
}

type Wire = (String, String, u8, Vec<String>);

const OPENED: u8 = 1;
const NAME: u8 = 2;
const DESCRIPTION: u8 = 3;
const ARCHIVED: u8 = 4;
const ACTIVE_ACTOR: u8 = 5;

fn text<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(String::new, T::to_string)
}

impl StreamChanged {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (tag, values) = match &self.part {
            StreamPart::Opened { kind, slug, by } => {
                (OPENED, vec![kind.as_str().to_owned(), text(slug.as_ref()), text(by.as_ref())])
            }
            StreamPart::Name(name) => (NAME, vec![name.clone()]),
            StreamPart::Description(description) => (DESCRIPTION, vec![description.clone()]),
            StreamPart::Archived(archived) => (ARCHIVED, vec![archived.to_string()]),
            StreamPart::ActiveActor(bot) => (ACTIVE_ACTOR, vec![text(bot.as_ref())]),
        };
        let wire: Wire = (self.channel.clone(), self.thread.clone(), tag, values);
        cbor::encode(&wire)
    }

    /// Reads it and checks all that needs nothing else.
    ///
    /// # Errors
    /// [`CborError`] for anything but exact bytes of a change that keeps the rules.
    pub fn decode(body: &[u8]) -> Result<Self, CborError> {
        let (channel, thread, tag, values): Wire = cbor::decode(body, limits::BODY_BYTES_MAX)?;
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let part = read_part(tag, &values).ok_or(CborError::Shape)?;
        let changed = Self { channel, thread, part };
        let names_fit = (changed.channel.is_empty() || ChannelName::parse(&changed.channel).is_ok())
            && (changed.thread.is_empty() || ThreadId::parse(&changed.thread).is_ok());
        // Names that are trimmed or put into lower case would be read as others than they are.
        if names_fit && changed.encode() == body { Ok(changed) } else { Err(CborError::Shape) }
    }

    /// The stream it is about, given the one that the header names.
    pub fn stream(&self, root: StreamId) -> StreamId {
        if self.thread.is_empty() { root } else { StreamId::thread(root, &self.thread) }
    }
}

fn read_part(tag: u8, values: &[&str]) -> Option<StreamPart> {
    let principal = |text: &str| match text {
        "" => Some(None),
        text => text.parse().ok().map(Some),
    };
    match (tag, values) {
        (OPENED, [kind, slug, by]) => {
            let kind = StreamKind::from_word(kind)?;
            let slug = if slug.is_empty() { None } else { Some(Slug::parse(slug).ok()?) };
            Some(StreamPart::Opened { kind, slug, by: principal(by)? })
        }
        (NAME, [name]) => (name.is_empty() || is_name(name)).then(|| StreamPart::Name((*name).to_owned())),
        (DESCRIPTION, [text]) => {
            let fits = text.len() <= limits::DESCRIPTION_BYTES_MAX;
            fits.then(|| StreamPart::Description((*text).to_owned()))
        }
        (ARCHIVED, ["true"]) => Some(StreamPart::Archived(true)),
        (ARCHIVED, ["false"]) => Some(StreamPart::Archived(false)),
        (ACTIVE_ACTOR, [bot]) => {
            let bot = principal(bot)?;
            bot.is_none_or(Principal::is_bot).then_some(StreamPart::ActiveActor(bot))
        }
        _ => None,
    }
}

/// A person or bot takes part in a stream, or no longer does (W-32, W-33). It holds for the threads below, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct TakesPart {
    /// The public channel; empty for a private stream, which the header names.
    pub channel: String,
    /// Who, as text.
    pub principal: String,
    /// Whether they do.
    pub joined: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn changed(part: StreamPart) -> StreamChanged {
        StreamChanged { channel: "builders".into(), thread: String::new(), part }
    }

    #[test]
    fn every_change_of_a_stream_reads_back_from_its_bytes() {
        let node = Identity::from_seed([1; 32]).node();
        let (ada, bot) = (Principal::new_user(1, node, [1; 5]), Principal::new_bot(1, node, [1; 5]));
        let slug = Some(Slug::parse("secret-plans").unwrap());
        let mut bytes = Vec::new();
        for part in [
            StreamPart::Opened { kind: StreamKind::Channel, slug, by: Some(ada) },
            StreamPart::Opened { kind: StreamKind::Scratchpad, slug: None, by: None },
            StreamPart::Name("Notes".into()),
            StreamPart::Name(String::new()),
            StreamPart::Description("What it is for".into()),
            StreamPart::Archived(true),
            StreamPart::ActiveActor(Some(bot)),
            StreamPart::ActiveActor(None),
        ] {
            let changed = changed(part);
            assert_eq!(StreamChanged::decode(&changed.encode()), Ok(changed.clone()));
            bytes.push(data_encoding::HEXLOWER.encode(&changed.encode()));
        }
        insta::assert_snapshot!(bytes.join("\n"));
    }

    #[test]
    fn a_change_that_breaks_a_rule_is_not_read() {
        let wire = |tag: u8, values: &[&str]| {
            let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
            StreamChanged::decode(&cbor::encode(&("builders".to_owned(), String::new(), tag, values)))
        };
        assert!(wire(NAME, &["ok"]).is_ok());
        for (tag, values) in [
            (NAME, &["a", "b"][..]),
            (NAME, &["a\nb"]),
            (9, &["a"]),
            (ARCHIVED, &["yes"]),
            (OPENED, &["room", "", ""]),
            (OPENED, &["channel", "Upper", ""]),
            (ACTIVE_ACTOR, &["usr_01J9ZK3V5T8Q2M4N6P7R8S9TAB"]),
        ] {
            assert_eq!(wire(tag, values), Err(CborError::Shape), "{tag} {values:?}");
        }
    }
}
