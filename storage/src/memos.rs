//! Memos: those that messages make, and those that are written by hand (W-88 to W-98).
//!
//! Each text that an author gave a message makes at most one memo. All of them are kept, in the order in which the
//! texts were given, so it does not matter in which order they arrive. The last is found, as long as its message is
//! listed and its text is the newest; what became of the others is not stored, but seen from where they stand.

use muster_protocol::{
    cbor::{self, Bytes, Bytes16},
    content::Content,
    control::ControlState,
    ids::{SpaceId, StreamId, owned_ulid},
    limits,
    memo::{Memo, MemoText, extract, extracted_id},
    operation::{Draft, Header, Kind, Operation},
    post::PostEdited,
};
use redb::ReadableTable;
use ulid::Ulid;

use crate::{
    StoreError,
    batch::Batch,
    listing::{message_ulid, post_of},
    rows::{self, At, MemoRecord},
    tables::{self, Rank, Subject},
};

/// A memo that somebody writes by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMemo {
    /// What it says; its bounds are those of [`Memo::check`].
    pub text: MemoText,
    /// The messages it rests on, each once.
    pub sources: Vec<Ulid>,
    /// Randomness for its id.
    pub random: [u8; 5],
}

/// Why a memo is not written. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    /// A part breaks its rule.
    #[error(transparent)]
    Bad(#[from] muster_protocol::memo::BadMemo),
    /// A source is not there, or gone.
    #[error("there is no such message in the workspace; `source_message_ids` names messages that are there")]
    UnknownMessage,
    /// A memo is read by who can read its sources, so these stand together.
    #[error("the messages of a memo stand in one stream and its threads; write one memo for each stream")]
    SourcesApart,
    /// Guests only read.
    #[error("this node may not write in the workspace")]
    NotAllowed,
}

