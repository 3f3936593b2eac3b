//! Posts: what people and bots say. In a public channel a post shows in the Network door as a `say` (DESIGN §2).
//!
//! A post that stands in a channel opens a thread, named after its own id; what answers it stands in that thread. What
//! an author says later about their own post, another text or that it is gone, are operations that name it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use serde_tuple::{Deserialize_tuple, Serialize_tuple};
use ulid::Ulid;

use crate::{
    cbor::{Bytes16, Bytes32},
    limits,
    network::{self, ChannelName, Container, Envelope, MessageId, PeerName, ThreadId, WorkspaceRef},
    principal::Principal,
};

/// A file that a post links to (W-104), as the post's author describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct AttachmentRef {
    /// Its ULID.
    pub id: Bytes16,
    /// Its name, without folders.
    pub filename: String,
    /// Its type, as declared when it was uploaded.
    pub mime_type: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    pub sha256: Bytes32,
    /// Of an image in pixels; zero for unknown.
    pub width: u32,
    /// See `width`.
    pub height: u32,
}

/// Something that is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct Post {
    /// The ULID of its `msg_` id; of its author's node.
    pub id: Bytes16,
    /// Who says it: a principal's name as a peer (see [`Principal::peer`]).
    pub from: String,
    /// The public channel it stands in; empty in a private stream, which the header names.
    pub channel: String,
    /// The thread it answers in; empty when it stands in the stream itself.
    pub thread: String,
    /// Markdown, kept byte for byte (W-60).
    pub text: String,
    /// The sender's own name for it; empty for none (W-47).
    pub client_id: String,
    /// References to things outside, by ascending key (W-63).
    pub metadata: Vec<(String, String)>,
    /// The key it was sent with; empty for none (W-62).
    pub sent_via: String,
    /// Files it links to, each once.
    pub attachments: Vec<AttachmentRef>,
}

/// A post has another text (W-69).
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct PostEdited {
    /// The ULID of the post it changes.
    pub target: Bytes16,
    /// Who says so: the author of the target.
    pub from: String,
    /// The text from now on.
    pub text: String,
    /// The files that text links to, each once.
    pub attachments: Vec<AttachmentRef>,
}

/// A post is gone, for good (W-70).
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct PostDeleted {
    /// The ULID of the post it removes.
    pub target: Bytes16,
    /// Who says so: the author of the target.
    pub from: String,
}

/// Why metadata is refused (W-63). Each names the pair by its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMetadata {
    /// More than [`limits::METADATA_PAIRS_MAX`].
    #[error("at most {max} pairs are allowed", max = limits::METADATA_PAIRS_MAX)]
    TooMany,
    /// Larger than [`limits::METADATA_BYTES_MAX`] as JSON.
    #[error("at most {max} bytes are allowed, written as JSON", max = limits::METADATA_BYTES_MAX)]
    TooLarge,
    /// A key that is empty, too long, or of other letters.
    #[error("a key is 1 to {max} of A-Z, a-z, 0-9, `_`, `-`, `.` and `:`", max = limits::METADATA_KEY_CHARS_MAX)]
    Key,
    /// A key under the prefix that is the server's own.
    #[error("keys that begin with `threa.` are reserved")]
    Reserved,
    /// A value that is too long.
    #[error("a value has at most {max} characters", max = limits::METADATA_VALUE_CHARS_MAX)]
    Value,
}

/// Whether a text can be a key of metadata that is asked for (W-65).
pub fn is_metadata_key(key: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':');
    !key.is_empty() && key.len() <= limits::METADATA_KEY_CHARS_MAX && key.bytes().all(plain)
}

/// Checks metadata that is sent (W-63).
///
/// # Errors
/// The first rule it breaks.
pub fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), BadMetadata> {
    if metadata.len() > limits::METADATA_PAIRS_MAX {
        return Err(BadMetadata::TooMany);
    }
    for (key, value) in metadata {
        if !is_metadata_key(key) {
            return Err(BadMetadata::Key);
        }
        if key.starts_with("threa.") {
            return Err(BadMetadata::Reserved);
        }
        if value.chars().count() > limits::METADATA_VALUE_CHARS_MAX {
            return Err(BadMetadata::Value);
        }
    }
    let json = serde_json::to_vec(metadata).map_or(usize::MAX, |json| json.len());
    if json > limits::METADATA_BYTES_MAX { Err(BadMetadata::TooLarge) } else { Ok(()) }
}

