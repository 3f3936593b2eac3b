//! Posts: saying, editing and deleting them, each with its effect (W-47 to W-51, W-60 to W-72).

use std::sync::Arc;

use muster_protocol::{
    cbor::{self, Bytes16},
    content::{self, Content},
    control::ControlState,
    ids::{SpaceId, StreamId, owned_ulid},
    limits,
    operation::{Draft, Kind, Operation},
    post::{AttachmentRef, Post, PostDeleted, PostEdited},
    principal::Principal,
    stream::StreamPart,
};
use redb::ReadableTable;
use ulid::Ulid;

use crate::{
    StoreError,
    batch::Batch,
    listing::post_of,
    people::Card,
    rows::{self, At, PostRecord, StreamRecord, TimelineRow},
    streams,
    tables::{self, Subject},
};

/// What somebody wants to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPost {
    /// The stream: a channel, a thread, a private one.
    pub stream: StreamId,
    /// Who says it; a principal of this node.
    pub author: Principal,
    /// Markdown that [`muster_protocol::post::is_text`] takes.
    pub text: String,
    /// The sender's own name for it; empty for none.
    pub client_id: String,
    /// By ascending key, checked.
    pub metadata: Vec<(String, String)>,
    /// The key it is sent with; empty for none.
    pub sent_via: String,
    /// Files that its text links to.
    pub attachments: Vec<AttachmentRef>,
    /// Randomness for its id.
    pub random: [u8; 5],
}

/// Why a post is not taken, edited or deleted. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPosted {
    /// There is no such message, or it is gone (W-70).
    #[error("there is no such message")]
    UnknownMessage,
    /// There is no such stream, or its author cannot read it.
    #[error("there is no such stream")]
    UnknownStream,
    /// It is somebody else's (W-71), or the sender's name for it is (W-49).
    #[error("it is somebody else's message")]
    NotTheirs,
    /// The author can read the stream and does not take part in it (W-36).
    #[error("only who takes part in a stream may write there")]
    NotAMember,
    /// It is archived (W-72).
    #[error("the stream is archived")]
    Archived,
    /// Nobody writes notices.
    #[error("nobody writes in a stream of notices")]
    System,
    /// This node may not write in the workspace, or is not home to the author.
    #[error("this node may not speak for the author there")]
    NotAllowed,
}

/// A post that its author may change.
struct OwnPost {
    record: PostRecord,
    /// The name its author spoke under.
    from: String,
    /// Of the space it stands in.
    control: Arc<ControlState>,
}

