//! Claiming, renewing and ending invocations (W-132 to W-144, W-149 to W-155).

use muster_protocol::{
    cbor::Bytes,
    identity::NodeId,
    ids::SpaceId,
    invocation::{
        InvocationId, Trigger,
        machine::{Holder, Input, NotHeld, Output},
        runtime::{Aim, RuntimeKind, RuntimeStatus, Taker, may_take},
    },
    limits,
    post::AttachmentRef,
    principal::Principal,
};
use redb::ReadableTable;
use ulid::Ulid;

use crate::{
    StoreError,
    batch::Batch,
    posts::{NewPost, NotPosted},
    rows::InvocationRecord,
    tables,
};

/// A runtime asks for work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claiming {
    /// What kind of program it is.
    pub kind: RuntimeKind,
    /// Its name for itself.
    pub instance: String,
    /// The session it asks for; none for any (W-134).
    pub session: Option<String>,
    /// What it can do (W-132).
    pub triggers: Vec<Trigger>,
    /// How long the claim shall last.
    pub seconds: u64,
    /// The node it asks through, when that is another one: it gets no work whose source it does not hold.
    pub through: Option<NodeId>,
}

/// Work that was given to a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Which.
    pub id: InvocationId,
    /// What proves that the runtime holds it; it is kept nowhere else.
    pub token: String,
    /// Until when, in Unix milliseconds.
    pub until_ms: u64,
}

/// What a bot answers at the end of its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Markdown that [`muster_protocol::post::is_text`] takes.
    pub text: String,
    /// By ascending key, checked.
    pub metadata: Vec<(String, String)>,
    /// Files that its text links to.
    pub attachments: Vec<AttachmentRef>,
}

/// A runtime is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The instance that claimed.
    pub instance: String,
    /// The token it was given.
    pub token: String,
    /// The answer; none to end it in silence.
    pub reply: Option<Reply>,
}

/// Why work is not completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCompleted {
    /// See [`NotHeld`].
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
    /// The bot may not write there any more, and the work has failed (W-155).
    #[error(transparent)]
    Refused(NotPosted),
}

