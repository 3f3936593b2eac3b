//! Invocations of the bots of this node: how messages make them, and how they are kept (W-125 to W-131, W-137).
//!
//! What becomes of one is decided by [`machine::Invocation`] inside the transaction, so a claim is given once, whoever
//! asks at the same time, and a crash loses neither work nor who holds it. Whenever its status changes, that is said in
//! the space of the message that summoned the bot.

mod asked;
mod claims;
mod traces;

use muster_protocol::{
    cbor::{self, Bytes, Bytes16},
    content::Content,
    control::ControlState,
    ids::{SpaceId, StreamId},
    invocation::{
        InvocationId,
        machine::{self, Input, Status},
        record::InvocationSaid,
        summons::{self, Active, Candidate, Said, Summons, Writer},
    },
    limits, markdown,
    operation::{Draft, Kind, Operation},
    post::Post,
    principal::{ACTIVE_SCRATCHPAD, MENTIONABLE, Principal, Slug},
    stream::StreamPart,
};
use redb::ReadableTable;
use ulid::Ulid;

use crate::{
    StoreError,
    batch::Batch,
    changes::ClaimChange,
    listing::message_ulid,
    rows::{self, At, InvocationRecord, PostRecord},
    streams,
    tables::{self, Subject},
};

pub(crate) use claims::reply_of;
pub use claims::{Claiming, Completion, Granted, NotCompleted, Reply};
pub use traces::NewStep;

impl InvocationRecord {
    pub(crate) fn bot(&self) -> Principal {
        Principal::Bot(Ulid::from_bytes(self.bot.0))
    }

    /// When it has to be looked at, where it stands now.
    fn next_look_ms(&self, now_ms: u64) -> u64 {
        let after = |from_ms: u64, wait: std::time::Duration| from_ms.saturating_add(wait.as_millis() as u64);
        match self.work.claimed_until_ms() {
            Some(until_ms) => until_ms,
            None if self.work.status().is_final() => after(now_ms, limits::INVOCATION_KEPT),
            None => after(self.created_ms, limits::INVOCATION_WAIT),
        }
    }
}

