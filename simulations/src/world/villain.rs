//! Villains: members of the workspace that are no nodes of ours, and do as they please.
//!
//! A villain joins with the ticket as anybody does, links with everybody, and keeps to the protocol well enough to
//! be believed: it takes control entries, serves what it holds, and says things worth reading. Now and then it does
//! one of the [`Deed`]s. In the midst of it all the home removes the first of them; it goes on writing as if it had
//! not heard, under a name of its own through its accomplices, and comes again with another key.
//!
//! Villains of one world share what they know in a [`Den`].

mod deeds;
mod den;
mod line;
mod pen;
mod removal;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use muster_actors::ports::{Clock, Event, Events, Link, Network, Topic};
use muster_protocol::{
    ask::{Answer, JoinRequest, Question},
    cbor::Bytes,
    identity::{Identity, NodeId},
    ids::{LogId, SpaceId},
    operation::Operation,
    presence::topic,
    ticket::SignedTicket,
};
use rand::RngExt;

pub(super) use self::removal::remove_one;
pub use self::{
    deeds::{Deed, Malice},
    den::Den,
};
use self::{line::Line, pen::Pen};
use super::{Shared, machine, person::Person};
use crate::{
    dice::{self, Dice},
    links::SimNetwork,
};

/// Lives of one villain: when the first was removed, it comes again as somebody else.
const LIVES: usize = 2;
/// Longest pause before it asks again, or dials again, in milliseconds.
const PAUSE_MS_MAX: u64 = 1_500;

/// Keys of all villains of a world, in all their lives.
pub(super) fn identities(seed: u64, villains: usize) -> Vec<Arc<Identity>> {
    let identity = |index| Arc::new(Identity::from_seed(dice::secret(seed, "villain", index)));
    (0..villains * LIVES).map(identity).collect()
}

/// Lets all villains of a world begin.
#[expect(clippy::disallowed_methods, reason = "a villain is a task of its world")]
pub(super) fn arrive(shared: &Arc<Shared>, machines: &[NodeId]) {
    for (index, identity) in shared.den.identities().iter().enumerate() {
        let villain = Villain::new(shared, index, identity, machines);
        tokio::spawn(villain.live());
    }
}

/// One life of one villain.
struct Villain {
    shared: Arc<Shared>,
    index: usize,
    identity: Arc<Identity>,
    /// Everybody it may link with, by address.
    others: BTreeMap<NodeId, String>,
    honest: Vec<NodeId>,
    network: SimNetwork,
    events: Events,
    lines: BTreeMap<NodeId, Line>,
    dice: Dice,
    pen: Option<Pen>,
}

impl Villain {
    fn new(shared: &Arc<Shared>, index: usize, identity: &Arc<Identity>, machines: &[NodeId]) -> Self {
        let own = machine::address(machines.len() + index);
        let (network, events) = shared.mesh.start(identity.node(), &own);
        shared.mesh.distrust(identity.node());
        let all = machines.iter().copied().chain(shared.den.ids().iter().copied());
        let others = all.enumerate().filter(|(_, node)| *node != identity.node());
        Self {
            shared: Arc::clone(shared),
            index,
            identity: Arc::clone(identity),
            others: others.map(|(at, node)| (node, machine::address(at))).collect(),
            honest: machines.to_vec(),
            network,
            events,
            lines: BTreeMap::new(),
            dice: dice::dice(shared.seed, "malice", &[&index.to_be_bytes()]),
            pen: None,
        }
    }

    fn me(&self) -> NodeId {
        self.identity.node()
    }

    fn is_calm(&self) -> bool {
        self.shared.ledger.is_calm()
    }

    fn now_ms(&self) -> u64 {
        self.shared.clock().wall_ms()
    }

    // ---- a life --------------------------------------------------------------------------------

    async fn live(mut self) {
        // Whoever comes again waits until the one before it was removed.
        let before = self.index.checked_sub(self.shared.plan.malice.villains);
        while before.is_some_and(|before| !self.shared.den.is_removed(self.shared.den.ids()[before])) {
            self.pause().await;
        }
        if self.is_calm() || self.join().await.is_none() {
            return;
        }
        self.network.set_friends(self.others.keys().copied().collect());
        loop {
            let every_ms = self.shared.plan.malice.every_ms;
            let wait = Duration::from_millis(1 + dice::exponential(&mut self.dice, every_ms));
            let mut due = self.shared.clock().sleep(wait);
            loop {
                tokio::select! {
                    biased;
                    event = self.events.recv() => match event {
                        Some(event) => self.hear(event),
                        None => return,
                    },
                    () = &mut due => break,
                }
            }
            self.dial();
            if self.dice.random_ratio(1, 40) {
                // It does not read for a while, and whoever sends to it has to wait.
                let pause = Duration::from_millis(self.dice.random_range(0..10_000));
                self.shared.clock().sleep(pause).await;
            }
            self.act();
        }
    }

    async fn pause(&mut self) {
        let pause = Duration::from_millis(self.dice.random_range(1..PAUSE_MS_MAX));
        self.shared.clock().sleep(pause).await;
    }

