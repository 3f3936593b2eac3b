//! Streams of the Workspace door, who may read them, and who takes part (W-32 to W-38, W-75 to W-80).

use std::collections::BTreeSet;

use muster_protocol::{
    ids::{SpaceId, StreamId},
    operation::Operation,
    principal::{Principal, Slug},
    stream::{StreamKind, StreamPart},
};
use ulid::Ulid;

use super::{View, WorkspaceRow};
use crate::{
    StoreError,
    newest::newest,
    rows::{self, ChannelRecord, StreamRecord},
    streams::{self, part_of},
    tables::{self, Subject},
};

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRow {
    /// Which.
    pub id: StreamId,
    /// The space it rests in.
    pub space: SpaceId,
    /// What kind.
    pub kind: StreamKind,
    /// The stream it hangs in, or itself.
    pub root: StreamId,
    /// Whether everybody in the workspace may read it: whether its root is a public channel (W-38).
    pub is_public: bool,
    /// Of a channel.
    pub slug: Option<String>,
    /// The name it was given.
    pub name: Option<String>,
    /// What it is for, if somebody said.
    pub description: Option<String>,
    /// Of a thread: its name in the Network door.
    pub thread_name: Option<String>,
    /// Of a thread: the message it hangs from, if that is known.
    pub parent_message: Option<Ulid>,
    /// Unix milliseconds.
    pub opened_ms: u64,
    /// Since when it is archived, Unix milliseconds.
    pub archived_ms: Option<u64>,
    /// The bot that answers in it (W-123).
    pub active_actor: Option<Principal>,
    /// Messages in it.
    pub live: u64,
}

/// Who takes part in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRow {
    /// Who.
    pub id: Principal,
    /// Since when, Unix milliseconds.
    pub joined_ms: u64,
}

impl View {
    /// A stream, whoever may read it.
    pub fn stream(&self, workspace: &WorkspaceRow, id: StreamId) -> Result<Option<StreamRow>, StoreError> {
        let Some(record) = self.stream_record(workspace, id)? else { return Ok(None) };
        let kind = StreamKind::from_word(&record.kind);
        let Some(kind) = kind else { return Ok(None) }; // nobody opened it yet, as far as is known here
        let opened = self.part(id, streams::OPENED)?;
        let exists = match kind {
            StreamKind::Channel if !record.channel.is_empty() => self.channel_exists(workspace, id)?,
            StreamKind::Thread => opened.is_some() || record.live > 0,
            _ => opened.is_some(),
        };
        if !exists {
            return Ok(None);
        }
        let text = |part: Option<(StreamPart, u64)>| match part {
            Some((StreamPart::Name(text) | StreamPart::Description(text), _)) if !text.is_empty() => {
                Some(text)
            }
            _ => None,
        };
        let archived = self.part(id, streams::ARCHIVED)?;
        let actor = self.part(id, streams::ACTIVE_ACTOR)?;
        let is_named = kind == StreamKind::Channel && !record.channel.is_empty();
        let description = match text(self.part(id, streams::DESCRIPTION)?) {
            None if is_named => self.purpose(workspace, id)?.filter(|purpose| *purpose != record.channel),
            said => said,
        };
        let private_slug = match opened {
            Some((StreamPart::Opened { slug, .. }, _)) => slug.map(|slug: Slug| slug.to_string()),
            _ => None,
        };
        let space = self.state.spaces.get(&record.space).copied();
        Ok(Some(StreamRow {
            id,
            space: space.ok_or(StoreError::Damaged("a stream rests in no space"))?,
            kind,
            root: record.root,
            is_public: !record.channel.is_empty(),
            slug: if is_named { Some(record.channel.clone()) } else { private_slug },
            name: text(self.part(id, streams::NAME)?),
            description,
            thread_name: (!record.thread.is_empty()).then_some(record.thread),
            parent_message: <[u8; 16]>::try_from(record.parent.0.as_slice()).ok().map(Ulid::from_bytes),
            opened_ms: record.opened_ms,
            archived_ms: match archived {
                Some((StreamPart::Archived(true), at_ms)) => Some(at_ms),
                _ => None,
            },
            active_actor: match actor {
                Some((StreamPart::ActiveActor(bot), _)) => bot,
                _ => None,
            },
            live: record.live,
        }))
    }

    /// Whether somebody may read a stream (W-32, W-33).
    pub fn may_read(
        &self,
        workspace: &WorkspaceRow,
        stream: &StreamRow,
        reader: Principal,
    ) -> Result<bool, StoreError> {
        Ok(stream.is_public || self.takes_part(workspace, stream.root, reader)?)
    }

    /// Whether somebody takes part in a root stream (W-36).
    pub fn takes_part(
        &self,
        workspace: &WorkspaceRow,
        root: StreamId,
        principal: Principal,
    ) -> Result<bool, StoreError> {
        let key = tables::part_key(self.number(workspace.space)?, principal, root);
        Ok(self.txn.open_table(tables::PARTS)?.get(&key)?.is_some())
    }

