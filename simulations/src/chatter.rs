//! Talkers: the smallest things that use every part of the network port, and complain when it breaks its
//! promises. They test the simulated links, so that a failure of real nodes is the nodes' own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use muster_actors::ports::{Clock, Event, Events, Link, Network, RequestError, Topic};
use muster_protocol::identity::{Identity, NodeId};
use rand::RngExt;
use serde::Deserialize;
use tokio::task::JoinHandle;

use crate::{
    clock::{Beginning, SimClock},
    dice::{self, Dice},
    faults::{self, Strike},
    links::{SimMesh, SimNetwork},
    scenario::{Outcome, World},
    trace::Trace,
};

/// The one topic they gossip about.
const TOPIC: Topic = Topic([7; 32]);
/// How long talkers that are no longer disturbed have to be all linked and to have heard everything.
const PEACE: Duration = Duration::from_secs(60);

/// What the talkers do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Mean pause of a talker between two rounds in which it says something to everybody, in milliseconds.
    pub talk_every_ms: u64,
    /// Their world.
    pub world: World,
}

/// What all talkers of a world share: what they saw.
#[derive(Default)]
struct Seen {
    ops: u64,
    violations: Vec<String>,
    /// Per talker and other end: frames accepted and frames received on the link that is up.
    counts: BTreeMap<(NodeId, NodeId), Counts>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    link: u64,
    full: bool,
    sent: u64,
    received: u64,
}

/// One process of a talker.
struct Talker {
    me: NodeId,
    network: SimNetwork,
    clock: SimClock,
    others: BTreeMap<NodeId, String>,
    links: BTreeMap<NodeId, Counts>,
    heard: BTreeSet<Vec<u8>>,
    rounds: u64,
    pause_ms: u64,
    dice: Dice,
    quiet: Arc<Mutex<bool>>,
    seen: Arc<Mutex<Seen>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Talker {
    async fn live(mut self, mut events: Events) {
        self.network.set_friends(self.others.keys().copied().collect());
        self.network.set_topics(vec![TOPIC]);
        loop {
            let pause = Duration::from_millis(1 + dice::exponential(&mut self.dice, self.pause_ms));
            let clock = self.clock.clone();
            let mut round = clock.sleep(pause);
            loop {
                tokio::select! {
                    biased;
                    event = events.recv() => match event {
                        Some(event) => self.hear(event),
                        None => return,
                    },
                    () = &mut round => break,
                }
            }
            self.talk();
        }
    }

    fn talk(&mut self) {
        self.rounds += 1;
        let quiet = *lock(&self.quiet);
        for (other, address) in self.others.clone() {
            match self.links.get_mut(&other) {
                None if self.rounds.is_multiple_of(20) => self.network.dial(other, vec![address.clone()]),
                Some(counts) if !quiet && !counts.full => {
                    let link = Link { node: other, number: counts.link };
                    if self.network.send(link, counts.sent.to_be_bytes().to_vec()) {
                        counts.sent += 1;
                        lock(&self.seen).ops += 1;
                    } else {
                        counts.full = true;
                    }
                }
                _ => {}
            }
            if !quiet && self.dice.random_ratio(1, 20) {
                self.ask(other, address);
            }
        }
        if !quiet {
            let bytes = [self.me.as_bytes().as_slice(), &self.clock.wall_ms().to_be_bytes()].concat();
            self.network.publish(TOPIC, bytes);
        }
        self.tell_counts();
    }

    #[expect(clippy::disallowed_methods, reason = "a question is waited for beside everything else")]
    fn ask(&self, other: NodeId, address: String) {
        let question = self.rounds.to_be_bytes().to_vec();
        let answer = self.network.request(other, vec![address], question.clone());
        let (seen, me) = (Arc::clone(&self.seen), self.me);
        tokio::spawn(async move {
            match answer.await {
                Ok(bytes) if bytes == question => lock(&seen).ops += 1,
                Err(RequestError::Timeout | RequestError::Unreachable) => {}
                wrong => {
                    lock(&seen).violations.push(format!("{me} asked {other} and was answered {wrong:?}"));
                }
            }
        });
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::LinkUp { link, .. } => {
                let counts = Counts { link: link.number, ..Counts::default() };
                self.check(
                    !self.links.contains_key(&link.node),
                    "a second link without the end of the first",
                );
                self.links.insert(link.node, counts);
            }
            Event::LinkDown { link } => {
                let known = self.links.remove(&link.node).is_some_and(|counts| counts.link == link.number);
                self.check(known, "the end of a link that was not up");
            }
            Event::LinkWritable { link } => {
                let counts = self.links.get_mut(&link.node).filter(|counts| counts.link == link.number);
                let owed = counts.is_some_and(|counts| std::mem::take(&mut counts.full));
                self.check(owed, "room where none was missing");
            }
            Event::Frame { link, bytes } => {
                let counts = self.links.get_mut(&link.node).filter(|counts| counts.link == link.number);
                let next = counts.is_some_and(|counts| {
                    counts.received += 1;
                    bytes == (counts.received - 1).to_be_bytes()
                });
                self.check(next, "a frame lost, repeated, out of order or on an old link");
            }
            Event::Request { question, answer, .. } => drop(answer.send(question)),
            Event::Gossip { author, bytes, .. } => {
                self.check(bytes.starts_with(author.as_bytes()), "gossip of another author");
                let news = self.heard.insert(bytes);
                self.check(news, "the same gossip twice");
            }
            Event::Discovered { .. } | Event::Listening { .. } => {}
        }
        self.tell_counts();
    }