impl Batch<'_> {
    /// Gives a runtime the oldest work that it may take, if there is any. Asking is a heartbeat (W-116). `random` is for
    /// the token of the claim, and for the record of a runtime that is new.
    pub fn claim_invocation(
        &mut self,
        workspace: SpaceId,
        bot: Principal,
        claiming: &Claiming,
        random: [u8; 42],
    ) -> Result<Option<Granted>, StoreError> {
        while self.sweep_invocations(limits::INVOCATIONS_SWEPT_MAX)? {}
        let dice = std::array::from_fn(|at| random[32 + at]);
        self.becomes(workspace, bot, claiming, (RuntimeStatus::Available, true), dice)?;
        let number = self.space_number(workspace)?;
        let Some(key) = self.oldest_for(number, bot, claiming)? else { return Ok(None) };
        let before = self.invocation(&key)?.ok_or(StoreError::Damaged("work that waits is missing"))?;
        let mut after = before.clone();
        let random = std::array::from_fn(|at| random[at]);
        let claim = Input::Claim { instance: &claiming.instance, seconds: claiming.seconds, random };
        let Ok(Output::Granted { token, until_ms }) = after.work.handle(self.now_ms(), claim) else {
            return Err(StoreError::Damaged("work that waits cannot be claimed"));
        };
        self.keep_invocation(&key, Some(&before), after)?;
        self.becomes(workspace, bot, claiming, (RuntimeStatus::Busy, false), dice)?;
        Ok(Some(Granted { id: id_of(&key), token, until_ms }))
    }

    fn becomes(
        &mut self,
        workspace: SpaceId,
        bot: Principal,
        claiming: &Claiming,
        (status, accepting): (RuntimeStatus, bool),
        random: [u8; 10],
    ) -> Result<(), StoreError> {
        let (kind, instance) = (Some(claiming.kind), claiming.instance.as_str());
        self.touch_runtime(workspace, bot, kind, instance, random, |record| {
            status.as_str().clone_into(&mut record.status);
            record.accepting = accepting;
            if let Some(session) = &claiming.session
                && let Ok(serde_json::Value::Object(mut known)) = serde_json::from_str(&record.capabilities)
            {
                known.insert("runtimeSessionId".to_owned(), session.clone().into());
                record.capabilities = serde_json::Value::Object(known).to_string();
            }
        })
    }

    fn oldest_for(
        &self,
        number: u32,
        bot: Principal,
        claiming: &Claiming,
    ) -> Result<Option<[u8; 20]>, StoreError> {
        let links = self.active_links(number, bot, &claiming.instance)?;
        let taker = Taker { instance: &claiming.instance, session: claiming.session.as_deref(), links };
        let range = tables::queue_range(number, bot.ulid());
        for entry in self.invocation_queue.range::<&[u8; 44]>(range.start()..=range.end())? {
            let key = tables::queued(entry?.0.value());
            let record = self.invocation(&key)?.ok_or(StoreError::Damaged("work that waits is missing"))?;
            let trigger = Trigger::from_word(&record.trigger);
            let aim = Aim { instance: &record.instance, session: &record.session };
            let is_held = claiming.through.is_none_or(|node| self.is_held_by(record.space, node));
            let is_able = trigger.is_some_and(|trigger| claiming.triggers.contains(&trigger));
            if is_able && is_held && may_take(aim, taker) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// Pushes the end of a claim back, or nearer (W-143). Answers with the new end, in Unix milliseconds.
    pub fn renew_invocation(
        &mut self,
        workspace: SpaceId,
        bot: Principal,
        id: InvocationId,
        (instance, token): (&str, &str),
        seconds: u64,
    ) -> Result<Result<u64, NotHeld>, StoreError> {
        let renew = Input::Renew(Holder { instance, token }, seconds);
        Ok(match self.holder_says(workspace, bot, id, renew, |_| {})? {
            Ok((_, Output::Renewed(until_ms))) => Ok(until_ms),
            _ => Err(NotHeld),
        })
    }

    /// Gives work up (W-154).
    pub fn fail_invocation(
        &mut self,
        workspace: SpaceId,
        bot: Principal,
        id: InvocationId,
        (instance, token): (&str, &str),
        reason: &str,
    ) -> Result<Result<(), NotHeld>, StoreError> {
        let fail = Input::Fail(Holder { instance, token });
        let said = self.holder_says(workspace, bot, id, fail, |record| {
            record.reason = reason.chars().take(limits::INVOCATION_REASON_CHARS_MAX).collect();
        })?;
        Ok(said.map(drop))
    }

    /// Ends work with a reply or without one; both or neither happens (W-150). Answers with the reply's id, also when
    /// it was completed before by the same claim (W-51). `random` is for the ids of the reply and of two steps.
    pub fn complete_invocation(
        &mut self,
        workspace: SpaceId,
        bot: Principal,
        id: InvocationId,
        completion: Completion,
        random: [u8; 25],
    ) -> Result<Result<Option<Ulid>, NotCompleted>, StoreError> {
        let key = tables::id_key(self.space_number(workspace)?, id.0.to_bytes());
        let Completion { instance, token, reply } = completion;
        let holder = Holder { instance: &instance, token: &token };
        let Some(before) = self.invocation(&key)?.filter(|record| record.bot() == bot) else {
            return Ok(Err(NotHeld.into()));
        };
        let mut after = before.clone();
        match after.work.handle(self.now_ms(), Input::Complete(holder)) {
            Err(NotHeld) => {
                self.keep_invocation(&key, Some(&before), after)?;
                return Ok(Err(NotHeld.into()));
            }
            Ok(Output::Replayed) => return Ok(Ok(reply_of(&before))),
            Ok(_) => {}
        }
        if let Some(reply) = reply {
            let dice = std::array::from_fn(|at| random[at]);
            let said = match self.say_reply(workspace, &before, reply.clone(), id.reply_client_id(), dice)? {
                // Somebody else took that name, to keep the bot silent: then its reply goes without one.
                Err(NotPosted::NotTheirs) => {
                    self.say_reply(workspace, &before, reply, String::new(), dice)?
                }
                said => said,
            };
            match said {
                Ok(said) => after.reply = Bytes(said.to_bytes().to_vec()),
                Err(refusal) => {
                    let reason = format!("the bot could not answer: {refusal}");
                    let forbid = Input::Forbid(holder);
                    self.holder_says(workspace, bot, id, forbid, |record| record.reason = reason)?
                        .map(drop)
                        .ok();
                    return Ok(Err(NotCompleted::Refused(refusal)));
                }
            }
        }
        self.finish_trace(&key, &mut after, std::array::from_fn(|at| random[5 + at]))?;
        let said = reply_of(&after);
        self.keep_invocation(&key, Some(&before), after)?;
        Ok(Ok(said))
    }

    fn say_reply(
        &mut self,
        workspace: SpaceId,
        record: &InvocationRecord,
        reply: Reply,
        client_id: String,
        random: [u8; 5],
    ) -> Result<Result<Ulid, NotPosted>, StoreError> {
        let source = tables::id_key(self.space_number(workspace)?, record.message.0);
        let Some(source) = self.post(&source)? else { return Ok(Err(NotPosted::UnknownStream)) };
        let new = NewPost {
            stream: source.stream,
            author: record.bot(),
            text: reply.text,
            client_id,
            metadata: reply.metadata,
            sent_via: String::new(),
            attachments: reply.attachments,
            random,
        };
        self.say_post(workspace, new)
    }

    /// Hears what somebody says who holds a claim, as they say. What time did to the claim is kept either way.
    pub(super) fn holder_says(
        &mut self,
        workspace: SpaceId,
        bot: Principal,
        id: InvocationId,
        input: Input<'_>,
        change: impl FnOnce(&mut InvocationRecord),
    ) -> Result<Result<([u8; 20], Output), NotHeld>, StoreError> {
        let key = tables::id_key(self.space_number(workspace)?, id.0.to_bytes());
        let Some(before) = self.invocation(&key)?.filter(|record| record.bot() == bot) else {
            return Ok(Err(NotHeld));
        };
        let mut after = before.clone();
        let output = after.work.handle(self.now_ms(), input);
        if output.is_ok() {
            change(&mut after);
        }
        self.keep_invocation(&key, Some(&before), after)?;
        Ok(output.map(|output| (key, output)))
    }
}

fn id_of(key: &[u8; 20]) -> InvocationId {
    InvocationId(Ulid::from_bytes(tables::id_in(key)))
}

/// The reply of an invocation.
pub(crate) fn reply_of(record: &InvocationRecord) -> Option<Ulid> {
    <[u8; 16]>::try_from(record.reply.0.as_slice()).ok().map(Ulid::from_bytes)
}
