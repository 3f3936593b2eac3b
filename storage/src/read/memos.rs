//! Memos as the Workspace door shows them (W-88 to W-98).
//!
//! A memo that a message makes is shown once the conversation paused, so that what is still being said is not knowledge
//! yet (W-89). It stays shown when the conversation goes on.

use std::collections::BTreeMap;

use muster_protocol::{
    cbor::{self, Bytes},
    ids::StreamId,
    limits::{self, MEMO_PAUSE_LOOK, MEMO_SEARCH_LOOKED_AT_MAX, MEMO_STEADY_MS},
    memo::{Knowledge, MemoText, Wanted},
    operation::Operation,
    post::{PostDeleted, PostEdited},
    principal::Principal,
};
use ulid::Ulid;

use super::{Author, PostRow, StreamRow, View, WorkspaceRow};
use crate::{
    StoreError,
    listing::post_of,
    memos::memo_of,
    newest::newest,
    rows::{self, MemoRecord, PostRecord, TimelineRow},
    tables::{self, Subject},
};

/// Who asks for memos, and when.
#[derive(Debug, Clone, Copy)]
pub struct MemoReader {
    /// Who.
    pub principal: Principal,
    /// Unix milliseconds.
    pub now_ms: u64,
    /// How long a conversation has to pause before what was said in it is a memo, in milliseconds.
    pub quiet_ms: u64,
}

/// Which memos are looked for (W-92, W-94). Lists that are empty keep everything.
#[derive(Debug, Clone)]
pub struct MemoQuery {
    /// What they have to say.
    pub wanted: Wanted,
    /// Streams whose messages they rest on, each with its threads; none for all. An empty list keeps nothing.
    pub streams: Option<Vec<StreamId>>,
    /// Whether they rest on one message, or on a conversation.
    pub on_message: Vec<bool>,
    /// Kinds of knowledge.
    pub knowledge: Vec<Knowledge>,
    /// Tags, of which they carry at least one, in any case.
    pub tags: Vec<String>,
    /// Made then or later, Unix milliseconds.
    pub after_ms: Option<u64>,
    /// Made earlier, Unix milliseconds.
    pub before_ms: Option<u64>,
    /// How many.
    pub limit: usize,
}

/// What a memo rests on (W-90).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoKind {
    /// One message.
    Message(Ulid),
    /// Several, or none: a conversation, named after the stream it stands in, or after the memo.
    Conversation(Ulid),
}

/// What became of a memo (W-91).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoStatus {
    /// It is found.
    Active,
    /// Its message is gone, or says no longer that it holds a memo.
    Archived,
    /// Its message has another text since, which makes another memo.
    Superseded,
}

/// A memo.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoRow {
    /// Its id.
    pub id: Ulid,
    /// What it rests on.
    pub kind: MemoKind,
    /// What it says.
    pub text: MemoText,
    /// The messages it rests on.
    pub sources: Vec<Ulid>,
    /// Who wrote those, each once.
    pub authors: Vec<Author>,
    /// The memo it takes the place of, as the message was edited.
    pub parent: Option<Ulid>,
    /// What became of it.
    pub status: MemoStatus,
    /// From one on.
    pub version: u64,
    /// When it was made, Unix milliseconds.
    pub created_ms: u64,
    /// When it was made or stopped being active, Unix milliseconds.
    pub updated_ms: u64,
    /// When it was archived, Unix milliseconds.
    pub archived_ms: Option<u64>,
    /// The stream its messages stand in; none for one that rests on none.
    pub stream: Option<StreamRow>,
    /// The stream that one hangs in, if it is a thread.
    pub root: Option<StreamRow>,
    /// How far it is from what was looked for (W-95).
    pub distance: f64,
}

/// The streams of a memo, once they were looked at.
pub(super) type Seen = BTreeMap<StreamId, Option<Place>>;

