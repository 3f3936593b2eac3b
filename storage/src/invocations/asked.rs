//! What a runtime of a bot of this node asks through another node (see [`muster_protocol::ask::work`]).
//!
//! The bot's key decides, as in the door. Work whose source the other node does not hold is not given away through it.

use muster_protocol::{
    ask::work::{Act, HolderAsked, WorkAnswer, WorkGranted, WorkRefused, WorkRequest},
    cbor::Bytes16,
    control::Role,
    identity::NodeId,
    ids::SpaceId,
    invocation::{InvocationId, Trigger, machine::NotHeld, runtime::RuntimeKind},
    key::Scope,
    post::check_metadata,
    principal::Principal,
};
use redb::ReadableTable;
use ulid::Ulid;

use super::{Claiming, Completion, NewStep, NotCompleted, Reply};
use crate::{
    StoreError,
    batch::Batch,
    rows::{self, KeyRecord},
    tables,
};

impl Batch<'_> {
    /// Does what another node passes on. `random` is as much as any act needs.
    pub fn answer_work(&mut self, request: &WorkRequest, random: [u8; 42]) -> Result<WorkAnswer, StoreError> {
        let space = request.space;
        let control = self.memory.controls.get(&space);
        let is_member = control.and_then(|control| control.role(request.node)).is_some_and(Role::writes);
        let bot = if is_member { self.bot_of_key(space, request.key.0)? } else { None };
        let Some(bot) = bot.filter(|_| self.may_write(space)) else {
            return Ok(WorkAnswer::Refused(WorkRefused::Key));
        };
        let Ok(act) = Act::decode(request.act, &request.body.0) else {
            return Ok(WorkAnswer::Refused(WorkRefused::NotHeld));
        };
        self.act(space, bot, request.node, act, random)
    }

    fn act(
        &mut self,
        space: SpaceId,
        bot: Principal,
        through: NodeId,
        act: Act,
        random: [u8; 42],
    ) -> Result<WorkAnswer, StoreError> {
        let id = |holder: &HolderAsked| InvocationId(Ulid::from_bytes(holder.id.0));
        let not_held = WorkAnswer::Refused(WorkRefused::NotHeld);
        Ok(match act {
            Act::Claim(asked) => {
                let Some(kind) = RuntimeKind::from_word(&asked.kind) else { return Ok(not_held) };
                let triggers = asked.capabilities.iter().filter_map(|word| Trigger::of_capability(word));
                let claiming = Claiming {
                    kind,
                    triggers: triggers.collect(),
                    instance: asked.instance,
                    session: asked.session.into_iter().next(),
                    seconds: asked.seconds,
                    through: Some(through),
                };
                self.grant(space, bot, &claiming, random)?
            }
            Act::Renew(holder, seconds) => {
                let of = (holder.instance.as_str(), holder.token.as_str());
                let renewed = self.renew_invocation(space, bot, id(&holder), of, seconds)?;
                renewed.map_or(not_held, WorkAnswer::Renewed)
            }
            Act::Step(holder, kind, content, status) => {
                let (id, status_text) = (id(&holder), status.into_iter().next());
                let HolderAsked { instance, token, .. } = holder;
                let step = NewStep { instance, token, kind, content, status_text };
                let kept = self.record_step(space, bot, id, &step, std::array::from_fn(|at| random[at]))?;
                kept.map_or(not_held, |step| WorkAnswer::Stepped(Bytes16(step.to_bytes())))
            }
            Act::Complete(holder, reply) => {
                let reply =
                    match reply.into_iter().next().map(|reply| self.reply(space, bot, reply)).transpose()? {
                        Some(None) => return Ok(not_held),
                        reply => reply.flatten(),
                    };
                let id = id(&holder);
                let completion = Completion { instance: holder.instance, token: holder.token, reply };
                let random = std::array::from_fn(|at| random[at]);
                match self.complete_invocation(space, bot, id, completion, random)? {
                    Ok(said) => {
                        let said = said.into_iter().map(|id| Bytes16(id.to_bytes()));
                        WorkAnswer::Completed(said.collect())
                    }
                    Err(NotCompleted::NotHeld(NotHeld)) => not_held,
                    Err(NotCompleted::Refused(_)) => WorkAnswer::Refused(WorkRefused::ReadOnly),
                }
            }
            Act::Fail(holder, reason) => {
                let of = (holder.instance.as_str(), holder.token.as_str());
                let failed = self.fail_invocation(space, bot, id(&holder), of, &reason)?;
                failed.map_or(not_held, |()| WorkAnswer::Failed)
            }
        })
    }

    fn grant(
        &mut self,
        space: SpaceId,
        bot: Principal,
        claiming: &Claiming,
        random: [u8; 42],
    ) -> Result<WorkAnswer, StoreError> {
        let Some(granted) = self.claim_invocation(space, bot, claiming, random)? else {
            return Ok(WorkAnswer::Nothing);
        };
        let key = tables::id_key(self.space_number(space)?, granted.id.0.to_bytes());
        let record = self.invocation(&key)?.ok_or(StoreError::Damaged("work that was given is missing"))?;
        Ok(WorkAnswer::Granted(WorkGranted {
            id: Bytes16(granted.id.0.to_bytes()),
            bot: bot.to_string(),
            token: granted.token,
            until_ms: granted.until_ms,
            trigger: record.trigger,
            message: record.message,
            session: Some(record.session).filter(|session| !session.is_empty()).into_iter().collect(),
            with_preamble: record.with_preamble,
        }))
    }

    /// The reply, if its metadata keeps the rules and the bot is not archived (W-31, W-63).
    fn reply(
        &self,
        space: SpaceId,
        bot: Principal,
        (text, metadata): (String, Vec<(String, String)>),
    ) -> Result<Option<Reply>, StoreError> {
        let known = metadata.iter().cloned().collect();
        let is_ordered = metadata.is_sorted() && metadata.windows(2).all(|pair| pair[0].0 != pair[1].0);
        let card = self.bot_card(self.space_number(space)?, bot)?;
        let may =
            card.is_some_and(|card| card.archived_ms == 0) && is_ordered && check_metadata(&known).is_ok();
        Ok(may.then(|| Reply { text, metadata, attachments: Vec::new() }))
    }

    /// The bot that a live key speaks for which may work.
    fn bot_of_key(&self, workspace: SpaceId, sha256: [u8; 32]) -> Result<Option<Principal>, StoreError> {
        let now_ms = self.now_ms();
        for row in self.keys.iter()? {
            let record: KeyRecord = rows::read(row?.1.value())?;
            // What is compared are hashes of random bytes: how long that takes tells nothing.
            let is_meant = record.sha256.0 == sha256 && record.workspace == workspace;
            if is_meant && record.is_live(now_ms) {
                let works = record.scopes.iter().any(|scope| scope == Scope::BotInvocationsWrite.as_str());
                let principal: Option<Principal> = record.principal.parse().ok();
                return Ok(principal.filter(|principal| works && principal.is_bot()));
            }
        }
        Ok(None)
    }

    /// Whether a node holds what rests in a space.
    pub(super) fn is_held_by(&self, number: u32, node: NodeId) -> bool {
        let control = self.space_numbered(number).and_then(|space| self.control_state(space));
        control.is_some_and(|control| match control.pair_nodes() {
            Some((one, other)) => one == node || other == node,
            None => control.role(node).is_some(),
        })
    }
}
