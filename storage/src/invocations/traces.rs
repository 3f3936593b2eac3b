//! Traces: what runtimes tell about their work, step by step (W-145 to W-148, W-153).

use muster_protocol::{
    cbor::Bytes16,
    ids::{SpaceId, ulid},
    invocation::{
        InvocationId,
        machine::{Holder, Input, NotHeld},
        redact,
        runtime::RuntimeStatus,
    },
    limits,
    principal::Principal,
};
use redb::ReadableTable;
use ulid::Ulid;

use crate::{
    StoreError,
    batch::Batch,
    rows::{self, InvocationRecord, StepRecord},
    tables,
};

/// A step that a runtime did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStep {
    /// The instance that claimed.
    pub instance: String,
    /// The token it was given.
    pub token: String,
    /// What kind of step; a word of the contract.
    pub kind: String,
    /// What it did, as told; secrets are taken out before it is kept.
    pub content: String,
    /// What it does now, in words.
    pub status_text: Option<String>,
}

impl Batch<'_> {
    /// Puts a step behind those before it (W-145). It does not make the claim longer (W-146). Answers with its ULID,
    /// for which `random` is.
    pub fn record_step(
        &mut self,
        workspace: SpaceId,
        bot: Principal,
        id: InvocationId,
        step: &NewStep,
        random: [u8; 10],
    ) -> Result<Result<Ulid, NotHeld>, StoreError> {
        let holder = Holder { instance: &step.instance, token: &step.token };
        let said = self.holder_says(workspace, bot, id, Input::Step(holder), |_| {})?;
        let Ok((key, _)) = said else { return Ok(Err(NotHeld)) };
        let before = self.invocation(&key)?.ok_or(StoreError::Damaged("work that is held is missing"))?;
        let mut after = before.clone();
        let content = redact::sanitise(&step.content);
        let step_id = self.add_step(&key, &mut after, &step.kind, content, random)?;
        self.keep_invocation(&key, Some(&before), after)?;
        let status_text = step.status_text.as_deref().map(redact::redact);
        self.touch_runtime(workspace, bot, None, &step.instance, random, |record| {
            RuntimeStatus::Busy.as_str().clone_into(&mut record.status);
            record.accepting = false;
            if status_text.is_some() {
                record.status_text = status_text;
            }
        })?;
        Ok(Ok(step_id))
    }

    fn add_step(
        &mut self,
        key: &[u8; 20],
        record: &mut InvocationRecord,
        kind: &str,
        content: String,
        random: [u8; 10],
    ) -> Result<Ulid, StoreError> {
        let id = ulid(self.now_ms(), random);
        let (kind, at_ms) = (kind.to_owned(), self.now_ms());
        let step = StepRecord { id: Bytes16(id.to_bytes()), kind, content, at_ms };
        if let Some(oldest) = record.steps.checked_sub(limits::STEPS_MAX) {
            self.steps.remove(&tables::step_key(key, oldest))?;
        }
        self.steps.insert(&tables::step_key(key, record.steps), rows::write(&step).as_slice())?;
        record.steps += 1;
        Ok(id)
    }

    /// Writes the least that a trace says, when the runtime told nothing (W-153).
    pub(super) fn finish_trace(
        &mut self,
        key: &[u8; 20],
        record: &mut InvocationRecord,
        random: [u8; 20],
    ) -> Result<(), StoreError> {
        if record.steps > 0 {
            return Ok(());
        }
        let dice = |from: usize| std::array::from_fn(|at| random[from + at]);
        self.add_step(key, record, "context_received", "Received the message".to_owned(), dice(0))?;
        let is_silent = record.reply.0.is_empty();
        let end = if is_silent { "Ended without a reply" } else { "Sent the reply" };
        self.add_step(key, record, "message_sent", end.to_owned(), dice(10))?;
        Ok(())
    }

    pub(super) fn forget_trace(&mut self, key: &[u8; 20]) -> Result<(), StoreError> {
        let (from, to) = (tables::step_key(key, 0), tables::step_key(key, u32::MAX));
        let mut found = Vec::new();
        for entry in self.steps.range::<&[u8; 24]>(&from..=&to)? {
            found.push(*entry?.0.value());
        }
        for step in found {
            self.steps.remove(&step)?;
        }
        Ok(())
    }
}
