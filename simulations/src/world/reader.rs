//! A reader at every node: pages through timelines, rooms and events while they grow, as an agent would that
//! polls. It must meet everything exactly once, in an order that never changes, also across crashes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use muster_actors::{Node, ports::Clock};
use muster_protocol::network::ChannelName;
use muster_storage::{EventRow, MessagePage, MessageRow, StoreError, View, WorkspaceRow};
use rand::RngExt;

use super::{
    Machine,
    ledger::{Key, Told},
};
use crate::dice;

/// Longest pause between two pages, in milliseconds.
const PAUSE_MS_MAX: u64 = 3_000;
/// Largest page.
const PAGE_MAX: usize = 40;
/// One in so many pages looks into the rooms as well: they can only be read whole.
const ROOMS_EVERY: u32 = 8;

/// A message as it was read: sender, id, author and thread.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Read {
    /// Sender and id.
    key: Key,
    /// Its thread.
    thread: String,
}

impl Read {
    /// Of a row.
    fn of(row: &MessageRow) -> Self {
        let envelope = &row.envelope;
        let thread = envelope.container.as_ref().and_then(|container| container.thread_id());
        Self {
            key: (envelope.from.as_str().to_owned(), envelope.id.as_str().to_owned()),
            thread: thread.map(|thread| thread.as_str().to_owned()).unwrap_or_default(),
        }
    }
}

#[derive(Default)]
struct Book {
    /// By channel or direct room, in the order of sequences, which begin at 1.
    /// A place is void when what stood there was taken back: only what a villain said ever is.
    timelines: BTreeMap<String, Vec<Option<Read>>>,
    known: BTreeSet<Key>,
    /// In the order of numbers, which begin at 1.
    events: Vec<String>,
}

impl Book {
    /// Notes what follows on what was read of a channel or room.
    fn read(&mut self, place: &str, rows: Places, may_go: bool, wrong: &mut Vec<String>) {
        let read = self.timelines.get(place).map_or(0, Vec::len) as u64;
        for (next, (sequence, row)) in (read + 1..).zip(rows) {
            let Some(row) = row else {
                if !may_go {
                    wrong.push(format!("{place} {sequence} is void, though nothing was taken back"));
                }
                self.timelines.entry(place.to_owned()).or_default().push(None);
                continue;
            };
            let read = Read::of(&row);
            if sequence != next {
                wrong.push(format!("{place} has nothing at {next}, but something at {sequence}"));
            }
            if !self.known.insert(read.key.clone()) {
                wrong.push(format!("{:?} was read twice, again at {place} {sequence}", read.key));
            }
            self.timelines.entry(place.to_owned()).or_default().push(Some(read));
        }
    }
}

/// All that was ever read at one node.
#[derive(Default)]
pub struct Seen(Mutex<Book>);

impl Seen {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins anew: the store is another one, and says so by its id.
    pub(super) fn forget(&self) {
        *self.book() = Book::default();
    }

    /// The newest message of a thread that was read.
    pub fn newest(&self, channel: &str, thread: &str) -> Option<Key> {
        let book = self.book();
        let newest =
            book.timelines.get(channel)?.iter().rev().flatten().find(|read| read.thread == thread)?;
        Some(newest.key.clone())
    }

    /// Compares everything with what was read and promised in earlier lives.
    pub(super) fn check_again(&self, machine: &Machine) {
        let (Some(node), Some(_)) = (machine.node(), machine.workspace()) else { return };
        let checked = node.store().view().and_then(|view| self.compare(machine, &view));
        match checked {
            Ok(differences) => differences.iter().for_each(|what| machine.wrong(what)),
            Err(error) => machine.wrong(&format!("its store cannot be read: {error}")),
        }
    }

    fn compare(&self, machine: &Machine, view: &View) -> Result<Vec<String>, StoreError> {
        let mut wrong = Vec::new();
        let Some(row) = row(machine, view)? else { return Ok(wrong) };
        let (book, den) = (self.book(), &machine.shared().den);
        let mut stored = BTreeMap::new();
        let mut compare = |place: &str, rows: &Places| {
            let reads: Vec<_> = rows.iter().map(|(_, row)| row.as_ref().map(Read::of)).collect();
            let before = book.timelines.get(place).map_or(&[][..], Vec::as_slice);
            for (at, before) in before.iter().enumerate() {
                let now = reads.get(at).and_then(Option::as_ref);
                let ledger = &machine.shared().ledger;
                let may_go = before
                    .as_ref()
                    .is_some_and(|before| den.speaks_as(&before.key.0) || ledger.came_back(&before.key.0));
                if now != before.as_ref() && !(now.is_none() && may_go) {
                    let sequence = at + 1;
                    wrong.push(format!("{before:?} stood at {sequence}, where {now:?} is after a restart"));
                }
            }
            for ((sequence, _), read) in rows.iter().zip(reads) {
                stored.extend(read.map(|read| (read.key, *sequence)));
            }
        };
        for channel in view.channels(&row)? {
            compare(channel.name.as_str(), &view.timeline(&row, &channel.name, 0, usize::MAX)?);
            for (room, rows) in rooms(machine, view, &row, &channel.name)? {
                compare(&room, &rows);
            }
        }
        let events = view.events(0, usize::MAX)?;
        // What stands neither in a thread nor in a room is found among the events alone.
        let aside: BTreeSet<_> =
            events.iter().filter(|event| event.data["kind"] == "whois").map(key_of).collect();
        for (key, said) in machine.shared().ledger.said() {
            let Told::Taken(sequence) = said.told else { continue };
            let found = stored.get(&key).copied();
            let aside = found.is_none() && aside.contains(&key);
            let lost = found.is_none() || sequence.is_some() && found != sequence;
            let to_villain = said.request.to.as_deref().is_some_and(|to| den.speaks_as(to));
            if said.node == machine.index() && lost && !aside && !to_villain {
                wrong.push(format!("{key:?} was acknowledged at {sequence:?} and is at {found:?}"));
            }
        }
        let events = events.iter().take(book.events.len());
        let events: Vec<_> = events.map(|event| format!("{} {}", event.kind, event.data)).collect();
        if events != book.events {
            wrong.push("events that were read have changed".to_owned());
        }
        Ok(wrong)
    }

