//! Histories made with dice (messages, work, rooms, greets, repeated ids, copies of a store, removals, changes of
//! role) come to several nodes in different orders; in the end all show the same.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{
    Node, Session,
    recount::{assert_counts, by_node},
    talk::{Said, Voice},
};
use muster_protocol::{
    cbor::Bytes,
    control::{Entry, Role, RoleSet},
    ids::{LogId, SpaceId},
    network::{ChannelName, Kind, ReceiptStatus, WorkState},
    operation::Operation,
    sync::View as _,
};
use muster_storage::SyncView;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SEEDS: u64 = 24;
const STEPS: usize = 80;
/// The key of the node that hears all.
const READER: u8 = 100;

/// A home, a member with a copy that forks its log and one that begins another, and a second member.
struct History {
    dice: ChaCha8Rng,
    space: SpaceId,
    home: Node,
    /// Whether the copy that shares a log is used.
    forks: bool,
    /// The first three are one node.
    writers: Vec<(Node, Vec<Session>)>,
    /// To whom they speak alone: a peer of the node that hears all in the end.
    listener: Voice,
}

impl History {
    fn begin(seed: u64) -> Self {
        let home = Node::new(1);
        let space = home.found();
        let writers = vec![Node::again(2, 2), Node::again(2, 2), Node::again(2, 20), Node::again(3, 3)];
        writers[0].join(&home, space, Role::Member);
        writers[3].join(&home, space, Role::Member);
        writers[1].learn(&home, space);
        writers[2].learn(&home, space);
        let writers = writers.into_iter().map(|node| {
            // The same dice make the same sessions, as in a copy.
            let sessions = ["builders", "garden"].map(|channel| node.session(space, "coder", channel));
            (node, sessions.to_vec())
        });
        let writers = writers.collect();
        let (dice, listener) = (ChaCha8Rng::seed_from_u64(seed), Voice::new(READER, "listener", "builders"));
        Self { dice, space, home, forks: seed.is_multiple_of(3), writers, listener }
    }

    fn step(&mut self) {
        let space = self.space;
        let mut who = self.dice.random_range(0..self.writers.len());
        if who == 1 && !self.forks {
            who = 0;
        }
        let (node, sessions) = &self.writers[who];
        node.now_ms.set(crate::support::START_MS + self.dice.random_range(0..100_000));
        match self.dice.random_range(0..80) {
            60..80 => self.speak(who),
            0..32 => {
                let from = &sessions[self.dice.random_range(0..2)];
                let thread = format!("thread_{:03}", self.dice.random_range(0..3));
                let id = format!("m{}", self.dice.random_range(0..30));
                let text = format!("{who} {}", self.dice.random_range(0..100));
                let mut envelope = node.envelope(space, from, &thread, &id, &text);
                if self.dice.random_ratio(1, 4) {
                    envelope.to = Some(self.writers[3].1[0].peer.clone());
                    node.sign(&mut envelope);
                }
                if envelope.to.as_ref() != Some(&envelope.from) {
                    node.send(space, &envelope);
                }
            }
            32..38 => {
                let channel = ["builders", "garden", "attic"][self.dice.random_range(0..3)];
                node.open_channel(space, channel, &format!("purpose {}", self.dice.random_range(0..100)));
            }
            38..42 => {
                node.learn_control(&self.home, space);
            }
            42..57 => {
                let log = node.view().log_heights(space).unwrap();
                for (log, _) in log.into_iter().filter(|(log, _)| log.author == node.identity.node()) {
                    let ops = node.view().log_operations(&log).unwrap();
                    let count = self.dice.random_range(0..=ops.len());
                    self.home.take(space, ops[..count].to_vec());
                }
            }
            57 | 58 => self.change_role(who),
            _ => self.change_membership(who),
        }
    }

    /// A message of any other sort than a plain say to all.
    fn speak(&mut self, who: usize) {
        let space = self.space;
        let said = match self.dice.random_range(0..8) {
            0 => Said::Greet,
            1 => Said::Whois,
            2 => Said::Receipt(ReceiptStatus::ALL[self.dice.random_range(0..6)]),
            3 | 4 => Said::Trace(WorkState::ALL[self.dice.random_range(0..6)]),
            _ => Said::Say("do it"),
        };
        let (node, sessions) = &self.writers[who];
        let (from, other) = (&sessions[0], &self.writers[if who == 3 { 0 } else { 3 }].1[0]);
        let message = node.message(space, from, &format!("m{}", self.dice.random_range(0..60)), said);
        let alone = self.listener.node();
        if matches!(said, Said::Greet | Said::Whois) {
            match self.dice.random() {
                true => drop(node.tell(space, message)),
                false => drop(node.send_to(space, alone, message.to(&self.listener.session))),
            }
            return;
        }
        let work = ["work_one", "work_two"][self.dice.random_range(0..2)];
        match self.dice.random_range(0..5) {
            0 => drop(node.resolve(space, alone, from, &self.listener.session)),
            1 | 2 => drop(node.send_to(space, alone, message.room(&self.listener.session).work(work))),
            _ => {
                let thread = format!("thread_{:03}", self.dice.random_range(0..2));
                node.tell(space, message.thread(&thread).to(other).work(work));
            }
        }
    }

