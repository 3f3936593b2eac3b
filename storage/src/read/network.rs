//! Channels, threads, sessions and inboxes of the Network door.

use super::{View, WorkspaceRow};
use crate::{
    StoreError,
    batch::{inbox_of, session_key},
    channels::{kind_counts, thread_key},
    inbox::ProgramFailure,
    rows::{self, ChannelRecord, InboxRecord, SessionRecord, ThreadRecord},
    tables::{self, Short},
};
use muster_protocol::{
    ids::StreamId,
    network::{ChannelName, Envelope, Kind, PeerName, ThreadId},
};

/// A channel with its counters (N-114).
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelRow {
    /// Its name.
    pub name: ChannelName,
    /// Why it exists, if somebody said.
    pub purpose: Option<String>,
    /// The first agent of the call that made it.
    pub created_by: Option<String>,
    /// When, Unix milliseconds.
    pub created_ms: Option<u64>,
    /// Public messages.
    pub message_count: u64,
    /// Distinct peers ever seen as sender or target.
    pub historical_participant_count: u64,
    /// Time of the newest public message, Unix milliseconds.
    pub last_activity_ms: Option<u64>,
    /// Its preview.
    pub last_message_preview: String,
    /// Public messages by kind, in the order of N-115, without zeros.
    pub kind_counts: Vec<(Kind, u64)>,
    /// Threads with at least one message.
    pub threads: u64,
    /// Direct rooms of peers of this node.
    pub rooms: u64,
    /// Work in its threads and rooms that has not ended.
    pub open_work: u64,
}

/// A thread (N-105).
#[derive(Debug, Clone, PartialEq)]
pub struct ThreadRow {
    /// Its id.
    pub thread_id: ThreadId,
    /// Its channel.
    pub channel: ChannelName,
    /// The message that opened it.
    pub root_message_id: String,
    /// That message's preview.
    pub title: String,
    /// That message's sender.
    pub opened_by: PeerName,
    /// That sender's session, when it is one.
    pub opened_session: Option<String>,
    /// Unix milliseconds.
    pub opened_ms: u64,
    /// Unix milliseconds.
    pub last_activity_ms: u64,
    /// All its messages.
    pub message_count: u64,
    /// Distinct senders.
    pub participant_count: u64,
    /// Its work that has not ended (N-52).
    pub open_work_count: u64,
    /// The newest message's preview.
    pub last_message_preview: String,
}

/// How many stopped sessions a list shows besides those at work: enough to look back, and no list grows with
/// a node's age. Each can still be read by its id.
pub const STOPPED_SESSIONS_SHOWN: usize = 100;

/// A page cursor that names nothing in the list (N-106, N-109).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor names nothing in this list")]
pub struct UnknownCursor;

/// The state of a session (N-120).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// Takes part.
    Active,
    /// Left its channel for good.
    Stopped,
}

/// A session of this node.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRow {
    /// Its id.
    pub id: String,
    /// Its agent.
    pub agent_name: String,
    /// What runs the agent.
    pub provider: String,
    /// Its channel.
    pub channel: ChannelName,
    /// Its peer there.
    pub peer: PeerName,
    /// Whether it takes part.
    pub state: SessionState,
    /// Unix milliseconds.
    pub created_ms: u64,
    /// Unix milliseconds.
    pub updated_ms: u64,
    /// Why it stopped.
    pub stop_reason: Option<String>,
    /// Envelopes in its inbox.
    pub waiting: u64,
    /// Whether its program works on an envelope.
    pub busy: bool,
    /// What went wrong with its program, and has not been well since.
    pub failure: Option<ProgramFailure>,
    /// How often its program had to be started again after a failure.
    pub restarts: u64,
}

pub(super) fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

impl View {
    /// All channels that were opened or have messages, by name. Those that only have a session or a visible
    /// peer are the caller's to add (N-112).
    pub fn channels(&self, workspace: &WorkspaceRow) -> Result<Vec<ChannelRow>, StoreError> {
        let number = self.number(workspace.space)?;
        let (from, to) = (tables::named_key(number, [0; 16]), tables::named_key(number, [0xff; 16]));
        let mut channels = Vec::new();
        for entry in self.txn.open_table(tables::CHANNELS)?.range::<&[u8; 20]>(&from..=&to)? {
            let record: ChannelRecord = rows::read(entry?.1.value())?;
            if record.exists() {
                channels.push(channel_row(record)?);
            }
        }
        channels.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(channels)
    }

