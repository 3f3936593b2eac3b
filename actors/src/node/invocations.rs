//! Runtimes of bots, and the work they claim. This node is home to the bots they act for.

use muster_protocol::{
    ids::WorkspaceId,
    invocation::{InvocationId, Trigger, summons::PREAMBLE},
    limits,
    markdown::mentions,
    principal::Principal,
};
use muster_storage::{
    BotRow, Claiming, Completion, Granted, InvocationRow, LinkRow, NewLink, NewStep, PostRow, RuntimeRow,
    RuntimeSaid, StreamRow, View, Window, WorkspaceRow,
};
use ulid::Ulid;

use super::{FarBot, Node};
use crate::error::{InvocationError, LinkError, Unavailable};

/// The bot for which a runtime asks.
#[derive(Debug, Clone, Copy)]
pub enum Worker {
    /// This node is its home.
    Here(Principal),
    /// Another one is.
    Far(FarBot),
}

/// Work that a runtime holds from now on, with all it needs to know (W-138, W-139).
#[derive(Debug, Clone)]
pub struct ClaimedWork {
    /// Which.
    pub id: InvocationId,
    /// Why the bot was summoned.
    pub trigger: Trigger,
    /// Slugs that the message mentioned.
    pub mentions: Vec<String>,
    /// The session it is aimed at.
    pub session: Option<String>,
    /// The bot.
    pub bot: BotRow,
    /// What proves that the runtime holds it.
    pub token: String,
    /// Until when, Unix milliseconds.
    pub until_ms: u64,
    /// The message that summoned the bot.
    pub source: PostRow,
    /// The stream that stands in; the reply goes there.
    pub stream: StreamRow,
    /// What the bot is asked: the text of that message, with a word in front when no person wrote it (W-127).
    pub prompt: String,
    /// What was said before, the oldest first.
    pub context: Vec<PostRow>,
}

/// What the bot's home says of work that it gave out.
pub(super) struct Lease {
    pub(super) id: InvocationId,
    pub(super) bot: Principal,
    pub(super) trigger: Trigger,
    pub(super) message: Ulid,
    pub(super) session: Option<String>,
    pub(super) with_preamble: bool,
    pub(super) token: String,
    pub(super) until_ms: u64,
}

impl Lease {
    /// The work, with what this node holds of its source. `None` when that is not here: it was deleted in the same
    /// moment, or has not arrived; then the claim lapses, and the work is given again.
    pub(super) fn work(
        self,
        view: &View,
        row: &WorkspaceRow,
    ) -> Result<Option<ClaimedWork>, InvocationError> {
        let Some(source) = view.post(row, self.message)? else { return Ok(None) };
        let (bot, stream) = (view.bot(row, self.bot)?, view.stream(row, source.stream)?);
        let (Some(bot), Some(stream)) = (bot, stream) else { return Ok(None) };
        let before = Window::Before(source.sequence);
        let (context, _) = view.posts(row, source.stream, before, limits::INVOCATION_CONTEXT_MAX)?;
        let preamble = if self.with_preamble { PREAMBLE } else { "" };
        Ok(Some(ClaimedWork {
            id: self.id,
            trigger: self.trigger,
            mentions: mentions(&source.text).iter().map(ToString::to_string).collect(),
            session: self.session,
            bot,
            token: self.token,
            until_ms: self.until_ms,
            prompt: format!("{preamble}{}", source.text),
            source,
            stream,
            context,
        }))
    }
}

impl Node {
    /// Keeps what a runtime says of itself, in place of what it said before (W-54, W-113).
    pub async fn put_runtime(
        &self,
        workspace: WorkspaceId,
        said: RuntimeSaid,
    ) -> Result<RuntimeRow, InvocationError> {
        let (row, random) = (self.work_place(workspace)?, self.context.random());
        let node = self.clone();
        self.carry_out(async move {
            let (space, bot, instance) = (row.space, said.bot, said.instance.clone());
            node.write(move |batch| batch.put_runtime(space, &said, random)).await?;
            let runtime = node.store().view()?.runtime(&row, bot, &instance)?;
            runtime.ok_or(InvocationError::Unavailable(Unavailable::Storage))
        })
        .await
    }

    /// Links a session to a scratchpad of its own, or finds the link it has (W-53, W-118 to W-123).
    pub async fn link_session(&self, workspace: WorkspaceId, new: NewLink) -> Result<LinkRow, LinkError> {
        let row = self.workspace_here(workspace)?.ok_or(LinkError::UnknownWorkspace)?;
        let (node, random) = (self.clone(), self.context.random());
        let link =
            async move { Ok(node.write(move |batch| batch.link_session(row.space, &new, random)).await??) };
        self.carry_out(link).await
    }

    /// Gives the scratchpad of a linked session another name (W-124).
    pub async fn rename_session(
        &self,
        workspace: WorkspaceId,
        bot: Principal,
        (instance, session): (String, String),
        name: String,
    ) -> Result<LinkRow, LinkError> {
        let row = self.workspace_here(workspace)?.ok_or(LinkError::UnknownWorkspace)?;
        let node = self.clone();
        self.carry_out(async move {
            let rename =
                node.write(move |batch| batch.rename_session(row.space, bot, &instance, &session, &name));
            rename.await?.ok_or(LinkError::UnknownSession)
        })
        .await
    }

