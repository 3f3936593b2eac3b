//! Runtimes of bots, and invocations, as they stand.

use muster_protocol::{
    ids::{SpaceId, StreamId},
    invocation::{InvocationId, Trigger, machine::Status, record::InvocationSaid},
    limits,
    principal::Principal,
};
use ulid::Ulid;

use super::{View, WorkspaceRow};
use crate::{
    StoreError,
    invocations::{reply_of, said_in},
    newest::newest,
    rows::{self, InvocationRecord, RuntimeRecord, StepRecord},
    runtimes::runtime_name,
    tables::{self, Subject},
};

/// A runtime of a bot of this node.
#[derive(Debug, Clone, PartialEq)]
pub struct RuntimeRow {
    /// The ULID of its `bri_` id.
    pub id: Ulid,
    /// What kind of program it is.
    pub kind: String,
    /// Its name for itself.
    pub instance: String,
    /// Its name for people.
    pub display_name: Option<String>,
    /// What it does.
    pub status: String,
    /// Whether it asks for work.
    pub accepting: bool,
    /// What it can do.
    pub capabilities: serde_json::Map<String, serde_json::Value>,
    /// What it does, in words.
    pub status_text: Option<String>,
    /// When it was last heard of, Unix milliseconds.
    pub seen_ms: u64,
    /// When it was first heard of, Unix milliseconds.
    pub created_ms: u64,
    /// When its record last changed, Unix milliseconds.
    pub updated_ms: u64,
}

/// An invocation of a bot of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvocationRow {
    /// Which.
    pub id: InvocationId,
    /// The bot.
    pub bot: Principal,
    /// Why it was summoned.
    pub trigger: Trigger,
    /// Where it stands, as of the last that happened to it.
    pub status: Status,
    /// How often it was claimed.
    pub attempts: u8,
    /// The message that summoned it.
    pub message: Ulid,
    /// The outermost stream of that.
    pub root: StreamId,
    /// The session it is aimed at.
    pub session: Option<String>,
    /// Whether the prompt begins with [`muster_protocol::invocation::summons::PREAMBLE`].
    pub with_preamble: bool,
    /// When it arose, Unix milliseconds.
    pub created_ms: u64,
    /// Until when it is claimed, Unix milliseconds.
    pub until_ms: Option<u64>,
    /// The reply that completed it.
    pub reply: Option<Ulid>,
    /// Why it failed.
    pub reason: Option<String>,
}

/// A step of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    /// The ULID of its `step_` id.
    pub id: Ulid,
    /// What kind of step.
    pub kind: String,
    /// What was done, without secrets.
    pub content: String,
    /// When, Unix milliseconds.
    pub at_ms: u64,
}

impl View {
    /// A runtime of a bot of this node.
    pub fn runtime(
        &self,
        workspace: &WorkspaceRow,
        bot: Principal,
        instance: &str,
    ) -> Result<Option<RuntimeRow>, StoreError> {
        let key = tables::bot_key(self.number(workspace.space)?, bot.ulid(), runtime_name(instance));
        let row = self.txn.open_table(tables::RUNTIMES)?.get(&key)?;
        let Some(record) = row.map(|row| rows::read::<RuntimeRecord>(row.value())).transpose()? else {
            return Ok(None);
        };
        let Ok(serde_json::Value::Object(capabilities)) = serde_json::from_str(&record.capabilities) else {
            return Err(StoreError::Damaged("what a runtime can do cannot be read"));
        };
        Ok(Some(RuntimeRow {
            id: Ulid::from_bytes(record.id.0),
            kind: record.kind,
            instance: record.instance,
            display_name: record.display_name,
            status: record.status,
            accepting: record.accepting,
            capabilities,
            status_text: record.status_text,
            seen_ms: record.seen_ms,
            created_ms: record.created_ms,
            updated_ms: record.updated_ms,
        }))
    }

    /// An invocation of a bot of this node.
    pub fn invocation(
        &self,
        workspace: &WorkspaceRow,
        id: InvocationId,
    ) -> Result<Option<InvocationRow>, StoreError> {
        let key = tables::id_key(self.number(workspace.space)?, id.0.to_bytes());
        let row = self.txn.open_table(tables::INVOCATIONS)?.get(&key)?;
        row.map(|row| invocation_row(id, rows::read(row.value())?)).transpose()
    }