    /// One channel.
    pub fn channel(
        &self,
        workspace: &WorkspaceRow,
        name: &ChannelName,
    ) -> Result<Option<ChannelRow>, StoreError> {
        let stream = StreamId::channel(workspace.space, name.as_str());
        let key = tables::named_key(self.number(workspace.space)?, stream.0);
        let row = self.txn.open_table(tables::CHANNELS)?.get(&key)?;
        let record: Option<ChannelRecord> = row.map(|row| rows::read(row.value())).transpose()?;
        record.filter(ChannelRecord::exists).map(channel_row).transpose()
    }

    /// Threads of a channel, newest activity first, ties by ascending id (N-106).
    pub fn threads(
        &self,
        workspace: &WorkspaceRow,
        channel: &ChannelName,
        after: Option<&ThreadId>,
        limit: usize,
    ) -> Result<Result<Vec<ThreadRow>, UnknownCursor>, StoreError> {
        let stream = StreamId::channel(workspace.space, channel.as_str());
        let mut from = stream.0.to_vec();
        if let Some(after) = after {
            let Some(record) = self.thread_record(stream, thread_key(stream, after))? else {
                return Ok(Err(UnknownCursor));
            };
            from = tables::recent_key(stream.0, record.last_activity_s, &record.thread_id);
            from.push(0); // the key right behind it
        }
        let to = [&stream.0[..], &[0xff; 16]].concat();
        let mut threads = Vec::new();
        for entry in
            self.txn.open_table(tables::THREAD_RECENT)?.range(from.as_slice()..to.as_slice())?.take(limit)
        {
            let key: Short = *entry?.1.value();
            if let Some(record) = self.thread_record(stream, key)? {
                threads.push(thread_row(record, channel)?);
            }
        }
        Ok(Ok(threads))
    }

    /// One thread.
    pub fn thread(
        &self,
        workspace: &WorkspaceRow,
        channel: &ChannelName,
        id: &ThreadId,
    ) -> Result<Option<ThreadRow>, StoreError> {
        let stream = StreamId::channel(workspace.space, channel.as_str());
        let record = self.thread_record(stream, thread_key(stream, id))?;
        record.map(|record| thread_row(record, channel)).transpose()
    }

    fn thread_record(&self, stream: StreamId, key: Short) -> Result<Option<ThreadRecord>, StoreError> {
        let row = self.txn.open_table(tables::THREADS)?.get(&tables::pair_key(stream.0, key))?;
        let record: Option<ThreadRecord> = row.map(|row| rows::read(row.value())).transpose()?;
        Ok(record.filter(|record| record.messages > 0))
    }

    /// The sessions of this node in a workspace: those at work, oldest first, then the
    /// [`STOPPED_SESSIONS_SHOWN`] that stopped last, newest first.
    pub fn sessions(&self, workspace: &WorkspaceRow) -> Result<Vec<SessionRow>, StoreError> {
        let mut sessions = self.active_sessions(workspace)?;
        sessions.extend(self.ordered_sessions(workspace, true, STOPPED_SESSIONS_SHOWN)?);
        Ok(sessions)
    }

    /// The sessions of this node that are at work in a workspace, oldest first.
    pub fn active_sessions(&self, workspace: &WorkspaceRow) -> Result<Vec<SessionRow>, StoreError> {
        self.ordered_sessions(workspace, false, usize::MAX)
    }

    fn ordered_sessions(
        &self,
        workspace: &WorkspaceRow,
        stopped: bool,
        limit: usize,
    ) -> Result<Vec<SessionRow>, StoreError> {
        let number = self.number(workspace.space)?;
        let bound = |end: u8| {
            let mut key = [end; 29];
            key[..4].copy_from_slice(&number.to_be_bytes());
            key[4] = u8::from(stopped);
            key
        };
        let (from, to) = (bound(0), bound(0xff));
        let order = self.txn.open_table(tables::SESSION_ORDER)?;
        let stored = self.txn.open_table(tables::SESSIONS)?;
        let mut sessions = Vec::new();
        for entry in order.range::<&[u8; 29]>(&from..=&to)?.take(limit) {
            let row = stored.get(&tables::ordered_session(entry?.0.value()))?;
            let row = row.ok_or(StoreError::Damaged("a session that is pointed at is missing"))?;
            sessions.push(session_row(rows::read(row.value())?)?);
        }
        Ok(sessions)
    }