    /// Reads on.
    fn page(
        &self,
        machine: &Machine,
        node: &Node,
        limit: usize,
        into_rooms: bool,
    ) -> Result<Vec<String>, StoreError> {
        let view = node.store().view()?;
        let mut wrong = Vec::new();
        let may_go = !machine.shared().den.ids().is_empty() || machine.shared().ledger.anybody_came_back();
        let mut book = self.book();
        let read = book.events.len() as u64;
        for (number, event) in (read + 1..).zip(view.events(read, limit)?) {
            if event.number != number {
                wrong.push(format!("event {number} is missing: {} follows", event.number));
            }
            book.events.push(format!("{} {}", event.kind, event.data));
        }
        let Some(row) = row(machine, &view)? else { return Ok(wrong) };
        for index in 0..machine.shared().plan.channels {
            let channel = super::person::channel(index);
            let Ok(name) = ChannelName::parse(&channel) else { continue };
            let read = book.timelines.get(&channel).map_or(0, Vec::len) as u64;
            book.read(&channel, view.timeline(&row, &name, read, limit)?, may_go, &mut wrong);
            if !into_rooms {
                continue;
            }
            for (room, rows) in rooms(machine, &view, &row, &name)? {
                let read = book.timelines.get(&room).map_or(0, Vec::len);
                let now = rows.iter().take(read).map(|(_, row)| row.as_ref().map(Read::of));
                let before = book.timelines.get(&room).into_iter().flatten();
                let goes = |(before, now): (&Option<Read>, Option<Read>)| {
                    let may_go =
                        before.as_ref().is_some_and(|read| machine.shared().ledger.came_back(&read.key.0));
                    *before != now && !(now.is_none() && may_go)
                };
                if before.zip(now).any(goes) {
                    wrong.push(format!("what was read in {room} has changed"));
                }
                book.read(&room, rows.into_iter().skip(read).collect(), may_go, &mut wrong);
            }
        }
        Ok(wrong)
    }
}

/// Rows of a channel or room, by their sequence.
type Places = Vec<(u64, Option<MessageRow>)>;

/// The direct rooms of a channel, each in the order of its sequences.
fn rooms(
    machine: &Machine,
    view: &View,
    row: &WorkspaceRow,
    channel: &ChannelName,
) -> Result<Vec<(String, Places)>, StoreError> {
    let page = MessagePage { limit: usize::MAX, ..MessagePage::default() };
    let mut rooms = Vec::new();
    for room in view.rooms(row, channel, None, None, usize::MAX)?.unwrap_or_default() {
        // What a villain said in a room may be taken back.
        let den = &machine.shared().den;
        if den.speaks_as(room.peer_a.as_str()) || den.speaks_as(room.peer_b.as_str()) {
            continue;
        }
        let messages = view.room_messages(row, channel, &room.direct_id, &page)?.unwrap_or_default();
        let mut rows: BTreeMap<_, _> = messages.into_iter().map(|row| (row.sequence, row)).collect();
        let last = rows.keys().next_back().copied().unwrap_or_default();
        let places = (1..=last).map(|sequence| (sequence, rows.remove(&sequence))).collect();
        rooms.push((room.direct_id.as_str().to_owned(), places));
    }
    Ok(rooms)
}

/// Sender and id of the message that an event tells of.
pub fn key_of(event: &EventRow) -> Key {
    let text = |name: &str| event.data[name].as_str().unwrap_or_default().to_owned();
    (text("peer_from"), text("message_id"))
}

/// The workspace at a node.
pub(crate) fn row(machine: &Machine, view: &View) -> Result<Option<WorkspaceRow>, StoreError> {
    let workspace = machine.shared().ledger.workspace();
    let row = workspace.map(|workspace| view.workspace(&workspace.to_string()));
    Ok(row.transpose()?.flatten())
}

/// Reads at a machine for as long as its process lives.
#[expect(clippy::disallowed_methods, reason = "a reader is a task of its world")]
pub(super) fn read(machine: &Arc<Machine>) {
    let (machine, boot) = (Arc::clone(machine), machine.boot());
    let parts: [&[u8]; 2] = [&machine.index().to_be_bytes(), &boot.to_be_bytes()];
    let mut dice = dice::dice(machine.shared().seed, "reader", &parts);
    tokio::spawn(async move {
        loop {
            let pause = Duration::from_millis(dice.random_range(1..PAUSE_MS_MAX));
            machine.shared().clock().sleep(pause).await;
            let Some(node) = machine.node().filter(|_| machine.boot() == boot) else { return };
            let (limit, into_rooms) = (dice.random_range(1..PAGE_MAX), dice.random_ratio(1, ROOMS_EVERY));
            match machine.seen.page(&machine, &node, limit, into_rooms) {
                Ok(wrong) => wrong.iter().for_each(|what| machine.wrong(what)),
                Err(_) if machine.is_failing() => return,
                Err(error) => machine.wrong(&format!("its store cannot be read: {error}")),
            }
        }
    });
}