impl Batch<'_> {
    /// Makes an invocation for each bot of this node that a post summons, when it is listed for the first time.
    pub(crate) fn summon(&mut self, op: &Operation, post: &Post) -> Result<(), StoreError> {
        let header = op.header();
        let wait_ms = limits::INVOCATION_WAIT.as_millis() as u64;
        let is_old = header.hlc.ms().saturating_add(wait_ms) < self.now_ms();
        let Some(author) = post.author().filter(|_| !is_old) else { return Ok(()) };
        let workspace = self.workspace_of(header.space);
        let number = self.space_number(workspace)?;
        let key = self.post_key(op)?;
        let Some(record) = self.post(&key)? else { return Ok(()) };
        let mentions = if post.text.contains('@') { markdown::mentions(&post.text) } else { Vec::new() };
        let active = self.active_in(workspace, number, &record)?;
        if mentions.is_empty() && active.is_none() {
            return Ok(());
        }
        let mut bots = Vec::new();
        for slug in mentions.iter().take(limits::SUMMONS_PER_MESSAGE_MAX) {
            let named = self.control_state(workspace).and_then(|control| control.named(slug));
            if let Some(bot) = named.filter(|named| named.is_bot())
                && let Some(candidate) = self.candidate(workspace, number, record.stream, bot)?
            {
                bots.push((slug.clone(), candidate));
            }
        }
        let writer = if author.is_bot() { Writer::Bot(author) } else { Writer::Person(author) };
        let said = Said { writer, mentions: &mentions, active };
        let lookup = |slug: &Slug| bots.iter().find(|(of, _)| of == slug).map(|(_, bot)| bot.clone());
        let all = summons::summoned(&said, lookup);
        if let Some(bot) = all.unlinked.filter(|bot| bot.is_of(self.me())) {
            self.tell_unlinked(op, post, bot)?;
        }
        for summons in all.bots {
            if summons.bot.is_of(self.me()) {
                self.make_invocation(op, post, &record, summons)?;
            }
        }
        Ok(())
    }

    /// The bot that answers where a message stands: in a scratchpad, or in a thread of one (W-127).
    fn active_in(
        &self,
        workspace: SpaceId,
        number: u32,
        post: &PostRecord,
    ) -> Result<Option<Active>, StoreError> {
        let root = self.stream(&self.stream_key(workspace, post.root)?)?;
        if root.is_none_or(|root| root.kind != "scratchpad") {
            return Ok(None);
        }
        let mut bot = None;
        for stream in [post.stream, post.root] {
            if let (None, Some(StreamPart::ActiveActor(actor))) =
                (bot, self.stream_part(stream, streams::ACTIVE_ACTOR)?)
            {
                bot = actor;
            }
        }
        let Some(id) = bot else { return Ok(None) };
        let Some(bot) = self.candidate(workspace, number, post.stream, id)? else { return Ok(None) };
        let link = match self.session_in(number, id, post.stream)? {
            None => self.session_in(number, id, post.root)?,
            found => found,
        };
        Ok(Some(Active { bot, link, needs_link: self.needs_link(number, id)? }))
    }

    fn candidate(
        &self,
        workspace: SpaceId,
        number: u32,
        stream: StreamId,
        bot: Principal,
    ) -> Result<Option<Candidate>, StoreError> {
        let Some(card) = self.bot_card(number, bot)? else { return Ok(None) };
        let has = |wanted: &str| card.traits.iter().any(|has| has == wanted);
        Ok(Some(Candidate {
            id: bot,
            owner: card.owner.parse().ok(),
            mentionable: has(MENTIONABLE),
            active_scratchpad: has(ACTIVE_SCRATCHPAD),
            archived: card.archived_ms > 0,
            may_write: self.writable(workspace, stream, bot)?.is_ok(),
        }))
    }

    fn make_invocation(
        &mut self,
        op: &Operation,
        post: &Post,
        at: &PostRecord,
        summons: Summons,
    ) -> Result<(), StoreError> {
        let (header, workspace) = (op.header(), self.workspace_of(op.header().space));
        let number = self.space_number(workspace)?;
        let id = InvocationId::new(header.hlc.ms(), op.id(), summons.bot, summons.trigger);
        let key = tables::id_key(number, id.0.to_bytes());
        // It was made before (W-52), or a former life of this node has seen to it.
        let is_over = self.newest_said(number, id)?.and_then(|said| said.status());
        if self.invocation(&key)?.is_some() || is_over.is_some_and(Status::is_final) {
            return Ok(());
        }
        self.make_room_in_queue(number, summons.bot)?;
        let (instance, session) =
            summons.link.map_or_else(Default::default, |link| (link.instance, link.session));
        let message = message_ulid(op).to_bytes();
        let record = InvocationRecord {
            bot: Bytes16(summons.bot.ulid().to_bytes()),
            trigger: summons.trigger.as_str().to_owned(),
            source: op.id(),
            message: Bytes16(message),
            space: self.space_number(header.space)?,
            root: at.root,
            channel: post.channel.clone(),
            instance,
            session,
            with_preamble: summons.with_preamble,
            created_ms: self.now_ms(),
            due_ms: 0,
            steps: 0,
            reply: Bytes::default(),
            reason: String::new(),
            work: machine::Invocation::default(),
        };
        self.invocation_sources.insert(&tables::source_key(number, message, id.0.to_bytes()), ())?;
        self.keep_invocation(&key, None, record)
    }

    /// The oldest that waits makes room, when there are as many as may wait.
    fn make_room_in_queue(&mut self, number: u32, bot: Principal) -> Result<(), StoreError> {
        let range = tables::queue_range(number, bot.ulid());
        let mut oldest = None;
        let mut waiting = 0;
        for entry in self.invocation_queue.range::<&[u8; 44]>(range.start()..=range.end())? {
            oldest.get_or_insert(tables::queued(entry?.0.value()));
            waiting += 1;
        }
        match oldest {
            Some(key) if waiting >= limits::INVOCATIONS_WAITING_MAX => {
                self.happen(&key, Input::Expire).map(drop)
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn invocation(&self, key: &[u8; 20]) -> Result<Option<InvocationRecord>, StoreError> {
        self.invocations.get(key)?.map(|row| rows::read(row.value())).transpose()
    }

    /// Lets something happen to an invocation, and keeps what comes of it. False when there is no such invocation.
    pub(crate) fn happen(&mut self, key: &[u8; 20], input: Input<'_>) -> Result<bool, StoreError> {
        let Some(before) = self.invocation(key)? else { return Ok(false) };
        let mut after = before.clone();
        // Whether it was heard shows in the record.
        let _ = after.work.handle(self.now_ms(), input);
        self.keep_invocation(key, Some(&before), after)?;
        Ok(true)
    }

    /// Keeps an invocation as it is now, in its place in the queue and in the times, and tells who has to know.
    pub(crate) fn keep_invocation(
        &mut self,
        key: &[u8; 20],
        before: Option<&InvocationRecord>,
        mut after: InvocationRecord,
    ) -> Result<(), StoreError> {
        let (number, id) = (tables::space_in(key), Ulid::from_bytes(tables::id_in(key)));
        let was = before.map(|before| before.work.status());
        let status = after.work.status();
        if was != Some(status) || before.is_some_and(|before| before.work != after.work) {
            after.due_ms = after.next_look_ms(self.now_ms());
        }
        if let Some(before) = before {
            self.invocation_times.remove(&tables::time_key(before.due_ms, key))?;
        }
        self.invocation_times.insert(&tables::time_key(after.due_ms, key), ())?;
        let queue = tables::queue_key(number, after.bot().ulid(), after.created_ms, id);
        if status == Status::Pending {
            self.invocation_queue.insert(&queue, ())?;
        } else {
            self.invocation_queue.remove(&queue)?;
        }
        self.invocations.insert(key, rows::write(&after).as_slice())?;
        let claim = |record: &InvocationRecord| record.work.claimed_until_ms();
        if before.and_then(claim) != claim(&after)
            && let Some(workspace) = self.space_numbered(number)
        {
            let change = ClaimChange { workspace, id: InvocationId(id), until_ms: claim(&after) };
            self.changes.claims.push(change);
        }
        if was == Some(status) { Ok(()) } else { self.say_status(id, &after) }
    }

    /// Says in the source's space what became of an invocation, while this node may write there.
    fn say_status(&mut self, id: Ulid, record: &InvocationRecord) -> Result<(), StoreError> {
        let Some(space) = self.space_numbered(record.space) else { return Ok(()) };
        let Some(control) = self.writable_space(space)? else { return Ok(()) };
        let said = InvocationSaid {
            id: Bytes16(id.to_bytes()),
            bot: record.bot().to_string(),
            source: record.source,
            trigger: record.trigger.clone(),
            channel: record.channel.clone(),
            message: record.message,
            status: record.work.status() as u8,
            attempt: record.work.fence(),
            reply: record.reply.clone(),
            reason: record.reason.clone(),
        };
        let draft = Draft { kind: Kind::INVOCATION, stream: record.root, body: cbor::encode(&said) };
        let (op, at) = self.append_own(&control, draft)?;
        match Content::read(&op, &control) {
            Content::Invocation(said) => self.apply_invocation(&control, &op, &said, at),
            _ => Err(StoreError::Damaged("what this node says of an invocation is not what it may say")),
        }
    }

    /// The effect of what a bot's home says about an invocation.
    pub(crate) fn apply_invocation(
        &mut self,
        control: &ControlState,
        op: &Operation,
        said: &InvocationSaid,
        at: At,
    ) -> Result<(), StoreError> {
        let workspace = self.workspace_of(control.space());
        let (number, id) = (self.space_number(workspace)?, said.invocation());
        self.say_about(Subject::Invocation(number, id.0), op, at)?;
        self.note_invocation(workspace, said)?;
        self.hear_end(op, said, at)?;
        // What a former life of this node said comes back from its friends after a restore.
        let (log, space) = (op.header().log(), control.space());
        let is_former = log.author == self.me() && log.incarnation != self.memory.incarnation(space);
        match said.status().filter(|status| is_former && status.is_final()) {
            Some(status) => self.recall(number, id, status),
            None => Ok(()),
        }
    }

    fn recall(&mut self, number: u32, id: InvocationId, status: Status) -> Result<(), StoreError> {
        self.happen(&tables::id_key(number, id.0.to_bytes()), Input::Recall(status)).map(drop)
    }

    /// Takes back what was said about an invocation.
    pub(crate) fn void_invocation(
        &mut self,
        control: &ControlState,
        op: &Operation,
    ) -> Result<(), StoreError> {
        let number = self.space_number(self.workspace_of(control.space()))?;
        match said_in(op) {
            Some(said) => {
                self.unsay_about(Subject::Invocation(number, said.invocation().0), op)?;
                self.unsay_about(Subject::Unanswered(number, Ulid::from_bytes(said.message.0)), op).map(drop)
            }
            None => Ok(()),
        }
    }

    /// What was last said about an invocation.
    pub(crate) fn newest_said(
        &self,
        number: u32,
        id: InvocationId,
    ) -> Result<Option<InvocationSaid>, StoreError> {
        Ok(self.newest_about(Subject::Invocation(number, id.0), |_| true)?.as_ref().and_then(said_in))
    }

    /// What a message summoned that is gone now is no longer wanted (W-131). `post` is its key in `posts`.
    pub(crate) fn cancel_summoned(&mut self, post: &[u8; 20]) -> Result<(), StoreError> {
        let (number, message) = (tables::space_in(post), tables::id_in(post));
        let from = tables::source_key(number, message, [0; 16]);
        let to = tables::source_key(number, message, [0xff; 16]);
        let mut found = Vec::new();
        for entry in self.invocation_sources.range::<&[u8; 36]>(&from..=&to)? {
            found.push(tables::summoned_by(entry?.0.value()));
        }
        for key in found {
            self.happen(&key, Input::Cancel)?;
        }
        Ok(())
    }

    /// Looks after invocations whose claim, wait or memory is over, at most so many; true when more are due.
    pub fn sweep_invocations(&mut self, max: usize) -> Result<bool, StoreError> {
        let to = tables::time_key(self.now_ms(), &[0xff; 20]);
        let mut due = Vec::new();
        for entry in self.invocation_times.range::<&[u8; 28]>(..=&to)?.take(max) {
            due.push(tables::timed(entry?.0.value()));
        }
        for key in &due {
            let status = self.invocation(key)?.map(|record| record.work.status());
            match status {
                Some(Status::Claimed) => drop(self.happen(key, Input::Look)?),
                Some(Status::Pending) => drop(self.happen(key, Input::Expire)?),
                Some(_) | None => self.forget_invocation(key)?,
            }
        }
        Ok(due.len() == max)
    }

    /// A claim may be over (W-137). Answers with until when it is claimed now, in Unix milliseconds.
    pub fn look_at_invocation(
        &mut self,
        workspace: SpaceId,
        id: InvocationId,
    ) -> Result<Option<u64>, StoreError> {
        let key = tables::id_key(self.space_number(workspace)?, id.0.to_bytes());
        self.happen(&key, Input::Look)?;
        Ok(self.invocation(&key)?.and_then(|record| record.work.claimed_until_ms()))
    }

    fn forget_invocation(&mut self, key: &[u8; 20]) -> Result<(), StoreError> {
        let Some(record) = self.invocation(key)? else { return Ok(()) };
        let (number, id) = (tables::space_in(key), tables::id_in(key));
        self.invocation_times.remove(&tables::time_key(record.due_ms, key))?;
        self.invocation_sources.remove(&tables::source_key(number, record.message.0, id))?;
        self.invocations.remove(key)?;
        self.forget_trace(key)
    }

    fn note_invocation(&mut self, workspace: SpaceId, said: &InvocationSaid) -> Result<(), StoreError> {
        let data = serde_json::json!({
            "id": said.invocation().to_string(), "bot_id": said.bot,
            "message_id": format!("msg_{}", Ulid::from_bytes(said.message.0)),
            "trigger": said.trigger, "status": said.status().map(Status::as_str), "attempt": said.attempt,
            "reply_message_id": said.reply().map(|id| format!("msg_{id}")), "reason": said.reason,
        });
        self.note(workspace, "invocation", &data)
    }
}

/// What an operation says about an invocation.
pub(crate) fn said_in(op: &Operation) -> Option<InvocationSaid> {
    cbor::decode(op.body()?, limits::BODY_BYTES_MAX).ok()
}