    /// Joins as an honest node does; `None` when that does not succeed before all is over.
    async fn join(&mut self) -> Option<()> {
        loop {
            self.pause().await;
            if self.is_calm() {
                return None;
            }
            let Some(ticket) = self.shared.ledger.ticket() else { continue };
            let signed: SignedTicket = ticket.parse().ok()?;
            let ticket = signed.ticket();
            let request = JoinRequest {
                ticket: Bytes(signed.encode()),
                home: ticket.home,
                node: self.me(),
                name: format!("villain {}", self.index),
                at_ms: self.now_ms(),
            };
            let question = Question::Join(request).sign(&self.identity);
            let answer = self.network.request(ticket.home, ticket.addresses.clone(), question).await;
            match answer.map(|answer| Answer::decode(&answer)) {
                Ok(Ok(Answer::Joined(genesis))) => {
                    let genesis = Operation::decode(&genesis).ok()?;
                    self.shared.den.found(&genesis);
                    self.shared.den.joined(self.me());
                    self.network.set_topics(vec![Topic(topic(ticket.space))]);
                    let secret = self.dice.random();
                    self.pen = Some(Pen::new(&self.identity, ticket.workspace, ticket.space, secret));
                    self.shared.record("villain joined", &[self.me().as_bytes()]);
                    return Some(());
                }
                Ok(Ok(answer)) => self.shared.record("villain refused", &[format!("{answer:?}").as_bytes()]),
                Ok(Err(_)) | Err(_) => {}
            }
        }
    }

    /// Calls those it has no link with.
    fn dial(&mut self) {
        for (node, address) in &self.others {
            if !self.lines.contains_key(node) && self.dice.random_ratio(1, 4) {
                self.network.dial(*node, vec![address.clone()]);
            }
        }
    }

    // ---- what it hears -------------------------------------------------------------------------

    fn hear(&mut self, event: Event) {
        match event {
            Event::LinkUp { link, .. } => {
                let deaf = self.dice.random_ratio(1, 20);
                let mut line = Line::new(link, deaf);
                line.hello(&mut self.dice, self.shared.plan.malice.weight(Deed::Credit) > 0);
                self.lines.insert(link.node, line);
                self.flush(link);
            }
            Event::LinkDown { link } => {
                if self.lines.get(&link.node).is_some_and(|line| line.link == link) {
                    self.lines.remove(&link.node);
                }
            }
            Event::LinkWritable { link } => self.flush(link),
            Event::Frame { link, bytes } => {
                let from = link.node;
                if self.lines.get(&from).is_some_and(|line| line.link == link && !line.deaf) {
                    self.take_frame(from, &bytes);
                    self.flush(link);
                }
            }
            Event::Gossip { bytes, .. } => self.shared.den.keep_presence(bytes),
            Event::Request { .. } | Event::Discovered { .. } | Event::Listening { .. } => {}
        }
    }

    fn take_frame(&mut self, from: NodeId, bytes: &[u8]) {
        let (den, spaces) = (&self.shared.den, self.spaces(from));
        let Some(line) = self.lines.get_mut(&from) else { return };
        if let Err(wrong) = line.take(bytes, den, &spaces)
            && self.honest.contains(&from)
        {
            self.shared.ledger.wrong(format!("villain {}, of {from}: {wrong}", self.index));
        }
    }

    /// The spaces it may read together with another: the workspace's, and that of the two.
    fn spaces(&self, other: NodeId) -> Vec<SpaceId> {
        let space = self.shared.den.space();
        space.into_iter().flat_map(|space| [space, SpaceId::pair(space, self.me(), other)]).collect()
    }

    fn flush(&mut self, link: Link) {
        if let Some(line) = self.lines.get_mut(&link.node).filter(|line| line.link == link) {
            line.flush(&self.network);
        }
    }

    fn flush_all(&mut self) {
        self.lines.values_mut().for_each(|line| line.flush(&self.network));
    }

    // ---- what it says --------------------------------------------------------------------------

    /// Writes something that an honest node might have written, and tells everybody or the one it is for.
    fn talk(&mut self) {
        let Some(pen) = &mut self.pen else { return };
        let den = &self.shared.den;
        let (now_ms, removed) = (self.shared.clock().wall_ms(), den.removed_at(self.identity.node()));
        // After its removal it cites what it knew before.
        let height = removed.map_or_else(|| den.control_height(), |at| at.saturating_sub(1));
        let channel = super::person::channel(self.dice.random_range(0..self.shared.plan.channels));
        let sessions = self.shared.ledger.sessions();
        let aside = self.dice.random_ratio(1, 4) && !sessions.is_empty() && removed.is_none();
        let (op, to) = if aside {
            let session = &sessions[self.dice.random_range(0..sessions.len())];
            let Some(node) = self.honest.get(session.node).copied() else { return };
            (pen.whisper(node, &session.channel, &session.peer, now_ms), Some(node))
        } else {
            let thread = format!("thread_{:03}", self.dice.random_range(0..self.shared.plan.threads));
            (pen.say(&channel, &thread, height, now_ms), None)
        };
        let Some(op) = op else { return };
        den.keep(&op);
        let log = op.header().log();
        let seq = op.header().seq;
        for line in self.lines.values_mut().filter(|line| to.is_none_or(|to| line.link.node == to)) {
            line.push(den, &log, seq);
        }
        self.shared.record("villain said", &[op.id().0.as_slice()]);
    }

    /// Sends what it holds of a log to everybody.
    fn spread(&mut self, log: &LogId, from: u64) {
        let den = &self.shared.den;
        self.lines.values_mut().for_each(|line| line.push(den, log, from));
    }
}

/// Waits for a task of villains as for a person's.
fn waited_for(task: tokio::task::JoinHandle<()>) -> Person {
    Person::of(task)
}