    /// Streams in the order of their opening, from behind `after` (the time and id of the last one seen) on (W-42),
    /// as far as `fits` holds.
    pub fn streams(
        &self,
        workspace: &WorkspaceRow,
        after: Option<(u64, StreamId)>,
        mut fits: impl FnMut(&StreamRow) -> Result<bool, StoreError>,
        limit: usize,
    ) -> Result<Vec<StreamRow>, StoreError> {
        let number = self.number(workspace.space)?;
        let from = after.map_or([0; 28], |(ms, id)| tables::stream_order_key(number, ms, id));
        let from = from.max(tables::stream_order_key(number, 0, StreamId([0; 16])));
        let to = tables::stream_order_key(number, u64::MAX, StreamId([0xff; 16]));
        let mut found = Vec::new();
        for entry in self.txn.open_table(tables::STREAM_ORDER)?.range::<&[u8; 28]>(&from..=&to)? {
            let id = tables::ordered_stream(entry?.0.value());
            if after.is_some_and(|(_, seen)| seen == id) {
                continue;
            }
            if let Some(row) = self.stream(workspace, id)?
                && fits(&row)?
            {
                found.push(row);
                if found.len() == limit {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// The root streams that somebody can read and that are not archived (W-32, W-33, W-81): all public channels, and the
    /// private streams they take part in. Without a reader the public ones alone.
    pub fn readable_roots(
        &self,
        workspace: &WorkspaceRow,
        reader: Option<Principal>,
    ) -> Result<BTreeSet<StreamId>, StoreError> {
        let mut readable = BTreeSet::new();
        for root in self.roots_of(workspace, reader)? {
            if self.stream(workspace, root)?.is_some_and(|row| row.archived_ms.is_none()) {
                readable.insert(root);
            }
        }
        Ok(readable)
    }

    /// The same, with those that are archived.
    pub fn roots_of(
        &self,
        workspace: &WorkspaceRow,
        reader: Option<Principal>,
    ) -> Result<BTreeSet<StreamId>, StoreError> {
        let number = self.number(workspace.space)?;
        let (from, to) = (tables::named_key(number, [0; 16]), tables::named_key(number, [0xff; 16]));
        let mut roots = BTreeSet::new();
        for entry in self.txn.open_table(tables::CHANNELS)?.range::<&[u8; 20]>(&from..=&to)? {
            roots.insert(StreamId(tables::id_in(entry?.0.value())));
        }
        if let Some(reader) = reader {
            roots.extend(self.parts_of(workspace, reader)?);
        }
        Ok(roots)
    }

    /// The root streams that somebody takes part in.
    pub fn parts_of(
        &self,
        workspace: &WorkspaceRow,
        principal: Principal,
    ) -> Result<Vec<StreamId>, StoreError> {
        let number = self.number(workspace.space)?;
        let from = tables::part_key(number, principal, StreamId([0; 16]));
        let to = tables::part_key(number, principal, StreamId([0xff; 16]));
        let mut found = Vec::new();
        for entry in self.txn.open_table(tables::PARTS)?.range::<&[u8; 37]>(&from..=&to)? {
            found.push(tables::part_stream(entry?.0.value()));
        }
        Ok(found)
    }

    /// Who takes part in a root stream, the first that joined first, from behind `after` on (W-42).
    pub fn members_of(
        &self,
        stream: StreamId,
        after: Option<&PartRow>,
        limit: usize,
    ) -> Result<Vec<PartRow>, StoreError> {
        let lowest = Principal::User(Ulid::nil());
        let highest = Principal::Bot(Ulid::from_bytes([0xff; 16]));
        let from = after.map_or(tables::member_key(stream, 0, lowest), |row| {
            tables::member_key(stream, row.joined_ms, row.id)
        });
        let to = tables::member_key(stream, u64::MAX, highest);
        let mut found = Vec::new();
        for entry in self.txn.open_table(tables::MEMBERS)?.range::<&[u8; 41]>(&from..=&to)? {
            let (joined_ms, id) = tables::member_in(entry?.0.value());
            if after.is_some_and(|seen| (seen.joined_ms, seen.id) == (joined_ms, id)) {
                continue;
            }
            found.push(PartRow { id, joined_ms });
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }

    pub(super) fn stream_record(
        &self,
        workspace: &WorkspaceRow,
        id: StreamId,
    ) -> Result<Option<StreamRecord>, StoreError> {
        let key = tables::id_key(self.number(workspace.space)?, id.0);
        self.txn.open_table(tables::STREAMS)?.get(&key)?.map(|row| rows::read(row.value())).transpose()
    }

    fn part(&self, stream: StreamId, part: u8) -> Result<Option<(StreamPart, u64)>, StoreError> {
        let (said, ops) = (self.txn.open_table(tables::NEWEST)?, self.txn.open_table(tables::OPS)?);
        let op = newest(&said, &ops, Subject::Stream(stream, part), |_| true)?;
        let said_at = |op: Operation| part_of(&op).map(|part| (part, op.header().hlc.ms()));
        Ok(op.and_then(said_at))
    }

    fn channel_record(
        &self,
        workspace: &WorkspaceRow,
        stream: StreamId,
    ) -> Result<Option<ChannelRecord>, StoreError> {
        let key = tables::named_key(self.number(workspace.space)?, stream.0);
        self.txn.open_table(tables::CHANNELS)?.get(&key)?.map(|row| rows::read(row.value())).transpose()
    }

    fn channel_exists(&self, workspace: &WorkspaceRow, stream: StreamId) -> Result<bool, StoreError> {
        Ok(self.channel_record(workspace, stream)?.is_some_and(|record| record.exists()))
    }

    fn purpose(&self, workspace: &WorkspaceRow, stream: StreamId) -> Result<Option<String>, StoreError> {
        let record = self.channel_record(workspace, stream)?;
        Ok(record.map(|record| record.purpose).filter(|purpose| !purpose.is_empty()))
    }
}
