//! From version 1 to 2: direct rooms, work, filters of conversations, programs of sessions.
//!
//! Version 1 knew one kind of message, a `say` in a thread. So rooms and pair spaces begin empty; work was named in
//! messages already, and its records are made from them.

use std::collections::BTreeMap;

use muster_protocol::{
    cbor::Bytes,
    ids::StreamId,
    network::{Container, Envelope, WorkId, WorkMessage, WorkRecord, work},
    operation::Operation,
};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde_tuple::Deserialize_tuple;

use crate::{
    StoreError,
    append::op_from_bytes,
    channels::{orders, thread_key},
    inbox::inbox_row_of,
    rows::{
        self, At, ChannelRecord, InboxRecord, MessageRecord, SessionRecord, ThreadRecord, TimelineRow,
        WorkRow,
    },
    tables::{self, Rank},
    work::WorkOrders,
};

#[derive(Deserialize_tuple)]
struct Channel {
    name: String,
    purpose: String,
    created_by: String,
    created_ms: u64,
    last_sequence: u64,
    messages: u64,
    kinds: [u64; 6],
    participants: u64,
    threads: u64,
    last_activity_s: u64,
    last_preview: String,
    last_rank: Bytes,
}

#[derive(Deserialize_tuple)]
struct Thread {
    thread_id: String,
    root_message_id: String,
    root_rank: Bytes,
    title: String,
    opened_by: String,
    opened_s: u64,
    messages: u64,
    participants: u64,
    last_activity_s: u64,
    last_preview: String,
    last_rank: Bytes,
}

#[derive(Deserialize_tuple)]
struct Message {
    at: At,
    stream: StreamId,
    sequence: u64,
}

#[derive(Deserialize_tuple)]
struct Session {
    id: String,
    agent: String,
    provider: String,
    channel: String,
    peer: String,
    stopped: bool,
    stop_reason: String,
    created_ms: u64,
    updated_ms: u64,
    place: u64,
    inbox_next: u64,
    inbox_first: u64,
    inbox_waiting: u64,
}

#[derive(Deserialize_tuple)]
struct Waiting {
    at: At,
    /// The message says it as well.
    _expires_s: i64,
}

/// Messages about work, by space and work.
type Works = BTreeMap<(u32, WorkId), Vec<(Rank, At, WorkMessage)>>;

pub(super) fn to_v2(txn: &WriteTransaction) -> Result<(), StoreError> {
    each(txn, tables::CHANNELS, |_, old: Channel| {
        Ok(ChannelRecord {
            name: old.name,
            purpose: old.purpose,
            created_by: old.created_by,
            created_ms: old.created_ms,
            last_sequence: old.last_sequence,
            messages: old.messages,
            kinds: old.kinds,
            participants: old.participants,
            threads: old.threads,
            rooms: 0,
            open_work: 0,
            last_activity_s: old.last_activity_s,
            last_preview: old.last_preview,
            last_rank: old.last_rank,
        })
    })?;
    each(txn, tables::THREADS, |_, old: Thread| {
        Ok(ThreadRecord {
            thread_id: old.thread_id,
            root_message_id: old.root_message_id,
            root_rank: old.root_rank,
            title: old.title,
            opened_by: old.opened_by,
            opened_s: old.opened_s,
            messages: old.messages,
            participants: old.participants,
            open_work: 0,
            last_activity_s: old.last_activity_s,
            last_preview: old.last_preview,
            last_rank: old.last_rank,
        })
    })?;
    each(txn, tables::MESSAGES, |key: &[u8; 93], old: Message| {
        // Every space was a workspace's own.
        let space = u32::from_be_bytes([key[0], key[1], key[2], key[3]]);
        Ok(MessageRecord { at: old.at, space, stream: old.stream, sequence: old.sequence })
    })?;
    inboxes(txn)?;
    let works = conversations(txn)?;
    decide(txn, works)
}