impl Batch<'_> {
    /// Writes a memo by hand, where its sources stand. Answers with its id.
    pub fn write_memo(
        &mut self,
        workspace: SpaceId,
        new: NewMemo,
    ) -> Result<Result<Ulid, NotWritten>, StoreError> {
        let (space, root, channel) = match self.place_of(workspace, &new.sources)? {
            Ok(place) => place,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let id = owned_ulid(self.now_ms(), self.me(), new.random);
        let MemoText { knowledge, title, summary, key_points, tags } = new.text;
        let memo = Memo {
            id: Bytes16(id.to_bytes()),
            channel,
            knowledge: knowledge.as_str().to_owned(),
            title,
            summary,
            key_points,
            tags,
            sources: new.sources.iter().map(|source| Bytes16(source.to_bytes())).collect(),
        };
        if let Err(bad) = memo.check() {
            return Ok(Err(bad.into()));
        }
        let Some(control) = self.writable_space(space)? else { return Ok(Err(NotWritten::NotAllowed)) };
        let draft = Draft { kind: Kind::MEMO, stream: root, body: cbor::encode(&memo) };
        let (op, at) = self.append_own(&control, draft)?;
        match Content::read(&op, &control) {
            Content::Memo(memo) => self.apply_memo(&control, &op, &memo, at)?,
            _ => return Err(StoreError::Damaged("what this node writes is not what it may write")),
        }
        Ok(Ok(id))
    }

    /// Where a memo with these sources stands: the space, the root stream there and the public channel.
    fn place_of(
        &mut self,
        workspace: SpaceId,
        sources: &[Ulid],
    ) -> Result<Result<(SpaceId, StreamId, String), NotWritten>, StoreError> {
        let number = self.space_number(workspace)?;
        let mut root = None;
        for source in sources {
            let record = self.post(&tables::id_key(number, source.to_bytes()))?;
            let Some(record) = record.filter(|record| record.sequence > 0) else {
                return Ok(Err(NotWritten::UnknownMessage));
            };
            if root.is_some_and(|root| root != record.root) {
                return Ok(Err(NotWritten::SourcesApart));
            }
            root = Some(record.root);
        }
        let Some(root) = root else { return Ok(Ok((workspace, StreamId::SPACE, String::new()))) };
        let stream = self.stream(&tables::id_key(number, root.0))?;
        let stream = stream.ok_or(StoreError::Damaged("a message stands in no stream"))?;
        let space = self.memory.space_numbers.iter().find(|(_, number)| **number == stream.space);
        let space = *space.ok_or(StoreError::Damaged("a stream rests in no space"))?.0;
        Ok(Ok((space, root, stream.channel)))
    }

    /// The effect of a memo that was written by hand.
    pub(crate) fn apply_memo(
        &mut self,
        control: &ControlState,
        op: &Operation,
        memo: &Memo,
        at: At,
    ) -> Result<(), StoreError> {
        let workspace = self.workspace_of(control.space());
        let number = self.space_number(workspace)?;
        self.say_about(Subject::Memo(number, memo.ulid()), op, at)?;
        self.review_written(number, memo.ulid())?;
        self.note_memo(workspace, memo.ulid())
    }

    /// Takes back a memo that was written by hand.
    pub(crate) fn void_memo(&mut self, op: &Operation) -> Result<(), StoreError> {
        let Some(memo) = memo_of(op) else { return Ok(()) };
        let workspace = self.workspace_of(op.header().space);
        let number = self.space_number(workspace)?;
        self.unsay_about(Subject::Memo(number, memo.ulid()), op)?;
        self.review_written(number, memo.ulid())?;
        self.note_memo(workspace, memo.ulid())
    }

    /// Tells whoever follows the journal. What a message makes is told with the message.
    fn note_memo(&mut self, workspace: SpaceId, id: Ulid) -> Result<(), StoreError> {
        self.note(workspace, "memo_changed", &serde_json::json!({ "id": format!("memo_{id}") }))
    }

    /// Keeps of a memo that was written by hand what was said of it last.
    fn review_written(&mut self, number: u32, id: Ulid) -> Result<(), StoreError> {
        let key = tables::id_key(number, id.to_bytes());
        if let Some(before) = self.memo(&key)? {
            self.memo_order.remove(&tables::memo_order_key(number, before.hlc, id))?;
            self.memos.remove(&key)?;
        }
        let Some((op, at)) = self.last_written(Subject::Memo(number, id))? else { return Ok(()) };
        let Some(text) = memo_of(&op).and_then(|memo| memo.check().ok()) else { return Ok(()) };
        let record = record_of(text, Bytes(Vec::new()), at, op.header());
        self.memo_order.insert(&tables::memo_order_key(number, record.hlc, id), ())?;
        self.memos.insert(&key, rows::write(&record).as_slice())?;
        Ok(())
    }

    fn last_written(&self, subject: Subject) -> Result<Option<(Operation, At)>, StoreError> {
        let range = tables::order_range(subject.key());
        let last = self.newest.range::<&[u8; 72]>(range.start()..=range.end())?.next_back().transpose()?;
        let Some((_, row)) = last else { return Ok(None) };
        let at: At = rows::read(row.value())?;
        Ok(Some((self.op(at)?, at)))
    }

    /// Keeps the memos in a message and in what its author made of it since.
    pub(crate) fn learn_memos(
        &mut self,
        op: &Operation,
        at: At,
        text: &str,
        metadata: &[(String, String)],
    ) -> Result<(), StoreError> {
        let (space, source) = (op.header().space, message_ulid(op));
        let mut made = 0;
        if let Some(memo) = extract(text, metadata) {
            self.keep_version(source, op, at, memo)?;
            made += 1;
        }
        if let Some(post) = post_of(op) {
            for at in self.texts_of(space, source)? {
                let edit = self.op(at)?;
                let edited = edited_of(&edit).filter(|edited| edited.from == post.from);
                if let Some(memo) = edited.and_then(|edited| extract(&edited.text, metadata)) {
                    self.keep_version(source, &edit, at, memo)?;
                    made += 1;
                }
            }
        }
        if made == 0 {
            return Ok(()); // most messages
        }
        let number = self.space_number(self.workspace_of(space))?;
        self.number_versions(number, source, &[0; 56])?;
        self.review_memos(space, source)
    }

    /// Keeps the memo in another text of a message, if the message is known and its author's.
    pub(crate) fn learn_edited_memo(
        &mut self,
        edit: &Operation,
        edited: &PostEdited,
        at: At,
    ) -> Result<(), StoreError> {
        let (space, source) = (edit.header().space, Ulid::from_bytes(edited.target.0));
        let number = self.space_number(self.workspace_of(space))?;
        let Some(record) = self.post(&tables::id_key(number, source.to_bytes()))? else { return Ok(()) };
        let post = post_of(&self.op(record.at)?).filter(|post| post.from == edited.from);
        let Some(post) = post else { return Ok(()) };
        if let Some(memo) = extract(&edited.text, &post.metadata) {
            self.keep_version(source, edit, at, memo)?;
            self.number_versions(number, source, &tables::rank(edit.header()))?;
        }
        self.review_memos(space, source)
    }

    /// Takes back the memo of a text that no longer counts.
    pub(crate) fn forget_edited_memo(&mut self, edit: &Operation, source: Ulid) -> Result<(), StoreError> {
        let (space, rank) = (edit.header().space, tables::rank(edit.header()));
        let number = self.space_number(self.workspace_of(space))?;
        self.hide_memos(number, source)?;
        let key = tables::order_key(Subject::Memo(number, source).key(), &rank);
        let removed = self.memo_versions.remove(&key)?.map(|id| *id.value());
        if let Some(id) = removed {
            self.memos.remove(&tables::id_key(number, id))?;
            self.number_versions(number, source, &rank)?;
        }
        self.review_memos(space, source)
    }

    /// Takes back all memos of a message that no longer counts.
    pub(crate) fn forget_memos(&mut self, space: SpaceId, source: Ulid) -> Result<(), StoreError> {
        let number = self.space_number(self.workspace_of(space))?;
        self.hide_memos(number, source)?;
        for (rank, id) in self.versions_from(number, source, &[0; 56])? {
            let key = tables::order_key(Subject::Memo(number, source).key(), &rank);
            self.memo_versions.remove(&key)?;
            self.memos.remove(&tables::id_key(number, id))?;
        }
        Ok(())
    }

    /// Lets the memo of a message be found, or no longer: it is that of its newest text, while the message is listed.
    pub(crate) fn review_memos(&mut self, space: SpaceId, source: Ulid) -> Result<(), StoreError> {
        let number = self.space_number(self.workspace_of(space))?;
        let Some((rank, id)) = self.hide_memos(number, source)? else { return Ok(()) };
        let Some(post) = self.post(&tables::id_key(number, source.to_bytes()))? else { return Ok(()) };
        if post.sequence == 0 {
            return Ok(());
        }
        let op = self.op(post.at)?;
        let newest = match post_of(&op) {
            Some(post) => {
                let by_author =
                    |edit: &Operation| edited_of(edit).is_some_and(|edited| edited.from == post.from);
                self.newest_about(Subject::Text(number, source), by_author)?
            }
            None => None,
        };
        if tables::rank(newest.as_ref().unwrap_or(&op).header()) == rank
            && let Some(record) = self.memo(&tables::id_key(number, id.to_bytes()))?
        {
            self.memo_order.insert(&tables::memo_order_key(number, record.hlc, id), ())?;
        }
        Ok(())
    }

    /// Makes sure that no memo of a message is found. Answers with the one of its last text that makes one.
    fn hide_memos(&mut self, number: u32, source: Ulid) -> Result<Option<(Rank, Ulid)>, StoreError> {
        let range = tables::order_range(Subject::Memo(number, source).key());
        let mut found = None;
        if let Some(last) = self.memo_versions.range::<&[u8; 72]>(range.start()..=range.end())?.next_back() {
            let (key, id) = last?;
            found = Some((tables::order_rank(key.value()), Ulid::from_bytes(*id.value())));
        }
        if let Some((_, id)) = found
            && let Some(record) = self.memo(&tables::id_key(number, id.to_bytes()))?
        {
            self.memo_order.remove(&tables::memo_order_key(number, record.hlc, id))?;
        }
        Ok(found)
    }

    fn keep_version(
        &mut self,
        source: Ulid,
        op: &Operation,
        at: At,
        memo: MemoText,
    ) -> Result<(), StoreError> {
        let number = self.space_number(self.workspace_of(op.header().space))?;
        self.hide_memos(number, source)?;
        let id = extracted_id(source, op.id()).to_bytes();
        let key = tables::order_key(Subject::Memo(number, source).key(), &tables::rank(op.header()));
        self.memo_versions.insert(&key, &id)?;
        let record = record_of(memo, Bytes(source.to_bytes().to_vec()), at, op.header());
        self.memos.insert(&tables::id_key(number, id), rows::write(&record).as_slice())?;
        Ok(())
    }

    /// Numbers the memos of a message from one of its texts on.
    fn number_versions(&mut self, number: u32, source: Ulid, from: &Rank) -> Result<(), StoreError> {
        let subject = Subject::Memo(number, source).key();
        let (first, last) = (tables::order_key(subject, &[0; 56]), tables::order_key(subject, from));
        let before = self.memo_versions.range::<&[u8; 72]>(&first..&last)?.next_back().transpose()?;
        let mut parent = before.map(|(_, id)| *id.value());
        let version = match parent {
            Some(id) => self.memo(&tables::id_key(number, id))?.map_or(0, |record| record.version),
            None => 0,
        };
        for (version, (_, id)) in (version + 1..).zip(self.versions_from(number, source, from)?) {
            let key = tables::id_key(number, id);
            let record = self.memo(&key)?.ok_or(StoreError::Damaged("a version of a memo is missing"))?;
            let parent = Bytes(parent.replace(id).map_or_else(Vec::new, |parent| parent.to_vec()));
            self.memos.insert(&key, rows::write(&MemoRecord { version, parent, ..record }).as_slice())?;
        }
        Ok(())
    }

    fn versions_from(
        &self,
        number: u32,
        source: Ulid,
        from: &Rank,
    ) -> Result<Vec<(Rank, [u8; 16])>, StoreError> {
        let subject = Subject::Memo(number, source).key();
        let (first, last) = (tables::order_key(subject, from), tables::order_key(subject, &[0xff; 56]));
        let mut found = Vec::new();
        for entry in self.memo_versions.range::<&[u8; 72]>(&first..=&last)? {
            let (key, id) = entry?;
            found.push((tables::order_rank(key.value()), *id.value()));
        }
        Ok(found)
    }

    /// Where the texts are that somebody gave a message since it was said, in order.
    fn texts_of(&self, space: SpaceId, source: Ulid) -> Result<Vec<At>, StoreError> {
        let number = self.space_number(self.workspace_of(space))?;
        let range = tables::order_range(Subject::Text(number, source).key());
        let texts = self.newest.range::<&[u8; 72]>(range.start()..=range.end())?;
        texts.map(|entry| rows::read(entry?.1.value())).collect()
    }

    fn memo(&self, key: &[u8; 20]) -> Result<Option<MemoRecord>, StoreError> {
        self.memos.get(key)?.map(|row| rows::read(row.value())).transpose()
    }
}

fn record_of(text: MemoText, source: Bytes, at: At, header: &Header) -> MemoRecord {
    let MemoText { knowledge, title, summary, key_points, tags } = text;
    MemoRecord {
        at,
        source,
        hlc: header.hlc,
        version: 1,
        parent: Bytes(Vec::new()),
        knowledge: knowledge.as_str().to_owned(),
        title,
        summary,
        key_points,
        tags,
    }
}

/// The memo that an operation of its kind holds.
pub(crate) fn memo_of(op: &Operation) -> Option<Memo> {
    match op.header().kind {
        Kind::MEMO => cbor::decode(op.body()?, limits::BODY_BYTES_MAX).ok(),
        _ => None,
    }
}

fn edited_of(op: &Operation) -> Option<PostEdited> {
    cbor::decode(op.body()?, limits::BODY_BYTES_MAX).ok()
}