    fn change_role(&mut self, who: usize) {
        let (node, space) = (self.writers[who].0.identity.node(), self.space);
        let seen = self.home.heights(space).into_iter().filter(|height| height.author == node);
        let cut_offs = seen.map(|height| (height.incarnation, height.seq)).collect();
        let role = if self.dice.random() { Role::Guest } else { Role::Member };
        let set = RoleSet { node, role: role.code(), cut_offs, evidence: Bytes(Vec::new()) };
        self.home.force(space, &Entry::RoleSet(set));
    }

    fn change_membership(&mut self, who: usize) {
        let (node, space) = (&self.writers[who].0, self.space);
        let control = self.home.store.control(space).unwrap();
        if control.role(node.identity.node()).is_some() {
            self.home.remove(space, node);
        } else {
            node.join(&self.home, space, Role::Member);
        }
    }

    fn control(&self) -> Vec<Operation> {
        let view = SyncView::new(&self.home.store).unwrap();
        let entries = view.control_entries(self.space, 1, usize::MAX).unwrap();
        entries.iter().map(|entry| Operation::decode(entry).unwrap()).collect()
    }

    /// What was written to all, and to the listener's node alone.
    fn logs(&self) -> Vec<Vec<Operation>> {
        let mut logs = Vec::new();
        for (node, _) in &self.writers {
            let view = node.view();
            for space in [self.space, node.pair_space(self.space, self.listener.node())] {
                let own = view.log_heights(space).unwrap();
                let own = own.into_iter().map(|(log, _): (LogId, u64)| log);
                for log in own.filter(|log| log.author == node.identity.node()) {
                    logs.push(view.log_operations(&log).unwrap());
                }
            }
        }
        logs
    }
}

/// A node that hears everything, in an order of its own.
fn reader(seed: u64, number: u8, space: SpaceId, control: &[Operation], logs: &[Vec<Operation>]) -> Node {
    let mut dice = ChaCha8Rng::seed_from_u64(seed * 100 + u64::from(number));
    let node = Node::again(READER, 100 + number);
    node.now_ms.set(crate::support::START_MS + 10_000_000);
    let genesis = control[0].clone();
    node.write(move |batch| batch.begin_space(&genesis));
    let hear = |entries: &[Operation]| {
        let entries = entries.to_vec();
        node.write(move |batch| batch.append_control(space, entries));
    };
    let mut heard = 1;
    for _ in 0..12 * number {
        if dice.random_ratio(1, 4) {
            heard = (heard + dice.random_range(1..4)).min(control.len());
            hear(&control[..heard]);
        } else if !logs.is_empty() {
            let log = &logs[dice.random_range(0..logs.len())];
            take(&node, &log[..dice.random_range(0..=log.len())]);
        }
    }
    hear(control);
    logs.iter().chain(logs).for_each(|log| take(&node, log));
    node
}

fn take(node: &Node, log: &[Operation]) {
    if let Some(first) = log.first() {
        let header = first.header();
        node.take_from(header.author, header.space, log.to_vec());
    }
}

#[test]
fn whatever_came_first_all_nodes_show_the_same_in_the_end() {
    let (mut messages, mut forks, mut works, mut rooms, mut greets) = (0, 0, 0, 0, 0);
    for seed in 0..SEEDS {
        let mut history = History::begin(seed);
        for _ in 0..STEPS {
            history.step();
        }
        let (control, logs) = (history.control(), history.logs());
        // The first hears all of the control log before anything else.
        let readers = [0, 1, 2].map(|number| reader(seed, number, history.space, &control, &logs));
        let picture = readers[0].picture(history.space);
        messages += picture.matches("Envelope {").count();
        forks += usize::from(history.forks);
        works += picture.matches("Some(WorkRecord").count();
        rooms += picture.matches("RoomRow {").count();
        let channel = ChannelName::parse("builders").unwrap();
        let row = readers[0].view().timeline(&readers[0].workspace(history.space), &channel, 0, 10_000);
        let said = row.unwrap().into_iter().filter_map(|(_, row)| row);
        greets += said.filter(|row| row.envelope.kind == Kind::Greet).count();
        let nodes = [&history.writers[0].0, &history.writers[3].0].map(|node| node.identity.node());
        for reader in &readers {
            let nodes = nodes.iter().copied().chain([history.listener.node()]).collect();
            assert_counts(reader, history.space, by_node(nodes));
        }
        for reader in &readers[1..] {
            let other = reader.picture(history.space);
            assert!(other == picture, "seed {seed} differs:\n{}", difference(&picture, &other));
            let pairs = nodes.map(|node| reader.pair_space(history.space, node));
            for space in pairs.into_iter().chain([history.space]) {
                assert_eq!(reader.heights(space), readers[0].heights(space), "seed {seed}");
            }
        }
    }
    assert!(
        messages > 200 && forks > 5 && works > 30 && rooms > 10 && greets > 10,
        "the dice made too little: {messages} messages, {forks} forks, {works} about work, {rooms} rooms, {greets} greets"
    );
}

fn difference(one: &str, other: &str) -> String {
    let lines = one.lines().zip(other.lines()).filter(|(a, b)| a != b).take(4);
    lines.map(|(a, b)| format!("- {a:.300}\n+ {b:.300}\n")).collect()
}