    /// One session of this node.
    pub fn session(&self, workspace: &WorkspaceRow, id: &str) -> Result<Option<SessionRow>, StoreError> {
        self.session_record(workspace, id)?.map(session_row).transpose()
    }

    fn session_record(
        &self,
        workspace: &WorkspaceRow,
        id: &str,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let key = session_key(self.number(workspace.space)?, id);
        let row = self.txn.open_table(tables::SESSIONS)?.get(&key)?;
        row.map(|row| rows::read(row.value())).transpose()
    }

    /// What waits for a session, oldest first, without what has expired by `now_s` (N-98, N-102).
    pub fn inbox(
        &self,
        workspace: &WorkspaceRow,
        session: &str,
        now_s: i64,
    ) -> Result<Vec<Envelope>, StoreError> {
        let Some(record) = self.session_record(workspace, session)? else { return Ok(Vec::new()) };
        let key = inbox_of(session);
        let (from, to) =
            (tables::inbox_key(key, record.inbox_first), tables::inbox_key(key, record.inbox_next));
        let mut waiting = Vec::new();
        for entry in self.txn.open_table(tables::INBOX)?.range::<&[u8; 24]>(&from..&to)? {
            let row: InboxRecord = rows::read(entry?.1.value())?;
            if row.expires_s != 0 && row.expires_s <= now_s {
                continue;
            }
            let op = self.op(row.at)?;
            waiting.extend(self.envelope_of(&op)?);
        }
        Ok(waiting)
    }
}

pub(super) fn damaged_name<E>(_: E) -> StoreError {
    StoreError::Damaged("a stored name is outside its grammar")
}

fn channel_row(record: ChannelRecord) -> Result<ChannelRow, StoreError> {
    let kind_counts = kind_counts(&record);
    Ok(ChannelRow {
        name: ChannelName::parse(&record.name).map_err(damaged_name)?,
        purpose: some(record.purpose),
        created_by: some(record.created_by),
        created_ms: (record.created_ms > 0).then_some(record.created_ms),
        message_count: kind_counts.iter().map(|(_, count)| count).sum(),
        historical_participant_count: record.participants,
        last_activity_ms: (record.last_activity_s > 0).then_some(record.last_activity_s * 1000),
        last_message_preview: record.last_preview,
        kind_counts,
        threads: record.threads,
        rooms: record.rooms,
        open_work: record.open_work,
    })
}

fn thread_row(record: ThreadRecord, channel: &ChannelName) -> Result<ThreadRow, StoreError> {
    let opened_by = PeerName::parse(&record.opened_by).map_err(damaged_name)?;
    Ok(ThreadRow {
        thread_id: ThreadId::parse(&record.thread_id).map_err(damaged_name)?,
        channel: channel.clone(),
        root_message_id: record.root_message_id,
        title: record.title,
        opened_session: muster_protocol::session::session_of(&opened_by).map(str::to_owned),
        opened_by,
        opened_ms: record.opened_s * 1000,
        last_activity_ms: record.last_activity_s * 1000,
        message_count: record.messages,
        participant_count: record.participants,
        open_work_count: record.open_work,
        last_message_preview: record.last_preview,
    })
}

fn session_row(record: SessionRecord) -> Result<SessionRow, StoreError> {
    Ok(SessionRow {
        channel: ChannelName::parse(&record.channel).map_err(damaged_name)?,
        peer: PeerName::parse(&record.peer).map_err(damaged_name)?,
        id: record.id,
        agent_name: record.agent,
        provider: record.provider,
        state: if record.stopped { SessionState::Stopped } else { SessionState::Active },
        created_ms: record.created_ms,
        updated_ms: record.updated_ms,
        stop_reason: some(record.stop_reason),
        waiting: record.inbox_waiting,
        busy: record.in_hand.is_some(),
        failure: (!record.failure_kind.is_empty()).then_some(ProgramFailure {
            kind: record.failure_kind,
            summary: record.failure_summary,
            in_a_row: record.failures,
        }),
        restarts: record.restarts,
    })
}