    /// What waits for a bot of this node, the oldest first.
    pub fn invocations_waiting(
        &self,
        workspace: &WorkspaceRow,
        bot: Principal,
    ) -> Result<Vec<InvocationId>, StoreError> {
        let range = tables::queue_range(self.number(workspace.space)?, bot.ulid());
        let queue = self.txn.open_table(tables::INVOCATION_QUEUE)?;
        let mut found = Vec::new();
        for entry in queue.range::<&[u8; 44]>(range.start()..=range.end())? {
            let key = tables::queued(entry?.0.value());
            found.push(InvocationId(Ulid::from_bytes(tables::id_in(&key))));
        }
        Ok(found)
    }

    /// The trace of an invocation of a bot of this node.
    pub fn steps(&self, workspace: &WorkspaceRow, id: InvocationId) -> Result<Vec<StepRow>, StoreError> {
        let key = tables::id_key(self.number(workspace.space)?, id.0.to_bytes());
        let (from, to) = (tables::step_key(&key, 0), tables::step_key(&key, u32::MAX));
        let mut found = Vec::new();
        for entry in self.txn.open_table(tables::STEPS)?.range::<&[u8; 24]>(&from..=&to)? {
            let StepRecord { id, kind, content, at_ms } = rows::read(entry?.1.value())?;
            found.push(StepRow { id: Ulid::from_bytes(id.0), kind, content, at_ms });
        }
        Ok(found)
    }

    /// What the home of a bot last said about an invocation, on whatever node.
    pub fn invocation_said(
        &self,
        workspace: &WorkspaceRow,
        id: InvocationId,
    ) -> Result<Option<InvocationSaid>, StoreError> {
        let subject = Subject::Invocation(self.number(workspace.space)?, id.0);
        let (said, ops) = (self.txn.open_table(tables::NEWEST)?, self.txn.open_table(tables::OPS)?);
        Ok(newest(&said, &ops, subject, |_| true)?.as_ref().and_then(said_in))
    }

    /// Whether the claim, the wait or the memory of an invocation is over.
    pub fn is_invocation_due(&self, now_ms: u64) -> Result<bool, StoreError> {
        let to = tables::time_key(now_ms, &[0xff; 20]);
        let times = self.txn.open_table(tables::INVOCATION_TIMES)?;
        Ok(times.range::<&[u8; 28]>(..=&to)?.next().is_some())
    }

    /// Claims that have not ended by themselves, of all workspaces: which, and until when.
    pub fn open_claims(&self, now_ms: u64) -> Result<Vec<(SpaceId, InvocationId, u64)>, StoreError> {
        // Nothing else is due as soon as that.
        let latest_ms = now_ms.saturating_add(limits::INVOCATION_CLAIM_SECONDS_MAX * 1000);
        let to = tables::time_key(latest_ms, &[0xff; 20]);
        let invocations = self.txn.open_table(tables::INVOCATIONS)?;
        let mut found = Vec::new();
        for entry in self.txn.open_table(tables::INVOCATION_TIMES)?.range::<&[u8; 28]>(..=&to)? {
            let key = tables::timed(entry?.0.value());
            let Some(row) = invocations.get(&key)? else { continue };
            let record: InvocationRecord = rows::read(row.value())?;
            let number = tables::space_in(&key);
            let space = self.state.numbers.iter().find(|(_, known)| **known == number);
            if let (Some((space, _)), Some(until_ms)) = (space, record.work.claimed_until_ms()) {
                found.push((*space, InvocationId(Ulid::from_bytes(tables::id_in(&key))), until_ms));
            }
        }
        Ok(found)
    }
}

fn invocation_row(id: InvocationId, record: InvocationRecord) -> Result<InvocationRow, StoreError> {
    let trigger = Trigger::from_word(&record.trigger);
    let some = |text: String| (!text.is_empty()).then_some(text);
    Ok(InvocationRow {
        id,
        bot: record.bot(),
        trigger: trigger.ok_or(StoreError::Damaged("an invocation has no trigger"))?,
        status: record.work.status(),
        attempts: record.work.fence(),
        message: Ulid::from_bytes(record.message.0),
        root: record.root,
        until_ms: record.work.claimed_until_ms(),
        reply: reply_of(&record),
        session: some(record.session),
        with_preamble: record.with_preamble,
        created_ms: record.created_ms,
        reason: some(record.reason),
    })
}
