//! In which stream of the Workspace door a message is listed, and under which id it is found (DESIGN §2).
//!
//! The message that a thread hangs from, its *parent*, is listed in the channel, all others in the thread's stream.
//! A thread that is named after a post hangs from that post, also when it is deleted; any other from its first
//! message in people's order, which may turn out to be another one when something earlier arrives.

use muster_protocol::{
    cbor::{self, Bytes},
    ids::{SpaceId, StreamId, hash, ulid},
    limits,
    network::{self, Container, Envelope},
    notice::Notice,
    operation::{Kind, Operation},
    post::{Post, root_of},
};
use redb::ReadableTable;
use serde_json::Value;
use ulid::Ulid;

use crate::{
    StoreError,
    batch::Batch,
    rows::{self, At, PostRecord, StreamRecord, TimelineRow},
    tables,
};

/// Messages of a thread that are looked at for the one it hangs from: those in front of it are answers that arrived
/// without what they answer, and no messages of the Workspace door.
const PARENTS_TRIED_MAX: usize = 16;

/// The post in an operation.
pub(crate) fn post_of(op: &Operation) -> Option<Post> {
    match op.header().kind {
        Kind::POST => cbor::decode(op.body()?, limits::BODY_BYTES_MAX).ok(),
        _ => None,
    }
}

/// The notice in an operation.
pub(crate) fn notice_of(op: &Operation) -> Option<Notice> {
    match op.header().kind {
        Kind::NOTICE => cbor::decode(op.body()?, limits::BODY_BYTES_MAX).ok(),
        _ => None,
    }
}

/// The id of a message in the Workspace door: a post's or notice's own, or made of the operation's time and hash.
pub(crate) fn message_ulid(op: &Operation) -> Ulid {
    if let Some(post) = post_of(op) {
        return post.ulid();
    }
    if let Some(notice) = notice_of(op) {
        return notice.ulid();
    }
    let whole = hash("muster/message/v1", &[&op.id().0]);
    let mut random = [0; 10];
    random.copy_from_slice(&whole[..10]);
    ulid(op.header().hlc.ms(), random)
}

/// Whether a message shows in the Workspace door.
pub(crate) fn is_listed(envelope: &Envelope) -> bool {
    matches!(envelope.kind, network::Kind::Say | network::Kind::Capability)
}

/// The stream that the sender of a post named: not the thread that it opens.
fn named_stream(op: &Operation, post: &Post) -> StreamId {
    let root = op.header().stream;
    if post.thread.is_empty() { root } else { StreamId::thread(root, &post.thread) }
}

