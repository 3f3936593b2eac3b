//! Messages as the Workspace door shows them (W-44, W-45, W-60 to W-73).

use muster_protocol::{
    cbor, content,
    identity::NodeId,
    ids::{SpaceId, StreamId, exact_ulid, hash, ulid},
    limits,
    network::{self, Body, Envelope, PeerName},
    operation::{Kind, Operation},
    post::{AttachmentRef, Post, PostEdited},
    principal::Principal,
};
use serde_json::Value;
use ulid::Ulid;

use super::{View, WorkspaceRow};
use crate::{
    StoreError,
    listing::{message_ulid, notice_of, post_of},
    newest::newest,
    rows::{self, JournalRecord, PostRecord, TimelineRow},
    tables::{self, Subject},
};

/// Who wrote a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// A person or a bot of the workspace.
    Principal(Principal),
    /// A session of an agent, which shows as a bot of the agent's name.
    Agent {
        /// An id made of the node and the agent, the same on every node.
        id: Ulid,
        /// The agent.
        name: String,
    },
    /// Nobody: it is a notice.
    System,
}

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub struct PostRow {
    /// Its id.
    pub id: Ulid,
    /// The stream it is listed in.
    pub stream: StreamId,
    /// The stream that one hangs in, or itself.
    pub root: StreamId,
    /// Its place; grows inside a stream, with gaps (W-45).
    pub sequence: u64,
    /// Who wrote it.
    pub author: Author,
    /// Markdown, as it reads now.
    pub text: String,
    /// The files its text links to now.
    pub attachments: Vec<AttachmentRef>,
    /// Messages in the thread below it (W-67).
    pub replies: u64,
    /// That thread, once there is one.
    pub thread: Option<StreamId>,
    /// The name of the thread that it stands in or opens; none for one that opens none.
    pub thread_name: Option<String>,
    /// The sender's own name for it.
    pub client_id: Option<String>,
    /// The key it was sent with.
    pub sent_via: Option<String>,
    /// By ascending key.
    pub metadata: Vec<(String, String)>,
    /// When it was last edited, Unix milliseconds.
    pub edited_ms: Option<u64>,
    /// When it was said, Unix milliseconds.
    pub created_ms: u64,
}

/// Which part of a stream to read (W-44).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The newest.
    Newest,
    /// The newest below this sequence.
    Before(u64),
    /// The oldest above this sequence.
    After(u64),
}

/// What an event is about, as far as something is made of it elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// A message, and with it the memo in it.
    Message(Ulid),
    /// A memo that was written by hand.
    Memo(Ulid),
}

impl View {
    /// The message of the Network door that an operation is or shows as, with the text its author gave it last.
    pub(super) fn envelope_of(&self, op: &Operation) -> Result<Option<Envelope>, StoreError> {
        let Some(control) = self.control(op.header().space) else { return Ok(None) };
        let Some(mut envelope) = content::envelope_of(op, &control) else { return Ok(None) };
        if op.header().kind == Kind::POST
            && let Some(post) = post_of(op)
            && let Some((edited, _)) = self.last_edit(op.header().space, &post)?
        {
            envelope.body.insert("text".to_owned(), Value::String(edited.text));
        }
        Ok(Some(envelope))
    }

    /// Up to `limit` messages of a stream in ascending order, and whether more lie further on.
    pub fn posts(
        &self,
        workspace: &WorkspaceRow,
        stream: StreamId,
        window: Window,
        limit: usize,
    ) -> Result<(Vec<PostRow>, bool), StoreError> {
        let (first, last) = match window {
            Window::Newest => (0, u64::MAX),
            Window::Before(sequence) => (0, sequence.saturating_sub(1)),
            Window::After(sequence) => (sequence.saturating_add(1), u64::MAX),
        };
        if last == 0 || first > last {
            return Ok((Vec::new(), false));
        }
        let (from, to) = (tables::timeline_key(stream, first), tables::timeline_key(stream, last));
        let listed = self.txn.open_table(tables::LISTED)?;
        let entries = listed.range::<&[u8; 24]>(&from..=&to)?;
        let place = |entry: (redb::AccessGuard<'_, &[u8; 24]>, redb::AccessGuard<'_, &[u8; 16]>)| {
            (tables::sequence_in(entry.0.value()), StreamId(*entry.1.value()))
        };
        let mut places = Vec::new();
        if matches!(window, Window::After(_)) {
            for entry in entries.take(limit + 1) {
                places.push(place(entry?));
            }
        } else {
            for entry in entries.rev().take(limit + 1) {
                places.push(place(entry?));
            }
        }
        let has_more = places.len() > limit;
        places.truncate(limit);
        places.sort_unstable();
        let mut found = Vec::new();
        for (sequence, root) in places {
            let row = self.txn.open_table(tables::TIMELINE)?.get(&tables::timeline_key(root, sequence))?;
            let row = row.ok_or(StoreError::Damaged("a message that is listed is missing"))?;
            let op = self.op(rows::read::<TimelineRow>(row.value())?.at)?;
            found.extend(self.post_row(workspace, &op)?);
        }
        Ok((found, has_more))
    }