    /// Gives a runtime the oldest work that it may take, if there is any (W-132 to W-141).
    pub async fn claim_invocation(
        &self,
        workspace: WorkspaceId,
        worker: Worker,
        claiming: Claiming,
    ) -> Result<Option<ClaimedWork>, InvocationError> {
        let bot = match worker {
            Worker::Here(bot) => bot,
            Worker::Far(far) => return self.claim_far(far, claiming).await,
        };
        let (row, random) = (self.work_place(workspace)?, self.context.random());
        let node = self.clone();
        self.carry_out(async move {
            let space = row.space;
            let granted =
                node.write(move |batch| batch.claim_invocation(space, bot, &claiming, random)).await?;
            match granted {
                Some(granted) => node.claimed_work(&row, granted),
                None => Ok(None),
            }
        })
        .await
    }

    fn claimed_work(
        &self,
        row: &WorkspaceRow,
        granted: Granted,
    ) -> Result<Option<ClaimedWork>, InvocationError> {
        let view = self.store().view()?;
        let Some(invocation) = view.invocation(row, granted.id)? else { return Ok(None) };
        let InvocationRow { id, bot, trigger, message, session, with_preamble, .. } = invocation;
        let (token, until_ms) = (granted.token, granted.until_ms);
        let lease = Lease { id, bot, trigger, message, session, with_preamble, token, until_ms };
        lease.work(&view, row)
    }

    /// Lets a claim live this long from now on (W-143). Answers with its new end, Unix milliseconds.
    pub async fn renew_invocation(
        &self,
        workspace: WorkspaceId,
        worker: Worker,
        id: InvocationId,
        (instance, token): (String, String),
        seconds: u64,
    ) -> Result<u64, InvocationError> {
        let bot = match worker {
            Worker::Here(bot) => bot,
            Worker::Far(far) => return self.renew_far(far, id, (instance, token), seconds).await,
        };
        let (node, space) = (self.clone(), self.work_place(workspace)?.space);
        self.carry_out(async move {
            let holder = move |batch: &mut muster_storage::Batch<'_>| {
                batch.renew_invocation(space, bot, id, (&instance, &token), seconds)
            };
            Ok(node.write(holder).await??)
        })
        .await
    }

    /// Puts a step into the trace of claimed work (W-145 to W-147). Answers with its ULID.
    pub async fn record_step(
        &self,
        workspace: WorkspaceId,
        worker: Worker,
        id: InvocationId,
        step: NewStep,
    ) -> Result<Ulid, InvocationError> {
        let bot = match worker {
            Worker::Here(bot) => bot,
            Worker::Far(far) => return self.record_step_far(far, id, step).await,
        };
        let (node, space, random) = (self.clone(), self.work_place(workspace)?.space, self.context.random());
        let record = async move {
            Ok(node.write(move |batch| batch.record_step(space, bot, id, &step, random)).await??)
        };
        self.carry_out(record).await
    }

    /// Ends work with a reply or in silence; once, also when it is asked for again (W-51, W-149 to W-155).
    pub async fn complete_invocation(
        &self,
        workspace: WorkspaceId,
        worker: Worker,
        id: InvocationId,
        completion: Completion,
    ) -> Result<Option<PostRow>, InvocationError> {
        let bot = match worker {
            Worker::Here(bot) => bot,
            Worker::Far(far) => return self.complete_far(far, id, completion).await,
        };
        let (row, random) = (self.work_place(workspace)?, self.context.random());
        let node = self.clone();
        self.carry_out(async move {
            let space = row.space;
            let complete =
                node.write(move |batch| batch.complete_invocation(space, bot, id, completion, random));
            let Some(reply) = complete.await?? else { return Ok(None) };
            let said = node.store().view()?.post_ever(&row, reply)?;
            said.map(Some).ok_or(InvocationError::Unavailable(Unavailable::Storage))
        })
        .await
    }

    /// Gives work up (W-154).
    pub async fn fail_invocation(
        &self,
        workspace: WorkspaceId,
        worker: Worker,
        id: InvocationId,
        (instance, token): (String, String),
        reason: String,
    ) -> Result<(), InvocationError> {
        let bot = match worker {
            Worker::Here(bot) => bot,
            Worker::Far(far) => return self.fail_far(far, id, (instance, token), reason).await,
        };
        let (node, space) = (self.clone(), self.work_place(workspace)?.space);
        self.carry_out(async move {
            let holder = move |batch: &mut muster_storage::Batch<'_>| {
                batch.fail_invocation(space, bot, id, (&instance, &token), &reason)
            };
            Ok(node.write(holder).await??)
        })
        .await
    }

    pub(super) fn work_place(&self, workspace: WorkspaceId) -> Result<WorkspaceRow, InvocationError> {
        self.workspace_here(workspace)?.ok_or(InvocationError::UnknownWorkspace)
    }
}