/// The text of a post: 1 to [`limits::POST_CHARS_MAX`] characters, none of them NUL (W-60).
pub fn is_text(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= limits::POST_CHARS_MAX && !text.contains('\0')
}

impl Post {
    /// Its id as a ULID.
    pub fn ulid(&self) -> Ulid {
        Ulid::from_bytes(self.id.0)
    }

    /// Its author, if it names one as it should.
    pub fn author(&self) -> Option<Principal> {
        let peer = PeerName::parse(&self.from).ok().filter(|peer| peer.as_str() == self.from)?;
        Principal::of_peer(&peer).map(|(principal, _)| principal)
    }

    /// The name of the thread it stands in, or opens.
    pub fn thread_id(&self) -> String {
        if self.thread.is_empty() { thread_of(self.ulid()) } else { self.thread.clone() }
    }

    /// Whether all of it keeps the rules that need nothing else.
    pub fn is_well_formed(&self) -> bool {
        let metadata: BTreeMap<_, _> = self.metadata.iter().cloned().collect();
        let sorted = metadata.len() == self.metadata.len() && self.metadata.is_sorted();
        self.author().is_some()
            && is_text(&self.text)
            && self.client_id.chars().count() <= limits::CLIENT_ID_CHARS_MAX
            && sorted
            && check_metadata(&metadata).is_ok()
            && self.sent_via.len() <= limits::SENT_VIA_BYTES_MAX
            && are_well_formed(&self.attachments)
            && (self.thread.is_empty() || is_exact_thread(&self.thread))
    }

    /// The post as a message of the Network door; `at_s` is when it was said, in Unix seconds. `None` for one that
    /// stands in no channel, or is not well-formed.
    pub fn envelope(&self, workspace: &WorkspaceRef, at_s: i64) -> Option<Envelope> {
        let thread = ThreadId::parse(&self.thread_id()).ok()?;
        let mut body = Map::new();
        body.insert("text".to_owned(), Value::String(self.text.clone()));
        Some(Envelope {
            id: MessageId::parse(&format!("msg_{}", self.ulid())).ok()?,
            workspace_id: workspace.clone(),
            kind: network::Kind::Say,
            channel: ChannelName::parse(&self.channel).ok()?,
            container: Some(Container::Thread(thread)),
            from: PeerName::parse(&self.from).ok()?,
            to: None,
            work_id: None,
            reply_to: None,
            trace_id: None,
            causation_id: None,
            ts: at_s,
            expires_at: None,
            body,
            proof: None,
            ext: None,
        })
    }
}

/// Whether descriptions of attachments keep their limits, and none stands there twice.
pub fn are_well_formed(attachments: &[AttachmentRef]) -> bool {
    let distinct: std::collections::BTreeSet<_> =
        attachments.iter().map(|attachment| attachment.id.0).collect();
    let fits = |attachment: &AttachmentRef| {
        attachment.filename.chars().count() <= limits::FILENAME_CHARS_MAX
            && attachment.mime_type.len() <= limits::MIME_TYPE_BYTES_MAX
            && attachment.size <= limits::ATTACHMENT_BYTES_MAX
    };
    attachments.len() <= limits::ATTACHMENTS_PER_POST_MAX
        && distinct.len() == attachments.len()
        && attachments.iter().all(fits)
}

/// The thread that the post with this id opens.
pub fn thread_of(id: Ulid) -> String {
    format!("thread_{}", id.to_string().to_lowercase())
}

/// The post that opens a thread, as far as the thread's name says it.
pub fn root_of(thread: &str) -> Option<Ulid> {
    let id = Ulid::from_string(&thread.strip_prefix("thread_")?.to_uppercase()).ok()?;
    (thread_of(id) == thread).then_some(id)
}