/// The stream a memo's messages stand in and the one that hangs in; of a memo that rests on none, neither.
#[derive(Clone, Default)]
pub(super) struct Place {
    stream: Option<StreamRow>,
    root: Option<StreamRow>,
}

impl View {
    /// Active memos that the reader may see (W-93), by their words alone: the nearest to what is wanted first, and among
    /// those as near, the latest changed. No more than [`MEMO_SEARCH_LOOKED_AT_MAX`] are looked at; also tells whether
    /// that left others unseen which might belong to the answer.
    pub fn memos(
        &self,
        workspace: &WorkspaceRow,
        reader: &MemoReader,
        query: &MemoQuery,
    ) -> Result<(Vec<MemoRow>, bool), StoreError> {
        let (from, to) = tables::memo_order_ends(self.number(workspace.space)?);
        let mut seen = Seen::new();
        let mut found: Vec<(f64, Ulid)> = Vec::new();
        let order = self.txn.open_table(tables::MEMO_ORDER)?;
        let mut has_more = false;
        for (number, entry) in order.range::<&[u8; 28]>(&from..=&to)?.enumerate() {
            if number == MEMO_SEARCH_LOOKED_AT_MAX {
                has_more = true;
                break;
            }
            let id = tables::ordered_memo(entry?.0.value());
            let record = self.memo_record(workspace, id)?;
            let record = record.ok_or(StoreError::Damaged("a memo that is listed is missing"))?;
            let Some(distance) = text_of(&record).and_then(|text| query.wanted.distance(&text)) else {
                continue;
            };
            if !self.is_kept(workspace, reader, query, &record, &mut seen)? {
                continue;
            }
            found.push((distance, id));
            if query.wanted == Wanted::All && found.len() == query.limit {
                break;
            }
        }
        found.sort_by(|one, other| one.0.total_cmp(&other.0)); // stable: the order of change remains
        found.truncate(query.limit);
        let mut memos = Vec::new();
        for (distance, id) in found {
            let Some(record) = self.memo_record(workspace, id)? else { continue };
            let row = self.memo_row(workspace, reader, id, record, &mut seen)?;
            memos.extend(row.map(|row| MemoRow { distance, ..row }));
        }
        Ok((memos, has_more))
    }

    /// A memo that the reader may see, whatever became of it, and its messages in the order in which they were said, as
    /// far as they are there and the reader may see them (W-97).
    pub fn memo(
        &self,
        workspace: &WorkspaceRow,
        reader: &MemoReader,
        id: Ulid,
    ) -> Result<Option<(MemoRow, Vec<PostRow>)>, StoreError> {
        let Some(record) = self.memo_record(workspace, id)? else { return Ok(None) };
        let mut seen = Seen::new();
        if !self.is_visible(workspace, reader, &record, &mut seen)? {
            return Ok(None);
        }
        let Some(row) = self.memo_row(workspace, reader, id, record, &mut seen)? else { return Ok(None) };
        let mut sources = Vec::new();
        for source in &row.sources {
            let Some(post) = self.post(workspace, *source)? else { continue };
            if self.is_reached(workspace, reader, post.stream, &mut seen)? {
                sources.push(post);
            }
        }
        sources.sort_by_key(|post| (post.created_ms, post.id));
        Ok(Some((row, sources)))
    }

    /// Whether a memo passes the filters, and the reader may see it.
    pub(super) fn is_kept(
        &self,
        workspace: &WorkspaceRow,
        reader: &MemoReader,
        query: &MemoQuery,
        record: &MemoRecord,
        seen: &mut Seen,
    ) -> Result<bool, StoreError> {
        if !passes(record, query) || !self.is_visible(workspace, reader, record, seen)? {
            return Ok(false);
        }
        if let Some(streams) = &query.streams {
            let stream = self.stream_of(workspace, record)?;
            let place = stream.map(|stream| self.place_at(workspace, stream, seen)).transpose()?.flatten();
            let stands_in = |row: &StreamRow| streams.contains(&row.id) || streams.contains(&row.root);
            if !place.and_then(|place| place.stream).is_some_and(|row| stands_in(&row)) {
                return Ok(false);
            }
        }
        Ok(query.on_message.is_empty() || query.on_message.contains(&self.is_on_message(record)?))
    }