impl Batch<'_> {
    /// Lists a message of a channel that counts, at its place in the channel's timeline.
    pub(crate) fn list_message(
        &mut self,
        root: StreamId,
        op: &Operation,
        envelope: &Envelope,
        at: At,
        sequence: u64,
    ) -> Result<(), StoreError> {
        if !is_listed(envelope) {
            return Ok(());
        }
        let space = op.header().space;
        self.know_channel(space, root, envelope.channel.as_str(), op.header().hlc.ms())?;
        let thread = match &envelope.container {
            Some(Container::Thread(thread)) => thread.as_str(),
            _ => "",
        };
        let channel = envelope.channel.as_str();
        self.list(root, op, (channel, thread), at, sequence)?;
        match envelope.body.get("text").and_then(Value::as_str) {
            Some(text) if op.header().kind == Kind::ENVELOPE => self.learn_memos(op, at, text, &[]),
            _ => Ok(()),
        }
    }

    /// Lists a message under its root stream: in its thread first, and where the thread hangs from it, in the root.
    pub(crate) fn list(
        &mut self,
        root: StreamId,
        op: &Operation,
        (channel, thread): (&str, &str),
        at: At,
        sequence: u64,
    ) -> Result<(), StoreError> {
        let space = op.header().space;
        let stream = if thread.is_empty() { root } else { StreamId::thread(root, thread) };
        if !thread.is_empty() {
            self.know_thread(space, root, channel, thread, op.header().hlc.ms())?;
        }
        let record = PostRecord { at, root, stream, thread: thread.to_owned(), sequence };
        let key = self.post_key(op)?;
        self.posts.insert(&key, rows::write(&record).as_slice())?;
        self.enter_list(op, root, stream, sequence)?;
        let post = post_of(op);
        if let Some(post) = &post {
            self.index_post(op, post, &key)?;
            self.learn_memos(op, at, &post.text, &post.metadata)?;
        }
        if !thread.is_empty() {
            self.review_parent_of(space, root, thread, Some(tables::id_in(&key)))?;
        }
        // What is no post, agents' messages and notices, summons nobody (W-127, W-130).
        let Some(post) = post else { return Ok(()) };
        self.hear_ends_again(op)?;
        self.summon(op, &post)
    }

    /// Takes a message out of its list; its id stays known.
    pub(crate) fn unlist_message(
        &mut self,
        root: StreamId,
        op: &Operation,
        envelope: &Envelope,
    ) -> Result<(), StoreError> {
        if is_listed(envelope) { self.unlist(root, op) } else { Ok(()) }
    }

    /// See [`Self::unlist_message`].
    pub(crate) fn unlist(&mut self, root: StreamId, op: &Operation) -> Result<(), StoreError> {
        let key = self.post_key(op)?;
        let Some(mut record) = self.post(&key)? else { return Ok(()) };
        if record.sequence == 0 {
            return Ok(());
        }
        self.leave_list(op, record.stream, record.sequence)?;
        self.cancel_summoned(&key)?;
        record.sequence = 0;
        self.posts.insert(&key, rows::write(&record).as_slice())?;
        self.review_memos(op.header().space, message_ulid(op))?;
        if let Some(post) = post_of(op) {
            let number = self.space_number(self.workspace_of(op.header().space))?;
            for (name, value) in &post.metadata {
                let pair = (name.as_str(), value.as_str());
                self.metadata.remove(&tables::metadata_key(number, pair, &tables::rank(op.header())))?;
            }
        }
        self.note_message(op, record.stream, "gone")?;
        if record.thread.is_empty() {
            Ok(())
        } else {
            self.review_parent(op.header().space, root, &record.thread)
        }
    }

    /// Forgets that a message was ever there: its operation does not count.
    pub(crate) fn forget_listed(&mut self, op: &Operation) -> Result<(), StoreError> {
        let key = self.post_key(op)?;
        let Some(record) = self.post(&key)?.filter(|record| record.sequence == 0) else { return Ok(()) };
        self.posts.remove(&key)?;
        self.forget_memos(op.header().space, message_ulid(op))?;
        if let Some(post) = post_of(op).filter(|post| !post.client_id.is_empty()) {
            let client = tables::client_key(named_stream(op, &post), &post.client_id);
            if self.client_ids.get(&client)?.is_some_and(|holder| *holder.value() == key) {
                self.client_ids.remove(&client)?;
            }
        }
        if record.thread.is_empty() {
            return Ok(());
        }
        self.review_parent(op.header().space, record.root, &record.thread)
    }

    /// What a post is found by: its sender's own name for it, and its metadata.
    fn index_post(&mut self, op: &Operation, post: &Post, key: &[u8; 20]) -> Result<(), StoreError> {
        let number = self.space_number(self.workspace_of(op.header().space))?;
        for (name, value) in &post.metadata {
            let pair = (name.as_str(), value.as_str());
            self.metadata.insert(&tables::metadata_key(number, pair, &tables::rank(op.header())), key)?;
        }
        if post.client_id.is_empty() {
            return Ok(());
        }
        let client = tables::client_key(named_stream(op, post), &post.client_id);
        if self.client_ids.get(&client)?.is_none() {
            self.client_ids.insert(&client, key)?;
        }
        Ok(())
    }

    pub(crate) fn post_key(&self, op: &Operation) -> Result<[u8; 20], StoreError> {
        let number = self.space_number(self.workspace_of(op.header().space))?;
        Ok(tables::id_key(number, message_ulid(op).to_bytes()))
    }

    pub(crate) fn post(&self, key: &[u8; 20]) -> Result<Option<PostRecord>, StoreError> {
        self.posts.get(key)?.map(|row| rows::read(row.value())).transpose()
    }

    fn enter_list(
        &mut self,
        op: &Operation,
        root: StreamId,
        stream: StreamId,
        sequence: u64,
    ) -> Result<(), StoreError> {
        self.listed.insert(&tables::timeline_key(stream, sequence), &root.0)?;
        self.count_listed(op, stream, |live| live + 1)
    }

    fn leave_list(&mut self, op: &Operation, stream: StreamId, sequence: u64) -> Result<(), StoreError> {
        self.listed.remove(&tables::timeline_key(stream, sequence))?;
        self.count_listed(op, stream, |live| live.saturating_sub(1))
    }

    fn count_listed(
        &mut self,
        op: &Operation,
        stream: StreamId,
        count: impl Fn(u64) -> u64,
    ) -> Result<(), StoreError> {
        let key = self.stream_key(op.header().space, stream)?;
        if let Some(mut record) = self.stream(&key)? {
            record.live = count(record.live);
            self.put_stream(key, record);
        }
        Ok(())
    }

    /// Sets which message a thread hangs from, and lists that one in the root stream instead of the thread's.
    pub(crate) fn review_parent(
        &mut self,
        space: SpaceId,
        root: StreamId,
        thread: &str,
    ) -> Result<(), StoreError> {
        self.review_parent_of(space, root, thread, None)
    }

    /// The same, while a message arrives: that it takes its place is no news of its own.
    fn review_parent_of(
        &mut self,
        space: SpaceId,
        root: StreamId,
        thread: &str,
        arriving: Option<[u8; 16]>,
    ) -> Result<(), StoreError> {
        let stream = StreamId::thread(root, thread);
        let key = self.stream_key(space, stream)?;
        let Some(record) = self.stream(&key)? else { return Ok(()) };
        let parent = self.parent(space, root, thread)?;
        let (id, sequence) =
            parent.map_or((Bytes(Vec::new()), 0), |(id, sequence)| (Bytes(id.to_vec()), sequence));
        if (&record.parent, record.parent_sequence) == (&id, sequence) {
            return Ok(());
        }
        let former = (record.parent.clone(), record.parent_sequence);
        self.put_stream(key, StreamRecord { parent: id.clone(), parent_sequence: sequence, ..record });
        if former.0 != id {
            self.relist(space, &former.0, stream, arriving)?;
        }
        if sequence > 0 { self.relist(space, &id, root, arriving) } else { Ok(()) }
    }

    /// Lists a message in another stream than before, if it is listed at all.
    fn relist(
        &mut self,
        space: SpaceId,
        id: &Bytes,
        stream: StreamId,
        arriving: Option<[u8; 16]>,
    ) -> Result<(), StoreError> {
        let Ok(id) = <[u8; 16]>::try_from(id.0.as_slice()) else { return Ok(()) };
        let key = tables::id_key(self.space_number(self.workspace_of(space))?, id);
        let Some(record) = self.post(&key)?.filter(|record| record.stream != stream) else { return Ok(()) };
        let op = self.op(record.at)?;
        if record.sequence > 0 {
            self.leave_list(&op, record.stream, record.sequence)?;
            self.enter_list(&op, record.root, stream, record.sequence)?;
            if arriving != Some(id) {
                self.note_message(&op, stream, "moved")?;
            }
        }
        self.posts.insert(&key, rows::write(&PostRecord { stream, ..record }).as_slice())?;
        Ok(())
    }

    /// The message a thread hangs from: its id, and its sequence, zero when it is deleted.
    fn parent(
        &self,
        space: SpaceId,
        root: StreamId,
        thread: &str,
    ) -> Result<Option<([u8; 16], u64)>, StoreError> {
        let number = self.space_number(self.workspace_of(space))?;
        if let Some(named) = root_of(thread) {
            let id = named.to_bytes();
            let record = self.post(&tables::id_key(number, id))?;
            if let Some(record) = record.filter(|record| record.root == root && record.thread == thread) {
                return Ok(Some((id, record.sequence)));
            }
        }
        let order = tables::order_range(tables::short(&root.0, thread));
        for entry in self.order.range::<&[u8; 72]>(order.start()..=order.end())?.take(PARENTS_TRIED_MAX) {
            let sequence = entry?.1.value();
            let row = self.timeline.get(&tables::timeline_key(root, sequence))?;
            let row = row.ok_or(StoreError::Damaged("a message is not in its timeline"))?;
            let op = self.op(rows::read::<TimelineRow>(row.value())?.at)?;
            let id = message_ulid(&op).to_bytes();
            if self.post(&tables::id_key(number, id))?.is_some_and(|record| record.sequence == sequence) {
                return Ok(Some((id, sequence)));
            }
        }
        Ok(None)
    }

    pub(crate) fn note_message(
        &mut self,
        op: &Operation,
        stream: StreamId,
        change: &str,
    ) -> Result<(), StoreError> {
        let data = serde_json::json!({
            "id": format!("msg_{}", message_ulid(op)), "stream_id": crate::streams::stream_text(stream), "change": change,
        });
        self.note(self.workspace_of(op.header().space), "message_changed", &data)
    }
}