/// Reads every row of a table as it was, and writes it as it is now.
fn each<const N: usize, O, R>(
    txn: &WriteTransaction,
    table: TableDefinition<'_, &'static [u8; N], &'static [u8]>,
    change: impl Fn(&[u8; N], O) -> Result<R, StoreError>,
) -> Result<(), StoreError>
where
    O: serde::de::DeserializeOwned,
    R: serde::Serialize,
{
    let mut table = txn.open_table(table)?;
    let mut after: Option<[u8; N]> = None;
    loop {
        // Row by row: a store may be larger than memory.
        let next = {
            let from = after.unwrap_or([0; N]);
            let mut rest = table.range::<&[u8; N]>(&from..)?;
            let mut entry = rest.next().transpose()?;
            if after.is_some() && entry.as_ref().is_some_and(|(key, _)| *key.value() == from) {
                entry = rest.next().transpose()?;
            }
            entry
                .map(|(key, row)| Ok::<_, StoreError>((*key.value(), rows::read::<O>(row.value())?)))
                .transpose()?
        };
        let Some((key, old)) = next else { return Ok(()) };
        table.insert(&key, rows::write(&change(&key, old)?).as_slice())?;
        after = Some(key);
    }
}

/// What waits tells its kind, and a session when the next of it expires.
fn inboxes(txn: &WriteTransaction) -> Result<(), StoreError> {
    let ops = txn.open_table(tables::OPS)?;
    let node = txn.open_table(tables::META)?.get("node")?.map(|node| node.value().to_vec());
    each(txn, tables::INBOX, |_, old: Waiting| {
        let op = op_at(&ops, old.at)?;
        let local = node.as_deref() == Some(&op.header().author.as_bytes()[..]);
        Ok(inbox_row_of(old.at, &envelope_of(&op)?, local))
    })?;
    let inbox = txn.open_table(tables::INBOX)?;
    each(txn, tables::SESSIONS, |_, old: Session| {
        let key = crate::batch::inbox_of(&old.id);
        let (from, to) = (tables::inbox_key(key, old.inbox_first), tables::inbox_key(key, old.inbox_next));
        let mut expires_s = 0;
        for entry in inbox.range::<&[u8; 24]>(&from..&to)? {
            let row: InboxRecord = rows::read(entry?.1.value())?;
            if row.expires_s != 0 && (expires_s == 0 || row.expires_s < expires_s) {
                expires_s = row.expires_s;
            }
        }
        Ok(SessionRecord {
            id: old.id,
            agent: old.agent,
            provider: old.provider,
            channel: old.channel,
            peer: old.peer,
            stopped: old.stopped,
            stop_reason: old.stop_reason,
            created_ms: old.created_ms,
            updated_ms: old.updated_ms,
            place: old.place,
            inbox_next: old.inbox_next,
            inbox_first: old.inbox_first,
            inbox_waiting: old.inbox_waiting,
            in_hand: None,
            expires_s,
            failure_kind: String::new(),
            failure_summary: String::new(),
            failures: 0,
            restarts: 0,
        })
    })
}

/// Puts every message into the orders of the filters that keep it, and collects what is about work.
fn conversations(txn: &WriteTransaction) -> Result<Works, StoreError> {
    let ops = txn.open_table(tables::OPS)?;
    let mut order = txn.open_table(tables::ORDER)?;
    let mut works = Works::new();
    for channel in txn.open_table(tables::CHANNELS)?.iter()? {
        let (key, _) = channel?;
        let mut number = [0; 4];
        let mut stream = StreamId([0; 16]);
        number.copy_from_slice(&key.value()[..4]);
        stream.0.copy_from_slice(&key.value()[4..]);
        let (from, to) = (tables::timeline_key(stream, 0), tables::timeline_key(stream, u64::MAX));
        for entry in txn.open_table(tables::TIMELINE)?.range::<&[u8; 24]>(&from..=&to)? {
            let (key, row) = entry?;
            let row: TimelineRow = rows::read(row.value())?;
            if row.void {
                continue;
            }
            let mut sequence = [0; 8];
            sequence.copy_from_slice(&key.value()[16..]);
            let op = op_at(&ops, row.at)?;
            let (envelope, rank) = (envelope_of(&op)?, tables::rank(op.header()));
            if let Some(Container::Thread(thread)) = &envelope.container {
                for of in orders(thread_key(stream, thread), &envelope) {
                    order.insert(&tables::order_key(of, &rank), u64::from_be_bytes(sequence))?;
                }
            }
            if let Some(message) = WorkMessage::of(&envelope).ok().flatten() {
                let of = (u32::from_be_bytes(number), message.work_id.clone());
                works.entry(of).or_default().push((rank, row.at, message));
            }
        }
    }
    Ok(works)
}