    /// Whether the reader may see a memo: who can read its messages may, once their conversation paused (W-89, W-93).
    fn is_visible(
        &self,
        workspace: &WorkspaceRow,
        reader: &MemoReader,
        record: &MemoRecord,
        seen: &mut Seen,
    ) -> Result<bool, StoreError> {
        let Some(source) = source_of(record) else {
            return match self.stream_of(workspace, record)? {
                Some(stream) => self.is_reached(workspace, reader, stream, seen),
                None => Ok(true), // it rests on nothing, and is for everybody
            };
        };
        let Some(post) = self.post_record(workspace, source)? else { return Ok(false) };
        Ok(self.is_reached(workspace, reader, post.stream, seen)? && self.has_paused(reader, &post)?)
    }

    /// Whether the reader can read a stream, and, being a bot, the stream is not archived (W-37).
    fn is_reached(
        &self,
        workspace: &WorkspaceRow,
        reader: &MemoReader,
        stream: StreamId,
        seen: &mut Seen,
    ) -> Result<bool, StoreError> {
        let Some(place) = self.place_at(workspace, stream, seen)? else { return Ok(false) };
        let Some(stream) = &place.stream else { return Ok(false) };
        let is_archived = [place.stream.as_ref(), place.root.as_ref()]
            .into_iter()
            .flatten()
            .any(|row| row.archived_ms.is_some());
        Ok(!(is_archived && reader.principal.is_bot())
            && self.may_read(workspace, stream, reader.principal)?)
    }

    fn place_at(
        &self,
        workspace: &WorkspaceRow,
        stream: StreamId,
        seen: &mut Seen,
    ) -> Result<Option<Place>, StoreError> {
        if let Some(place) = seen.get(&stream) {
            return Ok(place.clone());
        }
        let place = match self.stream(workspace, stream)? {
            Some(row) if row.root == row.id => Some(Place { stream: Some(row), root: None }),
            Some(row) => Some(Place { root: self.stream(workspace, row.root)?, stream: Some(row) }),
            None => None,
        };
        seen.insert(stream, place.clone());
        Ok(place)
    }

    /// The stream that a memo's messages stand in: of several the first one's, as far as they stand where the memo says.
    fn stream_of(
        &self,
        workspace: &WorkspaceRow,
        record: &MemoRecord,
    ) -> Result<Option<StreamId>, StoreError> {
        if let Some(source) = source_of(record) {
            return Ok(self.post_record(workspace, source)?.map(|post| post.stream));
        }
        let op = self.op(record.at)?;
        let root = op.header().stream;
        if root == StreamId::SPACE {
            return Ok(None);
        }
        let first = self.posts_of(workspace, &op)?.into_iter().find(|post| post.root == root);
        Ok(Some(first.map_or(root, |post| post.stream)))
    }

    /// The messages that a written memo names, as far as they are known.
    fn posts_of(&self, workspace: &WorkspaceRow, op: &Operation) -> Result<Vec<PostRecord>, StoreError> {
        let mut found = Vec::new();
        for source in sources_in(op) {
            found.extend(self.post_record(workspace, source)?);
        }
        Ok(found)
    }

    pub(super) fn is_on_message(&self, record: &MemoRecord) -> Result<bool, StoreError> {
        Ok(source_of(record).is_some() || sources_in(&self.op(record.at)?).len() == 1)
    }