impl Batch<'_> {
    /// Says something in a stream. Answers with its id, also when it was said before under the sender's own name for
    /// it, which changes nothing (W-47).
    pub fn say_post(
        &mut self,
        workspace: SpaceId,
        new: NewPost,
    ) -> Result<Result<Ulid, NotPosted>, StoreError> {
        if !new.client_id.is_empty() {
            let client = tables::client_key(new.stream, &new.client_id);
            let holder = self.client_ids.get(&client)?.map(|key| *key.value());
            if let Some(record) = holder.map(|key| self.post(&key)).transpose()?.flatten() {
                let before = post_of(&self.op(record.at)?);
                return Ok(match before.filter(|post| post.author() == Some(new.author)) {
                    Some(post) => Ok(post.ulid()),
                    None => Err(NotPosted::NotTheirs),
                });
            }
        }
        let record = match self.writable(workspace, new.stream, new.author)? {
            Ok(record) => record,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some((control, slug)) = self.speaker(workspace, &record, new.author)? else {
            return Ok(Err(NotPosted::NotAllowed));
        };
        let id = owned_ulid(self.now_ms(), self.me(), new.random);
        let post = Post {
            id: Bytes16(id.to_bytes()),
            from: slug,
            channel: record.channel.clone(),
            thread: record.thread.clone(),
            text: new.text,
            client_id: new.client_id,
            metadata: new.metadata,
            sent_via: new.sent_via,
            attachments: new.attachments,
        };
        let draft = Draft { kind: Kind::POST, stream: record.root, body: cbor::encode(&post) };
        let (op, at) = self.append_own(&control, draft)?;
        match Content::read(&op, &control) {
            Content::Post(post) => self.apply_post(&control, &op, &post, at)?,
            // Void: it keeps its place in the log and has no effect, here as everywhere.
            _ => return Ok(Err(NotPosted::NotAllowed)),
        }
        Ok(Ok(id))
    }

    /// Gives a post another text (W-69).
    pub fn edit_post(
        &mut self,
        workspace: SpaceId,
        id: Ulid,
        author: Principal,
        text: String,
        attachments: Vec<AttachmentRef>,
    ) -> Result<Result<(), NotPosted>, StoreError> {
        let OwnPost { record, from, control } = match self.own_post(workspace, id, author)? {
            Ok(own) => own,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let edited = PostEdited { target: Bytes16(id.to_bytes()), from, text, attachments };
        let draft = Draft { kind: Kind::POST_EDITED, stream: record.root, body: cbor::encode(&edited) };
        let (op, at) = self.append_own(&control, draft)?;
        self.apply_edit(&control, &op, &edited, at)?;
        Ok(Ok(()))
    }

    /// Removes a post, for good (W-70).
    pub fn delete_post(
        &mut self,
        workspace: SpaceId,
        id: Ulid,
        author: Principal,
    ) -> Result<Result<(), NotPosted>, StoreError> {
        let OwnPost { record, from, control } = match self.own_post(workspace, id, author)? {
            Ok(own) => own,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let deleted = PostDeleted { target: Bytes16(id.to_bytes()), from };
        let draft = Draft { kind: Kind::POST_DELETED, stream: record.root, body: cbor::encode(&deleted) };
        let (op, at) = self.append_own(&control, draft)?;
        self.apply_delete(&control, &op, &deleted, at)?;
        Ok(Ok(()))
    }

    /// A post of an author that they may change now, in the order of W-71.
    fn own_post(
        &mut self,
        workspace: SpaceId,
        id: Ulid,
        author: Principal,
    ) -> Result<Result<OwnPost, NotPosted>, StoreError> {
        let key = tables::id_key(self.space_number(workspace)?, id.to_bytes());
        let Some(record) = self.post(&key)?.filter(|record| record.sequence > 0) else {
            return Ok(Err(NotPosted::UnknownMessage));
        };
        if !self.reaches(workspace, record.root, author)? {
            return Ok(Err(NotPosted::UnknownStream));
        }
        let post = post_of(&self.op(record.at)?);
        let Some(post) = post.filter(|post| post.author() == Some(author)) else {
            return Ok(Err(NotPosted::NotTheirs));
        };
        let stream = match self.writable(workspace, record.stream, author)? {
            Ok(stream) => stream,
            Err(refusal) => return Ok(Err(refusal)),
        };
        Ok(match self.speaker(workspace, &stream, author)? {
            Some((control, _)) => Ok(OwnPost { record, from: post.from, control }),
            None => Err(NotPosted::NotAllowed),
        })
    }

    /// The stream, if somebody may write in it now (W-36, W-72).
    pub(crate) fn writable(
        &self,
        workspace: SpaceId,
        stream: StreamId,
        author: Principal,
    ) -> Result<Result<StreamRecord, NotPosted>, StoreError> {
        let key = self.stream_key(workspace, stream)?;
        let Some(record) = self.stream(&key)? else { return Ok(Err(NotPosted::UnknownStream)) };
        // A thread is there once somebody opened it or answered in it (W-78).
        let is_thread = !record.thread.is_empty();
        let is_there = record.live > 0 || self.stream_part(stream, streams::OPENED)?.is_some();
        if is_thread && !is_there || !self.reaches(workspace, record.root, author)? {
            return Ok(Err(NotPosted::UnknownStream));
        }
        let is_archived = |part| part == Some(StreamPart::Archived(true));
        if record.kind == "system" {
            return Ok(Err(NotPosted::System));
        }
        for stream in [stream, record.root] {
            if is_archived(self.stream_part(stream, streams::ARCHIVED)?) {
                return Ok(Err(NotPosted::Archived));
            }
        }
        if !self.takes_part(workspace, record.root, author)? {
            return Ok(Err(NotPosted::NotAMember));
        }
        Ok(Ok(record))
    }

    /// Whether somebody can read a root stream: everybody a public one, who takes part a private one (W-32, W-33).
    fn reaches(&self, workspace: SpaceId, root: StreamId, author: Principal) -> Result<bool, StoreError> {
        let key = self.stream_key(workspace, root)?;
        let is_public = self.stream(&key)?.is_some_and(|record| !record.channel.is_empty());
        Ok(is_public || self.takes_part(workspace, root, author)?)
    }

    /// The space in which an author of this node speaks, and the name under which it does.
    fn speaker(
        &self,
        workspace: SpaceId,
        stream: &StreamRecord,
        author: Principal,
    ) -> Result<Option<(Arc<ControlState>, String)>, StoreError> {
        let control = self.control_state(workspace).filter(|_| author.is_of(self.me()));
        let slug = control.and_then(|control| control.slug(author).cloned());
        let Some((slug, space)) = slug.zip(self.space_numbered(stream.space)) else { return Ok(None) };
        Ok(self.writable_space(space)?.map(|control| (control, author.peer(&slug).to_string())))
    }

    /// The effect of a post: that of a message, unless it was deleted already.
    pub(crate) fn apply_post(
        &mut self,
        control: &ControlState,
        op: &Operation,
        post: &Post,
        at: At,
    ) -> Result<(), StoreError> {
        self.bind_attachments(op, post.ulid(), &post.attachments, at)?;
        let key = self.post_key(op)?;
        if self.is_gone(control.space(), post)? {
            let root = op.header().stream;
            let thread = post.thread_id();
            let stream = if post.thread.is_empty() { root } else { StreamId::thread(root, &thread) };
            let record = PostRecord { at, root, stream, thread: thread.clone(), sequence: 0 };
            self.posts.insert(&key, rows::write(&record).as_slice())?;
            self.learn_memos(op, at, &post.text, &post.metadata)?;
            return self.review_parent(control.space(), root, &thread);
        }
        match content::envelope_of(op, control) {
            Some(envelope) => self.apply_envelope(control, op, &envelope, at),
            None => self.apply_private(op, &post.thread_id(), at),
        }
    }

    /// The effect of a message in a private stream: a place in the stream's own timeline. `thread` is the one that it
    /// stands in or opens.
    pub(crate) fn apply_private(&mut self, op: &Operation, thread: &str, at: At) -> Result<(), StoreError> {
        let (space, root) = (op.header().space, op.header().stream);
        let sequence = self.next_private(space, root, op.header().hlc.ms())?;
        let row = TimelineRow { at, void: false, session: String::new() };
        self.timeline.insert(&tables::timeline_key(root, sequence), rows::write(&row).as_slice())?;
        self.list(root, op, ("", thread), at, sequence)?;
        self.note_message(op, root, "new")
    }

    /// The effect of another text.
    pub(crate) fn apply_edit(
        &mut self,
        control: &ControlState,
        op: &Operation,
        edited: &PostEdited,
        at: At,
    ) -> Result<(), StoreError> {
        let number = self.space_number(self.workspace_of(control.space()))?;
        let id = Ulid::from_bytes(edited.target.0);
        self.say_about(Subject::Text(number, id), op, at)?;
        self.bind_attachments(op, id, &edited.attachments, at)?;
        self.learn_edited_memo(op, edited, at)?;
        self.show_change(control.space(), id)
    }

    /// The effect of a deletion.
    pub(crate) fn apply_delete(
        &mut self,
        control: &ControlState,
        op: &Operation,
        deleted: &PostDeleted,
        at: At,
    ) -> Result<(), StoreError> {
        let number = self.space_number(self.workspace_of(control.space()))?;
        let id = Ulid::from_bytes(deleted.target.0);
        self.say_about(Subject::Gone(number, id), op, at)?;
        let Some(record) = self.post(&tables::id_key(number, id.to_bytes()))? else { return Ok(()) };
        let target = self.op(record.at)?;
        let Some(post) = post_of(&target) else { return Ok(()) };
        if record.sequence == 0 || !self.is_gone(control.space(), &post)? {
            return Ok(());
        }
        match self.envelope_of(&target) {
            Some(envelope) => self.uncount(control.space(), &target, &envelope, record.at),
            None => self.uncount_private(&target, &record),
        }
    }

    /// Takes a message in a private stream out of its list; its place stays taken.
    pub(crate) fn uncount_private(&mut self, op: &Operation, record: &PostRecord) -> Result<(), StoreError> {
        let row = TimelineRow { at: record.at, void: true, session: String::new() };
        let key = tables::timeline_key(record.root, record.sequence);
        self.timeline.insert(&key, rows::write(&row).as_slice())?;
        self.unlist(record.root, op)
    }

    /// Takes back what is no message of the Network door: what was said about something, or in private.
    pub(crate) fn void_said(&mut self, control: &ControlState, op: &Operation) -> Result<(), StoreError> {
        let number = self.space_number(self.workspace_of(control.space()))?;
        let max = limits::BODY_BYTES_MAX;
        let Some(body) = op.body() else { return Ok(()) };
        match op.header().kind {
            Kind::POST => {
                let key = self.post_key(op)?;
                if let Some(record) = self.post(&key)?.filter(|record| record.sequence > 0) {
                    self.uncount_private(op, &record)?;
                }
                self.forget_listed(op)
            }
            Kind::POST_EDITED => {
                let Ok(edited) = cbor::decode::<PostEdited>(body, max) else { return Ok(()) };
                let id = Ulid::from_bytes(edited.target.0);
                self.unsay_about(Subject::Text(number, id), op)?;
                self.unbind_attachments(op, &edited.attachments)?;
                self.forget_edited_memo(op, id)?;
                self.show_change(control.space(), id)
            }
            Kind::POST_DELETED => {
                let Ok(deleted) = cbor::decode::<PostDeleted>(body, max) else { return Ok(()) };
                let id = Ulid::from_bytes(deleted.target.0);
                self.unsay_about(Subject::Gone(number, id), op)?;
                self.revive(control, number, id)
            }
            Kind::PERSON | Kind::BOT => match Card::of(op).and_then(|card| card.principal()) {
                Some(principal) => self.void_card(control, op, principal),
                None => Ok(()),
            },
            Kind::STREAM => self.void_stream(op),
            Kind::ATTACHMENT_DESCRIBED => self.void_described(op),
            Kind::TAKES_PART => self.void_takes_part(control, op),
            Kind::INVOCATION => self.void_invocation(control, op),
            Kind::MEMO => self.void_memo(op),
            Kind::NOTICE => self.void_notice(control, op),
            Kind::GROUP_SHARED => self.void_group(control, op),
            _ => Ok(()),
        }
    }

    /// Lets a post count again whose deletion does not count.
    fn revive(&mut self, control: &ControlState, number: u32, id: Ulid) -> Result<(), StoreError> {
        let record = self.post(&tables::id_key(number, id.to_bytes()))?;
        let Some(record) = record.filter(|record| record.sequence == 0) else { return Ok(()) };
        let op = self.op(record.at)?;
        match post_of(&op) {
            Some(post) if !self.is_gone(control.space(), &post)? => {
                self.apply_post(control, &op, &post, record.at)
            }
            _ => Ok(()),
        }
    }

    /// Whether the author of a post deleted it.
    pub(crate) fn is_gone(&self, space: SpaceId, post: &Post) -> Result<bool, StoreError> {
        let subject = Subject::Gone(self.space_number(self.workspace_of(space))?, post.ulid());
        let by_author = |op: &Operation| {
            let deleted =
                op.body().and_then(|body| cbor::decode::<PostDeleted>(body, limits::BODY_BYTES_MAX).ok());
            deleted.is_some_and(|deleted| deleted.from == post.from)
        };
        Ok(self.newest_about(subject, by_author)?.is_some())
    }

    /// Tells of another text, where the post is known.
    fn show_change(&mut self, space: SpaceId, id: Ulid) -> Result<(), StoreError> {
        let key = tables::id_key(self.space_number(self.workspace_of(space))?, id.to_bytes());
        match self.post(&key)?.filter(|record| record.sequence > 0) {
            Some(record) => {
                let op = self.op(record.at)?;
                self.note_message(&op, record.stream, "edited")
            }
            None => Ok(()),
        }
    }

    /// The next place in the timeline of a private stream.
    fn next_private(&mut self, space: SpaceId, root: StreamId, at_ms: u64) -> Result<u64, StoreError> {
        let key = self.stream_key(space, root)?;
        self.know_private(space, root, at_ms)?;
        let mut record =
            self.stream(&key)?.ok_or(StoreError::Damaged("a stream that was just made is missing"))?;
        record.last_sequence += 1;
        let sequence = record.last_sequence;
        self.put_stream(key, record);
        Ok(sequence)
    }
}