/// Decides about all work in people's order.
fn decide(txn: &WriteTransaction, all: Works) -> Result<(), StoreError> {
    let mut steps = txn.open_table(tables::WORK_ORDER)?;
    let mut works = txn.open_table(tables::WORKS)?;
    let mut open: BTreeMap<(u32, String, String), u64> = BTreeMap::new();
    for ((number, id), mut messages) in all {
        messages.sort_by_key(|(rank, _, _)| *rank);
        let (orders, mut stands) = (WorkOrders::new(number, &id), None::<WorkRecord>);
        for (rank, at, message) in messages {
            for of in orders.entered_by(&message) {
                steps.insert(&tables::order_key(of, &rank), rows::write(&at).as_slice())?;
            }
            if let Ok(work::WorkChange::Opened(after) | work::WorkChange::Moved(after)) =
                work::decide(stands.as_ref(), &message)
            {
                let key = tables::order_key(orders.changes, &rank);
                steps.insert(&key, rows::write(&WorkRow::of(&after)).as_slice())?;
                stands = Some(after);
            }
        }
        let Some(record) = stands else { continue };
        works.insert(
            &tables::work_key(number, id.as_str(), number),
            rows::write(&WorkRow::of(&record)).as_slice(),
        )?;
        if !record.state.is_terminal() {
            let of = (number, record.channel.as_str().to_owned(), record.container.id().to_owned());
            *open.entry(of).or_default() += 1;
        }
    }
    let spaces: BTreeMap<u32, [u8; 32]> = txn
        .open_table(tables::SPACES)?
        .iter()?
        .map(|entry| entry.map(|(space, number)| (number.value(), *space.value())))
        .collect::<Result<_, _>>()?;
    let (mut channels, mut threads) = (txn.open_table(tables::CHANNELS)?, txn.open_table(tables::THREADS)?);
    for ((number, channel, thread), open) in open {
        let Some(space) = spaces.get(&number) else { continue };
        let stream = StreamId::channel(muster_protocol::ids::SpaceId(*space), &channel);
        let key = tables::named_key(number, stream.0);
        change(&mut channels, &key, |record: &mut ChannelRecord| record.open_work += open)?;
        let thread = tables::short(&stream.0, &thread);
        let key = tables::pair_key(stream.0, thread);
        change(&mut threads, &key, |record: &mut ThreadRecord| record.open_work += open)?;
    }
    Ok(())
}

fn change<const N: usize, R: serde::Serialize + serde::de::DeserializeOwned>(
    table: &mut redb::Table<'_, &'static [u8; N], &'static [u8]>,
    key: &[u8; N],
    change: impl FnOnce(&mut R),
) -> Result<(), StoreError> {
    let row = table.get(key)?.map(|row| rows::read::<R>(row.value())).transpose()?;
    let Some(mut row) = row else { return Ok(()) };
    change(&mut row);
    table.insert(key, rows::write(&row).as_slice())?;
    Ok(())
}

fn op_at(
    ops: &impl ReadableTable<&'static [u8; 12], &'static [u8]>,
    at: At,
) -> Result<Operation, StoreError> {
    let bytes = ops.get(&tables::op_key(at.log, at.seq))?;
    op_from_bytes(bytes.ok_or(StoreError::Damaged("an operation that is pointed at is missing"))?.value())
}

fn envelope_of(op: &Operation) -> Result<Envelope, StoreError> {
    let envelope = op.body().and_then(|body| Envelope::parse(body).ok());
    envelope.ok_or(StoreError::Damaged("a message that took effect cannot be read"))
}