    /// Whether nobody said anything for long enough after a message, at some time since.
    fn has_paused(&self, reader: &MemoReader, post: &PostRecord) -> Result<bool, StoreError> {
        let said_ms = self.op(post.at)?.header().hlc.ms();
        let since_ms = reader.now_ms.saturating_sub(said_ms);
        if reader.quiet_ms == 0 || since_ms >= reader.quiet_ms.max(MEMO_STEADY_MS) {
            return Ok(true);
        }
        let mut times = vec![reader.now_ms];
        let from = tables::timeline_key(post.stream, post.sequence.saturating_add(1));
        let to = tables::timeline_key(post.stream, u64::MAX);
        let listed = self.txn.open_table(tables::LISTED)?;
        let timeline = self.txn.open_table(tables::TIMELINE)?;
        for entry in listed.range::<&[u8; 24]>(&from..=&to)?.take(MEMO_PAUSE_LOOK + 1) {
            let (key, root) = entry?;
            if times.len() > MEMO_PAUSE_LOOK {
                return Ok(false); // who talks this fast has not paused
            }
            let sequence = tables::sequence_in(key.value());
            let row = timeline.get(&tables::timeline_key(StreamId(*root.value()), sequence))?;
            let row = row.ok_or(StoreError::Damaged("a message that is listed is missing"))?;
            times.push(self.op(rows::read::<TimelineRow>(row.value())?.at)?.header().hlc.ms());
        }
        times.retain(|at_ms| *at_ms > said_ms);
        times.sort_unstable();
        let mut last_ms = said_ms;
        Ok(times.into_iter().any(|at_ms| at_ms - std::mem::replace(&mut last_ms, at_ms) >= reader.quiet_ms))
    }

    pub(super) fn memo_record(
        &self,
        workspace: &WorkspaceRow,
        id: Ulid,
    ) -> Result<Option<MemoRecord>, StoreError> {
        let key = tables::id_key(self.number(workspace.space)?, id.to_bytes());
        self.txn.open_table(tables::MEMOS)?.get(&key)?.map(|row| rows::read(row.value())).transpose()
    }

    pub(super) fn memo_row(
        &self,
        workspace: &WorkspaceRow,
        reader: &MemoReader,
        id: Ulid,
        record: MemoRecord,
        seen: &mut Seen,
    ) -> Result<Option<MemoRow>, StoreError> {
        let stream = self.stream_of(workspace, &record)?;
        let place = match stream {
            Some(stream) => self.place_at(workspace, stream, seen)?.unwrap_or_default(),
            None => Place::default(),
        };
        let source = source_of(&record);
        let sources = match source {
            Some(source) => vec![source],
            None => sources_in(&self.op(record.at)?),
        };
        let kind = match (sources[..].first(), sources.len()) {
            (Some(source), 1) => MemoKind::Message(*source),
            _ => MemoKind::Conversation(stream.map_or(id, |stream| Ulid::from_bytes(stream.0))),
        };
        let mut authors = Vec::new();
        for source in &sources {
            let Some(post) = self.post_ever(workspace, *source)? else { continue };
            if self.is_reached(workspace, reader, post.stream, seen)? && !authors.contains(&post.author) {
                authors.push(post.author);
            }
        }
        let (status, updated_ms) = match source {
            Some(source) => self.became_of(workspace, source, id, record.hlc.ms())?,
            None => (MemoStatus::Active, record.hlc.ms()),
        };
        let Some(text) = text_of(&record) else { return Ok(None) };
        Ok(Some(MemoRow {
            id,
            kind,
            text,
            sources,
            authors,
            parent: ulid_of(&record.parent),
            status,
            version: record.version,
            created_ms: record.hlc.ms(),
            updated_ms,
            archived_ms: (status == MemoStatus::Archived).then_some(updated_ms),
            stream: place.stream,
            root: place.root,
            distance: 0.0,
        }))
    }