pub(crate) fn is_exact_thread(thread: &str) -> bool {
    ThreadId::parse(thread).is_ok_and(|id| id.as_str() == thread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cbor, identity::Identity, ids::owned_ulid, principal::Slug};

    fn post() -> Post {
        let node = Identity::from_seed([1; 32]).node();
        let ada = Principal::new_user(1_800_000_000_000, node, [1; 5]);
        Post {
            id: Bytes16(owned_ulid(1_800_000_000_000, node, [2; 5]).to_bytes()),
            from: ada.peer(&Slug::parse("ada").unwrap()).to_string(),
            channel: "builders".into(),
            thread: String::new(),
            text: "Is `password: hunter2` safe?".into(),
            client_id: "c-1".into(),
            metadata: vec![("a".into(), "1".into()), ("b".into(), String::new())],
            sent_via: "uak_01".into(),
            attachments: Vec::new(),
        }
    }

    #[test]
    fn the_bytes_of_a_post_never_change() {
        insta::assert_snapshot!(data_encoding::HEXLOWER.encode(&cbor::encode(&post())));
        let edited = PostEdited {
            target: Bytes16([7; 16]),
            from: "a".into(),
            text: "b".into(),
            attachments: Vec::new(),
        };
        insta::assert_snapshot!(data_encoding::HEXLOWER.encode(&cbor::encode(&edited)));
    }

    #[test]
    fn a_post_shows_as_the_say_that_opens_its_thread() {
        let workspace = WorkspaceRef::parse("ws_01J9ZK3V5T8Q2M4N6P7R8S9TAB").unwrap();
        let envelope = post().envelope(&workspace, 1_800_000_000).unwrap();
        assert_eq!(envelope.id.as_str(), format!("msg_{}", post().ulid()));
        let thread = envelope.container.as_ref().and_then(Container::thread_id).unwrap();
        assert_eq!(root_of(thread.as_str()), Some(post().ulid()));
        assert_eq!(envelope.preview(), post().text, "text that N-13 refuses is kept (W-60)");
        let answer = Post { thread: "thread_abc".into(), ..post() };
        assert_eq!(answer.thread_id(), "thread_abc");
        assert_eq!(root_of("thread_abc"), None);
    }

    #[test]
    fn what_breaks_a_rule_of_posts_is_not_well_formed_w60_w63() {
        assert!(post().is_well_formed());
        let long = "x".repeat(limits::POST_CHARS_MAX + 1);
        for bad in [
            Post { text: String::new(), ..post() },
            Post { text: "a\0b".into(), ..post() },
            Post { text: long, ..post() },
            Post { from: "ada".into(), ..post() },
            Post { from: format!(" {}", post().from), ..post() },
            Post { thread: "nope".into(), ..post() },
            Post { client_id: "x".repeat(129), ..post() },
            Post { metadata: vec![("b".into(), "1".into()), ("a".into(), "1".into())], ..post() },
            Post { metadata: vec![("threa.x".into(), "1".into())], ..post() },
        ] {
            assert!(!bad.is_well_formed(), "{bad:?}");
        }
    }

    #[test]
    fn metadata_keeps_its_bounds_w63() {
        let one =
            |key: &str, value: &str| check_metadata(&BTreeMap::from([(key.to_owned(), value.to_owned())]));
        assert_eq!(one("a.B_c-d:9", ""), Ok(()));
        assert_eq!(one(&"k".repeat(64), &"ä".repeat(256)), Ok(()));
        assert_eq!(one(&"k".repeat(65), ""), Err(BadMetadata::Key));
        assert_eq!(one("", ""), Err(BadMetadata::Key));
        assert_eq!(one("a b", ""), Err(BadMetadata::Key));
        assert_eq!(one("a", &"v".repeat(257)), Err(BadMetadata::Value));
        assert_eq!(one("threa.x", ""), Err(BadMetadata::Reserved));
        let many = |count: usize, length: usize| {
            (0..count).map(|n| (format!("k{n:02}"), "v".repeat(length))).collect()
        };
        assert_eq!(check_metadata(&many(20, 100)), Ok(()));
        assert_eq!(check_metadata(&many(21, 1)), Err(BadMetadata::TooMany));
        assert_eq!(check_metadata(&many(20, 256)), Err(BadMetadata::TooLarge));
    }
}
