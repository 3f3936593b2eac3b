//! Inboxes: what waits for a session, what its program has in hand, and what leaves without being taken up
//! (N-97 to N-102).
//!
//! An envelope that was handed to a program stays in the table, in front of what waits, until the program is
//! through with it: a crash in between hands it over again.

use muster_protocol::{
    ids::SpaceId,
    mutants::{self, Mutant},
    network::Envelope,
};
use redb::ReadableTable;

use crate::{
    StoreError,
    batch::{Batch, inbox_of},
    changes::{DeliveryChange, Outcome},
    channels::kind_index,
    rows::{self, At, InboxRecord, JournalRecord, SessionRecord},
    tables,
};

/// Bits of [`InboxRecord::tags`].
const LOCAL: u8 = 1;
const WORKFLOW: u8 = 2;
const HANDOFF: u8 = 4;

/// An envelope in the hands of a session's program.
#[derive(Debug, Clone, PartialEq)]
pub struct HandedOver {
    /// Its number in the inbox; [`Batch::hand_over`] takes it back with it.
    pub number: u64,
    /// What it is.
    pub envelope: Envelope,
}

/// What went wrong with a session's program (N-120).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramFailure {
    /// What kind of thing, in the words of the door.
    pub kind: String,
    /// It in a sentence, without anything the program said.
    pub summary: String,
    /// How many in a row.
    pub in_a_row: u64,
}