    /// What became of a memo that a message makes, and when.
    fn became_of(
        &self,
        workspace: &WorkspaceRow,
        source: Ulid,
        id: Ulid,
        created_ms: u64,
    ) -> Result<(MemoStatus, u64), StoreError> {
        let number = self.number(workspace.space)?;
        let range = tables::order_range(Subject::Memo(number, source).key());
        let versions = self.txn.open_table(tables::MEMO_VERSIONS)?;
        let mut next = None;
        for entry in versions.range::<&[u8; 72]>(range.start()..=range.end())?.rev() {
            let found = Ulid::from_bytes(*entry?.1.value());
            if found == id {
                break;
            }
            next = Some(found);
        }
        if let Some(next) = next {
            let next = self.memo_record(workspace, next)?;
            return Ok((MemoStatus::Superseded, next.map_or(created_ms, |next| next.hlc.ms())));
        }
        let Some(post) = self.post_record(workspace, source)? else {
            return Ok((MemoStatus::Archived, created_ms));
        };
        if post.sequence == 0 {
            let gone_ms = self.said_about(Subject::Gone(number, source), &post, |op| {
                cbor::decode::<PostDeleted>(op.body()?, limits::BODY_BYTES_MAX)
                    .ok()
                    .map(|deleted| deleted.from)
            })?;
            return Ok((MemoStatus::Archived, gone_ms.map_or(created_ms, |(_, at_ms)| at_ms)));
        }
        let edited = self.said_about(Subject::Text(number, source), &post, |op| {
            cbor::decode::<PostEdited>(op.body()?, limits::BODY_BYTES_MAX).ok().map(|edited| edited.from)
        })?;
        Ok(match edited {
            Some((edit, at_ms)) if muster_protocol::memo::extracted_id(source, edit.id()) != id => {
                (MemoStatus::Archived, at_ms)
            }
            _ => (MemoStatus::Active, created_ms),
        })
    }

    /// The newest that a message's author said about it, and when.
    fn said_about(
        &self,
        subject: Subject,
        post: &PostRecord,
        by: impl Fn(&Operation) -> Option<String>,
    ) -> Result<Option<(Operation, u64)>, StoreError> {
        let Some(said) = post_of(&self.op(post.at)?) else { return Ok(None) };
        let (table, ops) = (self.txn.open_table(tables::NEWEST)?, self.txn.open_table(tables::OPS)?);
        let op = newest(&table, &ops, subject, |op| by(op).is_some_and(|from| from == said.from))?;
        Ok(op.map(|op| {
            let at_ms = op.header().hlc.ms();
            (op, at_ms)
        }))
    }
}

/// Whether a memo passes the filters that need nothing but the memo.
fn passes(record: &MemoRecord, query: &MemoQuery) -> bool {
    let knowledge = Knowledge::from_word(&record.knowledge);
    let carries = |tag: &String| record.tags.contains(&tag_in(tag));
    (query.knowledge.is_empty() || knowledge.is_some_and(|knowledge| query.knowledge.contains(&knowledge)))
        && (query.tags.is_empty() || query.tags.iter().any(carries))
        && query.after_ms.is_none_or(|after_ms| record.hlc.ms() >= after_ms)
        && query.before_ms.is_none_or(|before_ms| record.hlc.ms() < before_ms)
}

/// A tag that is asked for, as memos carry it.
fn tag_in(typed: &str) -> String {
    typed.trim_start_matches('#').to_lowercase()
}

pub(super) fn text_of(record: &MemoRecord) -> Option<MemoText> {
    Some(MemoText {
        knowledge: Knowledge::from_word(&record.knowledge)?,
        title: record.title.clone(),
        summary: record.summary.clone(),
        key_points: record.key_points.clone(),
        tags: record.tags.clone(),
    })
}

/// The message a memo was extracted from.
pub(super) fn source_of(record: &MemoRecord) -> Option<Ulid> {
    ulid_of(&record.source)
}

fn ulid_of(bytes: &Bytes) -> Option<Ulid> {
    <[u8; 16]>::try_from(bytes.0.as_slice()).ok().map(Ulid::from_bytes)
}

fn sources_in(op: &Operation) -> Vec<Ulid> {
    let memo = memo_of(op);
    memo.map_or_else(Vec::new, |memo| memo.sources.iter().map(|id| Ulid::from_bytes(id.0)).collect())
}
