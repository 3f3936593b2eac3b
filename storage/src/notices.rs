//! Notices: telling them, and the stream in which a person is told (W-66, W-75, W-129).
//!
//! A notice is told once. Its id is made of its cause, so what was told is known; and where a restored copy told it again
//! because it had forgotten, the first in people's order counts, on every node.
//!
//! What was told stays told, also when its cause no longer counts: somebody read it.

use muster_protocol::{
    cbor::{self, Bytes16},
    control::ControlState,
    ids::{SpaceId, StreamId, is_owned_by},
    invocation::{InvocationId, Trigger, machine::Status, record::InvocationSaid},
    notice::{self, Cause, Ended, Notice},
    operation::{Draft, Kind, Operation},
    post::Post,
    principal::Principal,
    stream::{StreamChanged, StreamKind, StreamPart, TakesPart},
};
use ulid::Ulid;

use crate::{
    StoreError,
    batch::Batch,
    invocations::said_in,
    listing::{notice_of, post_of},
    rows::At,
    streams::{self, stream_text},
    tables::{self, Subject},
};

impl Batch<'_> {
    /// Says where a message stands that the active bot has no session there, so that nobody answers (W-129).
    pub(crate) fn tell_unlinked(
        &mut self,
        source: &Operation,
        post: &Post,
        bot: Principal,
    ) -> Result<(), StoreError> {
        let header = source.header();
        let workspace = self.workspace_of(header.space);
        let Some(slug) = self.control_state(workspace).and_then(|control| control.slug(bot).cloned()) else {
            return Ok(());
        };
        let cause = Cause::Unlinked { source: source.id(), source_ms: header.hlc.ms(), bot };
        let notice = Notice {
            id: Bytes16(cause.id(self.me()).to_bytes()),
            thread: post.thread.clone(),
            about: bot.to_string(),
            text: notice::of_unlinked(&slug),
        };
        if !self.tell(header.space, header.stream, &notice)? {
            return Ok(());
        }
        let stream = match post.thread.as_str() {
            "" => header.stream,
            thread => StreamId::thread(header.stream, thread),
        };
        let data = serde_json::json!({
            "bot_id": bot.to_string(), "stream_id": stream_text(stream), "change": "no_session",
            "trigger": Trigger::ActiveScratchpad.as_str(),
        });
        self.note(workspace, "invocation", &data)
    }

    /// Keeps that an invocation ended without an answer, if a message of this node caused it, and tells the person who
    /// wrote that message.
    pub(crate) fn hear_end(
        &mut self,
        op: &Operation,
        said: &InvocationSaid,
        at: At,
    ) -> Result<(), StoreError> {
        let message = Ulid::from_bytes(said.message.0);
        let is_unanswered = said.status().is_some_and(Status::is_unanswered);
        if !is_unanswered || !is_owned_by(message, self.me()) {
            return Ok(());
        }
        let number = self.space_number(self.workspace_of(op.header().space))?;
        self.say_about(Subject::Unanswered(number, message), op, at)?;
        match self.post(&tables::id_key(number, message.to_bytes()))? {
            Some(record) if record.sequence > 0 => self.tell_unanswered(&self.op(record.at)?, said),
            _ => Ok(()), // gone, or what this node forgot and will hear again
        }
    }

    /// Tells what became of what a message summoned that a former life of this node said: it comes back after what it
    /// caused did.
    pub(crate) fn hear_ends_again(&mut self, source: &Operation) -> Result<(), StoreError> {
        let (log, space) = (source.header().log(), source.header().space);
        if log.author != self.me() || log.incarnation == self.memory.incarnation(space) {
            return Ok(());
        }
        let Some(post) = post_of(source) else { return Ok(()) };
        let number = self.space_number(self.workspace_of(space))?;
        for op in self.all_about(Subject::Unanswered(number, post.ulid()))? {
            if let Some(said) = said_in(&op) {
                self.tell_unanswered(source, &said)?;
            }
        }
        Ok(())
    }

    /// Tells the person of this node who wrote a message that something which it summoned ended without an answer.
    fn tell_unanswered(&mut self, source: &Operation, said: &InvocationSaid) -> Result<(), StoreError> {
        let workspace = self.workspace_of(source.header().space);
        let Some(post) = post_of(source) else { return Ok(()) };
        let Some(person) = post.author().filter(|author| !author.is_bot()) else { return Ok(()) };
        let (Some(bot), Some(trigger)) = (said.check(), Trigger::from_word(&said.trigger)) else {
            return Ok(());
        };
        // There is one invocation by a message, a bot and a trigger, whatever a bot's home makes up.
        let id = InvocationId::new(source.header().hlc.ms(), source.id(), bot, trigger);
        let is_newest = self.newest_said(self.space_number(workspace)?, id)?.as_ref() == Some(said);
        let slug = self.control_state(workspace).and_then(|control| control.slug(bot).cloned());
        let (Some(bot), Some(status)) = (slug.filter(|_| is_newest), said.status()) else { return Ok(()) };
        let (message, channel, reason) = (post.ulid(), &post.channel, &said.reason);
        let Some(text) = (Ended { bot: &bot, message, channel, status, reason }).notice() else {
            return Ok(());
        };
        let Some((space, stream)) = self.open_notices(workspace, person)? else { return Ok(()) };
        let id = Bytes16(Cause::Unanswered(id).id(self.me()).to_bytes());
        let notice = Notice { id, thread: String::new(), about: String::new(), text };
        self.tell(space, stream, &notice).map(drop)
    }

    /// The stream of notices to a person of this node, opened when there is something to tell for the first time, and
    /// the space it rests in. `None` while this node may not write in the workspace.
    fn open_notices(
        &mut self,
        workspace: SpaceId,
        person: Principal,
    ) -> Result<Option<(SpaceId, StreamId)>, StoreError> {
        if !self.may_write(workspace) {
            return Ok(None);
        }
        let Some(space) = self.begin_pair(workspace, self.me())? else { return Ok(None) };
        let stream = StreamId::notices(space, person.ulid());
        if self.stream_part(stream, streams::OPENED)?.is_none() {
            let part = StreamPart::Opened { kind: StreamKind::System, slug: None, by: Some(person) };
            let opened = StreamChanged { channel: String::new(), thread: String::new(), part };
            let reader = TakesPart { channel: String::new(), principal: person.to_string(), joined: true };
            if !self.change_stream(space, stream, &opened)? || !self.take_part(space, stream, &reader)? {
                return Ok(None);
            }
        }
        Ok(Some((space, stream)))
    }

    /// Tells a notice. False when it was told before, or when this node may not.
    fn tell(&mut self, space: SpaceId, root: StreamId, notice: &Notice) -> Result<bool, StoreError> {
        let number = self.space_number(self.workspace_of(space))?;
        if self.post(&tables::id_key(number, notice.id.0))?.is_some() {
            return Ok(false);
        }
        self.say_in(space, Draft { kind: Kind::NOTICE, stream: root, body: cbor::encode(notice) })
    }

    /// The effect of a notice.
    pub(crate) fn apply_notice(
        &mut self,
        control: &ControlState,
        op: &Operation,
        notice: &Notice,
        at: At,
    ) -> Result<(), StoreError> {
        let number = self.space_number(self.workspace_of(control.space()))?;
        self.say_about(Subject::Notice(number, notice.ulid()), op, at)?;
        self.review_notice(number, notice.ulid())
    }

    /// Takes a notice back.
    pub(crate) fn void_notice(&mut self, control: &ControlState, op: &Operation) -> Result<(), StoreError> {
        let Some(notice) = notice_of(op) else { return Ok(()) };
        let number = self.space_number(self.workspace_of(control.space()))?;
        self.unsay_about(Subject::Notice(number, notice.ulid()), op)?;
        self.review_notice(number, notice.ulid())
    }

    /// Lists of all notices under one id the first in people's order, and no other.
    fn review_notice(&mut self, number: u32, id: Ulid) -> Result<(), StoreError> {
        let first = self.first_about(Subject::Notice(number, id))?;
        if let Some(record) = self.post(&tables::id_key(number, id.to_bytes()))? {
            let listed = self.op(record.at)?;
            let stays = first.as_ref().is_some_and(|(_, at)| *at == record.at);
            // Of a post and a notice under one id, which no honest node says, what came first stays.
            if stays || notice_of(&listed).is_none() {
                return Ok(());
            }
            self.uncount_private(&listed, &record)?;
            self.forget_listed(&listed)?;
        }
        let Some((op, at)) = first else { return Ok(()) };
        match notice_of(&op) {
            Some(notice) => self.apply_private(&op, &notice.thread_id(), at),
            None => Ok(()),
        }
    }
}