impl Batch<'_> {
    /// Queues an envelope. When the inbox is full, what expired goes first, then the oldest (N-97, N-102).
    pub(crate) fn put_in_inbox(
        &mut self,
        space: SpaceId,
        session: &str,
        at: At,
        envelope: &Envelope,
        local: bool,
    ) -> Result<(), StoreError> {
        let Some(mut record) = self.session(space, session)? else { return Ok(()) };
        let row = inbox_row_of(at, envelope, local);
        let key = tables::inbox_key(inbox_of(session), record.inbox_next);
        self.inbox.insert(&key, rows::write(&row).as_slice())?;
        record.inbox_next += 1;
        record.inbox_waiting += 1;
        record.expires_at_most(row.expires_s);
        self.drop_expired(space, &mut record)?;
        while record.inbox_waiting > self.memory.inbox_depth && !mutants::is(Mutant::EndlessInbox) {
            let Some((number, oldest)) = self.oldest(&record)? else { break };
            self.take_out(&mut record, number)?;
            self.journal_delivery(space, &record, &oldest, Outcome::Overflow)?;
        }
        self.put_waiting(space, record)
    }

    /// Takes back the envelope a session's program is through with, which counts as delivered, and hands it the
    /// next one (N-99). What was in hand when the node went down is handed over again.
    pub fn hand_over(
        &mut self,
        space: SpaceId,
        session: &str,
        finished: Option<u64>,
    ) -> Result<Option<HandedOver>, StoreError> {
        let Some(mut record) = self.session(space, session)?.filter(|record| !record.stopped) else {
            return Ok(None);
        };
        // What was taken back meanwhile, because it no longer counts, is not in hand any more.
        if let Some(number) = finished.filter(|_| record.in_hand == finished) {
            let row = self.inbox_row(session, number)?;
            self.inbox.remove(&tables::inbox_key(inbox_of(session), number))?;
            record.in_hand = None;
            record.updated_ms = self.now_ms();
            self.journal_delivery(space, &record, &row, Outcome::Delivered)?;
            if record.failures > 0 {
                (record.failures, record.failure_kind, record.failure_summary) = Default::default();
                self.note_session(space, &record)?;
            }
        }
        self.put_back(&mut record)?;
        self.drop_expired(space, &mut record)?;
        let mut handed = None;
        if let Some((number, row)) = self.oldest(&record)? {
            record.in_hand = Some(number);
            record.inbox_first = number + 1;
            record.inbox_waiting = record.inbox_waiting.saturating_sub(1);
            handed = Some(HandedOver { number, envelope: self.envelope_at(row.at)?.0 });
        }
        self.put_waiting(space, record)?;
        Ok(handed)
    }

    /// Notes that the program of a session failed; what it had in hand goes back to the front (N-100). An event
    /// tells of it when it is news.
    pub fn session_failed(
        &mut self,
        space: SpaceId,
        session: &str,
        failure: &ProgramFailure,
        news: bool,
    ) -> Result<(), StoreError> {
        let Some(mut record) = self.session(space, session)?.filter(|record| !record.stopped) else {
            return Ok(());
        };
        self.put_back(&mut record)?;
        let news = news || record.failure_kind != failure.kind || record.failure_summary != failure.summary;
        record.failure_kind.clone_from(&failure.kind);
        record.failure_summary.clone_from(&failure.summary);
        record.failures = failure.in_a_row;
        record.restarts += 1;
        record.updated_ms = self.now_ms();
        if news {
            self.note_session(space, &record)?;
        }
        self.put_waiting(space, record)
    }

    /// Drops what expired while it waited, in at most so many inboxes (N-102).
    pub fn sweep_inboxes(&mut self, sessions_max: usize) -> Result<(), StoreError> {
        let now_s = self.now_s();
        let due: Vec<_> = self.memory.expiries.iter().filter(|(_, expires_s)| **expires_s <= now_s).collect();
        let due: Vec<_> = due.into_iter().take(sessions_max).map(|(of, _)| of.clone()).collect();
        for (space, session) in due {
            match self.session(space, &session)? {
                Some(mut record) => {
                    self.drop_expired(space, &mut record)?;
                    self.put_waiting(space, record)?;
                }
                None => drop(self.memory.expiries.remove(&(space, session))),
            }
        }
        self.memory.next_expiry_s = self.memory.expiries.values().copied().min().unwrap_or(i64::MAX);
        Ok(())
    }

    /// The row of a session, and when the next of its envelopes expires.
    fn put_waiting(&mut self, space: SpaceId, record: SessionRecord) -> Result<(), StoreError> {
        self.memory.expires(space, &record);
        self.put_session(space, record)
    }

    /// The oldest envelope that waits.
    fn oldest(&self, record: &SessionRecord) -> Result<Option<(u64, InboxRecord)>, StoreError> {
        let inbox = inbox_of(&record.id);
        let (from, to) =
            (tables::inbox_key(inbox, record.inbox_first), tables::inbox_key(inbox, record.inbox_next));
        let Some((key, row)) = self.inbox.range::<&[u8; 24]>(&from..&to)?.next().transpose()? else {
            return Ok(None);
        };
        Ok(Some((tables::inbox_number(key.value()), rows::read(row.value())?)))
    }

    fn inbox_row(&self, session: &str, number: u64) -> Result<InboxRecord, StoreError> {
        let row = self.inbox.get(&tables::inbox_key(inbox_of(session), number))?;
        rows::read(row.ok_or(StoreError::Damaged("an envelope in hand is missing"))?.value())
    }

    /// Takes one that waits away.
    fn take_out(&mut self, record: &mut SessionRecord, number: u64) -> Result<(), StoreError> {
        self.inbox.remove(&tables::inbox_key(inbox_of(&record.id), number))?;
        record.inbox_waiting = record.inbox_waiting.saturating_sub(1);
        if number == record.inbox_first {
            record.inbox_first += 1;
        }
        Ok(())
    }

    /// Puts the envelope in hand back to the front of its inbox (N-100).
    fn put_back(&mut self, record: &mut SessionRecord) -> Result<(), StoreError> {
        if let Some(number) = record.in_hand.take() {
            let row = self.inbox_row(&record.id, number)?;
            record.inbox_first = number;
            record.inbox_waiting += 1;
            record.expires_at_most(row.expires_s);
        }
        Ok(())
    }

    /// Drops what expired while it waited (N-102). Costs nothing until something is due.
    fn drop_expired(&mut self, space: SpaceId, record: &mut SessionRecord) -> Result<(), StoreError> {
        let now_s = self.now_s();
        if record.expires_s == 0 || record.expires_s > now_s {
            return Ok(());
        }
        let inbox = inbox_of(&record.id);
        let (from, to) =
            (tables::inbox_key(inbox, record.inbox_first), tables::inbox_key(inbox, record.inbox_next));
        let mut expired = Vec::new();
        record.expires_s = 0;
        for entry in self.inbox.range::<&[u8; 24]>(&from..&to)? {
            let (key, row) = entry?;
            let row: InboxRecord = rows::read(row.value())?;
            if row.expires_s != 0 && row.expires_s <= now_s {
                expired.push((tables::inbox_number(key.value()), row));
            } else {
                record.expires_at_most(row.expires_s);
            }
        }
        for (number, row) in expired {
            self.take_out(record, number)?;
            self.journal_delivery(space, record, &row, Outcome::Expired)?;
        }
        Ok(())
    }

    /// Tells what became of an envelope that was for a session.
    fn journal_delivery(
        &mut self,
        space: SpaceId,
        record: &SessionRecord,
        row: &InboxRecord,
        outcome: Outcome,
    ) -> Result<(), StoreError> {
        let mut data = serde_json::json!({
            "session_id": record.id, "peer_id": record.peer, "channel": record.channel,
            "outcome": outcome.as_str(),
        });
        if let Some(reason) = outcome.reason() {
            data["reason"] = reason.into();
        }
        let (number, at_ms) = (self.space_number(space)?, self.now_ms());
        self.journal(&JournalRecord {
            kind: "delivery".to_owned(),
            space: number,
            at_ms,
            place: vec![row.at],
            data: data.to_string(),
        })?;
        let kind = crate::channels::kind_at(row.kind)?;
        let has = |bit: u8| row.tags & bit != 0;
        self.changes.deliveries.push(DeliveryChange {
            space,
            session: record.id.clone(),
            kind,
            from: row.from.clone(),
            local: has(LOCAL),
            outcome,
            workflow: has(WORKFLOW),
            handoff: has(HANDOFF),
        });
        Ok(())
    }

    /// Tells how a session stands.
    pub(crate) fn note_session(&mut self, space: SpaceId, record: &SessionRecord) -> Result<(), StoreError> {
        let mut data = serde_json::json!({
            "session_id": record.id, "agent_name": record.agent, "channel": record.channel,
            "peer_id": record.peer, "state": if record.stopped { "stopped" } else { "active" },
        });
        if !record.failure_kind.is_empty() {
            data["failure"] =
                serde_json::json!({ "kind": record.failure_kind, "summary": record.failure_summary });
        }
        self.note(space, "session", &data)
    }
}

/// What is kept of an envelope that waits.
pub(crate) fn inbox_row_of(at: At, envelope: &Envelope, local: bool) -> InboxRecord {
    let tagged = |name: &str| envelope.ext.as_ref().is_some_and(|ext| ext.contains_key(name));
    InboxRecord {
        at,
        expires_s: envelope.expires_at.unwrap_or(0),
        kind: kind_index(envelope.kind) as u8,
        tags: [
            (local, LOCAL),
            (tagged("agh.workflow_id"), WORKFLOW),
            (tagged("agh.handoff_version"), HANDOFF),
        ]
        .into_iter()
        .fold(0, |tags, (is, tag)| if is { tags | tag } else { tags }),
        from: envelope.from.as_str().to_owned(),
    }
}

impl SessionRecord {
    /// One that expires then waits, too; zero for never.
    fn expires_at_most(&mut self, expires_s: i64) {
        if expires_s != 0 && (self.expires_s == 0 || expires_s < self.expires_s) {
            self.expires_s = expires_s;
        }
    }
}