    fn check(&self, good: bool, what: &str) {
        if !good {
            let at = self.clock.monotonic_ms();
            lock(&self.seen).violations.push(format!("{} saw {what}, {at} ms after its start", self.me));
        }
    }

    fn tell_counts(&self) {
        let counts = &mut lock(&self.seen).counts;
        for other in self.others.keys() {
            let now = self.links.get(other).copied().unwrap_or_default();
            counts.insert((self.me, *other), now);
        }
    }
}

/// The world of the talkers.
struct Chat {
    seed: u64,
    pause_ms: u64,
    beginning: Beginning,
    mesh: SimMesh,
    nodes: Vec<NodeId>,
    lives: Vec<(u64, Option<JoinHandle<()>>)>,
    quiet: Arc<Mutex<bool>>,
    seen: Arc<Mutex<Seen>>,
}

fn address(index: usize) -> String {
    format!("/memory/{}", index + 1)
}

impl Chat {
    #[expect(clippy::disallowed_methods, reason = "a talker is a task of its world")]
    fn start(&mut self, index: usize) {
        let me = self.nodes[index];
        let (network, events) = self.mesh.start(me, &address(index));
        let (boot, task) = &mut self.lives[index];
        *boot += 1;
        let others = self.nodes.iter().enumerate().filter(|(_, node)| **node != me);
        let talker = Talker {
            me,
            network,
            clock: SimClock::new(self.beginning, 0),
            others: others.map(|(index, node)| (*node, address(index))).collect(),
            links: BTreeMap::new(),
            heard: BTreeSet::new(),
            rounds: 0,
            pause_ms: self.pause_ms,
            dice: dice::dice(self.seed, "talker", &[me.as_bytes(), &boot.to_be_bytes()]),
            quiet: Arc::clone(&self.quiet),
            seen: Arc::clone(&self.seen),
        };
        *task = Some(tokio::spawn(talker.live(events)));
    }

    fn strike(&mut self, strike: &Strike) {
        match strike {
            Strike::Crash(index, crash) => {
                self.mesh.crash(self.nodes[*index], *crash);
                if let Some(task) = self.lives[*index].1.take() {
                    task.abort();
                }
            }
            Strike::Restart(index) => self.start(*index),
            links => links.apply_to_links(&self.mesh, &self.nodes),
        }
    }

    /// Whether everybody is linked with everybody and has heard all that was said on these links.
    fn is_settled(&self) -> bool {
        let seen = lock(&self.seen);
        let of = |a: NodeId, b: NodeId| seen.counts.get(&(a, b)).copied().unwrap_or_default();
        let pairs = self.nodes.iter().flat_map(|a| self.nodes.iter().map(|b| (*a, *b)));
        pairs.filter(|(a, b)| a != b).all(|(a, b)| {
            let same = of(a, b).sent == of(b, a).received;
            same && of(a, b).link > 0 && self.mesh.is_linked(a, b) && !of(a, b).full
        })
    }
}

/// Plays one seed.
pub async fn play(seed: u64, plan: &Plan) -> Outcome {
    let World { nodes, duration_ms, ref weather, ref faults } = plan.world;
    let (beginning, trace) = (Beginning::now(), Trace::new());
    let clock = SimClock::new(beginning, 0);
    let keys = (0..nodes).map(|index| Identity::from_seed(dice::secret(seed, "node", index)).node());
    let mut chat = Chat {
        seed,
        pause_ms: plan.talk_every_ms,
        beginning,
        mesh: SimMesh::new(seed, weather.clone(), beginning, trace.clone()),
        nodes: keys.collect(),
        lives: (0..nodes).map(|_| (0, None)).collect(),
        quiet: Arc::default(),
        seen: Arc::default(),
    };
    (0..nodes).for_each(|index| chat.start(index));

    let timeline = faults::timeline(&mut dice::dice(seed, "faults", &[]), faults, nodes, duration_ms);
    for (at, strike) in &timeline {
        clock.sleep(Duration::from_millis(at.saturating_sub(beginning.elapsed_ms()))).await;
        chat.strike(strike);
    }
    chat.mesh.heal();
    *lock(&chat.quiet) = true;
    let peace_ends = beginning.elapsed_ms() + PEACE.as_millis() as u64;
    while !chat.is_settled() && beginning.elapsed_ms() < peace_ends {
        clock.sleep(Duration::from_millis(100)).await;
    }

    let settled = chat.is_settled();
    let seen = lock(&chat.seen);
    let mut violations = [chat.mesh.complaints(), seen.violations.clone()].concat();
    if !settled {
        violations.push(format!(
            "not settled {} s after the last fault: {:#?}",
            PEACE.as_secs(),
            seen.counts
        ));
    }
    let faults = timeline.iter().filter(|(_, strike)| strike.is_fault()).count() as u64;
    Outcome { ops: seen.ops, faults, violations, trace: trace.digest() }
}