    /// A message that is not deleted.
    pub fn post(&self, workspace: &WorkspaceRow, id: Ulid) -> Result<Option<PostRow>, StoreError> {
        match self.post_record(workspace, id)?.filter(|record| record.sequence > 0) {
            Some(record) => self.post_row(workspace, &self.op(record.at)?),
            None => Ok(None),
        }
    }

    /// A message as it was last shown, also when it was deleted since (W-50).
    pub fn post_ever(&self, workspace: &WorkspaceRow, id: Ulid) -> Result<Option<PostRow>, StoreError> {
        match self.post_record(workspace, id)? {
            Some(record) => self.post_row(workspace, &self.op(record.at)?),
            None => Ok(None),
        }
    }

    /// Messages that carry all of these pairs, the newest first, as far as `fits` holds (W-65).
    pub fn posts_with(
        &self,
        workspace: &WorkspaceRow,
        pairs: &[(String, String)],
        mut fits: impl FnMut(&PostRow) -> Result<bool, StoreError>,
        limit: usize,
    ) -> Result<Vec<PostRow>, StoreError> {
        let Some((key, value)) = pairs.first() else { return Ok(Vec::new()) };
        let number = self.number(workspace.space)?;
        let pair = (key.as_str(), value.as_str());
        let from = tables::metadata_key(number, pair, &[0xff; 56]);
        let to = tables::metadata_key(number, pair, &[0; 56]);
        let mut found = Vec::new();
        for entry in self.txn.open_table(tables::METADATA)?.range::<&[u8; 76]>(&from..=&to)? {
            let id = Ulid::from_bytes(tables::id_in(entry?.1.value()));
            let Some(row) = self.post(workspace, id)? else { continue };
            if pairs.iter().all(|pair| row.metadata.contains(pair)) && fits(&row)? {
                found.push(row);
                if found.len() == limit {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// What the events after `after` tell of, each with its workspace, oldest event first, up to `limit` events: whoever
    /// keeps something made of it looks at it anew. Answers with the number of the last event looked at.
    pub fn touched(&self, after: u64, limit: usize) -> Result<(Vec<(SpaceId, Touched)>, u64), StoreError> {
        let (mut touched, mut last) = (Vec::new(), after);
        for entry in self.txn.open_table(tables::JOURNAL)?.range(after.saturating_add(1)..)?.take(limit) {
            let (number, row) = entry?;
            last = number.value();
            let record: JournalRecord = rows::read(row.value())?;
            let named = |prefix| {
                let data: Value = serde_json::from_str(&record.data).unwrap_or_default();
                data["id"].as_str().and_then(|id| exact_ulid(id.strip_prefix(prefix)?))
            };
            let what = match (record.kind.as_str(), record.place.first()) {
                ("message", Some(at)) => Some(Touched::Message(message_ulid(&self.op(*at)?))),
                ("message_changed", _) => named("msg_").map(Touched::Message),
                ("memo_changed", _) => named("memo_").map(Touched::Memo),
                _ => None,
            };
            if let (Some(what), Some(space)) = (what, self.state.spaces.get(&record.space)) {
                touched.push((self.state.workspace_of(*space), what));
            }
        }
        Ok((touched, last))
    }

    pub(super) fn post_record(
        &self,
        workspace: &WorkspaceRow,
        id: Ulid,
    ) -> Result<Option<PostRecord>, StoreError> {
        let key = tables::id_key(self.number(workspace.space)?, id.to_bytes());
        self.txn.open_table(tables::POSTS)?.get(&key)?.map(|row| rows::read(row.value())).transpose()
    }

    fn post_row(&self, workspace: &WorkspaceRow, op: &Operation) -> Result<Option<PostRow>, StoreError> {
        let id = message_ulid(op);
        let Some(record) = self.post_record(workspace, id)? else { return Ok(None) };
        let is_parent = record.stream == record.root && !record.thread.is_empty();
        let thread = is_parent.then(|| StreamId::thread(record.root, &record.thread));
        let below = thread.map(|thread| self.stream(workspace, thread)).transpose()?.flatten();
        let shell = PostRow {
            id,
            stream: record.stream,
            root: record.root,
            sequence: record.sequence,
            author: Author::Principal(Principal::User(Ulid::nil())),
            text: String::new(),
            attachments: Vec::new(),
            replies: below.as_ref().map_or(0, |below| below.live),
            thread: below.map(|below| below.id),
            thread_name: (!record.thread.is_empty()).then_some(record.thread),
            client_id: None,
            sent_via: None,
            metadata: Vec::new(),
            edited_ms: None,
            created_ms: op.header().hlc.ms(),
        };
        if let Some(post) = post_of(op) {
            return self.fill_post(op.header().space, shell, post);
        }
        Ok(match notice_of(op) {
            Some(notice) => Some(PostRow { author: Author::System, text: notice.text, ..shell }),
            None => fill_envelope(shell, op),
        })
    }

    fn fill_post(&self, space: SpaceId, shell: PostRow, post: Post) -> Result<Option<PostRow>, StoreError> {
        let Some(author) = post.author() else { return Ok(None) };
        let edit = self.last_edit(space, &post)?;
        let some = |text: String| (!text.is_empty()).then_some(text);
        let row = PostRow {
            author: Author::Principal(author),
            text: post.text,
            attachments: post.attachments,
            client_id: some(post.client_id),
            sent_via: some(post.sent_via),
            metadata: post.metadata,
            ..shell
        };
        Ok(Some(match edit {
            Some((edited, at_ms)) => {
                PostRow { text: edited.text, attachments: edited.attachments, edited_ms: Some(at_ms), ..row }
            }
            None => row,
        }))
    }

    /// What the author of a post made of it last, and when.
    fn last_edit(&self, space: SpaceId, post: &Post) -> Result<Option<(PostEdited, u64)>, StoreError> {
        let workspace = self.state.workspace_of(space);
        let subject = Subject::Text(self.number(workspace)?, post.ulid());
        let (said, ops) = (self.txn.open_table(tables::NEWEST)?, self.txn.open_table(tables::OPS)?);
        let read =
            |op: &Operation| -> Option<PostEdited> { cbor::decode(op.body()?, limits::BODY_BYTES_MAX).ok() };
        let by_author = |op: &Operation| read(op).is_some_and(|edited| edited.from == post.from);
        let op = newest(&said, &ops, subject, by_author)?;
        Ok(op.and_then(|op| Some((read(&op)?, op.header().hlc.ms()))))
    }
}

/// A message of the Network door as the Workspace door shows it.
fn fill_envelope(shell: PostRow, op: &Operation) -> Option<PostRow> {
    let envelope = Envelope::parse(op.body()?).ok()?;
    let text = match envelope.content().ok()? {
        Body::Say(say) => say.text,
        Body::Capability(body) => body.capability.summary,
        _ => return None,
    };
    let author = agent_of(op.header().author, &envelope.from);
    debug_assert!(matches!(envelope.kind, network::Kind::Say | network::Kind::Capability));
    Some(PostRow { author, text, ..shell })
}

/// The author of a message of a session: its agent, as a bot (DESIGN §2).
fn agent_of(node: NodeId, from: &PeerName) -> Author {
    let name = from.as_str().rsplit_once('.').map_or(from.as_str(), |(agent, _)| agent);
    let whole = hash("muster/agent/v1", &[node.as_bytes(), name.as_bytes()]);
    let mut random = [0; 10];
    random.copy_from_slice(&whole[..10]);
    Author::Agent { id: ulid(0, random), name: name.to_owned() }
}
