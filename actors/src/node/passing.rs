//! Passing on what a runtime asks to the home of its bot, which is another node (see [`muster_protocol::ask::work`]).

use muster_protocol::{
    ask::{
        Answer, Question,
        work::{Act, ClaimAsked, HolderAsked, WorkAnswer, WorkGranted, WorkRefused, WorkRequest},
    },
    cbor::{Bytes16, Bytes32},
    identity::NodeId,
    ids::WorkspaceId,
    invocation::{InvocationId, Trigger, machine::NotHeld},
    limits,
};
use muster_storage::{Claiming, Completion, NewStep, NotPosted, PostRow, WorkspaceRow};
use ulid::Ulid;

use super::{ClaimedWork, Node, invocations::Lease};
use crate::error::{InvocationError, Unavailable};

/// A bot whose home is another node, as its key says.
#[derive(Debug, Clone, Copy)]
pub struct FarBot {
    /// Where it works.
    pub workspace: WorkspaceId,
    /// The bot's home.
    pub home: NodeId,
    /// SHA-256 of the bot's key.
    pub key: [u8; 32],
}

impl Node {
    /// See [`Node::claim_invocation`].
    pub(super) async fn claim_far(
        &self,
        far: FarBot,
        claiming: Claiming,
    ) -> Result<Option<ClaimedWork>, InvocationError> {
        let row = self.work_place(far.workspace)?;
        let asked = ClaimAsked {
            kind: claiming.kind.as_str().to_owned(),
            instance: claiming.instance,
            session: claiming.session.into_iter().collect(),
            capabilities: claiming.triggers.iter().map(|trigger| trigger.capability().to_owned()).collect(),
            seconds: claiming.seconds,
        };
        match self.pass_on(far, Act::Claim(asked)).await? {
            WorkAnswer::Granted(granted) => self.far_work(&row, granted),
            _ => Ok(None),
        }
    }

    fn far_work(
        &self,
        row: &WorkspaceRow,
        granted: WorkGranted,
    ) -> Result<Option<ClaimedWork>, InvocationError> {
        let (Some(trigger), Ok(bot)) = (Trigger::from_word(&granted.trigger), granted.bot.parse()) else {
            return Ok(None);
        };
        let lease = Lease {
            id: InvocationId(Ulid::from_bytes(granted.id.0)),
            bot,
            trigger,
            message: Ulid::from_bytes(granted.message.0),
            session: granted.session.into_iter().next(),
            with_preamble: granted.with_preamble,
            token: granted.token,
            until_ms: granted.until_ms,
        };
        lease.work(&self.store().view()?, row)
    }

    /// See [`Node::renew_invocation`].
    pub(super) async fn renew_far(
        &self,
        far: FarBot,
        id: InvocationId,
        holder: (String, String),
        seconds: u64,
    ) -> Result<u64, InvocationError> {
        match self.pass_on(far, Act::Renew(asked(id, holder), seconds)).await? {
            WorkAnswer::Renewed(until_ms) => Ok(until_ms),
            _ => Err(far_away(far)),
        }
    }

    /// See [`Node::record_step`].
    pub(super) async fn record_step_far(
        &self,
        far: FarBot,
        id: InvocationId,
        step: NewStep,
    ) -> Result<Ulid, InvocationError> {
        let holder = asked(id, (step.instance, step.token));
        let status = step.status_text.into_iter().collect();
        match self.pass_on(far, Act::Step(holder, step.kind, step.content, status)).await? {
            WorkAnswer::Stepped(step) => Ok(Ulid::from_bytes(step.0)),
            _ => Err(far_away(far)),
        }
    }

    /// See [`Node::complete_invocation`]. Waits until the reply has come here.
    pub(super) async fn complete_far(
        &self,
        far: FarBot,
        id: InvocationId,
        completion: Completion,
    ) -> Result<Option<PostRow>, InvocationError> {
        let row = self.work_place(far.workspace)?;
        let holder = asked(id, (completion.instance, completion.token));
        let reply = completion.reply.map(|reply| (reply.text, reply.metadata)).into_iter().collect();
        match self.pass_on(far, Act::Complete(holder, reply)).await? {
            WorkAnswer::Completed(said) => match said.first() {
                Some(Bytes16(said)) => self.arrived(&row, Ulid::from_bytes(*said)).await.map(Some),
                None => Ok(None),
            },
            _ => Err(far_away(far)),
        }
    }

    /// See [`Node::fail_invocation`].
    pub(super) async fn fail_far(
        &self,
        far: FarBot,
        id: InvocationId,
        holder: (String, String),
        reason: String,
    ) -> Result<(), InvocationError> {
        match self.pass_on(far, Act::Fail(asked(id, holder), reason)).await? {
            WorkAnswer::Failed => Ok(()),
            _ => Err(far_away(far)),
        }
    }

    async fn pass_on(&self, far: FarBot, act: Act) -> Result<WorkAnswer, InvocationError> {
        let row = self.work_place(far.workspace)?;
        let (act, body) = act.encode();
        let (space, home, node, at_ms) = (row.space, far.home, self.id(), self.now_ms());
        let request = WorkRequest { space, home, node, at_ms, key: Bytes32(far.key), act, body };
        let bytes = Question::Work(request).sign(&self.context.identity);
        if bytes.len() > limits::REQUEST_BYTES_MAX {
            return Err(InvocationError::TooLong);
        }
        let addresses = self.store().view()?.addresses(home)?;
        let this = self.clone();
        self.carry_out(async move {
            let answer = this.context.ports.network.request(home, addresses, bytes).await;
            let answer = answer.map_err(|_| InvocationError::HomeUnreachable { home })?;
            match Answer::decode(&answer) {
                Ok(Answer::Work(WorkAnswer::Refused(refused))) => Err(match refused {
                    WorkRefused::Key => InvocationError::UnknownKey,
                    WorkRefused::NotHeld => NotHeld.into(),
                    WorkRefused::ReadOnly => InvocationError::Refused(NotPosted::NotAMember),
                    WorkRefused::Busy => InvocationError::Unavailable(Unavailable::Busy),
                }),
                Ok(Answer::Work(answer)) => Ok(answer),
                _ => Err(InvocationError::HomeUnreachable { home }),
            }
        })
        .await
    }

    /// Waits until a message has come here.
    async fn arrived(&self, row: &WorkspaceRow, id: Ulid) -> Result<PostRow, InvocationError> {
        let mut events = self.context.events.subscribe();
        let wait = async {
            while self.store().view()?.post_ever(row, id)?.is_none() {
                if events.changed().await.is_err() {
                    break;
                }
            }
            Ok::<_, InvocationError>(())
        };
        let timeout = self.sleep(limits::REQUEST_TIMEOUT);
        if let futures::future::Either::Left((waited, _)) =
            futures::future::select(std::pin::pin!(wait), timeout).await
        {
            waited?;
        }
        let said = self.store().view()?.post_ever(row, id)?;
        said.ok_or(InvocationError::Unavailable(Unavailable::Timeout))
    }
}

fn asked(id: InvocationId, (instance, token): (String, String)) -> HolderAsked {
    HolderAsked { id: Bytes16(id.0.to_bytes()), instance, token }
}

/// An answer to another question than was asked.
fn far_away(far: FarBot) -> InvocationError {
    InvocationError::HomeUnreachable { home: far.home }
}
